"""scikit-learn's conventions: all its checks with it; without it, what there is instead."""

from __future__ import annotations

import pickle
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest
from conftest import need

from tinygrad_ce import SoftmaxRegression

checks = need("sklearn.utils.estimator_checks")
datasets = need("sklearn.datasets")
need("scipy")


@checks.parametrize_with_checks([SoftmaxRegression()])
def test_scikit_learn_takes_it_for_one_of_its_own(estimator: Any, check: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what scikit-learn's own checks provoke
        check(estimator)


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
    model.fit(X, y)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).coef_, model.coef_)


ALONE = """
import sys, warnings
for name in ("sklearn", "scipy", "tqdm"):
    sys.modules[name] = None
import numpy as np
from tinygrad_ce import SoftmaxRegression
rng = np.random.default_rng(0)
X = rng.normal(size=(300, 4))
y = np.array(["no", "yes", "so"])[(X @ rng.normal(size=(4, 3))).argmax(1)]
for options in ({}, {"solver": "sgd", "learning_rate": 0.1}, {"penalty": "l1", "alpha": 1e-3}):
    model = SoftmaxRegression(random_state=0, **options).fit(X, y)
    assert model.score(X, y) > 0.9, (options, model.score(X, y))
    assert model.predict_proba(X).shape == (300, 3) and model.n_features_in_ == 4
assert repr(model) == "SoftmaxRegression(penalty='l1', alpha=0.001, random_state=0)", repr(model)
assert model.set_params(alpha=1.0).get_params()["alpha"] == 1.0
def error(call):
    try:
        call()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
print(error(lambda: SoftmaxRegression(solver="lbfgs").fit(X, y)))
print(error(lambda: SoftmaxRegression(verbose=True).fit(X, y)))
print(error(lambda: SoftmaxRegression().predict(X)))
print(error(lambda: model.predict(X[:, :2])))
print(error(lambda: model.fit(X * np.nan, y)))
print(error(lambda: model.fit(X, y[:2])))
print(error(lambda: model.set_params(aleph=1)))
"""


def test_without_scikit_learn_it_trains_and_says_what_is_missing() -> None:
    out = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, check=False)
    assert out.returncode == 0, out.stderr
    lines = out.stdout.splitlines()
    assert 'pip install "tinygrad_ce[scipy]"' in lines[0]
    assert 'pip install "tinygrad_ce[progress]"' in lines[1]
    assert lines[2].startswith("NotFittedError")
    assert "2 features" in lines[3]
    assert "wanted finite" in lines[4]
    assert "a label a sample" in lines[5]
    assert lines[6].startswith("ValueError: aleph: no such parameter")
