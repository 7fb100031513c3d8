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
from typing import Any, NamedTuple

import numpy as np

STEPS = 14  # each a quarter of the one before


class Estimate(NamedTuple):
    """A derivative: its value, the error to expect, and what was seen on the way."""

    value: float
    error: float
    slope: float  # the steepest secant: 0 where the function is constant
    jump: float = 0.0  # by how much the slope differs on the two sides; 0 where it is smooth


def central(f: Callable[[float], float], x: float, size: float, dtype: Any) -> Estimate:
    """Estimate f'(x); ``size`` is that of the terms f adds up, ``dtype`` what x is stored in.

    Rounding errors go with the size. Where f is undefined it returns nan.
    """
    nearer = math.ceil(-math.log(abs(x), 4)) if 0 < abs(x) < 1 else 0  # 0 may be a border of f's
    steps = max(1.0, abs(x)) / 8 * 0.25 ** np.arange(STEPS + nearer)
    best, error = np.full(len(steps), math.nan), np.full(len(steps), math.inf)
    with np.errstate(all="ignore"):
        right, left = ((x + h).astype(dtype).astype(float) for h in (steps, -steps))
        here, up, down = f(x), *(np.array([f(y) for y in side.tolist()]) for side in (right, left))
        secants = column = (up - down) / (right - left)  # nan where either is undefined
        terms = size + abs(up) + abs(down) + abs(x * column)  # x is rounded in f too
        noise = 2 * _epsilon(np.array([here, *up, *down]), dtype) * terms / steps
        for j in range(1, STEPS):  # each column removes one more even power of the step
            longer, shorter = column[:-1], column[1:]
            column = shorter + (shorter - longer) / (16.0**j - 1)
            doubt = np.maximum(abs(column - shorter), abs(column - longer)) + noise[j:]
            better = doubt < error[j:]
            best[j:][better], error[j:][better] = column[better], doubt[better]
        # Where a shorter step gives another answer, that is an error too.
        apart = np.triu(abs(best[:, None] - best) - 2 * error)
        error = np.fmax(error, np.fmax.reduce(apart, axis=1))
        k, inside = np.argmin(error), np.isfinite(secants)
        slopes = abs(np.array([up, down]) - here)[:, inside] / steps[inside]
        slope = np.max(slopes, initial=0.0, where=slopes > 4 * noise[inside])
        jump = _jump((abs(up + down - 2 * here) / steps)[inside], noise[inside])
    return Estimate(float(best[k]), float(error[k]), float(slope), jump)


def _epsilon(values: Any, dtype: Any) -> float:
    """That of what f computes in, though it returns Python's floats, as ``.item()`` does."""
    values, narrow = values[np.isfinite(values)], np.float16 if dtype == np.float16 else np.float32
    fit = np.array_equal(values.astype(narrow), values) and len({*values.tolist()}) > 1
    return float(np.finfo(narrow if fit else float).eps)


def _jump(bends: Any, noise: Any) -> float:
    """(f(x+h) + f(x−h) − 2 f(x)) / h goes to 0 with h where f is smooth; at a kink it stays.

    A kink that more than two of the smallest steps do not reach does no harm.
    """
    steady = bends[1:] > 0.7 * bends[:-1]
    four = steady[:-2] & steady[1:-1] & steady[2:] & (bends[3:] > 100 * noise[3:])
    if not four.any():
        return 0.0
    last = 3 + np.flatnonzero(four)[-1]
    short = bends[last + 1 :] + 100 * noise[last + 1 :] < 0.5 * bends[last]
    return float(bends[last]) if np.sum(short) <= 2 else 0.0


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
    np.maximum.reduce: partial(_extremum, np.maximum.reduce),
    np.minimum.reduce: partial(_extremum, np.minimum.reduce),
    np.logaddexp: _logaddexp,
}
