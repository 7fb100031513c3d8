"""Data to fit, and the objective that a fit is judged by."""

from __future__ import annotations

from typing import Any

import numpy as np
from conftest import need

datasets = need("sklearn.datasets")
linear_model = need("sklearn.linear_model")
ConvergenceWarning = need("sklearn.exceptions").ConvergenceWarning


def load(name: str, scaled: bool) -> tuple[Any, Any]:
    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return (X - X.mean(axis=0)) / (X.std(axis=0) + (X.std(axis=0) == 0)) if scaled else X, y


def J(model: Any, X: Any, y: Any, alpha: float, l1: float = 0.0, weight: Any = None) -> float:
    """The objective in scikit-learn's words."""
    log_p = model.predict_log_proba(X)[np.arange(len(X)), np.searchsorted(model.classes_, y)]
    W = model.coef_
    return float(
        -np.average(log_p, weights=weight)
        + alpha * (l1 * np.abs(W).sum() + (1 - l1) / 2 * np.sum(W * W))
    )
