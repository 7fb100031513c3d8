"""What the README and the guide show is what their code prints."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import reference
from conftest import need

import tinygrad_ce

WHERE = Path(tinygrad_ce.__file__).parents[1]  # the package that is tested: here or installed
FOLDER = Path(__file__).parents[1]
README, GUIDE = (
    FOLDER.joinpath(name).read_text(encoding="utf-8")
    for name in ("README.md", "notebooks/guide.md")
)
SHOWN = re.compile(r"```python\n(.*?)```\n\nprints\n\n```text\n(.*?)```", re.DOTALL)
EXAMPLES = [*dict.fromkeys([*SHOWN.findall(README), *SHOWN.findall(GUIDE)])]
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
    for page in (README, GUIDE):
        assert len(SHOWN.findall(page)) == page.count("```python") >= 4


def test_the_readme_takes_five_minutes() -> None:
    words = re.sub(r"```.*?```", "", README, flags=re.DOTALL).split()
    assert len(words) <= 700


def test_its_figures_of_speed_are_those_of_the_table() -> None:
    speed = README.partition("## Speed")[2].partition("## Licence")[0]
    table = FOLDER.joinpath("tests/benchmarks/README.md").read_text(encoding="utf-8")
    rows = [
        ("softmax regression 32×4×3, composed ", "27.5 µs", "PyTorch 5.8", "jax.jit 1.72"),
        ("scalar MLP 2-16-16-1, 20 samples, garbage collector on", "36.8 ms", "micrograd 7.5"),
        ("fused cross-entropy 4096×32000", "171 ms", "PyTorch 4.1"),
        ("L-BFGS, Digits", "137 ms", "scikit-learn 15.2"),
        ("tiny GPT in arrays", "646 µs", "plain Python 80"),
    ]
    for work, *figures in rows:
        lines = [line for line in table.splitlines() if work in line]
        assert any(all(figure in line for figure in figures) for line in lines), work
        assert figures[0] in speed
        for peer in figures[1:]:
            assert re.search(rf"[ (]{re.escape(peer.split()[-1])}\b", speed), peer


def test_the_list_of_names_is_what_help_says() -> None:
    need("sklearn")  # whose estimator one of them is
    assert reference.PAGE.read_text(encoding="utf-8") == reference.text(), (
        "write it anew: python tests/reference.py"
    )


def test_there_are_two_shell_commands_and_each_makes_its_own_environment() -> None:
    commands = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    assert len(commands) == 2
    for command in commands:
        assert command.startswith("python3 -m venv .venv && .venv/bin/pip install")
        assert command.count("\n") == 1


def test_files_that_a_text_names_are_there() -> None:
    """In documents, docstrings and comments; ``answer.py`` and such are a reader's own."""
    folder, package = FOLDER, WHERE / "tinygrad_ce"
    texts = [folder / "README.md", *folder.glob(".github/*.md"), *folder.glob("notebooks/**/*.md")]
    code = [*package.glob("**/*.py")]
    there = [path.as_posix() for path in [*code, *folder.glob("tests/**/*.py")]]
    for path in texts + code:
        named = set(re.findall(r"(?<![\w./~-])[\w./-]*\w\.py\b", path.read_text(encoding="utf-8")))
        named -= {"answer.py", "example.py", "train.py", "file.py", "loss_and_grad.py"}
        dead = [name for name in named if not any(file.endswith(f"/{name}") for file in there)]
        assert not dead, f"{path} names {dead}"
