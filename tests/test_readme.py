"""What the README shows is what its code prints."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import need

import tinygrad_ce

WHERE = Path(tinygrad_ce.__file__).parents[1]  # the package that is tested: here or installed
README = Path(__file__).parents[1].joinpath("README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```\n\nprints\n\n```text\n(.*?)```", README, re.DOTALL)
CASES = [
    pytest.param(code, printed, marks=[pytest.mark.slow] * ("sklearn" in code or "dask" in code))
    for code, printed in EXAMPLES
]


@pytest.mark.parametrize(("code", "printed"), CASES)
def test_python_block_prints_the_text_below_it(code: str, printed: str, tmp_path: Path) -> None:
    modules = set(re.findall(r"^(?:from|import) (\w+)", code, re.MULTILINE))
    hidden = {
        "Display": "matplotlib",
        ".save(": "safetensors",
        "SoftmaxRegression": "sklearn",
        "distributed": "distributed",
    }
    for module in modules | {name for word, name in hidden.items() if word in code}:
        need(module)
    (tmp_path / "example.py").write_text(code, encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "example.py"],
        capture_output=True,
        encoding="utf-8",
        check=False,
        cwd=tmp_path,  # where files that it writes may lie
        env=os.environ | {"MPLBACKEND": "agg", "PYTHONPATH": str(WHERE), "PYTHONUTF8": "1"},
    )
    slow = r".*distributed\.nanny - WARNING - Worker process still alive.*\n"  # on a busy machine
    assert re.sub(slow, "", run.stderr) == ""
    assert run.stdout == printed


def test_every_python_block_is_tried() -> None:
    assert len(EXAMPLES) == README.count("```python") > 4


def test_there_are_two_shell_commands_and_each_makes_its_own_environment() -> None:
    commands = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    assert len(commands) == 2
    for command in commands:
        assert command.startswith("python3 -m venv .venv && .venv/bin/pip install")
        assert command.count("\n") == 1


def test_files_that_a_text_names_are_there() -> None:
    """In documents, docstrings and comments; ``answer.py`` and such are a reader's own."""
    folder, package = Path(__file__).parents[1], WHERE / "tinygrad_ce"
    texts = [folder / "README.md", *folder.glob(".github/*.md"), *folder.glob("notebooks/**/*.md")]
    code = [*package.glob("**/*.py")]
    there = [path.as_posix() for path in [*code, *folder.glob("tests/**/*.py")]]
    for path in texts + code:
        named = set(re.findall(r"(?<![\w./~-])[\w./-]*\w\.py\b", path.read_text(encoding="utf-8")))
        named -= {"answer.py", "example.py", "train.py", "file.py", "loss_and_grad.py"}
        dead = [name for name in named if not any(file.endswith(f"/{name}") for file in there)]
        assert not dead, f"{path} names {dead}"
