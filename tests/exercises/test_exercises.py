"""The exercises: hints, tasks, solutions, and how one is added."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import need
from helpers.answers import answer_of, sm

import tinygrad_ce.exercises
from tinygrad_ce import cross_entropy, jacobian
from tinygrad_ce.exercises import load, names
from tinygrad_ce.exercises import softmax_cross_entropy as ex
from tinygrad_ce.exercises.framework import Exercise, one_hot, real, scalar

FOLDER = Path(tinygrad_ce.exercises.__file__).parent / "tasks"
FILES = [FOLDER / f"{name}.py" for name in names()]


def right(z: Any, t: Any) -> Any:
    return sm(z) - t


def fold(text: str) -> str:
    return " ".join(text.split())


# ------------------------------------------------------------------ hints, task, solution
def test_hints_come_one_after_the_other_and_end() -> None:
    fresh = dataclasses.replace(load("sigmoid"))
    shown = [str(fresh.hint()) for _ in range(len(fresh.hints) + 1)]
    assert shown[0].startswith("The sigmoid: hint 1 of 3")
    assert shown[1] != shown[0]
    assert shown[-1].startswith("The sigmoid: hint 3 of 3")
    assert shown[-1] == shown[-2]
    assert str(fresh.hint(1)) == shown[0]
    with pytest.raises(ValueError, match="hint: got 9, there are hints 1 to 3"):
        fresh.hint(9)


@pytest.mark.parametrize("name", names())
def test_an_exercise_shows_its_task_and_no_answer(name: str) -> None:
    one = load(name)
    shown = str(one) + one._repr_html_()
    assert one.call in str(one)
    assert one.formula in str(one)
    assert len(one.hints) >= 3
    code = one.code.splitlines()[-1]
    assert code not in shown
    assert one.result not in shown
    solution = one.solution()
    assert one.result in str(solution)
    assert f"  {escape(one.result)}<" in solution._repr_html_()
    assert one.source in str(solution)
    assert all(hint in fold(str(solution)) for hint in map(fold, one.hints))


@pytest.mark.slow
@pytest.mark.parametrize("name", names())
def test_a_check_reads_no_solution(name: str) -> None:
    """No expected answer is stored: without the solution, and in a fresh place, it judges alike."""
    unsolved = dataclasses.replace(load(name), hints=[], result="", code="")
    assert unsolved.check(answer_of(name), seed=77).passed
    assert not unsolved.check(lambda *args: args[0], seed=77).passed


def test_json_has_all_of_it_for_a_teacher() -> None:
    report = json.loads(ex.check(lambda z, t: sm(z)).to_json())
    assert report["exercise"] == "softmax_cross_entropy"
    assert report["passed"] is False
    assert report["mistake"] == "t left out"
    assert report["score"] == pytest.approx(3 / 7)
    assert report["credits"][3]["note"] == "your rows sum to 1, they should sum to 0"
    assert report["example"]["inputs"]["t"] in ([[0.0, 1.0]], [[1.0, 0.0]])
    assert json.loads(ex.check(right).to_json())["passed"] is True
    assert bool(ex.check(right)) is True


# ------------------------------------------------------------------ adding one
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_exercise_is_one_file_of_at_most_50_lines(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 50
    rooms = re.findall(r"^from \.\.(\w*) import", text, re.MULTILINE)
    assert rooms == ["framework"] or (rooms == [""] and path.stem.startswith("engine_"))


NEW = '''"""A new one."""

import numpy as np

from tinygrad_ce import grad
from tinygrad_ce.exercises.framework import Exercise, real


def loss(x):
    """L = Σ x³."""
    return (x**3).sum()


exercise = Exercise(
    file=__name__,
    level=15,
    title="The cube",
    task="Return ∂L/∂x.",
    formula="L = Σ x³",
    loss=loss,
    inputs={"x": real("N")},
    wrt=["x"],
    mistakes={"square: which power?": grad(lambda x: (x**2).sum())},
    hints=["The power rule."],
    result="3 x²",
    code="return 3 * x**2",
)
'''


def test_the_readme_counts_them() -> None:
    root = Path(__file__).parents[2]
    assert "\nNineteen exercises" in (root / "README.md").read_text(encoding="utf-8")
    assert "\nNineteen of them" in (root / "notebooks" / "guide.md").read_text(encoding="utf-8")
    assert len(names()) == 19


def test_a_new_file_is_found(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "cube.py").write_text(NEW, encoding="utf-8")
    monkeypatch.setattr(tinygrad_ce.exercises.tasks, "__path__", [str(FOLDER), str(tmp_path)])
    assert "cube" in names()
    from tinygrad_ce.exercises import cube

    assert cube.check(lambda x: 3 * x**2).passed
    assert cube.check(lambda x: 2 * x).mistake == "square"
    assert cube.check(lambda x: 6 * x**2).mistake == "a factor 2 too many"
    assert names().index("cube") == 1
    del sys.modules["tinygrad_ce.exercises.tasks.cube"]


def test_a_loss_may_ask_for_plain_targets_and_lists_no_mistakes() -> None:
    mean = dataclasses.replace(
        ex, loss=lambda z, t: cross_entropy(z, t.argmax(axis=1)), mistakes={}
    )
    assert mean.check(lambda z, t: right(z, t) / len(z)).passed
    assert mean.check(right).mistake == "N times too large"
    assert mean.check(lambda z, t: -right(z, t) / len(z)).mistake == "sign flipped"


def test_mistakes_are_derived_from_any_loss() -> None:
    """A tanh layer with squared errors, which is no exercise of ours and lists no mistakes."""

    def loss(X: Any, w: Any, y: Any) -> Any:
        h = np.tanh(X @ w)
        return ((h - y) ** 2).mean()

    inputs = {"X": real("N", "D"), "w": real("D"), "y": real("N")}
    neuron = Exercise(loss=loss, inputs=inputs, wrt=["w"])

    def answer(X: Any, w: Any, y: Any) -> Any:
        h = np.tanh(X @ w)
        return 2 / len(X) * X.T @ ((h - y) * (1 - h**2))

    def named(change: Callable[..., Any]) -> Any:
        """The mistake in an answer made of X, the errors, the slopes of tanh, and N."""

        def wrong(X: Any, w: Any, y: Any) -> Any:
            h = np.tanh(X @ w)
            return change(X, h - y, 1 - h**2, len(X))

        return neuron.check(wrong).mistake

    assert neuron.check(answer).passed
    assert named(lambda X, e, s, n: -2 / n * X.T @ (e * s)) == "sign flipped"
    assert named(lambda X, e, s, n: 2 * X.T @ (e * s)) == "N times too large"
    assert named(lambda X, e, s, n: 1 / n * X.T @ (e * s)) == "a factor 2 missing"
    assert named(lambda X, e, s, n: 2 / n * X.T @ e) == "the slope of h by X @ w left out"
    assert (
        named(lambda X, e, s, n: 2 / n * X.T @ (e * s**2)) == "the slope of h by X @ w taken twice"
    )
    assert named(lambda X, e, s, n: np.mean(e**2)) == "the loss itself"
    assert neuron.check(lambda X, w, y: answer(X, w, 0 * y)).mistake == "y forgotten"


def test_an_exercise_needs_a_loss_and_its_inputs_and_derives_the_rest() -> None:
    def my_loss(z: Any, t: Any) -> Any:
        e = np.exp(z)
        p = e / e.sum(axis=1, keepdims=True)
        return -(t * np.log(p)).sum() / len(z)

    mine = Exercise(loss=my_loss, inputs={"z": real("N", "K"), "t": one_hot("N", "K")}, wrt=["z"])
    assert mine.name == mine.title == "my_loss"
    assert "Return ∂L/∂z." in str(mine)
    assert "ex.solution() derives it" in str(mine)
    assert "Σⱼt = 1" in str(mine.solution())
    assert re.search(r"∂L/∂z = .*= \(p − t\) / n", str(mine.solution()), re.DOTALL)
    assert mine.check(lambda z, t: (sm(z) - t) / len(z)).passed
    with pytest.raises(ValueError, match=r"hint: my_loss has none; solution\(\) has all"):
        mine.hint()


@pytest.mark.parametrize("ask", ["check", "solution"])
@pytest.mark.slow
def test_a_loss_may_refuse_inputs_that_are_not_of_their_kind(ask: str) -> None:
    """A target of zeros has no cross-entropy, and a matrix of them no inverse."""

    def fused(z: Any, t: Any, T: Any) -> Any:
        return cross_entropy(z / T, t)

    def inverse(x: Any, d: Any) -> Any:
        return np.linalg.inv(d * np.eye(3)).sum() * x.sum()

    one = {"z": real("N", "K"), "t": one_hot("N", "K"), "T": scalar(1.0, 1.0)}
    for loss, inputs, wrt in (
        (fused, one, ["z"]),
        (inverse, {"x": real("N"), "d": scalar(2.0, 3.0)}, ["x"]),
    ):
        mine = Exercise(loss=loss, inputs=inputs, wrt=wrt)
        if ask == "check":
            twice = mine.check(lambda *args, f=mine.derivative: 2 * f(*args))
            assert twice.mistake == "a factor 2 too many"
        else:
            assert "∂L/∂" in str(mine.solution())


def test_a_jacobian_of_ones_own_is_printed_as_a_program() -> None:
    def p(z: Any) -> Any:
        return np.exp(z) / np.exp(z).sum()

    mine = Exercise(loss=p, inputs={"z": real("K")}, wrt=["z"], derive=jacobian)
    assert "Return the jacobian by z." in str(mine)
    assert "np.diag(p) - np.outer(p, p)" in str(mine.solution())
    assert mine.check(lambda z: np.diag(sm(z)) - np.outer(sm(z), sm(z))).passed


@pytest.mark.slow
def test_a_type_checker_knows_an_exercise_for_one(tmp_path: Path) -> None:
    need("mypy")
    asked = "".join(
        f"from tinygrad_ce.exercises import {name}\n{name}_passed: bool = {name}.check().passed\n"
        for name in names()
    )
    (tmp_path / "user.py").write_text(asked, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "user.py"]
    env = os.environ | {"MYPYPATH": str(FOLDER.parents[2])}
    run = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout


def test_an_exercise_is_an_attribute_of_the_package() -> None:
    code = (
        "import tinygrad_ce.exercises as e; print(e.sigmoid.name); "
        "print(e.softmax_vjp.name); print(hasattr(e, 'nonsense'))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["sigmoid", "softmax_vjp", "False"]
