"""The chain rule through a loss in a draw, and what it gives with one of its steps changed."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from ...engine.backward import gradients, share
from ...engine.data import unbroadcast
from ...engine.language import Sentence, Words
from ...engine.value import Value
from .changes import ACTIVATIONS, Graph
from .problem import Arrays, Trial

Make = Callable[[], Arrays]
Mistakes = Iterator[tuple[str, Make]]


class Backward:
    """The gradient of the loss in a draw, and what it is with a step of the chain rule changed."""

    def __init__(self, t: Trial, loss: Graph) -> None:
        self.t, self.loss, self.right, self.called = t, loss, t.right, loss.called
        self.wrt = [loss.leaves[name] for name in t.problem.wrt]
        self.leaves = [*self.wrt, *(x for x in loss.leaves.values() if x not in {*self.wrt})]
        every = gradients(loss.nodes[-1], 1.0, [*loss.nodes, *self.leaves])
        self.received = dict(zip(loss.nodes, every))
        self.first = {loss.nodes[-1]: 1.0}  # what arrived first, with nothing added
        ends, self.moving = list[Any](), {*self.wrt}  # and what is computed from them
        for node in loss.nodes:
            mine = [(node, k, p) for k, p in enumerate(node.parents) if p.__class__ is Value]
            mine = [(n, k, p) for n, k, p in mine if p in self.moving and k not in n.op.constants]
            self.moving |= {node} if mine else set()
            ends = mine + ends
        for node, k, x in ends:
            self.first.setdefault(x, self._handed(node, k, x, self.first[node]))
        # At the inputs first, then near the loss: of a chain these say most.
        self.ends = sorted(ends, key=lambda end: end[2].op is not None)

    def _arriving(self, node: Any, upstream: Any) -> Arrays:
        """What comes to each part of the answer, of an upstream gradient at a node."""
        found = gradients(node, upstream, self.leaves)
        return {name: 0.0 if g is None else g for name, g in zip(self.right, found)}

    def _instead(self, node: Any, wrong: Any, right: Any) -> Arrays:
        """The answer, had another upstream gradient come to a node."""
        more = self._arriving(node, wrong - right)
        return {name: g + more[name] for name, g in self.right.items()}

    def _handed(self, node: Any, k: int, x: Any, upstream: Any) -> Any:
        """What a node hands its argument x."""
        return unbroadcast(share(node, k, upstream), x.data, node.op)

    def _of(self, node: Any, make: Callable[[], Any], z: Any = None, p: Any = None) -> Arrays:
        """The gradients of a loss with something else in the place of a step.

        Or only of what arrives at z over the numerator of its softmax p: the sum of a target that
        is another is 1 all the same.
        """
        (out,) = self.loss.rerun(node, make(), plain=False)
        if z is None:
            return dict(zip(self.right, gradients(out, 1.0, self.leaves)))
        wrong = gradients(out, 1.0, [p, *self.leaves])[0]
        return self._instead(z, p.data * wrong, p.data * self.received[p])

    def mistakes(self, factors: Mapping[str, float]) -> Mistakes:
        """What the chain rule gives with one step changed, and what that is called."""
        yield from self._slopes_of_activations()
        yield from self._products()
        yield from self._paths(factors)
        for change, node, make in self.loss.changes():
            text = Sentence("{change}: which of the two does the loss have?", change=change)
            yield text, partial(self._of, node, make)
            for z, p, name in self.loss.activations if node.op else ():
                if name == "softmax" and node not in self.moving:
                    yield text, partial(self._of, node, make, z, p)
        for z, node, name in self.loss.activations:
            for other, wrong in ACTIVATIONS.get(name, {}).items():
                yield other, partial(self._of, node, partial(wrong, z))
        yield from self._places()
        text = Sentence("overwritten where paths meet: what arrives over each of them adds up")
        yield text, lambda: {name: self.first[x] for name, x in zip(self.right, self.wrt)}

    def too_early(self) -> Mistakes:
        """What the chain rule gives where it stops too early."""
        for node in self.loss.nodes:
            ends = {
                "{node} itself: how fast does it change?": node.data,
                "stopped at {node}: what comes before it?": self.received[node],
            }
            for text, wrong in ends.items() if node.op else ():
                made = partial(dict.fromkeys, self.right, wrong)
                yield Sentence(text, node=self.called[node]), made

    def _places(self) -> Mistakes:
        """Answers with slopes taken elsewhere, or with a term of one input for another as well."""
        for node, _k, x in self.ends:
            if node.shape == x.shape and node is not self.loss.nodes[-1]:
                text = "slopes taken at {x}: what follows has them at {node}"
                called = {"x": self.called[x], "node": self.called[node]}
                there = partial(_moved, node, x.data)
                yield Sentence(text, **called), partial(self._of, node, there)
        for term in (p for p in self.loss.nodes[-1].parents if p.__class__ is Value):
            own = [x for x in Graph([term], self.t).nodes if x in {*self.wrt}]
            for other in {*self.wrt} - {*own} if len(own) == 1 else ():
                called = {"x": other.name, "term": self.called[term]}
                text = Sentence("{x} in {term} as well: is it there?", **called)
                yield text, partial(self._also, term, own[0], other)

    def _also(self, term: Any, x: Any, other: Any) -> Arrays:
        (more,) = Graph([term], self.t).rerun(x, other, plain=False)
        return self._of(term, partial(_moved, term + more, term.data))

    def _slopes_of_activations(self) -> Mistakes:
        """Answers with another slope of the softmax or the sigmoid."""
        for z, node, name in self.loss.activations:
            g, arrives = self.received[node], self.received[z]
            if g is None or arrives is None or name == "logsumexp":
                continue
            own = node.data * (1.0 - node.data)
            for text, wrong in {
                "only the diagonal of the Jacobian of {p}: each p has a slope by every z": g * own,
                "the slope of {p} by its own z, alone: what arrives there from above?": own,
                "the slope of {p} left out: how fast does it change?": g,
            }.items():
                yield Sentence(text, p=self.called[node]), partial(self._instead, z, wrong, arrives)

    def _paths(self, factors: Mapping[str, float]) -> Mistakes:
        """Answers where what arrives over an edge of the graph is something else."""
        edges = [(n, k, x, self._handed(n, k, x, self.received[n])) for n, k, x in self.ends]
        for text, factor in factors.items():
            for node, _k, x, handed in edges:
                called = {"x": self.called[x], "node": self.called[node]}
                where = Sentence(" between {x} and {node}", **called)
                placed = Sentence("{text:name}{where}: {text:look}", text=Words(text), where=where)
                yield placed, partial(self._instead, x, factor * handed, handed)
        for node, k, x, handed in edges:
            called, g = {"node": self.called[node], "x": self.called[x]}, self.received[node]
            instead = partial(self._instead, x, right=handed)
            if node.shape == x.shape:
                text = "the slope of {node} by {x} left out: how fast does it change?"
                yield Sentence(text, **called), partial(instead, g)
                text = "the slope of {node} by {x} taken twice: where is it already?"
                yield Sentence(text, **called), partial(instead, self._handed(node, k, x, handed))
                text = "{node} in place of its slope by {x}: how fast does it change?"
                yield Sentence(text, **called), partial(instead, g * node.data)

    def _products(self) -> Mistakes:
        """Answers by a wrong rule for a product or a fraction."""
        for node in self.loss.nodes:
            parts = {k: x for n, k, x in self.ends if n is node}
            f, g = node.op.function if parts else None, self.received[node]
            if f is np.divide and 1 in parts:
                text = "the denominator of {node} not squared: what stands below?"
                for x, wrong in ((node, g), (parts[1], self._handed(node, 1, parts[1], g))):
                    instead = partial(self._instead, x, wrong * parts[1].data, wrong)
                    yield Sentence(text, node=self.called[node]), instead
            if len(parts) == 2 and f in (np.multiply, np.divide):
                text = "derivatives divided: a fraction has another rule"
                if f is np.multiply:
                    text = "derivatives multiplied: a product has another rule"
                yield Sentence(text), partial(self._joined, node)

    def _joined(self, node: Any) -> Arrays:
        """The slopes of two arguments, joined as these are."""
        ones = np.ones(node.shape)
        one, other = map(self._arriving, node.parents, (self.received[node] * ones, ones))
        return {name: node.op.function(g, other[name]) for name, g in one.items()}


def _moved(node: Any, data: Any) -> Any:
    """A node that has other numbers, and hands on what arrives."""
    return node + (data - node.data)
