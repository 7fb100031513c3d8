"""Speed against peers: a table of ratios, on the screen and (``--readme``) in README.md here."""

from __future__ import annotations

import importlib
import os
import platform
import re
import statistics
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from time import perf_counter, sleep
from types import ModuleType
from typing import Any

import pytest

PEERS = {
    "NumPy": "numpy",
    "NumPy, out=": "numpy",
    "plain Python": "math",
    "micrograd": "micrograd",
    "our NumPy kernel": "numpy",
    "PyTorch": "torch",
    "PyTorch, in chunks": "torch",
    "scikit-learn": "sklearn",
    "torch.compile": "torch",
    "autograd": "autograd",
    "MyGrad": "mygrad",
    "jax.jit": "jax",
}
LEFT_OUT: dict[str, str] = {}  # a peer that is installed, and why it does not run here
README = Path(__file__).parent / "README.md"


def find(name: str) -> ModuleType | None:
    """Import a peer's module; None where it is not installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a peer warns of at import is not our concern
        try:
            return importlib.import_module(name)
        except ImportError:
            return None


@dataclass
class Row:
    """One line of the table: the work, what it took us, each peer's share, and the bar."""

    work: str
    ours: str
    peers: dict[str, str] = field(default_factory=dict)
    bar: str = ""
    met: bool | None = None  # None: nothing to compare with


ROWS: list[Row] = []
LOAD = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0  # before the first round


def told(ratio: float) -> str:
    """3.2 is more than three times our time; 1/3.2 is less than a third of it."""
    number = max(ratio, 1 / ratio)
    return f"{'1/' if ratio < 1 else ''}{number:.{0 if number >= 20 else 1 if number >= 2 else 2}f}"


def spelled(seconds: float) -> str:
    units = (("s", 1), ("ms", 1e3), ("µs", 1e6), ("ns", 1e9))
    unit, scale = next(u for u in units if seconds * u[1] >= 1)
    return f"{seconds * scale:.3g} {unit}"


def record(
    work: str,
    ours: list[float],
    peers: dict[str, list[float]],
    bars: dict[str, float],
    calls: int = 1,
    middle: Callable[[list[float]], float] = statistics.median,
) -> None:
    """Add a row from the seconds that ``calls`` calls took us and each peer in each round.

    Medians are of the rounds' ratios, means of the seconds; the spread of a ratio is from its first
    to its third quartile.
    """
    shown, ratios = {}, {}
    for name, theirs in peers.items():
        by_round = [t / m for t, m in zip(theirs, ours, strict=True)]
        mean = middle is statistics.mean
        ratios[name] = middle(theirs) / middle(ours) if mean else middle(by_round)
        shown[name] = told(ratios[name])
        if len(by_round) > 2:
            low, _median, high = statistics.quantiles(by_round, method="inclusive")
            shown[name] += f" ({told(low)} to {told(high)})"
    wanted = {name: bar for name, bar in bars.items() if name in ratios}
    by_bar = {bar: [n for n in wanted if wanted[n] == bar] for bar in wanted.values()}
    bar = ", ".join(f"{' and '.join(names)} ≥ {bar_text(bar)}" for bar, names in by_bar.items())
    met = all(ratios[name] >= bar for name, bar in wanted.items()) if wanted else None
    ROWS.append(Row(work, spelled(middle(ours) / calls), shown, bar, met))


def bar_text(bar: float) -> str:
    return f"{bar:g}" if bar >= 1 else f"1/{1 / bar:.3g}"


@pytest.fixture
def compare(benchmark: Any) -> Callable[..., None]:
    """Time our function and each peer's in alternating rounds; a row has the median of the ratios.

    Each is of one round: a machine that is slow for a while is so for both. Means are compared
    where a peer's graph is work for the garbage collector: that comes in bursts.
    """

    def run(
        work: str,
        ours: Callable[[], Any],
        peers: dict[str, Callable[[], Any] | None],
        bars: dict[str, float],
        *,
        rounds: int = 15,
        calls: int = 1,
        mean: bool = False,
    ) -> None:
        there = {name: call for name, call in peers.items() if call}
        taken: dict[str, list[float]] = {name: [] for name in there}

        def repeat(call: Callable[[], Any]) -> None:
            for _ in range(calls):
                call()

        def settle(call: Callable[[], Any]) -> None:
            sleep(0.02)  # PyTorch's workers spin a while for more work, on whoever's core it is
            call()  # and caches hold what the call before left

        def peers_round() -> None:
            for name, call in there.items():
                settle(call)
                start = perf_counter()
                repeat(call)
                taken[name].append(perf_counter() - start)
            settle(ours)

        for call in (ours, *there.values()):
            call()  # warm up: imports, thread pools, memory
        benchmark.pedantic(repeat, args=(ours,), setup=peers_round, rounds=rounds)
        middle = statistics.mean if mean else statistics.median
        record(work, benchmark.stats.stats.data, taken, bars, calls, middle)

    return run


def table() -> list[str]:
    """The rows in Markdown, first of all those that miss a bar."""
    lines = [["work", "tinygrad_ce", "a peer's time / ours", "bar", "met"]]
    for row in sorted(ROWS, key=lambda row: row.met is not False):
        met = "" if row.met is None else "yes" if row.met else "**no**"
        peers = ", ".join(f"{name} {row.peers[name]}" for name in PEERS if name in row.peers)
        lines.append([row.work, row.ours, peers, row.bar, met])
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    lines.insert(1, ["-" * width for width in widths])
    return ["| " + " | ".join(c.ljust(w) for c, w in zip(line, widths)) + " |" for line in lines]


def cpu() -> str:
    """The processor's model, without the machine's name."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.+)", info.read_text()) if info.exists() else None
    return found[1] if found else platform.processor() or platform.machine()


def vectors() -> str:
    """The widest vectors that NumPy uses here; ``NPY_DISABLE_CPU_FEATURES`` takes them away."""
    features = importlib.import_module("numpy._core._multiarray_umath").__cpu_features__
    known = {"X86_V4": "AVX-512", "AVX512_SKX": "AVX-512", "AVX2": "AVX2", "NEON": "NEON"}
    return next((name for key, name in known.items() if features.get(key)), "no vectors")


def notes() -> list[str]:
    modules = {name: find(module) for name, module in PEERS.items()}
    missing = [name for name, module in modules.items() if module is None]
    versions = [f"Python {platform.python_version()}"]
    for name, told_as in (("NumPy", "NumPy"), ("PyTorch", "PyTorch"), ("jax.jit", "JAX")):
        if modules[name]:
            versions.append(f"{told_as} {modules[name].__version__}")
    if numba := find("numba"):
        versions.append(f"Numba {numba.__version__}")
    without = "NPY_DISABLE_CPU_FEATURES" in os.environ
    width = f"{vectors()}{' (wider vectors switched off)' if without else ''}"
    where = f"{cpu()}, {os.cpu_count()} cores, {width}, {platform.system()}"
    lines = [f"Measured on {date.today()} on {where}, {', '.join(versions)}."]
    if LOAD > 0.5:
        lines.append(f"The machine was busy (load {LOAD:.1f} at the start): measure again.")
    lines += [f"Left out: {name}: {why}" for name, why in LEFT_OUT.items()]
    return lines + ([f"Not installed, so left out: {', '.join(missing)}."] if missing else [])


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--readme",
        action="store_true",
        help="write the table into README.md here",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.option.benchmark_quiet = True  # its own table shows raw times; ours shows ratios


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if not ROWS:
        return
    terminalreporter.section("speed against peers")
    for line in [*table(), "", *notes()]:
        terminalreporter.line(line)
    if config.getoption("--readme"):
        block = "\n".join([f"## {vectors()}", "", *table(), "", *notes()]) + "\n\n"
        before, *sections = re.split(r"(?m)^(?=## )", README.read_text(encoding="utf-8"))
        others = [part for part in sections if not part.startswith(f"## {vectors()}\n")]
        README.write_text(before + "".join(sorted([*others, block])), encoding="utf-8")
