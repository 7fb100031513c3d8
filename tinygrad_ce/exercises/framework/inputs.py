"""What an exercise is tried on: each draw has a number, and small integers come first."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ...engine.text import _

DRAWS = 24  # of a check; the first half are small integers, which a learner can check by hand
LARGE = 1000.0  # exp(1000) is inf and exp(-1000) is 0: a float64 ends at exp(709)
LEAST = {"K": 2}  # a softmax over one class is constant; other dimensions begin at 1

Input = Callable[["Drawing"], Any]  # how one input of an exercise is drawn


class Drawing:
    """One draw: its random numbers, the sizes of the dimensions, and whether it is of integers."""

    def __init__(self, seed: Any, large: bool = False) -> None:
        if not isinstance(seed, int | np.integer) or seed < 0:
            raise ValueError(_("seed: got {seed!r}, wanted a whole number from 0 up", seed=seed))
        self.seed, self.large = int(seed), large
        level = self.seed % DRAWS
        self.rng = np.random.default_rng(seed)
        self.integers = level < DRAWS // 2
        self.room = -(-(level % (DRAWS // 2)) // 3)  # sizes grow with the level, from the least
        self.single = level % 3 == 0  # a batch of one now and then: there a 1/N does not show
        self.sizes: dict[str, int] = {}

    def size(self, dimension: str) -> int:
        """The size of a dimension, the same wherever it stands in this draw."""
        if dimension not in self.sizes:
            least = LEAST.get(dimension, 1 if self.single or dimension != "N" else 2)
            more = 0 if self.single and dimension == "N" else self.rng.integers(self.room + 1)
            self.sizes[dimension] = least + int(more)
        return self.sizes[dimension]

    def shape(self, dimensions: tuple[str, ...]) -> tuple[int, ...]:
        """The shape that some dimensions make."""
        return tuple(map(self.size, dimensions))


def real(*dimensions: str) -> Input:
    """Real numbers; no two of a row are the same, so that its maximum is one of them."""

    def draw(d: Drawing) -> Any:
        shape = d.shape(dimensions)
        if not shape:
            return float(d.rng.integers(-3, 4) if d.integers else d.rng.normal())
        if not d.integers:
            return d.rng.normal(0.0, 1.5, shape)
        row = np.arange(max(6.0, shape[-1])) - 2.0
        rows = d.rng.permuted(np.broadcast_to(row, (*shape[:-1], row.size)), axis=-1)
        return rows[..., : shape[-1]]

    return draw


class Scores:
    """Real numbers that an answer takes exp of: a large draw has them near 1000 and -1000.

    The scores of one softmax move together, which changes no probability: only exp overflows.
    """

    def __init__(self, dimensions: tuple[str, ...]) -> None:
        self.draw = real(*dimensions)
        self.rows = "K" in dimensions  # each row has a softmax; else each score has a sigmoid

    def __call__(self, d: Drawing) -> Any:
        """Draw them."""
        x = self.draw(d)
        if not d.large:
            return x
        moving = np.shape(x)[:-1] if self.rows else np.shape(x)
        odd = (np.arange(np.prod(moving, dtype=int)) + d.seed) % 2
        moved = x + np.where(odd, -LARGE, LARGE).reshape(moving + (1,) * self.rows)
        return moved if np.ndim(x) else float(moved)


def scores(*dimensions: str) -> Input:
    """Real numbers that an answer takes exp of, which should not overflow."""
    return Scores(dimensions)


def positive(*dimensions: str) -> Input:
    """Numbers above zero."""

    def draw(d: Drawing) -> Any:
        shape = d.shape(dimensions)
        whole = d.rng.integers(1, 5, shape).astype(float)
        return whole if d.integers else d.rng.uniform(0.2, 4.0, shape)

    return draw


def nonzero(*dimensions: str) -> Input:
    """Numbers of either sign, none of them near zero."""
    size = positive(*dimensions)
    return lambda d: (x := size(d)) * d.rng.choice([-1.0, 1.0], np.shape(x))


def signs(*dimensions: str) -> Input:
    """-1 or 1: the two classes, in one of two codings."""
    return lambda d: d.rng.choice([-1.0, 1.0], d.shape(dimensions))


def bits(*dimensions: str) -> Input:
    """0 or 1: the two classes, in the other coding."""
    return lambda d: d.rng.choice([0.0, 1.0], d.shape(dimensions))


def one_hot(*dimensions: str) -> Input:
    """Rows with a single 1: the right class of each sample."""

    def draw(d: Drawing) -> Any:
        *batch, classes = d.shape(dimensions)
        return np.eye(classes)[d.rng.integers(classes, size=batch)]

    return draw


def scalar(*choices: float) -> Input:
    """One number above zero: one of the choices, or between the least and the largest."""
    ends = min(choices), max(choices)
    return lambda d: float(d.rng.choice(choices) if d.integers else d.rng.uniform(*ends))
