"""The kernel of the fused cross-entropy: loss and gradient of rows of logits, nothing cancelled.

With o the sum of exp(z_j) over the classes but the target t, the loss is log1p(o / exp(z_t)), and
p_t − 1 is −o / Σ exp(z); the maximum is subtracted only in rows where exp would leave its range.
Why such forms are accurate: Blanchard, Higham & Higham, "Accurately computing the log-sum-exp and
softmax functions", IMA J. Numer. Anal. 41 (2021).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from .targets import Target, rows_of
from .threads import in_threads, rows_at_once

BUFFER = 256  # numbers: rows that fill NumPy's buffer broadcast two to three times as fast


def dense(z: Any, t: Target, axis: int, reduction: str) -> Any:
    """The loss of arrays that are not NumPy's own, in functions that all of them have."""
    table = t.dense(z.shape[axis], axis % z.ndim)
    away = z - np.max(z, axis=axis, keepdims=True)
    log_total = np.log(np.sum(np.exp(away), axis=axis, keepdims=True))
    terms = table * np.where(table == 0, 0.0, log_total - away)
    return np.sum(terms, axis=axis) if reduction == "none" else np.sum(terms)


def _exponentials(z: Any, at: Any, e: Any) -> tuple[Any, Any]:
    """Write exp(z) into ``e`` with 0 at one class a row; return that one, and the others' sum."""
    np.exp(z, out=e)
    flat = e.reshape(-1)
    own = flat[at]
    flat[at] = 0.0
    if e.shape[1] > (128 if e.itemsize > 4 else 1024):
        return own, np.add.reduce(e, axis=1)  # pairwise, which long rows need to stay within 3 ulp
    if e.size > 2**16:  # from there BLAS has threads of its own, in the way of ours
        return own, np.einsum("ij->i", e)  # a third of the time of pairwise sums
    return own, e.dot(np.ones(e.shape[1], e.dtype))  # a quarter


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


def block_of_rows(z: Any, t: Target, loss: Any, e: Any) -> None:
    """Write the loss of each row of z, and its gradient into ``e``."""
    index = None if t.index is None else t.index[:, 0]
    peak = t.peak[:, 0] if getattr(t.peak, "ndim", 0) else t.peak
    spread = t.spread
    with np.errstate(all="ignore"):  # inf and nan logits give nan; that is the answer
        if spread is None:
            _by_index(z, index, peak, loss, e)
        else:
            _by_table(z, index, peak, np.broadcast_to(spread, z.shape), loss, e)


def losses_and_gradient(z: Any, t: Target, axis: int, grad: bool) -> tuple[Any, Any]:
    """The loss of each sample, and the gradient if wanted; in threads if there are blocks."""
    flat, t, shape = rows_of(z, axis), t.flat(axis), z.swapaxes(axis, -1).shape
    out = np.empty(shape, z.dtype) if grad else None
    work = None if out is None else out.reshape(flat.shape)
    loss = np.empty((len(flat), 1), z.dtype)
    step = rows_at_once(len(flat), flat[0].nbytes)

    def run(start: int) -> None:
        rows = slice(start, start + step)
        part = flat[rows]
        e = np.empty(part.shape, z.dtype) if work is None else work[rows]
        block_of_rows(part, t.rows(rows) if step < len(flat) else t, loss[rows, 0], e)

    in_threads(run, range(0, len(flat), step))
    if out is not None and axis not in (-1, z.ndim - 1):
        out = out.swapaxes(axis, -1)
    return loss.reshape((*shape[:-1], 1)).swapaxes(axis, -1).squeeze(axis), out
