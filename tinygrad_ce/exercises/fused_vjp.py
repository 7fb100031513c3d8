"""The fused node's backward rule: softmax and cross-entropy as one step of a larger graph."""

from typing import Any

from ..losses.activations import log_softmax, logsumexp
from ._exercise import Exercise, Solution
from ._inputs import one_hot, real, scores
from ._mistakes import changed, of_loss


def rows(z: Any, t: Any) -> Any:
    """Cross-entropy, one number a sample."""
    return -(t * log_softmax(z)).sum(axis=-1)


def loss(z: Any, t: Any, g: Any) -> Any:
    """Σ g ℓ: its gradient is what the backward rule returns."""
    return (g * rows(z, t)).sum()


MISTAKES = [
    of_loss("upstream gradient forgotten", "what you return does not depend on g",
            lambda z, t, g: rows(z, t).sum()),
    of_loss("upstream gradient summed", "each sample has a g of its own",
            lambda z, t, g: g.sum() * rows(z, t).sum()),
    of_loss("upstream gradient averaged", "each sample has a g of its own",
            lambda z, t, g: g.mean() * rows(z, t).sum()),
    changed("upstream gradient on p only", "g scales the whole row of the gradient",
            lambda d, z, t, g: d + (g[:, None] - 1) * t),
    of_loss("target forgotten", "where has t gone?",
            lambda z, t, g: (g * logsumexp(z, axis=-1)).sum()),
    changed("a mean where none is", "is L divided by N?", lambda d, z, t, g: d / len(z)),
    of_loss("upstream gradient squared", "g is a factor once", lambda z, t, g: loss(z, t, g * g)),
]  # fmt: skip

exercise = Exercise(
    file=__name__,
    level=160,
    title="The fused node's backward rule",
    task="ℓ (N,) are the cross-entropies of the rows of z (N, K) with one-hot t (N, K). They go on "
    "into a graph, and g (N,) is the gradient ∂L/∂ℓ that arrives. Return ∂L/∂z, of shape (N, K).",
    formula="ℓᵢ = −Σₖ tᵢₖ log softmax(zᵢ)ₖ,  ∂L/∂zᵢⱼ = gᵢ ∂ℓᵢ/∂zᵢⱼ",
    latex=r"\ell_i = -\sum_k t_{ik} \log p_{ik}, \quad \partial L / \partial \ell_i = g_i",
    loss=loss,
    inputs={"z": scores("N", "K"), "t": one_hot("N", "K"), "g": real("N")},
    wrt=["z"],
    mistakes=MISTAKES,
    hints=[
        "What would you return if every gᵢ were 1?",
        "Sample i's loss depends on row i of z only, so gᵢ scales that row.",
        "p − t has shape (N, K), g has (N,): g[:, None] makes it a column.",
    ],
    solved=Solution(
        "Row i of ∂ℓ/∂z is pᵢ − tᵢ; what arrives at ℓᵢ multiplies it.",
        r"\frac{\partial L}{\partial z_{ij}} = g_i\,(p_{ij} - t_{ij})",
        "def gradient(z, t, g):\n    p = np.exp(z - z.max(axis=1, keepdims=True))\n"
        "    p /= p.sum(axis=1, keepdims=True)\n    return g[:, None] * (p - t)",
    ),
)
