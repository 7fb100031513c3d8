"""The second derivative of softmax and cross-entropy."""

from ..framework import SOFTMAX, Exercise, hessian, log_softmax, one_hot, scores

exercise = Exercise(
    file=__name__, level=140, title="The Hessian of cross-entropy",
    task="z (K,) are the logits of one sample, t (K,) its one-hot target. Return the matrix of "
    "second derivatives H, of shape (K, K).",
    formula="L = −Σₖ tₖ log pₖ,  p = softmax(z),  Hᵢⱼ = ∂²L/∂zᵢ∂zⱼ",
    loss=lambda z, t: -(t * log_softmax(z)).sum(),
    inputs={"z": scores("K"), "t": one_hot("K")}, wrt=["z"], derive=hessian,
    hints=["Write down the gradient first: you have derived it in softmax_cross_entropy.",
           "It is p − t, and t is a constant. So H is the Jacobian of p.",
           "You have derived that one as well, in softmax_jacobian."],
    result="H = diag(p) − p pᵀ", code=SOFTMAX + "return np.diag(p) - np.outer(p, p)",
)  # fmt: skip
