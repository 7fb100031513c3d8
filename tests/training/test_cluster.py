"""A fit on a cluster of two worker processes: that of one machine, also when a worker is killed.

TINYGRAD_CE_FULL_SIZE=1 takes two million rows; no process of the cluster holds them all.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from time import perf_counter
from typing import Any

import numpy as np
import pytest
from conftest import need
from helpers import fits  # noqa: F401 - skips without scikit-learn

from tinygrad_ce import SoftmaxRegression

need("distributed")

FULL = bool(os.environ.get("TINYGRAD_CE_FULL_SIZE"))
CHUNKS, ROWS = (40, 50_000) if FULL else (8, 2_000)  # rows in each
FEATURES = 50

MAKE = """
import numpy as np

def make(place, rows, features):
    return np.random.default_rng(place).standard_normal((rows, features))

def label(x):
    W = np.random.default_rng(0).standard_normal((x.shape[1], 3)) / 5
    seed = int(abs(x[0, 0]) * 2**40)
    return np.argmax(x @ W + np.random.default_rng(seed).gumbel(size=(len(x), 3)), axis=1)
"""
# In a program of its own, whose memory is measured: VmHWM is its peak, in KiB. In the third epoch
# of each fit a worker is killed.
CLIENT = """
import json, os, re, signal, sys
from pathlib import Path
from time import perf_counter
import dask, dask.array as da
from dask.distributed import Client, LocalCluster
from tinygrad_ce.training.estimator import SoftmaxRegression

def fitted(X, y, cluster, options):
    def watch(model, epoch, loss):
        if epoch == 3:
            os.kill(next(iter(cluster.workers.values())).pid, signal.SIGKILL)

    start = perf_counter()
    model = SoftmaxRegression(**options, callback=watch).fit(X, y)
    seconds = perf_counter() - start
    status = Path("/proc/self/status")
    found = re.search("VmHWM: *\t *([0-9]+)", status.read_text()) if status.exists() else None
    return {
        "coef": model.coef_.tolist(),
        "intercept": model.intercept_.tolist(),
        "curve": model.loss_curve_,
        "score": model.score(X, y),
        "seconds": seconds,
        "memory": int(found[1]) / 1024 if found else 0.0,
    }

def main(chunks, rows, features, fits):
    def chunk(block_info=None):
        return make(block_info[None]["chunk-location"][0], rows, features)

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster),
    ):
        X = da.map_blocks(chunk, chunks=((rows,) * chunks, (features,)), dtype=float)
        y = X.map_blocks(label, drop_axis=1, dtype=int)
        X, y = dask.persist(X, y)
        print(json.dumps([fitted(X, y, cluster, options) for options in fits]))

main(*json.loads(sys.argv[1]))
"""
FITS = {
    "lbfgs": {"solver": "lbfgs"},
    "adam": {"solver": "adam", "batch_size": "full", "learning_rate": 0.1, "max_iter": 8},
    "sgd": {"solver": "sgd", "batch_size": 500, "shuffle": False, "max_iter": 4},
}
for options in FITS.values():
    options["tol"] = "auto" if options["solver"] == "lbfgs" else None


@pytest.fixture(scope="module")
def on_cluster() -> dict[str, Any]:
    """What the cluster makes of each of the fits."""
    args = json.dumps([CHUNKS, ROWS, FEATURES, list(FITS.values())])
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", MAKE + CLIENT, args],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return dict(zip(FITS, json.loads(run.stdout)))


@pytest.fixture(scope="module")
def rows() -> tuple[Any, Any]:
    """All rows, in this process's memory."""
    space: dict[str, Any] = {}
    exec(MAKE, space)
    X, y = np.empty((CHUNKS * ROWS, FEATURES)), np.empty(CHUNKS * ROWS, int)
    for i in range(CHUNKS):
        part = slice(i * ROWS, (i + 1) * ROWS)
        X[part] = space["make"](i, ROWS, FEATURES)
        y[part] = space["label"](X[part])
    return X, y


@pytest.mark.slow
@pytest.mark.parametrize("fit", FITS)
def test_a_cluster_fits_what_one_machine_does_though_a_worker_is_killed(
    on_cluster: dict[str, Any], rows: tuple[Any, Any], fit: str
) -> None:
    told, start = on_cluster[fit], perf_counter()
    model = SoftmaxRegression(**FITS[fit]).fit(*rows)
    pairs = (model.coef_, told["coef"]), (model.intercept_, told["intercept"])
    difference = max(np.abs(mine - theirs).max() for mine, theirs in pairs)
    print(
        f"{fit}: largest difference {difference:.1e}, {len(told['curve'])} epochs in "
        f"{told['seconds']:.1f} s (in memory {perf_counter() - start:.1f} s), client's peak "
        f"{told['memory']:.0f} MiB"
    )
    assert difference < 1e-10
    assert len(told["curve"]) == model.n_iter_ > 3  # else no worker was killed
    np.testing.assert_allclose(told["curve"], model.loss_curve_, rtol=1e-12)
    assert told["score"] == pytest.approx(model.score(*rows), rel=1e-12)
    assert told["memory"] < 300
