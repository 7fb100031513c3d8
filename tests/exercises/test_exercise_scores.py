"""Large scores: a naive exp overflows there, which a check says; a stable answer never hears it."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import need, some_quick
from helpers.answers import GRADIENTS, and_seeds, answer_of, soft, torch_losses, total

from tinygrad_ce import grad, jacobian
from tinygrad_ce.exercises import load, names
from tinygrad_ce.exercises import softmax_cross_entropy as ex
from tinygrad_ce.exercises.framework.inputs import DRAWS
from tinygrad_ce.exercises.framework.properties import STABLE

Softmax = Callable[[Any], Any]


# ------------------------------------------------------------------ right answers, two ways each
def naive(z: Any) -> Any:
    return np.exp(z) / total(np.exp(z))


def by_the_maximum(z: Any) -> Any:
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / total(e)


def by_the_logarithm(z: Any) -> Any:
    m = z.max(axis=-1, keepdims=True)
    return np.exp(z - (m + np.log(total(np.exp(z - m)))))


def by_differences(z: Any) -> Any:
    """Never mind the maximum: 1 / Σ exp(z_j − z_k), where inf is right below the line."""
    return 1 / np.exp(z[..., None, :] - z[..., :, None]).sum(axis=-1)


def with_softmax(p: Softmax) -> dict[str, Any]:
    """Every answer that is written with a softmax."""

    def matrix(z: Any, t: Any = None) -> Any:
        return np.diag(p(z)) - np.outer(p(z), p(z))

    def tempered(z: Any, t: Any, T: Any) -> Any:
        d = p(z / T) - t
        return d / T, -(d * z).sum() / T**2

    def regression(x: Any, W: Any, b: Any, t: Any) -> Any:
        d = (p(x @ W + b) - t) / len(x)
        return x.T @ d, d.sum(axis=0)

    return {
        "softmax_jacobian": matrix,
        "hessian_of_cross_entropy": matrix,
        "softmax_cross_entropy": lambda z, t: p(z) - t,
        "soft_labels": lambda z, t, e: (p(z) - soft(t, e)) / len(z),
        "softmax_regression": regression,
        "logsumexp": lambda z: p(z),
        "temperature": tempered,
        "softmax_vjp": lambda z, g: p(z) * (g - total(g * p(z))),
        "fused_vjp": lambda z, t, g: g[:, None] * (p(z) - t),
    }


def with_sigmoid(s: Softmax) -> dict[str, Any]:
    """Every answer that is written with a sigmoid."""

    def l2(x: Any, y: Any, w: Any, b: Any, a: Any) -> Any:
        d = (s(x @ w + b) - y) / len(x)
        return x.T @ d + a * w, d.sum()

    return {
        "sigmoid": lambda z: s(z) * (1 - s(z)),
        "logistic_loss": lambda z, y: -y * s(-y * z) / len(z),
        "l2_penalty": l2,
    }


def by_sign(z: Any) -> Any:
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1, e) / (1 + e)


SOFT: list[Softmax] = [by_the_maximum, by_the_logarithm, by_differences]
SIGMOID: list[Softmax] = [
    by_sign,
    lambda z: 1 / (1 + np.exp(-z)),  # exp overflows to inf, and 1/inf is right
    lambda z: (1 + np.tanh(z / 2)) / 2,
    lambda z: np.exp(-np.logaddexp(0, -z)),
]
NAIVE = with_softmax(naive) | with_sigmoid(lambda z: np.exp(z) / (1 + np.exp(z)))
KINDS = [*map(with_softmax, SOFT), *map(with_sigmoid, SIGMOID)]
RIGHT = [(name, kind[name]) for name in NAIVE for kind in KINDS if name in kind]
SOME = (1, 17, 1000, 31415)


def stable(feedback: Any) -> bool:
    return next(bool(c.earned) for c in feedback.credits if c.name == STABLE)


def test_every_answer_with_an_exp_of_scores_is_asked() -> None:
    asked = {name for name in names() if STABLE in [c.name for c in load(name).check().credits]}
    assert asked == set(NAIVE) == {name for name, _ in RIGHT}


@and_seeds(*SOME)
@pytest.mark.parametrize("name", NAIVE)
def test_a_naive_exp_passes_and_is_told_that_it_overflows(name: str, seeds: Any) -> None:
    one = load(name)
    for seed in seeds:
        feedback = one.check(NAIVE[name], seed=seed)
        assert feedback.passed
        assert feedback.mistake is None
        assert [c.name for c in feedback.credits if not c.earned] == [STABLE]
        assert feedback.score == pytest.approx(1 - 1 / len(feedback.credits))
        count = len(feedback.credits)
        assert f"{name}: passed, {count - 1} of {count}\n" in str(feedback)
        assert f"on {DRAWS} draws of different sizes; but where |" in feedback.message
        assert re.search(r" is nan: it began in .+$", feedback.message)
        assert "no exponent is above 0" in feedback.look
        example = feedback.example
        drawn = one.try_it(example.seed, large=True)
        for given, again in zip(example.inputs.values(), drawn):
            np.testing.assert_array_equal(given, again)
        with np.errstate(all="ignore"):
            found = NAIVE[name](*drawn)
        mine = found if isinstance(found, tuple) else (found,)
        assert not all(np.isfinite(part).all() for part in mine)
        for theirs, part in zip(example.yours.values(), mine):
            np.testing.assert_array_equal(theirs, part)
        assert one.code.splitlines()[-1].strip() not in str(feedback)


@and_seeds(*range(100, 115))
@pytest.mark.parametrize(("name", "answer"), RIGHT)
def test_a_stable_answer_has_all_the_credit(name: str, answer: Any, seeds: Any) -> None:
    for seed in seeds:
        feedback = load(name).check(answer, seed=seed)
        assert feedback.score == 1.0, feedback
        assert feedback.example is None


@and_seeds(*SOME)
@pytest.mark.parametrize(("name", "answer"), RIGHT)
def test_in_float32_as_well(name: str, answer: Any, seeds: Any) -> None:
    """Where z is 1000, a float32 z − log Σ exp(z) has lost five digits: wrong is something else."""

    def single(*args: Any) -> Any:
        return answer(*(np.asarray(x, np.float32) for x in args))

    for seed in seeds:
        assert stable(load(name).check(single, seed=seed))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAIVE)
def test_what_pytorch_derives_is_stable(name: str) -> None:
    torch = need("torch")
    one = load(name)
    losses = torch_losses(torch)
    losses["logistic_loss"] = lambda z, y: torch.nn.functional.softplus(-y * z).mean()
    places = [[*one.inputs].index(part) for part in one.wrt]

    def by_pytorch(*args: Any) -> Any:
        given = [torch.tensor(x, dtype=torch.float64) for x in args]
        if one.function != "gradient":
            how = getattr(torch.autograd.functional, one.function)
            return how(lambda z: losses[name](z, *given[1:]), given[0]).numpy()
        for k in places:
            given[k].requires_grad_()
        found = torch.autograd.grad(losses[name](*given), [given[k] for k in places])
        return tuple(part.numpy() for part in found) if len(found) > 1 else found[0].numpy()

    for seed in (0, 2026):
        assert one.check(by_pytorch, seed=seed).score == 1.0


def test_what_the_engine_derives_is_stable_where_the_loss_is() -> None:
    loss = lambda z, t: -(t * np.log(by_the_maximum(z))).sum()
    assert ex.check(grad(loss)).score == 1.0
    assert load("softmax_jacobian").check(jacobian(by_the_maximum)).score == 1.0
    assert not stable(ex.check(grad(lambda z, t: -(t * np.log(naive(z))).sum())))


# ------------------------------------------------------------------ neither right nor overflowing
HIDDEN: dict[str, Softmax] = {
    "clipped": lambda z: naive(np.clip(z, -500, 500)),
    "nan made 0": lambda z: np.nan_to_num(naive(z)),
    "a floor below the line": lambda z: np.exp(z) / (total(np.exp(z)) + 1e-12),
    "only a maximum above 0": lambda z: naive(z - np.maximum(z.max(axis=-1, keepdims=True), 0)),
    "another row's maximum": lambda z: naive(z - z.max()),
}
TOGETHER = ("softmax_jacobian", "hessian_of_cross_entropy", "softmax_regression")  # one b, one row


@and_seeds(*SOME)
@pytest.mark.parametrize("name", with_softmax(naive))
@pytest.mark.parametrize("how", HIDDEN)
def test_what_only_hides_it_is_not_stable(name: str, how: str, seeds: Any) -> None:
    for seed in seeds:
        feedback = load(name).check(with_softmax(HIDDEN[how])[name], seed=seed)
        assert feedback.passed
        assert stable(feedback) == (how == "another row's maximum" and name in TOGETHER)


def test_where_it_is_finite_the_entry_is_told() -> None:
    feedback = ex.check(lambda z, t: naive(np.clip(z, -500, 500)) - t)
    assert feedback.message.endswith("entry (0, 0) of your gradient is -0.5, off by -0.2311")


@pytest.mark.parametrize("name", some_quick(NAIVE, 3))
def test_a_wrong_derivation_has_to_be_finite_only(name: str) -> None:
    def flipped(answer: Any) -> Any:
        def negative(*args: Any) -> Any:
            found = answer(*args)
            return tuple(-part for part in found) if isinstance(found, tuple) else -found

        return negative

    good = load(name).check(flipped(answer_of(name)))
    bad = load(name).check(flipped(NAIVE[name]))
    for feedback in (good, bad):
        assert not feedback.passed
        assert feedback.mistake
        assert not feedback.example.large
        assert feedback.look
        assert "exponent" not in feedback.look
    assert stable(good)
    assert not stable(bad)
    note = next(c.note for c in bad.credits if c.name == STABLE)
    assert note.startswith(f"where |{'b' if 'b' in load(name).inputs else 'z'}| is near 1000, ")


def test_where_a_wrong_derivation_is_right_by_chance_it_has_to_be_finite_only() -> None:
    """At z = 0, σ(z)² is the right slope, and at z = 1000 it is not: that is no overflow."""
    assert stable(load("sigmoid").check(lambda z: by_sign(z) ** 2))


def test_what_is_said_first_is_what_is_wrong_with_the_derivation() -> None:
    for name in ("sigmoid", "l2_penalty"):  # where nothing but shape, sign and scale is asked
        one = load(name)

        def bent(*args: Any, name: str = name) -> Any:
            found = NAIVE[name](*args)
            return tuple(1.3 * p for p in found) if isinstance(found, tuple) else 1.3 * found

        assert (
            one.check(bent).message
            == "No known pattern: it is 1.3 times the size that it should be"
        )


# ------------------------------------------------------------------ what an overflow may do
def by_math(z: Any, t: Any) -> Any:
    e = np.array([[math.exp(x) for x in row] for row in z])
    return e / total(e) - t


def raising(z: Any, t: Any) -> Any:
    with np.errstate(over="raise"):
        return naive(z) - t


def warning(z: Any, t: Any) -> Any:
    np.seterr(all="warn")
    return naive(z) - t


def test_an_overflow_that_is_an_error_is_told_with_its_line() -> None:
    for function, said in (
        (by_math, "`e = np.array([[math.exp(x) for x in row] for row in z])`, stops with Overflow"),
        (raising, "stops with FloatingPointError: overflow encountered in exp"),
    ):
        feedback = ex.check(function)
        assert feedback.passed
        assert not stable(feedback)
        assert said in feedback.message
        assert feedback.example.large
        assert feedback.example.yours == {}


@pytest.mark.parametrize("function", [lambda z, t: naive(z) - t, warning, by_math, raising])
def test_nothing_of_it_reaches_the_screen(function: Any, capsys: Any) -> None:
    before = np.geterr()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ex.check(function)
    assert caught == []
    assert capsys.readouterr() == ("", "")
    assert np.geterr() == before


@pytest.mark.slow
def test_a_learner_who_has_numpy_raise_is_checked_alike() -> None:
    for name in names():
        with np.errstate(all="raise"):
            assert load(name).check(answer_of(name), seed=60_000).score == 1.0


# ------------------------------------------------------------------ how it is drawn and told
def test_large_scores_move_a_row_as_one_and_come_with_both_signs() -> None:
    moved = [ex.try_it(seed, large=True).z - ex.try_it(seed).z for seed in range(40)]
    assert {float(x) for z in moved for x in np.abs(z).ravel().round(6)} == {1000.0}
    assert all(np.ptp(z, axis=1).max() < 1e-9 for z in moved)
    assert {float(z[0, 0].round()) for z in moved if len(z) == 1} == {-1000.0, 1000.0}
    assert all(len({*z[:, 0].round()}) == 2 for z in moved if len(z) > 1)
    apart = load("sigmoid").try_it(11, large=True).z
    assert len({*np.sign(apart)}) == 2
    assert type(load("l2_penalty").try_it(3, large=True).b) is float
    for name in set(GRADIENTS) - set(NAIVE):
        for x, y in zip(load(name).try_it(5), load(name).try_it(5, large=True)):
            np.testing.assert_array_equal(x, y)


def test_a_loss_that_overflows_itself_blames_no_finite_answer() -> None:
    """Whoever adds an exercise may write the textbook's loss: then only nan and inf are seen."""
    textbook = dataclasses.replace(ex, loss=lambda z, t: -(t * np.log(naive(z))).sum())
    assert textbook.check(lambda z, t: by_the_maximum(z) - t).score == 1.0
    assert not stable(textbook.check(lambda z, t: naive(z) - t))


def test_the_text_the_card_and_the_report_say_it() -> None:
    feedback = ex.check(lambda z, t: naive(z) - t)
    text = str(feedback)
    assert text.startswith("softmax_cross_entropy: passed, 6 of 7\n")
    assert "\n  no   stable at large scores: where |z| is near 1000, entry (0, 0) of " in text
    assert "seed=0 (ex.try_it(seed=0, large=True) draws it again):" in text
    assert "\n  z = [[1001., 1000.]]\n" in text
    assert max(map(len, text.splitlines())) <= 80
    card = feedback._repr_html_()
    assert "softmax_cross_entropy: passed, 6 of 7" in card
    assert "ex.try_it(seed=0, large=True) draws it again" in card
    report = json.loads(feedback.to_json())
    assert report["passed"] is True
    assert report["score"] == pytest.approx(6 / 7)
    assert report["credits"][-1]["earned"] is False
    assert report["example"]["large"] is True
    assert report["example"]["yours"] == {"your gradient": [["nan", "nan"]]}
    assert "exponent" in report["look"]


def test_a_right_answers_report_has_no_example() -> None:
    assert json.loads(ex.check(answer_of(ex.name)).to_json())["example"] is None
