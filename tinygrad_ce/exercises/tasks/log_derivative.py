"""The derivative of the logarithm, which every cross-entropy begins with."""

import numpy as np

from ..framework import Exercise, positive

exercise = Exercise(
    file=__name__, level=10, title="The derivative of the logarithm", formula="L = Σᵢ log xᵢ",
    task="x holds N numbers above zero. Return ∂L/∂x, an array of the same shape.",
    loss=lambda x: np.log(x).sum(), inputs={"x": positive("N")}, wrt=["x"],
    hints=["Each xᵢ stands in one term of the sum only, so look at one entry alone.",
           "The logarithm is the inverse of exp: differentiate both sides of exp(log x) = x.",
           "exp(log x) · (log x)′ = 1, and exp(log x) is x. Solve for (log x)′."],
    result="∂L/∂xᵢ = 1/xᵢ", code="return 1 / x",
)  # fmt: skip
