"""`Exercise`: a task, the loss that the engine derives, known mistakes, hints, a solution."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ..engine.transforms import grad, hessian, jacobian
from ._check import check
from ._feedback import Feedback, Note
from ._inputs import Draw, inputs
from ._mistakes import Mistake

FUNCTIONS = {grad: "gradient", jacobian: "jacobian", hessian: "hessian"}  # what to write


class Solution(NamedTuple):
    """What `Exercise.solution` shows. Nothing else reads it: a check asks the engine.

    It stands in the exercise's file in plain words: who can import the exercise can call
    `solution`, so to encode it would hide nothing.
    """

    text: str
    latex: str
    code: str


@dataclass(eq=False, repr=False)
class Exercise:
    """One exercise: a function to write, checked against the engine's derivative of ``loss``.

    Parameters
    ----------
    file : the ``__name__`` of its file, whose last part is the exercise's name
    level : where it stands in the list; easy ones first
    title, task : what to do, in words
    formula, latex : the loss, as text and as LaTeX
    loss : the same in NumPy, of the inputs; an array-valued function for a Jacobian
    inputs : how each input is drawn (see ``_inputs.py``), in the order of the arguments
    wrt : the inputs to differentiate by; for several, the answer is a tuple
    mistakes : known wrong derivations (see ``_mistakes.py``)
    hints : ever more direct
    solution : shown when asked for
    derive : `grad`, or `jacobian` or `hessian`: what is asked for

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

    file: str
    level: int
    title: str
    task: str
    formula: str
    latex: str
    loss: Callable[..., Any]
    inputs: Mapping[str, Draw]
    wrt: Sequence[str]
    mistakes: Sequence[Mistake]
    hints: Sequence[str]
    solved: Solution
    derive: Callable[..., Any] = grad
    _hinted: int = field(default=0, init=False)

    @property
    def name(self) -> str:
        """The name it is imported by."""
        return self.file.rpartition(".")[2]

    @property
    def function(self) -> str:
        """What the learner's function is called."""
        return FUNCTIONS[self.derive]

    @property
    def call(self) -> str:
        """How the learner's function is called: ``gradient(z, t)``."""
        return f"{self.function}({', '.join(self.inputs)})"

    @property
    def argnums(self) -> Any:
        """The places of ``wrt`` among the arguments, as `grad` takes them."""
        places = [[*self.inputs].index(name) for name in self.wrt]
        return places if len(places) > 1 else places[0]

    @property
    def parts(self) -> list[str]:
        """How feedback calls the arrays of an answer."""
        return [f"d{name}" for name in self.wrt] if len(self.wrt) > 1 else [f"your {self.function}"]

    def asked(self, then: str = "") -> Note:
        """The task as text, HTML and LaTeX, and how to go on; an exercise shows it by itself."""
        then = then or f"ex.check({self.function}) checks it, ex.hint() helps."
        text = f"{self.task}\n\nWrite {self.call}. {then}"
        return Note(self.title, text, self.formula, self.latex)

    def check(self, function: Any = None, seed: int | None = None) -> Feedback:
        """Compare a function with the engine's derivative on draws of many sizes.

        Parameters
        ----------
        function : of the exercise's inputs, returning its answer: `call` shows how
        seed : optional
            The first draw's number, other draws than everybody's; if that draw shows a fault, it
            is the example of the feedback.

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
        if number is not None and not 1 <= number <= len(self.hints):
            raise ValueError(f"hint: got {number}, there are hints 1 to {len(self.hints)}")
        self._hinted = number or min(self._hinted + 1, len(self.hints))
        last = self._hinted == len(self.hints)
        return self.hinted(self._hinted, "This is the last hint; solution() shows the rest." * last)

    def hinted(self, number: int, then: str = "") -> Note:
        """The hint of a number, and how to go on."""
        text = self.hints[number - 1]
        title = f"{self.title}: hint {number} of {len(self.hints)}"
        return Note(title, f"{text}\n\n{then}" if then else text)

    def solution(self) -> Note:
        """The derivation in words, the formula and the code."""
        text, latex, code = self.solved
        code = f"import numpy as np\n\n\n{code}" if "np." in code else code
        return Note(f"{self.title}: solution", text, "", latex, code)

    def try_it(self, seed: int | None = None, large: bool = False) -> Any:
        """Inputs to play with, as a check draws them: ``gradient(*ex.try_it())``.

        Parameters
        ----------
        seed : the number of the draw, as feedback tells it; without one, some draw
        large : scores near 1000 and -1000, where exp overflows, in an exercise that has scores
        """
        some = int(np.random.default_rng().integers(10**6))
        drawn, _ = inputs(self.inputs, some if seed is None else seed, large)
        return namedtuple("Inputs", [*drawn])(*drawn.values())

    def __str__(self) -> str:
        return str(self.asked())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.asked()._repr_html_()

    def _repr_latex_(self) -> str | None:
        return self.asked()._repr_latex_()
