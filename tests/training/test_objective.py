"""The objective's gradient, and its sum over rows: by blocks, by threads, in little memory."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from conftest import need
from helpers.fits import load
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_ce import SoftmaxRegression, gradcheck, value_and_grad
from tinygrad_ce.training.objective import (
    Rows,
    accuracy,
    loss_and_grad,
    moments,
    objective,
    one_blas_thread,
)


@pytest.mark.slow
@given(
    st.sampled_from(["cross_entropy", "mse"]), st.integers(2, 5), st.integers(1, 6),
    st.integers(1, 4), st.booleans(), st.integers(0, 2**16),
)  # fmt: skip
def test_the_objective_has_the_gradient_it_should(
    loss: str, classes: int, n: int, features: int, weighted: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    columns = 1 if classes == 2 else classes
    X, W = rng.normal(size=(n, features)), rng.normal(size=(features, columns))
    y = rng.choice([-1.0, 1.0], n) if columns == 1 else rng.integers(0, classes, n)
    w = rng.uniform(0, 2, n) if weighted else np.ones(n)
    b = rng.normal(size=columns)
    assert gradcheck(lambda W: objective([W, b], X, y, w, loss), W)
    assert gradcheck(lambda b: objective([W, b], X, y, w, loss), b)
    value, grads = loss_and_grad(Rows(X, y, w, loss), [W, b], 0.3)
    J = lambda p: objective(p, X, y, w, loss) / n + 0.15 * np.sum(np.square(p[0]))
    wanted, slopes = value_and_grad(J)([W, b])
    assert value == pytest.approx(wanted, rel=1e-12)
    for grad, slope in zip(grads, slopes):
        np.testing.assert_allclose(grad, slope, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("solver", ["lbfgs", "sgd", "adam"])
@pytest.mark.parametrize("classes", [2, 3])
def test_float32_stays_float32(solver: str, classes: int) -> None:
    X, y = load("iris", scaled=True)
    X, y = X[y < classes].astype(np.float32), y[y < classes]
    weight = np.ones(len(X))
    model = SoftmaxRegression(solver=solver, alpha=0.01, max_iter=30, tol=None)
    model.fit(X, y, weight)
    assert model.coef_.dtype == model.intercept_.dtype == np.float32
    assert model.predict_proba(X).dtype == np.float32
    double = SoftmaxRegression(solver="lbfgs", alpha=0.01).fit(X.astype(float), y)
    if solver == "lbfgs":
        np.testing.assert_allclose(model.coef_, double.coef_, atol=2e-3)


PEAKS = [
    ("cross_entropy", "lbfgs", "full", 10, False),
    ("cross_entropy", "lbfgs", "full", 10, True),
    ("cross_entropy", "sgd", "full", 3, True),
    ("cross_entropy", "adam", 4096, 10, True),
    ("cross_entropy", "adam", 4096, 10, False),
    ("cross_entropy", "lbfgs", "full", 2, True),
    ("mse", "lbfgs", "full", 10, True),
    ("mse", "sgd", "full", 10, False),
]


@pytest.mark.slow
@pytest.mark.parametrize(("loss", "solver", "batch", "classes", "weighted"), PEAKS)
def test_memory_is_at_most_two_batches_of_logits_and_gradients(
    loss: str, solver: str, batch: Any, classes: int, weighted: bool
) -> None:
    n, features = 50_000, 20
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(n, features)), rng.integers(0, classes, n)
    weight = rng.uniform(size=n) if weighted else None
    model = SoftmaxRegression(loss, solver=solver, batch_size=batch, max_iter=2, tol=None)
    model.fit(X, y, weight)  # imports, programs
    with need("threadpoolctl").threadpool_limits(2, user_api="blas"):  # as many as take the blocks
        tracemalloc.start()
        model.fit(X, y, weight)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    columns, rows = 1 if classes == 2 else classes, n if batch == "full" else batch
    data = 2 * 8 * n  # labels as indices, weights; the order of the rows, and a batch of them
    data += 0 if batch == "full" else 8 * n + 8 * features * rows
    assert peak < data + 2 * (2 * rows * columns * 8)


@pytest.mark.parametrize("columns", [1, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_threads_sum_over_every_row_once(columns: int, weighted: bool, rng: Any) -> None:
    n = 50_000  # several blocks
    X, params = rng.normal(size=(n, 4)), [rng.normal(size=(4, columns)), rng.normal(size=columns)]
    y = rng.integers(0, columns, n) if columns > 1 else rng.choice([-1.0, 1.0], n)
    weight = rng.random(n) if weighted else np.ones(n)
    one = [Rows(X[i : i + 100], y[i : i + 100], weight[i : i + 100], "") for i in range(0, n, 100)]
    for many in (1, 3, 16):
        rows = Rows(X, y, weight, "cross_entropy", many)
        value, grads = loss_and_grad(rows, params, 0.5)
        wanted = [loss_and_grad(part, params, 0.5) for part in one]
        assert value == pytest.approx(np.mean([loss for loss, _ in wanted]), rel=1e-13)
        for grad, slopes in zip(grads, zip(*[slopes for _, slopes in wanted])):
            np.testing.assert_allclose(grad, np.mean(slopes, axis=0), rtol=1e-11, atol=1e-15)
        for intercept in (False, True):
            mean = weight @ X / weight.sum() * intercept
            got = moments(rows, intercept)
            np.testing.assert_allclose(got[0], mean, rtol=1e-11, atol=1e-14)
            second = ((X - mean).T * weight) @ (X - mean) / n
            np.testing.assert_allclose(got[1], second, rtol=1e-11, atol=1e-14)
        right = np.mean([accuracy(part, params) for part in one])
        assert accuracy(rows, params) == pytest.approx(right, rel=1e-13)
        again = loss_and_grad(rows, params, 0.5)  # whichever thread is faster
        assert again[0] == value
        assert all((a == b).all() for a, b in zip(again[1], grads))


def test_threads_heed_the_callers_errstate() -> None:
    X, seen = np.ones((50_000, 1)), []
    rows = Rows(X, np.zeros(len(X), int), np.ones(len(X)), "cross_entropy", threads=2)
    params = [np.full((1, 2), 1.5e308), np.full(2, 1.5e308)]
    with np.errstate(over="raise", invalid="ignore"), pytest.raises(FloatingPointError):
        loss_and_grad(rows, params, 0.0)
    with np.errstate(over="call", invalid="ignore", call=lambda *told: seen.append(told)):
        assert np.isnan(loss_and_grad(rows, params, 0.0)[0])
    assert len(seen) >= 2  # one a block


def test_an_error_in_a_block_ends_the_others() -> None:
    n = 100_000
    rows, taken = Rows(np.zeros((n, 1)), np.zeros(n, int), np.ones(n), "", threads=2), []

    def fails(rows: Rows) -> Any:
        taken.append(rows.count)
        raise IndexError("no such row")

    with pytest.raises(IndexError, match="no such row"):
        rows.sum(fails, 4)
    assert len(taken) <= 2


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
def test_losses_of_float32_add_up_in_float64(threads: int, rng: Any) -> None:
    X, W = rng.standard_normal((2_000_000, 1), np.float32), np.full((1, 1), 0.3, np.float32)
    ones = np.ones(len(X), np.float32)
    rows = Rows(X, ones, ones, "cross_entropy", threads=threads)
    wanted = np.logaddexp(0.0, -(X @ W).astype(float)).mean()
    assert loss_and_grad(rows, [W], 0.0)[0] == pytest.approx(wanted, rel=2e-8)


@pytest.mark.slow
def test_threads_take_less_memory_than_the_rows(rng: Any) -> None:
    """Each has a gradient of its own, and none is kept for each block."""
    W = [np.zeros((2000, 500), np.float32)]  # 4 MB
    X, y = rng.random((4000, 2000), np.float32), rng.integers(0, 500, 4000)
    rows = Rows(X, y, np.ones(4000, np.float32), "cross_entropy", threads=2)
    loss_and_grad(rows, W, 0.0)  # programs
    tracemalloc.start()
    loss_and_grad(rows, W, 0.0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * W[0].nbytes == X.nbytes


# ------------------------------------------------------------------ BLAS's own threads
def blas_threads() -> set[int]:
    controller = need("threadpoolctl").ThreadpoolController()
    return {library["num_threads"] for library in controller.select(user_api="blas").info()}


def test_blas_has_one_thread_for_a_while() -> None:
    with need("threadpoolctl").threadpool_limits(2, user_api="blas"):
        assert blas_threads() == {2}
        with one_blas_thread() as ours:
            assert ours == 2
            assert blas_threads() == {1}
        assert blas_threads() == {2}


def test_the_limit_is_for_one_caller_at_a_time() -> None:
    with need("threadpoolctl").threadpool_limits(2, user_api="blas"):
        with one_blas_thread() as first, one_blas_thread() as second:
            assert (first, second) == (2, 1)
        with one_blas_thread() as again:
            assert again == 2


def test_an_error_gives_the_limit_back() -> None:
    with need("threadpoolctl").threadpool_limits(2, user_api="blas"):
        with pytest.raises(KeyboardInterrupt), one_blas_thread():
            raise KeyboardInterrupt
        with one_blas_thread() as again:
            assert again == 2
