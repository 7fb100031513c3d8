"""Softmax and its relatives: PyTorch's values and derivatives, arrays in arrays out, extremes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import need
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from tinygrad_ce import (
    Value,
    grad,
    jacobian,
    log_softmax,
    logsumexp,
    relu,
    sigmoid,
    softmax,
)

Function = Callable[..., Any]
DTYPES = (np.float32, np.float64)
SHAPE = (3, 4, 5)


def pairs() -> list[Any]:
    """Each function with its options, and PyTorch's."""

    def both(name: str, ours: Function, theirs: Function) -> Any:
        return pytest.param(ours, theirs, id=name)

    table = [
        both("sigmoid", sigmoid, lambda F, v: F.sigmoid(v)),
        both("relu", relu, lambda F, v: F.relu(v)),
        both("logsumexp of all", logsumexp, lambda F, v: v.flatten().logsumexp(0)),
        both(
            "logsumexp of two axes",
            lambda x: logsumexp(x, axis=(0, -1), keepdims=True),
            lambda F, v: v.logsumexp((0, 2), keepdim=True),
        ),
    ]
    for axis in (0, 1, -1):
        table += [
            both(
                f"softmax {axis}",
                lambda x, a=axis: softmax(x, axis=a),
                lambda F, v, a=axis: F.softmax(v, a),
            ),
            both(
                f"softmax {axis} at 2.5",
                lambda x, a=axis: softmax(x, axis=a, temperature=2.5),
                lambda F, v, a=axis: F.softmax(v / 2.5, a),
            ),
            both(
                f"log_softmax {axis}",
                lambda x, a=axis: log_softmax(x, axis=a),
                lambda F, v, a=axis: F.log_softmax(v, a),
            ),
            both(
                f"logsumexp {axis}",
                lambda x, a=axis: logsumexp(x, axis=a),
                lambda F, v, a=axis: v.logsumexp(a),
            ),
        ]
    return table


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("ours", "theirs"), pairs())
def test_values_and_two_derivatives_are_pytorchs(
    ours: Function, theirs: Function, dtype: Any, rng: Any
) -> None:
    torch = need("torch")
    x = (3.0 * rng.standard_normal(SHAPE)).astype(dtype)
    tx = torch.tensor(x, requires_grad=True)
    want = theirs(torch.nn.functional, tx)
    g = rng.standard_normal(tuple(want.shape)).astype(dtype)
    u = rng.standard_normal(SHAPE).astype(dtype)
    close = {"rtol": 30 * np.finfo(dtype).eps, "atol": 30 * np.finfo(dtype).eps}

    v = Value(x)
    out = ours(v)
    np.testing.assert_allclose(out.data, want.detach().numpy(), **close)
    out.backward(g if out.shape else float(g))
    (first,) = torch.autograd.grad((want * torch.tensor(g)).sum(), tx, create_graph=True)
    np.testing.assert_allclose(v.grad, first.detach().numpy(), **close)
    assert (v.grad.dtype, out.dtype) == (dtype, dtype)

    second = grad(lambda y: (u * grad(lambda z: (g * ours(z)).sum())(y)).sum())(x)
    theirs_second = np.zeros(SHAPE)
    if first.requires_grad:  # relu's is constant
        (t,) = torch.autograd.grad((first * torch.tensor(u)).sum(), tx)
        theirs_second = t.numpy()
    np.testing.assert_allclose(second, theirs_second, **close)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("ours", "theirs"), pairs())
def test_arrays_in_arrays_out(ours: Function, theirs: Function, dtype: Any, rng: Any) -> None:
    """... of the same dtype and, bit by bit, the numbers a `Value` gets."""
    x = rng.standard_normal(SHAPE).astype(dtype)
    x.flags.writeable = False
    out = ours(x)
    assert isinstance(out, np.ndarray | np.floating)
    assert out.dtype == dtype
    np.testing.assert_array_equal(out, ours(Value(x)).data)


def test_lists_and_numbers_work_too() -> None:
    assert softmax([0.0, 0.0]).tolist() == [0.5, 0.5]
    assert sigmoid(0) == 0.5
    assert relu([-1, 2]).tolist() == [0.0, 2.0]
    assert logsumexp([0, 0]) == np.log(2.0)
    assert Value(2.0).sigmoid().data == sigmoid(2.0)
    assert [Value(x).relu().data for x in (-2.0, 2.0)] == [0.0, 2.0]


# ------------------------------------------------------------------ closed forms
def test_the_jacobian_of_softmax(rng: Any) -> None:
    """∂p/∂z = diag(p) − p pᵀ, over T at temperature T."""
    z = rng.standard_normal(6)
    for t in (1.0, 0.5):
        p = softmax(z, temperature=t)
        want = (np.diag(p) - np.outer(p, p)) / t
        got = jacobian(lambda v: softmax(v, temperature=t))(z)  # noqa: B023 - called at once
        np.testing.assert_allclose(got, want, atol=1e-15)


def test_the_gradient_reaches_a_temperature(rng: Any) -> None:
    z, g = rng.standard_normal(4), rng.standard_normal(4)
    t = Value(2.0)
    (g * softmax(z, temperature=t)).sum().backward()
    p = softmax(z / 2.0)
    want = -(g * p) @ (z - p @ z) / 4.0
    np.testing.assert_allclose(t.grad, want, rtol=1e-13)


def test_sigmoid_s_derivatives(rng: Any) -> None:
    """σ′ = σ(1 − σ), σ″ = σ′(1 − 2σ)."""
    for x in (-3.0, 0.0, 0.5, 20.0):
        s = 1.0 / (1.0 + np.exp(-x))
        slope = np.exp(-x) * s * s
        assert grad(sigmoid)(x) == pytest.approx(slope, rel=1e-14, abs=0.0)
        assert grad(grad(sigmoid))(x) == pytest.approx(slope * (1 - 2 * s), rel=1e-14, abs=0.0)


def test_relu_at_zero_and_nan() -> None:
    v = Value([-1.0, 0.0, -0.0, 2.0, np.nan])
    out = relu(v)
    out.backward(np.ones(5))
    np.testing.assert_array_equal(out.data, [0.0, 0.0, 0.0, 2.0, np.nan])
    assert v.grad.tolist()[:4] == [0.0, 0.0, 0.0, 1.0]


# ------------------------------------------------------------------ extremes
def slope(f: Function, x: Any) -> Any:
    v = Value(x)
    f(v).backward(np.ones(np.shape(x)))
    return v.grad


def test_a_thousand_either_way() -> None:
    z = np.array([1000.0, 0.0, -1000.0])
    assert softmax(z).tolist() == [1.0, 0.0, 0.0]
    assert log_softmax(z).tolist() == [0.0, -1000.0, -2000.0]
    assert logsumexp(z) == 1000.0
    assert sigmoid(z).tolist() == [1.0, 0.5, 0.0]
    assert sigmoid(-700.0) == pytest.approx(np.exp(-700.0), rel=1e-13)  # no digit lost in the tail
    for f in (softmax, log_softmax, sigmoid, relu):
        assert np.isfinite(slope(f, z)).all()
    assert slope(sigmoid, z).tolist() == [0.0, 0.25, 0.0]


def test_an_offset_costs_log_softmax_no_digits(rng: Any) -> None:
    z = np.round(rng.standard_normal(5) * 2**20) / 2**20
    np.testing.assert_allclose(log_softmax(z + 2.0**20), log_softmax(z), rtol=1e-15)


def test_masks(rng: Any) -> None:
    """Classes at −inf have p = 0, no share in any gradient, and leave the others as they are."""
    z, g = rng.standard_normal((3, 5)), rng.standard_normal((3, 5))
    mask = np.array([False, True, False, False, True])
    masked = np.where(mask, -np.inf, z)
    np.testing.assert_allclose(softmax(masked)[:, ~mask], softmax(z[:, ~mask]), rtol=1e-14)
    assert not softmax(masked)[:, mask].any()
    np.testing.assert_allclose(
        logsumexp(masked, axis=1), logsumexp(z[:, ~mask], axis=1), rtol=1e-14
    )
    v, w = Value(masked), Value(z[:, ~mask])
    (softmax(v) * g).sum().backward()
    (softmax(w) * g[:, ~mask]).sum().backward()
    assert not v.grad[:, mask].any()
    np.testing.assert_allclose(v.grad[:, ~mask], w.grad, rtol=1e-13, atol=1e-16)
    assert logsumexp(np.full(3, -np.inf)) == -np.inf


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_inf_and_nan_are_pytorchs(bad: float) -> None:
    torch = need("torch")
    z = np.array([[1.0, bad, 0.0], [0.0, 1.0, 2.0]])
    for ours, theirs in ((softmax, torch.softmax), (log_softmax, torch.log_softmax)):
        with np.errstate(invalid="ignore"):
            got = ours(z)
        np.testing.assert_allclose(got, theirs(torch.tensor(z), -1).numpy(), rtol=1e-14)
        assert np.isnan(got[0]).all()
    np.testing.assert_array_equal(logsumexp(np.array([1.0, bad])), bad)
    np.testing.assert_array_equal(sigmoid(np.array([np.inf, -np.inf, np.nan])), [1.0, 0.0, np.nan])


@pytest.mark.parametrize(
    "row", [[37.43, 0.0], [0.0, 37.43, 1.0], [700.0, 0.0, 1.0], [-1.0, 19.0], [5.0, 5.0, -40.0]]
)
@pytest.mark.parametrize("axis", [0, -1])
def test_the_gradient_of_log_softmax_cancels_nowhere(row: list[float], axis: int) -> None:
    """In 400 digits p − 1 of the largest logit is minus the sum of the other p."""
    mp = need("mpmath").mp
    for t in range(len(row)):
        z = Value(np.array([row]).T if axis == 0 else np.array([row]))
        log_softmax(z, axis).backward(np.eye(len(row))[t].reshape(z.shape))
        with mp.workdps(400):
            e = [mp.exp(x) for x in row]
            p = [x / mp.fsum(e) for x in e]
            wanted = [float(mp.fsum(p) - p[t] if j == t else -p[j]) for j in range(len(row))]
        np.testing.assert_allclose(z.grad.ravel(), wanted, rtol=1e-14)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_a_temperature_of_any_kind_leaves_the_dtype(kind: Any) -> None:
    z = np.array([1.0, 2.0], kind)
    for t in (2, 2.0, np.float64(2.0), np.float32(2.0), np.int64(2)):
        assert softmax(z, temperature=t).dtype == softmax(Value(z), temperature=t).dtype == kind


# ------------------------------------------------------------------ identities
Z = arrays(float, array_shapes(max_dims=3, max_side=5), elements=st.floats(-50, 50))


@given(Z, st.floats(-100, 100))
@pytest.mark.slow
def test_a_shift_changes_no_softmax(z: np.ndarray, c: float) -> None:
    np.testing.assert_allclose(softmax(z + c), softmax(z), rtol=1e-12)
    np.testing.assert_allclose(log_softmax(z + c), log_softmax(z), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(logsumexp(z + c), logsumexp(z) + c, rtol=1e-12, atol=1e-12)


@pytest.mark.slow
@given(Z)
def test_softmax_is_a_distribution_and_log_softmax_its_logarithm(z: np.ndarray) -> None:
    p = softmax(z)
    assert (p > 0).all()
    np.testing.assert_allclose(p.sum(-1), 1.0, rtol=1e-14)
    np.testing.assert_allclose(np.exp(log_softmax(z)), p, rtol=1e-12)


@pytest.mark.slow
@given(st.floats(-300, 300), st.floats(-300, 300))
def test_two_classes_are_a_sigmoid(a: float, b: float) -> None:
    np.testing.assert_allclose(softmax(np.array([a, b]))[1], sigmoid(b - a), rtol=1e-12)


@pytest.mark.parametrize("temperature", [0.0, -1.0, np.nan])
def test_a_temperature_is_above_zero(temperature: float) -> None:
    with pytest.raises(ValueError, match="temperature"):
        softmax(np.zeros(3), temperature=temperature)


@pytest.mark.parametrize("x", [3.0, np.array(3.0)])
def test_one_number_is_one_class(x: Any) -> None:
    for f, value, slope in ((softmax, 1.0, 0.0), (log_softmax, 0.0, 0.0), (logsumexp, 3.0, 1.0)):
        assert f(Value(x), axis=0).data == f(x, axis=0) == value
        assert grad(lambda v, f=f: f(v, axis=0))(x) == slope
