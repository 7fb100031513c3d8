"""Blocks of rows: one result in any number of threads, after a fork, and where there are none."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from tinygrad_ce import Value, cross_entropy, linear_cross_entropy
from tinygrad_ce.losses.threads import CPUS, in_threads, rows_at_once

# A batch large enough for threads, and what must be equal to the last bit however it is computed.
LOSS = """
import hashlib, numpy as np
import tinygrad_ce as tg
rng = np.random.default_rng(0)
z, t = rng.normal(size=(4096, 1000)), rng.integers(0, 1000, 4096)
loss, grads = tg.value_and_grad(lambda z: tg.cross_entropy(z, t))(z)
print(hashlib.sha256(grads.tobytes() + np.float64(loss).tobytes()).hexdigest())
"""
ONE_CORE = "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])"
NO_THREADS = """
import _thread, os, sys

def refuse(*args, **kwargs):
    raise RuntimeError("can't start new thread")

for name in ("fork", "register_at_fork", "sched_getaffinity", "sched_setaffinity"):
    if hasattr(os, name):
        delattr(os, name)
del _thread.get_native_id
_thread.start_new_thread = refuse
if hasattr(_thread, "start_joinable_thread"):
    _thread.start_joinable_thread = refuse
os.cpu_count = lambda: 4
sys.modules.pop("threading", None)
"""
EVERY_MODULE = """
import importlib, pkgutil
for module in pkgutil.walk_packages(tg.__path__, "tinygrad_ce."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
"""


def printed(*code: str) -> str:
    """What a fresh interpreter prints."""
    run = [sys.executable, "-W", "error", "-c", "\n".join(code)]
    return subprocess.run(run, capture_output=True, text=True, check=True, timeout=120).stdout


@pytest.mark.slow
def test_without_threads_the_package_works_and_gives_the_same_numbers() -> None:
    """As on Emscripten, where there are neither threads nor their native numbers, and no fork."""
    assert printed(NO_THREADS, LOSS, LOSS, EVERY_MODULE).split() == printed(LOSS).split() * 2


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="threads cannot be placed here")
@pytest.mark.slow
def test_one_core_gives_the_same_numbers() -> None:
    assert printed(ONE_CORE, LOSS) == printed(LOSS)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.slow
def test_threads_survive_a_fork() -> None:
    child = """
import os, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # from 3.12 on: a process with threads forks
child = os.fork()
if not child:
    tg.cross_entropy(z, t)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
    assert printed(LOSS, child)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("classes", [3, 400, 2000])
@pytest.mark.parametrize("smoothing", [pytest.param(0.0, marks=pytest.mark.slow), 0.1])
def test_a_batch_is_its_rows(classes: int, smoothing: float, dtype: Any, rng: Any) -> None:
    """... of which some are far out: their maximum is subtracted, and their neighbours' is not."""
    rows = 2**20 // classes
    z = Value((3.0 * rng.standard_normal((rows, classes))).astype(dtype))
    z.data[::5] -= 700.0
    t, g = rng.integers(0, classes, rows), rng.standard_normal(rows).astype(dtype)
    t[3::7] = -7
    options: Any = {"label_smoothing": smoothing, "ignore_index": -7, "reduction": "none"}
    options["weight"] = rng.random(classes).astype(dtype)
    loss = cross_entropy(z, t, **options)
    loss.backward(g)
    for start in range(0, rows, max(1, rows // 50)):  # few enough for one block
        some = slice(start, start + 3)
        part = Value(z.data[some])
        alone = cross_entropy(part, t[some], **options)
        alone.backward(g[some])
        for got, want in ((loss.data[some], alone.data), (z.grad[some], part.grad)):
            atol = 4 * np.finfo(dtype).eps * abs(want).max()
            np.testing.assert_allclose(got, want, rtol=0, atol=atol)


# ------------------------------------------------------------------ blocks
def test_a_row_larger_than_a_block_is_a_block() -> None:
    assert rows_at_once(3, 2**30) == 1


def test_a_small_batch_is_one_block() -> None:
    assert rows_at_once(1000, 8) == 1000


def test_every_block_runs_once() -> None:
    for n in (0, 1, 2, 7, 500):
        done: list[int] = []
        in_threads(done.append, range(0, 3 * n, 3))
        assert sorted(done) == [*range(0, 3 * n, 3)]


@pytest.mark.skipif(CPUS < 2, reason="one core")
def test_several_threads_share_the_blocks() -> None:
    both = threading.Barrier(2)  # which two threads pass only together
    in_threads(lambda start: both.wait(10.0) and None, range(2))


def test_an_error_in_a_block_is_raised_and_ends_the_others() -> None:
    begun: list[int] = []

    def run(start: int) -> None:
        begun.append(start)
        raise MemoryError(f"no room for {start}")

    with pytest.raises(MemoryError, match="no room for"):
        in_threads(run, range(100))
    assert len(begun) <= CPUS
    done: list[int] = []
    in_threads(done.append, range(100))  # and the threads are as good as before
    assert len(done) == 100


@pytest.mark.skipif(CPUS < 2, reason="one core")
def test_an_error_of_another_thread_is_raised_here() -> None:
    here, failed = threading.get_ident(), threading.Event()

    def run(start: int) -> None:
        if threading.get_ident() == here:
            assert failed.wait(10.0)
        else:
            failed.set()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        in_threads(run, range(100))


@pytest.mark.skipif(CPUS < 2, reason="one core")
def test_one_failing_block_ends_the_work_of_the_others() -> None:
    here, failed, begun = threading.get_ident(), threading.Event(), []

    def run(start: int) -> None:
        begun.append(start)
        if threading.get_ident() != here:
            failed.set()
            raise MemoryError
        assert failed.wait(10.0)
        time.sleep(0.01)

    with pytest.raises(MemoryError):
        in_threads(run, range(100))
    assert len(begun) < 100


def test_work_that_no_thread_had_time_for_keeps_no_array() -> None:
    started, ended = threading.Barrier(CPUS + 1), threading.Event()

    def busy(start: int) -> None:
        started.wait(10.0)
        ended.wait(10.0)

    others = threading.Thread(target=in_threads, args=(busy, range(CPUS)))
    others.start()
    started.wait(10.0)  # every thread has a block
    array = np.ones(3)
    alive = weakref.ref(array)
    in_threads(lambda start, array=array: None, range(10))  # type: ignore[misc]
    del array
    assert alive() is None
    ended.set()
    others.join()


def test_blocks_heed_the_callers_errstate() -> None:
    def run(start: int) -> None:
        np.array([1.0]) / np.array([0.0])

    with np.errstate(divide="ignore"):
        in_threads(run, range(20))
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError):
        in_threads(run, range(20))


def test_callers_in_many_threads_and_blocks_within_blocks_end() -> None:
    def outer(start: int) -> None:
        in_threads(lambda inner: done.append((start, inner)), range(5))

    done: list[tuple[int, int]] = []
    with ThreadPoolExecutor(6) as callers:
        for future in [callers.submit(in_threads, outer, range(8)) for _ in range(6)]:
            future.result(timeout=30.0)
    assert sorted(done) == sorted([(i, j) for i in range(8) for j in range(5)] * 6)


@pytest.mark.skipif(CPUS < 2, reason="one core")
def test_many_callers_share_the_threads_that_one_has() -> None:
    def block(start: int) -> None:
        used.add(threading.get_ident())
        time.sleep(0.005)

    def caller(number: int) -> None:
        own.add(threading.get_ident())
        in_threads(block, range(8 * CPUS))

    used: set[int] = set()
    own: set[int] = set()
    with ThreadPoolExecutor(4) as callers:
        list(callers.map(caller, range(4)))
    assert len(used - own) <= CPUS - 1


def test_losses_in_many_threads_at_once_are_right(rng: Any) -> None:
    x, W, t = rng.normal(size=(300, 8)), rng.normal(size=(8, 2000)), rng.integers(0, 2000, 300)
    want = cross_entropy(x @ W, t)
    with ThreadPoolExecutor(4) as callers:
        calls = [callers.submit(linear_cross_entropy, x, W, None, t) for _ in range(8)]
        assert [call.result(timeout=30.0) for call in calls] == pytest.approx([want] * 8)
