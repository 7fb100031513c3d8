"""Which Graphviz draws: the program, the one in pygraphviz's wheel, or none; and quietly."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from conftest import need

from tinygrad_ce.programs.files import replace_file
from tinygrad_ce.views.picture import render

DOT = 'digraph { "a" -> "b" }'
MAGIC = {"png": b"\x89PNG", "pdf": b"%PDF"}


@pytest.fixture
def no_dot(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty folder, and nothing else, on the PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.fixture
def no_pygraphviz(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pygraphviz", None)


def program(folder: Path, script: str) -> None:
    """A program of the name dot."""
    if os.name == "nt":
        pytest.skip("a shell script stands for dot")
    (folder / "dot").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "dot").chmod(0o755)


def is_picture(svg: bytes) -> bool:
    groups = ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}g")
    return [g.get("class") for g in groups] == ["graph", "node", "node", "edge"]


def test_the_program_comes_first_and_its_warnings_are_not_shown(no_dot: Path, capfd: Any) -> None:
    program(no_dot, "echo 'Warning: fonts' >&2; echo it was dot")
    assert render(DOT, "svg") == b"it was dot\n"
    assert capfd.readouterr() == ("", "")


def test_the_bundled_graphviz_is_next_and_as_quiet(
    no_dot: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    need("pygraphviz")
    monkeypatch.setenv("FONTCONFIG_FILE", "nowhere.conf")  # its library complains on stderr
    assert is_picture(render(DOT, "svg"))
    for form, magic in MAGIC.items():
        assert render(DOT, form).startswith(magic)
    assert capfd.readouterr() == ("", "")


def test_a_program_that_fails_is_passed_over(no_dot: Path) -> None:
    need("pygraphviz")
    program(no_dot, "echo 'no plugins' >&2; exit 1")
    assert is_picture(render(DOT, "svg"))


@pytest.mark.usefixtures("no_dot", "no_pygraphviz")
def test_without_either_the_error_names_both_ways() -> None:
    with pytest.raises(ImportError) as error:
        render(DOT, "svg")
    text = str(error.value)
    assert 'pip install "tinygrad_ce[render]"' in text
    assert "program dot" in text
    assert "\n" not in text


@pytest.mark.usefixtures("no_pygraphviz")
def test_a_graphviz_that_fails_has_the_last_word(no_dot: Path) -> None:
    program(no_dot, "echo 'no plugins' >&2; exit 1")
    with pytest.raises(RuntimeError, match=r"could not draw the graph: dot: no plugins"):
        render(DOT, "svg")


@pytest.mark.usefixtures("no_dot")
def test_what_the_bundled_graphviz_says_of_a_broken_graph() -> None:
    need("pygraphviz")
    with pytest.raises(RuntimeError, match="pygraphviz: "):
        render("digraph {", "svg")


def test_the_real_program() -> None:
    from shutil import which

    if not which("dot"):
        if os.environ.get("TINYGRAD_CE_REQUIRE_ALL"):
            pytest.fail("the program dot is not installed")
        pytest.skip("the program dot is not installed")
    assert is_picture(render(DOT, "svg"))
    for form, magic in MAGIC.items():
        assert render(DOT, form).startswith(magic)


def test_a_file_is_replaced_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "graph.svg"
    replace_file(path, b"one")
    replace_file(str(path), b"two")
    assert path.read_bytes() == b"two"

    def full(part: str, _: Path) -> None:
        assert Path(part).exists()
        raise OSError(28, "no space left")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="no space"):
        replace_file(path, b"three")
    assert path.read_bytes() == b"two"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(
        FileNotFoundError, match=r"No such file or directory: '[^']*nowhere/graph.svg'"
    ):
        replace_file(tmp_path / "nowhere" / "graph.svg", b"")
