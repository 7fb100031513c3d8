"""Softmax and cross-entropy together: where all the fractions cancel."""

import numpy as np

from ...losses.activations import log_softmax, softmax
from ..framework import SOFTMAX, Exercise, changed, of_loss, one_hot, scores

exercise = Exercise(
    file=__name__, level=60, title="Softmax and cross-entropy",
    task="The rows of z, of shape (N, K), are the logits of N samples; each row of t has a 1 at "
    "the right class. L is the sum over the samples. Return ∂L/∂z, of shape (N, K).",
    formula="L = −Σᵢ Σₖ tᵢₖ log pᵢₖ,  pᵢₖ = exp(zᵢₖ) / Σⱼ exp(zᵢⱼ)",
    loss=lambda z, t: -(t * np.log(softmax(z))).sum(),
    inputs={"z": scores("N", "K"), "t": one_hot("N", "K")}, wrt=["z"],
    mistakes=[
        changed("target forgotten", "where has t gone?", lambda g, z, t: g + t),
        changed("stopped at p", "that is ∂L/∂p", lambda g, z, t: -t / softmax(z)),
        changed("only the diagonal of the Jacobian", "every p_k depends on every z_j of its row",
                lambda g, z, t: t * g),
        changed("the sigmoid's rule for the softmax", "that is the slope of a p_k by its own z_k",
                lambda g, z, t: softmax(z) * (1 - softmax(z))),
        changed("multiplied by p(1 − p)", "the softmax's slope is in it twice",
                lambda g, z, t: g * softmax(z) * (1 - softmax(z))),
        of_loss("log of the wrong quantity", "that is the slope of −Σ t log(1 − p)",
                lambda z, t: -(t * np.log(1 - softmax(z))).sum()),
        of_loss("log forgotten", "the slope of −Σ t p", lambda z, t: -(t * softmax(z)).sum()),
        of_loss("softmax over the wrong axis", "the classes of a sample stand in a row",
                lambda z, t: -(t * log_softmax(z, axis=0)).sum()),
    ],
    hints=["Take the logarithm first: log pₖ = zₖ − log Σ exp(zⱼ). No fraction is left.",
           "The targets of a row sum to 1, so each row's loss is log Σ exp(zⱼ) − Σ tₖ zₖ.",
           "The slope of log Σ exp(zⱼ) by zₖ is pₖ. What is the slope of −Σ tₖ zₖ?"],
    result="∂L/∂z = p − t", code=SOFTMAX + "return p - t",
)  # fmt: skip
