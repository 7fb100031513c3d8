"""An answer tried on draws of every size: what it has right, which mistake it is, an example."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...checks.gradient_check import gradcheck
from ...engine.text import _
from ...engine.transforms import grad, hessian
from .calling import Trouble, require_function
from .feedback import Credit, Example, Feedback
from .inputs import DRAWS, Drawing
from .mistakes import name_mistake
from .problem import Problem
from .properties import Trial, attempt, judge_agreement, judge_finite, properties

# How far an answer may be off at scores of 1000, where a float32 has four digits behind the point:
# wrong is what clips its scores, or makes zeros of what is no number.
ROUGH, ROUGH_FLOOR = 0.1, 0.05

COMMON = ("shape", "sign", "scale", "agreement")  # the properties that count everywhere
STABLE = "stable at large scores"  # the one that no derivation needs to pass
OVERFLOWS = "exp(1000) is too large for a float, exp(−1000) is 0 in one: inf/inf and 0/0 are nan. "
LOOK = {  # by whether the scores have rows
    True: "Which number can you subtract from all scores of a row, so that no exponent is above 0 "
    "and the result stays the same?",
    False: "Which of exp(z) and exp(−z) cannot overflow where z is positive, and which where it is "
    "negative?",
}


def check(problem: Problem, function: Any, seed: int | None = None) -> Feedback:
    """Try an answer; `Exercise.check` describes it."""
    start = 0 if seed is None else Drawing(seed).seed
    draws = [problem.draw(start + i) for i in range(DRAWS)]
    draws.sort(key=lambda d: (d.seed != seed, d.size))  # a seed that is asked for comes first
    trials: list[Trial] = []
    try:
        require_function(function, problem)
    except Trouble as trouble:
        return untried(problem, str(trouble))
    for draw in draws:
        trials.append(attempt(problem, function, draw, aloud=not trials))  # it prints once
        if trials[-1].trouble:
            break
    with np.errstate(all="ignore"):  # an answer may hold inf and nan
        feedback = _judge(trials)
    if not feedback.example or feedback.example.seed != seed:
        return feedback
    return replace(feedback, example=replace(feedback.example, smallest=False))


def untried(problem: Problem, message: str, example: Example | None = None) -> Feedback:
    """What to say where there are no numbers to compare, and no credit."""
    names = [*properties(problem), *[STABLE] * bool(problem.scores)]
    credits = tuple(Credit(name, False) for name in names)
    return Feedback(problem.name, False, credits, message, example=example)


def _judge(trials: list[Trial]) -> Feedback:
    problem, last = trials[0].problem, trials[-1]
    if last.trouble:
        return untried(problem, last.trouble, last.example())
    unstable = _unstable(trials) if problem.scores else None
    credits = _credits(trials, unstable)
    if not all(c.earned or c.name == STABLE for c in credits):
        return _not_yet(trials, credits)
    message = _("your answer agrees with the engine's on {n} draws of different sizes", n=DRAWS)
    if not unstable:
        return Feedback(problem.name, True, credits, message)
    text = "{message}; where |{scores}| is near 1000 it does not: {where}"
    message = _(text, message=message, scores=problem.scores, where=unstable.where)
    look = OVERFLOWS + LOOK[problem.rows]
    return Feedback(problem.name, True, credits, message, look=look, example=unstable)


def _credits(trials: Sequence[Trial], unstable: Example | None) -> tuple[Credit, ...]:
    problem, shown = trials[0].problem, _shown(trials)
    comparable = [t for t in trials if t.shapes_agree]
    notes = {}
    for name, judge in properties(problem).items():
        judged = trials if name in ("shape", "agreement") else comparable
        faults = ((note, t) for t in judged if (note := judge(t)))
        note, t = next(faults, ("" if judged else _("not seen before the shape is right"), shown))
        notes[name] = note if t is shown else _("{note} (seed={seed})", note=note, seed=t.draw.seed)
    if problem.scores:
        text = "where |{scores}| is near 1000, {where}"
        where = unstable.where if unstable else ""
        notes[STABLE] = where and _(text, scores=problem.scores, where=where)
    if not any(np.any(a) for t in trials for a in t.answer):
        zeros = _("not seen while every entry is 0")  # which has every symmetry
        notes |= {name: zeros for name in notes if name not in COMMON}
    return tuple(Credit(name, not note, note) for name, note in notes.items())


def _not_yet(trials: list[Trial], credits: tuple[Credit, ...]) -> Feedback:
    """What to say of an answer that is not right everywhere."""
    shown, mistake = _shown(trials), name_mistake(trials)
    table, example = "", shown.example(judge_agreement(shown))
    if strange := judge_finite(shown):
        message = _("{entry}: does an exp overflow, or a division meet 0?", entry=strange)
    elif mistake:
        message = _("known mistake: {name}", name=mistake.name)
    else:
        # A shape, then what is special here; that it is stable can wait until it is right.
        telling = [c for c in credits if not c.earned and c.name != STABLE]
        first = min(telling, key=lambda c: (c.name != "shape", c.name in COMMON))
        message = _("{note} (no known pattern)", note=first.note)
        table = _gradcheck(shown) if shown.shapes_agree else ""
    name, look = (mistake.name, mistake.look) if mistake else (None, "")
    return Feedback(shown.problem.name, False, credits, message, name, look, example, table)


def _shown(trials: Sequence[Trial]) -> Trial:
    """The trial to show: the first that is not finite, else the first that is off."""
    off = next((t for t in trials if not t.agrees), trials[0])
    return next((t for t in trials if judge_finite(t)), off)


def _unstable(trials: Sequence[Trial]) -> Example | None:
    """The first draw of large scores where the answer is no number or, if it was right, no more.

    A wrong derivation has to be finite only: what is wrong with it counts elsewhere.
    """
    problem, function = trials[0].problem, trials[0].function
    draws = [problem.draw(t.draw.seed, large=True) for t in trials]
    largest = [max(np.max(np.abs(g)) for g in part) for part in zip(*(d.right for d in draws))]
    derived = all(t.agrees for t in trials)
    for t in (attempt(problem, function, draw) for draw in draws):
        where = t.trouble or judge_finite(t)  # math.exp(1000) is an error
        if not where and derived and not _roughly_right(t, largest):
            where = judge_agreement(t)
        if where:
            return t.example(where)
    return None


def _roughly_right(t: Trial, largest: Sequence[float]) -> bool:
    """Whether each entry is near the right one; any will do where the engine's is no number."""
    if not t.shapes_agree:
        return False
    off = [np.abs(a - g) > ROUGH * m + ROUGH_FLOOR for (_name, a, g), m in zip(t.triples, largest)]
    return not any(map(np.any, off))


def _gradcheck(t: Trial) -> str:
    """The gradient check of this draw; of a matrix, its row with the entry that is furthest off."""
    problem, inputs = t.problem, t.draw.inputs
    loss = grad(problem.loss, problem.argnums) if problem.derive is hessian else problem.loss
    row: tuple[Any, ...] = ()
    if problem.derive is not grad:
        _name, a, g = t.triples[0]
        worst = np.unravel_index(np.argmax(np.abs(a - g)), g.shape)
        row = worst[: np.ndim(loss(*inputs.values()))]
    rows = tuple(a[row] for a in t.answer)

    def value(*moved: Any) -> Any:
        return np.asarray(loss(*(inputs | dict(zip(problem.wrt, moved))).values()))[row]

    def yours(*_inputs: Any) -> Any:
        return rows if len(rows) > 1 else rows[0]

    def short(x: float) -> float:  # with eight digits, the table is wider than a terminal
        return float(f"{x:.4g}")

    report = gradcheck(value, *(inputs[name] for name in problem.wrt), gradient=yours)
    checks = [
        c._replace(name=name, analytic=short(c.analytic), numeric=short(c.numeric))
        for c, name in zip(report.inputs, problem.wrt)
    ]
    return str(report._replace(inputs=checks))
