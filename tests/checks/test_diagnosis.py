"""`diagnose`: thirty broken programs as people write them, forty healthy ones; digits by mpmath."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import tinygrad_ce as tg
from tinygrad_ce import Value, diagnose, primitive, watching

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(12, 3)), np.arange(12) % 4
W, V = RNG.normal(size=(3, 4)), RNG.normal(size=(4, 2))
T = np.eye(4)[Y]
ROW = np.eye(3)[:1]


class Broken(NamedTuple):
    """A program, and what is to be found: the operation, its entry, why, and a word of the cure."""

    f: Callable[..., Any]
    args: tuple[Any, ...]
    op: str
    entry: tuple[int, ...]
    cause: str
    cure: str
    loss: float | None = None  # what it is then, by hand


def softmax_loss(z: Any, t: Any) -> Any:
    e = np.exp(z)
    p = e / e.sum(axis=1, keepdims=True)
    return -(t * np.log(p)).sum()


def network(X: Any, W: Any, V: Any, t: Any) -> Any:
    h = np.maximum(X @ W, 0.0)
    z = h @ V
    return softmax_loss(z, t)


def binary(z: Any, y: Any) -> Any:
    s = 1.0 / (1.0 + np.exp(-z))
    return -(y * np.log(s) + (1.0 - y) * np.log(1.0 - s)).mean()


def gaussian(x: Any, mean: Any, scale: Any) -> Any:
    return np.sum(np.log(scale) + ((x - mean) / scale) ** 2)


BIG = np.array([[1000.0, 0.0, 0.0]])
BROKEN = {
    "softmax overflows": Broken(
        softmax_loss, (BIG, ROW), "divide", (0, 0), "indeterminate", "cross_entropy", 0.0
    ),
    "in the second row": Broken(
        softmax_loss,
        (np.array([[1.0, 2.0, 3.0], [0.0, 800.0, 1.0]]), np.eye(3)[[2, 0]]),
        *("divide", (1, 1), "indeterminate", "cross_entropy"),
        np.log(np.exp([-2.0, -1.0, 0.0]).sum()) + 800.0,
    ),
    "float32 overflows at 89": Broken(
        softmax_loss,
        (np.array([[90.0, 0.0, 0.0]], np.float32), ROW.astype(np.float32)),
        *("divide", (0, 0), "indeterminate", "cross_entropy", 0.0),
    ),
    "a network far too large": Broken(
        network,
        (X, 1e3 * W, V, T[:, :2] + T[:, 2:]),
        *("divide", (0, 1), "indeterminate", "cross_entropy"),
    ),
    "softmax underflows": Broken(
        lambda z, t: -(t * np.log(tg.softmax(z))).sum(),
        (-BIG, ROW),
        *("log", (0, 0), "pole", "cross_entropy", 1000.0 + np.log(2.0)),
    ),
    "0 log 0": Broken(
        lambda p, q: (p * np.log(p / q)).sum(),
        (np.array([0.0, 0.5, 0.5]), np.array([0.2, 0.3, 0.5])),
        *("multiply", (0,), "indeterminate", "np.where", 0.5 * np.log(5 / 3)),
    ),
    "entropy of a one-hot": Broken(
        lambda p: -np.sum(p * np.log(p)),
        (np.array([0.0, 1.0, 0.0]),),
        *("multiply", (0,), "indeterminate", "np.where", 0.0),
    ),
    "log of 0": Broken(
        lambda p: -np.log(p).mean(),
        (np.array([0.5, 0.0]),),
        *("log", (1,), "pole", "1e-12"),
    ),
    "log of a negative number": Broken(
        lambda x: np.log(x).sum(), (np.array([1.0, -2.0]),), "log", (1,), "domain", ""
    ),
    "sqrt of a negative number": Broken(
        lambda x: np.sqrt(1.0 - x * x).sum(), (np.array([0.5, 1.5]),), "sqrt", (1,), "domain", ""
    ),
    "binary cross-entropy of a sure sigmoid": Broken(
        binary,
        (np.array([40.0, -1.0]), np.array([0.0, 0.0])),
        *("log", (0,), "pole", "binary_cross_entropy"),
        (40.0 + np.log1p(np.exp(-1.0))) / 2,
    ),
    "softplus": Broken(
        lambda x: np.log(1.0 + np.exp(x)).sum(),
        (np.array([0.0, 800.0]),),
        *("exp", (1,), "overflow", "", np.log(2.0) + 800.0),
    ),
    "softplus by log1p": Broken(
        lambda x: np.sum(np.log1p(np.exp(x)) ** 2),
        (np.array([0.0, 800.0]),),
        *("exp", (1,), "overflow", "logaddexp", np.log(2.0) ** 2 + 800.0**2),
    ),
    "logsumexp by hand": Broken(
        lambda x: np.log(np.exp(x).sum()) ** 2,
        (np.array([0.0, 800.0]),),
        *("exp", (1,), "overflow", "logsumexp", 800.0**2),
    ),
    "attention": Broken(
        lambda q, k, v: np.sum(np.exp(q @ k.T) / np.exp(q @ k.T).sum(axis=1, keepdims=True) @ v),
        (np.full((2, 2), 30.0), np.full((3, 2), 20.0), np.ones((3, 1))),
        *("divide", (0, 0), "indeterminate", "maximum", 2.0),
    ),
    "softmax over columns": Broken(
        lambda z: np.sum((np.exp(z) / np.exp(z).sum(axis=0)) ** 2),
        (np.array([[800.0, 1.0], [0.0, 1.0]]),),
        *("divide", (0, 0), "indeterminate", "axis=0", 1.5),
    ),
    "a sigmoid by hand": Broken(
        lambda x: np.sum((1.0 / (1.0 + np.exp(-x)) - 1.0) ** 2),
        (np.array([-800.0, 0.0]),),
        *("exp", (0,), "rule", "sigmoid", 1.25),
    ),
    "its other form": Broken(
        lambda x: np.sum(np.exp(x) / (1.0 + np.exp(x))),
        (np.array([800.0, 0.0]),),
        *("divide", (0,), "indeterminate", "sigmoid", 1.5),
    ),
    "the root of 0": Broken(
        lambda x: np.sqrt(x).sum(), (np.array([4.0, 0.0]),), "sqrt", (1,), "rule", "1e-12", 2.0
    ),
    "a norm of 0": Broken(
        lambda x, y: np.sum(np.sqrt(np.sum((x - y) ** 2, axis=1))),
        (np.array([[1.0, 1.0], [0.0, 0.0]]), np.array([[1.0, 1.0], [3.0, 4.0]])),
        *("sqrt", (0,), "rule", "1e-12", 5.0),
    ),
    "|x| as a root": Broken(
        lambda x: np.sum(np.sqrt(x**2)),
        (np.array([0.0, -3.0]),),
        *("sqrt", (0,), "rule", "abs", 3.0),
    ),
    "the where-trap": Broken(
        lambda x: np.where(x > 0, np.sqrt(x), 0.0).sum(),
        (np.array([0.0, 4.0]),),
        *("sqrt", (0,), "rule", "np.where", 2.0),
    ),
    "the where-trap, log": Broken(
        lambda x: np.where(x <= 0, 0.0, x * np.log(x)).sum(),
        (np.array([0.0, 1.0]),),
        *("multiply", (0,), "rule", "np.where", 0.0),
    ),
    "the where-trap, a quotient": Broken(
        lambda x: np.where(np.abs(x) > 0, np.tanh(x) / x, 1.0).sum(),
        (np.array([0.0, 1e-3]),),
        *("divide", (0,), "rule", "np.where", 1.0 + np.tanh(1e-3) / 1e-3),
    ),
    "the where-trap, softplus": Broken(
        lambda x: np.where(x > 30.0, x, np.log1p(np.exp(x))).sum(),
        (np.array([1000.0]),),
        *("exp", (0,), "rule", "logaddexp", 1000.0),
    ),
    "division by a sum of 0": Broken(
        lambda x: np.sum(x / x.sum(axis=1, keepdims=True)),
        (np.array([[1.0, 3.0], [0.0, 0.0]]),),
        *("divide", (1, 0), "indeterminate", "1e-12"),
    ),
    "normalised by no variance": Broken(
        lambda x: np.sum((x - x.mean()) / np.sqrt(((x - x.mean()) ** 2).mean())),
        (np.full(4, 2.0),),
        *("divide", (0,), "indeterminate", "1e-12"),
    ),
    "a scale of 0": Broken(
        gaussian,
        (np.array([1.0, 2.0]), 1.5, np.array([1.0, 0.0])),
        *("add", (1,), "indeterminate", ""),
    ),
    "powers of a negative number": Broken(
        lambda x, n: np.sum(x**n), (np.array([2.0, -2.0]), 0.5), "power", (1,), "domain", ""
    ),
    "a power too high": Broken(
        lambda x: np.sum(x**200), (np.array([1.0, 1e3]),), "power", (1,), "overflow", ""
    ),
    "squares of float32": Broken(
        lambda x: np.sum(x * x),
        (np.array([1.0, 1e30], np.float32),),
        *("multiply", (1,), "overflow", "float64", 1e60),
    ),
    "nan in the data": Broken(
        lambda X, w: np.sum((X @ w) ** 2),
        (np.array([[1.0, 2.0], [3.0, np.nan]]), np.ones(2)),
        *("", (1, 1), "data", ""),
    ),
    "infinite minus infinite": Broken(
        lambda x: np.sum(np.exp(x) - np.exp(x + 1.0)),
        (np.array([0.0, 900.0]),),
        *("subtract", (1,), "indeterminate", ""),
    ),
    "numbers of Python": Broken(
        lambda a, b: np.log(a - b) * 2.0, (1.0, 1.0), "log", (), "pole", "1e-12"
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken(name: str) -> None:
    case = BROKEN[name]
    found = diagnose(case.f, *case.args)
    birth = found.births[0]
    op = birth.node.op.name if birth.node.op and birth.cause != "data" else ""
    entry = birth.sources[0][1] if birth.cause == "data" else birth.entry
    assert (op, entry, birth.cause) == (case.op, case.entry, case.cause)
    assert len(str(found).splitlines()) < 15
    assert case.cure in (found.cure.text if found.cure else "")
    if case.cure or case.loss is not None:
        assert found.cure
    if case.loss is not None and found.cure:
        assert found.cure.loss == pytest.approx(case.loss, rel=1e-5, abs=2e-6)


def test_the_report_reads_as_one_would_say_it() -> None:
    z, t = Value([[1000.0, 0.0]]), np.array([[1.0, 0.0]])
    with np.errstate(all="ignore"):
        e = np.exp(z)
        s = e.sum(axis=1, keepdims=True)
        p = e / s
        loss = -(t * np.log(p)).sum()
    first, *rest = diagnose(loss).sentences
    assert first.startswith("nan was born in step 4, p = e / s (test_diagnosis.py, line ")
    assert first.endswith("): inf / inf at [0, 0].")
    assert rest[0].startswith("e = exp(z) (test_diagnosis.py, line ")
    assert rest[0].endswith("became inf 2 steps before: exp(1000).")
    assert rest[1] == "exp overflows above 709.78 in float64; z[0, 0] = 1000."
    assert rest[2] == "It went on through log, multiply, sum to loss."
    assert rest[3].startswith("Cure: fuse(loss), or cross_entropy(z, ...)")
    assert rest[3].endswith("The loss is then 0, and all gradients are finite.")


def relu_network(X: Any, W: Any, b: Any, V: Any, y: Any) -> Any:
    return tg.cross_entropy(np.maximum(X @ W + b, 0.0) @ V, y)


def attention(x: Any, A: Any, B: Any) -> Any:
    scores = (x @ A) @ (x @ B).T / np.sqrt(3.0)
    masked = np.where(np.tril(np.ones((12, 12))) > 0, scores, -1e9)
    return np.sum((tg.softmax(masked) @ x) ** 2)


def layer_norm(x: Any, gain: Any) -> Any:
    centred = x - x.mean(axis=1, keepdims=True)
    scale = np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5)
    return np.sum((gain * centred / scale) ** 3)


B, U = np.zeros(4), RNG.normal(size=(4, 4))
Z = X @ W
HEALTHY: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "softmax by hand": (softmax_loss, (Z, T)),
    "cross_entropy": (tg.cross_entropy, (Z, Y)),
    "cross_entropy, soft": (lambda z: tg.cross_entropy(z, 0.9 * T + 0.025), (Z,)),
    "cross_entropy, smooth": (lambda z: tg.cross_entropy(z, Y, label_smoothing=0.1), (Z,)),
    "cross_entropy, composed": (lambda z: tg.cross_entropy(z, Y, fused=False), (Z,)),
    "of logits of 700": (lambda z: tg.cross_entropy(z, Y), (Z * 200,)),
    "of float32": (lambda z: tg.cross_entropy(z, Y), (Z.astype(np.float32),)),
    "log_softmax": (lambda z: -tg.log_softmax(z)[np.arange(12), Y].mean(), (Z,)),
    "nll": (lambda z: tg.nll(tg.log_softmax(z), Y), (Z,)),
    "one row": (lambda z: tg.cross_entropy(z, 2), (Z[0],)),
    "temperature": (lambda z: -np.sum(T * np.log(tg.softmax(z, temperature=2.0))), (Z,)),
    "logistic regression": (lambda w: tg.logistic_loss(X @ w, np.sign(X[:, 0])), (W[:, 0],)),
    "binary_cross_entropy": (lambda z: tg.binary_cross_entropy(z, T), (Z,)),
    "binary by hand": (binary, (Z[:, 0], T[:, 0])),
    "softmax regression": (lambda W, b: tg.cross_entropy(X @ W + b, Y), (W, B)),
    "with a penalty": (lambda W: tg.cross_entropy(X @ W, Y) + 0.1 * np.sum(W**2), (W,)),
    "with an L1 penalty": (lambda W: tg.cross_entropy(X @ W, Y) + np.sum(np.abs(W)), (W,)),
    "a relu network": (lambda W, b, V: relu_network(X, W, b, V, Y), (W, B, U)),
    "a tanh network": (lambda W, V: tg.mse(np.tanh(X @ W) @ V, T), (W, U)),
    "a sigmoid network": (lambda W, V: tg.mse(tg.sigmoid(X @ W) @ V, T), (W, U)),
    "least squares": (lambda w: np.mean((X @ w - Z[:, 0]) ** 2), (W[:, 0] + 1.0,)),
    "mse": (lambda w: tg.mse(X @ w, Z), (W + 1.0,)),
    "attention with a mask": (attention, (X, RNG.normal(size=(3, 3)), RNG.normal(size=(3, 3)))),
    "layer norm": (layer_norm, (X, np.ones(3))),
    "rms norm": (lambda x: np.sum(x / np.sqrt((x**2).mean(axis=1, keepdims=True) + 1e-6)), (X,)),
    "Gaussian likelihood": (gaussian, (X[:, 0], 0.1, 1.3)),
    "a scale that is a softplus": (
        lambda raw: np.sum(np.log(np.log(1.0 + np.exp(raw))) + X[:, 0] ** 2 / 2.0),
        (X[:, 1],),
    ),
    "a list of weights": (lambda w: (w * X[0]).sum(), ([0.5, -0.5, 0.1],)),
    "a whole number": (lambda x: x * x + 1.0, (3,)),
    "KL of softmaxes": (
        lambda z: np.sum(T.mean(0) * (np.log(T.mean(0)) - tg.log_softmax(z))),
        (Z[0],),
    ),
    "entropy": (lambda z: -(tg.softmax(z) * tg.log_softmax(z)).sum(), (Z,)),
    "exponentials of one over those of another": (
        lambda z: np.sum(np.exp(tg.softmax(z)) / np.exp(tg.softmax(-z)).sum(axis=1, keepdims=True)),
        (Z,),
    ),
    "focal loss": (lambda z: -(((1 - tg.softmax(z)) ** 2) * T * tg.log_softmax(z)).sum(), (Z,)),
    "softplus": (lambda x: np.logaddexp(0.0, x).sum(), (Z * 100,)),
    "the trap avoided": (
        lambda x: np.where(x > 0, np.sqrt(np.where(x > 0, x, 1.0)), 0.0).sum(),
        (np.array([0.0, 4.0]),),
    ),
    "classes in rows, samples in columns": (
        lambda z: -np.sum(T.T * np.log(tg.softmax(z, axis=0))),
        (Z.T,),
    ),
    "contrastive": (
        lambda a: tg.cross_entropy(a @ a.T * 5.0, np.arange(12)),
        (X / np.linalg.norm(X, axis=1, keepdims=True),),
    ),
    "the mean absolute error of probabilities": (
        lambda z: (1 - tg.softmax(z)[np.arange(12), Y]).mean(),
        (Z,),
    ),
    "the probability of what is not wanted": (
        lambda z: (tg.softmax(z)[np.arange(12), Y]).mean(),
        (Z,),
    ),
    "the probability of two labels together": (
        lambda z: -(tg.softmax(z) * (T + np.roll(T, 1, axis=1))).mean(),
        (Z,),
    ),
    "an expected reward": (lambda z: -(tg.softmax(z) * Z[::-1]).sum(axis=1).mean(), (Z,)),
    "a policy gradient": (
        lambda z: -(tg.log_softmax(z)[np.arange(12), Y] * X[:, 0]).mean(),
        (Z,),
    ),
    "nll with weights": (
        lambda z: tg.nll(np.log(tg.softmax(z)), Y, weight=np.array([1.0, 2.0, 3.0, 4.0])),
        (Z,),
    ),
    "WGAN's penalty": (lambda w: (np.sqrt((w * w).sum() + 1e-12) - 1.0) ** 2, (W,)),
    "attention with rows of -inf beside": (
        lambda q: np.sum(tg.softmax(np.where(np.tri(12) > 0, q @ X.T, -np.inf)) ** 2),
        (X,),
    ),
    "distances": (lambda x: np.sum((x[:, None] - X[None]) ** 2), (X + 1.0,)),
    "outer, as it was meant": (lambda a: np.sum((a[:, None] - a) ** 2), (X[:, 0],)),
    "outer, by a function": (lambda a: np.sum((np.expand_dims(a, 1) - a) ** 2), (X[:, 0],)),
    "large numbers of float32": (lambda x: np.sum(x * 1e-6), (np.full(3, 1e6, np.float32),)),
    "hinge": (lambda w: np.maximum(0.0, 1.0 - np.sign(X[:, 0]) * (X @ w)).mean(), (W[:, 0],)),
    "Huber": (
        lambda r: np.where(np.abs(r) < 1.0, 0.5 * r**2, np.abs(r) - 0.5).sum(),
        (3.0 * X[:, 0],),
    ),
    "micrograd's example": (
        lambda a, b: (a * b + b**3) * 2.0 + (b + a).relu() + 3.0,
        (-4.0, 2.0),
    ),
    "a scalar": (lambda x: x * x + 1.0, (3.0,)),
    "polynomials": (lambda x: np.sum(x**3 - 2.0 * x), (X,)),
    "cosine similarity": (
        lambda a, b: np.sum(a * b) / (np.sqrt(np.sum(a * a)) * np.sqrt(np.sum(b * b))),
        (X[0], X[1]),
    ),
}


@pytest.mark.parametrize("name", HEALTHY)
def test_healthy(name: str) -> None:
    f, args = HEALTHY[name]
    found = diagnose(f, *args)
    assert not found.births
    assert not found.warnings
    assert found.healthy
    assert found.digits[0].digits > 7 or any(np.asarray(x).dtype == np.float32 for x in args)


# ------------------------------------------------------------------ habits
HABITS: dict[str, tuple[Callable[..., Any], tuple[Any, ...], str]] = {
    "softmax of softmax": (
        lambda z: np.sum(tg.softmax(tg.softmax(z)) * T),
        (Z,),
        "softmax already",
    ),
    "softmax of a masked softmax": (
        lambda z: np.sum(tg.softmax(np.where(T > 0, tg.softmax(z), 0.0)) * T),
        (Z,),
        "softmax already",
    ),
    "a loss of probabilities": (
        lambda z: tg.cross_entropy(tg.softmax(z), Y),
        (Z,),
        "are probabilities",
    ),
    "two sigmoids": (
        lambda z: np.sum(tg.sigmoid(tg.sigmoid(z))),
        (Z,),
        "sigmoid already",
    ),
    "two logarithms": (lambda p: np.sum(np.log(np.log(p))), (np.array([3.0]),), "logarithm"),
    "N × N": (lambda p, y: np.mean((p - y) ** 2), (X[:, :1], X[:, 0]), "(12, 12)"),
    "over the whole table": (
        lambda z: -np.sum(T * np.log(np.exp(z) / np.exp(z).sum())),
        (Z,),
        "are rows meant?",
    ),
    "over each column": (
        lambda z: -np.log((np.exp(z) / np.exp(z).sum(axis=0))[np.arange(12), Y]).mean(),
        (Z,),
        "are rows meant?",
    ),
    "over each column, one-hot labels": (
        lambda z: -np.sum(T * np.log(tg.softmax(z, axis=0))),
        (Z,),
        "are rows meant?",
    ),
    "a binary loss of probabilities": (
        lambda z: tg.binary_cross_entropy(tg.sigmoid(z), T),
        (Z,),
        "are probabilities already",
    ),
    "a label that a mask hides": (
        lambda z: tg.cross_entropy(np.where(T > 0, -np.inf, z), Y),
        (Z,),
        "a mask hides the right class",
    ),
    "nll of probabilities": (
        lambda z: tg.nll(tg.softmax(z), Y),
        (Z,),
        "is log p meant?",
    ),
    "nll by hand, with a penalty": (
        lambda W: -tg.softmax(X @ W)[np.arange(12), Y].mean() + 0.1 * (W**2).sum(),
        (W,),
        "is log p meant?",
    ),
    "no path": (lambda w, b: np.sum(X @ w), (W, B), "b does not reach"),
    "dead units": (
        lambda W: tg.cross_entropy(np.maximum(X @ W - 100.0, 0.0) @ U, Y),
        (W,),
        "4 of 4 units",
    ),
    "saturated": (lambda x: np.sum(np.tanh(x)), (np.array([50.0, 60.0]),), "saturated"),
    "logits of 1e6 in float32": (
        lambda z: tg.cross_entropy(z, Y),
        (Z.astype(np.float32) * np.float32(1e6),),
        "steps of",
    ),
}


@pytest.mark.parametrize("name", HABITS)
def test_habits(name: str) -> None:
    f, args, words = HABITS[name]
    found = diagnose(f, *args)
    assert not [birth for birth in found.births if birth.cause != "data"]
    assert any(words in text for text in found.warnings), found


@pytest.mark.parametrize(
    ("rows", "units", "dead", "said"), [(8, 4, 1, True), (7, 4, 1, False), (8, 5, 1, False)]
)
@pytest.mark.parametrize("floor", [tg.relu, lambda x: np.maximum(0.0, x)])
def test_how_many_samples_and_units_tell_that_some_are_dead(
    rows: int, units: int, dead: int, said: bool, floor: Any
) -> None:
    x = np.ones((rows, units))
    x[:, :dead] = -1.0
    found = diagnose(lambda x: np.sum(floor(x) ** 2), x).warnings
    assert any(f"{dead} of {units} units" in text for text in found) == said


@pytest.mark.parametrize(("labels", "said"), [([1] * 8, True), ([1] * 7, False), ([0] * 8, False)])
def test_how_many_labels_tell_that_none_is_0(labels: list[int], said: bool) -> None:
    found = diagnose(tg.cross_entropy(Value(np.ones((len(labels), 3))), labels)).notes
    assert any("classes are counted from 0" in text for text in found) == said


@pytest.mark.parametrize(("top", "said"), [(8.3e4, False), (8.5e4, True)])
def test_from_which_logits_on_a_dtype_does_not_tell_them_apart(top: float, said: bool) -> None:
    """From 0.01 / eps, of float32 83,886."""
    z = np.array([[top, 0.0, -np.inf]], np.float32)
    found = diagnose(lambda z: tg.cross_entropy(z, [0]), z).warnings
    assert any("steps of" in text for text in found) == said


def test_many_layers_with_dead_units_are_one_sentence() -> None:
    def deep(x: Any, V: Any) -> Any:
        for _layer in range(20):
            x = np.maximum(x @ V, 0.0) * 1e16
        return (x**2).sum()

    found = diagnose(deep, np.abs(X) + 1.0, np.diag([1.0, 1.0, -1.0]))
    assert found.births
    assert len(str(found).splitlines()) < 15
    assert any("and so it is with 19 more" in text for text in found.warnings)


POLES: list[tuple[Callable[[Any], Any], float]] = [
    *((f, 0.0) for f in (np.log, np.log2, np.log10, lambda x: 1.0 / x, lambda x: x**-1.5)),
    *((f, x) for f, x in ((np.log1p, -1.0), (np.arctanh, -1.0), (np.arctanh, 1.0))),
]


@pytest.mark.parametrize(("f", "x"), POLES)
@pytest.mark.parametrize("kind", [float, lambda x: np.array([0.5, x])])
def test_where_an_operation_is_infinite_the_cause_is_a_pole(f: Any, x: float, kind: Any) -> None:
    with np.errstate(all="ignore"):
        (birth,) = diagnose(f(Value(kind(x))) * 2.0).births
        (beyond,) = diagnose(f(Value(kind(3.0 * x))) * 2.0).births
    assert birth.cause == "pole"
    assert beyond.cause == ("domain" if x else "pole")


@pytest.mark.parametrize(
    ("f", "x", "entry"),
    [
        (np.exp, [0.0, 1000.0], (1,)),
        (np.log, [[1.0, 2.0], [0.0, 3.0]], (1, 0)),
        (np.log, [0.0, -1.0], (1,)),  # nan before inf
    ],
)
def test_of_a_result_of_several_entries_the_one_that_is_not_finite(
    f: Any, x: Any, entry: tuple[int, ...]
) -> None:
    with np.errstate(all="ignore"):
        found = diagnose(f(Value(x)))
    assert found.births[0].entry == entry
    assert not found.healthy


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_of_a_constant_and_a_leaf_that_are_not_finite_the_constant_is_told(bad: float) -> None:
    """Whichever stands first: it is the data, that no step of an optimiser has made."""
    x, c = Value([2.0, bad]), np.array([1.0, bad])
    for loss in ((x * c).sum(), (c * x).sum()):
        assert diagnose(loss).sentences[0].startswith(f"c[1] = {bad} before anything is computed")


@pytest.mark.parametrize(
    ("file", "where"), [("/tmp/kernel_7/1234.py", "(line 2)"), ("train.py", "(train.py, line 2)")]
)
def test_a_line_of_a_notebook_is_told_without_its_cells_number(file: str, where: str) -> None:
    space: dict[str, Any] = {"np": np}
    exec(compile("def f(x):\n    y = np.log(x)\n    return y * 1.0\n", file, "exec"), space)
    with np.errstate(all="ignore"):
        told = diagnose(space["f"](Value([1.0, 0.0]))).sentences[0]
    assert f"log(leaf) {where}" in told


@pytest.mark.parametrize(("function", "other"), [(np.maximum, 1.0), (np.minimum, 2000.0)])
def test_of_two_arguments_the_one_that_is_picked_is_told(function: Any, other: float) -> None:
    with np.errstate(all="ignore"):
        a, b = Value([0.0, 1000.0]), Value([other, other])
        for loss in (np.exp(function(a, b)), np.exp(function(b, a))):
            assert diagnose(loss).sentences[1].endswith("a[1] = 1000.")


def test_in_how_many_entries_a_birth_is() -> None:
    with np.errstate(all="ignore"):
        found = diagnose(lambda x: np.sum(np.log(x)), np.array([0.0, 0.0, 1.0, 0.0, 2.0]))
    assert found.births[0].entries == 3
    assert found.sentences[0].endswith("log(0) at [0], and in 2 more entries.")


def test_of_what_cancels_to_0_the_variable_is_told() -> None:
    c = np.array([3.0, 7.0])
    with np.errstate(all="ignore"):
        said = diagnose(lambda x: np.sum(1.0 / (x - c)), np.array([5.0, 7.0])).sentences
    assert said[1].endswith("x[1] = 7.")


def test_gradients_that_are_not_finite_in_two_places() -> None:
    """Each says in which entry, and what met there; in sentences the last is told first."""
    x, y = Value([4.0, 0.0]), Value([0.0, 1.0, 9.0])
    with np.errstate(all="ignore"):
        found = diagnose(2.0 * np.sqrt(x).sum() + (3.0 * y**0.5).sum())
    births = [(b.target, b.entry, b.upstream, b.local, b.entries) for b in found.births]
    assert births == [(y, (0,), 3.0, np.inf, 1), (x, (1,), 2.0, np.inf, 1)]
    assert "upstream × slope is 3 × inf for y[0] = 0." in found.sentences[0]
    assert found.sentences[1] == "Others begin in sqrt(x)."


def test_a_leaf_that_is_nan_has_a_row_without_an_operation() -> None:
    with np.errstate(all="ignore"):
        report = json.loads(diagnose(np.log(Value([1.0, np.nan])).sum()).to_json())
    (birth,) = report["births"]
    assert (birth["op"], birth["entry"], birth["cause"]) == ("", [1], "data")


def test_what_is_saturated_is_told_of_the_leaves_below_it() -> None:
    """That the gradient of the other is 0 has another reason."""
    x, other = Value([50.0, 60.0]), Value([1.0, 2.0])
    (said,) = diagnose(np.sum(np.tanh(x)) + np.sum(0.0 * other)).warnings
    assert said.startswith("the gradient of x is exactly 0: tanh(x)")


def test_notes() -> None:
    w = Value(W)
    for _pass in range(2):
        tg.cross_entropy(X @ w, Y).backward()
    loss = tg.cross_entropy(X @ w, 1 + Y % 3)
    found = diagnose(loss)
    assert found.healthy
    assert "the gradient of w is the sum of 2 backward passes" in found.notes
    assert any("classes are counted from 0" in note for note in found.notes)


def test_after_the_optimizers_step() -> None:
    z = Value([[1000.0, 0.0, 0.0]])
    with np.errstate(all="ignore"):
        loss = softmax_loss(z, ROW)
        loss.backward()
        z.data = z.data - 0.1 * z.grad  # nan now
    found = diagnose(loss)
    assert (found.births[0].node.op.name, found.births[0].numbers) == ("divide", "inf / inf")
    assert any(text.startswith("Assigned since") for text in found.sentences)
    w = Value(W)
    loss = tg.cross_entropy(X @ w, Y)
    w.data = w.data * 2.0
    assert "w was assigned since, and no backward pass has reached it" in diagnose(loss).warnings


# ------------------------------------------------------------------ watching, and the rest
def test_watching_forward_and_back() -> None:
    x = Value([0.0, 1.0])
    with watching(), pytest.raises(FloatingPointError, match=r"divide by zero in log .*line \d+"):
        np.log(x)
    root = np.sqrt(x)
    with watching(), pytest.raises(FloatingPointError, match="on the way back through sqrt"):
        root.sum().backward()
    with watching(), pytest.raises(FloatingPointError, match="overflow in exp"):
        np.exp(Value(1000.0))
    with watching(stop=False), pytest.warns(RuntimeWarning, match=r"test_diagnosis.py, line \d+"):
        np.log(x)


def test_watching_says_which_operation_of_numpys_several_calls() -> None:
    x, big = Value(np.full(400, 10.0)), Value(np.full(4, 2e38, np.float32))

    @primitive(lambda g, out, x: g / (x - 10.0))
    def shifted(x: Any) -> Any:
        return x * 1.0

    for function, argument, match in (
        (np.prod, x, "overflow in prod .*line"),
        (np.cumprod, x, "overflow in cumprod .*line"),
        (np.mean, big, "overflow in mean .*line"),
        (lambda x: shifted(x).sum().backward(), x, "on the way back through shifted .*line"),
    ):
        with watching(), pytest.raises(FloatingPointError, match=match):
            function(argument)


def test_watching_sees_at_the_pass_what_sets_no_flag() -> None:
    x, A = Value(1e200, "x"), Value(np.full((3, 3), 1e200))
    bad, w = np.array([[1.0, 2.0], [3.0, np.nan]]), Value(np.ones(2))
    hidden = Value([[1.0, -np.inf]])
    for f, match in (
        (lambda: x * x, r"inf was born in step 2, .*1e\+200 \* 1e\+200"),
        (lambda: x * x - x * x, "inf - inf"),
        (lambda: np.einsum("ij,jk->", A, A), r"einsum\(A, A\) \(test_diagnosis.py, line"),
        (lambda: ((bad @ w) ** 2).sum(), r"bad\[1, 1\] = nan"),
        (lambda: tg.cross_entropy(hidden, np.array([1])), r"\[0, 1\] = -inf"),
        (lambda: Value(1e-200) * x * (x * 1e200) * 0.0, "inf"),
    ):
        with watching(), pytest.raises(FloatingPointError, match=match):
            f().backward()
    with watching(), pytest.raises(FloatingPointError, match="1e"):
        tg.grad(lambda x: x * x)(1e200)
    with watching():
        np.arccos(Value(1.0))  # whose slope is tried as a Python number's
        with pytest.raises(FloatingPointError, match="1e"):
            (x * x).backward()
    (x * x).backward()  # it is over


def test_watching_leaves_masks_and_what_is_to_be_ignored_alone() -> None:
    masked: Any = np.where(np.eye(2)[0] > 0, Value(np.ones(2)), -np.inf)
    with watching():
        masked.backward(np.ones(2))
        with np.errstate(all="ignore"):
            np.log(Value([0.0])).sum().backward()
        assert diagnose(lambda x: np.log(x).sum(), np.zeros(2)).births


def test_a_warning_of_watching_is_on_the_learners_line_and_comes_once() -> None:
    with watching(stop=False), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        np.sqrt(Value([0.0, 1.0])).sum().backward()
    assert [w.filename for w in caught] == [__file__]


@pytest.mark.parametrize("name", HEALTHY)
def test_watching_is_quiet(name: str) -> None:
    f, args = HEALTHY[name]
    with warnings.catch_warnings(action="error"), watching():
        tg.grad(f)(*args)


def test_only_the_branch_that_np_where_picks_is_followed() -> None:
    """exp(800) is infinite too, and nowhere in the loss."""
    x = np.array([800.0, 0.0, 1.0])
    found = diagnose(lambda x: np.sum(np.where(x > 9.0, 1.0, 1 / x) + 0.0 * np.tanh(np.exp(x))), x)
    assert "1 / x" in found.sentences[0]
    assert (found.births[0].entry, found.births[0].numbers) == ((1,), "1 / 0")
    picked = diagnose(lambda x: np.sum(np.where(x > 9.0, np.log(x), 1 / x)[::-1]), -x)
    assert (picked.births[0].entry, picked.births[0].numbers) == ((1,), "1 / -0")


def test_a_gradient_too_large_for_float32_is_told_by_the_numbers_that_met() -> None:
    x, y = np.array([3.0, 1.0], np.float32), np.array([800.0, 1e200])
    first = diagnose(lambda x: np.sum(y * np.log(x)), x).sentences[0]
    assert "upstream × slope is 1 × 1e+200" in first


def test_the_limit_of_an_operation_is_found_from_any_number() -> None:
    for x in (710.0, 1e200):
        assert "exp overflows above 709.78 in float64" in diagnose(np.exp, x).sentences[1]


def test_what_is_infinite_on_the_way_back_and_dropped_there_is_no_fault() -> None:
    """The slope of the root at 0 is infinite, and relu lets nothing of it through."""
    x = Value(np.array([-1.0, 4.0]))
    found = diagnose(np.sum(tg.relu(x) ** 0.5))
    assert found.healthy
    assert "all its gradients are finite" in found.sentences[0]


def test_a_form_is_one_of_its_own_numbers() -> None:
    """A power by a variable is no third root."""

    def loss(x: Any, y: Any) -> Any:
        power = x ** (x - y)
        return np.sum(0.0 * (power - np.max(power)))

    assert diagnose(loss, np.array([0.5, -800.0]), np.array([1e200, 2.5])).cure is None


def test_arrays_written_in_place_since_are_said() -> None:
    x = np.array([1.0, 2.0])
    loss = np.sum(Value(x) ** 2)
    x[0] = 5.0
    assert "assigned or written to after power had used it" in diagnose(loss).sentences[-1]


def test_digits_of_a_float32_gradient_are_held_against_its_own() -> None:
    x, y = np.array([-0.3], np.float32), np.array([-800.0])
    found = diagnose(lambda x, y: np.sum(np.sqrt((x * x).sum()) * y), x, y)
    assert found.digits[1].digits < 8
    assert len(found.sentences) == 1


def test_json_and_html() -> None:
    found = diagnose(softmax_loss, BIG, ROW)
    told = json.loads(found.to_json())
    assert told["births"][0] == {
        "step": 4,
        "op": "divide",
        "entry": [0, 0],
        "value": "nan",
        "cause": "indeterminate",
        "numbers": "inf / inf",
        "entries": 3,
        "phase": "forward",
    } | {"step": told["births"][0]["step"], "entries": told["births"][0]["entries"]}
    assert told["sentences"] == list(found.sentences)
    assert "<p>nan was born" in found._repr_html_()
    healthy = diagnose(lambda x: x * x, 3.0)._repr_html_()
    assert "<th>digits</th>" in healthy
    assert "<td>x</td>" in healthy


def test_no_cure_is_told_that_leaves_the_loss_infinite() -> None:
    """Its gradient is finite, also in float64."""
    found = diagnose(lambda x: np.sum(x + np.inf), np.ones(2, np.float32))
    assert found.births[0].cause == "data"
    assert found.cure is None


def test_what_is_no_value() -> None:
    for wrong in (3.0, np.ones(2), None):
        with pytest.raises(TypeError, match="wanted a Value"):
            diagnose(wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="wanted a Value"):
        diagnose(lambda x: 3.0, 1.0)


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (lambda z: (np.exp(z) / np.exp(z).sum()).reshape(2, -1).sum(), Z),
        (lambda x: np.log(x / np.inf).sum(), np.ones(2)),
        (lambda A: np.linalg.inv(A).sum(), np.diag([1e-323, 1.0])),
        (lambda A: np.linalg.solve(A, np.ones(2)).sum(), np.diag([1e-323, 1.0])),
        (lambda x: (x[:, None] * 1e308).sum(axis=0), np.ones(3)),
    ],
)
def test_a_report_of_anything_is_one(f: Callable[..., Any], x: Any) -> None:
    found = diagnose(f, x)
    assert len(str(found).splitlines()) < 15
    assert found.cure is None or np.isfinite(found.cure.loss)


def test_nothing_is_changed() -> None:
    x = Value([1.0, 2.0])
    loss = np.sum(np.sqrt(x - 1.0))
    diagnose(loss)
    assert (x.grad, x.passes, x.name) == (None, 0, None)


def test_nan_through_a_loop_is_followed_in_linear_time() -> None:
    """Every step of it could be changed a little, and none of that helps."""
    W, v = Value(np.eye(3)), Value(np.zeros((3, 3)))
    with np.errstate(all="ignore"):
        v = v / v
        for _step in range(200):
            v = v @ W
    start = time.process_time()
    assert diagnose(v.sum()).births[0].numbers == "0 / 0"
    assert time.process_time() - start < 5.0  # 0.2 s; where a trial is made of each step, 36 s


def test_many_parameters_are_told_together() -> None:
    weights = [Value(x, f"w{i}") for i, x in enumerate(np.linspace(-1.0, 1.0, 60).tolist())]
    found = diagnose(sum(w * w for w in weights))
    assert [d.name for d in found.digits][-2:] == ["w7", "52 more"]
    assert all(d.digits > 14 for d in found.digits)
    assert len(str(found).splitlines()) < 15


@pytest.mark.slow
def test_100_000_nodes() -> None:
    leaves = [Value(float(i)) for i in range(10)]
    v = leaves[0]
    for i in range(33_333):
        v = v * 0.9999 + leaves[i % 10] * 0.001
    start = time.process_time()
    assert diagnose(v).healthy
    v = Value(1.0) * 0.0  # a gradient of 0 is looked for in each of these
    for _step in range(20_000):
        v = np.tanh(v + 0.1)
    diagnose(v)
    once = time.process_time() - start
    assert once < 20.0  # it takes under 2; this sees what grows with the square


@pytest.mark.parametrize("steps", [5, 1_200, pytest.param(33_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("shift", [0.0, -5000.0])
def test_the_cure_is_found_at_the_end_of_a_graph_of_any_length(steps: int, shift: float) -> None:
    x = v = Value(np.array([0.1, -0.1, 0.6, 0.1]))
    for _step in range(steps):
        v = np.tanh(v * 0.9) + x
    with np.errstate(all="ignore"):
        e = np.exp(v * 1000.0 + shift)
        loss = -np.log(e / e.sum())[0]
    said = str(diagnose(loss)).replace("\n", " ")
    logits = v.data * 1000.0 + shift
    assert "Cure: fuse(loss), or cross_entropy(" in said
    assert f"The loss is then {logits.max() - logits[0]:.6g}" in said


@pytest.mark.parametrize("steps", [5, pytest.param(1_200, marks=pytest.mark.slow)])
def test_no_cure_is_told_where_a_gradient_far_below_is_not_finite(steps: int) -> None:
    x = Value(np.array([0.0, 0.1, 0.6, 0.1]))
    with np.errstate(all="ignore"):
        root = v = np.sqrt(x)
        for _step in range(steps):
            v = np.tanh(v * 0.9) + root
        e = np.exp(v * 1000.0)
        loss = -np.log(e / e.sum())[0]
    assert "all gradients are finite" not in str(diagnose(loss)).replace("\n", " ")


@pytest.mark.parametrize(("at", "advice"), [(0.0, "x is 0 there: add a small"), (2.0, "")])
def test_a_rule_of_ones_own_that_has_a_pole(at: float, advice: str) -> None:
    """Only at 0 does a small number help."""
    own = tg.primitive(lambda g, out, x: g / (x - at), name="own")(lambda x: x + 0.0)
    said = str(diagnose(lambda x: own(x) * 3.0, at)).replace("\n", " ")
    assert "born on the way back" in said
    assert advice in said
    assert ("No change of form helps" in said) == bool(advice)
