"""logsumexp, computed with the maximum subtracted."""

import numpy as np

from ..framework import SOFTMAX, Exercise, scores

exercise = Exercise(
    file=__name__, level=120, title="logsumexp",
    task="z has N rows of K numbers; mᵢ is the largest of row i, subtracted so that nothing "
    "overflows. Return ∂L/∂z, of shape (N, K).",
    formula="L = Σᵢ [mᵢ + log Σₖ exp(zᵢₖ − mᵢ)],  mᵢ = maxₖ zᵢₖ",
    loss=lambda z: (z.max(axis=1) + np.log(np.exp(z - z.max(axis=1)[:, None]).sum(axis=1))).sum(),
    inputs={"z": scores("N", "K")}, wrt=["z"],
    hints=["Does L depend on m at all? Take exp(−m) out of the sum.",
           "It does not, so differentiate log Σ exp(zₖ).",
           "The slope of log u is 1/u, that of u = Σ exp(zⱼ) by zₖ is exp(zₖ)."],
    result="∂L/∂z = softmax(z)", code=SOFTMAX + "return p",
)  # fmt: skip
