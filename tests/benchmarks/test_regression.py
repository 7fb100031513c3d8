"""SoftmaxRegression: L-BFGS to scikit-learn's objective, epochs of SGD against PyTorch's."""

from __future__ import annotations

import tracemalloc
import warnings
from typing import Any

import numpy as np
import pytest
from conftest import ROWS, Row, find

from tinygrad_ce import SoftmaxRegression

sklearn = find("sklearn.linear_model")
datasets = find("sklearn.datasets")
torch = find("torch")

SAMPLES, FEATURES, CLASSES, BATCH = 100_000, 100, 10, 32


def made() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(SAMPLES, FEATURES))
    logits = X @ rng.normal(size=(FEATURES, CLASSES)) * 0.3
    return X, (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)


def J(model: Any, X: Any, y: Any, alpha: float) -> float:
    log_p = model.predict_log_proba(X)[np.arange(len(X)), y]
    return float(alpha / 2 * np.sum(model.coef_**2) - log_p.mean())


@pytest.mark.skipif(not sklearn, reason="scikit-learn is not installed")
@pytest.mark.parametrize("tol", [1e-4, 1e-6])
@pytest.mark.parametrize("name", ["Digits", "100,000×100, 10 classes"])
def test_lbfgs_to_the_same_objective(compare: Any, name: str, tol: float) -> None:
    assert sklearn is not None
    assert datasets is not None
    X, y = datasets.load_digits(return_X_y=True) if name == "Digits" else made()
    alpha = 1 / len(X)

    def theirs() -> Any:
        return sklearn.LogisticRegression(tol=tol, max_iter=10_000).fit(X, y)

    def ours(tol: float) -> Any:
        return SoftmaxRegression(alpha=alpha, solver="lbfgs", tol=tol).fit(X, y)

    wanted = J(theirs(), X, y, alpha) * (1 + 1e-12)
    tolerances = [10 ** (-k / 2) for k in range(4, 21)]
    enough = next(t for t in tolerances if J(ours(t), X, y, alpha) <= wanted)
    work = f"L-BFGS, {name}, to LogisticRegression's objective at tol={tol:g}"
    peers = {"scikit-learn": theirs}
    compare(work, lambda: ours(enough), peers, {"scikit-learn": 1 / 1.2}, rounds=3)


def test_an_epoch_of_sgd(compare: Any) -> None:
    X, y = made()

    def ours() -> Any:
        return SoftmaxRegression(
            alpha=0, solver="sgd", batch_size=BATCH, max_iter=1, tol=None, random_state=0
        ).fit(X, y)

    pytorch = None
    if torch:
        Xt, yt = torch.from_numpy(X), torch.from_numpy(y)

        def pytorch() -> Any:
            model = torch.nn.Linear(FEATURES, CLASSES, dtype=torch.float64)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
            order = torch.randperm(SAMPLES)
            for rows in order.split(BATCH):
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(model(Xt[rows]), yt[rows]).backward()
                optimizer.step()
            return model

    work = f"an epoch of SGD, 100,000×100, 10 classes, batches of {BATCH}"
    compare(work, ours, {"PyTorch": pytorch}, {"PyTorch": 2.0}, rounds=5)


@pytest.mark.parametrize("solver", ["lbfgs", "sgd"])
def test_peak_memory_of_full_batches(benchmark: Any, solver: str) -> None:
    benchmark.pedantic(lambda: None)
    X, y = made()
    model = SoftmaxRegression(solver=solver, batch_size="full", max_iter=3, tol=None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X[:1000], y[:1000])  # imports
        tracemalloc.start()
        model.fit(X, y)
        peak = tracemalloc.get_traced_memory()[1] - y.nbytes  # the labels as indices
        tracemalloc.stop()
    bar = 2 * 2 * SAMPLES * CLASSES * 8
    work = f"peak memory of a fit by {solver}, full batches, beyond the data"
    ROWS.append(
        Row(work, f"{peak / 2**20:.1f} MiB", bar=f"≤ {bar / 2**20:.1f} MiB", met=peak <= bar)
    )
