"""scikit-learn's conventions: all its checks; without it, what to install."""

from __future__ import annotations

import pickle
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest
from conftest import need
from helpers.fits import datasets

from tinygrad_ce import SoftmaxRegression

checks = need("sklearn.utils.estimator_checks")


@checks.parametrize_with_checks([SoftmaxRegression()])
def test_scikit_learn_takes_it_for_one_of_its_own(estimator: Any, check: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what scikit-learn's own checks provoke
        check(estimator)


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_so_do_the_other_solvers(solver: str) -> None:
    # Weighting a sample twice is not a step on it twice: there scikit-learn's SGD fails as well.
    model = SoftmaxRegression(solver=solver, max_iter=300)
    missed = {
        "check_sample_weight_equivalence_on_dense_data": "steps",
        "check_methods_sample_order_invariance": "",
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = checks.check_estimator(model, expected_failed_checks=missed, on_fail=None)
    failed = {r["check_name"]: r["exception"] for r in found if r["status"] == "failed"}
    assert not failed


@pytest.mark.slow
def test_pipeline_search_calibration_clone_and_pickle() -> None:
    base, pipeline = need("sklearn.base"), need("sklearn.pipeline")
    search, calibration = need("sklearn.model_selection"), need("sklearn.calibration")
    scale = need("sklearn.preprocessing").StandardScaler()
    X, y = datasets.load_wine(return_X_y=True)
    pipe = pipeline.make_pipeline(scale, SoftmaxRegression(alpha=0.1))
    grid = {"softmaxregression__alpha": [1.0, 1e-2], "softmaxregression__loss": ["cross_entropy"]}
    found = search.GridSearchCV(pipe, grid, cv=3, n_jobs=2).fit(X, y)
    assert found.best_score_ > 0.95
    calibrated = calibration.CalibratedClassifierCV(pipe, cv=3).fit(X, y)
    assert calibrated.score(X, y) > 0.95
    model = base.clone(SoftmaxRegression("mse", alpha=0.5, solver="sgd"))
    assert model.get_params() == SoftmaxRegression("mse", alpha=0.5, solver="sgd").get_params()
    model.fit(scale.fit_transform(X), y)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).coef_, model.coef_)


def test_without_scikit_learn_it_says_what_to_install() -> None:
    code = """
import sys
sys.modules["sklearn"] = None
import tinygrad_ce
try:
    tinygrad_ce.SoftmaxRegression
except ImportError as error:
    print(error)
from tinygrad_ce import SGD, Value, plot_weights, temperature_scale
"""
    run = [sys.executable, "-c", code]
    out = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    assert out == 'SoftmaxRegression needs scikit-learn: pip install "tinygrad_ce[sklearn]"\n'
