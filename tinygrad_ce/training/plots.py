"""A fitted classifier in pictures: each function draws one, and returns its Axes.

A model is any fitted estimator in scikit-learn's conventions; where it only has to predict, a
function of X serves too. Nothing is shown: a notebook shows the figure, a script saves it with
``ax.figure.savefig("name.png")``. Colours are told apart by colour-blind readers, and no picture
rests on colour alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..engine.value import detach
from .calibration import reliability

# M. Okabe and K. Ito, "Color universal design" (2008), in the order in which neighbours differ most
COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#000000"]
MARKERS = "os^DvPX"  # seven, so that colour and marker together repeat after 56 classes only
FEW = 20  # names up to which each has its tick


def _colour(k: int) -> str:
    return COLOURS[k % len(COLOURS)]


def _axes(ax: Any) -> Any:
    """The Axes given, or those of a new figure."""
    if ax is not None:
        if not hasattr(ax, "get_xlim"):
            raise TypeError(f"ax: got a {type(ax).__name__}, wanted Matplotlib's Axes or None")
        return ax
    try:
        from matplotlib import pyplot
    except ImportError:
        message = 'a plot needs Matplotlib: pip install "tinygrad_ce[plot]"'
        raise ImportError(message) from None
    return pyplot.subplots(layout="constrained")[1]


def _outputs(name: str, method: str, args: tuple[Any, ...]) -> tuple[Any, Any, Any]:
    """Outputs, labels and classes (or None) of (model, X, y), or of (outputs, y)."""
    model = args[0] if args else None
    run = getattr(model, method, model if callable(model) else None)
    if len(args) != (2 if run is None else 3):
        raise TypeError(f"{name}: wanted (model, X, y), or (model.{method}(X), y)")
    out = args[0] if run is None else run(args[1])
    out, y = np.asarray(detach(out)), np.asarray(detach(args[-1]))
    if y.ndim != 1 or out.shape[:1] != y.shape or not y.size:
        raise ValueError(
            f"{name}: got shapes {out.shape} and {y.shape}, wanted a label for each row"
        )
    return out, y, getattr(model, "classes_", None)


def _classes(name: str, *labels: Any) -> Any:
    """All labels there are, sorted."""
    found = [np.asarray(each) for each in labels if each is not None]
    if len({each.dtype.kind in "biuf" for each in found}) > 1:
        kinds = " and ".join(sorted({str(each.dtype) for each in found}))
        raise TypeError(f"{name}: got labels of {kinds}, wanted those of the model for y")
    return np.unique(np.concatenate(found))


def _attribute(name: str, model: Any, attribute: str, what: str) -> Any:
    """What a fitted model has, or the thing itself."""
    if hasattr(model, "fit") and not hasattr(model, attribute):
        raise TypeError(f"{name}: this {type(model).__name__} has no {attribute}; fit it first")
    found = detach(getattr(model, attribute, model))
    try:
        data = np.asarray(found, dtype=float)
    except (TypeError, ValueError):
        raise TypeError(f"{name}: got a {type(model).__name__}, wanted {what}") from None
    return data


def _points(ax: Any) -> tuple[float, float]:
    """Width and height of the Axes in points, 72 an inch: what a font's size is in."""
    box, scale = ax.get_window_extent(), 72 / ax.figure.dpi
    return box.width * scale, box.height * scale


def _names(ax: Any, x: Any, y: Any) -> None:
    """A tick for each name, if they are not too many; along x they turn where they do not fit."""
    x, y = ([n if len(n) < 19 else n[:17] + "…" for n in map(str, names)] for names in (x, y))
    width, height = _points(ax)
    cell = 0.8 * (width if ax.get_aspect() == "auto" else min(width, height)) / len(x)
    turn = 0 if 6.0 * max(map(len, x)) < cell else 45 if cell > 20.0 else 90
    slant = {"rotation": turn, "ha": "right", "rotation_mode": "anchor", "va": "center"}
    if len(x) <= FEW:
        ax.set_xticks(range(len(x)), x, **(slant if turn else {}))
    if len(y) <= FEW:
        ax.set_yticks(range(len(y)), y)


def _table(ax: Any, numbers: Any, texts: Any, dark: Any) -> None:
    """A text in each cell of an image, as large as fits; none where that could not be read."""
    rows, columns = numbers.shape
    width, height = _points(ax)
    size = min(11.0, 0.8 * width / columns / max(map(len, texts.flat)), 0.8 * height / rows)
    if size >= 5.0:
        for (i, j), text in np.ndenumerate(texts):
            colour = "white" if dark[i, j] else "black"
            ax.text(j, i, text, ha="center", va="center", color=colour, fontsize=size)


def plot_loss_curve(model: Any, *, label: str | None = None, ax: Any = None) -> Any:
    """The loss after each epoch.

    Parameters
    ----------
    model : a fitted estimator with ``loss_curve_``, or the losses, a sequence of numbers
    label : what a legend calls the curve, where several are drawn into one ``ax``
    ax : Matplotlib's Axes to draw into; None makes a figure

    Returns
    -------
    The Axes

    Raises
    ------
    TypeError
        For anything else, or an estimator that is not fitted.
    ImportError
        If Matplotlib is not installed.

    Examples
    --------
    >>> ax = plot_loss_curve([1.1, 0.5, 0.4])
    >>> ax.figure.savefig("loss.png")  # doctest: +SKIP
    """
    wanted = "an estimator with loss_curve_, or losses"
    losses = np.atleast_1d(_attribute("plot_loss_curve", model, "loss_curve_", wanted))
    if losses.ndim != 1 or not losses.size:
        raise TypeError(f"plot_loss_curve: got shape {losses.shape}, wanted one loss an epoch")
    ax = _axes(ax)
    style = {"color": _colour(len(ax.get_lines())), "marker": "." if len(losses) < 30 else ""}
    ax.plot(np.arange(1, len(losses) + 1), losses, label=label, **style)
    ax.set(xlabel="epoch", ylabel="loss")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.grid(alpha=0.3)
    if label is not None:
        ax.legend(frameon=False)
    return ax


def plot_confusion_matrix(*args: Any, ax: Any = None) -> Any:
    """How often each class (a row) was taken for each (a column).

    The numbers are counts; the shade is the part of the row.

    Parameters
    ----------
    *args : ``model, X, y``; or ``predicted, y``, two arrays of labels
    ax : Matplotlib's Axes to draw into; None makes a figure

    Returns
    -------
    The Axes

    Raises
    ------
    TypeError
        For other arguments.
    ValueError
        If there is not one label for each row.
    ImportError
        If Matplotlib is not installed.

    Examples
    --------
    >>> ax = plot_confusion_matrix(["cat", "dog", "dog"], ["cat", "dog", "cat"])
    >>> ax.get_title()
    '2 of 3 right'
    """
    predicted, y, classes = _outputs("plot_confusion_matrix", "predict", args)
    if predicted.ndim != 1:
        raise ValueError(f"plot_confusion_matrix: got {predicted.shape} predictions, wanted labels")
    classes = _classes("plot_confusion_matrix", predicted, y, classes)
    counts = np.zeros((len(classes), len(classes)), dtype=int)
    np.add.at(counts, (np.searchsorted(classes, y), np.searchsorted(classes, predicted)), 1)
    part = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    ax = _axes(ax)
    ax.imshow(part, cmap="Blues", vmin=0.0, vmax=1.0)
    _table(ax, counts, counts.astype(str), part > 0.5)
    ax.set(xlabel="predicted", ylabel="true")
    ax.set_title(f"{counts.trace()} of {len(y)} right", fontsize="medium")
    _names(ax, classes, classes)
    return ax


def plot_decision_regions(
    model: Any, X: Any, y: Any = None, *, resolution: int = 300, ax: Any = None
) -> Any:
    """Which class a model predicts where, in the plane of two features.

    With ``predict_proba``, the paler, the less sure.

    Parameters
    ----------
    model : a fitted estimator, or a function from points (N, 2) to their labels
    X : (N, 2) array or data frame: what is around them is drawn
    y : (N,) labels; with them the samples are drawn too
    resolution : int, points of the grid along each axis
    ax : Matplotlib's Axes to draw into; None makes a figure

    Returns
    -------
    The Axes

    Raises
    ------
    TypeError
        If the model cannot predict.
    ValueError
        If X has not two features, or there is not one label for each row.
    ImportError
        If Matplotlib is not installed.

    Examples
    --------
    >>> ax = plot_decision_regions(lambda X: X[:, 0] > X[:, 1], np.array([[0.0, 1.0], [2.0, 0.0]]))
    >>> ax.get_xlabel()
    'feature 1'
    """
    frame, X = X, np.asarray(X, dtype=float)
    if X.ndim != 2 or X.shape[1] != 2 or not len(X):
        raise ValueError(f"plot_decision_regions: X has shape {X.shape}, wanted (N, 2), 2 features")
    predict = getattr(model, "predict", model)
    if not callable(predict):
        raise TypeError(f"plot_decision_regions: a {type(model).__name__} cannot predict")
    named = hasattr(frame, "iloc")  # a model fitted to a data frame wants one again
    if not isinstance(resolution, int | np.integer) or resolution < 2:
        raise ValueError(f"resolution: got {resolution!r}, wanted an int from 2 up")
    margin = 0.08 * np.ptp(X, axis=0) + 1e-6 * (1.0 + np.abs(X).max())
    low, high = X.min(axis=0) - margin, X.max(axis=0) + margin
    across, up = np.meshgrid(*(np.linspace(a, b, resolution) for a, b in zip(low, high)))
    grid = np.stack([across.ravel(), up.ravel()], axis=1)
    grid = type(frame)(grid, columns=frame.columns) if named else grid
    labels = np.asarray(detach(predict(grid)))
    y = None if y is None else np.asarray(detach(y))
    if labels.shape != (resolution**2,) or (y is not None and y.shape != X.shape[:1]):
        got = labels.shape if y is None else (labels.shape, y.shape)
        raise ValueError(f"plot_decision_regions: labels of shape {got}, wanted one for each row")
    classes = _classes("plot_decision_regions", labels, y, getattr(model, "classes_", None))
    code = np.searchsorted(classes, labels)
    strength = np.full(len(code), 0.35)
    if hasattr(model, "predict_proba"):
        sure = np.max(detach(model.predict_proba(grid)), axis=1)
        strength = 0.1 + 0.4 * (sure * len(classes) - 1.0) / max(len(classes) - 1.0, 1.0)
    ax = _axes(ax)
    from matplotlib.colors import to_rgb

    colours = np.array([to_rgb(_colour(k)) for k in range(len(classes))])
    shade = 1.0 + np.clip(strength, 0.0, 1.0)[:, None] * (colours[code] - 1.0)
    half = (high - low) / (resolution - 1) / 2  # of a pixel, whose middle is a point of the grid
    extent = np.stack([low - half, high + half], axis=1).ravel()
    ax.imshow(shade.reshape(*up.shape, 3), origin="lower", extent=extent, aspect="auto")
    for k in np.unique(code)[1:]:
        side = (code == k).reshape(up.shape)
        ax.contour(across, up, side, levels=[0.5], colors="0.3", linewidths=0.8)
    for k, name in enumerate(classes if y is not None else []):
        marker, own = MARKERS[k % len(MARKERS)], X[y == name]
        style = {"edgecolors": "white", "linewidths": 0.6, "color": _colour(k), "label": str(name)}
        ax.scatter(own[:, 0], own[:, 1], s=28, marker=marker, **style)
    if y is not None:  # above, where it hides no sample
        fit = int(_points(ax)[0] / (25.0 + 6.0 * max(len(str(name)) for name in classes)))
        where = {"loc": "lower left", "bbox_to_anchor": (0.0, 1.0), "ncols": max(1, fit)}
        ax.legend(frameon=False, handletextpad=0.1, columnspacing=1.0, borderpad=0.2, **where)
    names = frame.columns if named else ["feature 1", "feature 2"]
    ax.set(
        xlabel=str(names[0]), ylabel=str(names[1]), xlim=(low[0], high[0]), ylim=(low[1], high[1])
    )
    return ax


def plot_weights(model: Any, *, features: Any = None, classes: Any = None, ax: Any = None) -> Any:
    """The weight of each feature (a column) for each class (a row): red for, blue against.

    Parameters
    ----------
    model : a fitted estimator with ``coef_``, or an array of shape (classes, features)
    features, classes : names; by default those the estimator was fitted with
    ax : Matplotlib's Axes to draw into; None makes a figure

    Returns
    -------
    The Axes

    Raises
    ------
    TypeError
        For anything else, or an estimator that is not fitted.
    ValueError
        If there is not a name for each row and column.
    ImportError
        If Matplotlib is not installed.

    Examples
    --------
    >>> ax = plot_weights(np.array([[1.0, -2.0], [-1.0, 2.0]]), features=["length", "width"])
    >>> [text.get_text() for text in ax.get_xticklabels()]
    ['length', 'width']
    """
    weights = _attribute("plot_weights", model, "coef_", "an estimator with coef_, or an array")
    weights = weights[None] if weights.ndim == 1 else weights
    if weights.ndim != 2 or not weights.size:
        raise TypeError(f"plot_weights: got shape {weights.shape}, wanted (classes, features)")
    features = getattr(model, "feature_names_in_", None) if features is None else features
    classes = getattr(model, "classes_", None) if classes is None else classes
    if classes is not None and len(weights) == 1 and len(classes) == 2:
        classes = classes[1:]  # two classes share a row: what speaks for the second
    rows, columns = weights.shape
    features = range(columns) if features is None else features
    classes = range(rows) if classes is None else classes
    if (len(classes), len(features)) != weights.shape:
        got = f"{len(classes)} classes and {len(features)} features"
        raise ValueError(f"plot_weights: got names of {got} for weights of shape {weights.shape}")
    ax = _axes(ax)
    most = np.abs(weights).max() or 1.0
    image = ax.imshow(
        weights, cmap="RdBu_r", vmin=-most, vmax=most, aspect="auto", interpolation="nearest"
    )
    ax.figure.colorbar(image, ax=ax, label="weight")
    texts = np.array([[f"{w:.2g}".replace("-", "−") for w in row] for row in weights])
    _table(ax, weights, texts, np.abs(weights) > 0.6 * most)
    ax.set(xlabel="feature", ylabel="class")
    _names(ax, features, classes)
    return ax


def plot_reliability(*args: Any, bins: int = 15, ax: Any = None) -> Any:
    """How many of the predictions of a certain probability came true, bin by bin.

    A calibrated model's bars end on the diagonal; the hatched part is what they are off.

    Parameters
    ----------
    *args : ``model, X, y``; or ``p, y``, for probabilities and labels as `reliability` takes them
    bins : int, how many bins of equal width
    ax : Matplotlib's Axes to draw into; None makes a figure

    Returns
    -------
    The Axes

    Raises
    ------
    TypeError, ValueError
        For other arguments, as `reliability` does.
    ImportError
        If Matplotlib is not installed.

    Examples
    --------
    >>> ax = plot_reliability(np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]]), [0, 1, 1])
    >>> ax.get_title()
    'expected calibration error 40.0 %'
    """
    p, y, classes = _outputs("plot_reliability", "predict_proba", args)
    if classes is not None:
        if (strange := y[~np.isin(y, classes)]).size:
            wanted = classes.tolist()
            raise ValueError(f"plot_reliability: got class {strange[0]!s}, wanted one of {wanted}")
        y = np.searchsorted(classes, y)
    found = reliability(p, y, bins=bins)
    ax = _axes(ax)
    width = 1.0 / bins
    middle = (np.arange(bins) + 0.5) * width
    gap = found.confidence - found.accuracy
    bar = {"width": width, "edgecolor": "white", "linewidth": 0.6}
    ax.bar(middle, found.accuracy, color=COLOURS[0], label="came true", **bar)
    off = {"facecolor": "none", "edgecolor": COLOURS[5], "hatch": "////", "linewidth": 0.6}
    ax.bar(middle, gap, width, bottom=found.accuracy, label="off by", **off)
    ax.plot([0, 1], [0, 1], linestyle="--", color="0.3", label="calibrated")
    ax.set(xlabel="predicted probability", ylabel="part that came true", xlim=(0, 1), ylim=(0, 1))
    ax.set_title(
        f"expected calibration error {found.ece:.1%}".replace("%", " %"), fontsize="medium"
    )
    ax.legend(loc="upper left", fontsize="small")
    return ax
