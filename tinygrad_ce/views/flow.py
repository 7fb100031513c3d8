"""What flows along an edge in the backward pass: upstream, times local derivative, is the share."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from ..engine.backward import share
from ..engine.data import unbroadcast
from ..engine.operation import Primitive
from ..engine.value import Value

TRIAL = np.array([0.7, 0.3, 0.9, 0.2, 0.5, 0.4]).reshape(2, 1, 3)  # in order of nothing


class Flow(NamedTuple):
    """What a node hands an argument, of the argument's shape, and what it is made of.

    ``local`` has the node's shape: an argument that broadcasting repeated gets the sum of the
    products. It is None where the rule is no product of entries.
    """

    upstream: Any = None
    local: Any = None
    contribution: Any = None


def flow(node: Value, k: int, g: Any) -> Flow:
    """Return what flows from a node to its argument k, given the node's gradient."""
    assert node.op is not None
    parent, local = node.parents[k], None
    one = 1.0 if isinstance(node.data, float) else np.ones_like(node.data)
    if node.size == 1:
        local = unbroadcast(share(node, k, one), parent.data, node.op)
    elif entrywise(node.op):
        local = share(node, k, one)
    return Flow(g, local, unbroadcast(share(node, k, g), parent.data, node.op))


@cache
def entrywise(op: Primitive) -> bool:
    """Return whether each entry of the result depends on one entry of each argument, and no other.

    Where the record does not say so, it is tried: does each number get what it gets alone?
    """
    if op.entrywise or getattr(op.function, "signature", "") is None:  # of a ufunc
        return True
    args = [TRIAL / (k + 1) for k in range(op.arity or 0)]
    try:
        whole, each = op.fn(*args), np.vectorize(op.fn)(*args)
        return np.shape(whole) == TRIAL.shape and np.allclose(whole, each, rtol=1e-9, atol=0)
    except Exception:  # whatever a user's function raises, where it is no such function
        return False
