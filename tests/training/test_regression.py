"""SoftmaxRegression against scikit-learn's classifiers, PyTorch's steps, and its own promises."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
import tracemalloc
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from conftest import need
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_ce import SoftmaxRegression, gradcheck
from tinygrad_ce.training.regression import objective

need("scipy")
linear_model = need("sklearn.linear_model")
datasets = need("sklearn.datasets")
ConvergenceWarning = need("sklearn.exceptions").ConvergenceWarning


def load(name: str, scaled: bool) -> tuple[Any, Any]:
    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return (X - X.mean(axis=0)) / (X.std(axis=0) + (X.std(axis=0) == 0)) if scaled else X, y


def J(model: Any, X: Any, y: Any, alpha: float, l1: float = 0.0, weight: Any = None) -> float:
    """The objective in scikit-learn's words."""
    log_p = model.predict_log_proba(X)[np.arange(len(X)), np.searchsorted(model.classes_, y)]
    W = model.coef_
    return float(
        -np.average(log_p, weights=weight)
        + alpha * (l1 * np.abs(W).sum() + (1 - l1) / 2 * np.sum(W * W))
    )


# ------------------------------------------------------------------ optima
@pytest.mark.parametrize("scaled", [False, True], ids=["raw", "scaled"])
@pytest.mark.parametrize("C", [1.0, 0.01, 10.0])
@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer"])
def test_lbfgs_finds_the_optimum_of_logistic_regression(name: str, C: float, scaled: bool) -> None:
    X, y = load(name, scaled)
    theirs = linear_model.LogisticRegression(C=C, solver="newton-cg", tol=1e-12, max_iter=10_000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its line search, at the limit of rounding
        theirs.fit(X, y)
    alpha = 1 / (C * len(X))
    ours = SoftmaxRegression(alpha=alpha, solver="lbfgs").fit(X, y)
    assert J(ours, X, y, alpha) <= J(theirs, X, y, alpha) * (1 + 1e-10)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=0, atol=2e-5)
    # the intercept, which nothing holds, follows the coefficients times the features' size
    np.testing.assert_allclose(
        ours.decision_function(X), theirs.decision_function(X), rtol=1e-4, atol=1e-4
    )
    assert ours.loss_curve_[-1] == pytest.approx(J(ours, X, y, alpha), rel=1e-12)


@pytest.mark.parametrize("scaled", [False, True], ids=["raw", "scaled"])
def test_and_on_the_digits(scaled: bool) -> None:
    # Compared by the objective's gradient: of their solvers only newton-cholesky gets there soon.
    X, y = load("digits", scaled)
    alpha = 1 / len(X)
    ours = SoftmaxRegression(alpha=alpha, solver="lbfgs").fit(X, y)
    theirs = linear_model.LogisticRegression(solver="newton-cholesky", tol=1e-9, max_iter=200)
    theirs.fit(X, y)
    assert J(ours, X, y, alpha) == pytest.approx(J(theirs, X, y, alpha), rel=1e-9)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=0, atol=1e-4)


def test_unpenalized_without_intercept_and_with_weights() -> None:
    X, y = load("iris", scaled=True)
    X = X + np.random.default_rng(0).normal(size=X.shape)  # not separable
    weight = np.random.default_rng(1).uniform(0, 3, len(X))
    theirs = linear_model.LogisticRegression(C=np.inf, tol=1e-10, fit_intercept=False)
    theirs.fit(X, y, weight)
    ours = SoftmaxRegression(penalty=None, fit_intercept=False).fit(X, y, weight)
    moved = theirs.coef_ - theirs.coef_.mean(axis=0)  # one vector more in each changes nothing
    np.testing.assert_allclose(ours.coef_ - ours.coef_.mean(axis=0), moved, atol=1e-5)
    assert (ours.intercept_ == 0).all()


@pytest.mark.parametrize("class_weight", ["balanced", {"setosa": 3.0, "virginica": 0.5}])
def test_class_weights(class_weight: Any) -> None:
    iris = datasets.load_iris()
    X, y = iris.data[20:], iris.target_names[iris.target][20:]
    theirs = linear_model.LogisticRegression(
        solver="newton-cg", tol=1e-12, class_weight=class_weight
    ).fit(X, y)
    each = need("sklearn.utils").compute_sample_weight(class_weight, y)
    ours = SoftmaxRegression(alpha=1 / each.sum(), class_weight=class_weight).fit(X, y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-5)
    assert ours.predict(X[:1]).tolist() == ["setosa"]


@pytest.mark.parametrize("l1", [1.0, 0.5])
@pytest.mark.parametrize("name", ["iris", "wine"])
def test_l1_finds_the_optimum_and_the_zeros_of_saga(name: str, l1: float) -> None:
    X, y = load(name, scaled=True)
    alpha = 0.01
    theirs = linear_model.LogisticRegression(
        C=1 / (alpha * len(X)), l1_ratio=l1, solver="saga", tol=1e-7, max_iter=100_000
    ).fit(X, y)
    ours = SoftmaxRegression(
        penalty="l1" if l1 == 1 else "elasticnet", l1_ratio=l1, alpha=alpha, solver="sgd",
        batch_size="full", momentum=0.9, learning_rate=0.1, tol=1e-12, max_iter=30_000,
    ).fit(X, y)  # fmt: skip
    assert (theirs.coef_ == 0).any()
    np.testing.assert_array_equal(ours.coef_ == 0, theirs.coef_ == 0)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=5e-3)
    assert J(ours, X, y, alpha, l1) <= J(theirs, X, y, alpha, l1) * (1 + 1e-7)
    assert ours.loss_curve_[-1] == pytest.approx(J(ours, X, y, alpha, l1), rel=1e-8)


def test_l1_by_adam_makes_zeros_too() -> None:
    X, y = load("wine", scaled=True)
    ours = SoftmaxRegression(penalty="l1", alpha=0.05, random_state=0).fit(X, y)
    assert ours.solver_ == "adam"
    assert (ours.coef_ == 0).sum() > 10
    assert ours.score(X, y) > 0.95


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_features_far_from_zero_or_constant(dtype: Any) -> None:
    X, y = load("iris", scaled=True)
    plain = SoftmaxRegression(alpha=0.1).fit(X, y)
    far = np.hstack([X, np.zeros((150, 1)), np.full((150, 1), 7.0)]) + 100.0
    moved = SoftmaxRegression(alpha=0.1).fit(far.astype(dtype), y)
    assert moved.n_iter_ < 100  # float32 has no places for a tolerance of 1e-10
    close = 1e-2 if dtype is np.float32 else 1e-6
    np.testing.assert_allclose(moved.coef_[:, :4], plain.coef_, atol=close)
    np.testing.assert_allclose(moved.coef_[:, 4:], 0.0, atol=close)


# ------------------------------------------------------------------ steps
@pytest.mark.parametrize("loss", ["logistic", "cross_entropy"])
@pytest.mark.parametrize("alpha", [1e-4, 1e-2])
def test_sgd_takes_the_steps_of_sgd_classifier(alpha: float, loss: str) -> None:
    X, y = load("breast_cancer", scaled=True)
    theirs = linear_model.SGDClassifier(
        loss="log_loss", alpha=alpha, shuffle=False, learning_rate="constant", eta0=0.01,
        max_iter=5, tol=None,
    ).fit(X, y)  # fmt: skip
    ours = SoftmaxRegression(
        loss, alpha=alpha, solver="sgd", batch_size=1, shuffle=False, learning_rate=0.01,
        max_iter=5, tol=None,
    ).fit(X, y)  # fmt: skip
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=0, atol=1e-10)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=0, atol=1e-10)


OPTIONS = [
    {"solver": "sgd"},
    {"solver": "sgd", "momentum": 0.8},
    {"solver": "sgd", "momentum": 0.8, "nesterov": True},
    {"solver": "adam"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("batch", [7, "full"])
@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_steps_are_those_of_pytorch(options: Any, batch: Any, loss: str) -> None:
    torch = need("torch")
    X, y = load("iris", scaled=True)
    weight = np.random.default_rng(0).uniform(0, 2, len(X))
    ours = SoftmaxRegression(
        loss, alpha=0.1, batch_size=batch, shuffle=False, max_iter=3, tol=None, **options
    ).fit(X, y, weight)
    lin = torch.nn.Linear(4, 3, dtype=torch.float64)
    for p in lin.parameters():
        torch.nn.init.zeros_(p)
    rule = {k: v for k, v in options.items() if k != "solver"}
    made = torch.optim.Adam if options["solver"] == "adam" else torch.optim.SGD
    optimizer = made(lin.parameters(), lr=0.01, **rule)
    Xt, yt, wt = torch.tensor(X), torch.tensor(y), torch.tensor(weight / weight.mean())
    for _ in range(3):
        for rows in torch.arange(len(X)).split(len(X) if batch == "full" else batch):
            optimizer.zero_grad()
            z = lin(Xt[rows])
            if loss == "mse":
                t = torch.nn.functional.one_hot(yt[rows], 3)
                each = ((z.softmax(1) - t) ** 2).sum(1)
            else:
                each = torch.nn.functional.cross_entropy(z, yt[rows], reduction="none")
            (torch.mean(wt[rows] * each) + 0.05 * (lin.weight**2).sum()).backward()
            optimizer.step()
    np.testing.assert_allclose(ours.coef_, lin.weight.detach().numpy(), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(ours.intercept_, lin.bias.detach().numpy(), rtol=1e-9, atol=1e-12)


def test_the_learning_rate_falls_by_invscaling() -> None:
    X, y = load("breast_cancer", scaled=True)
    theirs = linear_model.SGDClassifier(
        loss="log_loss", alpha=0.01, shuffle=False, learning_rate="invscaling", eta0=0.1,
        power_t=0.3, max_iter=3, tol=None,
    ).fit(X, y)  # fmt: skip
    ours = SoftmaxRegression(
        alpha=0.01, solver="sgd", batch_size=1, shuffle=False, learning_rate=0.1,
        schedule="invscaling", power_t=0.3, max_iter=3, tol=None,
    ).fit(X, y)  # fmt: skip
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=0, atol=1e-10)


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
    w = rng.uniform(0, 2, n) if weighted else None
    b = rng.normal(size=columns)
    assert gradcheck(lambda W: objective([W, b], X, y, w, loss), W)
    assert gradcheck(lambda b: objective([W, b], X, y, w, loss), b)


def test_random_state_decides_the_order_of_rows() -> None:
    X, y = load("iris", scaled=True)
    fits = [
        SoftmaxRegression(solver="sgd", max_iter=2, tol=None, random_state=s).fit(X, y).coef_
        for s in (0, 0, 1, np.random.RandomState(0), np.random.RandomState(0))
    ]
    assert (fits[0] == fits[1]).all()
    assert (fits[3] == fits[4]).all()
    assert (fits[0] != fits[2]).any()


def test_partial_fit_goes_on_where_it_was() -> None:
    X, y = load("iris", scaled=True)
    options: dict[str, Any] = {"solver": "sgd", "momentum": 0.9, "shuffle": False, "tol": None}
    whole = SoftmaxRegression(max_iter=3, **options).fit(X, y)
    model = SoftmaxRegression(**options)
    for _ in range(3):
        model.partial_fit(X, y, classes=[2, 1, 0])
        model = pickle.loads(pickle.dumps(model))  # with its momentum
    np.testing.assert_allclose(model.coef_, whole.coef_, rtol=1e-12)
    assert (model.n_iter_, model.t_) == (3, 3 * 5)
    assert model.loss_curve_ == pytest.approx(whole.loss_curve_)
    model.partial_fit(X[:2], y[:2])  # one class only, one of those announced
    with pytest.raises(ValueError, match="not among the classes"):
        model.partial_fit(X, y + 1)
    with pytest.raises(ValueError, match="all labels in the first"):
        SoftmaxRegression().partial_fit(X, y)


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


# ------------------------------------------------------------------ dtypes, memory
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


@pytest.mark.parametrize(("loss", "solver", "batch", "classes", "weighted"), PEAKS)
def test_memory_is_at_most_two_batches_of_logits_and_gradients(
    loss: str, solver: str, batch: Any, classes: int, weighted: bool
) -> None:
    n, features = 50_000, 20
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(n, features)), rng.integers(0, classes, n)
    weight = rng.uniform(size=n) if weighted else None
    model = SoftmaxRegression(loss, solver=solver, batch_size=batch, max_iter=2, tol=None)
    model.fit(X[:5000], y[:5000])  # imports, programs
    with need("threadpoolctl").threadpool_limits(2, user_api="blas"):  # as many as take the blocks
        tracemalloc.start()
        model.fit(X, y, weight)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    columns, rows = 1 if classes == 2 else classes, n if batch == "full" else batch
    data = 8 * n  # the labels as indices; and the order of the rows, and a batch of them
    data += 0 if batch == "full" else 8 * n + 8 * features * rows
    assert peak < data + 2 * (2 * rows * columns * 8)


# ------------------------------------------------------------------ watching and stopping
def test_the_bar_shows_loss_and_accuracy(capsys: pytest.CaptureFixture[str]) -> None:
    need("tqdm")
    X, y = load("iris", scaled=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tqdm's, of a notebook without widgets
        SoftmaxRegression(verbose=True).fit(X, y)
    shown = capsys.readouterr().err
    assert "loss=" in shown
    assert "accuracy=0.9" in shown


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


# ------------------------------------------------------------------ errors
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"loss": "hinge"}, "loss: got 'hinge', wanted 'cross_entropy'"),
    ({"penalty": "l3"}, "penalty: got 'l3'"),
    ({"solver": "newton"}, "solver: got 'newton'"),
    ({"schedule": "cosine"}, "schedule: got 'cosine'"),
    ({"solver": "lbfgs", "penalty": "l1"}, "wants a smooth penalty, got 'l1'"),
    ({"alpha": -1.0}, "alpha: got -1.0, wanted 0 or more"),
    ({"max_iter": 0}, "max_iter: got 0"),
    ({"batch_size": 0}, "batch_size: got 0"),
    ({"batch_size": "half"}, "batch_size: got 'half'"),
    ({"tol": "small"}, "tol: got 'small'"),
    ({"alpha": "strong"}, "alpha: got 'strong', wanted 0 or more"),
    ({"momentum": 1.5}, "momentum: got 1.5, wanted 0 to"),
    ({"l1_ratio": 2.0}, "l1_ratio: got 2.0, wanted 0 to 1"),
    ({"random_state": "a"}, "random_state: got 'a'"),
    ({"class_weight": [1, 2]}, "class_weight: got a list"),
    ({"loss": "logistic"}, "for two classes, got 3"),
    ({"class_weight": {7: 1.0}}, r"class_weight: got \[7\]"),
    ({"class_weight": "even"}, "class_weight: got 'even'"),
    ({"early_stopping": True, "validation_fraction": 0.0}, "sets aside 0"),
    ({"solver": "sgd", "learning_rate": 1e300}, "take a learning_rate below"),
]


@pytest.mark.parametrize(("options", "message"), WRONG, ids=str)
def test_a_mistake_is_named_in_one_line(options: Any, message: str) -> None:
    X, y = load("iris", scaled=True)
    with pytest.raises(ValueError, match=message) as caught:
        SoftmaxRegression(**options).fit(X, y)
    assert "\n" not in str(caught.value)


@pytest.fixture(autouse=True)
def _no_bar_left() -> Iterator[None]:
    yield
    assert not tracemalloc.is_tracing()
