"""Targets that are Values: a gradient flows to them, as in PyTorch, to any order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import need, some_quick
from helpers.programs import fresh

from tinygrad_ce import (
    Value,
    binary_cross_entropy,
    cross_entropy,
    grad,
    hessian,
    log_softmax,
    mse,
    nll,
    program,
    softmax,
)

RNG = np.random.default_rng(0)
Z = RNG.normal(size=(4, 3))
T = RNG.dirichlet(np.ones(3), 4)
W = np.array([1.0, 2.0, 0.5])
REDUCTIONS = ("mean", "sum", "none")
Loss = Callable[..., Any]


def composed(z: Any, t: Any, **how: Any) -> Any:
    return cross_entropy(z, t, fused=False, **how)


def from_log_p(z: Any, t: Any, **how: Any) -> Any:
    return nll(log_softmax(z), t, **how)


PAIRS: dict[str, tuple[Loss, str, dict[str, Any]]] = {
    "fused": (cross_entropy, "cross_entropy", {}),
    "fused, weight": (cross_entropy, "cross_entropy", {"weight": W, "label_smoothing": 0.1}),
    "composed": (composed, "cross_entropy", {}),
    "composed, weight": (composed, "cross_entropy", {"weight": W, "label_smoothing": 0.1}),
    "nll": (from_log_p, "cross_entropy", {}),
    "binary": (binary_cross_entropy, "binary_cross_entropy_with_logits", {}),
    "binary, pos_weight": (
        binary_cross_entropy,
        "binary_cross_entropy_with_logits",
        {"pos_weight": W},
    ),
    "mse": (mse, "mse_loss", {}),
}


def gradients(f: Loss, z: Any, t: Any) -> list[Any]:
    return [*grad(lambda z, t: np.sum(f(z, t)), (0, 1))(z, t)]


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("target", [T, np.eye(3)[[0, 2, 1, 1]]], ids=["soft", "one-hot"])
def test_gradients_and_hessians_are_those_of_pytorch(
    name: str, reduction: str, target: Any
) -> None:
    torch = need("torch")
    f, twin, how = PAIRS[name]
    theirs = {k: torch.tensor(x) if isinstance(x, np.ndarray) else x for k, x in how.items()}

    def ours(z: Any, t: Any) -> Any:
        free = {"allow_unnormalized": True} if "cross" in twin and "binary" not in twin else {}
        return np.sum(f(z, t, reduction=reduction, **how, **free) ** 2)

    def torchs(z: Any, t: Any) -> Any:
        loss = getattr(torch.nn.functional, twin)(z, t, reduction=reduction, **theirs)
        return (loss**2).sum()

    arrays = tuple(torch.tensor(x) for x in (Z, target))
    for g, wanted in zip(
        gradients(ours, Z, target), torch.autograd.functional.jacobian(torchs, arrays)
    ):
        np.testing.assert_allclose(g, wanted.numpy(), 1e-10, 1e-12)
    blocks = torch.autograd.functional.hessian(torchs, arrays)
    for row, wanted_row in zip(hessian(ours, (0, 1))(Z, target), blocks):
        for block, wanted in zip(row, wanted_row):
            np.testing.assert_allclose(block, wanted.numpy(), 1e-9, 1e-11)


@pytest.mark.parametrize("fused", [True, False])
def test_the_gradient_is_minus_log_p_also_where_the_target_is_0(fused: bool) -> None:
    z, t = np.array([[3.0, 1.0, -2.0]]), Value(np.array([[1.0, 0.0, 0.0]]))
    cross_entropy(z, t, fused=fused).backward()
    np.testing.assert_allclose(t.grad, -log_softmax(z), 1e-14)


def test_a_class_of_probability_0() -> None:
    z, t = np.array([[0.0, -np.inf]]), Value(np.array([[1.0, 0.0]]))
    loss = cross_entropy(z, t)
    loss.backward()
    assert loss.data == 0.0
    np.testing.assert_array_equal(t.grad, [[0.0, np.inf]])


@pytest.mark.parametrize("fused", [True, False])
def test_entropy_and_divergence(fused: bool) -> None:
    """Of softmax(z): ∂H/∂z = −p (log p + H), and a divergence from itself has gradient 0."""
    p, log_p = softmax(Z), log_softmax(Z)
    h = -np.sum(p * log_p, axis=-1, keepdims=True)

    def entropy(z: Any) -> Any:
        return cross_entropy(z, softmax(z), reduction="sum", fused=fused)

    np.testing.assert_allclose(grad(entropy)(Z), -p * (log_p + h), 1e-12, 1e-13)

    def divergence(z: Any, y: Any) -> Any:
        q = softmax(y)
        return cross_entropy(z, q, fused=fused) - cross_entropy(y, q, fused=fused)

    for g in gradients(divergence, Z, Z):
        np.testing.assert_allclose(g, 0.0, 0, 1e-15)
    np.testing.assert_allclose(gradients(divergence, Z, T)[0], (p - softmax(T)) / 4, 1e-12, 1e-13)


def test_float32_and_other_axes() -> None:
    z, t = Value(Z.T.astype(np.float32)), Value(T.T.astype(np.float32))
    cross_entropy(z, t, axis=0).backward()
    assert z.grad.dtype == t.grad.dtype == np.float32
    np.testing.assert_allclose(t.grad, -log_softmax(Z).T / 4, 1e-5)
    y, x = Value(0.25), Value(1.0)
    binary_cross_entropy(x, y).backward()
    np.testing.assert_allclose([x.grad, y.grad], [1 / (1 + np.exp(-1.0)) - 0.25, -1.0], 1e-14)
    mse(2.0, y).backward()
    np.testing.assert_allclose(y.grad, -1.0 - 2 * 1.75, 1e-14)


@pytest.mark.parametrize("name", some_quick(PAIRS, 3))
def test_programs(name: str, tmp_path: Path) -> None:
    f, _, how = PAIRS[name]
    loss: Loss = lambda z, t: f(z, t, **how)
    made = program(loss, Z, T, wrt=(0, 1))
    [found] = fresh(tmp_path, [made.source], [[Z, T]])
    for result in (made(Z, T), found):
        np.testing.assert_allclose(result[0], loss(Z, T), 1e-12)
        for g, wanted in zip(result[1], gradients(loss, Z, T)):
            np.testing.assert_allclose(g, wanted, 1e-11, 1e-13)


def test_what_a_target_must_be() -> None:
    with pytest.raises(ValueError, match="sum to 2"):
        cross_entropy(Value(Z), Value(2 * T))
    with pytest.raises(ValueError, match=r"got 1.5 at \(\), wanted numbers from 0 to 1"):
        binary_cross_entropy(0.0, Value(1.5))
    with pytest.raises(ValueError, match=r"got shape \(4, 1\)"):
        mse(Z[:, 0], Value(Z[:, :1]))
