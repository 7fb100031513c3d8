"""`SoftmaxRegression`: a linear classifier in scikit-learn's conventions, fitted with the engine.

`Rows` gives a solver the mean loss over them all and its gradient; no hand has derived it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from copy import copy
from functools import lru_cache, partial, wraps
from importlib.util import find_spec
from os import PathLike
from typing import Any

import numpy as np

from ..engine.transforms import vjp
from ..engine.value import Value
from ..losses.activations import log_softmax, sigmoid, softmax
from ..programs.compiled import program
from .chunks import Chunks, is_dask, map_rows, rows_of
from .estimator import (
    BaseEstimator,
    ClassifierMixin,
    ConvergenceWarning,
    check_classification_targets,
    check_is_fitted,
    validate_data,
)
from .monitor import Params, Watch, held, progress_bar
from .objective import (
    ChunkedRows,
    Rows,
    epoch_in,
    in_turns,
    labels_in,
    objective,
    part_fitted,
    penalty,
    penalty_and_grad,
    scored,
    told_of,
)
from .optimizers import SGD, Adam
from .persistence import read, write

SMALL = 2**16  # bytes of logits up to which a compiled step is faster than a graph
KIND = "SoftmaxRegression"  # of a file
FITTED = (
    "classes_",
    "coef_",
    "intercept_",
    "n_iter_",
    "t_",
    "loss_curve_",
    "solver_",
    "n_features_in_",
    "feature_names_in_",
)
RANGES = {
    "alpha": (0, np.inf),
    "l1_ratio": (0, 1),
    "learning_rate": (0, np.inf),
    "power_t": (0, np.inf),
    "momentum": (0, 0.9999),
    "max_iter": (1, np.inf),
    "n_iter_no_change": (1, np.inf),
    "validation_fraction": (0, 1),
}


def _over_chunks(method: Any) -> Any:
    """Let a method that tells something of each row take Dask's chunks: computed when asked for."""

    @wraps(method)
    def either(self: Any, X: Any) -> Any:
        if not is_dask(X):
            return method(self, X)
        check_is_fitted(self)
        like = method(self._abroad(), self._sample(X, reset=False))
        f = partial(told_of, model=self._abroad(), method=method.__name__, like=like)
        return map_rows(f, X, like, method.__name__)

    return either


# ------------------------------------------------------------------ steps
@lru_cache(32)
def _compiled(loss: str, shape: tuple[int, int], columns: int, dtype: Any, extra: Any) -> Any:
    """J of a batch and its gradient as a program of (X, y, l2, [weight,] W[, b]).

    It takes arrays and numbers alone, of these shapes: then a call is the compiled code itself.
    """
    weighted, intercept = extra
    n, D = shape
    y = np.zeros(n, np.intp) if columns > 1 else np.ones(n, dtype)

    def batch_loss(X: Any, y: Any, l2: float, *rest: Any) -> Any:
        weight, *params = rest if weighted else (None, *rest)
        return objective(params, X, y, weight, loss) / float(n) + penalty(params, l2)

    rest = [np.ones(n, dtype)] * weighted + [np.zeros((D, columns), dtype)]
    rest += [np.zeros(columns, dtype)] * intercept
    wrt = range(3 + weighted, 3 + len(rest))
    return program(batch_loss, np.zeros(shape, dtype), y, 0.0, *rest, wrt=wrt)


def _shrink(W: Any, by: Any) -> None:
    """The proximal step of ``by`` · ‖W‖₁, in place: every weight nearer to 0, at most to 0."""
    np.copyto(W, np.sign(W) * np.maximum(np.abs(W) - by, 0.0))


def _l1_step(optimizer: Any, l1: float) -> Any:
    """What a step of ``optimizer`` moves a weight whose gradient stays ``l1``.

    Only with this factor is a point that the proximal step leaves alone an optimum.
    """
    if isinstance(optimizer, SGD):
        return optimizer.lr * l1 / (1.0 - optimizer.momentum)
    t, _, v = optimizer._moments[0]
    return optimizer.lr * l1 / (np.sqrt(v / (1.0 - optimizer.betas[1] ** t)) + optimizer.eps)


def _beside(point: Any, x: Any, value: float, slope: Any) -> float:
    """J at x, which is near a point: from there by its slopes, where its own last places are noise.

    Near the optimum a step's gain is less than a unit of them. A line search that compares such
    numbers goes one way or another by how the rows were summed; by this it does not, and finds that
    a step downhill gains at least that unit.
    """
    x0, value0, slope0 = point
    change = 0.5 * float((slope + slope0) @ (x - x0))
    if abs(change) > 1e-9 * abs(value):
        return value
    near = value0 + change
    return near if near != value0 else float(np.nextafter(value0, np.copysign(np.inf, change)))


def _conditioner(second: Any, ridge: float, intercept: bool, eps: float) -> Any:
    """M for (W, b) = M φ, such that the loss curves much alike along all φ while W is small.

    There its curvature is that of Σ (x W + b)² and of the penalty, which is ``ridge`` beside it:
    the features are centred, scaled and, most of the way, decorrelated. All of the way takes more
    steps where it is the features of little variance that are noise: on the digits a third more.
    """
    D = len(second) - 1
    mean = second[:D, D] if intercept else np.zeros(D)
    curvature = second[:D, :D] - np.outer(mean, mean) + ridge * np.eye(D)
    rounded = 1e4 * eps * np.diag(second)[:D]  # below, a variance is what rounding left
    scale = np.sqrt(np.maximum(np.diag(curvature), rounded))
    scale[scale == 0] = 1.0
    correlation = curvature / scale / scale[:, None] + 0.1 * np.eye(D)
    M = np.eye(D + intercept)
    M[:D, :D] = np.linalg.inv(np.linalg.cholesky(correlation)).T / scale[:, None]
    if intercept:
        M[D, :D] = -mean @ M[:D, :D]
    return M


# ------------------------------------------------------------------ the estimator
class SoftmaxRegression(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A linear classifier: softmax(X W + b), fitted by gradient descent or L-BFGS.

    It minimizes J = mean loss + alpha · R(W), R = ½ ‖W‖² for "l2", ‖W‖₁ for "l1", a mix for
    "elasticnet". The mean is over the sample weights; b is not penalized. That is scikit-learn's
    LogisticRegression with C = 1 / (alpha · n), and SGDClassifier with the same alpha.

    Parameters
    ----------
    loss : "cross_entropy"; "logistic", the same for two classes, coded −1 and +1; or "mse", the
        squared distance of softmax(z) from one-hot targets, which learns little from a sample that
        is wrong with confidence
    penalty : "l2", "l1", "elasticnet" or None
    alpha : float, the strength of the penalty
    l1_ratio : float, the L1 part of "elasticnet"
    solver : "sgd", "adam", "lbfgs" (which needs SciPy), or "auto": "lbfgs" where there is SciPy and
        no L1 penalty, else "adam"
    batch_size : int, rows a step of "sgd" and "adam" takes, or "full" for all
    learning_rate : float
    schedule : "constant", or "invscaling": learning_rate / t**power_t in step t
    power_t : float
    momentum : float, of "sgd"
    nesterov : bool, whether that momentum is Nesterov's
    max_iter : int, epochs at most (for "lbfgs", iterations)
    tol : float, "auto" or None. "lbfgs" stops where no entry of the gradient is larger, in
        coordinates scaled to the data ("auto": 1e-10); the others where the loss has not fallen by
        more in ``n_iter_no_change`` epochs ("auto": 1e-4). None stops at ``max_iter``
    n_iter_no_change : int
    early_stopping : bool, whether to keep the parameters best on rows set aside, and to stop where
        these get no better
    validation_fraction : float, how many are set aside, the same part of each class
    shuffle : bool, whether an epoch takes the rows in a new order
    fit_intercept : bool
    class_weight : dict from label to weight, "balanced", or None
    random_state : int, NumPy random generator, or None
    verbose : bool, whether to show a progress bar (tqdm) with loss and accuracy
    callback : function of the model, the epoch and its loss, called after each; the model is usable

    Attributes
    ----------
    coef_ : (classes, features) array; (1, features) for two classes
    intercept_ : (classes,) or (1,) array
    classes_ : the labels
    n_iter_ : epochs (iterations) done
    loss_curve_ : list of J, for each epoch the mean over its steps
    solver_ : the solver taken
    n_features_in_, feature_names_in_ : as in scikit-learn

    Raises
    ------
    ValueError
        If an option is not one of these or goes with no other given, or data are not as wanted.
    ImportError
        If "lbfgs" finds no SciPy, or ``verbose`` no tqdm.

    Notes
    -----
    Ctrl-C ends a fit after the current step, with a warning; the model is as fitted so far. The L1
    penalty goes by a proximal step, so that weights become exactly 0. "lbfgs" runs in coordinates
    turned and scaled so that the loss curves alike in all directions; the optimum is the same.
    Float32 data are computed with in float32. Blocks of rows go to as many threads as BLAS may have
    (``OPENBLAS_NUM_THREADS`` and threadpoolctl set that), while BLAS has one; the extra "scipy"
    brings threadpoolctl, without which one thread takes them all.

    Dask's arrays and DataFrames stay where they are: each loss and gradient is a sum over their
    chunks, computed there; labels may be Dask's or NumPy's. Batches are taken within a chunk, chunk
    by chunk, as is all of `partial_fit`; early stopping sets rows aside at random in each. What
    `predict` and its like tell is computed when asked for. Every step reads or computes the chunks
    anew, unless X and y were persisted.

    Examples
    --------
    >>> X, y = [[0.0], [1.0], [2.0], [3.0]], ["no", "no", "yes", "yes"]
    >>> model = SoftmaxRegression(alpha=0.1).fit(X, y)
    >>> model.predict([[0.4], [2.6]]).tolist()
    ['no', 'yes']
    """

    def __init__(
        self,
        loss: str = "cross_entropy",
        *,
        penalty: str | None = "l2",
        alpha: float = 0.01,
        l1_ratio: float = 0.15,
        solver: str = "auto",
        batch_size: int | str = 32,
        learning_rate: float = 0.01,
        schedule: str = "constant",
        power_t: float = 0.5,
        momentum: float = 0.0,
        nesterov: bool = False,
        max_iter: int = 10_000,
        tol: float | str | None = "auto",
        n_iter_no_change: int = 10,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        shuffle: bool = True,
        fit_intercept: bool = True,
        class_weight: Any = None,
        random_state: Any = None,
        verbose: bool = False,
        callback: Callable[[Any, int, float], Any] | None = None,
    ) -> None:
        self.loss = loss
        self.penalty = penalty
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.solver = solver
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.power_t = power_t
        self.momentum = momentum
        self.nesterov = nesterov
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.shuffle = shuffle
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.random_state = random_state
        self.verbose = verbose
        self.callback = callback

    # -------------------------------------------------------------- fitting
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> SoftmaxRegression:
        """Fit to X (samples, features) and labels y (samples,).

        ``sample_weight``, one number from 0 up a sample, counts a sample so many times.
        """
        self._check()
        rng = _generator(self.random_state)
        train: Rows | ChunkedRows
        valid: Rows | ChunkedRows | None
        if is_dask(X):
            train, valid = self._chunked(X, y, sample_weight, rng)
        else:
            X, y = self._validated(X, y, reset=True)
            self.classes_ = np.unique(y)
            codes, weight = self._encoded(X, y, sample_weight)
            train, valid = self._split(X, codes, weight, rng)
            self._start(X.dtype)
        params = [np.zeros(p.shape, p.dtype) for p in self._params()]
        solve = self._lbfgs if self.solver_ == "lbfgs" else self._descend
        shown = progress_bar(self.verbose, self.max_iter)
        with held() as interrupt, shown as bar:
            watch = Watch(self, train, valid, interrupt, bar)
            try:
                solve(params, train, watch, rng)
            except KeyboardInterrupt:
                watch.ended = True
                warnings.warn(
                    f"interrupted after {self.n_iter_} of at most {self.max_iter} epochs; the "
                    "model is as fitted so far",
                    ConvergenceWarning,
                    stacklevel=2,
                )
            watch.finish()
        return self

    def partial_fit(
        self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None
    ) -> SoftmaxRegression:
        """Go on fitting, one epoch of "sgd" or "adam" over these rows.

        The first call wants ``classes``, all labels there will be. Ctrl-C ends it after the current
        step, and is passed on.
        """
        self._check()
        if self.solver == "lbfgs":
            raise ValueError('partial_fit: got solver="lbfgs", wanted "sgd" or "adam"')
        if is_dask(X):
            return self._stream(X, y, classes, sample_weight)
        first = not hasattr(self, "coef_")
        X, y = self._validated(X, y, reset=first)
        if first:
            if classes is None:
                raise ValueError("classes: got None, wanted all labels in the first partial_fit")
            self.classes_ = np.unique(classes)
        elif classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(f"classes: got {classes!r}, wanted {self.classes_}, as before")
        codes, weight = self._encoded(X, y, sample_weight)
        if first:
            self._start(X.dtype)
        if not hasattr(self, "_optimizer"):
            self.solver_ = "sgd" if self.solver == "sgd" else "adam"
            self._optimizer = self._new_optimizer([p.copy() for p in self._params()])
        X = X.astype(self.coef_.dtype, copy=False)
        train = Rows(X, codes, weight, self.loss)
        with held() as interrupt, progress_bar(self.verbose, 1) as bar:
            watch = Watch(self, train, None, interrupt, bar)
            self._epoch(self._optimizer, train, watch, _generator(self.random_state))
        return self

    def _check(self) -> None:
        """Refuse options that are none, or do not go together."""
        choices = {
            "loss": ("cross_entropy", "logistic", "mse"),
            "penalty": ("l2", "l1", "elasticnet", None),
            "solver": ("auto", "sgd", "adam", "lbfgs"),
            "schedule": ("constant", "invscaling"),
        }
        for name, among in choices.items():
            if (got := getattr(self, name)) not in among:
                raise ValueError(f"{name}: got {got!r}, wanted {' or '.join(map(repr, among))}")
        for name, (low, high) in RANGES.items():
            got = getattr(self, name)
            if not isinstance(got, float | int | np.number) or not low <= got <= high:
                wanted = f"{low} or more" if high == np.inf else f"{low} to {high}"
                raise ValueError(f"{name}: got {got!r}, wanted {wanted}")
        if self.tol not in ("auto", None) and not (
            isinstance(self.tol, float | int | np.number) and self.tol >= 0
        ):
            raise ValueError(f'tol: got {self.tol!r}, wanted 0 or more, "auto" or None')
        if self.batch_size != "full" and not (
            isinstance(self.batch_size, int | np.integer) and self.batch_size >= 1
        ):
            raise ValueError(f'batch_size: got {self.batch_size!r}, wanted 1 or more, or "full"')
        if self.solver == "lbfgs" and self._l1():
            raise ValueError(
                f'solver="lbfgs" wants a smooth penalty, got {self.penalty!r}: take "sgd" or "adam"'
            )

    def _l1(self) -> float:
        ratio = {"l1": 1.0, "elasticnet": self.l1_ratio}.get(self.penalty or "", 0.0)
        return float(self.alpha * ratio)

    def _tol(self) -> float:
        """The tolerance as a number; one below 0 is never reached."""
        if self.tol == "auto":
            return 1e-10 if self.solver_ == "lbfgs" else 1e-4
        return -1.0 if self.tol is None else float(self.tol)

    def _l2(self) -> float:
        return 0.0 if self.penalty is None else float(self.alpha) - self._l1()

    def _validated(self, X: Any, y: Any, reset: bool) -> Any:
        X, y = validate_data(self, X, y, reset=reset, dtype=[np.float64, np.float32])
        check_classification_targets(y)
        return X.view(np.dtype(X.dtype.str)), y  # unpickled, it slows programs down

    def _encoded(self, X: Any, y: Any, sample_weight: Any, part: bool = False) -> tuple[Any, Any]:
        """Labels as `objective` takes them, and a weight for each row, or None.

        Of a ``part`` of the rows all weights may be 0.
        """
        classes = self.classes_
        if len(classes) < 2:
            raise ValueError(f"y: got the one class {classes.tolist()}, wanted two or more")
        if self.loss == "logistic" and len(classes) > 2:
            raise ValueError(f'loss="logistic" is for two classes, got {len(classes)}')
        index = np.searchsorted(classes, y)
        if index.max() == len(classes) or (classes[index] != y).any():
            raise ValueError(f"y: got labels that are not among the classes {classes.tolist()}")
        weight = None
        if sample_weight is not None:
            weight = np.asarray(sample_weight, X.dtype)
            weight = np.broadcast_to(weight, len(X)) if weight.ndim == 0 else weight
            if weight.shape != (len(X),):
                raise ValueError(f"sample_weight: got shape {weight.shape}, wanted {(len(X),)}")
            if not (weight >= 0).all() or not 0 < weight.sum() + part < np.inf:
                raise ValueError("sample_weight: wanted numbers from zero up, not all zero")
        if self.class_weight is not None:
            each = self._class_weights(index, weight).astype(X.dtype)[index]
            weight = each if weight is None else weight * each
        if len(classes) == 2:
            signs = index.astype(X.dtype)
            signs *= 2
            signs -= 1
            return signs, weight
        return index, weight

    def _class_weights(self, index: Any, weight: Any) -> Any:
        if isinstance(self.class_weight, str):
            if self.class_weight != "balanced":
                raise ValueError(f'class_weight: got {self.class_weight!r}, wanted "balanced"')
            counts = np.bincount(index, weight, minlength=len(self.classes_))
            return counts.sum() / (len(counts) * np.maximum(counts, 1e-300))
        if not isinstance(self.class_weight, dict):
            kind = type(self.class_weight).__name__
            raise ValueError(f'class_weight: got a {kind}, wanted a dict or "balanced"')
        labels = self.classes_.tolist()
        if unknown := [label for label in self.class_weight if label not in labels]:
            raise ValueError(f"class_weight: got {unknown}, which are not among the classes")
        return np.array([self.class_weight.get(label, 1.0) for label in labels])

    def _split(self, X: Any, y: Any, weight: Any, rng: Any) -> tuple[Rows, Rows | None]:
        """Rows to fit, and rows of each class set aside."""
        if not self.early_stopping:
            return Rows(X, y, weight, self.loss), None
        aside = np.zeros(len(X), bool)
        for label in np.unique(y):
            rows = np.flatnonzero(y == label)
            rng.shuffle(rows)
            aside[rows[: round(self.validation_fraction * len(rows))]] = True
        if not aside.any() or aside.all():
            raise ValueError(
                f"validation_fraction={self.validation_fraction} of {len(X)} rows sets aside "
                f"{aside.sum()}"
            )
        whole = Rows(X, y, weight, self.loss)
        parts = [whole.some(np.flatnonzero(part)) for part in (~aside, aside)]
        return parts[0], parts[1]

    def _sample(self, X: Any, reset: bool) -> Any:
        """A row that stands for a Dask array or DataFrame: number, names, types of its columns."""
        row = getattr(X, "_meta_nonempty", None)
        if row is None:
            row = np.ones((1, rows_of(X).shape[1]), X.dtype)
        return validate_data(self, row[:1], reset=reset, dtype=[np.float64, np.float32])

    def _abroad(self) -> SoftmaxRegression:
        """A copy for other machines: what is shown and called stays here, names were compared."""
        model = copy(self)
        model.verbose, model.callback = False, None
        model.__dict__.pop("feature_names_in_", None)
        return model

    def _chunked(
        self, X: Any, y: Any, sample_weight: Any, rng: Any
    ) -> tuple[ChunkedRows, ChunkedRows | None]:
        """Rows to fit, and rows set aside, in Dask's chunks; classes are learnt in a first pass."""
        dtype = self._sample(X, reset=True).dtype
        chunks = Chunks(X, y, sample_weight)
        found = chunks.each(labels_in, self._abroad())
        labels = np.concatenate([labels for labels, _ in found])
        self.classes_, index = np.unique(labels, return_inverse=True)
        check_classification_targets(np.tile(self.classes_, 3))  # once each looks like a regression
        self._start(dtype)
        model = self._abroad()
        if self.class_weight is not None:
            each = self._class_weights(index, np.concatenate([sums for _, sums in found]))
            model.class_weight = dict(zip(self.classes_.tolist(), each.tolist()))
        if not self.early_stopping:
            return ChunkedRows(chunks, model), None
        seed = int.from_bytes(rng.bytes(8))
        parts = [(seed, self.validation_fraction, part) for part in (False, True)]
        train, valid = (ChunkedRows(chunks, model, aside) for aside in parts)
        return train, valid

    def _stream(self, X: Any, y: Any, classes: Any, sample_weight: Any) -> SoftmaxRegression:
        """`partial_fit` with each of Dask's chunks in turn, where that chunk is."""
        self._sample(X, reset=not hasattr(self, "coef_"))
        chunks, options = Chunks(X, y, sample_weight), self.get_params(deep=False)
        with held() as interrupt, progress_bar(self.verbose, len(chunks.rows)) as bar:
            for i in range(len(chunks.rows)):
                told = chunks.one(i, part_fitted, self._abroad(), classes)
                self.__dict__.update({n: told[n] for n in told if n not in options})
                if bar is not None:
                    bar.set_postfix(loss=f"{self.loss_curve_[-1]:.4g}")
                    bar.update()
                if self.callback is not None:
                    self.callback(self, self.n_iter_, self.loss_curve_[-1])
                interrupt.check()
        return self

    def _start(self, dtype: Any) -> None:
        """All parameters 0, nothing done."""
        columns = 1 if len(self.classes_) == 2 else len(self.classes_)
        self.coef_ = np.zeros((columns, self.n_features_in_), dtype)
        self.intercept_ = np.zeros(columns, dtype)
        self.n_iter_, self.t_ = 0, 0
        self.loss_curve_: list[float] = []
        self.solver_ = self.solver
        if self.solver == "auto":
            smooth = not self._l1() and find_spec("scipy") is not None
            self.solver_ = "lbfgs" if smooth else "adam"
        self.__dict__.pop("_optimizer", None)

    def _params(self) -> Params:
        return [self.coef_.T, self.intercept_][: 1 + bool(self.fit_intercept)]

    def _keep(self, params: Params) -> None:
        """Make these the fitted ones."""
        self.coef_ = params[0].T.copy()
        if self.fit_intercept:
            self.intercept_ = params[1].copy()

    # -------------------------------------------------------------- solvers
    def _lbfgs(self, params: Params, train: Any, watch: Watch, rng: Any) -> None:
        try:
            from scipy.optimize import minimize
        except ImportError:
            raise ImportError(
                'solver="lbfgs" needs SciPy: pip install "tinygrad_ce[scipy]", or take "adam"'
            ) from None
        dtype, l2, shape = params[0].dtype, self._l2(), params[0].shape
        curvature = 0.25 if shape[1] == 1 else 1.0 / shape[1]  # of the loss along z, at z = 0
        eps = float(np.finfo(dtype).eps)
        with in_turns(8 * (shape[0] + 1) ** 2, train):
            M = _conditioner(train.moments(), l2 / curvature, bool(self.fit_intercept), eps)
        size = (len(M), shape[1])
        points: list[Any] = []  # J and its gradient, where it stands and where it looked last

        def split(theta: Any) -> Params:
            theta = theta.astype(dtype, copy=False)
            return [theta[: shape[0]], *theta[shape[0] :]]

        def both(flat: Any) -> tuple[float, Any]:
            theta, pull = vjp(lambda phi: M @ phi, flat.reshape(size))
            own = split(theta)
            value, grads = train.loss_and_grad(own)
            more, slopes = penalty_and_grad(own, l2)
            grads = [g + s for g, s in zip(grads, slopes)]
            watch.interrupt.check()
            slope = pull(np.vstack(grads).astype(float))[0].ravel()
            total = value + float(more)
            if points and dtype == np.float64:  # float32's slopes are noise as well, and never end
                total = _beside(points[0], flat, total, slope)
            points[1:] = [(flat.copy(), total, slope)]
            return total, slope

        def after(intermediate_result: Any) -> None:
            points[:] = points[-1:]
            own = split(M @ intermediate_result.x.reshape(size))
            if watch(own, intermediate_result.fun):
                raise StopIteration

        options = {
            "maxiter": self.max_iter,
            "maxfun": 50 * self.max_iter,
            "maxls": 50,
            "gtol": max(self._tol(), 10 * eps),  # float32 gets no further
            "ftol": 0.0,  # 64 eps, which is usual, leaves 1e-5 of a weight
        }
        with in_turns(_nbytes(params), train, watch.valid):
            found = minimize(
                both, np.zeros(size).ravel(), jac=True, method="L-BFGS-B", callback=after,
                options=options,
            )  # fmt: skip
        watch.ended = self.n_iter_ < self.max_iter or found.status != 1
        self.n_iter_ = max(self.n_iter_, 1)

    def _new_optimizer(self, params: Params) -> Any:
        values = [Value(p) for p in params]
        if self.solver == "sgd":
            return SGD(values, self.learning_rate, self.momentum, nesterov=self.nesterov)
        return Adam(values, self.learning_rate)

    def _descend(self, params: Params, train: Any, watch: Watch, rng: Any) -> None:
        optimizer = self._new_optimizer(params)
        whole = self.batch_size == "full" or self.batch_size >= train.count
        away = isinstance(train, ChunkedRows) and not whole
        epoch = self._tour if away else self._epoch
        with in_turns(_nbytes(params), train, watch.valid):
            for _ in range(self.max_iter):
                if epoch(optimizer, train, watch, rng):
                    break

    def _tour(self, optimizer: Any, train: Any, watch: Watch, rng: Any) -> bool:
        """An epoch of batches within Dask's chunks: the optimizer goes from chunk to chunk."""
        total, order = 0.0, np.arange(len(train.chunks.rows))
        if self.shuffle:
            rng.shuffle(order)
        params = [p.data for p in optimizer.params]
        try:
            for i in order:
                train.model.t_, seed = self.t_, int.from_bytes(rng.bytes(8))
                args = (train.model, train.aside, optimizer, train.total / train.count, seed)
                told, self.t_, loss = train.chunks.one(i, epoch_in, *args)
                for p, q in zip(params, told.params):
                    p[...] = q.data
                optimizer.__dict__.update({**vars(told), "params": optimizer.params})
                total += loss
                watch.interrupt.check()
        except KeyboardInterrupt:
            self._keep(params)
            raise
        return watch(params, total / train.count)

    def _epoch(self, optimizer: Any, train: Any, watch: Watch, rng: Any) -> bool:
        """One step for each batch; whether to stop."""
        values, l1 = optimizer.params, self._l1()
        params = [p.data for p in values]
        W, total = params[0], 0.0
        try:
            with np.errstate(over="ignore", invalid="ignore"):  # what diverges is told below
                for count, loss, grads in self._gradients(train, params, rng):
                    for p, g in zip(values, grads):
                        p.grad = g
                    self.t_ += 1
                    if self.schedule == "invscaling":
                        optimizer.lr = self.learning_rate / self.t_**self.power_t
                    total += count * (float(loss) + (l1 and l1 * float(np.abs(W).sum())))
                    optimizer.step()
                    if l1:
                        _shrink(W, _l1_step(optimizer, l1))
                    watch.interrupt.check()
        except KeyboardInterrupt:
            self._keep(params)
            raise
        if not np.isfinite(total):
            raise ValueError(
                f"the loss is {total} in epoch {self.n_iter_ + 1}: scale the data, or take a "
                f"learning_rate below {self.learning_rate}"
            )
        return watch(params, total / train.count)

    def _gradients(
        self, train: Any, params: Params, rng: Any
    ) -> Iterator[tuple[int, float, Params]]:
        """Rows, J and its gradients for each batch, at what ``params`` hold by then."""
        l2, W = self._l2(), params[0]
        share = train.count / train.total  # makes the mean weight 1
        whole = self.batch_size == "full" or self.batch_size >= train.count
        size = train.count if whole else int(self.batch_size)
        rows = train.shuffled(rng) if self.shuffle and not whole else train
        if size * W.shape[1] * W.itemsize <= SMALL and isinstance(train, Rows):
            extra = (train.weight is not None, len(params) > 1)
            for X, y, w in rows.blocks(size):
                run = _compiled(self.loss, X.shape, W.shape[1], W.dtype, extra)
                yield len(X), *run(X, y, l2, *([] if w is None else [w * share]), *params)
            return
        for part in [rows] if whole else rows.batches(size):
            loss, grads = part.loss_and_grad(params)
            factor = part.total * share / part.count
            more, slopes = penalty_and_grad(params, l2)
            grads = [g * factor + s for g, s in zip(grads, slopes)]
            yield part.count, loss * factor + float(more), grads

    # -------------------------------------------------------------- keeping
    def save(self, path: str | PathLike[str]) -> None:
        """Keep the fitted model in a file, NumPy's .npz; `load` gives it back, equal to the bit.

        Parameters, attributes and the state of `partial_fit` are kept; the callback is not. An old
        file of that name is replaced at once: a crash leaves the old or the new one.

        Raises
        ------
        NotFittedError
            If the model is not fitted.
        TypeError
            If a parameter is no number, text or dict of them: a random generator, for one.
        OSError
            If the file cannot be written.
        """
        check_is_fitted(self)
        options = self.get_params(deep=False)
        del options["callback"]
        kept = {name: vars(self)[name] for name in FITTED if name in vars(self)}
        optimizer = dict(vars(self._optimizer)) if hasattr(self, "_optimizer") else None
        if optimizer is not None:
            del optimizer["params"]
        write(path, KIND, {"parameters": options, **kept, "optimizer": optimizer})

    @classmethod
    def load(cls, path: str | PathLike[str]) -> SoftmaxRegression:
        """Return the model that `save` kept; nothing in the file is run.

        Raises
        ------
        ValueError
            If the file is cut, damaged, of a newer version, or holds anything else.
        OSError
            If there is no such file, or it cannot be opened.

        Examples
        --------
        >>> import tempfile
        >>> model = SoftmaxRegression().fit([[0.0], [1.0]], ["no", "yes"])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save(f"{folder}/model.npz")
        ...     SoftmaxRegression.load(f"{folder}/model.npz").predict([[0.9]]).tolist()
        ['yes']
        """
        return read(path, KIND, cls._of)

    @classmethod
    def _of(cls, kept: dict[str, Any]) -> SoftmaxRegression:
        """The model of a file's content, each piece of it checked."""
        options = kept.pop("parameters")
        model = cls(**options)
        if options.keys() | {"callback"} != model.get_params(deep=False).keys():
            raise ValueError(f"its parameters are {', '.join(options)}")
        model._check()
        optimizer = kept.pop("optimizer")
        if kept.keys() | {"feature_names_in_"} != set(FITTED):
            raise ValueError(f"it holds {', '.join(kept)}")
        model.__dict__.update(kept)
        model._check_fitted()
        if optimizer is not None:
            model._optimizer = model._resumed(optimizer)
        return model

    def _check_fitted(self) -> None:
        """Refuse attributes that no fit leaves behind."""
        labels, W, b = self.classes_, self.coef_, self.intercept_
        names = getattr(self, "feature_names_in_", None)
        columns = 1 if len(labels) == 2 else len(labels)
        right = {
            "classes_": labels.ndim == 1 < len(labels) and list(np.unique(labels)) == list(labels),
            "n_features_in_": type(self.n_features_in_) is int,
            "coef_": W.dtype.kind == "f" and W.shape == (columns, self.n_features_in_),
            "intercept_": b.dtype == W.dtype and b.shape == (columns,),
            "feature_names_in_": names is None
            or (names.shape == W.shape[1:] and all(isinstance(name, str) for name in names)),
            "n_iter_": type(self.n_iter_) is int and self.n_iter_ >= 0,
            "t_": type(self.t_) is int and self.t_ >= 0,
            "loss_curve_": all(isinstance(loss, float) for loss in self.loss_curve_),
            "solver_": self.solver_ in ("sgd", "adam", "lbfgs"),
        }
        if wrong := [name for name in right if not right[name]]:
            raise ValueError(f"{wrong[0]} is not what a fit leaves there")

    def _resumed(self, kept: dict[str, Any]) -> Any:
        """The optimizer of `partial_fit` with these attributes."""
        values = [Value(p.copy()) for p in self._params()]
        adam = "_moments" in kept
        memory = kept.pop("_moments" if adam else "_buffers")
        optimizer = (Adam if adam else SGD)(values, **kept)
        for p, old in zip(values, memory, strict=True):
            t, *arrays = old if adam and old is not None else (1, old)
            like = (p.data.shape, p.data.dtype)
            right = old is None or all((a.shape, a.dtype) == like for a in arrays)
            if type(t) is not int or t < 1 or not right:
                raise ValueError("the optimizer's state does not fit the coefficients")
        setattr(optimizer, "_moments" if adam else "_buffers", memory)
        return optimizer

    # -------------------------------------------------------------- predicting
    @_over_chunks
    def decision_function(self, X: Any) -> Any:
        """Logits: (samples, classes), or for two classes (samples,), positive for the second."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=[np.float64, np.float32])
        z = X @ self.coef_.T + self.intercept_
        return z.ravel() if z.shape[1] == 1 else z

    @_over_chunks
    def predict(self, X: Any) -> Any:
        """The label of the largest logit, for each sample."""
        z = self.decision_function(X)
        return self.classes_[(z > 0).astype(int) if z.ndim == 1 else z.argmax(axis=1)]

    @_over_chunks
    def predict_proba(self, X: Any) -> Any:
        """Probabilities, (samples, classes)."""
        z = self.decision_function(X)
        return softmax(z) if z.ndim > 1 else np.stack([sigmoid(-z), sigmoid(z)], axis=1)

    @_over_chunks
    def predict_log_proba(self, X: Any) -> Any:
        """Their logarithms, exact also where a probability underflows."""
        z = self.decision_function(X)
        if z.ndim > 1:
            return log_softmax(z)
        return np.stack([-np.logaddexp(0.0, z), -np.logaddexp(0.0, -z)], axis=1)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The part of the samples, by weight, whose label `predict` finds."""
        if not is_dask(X):
            return float(super().score(X, y, sample_weight))
        check_is_fitted(self)
        self._sample(X, reset=False)
        hits, total = Chunks(X, y, sample_weight).sum(scored, self._abroad())
        return float(hits / total)


def _nbytes(arrays: Params) -> int:
    return sum(a.nbytes for a in arrays)


def _generator(seed: Any) -> Any:
    """A NumPy random generator: the one given, or one from a seed."""
    if hasattr(seed, "shuffle"):
        return seed
    if seed is not None and not isinstance(seed, int | np.integer):
        raise ValueError(f"random_state: got {seed!r}, wanted an int, a NumPy generator or None")
    return np.random.default_rng(seed)
