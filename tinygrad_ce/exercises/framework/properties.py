"""What an answer has right on its own: its shape, its sign, rows that sum to 0, and so on.

A property counts in an exercise if the engine's own answer has it on every draw.
"""

import math
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout, suppress
from functools import lru_cache, partial
from io import StringIO
from typing import Any
from warnings import catch_warnings

import numpy as np

from ...checks.diagnosis import diagnose
from ...engine.language import Sentence, spoken
from ...engine.text import _
from .calling import attempt
from .inputs import DRAWS
from .problem import Problem, Trial, close, draw, tolerance

# How many tolerances an answer may be off at scores of 1000, where a float32 has four digits behind
# the point: wrong is what clips its scores, or makes zeros of what is no number.
ROUGH = 4000.0

COMMON = ("shape", "sign", "scale", "agreement")  # the properties that count everywhere
STABLE = "stable at large scores"  # the one that no derivation needs to pass


def locate(name: str, mask: Any) -> tuple[str, tuple[int, ...]]:
    """How the first entry where a mask is true (or largest) is called, and where it is."""
    at = tuple(map(int, np.unravel_index(np.argmax(mask), np.shape(mask))))
    return (_("entry {at} of {name}", at=at, name=spoken(name)) if at else spoken(name)), at


Judge = Callable[[Trial], str]  # what is off in a trial, or ""


def judge_finite(t: Trial) -> str:
    """No entry is infinite or no number."""
    for name, a, _g in t.triples:
        if not np.isfinite(a).all():
            where, at = locate(name, ~np.isfinite(a))
            born = _born(t)
            text = "{entry} is {value}: it began in {born}" if born else "{entry} is {value}"
            return _(text, entry=where, value=float(a[at]), born=born)
    return ""


def _born(t: Trial) -> str:
    """The step of the learner's in which the first nan or inf began; "" where it cannot be told."""

    def lost(*args: Any) -> Any:
        """What the learner's function returns; of several arrays the first that is not finite."""
        result = t.function(*args)
        arrays = result if isinstance(result, tuple) else [result]
        return next(x for x in arrays if not np.isfinite(x.data).all())

    # On `Value`s a learner's function may do anything.
    with redirect_stdout(StringIO()), suppress(Exception), catch_warnings(action="ignore"):
        (birth, *_others) = diagnose(lost, *t.inputs.values()).births
        first = min((birth, *birth.before), key=lambda b: b.step)
        return first.numbers if first.cause != "data" else ""
    return ""


def judge_shape(t: Trial) -> str:
    """Each array has the right shape."""
    for name, a, g in t.triples:
        if a.shape != g.shape:
            text = "{name} has shape {got}, wanted {wanted}"
            return _(text, name=spoken(name), got=a.shape, wanted=g.shape)
    return ""


def judge_sign(t: Trial) -> str:
    """Each entry that is not zero has the right sign."""
    words = {1: _("positive"), -1: _("negative"), 0: _("zero")}
    for name, a, g in t.triples:
        wrong = (np.abs(g) > tolerance(a, g)) & (np.sign(a) != np.sign(g))
        if wrong.any():
            where, at = locate(name, wrong)
            got, wanted = (words.get(np.sign(x[at]), _("not a number")) for x in (a, g))
            return _("{entry} is {got}, it should be {wanted}", entry=where, got=got, wanted=wanted)
    return ""


def judge_scale(t: Trial) -> str:
    """All of it together has the right size."""
    got, wanted = (math.hypot(*map(np.linalg.norm, x.values())) for x in (t.yours, t.right))
    if abs(got - wanted) <= sum(tolerance(a, g) * math.sqrt(g.size) for _name, a, g in t.triples):
        return ""
    inner = sum(float(np.sum(a * g)) for _name, a, g in t.triples)
    times = np.divide(inner, wanted**2)
    if not all(close(a, times * g) for _name, a, g in t.triples):
        return _("it is too large") if got > wanted else _("it is too small")
    text = next(x for n in range(3, 18) if float(x := f"{abs(times):.{n}g}") != 1.0)
    return _("it is {times} times the size that it should be", times=text)


def judge_rows(t: Trial, total: float) -> str:
    """The rows of each array sum to a number."""
    for _name, a, g in (triple for triple in t.triples if triple[1].ndim):
        sums = np.sum(a, axis=-1, keepdims=True)
        wrong = ~(np.abs(sums - total) <= tolerance(a, g) * g.shape[-1])
        if wrong.any():
            text = "your rows sum to {got:.4g}, they should sum to {total:g}"
            return _(text, got=float(sums[wrong][0]), total=total)
    return ""


def judge_symmetry(t: Trial) -> str:
    """A square matrix is its own transpose."""
    if all(a.ndim > 1 and close(np.swapaxes(a, -1, -2), a) for a in t.yours.values()):
        return ""
    return _("entry (i, j) and entry (j, i) differ, they should be the same")


def judge_shift(t: Trial, name: str) -> str:
    """Adding 1 to every entry of an input changes nothing."""
    moved = attempt(t.function, t._replace(inputs={**t.inputs, name: t.inputs[name] + 1.0}))
    if moved.trouble or all(map(close, moved.yours.values(), t.yours.values())):
        return moved.trouble
    return _("adding 1 to every entry of {name} changes your answer, it should not", name=name)


def judge_agreement(t: Trial) -> str:
    """Every entry is right; else which one is furthest off, and by how much."""
    if t.agrees or judge_shape(t):
        return judge_shape(t)
    off = [np.abs(a - g) / tolerance(a, g) for _name, a, g in t.triples]
    name, a, g = t.triples[int(np.argmax([np.max(x) for x in off]))]
    where, at = locate(name, np.abs(a - g))
    text = "{entry} is {got:.4g}, off by {off:+.4g}"
    return _(text, entry=where, got=float(a[at]), off=float(a[at] - g[at]))


def judge_stable(t: Trial) -> str:
    """With scores near 1000 no entry is infinite or no number, and what was right is so still."""
    moved = attempt(t.function, draw(t.problem, t.seed, large=True))
    where = moved.trouble or judge_finite(moved)  # math.exp(1000) is an error
    if t.agrees and not where:
        # Any will do where the engine's own answer is no number.
        far = (np.any(np.abs(a - g) > ROUGH * tolerance(a, g)) for _name, a, g in moved.triples)
        where = judge_agreement(moved) if judge_shape(moved) or any(far) else ""
    text = "where |{scores}| is near 1000, {where}"
    return where and _(text, scores=t.problem.scores, where=where)


@lru_cache(maxsize=256)
def properties(problem: Problem) -> Mapping[str, Judge]:
    """The properties that count in an exercise, each with what judges it."""
    draws = [draw(problem, seed) for seed in range(DRAWS)]
    special: dict[str, Judge] = {}
    for name in [name for name in problem.wrt if np.ndim(draws[0].inputs[name])][:1]:
        special |= {Sentence("rows sum to {n}", n=n): partial(judge_rows, total=n) for n in (0, 1)}
        special["symmetric"] = judge_symmetry
        special[Sentence("the same when {n} is shifted", n=name)] = partial(judge_shift, name=name)
    right = [t._replace(yours=t.right) for t in draws]
    special = {name: judge for name, judge in special.items() if not any(map(judge, right))}
    common: dict[str, Judge] = {"shape": judge_shape, "sign": judge_sign, "scale": judge_scale}
    every = common | special | {"agreement": judge_agreement}
    return every | {STABLE: judge_stable} if problem.scores else every
