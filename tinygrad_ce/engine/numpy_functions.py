"""NumPy's other functions: their rules and their records."""

from __future__ import annotations

import math
import operator
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from .operation import POSITIVE, REAL, TABLE, Each, define
from .ops import GETITEM, SCATTER
from .rules import astype, pick, spread
from .text import require

LN2, LN10, BALL = math.log(2.0), math.log(10.0), ((-1.0, 1.0),)
# sinc' = Σ C·x^K, to the last bit for |x| < 1/2
ODD = np.arange(1, 23, 2)
SINC = [(-1) ** (k // 2 + 1) * (k + 1) * math.pi ** (k + 1) / math.factorial(k + 2) for k in ODD]


def over(x: Any, y: Any) -> Any:
    """X / y, and 0 where y is 0."""
    return x / pick(np.equal(y, 0.0), math.inf, y)


def root(x: Any) -> Any:
    """np.sqrt, whose slope at 0 is 0: of a norm or a deviation, which is smallest there."""
    return np.sqrt(x)


def at(x: Any, index: Any, axis: int) -> Any:
    """``x[..., index, ...]``."""
    lead = (slice(None),) * normalize_axis_index(axis, np.ndim(x))
    return x[(*lead, index)] if lead else x[index]


def part(x: Any, axis: int, start: int | None, stop: int | None = None) -> Any:
    """A slice along an axis."""
    return at(x, slice(start, stop), axis)


def delayed(x: Any, axis: int, n: int, fill: float) -> Any:
    """Entries n places later, with a number in front."""
    front = np.full(np.shape(part(x, axis, None, n)), fill, x.dtype)
    return np.concatenate([front, part(x, axis, None, -n)], axis=axis)


def others(x: Any, axis: Any) -> Any:
    """The product of all other entries along axes, at each: of those before, times those after."""
    every = axis is None or not np.ndim(x)  # of a number axis 0 is none
    axes = [*range(np.ndim(x))] if every else np.atleast_1d(axis).tolist()
    if not axes:
        return np.ones_like(x)
    k = axes[0]
    before, after = (delayed(np.cumprod(y, k), k, 1, 1.0) for y in (x, np.flip(x, k)))
    return before * np.flip(after, k) * others(np.prod(x, k, keepdims=True), axes[1:])


def extremum(g: Any, out: Any, x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """∂(max x)/∂x = 1/k at each of the k entries that attain it, 0 elsewhere."""
    hit = np.equal(x, spread(out, x, axis, keepdims)) | np.isnan(x)
    share = hit / np.sum(hit, axis=axis, keepdims=True)
    return spread(g, x, axis, keepdims) * share.astype(getattr(x, "dtype", float), copy=False)


def win(g: Any, loses: Any, ties: Any) -> Any:
    """∂max(x, y)/∂x = 1 where x wins, 0 where it loses, 1/2 in a tie."""
    return pick(loses, 0.0, pick(ties, 0.5 * g, g))


def block(i: int, g: Any, out: Any, *xs: Any, axis: int = 0) -> Any:
    """∂[x, y, …]/∂xᵢ = 1 on the block of ``g`` that argument i became."""
    start = sum([x.shape[axis] for x in xs[:i]])
    return part(g, axis, start, start + np.shape(xs[i])[axis])


def along(shape: tuple[int, ...], indices: Any, axis: int) -> tuple[Any, ...]:
    """The index that reads what ``np.take_along_axis(x, indices, axis)`` reads."""
    index = [*np.indices(shape, sparse=True)]
    index[axis] = indices
    return tuple(index)


@lru_cache(maxsize=1024)
def letters_back(i: int, subscripts: str, shape: tuple[int, ...]) -> tuple[str, str, str, str]:
    """The letters of operand i; each once; those of g and the others; and what gives these."""
    inputs, result = subscripts.split("->")
    letters = inputs.split(",")
    mine = letters.pop(i)
    once = "".join(dict.fromkeys(mine))
    there = {*result, *"".join(letters)} - {c for c, n in zip(mine, shape) if n == 1}
    known = "".join(c for c in once if c in there)
    return mine, once, known, ",".join([result, *letters]) + "->" + known


def einsum_back(
    i: int, g: Any, out: Any, *xs: Any, subscripts: str = "", optimize: Any = False
) -> Any:
    """∂L/∂xᵢ: an einsum again, of g and the other operands, into the letters of xᵢ.

    One that an axis of length 1 has is summed: the other operands may have stretched it. Of a
    letter that xᵢ has twice the diagonal was read, so it is written there.
    """
    others, shape = xs[:i] + xs[i + 1 :], np.shape(xs[i])
    mine, once, known, back_into = letters_back(i, subscripts, shape)
    back = np.einsum(back_into, g, *others, optimize=bool(optimize))
    if known == mine:
        return back
    back = np.expand_dims(back, tuple(k for k, c in enumerate(once) if c not in known))
    grid = dict(zip(once, np.indices([shape[mine.index(c)] for c in once], sparse=True)))
    return back if once == mine else SCATTER(back, index=tuple(grid[c] for c in mine), shape=shape)


def reshape(x: Any, shape: Any, order: Any = "C") -> Any:
    """np.reshape, whose name for shape NumPy 2.0 has otherwise."""
    text = "reshape, ravel: got order={order!r}, wanted 'C' or 'F': of Values no other is known"
    require(order in ("C", "F"), text, order=order)
    return np.reshape(x, shape) if order == "C" else np.reshape(x, shape, order=order)


def pad(x: Any, pad_width: Any, mode: Any = "constant", **values: Any) -> Any:
    """np.pad by a constant, or by entries of the array."""
    text = "pad: got mode={mode!r}, wanted constant, edge, reflect, symmetric or wrap"
    require(mode in ("constant", "edge", "reflect", "symmetric", "wrap"), text, mode=mode)
    return np.pad(x, pad_width, mode, **values)


def cumprod_back(g: Any, out: Any, x: Any, axis: int = 0) -> Any:
    """∂L/∂x_k = Π_{i<k} x_i · (g_k + x_{k+1} (g_{k+1} + x_{k+2} (…))), where x is 0, too.

    Each step joins sums of n terms to such of 2n, the products of their factors beside them.
    """
    n, total, factors = 1, np.flip(g, axis), delayed(np.flip(x, axis), axis, 1, 0.0)
    while n < np.shape(x)[axis]:
        total = total + factors * delayed(total, axis, n, 0.0)
        factors, n = factors * delayed(factors, axis, n, 0.0), 2 * n
    return delayed(out, axis, 1, 1.0) * np.flip(total, axis)


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


def sinc_slope(x: Any) -> Any:
    """(cos πx − sinc x) / x; near 0, where that cancels, its series."""
    near = np.less(abs(x), 0.5)
    series = np.matmul(np.expand_dims(np.where(near, x, 0.0), -1) ** ODD, np.array(SINC))
    far = np.where(near, 1.0, x)
    return np.where(near, series, (np.cos(math.pi * far) - np.sinc(far)) / far)


def inverted(x: Any, y: Any) -> Any:
    """X / (x² + y²), whose squares do not overflow."""
    radius = np.hypot(x, y)
    return x / radius / radius


def selection(function: Any) -> Any:
    """The rule of a function that moves entries and puts zeros, as it does with 1, 2, 3, …."""

    def rule(g: Any, out: Any, x: Any, **options: Any) -> Any:
        n = math.prod(np.shape(x))
        places = function(np.arange(1, n + 1).reshape(np.shape(x)), **options) - 1
        zeros = int(np.any(places < 0))  # they go behind the last
        entries = SCATTER(g, index=places, shape=(n + zeros,))
        return np.reshape(entries[:n], np.shape(x))

    return rule


# fmt: off
define(np.maximum, r"\max(<x>, <y>)",
    (lambda g, out, x, y: win(g, np.less(x, y), np.equal(x, y)), r"<g> \cdot [<x> > <y>]"),
    (lambda g, out, x, y: win(g, np.less(y, x), np.equal(x, y)), r"<g> \cdot [<y> > <x>]"),
    piecewise=True, number="{0} if {0} >= {1} or math.isnan({0}) else {1}",  # nan wins, as in NumPy
    instead=[("minimum({x}, {y})", np.minimum)])
define(np.minimum, r"\min(<x>, <y>)",
    (lambda g, out, x, y: win(g, np.less(y, x), np.equal(x, y)), r"<g> \cdot [<x> < <y>]"),
    (lambda g, out, x, y: win(g, np.less(x, y), np.equal(x, y)), r"<g> \cdot [<y> < <x>]"),
    piecewise=True, number="{0} if {0} <= {1} or math.isnan({0}) else {1}",
    instead=[("maximum({x}, {y})", np.maximum)])
define(np.logaddexp, r"\log(e^{<x>} + e^{<y>})",
    (lambda g, out, x, y: g * _logistic(y - x), r"<g> \cdot e^{<x> - <out>}"),
    (lambda g, out, x, y: g * _logistic(x - y), r"<g> \cdot e^{<y> - <out>}"),
    number=softplus_of_two)
define(np.square, "<x>^2",
    (lambda g, out, x: g * (2.0 * x), r"<g> \cdot 2 <x>"), scalar=lambda x: x * x, powers=(2,),
    number="{0} * {0}")
for _ufunc, _reads, _rule, _rule_reads, _fields in (
    (np.sin, r"\sin <x>", lambda g, out, x: g * np.cos(x), r"<g> \cos <x>", {}),
    (np.cos, r"\cos <x>", lambda g, out, x: -g * np.sin(x), r"-<g> \sin <x>", {"even": True}),
    (np.tan, r"\tan <x>", lambda g, out, x: g * (1.0 + out * out), r"<g> (1 + \tan^2 <x>)", {}),
    (np.expm1, "e^{<x>} - 1", lambda g, out, x: g * np.exp(x), r"<g> \cdot e^{<x>}", {}),
    (np.log1p, r"\log(1 + <x>)", lambda g, out, x: g / (1.0 + x), "<g> / (1 + <x>)",
     {"domain": ((-1.0, math.inf),)}),
    (np.sqrt, r"\sqrt{<x>}", lambda g, out, x: g / (2.0 * out), r"<g> / (2 \sqrt{<x>})",
     {"domain": (POSITIVE,)}),
    (np.tanh, r"\tanh <x>", lambda g, out, x: g * (1.0 - out * out),
     r"<g> \cdot (1 - \tanh^2 <x>)", {"slips": [
         ("tanh({x}) * (1 - tanh({x}))", lambda x: np.tanh(x) * (1.0 - np.tanh(x))),
         ("1 - tanh({x})", lambda x: 1.0 - np.tanh(x)), ("1 - {x} ** 2", lambda x: 1.0 - x * x)]}),
    (np.sinh, r"\sinh <x>", lambda g, out, x: g * np.cosh(x), r"<g> \cosh <x>", {}),
    (np.cosh, r"\cosh <x>", lambda g, out, x: g * np.sinh(x), r"<g> \sinh <x>", {"even": True}),
    (np.arcsin, r"\arcsin <x>", lambda g, out, x: g / np.sqrt((1.0 - x) * (1.0 + x)),
     r"<g> \cdot (1 - <x>^2)^{-1/2}", {"domain": BALL}),
    (np.arccos, r"\arccos <x>", lambda g, out, x: -g / np.sqrt((1.0 - x) * (1.0 + x)),
     r"-<g> \cdot (1 - <x>^2)^{-1/2}", {"domain": BALL}),
    (np.arctan, r"\arctan <x>", lambda g, out, x: g / (1.0 + x * x), "<g> / (1 + <x>^2)", {}),
    (np.arcsinh, r"\operatorname{arsinh} <x>", lambda g, out, x: g / np.hypot(1.0, x),
     r"<g> \cdot (1 + <x>^2)^{-1/2}", {}),
    (np.arccosh, r"\operatorname{arcosh} <x>",
     lambda g, out, x: g / (np.sqrt(x - 1.0) * np.sqrt(x + 1.0)), r"<g> \cdot (<x>^2 - 1)^{-1/2}",
     {"domain": ((1.0, math.inf),)}),
    (np.arctanh, r"\operatorname{artanh} <x>", lambda g, out, x: g / ((1.0 - x) * (1.0 + x)),
     "<g> / (1 - <x>^2)", {"domain": BALL}),
    (np.cbrt, r"\sqrt[3]{<x>}", lambda g, out, x: g / (3.0 * out * out),
     r"<g> / (3 \sqrt[3]{<x>}^2)", {"domain": (POSITIVE,)}),
    (np.log2, r"\log_2 <x>", lambda g, out, x: g / (LN2 * x), r"<g> / (<x> \log 2)",
     {"domain": (POSITIVE,)}),
    (np.log10, r"\log_{10} <x>", lambda g, out, x: g / (LN10 * x), r"<g> / (<x> \log 10)",
     {"domain": (POSITIVE,)}),
):
    _scalar = getattr(math, _ufunc.__name__.replace("arc", "a"))
    define(_ufunc, _reads, (_rule, _rule_reads), scalar=_scalar, **_fields)
define(root, r"\sqrt{<x>}", (lambda g, out, x: over(g, 2.0 * out), r"<g> / (2 \sqrt{<x>})"),
    domain=(POSITIVE,))
define(np.sinc, r"\operatorname{sinc} <x>", (lambda g, out, x: g * sinc_slope(x),
    r"<g> \cdot (\cos \pi <x> - \operatorname{sinc} <x>) / <x>"),
    entrywise=True, number="float(np.sinc({}))")
define(np.arctan2, r"\operatorname{arctan2}(<x>, <y>)",
    (lambda g, out, x, y: g * inverted(y, x), r"<g> \cdot <y> / (<x>^2 + <y>^2)"),
    (lambda g, out, x, y: -g * inverted(x, y), r"-<g> \cdot <x> / (<x>^2 + <y>^2)"),
    domain=(REAL, POSITIVE), roles=("y", "x"))
define(np.hypot, r"\operatorname{hypot}(<x>, <y>)",  # at (0, 0) its slopes are 0, as that of abs
    (lambda g, out, x, y: g * over(x, out), r"<g> \cdot <x> / <out>"),
    (lambda g, out, x, y: g * over(y, out), r"<g> \cdot <y> / <out>"),
    scalar=math.hypot)
define(np.logaddexp2, r"\log_2(2^{<x>} + 2^{<y>})",
    (lambda g, out, x, y: g * _logistic(LN2 * (y - x)), r"<g> \cdot 2^{<x> - <out>}"),
    (lambda g, out, x, y: g * _logistic(LN2 * (x - y)), r"<g> \cdot 2^{<y> - <out>}"))
define(np.remainder, r"<x> \bmod <y>", (lambda g, out, x, y: g, "<g>"),
    (lambda g, out, x, y: -g * np.floor_divide(x, y), r"-<g> \lfloor <x> / <y> \rfloor"),
    domain=(REAL, POSITIVE), piecewise=True, scalar=operator.mod, symbol="%",
    number="float(np.remainder({}, {}))", roles=("dividend", "divisor"))
define(np.clip, r"\operatorname{clip}(<x>, <y>, <z>)",
    (lambda g, out, x, lo, hi: np.where((x < lo) | (x > hi), 0.0, g), r"<g> [<y> \le <x> \le <z>]"),
    (lambda g, out, x, lo, hi: np.where((x < lo) & (lo <= hi), g, 0.0), r"<g> \cdot [<x> < <y>]"),
    (lambda g, out, x, lo, hi: np.where((x > hi) | (lo > hi), g, 0.0), r"<g> \cdot [<x> > <z>]"),
    domain=(REAL, (-math.inf, 0.0), POSITIVE), piecewise=True,
    number=lambda x, lo, hi: np.minimum(np.maximum(x, lo), hi), roles=("clipped", "low", "high"),
    entrywise=True)
define(np.mean, r"\frac1n \sum <x>",
    (lambda g, out, x, axis=None, *, keepdims=False: spread(
        g * (math.prod(np.shape(out)) / (math.prod(np.shape(x)) or 1)), x, axis, keepdims),
     "<g> / n"), linear=(0,), direct=True)
MAX = define(np.max, r"\max <x>", (extremum, r"<g> \cdot [<x> = \max <x>]"), direct=True,
    piecewise=True)
MIN = define(np.min, r"\min <x>", (extremum, r"<g> \cdot [<x> = \min <x>]"), direct=True,
    piecewise=True)
define(np.prod, r"\prod <x>",
    (lambda g, out, x, axis=None, *, keepdims=False: (
        spread(g, x, axis, keepdims) * others(x, axis)), r"<g> \prod_{j \ne i} {<x>}_j"),
    direct=True)
define(np.cumsum, r"\sum_{j \le i} {<x>}_j",
    (lambda g, out, x, axis=0: np.flip(np.cumsum(np.flip(g, axis), axis), axis),
     r"\sum_{i \ge j} {<g>}_i"), linear=(0,))
define(np.cumprod, r"\prod_{j \le i} {<x>}_j",
    (cumprod_back, r"<g> \cdot \frac{\partial <out>}{\partial <x>}"))
define(np.convolve, "<x> * <y>",
    (lambda g, out, a, v: np.convolve(g, np.flip(v), "valid"), r"<g> \star <y>"),
    (lambda g, out, a, v: np.convolve(g, np.flip(a), "valid"), r"<g> \star <x>"),
    linear=(0, 1))
define(astype, "<x>", (lambda g, out, x, *, dtype: g, "<g>"), linear=(0,))
for _function in (np.roll, np.flip, np.fliplr, np.flipud, np.rot90, np.repeat, np.tile, np.resize,
                  np.delete, np.diagonal, np.diagflat, np.tril, np.triu):
    define(_function, rf"\operatorname{{{_function.__name__}}} <x>",
        (selection(_function), r"<g> \to [\dots]"), linear=(0,),
        moves=_function not in (np.diagflat, np.tril, np.triu))
define(np.diag, r"\operatorname{diag} <x>", (selection(np.diag), r"<g> \to [\dots]"), linear=(0,),
    instead=[
        ("diag(1)", lambda x: np.diag(np.ones(x.shape))),
        ("{x}[:, None]", lambda x: x[:, None] * np.ones(x.shape))])
define(np.reshape, r"\operatorname{reshape} <x>",
    (lambda g, out, x, shape=(), order="C": reshape(g, np.shape(x), order),
     r"\operatorname{reshape} <g>"), fn=reshape, linear=(0,), moves=True)
define(np.pad, r"\operatorname{pad} <x>",
    (lambda g, out, x, pad_width=0, mode="constant", constant_values=0.0: selection(pad)(
        g, out, x, pad_width=pad_width, mode=mode), r"<g> \to [\dots]"), fn=pad)
define(np.expand_dims, r"\operatorname{expand} <x>",
    (lambda g, out, x, axis=0: np.reshape(g, np.shape(x)), r"\operatorname{squeeze} <g>"),
    linear=(0,), moves=True)
define(np.squeeze, r"\operatorname{squeeze} <x>",
    (lambda g, out, x, axis=None: np.reshape(g, np.shape(x)), r"\operatorname{expand} <g>"),
    linear=(0,), moves=True)
define(np.transpose, r"<x>^\top",
    (lambda g, out, x, axes=None: np.transpose(
        g, None if axes is None else np.argsort([a % g.ndim for a in axes]).tolist()), r"<g>^\top"),
    linear=(0,), moves=True)
define(np.swapaxes, r"<x>^\top",
    (lambda g, out, x, axis1=0, axis2=0: np.swapaxes(g, axis1, axis2), r"<g>^\top"),
    linear=(0,), moves=True)
define(np.broadcast_to, r"\operatorname{broadcast} <x>",
    (lambda g, out, x, shape=(): g, r"\sum <g>"), linear=(0,), moves=True)
define(np.concatenate, r"[<x>, <y>, \dots]", (Each(block), r"<g>[\dots]"),
    fn=lambda *xs, axis=0: np.concatenate(xs, axis), moves=True)
define(np.einsum, r"\sum <x> <y>", (Each(einsum_back), r"\sum <g> \cdot \dots"),
    fn=lambda *xs, subscripts, optimize=False: np.einsum(subscripts, *xs, optimize=optimize),
    linear=(0, 1))
define(np.take_along_axis, "<x>[<y>]",
    (lambda g, out, x, indices, axis=-1: SCATTER(
        g, index=along(np.shape(x), indices, axis), shape=np.shape(x)), r"<g> \to [<y>]"), None,
    linear=(0,), moves=True, roles=("array", "indices"))
# fmt: on

LOG1P = TABLE[np.log1p]
TABLE[np.amax], TABLE[np.amin], TABLE[operator.getitem] = MAX, MIN, GETITEM

# Functions whose result carries no gradient: truth values, positions, shapes, and the sign, which
# is constant wherever it is smooth. On `Value`s they read the data and return plain results.
# fmt: off
_SYMBOLS: dict[Any, str] = {
    np.less: "<", np.less_equal: "<=", np.greater: ">", np.greater_equal: ">=", np.equal: "==",
    np.not_equal: "!=", np.bitwise_and: "&", np.bitwise_or: "|", np.bitwise_xor: "^",
}
_FOLLOWS: dict[str, set[Any]] = {
    "shapes": {np.shape, np.ndim, np.size, np.result_type, np.zeros_like, np.ones_like,
               np.empty_like, np.can_cast, np.iscomplexobj, np.isrealobj, np.common_type,
               np.diag_indices_from, np.tril_indices_from, np.triu_indices_from},
    "count": {np.nonzero, np.flatnonzero, np.argwhere},
    "data": {np.isnan, np.isinf, np.isfinite, np.signbit, np.argmax, np.argmin, np.argsort,
             np.isclose, np.allclose, np.array_equal, np.count_nonzero, np.logical_and,
             np.logical_or, np.logical_xor, np.logical_not, np.any, np.all, np.isin, np.rint,
             np.round, np.around, np.fix, np.floor, np.ceil, np.trunc, np.floor_divide, np.isreal,
             np.searchsorted, np.digitize, np.argpartition, np.lexsort, np.nanargmax,
             np.nanargmin, np.array_equiv, np.isneginf, np.isposinf, np.array_repr,
             np.array_str, np.array2string, np.iscomplex, np.shares_memory,
             np.may_share_memory, np.linalg.matrix_rank, np.heaviside, np.nextafter, np.spacing,
             np.min_scalar_type, np.imag, np.angle},
}
# fmt: on
define(np.sign, "", plain=True, number="1.0 if {0} > 0.0 else -1.0 if {0} < 0.0 else {0}")
define(np.invert, "", plain=True, symbol="~", number="not {}")
for _function, _symbol in _SYMBOLS.items():
    define(_function, "", plain=True, symbol=_symbol)
for _follows, _functions in _FOLLOWS.items():
    for _function in _functions:
        define(_function, "", plain=True, follows=_follows)
