"""Sums, means, products and extrema along axes, with all that NumPy's take.

Their records have ``axis`` and ``keepdims``; the other options are spelled here.
"""

from __future__ import annotations

import math
from functools import partial
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from .data import array_of_a_kind
from .numpy_functions import root
from .operation import TABLE, Rule, spell
from .rules import astype
from .text import require


def cast(x: Any, dtype: Any) -> Any:
    """``x.astype(dtype)`` of a float type; of None, or of its own, x itself."""
    if dtype is None or np.dtype(dtype) == x.dtype:
        return x
    text = "got dtype={dtype}, wanted a float type; of others, v.data.astype(...)"
    require(np.dtype(dtype).kind == "f", text, TypeError, dtype=np.dtype(dtype))
    return TABLE[astype](x, dtype=np.dtype(dtype))


def only(x: Any, where: Any, fill: Any) -> Any:
    """The entries that count; ``fill`` in the place of the others."""
    return x if where is True else np.where(mask(where, x), x, fill)


def mask(where: Any, x: Any) -> Any:
    """What says of each entry whether it counts: truths, as NumPy wants them."""
    where = array_of_a_kind(where, "where=") if hasattr(where, "dtype") else np.asarray(where, bool)
    text = "where=: got an array of {dtype}, wanted one of bool: .astype(bool), or x > 0"
    require(where.dtype == bool, text, TypeError, dtype=where.dtype)
    return np.broadcast_to(where, np.shape(x))


def count(x: Any, axis: Any, where: Any, **options: Any) -> Any:
    """How many entries count along axes."""
    if where is True:
        axes = range(np.ndim(x)) if axis is None else np.atleast_1d(axis).tolist()
        return float(math.prod(np.shape(x)[k] for k in axes))
    return astype(np.sum(mask(where, x), axis, **options), x.dtype)


def reduction(function: Any, combine: Any, neutral: float | None = None) -> Rule:
    """Spell the options of a reduction, by what combines two entries and what changes none."""

    def spelling(
        a: Any, axis: Any = None, dtype: Any = None, *, where: Any = True, **options: Any
    ) -> Any:
        initial = options.pop("initial", None)
        fill = initial if neutral is None else neutral
        if fill is None and where is not True:
            function([0.0], where=[True])  # NumPy's error: it needs an initial one
        a = only(cast(a, dtype), where, fill)
        if initial is not None and neutral is None and not np.size(a):
            return np.sum(a, axis, **options) + initial
        out = TABLE[function](a, axis=axis, **options)
        return out if initial is None else combine(out, initial)

    return spelling


def mean(a: Any, axis: Any = None, dtype: Any = None, *, where: Any = True, **options: Any) -> Any:
    """The sum over the number of entries, where not all of them count."""
    a = cast(a, dtype)
    if where is True:
        return TABLE[np.mean](a, axis=axis, **options)
    return np.sum(a, axis, where=where, **options) / count(a, axis, where, **options)


def var(
    a: Any, axis: Any = None, dtype: Any = None, *, ddof: Any = 0, where: Any = True, **options: Any
) -> Any:
    """The mean of the squared distances from the mean."""
    ddof, middle = options.pop("correction", ddof), options.pop("mean", None)
    a = only(cast(a, dtype), where, 0.0)  # nan there would be nan in the gradient, too
    middle = np.mean(a, axis, keepdims=True, where=where) if middle is None else middle
    squares = np.square(a - middle)
    if not ddof:
        return np.mean(squares, axis, where=where, **options)
    n = np.maximum(count(a, axis, where, **options) - ddof, 0.0)
    return np.sum(squares, axis, where=where, **options) / n


def nanvar(a: Any, axis: Any = None, *args: Any, where: Any = True, **options: Any) -> Any:
    """The variance of what is no nan; nan where that is ``ddof`` numbers or fewer, as in NumPy."""
    counted = np.logical_and(where, np.logical_not(np.isnan(a)))
    ddof = options.get("ddof", options.get("correction", 0))
    n = count(a, axis, counted, keepdims=options.get("keepdims", False))
    enough = np.where(n > ddof, 1.0, np.nan).astype(n.dtype)
    return np.var(a, axis, *args, where=counted, **options) * enough


def average(a: Any, axis: Any = None, weights: Any = None, *, keepdims: bool = False) -> Any:
    """Σ w·a / Σ w; weights of one axis count along it."""
    weights = np.ones_like(a) if weights is None else weights
    np.average(np.zeros(np.shape(a)), axis, np.ones(np.shape(weights)))
    if np.shape(weights) != np.shape(a):
        along = normalize_axis_index(axis, np.ndim(a))
        weights = np.expand_dims(weights, [k for k in range(np.ndim(a)) if k != along])
    weights = np.broadcast_to(weights, np.shape(a))
    return np.sum(a * weights, axis, keepdims=keepdims) / np.sum(weights, axis, keepdims=keepdims)


def of_numbers(function: Any) -> Rule:
    """Spell a sum or a mean that leaves nan out."""
    return lambda a, *args, where=True, **options: function(
        a, *args, where=np.logical_and(where, np.logical_not(np.isnan(a))), **options
    )


def accumulated(function: Any, a: Any, axis: int = 0) -> Any:
    """A function of the result so far and the next entry, along an axis."""
    return np.stack([*accumulate(np.moveaxis(a, axis, 0), function)], axis)


def without_nan(a: Any, axis: Any, fill: float) -> Any:
    """A number that is no extremum in the place of nan, where there are others along the axis."""
    hidden = np.isnan(a)
    return np.where(np.logical_and(hidden, ~np.all(hidden, axis, keepdims=True)), fill, a)


spell(
    np,
    sum=reduction(np.sum, np.add, 0.0),
    prod=reduction(np.prod, np.multiply, 1.0),
    max=reduction(np.max, np.maximum),
    min=reduction(np.min, np.minimum),
    amax=reduction(np.max, np.maximum),
    amin=reduction(np.min, np.minimum),
    mean=mean,
    var=var,
    std=lambda *args, **options: TABLE[root](np.var(*args, **options)),
    ptp=lambda a, axis=None, **how: np.max(a, axis, **how) - np.min(a, axis, **how),
    average=average,
    nansum=of_numbers(np.sum),
    nanprod=of_numbers(np.prod),
    nanmean=of_numbers(np.mean),
    nanvar=nanvar,
    nanstd=lambda *args, **options: TABLE[root](np.nanvar(*args, **options)),
    nanmax=lambda a, axis=None, **how: np.max(without_nan(a, axis, -math.inf), axis, **how),
    nanmin=lambda a, axis=None, **how: np.min(without_nan(a, axis, math.inf), axis, **how),
)


def methods(ufunc: Any, whole: Any, running: Any) -> None:
    """Spell np.add.reduce and np.add.accumulate, the first as np.sum."""

    def spelling(function: Any) -> Rule:
        return lambda a, axis=0, dtype=None, **how: function(cast(a, dtype), axis, **how)

    whole = {"reduce": spelling(whole)} if whole else {}
    spell(ufunc, accumulate=spelling(running or partial(accumulated, ufunc)), **whole)


methods(np.add, np.sum, np.cumsum)
methods(np.multiply, np.prod, np.cumprod)
methods(np.maximum, np.max, None)
methods(np.minimum, np.min, None)
methods(np.logaddexp, None, None)
