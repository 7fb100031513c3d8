"""Order the graph, sweep it in reverse, accumulate."""

from __future__ import annotations

from _thread import RLock
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import numpy as np

from .data import empty, fit, own, stale, upstream
from .ops import IDENTITY, WHERE
from .rules import by_x, by_y, same
from .value import Value, detach

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
        if p.__class__ is Value and (grad := p.grad) is not seen:
            if grad is not None:
                before.append((p, grad))
            p.grad = seen
            found(p)
        p = node._y
        if p.__class__ is Value and (grad := p.grad) is not seen:
            if grad is not None:
                before.append((p, grad))
            p.grad = seen
            found(p)
        if node._more is not None:
            for p in node._more[0]:
                if p.__class__ is Value and p.grad is not seen:
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
                stale(p, node)
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
    op, parents, g = node.op, node.parents, node.grad
    assert op is not None
    options = node._more[1] if node._more else {}
    given = [g, node, *parents] if create_graph else [g, node._data, *map(detach, parents)]
    found = []
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
        op: Any = node.op
        if op is None:
            continue
        if not create_graph:
            # Written out: one or two arguments, most of a graph, and a scalar relu (where on one
            # bool), most of the rest. The general way below does the same in three times as long.
            x, y, more = node._x, node._y, node._more
            g, out = node.grad, node._data
            try:
                if more is None and x.__class__ is Value is y.__class__:
                    a, b = x._data, y._data
                    left, right = op.vjps
                    d = g if left is same else g * b if left is by_y else left(g, out, a, b)
                    e = g if right is same else g * a if right is by_x else right(g, out, a, b)
                    if not d.__class__ is float is a.__class__:
                        d = fit(d, a, op)
                    if not e.__class__ is float is b.__class__:
                        e = fit(e, b, op)
                    x.grad = d if x.grad is seen else x.grad + d
                    y.grad = e if y.grad is seen else y.grad + e
                    continue
                if more is None and y.__class__ is Value:
                    p, d = y, op.vjps[1](g, out, x, y._data)
                elif y is None and x.__class__ is Value:
                    p, rule = x, op.vjps[0]
                    d = rule(g, out, x._data, **more[1]) if more else rule(g, out, x._data)
                elif more is None and x.__class__ is Value:
                    p, d = x, op.vjps[0](g, out, x._data, y)
                elif op is WHERE and x.__class__ is bool and y.__class__ is float:
                    p, d = more[0][0], (0.0 if x else g)
                else:
                    p = None
                if p is not None:
                    if not d.__class__ is float is p._data.__class__:
                        d = fit(d, p._data, op)
                    p.grad = d if p.grad is seen else p.grad + d
                    continue
            except (ArithmeticError, TypeError, ValueError):
                pass  # the general way knows what to do, or to say
        for parent, d in contributions(node, create_graph):
            parent.grad = d if parent.grad is seen else parent.grad + d


def gradients(root: Value, seed: Any, wrt: Sequence[Value], graph: bool = False) -> list[Any]:
    """Gradients of ``root`` with respect to nodes, None where it does not depend on one.

    No ``.grad`` changes. With ``graph``, or where the graph rests on any other leaf, the gradients
    are `Value`s, which can be differentiated again.
    """
    with _ONE_AT_A_TIME:
        nodes, leaves, before = _collect(root)
        try:
            reached = set(nodes)
            root.grad = seed
            _sweep(nodes, graph or not set(wrt).issuperset(leaves))
            return [node.grad if node in reached else None for node in wrt]
        finally:
            _restore(nodes, before)


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
            held = dict(before)
            for leaf in leaves:
                grad = held.get(leaf)
                leaf._more = 1 if empty(grad) else (leaf._more or 1) + 1
                leaf.grad = own(leaf, grad)
        except BaseException:
            _restore(nodes, before)
            raise


Value.backward = backward  # here, not in value.py, so that every import looks down
