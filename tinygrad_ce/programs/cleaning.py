"""A recorded graph, simplified: nothing twice, no constant computed, nothing by one.

Every rewrite gives the same result but for rounding, and keeps the order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..engine.rules import scatter
from .lines import Builder, Line, compute, constant, elementwise, live, replace, walk

SHAPING = {np.reshape, np.expand_dims, np.squeeze}


def cleaned(lines: Sequence[Line], outputs: Any) -> tuple[list[Line], Any]:
    """The same with less work: nothing twice, no constant computed, nothing by one."""
    new: dict[Line, Any] = {}
    seen: dict[Any, Line] = {}
    made = Builder()
    for line in live(lines, outputs):
        if line.function is None:
            new[line] = made.append(line)
            continue
        args, options = replace(line.args, new.__getitem__), replace(line.options, new.__getitem__)
        found = args[0] if line.function is constant else _simpler(line, args, options)
        if found is None:
            found = Line(line.function, args, options, line.shape, line.kind)
        if found.__class__ is Line and found.function is not None:
            found = seen.setdefault(key_of((found.function, found.args, found.options)), found)
            found.name = found.name or line.name
            if found.of is None and line.of is not None:
                found.of = new.get(line.of)
            made.append(found)
        new[line] = found
    outputs = replace(outputs, new.__getitem__)
    return live(made.lines, outputs), outputs


def key_of(x: Any) -> Any:
    """What is equal for equal arguments alone; 1 and 1.0, 0.0 and -0.0 are not."""
    kind = x.__class__
    if kind is Line or callable(x):
        return x
    if kind is tuple or kind is list:
        return (kind, *map(key_of, x))
    if kind is dict:
        return tuple((name, key_of(x[name])) for name in sorted(x))
    if kind is slice:
        return (kind, key_of(x.start), key_of(x.stop), key_of(x.step))
    if kind is np.ndarray:
        return (kind, x.dtype, x.shape, x.tobytes())
    return (kind, repr(x))


def uniform(x: Any) -> bool:
    """Whether all entries of an array are one number; 0.0 and -0.0 are two."""
    if not x.size or not (x == x.flat[0]).all():
        return False
    return x.flat[0] != 0 or bool((np.signbit(x) == np.signbit(x.flat[0])).all())


def number_of(x: Any) -> float | None:
    """The number a constant is."""
    if x.__class__ is Line or not isinstance(x, float | int | np.number | np.ndarray):
        return None
    return None if np.ndim(x) else float(x)


def _like(x: Any, node: Line) -> bool:
    same = x.__class__ is Line and (x.kind is float) == (node.kind is float)
    return same and x.shape == node.shape and x.dtype == node.dtype


def _narrow(node: Line, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Arguments of an entrywise operation that it broadcasts itself, as they were before."""
    found = list(args)
    for i, x in enumerate(args):
        if x.__class__ is Line and x.function is np.broadcast_to:
            small = x.args[0]
        elif x.__class__ is np.ndarray and uniform(x):
            small = x.flat[0]
        else:
            continue
        others = [np.shape(y) for y in (*found[:i], small, *found[i + 1 :])]
        if np.broadcast_shapes(*others) == node.shape:
            found[i] = small
    return tuple(found)


def _simpler(node: Line, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """A node, or a constant, that is the same; None if there is none."""
    f = node.function
    if next(walk((args, options)), None) is None:
        return None if f is np.eye else compute(node, args, options)
    if elementwise(f) and not options and not node.is_number:
        args = _narrow(node, args)
    if f is np.sum and options.get("keepdims") and options.get("axis").__class__ is tuple:
        axes = tuple([a for a in options["axis"] if args[0].shape[a] != 1]) or options["axis"][:1]
        options = options | {"axis": axes}
    if options.get("axis").__class__ is tuple and len(options["axis"]) == 1:
        options = options | {"axis": options["axis"][0]}
    made = Line(f, args, options, node.shape, node.kind)
    if len(args) == 2 and f in (np.add, np.subtract, np.multiply, np.divide, np.power):
        found = _arithmetic(node, *args)
        return made if found is None else found
    x = args[0]
    if f is np.negative and x.__class__ is Line and x.function is np.negative:
        return x.args[0]
    if f is np.negative and x.__class__ is Line and x.function is np.multiply:
        a, b = x.args
        if isinstance(a, float):
            return _make(np.multiply, (-a, b), node)
        if isinstance(b, float):
            return _make(np.multiply, (a, -b), node)
    if f is np.abs and x.__class__ is Line and x.function is np.negative:
        return _make(np.abs, x.args, node)
    if f is np.where and _is_either(node, *args[1:]):
        return args[1]
    if f is np.where and _is_relu(node, *args):
        return _make(np.maximum, (args[2], 0.0), node)
    if f in SHAPING or f is np.broadcast_to:
        shaped = x.__class__ is Line and x.function in SHAPING
        if shaped and _like(x.args[0], node):
            return x.args[0]
        if _like(x, node):
            return x
    if f is np.sum and x.__class__ is Line and x.function is np.multiply and not node.shape:
        a, b = x.args
        alike = np.shape(a) == np.shape(b) and x.dtype.kind == "f"
        if alike and a.__class__ is Line is b.__class__ and a.dtype == b.dtype and a.ndim:
            return _make(np.vdot, (a, b), node)  # half the time of a product and its sum
    if f is np.sum and x.__class__ is Line and x.function is np.broadcast_to:
        found = _sum_of_stretched(node, x, options)
        return made if found is None else found
    if f is np.sum and x.__class__ is Line and x.function is scatter:
        found = _sum_of_scattered(node, x, options)
        return made if found is None else found
    return made


def _is_either(node: Line, x: Any, y: Any) -> bool:
    """Whether it is x, whatever the condition."""
    alike = _like(x, node) or x.__class__ is node.kind is float
    return alike and len({key_of(x), key_of(y)}) == 1


def _is_relu(node: Line, below: Any, zero: Any, x: Any) -> bool:
    """Whether it is 0 where x ≤ 0, of arrays; of numbers a branch is faster than a call."""
    if below.__class__ is not Line or below.function is not np.less_equal or not node.shape:
        return False
    zeros = number_of(below.args[1]) == 0 and str(number_of(zero)) == "0.0"  # -0.0 would be lost
    return zeros and _like(x, node) and below.args[0] is x


def _make(f: Any, args: tuple[Any, ...], node: Line, options: Any = None) -> Line:
    return Line(f, args, options or {}, node.shape, node.kind)


def _arithmetic(node: Line, x: Any, y: Any) -> Any:
    f, a, b = node.function, number_of(x), number_of(y)
    if b == 1.0 and f in (np.multiply, np.divide, np.power) and _like(x, node):
        return x
    if a == 1.0 and f is np.multiply and _like(y, node):
        return y
    if b == 0.0 and f in (np.add, np.subtract) and _like(x, node):
        return x
    if a == 0.0 and f is np.add and _like(y, node):
        return y
    if a == 0.0 and f is np.subtract and _like(y, node):
        return _make(np.negative, (y,), node)
    for c, other in ((x, y), (y, x)):
        if f is np.multiply and isinstance(c, float) and other.function is np.multiply:
            for c2, rest in (other.args, other.args[::-1]):
                if isinstance(c2, float) and _like(rest, node):
                    found = _arithmetic(node, c * c2, rest)
                    return _make(f, (c * c2, rest), node) if found is None else found
    for number, other in ((b, x), (a, y)):
        if number == -1.0 and f is np.multiply and _like(other, node):
            if other.function is np.negative:
                return other.args[0]
            return _make(np.negative, (other,), node)
    for p, q in ((x, y), (y, x)):
        if f is np.add and q.__class__ is Line and q.function is np.negative:
            return _make(np.subtract, (p, q.args[0]), node)
    if f is np.subtract and y.__class__ is Line and y.function is np.negative:
        return _make(np.add, (x, y.args[0]), node)
    return None


def _sum_of_stretched(node: Line, x: Line, options: dict[str, Any]) -> Any:
    """Σ over axes that broadcasting made: as many times the entry."""
    small, axis = x.args[0], options.get("axis")
    if axis is None or options.get("keepdims") or small.__class__ is not Line:
        return None
    axes = {a % x.ndim for a in ((axis,) if isinstance(axis, int) else axis)}
    shape = (1,) * (x.ndim - small.ndim) + small.shape
    if any(shape[a] != 1 for a in axes) or {*options} - {"axis", "keepdims"}:
        return None
    kept = tuple(n for a, n in enumerate(shape) if a not in axes)
    if kept != node.shape:
        return None
    times = float(math.prod(x.shape[a] for a in axes))
    if small.shape != kept:
        shaped = Line(np.reshape, (small, kept), {}, kept, small.dtype)
        small = _simpler(shaped, shaped.args, {})
    return _make(np.multiply, (small, times), node)


def _sum_of_scattered(node: Line, x: Line, options: dict[str, Any]) -> Any:
    """Σ over one axis of a matrix that has one entry in each row: that entry."""
    (g, index, shape), axis = x.args, options.get("axis")
    if len(shape) != 2 or not isinstance(axis, int) or {*options} - {"axis", "keepdims"}:
        return None
    rows: Any = index[1 - axis % 2] if index.__class__ is tuple and len(index) == 2 else None
    n = shape[1 - axis % 2]
    one_a_row = rows.__class__ is np.ndarray and np.array_equal(rows.reshape(-1), np.arange(n))
    if not one_a_row or np.shape(g) != rows.shape:
        return None
    made = _make(np.reshape, (g, node.shape), node)
    return _simpler(made, made.args, {}) if g.__class__ is Line else np.reshape(g, node.shape)
