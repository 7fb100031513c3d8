"""How many digits of a loss and of its gradients are right, to first order.

Every operation rounds. An error δ of a node changes the loss by δ · ∂L/∂v, so the backward pass
weighs all roundings at once (S. Linnainmaa, "Taylor expansion of the accumulated rounding error",
BIT 16, 1976, which reverse mode comes from). Each δ is what the operation differs by from itself in
wider numbers. Those of an array's gradient are taken as independent.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from string import ascii_letters
from typing import Any, NamedTuple

import numpy as np

from ..engine import ops
from ..engine.backward import gradients, share
from ..engine.data import NONE, unbroadcast
from ..engine.operation import TABLE, Primitive
from ..engine.text import _
from ..engine.value import Value, detach
from ..programs.lines import elementwise
from .births import is_real, ones_like, ordered
from .wording import Names, by_op

FEW = 3_000  # nodes of a graph, up to which its gradients are weighed too
DRAWS = 3  # of combinations of a gradient's entries
WORK = 1e10  # the arguments' sizes, multiplied: a larger product of matrices is not computed again
SHOWN = 8  # leaves whose gradients are weighed each by itself
ENTRIES = 2**16  # of nodes that are weighed at once
EPS = float(np.finfo(float).eps)
SAFE, REST, SIGMAS = 1.25, 0.05, 2.8  # on a sum of errors, where it is 0 by chance; on their norm
NEARBY = 0.06  # of how far a result moves when its arguments do by 4 eps, three times
_HAS_WIDE = float(np.finfo(np.longdouble).eps) < EPS


class Digits(NamedTuple):
    """How well a number is known.

    Attributes
    ----------
    name : of the loss, or the leaf whose gradient it is
    digits : decimal digits that are right, to first order; of an array those of its norm
    error : the bound that they come from, relative
    most : the digits of its dtype
    node : where more than half are gone, the node that costs most
    cancelled : how many digits cancel in that; 0.0 where it is its rounding that counts
    """

    name: str
    digits: float
    error: float
    most: float
    node: Value | None = None
    cancelled: float = 0.0


def digits_of(
    root: Value, name: str, probes: Sequence[dict[Value, Any]], least: float = 0.5
) -> Digits | None:
    """The digits of a node by its gradients, of an array those of its entries times drawn numbers.

    The result itself is rounded, by ``least`` of its last digit. None of an exact 0.
    """
    totals, spread, largest, costly = np.zeros(len(probes)), 0.0, 0.0, None
    for nodes, sizes, off in _roundings(probes[0]):
        slopes = ([gradients[node] for node in nodes] for gradients in probes)
        parts = np.array([off * _row(several) for several in slopes])
        squares = np.add.reduceat(np.mean(parts * parts, axis=0), np.cumsum(sizes) - sizes)
        totals, spread = totals + parts.sum(axis=1), spread + float(squares.sum())
        if (most := np.max(squares)) > largest:
            largest, costly = most, nodes[int(np.argmax(squares))]
    v, total = np.asarray(root.data, float), float(abs(totals[0]))
    if v.size == 1:
        size, error = abs(float(v.sum()) - float(totals[0])), SAFE * total + REST * spread**0.5
    else:  # a drawn combination of the errors has their norm on average
        size = float(np.linalg.norm(v))
        error = SIGMAS * (spread + float(np.mean(np.square(totals)))) ** 0.5
    if not (size or error) or not math.isfinite(size + error):
        return None
    eps = float(np.finfo(root.dtype).eps)
    relative = max(error / size if size else math.inf, least * eps)
    known = Digits(name, max(-math.log10(relative), 0.0), relative, -math.log10(eps))
    if relative <= eps**0.5:
        return known
    cancelled = max(_cancelled(probes[0], 0.1 * error), default=(0.0, 0, costly))
    return known._replace(node=cancelled[-1], cancelled=cancelled[0])


# ------------------------------------------------------------------ how much a node is off
def _roundings(nodes: Iterable[Value]) -> Iterator[tuple[Sequence[Value], Any, Any]]:
    """Nodes that round, some at a time; their sizes; and how much their entries are off, in a row.

    What a loop computes again and again, of arguments of the same shapes, is computed at once.
    """
    for op, several in by_op(nodes).items():
        if op is None or (op.moves and op.linear) or len(op.terms) == 1 or op.piecewise:
            continue  # whose entries are entries of its arguments, or their negatives
        alike = defaultdict[Any, list[Any]](list)
        stacks = elementwise(op.function) or op in (ops.MATMUL, TABLE[np.einsum])
        for node in several:
            call = node.call or (None, [*map(detach, node.parents)], NONE)
            result, data, options = detach(node), call[1], call[2]
            shapes = tuple([getattr(x, "shape", ()) for x in (result, *data)])
            same = repr(options) if options and stacks else ""  # saved arrays would take long
            key: Any = (shapes, node.dtype, same) if stacks else not shapes[0]
            if _size(result):
                alike[key].append((node, result, data, options))
        for calls in alike.values():
            n = max(1, ENTRIES // max(map(_size, (calls[0][1], *calls[0][2]))))
            for block in (calls[i : i + n] for i in range(0, len(calls), n)):
                some, results, data, named = zip(*block)
                off = _together(op, results, data, named[0]) if stacks else None
                off = _row([*map(rounding, *zip(*block))]) if off is None else off
                off = off.astype(float)
                off[~np.isfinite(off)] = 0.0  # what is masked by an infinite number is not off
                yield some, np.array([*map(_size, results)]), off


def _size(x: Any) -> int:
    return math.prod(getattr(x, "shape", ()))


def _row(arrays: Sequence[Any]) -> Any:
    """The entries of several arrays, or several numbers, in one row."""
    return np.concatenate(arrays, axis=None) if np.ndim(arrays[0]) else np.array(arrays)


def _together(op: Primitive, results: Any, data: Any, options: dict[str, Any]) -> Any:
    """The rounding of nodes that are alike, their arguments along a new first axis, in a row.

    None where there are no wider numbers.
    """
    shapes, options = [*map(np.shape, data[0])], {**options}
    if op is ops.MATMUL:  # a vector is a row on the left, a column on the right
        shapes = [s if s[1:] else (*s, 1) if k else (1, *s) for k, s in enumerate(shapes)]
    if subscripts := options.get("subscripts"):
        letter = min({*ascii_letters} - {*subscripts})
        options["subscripts"] = re.sub("(^|,|>)", rf"\1{letter}", subscripts)
    else:  # what broadcasts has as many axes as the others
        shapes = [(1,) * (max(map(len, shapes)) - len(shape)) + shape for shape in shapes]
    columns, result = zip(shapes, zip(*data)), _row(results)
    data = [_row(column).reshape(len(results), *shape) for shape, column in columns]
    exact = _wider(op, result.dtype, data, options)
    return None if exact is None else result - exact.reshape(-1)


def _wider(op: Primitive, dtype: Any, data: Sequence[Any], options: dict[str, Any]) -> Any:
    """What an operation makes of data in numbers wider than a dtype; None where it makes none."""
    wide = np.longdouble if dtype == np.float64 else np.float64
    if (wide is np.float64 or _HAS_WIDE) and not op.keeps:
        with suppress(Exception):  # a user's own need not take wider numbers
            if elementwise(op.function) or math.prod(map(_size, data)) < WORK:
                exact = op.fn(*[wide(x) if is_real(x) else x for x in data], **options)
                return exact if exact.dtype == wide else None
    return None


def rounding(node: Value, v: Any, data: Sequence[Any], options: dict[str, Any]) -> Any:
    """How much the entries of a node are off because it rounds them."""
    op = node.op
    if (exact := _wider(op, node.dtype, data, options)) is not None:
        return v - exact
    eps = float(np.finfo(node.dtype).eps)
    if len(op.linear) == len(data):
        count = op.fn(*[np.ones_like(x) for x in data], **options)  # terms may cancel
        return 0.2 * eps * op.fn(*map(np.abs, data), **options) * np.sqrt(count)
    if op.keeps or elementwise(op.function):
        return 0.75 * eps * np.asarray(v, float)
    rng, moved = np.random.default_rng(0), 0.0  # an inverse is that of a matrix nearby
    for _draw in range(DRAWS):
        off = [1.0 + rng.normal(0.0, 4 * eps, np.shape(x)) for x in data]
        near = [x * y if is_real(x) else x for x, y in zip(data, off)]
        moved = np.hypot(moved, op.fn(*near, **options) - v)
    return 0.6 * eps * np.abs(v) + NEARBY * moved


def _cancelled(slopes: dict[Value, Any], much: float) -> Iterator[tuple[float, int, Value]]:
    """How many digits cancel in a sum, where that is much of the whole error; the sum is last."""
    for node, g in slopes.items():
        terms = node.parents if node.op is not None and len(node.op.terms) == 2 else ()
        inexact = [x.data for x in terms if isinstance(x, Value) and x.op is not None]
        largest = max((float(np.max(np.abs(x), initial=0.0)) for x in inexact), default=0.0)
        much_of = largest * float(np.max(np.abs(g), initial=0.0)) * np.finfo(node.dtype).eps
        if largest and much_of >= much:
            counts = (np.asarray(g) != 0.0) & (np.asarray(node.data) != 0.0)
            small = float(np.min(np.abs(node.data), where=counts, initial=np.inf))
            if 1e3 * small <= largest:
                yield math.log10(largest / small), node.number, node


def slopes_of(nodes: Sequence[Value]) -> dict[Value, Value]:
    """The gradients of all nodes as graphs; what an operation has kept for its rule is as it is."""
    slopes: dict[Value, Any] = {nodes[-1]: Value(ones_like(nodes[-1]), "seed")}
    for node in reversed(nodes):
        g = slopes[node]
        for k, parent in enumerate(node.parents):
            if isinstance(parent, Value):
                kept = node.op.keeps  # by a kernel, with more care than the rule that is a graph
                raw = Value(share(node, k, detach(g))) if kept else share(node, k, g, True)
                d = unbroadcast(raw, parent.data, node.op)
                slopes[parent] = slopes[parent] + d if parent in slopes else d
    return {node: g if isinstance(g, Value) else Value(g) for node, g in slopes.items()}


def all_digits(names: Names, slopes: dict[Value, Any]) -> list[Digits]:
    """The digits of the loss, then those of the gradient of each leaf; of many some together."""
    nodes, root = names.nodes, names.nodes[-1]
    known = [digits_of(root, names(root), [slopes])]
    rng, graphs = np.random.default_rng(0), slopes_of(nodes) if len(nodes) <= FEW else {}
    least = 1.0 if any(n.op and n.op.keeps for n in nodes) else 0.5
    leaves = [n for n in nodes if n.op is None and n in graphs]
    gradients_of: list[Any] = [(names(leaf), graphs[leaf]) for leaf in leaves[:SHOWN]]
    if rest := [np.ravel(graphs[leaf]) for leaf in leaves[SHOWN:]]:
        gradients_of.append((_("{n} more", n=len(rest)), np.concatenate(rest)))
    for name, slope in gradients_of:
        seeds = [rng.normal(size=slope.shape).astype(slope.dtype) for _draw in range(DRAWS)]
        seeds = seeds if slope.size > 1 else [ones_like(slope)]
        below = ordered(slope)
        probes = [dict(zip(below, gradients(slope, seed, below))) for seed in seeds]
        known.append(digits_of(slope, name, probes, least))
    return [x for x in known if x]
