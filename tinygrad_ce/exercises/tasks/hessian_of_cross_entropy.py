"""The second derivative of softmax and cross-entropy."""

import numpy as np

from ..framework import SOFTMAX, Exercise, hessian, log_softmax, one_hot, scores, softmax

exercise = Exercise(
    file=__name__, level=140, title="The Hessian of cross-entropy",
    task="z (K,) are the logits of one sample, t (K,) its one-hot target. Return the matrix of "
    "second derivatives H, of shape (K, K).",
    formula="L = −Σₖ tₖ log pₖ,  p = softmax(z),  Hᵢⱼ = ∂²L/∂zᵢ∂zⱼ",
    loss=lambda z, t: -(t * log_softmax(z)).sum(),
    inputs={"z": scores("K"), "t": one_hot("K")}, wrt=["z"], derive=hessian,
    mistakes={
        "only the diagonal: p_i has a slope by z_j": lambda right: np.diag(np.diag(right)),
        "normaliser treated as a constant: z_j is in it, too": lambda z: np.diag(softmax(z)),
        "plus where minus stands: a larger z_j makes every other p_i smaller":
            lambda right, z: 2 * np.diag(softmax(z)) - right,
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
