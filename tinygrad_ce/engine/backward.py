"""The chain rule: order the graph, walk it in reverse, hand every parent its share, add up.

Gradients under way live in a dictionary of the pass; ``.grad`` is written once, at the end. So a
graph that is only read is not written to, and passes in several threads run beside each other.
"""

from __future__ import annotations

from _thread import allocate_lock
from collections.abc import Sequence
from operator import attrgetter
from sys import getrefcount
from typing import Any

import numpy as np

from .data import StaleGraphError, as_upstream, unbroadcast
from .text import _

_WRITING = allocate_lock()  # passes that share leaves add to them one after the other
Node = Any  # a `Value`: this is what its method `backward` is made of, so it comes before it


def topological(root: Node) -> list[Node]:
    """Every node of the graph of ``root``, parents before children, in order of creation."""
    return _newest_first(root)[::-1]


def _newest_first(root: Node) -> list[Node]:
    """Every node below ``root``; one is newer than its parents, or a parent was assigned since."""
    nodes, leaves, seen, kind = [root], [], {root}, root.__class__
    for node in nodes:  # which grows; x and y are written out, as most of a graph has no others
        if node.op is None:
            leaves.append(node.number)
            continue
        p = node.x
        if p.__class__ is kind and p not in seen:
            seen.add(p)
            nodes.append(p)
        p = node.y
        if p.__class__ is kind and p not in seen:
            seen.add(p)
            nodes.append(p)
        for p in node.rest:
            if p.__class__ is kind and p not in seen:
                seen.add(p)
                nodes.append(p)
    nodes.sort(key=attrgetter("number"), reverse=True)
    newest_leaf = max(leaves, default=-1)
    for node in reversed(nodes):
        if node.number > newest_leaf:
            break
        for p in node.parents:
            if p.__class__ is kind and p.number > node.number:
                text = (
                    "{leaf} of shape {shape} was assigned new data after {user} had used it: "
                    "compute the loss again"
                )
                leaf, user = p.name or "a leaf", node.name or node.op.name
                raise StaleGraphError(_(text, leaf=leaf, shape=p.shape, user=user))
    return nodes


def share(node: Node, k: int, g: Any, graph: bool = False) -> Any:
    """What argument k of a node receives: upstream gradient ``g`` times local derivative.

    Broadcasting is not undone yet. With ``graph`` the rule is given `Value`s, and returns one.
    """
    op: Any = node.op
    kind = node.__class__
    args = node.parents if graph else [a._data if a.__class__ is kind else a for a in node.parents]
    options = node.options if node.saved is None else {**node.options, "saved": node.saved}
    rule, out = op.vjps[k], node if graph else node._data
    try:
        return rule(g, out, *args, **options)
    except ArithmeticError:  # floats divided by 0: NumPy's have inf and nan
        wide = [np.float64(a) if a.__class__ is float else a for a in (g, out, *args)]
        return rule(*wide, **options)
    except TypeError as error:
        raise TypeError(f"a VJP of {op.name}: {error}") from error


def _gradients(root: Node, seed: Any, graph: bool = False) -> dict[Node, Any]:
    """The gradient of ``root`` with respect to every node below it."""
    nodes, kind = _newest_first(root), root.__class__
    gradients = dict.fromkeys(nodes)
    gradients[root] = seed
    for node in nodes:
        g, dx, dy = gradients[node], node.dx, node.dy
        if (dx is None is dy) or graph:
            for k, parent in enumerate(node.parents):
                if parent.__class__ is kind and node.op.vjps[k]:
                    d = unbroadcast(share(node, k, g, graph), parent._data, node.op)
                    before = gradients[parent]
                    gradients[parent] = d if before is None else before + d
            continue
        if dx is not None:  # floats: the local derivatives were stored when the node was made
            before = gradients[node.x]
            gradients[node.x] = g * dx if before is None else before + g * dx
        if dy is not None:
            before = gradients[node.y]
            gradients[node.y] = g * dy if before is None else before + g * dy
    return gradients


def gradients(root: Node, seed: Any, wrt: Sequence[Node], graph: bool = False) -> list[Any]:
    """Gradients of ``root`` with respect to nodes, None where it does not depend on one.

    No ``.grad`` changes. With ``graph``, or where the graph rests on any other leaf, the gradients
    are `Value`s, which can be differentiated again.
    """
    graph = graph or any(n.op is None and n not in {*wrt} for n in _newest_first(root))
    found = _gradients(root, seed, graph)
    return [found.get(node) for node in wrt]


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
    name = self.name or (self.op.name if self.op else "a leaf")
    found = _gradients(self, as_upstream(gradient, self._data, name))
    with _WRITING:
        while found:  # oldest first
            node, g = found.popitem()
            passes, leaf = 0, node.op is None
            if leaf and node.grad is not None and np.any(node.grad):  # 0 by hand: it starts anew
                g, passes = node.grad + g, node._passes
            elif leaf and g.__class__ is np.ndarray:
                # ``p.grad *= 0.5`` must change p's gradient alone: 2 references are ours.
                g = g.copy() if g.base is not None or getrefcount(g) > 2 else g
            # 0-d arrays add up to a scalar of NumPy.
            node.grad = np.asarray(g) if node._data.__class__ is np.ndarray else g
            node._passes = passes + 1
