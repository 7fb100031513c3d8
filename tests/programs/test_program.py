"""Programs: their source in an interpreter that has NumPy alone, against ``backward()``."""

from __future__ import annotations

import itertools
import math
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from conftest import need
from hypothesis import Phase, given, settings
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


# ------------------------------------------------------------------ a fresh interpreter
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
    import pickle

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


# ------------------------------------------------------------------ graphs drawn
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
    lambda x: x[np.array([0, 0, 1])],
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
    shapes = draw(
        st.sampled_from([[(2, 3), (2, 3)], [(3, 2), (2,)], [(), ()], [(3,), (1,)], [(4, 3)]])
    )
    floats = shapes == [(), ()] and draw(st.booleans())
    args: list[Any] = [rng.normal(size=s) for s in shapes]
    args = [float(a) for a in args] if floats else [np.asarray(a) for a in args]
    kinds = st.integers(0, len(ONE) + len(SHAPED) + len(TWO) - 1)
    steps = draw(st.lists(st.tuples(kinds, st.integers(0, 9), st.integers(0, 20)), max_size=10))
    both = len(args) == 1 or draw(st.booleans())
    return graph(steps, seed), args, tuple(range(len(args))) if both else (0,), {}


def test_500_drawn_graphs_in_a_fresh_interpreter(tmp_path: Path) -> None:
    drawn: list[tuple[str, list[Any], Any]] = []

    @given(cases(), st.booleans())
    @settings(max_examples=500, phases=[Phase.generate], database=None)
    def draw(case: Case, clean: bool) -> None:
        f, args, wrt, _ = case
        with np.errstate(all="ignore"):
            wanted = by_backward(f, args, wrt)
            made = program(f, *args, wrt=wrt, clean=clean)
            value, slopes = made(*args)
        close(value, wanted[0])
        for got, want in zip(slopes, wanted[1]):
            close(got, want)
        drawn.append((made.source, args, wanted))

    draw()
    assert len({source for source, _, _ in drawn}) > 400
    results = fresh(tmp_path, [source for source, _, _ in drawn], [args for _, args, _ in drawn])
    for (value, slopes), (_, _, wanted) in zip(results, drawn):
        close(value, wanted[0])
        for got, want in zip(slopes, wanted[1]):
            close(got, want)
    ruffed(tmp_path)
    numbers = [source for source, args, _ in drawn if isinstance(args[0], float)]
    assert len(numbers) > 20
    assert not any("numpy" in source for source in numbers)


# ------------------------------------------------------------------ the losses of the package
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


def test_every_loss_in_a_fresh_interpreter(tmp_path: Path) -> None:
    """On other data than it was printed for: nothing of the example may be left in it."""
    other = np.random.default_rng(1)
    sources, given, wanted = [], [], []
    for name, (f, target) in LOSSES.items():
        for clean in (True, False):
            for dtype in (np.float64, np.float32):
                made = program(f, Z.astype(dtype), target, clean=clean)
                z = (3.0 * other.normal(size=Z.shape)).astype(dtype)
                t = other.permutation(target) if "axis" not in name else target
                if "one-hot" in name:
                    t = other.permutation(SOFT)  # from one-hot to soft
                sources.append(made.source)
                given.append([z, t])
                wanted.append(by_backward(f, [z, t], (0,)))
    for (value, slope), (right, [back]), source in zip(
        fresh(tmp_path, sources, given), wanted, sources
    ):
        assert slope.dtype == back.dtype, source
        close(value, np.asarray(right, slope.dtype))
        close(slope, back)
    ruffed(tmp_path)


def test_masked_classes_and_large_logits() -> None:
    z = np.array([[1000.0, -np.inf, 0.0], [-1000.0, 1000.0, -np.inf]])
    y = np.array([0, 1])
    for fused in (True, False):
        f = ce(fused=fused)
        value, slope = program(f, np.zeros((2, 3)), np.array([0, 0]))(z, y)
        right, [back] = by_backward(f, [z, y], (0,))
        close(value, right)
        close(slope, back)


# ------------------------------------------------------------------ what is printed
def textbook(z: Any, t: Any) -> Any:
    e = np.exp(z)
    p = e / np.sum(e, axis=1, keepdims=True)
    loss = -np.sum(t * np.log(p))
    if isinstance(z, Value):
        e.name, p.name, loss.name = "e", "p", "L"
    return loss


def test_names_of_the_user_and_shapes_stand_in_the_source() -> None:
    for clean in (True, False):
        source = program(textbook, Z, SOFT, clean=clean).source
        assert "def loss_and_grad(z, t):" in source
        for line in ("e = np.exp(z)  # exp, (6, 4)", "grad_p = ", "return L, grad_z"):
            assert line in source
        lines = [line for line in source.splitlines() if " = " in line]
        assert all("#" in line or "#" in before for before, line in zip(["", *lines], lines))


def test_cleaning_does_the_same_with_less() -> None:
    def f(x: Any, t: Any) -> Any:
        return np.sum((np.exp(x) * 1.0 + 0.0) / (np.exp(x) * (2.0 * 3.0))) + np.sum(x * x / 1.0)

    raw, clean = (program(f, Z, SOFT, clean=c) for c in (False, True))
    assert raw.source.count("np.exp") == 2
    assert clean.source.count("np.exp") == 1
    assert len(clean.source) < 0.6 * len(raw.source)
    assert "* 1.0" in raw.source
    for gone in ("* 1.0", "+ 0.0", "/ 1.0", "broadcast_to"):
        assert gone not in clean.source
    for a, b in zip(raw(Z, SOFT), clean(Z, SOFT)):
        close(a, b)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_relu_of_an_array_is_a_maximum(dtype: Any) -> None:
    x = np.array([-np.inf, -1.0, -0.0, 0.0, 5e-324, 2.0, np.inf, np.nan] * 5, dtype)
    raw, clean = (program(tg.relu, x, wrt=None, clean=c) for c in (False, True))
    assert "np.maximum(x, 0.0)" in clean.source
    assert clean(x).tobytes() == raw(x).tobytes()
    for near in (
        lambda x: np.where(x <= 0, 1.0, x),
        lambda x: np.where(x <= 0.5, 0.0, x),
        lambda x: np.where(x <= 0, 0.0, 2.0 * x),
        lambda x: np.where(x < 0, 0.0, x),
        lambda x: np.where(x <= 0, 0.0, x[0]),
        lambda x: np.where(x <= 0, -0.0, x),
    ):
        assert "np.where" in program(near, x, wrt=None).source
    assert "maximum" not in program(tg.relu, 0.5).source


@pytest.mark.parametrize("columns", [1, 3, 32, 33])
@pytest.mark.parametrize("f", [np.max, np.min])
def test_the_largest_of_short_rows(f: Any, columns: int) -> None:
    x = RNG.normal(size=(40, columns))
    x[3, 0], x[5], x[7, -1] = np.nan, -np.inf, np.inf
    for axis, keepdims in itertools.product((0, 1, -1, None), (False, True)):
        g = lambda x, a=axis, k=keepdims: f(x, axis=a, keepdims=k) * 1.0
        np.testing.assert_array_equal(program(g, x, wrt=None)(x), g(x))


def test_no_line_for_what_nobody_asked() -> None:
    x, w, b = RNG.normal(size=(5, 3)), RNG.normal(size=(3, 2)), np.zeros(2)

    def f(x: Any, w: Any, b: Any) -> Any:
        np.max(x) + np.min(w)
        return np.sum(np.tanh(x @ w + b))

    both = program(f, x, w, b, wrt=(1, 2))
    assert "grad_x" not in both.source
    assert "np.max" not in both.source
    assert "x.T @" in both.source
    value, (dw, db) = both(x, w, b)
    right, wanted = by_backward(f, [x, w, b], (1, 2))
    close(value, right)
    close(dw, wanted[0])
    close(db, wanted[1])


def test_sum_of_what_was_broadcast_is_a_product() -> None:
    b = RNG.normal(size=3)
    made = program(lambda b: np.sum(np.sum(np.broadcast_to(b, (5, 3)), axis=0) ** 2), b)
    assert "broadcast_to" not in made.source
    close(made(b)[1], 50.0 * b)


def test_what_is_returned_is_written_into_by_nothing_later() -> None:
    def f(x: Any) -> Any:
        return [x + 1.0, np.exp(x) * 2.0, np.tanh(x * 3.0) - x]

    x = RNG.normal(size=(64, 64))
    for found, wanted in zip(program(f, x, wrt=None)(x), f(x)):
        np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_no_sum_over_an_axis_of_length_one() -> None:
    one = np.ones((1, 3))
    made = program(lambda x: np.sum(np.sum(x, axis=(0, 1), keepdims=True) ** 2), one)
    assert "x.sum(axis=1, keepdims=True)" in made.source
    close(made(2.0 * one)[1], 12.0 * one)


def test_save_and_str(tmp_path: Path) -> None:
    made = program(textbook, Z, SOFT)
    made.save(tmp_path / "loss_and_grad.py")
    text = (tmp_path / "loss_and_grad.py").read_text(encoding="utf-8")
    assert text == made.source == f"{made}\n"
    missing = tmp_path / "nowhere" / "loss_and_grad.py"
    with pytest.raises(FileNotFoundError, match=r"nowhere/loss_and_grad\.py'$"):  # no .part file
        made.save(missing)


def test_hessians_of_losses_at_class_indices() -> None:
    for f in (
        lambda z, y: -np.mean(tg.log_softmax(z)[np.arange(6), y]),
        lambda z, y: tg.nll(tg.log_softmax(z), y),
        lambda z, y: tg.cross_entropy(z, y, fused=False),
    ):
        made, y = program(tg.hessian(f), Z, Y), (Y + 1) % 4
        np.testing.assert_allclose(made(Z, y), tg.hessian(f)(Z, y), atol=1e-15)
        steps = program(tg.hvp(f), Z, Y, Z)
        np.testing.assert_allclose(steps(Z, y, Z), tg.hvp(f)(Z, y, Z), atol=1e-14)


def test_hessian_of_the_softmax_loss() -> None:
    for f in (lambda z: tg.cross_entropy(z, 1), lambda z: tg.logsumexp(z) - z[1]):
        made = program(tg.hessian(f), Z[0])
        p = tg.softmax(Z[1])
        np.testing.assert_allclose(made(Z[1]), np.diag(p) - np.outer(p, p), atol=1e-14)
    both = program(tg.hvp(textbook), Z, SOFT, Z)
    np.testing.assert_allclose(both(Z, SOFT, Z), tg.hvp(textbook)(Z, SOFT, Z), atol=1e-13)
    value, slope = program(tg.grad(lambda x: x**3), 2.0)(3.0)
    assert (value, slope) == (27.0, 18.0)


def test_the_tour_prints_its_loss_raw_and_cleaned(capsys: pytest.CaptureFixture[str]) -> None:
    from tinygrad_ce.__main__ import main

    z, t = np.array([1.0, 2.0, -3.0]), np.eye(3)[1]
    assert main(["--source", "--logits", "1", "2", "-3", "--target", "1"]) == 0
    raw, clean = capsys.readouterr().out.split("The same, cleaned\n-----------------\n")
    raw = raw.partition("---\n")[2]
    for text in (raw, clean):
        names: dict[str, Any] = {}
        exec(text, names)
        value, slope = names["loss_and_grad"](z, t)
        close(value, tg.cross_entropy(z, t))
        close(slope, tg.softmax(z) - t)
    assert len(raw) > len(clean)


# ------------------------------------------------------------------ arguments
def test_structures_of_arguments() -> None:
    params = {"w": RNG.normal(size=(4, 2)), "layers": [np.ones(2), (0.5, np.zeros(2))]}

    def f(p: Any, x: Any) -> Any:
        first, (scale, last) = p["layers"]
        return np.sum(np.tanh(x @ p["w"] * scale + first) * last + last)

    made = program(f, params, Z)
    value, slope = made(params, Z)
    right, wanted = tg.value_and_grad(f)(params, Z)
    close(value, right)
    assert isinstance(slope["layers"][1], tuple)
    for got, want in (
        (slope["w"], wanted["w"]),
        (slope["layers"][0], wanted["layers"][0]),
        (slope["layers"][1][0], wanted["layers"][1][0]),
        (slope["layers"][1][1], wanted["layers"][1][1]),
    ):
        close(got, want)
    names: dict[str, Any] = {}
    exec(made.source, names)
    close(names["loss_and_grad"](params, Z)[1]["w"], wanted["w"])


class Layer(NamedTuple):
    w: Any
    b: Any


def test_named_tuples_come_back_as_they_are() -> None:
    def f(p: Layer, q: tuple[Layer, float]) -> Any:
        return np.sum(np.tanh(Z @ p.w + p.b) * q[0].b) / q[1]

    p, q = Layer(RNG.normal(size=(4, 2)), np.ones(2)), (Layer(np.ones(1), np.ones(2)), 3.0)
    made = program(f, p, q, wrt=(0, 1))
    slope, inner = made(p, q)[1]
    assert isinstance(slope, Layer)
    assert isinstance(inner[0], Layer)
    close(slope.b, tg.grad(f)(p, q).b)
    names: dict[str, Any] = {}
    exec(made.source, names)
    plain = names["loss_and_grad"](p, q)[1][0]
    assert plain.__class__ is tuple
    close(plain[0], slope.w)


def test_a_named_tuple_of_numbers_where_python_raises() -> None:
    made = program(lambda a: Layer(np.exp(a), [a]), 0.5, wrt=None)
    for x, e in ((0.0, 1.0), (1000.0, math.inf)):
        with np.errstate(all="ignore"):
            found = made(x)
        assert found == Layer(e, [x])
        assert isinstance(found, Layer)


@pytest.mark.parametrize(
    "how", [{}, {"fused": False}, {"ignore_index": -7}, {"weight": WEIGHT, "label_smoothing": 0.1}]
)
def test_a_class_out_of_range_is_refused_in_every_call(how: Any) -> None:
    made = program(ce(**how), Z, Y)  # its arguments are z and t
    names: dict[str, Any] = {}
    exec(made.source, names)
    for bad in (4, -1, -100):
        y = Y.copy()
        y[2] = bad
        for run in (made, names["loss_and_grad"]):
            with pytest.raises(IndexError, match="t: wanted indices from 0 to 3"):
                run(Z, y)
    y = (Y + 1) % 4
    y[0] = how.get("ignore_index", y[0])
    right, [back] = by_backward(ce(**how), [Z, y], (0,))
    value, slope = made(Z, y)
    close(value, right)
    close(slope, back)


def test_an_entry_of_each_row_is_written_not_added() -> None:
    """np.add.at takes several times as long; it stays where an entry may be read twice."""
    rows, other = np.arange(6), np.random.default_rng(3)
    for f, at in (
        (lambda z, y: np.sum(np.tanh(z[rows, y])), False),
        (lambda z, y: np.sum(np.tanh(z[y])), True),
        (lambda z, y: np.sum(np.tanh(z[:, 1:])), False),
        (lambda z, y: np.sum(np.tanh(np.take_along_axis(z, y[:, None], 1))), False),
        (lambda z, y: np.sum(np.tanh(z[rows // 2, y])), True),
        (lambda z, y: np.sum(np.tanh(z[rows // 2, rows % 2])), False),
        (lambda z, y: np.sum(np.tanh(z[rows - 3, y])), True),
    ):
        made = program(f, Z, Y)
        assert ("add.at" in made.source) is at, made
        y = other.integers(0, 4, 6)
        right, [back] = by_backward(f, [Z, y], (0,))
        value, slope = made(Z, y)
        close(value, right)
        close(slope, back)


def test_other_shapes_and_dtypes_make_another_program() -> None:
    calls = []

    def f(x: Any) -> Any:
        calls.append(np.shape(x))
        return np.sum(x * x)

    made = program(f, np.ones(3))
    for n in (3, 4, 3, 4, 5):
        close(made(np.arange(float(n)))[1], 2.0 * np.arange(n))
    assert made(np.ones(3, np.float32))[1].dtype == np.float32
    assert made([1, 2, 3])[1].tolist() == [2.0, 4.0, 6.0]
    assert made(2.0) == (4.0, 4.0)
    assert calls == [(3,), (4,), (5,), (3,), ()]
    for n in range(6, 40):
        made(np.ones(n))
    before = len(calls)
    made(np.ones(39))
    made(np.ones(38))
    assert len(calls) == before
    made(np.ones(4))
    assert len(calls) == before + 1, "more than 16 were kept"


def test_without_retrace_other_arguments_are_refused() -> None:
    made = program(lambda x: np.sum(x * x), np.ones(3), retrace=False)
    assert made(np.ones(3))[0] == 3.0
    with pytest.raises(ValueError, match=r"got x: float64\[4\], wanted x: float64\[3\]"):
        made(np.ones(4))
    with pytest.raises(ValueError, match="float32"):
        made(np.ones(3, np.float32))


def test_whole_numbers_and_text_are_fixed() -> None:
    def f(x: Any, power: int, how: str) -> Any:
        return np.sum(x**power) if how == "sum" else np.mean(x**power)

    made = program(f, np.ones(3), 2, "sum")
    assert made(np.full(3, 2.0), 2, "sum")[0] == 12.0
    assert made(np.full(3, 2.0), 3, "mean")[0] == 8.0
    names: dict[str, Any] = {}
    exec(made.source, names)
    with pytest.raises(ValueError, match="this program is for power = 2"):
        names["loss_and_grad"](np.ones(3), 3, "sum")


def test_results_belong_to_the_caller() -> None:
    def f(x: Any, w: Any) -> Any:
        return np.sum(x * w) + np.sum(np.reshape(x, -1))

    x, w = np.ones((2, 3)), np.full((2, 3), 2.0)
    for clean in (True, False):
        made = program(f, x, w, wrt=(0, 1), clean=clean)
        value, (dx, dw) = made(x, w)
        dx *= 7.0
        dw *= 7.0
        assert (x == 1.0).all()
        assert (w == 2.0).all()
        again = made(x, w)
        assert again[0] == value == 18.0
        assert (again[1][0] == 3.0).all()
        assert (again[1][1] == 1.0).all()
    zero, same = program(lambda x, c: np.sum(c * c), x, w)(x, w), program(lambda x: np.sum(x), x)(x)
    for slope in (zero[1], same[1]):
        slope += 1.0  # writable


def test_threads_share_a_program() -> None:
    made, found = program(textbook, Z, SOFT), []
    data = [RNG.normal(size=(n, 4)) for n in (6, 7, 8, 9) * 5]

    def work(z: Any) -> None:
        t = np.full(z.shape, 0.25)
        found.append((made(z, t)[1], by_backward(textbook, [z, t], (0,))[1][0]))

    threads = [threading.Thread(target=work, args=(z,)) for z in data]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(found) == 20
    for got, want in found:
        close(got, want)


# ------------------------------------------------------------------ what a record cannot hold
def lines_of(f: Callable[..., Any], at: int) -> int:
    return f.__code__.co_firstlineno + at


def branch(z: Any) -> Any:
    total = z.sum()
    if total > 0:
        return total
    return -total


def looped(z: Any) -> Any:
    while np.sum(z) > 1.0:
        z = z / 2.0
    return z.sum()


def by_data(z: Any) -> Any:
    if z.data.max() > 3:
        return z.sum()
    return -z.sum()


def number(z: Any) -> Any:
    return np.sum(z) * float(z.data.max())


def number_of_a_value(z: Any) -> Any:
    return np.sum(z) * float(np.sum(z))


def whole_number_of_a_value(z: Any) -> Any:
    return np.sum(z) * int(z[0, 0])


def complex_number_of_a_value(z: Any) -> Any:
    return np.sum(z) * complex(z[0, 0])


def index_of_a_value(z: Any) -> Any:
    return np.sum(z) * [1.0, 2.0][z[0, 0]]


def array_of_a_value(z: Any) -> Any:
    return np.sum(z) * np.array(z)


def truth_of_a_value(z: Any) -> Any:
    return np.sum(z) if z else 0.0


def scalar_math(z: Any) -> Any:
    return np.sum(z) * math.exp(z.data[0, 0])


def scalar_math_of_a_value(z: Any) -> Any:
    return np.sum(z) * math.exp(z[0, 0])


def equality(z: Any) -> Any:
    return np.sum(np.where(z[0] == 1.0, z[0], 0.0))


def equality_of_two(z: Any, t: Any) -> Any:
    return np.sum(np.where(z == t, z, 0.0))


def caught(z: Any) -> Any:
    try:
        assert np.all(z > 0)
    except (AssertionError, TypeError):
        return -z.sum()
    return z.sum()


def inequality(z: Any) -> Any:
    total = np.sum(z)
    if total != 0:
        return 1.0 / total
    return total


def item(z: Any) -> Any:
    return np.sum(z) * z.data[0, 0].item()


def made_array(z: Any) -> Any:
    return np.sum(z * np.array(z.data))


def one_hot(z: Any, y: Any) -> Any:
    return np.sum(z * np.eye(4)[y])


def written(z: Any, t: Any) -> Any:
    t[0] = 1.0
    return np.sum(z * t)


def in_place(z: Any, t: Any) -> Any:
    t += 1.0
    return np.sum(z * t)


def into(z: Any, t: Any) -> Any:
    np.exp(t, out=t)
    return np.sum(z * t)


def copied(z: Any, t: Any) -> Any:
    np.copyto(t, 0.0)
    return np.sum(z * t)


def ranged(z: Any, y: Any) -> Any:
    return np.sum(z) * sum(range(y[0]))


@pytest.mark.parametrize(
    ("f", "line"),
    [
        (branch, 2), (looped, 1), (by_data, 1), (number, 1), (scalar_math, 1), (item, 1),
        (made_array, 1), (one_hot, 1), (written, 1), (in_place, 1), (into, 1), (copied, 1),
        (ranged, 1), (number_of_a_value, 1), (whole_number_of_a_value, 1),
        (complex_number_of_a_value, 1), (index_of_a_value, 1), (array_of_a_value, 1),
        (truth_of_a_value, 1), (scalar_math_of_a_value, 1), (equality, 1), (inequality, 2),
        (equality_of_two, 1), (caught, 2),
    ],
)  # fmt: skip
def test_what_depends_on_data_is_refused_with_its_line(f: Any, line: int) -> None:
    more = [] if f.__code__.co_argcount == 1 else [Y] if f in (one_hot, ranged) else [SOFT.copy()]
    with pytest.raises(TypeError, match=f"test_program.py, line {lines_of(f, line)}: .* depends"):
        program(f, Z, *more)
    if more and more[0] is not Y:
        assert (more[0] == SOFT).all()


def test_what_is_computed_from_arguments_in_plain_numpy_is_recorded() -> None:
    """Also what carries no gradient: a maximum, a mask, a table of one-hot rows, statistics."""

    def f(z: Any, y: Any, x: Any) -> Any:
        t = (y[:, None] == np.arange(4)).astype(float)
        top = z.data.max(axis=1, keepdims=True)
        x = (x - x.mean(axis=0)) / np.std(x, axis=0)
        mask = (y != y.max()).astype(float)[:, None]
        return np.sum((z - top) * t * mask * x) + len(x) + x.shape[1]

    made = program(f, Z, Y, SOFT)
    other, labels, x = RNG.normal(size=Z.shape), (Y + 1) % 4, RNG.normal(size=Z.shape)
    value, slope = made(other, labels, x)
    right, [back] = by_backward(f, [other, labels, x], (0,))
    close(value, right)
    close(slope, back)


def test_a_table_at_class_indices() -> None:
    """``np.eye(k)[y]`` cannot be recorded: NumPy asks y for plain numbers; the error says how."""
    with pytest.raises(TypeError, match=r"for np.eye\(k\)\[y\], y\[:, None\] == np.arange\(k\)"):
        program(one_hot, Z, Y)
    made = program(lambda z, y: np.sum(z * (y[:, None] == np.arange(4))), Z, Y)
    other = (Y + 1) % 4
    value, slope = made(Z, other)
    close(value, Z[np.arange(6), other].sum())
    close(slope, np.eye(4)[other])


def test_arguments_of_program_are_checked() -> None:
    with pytest.raises(TypeError, match="wanted a function"):
        program(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="wrt=2: got 1 example"):
        program(np.sum, Z, wrt=2)
    with pytest.raises(ValueError, match="stands there twice"):
        program(np.sum, Z, wrt=(0, 0))
    big = RNG.normal(size=20_000)
    with pytest.raises(ValueError, match="too large to be written out"):
        program(lambda x: np.sum(big * x[0]), np.ones(3))
    with pytest.raises(TypeError, match="takes 1 positional argument"):
        program(lambda x: np.sum(x * x), Z)(Z, Z)
    with pytest.raises(TypeError, match="complex"):
        program(lambda x: np.sum(x * x), Z + 1j)


def test_the_name_is_the_function_however_it_is_imported() -> None:
    code = (
        "import tinygrad_ce.programs.compiled; import tinygrad_ce as tg; "
        "print(tg.program(abs, -2.0)(-3.0))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(3.0, -1.0)"


# ------------------------------------------------------------------ what a review found
def fresh_and_ruffed(folder: Path, f: Any, args: list[Any], **how: Any) -> tuple[Any, str]:
    made = program(f, *args, **how)
    [found] = fresh(folder, [made.source], [args])
    ruffed(folder)
    return found, made.source


NAMES = [
    "_sum", "_max", "_min", "_other", "_careful", "_ndarray", "_dtype_float64", "_ones_3_float64",
    "bool", "ValueError", "IndexError", "l", "O", "I", "θ", "_", "run",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names_that_the_program_needs_itself(name: str, tmp_path: Path) -> None:
    x, y = RNG.normal(size=(2, 3)), RNG.integers(0, 3, 2)
    own: dict[str, Any] = {"np": np}
    body = "np.sum(np.max(X, axis=1) * (X > 0).astype(bool)[:, 0]) + X[[0, 1], y].sum()"
    body = body.replace("X", name)
    exec(f"def f({name}, y):\n    return {body}", own)
    value, slope = program(own["f"], x, y)(x, y)
    right, [back] = by_backward(own["f"], [x, y], (0,))
    close(value, right)
    close(slope, back)
    (value, slope), _ = fresh_and_ruffed(tmp_path, own["f"], [x, y])
    close(slope, back)


def test_names_that_would_be_one(tmp_path: Path) -> None:
    def f(_max: Any, max_: Any, max: Any) -> Any:
        return np.sum(_max - 2.0 * max_ + 3.0 * max * max)

    args = [RNG.normal(size=3) for _ in range(3)]
    (value, slopes), _ = fresh_and_ruffed(tmp_path, f, args, wrt=(0, 1, 2))
    close(value, f(*args))
    for got, want in zip(slopes, ([1.0] * 3, [-2.0] * 3, 6.0 * args[2])):
        close(got, want)


def test_parameters_that_fill_lines(tmp_path: Path) -> None:
    names = [f"a_parameter_{i}" for i in range(9)]
    own: dict[str, Any] = {}
    exec(f"def f({', '.join(names)}):\n    return {' * '.join(names)}", own)
    args = [float(x) for x in RNG.normal(size=9)]
    (value, slopes), source = fresh_and_ruffed(tmp_path, own["f"], args, wrt=range(9))
    close(value, np.prod(args))
    assert f"    {names[0]},\n    {names[1]},\n" in source
    assert max(map(len, source.splitlines())) <= 88
    for x, slope in zip(args, slopes):
        close(slope, np.prod(args) / x)


def test_quotes_and_line_breaks_in_keys(tmp_path: Path) -> None:
    keys = ["it's", 'a"b', "n\nl", "b\\s", "w"]
    params = {k: RNG.normal(size=2) for k in keys}

    def f(p: Any, how: str) -> Any:
        return {k: p[k] * 2.0 for k in keys}

    found, source = fresh_and_ruffed(tmp_path, f, [params, 'say "x"\n'], wrt=None)
    assert 'p["w"]' in source
    for k in keys:
        close(found[k], 2.0 * params[k])


@pytest.mark.parametrize("clean", [True, False])
def test_zeros_keep_their_sign(clean: bool) -> None:
    zeros = np.array([0.0, -0.0, -0.0])
    for c in (zeros, zeros[1:]):
        x = np.ones(c.shape)
        found = program(lambda x, c=c: x / c, x, wrt=None, clean=clean)
        with np.errstate(divide="ignore"):
            np.testing.assert_array_equal(found(x), x / c)


@pytest.mark.parametrize(
    "f",
    [
        lambda z, y: z[range(3), y].sum(),
        lambda z, y: z[:, range(0, 4, 2)].sum() + y[0],
        lambda z, y: z[(0, 1, 2), (1, 2, 0)].sum() + y[0],
    ],
)
def test_ranges_and_tuples_in_an_index(f: Any) -> None:
    z, y = np.arange(12.0).reshape(3, 4), np.array([1, 3, 0])
    made = program(f, z, y)
    leaf = Value(-z)
    loss = f(leaf, y[::-1])
    loss.backward()
    value, slope = made(-z, y[::-1])
    assert value == loss.data
    np.testing.assert_array_equal(slope, leaf.grad)
    names: dict[str, Any] = {}
    exec(program(f, z, y).source, names)
    np.testing.assert_array_equal(names["loss_and_grad"](-z, y[::-1])[1], leaf.grad)


def test_an_index_of_no_entries(tmp_path: Path) -> None:
    none = np.zeros((0,), int)
    f = lambda x, y: np.sum(x[none]) + np.sum(x[y] ** 2)
    (value, slope), _ = fresh_and_ruffed(tmp_path, f, [np.ones(3), none])
    assert value == 0.0
    assert not slope.any()


def test_the_gradient_of_a_number_is_a_number_beside_float32() -> None:
    f = lambda x, s: np.reshape(np.sum(np.maximum(s, 3.0) + x), (1, 1))
    _, (dx, ds) = program(f, np.ones(2, np.float32), 4.0, wrt=(0, 1))(np.ones(2, np.float32), 4.0)
    assert dx.dtype == np.float32
    assert ds.dtype == np.float64


def test_the_seed_is_no_result_of_two_calls() -> None:
    made = program(lambda x: x, np.ones((1, 1)), clean=False)
    first, second = made(np.ones((1, 1)))[1], made(np.ones((1, 1)))[1]
    assert not np.shares_memory(first, second)


@pytest.mark.parametrize("clean", [True, False])
def test_one_entry_picked_is_a_view(clean: bool) -> None:
    """NumPy gives a view where the index is one whole number, also one that is computed."""
    x = RNG.normal(size=(3, 4))
    found = program(lambda x: x[:, np.argmax(x[0])], x, wrt=None, clean=clean)(x)
    assert not np.shares_memory(found, x)


def test_an_entry_is_read_before_its_buffer_is_written_over() -> None:
    def f(x: Any) -> Any:
        y = x - np.max(x)
        return (1.3 + np.tanh(y[-1])) ** np.tanh(y)

    x = RNG.normal(size=3)
    np.testing.assert_allclose(program(f, x, wrt=None)(x), f(x))


def test_einsum_views_lie_as_blas_takes_them_or_not() -> None:
    f = lambda x: np.sum(np.einsum("ij->ji", x) @ x)
    x = RNG.normal(size=(4, 3))
    close(program(f, x)(x)[1], by_backward(f, [x], (0,))[1][0])


@pytest.mark.parametrize("x", [-1.0, 0.0, 2.0])
def test_a_number_divided_by_a_constant_that_was_picked(x: float) -> None:
    for f in (
        lambda x: 1.0 / np.maximum(x, 0.0),
        lambda x: np.abs(x / np.maximum(x, 0.0)) / (1.0 + np.abs(x)),
        lambda x: np.sum(np.ones(2) * x) * (1.0 / np.maximum(x, 0.0)),
        lambda x: np.sum(np.ones(2) * x) * np.maximum(x, 0.0) ** -1,
    ):
        with np.errstate(all="ignore"):
            value, slope = program(f, 3.0)(x)
            right, [back] = by_backward(f, [x], (0,))
        np.testing.assert_allclose(value, right)
        np.testing.assert_allclose(slope, back)


def test_what_linters_want(tmp_path: Path) -> None:
    mask = np.array([True, False] * 6)
    odd = np.array([np.inf, 1.0, -np.inf, np.nan] * 4)

    def f(x: Any, FREE: Any) -> Any:
        y = np.where(np.equal(0.0, x), odd[:12], -(x**-2.0)) + np.where(mask, x, 0.0)
        return np.sum(np.where(np.equal(FREE, np.max(FREE)), y, 1.0) * np.equal(x, True))

    def g(a_name_of_a_number: float, another_name: float) -> Any:
        return np.maximum(a_name_of_a_number, another_name) * np.ones(2)

    def h(x: Any) -> Any:
        return np.maximum(0.0, x)

    def k(A: float, b: float) -> Any:
        return np.maximum(A, b) * np.abs(A)

    sources = [program(h, 1.0).source, program(k, 1.0, 2.0).source]
    sources += [program(f, np.ones(12), np.ones(12)).source, program(g, 1.0, 2.0, wrt=None).source]
    for i, source in enumerate(sources):
        (tmp_path / f"p{i}.py").write_text(source)
    ruffed(tmp_path)


@pytest.mark.parametrize(
    "f",
    [
        lambda z, y: np.mean(z[z > 0]),
        lambda z, y: np.mean(z[: y[0]]),
        lambda z, y: z.sum() * len(y[y > 0]),
        lambda z, y: np.mean(z[np.nonzero(y)]),
        lambda z, y: np.mean(z[np.where(y > 0)]),
        lambda z, y: z.sum() * np.unique(y).shape[0],
    ],
)
def test_shapes_that_depend_on_data_are_refused(f: Any) -> None:
    """The gradient of a mean holds how many there were in the example."""
    at = f.__code__.co_firstlineno
    with pytest.raises(TypeError, match=rf"test_program.py, line {at}: The shape of .* depends"):
        program(f, RNG.normal(size=4), np.array([1, 0, 2, 0]))


REPEATED = """
import numpy as np
import tinygrad_ce as tg

x = np.arange(24.0).reshape(6, 4)
loss = lambda z: tg.cross_entropy(z, np.array([0, 1, 2, 3, 0, 1]), label_smoothing=0.1)
print(tg.program(loss, x, clean=False).source)
made = tg.program(lambda a, b: a**3 * np.exp(a * b), 1.3, 2.0, wrt=(0, 1), clean=False)
print(made.source)
"""


def test_every_interpreter_makes_the_same_program() -> None:
    """Names and memory addresses hash otherwise in each; what rests on their order would change."""
    found = set()
    for seed in "123456":
        code = f"kept = [object() for _ in range({seed}0)]\n{REPEATED}"
        run = [sys.executable, "-c", code]
        done = subprocess.run(
            run,
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"PYTHONHASHSEED": seed},
        )
        found.add(done.stdout)
    assert len(found) == 1


# ------------------------------------------------------------------ numbers alone
def test_numbers_need_no_numpy() -> None:
    def f(a: Any, b: Any) -> Any:
        return np.exp(a) * tg.sigmoid(b) + np.log(a * a + 1.0) ** 1.5 + tg.relu(a - b)

    made = program(f, 0.5, 2.0, wrt=(0, 1))
    assert "numpy" not in made.source
    assert "math.exp" in made.source
    for a, b in ((0.5, 2.0), (-3.0, -4.0), (2.0, 2.0)):
        value, slopes = made(a, b)
        right, wanted = by_backward(f, [a, b], (0, 1))
        close(value, right)
        assert all(type(s) is float for s in slopes)
        for got, want in zip(slopes, wanted):
            close(got, want)


@pytest.mark.parametrize("x", [1000.0, -1000.0, 0.0, math.inf, math.nan])
@pytest.mark.parametrize(
    "f", [np.exp, lambda x: 1.0 / x, np.log, lambda x: x**0.5, lambda x: np.log(x) / np.exp(-x)]
)
def test_where_python_raises_numpy_has_an_answer(f: Any, x: float) -> None:
    with np.errstate(all="ignore"):
        value, slope = program(f, 0.5)(x)
        right, [back] = by_backward(f, [x], (0,))
    np.testing.assert_allclose(value, right)
    np.testing.assert_allclose(slope, back)
    assert type(value) is type(slope) is float


def test_a_chain_of_ten_thousand() -> None:
    def f(x: Any) -> Any:
        for _ in range(10_000):
            x = x + 0.001 * np.tanh(x)
        return x

    made = program(f, 0.1)
    value, slope = made(0.2)
    right, [back] = by_backward(f, [0.2], (0,))
    close(value, right)
    close(slope, back)


def test_brackets_within_brackets() -> None:
    """Python takes 200: what is deeper needs names on the way."""

    def f(x: Any) -> Any:
        y = x
        for _ in range(900):
            y = (x - y) * x
        return y

    close(program(f, 0.1, wrt=None)(0.5), f(0.5))


@pytest.mark.parametrize("whole", [3, -2, 0, 2**53 + 1, -(2**60)])
def test_a_number_compared_with_a_whole_one(whole: int) -> None:
    def f(x: Any) -> Any:
        above = np.where(x > whole, x * x, -x)
        return above + np.where(whole <= x, 3.0 * x, x)

    made = program(f, 0.5)
    for x in (float(whole), float(whole) + 1.0, float(whole) - 1.0, math.inf, math.nan):
        value, slope = made(x)
        right, [back] = by_backward(f, [x], (0,))
        np.testing.assert_array_equal([value, slope], [right, back])


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize(
    "f",
    [
        lambda x, y: np.where(np.logical_not(x > y) & (x < 3.0), x * y, y),
        lambda x, y: np.where((x < 3.0) | np.logical_not(x > y), x * y, y),
        lambda x, y: np.where(np.logical_not(np.logical_and(x > y, y > 0.0)), x * y, y),
        lambda x, y: np.where(np.logical_xor(x > y, np.logical_or(y > 0, x < 0)), x * y, y),
        lambda x, y: np.where((x > y) ^ (y > 0), x * y, y),
        lambda x, y: np.where(np.isfinite(x) & np.logical_not(np.isinf(y)), x * y, y),
        lambda x, y: x * ((x > 0) - (x < 0)) + y * -(y > 0),
        lambda x, y: x / (y - y) * ((x > 0) + (y > 0) + (x > y)),
        lambda x, y: np.logaddexp(x, y) * 2.0,
        lambda x, y: np.clip(x, y, 2.0) + np.clip(x, -1, y),
    ],
)
def test_truths_and_limits_of_numbers(f: Any, clean: bool) -> None:
    """Not, xor and counts as Python has them; infinities that are equal, limits that are nan."""
    made = program(f, 1.5, 0.5, wrt=(0, 1), clean=clean)
    assert "np." not in made.source
    odd = (0.5, -1.0, 2.0, 0.0, -0.0, math.inf, -math.inf, math.nan)
    for x, y in itertools.product(odd, odd):
        with np.errstate(all="ignore"):
            value, slopes = made(x, y)
            right, wanted = by_backward(f, [x, y], (0, 1))
        np.testing.assert_allclose([value, *slopes], [right, *wanted], 1e-14, err_msg=f"{x}, {y}")
        assert all(type(got) is float for got in (value, *slopes))


def test_the_softplus_of_a_number_asks_for_no_infinity() -> None:
    """log(1 + exp x): 0 is no infinity that x could equal, and |0 - x| is |x|."""
    for f in (lambda x: np.logaddexp(0.0, x), lambda x: np.logaddexp(x, 0)):
        assert "math.log1p(math.exp(-abs(x)))" in program(f, 0.5).source


def test_truths_of_numbers_beside_arrays() -> None:
    def f(x: Any, y: Any) -> Any:
        return np.sum(y * np.where(np.logical_not(x > 1.0) & np.isfinite(x), x, 2.0))

    made = program(f, 2.0, np.ones(2))
    for x in (0.5, 1.5, math.inf):
        value, slope = made(x, np.arange(2.0))
        right, [back] = by_backward(f, [x, np.arange(2.0)], (0,))
        assert (value, slope) == (right, back)


def test_an_inverted_comparison_of_numbers_is_refused() -> None:
    """Of floats it is Python's True, and ~True is -2."""
    f = lambda x: np.where(~(x > 0.0), x, 2.0 * x)
    with pytest.raises(
        TypeError, match=rf"test_program.py, line {lines_of(f, 0)}: ~ .*logical_not"
    ):
        program(f, 1.0)
    made = program(lambda x: np.sum(np.where(~(x > 0.0), x, 2.0 * x)), np.ones(2))
    assert made(np.array([-1.0, 3.0]))[0] == 5.0


def test_a_text_of_data_is_refused() -> None:
    f = lambda z, y: z.sum() * len(f"{y:.1f}")
    with pytest.raises(TypeError, match=rf"test_program.py, line {lines_of(f, 0)}: .* depends"):
        program(f, Z, 1.0)


# ------------------------------------------------------------------ the tests are tested
@pytest.mark.parametrize("name", ["_arithmetic", "_narrow", "key_of"])
def test_a_wrong_cleaning_is_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules["tinygrad_ce.programs.cleaning"]
    wrong: dict[str, Any] = {
        "_arithmetic": lambda node, x, y: x if x.__class__ is not float else None,
        "_narrow": lambda node, args: tuple(0.5 if isinstance(a, float) else a for a in args),
        "key_of": lambda x: x if callable(x) else str(x.__class__),
    }
    monkeypatch.setattr(module, name, wrong[name])

    def check() -> None:
        for f, target in LOSSES.values():
            value, slope = program(f, Z, target)(Z, target)
            right, [back] = by_backward(f, [Z, target], (0,))
            close(value, right)
            close(slope, back)

    with pytest.raises((AssertionError, ValueError, TypeError, KeyError)):
        check()


def test_arrays_that_were_pickled_are_taken_like_others() -> None:
    x = pickle.loads(pickle.dumps(np.arange(3.0)))
    assert x.dtype is not np.dtype(float), "NumPy gives unpickled arrays its own dtype by now"
    f = program(lambda x: np.sum(x * x), np.ones(3))
    value, slope = f(x)
    assert value == 5.0
    np.testing.assert_array_equal(slope, 2 * x)
