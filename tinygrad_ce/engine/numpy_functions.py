"""NumPy's other functions: their rules, their records, and what only spells other operations.

A spelling receives what the NumPy function was called with, in its order and by its names.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from .operation import POSITIVE, REAL, TABLE, Each, define
from .ops import GETITEM, IDENTITY, SCATTER
from .rules import pick, spread
from .text import _

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"  # importing string takes 1 ms


def average(g: Any, out: Any, x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """∂(mean x)/∂x = 1/n at each of the n entries."""
    n = math.prod(np.shape(out)) / (math.prod(np.shape(x)) or 1)
    return spread(g * float(n), x, axis, keepdims)


def extremum(g: Any, out: Any, x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """∂(max x)/∂x = 1/k at each of the k entries that attain it, 0 elsewhere."""
    hit = np.equal(x, spread(out, x, axis, keepdims)) | np.isnan(x)
    return spread(g, x, axis, keepdims) * (hit / np.sum(hit, axis=axis, keepdims=True))


def win(g: Any, loses: Any, ties: Any) -> Any:
    """∂max(x, y)/∂x = 1 where x wins, 0 where it loses, 1/2 in a tie."""
    return pick(loses, 0.0, pick(ties, 0.5 * g, g))


def block(i: int, g: Any, out: Any, *xs: Any, axis: int = 0) -> Any:
    """∂[x, y, …]/∂xᵢ = 1 on the block of ``g`` that argument i became."""
    axis = axis % g.ndim
    start = sum(np.shape(x)[axis] for x in xs[:i])
    return g[(slice(None),) * axis + (slice(start, start + np.shape(xs[i])[axis]),)]


def along(shape: tuple[int, ...], indices: Any, axis: int) -> tuple[Any, ...]:
    """The index that reads what ``np.take_along_axis(x, indices, axis)`` reads."""
    index = [np.arange(n).reshape(-1, *[1] * (len(shape) - d - 1)) for d, n in enumerate(shape)]
    index[axis] = indices
    return tuple(index)


def einsum_back(i: int, g: Any, out: Any, *xs: Any, subscripts: str = "") -> Any:
    """∂L/∂xᵢ: an einsum again, of g and the other operand, into the letters of xᵢ.

    One that an axis of length 1 has is summed: the other operand may have stretched it.
    """
    inputs, result = subscripts.split("->")
    letters = inputs.split(",")
    mine, others = letters.pop(i), xs[:i] + xs[i + 1 :]
    there = {*result, *"".join(letters)} - {c for c, n in zip(mine, np.shape(xs[i])) if n == 1}
    known = "".join(c for c in mine if c in there)
    back = np.einsum(",".join([result, *letters]) + "->" + known, g, *others)
    return back if known == mine else back[tuple(slice(None) if c in known else None for c in mine)]


def concatenate(arrays: Sequence[Any], /, axis: int | None = 0) -> Any:
    """Join along an axis; ``axis=None`` flattens first, as in NumPy."""
    if axis is None:
        return CONCATENATE(*(np.reshape(a, -1) for a in arrays), axis=0)
    return CONCATENATE(*arrays, axis=axis)


def stack(arrays: Sequence[Any], axis: int = 0) -> Any:
    """Join along a new axis."""
    return CONCATENATE(*(np.expand_dims(a, axis) for a in arrays), axis=axis)


def dot(a: Any, b: Any) -> Any:
    """Multiply scalars, else sum over the last axis of ``a`` and the last but one of ``b``."""
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return a * b
    if np.ndim(b) <= 2:
        return np.matmul(a, b)
    left, right = LETTERS[: np.ndim(a) - 1], LETTERS[26 : 26 + np.ndim(b) - 2]
    return einsum(f"{left}y,{right}yz->{left}{right}z", a, b)


def clip(a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Any:
    """Limit to [min, max]; None is no limit."""
    low, high = (a_min if min is None else min), (a_max if max is None else max)
    return CLIP(a, -math.inf if low is None else low, math.inf if high is None else high)


def take_along_axis(arr: Any, indices: Any, axis: int | None = -1) -> Any:
    """Pick entries by integer arrays; ``axis=None`` flattens first, as in NumPy."""
    if axis is None:
        return TAKE_ALONG_AXIS(np.reshape(arr, -1), indices, axis=0)
    return TAKE_ALONG_AXIS(arr, indices, axis=axis)


def einsum(subscripts: str, *operands: Any) -> Any:
    """Spell out what einsum leaves implicit: the result, ``...``, and diagonals."""
    if not isinstance(subscripts, str):
        text = "einsum on Values takes the subscripts first, as text: 'ij,jk->ik'"
        raise ValueError(_(text))
    inputs, arrow, result = subscripts.replace(" ", "").partition("->")
    letters = inputs.split(",")
    if len(letters) != len(operands):
        text = "einsum: {subscripts} names {n} operands, got {got}"
        raise ValueError(_(text, subscripts=repr(subscripts), n=len(letters), got=len(operands)))
    ranks = [np.ndim(x) - len(s) + 3 if "..." in s else 0 for s, x in zip(letters, operands)]
    unused = [c for c in LETTERS if c not in subscripts]
    dots = "".join(unused[: max(ranks)])
    letters = [s.replace("...", dots[len(dots) - r :]) for s, r in zip(letters, ranks)]
    if not arrow:
        named = "".join(letters)
        result = "..." + "".join(sorted(c for c in set(named) - set(dots) if named.count(c) == 1))
    diagonals = [_diagonal(s, x) for s, x in zip(letters, operands)]
    spelled = ",".join(s for s, _x in diagonals) + "->" + result.replace("...", dots)
    return EINSUM(*(x for _s, x in diagonals), subscripts=spelled)


def _diagonal(letters: str, x: Any) -> tuple[str, Any]:
    """Read ``ii`` as the diagonal, so that every letter left stands once."""
    once = "".join(dict.fromkeys(letters))
    if once == letters or len(letters) != np.ndim(x):
        return letters, x
    if len({*zip(letters, np.shape(x))}) > len(once):
        text = "einsum: got an operand of shape {shape} for {letters}, wanted one length a letter"
        raise ValueError(_(text, shape=np.shape(x), letters=repr(letters)))
    along = [np.arange(n) for n in np.shape(x)]
    return once, x[
        tuple(a.reshape([-1 if c == d else 1 for d in once]) for c, a in zip(letters, along))
    ]


def _logistic(x: Any) -> Any:
    """1 / (1 + eˣ), of nan without a warning, as of others."""
    with np.errstate(invalid="ignore"):
        return np.exp(-np.logaddexp(0.0, x))


def softplus_of_two(x: Any, y: Any) -> Any:
    """log(eˣ + eʸ) of numbers, in operations that are not too long."""
    apart = abs(np.subtract(x, y))
    if not any(p.__class__ is float and np.isfinite(p) for p in (x, y)):  # ∞ − ∞ is nan
        apart = np.where(np.equal(x, y), 0.0, apart)
    return np.maximum(x, y) + np.log1p(np.exp(-apart))


def attained(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Which entries are the largest; of -x, the smallest."""
    return x == np.max(x, axis=axis, keepdims=True)


# fmt: off
define(np.maximum, r"\max(<x>, <y>)",
    (lambda g, out, x, y: win(g, np.less(x, y), np.equal(x, y)), r"<g> \cdot [<x> > <y>]"),
    (lambda g, out, x, y: win(g, np.less(y, x), np.equal(x, y)), r"<g> \cdot [<y> > <x>]"),
    piece=np.less, number="{0} if {0} >= {1} or math.isnan({0}) else {1}")  # nan wins, as in NumPy
define(np.minimum, r"\min(<x>, <y>)",
    (lambda g, out, x, y: win(g, np.less(y, x), np.equal(x, y)), r"<g> \cdot [<x> < <y>]"),
    (lambda g, out, x, y: win(g, np.less(x, y), np.equal(x, y)), r"<g> \cdot [<y> < <x>]"),
    piece=np.less, number="{0} if {0} <= {1} or math.isnan({0}) else {1}")
define(np.logaddexp, r"\log(e^{<x>} + e^{<y>})",
    (lambda g, out, x, y: g * _logistic(y - x), r"<g> \cdot e^{<x> - <out>}"),
    (lambda g, out, x, y: g * _logistic(x - y), r"<g> \cdot e^{<y> - <out>}"),
    number=softplus_of_two)
LOG1P = define(np.log1p, r"\log(1 + <x>)",
    (lambda g, out, x: g / (1.0 + x), "<g> / (1 + <x>)"), domain=((-1.0, math.inf),),
    scalar=math.log1p)
define(np.expm1, "e^{<x>} - 1",
    (lambda g, out, x: g * (out + 1.0), r"<g> \cdot e^{<x>}"), scalar=math.expm1)
define(np.sqrt, r"\sqrt{<x>}",
    (lambda g, out, x: g / (2.0 * out), r"<g> / (2 \sqrt{<x>})"), domain=(POSITIVE,),
    scalar=math.sqrt)
define(np.square, "<x>^2",
    (lambda g, out, x: g * (2.0 * x), r"<g> \cdot 2 <x>"), scalar=lambda x: x * x, powers=(2,),
    number="{0} * {0}")
define(np.tanh, r"\tanh <x>",
    (lambda g, out, x: g * (1.0 - out * out), r"<g> \cdot (1 - \tanh^2 <x>)"), scalar=math.tanh)
CLIP = define(np.clip, r"\operatorname{clip}(<x>, <y>, <z>)",
    (lambda g, out, x, lo, hi: np.where((x < lo) | (x > hi), 0.0, g), r"<g> [<y> \le <x> \le <z>]"),
    (lambda g, out, x, lo, hi: np.where((x < lo) & (lo <= hi), g, 0.0), r"<g> \cdot [<x> < <y>]"),
    (lambda g, out, x, lo, hi: np.where((x > hi) | (lo > hi), g, 0.0), r"<g> \cdot [<x> > <z>]"),
    domain=(REAL, (-math.inf, 0.0), POSITIVE), piece=lambda x, lo, hi: 1 * (x < lo) + 2 * (x > hi),
    number=lambda x, lo, hi: np.minimum(np.maximum(x, lo), hi), roles=("clipped", "low", "high"),
    spelling=clip, entrywise=True)
MEAN = define(np.mean, r"\frac1n \sum <x>", (average, "<g> / n"), linear=(0,))
MAX = define(np.max, r"\max <x>", (extremum, r"<g> \cdot [<x> = \max <x>]"), piece=attained)
MIN = define(np.min, r"\min <x>", (extremum, r"<g> \cdot [<x> = \min <x>]"),
    piece=lambda x, **options: attained(-x, **options))
define(np.reshape, r"\operatorname{reshape} <x>",
    (lambda g, out, x, shape=(): np.reshape(g, np.shape(x)), r"\operatorname{reshape} <g>"),
    fn=lambda x, shape: np.reshape(x, shape),  # NumPy 2.0 has another name for shape
    linear=(0,), moves=True)
define(np.expand_dims, r"\operatorname{expand} <x>",
    (lambda g, out, x, axis=0: np.reshape(g, np.shape(x)), r"\operatorname{squeeze} <g>"),
    linear=(0,), moves=True)
define(np.squeeze, r"\operatorname{squeeze} <x>",
    (lambda g, out, x, axis=None: np.reshape(g, np.shape(x)), r"\operatorname{expand} <g>"),
    linear=(0,), moves=True)
define(np.transpose, r"<x>^\top",
    (lambda g, out, x, axes=None: np.transpose(
        g, axes and np.argsort([a % g.ndim for a in axes]).tolist()), r"<g>^\top"),
    linear=(0,), moves=True)
define(np.swapaxes, r"<x>^\top",
    (lambda g, out, x, axis1=0, axis2=0: np.swapaxes(g, axis1, axis2), r"<g>^\top"),
    linear=(0,), moves=True)
define(np.broadcast_to, r"\operatorname{broadcast} <x>",
    (lambda g, out, x, shape=(): g, r"\sum <g>"), linear=(0,), moves=True)
CONCATENATE = define(np.concatenate, r"[<x>, <y>, \dots]", (Each(block), r"<g>[\dots]"),
    fn=lambda *xs, axis=0: np.concatenate(xs, axis), spelling=concatenate, moves=True)
EINSUM = define(np.einsum, r"\sum <x> <y>", (Each(einsum_back), r"\sum <g> \cdot \dots"),
    fn=lambda *xs, subscripts: np.einsum(subscripts, *xs), spelling=einsum, linear=(0, 1))
TAKE_ALONG_AXIS = define(np.take_along_axis, "<x>[<y>]",
    (lambda g, out, x, indices, axis=-1: SCATTER(
        g, index=along(np.shape(x), indices, axis), shape=np.shape(x)), r"<g> \to [<y>]"), None,
    spelling=take_along_axis, linear=(0,), moves=True, roles=("array", "indices"))
# fmt: on

TABLE[np.amax], TABLE[np.amin], TABLE[operator.getitem] = MAX, MIN, GETITEM
define(np.stack, "", spelling=stack)
define(np.dot, "", spelling=dot)
define(np.copy, "", spelling=lambda a, order="K", subok=False: IDENTITY(a))
define(np.add.reduce, "", spelling=lambda a, axis=0, **options: np.sum(a, axis, **options))
define(np.maximum.reduce, "", spelling=lambda a, axis=0, **options: np.max(a, axis, **options))
define(np.minimum.reduce, "", spelling=lambda a, axis=0, **options: np.min(a, axis, **options))

# Functions whose result carries no gradient: truth values, positions, shapes, and the sign, which
# is constant wherever it is smooth. On `Value`s they read the data and return plain results.
# fmt: off
_SYMBOLS: dict[Any, str] = {
    np.less: "<", np.less_equal: "<=", np.greater: ">", np.greater_equal: ">=", np.equal: "==",
    np.not_equal: "!=", np.bitwise_and: "&", np.bitwise_or: "|", np.bitwise_xor: "^",
}
_FOLLOWS: dict[str, set[Any]] = {
    "shapes": {np.shape, np.ndim, np.size, np.result_type, np.zeros_like, np.ones_like,
               np.full_like, np.empty_like, np.iscomplexobj, np.isrealobj, np.common_type,
               np.diag_indices_from, np.tril_indices_from, np.triu_indices_from},
    "count": {np.nonzero, np.flatnonzero, np.argwhere},
    "data": {np.isnan, np.isinf, np.isfinite, np.signbit, np.argmax, np.argmin, np.argsort,
             np.isclose, np.allclose, np.array_equal, np.count_nonzero, np.logical_and,
             np.logical_or, np.logical_xor, np.logical_not, np.any, np.all, np.isin, np.rint,
             np.round, np.around, np.fix, np.floor, np.ceil, np.trunc, np.floor_divide, np.isreal,
             np.searchsorted, np.digitize, np.argpartition, np.lexsort, np.nanargmax,
             np.nanargmin, np.array_equiv, np.isneginf, np.isposinf, np.array_repr,
             np.array_str, np.array2string, np.iscomplex, np.shares_memory,
             np.may_share_memory, np.linalg.matrix_rank},
}
# fmt: on
define(np.sign, "", plain=True, number="1.0 if {0} > 0.0 else -1.0 if {0} < 0.0 else {0}")
define(np.invert, "", plain=True, symbol="~", number="not {}")
for _function, _symbol in _SYMBOLS.items():
    define(_function, "", plain=True, symbol=_symbol)
for _follows, _functions in _FOLLOWS.items():
    for _function in _functions:
        define(_function, "", plain=True, follows=_follows)
