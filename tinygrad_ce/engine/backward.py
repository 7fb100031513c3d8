"""The chain rule: order the graph, walk it in reverse, hand every parent its share, add up.

Gradients under way live in a dictionary of the pass; ``.grad`` is written once, at the end. So a
graph that is only read is not written to, and passes in several threads run beside each other.
"""

from __future__ import annotations

import os
from _thread import RLock
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from operator import attrgetter
from sys import getrefcount
from typing import Any, NoReturn

import numpy as np

from .data import NONE, Call, StaleGraphError, as_upstream, snapshot, unbroadcast
from .text import _

Node = Any  # a `Value`: this is what its method `backward` is made of, so it comes before it
_number = attrgetter("number")
NOTHING = 0.0  # this very object: where a sum of shares starts
watcher: ContextVar[Callable[..., None]] = ContextVar("watcher", default=lambda *_pass: None)


def _chain_rule(nodes: list[Node], gradients: dict[Node, Any], graph: bool = False) -> None:
    """Newest first, every node hands its parents their share of its gradient; shares add up."""
    kind = nodes[0].__class__
    for node in nodes:
        g = gradients[node]
        if node.call is None and not graph:  # of floats: with the slopes stored when it was made
            if (d := node.dx) is not None:
                gradients[node.x] += g * d
            if (d := node.dy) is not None:
                gradients[node.y] += g * d
            continue
        for k, parent in enumerate(node.call[0] if node.call else node.parents):
            if parent.__class__ is kind:
                d = unbroadcast(share(node, k, g, graph), parent._array, node.op)
                gradients[parent] = _add(gradients[parent], d)
    watcher.get()(nodes, gradients)


def share(node: Node, k: int, g: Any, graph: bool = False) -> Any:
    """What argument k of a node receives: upstream gradient ``g`` times local derivative.

    Broadcasting is not undone yet. With ``graph`` it is a `Value`.
    """
    _args, data, options, _watched = node.call or _of_sum(node)
    rule, out = node.op.vjps[k], node._array
    if graph:
        out, data = node, node.parents
    try:
        return rule(g, out, *data, **options) if options else rule(g, out, *data)
    except ArithmeticError:  # floats divided by 0: NumPy's have inf and nan
        wide = [np.float64(a) if a.__class__ is float else a for a in (g, out, *data)]
        return rule(*wide, **options)
    except TypeError as error:
        raise TypeError(_("a VJP of {op}: {error}", op=node.op.name, error=error)) from error


def _of_sum(node: Node) -> Call:
    """How a sum or product of floats was computed, which keeps its slopes instead."""
    args = [*node.parents]
    return args, [getattr(p, "_array", p) for p in args], NONE, ()


def topological(root: Node) -> list[Node]:
    """Every node of the graph of ``root``, parents before children, in order of creation."""
    return _newest_first(root)[0][::-1]


def _newest_first(root: Node) -> tuple[list[Node], list[Node], dict[Node, Any]]:
    """Every node below ``root``, children before parents; its leaves; a place for each gradient."""
    nodes: list[Node] = []
    leaves: list[Node] = []
    watching: list[Node] = []
    stack, kind = [root], root.__class__
    gradients: dict[Node, Any] = {root: NOTHING}
    while stack:
        nodes.append(node := stack.pop())
        if (call := node.call) is None:  # of floats, most of a large graph: written out
            if (p := node.x).__class__ is kind and p not in gradients:
                gradients[p] = NOTHING
                stack.append(p)
            if (p := node.y).__class__ is kind and p not in gradients:
                gradients[p] = NOTHING
                stack.append(p)
            continue
        if node.op is None:
            leaves.append(node)
        for p in call[0]:
            if p.__class__ is kind and p not in gradients:
                gradients[p] = NOTHING
                stack.append(p)
        if call[3]:
            watching.append(node)
    nodes.sort(key=_number, reverse=True)  # nearly done: y before x, depth first
    _check_fresh(nodes, max(map(_number, leaves), default=-1), watching)
    return nodes, leaves, gradients


def _check_fresh(nodes: list[Node], newest_leaf: int, watching: list[Node]) -> None:
    """Refuse a graph over data that were assigned, or arrays written to, since they were used."""
    for node in reversed(nodes):
        if node.number > newest_leaf:
            break
        for p in node.call[0] if node.call else (node.x, node.y):
            if p.__class__ is node.__class__ and p.number > node.number:
                _refuse(p, node)
    for node in watching:
        for x, before in node.call[3]:
            if snapshot(getattr(x, "_array", x)) != before:
                _refuse(x, node)


def _refuse(x: Any, user: Node) -> NoReturn:
    text = (
        "{where}{name} of shape {shape} was assigned or written to after {user} had used it: "
        "compute the loss again, or give a copy of the array"
    )
    where, names = user.place()
    name = next((name for p, name in zip(user.parents, names) if p is x and name), "")
    name = name or ("a leaf" if x.__class__ is user.__class__ else "a constant")
    user = user.name or user.op.name
    raise StaleGraphError(_(text, where=where, name=name, shape=np.shape(x), user=user))


def gradients(root: Node, seed: Any, wrt: Sequence[Node], graph: bool = False) -> list[Any]:
    """Gradients of ``root`` with respect to nodes, None where it does not depend on one.

    No ``.grad`` changes. With ``graph``, or where the graph rests on any other leaf, the gradients
    are `Value`s, which can be differentiated again.
    """
    nodes, leaves, received = _newest_first(root)
    received[root] = seed
    _chain_rule(nodes, received, graph or not {*wrt}.issuperset(leaves))
    return [received.get(node) for node in wrt]


_WRITING = RLock()  # passes that share leaves add to them one after the other
if hasattr(os, "register_at_fork"):  # a child has none of the threads that may hold it
    os.register_at_fork(after_in_child=_WRITING._at_fork_reinit)  # type: ignore[attr-defined]


def backward(self: Node, gradient: Any = None) -> None:
    """Compute the gradient of this node with respect to every node it was computed from.

    Each node's ``.grad`` is set: leaves add to what they hold (set it to None to start anew),
    interior nodes are computed afresh in every pass.

    Parameters
    ----------
    gradient : float or array of this node's shape; a node of more than one entry needs it
        The upstream gradient to start from; 1 by default.

    Raises
    ------
    ValueError
        If a node with more than one entry gets no ``gradient``, or one of another shape.
    StaleGraphError
        If the data of a leaf was assigned after it was used.

    Examples
    --------
    >>> from tinygrad_ce import Value
    >>> a, b = Value(2.0), Value(3.0)
    >>> (a * b + a).backward()
    >>> a.grad, b.grad
    (4.0, 2.0)
    """
    nodes, leaves, received = _newest_first(self)
    received[self] = as_upstream(
        gradient, self._array, self.name or (self.op.name if self.op else "a leaf")
    )
    _chain_rule(nodes, received)
    shares = apart([*map(received.pop, leaves)])
    with _WRITING:
        sums = [*map(_accumulated, leaves, shares)]  # all, or none is written
        for leaf, (grad, passes) in zip(leaves, sums):
            leaf.grad, leaf._passes = grad, passes
        for node, g in received.items():
            node.grad, node._passes = g, 1


def _accumulated(leaf: Node, g: Any) -> tuple[Any, int]:
    """A leaf's gradient with what it holds, and of how many passes; 0 by hand starts anew."""
    before = leaf.grad
    if before.any() if hasattr(before, "any") else before:
        return _add(before, g), leaf.passes + 1
    return g, 1


(_ALONE,) = [getrefcount(g) for g in [np.empty(0)]]  # references to what only a list holds


def apart(gradients: list[Any]) -> list[Any]:
    """The gradients as arrays that can be written into: ``p.grad *= 0.5`` changes p's alone."""
    return [
        g.copy()
        if g.__class__ is np.ndarray and (g.base is not None or getrefcount(g) > _ALONE)
        else g
        for g in gradients
    ]


def _add(x: Any, y: Any) -> Any:
    """The sum; NumPy's of two 0-d arrays is no array."""
    if x is NOTHING:
        return y
    total = x + y
    return np.asarray(total) if isinstance(total, np.generic) else total
