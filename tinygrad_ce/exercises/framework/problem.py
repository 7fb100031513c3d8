"""What is asked of a learner, as the engine sees it: a function, its inputs, its derivative."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np

from ...engine.transforms import grad
from .inputs import Drawing, Input

Arrays = Mapping[str, Any]  # those of an answer, or the inputs, by their names


def tolerance(answer: Any, wanted: Any) -> float:
    """How far an entry may be off: a part of the gradient's largest entry, and as much of 1.

    A float64 answer may come from float32 on the way (6e-8 of a p near 1), or from central
    differences (1e-10); no wrong derivation is as close as 1e-6. A float32 answer has less.
    """
    part = 1e-4 if answer.dtype == np.float32 else 1e-6
    return part * (1.0 + float(np.max(np.abs(wanted), initial=0.0)))


def close(answer: Any, *wanted: Any) -> bool:
    """Whether an array is the first of those wanted, to the accuracy that any of them needs."""
    allowed = max(tolerance(answer, x) for x in wanted)
    return answer.shape == wanted[0].shape and bool(np.all(np.abs(answer - wanted[0]) <= allowed))


def array_text(x: Any) -> str:
    """An array on one line."""
    text = np.array2string(np.asarray(x), separator=", ", precision=4, suppress_small=True)
    text = " ".join(text.split()).replace("-0. ", "0. ")  # aligned by NumPy for lines of its own
    return text.replace("[ ", "[").replace(" ]", "]").replace(" ,", ",")


class Trial(NamedTuple):
    """A draw of the inputs, the engine's answer there, and the learner's."""

    problem: "Problem"
    seed: int  # the number of the draw
    large: bool  # with scores near 1000
    sizes: Mapping[str, int]  # of the dimensions; N is that of the batch
    inputs: Arrays
    right: Arrays
    function: Callable[..., Any]  # the engine's own, until a learner's is tried
    yours: Arrays = {}  # what that returned
    trouble: str = ""  # why it returned nothing
    derived: bool = False  # whether the engine was asked for a gradient
    where: str = ""  # the entry that is furthest off, and by how much

    @property
    def batch(self) -> int:
        """How many samples there are; 1 if there are none."""
        return self.sizes.get("N", 1)

    @property
    def triples(self) -> list[tuple[str, Any, Any]]:
        """The answer's arrays, each with its name before it and the right one behind."""
        return [(name, a, self.right[name]) for name, a in self.yours.items()]

    @property
    def agrees(self) -> bool:
        """Whether all of it is right."""
        return all(close(a, g) for _name, a, g in self.triples)

    @property
    def size(self) -> tuple[float, ...]:
        """Small draws first: few entries, then whole numbers, then small ones."""
        arrays = [np.abs(x) for x in self.inputs.values()]
        broken = any((x % 0.25).any() for x in arrays)
        return sum(map(np.size, arrays)), broken, sum(float(x.sum()) for x in arrays)


def same(function: Any) -> Any:
    """The function itself."""
    return function


@dataclass(eq=False, repr=False, kw_only=True)
class Problem:
    """A derivative to find; `Exercise` describes the fields."""

    loss: Callable[..., Any]
    inputs: Mapping[str, Input]
    wrt: Sequence[str]
    mistakes: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    derive: Callable[..., Callable[..., Any]] = grad
    file: str = ""
    asks: str = ""
    through: Callable[[Any], Callable[..., Any]] = same

    def __post_init__(self) -> None:
        self.name = self.file.rpartition(".")[2] or self.loss.__name__  # what it is imported by
        wanted = "gradient" if self.derive is grad else self.derive.__name__
        self.call = self.asks or f"{wanted}({', '.join(self.inputs)})"  # the learner's function
        self.function = self.call.partition("(")[0]
        self.parts = [f"d{n}" for n in self.wrt] if len(self.wrt) > 1 else [f"your {wanted}"]

    @cached_property
    def derivative(self) -> Callable[..., Any]:
        """The engine's own answer, of the inputs."""
        places = [[*self.inputs].index(name) for name in self.wrt]
        return self.derive(self.loss, places if len(places) > 1 else places[0])

    def named(self, answer: Any) -> Arrays:
        """The arrays of an answer, which is one of them or a tuple of several, by their names."""
        arrays = answer if len(self.wrt) > 1 else (answer,)
        return dict(zip(self.parts, map(np.asarray, arrays)))

    def told(self, inputs: Arrays) -> list[str]:
        """The inputs, a line each."""
        return [f"{name} = {array_text(x)}" for name, x in inputs.items()]

    def picture(self, inputs: Arrays) -> str:
        """The inputs as an SVG, where that says more than lines."""
        return ""

    @cached_property
    def scores(self) -> str:
        """The input that exp is taken of, if there is one: in a large draw it is another."""
        plain, large = draw(self, 0).inputs, draw(self, 0, large=True).inputs
        return next((name for name in plain if np.any(plain[name] != large[name])), "")


@lru_cache(maxsize=8192)
def draw(problem: Problem, seed: int, large: bool = False) -> Trial:
    """Draw every input and derive, once; nothing of it stands in a file."""
    drawing, inputs = Drawing(seed, large), dict[str, Any]()
    for name, sample in problem.inputs.items():
        x = np.array(sample(drawing))
        x.flags.writeable = False  # whoever changes an input is told of it
        inputs[name] = x if x.ndim else float(x)
    right = problem.named(problem.derivative(*inputs.values()))
    return Trial(problem, drawing.seed, large, drawing.sizes, inputs, right, problem.derivative)
