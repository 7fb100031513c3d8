"""A variable that is used twice: what arrives over two paths adds up."""

from typing import Any

import numpy as np

from ..engine.transforms import grad
from ..engine.value import detach
from ._exercise import Exercise, Solution
from ._inputs import real
from ._mistakes import changed, of_loss


def loss(x: Any) -> Any:
    """L = Σ x² exp(2x)."""
    return (x * x * np.exp(2 * x)).sum()


def through_a(x: Any) -> Any:
    """The same with b a constant."""
    return (x * x * detach(np.exp(2 * x))).sum()


MISTAKES = [
    of_loss("overwritten: only the path through a", "x reaches L through b as well: what arrives "
            "second is added", through_a),
    of_loss("overwritten: only the path through b", "x reaches L through a as well: what arrives "
            "second is added", lambda x: (detach(x * x) * np.exp(2 * x)).sum()),
    changed("derivatives multiplied", "the slope of a product is not the product of the slopes",
            lambda g, x: 2 * grad(through_a)(x)),
    changed("inner derivative of exp(2x) forgotten", "the exponent is 2x, not x",
            lambda g, x: (g + grad(through_a)(x)) / 2),
    changed("subtracted in place of added", "both paths carry a plus sign",
            lambda g, x: 2 * grad(through_a)(x) - g),
]  # fmt: skip

exercise = Exercise(
    file=__name__,
    level=40,
    title="Two paths",
    task="x holds N numbers. It goes into a and into b, and both go into L. Return ∂L/∂x, an array "
    "of x's shape.",
    formula="a = x²,  b = exp(2x),  L = Σᵢ aᵢ bᵢ",
    latex=r"a = x^2, \qquad b = e^{2x}, \qquad L = \sum_i a_i b_i",
    loss=loss,
    inputs={"x": real("N")},
    wrt=["x"],
    mistakes=MISTAKES,
    hints=[
        "Draw it: two arrows leave x, one to a and one to b. Both end in L.",
        "Go back along each arrow on its own: ∂L/∂a times the slope of a, ∂L/∂b times that of b.",
        "∂L/∂a = b and ∂L/∂b = a. The slopes are 2x and 2 exp(2x). Add the two products.",
    ],
    solved=Solution(
        "Through a arrives b · 2x, through b arrives a · 2 exp(2x); a node adds what arrives.",
        r"\frac{\partial L}{\partial x_i} = 2 x_i e^{2 x_i} + 2 x_i^2 e^{2 x_i}",
        "def gradient(x):\n    return 2 * (x + x**2) * np.exp(2 * x)",
    ),
)
