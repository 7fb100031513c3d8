"""Linear regression with an L1 penalty on its weights, not on its intercept."""

from ..framework import Exercise, nonzero, real, scalar

exercise = Exercise(
    file=__name__, level=100, title="An L1 penalty",
    task="x (N, D) are samples, y (N,) the numbers to predict, w (D,) the weights, none of them 0, "
    "b the intercept, a the penalty's strength. Return the tuple (∂L/∂w, ∂L/∂b).",
    formula="L = (1/N) Σᵢ (xᵢ · w + b − yᵢ)² + a Σ |w|",
    loss=lambda x, y, w, b, a: ((x @ w + b - y) ** 2).mean() + a * abs(w).sum(), wrt=["w", "b"],
    inputs={"x": real("N", "D"), "y": real("N"), "w": nonzero("D"), "b": real(), "a": scalar(2, 3)},
    hints=["Take the two terms one by one. What is the slope of e² by e?",
           "With e = x w + b − y, the first term's slope by e is 2 e / N. How does e move with w?",
           "|w| rises with slope 1 where w > 0 and falls with slope −1 where w < 0: np.sign."],
    result="∂L/∂w = 2/N xᵀ e + a sign(w),  ∂L/∂b = 2/N Σᵢ eᵢ",
    code="e = 2 * (x @ w + b - y) / len(x)\nreturn x.T @ e + a * np.sign(w), e.sum()",
)  # fmt: skip
