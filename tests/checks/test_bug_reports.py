"""`diagnose` on losses as people bring them: where it began, what to write, the loss with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from conftest import need, some_quick

import tinygrad_ce as tg
from tinygrad_ce import Value, diagnose

RNG = np.random.default_rng(0)
Q, K = RNG.normal(size=(4, 8)), RNG.normal(size=(4, 8))
X = RNG.normal(size=(6, 3))
SEEN = np.tril(np.ones((4, 4), bool))
SEEN[2] = False  # a row of which all is masked
TEN = np.array([10.0, 0.0])
SPREAD = np.array([0.5, 60.0])
WORDS = np.array([[1, 2], [0, 0]])
SEEN_WORDS = WORDS != 0
WORDS_SEEN = SEEN_WORDS.sum(axis=1)[:, None]
RATES = np.array([[1.0, -300.0], [2.0, -1.0]])


class Report(NamedTuple):
    """A program; what the report has to say of where, of why, and of the cure; the loss with it."""

    f: Callable[..., Any]
    args: tuple[Any, ...]
    where: str
    why: str
    cure: str
    loss: float | None = None


def attention(q: Any, k: Any) -> Any:
    scores = np.where(SEEN, q @ k.T / np.sqrt(8), -np.inf)
    weights = tg.softmax(scores, axis=-1)
    return (weights**2).sum()


def attention_by_hand(q: Any, k: Any) -> Any:
    mask = np.where(SEEN, 0.0, -np.inf)
    s = q @ k.T + mask
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return np.sum(e / e.sum(axis=-1, keepdims=True))


def focal(z: Any) -> Any:
    p = 1 / (1 + np.exp(-z))
    return -(((1 - p) ** 0.5) * np.log(p)).mean()


def entropy_bonus(z: Any) -> Any:
    pi = tg.softmax(z)
    return (pi * np.log(pi)).sum()


def cosine(a: Any, b: Any) -> Any:
    norms = np.sqrt((a * a).sum(axis=1)) * np.sqrt((b * b).sum(axis=1))
    return (1 - (a * b).sum(axis=1) / norms).mean()


def batch_norm(x: Any) -> Any:
    centred = x - x.mean(axis=0)
    var = (centred**2).sum(axis=0) / (len(x) - 1)
    return (centred / np.sqrt(var + 1e-5)).sum()


def recurrent(W: Any) -> Any:
    h = np.ones(3)
    for _step in range(400):
        h = W @ h
    return (h**2).mean()


def scale_of_0(mu: Any, sigma: Any) -> Any:
    return (np.log(sigma) + (mu - mu.data) ** 2 / (2 * sigma**2)).sum()


def tanh_by_hand(w: Any) -> Any:
    o = (2 * (w * 300.0 + 1.0)).exp()
    t = (o - 1) / (o + 1)
    return (t - 0.5) ** 2


def policy(new: Any) -> Any:
    old, advantage = np.array([-1.0, -800.0]), np.array([1.0, 0.0])
    ratio = np.exp(new - old)
    return -(ratio * advantage).mean()


def distances(x: Any) -> Any:
    d = x[:, None, :] - x[None, :, :]
    return np.sqrt((d**2).sum(axis=-1)).sum()


def margin(c: Any) -> Any:
    theta = np.arccos(c)
    return theta.sum()


def features(X: Any, w: Any) -> Any:
    z = X @ w
    return (z**2).mean()


def coldest(z: Any, T: Any) -> Any:
    return -np.log(tg.softmax(z / T)[0])


def mixture(mu: Any, sigma: Any) -> Any:
    pdf = np.exp(-0.5 * ((SPREAD[:, None] - mu) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
    return -np.log(pdf.mean(axis=1)).sum()


def hidden_states(start: Any) -> Any:
    a = start
    for _step in range(400):
        a = (a @ np.full((2, 2), 0.5)) * 0.01
    return -np.log(a.sum())


def poisson(w: Any) -> Any:
    rate = np.exp(RATES @ w)
    return (rate - np.log(rate)).mean()


def hellinger(p: Any, q: Any) -> Any:
    return np.sqrt(((np.sqrt(p) - np.sqrt(q)) ** 2).sum())


def softmax_of_numbers(a: Any, b: Any) -> Any:
    e = [np.exp(a), np.exp(b)]
    p = e[0] / (e[0] + e[1])
    return (p - 0.5) ** 2


def labels_of_2(z: Any) -> Any:
    p, y = tg.sigmoid(z), np.array([2.0, 0.0])
    return -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean()


def divergence(mean: Any, log_var: Any) -> Any:
    return -0.5 * np.sum(1 + log_var - mean**2 - np.exp(log_var))


def alignment(logits: Any) -> Any:
    p = tg.softmax(logits)
    a = p[0, 0]
    for t in range(1, 600):
        a = a * p[t, 0]
    return -np.log(a)


def weighted_mixture(w: Any, mu: Any, sigma: Any) -> Any:
    terms = w * np.exp(-0.5 * ((SPREAD[:, None] - mu) / sigma) ** 2) / sigma
    return -np.log(terms.sum(axis=1)).sum()


def triplet(anchor: Any, same: Any, other: Any) -> Any:
    near = np.sqrt(((anchor - same) ** 2).sum(axis=1))
    return np.maximum(near - np.sqrt(((anchor - other) ** 2).sum(axis=1)) + 0.2, 0).mean()


def clipped(w: Any) -> Any:
    n = np.sqrt((w * w).sum())
    return (w * np.minimum(1.0, 1.0 / n)).sum()


def jensen(q: Any) -> Any:
    middle = (q + np.array([0.0, 1.0])) / 2
    return (q * np.log(q / middle)).sum()


SPEED, LOGITS = np.full(3, 1e200), RNG.normal(size=(600, 5))
BAD = X.copy()
BAD[4, 1] = np.nan
REPORTS = {
    "attention, a row masked whole": Report(
        attention, (Q, K), "- …", "A constant in scores = where", "-1e30 for -inf"
    ),
    "the same by hand": Report(
        attention_by_hand, (Q, K), "s - max(s)", "mask[2, 0] = -inf", "-1e30 for -inf", 4.0
    ),
    "focal loss of p = 1": Report(
        focal, (np.array([40.0]),), "(1 - p) ** 0.5", "0 × inf", "fuse(loss)", 0.0
    ),
    "an entropy bonus": Report(
        entropy_bonus, (np.array([0.0, 800.0]),), "pi * log(pi)", "log(0)", "fuse(loss)", 0.0
    ),
    "cosine of zeros": Report(
        cosine, (X, 0.0 * X), "sum(a * b) / norms", "0 / 0", "sqrt(sum(b * b) + 1e-12)", 1.0
    ),
    "batch norm of one sample": Report(
        batch_norm, (X[:1],), "var = sum(centred ** 2) / 0", "0 / 0", "np.maximum(0, 1)", 0.0
    ),
    "a mean of nothing": Report(
        lambda x: (x * np.zeros(6)[:, None]).sum() / np.zeros(6).sum(),
        (X,),
        *("/ 0", "0 / 0", "np.maximum(0, 1)", 0.0),
    ),
    "an RNN that explodes": Report(
        recurrent,
        (np.full((3, 3), 10.0),),
        *("h_209 = W @ h_208", "h_208[0] = 1.7", "smaller step or start"),
    ),
    "a scale of 0": Report(
        scale_of_0,
        (np.array([1.0, 2.0]), np.array([1.0, 0.0])),
        *("/ (2 * sigma ** 2)", "0 / 0", "np.log(sigma + 1e-12)", np.log(1e-12)),
    ),
    "tanh by hand": Report(tanh_by_hand, (3.0,), " - 1) / (", "exp(1802)", "np.tanh(x / 2)", 0.25),
    "a ratio of policies": Report(
        policy, (np.array([-1.0, 5.0]),), "ratio * advantage", "old[1] = -800", "new - old is 805"
    ),
    "distances to oneself": Report(
        distances, (X,), "sqrt(sum(d ** 2))", "sum(d ** 2) = 0 at [0, 0]", "sum(d ** 2) + 1e-12"
    ),
    "arccos of 1": Report(
        margin, (np.array([1.0, 0.0]),), "arccos(c)", "c[0] = 1", "np.clip(c, -1 + 1e-07, 1 -"
    ),
    "nan in a row of the data": Report(
        features, (BAD, np.ones(3)), "X[4, 1] = nan", "where the data are from", ""
    ),
    "temperature 0": Report(
        coldest, (np.array([1.0, 2.0]), 0.0), "inf - inf", "T = 0", "T is 0 there"
    ),
    "a fractional power of a negative number": Report(
        lambda x, a: (x**a).sum(), (-TEN - 1.0, 1.5), "x ** a", "x[0] = -11", "by np.maximum"
    ),
    "a third root": Report(
        lambda x: (x ** (1 / 3)).sum(), (np.array([8.0, -8.0]),), "(-8) **", "", "np.cbrt(x)", 0.0
    ),
    "logit of 1": Report(
        lambda p: np.log(p / (1 - p)).sum(),
        (np.array([0.5, 1.0]),),
        *("p / (1 - p)", "p[1] = 1", "p / (1 - p + 1e-12)", 12 * np.log(10.0)),
    ),
    "probabilities multiplied": Report(
        lambda p: -np.log(np.prod(p)),
        (np.full(2000, 0.5),),
        *("log(0)", "The smallest float64 is 4.9e-324", "np.log(p).sum()", 2000 * np.log(2.0)),
    ),
    "a hidden Markov model": Report(
        hidden_states,
        (np.full(2, 0.5),),
        *("log(sum(a_400))", "became 0 478 steps before", "compute with their logarithms"),
    ),
    "a mixture far from the data": Report(
        mixture,
        (np.array([0.0, 1.0]), np.ones(2)),
        *("log(mean(pdf))", "exp underflows below -745.13 in float64", "logsumexp(x - np.log(y))"),
        float(
            -tg.logsumexp(-0.5 * (SPREAD[:, None] - [0.0, 1.0]) ** 2, axis=1).sum()
            + 2 * np.log(2 * np.sqrt(2 * np.pi))
        ),
    ),
    "a rate that underflows": Report(
        poisson,
        (np.array([1.0, 3.0]),),
        *("log(rate)", "RATES @ w = -899 at [0]", "x for np.log(np.exp(x)), where x is RATES @ w"),
        (899.0 + np.exp(-1.0) + 1.0) / 2,
    ),
    "a matrix that is singular": Report(
        lambda A: np.linalg.slogdet(A)[1],
        (np.array([[1.0, 2.0], [2.0, 4.0]]),),
        *("logabsdet(A)", "infinite of these 4 numbers", "A + 1e-12 * np.eye(len(A))"),
    ),
    "arccos of a little more than 1": Report(
        lambda c: np.arccos(c), (1.0 + 2e-15,), "arccos(1.000000000000002)", "", "np.clip(c, -1"
    ),
    "arctanh of tanh": Report(
        lambda x: np.arctanh(np.tanh(x)).sum(), (2 * TEN,), "arctanh(1)", "", "x for np.arct", 20.0
    ),
    "the Hellinger distance of equals": Report(
        hellinger,
        (np.array([0.0, 1.0]), np.array([0.0, 1.0])),
        *("sqrt(sum((… - …) ** 2))", "1 × inf", "np.sqrt(q + 1e-12) and np.sqrt(p + 1e-12)", 1e-6),
    ),
    "a loss of -inf logits alone": Report(
        lambda a: tg.logsumexp(a + np.full(3, -np.inf)),
        (np.zeros(3),),
        *("log(0)", "A constant in a + … (test_bug_reports.py", ""),
    ),
    "a target of 0": Report(
        lambda p: np.abs((p - TEN) / TEN).mean(), (np.ones(2),), "/ TEN", "TEN[1] = 0", "mask it"
    ),
    "a sentence of padding": Report(
        lambda E: ((E[WORDS] * SEEN_WORDS[..., None]).sum(axis=1) / WORDS_SEEN).sum(),
        (np.ones((3, 2)),),
        *("/ WORDS_SEEN", "0 / 0", "np.maximum(WORDS_SEEN, 1)", 2.0),
    ),
    "softmax of numbers": Report(
        softmax_of_numbers,
        (1000.0, 10.0),
        *("p = e[0] / (e[0]", "exp(1000)", "the largest of the exponents subtracted first", 0.25),
    ),
    "softplus undone": Report(
        lambda x: np.log(np.exp(x) - 1).sum(),
        (np.array([800.0, 1.0]),),
        *("exp(x)", "x[0] = 800", "np.expm1", 800.0 + np.log(np.expm1(1.0))),
    ),
    "log cosh": Report(
        lambda x: np.log(np.cosh(x)).sum(), (80 * TEN,), "cosh(x)", "", "logaddexp", 800 - np.log(2)
    ),
    "swish": Report(
        lambda x: (x / (1 + np.exp(-x))).sum(), (-80 * TEN,), "exp(-x)", "", "x * sigmoid(x)", 0.0
    ),
    "log of a mean of exponentials": Report(
        lambda x: np.log(np.exp(x).mean()),
        (80 * TEN,),
        "exp(x)",
        "",
        "- np.log(n)",
        800 - np.log(2),
    ),
    "log of a product": Report(
        lambda x: np.log(np.prod(x)),
        (np.full(400, 10.0),),
        *("prod(x)", "prod of 400 numbers", "np.log(x).sum()", 400 * np.log(10.0)),
    ),
    "perplexity": Report(
        lambda z: np.exp(tg.cross_entropy(z, 1)), (90 * TEN,), "exp(", "exp(900)", "is 900 there"
    ),
    "dice of nothing": Report(
        lambda p: 1 - 2 * p.sum() / (p.sum() + p.sum()),
        (np.zeros(3),),
        *("2 * sum(p) / (", "0 / 0", "+ 1e-12", 1.0),
    ),
    "the harmonic mean": Report(
        lambda p: 3 / (1 / p).sum(), (np.array([1.0, 0.0]),), "1 / p", "p[1] = 0", "1 / (p + 1e-12)"
    ),
    "matrices of float32": Report(
        lambda a: np.tanh(np.einsum("ij,jk->ik", a, a) * np.float32(0.5)).sum(),
        (np.array([[1e20, 1e20], [1e20, -1e20]], np.float32),),
        *("einsum(a, a)", "largest float32 is 3.4e+38", "float64", 2.0),
    ),
    "float16": Report(
        lambda x: np.exp(x).sum(),
        (np.array([12.0], np.float16),),
        *("exp(x)", "above 11.09 in float16", "float64", np.exp(12.0)),
    ),
    "a maximum over inf": Report(
        lambda x: np.max(1 / x), (np.array([1.0, 0.0]),), "1 / x", "x[1] = 0", "1 / (x + 1e-12)"
    ),
    "labels of 2": Report(
        labels_of_2, (np.array([50.0, 1.0]),), "log(1 - p)", "go from 0 to 2", "binary_cross"
    ),
    "penalty on a gradient of 0": Report(
        lambda w: (np.sqrt((w * w).sum()) - 1.0) ** 2,
        (np.zeros(3),),
        *("sqrt(sum(w * w))", "-2 × inf", "np.sqrt(sum(w * w) + 1e-12)", 1.0),
    ),
    "a divergence of log-variances": Report(
        divergence, (X[0], 400 * TEN[:1]), "exp(log_var)", "log_var[0] = 4000", "a smaller step"
    ),
    "probabilities of a path multiplied": Report(
        alignment, (LOGITS,), "log(a", "The smallest float64", "fuse(loss)"
    ),
    "a weighted mixture far from the data": Report(
        weighted_mixture,
        (np.array([0.5, 0.5]), np.array([0.0, 1.0]), np.ones(2)),
        *("log(sum(terms))", "exp underflows below", "logsumexp(x - np.log(sigma) + np.log(w))"),
        float(
            2 * np.log(2.0) - tg.logsumexp(-0.5 * (SPREAD[:, None] - [0.0, 1.0]) ** 2, axis=1).sum()
        ),
    ),
    "a running log-sum": Report(
        lambda x: np.log(np.cumsum(np.exp(x))).sum(),
        (80 * TEN,),
        *("exp(x)", "x[0] = 800", "np.logaddexp.accumulate(x) for np.log(np.cumsum(", 1600.0),
    ),
    "a running log-sum of rows": Report(
        lambda x: np.log(np.cumsum(np.exp(x), axis=1)).sum(),
        (np.array([[800.0, 0.0], [1.0, 1.0]]),),
        *("exp(x)", "", "np.logaddexp.accumulate(x)", 1602.0 + np.log(2.0)),
    ),
    "log of a determinant": Report(
        lambda S: np.log(np.linalg.det(S)),
        (0.01 * np.eye(200),),
        *("log(det(S))", "det(S) = 0", "np.linalg.slogdet(S)[1]", 400 * np.log(0.1)),
    ),
    "the middle of distributions": Report(
        jensen, (np.array([0.0, 1.0]),), "q / middle", "q[0] = 0", "np.log(q / middle + 1e-12)", 0.0
    ),
    "a triplet of equals": Report(
        triplet,
        (X, X, X[::-1]),
        "sqrt(sum((anchor - same)",
        "0 × inf",
        "np.where(c, sum((anchor - same) ** 2), 1.0)",
    ),
    "a gradient of 0 that is clipped": Report(
        clipped, (np.zeros(3),), "1 / n", "0 × -inf", "np.where(c, sum(w * w), 1.0)", 0.0
    ),
    "a constant without a name": Report(
        lambda p: np.mean((np.array([0.0, 2.0]) - p) / np.array([0.0, 2.0])),
        (np.ones(2),),
        *("-1 / 0", "a constant = 0 at [0]", "a constant is 0 there"),
    ),
    "a power of a negative number": Report(
        lambda v: ((v - 3e200) ** 2).sum(), (SPEED,), "(-2e+200) ** 2", "largest float64 is", "step"
    ),
    "an angle at the origin": Report(
        lambda x: np.arctan2(x[:, 1], x[:, 0]).sum(),
        (np.array([[1.0, 1.0], [0.0, 0.0]]),),
        *("arctan2(x[...], x[...])", "1 × nan for x[1, 1] = 0", "1e-12", np.pi / 4),
    ),
    "a difference of what underflowed twice": Report(
        lambda z: np.log(z[0] ** 200) - np.log(z[1] ** 200),
        (np.array([0.01, 0.02]),),  # 1e-12 added to both would make it 0, which is 200 log(1/2)
        *("-inf - -inf", "became 0", "No change of form helps"),
    ),
    "np.std of one column": Report(
        lambda x: ((x - x.mean(axis=0)) / np.std(x, axis=0)).sum(),
        (np.array([[1.0, 5.0], [2.0, 5.0]]),),
        *("(x - mean(x)) /", "0 / 0", "+ 1e-12", 0.0),
    ),
}


@pytest.mark.parametrize("name", REPORTS)
def test_reports(name: str) -> None:
    case = REPORTS[name]
    found = diagnose(case.f, *case.args)
    first, *rest = found.sentences
    assert case.where in first
    assert any(case.why in text for text in found.sentences), found
    last = [text for text in rest if text.startswith(("Cure: ", "No change of form helps: "))]
    assert not case.cure or case.cure in last[0]
    assert len(str(found).splitlines()) < 15
    if case.loss is not None:
        assert found.cure
        assert found.cure.loss == pytest.approx(case.loss, rel=1e-9, abs=2e-6)


def test_what_makes_it_finite_and_another_loss_is_no_cure() -> None:
    """Eigenvectors of equal eigenvalues have no derivative; a matrix of ones is another one."""
    A = np.eye(3)
    found = diagnose(lambda A: (np.linalg.eigh(A)[1][:, 0] ** 2 * np.arange(3)).sum(), A)
    assert found.births[0].node.op.name == "eigenvectors"
    assert found.cure is None


@pytest.mark.filterwarnings("ignore:Mean of empty slice")
def test_a_mean_of_no_numbers() -> None:
    first = diagnose(lambda x: x[x.data > 9.0].mean(), np.zeros(3)).sentences[0]
    assert "mean(x[...])" in first
    assert first.endswith("mean of no numbers.")


def test_a_cure_that_the_loss_rests_on_says_so() -> None:
    of_loss = diagnose(lambda p: -np.log(p).sum(), np.array([0.5, 0.0]))
    assert "though the loss rests on that number" in of_loss.sentences[-1]
    of_norm = diagnose(lambda x: np.sqrt((x * x).sum()), np.zeros(2))
    assert "which moves numbers by little" in of_norm.sentences[-1]


def test_a_parameter_that_is_nan_is_the_steps_and_no_datas() -> None:
    w = Value(np.array([1.0, 0.0]))
    with np.errstate(all="ignore"):
        (w * w).sum().backward()
        w.data = w.data - w.grad / np.sqrt(w.grad**2)
        loss = (w * w).sum()
    assert "though its last gradient is finite: look at the" in diagnose(loss).sentences[0]
    w.grad = None
    loss.backward()
    assert "its last gradient is not finite either" in diagnose((w * w).sum()).sentences[0]


def test_a_cure_is_right_by_mpmath() -> None:
    mp = need("mpmath")
    z = np.array([[1000.0, 0.0, 3.0], [2.0, -900.0, 1.0]])
    t = np.array([[0.0, 1.0, 0.0], [0.0, 1.0, 0.0]])

    def loss(z: Any) -> Any:
        e = np.exp(z)
        p = e / e.sum(axis=1, keepdims=True)
        return -(t * np.log(p)).sum()

    found = diagnose(loss, z)
    with mp.workdps(50):
        rows = [mp.log(mp.fsum(mp.exp(mp.mpf(x)) for x in row)) for row in z.tolist()]
        true = mp.fsum(rows) - mp.mpf(z[0, 1]) - mp.mpf(z[1, 1])
    assert found.cure
    assert found.cure.loss == pytest.approx(float(true), rel=1e-15)


def test_cures_are_tried_after_the_step_too() -> None:
    """The logits of the forward pass are still there, though the weights have been assigned."""
    W = Value(500.0 * X[:3])
    with np.errstate(all="ignore"):
        z = X @ W
        e = np.exp(z)
        loss = -np.log((e / e.sum(axis=1, keepdims=True))[:, 0]).mean()
        W.data = W.data * np.nan
    found = diagnose(loss)
    assert found.cure
    right = tg.cross_entropy(z.data, np.zeros(6, int))
    assert found.cure.loss == pytest.approx(float(right), rel=1e-12)


LOST = ("log of a determinant", "softmax of numbers", "a matrix that is singular")
AFTER = [name for name in REPORTS if name not in LOST]  # what a step in place leaves no trace of


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", some_quick(AFTER, 4))
def test_a_loss_says_the_same_and_after_a_step_too(name: str) -> None:
    """Also where the step writes in place: the numbers told are those of the forward pass."""
    f, args, *_words = REPORTS[name]
    given = [np.array(x) if isinstance(x, np.ndarray) else x for x in args]
    values = [Value(x) if np.asarray(x).dtype.kind == "f" else x for x in given]
    loss = f(*values)
    loss.backward()
    before = diagnose(loss)
    for x in values:
        if isinstance(x, Value) and x.passes:
            x.data -= 0.1 * x.grad
    for found in (before, diagnose(loss)):
        told = [(b.step, b.entry, b.cause, b.numbers) for b in found.births]
        assert told == [(b.step, b.entry, b.cause, b.numbers) for b in diagnose(f, *args).births]
        assert bool(found.cure) == bool(before.cure)
        assert len(str(found).splitlines()) < 15


def test_a_gradient_that_is_not_finite_is_found_after_the_step() -> None:
    w = Value(np.zeros(2), "w")
    loss = np.sqrt((w * w).sum()) + (w + 1.0).sum()
    with np.errstate(all="ignore"):
        loss.backward()
        w.data -= 0.1 * w.grad
    found = diagnose(loss)
    assert "1 × inf for sum(w * w) = 0" in found.sentences[0]
    assert (
        found.sentences[-1]
        == "Assigned since the loss was computed: w. This is of the numbers before."
    )
    assert np.isnan(w.data).all()
    large = Value(np.zeros(10_000), "large")
    with np.errstate(all="ignore"):
        (loss := np.sqrt(large).sum()).backward()
        large.data -= large.grad
    (said,) = diagnose(loss).warnings
    assert said.endswith("the gradient it had got is not finite")


def test_a_loss_without_names_or_lines_says_what_it_is_made_of() -> None:
    leaf = Value(np.array([0.5, 1.0]))
    with np.errstate(all="ignore"):
        loss = eval("np.log(1.0 - leaf).sum()", {"np": np, "leaf": leaf})
    assert "log(1 - leaf) (<string>, line 1): log(0) at [1]" in diagnose(loss).sentences[0]


def test_a_change_of_form_that_is_another_function_is_no_cure() -> None:
    """Softmax over all of a table, and a sum over its rows: a maximum of each row would differ."""
    z = np.array([[800.0, 1.0], [0.0, 799.0]])
    found = diagnose(lambda z: np.sum((np.exp(z) / np.exp(z).sum()) ** 2), z)
    assert found.cure
    p = np.exp(z - 800.0) / np.exp(z - 800.0).sum()
    assert found.cure.loss == pytest.approx(float((p**2).sum()), rel=1e-12)


@pytest.mark.parametrize(
    ("f", "right"),
    [
        (lambda z: np.log(np.exp(z) / np.exp(z).sum()), lambda z: z - tg.logsumexp(z)),
        (lambda z: np.log(np.cumsum(np.exp(z))), lambda z: np.logaddexp.accumulate(z.ravel())),
    ],
)
def test_a_form_of_rows_is_no_cure_of_what_is_over_the_whole_table(f: Any, right: Any) -> None:
    z = np.array([[800.0, 1.0], [0.0, 799.0]])
    found = diagnose(lambda z: (f(z) ** 2).sum(), z)
    assert found.births
    loss = pytest.approx(float((right(z) ** 2).sum()), rel=1e-12)
    assert found.cure is None or found.cure.loss == loss
