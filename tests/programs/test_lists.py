"""Programs of functions over lists of numbers, in the style of micrograd, and of indices."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable
from functools import reduce
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.programs import close, fresh_and_ruffed

from tinygrad_ce import Value, program

R = random.Random(0)
LAYERS = [
    [[R.gauss(0, 1) for _ in range(3)] for _ in range(4)],
    [[R.gauss(0, 1) for _ in range(5)]],
]
TABLE = [[R.gauss(0, 1) for _ in range(3)] for _ in range(3)]
P = np.arange(12.0).reshape(4, 3)


def mlp(layers: Any, x: Any, y: Any) -> Any:
    for layer in layers:
        x = [np.tanh(sum((w * v for w, v in zip(row, x)), row[-1])) for row in layer]
    return (x[0] - y) ** 2


def next_token(table: Any, tokens: Any) -> Any:
    loss = 0.0
    for a, b in pairwise(tokens):
        e = [np.exp(z) for z in table[a]]
        loss = loss - np.log(e[b] / sum(e))
    return loss


def by_values(f: Callable[..., Any], tree: Any, *rest: Any) -> tuple[float, Any]:
    """As one does in micrograd: a Value for each number."""
    leaves: list[Value] = []

    def wrap(x: Any) -> Any:
        if isinstance(x, list):
            return [wrap(part) for part in x]
        leaves.append(Value(x))
        return leaves[-1]

    out = f(wrap(tree), *rest)
    out.backward()
    return out.data, [v.grad for v in leaves]


def flat(x: Any) -> list[float]:
    return [y for part in x for y in flat(part)] if isinstance(x, list) else [x]


@pytest.mark.parametrize(
    ("f", "args"), [(mlp, [LAYERS, [1.0, -2.0], 0.5]), (next_token, [TABLE, [0, 2, 1, 1]])]
)
def test_lists_of_floats_are_numbers(f: Any, args: list[Any], tmp_path: Path) -> None:
    value, slopes = by_values(f, *args)
    made = program(f, *args)
    found, source = fresh_and_ruffed(tmp_path, f, args)
    for result in (made(*args), found, pickle.loads(pickle.dumps(made))(*args)):
        np.testing.assert_allclose(result[0], value, 1e-14)
        assert [*map(len, result[1])] == [*map(len, args[0])]
        assert all(type(x) is float for x in flat(result[1]))
        np.testing.assert_allclose(flat(result[1]), slopes, 1e-12, 1e-14)
    assert "np." not in source  # nothing but Python's numbers


def test_other_numbers_and_other_lengths() -> None:
    made = program(mlp, LAYERS, [1.0, -2.0], 0.5)
    for layers, x in (
        ([[[2 * w for w in row] for row in layer] for layer in LAYERS], [0.5, 0.25]),
        ([[[1.0, 2.0, 3.0, 0.5]], [[-1.0, 0.5]]], [0.5, 0.25, 1.0]),
        ([[[1, 2, 0]], [[3, 1]]], [1, 2]),
    ):
        value, slopes = by_values(mlp, layers, x, 0.1)
        found = made(layers, x, 0.1)
        np.testing.assert_allclose(found[0], value, 1e-13)
        np.testing.assert_allclose(flat(found[1]), slopes, 1e-12, 1e-14)
    made = program(next_token, TABLE, [0, 2, 1, 1])
    np.testing.assert_allclose(made(TABLE, [2, 1])[0], by_values(next_token, TABLE, [2, 1])[0])
    names: dict[str, Any] = {}
    exec(made.source, names)
    with pytest.raises(ValueError, match=r"this program is for tokens\[0\] = 0"):
        names["loss_and_grad"](TABLE, [2, 2, 1, 1])


def test_lists_are_arrays_where_f_takes_them_so() -> None:
    for f in (
        lambda x: np.sum(np.array([1.0, 2.0]) * x),
        lambda x: (x * x).sum(),
        lambda x: np.sum(np.exp(x)),
        lambda x: x @ x,
    ):
        value, slope = program(f, [1.0, 2.0])([0.5, 1.5])
        assert isinstance(slope, np.ndarray)
        wanted = by_array(f, np.array([0.5, 1.5]))
        close(value, wanted[0])
        close(slope, wanted[1])


def by_array(f: Any, x: Any) -> tuple[Any, Any]:
    v = Value(x)
    out = f(v)
    out.backward()
    return out.data, v.grad


def test_a_tuple_in_a_list_and_dicts_of_lists() -> None:
    def f(p: Any, pairs: Any) -> Any:
        return sum((p["a"][0] * x + p["a"][1] - y) ** 2 for x, y in pairs)

    p, pairs = {"a": [2.0, 1.0], "b": np.ones(2)}, [(1.0, 2.0), (3.0, 5.0), (2.0, 4.0)]
    value, slope = program(f, p, pairs)(p, pairs)
    assert (value, slope["a"]) == (6.0, [18.0, 8.0])
    np.testing.assert_array_equal(slope["b"], 0.0)


# ------------------------------------------------------------------ indices
def test_a_whole_number_that_is_an_index_is_an_argument() -> None:
    def f(p: Any, token: int, at: int) -> Any:
        return np.sum(p[token] * p[at, 0])

    made = program(f, P, 2, 1)
    assert "p[token]" in made.source
    for token, at in ((2, 1), (0, 3), (-1, 1)):
        wanted = by_array(lambda p, i=token, k=at: f(p, i, k), P)
        for run in (made, program(f, P, np.int64(2), np.int64(1))):
            value, slope = run(P, np.int64(token), np.int64(at))
            close(value, wanted[0])
            close(slope, wanted[1])
        close(made(P, token, at)[1], wanted[1])
    with pytest.raises(IndexError):
        made(P, 9, 0)


@pytest.mark.parametrize(
    ("f", "n", "other"),
    [
        (lambda x, n: np.sum(x**n), 3, 2),
        (lambda x, n: np.sum(x[:n]), 2, 1),
        (lambda x, n: np.sum(x[n]) + n, 2, 0),
        (lambda x, n: sum(np.sum(x[i]) for i in range(n)), 2, 3),
        (lambda x, n: np.sum(np.sum(x, n)), 1, 0),
        (lambda x, n: np.sum(x) if n == 1 else np.sum(x * x), 1, 0),
        (lambda x, n: np.sum(x) * [1.0, 2.0, 3.0][n], 2, 0),
        (lambda x, n: np.sum(x) * {1: 2.0}.get(n, 3.0), 1, 0),
    ],
)
def test_any_other_whole_number_is_fixed(f: Any, n: int, other: int) -> None:
    made = program(f, P, n)
    assert f"if n != {n}:" in made.source or f"if n_ != {n}:" in made.source
    close(made(P, n)[1], by_array(lambda x: f(x, n), P)[1])
    close(made(P, other)[1], by_array(lambda x: f(x, other), P)[1])


def test_tokens_that_index_an_array_are_arguments() -> None:
    def f(table: Any, tokens: Any) -> Any:
        return reduce(lambda total, t: total + np.sum(table[t] ** 2), tokens, 0.0)

    made = program(f, P, [0, 2, 1, 1])
    source = made.source
    for tokens in ([0, 2, 1, 1], [3, 3, 0, 1]):
        close(made(P, tokens)[1], by_array(lambda p, t=tokens: f(p, t), P)[1])
    assert made.source == source


# ------------------------------------------------------------------ errors
def test_max_of_a_list_says_what_to_use() -> None:
    def f(x: Any) -> Any:
        m = max(x)
        return sum(np.exp(v - m) for v in x)

    with pytest.raises(TypeError, match=r"For max\(xs\): np.max\(np.stack\(xs\)\)"):
        program(f, [1.0, 2.0])
    assert f([Value(1.0), Value(2.0)]).data == 1.0 + np.exp(-1.0)


def test_the_error_is_that_of_f_with_arrays() -> None:
    with pytest.raises(ZeroDivisionError):
        program(lambda x, n: x[n] * (1 // 0), [1.0, 2.0], 0)
