"""The softmax's Jacobian: every probability depends on every logit."""

from ..framework import SOFTMAX, Exercise, jacobian, scores, softmax

exercise = Exercise(
    file=__name__, level=50, title="The softmax's Jacobian",
    task="z (K,) are the logits of one sample. Return J (K, K), whose entry (i, j) is ∂pᵢ/∂zⱼ.",
    formula="pᵢ = exp(zᵢ) / Σⱼ exp(zⱼ),  Jᵢⱼ = ∂pᵢ/∂zⱼ",
    loss=softmax, inputs={"z": scores("K")}, wrt=["z"], derive=jacobian,
    hints=["Use the quotient rule, once for i = j and once for i ≠ j.",
           "For i = j the numerator exp(zᵢ) has a slope of its own, for i ≠ j it has none.",
           "Off the diagonal comes −pᵢ pⱼ. On it there is one term more, the numerator's."],
    result="J = diag(p) − p pᵀ", code=SOFTMAX + "return np.diag(p) - np.outer(p, p)",
)  # fmt: skip
