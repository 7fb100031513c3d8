"""The second derivative of softmax and cross-entropy."""

import numpy as np

from ..framework import SOFTMAX, Exercise, hessian, log_softmax, one_hot, scores, softmax
from .softmax_jacobian import exercise as of_the_softmax

exercise = Exercise(
    file=__name__, level=140, title="The Hessian of cross-entropy",
    task="z (K,) are the logits of one sample, t (K,) its one-hot target. Return the matrix of "
    "second derivatives H, of shape (K, K).",
    formula="L = −Σₖ tₖ log pₖ,  p = softmax(z),  Hᵢⱼ = ∂²L/∂zᵢ∂zⱼ",
    loss=lambda z, t: -(t * log_softmax(z)).sum(),
    inputs={"z": scores("K"), "t": one_hot("K")}, wrt=["z"], derive=hessian,
    mistakes={
        **of_the_softmax.mistakes,
        "the gradient's outer product: that is the square of the slope, not its slope":
            lambda z, t: np.outer(softmax(z) - t, softmax(z) - t),
        "the gradient once more: what are the slopes of its entries?": lambda z, t: softmax(z) - t,
        "the target still in it: t is a constant": lambda right, t: right - np.diag(t),
    },
    hints=["Write down the gradient first: you have derived it in softmax_cross_entropy.",
           "It is p − t, and t is a constant. So H is the Jacobian of p.",
           "You have derived that one as well, in softmax_jacobian."],
    result="H = diag(p) − p pᵀ", code=SOFTMAX + "return np.diag(p) - np.outer(p, p)",
)  # fmt: skip
