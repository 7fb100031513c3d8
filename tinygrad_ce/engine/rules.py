"""The derivative rules of `ops.py` that take more than a line.

Like every rule they are plain NumPy, and work on arrays and on `Value`s alike.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy import ndarray

from .operation import TABLE


def pick(c: Any, x: Any, y: Any) -> Any:
    """np.where, in a tenth of the time where the condition is one bool."""
    return (x if c else y) if c.__class__ in (bool, np.bool_) else np.where(c, x, y)


def astype(x: Any, dtype: Any) -> Any:
    """``x.astype(dtype)``, as a function."""
    return x.astype(dtype) if hasattr(x, "astype") else np.asarray(x, dtype)


def apart(x: Any, y: Any) -> Any:
    """What is not their product: the means of one times the sums of the other."""
    x, y = np.mean(x, axis=-1), np.sum(y, axis=-2 if np.ndim(y) > 1 else 0)
    return np.multiply.outer(x, y) if np.ndim(x) and np.ndim(y) else x * y


def relu(x: Any) -> Any:
    """The positive part of x; NaN stays NaN."""
    return np.maximum(x, 0.0) if np.ndim(x) else np.where(x <= 0.0, 0.0, x)


def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x)), by the exponential that cannot overflow."""
    e = np.exp(-abs(x))
    return pick(x >= 0.0, 1.0, e) / (1.0 + e)


def total(x: Any, axis: Any = None, keepdims: Any = False) -> Any:
    """np.sum, in half its time."""
    if x.__class__ is ndarray:
        return np.add.reduce(x, axis=axis, keepdims=keepdims)
    return (x if hasattr(x, "sum") else np.asarray(x)).sum(axis=axis, keepdims=keepdims)


def spread(g: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    """∂(Σx)/∂x = 1 at each of the entries that are summed."""
    if axis is not None and not keepdims and np.ndim(x):  # a number has axis 0, but no axes
        g = np.expand_dims(g, axis)
    if g.__class__ in (float, np.ndarray) and x.__class__ is ndarray and x.size < 2**12:
        full = np.empty(x.shape, getattr(g, "dtype", float))
        full[...] = g  # a third of the time of np.broadcast_to
        return full
    return np.broadcast_to(g, np.shape(x))


def power_base(g: Any, out: Any, x: Any, y: Any) -> Any:
    """∂xʸ/∂x = y·xʸ⁻¹, and 0 for y = 0 also at x = 0."""
    if y.__class__ is float:
        less = y - 1.0 if y else 0.0
        if x.__class__ is float and (x == 0.0 > less or x < 0.0 != less % 1.0):
            raise ArithmeticError  # NumPy has inf or nan; Python's (−1)**0.5 is complex
        return g * (y * x**less)
    both = np.logical_and(np.equal(x, 0.0), np.equal(y, 0.0))
    return g * (y * np.power(x, np.where(both, 0.0, np.subtract(y, 1.0))))


def power_exponent(g: Any, out: Any, x: Any, y: Any) -> Any:
    """∂xʸ/∂y = xʸ·log x, and 0 at x = 0, where xʸ is 0 for every y > 0."""
    if x.__class__ is float:
        if x < 0.0:
            raise ArithmeticError  # NumPy has nan
        return g * out * (math.log(x) if x else 0.0)
    x = np.where(np.equal(x, 0), 1.0, x)
    dtype = getattr(out, "dtype", x.dtype)
    return g * out * np.log(x if x.dtype == dtype else astype(x, dtype))


def product(x: Any, y: Any) -> Any:
    """np.matmul, in a third of the time where two small matrices are multiplied."""
    plain = x.__class__ is ndarray is y.__class__ and x.ndim == 2 == y.ndim
    return x.dot(y) if plain else np.matmul(x, y)


def matmul_left(g: Any, out: Any, x: Any, y: Any) -> Any:
    """∂L/∂X = G Yᵀ."""
    if y.ndim == 1:
        return np.expand_dims(g, -1) * y
    turned = y.T if y.ndim == 2 else np.swapaxes(y, -1, -2)
    return product(np.expand_dims(g, -2) if x.ndim == 1 else g, turned)


def matmul_right(g: Any, out: Any, x: Any, y: Any) -> Any:
    """∂L/∂Y = Xᵀ G."""
    if x.ndim == 1:
        return g * x if y.ndim == 1 else np.expand_dims(x, -1) * np.expand_dims(g, -2)
    if y.ndim == 1:
        return product(np.expand_dims(g, -2), x)
    return product(x.T if x.ndim == 2 else np.swapaxes(x, -1, -2), g)


def scatter(g: Any, index: Any, shape: tuple[int, ...]) -> Any:
    """Zeros of ``shape`` with ``g`` added at ``index``: an entry read twice receives twice."""
    parts = index if isinstance(index, tuple) else (index,)
    for x in (g, *parts):
        if hasattr(x, "apply_primitive"):  # an array that records is not written into
            return x.apply_primitive(TABLE[scatter], (g,), {"index": index, "shape": shape})
    out = np.zeros_like(g, shape=shape)  # of g's own kind: Dask, or the complex step's
    if all(p is None or p is ... or isinstance(p, int | slice | np.integer) for p in parts):
        out[index] = g
    else:
        np.add.at(out, index, g)
    return out


def getitem(x: Any, index: Any) -> Any:
    """The entries at ``index``."""
    try:
        return (np.asarray(x) if x.__class__ is float else x)[index]
    except IndexError as error:
        raise IndexError(f"[{index!r}]: {error}") from None
