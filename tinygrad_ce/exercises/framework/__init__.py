"""What the exercises are made of; an exercise's file imports from here."""

from typing import Any

import numpy as np

from ...engine.transforms import grad, hessian, jacobian
from ...losses.activations import COMPOSED, logsumexp, sigmoid, softmax
from ...losses.activations import log_softmax as stable_log_softmax
from .exercise import Exercise
from .inputs import bits, nonzero, one_hot, positive, real, scalar, scores, signs

__all__ = ["SOFTMAX", "Exercise"]
__all__ += ["bits", "nonzero", "one_hot", "positive", "real", "scalar", "scores", "signs"]
__all__ += ["log_softmax", "logsumexp", "sigmoid", "softmax", "softplus"]
__all__ += ["grad", "hessian", "jacobian"]


def softplus(x: Any) -> Any:
    """log(1 + exp(x)), as it is written where mistakes are derived; else without overflow."""
    return np.log(1.0 + np.exp(x)) if COMPOSED.get() else np.logaddexp(0.0, x)


def log_softmax(z: Any) -> Any:
    """The same for log(softmax(z))."""
    return np.log(softmax(z)) if COMPOSED.get() else stable_log_softmax(z)


# The lines of a solution that make p of z, row by row.
SOFTMAX = "p = np.exp(z - z.max(axis=-1, keepdims=True))\np /= p.sum(axis=-1, keepdims=True)\n"
