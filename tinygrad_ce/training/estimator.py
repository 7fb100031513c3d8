"""`SoftmaxRegression`: a linear classifier of scikit-learn's kind, fitted with the engine."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from functools import wraps
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np

from ..engine.text import _
from ..losses.activations import log_softmax, softmax

try:
    from sklearn.base import BaseEstimator
    from sklearn.linear_model._base import LinearClassifierMixin
    from sklearn.utils._param_validation import Interval, StrOptions
except ImportError:
    text = 'SoftmaxRegression needs scikit-learn: pip install "tinygrad_ce[sklearn]"'
    raise ImportError(_(text)) from None

from . import validation
from .objective import one_blas_thread
from .persistence import PersistenceMixin
from .solvers import Monitor, descend, lbfgs, monitored, new_optimizer, progress_bar, store
from .validation import for_chunks, is_dask, params_of, sample_of

FROM_0 = Interval(Real, 0, None, closed="left")
FROM_1 = Interval(Integral, 1, None, closed="left")


def _over_chunks(method: Any) -> Any:
    """Let a method with a result for each row take Dask's collections too, and be lazy there."""

    @wraps(method)
    def either(self: Any, X: Any) -> Any:
        if not is_dask(X):
            return method(self, X)
        model, rows = for_chunks(self), validation.as_rows(X)
        none = method(model, sample_of(self, X, reset=False))[:0]

        def predict(X: Any) -> Any:
            return method(model, X) if len(X) else none

        axes = {"drop_axis": 1} if none.ndim == 1 else {"chunks": (rows.chunks[0], none.shape[1:])}
        return rows.map_blocks(predict, **axes, meta=none, token=method.__name__)

    return either


class SoftmaxMixin(LinearClassifierMixin):  # type: ignore[misc]
    """What ``coef_``, ``intercept_`` and ``classes_`` predict."""

    decision_function = _over_chunks(LinearClassifierMixin.decision_function)
    predict = _over_chunks(LinearClassifierMixin.predict)

    @_over_chunks
    def predict_proba(self, X: Any) -> Any:
        """Probabilities, (samples, classes)."""
        return softmax(self._logits(X))

    @_over_chunks
    def predict_log_proba(self, X: Any) -> Any:
        """Their logarithms, exact also where a probability underflows."""
        return log_softmax(self._logits(X))

    def _logits(self, X: Any) -> Any:
        z = self.decision_function(X)
        return z if z.ndim > 1 else np.stack([np.zeros_like(z), z], axis=1)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The part of the samples, by weight, whose label `predict` finds."""
        if not is_dask(X):
            return float(super().score(X, y, sample_weight))
        sample_of(self, X, reset=False)
        X, y, weight = validation.aligned(X, y, sample_weight)
        return float(np.average(for_chunks(self).predict(X) == y, weights=weight))


@dataclass(eq=False, repr=False)
class SoftmaxRegression(SoftmaxMixin, PersistenceMixin, BaseEstimator):  # type: ignore[misc]
    """A linear classifier: softmax(X W + b), fitted by gradient descent or L-BFGS.

    It minimizes J = mean loss + alpha · R(W), R = ½ ‖W‖² for "l2", ‖W‖₁ for "l1", a mix for
    "elasticnet". The mean is over the sample weights; b is not penalized. That is scikit-learn's
    LogisticRegression with C = 1 / (alpha · n), and SGDClassifier with the same alpha. Ctrl-C ends
    a fit with a warning; the model is as fitted so far. Float32 data are computed with in float32.

    Dask's arrays and DataFrames stay where they are: each loss and gradient is a sum over their
    chunks, computed there. Batches are taken within a chunk. Every step reads or computes the
    chunks of X anew, unless it was persisted; labels and weights, 16 bytes a row, are kept there.

    Parameters
    ----------
    loss : "cross_entropy"; "logistic", the same for two classes, coded −1 and +1; or "mse", the
        squared distance of softmax(z) from one-hot targets
    penalty : "l2", "l1" (by a proximal step: weights become exactly 0), "elasticnet" or None
    alpha, l1_ratio : float, the strength of the penalty, and the L1 part of "elasticnet"
    solver : "sgd", "adam", "lbfgs", or "auto": "lbfgs" where no L1 penalty is, else "adam"
    batch_size : int, rows a step of "sgd" and "adam" takes, or "full" for all
    learning_rate, power_t : float
    schedule : "constant", or "invscaling": learning_rate / t**power_t in step t
    momentum, nesterov : float, of "sgd"; bool, whether it is Nesterov's
    max_iter : int, epochs at most (for "lbfgs", iterations)
    tol : float, "auto" or None. "lbfgs" stops where no entry of the gradient is larger, in
        coordinates scaled to the data ("auto": 1e-10); the others where the loss has not fallen by
        more in ``n_iter_no_change`` epochs ("auto": 1e-4). None stops at ``max_iter``
    n_iter_no_change : int
    early_stopping : bool, whether to keep the parameters best on rows set aside, and to stop where
        these get no better
    validation_fraction : float, how many are set aside, at random
    shuffle, fit_intercept : bool, whether an epoch takes the rows in a new order, and there is a b
    class_weight : dict from label to weight (1 for others), "balanced", or None
    random_state : int, NumPy random generator, or None
    verbose : bool, whether to show a progress bar (tqdm) with loss and accuracy
    callback : function of the model, the epoch and its loss, called after each; the model is usable

    Attributes
    ----------
    coef_, intercept_ : (classes, features) and (classes,) arrays; for two classes one row
    classes_ : the labels
    loss_curve_ : list of J, for each epoch the mean over its steps
    n_iter_, t_, solver_ : epochs (iterations) and steps done, the solver taken
    n_features_in_, feature_names_in_ : as in scikit-learn

    Examples
    --------
    >>> X, y = [[0.0], [1.0], [2.0], [3.0]], ["no", "no", "yes", "yes"]
    >>> SoftmaxRegression(alpha=0.1).fit(X, y).predict([[0.4], [2.6]]).tolist()
    ['no', 'yes']
    """

    loss: str = "cross_entropy"
    _: KW_ONLY
    penalty: str | None = "l2"
    alpha: float = 0.01
    l1_ratio: float = 0.15
    solver: str = "auto"
    batch_size: int | str = 32
    learning_rate: float = 0.01
    schedule: str = "constant"
    power_t: float = 0.5
    momentum: float = 0.0
    nesterov: bool = False
    max_iter: int = 10_000
    tol: float | str | None = "auto"
    n_iter_no_change: int = 10
    early_stopping: bool = False
    validation_fraction: float = 0.1
    shuffle: bool = True
    fit_intercept: bool = True
    class_weight: Any = None
    random_state: Any = None
    verbose: bool = False
    callback: Callable[[Any, int, float], Any] | None = None

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "loss": [StrOptions({"cross_entropy", "logistic", "mse"})],
        "penalty": [StrOptions({"l2", "l1", "elasticnet"}), None],
        "solver": [StrOptions({"auto", "sgd", "adam", "lbfgs"})],
        "schedule": [StrOptions({"constant", "invscaling"})],
        "batch_size": [FROM_1, StrOptions({"full"})],
        "tol": [FROM_0, StrOptions({"auto"}), None],
        "l1_ratio": [Interval(Real, 0, 1, closed="both")],
        "momentum": [Interval(Real, 0, 1, closed="left")],
        **{name: [FROM_0] for name in ("alpha", "learning_rate", "power_t")},
        **{name: [FROM_1] for name in ("max_iter", "n_iter_no_change")},
    }

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "coef_")

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit to X (samples, features) and labels y (samples,).

        ``sample_weight``, one number from 0 up a sample, counts a sample so many times.
        """
        self._validate_params()
        rng = validation.random_generator(self)
        train, valid = validation.rows_to_fit(self, X, y, sample_weight, rng)
        params = params_of(self)
        with monitored(self, params, train, valid) as monitor, one_blas_thread() as train.threads:
            if self.solver_ == "lbfgs":
                lbfgs(self, params, train, monitor)
            else:
                descend(self, new_optimizer(self, params), train, rng, monitor, self.max_iter)
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Go on fitting, one epoch of "sgd" or "adam" over these rows.

        The first call wants ``classes``, all labels there will be. Ctrl-C is passed on; the steps
        that were taken stay.
        """
        self._validate_params()
        rows = validation.rows_to_add(self, X, y, classes, sample_weight)
        if not hasattr(self, "_optimizer"):
            self.solver_ = "sgd" if self.solver == "sgd" else "adam"
            self._optimizer = new_optimizer(self, params_of(self))
        optimizer, rng = self._optimizer, validation.random_generator(self)
        params = [p.data for p in optimizer.params]
        with progress_bar(self.verbose, 1) as bar:
            try:
                descend(self, optimizer, rows, rng, Monitor(self, params, rows, None, bar), 1)
            except KeyboardInterrupt:
                store(self, params)
                raise
        return self
