"""The worked figures of the lessons come out, to the digits printed there, and one erratum."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_ce import (
    Value,
    binary_cross_entropy,
    cross_entropy,
    log_softmax,
    logistic_loss,
    mse,
    nll,
    sigmoid,
    softmax,
)

CASES = json.loads(Path(__file__).with_name("seed_cases.json").read_text())


def same_digits(got: Any, printed: Any, digits: int) -> None:
    """Equal as rounded, give or take one in the last place: some documents cut digits off."""
    np.testing.assert_allclose(got, printed, rtol=0, atol=1.01 * 10.0**-digits)


def slope(loss: Any, x: Any) -> Any:
    v = Value(x)
    loss(v).backward()
    return v.grad


@pytest.mark.parametrize("case", CASES["softmax"])
def test_softmax(case: dict[str, Any]) -> None:
    z, digits = np.array(case["logits"]), case["digits"]
    p = softmax(z)
    same_digits(p, case["p"], digits["p"])
    assert abs(p - case["p"]).max() <= 0.51 * 10.0 ** -digits["p"]
    assert p.sum() == pytest.approx(1.0, abs=1e-15)
    np.testing.assert_array_equal(softmax(Value(z)).data, p)
    if "exp" in case:
        same_digits(np.exp(z), case["exp"], digits["exp"])
    if "sum" in case:
        same_digits(np.exp(z).sum(), case["sum"], digits["sum"])


def test_the_erratum() -> None:
    """What is printed does not follow from the logits; what the erratum says does."""
    case = CASES["erratum"]
    e = np.exp(case["logits"])
    p = e / e.sum()
    assert abs(p - case["p_as_printed"]).max() > 0.02
    assert abs(e[2] - case["exp_as_printed"][2]) > 0.08
    same_digits(e[2], case["third_exp"], 4)
    same_digits(np.delete(e, 2), np.delete(case["exp_as_printed"], 2), 3)
    same_digits(np.sum(case["exp_as_printed"]), case["sum_as_printed"], 4)
    first = case["exp_as_printed"][0] / case["sum_as_printed"]
    same_digits(first, case["first_p_of_printed_exp"], 4)
    assert abs(first - case["p_as_printed"][0]) > 0.004


def test_logits_of_a_thousand_do_not_overflow() -> None:
    big = CASES["overflow_logit"]
    with np.errstate(over="ignore", invalid="ignore"):
        naive = np.exp(np.array([big, 0.0])) / np.exp(np.array([big, 0.0])).sum()
    assert np.isnan(naive[0])
    assert softmax(np.array([big, 0.0])).tolist() == [1.0, 0.0]
    v = Value([big, 0.0])
    loss = cross_entropy(v, 1)
    loss.backward()
    assert (loss.data, v.grad.tolist()) == (big, [1.0, -1.0])


@pytest.mark.parametrize(("p", "printed"), CASES["neg_log"])
def test_minus_log_p(p: float, printed: float) -> None:
    """... of the target, whether two classes share the rest or one has it."""
    z = np.log([p, 1.0 - p])
    same_digits(cross_entropy(z, 0), printed, 2)
    same_digits(nll(z, 0), printed, 2)
    same_digits(binary_cross_entropy(z[0] - z[1], 1), printed, 2)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("target", CASES["targets"])
def test_the_gradient_is_p_minus_t(target: list[float], fused: bool) -> None:
    z = np.array(CASES["softmax"][0]["logits"])
    got = slope(lambda v: cross_entropy(v, np.array(target), fused=fused), z)
    np.testing.assert_allclose(got, softmax(z) - target, atol=1e-15)


def test_base_and_temperature_are_one_thing() -> None:
    """Softmax of base a is softmax of ln(a)·z, at temperature 1 / ln a."""
    z = np.array(CASES["softmax"][1]["logits"])
    for base in (2.0, 10.0):
        powers = base**z
        np.testing.assert_allclose(softmax(np.log(base) * z), powers / powers.sum(), rtol=1e-14)
        np.testing.assert_allclose(
            softmax(z, temperature=1.0 / np.log(base)), powers / powers.sum(), rtol=1e-14
        )


def test_facts_about_softmax() -> None:
    z = np.array(CASES["softmax"][1]["logits"])
    np.testing.assert_allclose(softmax(z - z.max()), softmax(z), rtol=1e-15)
    np.testing.assert_allclose(softmax(z[:2])[1], sigmoid(z[1] - z[0]), rtol=1e-15)
    scores = z - 1.0  # dividing scores by their sum is no softmax: this "probability" is negative
    assert (scores / scores.sum()).min() < 0 < softmax(scores).min()
    np.testing.assert_allclose(softmax(100.0 * z), [1.0, 0.0, 0.0], atol=1e-40)


def test_linear_scores_have_the_gradient_p_minus_y_times_x() -> None:
    """∇w_k = (p_k − y_k)·x, and one L2 step is w − η((p − y)x + αw), b − η(p − y)."""
    case = CASES["linear"]
    x, p, t = np.array(case["x"], float), np.array(case["p"]), case["target"]
    y, alpha, eta = np.eye(5)[t], 0.1, 0.5
    w, b = Value(np.log(p)[:, None] * x / (x @ x)), Value(np.zeros(5))
    cross_entropy(w @ x + b, t).backward()
    np.testing.assert_allclose(softmax(w.data @ x + b.data), p, rtol=1e-14)
    np.testing.assert_allclose(w.grad, np.outer(p - y, x), rtol=1e-13)
    np.testing.assert_allclose(b.grad, p - y, rtol=1e-13)
    v, c = Value(w.data), Value(b.data)
    (cross_entropy(v @ x + c, t) + alpha * (v * v).sum() / 2).backward()
    np.testing.assert_allclose(
        v.data - eta * v.grad, w.data - eta * (np.outer(p - y, x) + alpha * w.data), rtol=1e-13
    )
    np.testing.assert_allclose(c.data - eta * c.grad, -eta * (p - y), rtol=1e-13)


@pytest.mark.parametrize("case", CASES["binary_gradient"])
def test_the_binary_gradient_is_p_minus_y(case: dict[str, float]) -> None:
    z = float(np.log(case["p"] / (1 - case["p"])))
    got = slope(lambda v: binary_cross_entropy(v, int(case["y"])), z)
    assert got == pytest.approx(case["gradient"], rel=1e-14)


def test_the_multiclass_gradient() -> None:
    case = CASES["multiclass_gradient"]
    z = np.log(case["p"])
    for target in (np.array(case["y"]), 0):
        got = slope(lambda v: cross_entropy(v, target), z)  # noqa: B023 - called at once
        np.testing.assert_allclose(got, case["gradient"], rtol=1e-14)


def test_identities_of_the_binary_loss() -> None:
    z = np.linspace(-8, 8, 33)
    np.testing.assert_allclose(-np.log(sigmoid(z)), np.log(1 + np.exp(-z)), rtol=1e-12)
    for y in (-1, 1):
        want = np.log(1 + np.exp(-y * z))
        t = np.full(33, y)
        np.testing.assert_allclose(logistic_loss(z, t, reduction="none"), want, rtol=1e-12)
        binary = binary_cross_entropy(z, (t + 1) // 2, reduction="none")
        np.testing.assert_allclose(binary, want, rtol=1e-12)


def test_mse_is_the_same_skeleton() -> None:
    """Of linear scores too, the gradient is (prediction − y)·x, times 2/n."""
    x, y = np.array(CASES["iris"]["X"]), np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    w = np.array([0.1, -0.2, 0.3, 0.4])
    got = slope(lambda v: mse(x @ v, y), w)
    np.testing.assert_allclose(got, 2.0 / 5.0 * x.T @ (x @ w - y), rtol=1e-13)


def test_sigmoid() -> None:
    case = CASES["sigmoid"]
    same_digits(sigmoid(case["logit"]), case["p"], 4)


def test_the_batch_in_four_steps() -> None:
    case = CASES["batch"]
    z, t, tolerance = np.array(case["logits"]), np.array(case["targets"]), case["tolerance"]
    for got, name in (
        (softmax(z), "softmax"),
        (log_softmax(z), "log_softmax"),
        (nll(softmax(z), t, reduction="none"), "nll_of_probabilities"),
        (nll(log_softmax(z), t, reduction="none"), "cross_entropy"),
        (cross_entropy(z, t, reduction="none"), "cross_entropy"),
        (cross_entropy(z, t, reduction="none", fused=False), "cross_entropy"),
    ):
        np.testing.assert_allclose(got, case[name], rtol=0, atol=tolerance, err_msg=name)
    mean = np.mean(case["cross_entropy"])
    np.testing.assert_allclose(cross_entropy(z, t), mean, atol=tolerance)


def test_softmax_regression_on_iris() -> None:
    """Ŷ = softmax(XW + B), cost −(1/n) Σ_i Σ_j y_ij log p_ij; its gradient Xᵀ(Ŷ − Y)/n."""
    case = CASES["iris"]
    x, y = np.array(case["X"]), np.eye(3)[[0, 0, 1, 2, 2]]
    rng = np.random.default_rng(0)
    w, b = Value(rng.standard_normal((4, 3))), Value(np.zeros(3))
    y_hat = softmax(x @ w + b)
    got = {"X": x.shape, "W": w.shape, "B": b.shape, "Y_hat": y_hat.shape}
    assert {name: list(shape) for name, shape in got.items()} == case["shapes"]
    cost = cross_entropy(x @ w + b, y)
    np.testing.assert_allclose(cost.data, -(y * np.log(y_hat.data)).sum() / 5, rtol=1e-14)
    cost.backward()
    np.testing.assert_allclose(w.grad, x.T @ (y_hat.data - y) / 5, rtol=1e-12)
    np.testing.assert_allclose(b.grad, (y_hat.data - y).sum(0) / 5, rtol=1e-12, atol=1e-16)


def test_with_two_classes_the_cost_is_logistic_regressions() -> None:
    x, t = np.array(CASES["iris"]["X"]), np.array([0, 0, 1, 1, 1])
    w = np.random.default_rng(0).standard_normal((4, 2))
    difference = x @ (w[:, 1] - w[:, 0])
    np.testing.assert_allclose(
        cross_entropy(x @ w, t), binary_cross_entropy(difference, t), rtol=1e-12
    )
