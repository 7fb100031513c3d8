"""Derivatives estimated from function values alone, each with an estimate of its own error.

`central` extrapolates central differences over a range of steps (Ridders, "Accurate computation of
F'(x) and F'(x)F''(x)", Adv. Eng. Software 1982) and keeps the estimate whose neighbours agree best
and that no smaller step contradicts: long steps agree, too, on both sides of a kink or a peak.
`complex_step` evaluates f(x + ih), whose imaginary part over h is the derivative with no difference
and so no cancellation (Squire & Trapp, "Using complex variables to estimate derivatives of real
functions", SIAM Review 1998).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

STEPS = 14  # each a quarter of the one before


class Estimate(NamedTuple):
    """A derivative: its value, the error to expect, and what was seen on the way."""

    value: float
    error: float
    slope: float  # the steepest secant: 0 where the function is constant
    jump: float = 0.0  # by how much the slope differs on the two sides; 0 where it is smooth


def central(
    f: Callable[[float], float], x: float, size: float, x_dtype: Any, f_dtype: Any
) -> Estimate:
    """Estimate f'(x) for a function of one number.

    Parameters
    ----------
    f : the function; nan where it is undefined
    x : where
    size : how large the terms are that f adds up
    x_dtype, f_dtype : what x is stored in and f computed in: the steps are rounded to the one, and
        f's rounding error is about the machine epsilon of the other times ``size``
    """
    eps, here, slope = float(np.finfo(f_dtype).eps), f(x), 0.0
    before: list[float] = []
    rows: list[tuple[float, float]] = []  # of each step the best estimate and how far to trust it
    bends: list[tuple[float, float]] = []
    nearer = math.ceil(-math.log(min(abs(x), 1.0) or 1.0, 4))  # 0 may be the domain's border
    for k in range(STEPS + nearer):
        h = max(1.0, abs(x)) / 8 * 0.25**k
        right, left = float(x_dtype.type(x + h)), float(x_dtype.type(x - h))
        up, down = f(right), f(left)
        if not math.isfinite(up) or not math.isfinite(down) or right == left:
            before = []
            continue
        row, best, error = [(up - down) / (right - left)], math.nan, math.inf
        terms = size + abs(up) + abs(down) + abs(x * row[0])  # x is rounded in f too
        noise = 2 * eps * terms / h
        for j, old in enumerate(before):  # each column removes one more even power of h
            row.append(row[j] + (row[j] - old) / (16.0 ** (j + 1) - 1))
            doubt = max(abs(row[j + 1] - row[j]), abs(row[j + 1] - old)) + noise
            if doubt < error:
                best, error = row[j + 1], doubt
        secants = (abs(up - here) / h, abs(down - here) / h)
        slope = max(slope, *(secant if secant > 4 * noise else 0.0 for secant in secants))
        bends.append((abs(up + down - 2 * here) / h, noise))
        before = row
        rows.append((best, error))
    best, error = _uncontradicted(rows)
    return Estimate(best, error, slope, _jump(bends))


def _uncontradicted(rows: list[tuple[float, float]]) -> tuple[float, float]:
    """The estimate of least error, where a smaller step's other answer counts as error too."""
    best, least = math.nan, math.inf
    for k, (value, error) in enumerate(rows):
        apart = (abs(value - other) - 2 * doubt for other, doubt in rows[k + 1 :])
        error = max(error, *apart) if k + 1 < len(rows) else error
        if error < least:
            best, least = value, error
    return best, least


def _jump(bends: list[tuple[float, float]]) -> float:
    """(f(x+h) + f(x−h) − 2 f(x)) / h goes to 0 with h where f is smooth; at a kink it stays.

    A kink that more than two of the smallest steps do not reach does no harm.
    """
    for k in range(len(bends) - 1, 2, -1):
        four, noise = [bend for bend, _ in bends[k - 3 : k + 1]], bends[k][1]
        if four[3] > 100 * noise and all(b > 0.7 * a for a, b in pairwise(four)):
            short = [bend for bend, noise in bends[k + 1 :] if bend + 100 * noise < 0.5 * four[3]]
            return four[3] if len(short) <= 2 else 0.0
    return 0.0


def complex_step(f: Callable[[complex], complex], x: float) -> Estimate:
    """Estimate f'(x) as Im f(x + ih) / h.

    There is no error but that of rounding f's own terms; moving x a little, by some hundred units
    in its last place, shows how large it is.
    """
    h = max(1e-20 * abs(x), 1e-300) if x else 1e-30
    little = 128 * math.ulp(x) if x else 1e-14
    value, *near = (f(complex(x + k * little, h)).imag / h for k in (0, 1, -2, 3, -5))
    rounding = max(abs(other - value) for other in near) + math.ulp(value)
    return Estimate(value, 4 * rounding, abs(value) if abs(value) > 4 * rounding else 0.0)


class ComplexArray(np.ndarray[Any, Any]):
    """Complex numbers that functions of real numbers treat as theirs: x + ih for the complex step.

    Comparisons, signs, maxima and absolute values go by the real part, as in real arithmetic; the
    complex ones would give no derivative there.
    """

    @property
    def dtype(self) -> Any:
        """The numbers' dtype as functions of real numbers see it."""
        return np.dtype(float)

    def __getitem__(self, index: Any) -> Any:
        return _wrap(super().__getitem__(index))

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        args = [_unwrap(x) for x in inputs]
        if kwargs.get("out"):
            kwargs["out"] = tuple(map(_unwrap, kwargs["out"]))
        function = ufunc if method == "__call__" else getattr(ufunc, method)
        if method == "__call__" and not {"d->?", "dd->?"}.isdisjoint(ufunc.types):
            args = list(map(np.real, args))  # truths about numbers
        return _wrap(_BY_REAL_PART.get(function, function)(*args, **kwargs))

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return _wrap(super().__array_function__(function, types, args, kwargs))


def _unwrap(x: Any) -> Any:
    return x.view(np.ndarray) if isinstance(x, ComplexArray) else x


def _wrap(x: Any) -> Any:
    return np.asarray(x).view(ComplexArray) if np.iscomplexobj(x) else x


def _extremum(reduce: Any, x: Any, axis: Any = None, keepdims: bool = False, **_: Any) -> Any:
    hit = x.real == reduce(x.real, axis=axis, keepdims=True)
    return np.mean(x, axis=axis, keepdims=keepdims, where=hit)


def _logaddexp(x: Any, y: Any) -> Any:
    top = np.maximum(np.real(x), np.real(y))
    return top + np.log(np.exp(x - top) + np.exp(y - top))


_BY_REAL_PART: dict[Any, Callable[..., Any]] = {
    np.absolute: lambda x: np.where(np.real(x) < 0, -x, x),
    np.sign: lambda x: np.sign(np.real(x)),
    np.conjugate: lambda x: x,
    np.maximum: lambda x, y: np.where(np.real(x) >= np.real(y), x, y),
    np.minimum: lambda x, y: np.where(np.real(x) <= np.real(y), x, y),
    np.maximum.reduce: partial(_extremum, np.maximum.reduce),
    np.minimum.reduce: partial(_extremum, np.minimum.reduce),
    np.logaddexp: _logaddexp,
}
