"""The work of the speed table, ours and each peer's, in one run."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import ROWS, Row, find, record

import tinygrad_ce as tg
from tinygrad_ce.losses import kernel
from tinygrad_ce.losses.threads import CPUS

torch = find("torch")
if torch:
    torch.set_num_threads(CPUS)  # as many as ours


CACHE = tempfile.TemporaryDirectory()  # compiled modules are kept, ours and the peers', as a user's
ENVIRONMENT = os.environ | {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": CACHE.name}


def python(code: str, *args: str, **environment: str) -> float:
    """What a fresh interpreter prints: a number."""
    run = [sys.executable, "-c", code, *args]
    env = ENVIRONMENT | environment
    result = subprocess.run(run, capture_output=True, text=True, env=env)
    assert result.returncode == 0, result.stderr
    return float(result.stdout)


def by_turns(code: str, runs: list[list[str]], rounds: int) -> list[list[float]]:
    """For each run what ``rounds`` fresh interpreters print, one of each run at a time."""
    found = [[python(code, *run) for run in runs] for _ in range(rounds)]
    return [list(numbers) for numbers in zip(*found)]


# A plain training loop in a process of its own, with the same modules imported for both: whatever
# a process has imported makes each of micrograd's garbage collections dearer (three times, beside
# PyTorch). Its own network and loss run on its own Value, and on ours in its place.
MLP = """
import gc, random, statistics, sys, time
import tinygrad_ce
from micrograd import nn
if sys.argv[1] == "ours":
    nn.Value = tinygrad_ce.Value
random.seed(0)
net = nn.MLP(2, [16, 16, 1])
xs = [[random.uniform(-1, 1), random.uniform(-1, 1)] for _ in range(20)]
ys = [random.choice([-1, 1]) for _ in range(20)]
times = []
if sys.argv[2] != "on":
    gc.disable()
for _ in range(25):
    start = time.perf_counter()
    loss = sum((1 + -y * net(x)).relu() for x, y in zip(xs, ys)) * (1 / 20)
    net.zero_grad()
    loss.backward()
    times.append(time.perf_counter() - start)
    if sys.argv[2] == "off, but run between steps":
        del loss
        gc.collect()  # outside the clock: so both have memory to reuse
print(statistics.mean(times[5:]))
"""


@pytest.mark.parametrize(
    ("collector", "bars"),
    [
        ("on", {"micrograd": 10}),
        ("off", {"micrograd": 2}),
        ("off, but run between steps", {}),  # no bar: it shows how much of it is fresh memory
    ],
)
def test_scalar_mlp(benchmark: Any, collector: str, bars: dict[str, float]) -> None:
    if not find("micrograd"):
        pytest.skip("micrograd is not installed, whose network this is")
    benchmark.pedantic(lambda: None)
    runs = [["ours", collector], ["micrograd", collector]]
    ours, theirs = by_turns(MLP, runs, 5)
    name = f"scalar MLP 2-16-16-1, 20 samples, garbage collector {collector}"
    record(name, ours, {"micrograd": theirs}, bars, middle=statistics.mean)


def regression_data(n: int, features: int, classes: int) -> tuple[Any, Any, Any, Any]:
    rng = np.random.default_rng(0)
    one_hot = np.eye(classes)[rng.integers(0, classes, n)]
    w = rng.standard_normal((features, classes)) * features**-0.5
    return rng.standard_normal((n, features)), one_hot, w, rng.standard_normal(classes)


def regression_loss(np: Any, data: Callable[[Any], Any], x: Any, t: Any, w: Any, b: Any) -> Any:
    """The loss as anyone writes it in NumPy, and in each peer's namespace; ``data`` detaches."""
    z = x @ w + b
    z = z - data(z).max(axis=1, keepdims=True)
    log_p = z - np.log(np.sum(np.exp(z), axis=1, keepdims=True))
    return np.sum(t * log_p) / -len(x)


def by_hand(x: Any, t: Any, w: Any, b: Any) -> tuple[Any, Any, Any]:
    """The same with p − t worked out on paper, in place where it can be."""
    z = x @ w
    z += b
    z -= z.max(axis=1, keepdims=True)
    p = np.exp(z)
    s = p.sum(axis=1, keepdims=True)
    loss = (np.log(s).sum() - np.vdot(t, z)) / len(x)
    p /= s
    p -= t
    p /= len(x)
    return loss, x.T @ p, p.sum(axis=0)


def regressions(x: Any, t: Any, w: Any, b: Any) -> tuple[Callable, dict[str, Callable | None]]:
    """Loss and gradient of softmax regression: ours, and each peer's that is installed."""
    wv, bv = tg.Value(w), tg.Value(b)

    def ours() -> Any:
        wv.grad = bv.grad = None
        regression_loss(np, lambda z: z.data, x, t, wv, bv).backward()
        return wv.grad, bv.grad

    peers: dict[str, Callable | None] = {"NumPy": lambda: by_hand(x, t, w, b)[1:]}
    if torch:
        xt, tt = torch.tensor(x), torch.tensor(t)
        wt, bt = (torch.tensor(a, requires_grad=True) for a in (w, b))

        def pytorch() -> Any:
            wt.grad = bt.grad = None
            z = xt @ wt + bt
            z = z - z.detach().amax(dim=1, keepdim=True)
            log_p = z - torch.log(torch.sum(torch.exp(z), dim=1, keepdim=True))
            (torch.sum(tt * log_p) / -len(x)).backward()
            return wt.grad.numpy(), bt.grad.numpy()

        peers["PyTorch"] = pytorch
    if find("autograd"):
        anp, getval = find("autograd.numpy"), find("autograd.tracer").getval  # type: ignore

        def loss(w: Any, b: Any) -> Any:
            return regression_loss(anp, getval, x, t, w, b)

        both = find("autograd").value_and_grad(loss, (0, 1))  # type: ignore[union-attr]
        peers["autograd"] = lambda: both(w, b)[1]
    if mg := find("mygrad"):
        wm, bm = mg.tensor(w), mg.tensor(b)

        def mygrad() -> Any:
            wm.null_grad()
            bm.null_grad()
            regression_loss(mg, lambda z: z.data, x, t, wm, bm).backward()
            return wm.grad, bm.grad

        peers["MyGrad"] = mygrad
    return ours, peers


@pytest.mark.parametrize(
    ("size", "bars", "calls"),
    [
        ((32, 4, 3), {"NumPy": 1 / 4, "PyTorch": 3, "autograd": 3, "MyGrad": 3}, 50),
        ((1024, 784, 10), {"NumPy": 1 / 1.15}, 3),
    ],
    ids=str,
)
def test_softmax_regression(compare: Any, size: Any, bars: Any, calls: int) -> None:
    ours, peers = regressions(*regression_data(*size))
    for peer in peers.values():
        for mine, theirs in zip(ours(), peer()):  # type: ignore[misc]
            np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-12)
    name = "×".join(map(str, size))
    compare(f"softmax regression {name}, composed", ours, peers, bars, rounds=25, calls=calls)


COMPILED = tg.config()["kernel"] == "Numba"
FUSED = [  # the last: how many calls are timed at once
    ((32, 10), "float32", 200),
    ((32, 10), "float64", 200),
    ((128, 100), "float32", 200),
    ((128, 100), "float64", 200),
    ((256, 256), "float32", 100),
    ((256, 256), "float64", 100),
    ((512, 512), "float32", 50),
    ((512, 512), "float64", 50),
    ((4096, 100), "float32", 20),
    ((4096, 100), "float64", 20),
    ((1024, 1000), "float32", 20),
    ((1024, 1000), "float64", 20),
    ((4096, 32000), "float32", 1),
]


def fused_bar(entries: int, dtype: str) -> float:
    """How many times our time PyTorch is to take."""
    if not COMPILED:
        return 4 if entries > 2**22 else 1
    if entries >= 2**18:
        return 2.5
    return {"float32": 1.5, "float64": 2}[dtype] if entries >= 2**16 else 1


def by_numpy(call: Callable[[], Any]) -> Callable[[], Any]:
    """The same with the kernel in NumPy, whatever else is there."""

    def run() -> None:
        repaid, kernel.REPAID = kernel.REPAID, {"numbers": sys.maxsize, "classes": 0}
        call()
        kernel.REPAID = repaid

    return run


@pytest.mark.parametrize(("shape", "dtype", "calls"), FUSED, ids=str)
@pytest.mark.parametrize("kind", ["classes", "probabilities"])
def test_fused_cross_entropy(compare: Any, shape: Any, dtype: str, calls: int, kind: str) -> None:
    if kind == "probabilities" and shape != (512, 512):
        pytest.skip("one size is enough")
    rng = np.random.default_rng(0)
    logits = rng.standard_normal(shape, dtype=dtype)  # type: ignore[call-overload]
    target = rng.integers(0, shape[1], shape[0])
    if kind == "probabilities":
        target = tg.softmax(rng.standard_normal(shape).astype(dtype))
    v = tg.Value(logits)

    def ours() -> None:
        v.grad = None
        tg.cross_entropy(v, target).backward()

    peers: dict[str, Any] = {"our NumPy kernel": by_numpy(ours)} if COMPILED else {}
    if torch:
        vt, tt = torch.tensor(logits, requires_grad=True), torch.tensor(target)

        def pytorch() -> None:
            vt.grad = None
            torch.nn.functional.cross_entropy(vt, tt).backward()

        ours()
        pytorch()
        np.testing.assert_allclose(v.grad, vt.grad.numpy(), rtol=1e-3, atol=1e-7)
        peers["PyTorch"] = pytorch
    name = f"fused cross-entropy {shape[0]}×{shape[1]} {dtype}"
    name += ", targets of probabilities" if kind == "probabilities" else ""
    bars = {"PyTorch": fused_bar(logits.size, dtype)}
    if calls == 1:  # so large that memory bounds it
        name += ", beside one copy in NumPy"
        room = np.zeros_like(logits)
        peers["NumPy"] = lambda: np.copyto(room, logits)
        bars["NumPy"] = 1 / 3 if COMPILED else 1 / 3.5
    compare(name, ours, peers, bars, calls=calls, rounds=9 if calls == 1 else 25)


FIRST_CALL = """
import sys, time
import numpy as np, tinygrad_ce as tg
v = tg.Value(np.zeros((256, 256)))
t = np.zeros(256, int)
tg.cross_entropy(tg.Value(v.data[:2]), t[:2]).backward()
start = time.perf_counter()
tg.cross_entropy(v, t).backward()
print(time.perf_counter() - start)
"""


@pytest.mark.skipif(not COMPILED, reason="Numba is not installed")
def test_the_first_large_batch(benchmark: Any) -> None:
    """It imports Numba, and compiles the kernel if no process before has."""
    benchmark.pedantic(lambda: None)
    with tempfile.TemporaryDirectory() as fresh:
        cold, *warm = (python(FIRST_CALL, NUMBA_CACHE_DIR=fresh) for _ in range(6))
    for name, seconds, bar in (("cold", cold, 6.0), ("cached", statistics.median(warm), 0.5)):
        work = f"the first batch for the compiled kernel, {name}"
        ROWS.append(Row(work, f"{seconds:.2g} s", {}, f"≤ {bar:g} s", seconds <= bar))


# VmHWM is this program's own; ru_maxrss also counts the process that started it.
PEAK = """
import re, sys
import numpy as np
z, t = np.empty((4096, 32000), np.float32), np.zeros(4096, int)
np.random.default_rng(0).standard_normal(out=z, dtype=np.float32)
if sys.argv[1] == "ours":
    import tinygrad_ce as tg
    make, loss = tg.Value, tg.cross_entropy
else:
    import torch
    make = lambda z: torch.from_numpy(z).requires_grad_()
    loss, t = torch.nn.functional.cross_entropy, torch.tensor(t)
warm = make(z[:2])
loss(warm, t[:2]).backward()
v = make(z)
status = lambda what: int(re.search(what + r":\\s+(\\d+)", open("/proc/self/status").read())[1])
before = status("VmRSS")
loss(v, t).backward()
print((status("VmHWM") - before - z.nbytes // 1024) / 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status")
def test_peak_memory(benchmark: Any) -> None:
    benchmark.pedantic(lambda: None)
    ours = python(PEAK, "ours")
    assert ours > -1, "the gradient itself was not seen, so the peak was not either"
    peers = {"PyTorch": f"{python(PEAK, 'torch'):.0f} MiB"} if torch else {}
    name = "the same, peak memory beyond the gradient (VmHWM)"
    ROWS.append(Row(name, f"{ours:.1f} MiB", peers, "≤ 16 MiB", ours <= 16))


IMPORT = """
import sys, time
start = time.perf_counter()
getattr(__import__(sys.argv[1]), "Value", None)  # ours is found, with the engine, when asked for
print(time.perf_counter() - start)
"""


def test_import(benchmark: Any) -> None:
    """pytest-benchmark would time the start of the interpreter too."""
    benchmark.pedantic(lambda: None)
    by_turns(IMPORT, [["tinygrad_ce"], ["numpy"]], 1)  # compiles
    ours, numpy = by_turns(IMPORT, [["tinygrad_ce"], ["numpy"]], 25)
    record("import, bytecode cached", ours, {"NumPy": numpy}, {"NumPy": 1 / 1.15})
