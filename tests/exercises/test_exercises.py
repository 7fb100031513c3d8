"""The exercises: what a learner may do to them, what they say, what they are made of."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import need
from hypothesis import given, settings
from hypothesis import strategies as st
from test_exercise_mistakes import answer_of, sm

import tinygrad_ce.exercises
from tinygrad_ce import Value, grad
from tinygrad_ce.exercises import load, names
from tinygrad_ce.exercises import softmax_cross_entropy as ex
from tinygrad_ce.exercises._check import _asked
from tinygrad_ce.exercises._inputs import DRAWS

FOLDER = Path(tinygrad_ce.exercises.__file__).parent
FILES = [FOLDER / f"{name}.py" for name in names()]


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


class Unspeakable(BaseException):
    def __str__(self) -> str:
        raise ValueError


def unspeakable(z: Any, t: Any) -> Any:
    raise Unspeakable


def evaluates(z: Any, t: Any) -> Any:
    return eval("1 +")


async def waits(z: Any, t: Any) -> Any:
    return right(z, t)


class Tracked:
    """As PyTorch's tensors that have a gradient."""

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("use detach()")


TROUBLES: list[tuple[Any, str]] = [
    (3.0, "check wants your function itself, got the number or array it returned"),
    (np.ones((2, 3)), "got the number or array it returned"),
    ([[1.0, 2.0]], "got the number or array it returned"),
    (None, "got None: define gradient(z, t) and pass its name, ex.check(gradient)"),
    ("gradient", "got a str"),
    (takes_z_only, "takes 1 argument (z), but it will be called with 2: gradient(z, t)"),
    (lambda: 0, "takes 0 arguments (none), but"),
    (lambda z, t, e: 0, "takes 3 arguments (z, t, e), but"),
    (lambda z, *, t: 0, "takes t by name only: leave out the * in front, it will be called"),
    (lambda z, t: None, "None: is there a return"),
    (lambda z, t: Value(right(z, t)), "is a Value, a node of a graph: return numbers (its .data)"),
    (lambda z, t: [Value(1.0)], "is a list"),
    (lambda z, t: right, "is a function: call it"),
    (lambda z, t: "p - t", "is a str, wanted an array of real numbers"),
    (lambda z, t: {"z": z}, "is a dict, wanted an array of real numbers"),
    (lambda z, t: {1, 2}, "is a set, wanted"),
    (lambda z, t: (row for row in z), "is a generator: write return in place of yield"),
    (lambda z, t: z > 0, "an array of True and False, wanted"),
    (lambda z, t: True, "is a bool, wanted"),
    (lambda z, t: z + 1j, "an array of complex numbers, wanted"),
    (lambda z, t: right(z, t).astype(np.float16), "float16, which has three digits"),
    (lambda z, t: [[1.0, 2.0], [3.0]], "is a list that makes no array of numbers"),
    (lambda z, t: (right(z, t),), "returns a tuple of 1, wanted an array: is there a comma"),
    (lambda z, t: (right(z, t), t), "returns a tuple of 2, wanted an array"),
    (changes_z, "changes its input z: work on a copy (z.copy())"),
    (misspelt, "`return p - target  # noqa: F821`, stops with NameError: name 'target' is not"),
    (wrong_product, "`return z @ t`, stops with ValueError: matmul"),
    (deep, "stops with a RecursionError: does your function call itself without end?"),
    (says_nothing, "`raise ValueError`, stops with ValueError"),
    (stops, "stops with exit or quit"),
    (lines, "stops with ValueError: one two"),
    (odd_letters, "stops with ValueError: ??[31m"),
    (unspeakable, "`raise Unspeakable`, stops with Unspeakable"),
    (evaluates, """`return eval("1 +")`, stops with SyntaxError: invalid syntax"""),
    (waits, "is async, which returns no numbers: leave out the async"),
    ([[1.0], [1.0, 2.0]], "got the number or array it returned"),
    (lambda t, z: 0, "takes (t, z), but it will be called in another order: gradient(z, t)"),
    (lambda z, t, *, eps: 0, "takes eps by name only"),
    (lambda z, t: Tracked(), "makes no array of numbers: RuntimeError: use detach()"),
    (lambda z, t: right(z, t).astype(object), "an array of Python objects, wanted"),
    (lambda z, t: right(z, t).astype(str), "an array of text, wanted"),
    (np.linalg.solve, "stops with"),
    (functools.partial(right, t=1), "takes"),
]


@pytest.mark.parametrize(("function", "said"), TROUBLES)
def test_what_is_no_answer_is_told_in_a_sentence(function: Any, said: str) -> None:
    feedback = ex.check(function)
    text = str(feedback)
    assert not feedback.passed
    assert feedback.score == 0.0
    assert feedback.mistake is None
    assert said in feedback.said
    assert "\n" not in feedback.said
    assert "Traceback" not in text
    assert "tinygrad_ce" not in text
    json.loads(feedback.to_json())
    assert feedback.exercise in feedback._repr_html_()


def test_the_learners_own_line_is_named_with_its_number() -> None:
    number = misspelt.__code__.co_firstlineno + 2
    assert f"your line {number}, `return p - target" in ex.check(misspelt).said


def test_the_line_is_the_learners_not_a_librarys() -> None:
    assert "np.linalg.inv(t)" in ex.check(lambda z, t: np.linalg.inv(t)).said


def test_a_folder_whose_name_begins_as_ours_is_the_learners() -> None:
    space: dict[str, Any] = {}
    file = f"{FOLDER.parent}_homework/answer.py"
    exec(compile("def f(z, t):\n    return z / missing", file, "exec"), space)
    assert ex.check(space["f"]).said.startswith("your line 2 stops with NameError")


def test_a_line_that_nobody_has_is_left_out() -> None:
    space: dict[str, Any] = {}
    exec("def f(z, t):\n    return z / missing", space)
    assert ex.check(space["f"]).said.startswith("your line 2 stops with NameError")


def test_a_keyboard_interrupt_goes_through() -> None:
    def waits(z: Any, t: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ex.check(waits)


def test_infinities_and_nan_are_told_with_their_entry() -> None:
    over = ex.check(lambda z, t: np.where(t == 1, np.inf, right(z, t)))
    assert re.match(r"entry \(0, \d\) of your gradient is inf: does an exp overflow", over.said)
    assert not over.passed
    assert "Infinity" not in over.to_json()
    assert "is nan" in ex.check(lambda z, t: z * np.nan).said
    fine = ex.check(lambda z, t: (np.exp(z) * np.log(0 * z), right(z, t))[1])  # on the way only
    assert fine.passed


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


@pytest.mark.parametrize("name", names())
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
    assert "returns an array, wanted a tuple of 2: (dW, db)" in two.check(lambda x, *_: x).said
    assert "returns 1 of the 2 wanted: (dW, db)" in two.check(lambda *a: good(*a)[:1]).said
    assert "your db is None" in two.check(lambda *a: (good(*a)[0], None)).said
    assert "None: is there a return" in two.check(lambda *a: None).said
    swapped = two.check(lambda *a: good(*a)[::-1])
    assert re.search(r"\ndW has shape \(\d,\), wanted", str(swapped))


# ------------------------------------------------------------------ credits and the example
def test_credits_are_the_properties_that_the_right_answer_has() -> None:
    asked = {name: [credit for credit, _ in _asked(load(name))] for name in names()}
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
    assert not shapeless["shape"]
    jacobian = load("softmax_jacobian").check(lambda z: np.triu(answer_of("softmax_jacobian")(z)))
    assert not next(c.earned for c in jacobian.credits if c.name == "symmetric")


@pytest.mark.parametrize("name", names())
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
    assert feedback.said == f"{note} (no known pattern)"
    p = next(c.note for c in ex.check(lambda z, t: sm(z)).credits if c.name.startswith("rows"))
    assert p == "your rows sum to 1, they should sum to 0"


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
    assert "\nLook: x reaches L" in str(load("two_paths").check(lambda x: 2 * x * np.exp(2 * x)))
    assert "<strong>Look:</strong> where has" in ex.check(lambda z, t: sm(z))._repr_html_()
    named = load("l2_penalty").check(
        lambda x, y, w, b, a: (answer_of("l2_penalty")(x, y, w, b, a)[0], np.full(2, b))
    )
    assert "\ndb has shape" in str(named)


def test_what_is_shown_cannot_spoil_the_next_check() -> None:
    shown = ex.check(lambda z, t: t - sm(z)).example.inputs["z"]
    with pytest.raises(ValueError, match="read-only"):
        shown *= 2
    assert ex.check(right).passed


def test_a_seed_that_is_asked_for_is_the_example() -> None:
    for seed in (17, 5, 123):
        feedback = ex.check(lambda z, t: t - sm(z), seed=seed)
        assert feedback.example.seed == seed
        np.testing.assert_array_equal(feedback.example.inputs["z"], ex.try_it(seed).z)
        assert f"The failing example, seed={seed}" in str(feedback)


def test_the_entry_is_the_one_that_is_furthest_off() -> None:
    def off(z: Any, t: Any) -> Any:
        return right(z, t) + 0.25 * (np.arange(z.size).reshape(z.shape) == z.size - 1)

    where = ex.check(off, seed=1).example.where
    last = tuple(n - 1 for n in ex.try_it(1).z.shape)
    assert where.startswith(f"entry {last} of your gradient is ")
    assert where.endswith("off by +0.25")


def test_a_fault_that_only_batches_have_is_shown_in_a_batch() -> None:
    feedback = load("soft_labels").check(lambda z, t, e: sm(z) - (1 - e) * t - e / t.shape[1])
    assert feedback.mistake == "the mean's 1/N is missing"
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


@pytest.mark.parametrize("seed", [-1, 1.5, "1", None])
def test_a_seed_is_a_whole_number(seed: Any) -> None:
    if seed is None:
        assert ex.check(right, seed=None).passed
        return
    for method in (lambda s: ex.check(right, seed=s), ex.try_it):
        with pytest.raises(ValueError, match="wanted a whole number from 0 up"):
            method(seed)


# ------------------------------------------------------------------ the gradient check's table
def test_an_unknown_pattern_shows_the_gradient_check() -> None:
    for name in ("softmax_regression", "softmax_jacobian", "hessian_of_cross_entropy", "sigmoid"):
        good = answer_of(name)

        def bent(*args: Any, good: Any = good) -> Any:
            found = good(*args)
            if isinstance(found, tuple):
                return (found[0] + 0.7, *found[1:])
            return found + 0.7 * (np.arange(found.size).reshape(found.shape) == found.size - 1)

        feedback = load(name).check(bent)
        assert "no known pattern" in feedback.said
        head, _, *rows = feedback.table.splitlines()
        assert head.startswith("gradcheck: fail")
        assert [row.split()[0] for row in rows] == [*load(name).wrt]
        assert "7.0e-01" in rows[0]
        assert feedback.table in str(feedback)


def test_a_known_mistake_does_not_need_the_table() -> None:
    assert ex.check(lambda z, t: sm(z)).table == ""


# ------------------------------------------------------------------ hints, task, solution
def test_hints_come_one_after_the_other_and_end() -> None:
    fresh = load("sigmoid")
    fresh._hinted = 0
    shown = [str(fresh.hint()) for _ in range(len(fresh.hints) + 1)]
    assert shown[0].startswith("The sigmoid: hint 1 of 3")
    assert shown[1] != shown[0]
    assert "This is the last hint; solution() shows the rest." in shown[-1]
    assert shown[-1] == shown[-2]
    assert str(fresh.hint(1)) == shown[0]
    with pytest.raises(ValueError, match="hint: got 9, there are hints 1 to 3"):
        fresh.hint(9)


@pytest.mark.parametrize("name", names())
def test_an_exercise_shows_its_task_and_no_answer(name: str) -> None:
    one = load(name)
    shown = str(one) + one._repr_html_() + str(one._repr_latex_())
    assert one.call in str(one)
    assert one.formula in str(one)
    assert len(one.hints) >= 3
    code = one.solved.code.splitlines()[-1].removeprefix("    return ")
    assert code not in shown
    assert one.solved.latex not in shown
    solution = one.solution()
    assert one.solved.latex in str(solution)
    assert one.solved.latex == solution._repr_latex_().strip("$")
    assert one.solved.code in str(solution)


@pytest.mark.parametrize("name", names())
def test_formulas_are_latex_that_can_be_typeset(name: str) -> None:
    converter = need("latex2mathml.converter")
    for latex in (load(name).latex, load(name).solved.latex):
        assert "\\" not in re.sub(r"<.*?>", "", converter.convert(latex))


@pytest.mark.parametrize("name", names())
def test_a_check_reads_no_solution(name: str, monkeypatch: Any) -> None:
    """No expected answer is stored: without the solution, and in a fresh place, it judges alike."""
    good = answer_of(name)
    monkeypatch.delattr(load(name), "solved")
    assert load(name).check(good, seed=77).passed
    assert not load(name).check(lambda *args: args[0], seed=77).passed


def test_json_has_all_of_it_for_a_teacher() -> None:
    report = json.loads(ex.check(lambda z, t: sm(z)).to_json())
    assert report["exercise"] == "softmax_cross_entropy"
    assert report["passed"] is False
    assert report["mistake"] == "target forgotten"
    assert report["score"] == pytest.approx(3 / 7)
    assert report["credits"][3]["note"] == "your rows sum to 1, they should sum to 0"
    assert report["example"]["inputs"]["t"] in ([[0.0, 1.0]], [[1.0, 0.0]])
    assert json.loads(ex.check(right).to_json())["passed"] is True
    assert bool(ex.check(right)) is True


# ------------------------------------------------------------------ adding one
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_exercise_is_one_file_of_at_most_60_lines(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 60
    own = re.findall(r"^from \.(\w*) import", text, re.MULTILINE)
    assert set(own) <= {"_exercise", "_inputs", "_mistakes"}


def test_the_rest_reads_in_the_order_that_the_docstring_gives() -> None:
    order = re.findall(r"^  (_\w+)\.py", tinygrad_ce.exercises.__doc__ or "", re.MULTILINE)
    assert set(order) == {path.stem for path in FOLDER.glob("_[a-z]*.py")}
    for i, name in enumerate(order):
        text = (
            (FOLDER / f"{name}.py").read_text(encoding="utf-8").replace("TYPE_CHECKING:\n    ", "")
        )
        own = re.findall(r"^from \.(\w+) import", text, re.MULTILINE)
        assert set(own) - set(order[:i]) <= ({"_exercise"} if name == "_check" else set()), name


NEW = '''"""A new one."""

import numpy as np

from tinygrad_ce.exercises._exercise import Exercise, Solution
from tinygrad_ce.exercises._inputs import real
from tinygrad_ce.exercises._mistakes import of_loss


def loss(x):
    """L = Σ x³."""
    return (x**3).sum()


exercise = Exercise(
    file=__name__,
    level=15,
    title="The cube",
    task="Return ∂L/∂x.",
    formula="L = Σ x³",
    latex=r"L = \\sum_i x_i^3",
    loss=loss,
    inputs={"x": real("N")},
    wrt=["x"],
    mistakes=[of_loss("square", "which power?", lambda x: (x**2).sum())],
    hints=["The power rule."],
    solved=Solution("3x²", "3 x^2", "def gradient(x):\\n    return 3 * x**2"),
)
'''


def test_the_readme_counts_them() -> None:
    readme = (FOLDER.parents[1] / "README.md").read_text(encoding="utf-8")
    assert "\nSixteen of them" in readme
    assert len(names()) == 16


def test_a_new_file_is_found(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "cube.py").write_text(NEW, encoding="utf-8")
    monkeypatch.setattr(tinygrad_ce.exercises, "__path__", [str(FOLDER), str(tmp_path)])
    assert "cube" in names()
    from tinygrad_ce.exercises import cube

    assert cube.check(lambda x: 3 * x**2).passed
    assert cube.check(lambda x: 2 * x).mistake == "square"
    assert names().index("cube") == 1
    del sys.modules["tinygrad_ce.exercises.cube"]


def test_a_type_checker_knows_an_exercise_for_one(tmp_path: Path) -> None:
    need("mypy")
    asked = "".join(
        f"from tinygrad_ce.exercises import {name}\n{name}_passed: bool = {name}.check().passed\n"
        for name in names()
    )
    (tmp_path / "user.py").write_text(asked, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "user.py"]
    env = os.environ | {"MYPYPATH": str(FOLDER.parents[1])}
    run = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout


def test_an_exercise_is_itself_however_it_is_imported() -> None:
    code = (
        "import tinygrad_ce.exercises.sigmoid, tinygrad_ce.exercises as e; print(e.sigmoid.name); "
        "print(e.softmax_vjp.name); print(hasattr(e, 'nonsense'))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["sigmoid", "softmax_vjp", "False"]


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


@settings(max_examples=300)
@given(ODD, st.sampled_from(["softmax_cross_entropy", "softmax_regression", "softmax_jacobian"]))
def test_whatever_a_function_returns_is_judged(odd: Any, name: str) -> None:
    feedback = load(name).check(lambda *args: odd)
    assert not feedback.passed
    assert feedback.mistake is None
    assert 0.0 <= feedback.score < 1.0
    assert feedback.said
    json.loads(feedback.to_json())
    assert "Traceback" not in str(feedback) + feedback._repr_html_()


def test_what_has_no_array_to_give_is_told() -> None:
    class Broken:
        def __array__(self, *args: Any, **kwargs: Any) -> Any:
            raise AttributeError("no")

    assert "makes no array of numbers" in ex.check(lambda z, t: Broken()).said


def test_a_function_is_heard_once(capsys: Any) -> None:
    def talks(z: Any, t: Any) -> Any:
        print("shape", z.shape)
        return right(z, t)

    assert ex.check(talks).passed
    assert capsys.readouterr().out == "shape (1, 2)\n"


def test_check_without_a_function_says_what_it_wants() -> None:
    assert "define gradient(z, t)" in ex.check().said


def test_of_two_mistakes_that_look_alike_none_is_named() -> None:
    twin = ex.mistakes[0]._replace(name="a twin")
    doubtful = dataclasses.replace(ex, mistakes=[*ex.mistakes, twin])
    assert ex.check(lambda z, t: sm(z)).mistake == ex.mistakes[0].name
    feedback = doubtful.check(lambda z, t: sm(z))
    assert feedback.mistake is None
    assert "no known pattern" in feedback.said
