"""The chain rule through a loss in a draw, what is usually done wrong in it, and its name.

A step that has a wrong slope is another step: one of the same numbers that hands back something
else. So the loss is computed anew with that one in its place, and differentiated.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from ...engine.backward import gradients, share
from ...engine.language import Sentence, Words
from ...engine.value import Value, detach
from ...losses.activations import MISTAKEN
from .changes import UNKNOWN, Graph, Steps, Way, again, each_time, filled, with_argument
from .problem import Arrays, Trial

Make = Callable[[], Arrays]
Mistakes = Iterator[tuple[str, Make]]


class Backward:
    """The gradient of the loss in a draw, and what it is with a step of the chain rule changed."""

    def __init__(self, t: Trial, loss: Graph) -> None:
        self.t, self.loss, self.right = t, loss, t.right
        self.wrt = [loss.leaves[name] for name in t.problem.wrt]
        self.leaves = [*self.wrt, *(x for x in loss.leaves.values() if x not in {*self.wrt})]
        every = gradients(loss.nodes[-1], 1.0, [*loss.nodes, *self.leaves])
        self.received = dict(zip(loss.nodes, every))
        ends, moving = list[Any](), {*self.wrt}
        for node in loss.nodes:
            mine = [(node, k, p) for k, p in enumerate(node.parents) if p.__class__ is Value]
            mine = [(n, k, p) for n, k, p in mine if p in moving and k not in n.op.constants]
            moving |= {node} if mine else set()
            ends = mine + ends
        self.moving = dict.fromkeys(x for x in loss.nodes if x in moving)  # what they are in
        # At the inputs first, then near the loss: of a chain these say most.
        called = loss.called
        told = [(n, k, x, {"node": called[n], "x": called[x]}) for n, k, x in ends]
        told = [end for end in told if called[end[0]] != called[end[2]]]
        self.ends = sorted(told, key=lambda end: end[2].op is not None)

    def back(self, node: Any, upstream: Any, *to: Any) -> Any:
        """What comes to steps before it, and to the inputs, of an upstream gradient at a node."""
        return gradients(node, upstream, [*to, *self.leaves])

    def instead(self, node: Any, wrong: Any, right: Any) -> Arrays:
        """The answer, had another upstream gradient come to a node."""
        more = zip(self.right.items(), self.back(node, wrong - right))
        return {name: g if m is None else g + m for (name, g), m in more}

    def of(self, steps: Steps, z: Any = None, p: Any = None) -> Arrays:
        """The gradients of a loss with other steps.

        Or only of what arrives at z over the numerator of its softmax p: the sum of a target that
        is another is 1 all the same.
        """
        (out,) = self.loss.rerun(steps, plain=False)
        if z is None:
            return dict(zip(self.right, self.back(out, 1.0)))
        wrong = self.back(out, 1.0, p)[0]
        return self.instead(z, p.data * wrong, p.data * self.received[p])

    def differentiated(self, node: Any, k: int, x: Any) -> Arrays:
        """The answer, with what a node hands a constant added to that of an input."""
        more = np.broadcast_to(share(node, k, self.received[node]), x.shape)
        return {n: g + more * (x is y) for (n, g), y in zip(self.right.items(), self.wrt)}

    def joined(self, node: Any, x: Any) -> Arrays:
        """The slopes of two arguments, by what both are computed from, joined as these are."""
        ones, (a, b) = np.ones(node.shape), node.parents
        g = self.received[node] * ones
        wrong = node.op.function(self.back(a, g, x)[0], self.back(b, ones, x)[0])
        if np.allclose(wrong, 0.0):  # a path is forgotten
            raise ValueError
        return self.instead(x, wrong, self.back(node, g, x)[0])

    def also(self, term: Any, x: Any, other: Any) -> Arrays:
        """The answer with a term of one input for another as well."""
        (more,) = Graph([term], self.t).rerun({x: lambda: other}, plain=False)
        return self.of({term: lambda *args: again(term, *args) + more - more.data})


def of_chain_rule(chain: Backward, factors: Mapping[str, float]) -> Mistakes:
    """What the chain rule gives with one step changed, and what that is called."""
    loss = chain.loss
    yield from _of(chain, _products(chain))
    yield from _slopes_of_activations(chain)
    yield from _of(chain, _paths(chain, factors))
    yield from _joined(chain)
    yield from _of(chain, _slopes(chain))
    for text, steps in each_time(loss.ways("which of the two does the loss have?")):
        yield text, partial(chain.of, steps)
        for z, p, name in loss.activations:
            if name == "softmax" and all(n.op and n not in chain.moving for n in steps):
                yield text, partial(chain.of, steps, z, p)
    for z, node, name in loss.activations:
        for other, wrong in MISTAKEN.get(name, {}).items():
            yield other, partial(chain.of, {node: lambda *_args, f=wrong, z=z: f(z)})
    yield from _places(chain)
    yield from _further(chain)


def too_early(chain: Backward) -> Mistakes:
    """What the chain rule gives where it stops too early."""
    for node in (node for node in chain.loss.nodes if node.op):
        for text, wrong in {
            "{node} itself: how fast does it change?": node.data,
            "stopped at {node}: what comes before it?": chain.received[node],
        }.items():
            made = partial(dict.fromkeys, chain.right, wrong)
            yield Sentence(text, node=chain.loss.called[node]), made


def more_factors(chain: Backward) -> Mistakes:
    """What it gives with a factor that is there already, or without one."""
    yield from _of(chain, _factors(chain))
    for node in chain.loss.nodes:
        for y, name in zip(node.parents, chain.loss.reads(node)):
            for text, by in (
                {
                    "{y} once too often: where is it already?": detach(y),
                    "{y} once too often below: where is it already?": np.divide(1.0, detach(y)),
                }.items()
                if np.ndim(y) == 0
                else ()
            ):
                made = {name: by * g for name, g in chain.right.items()}
                yield Sentence(text, y=name), partial(dict, made)


def _of(chain: Backward, ways: Iterator[Way]) -> Mistakes:
    return ((text, partial(chain.of, steps)) for text, steps in each_time(ways))


def _way(text: str, step: Any, f: Callable[..., Any], kind: Any = None, /, **called: str) -> Way:
    return (text, step.op, kind), Sentence(text, **called), step, f


def _paths(chain: Backward, factors: Mapping[str, float]) -> Iterator[Way]:
    """Steps that hand an argument so many times what is right."""
    for (text, factor), (node, k, _x, called) in product(factors.items(), chain.ends):
        where = Sentence(" between {x} and {node}", **called)
        placed = Sentence("{text:name}{where}: {text:look}", text=Words(text), where=where)
        yield (text, node.op, k), placed, node, partial(_scaled, node, k, factor)


def _slopes(chain: Backward) -> Iterator[Way]:
    """Steps that have another slope."""
    for node, k, x, called in (end for end in chain.ends if end[0].shape == end[2].shape):
        once = share(node, k, np.ones(node.shape))
        slopes = {
            "the slope of {node} by {x} left out: how fast does it change?": 1.0,
            "the slope of {node} by {x} taken twice: where is it already?": share(node, k, once),
            "{node} in place of its slope by {x}: how fast does it change?": node.data,
        }
        for text, slope in slopes.items():
            yield _way(text, node, partial(_sloped, node, k, slope), k, **called)
        for wrong, f in node.op.slips if not k else ():
            text = "{wrong} in place of the slope of {node} by {x}: how fast does it change?"
            reads = filled(wrong, [called["x"]])
            f = partial(_sloped, node, k, f(x.data))
            yield _way(text, node, f, wrong, wrong=reads, **called)
        if len(node.parents) == 1:
            text = "the slope of {node} by {x} taken at {node}: where is it wanted?"
            slope = share(node.op(Value(node.data), **node.options), 0, np.ones(node.shape))
            yield _way(text, node, partial(_sloped, node, k, slope), k, **called)


def _factors(chain: Backward) -> Iterator[Way]:
    """Steps that have a factor in a slope which is there already, or is not."""
    for node, k, x, called in chain.ends:
        every = dict(zip(chain.loss.reads(node), node.parents)) | {called["node"]: node}
        for name, by in (
            (name, detach(y)) for name, y in every.items() if name not in (UNKNOWN, "1")
        ):
            for text, factor in {
                "{y} once too often in the slope of {node} by {x}: which factors has it?": by,
                "{y} missing in the slope of {node} by {x}, or below it: which factors has it?":
                    np.divide(1.0, by),
            }.items():  # fmt: skip
                yield _way(text, node, partial(_scaled, node, k, factor), k, y=name, **called)
        if x.op:
            text = "{node} once too often in what arrives at {x}: which factors has that?"
            yield _way(text, x, partial(_scaled, x, None, node.data), **called)


def _places(chain: Backward) -> Mistakes:
    """Answers with slopes taken elsewhere, or with a term of one input for another as well."""
    loss = chain.loss
    for node, _k, x, called in chain.ends:
        if node.shape == x.shape and node is not loss.nodes[-1]:
            text = "slopes taken at {x}: what follows has them at {node}"
            yield Sentence(text, **called), partial(chain.of, {node: partial(_moved, node, x.data)})
    for term in (p for p in loss.nodes[-1].parents if p.__class__ is Value):
        own = [x for x in Graph([term], chain.t).nodes if x in {*chain.wrt}]
        for other in (x for x in chain.wrt if len(own) == 1 and x is not own[0]):
            text = Sentence(
                "{x} in {term} as well: is it there?", x=other.name, term=loss.called[term]
            )
            yield text, partial(chain.also, term, own[0], other)


def _further(chain: Backward) -> Mistakes:
    """Answers where a constant is taken for a variable; or a step back skips several."""
    loss, received = chain.loss, chain.received
    for node in (n for n in loss.nodes if received[n] is not None):
        for k, (c, name) in enumerate(zip(node.parents, loss.reads(node))):
            if k not in node.op.constants and not (c.__class__ is Value and c in chain.moving):
                text = Sentence("{c} differentiated as well: is it a variable?", c=name)
                for x in chain.wrt:
                    yield text, partial(chain.differentiated, node, k, x)
    named = [x for x in chain.moving if x.op and x in loss.known and received[x] is not None]
    for x, node in product(named, chain.moving):
        if x.number < node.number and x.shape == node.shape:
            called = {"node": loss.called[node], "x": loss.called[x]}
            left = Sentence(
                "the slope of {node} by {x} left out: how fast does it change?", **called
            )
            yield left, partial(chain.instead, x, received[node], received[x])


def _slopes_of_activations(chain: Backward) -> Mistakes:
    """Answers with another slope of the softmax or the sigmoid."""
    for z, node, name in chain.loss.activations:
        if (g := chain.received[node]) is None or name == "logsumexp":
            continue
        p, arrives = node.data, chain.back(node, g, z)[0]
        own = p * (1.0 - p)
        slopes = {
            "only the diagonal of the Jacobian of {p}: each p has a slope by every z": g * own,
            "the slope of {p} by its own z, alone: what arrives there from above?": own,
            "the slope of {p} left out: how fast does it change?": g,
        }
        if name == "sigmoid":
            slopes |= {
                "{p} itself: how fast does it change?": g * p,
                "1 - {p} in place of the slope of {p}: is that all?": g * (1.0 - p),
                "1 - {p} ** 2 in place of the slope of {p}: what has it?": g * (1.0 - p * p),
            }
        for text, wrong in slopes.items():
            named = Sentence(text, p=chain.loss.called[node])
            yield named, partial(chain.instead, z, wrong, arrives)


def _products(chain: Backward) -> Iterator[Way]:
    """Products and fractions by a wrong rule."""
    for node in chain.loss.nodes:
        parts, called = [k for n, k, *_rest in chain.ends if n is node], chain.loss.called[node]
        if 1 in parts and node.op.function is np.divide:
            text = "the denominator of {node} not squared: what stands below?"
            for k in (None, 1):
                f = partial(_scaled, node, k, detach(node.parents[1]))
                yield _way(text, node, f, k, node=called)
        if len(parts) == 2 and node.op.function is np.multiply:
            text = "the slopes of {node} exchanged: by one factor it is the other"
            yield _way(text, node, _exchanged, node=called)


def _joined(chain: Backward) -> Mistakes:
    """Answers with the slopes of two arguments joined as these are."""
    rules = {
        np.multiply: Sentence("derivatives multiplied: a product has another rule"),
        np.divide: Sentence("derivatives divided: a fraction has another rule"),
    }
    for node, x in product(chain.moving, chain.moving):
        before = x.number < node.number and (x.shape == node.shape or not x.op)
        if before and node.op and node.op.function in rules:
            yield rules[node.op.function], partial(chain.joined, node, x)


def _moved(node: Any, data: Any, *args: Any) -> Any:
    """A step that has other numbers, and hands on what arrives."""
    return again(node, *args) + (data - node.data)


def _scaled(node: Any, k: int | None, by: Any, *args: Any) -> Any:
    """A step that hands its argument k, or all of them, so many times what is right."""
    if k is None:
        out = again(node, *args)
        return detach(out) + by * (out - detach(out))
    x = detach(args[k])
    part = x + np.broadcast_to(by, np.shape(x)) * (args[k] - x)
    return with_argument(node, k, part, args)


def _sloped(node: Any, k: int, slope: Any, *args: Any) -> Any:
    """A step that has another slope by its argument k."""
    x = detach(args[k])
    return with_argument(node, k, x, args) + slope * (args[k] - x)


def _exchanged(x: Any, y: Any) -> Any:
    """A product that hands each factor what is the other's."""
    return detach(x) * detach(y) + detach(x) * (x - detach(x)) + detach(y) * (y - detach(y))
