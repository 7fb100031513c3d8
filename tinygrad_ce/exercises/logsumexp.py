"""logsumexp, computed with the maximum subtracted."""

from typing import Any

import numpy as np

from ..engine.value import detach
from ..losses.activations import log_softmax
from ._exercise import Exercise, Solution
from ._inputs import scores
from ._mistakes import changed, of_loss


def largest(z: Any) -> Any:
    """The maximum of each row."""
    return np.max(z, axis=-1, keepdims=True)


def shifted(z: Any, m: Any, c: Any) -> Any:
    """The loss with m before the logarithm and c inside it."""
    return (m[..., 0] + np.log(np.exp(z - c).sum(axis=-1))).sum()


def loss(z: Any) -> Any:
    """L = Σ (m + log Σ exp(z − m))."""
    return shifted(z, largest(z), largest(z))


MISTAKES = [
    of_loss("maximum a constant before the logarithm", "m depends on z in both places, or in none",
            lambda z: shifted(z, detach(largest(z)), largest(z))),
    of_loss("maximum a constant inside the logarithm", "m depends on z in both places, or in none",
            lambda z: shifted(z, largest(z), detach(largest(z)))),
    of_loss("the maximum alone", "logsumexp is a soft maximum: the others count, too",
            lambda z: largest(z).sum()),
    changed("not divided by the sum", "by what?", lambda g, z: np.exp(z - largest(z))),
    changed("inner derivative forgotten", "1/u is the slope of log u by u; u depends on z",
            lambda g, z: g / np.exp(z)),
    changed("still a logarithm", "take exp of it", lambda g, z: log_softmax(z)),
    of_loss("one sum over all rows", "each row has its own sum", lambda z: np.log(np.exp(z).sum())),
    changed("differentiated twice", "you went one derivative too far", lambda g, z: g * (1 - g)),
]  # fmt: skip

exercise = Exercise(
    file=__name__, level=120, title="logsumexp",
    task="z has N rows of K numbers; mᵢ is the largest of row i, subtracted so that nothing "
    "overflows. Return ∂L/∂z, of shape (N, K).",
    formula="L = Σᵢ [mᵢ + log Σₖ exp(zᵢₖ − mᵢ)],  mᵢ = maxₖ zᵢₖ",
    latex=r"L = \sum_i \Bigl[m_i + \log \sum_k e^{z_{ik} - m_i}\Bigr], \quad m_i = \max_k z_{ik}",
    loss=loss, inputs={"z": scores("N", "K")}, wrt=["z"], mistakes=MISTAKES,
    hints=["Does L depend on m at all? Take exp(−m) out of the sum.",
           "It does not, so differentiate log Σ exp(zₖ).",
           "The slope of log u is 1/u, that of u = Σ exp(zⱼ) by zₖ is exp(zₖ)."],
    solved=Solution(
        "exp(−m) comes out of the sum, and m cancels. The rest has the slope exp(zₖ) / Σ exp(zⱼ).",
        r"\frac{\partial L}{\partial z} = \operatorname{softmax}(z)",
        "def gradient(z):\n    e = np.exp(z - z.max(axis=1, keepdims=True))\n"
        "    return e / e.sum(axis=1, keepdims=True)"),
)  # fmt: skip
