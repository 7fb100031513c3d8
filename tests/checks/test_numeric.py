"""Estimated derivatives, and the errors they claim for themselves, against mpmath."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest

from tinygrad_ce.checks.numeric import ComplexArray, central, complex_step

FLOAT = np.dtype(float)
SMOOTH: list[tuple[str, Callable[[Any], Any], Callable[[Any], Any], list[float]]] = [
    ("exp", np.exp, mpmath.exp, [-3.0, 0.0, 1.0, 20.0]),
    ("log", np.log, mpmath.log, [1e-6, 0.01, 1.0, 1e6]),
    ("tanh", np.tanh, mpmath.tanh, [-2.0, 0.0, 0.5]),
    ("square root", np.sqrt, mpmath.sqrt, [1e-4, 2.0, 1e4]),
    ("fast wave", lambda x: np.sin(30 * x), lambda x: mpmath.sin(30 * x), [0.0, 0.3, 2.0]),
    ("steep", lambda x: 1 / x**3, lambda x: 1 / x**3, [0.01, -0.5, 3.0]),
]
CASES = [(name, f, g, x) for name, f, g, xs in SMOOTH for x in xs]


def quiet(f: Callable[[Any], Any]) -> Callable[[float], float]:
    def of(x: float) -> float:
        with np.errstate(all="ignore"):
            return float(f(x))

    return of


@pytest.mark.parametrize(("name", "f", "exact", "x"), CASES)
def test_central_is_as_good_as_it_says(name: str, f: Any, exact: Any, x: float) -> None:
    right = float(mpmath.diff(exact, x))
    guess = central(quiet(f), x, abs(float(f(x))), FLOAT)
    assert abs(guess.value - right) <= 10 * guess.error
    assert guess.error <= 1e-6 * max(abs(right), 1.0)
    assert guess.jump == 0


@pytest.mark.parametrize(
    ("f", "slope", "x"),
    [
        (math.exp, math.exp, 1.0),
        (math.sin, math.cos, 0.7),
        (lambda x: x**5, lambda x: 5 * x**4, 1.3),
    ],
)
def test_every_column_removes_a_power_of_the_step(f: Any, slope: Any, x: float) -> None:
    guess = central(f, x, abs(f(x)), FLOAT)
    assert abs(guess.value - slope(x)) <= guess.error <= 4e-12 * abs(slope(x))


@pytest.mark.parametrize(("name", "f", "exact", "x"), CASES)
def test_complex_step_reaches_1e_12(name: str, f: Any, exact: Any, x: float) -> None:
    right = float(mpmath.diff(exact, x))
    guess = complex_step(lambda z: complex(f(np.array(z).view(ComplexArray))), x)
    assert abs(guess.value - right) <= 1e-12 * max(abs(right), 1e-3)


def test_the_complex_step_claims_an_error_though_none_is_seen() -> None:
    guess = complex_step(lambda z: 3.0 * z, 1.0)
    assert guess.value == guess.slope == 3.0
    assert 0.0 < guess.error < 1e-14


def test_the_complex_step_of_a_constant_has_no_slope() -> None:
    assert complex_step(lambda z: 3.0 + 0.0 * z, 1.0).slope == 0.0


def test_a_constant_has_no_slope_and_a_stationary_point_has() -> None:
    assert central(lambda x: 3.0, 1.0, 3.0, FLOAT).slope == 0
    flat = central(lambda x: x * x, 0.0, 0.0, FLOAT)
    assert flat.slope > 0
    assert abs(flat.value) <= 10 * flat.error + 1e-15


@pytest.mark.parametrize(
    ("f", "x", "jump"),
    [(abs, 0.0, 2.0), (lambda x: max(x, 0.0), 0.0, 1.0), (lambda x: abs(x - 1) + x, 1.0, 2.0)],
)
def test_a_kink_is_seen_as_the_jump_of_the_slope(f: Any, x: float, jump: float) -> None:
    assert central(f, x, 1.0, FLOAT).jump == pytest.approx(jump, rel=1e-3)


def test_float32_admits_its_error() -> None:
    single = np.dtype(np.float32)
    guess = central(lambda x: float(np.exp(np.float32(x))), 1.0, math.e, single)
    assert 1e-8 < abs(guess.value - math.e) <= 10 * guess.error < 1e-2


def test_where_the_function_is_undefined_there_is_no_estimate() -> None:
    guess = central(lambda x: math.nan, 1.0, 1.0, FLOAT)
    assert math.isnan(guess.value)
    assert guess.error == math.inf


ROWS = np.array([[1.0, 0.5], [3.0, 0.2], [-1.0, 4.0]])
REAL_FUNCTIONS: list[tuple[str, Callable[[Any], Any], np.ndarray[Any, Any]]] = [
    ("abs", np.abs, np.array([-2.0, 3.0])),
    ("maximum", lambda x: np.maximum(x, 0.5 * x[::-1]), np.array([-2.0, 3.0])),
    ("minimum", lambda x: np.minimum(x, 1.0), np.array([-2.0, 3.0])),
    ("max", lambda x: np.max(x, axis=0, keepdims=True), np.array([-2.0, 3.0])),
    ("max of rows", lambda x: np.max(x * ROWS, axis=1), np.array([-2.0, 3.0])),
    ("min of columns", lambda x: np.min(x * ROWS, axis=0), np.array([-2.0, 3.0])),
    ("min method", lambda x: x.min() * x, np.array([-2.0, 3.0])),
    ("where", lambda x: np.where(x > 0, x, 0.1 * x), np.array([-2.0, 3.0])),
    ("clip", lambda x: np.clip(x, -1, 1), np.array([-2.0, 0.3])),
    ("sign", lambda x: np.sign(x) * x, np.array([-2.0, 3.0])),
    ("logaddexp", lambda x: np.logaddexp(x, 1.0), np.array([-800.0, 3.0])),
    ("concatenate", lambda x: np.concatenate([x, x * x]), np.array([-2.0, 3.0])),
    ("conj", lambda x: np.conj(x) * x, np.array([-2.0, 3.0])),
    ("in place", lambda x: np.multiply(x, 2.0, out=x * 0), np.array([-2.0, 3.0])),
    ("einsum", lambda x: np.einsum("i,j->ij", x, x), np.array([-2.0, 3.0])),
]


def test_complex_arrays_compare_their_real_parts() -> None:
    """NumPy puts a + ih above a; of real numbers they are equal."""
    z = np.array([2.0 + 1e-30j, -1.0 + 1e-30j]).view(ComplexArray)
    x = np.array([2.0, -1.0])
    assert (z == x).all()
    assert (z <= x).all()
    assert not (z > x).any()
    assert not (z != x).any()
    assert np.isfinite(z).all()
    np.testing.assert_array_equal(np.sign(z), [1.0, -1.0])
    assert z.dtype == float


@pytest.mark.parametrize(("name", "f", "x"), REAL_FUNCTIONS)
def test_complex_arrays_follow_real_functions(name: str, f: Any, x: Any) -> None:
    for i in range(len(x)):
        z = x.astype(complex)
        z[i] += 1e-30j
        step = np.imag(f(z.view(ComplexArray))) / 1e-30
        up, down = x.copy(), x.copy()
        up[i] += 1e-6
        down[i] -= 1e-6
        np.testing.assert_allclose(step, (f(up) - f(down)) / (up[i] - down[i]), atol=1e-8)
