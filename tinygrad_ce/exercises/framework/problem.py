"""What is asked of a learner, as the engine sees it: a function, its inputs, its derivative."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ...engine.transforms import grad, hessian, jacobian
from .inputs import Drawing, Input, Scores

FUNCTIONS = {grad: "gradient", jacobian: "jacobian", hessian: "hessian"}  # what to write
Arrays = tuple[Any, ...]  # an answer's arrays


class Mistake(NamedTuple):
    """A wrong derivation: its name, what to look at, and what it arrives at."""

    name: str
    look: str  # a hint at the place, which does not give the answer away
    answer: Callable[[Problem, Draw], Any]


@dataclass(eq=False, repr=False, kw_only=True)
class Problem:
    """A derivative to find; `Exercise` describes the fields."""

    file: str
    loss: Callable[..., Any]
    inputs: Mapping[str, Input]
    wrt: Sequence[str]
    mistakes: Sequence[Mistake]
    derive: Callable[..., Any] = grad

    def __post_init__(self) -> None:
        several = len(self.wrt) > 1
        places = [[*self.inputs].index(name) for name in self.wrt]
        scores = {name: x.rows for name, x in self.inputs.items() if isinstance(x, Scores)}
        self.name = self.file.rpartition(".")[2]  # what it is imported by
        self.function = FUNCTIONS[self.derive]  # what the learner's function is called
        self.call = f"{self.function}({', '.join(self.inputs)})"  # and how
        self.argnums: Any = places if several else places[0]  # as `grad` takes them
        self.parts = [f"d{name}" for name in self.wrt] if several else [f"your {self.function}"]
        # What exp is taken of, and whether row by row.
        self.scores, self.rows = next(iter(scores.items()), ("", False))

    def derivative(self, loss: Callable[..., Any] | None = None) -> Callable[..., Any]:
        """The engine's answer as a function of the inputs; or that to another loss."""
        derived: Callable[..., Any] = self.derive(loss or self.loss, self.argnums)
        return derived

    def draw(self, seed: int, large: bool = False) -> Draw:
        """Draw every input and derive, once; nothing of it is stored in a file."""
        return _draw(self, seed, large)


class Draw(NamedTuple):
    """Inputs that have a number, and the engine's answer there."""

    seed: int
    large: bool  # with scores near 1000
    inputs: dict[str, Any]
    answer: Any
    batch: int | None  # how many samples, if there are samples

    @property
    def right(self) -> Arrays:
        """The arrays of the answer."""
        return as_tuple(self.answer)

    @property
    def size(self) -> tuple[float, ...]:
        """Small draws first: few entries, then whole numbers, then small ones."""
        arrays = [np.abs(x) for x in self.inputs.values()]
        broken = any((x % 0.25).any() for x in arrays)
        return sum(map(np.size, arrays)), broken, sum(float(x.sum()) for x in arrays)


@lru_cache(maxsize=8192)
def _draw(problem: Problem, seed: int, large: bool) -> Draw:
    drawing = Drawing(seed, large)
    inputs = {name: draw(drawing) for name, draw in problem.inputs.items()}
    for x in inputs.values():
        if isinstance(x, np.ndarray):
            x.flags.writeable = False  # feedback shows it, and the next check uses it again
    return Draw(seed, large, inputs, problem.derivative()(*inputs.values()), drawing.sizes.get("N"))


def as_tuple(answer: Any) -> Arrays:
    """The arrays of an answer: one, or a tuple of several."""
    return tuple(map(np.asarray, answer if isinstance(answer, tuple) else (answer,)))
