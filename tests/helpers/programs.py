"""Functions to print as programs, and what runs their source where there is nothing but NumPy."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from conftest import need
from hypothesis import strategies as st

import tinygrad_ce as tg
from tinygrad_ce import Value, program

Case = tuple[Callable[..., Any], list[Any], Any, dict[str, Any]]


BOUND = 1e-11  # of the largest entry: a program adds in another order


def by_backward(f: Callable[..., Any], args: list[Any], wrt: tuple[int, ...]) -> tuple[Any, Any]:
    given = [Value(a) if i in wrt else a for i, a in enumerate(args)]
    out = f(*given)
    if isinstance(out, Value):
        out.backward()
        out = out.data
    zero = [np.zeros(np.shape(a)) for a in args]
    return out, [zero[i] if given[i].grad is None else given[i].grad for i in wrt]


def close(got: Any, wanted: Any, args: Any = ()) -> None:
    got, wanted = np.asarray(got), np.asarray(wanted)
    assert got.shape == wanted.shape
    bound = BOUND if wanted.dtype != np.float32 else 2e-5
    finite = np.abs(wanted[np.isfinite(wanted)])
    np.testing.assert_allclose(got, wanted, bound, bound * max(finite, default=0.0))


FRESH = """
import importlib.util, json, pickle, sys, threading
from pathlib import Path
import numpy as np
assert importlib.util.find_spec("tinygrad_ce") is None
folder = Path(sys.argv[1])
results = []
for i, args in enumerate(pickle.loads((folder / "args.pkl").read_bytes())):
    names = {}
    exec((folder / f"p{i}.py").read_text(), names)
    run = names.get("loss_and_grad") or names["value"]
    before = pickle.dumps(args)
    with np.errstate(all="ignore"):
        first = run(*args)
        kept = pickle.dumps(first)
        found = []
        work = lambda: found.append(pickle.dumps(run(*args)))
        threads = [threading.Thread(target=work) for _ in range(2)] if i % 10 == 0 else []
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        again = pickle.dumps(run(*args))
    assert all(x == kept for x in [*found, again, pickle.dumps(first)]), i
    assert pickle.dumps(args) == before, i
    results.append(first)
Path(folder / "results.pkl").write_bytes(pickle.dumps(results))
"""


def fresh(folder: Path, sources: list[str], args: list[Any]) -> list[Any]:
    """Run sources where there is nothing but NumPy: twice, and in two threads; their results."""

    only = folder / "only"
    only.mkdir()
    site = Path(np.__file__).parents[1]
    for name in ("numpy", "numpy.libs"):
        if (site / name).exists():
            (only / name).symlink_to(site / name)
    for i, source in enumerate(sources):
        (folder / f"p{i}.py").write_text(source, encoding="utf-8")
    (folder / "args.pkl").write_bytes(pickle.dumps(args))
    code = f"import sys; sys.path.append({str(only)!r})\n{FRESH}"
    run = [sys.executable, "-I", "-S", "-c", code, str(folder)]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found: list[Any] = pickle.loads((folder / "results.pkl").read_bytes())
    return found


def ruffed(folder: Path) -> None:
    """The linter of this project finds nothing in the files."""
    need("ruff")
    config = Path(__file__).parents[2] / "pyproject.toml"
    ruff = [sys.executable, "-m", "ruff", "check", "--no-cache", "--config", str(config)]
    theirs = ["--ignore", "SIM300,E712"]  # how the user compares
    run = subprocess.run([*ruff, *theirs, str(folder)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[-3000:]


ONE: list[Callable[[Any], Any]] = [
    np.tanh,
    lambda x: np.exp(np.tanh(x)),
    lambda x: np.log(1.0 + x * x),
    lambda x: np.sqrt(x * x + 1.0),
    lambda x: np.log1p(np.square(x)),
    lambda x: -x,
    lambda x: x**2,
    lambda x: (x * x + 1.0) ** 0.5,
    lambda x: (x * x + 1.0) ** -1.5,
    np.abs,
    lambda x: x / 3.0,
    lambda x: 2.0 - x,
    lambda x: x * 1.0 + 0.0,
    lambda x: np.where(x > 0.1, x, 0.5 * x),
    tg.relu,
    tg.sigmoid,
    lambda x: np.clip(x, -0.5, 0.7),
    lambda x: np.expm1(np.tanh(x)),
]


TWO: list[Callable[[Any, Any], Any]] = [
    np.add,
    np.subtract,
    np.multiply,
    lambda x, y: x / (1.5 + np.tanh(y)),
    np.maximum,
    np.minimum,
    np.logaddexp,
    lambda x, y: (1.5 + np.tanh(x)) ** np.tanh(y),
    lambda x, y: np.where(np.less(x, y), x, y * 2.0),
]


SHAPED: list[Callable[[Any], Any]] = [  # of matrices
    lambda x: np.sum(x, axis=0),
    lambda x: np.sum(x, axis=-1, keepdims=True),
    lambda x: np.mean(x, axis=1),
    lambda x: np.max(x, axis=0, keepdims=True),
    lambda x: np.min(x, axis=1),
    lambda x: x.T @ x,
    lambda x: x @ x.T,
    lambda x: np.reshape(x, -1),
    lambda x: x[::-1, 1:],
    lambda x: x[np.array([0, 0, -1])],
    lambda x: x[:, None, :] + x[:, :, None] if x.shape[0] else x,
    lambda x: np.swapaxes(x, 0, 1),
    lambda x: np.concatenate([x, x * x]),
    lambda x: np.einsum("ij,ij->i", x, x),
    lambda x: tg.softmax(x),
    lambda x: tg.log_softmax(x, axis=0),
    lambda x: np.squeeze(np.expand_dims(x, 0), 0),
    lambda x: np.broadcast_to(x, (2, *np.shape(x))),
    lambda x: np.stack([x, x]),
]


Step = tuple[int, int, int]


def graph(steps: list[Step], seed: int) -> Callable[..., Any]:
    """The function that the steps make of its arguments; every result counts at the end."""

    def f(*args: Any) -> Any:
        pool = list(args)
        for kind, i, j in steps:
            x, y = pool[i % len(pool)], pool[j % len(pool)]
            if kind < len(ONE):
                pool.append(ONE[kind](x))
            elif kind < len(ONE) + len(SHAPED) and np.ndim(x) == 2 and np.shape(x)[1] > 1:
                pool.append(SHAPED[kind - len(ONE)](x))
            else:
                op = TWO[j % len(TWO)]
                try:
                    np.broadcast_shapes(np.shape(x), np.shape(y))
                except ValueError:
                    continue
                pool.append(op(x, y))
        if not any(isinstance(x, Value) for x in pool[len(args) :]):
            pool.append(pool[0] * 2.0)
        total = 0.0
        for x in pool[len(args) :][-3:]:
            total = total + np.mean(x * (1.0 / (1 + seed)))
        return total

    return f


@st.composite
def cases(draw: Any) -> Case:
    seed = draw(st.integers(0, 99))
    rng = np.random.default_rng(seed)
    some = [[(), ()], [(2, 3), (2, 3)], [(3, 2), (2,)], [(), ()], [(3,), (1,)], [(4, 3)]]
    some += [[(1, 3), (2, 1)], [(2, 1, 3), (3,)]]
    shapes = draw(st.sampled_from(some))
    floats = shapes == [(), ()] and draw(st.booleans())
    args: list[Any] = [rng.normal(size=s) for s in shapes]
    args = [float(a) for a in args] if floats else [np.asarray(a) for a in args]
    kinds = st.integers(0, len(ONE) + len(SHAPED) + len(TWO) - 1)
    steps = draw(st.lists(st.tuples(kinds, st.integers(0, 9), st.integers(0, 20)), max_size=10))
    both = len(args) == 1 or draw(st.booleans())
    return graph(steps, seed), args, tuple(range(len(args))) if both else (0,), {}


RNG = np.random.default_rng(0)


Z = RNG.normal(size=(6, 4))


Y = RNG.integers(0, 4, 6)


SOFT = RNG.dirichlet(np.ones(4), 6)


ONE_HOT = np.eye(4)[Y]


WEIGHT = np.array([1.0, 2.0, 0.5, 1.5])


def ce(**how: Any) -> Callable[..., Any]:
    return lambda z, t: tg.cross_entropy(z, t, **how)


LOSSES: dict[str, tuple[Any, ...]] = {
    "textbook": (
        lambda z, t: -(t * np.log(np.exp(z) / np.exp(z).sum(1, keepdims=True))).sum(),
        SOFT,
    ),
    "logsumexp": (lambda z, t: np.mean(tg.logsumexp(z, axis=1) - np.sum(z * t, axis=1)), SOFT),
    "softmax": (lambda z, t: -np.mean(np.log((tg.softmax(z, temperature=2.0) * t).sum(1))), SOFT),
    "log_softmax": (lambda z, t: -(t * tg.log_softmax(z, axis=0)).sum(), SOFT),
    "picked": (lambda z, y: -np.mean(tg.log_softmax(z)[np.arange(6), y]), Y),
    "sigmoid": (lambda z, t: np.mean((tg.sigmoid(z) - t) ** 2), SOFT),
    "relu": (lambda z, t: np.sum(tg.relu(z) * t), SOFT),
    "nll": (lambda z, y: tg.nll(tg.log_softmax(z), y), Y),
    "nll, soft": (lambda z, t: tg.nll(tg.log_softmax(z), t, reduction="sum"), SOFT),
    "binary": (lambda z, t: tg.binary_cross_entropy(z, t, pos_weight=WEIGHT), SOFT),
    "binary, weighted": (lambda z, t: tg.binary_cross_entropy(z, t, weight=WEIGHT), SOFT),
    "logistic": (lambda z, t: tg.logistic_loss(z, t, reduction="sum"), ONE_HOT * 2 - 1),
    "mse": (lambda z, t: tg.mse(z, t), SOFT),
} | {
    f"cross_entropy, {name}, {'fused' if fused else 'composed'}": (ce(fused=fused, **how), target)
    for fused in (True, False)
    for name, how, target in [
        ("index", {}, Y),
        ("one-hot", {}, ONE_HOT),
        ("soft", {}, SOFT),
        ("sum", {"reduction": "sum"}, Y),
        ("axis", {"axis": 0}, RNG.integers(0, 6, 4)),
        ("weight", {"weight": WEIGHT}, Y),
        ("weight, soft", {"weight": WEIGHT}, SOFT),
        ("ignore", {"ignore_index": int(Y[0])}, Y),
        ("smooth", {"label_smoothing": 0.1}, Y),
        ("smooth, soft, weight", {"label_smoothing": 0.1, "weight": WEIGHT}, SOFT),
        ("all", {"label_smoothing": 0.1, "weight": WEIGHT, "ignore_index": int(Y[0])}, Y),
        ("unnormalized", {"allow_unnormalized": True}, 3.0 * SOFT),
    ]
}


def textbook(z: Any, t: Any) -> Any:
    e = np.exp(z)
    p = e / np.sum(e, axis=1, keepdims=True)
    loss = -np.sum(t * np.log(p))
    if isinstance(z, Value):
        e.name, p.name, loss.name = "e", "p", "L"
    return loss


def lines_of(f: Callable[..., Any], at: int) -> int:
    return f.__code__.co_firstlineno + at


def fresh_and_ruffed(folder: Path, f: Any, args: list[Any], **how: Any) -> tuple[Any, str]:
    made = program(f, *args, **how)
    [found] = fresh(folder, [made.source], [args])
    ruffed(folder)
    return found, made.source
