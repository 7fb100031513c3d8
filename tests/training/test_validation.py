"""A mistake in parameters or data is named in one line."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from conftest import need
from helpers.fits import load

from tinygrad_ce import SoftmaxRegression

NotFittedError = need("sklearn.exceptions").NotFittedError

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"loss": "hinge"}, r"'loss' parameter .* a str among \{.*'mse'.*\}. Got 'hinge'"),
    ({"penalty": "l3"}, "'penalty' parameter .* Got 'l3'"),
    ({"solver": "newton"}, "'solver' parameter .* Got 'newton'"),
    ({"schedule": "cosine"}, "'schedule' parameter .* Got 'cosine'"),
    ({"solver": "lbfgs", "penalty": "l1"}, "wants a smooth penalty, got 'l1'"),
    ({"alpha": -1.0}, r"'alpha' parameter .* in the range \[0.0, inf\). Got -1.0"),
    ({"alpha": np.nan}, r"'alpha' parameter .* Got nan"),
    ({"max_iter": 0}, r"'max_iter' parameter .* an int in the range \[1, inf\). Got 0"),
    ({"batch_size": 0}, "'batch_size' parameter .* Got 0"),
    ({"batch_size": "half"}, "'batch_size' parameter .* a str among {'full'}. Got 'half'"),
    ({"tol": "small"}, "'tol' parameter .* Got 'small'"),
    ({"alpha": "strong"}, "'alpha' parameter .* Got 'strong'"),
    ({"momentum": 1.0}, r"'momentum' parameter .* in the range \[0.0, 1.0\). Got 1.0"),
    ({"l1_ratio": 2.0}, r"'l1_ratio' parameter .* in the range \[0.0, 1.0\]. Got 2.0"),
    ({"random_state": "a"}, "'a' cannot be used to seed"),
    ({"class_weight": [1, 2]}, "The 'class_weight' parameter of"),
    ({"loss": "logistic"}, "for two classes, got 3"),
    ({"class_weight": {7: 1.0}}, r"The classes, \[0, 1, 2\], are not in class_weight"),
    ({"class_weight": "even"}, "The 'class_weight' parameter of"),
    ({"class_weight": {0: np.nan}}, "class_weight={0: nan}: .* wanted weights from 0 up"),
    ({"class_weight": {0: 1, 1: np.inf}}, "class_weight={0: 1, 1: inf}: .* rows sum to inf"),
    ({"class_weight": {2: -1.0}}, "class_weight={2: -1.0}: .* sum to 50.0, wanted .* from 0 up"),
    ({"class_weight": {2: "two"}}, "could not convert string to float: 'two'"),
    ({"class_weight": dict.fromkeys(range(3), 0)}, "the weights of 150 rows sum to 0"),
    ({"class_weight": dict.fromkeys(range(3), 1e308)}, "the weights of 150 rows sum to inf"),
    ({"class_weight": dict.fromkeys(range(3), 1e-320)}, r"the weights of 150 rows sum to 1\.49"),
    ({"early_stopping": True, "validation_fraction": 0.0}, "weights of 150 rows sum to 0"),
    (
        {"solver": "sgd", "learning_rate": 1e300},
        r"loss nan in epoch 1: scale .* a smaller learning_rate than 1e\+300",
    ),
]


@pytest.mark.parametrize(("options", "message"), WRONG, ids=str)
def test_a_mistake_is_named_in_one_line(options: Any, message: str) -> None:
    X, y = load("iris", scaled=True)
    with pytest.raises(ValueError, match=message) as caught:
        (model := SoftmaxRegression(**options)).fit(X, y)
    assert "\n" not in str(caught.value)
    with pytest.raises(NotFittedError):  # not one of zeros
        model.predict(X)


@pytest.fixture(autouse=True)
def _no_bar_left() -> Iterator[None]:
    yield
    assert not tracemalloc.is_tracing()


def test_balanced_classes_want_all_rows_at_once() -> None:
    X, y = load("iris", scaled=True)
    model = SoftmaxRegression(solver="sgd", class_weight="balanced")
    with pytest.raises(ValueError, match=r"pass the dict of sklearn\.utils\.class_weight"):
        model.partial_fit(X, y, classes=[0, 1, 2])


@pytest.mark.parametrize("solver", ["lbfgs", "sgd", "adam"])
@pytest.mark.parametrize(
    ("dtype", "size"), [(float, 1e200), (float, 1e155), (np.float32, 1e20), (np.float32, 1e35)]
)
def test_features_whose_squares_overflow_are_refused(solver: str, dtype: Any, size: float) -> None:
    X, y = load("iris", scaled=True)
    X[7, 2] = -1.0
    for huge in (X * size, X * [1, 1, size, 1], np.where(X == -1.0, -size, X)):
        model = SoftmaxRegression(solver=solver)
        with pytest.raises(ValueError, match=r"^X: got .*: scale the features, as by sklearn"):
            model.fit(huge.astype(dtype), y)
        assert not hasattr(model, "coef_")
    MaxAbsScaler = need("sklearn.preprocessing").MaxAbsScaler
    assert SoftmaxRegression().fit(MaxAbsScaler().fit_transform(X * size), y).score(X, y) > 0.5


@pytest.mark.parametrize("alpha", [1e39, 1e60])
def test_a_penalty_that_overflows_is_refused(alpha: float) -> None:
    X, y = load("iris", scaled=True)
    with pytest.raises(ValueError, match=r"^loss nan in epoch 1: .* a smaller alpha than"):
        SoftmaxRegression(alpha=alpha).fit(X.astype(np.float32), y)


def test_weights_that_sum_to_0_are_refused() -> None:
    X, y = load("iris", scaled=True)
    with pytest.raises(ValueError, match=r"non-zero|rows sum to 0"):
        SoftmaxRegression().fit(X, y, np.zeros(len(X)))


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_mask_is_refused_and_not_dropped(at: int) -> None:
    given = [np.eye(4), np.array([0, 1, 0, 1]), np.ones(4)]
    given[at] = np.ma.array(given[at], mask=given[at] == 0)
    X, y, weight = given
    with pytest.raises(TypeError, match=rf"{['X', 'y', 'sample_weight'][at]}: got a MaskedArray"):
        SoftmaxRegression().fit(X, y, sample_weight=weight)
