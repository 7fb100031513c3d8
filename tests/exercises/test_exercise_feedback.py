"""What a check says of an answer: right ones pass, credits, the example, the table."""

from __future__ import annotations

import functools
import re
from typing import Any

import numpy as np
import pytest
from conftest import some_quick
from helpers.answers import GRADIENTS, answer_of, sm

from tinygrad_ce import cross_entropy, grad, softmax
from tinygrad_ce.exercises import load, names
from tinygrad_ce.exercises import softmax_cross_entropy as ex
from tinygrad_ce.exercises.framework.inputs import DRAWS


def right(z: Any, t: Any) -> Any:
    return sm(z) - t


# ------------------------------------------------------------------ what is right
def test_right_in_every_spelling() -> None:
    loss = lambda z, t: -(t * np.log(sm(z))).sum()

    class Callable:
        def __call__(self, z: Any, t: Any) -> Any:
            return right(z, t)

        def method(self, z: Any, t: Any, unused: int = 0) -> Any:
            return right(z, t)

    for function in (
        right,
        grad(loss),
        Callable(),
        Callable().method,
        lambda z, t: right(z, t).tolist(),
        lambda z, t: tuple(right(z, t).tolist()),
        lambda z, t: right(z, t) + 1e-17,
        lambda z, t: right(z, t) + 1e-12,
        lambda z, t: right(z, t).astype(np.float32),
        lambda z, t: right(z.astype(np.float32), t.astype(np.float32)),
        lambda z, t: right(z.astype(np.float32), t),
        lambda z, t: right(z.astype(np.longdouble), t),
        lambda *args: right(*args),
        functools.partial(right),
    ):
        assert ex.check(function).passed, ex.check(function)


def test_a_right_gradient_may_come_from_differences() -> None:
    def central(z: Any, t: Any, h: float = 1e-5) -> Any:
        steps = h * np.eye(z.size).reshape(-1, *z.shape)
        loss = lambda z: -(t * np.log(sm(z))).sum()
        slopes = [(loss(z + s) - loss(z - s)) / (2 * h) for s in steps]
        return np.reshape(slopes, z.shape)

    assert ex.check(central).passed


@pytest.mark.parametrize("by", [1e-3, 1e-4, 1e-5])
def test_small_errors_are_seen(by: float) -> None:
    assert not ex.check(lambda z, t: right(z, t) * (1 + by)).passed
    assert not ex.check(lambda z, t: right(z, t) + by).passed


def test_a_function_may_use_one_buffer_again() -> None:
    buffer = np.zeros(100, np.float32)

    def reuses(z: Any, t: Any) -> Any:
        buffer[: z.size] = right(z, t).ravel()
        return buffer[: z.size].reshape(z.shape)

    assert ex.check(reuses).passed


@pytest.mark.parametrize("name", GRADIENTS)
def test_all_of_it_may_be_float32(name: str) -> None:
    good = answer_of(name)

    def single(*args: Any) -> Any:
        found = good(*(np.asarray(x, np.float32) for x in args))
        return found if isinstance(found, tuple) else np.float32(found)

    assert load(name).check(single).passed


def test_float32_is_held_to_less() -> None:
    assert ex.check(lambda z, t: np.float32(right(z, t) * (1 + 3e-5))).passed
    assert not ex.check(lambda z, t: np.float32(right(z, t) * (1 + 1e-3))).passed


def test_several_gradients_come_as_a_tuple_or_a_list() -> None:
    two = load("softmax_regression")
    good = answer_of(two.name)
    assert two.check(lambda *a: [part.tolist() for part in good(*a)]).passed
    assert two.check(lambda *a: dict(zip(("db", "dW"), good(*a)[::-1]))).passed
    assert "returns 1 of the 2 wanted: (dW, db)" in two.check(lambda x, *_: x).message
    assert "returns 1 of the 2 wanted: (dW, db)" in two.check(lambda *a: good(*a)[:1]).message
    assert "db is NoneType, wanted real" in two.check(lambda *a: (good(*a)[0], None)).message
    assert "returns None: is there a return" in two.check(lambda *a: None).message
    flat = two.check(lambda *a: (good(*a)[0].ravel(), good(*a)[1]))
    assert re.search(r"\ndb is right. No known pattern: dW has shape \(\d,\), wanted", str(flat))


def test_which_part_is_right_is_said_first() -> None:
    two, good = load("softmax_regression"), answer_of("softmax_regression")
    feedback = two.check(lambda *a: (good(*a)[0], 2 * good(*a)[1]))
    assert feedback.message.startswith("dW is right. ")
    assert "is right" not in two.check(lambda *a: (2 * good(*a)[0], 3 * good(*a)[1])).message


@pytest.mark.parametrize(
    ("factor", "said"), [(2.0, "it is 2 times"), (0.5, "it is 0.5 times"), (1.0001, "1.0001 times")]
)
def test_a_factor_is_told_with_as_many_digits_as_it_needs(factor: float, said: str) -> None:
    assert said in str(ex.check(lambda z, t: factor * right(z, t)))


def test_a_size_that_is_no_factor_is_not_told_as_one() -> None:
    text = str(ex.check(lambda z, t: right(z, t) * (2.0 + z**2)))
    assert "scale: it is too large" in text
    assert "times the size" not in text


@pytest.mark.parametrize("entry", [0.0, 1.0, -0.25])
def test_an_answer_that_is_the_same_for_all_inputs_earns_its_shape_alone(entry: float) -> None:
    feedback = ex.check(lambda z, t: np.full_like(z, entry))
    assert [c.name for c in feedback.credits if c.earned] == ["shape"]
    assert not load("log_derivative").check(lambda x: np.ones_like(x)).passed


def test_an_answer_that_the_engine_derived_passes_with_a_remark() -> None:
    feedback = ex.check(grad(lambda z, t: cross_entropy(z, t, reduction="sum")))
    assert feedback.passed
    assert "but the engine derived it" in " ".join(str(feedback).split())
    assert "engine derived" not in str(ex.check(lambda z, t: softmax(z) - t))


def test_an_answer_from_differences_passes_with_a_remark() -> None:
    def differences(z: Any, t: Any) -> Any:
        out = np.zeros_like(z)
        for at in np.ndindex(z.shape):
            step = np.zeros_like(z)
            step[at] = 1e-5
            up, down = (cross_entropy(z + s, t, reduction="sum") for s in (step, -step))
            out[at] = (up - down) / 2e-5
        return out

    feedback = ex.check(differences)
    assert feedback.passed
    assert "digits only: is it from differences" in " ".join(str(feedback).split())


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda z, t: z / z.sum(axis=1) - t, "is a keepdims=True missing"),
        (lambda z, t: z @ t, "which of the two is to be transposed (.T)?"),
        (lambda z, t: z.dot(t), "which of the two is to be transposed (.T)?"),
        (lambda z, t: z + t.T, "is a transpose (.T) missing?"),
    ],
)
def test_an_error_of_shapes_comes_with_what_it_is_from(function: Any, said: str) -> None:
    assert said in " ".join(str(ex.check(function)).split())


# ------------------------------------------------------------------ credits and the example
def test_credits_are_the_properties_that_the_right_answer_has() -> None:
    asked = {name: [credit.name for credit in load(name).check().credits] for name in names()}
    assert asked["log_derivative"] == ["shape", "sign", "scale", "agreement"]
    rows = ["shape", "sign", "scale", "rows sum to 0", "the same when z is shifted", "agreement"]
    assert asked["softmax_cross_entropy"] == [*rows, "stable at large scores"]
    assert "rows sum to 1" in asked["logsumexp"]
    assert "symmetric" in asked["softmax_jacobian"]
    assert "symmetric" in asked["hessian_of_cross_entropy"]
    assert "the same when W is shifted" in asked["softmax_regression"]


def earned(function: Any) -> dict[str, bool]:
    return {credit.name: credit.earned for credit in ex.check(function).credits}


def test_each_credit_counts_for_itself() -> None:
    flipped = earned(lambda z, t: t - sm(z))
    assert [name for name, has in flipped.items() if not has] == ["sign", "agreement"]
    doubled = earned(lambda z, t: 2 * right(z, t))
    assert [name for name, has in doubled.items() if not has] == ["scale", "agreement"]
    fixed = earned(lambda z, t: right(z, t) * (1 + z - z.max(axis=1, keepdims=True)) ** 2)
    assert fixed["the same when z is shifted"]
    assert not fixed["rows sum to 0"]
    moved = earned(lambda z, t: right(z, t) * np.exp(z[:, :1]))
    assert moved["rows sum to 0"]
    assert moved["sign"]
    assert not moved["the same when z is shifted"]
    shapeless = earned(lambda z, t: right(z, t).ravel())
    assert not any(shapeless.values())  # nothing counts before the shape is right
    jacobian = load("softmax_jacobian").check(lambda z: np.triu(answer_of("softmax_jacobian")(z)))
    assert not next(c.earned for c in jacobian.credits if c.name == "symmetric")


@pytest.mark.parametrize("name", some_quick(GRADIENTS, 8))
def test_zeros_earn_their_shape_and_no_more(name: str) -> None:
    """They are symmetric, sum to 0 and do not change, but nobody derived that."""
    good = answer_of(name)

    def zeros(*args: Any) -> Any:
        found = good(*args)
        if isinstance(found, tuple):
            return tuple(np.zeros(np.shape(part)) for part in found)
        return np.zeros(np.shape(found))

    assert [c.name for c in load(name).check(zeros).credits if c.earned] == ["shape"]


def test_the_sentence_is_the_one_of_the_issue() -> None:
    feedback = ex.check(lambda z, t: sm(z) - 0.1 * t * (z == z) + 0.1 / t.shape[1] * 0)
    note = next(c.note for c in feedback.credits if c.name == "rows sum to 0")
    assert note == "your rows sum to 0.9, they should sum to 0"
    assert str(feedback).splitlines()[0].startswith("softmax_cross_entropy: not yet, ")
    assert feedback.message == f"No known pattern: {note}"
    p = next(c.note for c in ex.check(lambda z, t: sm(z)).credits if c.name.startswith("rows"))
    assert p == "your rows sum to 1, they should sum to 0"


@pytest.mark.slow
def test_the_example_is_small_and_its_seed_draws_it_again() -> None:
    feedback = ex.check(lambda z, t: t - sm(z))
    example = feedback.example
    assert example.inputs["z"].shape == (1, 2)  # as small as it can be, whole numbers
    assert np.all(example.inputs["z"] == np.round(example.inputs["z"]))
    again = ex.try_it(seed=example.seed)
    assert again._fields == ("z", "t")
    np.testing.assert_array_equal(again.z, example.inputs["z"])
    np.testing.assert_array_equal(example.yours["your gradient"], again.t - sm(again.z))
    assert f"seed={example.seed}" in str(feedback)


def test_what_is_said_of_another_draw_names_its_seed() -> None:
    """Where x is positive, the one path has the right sign: the fault shows in another draw."""
    two_paths = load("two_paths")
    feedback = two_paths.check(lambda x: 2 * x * np.exp(2 * x))
    note = next(c.note for c in feedback.credits if c.name == "sign")
    (seed,) = re.findall(r"it should be positive \(seed=(\d+)\)", note)
    assert int(seed) != feedback.example.seed
    assert two_paths.try_it(int(seed)).x[0] < 0 < feedback.example.inputs["x"][0]
    assert "seed" not in next(c.note for c in feedback.credits if c.name == "agreement")


def test_a_variable_keeps_its_letter() -> None:
    diagonal = load("softmax_jacobian").check(lambda z: np.diag(sm(z) * (1 - sm(z))))
    assert "\nLook: each entry has" in str(diagonal)
    assert ">Look: is each step" in ex.check(lambda z, t: sm(z))._repr_html_()
    named = load("l2_penalty").check(
        lambda x, y, w, b, a: (answer_of("l2_penalty")(x, y, w, b, a)[0], np.full(2, b))
    )
    assert "pattern: db has shape" in str(named)


def test_what_is_shown_cannot_spoil_the_next_check() -> None:
    shown = ex.check(lambda z, t: t - sm(z)).example.inputs["z"]
    with pytest.raises(ValueError, match="read-only"):
        shown *= 2
    assert ex.check(right).passed


@pytest.mark.slow
def test_a_seed_begins_other_draws() -> None:
    for start in (17, 5, 123):
        example = ex.check(lambda z, t: t - sm(z), seed=start).example
        assert start <= example.seed < start + DRAWS
        np.testing.assert_array_equal(example.inputs["z"], ex.try_it(example.seed).z)


def test_the_entry_is_the_one_that_is_furthest_off() -> None:
    def off(z: Any, t: Any) -> Any:
        return right(z, t) + 0.25 * (np.arange(z.size).reshape(z.shape) == z.size - 1)

    example = ex.check(off).example
    last = tuple(n - 1 for n in example.inputs["z"].shape)
    assert example.where.startswith(f"entry {last} of your gradient is ")
    assert example.where.endswith("off by +0.25")


@pytest.mark.slow
def test_a_fault_that_only_batches_have_is_shown_in_a_batch() -> None:
    feedback = load("soft_labels").check(lambda z, t, e: sm(z) - (1 - e) * t - e / t.shape[1])
    assert feedback.mistake == "N times too large"
    assert len(feedback.example.inputs["z"]) == 2


def test_no_smaller_example_fails() -> None:
    def wrong(z: Any, t: Any) -> Any:
        return right(z, t) + (len(z) > 1 and z.min() < 0)

    sizes = [z.size for z, _ in map(ex.try_it, range(DRAWS)) if len(z) > 1 and z.min() < 0]
    shown = ex.check(wrong).example.inputs["z"]
    assert shown.size == min(sizes)
    assert len(shown) == 2
    assert np.all(shown == np.round(shown))


def test_draws_have_every_size_and_come_again() -> None:
    for start in (0, 11, 500):
        shapes = {ex.try_it(seed).z.shape for seed in range(start, start + DRAWS)}
        assert {1} < {n for n, _ in shapes}
        assert {2, 3, 4} <= {k for _, k in shapes}
    np.testing.assert_array_equal(ex.try_it(3).z, ex.try_it(3).z)
    assert len({ex.try_it().z.tobytes() for _ in range(20)}) > 10


@pytest.mark.parametrize("seed", [-1, 1.5, "1"])
def test_a_seed_is_a_whole_number(seed: Any) -> None:
    for method in (lambda s: ex.check(right, seed=s), ex.try_it):
        with pytest.raises((ValueError, TypeError), match=r"non-negative|int"):
            method(seed)


def test_what_else_gives_the_same_numbers_is_said() -> None:
    feedback = load("two_paths").check(lambda x: 2 * x * np.exp(2 * x))
    named = "Known mistake: no gradient between x and 2 * x"
    assert feedback.message == f"{named}. The same numbers come of: x ** 2 left out"
    assert "나옵니다" in load("two_paths").check(lambda x: 2 * x * np.exp(2 * x), lang="ko").message


@pytest.mark.parametrize("name", some_quick(["log_derivative", "sigmoid", "softmax_jacobian"], 3))
def test_what_no_draw_tells_apart_is_known_beforehand(name: str) -> None:
    twins = load(name).twins
    assert all(text in same for text, same in twins.items() if same)
    right = [text for text, same in twins.items() if not same]  # a vector is its own transpose
    assert any(text.startswith("transposed") for text in right)
    assert not any(text.startswith("sign flipped: ") for text in right)
