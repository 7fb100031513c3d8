"""Seeds, and the rule for what a fresh machine may lack: skip there, fail in CI."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

# Before NumPy is imported: BLAS threads wait by spinning, and beside another process, or Dask's
# workers, that made a fit of 0.5 s take 50. The benchmarks have a machine for themselves.
if not any("benchmarks" in argument for argument in sys.argv):
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ["TINYGRAD_CE_LANG"] = "en"  # whatever the machine's is
os.environ.setdefault("SCIPY_ARRAY_API", "1")  # without it scikit-learn skips one of its checks

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from tinygrad_ce.engine.operation import SPELLINGS, TABLE

with suppress(ImportError):  # before the table is looked at; users need not
    import tinygrad_ce.losses.special  # noqa: F401

os.environ.setdefault("MPLBACKEND", "Agg")  # figures, but no windows


def pytest_configure(config: pytest.Config) -> None:
    """Draw fewer examples where the slow tests are left out; others by ``--hypothesis-seed=N``."""
    settings.register_profile(
        "ours",
        max_examples=6 if config.option.markexpr == "not slow" else 15,
        deadline=None,
        derandomize=config.getoption("--hypothesis-seed") is None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.load_profile("ours")


def need(module: str) -> ModuleType:
    """Import an optional peer; without it skip, unless TINYGRAD_CE_REQUIRE_ALL is set (CI)."""
    try:
        return importlib.import_module(module)
    except ImportError:
        if os.environ.get("TINYGRAD_CE_REQUIRE_ALL"):
            raise
        pytest.skip(f"{module} is not installed", allow_module_level=True)


def some_quick(cases: Iterable[Any], one_of: int) -> list[Any]:
    """Parameters of which one in so many is among the quick tests, and the others are slow ones."""
    slow = pytest.mark.slow
    return [
        case
        if k % one_of == 0
        else pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=slow)
        for k, case in enumerate(cases)
    ]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note what passes in the file of TINYGRAD_CE_PASSED; what stands there is not run again."""
    if (noted := os.environ.get("TINYGRAD_CE_PASSED")) and report.when == "call" and report.passed:
        with open(noted, "a", encoding="utf-8") as file:
            file.write(f"{report.nodeid!r}\n")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Folders are shared out among the cores: files alone are done sooner, benchmarks measure."""
    named = [str(argument).partition("::")[0] for argument in config.args]
    alone = all(name.endswith(".py") or "benchmarks" in name for name in named)
    return 0 if alone else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is slow is not traced, which takes twice as long; what has passed is not run again.

    The examples of a module that wants an optional library: the same rule as in `need`.
    """
    with suppress(KeyError, FileNotFoundError):
        passed = {*Path(os.environ["TINYGRAD_CE_PASSED"]).read_text("utf-8").splitlines()}
        items[:] = [item for item in items if repr(item.nodeid) not in passed]
    if config.pluginmanager.hasplugin("pytest_cov"):
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker("no_cover")
    if find_spec("matplotlib") or os.environ.get("TINYGRAD_CE_REQUIRE_ALL"):
        return
    for item in items:
        if item.path.name == "plots.py":
            item.add_marker(pytest.mark.skip(reason="matplotlib is not installed"))


def found(path: str | Path | None, what: str) -> str:
    """A program or file that a fresh machine may lack; the same rule as in `need`."""
    if path is not None and Path(path).exists():
        return str(path)
    if os.environ.get("TINYGRAD_CE_REQUIRE_ALL"):
        pytest.fail(f"{what} is missing")
    pytest.skip(f"{what} is missing")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """One headless Chromium for all tests: it takes a second to start."""
    api = need("playwright.sync_api")
    path = found(shutil.which("chromium") or shutil.which("chromium-browser"), "Chromium")
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    quiet += ["--disable-background-networking", "--disable-component-update", "--no-first-run"]
    with api.sync_playwright() as play:
        running = play.chromium.launch(executable_path=path, args=quiet)
        yield running
        running.close()


Visit = Callable[..., Any]


@pytest.fixture
def visit(browser: Any, tmp_path: Path) -> Iterator[Visit]:
    """Open a walk's page from disk, offline; in the end, no complaint and no request are left."""
    from tinygrad_ce.views.steps import page

    contexts, problems, requests = [], [], []

    def open_page(
        steps: Any,
        link: str = "",
        width: int = 1000,
        scheme: str = "light",
        motion: str = "reduce",
    ) -> Any:
        path = tmp_path / "steps.html"
        path.write_text(steps if isinstance(steps, str) else page(steps), encoding="utf-8")
        size = {"width": width, "height": 600}
        context = browser.new_context(
            viewport=size, color_scheme=scheme, offline=True, reduced_motion=motion
        )
        contexts.append(context)
        tab = context.new_page()
        tab.set_default_timeout(5000)
        tab.on("console", lambda message: problems.append(message.text))
        tab.on("pageerror", lambda error: problems.append(str(error)))
        tab.on("request", lambda request: requests.append(request.url))
        tab.goto(f"{path.as_uri()}{link}")
        return tab

    yield open_page
    for context in contexts:
        context.close()
    assert not problems
    # "data:," is the icon: it keeps a browser from asking a server for one.
    own = {(tmp_path / "steps.html").as_uri(), "data:,"}
    assert {url.partition("#")[0] for url in requests} <= own


@pytest.fixture
def no_graphviz(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the program dot, and the Graphviz in pygraphviz's wheel."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "pygraphviz", None)


TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]  # what axe-core judges by


@pytest.fixture(scope="session")
def axe() -> str:
    """The script of axe-core: ``npm install axe-core`` here, or AXE_CORE names its file."""
    near = Path(__file__).parents[1] / "node_modules/axe-core/axe.min.js"
    path = found(os.environ.get("AXE_CORE") or near, "axe-core (npm install axe-core)")
    return Path(path).read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def _table_as_it_was() -> Iterator[None]:
    """Take out of the table of operations what a test registers."""
    tables = (TABLE, SPELLINGS)
    before = [*map(dict, tables)]
    yield
    for table, entries in zip(tables, before):
        table.clear()
        table.update(entries)


@pytest.fixture(scope="module")
def few_rows_tried() -> Iterator[None]:
    """Print programs that hold for few numbers of rows, as trying 500 of them takes 0.3 s.

    For modules that are about other things: tests/programs/test_sizes.py is about those numbers.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tinygrad_ce.programs.sizes.TRIED", 100)
        yield


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
