"""What an exercise is tried on: each draw has a number, and small integers come first."""

from collections.abc import Callable
from typing import Any

import numpy as np

DRAWS = 24  # of a check; the first half are small integers, which a learner can check by hand
LARGE = 1000.0  # exp(1000) is inf and exp(-1000) is 0: a float64 ends at exp(709)

Shape = tuple[int, ...]
Input = Callable[["Drawing"], Any]  # how one input of an exercise is drawn


class Drawing:
    """One draw: its random numbers, the sizes of the dimensions, and whether it is of integers."""

    def __init__(self, seed: Any, large: bool = False) -> None:
        self.rng = np.random.default_rng(seed)
        self.seed, self.large = int(seed), large
        level = self.seed % DRAWS
        self.integers = level < DRAWS // 2
        self.room = -(-(level % (DRAWS // 2)) // 3)  # sizes grow with the level, from the least
        # A batch of one now and then: there a 1/N does not show.
        self.sizes = {"N": 1} if level % 3 == 0 else {}

    def shape(self, dimensions: tuple[str, ...]) -> Shape:
        """The shape that some dimensions make; each has one size wherever it stands."""
        for name in dimensions:
            if name not in self.sizes:
                least = 2 if name in ("N", "K") else 1  # a softmax of one class is constant
                self.sizes[name] = least + int(self.rng.integers(self.room + 1))
        return tuple(self.sizes[name] for name in dimensions)


def drawn(draw: Callable[[Drawing, Shape], Any]) -> Callable[..., Input]:
    """Make a kind of input: ``real("N", "K")`` calls ``draw`` with a drawing and its (N, K)."""
    return lambda *dimensions: lambda d: draw(d, d.shape(dimensions))


@drawn
def real(d: Drawing, shape: Shape) -> Any:
    """Real numbers; no two of a row are the same, so that its maximum is one of them."""
    if not shape:
        return d.rng.integers(-3, 4) if d.integers else d.rng.normal()
    if not d.integers:
        return d.rng.normal(0.0, 1.5, shape)
    row = np.arange(max(6.0, shape[-1])) - 2.0
    return d.rng.permuted(np.tile(row, (*shape[:-1], 1)), axis=-1)[..., : shape[-1]]


def scores(*dimensions: str) -> Input:
    """Real numbers that an answer takes exp of: a large draw has them near 1000 and -1000.

    The scores of one softmax move together, which changes no probability: only exp overflows.
    """
    draw, rows = real(*dimensions), "K" in dimensions  # else each score has a sigmoid

    def moved(d: Drawing) -> Any:
        x = draw(d) * (1.0 if d.integers or d.seed % 2 else 4.0)  # some probabilities are tiny
        first = x[..., :1] if rows else x  # of those that move together
        odd = (np.arange(np.size(first)) + d.seed) % 2
        by = np.where(odd, -LARGE, LARGE).reshape(np.shape(first))
        return x + by if d.large else x

    return moved


@drawn
def positive(d: Drawing, shape: Shape) -> Any:
    """Numbers above zero."""
    return d.rng.integers(1, 5, shape) * 1.0 if d.integers else d.rng.uniform(0.2, 4.0, shape)


signs = drawn(lambda d, shape: d.rng.choice((-1.0, 1.0), shape))  # the two classes, in one coding
bits = drawn(lambda d, shape: d.rng.choice((0.0, 1.0), shape))  # and in the other


@drawn
def one_hot(d: Drawing, shape: Shape) -> Any:
    """Rows with a single 1: the right class of each sample."""
    return np.eye(shape[-1])[d.rng.integers(shape[-1], size=shape[:-1])]


def nonzero(*dimensions: str) -> Input:
    """Numbers of either sign, none of them near zero."""
    size, sign = positive(*dimensions), signs(*dimensions)
    return lambda d: size(d) * sign(d)


def scalar(*choices: float) -> Input:
    """One number above zero: one of the choices, or between the least and the largest."""
    ends = min(choices), max(choices)
    return lambda d: d.rng.choice(choices) if d.integers else d.rng.uniform(*ends)
