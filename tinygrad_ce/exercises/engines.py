"""What an engine is tried on that a learner writes: small graphs of numbers, drawn at random.

A graph is an array of values, one a leaf, and an array of steps: each an operation and the two
nodes that it is of. The engine gets it as objects that know their parents and slopes.
"""

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from inspect import getsourcelines
from textwrap import dedent
from typing import Any

import numpy as np

from ..engine.backward import topological
from ..engine.text import _, require
from ..engine.value import Value
from ..views.drawing import draw
from .framework.calling import Trouble
from .framework.exercise import Exercise
from .framework.inputs import Drawing

SIGNS = "+", "−", "·"
OPERATIONS = operator.add, operator.sub, operator.mul
SLOPES: Any = (lambda x, y: (1.0, 1.0), lambda x, y: (1.0, -1.0), lambda x, y: (y, x))
LETTERS = "abcdefghijklmnopqrstuvwxyz"
DEEP = 3_000  # nodes, more than Python's stack has room for


class Node:
    """A number of a graph: what it is computed from, and its slopes by these."""

    def __init__(self, data: float, parents: Sequence["Node"] = (), slopes: Any = ()) -> None:
        self.data, self.parents, self.slopes, self.grad = data, parents, slopes, 0.0


Backward = Callable[[Node], None]
Order = Callable[[Node], Sequence[Node]]


def leaves(d: Drawing) -> Any:
    """Whole numbers, no two the same."""
    return d.rng.permutation(np.arange(1.0, 8.0))[: d.shape(("N",))[0]]


def steps(d: Drawing) -> Any:
    """Steps over as many leaves as N says, each of two nodes before it, the last among them."""
    (n,), rows = d.shape(("N",)), list[list[int]]()
    ends = [*range(n)]  # what no step is of yet
    while len(ends) > 1 or len(rows) < 2 + d.room:
        k = n + len(rows)
        kinds = 2 if sum(op == 2 for op, *_pair in rows) > 3 else 3  # products grow large
        last = int(d.rng.choice(ends))
        joined = len(rows) > 2 + d.room and len(ends) > 1  # the rest comes together
        other = int(d.rng.choice([e for e in ends if e != last] if joined else k))
        op = int(d.rng.integers(kinds)) if last != other else 2 * (kinds == 3)  # x − x is 0
        rows.append([op, last, other])
        ends = [e for e in (*ends, k) if e not in (last, other)]
    return np.array(rows)


def value(values: Any, steps: Any) -> Any:
    """The last node of a graph, of numbers, `Value`s or `Node`s."""
    nodes = [*values]
    for op, i, j in np.asarray(steps):
        x, y = nodes[i], nodes[j]
        if isinstance(x, Node):
            data = OPERATIONS[op](x.data, y.data)
            nodes.append(Node(data, (x, y), SLOPES[op](x.data, y.data)))
        else:
            nodes.append(OPERATIONS[op](x, y))
    return nodes[-1]


def on_graphs(backward: Backward, deep: bool = True) -> Callable[[Any, Any], Any]:
    """The gradient of the leaves by a ``backward(loss)``: the mean of two passes over one graph.

    A learner's has to go through a ``deep`` graph, too.
    """
    depths = iter([DEEP] * deep)  # once is enough

    def gradient(values: Any, steps: Any) -> Any:
        if depth := next(depths, 0):
            node = Node(1.0)
            for _step in range(depth):
                node = Node(node.data, (node,), (1.0,))
            try:
                backward(node)
            except RecursionError:
                text = "{n} nodes in a row are too many for a function that calls itself: keep a "
                text += "list of what is to do"
                raise Trouble(_(text, n=depth)) from None
        leaves = [Node(float(x)) for x in values]
        loss = value(leaves, steps)
        backward(loss)
        backward(loss)
        for leaf in leaves:
            text = "the .grad of a leaf is {got}, wanted a number"
            fits = np.asarray(leaf.grad).dtype.kind in "fiu"
            require(fits, text, Trouble, got=type(leaf.grad).__name__)
        return np.array([leaf.grad / 2.0 for leaf in leaves])

    return gradient


def in_order(order: Order) -> Callable[[Any, Any], Any]:
    """The gradient by a right engine that takes the nodes as an ``order(loss)`` has them."""

    def nodes(loss: Node) -> Sequence[Node]:
        wanted, found = parents_first(loss), order(loss)
        known = {*map(id, wanted)}
        text = "your function returns {got}, wanted a list of nodes"
        require(isinstance(found, Iterable), text, Trouble, got=type(found).__name__)
        found = [*found]
        strange = [x for x in found if id(x) not in known]
        text = "there is a {got} in your list that is no node of the graph"
        require(not strange, text, Trouble, got=strange and type(strange[0]).__name__)
        n = len({*wanted[:-1]} - {*found})
        text = "your list lacks {n} of the nodes that the loss is computed from"
        require(n == 0, text, Trouble, n=n)
        return found

    return on_graphs(engine(nodes))


def parents_first(loss: Any) -> Any:
    """All nodes, each after its parents."""
    nodes, seen, stack = [], set(), [(loss, False)]
    while stack:
        node, done = stack.pop()
        if done:
            nodes.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack += [(parent, False) for parent in node.parents]
    return nodes


# The lines of a solution that put the nodes in order.
ORDER = dedent("".join(getsourcelines(parents_first)[0][2:-1]))


def as_reached(loss: Node) -> list[Node]:
    """A wrong order: by the number of steps from the loss."""
    nodes = [loss]
    for node in nodes:
        nodes += [p for p in dict.fromkeys(node.parents) if p not in nodes]
    return nodes[::-1]


def on_the_way_down(loss: Node) -> list[Node]:
    """A wrong order: depth first, a node noted before its parents."""
    nodes, stack = dict[Node, None](), [loss]
    while stack:
        node = stack.pop()
        stack += [p for p in node.parents[::-1] if p not in nodes and node not in nodes]
        nodes[node] = None
    return [*nodes][::-1]


def each_time(loss: Node) -> list[Node]:
    """A wrong order: a node as often as it is reached."""
    return [*(node for p in loss.parents for node in each_time(p)), loss]


def engine(
    order: Order = parents_first,
    adds: bool = True,
    clears: Callable[[Node], bool] = lambda node: bool(node.parents),
    twice: bool = True,
    seed: float = 1.0,
    sets: bool = False,
) -> Backward:
    """A ``backward(loss)``, right unless told otherwise.

    ``adds`` shares up, ``clears`` which nodes first, hands a parent that stands ``twice`` both,
    and adds the ``seed`` to the gradient of the loss, or ``sets`` that.
    """

    def backward(loss: Node) -> None:
        nodes = [*order(loss)]
        for node in nodes:
            node.grad = 0.0 if clears(node) else node.grad
        loss.grad = seed + (0.0 if sets else loss.grad)
        for node in reversed(nodes):
            pairs = [*zip(node.parents, node.slopes)]
            for parent, slope in pairs if twice else dict(pairs).items():
                parent.grad = slope * node.grad + (parent.grad if adds else 0.0)

    return backward


def again(loss: Node) -> None:
    """A wrong ``backward``: what a node has got so far it hands on with every share."""
    loss.grad = 1.0
    stack = [loss]
    while stack:
        node = stack.pop()
        for parent, slope in zip(node.parents, node.slopes):
            parent.grad += slope * node.grad
            stack.append(parent)


def backwards(order: Order) -> Order:
    """An order, the last first."""
    return lambda loss: order(loss)[::-1]


ORDERS = {
    "a node before one of its parents: it may be reached by a shorter path as well": as_reached,
    "a node noted on the way down: it comes after all of its parents": on_the_way_down,
    "a node twice: which have you seen?": each_time,
    "the loss first: each node comes after its parents": backwards(parents_first),
    "the loss forgotten: it is computed from itself, too": lambda loss: parents_first(loss)[:-1],
}
BACKWARDS = {
    "shares overwritten: where paths meet, they add up": engine(adds=False),
    "handed on too early: is all that a node receives there?": engine(as_reached),
    "handed on too early, depth first: is all that a node receives there?": engine(on_the_way_down),
    "handed on again with every share: wait until all are there": again,
    "gradients of a pass before: which nodes start anew?": engine(clears=lambda node: False),
    "gradients of a pass before: which nodes start anew, beside the loss?": engine(
        clears=lambda node: False, sets=True
    ),
    "leaves cleared: they add up over passes": engine(clears=lambda node: True),
    "a parent that stands twice counted once: x · x has two edges to x": engine(twice=False),
    "started from 0: how fast does the loss change by itself?": engine(seed=0.0),
    "from the leaves to the loss: which gradient is known first?": engine(backwards(parents_first)),
}


@dataclass(eq=False, repr=False, kw_only=True)
class EngineExercise(Exercise):
    """An exercise whose function, which ``asks`` for nodes, is tried on graphs."""

    loss: Callable[..., Any] = value
    inputs: Mapping[str, Any] = field(default_factory=lambda: {"values": leaves, "steps": steps})
    wrt: Sequence[str] = ("values",)

    def told(self, inputs: Any) -> list[str]:
        """A graph in letters: ``c = a · b = 6``."""
        nodes = [float(x) for x in inputs["values"]]
        lines = [f"{LETTERS[k]} = {x:.4g}" for k, x in enumerate(nodes)]
        for k, (op, i, j) in enumerate(inputs["steps"], len(nodes)):
            nodes.append(OPERATIONS[op](nodes[i], nodes[j]))
            formula = f"{LETTERS[i]} {SIGNS[op]} {LETTERS[j]}"
            lines.append(f"{LETTERS[k]} = {formula} = {nodes[k]:.4g}")
        return lines

    def picture(self, inputs: Any) -> str:
        """The graph with the gradients that are right, where there is a Graphviz."""
        loss = value([Value(float(x)) for x in inputs["values"]], inputs["steps"])
        for letter, node in zip(LETTERS, topological(loss)):
            node.name = letter
        loss.backward()
        with suppress(ImportError, RuntimeError):
            return re.sub(r' xmlns(:\w+)?="[^"]*"', "", draw(loss, gradients="edges").svg)
        return ""

    def try_it(self, seed: int | None = None, large: bool = False) -> Any:
        """The loss of a graph as a check draws it: ``backward(ex.try_it())``."""
        drawn = super().try_it(seed, large)
        return value([Node(float(x)) for x in drawn.values], drawn.steps)
