"""Softmax and cross-entropy together: where all the fractions cancel."""

from ..framework import SOFTMAX, Exercise, log_softmax, one_hot, scores

exercise = Exercise(
    file=__name__, level=60, title="Softmax and cross-entropy",
    task="The rows of z, of shape (N, K), are the logits of N samples; each row of t has a 1 at "
    "the right class. L is the sum over the samples. Return ∂L/∂z, of shape (N, K).",
    formula="L = −Σᵢ Σₖ tᵢₖ log pᵢₖ,  pᵢₖ = exp(zᵢₖ) / Σⱼ exp(zᵢⱼ)",
    loss=lambda z, t: -(t * log_softmax(z)).sum(),
    inputs={"z": scores("N", "K"), "t": one_hot("N", "K")}, wrt=["z"],
    hints=["Take the logarithm first: log pₖ = zₖ − log Σ exp(zⱼ). No fraction is left.",
           "The targets of a row sum to 1, so each row's loss is log Σ exp(zⱼ) − Σ tₖ zₖ.",
           "The slope of log Σ exp(zⱼ) by zₖ is pₖ. What is the slope of −Σ tₖ zₖ?"],
    result="∂L/∂z = p − t", code=SOFTMAX + "return p - t",
)  # fmt: skip
