"""The logistic loss with classes −1 and 1."""

import numpy as np

from ..framework import Exercise, scores, sigmoid, signs

exercise = Exercise(
    file=__name__, level=110, title="The logistic loss",
    task="z (N,) are scores, y (N,) the classes, −1 or 1; L is a mean. Return ∂L/∂z (N,).",
    formula="L = (1/N) Σᵢ log(1 + exp(−yᵢ zᵢ))",
    loss=lambda z, y: np.logaddexp(0.0, -(y * z)).mean(),
    inputs={"z": scores("N"), "y": signs("N")}, wrt=["z"],
    mistakes={
        "y forgotten: what is the slope of −y z by z?": lambda right, y: right * y,
        "sign of the exponent: where is L small?": lambda z, y: y * sigmoid(y * z) / len(z),
        "σ(y z) in place of σ(−y z): where is L flat?": lambda z, y: -y * sigmoid(y * z) / len(z),
        "the coding 0 and 1: here the classes are −1 and 1": lambda z, y: (sigmoid(z) - y) / len(z),
        "log forgotten: that is the slope of exp(−y z)": lambda z, y: -y * np.exp(-y * z) / len(z),
        "only the logarithm's slope: u depends on z, too": lambda z, y: sigmoid(y * z) / len(z),
    },
    hints=["Call the margin m = y z, and differentiate log(1 + exp(−m)) by m first.",
           "That slope is −exp(−m) / (1 + exp(−m)), which is −σ(−m). How does m move with z?",
           "Multiply by y, and keep the mean's 1/N."],
    result="∂L/∂zᵢ = −1/N yᵢ σ(−yᵢ zᵢ)", code="return -y / (1 + np.exp(y * z)) / len(z)",
)  # fmt: skip
