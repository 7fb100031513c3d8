"""The promises of the package as a whole: small, layered, quick to import, complete."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import tinygrad_ce

PACKAGE = Path(tinygrad_ce.__file__).parent
ROOT = PACKAGE.parent


def imports(path: Path) -> list[str]:
    """The package's own modules that a module imports, anywhere in it."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return [n.module or "" for n in nodes if isinstance(n, ast.ImportFrom) and n.level == 1]


def reading_order() -> list[str]:
    """The modules in the order the package's docstring gives."""
    return re.findall(r"^  (\w+)\.py", tinygrad_ce.__doc__ or "", re.MULTILINE)


def lines(path: Path) -> int:
    """Lines that are neither blank nor a comment; docstrings count."""
    stripped = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return sum(1 for line in stripped if line and not line.startswith("#"))


def test_the_docstring_gives_every_module_a_place_in_the_reading_order() -> None:
    modules = {p.stem for p in PACKAGE.glob("*.py")} - {"__init__", "__main__"}
    assert set(reading_order()) == modules
    assert len(reading_order()) == len(modules)


def test_every_module_imports_only_modules_before_it() -> None:
    order = reading_order()
    for i, name in enumerate(order):
        later = set(imports(PACKAGE / f"{name}.py")) - set(order[:i])
        assert not later, f"{name}.py imports {later}, which come after it"


def test_the_core_is_at_most_500_lines() -> None:
    counts = {n: lines(PACKAGE / f"{n}.py") for n in ("value", "ops", "backward")}
    assert sum(counts.values()) <= 500, counts


def test_import_brings_numpy_and_nothing_heavier() -> None:
    code = (
        "import sys, numpy; before = set(sys.modules); import tinygrad_ce; "
        "print(sorted({m.split('.')[0] for m in set(sys.modules) - before}))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    brought = set(ast.literal_eval(out.stdout))
    heavy = {"graphviz", "tqdm", "matplotlib", "sklearn", "scipy", "torch", "pandas", "argparse"}
    assert not brought & heavy


def test_everything_public_is_listed_and_documented() -> None:
    for name in tinygrad_ce.__all__:
        assert getattr(tinygrad_ce, name).__doc__, f"{name} has no docstring"


def test_the_top_level_holds_what_was_agreed_and_nothing_else() -> None:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    names = {path.split("/")[0] for path in listed} or {p.name for p in ROOT.iterdir()}
    visible = {name for name in names if not name.startswith(".")}
    allowed = {"pyproject.toml", "README.md", "LICENSE", "tinygrad_ce", "tests", "notebooks"}
    made = {"build", "dist", "tinygrad_ce.egg-info", "tinygrad_ce_out"}  # and ignored by git
    assert visible <= allowed | made


def test_types_and_data_ship_with_the_package() -> None:
    assert (PACKAGE / "py.typed").exists()
    table = (PACKAGE / "iris.csv").read_text(encoding="utf-8")
    assert "Fisher" in table
    assert len(table.splitlines()) == 2 + 1 + 150
