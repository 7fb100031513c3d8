"""scikit-learn's conventions for a classifier: its own base classes, or the few lines they come to.

With scikit-learn installed, an estimator inherits from it and its input is checked by it, so that
pipelines, searches and ``check_estimator`` take it for one of theirs. Without, what is here does
the same for arrays: parameters by name, a table of finite numbers in, the accuracy as the score.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.exceptions import ConvergenceWarning, NotFittedError
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError:
    if not TYPE_CHECKING:
        from inspect import signature

        class ConvergenceWarning(UserWarning):
            """The optimum was not reached."""

        class NotFittedError(ValueError, AttributeError):
            """An estimator is used before it is fitted."""

        class BaseEstimator:
            """Parameters by name: those of ``__init__``."""

            def get_params(self, deep: bool = True) -> dict[str, Any]:
                return {name: getattr(self, name) for name in signature(type(self)).parameters}

            def set_params(self, **params: Any) -> BaseEstimator:
                known = self.get_params()
                for name, value in params.items():
                    if name not in known:
                        raise ValueError(f"{name}: no such parameter; there are {', '.join(known)}")
                    setattr(self, name, value)
                return self

            def __repr__(self) -> str:
                defaults = signature(type(self)).parameters
                given = {
                    name: value
                    for name, value in self.get_params().items()
                    if value is not defaults[name].default
                }
                inside = ", ".join(f"{name}={value!r}" for name, value in given.items())
                return f"{type(self).__name__}({inside})"

        class ClassifierMixin:
            """The accuracy as the score."""

            def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
                hits = np.asarray(self.predict(X)) == np.asarray(y)
                return float(np.average(hits, weights=sample_weight))

        def check_is_fitted(estimator: Any) -> None:
            if not hasattr(estimator, "coef_"):
                raise NotFittedError(f"this {type(estimator).__name__} is not fitted: call fit")

        def check_classification_targets(y: Any) -> None:
            if y.dtype.kind == "f" and (y != np.floor(y)).any():
                raise ValueError("y: got numbers that are not whole, wanted class labels")

        def validate_data(
            estimator: Any, X: Any, y: Any = None, reset: bool = True, dtype: Any = None
        ) -> Any:
            names = getattr(X, "columns", None)
            names = None if names is None else np.asarray(names, object)
            X = np.asarray(X)
            X = X if X.dtype in dtype else X.astype(float)
            if X.ndim != 2 or 0 in X.shape:
                raise ValueError(f"X: got shape {X.shape}, wanted (samples, features)")
            if not np.isfinite(X).all():
                raise ValueError("X: got nan or inf, wanted finite numbers")
            if reset:
                estimator.n_features_in_ = X.shape[1]
                if names is not None:
                    estimator.feature_names_in_ = names
            elif X.shape[1] != estimator.n_features_in_:
                raise ValueError(
                    f"X has {X.shape[1]} features, but {type(estimator).__name__} was fitted with "
                    f"{estimator.n_features_in_}"
                )
            wanted = getattr(estimator, "feature_names_in_", None)
            if names is not None and wanted is not None and list(names) != list(wanted):
                raise ValueError(f"X: got features {list(names)}, wanted {list(wanted)}")
            if y is None:
                return X
            y = np.asarray(y)
            if y.shape != X.shape[:1]:
                raise ValueError(f"y: got shape {y.shape}, wanted {X.shape[:1]}, a label a sample")
            return X, y


__all__ = [
    "BaseEstimator",
    "ClassifierMixin",
    "ConvergenceWarning",
    "NotFittedError",
    "check_classification_targets",
    "check_is_fitted",
    "validate_data",
]
