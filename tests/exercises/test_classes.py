"""What a teacher has: a class's files in a table, results for other programs, own exercises."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tinygrad_ce import __main__ as tour

NAME = "softmax_cross_entropy"
FILES = {
    "ann/answer.py": "print('hello')\ndef gradient(z, t):\n    return softmax(z) - t\n",
    "bob/answer.py": "def gradient(z, t):\n    return softmax(z)\n",
    "carl.py": "def gradient(:\n",
    "dora.py": "def gradient(z, t):\n    return softmax(z)\n",
}
COURSE = """import numpy as np
from tinygrad_ce.exercises import Exercise
from tinygrad_ce.exercises.framework import real

exercise = Exercise(
    file=__name__, loss=lambda x: (x**3).sum(), inputs={"x": real("N")}, wrt=["x"], title="Cubes"
)
"""


@pytest.fixture
def submissions(tmp_path: Path) -> Path:
    folder = tmp_path / "class"
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"from tinygrad_ce import softmax\n{text}", encoding="utf-8")
    return folder


def run(*argv: str) -> int:
    return tour.main(["exercise", *argv])


@pytest.mark.slow
def test_a_table_has_every_file_and_counts_the_mistakes(capsys: Any, submissions: Path) -> None:
    assert run(NAME, "--submissions", str(submissions)) == 0
    first, counts = capsys.readouterr().out.split("\n\n")
    rows = [line.split(None, 2) for line in first.splitlines()]
    assert [row[0].replace("\\", "/") for row in rows] == ["file", *FILES]
    assert [row[1] for row in rows] == ["score", "100%", "43%", "0%", "43%"]
    assert rows[2][2] == "t left out"
    assert "SyntaxError" in rows[3][2]
    assert counts.splitlines()[1].split(None, 1) == ["2", "t left out"]


@pytest.mark.slow
def test_lines_of_json_are_what_check_returns(capsys: Any, submissions: Path) -> None:
    assert run(NAME, "--submissions", str(submissions), "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [x["passed"] for x in lines] == [True, False, False, False]
    assert [x["mistake"] for x in lines] == [None, "t left out", None, "t left out"]
    assert run(NAME, "--file", str(submissions / "ann" / "answer.py"), "--json") == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["score"] == 1.0  # what the answer prints is no part of it
    assert err == "hello\n"


@pytest.mark.slow
def test_gradescope_gets_a_point_for_each_credit(capsys: Any, submissions: Path) -> None:
    written = submissions / "results.json"
    assert run(NAME, "--file", str(submissions / "dora.py"), "--gradescope", str(written)) == 1
    results = json.loads(written.read_text(encoding="utf-8"))
    assert results["output"] == capsys.readouterr().out.removesuffix("\n")
    assert sum(test["score"] for test in results["tests"]) == 3
    assert sum(test["max_score"] for test in results["tests"]) == 7


@pytest.mark.slow
def test_a_teachers_exercise_is_found_in_a_folder(capsys: Any, tmp_path: Path) -> None:
    (tmp_path / "cubes.py").write_text(COURSE, encoding="utf-8")
    (tmp_path / "helper.py").write_text("x = 1\n", encoding="utf-8")
    answer = tmp_path / "answers" / "mine.py"
    answer.parent.mkdir()
    answer.write_text("def gradient(x):\n    return 3 * x**2\n", encoding="utf-8")
    course = ("--folder", str(tmp_path))
    assert run(*course) == 0
    assert capsys.readouterr().out.splitlines()[0].split() == ["cubes", "Cubes"]
    assert run("cubes", *course, "--solution") == 0
    assert "∂L/∂x = 3 · x^2" in capsys.readouterr().out.replace("x²", "x^2")
    assert run("cubes", *course, "--file", str(answer)) == 0
    assert "cubes: passed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--folder", "nowhere"], "no file in nowhere has a line exercise = Exercise(...)"),
        ([NAME, "--submissions", "nowhere"], "--submissions: there is no folder nowhere"),
        ([NAME, "--gradescope", "x.json"], "--gradescope goes with --file"),
        ([NAME, "--json"], "--json goes with --file or --submissions"),
    ],
)
def test_a_bad_argument_gets_one_line(capsys: Any, argv: list[str], said: str) -> None:
    with pytest.raises(SystemExit):
        run(*argv)
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
