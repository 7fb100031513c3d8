"""Answers to the exercises, and what they are made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygrad_ce.exercises import load, names


def and_seeds(*more: int) -> Any:
    """The draws that everybody has; others are drawn in the slow tests."""
    both = [
        pytest.param((0,), id="first"),
        pytest.param(more, marks=pytest.mark.slow, id="more"),
    ]
    return pytest.mark.parametrize("seeds", both)


def answer_of(name: str) -> Any:
    """What the solution shows: held against PyTorch in test_exercise_answers.py."""
    ex = load(name)
    space: dict[str, Any] = {"np": np}
    exec(ex.source, space)
    return space[ex.function]


def total(x: Any) -> Any:
    return x.sum(axis=-1, keepdims=True)


def sm(z: Any) -> Any:
    e = np.exp(z - z.max(axis=-1, keepdims=True))  # test_exercise_scores.py has what overflows
    return e / total(e)


def sig(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def soft(t: Any, e: float) -> Any:
    return (1 - e) * t + e / t.shape[1]


# Those that ask for a derivative; the others, for parts of an engine.
GRADIENTS = [name for name in names() if not load(name).asks]


def torch_losses(torch: Any) -> dict[str, Any]:
    """Every loss once more, in PyTorch's own words."""
    f = torch.nn.functional

    def hard(z: Any, t: Any, **options: Any) -> Any:
        return f.cross_entropy(z, t.argmax(-1), **options)

    return {
        "log_derivative": lambda x: torch.log(x).sum(),
        "quotient_rule": lambda x: (x / (1 + x**2)).sum(),
        "engine_division": lambda g, x, y: torch.dot(g, torch.div(x, y)),
        "sigmoid": lambda z: torch.sigmoid(z).sum(),
        "two_paths": lambda x: (x**2 * torch.exp(2 * x)).sum(),
        "softmax_jacobian": lambda z: torch.softmax(z, -1),
        "softmax_cross_entropy": lambda z, t: hard(z, t, reduction="sum"),
        "soft_labels": lambda z, t, e: hard(z, t, label_smoothing=float(e)),
        "softmax_regression": lambda x, W, b, t: hard(f.linear(x, W.T, b), t),
        "l2_penalty": lambda x, y, w, b, a: (
            f.binary_cross_entropy_with_logits(x @ w + b, y) + a / 2 * w.norm() ** 2
        ),
        "l1_penalty": lambda x, y, w, b, a: f.mse_loss(x @ w + b, y) + a * w.norm(1),
        "logistic_loss": lambda z, y: f.soft_margin_loss(z, y),
        "logsumexp": lambda z: torch.logsumexp(z, 1).sum(),
        "temperature": lambda z, t, T: hard(z / T, t, reduction="sum"),
        "hessian_of_cross_entropy": lambda z, t: hard(z, t),
        "softmax_vjp": lambda z, g: (g * torch.softmax(z, 1)).sum(),
        "fused_vjp": lambda z, t, g: (g * hard(z, t, reduction="none")).sum(),
    }
