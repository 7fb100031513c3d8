"""Which array a result can be written into: one of its shape that nobody reads any more.

Every program reuses its large arrays within a call (`reused`). With ``optimize="memory"`` each
array that is no result is one of a few buffers that outlive the call (`buffered`).
"""

from __future__ import annotations

import inspect
import math
import operator
from collections import Counter
from collections.abc import Callable
from functools import cache
from itertools import count
from typing import Any

import numpy as np

from ..engine.rules import scatter
from .tracing import WITHIN, Traced, astype, elementwise, leaves, parents

LARGE = 2**14  # bytes from which an array is written into one that is done with
VIEWS = {
    np.reshape, np.transpose, np.swapaxes, np.expand_dims, np.squeeze, np.broadcast_to, np.ravel,
    operator.getitem, WITHIN,
}  # fmt: skip
METHODS = {np.sum, np.mean, np.max, np.min, np.argmax, np.argmin, np.any, np.all}
NEW = {np.matmul, np.dot, np.vdot, np.concatenate, np.stack, np.einsum, scatter, astype}


def is_view(node: Traced) -> bool:
    """Whether its array is a part of its first argument's."""
    if node.call is operator.getitem:
        return is_basic(node.args[1])
    if node.call is np.einsum and len(node.args) == 2:  # NumPy gives a view where nothing is summed
        inputs, result = node.args[0].split("->")
        return set(inputs) == set(result)
    return node.call in VIEWS


def is_basic(index: Any) -> bool:
    """Whether an index is of whole numbers and slices: NumPy gives a view there."""
    parts = index if index.__class__ is tuple else (index,)
    return all(
        p is None or p is ... or isinstance(p, int | slice | np.integer) or _is_whole(p)
        for p in parts
    )


def _is_whole(x: Any) -> bool:
    """Whether it is one whole number, computed in the program: ``x[:, np.argmax(y)]`` is a view."""
    return x.__class__ is Traced and not x.shape and x.dtype.kind in "iu"


def distinct(index: Any) -> bool:
    """Whether an index reads no entry twice, whatever the arguments are: ``[np.arange(n), y]``."""
    if is_basic(index):
        return True
    parts = [p for p in (index if index.__class__ is tuple else (index,)) if hasattr(p, "shape")]
    known = [p for p in parts if p.__class__ is np.ndarray and p.dtype.kind in "iu" and p.size]
    shape = np.broadcast_shapes(*[p.shape for p in parts])
    if not known or any((p < 0).any() for p in known):
        return False
    places = np.stack([np.broadcast_to(p, shape).reshape(-1) for p in known])
    return bool(np.unique(places, axis=1).shape[1] == math.prod(shape))


@cache
def _has_out(f: Any) -> bool:
    try:
        return (f.__module__ or "").startswith("numpy") and "out" in inspect.signature(f).parameters
    except (AttributeError, TypeError, ValueError):
        return False


def _gives_new(node: Traced) -> bool:
    """Whether the result shares no memory with the arguments, and can be written where one says."""
    f = node.call
    if elementwise(f):
        return not node.options
    if getattr(f, "__self__", None).__class__ is np.ufunc:
        return f.__name__ in ("reduce", "accumulate", "outer")
    return (f in METHODS or f in NEW or _has_out(f)) and not is_view(node)


def _is_new(node: Traced) -> bool:
    """Whether it makes an array of its own."""
    return node.sample.__class__ is np.ndarray and bool(node.shape) and _gives_new(node)


def _lifetimes(nodes: list[Traced], outputs: Any) -> tuple[dict[Any, Traced], dict[Traced, float]]:
    """Of each node the array it is in, and of that the last line that reads it.

    That line is inf for an array that leaves the call: a result, or read by a function that may
    give it out as a view. Of what is a part of a larger array a copy leaves, at the end.
    """
    root, last = dict[Any, Traced](), dict[Traced, float]()
    for i, node in enumerate(nodes):
        read = [root[p] for p in parents(node) if p in root]
        until = i if _gives_new(node) or is_view(node) else math.inf
        last |= {r: max(last[r], until) for r in read}
        if _is_new(node):
            root[node], last[node] = node, i
        elif is_view(node) and read:
            root[node] = read[0]
    for p in leaves(outputs):
        if p in root:
            r = root[p]
            whole = p.sample.nbytes == r.sample.nbytes and p.size == r.size
            last[r] = math.inf if whole else max(last[r], len(nodes))
    return root, last


def _slots(
    nodes: list[Traced], outputs: Any, counts: Callable[..., bool], takes: Callable[..., bool]
) -> dict[Traced, int]:
    """A number for each array that counts, the same for those that can be one in turn."""
    root, last = _lifetimes(nodes, outputs)
    last = {node: until for node, until in last.items() if counts(node, until)}
    ends: dict[float, list[Traced]] = {}
    for node, until in last.items():
        ends.setdefault(until, []).append(node)
    slots: dict[Traced, int] = {}
    free: dict[Any, list[int]] = {}
    numbers = count()

    def give(gone: Traced) -> None:
        free.setdefault((gone.shape, gone.dtype), []).append(slots[gone])

    for i, node in enumerate(nodes):
        here = [g for g in ends.get(i, []) if g is not node]
        over = dict.fromkeys(g for g in here if _is_over(node, g, root))  # in their order
        for gone in over:
            give(gone)
        if node in last:
            there = free.get((node.shape, node.dtype)) if takes(node) else None
            slots[node] = there.pop() if there else next(numbers)
        for gone in ends.get(i, []):
            if gone not in over:
                give(gone)
    return slots


def _is_over(node: Traced, gone: Traced, root: dict[Any, Traced]) -> bool:
    """Whether an operation can write over an array that it reads: entry by entry, in its order."""
    where = [i for i, p in enumerate(node.args) if p.__class__ is Traced and root.get(p) is gone]
    plain = elementwise(node.call) and all(node.args[i] is gone for i in where)
    return plain and (node.call is not np.where or where == [2])


def reused(nodes: list[Traced], outputs: Any) -> dict[Traced, int]:
    """A number for each large array; an entrywise operation is written into one that is done with.

    New memory costs more than the arithmetic: softmax regression on 1024×784×10 takes 1.3 times as
    long without.
    """

    def counts(node: Traced, until: float) -> bool:
        return node.sample.nbytes >= LARGE and (elementwise(node.call) or node.call is np.matmul)

    def takes(node: Traced) -> bool:
        return node.call.__class__ is np.ufunc and elementwise(node.call)

    found = _slots(nodes, outputs, counts, takes)
    many = Counter(found.values())
    return {node: k for node, k in found.items() if many[k] > 1}


def buffered(nodes: list[Traced], outputs: Any) -> dict[Traced, int]:
    """A number for each array that does not leave the call: its buffer's."""
    return _slots(nodes, outputs, lambda node, until: until < math.inf, lambda node: True)
