"""Losses that are no exercises of ours: what students would answer is named by their own steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import some_quick
from helpers.answers import sig, sm, total

from tinygrad_ce.exercises.framework import Exercise, nonzero, positive, real, signs

Answers = dict[str, Callable[..., Any]]


def focal_loss(z: Any, y: Any) -> Any:
    p = 1 / (1 + np.exp(-y * z))
    return (-((1 - p) ** 2) * np.log(p)).sum()


def focal(change: Callable[..., Any]) -> Any:
    return lambda z, y: change(sig(y * z), y)


def layer_norm(x: Any, y: Any) -> Any:
    m = x.mean(axis=1, keepdims=True)
    c = x - m
    v = (c * c).mean(axis=1, keepdims=True) + 0.1
    h = c / np.sqrt(v)
    return ((h - y) ** 2).sum()


def normed(change: Callable[..., Any]) -> Any:
    """An answer from h, the deviation, what arrives at h, and the mean of a row."""

    def answer(x: Any, y: Any) -> Any:
        c = x - x.mean(axis=1, keepdims=True)
        s = np.sqrt((c * c).mean(axis=1, keepdims=True) + 0.1)
        return change(c / s, s, 2 * (c / s - y), lambda g: g.mean(axis=1, keepdims=True))

    return answer


def attention(Q: Any, K: Any, g: Any) -> Any:
    S = Q @ K.T / np.sqrt(Q.shape[1])
    A = np.exp(S) / np.exp(S).sum(axis=1, keepdims=True)
    return (g * A).sum()


def attended(change: Callable[..., Any]) -> Any:
    """An answer from what arrives at S, made of A and g."""

    def answer(Q: Any, K: Any, g: Any) -> Any:
        root = np.sqrt(Q.shape[1])
        d = change(sm(Q @ K.T / root), g)
        return d @ K / root, d.T @ Q / root

    return answer


def gaussian(m: Any, s: Any, y: Any) -> Any:
    r = y - m
    return (0.5 * r**2 / s**2 + np.log(s)).sum()


def hinge(x: Any, y: Any, w: Any) -> Any:
    m = y * (x @ w)
    return np.maximum(0.0, 1.0 - m).mean()


def on_the_margin(change: Callable[..., Any]) -> Any:
    return lambda x, y, w: change(x, y, (y * (x @ w) < 1.0) * 1.0, len(x))


LOSSES: dict[Callable[..., Any], tuple[dict[str, Any], list[str], Any, Answers]] = {
    focal_loss: (
        {"z": real("N"), "y": signs("N")},
        ["z"],
        focal(lambda p, y: y * (1 - p) ** 2 * (2 * p * np.log(p) - (1 - p))),
        {
            "y left out": focal(lambda p, y: (1 - p) ** 2 * (2 * p * np.log(p) - (1 - p))),
            "stopped at p": focal(lambda p, y: 2 * (1 - p) * np.log(p) - (1 - p) ** 2 / p),
            "1 - p in place of (1 - p) ** 2": focal(
                lambda p, y: y * (1 - p) * p * np.log(p) - y * (1 - p) ** 2
            ),
        },
    ),
    layer_norm: (
        {"x": real("N", "D"), "y": real("N", "D")},
        ["x"],
        normed(lambda h, s, g, mean: (g - mean(g) - h * mean(g * h)) / s),
        {
            "overwritten where paths meet": normed(lambda h, s, g, mean: g / s),
            "no gradient between sqrt(v) and h": normed(lambda h, s, g, mean: (g - mean(g)) / s),
            "no gradient between x and m": normed(lambda h, s, g, mean: (g - h * mean(g * h)) / s),
            "h itself": normed(lambda h, s, g, mean: h),
        },
    ),
    attention: (
        {"Q": real("N", "D"), "K": real("K", "D"), "g": real("N", "K")},
        ["Q", "K"],
        attended(lambda A, g: A * (g - total(g * A))),
        {
            "only the diagonal of the Jacobian of A": attended(lambda A, g: g * A * (1 - A)),
            "no gradient between sum(exp(S)) and A": attended(lambda A, g: g * A),
            "the slope of A left out": attended(lambda A, g: g),
            "sum(…, axis=0) in place of sum(…)": attended(
                lambda A, g: A * (g - (g * A).sum(axis=0))
            ),
        },
    ),
    gaussian: (
        {"m": real("N"), "s": positive("N"), "y": nonzero("N")},
        ["m", "s"],
        lambda m, s, y: ((m - y) / s**2, 1 / s - (y - m) ** 2 / s**3),
        {
            "no gradient between s and log(s)": lambda m, s, y: (
                ((m - y) / s**2, -((y - m) ** 2) / s**3)
            ),
            "sign flipped between s and s ** 2": lambda m, s, y: (
                ((m - y) / s**2, 1 / s + (y - m) ** 2 / s**3)
            ),
            "s in place of s ** 2": lambda m, s, y: ((m - y) / s, 1 / s - (y - m) ** 2 / s**3),
            "log(s) in place of its slope by s": lambda m, s, y: (
                ((m - y) / s**2, np.log(s) - (y - m) ** 2 / s**3)
            ),
        },
    ),
    hinge: (
        {"x": real("N", "D"), "y": signs("N"), "w": real("D")},
        ["w"],
        on_the_margin(lambda x, y, k, n: -x.T @ (k * y) / n),
        {
            "sign flipped": on_the_margin(lambda x, y, k, n: x.T @ (k * y) / n),
            "N times too large": on_the_margin(lambda x, y, k, n: -x.T @ (k * y)),
            "the slope of m by x @ w left out": on_the_margin(lambda x, y, k, n: -x.T @ k / n),
        },
    ),
}


@pytest.mark.parametrize("loss", some_quick(LOSSES, 5), ids=lambda loss: str(loss.__name__))
def test_a_mistake_in_any_loss_is_told_in_its_own_names(loss: Any) -> None:
    inputs, wrt, right, answers = LOSSES[loss]
    exercise = Exercise(loss=loss, inputs=inputs, wrt=wrt)
    assert exercise.check(right).passed, exercise.check(right)
    named = {mistake: exercise.check(answer).mistake for mistake, answer in answers.items()}
    assert named == {mistake: mistake for mistake in answers}


def test_a_right_answer_is_not_refused_where_the_loss_has_a_kink() -> None:
    """At a kink several slopes are right; draws of whole numbers would hit it often."""
    inputs, wrt, right, _answers = LOSSES[hinge]
    exercise = Exercise(loss=hinge, inputs=inputs, wrt=wrt)
    assert all(exercise.check(right, seed=seed).passed for seed in (0, 7, 1000))
