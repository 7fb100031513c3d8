"""The logistic loss with classes −1 and 1."""

import numpy as np

from ...losses.activations import sigmoid
from ..framework import Exercise, changed, of_loss, scores, signs

exercise = Exercise(
    file=__name__, level=110, title="The logistic loss",
    task="z (N,) are scores, y (N,) the classes, −1 or 1; L is a mean. Return ∂L/∂z (N,).",
    formula="L = (1/N) Σᵢ log(1 + exp(−yᵢ zᵢ))",
    loss=lambda z, y: np.logaddexp(0.0, -(y * z)).mean(),
    inputs={"z": scores("N"), "y": signs("N")}, wrt=["z"],
    mistakes=[
        changed("y forgotten", "what is the slope of −y z by z?", lambda g, z, y: g * y),
        changed("sign of the exponent", "which samples should have a small loss?",
                lambda g, z, y: y / len(z) + g),
        changed("σ(y z) in place of σ(−y z)", "where is L flat?", lambda g, z, y: -y / len(z) - g),
        changed("the coding 0 and 1", "p − y is for classes 0 and 1; here they are −1 and 1",
                lambda g, z, y: (sigmoid(z) - y) / len(z)),
        of_loss("log forgotten", "that is the slope of 1 + exp(−y z)",
                lambda z, y: (1 + np.exp(-y * z)).mean()),
        changed("only the logarithm's slope", "1/u is the slope of log u by u; u depends on z",
                lambda g, z, y: sigmoid(y * z) / len(z)),
    ],
    hints=["Call the margin m = y z, and differentiate log(1 + exp(−m)) by m first.",
           "That slope is −exp(−m) / (1 + exp(−m)), which is −σ(−m). How does m move with z?",
           "Multiply by y, and keep the mean's 1/N."],
    result="∂L/∂zᵢ = −1/N yᵢ σ(−yᵢ zᵢ)", code="return -y / (1 + np.exp(y * z)) / len(z)",
)  # fmt: skip
