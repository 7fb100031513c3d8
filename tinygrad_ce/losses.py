r"""Cross-entropy and its relatives, and `LogSoftmaxNLL`, the fused node.

With logits z, p = softmax(z) and target t, the loss is −Σ t log p and its gradient p − t.
``cross_entropy(..., fused=False)`` composes it of primitives, so that the chain rule finds that;
``fused=True`` records one node whose kernel computes both without cancellation: with o the sum of
exp(z_j) over the other classes, the loss is log1p(o / exp(z_t)), and p_t − 1 is −o / Σ exp(z); the
maximum is subtracted only in rows where exp would leave its range. Why such forms are accurate:
Blanchard, Higham & Higham, "Accurately computing the log-sum-exp and softmax functions",
IMA J. Numer. Anal. 41 (2021).

Where a target, ``weight`` or option changes a loss, its meaning is PyTorch's.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from .arguments import as_data, ones
from .primitive import REAL, primitive
from .softmax import as_input, log_softmax
from .threads import in_threads, rows_at_once
from .value import Value, detach, make_node

BUFFER = 256  # numbers: rows that fill NumPy's buffer broadcast two to three times as fast
SHORT = 512  # bytes: a number for each row is sooner multiplied with shorter rows if repeated
LOG2_E = 1.4426950408889634


def _plain(x: Any, what: str) -> Any:
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


def _dtype(x: Any) -> Any:
    """The dtype for what multiplies x: its own, or float where the complex step goes through."""
    return x.dtype if x.dtype.kind == "f" else np.dtype(float)


def _factor(x: Any, what: str, like: Any) -> Any:
    """A weight for each entry of ``like``."""
    x = _plain(x, what)
    pairs = zip(x.shape[::-1], like.shape[::-1])
    if x.ndim > like.ndim or any(n not in (1, wanted) for n, wanted in pairs):
        raise ValueError(f"{what}: got shape {x.shape}, wanted one that broadcasts to {like.shape}")
    if not (x >= 0).all():
        raise ValueError(f"{what}: got {x}, wanted numbers from 0 up")
    return x.astype(_dtype(like))


class _Target(NamedTuple):
    """What every option makes of the loss: Σ_c T_c (log Σ exp z − z_c) for each sample.

    T has the shape of the logits: ``peak`` at the class ``index``, plus ``spread``. The mean's 1/n
    is in it. ``index`` and ``peak`` have length 1 along the class axis.
    """

    index: Any = None
    peak: Any = 0.0  # a float, or an array
    spread: Any = None

    def dense(self, classes: int, axis: int) -> Any:
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


def _read_target(
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
) -> _Target:
    """Check a target and its options, and make them one table of coefficients.

    ``count`` is what a mean divides by, where these rows are a part of it.
    """
    target = _plain(target, "target")
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
        weight = _plain(weight, "weight")
        if weight.shape != (classes,):
            raise ValueError(f"weight: got shape {weight.shape}, wanted ({classes},): one a class")
        if not (weight >= 0).all():
            raise ValueError(f"weight: got {weight}, wanted numbers from 0 up")
        weight = weight.astype(dtype).reshape(along)
    if target.shape == rows and target.dtype.kind in "iu":
        if hasattr(target, "within"):  # that of a program, which checks each call's
            target = target.within(0, classes, ignore_index)
        index = target.reshape((*shape[:axis], 1, *shape[axis + 1 :]))
        kept = None if ignore_index is None else index != ignore_index
        _check_range(index, kept, classes, axis, ignore_index)
        index = (index if kept is None else np.where(kept, index, 0)).astype(np.intp, copy=False)
        share: Any = 1.0 if weight is None else _picked(weight, index)
        share = share if kept is None else np.where(kept, share, 0.0)
        if count is None:
            count = index.size if share.__class__ is float else np.sum(share)
        spread = 1.0 if kept is None else kept
    elif target.shape == shape:
        if ignore_index is not None:
            raise ValueError("ignore_index goes with class indices, not with probabilities")
        _check_distribution(target, axis, allow_unnormalized)
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
    scale = 1.0 if reduction != "mean" else 1.0 / count if count else math.nan
    peak = share * ((1.0 - label_smoothing) * scale)
    table = None if index is not None else target * ((1.0 - label_smoothing) * scale)
    if label_smoothing:
        table = (0.0 if table is None else table) + spread * (label_smoothing * scale / classes)
    if table is not None:
        table = table * one
        table = table if hasattr(table, "astype") else np.asarray(table)
        table = np.broadcast_to(table.astype(dtype), shape)
    return _Target(index, peak if peak.__class__ is float else peak.astype(dtype), table)


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


def _compose(log_p: Any, t: _Target, axis: int, reduction: str) -> Any:
    """Σ_c T_c (−log p_c) in primitives; a class of no weight counts 0 though its log p be -inf."""
    loss: Any = 0.0
    if t.index is not None:
        picked = np.take_along_axis(log_p, t.index, axis)
        loss = -t.peak * (np.where(t.peak == 0, 0.0, picked) if np.ndim(t.peak) else picked)
    if t.spread is not None:
        terms = t.spread * np.where(t.spread == 0, 0.0, log_p)
        loss = loss - np.sum(terms, axis=axis, keepdims=True)
    return np.squeeze(loss, axis=axis) if reduction == "none" else np.sum(loss)


def _dense(z: Any, t: _Target, axis: int, reduction: str) -> Any:
    """The loss of arrays that are not NumPy's own, in functions that all of them have."""
    table = t.dense(z.shape[axis], axis % z.ndim)
    away = z - np.max(z, axis=axis, keepdims=True)
    log_total = np.log(np.sum(np.exp(away), axis=axis, keepdims=True))
    terms = table * np.where(table == 0, 0.0, log_total - away)
    return np.sum(terms, axis=axis) if reduction == "none" else np.sum(terms)


@cache
def _by_exp2() -> bool:
    """Whether NumPy has float32's 2ˣ, not only its exp, in vectors for this machine."""
    try:
        from numpy.lib.introspect import opt_func_info  # not needed to import the package

        chosen = opt_func_info(func_name="^exp2$")["exp2"]["ff"]["current"]
    except (ImportError, LookupError):  # an older NumPy; another way to tell
        return False
    return not chosen.startswith("baseline")


def _exponentials(z: Any, at: Any, e: Any) -> tuple[Any, Any]:
    """Write exp(z) into ``e`` with 0 at one class a row; return that one, and the others' sum.

    float32's may be exp of a z half a unit in its last place away, in two thirds of the time.
    """
    if z.itemsize == 4 and _by_exp2():
        np.multiply(z, LOG2_E, out=e)
        np.exp2(e, out=e)
    else:
        np.exp(z, out=e)
    flat = e.reshape(-1)
    own = flat[at]
    flat[at] = 0.0
    if e.shape[1] > (128 if e.itemsize > 4 else 1024):
        return own, np.add.reduce(e, axis=1)  # pairwise, which long rows need to stay within 3 ulp
    if e.size > 2**16:  # from there BLAS has threads of its own, in the way of ours
        return own, np.einsum("ij->i", e)  # a third of the time of pairwise sums
    return own, e.dot(ones(e.shape[1], e.dtype))  # a quarter


@cache
def _limit(dtype: Any) -> float:
    """What numbers may reach for their quotients neither to overflow nor to underflow."""
    return 2.0 ** (np.finfo(dtype).maxexp // 2 - 1)


def _by_index(z: Any, index: Any, peak: Any, loss: Any, e: Any) -> None:
    """Loss and gradient of a block of rows, each with one target class t. ``e`` is the gradient.

    With o = Σ_{j≠t} exp(z_j), the loss is log1p(o / exp(z_t)) and p_t − 1 is −o / Σ exp(z): nothing
    cancels, whatever is added to z. So nothing is, unless exp leaves the range where the sum and
    its quotients are safe: finding and subtracting the maximum would take a third of the time.
    """
    classes = z.shape[1]
    at = np.arange(0, z.size, classes)
    at += index
    own, others = _exponentials(z, at, e)
    total, ratio = own + others, others / own
    limit, high = _limit(z.dtype), total + ratio
    far: Any = None
    if not (high.item(high.argmax()) <= limit and total.item(total.argmin()) >= 0.5):  # or nan
        safe = (high <= limit) & (total >= 0.5)
        redo = np.flatnonzero(~safe)
        away = z[redo]
        away -= away.max(axis=1, keepdims=True)
        here = np.arange(0, away.size, classes) + index[redo]
        distance = -away.reshape(-1)[here]
        o, s = _exponentials(away, here, away)
        e[redo], own[redo], others[redo] = away, o, s
        total, ratio = own + others, others / own
        # where p_t underflows the quotient does too, but there the distance is nearly all
        far = ~(ratio[redo] <= limit)
        redo, far = redo[far], distance[far] + np.log(total[redo[far]])
    np.log1p(ratio, out=loss)
    if far is not None:
        loss[redo] = far
    loss *= peak
    if peak.__class__ is not float:
        loss[peak == 0] = 0.0
    scale = peak / total
    if e.strides[0] < SHORT:
        e *= np.repeat(scale, classes).reshape(e.shape)
    else:
        if classes >= BUFFER:
            np.setbufsize(BUFFER)
        e *= scale[:, None]
    scale *= others
    e.reshape(-1)[at] = -scale


def _by_table(z: Any, index: Any, peak: Any, spread: Any, loss: Any, e: Any) -> None:
    """The same for targets on many classes, accurate where the largest logit dominates."""
    rows = np.arange(len(z))
    top = z.argmax(axis=1)  # a nan counts as the maximum
    m = z[rows, top]
    np.subtract(z, m[:, None], out=e)
    own, others = _exponentials(e, rows * z.shape[1] + top, e)
    log_total = np.log1p(others / own)
    away = np.subtract(m[:, None], z)
    away += log_total[:, None]
    away *= spread
    np.copyto(away, 0.0, where=(spread == 0) & (z == -np.inf))
    np.add.reduce(away, axis=1, out=loss)
    mass = np.add.reduce(spread, axis=1)
    if index is not None:
        picked = ((m - z[rows, index]) + log_total) * peak
        loss += np.where(np.equal(peak, 0), 0.0, picked)
        mass = mass + peak
    scale = mass / (own + others)
    e *= scale[:, None]
    e[rows, top] = own * scale
    e -= spread
    if index is not None:
        e[rows, index] -= peak


def _block(z: Any, index: Any, peak: Any, spread: Any, loss: Any, e: Any) -> None:
    with np.errstate(all="ignore"):  # inf and nan logits give nan; that is the answer
        if spread is None:
            _by_index(z, index, peak, loss, e)
        else:
            _by_table(z, index, peak, spread, loss, e)


def _kernel(z: Any, t: _Target, axis: int, grad: bool) -> tuple[Any, Any]:
    """The loss of each row, flat, and the gradient if wanted; in threads if there are blocks."""
    classes, last = z.shape[axis], axis in (-1, z.ndim - 1)
    moved = z if last else np.moveaxis(z, axis, -1)
    flat = moved.reshape(-1, classes)
    out = np.empty(moved.shape, z.dtype) if grad else None
    work = None if out is None else out.reshape(-1, classes)
    loss = np.empty(len(flat), z.dtype)
    index, peak, spread = t.flat(classes, axis)
    step = rows_at_once(len(flat), classes * z.itemsize)

    def run(start: int) -> None:
        rows = slice(start, start + step)
        part = flat[rows]
        e = np.empty_like(part) if work is None else work[rows]
        i = None if index is None else index[rows]
        k = peak if peak.__class__ is float else peak[rows]
        _block(part, i, k, None if spread is None else spread[rows], loss[rows], e)

    if step >= len(flat):
        _block(flat, index, peak, spread, loss, np.empty_like(flat) if work is None else work)
    else:
        in_threads(run, range(0, len(flat), step))
    if out is not None and not last:
        out = np.moveaxis(out, -1, axis)
    return loss.reshape(moved.shape[:-1]), out


def _fused(logits: Any, target: Any, *, saved: Any = None, **options: Any) -> Any:
    """−Σ t log softmax(z) as one node, accurate and fast; `cross_entropy` checks and calls it.

    Arguments, options and errors are those of `cross_entropy`; the target is an array.
    """
    t = _read_target(logits.shape, logits.dtype, target, **options)
    return _loss(logits, t, options.get("axis", -1), options.get("reduction", "mean"), saved)


def _loss(z: Any, t: _Target, axis: int, reduction: str, saved: Any = None) -> Any:
    """The reduced loss of data; the gradient goes into ``saved``."""
    if z.__class__ is not np.ndarray:
        return _dense(z, t, axis, reduction)
    loss, grad = _kernel(z, t, axis, saved is not None)
    if saved is not None:
        saved["grad"] = grad
    return loss if reduction == "none" else np.add.reduce(loss, axis=None)


def _fused_vjp(
    g: Any,
    out: Any,
    logits: Any,
    target: Any,
    *,
    saved: Any = None,
    axis: int = -1,
    weight: Any = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
    allow_unnormalized: bool = False,
) -> Any:
    """∂L/∂z = p·ΣT − T, which is p − t where nothing is weighted."""
    if saved and logits.__class__ is np.ndarray:
        grad = saved.pop("grad")  # given away: the caller may write into it
    else:
        options: dict[str, Any] = {
            "axis": axis,
            "weight": weight,
            "ignore_index": ignore_index,
            "label_smoothing": label_smoothing,
            "reduction": reduction,
            "allow_unnormalized": allow_unnormalized,
        }
        t = _read_target(logits.shape, logits.dtype, target, **options)
        if logits.__class__ is np.ndarray:
            grad = _kernel(logits, t, axis, True)[1]
        else:
            table = t.dense(logits.shape[axis], axis % logits.ndim)
            top = np.max(detach(logits), axis=axis, keepdims=True)
            e = np.exp(logits - top)  # as in _dense: a program computes it once
            mass = np.sum(table, axis=axis, keepdims=True)
            grad = e * (mass / np.sum(e, axis=axis, keepdims=True)) - table
    if reduction == "none":
        g = np.expand_dims(g, axis)
    if grad.__class__ is not np.ndarray or g.__class__ is Value:
        return g * grad
    if reduction == "none" or float(g) != 1.0:  # a pass over the gradient saved, most of the time
        grad *= g
    return grad


LogSoftmaxNLL = primitive(
    (_fused_vjp, r"<g> \cdot (\operatorname{softmax}(<x>) - <y>)"),
    None,
    latex=r"-\sum <y> \log \operatorname{softmax}(<x>)",
    domain=(REAL, REAL),
    name="LogSoftmaxNLL",
)(_fused)
object.__setattr__(LogSoftmaxNLL, "__doc__", _fused.__doc__)  # what help() shows


def cross_entropy(
    logits: Any,
    target: Any,
    *,
    axis: int = -1,
    weight: Any = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
    fused: bool = True,
    allow_unnormalized: bool = False,
) -> Any:
    r"""−Σ t log softmax(z), from logits z: with respect to z its gradient is softmax(z) − t.

    Parameters
    ----------
    logits : `Value` or array, floating point, of shape (C,), (N, C) or more dimensions
    target : integer array without the class axis (class indices), or an array of the logits'
        shape (one-hot, or any probabilities)
    axis : the class axis. PyTorch's is 1; here it is the last.
    weight : (C,) array, optional
        A factor for each class. With class indices the mean is over the weights.
    ignore_index : int, optional
        Class index whose samples count for nothing, in the mean neither.
    label_smoothing : from 0 to 1, the part of the target spread evenly over all classes
    reduction : "mean", "sum", or "none" for one loss a sample
    fused : True records one `LogSoftmaxNLL` node, accurate and fast; False composes the loss of
        exp, log, sum and division, so that the chain rule alone gives the gradient.
    allow_unnormalized : accept probabilities that do not sum to 1

    Returns
    -------
    A `Value` if the logits are one, else a number (or an array, for "none").

    Raises
    ------
    ValueError
        For a class index out of range, shapes that do not fit, probabilities that are negative or
        do not sum to 1, an empty batch, or an unknown option.
    TypeError
        For class indices that are not integers, or a target that is a `Value`.

    Notes
    -----
    Of a class index, ``fused`` computes a row's loss and every entry of its gradient with relative
    error ≤ (4 + max|z − m|/2)·eps, m = max z; in float32 max|z|/2 may be added within the brackets.

    Examples
    --------
    >>> z = Value([3.2, 1.3, 0.5])
    >>> loss = cross_entropy(z, 0)
    >>> loss.backward()
    >>> f"{loss:.4f}", z.grad.round(4)
    ('0.1962', array([-0.1782,  0.1229,  0.0552]))
    """
    z, target = as_input(logits, "logits"), _plain(target, "target")
    options: dict[str, Any] = {
        "axis": axis,
        "weight": weight,
        "ignore_index": ignore_index,
        "label_smoothing": label_smoothing,
        "reduction": reduction,
        "allow_unnormalized": allow_unnormalized,
    }
    t = _read_target(z.shape, z.dtype, target, **options)
    if not fused:
        return _compose(log_softmax(z, axis), t, axis, reduction)
    if z.__class__ is not Value:
        return _loss(z, t, axis, reduction)
    # All is checked, so it goes straight into a node: record() would take a tenth of the time of a
    # small batch to check it again.
    saved = options["saved"] = {}
    loss = as_data(_loss(z._data, t, axis, reduction, saved), "LogSoftmaxNLL")
    return make_node(loss, LogSoftmaxNLL, z, target, options=options)


def nll(
    log_probs: Any,
    target: Any,
    *,
    axis: int = -1,
    weight: Any = None,
    ignore_index: int | None = None,
    reduction: str = "mean",
    allow_unnormalized: bool = False,
) -> Any:
    """−Σ t log p, from logarithms of probabilities: what follows `log_softmax` in `cross_entropy`.

    Parameters, results and errors are those of `cross_entropy`.

    Examples
    --------
    >>> float(nll(np.log([[0.5, 0.5], [0.25, 0.75]]), np.array([0, 0]), reduction="sum"))
    2.0794415416798357
    """
    log_p = as_input(log_probs, "log_probs")
    t = _read_target(
        log_p.shape, log_p.dtype, target,
        axis=axis, weight=weight, ignore_index=ignore_index, reduction=reduction,
        allow_unnormalized=allow_unnormalized,
    )  # fmt: skip
    return _compose(log_p, t, axis, reduction)


def _reduced(loss: Any, reduction: str) -> Any:
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"reduction: got {reduction!r}, wanted 'mean', 'sum' or 'none'")
    return loss if reduction == "none" else np.mean(loss) if reduction == "mean" else np.sum(loss)


def _same_shape(x: Any, target: Any, name: str) -> tuple[Any, Any]:
    x, target = as_input(x, name), _plain(target, "target")
    if x.shape != target.shape:
        raise ValueError(f"target: got shape {target.shape}, wanted {x.shape}, that of the {name}")
    if x.size == 0:
        raise ValueError(f"{name} of shape {x.shape} hold no samples")
    return x, target


def binary_cross_entropy(
    logits: Any,
    target: Any,
    *,
    weight: Any = None,
    pos_weight: Any = None,
    reduction: str = "mean",
) -> Any:
    """−y log σ(z) − (1 − y) log(1 − σ(z)), from logits z, for y from 0 to 1.

    Its gradient is σ(z) − y. Composed of ``np.logaddexp``, which neither overflows nor cancels.

    Parameters
    ----------
    logits, target : of one shape, any
    weight : a factor for each sample, that broadcasts against the logits
    pos_weight : a factor for the first term, that broadcasts against the logits

    Raises
    ------
    ValueError
        For targets outside 0 to 1, or of another shape than the logits; for an empty batch.

    Examples
    --------
    >>> z = Value(0.0)
    >>> binary_cross_entropy(z, 1).backward()
    >>> z.grad
    -0.5
    """
    z, y = _same_shape(logits, target, "logits")
    if not ((y >= 0) & (y <= 1)).all():
        raise ValueError(f"target: wanted numbers from 0 to 1, got {y.min()} to {y.max()}")
    y = y.astype(_dtype(z))
    positive = y if pos_weight is None else y * _factor(pos_weight, "pos_weight", z)
    with np.errstate(invalid="ignore"):  # nan logits give nan; that is the answer
        loss = positive * np.logaddexp(0.0, -z) + (1.0 - y) * np.logaddexp(0.0, z)
    return _reduced(loss if weight is None else loss * _factor(weight, "weight", z), reduction)


def logistic_loss(logits: Any, target: Any, *, reduction: str = "mean") -> Any:
    """log(1 + exp(−y z)), the same loss for y = −1 or +1.

    Raises
    ------
    ValueError
        For targets other than −1 and +1, or of another shape than the logits; for an empty batch.

    Examples
    --------
    >>> z = Value(0.0)
    >>> logistic_loss(z, 1).backward()
    >>> z.grad
    -0.5
    """
    z, y = _same_shape(logits, target, "logits")
    if not (abs(y.astype(float)) == 1).all():
        raise ValueError(f"target: wanted -1 and +1, got {y.min()} to {y.max()}")
    with np.errstate(invalid="ignore"):  # nan logits give nan; that is the answer
        loss = np.logaddexp(0.0, -y.astype(_dtype(z)) * z)
    return _reduced(loss, reduction)


def mse(prediction: Any, target: Any, *, reduction: str = "mean") -> Any:
    """(prediction − target)².

    Raises
    ------
    ValueError
        If the two are not of one shape (a (n, 1) against a (n,) would broadcast to n × n); for an
        empty batch.

    Examples
    --------
    >>> float(mse(np.array([1.0, 2.0]), np.array([0.0, 0.0])))
    2.5
    """
    x, target = _same_shape(prediction, target, "prediction")
    return _reduced(np.square(x - target.astype(_dtype(x))), reduction)
