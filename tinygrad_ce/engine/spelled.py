"""NumPy's functions that other functions of NumPy spell: each takes what NumPy documents.

They have no rules: on `Value`s the functions that they call are recorded, drawn and printed. To add
one, give `spell` its name and its spelling. Sorting is what ``np.argsort`` of the data picks.
Where a wrong argument would do something else here, NumPy's function is called on plain numbers
first, for the error.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from .data import example
from .numpy_functions import at, part
from .operation import TABLE, Rule, spell
from .ops import GETITEM, SCATTER
from .reductions import cast
from .rules import pick
from .text import require
from .value import detach


# ------------------------------------------------------------------ shapes and parts
def row(x: Any, axis: int | None) -> tuple[Any, int]:
    """An array and an axis of it: of None, all entries in a row; a number is a row of one."""
    whole = axis is None or (not np.ndim(x) and axis in (0, -1))
    return (np.reshape(x, -1), 0) if whole else (x, axis)  # type: ignore[return-value]


def reshaped(function: Any) -> Rule:
    """Spell a function that changes the shape alone, of each array."""

    def spelling(*arrays: Any) -> Any:
        results = [np.reshape(x, function(np.empty(np.shape(x))).shape) for x in arrays]
        return results[0] if len(results) == 1 else tuple(results)

    return spelling


def turned(function: Any) -> Rule:
    """Spell a function that puts axes in another order: of a shape (0, 1, 2) it gives that."""
    return lambda a, *where, **how: np.transpose(
        a, function(np.empty(range(np.ndim(a))), *where, **how).shape
    )


def split(function: Any) -> Rule:
    """Spell a function that gives parts along an axis, by the parts of the positions there."""

    def spelling(ary: Any, indices_or_sections: Any, axis: int = 0) -> Any:
        places = function(np.arange(np.shape(ary)[axis]), np.asarray(indices_or_sections))
        ends = [(p[0], p[-1] + 1) if len(p) else (0, 0) for p in places]
        return [part(ary, axis, start, stop) for start, stop in ends]

    return spelling


def concatenate(
    arrays: Sequence[Any], /, axis: int | None = 0, *, dtype: Any = None, casting: Any = "same_kind"
) -> Any:
    """Join along an axis; ``axis=None`` flattens first, as in NumPy."""
    text = "concatenate: wanted all arrays in one list: np.concatenate([x, y])"
    require(not hasattr(axis, "apply_primitive"), text, TypeError)
    if axis is None:
        arrays, axis = [np.reshape(a, -1) for a in arrays], 0
    joined = TABLE[np.concatenate](*arrays, axis=axis)
    np.empty(0, joined.dtype).astype(dtype or joined.dtype, casting=casting)  # or NumPy's error
    return cast(joined, dtype)


# ------------------------------------------------------------------ entry by entry
def clip(a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Any:
    """Limit to [min, max]; None is no limit."""
    low, high = (a_min if min is None else min), (a_max if max is None else max)
    return TABLE[np.clip](a, -math.inf if low is None else low, math.inf if high is None else high)


def known(x: Any, y: Any) -> Any:
    """X, and y where x is nan."""
    return np.where(np.isnan(x), y, x)


def nan_to_num(
    x: Any, copy: Any = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None
) -> Any:
    """Numbers in the place of nan and infinities, which have no slope."""
    top = np.finfo(x.dtype).max
    x = np.where(np.equal(x, np.inf), top if posinf is None else posinf, x)
    return known(np.where(np.equal(x, -np.inf), -top if neginf is None else neginf, x), nan)


def linspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, *, dtype: Any = None, axis: int = 0
) -> Any:
    """Start and stop, each in parts that add up to 1."""
    lengths = (-1,) + (1,) * max(np.ndim(start), np.ndim(stop))
    share = np.reshape(np.linspace(0.0, 1.0, num, endpoint), lengths)
    points = cast(start * (1.0 - share) + stop * share, dtype or np.result_type(start, stop))
    return np.moveaxis(points, 0, axis)


def full_like(a: Any, fill_value: Any, dtype: Any = None, **how: Any) -> Any:
    """A gradient flows to the value that fills it."""
    ones = np.ones_like(a, dtype, **how)
    fills = hasattr(fill_value, "apply_primitive")
    return cast(ones * fill_value, ones.dtype) if fills else np.full_like(ones, fill_value)


def select(condlist: Any, choicelist: Any, default: Any = 0.0) -> Any:
    """The first choice whose condition holds."""
    for condition, choice in reversed([*zip(condlist, choicelist, strict=True)]):
        default = np.where(condition, choice, default)
    return default


def choose(a: Any, choices: Any, *, mode: Any = "raise") -> Any:
    """The choice that each entry of a numbers: which that is, and what is none, NumPy knows."""
    which = np.choose(detach(a), [*range(len(choices))], mode=mode)
    others = choices[:-1] or choices  # there may be one alone
    return np.select([which == i for i in range(len(others))], others, choices[-1])


def piecewise(x: Any, condlist: Any, funclist: Any, *args: Any, **kw: Any) -> Any:
    """Each function of its entries: which these are, and what makes no sense, NumPy knows."""
    which = np.piecewise(np.zeros(np.shape(x)), condlist, [*range(1, len(funclist) + 1)])
    result = np.zeros(np.shape(x), x.dtype)
    for k, f in enumerate(funclist, 1):
        if callable(f):
            inside = x[which == k]
            values = np.broadcast_to(f(inside, *args, **kw), np.shape(inside))
            f = SCATTER(values, index=which == k, shape=np.shape(x))
        result = np.where(which == k, f, result)
    return result


def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None) -> Any:
    """The chord of the two points beside x; beyond them the last, or what is given."""
    xp, fp = (np.asarray(a) if isinstance(a, list | tuple) else a for a in (xp, fp))
    text = "interp: got xp of shape {xp} and fp of shape {fp}, wanted 2 points or more of each"
    fits = np.shape(xp) == np.shape(fp) and np.ndim(xp) == 1 and np.size(xp) >= 2
    require(fits, text, xp=np.shape(xp), fp=np.shape(fp))
    i = np.clip(np.searchsorted(xp, x, side="right") - 1, 0, np.size(xp) - 2)
    (x0, x1), (f0, f1) = ([GETITEM(a, index=k) for k in (i, i + 1)] for a in (xp, fp))
    inside = f0 + (x - x0) * ((f1 - f0) / (x1 - x0))
    inside = np.where(np.less(x, xp[0]), fp[0] if left is None else left, inside)
    return np.where(np.greater(x, xp[-1]), fp[-1] if right is None else right, inside)


# ------------------------------------------------------------------ along axes
def take_along_axis(arr: Any, indices: Any, axis: int | None = -1) -> Any:
    """Pick entries by integer arrays; ``axis=None`` flattens first, as in NumPy."""
    arr, axis = (arr, axis) if axis is not None else row(arr, None)
    return TABLE[np.take_along_axis](arr, indices, axis=axis)


def take(a: Any, indices: Any, axis: int | None = None) -> Any:
    """``a[..., indices, ...]``."""
    a, axis = row(a, axis)
    return at(a, np.asarray(indices) if isinstance(indices, list | tuple) else indices, axis)


def quantile(
    a: Any, q: Any, axis: Any = None, *, method: Any = "linear", keepdims: bool = False
) -> Any:
    """Between two of what is sorted: NumPy says where, of 0, 1, 2, …; nan, the last, is all."""
    axes = normalize_axis_tuple(range(np.ndim(a)) if axis is None else axis, np.ndim(a))
    others = [n for k, n in enumerate(np.shape(a)) if k not in axes]
    n = math.prod(np.shape(a)[k] for k in axes)
    x = np.sort(np.reshape(np.moveaxis(a, axes, range(len(axes))), (n, *others)), 0)
    place = np.quantile(np.arange(n), np.asarray(q), method=method)
    low, high = (x[f(place).astype(int).tolist()] for f in (np.floor, np.ceil))
    share = np.reshape(place % 1.0, np.shape(q) + (1,) * len(others)).astype(x.dtype)
    whole = share == 0.0
    whole = whole.all() if whole.all() == whole.any() else whole  # of one kind, no choice is left
    with np.errstate(invalid="ignore"):  # ∞ · 0, which is not taken
        between = pick(whole, low, low * (1.0 - share) + high * share)
    result = np.where(np.isnan(x[-1]), np.nan, between)
    return np.expand_dims(result, tuple(k + np.ndim(q) for k in axes)) if keepdims else result


def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    """Each entry but the first minus the one before, n times."""
    np.diff([0.0], n)  # of n < 0
    edge = np.shape(np.sum(a, axis, keepdims=True))  # of a number beside the entries
    ends = [x if x is None or np.ndim(x) else np.broadcast_to(x, edge) for x in (prepend, append)]
    parts = [x for x in (ends[0], a, ends[1]) if x is not None]
    a = np.concatenate(parts, axis) if n and len(parts) > 1 else a
    for _time in range(n):
        a = part(a, axis, 1) - part(a, axis, None, -1)
    return a


def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    """Σ dx · (y + the next y) / 2."""
    heights = (part(y, axis, 1) + part(y, axis, None, -1)) / 2.0
    if x is not None and np.ndim(x) > 1:
        dx = np.diff(x, axis=axis)
    elif x is not None:
        dx = np.reshape(np.diff(x), (-1,) + (1,) * (np.ndim(y) - 1 - axis % np.ndim(y)))
    return np.sum(dx * heights, axis=axis)


def gradient(f: Any, *spacing: Any, axis: Any = None) -> Any:
    """Slopes by each axis: of the two secants at an entry, each counts by the other's step."""
    np.gradient(np.zeros(np.shape(f)), *[example(detach(h)) for h in spacing], axis=axis)
    axes = [*range(np.ndim(f))] if axis is None else np.atleast_1d(axis).tolist()
    steps = spacing * len(axes) if len(spacing) == 1 else spacing or (1.0,) * len(axes)
    slopes = []
    for h, k in zip(steps, axes):
        x = np.moveaxis(f, k, -1)
        d = np.diff(h) if np.ndim(h) else h * np.ones(np.shape(x)[-1] - 1, f.dtype)
        s = np.diff(x) / d
        inner = (s[..., :-1] * d[1:] + s[..., 1:] * d[:-1]) / (d[1:] + d[:-1])
        slopes.append(np.moveaxis(np.concatenate([s[..., :1], inner, s[..., -1:]], -1), -1, k))
    return slopes[0] if len(slopes) == 1 else tuple(slopes)


# ------------------------------------------------------------------ products
def einsum(*operands: Any, optimize: Any = False) -> Any:
    """Give einsum its subscripts as text, with what ``...`` and a result left out stand for."""
    if isinstance(operands[0], str):
        form, xs = operands[:1], operands[1:]
    else:
        n = len(operands) // 2 * 2
        form, xs = tuple(map(tuple, operands[1:n:2] + operands[n:])), operands[:n:2]
        if n == len(operands):  # the result's axes: those that stand once, in order
            often = Counter(chain(*form))
            once = [k for k in often if hasattr(k, "__index__") and often[k] == 1]
            form += ((*[...] * (... in often), *sorted(once)),)
    subscripts = form[0]
    if len(form) > 1 or "..." in subscripts or "->" not in subscripts:
        subscripts = in_full(form, tuple(map(np.shape, xs)))
    return TABLE[np.einsum](*xs, subscripts=subscripts.replace(" ", ""), optimize=optimize)


@lru_cache(maxsize=1024)  # a plan takes ten times as long as a small einsum
def in_full(form: tuple[Any, ...], shapes: tuple[tuple[int, ...], ...]) -> str:
    """Subscripts as NumPy writes them when it plans; lists of axes stand behind their arrays."""
    arrays = [np.broadcast_to(0.0, shape) for shape in shapes]
    lists = [*chain(*zip(arrays, form)), *form[len(arrays) :]]
    call: Any = lists if len(form) > 1 or form[0].__class__ is tuple else [*form, *arrays]
    written: str = re.findall(r"\S*->\S*", np.einsum_path(*call, optimize=False)[1])[0]
    return written


def dot(a: Any, b: Any) -> Any:
    """Multiply scalars, else sum over the last axis of ``a`` and the last but one of ``b``."""
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return a * b
    return np.matmul(a, b) if np.ndim(b) <= 2 else np.tensordot(a, b, (-1, -2))


def inner(a: Any, b: Any) -> Any:
    """Multiply scalars, else sum over the last axis of both."""
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return a * b
    return np.dot(a, np.transpose(b)) if np.ndim(b) < 3 else np.tensordot(a, b, (-1, -1))


def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    """Bring the axes to the end of a and the front of b, and multiply as matrices."""
    axes = (range(-axes, 0), range(axes)) if isinstance(axes, int) else axes
    left, right = ([x] if isinstance(x, int) else [*x] for x in axes)
    k = len(left)
    move = turned(np.moveaxis)  # also of plain arrays: a program sees that it changes nothing
    a, b = move(a, left, range(-k, 0)), move(b, right, range(k))
    text = "tensordot: got {a} and {b} with the axes {axes}, whose lengths are not the same"
    same = np.shape(a)[np.ndim(a) - k :] == np.shape(b)[:k]
    require(same, text, a=np.shape(a), b=np.shape(b), axes=axes)
    rows, n, columns = np.shape(a)[: np.ndim(a) - k], math.prod(np.shape(b)[:k]), np.shape(b)[k:]
    x, y = np.reshape(a, (math.prod(rows), n)), np.reshape(b, (n, math.prod(columns)))
    return np.reshape(np.matmul(x, y), rows + columns)


def vecdot(x: Any, y: Any, *, axis: int = -1) -> Any:
    """Σ x·y along the axis of each."""
    x, y = np.moveaxis(x, axis, -1), np.moveaxis(y, axis, -1)
    np.vecdot(np.zeros(np.shape(x)), np.zeros(np.shape(y)))
    return np.sum(x * y, -1)


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
    text = "cross: got vectors of other lengths, wanted 3 entries in each"
    require(np.shape(a)[-1] == 3 == np.shape(b)[-1], text)
    turned = a * np.roll(b, -1, -1) - np.roll(a, -1, -1) * b
    return np.moveaxis(np.roll(turned, -1, -1), -1, axisc)


def convolve(a: Any, v: Any, mode: Any = "full") -> Any:
    """Of the sums at all shifts, as many as NumPy's mode leaves, from the middle."""
    left_out = 4 - np.size(np.convolve([0.0] * 2, [0.0] * 3, mode))  # 0, 1 or 2 of the shorter
    short, long = sorted([np.size(a), np.size(v)])
    cut = left_out * (short - 1)
    return part(TABLE[np.convolve](a, v), 0, cut // 2, long + short - 1 - cut + cut // 2)


parts: Any = split(np.split)
spell(
    np,
    # entry by entry
    fabs=lambda x: np.absolute(x),
    fmax=lambda x, y: np.maximum(known(x, y), known(y, x)),
    fmin=lambda x, y: np.minimum(known(x, y), known(y, x)),
    exp2=lambda x: 2.0**x,
    reciprocal=lambda x: 1.0 / x,
    deg2rad=lambda x: x * (math.pi / 180.0),
    radians=lambda x: x * (math.pi / 180.0),
    rad2deg=lambda x: x * (180.0 / math.pi),
    degrees=lambda x: x * (180.0 / math.pi),
    divmod=lambda x, y: (np.floor_divide(x, y), np.remainder(x, y)),
    conjugate=lambda x: +x,
    copy=lambda a, order="K", subok=False: +a,
    real=lambda val: +val,
    real_if_close=lambda a, tol=100: +a,
    clip=clip,
    nan_to_num=nan_to_num,
    astype=lambda x, dtype, /, *, copy=True: +cast(x, dtype),
    full_like=full_like,
    linspace=linspace,
    select=select,
    choose=choose,
    piecewise=piecewise,
    interp=interp,
    # along axes
    sort=lambda a, axis=-1, *kind, **how: np.take_along_axis(
        a, np.argsort(a, axis, *kind, **how), axis
    ),
    partition=lambda a, kth, axis=-1, *kind, **how: np.take_along_axis(
        a, np.argpartition(a, kth, axis, *kind, **how), axis
    ),
    take_along_axis=take_along_axis,
    cumsum=lambda a, axis=None, dtype=None: TABLE[np.cumsum](*row(cast(a, dtype), axis)),
    cumprod=lambda a, axis=None, dtype=None: TABLE[np.cumprod](*row(cast(a, dtype), axis)),
    quantile=quantile,
    percentile=lambda a, q, axis=None, **how: np.quantile(a, np.asarray(q) / 100.0, axis, **how),
    median=lambda a, axis=None, *, keepdims=False: np.quantile(a, 0.5, axis, keepdims=keepdims),
    diff=diff,
    trapezoid=trapezoid,
    gradient=gradient,
    # products
    einsum=einsum,
    dot=dot,
    vdot=lambda a, b: np.dot(np.reshape(a, -1), np.reshape(b, -1)),
    outer=lambda a, b: np.reshape(a, (-1, 1)) * np.reshape(b, -1),
    inner=inner,
    tensordot=tensordot,
    kron=kron,
    cross=cross,
    vecdot=vecdot,
    matvec=lambda x, y: np.squeeze(np.matmul(x, np.expand_dims(y, -1)), -1),
    vecmat=lambda x, y: np.squeeze(np.matmul(np.expand_dims(x, -2), y), -2),
    convolve=convolve,
    correlate=lambda a, v, mode="valid": (
        np.convolve(a, np.flip(v), mode)
        if np.size(a) >= np.size(v)
        else np.flip(np.convolve(v, np.flip(a), mode))
    ),
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
    # joined, and in parts
    concatenate=concatenate,
    stack=lambda arrays, axis=0, **how: np.concatenate(
        [np.expand_dims(x, axis) for x in arrays], axis, **how
    ),
    vstack=lambda tup, **how: np.concatenate([*map(np.atleast_2d, tup)], **how),
    hstack=lambda tup, **how: np.concatenate(
        [*map(np.atleast_1d, tup)], 0 if np.ndim(tup[0]) < 2 else 1, **how
    ),
    dstack=lambda tup: np.concatenate([*map(np.atleast_3d, tup)], 2),
    column_stack=lambda tup: np.concatenate(
        [x if np.ndim(x) > 1 else np.reshape(x, (-1, 1)) for x in tup], 1
    ),
    append=lambda arr, values, axis=None: np.concatenate([arr, values], axis),
    split=parts,
    array_split=split(np.array_split),
    vsplit=parts,
    hsplit=lambda ary, *at, **how: parts(ary, *at, axis=min(1, np.ndim(ary) - 1), **how),
    dsplit=lambda ary, *at, **how: parts(ary, *at, axis=2, **how),
    unstack=lambda x, *, axis=0: tuple(np.moveaxis(x, axis, 0)),
    # entries
    take=take,
    extract=lambda condition, arr: np.compress(np.reshape(condition, -1), arr),
    compress=lambda condition, a, axis=None: np.take(a, np.flatnonzero(condition), axis),
    trace=lambda a, *args, dtype=None, **how: np.sum(np.diagonal(a, *args, **how), -1, dtype),
)
