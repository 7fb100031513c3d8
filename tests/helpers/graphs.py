"""Graphs that several tests look at, and what is in their pictures."""

from __future__ import annotations

import string
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import numpy as np
from conftest import need
from hypothesis import strategies as st

from tinygrad_ce import Drawing, Steps, Value, cross_entropy, scope, step_through

SVG = "{http://www.w3.org/2000/svg}"
T = np.array([1.0, 0.0, 0.0])


def of_scalars(logits: list[float], target: int = 0) -> Value:
    """Cross-entropy of scalar logits as on paper: every number a node with its name."""
    zs = [Value(z, name=f"z{i}") for i, z in enumerate(logits, 1)]
    es = [np.exp(z) for z in zs]
    s = sum(es[1:], es[0])
    ps = [e / s for e in es]
    for i, (e, p) in enumerate(zip(es, ps), 1):
        e.name, p.name = f"e{i}", f"p{i}"
    loss = -np.log(ps[target])
    s.name, loss.name = "s", "L"
    return loss


def of_tensors() -> Steps:
    """Cross-entropy beside its fused node, vectors all the way."""
    z = Value([3.2, 1.3, 0.5], name="z")
    e = np.exp(z)
    p = e / e.sum()
    e.name, p.name = "e", "p"
    loss = -(T * np.log(p)).sum()
    loss.name = "L"
    return step_through(loss, fused=cross_entropy(z, T))


def of_matrices() -> Steps:
    """A layer: arrays up to 8×8 and one that is larger, options, several paths."""
    rng = np.random.default_rng(0)
    shapes = {"X": (4, 3), "W": (3, 8), "b": 8}
    x, w, b = (Value(rng.normal(size=shape), name=name) for name, shape in shapes.items())
    wide = np.ones((4, 9)) * x.sum(axis=1, keepdims=True)
    return step_through(cross_entropy(x @ w + b, np.arange(4), fused=False) + wide.mean())


def of_what_is_no_number() -> Steps:
    x, y = Value([1e-12, 800.0, 0.0], name="x"), Value(0.0, name="y")
    with np.errstate(all="ignore"):
        return step_through((np.exp(x) / np.exp(x).sum()).sum() + np.log(y) * 1e-7)


def textbook() -> Value:
    """Softmax and cross-entropy of three logits, after a backward pass."""
    z, t = Value([3.2, 1.3, 0.5], name="z"), np.array([1.0, 0.0, 0.0])
    with scope("softmax"):
        e = np.exp(z)
        p = e / e.sum()
    loss = -(t * np.log(p)).sum()
    e.name, p.name, loss.name = "e", "p", "L"
    loss.backward()
    return loss


def chain(n: int) -> Value:
    x = Value(1.0, name="first")
    for _ in range(n - 1):
        x = -x
    x.name = "last"
    return x


def groups(drawing: Drawing) -> dict[str, dict[str, ElementTree.Element]]:
    """The SVG's groups: class -> id -> element."""
    need("pygraphviz")
    found: dict[str, dict[str, ElementTree.Element]] = {"node": {}, "edge": {}, "cluster": {}}
    for g in ElementTree.fromstring(drawing.svg).iter(f"{SVG}g"):
        found.setdefault(g.get("class", ""), {})[g.get("id", "")] = g
    return found


def words(element: ElementTree.Element) -> list[str]:
    return ["".join(text.itertext()) for text in element.iter(f"{SVG}text")]


# ------------------------------------------------------------------ drawn
CHARACTERS = st.sampled_from(string.printable) | st.integers(0, 0x10F7FF).map(
    lambda i: chr(i if i < 0xD800 else i + 0x800)  # no half of a pair
)


def texts(min_size: int = 0, max_size: int = 20) -> Any:
    """Any text, without the table of all characters that ``st.text`` makes first: it takes 3 s."""
    return st.lists(CHARACTERS, min_size=min_size, max_size=max_size).map("".join)


# Steps that keep every entry between -1 and 1, so that 200 nodes neither overflow nor vanish.
ONE_INPUT: list[Callable[[Any, Any], Any]] = [
    lambda m, a: m.tanh(2.0 * a),
    lambda m, a: m.exp(a - 1.0),
    lambda m, a: m.log1p(a * a),
    lambda m, a: m.sqrt(a * a + 0.1) / 1.1,
    lambda m, a: m.log(a + 2.5),
    lambda m, a: m.expm1(-m.square(a)),
    lambda m, a: abs(a) - 0.3,
    lambda m, a: (1.2 + a) ** 0.5 / 1.5,
]
TWO_INPUTS: list[Callable[[Any, Any, Any], Any]] = [
    lambda m, a, b: (a + b) / 2,
    lambda m, a, b: 0.5 * a - b * 0.5,
    lambda m, a, b: a * b,
    lambda m, a, b: a / (2.0 + b),
    lambda m, a, b: m.maximum(a, b),
    lambda m, a, b: m.minimum(a, -b),
    lambda m, a, b: m.logaddexp(a, b) - 1.0,
    lambda m, a, b: (1.1 + a) ** b / 9.0,
]
TENSORS: list[Callable[[Any, Any, Any], Any]] = [
    lambda m, a, b: (a * b).mean(-1).reshape(-1, 1) if a.ndim == b.ndim == 2 else a * b,
    lambda m, a, b: (a - m.amax(b)) / 2,
    lambda m, a, b: (a.T @ a / 6 @ b.T).T if a.shape == b.shape == (2, 3) else a,
    lambda m, a, b: a[[-1, 0, 0]].sum() * b / 3 if a.shape[:1] == (3,) else a * b,
]


def random_graph(m: Any, leaves: list[Any], seed: int, steps: int, tensors: bool) -> Any:
    """The same drawn program, whatever m and the leaves are; each node may be used many times."""
    rng = np.random.default_rng(seed)
    nodes = list(leaves)
    two = TWO_INPUTS + TENSORS * tensors
    for _ in range(steps):
        a, b = (nodes[rng.integers(max(0, len(nodes) - 12), len(nodes))] for _ in range(2))
        if rng.uniform() < 0.4:
            nodes.append(ONE_INPUT[rng.integers(len(ONE_INPUT))](m, a))
        else:
            nodes.append(two[rng.integers(len(two))](m, a, b))
    total = nodes[-1].sum() if tensors else nodes[-1]
    for node in nodes[:: max(1, len(nodes) // 8)]:
        total = total + (node.sum() if tensors else node)
    return total
