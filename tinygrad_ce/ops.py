r"""The table of primitives: what each computes, and its derivative rule.

A rule is plain NumPy. The vector-Jacobian product (VJP) of one argument receives the upstream
gradient ``g``, the result ``out`` and the arguments, and returns what flows back to that argument.
Given arrays it returns arrays; given `Value`s it builds the graph of the gradient, and that is the
second derivative. Broadcasting is undone by the engine, never here.

To add an operation, in five lines (plus one line in ``tests/test_ops.py``):

>>> import numpy as np
>>> from tinygrad_ce import Value, primitive
>>> @primitive((lambda g, out, x: g * np.cos(x), r"<g> \cos <x>"), latex=r"\sin <x>")
... def sine(x):
...     return np.sin(x)
>>> v = Value(0.0); sine(v).backward(); v.grad
1.0
"""

from __future__ import annotations

import inspect
import math
import operator
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import count
from typing import Any

import numpy as np

Rule = Callable[..., Any]
Interval = tuple[float, float]
REAL: Interval = (-math.inf, math.inf)
POSITIVE: Interval = (0.0, math.inf)


@dataclass(frozen=True, eq=False)
class Primitive:
    """One operation: its function, one VJP an argument, how they read, and where they hold."""

    name: str
    fn: Rule
    vjps: Iterable[Rule | None]
    latex: tuple[str, ...]  # the operation, then its rules; <x> <y> <z> <out> <g> are filled in
    domain: tuple[Interval, ...] | None  # of each argument: where the rule holds, and is smooth ...
    piece: Rule | None  # ... but for the borders of these pieces (of abs: x < 0 and x > 0)
    scalar: Rule | None  # the same on Python floats, faster

    @cached_property
    def options(self) -> dict[str, bool]:
        """Keyword options of the rules (``axis``), and whether they may come by position."""
        rule = next(vjp for vjp in self.vjps if vjp)
        taken = list(inspect.signature(rule).parameters.values())[2:]
        return {
            p.name: p.kind is not p.KEYWORD_ONLY
            for p in taken
            if p.default is not p.empty or p.kind is p.KEYWORD_ONLY
        }

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Record the operation if an argument is a `Value`; on plain data, just compute it."""
        for arg in args:
            if record := getattr(arg, "_record", None):
                return record(self, args, kwargs)
        return self.fn(*args, **kwargs)


TABLE: dict[Any, Primitive] = {}  # NumPy function, or user's function -> its record


class Each:
    """One rule for any number of arguments; it receives the position of its own, first."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule

    def __iter__(self) -> Iterator[Rule]:
        return (partial(self.rule, i) for i in count())


def primitive(
    *rules: Any,
    latex: str | None = None,
    domain: tuple[Interval, ...] | None = None,
    piece: Rule | None = None,
    scalar: Rule | None = None,
    fn: Rule | None = None,
    name: str | None = None,
) -> Callable[[Rule], Primitive]:
    r"""Register a function as an operation of the graph, with one VJP an argument.

    Parameters
    ----------
    *rules : a VJP ``(g, out, *args)``, or a pair of it and its LaTeX, or None where no gradient
        flows. An option of the function (``axis=None``) reaches each VJP by keyword.
    latex, domain, piece, scalar, name : see `Primitive`.
    fn : what to compute, where that is not the function registered.

    Returns
    -------
    A decorator, for a new function or for one of NumPy's that has no rule yet:
    ``primitive(lambda g, out, x: g * np.cos(x))(np.sin)`` lets ``np.sin`` work on `Value`s.

    Raises
    ------
    TypeError
        If there is no VJP, or one is not callable.

    Examples
    --------
    >>> import tinygrad_ce as tg
    >>> cube = tg.primitive(lambda g, out, x: g * 3 * x**2, name="cube")(lambda x: x**3)
    >>> x = tg.Value(2.0); cube(x).backward(); x.grad
    12.0
    """
    pairs = [rule if isinstance(rule, tuple) else (rule, r"<g> \cdot \partial") for rule in rules]
    each = bool(pairs) and isinstance(pairs[0][0], Each)
    vjps = pairs[0][0] if each else tuple(vjp for vjp, _ in pairs)
    if not each and (not any(vjps) or not all(vjp is None or callable(vjp) for vjp in vjps)):
        raise TypeError(f"primitive() takes one VJP (g, out, x, ...) an argument; got {rules!r}")

    def register(function: Rule) -> Primitive:
        title = name or function.__name__
        reads = (latex or rf"\operatorname{{{title}}}(<x>)", *(text for _, text in pairs))
        TABLE[function] = Primitive(title, fn or function, vjps, reads, domain, piece, scalar)
        return TABLE[function]

    return register


def _pick(c: Any, x: Any, y: Any) -> Any:
    return (x if c else y) if c.__class__ is bool else np.where(c, x, y)


def _spread(g: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    """Give each of the reduced entries its result's ``g``."""
    if axis is not None and not keepdims:
        g = np.expand_dims(g, axis)
    return np.broadcast_to(g, np.shape(x))


def _extremum(g: Any, out: Any, x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """∂max/∂x = 1/k at each of the k entries that attain it, 0 elsewhere."""
    hit = np.equal(x, _spread(out, x, axis, keepdims)) | np.isnan(x)
    return _spread(g, x, axis, keepdims) * (hit / np.sum(hit, axis=axis, keepdims=True))


def _share(g: Any, loses: Any, ties: Any) -> Any:
    """∂max(x, y)/∂x = 1 where x wins, 0 where it loses, 1/2 in a tie."""
    return _pick(loses, 0.0, _pick(ties, 0.5 * g, g))


def _power_base(g: Any, out: Any, x: Any, y: Any) -> Any:
    """∂xʸ/∂x = y·xʸ⁻¹, and 0 for y = 0 also at x = 0."""
    if y.__class__ is float:
        less = y - 1.0 if y else 1.0
        if x.__class__ is float:  # math has no 0⁻¹ = inf, and Python's (−1)**0.5 is complex
            return g * (y * (x**less if x > 0.0 else float(np.power(x, less))))
        return g * (y * x**less)
    return g * (y * np.power(x, np.where(np.equal(y, 0.0), 1.0, np.subtract(y, 1.0))))


def _power_exponent(g: Any, out: Any, x: Any, y: Any) -> Any:
    """∂xʸ/∂y = xʸ·log x, and 0 at x = 0, where xʸ is 0 for every y > 0."""
    log = np.log(np.where(np.equal(x, 0), 1.0, x))
    return g * out * (float(log) if x.__class__ is float else log)


def _matmul_left(g: Any, out: Any, x: Any, y: Any) -> Any:
    """∂L/∂X = G Yᵀ."""
    if y.ndim == 1:
        return np.expand_dims(g, -1) * y
    return (np.expand_dims(g, -2) if x.ndim == 1 else g) @ np.swapaxes(y, -1, -2)


def _matmul_right(g: Any, out: Any, x: Any, y: Any) -> Any:
    """∂L/∂Y = Xᵀ G."""
    if x.ndim == 1:
        return g * x if y.ndim == 1 else np.expand_dims(x, -1) * np.expand_dims(g, -2)
    return np.expand_dims(g, -2) @ x if y.ndim == 1 else np.swapaxes(x, -1, -2) @ g


def _block(i: int, g: Any, out: Any, *xs: Any, axis: int = 0) -> Any:
    """The block of ``g`` that argument i became."""
    axis = axis % g.ndim
    start = sum(np.shape(x)[axis] for x in xs[:i])
    return g[(slice(None),) * axis + (slice(start, start + np.shape(xs[i])[axis]),)]


def _scatter(g: Any, index: Any, shape: tuple[int, ...]) -> Any:
    """Zeros of ``shape`` with ``g`` added at ``index``: an entry read twice receives twice."""
    out = np.zeros(shape, np.result_type(g))
    parts = index if isinstance(index, tuple) else (index,)
    if all(p is None or p is ... or isinstance(p, int | slice | np.integer) for p in parts):
        out[index] = g
    else:
        np.add.at(out, index, g)
    return out


def _getitem(x: Any, index: Any) -> Any:
    return (np.asarray(x) if x.__class__ is float else x)[index]


def _along(g: Any, out: Any, x: Any, indices: Any, axis: int = -1) -> Any:
    """Each entry's ``g``, back where ``np.take_along_axis`` read it."""
    shape = np.shape(x)
    index = [np.arange(n).reshape(-1, *[1] * (len(shape) - d - 1)) for d, n in enumerate(shape)]
    index[axis] = indices
    return SCATTER(g, index=tuple(index), shape=shape)


def _einsum_rule(i: int, g: Any, out: Any, *xs: Any, subscripts: str = "") -> Any:
    """∂L/∂xᵢ: an einsum again, of g and the other operand, into the letters of xᵢ."""
    inputs, result = subscripts.split("->")
    letters = inputs.split(",")
    mine, others = letters.pop(i), xs[:i] + xs[i + 1 :]
    known = "".join(c for c in mine if c in result or c in "".join(letters))
    back = np.einsum(",".join([result, *letters]) + "->" + known, g, *others)
    return back if known == mine else back[tuple(slice(None) if c in known else None for c in mine)]


# The table. A row: one rule an argument, as code and as it reads; the operation as it reads; its
# domain; and what computes it on Python floats, which is what makes scalar graphs fast.
ANY: tuple[Interval, ...] = (REAL,)
TWO: tuple[Interval, ...] = (REAL, REAL)

# fmt: off
ADD = primitive(
    (lambda g, out, x, y: g, "<g>"),
    (lambda g, out, x, y: g, "<g>"),
    latex="<x> + <y>", domain=TWO, scalar=operator.add)(np.add)
SUBTRACT = primitive(
    (lambda g, out, x, y: g, "<g>"),
    (lambda g, out, x, y: -g, "-<g>"),
    latex="<x> - <y>", domain=TWO, scalar=operator.sub)(np.subtract)
MULTIPLY = primitive(
    (lambda g, out, x, y: g * y, r"<g> \cdot <y>"),
    (lambda g, out, x, y: g * x, r"<g> \cdot <x>"),
    latex=r"<x> \cdot <y>", domain=TWO, scalar=operator.mul)(np.multiply)
DIVIDE = primitive(
    (lambda g, out, x, y: g / y, "<g> / <y>"),
    (lambda g, out, x, y: -g * out / y, r"-<g> \cdot <x> / <y>^2"),
    latex=r"\frac{<x>}{<y>}", domain=(REAL, POSITIVE), scalar=operator.truediv)(np.divide)
POWER = primitive(
    (_power_base, r"<g> \cdot <y> \cdot <x>^{<y> - 1}"),
    (_power_exponent, r"<g> \cdot <x>^{<y>} \log <x>"),
    latex="<x>^{<y>}", domain=(POSITIVE, REAL), scalar=math.pow, fn=operator.pow)(np.power)
MATMUL = primitive(
    (_matmul_left, r"<g> \, <y>^\top"),
    (_matmul_right, r"<x>^\top <g>"),
    latex=r"<x> \, <y>", domain=TWO)(np.matmul)
MAXIMUM = primitive(
    (lambda g, out, x, y: _share(g, np.less(x, y), np.equal(x, y)), r"<g> \cdot [<x> > <y>]"),
    (lambda g, out, x, y: _share(g, np.less(y, x), np.equal(x, y)), r"<g> \cdot [<y> > <x>]"),
    latex=r"\max(<x>, <y>)", domain=TWO, piece=np.less)(np.maximum)
MINIMUM = primitive(
    (lambda g, out, x, y: _share(g, np.less(y, x), np.equal(x, y)), r"<g> \cdot [<x> < <y>]"),
    (lambda g, out, x, y: _share(g, np.less(x, y), np.equal(x, y)), r"<g> \cdot [<y> < <x>]"),
    latex=r"\min(<x>, <y>)", domain=TWO, piece=np.less)(np.minimum)
LOGADDEXP = primitive(
    (lambda g, out, x, y: g * np.exp(x - out), r"<g> \cdot e^{<x> - <out>}"),
    (lambda g, out, x, y: g * np.exp(y - out), r"<g> \cdot e^{<y> - <out>}"),
    latex=r"\log(e^{<x>} + e^{<y>})", domain=TWO)(np.logaddexp)
IDENTITY = primitive(
    (lambda g, out, x: g, "<g>"),
    latex="<x>", domain=ANY, scalar=operator.pos)(np.positive)
NEGATIVE = primitive(
    (lambda g, out, x: -g, "-<g>"),
    latex="-<x>", domain=ANY, scalar=operator.neg)(np.negative)
EXP = primitive(
    (lambda g, out, x: g * out, r"<g> \cdot e^{<x>}"),
    latex="e^{<x>}", domain=ANY, scalar=math.exp)(np.exp)
LOG = primitive(
    (lambda g, out, x: g / x, "<g> / <x>"),
    latex=r"\log <x>", domain=(POSITIVE,), scalar=math.log)(np.log)
LOG1P = primitive(
    (lambda g, out, x: g / (1.0 + x), "<g> / (1 + <x>)"),
    latex=r"\log(1 + <x>)", domain=((-1.0, math.inf),), scalar=math.log1p)(np.log1p)
EXPM1 = primitive(
    (lambda g, out, x: g * (out + 1.0), r"<g> \cdot e^{<x>}"),
    latex="e^{<x>} - 1", domain=ANY, scalar=math.expm1)(np.expm1)
SQRT = primitive(
    (lambda g, out, x: g / (2.0 * out), r"<g> / (2 \sqrt{<x>})"),
    latex=r"\sqrt{<x>}", domain=(POSITIVE,), scalar=math.sqrt)(np.sqrt)
SQUARE = primitive(
    (lambda g, out, x: g * (2.0 * x), r"<g> \cdot 2 <x>"),
    latex="<x>^2", domain=ANY, scalar=lambda x: x * x)(np.square)
ABS = primitive(
    (lambda g, out, x: g * np.sign(x), r"<g> \cdot \operatorname{sign} <x>"),
    latex="|<x>|", domain=ANY, piece=np.signbit, scalar=abs, name="abs")(np.absolute)
TANH = primitive(
    (lambda g, out, x: g * (1.0 - out * out), r"<g> \cdot (1 - \tanh^2 <x>)"),
    latex=r"\tanh <x>", domain=ANY, scalar=math.tanh)(np.tanh)
WHERE = primitive(
    None,
    (lambda g, out, c, x, y: _pick(c, g, 0.0), r"<g> \cdot [<x>]"),
    (lambda g, out, c, x, y: _pick(c, 0.0, g), r"<g> \cdot [\neg <x>]"),
    latex=r"<y> \text{ if } <x> \text{ else } <z>", domain=(REAL, REAL, REAL),
    piece=lambda c, x, y: c, scalar=_pick)(np.where)
CLIP = primitive(
    (lambda g, out, x, lo, hi: np.where((x < lo) | (x > hi), 0.0, g), r"<g> \cdot [<y> \le <x> \le <z>]"),
    (lambda g, out, x, lo, hi: np.where(x < lo, g, 0.0), r"<g> \cdot [<x> < <y>]"),
    (lambda g, out, x, lo, hi: np.where(x > hi, g, 0.0), r"<g> \cdot [<x> > <z>]"),
    latex=r"\operatorname{clip}(<x>, <y>, <z>)", domain=(REAL, (-math.inf, 0.0), POSITIVE),
    piece=lambda x, lo, hi: 1 * (x < lo) + 2 * (x > hi))(np.clip)
SUM = primitive(
    (lambda g, out, x, axis=None, *, keepdims=False: _spread(g, x, axis, keepdims), "<g>"),
    latex=r"\sum <x>", domain=ANY)(np.sum)
MEAN = primitive(
    (lambda g, out, x, axis=None, *, keepdims=False:
        _spread(g * (np.size(out) / np.size(x)), x, axis, keepdims), "<g> / n"),
    latex=r"\frac1n \sum <x>", domain=ANY)(np.mean)
MAX = primitive(
    (_extremum, r"<g> \cdot [<x> = \max <x>]"),
    latex=r"\max <x>", domain=ANY, piece=np.argmax)(np.max)
MIN = primitive(
    (_extremum, r"<g> \cdot [<x> = \min <x>]"),
    latex=r"\min <x>", domain=ANY, piece=np.argmin)(np.min)
RESHAPE = primitive(
    (lambda g, out, x, shape=(): np.reshape(g, np.shape(x)), r"\operatorname{reshape} <g>"),
    latex=r"\operatorname{reshape} <x>", domain=ANY, fn=lambda x, shape: np.reshape(x, shape))(np.reshape)
EXPAND_DIMS = primitive(
    (lambda g, out, x, axis=0: np.reshape(g, np.shape(x)), r"\operatorname{squeeze} <g>"),
    latex=r"\operatorname{expand} <x>", domain=ANY)(np.expand_dims)
SQUEEZE = primitive(
    (lambda g, out, x, axis=None: np.reshape(g, np.shape(x)), r"\operatorname{expand} <g>"),
    latex=r"\operatorname{squeeze} <x>", domain=ANY)(np.squeeze)
TRANSPOSE = primitive(
    (lambda g, out, x, axes=None: np.transpose(
        g, axes and np.argsort([a % g.ndim for a in axes]).tolist()), r"<g>^\top"),
    latex=r"<x>^\top", domain=ANY)(np.transpose)
SWAPAXES = primitive(
    (lambda g, out, x, axis1=0, axis2=0: np.swapaxes(g, axis1, axis2), r"<g>^\top"),
    latex=r"<x>^\top", domain=ANY)(np.swapaxes)
BROADCAST_TO = primitive(
    (lambda g, out, x, shape=(): g, r"\sum <g>"),
    latex=r"\operatorname{broadcast} <x>", domain=ANY)(np.broadcast_to)
CONCATENATE = primitive(
    (Each(_block), r"<g>[\dots]"),
    latex=r"[<x>, <y>, \dots]", domain=TWO,
    fn=lambda *xs, axis=0: np.concatenate(xs, axis))(np.concatenate)
EINSUM = primitive(
    (Each(_einsum_rule), r"\sum <g> \cdot \dots"),
    latex=r"\sum <x> <y>", domain=TWO,
    fn=lambda *xs, subscripts: np.einsum(subscripts, *xs))(np.einsum)
TAKE_ALONG_AXIS = primitive(
    (_along, r"<g>[\dots]"),
    None,
    latex="<x>[<y>]", domain=TWO)(np.take_along_axis)
GETITEM = primitive(
    (lambda g, out, x, *, index: SCATTER(g, index=index, shape=np.shape(x)), r"<g> \to [\dots]"),
    latex=r"<x>[\dots]", domain=ANY, name="getitem")(_getitem)
SCATTER = primitive(
    (lambda g, out, x, *, index, shape: g[index], r"<g>[\dots]"),
    latex=r"<x> \to [\dots]", domain=ANY, name="scatter")(_scatter)
# fmt: on

TABLE[np.amax], TABLE[np.amin] = MAX, MIN
if missing := [op.name for op in TABLE.values() if op.domain is None]:
    raise TypeError(f"no domain declared for {missing}")
