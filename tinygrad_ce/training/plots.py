"""What was learnt, in pictures: each function draws one, and returns its Axes.

A script saves it with ``ax.figure.savefig("name.png")``. For a confusion matrix, decision regions
and calibration, scikit-learn's displays take a `SoftmaxRegression`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..engine.language import language, speaking
from ..engine.text import _, require
from ..engine.value import detach

# M. Okabe and K. Ito, "Color universal design" (2008), in the order in which neighbours differ most
COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#000000"]
# Fonts with Korean letters, which Matplotlib's own has not: of Windows, macOS, Linux.
HANGUL = "Malgun Gothic,Apple SD Gothic Neo,AppleGothic,NanumGothic,NanumBarunGothic,Noto Sans KR"
FONTS = {"ko": f"{HANGUL},Noto Sans CJK KR,Noto Sans CJK JP".split(",")}
FEW = 20  # names up to which each has its tick


def _axes(ax: Any) -> Any:
    """Return the Axes given, or those of a new figure."""
    text = "ax: got a {kind}, wanted Matplotlib's Axes or None"
    require(ax is None or hasattr(ax, "get_xlim"), text, TypeError, kind=type(ax).__name__)
    try:
        from matplotlib import pyplot
    except ImportError:
        text = 'a plot needs Matplotlib: pip install "tinygrad_ce[plot]"'
        raise ImportError(_(text)) from None
    return pyplot.subplots(layout="constrained")[1] if ax is None else ax


def _attribute(model: Any, attribute: str, ndim: int, wanted: str) -> Any:
    """Return what a fitted model has, or the thing itself, as an array of so many axes."""
    data = np.asarray(detach(getattr(model, attribute, model)))
    if data.dtype.kind not in "fiu" or not data.size or data.ndim not in (1, ndim):
        text = "got a {kind} of shape {shape}, wanted an estimator with {attribute}, or {wanted}"
        kind, shape = type(model).__name__, data.shape
        raise TypeError(_(text, kind=kind, shape=shape, attribute=attribute, wanted=wanted))
    return data.reshape(-1 if ndim == 1 else (-1, data.shape[-1]))


@contextmanager
def _words(lang: str) -> Iterator[dict[str, str]]:
    """Speak a language, or English where no font has its letters; give that font to `Axes`."""
    from matplotlib import font_manager

    with speaking(lang):
        known = {font.name for font in font_manager.fontManager.ttflist}
        named = next(filter(known.__contains__, FONTS.get(language(), ())), "")
    with speaking(lang if named or language() not in FONTS else "en"):
        yield {"fontfamily": named} if named else {}


def plot_loss_curve(model: Any, *, label: str | None = None, ax: Any = None, lang: str = "") -> Any:
    """Draw the loss after each epoch; return the Axes.

    Parameters
    ----------
    model : a fitted estimator with ``loss_curve_``, or the losses, a sequence of numbers
    label : what a legend calls the curve, where several are drawn into one ``ax``
    ax : Matplotlib's Axes to draw into; None makes a figure
    lang : the language of its words, "en" or "ko"; the reader's, where none is named

    Examples
    --------
    >>> ax = plot_loss_curve([1.1, 0.5, 0.4])
    >>> ax.figure.savefig("loss.png")  # doctest: +SKIP
    """
    losses, ax = _attribute(model, "loss_curve_", 1, "numbers"), _axes(ax)
    colour = COLOURS[len(ax.get_lines()) % len(COLOURS)]
    marker = "." if len(losses) < 30 else ""
    ax.plot(np.arange(1, len(losses) + 1), losses, label=label, color=colour, marker=marker)
    with _words(lang) as font:
        ax.set_xlabel(_("epoch"), **font)
        ax.set_ylabel(_("loss"), **font)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.grid(alpha=0.3)
    if label is not None:
        ax.legend(frameon=False)
    return ax


def plot_weights(
    model: Any, *, features: Any = None, classes: Any = None, ax: Any = None, lang: str = ""
) -> Any:
    """Draw the weight of each feature (a column) for each class (a row); return the Axes.

    Parameters
    ----------
    model : a fitted estimator with ``coef_``, or an array of shape (classes, features); red speaks
        for a class, blue against
    features, classes : names; by default those the estimator was fitted with
    ax : Matplotlib's Axes to draw into; None makes a figure
    lang : the language of its words, "en" or "ko"; the reader's, where none is named

    Examples
    --------
    >>> ax = plot_weights(np.array([[1.0, -2.0], [-1.0, 2.0]]), features=["length", "width"])
    >>> [text.get_text() for text in ax.get_xticklabels()]
    ['length', 'width']
    """
    weights = _attribute(model, "coef_", 2, "an array of (classes, features)")
    features = getattr(model, "feature_names_in_", None) if features is None else features
    classes = getattr(model, "classes_", None) if classes is None else classes
    if classes is not None and len(weights) == 1 and len(classes) == 2:
        classes = classes[1:]  # two classes share a row: what speaks for the second
    names = [range(n) if x is None else x for n, x in zip(weights.shape, (classes, features))]
    rows, columns = ([str(name) for name in each] for each in names)
    n, m = len(rows), len(columns)
    text = "plot_weights: got {n} classes and {m} features for weights of shape {shape}"
    require((n, m) == weights.shape, text, n=n, m=m, shape=weights.shape)
    ax, most = _axes(ax), np.abs(weights).max() or 1.0
    image = ax.imshow(weights, cmap="RdBu_r", vmin=-most, vmax=most, aspect="auto")
    with _words(lang) as font:
        ax.set_xlabel(_("feature"), **font)
        ax.set_ylabel(_("class"), **font)
        ax.figure.colorbar(image, ax=ax).set_label(_("weight"), **font)
    if n <= FEW:
        ax.set_yticks(range(n), rows)
    if m <= FEW:
        ax.set_xticks(range(m), columns)
        if sum(map(len, columns)) > 50:
            ax.tick_params("x", rotation=45)
    for (i, j), w in np.ndenumerate(weights) if max(weights.shape) <= FEW // 2 else ():
        colour = "white" if abs(w) > 0.6 * most else "black"
        text = f"{w:.2g}".replace("-", "−")
        ax.text(j, i, text, ha="center", va="center", color=colour, fontsize="small")
    return ax
