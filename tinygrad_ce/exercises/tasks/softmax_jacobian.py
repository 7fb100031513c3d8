"""The softmax's Jacobian: every probability depends on every logit."""

import numpy as np

from ..framework import SOFTMAX, Exercise, jacobian, scores, softmax

exercise = Exercise(
    file=__name__, level=50, title="The softmax's Jacobian",
    task="z (K,) are the logits of one sample. Return J (K, K), whose entry (i, j) is ∂pᵢ/∂zⱼ.",
    formula="pᵢ = exp(zᵢ) / Σⱼ exp(zⱼ),  Jᵢⱼ = ∂pᵢ/∂zⱼ",
    loss=softmax, inputs={"z": scores("K")}, wrt=["z"], derive=jacobian,
    mistakes={
        "only the diagonal: p_i has a slope by z_j": lambda right: np.diag(np.diag(right)),
        "a vector where a matrix is wanted: how many slopes?": lambda right: np.diag(right),
        "sign of the entries off the diagonal: does a larger z_j make another p_i larger?":
            lambda right: 2 * np.diag(np.diag(right)) - right,
        "normaliser treated as a constant: z_j is in it, too": lambda z: np.diag(softmax(z)),
        "plus where minus stands: a larger z_j makes every other p_i smaller":
            lambda right, z: 2 * np.diag(softmax(z)) - right,
        "the numerator's own slope forgotten: exp(z_i) depends on z_i":
            lambda z: -np.outer(softmax(z), softmax(z)),
        "1 where p belongs on the diagonal: what is the slope of exp(z_i)?":
            lambda right, z: right - np.diag(softmax(z) - 1),
    },
    hints=["Use the quotient rule, once for i = j and once for i ≠ j.",
           "For i = j the numerator exp(zᵢ) has a slope of its own, for i ≠ j it has none.",
           "Off the diagonal comes −pᵢ pⱼ. On it there is one term more, the numerator's."],
    result="J = diag(p) − p pᵀ", code=SOFTMAX + "return np.diag(p) - np.outer(p, p)",
)  # fmt: skip
