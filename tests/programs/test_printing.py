"""The source of a program: its names, its constants, its lines."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.programs import (
    RNG,
    SOFT,
    Y,
    Z,
    by_backward,
    close,
    fresh,
    fresh_and_ruffed,
    ruffed,
    textbook,
)

import tinygrad_ce as tg
from tinygrad_ce import Value, program


def test_names_of_the_user_and_shapes_stand_in_the_source() -> None:
    for clean in (True, False):
        source = program(textbook, Z, SOFT, clean=clean).source
        assert "def loss_and_grad(z, t):" in source
        for line in ("e = np.exp(z)  # (n, 4)", "p = e / ", "return L, grad_z"):
            assert line in source
        assert clean or "grad_p = " in source
        assert "grad_z = " in source.split("# (n, 4)")[-2]


def test_lines_are_called_after_the_variables_of_f_and_of_what_it_calls() -> None:
    def softmax(z: Any) -> Any:
        e = np.exp(z)
        return e / e.sum()

    def loss_of(z: Any, t: Any) -> Any:
        h = z
        for _ in range(2):
            h = np.tanh(h)
        q = softmax(h)
        nll = -(t * np.log(q)).sum()
        return nll

    source = program(loss_of, np.array([1.0, 2.0]), np.array([0.0, 1.0])).source
    for name in ("h", "h_2", "e", "q", "nll"):
        assert f"    {name} = " in source
    assert "return nll, grad_z" in source
    number = program(lambda a: (c := a * a) * c + c, 3.0).source
    assert "    c = a * a" in number


def test_no_line_for_what_nobody_asked() -> None:
    x, w, b = RNG.normal(size=(5, 3)), RNG.normal(size=(3, 2)), np.zeros(2)

    def f(x: Any, w: Any, b: Any) -> Any:
        np.max(x) + np.min(w)
        return np.sum(np.tanh(x @ w + b))

    both = program(f, x, w, b, wrt=(1, 2))
    assert "grad_x" not in both.source
    assert "np.max" not in both.source
    assert "x.T.dot(" in both.source
    value, (dw, db) = both(x, w, b)
    right, wanted = by_backward(f, [x, w, b], (1, 2))
    close(value, right)
    close(dw, wanted[0])
    close(db, wanted[1])


def test_save_and_str(tmp_path: Path) -> None:
    made = program(textbook, Z, SOFT)
    made.save(tmp_path / "loss_and_grad.py")
    text = (tmp_path / "loss_and_grad.py").read_text(encoding="utf-8")
    assert text == made.source == f"{made}\n"
    missing = tmp_path / "nowhere" / "loss_and_grad.py"
    with pytest.raises(FileNotFoundError, match=r"nowhere/loss_and_grad\.py'$"):  # no .part file
        made.save(missing)


def test_the_tour_prints_its_loss_raw_and_cleaned(capsys: pytest.CaptureFixture[str]) -> None:
    from tinygrad_ce.__main__ import main

    z, t = np.array([1.0, 2.0, -3.0]), np.eye(3)[1]
    assert main(["--source", "--logits", "1", "2", "-3", "--target", "1"]) == 0
    raw, clean = capsys.readouterr().out.split("The same, cleaned\n-----------------\n")
    raw = raw.partition("---\n")[2]
    for text in (raw, clean):
        names: dict[str, Any] = {}
        exec(text, names)
        value, slope = names["loss_and_grad"](z, t)
        close(value, tg.cross_entropy(z, t))
        close(slope, tg.softmax(z) - t)
    assert len(raw) > len(clean)


def test_an_entry_of_each_row_is_written_not_added() -> None:
    """np.add.at takes several times as long; it stays where an entry may be read twice."""
    rows, other = np.arange(6), np.random.default_rng(3)
    for f, at in (
        (lambda z, y: np.sum(np.tanh(z[rows, y])), False),
        (lambda z, y: np.sum(np.tanh(z[y])), True),
        (lambda z, y: np.sum(np.tanh(z[:, 1:])), False),
        (lambda z, y: np.sum(np.tanh(np.take_along_axis(z, y[:, None], 1))), False),
        (lambda z, y: np.sum(np.tanh(z[rows // 2, y])), True),
        (lambda z, y: np.sum(np.tanh(z[rows // 2, rows % 2])), False),
        (lambda z, y: np.sum(np.tanh(z[rows - 3, y])), True),
    ):
        made = program(f, Z, Y)
        assert ("add.at" in made.source) is at, made
        y = other.integers(0, 4, 6)
        right, [back] = by_backward(f, [Z, y], (0,))
        value, slope = made(Z, y)
        close(value, right)
        close(slope, back)


NAMES = ["math", "bool", "ValueError", "l", "O", "θ", "_", "run", "x0"]


def test_names_that_the_program_needs_itself(tmp_path: Path) -> None:
    x, y = RNG.normal(size=(2, 3)), RNG.integers(0, 3, 2)
    own: dict[str, Any] = {"np": np}
    body = "np.sum(np.max(X, axis=1) * (X > 0).astype(bool)[:, 0]) + X[[0, 1], y].sum()"
    sources = []
    for name in NAMES:
        exec(f"def f({name}, y):\n    return {body.replace('X', name)}", own)
        made = program(own["f"], x, y)
        value, slope = made(x, y)
        right, [back] = by_backward(own["f"], [x, y], (0,))
        close(value, right)
        close(slope, back)
        sources.append(made.source)
    for _, slope in fresh(tmp_path, sources, [[x, y]] * len(sources)):
        close(slope, back)
    ruffed(tmp_path)


def test_names_that_would_be_one(tmp_path: Path) -> None:
    def f(_max: Any, max_: Any, max: Any) -> Any:
        return np.sum(_max - 2.0 * max_ + 3.0 * max * max)

    args = [RNG.normal(size=3) for _ in range(3)]
    (value, slopes), _ = fresh_and_ruffed(tmp_path, f, args, wrt=(0, 1, 2))
    close(value, f(*args))
    for got, want in zip(slopes, ([1.0] * 3, [-2.0] * 3, 6.0 * args[2])):
        close(got, want)


def test_parameters_that_fill_lines(tmp_path: Path) -> None:
    names = [f"a_parameter_{i}" for i in range(9)]
    own: dict[str, Any] = {}
    exec(f"def f({', '.join(names)}):\n    return {' * '.join(names)}", own)
    args = [float(x) for x in RNG.normal(size=9)]
    (value, slopes), source = fresh_and_ruffed(tmp_path, own["f"], args, wrt=range(9))
    close(value, np.prod(args))
    assert f"    {names[0]},\n    {names[1]},\n" in source
    assert max(map(len, source.splitlines())) <= 88
    for x, slope in zip(args, slopes):
        close(slope, np.prod(args) / x)


def test_quotes_and_line_breaks_in_keys(tmp_path: Path) -> None:
    keys = ["it's", 'a"b', "n\nl", "b\\s", "w"]
    params = {k: RNG.normal(size=2) for k in keys}

    def f(p: Any, how: str) -> Any:
        return {k: p[k] * 2.0 for k in keys}

    found, source = fresh_and_ruffed(tmp_path, f, [params, 'say "x"\n'], wrt=None)
    assert 'p["w"]' in source
    for k in keys:
        close(found[k], 2.0 * params[k])


@pytest.mark.parametrize("clean", [True, False])
def test_zeros_keep_their_sign(clean: bool) -> None:
    zeros = np.array([0.0, -0.0, -0.0])
    for c in (zeros, zeros[1:]):
        x = np.ones(c.shape)
        found = program(lambda x, c=c: x / c, x, wrt=None, clean=clean)
        with np.errstate(divide="ignore"):
            np.testing.assert_array_equal(found(x), x / c)


@pytest.mark.parametrize(
    "f",
    [
        lambda z, y: z[range(3), y].sum(),
        lambda z, y: z[:, range(0, 4, 2)].sum() + y[0],
        lambda z, y: z[(0, 1, 2), (1, 2, 0)].sum() + y[0],
    ],
)
def test_ranges_and_tuples_in_an_index(f: Any) -> None:
    z, y = np.arange(12.0).reshape(3, 4), np.array([1, 3, 0])
    made = program(f, z, y)
    leaf = Value(-z)
    loss = f(leaf, y[::-1])
    loss.backward()
    value, slope = made(-z, y[::-1])
    assert value == loss.data
    np.testing.assert_array_equal(slope, leaf.grad)
    names: dict[str, Any] = {}
    exec(program(f, z, y).source, names)
    np.testing.assert_array_equal(names["loss_and_grad"](-z, y[::-1])[1], leaf.grad)


def test_an_index_of_no_entries(tmp_path: Path) -> None:
    none = np.zeros((0,), int)
    f = lambda x, y: np.sum(x[none]) + np.sum(x[y] ** 2)
    (value, slope), _ = fresh_and_ruffed(tmp_path, f, [np.ones(3), none])
    assert value == 0.0
    assert not slope.any()


def test_what_linters_want(tmp_path: Path) -> None:
    mask = np.array([True, False] * 6)
    odd = np.array([np.inf, 1.0, -np.inf, np.nan] * 4)

    def f(x: Any, FREE: Any) -> Any:
        y = np.where(np.equal(0.0, x), odd[:12], -(x**-2.0)) + np.where(mask, x, 0.0)
        return np.sum(np.where(np.equal(FREE, np.max(FREE)), y, 1.0) * np.equal(x, True))

    def g(a_name_of_a_number: float, another_name: float) -> Any:
        return np.maximum(a_name_of_a_number, another_name) * np.ones(2)

    def h(x: Any) -> Any:
        return np.maximum(0.0, x)

    def k(A: float, b: float) -> Any:
        return np.maximum(A, b) * np.abs(A) + np.maximum(b, b) * np.minimum(A, A * 1.0)

    sources = [program(h, 1.0).source]
    sources += [program(k, 1.0, 2.0, clean=clean).source for clean in (True, False)]
    sources += [program(f, np.ones(12), np.ones(12)).source, program(g, 1.0, 2.0, wrt=None).source]
    for i, source in enumerate(sources):
        (tmp_path / f"p{i}.py").write_text(source)
    ruffed(tmp_path)


REPEATED = """
import numpy as np
import tinygrad_ce as tg

x = np.arange(24.0).reshape(6, 4)
loss = lambda z: tg.cross_entropy(z, np.array([0, 1, 2, 3, 0, 1]), label_smoothing=0.1)
print(tg.program(loss, x, clean=False).source)
made = tg.program(lambda a, b: a**3 * np.exp(a * b), 1.3, 2.0, wrt=(0, 1), clean=False)
print(made.source)
"""


@pytest.mark.slow
def test_every_interpreter_makes_the_same_program() -> None:
    """Names and memory addresses hash otherwise in each; what rests on their order would change."""
    found = set()
    for seed in "123456":
        code = f"kept = [object() for _ in range({seed}0)]\n{REPEATED}"
        run = [sys.executable, "-c", code]
        done = subprocess.run(
            run,
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"PYTHONHASHSEED": seed},
        )
        found.add(done.stdout)
    assert len(found) == 1


def test_a_long_statement_in_brackets_is_no_tuple() -> None:
    first, second = "a" * 30, "b" * 30
    own: dict[str, Any] = {"np": np}
    exec(
        f"def f({first}, {second}):\n    return 1.0 - np.where({first} > 0, {first}, {second})", own
    )
    made = program(own["f"], 2.0, 3.0, wrt=None)
    assert made(2.0, 3.0) == -1.0
    assert max(map(len, made.source.splitlines())) <= 88


def test_letters_of_every_alphabet_stay_in_names() -> None:
    def loss(θ: Any) -> Any:
        σ = 1.0 / (1.0 + np.exp(-θ))
        return (σ * σ).sum()

    source = program(loss, np.array([1.0, 2.0])).source
    assert "    σ = 1.0 / " in source
    assert " x = " not in source


DATA, TARGETS, W = RNG.normal(size=(5, 3)), RNG.normal(size=5), RNG.normal(size=3)
LEAF = Value(DATA, name="rows")


class Holder:
    X = DATA
    at = {"X": DATA}


def shadowed(w: Any) -> Any:
    X = np.tanh(DATA @ w)
    return np.sum((X - TARGETS) ** 2)


OUTSIDE: list[tuple[Any, list[str]]] = [
    (lambda w: np.mean((DATA @ w - TARGETS) ** 2), ["DATA @ w - TARGETS", "DATA.T @ "]),
    (lambda w: np.sum((Holder.X @ w) ** 2), ["Holder_X @ w", "Holder_X.T @ "]),
    (lambda w: np.sum((Holder.at["X"] @ w) ** 2), ["Holder_at_X @ w", "Holder_at_X.T @ "]),
    (lambda w: np.sum(np.matmul(LEAF, w) ** 2), ["rows @ w", "rows.T @ "]),
    (shadowed, ["X = np.tanh(DATA @ w)", "X - TARGETS"]),
]


@pytest.mark.parametrize(("f", "wanted"), OUTSIDE)
def test_arrays_from_outside_are_called_as_the_learner_does(
    f: Any, wanted: list[str], tmp_path: Path
) -> None:
    (value, slope), source = fresh_and_ruffed(tmp_path, f, [W])
    right, [back] = by_backward(f, [W], (0,))
    close(value, right)
    close(slope, back)
    assert [text for text in wanted if text not in source] == [], source


@pytest.mark.parametrize("t", [np.eye(3)[1], np.array([0.2, 0.3, 0.5])])
def test_targets_from_outside_keep_their_name_behind_a_sign(t: Any) -> None:
    def loss(z: Any) -> Any:
        e = np.exp(z)
        p = e / e.sum()
        return -(t * np.log(p)).sum()

    made = program(loss, W)
    assert "grad_z = p - t  #" in made.source
    assert "C_1" not in made.source
    close(made(W)[1], tg.softmax(W) - t)
    assert tg.derive(loss, W).steps[3].formula == "∂L/∂p = −t / p"


def test_arrays_of_one_name_are_numbered_and_arguments_keep_theirs() -> None:
    mask, w = np.zeros(3), np.arange(3.0)

    def scaled(x: Any) -> Any:
        return np.sum(x * w)

    def f(w: Any) -> Any:
        total = scaled(w)
        for i in range(3):
            mask[:] = 0
            mask[i] = i + 1
            total = total + np.sum(w * mask)
        return total

    made = program(f, np.ones(3))
    for line in ("def loss_and_grad(w):", "\nw_2 = ", "\nmask = ", "\nmask_2 = ", "\nmask_3 = "):
        assert line in made.source
    np.testing.assert_array_equal(made(np.ones(3))[1], [1, 3, 5])


def test_a_gradient_that_is_a_line_of_the_losss_rule_has_its_variables_name() -> None:
    X, y = np.random.default_rng(0).normal(size=(5, 4)), np.arange(5) % 4

    def f(W: Any, X: Any, y: Any) -> Any:
        for _layer in range(12):  # longer than what is collected
            X = np.tanh(X @ W) / np.sqrt((X * X).mean(axis=-1, keepdims=True) + 1e-5)
        logits = X @ W
        return tg.cross_entropy(logits, y)

    source = str(program(f, np.eye(4), X, y))
    assert "    grad_logits = p / n - " in source
    assert "= grad_logits.dot(W.T)" in source


def test_a_sum_that_one_line_reads_stays_within_it_though_a_variable_has_that_gradient() -> None:
    z, t = np.array([3.2, 1.3, 0.5]), np.array([1.0, 0.0, 0.0])

    def f(z: Any, t: Any) -> Any:
        e = np.exp(z)
        return -(t * np.log(e / e.sum())).sum()

    assert "    grad_z = t.sum() * p - t  # (n,)\n" in str(program(f, z, t, fuse=True))


@pytest.mark.parametrize("layers", [0, 12])  # of so many not all is collected
def test_a_line_of_the_forward_pass_has_no_gradients_name(layers: int) -> None:
    W, X = np.eye(4), np.ones((5, 4))

    def f(W: Any, X: Any) -> Any:
        for _layer in range(layers):
            X = np.tanh(X @ W) / np.sqrt((X * X).mean(axis=-1, keepdims=True) + 1e-5)
        h = X @ W
        return np.exp(h).sum()  # the gradient of h is a line that stands before

    source = str(program(f, W, X, wrt=(0, 1)))
    assert "grad_h" not in source
    assert "= np.exp(h)" in source


def test_an_argument_called_len_does_not_hide_pythons() -> None:
    source = str(program(lambda len, x: (len * x).sum(), np.ones(3), np.ones(3)))
    assert "    n = len(len_)\n" in source
