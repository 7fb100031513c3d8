"""Compiled programs: against what a good engineer writes by hand, and against the peers."""

from __future__ import annotations

import os
import shutil
import statistics
import warnings
from collections.abc import Callable
from functools import cache
from time import perf_counter
from typing import Any

import numpy as np
import pytest
from conftest import LEFT_OUT, ROWS, Row, find, record, spelled
from test_speed import by_turns, python, regression_data, regression_loss

import tinygrad_ce as tg
from tinygrad_ce import program

torch = find("torch")
jax = find("jax")
if jax:
    jax.config.update("jax_enable_x64", True)
HAND = "plain Python"


# ------------------------------------------------------------------ arrays
def composed(w: Any, b: Any, x: Any, t: Any) -> Any:
    return regression_loss(np, tg.detach, x, t, w, b)


def fused(w: Any, b: Any, x: Any, t: Any) -> Any:
    return tg.cross_entropy(x @ w + b, t)


def hand(w: Any, b: Any, x: Any, t: Any) -> Any:
    """The same with p - t worked out on paper, in place where it can be."""
    z = x @ w
    z += b
    z -= z.max(axis=1, keepdims=True)
    p = np.exp(z)
    s = p.sum(axis=1, keepdims=True)
    loss = (np.log(s).sum() - np.vdot(t, z)) / len(x)
    p /= s
    p -= t
    p /= len(x)
    return loss, (x.T @ p, p.sum(axis=0))


def hand_into(w: Any, b: Any, x: Any, t: Any) -> Callable[[], Any]:
    """The same with every array made once; the next call overwrites what this one returns."""
    z, p = np.empty((2, len(x), len(b)))
    top, s = np.empty((2, len(x), 1))
    dw, db = np.empty_like(w), np.empty_like(b)

    def run() -> Any:
        np.matmul(x, w, out=z)
        np.add(z, b, out=z)
        np.max(z, axis=1, keepdims=True, out=top)
        np.subtract(z, top, out=z)
        np.exp(z, out=p)
        np.sum(p, axis=1, keepdims=True, out=s)
        loss = (np.log(s, out=top).sum() - np.vdot(t, z)) / len(x)
        np.divide(p, s, out=p)
        np.subtract(p, t, out=p)
        np.divide(p, len(x), out=p)
        return loss, (np.matmul(x.T, p, out=dw), np.sum(p, axis=0, out=db))

    return run


def agree(mine: Any, theirs: Any) -> None:
    for a, b in zip(mine, theirs):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@cache
def compiled(loss: Any) -> Callable[..., Any] | None:
    """``torch.compile(loss)``, where there is a C++ compiler."""
    if not shutil.which(os.environ.get("CXX", "g++")) and not shutil.which("clang++"):
        LEFT_OUT["torch.compile"] = "there is no C++ compiler"
        return None
    return torch.compile(loss, dynamic=False, fullgraph=True)  # type: ignore[union-attr]


@cache
def regression_peers(size: tuple[int, int, int]) -> dict[str, Callable[[], Any] | None]:
    """The loss and gradient of softmax regression, by every peer; what compiles has compiled."""
    x, t, w, b = regression_data(*size)
    right = hand(w, b, x, t)[1]
    peers: dict[str, Callable[[], Any] | None] = {
        "NumPy": lambda: hand(w, b, x, t),
        "NumPy, out=": hand_into(w, b, x, t),
    }
    agree(peers["NumPy, out="]()[1], right)  # type: ignore[misc]
    if torch:
        xt, tt = torch.tensor(x), torch.tensor(t)
        wt, bt = (torch.tensor(a, requires_grad=True) for a in (w, b))

        def torch_loss(w: Any, b: Any, x: Any, t: Any) -> Any:
            return torch.nn.functional.cross_entropy(x @ w + b, t)  # type: ignore[union-attr]

        def pytorch(loss: Any) -> Any:
            wt.grad = bt.grad = None
            loss(wt, bt, xt, tt).backward()
            return wt.grad.numpy(), bt.grad.numpy()

        agree(pytorch(torch_loss), right)
        peers["PyTorch"] = lambda: pytorch(torch_loss)
        if faster := compiled(torch_loss):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what the compiler warns of is not our concern
                agree(pytorch(faster), right)
            peers["torch.compile"] = lambda: pytorch(faster)
    if jax:
        jnp = jax.numpy

        def loss(w: Any, b: Any, x: Any, t: Any) -> Any:
            return -jnp.mean(jnp.sum(t * jax.nn.log_softmax(x @ w + b), axis=1))

        both = jax.jit(jax.value_and_grad(loss, (0, 1)))
        args = [jnp.asarray(a) for a in (w, b, x, t)]
        agree(both(*args)[1], right)
        peers["jax.jit"] = lambda: jax.block_until_ready(both(*args))
    return peers


SIZES = [(1, 4, 3), (32, 4, 3), (150, 4, 3), (256, 64, 10), (1024, 784, 10), (8192, 784, 10)]


@pytest.mark.parametrize(
    ("name", "f", "fuse"),
    [("composed", composed, False), ("composed, fuse", composed, True), ("fused", fused, False)],
)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_softmax_regression(compare: Any, size: Any, name: str, f: Any, fuse: bool) -> None:
    x, t, w, b = regression_data(*size)
    made = program(f, w, b, x, t, wrt=(0, 1), fuse=fuse)
    agree(made(w, b, x, t)[1], hand(w, b, x, t)[1])
    bars = {"NumPy": 1 / 1.05, "NumPy, out=": 1 / 1.05, "PyTorch": 1.0}
    if size[0] in (32, 150):
        bars["jax.jit"] = 1.0
    name = f"program, softmax regression {'×'.join(map(str, size))}, {name}"
    calls = 300 if size[0] < 200 else 20 if size[0] < 1000 else 2
    peers = regression_peers(size)
    compare(name, lambda: made(w, b, x, t), peers, bars, rounds=25, calls=calls)


def mlp(w1: Any, b1: Any, w2: Any, b2: Any, x: Any, t: Any) -> Any:
    return composed(w2, b2, tg.relu(x @ w1 + b1), t)


def mlp_by_hand(w1: Any, b1: Any, w2: Any, b2: Any, x: Any, t: Any) -> Any:
    h = x @ w1
    h += b1
    np.maximum(h, 0.0, out=h)
    loss, (dw2, db2), p = _top(w2, b2, h, t)
    dh = p @ w2.T
    dh *= h > 0
    return loss, (x.T @ dh, dh.sum(axis=0), dw2, db2)


def _top(w: Any, b: Any, x: Any, t: Any) -> Any:
    z = x @ w
    z += b
    z -= z.max(axis=1, keepdims=True)
    p = np.exp(z)
    s = p.sum(axis=1, keepdims=True)
    loss = (np.log(s).sum() - np.vdot(t, z)) / len(x)
    p /= s
    p -= t
    p /= len(x)
    return loss, (x.T @ p, p.sum(axis=0)), p


@pytest.mark.parametrize(("n", "bar"), [(32, 2.0), (256, 1.0)])
def test_two_layers(compare: Any, n: int, bar: float) -> None:
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(n, 64)), np.eye(10)[rng.integers(0, 10, n)]
    params = [rng.normal(size=s) * 0.1 for s in ((64, 128), (128,), (128, 10), (10,))]
    made = program(mlp, *params, x, t, wrt=range(4))
    agree(made(*params, x, t)[1], mlp_by_hand(*params, x, t)[1])
    peers: dict[str, Any] = {"NumPy": lambda: mlp_by_hand(*params, x, t)}
    if torch:
        xt, tt = torch.tensor(x), torch.tensor(t)
        own = [torch.tensor(p, requires_grad=True) for p in params]

        def pytorch() -> Any:
            for p in own:
                p.grad = None
            w1, b1, w2, b2 = own
            z = torch.relu(xt @ w1 + b1) @ w2 + b2
            torch.nn.functional.cross_entropy(z, tt).backward()
            return [p.grad.numpy() for p in own]

        agree(pytorch(), made(*params, x, t)[1])
        peers["PyTorch"] = pytorch
    name = f"program, two layers 64-128-10, batch {n}"
    bars = {"NumPy": 1 / 1.1, "PyTorch": bar}
    compare(name, lambda: made(*params, x, t), peers, bars, rounds=25, calls=50)


# ------------------------------------------------------------------ numbers
def tiny(a: Any, b: Any) -> Any:
    """BurTorch's first example."""
    c = a + b
    d = a * b + b**3
    e = c - d
    f = e**2
    return f / 2


def tiny_by_hand(a: float, b: float) -> Any:
    """The derivative simplified on paper."""
    e = a + b - a * b - b**3
    return e * e / 2, (e * (1 - b), e * (1 - a - 3 * b**2))


def expression(a: Any, b: Any) -> Any:
    """The expression of micrograd's README."""
    relu = tg.relu if isinstance(a, tg.Value) else (lambda x: x.relu())
    c = a + b
    d = a * b + b**3
    c = c + (c + 1)
    c = c + (1 + c + (-a))
    d = d + (d * 2 + relu(b + a))
    d = d + (3 * d + relu(b - a))
    e = c - d
    f = e**2
    return f / 2.0 + 10.0 / f


def expression_by_hand(a: float, b: float) -> Any:
    """Its derivative, as one writes it in Python; f, and not f / 2 twice."""
    s, d0 = a + b, a * b + b**3
    plus, minus = s if s > 0 else 0.0, b - a if b > a else 0.0
    d1 = 3 * d0 + plus
    e = 4 * s + 3 - a - (4 * d1 + minus)
    f = e**2
    de = (0.5 - 10.0 / f**2) * 2 * e
    step_plus, step_minus = (4.0 if s > 0 else 0.0), (1.0 if b > a else 0.0)
    da = de * (3.0 - 12 * b - step_plus + step_minus)
    db = de * (4.0 - 12 * (a + 3 * b**2) - step_plus - step_minus)
    return f / 2 + 10.0 / f, (da, db)


@pytest.mark.parametrize(
    ("name", "f", "by_hand", "at", "bars"),
    [
        ("BurTorch's tiny graph", tiny, tiny_by_hand, (-41.0, 2.0), (60, 150)),
        ("micrograd's README expression", expression, expression_by_hand, (-4.0, 2.0), (75, 1)),
    ],
)
def test_few_numbers(
    compare: Any, name: str, f: Any, by_hand: Any, at: tuple[float, float], bars: Any
) -> None:
    made = program(f, *at, wrt=(0, 1))
    a, b = at
    value, slopes = made(a, b)
    right = by_hand(a, b)
    np.testing.assert_allclose([value, *slopes], [right[0], *right[1]], rtol=1e-12)
    peers: dict[str, Any] = {HAND: lambda: by_hand(a, b)}
    if engine := find("micrograd.engine"):

        def micrograd() -> Any:
            x, y = engine.Value(a), engine.Value(b)
            out = f(x, y)
            out.backward()
            return x.grad, y.grad

        np.testing.assert_allclose(micrograd(), slopes, rtol=1e-12)
        peers["micrograd"] = micrograd
    if torch:

        def pytorch() -> Any:
            x, y = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in at)
            f(x, y).backward()
            return x.grad, y.grad

        peers["PyTorch"] = pytorch
    wanted = {HAND: 1 / 1.7, "micrograd": bars[0], "PyTorch": bars[1]}
    compare(f"program, {name}", lambda: made(a, b), peers, wanted, rounds=25, calls=3000, mean=True)


# As in test_speed: a process of its own for each, with the same modules imported.
SCALAR_MLP = """
import gc, random, statistics, sys, time
import tinygrad_ce
try:
    from micrograd.engine import Value
except ImportError:
    assert sys.argv[1] != "micrograd"
sizes, samples = [2, 16, 16, 1], 20
random.seed(0)
many = sum((i + 1) * o for i, o in zip(sizes, sizes[1:]))
params = [random.uniform(-1, 1) for _ in range(many)]
xs = [random.uniform(-1, 1) for _ in range(2 * samples)]
ys = [random.choice([-1.0, 1.0]) for _ in range(samples)]

def loss(*args):  # of Values, ours or micrograd's
    supply = iter(args)
    layers = [[[next(supply) for _ in range(i + 1)] for _ in range(o)]
              for i, o in zip(sizes, sizes[1:])]
    points = [[next(supply), next(supply)] for _ in range(samples)]
    total = 0.0
    for h in points:
        for layer in layers:
            h = [sum((w * x for w, x in zip(row, h)), row[-1]) for row in layer]
            h = [v.relu() for v in h] if layer is not layers[-1] else h
        total = total + (1.0 + -next(supply) * h[0]).relu()
    return total * (1.0 / samples)

def by_hand(params, xs, ys):
    supply = iter(params)
    layers = [[[next(supply) for _ in range(i + 1)] for _ in range(o)]
              for i, o in zip(sizes, sizes[1:])]
    slopes = [[[0.0] * len(row) for row in layer] for layer in layers]
    total, share = 0.0, 1.0 / samples
    for k, y in enumerate(ys):
        h = xs[2 * k : 2 * k + 2]
        kept = []
        for layer in layers:
            kept.append(h)
            out = []
            for row in layer:
                v = row[-1]
                for w, x in zip(row, h):
                    v += w * x
                out.append(v if v > 0.0 or layer is layers[-1] else 0.0)
            h = out
        margin = 1.0 - y * h[0]
        if margin <= 0.0:
            continue
        total += margin
        back = [-y * share]
        for layer, slope, h in zip(reversed(layers), reversed(slopes), reversed(kept)):
            before = [0.0] * len(h)
            for row, own, g in zip(layer, slope, back):
                if g:
                    for i, x in enumerate(h):
                        own[i] += g * x
                        before[i] += g * row[i]
                    own[-1] += g
            back = [g if x > 0.0 else 0.0 for g, x in zip(before, h)]
    return total * share, [g for layer in slopes for row in layer for g in row]

if sys.argv[1] == "program":
    start = time.perf_counter()
    made = tinygrad_ce.program(loss, *params, *xs, *ys, wrt=range(many))
    compiled = time.perf_counter() - start
    run = lambda: made(*params, *xs, *ys)
    right = by_hand(params, xs, ys)
    value, slopes = run()
    assert abs(value - right[0]) < 1e-12
    assert max(abs(a - b) for a, b in zip(slopes, right[1])) < 1e-12
elif sys.argv[1] == "micrograd":
    def run():
        leaves = [Value(p) for p in params]
        out = loss(*leaves, *xs, *ys)
        out.backward()
        return out.data, [v.grad for v in leaves]
else:
    run = lambda: by_hand(params, xs, ys)
if sys.argv[2] == "off":
    gc.disable()
times = []
for _ in range(30):
    start = time.perf_counter()
    run()
    times.append(time.perf_counter() - start)
print(compiled if sys.argv[2] == "compile" else statistics.mean(times[10:]))  # warm
"""


@pytest.mark.parametrize(("collector", "bar"), [("on", 300), ("off", 25)])
def test_scalar_mlp(benchmark: Any, collector: str, bar: float) -> None:
    benchmark.pedantic(lambda: None)
    there = ["program", "by hand", *(["micrograd"] if find("micrograd") else [])]
    taken = by_turns(SCALAR_MLP, [[name, collector] for name in there], 5)
    ours, *theirs = taken
    name = f"program, scalar MLP 2-16-16-1, 20 samples, garbage collector {collector}"
    peers = dict(zip([HAND, "micrograd"], theirs))
    record(name, ours, peers, {HAND: 1 / 1.3, "micrograd": bar}, middle=statistics.mean)


def test_compile(benchmark: Any) -> None:
    benchmark.pedantic(lambda: None)
    seconds = python(SCALAR_MLP, "program", "compile")
    work = "tracing and compiling that MLP"
    ROWS.append(Row(work, spelled(seconds), {}, "≤ 3 s", seconds <= 3))
    x, t, w, b = regression_data(32, 4, 3)

    def fifty(w: Any, b: Any, x: Any, t: Any) -> Any:
        for _ in range(19):
            x = np.tanh(x * 1.1)
        return composed(w, b, x, t)

    times = []
    for _ in range(11):
        start = perf_counter()
        program(fifty, w, b, x, t, wrt=(0, 1, 2))
        times.append(perf_counter() - start)
    took = sorted(times)[5]
    ROWS.append(Row("the same of a loss of 50 nodes", spelled(took), {}, "≤ 20 ms", took <= 0.02))
