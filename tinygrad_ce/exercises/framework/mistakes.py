"""Known wrong derivations, and which of them an answer is.

A wrong derivation is the right one with one step changed: what arrives over one path of the graph,
or all of it, is forgotten, has the wrong sign, or a factor; a slope is left out, or is another
one's; a step of the loss, or of the solution, is another operation; the steps end too early. Each
has a name and, behind a colon, where to look. What no step explains a teacher lists.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache, partial
from itertools import chain, combinations, product, tee
from typing import Any

import numpy as np

from ...engine.language import Sentence, Words
from ...engine.transforms import grad, jacobian
from ...engine.value import Value, detach
from ...losses.activations import MISTAKEN
from ...programs.lines import walk
from .backward import Backward, Make, Mistakes, more_factors, of_chain_rule, too_early
from .changes import UNKNOWN, Graph, Steps, again, each_time, graph_of
from .inputs import DRAWS
from .problem import Arrays, Problem, Trial, close, draw

Pair = tuple[str, str, int]  # a factor, or nothing, and a mistake, with its kind
# How many times too large all of an answer can be, or what arrives over one path.
FACTORS = {
    "no gradient: is every path from the input to L in it?": 0.0,
    "sign flipped: follow the minus signs, one by one": -1.0,
    "a factor 2 too many: where does a 2 come from, or a 1/2 go?": 2.0,
    "a factor 2 missing: is there a square, or a sum of two?": 0.5,
}
SWAPPED = Sentence("the results swapped: in which order are they wanted?")  # all of them
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


def _answers(t: Trial) -> Mistakes:
    """What becomes of the whole answer."""
    square = [g.ndim == 2 and g.shape[0] == g.shape[1] for g in t.right.values()]
    changes = {**(MATRICES if all(square) and t.problem.derive is not grad else {}), **SHAPES}
    for text, change in changes.items():
        yield text, partial(_of_each, t, change, t.sizes.get("N", 1))
    for text, factor in _factors(t).items():
        yield text, partial(_of_each, t, np.multiply, factor)
    for a, b in combinations(t.right, 2):
        yield SWAPPED, partial(dict[str, Any], {**t.right, a: t.right[b], b: t.right[a]})
    for text, before in t.problem.earlier(t.inputs).items():
        yield text, partial(lambda f: dict.fromkeys(t.right, f()), before)


def _of_each(t: Trial, f: Callable[..., Any], *args: Any) -> Arrays:
    return {name: f(g, *args) for name, g in t.right.items()}


def _twice(t: Trial) -> Arrays:
    """The slope of each entry of a gradient by its own input."""
    found = jacobian(t.problem.derivative, t.problem.places[0])(*t.inputs.values())
    ((name, g),) = t.right.items()
    return {name: np.diag(np.reshape(found, (g.size, -1))).reshape(g.shape)}


def _forgotten(t: Trial) -> Mistakes:
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
            yield text, partial(instead, {**t.inputs, name: (x + 1.0) / 2.0})
    for a, b in combinations(t.inputs, 2):
        if np.shape(t.inputs[a]) == np.shape(t.inputs[b]):
            turned = {**t.inputs, a: t.inputs[b], b: t.inputs[a]}
            text = Sentence("{a} and {b} exchanged: which of them stands where?", a=a, b=b)
            yield text, partial(instead, turned)


def _in_solution(t: Trial) -> Mistakes:
    """What a solution gives that has another operation in one step; steps of the loss are told."""
    graph = graph_of(lambda t: t.problem.solved(t.inputs), t, _loss(t.problem, t.seed))

    def found(steps: Steps) -> Arrays:
        return dict(zip(t.right, map(detach, graph.rerun(steps))))

    for z, node, name in graph.activations:
        for text, other in MISTAKEN.get(name, {}).items():
            yield text, partial(found, {node: lambda *_args, f=other, z=z: f(z.data)})
    for text, steps in each_time(graph.ways("is each step as you derived it?")):
        yield text, partial(found, steps)
    for _z, p, name in graph.activations:
        for step in (n for n in graph.nodes if p in {*walk(n.parents, Value)}):
            for text, by in {
                "the slope of the {name} in it once more: where is it already?": p.data
                * (1.0 - p.data),
                "the {name} in it once more: where is it already?": p.data,
            }.items():
                more = {step: lambda *args, n=step, by=by: by * again(n, *args)}
                yield Sentence(text, name=name), partial(found, more)


@lru_cache(maxsize=256)
def _loss(problem: Problem, seed: int) -> Graph:
    return graph_of(lambda t: t.problem.loss, draw(problem, seed))


@lru_cache(maxsize=256)
def _chain(problem: Problem, seed: int) -> Backward:
    return Backward(draw(problem, seed), _loss(problem, seed))


def _own(t: Trial) -> Mistakes:
    for text, wrong in t.problem.mistakes.items():
        yield text, partial(lambda f: t.problem.named(f(*t.inputs.values())), wrong)


def _in_chain_rule(chain: Backward) -> Mistakes:
    yield from of_chain_rule(chain, _factors(chain.t))
    if len(chain.right) == 1:
        yield Sentence("differentiated twice: one derivative too far"), partial(_twice, chain.t)


KINDS = _own, _answers, _forgotten, _in_chain_rule, too_early, _in_solution, more_factors
CHAINED = _in_chain_rule, too_early, more_factors  # what a gradient alone has
USUAL = 4  # the rank up to which a mistake is told beside the one that is named


def _kinds(problem: Problem) -> Sequence[int]:
    if problem.asks:
        return 0, 1
    return [k for k, kind in enumerate(KINDS) if problem.derive is grad or kind not in CHAINED]


def _rank(problem: Problem, pair: Pair) -> int:
    """Which of the mistakes that explain an answer is named, the least."""
    _factor, text, kind = pair
    if KINDS[kind] is not _in_solution:
        return kind
    only = [*problem.wrt]  # of one, more than one step is to be left out
    first = {*chain(*MISTAKEN.values())} | {f"{n} left out" for n in problem.inputs if [n] != only}
    vague = UNKNOWN in text or text[0].isdigit()
    return 2 if {text, text.partition(":")[0]} & first else 8 if vague else 3


@lru_cache(maxsize=2**15)
def _made(make: Make) -> Arrays:
    """What a mistake arrives at; nothing if that cannot be, or is not finite."""
    with suppress(ValueError, ArithmeticError, TypeError, LookupError, AttributeError):
        made = {name: np.asarray(x) for name, x in make().items()}
        if all(np.isfinite(x).all() for x in made.values()):  # inf is close to all
            return made
    return {}


@lru_cache(maxsize=8192)
def _first(problem: Problem, seed: int, kind: int) -> list[Any]:
    """The mistakes of a kind in a draw, from the first; each is found once."""
    of: Any = (_chain if KINDS[kind] in CHAINED else draw)(problem, seed)
    return [((x if isinstance(x, Words) else Words(x), make) for x, make in KINDS[kind](of))]


def wrong_answers(problem: Problem, seed: int, kind: int) -> Iterator[tuple[Words, Make]]:
    """The mistakes of a kind in a draw, with what makes their answers; a name may stand twice."""
    kept = _first(problem, seed, kind)
    kept[0], them = tee(kept[0])
    return them


def name_mistakes(trials: Sequence[Trial], every: bool = False) -> Sequence[str]:
    """The mistakes whose answers these are on every draw, with where to look; the first is named.

    Vague ones are told if there is no other, or with ``every``. One array of several may be right:
    then the mistake is in the others. Or each has its own. Two mistakes at once are tried where one
    of them is a factor of all of the answer.
    """
    problem = trials[0].problem
    off = [n for n in problem.parts if not all(close(t.yours[n], t.right[n]) for t in trials)]
    late = [k for k in _kinds(problem) if KINDS[k] is more_factors]
    kinds = [k for k in _kinds(problem) if k not in late]
    found = _explaining(trials, off, kinds) if off else []
    if off and (every or not any(_rank(problem, pair) <= USUAL for pair in found)):
        found = sorted(found + _explaining(trials, off, late), key=partial(_rank, problem))
    if found or not off:
        least = max([USUAL, *(_rank(problem, pair) for pair in found[:1])])
        told = [pair for pair in found if every or _rank(problem, pair) <= least]
        return [*dict.fromkeys(text for _factor, text, _kind in told)]
    text = "{one:name}, and {other:name}: {one:look}; {other:look}"
    pairs = _explaining(trials, off, kinds + late, pairs=True)
    if not pairs and len(off) == 2:
        text = "{a} {one:name}, and {b} {other:name}: {one:look}; {other:look}"
        each = [_explaining(trials, [name], kinds + late) for name in off]
        pairs = [(one[1], *other[1:]) for one, other in zip(*each)]
    return [Sentence(text, a=off[0], b=off[-1], one=x, other=y) for x, y, _kind in pairs[:1]]


def twins_of(problem: Problem) -> Mapping[str, Sequence[str]]:
    """What no draw tells apart: each mistake with all that give the same; with none if it is right.

    Examples
    --------
    >>> from tinygrad_ce.exercises import sigmoid
    >>> [f"{text:name}" for text in sigmoid.twins["squared: each slope stands in it once"]]
    ['squared', 'the slope of the sigmoid in it once more']
    """
    draws = [draw(problem, seed) for seed in range(DRAWS)]
    made = [dict[str, Arrays]() for _draw in draws]
    with np.errstate(all="ignore"):
        for (t, of), kind in product(zip(draws, made), _kinds(problem)):
            for text, make in wrong_answers(problem, t.seed, kind):
                of.setdefault(text, _made(make))
    pairs = {text: [(t, x.get(text)) for t, x in zip(draws, made)] for text in made[-1]}
    answers = {text: [t._replace(yours=x) for t, x in two if x] for text, two in pairs.items()}
    return {text: name_mistakes(trials, every=True) for text, trials in answers.items() if trials}


def _explaining(
    trials: Sequence[Trial], off: Sequence[str], kinds: Iterable[int], pairs: bool = False
) -> list[Pair]:
    """The mistakes that explain some of the results on every draw; or ``pairs`` with a factor.

    The draw that tells most comes first, and leaves the fewest. A solution has fewer steps where a
    dimension is 1, say; half of the draws have to have the step.
    """
    problem = trials[0].problem
    found = dict[Pair, int]()
    order = sorted(
        trials, key=lambda t: (len({*t.sizes.values()} - {1, 2}), t.size[1], t.size), reverse=True
    )
    for t in order:
        factors = {Words(x): f for x, f in _factors(t).items() if f} if pairs else {Words(): 1.0}
        first, tried = t is order[0], dict[Pair, Any].fromkeys(found)
        for kind in kinds:
            mine = [two for two in found if two[-1] == kind]
            for text, make in wrong_answers(problem, t.seed, kind):
                if not first and all(map(tried.get, mine)):
                    break
                if pairs and text is SWAPPED and len(off) < len(t.right):
                    continue  # both are, or none
                for two, factor in (((one, text, kind), f) for one, f in factors.items()):
                    if first:
                        tried.setdefault(two)
                    if two in tried and not tried[two] and (x := _made(make)):
                        right = (close(t.yours[n], factor * x[n], t.right[n]) for n in off)
                        tried[two] = all(right)
        found = {two: found.get(two, 0) + bool(x) for two, x in tried.items() if x is not False}
        found = {two: n for two, n in found.items() if n or first}
        kinds = {kind for _one, _text, kind in found}
    left = [two for two, n in found.items() if 2 * n >= len(trials)]
    return sorted(left, key=partial(_rank, problem))
