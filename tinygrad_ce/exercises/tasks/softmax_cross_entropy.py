"""Softmax and cross-entropy together: where all the fractions cancel."""

import numpy as np

from ..framework import SOFTMAX, Exercise, grad, log_softmax, one_hot, scores, softmax

exercise = Exercise(
    file=__name__, level=60, title="Softmax and cross-entropy",
    task="The rows of z, of shape (N, K), are the logits of N samples; each row of t has a 1 at "
    "the right class. L is the sum over the samples. Return ∂L/∂z, of shape (N, K).",
    formula="L = −Σᵢ Σₖ tᵢₖ log pᵢₖ,  pᵢₖ = exp(zᵢₖ) / Σⱼ exp(zᵢⱼ)",
    loss=lambda z, t: -(t * np.log(softmax(z))).sum(),
    inputs={"z": scores("N", "K"), "t": one_hot("N", "K")}, wrt=["z"],
    mistakes={
        "target forgotten: where has t gone?": lambda z: softmax(z),
        "stopped at p: that is ∂L/∂p": lambda z, t: -t / softmax(z),
        "only the diagonal of the Jacobian: p_k depends on every z_j": lambda right, t: t * right,
        "the sigmoid's rule for the softmax: that is the slope of a p_k by its own z_k":
            lambda z: softmax(z) * (1 - softmax(z)),
        "multiplied by p(1 − p): the softmax's slope is in it twice":
            lambda right, z: right * softmax(z) * (1 - softmax(z)),
        "log forgotten: the slope of −Σ t p": grad(lambda z, t: -(t * softmax(z)).sum()),
        "log of the wrong quantity: that is the slope of −Σ t log(1 − p)":
            grad(lambda z, t: -(t * np.log(1 - softmax(z))).sum()),
        "softmax over the wrong axis: the classes of a sample stand in a row":
            grad(lambda z, t: -(t * log_softmax(z, axis=0)).sum()),
    },
    hints=["Take the logarithm first: log pₖ = zₖ − log Σ exp(zⱼ). No fraction is left.",
           "The targets of a row sum to 1, so each row's loss is log Σ exp(zⱼ) − Σ tₖ zₖ.",
           "The slope of log Σ exp(zⱼ) by zₖ is pₖ. What is the slope of −Σ tₖ zₖ?"],
    result="∂L/∂z = p − t", code=SOFTMAX + "return p - t",
)  # fmt: skip
