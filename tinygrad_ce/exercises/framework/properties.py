"""What an answer has right on its own: its shape, its sign, rows that sum to 0, and so on.

A property counts in an exercise if the engine's own answer has it on every draw.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np

from ...engine.text import _
from .calling import Trouble, as_answer, call
from .feedback import Example
from .inputs import DRAWS
from .problem import Arrays, Draw, Problem

# How far an answer may be off: a part of the gradient's largest entry, and a floor for where the
# right answer is 0 and round-off is not. A float64 answer may come from float32 on the way (6e-8 of
# a p near 1), or from central differences (1e-10); no wrong derivation is as close as 1e-6.
DOUBLE, SINGLE = (1e-6, 1e-6), (1e-4, 1e-5)


def tolerance(answer: Any, wanted: Any) -> float:
    """How far an entry may be off: float32 answers are good to float32."""
    relative, floor = SINGLE if answer.dtype == np.float32 else DOUBLE
    return relative * float(np.max(np.abs(wanted), initial=0.0)) + floor


def close(answer: Any, *wanted: Any, slack: float = 1.0) -> bool:
    """Whether an array is the first of those wanted, to the accuracy that any of them needs."""
    if answer.shape != wanted[0].shape:
        return False
    allowed = slack * max(tolerance(answer, x) for x in wanted)
    return bool(np.all(np.abs(answer - wanted[0]) <= allowed))


class Trial(NamedTuple):
    """A draw, and what the learner's function returned for it."""

    problem: Problem
    function: Callable[..., Any]
    draw: Draw
    answer: Arrays
    trouble: str = ""  # why there is no answer

    @property
    def triples(self) -> list[tuple[str, Any, Any]]:
        """The answer's arrays, each with its name before it and the right one behind."""
        return [*zip(self.problem.parts, self.answer, self.draw.right)]

    @property
    def shapes_agree(self) -> bool:
        """Whether every array has the right shape."""
        return all(a.shape == g.shape for _name, a, g in self.triples)

    @property
    def agrees(self) -> bool:
        """Whether all of it is right."""
        return all(close(a, g) for _name, a, g in self.triples)

    def example(self, where: str = "") -> Example:
        """The same for feedback, with what is off in it."""
        yours = dict(zip(self.problem.parts, self.answer))
        return Example(self.draw.seed, self.draw.inputs, yours, where, self.draw.large)


def attempt(
    problem: Problem, function: Callable[..., Any], draw: Draw, aloud: bool = False
) -> Trial:
    """Call a function with the inputs of a draw."""
    try:
        answer = as_answer(call(function, draw.inputs, aloud), problem)
    except Trouble as trouble:
        return Trial(problem, function, draw, (), str(trouble))
    return Trial(problem, function, draw, answer)


def locate(name: str, mask: Any) -> tuple[str, tuple[int, ...]]:
    """How the first entry where a mask is true (or largest) is called, and where it is."""
    at = tuple(map(int, np.unravel_index(np.argmax(mask), np.shape(mask))))
    return (_("entry {at} of {name}", at=at, name=name) if at else name), at


# ------------------------------------------------------------------ what is off in a trial, or ""
Judge = Callable[[Trial], str]


def judge_finite(t: Trial) -> str:
    """No entry is infinite or no number."""
    for name, a, _g in t.triples:
        if not (finite := np.isfinite(a)).all():
            where, at = locate(name, ~finite)
            return _("{entry} is {value}", entry=where, value=float(a[at]))
    return ""


def judge_shape(t: Trial) -> str:
    """Each array has the right shape."""
    for name, a, g in t.triples:
        if a.shape != g.shape:
            text = "{name} has shape {got}, wanted {wanted}"
            return _(text, name=name, got=a.shape, wanted=g.shape)
    return ""


def judge_sign(t: Trial) -> str:
    """Each entry that is not zero has the right sign."""
    for name, a, g in t.triples:
        wrong = (np.abs(g) > tolerance(a, g)) & ~(a * np.sign(g) > 0)
        if wrong.any():
            where, at = locate(name, wrong)
            text = "{entry} is {got}, it should be {wanted}"
            return _(text, entry=where, got=_sign(a[at]), wanted=_sign(g[at]))
    return ""


def _sign(x: Any) -> str:
    return "positive" if x > 0 else "negative" if x < 0 else "zero" if x == 0 else "not a number"


def judge_scale(t: Trial) -> str:
    """All of it together has the right size."""
    got, wanted = (
        np.sqrt(sum(np.sum(np.square(x, dtype=float)) for x in arrays))
        for arrays in (t.answer, t.draw.right)
    )
    if abs(got - wanted) <= sum(tolerance(a, g) * np.sqrt(g.size) for _name, a, g in t.triples):
        return ""
    if not wanted or not np.isfinite(got):
        return _("its size is {got:.3g}, it should be {wanted:.3g}", got=got, wanted=wanted)
    return _("it is {times:.3g} times the size that it should be", times=got / wanted)


def judge_rows(t: Trial, total: float) -> str:
    """The rows of each array sum to a number."""
    for name, a, g in (triple for triple in t.triples if triple[2].ndim):
        sums = np.sum(a, axis=-1)
        wrong = ~(np.abs(sums - total) <= tolerance(a, g) * g.shape[-1])
        if wrong.any():
            which = "your rows sum" if g.ndim > 1 else "your entries sum"
            which += f" in {name}" * (len(t.answer) > 1)
            got = float(sums[wrong].flat[0] if sums.ndim else sums)
            text = "{which} to {got:.4g}, they should sum to {total:g}"
            return _(text, which=which, got=got, total=total)
    return ""


def judge_symmetry(t: Trial) -> str:
    """A square matrix is its own transpose."""
    if all(a.ndim > 1 and close(np.swapaxes(a, -1, -2), a) for a in t.answer):
        return ""
    return _("entry (i, j) and entry (j, i) differ, they should be the same")


def judge_shift(t: Trial, name: str) -> str:
    """Adding 1 to every entry of an input changes nothing."""
    inputs = t.draw.inputs | {name: t.draw.inputs[name] + 1.0}
    moved = attempt(t.problem, t.function, t.draw._replace(inputs=inputs))
    if moved.trouble:
        return moved.trouble
    if all(close(a, b, slack=2.0) for a, b in zip(moved.answer, t.answer)):
        return ""  # the slack is 2: each has its own round-off
    return _("adding 1 to every entry of {name} changes your answer, it should not", name=name)


def judge_agreement(t: Trial) -> str:
    """Every entry is right; else which one is furthest off, and by how much."""
    if t.agrees or not t.shapes_agree:
        return judge_shape(t)
    off = [np.abs(a - g) / tolerance(a, g) for _name, a, g in t.triples]
    k = int(np.argmax([np.max(x) for x in off]))
    name, a, g = t.triples[k]
    where, at = locate(name, off[k])
    text = "{entry} is {got:.4g}, off by {off:+.4g}"
    return _(text, entry=where, got=float(a[at]), off=float(a[at] - g[at]))


@lru_cache(maxsize=256)
def properties(problem: Problem) -> Mapping[str, Judge]:
    """The properties that count in an exercise, each with what judges it."""
    model = problem.derivative()
    trials = [attempt(problem, model, problem.draw(seed)) for seed in range(DRAWS)]

    def first(candidates: Mapping[str, Judge]) -> dict[str, Judge]:
        """The first one that the engine's answer has."""
        fine = ({n: f} for n, f in candidates.items() if not any(map(f, trials)))
        return next(fine, {})

    rows = {_("rows sum to {n}", n=n): partial(judge_rows, total=float(n)) for n in (0, 1)}
    arrays = [name for name in problem.wrt if np.ndim(trials[0].draw.inputs[name])]
    shifts = {_("the same when {n} is shifted", n=n): partial(judge_shift, name=n) for n in arrays}
    return {
        "shape": judge_shape,
        "sign": judge_sign,
        "scale": judge_scale,
        **(first(rows) if arrays else {}),
        **first({"symmetric": judge_symmetry}),
        **first(shifts),
        "agreement": judge_agreement,
    }
