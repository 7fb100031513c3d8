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

from .rules import (
    along,
    block,
    einsum_back,
    extremum,
    getitem,
    matmul_left,
    matmul_right,
    pick,
    power_base,
    power_exponent,
    same,
    scatter,
    share,
    spread,
    total,
)  # fmt: skip

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

    @cached_property
    def arity(self) -> int | None:
        """The number of array arguments; None for any."""
        return len(self.vjps) if isinstance(self.vjps, tuple) else None

    @cached_property
    def constants(self) -> tuple[int, ...]:
        """The positions where no gradient flows."""
        return tuple(i for i in range(self.arity or 0) if tuple(self.vjps)[i] is None)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Record the operation if an argument is a `Value`; on plain data, just compute it."""
        for arg in (*args, *kwargs.values()):
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
    reads = r"<g> \cdot \partial"
    pairs = [r if isinstance(r, tuple) and len(r) == 2 else (r, reads) for r in rules]
    each = bool(pairs) and isinstance(pairs[0][0], Each)
    vjps = pairs[0][0] if each else tuple(vjp for vjp, _ in pairs)
    if not each and (not any(vjps) or not all(vjp is None or callable(vjp) for vjp in vjps)):
        raise TypeError(f"primitive() takes one VJP (g, out, x, ...) an argument; got {rules!r}")

    def register(function: Rule) -> Primitive:
        if not callable(function):
            raise TypeError(f"primitive(vjp, ...) registers a function; got {function!r}")
        title = name or function.__name__
        reads = (latex or rf"\operatorname{{{title}}}(<x>)", *(text for _, text in pairs))
        TABLE[function] = Primitive(title, fn or function, vjps, reads, domain, piece, scalar)
        return TABLE[function]

    return register


def _op(key: Any, latex: str, domain: Any, *rules: Any, **how: Any) -> Primitive:
    return primitive(*rules, latex=latex, domain=domain, **how)(key)


# The table. A row: the NumPy function, how it reads, its domain, and one rule an argument, as code
# and as it reads; then what computes it on Python floats, which makes scalar graphs fast.
ONE: tuple[Interval, ...] = (REAL,)
TWO: tuple[Interval, ...] = (REAL, REAL)

SCATTER: Primitive  # further down; the rules of getitem and take_along_axis need it

# fmt: off
ADD = _op(np.add, "<x> + <y>", TWO, (same, "<g>"), (same, "<g>"), scalar=operator.add)
SUBTRACT = _op(np.subtract, "<x> - <y>", TWO,
    (same, "<g>"),
    (lambda g, out, x, y: -g, "-<g>"), scalar=operator.sub)
MULTIPLY = _op(np.multiply, r"<x> \cdot <y>", TWO,
    (lambda g, out, x, y: g * y, r"<g> \cdot <y>"),
    (lambda g, out, x, y: g * x, r"<g> \cdot <x>"), scalar=operator.mul)
DIVIDE = _op(np.divide, r"\frac{<x>}{<y>}", (REAL, POSITIVE),
    (lambda g, out, x, y: g / y, "<g> / <y>"),
    (lambda g, out, x, y: -g * out / y, r"-<g> \cdot <x> / <y>^2"), scalar=operator.truediv)
POWER = _op(np.power, "<x>^{<y>}", (POSITIVE, REAL),
    (power_base, r"<g> \cdot <y> \cdot <x>^{<y> - 1}"),
    (power_exponent, r"<g> \cdot <x>^{<y>} \log <x>"), scalar=math.pow, fn=operator.pow)
MATMUL = _op(np.matmul, r"<x> \, <y>", TWO,
    (matmul_left, r"<g> \, <y>^\top"),
    (matmul_right, r"<x>^\top <g>"))
MAXIMUM = _op(np.maximum, r"\max(<x>, <y>)", TWO,
    (lambda g, out, x, y: share(g, np.less(x, y), np.equal(x, y)), r"<g> \cdot [<x> > <y>]"),
    (lambda g, out, x, y: share(g, np.less(y, x), np.equal(x, y)), r"<g> \cdot [<y> > <x>]"),
    piece=np.less)
MINIMUM = _op(np.minimum, r"\min(<x>, <y>)", TWO,
    (lambda g, out, x, y: share(g, np.less(y, x), np.equal(x, y)), r"<g> \cdot [<x> < <y>]"),
    (lambda g, out, x, y: share(g, np.less(x, y), np.equal(x, y)), r"<g> \cdot [<y> < <x>]"),
    piece=np.less)
LOGADDEXP = _op(np.logaddexp, r"\log(e^{<x>} + e^{<y>})", TWO,
    (lambda g, out, x, y: g * np.exp(x - out), r"<g> \cdot e^{<x> - <out>}"),
    (lambda g, out, x, y: g * np.exp(y - out), r"<g> \cdot e^{<y> - <out>}"))
IDENTITY = _op(np.positive, "<x>", ONE, (same, "<g>"), scalar=operator.pos)
NEGATIVE = _op(np.negative, "-<x>", ONE, (lambda g, out, x: -g, "-<g>"), scalar=operator.neg)
EXP = _op(np.exp, "e^{<x>}", ONE,
    (lambda g, out, x: g * out, r"<g> \cdot e^{<x>}"), scalar=math.exp)
LOG = _op(np.log, r"\log <x>", (POSITIVE,), (lambda g, out, x: g / x, "<g> / <x>"), scalar=math.log)
LOG1P = _op(np.log1p, r"\log(1 + <x>)", ((-1.0, math.inf),),
    (lambda g, out, x: g / (1.0 + x), "<g> / (1 + <x>)"), scalar=math.log1p)
EXPM1 = _op(np.expm1, "e^{<x>} - 1", ONE,
    (lambda g, out, x: g * (out + 1.0), r"<g> \cdot e^{<x>}"), scalar=math.expm1)
SQRT = _op(np.sqrt, r"\sqrt{<x>}", (POSITIVE,),
    (lambda g, out, x: g / (2.0 * out), r"<g> / (2 \sqrt{<x>})"), scalar=math.sqrt)
SQUARE = _op(np.square, "<x>^2", ONE,
    (lambda g, out, x: g * (2.0 * x), r"<g> \cdot 2 <x>"), scalar=lambda x: x * x)
ABS = _op(np.absolute, "|<x>|", ONE,
    (lambda g, out, x: g * np.sign(x), r"<g> \cdot \operatorname{sign} <x>"),
    piece=np.signbit, scalar=abs, name="abs")
TANH = _op(np.tanh, r"\tanh <x>", ONE,
    (lambda g, out, x: g * (1.0 - out * out), r"<g> \cdot (1 - \tanh^2 <x>)"), scalar=math.tanh)
WHERE = _op(np.where, r"<y> \text{ if } <x> \text{ else } <z>", (REAL, REAL, REAL), None,
    (lambda g, out, c, x, y: pick(c, g, 0.0), r"<g> \cdot [<x>]"),
    (lambda g, out, c, x, y: pick(c, 0.0, g), r"<g> \cdot [\neg <x>]"),
    piece=lambda c, x, y: c, scalar=lambda c, x, y: (y, x)[c])  # TypeError if c is no bool
CLIP = _op(np.clip, r"\operatorname{clip}(<x>, <y>, <z>)", (REAL, (-math.inf, 0.0), POSITIVE),
    (lambda g, out, x, lo, hi: np.where((x < lo) | (x > hi), 0.0, g), r"<g> [<y> \le <x> \le <z>]"),
    (lambda g, out, x, lo, hi: np.where(x < lo, g, 0.0), r"<g> \cdot [<x> < <y>]"),
    (lambda g, out, x, lo, hi: np.where(x > hi, g, 0.0), r"<g> \cdot [<x> > <z>]"),
    piece=lambda x, lo, hi: 1 * (x < lo) + 2 * (x > hi))
SUM = _op(np.sum, r"\sum <x>", ONE,
    (lambda g, out, x, axis=None, *, keepdims=False: spread(g, x, axis, keepdims), "<g>"), fn=total)
MEAN = _op(np.mean, r"\frac1n \sum <x>", ONE,
    (lambda g, out, x, axis=None, *, keepdims=False:
        spread(g * (np.size(out) / np.size(x)), x, axis, keepdims), "<g> / n"))
MAX = _op(np.max, r"\max <x>", ONE, (extremum, r"<g> \cdot [<x> = \max <x>]"),
    piece=lambda x, axis=None, keepdims=False: x == np.max(x, axis=axis, keepdims=True))
MIN = _op(np.min, r"\min <x>", ONE, (extremum, r"<g> \cdot [<x> = \min <x>]"),
    piece=lambda x, axis=None, keepdims=False: x == np.min(x, axis=axis, keepdims=True))
RESHAPE = _op(np.reshape, r"\operatorname{reshape} <x>", ONE,
    (lambda g, out, x, shape=(): np.reshape(g, np.shape(x)), r"\operatorname{reshape} <g>"),
    fn=lambda x, shape: np.reshape(x, shape))  # NumPy 2.0 has another name for shape
EXPAND_DIMS = _op(np.expand_dims, r"\operatorname{expand} <x>", ONE,
    (lambda g, out, x, axis=0: np.reshape(g, np.shape(x)), r"\operatorname{squeeze} <g>"))
SQUEEZE = _op(np.squeeze, r"\operatorname{squeeze} <x>", ONE,
    (lambda g, out, x, axis=None: np.reshape(g, np.shape(x)), r"\operatorname{expand} <g>"))
TRANSPOSE = _op(np.transpose, r"<x>^\top", ONE,
    (lambda g, out, x, axes=None: np.transpose(
        g, axes and np.argsort([a % g.ndim for a in axes]).tolist()), r"<g>^\top"))
SWAPAXES = _op(np.swapaxes, r"<x>^\top", ONE,
    (lambda g, out, x, axis1=0, axis2=0: np.swapaxes(g, axis1, axis2), r"<g>^\top"))
BROADCAST_TO = _op(np.broadcast_to, r"\operatorname{broadcast} <x>", ONE,
    (lambda g, out, x, shape=(): g, r"\sum <g>"))
CONCATENATE = _op(np.concatenate, r"[<x>, <y>, \dots]", TWO, (Each(block), r"<g>[\dots]"),
    fn=lambda *xs, axis=0: np.concatenate(xs, axis))
EINSUM = _op(np.einsum, r"\sum <x> <y>", TWO, (Each(einsum_back), r"\sum <g> \cdot \dots"),
    fn=lambda *xs, subscripts: np.einsum(subscripts, *xs))
TAKE_ALONG_AXIS = _op(np.take_along_axis, "<x>[<y>]", TWO,
    (lambda g, out, x, indices, axis=-1: SCATTER(
        g, index=along(np.shape(x), indices, axis), shape=np.shape(x)), r"<g> \to [<y>]"), None)
GETITEM = _op(getitem, r"<x>[\dots]", ONE,
    (lambda g, out, x, *, index: SCATTER(g, index=index, shape=np.shape(x)), r"<g> \to [\dots]"))
SCATTER = _op(scatter, r"<x> \to [\dots]", ONE,
    (lambda g, out, x, *, index, shape: g[index], r"<g>[\dots]"))
# fmt: on

TABLE[np.amax], TABLE[np.amin] = MAX, MIN
if missing := [op.name for op in TABLE.values() if op.domain is None]:
    raise TypeError(f"no domain declared for {missing}")
