r"""Cross-entropy of a linear layer without ever holding all its logits: `LinearCrossEntropy`.

With many classes the logits x W + b are the largest array of a network by far: 1.6 GB for 8192
samples of 50,257 classes in float32. But a row of them gives one number to the loss and, as p − t,
its share of each gradient. So the node takes a block of rows at a time: logits, then p − t in their
place, then that block's part of the gradients, all in the forward pass. The same idea on a GPU:
Wijmans et al., "Cut Your Losses in Large-Vocabulary Language Models", ICLR 2025.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from ..engine.operation import REAL, primitive
from ..engine.rules import matmul_left, matmul_right
from ..engine.text import _
from .activations import as_input
from .kernel import block_of_rows, dense
from .losses import fused_vjp
from .targets import Target, plain, read_target
from .threads import BLOCK, CPUS, in_threads, rows_at_once

ROWS = 256  # of a block: with 128, adding to W's gradient takes a tenth longer; with 512, no less
LOGITS = 48 * 2**20  # bytes of a block's logits, at most
SCRATCH = 4 * 2**20  # bytes that the threads together write their exponentials to
STRIP = 4096  # columns: a product of them stays in cache until it is added to W's gradient


def _finish(z: Any, b: Any, t: Target, g: Any, loss: Any) -> None:
    """Write the loss of a block of products ``z``, and its gradient, times g, over them."""
    step = max(1, min(rows_at_once(len(z), z[0].nbytes), SCRATCH // (CPUS * z[0].nbytes)))

    def run(start: int) -> None:
        rows = slice(start, start + step)
        part = z[rows]
        e = np.empty_like(part)
        with np.errstate(all="ignore"):  # inf and nan logits give nan; that is the answer
            part += b
            block_of_rows(part, t.rows(rows), loss[rows], e)
            np.multiply(e, 1.0 if g is None else g[rows, None], out=part)

    in_threads(run, range(0, len(z), step))


def _sweep(
    x: Any, W: Any, b: Any, t: Target, wanted: Any, g: Any, block: int | None
) -> tuple[Any, dict[int, Any]]:
    """The loss of each row, and the gradients of the ``wanted`` arguments, times the rows' g."""
    dtype, classes = np.result_type(x, W, b), W.shape[1]
    rows, t = math.prod(x.shape[:-1]), t.flat(-1)
    flat, W = x.reshape(rows, len(W)).astype(dtype, copy=False), W.astype(dtype, copy=False)
    row = classes * dtype.itemsize  # a block stays in cache, or is enough for a product
    block = block or max(1, min(LOGITS // row, max(ROWS, BLOCK // row)))
    z, loss = np.empty((min(block, rows), classes), dtype), np.empty(rows, dtype)
    grads = {i: np.zeros(np.shape((x, W, b)[i]), dtype) for i in wanted}
    for start in range(0, rows, block):
        part = slice(start, start + block)
        xs = flat[part]
        p = z[: len(xs)]
        with np.errstate(all="ignore"):
            np.matmul(xs, W, out=p)
        _finish(p, b, t.rows(part), None if g is None else g[part], loss[part])
        with np.errstate(all="ignore"):
            if 0 in grads:
                np.matmul(p, W.T, out=grads[0].reshape(flat.shape)[part])
            for c in range(0, classes if 1 in grads else 0, STRIP):
                strip = slice(c, c + STRIP)
                grads[1][:, strip] += np.matmul(xs.T, p[:, strip])
            if 2 in grads:
                grads[2] += np.ones(len(p), dtype).dot(p)
    return loss.reshape(x.shape[:-1]), grads


def _is_plain(*arrays: Any) -> bool:
    """Whether all are NumPy's own, which the blocks are for, or floats."""
    return all(a.__class__ is np.ndarray or a.__class__ is float for a in arrays)


def _linear(
    x: Any,
    W: Any,
    b: Any,
    target: Any,
    block: int | None = None,
    weight: Any = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
    allow_unnormalized: bool = False,
    *,
    saved: Any = None,
) -> Any:
    """−Σ t log softmax(x W + b) as one node; `linear_cross_entropy` checks and calls it.

    Arguments, options and errors are those of `linear_cross_entropy`; ``b`` is 0.0 for none.
    """
    z = None if _is_plain(x, W, b) else np.matmul(x, W) + b
    shape, dtype = (*x.shape[:-1], W.shape[1]), np.result_type(x, W, b) if z is None else z.dtype
    options = (weight, ignore_index, label_smoothing, reduction, allow_unnormalized)
    t = read_target(shape, dtype, target, -1, *options)
    if saved is not None:
        saved["target"] = t
    if z is not None:
        return dense(z, t, -1, reduction)
    wanted = saved["wanted"] if saved and reduction != "none" else ()
    loss, grads = _sweep(x, W, b, t, wanted, None, block)
    if saved is not None:
        saved.update(grads)
    return loss if reduction == "none" else np.add.reduce(loss, axis=None)


def _vjp(
    i: int,
    g: Any,
    out: Any,
    x: Any,
    W: Any,
    b: Any,
    target: Any,
    *,
    saved: Any,
    block: int | None = None,
    reduction: str = "mean",
    **options: Any,
) -> Any:
    """∂L/∂x = (p − t) Wᵀ, ∂L/∂W = xᵀ (p − t), ∂L/∂b = Σ (p − t)."""
    t = saved["target"]
    if not _is_plain(x, W, b):  # a graph of its own, which holds the logits
        z = np.matmul(x, W) + b
        d = fused_vjp(g, out, z, target, saved={"target": t}, reduction=reduction)
        return (matmul_left, matmul_right)[i](d, out, x, W) if i < 2 else d
    rows = g if reduction == "none" else None
    if i not in saved or saved.get("g") is not rows:
        flat = None if rows is None else np.reshape(rows, -1)
        saved |= {"g": rows} | _sweep(x, W, b, t, saved["wanted"], flat, block)[1]
    grad = saved.pop(i)  # given away: the caller may write into it
    if rows is None and float(g) != 1.0:
        grad *= g
    return grad


LinearCrossEntropy = primitive(
    (partial(_vjp, 0), r"<g> \cdot (\operatorname{softmax}(<x> \, <y> + <z>) - t) \, <y>^\top"),
    (partial(_vjp, 1), r"<g> \cdot <x>^\top (\operatorname{softmax}(<x> \, <y> + <z>) - t)"),
    (partial(_vjp, 2), r"<g> \cdot \sum (\operatorname{softmax}(<x> \, <y> + <z>) - t)"),
    None,
    latex=r"-\sum t \log \operatorname{softmax}(<x> \, <y> + <z>)",
    domain=(REAL, REAL, REAL, REAL),
    name="LinearCrossEntropy",
    keeps=True,
)(_linear)


def linear_cross_entropy(
    x: Any,
    W: Any,
    b: Any,
    target: Any,
    *,
    block: int | None = None,
    weight: Any = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
    allow_unnormalized: bool = False,
) -> Any:
    r"""cross_entropy(x @ W + b, target) as one node that never holds all the logits.

    Parameters
    ----------
    x : `Value` or array, floating point, of shape (D,), (N, D) or more dimensions
    W : `Value` or array of shape (D, C). PyTorch's is its transpose.
    b : `Value` or array of shape (C,), or None
    target : class indices of shape x.shape[:-1], or probabilities with a last axis of C more
    block : how many rows of logits to hold at a time; by default some 256, and 48 MiB at most
    weight, ignore_index, label_smoothing, reduction, allow_unnormalized : as in `cross_entropy`

    Returns
    -------
    A `Value` if ``x``, ``W`` or ``b`` is one, else a number (or an array, for "none"). The forward
    pass computes the gradients too; for "none" the backward pass does, in blocks again. A second
    derivative does hold the logits.

    Raises
    ------
    ValueError
        For shapes that do not fit, a ``block`` below 1, and where `cross_entropy` raises it.
    TypeError
        For a ``block`` that is no integer, and where `cross_entropy` raises it.

    Examples
    --------
    >>> from tinygrad_ce import Value
    >>> x, W, b = Value(np.eye(2)), Value(np.zeros((2, 3))), Value(np.zeros(3))
    >>> loss = linear_cross_entropy(x, W, b, [0, 2])
    >>> loss.backward()
    >>> f"{loss:.4f}", b.grad.round(4)
    ('1.0986', array([-0.1667,  0.3333, -0.1667]))
    """
    x, W, target = as_input(x, "x"), as_input(W, "W"), plain(target, "target")
    b = 0.0 if b is None else as_input(b, "b")
    _check(x, W, b, block)
    options = (block, weight, ignore_index, label_smoothing, reduction, allow_unnormalized)
    return LinearCrossEntropy(x, W, b, target, *options)


def _check(x: Any, W: Any, b: Any, block: Any) -> None:
    if W.ndim != 2 or not x.ndim or x.shape[-1] != W.shape[0]:
        wrong = "linear_cross_entropy: got x {x} and W {W}, wanted (..., D) and (D, C)"
        if W.ndim == 2 and x.ndim and x.shape[-1] == W.shape[1]:
            wrong += ": pass W.T"
        named = [f"{getattr(a, 'name', None) or ''} {a.shape}".strip() for a in (x, W)]
        raise ValueError(_(wrong, x=named[0], W=named[1]))
    if b.__class__ is not float and b.shape != W.shape[1:]:
        wrong = "b: got shape {got}, wanted {wanted}, one a class (or None)"
        raise ValueError(_(wrong, got=b.shape, wanted=W.shape[1:]))
    if block is not None:
        if not isinstance(block, int | np.integer) or isinstance(block, bool):
            raise TypeError(_("block: got {got!r}, wanted a number of rows, or None", got=block))
        if block < 1:
            raise ValueError(_("block: got {got}, wanted 1 row or more", got=block))
