"""Calibration: of the samples called 80 % sure, are 80 % right? And one temperature that helps.

C. Guo, G. Pleiss, Y. Sun and K. Q. Weinberger, "On calibration of modern neural networks",
ICML 2017: the temperature, the bins and the expected calibration error are theirs.
"""

import warnings
from typing import Any, NamedTuple

import numpy as np

from ..engine.data import as_data
from ..engine.text import _, require
from ..engine.value import detach
from ..losses.activations import softmax

ONE_HOT = 750.0  # exp(-750) is 0: from this many apart, logits give probabilities of 0 and 1


class Reliability(NamedTuple):
    r"""What `reliability` returns: one entry a bin, from the least sure to the surest.

    ``confidence`` is the mean of the probabilities in the bin, ``accuracy`` the part of them that
    came true (both nan where there are none), ``count`` how many there are; ``ece`` is the expected
    calibration error, Σ count / N · \|accuracy − confidence\|.
    """

    confidence: Any
    accuracy: Any
    count: Any
    ece: float


def _check_samples(x: Any, y: Any, name: str) -> tuple[Any, Any]:
    """Return finite scores of shape (N, K) or (N,), and a class index for each."""
    x, y = np.asarray(as_data(detach(x), name), float), np.asarray(detach(y))
    fits = x.size and (x.ndim == 1 or (x.ndim == 2 and x.shape[1] > 1))
    text = "{name}: got shape {shape}, wanted (N, K), or (N,) of two classes"
    require(fits, text, name=name, shape=x.shape)
    require(np.isfinite(x).all(), "{name}: wanted finite numbers, got inf or nan", name=name)
    text = "y: got {y.dtype} of shape {y.shape}, wanted {n} indices: np.searchsorted(classes, y)"
    require(y.shape == x.shape[:1] and y.dtype.kind in "iub", text, y=y, n=len(x))
    low, high, last = y.min(), y.max(), 1 if x.ndim == 1 else x.shape[1] - 1
    text = "y: got {low} to {high}, wanted 0 to {last}"
    require(low >= 0 and high <= last, text, low=low, high=high, last=last)
    return x, y.astype(np.intp)


def temperature_scale(logits: Any, y: Any) -> float:
    """The temperature T at which softmax(logits / T) has the least cross-entropy with y.

    No prediction changes, only how sure it is. Fit it on samples that the model was not trained on;
    `softmax` has ``temperature=`` for it. The loss is convex in 1 / T: bisection finds where
    its slope is 0.

    Parameters
    ----------
    logits : (N, K) array, or (N,): the logit of class 1 where there are two
    y : (N,) integer array, class indices

    Returns
    -------
    float, above 0; 1 if the logits are all alike. With a `RuntimeWarning` where there is no best:
    if every sample is right, a T so small that the probabilities are 0 and 1; if the right logits
    are not above the mean, inf.

    Examples
    --------
    >>> from tinygrad_ce import softmax
    >>> logits, y = np.array([[4.0, 0.0], [4.0, 0.0], [0.0, 4.0], [0.0, 4.0]]), [0, 0, 1, 0]
    >>> T = temperature_scale(logits, y)  # three in four are right, and softmax says 98 %
    >>> round(T, 3), softmax(logits, temperature=T).max(axis=1)
    (3.641, array([0.75, 0.75, 0.75, 0.75]))
    """
    z, y = _check_samples(logits, y, "logits")
    z = z if z.ndim == 2 else np.stack([np.zeros_like(z), z], axis=1)
    # Against the right class: the loss is the same, and its slope, Σ p · z, has no p − 1 in it.
    z = z - np.take_along_axis(z, y[:, None], axis=1)
    size = float(np.abs(z).max())
    if size == 0.0:
        return 1.0
    if z.max() <= 0.0:
        text = "temperature_scale: every sample is right, so the loss falls as T → 0"
        warnings.warn(_(text), RuntimeWarning, stacklevel=2)
        return max(float(-z[z < 0].max()) / ONE_HOT, size / 1e300, 5e-324)
    if z.sum() >= 1e-12 * z[z < 0].sum():  # or so little below that T is beyond 1e12
        text = "temperature_scale: right logits are not above the mean, so the loss falls as T → ∞"
        warnings.warn(_(text), RuntimeWarning, stacklevel=2)
        return float("inf")
    z /= size
    low, high = 1e-300, 1e300  # of b = 1 / T
    for _step in range(64):  # log(high / low) ends below 1e-16
        b = low**0.5 * high**0.5
        slope = np.vdot(softmax(b * z), z)
        low, high = (b, high) if slope < 0 else (low, b)
    return float(size / b)


def reliability(p: Any, y: Any, bins: int = 15) -> Reliability:
    """Sort predictions into bins by their probability, and see how many of each came true.

    Parameters
    ----------
    p : (N, K) array of probabilities: the highest of each row is sorted, and comes true where it is
        that of the right class. Or (N,): of class 1 where there are two, true where y is 1.
    y : (N,) integer array, class indices
    bins : int, how many bins of equal width; a probability on an edge is in the lower one

    Returns
    -------
    `Reliability`: confidence, accuracy and count of each bin, and the expected calibration error

    Examples
    --------
    >>> p = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.4, 0.6]])
    >>> bins = reliability(p, [0, 0, 1, 1], bins=2)
    >>> bins.count, bins.confidence, bins.accuracy, round(bins.ece, 4)
    (array([0, 4]), array([ nan, 0.75]), array([nan,  1.]), 0.25)
    """
    x, y = _check_samples(p, y, "p")
    text = "p: got {low:g} to {high:g}, wanted probabilities, from 0 to 1"
    require(x.min() >= 0 and x.max() <= 1, text, low=x.min(), high=x.max())
    text = "bins: got {got!r}, wanted an int from 1 up"
    require(isinstance(bins, int | np.integer) and bins > 0, text, got=bins)
    sure, true = (x, y) if x.ndim == 1 else (x.max(axis=1), x.argmax(axis=1) == y)
    sums = x.sum(axis=1) if x.ndim == 2 else np.ones(1)
    row = int(np.abs(sums - 1.0).argmax())
    text = "p: row {row} sums to {sum:.6g}, wanted 1"
    require(abs(sums[row] - 1.0) <= 1e-3, text, row=row, sum=sums[row])
    place = np.searchsorted(np.linspace(0.0, 1.0, bins + 1)[1:-1], sure)
    count = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):  # 0 / 0: a bin without samples has no mean
        confidence = np.bincount(place, sure, bins) / count
        accuracy = np.bincount(place, true, bins) / count
    gap = np.where(count, np.abs(accuracy - confidence), 0.0)
    return Reliability(confidence, accuracy, count, float(count @ gap) / len(y))
