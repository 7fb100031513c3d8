"""Exercises: derive a gradient by hand, and hear which mistake it was.

``from tinygrad_ce.exercises import softmax_cross_entropy as ex`` gives one of them; ``ex`` shows
its task, ``ex.check(gradient)`` checks an answer, ``ex.hint()`` and ``ex.solution()`` help.
Each file here is an exercise, and `names` finds it; ``log_derivative.py`` is the first to read.
What they are made of is in ``framework/``, in this order:

  framework/inputs.py      what an answer is tried on, from small integers up
  framework/problem.py     `Problem`: a function, its inputs, and the engine's derivative
  framework/calling.py     the learner's function called, and what goes wrong there in a sentence
  framework/feedback.py    what a check found, a task, a hint: text, a card, JSON
  framework/properties.py  what an answer has right on its own, which earns it credits
  framework/mistakes.py    known wrong derivations, and which of them an answer is
  framework/check.py       an answer tried on draws of every size
  framework/exercise.py    `Exercise`: a problem with its words, its hints, its solution

``__main__.py`` is the command ``tinygrad-ce exercise``.
"""

from importlib import import_module
from pkgutil import iter_modules

from ..engine.text import _
from .framework import Exercise

# A type checker takes a file for a module, unless its name stands here.
log_derivative: Exercise
quotient_rule: Exercise
sigmoid: Exercise
two_paths: Exercise
softmax_jacobian: Exercise
softmax_cross_entropy: Exercise
soft_labels: Exercise
softmax_regression: Exercise
l2_penalty: Exercise
l1_penalty: Exercise
logistic_loss: Exercise
logsumexp: Exercise
temperature: Exercise
hessian_of_cross_entropy: Exercise
softmax_vjp: Exercise
fused_vjp: Exercise


def names() -> list[str]:
    """The names of all exercises, easy ones first.

    Examples
    --------
    >>> names()[0]
    'log_derivative'
    """
    return sorted(_files(), key=lambda name: (load(name).level, name))


def load(name: str) -> Exercise:
    """The exercise of a name.

    Raises
    ------
    ModuleNotFoundError
        If there is none of that name.
    """
    exercise: Exercise = import_module(f".{name}", __name__).exercise
    globals()[name] = exercise  # not the module of that name
    return exercise


def _files() -> set[str]:
    return {m.name for m in iter_modules(__path__) if not m.ispkg and m.name != "__main__"}


def __getattr__(name: str) -> Exercise:
    """An exercise whose file has been added."""
    if name not in _files():
        raise AttributeError(_("there is no exercise {name!r}: see names()", name=name))
    return load(name)


for _name in _files():  # now, so that a file is its exercise however it is imported
    load(_name)
