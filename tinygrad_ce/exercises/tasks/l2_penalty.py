"""Logistic regression with an L2 penalty on its weights, not on its intercept."""

import numpy as np

from ..framework import Exercise, binary_cross_entropy, bits, real, scalar, scores

exercise = Exercise(
    file=__name__, level=90, title="An L2 penalty",
    task="x (N, D) are samples, y (N,) their classes 0 or 1, w (D,) the weights, b the intercept, "
    "a the penalty's strength. Return the tuple (∂L/∂w, ∂L/∂b).",
    formula="L = (1/N) Σᵢ [log(1 + exp(zᵢ)) − yᵢ zᵢ] + a/2 Σ w²,  zᵢ = xᵢ · w + b",
    loss=lambda x, y, w, b, a: binary_cross_entropy(x @ w + b, y) + a / 2 * (w**2).sum(),
    inputs={"x": real("N", "D"), "y": bits("N"), "w": real("D"), "b": scores(), "a": scalar(2, 3)},
    wrt=["w", "b"],
    mistakes={
        "intercept penalised: is b in the penalty?": lambda dw, db, b, a: (dw, db + a * b),
        "L1 in place of L2: is it squared?": lambda dw, db, w, a: (dw + a * (np.sign(w) - w), db),
    },
    hints=["Take the two terms one after the other. The first is the mean log loss.",
           "By z, the log loss has the slope p − y, p = σ(z). The penalty does not depend on z.",
           "dw is the mean of (p − y) x plus the slope of a/2 w². db has no penalty."],
    result="∂L/∂w = 1/N xᵀ (p − y) + a w,  ∂L/∂b = 1/N Σᵢ (pᵢ − yᵢ)",
    code="d = (1 / (1 + np.exp(-x @ w - b)) - y) / len(x)\nreturn x.T @ d + a * w, d.sum()",
)  # fmt: skip
