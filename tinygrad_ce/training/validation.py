"""What a fit takes, checked: parameters, and rows in memory or in Dask's chunks."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_non_negative, validate_data

from ..engine.text import _
from .chunks import Block, Chunks, as_rows, is_dask
from .objective import ChunkedRows, Encoder, Params, Rows

FLOATS = [np.float64, np.float32]
UNBOUNDED = (0, np.inf)
ALLOWED: dict[str, tuple[list[str | None], tuple[float, float] | None]] = {  # words, numbers
    "loss": (["cross_entropy", "logistic", "mse"], None),
    "penalty": (["l2", "l1", "elasticnet", None], None),
    "solver": (["auto", "sgd", "adam", "lbfgs"], None),
    "schedule": (["constant", "invscaling"], None),
    "alpha": ([], UNBOUNDED),
    "l1_ratio": ([], (0, 1)),
    "batch_size": (["full"], (1, np.inf)),
    "learning_rate": ([], UNBOUNDED),
    "power_t": ([], UNBOUNDED),
    "momentum": ([], (0, 0.9999)),
    "max_iter": ([], (1, np.inf)),
    "tol": (["auto", None], UNBOUNDED),
    "n_iter_no_change": ([], (1, np.inf)),
    "validation_fraction": ([], (0, 1)),
}


def check_parameters(model: Any) -> None:
    """Refuse parameters that are none, or do not go together."""
    for name, (words, numbers) in ALLOWED.items():
        got, (low, high) = getattr(model, name), numbers or (1, 0)
        if got in words or (isinstance(got, float | int | np.number) and low <= got <= high):
            continue
        limits = "{low} or more" if high == np.inf else "{low} to {high}"
        limit = [_(limits, low=low, high=high)] if numbers else []
        wanted = _(" or ").join([*map(repr, words), *limit])
        text = "{name}: got {got}, wanted {wanted}"
        raise ValueError(_(text, name=name, got=repr(got), wanted=wanted))
    if model.solver == "lbfgs" and strengths(model)[0]:
        text = 'solver="lbfgs" wants a smooth penalty, got {got}: take "sgd" or "adam"'
        raise ValueError(_(text, got=repr(model.penalty)))


def strengths(model: Any) -> tuple[float, float]:
    """Return the strengths of the L1 and of the L2 penalty."""
    ratio = {"l1": 1.0, "elasticnet": model.l1_ratio}.get(model.penalty, 0.0)
    alpha = 0.0 if model.penalty is None else float(model.alpha)
    return alpha * ratio, alpha - alpha * ratio


def tolerance(model: Any) -> float:
    """Return the tolerance as a number; one below 0 is never reached."""
    if model.tol == "auto":
        return 1e-10 if model.solver_ == "lbfgs" else 1e-4
    return -1.0 if model.tol is None else float(model.tol)


def random_generator(seed: Any) -> Any:
    """Return a generator of random numbers: the one given, or one from a seed."""
    if hasattr(seed, "shuffle"):
        return seed
    if seed is not None and not isinstance(seed, int | np.integer):
        text = "random_state: got {got}, wanted an int, a NumPy generator or None"
        raise ValueError(_(text, got=repr(seed)))
    return np.random.default_rng(seed)


def start(model: Any, classes: Any, dtype: Any) -> None:
    """Set all that is fitted to where a fit begins: weights of 0 for these classes."""
    if len(classes) < 2:
        text = "y: got the one class {classes}, wanted two or more"
        raise ValueError(_(text, classes=classes.tolist()))
    if model.loss == "logistic" and len(classes) > 2:
        raise ValueError(_('loss="logistic" is for two classes, got {n}', n=len(classes)))
    columns = 1 if len(classes) == 2 else len(classes)
    model.classes_ = classes
    model.coef_ = np.zeros((columns, model.n_features_in_), dtype)
    model.intercept_ = np.zeros(columns, dtype)
    model.n_iter_, model.t_, model.loss_curve_ = 0, 0, []
    model.solver_ = model.solver
    if model.solver == "auto":
        model.solver_ = "adam" if strengths(model)[0] else "lbfgs"
    vars(model).pop("_optimizer", None)


def encoder_of(model: Any, y: Any, weight: Any, dtype: Any) -> Encoder:
    """Return what encodes labels and weights, the classes weighted by those of y."""
    each = None
    if model.class_weight is not None:
        each = compute_class_weight(
            model.class_weight, classes=model.classes_, y=y, sample_weight=weight
        )
    return Encoder(model.loss, model.classes_, dtype, each)


def params_of(model: Any) -> Params:
    """Return copies of the fitted parameters, in the form that the objective takes."""
    params = [model.coef_.T.copy(), model.intercept_.copy()]
    return params if model.fit_intercept else params[:1]


def validated(model: Any, X: Any, y: Any, weight: Any, reset: bool) -> tuple[Any, Any, Any]:
    """Return rows in memory, labels and weights (or None), if they are such."""
    X, y = validate_data(model, X, y, reset=reset, dtype=FLOATS)
    check_classification_targets(y)
    if weight is not None:
        weight = _check_sample_weight(weight, X, dtype=X.dtype, ensure_non_negative=True)
    return X, y, weight


def rows_to_add(model: Any, X: Any, y: Any, classes: Any, weight: Any) -> Rows:
    """Return the rows of a `partial_fit`, whose first call starts the fit."""
    first = not hasattr(model, "coef_")
    X, y, weight = validated(model, X, y, weight, reset=first)
    if model.class_weight == "balanced":
        text = (
            'class_weight="balanced" wants all rows at once: for partial_fit, pass the dict that '
            "sklearn.utils.class_weight.compute_class_weight gives"
        )
        raise ValueError(_(text))
    if first and classes is None:
        raise ValueError(_("classes: got None, wanted all labels in the first partial_fit"))
    if first:
        start(model, np.unique(classes), X.dtype)
    elif classes is not None and not np.array_equal(np.unique(classes), model.classes_):
        text = "classes: got {got}, wanted {wanted}, as before"
        raise ValueError(_(text, got=repr(classes), wanted=model.classes_))
    return encoder_of(model, y, weight, model.coef_.dtype).rows(X, y, weight)


def rows_to_fit(model: Any, X: Any, y: Any, weight: Any, rng: Any) -> tuple[Any, Any]:
    """Start a fit; return the rows to fit and, to stop early by, rows set aside (or None)."""
    rows = (_rows_in_chunks if is_dask(X) else _rows_in_memory)(model, X, y, weight, rng)
    for part in rows:
        if part is not None and not part.total > 0:
            text = "got {n} rows to fit, whose weights sum to {total}"
            raise ValueError(_(text, n=part.count, total=part.total))
    return rows


def _rows_in_memory(model: Any, X: Any, y: Any, weight: Any, rng: Any) -> tuple[Any, Any]:
    X, y, weight = validated(model, X, y, weight, reset=True)
    start(model, np.unique(y), X.dtype)
    rows = encoder_of(model, y, weight, X.dtype).rows(X, y, weight)
    if not model.early_stopping:
        return rows, None
    order, size = np.arange(rows.count), model.validation_fraction
    seed = int.from_bytes(rng.bytes(4))
    train, valid = train_test_split(order, test_size=size, stratify=y, random_state=seed)
    return rows.some(train), rows.some(valid)


def _rows_in_chunks(model: Any, X: Any, y: Any, weight: Any, rng: Any) -> tuple[Any, Any]:
    """As in memory; the classes are learnt in a first pass."""
    dtype = sample_of(model, X, reset=True).dtype
    chunks = Chunks(X, y, weight)
    by_chunk = chunks.each(_labels_in, for_chunks(model))
    labels, sums = (np.concatenate(parts) for parts in zip(*by_chunk))
    classes = np.unique(labels)
    check_classification_targets(np.tile(classes, 3))  # once each looks like a regression
    start(model, classes, dtype)
    encoder = encoder_of(model, labels, sums, dtype)
    if not model.early_stopping:
        return ChunkedRows(chunks, encoder), None
    aside = int.from_bytes(rng.bytes(8)), model.validation_fraction
    parts = [ChunkedRows(chunks, replace(encoder, aside=(*aside, part))) for part in (False, True)]
    return parts[0], parts[1]


def _labels_in(block: Block, model: Any) -> tuple[Any, Any]:
    """Return the labels of a chunk and the sum of each one's weights; refuse what is no data."""
    y = validate_data(copy(model), block.X, block.y, dtype=FLOATS)[1]
    if block.weight is not None:
        check_non_negative(np.asarray(block.weight), "sample_weight")
    labels, index = np.unique(y, return_inverse=True)
    return labels, np.bincount(index, block.weight)


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
