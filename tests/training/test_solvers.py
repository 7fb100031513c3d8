"""SoftmaxRegression against scikit-learn's optima, and SGDClassifier's and PyTorch's steps."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import numpy as np
import pytest
from conftest import need
from helpers.fits import ConvergenceWarning, J, datasets, linear_model, load

from tinygrad_ce import SoftmaxRegression


# optima
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


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("l1", [1.0, 0.5])
@pytest.mark.parametrize("name", ["iris", "wine"])
def test_l1_finds_the_optimum_and_the_zeros_of_saga(name: str, l1: float) -> None:
    X, y = load(name, scaled=True)
    alpha = 0.01
    theirs = linear_model.LogisticRegression(
        C=1 / (alpha * len(X)), l1_ratio=l1, solver="saga", tol=1e-7, max_iter=100_000
    )
    if theirs.get_params()["penalty"] == "l2":  # before scikit-learn 1.8
        theirs.set_params(penalty="elasticnet")
    theirs.fit(X, y)
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


def times(n: int, span: float, classes: int) -> tuple[Any, Any]:
    """Seconds since 1970 of n events, and labels that change with them, but for a fifth."""
    rng = np.random.default_rng(0)
    t = np.sort(rng.uniform(0, span, n))
    y = np.minimum(np.arange(n) * classes // n + (rng.random(n) < 0.2), classes - 1)
    return t[:, None] + 1.7e9, y


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize(
    ("dtype", "span", "unit", "close"),
    [(np.float32, 1e7, 1.0, 1e-4), (np.float32, 1e5, 1.0, 1e-3), (float, 60, 1e9, 1e-6)],
)
def test_times_are_fitted_as_they_are_once_centred(
    dtype: Any, span: float, unit: float, close: float, classes: int
) -> None:
    X, y = times(1000, span, classes)
    centred = (X - X.mean()) / X.std()
    best = SoftmaxRegression(alpha=0).fit(centred, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of slopes above the tolerance
        model = SoftmaxRegression(alpha=0).fit((X * unit).astype(dtype), y)
    assert model.loss_curve_[-1] == pytest.approx(best.loss_curve_[-1], abs=close)
    assert model.score((X * unit).astype(dtype), y) == pytest.approx(
        best.score(centred, y), abs=0.01
    )


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("span", [300, 600, 1e3])
def test_times_of_too_few_digits_are_warned_of(span: float, classes: int) -> None:
    X, y = times(1000, span, classes)
    with pytest.warns(ConvergenceWarning, match="no further than a slope of .*: scale the data"):
        SoftmaxRegression().fit(X.astype(np.float32), y)


@pytest.mark.parametrize("dtype", [np.float32, float])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_a_loss_above_that_of_weights_of_0_is_warned_of(solver: str, dtype: Any) -> None:
    X, y = load("iris", scaled=False)
    for far in (times(150, 1e6, 3)[0], X * 1e6, np.hstack([X, times(150, 1e6, 3)[0]])):
        with pytest.warns(
            ConvergenceWarning, match=r"^the loss is .*, and 1\.1 where all weights are"
        ):
            SoftmaxRegression(solver=solver, random_state=0, max_iter=30).fit(far.astype(dtype), y)


# steps
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


@pytest.mark.slow
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
    with pytest.raises(ValueError, match="previously unseen labels"):
        model.partial_fit(X, y + 1)
    with pytest.raises(ValueError, match="classes must be passed on the first"):
        SoftmaxRegression().partial_fit(X, y)
    with pytest.raises(ValueError, match="is not the same as on last call"):
        model.partial_fit(X, y, classes=[0, 1])
    first = SoftmaxRegression(solver="sgd")
    with pytest.raises(ValueError, match="one class"):
        first.partial_fit(X[:2], y[:2], classes=[0])
    with pytest.raises(ValueError, match="previously unseen labels"):
        first.partial_fit(X, y, classes=[0])
    first.partial_fit(X, y, classes=[0, 1, 2])  # a mistake before leaves nothing behind


def test_a_fit_that_begins_at_the_optimum_has_one_iteration() -> None:
    model = SoftmaxRegression().fit(np.zeros((10, 2)), [0, 1] * 5)
    assert model.n_iter_ == 1
    assert model.loss_curve_ == pytest.approx([np.log(2)])
    assert not model.coef_.any()


@pytest.mark.parametrize("batch", [50, 10_000])
def test_a_batch_whose_weights_are_all_0_moves_nothing(batch: int) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20_000, 2)), rng.integers(0, 3, 20_000)
    weight = np.repeat([0.0, 1.0], 10_000)
    options: dict[str, Any] = {"solver": "sgd", "alpha": 0.0, "shuffle": False, "tol": None}
    options |= {"batch_size": batch, "max_iter": 1}
    model = SoftmaxRegression(**options).fit(X, y, weight)
    half = SoftmaxRegression(**options, learning_rate=0.02).fit(X[10_000:], y[10_000:])
    np.testing.assert_allclose(model.coef_, half.coef_, rtol=1e-9)  # the mean weight is a half
