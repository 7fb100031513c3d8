"""What is asked of a learner, as the engine sees it: a function, its inputs, its derivative."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from typing import Any, NamedTuple

import numpy as np

from ...engine.language import Sentence
from ...engine.transforms import grad, hessian, jacobian
from ...programs.batching import batch
from ...programs.collecting import collect
from ...programs.lines import evaluate, live, replace
from ...programs.recording import Recording
from .inputs import DRAWS, Drawing, Input

KINKS = 6  # times that inputs are drawn, until none is at a kink
Arrays = Mapping[str, Any]  # those of an answer, or the inputs, by their names


def tolerance(answer: Any, wanted: Any) -> float:
    """How far an entry may be off: a part of the gradient's largest entry, and as much of 1.

    A float64 answer may come from float32 on the way (6e-8 of a p near 1), or from central
    differences (1e-10); no wrong derivation is as close as 1e-6. A float32 answer has less.
    """
    part = 1e-4 if answer.dtype == np.float32 else 1e-6
    return part * (1.0 + float(np.abs(wanted).max(initial=0.0)))


def close(answer: Any, *wanted: Any) -> bool:
    """Whether an array is the first of those wanted, to the accuracy that any of them needs."""
    allowed = max(tolerance(answer, x) for x in wanted)
    return answer.shape == wanted[0].shape and bool((np.abs(answer - wanted[0]) <= allowed).all())


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
        self.words: dict[Any, Any] = {}  # what steps are called, by their operations
        self.numbers: dict[Any, Any] = {}  # and their numbers, in the draw that came first
        self.solutions: dict[Any, Callable[..., Any]] = {}  # by the shapes of the inputs
        self.name = self.file.rpartition(".")[2] or self.loss.__name__  # what it is imported by
        wanted = "gradient" if self.derive is grad else self.derive.__name__
        self.places = [[*self.inputs].index(name) for name in self.wrt]
        self.call = self.asks or f"{wanted}({', '.join(self.inputs)})"  # the learner's function
        self.function = self.call.partition("(")[0]
        self.parts = [f"d{n}" for n in self.wrt] if len(self.wrt) > 1 else [f"your {wanted}"]

    @cached_property
    def derivative(self) -> Callable[..., Any]:
        """The engine's own answer, of the inputs."""
        return self.derive(self.loss, self.places if len(self.wrt) > 1 else self.places[0])

    def named(self, answer: Any) -> Arrays:
        """The arrays of an answer, which is one of them or a tuple of several, by their names."""
        arrays = answer if len(self.wrt) > 1 else (answer,)
        return dict(zip(self.parts, map(np.asarray, arrays)))

    def solved(self, inputs: Arrays) -> Callable[..., Any]:
        """The answer written out for inputs of these shapes, simplified as `program` does it."""
        shapes = tuple(map(np.shape, inputs.values()))
        if shapes in self.solutions:
            return self.solutions[shapes]
        made = Recording(self.derivative, [*inputs.values()], None, False, ())
        if self.derive is grad:
            made = Recording(self.loss, [*inputs.values()], self.places, False, self.tables)
        lines, (value, slopes) = collect(*batch(made.lines, made.outputs))
        wanted = [*slopes] if self.derive is grad else [value]
        known = made.arguments.values()
        self.solutions[shapes] = lambda *inputs: tuple(
            replace(wanted, evaluate(live(lines, wanted), dict(zip(known, inputs))).__getitem__)
        )
        return self.solutions[shapes]

    @cached_property
    def tables(self) -> list[str]:
        """The inputs whose rows sum to 1."""
        some = [draw(self, seed).inputs for seed in range(DRAWS)]
        rows = [name for name in self.inputs if np.ndim(some[0][name])]
        return [n for n in rows if all(np.allclose(np.sum(s[n], axis=-1), 1.0) for s in some)]

    def earlier(self, inputs: Arrays) -> dict[str, Callable[[], Any]]:
        """What comes before the derivative, with what it is called."""
        text = "the loss itself: how fast does it change?"
        if self.derive is jacobian:
            text = "the function itself: how fast does it change?"
        found = {Sentence(text): self.loss}
        if self.derive is hessian:
            first = grad(self.loss, self.places[0])
            text = "the gradient itself: how fast does it change?"
            found[Sentence(text)] = first
            text = "the gradient's outer product: that is the square of a slope, not its slope"
            found[Sentence(text)] = lambda *args: np.multiply.outer(first(*args), first(*args))
            for name, c in inputs.items():
                text = Sentence("{c} differentiated as well: is it a variable?", c=name)
                found[text] = lambda *args, c=c: self.derivative(*args) - np.diag(c)
        return {x: partial(f, *inputs.values()) for x, f in found.items()}

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


def _is_kink(problem: Problem, inputs: Arrays, right: Arrays) -> bool:
    """Whether a derivative jumps here, as that of max(0, x) does at 0: several are right there."""
    rng = np.random.default_rng(0)
    beside = {
        name: inputs[name] + 1e-9 * rng.normal(size=np.shape(inputs[name])) for name in problem.wrt
    }
    moved = problem.named(problem.derivative(*{**inputs, **beside}.values()))
    return not all(map(close, moved.values(), right.values()))


@lru_cache(maxsize=8192)
def draw(problem: Problem, seed: int, large: bool = False) -> Trial:
    """Draw every input and derive, once; nothing of it stands in a file."""
    drawing = Drawing(seed, large)
    for again in range(KINKS):
        inputs = dict[str, Any]()
        for name, sample in problem.inputs.items():
            x = np.array(sample(drawing))
            x.flags.writeable = False  # whoever changes an input is told of it
            inputs[name] = x if x.ndim else float(x)
        right = problem.named(problem.derivative(*inputs.values()))
        if large or again == KINKS - 1 or not _is_kink(problem, inputs, right):
            break
        drawing.integers = drawing.integers and again < KINKS // 2
    return Trial(problem, drawing.seed, large, drawing.sizes, inputs, right, problem.derivative)
