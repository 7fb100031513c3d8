"""SoftmaxRegression on Dask's arrays and DataFrames: what it makes of the same rows in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from conftest import need
from helpers import fits  # noqa: F401 - skips without scikit-learn

from tinygrad_ce import SoftmaxRegression
from tinygrad_ce.training.validation import is_dask

dask = need("dask")
da = need("dask.array")
dd = need("dask.dataframe")
pd = need("pandas")

RNG = np.random.default_rng(0)
X = RNG.standard_normal((300, 4))
LABELS = np.array(["blue", "green", "red"])
Y = LABELS[np.argmax(X[:, :3] + RNG.gumbel(size=(300, 3)), axis=1)]
WEIGHT = RNG.integers(0, 3, 300) * 1.0
WEIGHT[50:100] = 0.0  # a whole chunk
DX, DY = da.from_array(X, chunks=(50, 2)), da.from_array(Y, chunks=80)
FRAME = pd.DataFrame(X, columns=["a", "b", "c", "d"]).assign(y=Y)
FULL: dict[str, Any] = {"batch_size": "full", "max_iter": 10, "tol": None}


@pytest.fixture(autouse=True)
def _in_order() -> Iterator[None]:
    with dask.config.set(scheduler="sync"):
        yield


def same(mine: SoftmaxRegression, theirs: SoftmaxRegression) -> None:
    np.testing.assert_allclose(mine.coef_, theirs.coef_, rtol=0, atol=1e-10)
    np.testing.assert_allclose(mine.intercept_, theirs.intercept_, rtol=0, atol=1e-10)
    np.testing.assert_allclose(mine.loss_curve_, theirs.loss_curve_, rtol=1e-10)
    assert mine.classes_.tolist() == theirs.classes_.tolist()
    assert (mine.n_iter_, mine.t_) == (theirs.n_iter_, theirs.t_)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"class_weight": "balanced"},
        {"class_weight": {"red": 3.0}, "fit_intercept": False},
        {"loss": "mse"},
        {"solver": "sgd", "momentum": 0.9, **FULL},
        {"solver": "adam", "penalty": "l1", **FULL},
        {"solver": "sgd", "batch_size": 10, "shuffle": False, "max_iter": 3, "tol": None},
    ],
)
@pytest.mark.parametrize(
    "weight",
    [
        pytest.param(None, marks=pytest.mark.slow),
        pytest.param(WEIGHT, marks=pytest.mark.slow),
        da.from_array(WEIGHT, chunks=77),
    ],
)
def test_a_fit_is_that_of_the_rows_in_memory(options: dict[str, Any], weight: Any) -> None:
    known = None if weight is None else np.asarray(weight)
    model = SoftmaxRegression(**options).fit(DX, DY, weight)
    same(model, SoftmaxRegression(**options).fit(X, Y, known))
    assert model.score(DX, DY, weight) == pytest.approx(model.score(X, Y, known), rel=1e-12)


@pytest.mark.slow
def test_a_batch_of_all_rows_and_chunks_in_threads() -> None:
    options: dict[str, Any] = {"solver": "adam", "batch_size": 300, "max_iter": 5, "tol": None}
    with dask.config.set(scheduler="threads"):
        for o in (options, {}):
            same(SoftmaxRegression(**o).fit(DX, DY), SoftmaxRegression(**o).fit(X, Y))


def test_two_classes_and_float32() -> None:
    y = (Y == "red").astype(int)
    same(SoftmaxRegression().fit(DX, y), SoftmaxRegression().fit(X, y))
    model = SoftmaxRegression(solver="adam", **FULL).fit(DX.astype("f4"), y)
    assert model.coef_.dtype == np.float32
    assert model.predict_proba(DX.astype("f4")).dtype == np.float32


@pytest.mark.slow
def test_data_frames_with_names_and_text() -> None:
    frame = dd.from_pandas(FRAME, npartitions=4)
    columns = ["a", "b", "c", "d"]
    theirs = SoftmaxRegression().fit(FRAME[columns], FRAME.y)
    for y in (frame.y, Y, frame.y.astype("category")):
        model = SoftmaxRegression().fit(frame[columns], y)
        same(model, theirs)
        assert model.feature_names_in_.tolist() == columns
    assert model.score(frame[columns], frame.y) == theirs.score(FRAME[columns], FRAME.y)
    assert (model.predict(frame[columns]).compute() == theirs.predict(FRAME[columns])).all()
    with pytest.raises(ValueError):
        model.predict(frame[columns[::-1]])
    with pytest.raises(ValueError):
        model.fit(frame, frame.y)  # with the text among the features


def test_predictions_are_computed_when_asked_for() -> None:
    model = SoftmaxRegression().fit(X, Y)
    for name in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        told, wanted = getattr(model, name)(DX), getattr(model, name)(X)
        assert is_dask(told)
        assert f"dask.array<{name}, " in repr(told)
        assert (told.dtype, told.shape) == (wanted.dtype, wanted.shape)
        if wanted.dtype.kind == "f":
            np.testing.assert_allclose(told.compute(), wanted, rtol=1e-12)
        else:
            assert (told.compute() == wanted).all()
    empty = DX[DX[:, 0] > 10]  # chunks without rows
    assert model.predict_proba(empty).compute().shape == (0, 3)
    with pytest.raises(ValueError):
        model.predict(DX[:, :3])


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_partial_fit_takes_an_epoch_of_batches_from_a_chunk_after_another(solver: str) -> None:
    seen: list[int] = []
    options: dict[str, Any] = {"solver": solver, "shuffle": False, "schedule": "invscaling"}
    options["batch_size"] = 25
    model = SoftmaxRegression(callback=lambda model, epoch, loss: seen.append(epoch), **options)
    theirs = SoftmaxRegression(**options)
    for _ in range(2):
        model.partial_fit(DX, DY, classes=LABELS, sample_weight=WEIGHT)
        theirs.partial_fit(X, Y, classes=LABELS, sample_weight=WEIGHT)
    same(model, theirs)
    assert seen == [1, 2]
    model.partial_fit(X[:50], Y[:50])  # goes on in memory
    same(model, theirs.partial_fit(X[:50], Y[:50]))
    with pytest.raises(ValueError, match="unseen labels"):
        model.partial_fit(DX, np.full(300, "pink"))


@pytest.mark.slow
def test_batches_are_shuffled_within_chunks_the_same_way_each_time() -> None:
    options: dict[str, Any] = {"solver": "adam", "max_iter": 20, "tol": None, "random_state": 5}
    one, two = (SoftmaxRegression(**options).fit(DX, DY) for _ in range(2))
    same(one, two)
    ordered = SoftmaxRegression(**options, shuffle=False).fit(DX, DY)
    assert np.abs(one.coef_ - ordered.coef_).max() > 1e-6
    assert one.score(X, Y) > 0.5


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
def test_early_stopping_sets_rows_aside_in_every_chunk(solver: str) -> None:
    options: dict[str, Any] = {"solver": solver, "early_stopping": True, "random_state": 0}
    one, two = (SoftmaxRegression(**options).fit(DX, DY) for _ in range(2))
    same(one, two)
    everything = SoftmaxRegression(solver="lbfgs").fit(X, Y)
    assert np.abs(one.coef_ - everything.coef_).max() > 1e-4
    assert one.score(X, Y) > everything.score(X, Y) - 0.05


def test_what_is_set_aside_is_the_same_as_in_memory() -> None:
    options: dict[str, Any] = {"early_stopping": True, "random_state": 0, "tol": 0.0}
    same(SoftmaxRegression(**options).fit(DX, DY), SoftmaxRegression(**options).fit(X, Y))


def test_what_is_set_aside_is_not_fitted() -> None:
    options: dict[str, Any] = {"solver": "sgd", "batch_size": "full", "max_iter": 1, "tol": None}
    apart = SoftmaxRegression(**options, early_stopping=True, random_state=0).fit(DX, DY)
    assert np.abs(apart.coef_ - SoftmaxRegression(**options).fit(X, Y).coef_).max() > 1e-5


def test_what_is_no_data_is_told() -> None:
    hole = X.copy()
    hole[123, 1] = np.nan
    with pytest.raises(ValueError, match=r"(?i)nan"):
        SoftmaxRegression().fit(da.from_array(hole, chunks=(50, 4)), DY)
    with pytest.raises(ValueError, match="one class"):
        SoftmaxRegression().fit(DX, np.zeros(300, int))
    with pytest.raises(ValueError, match=r"y: got shape \(299,\) for the 300 rows of X"):
        SoftmaxRegression().fit(DX, Y[1:])
    with pytest.raises(ValueError, match="weights"):
        SoftmaxRegression().fit(DX, DY, np.zeros(300))
    with pytest.raises(ValueError, match="Negative values"):
        SoftmaxRegression().fit(DX, DY, -WEIGHT)
    with pytest.raises(ValueError):
        SoftmaxRegression().fit(DX, RNG.standard_normal(300))  # numbers, not labels
