"""What a program cannot hold, and what it refuses in a call: each with the line or the shapes."""

from __future__ import annotations

import itertools
import math
import os
import random
import sys
import time
import types
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers.programs import RNG, SOFT, WEIGHT, Y, Z, by_backward, ce, close, lines_of

import tinygrad_ce as tg
from tinygrad_ce import program


@pytest.mark.parametrize(
    "how", [{}, {"fused": False}, {"ignore_index": -7}, {"weight": WEIGHT, "label_smoothing": 0.1}]
)
def test_a_class_out_of_range_is_refused_in_every_call(how: Any) -> None:
    made = program(ce(**how), Z, Y)  # its arguments are z and t
    names: dict[str, Any] = {}
    exec(made.source, names)
    for bad in (4, -1, -100):
        y = Y.copy()
        y[2] = bad
        for run in (made, names["loss_and_grad"]):
            with pytest.raises(IndexError, match="t: wanted indices from 0 to 3"):
                run(Z, y)
    y = (Y + 1) % 4
    y[0] = how.get("ignore_index", y[0])
    right, [back] = by_backward(ce(**how), [Z, y], (0,))
    value, slope = made(Z, y)
    close(value, right)
    close(slope, back)


def test_functions_that_numpy_calls_are_refused_with_their_line() -> None:
    for f in (
        lambda x: np.sum(np.piecewise(x, [x > 0], [lambda z: z + 1.0])),
        lambda x: np.sum(np.apply_along_axis(lambda z: z + 1.0, 0, x)),
        lambda x: np.sum(np.apply_along_axis(np.sum, 0, x)),
        lambda x: np.sum(np.apply_over_axes(np.sum, x, [0])),
        lambda x: np.sum(np.apply_along_axis(math.fsum, 0, x)),
        lambda x: np.sum(np.piecewise(x, [x > 0], [np.sin])),
    ):
        with pytest.raises(TypeError, match=r"test_refusals\.py, line \d+: A function that np\."):
            program(f, np.ones(3), wrt=None)


def test_a_key_that_depends_on_data_is_refused() -> None:
    for f in (lambda x, y: x if y in {1.0, 2.0} else -x, lambda x, y: x * {2.0: 5.0}.get(y, 9.0)):
        with pytest.raises(TypeError, match=r"test_refusals\.py, line \d+: x as a key"):
            program(f, 3.0, 2.0)


def test_without_retrace_other_arguments_are_refused() -> None:
    made = program(lambda x: np.sum(x * x), np.ones(3), retrace=False)
    assert made(np.ones(3))[0] == 3.0
    with pytest.raises(ValueError, match=r"got x: float64\[4\], wanted x: float64\[3\]"):
        made(np.ones(4))
    with pytest.raises(ValueError, match="float32"):
        made(np.ones(3, np.float32))


def branch(z: Any) -> Any:
    total = z.sum()
    if total > 0:
        return total
    return -total


def looped(z: Any) -> Any:
    while np.sum(z) > 1.0:
        z = z / 2.0
    return z.sum()


def by_data(z: Any) -> Any:
    if z.data.max() > 3:
        return z.sum()
    return -z.sum()


def number(z: Any) -> Any:
    return np.sum(z) * float(z.data.max())


def number_of_a_value(z: Any) -> Any:
    return np.sum(z) * float(np.sum(z))


def whole_number_of_a_value(z: Any) -> Any:
    return np.sum(z) * int(z[0, 0])


def complex_number_of_a_value(z: Any) -> Any:
    return np.sum(z) * complex(z[0, 0])


def index_of_a_value(z: Any) -> Any:
    return np.sum(z) * [1.0, 2.0][z[0, 0]]


def array_of_a_value(z: Any) -> Any:
    return np.sum(z) * np.array(z)


def truth_of_a_value(z: Any) -> Any:
    return np.sum(z) if z else 0.0


def scalar_math(z: Any) -> Any:
    return np.sum(z) * math.exp(z.data[0, 0])


def scalar_math_of_a_value(z: Any) -> Any:
    return np.sum(z) * math.exp(z[0, 0])


def caught(z: Any) -> Any:
    try:
        assert np.all(z > 0)
    except (AssertionError, TypeError):
        return -z.sum()
    return z.sum()


def inequality(z: Any) -> Any:
    total = np.sum(z)
    if total != 0:
        return 1.0 / total
    return total


def item(z: Any) -> Any:
    return np.sum(z) * z.data[0, 0].item()


def made_array(z: Any) -> Any:
    return np.sum(z * np.array(z.data))


def one_hot(z: Any, y: Any) -> Any:
    return np.sum(z * np.eye(4)[y])


def written(z: Any, t: Any) -> Any:
    t[0] = 1.0
    return np.sum(z * t)


def in_place(z: Any, t: Any) -> Any:
    t += 1.0
    return np.sum(z * t)


def into(z: Any, t: Any) -> Any:
    np.exp(t, out=t)
    return np.sum(z * t)


def added_at(z: Any, t: Any) -> Any:
    np.add.at(t, [0], 1.0)
    return np.sum(z * t)


def added_number(z: Any, t: Any) -> Any:
    total = np.sum(t)
    total += 1.0
    return np.sum(z * total)


def copied(z: Any, t: Any) -> Any:
    np.copyto(t, 0.0)
    return np.sum(z * t)


def ranged(z: Any, y: Any) -> Any:
    return np.sum(z) * sum(range(y[0]))


@pytest.mark.parametrize(
    ("f", "line"),
    [
        (branch, 2), (looped, 1), (by_data, 1), (number, 1), (scalar_math, 1), (item, 1),
        (made_array, 1), (one_hot, 1), (written, 1), (in_place, 1), (into, 1), (copied, 1),
        (added_at, 1), (added_number, 2),
        (ranged, 1), (number_of_a_value, 1), (whole_number_of_a_value, 1),
        (complex_number_of_a_value, 1), (index_of_a_value, 1), (array_of_a_value, 1),
        (truth_of_a_value, 1), (scalar_math_of_a_value, 1), (inequality, 2),
        (caught, 2),
    ],
)  # fmt: skip
def test_what_depends_on_data_is_refused_with_its_line(f: Any, line: int) -> None:
    more = [] if f.__code__.co_argcount == 1 else [Y] if f in (one_hot, ranged) else [SOFT.copy()]
    with pytest.raises(TypeError, match=f"test_refusals.py, line {lines_of(f, line)}: .* depends"):
        program(f, Z, *more)
    if more and more[0] is not Y:
        assert (more[0] == SOFT).all()


BUFFER, ROWS = np.zeros(3), np.zeros((2, 3))
WRITES: dict[str, Any] = {
    "sort": lambda x: (y := x.copy(), y.sort(), y)[2],
    "partition": lambda x: (y := x.copy(), y.partition(1), y)[2],
    "resize": lambda x: (y := x.copy(), y.resize(2), y)[2],
    "put": lambda x: (y := x.copy(), y.put([0], 5.0), y)[2],
    "fill": lambda x: (y := x.copy(), y.fill(5.0), y)[2],
    "at": lambda x: (y := x.copy(), np.add.at(y, [0], 1.0), y)[2],
    "at an argument": lambda x: (np.add.at(x, [0], 1.0), x)[1],
    "at a constant": lambda x: (np.add.at(BUFFER, [0], x[0]), x * BUFFER)[1],
    "np.put": lambda x: (y := x.copy(), np.put(y, [0], 5.0), y)[2],
    "np.fill_diagonal": lambda x: (y := np.outer(x, x), np.fill_diagonal(y, 1.0), y)[2],
    "into a constant": lambda x: (np.copyto(BUFFER, x), x * BUFFER)[1],
    "put into a constant": lambda x: (np.put(BUFFER, [0], x), x * BUFFER)[1],
    "added to a constant": lambda x: (y := ROWS, y.__iadd__(x))[1],
    "ufunc": lambda x: (np.exp(x, BUFFER), x * BUFFER)[1],
} | {
    name: lambda x, f=f: (f(x), x * BUFFER)[1]
    for name, f in {
        "out=": lambda x: np.cumsum(x, out=BUFFER),
        "clip": lambda x: np.clip(x, 0.0, 1.0, BUFFER),
        "sum": lambda x: np.sum(x * ROWS, 0, None, BUFFER),
        "cumsum": lambda x: np.cumsum(x, None, None, BUFFER),
        "take": lambda x: np.take(x, [0, 1, 0], None, BUFFER),
        "dot": lambda x: np.dot(np.eye(3), x, BUFFER),
        "dot of an argument": lambda x: np.dot(np.eye(3), x, x.copy()),
        "concatenate": lambda x: np.concatenate([x[:1], x[1:]], 0, BUFFER),
        "round": lambda x: np.round(x, 0, BUFFER),
        "nan_to_num": lambda x: np.nan_to_num(x, False),
    }.items()
}


@pytest.mark.parametrize("name", WRITES)
def test_what_writes_into_an_array_is_refused_with_its_line(name: str) -> None:
    """Recorded, it would be left out; a constant would keep what the example was."""
    with pytest.raises(TypeError, match=r"test_refusals.py, line \d+: .* depends"):
        program(WRITES[name], x := np.array([3.0, 1.0, 2.0]), wrt=None)
    assert x.tolist() == [3.0, 1.0, 2.0]
    assert not BUFFER.any()
    assert not ROWS.any()


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.array([x[0], x[1]]).sum(),
        lambda x: np.exp([x[0], 1.0]).sum(),
        lambda x: (r := ROWS.copy(), r.__setitem__(0, x), r.sum())[2],
        lambda x: (r := BUFFER.copy(), r.__setitem__(0, x[0]), r.sum())[2],
    ],
)
@pytest.mark.parametrize("wrt", [0, None])
def test_entries_put_together_are_refused_with_the_way(f: Any, wrt: Any) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        program(f, np.array([3.0, 1.0, 2.0]), wrt=wrt)
    assert "np.stack" in str(caught.value.__cause__ or caught.value)


class Tagged(np.ndarray):
    """An array that does what NumPy's do."""


USES: list[Callable[[Any, Any], Any]] = [
    lambda x, c: np.sum(x * c),
    lambda x, c: np.sum(np.maximum(c, x)),
    lambda x, c: x @ c,
    lambda x, c: np.sum(np.take(x, (c - 1).astype(int))),
    lambda x, c: np.sum(x[(c - 1).astype(int)] * 2.0),
    lambda x, c: np.sum(np.stack([x, c]) ** 2),
]


@pytest.mark.parametrize("wrt", [0, None])
@pytest.mark.parametrize("use", range(len(USES)))
@pytest.mark.parametrize("kind", [np.ndarray, np.memmap, Tagged])
def test_constants_of_any_class_are_copied(kind: Any, use: int, wrt: Any, tmp_path: Any) -> None:
    np.array([1.0, 3.0, 2.0]).tofile(tmp_path / "c")
    c = np.memmap(tmp_path / "c", float, "r+")
    c = c if kind is np.memmap else np.array(c).view(kind)
    x = np.array([1.0, 5.0, 2.0])
    wanted = USES[use](x, np.array(c))
    made = program(lambda x: USES[use](x, c), np.ones(3), wrt=wrt)
    c[:] = 9.0
    assert made.source  # which is printed now
    found = made(x)
    assert (found if wrt is None else found[0]) == wanted


@pytest.mark.parametrize("wrt", [0, None])
@pytest.mark.parametrize("use", range(len(USES)))
def test_masked_constants_are_refused(use: int, wrt: Any) -> None:
    c = np.ma.masked_array([1.0, 3.0, 2.0], [0, 1, 0])
    with pytest.raises(TypeError, match="got a MaskedArray"):
        program(lambda x: USES[use](x, c), np.ones(3), wrt=wrt)


def test_a_table_at_class_indices() -> None:
    """``np.eye(k)[y]`` cannot be recorded: NumPy asks y for plain numbers; the error says how."""
    with pytest.raises(TypeError, match=r"for np.eye\(k\)\[y\], y\[:, None\] == np.arange\(k\)"):
        program(one_hot, Z, Y)
    made = program(lambda z, y: np.sum(z * (y[:, None] == np.arange(4))), Z, Y)
    other = (Y + 1) % 4
    value, slope = made(Z, other)
    close(value, Z[np.arange(6), other].sum())
    close(slope, np.eye(4)[other])


RANDOM, COUNTER, SEEN, ONCE = np.random.default_rng(3), itertools.count(), [0.0], iter([2.0])


class Normed:
    """A layer that keeps a running mean; it uses it once it has some."""

    def __init__(self, uses: bool) -> None:
        self.mean, self.uses = np.zeros(()), uses

    def __call__(self, x: Any) -> Any:
        mean = np.mean(x)
        self.mean = 0.9 * self.mean + 0.1 * mean
        return np.sum((x - (self.mean if self.uses else mean)) ** 2)


OTHERS: dict[str, Callable[[Any], Any]] = {
    "dropout": lambda x: np.sum(x * (RANDOM.random(3) > 0.5)) + RANDOM.random(),
    "np.random": lambda x: np.sum(x + np.random.normal(size=3)),  # noqa: NPY002
    "random": lambda x: np.sum(x) * random.random(),
    "permutation": lambda x: np.sum(x[RANDOM.permutation(3)] * RANDOM.random(3)),
    "number of entries": lambda x: np.sum(x[: next(COUNTER) % 3]),
    "clock": lambda x: np.sum(x) * time.perf_counter(),
    "operating system": lambda x: np.sum(x) * int.from_bytes(os.urandom(8)),
    "counter": lambda x: np.sum(x) * 0.9 ** next(COUNTER),
    "branch": lambda x: np.sum(x) if next(COUNTER) % 2 else np.sum(x * x),
    "argument": lambda x: x[next(COUNTER) % 2] * 2.0,
    "array or argument": lambda x: np.sum(x * (x, np.ones(3))[next(COUNTER) % 2]),
    "argument or array": lambda x: np.sum(x * (np.ones(3), x)[next(COUNTER) % 2]),
    "list": lambda x: np.sum(x) * len(SEEN.append(1.0) or SEEN),  # type: ignore[func-returns-value]
}
KEPT = list[Any]()


@pytest.mark.parametrize("wrt", [0, None])
@pytest.mark.parametrize("name", OTHERS)
def test_a_function_that_does_something_else_each_time_is_refused(name: str, wrt: Any) -> None:
    """Its program would keep what the first call found."""
    with pytest.raises(TypeError, match=r"test_refusals\.py, line \d+: f does something else when"):
        program(OTHERS[name], np.ones(3), wrt=wrt)


def test_a_ufunc_that_is_made_anew_in_each_call_is_no_other_one() -> None:
    with pytest.raises(TypeError, match="has no public name in a module"):
        program(lambda x: np.sum(np.frompyfunc(abs, 1, 1)(x)), np.ones(3), wrt=None)
    for pair in ((np.sin, np.cos), (np.add.accumulate, np.maximum.accumulate)):
        with pytest.raises(TypeError, match="f does something else"):
            program(lambda x, fs=pair: np.sum(fs[next(COUNTER) % 2](x)), np.ones(3), wrt=None)


def test_no_module_is_asked_for_what_it_deprecates(monkeypatch: Any) -> None:
    old = types.ModuleType("deprecating")
    old.__getattr__ = lambda name: warnings.warn(f"use new.{name}", stacklevel=1)  # type: ignore[method-assign]
    monkeypatch.setitem(sys.modules, "deprecating", old)
    with pytest.raises(TypeError, match="has no public name in a module"):
        program(lambda x: np.sum(np.frompyfunc(abs, 1, 1)(x)), np.ones(3), wrt=None)


def test_a_function_that_has_no_second_call_is_refused() -> None:
    with pytest.raises(TypeError, match="f does something else") as caught:
        program(lambda x: np.sum(x) * next(ONCE), np.ones(3))
    assert isinstance(caught.value.__cause__, StopIteration)
    with pytest.raises(TypeError, match="f does something else"):
        program(lambda x: {"sum": np.sum(x), "drawn": RANDOM.random()}, np.ones(3))


@pytest.mark.parametrize(
    "f",
    [
        Normed(True),
        lambda x: np.sum([KEPT.append(x * x), KEPT[0]][1]),
        lambda x: [KEPT.append(np.sum(x)), KEPT[0]][1],
    ],
)
@pytest.mark.parametrize("wrt", [0, None])
def test_what_a_function_kept_of_a_recording_is_refused(f: Any, wrt: Any) -> None:
    KEPT.clear()
    for message in ("when it is called again|has kept", "has kept"):
        with pytest.raises(TypeError, match=message):
            program(f, np.ones(3), wrt=wrt)


def test_another_shape_is_recorded_twice_as_well() -> None:
    made = program(lambda x: np.sum(x) * (RANDOM.random() if len(x) > 3 else 2.0), np.ones(3))
    assert made(np.ones(3))[0] == 6.0
    with pytest.raises(TypeError, match="f does something else"):
        made(np.ones(4))


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.sum(x * np.random.default_rng(0).normal(size=3)),
        lambda x: (RANDOM.random(), np.sum(x * x))[1],
        lambda x: sum(x[i] * i for i in {2, 0, 1}),
        lambda x: np.sum(np.where(x > 1.0, math.nan, x)),
        lambda x: (SEEN.append(1.0), np.sum(x * x))[1],
        lambda x: np.sum(tg.primitive(lambda g, out, x: 2.0 * g * x)(lambda x: x * x)(x)),
        Normed(False),
    ],
)
def test_a_function_that_does_the_same_each_time_is_printed(f: Any) -> None:
    x = np.array([0.5, 1.0, -2.0])
    value, slope = program(f, x)(x)
    close(value, f(x))
    close(slope, tg.grad(f)(x))


def test_arguments_of_program_are_checked() -> None:
    with pytest.raises(TypeError, match="wanted a function"):
        program(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="wrt=2: got 1 example"):
        program(np.sum, Z, wrt=2)
    with pytest.raises(ValueError, match="each once"):
        program(np.sum, Z, wrt=(0, 0))
    for wrong in (True, 1.5, "0", -1, (0, 1.0)):
        with pytest.raises(ValueError, match="wanted the place of one, from 0"):
            program(np.sum, Z, wrt=wrong)  # type: ignore[arg-type]
    big = RNG.normal(size=20_000)
    with pytest.raises(ValueError, match="too large to be written out"):
        program(lambda x: np.sum(big * x[0]), np.ones(3))
    with pytest.raises(TypeError, match="takes 1 positional argument"):
        program(lambda x: np.sum(x * x), Z)(Z, Z)
    with pytest.raises(TypeError, match="complex"):
        program(lambda x: np.sum(x * x), Z + 1j)


@pytest.mark.parametrize(
    "f",
    [
        lambda z, y: np.mean(z[z > 0]),
        lambda z, y: np.mean(z[: y[0]]),
        lambda z, y: z.sum() * len(y[y > 0]),
        lambda z, y: np.mean(z[np.nonzero(y)]),
        lambda z, y: np.mean(z[np.where(y > 0)]),
        lambda z, y: z.sum() * np.unique(y).shape[0],
        lambda z, y: z.sum() * np.mean(np.repeat(y, y)),
        lambda z, y: z.sum() * np.mean(np.pad(y, y[:1])),
        lambda z, y: z.sum() * np.mean(np.split(y + 1, y[:1])[1]),
        lambda z, y: z.sum() * np.mean(np.diff(y, y[0])),
        lambda z, y: z.sum() * np.mean(np.setxor1d(y, np.arange(3))),
        lambda z, y: z.sum() * np.mean(np.delete(y, y)),
        lambda z, y: z.sum() * np.mean(np.roots(y)),
    ],
)
def test_shapes_that_depend_on_data_are_refused(f: Any) -> None:
    """The gradient of a mean holds how many there were in the example."""
    at = f.__code__.co_firstlineno
    with pytest.raises(TypeError, match=rf"test_refusals.py, line {at}: The shape of .* depends"):
        program(f, RNG.normal(size=4), np.array([1, 0, 2, 0]))


def test_an_inverted_comparison_of_numbers_is_refused() -> None:
    """Of floats it is Python's True, and ~True is -2."""
    f = lambda x: np.where(~(x > 0.0), x, 2.0 * x)
    with pytest.raises(
        TypeError, match=rf"test_refusals.py, line {lines_of(f, 0)}: ~ .*logical_not"
    ):
        program(f, 1.0)
    made = program(lambda x: np.sum(np.where(~(x > 0.0), x, 2.0 * x)), np.ones(2))
    assert made(np.array([-1.0, 3.0]))[0] == 5.0


def test_a_text_of_data_is_refused() -> None:
    f = lambda z, y: z.sum() * len(f"{y:.1f}")
    with pytest.raises(TypeError, match=rf"test_refusals.py, line {lines_of(f, 0)}: .* depends"):
        program(f, Z, 1.0)


@pytest.mark.parametrize("name", ["imag", "data", "flat", "nbytes", "strides", "base"])
def test_an_attribute_of_an_ndarray_that_no_program_has(name: str) -> None:
    with pytest.raises(AttributeError, match=f"a recorded array has no '{name}'"):
        program(lambda z, y: z.sum() * np.sum(getattr(y, name)), Z, Z)
    made = program(lambda z, y: np.sum(z.real * y.real), Z, Z)
    np.testing.assert_array_equal(made(Z, 2 * Z)[1], 2 * Z)


@pytest.mark.parametrize("wrt", [0, None])
def test_a_program_in_a_function_that_is_recorded_is_refused(wrt: Any) -> None:
    made = program(lambda x: np.sum(x * x), np.ones(2))
    f = lambda x: x * made(x)[0]
    with pytest.raises(
        TypeError,
        match=rf"line {lines_of(f, 0)}: What a program returns depends .* Call the function",
    ):
        program(f, np.ones(2), wrt=wrt)


@pytest.mark.parametrize(
    ("f", "gradient"),
    [
        (lambda z, t: np.sum(np.where(z == t, z * z, 0.0)), lambda z, t: 2 * z * (z == t)),
        (lambda z, t: np.sum(z * z * (z != t)), lambda z, t: 2 * z * (z != t)),
        (lambda z, t: np.sum(z * z * (t == z[0])), lambda z, t: 2 * z * (t == z[0])),
        (lambda z, t: np.sum(z * (1 + (z[0] == 1))), lambda z, t: 0 * z + 1 + (z[0] == 1)),
    ],
)  # fmt: skip
def test_equality_of_data_is_recorded(f: Any, gradient: Any) -> None:
    z, t = np.array([1.0, 2.0, 3.0]), np.array([1.0, 5.0, 3.0])
    run = program(f, z, t)
    for x in (z, z[::-1].copy(), t, z + 1.0):
        value, got = run(x, t)
        assert value == f(x, t)
        np.testing.assert_array_equal(got, gradient(x, t))


def test_what_was_removed_is_named() -> None:
    with pytest.raises(TypeError, match="optimize= is gone: leave it out"):
        program(np.sum, np.ones(2), optimize="memory")  # type: ignore[arg-type]
