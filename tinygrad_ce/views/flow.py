"""What flows along an edge in the backward pass: upstream, times local derivative, is the share."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from ..engine.backward import share
from ..engine.data import unbroadcast
from ..engine.operation import Primitive
from ..engine.value import Value
from .formulas import SUM, Notation, bracketed, fill, rule

TRIAL = np.array([0.7, 0.3, 0.9, 0.2, 0.5, 0.4]).reshape(2, 1, 3)  # in order of nothing


@cache
def entrywise(op: Primitive) -> bool:
    """Return whether each entry of the result depends on one entry of each argument, and no other.

    Where the record does not say so, it is tried: does each number get what it gets alone?
    """
    function: Any = op.function
    if op.entrywise or isinstance(function, np.ufunc):
        return op.entrywise or function.signature is None
    try:
        args = [TRIAL / (k + 1) for k in range(op.arity or 0)]
        each = [op.fn(*map(float, numbers)) for numbers in zip(*(x.flat for x in args))]
        whole = np.asarray(op.fn(*args))
        return whole.shape == TRIAL.shape and np.allclose(whole.ravel(), each, rtol=1e-9, atol=0)
    except Exception:  # whatever a user's function raises, where it is no such function
        return False


@dataclass(frozen=True)
class Flow:
    """What a node hands its argument k, of the argument's shape, and what it is made of.

    ``local`` has the node's shape: an argument that broadcasting repeated gets the sum of the
    products. It is None where the rule is no product of entries.
    """

    node: Value
    k: int | None
    upstream: Any
    local: Any
    share: Any

    def filled(self, notation: Notation) -> str:
        """Return the rule filled with numbers."""
        assert self.node.op is not None
        text = notation.write(rule(self.node.op, self.k))
        g = notation.number(self.upstream)
        return fill(text, terms(self.node, notation.number, g))

    def product(self, notation: Notation) -> list[str]:
        """Return upstream × local in two pieces; as a sum, where broadcasting is undone."""
        full = np.shape(self.upstream) == np.shape(self.local) != ()
        sizes = [math.prod(np.shape(x)) for x in (self.share, self.upstream, self.local)]
        total = f"{notation.write(SUM)} " if sizes[0] < max(sizes) else ""  # broadcasting is undone
        times = notation.write(r"\odot" if full else r"\times")
        local = bracketed(notation.number(self.local))
        return [f"{total}{notation.number(self.upstream)}", f"{times} {local}"]


def flow(node: Value, k: int, g: Any) -> Flow:
    """Return what flows from a node to its argument k, given the node's gradient."""
    assert node.op is not None
    parent, local = node.parents[k], None
    one = 1.0 if isinstance(node.data, float) else np.ones_like(node.data)
    if node.size == 1:
        local = unbroadcast(share(node, k, one), parent.data, node.op)
    elif entrywise(node.op):
        local = share(node, k, one)
    return Flow(node, k, g, local, unbroadcast(share(node, k, g), parent.data, node.op))


def terms(node: Value, show: Callable[[Any], str], g: str = "") -> dict[str, str]:
    """Map the placeholders of a node's rules to its arguments, its result and its gradient."""
    return {**dict(zip("xyz", map(show, node.parents))), "out": show(node), "g": g}
