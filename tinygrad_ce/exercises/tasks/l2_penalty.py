"""Logistic regression with an L2 penalty on its weights, not on its intercept."""

from ..framework import Exercise, bits, real, scalar, scores, softplus

exercise = Exercise(
    file=__name__, level=90, title="An L2 penalty",
    task="x (N, D) are samples, y (N,) their classes 0 or 1, w (D,) the weights, b the intercept, "
    "a the penalty's strength. Return the tuple (∂L/∂w, ∂L/∂b).",
    formula="L = (1/N) Σᵢ [log(1 + exp(zᵢ)) − yᵢ zᵢ] + a/2 Σ w²,  zᵢ = xᵢ · w + b",
    loss=lambda x, y, w, b, a: (softplus(z := x @ w + b) - y * z).mean() + a / 2 * (w**2).sum(),
    inputs={"x": real("N", "D"), "y": bits("N"), "w": real("D"), "b": scores(), "a": scalar(2, 3)},
    wrt=["w", "b"],
    hints=["Take the two terms one after the other. The first is the mean log loss.",
           "By z, the log loss has the slope p − y, p = σ(z). The penalty does not depend on z.",
           "dw is the mean of (p − y) x plus the slope of a/2 w². db has no penalty."],
    result="∂L/∂w = 1/N xᵀ (p − y) + a w,  ∂L/∂b = 1/N Σᵢ (pᵢ − yᵢ)",
    code="z = x @ w + b\nd = (1 / (1 + np.exp(-z)) - y) / len(x)\nreturn x.T @ d + a * w, d.sum()",
)  # fmt: skip
