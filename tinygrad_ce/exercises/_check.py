"""An answer against the engine's gradient: what it has right, which mistake it is, an example."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..checks.gradient_check import gradcheck
from ..engine.transforms import grad, hessian, jacobian
from ._calling import Trouble, called, fits, told_parts
from ._feedback import NOT_NAMED, Credit, Example, Feedback
from ._inputs import DRAWS, Scores, inputs, numbered
from ._mistakes import Mistake, parts, usual

if TYPE_CHECKING:
    from ._exercise import Exercise

# How far an answer may be off: a part of the gradient's largest entry, and a floor for where the
# right answer is 0 and round-off is not. A float64 answer may come from float32 on the way (6e-8 of
# a p near 1), or from central differences (1e-10); no wrong derivation is as close as 1e-6.
DOUBLE, SINGLE = (1e-6, 1e-6), (1e-4, 1e-5)

# How far it may be off at scores of 1000, where a float32 has four digits behind the point: wrong
# is what clips its scores, or makes zeros of what is no number.
ROUGH = (0.1, 0.05)

ORDINARY = ("sign", "scale", "agreement")  # the credits that every exercise has, and its shape
STABLE = "stable at large scores"  # the one that no derivation needs to pass
OVERFLOWS = "exp(1000) is too large for a float, exp(−1000) is 0 in one: inf/inf and 0/0 are nan. "
LOOK = {  # by whether the scores have rows
    True: f"{OVERFLOWS}Which number can you subtract from all scores of a row, so that no exponent "
    "is above 0 and the result stays the same?",
    False: f"{OVERFLOWS}Which of exp(z) and exp(−z) cannot overflow where z is positive, and which "
    "where it is negative?",
}

Arrays = tuple[Any, ...]  # an answer's arrays


class Case(NamedTuple):
    """One draw: the inputs, the engine's answer there, and that of every known mistake."""

    seed: int
    inputs: dict[str, Any]
    right: Arrays
    wrong: dict[str, Arrays]
    shifted: dict[str, tuple[dict[str, Any], Arrays]]  # by the input that has 1 added to it
    batch: int | None  # how many samples, if there are samples

    @property
    def size(self) -> tuple[float, ...]:
        """Small draws first: few entries, then whole numbers, then small ones."""
        arrays = [np.abs(x) for x in self.inputs.values()]
        broken = any((x % 0.25).any() for x in arrays)
        return sum(map(np.size, arrays)), broken, sum(float(x.sum()) for x in arrays)


def _drawn(exercise: Exercise, seed: int, large: bool = False) -> tuple[dict[str, Any], Any]:
    given, sizes = inputs(exercise.inputs, seed, large)
    for x in given.values():
        if isinstance(x, np.ndarray):
            x.flags.writeable = False  # feedback shows it, and the next check uses it again
    return given, sizes


def _derived(exercise: Exercise, loss: Callable[..., Any], given: dict[str, Any]) -> Arrays:
    found = exercise.derive(loss, exercise.argnums)(*given.values())
    return tuple(np.asarray(part) for part in parts(found))


@lru_cache(maxsize=4096)
def case(exercise: Exercise, seed: int) -> Case:
    """Draw once and derive once, by the engine; nothing of it is stored in a file."""
    given, sizes = _drawn(exercise, seed)
    right = _derived(exercise, exercise.loss, given)
    answer = right if len(exercise.wrt) > 1 else right[0]
    wrong = {}
    for m in (*exercise.mistakes, *usual(sizes.get("N"))):
        if m.loss:
            wrong[m.name] = _derived(exercise, m.loss, given)
        elif m.change:
            wrong[m.name] = tuple(map(np.asarray, parts(m.change(answer, *given.values()))))
    shifted = {}
    for name in exercise.wrt:
        moved = given | {name: given[name] + 1.0}
        if np.ndim(moved[name]):
            shifted[name] = (moved, _derived(exercise, exercise.loss, moved))
    return Case(seed, given, right, wrong, shifted, sizes.get("N"))


@lru_cache(maxsize=4096)
def large_case(exercise: Exercise, seed: int) -> Case:
    """The same draw with large scores; no mistake is looked for there."""
    given, _ = _drawn(exercise, seed, large=True)
    right = _derived(exercise, exercise.loss, given)
    return case(exercise, seed)._replace(inputs=given, right=right, wrong={}, shifted={})


@lru_cache(maxsize=256)
def known(exercise: Exercise) -> dict[str, Mistake]:
    """The exercise's own mistakes, and each usual one that looks like none of those before it."""
    cases = [case(exercise, seed) for seed in range(DRAWS)]
    found = {m.name: m for m in exercise.mistakes}
    rows = all(g.shape[:1] in ((), (c.batch,)) for c in cases for g in c.right)
    for m in usual(cases[0].batch):
        if m.name == "summed over the batch" and not rows:
            continue
        alike = ([c.wrong[name] for c in cases] for name in found)
        for others in ([c.right for c in cases], *alike):
            if all(_all_near(c.wrong[m.name], o, c.right) for c, o in zip(cases, others)):
                break
        else:
            found.setdefault(m.name, m)
    return found


class Traits(NamedTuple):
    """What the right answer always has, seen by the engine on every draw; None if not."""

    rows: tuple[float | None, ...]  # what the rows of each array sum to: 0, 1
    symmetric: bool
    shift: str | None  # the input that can have 1 added without a change


@lru_cache(maxsize=256)
def traits(exercise: Exercise) -> Traits:
    """The properties that an exercise's answers get credit for."""
    cases = [case(exercise, seed) for seed in range(DRAWS)]
    rows = []
    for arrays in zip(*(c.right for c in cases)):
        sums = [np.sum(g, axis=-1) for g in arrays if g.ndim]
        held = (s for s in (0.0, 1.0) if sums and all(near(x, s * np.ones_like(x)) for x in sums))
        rows.append(next(held, None))
    square = all(g.ndim > 1 and g.shape[-2] == g.shape[-1] for c in cases for g in c.right)
    symmetric = square and all(near(g, np.swapaxes(g, -1, -2)) for c in cases for g in c.right)
    steady = (
        name
        for name in cases[0].shifted
        if all(near(a, b) for c in cases for a, b in zip(c.shifted[name][1], c.right))
    )
    return Traits(tuple(rows), symmetric, next(steady, None))


def tolerance(answer: Any, right: Any) -> float:
    """How far an entry may be off: float32 answers are good to float32."""
    relative, floor = SINGLE if answer.dtype == np.float32 else DOUBLE
    return relative * float(np.max(np.abs(right), initial=0.0)) + floor


def near(answer: Any, right: Any, slack: float = 1.0) -> bool:
    """Whether two arrays agree, in shape as well."""
    answer, right = np.asarray(answer), np.asarray(right)
    same = answer.shape == right.shape
    return same and bool(np.all(np.abs(answer - right) <= slack * tolerance(answer, right)))


class _Try(NamedTuple):
    """A draw and what the learner's function returned for it."""

    case: Case
    answer: Arrays

    @property
    def pairs(self) -> list[tuple[Any, Any]]:
        """The answer's arrays beside the right ones, where their shapes allow it."""
        return [(a, g) for a, g in zip(self.answer, self.case.right) if a.shape == g.shape]

    @property
    def agrees(self) -> bool:
        return all(map(near, self.answer, self.case.right))


def check(exercise: Exercise, function: Any, seed: int | None) -> Feedback:
    """Try an answer on draws of every size; see `Exercise.check`."""
    start = 0 if seed is None else numbered(seed)
    cases = [case(exercise, start + i) for i in range(DRAWS)]
    cases.sort(key=lambda c: (c.seed != seed, c.size))  # a seed that is asked for comes first
    tries: list[_Try] = []
    at = None
    try:
        answer = fits(function, [*exercise.inputs], exercise.function)
        for at in cases:
            found = called(answer, at.inputs, aloud=not tries)  # it prints once, not 72 times
            tries.append(_Try(at, told_parts(found, exercise.wrt)))
        with np.errstate(all="ignore"):  # an answer may hold inf and nan
            unstable = _unstable(exercise, tries, answer, seed)
            credits = _credits(exercise, tries, answer, unstable)
    except Trouble as trouble:
        example = at and Example(at.seed, at.inputs, {}, smallest=at.seed != seed)
        return untried(exercise, str(trouble), example)
    if all(credit.earned or credit.name == STABLE for credit in credits):
        said = f"your answer agrees with the engine's on {DRAWS} draws of different sizes"
        if not unstable:
            return Feedback(exercise.name, True, credits, said)
        name, rows = _scores(exercise)
        said += f"; where |{name}| is near 1000 it does not: {unstable.where}"
        look = LOOK[rows]
        return Feedback(exercise.name, True, credits, said, look=look, example=unstable)
    with np.errstate(all="ignore"):
        return _wrong(exercise, tries, credits, seed)


def untried(exercise: Exercise, said: str, example: Example | None = None) -> Feedback:
    """What to say where there are no numbers to compare, and no credit."""
    credits = tuple(Credit(name, False) for name, _ in _asked(exercise))
    return Feedback(exercise.name, False, credits, said, example=example)


def _wrong(
    exercise: Exercise, tries: list[_Try], credits: tuple[Credit, ...], seed: int | None
) -> Feedback:
    """What to say of an answer that is not right everywhere."""
    mistake = _named(exercise, tries)
    shown = _shown(tries)
    # A shape, then what is special here; that it is stable can wait until it is right.
    telling = [c for c in credits if not c.earned and c.name != STABLE]
    first = min(telling, key=lambda c: (c.name != "shape", c.name in ORDINARY))
    finite = all(np.isfinite(a).all() for a in shown.answer)
    if not finite:
        said = f"{_not_finite(exercise, shown)}: does an exp overflow, or a division meet 0?"
    elif mistake:
        said = f"known mistake: {mistake.name}"
    else:
        said = f"{first.note} ({NOT_NAMED})"
    example = Example(
        shown.case.seed,
        shown.case.inputs,
        dict(zip(exercise.parts, shown.answer)),
        _furthest(exercise, shown),
        smallest=shown.case.seed != seed,
    )
    fits_table = not mistake and finite and len(shown.pairs) == len(exercise.wrt)
    return Feedback(
        exercise.name,
        False,
        credits,
        said,
        mistake and mistake.name,
        mistake.look if mistake else "",
        example,
        _table(exercise, shown) if fits_table else "",
    )


def _shown(tries: Sequence[_Try]) -> _Try:
    """The draw to show: the first that is not finite, else the first that is off."""
    strange = (t for t in tries if not all(np.isfinite(a).all() for a in t.answer))
    return next(strange, next((t for t in tries if not t.agrees), tries[0]))


def _named(exercise: Exercise, tries: list[_Try]) -> Mistake | None:
    """The mistake whose answers these are on every draw, if there is exactly one."""

    def whole(name: str) -> bool:
        return all(_all_near(t.answer, t.case.wrong[name], t.case.right) for t in tries)

    def in_part(name: str) -> bool:  # one array right throughout, another wrong throughout
        for i in range(len(exercise.wrt)):
            mine = [(t.answer[i], t.case.right[i], t.case.wrong[name]) for t in tries]
            right = all(near(a, g) for a, g, _ in mine)
            if not right and not all(_all_near((a,), (w[i],), (g,)) for a, g, w in mine):
                return False
        return True

    for fits_it in (whole, in_part):
        if found := [m for name, m in known(exercise).items() if fits_it(name)]:
            # One array of several may look like one of these and like a usual one as well: then
            # what the exercise calls it says more.
            found = [m for m in found if m in exercise.mistakes] or found
            return found[0] if len(found) == 1 else None
    return None


def _all_near(answer: Arrays, wrong: Arrays, right: Arrays) -> bool:
    """Whether an answer is a known wrong one, to the accuracy that a right one needs."""
    for a, w, g in zip(answer, wrong, right):
        if a.shape != w.shape:
            return False
        off = np.abs(a - w)
        if not np.all(off <= max(tolerance(a, w), tolerance(a, g))):
            return False
    return True


# ------------------------------------------------------------------ credits
Judge = Callable[[_Try], str]  # what is off in one draw, or ""


def _asked(exercise: Exercise) -> list[tuple[str, Judge]]:
    """The properties that count in an exercise, each with what judges it."""
    has = traits(exercise)
    asked: list[tuple[str, Judge]] = [
        ("shape", lambda t: _shape(exercise, t)),
        ("sign", lambda t: _sign(exercise, t)),
        ("scale", _scale),
    ]
    if (total := next((s for s in has.rows if s is not None), None)) is not None:
        asked.append((f"rows sum to {total:g}", lambda t: _rows(exercise, has.rows, t)))
    if has.symmetric:
        asked.append(("symmetric", _symmetric))
    if has.shift:
        asked.append((f"the same when {has.shift} is shifted", lambda t: ""))
    asked.append(("agreement", lambda t: _furthest(exercise, t)))
    if _scores(exercise)[0]:
        asked.append((STABLE, lambda t: ""))
    return asked


def _credits(
    exercise: Exercise, tries: Sequence[_Try], function: Any, unstable: Example | None
) -> tuple[Credit, ...]:
    comparable = [t for t in tries if len(t.pairs) == len(exercise.wrt)]
    found, shown = [], _shown(tries)
    for name, judge in _asked(exercise):
        some = tries if name in ("shape", "agreement") else comparable
        note, at = next(((said, t) for t in some if (said := judge(t))), ("", shown))
        if at is not shown:
            note += f" (seed={at.case.seed})"  # an entry of another draw than the example's
        if name not in ("shape", *ORDINARY) and not any(np.any(a) for t in tries for a in t.answer):
            note = "not seen while every entry is 0"  # which has every symmetry
        elif name.startswith("the same when"):
            note = _shift(exercise, tries, function)
        elif name == STABLE:
            where = f"where |{_scores(exercise)[0]}| is near 1000, "
            note = f"{where}{unstable.where}" if unstable else ""
        elif not some:
            note = "not seen before the shape is right"
        found.append(Credit(name, not note, note))
    return tuple(found)


def _shape(exercise: Exercise, t: _Try) -> str:
    for name, a, g in zip(exercise.parts, t.answer, t.case.right):
        if a.shape != g.shape:
            return f"{name} has shape {a.shape}, wanted {g.shape}"
    return ""


def _sign(exercise: Exercise, t: _Try) -> str:
    for k, (a, g) in enumerate(t.pairs):
        wrong = (np.abs(g) > tolerance(a, g)) & ~(a * np.sign(g) > 0)
        if wrong.any():
            at = tuple(map(int, np.argwhere(wrong)[0])) if wrong.ndim else ()
            is_, wanted = (_sign_of(float(x[at])) for x in (a, g))
            return f"{_entry(exercise.parts[k], at)} is {is_}, it should be {wanted}"
    return ""


def _sign_of(x: float) -> str:
    return "positive" if x > 0 else "negative" if x < 0 else "zero" if x == 0 else "not a number"


def _scale(t: _Try) -> str:
    norms = [sum(float(np.sum(np.square(x, dtype=float))) for x in xs) for xs in zip(*t.pairs)]
    mine, right = np.sqrt(norms)
    if not abs(mine - right) <= sum(tolerance(a, g) * np.sqrt(g.size) for a, g in t.pairs):
        if not right or not np.isfinite(mine):
            return f"its size is {mine:.3g}, it should be {right:.3g}"
        return f"it is {mine / right:.3g} times the size that it should be"
    return ""


def _rows(exercise: Exercise, totals: Sequence[float | None], t: _Try) -> str:
    for name, total, (a, g) in zip(exercise.parts, totals, t.pairs):
        if total is None:
            continue
        sums = np.sum(a, axis=-1)
        wrong = ~(np.abs(sums - total) <= tolerance(a, g) * g.shape[-1])
        if wrong.any():
            mine = float(sums[wrong].flat[0] if sums.ndim else sums)
            of = "your rows sum" if g.ndim > 1 else "your entries sum"
            of += f" in {name}" * (len(totals) > 1)
            return f"{of} to {mine:.4g}, they should sum to {total:g}"
    return ""


def _symmetric(t: _Try) -> str:
    if all(near(np.swapaxes(a, -1, -2), a) for a, _ in t.pairs):
        return ""
    return "entry (i, j) and entry (j, i) differ, they should be the same"


def _shift(exercise: Exercise, tries: Sequence[_Try], function: Any) -> str:
    name = traits(exercise).shift or ""
    for t in tries:
        moved, _ = t.case.shifted[name]
        again = told_parts(called(function, moved), exercise.wrt)
        if not all(near(a, b, 2.0) for a, b in zip(again, t.answer)):  # each has its round-off
            return f"adding 1 to every entry of {name} changes your answer, it should not"
    return ""


def _scores(exercise: Exercise) -> tuple[str, bool]:
    """The input that the answer takes exp of, and whether it has rows; "" if there is none."""
    found = ((name, d.rows) for name, d in exercise.inputs.items() if isinstance(d, Scores))
    return next(found, ("", False))


def _unstable(
    exercise: Exercise, tries: Sequence[_Try], function: Any, seed: int | None
) -> Example | None:
    """The first draw of large scores where the answer is no number or, if it was right, no more.

    A wrong derivation has to be finite only: what is wrong with it counts elsewhere.
    """
    if not _scores(exercise)[0]:
        return None
    far = [large_case(exercise, t.case.seed) for t in tries]
    relative, floor = ROUGH
    room = [
        relative * max(np.max(np.abs(g)) for g in part) + floor
        for part in zip(*(c.right for c in far))
    ]
    derived = all(t.agrees for t in tries)
    for c in far:
        example = Example(c.seed, c.inputs, {}, smallest=c.seed != seed, large=True)
        try:
            answer = told_parts(called(function, c.inputs), exercise.wrt)
        except Trouble as trouble:  # math.exp(1000) is an error
            return replace(example, where=str(trouble))
        t = _Try(c, answer)
        where = _not_finite(exercise, t)
        if not where and derived and not _within(t, room):
            where = _furthest(exercise, t)
        if where:
            return replace(example, yours=dict(zip(exercise.parts, answer)), where=where)
    return None


def _within(t: _Try, room: Sequence[float]) -> bool:
    """Whether an answer is the right one, roughly; any will do where the engine's is no number."""
    off = (np.any(np.abs(a - g) > r) for (a, g), r in zip(t.pairs, room))
    return len(t.pairs) == len(room) and not any(off)


# ------------------------------------------------------------------ the example
def _entry(name: str, at: tuple[int, ...]) -> str:
    return f"entry {at} of {name}" if at else name


def _not_finite(exercise: Exercise, t: _Try) -> str:
    for name, a in zip(exercise.parts, t.answer):
        if not (finite := np.isfinite(a)).all():
            at = tuple(map(int, np.argwhere(~finite)[0])) if a.ndim else ()
            return f"{_entry(name, at)} is {float(a[at])}"
    return ""


def _furthest(exercise: Exercise, t: _Try) -> str:
    """The entry that is furthest off, and by how much."""
    if t.agrees:
        return ""
    if wrong := _shape(exercise, t):
        return wrong
    off = [np.abs(a - g) / tolerance(a, g) for a, g in t.pairs]
    k = int(np.argmax([np.max(x) for x in off]))
    at = tuple(map(int, np.unravel_index(np.argmax(off[k]), off[k].shape)))
    a, g = (float(x[at]) for x in t.pairs[k])
    return f"{_entry(exercise.parts[k], at)} is {a:.4g}, off by {a - g:+.4g}"


def _table(exercise: Exercise, t: _Try) -> str:
    """The gradient check of this draw; of a matrix, its row with the entry that is furthest off."""
    given, numbers = t.case.inputs, exercise.argnums
    out = exercise.loss
    if exercise.derive is hessian:
        out = grad(exercise.loss, numbers)
    row: Any = 1.0
    answer = t.answer
    if exercise.derive in (jacobian, hessian):
        a, g = t.pairs[0]
        shape = np.shape(out(*given.values()))
        worst = np.unravel_index(np.argmax(np.abs(a - g)), g.shape)[: len(shape)]
        row = np.zeros(shape)
        row[worst] = 1.0
        answer = (np.tensordot(row, a, row.ndim),)

    def value(*moved: Any) -> Any:
        filled = given | dict(zip(exercise.wrt, moved))
        return np.sum(row * out(*filled.values()))

    def yours(*_: Any) -> Any:
        return answer if len(answer) > 1 else answer[0]

    report = gradcheck(value, *(given[name] for name in exercise.wrt), gradient=yours)
    named = [
        c._replace(name=name, analytic=_short(c.analytic), numeric=_short(c.numeric))
        for c, name in zip(report.inputs, exercise.wrt)
    ]
    return str(report._replace(inputs=named))


def _short(x: float) -> float:
    """Four digits: with eight, the table is wider than a terminal."""
    return float(f"{x:.4g}")
