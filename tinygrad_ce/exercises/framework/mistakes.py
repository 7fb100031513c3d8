"""Known wrong derivations, and which of them an answer is.

A wrong derivation is the right one with one step changed: what arrives over one path of the graph,
or all of it, is forgotten, has the wrong sign, or a factor; a slope is left out, or is another
one's; a step of the loss, or of the solution, is another operation; the steps end too early. Each
has a name and, behind a colon, where to look. What no step explains a teacher lists.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property, lru_cache, partial
from itertools import chain, combinations, product
from typing import Any

import numpy as np

from ...engine.language import Sentence, Words
from ...engine.transforms import grad, jacobian
from ...engine.value import Value
from ...programs.lines import walk
from .backward import Backward, Make
from .changes import ACTIVATIONS, UNKNOWN, Graph, graph_of
from .inputs import DRAWS
from .problem import Arrays, Problem, Trial, close, draw

Pair = tuple[str, str]  # a factor, or nothing, and a mistake
# How many times too large all of an answer can be, or what arrives over one path.
FACTORS = {
    "no gradient: is every path from the input to L in it?": 0.0,
    "sign flipped: follow the minus signs, one by one": -1.0,
    "a factor 2 too many: where does a 2 come from, or a 1/2 go?": 2.0,
    "a factor 2 missing: is there a square, or a sum of two?": 0.5,
}
# What is done to a right answer, whose batch has n samples.
SHAPES: Mapping[str, Callable[[Any, int], Any]] = {
    "transposed: your answer has the shape of the input, turned round": lambda g, n: g.T,
    "summed over the batch: each sample has a row of its own; only what the samples share, such as "
    "weights, adds them up": lambda g, n: g.sum(axis=0) if g.shape[:1] == (n,) else g,
    "averaged over the batch: each sample has a row of its own": lambda g, n: g.mean(axis=0),
    "summed over all: each entry has a slope of its own": lambda g, n: g.sum(),
    "summed over each row: each entry has a slope of its own": lambda g, n: g.sum(axis=-1),
    "rows summed, with an axis too many: each entry has a slope of its own":
        lambda g, n: g.sum(axis=-1, keepdims=True),
    "an axis too many: is a keepdims=True to go?": lambda g, n: g[None],
    "an axis too many at the end: is a keepdims=True to go?": lambda g, n: g[..., None],
    "upside down: one divided by your answer is right": lambda g, n: 1.0 / g,
    "squared: each slope stands in it once": lambda g, n: g * g,
}  # fmt: skip
# The same where the answer is a matrix.
MATRICES: Mapping[str, Callable[[Any, int], Any]] = {
    "only the diagonal: each entry has a slope by every other": lambda g, n: np.diag(np.diag(g)),
    "a vector where a matrix is wanted: how many slopes are there?": lambda g, n: np.diag(g),
    "sign of the entries off the diagonal: what does a larger input make of the other entries?":
        lambda g, n: 2.0 * np.diag(np.diag(g)) - g,
}  # fmt: skip


def _factors(t: Trial) -> dict[str, float]:
    """How many times too large all of an answer can be, in a draw."""
    found = dict(FACTORS)
    for name, size in t.sizes.items():
        look = "what is a mean?"
        if name == "N":
            look = "it is right for a batch of one only: what is summed, and what is a mean?"
        elif "N" in t.sizes:
            text = "divided by {size} in place of N: of how many samples is the mean?"
            found[Sentence(text, size=name)] = t.sizes["N"] / size
        why = Sentence(look)
        found[Sentence("{size} times too large: {look}", size=name, look=why)] = size
        found[Sentence("{size} times too small: {look}", size=name, look=why)] = 1 / size
    return found


def _answers(t: Trial) -> Iterator[tuple[str, Make]]:
    """What becomes of the whole answer."""
    square = [g.ndim == 2 and g.shape[0] == g.shape[1] for g in t.right.values()]
    changes = {**(MATRICES if all(square) and t.problem.derive is not grad else {}), **SHAPES}
    for text, change in changes.items():
        yield text, partial(_of_each, t, change, t.sizes.get("N", 1))
    for text, factor in _factors(t).items():
        yield text, partial(_of_each, t, np.multiply, factor)
    for a, b in combinations(t.right, 2):
        turned: Make = partial(dict, {**t.right, a: t.right[b], b: t.right[a]})
        yield Sentence("the results swapped: in which order are they wanted?"), turned
    for text, before in t.problem.earlier(t.inputs).items():
        yield text, partial(lambda f: dict.fromkeys(t.right, f()), before)


def _of_each(t: Trial, f: Callable[..., Any], *args: Any) -> Arrays:
    return {name: f(g, *args) for name, g in t.right.items()}


def _twice(t: Trial) -> Arrays:
    """The slope of each entry of a gradient by its own input."""
    found = jacobian(t.problem.derivative, t.problem.places[0])(*t.inputs.values())
    return {
        n: np.diag(np.reshape(found, (g.size, -1))).reshape(g.shape) for n, g in t.right.items()
    }


def _forgotten(t: Trial) -> Iterator[tuple[str, Make]]:
    """Answers without one of the inputs, as if it were 0, or 1, or with two of them exchanged."""

    def instead(inputs: Arrays) -> Arrays:
        return t.problem.named(t.problem.derivative(*inputs.values()))

    def coded(name: str, y: Any) -> Arrays:
        """With classes −1 and 1 in a formula for 0 and 1: what it is for all of a class."""
        ones, others = (instead({**t.inputs, name: sign * abs(y)}) for sign in (1.0, -1.0))
        return {n: y * g + (1.0 - y) * others[n] for n, g in ones.items()}

    for name, x in t.inputs.items():
        text = Sentence("{name} forgotten: where has it gone?", name=name)
        for number in (0.0, 1.0) if np.asarray(x).dtype.kind == "f" else ():
            other = np.full_like(x, number) if np.ndim(x) else number
            yield text, partial(instead, {**t.inputs, name: other})
        if {*np.ravel(x)} <= {-1.0, 1.0} and np.ndim(x):
            text = Sentence("{name} taken as 0 or 1: its classes are −1 and 1", name=name)
            yield text, partial(coded, name, x)
    for a, b in combinations(t.inputs, 2):
        if np.shape(t.inputs[a]) == np.shape(t.inputs[b]):
            turned = {**t.inputs, a: t.inputs[b], b: t.inputs[a]}
            text = Sentence("{a} and {b} exchanged: which of them stands where?", a=a, b=b)
            yield text, partial(instead, turned)


def _in_solution(t: Trial, loss: Graph) -> Iterator[tuple[str, Make]]:
    """What a solution gives that has another operation in one step; steps of the loss are told."""
    graph = graph_of(t.problem.solved(t.inputs), t, loss)

    def found(node: Any, wrong: Any) -> Arrays:
        outputs = graph.rerun(node, wrong())
        return dict(zip(t.right, (np.asarray(getattr(x, "data", x)) for x in outputs)))

    for z, node, name in graph.activations:
        for text, other in ACTIVATIONS.get(name, {}).items():
            yield text, partial(found, node, partial(other, z.data))
        text = Sentence("the slope of the {name} in it once more: where is it already?", name=name)
        for step in (n for n in graph.nodes if node in {*walk(n.parents, Value)}):
            yield text, partial(found, step, partial(lambda n, p: n * p * (1.0 - p), step, node))
            again = Sentence("the {name} in it once more: where is it already?", name=name)
            yield again, partial(found, step, partial(np.multiply, step, node))
    for change, node, wrong in graph.changes():
        told = Sentence("{change}: is each step as you derived it?", change=change)
        yield told, partial(found, node, wrong)


class Wrong:
    """What a mistake is called, and what it arrives at in a draw."""

    def __init__(self, text: str, make: Make) -> None:
        self.text, self.make = text if isinstance(text, Words) else Words(text), make

    @cached_property
    def arrays(self) -> Arrays | None:
        """The arrays, made when they are first asked for; None if that cannot be."""
        with suppress(ValueError, ArithmeticError, TypeError, LookupError, AttributeError):
            with np.errstate(all="ignore"):
                made = {name: np.asarray(x) for name, x in self.make().items()}
            # Beside inf, every answer would be close enough.
            return made if all(np.isfinite(x).all() for x in made.values()) else None
        return None

    def explains(self, t: Trial, off: Sequence[str], factor: float) -> bool:
        """Whether some of the results of a draw are these, times a factor."""
        made = self.arrays or {}
        return bool(made) and all(close(t.yours[n], factor * made[n], t.right[n]) for n in off)


@lru_cache(maxsize=1024)
def wrong_answers(problem: Problem, seed: int) -> Sequence[Wrong]:
    """What each mistake arrives at in a draw, the exercise's own first; a name may stand twice."""
    t = draw(problem, seed)
    found: list[tuple[str, Make]] = [
        (text, partial(lambda f: problem.named(f(*t.inputs.values())), wrong))
        for text, wrong in problem.mistakes.items()
    ]
    found += _answers(t)
    if not problem.asks:
        loss = graph_of(problem.loss, t)
        found += _forgotten(t)
        solution = [*_in_solution(t, loss)]
        first = {*chain(*ACTIVATIONS.values()), *(f"{name} left out" for name in t.inputs)}
        found += [pair for pair in solution if {pair[0], pair[0].partition(":")[0]} & first]
        backward = Backward(t, loss) if problem.derive is grad else None
        found += backward.mistakes(_factors(t)) if backward else ()
        if backward and len(t.right) == 1:
            text = Sentence("differentiated twice: one derivative too far")
            found.append((text, partial(_twice, t)))
        found += [pair for pair in solution if UNKNOWN not in pair[0]]
        found += backward.too_early() if backward else ()
        found += solution
    return [Wrong(text, make) for text, make in found]


def name_mistakes(trials: Sequence[Trial]) -> Sequence[str]:
    """The mistakes whose answers these are on every draw, with where to look; the first is named.

    One array of several may be right: then the mistake is in the others. Or each has its own. Two
    mistakes at once are tried where one of them is a factor of all of the answer.
    """
    problem = trials[0].problem
    off = [n for n in problem.parts if not all(close(t.yours[n], t.right[n]) for t in trials)]
    found = _explaining(trials, off) if off else []
    if found or not off:
        return [text for _factor, text in found]
    text = "{one:name}, and {other:name}: {one:look}; {other:look}"
    pairs = _explaining(trials, off, pairs=True)
    if not pairs and len(off) == 2:
        text = "{a} {one:name}, and {b} {other:name}: {one:look}; {other:look}"
        each = [_explaining(trials, [name]) for name in off]
        pairs = [(one, other) for (_one, one), (_other, other) in zip(*each)]
    return [Sentence(text, a=off[0], b=off[-1], one=x, other=y) for x, y in pairs[:1]]


def twins_of(problem: Problem) -> Mapping[str, Sequence[str]]:
    """What no draw tells apart: each mistake with all that give the same; with none if it is right.

    Examples
    --------
    >>> from tinygrad_ce.exercises import sigmoid
    >>> [f"{text:name}" for text in sigmoid.twins["squared: each slope stands in it once"]]
    ['squared', 'the slope of the sigmoid in it once more']
    """
    draws = [draw(problem, seed) for seed in range(DRAWS)]
    made = [{w.text: w.arrays for w in reversed(wrong_answers(problem, t.seed))} for t in draws]
    pairs = {text: [(t, x.get(text)) for t, x in zip(draws, made)] for text in made[-1]}
    answers = {text: [t._replace(yours=x) for t, x in two if x] for text, two in pairs.items()}
    return {text: name_mistakes(trials) for text, trials in answers.items() if trials}


def _explaining(trials: Sequence[Trial], off: Sequence[str], pairs: bool = False) -> list[Pair]:
    """The mistakes that explain some of the results on every draw; or ``pairs`` with a factor.

    A solution has fewer steps where a dimension is 1, say; half of the draws have to have the step.
    """
    found: dict[Pair, int] | None = None
    for t in reversed(trials):  # the largest first, which leaves the fewest
        factors = {Words(x): f for x, f in _factors(t).items() if f} if pairs else {Words(): 1.0}
        explains = dict[Pair, bool]()
        for wrong, (one, factor) in product(wrong_answers(t.problem, t.seed), factors.items()):
            two = one, wrong.text
            if (found is None or two in found) and not explains.get(two):
                explains.pop(two, None)  # its place is that of what does explain it
                explains[two] = wrong.explains(t, off, factor)
        found = dict.fromkeys(explains, 0) if found is None else found
        counts = {two: n + explains.get(two, False) for two, n in found.items()}
        found = {two: n for two, n in counts.items() if explains.get(two, True)}
        if not found:
            return []
    return [two for two, n in (found or {}).items() if 2 * n >= len(trials)]
