"""Label smoothing: the target is a distribution, the loss a mean over the batch."""

from ..framework import SOFTMAX, Exercise, log_softmax, one_hot, scalar, scores

exercise = Exercise(
    file=__name__, level=70, title="Soft labels",
    task="Logits z and one-hot t have shape (N, K); e, between 0 and 1, is the label smoothing. L "
    "is the mean over the samples. Return ∂L/∂z, of shape (N, K).",
    formula="L = −(1/N) Σᵢ Σₖ sᵢₖ log pᵢₖ,  sᵢₖ = (1 − e) tᵢₖ + e/K,  pᵢ = softmax(zᵢ)",
    loss=lambda z, t, e: -(((1 - e) * t + e / t.shape[1]) * log_softmax(z)).sum() / len(z),
    inputs={"z": scores("N", "K"), "t": one_hot("N", "K"), "e": scalar(0.5, 0.25, 0.1)}, wrt=["z"],
    hints=["Does anything in the derivation of softmax and cross-entropy need t to be one-hot?",
           "It needs only that a row of the target sums to 1. Does s?",
           "Put s in the place of t, and do not forget what the mean does to every entry."],
    result="∂L/∂z = 1/N (p − s)",
    code=SOFTMAX + "s = (1 - e) * t + e / t.shape[1]\nreturn (p - s) / len(z)",
)  # fmt: skip
