"""Known wrong derivations, and which of them an answer is.

Each is the engine's gradient of a wrong loss, or the right one spoilt. So no answer, right or
wrong, is written down anywhere: the engine computes both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from .problem import Arrays, Mistake, Problem, as_tuple
from .properties import Trial, close


def of_loss(name: str, look: str, loss: Callable[..., Any]) -> Mistake:
    """The gradient of a loss with one step of it wrong: `detach` makes a step a constant."""
    return Mistake(name, look, lambda p, draw: p.derivative(loss)(*draw.inputs.values()))


def changed(name: str, look: str, change: Callable[..., Any]) -> Mistake:
    """What ``change(right, *inputs)`` makes of the right answer, in the same structure."""
    return Mistake(name, look, lambda p, draw: change(draw.answer, *draw.inputs.values()))


def each_changed(name: str, look: str, change: Callable[[Any, Any], Any]) -> Mistake:
    """What ``change(array, N)`` makes of every array of the right answer; N is the batch's size."""
    return Mistake(name, look, lambda p, draw: tuple(change(x, draw.batch) for x in draw.right))


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
]  # fmt: skip
USUAL_IN_A_BATCH = [
    each_changed("N times too large", BATCH_OF_ONE, lambda x, n: x * n),
    each_changed("N times too small", BATCH_OF_ONE, lambda x, n: x / n),
    each_changed("summed over the batch", "every sample has a gradient of its own, one row each; "
                 "only what the samples share, such as weights, adds them up",
                 lambda x, n: np.sum(x, axis=0) if x.shape[:1] == (n,) else x),
]  # fmt: skip
mean_slips = [  # the same where the loss is a mean
    each_changed("the mean's 1/N is missing", "your answer is N times too large, so it is right "
                 "for a batch of one only: what does the mean do to a sum's gradient?",
                 lambda x, n: x * n),
    each_changed("the mean's 1/N is applied twice", "your answer is N times too small, so it is "
                 "right for a batch of one only: is there a mean where a sum is enough?",
                 lambda x, n: x / n),
]  # fmt: skip


@lru_cache(maxsize=65536)
def wrong_answer(problem: Problem, mistake: Mistake, seed: int) -> Arrays:
    """What a mistake gives for one draw."""
    return as_tuple(mistake.answer(problem, problem.draw(seed)))


def name_mistake(trials: Sequence[Trial]) -> Mistake | None:
    """The mistake whose answers these are on every draw, if there is exactly one.

    One array of several may be right: then the mistake is in the others.
    """
    problem, places = trials[0].problem, range(len(trials[0].answer))
    usual = [*USUAL, *(USUAL_IN_A_BATCH if trials[0].draw.batch else [])]
    right = [all(close(t.answer[i], t.draw.right[i]) for t in trials) for i in places]
    whole, partly = [], []
    for mistake in (*problem.mistakes, *usual):
        wrong = [_explains(mistake, trials, i) for i in places]
        whole += [mistake] * all(wrong)
        partly += [mistake] * all(w or r for w, r in zip(wrong, right))
    found = whole or partly
    # What is a usual mistake too is called what the exercise calls it: that says more.
    found = [m for m in found if m in problem.mistakes] or found
    return found[0] if len(found) == 1 else None


def _explains(mistake: Mistake, trials: Sequence[Trial], i: int) -> bool:
    """Whether the i-th array of every answer is the mistake's."""
    wrong = (wrong_answer(t.problem, mistake, t.draw.seed)[i] for t in trials)
    return all(close(t.answer[i], w, t.draw.right[i]) for t, w in zip(trials, wrong))
