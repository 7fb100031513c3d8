"""fuse: what must fuse and what must not, against the graph as written and against mpmath."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import need
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_ce import (
    Value,
    binary_cross_entropy,
    cross_entropy,
    draw,
    fuse,
    grad,
    gradcheck,
    hessian,
    log_softmax,
    logsumexp,
    nll,
    sigmoid,
    softmax,
    topological,
    value_and_grad,
)
from tinygrad_ce.programs import rewrite

mpmath = need("mpmath")
N, C = 5, 4
RNG = np.random.default_rng(7)
Z = RNG.normal(size=(N, C)) * 2
FAR = RNG.choice([-1000.0, 1000.0], (N, C))
Y = np.array([1, 0, 3, 1, 2])
ROWS = np.arange(N)
T = np.eye(C)[Y]
SOFT = RNG.dirichlet(np.ones(C), N)
BITS = np.array([1.0, 0.0, 0.25, 1.0, 0.0])
SIGNS = np.array([1.0, -1.0, -1.0, 1.0, 1.0])
Loss = Callable[[Any], Any]


def p(z: Any, axis: int = -1) -> Any:
    e = np.exp(z)
    return e / e.sum(axis=axis, keepdims=True)


def shifted(z: Any) -> Any:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def twice(z: Any) -> Any:
    """Every part spelled anew."""
    return np.exp(z - np.max(z, 1, keepdims=True)) / np.sum(
        np.exp(z - np.max(z, axis=-1, keepdims=True)), axis=1, keepdims=True
    )


def s(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def lse(z: Any) -> Any:
    m = np.max(z, axis=1, keepdims=True)
    return np.log(np.exp(z - m).sum(axis=1)) + m[:, 0]


def lse_two(z: Any) -> Any:
    return np.log(np.exp(z - z.max(1, keepdims=True)).sum(1)) + z.max(1)


def cancelling(log_p: Any) -> Any:
    rest = log_p[:, 0] * 0.3 - log_p[:, 0] * 0.1 - log_p[:, 0] * 0.2  # -3e-17 of it
    return -(log_p[ROWS, Y] + rest).sum()


def numbered(q: Any) -> Any:
    return -(0.5 * np.log(q[0, 1]) + 0.25 * np.log(q[1, 0]))


def binary(a: Any, b: Any) -> Any:
    return -(BITS * np.log(a) + (1 - BITS) * np.log(b)).mean()


def loop(z: Any) -> Any:
    q = softmax(z)
    total = 0.0
    for i in range(N):
        total = total - np.log(q[i, Y[i]])
    return total / N


# A spelling, and the table of targets of its loss, scale and all.
SPELLINGS: dict[str, tuple[Loss, Any]] = {
    "sum over everything, over n": (lambda z: -(T * np.log(p(z))).sum() / N, T / N),
    "sum of classes, mean of rows": (lambda z: -(T * np.log(p(z))).sum(axis=1).mean(), T / N),
    "minus inside": (lambda z: (-T * np.log(p(z))).sum(axis=-1).mean(), T / N),
    "minus on the log": (lambda z: np.sum(T * -np.log(p(z))) / N, T / N),
    "minus from zero": (lambda z: 0.0 - np.sum(np.log(p(z)) * T), T),
    "plus the log of one over p": (lambda z: np.mean(np.log(1 / p(z)[ROWS, Y])), T / N),
    "the maximum subtracted": (lambda z: -(T * np.log(shifted(z))).sum() / N, T / N),
    "the maximum, every part anew": (lambda z: -(T * np.log(twice(z))).sum() / N, T / N),
    "the maximum of the data": (
        lambda z: -(T * np.log(p(z - z.data.max(axis=1, keepdims=True)))).sum(), T),
    "a mean subtracted": (lambda z: -(T * np.log(p(z - z.mean(1, keepdims=True)))).sum(), T),
    "any number subtracted": (lambda z: -(SOFT * np.log(p(z - 3.0))).sum(), SOFT),
    "soft targets": (lambda z: -(SOFT * np.log(p(z))).sum() / N, SOFT / N),
    "fancy indexing of p": (lambda z: -np.log(p(z)[ROWS, Y]).mean(), T / N),
    "fancy indexing of log p": (lambda z: -np.log(p(z))[ROWS, Y].sum(), T),
    "negative indices": (lambda z: -np.log(p(z))[ROWS, Y - C].sum() / N, T / N),
    "take_along_axis": (lambda z: -np.take_along_axis(np.log(p(z)), Y[:, None], 1).mean(), T / N),
    "one-hot picks p": (lambda z: -np.log((p(z) * T).sum(axis=1)).mean(), T / N),
    "einsum picks p": (lambda z: -np.log(np.einsum("ij,ij->i", T, p(z))).mean(), T / N),
    "einsum with log p": (lambda z: -np.einsum("ij,ij->", np.log(p(z)), SOFT) / N, SOFT / N),
    "where": (lambda z: -np.where(T == 1, np.log(p(z)), 0.0).sum() / N, T / N),
    "log-softmax by hand": (
        lambda z: -(T * (z - np.log(np.exp(z).sum(1, keepdims=True)))).sum() / N, T / N),
    "log-softmax, shifted": (lambda z: -(T * (z - lse(z)[:, None])).mean(0).sum(), T / N),
    "difference of logs": (
        lambda z: (T * (np.log(np.exp(z).sum(1, keepdims=True)) - np.log(np.exp(z)))).sum(), T),
    "logsumexp less the logit": (lambda z: (lse(z) - z[ROWS, Y]).mean(), T / N),
    "logsumexp, two maxima": (lambda z: (lse_two(z) - (SOFT * z).sum(1)).mean(), SOFT / N),
    "logsumexp of the package": (lambda z: np.mean(logsumexp(z, 1) - z[ROWS, Y]), T / N),
    "sums apart": (lambda z: (logsumexp(z, axis=1).sum() - (T * z).sum()) / N, T / N),
    "one over the sum of exp of differences": (
        lambda z: np.log(np.exp(z - z[ROWS, Y][:, None]).sum(1)).mean(), T / N),
    "the same by take_along_axis": (
        lambda z: np.log(np.exp(z - np.take_along_axis(z, Y[:, None], 1)).sum(1)).sum(), T),
    "the same, soft": (lambda z: np.log(
        np.exp(z - (SOFT * z).sum(1, keepdims=True)).sum(1)).mean(), SOFT / N),
    "shifted by squares": (lambda z: -np.log(
        p(z - (z * z).sum(1, keepdims=True)))[ROWS, Y].mean(), T / N),
    "a likelihood: powers of p": (lambda z: -np.log(p(z) ** SOFT).sum() / N, SOFT / N),
    "log_softmax, then nll": (lambda z: nll(log_softmax(z), Y), T / N),
    "softmax of the package": (lambda z: -(T * np.log(softmax(z))).sum(), T),
    "composed, smoothed": (
        lambda z: cross_entropy(z, Y, label_smoothing=0.1, fused=False), (0.9 * T + 0.1 / C) / N),
    "scaled outside": (lambda z: 0.5 * -(T * np.log(p(z))).sum() / N, 0.5 * T / N),
    "scaled inside": (lambda z: -(T * (np.log(p(z)) * 2)).sum(), 2 * T),
    "mean over all entries": (lambda z: -(T * np.log(p(z))).mean(), T / N / C),
    "the likelihood, to maximise": (lambda z: (T * np.log(p(z))).sum() / N, -T / N),
    "classes first": (lambda z: -(T.T * np.log(p(z.T, 0))).sum() / N, T / N),
    "rows turned for the division": (
        lambda z: -np.log((np.exp(z).T / np.exp(z).sum(axis=1)).T)[ROWS, Y].mean(), T / N),
    "the reciprocal": (
        lambda z: -(T * np.log(np.exp(z) * np.exp(z).sum(1, keepdims=True) ** -1.0)).sum(), T),
    "a loop": (loop, T / N),
    "one loss a sample": (lambda z: -np.log(p(z))[ROWS, Y], T),
    "one loss a sample, soft": (lambda z: -(SOFT * np.log(p(z))).sum(1, keepdims=True), SOFT),
    "what cancels": (lambda z: cancelling(np.log(p(z))), T),
    "exp of the log-softmax": (
        lambda z: -np.log(np.exp(z - np.log(np.exp(z).sum(1, keepdims=True))))[ROWS, Y].sum(), T),
}  # fmt: skip

BINARY: dict[str, tuple[Loss, Any]] = {
    "the textbook's": (
        lambda z: -(BITS * np.log(s(z)) + (1 - BITS) * np.log(1 - s(z))).mean(), BITS),
    "sums apart": (
        lambda z: -((BITS * np.log(s(z))).sum() + ((1 - BITS) * np.log(1 - s(z))).sum()) / N, BITS),
    "the package's sigmoid": (
        lambda z: -np.mean(
            BITS * np.log(sigmoid(z)) + (1 - BITS) * np.log(1 - sigmoid(z))), BITS),
    "exp over 1 + exp": (
        lambda z: np.mean(-BITS * np.log(np.exp(z) / (1 + np.exp(z)))
            - (1 - BITS) * np.log(1 - np.exp(z) / (1 + np.exp(z)))), BITS),
    "log1p": (
        lambda z: -(BITS * np.log(s(z)) + (1 - BITS) * np.log1p(-s(z))).sum() / N, BITS),
    "where": (
        lambda z: -np.log(np.where(SIGNS > 0, s(z), 1 - s(z))).mean(), SIGNS > 0),
    "signs": (lambda z: np.log(1 + np.exp(-SIGNS * z)).mean(), SIGNS > 0),
    "signs of one class": (lambda z: np.log(1 + np.exp(-np.ones(N) * z)).mean(), np.ones(N)),
    "signs of the other, in a sigmoid": (
        lambda z: -np.log(sigmoid(-np.ones(N) * z)).mean(), np.zeros(N)),
    "powers of p": (lambda z: -np.log(s(z) ** BITS * (1 - s(z)) ** (1 - BITS)).mean(), BITS),
    "signs, log1p": (lambda z: np.log1p(np.exp(-(SIGNS * z))).sum() / N, SIGNS > 0),
    "softplus less y z": (lambda z: (np.log(1 + np.exp(z)) - BITS * z).mean(), BITS),
    "a power": (
        lambda z: -(BITS * np.log((1 + np.exp(-z)) ** -1) + (1 - BITS) * np.log(s(-z))).mean(),
        BITS),
}  # fmt: skip


def run(loss: Any, leaf: Value) -> tuple[Any, Any]:
    leaf.grad = None
    loss.backward(np.ones(loss.shape) if loss.shape else None)
    return loss.data, leaf.grad


def ops(loss: Value) -> list[str]:
    return [node.op.name for node in topological(loss) if node.op]


def built(f: Loss, data: Any) -> tuple[Value, Value]:
    z = Value(data, name="z")
    with np.errstate(all="ignore"):
        return z, f(z)


def same(a: Any, b: Any, eps: float = 2.0**-52) -> None:
    np.testing.assert_allclose(a, b, rtol=2**7 * eps, atol=2**5 * eps)


@pytest.mark.parametrize("name", SPELLINGS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_spelling_becomes_one_node_of_the_same_value_and_gradient(name: str, dtype: Any) -> None:
    f, _ = SPELLINGS[name]
    z, loss = built(f, Z.astype(dtype))
    before = ops(loss)
    new = fuse(loss)
    found = ops(new)
    assert found.count("LogSoftmaxNLL") == 1
    assert not {"log", "exp", "sum", "max", "getitem"} & set(found), found
    assert ops(loss) == before  # the old graph is as it was
    assert new.shape == loss.shape
    assert new.dtype == dtype  # that of the logits, as in cross_entropy
    eps = float(np.finfo(dtype).eps)
    for ours, theirs in zip(run(new, z), run(loss, z)):
        same(ours, theirs, eps)
    assert z.grad.dtype == dtype


def exact(data: Any, table: Any) -> tuple[Any, Any]:
    """Σ T (logsumexp z − z) and its gradient, to 60 digits, for each row."""
    with mpmath.workdps(60):
        losses, slopes = [], []
        for row, t in zip(data.tolist(), np.asarray(table).tolist()):
            total = mpmath.fsum(mpmath.exp(x) for x in row)
            losses.append(mpmath.fsum(c * (mpmath.log(total) - x) for c, x in zip(t, row)))
            mass = mpmath.fsum(t)
            slopes.append([float(mpmath.exp(x) / total * mass - c) for c, x in zip(t, row)])
        return [float(x) for x in losses], np.array(slopes)


@pytest.mark.parametrize("name", SPELLINGS)
def test_at_logits_of_a_thousand_it_is_finite_and_right(name: str) -> None:
    f, table = SPELLINGS[name]
    z, loss = built(f, FAR)
    value, slope = run(fuse(loss), z)
    losses, slopes = exact(FAR, table)
    same(np.ravel(value), losses if np.size(value) > 1 else np.sum(losses))
    same(slope, slopes)


def test_the_textbook_is_not_finite_there() -> None:
    for name in ("sum over everything, over n", "the maximum subtracted", "fancy indexing of p"):
        _, loss = built(SPELLINGS[name][0], FAR)
        assert not np.isfinite(loss.data)


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_spelling_with_a_sigmoid_becomes_the_stable_form(name: str, dtype: Any) -> None:
    f, _ = BINARY[name]
    z, loss = built(f, Z[:, 0].astype(dtype))
    new = fuse(loss)
    assert "logaddexp" in ops(new)
    assert not {"log", "exp", "log1p", "divide"} & set(ops(new))
    eps = float(np.finfo(dtype).eps)
    for ours, theirs in zip(run(new, z), run(loss, z)):
        same(ours, theirs, 4 * eps)
    assert z.grad.dtype == dtype


@pytest.mark.parametrize("name", BINARY)
def test_with_a_sigmoid_at_a_thousand_it_is_finite_and_right(name: str) -> None:
    f, y = BINARY[name]
    z, loss = built(f, FAR[:, 0])
    value, slope = run(fuse(loss), z)
    both = np.stack([FAR[:, 0], np.zeros(N)], axis=1)
    losses, slopes = exact(both, np.stack([y, 1.0 - y], axis=1) / N)
    same(value, np.sum(losses))
    same(slope, slopes[:, 0])


W, B2 = RNG.normal(size=(N, C)), RNG.normal(size=C)
OTHER = Value(RNG.normal(size=(N, C)))
HALF = np.array([0.5, 1.0, 2.0, 0.25])

NEAR_MISSES: dict[str, Loss] = {
    "softmax over the samples": lambda z: -(T * np.log(p(z, 0))).sum() / N,
    "over the samples, square": lambda z: -(SOFT[:4] * np.log(p(z[:4], 0))).sum(),
    "rows divided by another row's sum": lambda z: -(
        SOFT[:4] * np.log(np.exp(z[:4]) / np.exp(z[:4]).sum(1))).sum(),
    "softmax over everything": lambda z: -(T * np.log(np.exp(z) / np.exp(z).sum())).sum(),
    "p + eps": lambda z: -(T * np.log(p(z) + 1e-9)).sum() / N,
    "p clipped": lambda z: -(T * np.log(np.clip(p(z), 1e-12, 1.0))).sum() / N,
    "p or eps": lambda z: -np.log(np.maximum(p(z)[ROWS, Y], 1e-15)).mean(),
    "log of the mean": lambda z: -np.log(p(z).mean(axis=0)).sum(),
    "log of the square": lambda z: -(T * np.log(p(z) ** 2)).sum(),
    "log of the root": lambda z: -(T * np.log(np.sqrt(p(z)))).sum(),
    "log of twice p": lambda z: -(T * np.log(2 * p(z))).sum(),
    "log of 1 - p": lambda z: -(T * np.log(1 - p(z))).sum(),
    "log1p of p": lambda z: -(T * np.log1p(p(z))).sum(),
    "nothing normalised": lambda z: -(T * np.log(np.exp(z))).sum(),
    "one too many in the sum": lambda z: -(
        T * np.log(np.exp(z) / (1 + np.exp(z).sum(1, keepdims=True)))).sum(),
    "half of the classes in the sum": lambda z: -(
        T * np.log(np.exp(z) / np.exp(z[:, :2]).sum(1, keepdims=True))).sum(),
    "the sum of other logits": lambda z: -(
        T * np.log(np.exp(z) / np.exp(OTHER).sum(1, keepdims=True))).sum(),
    "two temperatures": lambda z: -(
        T * np.log(np.exp(z) / np.exp(z / 2).sum(1, keepdims=True))).sum(),
    "the sum as a constant": lambda z: -(
        T * np.log(np.exp(z) / np.exp(z).data.sum(1, keepdims=True))).sum(),
    "a shift in one place only": lambda z: -(
        T * np.log(np.exp(z - z.max(1, keepdims=True)) / np.exp(z).sum(1, keepdims=True))).sum(),
    "two shifts": lambda z: -(
        T * np.log(np.exp(z - z.max(1, keepdims=True))
        / np.exp(z - z.min(1, keepdims=True)).sum(1, keepdims=True))).sum(),
    "a shift that differs by class": lambda z: -(
        T * np.log(np.exp(z - B2) / np.exp(z).sum(1, keepdims=True))).sum(),
    "a maximum of the data, not put back": lambda z: (
        np.log(np.exp(z - z.data.max(1, keepdims=True)).sum(1)) - z[ROWS, Y]).mean(),
    "rows that sum to 2": lambda z: -(2 * T * np.log(p(z))).sum(),
    "rows that sum to less": lambda z: -((SOFT * 0.7) * np.log(p(z))).sum(),
    "rows that sum to this and that": lambda z: -(SOFT * ROWS[:, None] * np.log(p(z))).sum(),
    "class weights": lambda z: -(T * HALF * np.log(p(z))).sum() / N,
    "no targets": lambda z: -np.log(p(z)).sum(),
    "targets of both signs": lambda z: -((T - SOFT + 1 / C) * np.log(p(z))).sum(),
    "targets with a gradient": lambda z: -(Value(T) * np.log(p(z))).sum(),
    "entropy": lambda z: -(p(z) * np.log(p(z))).sum(),
    "focal": lambda z: -(T * (1 - p(z)) ** 2 * np.log(p(z))).sum(),
    "a maximum for the sum": lambda z: -(T * np.log(p(z))).max(),
    "soft targets inside the log": lambda z: -np.log((SOFT * p(z)).sum(axis=1)).mean(),
    "two logits off one logsumexp": lambda z: (lse(z) - 2 * z[ROWS, Y]).mean(),
    "another row's logit": lambda z: lse(z) - z[ROWS[::-1], Y],
    "the square of p - t": lambda z: np.square(p(z) - T).sum(),
    "sigmoid: both terms with y": lambda z: -(
        BITS * (np.log(s(z[:, 0])) + np.log(1 - s(z[:, 0])))).mean(),
    "sigmoid: two slopes": lambda z: -(
        BITS * np.log(s(z[:, 0])) + (1 - BITS) * np.log(1 - s(2 * z[:, 0]))).mean(),
    "sigmoid + eps": lambda z: -(
        BITS * np.log(s(z[:, 0]) + 1e-9) + (1 - BITS) * np.log(1 - s(z[:, 0]) + 1e-9)).mean(),
    "sigmoid: targets beyond 1": lambda z: -(
        2 * BITS * np.log(s(z[:, 0])) + (1 - 2 * BITS) * np.log(1 - s(z[:, 0]))).mean(),
    "samples in another order": lambda z: -np.log(p(z)[ROWS[::-1], Y]),
    "a number for each sample": lambda z: numbered(p(z[:2])),
    "halves inside the log": lambda z: -np.log((p(z) * [0.5, 0.5, 0.0, 0.0]).sum(axis=1)).mean(),
    "sigmoid: slopes beyond 1": lambda z: (
        np.log(1 + np.exp(z[:, 0] * [1.0, -1.0, 2.0, 1.0, 1.0])) - BITS * z[:, 0]).mean(),
    "sigmoid: a column of ones": lambda z: (
        np.log(np.ones((N, 1)) + np.exp(z[0])) - 0.5 * z[0]).mean(),
    "sigmoid: half of it": lambda z: binary(s(z[:, 0]), 1 - 0.5 / (1 + np.exp(-z[:, 0]))),
    "sigmoid: its square": lambda z: binary(s(z[:, 0]), 1 - (1 + np.exp(-z[:, 0])) ** -2),
    "sigmoid: one over softplus": lambda z: binary(
        1 - 1 / np.log1p(np.exp(z[:, 0] + 9)), 1 - s(z[:, 0] + 9)),
    "sigmoid: ones over more": lambda z: binary(
        s(z[:, 0]), 1 - np.ones((N, 1)) / (1 + np.exp(-z[:, 0]))),
    "softplus": lambda z: np.log(1 + np.exp(z)).sum(),
    "2 + exp": lambda z: (np.log(2 + np.exp(z[:, 0])) - BITS * z[:, 0]).mean(),
}  # fmt: skip


@pytest.mark.parametrize("name", NEAR_MISSES)
def test_a_near_miss_stays_and_says_why(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, loss = built(NEAR_MISSES[name], Z)
    assert fuse(loss, explain=True) is loss
    told = capsys.readouterr().out
    assert told.startswith("fuse: nothing: ")
    assert told.count("\n") == 1


# ------------------------------------------------------------------ what else the graph holds
@pytest.mark.parametrize("name", NEAR_MISSES)
def test_what_fuses_of_a_near_miss_where_sums_are_free_is_the_same(name: str) -> None:
    z, loss = built(NEAR_MISSES[name], Z)
    for ours, theirs in zip(run(fuse(loss, allow_unnormalized=True), z), run(loss, z)):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-13)


def test_a_shift_that_is_none_stays_below() -> None:
    z, row = Value(Z), Value(B2)
    assert ops(fuse(-(T * np.log(p(z - B2))).sum())) == ["subtract", "LogSoftmaxNLL"]
    assert ops(fuse(-(T * np.log(p(row - W[:, :1]))).sum())) == ["subtract", "LogSoftmaxNLL"]


def test_names_scales_and_the_old_graph_stay() -> None:
    z = Value(Z)
    loss = -(T * np.log(p(z))).sum()
    tripled = 3.0 * loss
    loss.name, tripled.name = "loss", "tripled"
    new = fuse(tripled)
    assert (new.name, new.parents[1].name) == ("tripled", "loss")
    assert new.parents[1].options["reduction"] == "sum"
    over = cross_entropy(-np.log(p(z))[ROWS, Y], 0)
    fuse(over * 1.0)
    wanted = run(cross_entropy(-np.log(p(z))[ROWS, Y], 0), z)[1]
    same(run(over, z)[1], wanted)
    other = Value(Z + 1.0)
    one, two = (cross_entropy(-np.log(p(v) + 0.0)[ROWS, Y], 0) for v in (z, other))
    assert fuse(one) is one
    assert fuse(two) is two


@pytest.mark.parametrize("weight", [True, np.True_, np.array(True), np.array([True])])
def test_a_truth_as_factor(weight: object) -> None:
    """As ``(y > 0) * loss`` has it: it counts as 1."""
    z = Value(800.0)
    loss = np.log(1.0 + np.exp(-z)) * weight
    np.testing.assert_allclose(fuse(loss).data, np.logaddexp(0.0, -800.0))


def test_no_samples() -> None:
    loss = -(np.zeros((0, C)) * np.log(p(Value(np.zeros((0, C)))))).sum()
    assert fuse(loss) is loss


def test_what_is_used_elsewhere_stays() -> None:
    z = Value(Z, name="z")
    q = p(z)
    loss = -(T * np.log(q)).sum() / N
    fused, kept = fuse((loss, q))
    assert kept is q
    assert ops(fused) == ["LogSoftmaxNLL"]
    both = loss + np.square(q).sum()
    new = fuse(both)
    assert sorted(ops(new)) == sorted(
        ["exp", "sum", "divide", "square", "sum", "LogSoftmaxNLL", "add"]
    )
    for ours, theirs in zip(run(new, z), run(both, z)):
        same(ours, theirs)


@pytest.mark.parametrize(
    "around",
    [
        lambda z, rows: (rows * ROWS).sum(),
        lambda z, rows: (rows * p(z)[:, 0]).mean(),
        lambda z, rows: np.square(rows.mean()) + 0.1 * np.square(z).sum(),
        lambda z, rows: np.exp(-rows).sum(),
        lambda z, rows: np.abs(rows - 1.0).max(),
    ],
)
def test_the_loss_in_the_midst_of_others(around: Callable[..., Any]) -> None:
    z = Value(Z)
    whole = around(z, -np.log(p(z))[ROWS, Y])
    new = fuse(whole)
    assert ops(new).count("LogSoftmaxNLL") == 1
    assert "log" not in ops(new)
    for ours, theirs in zip(run(new, z), run(whole, z)):
        same(ours, theirs)


def test_two_losses_and_a_loss_of_a_loss() -> None:
    z, w = Value(Z), Value(W)
    first, second = -(T * np.log(p(z))).sum() / N, -np.log(p(w)[ROWS, Y]).sum()
    new = fuse(first * 2.0 + second)
    assert sorted(ops(new)) == ["LogSoftmaxNLL", "LogSoftmaxNLL", "add", "multiply"]
    same(new.data, 2 * first.data + second.data)
    deep = -np.log(p(-np.log(p(z))[ROWS, Y], 0))[0]  # the losses of the samples as logits
    new = fuse(deep)
    assert ops(new).count("LogSoftmaxNLL") == 2
    for ours, theirs in zip(run(new, z), run(deep, z)):
        same(ours, theirs)


def test_distillation_has_two_temperatures() -> None:
    z = Value(Z)
    loss = -(T * np.log(p(z))).sum() / N - 4.0 * (SOFT * np.log(softmax(z, temperature=2.0))).sum()
    new = fuse(loss)
    assert ops(new).count("LogSoftmaxNLL") == 2
    for ours, theirs in zip(run(new, z), run(loss, z)):
        same(ours, theirs)


def test_the_logits_may_be_a_network() -> None:
    x, weights, bias = RNG.normal(size=(N, 3)), Value(RNG.normal(size=(3, C))), Value(B2)

    def logits() -> Any:
        return np.tanh(x @ weights) * 3.0 + bias

    e = np.exp(logits() - logits().max(axis=1, keepdims=True))
    loss = -(
        T * np.log(e / np.exp(logits() - np.max(logits(), 1, keepdims=True)).sum(1)[:, None])
    ).mean()
    new = fuse(loss)
    assert ops(new) == ["matmul", "tanh", "multiply", "add", "LogSoftmaxNLL", "multiply"]
    loss.backward()
    wanted, weights.grad, bias.grad = (weights.grad, bias.grad), None, None
    new.backward()
    same(new.data, loss.data)
    same(weights.grad, wanted[0])
    same(bias.grad, wanted[1])


def test_a_leaf_in_the_shift_alone_keeps_its_zeros() -> None:
    z, m = Value(Z), Value(RNG.normal(size=(N, 1)))
    new = fuse(-(T * np.log(p(z - m))).sum())
    assert ops(new) == ["subtract", "LogSoftmaxNLL"]
    new.backward()
    same(m.grad, np.zeros((N, 1)))


def test_an_operation_that_draws_anew_is_not_taken_for_one_of_its_kind() -> None:
    from tinygrad_ce import primitive

    noise = np.random.default_rng(0)
    noisy = primitive(lambda g, out, x: g)(lambda x: x + noise.normal(size=x.shape))
    z = Value(Z)
    loss = -(T * np.log(np.exp(noisy(z)) / np.exp(noisy(z)).sum(1, keepdims=True))).sum()
    assert fuse(loss) is loss


def test_the_users_own_targets_are_found_in_the_node() -> None:
    z, table, index = Value(Z), SOFT.copy(), Y.copy()
    assert fuse(-(table * np.log(p(z))).mean()).parents[0].parents[1] is table
    assert fuse(-np.log(p(z))[ROWS, index].mean()).parents[1] is index
    assert fuse(-np.log(p(z))[ROWS, Y - C].mean()).parents[1].tolist() == Y.tolist()


def test_fusing_twice_is_fusing_once() -> None:
    new = fuse(SPELLINGS["scaled outside"][0](Value(Z)))
    assert fuse(new) is new
    z = Value(Z[:, 0])
    stable = binary_cross_entropy(z, BITS)
    assert fuse(stable) is stable


def test_a_fused_node_above_a_rewritten_one_is_computed_anew() -> None:
    z = Value(np.array([[1000.0, -1000.0, 0.0], [0.0, 1.0, 2.0]]))
    with np.errstate(all="ignore"):
        rows = -np.log(p(z))[[0, 1], [0, 1]]
        loss = cross_entropy(rows, 0)
    assert np.isnan(loss.data)
    new = fuse(loss)
    value, slope = run(new, z)
    same(
        value,
        np.logaddexp(0.0, np.logaddexp(0.0, [-1.0, 1.0])[0] * 0 + np.log1p(np.exp(-1) + np.exp(1))),
    )
    assert np.isfinite(slope).all()
    same(run(fuse(loss), z)[1], slope)


def test_unnormalised_targets_when_allowed() -> None:
    for name in (
        "rows that sum to 2",
        "class weights",
        "rows that sum to this and that",
        "no targets",
    ):
        z, loss = built(NEAR_MISSES[name], Z)
        new = fuse(loss, allow_unnormalized=True)
        assert ops(new)[0] == "LogSoftmaxNLL"
        for ours, theirs in zip(run(new, z), run(loss, z)):
            same(ours, theirs)
    z, loss = built(NEAR_MISSES["sigmoid: both terms with y"], Z)
    new = fuse(loss, allow_unnormalized=True)
    assert "log" not in ops(new)
    for ours, theirs in zip(run(new, z), run(loss, z)):
        same(ours, theirs)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_any_axis(axis: int) -> None:
    data = RNG.normal(size=(3, 4, 2))
    table = np.moveaxis(
        RNG.dirichlet(np.ones(data.shape[axis]), np.delete(data.shape, axis)), -1, axis
    )
    z = Value(data)
    rows = -(table * np.log(p(z, axis))).sum(axis=axis)
    for loss in (rows, rows.mean(), rows.sum(axis=0)):
        new = fuse(loss)
        assert "LogSoftmaxNLL" in ops(new)
        assert "log" not in ops(new)
        for ours, theirs in zip(run(new, z), run(loss, z)):
            same(ours, theirs)
        for other in {0, 1, 2} - {axis}:
            wrong = -(table * np.log(p(z, other))).sum()
            assert fuse(wrong) is wrong


def test_one_sample_and_scalars() -> None:
    z = Value([1000.0, 0.0, -1000.0])
    with np.errstate(all="ignore"):
        loss = -(np.array([0.0, 1.0, 0.0]) * np.log(np.exp(z) / np.exp(z).sum())).sum()
    value, slope = run(fuse(loss), z)
    assert value == 1000.0
    assert slope.tolist() == [1.0, -1.0, 0.0]
    x = Value(0.3)
    loss = -(0.25 * np.log(s(x)) + 0.75 * np.log(1 - s(x)))
    value, slope = run(fuse(loss), x)
    assert (value.__class__, slope.__class__) == (float, float)
    same([value, slope], run(loss, x))


# ------------------------------------------------------------------------- functions, explain
def test_a_function_fuses_what_it_builds_without_a_warning() -> None:
    f = fuse(SPELLINGS["sum over everything, over n"][0])
    value, slope = value_and_grad(f)(FAR)
    losses, slopes = exact(FAR, T / N)
    same(value, np.sum(losses))
    same(slope, slopes)
    same(hessian(f)(Z), hessian(lambda z: cross_entropy(z, Y))(Z))
    same(grad(f)(Z), grad(SPELLINGS["sum over everything, over n"][0])(Z))


def test_a_function_may_return_a_structure_or_plain_data() -> None:
    def f(z: Any) -> Any:
        """Doc."""
        q = p(z)
        return {"loss": -np.log(q)[ROWS, Y].mean(), "p": q, "n": N}

    out = fuse(f)(Value(Z))
    assert ops(out["loss"]) == ["LogSoftmaxNLL"]
    assert ops(out["p"]) == ["exp", "exp", "sum", "divide"] or ops(out["p"]) == [
        "exp",
        "sum",
        "divide",
    ]
    assert out["n"] == N
    assert fuse(f).__doc__ == "Doc."
    same(fuse(f)(Z)["loss"], out["loss"].data)


def test_explain_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    z = Value(Z)
    loss = -(T * np.log(p(z))).sum() / N
    loss.name = "loss"
    fuse(loss, explain=True)
    assert capsys.readouterr().out == "fuse: loss is now LogSoftmaxNLL\n"
    fuse(z, explain=True)
    assert capsys.readouterr().out == ("fuse: nothing: there is no log of a softmax or a sigmoid\n")
    reasons = {
        "p + eps": "log of add",
        "targets with a gradient": "a target is plain data",
        "rows that sum to 2": "sum to 2 over axis 1, not to 1",
        "a shift in one place only": "max of z is left over",
        "two logits off one logsumexp": "logsumexp and the logits",
        "no targets": "sum to 4",
        "softplus": "no target",
        "another row's logit": "another row",
        "softmax over the samples": "sum to 1 to 2 over axis 0, not to 1",
        "softmax over everything": "log of sum",
        "entropy": "a target is plain data",
        "the square of p - t": "no log of a softmax",
        "log1p of p": "log(1 + divide) is not that of a sigmoid",
    }
    for name, reason in reasons.items():
        fuse(NEAR_MISSES[name](Value(Z, name="z")), explain=True)
        assert reason in capsys.readouterr().out, name


def test_what_is_no_graph_is_refused() -> None:
    with pytest.raises(TypeError, match="got ndarray, wanted a Value or a function"):
        fuse(Z)


def test_it_draws_and_checks() -> None:
    f = SPELLINGS["the maximum subtracted"][0]
    z = Value(Z, name="z")
    assert "LogSoftmaxNLL" in draw(fuse(f(z))).dot
    assert "LogSoftmaxNLL" not in draw(f(z)).dot
    assert gradcheck(fuse(f), Z).verdict == "pass"
    assert gradcheck(fuse(BINARY["the textbook's"][0]), Z[:, 0]).verdict == "pass"


def test_dask_arrays() -> None:
    dask = need("dask.array")
    z = Value(dask.from_array(Z, chunks=(2, C)))
    loss = -(T * np.log(p(z))).sum() / N
    new = fuse(loss)
    assert ops(new) == ["LogSoftmaxNLL"]
    same(np.asarray(new.data), np.asarray(loss.data))


def test_a_long_chain_of_losses_is_read_in_one_sweep() -> None:
    z = Value(np.zeros(3))
    total: Any = 0.0
    for i in range(500):
        total = total + -np.log(p(z * (1.0 + i), 0))[i % 3] + np.square(z).sum()
    new = fuse(total)
    assert ops(new).count("LogSoftmaxNLL") == 500
    same(new.data, 500 * np.log(3))


def test_long_chains_that_are_no_loss_are_not_read_at_every_link(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tried: list[Value] = []
    match = rewrite.read_loss
    monkeypatch.setattr(
        rewrite,
        "read_loss",
        lambda read, node, *more: (tried.append(node), match(read, node, *more))[1],
    )
    q = softmax(Value(np.zeros((300, 3))))
    shifted: Any = -np.log(q[0, 0])
    uneven: Any = 0.0
    for i in range(300):
        shifted = shifted + 1.0
        uneven = uneven - (i % 7 + 0.5) * np.log(q[i, i % 3])
    assert fuse(shifted) is shifted  # one sample of 300
    assert len(tried) < 10
    monkeypatch.setattr(rewrite, "PATIENCE", 0)
    tried.clear()
    assert fuse(uneven, explain=True) is uneven
    assert "sum to 0.5 to 6.5" in capsys.readouterr().out
    assert len(tried) < 50


# ------------------------------------------------------------------------------- drawn graphs
UNARY = [
    np.exp,
    np.tanh,
    np.square,
    np.negative,
    lambda x: x * 0.5,
    lambda x: np.log(1.0 + np.square(x)),
]
TURNS = [lambda x: x, lambda x: x.T.T, lambda x: x - x.max(1, keepdims=True), lambda x: x - 1.0]
ENDS = [np.sum, np.mean, lambda r: (r * np.arange(1.0, 4.0)).sum(), lambda r: r[1:].mean()]


@given(
    body=st.lists(st.sampled_from(UNARY), max_size=3),
    shift=st.sampled_from(TURNS),
    end=st.sampled_from(ENDS),
    after=st.lists(st.sampled_from(UNARY), max_size=3),
    form=st.integers(0, 4),
    axis=st.integers(0, 1),
    reuse=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_drawn_graphs_keep_their_value_and_gradient(
    body: Any, shift: Any, end: Any, after: Any, form: int, axis: int, reuse: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x, t = Value(rng.normal(size=(3, 3))), rng.dirichlet(np.ones(3), 3)
    weights = rng.uniform(0, 2, (3, 3))
    z: Any = x
    for f in body:
        z = np.tanh(f(z))
    e = np.exp(shift(z))
    q = e / e.sum(axis=axis, keepdims=True)
    rows = [
        lambda: -(t * np.log(q)).sum(axis=1),
        lambda: -np.log(q)[[0, 1, 2], [2, 0, 0]],
        lambda: np.log(e.sum(axis=axis)) - (t * z).sum(axis=1),
        lambda: -(weights * np.log(q)).sum(axis=1),
        lambda: -(t * np.log(1 / (1 + np.exp(-z))) + (1 - t) * np.log(1 - s(z))).sum(axis=1),
    ][form]()
    loss = end(rows)
    for f in after:
        loss = np.tanh(f(loss * 0.1))
    if reuse:
        loss = loss + np.square(q).sum() + rows.max()
    new = fuse(loss)
    if form < 2 and axis == 1:
        assert "LogSoftmaxNLL" in ops(new)
    loss.backward()
    slope, x.grad = x.grad, None
    new.backward()
    np.testing.assert_allclose(new.data, loss.data, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(x.grad, slope, rtol=1e-9, atol=1e-11)
