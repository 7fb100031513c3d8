"""What a loss is to aim at: class indices or probabilities, checked, each with its weight."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..engine.data import example
from ..engine.text import _
from ..engine.value import Value


def plain(x: Any, what: str) -> Any:
    """An argument that no gradient flows to, as an array."""
    if isinstance(x, Value):
        wrong = "{what} is a Value, but no gradient flows to it: pass its data"
        raise TypeError(_(wrong, what=what))
    try:
        data = x if hasattr(x, "__array_function__") else np.asarray(x)
    except ValueError as error:  # rows of different lengths
        raise ValueError(f"{what}: {error}") from error
    if data.dtype.kind not in "fiub":
        wrong = "{what}: got {dtype} data, wanted real numbers"
        raise TypeError(_(wrong, what=what, dtype=data.dtype))
    return data


def check_reduction(reduction: str) -> None:
    """Refuse a reduction that no loss has."""
    if reduction not in ("mean", "sum", "none"):
        wrong = "reduction: got {got!r}, wanted 'mean', 'sum' or 'none'"
        raise ValueError(_(wrong, got=reduction))


def factor(x: Any, what: str, dtype: Any, shape: tuple[int, ...], by_class: bool = False) -> Any:
    """Weights from 0 up: an array that broadcasts to the shape, or one number a class."""
    x = plain(x, what)
    if by_class and x.shape != shape:
        wrong = "{what}: got shape {got}, wanted {wanted}: one a class"
        raise ValueError(_(wrong, what=what, got=x.shape, wanted=f"({shape[0]},)"))
    pairs = zip(x.shape[::-1], shape[::-1])
    if x.ndim > len(shape) or any(n not in (1, wanted) for n, wanted in pairs):
        wrong = "{what}: got shape {got}, wanted one that broadcasts to {wanted}"
        raise ValueError(_(wrong, what=what, got=x.shape, wanted=shape))
    if not (example(x) >= 0).all():
        raise ValueError(_("{what}: got {got}, wanted numbers from 0 up", what=what, got=x))
    return x.astype(dtype)


class Target(NamedTuple):
    """What every option makes of the loss: Σ_c T_c (log Σ exp z − z_c) for each sample.

    T is ``peak`` at the class ``index``, plus the `spread` over all classes. The mean's 1/n is in
    it. ``index``, ``peak`` and ``even`` have length 1 along the class axis, or are one number.
    """

    index: Any = None
    peak: Any = 0.0
    even: Any = None  # what every class gets
    table: Any = None  # probabilities, and the factor they count with
    sharp: float = 1.0
    weight: Any = None  # the factor of every class, which broadcasts against the logits

    @property
    def spread(self) -> Any:
        """What T has besides its peak: None, or what broadcasts against the logits."""
        if self.table is None and self.even is None:
            return None
        spread = 0.0 if self.table is None else self.table * self.sharp
        spread = spread if self.even is None else spread + self.even
        return spread if self.weight is None else spread * self.weight

    def dense(self, classes: int, axis: int) -> Any:
        """T itself, of as many classes."""
        spread = self.spread
        if self.index is None:
            return spread
        labels = np.arange(classes).reshape(-1, *[1] * (self.index.ndim - 1 - axis))
        peak = np.where(self.index == labels, self.peak, 0.0)
        return peak if spread is None else spread + peak

    def each(self, f: Callable[[Any], Any]) -> Target:
        """The same with f of every array that differs from sample to sample."""
        varying = [f(x) if getattr(x, "ndim", 0) else x for x in self[:4]]
        return Target._make((*varying, self.sharp, self.weight))

    def flat(self, axis: int) -> Target:
        """The same for `rows_of` the logits."""
        flat = self.each(lambda x: rows_of(x, axis))
        return flat if flat.weight is None else flat._replace(weight=flat.weight.reshape(-1))

    def rows(self, some: slice) -> Target:
        """Of a flat target, that of some samples."""
        return self.each(lambda x: x[some])


def rows_of(x: Any, axis: int) -> Any:
    """A matrix with one row a sample: the class axis comes last, in the place of another."""
    return x.swapaxes(axis, -1).reshape(-1, x.shape[axis])


def read_target(
    shape: tuple[int, ...],
    dtype: Any,
    target: Any,
    axis: int = -1,
    weight: Any = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
    allow_unnormalized: bool = False,
) -> Target:
    """Check a target and its options, and make them one table of coefficients."""
    target = plain(target, "target")
    check_reduction(reduction)
    _check_options(shape, axis, ignore_index, label_smoothing)
    axis %= len(shape)
    classes, table = shape[axis], None
    if weight is not None:
        weight = factor(weight, "weight", dtype, (classes,), by_class=True)
    if target.shape == shape[:axis] + shape[axis + 1 :] and target.dtype.kind in "iu":
        index, kept = _read_classes(target, shape, axis, ignore_index)
        peak = _picked(weight, index, kept)
        total = index.size if peak.__class__ is float else np.sum(peak)
    else:
        kept, total = 1.0, target.size // classes
        index = _read_probabilities(target, shape, axis, ignore_index, allow_unnormalized)
        peak = 0.0 if index is None else _picked(weight, index, kept)
        table = target.astype(dtype, copy=False) if index is None else None
    scale = 1.0 if reduction != "mean" else 1.0 / total if example(total) else math.nan
    sharp = (1.0 - label_smoothing) * scale
    even = _times(kept, label_smoothing * scale / classes, dtype) if label_smoothing else None
    if weight is not None:
        weight = weight.reshape((-1, *[1] * (len(shape) - 1 - axis)))
    return Target(index, _times(peak, sharp, dtype), even, table, sharp, weight)


def _times(x: Any, number: Any, dtype: Any) -> Any:
    """A float, or an array of the dtype."""
    product = x * number
    return product if product.__class__ is float else product.astype(dtype)


def _check_options(shape: Any, axis: Any, ignore_index: Any, label_smoothing: Any) -> None:
    if not isinstance(axis, int | np.integer):
        raise TypeError(_("axis: got {got!r}, wanted an integer", got=axis))
    if not shape or not -len(shape) <= axis < len(shape):
        raise ValueError(_("axis={axis}: the logits have shape {shape}", axis=axis, shape=shape))
    if 0 in shape:
        raise ValueError(_("logits of shape {shape} hold no samples or no classes", shape=shape))
    if not isinstance(label_smoothing, float | int | np.floating):
        raise TypeError(_("label_smoothing: got {got!r}, wanted a number", got=label_smoothing))
    if not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(_("label_smoothing: got {got}, wanted 0 to 1", got=label_smoothing))
    if ignore_index is not None and not isinstance(ignore_index, int | np.integer):
        raise TypeError(_("ignore_index: got {got!r}, wanted an integer", got=ignore_index))


def _read_classes(target: Any, shape: Any, axis: int, ignore_index: int | None) -> tuple[Any, Any]:
    """Class indices, with an axis of length 1 for the classes; 1 where they count, 0 where not."""
    if hasattr(target, "within"):  # that of a program, which checks each call's
        target = target.within(0, shape[axis], ignore_index)
    index = target.reshape((*shape[:axis], 1, *shape[axis + 1 :]))
    kept = None if ignore_index is None else index != ignore_index
    _check_range(example(index), example(kept), shape[axis], axis, ignore_index)
    if kept is not None:
        index = np.where(kept, index, 0)
    return index.astype(np.intp, copy=False), 1.0 if kept is None else kept


def _picked(weight: Any, index: Any, kept: Any) -> Any:
    """The weight of each index's class, 0 where it is ignored; one number where all are alike."""
    if weight is None:
        return kept
    share = np.take_along_axis(weight, index.reshape(-1), 0)  # protocols know no weight[index]
    return np.where(kept, share.reshape(index.shape), 0.0)


def _check_range(index: Any, kept: Any, classes: int, axis: int, ignore_index: int | None) -> None:
    wrapped = index.astype(np.uint64)  # a negative one to a huge one
    if kept is None and wrapped.item(wrapped.argmax()) < classes:  # a third of max()'s time
        return
    out = wrapped >= classes if kept is None else (wrapped >= classes) & kept
    if out.any():
        place = tuple(int(i) for i in np.argwhere(out)[0])
        where = place[:axis] + place[axis + 1 :]
        wrong = "target: got class {got} at {where}, wanted 0 to {last}"
        wrong += "" if ignore_index is None else " or ignore_index={ignored}"
        last, ignored = classes - 1, ignore_index
        raise ValueError(_(wrong, got=index[place], where=where, last=last, ignored=ignored))


def _read_probabilities(
    target: Any, shape: Any, axis: int, ignore_index: int | None, allow_unnormalized: bool
) -> Any:
    """The classes of a one-hot target, which is exact as indices; of any other, None."""
    rows = shape[:axis] + shape[axis + 1 :]
    if target.shape == rows:
        wrong = "target: class indices are integers, got {dtype}"
        raise TypeError(_(wrong, dtype=target.dtype))
    if target.shape != shape:
        wrong = (
            "target: got shape {got}; for logits of shape {shape}, wanted {rows} (class indices) "
            "or {shape} (probabilities)"
        )
        raise ValueError(_(wrong, got=target.shape, shape=shape, rows=rows))
    if ignore_index is not None:
        raise ValueError(_("ignore_index goes with class indices, not with probabilities"))
    _check_distribution(example(target), axis, allow_unnormalized)
    if target.__class__ is not np.ndarray:  # others may hold other data later, or be lazy
        return None
    sure = (np.max(target, axis=axis) == 1).all()
    if sure and np.count_nonzero(target) == target.size // shape[axis]:
        return np.expand_dims(np.argmax(target, axis=axis), axis)
    return None


def _check_distribution(target: Any, axis: int, allow_unnormalized: bool) -> None:
    if not (target >= 0).all():
        where = tuple(int(i) for i in np.argwhere(~(target >= 0))[0])
        wrong = "target: got probability {got} at {where}, wanted 0 or more"
        raise ValueError(_(wrong, got=target[where], where=where))
    if allow_unnormalized:
        return
    sums: Any = np.asarray(np.sum(target, axis=axis, dtype=np.float64))
    off = np.asarray(abs(sums - 1.0) > (1e-6 if target.dtype.itemsize >= 8 else 1e-3))
    if off.any():
        where = tuple(int(i) for i in np.argwhere(off)[0])
        wrong = (
            "target: the probabilities at {where} sum to {got:.6g}, wanted 1 "
            "(or allow_unnormalized=True)"
        )
        raise ValueError(_(wrong, where=where, got=sums[where]))
