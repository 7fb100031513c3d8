"""NumPy's functions that other functions of NumPy spell: each takes what NumPy documents.

They have no rules: on `Value`s the functions that they call are recorded, drawn and printed. To add
one, give `spell` its name and its spelling.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .data import lost
from .operation import TABLE, Rule, spell
from .reductions import cast, var
from .rules import root
from .text import _


def reshaped(function: Any) -> Rule:
    """Spell a function that changes the shape alone, of each of its arrays."""

    def spelling(*arrays: Any) -> Any:
        found = [np.reshape(x, function(np.empty(np.shape(x))).shape) for x in arrays]
        return tuple(found) if len(found) > 1 else found[0]

    return spelling


def turned(function: Any) -> Rule:
    """Spell a function that puts axes in another order: of a shape (0, 1, 2) it gives that."""
    return lambda a, *where, **how: np.transpose(
        a, function(np.empty(range(np.ndim(a))), *where, **how).shape
    )


def split(function: Any) -> Rule:
    """Spell a function that gives parts along an axis, by the parts of the positions there."""

    def spelling(ary: Any, indices_or_sections: Any, axis: int = 0) -> Any:
        if hasattr(indices_or_sections, "apply_primitive"):
            lost("A Value as the places of a split", "Use v.data.")
        places = function(np.arange(np.shape(ary)[axis]), indices_or_sections)
        lead = (slice(None),) * (axis % np.ndim(ary))
        return [ary[(*lead, slice(p[0], p[-1] + 1) if len(p) else slice(0))] for p in places]

    return spelling


def average(a: Any, axis: Any = None, weights: Any = None, returned: Any = 0, **how: Any) -> Any:
    """Σ w·a / Σ w."""
    weights = np.ones_like(a) if weights is None else weights
    if np.shape(weights) != np.shape(a):
        axes = [k % np.ndim(a) for k in np.atleast_1d(axis).tolist()]
        sizes = [n if k in axes else 1 for k, n in enumerate(np.shape(a))]
        weights = np.reshape(np.transpose(weights, np.argsort(axes).tolist()), sizes)
    total = np.sum(np.broadcast_to(weights, np.shape(a)), axis, **how)
    found = np.sum(a * weights, axis, **how) / total
    return (found, total) if returned else found


def without_nan(function: Any, fill: float) -> Rule:
    """Spell a reduction that leaves nan out; what has nothing else is nan for a fill of ±∞."""

    def spelling(a: Any, axis: Any = None, *args: Any, **options: Any) -> Any:
        hidden = np.isnan(a)
        if math.isinf(fill):
            hidden = np.logical_and(hidden, ~np.all(hidden, axis, keepdims=True))
        return function(np.where(hidden, fill, a), axis, *args, **options)

    return spelling


def of_numbers(function: Any) -> Rule:
    """Spell a mean that leaves nan out."""
    return lambda a, *args, where=True, **options: function(
        a, *args, where=np.logical_and(where, np.logical_not(np.isnan(a))), **options
    )


def known(x: Any, y: Any) -> Any:
    """X, and y where x is nan."""
    return np.where(np.isnan(x), y, x)


def block(arrays: Any) -> Any:
    """Join nested lists, the innermost along the last axis."""

    def depth(x: Any) -> int:
        return 1 + depth(x[0]) if isinstance(x, list) else 0

    def dims(x: Any) -> int:
        return max(map(dims, x)) if isinstance(x, list) else np.ndim(x)

    def join(x: Any, axis: int) -> Any:
        if isinstance(x, list):
            return np.concatenate([join(part, axis + 1) for part in x], axis)
        return np.reshape(x, (1,) * (most - np.ndim(x)) + np.shape(x))

    most = max(depth(arrays), dims(arrays))
    return join(arrays, most - depth(arrays))


def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    """Bring the axes to the end of a and the front of b, and multiply as matrices."""
    axes = (range(-axes, 0), range(axes)) if isinstance(axes, int) else axes
    left, right = ([x] if isinstance(x, int) else [*x] for x in axes)
    k = len(left)
    a, b = np.moveaxis(a, left, range(-k, 0)), np.moveaxis(b, right, range(k))
    rows, n, columns = np.shape(a)[: np.ndim(a) - k], math.prod(np.shape(b)[:k]), np.shape(b)[k:]
    x, y = np.reshape(a, (math.prod(rows), n)), np.reshape(b, (n, math.prod(columns)))
    return np.reshape(np.matmul(x, y), rows + columns)


def kron(a: Any, b: Any) -> Any:
    """Each entry of a times b."""
    n = max(np.ndim(a), np.ndim(b))
    a, b = (np.reshape(x, (1,) * (n - np.ndim(x)) + np.shape(x)) for x in (a, b))
    shape = [i * j for i, j in zip(np.shape(a), np.shape(b))]
    a, b = (np.expand_dims(x, tuple(range(i, 2 * n, 2))) for i, x in ((1, a), (0, b)))
    return np.reshape(a * b, shape)


def cross(
    a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: Any = None
) -> Any:
    """(a₁b₂ − a₂b₁, …) of vectors in space."""
    axisa, axisb, axisc = (axisa, axisb, axisc) if axis is None else (axis,) * 3
    a, b = np.moveaxis(a, axisa, -1), np.moveaxis(b, axisb, -1)
    if {np.shape(a)[-1], np.shape(b)[-1]} != {3}:
        raise ValueError(_("cross: got vectors of other lengths, wanted 3 entries in each"))
    found = np.roll(a * np.roll(b, -1, -1) - np.roll(a, -1, -1) * b, -1, -1)
    return np.moveaxis(found, -1, axisc)


def nan_to_num(
    x: Any, copy: Any = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None
) -> Any:
    """Numbers in the place of nan and infinities, which have no slope."""
    top = np.finfo(x.dtype).max
    x = np.where(np.equal(x, np.inf), top if posinf is None else posinf, x)
    return known(np.where(np.equal(x, -np.inf), -top if neginf is None else neginf, x), nan)


def linspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, *, axis: int = 0) -> Any:
    """Start and stop, each in parts that add up to 1."""
    lengths = (-1,) + (1,) * max(np.ndim(start), np.ndim(stop))
    part = np.reshape(np.linspace(0.0, 1.0, num, endpoint), lengths)
    found = cast(start * (1.0 - part) + stop * part, np.result_type(start, stop))
    return np.moveaxis(found, 0, axis)


def full_like(a: Any, fill_value: Any, dtype: Any = None, **how: Any) -> Any:
    """A gradient flows to the value that fills it."""
    ones = np.ones_like(a, dtype, **how)
    fills = hasattr(fill_value, "apply_primitive")
    return cast(ones * fill_value, ones.dtype) if fills else np.full_like(ones, fill_value)


parts: Any = split(np.split)
spell(
    np,
    # entry by entry
    fabs=lambda x: np.absolute(x),
    fmax=lambda x, y: np.maximum(known(x, y), known(y, x)),
    fmin=lambda x, y: np.minimum(known(x, y), known(y, x)),
    float_power=lambda x, y: np.power(cast(x, float), y),
    deg2rad=lambda x: x * (math.pi / 180.0),
    radians=lambda x: x * (math.pi / 180.0),
    rad2deg=lambda x: x * (180.0 / math.pi),
    degrees=lambda x: x * (180.0 / math.pi),
    divmod=lambda x, y: (np.floor_divide(x, y), np.remainder(x, y)),
    modf=lambda x: (np.fmod(x, 1.0), np.trunc(x)),
    conjugate=lambda x: +x,
    real=lambda val: +val,
    real_if_close=lambda a, tol=100: +a,
    nan_to_num=nan_to_num,
    astype=lambda x, dtype, /, *, copy=True: +cast(x, dtype),
    full_like=full_like,
    linspace=linspace,
    # along axes
    var=var,
    std=lambda *args, **options: TABLE[root](np.var(*args, **options)),
    ptp=lambda a, axis=None, **how: np.max(a, axis, **how) - np.min(a, axis, **how),
    average=average,
    nansum=without_nan(np.sum, 0.0),
    nanprod=without_nan(np.prod, 1.0),
    nanmax=without_nan(np.max, -math.inf),
    nanmin=without_nan(np.min, math.inf),
    nanmean=of_numbers(np.mean),
    nanvar=of_numbers(np.var),
    nanstd=of_numbers(np.std),
    # products
    vdot=lambda a, b: np.dot(np.reshape(a, -1), np.reshape(b, -1)),
    outer=lambda a, b: np.reshape(a, (-1, 1)) * np.reshape(b, -1),
    inner=lambda a, b: a * b if 0 in (np.ndim(a), np.ndim(b)) else np.tensordot(a, b, (-1, -1)),
    tensordot=tensordot,
    kron=kron,
    cross=cross,
    vecdot=lambda x, y, *, axis=-1: np.sum(x * y, axis),
    matvec=lambda x, y: np.squeeze(np.matmul(x, np.expand_dims(y, -1)), -1),
    vecmat=lambda x, y: np.squeeze(np.matmul(np.expand_dims(x, -2), y), -2),
    # shapes
    ravel=lambda a, order="C": np.reshape(a, -1, order=order),
    atleast_1d=reshaped(np.atleast_1d),
    atleast_2d=reshaped(np.atleast_2d),
    atleast_3d=reshaped(np.atleast_3d),
    moveaxis=turned(np.moveaxis),
    rollaxis=turned(np.rollaxis),
    matrix_transpose=turned(np.matrix_transpose),
    broadcast_arrays=lambda *args: tuple(
        np.broadcast_to(x, np.broadcast_shapes(*map(np.shape, args))) for x in args
    ),
    vstack=lambda tup, **how: np.concatenate([*map(np.atleast_2d, tup)], **how),
    hstack=lambda tup, **how: np.concatenate(
        [*map(np.atleast_1d, tup)], 0 if np.ndim(tup[0]) < 2 else 1, **how
    ),
    dstack=lambda tup: np.concatenate([*map(np.atleast_3d, tup)], 2),
    column_stack=lambda tup: np.concatenate(
        [x if np.ndim(x) > 1 else np.reshape(x, (-1, 1)) for x in tup], 1
    ),
    block=block,
    append=lambda arr, values, axis=None: np.concatenate([arr, values], axis),
    split=parts,
    array_split=split(np.array_split),
    vsplit=parts,
    hsplit=lambda ary, *at, **how: parts(ary, *at, axis=min(1, np.ndim(ary) - 1), **how),
    dsplit=lambda ary, *at, **how: parts(ary, *at, axis=2, **how),
    unstack=lambda x, *, axis=0: tuple(np.moveaxis(x, axis, 0)),
    # entries
    trace=lambda a, *args, dtype=None, **how: np.sum(np.diagonal(a, *args, **how), -1, dtype),
)
