"""Programs of Python numbers, which need no NumPy."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from helpers.programs import by_backward, close

import tinygrad_ce as tg
from tinygrad_ce import program


def test_the_gradient_of_a_number_is_a_number_beside_float32() -> None:
    f = lambda x, s: np.reshape(np.sum(np.maximum(s, 3.0) + x), (1, 1))
    _, (dx, ds) = program(f, np.ones(2, np.float32), 4.0, wrt=(0, 1))(np.ones(2, np.float32), 4.0)
    assert dx.dtype == np.float32
    assert ds.dtype == np.float64


@pytest.mark.parametrize("x", [-1.0, 0.0, 2.0])
def test_a_number_divided_by_a_constant_that_was_picked(x: float) -> None:
    for f in (
        lambda x: 1.0 / np.maximum(x, 0.0),
        lambda x: np.abs(x / np.maximum(x, 0.0)) / (1.0 + np.abs(x)),
        lambda x: np.sum(np.ones(2) * x) * (1.0 / np.maximum(x, 0.0)),
        lambda x: np.sum(np.ones(2) * x) * np.maximum(x, 0.0) ** -1,
    ):
        with np.errstate(all="ignore"):
            value, slope = program(f, 3.0)(x)
            right, [back] = by_backward(f, [x], (0,))
        np.testing.assert_allclose(value, right)
        np.testing.assert_allclose(slope, back)


def test_numbers_need_no_numpy() -> None:
    def f(a: Any, b: Any) -> Any:
        return np.exp(a) * tg.sigmoid(b) + np.log(a * a + 1.0) ** 1.5 + tg.relu(a - b)

    made = program(f, 0.5, 2.0, wrt=(0, 1))
    assert "numpy" not in made.source
    assert "math.exp" in made.source
    for a, b in ((0.5, 2.0), (-3.0, -4.0), (2.0, 2.0)):
        value, slopes = made(a, b)
        right, wanted = by_backward(f, [a, b], (0, 1))
        close(value, right)
        assert all(type(s) is float for s in slopes)
        for got, want in zip(slopes, wanted):
            close(got, want)


@pytest.mark.parametrize("x", [1000.0, -1000.0, 0.0, math.inf, math.nan])
@pytest.mark.parametrize(
    "f", [np.exp, lambda x: 1.0 / x, np.log, lambda x: x**0.5, lambda x: np.log(x) / np.exp(-x)]
)
def test_where_python_raises_numpy_has_an_answer(f: Any, x: float) -> None:
    for clean in (True, False):
        with np.errstate(all="ignore"):
            value, slope = program(f, 0.5, clean=clean)(x)
            right, [back] = by_backward(f, [x], (0,))
        if clean and np.isnan(back) and x == 1000.0:  # 0 times inf; the limit is infinite
            back = math.inf
        np.testing.assert_allclose(value, right)
        np.testing.assert_allclose(slope, back)
        assert type(value) is type(slope) is float


@pytest.mark.slow
def test_a_chain_of_thousands() -> None:
    """Python's own limits are 1,000 calls within calls and 200 brackets."""

    def f(x: Any) -> Any:
        for _ in range(1_500):
            x = x + 0.001 * np.tanh(x)
        return x

    made = program(f, 0.1)
    value, slope = made(0.2)
    right, [back] = by_backward(f, [0.2], (0,))
    close(value, right)
    close(slope, back)


def test_brackets_within_brackets() -> None:
    """Python takes 200: what is deeper needs names on the way."""

    def f(x: Any) -> Any:
        y = x
        for _ in range(900):
            y = (x - y) * x
        return y

    close(program(f, 0.1, wrt=None)(0.5), f(0.5))


@pytest.mark.parametrize("whole", [3, -2, 0, 2**53 + 1, -(2**60)])
def test_a_number_compared_with_a_whole_one(whole: int) -> None:
    def f(x: Any) -> Any:
        above = np.where(x > whole, x * x, -x)
        return above + np.where(whole <= x, 3.0 * x, x)

    made = program(f, 0.5)
    for x in (float(whole), float(whole) + 1.0, float(whole) - 1.0, math.inf, math.nan):
        value, slope = made(x)
        right, [back] = by_backward(f, [x], (0,))
        np.testing.assert_array_equal([value, slope], [right, back])


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize(
    "f",
    [
        lambda x, y: np.where(np.logical_not(x > y) & (x < 3.0), x * y, y),
        lambda x, y: np.where((x < 3.0) | np.logical_not(x > y), x * y, y),
        lambda x, y: np.where(np.logical_not(np.logical_and(x > y, y > 0.0)), x * y, y),
        lambda x, y: np.where(np.logical_xor(x > y, np.logical_or(y > 0, x < 0)), x * y, y),
        lambda x, y: np.where((x > y) ^ (y > 0), x * y, y),
        lambda x, y: np.where(np.isfinite(x) & np.logical_not(np.isinf(y)), x * y, y),
        lambda x, y: x * (1.0 * (x > 0) - (x < 0)) + y * -(1.0 * (y > 0)),
        lambda x, y: x / (y - y) * ((x > 0) + (y > 0) + (x > y)),
        lambda x, y: np.logaddexp(x, y) * 2.0,
        lambda x, y: np.clip(x, y, 2.0) + np.clip(x, -1, y),
    ],
)
def test_truths_and_limits_of_numbers(f: Any, clean: bool) -> None:
    """Not, xor and counts as Python has them; infinities that are equal, limits that are nan."""
    made = program(f, 1.5, 0.5, wrt=(0, 1), clean=clean)
    assert "np." not in made.source
    odd = (0.5, -1.0, 2.0, 0.0, -0.0, math.inf, -math.inf, math.nan)
    for x, y in itertools.product(odd, odd):
        with np.errstate(all="ignore"):
            value, slopes = made(x, y)
            right, wanted = by_backward(f, [x, y], (0, 1))
        np.testing.assert_allclose([value, *slopes], [right, *wanted], 1e-14, err_msg=f"{x}, {y}")
        assert all(type(got) is float for got in (value, *slopes))


def test_the_softplus_of_a_number_asks_for_no_infinity() -> None:
    """log(1 + exp x): 0 is no infinity that x could equal, and |0 - x| is |x|."""
    for f in (lambda x: np.logaddexp(0.0, x), lambda x: np.logaddexp(x, 0)):
        assert "math.log1p(math.exp(-abs(x)))" in program(f, 0.5).source


def test_truths_of_numbers_beside_arrays() -> None:
    def f(x: Any, y: Any) -> Any:
        return np.sum(y * np.where(np.logical_not(x > 1.0) & np.isfinite(x), x, 2.0))

    made = program(f, 2.0, np.ones(2))
    for x in (0.5, 1.5, math.inf):
        value, slope = made(x, np.arange(2.0))
        right, [back] = by_backward(f, [x, np.arange(2.0)], (0,))
        assert (value, slope) == (right, back)


def test_what_is_taken_from_outside_is_as_it_was() -> None:
    table = np.array([1.0, 2.0])
    made = program(lambda x: np.exp(x) * np.sum(table), 0.5)
    table += 10.0
    with np.errstate(over="ignore"):
        assert made(0.0) == (3.0, 3.0)
        assert made(1000.0) == (math.inf, math.inf)


@pytest.mark.parametrize("f", [np.remainder, np.fmod, np.floor_divide, np.float_power])
def test_two_numbers_give_what_numpy_does(f: Any) -> None:
    made = program(f, 5.0, 3.0, wrt=None)
    with np.errstate(all="ignore"):
        for x in (5.0, -5.0, 0.0, -0.0, 0.3, -1e-300, math.inf, math.nan):
            for y in (3.0, -3.0, 0.0, -0.0, 0.1, math.inf, -math.inf, math.nan):
                np.testing.assert_equal(made(x, y), float(f(x, y)), err_msg=f"{x} {y}")


@pytest.mark.parametrize(
    "f", [np.floor, np.ceil, np.trunc, np.rint, np.arccosh, np.arctanh, np.arcsin, np.fabs]
)
def test_one_number_gives_what_numpy_does(f: Any) -> None:
    made = program(f, 2.0, wrt=None)
    with np.errstate(all="ignore"):
        for x in (0.5, -0.5, 0.0, -0.0, 2.5, -2.5, 1.0, 1e300, math.inf, -math.inf, math.nan):
            assert made(x).__class__ is float
            np.testing.assert_allclose(made(x), float(f(x)), rtol=1e-14)
            assert math.isnan(x) or math.isnan(f(x)) or np.signbit(made(x)) == np.signbit(f(x))


def test_remainders_of_numbers_are_those_of_numpy() -> None:
    assert program(lambda a: a % 3.0, 5.0, wrt=None)(5.0) == 2.0
    assert program(lambda a: -5.0 % a, 3.0, wrt=None)(3.0) == 1.0
    assert program(lambda a: a % 3.0, 5.0)(5.0) == (2.0, 1.0)


@pytest.mark.parametrize("wrt", [0, 1, None])
def test_a_number_is_rounded(wrt: Any) -> None:
    f = lambda x, y: x * round(y, 1) + y * round(x)
    made = program(f, 1.0, 2.0, wrt=wrt)
    value = made(1.26, 0.74) if wrt is None else made(1.26, 0.74)[0]
    assert value == 1.26 * 0.7 + 0.74
    if wrt is not None:
        assert made(1.26, 0.74)[1] == (0.7, 1.0)[wrt]


@pytest.mark.parametrize("index", [None, (), ..., (..., None), (None, None), True])
@pytest.mark.parametrize("example", [2.0, np.float64(2.0), np.array(2.0)])
def test_a_number_takes_the_indices_that_numpys_numbers_take(index: Any, example: Any) -> None:
    weights = np.array([1.0, 2.0])
    recorded = program(lambda x: np.sum((x * x)[index] * weights), example)
    printed: dict[str, Any] = {}
    exec(recorded.source, printed)
    for x in (3.0, np.float64(3.0), np.array(3.0)):
        for value, slope in (recorded(x), printed["loss_and_grad"](x)):
            np.testing.assert_array_equal([value, slope], [27.0, 18.0])


def test_a_number_has_no_entry_0() -> None:
    with pytest.raises(IndexError, match=r"getitem of x \(\): \[0\]: too many indices"):
        program(lambda x: x[0] * 2.0, 2.0)
