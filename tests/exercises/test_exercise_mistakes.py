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
from tinygrad_ce.exercises.framework.mistakes import FACTORS, SHAPES, SOFTMAXES, wrong_answers


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


DERIVED: dict[str, dict[str, Any]] = {
    "log_derivative": {
        "sign flipped": lambda x: -1 / x,
        "log to base 10": lambda x: 1 / (x * np.log(10)),
        "log itself": np.log,
        "one power too many": lambda x: 1 / x**2,
        "differentiated twice": lambda x: -1 / x**2,
    },
    "quotient_rule": {
        "sign flipped": lambda x: (x**2 - 1) / (1 + x**2) ** 2,
        "sign flipped between add and divide": lambda x: (1 + 3 * x**2) / (1 + x**2) ** 2,
        "denominator not squared": lambda x: (1 - x**2) / (1 + x**2),
        "no gradient between add and divide": lambda x: 1 / (1 + x**2),
        "no gradient between x and divide": lambda x: -2 * x**2 / (1 + x**2) ** 2,
        "derivatives divided": lambda x: 1 / (2 * x),
    },
    "sigmoid": {
        "sign flipped": lambda z: -sig(z) * (1 - sig(z)),
        "the sigmoid itself": sig,
        "inner derivative forgotten": lambda z: sig(z) ** 2,
        "log of the sigmoid": lambda z: 1 - sig(z),
    },
    "two_paths": {
        "no gradient between x and multiply_1": lambda x: 2 * x * np.exp(2 * x),
        "no gradient between x and power": lambda x: x**2 * 2 * np.exp(2 * x),
        "derivatives multiplied": lambda x: 2 * x * 2 * np.exp(2 * x),
        "a factor 2 missing between x and multiply_1": lambda x: (2 * x + x**2) * np.exp(2 * x),
        "sign flipped between x and multiply_1": lambda x: (2 * x - 2 * x**2) * np.exp(2 * x),
    },
    "softmax_jacobian": {
        "sign flipped": hessian(lambda p, t: np.outer(p, p) - diag(p)),
        "only the diagonal": hessian(lambda p, t: diag(p * (1 - p))),
        "a vector where a matrix is wanted": hessian(lambda p, t: p * (1 - p)),
        "sign of the entries off the diagonal": hessian(
            lambda p, t: np.outer(p, p) + diag(p - 2 * p**2)
        ),
        "normaliser treated as a constant": hessian(lambda p, t: diag(p)),
        "plus where minus stands": hessian(lambda p, t: diag(p) + np.outer(p, p)),
        "the numerator's own slope forgotten": hessian(lambda p, t: -np.outer(p, p)),
        "1 where p belongs on the diagonal": hessian(lambda p, t: np.eye(len(p)) - np.outer(p, p)),
    },
    "softmax_cross_entropy": {
        "sign flipped": lambda z, t: t - sm(z),
        "summed over the batch": lambda z, t: (sm(z) - t).sum(axis=0),
        "target forgotten": lambda z, t: sm(z),
        "log of the wrong quantity": lambda z, t: (  # the chain rule through −log(1 − p)
            sm(z) * (t / (1 - sm(z)) - total(t * sm(z) / (1 - sm(z))))
        ),
        "log forgotten": lambda z, t: -sm(z) * (t - total(t * sm(z))),
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
        "only the diagonal of the Jacobian": lambda z, t: -t / sm(z) * sm(z) * (1 - sm(z)),
        "stopped at p": lambda z, t: -t / sm(z),
        "the sigmoid's rule for the softmax": lambda z, t: sm(z) * (1 - sm(z)),
        "N times too small": lambda z, t: (sm(z) - t) / len(z),
        "multiplied by p(1 − p)": lambda z, t: (sm(z) - t) * sm(z) * (1 - sm(z)),
    },
    "soft_labels": {
        "sign flipped": lambda z, t, e: (soft(t, e) - sm(z)) / len(z),
        "N times too large": lambda z, t, e: sm(z) - soft(t, e),
        "N times too small": lambda z, t, e: (sm(z) - soft(t, e)) / len(z) ** 2,
        "e forgotten": lambda z, t, e: (sm(z) - t) / len(z),
        "e not divided among the classes": lambda z, t, e: (sm(z) - (1 - e) * t - e) / len(z),
        "the right class not lowered": lambda z, t, e: (sm(z) - t - e / t.shape[1]) / len(z),
        "e spread over the wrong classes only": lambda z, t, e: (
            (sm(z) - np.where(t == 1, 1 - e, e / (t.shape[1] - 1))) / len(z)
        ),
    },
    "softmax_regression": {
        "sign flipped": regression(lambda x, d, t, n: (-x.T @ d / n, -d.sum(axis=0) / n)),
        "N times too large": regression(lambda x, d, t, n: (x.T @ d, d.sum(axis=0))),
        "N times too small": regression(lambda x, d, t, n: (x.T @ d / n / n, d.mean(axis=0) / n)),
        "transposed": regression(lambda x, d, t, n: (d.T @ x / n, d.mean(axis=0))),
        "x forgotten": regression(lambda x, d, t, n: (np.ones(x.shape).T @ d / n, d.mean(axis=0))),
        "target forgotten": regression(
            lambda x, d, t, n: (x.T @ (d + t) / n, (d + t).mean(axis=0))
        ),
        "db not summed": regression(lambda x, d, t, n: (x.T @ d / n, d / n)),
        "db summed over the wrong axes": regression(
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
        "N times too small between mean and add_3": l2(
            lambda dw, db, w, b, a, n: (dw / n + a * w, db / n)
        ),
        "sign flipped": l2(lambda dw, db, w, b, a, n: (-dw - a * w, -db)),
        "N times too large between mean and add_3": l2(
            lambda dw, db, w, b, a, n: (n * dw + a * w, n * db)
        ),
        "no gradient between w and power": l2(lambda dw, db, w, b, a, n: (dw, db)),
        "a factor 2 too many between w and power": l2(
            lambda dw, db, w, b, a, n: (dw + 2 * a * w, db)
        ),
        "sign flipped between w and power": l2(lambda dw, db, w, b, a, n: (dw - a * w, db)),
        "N times too small between w and power": l2(
            lambda dw, db, w, b, a, n: (dw + a * w / n, db)
        ),
        "intercept penalised": l2(lambda dw, db, w, b, a, n: (dw + a * w, db + a * b)),
        "L1 in place of L2": l2(lambda dw, db, w, b, a, n: (dw + a * np.sign(w), db)),
    },
    "l1_penalty": {
        "N times too large between mean and add_2": l1(
            lambda dw, db, w, b, a, n: (n * dw + a * np.sign(w), n * db)
        ),
        "N times too small between mean and add_2": l1(
            lambda dw, db, w, b, a, n: (dw / n + a * np.sign(w), db / n)
        ),
        "a factor 2 missing between mean and add_2": l1(
            lambda dw, db, w, b, a, n: (dw / 2 + a * np.sign(w), db / 2)
        ),
        "sign flipped between mean and add_2": l1(
            lambda dw, db, w, b, a, n: (-dw + a * np.sign(w), -db)
        ),
        "no gradient between w and abs": l1(lambda dw, db, w, b, a, n: (dw, db)),
        "sign flipped between w and abs": l1(lambda dw, db, w, b, a, n: (dw - a * np.sign(w), db)),
        "L2 in place of L1": l1(lambda dw, db, w, b, a, n: (dw + a * w, db)),
        "the sign of w forgotten": l1(lambda dw, db, w, b, a, n: (dw + a, db)),
        "N times too small between w and abs": l1(
            lambda dw, db, w, b, a, n: (dw + a * np.sign(w) / n, db)
        ),
        "intercept penalised": l1(
            lambda dw, db, w, b, a, n: (dw + a * np.sign(w), db + a * np.sign(b))
        ),
        "|w| not differentiated": l1(lambda dw, db, w, b, a, n: (dw + a * np.abs(w), db)),
    },
    "logistic_loss": {
        "sign flipped": lambda z, y: y * sig(-y * z) / len(z),
        "N times too large": lambda z, y: -y * sig(-y * z),
        "N times too small": lambda z, y: -y * sig(-y * z) / len(z) ** 2,
        "y forgotten": lambda z, y: -sig(-y * z) / len(z),
        "σ(y z) in place of σ(−y z)": lambda z, y: -y * sig(y * z) / len(z),
        "the coding 0 and 1": lambda z, y: (sig(z) - y) / len(z),
        "sign of the exponent": lambda z, y: y * sig(y * z) / len(z),
        "log forgotten": lambda z, y: -y * np.exp(-y * z) / len(z),
        "only the logarithm's slope": lambda z, y: 1 / (1 + np.exp(-y * z)) / len(z),
    },
    "logsumexp": {
        "summed over the batch": lambda z: sm(z).sum(axis=0),
        "no gradient between z and max_1": lambda z: sm(z) - (z == z.max(1)[:, None]),
        "no gradient between z and max_2": lambda z: sm(z) + (z == z.max(1)[:, None]),
        "no gradient between log and add": lambda z: (z == z.max(1)[:, None]).astype(float),
        "not divided by the sum": lambda z: np.exp(z - z.max(axis=1, keepdims=True)),
        "inner derivative forgotten": lambda z: np.ones(z.shape) / total(np.exp(z)),
        "still a logarithm": lambda z: z - np.log(total(np.exp(z))),
        "one softmax over all rows": lambda z: np.exp(z) / np.exp(z).sum(),
        "differentiated twice": lambda z: sm(z) * (1 - sm(z)),
    },
    "temperature": {
        "1/T forgotten in dz": tempered(lambda z, d, t, T: (d, -(d * z).sum() / T**2)),
        "no gradient": tempered(lambda z, d, t, T: (d / T, 0)),
        "1/T not differentiated": tempered(lambda z, d, t, T: (d / T, -(d * z).sum() / T)),
        "sign flipped": tempered(lambda z, d, t, T: (d / T, (d * z).sum() / T**2)),
        "softmax without the temperature": lambda z, t, T: (
            (sm(z) - t) / T,
            -((sm(z) - t) * z).sum() / T**2,
        ),
        "multiplied in place of divided": lambda z, t, T: (
            (sm(z * T) - t) * T,
            ((sm(z * T) - t) * z).sum(),
        ),
        "dT summed over the wrong axes": tempered(
            lambda z, d, t, T: (d / T, -(d * z).sum(axis=1) / T**2)
        ),
    },
    "hessian_of_cross_entropy": {
        "sign flipped": hessian(lambda p, t: np.outer(p, p) - diag(p)),
        "only the diagonal": hessian(lambda p, t: diag(p * (1 - p))),
        "normaliser treated as a constant": hessian(lambda p, t: diag(p)),
        "plus where minus stands": hessian(lambda p, t: diag(p) + np.outer(p, p)),
        "the gradient's outer product": hessian(lambda p, t: np.outer(p - t, p - t)),
        "the gradient once more": hessian(lambda p, t: p - t),
        "the target still in it": hessian(lambda p, t: diag(p - t) - np.outer(p, p)),
    },
    "softmax_vjp": {
        "sign flipped": lambda z, g: sm(z) * (total(g * sm(z)) - g),
        "no gradient between sum_1 and divide": lambda z, g: sm(z) * g,
        "only the diagonal of the Jacobian": lambda z, g: g * (sm(z) - sm(z) ** 2),
        "a plain mean of g": lambda z, g: sm(z) * (g - g.mean(axis=1)[:, None]),
        "a plain sum of g": lambda z, g: sm(z) * (g - g.sum(axis=1)[:, None]),
        "one sum over all rows": lambda z, g: sm(z) * (g - np.sum(sm(z) * g)),
        "no gradient": lambda z, g: sm(z) * (1 - total(sm(z))),
        "p forgotten before the bracket": lambda z, g: g - total(g * sm(z)),
    },
    "engine_division": {
        "sign flipped": lambda g, x, y: (-g / y, g * x / y**2),
        "denominator not squared": lambda g, x, y: (g / y, -g * x / y),
        "the upstream gradient in the numerator only": lambda g, x, y: (g / y, -x / y**2),
        "x for y": lambda g, x, y: (g / x, -g * y / x**2),
        "the slope of x · y": lambda g, x, y: (g * y, g * x),
        "the results swapped": lambda g, x, y: (-g * x / y**2, g / y),
        "g forgotten": lambda g, x, y: (1 / y, -x / y**2),
    },
    "fused_vjp": {
        "sign flipped": lambda z, t, g: g[:, None] * (t - sm(z)),
        "g forgotten": lambda z, t, g: sm(z) - t,
        "upstream gradient summed": lambda z, t, g: np.sum(g) * (sm(z) - t),
        "upstream gradient averaged": lambda z, t, g: np.mean(g) * (sm(z) - t),
        "upstream gradient on p only": lambda z, t, g: g[:, None] * sm(z) - t,
        "target forgotten": lambda z, t, g: g[:, None] * sm(z),
        "N times too small": lambda z, t, g: g[:, None] * (sm(z) - t) / len(g),
        "upstream gradient squared": lambda z, t, g: g[:, None] ** 2 * (sm(z) - t),
    },
}
# The Hessian is the softmax's Jacobian.
DERIVED["hessian_of_cross_entropy"] |= DERIVED["softmax_jacobian"]
CASES = [(name, mistake) for name, derived in DERIVED.items() for mistake in derived]


def test_every_known_mistake_is_here_and_there_are_enough() -> None:
    own = {(name, text.split(": ")[0]) for name in GRADIENTS for text in load(name).mistakes}
    derived = {
        case for case in set(CASES) - own if case[1].split(" between ")[0] in DERIVED_ANYWHERE
    }
    assert own <= set(CASES) == own | derived
    assert len(derived) >= 40
    assert len({mistake for _, mistake in CASES}) >= 25
    assert len(names()) >= 14


@and_seeds(7, 1000, 31415)
@pytest.mark.parametrize(("name", "mistake"), some_quick(CASES, 6))
def test_a_mistake_is_known_by_its_name(name: str, mistake: str, seeds: Any) -> None:
    for seed in seeds:
        feedback = load(name).check(DERIVED[name][mistake], seed=seed)
        assert feedback.mistake == mistake, feedback
        assert not feedback.passed
        assert 0 <= feedback.score < 1
        assert feedback.look
        assert mistake in feedback.message


DERIVED_ANYWHERE = {text.split(": ")[0] for text in [*FACTORS, *SHAPES, *SOFTMAXES]} | {
    *("log itself", "the loss itself"),
    "the results swapped",
    "db not summed",
    "db summed over the wrong axes",
    "dT summed over the wrong axes",
    "divided by K in place of N",
    *("N times too large", "N times too small", "K times too small"),
    "b forgotten",
    "e forgotten",
    "g forgotten",
}
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
    """Where an exercise has a name of its own for it, that one is said."""
    named = []
    for name in GRADIENTS:
        right, change = answer_of(name), USUAL[mistake]

        def wrong(*args: Any, right: Any = right, change: Any = change) -> Any:
            found, n = right(*args), len(args[0])
            if isinstance(found, tuple):
                return tuple(np.asarray(change(part, n)) for part in found)
            return np.asarray(change(found, n))

        feedback = [load(name).check(wrong, seed=seed) for seed in (0, 60)]
        own = {text.split(": ")[0] for text in load(name).mistakes}
        if not feedback[0].passed:  # a vector transposed is the same
            other = mistake.replace("N", "K")  # the first axis, where there is no batch
            assert {f.mistake for f in feedback} <= {mistake, other, None} | own, name
            named += [name] * all(f.mistake == mistake for f in feedback)
    assert len(named) >= 5


@pytest.mark.slow
@pytest.mark.parametrize(("name", "mistake"), CASES)
def test_a_mistake_made_in_float32_is_known(name: str, mistake: str) -> None:
    def single(*args: Any) -> Any:
        found = DERIVED[name][mistake](*args)
        if isinstance(found, tuple):
            return tuple(np.float32(part) for part in found)
        return np.asarray(found, np.float32)

    assert load(name).check(single).mistake == mistake


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in names() if len(load(name).wrt) > 1])
def test_a_mistake_in_one_part_of_the_answer_is_known(name: str) -> None:
    """Each array of a wrong answer, beside the right others, has a known pattern or none."""
    ex = load(name)
    right = answer_of(name)
    for mistake, wrong in DERIVED[name].items():
        for i in range(len(ex.wrt)):

            def mixed(*args: Any, i: int = i, wrong: Any = wrong) -> Any:
                parts = [*right(*args)]
                parts[i] = wrong(*args)[i]
                return tuple(parts)

            found = ex.check(mixed)
            # Two mistakes may look the same in one array: one that does is named, never another.
            assert found.passed or found.mistake in (mistake, None) or same(ex, mixed, found)


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


def same(ex: Any, answer: Any, found: Any) -> bool:
    """Whether the mistake that was named has this very array."""
    for seed in range(100, 110):
        known = {text.split(": ")[0]: wrong for text, wrong in wrong_answers(ex, seed)}
        named = known[found.mistake]
        given = ex.try_it(seed)
        right = answer_of(ex.name)(*given)
        for mine, other, good in zip(answer(*given), named.values(), right):
            if not np.allclose(mine, other) and not np.allclose(mine, good):
                return False
    return True


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
    ("softmax_cross_entropy", "target forgotten", "sign flipped"): lambda z, t: -sm(z),
    ("softmax_regression", "sign flipped", "N times too large"): regression(
        lambda x, d, t, n: (-x.T @ d, -d.sum(axis=0))
    ),
    ("two_paths", "sign flipped", "a factor 2 too many"): lambda x: -4 * (x + x**2) * np.exp(2 * x),
}


@pytest.mark.parametrize(("name", "one", "other"), some_quick(TWO, 3))
def test_two_mistakes_at_once_are_named(name: str, one: str, other: str) -> None:
    for seed in (0, 60):
        mistake = load(name).check(TWO[name, one, other], seed=seed).mistake
        assert {*(mistake or "").split(", and ")} == {one, other}


def test_two_mistakes_are_named_only_where_they_add_up() -> None:
    """What stands in place of the whole gradient is no part of a sum."""
    ex = load("sigmoid")
    assert ex.check(lambda z: sig(z) * (1.0 + sig(z))).mistake is None
    assert ex.check(lambda z: 1.0 - sig(z) ** 2).mistake is None
    hessian = load("hessian_of_cross_entropy")
    outer = hessian.check(lambda z, t: np.outer(sm(z), sm(z))).mistake
    assert outer == "plus where minus stands, and the numerator's own slope forgotten"
