"""How many digits of a loss and of its gradients are right, to first order.

Every operation rounds. An error δ of a node changes the loss by δ · ∂L/∂v, so the backward pass
weighs all roundings at once (S. Linnainmaa, "Taylor expansion of the accumulated rounding error",
BIT 16, 1976, which reverse mode comes from). Each δ is what the operation differs by from itself in
wider numbers. Those of an array's gradient are taken as independent.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from ..engine.backward import share
from ..engine.data import unbroadcast
from ..engine.value import Value, detach
from ..programs.lines import elementwise
from .births import backward_births, is_real, ones_like, ordered
from .wording import Names

FEW = 3_000  # nodes of a graph, up to which its gradients are weighed too
DRAWS = 3  # of combinations of a gradient's entries
WORK = 1e10  # the arguments' sizes, multiplied: a larger product of matrices is not computed again
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
    off = {n: rounding(n) for n in probes[0] if n.op is not None and not _is_exact(n)}
    parts = [{node: by * gradients[node] for node, by in off.items()} for gradients in probes]
    totals = [sum(map(_total, part.values())) for part in parts]
    squares = {node: sum(_total(part[node] * part[node]) for part in parts) for node in off}
    spread, v = math.fsum(squares.values()) / len(probes), np.asarray(root.data, float)
    if v.size == 1:
        size, error = abs(float(v.sum()) - totals[0]), SAFE * abs(totals[0]) + REST * spread**0.5
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
    costly = max(squares, key=squares.__getitem__, default=None)
    cancelled = max(_cancelled(probes[0], 0.1 * error), default=(0.0, 0, costly))
    return known._replace(node=cancelled[-1], cancelled=cancelled[0])


def _total(x: Any) -> float:
    return x if x.__class__ is float else float(x.sum())


def _is_exact(node: Value) -> bool:
    """Whether a node's entries are entries of its arguments, or their negatives."""
    op = node.op
    return bool((op.moves and op.linear) or len(op.terms) == 1 or op.piecewise)


def rounding(node: Value) -> Any:
    """How much the entries of a node are off because it rounds them."""
    op, v, data = node.op, node.data, [detach(x) for x in node.parents]
    wide = np.longdouble if node.dtype == np.float64 else np.float64
    if (wide is np.float64 or _HAS_WIDE) and not op.keeps and math.prod(map(np.size, data)) < WORK:
        with suppress(Exception):  # a user's own need not take wider numbers
            exact = op.fn(*[wide(x) if is_real(x) else x for x in data], **node.options)
            if exact.dtype == wide:
                return _finite(float(v - exact) if v.__class__ is float else v - exact)
    eps = float(np.finfo(node.dtype).eps)
    if len(op.linear) == len(data):
        count = op.fn(*[np.ones_like(x) for x in data], **node.options)  # terms may cancel
        return _finite(0.2 * eps * op.fn(*map(np.abs, data), **node.options) * np.sqrt(count))
    if op.keeps or elementwise(op.function):
        return _finite(0.75 * eps * np.asarray(v, float))
    rng, moved = np.random.default_rng(0), 0.0  # an inverse is that of a matrix nearby
    for _draw in range(DRAWS):
        off = [1.0 + rng.normal(0.0, 4 * eps, np.shape(x)) for x in data]
        near = [x * y if is_real(x) else x for x, y in zip(data, off)]
        moved = np.hypot(moved, op.fn(*near, **node.options) - v)
    return _finite(0.6 * eps * np.abs(v) + NEARBY * moved)


def _finite(x: Any) -> Any:
    """What is masked by an infinite number is not off."""
    if x.__class__ is float:
        return x if math.isfinite(x) else 0.0
    x = np.asarray(x, float)
    return x if np.isfinite(x).all() else np.nan_to_num(x, nan=0.0, posinf=0.0, neginf=0.0)


def _cancelled(gradients: dict[Value, Any], much: float) -> Iterator[tuple[float, int, Value]]:
    """How many digits cancel in a sum, where that is much of the whole error; the sum is last."""
    for node, g in gradients.items():
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
    """The digits of the loss, then those of the gradient of each leaf."""
    nodes, root = names.nodes, names.nodes[-1]
    known = [digits_of(root, names(root), [slopes])]
    rng, graphs = np.random.default_rng(0), slopes_of(nodes) if len(nodes) <= FEW else {}
    least = 1.0 if any(n.op and n.op.keeps for n in nodes) else 0.5
    for leaf in [n for n in nodes if n.op is None and n in graphs]:
        slope = graphs[leaf]
        seeds = [rng.normal(size=slope.shape).astype(slope.dtype) for _draw in range(DRAWS)]
        seeds = seeds if slope.size > 1 else [ones_like(slope)]
        below = ordered(slope)
        probes = [backward_births(below, seed)[1] for seed in seeds]
        known.append(digits_of(slope, names(leaf), probes, least))
    return [x for x in known if x]
