"""The tiny GPT of lesson 7: numbers on our `Value` and on an engine of lists, and in arrays."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import pytest
from conftest import record
from test_speed import by_turns, python

TESTS = Path(__file__).parents[1]
LESSON = """
import gc, json, statistics, sys, threading, time
sys.path.insert(0, {tests!r})
cells = json.load(open({lesson!r}, encoding="utf-8"))["cells"]
code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
say, print = print, lambda *_words: None  # the lesson prints as well
code[0] = code[0].replace("import matplotlib.pyplot as plt", "")
exec(code[0])
""".format(tests=str(TESTS), lesson=str(TESTS.parent / "notebooks" / "07_a_tiny_gpt.ipynb"))
SCALARS = (
    LESSON
    + """
from helpers.scalars import Scalar
kind = Value if sys.argv[1] == "ours" else Scalar
Value = lambda x: kind(float(x))
exec(code[1])
exec(code[2].partition("L, z, p = ")[0])
params = [p for W in model.values() for row in W for p in row]
if sys.argv[2] == "off":
    gc.disable()

def train():
    m, v, passes, moves = [0.0] * len(params), [0.0] * len(params), [], []
    for step in range(12):
        start = time.perf_counter()
        loss_of("charlotte"[:6 + step % 3])[0].backward()
        passes.append(time.perf_counter() - start)
        start = time.perf_counter()
        for i, p in enumerate(params):
            m[i] = 0.85 * m[i] + 0.15 * p.grad
            v[i] = 0.99 * v[i] + 0.01 * p.grad**2
            p.data -= 0.02 * m[i] / (v[i] ** 0.5 + 1e-8)
            p.grad = 0
        moves.append(time.perf_counter() - start)
    say(statistics.mean((passes if sys.argv[3] == "pass" else moves)[2:]))

sys.setrecursionlimit(10**6)
threading.stack_size(2**29)
thread = threading.Thread(target=train)
thread.start()
thread.join()
"""
)
ARRAYS = (
    LESSON
    + """
exec(code[1])
exec(code[4].partition("L = loss(P")[0])
start = time.perf_counter()
step = program(loss, arrays, *tokens("emma"))
adam = Adam([*P.values()], lr=0.02, betas=(0.85, 0.99))
for i in range(1000):
    value, gradient = step({name: p.data for name, p in P.items()}, *tokens(names[i % len(names)]))
    for name, p in P.items():
        p.grad = gradient[name]
    adam.step()
say((time.perf_counter() - start) / 1000)
"""
)


@pytest.mark.parametrize(
    ("what", "collector", "bar"),
    [("pass", "on", 2.0), ("pass", "off", 1.3), ("Adam's loop", "off", 1.0)],
)
def test_scalars(benchmark: Any, what: str, collector: str, bar: float) -> None:
    benchmark.pedantic(lambda: None)
    runs = [[who, collector, what.split("'")[0].lower()] for who in ("ours", "plain Python")]
    ours, theirs = by_turns(SCALARS, runs, 3)
    name = f"tiny GPT in numbers, {what}, garbage collector {collector}"
    record(name, ours, {"plain Python": theirs}, {"plain Python": bar}, middle=statistics.mean)


def test_arrays(benchmark: Any) -> None:
    """A step, of 1,000 with compiling, against one of the scalars on the plain engine."""
    benchmark.pedantic(lambda: None)
    ours = [python(ARRAYS) for _ in range(3)]
    parts = [by_turns(SCALARS, [["plain Python", "on", part]], 3)[0] for part in ("pass", "adam")]
    scalars = [one + two for one, two in zip(*parts)]
    name = "tiny GPT in arrays, a step of 1,000, compiling included"
    record(name, ours, {"plain Python": scalars}, {"plain Python": 30.0})
