"""Exercises: derive a gradient by hand, and hear which mistake it was.

``from tinygrad_ce.exercises import softmax_cross_entropy as ex`` gives one of them; ``ex`` shows
its task, ``ex.check(gradient)`` checks an answer, ``ex.hint()`` and ``ex.solution()`` help.
Each file in ``tasks/`` is an exercise, and `names` finds it. What they are made of is in
``framework/``, in this order:

  framework/inputs.py      what an answer is tried on, from small integers up
  framework/problem.py     `Problem`: a function, its inputs, and the engine's derivative
  framework/calling.py     the learner's function called, and what goes wrong there in a sentence
  framework/apart.py       a learner's file in a process of its own
  framework/feedback.py    what a check found, a task, a hint: text, a card, JSON
  framework/properties.py  what an answer has right on its own, which earns it credits
  framework/changes.py     a function's steps, and what is usually written in the place of each
  framework/backward.py    the chain rule through a loss, and what is usually done wrong in it
  framework/mistakes.py    known wrong derivations, and which of them an answer is
  framework/exercise.py    `Exercise`: a problem with its words and a check, on draws of every size

``engines.py`` has the small graphs on which an engine is tried that a learner writes, and
``command.py`` is the command ``tinygrad-ce exercise``.
"""

from importlib import import_module
from pkgutil import iter_modules

from ..engine.text import require
from . import tasks
from .framework import Exercise


def names() -> list[str]:
    """The names of all exercises, easy ones first.

    Examples
    --------
    >>> names()[0]
    'log_derivative'
    """
    files = [module.name for module in iter_modules(tasks.__path__)]
    return sorted(files, key=lambda name: (load(name).level, name))


def load(name: str) -> Exercise:
    """The exercise of a name; ModuleNotFoundError if there is none."""
    exercise: Exercise = import_module(f".tasks.{name}", __name__).exercise
    return exercise


def __getattr__(name: str) -> Exercise:
    """``from tinygrad_ce.exercises import sigmoid`` loads it."""
    require(
        name in names(), "there is no exercise {name!r}: see names()", AttributeError, name=name
    )
    return load(name)
