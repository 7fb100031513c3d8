"""The scalar GPT of lesson 7, as it stands there, on our `Value` and on an engine of 60 lines.

It is of the kind of A. Karpathy's microgpt (2026), whose text runs with our `Value` as well.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.scalars import Scalar

from tinygrad_ce import Value

LESSON = Path(__file__).parents[2] / "notebooks" / "07_a_tiny_gpt.ipynb"
STEPS = 20
if not LESSON.exists():
    pytest.skip("the lessons are not part of what is installed", allow_module_level=True)


def with_a_deep_stack(f: Callable[[], Any]) -> Any:
    """Call f where the recursion of the small engine has room."""
    found: list[Any] = []
    before, size = sys.getrecursionlimit(), threading.stack_size(2**29)
    sys.setrecursionlimit(10**6)
    try:
        thread = threading.Thread(target=lambda: found.append(f()))
        thread.start()
        thread.join()
    finally:
        sys.setrecursionlimit(before)
        threading.stack_size(size)
    return found[0]


def trained(kind: Any) -> tuple[list[float], list[str]]:
    """The losses of the first steps, and names that the model invents after them."""
    cells = json.loads(LESSON.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    lesson: dict[str, Any] = {}
    exec(code[0].replace("import matplotlib.pyplot as plt\n", ""), lesson)
    lesson["Value"] = lambda x: kind(float(x))
    exec(code[1], lesson)
    exec(code[2].partition("L, z, p = ")[0], lesson)
    params = [p for W in lesson["model"].values() for row in W for p in row]
    m, v, losses = [0.0] * len(params), [0.0] * len(params), []
    for step in range(STEPS):
        loss = lesson["loss_of"](lesson["names"][17 * step])[0]
        loss.backward()
        losses.append(float(loss.data))
        for i, p in enumerate(params):
            m[i] = 0.85 * m[i] + 0.15 * p.grad
            v[i] = 0.99 * v[i] + 0.01 * p.grad**2
            mean, square = m[i] / (1 - 0.85 ** (step + 1)), v[i] / (1 - 0.99 ** (step + 1))
            p.data -= 0.02 * mean / (square**0.5 + 1e-8)
            p.grad = 0
    return losses, [invented(lesson, np.random.default_rng(n)) for n in range(3)]


def invented(lesson: dict[str, Any], rng: Any) -> str:
    token, letters = lesson["END"], lesson["letters"]
    keys: list[Any] = []
    values: list[Any] = []
    name = ""
    for place in range(lesson["LONGEST"]):
        p = lesson["probabilities"](lesson["next_logits"](token, place, keys, values))
        token = int(rng.choice(len(p), p=np.array([x.data for x in p])))
        if token == lesson["END"]:
            break
        name += letters[token]
    return name


@pytest.mark.slow
def test_the_losses_and_the_names_are_those_of_another_engine() -> None:
    losses, names = trained(Value)
    wanted, others = with_a_deep_stack(lambda: trained(Scalar))
    np.testing.assert_allclose(losses, wanted, rtol=1e-12)
    assert losses[-1] < losses[0]
    assert names == others
