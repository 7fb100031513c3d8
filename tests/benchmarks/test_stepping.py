"""The walk through a graph: 200 nodes with their page, and time in proportion to nodes."""

from __future__ import annotations

import statistics
from time import perf_counter
from typing import Any

import numpy as np
from conftest import ROWS, Row, spelled

import tinygrad_ce as tg


def graph(n: int) -> tg.Value:
    """A loss of n nodes, in which each has one or two parents and some have many children."""
    nodes = [tg.Value(0.1 * i - 0.5, name=f"x{i}") for i in range(10)]
    while len(nodes) < n - 1:
        a, b = nodes[-1], nodes[-len(nodes) // 2]
        nodes.append(np.tanh(a) if len(nodes) % 3 else a * b)
    loss = nodes[-1] + nodes[0]
    assert len(tg.topological(loss)) > 0.9 * n
    return loss


def seconds(work: Any, rounds: int) -> float:
    times = []
    for _ in range(rounds):
        start = perf_counter()
        work()
        times.append(perf_counter() - start)
    return statistics.median(times)


def test_stepping_with_its_page(benchmark: Any, tmp_path: Any) -> None:
    loss = graph(200)
    work = lambda: tg.step_through(loss).save(tmp_path / "steps.html")
    work()  # imports, the page's template
    took = seconds(work, 3)
    benchmark.pedantic(lambda: None)
    ROWS.append(Row("stepping 200 nodes, with its page", spelled(took), {}, "≤ 2 s", took <= 2.0))


def test_stepping_is_linear(benchmark: Any) -> None:
    few, many = graph(200), graph(20_000)
    once, hundred = (seconds(lambda g=g: tg.step_through(g), 3) for g in (few, many))
    ratio = hundred / once
    benchmark.pedantic(lambda: None)
    shown = f"{ratio:.0f} ×"
    ROWS.append(Row("stepping 20,000 nodes, against 200", shown, {}, "≤ 150 ×", ratio <= 150))
