"""Known wrong derivations, and which of them an answer is.

A wrong derivation is the right one with one step changed: what arrives over one path of the graph,
or all of it, is forgotten, has the wrong sign, or a factor; what is summed is not, or over another
axis; something else stands where the softmax belongs; the steps end too early. What else can go
wrong stands with its exercise. Each has a name and, behind a colon, where to look.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache, partial
from inspect import signature
from itertools import combinations, product
from typing import Any

import numpy as np

from ...engine.backward import gradients, share, topological
from ...engine.data import unbroadcast
from ...engine.language import Sentence, Words
from ...engine.names import names
from ...engine.transforms import grad
from ...engine.value import Value
from ...losses.activations import log_softmax, logsumexp, sigmoid, softmax
from .problem import Arrays, Problem, Trial, close, draw

COMMONEST = 24  # mistakes of which two may be made at once
# How many times too large all of an answer can be, or what arrives over one path.
FACTORS = {
    "no gradient: is every path from the input to L in it?": 0.0,
    "sign flipped: follow the minus signs, one by one": -1.0,
    "a factor 2 too many: where does a 2 come from, or a 1/2 go?": 2.0,
    "a factor 2 missing: is there a square, or a sum of two?": 0.5,
}
SHAPES: dict[str, Callable[[Any, int], Any]] = {
    "transposed: your answer has the shape of the input, turned round": lambda g, n: g.T,
    "summed over the batch: each sample has a row of its own; only what the samples share, such as "
    "weights, adds them up": lambda g, n: g.sum(axis=0) if g.shape[:1] == (n,) else g,
}
# What can stand where the softmax of scores z belongs.
SOFTMAXES: dict[str, Callable[[Any], Any]] = {
    "softmax over the wrong axis: the classes of a sample stand in a row": partial(softmax, axis=0),
    "one softmax over all rows: each row has its own": lambda z: np.exp(z) / np.exp(z).sum(),
    "the sigmoid in place of the softmax: the classes of a row share one sum": sigmoid,
    "scores in place of probabilities: where is the softmax?": lambda z: z,
    "exp not divided by its sum: what makes probabilities of it?": np.exp,
    "not divided by the sum: by what?": lambda z: np.exp(z - z.max(axis=-1, keepdims=True)),
    "still a logarithm: take exp of it": log_softmax,
}


class Backward:
    """The gradient of the loss in a draw, node by node."""

    def __init__(self, t: Trial) -> None:
        self.leaves = {name: Value(t.inputs[name], name=name) for name in t.problem.wrt}
        self.nodes = topological(t.problem.loss(*{**t.inputs, **self.leaves}.values()))
        self.called, self.right = names(self.nodes), t.right
        self.upstream = dict(zip(self.nodes, gradients(self.nodes[-1], 1.0, self.nodes)))
        ends = [(n, k, p) for n in self.nodes[::-1] for k, p in enumerate(n.parents)]
        ends = [end for end in ends if end[2].__class__ is Value]
        # At the inputs first, then near the loss: of a chain these say most.
        self.ends = sorted(ends, key=lambda end: end[2].op is not None)

    def arriving(self, node: Any, upstream: Any) -> Arrays:
        """What comes to each part of the answer, of an upstream gradient at a node."""
        found = gradients(node, upstream, [*self.leaves.values()])
        return {name: 0.0 if g is None else g for name, g in zip(self.right, found)}

    def changed(self, node: Any, by: Any) -> Arrays:
        """The answer, had a node another upstream gradient."""
        more = self.arriving(node, by)
        return {name: g + more[name] for name, g in self.right.items()}

    def handed(self, node: Any, k: int, x: Any, upstream: Any) -> Any:
        """What a node hands its argument x."""
        return unbroadcast(share(node, k, upstream), x.data, node.op)

    def paths(self) -> Iterator[tuple[str, Arrays]]:
        """What arrives of the answer over each edge of the graph, and where that is."""
        for node, k, x in self.ends:
            where = Sentence(" between {x} and {node}", x=self.called[x], node=self.called[node])
            yield where, self.arriving(x, self.handed(node, k, x, self.upstream[node]))

    def sums(self) -> Iterator[tuple[str, Arrays]]:
        """Answers where what an input receives is not added up as it should be."""
        for node, k, x in self.ends:
            handed = share(node, k, self.upstream[node])
            if x.op is None and np.shape(handed) == node.shape and node.ndim > x.ndim:
                name = dict(zip(self.leaves.values(), self.right))[x]
                text = "{name} not summed: all that {x} is added to or multiplied by has it in it"
                yield Sentence(text, name=name, x=x.name), {**self.right, name: handed}
                text = "{name} summed over the wrong axes: which numbers have a {x} in common?"
                for axis in range(np.ndim(handed)):
                    part = np.sum(handed, axis=axis)
                    yield Sentence(text, name=name, x=x.name), {**self.right, name: part}

    def steps(self) -> Iterator[tuple[str, Arrays]]:
        """Answers where a step of the chain rule is left out, or where it ends too early."""
        for node, k, x in self.ends:
            if node.shape == x.shape:
                upstream = self.upstream[node]
                handed = self.handed(node, k, x, upstream)
                called = {"node": self.called[node], "x": self.called[x]}
                text = "the slope of {node} by {x} left out: how fast does it change?"
                yield Sentence(text, **called), self.changed(x, upstream - handed)
                text = "the slope of {node} by {x} taken twice: where is it already?"
                twice = self.handed(node, k, x, handed)
                yield Sentence(text, **called), self.changed(x, twice - handed)
        for node in self.nodes if len(self.right) == 1 else ():
            ends = {
                "stopped at {node}: what comes before it?": self.upstream[node],
                "{node} itself: how fast does it change?": node.data,
            }
            for text, wrong in ends.items() if node.op else ():
                yield Sentence(text, node=self.called[node]), dict.fromkeys(self.right, wrong)

    def softmaxes(self) -> Iterator[tuple[str, Arrays]]:
        """Answers where something else stands for the softmax, the slope of logsumexp."""
        firsts: list[Any] = []  # scores from which no maximum is subtracted yet
        for z in (x for x in self.nodes if x.ndim and x.shape[-1] > 1):
            p, total = softmax(z.data), logsumexp(z.data, axis=-1)
            alike = (x for x in firsts if x.shape == p.shape and np.allclose(softmax(x.data), p))
            if (first := next(alike, z)) is z:
                firsts.append(z)
            for node in self.nodes:
                g = self.upstream[node]
                if node.shape == p.shape and np.allclose(node.data, p):
                    g = -np.sum(p * g, axis=-1, keepdims=True)  # what every z of a row receives
                elif node.size == total.size and np.allclose(np.ravel(node.data), np.ravel(total)):
                    g = np.reshape(g, (*total.shape, 1))
                else:
                    continue
                for text, wrong in SOFTMAXES.items():
                    yield text, self.changed(first, g * (wrong(first.data) - p))


def _factors(t: Trial) -> dict[str, float]:
    """How many times too large all of an answer can be, in a draw."""
    found = dict(FACTORS)
    for name, size in t.sizes.items():
        look = "what is a mean?"
        if name == "N":
            look = "it is right for a batch of one only: what is summed, and what is a mean?"
        elif "N" in t.sizes:
            text = "divided by {size} in place of N: of how many samples is the mean?"
            found[Sentence(text, size=name)] = t.batch / size
        why = Sentence(look)
        found[Sentence("{size} times too large: {look}", size=name, look=why)] = size
        found[Sentence("{size} times too small: {look}", size=name, look=why)] = 1 / size
    return found


def _words(text: str) -> Words:
    return text if isinstance(text, Words) else Words(text)


def _placed(text: str, where: str) -> str:
    """A mistake that is made where an edge is."""
    if not where:
        return text
    return Sentence("{text:name}{where}: {text:look}", text=_words(text), where=where)


def _forgotten(t: Trial) -> Iterator[tuple[str, Arrays]]:
    """Answers without one of the inputs: as if it were 0, or 1."""
    for name, x in t.inputs.items():
        text = Sentence("{name} forgotten: where has it gone?", name=name)
        for number in (0.0, 1.0) if np.asarray(x).dtype.kind == "f" else ():
            inputs = {**t.inputs, name: np.full_like(x, number) if np.ndim(x) else number}
            with suppress(ValueError, ArithmeticError):  # a loss may want a target that sums to 1
                yield text, t.problem.named(t.problem.derivative(*inputs.values()))


@lru_cache(maxsize=1024)
@np.errstate(all="ignore")  # what is not finite is left out
def wrong_answers(problem: Problem, seed: int) -> Sequence[tuple[str, Arrays]]:
    """What each mistake arrives at in a draw, the exercise's own first; a name may stand twice."""
    t = draw(problem, seed)
    known = {"right": next(iter(t.right.values())), **t.right, **t.inputs}
    wrong_ones = [
        (text, problem.named(wrong(*[known[name] for name in signature(wrong).parameters])))
        for text, wrong in problem.mistakes.items()
    ]
    for text, change in SHAPES.items():
        wrong_ones.append((text, {name: change(g, t.batch) for name, g in t.right.items()}))
    places = [("", t.right)]
    if backward := Backward(t) if problem.derive is grad else None:
        places += backward.paths()
        loss = dict.fromkeys(problem.parts, backward.nodes[-1].data)
        wrong_ones.append((Sentence("the loss itself: how fast does it change?"), loss))
        wrong_ones += [*backward.sums(), *backward.softmaxes()]
    if len(problem.parts) == 2:
        swapped = dict(zip(problem.parts, [*t.right.values()][::-1]))
        wrong_ones.append(
            (Sentence("the results swapped: in which order are they wanted?"), swapped)
        )
    factors = _factors(t).items()
    for (text, factor), (where, part) in product(factors, places):
        wrong = {name: g + (factor - 1) * part[name] for name, g in t.right.items()}
        wrong_ones.append((_placed(text, where), wrong))
    # Of all of it first: what arrives over an edge may be all.
    wrong_ones.sort(key=lambda known: " between " in known[0])
    wrong_ones += [*_forgotten(t), *(backward.steps() if backward else ())]
    arrays = [(text, {n: np.asarray(x) for n, x in wrong.items()}) for text, wrong in wrong_ones]
    # Beside inf, every answer would be close enough.
    return [known for known in arrays if all(np.isfinite(x).all() for x in known[1].values())]


def name_mistake(trials: Sequence[Trial]) -> str:
    """The first mistake whose answers these are on every draw, with where to look; "" for none.

    One array of several may be right: then the mistake is in the others.
    """
    problem = trials[0].problem
    off = [n for n in problem.parts if not all(close(t.yours[n], t.right[n]) for t in trials)]
    first, *others = trials
    known = wrong_answers(problem, first.seed)
    likely = [text for text, wrong in known if _explains(first, wrong, off)]
    for t in others:  # of few: asking all of them in each draw takes 3 times as long
        known = wrong_answers(problem, t.seed) if likely else ()
        fits = {text for text, wrong in known if text in likely and _explains(t, wrong, off)}
        likely = [text for text in likely if text in fits]
    return likely[0] if likely else _two_mistakes(trials, off)


def _explains(t: Trial, wrong: Arrays, off: Sequence[str]) -> bool:
    return all(close(t.yours[n], wrong[n], t.right[n]) for n in off)


def _two_mistakes(trials: Sequence[Trial], off: Sequence[str]) -> str:
    """The first two common mistakes that, made at once, explain the answers; "" for none."""
    pairs: Sequence[tuple[str, str]] = ()
    if any(t.yours[name].shape != t.right[name].shape for t in trials for name in off):
        return ""
    for t in reversed(trials):  # the largest first, which leaves the fewest
        known, factors = defaultdict[str, list[Arrays]](list), _factors(t)
        for text, wrong in wrong_answers(t.problem, t.seed):
            alike = all(x.shape == wrong[name].shape for name, x in t.right.items())
            if alike and " between " not in text:
                known[text].append(wrong)
        pairs = [
            pair
            for pair in pairs or _likely(t, known, factors, off)
            if any(_explains(t, made, off) for made in _at_once(t, known, factors, *pair))
        ]
        if not pairs:
            return ""
    one, other = map(_words, pairs[0])
    text = "{one:name}, and {other:name}: {one:look}; {other:look}"
    return Sentence(text, one=one, other=other)


def _likely(
    t: Trial, known: Mapping[str, Any], factors: Mapping[str, float], off: Sequence[str]
) -> list[tuple[str, str]]:
    """Pairs of common mistakes that can explain an answer: one is a factor, or both add up."""

    def flat(arrays: Arrays) -> Any:
        return np.concatenate([np.ravel(arrays[name]) for name in off])

    common, yours = [*known][:COMMONEST], flat(t.yours)
    rows = {text: np.array([flat(wrong) for wrong in known[text]]) for text in common}
    near = 1e-3 * (1.0 + np.max(abs(yours)))
    return [
        (a, b)
        for a, b in combinations(common, 2)
        if {a, b} <= t.problem.mistakes.keys()
        or any(
            np.any(np.all(abs(factors[x] * rows[y] - yours) <= near, axis=1))
            for x, y in ((a, b), (b, a))
            if factors.get(x)
        )
    ]


def _at_once(
    t: Trial, known: Mapping[str, Any], factors: Mapping[str, float], a: str, b: str
) -> Iterator[Arrays]:
    """Answers in a draw with two mistakes: a factor is of all, what others add adds up.

    Only what an exercise's own mistakes change are parts of a sum; others may change all.
    """
    for one, other in product(known[a], known[b]):
        if {a, b} <= t.problem.mistakes.keys():
            yield {name: one[name] + other[name] - g for name, g in t.right.items()}
        for factor, wrong in ((factors.get(a), other), (factors.get(b), one)):
            if factor:
                yield {name: factor * x for name, x in wrong.items()}
