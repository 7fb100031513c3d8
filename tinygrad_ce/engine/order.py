"""Order, and what runs along an axis: NumPy's functions that sort, pick, add up and subtract.

Three have a rule. The others are spelled: what is sorted is what ``np.argsort`` of the data picks.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .data import example
from .operation import Primitive, define, spell
from .ops import GETITEM, SCATTER
from .text import _


def at(x: Any, index: Any, axis: int) -> Any:
    """``x[..., index, ...]``."""
    lead = (slice(None),) * (axis % np.ndim(x))
    return x[(*lead, index)] if lead else x[index]


def part(x: Any, axis: int, start: int | None, stop: int | None = None) -> Any:
    """A slice along an axis."""
    return at(x, slice(start, stop), axis)


def delayed(x: Any, axis: int, n: int, fill: float) -> Any:
    """Entries n places later, with a number in front."""
    front = np.full(np.shape(part(x, axis, None, n)), fill, x.dtype)
    return np.concatenate([front, part(x, axis, None, -n)], axis=axis)


def cumprod_back(g: Any, out: Any, x: Any, axis: int = 0) -> Any:
    """∂L/∂x_k = Π_{i<k} x_i · (g_k + x_{k+1} (g_{k+1} + x_{k+2} (…))), where x is 0, too.

    Each step joins sums of n terms to such of 2n, the products of their factors beside them.
    """
    n, total, factors = 1, np.flip(g, axis), delayed(np.flip(x, axis), axis, 1, 0.0)
    while n < np.shape(x)[axis]:
        total = total + factors * delayed(total, axis, n, 0.0)
        factors, n = factors * delayed(factors, axis, n, 0.0), 2 * n
    return delayed(out, axis, 1, 1.0) * np.flip(total, axis)


# fmt: off
CUMSUM: Primitive = define(np.cumsum, r"\sum_{j \le i} {<x>}_j",
    (lambda g, out, x, axis=0: np.flip(np.cumsum(np.flip(g, axis), axis), axis),
     r"\sum_{i \ge j} {<g>}_i"), linear=(0,), spelling=lambda a, axis=None: along(CUMSUM, a, axis))
CUMPROD: Primitive = define(np.cumprod, r"\prod_{j \le i} {<x>}_j",
    (cumprod_back, r"<g> \cdot \frac{\partial <out>}{\partial <x>}"),
    spelling=lambda a, axis=None: along(CUMPROD, a, axis))
CONVOLVE: Primitive = define(np.convolve, "<x> * <y>",
    (lambda g, out, a, v: np.convolve(g, np.flip(v), "valid"), r"<g> \star <y>"),
    (lambda g, out, a, v: np.convolve(g, np.flip(a), "valid"), r"<g> \star <x>"),
    linear=(0, 1), spelling=lambda a, v, mode="full": convolve(a, v, mode))
# fmt: on


def along(op: Any, a: Any, axis: int | None) -> Any:
    """An operation along an axis, or along all entries in a row; a number is a row of one."""
    row = axis is None or (not np.ndim(a) and axis in (0, -1))
    return op(np.reshape(a, -1), axis=0) if row else op(a, axis=axis)


def convolve(a: Any, v: Any, mode: str) -> Any:
    """The part of all that NumPy's mode asks for."""
    short, long = sorted([np.size(a), np.size(v)])
    starts = {"full": 0, "same": (short - 1) // 2, "valid": short - 1}
    if mode not in starts:
        text = "convolve, correlate: got mode={mode!r}, wanted 'full', 'same' or 'valid'"
        raise ValueError(_(text, mode=mode))
    sizes = {"full": short + long - 1, "same": long, "valid": long - short + 1}
    return part(CONVOLVE(a, v), 0, starts[mode], starts[mode] + sizes[mode])


def correlate(a: Any, v: Any, mode: Any = "valid") -> Any:
    """A convolution with v turned round."""
    if np.size(a) < np.size(v):
        return np.flip(np.convolve(v, np.flip(a), mode))
    return np.convolve(a, np.flip(v), mode)


def take(a: Any, indices: Any, axis: int | None = None, *, mode: str = "raise") -> Any:
    """``a[..., indices, ...]``."""
    if axis is None:
        a, axis = np.reshape(a, -1), 0
    n, index = np.shape(a)[axis], np.asarray(indices) if isinstance(indices, list) else indices
    index = {"raise": index, "wrap": index % n, "clip": np.clip(index, 0, n - 1)}[mode]
    return at(a, index, axis)


def quantile(
    a: Any, q: Any, axis: Any = None, *, method: Any = "linear", keepdims: bool = False
) -> Any:
    """Between two of what is sorted: NumPy says where, of 0, 1, 2, …; None leaves nan out."""
    axes = range(np.ndim(a)) if axis is None else [k % np.ndim(a) for k in np.atleast_1d(axis)]
    rest, q = [n for k, n in enumerate(np.shape(a)) if k not in axes], np.asarray(q)
    x = np.moveaxis(a, axes, range(-len(axes), 0))
    x = np.sort(np.reshape(x, (*rest, np.size(a) // (math.prod(rest) or 1))))
    pick: Any = np.take_along_axis if method is None else np.take
    if method is None:
        known = np.sum(np.logical_not(np.isnan(x)), axis=-1, keepdims=True)
        place = (known - 1) * q.reshape(-1)
    else:
        place = np.quantile(np.arange(np.shape(x)[-1]), q, method=method)
    low, high = (f(place).astype(int) for f in (np.floor, np.ceil))
    if place.ndim == 0:
        low, high = int(low), int(high)
    low, high, share = pick(x, low, -1), pick(x, high, -1), (place % 1.0).astype(x.dtype)
    with np.errstate(invalid="ignore"):  # ∞ · 0, which is not taken
        found = np.where(share == 0.0, low, low * (1.0 - share) + high * share)
    found = np.reshape(found, (*rest, *q.shape))
    if method is not None:
        missing = np.reshape(np.isnan(x[..., -1]), (*rest, *[1] * q.ndim))
        found = np.where(missing, np.nan, found)
    found = np.moveaxis(found, range(len(rest), np.ndim(found)), range(q.ndim))
    return np.expand_dims(found, tuple(k + q.ndim for k in axes)) if keepdims else found


def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    """Each entry but the first minus the one before, n times."""
    if n < 0:
        raise ValueError(_("diff: got n={n}, wanted 0 or more", n=n))
    if n == 0:  # as NumPy does, ends or not
        return a
    one = [1 if i == axis % np.ndim(a) else k for i, k in enumerate(np.shape(a))]
    ends = [x if x is None or np.ndim(x) else np.broadcast_to(x, one) for x in (prepend, append)]
    joined = [x for x in (ends[0], a, ends[1]) if x is not None]
    a = np.concatenate(joined, axis=axis) if joined[1:] else a
    for _time in range(n):
        a = part(a, axis, 1) - part(a, axis, None, -1)
    return a


def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    """Differences of all entries in a row, between others."""
    parts = [x for x in (to_begin, np.diff(np.reshape(ary, -1)), to_end) if x is not None]
    return np.concatenate([np.reshape(x, -1) for x in parts], dtype=ary.dtype)


def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    """Σ dx · (y + the next y) / 2."""
    if x is not None:
        dx = np.diff(x, axis=axis if np.ndim(x) > 1 else -1)
        after = np.ndim(y) - 1 - axis % np.ndim(y)
        dx = dx if np.ndim(x) > 1 else np.reshape(dx, (-1,) + (1,) * after)
    return np.sum(dx * (part(y, axis, 1) + part(y, axis, None, -1)) / 2.0, axis=axis)


def gradient(f: Any, *spacing: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """Slopes by each axis: of the two secants at an entry, each counts by the other's step."""
    axes = [*range(np.ndim(f))] if axis is None else np.atleast_1d(axis).tolist()
    steps = spacing * len(axes) if len(spacing) == 1 else spacing or (1.0,) * len(axes)
    if len(steps) != len(axes) or edge_order not in (1, 2):
        text = "gradient: got {n} spacings of {axes} axes, and edge_order={order}, wanted 1 or 2"
        raise ValueError(_(text, n=len(steps), axes=len(axes), order=edge_order))
    found = tuple(_slopes(f, h, k, edge_order) for h, k in zip(steps, axes))
    return found if len(found) > 1 else found[0]


def _slopes(f: Any, h: Any, axis: int, edge_order: int) -> Any:
    f = np.moveaxis(f, axis, -1)
    n = np.shape(f)[-1]
    if n <= edge_order or np.shape(h) not in ((), (n,)):
        text = (
            "gradient: got {n} entries along an axis and a spacing of shape {shape}, wanted more "
        )
        raise ValueError(_(text + "than edge_order, and one or as many", n=n, shape=np.shape(h)))
    d = np.diff(h) if np.ndim(h) else h * np.ones(n - 1, f.dtype)
    s = np.diff(f) / d
    inner = (s[..., :-1] * d[1:] + s[..., 1:] * d[:-1]) / (d[1:] + d[:-1])
    ends = s[..., :1], s[..., -1:]
    if edge_order == 2:  # of the parabola through the first three
        ends = 2.0 * ends[0] - inner[..., :1], 2.0 * ends[1] - inner[..., -1:]
    return np.moveaxis(np.concatenate([ends[0], inner, ends[1]], axis=-1), -1, axis)


def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None) -> Any:
    """The chord of the two points beside x; beyond them the last, or what is given."""
    if np.shape(xp) != np.shape(fp) or np.ndim(xp) != 1 or np.size(xp) < 2:
        text = "interp: got xp of shape {xp} and fp of shape {fp}, wanted 2 points or more of each"
        raise ValueError(_(text, xp=np.shape(xp), fp=np.shape(fp)))
    i = np.clip(np.searchsorted(xp, x, side="right") - 1, 0, np.size(xp) - 2)
    (x0, x1), (f0, f1) = ([GETITEM(a, index=k) for k in (i, i + 1)] for a in (xp, fp))
    inside = f0 + (x - x0) * ((f1 - f0) / (x1 - x0))
    inside = np.where(np.less(x, xp[0]), fp[0] if left is None else left, inside)
    return np.where(np.greater(x, xp[-1]), fp[-1] if right is None else right, inside)


def select(condlist: Any, choicelist: Any, default: Any = 0.0) -> Any:
    """The first choice whose condition holds."""
    for condition, choice in reversed([*zip(condlist, choicelist, strict=True)]):
        default = np.where(condition, choice, default)
    return default


def choose(a: Any, choices: Any, *, mode: str = "raise") -> Any:
    """The choice that each entry of a numbers."""
    n, where = len(choices), a.within(0, len(choices)) if hasattr(a, "within") else np.asarray(a)
    if mode == "raise" and np.any((example(where) < 0) | (example(where) >= n)):
        raise ValueError(_("choose: got {a}, wanted 0 to {last}", a=example(where), last=n - 1))
    where = where % n if mode == "wrap" else np.clip(where, 0, n - 1)
    return np.select([where == i for i in range(n - 1)], choices[:-1], choices[-1])


def piecewise(x: Any, condlist: Any, funclist: Any, *args: Any, **kw: Any) -> Any:
    """Each function of the entries where its condition holds; of several the last."""
    several = isinstance(condlist, list | tuple) and np.ndim(condlist[0]) >= np.ndim(x)
    conditions = [np.asarray(c) for c in (condlist if several else [condlist])]
    if len(funclist) == len(conditions) + 1:
        conditions.append(~np.any(conditions, axis=0))
    found = np.zeros(np.shape(x), x.dtype)
    for condition, f in zip(conditions, funclist, strict=True):
        if callable(f):
            inside = x[condition]
            values = np.broadcast_to(f(inside, *args, **kw), np.shape(inside))
            f = SCATTER(values, index=condition, shape=np.shape(x))
        found = np.where(condition, f, found)
    return found


def insert(arr: Any, obj: Any, values: Any, axis: int | None = None) -> Any:
    """Put values before positions: join them at the end, and take all in the order of NumPy's."""
    if axis is None:
        arr, axis = np.reshape(arr, -1), 0
    n, rank = np.shape(arr)[axis], np.ndim(arr)
    values = np.reshape(values, (1,) * (rank - np.ndim(values)) + np.shape(values))
    if np.ndim(obj) == 0 and not isinstance(obj, slice):
        values = np.moveaxis(values, 0, axis)
    k = len(np.insert(np.arange(n), obj, 0)) - n
    k = np.shape(values)[axis] if k == 1 else k
    shape = [k if i == axis % rank else m for i, m in enumerate(np.shape(arr))]
    joined = np.concatenate([arr, np.broadcast_to(values, shape)], axis=axis)
    return np.take(joined, np.insert(np.arange(n), obj, np.arange(n, n + k)), axis)


define(np.add.accumulate, "", spelling=lambda array, axis=0: np.cumsum(array, axis))
define(np.multiply.accumulate, "", spelling=lambda array, axis=0: np.cumprod(array, axis))
spell(
    np,
    sort=lambda a, axis=-1, *kind, **how: np.take_along_axis(
        a, np.argsort(a, axis, *kind, **how), axis
    ),
    partition=lambda a, kth, axis=-1, *kind, **how: np.take_along_axis(
        a, np.argpartition(a, kth, axis, *kind, **how), axis
    ),
    quantile=quantile,
    percentile=lambda a, q, axis=None, **how: np.quantile(a, np.asarray(q) / 100.0, axis, **how),
    median=lambda a, axis=None, *, keepdims=False: np.quantile(a, 0.5, axis, keepdims=keepdims),
    nanquantile=lambda a, q, axis=None, *, keepdims=False: quantile(
        a, q, axis, method=None, keepdims=keepdims
    ),
    nanpercentile=lambda a, q, axis=None, **how: np.nanquantile(
        a, np.asarray(q) / 100.0, axis, **how
    ),
    nanmedian=lambda a, axis=None, **how: np.nanquantile(a, 0.5, axis, **how),
    diff=diff,
    ediff1d=ediff1d,
    trapezoid=trapezoid,
    gradient=gradient,
    correlate=correlate,
    interp=interp,
    select=select,
    choose=choose,
    piecewise=piecewise,
    take=take,
    extract=lambda condition, arr: np.compress(np.reshape(condition, -1), arr),
    compress=lambda condition, a, axis=None: np.take(a, np.flatnonzero(condition), axis),
    insert=insert,
)
