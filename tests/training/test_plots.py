"""The pictures hold the numbers that they are of, and go where they are told to."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from conftest import need

from tinygrad_ce import (
    MLP,
    Value,
    plot_confusion_matrix,
    plot_decision_regions,
    plot_loss_curve,
    plot_reliability,
    plot_weights,
    reliability,
    softmax,
)
from tinygrad_ce.training.plots import COLOURS

need("matplotlib")
from matplotlib import colors, pyplot  # noqa: E402


@pytest.fixture(autouse=True)
def _no_window_and_no_figure_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def show(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("plt.show was called")

    monkeypatch.setattr(pyplot, "show", show)
    yield
    pyplot.close("all")


class Fitted:
    """What the plots want of an estimator: a softmax of two features, three named classes."""

    def __init__(self, classes: Any = ("ant", "bee", "cat")) -> None:
        self.classes_ = np.array(classes)
        self.coef_ = np.array([[3.0, -1.0], [-3.0, -1.0], [0.0, 2.0]])[: len(classes)]
        self.loss_curve_ = [1.0, 0.5, 0.25, 0.2]

    def fit(self) -> None: ...

    def predict_proba(self, X: Any) -> Any:
        return softmax(np.asarray(X) @ self.coef_.T)

    def predict(self, X: Any) -> Any:
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


MODEL = Fitted()
X = np.random.default_rng(0).normal(size=(60, 2)) * [1.0, 10.0]
Y = MODEL.predict(X + np.random.default_rng(1).normal(size=X.shape))
EVERY: list[Callable[..., Any]] = [
    lambda **k: plot_loss_curve(MODEL, label="loss", **k),
    lambda **k: plot_confusion_matrix(MODEL, X, Y, **k),
    lambda **k: plot_decision_regions(MODEL, X, Y, **k),
    lambda **k: plot_weights(MODEL, **k),
    lambda **k: plot_reliability(MODEL, X, Y, **k),
]


@pytest.mark.parametrize("plot", EVERY)
def test_each_makes_a_figure_or_draws_where_it_is_told_to(plot: Any) -> None:
    ax = plot()
    assert pyplot.get_fignums() == [ax.figure.number]
    left, right = pyplot.subplots(1, 2)[1]
    before = len(pyplot.get_fignums())
    assert plot(ax=right) is right
    assert len(pyplot.get_fignums()) == before
    assert not left.has_data()
    assert right.has_data()


@pytest.mark.parametrize("size", [(2.4, 1.8), (6.4, 4.8), (12.0, 9.0)])
@pytest.mark.parametrize("plot", EVERY)
def test_each_draws_small_and_large_without_a_warning(plot: Any, size: Any) -> None:
    figure, ax = pyplot.subplots(figsize=size, layout="constrained")
    plot(ax=ax)
    picture = io.BytesIO()
    figure.savefig(picture, dpi=60)
    box = ax.get_window_extent()
    assert box.width > 0.3 * figure.bbox.width * min(1.0, size[1] / size[0])
    assert ax.get_xlabel()
    assert ax.get_ylabel()


@pytest.mark.parametrize("plot", EVERY)
def test_without_matplotlib_the_error_says_what_to_install(plot: Any, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError) as caught:
        plot()
    assert str(caught.value) == 'a plot needs Matplotlib: pip install "tinygrad_ce[plot]"'


@pytest.mark.parametrize("plot", EVERY)
def test_what_is_no_axes_is_refused(plot: Any) -> None:
    with pytest.raises(TypeError, match=r"^ax: got a Figure, wanted Matplotlib's Axes or None$"):
        plot(ax=pyplot.figure())


def ticks(axis: Any) -> list[str]:
    return [label.get_text() for label in axis.get_ticklabels()]


def texts(ax: Any) -> list[str]:
    return [text.get_text() for text in ax.texts]


def test_loss_curve_is_the_losses_by_epoch() -> None:
    ax = plot_loss_curve(MODEL, label="one")
    plot_loss_curve(np.linspace(1.0, 0.0, 40), label="other", ax=ax)
    one, other = ax.get_lines()
    assert one.get_xydata().tolist() == [[1, 1.0], [2, 0.5], [3, 0.25], [4, 0.2]]
    assert other.get_xdata().tolist() == list(range(1, 41))
    assert [one.get_color(), other.get_color()] == COLOURS[:2]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["one", "other"]
    assert all(float(tick).is_integer() for tick in ax.get_xticks())
    assert plot_loss_curve([0.5]).get_legend() is None


def test_confusion_matrix_is_scikit_learns() -> None:
    confusion_matrix = need("sklearn.metrics").confusion_matrix
    ax = plot_confusion_matrix(MODEL, X, Y)
    counts = confusion_matrix(Y, MODEL.predict(X))
    assert 0 < counts.trace() < len(Y)  # some right, some wrong
    np.testing.assert_allclose(ax.images[0].get_array(), counts / counts.sum(axis=1)[:, None])
    assert ax.images[0].get_clim() == (0.0, 1.0)
    assert texts(ax) == [str(n) for n in counts.ravel()]
    assert [text.get_position() for text in ax.texts[:2]] == [(0, 0), (1, 0)]  # (column, row)
    assert ticks(ax.xaxis) == ticks(ax.yaxis) == ["ant", "bee", "cat"]
    assert ax.get_title() == f"{counts.trace()} of 60 right"
    again = plot_confusion_matrix(MODEL.predict(X).tolist(), Y.tolist())
    assert texts(again) == texts(ax)


def test_confusion_matrix_has_a_row_for_a_class_that_does_not_occur() -> None:
    ax = plot_confusion_matrix(MODEL, [[1.0, 0.0]], ["ant"])
    assert ax.images[0].get_array().tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]
    ax = plot_confusion_matrix([0, 5], [0, 0])
    assert ticks(ax.xaxis) == ["0", "5"]
    assert texts(ax) == ["1", "1", "0", "0"]
    light, dark = (ax.texts[i].get_color() for i in (2, 1))
    assert light == dark == "black"
    assert plot_confusion_matrix([0, 0, 1], [0, 0, 1]).texts[0].get_color() == "white"


def test_cells_too_small_for_a_text_have_none() -> None:
    y = np.arange(90)
    ax = plot_confusion_matrix(y, y)
    assert not ax.texts
    assert ax.images[0].get_array().shape == (90, 90)
    assert len(ticks(ax.xaxis)) < 20


@pytest.mark.parametrize("n", [3, 10])
def test_texts_stay_in_their_cells(n: int) -> None:
    figure, ax = pyplot.subplots(figsize=(3.2, 2.4), layout="constrained")
    y = np.repeat(np.arange(n), 888)
    plot_confusion_matrix(y, y, ax=ax)
    figure.canvas.draw()
    cell = ax.get_window_extent().width / n
    assert n == 10 or ax.texts
    for text in ax.texts:
        assert text.get_window_extent().width < cell


def test_names_that_do_not_fit_turn_and_long_ones_are_cut() -> None:
    names = ["a name that is much too long", "short"]
    ax = plot_weights(np.ones((2, 2)), classes=names, features=names)
    assert ticks(ax.yaxis) == ["a name that is mu…", "short"]
    assert ax.get_xticklabels()[0].get_rotation() == 0
    ax = plot_weights(np.ones((2, 9)), features=["feature name"] * 9)
    assert ax.get_xticklabels()[0].get_rotation() == 45
    assert plot_weights(np.ones((2, 3)), features="abc").get_xticklabels()[0].get_rotation() == 0


def nearest(ax: Any, points: Any) -> list[str]:
    """The colour of the region at each point, undone of its paleness, as a class's colour."""
    image = ax.images[0]
    left, right, bottom, top = image.get_extent()
    shade = np.asarray(image.get_array())
    column = ((points[:, 0] - left) / (right - left) * shade.shape[1]).astype(int)
    row = ((points[:, 1] - bottom) / (top - bottom) * shade.shape[0]).astype(int)
    away = 1.0 - shade[row, column]
    table = 1.0 - np.array([colors.to_rgb(c) for c in COLOURS[:3]])
    unit = lambda v: v / np.linalg.norm(v, axis=1, keepdims=True)
    return [COLOURS[k] for k in (unit(away) @ unit(table).T).argmax(axis=1)]


def test_regions_are_coloured_by_what_the_model_predicts_there() -> None:
    ax = plot_decision_regions(MODEL, X, Y)
    p = MODEL.predict_proba(X)
    inside = p.max(axis=1) > 0.6  # not within a pixel of another region
    assert nearest(ax, X[inside]) == [COLOURS[k] for k in p[inside].argmax(axis=1)]
    assert {*p[inside].argmax(axis=1)} == {0, 1, 2}
    assert ax.images[0].origin == "lower"
    low, high = X.min(axis=0), X.max(axis=0)
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    assert left < low[0] < high[0] < right
    assert bottom < low[1] < high[1] < top


def test_regions_are_paler_where_the_model_is_less_sure() -> None:
    ax = plot_decision_regions(MODEL, X, resolution=51)
    away = (1.0 - np.asarray(ax.images[0].get_array())).max(axis=2)
    left, right, bottom, top = (*ax.get_xlim(), *ax.get_ylim())
    grid = np.meshgrid(np.linspace(left, right, 51), np.linspace(bottom, top, 51))
    sure = MODEL.predict_proba(np.stack([g.ravel() for g in grid], axis=1)).max(axis=1)
    code = np.searchsorted(MODEL.classes_, MODEL.predict(np.stack([g.ravel() for g in grid], 1)))
    full = 1.0 - np.array([colors.to_rgb(c) for c in COLOURS[:3]]).min(axis=1)
    # From a tenth of the colour, where all classes are alike, to a half of it.
    np.testing.assert_allclose(away.ravel(), (0.1 + 0.6 * (sure - 1 / 3)) * full[code], atol=1e-6)
    outer = ax.images[0].get_extent()  # the middles of the outermost pixels are the limits
    np.testing.assert_allclose(outer[1] - outer[0], (right - left) * 51 / 50)
    for k in range(3):
        own = code == k
        order = np.argsort(sure[own])
        assert (np.diff(away.ravel()[own][order]) >= -1e-12).all()
    assert not [c for c in ax.collections if c.get_label() in MODEL.classes_]
    assert ax.get_legend() is None


def test_samples_have_their_classs_colour_marker_and_place() -> None:
    ax = plot_decision_regions(MODEL, X, Y)
    dots = [c for c in ax.collections if c.get_label() in MODEL.classes_]
    assert [c.get_label() for c in dots] == list(MODEL.classes_)
    for k, c in enumerate(dots):
        assert (np.asarray(c.get_offsets()) == X[MODEL.classes_[k] == Y]).all()
        assert colors.to_hex(c.get_facecolor()[0]) == COLOURS[k]
    shapes = {c.get_paths()[0].vertices.tobytes() for c in dots}
    assert len(shapes) == 3
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(MODEL.classes_)


def test_regions_of_a_function_and_of_a_network() -> None:
    ax = plot_decision_regions(lambda X: X[:, 0] > 0.3, X, X[:, 0] > 0)
    inside = X[np.abs(X[:, 0] - 0.3) > 0.05]
    assert nearest(ax, inside) == [COLOURS[int(x > 0.3)] for x in inside[:, 0]]
    net = MLP(2, [8, 3], 0)
    ax = plot_decision_regions(lambda X: net(X).data.argmax(axis=1), X)
    scores = np.sort(net(X).data, axis=1)
    inside = X[scores[:, -1] - scores[:, -2] > 0.2]
    assert len(inside) > 30
    assert nearest(ax, inside) == [COLOURS[k] for k in net(inside).data.argmax(axis=1)]
    plot_decision_regions(lambda X: np.zeros(len(X)), X[:1])  # one point, one class


def test_a_data_frame_gives_names_and_gets_a_data_frame() -> None:
    pandas = need("pandas")
    seen = []

    def predict(grid: Any) -> Any:
        seen.append(list(grid.columns))
        return np.asarray(grid["height"]) > 0

    ax = plot_decision_regions(predict, pandas.DataFrame(X, columns=["width", "height"]))
    assert seen == [["width", "height"]]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("width", "height")


def test_weights_are_the_coefficients_red_for_and_blue_against() -> None:
    ax = plot_weights(MODEL)
    image = ax.images[0]
    assert image.get_array().tolist() == MODEL.coef_.tolist()
    assert image.get_clim() == (-3.0, 3.0)
    red, _, blue = image.cmap(image.norm(3.0))[:3]
    assert red > blue
    assert texts(ax) == ["3", "−1", "−3", "−1", "0", "2"]
    assert ticks(ax.yaxis) == ["ant", "bee", "cat"]
    assert ticks(ax.xaxis) == ["0", "1"]
    assert len(ax.figure.axes) == 2  # the other is the colour bar
    assert plot_weights(Value(MODEL.coef_)).images[0].get_array().tolist() == MODEL.coef_.tolist()
    assert plot_weights(np.zeros((2, 2))).images[0].get_clim() == (-1.0, 1.0)


def test_the_one_row_of_two_classes_speaks_for_the_second() -> None:
    model = Fitted(["no", "yes"])
    model.coef_ = model.coef_[:1]
    model.feature_names_in_ = np.array(["width", "height"])  # type: ignore[attr-defined]
    ax = plot_weights(model)
    assert ticks(ax.yaxis) == ["yes"]
    assert ticks(ax.xaxis) == ["width", "height"]
    assert plot_weights([1.0, 2.0]).images[0].get_array().tolist() == [[1.0, 2.0]]


@pytest.mark.parametrize("bins", [15, 4])
def test_reliability_bars_are_the_bins(bins: int) -> None:
    ax = plot_reliability(MODEL, X, Y, bins=bins)
    p = MODEL.predict_proba(X)
    found = reliability(p, np.searchsorted(MODEL.classes_, Y), bins=bins)
    true, gap = ax.containers
    full = found.count > 0
    assert full.sum() > 1
    heights = np.array([bar.get_height() for bar in true])
    np.testing.assert_array_equal(heights[full], found.accuracy[full])
    ends = np.array([bar.get_y() + bar.get_height() for bar in gap])
    np.testing.assert_allclose(ends[full], found.confidence[full], rtol=1e-12)
    edges = [bar.get_x() for bar in true] + [true[-1].get_x() + true[-1].get_width()]
    np.testing.assert_allclose(edges, np.linspace(0, 1, bins + 1), atol=1e-12)
    assert ax.get_title() == f"expected calibration error {100 * found.ece:.1f} %"
    again = plot_reliability(p, np.searchsorted(MODEL.classes_, Y), bins=bins)
    assert [b.get_height() for b in again.containers[0]][-1] == heights[-1]


def test_colours_differ_for_colour_blind_readers() -> None:
    """As seen without green or red cones: G. M. Machado et al. (2009), tables for severity 1."""
    rgb = np.array([colors.to_rgb(c) for c in COLOURS])
    linear = np.where(rgb < 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    deuteranopia = [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]
    protanopia = [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]
    for matrix in (np.eye(3), deuteranopia, protanopia):
        seen = (linear @ np.transpose(matrix)).clip(0, 1)
        apart = np.linalg.norm(seen[:, None] - seen[None], axis=2) + 9 * np.eye(len(seen))
        assert apart.min() > 0.1


NO_FIT = type("NoFit", (), {"fit": None})()
WRONG: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: plot_loss_curve(NO_FIT), TypeError, "this NoFit has no loss_curve_; fit it first"),
    (lambda: plot_loss_curve("abc"), TypeError, "got a str, wanted an estimator with loss_curve_"),
    (lambda: plot_loss_curve([]), TypeError, "got shape (0,), wanted one loss an epoch"),
    (lambda: plot_weights(NO_FIT), TypeError, "this NoFit has no coef_; fit it first"),
    (lambda: plot_weights(None), TypeError, "got shape (), wanted (classes, features)"),
    (lambda: plot_weights(np.ones((2, 2, 2))), TypeError, "got shape (2, 2, 2), wanted (classes"),
    (
        lambda: plot_weights(MODEL, features=["a"]),
        ValueError,
        "got names of 3 classes and 1 features for weights of shape (3, 2)",
    ),
    (lambda: plot_confusion_matrix(), TypeError, "wanted (model, X, y), or (model.predict(X), y)"),
    (lambda: plot_confusion_matrix(MODEL, X), TypeError, "wanted (model, X, y), or (model.pred"),
    (
        lambda: plot_confusion_matrix(MODEL, X, Y[:3]),
        ValueError,
        "got shapes (60,) and (3,), wanted a label for each row",
    ),
    (
        lambda: plot_confusion_matrix(np.zeros(60), Y),
        TypeError,
        "got labels of <U3 and float64, wanted those of the model for y",
    ),
    (lambda: plot_confusion_matrix(X, Y), ValueError, "got (60, 2) predictions, wanted labels"),
    (lambda: plot_reliability(X, Y, X), TypeError, "wanted (model, X, y), or (model.predict_proba"),
    (lambda: plot_reliability(X, np.zeros(60, int)), ValueError, "wanted probabilities, from 0"),
    (
        lambda: plot_reliability(MODEL, X, np.full(60, "dog")),
        ValueError,
        "plot_reliability: got class dog, wanted one of ['ant', 'bee', 'cat']",
    ),
    (
        lambda: plot_decision_regions(MODEL, np.ones((5, 4))),
        ValueError,
        "X has shape (5, 4), wanted (N, 2), 2 features",
    ),
    (
        lambda: plot_decision_regions(MODEL, X, resolution=1),
        ValueError,
        "resolution: got 1, wanted an int from 2 up",
    ),
    (lambda: plot_decision_regions(NO_FIT, X), TypeError, "a NoFit cannot predict"),
    (
        lambda: plot_decision_regions(MODEL, X, Y[:3]),
        ValueError,
        "labels of shape ((90000,), (3,)), wanted one for each row",
    ),
]


@pytest.mark.parametrize(("draw", "kind", "message"), WRONG)
def test_errors_say_what_was_got_and_wanted(draw: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind) as caught:
        draw()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not pyplot.get_fignums()  # and no empty figure is left in the notebook


def test_an_estimator_of_scikit_learn_is_drawn_whole() -> None:
    linear = need("sklearn.linear_model")
    model = linear.LogisticRegression().fit(X, Y)
    for draw in (plot_confusion_matrix, plot_reliability, plot_decision_regions):
        draw(model, X, Y)
    assert plot_weights(model).images[0].get_array().tolist() == model.coef_.tolist()
