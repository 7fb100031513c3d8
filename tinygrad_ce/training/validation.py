"""What a fit takes, checked: parameters, and rows in memory or in Dask's chunks."""

from copy import copy
from importlib import import_module
from typing import Any

import numpy as np
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import check_random_state
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import _check_partial_fit_first_call, check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_non_negative, validate_data

from ..engine.data import array_of_a_kind
from ..engine.text import require
from .objective import ChunkedRows, Params, Rows

FLOATS = [np.float64, np.float32]


def strengths(model: Any) -> tuple[float, float]:
    """Return the strengths of the L1 and of the L2 penalty."""
    ratio = {"l1": 1.0, "elasticnet": model.l1_ratio}.get(model.penalty, 0.0)
    alpha = 0.0 if model.penalty is None else float(model.alpha)
    return alpha * ratio, alpha - alpha * ratio


def tolerance(model: Any) -> float:
    """Return the tolerance as a number: 0 for None."""
    auto = 1e-10 if model.solver_ == "lbfgs" else 1e-4
    return auto if model.tol == "auto" else float(model.tol or 0.0)


def random_generator(model: Any) -> Any:
    """Return the generator of random numbers given, or one from a seed."""
    seed = model.random_state
    return seed if isinstance(seed, np.random.Generator) else check_random_state(seed)


def params_of(model: Any) -> Params:
    """Return copies of the fitted parameters, in the form that the objective takes."""
    params = [model.coef_.T.copy(), model.intercept_.copy()]
    return params if model.fit_intercept else params[:1]


def start(model: Any, classes: Any, dtype: Any) -> None:
    """Set all that is fitted to where a fit begins: weights of 0 for these classes."""
    n, smooth = len(classes), not strengths(model)[0]
    require(n > 1, "y: got the one class {got}, wanted two or more", got=classes.tolist())
    require(n == 2 or model.loss != "logistic", 'loss="logistic" is for two classes, got {n}', n=n)
    text = 'solver="lbfgs" wants a smooth penalty, got {got!r}: take "sgd" or "adam"'
    require(smooth or model.solver != "lbfgs", text, got=model.penalty)
    columns = 1 if n == 2 else n
    model.classes_ = classes
    model.coef_ = np.zeros((columns, model.n_features_in_), dtype)
    model.intercept_ = np.zeros(columns, dtype)
    model.n_iter_, model.t_, model.loss_curve_ = 0, 0, []
    auto = "lbfgs" if smooth else "adam"
    model.solver_ = auto if model.solver == "auto" else model.solver
    vars(model).pop("_optimizer", None)


def rows_to_fit(model: Any, X: Any, y: Any, weight: Any, rng: Any) -> tuple[Any, Any]:
    """Start a fit; return the rows to fit and, to stop early by, rows set aside (or None)."""
    X, y, weight, labels = _validated(model, X, y, weight, reset=True)
    weights = [weight]
    if model.early_stopping:  # what is set aside weighs 0 among the others
        aside = rng.random(len(y)) < model.validation_fraction
        weights = [weight * ~aside, weight * aside]
    train, *valid = (_rows(model, labels, weight.dtype, X, y, part) for part in weights)
    start(model, labels, weight.dtype)  # once nothing is wrong
    return train, valid[0] if valid else None


def rows_to_add(model: Any, X: Any, y: Any, classes: Any, weight: Any) -> Any:
    """Return the rows of a `partial_fit`, whose first call starts the fit."""
    require(model.solver != "lbfgs", 'partial_fit: got solver="lbfgs", wanted "sgd" or "adam"')
    text = 'class_weight="balanced" wants all rows: pass the dict of sklearn.utils.class_weight'
    require(model.class_weight != "balanced", text)
    first = not hasattr(model, "coef_")
    X, y, weight, _labels = _validated(model, X, y, weight, reset=first)
    if first:
        vars(model).pop("classes_", None)
    _check_partial_fit_first_call(model, classes)
    dtype = weight.dtype if first else model.coef_.dtype
    rows = _rows(model, model.classes_, dtype, X, y, weight)
    if first:
        start(model, model.classes_, dtype)
    return rows


def _validated(model: Any, X: Any, y: Any, weight: Any, reset: bool) -> tuple[Any, Any, Any, Any]:
    """Return X, y and weights, if they are such, and the labels that are there."""
    for name, x in (("X", X), ("y", y), ("sample_weight", weight)):
        array_of_a_kind(x, name)  # scikit-learn drops a mask
    if is_dask(X):
        dtype, there = sample_of(model, X, reset).dtype, for_chunks(model)
        X, y, weight = aligned(X, y, weight)
        weight = weight.astype(dtype)

        def labels_in(rows: Rows) -> list[list[Any]]:
            check_non_negative(rows.weight, "sample_weight")
            return [[np.unique(_checked(there, rows.X, rows.y, reset=False)[1])]]

        # A sum of lists is all their entries.
        [labels] = ChunkedRows(X, y, weight, model.loss).sum(labels_in, 1)
        labels = np.unique(np.concatenate(labels))
    else:
        X, y = _checked(model, X, y, reset)
        weight = _check_sample_weight(weight, X, dtype=X.dtype, ensure_non_negative=True)
        labels = np.unique(y)
    check_classification_targets(np.tile(labels, 3))  # once each looks like a regression
    return X, y, weight, labels


def _checked(model: Any, X: Any, y: Any, reset: bool) -> tuple[Any, Any]:
    """Return rows in memory and their labels, if they are such."""
    X, y = validate_data(model, X, y, reset=reset, dtype=FLOATS)
    largest = max(X.max(), -X.min())
    text = "X: got {largest:.3g}, which overflows when squared: scale the features, as by "
    text += "sklearn.preprocessing.MaxAbsScaler"
    require(largest <= np.finfo(X.dtype).max ** 0.5 / len(X), text, largest=largest)
    return X, y


def _rows(model: Any, classes: Any, dtype: Any, X: Any, y: Any, weight: Any) -> Any:
    """Return rows as the objective takes them: with class indices, and weights of mean 1."""
    encoder, lazy = LabelEncoder().fit(classes), is_dask(X)
    index = y.map_blocks(encoder.transform, dtype=int).persist() if lazy else encoder.transform(y)
    sums = np.asarray(np.bincount(index, weight, len(classes)))
    class_weight = model.class_weight
    by_class = compute_class_weight(class_weight, classes=classes, y=classes, sample_weight=sums)
    with np.errstate(all="ignore"):
        total = by_class @ sums
        scaled = by_class * (len(index) / total)
    text = "class_weight={class_weight!r}: the weights of {n} rows sum to {total}, wanted "
    text += "weights from 0 up with a finite sum above 0"
    fits = 0 < total < np.inf and np.isfinite(scaled).all() and by_class.min() >= 0
    require(fits, text, class_weight=class_weight, n=len(index), total=total)
    weight = weight * (index.map_blocks(scaled.take) if lazy else scaled[index])
    y = (2 * index - 1).astype(dtype) if len(classes) == 2 else index
    weight = weight.astype(dtype)
    if lazy:
        return ChunkedRows(X, y.persist(), weight.persist(), model.loss)
    return Rows(X.astype(dtype, copy=False), y, weight, model.loss)


def is_dask(x: Any) -> bool:
    """Return whether ``x`` is a Dask collection: an array, a DataFrame, a column of one."""
    return hasattr(x, "__dask_graph__")


def _as_array(x: Any) -> Any:
    """Return a Dask array, or the values of a DataFrame or column: sizes may be unknown."""
    if not hasattr(x, "to_dask_array"):
        return x
    dtypes = [x.dtype] if hasattr(x, "dtype") else x.dtypes
    plain = all(isinstance(dtype, np.dtype) for dtype in dtypes)
    return (x if plain else x.astype(object)).to_dask_array()  # it warns of pandas' own dtypes


def as_rows(X: Any) -> Any:
    """Return a Dask array or DataFrame as a Dask array of two axes, all columns in each chunk."""
    X = _as_array(X)
    require(X.ndim == 2, "X: got a Dask array of shape {shape}, wanted two axes", shape=X.shape)
    return X.rechunk({1: -1})


def aligned(X: Any, y: Any, weight: Any) -> tuple[Any, Any, Any]:
    """Return rows, labels and weights (1 for None) as Dask arrays with the same chunks of rows.

    Chunks without rows are left out. If the sizes of chunks are unknown, that takes a pass.
    """
    da = import_module("dask.array")
    X = _sized(as_rows(X))
    rows, columns = tuple(n for n in X.chunks[0] if n), []
    for name, column in ("y", y), ("sample_weight", weight):
        if column is None:  # a 1 that is broadcast makes Dask warn
            column = da.ones(len(X), chunks=(rows,))
        column = _sized(da.asarray(_as_array(column)))
        column = column if column.ndim else da.broadcast_to(column, (len(X),))
        text, shape = "{name}: got shape {shape} for the {n} rows of X", column.shape
        require(shape == (len(X),), text, name=name, shape=shape, n=len(X))
        columns.append(column.rechunk((rows,)))
    return X.rechunk({0: rows}), columns[0], columns[1]


def _sized(x: Any) -> Any:
    return x.copy().compute_chunk_sizes() if x.ndim and np.isnan(x.shape[0]) else x


def sample_of(model: Any, X: Any, reset: bool) -> Any:
    """Return a row that stands for a Dask array or DataFrame, its columns checked by the model."""
    row = getattr(X, "_meta_nonempty", None)
    if row is None:
        row = np.ones((1, as_rows(X).shape[1]), X.dtype)
    return validate_data(model, row[:1], reset=reset, dtype=FLOATS)


def for_chunks(model: Any) -> Any:
    """Return a copy for other machines: what is shown and called stays here, names were checked."""
    model = copy(model)
    model.verbose, model.callback = False, None
    vars(model).pop("feature_names_in_", None)
    return model
