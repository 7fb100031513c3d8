"""The example assignment, released, handed in and graded by nbgrader itself."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import found, need

pytestmark = pytest.mark.slow  # it runs nbgrader
SOURCE = Path(__file__).parents[2] / "notebooks" / "assignment" / "source"
NAME = "gradients"
HALF = """def gradient(z, t):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)"""
NAIVE = """def gradient(z, t):
    e = np.exp(z)
    return e / e.sum(axis=1, keepdims=True) - t"""
NO_MEAN = """def gradient(z, t, e):
    p = np.exp(z)
    return p / p.sum(axis=1, keepdims=True) - (1 - e) * t - e / t.shape[1]"""


def sources(path: Path) -> dict[str, str]:
    """The cells of a notebook, by the names that nbgrader knows them by."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return {c["metadata"]["nbgrader"]["grade_id"]: "".join(c["source"]) for c in cells}


@pytest.fixture(scope="module")
def course(tmp_path_factory: Any) -> Path:
    """A course with the assignment released, right, naive and wrong submissions, graded."""
    need("nbgrader")
    folder: Path = tmp_path_factory.mktemp("course")
    shutil.copytree(found(SOURCE, "the assignment"), folder / "source")
    (folder / "nbgrader_config.py").write_text(
        f"c = get_config()\nc.CourseDirectory.root = {str(folder)!r}\n"
        "c.CourseDirectory.course_id = 'tinygrad'\n",
        encoding="utf-8",
    )
    nbgrader(folder, "generate_assignment", NAME)
    released = folder / "release" / NAME / f"{NAME}.ipynb"
    right = sources(SOURCE / NAME / f"{NAME}.ipynb")
    hand_in(
        folder, "right", released, {"answer_1": right["answer_1"], "answer_2": right["answer_2"]}
    )
    hand_in(folder, "naive", released, {"answer_1": NAIVE, "answer_2": right["answer_2"]})
    hand_in(folder, "wrong", released, {"answer_1": HALF, "answer_2": NO_MEAN})
    nbgrader(folder, "autograde", NAME)
    return folder


def nbgrader(folder: Path, *command: str) -> None:
    root = str(Path(__file__).parents[2])
    home = str(folder / "home")  # nothing of this machine's own settings
    near = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # it calls alembic
    env = os.environ | {"PYTHONPATH": root, "HOME": home, "PATH": near}
    run = subprocess.run(
        [sys.executable, "-m", "nbgrader", *command],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr


def hand_in(folder: Path, student: str, released: Path, answers: dict[str, str]) -> None:
    book = json.loads(released.read_text(encoding="utf-8"))
    for cell in book["cells"]:
        name = cell["metadata"]["nbgrader"]["grade_id"]
        cell["source"] = answers.get(name, cell["source"])
    target = folder / "submitted" / student / NAME
    target.mkdir(parents=True)
    (target / released.name).write_text(json.dumps(book), encoding="utf-8")


def scores(folder: Path, student: str) -> dict[str, float]:
    api = need("nbgrader.api")
    with api.Gradebook(f"sqlite:///{folder / 'gradebook.db'}") as book:
        graded = book.find_submission(NAME, student).notebooks[0].grades
        return {grade.name: grade.score for grade in graded}


def test_a_student_gets_no_answer(course: Path) -> None:
    released = sources(course / "release" / NAME / f"{NAME}.ipynb")
    for name in ("answer_1", "answer_2"):
        assert "NotImplementedError" in released[name]
        assert "exp" not in released[name]
    assert "2026" not in released["test_2"]


def test_the_right_submission_gets_all_points(course: Path) -> None:
    assert scores(course, "right") == {"test_1": 7.0, "test_2": 4.0}


def test_an_exp_that_overflows_costs_a_point(course: Path) -> None:
    assert scores(course, "naive") == {"test_1": pytest.approx(6.0), "test_2": 4.0}


def test_the_wrong_submission_gets_what_it_has_earned(course: Path) -> None:
    """Shape, shift invariance and exp are right: 3 of 7; a gradient N times too large is not."""
    assert scores(course, "wrong") == {"test_1": pytest.approx(3.0), "test_2": 0.0}


def test_the_teacher_reads_which_mistake_it_was(course: Path) -> None:
    graded = (course / "autograded" / "wrong" / NAME / f"{NAME}.ipynb").read_text(encoding="utf-8")
    assert "Known mistake: t left out" in graded
    assert "Known mistake: N times too large" in graded
