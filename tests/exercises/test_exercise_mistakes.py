"""Known wrong derivations, written down as a learner would, each known by its name.

The exercises compute them by the engine: from the graph of the loss, a wrong loss, or the right
answer. Here they are plain NumPy. `test_exercise_answers.py` has right and random wrong answers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import some_quick
from helpers.answers import GRADIENTS, and_seeds, answer_of, sig, sm, soft, total

from tinygrad_ce.exercises import load, names


def regression(change: Callable[..., Any]) -> Any:
    """An answer to softmax_regression from x, p − t, t and N."""
    return lambda x, W, b, t: change(x, sm(x @ W + b) - t, t, len(x))


def predicted(p: Callable[..., Any]) -> Any:
    """One with something else in place of the softmax."""

    def answer(x: Any, W: Any, b: Any, t: Any) -> Any:
        d = (p(x @ W + b) - t) / len(x)
        return x.T @ d, d.sum(axis=0)

    return answer


def l2(change: Callable[..., Any]) -> Any:
    """One to l2_penalty: from the data's part of dw and db, and w, b, a and N."""

    def answer(x: Any, y: Any, w: Any, b: Any, a: Any) -> Any:
        d = (sig(x @ w + b) - y) / len(x)
        return change(x.T @ d, d.sum(), w, b, a, len(x))

    return answer


def l1(change: Callable[..., Any]) -> Any:
    """The same for l1_penalty."""

    def answer(x: Any, y: Any, w: Any, b: Any, a: Any) -> Any:
        d = 2 * (x @ w + b - y) / len(x)
        return change(x.T @ d, d.sum(), w, b, a, len(x))

    return answer


def tempered(change: Callable[..., Any]) -> Any:
    """One to temperature: from z, p − t, t and T."""
    return lambda z, t, T: change(z, sm(z / T) - t, t, T)


def hessian(change: Callable[..., Any]) -> Any:
    """One to hessian_of_cross_entropy, or without t to softmax_jacobian: from p and t."""
    return lambda z, t=0.0: change(sm(z), t)


def diag(p: Any) -> Any:
    return np.diag(p)


LOSS = "sum(t * log(softmax(z)))"  # of a row
DERIVED: dict[str, dict[str, Any]] = {
    "log_derivative": {
        "sign flipped": lambda x: -1 / x,
        "log10(x) in place of log(x)": lambda x: 1 / (x * np.log(10)),
        "log(x) in place of its slope by x": np.log,
        "squared": lambda x: 1 / x**2,
        "differentiated twice": lambda x: -1 / x**2,
        "x * log(x) - x in place of the slope of log(x) by x": lambda x: x * np.log(x) - x,
    },
    "quotient_rule": {
        "sign flipped": lambda x: (x**2 - 1) / (1 + x**2) ** 2,
        "sign flipped between 1 + x * x and x / (1 + x * x)": lambda x: (
            (1 + 3 * x**2) / (1 + x**2) ** 2
        ),
        "the denominator of x / (1 + x * x) not squared": lambda x: (1 - x**2) / (1 + x**2),
        "no gradient between 1 + x * x and x / (1 + x * x)": lambda x: 1 / (1 + x**2),
        "no gradient between x and x / (1 + x * x)": lambda x: -2 * x**2 / (1 + x**2) ** 2,
        "derivatives divided": lambda x: 1 / (2 * x),
        "1 differentiated as well": lambda x: (1 + x**2 - x * (1 + 2 * x)) / (1 + x**2) ** 2,
        "… ** …, of each part of the sum alone": lambda x: (1 - x**2) / (1 + x**4),
        "the slope of x * x by x left out": lambda x: (1 + x**2 - x) / (1 + x**2) ** 2,
    },
    "sigmoid": {
        "sign flipped": lambda z: -sig(z) * (1 - sig(z)),
        "sigmoid(z) itself": sig,
        "the slope of exp(-z) by -z left out": lambda z: sig(z) ** 2,
        "stopped at exp(-z)": lambda z: -(sig(z) ** 2),
        "1 - sigmoid(z) ** 2 in place of the slope of sigmoid(z)": lambda z: 1 - sig(z) ** 2,
        "the sigmoid taken twice": lambda z: sig(sig(z)) * (1 - sig(sig(z))),
        "the denominator of sigmoid(z) not squared": lambda z: 1 - sig(z),
    },
    "two_paths": {
        "no gradient between x and 2 * x": lambda x: 2 * x * np.exp(2 * x),
        "no gradient between x and x ** 2": lambda x: x**2 * 2 * np.exp(2 * x),
        "derivatives multiplied": lambda x: 2 * x * 2 * np.exp(2 * x),
        "the slopes of x ** 2 * exp(2 * x) exchanged": lambda x: 2 * x**3 + 2 * np.exp(4 * x),
        "a factor 2 missing between x and 2 * x": lambda x: (2 * x + x**2) * np.exp(2 * x),
        "sign flipped between x and 2 * x": lambda x: (2 * x - 2 * x**2) * np.exp(2 * x),
    },
    "softmax_jacobian": {
        "sign flipped": hessian(lambda p, t: np.outer(p, p) - diag(p)),
        "only the diagonal": hessian(lambda p, t: diag(p * (1 - p))),
        "a vector where a matrix is wanted": hessian(lambda p, t: p * (1 - p)),
        "sign of the entries off the diagonal": hessian(
            lambda p, t: np.outer(p, p) + diag(p - 2 * p**2)
        ),
        "… * … left out": hessian(lambda p, t: diag(p)),
        "diag(…) + (… * …) in place of diag(…) - … * …": hessian(
            lambda p, t: diag(p) + np.outer(p, p)
        ),
        "diag(…) left out": hessian(lambda p, t: -np.outer(p, p)),
        "…[:, None] in place of diag(…)": hessian(lambda p, t: p[:, None] * (1 - p)),
        "reshape(…) * … off the diagonal in place of reshape(…) * …": hessian(
            lambda p, t: diag(p) - np.outer(p, p) * (1 - np.eye(len(p)))
        ),
        "reshape(…) @ … in place of reshape(…) * …": hessian(lambda p, t: diag(p) - p @ p),
        "diag(1) in place of diag(…)": hessian(lambda p, t: np.eye(len(p)) - np.outer(p, p)),
    },
    "softmax_cross_entropy": {
        "sign flipped": lambda z, t: t - sm(z),
        "summed over the batch": lambda z, t: (sm(z) - t).sum(axis=0),
        "t left out": lambda z, t: sm(z),
        "1 - softmax(z) in place of softmax(z)": lambda z, t: (
            sm(z) * (t / (1 - sm(z)) - total(t * sm(z) / (1 - sm(z))))
        ),
        "the slope of log(softmax(z)) by softmax(z) left out": lambda z, t: (
            -sm(z) * (t - total(t * sm(z)))
        ),
        "the loss itself": lambda z, t: -np.sum(t * np.log(sm(z))),
        "one softmax over all rows": lambda z, t: np.exp(z) / np.exp(z).sum() - t,
        "the sigmoid in place of the softmax": lambda z, t: sig(z) - t,
        "scores in place of probabilities": lambda z, t: z - t,
        "exp not divided by its sum": lambda z, t: np.exp(z) - t,
        "still a logarithm": lambda z, t: z - np.log(total(np.exp(z))) - t,
        "K times too small": lambda z, t: (sm(z) - t) / z.shape[1],
        "softmax over the wrong axis": lambda z, t: (
            np.exp(z) / np.exp(z).sum(axis=0) * t.sum(axis=0) - t
        ),
        "only the diagonal of the Jacobian of softmax(z)": lambda z, t: (
            -t / sm(z) * sm(z) * (1 - sm(z))
        ),
        "the slope of softmax(z) left out": lambda z, t: -t / sm(z),
        "the slope of softmax(z) by its own z, alone": lambda z, t: sm(z) * (1 - sm(z)),
        "N times too small": lambda z, t: (sm(z) - t) / len(z),
        "the slope of the softmax in it once more": lambda z, t: (sm(z) - t) * sm(z) * (1 - sm(z)),
    },
    "soft_labels": {
        "sign flipped": lambda z, t, e: (soft(t, e) - sm(z)) / len(z),
        "N times too large": lambda z, t, e: sm(z) - soft(t, e),
        "N times too small": lambda z, t, e: (sm(z) - soft(t, e)) / len(z) ** 2,
        "e forgotten": lambda z, t, e: (sm(z) - t) / len(z),
        "N in place of K": lambda z, t, e: (sm(z) - (1 - e) * t - e / len(z)) / len(z),
        "e in place of e / K": lambda z, t, e: (sm(z) - (1 - e) * t - e) / len(z),
        "t in place of (1 - e) * t": lambda z, t, e: (sm(z) - t - e / t.shape[1]) / len(z),
    },
    "softmax_regression": {
        "sign flipped": regression(lambda x, d, t, n: (-x.T @ d / n, -d.sum(axis=0) / n)),
        "N times too large": regression(lambda x, d, t, n: (x.T @ d, d.sum(axis=0))),
        "N times too small": regression(lambda x, d, t, n: (x.T @ d / n / n, d.mean(axis=0) / n)),
        "transposed": regression(lambda x, d, t, n: (d.T @ x / n, d.mean(axis=0))),
        "x.T left out": regression(lambda x, d, t, n: (np.ones(x.shape).T @ d / n, d.mean(axis=0))),
        "t left out": regression(lambda x, d, t, n: (x.T @ (d + t) / n, (d + t).mean(axis=0))),
        "sum left out": regression(lambda x, d, t, n: (x.T @ d / n, d / n)),
        "sum(… / …, axis=1) in place of sum(… / …)": regression(
            lambda x, d, t, n: (x.T @ d / n, d.sum(axis=1) / n)
        ),
        "the results swapped": regression(lambda x, d, t, n: (d.mean(axis=0), x.T @ d / n)),
        "divided by K in place of N": regression(
            lambda x, d, t, n: (x.T @ d / t.shape[1], d.sum(axis=0) / t.shape[1])
        ),
        "b forgotten": lambda x, W, b, t: (
            x.T @ (sm(x @ W) - t) / len(x),
            (sm(x @ W) - t).mean(axis=0),
        ),
        "softmax over the wrong axis": predicted(lambda z: np.exp(z) / np.exp(z).sum(axis=0)),
        "one softmax over all rows": predicted(lambda z: np.exp(z) / np.exp(z).sum()),
        "the sigmoid in place of the softmax": predicted(sig),
        "scores in place of probabilities": predicted(lambda z: z),
        "exp not divided by its sum": predicted(np.exp),
        "still a logarithm": predicted(lambda z: z - np.log(total(np.exp(z)))),
        "K times too small": regression(
            lambda x, d, t, n: (x.T @ d / d.size, d.sum(axis=0) / d.size)
        ),
    },
    "l2_penalty": {
        "N times too small between mean(… - …) and L": l2(
            lambda dw, db, w, b, a, n: (dw / n + a * w, db / n)
        ),
        "sign flipped": l2(lambda dw, db, w, b, a, n: (-dw - a * w, -db)),
        "N times too large between mean(… - …) and L": l2(
            lambda dw, db, w, b, a, n: (n * dw + a * w, n * db)
        ),
        "a forgotten": l2(lambda dw, db, w, b, a, n: (dw, db)),
        "a factor 2 too many between w and w ** 2": l2(
            lambda dw, db, w, b, a, n: (dw + 2 * a * w, db)
        ),
        "sign flipped between w and w ** 2": l2(lambda dw, db, w, b, a, n: (dw - a * w, db)),
        "N times too small between w and w ** 2": l2(
            lambda dw, db, w, b, a, n: (dw + a * w / n, db)
        ),
        "b in a / 2 * sum(w ** 2) as well": l2(lambda dw, db, w, b, a, n: (dw + a * w, db + a * b)),
        "2 * abs(w) in place of w ** 2": l2(lambda dw, db, w, b, a, n: (dw + a * np.sign(w), db)),
    },
    "l1_penalty": {
        "N times too large between mean((x @ w + b - y) ** 2) and L": l1(
            lambda dw, db, w, b, a, n: (n * dw + a * np.sign(w), n * db)
        ),
        "N times too small between mean((x @ w + b - y) ** 2) and L": l1(
            lambda dw, db, w, b, a, n: (dw / n + a * np.sign(w), db / n)
        ),
        "a factor 2 missing between mean((x @ w + b - y) ** 2) and L": l1(
            lambda dw, db, w, b, a, n: (dw / 2 + a * np.sign(w), db / 2)
        ),
        "sign flipped between mean((x @ w + b - y) ** 2) and L": l1(
            lambda dw, db, w, b, a, n: (-dw + a * np.sign(w), -db)
        ),
        "a forgotten": l1(lambda dw, db, w, b, a, n: (dw, db)),
        "sign flipped between w and abs(w)": l1(
            lambda dw, db, w, b, a, n: (dw - a * np.sign(w), db)
        ),
        "w ** 2 / 2 in place of abs(w)": l1(lambda dw, db, w, b, a, n: (dw + a * w, db)),
        "the slope of abs(w) by w left out": l1(lambda dw, db, w, b, a, n: (dw + a, db)),
        "N times too small between w and abs(w)": l1(
            lambda dw, db, w, b, a, n: (dw + a * np.sign(w) / n, db)
        ),
        "b in a * sum(abs(w)) as well": l1(
            lambda dw, db, w, b, a, n: (dw + a * np.sign(w), db + a * np.sign(b))
        ),
        "abs(w) in place of its slope by w": l1(
            lambda dw, db, w, b, a, n: (dw + a * np.abs(w), db)
        ),
    },
    "logistic_loss": {
        "sign flipped": lambda z, y: y * sig(-y * z) / len(z),
        "N times too large": lambda z, y: -y * sig(-y * z),
        "N times too small": lambda z, y: -y * sig(-y * z) / len(z) ** 2,
        "the slope of y * z by z left out": lambda z, y: -sig(-y * z) / len(z),
        "the slope of exp(-(y * z)) by -(y * z) left out": lambda z, y: -y * sig(y * z) / len(z),
        "y * z in place of -(y * z)": lambda z, y: y * sig(y * z) / len(z),
        "the slope of log(1 + exp(-(y * z))) by 1 + exp(-(y * z)) left out": lambda z, y: (
            -y * np.exp(-y * z) / len(z)
        ),
        "stopped at exp(-(y * z))": lambda z, y: 1 / (1 + np.exp(-y * z)) / len(z),
    },
    "logsumexp": {
        "summed over the batch": lambda z: sm(z).sum(axis=0),
        "no gradient between max(z) and logsumexp(z)": lambda z: sm(z) - (z == z.max(1)[:, None]),
        "no gradient between max(z)[...] and z - max(z)[...]": lambda z: (
            sm(z) + (z == z.max(1)[:, None])
        ),
        "no gradient between log(sum(…)) and logsumexp(z)": lambda z: (
            z == z.max(1)[:, None]
        ).astype(float),
        "not divided by the sum": lambda z: np.exp(z - z.max(axis=1, keepdims=True)),
        "still a logarithm": lambda z: z - np.log(total(np.exp(z))),
        "the maximum subtracted above, not below": lambda z: (
            np.exp(z - z.max(axis=1)[:, None]) / total(np.exp(z))
        ),
        "one softmax over all rows": lambda z: np.exp(z) / np.exp(z).sum(),
        "differentiated twice": lambda z: sm(z) * (1 - sm(z)),
    },
    "temperature": {
        "T left out": tempered(lambda z, d, t, T: (d, -(d * z).sum() / T**2)),
        "no gradient": tempered(lambda z, d, t, T: (d / T, 0)),
        "T left out #2": tempered(lambda z, d, t, T: (d / T, -(d * z).sum() / T)),
        "sign flipped": tempered(lambda z, d, t, T: (d / T, (d * z).sum() / T**2)),
        "slopes taken at z": lambda z, t, T: (
            (sm(z) - t) / T,
            -((sm(z) - t) * z).sum() / T**2,
        ),
        "z * T in place of z / T": lambda z, t, T: (
            (sm(z * T) - t) * T,
            ((sm(z * T) - t) * z).sum(),
        ),
        "sum(… * …, axis=1) in place of sum(… * …)": tempered(
            lambda z, d, t, T: (d / T, -(d * z).sum(axis=1) / T**2)
        ),
    },
    "hessian_of_cross_entropy": {
        "sign flipped": hessian(lambda p, t: np.outer(p, p) - diag(p)),
        "only the diagonal": hessian(lambda p, t: diag(p * (1 - p))),
        "… * … left out": hessian(lambda p, t: diag(p)),
        "diag(…) + (… * …) in place of diag(…) - … * …": hessian(
            lambda p, t: diag(p) + np.outer(p, p)
        ),
        "the gradient's outer product": hessian(lambda p, t: np.outer(p - t, p - t)),
        "the gradient itself": hessian(lambda p, t: p - t),
        "t differentiated as well": hessian(lambda p, t: diag(p - t) - np.outer(p, p)),
    },
    "softmax_vjp": {
        "sign flipped": lambda z, g: sm(z) * (total(g * sm(z)) - g),
        "no gradient between sum(exp(z)) and softmax(z)": lambda z, g: sm(z) * g,
        "only the diagonal of the Jacobian of softmax(z)": lambda z, g: g * (sm(z) - sm(z) ** 2),
        "mean(g) in place of sum(…)": lambda z, g: sm(z) * (g - g.mean(axis=1)[:, None]),
        "g in place of g * softmax(z)": lambda z, g: sm(z) * (g - g.sum(axis=1)[:, None]),
        "sum(…) of all in place of sum(…)": lambda z, g: sm(z) * (g - np.sum(sm(z) * g)),
        "no gradient": lambda z, g: sm(z) * (1 - total(sm(z))),
        "softmax(z) left out": lambda z, g: g - total(g * sm(z)),
    },
    "engine_division": {
        "sign flipped": lambda g, x, y: (-g / y, g * x / y**2),
        "the denominator of x / y not squared": lambda g, x, y: (g / y, -g * x / y),
        "g forgotten": lambda g, x, y: (g / y, -x / y**2),
        "x and y exchanged": lambda g, x, y: (g / x, -g * y / x**2),
        "x * y in place of x / y": lambda g, x, y: (g * y, g * x),
        "the results swapped": lambda g, x, y: (-g * x / y**2, g / y),
        "g forgotten #2": lambda g, x, y: (1 / y, -x / y**2),
    },
    "fused_vjp": {
        "sign flipped": lambda z, t, g: g[:, None] * (t - sm(z)),
        "g forgotten": lambda z, t, g: sm(z) - t,
        "sum(g) in place of g": lambda z, t, g: np.sum(g) * (sm(z) - t),
        "mean(g) in place of g": lambda z, t, g: np.mean(g) * (sm(z) - t),
        "… on one part only of a sum": lambda z, t, g: g[:, None] * sm(z) - t,
        "t left out": lambda z, t, g: g[:, None] * sm(z),
        "N times too small": lambda z, t, g: g[:, None] * (sm(z) - t) / len(g),
        f"the slope of g * {LOSS} by {LOSS} taken twice": lambda z, t, g: (
            g[:, None] ** 2 * (sm(z) - t)
        ),
    },
}
# The Hessian is the softmax's Jacobian.
DERIVED["hessian_of_cross_entropy"] |= DERIVED["softmax_jacobian"]
CASES = [(name, mistake) for name, derived in DERIVED.items() for mistake in derived]


def test_mistakes_are_derived_not_listed() -> None:
    assert not any(load(name).mistakes for name in GRADIENTS)
    assert len(CASES) >= 130
    assert len({plain(mistake) for _, mistake in CASES}) >= 75


def plain(mistake: str) -> str:
    """What is said; two answers may have one name."""
    return mistake.partition(" #")[0]


@and_seeds(31415)
@pytest.mark.parametrize(("name", "mistake"), some_quick(CASES, 12))
def test_a_mistake_is_known_by_its_name(name: str, mistake: str, seeds: Any) -> None:
    for seed in seeds:
        feedback = load(name).check(DERIVED[name][mistake], seed=seed)
        assert feedback.mistake == plain(mistake), feedback
        assert not feedback.passed
        assert 0 <= feedback.score < 1
        assert feedback.look
        assert plain(mistake) in feedback.message


USUAL: dict[str, Callable[[Any, int], Any]] = {
    "no gradient": lambda part, n: 0 * part,
    "sign flipped": lambda part, n: -part,
    "a factor 2 too many": lambda part, n: 2 * part,
    "a factor 2 missing": lambda part, n: part / 2,
    "transposed": lambda part, n: np.transpose(part),
    "N times too large": lambda part, n: part * n,
    "N times too small": lambda part, n: part / n,
    "summed over the batch": lambda part, n: sum(part),
}


@pytest.mark.slow
@pytest.mark.parametrize("mistake", USUAL)
def test_a_usual_mistake_is_known_in_every_exercise(mistake: str) -> None:
    named = []
    for name in GRADIENTS:
        right, change = answer_of(name), USUAL[mistake]

        def wrong(*args: Any, right: Any = right, change: Any = change) -> Any:
            found, n = right(*args), len(args[0])
            if isinstance(found, tuple):
                return tuple(np.asarray(change(part, n)) for part in found)
            return np.asarray(change(found, n))

        feedback = load(name).check(wrong, seed=60)
        named += [name] * (feedback.mistake == mistake)  # a vector transposed is right
    assert len(named) >= 5


@pytest.mark.slow
@pytest.mark.parametrize(("name", "mistake"), CASES[::4])
def test_a_mistake_made_in_float32_is_known(name: str, mistake: str) -> None:
    def single(*args: Any) -> Any:
        found = DERIVED[name][mistake](*args)
        if isinstance(found, tuple):
            return tuple(np.float32(part) for part in found)
        return np.asarray(found, np.float32)

    assert load(name).check(single).mistake == plain(mistake)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in names() if len(load(name).wrt) > 1])
def test_a_mistake_in_one_part_of_the_answer_is_known(name: str) -> None:
    """Each array of a wrong answer, beside the right others, has a known pattern or none."""
    ex = load(name)
    right = answer_of(name)
    for mistake, wrong in [*DERIVED[name].items()][::2]:
        for i in range(len(ex.wrt)):

            def mixed(*args: Any, i: int = i, wrong: Any = wrong) -> Any:
                parts = [*right(*args)]
                parts[i] = wrong(*args)[i]
                return tuple(parts)

            found = ex.check(mixed)
            # Two mistakes may look the same in one array: the first of them is named.
            assert found.passed or found.mistake, (mistake, found)


def test_the_part_that_is_wrong_may_be_either() -> None:
    ex, good = load("softmax_regression"), answer_of("softmax_regression")
    for change, mistake in (
        (USUAL["sign flipped"], "sign flipped"),
        (USUAL["N times too large"], "N times too large"),
    ):
        for i in (0, 1):

            def mixed(*args: Any, i: int = i, change: Any = change) -> Any:
                found = good(*args)
                wrong = change(found[i], len(args[0]))
                return (wrong, found[1]) if i == 0 else (found[0], wrong)

            assert str(ex.check(mixed).mistake).startswith(mistake)


def test_a_mistake_has_to_fit_on_every_draw() -> None:
    """A 1/N does not show in a batch of one; nor is a mistake named that is made there only."""
    ex = load("softmax_regression")
    right, twice = answer_of(ex.name), DERIVED[ex.name]["N times too small"]
    small = ex.check(lambda x, *rest: (twice if len(x) < 3 else right)(x, *rest))
    assert not small.passed
    assert small.mistake is None
    only_single = ex.check(lambda x, *rest: (twice if len(x) == 1 else right)(x, *rest))
    assert only_single.passed


TWO = {
    ("softmax_cross_entropy", "sign flipped", "N times too small"): lambda z, t: (
        (t - sm(z)) / len(z)
    ),
    ("softmax_cross_entropy", "softmax over the wrong axis", "a factor 2 too many"): lambda z, t: (
        2 * (sm(z.T).T - t)
    ),
    ("softmax_cross_entropy", "t left out", "sign flipped"): lambda z, t: -sm(z),
    ("softmax_regression", "sign flipped", "N times too large"): regression(
        lambda x, d, t, n: (-x.T @ d, -d.sum(axis=0))
    ),
    ("two_paths", "sign flipped", "a factor 2 too many"): lambda x: -4 * (x + x**2) * np.exp(2 * x),
}


@pytest.mark.parametrize(("name", "one", "other"), some_quick(TWO, 5))
def test_two_mistakes_at_once_are_named(name: str, one: str, other: str) -> None:
    for seed in (0, 60):
        mistake = load(name).check(TWO[name, one, other], seed=seed).mistake
        assert {*(mistake or "").split(", and ")} == {one, other}
