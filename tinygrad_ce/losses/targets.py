"""What a loss is to aim at: class indices or probabilities, checked, each with its weight."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..engine.data import WHOLE, example, real
from ..engine.text import _
from ..engine.value import Value, detach


def soft(target: Any) -> Any:
    """A target of probabilities or numbers, to which a gradient flows, as it is; others `plain`."""
    return target if target.__class__ is Value else plain(target, "target")


def plain(x: Any, what: str) -> Any:
    """An argument that no gradient flows to, as an array."""
    if isinstance(x, Value):
        wrong = "{what} is a Value, but no gradient flows to it: pass its data"
        raise TypeError(_(wrong, what=what))
    if x.__class__ is not np.ndarray and np.isscalar(x):
        x = np.asarray(x)  # an integer stays one
    try:
        return real(x, what)
    except TypeError as error:
        if what != "target" or not np.ndim(x) or np.asarray(x).dtype.kind not in "OSU":
            raise
        way = "; labels that are text become indices by np.unique(labels, return_inverse=True)[1]"
        raise TypeError(str(error).partition(";")[0] + _(way)) from None


def check_reduction(reduction: str) -> None:
    """Refuse a reduction that no loss has."""
    if reduction not in ("mean", "sum", "none"):
        wrong = "reduction: got {got!r}, wanted 'mean', 'sum' or 'none'"
        raise ValueError(_(wrong, got=reduction))


def refuse(wrong: Any, x: Any, text: str, **fields: Any) -> None:
    """Raise an error that names the first wrong entry of x, and where it is, if there is one."""
    if np.any(wrong):
        where = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise ValueError(_(text, got=x[where], where=where, **fields))


def factor(x: Any, what: str, dtype: Any, shape: tuple[int, ...], stretched: bool = True) -> Any:
    """Weights from 0 up, of the shape, or that broadcast to it."""
    x = plain(x, what)
    pairs = zip(x.shape[::-1], shape[::-1])
    fits = x.ndim <= len(shape) and all(n in (1, wanted) for n, wanted in pairs)
    if x.shape != shape and not (stretched and fits):
        wrong = "{what}: got shape {got}, wanted {wanted}"
        wrong += ", or one that broadcasts to it" if stretched else ", one a class"
        raise ValueError(_(wrong, what=what, got=x.shape, wanted=shape))
    wrong = "{what}: got {got} at {where}, wanted numbers from 0 up"
    refuse(~(example(x) >= 0), example(x), wrong, what=what)
    return x.astype(dtype)


class Target(NamedTuple):
    """What every option makes of the loss: Σ_c T_c (log Σ exp z − z_c) for each sample.

    T = row · weight · (sharp · t + even), where t is 1 at the class ``index`` and 0 elsewhere, or a
    ``table`` of probabilities. In these arrays the class axis is the last, of length 1 or C.
    """

    index: Any  # None if there is a table
    table: Any
    row: Any  # one number, or one a sample: 0 where it is ignored; the mean's 1/n is in it
    weight: Any  # one a class, or None
    sharp: float
    even: float
    reduction: str
    start: Any = None  # a mean over nothing is nan, its gradient 0: this is added to the loss

    @property
    def one_hot(self) -> bool:
        """Whether each sample aims at one class."""
        return self.table is None and not self.even

    @property
    def peak(self) -> Any:
        """``row · weight`` at the class ``index``."""
        if self.weight is None:
            return self.row
        share = np.take_along_axis(self.weight, self.index.reshape(-1), 0)
        return self.row * share.reshape(self.index.shape)  # protocols know no weight[index]

    def dense(self, classes: int) -> Any:
        """T itself, of as many classes."""
        sharp, even = self.sharp * self.row, self.even * self.row
        if self.table is None:
            t = np.where(self.index == np.arange(classes), sharp + even, even)
        else:
            t = self.table * sharp + even if self.even else self.table * sharp
        return t if self.weight is None else t * self.weight

    def each(self, f: Callable[[Any], Any]) -> Target:
        """The same with f of every array that differs from sample to sample."""
        varying = [f(x) if getattr(x, "ndim", 0) else x for x in self[:3]]
        return Target._make((*varying, *self[3:]))


def read_target(
    logits: Any,
    target: Any,
    weight: Any = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
    allow_unnormalized: bool = False,
) -> Target:
    """Check a target and its options, and make them one `Target`; logits are of use as a shape."""
    shape, dtype = logits.shape, logits.dtype
    _check_options(shape, ignore_index, label_smoothing, reduction)
    rows, classes = shape[:-1], shape[-1]
    if weight is not None:
        weight = factor(weight, "weight", dtype, (classes,), stretched=False)
    index = table = start = None
    row: Any = 1.0
    if by_class := target.shape == rows and target.dtype.kind in "iu":
        index, row = _read_classes(target, shape, ignore_index)
    else:
        index, table = _read_probabilities(target, shape, ignore_index, allow_unnormalized)
        if table is not None and table.__class__ is not Value:
            table = table.astype(dtype, copy=False)
    if reduction == "mean" and row.__class__ is float and not (by_class and weight is not None):
        row /= math.prod(rows)
    elif reduction == "mean":
        row, start = _of_mean(Target(index, table, row, weight, 1.0, 0.0, reduction), dtype)
    if row.__class__ is not float:
        row = row.astype(dtype)
    elif dtype.type is not np.float64:  # Python's are printed best
        row = dtype.type(row)
    even = float(label_smoothing)
    return Target(index, table, row, weight, 1.0 - even, even / classes, reduction, start)


def _of_mean(t: Target, dtype: Any) -> tuple[Any, Any]:
    """Rows' factors in a mean over weights; what it starts from: nan if none counts, as PyTorch's.

    Its gradient is 0 if all are ignored, nan if they weigh nothing.
    """
    total: Any = np.sum(t.peak)
    kept: Any = 1 if t.row.__class__ is float else np.sum(t.row)
    start: Any = None
    if not hasattr(total, "apply_primitive"):
        start, total = (None, total or math.nan) if kept else (math.nan, 1.0)
    elif kept.__class__ is not int:
        none = kept == 0.0  # of a program, for other data too
        start, total = np.where(none, math.nan, 0.0).astype(dtype), np.where(none, 1.0, total)
    # Of no weight at all the total is nan; what is ignored is 0 all the same.
    plainly = t.weight is None or t.row.__class__ is float
    return t.row / total if plainly else np.where(t.row, 1.0 / total, 0.0), start


def _check_options(shape: Any, ignore_index: Any, label_smoothing: Any, reduction: str) -> None:
    check_reduction(reduction)
    if not shape:
        raise ValueError(_("logits of shape () have no axis of classes"))
    if 0 in shape:
        raise ValueError(_("logits of shape {shape} hold no samples or no classes", shape=shape))
    if not isinstance(label_smoothing, (float, int, np.floating)):
        raise TypeError(_("label_smoothing: got {got!r}, wanted a number", got=label_smoothing))
    if not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(_("label_smoothing: got {got}, wanted 0 to 1", got=label_smoothing))
    if ignore_index is not None and not isinstance(ignore_index, WHOLE):
        raise TypeError(_("ignore_index: got {got!r}, wanted an integer", got=ignore_index))


def _read_classes(target: Any, shape: Any, ignore_index: int | None) -> tuple[Any, Any]:
    """Class indices, with an axis of length 1 for the classes; 1 where they count, 0 where not."""
    if hasattr(target, "within"):  # that of a program, which checks each call's
        target = target.within(0, shape[-1], ignore_index)
    index = example(target)
    wrapped = index.astype(np.uint64)  # a negative one becomes a huge one
    if wrapped.item(wrapped.argmax()) >= shape[-1]:
        wrong = "target: got class {got} at {where}, wanted 0 to {last}"
        wrong += "" if ignore_index is None else " or ignore_index={ignored}"
        out, last = (wrapped >= shape[-1]) & (index != ignore_index), shape[-1] - 1
        refuse(out, index, wrong, last=last, ignored=ignore_index)
    index = target.reshape((*shape[:-1], 1))
    if ignore_index is None:
        return index.astype(np.intp, copy=False), 1.0
    kept = index != ignore_index
    return np.where(kept, index, 0).astype(np.intp, copy=False), kept


def _read_probabilities(
    target: Any, shape: Any, ignore_index: int | None, allow_unnormalized: bool
) -> tuple[Any, Any]:
    """The classes of a one-hot target, which is exact as indices; of any other, itself."""
    rows = shape[:-1]
    if target.shape == rows:
        wrong = (
            "target: class indices are integers, got {dtype}: y.astype(int), or y.data.astype(int)"
        )
        raise TypeError(_(wrong, dtype=target.dtype))
    if target.shape != shape:
        wrong = (
            "target: got shape {got}; for logits of shape {shape}, wanted {rows} (class indices) "
            "or {shape} (probabilities)"
        )
        raise ValueError(_(wrong, got=target.shape, shape=shape, rows=rows))
    if ignore_index is not None:
        raise ValueError(_("ignore_index goes with class indices, not with probabilities"))
    p = example(detach(target))
    refuse(~(p >= 0), p, "target: got probability {got} at {where}, wanted 0 or more")
    if not allow_unnormalized:
        # Each may be rounded to three digits, or to the 8 bits of a bfloat16.
        most = max(2.0**-9, min(shape[-1] * 5e-4, 5e-3))
        wrong = "target: the probabilities at {where} sum to {got:.9g}, wanted 1 within {most:.2g}"
        wrong += " (or allow_unnormalized=True)"
        sums: Any = np.sum(p, axis=-1, dtype=np.float64)
        refuse(abs(sums - 1.0) > most, sums, wrong, most=most)
    plainly = target.__class__ is np.ndarray  # others may hold other data later, or be lazy
    if plainly and np.count_nonzero(target) == math.prod(rows) == np.count_nonzero(target == 1):
        return np.argmax(target, axis=-1, keepdims=True), None
    return None, target
