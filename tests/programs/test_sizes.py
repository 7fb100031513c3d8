"""Programs that are saved: for any number of rows, or for one, which they say."""

from __future__ import annotations

import linecache
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import some_quick
from helpers.programs import close, fresh_and_ruffed

import tinygrad_ce as tg
from tinygrad_ce import program, value_and_grad

RNG = np.random.default_rng(5)


def softmax_regression(W: Any, X: Any, y: Any) -> Any:
    e = np.exp(X @ W)
    p = e / e.sum(axis=1, keepdims=True)
    return -np.log(p[np.arange(len(X)), y]).sum() / len(X)


def of_parameters(p: Any, X: Any, y: Any) -> Any:
    h = np.tanh(X @ p["W"] + p["b"])
    return tg.cross_entropy(h @ p["V"], y) + 0.1 / len(y) * np.sum(p["V"] ** 2)


def penalty(w: Any, n: Any) -> Any:
    return np.sum(n * w[:, 0] ** 2) / np.size(n)


def rows(n: int, dtype: Any = float) -> tuple[Any, Any]:
    return RNG.normal(size=(n, 4)).astype(dtype), RNG.integers(0, 3, n)


W, B = RNG.normal(size=(4, 3)), RNG.normal(size=3)
MLP = {"W": RNG.normal(size=(4, 4)), "b": np.ones(4), "V": W}
GENERAL: dict[str, tuple[Any, Any, Any]] = {
    "len": (softmax_regression, W, rows),
    "float32": (softmax_regression, W.astype(np.float32), lambda n: rows(n, np.float32)),
    "shape[0]": (lambda w, X: np.sum((X @ w) ** 2) / X.shape[0], B @ W.T, lambda n: rows(n)[:1]),
    "mean": (lambda w, X, y: np.mean((X @ w - y) ** 2), B @ W.T, rows),
    "cross_entropy": (lambda W, X, y: tg.cross_entropy(X @ W, y), W, rows),
    "composed": (lambda W, X, y: tg.cross_entropy(X @ W, y, fused=False), W, rows),
    "smooth": (lambda W, X, y: tg.cross_entropy(X @ W, y, label_smoothing=0.1), W, rows),
    "structure": (of_parameters, MLP, rows),
    "a parameter n": (penalty, W, lambda n: rows(n)[:1]),
    "entries": (lambda w, X: np.sum(np.reshape(X @ w, -1)) / X.size, W, lambda n: rows(n)[:1]),
    "times": (lambda w, X: len(X) * np.sum(w * w) + np.sum(X @ w), W, lambda n: rows(n)[:1]),
    "of whole numbers": (
        lambda w, y: np.sum(w) * np.sum(y * float(len(y))), W, lambda n: rows(n)[1:],
    ),
    "more": (
        lambda w, X: np.sum(np.tanh(np.concatenate([X @ w, w]))), W,
        lambda n: rows(n)[:1],
    ),
}  # fmt: skip


def run_source(made: Any) -> Any:
    names: dict[str, Any] = {}
    exec(made.source, names)
    return names.get("loss_and_grad") or names["value"]


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("n", [3, *(pytest.param(n, marks=pytest.mark.slow) for n in (8, 9, 150))])
@pytest.mark.parametrize("name", some_quick(GENERAL, 4))
def test_a_saved_program_is_for_any_number_of_rows(name: str, n: int, clean: bool) -> None:
    f, w, data = GENERAL[name]
    run = run_source(program(f, w, *data(n), clean=clean))
    for other in (4, 1, n, 33):
        args = data(other)
        found, wanted = run(w, *args), value_and_grad(f)(w, *args)
        for got, want in zip(found, wanted):
            for key in want if isinstance(want, dict) else [...]:
                close(got[key] if key is not ... else got, want[key] if key is not ... else want)


def test_a_size_reads_as_a_size(tmp_path: Path) -> None:
    args = [W, *rows(8)]
    (value, _), source = fresh_and_ruffed(tmp_path, softmax_regression, args)
    close(value, softmax_regression(*args))
    assert "n = len(X)" in source
    assert "8" not in source
    assert "/ n" in source
    assert "(n, 3)" in source
    pairs = program(tg.hessian(lambda z: tg.logsumexp(z)), np.zeros(3))
    z = RNG.normal(size=5)
    close(run_source(pairs)(z), tg.hessian(tg.logsumexp)(z))


FROM: dict[str, tuple[Any, int]] = {
    "at least": (lambda w, X: np.sum(X @ w) / max(len(X), 6), 8),
    "a branch": (lambda w, X: np.sum(X @ w) * (2.0 if len(X) > 4 else 3.0), 8),
    "a half": (lambda w, X: np.sum(X @ w) * (2.0 if len(X) >= 4 else 3.0), 4),
    "one row": (lambda w, X: np.sum(X @ w) / (len(X) if len(X) > 1 else 7), 2),
    "no variance of one": (lambda w, X: np.sum(X @ w) + 0.0 * [1.0][len(X) < 2], 2),
    "an error": (lambda w, X: np.sum(X @ w + X[3] @ w) / len(X), 4),
}


@pytest.mark.parametrize("name", some_quick(FROM, 3))
def test_a_program_refuses_fewer_rows_than_it_holds_for(name: str) -> None:
    f, least = FROM[name]
    made = program(f, W, rows(8)[0])
    run = run_source(made)
    for n in (least, 8, 9, 300):
        X = rows(n)[0]
        for got, want in zip(run(W, X), value_and_grad(f)(W, X)):
            close(got, want)
    with pytest.raises(ValueError, match=f"got {least - 1} rows, wanted {least} or more"):
        run(W, rows(least - 1)[0])
    if name not in ("an error", "no variance of one"):
        close(made(W, X := rows(1)[0])[0], f(W, X))  # here there is a program of its own
    assert "or more" not in program(softmax_regression, W, *rows(8)).source


LIMIT = 250


def above(k: int) -> bool:
    return k > LIMIT


class Penalty:
    top = 150

    def __call__(self, w: Any, X: Any) -> Any:
        return np.sum(X @ w) * (2.0 if len(X) > self.top else 3.0)


UP_TO: dict[str, tuple[Any, int]] = {
    "a number": (lambda w, X: np.sum(X @ w) * (2.0 if len(X) > 500 else 3.0), 500),
    "or more": (lambda w, X: np.sum(X @ w) * (2.0 if len(X) >= 500 else 3.0), 499),
    "a global of what it calls": (
        lambda w, X: np.sum(X @ w) * (2.0 if above(len(X)) else 3.0),
        250,
    ),
    "an attribute": (Penalty(), 150),
    "a default": (lambda w, X, k=333: np.sum(X @ w) * min(len(X), k) / len(X), 333),
    "one of several": (lambda w, X: np.sum(X @ w) * (2.0 if len(X) in (200, 300) else 3.0), 199),
    "a part": (lambda w, X: np.sum((X @ w)[:140]) / len(X), 140),
    "a gradient": (tg.grad(lambda w, X: np.sum((X @ w) ** 2) * (1 + (len(X) > 180))), 180),
}


@pytest.mark.parametrize("name", some_quick(UP_TO, 3))
def test_a_program_refuses_more_rows_than_it_holds_for(name: str) -> None:
    f, most = UP_TO[name]
    run = run_source(program(f, W, rows(8)[0], wrt=None if name == "a gradient" else 0))
    for n in (8, 9, most):
        X = rows(n)[0]
        found = run(W, X) if name == "a gradient" else run(W, X)[0]
        close(found, f(W, X))
    with pytest.raises(ValueError, match=f"got {most + 1} rows, wanted {most} or fewer"):
        run(W, rows(most + 1)[0])


def test_a_function_without_a_module_has_limits_as_well() -> None:
    space: dict[str, Any] = {"np": np}
    exec("def f(w, X): return np.sum(X @ w) * (1 + (len(X) > 160)) / max(len(X), 6)", space)
    run = run_source(program(space["f"], W, rows(8)[0]))
    for n, wanted in ((7, "8 or more"), (161, "160 or fewer")):
        with pytest.raises(ValueError, match=f"got {n} rows, wanted {wanted}"):
            run(W, rows(n)[0])


def test_a_program_refuses_numbers_of_rows_that_its_function_knows() -> None:
    """Of 64 rows no fewer than 30, as 29 are dealt with in another way, however 1 or 2 are."""
    f = lambda w, X: np.sum(X @ w) * (3.0 if 16 < len(X) < 30 else 2.0)
    run = run_source(program(f, W, rows(64)[0]))
    for n in (30, 64, 300):
        X = rows(n)[0]
        close(run(W, X)[0], f(W, X))
    with pytest.raises(ValueError, match="got 29 rows, wanted 30 or more"):
        run(W, rows(29)[0])


TABLE = [1.0] * 150 + [2.0] * 150


def scale(n: int) -> float:
    return 2.0 if n > 170 else 1.0


unstack: Any = getattr(np, "unstack", list)  # since NumPy 2.1


def mean(x: Any, n: int) -> Any:
    return np.sum(x) / min(n, 150)


def first_or_all(w: Any, X: Any) -> Any:
    try:
        return np.sum((X @ w)[150])
    except IndexError:
        return np.sum(X @ w)


def in_place(w: Any, X: Any) -> Any:
    n = len(X)
    n %= 150
    return np.sum(X @ w) * n


def through_a_name(w: Any, X: Any) -> Any:
    half = X.shape[0] / 2
    scale = 2.0 * half
    return np.sum(X @ w) * (2.0 if scale > 151 else 3.0)


def through_a_name_given_later(w: Any, X: Any) -> Any:
    n = len(X)
    sum = min
    return np.sum(X @ w) / sum(n, 133)


def through_a_function_within(w: Any, X: Any) -> Any:
    n = len(X)

    def weight(x: float) -> float:
        return x / n

    return np.sum(X @ w) * max(weight(300.0), 2.0)


def through_positions(w: Any, X: Any) -> Any:
    positions = np.arange(len(X))
    return np.sum((X @ w)[positions[:144]])


class Counting:
    """It keeps a size where others of its methods read it."""

    def __call__(self, w: Any, X: Any) -> Any:
        self.rows = X.shape[0]
        return np.sum(X @ w) * self.weight()

    def weight(self) -> float:
        return 2.0 if self.rows > 151 else 3.0


DECIDES: dict[str, Any] = {
    "a power": lambda w, X: np.sum(X @ w) * (2.0 if len(X) ** 2 > 30_000 else 3.0),
    "a product": lambda w, X: np.sum(X @ w) * (2.0 if X.shape[0] * 4 > 666 else 3.0),
    "entries": lambda w, X: np.sum(X @ w) * (2.0 if np.size(X) > 666 else 3.0),
    "the least": lambda w, X: np.sum(X @ w) / min(len(X), 133),
    "np.minimum": lambda w, X: np.sum(X @ w) / np.minimum(len(X), 133),
    "odd or even": lambda w, X: np.sum(X @ w) * (1 + len(X) % 2),
    "a logarithm": lambda w, X: np.sum(X @ w) * (2.0 if math.log(len(X)) > 5.0 else 3.0),
    "like it": lambda w, X: np.sum(X @ w) * (2.0 if len(np.zeros_like(X)) > 150 else 3.0),
    "what it calls": lambda w, X: np.sum(X @ w) * scale(len(X)),
    "what has NumPy's name": lambda w, X: mean(X @ w, len(X)),
    "a default": lambda w, X, sum=mean: sum(X @ w, len(X)),
    "rows one by one": lambda w, X: np.sum(X @ w) * (2.0 if len(unstack(X)) > 150 else 3.0),
    "rows of a Value": lambda w, X: np.sum(X @ w) * (2.0 if len(unstack(X @ w)) > 150 else 3.0),
    "how it reads": lambda w, X: np.sum(X @ w) * (2.0 if "(15" in repr(X.shape) else 3.0),
    "a table": lambda w, X: np.sum(X @ w) * TABLE[len(X)],
    "a table in place": lambda w, X: np.sum(X @ w) * ([1.0] * 150 + [2.0] * 150)[X.shape[0]],
    "a part": lambda w, X: np.mean((X @ w)[:144]),
    "a part of positions": lambda w, X: np.sum((X @ w)[np.arange(len(X))[:144]]),
    "an entry, if there is one": first_or_all,
    "columns": lambda w, X: np.sum(np.linalg.svdvals(np.tanh(X @ w) @ np.ones((3, 144)))),
    "odd or even, in place": in_place,
    "through a name": through_a_name,
    "through a name that is given later": through_a_name_given_later,
    "through a function within": through_a_function_within,
    "a part of positions, by a name": through_positions,
    "a root that is cut": lambda w, X: np.sum(X @ w) * np.sqrt(len(X)).clip(0.0, 12.0),
    "the largest of two": lambda w, X: np.sum(X @ w) * np.max([len(X), 144]),
    "a loop": lambda w, X: sum(np.sum(X @ w) for _ in range(min(len(X), 150))),
    "what is kept": Counting(),
    "a sign by turns": lambda w, X: np.sum(X @ w) * (-1.0) ** len(X),
    "a sign by turns, as an angle": lambda w, X: np.sum(X @ w) * np.cos(np.pi * len(X)),
    "what is full of few": lambda w, X: np.sum(X @ w) * np.tanh(3.0 * len(X)),
    "within a gradient": lambda w, X: np.sum(
        tg.grad(lambda v: np.sum((X @ v) ** 2) * (2.0 if len(X) > 160 else 1.0))(w) ** 2
    ),
}


@pytest.mark.parametrize("name", some_quick(DECIDES, 6))
def test_what_f_decides_by_the_number_of_rows_is_right_or_refused(name: str) -> None:
    f = DECIDES[name]
    made = program(f, W, rows(8)[0])
    run = run_source(made)
    agreed = 0
    for n in (1, 8, 9, 132, 134, 143, 145, 151, 152, 171, 174, 200, 299):
        X = rows(n)[0]
        try:
            found = run(W, X)
        except ValueError as error:
            assert re.search("got .*wanted", str(error))  # noqa: PT017
            continue
        for got, want in zip(found, value_and_grad(f)(W, X)):
            np.testing.assert_allclose(got, want, 1e-9, 1e-11)
        agreed += 1
    assert agreed


def stable_softmax(z: Any) -> Any:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def with_names(w: Any, X: Any) -> Any:
    n, features = X.shape
    one = 1.0 / n
    for _ in range(2):
        total = one * np.sum(np.max(X @ w, axis=1)) + features
    return total


def of_chosen_entries(w: Any, X: Any) -> Any:
    p = stable_softmax(X @ w)
    loss = -np.log(p[np.arange(len(X)), np.argmax(X[:, 1:], axis=1)]).mean()
    loss += np.sum(w**2) / float(X.shape[0])
    return loss


ANY: dict[str, Any] = {
    "a maximum beside it": lambda w, X: np.sum(stable_softmax(X @ w) ** 3) / len(X),
    "a part of the columns": lambda w, X: np.mean((X @ w)[:, :2] ** 2) + np.sum(w) / len(X),
    "names": with_names,
    "entries": of_chosen_entries,
    "a shape given to NumPy": lambda w, X: np.sum((X @ w).reshape(X.shape[0] * 3) ** 2) / -len(X),
    "a maximum of what it divides": lambda w, X: np.sum(((X @ w) / len(X)).max(axis=0)),
}


@pytest.mark.parametrize("name", some_quick(ANY, 3))
def test_a_size_that_only_goes_into_arithmetic_sets_no_limits(name: str) -> None:
    f = ANY[name]
    run = run_source(program(f, W, rows(8)[0]))
    for n in (3, 8, 999):
        X = rows(n)[0]
        for got, want in zip(run(W, X), value_and_grad(f)(W, X)):
            close(got, want)


def test_a_source_that_is_no_python_leaves_the_size_and_sets_limits() -> None:
    """As a notebook's cell is that has a magic in it."""
    text = "def f(w, X):\n    return np.sum(X @ w) / len(X)\n"
    space: dict[str, Any] = {"np": np}
    exec(compile("\n" + text, "<a cell>", "exec"), space)
    lines = f"%matplotlib inline\n{text}".splitlines(True)
    linecache.cache["<a cell>"] = (len(text), None, lines, "<a cell>")
    run = run_source(program(space["f"], W, rows(8)[0]))
    close(run(W, X := rows(9)[0])[0], space["f"](W, X))


def test_a_loss_of_a_part_of_the_rows_is_for_as_many() -> None:
    assert "rows" not in program(lambda w, X: np.mean(np.tanh(X @ w)[1:, :2]), W, rows(8)[0]).source


def test_a_constant_of_a_size_keeps_its_dtype() -> None:
    """Also one of no entries, which is as like whole numbers in order as like ones."""
    f = lambda x: np.sum(x * np.arange(len(x), dtype=np.float32))
    x = np.ones(3, np.float32)
    made = program(f, x)
    assert "np.arange(n" in made.source
    value, slope = run_source(made)(np.ones(5, np.float32))
    assert (value, value.dtype, slope.dtype) == (10.0, np.float32, np.float32)
    made = program(tg.jacobian(lambda x: np.sum(x * x)), np.ones((3, 0)))
    assert "(n, 0)" in made.source
    found = run_source(made)(np.ones((5, 0)))
    assert (found.shape, found.dtype) == ((5, 0), np.float64)


FEW = np.ones(8)
FIXED: dict[str, Any] = {
    "a logarithm": lambda w, X: np.sum(X @ w) / math.log(len(X)),
    "one less": lambda w, X: np.sum(X @ w) / (len(X) - 1),
    "a half": lambda w, X: np.sum((X @ w)[: len(X) // 2]),
    "at most": lambda w, X: np.sum(X @ w) * min(len(X), 10),
    "others of so many": lambda w, X: np.sum(FEW @ (X @ w)),
    "other steps": lambda w, X: np.sum(X @ w) * (2.0 if len(X) > 10 else 3.0),
    "drawn": lambda w, X: np.sum((X + np.random.default_rng(0).normal(size=X.shape)) @ w),
    "random steps": lambda w, X: sum(np.sum(X[i] @ w) for i in range(len(X))),
}


@pytest.mark.parametrize("name", FIXED)
def test_what_cannot_be_told_to_be_a_size_refuses_other_rows(name: str) -> None:
    made = program(FIXED[name], W, X := rows(8)[0])
    run = run_source(made)
    assert run(W, X)[0] == made(W, X)[0]
    message = r"got shapes \(\(4, 3\), \(4, 4\)\), wanted \(\(4, 3\), \(8, 4\)\)"
    with pytest.raises(ValueError, match=message):
        run(W, X[:4])
    if name not in ("drawn", "others of so many"):
        close(made(W, X[:4])[0], FIXED[name](W, X[:4]))  # another program, here


@pytest.mark.parametrize("part", [lambda X: X[:4], lambda X: X * np.log(len(X))])
def test_few_rows_do_not_make_other_numbers_look_like_sizes(part: Any) -> None:
    """Of 2 rows the first four are all, and log 2 doubles with them."""
    example, X, w = np.ones((2, 3)), RNG.normal(size=(7, 3)), RNG.normal(size=3)

    def f(w: Any, X: Any) -> Any:
        return np.sum(part(X) @ w)

    made = program(f, w, example)
    namespace: dict[str, Any] = {}
    exec(made.source, namespace)
    saved = namespace[made.source.split("def ")[-1].split("(")[0]]
    with pytest.raises(ValueError, match="wanted"):
        saved(w, X)


def test_other_sizes_are_refused() -> None:
    run = run_source(program(softmax_regression, W, *rows(8)))
    X, y = rows(4)
    for args in ((W, X[:, :3], y), (W, X, y[:3]), (W[:, :2], X, y), (W, X[None], y)):
        with pytest.raises(ValueError, match="got shapes"):
            run(*args)
    run = run_source(program(lambda x, w: np.sum(x * w), np.ones(3), np.ones(3)))
    with pytest.raises(ValueError, match=r"got .*\(3,\), \(1,\)"):  # its gradient has one entry
        run(np.ones(3), np.ones(1))


def test_rows_of_data_may_be_as_many_as_of_parameters() -> None:
    for n in (4, 3):  # also the columns of one
        run = run_source(program(softmax_regression, W, *rows(n)))
        args = W, *rows(6)
        close(run(*args)[1], tg.grad(softmax_regression)(*args))


def test_here_a_program_does_as_its_function_for_each_number_of_rows() -> None:
    f = lambda w, X: np.sum(X @ w) * (2.0 if len(X) > 20 else 3.0)
    made = program(f, W, rows(8)[0])
    for n in (8, 16, 30):
        close(made(W, X := rows(n)[0])[0], f(W, X))


def test_the_function_is_called_twice_until_its_source_is_asked_for() -> None:
    calls = []

    def f(x: Any) -> Any:
        calls.append(len(x))
        return np.sum(x * x) / len(x)

    made = program(f, np.ones(3))
    assert made(np.ones(3))[0] == 1.0
    assert calls == [3, 3]
    assert "/ n" in made.source
    assert len(calls) > 1
    before = list(calls)
    assert made.source == str(made) + "\n"
    assert calls == before


@pytest.mark.slow
def test_a_jacobian_is_recorded_with_no_more_rows_than_tell_its_sizes() -> None:
    calls: list[int] = []

    def f(x: Any) -> Any:
        calls.append(len(x))
        return np.exp(x) / np.exp(x).sum() / len(x)

    source = program(tg.jacobian(f), np.linspace(0.0, 1.0, 5)).source
    assert "/ n" in source
    assert max(calls) < 50
    refuses_or_agrees = program(tg.jacobian(lambda x: np.exp(x[:4]) / np.log(len(x))), np.ones(3))
    assert "n = len(x)" not in refuses_or_agrees.source
