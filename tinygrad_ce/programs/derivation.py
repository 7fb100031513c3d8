"""A derivation: the chain rule with the learner's names, then what the simplifier does, by steps.

The simplifier rewrites a call at a time, so a run of it that stops after so many calls is a program
as well. These programs are the stages. Each is run on drawn data, and counts only if it gives what
the one before it gives.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from itertools import product
from typing import Any

import numpy as np

from ..engine.text import _
from ..engine.transforms import flatten, unflatten
from ..losses.activations import COMPOSED
from .captured import lift
from .compiled import Program, cleaned
from .fusion import other_data
from .lines import CHECKED, Line, distributions, evaluate, fact, live, reads, replace, walk
from .recording import Recording, places
from .simplifier import Simplifier, alike, coefficient, is_call, key_of
from .sizes import write_sizes

DRAWS = 3  # beside the example
MOST = 150  # stages; of a longer simplification, each is several of the simplifier's steps
FEW = range(2, 5)  # rows, of which a size may be no number of its own
LONG = 8  # operations that a variable without a name may be
Named = dict[str, Any]  # of each variable its gradient, a line or a constant; f itself as ""
Stage = tuple[Named, Any, Any]  # the gradients, and of the last step what it rewrote, and to what


def called(x: Any, name: str) -> Any:
    """X itself: no rule of the simplifier sees through it."""
    return x


class Derived:
    """What a function computes, the chain rule, and the stages in which that becomes simple.

    Attributes
    ----------
    constants : names of arrays, by their `key_of`
    lines, outputs : all lines; the chain rule, newest first, where each gradient that others are
        computed from is ``called`` by its name; and each `Stage`, where it is not
    tables : those of which the caller says that they sum to 1
    claimed : the numbers of the stages that equal the one before only where they do; -1 is f, where
        that is an array
    checked : for how many inputs the lines were computed: those of which the gradients are finite
    is_whole : whether the last stage is the simplifier's own result: no check has failed
    """

    def __init__(self, recording: Recording, args: Sequence[Any]) -> None:
        self.parameters, self.calls, self.rows = recording.parameters, recording.calls, None
        self.arguments, self.stages, self.is_whole = recording.arguments, list[Stage](), True
        self.claimed = set[int]()
        if not recording.differentiated and recording.outputs[0].__class__ is not Line:
            text = "derive: f gives {got}, wanted one number, or one array to simplify"
            raise ValueError(_(text, got=recording.outputs[0]))
        lines, captured = lift(recording.lines, recording.constants)
        lines, (value, slopes) = Simplifier(lines, recording.outputs, limit=0).run()
        self.constants = _name(self.arguments, recording.constants, lines, value)
        for symbol, x in captured.items():
            symbol.name = self.constants[key_of(x)]
        each = slopes if isinstance(slopes, tuple) else [slopes]  # (2.0, 3.0) reads as one array
        gradients = [g for x in each for _at, g in flatten(x)] if recording.differentiated else []
        names = [x.name or x.args[0].name for x in recording.variables]  # of a table, its own
        wrt = dict(zip(names, gradients))
        named = _targets(lines, value) | wrt | {"": value}
        self.draws, self.checked = _draws(recording, args, lines, named, captured)
        wanted, marked = _values(lines, named, self.draws), _marked(lines, named)
        if wrt:
            short, rules = Simplifier(*marked).run()
        else:  # an array, as a Hessian: there is nothing to derive
            short, (array, _none) = cleaned(lines, (value, slopes))
            rules = {"": array}
        values, n = _values(short, rules, self.draws), None if wrt else self.checked
        right = _equal(wanted[:n], values[:n])
        self.claimed |= set() if wrt or _equal(wanted, values) else {-1}
        self.tables = [x.args[0].name for x in lines if x.function is distributions]
        self.lines, rules = (short, rules) if right else marked
        self.outputs: Any = rules, self.stages
        raw: Any = lines, (value, [*wrt.values()])
        self.keep(_stages(*_joined(self.lines, rules), [*wrt], raw), wanted)

    def keep(self, stages: Iterator[tuple[list[Line], Stage]], wanted: list[Named]) -> None:
        """Keep the stages that are right, up to the first that is not."""
        for lines, stage in stages:
            values = _values(lines, stage[0], self.draws)
            self.is_whole = _equal(wanted[: self.checked], values[: self.checked])
            if not self.is_whole:
                break
            if not _equal(wanted, values):
                self.claimed.add(len(self.stages))
            wanted = values
            self.stages.append(stage)
            self.lines = [*dict.fromkeys([*self.lines, *lines])]


def derivation(f: Any, examples: Any, wrt: Any, sums_to_one: Any) -> Derived:
    """The derivation of f's gradient; what a fused loss does is derived, too."""
    with ExitStack() as stack:
        stack.callback(COMPOSED.reset, COMPOSED.set(True))
        program = Program(f, examples, wrt, False, True, False, sums_to_one)
        variables, (_recording, args) = program._arguments.variables, program._example

        def anew(args: Any) -> Derived:
            return Derived(program._record(args, clean=False), args)

        def sized(args: Any) -> Derived:
            made = anew(args)
            write_sizes(made, anew, args, variables)
            return made

        args = [*map(_as_arrays, args)]  # of a number x · x would be no square
        made, few = sized(args), {np.shape(x)[0] for _at, x in flatten(args) if np.ndim(x)}
        for n, kept in product(sorted(few & {*FEW}) if made.rows is None else (), ((), variables)):
            if made.rows is None:  # 2 / n is 1, and gone, where n is 2
                with suppress(Exception):  # what f raises of arrays that do not fit is no one class
                    more = sized([_as_arrays(x, n * (i not in kept)) for i, x in enumerate(args)])
                    made = more if more.rows else made
    return made


def _as_arrays(arg: Any, n: int = 0) -> Any:
    """An argument with arrays for numbers; those of n rows have many times as many, all again."""
    leaves = [np.asarray(x) if x.__class__ is float else x for _at, x in flatten(arg)]
    tall = [np.shape(x)[:1] == (n,) for x in leaves]
    pairs = zip(leaves, tall)
    return unflatten(arg, [np.resize(x, (8 * n, *x.shape[1:])) if t else x for x, t in pairs])


# ------------------------------------------------------------------ what has a name
def _name(arguments: Named, constants: Named, lines: Sequence[Line], value: Any) -> Named:
    """Names that stand for one line each (a second h is h_2), also for what is long without.

    Those of constants are returned, by their `key_of`.
    """
    often = Counter(x.name for x in arguments.values() if x.__class__ is Line)
    if value.__class__ is Line and value.function and value.name in (None, "", "loss"):
        value.name = "L"
    often["n"] += any(line.shape for line in lines)  # the number of rows

    def numbered(name: str) -> str:
        often[name] += 1
        return f"{name}_{often[name]}" if often[name] > 1 else name

    called = {key: numbered(name) for key, name in constants.items()}
    size, of = dict[Line, int](), {*live(lines, value)} - {value}
    for line in lines:
        size[line] = 1 + sum(0 if x.name else size[x] for x in reads(line))
        if line.function and size[line] > LONG and not line.name and line in of:
            line.name = f"{line.function.__name__}_1"
        if line.function and line.name and line.function not in CHECKED:
            line.name = numbered(line.name)
    return called


def _targets(lines: Sequence[Line], value: Any) -> Named:
    """The gradients of the learner's variables, newest first."""
    often = Counter(line.of for line in lines)
    named = {x: line for line in lines if (x := line.of) is not None and often[x] == 1}
    return {x.name: g for x, g in named.items() if x.name and x.function and x is not value}


# ------------------------------------------------------------------ the chain rule
def _copy(line: Line, read: Any) -> Line:
    args, options = replace((line.args, line.options), read)
    made = Line(line.function, args, options, line.shape, line.kind, line.name)
    return made if line.function else line


def _marked(lines: Sequence[Line], named: Named) -> tuple[list[Line], Named]:
    """The lines, where each gradient that is computed backward is called by its first name."""
    names, forward = dict[Line, str](), {*live(lines, named[""])}
    for name, x in named.items():
        if x.__class__ is Line and x.function and x not in forward:
            names.setdefault(x, name)
    new, bare = dict[Line, Line](), dict[Line, Line]()
    marked: list[Line] = []
    for line in lines:
        marked.append(made := _copy(line, new.__getitem__))
        new[line] = bare[line] = made
        if line in names:
            new[line] = Line(called, (made, names[line]), {}, line.shape, line.kind)
            marked.append(new[line])
    rules = dict[str, Any]()
    for name, x in named.items():  # a second name of a gradient is called by the first
        first = x.__class__ is Line and names.get(x) == name
        rules[name] = replace(x, (bare if first else new).__getitem__)
    return marked, rules


def _joined(lines: Sequence[Line], rules: Named) -> tuple[list[Line], Named]:
    """The chain rule as one program, each gradient in the place of its name."""
    new, program = dict[Line, Any](), list[Line]()
    for line in lines:
        if line.function is called:
            new[line] = replace(line.args[0], new.__getitem__)
            continue
        new[line] = made = _copy(line, new.__getitem__)
        if line.function is np.vdot and alike(*made.args):
            product = Line(np.multiply, made.args, {}, made.args[0].shape, line.kind)
            made.function, made.args = np.sum, (product,)  # the product may be simpler
            program.append(product)
        program.append(made)
    return program, replace(rules, new.__getitem__)


def length(results: Sequence[Any]) -> int:
    """How many operations results are, written out down to what has a name."""
    todo, count = [*walk([*results])], 0
    while todo and count < 10 * MOST:
        x = todo.pop()
        if x.function and not x.name:
            todo += reads(x)
            count += not fact(x.function, "moves")
    return count


# ------------------------------------------------------------------ the steps
def _stages(
    lines: list[Line], named: Named, wrt: Sequence[str], raw: tuple[list[Line], Any]
) -> Iterator[tuple[list[Line], Stage]]:
    """What becomes of the gradients, with the lines that they are computed by.

    The last stage is what a program makes of the ``raw`` lines, if that is shorter.
    """
    yield lines, (named, None, None)
    outputs: Any = [named[name] for name in ("", *wrt)]
    whole = Simplifier(lines, outputs)
    whole.run()
    steps = [*_steps(whole)]
    for place, limit in steps[:: 1 + len(steps) // MOST]:
        part = Simplifier(lines, outputs, limit)
        part.run()
        before, after = next(entry[2:] for entry in part.log if entry[0] == place)
        yield [*part.lines, before], (replace(named, part.new.__getitem__), before, after)
    last = replace(named, whole.new.__getitem__)
    yield whole.lines, (last, None, None)
    shorter, (_value, slopes) = cleaned(*raw) if wrt else ([], (None, ()))
    if wrt and length(slopes) < length([last[name] for name in wrt]):
        yield [*whole.lines, *shorter], (last | dict(zip(wrt, slopes)), None, None)


def _steps(whole: Simplifier) -> Iterator[tuple[int, int]]:
    """The call that is a step of a simplification, and the last one in it.

    A call and those in it are one step, but of a product with a sum, which is multiplied out first,
    and where it is used that a table sums to 1, which is a step of its own.
    """
    log, done = sorted(whole.log, key=lambda entry: entry[0]), 0
    sums = [(place, x.args[0]) for place, _last, x, _new in log if x.function is np.sum]
    claims = [place for place, x in sums if is_call(coefficient(x)[1], distributions)]
    for place, last, before, _after in log:
        if place > done:
            several = any(is_call(coefficient(x)[1], np.add, np.subtract) for x in before.args)
            opened = several and before.function is np.multiply
            opened = opened or any(place < claim <= last for claim in claims)
            done = place if opened else last
            yield place, done


# ------------------------------------------------------------------ the check
def _draws(
    recording: Recording, args: Sequence[Any], lines: Sequence[Line], named: Named, fixed: Any
) -> tuple[list[dict[Line, Any]], int]:
    """The example and data like it, where all is finite, and how many; then some against claims."""
    rng, leaves = np.random.default_rng(0), places(recording.parameters, args).values()
    inputs = [*zip(recording.arguments.values(), leaves)]
    claimed = {x for line in lines if line.function is distributions for x in walk(line.args)}
    claimed -= {*fixed}
    draws = list[dict[Line, Any]]()
    for i in range(1 + DRAWS):
        data = {x: other_data(y, rng) if i else y for x, y in inputs if x.__class__ is Line} | fixed
        data |= {x: data[x] / data[x].sum(axis=-1, keepdims=True) for x in claimed}
        [values] = _values(lines, named, [data])
        draws += [data] if all(np.all(np.isfinite(x)) for x in values.values()) else []
    free = [data | {x: 1.7 * data[x] for x in claimed} for data in draws if claimed]
    return draws + free, len(draws)


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
