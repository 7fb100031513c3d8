"""Known wrong derivations, and which of them an answer is.

Each is the engine's gradient of a wrong loss, or the right one spoilt. So no answer, right or
wrong, is written down anywhere: the engine computes both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .problem import Mistake, Trial, close


def of_loss(name: str, look: str, loss: Callable[..., Any]) -> Mistake:
    """The gradient of a loss with one step of it wrong: `detach` makes a step a constant."""
    return Mistake(
        name, look, lambda t: t.problem.named(t.problem.derivative(loss)(*t.inputs.values()))
    )


def changed(name: str, look: str, change: Callable[..., Any]) -> Mistake:
    """What ``change(right, *inputs)`` makes of the right answer, in the same structure."""
    return Mistake(name, look, lambda t: t.problem.named(change(t.answer, *t.inputs.values())))


def each_changed(name: str, look: str, change: Callable[[Any, Any], Any]) -> Mistake:
    """What ``change(array, N)`` makes of every array of the right answer; N is the batch's size."""
    return Mistake(name, look, lambda t: {n: change(x, t.batch) for n, x in t.right.items()})


BATCH_OF_ONE = "it is right for a batch of one only: what is summed, and what is a mean?"
USUAL = [  # what can go wrong in any exercise
    each_changed("sign flipped", "every entry has the right size and the wrong sign: follow the "
                 "minus signs, one by one", lambda x, n: -x),
    each_changed("a factor 2 too many", "every entry is twice as large as it should be: where does "
                 "a 2 come from, or a 1/2 go?", lambda x, n: 2 * x),
    each_changed("a factor 2 missing", "every entry is half as large as it should be: is there a "
                 "square, or a sum of two?", lambda x, n: x / 2),
    each_changed("transposed", "rows and columns are swapped: your answer has the shape of the "
                 "input, turned round", lambda x, n: np.transpose(x)),
    each_changed("N times too large", BATCH_OF_ONE, lambda x, n: x * n),
    each_changed("N times too small", BATCH_OF_ONE, lambda x, n: x / n),
    each_changed("summed over the batch", "every sample has a gradient of its own, one row each; "
                 "only what the samples share, such as weights, adds them up",
                 lambda x, n: np.sum(x, axis=0) if x.shape[:1] == (n,) else x),
]  # fmt: skip
mean_slips = [  # the same where the loss is a mean
    each_changed("the mean's 1/N is missing", "it is right for a batch of one only: what does the "
                 "mean do to a sum's gradient?", lambda x, n: x * n),
    each_changed("the mean's 1/N is applied twice", "it is right for a batch of one only: is there "
                 "a mean where a sum is enough?", lambda x, n: x / n),
]  # fmt: skip


def name_mistake(trials: Sequence[Trial]) -> Mistake | None:
    """The mistake whose answers these are on every draw, if there is exactly one.

    One array of several may be right: then the mistake is in the others. What is a usual mistake
    too is called what the exercise calls it: that says more.
    """
    problem = trials[0].problem
    off = [n for n in problem.parts if not all(close(t.yours[n], t.right[n]) for t in trials)]

    def explains(mistake: Mistake) -> bool:
        pairs = ((t, mistake.answer(t)) for t in trials)
        return all(close(t.yours[n], wrong[n], t.right[n]) for t, wrong in pairs for n in off)

    for mistakes in (problem.mistakes, USUAL):
        if found := [mistake for mistake in mistakes if explains(mistake)]:
            return found[0] if len(found) == 1 else None
    return None
