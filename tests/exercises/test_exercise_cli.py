"""``tinygrad-ce exercise``."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import need, some_quick

from tinygrad_ce import __main__ as tour
from tinygrad_ce.exercises import load, names

RIGHT = """import numpy as np


def gradient(z, t):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True) - t
"""
FLIPPED = RIGHT.replace("- t\n", "\n").replace("return e", "return t - e")
NAME = "softmax_cross_entropy"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: Any) -> Path:
    """A folder of the test's own, which is the user's data folder as well."""
    monkeypatch.chdir(tmp_path)
    for variable in ("XDG_DATA_HOME", "HOME", "LOCALAPPDATA", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path / "home"))
    return tmp_path


def run(*argv: str) -> int:
    return tour.main(["exercise", *argv])


def answer(text: str, name: str = "answer.py") -> str:
    Path(name).write_text(text, encoding="utf-8")
    return name


def refused(capsys: Any, *argv: str) -> str:
    with pytest.raises(SystemExit) as stop:
        run(*argv)
    assert stop.value.code == 2
    err = str(capsys.readouterr().err)
    assert err.count("\n") == 1
    return err


def test_it_lists_every_exercise(capsys: Any) -> None:
    assert run() == 0
    out = capsys.readouterr().out
    assert re.findall(r"^ {6}(\w+) ", out, re.MULTILINE) == names()
    assert "done" not in out


@pytest.mark.parametrize("name", names())
def test_it_shows_a_task_and_what_to_type_next(capsys: Any, name: str) -> None:
    assert run(name) == 0
    out = capsys.readouterr().out
    assert load(name).formula in out
    assert f"Write {load(name).call}." in out
    assert "--file answer.py" in out
    assert "--hint" in out
    assert "ex." not in out
    prose = [line for line in out.splitlines() if not line.startswith("  ")]  # formulas stay whole
    assert max(map(len, prose)) <= 80


@pytest.mark.parametrize("name", some_quick(names(), 5))
def test_what_a_check_says_fits_a_terminal(name: str) -> None:
    one = load(name)
    for odd in (lambda *args: [[0.123456789] * 20], lambda *args: args[0] * 1.2345):
        assert max(map(len, str(one.check(odd)).splitlines())) <= 80


def test_hints_one_by_one_and_the_solution(capsys: Any) -> None:
    for number in (1, 2, 3):
        assert run(NAME, "--hint", str(number)) == 0
        out = capsys.readouterr().out
        assert f"hint {number} of 3" in out
    assert run(NAME, "--hint") == 0
    assert "hint 1 of 3" in capsys.readouterr().out
    assert run(NAME, "--solution") == 0
    assert "def gradient(z, t):" in capsys.readouterr().out


def test_a_file_is_checked_and_the_status_says_how_it_went(capsys: Any) -> None:
    assert run(NAME, "--file", answer(RIGHT)) == 0
    assert f"{NAME}: passed, 7 of 7" in capsys.readouterr().out
    assert run(NAME, "--file", answer(FLIPPED)) == 1
    assert "Known mistake: sign flipped" in capsys.readouterr().out


@pytest.mark.slow
def test_feedback_names_what_a_terminal_has(capsys: Any) -> None:
    for text, status in ((RIGHT.replace(" - z.max(axis=1, keepdims=True)", ""), 0), (FLIPPED, 1)):
        assert run(NAME, "--file", answer(text)) == status
        out = capsys.readouterr().out
        assert "ex." not in out
        assert "\nSmallest failing example, seed=0:\n" in out


@pytest.mark.parametrize(
    ("text", "said"),
    some_quick(
        [
            (
                "def f(:\n",
                "No answer: your line 1, `def f(:`, stops with SyntaxError: invalid syntax",
            ),
            ("x = 1\n\ny = x + z\n", "your line 3, `y = x + z`, stops with NameError"),
            ("", "there is no function gradient(z, t) in answer.py"),
            ("def grad(z, t):\n    return z\n", "there is no function gradient(z, t) in answer.py"),
            ("import sys\nsys.exit(3)\n", "your line 2, `sys.exit(3)`, stops with SystemExit: 3"),
            ("gradient = 3\n", "there is no function gradient(z, t) in answer.py"),
            ("import nowhere_to_be_found\n", "stops with ModuleNotFoundError"),
            (
                "\0",
                "your file stops with SyntaxError: source code string cannot contain null bytes",
            ),
            ("class B(Exception): pass\nraise B\n", "your line 2, `raise B`, stops with"),
            (
                "def gradient(z, t):\n    return z.nonsense\n",
                "your line 2, `return z.nonsense`, stops",
            ),
        ],
        3,
    ),
)
def test_what_is_wrong_with_a_file_is_told_in_a_sentence(capsys: Any, text: str, said: str) -> None:
    assert run(NAME, "--file", answer(text)) == 1
    out, err = capsys.readouterr()
    assert said in " ".join(out.split())
    assert "Traceback" not in out + err
    assert "tinygrad_ce" not in out
    assert out.startswith(f"{NAME}: not yet, 0 of 7\n")


@pytest.mark.parametrize("first", ["", "from __future__ import annotations\n", "\ufeff"])
def test_a_file_is_run_as_python_runs_it(first: str) -> None:
    """A dataclass looks for its module; the file has no __future__ that it does not ask for."""
    kind = "from dataclasses import dataclass\n\n@dataclass\nclass A:\n    x: float = 1.0\n\n"
    noted = "'float'" if "annotations" in first else "float"
    asked = f"assert A().x == 1.0\nassert A.__annotations__['x'] == {noted}\n"
    assert run(NAME, "--file", answer(f"{first}{kind}{asked}{RIGHT}")) == 0


def test_what_a_broken_import_says_is_the_learners_line(capsys: Any) -> None:
    answer("x = (\n", "broken.py")
    assert run(NAME, "--file", answer("\nimport broken\n")) == 1
    out = " ".join(capsys.readouterr().out.split())
    assert "your line 2, `import broken`, stops with SyntaxError" in out


def test_a_file_may_import_what_lies_beside_it(capsys: Any, folder: Path) -> None:
    (folder / "sub").mkdir()
    answer("def softmax(z):\n    return z\n", "sub/beside_it.py")
    path = answer(f"import beside_it\n{RIGHT}", "sub/answer.py")
    before = list(sys.path)
    assert run(NAME, "--file", path) == 0
    assert sys.path == before


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["nonsense"], "invalid choice: 'nonsense' (choose from"),
        (["command"], "invalid choice: 'command'"),
        (["framework"], "invalid choice: 'framework'"),
        ([NAME, "--file", "nowhere.py"], "--file: there is no file nowhere.py"),
        ([NAME, "--file", "."], "--file: there is no file ."),
        ([NAME, "--keep-progress"], "--keep-progress goes with --file"),
        ([NAME, "--hint", "--solution"], "not allowed with argument"),
        ([NAME, "--hint", "--file", "answer.py"], "not allowed with argument"),
        ([NAME, "--hint", "4"], "hint: got 4, there are hints 1 to 3"),
        ([NAME, "--hint", "x"], "invalid int value: 'x'"),
        (["--hint"], "which exercise?"),
        (["--file", "answer.py"], "which exercise?"),
        ([NAME, "--nonsense"], "unrecognized arguments"),
    ],
)
def test_a_bad_argument_gets_one_line(capsys: Any, argv: list[str], said: str) -> None:
    answer(RIGHT)
    assert said in refused(capsys, *argv)


# ------------------------------------------------------------------ progress
@pytest.mark.slow
def test_progress_is_kept_only_where_that_is_asked_for(capsys: Any, folder: Path) -> None:
    need("platformdirs")
    assert run(NAME, "--file", answer(RIGHT)) == 0
    assert not (folder / "home").exists()
    assert run(NAME, "--file", answer(FLIPPED), "--keep-progress") == 1
    assert not (folder / "home").exists()
    assert run(NAME, "--file", answer(RIGHT), "--keep-progress") == 0
    kept = [path for path in (folder / "home").rglob("*") if path.is_file()]
    assert [path.name for path in kept] == [NAME]
    assert str(kept[0].parent) in capsys.readouterr().err
    assert run(NAME, "--file", answer(FLIPPED), "--keep-progress") == 1  # does not undo it
    capsys.readouterr()
    assert run() == 0
    out = capsys.readouterr().out
    assert re.search(rf"^done  {NAME} ", out, re.MULTILINE)
    assert out.count("done") == 1


def test_progress_that_cannot_be_kept_is_told_in_a_line(capsys: Any, folder: Path) -> None:
    need("platformdirs")
    (folder / "home").write_text("a file where a folder should be", encoding="utf-8")
    with pytest.raises(SystemExit):
        run(NAME, "--file", answer(RIGHT), "--keep-progress")
    out, err = capsys.readouterr()
    assert "passed, 7 of 7" in out
    assert str(folder / "home") in err
    assert err.count("\n") == 1
    assert run() == 0


def test_without_platformdirs_it_says_what_to_install(monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setitem(sys.modules, "platformdirs", None)
    err = refused(capsys, NAME, "--file", answer(RIGHT), "--keep-progress")
    assert 'pip install "tinygrad_ce[exercises]"' in err
    assert run() == 0
    assert run(NAME, "--file", "answer.py") == 0


# ------------------------------------------------------------------ as a command
LOOP = "    while True:\n        pass\n"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT to send to a process")
@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"print(1, flush=True)\nif True:\n{LOOP}", marks=pytest.mark.slow),
        f"def gradient(z, t):\n    print(1, flush=True)\n{LOOP}",
    ],
)
def test_an_endless_loop_is_stopped_by_ctrl_c_in_one_line(text: str) -> None:
    # A job in the background does not hear it, nor do its children.
    heard = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
    module = "import runpy\nrunpy.run_module('tinygrad_ce', run_name='__main__')\n"
    file = answer(heard + text)
    command = [sys.executable, "-c", heard + module, "exercise", NAME, "--file", file]
    env = os.environ | {"PYTHONPATH": str(Path(tour.__file__).parents[1])}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=env, text=True, **pipes) as process:
        assert process.stdout.readline() == "1\n"  # it is in the loop
        process.send_signal(signal.SIGINT)
        rest, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert (rest, said) == ("", "stopped\n")


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_as_a_command_in_any_terminal(encoding: str) -> None:
    env = os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    env["PYTHONPATH"] = str(Path(tour.__file__).parents[1])
    command = [sys.executable, "-W", "error", "-m", "tinygrad_ce", "exercise", NAME]
    done = subprocess.run([*command, "--file", answer(FLIPPED)], capture_output=True, env=env)
    assert done.returncode == 1
    assert b"not yet, 5 of 7" in done.stdout
    assert done.stderr == b""
    shown = subprocess.run(command, capture_output=True, env=env)
    assert "−" in shown.stdout.decode("utf-8")


def test_the_tour_tells_of_the_exercises(capsys: Any) -> None:
    with pytest.raises(SystemExit):
        tour.main(["--help"])
    assert "tinygrad-ce exercise" in capsys.readouterr().out
