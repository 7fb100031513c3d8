"""Drawing: 200 nodes to a picture, and how the time grows with the graph."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import pytest
from conftest import ROWS, Row, find, spelled

import tinygrad_ce as tg


def network(size: int) -> tg.Value:
    """A scalar network, three wide, of about so many nodes, after its backward pass."""
    rng = np.random.default_rng(0)
    layer = [tg.Value(x, name="x") for x in (0.5, -1.0, 2.0)]
    for _ in range(size // 24):
        weights = rng.normal(size=(3, 3)).tolist()
        layer = [sum((w * x for w, x in zip(row, layer)), tg.Value(0.1)) for row in weights]
        layer = [np.tanh(x) for x in layer]
    loss = sum(layer, tg.Value(0.0))
    loss.backward()
    return loss


def seconds(call: Callable[[], Any], rounds: int) -> float:
    call()
    taken = []
    for _ in range(rounds):
        start = perf_counter()
        call()
        taken.append(perf_counter() - start)
    return median(taken)


def svg(loss: tg.Value) -> Callable[[], str]:
    return lambda: tg.draw(loss, gradients="edges", max_nodes=10**6).svg


@pytest.mark.skipif(not find("pygraphviz"), reason="pygraphviz is not installed")
def test_drawing(benchmark: Any) -> None:
    benchmark.pedantic(lambda: None)
    small, large = network(200), network(800)
    sizes = [len(tg.topological(loss)) for loss in (small, large)]
    assert 190 <= sizes[0] <= 230
    once, fourfold = (seconds(svg(loss), 3) for loss in (small, large))
    ROWS.append(Row(f"draw {sizes[0]} nodes as SVG", spelled(once), {}, "≤ 1 s", once <= 1))
    grown, bar = fourfold / once, 1.5 * sizes[1] / sizes[0]
    name = f"drawing {sizes[1]} nodes, against {sizes[0]}"
    ROWS.append(Row(name, f"{grown:.1f} ×", {}, f"≤ {bar:.1f} ×", grown <= bar))


def test_a_large_graph_answers(benchmark: Any) -> None:
    """10⁵ nodes: the picture keeps the ends."""
    benchmark.pedantic(lambda: None)
    loss = network(100_000)
    took = seconds(lambda: tg.draw(loss).dot, 3)
    ROWS.append(Row("draw 10⁵ nodes, both ends of them", spelled(took), {}, "≤ 2 s", took <= 2))
