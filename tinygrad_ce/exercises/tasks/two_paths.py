"""A variable that is used twice: what arrives over two paths adds up."""

import numpy as np

from ..framework import Exercise, real

exercise = Exercise(
    file=__name__, level=40, title="Two paths", formula="a = x²,  b = exp(2x),  L = Σᵢ aᵢ bᵢ",
    task="x holds N numbers and goes into a and into b; both go into L. Return ∂L/∂x, shaped as x.",
    loss=lambda x: (x**2 * np.exp(2 * x)).sum(), inputs={"x": real("N")}, wrt=["x"],
    hints=["Draw it: two arrows leave x, one to a and one to b. Both end in L.",
           "Go back along each arrow: ∂L/∂a times the slope of a, ∂L/∂b times that of b.",
           "∂L/∂a = b and ∂L/∂b = a. The slopes are 2x and 2 exp(2x). Add the two products."],
    result="∂L/∂xᵢ = 2 xᵢ exp(2xᵢ) + 2 xᵢ² exp(2xᵢ)", code="return 2 * (x + x**2) * np.exp(2 * x)",
)  # fmt: skip
