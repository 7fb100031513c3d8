"""Curve, progress bar, callback, early stopping, Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import warnings
from typing import Any

import numpy as np
import pytest
from conftest import need
from helpers.fits import ConvergenceWarning, load

from tinygrad_ce import SoftmaxRegression


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_early_stopping_keeps_what_was_best_on_rows_set_aside(solver: str) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 40)), np.array(list("ab") * 30)  # nothing to learn: it overfits
    seen: list[Any] = []
    model = SoftmaxRegression(
        alpha=0, solver=solver, early_stopping=True, validation_fraction=0.5, tol=0.0,
        random_state=0, callback=lambda model, epoch, loss: seen.append(model.coef_), max_iter=500,
    ).fit(X, y)  # fmt: skip
    best = next(i for i, coef in enumerate(seen) if (model.coef_ == coef).all())
    assert model.n_iter_ == len(seen) == best + 1 + model.n_iter_no_change


def test_the_bar_shows_loss_and_accuracy(capsys: pytest.CaptureFixture[str]) -> None:
    need("tqdm")
    X, y = load("iris", scaled=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tqdm's, of a notebook without widgets
        SoftmaxRegression(verbose=True).fit(X, y)
    shown = capsys.readouterr().err
    assert "loss=" in shown
    assert "accuracy=0.9" in shown


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["lbfgs", "sgd"])
def test_the_callback_sees_a_usable_model_after_each_epoch(solver: str) -> None:
    X, y = load("iris", scaled=True)
    seen: list[Any] = []
    note = lambda model, epoch, loss: seen.append((epoch, loss, model.score(X, y)))
    model = SoftmaxRegression(solver=solver, callback=note).fit(X, y)
    assert [epoch for epoch, _, _ in seen] == list(range(1, model.n_iter_ + 1))
    assert [loss for _, loss, _ in seen] == model.loss_curve_
    assert seen[-1][2] == model.score(X, y)


@pytest.mark.parametrize("solver", ["lbfgs", "sgd", "adam"])
def test_an_interrupt_leaves_a_fitted_model(solver: str) -> None:
    X, y = load("iris", scaled=True)

    def stop(model: Any, epoch: int, loss: float) -> None:
        if epoch == 3:
            raise KeyboardInterrupt

    model, before = SoftmaxRegression(solver=solver, callback=stop), signal.getsignal(signal.SIGINT)
    with pytest.warns(ConvergenceWarning, match="interrupted after 3 of at most"):
        model.fit(X, y)
    short = SoftmaxRegression(solver=solver, max_iter=3, tol=None, shuffle=False)
    assert model.n_iter_ == 3
    assert len(model.loss_curve_) == 3
    assert model.score(X, y) > 0.6
    if solver == "lbfgs":
        np.testing.assert_array_equal(model.coef_, short.fit(X, y).coef_)
    assert signal.getsignal(signal.SIGINT) is before


INTERRUPTED = """
import signal, sys, time, warnings, numpy as np
from tinygrad_ce import SoftmaxRegression
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a job in the background lacks
rng = np.random.default_rng(0)
X, y = rng.normal(size=(20_000, 20)), rng.integers(0, 5, 20_000)
def tell(model, epoch, loss):
    print("ready" if epoch == 2 else "", end="\\n" * (epoch == 2), flush=True)
    time.sleep(0.5 * (sys.argv[1] == "lbfgs"))
model = SoftmaxRegression(solver=sys.argv[1], max_iter=10**6, tol=None, alpha=0, callback=tell)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    model.fit(X, y)
assert "interrupted" in str(caught[-1].message), caught
assert np.isfinite(model.coef_).all() and np.abs(model.coef_).max() > 0
print("stopped", model.predict(X[:3]).shape)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
@pytest.mark.parametrize("solver", ["sgd", "lbfgs"])
def test_ctrl_c_ends_a_fit_between_steps(solver: str) -> None:
    run = [sys.executable, "-c", INTERRUPTED, solver]
    with subprocess.Popen(run, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            time.sleep(0.2)  # in the midst of it
            child.send_signal(signal.SIGINT)
            out, _ = child.communicate(timeout=60)
        finally:
            child.kill()  # does nothing to one that has ended
    assert (child.returncode, out) == (0, "stopped (3,)\n")


def test_an_interrupt_of_partial_fit_is_passed_on_and_the_steps_stay() -> None:
    X, y = load("iris", scaled=True)

    def stop(model: Any, epoch: int, loss: float) -> None:
        raise KeyboardInterrupt

    model = SoftmaxRegression(solver="sgd", shuffle=False, callback=stop)
    with pytest.raises(KeyboardInterrupt):
        model.partial_fit(X, y, classes=[0, 1, 2])
    whole = SoftmaxRegression(solver="sgd", shuffle=False).partial_fit(X, y, classes=[0, 1, 2])
    np.testing.assert_array_equal(model.coef_, whole.coef_)
    model.set_params(callback=None).partial_fit(X, y)
    np.testing.assert_array_equal(model.coef_, whole.partial_fit(X, y).coef_)
