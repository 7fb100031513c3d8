"""Known wrong derivations, and which of them an answer is.

A wrong derivation is the right one with one step changed: what arrives over one path of the graph,
or all of it, is forgotten, has the wrong sign, or a factor. What else can go wrong stands with its
exercise: the gradient of a wrong loss, or the right one spoilt. The engine computes all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from ...engine.backward import gradients, share, topological
from ...engine.data import unbroadcast
from ...engine.names import names
from ...engine.text import _
from ...engine.transforms import grad
from ...engine.value import Value
from .problem import Arrays, Mistake, Problem, Trial, close, draw


def of_loss(name: str, look: str, loss: Callable[..., Any]) -> Mistake:
    """The gradient of a loss with one step of it wrong."""
    return Mistake(
        name, look, lambda t: t.problem.named(t.problem.derivative(loss)(*t.inputs.values()))
    )


def changed(name: str, look: str, change: Callable[..., Any]) -> Mistake:
    """What ``change(right, *inputs)`` makes of the right answer, in the same structure."""
    return Mistake(name, look, lambda t: t.problem.named(change(t.answer, *t.inputs.values())))


def each_changed(name: str, look: str, change: Callable[[Any, int], Any]) -> Mistake:
    """What ``change(array, N)`` makes of every array of the right answer; N is the batch's size."""
    return Mistake(name, look, lambda t: {n: change(g, t.batch) for n, g in t.right.items()})


SHAPES = [
    each_changed("transposed", "rows and columns are swapped: your answer has the shape of the "
                 "input, turned round", lambda g, n: np.transpose(g)),
    each_changed("summed over the batch", "every sample has a gradient of its own, one row each; "
                 "only what the samples share, such as weights, adds them up",
                 lambda g, n: np.sum(g, axis=0) if g.shape[:1] == (n,) else g),
]  # fmt: skip
BATCH_OF_ONE = "it is right for a batch of one only: what is summed, and what is a mean?"
# How many times too large all of an answer can be, or what arrives over one path: for N samples.
FACTORS: list[tuple[str, str, Callable[[int], float]]] = [
    ("no gradient", "is every path from the input to L in it?", lambda n: 0),
    ("sign flipped", "follow the minus signs, one by one", lambda n: -1),
    ("a factor 2 too many", "where does a 2 come from, or a 1/2 go?", lambda n: 2),
    ("a factor 2 missing", "is there a square, or a sum of two?", lambda n: 1 / 2),
    ("N times too large", BATCH_OF_ONE, lambda n: n),
    ("N times too small", BATCH_OF_ONE, lambda n: 1 / n),
]


def paths(t: Trial) -> Iterator[tuple[str, Arrays]]:
    """What arrives of the answer over each edge of the loss's graph, and where that is."""
    leaves = {name: Value(x, name=name) for name, x in t.inputs.items()}
    nodes = topological(t.problem.loss(*leaves.values()))
    name = names(nodes)
    for node, g in zip(nodes, gradients(nodes[-1], 1.0, nodes)):
        for k, x in enumerate(node.parents):
            if x.__class__ is Value:
                handed = unbroadcast(share(node, k, g), x.data, node.op)
                found = dict(zip(leaves, gradients(x, handed, [*leaves.values()])))
                parts = [0.0 if found[n] is None else found[n] for n in t.problem.wrt]
                where = _(" between {x} and {node}", x=name[x], node=name[node])
                yield where, dict(zip(t.problem.parts, parts))


@lru_cache(maxsize=1024)
def wrong_answers(problem: Problem, seed: int) -> Sequence[tuple[str, str, Arrays]]:
    """What each mistake arrives at in a draw, the exercise's own first; in one order for all."""
    t = draw(problem, seed)
    found = [(m.name, m.look, m.answer(t)) for m in [*problem.mistakes, *SHAPES]]
    whole, edges = [("", t.right)], [*paths(t)] if problem.derive is grad else []
    for places in (whole, edges):
        for fault, look, factor in FACTORS:
            more = factor(t.batch) - 1
            for where, part in places:
                wrong = {n: g + more * part[n] for n, g in t.right.items()}
                found.append((fault + where, look, wrong))
    return found


def name_mistake(trials: Sequence[Trial]) -> tuple[str | None, str]:
    """The first mistake whose answers these are on every draw, and where to look; None for none.

    One array of several may be right: then the mistake is in the others.
    """
    problem = trials[0].problem
    off = [n for n in problem.parts if not all(close(t.yours[n], t.right[n]) for t in trials)]
    for same in zip(*(wrong_answers(problem, t.seed) for t in trials)):
        name, look, _wrong = same[0]
        pairs = [(t, wrong) for t, (*_words, wrong) in zip(trials, same)]
        if all(close(t.yours[n], wrong[n], t.right[n]) for t, wrong in pairs for n in off):
            return name, look
    return None, ""
