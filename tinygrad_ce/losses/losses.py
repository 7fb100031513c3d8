r"""Cross-entropy and its relatives, and `LogSoftmaxNLL`, the fused node.

With logits z, p = softmax(z) and target t, the loss is −Σ t log p and its gradient p − t.
``cross_entropy(..., fused=False)`` composes it of primitives, so that the chain rule finds that;
``fused=True`` records one node whose kernel computes both without cancellation.

Where a target, ``weight`` or option changes a loss, its meaning is PyTorch's.
"""

from __future__ import annotations

from functools import wraps
from typing import Any

import numpy as np

from ..engine.data import WHOLE, example
from ..engine.operation import primitive
from ..engine.text import _
from ..engine.value import Value, detach
from .activations import COMPOSED, as_input, log_softmax, softmax
from .kernel import sample_losses
from .targets import Target, check_reduction, factor, read_target, refuse, soft


def compose(log_p: Any, t: Target) -> Any:
    """Σ_c T_c (−log p_c) in primitives; a class of no weight counts 0 though its log p be -inf.

    Not so where a gradient flows to T, whose slope is −log p_c there as well.
    """
    if t.one_hot and isinstance(detach(log_p), np.ndarray):  # others know no take_along_axis
        picked = np.take_along_axis(log_p, t.index, -1)
        loss = -t.peak * (np.where(t.peak == 0, 0.0, picked) if np.ndim(t.peak) else picked)
    else:
        table = t.dense(log_p.shape[-1])
        if table.__class__ is not Value:
            log_p = np.where(table == 0, 0.0, log_p)
        loss = -np.sum(table * log_p, axis=-1, keepdims=True)
    return reduced(loss, t)


def reduced(loss: Any, t: Target) -> Any:
    """The sum over samples, in which the mean's 1/n is already, or the loss of each."""
    if t.reduction == "none":
        return np.squeeze(loss, axis=-1)
    return loss.sum() if t.start is None else loss.sum() + t.start


@wraps(read_target, assigned=(), updated=())  # its options are this one's
def _fused(logits: Any, target: Any, *options: Any, saved: Any = None, **named: Any) -> Any:
    """−Σ t log softmax(z) as one node, accurate and fast; `cross_entropy` calls it.

    Arguments, options and errors are those of `cross_entropy`; the target is an array, and the
    classes' axis the last.
    """
    z = as_input(logits, "logits")
    saved = {} if saved is None else saved
    t = saved["target"] = read_target(z, target, *options, **named)
    if z.__class__ is not np.ndarray:
        return compose(log_softmax(z), t)
    if 0 in saved.get("wanted", ()):
        saved["gradient"] = np.empty(z.shape, z.dtype)
    return reduced(sample_losses(z, t, saved.get("gradient")), t)


def fused_vjp(g: Any, out: Any, logits: Any, target: Any, *, saved: Any, **options: Any) -> Any:
    """∂L/∂z = p·ΣT − T, which is p − t where nothing is weighted."""
    t = saved["target"]
    if target.__class__ is Value:  # the table was made of its data
        t = t._replace(index=None, table=target)
    if t.reduction == "none":
        g = np.expand_dims(g, -1)
    if logits.__class__ is not np.ndarray:
        table = t.dense(logits.shape[-1])
        mass = np.sum(table, axis=-1, keepdims=True)
        return g * (softmax(logits) * mass - table)
    gradient = saved.pop("gradient", None)  # given away: the caller may write into it
    if gradient is None:  # it is given away already
        gradient = np.empty(logits.shape, logits.dtype)
        sample_losses(logits, t, gradient)
    if t.reduction == "none" or float(g) != 1.0:  # a pass saved, most of the time
        gradient *= g
    return gradient


def target_vjp(g: Any, out: Any, logits: Any, target: Any, *, saved: Any, **options: Any) -> Any:
    """∂L/∂t = −log softmax(z), times the weights of samples and classes."""
    t = saved["target"]
    if t.reduction == "none":
        g = np.expand_dims(g, -1)
    weight = t.sharp * t.row if t.weight is None else t.sharp * t.row * t.weight
    return -g * log_softmax(logits) * weight


LogSoftmaxNLL = primitive(
    (fused_vjp, r"<g> \cdot (\operatorname{softmax}(<x>) - <y>)"),
    (target_vjp, r"-<g> \cdot \log \operatorname{softmax}(<x>)"),
    latex=r"-\sum <y> \log \operatorname{softmax}(<x>)",
    name="LogSoftmaxNLL",
    keeps=True,
    roles=("logits", "target"),
)(_fused)
object.__setattr__(LogSoftmaxNLL, "__doc__", _fused.__doc__)  # what help() shows


def _classes_last(z: Any, target: Any, axis: int) -> tuple[Any, Any]:
    """Logits, and a target of as many axes, with the class axis moved to the end."""
    if not isinstance(axis, WHOLE):
        raise TypeError(_("axis: got {got!r}, wanted an integer", got=axis))
    axes = z.ndim
    if not -axes <= axis < axes:
        raise ValueError(_("axis={axis}: the logits have shape {shape}", axis=axis, shape=z.shape))
    if axis in (-1, axes - 1):
        return z, target
    table = target.ndim == axes
    return np.moveaxis(z, axis, -1), np.moveaxis(target, axis, -1) if table else target


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
    target : integer array without the class axis (class indices), or an array or `Value` of the
        logits' shape (one-hot, or any probabilities; their gradient is −log softmax(z))
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
    A `Value` if the logits or the target are one, else a number (or an array, for "none").

    Raises
    ------
    ValueError
        For a class index out of range, shapes that do not fit, probabilities that are negative or
        do not sum to 1 (of C within 5e-4·C, at least 0.002 and at most 0.005), an empty batch, or
        an unknown option.
    TypeError
        For class indices that are not integers.

    Notes
    -----
    Of a class index, ``fused`` computes a row's loss and every entry of its gradient with relative
    error ≤ (4 + max|z − m|/2)·eps, m = max z.

    Examples
    --------
    >>> from tinygrad_ce import Value
    >>> z = Value([3.2, 1.3, 0.5])
    >>> loss = cross_entropy(z, 0)
    >>> loss.backward()
    >>> f"{loss:.4f}", z.grad.round(4)
    ('0.1962', array([-0.1782,  0.1229,  0.0552]))
    """
    z, target = _classes_last(as_input(logits, "logits"), soft(target), axis)
    options = (weight, ignore_index, label_smoothing, reduction, allow_unnormalized)
    if not fused or COMPOSED.get():
        t = read_target(z, target, *options)
        return compose(log_softmax(z), t)
    return LogSoftmaxNLL(z, target, **dict(zip(LogSoftmaxNLL.options, options)))


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
    log_p, target = _classes_last(as_input(log_probs, "log_probs"), soft(target), axis)
    options = (weight, ignore_index, 0.0, reduction, allow_unnormalized)
    return compose(log_p, read_target(log_p, target, *options))


def _reduced(loss: Any, reduction: str) -> Any:
    check_reduction(reduction)
    return loss if reduction == "none" else getattr(np, reduction)(loss)


def _same_shape(x: Any, target: Any, name: str, fits: Any = None, wanted: str = "") -> Any:
    """Two arrays of one shape and dtype, every entry of the target one that fits."""
    x, y = as_input(x, name), soft(target)
    if x.shape != y.shape:
        wrong = "target: got shape {got}, wanted {wanted}, that of the {name}"
        raise ValueError(_(wrong, got=y.shape, wanted=x.shape, name=name))
    if x.size == 0:
        raise ValueError(_("{name} of shape {shape} hold no samples", name=name, shape=x.shape))
    if fits:
        wrong = "target: got {got} at {where}, wanted {wanted}"
        data = np.asarray(example(detach(y)))
        refuse(~fits(data), data, wrong, wanted=wanted)
    return x, y if y.__class__ is Value else y.astype(x.dtype)


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
    >>> from tinygrad_ce import Value
    >>> z = Value(0.0)
    >>> binary_cross_entropy(z, 1).backward()
    >>> z.grad
    -0.5
    """
    from_0_to_1 = _("numbers from 0 to 1")
    z, y = _same_shape(logits, target, "logits", lambda y: (y >= 0) & (y <= 1), from_0_to_1)
    positive = y if pos_weight is None else y * factor(pos_weight, "pos_weight", z.dtype, z.shape)
    with np.errstate(invalid="ignore"):  # nan logits give nan; that is the answer
        loss = positive * np.logaddexp(0.0, -z) + (1.0 - y) * np.logaddexp(0.0, z)
    loss = loss if weight is None else loss * factor(weight, "weight", z.dtype, z.shape)
    return _reduced(loss, reduction)


def logistic_loss(logits: Any, target: Any, *, reduction: str = "mean") -> Any:
    """log(1 + exp(−y z)), the same loss for y = −1 or +1.

    Raises
    ------
    ValueError
        For targets other than −1 and +1, or of another shape than the logits; for an empty batch.

    Examples
    --------
    >>> from tinygrad_ce import Value
    >>> z = Value(0.0)
    >>> logistic_loss(z, 1).backward()
    >>> z.grad
    -0.5
    """
    z, y = _same_shape(logits, target, "logits", lambda y: abs(y * 1.0) == 1, _("-1 and +1"))
    with np.errstate(invalid="ignore"):  # nan logits give nan; that is the answer
        return _reduced(np.logaddexp(0.0, -y * z), reduction)


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
    x, y = _same_shape(prediction, target, "prediction")
    return _reduced(np.square(x - y), reduction)
