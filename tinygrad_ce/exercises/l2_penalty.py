"""Logistic regression with an L2 penalty on its weights, not on its intercept."""

from typing import Any

import numpy as np

from ._exercise import Exercise, Solution
from ._inputs import bits, real, scalar, scores
from ._mistakes import of_loss


def data(x: Any, y: Any, w: Any, b: Any) -> Any:
    """The mean log loss alone."""
    z = x @ w + b
    return (np.logaddexp(0.0, z) - y * z).mean()


def loss(x: Any, y: Any, w: Any, b: Any, a: Any) -> Any:
    """The mean log loss and a/2 |w|²."""
    return data(x, y, w, b) + a / 2 * (w * w).sum()


def spoilt(name: str, look: str, change: Any) -> Any:
    """The loss with another penalty."""
    return of_loss(name, look, lambda x, y, w, b, a: data(x, y, w, b) + change(w, b, a, len(x)))


MISTAKES = [
    of_loss("the mean's 1/N is missing", "what does the mean do to the data's part?",
            lambda x, y, w, b, a: len(x) * data(x, y, w, b) + a / 2 * (w * w).sum()),
    of_loss("the mean's 1/N is applied twice", "is there a mean where a sum does?",
            lambda x, y, w, b, a: data(x, y, w, b) / len(x) + a / 2 * (w * w).sum()),
    spoilt("penalty forgotten", "a stands in the loss, but not in dw", lambda w, b, a, n: 0.0),
    spoilt("penalty's factor", "there is a 1/2 in the loss", lambda w, b, a, n: a * (w * w).sum()),
    spoilt("penalty's sign", "which way does the penalty push w in a step along the negative "
           "gradient?", lambda w, b, a, n: -a / 2 * (w * w).sum()),
    spoilt("penalty averaged over the batch", "is the penalty inside the mean?",
           lambda w, b, a, n: a / 2 * (w * w).sum() / n),
    spoilt("intercept penalised", "is b in the penalty?",
           lambda w, b, a, n: a / 2 * ((w * w).sum() + b * b)),
    spoilt("L1 in place of L2", "squares or absolute values?", lambda w, b, a, n: a * abs(w).sum()),
]  # fmt: skip

exercise = Exercise(
    file=__name__, level=90, title="An L2 penalty",
    task="x (N, D) are samples, y (N,) their classes 0 or 1, w (D,) the weights, b the intercept, "
    "a the penalty's strength. Return the tuple (∂L/∂w, ∂L/∂b).",
    formula="L = (1/N) Σᵢ [log(1 + exp(zᵢ)) − yᵢ zᵢ] + a/2 Σ w²,  zᵢ = xᵢ · w + b",
    latex=r"L = \frac1N \sum_i [\log(1 + e^{z_i}) - y_i z_i] + \frac a2 \lVert w \rVert^2",
    loss=loss, wrt=["w", "b"], mistakes=MISTAKES,
    inputs={"x": real("N", "D"), "y": bits("N"), "w": real("D"), "b": scores(), "a": scalar(2, 3)},
    hints=["Take the two terms one after the other. The first is the mean log loss.",
           "By z, the log loss has the slope p − y, p = σ(z). The penalty does not depend on z.",
           "dw is the mean of (p − y) x plus the slope of a/2 w². db has no penalty."],
    solved=Solution(
        "The log loss gives p − y by z, so the mean of (p − y) x by w; a/2 w² gives a w.",
        r"\nabla_w L = \frac1N x^\top (p - y) + a w,\ \nabla_b L = \frac1N \sum (p - y)",
        "def gradient(x, y, w, b, a):\n    d = (1 / (1 + np.exp(-x @ w - b)) - y) / len(x)\n"
        "    return x.T @ d + a * w, d.sum()"),
)  # fmt: skip
