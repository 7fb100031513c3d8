"""The sigmoid: a derivative made of the function's own value."""

import numpy as np

from ..framework import Exercise, scores, sigmoid

exercise = Exercise(
    file=__name__, level=30, title="The sigmoid", formula="L = Σᵢ σ(zᵢ),  σ(z) = 1 / (1 + exp(−z))",
    task="z holds N numbers of either sign. Return ∂L/∂z, an array of the same shape.",
    loss=lambda z: (0.5 + 0.5 * np.tanh(0.5 * z)).sum(),  # no overflow, and no seam at 0
    inputs={"z": scores("N")}, wrt=["z"],
    mistakes={
        "the sigmoid itself: what you return is the function": lambda z: sigmoid(z),
        "inner derivative forgotten: u depends on z, too": lambda z: sigmoid(z) ** 2,
        "log of the sigmoid: is a power of u missing?": lambda z: 1 - sigmoid(z),
    },
    hints=["Write u = 1 + exp(−z), so that σ = 1/u, and use the chain rule.",
           "dσ/du = −1/u² and du/dz = −exp(−z). Multiply them.",
           "exp(−z)/u is 1 − σ: the derivative can be written with σ alone, as a product of two."],
    result="σ′(z) = σ(z) (1 − σ(z))", code="s = 1 / (1 + np.exp(-z))\nreturn s * (1 - s)",
)  # fmt: skip
