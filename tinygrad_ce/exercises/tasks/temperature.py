"""Temperature: logits divided by a number that has a gradient of its own."""

from ..framework import SOFTMAX, Exercise, log_softmax, one_hot, scalar, scores

exercise = Exercise(
    file=__name__, level=130, title="Temperature",
    task="z (N, K) are logits, t (N, K) one-hot targets, T the temperature, one number above 0. L "
    "is the sum over the samples. Return the tuple (∂L/∂z, ∂L/∂T).",
    formula="L = −Σᵢ Σₖ tᵢₖ log pᵢₖ,  pᵢ = softmax(zᵢ / T)",
    loss=lambda z, t, T: -(t * log_softmax(z / T)).sum(),
    inputs={"z": scores("N", "K"), "t": one_hot("N", "K"), "T": scalar(2, 0.5, 4)}, wrt=["z", "T"],
    hints=["Call u = z/T. What is ∂L/∂u?",
           "∂L/∂u = p − t. The slope of u by z is 1/T; what is that of zₖ/T by T?",
           "It is −zₖ/T². T moves every uᵢₖ, so add up over samples and classes."],
    result="∂L/∂z = (p − t) / T,  ∂L/∂T = −Σᵢ Σₖ (pᵢₖ − tᵢₖ) zᵢₖ / T²",
    code="z = z / T\n" + SOFTMAX + "d = (p - t) / T\nreturn d, -(d * z).sum()",
)  # fmt: skip
