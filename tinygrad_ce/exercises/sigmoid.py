"""The sigmoid: a derivative made of the function's own value."""

from typing import Any

import numpy as np

from ..losses.activations import sigmoid
from ._exercise import Exercise, Solution
from ._inputs import scores
from ._mistakes import changed, of_loss


def loss(z: Any) -> Any:
    """L = Σ σ(z), by the hyperbolic tangent: it does not overflow, and has no seam at 0."""
    return (0.5 + 0.5 * np.tanh(0.5 * z)).sum()


MISTAKES = [
    changed("sign of the inner derivative", "there are two minus signs on the way, one from 1/u "
            "and one from exp(−z)", lambda g, z: -g),
    changed("the sigmoid itself", "what you return is the function", lambda g, z: sigmoid(z)),
    changed("inner derivative forgotten", "1/u is differentiated by u; u itself depends on z",
            lambda g, z: g * np.exp(z)),
    of_loss("log of the sigmoid", "that is the slope of log σ(z): is a power of u missing?",
            lambda z: np.log(sigmoid(z)).sum()),
]  # fmt: skip

exercise = Exercise(
    file=__name__,
    level=30,
    title="The sigmoid",
    task="z holds N numbers of either sign. Return ∂L/∂z, an array of the same shape.",
    formula="L = Σᵢ σ(zᵢ),  σ(z) = 1 / (1 + exp(−z))",
    latex=r"L = \sum_i \sigma(z_i), \qquad \sigma(z) = \frac{1}{1 + e^{-z}}",
    loss=loss,
    inputs={"z": scores("N")},
    wrt=["z"],
    mistakes=MISTAKES,
    hints=[
        "Write u = 1 + exp(−z), so that σ = 1/u, and use the chain rule.",
        "dσ/du = −1/u² and du/dz = −exp(−z). Multiply them.",
        "exp(−z)/u is 1 − σ: the derivative can be written with σ alone, as a product of two.",
    ],
    solved=Solution(
        "With u = 1 + exp(−z): dσ/dz = (−1/u²)(−exp(−z)) = (1/u)(exp(−z)/u), and the second factor "
        "is 1 − 1/u. So the slope is largest at z = 0, where it is 1/4.",
        r"\sigma'(z) = \sigma(z)\,(1 - \sigma(z))",
        "def gradient(z):\n    s = 1 / (1 + np.exp(-z))\n    return s * (1 - s)",
    ),
)
