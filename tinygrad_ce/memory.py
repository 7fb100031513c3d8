"""Which array a result can be written into: one of its shape that nobody reads any more."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from .rules import scatter
from .tracing import Traced, elementwise, leaves

LARGE = 2**14  # bytes from which an array is written into one that is done with
VIEWS = {
    np.reshape, np.transpose, np.swapaxes, np.expand_dims, np.squeeze, np.broadcast_to, np.ravel,
    operator.getitem,
}  # fmt: skip
METHODS = {np.sum, np.mean, np.max, np.min, np.argmax, np.argmin, np.any, np.all}


def reused(nodes: list[Traced], outputs: Any) -> dict[Traced, Traced]:
    """For entrywise operations on large arrays: an array of that shape that nobody reads any more.

    New memory costs more than the arithmetic: softmax regression on 1024×784×10 takes 1.3 times as
    long without.
    """
    never, last, root = float(len(nodes)), dict[Traced, float](), dict[Traced, Traced]()
    for i, node in enumerate(nodes):
        read = [root[p] for p in leaves((node.args, node.options)) if p in root]
        fresh = elementwise(node.call) or node.call is np.matmul
        known = fresh or node.call in METHODS or node.call in (np.vdot, scatter)
        until: float = (
            i if known or node.call in VIEWS else never
        )  # others may give it out as a view
        last |= {r: max(last[r], until) for r in read}
        if fresh and node.sample.__class__ is np.ndarray and node.sample.nbytes >= LARGE:
            root[node] = node
            last[node] = i
        elif node.call in VIEWS and read:
            root[node] = read[0]
    last |= dict.fromkeys([root[p] for p in leaves(outputs) if p in root], never)
    into: dict[Traced, Traced] = {}
    free: dict[Any, list[Traced]] = {}
    dying: dict[float, list[Traced]] = {}
    for node, until in last.items():
        dying.setdefault(until, []).append(node)
    for i, node in enumerate(nodes):
        for gone in dying.get(i, []):
            if gone is not node:
                free.setdefault((gone.shape, gone.dtype), []).append(gone)
        plain = node.call.__class__ is np.ufunc and node.call.nout == 1 and not node.options
        there = free.get((node.shape, node.dtype))
        if plain and there and root.get(node) is node and elementwise(node.call):
            into[node] = there.pop()
        if any(gone is node for gone in dying.get(i, [])):
            free.setdefault((node.shape, node.dtype), []).append(node)
    return into
