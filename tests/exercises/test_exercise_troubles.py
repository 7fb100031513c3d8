"""What is no answer is told in a sentence, whatever a function does or returns."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
import sysconfig
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.answers import sm
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_ce.exercises
from tinygrad_ce import Value
from tinygrad_ce.exercises import load
from tinygrad_ce.exercises import softmax_cross_entropy as ex

FOLDER = Path(tinygrad_ce.exercises.__file__).parent


def right(z: Any, t: Any) -> Any:
    return sm(z) - t


# ------------------------------------------------------------------ what is wrong with a function
def changes_z(z: Any, t: Any) -> Any:
    z -= z.max(axis=1, keepdims=True)
    return sm(z) - t


def takes_z_only(z: Any) -> Any:
    return sm(z)


def misspelt(z: Any, t: Any) -> Any:
    p = sm(z)
    return p - target  # noqa: F821


def wrong_product(z: Any, t: Any) -> Any:
    return z @ t


def deep(z: Any, t: Any) -> Any:
    return deep(z, t)


def says_nothing(z: Any, t: Any) -> Any:
    raise ValueError


def stops(z: Any, t: Any) -> Any:
    raise SystemExit


def lines(z: Any, t: Any) -> Any:
    raise ValueError("one\n  two")


def odd_letters(z: Any, t: Any) -> Any:
    raise ValueError("\ud800\x1b[31m")


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise ValueError


def unspeakable(z: Any, t: Any) -> Any:
    raise Unspeakable


def evaluates(z: Any, t: Any) -> Any:
    return eval("1 +")


class Tracked:
    """As PyTorch's tensors that have a gradient."""

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("use detach()")


WANTED = "wanted real numbers, float32 or finer, in rows of one length"
TROUBLES: list[tuple[Any, str]] = [
    (3.0, "check wants your function, got float"),
    (np.ones((2, 3)), "check wants your function, got ndarray"),
    ([[1.0, 2.0]], "check wants your function, got list"),
    (None, "got NoneType: define gradient(z, t) and pass its name"),
    ("gradient", "got str"),
    (takes_z_only, "gradient(z, t) stops with TypeError: takes_z_only() takes 1 positional"),
    (lambda: 0, "takes 0 positional arguments but 2 were given"),
    (lambda z, t, e: 0, "missing 1 required positional argument: 'e'"),
    (lambda z, *, t: 0, "takes 1 positional argument but 2 were given"),
    (lambda z, t: None, "None: is there a return"),
    (lambda z, t: Value(right(z, t)), f"is Value, {WANTED}"),
    (lambda z, t: [Value(1.0)], f"is list, {WANTED}"),
    (lambda z, t: right, f"is function, {WANTED}"),
    (lambda z, t: "p - t", f"is str of <U5, {WANTED}"),
    (lambda z, t: {"z": z}, f"is dict, {WANTED}"),
    (lambda z, t: {1, 2}, f"is set, {WANTED}"),
    (lambda z, t: (row for row in z), f"is generator, {WANTED}"),
    (lambda z, t: z > 0, f"is ndarray of bool, {WANTED}"),
    (lambda z, t: True, f"is bool of bool, {WANTED}"),
    (lambda z, t: z + 1j, f"is ndarray of complex128, {WANTED}"),
    (lambda z, t: right(z, t).astype(np.float16), f"is ndarray of float16, {WANTED}"),
    (lambda z, t: [[1.0, 2.0], [3.0]], f"is list, {WANTED}"),
    (changes_z, "stops with ValueError: output array is read-only: it changes an input, work on"),
    (misspelt, "`return p - target  # noqa: F821`, stops with NameError: name 'target' is not"),
    (wrong_product, "`return z @ t`, stops with ValueError: matmul"),
    pytest.param(
        deep, "stops with RecursionError: maximum recursion depth exceeded", marks=pytest.mark.slow
    ),
    (says_nothing, "`raise ValueError`, stops with ValueError"),
    (stops, "`raise SystemExit`, stops with SystemExit"),
    (lines, "stops with ValueError: one two"),
    (odd_letters, "stops with ValueError: ??[31m"),
    (unspeakable, "`raise Unspeakable`, stops with test_exercise_troubles.Unspeakable"),
    (evaluates, """`return eval("1 +")`, stops with SyntaxError: invalid syntax"""),
    ([[1.0], [1.0, 2.0]], "check wants your function, got list"),
    (lambda t, z: 0, "takes (t, z), but it will be called as gradient(z, t)"),
    (lambda z, t, *, eps: 0, "missing 1 required keyword-only argument: 'eps'"),
    (lambda z, t: Tracked(), f"is Tracked, {WANTED}"),
    (lambda z, t: right(z, t).astype(object), f"is ndarray of object, {WANTED}"),
    (lambda z, t: right(z, t).astype(str), f"is ndarray of <U32, {WANTED}"),
    (np.linalg.solve, "stops with"),
    (functools.partial(right, t=1), "got multiple values for argument 't'"),
]


@pytest.mark.parametrize(("function", "said"), TROUBLES)
def test_what_is_no_answer_is_told_in_a_sentence(function: Any, said: str) -> None:
    feedback = ex.check(function)
    text = str(feedback)
    assert not feedback.passed
    assert feedback.score == 0.0
    assert feedback.mistake is None
    assert said in feedback.message
    assert "\n" not in feedback.message
    assert "Traceback" not in text
    assert "tinygrad_ce" not in text
    json.loads(feedback.to_json())
    assert feedback.exercise in feedback._repr_html_()


def test_the_learners_own_line_is_named_with_its_number() -> None:
    number = misspelt.__code__.co_firstlineno + 2
    assert f"your line {number}, `return p - target" in ex.check(misspelt).message


def test_the_line_is_the_learners_not_a_librarys() -> None:
    assert "np.linalg.inv(t)" in ex.check(lambda z, t: np.linalg.inv(t)).message


def test_a_folder_whose_name_begins_as_ours_is_the_learners() -> None:
    space: dict[str, Any] = {}
    installed = Path(sysconfig.get_path("purelib"))  # all of which is foreign
    file = f"{installed if installed in FOLDER.parents else FOLDER.parent}_homework/answer.py"
    exec(compile("def f(z, t):\n    return z / missing", file, "exec"), space)
    assert ex.check(space["f"]).message.startswith("No answer: your line 2 stops with NameError")


def test_a_line_that_nobody_has_is_left_out() -> None:
    space: dict[str, Any] = {}
    exec("def f(z, t):\n    return z / missing", space)
    assert ex.check(space["f"]).message.startswith("No answer: your line 2 stops with NameError")


def test_a_keyboard_interrupt_goes_through() -> None:
    def waits(z: Any, t: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ex.check(waits)


def test_infinities_and_nan_are_told_with_their_entry() -> None:
    over = ex.check(lambda z, t: np.where(t == 1, np.inf, right(z, t)))
    said = r"Not finite: entry \(0, \d\) of your gradient is inf: does an exp overflow"
    assert re.match(said, over.message)
    assert not over.passed
    assert "Infinity" not in over.to_json()
    assert "is nan" in ex.check(lambda z, t: z * np.nan).message
    fine = ex.check(lambda z, t: (np.exp(z) * np.log(0 * z), right(z, t))[1])  # on the way only
    assert fine.passed


# ------------------------------------------------------------------ whatever it returns
ODD = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=3)
    | st.complex_numbers()
    | st.sampled_from([np.float16(1), np.datetime64(0, "s"), np.array(["a"]), object(), len, int])
    | st.lists(st.floats(width=32), max_size=4).map(np.array)
    | st.integers(0, 3).map(lambda n: np.ones((1, n))),
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner) | st.tuples(inner, inner),
    max_leaves=6,
)  # fmt: skip


@pytest.mark.parametrize("odd", [0.0, 0, np.float64(0.0), np.zeros(())])
def test_a_number_for_all_inputs_is_no_known_mistake(odd: Any) -> None:
    """0 is also the sum of p - t."""
    assert load("softmax_cross_entropy").check(lambda *args: odd).mistake is None


@pytest.mark.slow
@settings(max_examples=120)
@given(ODD, st.sampled_from(["softmax_cross_entropy", "softmax_regression", "softmax_jacobian"]))
def test_whatever_a_function_returns_is_judged(odd: Any, name: str) -> None:
    feedback = load(name).check(lambda *args: odd)
    assert not feedback.passed
    assert feedback.mistake is None
    assert 0.0 <= feedback.score < 1.0
    assert feedback.message
    json.loads(feedback.to_json())
    assert "Traceback" not in str(feedback) + feedback._repr_html_()


def test_what_has_no_array_to_give_is_told() -> None:
    class Broken:
        def __array__(self, *args: Any, **kwargs: Any) -> Any:
            raise AttributeError("no")

    assert f"is Broken, {WANTED}" in ex.check(lambda z, t: Broken()).message


@pytest.mark.parametrize("function", [lambda z, t: (sm(z) - t,), lambda z, t: (sm(z) - t, t)])
def test_a_tuple_of_arrays_has_another_shape(function: Any) -> None:
    feedback = ex.check(function)
    assert not feedback.passed
    n = len(function(*ex.try_it()))
    assert f"your gradient has shape ({n}, 1, 2), wanted (1, 2)" in str(feedback)


def test_a_function_is_heard_once(capsys: Any) -> None:
    def talks(z: Any, t: Any) -> Any:
        print("shape", z.shape)
        return right(z, t)

    assert ex.check(talks).passed
    assert capsys.readouterr().out == "shape (1, 2)\n"


def test_check_without_a_function_says_what_it_wants() -> None:
    assert "define gradient(z, t)" in ex.check().message


@pytest.mark.slow
def test_of_two_mistakes_that_look_alike_the_first_is_named() -> None:
    """A teacher's own come before those that are derived."""
    twins = {"a twin: which?": lambda z, t: sm(z), "the other: which?": lambda z, t: sm(z)}
    for known, named in ((twins, "a twin"), ({}, "t left out")):
        assert dataclasses.replace(ex, mistakes=known).check(lambda z, t: sm(z)).mistake == named
