"""`Exercise`: a problem with its words, its hints, its solution, and a check."""

from collections import namedtuple
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...engine.text import _
from .check import check
from .feedback import Feedback, Note, Shown
from .problem import Problem, draw


@dataclass(eq=False, repr=False, kw_only=True)
class Exercise(Problem, Shown):
    """One exercise: a function to write, checked against the engine's derivative of ``loss``.

    Parameters
    ----------
    file : the ``__name__`` of its file, whose last part is the exercise's name
    loss : a function of the inputs in NumPy; array-valued for a Jacobian
    inputs : how each input is drawn (see ``inputs.py``), in the order of the arguments
    wrt : the inputs to differentiate by; for several, the answer is a tuple
    mistakes : known wrong derivations (see ``mistakes.py``)
    derive : `grad`, or `jacobian` or `hessian`: what is asked for
    level : where it stands in the list; easy ones first
    title, task : what to do, in words
    formula, latex : the loss, as text and as LaTeX
    hints : ever more direct
    derivation, result, code : the solution in words, as LaTeX and in NumPy. Nothing else reads it:
        a check asks the engine

    Examples
    --------
    >>> from tinygrad_ce import softmax
    >>> from tinygrad_ce.exercises import softmax_cross_entropy as ex
    >>> feedback = ex.check(lambda z, t: softmax(z))
    >>> feedback.passed, feedback.mistake
    (False, 'target forgotten')
    >>> ex.check(lambda z, t: softmax(z) - t).passed
    True
    """

    level: int
    title: str
    task: str
    formula: str
    latex: str
    hints: Sequence[str]
    derivation: str
    result: str
    code: str

    _hinted = 0  # the number of the last hint

    def note(self, then: str = "") -> Note:
        """The task as text, HTML and LaTeX, and how to go on; an exercise shows it by itself."""
        then = then or _("ex.check({name}) checks it, ex.hint() helps.", name=self.function)
        write = _("Write {call}. {then}", call=self.call, then=then)
        return Note(self.title, (self.task, write), self.formula, self.latex)

    def check(self, function: Any = None, seed: int | None = None) -> Feedback:
        """Compare a function with the engine's derivative on draws of many sizes.

        Parameters
        ----------
        function : of the exercise's inputs, returning its answer: `call` shows how
        seed : the first draw's number, for other draws than everybody's; if that draw shows a
            fault, it is the example of the feedback

        Returns
        -------
        Feedback
            With ``passed``, ``score``, ``mistake`` (a name, or None), ``credits``, ``example`` and
            ``to_json()``. Whatever the function does, it says so there and raises nothing.
            A right derivation has passed; that its exp overflows at large scores costs a credit.
        """
        return check(self, function, seed)

    def hint(self, number: int | None = None) -> Note:
        """The next hint, each more direct than the one before; or the one of a number, from 1."""
        last = len(self.hints)
        if number is not None and not 1 <= number <= last:
            text = "hint: got {number}, there are hints 1 to {last}"
            raise ValueError(_(text, number=number, last=last))
        self._hinted = number or min(self._hinted + 1, last)
        text = "{title}: hint {number} of {last}"
        title = _(text, title=self.title, number=self._hinted, last=last)
        return Note(title, (self.hints[self._hinted - 1],))

    def solution(self) -> Note:
        """The derivation in words, the formula and the code."""
        code = f"import numpy as np\n\n\n{self.code}" if "np." in self.code else self.code
        title = _("{title}: solution", title=self.title)
        return Note(title, (self.derivation, code), self.result, self.result)

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
