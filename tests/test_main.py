"""The tour and its command line."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from conftest import need

from tinygrad_ce import __main__ as tour


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: Any) -> None:
    """What the tour writes, it writes into a folder of the test's own."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def no_iris(monkeypatch: Any) -> None:
    """Leave out the end of the tour, which trains."""
    monkeypatch.setattr(tour, "train", lambda: None)


def printed(capsys: Any, *argv: str) -> str:
    assert tour.main(list(argv)) == 0
    return str(capsys.readouterr().out)


def numbers(line: str) -> list[float]:
    return [float(x) for x in re.findall(r"-?\d+\.\d+", line.replace("−", "-"))]


@pytest.mark.usefixtures("no_iris")
def test_the_walk_ends_where_p_minus_t_stands(capsys: Any) -> None:
    out = printed(capsys)
    walk, _, derivation = out.partition("\nloss L")[0].partition("\n\nThe same in letters")
    p = np.exp([3.2, 1.3, 0.5]) / np.exp([3.2, 1.3, 0.5]).sum()
    np.testing.assert_allclose(numbers(walk.splitlines()[-1]), p - [1, 0, 0], atol=5e-5)
    assert "∂L/∂e += ∂L/∂s = " in walk  # the second of two paths into e
    assert "= ∂L/∂e · e^z\n" in walk
    assert re.search(r"^        = p − t  +t / e · e = t\n\nEach line was", derivation, re.MULTILINE)
    assert max(map(len, (walk + derivation).splitlines())) <= 80


@pytest.mark.usefixtures("no_iris")
def test_four_ways_agree_and_1000_overflows_only_the_textbook(capsys: Any) -> None:
    out = printed(capsys)
    for name in ("composed", "fused node", "finite differences", "complex step"):
        line = next(line for line in out.splitlines() if line.startswith(name))
        assert float(line.split()[-1]) < 1e-11
    assert re.search(r"textbook.*nan", out)
    assert len(re.findall(r"loss   0\.1962   ∂L/∂z \[ -0\.1782", out)) == 2


def test_iris_is_learnt_and_its_gradient_checked(capsys: Any) -> None:
    out = printed(capsys, "--quiet")
    assert re.search(r"150 flowers, 500 steps: loss 0\.0\d+, accuracy 9[78]\.\d%", out)
    assert "gradcheck: pass" in out
    assert "Forward" not in out


def test_iris_is_what_fisher_measured() -> None:
    x, y = tour.iris()
    assert x.shape == (150, 4)
    assert np.bincount(y).tolist() == [50, 50, 50]
    np.testing.assert_allclose(x.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(x.std(axis=0), 1)


@pytest.mark.usefixtures("no_iris")
def test_soft_targets(capsys: Any) -> None:
    out = printed(capsys, "--soft-target", "0.7", "0.2", "0.1", "--quiet")
    line = next(line for line in out.splitlines() if "p − t" in line)
    np.testing.assert_allclose(numbers(line), [0.1218, -0.0771, -0.0448], atol=5e-5)


@pytest.mark.usefixtures("no_iris")
def test_other_logits(capsys: Any) -> None:
    out = printed(capsys, "--logits", "2.0", "1.0", "0.1", "--target", "2", "--quiet")
    np.testing.assert_allclose(
        numbers(next(line for line in out.splitlines() if line.strip().startswith("p "))),
        [0.6590, 0.2424, 0.0986],
        atol=5e-5,
    )


@pytest.mark.usefixtures("no_iris")
def test_logits_of_a_thousand_still_give_an_answer(capsys: Any) -> None:
    out = printed(capsys, "--logits", "1000", "998", "0")
    walk, _, results = out.partition("\nloss L")
    assert "[inf, inf, 1] = [nan, nan, nan]" in walk  # exp(1000) overflowed on the way
    rows = re.findall(
        r"^(?:p − t|composed|fused node).*\[ -0\.1192   0\.1192   0\.0000\]", results, re.M
    )
    assert len(rows) == 4  # the fused node twice


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--logits", "a"], "invalid float value: 'a'"),
        (["--logits", "1"], "two or more finite numbers"),
        (["--logits", "1", "nan"], "two or more finite numbers"),
        (["--logits", "1", "inf"], "two or more finite numbers"),
        (["--target", "3"], "got 3, wanted 0 to 2 for 3 logits"),
        (["--target", "-1"], "got -1, wanted 0 to 2 for 3 logits"),
        (["--target", "x"], "invalid int value: 'x'"),
        (["--soft-target", "0.5", "0.5"], "wanted 3 probabilities that sum to 1"),
        (["--soft-target", "0.5", "0.6", "-0.1"], "wanted 3 probabilities that sum to 1"),
        (["--soft-target", "1", "0", "0", "--target", "0"], "not allowed with"),
        (["--nonsense"], "unrecognized arguments: --nonsense"),
    ],
)
def test_a_bad_value_gets_one_line_and_status_2(capsys: Any, argv: list[str], message: str) -> None:
    with pytest.raises(SystemExit) as stop:
        tour.main(argv)
    err = capsys.readouterr().err
    assert stop.value.code == 2
    assert message in err
    assert err.count("\n") == 1


def test_help_names_every_option(capsys: Any) -> None:
    with pytest.raises(SystemExit) as stop:
        tour.main(["--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    options = ("--logits", "--target", "--soft-target", "--quiet", "--step", "--out")
    assert all(option in out for option in options)


def test_runs_as_a_module_and_survives_a_closed_pipe() -> None:
    command = f'"{sys.executable}" -W error -m tinygrad_ce | head -n 1'
    run = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert run.stdout.startswith("logits z =")
    assert "Traceback" not in run.stderr


@pytest.mark.slow
def test_whatever_the_terminals_encoding_it_writes_utf_8() -> None:
    env = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    env["PYTHONPATH"] = str(Path(tour.__file__).parents[1])
    run = subprocess.run([sys.executable, "-m", "tinygrad_ce"], capture_output=True, env=env)
    out = run.stdout.decode("utf-8")
    assert run.returncode == 0, run.stderr
    assert re.search(r"^p − t +\[ -0\.1782   0\.1229   0\.0552\]  0e\+00$", out, re.MULTILINE)
    assert "∂L/∂z" in out


@pytest.mark.usefixtures("no_iris")
def test_negative_numbers_in_every_spelling(capsys: Any) -> None:
    out = printed(capsys, "--logits", "-1e0", "-2", "-.5", "--target", "1", "--quiet")
    line = next(line for line in out.splitlines() if line.strip().startswith("p "))
    np.testing.assert_allclose(numbers(line), [0.3315, 0.1220, 0.5465], atol=5e-5)


# ------------------------------------------------------------------ what it writes
@pytest.mark.usefixtures("no_iris")
def test_it_writes_the_picture_and_the_page_and_says_where(capsys: Any, tmp_path: Path) -> None:
    need("pygraphviz")
    need("latex2mathml")
    out = printed(capsys, "--quiet")
    paths = [Path(line.strip()) for line in out.partition("written:\n")[2].splitlines()]
    assert paths == [Path("tinygrad_ce_out", name) for name in ("graph.svg", "steps.html")]
    svg = ElementTree.parse(paths[0]).getroot()
    assert svg.tag.endswith("svg")
    ids = {element.get("id") for element in svg.iter()}
    assert {f"node-{i}" for i in range(8)} <= ids
    assert {"edge-7-0", "edge-3-1"} <= ids
    page = paths[1].read_text(encoding="utf-8")
    assert page.count("<html") == 1
    assert "−0.1782" in page


@pytest.mark.slow
def test_out_makes_the_folder_and_replaces_what_is_there(capsys: Any, tmp_path: Path) -> None:
    need("latex2mathml")
    folder = tmp_path / "a" / "b"
    printed(capsys, "--quiet", "--out", str(folder))
    old = {path.name: path.stat().st_ino for path in folder.iterdir()}
    printed(capsys, "--quiet", "--out", str(folder))
    assert {path.name for path in folder.iterdir()} == set(old)
    assert all(path.stat().st_ino != old[path.name] for path in folder.iterdir())


def test_a_folder_that_cannot_be_written_gets_one_line_and_status_2(
    capsys: Any, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    for folder in ("file", "file/below"):
        assert tour.main(["--out", folder]) == 2
        shown = capsys.readouterr()
        assert shown.out == ""
        assert shown.err.count("\n") == 1
        assert f"--out: cannot write to {folder}: " in shown.err


@pytest.mark.usefixtures("no_graphviz", "no_iris")
def test_without_the_extra_it_writes_what_it_can(
    capfd: Any, monkeypatch: Any, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "latex2mathml", None)
    assert tour.main(["--quiet"]) == 0
    out, err = capfd.readouterr()
    assert out.count('pip install "tinygrad_ce[render]"') == 2  # no picture, no page
    assert err == ""
    assert list((tmp_path / "tinygrad_ce_out").iterdir()) == []


# ------------------------------------------------------------------ one key a step
@pytest.mark.slow
def test_step_waits_for_enter_and_stops_at_q_or_the_end(capsys: Any, monkeypatch: Any) -> None:
    for typed, steps in (("\n\nq\n", 3), ("", 1), ("\nQ\n", 2), ("\n" * 40, 17), ("qq\nq\n", 2)):
        monkeypatch.setattr(sys, "stdin", StringIO(typed))
        out = printed(capsys, "--step")
        shown = re.findall(r"^ {1,2}(\d+)  ", out, re.MULTILINE)
        assert shown == [str(i) for i in range(1, steps + 1)]
        assert "Iris" not in out
        assert "written:" in out


@pytest.mark.slow
def test_step_reads_keys_of_a_terminal_and_leaves_it_as_it_was(tmp_path: Path) -> None:
    pty = pytest.importorskip("pty", reason="keys one by one are for POSIX")
    import termios

    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    command = [sys.executable, "-m", "tinygrad_ce", "--step"]
    with subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        for key, after in (("x", 1), ("\x1b[C", 2), (" ", 3), ("q", 4)):
            line = ""
            while not line.startswith(f"  {after}  "):
                line = run.stdout.readline()
                assert line, "it ended"
            os.write(ours, key.encode())
        rest = run.stdout.read()
    assert run.returncode == 0
    assert not re.search(r"^ +5  ", rest, re.MULTILINE)
    assert termios.tcgetattr(theirs) == before
    os.close(ours)
    os.close(theirs)
