"""A loss over all rows by blocks: each row once, in any number of threads, in little memory."""

from __future__ import annotations

import threading
import time
import tracemalloc
from typing import Any

import numpy as np
import pytest
from conftest import need

from tinygrad_ce.training.objective import Rows, in_turns


def blas_threads() -> set[int]:
    controller = need("threadpoolctl").ThreadpoolController()
    return {library["num_threads"] for library in controller.select(user_api="blas").info()}


@pytest.mark.parametrize("columns", [1, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_threads_sum_over_every_row_once(columns: int, weighted: bool, rng: Any) -> None:
    n = 20_000  # several blocks
    X, params = rng.normal(size=(n, 4)), [rng.normal(size=(4, columns)), rng.normal(size=columns)]
    y = rng.integers(0, columns, n) if columns > 1 else rng.choice([-1.0, 1.0], n)
    weight = rng.random(n) if weighted else None
    one = Rows(X, y, weight, "cross_entropy")
    index = rng.permutation(n)
    for many in (3, 16):
        rows = Rows(X, y, weight, "cross_entropy", index, many)
        value, grads = rows.loss_and_grad(params)
        wanted, slopes = one.loss_and_grad(params)
        assert value == pytest.approx(wanted, rel=1e-13)
        for grad, slope in zip(grads, slopes):
            np.testing.assert_allclose(grad, slope, rtol=1e-11, atol=1e-15)
        np.testing.assert_allclose(rows.moments(), one.moments(), rtol=1e-11, atol=1e-14)
        assert rows.accuracy(params) == one.accuracy(params)


def test_threads_heed_the_callers_errstate() -> None:
    X, seen = np.ones((50_000, 1)), []
    rows = Rows(X, np.zeros(len(X), int), None, "cross_entropy", threads=2)
    params = [np.full((1, 2), 1.5e308), np.full(2, 1.5e308)]
    with np.errstate(over="raise", invalid="ignore"), pytest.raises(FloatingPointError):
        rows.loss_and_grad(params)
    with np.errstate(over="call", invalid="ignore", call=lambda *told: seen.append(told)):
        assert np.isnan(rows.loss_and_grad(params)[0])
    assert len(seen) >= 4  # one a block


def test_an_error_in_a_block_ends_the_others() -> None:
    rows, taken = Rows(np.zeros((100_000, 1)), np.zeros(100_000, int), None, "", threads=2), []

    def fails(X: Any, y: Any, weight: Any) -> Any:
        taken.append(len(X))
        raise IndexError("no such row")

    with pytest.raises(IndexError, match="no such row"):
        rows.summed(fails, 1, [np.zeros(())])
    assert len(taken) <= 2


@pytest.mark.parametrize("threads", [1, 2])
def test_losses_of_float32_add_up_in_float64(threads: int, rng: Any) -> None:
    X, W = rng.standard_normal((2_000_000, 1), np.float32), np.full((1, 1), 0.3, np.float32)
    rows = Rows(X, np.ones(len(X), np.float32), None, "cross_entropy", threads=threads)
    wanted = np.logaddexp(0.0, -(X @ W).astype(float)).mean()
    assert rows.loss_and_grad([W])[0] == pytest.approx(wanted, rel=2e-8)


def test_where_many_rows_are_few_blocks_each_thread_gets_one(rng: Any) -> None:
    X = rng.normal(size=(4000, 300))
    for many, step in ((1, 4000), (2, 2000), (8, 500), (99, 256)):
        assert Rows(X, X[:, 0], None, "cross_entropy", threads=many).step(1) == step
    assert Rows(X[:800], X[:800, 0], None, "cross_entropy", threads=2).step(1) == 8192


def test_threads_take_less_memory_than_the_rows(rng: Any, monkeypatch: Any) -> None:
    """A gradient for each thread is too much with many classes; and none is kept for each block."""
    with need("threadpoolctl").threadpool_limits(2, user_api="blas"):
        for classes, wanted in ((20, 2), (400, 1)):
            rows = Rows(rng.normal(size=(1500, 60)), rng.integers(0, classes, 1500), None, "")
            monkeypatch.setattr("tinygrad_ce.training.objective.CPUS", 2)
            with in_turns(8 * 60 * classes, rows, None):
                assert rows.threads == wanted
                assert blas_threads() == {3 - wanted}
    W = [np.zeros((2000, 500), np.float32)]  # 4 MB
    X, y = rng.random((4000, 2000), np.float32), rng.integers(0, 500, 4000)
    tracemalloc.start()
    Rows(X, y, None, "cross_entropy", threads=2).loss_and_grad(W)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * W[0].nbytes  # two for each thread, the zero, the mean; and a block's


def test_where_one_thread_fails_the_others_go_no_further() -> None:
    n = 20 * 256
    rows = Rows(np.zeros((n, 2**12)), np.zeros(n, int), None, "cross_entropy", threads=2)
    calls, both = [], threading.Event()

    def f(X: Any, y: Any, weight: Any) -> Any:
        calls.append(len(X))
        if len(calls) == 1:
            both.wait(5.0)
            raise KeyboardInterrupt
        both.set()
        time.sleep(0.02)
        return [np.zeros(())]

    with pytest.raises(KeyboardInterrupt):
        rows.summed(f, 2**12, [np.zeros(())])
    assert len(calls) < 5  # of 20 blocks
