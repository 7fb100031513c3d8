"""Right answers pass, and neither they nor random wrong ones are taken for a known mistake."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import need, some_quick
from helpers.answers import GRADIENTS, and_seeds, answer_of, sm, soft, torch_losses

from tinygrad_ce.exercises import load, names


@and_seeds(5, 99, 4242)
@pytest.mark.parametrize("name", names())
def test_the_right_answer_is_taken_for_no_mistake(name: str, seeds: Any) -> None:
    for seed in seeds:
        feedback = load(name).check(answer_of(name), seed=seed)
        assert feedback.passed, feedback
        assert feedback.mistake is None
        assert feedback.score == 1.0


@pytest.mark.parametrize("name", some_quick(GRADIENTS, 8))
@pytest.mark.parametrize(("seed", "count"), [(3, 4), pytest.param(4, 6, marks=pytest.mark.slow)])
def test_random_wrong_answers_are_taken_for_no_mistake(name: str, seed: int, count: int) -> None:
    ex, right = load(name), answer_of(name)
    rng = np.random.default_rng(seed)
    for k in range(count):
        factor, bent, noise = rng.uniform(0.3, 3.0, 3)

        def wrong(*args: Any, k: int = k, f: Any = factor, b: Any = bent, c: Any = noise) -> Any:
            def spoilt(part: Any) -> Any:
                if k % 4 == 0:
                    return part * f
                if k % 4 == 1:
                    return part * f + b * np.sin(c * np.arange(np.size(part))).reshape(part.shape)
                if k % 4 == 2:
                    return np.tanh(f * part) - b
                return part + c * np.cos(b * np.arange(np.size(part))).reshape(part.shape)

            found = right(*args)
            if isinstance(found, tuple):
                return tuple(spoilt(np.asarray(part)) for part in found)
            return spoilt(found)

        feedback = ex.check(wrong)
        assert not feedback.passed
        assert feedback.mistake is None, (k, feedback)
        assert feedback.message.startswith("No known pattern: ")


@pytest.mark.parametrize("name", ["softmax_cross_entropy", "softmax_regression", "soft_labels"])
def test_probabilities_that_are_kept_away_from_0_and_1_are_not_right(name: str) -> None:
    def kept(z: Any) -> Any:
        return np.clip(sm(z), 1e-3, 1.0 - 1e-3)

    answers = {
        "softmax_cross_entropy": lambda z, t: kept(z) - t,
        "softmax_regression": lambda x, W, b, t: (
            x.T @ (kept(x @ W + b) - t) / len(x),
            (kept(x @ W + b) - t).mean(axis=0),
        ),
        "soft_labels": lambda z, t, e: (kept(z) - soft(t, e)) / len(z),
    }
    assert not load(name).check(answers[name]).passed


# ------------------------------------------------------------------ against PyTorch
@pytest.mark.slow
@pytest.mark.parametrize("name", GRADIENTS)
def test_what_pytorch_derives_is_right(name: str) -> None:
    torch = need("torch")
    ex, loss = load(name), torch_losses(torch)[name]
    places = [[*ex.inputs].index(part) for part in ex.wrt]

    def by_pytorch(*args: Any) -> Any:
        given = [torch.tensor(x, dtype=torch.float64) for x in args]
        if ex.function != "gradient":
            how = getattr(torch.autograd.functional, ex.function)
            return how(lambda z: loss(z, *given[1:]), given[0]).numpy()
        for k in places:
            given[k].requires_grad_()
        found = torch.autograd.grad(loss(*given), [given[k] for k in places])
        return tuple(part.numpy() for part in found) if len(found) > 1 else found[0].numpy()

    feedback = ex.check(by_pytorch, seed=2026)
    assert feedback.passed, feedback
