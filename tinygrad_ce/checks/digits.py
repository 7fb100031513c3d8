"""How many digits of a loss and of its gradients are right, to first order.

Every operation rounds. A relative error δ of a node changes the loss by δ · v · ∂L/∂v, so the
backward pass weighs all roundings at once (S. Linnainmaa, "Taylor expansion of the accumulated
rounding error", BIT 16, 1976, which reverse mode comes from). They are taken as independent: that
is a bound in all but about one case in a hundred, not one for certain.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ..engine.operation import Primitive
from ..engine.transforms import grad_of
from ..engine.value import Value, detach
from .births import backward_births, ordered

SIGMAS = 2.0  # of a normal distribution
FEW = 3_000  # nodes of a graph, up to which its gradients are weighed too
EPS = float(np.finfo(float).eps)
EXACT = (np.add, np.subtract, np.multiply, np.divide, np.sqrt)  # but for rounding, by IEEE 754


class Digits(NamedTuple):
    """How well a number is known.

    Attributes
    ----------
    name : of the loss, or the leaf whose gradient it is
    digits : decimal digits that are right, to first order; of an array those of its norm
    error : the bound that they come from, relative
    costly : the nodes whose rounding costs most, and their parts of the error
    cancelled : nodes in which digits cancel, and how many
    """

    name: str
    digits: float
    error: float
    costly: tuple[tuple[Value, float], ...] = ()
    cancelled: tuple[tuple[Value, float], ...] = ()


def digits_of(root: Value, name: str, gradients: dict[Value, Any]) -> Digits | None:
    """The digits of a node, or of its entries times their gradients; None of 0."""
    size = float(np.sqrt(np.sum(np.square(np.asarray(detach(root), float)))))
    if not size or not np.isfinite(size):
        return None
    worst, squares, sums = dict[Value, float](), 0.0, 0.0
    for node, g in gradients.items():
        if node.op is not None:
            rounded = abs(_rounding(node) * g)
            one = rounded.__class__ is float
            worst[node] = rounded if one else float(np.sqrt(np.sum(rounded**2)))
            squares += worst[node] ** 2
            sums += rounded if one else float(np.sum(rounded))
    error = min(sums, SIGMAS / 3**0.5 * squares**0.5)
    costly = sorted(worst.items(), key=lambda pair: -pair[1])[:3]
    parts = tuple((node, x**2 / squares) for node, x in costly if x)
    lost = [(n, k) for n in worst if (k := _cancelled(n, gradients[n], 0.1 * error)) >= 3]
    lost = sorted(lost, key=lambda pair: -pair[1])[:3]
    last = 0.5 * float(np.finfo(root.dtype).eps)  # the result itself is a rounded number
    digits = max(-float(np.log10(max(error / size, last))), 0.0)
    return Digits(name, digits, error / size, parts, tuple(lost))


@lru_cache(maxsize=1024)
def _parts(op: Primitive) -> float | None:
    """Of the spacing of floats, how much an operation rounds by; None of sums of many terms."""
    if (op.moves and op.linear) or len(op.terms) == 1 or op.piece:
        return 0.0  # entries of its arguments, or their negatives
    return 0.5 if op.function in EXACT else None if op.linear else 0.6


def _rounding(node: Value) -> Any:
    """How much the entries of a node may be off because it rounds them."""
    op, v = node.op, node.data
    part, eps = _parts(op), EPS if v.__class__ is float else float(np.finfo(node.dtype).eps)
    if part is not None:
        return part * eps * v
    data = [np.asarray(detach(x), float) for x in node.parents]
    count = op.fn(*[np.ones_like(x) for x in data], **node.options)  # terms may cancel
    return 0.5 * eps * op.fn(*map(np.abs, data), **node.options) * np.sqrt(np.maximum(count, 1))


def _cancelled(node: Value, g: Any, much: float) -> float:
    """How many digits of its arguments a sum loses, where that is much of the whole error."""
    if len(node.op.terms) != 2:
        return 0.0
    given = [x.data for x in node.parents if isinstance(x, Value) and x.op is not None]  # inexact
    tops = [abs(x) if x.__class__ is float else np.max(np.abs(x), initial=0.0) for x in given]
    largest, eps = float(max(tops, default=0.0)), float(np.finfo(node.dtype).eps)
    if largest * float(np.max(np.abs(g), initial=0.0)) * eps < much or not largest:
        return 0.0
    v = np.abs(np.asarray(node.data, float))
    small = float(np.min(np.where(np.asarray(g) != 0.0, v, np.inf), initial=np.inf))
    return float(np.log10(largest / small)) if 0.0 < small < largest else 0.0


def all_digits(
    nodes: Sequence[Value], called: dict[Value, str], found: dict[Value, Any]
) -> list[Digits]:
    """The digits of the loss, then those of the gradient of each leaf."""
    root = nodes[-1]
    own = [digits_of(root, called[root], found)]
    rng = np.random.default_rng(0)
    for leaf in [n for n in nodes if n.op is None and n in found] if len(nodes) <= FEW else []:
        slope = grad_of(root, leaf, np.ones_like(root.data) if root.shape else None)
        signs = rng.choice([-1.0, 1.0], slope.shape).astype(slope.dtype) if slope.shape else 1.0
        _births, second = backward_births(ordered(slope), signs)
        own.append(digits_of(slope, called[leaf], second))
    return [x for x in own if x]
