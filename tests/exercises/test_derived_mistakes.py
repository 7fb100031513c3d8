"""Losses that are no exercises of ours: what students would answer is named by their own steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import some_quick
from helpers.answers import sig, sm, total

from tinygrad_ce import primitive
from tinygrad_ce.exercises import load
from tinygrad_ce.exercises.framework import Exercise, bits, nonzero, positive, real, scalar, signs

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


def recurrent(x1: Any, x2: Any, h: Any, W: Any, U: Any) -> Any:
    h1 = np.tanh(x1 @ W + h @ U)
    h2 = np.tanh(x2 @ W + h1 @ U)
    return (h2**2).sum()


def through_time(slope: Callable[[Any, Any], Any], back: Callable[[Any], Any]) -> Any:
    """An answer from the slope of tanh, of a state and what it is of, and what leads back."""

    def answer(x1: Any, x2: Any, h: Any, W: Any, U: Any) -> Any:
        z1 = x1 @ W + h @ U
        h1 = np.tanh(z1)
        z2 = x2 @ W + h1 @ U
        h2 = np.tanh(z2)
        d2 = 2 * h2 * slope(h2, z2)
        d1 = back(d2 @ U.T) * slope(h1, z1)
        return x1.T @ d1 + x2.T @ d2, h.T @ d1 + h1.T @ d2

    return answer


def cosine(u: Any, v: Any) -> Any:
    a, b = np.sqrt((u * u).sum(axis=1)), np.sqrt((v * v).sum(axis=1))
    return (1 - (u * v).sum(axis=1) / (a * b)).sum()


def alike(change: Callable[..., Any]) -> Any:
    """An answer from u, v, their lengths, or those of all rows together, and the cosine."""

    def answer(u: Any, v: Any) -> Any:
        a, b = (np.sqrt(total(x * x)) for x in (u, v))
        c = total(u * v) / (a * b)
        return change(u, v, a, b, c), change(v, u, b, a, c)

    return answer


def of_all(u: Any, v: Any) -> Any:
    a, b = np.sqrt(np.sum(u * u)), np.sqrt(np.sum(v * v))
    c = total(u * v) / (a * b)
    return c * u / a**2 - v / (a * b), c * v / b**2 - u / (a * b)


def swish(x: Any, W: Any, v: Any) -> Any:
    z = x @ W
    h = z / (1 + np.exp(-z))
    return (h @ v).sum()


def swished(slope: Callable[[Any, Any], Any], out: Callable[[Any, Any], Any]) -> Any:
    def answer(x: Any, W: Any, v: Any) -> Any:
        z = x @ W
        s = sig(z)
        return x.T @ (slope(z, s) * v), out(z, s).sum(axis=0)

    return answer


def poisson(x: Any, y: Any, w: Any) -> Any:
    z = x @ w
    return (np.exp(z) - y * z).sum()


def counted(change: Callable[..., Any]) -> Any:
    return lambda x, y, w: x.T @ change(np.exp(x @ w), y)


def divergence(z: Any, s: Any) -> Any:
    p, q = sm_of(z), sm_of(s)
    return (p * (np.log(p) - np.log(q))).sum()


def sm_of(z: Any) -> Any:
    return np.exp(z) / np.exp(z).sum(axis=-1, keepdims=True)


def pooled(q: Any, k: Any, v: Any) -> Any:
    return sm_of(k @ q / np.sqrt(len(q))) @ v


def log_cosh(x: Any, y: Any, w: Any) -> Any:
    u = x @ w - y
    return np.log(np.cosh(u)).sum()


def residual(slope: Callable[[Any], Any]) -> Any:
    return lambda x, y, w: x.T @ slope(x @ w - y)


def boosted(x: Any) -> Any:
    return np.exp(-3 * x).sum()


def weighted(z: Any, y: Any, c: Any) -> Any:
    return (c * y * np.log(1 + np.exp(-z)) + (1 - y) * np.log(1 + np.exp(z))).sum()


def of_both(change: Callable[..., Any]) -> Any:
    """An answer from the slopes of the two terms, without c, and c."""
    return lambda z, y, c: change(y * (sig(z) - 1), (1 - y) * sig(z), c)


def encoded(m: Any, s: Any) -> Any:
    return (m**2 + np.exp(s) - s).sum() / 2


def gated(h: Any, z: Any, y: Any) -> Any:
    s = 1 / (1 + np.exp(-z))
    return ((h * s - y) ** 2).sum() / 2


def wave(a: Any, b: Any, x: Any) -> Any:
    return (a * np.sin(b * x)).sum()


def margins(z: Any, y: Any) -> Any:
    return (np.maximum(1 - y * z, 0) ** 2).sum()


def diverged(change: Callable[..., Any]) -> Any:
    return lambda z, s: (change(sm(z), np.log(sm(z)) - np.log(sm(s))), sm(s) - sm(z))


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
            "no gradient between x and m, each time": normed(lambda h, s, g, mean: g / s),
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
    pooled: (
        {"q": real("D"), "k": real("N", "D"), "v": real("N")},
        ["v"],
        lambda q, k, v: sm_of(k @ q / np.sqrt(len(q))),
        {
            "sqrt(D) once too often below": lambda q, k, v: (
                sm_of(k @ q / np.sqrt(len(q))) / np.sqrt(len(q))
            ),
            "k @ q in place of z": lambda q, k, v: sm_of(k @ q),
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
            "1 left out": lambda x, y, w: -x.T @ (y * (y * (x @ w) < 0)) / len(x),
        },
    ),
    recurrent: (
        {n: real("N", "D") for n in ("x1", "x2", "h")} | {n: real("D", "D") for n in ("W", "U")},
        ["W", "U"],
        through_time(lambda h, z: 1 - h**2, lambda d: d),
        {
            "the slope of h2 by x2 @ W + h1 @ U left out, each time": through_time(
                lambda h, z: 1.0, lambda d: d
            ),
            "the slope of h2 by x2 @ W + h1 @ U taken at h2, each time": through_time(
                lambda h, z: 1 - np.tanh(h) ** 2, lambda d: d
            ),
            "no gradient between h1 and h1 @ U": through_time(lambda h, z: 1 - h**2, np.zeros_like),
        },
    ),
    cosine: (
        {"u": nonzero("N", "D"), "v": nonzero("N", "D")},
        ["u", "v"],
        alike(lambda u, v, a, b, c: c * u / a**2 - v / (a * b)),
        {
            "sum(u * v) / (a * b) once too often in the slope of sum(u * v) / (a * b) by a * "
            "b": alike(lambda u, v, a, b, c: c * c * u / a**2 - v / (a * b)),
            "sum(u * v) / (a * b) left out": alike(lambda u, v, a, b, c: u / a**2 - v / (a * b)),
            "sum(u * u) of all in place of sum(u * u), each time": of_all,
        },
    ),
    swish: (
        {"x": real("N", "D"), "W": real("D", "K"), "v": real("K")},
        ["W", "v"],
        swished(lambda z, s: s + z * s * (1 - s), lambda z, s: z * s),
        {
            "the slope of h by z left out": swished(
                lambda z, s: np.ones(z.shape), lambda z, s: z * s
            ),
            "z in place of h": swished(lambda z, s: s + z * s * (1 - s), lambda z, s: z),
        },
    ),
    poisson: (
        {"x": real("N", "D"), "y": positive("N"), "w": real("D")},
        ["w"],
        counted(lambda e, y: e - y),
        {
            "exp(z) once too often in what arrives at z": counted(lambda e, y: (e - y) * e),
            "sigmoid(z) in place of exp(z)": counted(lambda e, y: e / (1 + e) - y),
            "mean(…) * sum(… - …) in place of … @ (… - …)": lambda x, y, w: (
                x.mean(axis=0) * (np.exp(x @ w) - y).sum()
            ),
        },
    ),
    log_cosh: (
        {"x": real("N", "D"), "y": real("N"), "w": real("D")},
        ["w"],
        residual(np.tanh),
        {
            "u in place of the slope of log(cosh(u)) by u": residual(lambda u: u),
            "sign(u) in place of the slope of log(cosh(u)) by u": residual(np.sign),
            "1 - tanh(u) ** 2 in place of the slope of log(cosh(u)) by u": residual(
                lambda u: 1 - np.tanh(u) ** 2
            ),
        },
    ),
    boosted: (
        {"x": real("N")},
        ["x"],
        lambda x: -3 * np.exp(-3 * x),
        {
            "(-3 * x) * exp((-3 * x) - 1) in place of the slope of exp(-3 * x) by x": lambda x: (
                -3 * x * np.exp(-3 * x - 1)
            ),
        },
    ),
    weighted: (
        {"z": real("N"), "y": bits("N"), "c": scalar(2, 3, 5)},
        ["z"],
        of_both(lambda one, other, c: c * one + other),
        {
            "c once too often in what arrives at (1 - y) * log(1 + exp(z))": of_both(
                lambda one, other, c: c * one + c * other
            ),
            "c on (1 - y) * log(1 + exp(z)) in place of c * y * log(1 + exp(-z))": of_both(
                lambda one, other, c: one + c * other
            ),
            "derived by sigmoid(z), not by z": lambda z, y, c: -c * y / sig(z) + (1 - y) / sig(-z),
        },
    ),
    encoded: (
        {"m": real("N"), "s": real("N")},
        ["m", "s"],
        lambda m, s: (m, (np.exp(s) - 1) / 2),
        {"derived by exp(s), not by s": lambda m, s: (m, (1 - np.exp(-s)) / 2)},
    ),
    gated: (
        {"h": real("N"), "z": real("N"), "y": real("N")},
        ["h", "z"],
        lambda h, z, y: (((h * sig(z) - y) * sig(z), (h * sig(z) - y) * h * sig(z) * sig(-z))),
        {
            "z * (1 - z) in place of the slope of s by z": lambda h, z, y: (
                ((h * sig(z) - y) * sig(z), (h * sig(z) - y) * h * z * (1 - z))
            ),
        },
    ),
    wave: (
        {"a": scalar(2, 3, 0.5), "b": scalar(2, 0.5, 3), "x": real("N")},
        ["a", "b"],
        lambda a, b, x: (np.sin(b * x).sum(), (a * x * np.cos(b * x)).sum()),
        {
            "b in place of the slope of b * x by b": lambda a, b, x: (
                (np.sin(b * x).sum(), (a * b * np.cos(b * x)).sum())
            ),
        },
    ),
    margins: (
        {"z": real("N"), "y": signs("N")},
        ["z"],
        lambda z, y: -2 * y * np.maximum(1 - y * z, 0),
        {
            "1 left out": lambda z, y: -2 * y * np.maximum(-y * z, 0),
            "y taken as 0 or 1": lambda z, y: -(y + 1) * np.maximum(1 - (y + 1) / 2 * z, 0),
        },
    ),
    divergence: (
        {"z": real("N", "K"), "s": real("N", "K")},
        ["z", "s"],
        diverged(lambda p, r: p * (r - total(p * r))),
        {
            "only the diagonal of the Jacobian of p": diverged(lambda p, r: (1 + r) * p * (1 - p)),
            "the slope of p left out": diverged(lambda p, r: 1 + r),
        },
    ),
}


@pytest.mark.parametrize("loss", some_quick(LOSSES, 18), ids=lambda loss: str(loss.__name__))
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


def test_what_is_usually_wrong_of_an_operation_of_ones_own_is_named() -> None:
    softsign = primitive(
        lambda g, out, x: g / (1.0 + abs(x)) ** 2,
        instead=[("{x} / (1 + {x} ** 2)", lambda x: x / (1.0 + x * x))],
        slips=[("1 / (1 + abs({x}))", lambda x: 1.0 / (1.0 + abs(x)))],
    )(lambda x: x / (1.0 + abs(x)))

    def loss(x: Any) -> Any:
        s = softsign(x)
        return (s * s).sum()

    def answer(s: Any, slope: Any) -> Any:
        return 2 * s * slope

    exercise = Exercise(loss=loss, inputs={"x": nonzero("N")}, wrt=["x"])
    signed = lambda x: x / (1 + abs(x))
    assert exercise.check(lambda x: answer(signed(x), 1 / (1 + abs(x)) ** 2)).passed
    slip = exercise.check(lambda x: answer(signed(x), 1 / (1 + abs(x))))
    assert slip.mistake == "1 / (1 + abs(x)) in place of the slope of s by x"
    square = lambda x: x / (1 + x * x)
    other = exercise.check(lambda x: answer(square(x), (1 - x * x) / (1 + x * x) ** 2))
    assert other.mistake == "x / (1 + x ** 2) in place of s"


def test_results_are_called_swapped_only_if_all_of_them_are() -> None:
    """Here one is minus the other, and the second is right."""
    inputs, wrt, _right, _answers = LOSSES[divergence]
    exercise = Exercise(loss=divergence, inputs=inputs, wrt=wrt)
    mistake = str(exercise.check(lambda z, s: (sm(z) - sm(s), sm(s) - sm(z))).mistake)
    assert mistake.startswith("sign flipped, and ")
    assert "swapped" not in mistake


def test_a_mistake_that_is_plain_has_no_far_fetched_twin() -> None:
    """As many times too large is a number that is missing below."""
    feedback = load("quotient_rule").check(lambda x: (x**2 - 1) / (1 + x**2) ** 2)
    assert feedback.mistake == "sign flipped"
    assert "missing in the slope" not in feedback.message


def test_a_sum_does_not_stand_in_place_of_its_slope() -> None:
    """The slope of a sum is 1, which nobody forgets; that of a maximum is."""
    inputs = {"q": positive("N"), "y": bits("N"), "m": scalar(1.0, 2.0, 3.0)}
    loss = lambda q, y, m: np.mean(y * q + (1 - y) * np.maximum(m - q, 0.0))
    pairs = Exercise(loss=loss, inputs=inputs, wrt=["q"])
    wrong = lambda q, y, m: (y - (1 - y) * np.maximum(m - q, 0)) / len(q)
    named = "(1 - y) * maximum(m - q, 0) in place of its slope by maximum(m - q, 0)"
    assert pairs.check(wrong).mistake == named
