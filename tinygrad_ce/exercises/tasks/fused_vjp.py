"""The fused node's backward rule: softmax and cross-entropy as one step of a larger graph."""

from ..framework import SOFTMAX, Exercise, log_softmax, one_hot, real, scores

exercise = Exercise(
    file=__name__, level=160, title="The fused node's backward rule",
    task="ℓ (N,) are the cross-entropies of the rows of z (N, K) with one-hot t (N, K). They go on "
    "into a graph, and g (N,) is the gradient ∂L/∂ℓ that arrives. Return ∂L/∂z, of shape (N, K).",
    formula="ℓᵢ = −Σₖ tᵢₖ log softmax(zᵢ)ₖ,  ∂L/∂zᵢⱼ = gᵢ ∂ℓᵢ/∂zᵢⱼ",
    loss=lambda z, t, g: -(g * (t * log_softmax(z)).sum(axis=1)).sum(),
    inputs={"z": scores("N", "K"), "t": one_hot("N", "K"), "g": real("N")}, wrt=["z"],
    hints=["What would you return if every gᵢ were 1?",
           "Sample i's loss depends on row i of z only, so gᵢ scales that row.",
           "p − t has shape (N, K), g has (N,): g[:, None] makes it a column."],
    result="∂L/∂zᵢⱼ = gᵢ (pᵢⱼ − tᵢⱼ)", code=SOFTMAX + "return g[:, None] * (p - t)",
)  # fmt: skip
