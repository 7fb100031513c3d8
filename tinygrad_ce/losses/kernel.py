"""The kernel of the fused cross-entropy: loss and gradient of rows of logits, nothing cancelled.

With o the sum of exp(z_j) over the classes but the target t, the loss is log1p(o / exp(z_t)), and
p_t − 1 is −o / Σ exp(z); the maximum is subtracted only in rows where exp would leave its range.
Why such forms are accurate: Blanchard, Higham & Higham, "Accurately computing the log-sum-exp and
softmax functions", IMA J. Numer. Anal. 41 (2021).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .targets import Target
from .threads import in_threads, rows_at_once

BUFFER = 256  # numbers: rows that fill NumPy's buffer broadcast two to three times as fast


def _exponentials(z: Any, at: Any, e: Any) -> tuple[Any, Any]:
    """Write exp(z) into ``e`` with 0 at one class a row; return that one, and the others' sum."""
    np.exp(z, out=e)
    flat = e.reshape(-1)
    chosen = flat[at]
    flat[at] = 0.0
    if e.shape[1] > (128 if e.itemsize > 4 else 1024):
        return chosen, np.add.reduce(e, axis=1)  # pairwise, which keeps long rows within 3 ulp
    return chosen, np.einsum("ij->i", e)  # a third of the time of pairwise sums


def _by_index(z: Any, index: Any, peak: Any, loss: Any, e: Any) -> None:
    """Loss and gradient of a block of rows, each with one target class t. ``e`` is the gradient.

    Nothing cancels, whatever is added to a row. So nothing is, unless exp leaves the range where
    sums and quotients are safe: subtracting the maximum everywhere would take a third of the time.
    """
    classes = z.shape[1]
    at = np.arange(0, z.size, classes)
    at += index
    chosen, others = _exponentials(z, at, e)
    total, ratio = chosen + others, others / chosen
    np.log1p(ratio, out=loss)
    limit = np.sqrt(np.finfo(z.dtype).max)
    high = total + ratio
    if not (high.item(high.argmax()) <= limit and total.item(total.argmin()) >= 0.5):  # or nan
        redo = np.flatnonzero(~((high <= limit) & (total >= 0.5)))
        away = z[redo]
        away -= away.max(axis=1, keepdims=True)
        here = np.arange(0, away.size, classes) + index[redo]
        distance = -away.reshape(-1)[here]
        o, s = _exponentials(away, here, away)
        loss[redo] = np.where(distance > 0, distance + np.log(o + s), np.log1p(s / o))
        e[redo], others[redo], total[redo] = away, s, o + s
    loss *= peak
    if peak.__class__ is np.ndarray:
        loss[peak == 0] = 0.0
    scale = peak / total
    if classes >= BUFFER:
        np.setbufsize(BUFFER)
    e *= scale[:, None]
    scale *= others
    e.reshape(-1)[at] = -scale


def _by_table(z: Any, table: Any, loss: Any, e: Any) -> None:
    """The same for targets on many classes, accurate where the largest logit dominates."""
    rows = np.arange(len(z))
    top = z.argmax(axis=1)  # a nan counts as the maximum
    m = z[rows, top]
    np.subtract(z, m[:, None], out=e)
    chosen, others = _exponentials(e, rows * z.shape[1] + top, e)
    away = np.subtract(m[:, None], z)
    away += np.log1p(others / chosen)[:, None]
    away *= table
    np.copyto(away, 0.0, where=table == 0)  # a class of no weight, though its logit be -inf
    np.add.reduce(away, axis=1, out=loss)
    scale = np.add.reduce(table, axis=1) / (chosen + others)
    e *= scale[:, None]
    e[rows, top] = chosen * scale
    e -= table


def sample_losses(z: Any, t: Target, gradient: Any = None) -> Any:
    """The loss of each sample; its gradient is written into an array, which may be ``z`` itself."""
    flat = z.reshape(-1, z.shape[-1])
    t = t if z.ndim == 2 else t.each(lambda x: x.reshape(-1, x.shape[-1]))
    out = None if gradient is None or gradient is z else gradient.reshape(flat.shape)
    loss = np.empty(len(flat), z.dtype)
    step = rows_at_once(len(flat), flat[0].nbytes)

    def run(start: int) -> None:
        rows = slice(start, start + step)
        part, some = flat[rows], t if step >= len(flat) else t.each(lambda x: x[rows])
        e = np.empty(part.shape, z.dtype) if out is None else out[rows]
        with np.errstate(all="ignore"):  # inf and nan logits give nan; that is the answer
            if some.one_hot:
                peak = some.peak[:, 0] if getattr(some.peak, "ndim", 0) else some.peak
                _by_index(part, some.index[:, 0], peak, loss[rows], e)
            else:
                _by_table(part, some.dense(part.shape[1]), loss[rows], e)
        if gradient is z:
            part[:] = e

    in_threads(run, range(0, len(flat), step))
    return loss.reshape((*z.shape[:-1], 1))
