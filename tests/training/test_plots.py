"""The pictures hold the numbers that they are of, and go where they are told to."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from conftest import need

from tinygrad_ce import Value, plot_loss_curve, plot_weights
from tinygrad_ce.training.plots import COLOURS

need("matplotlib")
from matplotlib import colors, pyplot  # noqa: E402


@pytest.fixture(autouse=True)
def _no_window_and_no_figure_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def show(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("plt.show was called")

    monkeypatch.setattr(pyplot, "show", show)
    pyplot.close("all")  # an example of a docstring leaves its own
    yield
    pyplot.close("all")


class Fitted:
    """What the plots want of an estimator."""

    def __init__(self, classes: Any = ("ant", "bee", "cat")) -> None:
        self.classes_ = np.array(classes)
        self.coef_ = np.array([[3.0, -1.0], [-3.0, -1.0], [0.0, 2.0]])[: len(classes)]
        self.loss_curve_ = [1.0, 0.5, 0.25, 0.2]

    def fit(self) -> None: ...


MODEL = Fitted()
EVERY: list[Callable[..., Any]] = [
    lambda **k: plot_loss_curve(MODEL, label="loss", **k),
    lambda **k: plot_weights(MODEL, **k),
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


@pytest.mark.slow
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
    (lambda: plot_loss_curve(NO_FIT), TypeError, "got a NoFit of shape (), wanted an estimator"),
    (lambda: plot_loss_curve("abc"), TypeError, "wanted an estimator with loss_curve_, or numbers"),
    (lambda: plot_loss_curve([]), TypeError, "got a list of shape (0,), wanted an"),
    (lambda: plot_loss_curve(0.5), TypeError, "got a float of shape (), wanted an"),
    (
        lambda: plot_weights(NO_FIT),
        TypeError,
        "got a NoFit of shape (), wanted an estimator with",
    ),
    (
        lambda: plot_weights(None),
        TypeError,
        "with coef_, or an array of (classes",
    ),
    (
        lambda: plot_weights(np.ones((2, 2, 2))),
        TypeError,
        "got a ndarray of shape (2, 2, 2)",
    ),
    (
        lambda: plot_weights(MODEL, features=["a"]),
        ValueError,
        "got 3 classes and 1 features for weights of shape (3, 2)",
    ),
]


@pytest.mark.parametrize(("draw", "kind", "message"), WRONG)
def test_errors_say_what_was_got_and_wanted(draw: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind) as caught:
        draw()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not pyplot.get_fignums()  # and no empty figure is left in the notebook


def test_an_estimator_of_scikit_learn_is_drawn() -> None:
    linear = need("sklearn.linear_model")
    X = np.random.default_rng(0).normal(size=(60, 2))
    model = linear.LogisticRegression().fit(X, X[:, 0] > 0)
    assert plot_weights(model).images[0].get_array().tolist() == model.coef_.tolist()


def test_cells_too_small_for_a_text_have_none_and_texts_stay_in_their_cells() -> None:
    assert not plot_weights(np.ones((90, 90))).texts
    figure, ax = pyplot.subplots(figsize=(3.2, 2.4), layout="constrained")
    plot_weights(np.full((3, 3), -0.123), ax=ax)
    figure.canvas.draw()
    assert all(t.get_window_extent().width < ax.get_window_extent().width / 3 for t in ax.texts)


def test_names_that_do_not_fit_turn() -> None:
    for names, turned in (["feature name"] * 9, 45), ("abc", 0):
        ax = plot_weights(np.ones((2, len(names))), features=names)
        assert ax.get_xticklabels()[0].get_rotation() == turned
    assert ticks(plot_weights(np.ones((2, 30)), features=["name"] * 30).xaxis)[0] != "name"
