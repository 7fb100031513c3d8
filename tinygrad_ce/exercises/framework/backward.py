"""The chain rule through a loss in a draw, what is usually done wrong in it, and its name.

A step that has a wrong slope is another step: one of the same numbers that hands back something
else. So the loss is computed anew with that one in its place, and differentiated.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, partial
from itertools import permutations, product
from typing import Any

import numpy as np

from ...engine.backward import gradients, share
from ...engine.data import unbroadcast
from ...engine.language import Sentence, Words
from ...engine.value import Value, detach
from ...losses.activations import MISTAKEN, SLOPES, sigmoid
from ...programs.lines import elementwise, walk
from .changes import UNKNOWN, Graph, Steps, Way, again, each_time, filled, with_argument
from .problem import Arrays, Trial

LEFT_OUT = "the slope of {node} by {x} left out: how fast does it change?"
SLOPE = "{wrong} in place of the slope of {node} by {x}: how fast does it change?"
FACTOR = {
    "{y} once too often in the slope of {node} by {x}: which factors has it?": 1.0,
    "{y} missing in the slope of {node} by {x}, or below it: which factors has it?": -1.0,
}
ONCE = {
    "{y} once too often: where is it already?": 1.0,
    "{y} once too often below: where is it already?": -1.0,
}
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

    def of(self, steps: Steps) -> Arrays:
        """The gradients of a loss with other steps."""
        (out,) = self.loss.rerun(steps, plain=False)
        return dict(zip(self.right, self.back(out, 1.0)))

    @cached_property
    def composed(self) -> dict[tuple[Any, Any], None]:
        """Each step with those before it of whose entries its own are made, one of one."""
        before, mixed = dict[Any, set[Any]](), dict[Any, set[Any]]()
        for node in self.moving:
            parts = [p for p in walk(node.parents, Value) if p in before]
            plain = node.op and elementwise(node.op.function)
            before[node] = {node}.union(*(before[p] for p in parts))
            mixed[node] = {*()}.union(*((mixed if plain else before)[p] for p in parts))
        every = ((n, x) for x, n in product(self.moving, self.moving) if x is not n)
        return dict.fromkeys((n, x) for n, x in every if x in before[n] - mixed[n])

    def sloped(self, node: Any, x: Any, slope: Any) -> Arrays:
        """The answer, with another slope of a step by one of whose entries its own are made."""
        g = self.received[node]
        wrong = unbroadcast(g * slope * np.ones(node.shape), x.data, node.op)
        return self.instead(x, wrong, self.back(node, g, x)[0])

    def differentiated(self, node: Any, k: int, x: Any) -> Arrays:
        """The answer, with what a node hands a constant added to that of an input."""
        more = np.broadcast_to(share(node, k, self.received[node]), x.shape)
        return {n: g + more * (x is y) for (n, g), y in zip(self.right.items(), self.wrt)}

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
    yield from _of(chain, loss.ways("which of the two does the loss have?"))
    for z, node, name in loss.activations:
        for other, wrong in MISTAKEN.get(name, {}).items():
            yield other, partial(chain.of, {node: lambda *_args, f=wrong, z=z: f(z)})
    yield from _places(chain)
    for node, x in (pair for pair in chain.composed if pair[1].op and pair[1].shape):
        told = Sentence(LEFT_OUT, node=loss.called[node], x=loss.called[x])
        yield told, partial(chain.sloped, node, x, 1.0)
    yield from _weights(chain)


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
    pairs = [xy for node in chain.loss.nodes for xy in zip(chain.loss.reads(node), node.parents)]
    for name, by in ((name, detach(y)) for name, y in pairs if np.ndim(y) == 0):
        for text, power in ONCE.items():
            made = {part: np.power(by, power) * g for part, g in chain.right.items()}
            yield Sentence(text, y=name), partial(dict, made)
    yield from _composed(chain)
    yield from _derived_by(chain)


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
        ones = np.ones(node.shape)
        once = share(node, k, ones)
        slopes = {
            LEFT_OUT: 1.0,
            "the slope of {node} by {x} taken twice: where is it already?": once * once,
        }
        if not node.op.terms:
            slopes |= {"{node} in place of its slope by {x}: how fast does it change?": node.data}
        if len(node.parents) == 1:
            there = share(node.op(Value(node.data), **node.options), 0, ones)
            slopes |= {"the slope of {node} by {x} taken at {node}: where is it wanted?": there}
        for form, f in node.op.slips if not k else ():
            sloped, wrong = partial(_sloped, node, k, f(x.data)), filled(form, [called["x"]])
            yield _way(SLOPE, node, sloped, form, wrong=wrong, **called)
        for text, slope in slopes.items():
            yield _way(text, node, partial(_sloped, node, k, slope), k, **called)


def _factors(chain: Backward) -> Iterator[Way]:
    """Steps that have a factor in a slope which is there already, or is not."""
    for node, k, x, called in chain.ends:
        every = dict(zip(chain.loss.reads(node), node.parents)) | {called["node"]: node}
        named = [(name, detach(y)) for name, y in every.items() if name not in (UNKNOWN, "1")]
        for text, power in FACTOR.items():
            for name, y in named:
                f = partial(_scaled, node, k, np.power(y, power))
                yield _way(text, node, f, k, y=name, **called)
        fixed = {name: y for name, y in chain.loss.leaves.items() if y not in chain.moving}
        for name, y in ({called["node"]: node} | fixed).items() if x.op else ():
            text = "{node} once too often in what arrives at {x}: which factors has that?"
            by = np.reshape(y.data, y.shape + (1,) * (x.ndim - y.ndim))  # of each sample
            yield _way(text, x, partial(_scaled, x, None, by), node=name, x=called["x"])


def _places(chain: Backward) -> Mistakes:
    """Answers with slopes taken elsewhere, a term of another input, or the slope of a constant."""
    loss = chain.loss
    for node, _k, x, called in chain.ends:
        if node.shape == x.shape and node is not loss.nodes[-1]:
            text = "slopes taken at {x}: what follows has them at {node}"
            yield Sentence(text, **called), partial(chain.of, {node: partial(_moved, node, x.data)})
    for term in (p for p in loss.nodes[-1].parents if p.__class__ is Value):
        own = [x for x in Graph([term], chain.t).nodes if x in {*chain.wrt}]
        for other in (x for x in chain.wrt if len(own) == 1 and x is not own[0]):
            text = "{x} in {term} as well: is it there?"
            told = Sentence(text, x=other.name, term=loss.called[term])
            yield told, partial(chain.also, term, own[0], other)
    for node in (n for n in loss.nodes if chain.received[n] is not None):
        for k, (c, name) in enumerate(zip(node.parents, loss.reads(node))):
            if k not in node.op.constants and not (c.__class__ is Value and c in chain.moving):
                text = Sentence("{c} differentiated as well: is it a variable?", c=name)
                for x in chain.wrt:
                    yield text, partial(chain.differentiated, node, k, x)


def _slopes_of_activations(chain: Backward) -> Mistakes:
    """Answers with another slope of the softmax or the sigmoid."""
    for z, node, name in chain.loss.activations:
        if name != "logsumexp" and (g := chain.received[node]) is not None:
            p, arrives = node.data, chain.back(node, g, z)[0]
            own = p * (1.0 - p)
            slopes = {
                "only the diagonal of the Jacobian of {p}: each p has a slope by every z": g * own,
                "the slope of {p} by its own z, alone: what arrives there from above?": own,
                "the slope of {p} left out: how fast does it change?": g,
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
    for node, x in (pair for pair in chain.composed if pair[0].op.function in rules):
        parts = [y for y in walk(node.parents, Value) if y is x or (y, x) in chain.composed]
        if len(parts) == 2 and parts[0] is not parts[1]:
            slope = node.op.function(*(chain.back(y, np.ones(y.shape), x)[0] for y in parts))
            yield rules[node.op.function], partial(chain.sloped, node, x, slope)


def _composed(chain: Backward) -> Mistakes:
    """Answers with another slope of several steps together, or of one."""
    loss = chain.loss
    for node, x in (pair for pair in chain.composed if pair[0] is not loss.nodes[-1]):
        called = {"node": loss.called[node], "x": loss.called[x]}
        yield Sentence(LEFT_OUT, **called), partial(chain.sloped, node, x, 1.0)
        wrong = dict[str, Any]()
        if node.op.powers:
            parts = [y.parents for y in walk(node.parents, Value) if y is not x]
            others = {y: loss.called[y] for y in (x, *walk(parts, Value))} | loss.known
            wrong = {w: y.data for y, w in others.items() if y.shape in (node.shape, x.shape)}
        if not x.op or x.op.terms or not elementwise(x.op.function):
            for of, (w, f) in product((x, node), SLOPES.items()):
                wrong[filled(w, [loss.called[of]])] = f(of.data)
            for w, f in node.op.slips:
                wrong[filled(w, loss.reads(node))] = f(node.parents[0].data)
        for w, slope in wrong.items():
            yield Sentence(SLOPE, wrong=w, **called), partial(chain.sloped, node, x, slope)


def _weights(chain: Backward) -> Mistakes:
    """Answers with a factor of one term of a sum on the other."""
    called, sums = chain.loss.called, (n for n in chain.moving if n.op and len(n.op.terms) == 2)
    for x, y in (two for n in sums for two in permutations(walk(n.parents, Value), 2)):
        for c in (c for c in Graph([x], chain.t).nodes if c not in chain.moving):
            factors = {x: np.divide(1.0, c.data), y: c.data}
            steps = {z: partial(_scaled, z, None, by) for z, by in factors.items()}
            text = "{c} on {y} in place of {x}: what is it a factor of?"
            yield Sentence(text, c=called[c], y=called[y], x=called[x]), partial(chain.of, steps)


def _derived_by(chain: Backward) -> Mistakes:
    """Answers by what is made of a step."""
    for x in (x for x in chain.moving if chain.received[x] is not None):
        g, name, s = chain.received[x], chain.loss.called[x], sigmoid(x.data)
        for y, by in {"exp({x})": np.exp(x.data), "sigmoid({x})": s * (1.0 - s)}.items():
            text = "derived by {y}, not by {x}: how fast does {y} change?"
            yield Sentence(text, y=filled(y, [name]), x=name), partial(chain.instead, x, g / by, g)


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
