"""An answer tried on draws of every size: what it has right, which mistake it is, an example."""

from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import numpy as np

from ...engine.text import _
from .calling import Trouble, attempt, require_function
from .feedback import Credit, Feedback
from .inputs import DRAWS
from .mistakes import name_mistake
from .problem import Problem, Trial, draw
from .properties import judge_agreement, judge_finite, judge_shape, properties

# How far an answer may be off at scores of 1000, where a float32 has four digits behind the point:
# wrong is what clips its scores, or makes zeros of what is no number.
ROUGH, ROUGH_FLOOR = 0.1, 0.05

COMMON = ("shape", "sign", "scale", "agreement")  # the properties that count everywhere
STABLE = "stable at large scores"  # the one that no derivation needs to pass
OVERFLOWS = (
    "exp(1000) is too large for a float, exp(−1000) is 0 in one: inf/inf and 0/0 are nan. How is "
    "the same result written so that no exponent is above 0?"
)


def check(problem: Problem, function: Any, seed: int | None = None) -> Feedback:
    """Try an answer; `Exercise.check` describes it."""
    start = 0 if seed is None else draw(problem, seed).seed
    draws = sorted((draw(problem, start + i) for i in range(DRAWS)), key=lambda t: t.size)
    try:
        require_function(function, problem)
    except Trouble as trouble:
        return untried(problem, str(trouble))
    trials = [attempt(problem, function, draws[0])]  # what it prints is heard once
    with redirect_stdout(StringIO()), np.errstate(all="ignore"):  # an answer may hold inf and nan
        trials += [attempt(problem, function, t) for t in draws[1:]]
        for t in trials:
            if t.trouble:
                return untried(problem, t.trouble, t)
        return _judge(problem, trials)


def untried(problem: Problem, trouble: str, example: Trial | None = None) -> Feedback:
    """What to say where there are no numbers to compare, and no credit."""
    names = [*properties(problem), *[STABLE] * bool(problem.scores)]
    message = _("No answer: {trouble}", trouble=trouble)
    credits = [Credit(name, False) for name in names]
    return Feedback(problem.name, False, credits, message, example=example)


def _judge(problem: Problem, trials: Sequence[Trial]) -> Feedback:
    """What there is to say of an answer: to show is what is not finite, else what is off."""
    unstable = _unstable(problem, trials) if problem.scores else None
    off = [t for t in trials if not t.agrees]
    shown = next(filter(judge_finite, trials), (off or trials)[0])
    notes = _notes(problem, trials, shown)
    if problem.scores:
        text, where = "where |{scores}| is near 1000, {where}", unstable.where if unstable else ""
        notes[STABLE] = where and _(text, scores=problem.scores, where=where)
    if not any(np.any(a) for t in trials for a in t.yours.values()):
        zeros = _("not seen while every entry is 0")  # which has every symmetry
        notes |= {name: zeros for name in notes if name not in COMMON}
    # A shape, then what is special here; that it is stable can wait until it is right.
    telling = [name for name, note in notes.items() if note and name != STABLE]
    telling.sort(key=lambda name: (name != "shape", name in COMMON))
    credits = [Credit(name, not note, note) for name, note in notes.items()]
    if not telling:
        text = "Your answer agrees with the engine's on {n} draws of different sizes"
        text += "; but {note}" if unstable else ""
        message, look = _(text, n=DRAWS, note=notes.get(STABLE)), OVERFLOWS if unstable else ""
        return Feedback(problem.name, True, credits, message, look=look, example=unstable)
    mistake, strange = name_mistake(problem, trials), judge_finite(shown)
    name, look = (mistake.name, mistake.look) if mistake else (None, "")
    if strange:
        text = "Not finite: {entry}: does an exp overflow, or a division meet 0?"
        message = _(text, entry=strange)
    elif mistake:
        message = _("Known mistake: {name}", name=name)
    else:
        message = _("No known pattern: {note}", note=notes[telling[0]])
    shown = shown._replace(where=judge_agreement(shown))
    return Feedback(problem.name, False, credits, message, name, look, shown)


def _notes(problem: Problem, trials: Sequence[Trial], shown: Trial) -> dict[str, str]:
    """What is off, by property: in the trial that is shown, else in another; "" if nothing is."""
    notes, comparable = dict[str, str](), [t for t in trials if not judge_shape(t)]
    for name, judge in properties(problem).items():
        judged = trials if name in ("shape", "agreement") else comparable
        faults = ((note, t) for t in judged if (note := judge(t)))
        note, t = next(faults, ("" if judged else _("not seen before the shape is right"), shown))
        notes[name] = note if t is shown else _("{note} (seed={seed})", note=note, seed=t.seed)
    return notes


def _unstable(problem: Problem, trials: Sequence[Trial]) -> Trial | None:
    """The first draw of large scores where the answer is no number or, if it was right, no more.

    A wrong derivation has to be finite only: what is wrong with it counts elsewhere.
    """
    derived, draws = all(t.agrees for t in trials), [draw(problem, t.seed, True) for t in trials]
    largest = {n: max(np.max(np.abs(t.right[n])) for t in draws) for n in problem.parts}
    for t in (attempt(problem, trials[0].function, t) for t in draws):
        where = t.trouble or judge_finite(t)  # math.exp(1000) is an error
        if derived and not where:
            # Any will do where the engine's own answer is no number.
            allowed = ((abs(a - g), ROUGH * largest[n] + ROUGH_FLOOR) for n, a, g in t.triples)
            rough = any(np.any(off > most) for off, most in allowed)
            where = judge_shape(t) or (judge_agreement(t) if rough else "")
        if where:
            return t._replace(where=where)
    return None
