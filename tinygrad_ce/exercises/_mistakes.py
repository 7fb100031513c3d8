"""Known wrong derivations: each is the engine's gradient of a wrong loss, or the right one spoilt.

So no answer, right or wrong, is written down anywhere: the engine computes both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Mistake(NamedTuple):
    """A wrong derivation: its name, what to look at, and how to arrive at its answer."""

    name: str
    look: str  # a hint at the place, which does not give the answer away
    loss: Callable[..., Any] | None = None  # of the inputs; its derivative is the wrong answer
    change: Callable[..., Any] | None = None  # of the right answer and the inputs


def of_loss(name: str, look: str, loss: Callable[..., Any]) -> Mistake:
    """The gradient of a loss with one step of it wrong: `detach` makes a step a constant."""
    return Mistake(name, look, loss=loss)


def changed(name: str, look: str, change: Callable[..., Any]) -> Mistake:
    """What ``change(right, *inputs)`` makes of the right answer, in the same structure."""
    return Mistake(name, look, change=change)


def parts(answer: Any) -> tuple[Any, ...]:
    """The arrays of an answer: one, or a tuple of several."""
    return answer if isinstance(answer, tuple) else (answer,)


def each(answer: Any, change: Callable[[Any], Any]) -> Any:
    """Every array of an answer changed, in the structure it has."""
    found = tuple(change(part) for part in parts(answer))
    return found if isinstance(answer, tuple) else found[0]


mean_forgotten = changed(
    "the mean's 1/N is missing",
    "your answer is N times too large, so it is right for a batch of one only: what does the mean "
    "do to a sum's gradient?",
    lambda g, x, *_: each(g, lambda part: part * len(x)),
)
mean_twice = changed(
    "the mean's 1/N is applied twice",
    "your answer is N times too small, so it is right for a batch of one only: is there a mean "
    "where a sum is enough?",
    lambda g, x, *_: each(g, lambda part: part / len(x)),
)


def _summed(part: Any, size: int) -> Any:
    """The sum over the first axis, if that is the batch."""
    return np.sum(part, axis=0) if np.shape(part)[:1] == (size,) else part


def usual(size: int | None) -> list[Mistake]:
    """What can go wrong in any exercise; ``size`` is the batch's, if there is one."""
    found = [
        changed(
            "sign flipped",
            "every entry has the right size and the wrong sign: follow the minus signs, one by one",
            lambda g, *_: each(g, np.negative),
        ),
        changed(
            "a factor 2 too many",
            "every entry is twice as large as it should be: where does a 2 come from, or a 1/2 go?",
            lambda g, *_: each(g, lambda part: 2 * part),
        ),
        changed(
            "a factor 2 missing",
            "every entry is half as large as it should be: is there a square, or a sum of two?",
            lambda g, *_: each(g, lambda part: part / 2),
        ),
        changed(
            "transposed",
            "rows and columns are swapped: your answer has the shape of the input, turned round",
            lambda g, *_: each(g, np.transpose),
        ),
    ]
    if size is None:
        return found
    return [
        *found,
        changed(
            "N times too large",
            "it is right for a batch of one only: what is summed, and what is a mean?",
            lambda g, *_: each(g, lambda part: part * size),
        ),
        changed(
            "N times too small",
            "it is right for a batch of one only: what is summed, and what is a mean?",
            lambda g, *_: each(g, lambda part: part / size),
        ),
        changed(
            "summed over the batch",
            "every sample has a gradient of its own, one row each; only what the samples share, "
            "such as weights, adds them up",
            lambda g, *_: each(g, lambda part: _summed(part, size)),
        ),
    ]
