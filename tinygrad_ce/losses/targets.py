"""What a loss is to aim at: class indices or probabilities, checked, each with its weight."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ..engine.data import example
from ..engine.value import Value


def plain(x: Any, what: str) -> Any:
    """An argument that no gradient flows to, as an array."""
    if isinstance(x, Value):
        raise TypeError(f"{what} is a Value, but no gradient flows to it: pass its data")
    try:
        data = x if hasattr(x, "__array_function__") else np.asarray(x)
    except ValueError as error:  # rows of different lengths
        raise ValueError(f"{what}: {error}") from error
    if data.dtype.kind not in "fiub":
        raise TypeError(f"{what}: got {data.dtype} data, wanted real numbers")
    return data


def dtype_for(x: Any) -> Any:
    """The dtype for what multiplies x: its own, or float where the complex step goes through."""
    return x.dtype if x.dtype.kind == "f" else np.dtype(float)


def factor(x: Any, what: str, like: Any) -> Any:
    """A weight for each entry of ``like``."""
    x = plain(x, what)
    pairs = zip(x.shape[::-1], like.shape[::-1])
    if x.ndim > like.ndim or any(n not in (1, wanted) for n, wanted in pairs):
        raise ValueError(f"{what}: got shape {x.shape}, wanted one that broadcasts to {like.shape}")
    if not (example(x) >= 0).all():
        raise ValueError(f"{what}: got {x}, wanted numbers from 0 up")
    return x.astype(dtype_for(like))


class Target(NamedTuple):
    """What every option makes of the loss: Σ_c T_c (log Σ exp z − z_c) for each sample.

    T has the shape of the logits: ``peak`` at the class ``index``, plus ``spread``. The mean's 1/n
    is in it. ``index`` and ``peak`` have length 1 along the class axis.
    """

    index: Any = None
    peak: Any = 0.0  # a float, or an array
    spread: Any = None

    def dense(self, classes: int, axis: int) -> Any:
        """T, of as many classes."""
        table = 0.0 if self.spread is None else self.spread
        if self.index is None:
            return table
        labels = np.arange(classes).reshape(-1, *[1] * (self.index.ndim - 1 - axis))
        return table + np.where(self.index == labels, self.peak, 0.0)

    def flat(self, classes: int, axis: int = -1) -> tuple[Any, Any, Any]:
        """Index, peak and spread with one row a sample, as the kernel takes them."""
        return (
            None if self.index is None else self.index.reshape(-1),
            self.peak if self.peak.__class__ is float else self.peak.reshape(-1),
            None
            if self.spread is None
            else np.moveaxis(self.spread, axis, -1).reshape(-1, classes),
        )


def read_target(
    shape: tuple[int, ...],
    dtype: Any,
    target: Any,
    *,
    axis: int = -1,
    weight: Any = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
    allow_unnormalized: bool = False,
    count: float | None = None,
) -> Target:
    """Check a target and its options, and make them one table of coefficients.

    ``count`` is what a mean divides by, where these rows are a part of it.
    """
    target = plain(target, "target")
    dtype = dtype if dtype.kind == "f" else np.dtype(float)  # the complex step goes through
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"reduction: got {reduction!r}, wanted 'mean', 'sum' or 'none'")
    if not isinstance(axis, int | np.integer):
        raise TypeError(f"axis: got {axis!r}, wanted an integer")
    if not shape or not -len(shape) <= axis < len(shape):
        raise ValueError(f"axis={axis}: the logits have shape {shape}")
    if 0 in shape:
        raise ValueError(f"logits of shape {shape} hold no samples or no classes")
    if not isinstance(label_smoothing, float | int | np.floating):
        raise TypeError(f"label_smoothing: got {label_smoothing!r}, wanted a number")
    if not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(f"label_smoothing: got {label_smoothing}, wanted 0 to 1")
    if ignore_index is not None and not isinstance(ignore_index, int | np.integer):
        raise TypeError(f"ignore_index: got {ignore_index!r}, wanted an integer")
    axis %= len(shape)
    classes, rows = shape[axis], shape[:axis] + shape[axis + 1 :]
    along = (-1, *[1] * (len(shape) - 1 - axis))  # a vector over the classes, against the logits
    if weight is not None:
        weight = plain(weight, "weight")
        if weight.shape != (classes,):
            raise ValueError(f"weight: got shape {weight.shape}, wanted ({classes},): one a class")
        if not (example(weight) >= 0).all():
            raise ValueError(f"weight: got {weight}, wanted numbers from 0 up")
        weight = weight.astype(dtype).reshape(along)
    if target.shape == rows and target.dtype.kind in "iu":
        if hasattr(target, "within"):  # that of a program, which checks each call's
            target = target.within(0, classes, ignore_index)
        index = target.reshape((*shape[:axis], 1, *shape[axis + 1 :]))
        kept = None if ignore_index is None else index != ignore_index
        _check_range(example(index), example(kept), classes, axis, ignore_index)
        index = (index if kept is None else np.where(kept, index, 0)).astype(np.intp, copy=False)
        share: Any = 1.0 if weight is None else _picked(weight, index)
        share = share if kept is None else np.where(kept, share, 0.0)
        if count is None:
            count = index.size if share.__class__ is float else np.sum(share)
        spread = 1.0 if kept is None else kept
    elif target.shape == shape:
        if ignore_index is not None:
            raise ValueError("ignore_index goes with class indices, not with probabilities")
        _check_distribution(example(target), axis, allow_unnormalized)
        index, share, spread, samples = None, 0.0, 1.0, target.size // classes
        count = samples if count is None else count
        sure = target.__class__ is np.ndarray  # others may hold other data later, or be lazy
        if sure and (np.max(target, axis=axis) == 1).all() and np.count_nonzero(target) == samples:
            index = np.expand_dims(np.argmax(target, axis=axis), axis)  # one-hot: exact as an index
            share = 1.0 if weight is None else weight.reshape(-1)[index]
    elif target.shape == rows:
        raise TypeError(f"target: class indices are integers, got {target.dtype}")
    else:
        raise ValueError(
            f"target: got shape {target.shape}; for logits of shape {shape}, wanted {rows} "
            f"(class indices) or {shape} (probabilities)"
        )
    one = 1.0 if weight is None else weight
    scale = 1.0 if reduction != "mean" else 1.0 / count if example(count) else math.nan
    peak = share * ((1.0 - label_smoothing) * scale)
    table = None if index is not None else target * ((1.0 - label_smoothing) * scale)
    if label_smoothing:
        table = (0.0 if table is None else table) + spread * (label_smoothing * scale / classes)
    if table is not None:
        table = table * one
        table = table if hasattr(table, "astype") else np.asarray(table)
        table = np.broadcast_to(table.astype(dtype), shape)
    return Target(index, peak if peak.__class__ is float else peak.astype(dtype), table)


def _picked(weight: Any, index: Any) -> Any:
    """``weight.reshape(-1)[index]``, also for an index that only speaks NumPy's protocols."""
    flat = np.take_along_axis(weight.reshape(-1), index.reshape(-1), 0)
    return flat.reshape(index.shape)


def _check_range(index: Any, kept: Any, classes: int, axis: int, ignore_index: int | None) -> None:
    wrapped = index.astype(np.uint64)  # a negative one to a huge one
    if kept is None and wrapped.item(wrapped.argmax()) < classes:  # a third of max()'s time
        return
    out = wrapped >= classes if kept is None else (wrapped >= classes) & kept
    if out.any():
        where = tuple(int(i) for i in np.argwhere(out)[0])
        raise ValueError(
            f"target: got class {index[where]} at {where[:axis] + where[axis + 1 :]}, wanted 0 to "
            f"{classes - 1}" + ("" if ignore_index is None else f" or ignore_index={ignore_index}")
        )


def _check_distribution(target: Any, axis: int, allow_unnormalized: bool) -> None:
    if not (target >= 0).all():
        where = tuple(int(i) for i in np.argwhere(~(target >= 0))[0])
        raise ValueError(f"target: got probability {target[where]} at {where}, wanted 0 or more")
    if not allow_unnormalized:
        sums: Any = np.sum(target, axis=axis, dtype=np.float64)
        off = np.greater(abs(sums - 1.0), 1e-6 if target.dtype.itemsize >= 8 else 1e-3)
        if off.any():
            where = tuple(int(i) for i in np.argwhere(off)[0]) if np.ndim(off) else ()
            raise ValueError(
                f"target: the probabilities at {where} sum to {np.asarray(sums)[where]:.6g}, "
                "wanted 1 (or allow_unnormalized=True)"
            )
