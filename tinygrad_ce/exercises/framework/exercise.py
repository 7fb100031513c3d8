"""`Exercise`: a problem with its words, its hints, its solution, and a check on many draws."""

from collections import namedtuple
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cached_property
from io import StringIO
from itertools import combinations
from textwrap import indent
from typing import Any

import numpy as np

from ...engine.language import Sentence, speaking, spoken
from ...engine.text import _, require
from ...engine.transforms import grad
from ...programs.compiled import program
from ...views.derivation import derive
from .apart import Apart
from .calling import attempt
from .changes import UNKNOWN
from .feedback import Credit, Feedback, Note
from .inputs import DRAWS
from .mistakes import name_mistakes, twins_of
from .problem import Arrays, Problem, Trial, close, draw
from .properties import COMMON, STABLE, judge_agreement, judge_finite, judge_shape, properties

OVERFLOWS = "exp(1000) is too large for a float: can you write it so that no exponent is above 0?"


@dataclass(eq=False, repr=False, kw_only=True)
class Exercise(Problem):
    """One exercise: a function to write, checked against the engine's derivative of ``loss``.

    Parameters
    ----------
    loss : a function of the inputs in NumPy; array-valued for a Jacobian
    inputs : how each input is drawn (see ``inputs.py``), in the order of the arguments
    wrt : the inputs to differentiate by; for several, the answer is a tuple
    mistakes : ``"its name: where to look"``, and a wrong answer, that no changed step explains
    derive : `grad`, or `jacobian` or `hessian`: what is asked for
    file : the ``__name__`` of its file, whose last part is the exercise's name; else the loss's
    asks, through : another function to write than the gradient, as ``"backward(loss)"``, and what
        makes of that a function of the inputs that gives the gradient
    level : where it stands in the list; easy ones first
    title, task, formula : what to do, in words, and the loss, as it is written
    hints : ever more direct; all of them are the derivation
    result, code : the solution, as it is written and in NumPy; a check asks the engine, not these.
        Without them it is what `derive` and `program` print.

    Examples
    --------
    >>> from tinygrad_ce import softmax
    >>> from tinygrad_ce.exercises import softmax_cross_entropy as ex
    >>> feedback = ex.check(lambda z, t: softmax(z))
    >>> feedback.passed, feedback.mistake
    (False, 't left out')
    >>> ex.check(lambda z, t: softmax(z) - t).passed
    True
    """

    level: int = 0
    title: str = ""
    task: str = ""
    formula: str = ""
    hints: Sequence[str] = ()
    result: str = ""
    code: str = ""

    twins = cached_property(twins_of)
    _hinted = 0  # the number of the last hint

    def __post_init__(self) -> None:
        super().__post_init__()
        self.title = self.title or self.name
        wanted = ", ".join(f"∂L/∂{name}" for name in self.wrt)
        text = "Return {wanted}." if self.derive is grad else "Return the {function} by {inputs}."
        names = {"wanted": wanted, "function": self.function, "inputs": ", ".join(self.wrt)}
        self.task = self.task or Sentence(text, **names)

    def note(self, then: str = "") -> Note:
        """The task, and how to go on; an exercise shows it by itself."""
        usual = "ex.check({name}) checks it, ex.hint() helps."
        if not self.hints:
            usual = "ex.check({name}) checks it, ex.solution() derives it."
        then = then or _(usual, name=self.function)
        write = _("Write {call}. {then}", call=self.call, then=then)
        formula = [f"  {spoken(self.formula)}"] if self.formula else []
        return Note(spoken(self.title), [*formula, spoken(self.task), write])

    def __repr__(self) -> str:
        return str(self.note())

    def _repr_html_(self) -> str:
        return self.note()._repr_html_()

    def check(self, function: Any = None, seed: int = 0, lang: str = "") -> Feedback:
        """Compare a function with the engine's derivative on draws of many sizes.

        Parameters
        ----------
        function : of the exercise's inputs, returning its answer: `call` shows how
        seed : the first draw's number, for other draws than everybody's
        lang : the language of what it says, "en" or "ko"; the reader's, where none is named

        Returns
        -------
        Feedback
            With ``passed``, ``score``, ``mistake`` (a name, or None), ``credits``, ``example`` and
            ``to_json()``. Whatever the function does, it says so there and raises nothing.
            A right derivation has passed; that its exp overflows at large scores costs a credit.
        """
        if callable(function) and not isinstance(function, Apart):  # that has done so
            function = self.through(function)
        start = draw(self, seed).seed
        draws = sorted((draw(self, start + i) for i in range(DRAWS)), key=lambda t: t.size)
        with speaking(lang), np.errstate(all="ignore"):  # an answer may hold inf, nan
            trials = [attempt(function, draws[0])]  # what it prints is heard once
            with redirect_stdout(StringIO()):
                trials += [attempt(function, t) for t in draws[1:]]
                troubled = next((t for t in trials if t.trouble), None)
                return self.untried(troubled.trouble, troubled) if troubled else _judge(trials)

    def untried(self, trouble: str, example: Trial | None = None) -> Feedback:
        """What to say where there are no numbers to compare, and no credit."""
        message, credits = _("No answer: {why}", why=trouble), [*map(Credit, properties(self))]
        return Feedback(self.name, False, credits, message, example=example)

    def hint(self, number: int | None = None, lang: str = "") -> Note:
        """The next hint, each more direct than the one before; or the one of a number, from 1."""
        last = len(self.hints)
        text = "hint: {title} has none; solution() has all of it"
        require(last, text, title=spoken(self.title))
        text = "hint: got {n}, there are hints 1 to {last}"
        require(number is None or 1 <= number <= last, text, n=number, last=last)
        self._hinted = n = number or min(self._hinted + 1, last)
        with speaking(lang):
            title = _("{title}: hint {n} of {last}", title=spoken(self.title), n=n, last=last)
            return Note(title, [spoken(self.hints[n - 1])])

    def solution(self, lang: str = "") -> Note:
        """The hints, which are the derivation, the formula and the code."""
        with speaking(lang):
            title = _("{title}: solution", title=spoken(self.title))
            return Note(title, [*map(spoken, self.hints), *self._solved()])

    def _solved(self) -> Sequence[str]:
        """The formula and the code; or the derivation, or a program."""
        if self.code:
            return f"  {spoken(self.result)}", self.source
        some = draw(self, DRAWS - 1).inputs.values()
        if self.derive is not grad:
            return [str(program(self.derivative, *some))]
        return [str(derive(self.loss, *some, wrt=self.places, sums_to_one=self.tables))]

    @property
    def source(self) -> str:
        """A function that solves it, in NumPy."""
        code = f"def {self.call}:\n{indent(self.code, '    ')}"
        return f"import numpy as np\n\n\n{code}" if "np." in code else code

    def solved(self, inputs: Arrays) -> Callable[..., Any]:
        """The solution as a function."""
        if not self.code:
            return super().solved(inputs)
        space = dict[str, Callable[..., Any]]()
        exec(self.source, space)
        return space[self.function]

    def try_it(self, seed: int | None = None, large: bool = False) -> Any:
        """Inputs to play with, as a check draws them: ``gradient(*ex.try_it())``.

        Parameters
        ----------
        seed : the number of the draw, as feedback tells it; without one, some draw
        large : scores near 1000 and -1000, where exp overflows, in an exercise that has scores
        """
        some = int(np.random.default_rng().integers(10**6))
        inputs = draw(self, some if seed is None else seed, large).inputs
        copies = {name: np.copy(x) if np.ndim(x) else x for name, x in inputs.items()}
        return namedtuple("Inputs", copies)(**copies)


def _judge(trials: Sequence[Trial]) -> Feedback:
    """What there is to say of an answer: to show is what is not finite, else what is off."""
    problem, faults = trials[0].problem, _faults(trials)
    off = [t for _note, t in (faults["agreement"], *faults.values()) if t]
    shown = next(filter(judge_finite, trials), (off or trials)[0])
    notes = {
        name: _("{note} (seed={seed})", note=note, seed=t.seed) if t and t is not shown else note
        for name, (note, t) in faults.items()
    }
    credits = [Credit(name, not note, note) for name, note in notes.items()]
    # A shape, then what is special here; that it is stable can wait until it is right.
    telling = [name for name, note in notes.items() if note and name != STABLE]
    telling.sort(key=lambda name: (name != "shape", name in COMMON))
    if not telling:
        message = _("Your answer agrees with the engine's on {n} draws of different sizes", n=DRAWS)
        message += _made(trials)
        if not notes.get(STABLE):
            return Feedback(problem.name, True, credits, message)
        message += _("; but {note}", note=notes[STABLE])
        large = attempt(shown.function, draw(problem, shown.seed, large=True))
        shown = large._replace(where=notes[STABLE])
        return Feedback(problem.name, True, credits, message, None, _(OVERFLOWS), shown)
    by_chance = _is_constant(trials) and all(map(judge_shape, trials))  # 0 is the sum of p - t, too
    strange = judge_finite(shown)
    mistake, *twins = (not by_chance and name_mistakes(trials)) or [""]
    name, _colon, look = spoken(mistake).partition(": ")
    others = (x for x in twins if UNKNOWN not in x and x.split()[0] != mistake.split()[0])
    twin = spoken(next(others, "")).partition(": ")[0]  # in other words
    if strange:
        text = "Not finite: {note}: does an exp overflow, or a division meet 0?"
    else:
        text = "Known mistake: {name}" if name else "No known pattern: {note}"
        text = "Known mistake: {name}. The same numbers come of: {twin}" if twin else text
    message = _(text, name=name, twin=twin, note=strange or notes[telling[0]])
    right = [spoken(n) for n in problem.parts if all(close(t.yours[n], t.right[n]) for t in trials)]
    if right:
        message = _("{parts} is right. {rest}", parts=", ".join(right), rest=message)
    shown = shown._replace(where=judge_agreement(shown))
    known = mistake.partition(": ")[0] or None
    return Feedback(problem.name, False, credits, message, known, look, shown)


def _made(trials: Sequence[Trial]) -> str:
    """How an answer that is right was made, where that is no derivation."""
    if any(t.derived for t in trials):
        return _("; but the engine derived it: what would you write without its gradients?")
    pairs = [(a, g) for t in trials for _name, a, g in t.triples if a.dtype == float]
    off = max((np.max(abs(a - g) / (1.0 + np.max(abs(g)))) for a, g in pairs), default=0.0)
    if off < 1e-10:
        return ""
    text = "; but it has {n} digits only: is it from differences, or of float32?"
    return _(text, n=int(-np.log10(off)))


def _faults(trials: Sequence[Trial]) -> dict[str, tuple[str, Trial | None]]:
    """What is off, by property, and in which trial first; "" and None if nothing is."""
    faults: dict[str, tuple[str, Trial | None]] = {}
    shaped = [t for t in trials if not judge_shape(t)]
    same = _is_constant(shaped)
    # Large scores are not to blame for what is wrong without them.
    tried = [t for t in shaped if not t.agrees] or shaped
    judged = {"shape": trials, "agreement": trials, STABLE: tried}
    for name, judge in properties(trials[0].problem).items():
        if same and name not in COMMON:  # it has every symmetry
            faults[name] = _("your answer is the same for all inputs"), None
        elif not (seen := judged.get(name, shaped)):
            faults[name] = _("not seen before the shape is right"), None
        else:
            faults[name] = next(((note, t) for t in seen if (note := judge(t))), ("", None))
    return faults


def _is_constant(trials: Sequence[Trial]) -> bool:
    """Whether answers do not depend on the inputs, though the right ones do."""

    def alike(x: Arrays, y: Arrays) -> bool:
        return all(map(np.array_equal, x.values(), y.values()))

    pairs = [(a, b) for a, b in combinations(trials, 2) if a.sizes == b.sizes]
    varied = [(a.yours, b.yours) for a, b in pairs if not alike(a.right, b.right)]
    return bool(varied) and all(alike(x, y) for x, y in varied)
