"""Sums, means, products and extrema along axes, with all that NumPy's take.

Their records have ``axis`` and ``keepdims``; the other options are spelled here.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .operation import TABLE, Rule
from .rules import astype, delayed
from .text import _


def cast(x: Any, dtype: Any) -> Any:
    """``x.astype(dtype)`` of a float type; of None, or of its own, x itself."""
    if dtype is None or np.dtype(dtype) == x.dtype:
        return x
    if np.dtype(dtype).kind != "f":
        text = "got dtype={dtype}, wanted a float type: there is no gradient of others"
        raise TypeError(_(text, dtype=np.dtype(dtype)))
    return TABLE[astype](x, dtype=np.dtype(dtype))


def only(x: Any, where: Any, fill: Any) -> Any:
    """The entries that count; ``fill`` in the place of the others."""
    return x if where is True else np.where(np.broadcast_to(where, np.shape(x)), x, fill)


def count(x: Any, axis: Any, where: Any, **options: Any) -> Any:
    """How many entries count along axes."""
    if where is True:
        axes = range(np.ndim(x)) if axis is None else np.atleast_1d(axis).tolist()
        return float(math.prod(np.shape(x)[k] for k in axes))
    return astype(np.sum(np.broadcast_to(where, np.shape(x)), axis, **options), x.dtype)


def reduction(function: Any, combine: Any, neutral: float | None = None) -> Rule:
    """Spell the options of a reduction, by what combines two entries and what changes none."""

    def spelling(
        a: Any, axis: Any = None, dtype: Any = None, *, where: Any = True, **options: Any
    ) -> Any:
        initial = options.pop("initial", None)
        fill = initial if neutral is None else neutral
        if fill is None and where is not True:
            function([0.0], where=[True])  # NumPy's error: it needs an initial one
        out = TABLE[function](only(cast(a, dtype), where, fill), axis=axis, **options)
        return out if initial is None else combine(out, initial)

    return spelling


def mean(a: Any, axis: Any = None, dtype: Any = None, *, where: Any = True, **options: Any) -> Any:
    """The sum over the number of entries, where not all of them count."""
    a = cast(a, dtype)
    if where is True:
        return TABLE[np.mean](a, axis=axis, **options)
    return np.sum(a, axis, where=where, **options) / count(a, axis, where, **options)


def var(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    *,
    ddof: float = 0,
    where: Any = True,
    **options: Any,
) -> Any:
    """The mean of the squared distances from the mean."""
    a = only(cast(a, dtype), where, 0.0)  # nan there would be nan in the gradient, too
    squares = np.square(a - np.mean(a, axis, keepdims=True, where=where))
    if not ddof:
        return np.mean(squares, axis, where=where, **options)
    n = np.maximum(count(a, axis, where, **options) - ddof, 0.0)
    return np.sum(squares, axis, where=where, **options) / n


def others(x: Any, axis: Any) -> Any:
    """The product of all other entries along axes, at each: of those before, times those after."""
    every = axis is None or not np.ndim(x)  # of a number axis 0 is none
    axes = [*range(np.ndim(x))] if every else np.atleast_1d(axis).tolist()
    if not axes:
        return np.ones_like(x)
    k = axes[0]
    before, after = (delayed(np.cumprod(y, k), k, 1, 1.0) for y in (x, np.flip(x, k)))
    return before * np.flip(after, k) * others(np.prod(x, k, keepdims=True), axes[1:])
