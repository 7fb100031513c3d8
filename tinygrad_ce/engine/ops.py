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

import math
import operator
from typing import Any

import numpy as np

from .operation import POSITIVE, REAL, TABLE, Each, Interval, Primitive, primitive

# fmt: off
# isort: off
from .rules import (
    along, block, by_x, by_y, einsum_back, extremum, getitem, matmul_left, matmul_right, mean_share,
    pick, power_base, power_exponent, product, same, scatter, share, spread, total,
)
# isort: on
# fmt: on


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
    (by_y, r"<g> \cdot <y>"),
    (by_x, r"<g> \cdot <x>"), scalar=operator.mul)
DIVIDE = _op(np.divide, r"\frac{<x>}{<y>}", (REAL, POSITIVE),
    (lambda g, out, x, y: g / y, "<g> / <y>"),
    (lambda g, out, x, y: -g * out / y, r"-<g> \cdot <x> / <y>^2"), scalar=operator.truediv)
POWER = _op(np.power, "<x>^{<y>}", (POSITIVE, REAL),
    (power_base, r"<g> \cdot <y> \cdot <x>^{<y> - 1}"),
    (power_exponent, r"<g> \cdot <x>^{<y>} \log <x>"), scalar=math.pow, fn=operator.pow)
MATMUL = _op(np.matmul, r"<x> \, <y>", TWO,
    (matmul_left, r"<g> \, <y>^\top"),
    (matmul_right, r"<x>^\top <g>"), fn=product)
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
        spread(g * mean_share(out, x), x, axis, keepdims), "<g> / n"))
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
