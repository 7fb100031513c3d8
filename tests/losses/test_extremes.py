"""NaN in gives NaN out, and where it belongs; valid extremes give no warning."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers.errors import NAN, P, T, Z

from tinygrad_ce import (
    Value,
    binary_cross_entropy,
    cross_entropy,
    log_softmax,
    logistic_loss,
    logsumexp,
    mse,
    nll,
    relu,
    sigmoid,
    softmax,
)

# ------------------------------------------------------------------ NaN in, NaN out
ONE_NAN = np.array([[1.0, NAN, 0.5], [1.0, 2.0, 3.0]])
ROWWISE: dict[str, Callable[[Any], Any]] = {
    "softmax": softmax,
    "softmax, temperature": lambda z: softmax(z, temperature=2.0),
    "log_softmax": log_softmax,
    "logsumexp": lambda z: logsumexp(z, axis=-1),
    **{
        f"cross_entropy, {what}, fused={fused}": (
            lambda z, t=t, kw=kw, fused=fused: cross_entropy(
                z, t, reduction="none", fused=fused, **kw
            )
        )
        for fused in (True, False)
        for what, t, kw in [
            ("class at nan", [1, 1], {}),
            ("class elsewhere", [0, 1], {}),
            ("one-hot", [[0, 0, 1], [1, 0, 0]], {}),
            ("soft", P, {}),
            ("smoothed", [0, 1], {"label_smoothing": 0.1}),
            ("weighted", [0, 1], {"weight": [1.0, 2.0, 3.0]}),
        ]
    },
}
ENTRYWISE: dict[str, Callable[[Any], Any]] = {
    "sigmoid": sigmoid,
    "relu": relu,
    "binary_cross_entropy": lambda z: binary_cross_entropy(z, np.ones((2, 3)), reduction="none"),
    "binary_cross_entropy 0": lambda z: binary_cross_entropy(z, 0 * Z, reduction="none"),
    "logistic_loss": lambda z: logistic_loss(z, np.ones((2, 3)), reduction="none"),
    "mse": lambda z: mse(z, Z, reduction="none"),
}


@pytest.mark.parametrize("f", ROWWISE.values(), ids=ROWWISE)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_nan_logits_make_their_row_nan_and_no_other(f: Callable[[Any], Any], dtype: Any) -> None:
    z = Value(ONE_NAN.astype(dtype))
    out = f(z)
    out.backward(np.ones(out.shape))
    for result in (f(z.data), out.data, z.grad):
        assert np.isnan(result[0]).all()
        assert np.isfinite(result[1]).all()


@pytest.mark.parametrize("f", ENTRYWISE.values(), ids=ENTRYWISE)
def test_nan_makes_its_entry_nan_and_no_other(f: Callable[[Any], Any]) -> None:
    z = Value(ONE_NAN)
    out = f(z)
    out.backward(np.ones(out.shape))
    for result in (f(ONE_NAN), out.data):
        np.testing.assert_array_equal(np.isnan(result), np.isnan(ONE_NAN))
    assert np.isfinite(z.grad[~np.isnan(ONE_NAN)]).all()


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_one_nan_makes_a_reduced_loss_nan(fused: bool, reduction: str) -> None:
    assert np.isnan(cross_entropy(ONE_NAN, T, fused=fused, reduction=reduction))
    assert np.isnan(cross_entropy(np.full(3, NAN), 0, fused=fused, reduction=reduction))
    assert np.isnan(nll(ONE_NAN, [1, 1], reduction=reduction))
    for f in (binary_cross_entropy, logistic_loss, mse):
        assert np.isnan(f(NAN, 1.0, reduction=reduction))
        assert np.isnan(f(Value(NAN), 1.0, reduction=reduction).data)


@pytest.mark.parametrize("f", [softmax, log_softmax, logsumexp, sigmoid, relu])
def test_nan_as_a_number(f: Callable[[Any], Any]) -> None:
    assert np.isnan(f(NAN))
    assert np.isnan(f(Value(NAN)).data)


# ------------------------------------------------------------------ valid extremes, no warning
EXTREMES = [
    [1000.0, 0.0, -1000.0],
    [1e308, 1e308, 1e308],
    [-1e308, -1e308, -1e308],
    [1e-308, 0.0, -1e-308],
    [700.0, 709.0, 710.0],
    [-745.0, -750.0, -1e4],
    [0.0, -math.inf, 1.0],
]


@pytest.mark.parametrize("row", EXTREMES, ids=str)
@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("target", [0, 2, [0.5, 0.0, 0.5]], ids=str)
def test_extreme_logits_give_finite_results_without_a_warning(
    row: list[float], fused: bool, target: Any
) -> None:
    z = Value(row)
    loss = cross_entropy(z, target, fused=fused)
    loss.backward()
    assert math.isfinite(loss.data)
    assert loss.data >= 0
    assert np.isfinite(z.grad).all()
    np.testing.assert_allclose(z.grad.sum(), 0.0, atol=1e-15)


@pytest.mark.parametrize("row", EXTREMES, ids=str)
def test_extreme_logits_through_the_softmax_family_without_a_warning(row: list[float]) -> None:
    for f in (softmax, logsumexp, sigmoid):
        z = Value(row)
        out = f(z)
        out.backward(np.ones(out.shape))
        assert np.isfinite(out.data).all()
        assert np.isfinite(z.grad).all()
    np.testing.assert_allclose(softmax(row).sum(), 1.0)


@pytest.mark.parametrize("x", [-1e308, -1000.0, -1e-308, 0.0, 1e-308, 1000.0, 1e308])
def test_extreme_numbers_through_the_binary_losses_without_a_warning(x: float) -> None:
    for f, targets in ((binary_cross_entropy, (0, 1)), (logistic_loss, (-1, 1))):
        for y in targets:
            z = Value(x)
            loss = f(z, y)
            loss.backward()
            assert math.isfinite(loss.data)
            assert abs(z.grad) <= 1
