"""Softmax regression: the gradient that reaches the weights."""

from ..framework import SOFTMAX, Exercise, log_softmax, one_hot, real, scores

exercise = Exercise(
    file=__name__, level=80, title="Softmax regression",
    task="x of shape (N, D) are N samples, W (D, K) and b (K,) the weights, t (N, K) one-hot "
    "targets. Return the tuple (∂L/∂W, ∂L/∂b), in the shapes of W and b.",
    formula="L = −(1/N) Σᵢ Σₖ tᵢₖ log pᵢₖ,  p = softmax(x W + b), row by row",
    loss=lambda x, W, b, t: -(t * log_softmax(x @ W + b)).sum() / len(x), wrt=["W", "b"],
    inputs={"x": real("N", "D"), "W": real("D", "K"), "b": scores("K"), "t": one_hot("N", "K")},
    hints=["Begin with the logits z = x W + b: what is ∂L/∂z, with the mean?",
           "For one sample, ∂zₖ/∂W_dk = x_d and ∂zₖ/∂bₖ = 1. All samples share them: add up.",
           "Only one product of x and ∂L/∂z, (N, D) and (N, K), has W's shape (D, K)."],
    result="∂L/∂W = 1/N xᵀ (p − t),  ∂L/∂b = 1/N Σᵢ (pᵢ − tᵢ)",
    code="z = x @ W + b\n" + SOFTMAX + "d = (p - t) / len(x)\nreturn x.T @ d, d.sum(axis=0)",
)  # fmt: skip
