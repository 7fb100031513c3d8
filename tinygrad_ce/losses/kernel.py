"""The kernel of the fused cross-entropy: loss and gradient of rows of logits, nothing cancelled.

With o the sum of exp(z_j) over the classes but the target t, the loss is log1p(o / exp(z_t)), and
p_t − 1 is −o / Σ exp(z); the maximum is subtracted only in rows where exp would leave its range.
Why such forms are accurate: Blanchard, Higham & Higham, "Accurately computing the log-sum-exp and
softmax functions", IMA J. Numer. Anal. 41 (2021).
"""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from ..engine.text import _
from .targets import Target
from .threads import CPUS, in_threads, rows_at_once

BUFFER = 256  # numbers: rows that fill NumPy's buffer broadcast two to three times as fast
REPAID = {"numbers": 2**13, "classes": 32}  # from which on a batch repays the compiled kernel


def _exponentials(z: Any, at: Any, e: Any) -> tuple[Any, Any]:
    """Write exp(z) into ``e`` with 0 at one class a row; return that one, and the others' sum."""
    np.exp(z, out=e)
    flat = e.reshape(-1)
    chosen = flat[at]
    flat[at] = 0.0
    if e.shape[1] > (128 if e.itemsize > 4 else 1024):
        return chosen, np.add.reduce(e, axis=1, keepdims=True)  # pairwise: within 3 ulp
    return chosen, np.einsum("ij->i", e)[:, None]  # a third of the time of pairwise sums


def by_index(z: Any, index: Any, peak: Any, loss: Any, e: Any) -> None:
    """Loss and gradient of a block of rows, each with one target class t. ``e`` is the gradient.

    Nothing cancels, whatever is added to a row. So nothing is, unless exp leaves the range where
    sums and quotients are safe: subtracting the maximum everywhere would take a third of the time.
    """
    at = index + np.arange(0, z.size, z.shape[1])[:, None]
    chosen, others = _exponentials(z, at, e)
    total, ratio = chosen + others, others / chosen
    np.log1p(ratio, out=loss)
    limit = np.finfo(z.dtype).max ** 0.5
    ratio += total
    if not (ratio.item(ratio.argmax()) <= limit and total.item(total.argmin()) >= 0.5):  # or nan
        redo = np.flatnonzero(~((ratio <= limit) & (total >= 0.5)))
        away = z[redo]
        away -= away.max(axis=1, keepdims=True)
        here = index[redo] + np.arange(0, away.size, z.shape[1])[:, None]
        distance = -away.reshape(-1)[here]
        o, s = _exponentials(away, here, away)
        loss[redo] = np.where(distance > 0, distance + np.log(o + s), np.log1p(s / o))
        e[redo], others[redo], total[redo] = away, s, o + s
    loss *= peak
    if peak.__class__ is np.ndarray:
        loss[peak == 0] = 0.0
    scale = peak / total
    if z.shape[1] >= BUFFER:
        np.setbufsize(BUFFER)
    e *= scale
    scale *= others
    e.reshape(-1)[at] = -scale


def by_table(z: Any, table: Any, loss: Any, e: Any) -> None:
    """The same for targets on many classes, accurate where the largest logit dominates."""
    at = z.argmax(axis=1, keepdims=True)  # a nan counts as the maximum
    at += np.arange(0, z.size, z.shape[1])[:, None]
    m = z.reshape(-1)[at]
    np.subtract(z, m, out=e)
    chosen, others = _exponentials(e, at, e)
    away = m - z
    away += np.log1p(others / chosen)
    away *= table
    np.copyto(away, 0.0, where=table == 0)  # a class of no weight, though its logit be -inf
    np.add.reduce(away, axis=1, keepdims=True, out=loss)
    scale = np.add.reduce(table, axis=1, keepdims=True) / (chosen + others)
    e *= scale
    e.reshape(-1)[at] = chosen * scale
    e -= table


@cache
def _compiled(dtype: Any, one_hot: bool) -> tuple[Any, str]:
    """The compiled kernel, tried on two numbers; or None, and why there is none."""
    z, one = np.zeros((1, 2), dtype), np.zeros((1, 1), dtype)
    try:
        fast = import_module(".compiled_kernel", __package__)
        if one_hot:
            fast.by_index(z, np.zeros((1, 1), np.intp), 1.0, one, np.empty_like(z))
        else:
            fast.by_table(z, z, one, np.empty_like(z))
    except Exception as error:  # of whatever kind: what is fast is not needed
        if isinstance(error, ModuleNotFoundError) and error.name == "numba":
            return None, _('Numba is not here: pip install "tinygrad_ce[fast]"')
        return None, _("Numba failed: {error}", error=str(error).partition("\n")[0])
    return fast, _("Numba is here, and compiled it")


def config() -> dict[str, Any]:
    """What computes the fused losses on this machine, and why.

    Returns
    -------
    A dict of the ``kernel`` ("Numba" or "NumPy") of batches in float32 or float64 with at least
    ``numbers`` entries and ``classes`` a row (smaller ones are NumPy's), ``why`` it is that, and
    how many ``threads`` share a large batch.

    Examples
    --------
    >>> config()["numbers"], config()["classes"]
    (8192, 32)
    """
    fast, why = _compiled(np.dtype(float), True)
    return {"kernel": "Numba" if fast else "NumPy", "why": why, "threads": CPUS, **REPAID}


def _kernel_for(z: Any, t: Target) -> Any:
    """The module whose kernel is the faster; which it is, shape and dtype alone decide."""
    large = z.size >= REPAID["numbers"] and z.shape[1] >= REPAID["classes"]
    known = large and z.dtype in (np.float32, np.float64)
    return (known and _compiled(z.dtype, t.one_hot)[0]) or sys.modules[__name__]


def sample_losses(z: Any, t: Target, gradient: Any = None) -> Any:
    """The loss of each sample; its gradient is written into an array, which may be ``z`` itself."""
    if z.ndim != 2:
        flat = z.reshape(-1, z.shape[-1])
        if gradient is not None:
            gradient = flat if gradient is z else gradient.reshape(flat.shape)
        t = t.each(lambda x: x.reshape(-1, x.shape[-1]))
        return sample_losses(flat, t, gradient).reshape((*z.shape[:-1], 1))
    loss = np.empty((len(z), 1), z.dtype)
    step = rows_at_once(len(z), z.nbytes // len(z))
    kernel = _kernel_for(z, t)

    def run(start: int) -> None:
        rows = slice(start, start + step)
        part = np.ascontiguousarray(z[rows])
        some = t if step >= len(z) else t.each(lambda x: x[rows])
        e = np.empty_like(part) if gradient is None or gradient is z else gradient[rows]
        with np.errstate(all="ignore"):  # inf and nan logits give nan; that is the answer
            if some.one_hot:
                kernel.by_index(part, some.index, some.peak, loss[rows], e)
            else:
                kernel.by_table(part, some.dense(z.shape[1]), loss[rows], e)
        if gradient is z:
            z[rows] = e

    in_threads(run, range(0, len(z), step))
    return loss
