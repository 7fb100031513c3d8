"""Known wrong derivations, and which of them an answer is.

A wrong derivation is the right one with one step changed: what arrives over one path of the graph,
or all of it, is forgotten, has the wrong sign, or a factor. What else can go wrong stands with its
exercise. Each has a name and, behind a colon, where to look.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from inspect import signature
from typing import Any

from ...engine.backward import gradients, share, topological
from ...engine.data import unbroadcast
from ...engine.names import names
from ...engine.text import _
from ...engine.transforms import grad
from ...engine.value import Value
from .problem import Arrays, Problem, Trial, close, draw

BATCH_OF_ONE = "it is right for a batch of one only: what is summed, and what is a mean?"
# How many times too large all of an answer can be, or what arrives over one path: for N samples.
FACTORS: dict[str, Callable[[int], float]] = {
    "no gradient: is every path from the input to L in it?": lambda n: 0,
    "sign flipped: follow the minus signs, one by one": lambda n: -1,
    "a factor 2 too many: where does a 2 come from, or a 1/2 go?": lambda n: 2,
    "a factor 2 missing: is there a square, or a sum of two?": lambda n: 1 / 2,
    f"N times too large: {BATCH_OF_ONE}": lambda n: n,
    f"N times too small: {BATCH_OF_ONE}": lambda n: 1 / n,
}
SHAPES: dict[str, Callable[[Any, int], Any]] = {
    "transposed: your answer has the shape of the input, turned round": lambda g, n: g.T,
    "summed over the batch: each sample has a row of its own; only what the samples share, such as "
    "weights, adds them up": lambda g, n: g.sum(axis=0) if g.shape[:1] == (n,) else g,
}


def paths(t: Trial) -> Iterator[tuple[str, Arrays]]:
    """What arrives of the answer over each edge of the loss's graph, and where that is.

    Those at the inputs come first, then those near the loss: of a chain they say most.
    """
    leaves = {name: Value(t.inputs[name], name=name) for name in t.problem.wrt}
    nodes = topological(t.problem.loss(*{**t.inputs, **leaves}.values()))
    called = names(nodes)
    upstream = dict(zip(nodes, gradients(nodes[-1], 1.0, nodes)))
    ends = [(n, k, x) for n in nodes[::-1] for k, x in enumerate(n.parents) if x.__class__ is Value]
    for node, k, x in sorted(ends, key=lambda end: end[2].op is not None):
        handed = unbroadcast(share(node, k, upstream[node]), x.data, node.op)
        arriving = gradients(x, handed, [*leaves.values()])
        where = _(" between {x} and {node}", x=called[x], node=called[node])
        yield where, {n: 0.0 if g is None else g for n, g in zip(t.problem.parts, arriving)}


@lru_cache(maxsize=1024)
def wrong_answers(problem: Problem, seed: int) -> Sequence[tuple[str, Arrays]]:
    """What each mistake arrives at in a draw, the exercise's own first; in one order for all."""
    t = draw(problem, seed)
    known = {"right": next(iter(t.right.values())), **t.right, **t.inputs}
    wrong_ones = [
        (text, problem.named(wrong(*[known[name] for name in signature(wrong).parameters])))
        for text, wrong in problem.mistakes.items()
    ]
    for text, change in SHAPES.items():
        wrong_ones.append((text, {name: change(g, t.batch) for name, g in t.right.items()}))
    whole, edges = [("", t.right)], [*paths(t)] if problem.derive is grad else []
    for places in (whole, edges):
        for text, factor in FACTORS.items():
            more = factor(t.batch) - 1
            for where, part in places:
                wrong = {name: g + more * part[name] for name, g in t.right.items()}
                wrong_ones.append((text.replace(":", f"{where}:", 1), wrong))
    return wrong_ones


def name_mistake(trials: Sequence[Trial]) -> str:
    """The first mistake whose answers these are on every draw, with where to look; "" for none.

    One array of several may be right: then the mistake is in the others.
    """
    problem = trials[0].problem
    off = [n for n in problem.parts if not all(close(t.yours[n], t.right[n]) for t in trials)]
    for same in zip(*(wrong_answers(problem, t.seed) for t in trials)):
        text: str = same[0][0]
        pairs = [(t, wrong) for t, (_text, wrong) in zip(trials, same)]
        if all(close(t.yours[n], wrong[n], t.right[n]) for t, wrong in pairs for n in off):
            return text
    return ""
