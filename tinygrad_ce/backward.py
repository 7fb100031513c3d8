"""Order the graph, sweep it in reverse, accumulate."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from threading import RLock
from typing import Any

import numpy as np

from .arguments import fit, upstream
from .ops import IDENTITY
from .rules import same
from .value import StaleGraphError, Value

_ONE_AT_A_TIME = RLock()  # during a sweep, .grad is the accumulator: two would mix theirs
_SEEN: Any = object()


def _collect(root: Value) -> tuple[list[Value], list[Value], list[tuple[Value, Any]]]:
    """Every node below ``root``, newest first, ``.grad`` marked; its leaves; the .grads before."""
    nodes: list[Value] = []
    stack, leaves, before, seen = [root], [], [(root, root.grad)], _SEEN
    found, root.grad = stack.append, seen
    while stack:  # unrolled: a third of a scalar backward is spent here
        nodes.append(node := stack.pop())
        if node.op is None:
            leaves.append(node)
            continue
        p = node._x
        if p.__class__ is Value and p.grad is not seen:
            if p.grad is not None:
                before.append((p, p.grad))
            p.grad = seen
            found(p)
        p = node._y
        if p.__class__ is Value and p.grad is not seen:
            if p.grad is not None:
                before.append((p, p.grad))
            p.grad = seen
            found(p)
        if node._more is not None:
            for p in node._more[0]:
                if p.__class__ is Value and p.grad is not seen:
                    if p.grad is not None:
                        before.append((p, p.grad))
                    p.grad = seen
                    found(p)
    nodes.sort(key=attrgetter("number"), reverse=True)  # a node is newer than its parents
    newest_leaf = max([leaf.number for leaf in leaves], default=-1)
    for node in reversed(nodes):  # a parent newer than its child was assigned after it
        if node.number > newest_leaf:
            break
        for p in node.parents:
            if p.__class__ is Value and p.number > node.number:
                _restore(nodes, before)
                user = node.name or getattr(node.op, "name", "")
                raise StaleGraphError(
                    f"{p.name or 'a leaf'} of shape {p.shape} was assigned new data after {user} "
                    "had used it: compute the loss again"
                )
    return nodes, leaves, before


def _restore(nodes: list[Value], before: list[tuple[Value, Any]]) -> None:
    for node in nodes:
        node.grad = None
    for node, grad in before:
        node.grad = grad


def topological(root: Value) -> list[Value]:
    """Every node of the graph of ``root``, parents before children, in order of creation."""
    with _ONE_AT_A_TIME:
        nodes, _, before = _collect(root)
        _restore(nodes, before)
    return nodes[::-1]


def contributions(node: Value, create_graph: bool = False) -> list[tuple[Value, Any]]:
    """What flows from a node to each of its parents: upstream gradient times local derivative."""
    op, parents, options = node.op, node.parents, node._more[1] if node._more else {}
    assert op is not None
    g, found = node.grad, []
    args = parents if create_graph else [p._data if p.__class__ is Value else p for p in parents]
    given = (g, node if create_graph else node._data, *args)
    for vjp, parent in zip(op.vjps, parents):
        if parent.__class__ is Value and vjp:
            try:
                d = g if vjp is same else vjp(*given, **options)
            except ArithmeticError:  # floats divided by 0: NumPy's have inf and nan
                d = vjp(*(np.float64(a) if a.__class__ is float else a for a in given), **options)
            except TypeError as error:
                raise TypeError(f"a VJP of {op.name}: {error}") from error
            found.append((parent, fit(d, parent._data, op)))
    return found


def _sweep(nodes: list[Value], create_graph: bool = False) -> None:
    """The chain rule: newest first, every node hands its parents their share of its gradient."""
    seen = _SEEN
    for node in nodes:
        op = node.op
        if op is None:
            continue
        x, y, more = node._x, node._y, node._more
        if not create_graph and (more is None or (y is None and not more[0])):
            # One or two arguments: most of a graph. Unrolled, because the general way below, which
            # does the same, takes three times as long.
            g, out = node.grad, node._data
            rules: Any = op.vjps
            a = x._data if (one := x.__class__ is Value) else x
            b = y._data if (two := y.__class__ is Value) else y
            try:
                if more is not None:
                    dx = rules[0](g, out, a, **more[1])
                elif y is None:
                    dx = rules[0](g, out, a)
                elif one:
                    dx = g if rules[0] is same else rules[0](g, out, a, b)
                if two:
                    dy = g if rules[1] is same else rules[1](g, out, a, b)
            except (ArithmeticError, TypeError):
                pass  # the general way knows what to do, or to say
            else:
                if one:
                    if not dx.__class__ is float is a.__class__:
                        dx = fit(dx, a, op)
                    x.grad = dx if x.grad is seen else x.grad + dx
                if two:
                    if not dy.__class__ is float is b.__class__:
                        dy = fit(dy, b, op)
                    y.grad = dy if y.grad is seen else y.grad + dy
                continue
        for parent, d in contributions(node, create_graph):
            parent.grad = d if parent.grad is seen else parent.grad + d


def gradients(root: Value, seed: Any, wrt: Sequence[Value]) -> list[Any]:
    """Gradients of ``root`` with respect to nodes, None where it does not depend on one.

    No ``.grad`` changes. Where the graph rests on any other leaf, the gradients do too: they are
    `Value`s then, which can be differentiated again.
    """
    with _ONE_AT_A_TIME:
        nodes, leaves, before = _collect(root)
        try:
            reached = set(nodes)
            root.grad = seed
            _sweep(nodes, not set(wrt).issuperset(leaves))
            return [node.grad if node in reached else None for node in wrt]
        finally:
            _restore(nodes, before)


def _owned(leaves: list[Value], nodes: list[Value]) -> None:
    """Let no two nodes hold one array: ``p.grad *= 0.5`` must change p's gradient alone."""
    held = [n.grad for n in nodes if n.grad.__class__ is np.ndarray] if leaves else []
    for leaf in leaves:
        if leaf.grad.base is not None or sum([leaf.grad is other for other in held]) > 1:
            leaf.grad = leaf.grad.copy()


def backward(self: Value, gradient: Any = None) -> None:
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
    seed = upstream(gradient, self._data, self.name or (self.op.name if self.op else "a leaf"))
    with _ONE_AT_A_TIME:
        nodes, leaves, before = _collect(self)
        try:
            self.grad = fit(seed, self._data, IDENTITY)
            _sweep(nodes)
            _owned([leaf for leaf in leaves if leaf.grad.__class__ is np.ndarray], nodes)
            for node, grad in before:
                if node.op is None and grad is not None:
                    node.grad = grad + node.grad
        except BaseException:
            _restore(nodes, before)
            raise


Value.backward = backward  # here, not in value.py, so that every import looks down
