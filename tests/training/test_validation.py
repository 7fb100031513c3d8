"""A mistake in parameters or data is named in one line."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from helpers.fits import load

from tinygrad_ce import SoftmaxRegression

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
    ({"early_stopping": True, "validation_fraction": 0.0}, "The 'test_size' parameter of"),
    ({"solver": "sgd", "learning_rate": 1e300}, "take a learning_rate below"),
]


@pytest.mark.parametrize(("options", "message"), WRONG, ids=str)
def test_a_mistake_is_named_in_one_line(options: Any, message: str) -> None:
    X, y = load("iris", scaled=True)
    with pytest.raises(ValueError, match=message) as caught:
        SoftmaxRegression(**options).fit(X, y)
    assert "\n" not in str(caught.value)


@pytest.fixture(autouse=True)
def _no_bar_left() -> Iterator[None]:
    yield
    assert not tracemalloc.is_tracing()


def test_balanced_classes_want_all_rows_at_once() -> None:
    X, y = load("iris", scaled=True)
    model = SoftmaxRegression(solver="sgd", class_weight="balanced")
    with pytest.raises(ValueError, match=r"pass the dict of sklearn\.utils\.class_weight"):
        model.partial_fit(X, y, classes=[0, 1, 2])


def test_weights_that_sum_to_0_are_refused() -> None:
    X, y = load("iris", scaled=True)
    with pytest.raises(ValueError, match=r"non-zero|whose weights sum to 0"):
        SoftmaxRegression().fit(X, y, np.zeros(len(X)))
