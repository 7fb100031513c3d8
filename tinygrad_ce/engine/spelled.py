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


def like(x: Any) -> Any:
    """An array of the same shape that takes no memory, to ask NumPy what becomes of the shape."""
    return np.broadcast_to(0.0, np.shape(x))


def reshaped(function: Any) -> Rule:
    """Spell a function that changes the shape alone, of one array or of each of several."""

    def spelling(*arrays: Any) -> Any:
        found = tuple(np.reshape(x, np.shape(function(like(x)))) for x in arrays)
        return found[0] if len(found) == 1 else found

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


def average(
    a: Any, axis: Any = None, weights: Any = None, returned: bool = False, **options: Any
) -> Any:
    """Σ w·a / Σ w."""
    if weights is None:
        weights = np.ones_like(a)
    elif np.shape(weights) != np.shape(a):
        axes = [k % np.ndim(a) for k in np.atleast_1d(axis).tolist()]
        sizes = [n if k in axes else 1 for k, n in enumerate(np.shape(a))]
        weights = np.reshape(np.transpose(weights, np.argsort(axes).tolist()), sizes)
    total = np.sum(np.broadcast_to(weights, np.shape(a)), axis, **options)
    found = np.sum(a * weights, axis, **options) / total
    return (found, total) if returned else found


def nanmax(function: Any, fill: float) -> Rule:
    """Spell an extremum without nan, which stays where there is nothing else."""

    def spelling(a: Any, axis: Any = None, **options: Any) -> Any:
        missing = np.isnan(a)
        some = np.logical_not(np.all(missing, axis, keepdims=True))
        return function(np.where(np.logical_and(missing, some), fill, a), axis, **options)

    return spelling


def without_nan(function: Any, fill: float | None = None) -> Rule:
    """Spell a reduction that leaves nan out: by what is neutral, or by ``where``."""

    def spelling(a: Any, *args: Any, where: Any = True, **options: Any) -> Any:
        if fill is not None:
            return function(np.where(np.isnan(a), fill, a), *args, where=where, **options)
        return function(
            a, *args, where=np.logical_and(where, np.logical_not(np.isnan(a))), **options
        )

    return spelling


def _known(x: Any, y: Any) -> Any:
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
    left, right = (range(-axes, 0), range(axes)) if isinstance(axes, int) else axes
    left, right = np.atleast_1d(left).astype(int), np.atleast_1d(right).astype(int)
    a, b, k = (
        np.moveaxis(a, left, range(-left.size, 0)),
        np.moveaxis(b, right, range(right.size)),
        left.size,
    )
    rows, inner, columns = np.shape(a)[: np.ndim(a) - k], np.shape(b)[:k], np.shape(b)[k:]
    x = np.reshape(a, (math.prod(rows), math.prod(np.shape(a)[np.ndim(a) - k :])))
    y = np.reshape(b, (math.prod(inner), math.prod(columns)))
    return np.reshape(np.matmul(x, y), rows + columns)


def kron(a: Any, b: Any) -> Any:
    """Each entry of a times b."""
    n = max(np.ndim(a), np.ndim(b))
    a, b = (np.reshape(x, (1,) * (n - np.ndim(x)) + np.shape(x)) for x in (a, b))
    shape = [i * j for i, j in zip(np.shape(a), np.shape(b))]
    apart = np.expand_dims(a, tuple(range(1, 2 * n, 2))) * np.expand_dims(
        b, tuple(range(0, 2 * n, 2))
    )
    return np.reshape(apart, shape)


def cross(
    a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None
) -> Any:
    """(a₁b₂ − a₂b₁, …) of vectors in space."""
    axisa, axisb, axisc = (axisa, axisb, axisc) if axis is None else (axis,) * 3
    a, b = np.moveaxis(a, axisa, -1), np.moveaxis(b, axisb, -1)
    if {np.shape(a)[-1], np.shape(b)[-1]} != {3}:
        text = "cross: got vectors of {a} and {b} entries, wanted 3"
        raise ValueError(_(text, a=np.shape(a)[-1], b=np.shape(b)[-1]))
    found = np.roll(a * np.roll(b, -1, -1) - np.roll(a, -1, -1) * b, -1, -1)
    return np.moveaxis(found, -1, axisc)


def nan_to_num(
    x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None
) -> Any:
    """Numbers in the place of nan and infinities, which have no slope."""
    top, bottom = np.finfo(x.dtype).max, np.finfo(x.dtype).min
    x = np.where(np.equal(x, np.inf), top if posinf is None else posinf, x)
    x = np.where(np.equal(x, -np.inf), bottom if neginf is None else neginf, x)
    return np.where(np.isnan(x), nan, x)


def linspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, *, axis: int = 0) -> Any:
    """Start and stop, each in parts that add up to 1."""
    ndim = max(np.ndim(start), np.ndim(stop))
    part = np.reshape(np.linspace(0.0, 1.0, num, endpoint), (-1,) + (1,) * ndim)
    found = start * (1.0 - part) + stop * part
    return np.moveaxis(cast(found, np.result_type(start, stop)), 0, axis)


def full_like(
    a: Any,
    fill_value: Any,
    dtype: Any = None,
    order: str = "K",
    subok: bool = True,
    shape: Any = None,
) -> Any:
    """A gradient flows to the value that fills it."""
    shape = np.shape(a) if shape is None else shape
    if not hasattr(fill_value, "apply_primitive"):
        return np.full(shape, fill_value, a.dtype if dtype is None else dtype)
    return np.broadcast_to(cast(fill_value, a.dtype if dtype is None else dtype), shape)


spell(
    np,
    # entry by entry
    fabs=lambda x: np.absolute(x),
    fmax=lambda x, y: np.maximum(_known(x, y), _known(y, x)),
    fmin=lambda x, y: np.minimum(_known(x, y), _known(y, x)),
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
    ptp=lambda a, axis=None, *, keepdims=False: (
        np.max(a, axis, keepdims=keepdims) - np.min(a, axis, keepdims=keepdims)
    ),
    average=average,
    nansum=without_nan(np.sum, 0.0),
    nanprod=without_nan(np.prod, 1.0),
    nanmean=without_nan(np.mean),
    nanvar=without_nan(np.var),
    nanstd=without_nan(np.std),
    nanmax=nanmax(np.max, -math.inf),
    nanmin=nanmax(np.min, math.inf),
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
    vstack=lambda tup, **how: np.concatenate([np.atleast_2d(x) for x in tup], **how),
    hstack=lambda tup, **how: np.concatenate(
        [np.atleast_1d(x) for x in tup], 0 if np.ndim(tup[0]) < 2 else 1, **how
    ),
    dstack=lambda tup: np.concatenate([np.atleast_3d(x) for x in tup], 2),
    column_stack=lambda tup: np.concatenate(
        [x if np.ndim(x) > 1 else np.reshape(x, (-1, 1)) for x in tup], 1
    ),
    block=block,
    append=lambda arr, values, axis=None: np.concatenate([arr, values], axis),
    split=split(np.split),
    array_split=split(np.array_split),
    vsplit=lambda ary, indices_or_sections: np.split(ary, indices_or_sections),
    hsplit=lambda ary, indices_or_sections: np.split(
        ary, indices_or_sections, 1 if np.ndim(ary) > 1 else 0
    ),
    dsplit=lambda ary, indices_or_sections: np.split(ary, indices_or_sections, 2),
    unstack=lambda x, *, axis=0: tuple(np.moveaxis(x, axis, 0)),
    # entries
    trace=lambda a, offset=0, axis1=0, axis2=1, dtype=None: np.sum(
        np.diagonal(a, offset, axis1, axis2), -1, dtype
    ),
)
