"""Exercises: derive a gradient by hand, and hear which mistake it was.

``from tinygrad_ce.exercises import softmax_cross_entropy as ex`` gives one of them; ``ex`` shows
its task, ``ex.check(gradient)`` checks an answer, ``ex.hint()`` and ``ex.solution()`` help.
An exercise is a file here whose name has no underscore in front; `names` finds them. In this order
the rest reads:

  _inputs.py    what an answer is tried on, from small integers up
  _mistakes.py  known wrong derivations
  _calling.py   the learner's function called, and what goes wrong there in a sentence
  _feedback.py  what a check found: text, an HTML card, JSON
  _check.py     an answer against the engine's gradient: credits, the mistake, the example
  _exercise.py  `Exercise`: the task, its hints, its solution
  _cli.py       ``tinygrad-ce exercise``
"""

import sys
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._exercise import Exercise

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
    found = [module.name for module in iter_modules(__path__) if module.name[0] != "_"]
    return sorted(found, key=lambda name: (load(name).level, name))


def load(name: str) -> "Exercise":
    """The exercise of a name.

    Raises
    ------
    ModuleNotFoundError
        If there is none of that name.
    """
    import_module(f".{name}", __name__)
    found: Exercise = globals()[name]
    return found


class _Exercises(ModuleType):
    """The package itself: an exercise's file is the exercise, however it was imported."""

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, getattr(value, "exercise", value))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in {module.name for module in iter_modules(__path__)}:
            raise AttributeError(f"there is no exercise {name!r}: see names()")
        return load(name)


sys.modules[__name__].__class__ = _Exercises
