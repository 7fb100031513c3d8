r"""The table of operations: what each computes, and its derivative rules.

A rule is plain NumPy. The vector-Jacobian product (VJP) of one argument receives the upstream
gradient ``g``, the result ``out`` and the arguments, and returns what flows back to that argument.
Given arrays it returns arrays; given `Value`s it builds the graph of the gradient, and that is the
second derivative. Broadcasting is undone by the engine, never here.

A row: the NumPy function, how it reads, then one rule an argument, as code and as it reads; where
the rules hold; what computes it on Python floats. What NumPy has besides, and in the same form, is
in ``numpy_functions.py``. To add an operation, in five lines (and one in ``tests/engine``):

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

import numpy as np

from . import rules
from .operation import POSITIVE, REAL, Primitive, define

SIGMOID: Primitive  # further down; its own rule needs it
SCATTER: Primitive  # likewise, the rule of getitem

# fmt: off
ADD = define(np.add, "<x> + <y>",
    (lambda g, out, x, y: g, "<g>"),
    (lambda g, out, x, y: g, "<g>"), scalar=operator.add, terms=(1, 1), symbol="+",
    instead=[("{x} - {y}", np.subtract)])
SUBTRACT = define(np.subtract, "<x> - <y>",
    (lambda g, out, x, y: g, "<g>"),
    (lambda g, out, x, y: -g, "-<g>"), scalar=operator.sub, terms=(1, -1), symbol="-",
    roles=("minuend", "subtrahend"), instead=[
        ("{x} + {y}", np.add), ("{y} - {x}", lambda x, y: y - x), ("{x} * {y}", np.multiply)])
MULTIPLY = define(np.multiply, r"<x> \cdot <y>",
    (lambda g, out, x, y: g * y, r"<g> \cdot <y>"),
    (lambda g, out, x, y: g * x, r"<g> \cdot <x>"), scalar=operator.mul, powers=(1, 1), symbol="*",
    instead=[
        ("{x} / {y}", np.divide), ("{y} / {x}", lambda x, y: y / x), ("{x} + {y}", np.add),
        ("{x} * {y} ** 2", lambda x, y: x * y * y), ("{x} ** 2 * {y}", lambda x, y: x * x * y)])
DIVIDE = define(np.divide, r"\frac{<x>}{<y>}",
    (lambda g, out, x, y: g / y, "<g> / <y>"),
    (lambda g, out, x, y: -g * out / y, r"-<g> \cdot <x> / <y>^2"), scalar=operator.truediv,
    domain=(REAL, POSITIVE), powers=(1, -1), symbol="/", roles=("numerator", "denominator"),
    instead=[
        ("{x} * {y}", np.multiply), ("{y} / {x}", lambda x, y: y / x),
        ("{x} / {y} ** 2", lambda x, y: x / y / y)])
POWER = define(np.power, "<x>^{<y>}",
    (rules.power_base, r"<g> \cdot <y> \cdot <x>^{<y> - 1}"),
    (rules.power_exponent, r"<g> \cdot <x>^{<y>} \log <x>"), scalar=math.pow, fn=operator.pow,
    domain=(POSITIVE, REAL), symbol="**", number="math.pow({}, {})", roles=("base", "exponent"),
    instead=[
        ("{x} ** ({y} + 1)", lambda x, y: x ** (y + 1.0)),
        ("{x} ** ({y} - 1)", lambda x, y: x ** (y - 1.0)),
        ("2 * abs({x})", lambda x, y: 2.0 * abs(x)), ("abs({x})", lambda x, y: abs(x))])
MATMUL = define(np.matmul, r"<x> \, <y>",
    (rules.matmul_left, r"<g> \, <y>^\top"),
    (rules.matmul_right, r"<x>^\top <g>"), fn=rules.product, linear=(0, 1), symbol="@",
    roles=("left", "right"), instead=[("mean({x}) * sum({y})", rules.apart)])
IDENTITY = define(np.positive, "<x>",
    (lambda g, out, x: g, "<g>"), scalar=operator.pos, terms=(1,))
NEGATIVE = define(np.negative, "-<x>",
    (lambda g, out, x: -g, "-<g>"), scalar=operator.neg, terms=(-1,), symbol="-")
ABS = define(np.absolute, "|<x>|",
    (lambda g, out, x: g * np.sign(x), r"<g> \cdot \operatorname{sign} <x>"),
    piecewise=True, scalar=abs, name="abs", even=True, number="abs({})", instead=[
        ("{x} ** 2", lambda x: x * x), ("{x} ** 2 / 2", lambda x: x * x / 2.0)])
EXP = define(np.exp, "e^{<x>}",
    (lambda g, out, x: g * out, r"<g> \cdot e^{<x>}"), scalar=math.exp, positive=True,
    instead=[
        ("{x} * exp({x})", lambda x: x * np.exp(x)), ("exp({x}) ** 2", lambda x: np.exp(2.0 * x)),
        ("sigmoid({x})", rules.sigmoid)],
    slips=[("{x} * exp({x} - 1)", lambda x: x * np.exp(x - 1.0))])
LOG = define(np.log, r"\log <x>",
    (lambda g, out, x: g / x, "<g> / <x>"), domain=(POSITIVE,), scalar=math.log, instead=[
        ("log10({x})", np.log10), ("log2({x})", np.log2),
        ("log(1 - {x})", lambda x: np.log(1.0 - x))],
    slips=[
        ("1 / log({x})", lambda x: 1.0 / np.log(x)), ("1 / exp({x})", lambda x: np.exp(-x)),
        ("{x} * log({x}) - {x}", lambda x: x * np.log(x) - x)])
WHERE = define(np.where, r"<y> \text{ if } <x> \text{ else } <z>", None,
    (lambda g, out, c, x, y: rules.pick(c, g, 0.0), r"<g> \cdot [<x>]"),
    (lambda g, out, c, x, y: rules.pick(c, 0.0, g), r"<g> \cdot [\neg <x>]"),
    piecewise=True, scalar=lambda c, x, y: (y, x)[c],  # TypeError if c is no bool
    linear=(1, 2), moves=True, entrywise=True, number="{1} if {0} else {2}",
    roles=("condition", "if", "else"),
    instead=[
        ("{z} if {x} else {y}", lambda x, y, z: np.where(x, z, y)), ("{y}", lambda x, y, z: y),
        ("{z}", lambda x, y, z: z)])
RELU = define(rules.relu, r"\max(0, <x>)",
    (lambda g, out, x: rules.pick(x <= 0.0, 0.0, g), r"<g> \cdot [<x> > 0]"),
    piecewise=True, scalar=lambda x: 0.0 if x <= 0.0 else x)
SIGMOID = define(rules.sigmoid, r"\sigma(<x>)",
    (lambda g, out, x: g * out * SIGMOID(-x), r"<g> \cdot <out> \cdot (1 - <out>)"),
    positive=True)
SUM = define(np.sum, r"\sum <x>",
    (lambda g, out, x, axis=None, *, keepdims=False: rules.spread(g, x, axis, keepdims), "<g>"),
    fn=rules.total, linear=(0,), direct=True)
GETITEM = define(rules.getitem, r"<x>[\dots]",
    (lambda g, out, x, *, index: SCATTER(g, index=index, shape=np.shape(x)), r"<g> \to [\dots]"),
    linear=(0,), moves=True)
SCATTER = define(rules.scatter, r"<x> \to [\dots]",
    (lambda g, out, x, *, index, shape: g[index], r"<g>[\dots]"), linear=(0,))
# fmt: on
