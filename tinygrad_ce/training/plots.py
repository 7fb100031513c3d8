"""What was learnt, in pictures: each function draws one, and returns its Axes.

Nothing is shown: a notebook shows the figure, a script saves it with
``ax.figure.savefig("name.png")``. For a confusion matrix, decision regions and calibration,
scikit-learn has displays: ``ConfusionMatrixDisplay``, ``DecisionBoundaryDisplay`` and
``CalibrationDisplay`` take any of its estimators, and so a `SoftmaxRegression`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..engine.text import _
from ..engine.value import detach

# M. Okabe and K. Ito, "Color universal design" (2008), in the order in which neighbours differ most
COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#000000"]
FEW = 20  # names up to which each has its tick


def _axes(ax: Any) -> Any:
    """Return the Axes given, or those of a new figure."""
    if ax is not None:
        if not hasattr(ax, "get_xlim"):
            text = "ax: got a {kind}, wanted Matplotlib's Axes or None"
            raise TypeError(_(text, kind=type(ax).__name__))
        return ax
    try:
        from matplotlib import pyplot
    except ImportError:
        text = 'a plot needs Matplotlib: pip install "tinygrad_ce[plot]"'
        raise ImportError(_(text)) from None
    return pyplot.subplots(layout="constrained")[1]


def _attribute(name: str, model: Any, attribute: str, wanted: str) -> Any:
    """Return what a fitted model has, or the thing itself, as an array."""
    kind = type(model).__name__
    if hasattr(model, "fit") and not hasattr(model, attribute):
        text = "{name}: this {kind} has no {attribute}; fit it first"
        raise TypeError(_(text, name=name, kind=kind, attribute=attribute))
    try:
        data = np.asarray(detach(getattr(model, attribute, model)), dtype=float)
    except (TypeError, ValueError):
        text = "{name}: got a {kind}, wanted an estimator with {attribute}, or {wanted}"
        raise TypeError(_(text, name=name, kind=kind, attribute=attribute, wanted=wanted)) from None
    return data


def plot_loss_curve(model: Any, *, label: str | None = None, ax: Any = None) -> Any:
    """Draw the loss after each epoch; return the Axes.

    Parameters
    ----------
    model : a fitted estimator with ``loss_curve_``, or the losses, a sequence of numbers
    label : what a legend calls the curve, where several are drawn into one ``ax``
    ax : Matplotlib's Axes to draw into; None makes a figure

    Examples
    --------
    >>> ax = plot_loss_curve([1.1, 0.5, 0.4])
    >>> ax.figure.savefig("loss.png")  # doctest: +SKIP
    """
    losses = np.atleast_1d(_attribute("plot_loss_curve", model, "loss_curve_", "losses"))
    if losses.ndim != 1 or not losses.size:
        text = "plot_loss_curve: got shape {shape}, wanted one loss an epoch"
        raise TypeError(_(text, shape=losses.shape))
    ax = _axes(ax)
    colour = COLOURS[len(ax.get_lines()) % len(COLOURS)]
    marker = "." if len(losses) < 30 else ""
    ax.plot(np.arange(1, len(losses) + 1), losses, label=label, color=colour, marker=marker)
    ax.set(xlabel="epoch", ylabel="loss")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.grid(alpha=0.3)
    if label is not None:
        ax.legend(frameon=False)
    return ax


def plot_weights(model: Any, *, features: Any = None, classes: Any = None, ax: Any = None) -> Any:
    """Draw the weight of each feature (a column) for each class (a row); return the Axes.

    Parameters
    ----------
    model : a fitted estimator with ``coef_``, or an array of shape (classes, features); red speaks
        for a class, blue against
    features, classes : names; by default those the estimator was fitted with
    ax : Matplotlib's Axes to draw into; None makes a figure

    Examples
    --------
    >>> ax = plot_weights(np.array([[1.0, -2.0], [-1.0, 2.0]]), features=["length", "width"])
    >>> [text.get_text() for text in ax.get_xticklabels()]
    ['length', 'width']
    """
    weights = _attribute("plot_weights", model, "coef_", "an array")
    weights = weights[None] if weights.ndim == 1 else weights
    if weights.ndim != 2 or not weights.size:
        text = "plot_weights: got shape {shape}, wanted (classes, features)"
        raise TypeError(_(text, shape=weights.shape))
    features = getattr(model, "feature_names_in_", None) if features is None else features
    classes = getattr(model, "classes_", None) if classes is None else classes
    if classes is not None and len(weights) == 1 and len(classes) == 2:
        classes = classes[1:]  # two classes share a row: what speaks for the second
    names = [range(n) if x is None else x for n, x in zip(weights.shape, (classes, features))]
    if (len(names[0]), len(names[1])) != weights.shape:
        text = "plot_weights: got {n} classes and {m} features for weights of shape {shape}"
        raise ValueError(_(text, n=len(names[0]), m=len(names[1]), shape=weights.shape))
    ax = _axes(ax)
    most = np.abs(weights).max() or 1.0
    image = ax.imshow(weights, cmap="RdBu_r", vmin=-most, vmax=most, aspect="auto")
    ax.figure.colorbar(image, ax=ax, label="weight")
    _write_numbers(ax, weights, most)
    ax.set(xlabel="feature", ylabel="class")
    _set_ticks(ax, *([str(name) for name in each] for each in names))
    return ax


def _write_numbers(ax: Any, weights: Any, most: float) -> None:
    """Write each weight into its cell, as large as fits; none where that could not be read."""
    box, scale = ax.get_window_extent(), 72 / ax.figure.dpi  # a font's size is in points
    rows, columns = weights.shape
    size = min(11.0, 0.15 * box.width * scale / columns, 0.8 * box.height * scale / rows)
    for (i, j), w in np.ndenumerate(weights) if size >= 5.0 else []:
        colour = "white" if abs(w) > 0.6 * most else "black"
        text = f"{w:.2g}".replace("-", "−")
        ax.text(j, i, text, ha="center", va="center", color=colour, fontsize=size)


def _set_ticks(ax: Any, rows: list[str], columns: list[str]) -> None:
    """Give each row and column its name, if they are not too many; long ones along x turn."""
    if len(rows) <= FEW:
        ax.set_yticks(range(len(rows)), rows)
    if len(columns) <= FEW:
        turned = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
        ax.set_xticks(range(len(columns)), columns, **turned if sum(map(len, columns)) > 50 else {})
