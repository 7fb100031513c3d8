"""Linear regression with an L1 penalty on its weights, not on its intercept."""

from typing import Any

from ._exercise import Exercise, Solution
from ._inputs import nonzero, real, scalar
from ._mistakes import of_loss


def data(x: Any, y: Any, w: Any, b: Any) -> Any:
    """The mean squared error alone."""
    return ((x @ w + b - y) ** 2).mean()


def loss(x: Any, y: Any, w: Any, b: Any, a: Any) -> Any:
    """The mean squared error and a |w|₁."""
    return data(x, y, w, b) + a * abs(w).sum()


def spoilt(name: str, look: str, fault: Any = None, by: Any = lambda n: 1) -> Any:
    """The loss with another penalty, or with a factor before the data's part."""
    fault = fault or (lambda w, b, a, n: a * abs(w).sum())
    return of_loss(name, look, lambda x, y, w, b, a:
                   by(len(x)) * data(x, y, w, b) + fault(w, b, a, len(x)))  # fmt: skip


MISTAKES = [
    spoilt("the mean's 1/N is missing", "what does the mean do?", by=lambda n: n),
    spoilt("the mean's 1/N is applied twice", "is a sum enough?", by=lambda n: 1 / n),
    spoilt("the square's 2 forgotten", "here is no 1/2", by=lambda n: 0.5),
    spoilt("the residual's sign", "what is the slope of prediction minus y?", by=lambda n: -1),
    spoilt("penalty forgotten", "a stands in the loss, but not in dw", lambda w, b, a, n: 0.0),
    spoilt("penalty's sign", "which way should it push?", lambda w, b, a, n: -a * abs(w).sum()),
    spoilt("L2 in place of L1", "how does |w| grow?", lambda w, b, a, n: a / 2 * (w * w).sum()),
    spoilt("the sign of w forgotten", "|w| falls where w < 0", lambda w, b, a, n: a * w.sum()),
    spoilt("penalty averaged over the batch", "is the penalty inside the mean?",
           lambda w, b, a, n: a * abs(w).sum() / n),
    spoilt("intercept penalised", "is b in it?", lambda w, b, a, n: a * (abs(w).sum() + abs(b))),
    spoilt("|w| not differentiated", "what is its slope?",
           lambda w, b, a, n: a / 2 * (w * abs(w)).sum()),
]  # fmt: skip

exercise = Exercise(
    file=__name__, level=100, title="An L1 penalty",
    task="x (N, D) are samples, y (N,) the numbers to predict, w (D,) the weights, none of them 0, "
    "b the intercept, a the penalty's strength. Return the tuple (∂L/∂w, ∂L/∂b).",
    formula="L = (1/N) Σᵢ (xᵢ · w + b − yᵢ)² + a Σ |w|",
    latex=r"L = \frac1N \sum_i (x_i \cdot w + b - y_i)^2 + a \lVert w \rVert_1",
    loss=loss, wrt=["w", "b"], mistakes=MISTAKES,
    inputs={"x": real("N", "D"), "y": real("N"), "w": nonzero("D"), "b": real(), "a": scalar(2, 3)},
    hints=["Take the two terms one by one. What is the slope of e² by e?",
           "With e = x w + b − y, the first term's slope by e is 2 e / N. How does e move with w?",
           "|w| rises with slope 1 where w > 0 and falls with slope −1 where w < 0: np.sign."],
    solved=Solution(
        "With e = x w + b − y: the mean of 2 e x, plus a sign(w); for b the mean of 2 e alone.",
        r"\nabla_w L = \frac2N x^\top e + a \operatorname{sign} w,\ \nabla_b L = \frac2N \sum e_i",
        "def gradient(x, y, w, b, a):\n    e = 2 * (x @ w + b - y) / len(x)\n"
        "    return x.T @ e + a * np.sign(w), e.sum()"),
)  # fmt: skip
