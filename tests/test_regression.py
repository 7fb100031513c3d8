"""SoftmaxRegression against scikit-learn's classifiers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import need

from tinygrad_ce import SoftmaxRegression

need("scipy")
linear_model = need("sklearn.linear_model")
datasets = need("sklearn.datasets")


@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer"])
def test_lbfgs_finds_the_optimum_of_logistic_regression(name: str) -> None:
    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    theirs: Any = linear_model.LogisticRegression(solver="newton-cg", tol=1e-12, max_iter=10_000)
    theirs.fit(X, y)
    ours = SoftmaxRegression(alpha=1 / len(X)).fit(X, y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=0, atol=1e-4)
