r"""Cross-entropy of a linear layer without ever holding all its logits: `LinearCrossEntropy`.

With many classes the logits x W + b are the largest array of a network by far: 1.6 GB for 8192
samples of 50,257 classes in float32. But a row of them gives one number to the loss and, as p − t,
its share of each gradient. So the node takes a block of rows at a time: logits, then p − t in their
place, then that block's part of the gradients, all in the forward pass. The same idea on a GPU:
Wijmans et al., "Cut Your Losses in Large-Vocabulary Language Models", ICLR 2025.
"""

from __future__ import annotations

import math
from functools import partial, wraps
from operator import itemgetter
from typing import Any

import numpy as np

from ..engine.operation import primitive
from ..engine.rules import matmul_left, matmul_right
from ..engine.text import _
from .activations import as_input, log_softmax
from .kernel import sample_losses
from .losses import compose, fused_vjp, reduced
from .targets import Target, plain, read_target
from .threads import BLOCK

ROWS = 256  # of a block: with 128, adding to W's gradient takes a tenth longer; with 512, no less
LOGITS = 48 * 2**20  # bytes of a block's logits, at most
PLAIN = {np.ndarray, float}  # what the blocks are for
STRIP = 4096  # columns: a product of them stays in cache until it is added to W's gradient


def _sweep(
    x: Any, W: Any, b: Any, t: Target, wanted: Any, block: int | None
) -> tuple[Any, dict[int, Any]]:
    """The loss of each row, and the gradients of the ``wanted`` arguments."""
    dtype, classes = np.result_type(x, W, b), W.shape[1]
    rows = math.prod(x.shape[:-1])
    grads = {i: np.zeros(np.shape((x, W, b)[i]), dtype) for i in wanted}
    t = t.each(lambda array: array.reshape(rows, -1))
    flat, W = x.reshape(rows, len(W)).astype(dtype, copy=False), W.astype(dtype, copy=False)
    row = classes * dtype.itemsize  # a block stays in cache, or is enough for a product
    block = block or max(1, min(LOGITS // row, max(ROWS, BLOCK // row)))
    z, loss = np.empty((min(block, rows), classes), dtype), np.empty((rows, 1), dtype)
    for part in (slice(start, start + block) for start in range(0, rows, block)):
        xs, some = flat[part], t.each(itemgetter(part))
        with np.errstate(all="ignore"):  # inf and nan logits give nan; that is the answer
            p = np.matmul(xs, W, out=z[: len(xs)])
            p += b
            loss[part] = sample_losses(p, some, p if grads else None)
            if 0 in grads:
                np.matmul(p, W.T, out=grads[0].reshape(flat.shape)[part])
            for c in range(0, classes if 1 in grads else 0, STRIP):
                strip = slice(c, c + STRIP)
                grads[1][:, strip] += np.matmul(xs.T, p[:, strip])
            if 2 in grads:
                grads[2] += np.ones(len(p), dtype).dot(p)
    return loss.reshape((*x.shape[:-1], 1)), grads


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
    ValueError, TypeError
        For shapes that do not fit, a ``block`` that is no number of rows, and where
        `cross_entropy` raises them.

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
    if W.ndim != 2 or not x.ndim or x.shape[-1] != W.shape[0]:
        wrong = "linear_cross_entropy: got x {x} and W {W}, wanted (..., D) and (D, C)"
        if W.ndim == 2 and x.ndim and x.shape[-1] == W.shape[1]:
            wrong += ": pass W.T"
        shapes = [f"{getattr(a, 'name', None) or ''} {a.shape}".strip() for a in (x, W)]
        raise ValueError(_(wrong, x=shapes[0], W=shapes[1]))
    if b.__class__ is not float and b.shape != W.shape[1:]:
        wrong = "b: got shape {got}, wanted {wanted}, one a class (or None)"
        raise ValueError(_(wrong, got=b.shape, wanted=W.shape[1:]))
    if block is not None and (block is True or not isinstance(block, int) or block < 1):
        raise ValueError(_("block: got {got}, wanted a number of rows, 1 or more", got=block))
    options = (block, weight, ignore_index, label_smoothing, reduction, allow_unnormalized)
    named = dict(zip(LinearCrossEntropy.options, options))
    return LinearCrossEntropy(x, W, b, target, **named)


@wraps(linear_cross_entropy, assigned=(), updated=())  # its options are this one's
def _linear(
    x: Any, W: Any, b: Any, target: Any, *, block: Any = None, saved: Any = None, **options: Any
) -> Any:
    """−Σ t log softmax(x W + b) as one node; ``b`` is 0.0 for none."""
    saved = {"wanted": ()} if saved is None else saved
    shape = (*x.shape[:-1], W.shape[1])
    z = np.broadcast_to(np.zeros((), np.result_type(x, W, b)), shape)  # as the logits, but small
    t = saved["target"] = read_target(z, target, **options)
    if not {type(x), type(W), type(b)} <= PLAIN:
        return compose(log_softmax(np.matmul(x, W) + b), t)
    loss, grads = _sweep(x, W, b, t, saved["wanted"] if t.reduction != "none" else (), block)
    saved |= grads
    return reduced(loss, t)


def _vjp(
    i: int, g: Any, out: Any, x: Any, W: Any, b: Any, target: Any, *, saved: Any, **options: Any
) -> Any:
    """∂L/∂x = (p − t) Wᵀ, ∂L/∂W = xᵀ (p − t), ∂L/∂b = Σ (p − t)."""
    t = saved["target"]
    if not {type(x), type(W), type(b)} <= PLAIN:  # a graph of its own, which holds the logits
        d = fused_vjp(g, out, np.matmul(x, W) + b, target, saved={"target": t})
        return (matmul_left, matmul_right)[i](d, out, x, W) if i < 2 else d
    each = t.reduction == "none"
    if i not in saved or (each and saved["g"] is not g):
        t = t._replace(row=t.row * np.expand_dims(g, -1)) if each else t
        saved |= {"g": g} | _sweep(x, W, b, t, saved["wanted"], options.get("block"))[1]
    grad = saved.pop(i)  # given away: the caller may write into it
    if not each and float(g) != 1.0:
        grad *= g
    return grad


LinearCrossEntropy = primitive(
    (partial(_vjp, 0), r"<g> \cdot (\operatorname{softmax}(<x> \, <y> + <z>) - t) \, <y>^\top"),
    (partial(_vjp, 1), r"<g> \cdot <x>^\top (\operatorname{softmax}(<x> \, <y> + <z>) - t)"),
    (partial(_vjp, 2), r"<g> \cdot \sum (\operatorname{softmax}(<x> \, <y> + <z>) - t)"),
    None,
    latex=r"-\sum t \log \operatorname{softmax}(<x> \, <y> + <z>)",
    name="LinearCrossEntropy",
    keeps=True,
)(_linear)
