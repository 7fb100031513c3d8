"""The softmax's rule for a backward pass: a Jacobian that is never written down."""

from ..framework import SOFTMAX, Exercise, real, scores, softmax

exercise = Exercise(
    file=__name__, level=150, title="The softmax's backward rule",
    task="p = softmax(z), row by row, is a step in a graph; g, of the same shape (N, K), is the "
    "gradient ∂L/∂p that arrives from above. Return ∂L/∂z, without a Jacobian in memory.",
    formula="∂L/∂zᵢⱼ = Σₖ gᵢₖ ∂pᵢₖ/∂zᵢⱼ", loss=lambda z, g: (g * softmax(z)).sum(),
    inputs={"z": scores("N", "K"), "g": real("N", "K")}, wrt=["z"],
    hints=["Put the softmax's Jacobian into the sum: ∂pₖ/∂zⱼ = pₖ (1 if k = j, else 0) − pₖ pⱼ.",
           "The first term leaves gⱼ pⱼ. In the second, pⱼ comes out of the sum over k.",
           "pⱼ comes out of both terms. In the bracket stays gⱼ minus a weighted mean of g."],
    result="∂L/∂zⱼ = pⱼ (gⱼ − Σₖ gₖ pₖ)",
    code=SOFTMAX + "return p * (g - (g * p).sum(axis=1, keepdims=True))",
)  # fmt: skip
