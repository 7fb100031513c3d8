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


ROOMS = ["engine", "losses", "programs", "checks", "views", "training", "exercises"]


def imports(path: Path) -> set[str]:
    """The package's own modules that a module imports, anywhere in it, as ``room.module``."""
    package = ["tinygrad_ce", *path.relative_to(PACKAGE).parts[:-1]]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = (
            [a.name for a in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        )
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names = (
                [module]
                if (ROOT / module.replace(".", "/")).with_suffix(".py").exists()
                else [f"{module}.{name}" for name in names]
            )
        found |= {n.removeprefix("tinygrad_ce.") for n in names if n.startswith("tinygrad_ce.")}
    return found


def reading_order() -> list[str]:
    """The modules in the order that the rooms and their docstrings give, as ``room.module``."""
    docs = {room: (PACKAGE / room / "__init__.py").read_text(encoding="utf-8") for room in ROOMS}
    return [f"{r}.{m}" for r, text in docs.items() for m in re.findall(r"^  (\w+)\.py", text, re.M)]


def lines(path: Path) -> int:
    """Lines that are neither blank nor a comment; docstrings count."""
    stripped = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return sum(1 for line in stripped if line and not line.startswith("#"))


def modules(room: str) -> set[str]:
    return {f"{room}.{p.stem}" for p in (PACKAGE / room).glob("*.py")} - {f"{room}.__init__"}


def test_the_package_has_seven_rooms_and_each_a_docstring() -> None:
    assert {p.parent.name for p in PACKAGE.glob("*/__init__.py")} == set(ROOMS)
    assert re.findall(r"^  (\w+)/", tinygrad_ce.__doc__ or "", re.M) == ROOMS


def test_every_room_imports_only_rooms_before_it() -> None:
    for i, room in enumerate(ROOMS):
        for path in (PACKAGE / room).rglob("*.py"):
            above = {name for name in imports(path) if name.split(".")[0] not in ROOMS[: i + 1]}
            assert not above, f"{path} imports {above}"


def test_the_docstring_of_a_room_gives_its_modules_in_the_order_of_their_imports() -> None:
    order = reading_order()
    first = ["engine.value", "engine.ops", "engine.backward"]  # the core, as one reads it
    order = [name for name in order if not name.startswith("exercises.")]
    assert {*order} == {name for room in ROOMS[:-1] for name in modules(room)} - {*first}
    for i, name in enumerate(order):
        path = PACKAGE / f"{name.replace('.', '/')}.py"
        own = {n for n in imports(path) if n.startswith(name.split(".")[0])} - {*first}
        assert own <= {*order[:i]}, f"{name} imports {own - {*order[:i]}}, which come after it"


def test_no_module_has_the_name_of_a_public_function() -> None:
    found = {name.split(".")[1] for room in ROOMS[:-1] for name in modules(room)}
    assert not found & {*tinygrad_ce.__all__}  # an exercise may have its function's name


def test_the_core_is_at_most_500_lines() -> None:
    counts = {n: lines(PACKAGE / f"engine/{n}.py") for n in ("value", "ops", "backward")}
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
