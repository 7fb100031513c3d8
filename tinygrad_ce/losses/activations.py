r"""Softmax and its relatives, composed of primitives: the chain rule alone gives every gradient.

Each function takes a `Value` and returns one, or takes an array and returns an array. The maximum
is subtracted first, so that no exponential overflows; it is a constant for the chain rule, because
adding a constant to every logit changes none of the results (softmax) or cancels (logsumexp).
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from typing import Any

import numpy as np

from ..engine.data import as_data, example
from ..engine.ops import RELU, SIGMOID
from ..engine.text import _
from ..engine.value import Value, detach

COMPOSED = ContextVar("COMPOSED", default=False)  # whether `derive` asks for the textbook's forms


def as_input(x: Any, what: str) -> Any:
    """A `Value` as it is; real numbers as a floating-point array."""
    if x.__class__ is Value:
        return x
    data = as_data(x, what)
    return np.asarray(data) if data.__class__ is float else data


def _shift(x: Any, axis: Any) -> Any:
    """The maximum, a constant."""
    return np.max(detach(x), axis=axis, keepdims=True)


def logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    r"""log Σ exp(x), without overflow.

    Parameters
    ----------
    x : `Value` or array of real numbers
    axis : int, tuple of ints or None (all axes)

    Returns
    -------
    A `Value` if ``x`` is one, else an array; its gradient is the softmax of ``x``.

    Examples
    --------
    >>> f"{logsumexp(np.array([1000.0, 1000.0])):.4f}"
    '1000.6931'
    """
    x = as_input(x, "logsumexp")
    top = _shift(x, axis)
    top = np.where(abs(top) == np.inf, 0.0, top)  # the result is infinite too; inf - inf is nan
    total = np.sum(np.exp(x - top), axis=axis, keepdims=keepdims)
    with np.errstate(divide="ignore"):  # every entry -inf: the logarithm of 0 is -inf, and right
        return np.log(total) + (top if keepdims else np.squeeze(top, axis=axis))


def softmax(x: Any, axis: int = -1, temperature: float = 1.0) -> Any:
    r"""exp(x / T) / Σ exp(x / T): positive, and 1 in sum along ``axis``.

    Parameters
    ----------
    x : `Value` or array of logits
    axis : the axis of the classes
    temperature : T > 0; below 1 sharpens, above 1 flattens. Base b is T = 1 / log b.

    Raises
    ------
    TypeError, ValueError
        If ``temperature`` is not a number above 0, or ``axis`` is not one of ``x``.

    Examples
    --------
    >>> softmax(np.array([2.0, 1.0, 0.1])).round(3)
    array([0.659, 0.242, 0.099])
    """
    t: Any = as_data(detach(temperature), "softmax: temperature")
    if np.ndim(t) or not example(t) > 0:
        wrong = "softmax: got temperature={got!r}, wanted a number above 0"
        raise ValueError(_(wrong, got=temperature))
    x = as_input(x, "softmax")
    t = temperature if isinstance(temperature, Value) else t
    x = x if t.__class__ is float and t == 1.0 else x / t
    e = np.exp(x - _shift(x, axis))
    return e / np.sum(e, axis=axis, keepdims=True)


def log_softmax(x: Any, axis: int = -1) -> Any:
    """Return x - logsumexp(x), the logarithm of `softmax`, exact also where that underflows to 0.

    Examples
    --------
    >>> log_softmax(np.array([0.0, 1000.0]))
    array([-1000.,     0.])
    """
    x = as_input(x, "log_softmax")
    top: Any = _shift(x, axis)
    if x.__class__ is Value and x.data.__class__ is np.ndarray and x.shape:
        # What flows back to it is 0 but for rounding, and mends that of p - 1 where p is nearly 1.
        top = np.take_along_axis(x, np.argmax(x, axis=axis, keepdims=True), axis)
        top.name = "max"
    x = x - top
    return x - np.log(np.sum(np.exp(x), axis=axis, keepdims=True))


def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x)), without overflow and accurate in both tails.

    Examples
    --------
    >>> sigmoid(np.array([-1000.0, 0.0, 1000.0]))
    array([0. , 0.5, 1. ])
    """
    x = as_input(x, "sigmoid")
    return 1 / (1 + np.exp(-x)) if COMPOSED.get() else SIGMOID(x)


def relu(x: Any) -> Any:
    """The positive part of x; its derivative at 0 is 0, as in PyTorch. NaN stays NaN.

    Examples
    --------
    >>> relu(np.array([-1.0, 2.0]))
    array([0., 2.])
    """
    return RELU(as_input(x, "relu"))


# What learners write where the softmax of scores z belongs, or the sigmoid (for exercises).
MISTAKEN: dict[str, dict[str, Callable[[Any], Any]]] = {
    "softmax": {
        "softmax over the wrong axis: the classes of a sample stand in a row":
            partial(softmax, axis=0),
        "one softmax over all rows: each row has its own": lambda z: np.exp(z) / np.sum(np.exp(z)),
        "the sigmoid in place of the softmax: the classes of a row share one sum": sigmoid,
        "scores in place of probabilities: where is the softmax?": lambda z: z,
        "exp not divided by its sum: what makes probabilities of it?": np.exp,
        "not divided by the sum: by what?": lambda z: np.exp(z - np.max(z, -1, keepdims=True)),
        "the maximum subtracted above, not below: does it cancel?":
            lambda z: np.exp(z - np.max(z, -1, keepdims=True))
            / np.sum(np.exp(z), -1, keepdims=True),
        "still a logarithm: take exp of it": log_softmax,
        "the softmax taken twice: of what is it one already?": lambda z: softmax(softmax(z)),
        "the exponentials left out above: which of them stands there?":
            lambda z: np.ones(np.shape(z)) / np.sum(np.exp(z), -1, keepdims=True)},
    "sigmoid": {
        "scores in place of probabilities: where is the sigmoid?": lambda z: z,
        "exp in place of the sigmoid: what keeps it below 1?": np.exp,
        "tanh in place of the sigmoid: which of them is above 0?": np.tanh,
        "the softmax in place of the sigmoid: which numbers share a sum?": softmax,
        "the sigmoid taken twice: of what is it one already?": lambda z: sigmoid(sigmoid(z)),
        "a step in place of the sigmoid: does it jump?": lambda z: np.where(z > 0.0, 1.0, 0.0)},
}  # fmt: skip
# And for the slope of what is made of x in one step or several.
SLOPES: dict[str, Callable[[Any], Any]] = {
    "{x}": np.positive, "1 - {x}": lambda x: 1.0 - x,
    "{x} * (1 - {x})": lambda x: x * (1.0 - x), "1 - {x} ** 2": lambda x: 1.0 - x * x,
    "sign({x})": np.sign, "1 if {x} > 0": lambda x: 1.0 * (x > 0.0),
    "sigmoid({x})": sigmoid, "tanh({x})": np.tanh,
    "sigmoid({x}) * (1 - sigmoid({x}))": lambda x: sigmoid(x) * sigmoid(-x),
    "1 - tanh({x}) ** 2": lambda x: 1.0 - np.tanh(x) ** 2,
}  # fmt: skip
