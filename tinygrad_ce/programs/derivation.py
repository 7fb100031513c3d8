"""A derivation: the chain rule with the learner's names, then what the simplifier does, by steps.

The simplifier rewrites a call at a time, so a run of it that stops after so many calls is a program
as well. These programs are the stages. Each is run on drawn data, and counts only if it gives what
the one before it gives.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import wraps
from typing import Any, NamedTuple

import numpy as np

from ..engine.text import _
from ..engine.transforms import flatten
from ..losses.losses import COMPOSED
from .compiled import Program, cleaned
from .lines import CHECKED, Line, distributions, evaluate, fact, live, reads, replace, walk
from .recording import Recording
from .simplifier import PASSES, Simplifier, alike, coefficient, is_call
from .sizes import write_sizes

DRAWS = 3  # beside the example
MOST = 150  # stages; of a longer simplification, each is several of the simplifier's steps
LONG = 8  # operations that a variable without a name may be
Named = dict[str, Any]  # of each variable its gradient: a line, or a constant


class Stage(NamedTuple):
    """The gradients after some steps of the simplifier, and the part that the last one rewrote."""

    gradients: Named
    before: Any = None
    after: Any = None


class Derived:
    """What a function computes, the chain rule, and the stages in which that becomes simple.

    Attributes
    ----------
    lines : all of them
    rules : the chain rule: each gradient by those before it, newest first; what f returns as ""
    stages : the same gradients, written out, as they become simple
    leaves : the gradients that are leaves in the chain rule, and their names
    claimed : the numbers of the stages that hold only where a table sums to 1
    checked : for how many inputs the lines were computed: those of which the gradients are finite
    is_whole : whether the last stage is the simplifier's own result: no check has failed
    """

    def __init__(self, recording: Recording, args: Sequence[Any]) -> None:
        inputs = {at: x for at, x in recording.arguments.items() if x.__class__ is Line}
        lines, outputs = Simplifier(recording.lines, recording.outputs, limit=0).run()
        _name(inputs.values(), lines, outputs[0])
        wrt = dict(zip(_places(recording), [x for _at, x in flatten(outputs[1])]))
        named = _targets(lines, outputs[0]) | wrt | {"": outputs[0]}
        leaves = _leaves(named, {*inputs.values(), *live(lines, outputs[0])})
        self.leaves = {leaf: name for name, leaf in leaves.items()}
        self.arguments = inputs | {f"∂{name}": leaf for name, leaf in leaves.items()}
        self.parameters, self.calls, self.rows = recording.parameters, recording.calls, None
        claimed = {x for line in lines if line.function is distributions for x in walk(line.args)}
        draws = [*_draws(inputs, recording, args, claimed)]
        draws = [data for data in draws if _is_finite(*_values(lines, named, [data]))]
        self.checked = len(draws)
        free = [data | {x: 1.7 * data[x] for x in claimed} for data in draws if claimed]
        self.draws = draws + free  # in these no table sums to 1
        self.lines, self.rules = self._chain(lines, named, leaves)
        self.stages, self.claimed, self.is_whole = list[Stage](), set[int](), True
        wanted = _values(lines, named, self.draws)
        self._simplify(_stages(*_joined(self.lines, self.rules, leaves), wrt), wanted)
        if self.is_whole:
            self._simplify(self._collected(lines, outputs[0], wrt), wanted)

    def _chain(self, lines: list[Line], named: Named, leaves: Named) -> tuple[list[Line], Named]:
        """The chain rule, each gradient as short as it is by those before it."""
        cut = _cut(lines, named, {named[name]: leaf for name, leaf in leaves.items()})
        wanted = _values(lines, named, self.draws)
        given = [a | {leaves[name]: b[name] for name in leaves} for a, b in zip(self.draws, wanted)]
        short = Simplifier(*cut).run()
        return short if _equal(wanted, _values(*short, given)) else cut

    def _simplify(self, stages: Iterator[tuple[list[Line], Stage]], wanted: list[Named]) -> None:
        """Keep the stages that are right, up to the first that is not."""
        for lines, stage in stages:
            values = _values(lines, stage.gradients, self.draws)
            self.is_whole = _equal(wanted[: self.checked], values[: self.checked])
            if not self.is_whole:
                break
            if not _equal(wanted, values):
                self.claimed.add(len(self.stages))
            wanted = values
            self.stages.append(stage)
            self.lines = [*dict.fromkeys([*self.lines, *lines])]

    def _collected(self, lines: list[Line], value: Any, wrt: Named) -> Iterator[Any]:
        """The gradients as a program has them, if that is shorter than the last stage."""
        found, (_value, slopes) = cleaned(lines, (value, [*wrt.values()]))
        last = self.stages[-1].gradients
        if length(slopes) < length([last[name] for name in wrt]):
            yield [*self.lines, *found], Stage(last | dict(zip(wrt, slopes)))

    @property
    def outputs(self) -> Any:
        """All that its lines are for, as `write_sizes` takes and gives it."""
        return self.rules, [tuple(stage) for stage in self.stages]

    @outputs.setter
    def outputs(self, found: Any) -> None:
        self.rules, stages = found
        self.stages = [Stage(*stage) for stage in stages]


def derivation(f: Any, examples: Any, wrt: Any, sums_to_one: Any) -> Derived:
    """The derivation of f's gradient; what a fused loss does is derived, too."""

    @wraps(f)
    def composed(*args: Any) -> Any:
        before = COMPOSED.set(True)
        try:
            return f(*args)
        finally:
            COMPOSED.reset(before)

    found = Program(composed if callable(f) else f, examples, wrt, False, True, False, sums_to_one)
    recording, args = found._example  # recorded once; its source is not asked for
    if not recording.differentiated:
        text = "derive: f gives {got}, wanted one number that depends on wrt, a loss"
        raise ValueError(_(text, got=recording.outputs[0]))
    made = Derived(recording, args)

    def again(args: Any) -> Derived:
        return Derived(found._record(args), args)

    write_sizes(made, again, lambda made: None, args, found._numbers)  # nobody calls it
    return made


# ------------------------------------------------------------------ what has a name
def _name(inputs: Any, lines: Sequence[Line], value: Any) -> None:
    """Names that stand for one line each (a second h is h_2), also for what is long without."""
    often = Counter(x.name for x in inputs)
    size, of = dict[Line, int](), {*live(lines, value)} - {value}
    for line in lines:
        size[line] = 1 + sum(0 if x.name else size[x] for x in reads(line))
        if line.function and size[line] > LONG and not line.name and line in of:
            line.name = line.function.__name__
        if line.function and line.name and line.function not in CHECKED:
            often[line.name] += 1
            line.name += f"_{often[line.name]}" if often[line.name] > 1 else ""


def _places(recording: Recording) -> list[str]:
    """Where in the arguments the variables stand, in the order of their gradients."""
    wrt = recording.differentiated.split(", ")
    places = [at for at in recording.arguments if at.partition("[")[0] in wrt]
    return sorted(places, key=lambda at: wrt.index(at.partition("[")[0]))


def _targets(lines: Sequence[Line], value: Any) -> Named:
    """The gradients of the learner's variables, newest first."""
    often = Counter(line.of for line in lines)
    named = {x: line for line in lines if (x := line.of) is not None and often[x] == 1}
    return {x.name: g for x, g in named.items() if x.name and x.function and x is not value}


def _leaves(named: Named, forward: set[Line]) -> dict[str, Line]:
    """A leaf in the place of each gradient that is computed backward, by the first of its names."""
    found = dict[Line, str]()
    for name, x in named.items():
        if x.__class__ is Line and x not in forward:
            found.setdefault(x, name)
    return {name: Line(None, (), {}, x.shape, x.kind) for x, name in found.items()}


# ------------------------------------------------------------------ the chain rule
def _cut(lines: Sequence[Line], named: Named, leaves: dict[Line, Line]) -> tuple[list[Line], Named]:
    """The lines with leaves in the place of gradients; of these, what they are computed by."""
    new: dict[Line, Line] = {}

    def read(x: Line) -> Any:
        return leaves.get(x) or new[x]

    for line in lines:
        args, options = replace((line.args, line.options), read)
        made = Line(line.function, args, options, line.shape, line.kind, line.name)
        new[line] = made if line.function else line
    rules, seen = dict[str, Any](), set[Line]()
    for name, x in named.items():
        first = x.__class__ is Line and x not in seen
        rules[name] = new[x] if first else replace(x, read)
        seen.update(walk(x))
    return [*leaves.values(), *new.values()], rules


def _joined(
    lines: Sequence[Line], rules: Named, leaves: dict[str, Line]
) -> tuple[list[Line], Named]:
    """The chain rule as one program, each gradient in the place of its leaf."""
    of = {leaf: rules[name] for name, leaf in leaves.items()}
    new: dict[Line, Any] = {}
    program: list[Line] = []

    def read(x: Any) -> Any:
        while x.__class__ is Line and x in of:
            x = of[x]
        return new[x] if x.__class__ is Line else x

    for line in lines:
        if line in of:
            continue
        args, options = replace((line.args, line.options), read)
        made = Line(line.function, args, options, line.shape, line.kind, line.name)
        new[line] = made = made if line.function else line
        if line.function is np.vdot and alike(args[0], args[1]):
            product = Line(np.multiply, args, {}, args[0].shape, line.kind)
            made.function, made.args = np.sum, (product,)  # the product may be simpler
            program.append(product)
        program.append(made)
    return program, replace(rules, read)


def length(results: Sequence[Any]) -> int:
    """How many operations results are, written out down to what has a name."""
    todo, found = [*walk([*results])], 0
    while todo and found < 10 * MOST:
        x = todo.pop()
        if x.function and not x.name:
            todo += reads(x)
            found += not fact(x.function, "moves")
    return found


def _stages(lines: list[Line], named: Named, wrt: Named) -> Iterator[tuple[list[Line], Stage]]:
    """What becomes of the gradients, with the lines that they are computed by."""
    yield lines, Stage(named)
    outputs: Any = [named[name] for name in ("", *wrt)]
    for _pass in range(PASSES if all(line.is_number for line in lines) else 1):
        whole = Simplifier(lines, outputs)
        shorter, simple = whole.run()
        steps = [*_steps(whole)]
        for place, limit in steps[:: 1 + len(steps) // MOST]:
            part = Simplifier(lines, outputs, limit)
            part.run()
            found = replace(named, part.new.__getitem__)
            before, after = next(entry[2:] for entry in part.log if entry[0] == place)
            yield [*part.lines, before], Stage(found, before, after)
        named = replace(named, whole.new.__getitem__)
        yield whole.lines, Stage(named)
        if len(shorter) >= len(lines):
            break
        lines, outputs = shorter, simple
        named = {name: x for name, x in named.items() if {*live(whole.lines, x)} <= {*lines}}


def _steps(whole: Simplifier) -> Iterator[tuple[int, int]]:
    """The call that is a step of a simplification, and the last one in it.

    A call and those in it are one step, but of a product with a sum, which is multiplied out first,
    and where a claim is used, which is a step of its own.
    """
    log, done = sorted(whole.log, key=lambda entry: entry[0]), 0
    claims = [place for place, _last, x, _new in log if is_claim(x)]
    for place, last, before, _after in log:
        if place > done:
            sums = any(is_call(coefficient(x)[1], np.add, np.subtract) for x in before.args)
            opened = before.function is np.multiply and sums
            opened = opened or any(place < claim <= last for claim in claims)
            done = place if opened else last
            yield place, done


def is_claim(x: Line) -> bool:
    """Whether a line is the sum of a table of which the caller says that it is 1."""
    return x.function is np.sum and is_call(coefficient(x.args[0])[1], distributions)


# ------------------------------------------------------------------ the check
def _draws(
    inputs: Named, recording: Recording, args: Sequence[Any], claimed: set[Line]
) -> Iterator[dict[Line, Any]]:
    """The example, and data like it."""
    rng, pairs = np.random.default_rng(0), zip(recording.parameters, args)
    leaves = {at: x for name, arg in pairs for at, x in flatten(arg, name)}
    for i in range(1 + DRAWS):
        data = {x: _drawn(leaves[at], rng) if i else leaves[at] for at, x in inputs.items()}
        yield data | {x: data[x] / data[x].sum(axis=-1, keepdims=True) for x in claimed}


def _drawn(x: Any, rng: np.random.Generator) -> Any:
    """Data of the same shape, kind and range, not far from 0; whole numbers as they are."""
    a = np.asarray(x)
    if a.dtype.kind != "f" or not a.size:
        return x
    if len(np.unique(a)) <= 2 < a.size and a.any():  # a table of 0 and 1, signs
        new = rng.permuted(a, axis=-1)
    elif np.all(a >= 0) and np.any(a):  # what is 0, or at most 1, stays so
        new = a ** rng.uniform(0.5, 1.5, a.shape)
    else:
        new = (a * min(1.0, 3.0 / np.max(np.abs(a), initial=1.0))) + rng.normal(size=a.shape)
    return float(new) if x.__class__ is float else new.astype(a.dtype)


def _is_finite(named: Named) -> bool:
    return all(np.all(np.isfinite(x)) for x in named.values())


def _values(lines: Sequence[Line], named: Named, draws: Sequence[Any]) -> list[Named]:
    """The gradients for each of the drawn data."""
    needed = live(lines, named)
    with np.errstate(all="ignore"):
        return [replace(named, evaluate(needed, data).__getitem__) for data in draws]


def _equal(before: Sequence[Named], after: Sequence[Named]) -> bool:
    """Whether gradients are equal to rounding."""
    for one, other in zip(before, after):
        pairs = [(np.asarray(one[name]), np.asarray(x)) for name, x in other.items()]
        tops = [np.max(np.abs(x), initial=0.0) for x, _y in pairs]
        for (x, y), top in zip(pairs, tops):
            near = 1e-8 if x.dtype.itemsize == 8 else 1e-3
            bound = near * (top + 1e-6 * max(tops))  # the second, where terms cancel
            if x.shape != y.shape or not np.all(np.abs(x - y) <= bound):
                return False
    return True
