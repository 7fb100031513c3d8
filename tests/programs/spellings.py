"""The loss in many spellings, what only looks like it, and the right values, by mpmath."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from conftest import need

from tinygrad_ce import (
    Value,
    cross_entropy,
    log_softmax,
    logsumexp,
    nll,
    sigmoid,
    softmax,
    topological,
)

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
    "log of the square": (lambda z: -(T * np.log(p(z) ** 2)).sum(), 2 * T),
    "targets that sum to 2": (lambda z: -(2 * T * np.log(p(z))).sum(), 2 * T),
    "targets that sum to less": (lambda z: -((SOFT * 0.7) * np.log(p(z))).sum(), 0.7 * SOFT),
    "every class a target": (lambda z: -np.log(p(z)).sum(), np.ones((N, C))),
    "mean over all entries": (lambda z: -(T * np.log(p(z))).mean(), T / N / C),
    "the likelihood, to maximise": (lambda z: (T * np.log(p(z))).sum() / N, -T / N),
    "classes first": (lambda z: -(T.T * np.log(p(z.T, 0))).sum() / N, T / N),
    "rows turned for the division": (
        lambda z: -np.log((np.exp(z).T / np.exp(z).sum(axis=1)).T)[ROWS, Y].mean(), T / N),
    "the reciprocal": (
        lambda z: -(T * np.log(np.exp(z) * np.exp(z).sum(1, keepdims=True) ** -1.0)).sum(), T),
    "a loop": (loop, T / N),
    "columns, one by one": (
        lambda z: -(T * np.log(np.exp(z) / sum(np.exp(z).T)[:, None])).sum(), T),
    "a product with ones": (
        lambda z: -(T * np.log(np.exp(z) / (np.exp(z) @ np.ones((C, 1))))).sum(), T),
    "vdot": (lambda z: -np.vdot(SOFT, np.log(p(z))) / N, SOFT / N),
    "tensordot": (lambda z: -np.tensordot(SOFT, np.log(p(z))) / N, SOFT / N),
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
    "halves": (
        lambda z: -0.5 * (np.log(s(z)) + np.log(1 - s(z))).mean(), np.full(N, 0.5)),
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
    "log of the root": lambda z: -(T * np.log(np.sqrt(p(z)))).sum(),
    "log of twice p": lambda z: -(T * np.log(2 * p(z))).sum(),
    "log of 1 - p": lambda z: -(T * np.log(1 - p(z))).sum(),
    "log1p of p": lambda z: -(T * np.log1p(p(z))).sum(),
    "nothing normalised": lambda z: -(T * np.log(np.exp(z))).sum(),
    "one too many in the sum": lambda z: -(
        T * np.log(np.exp(z) / (1 + np.exp(z).sum(1, keepdims=True)))).sum(),
    "half of the classes in the sum": lambda z: -(
        T * np.log(np.exp(z) / np.exp(z[:, :2]).sum(1, keepdims=True))).sum(),
    "a column twice in the sum": lambda z: -(
        T * np.log(np.exp(z) / sum(np.exp(z[:, [0, 0, 1, 2]]).T)[:, None])).sum(),
    "twice the sum": lambda z: -(
        T * np.log(np.exp(z) / (np.exp(z) @ np.full((C, 1), 2.0)))).sum(),
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
    "rows that sum to this and that": lambda z: -(SOFT * ROWS[:, None] * np.log(p(z))).sum(),
    "class weights": lambda z: -(T * HALF * np.log(p(z))).sum() / N,
    "targets of both signs": lambda z: -((T - SOFT + 1 / C) * np.log(p(z))).sum(),
    "focal": lambda z: -(T * (1 - p(z)) ** 2 * np.log(p(z))).sum(),
    "a maximum for the sum": lambda z: -(T * np.log(p(z))).max(),
    "soft targets inside the log": lambda z: -np.log((SOFT * p(z)).sum(axis=1)).mean(),
    "two logits off one logsumexp": lambda z: (lse(z) - 2 * z[ROWS, Y]).mean(),
    "another row's logit": lambda z: lse(z) - z[ROWS[::-1], Y],
    "the square of p - t": lambda z: np.square(p(z) - T).sum(),
    "a sum of sigmoids in a logsumexp's place": lambda z: (
        np.log(sigmoid(z).sum(axis=1)) - z[ROWS, Y]).mean(),
    "sigmoid + eps": lambda z: -(
        BITS * np.log(s(z[:, 0]) + 1e-9) + (1 - BITS) * np.log(1 - s(z[:, 0]) + 1e-9)).mean(),
    "samples in another order": lambda z: -np.log(p(z)[ROWS[::-1], Y]),
    "a number for each sample": lambda z: numbered(p(z[:2])),
    "halves inside the log": lambda z: -np.log((p(z) * [0.5, 0.5, 0.0, 0.0]).sum(axis=1)).mean(),
    "sigmoid: a column of ones": lambda z: (
        np.log(np.ones((N, 1)) + np.exp(z[0])) - 0.5 * z[0]).mean(),
    "2 + exp": lambda z: (np.log(2 + np.exp(z[:, 0])) - BITS * z[:, 0]).mean(),
}  # fmt: skip

# What is no loss of one sigmoid, and holds logarithms of sigmoids, which are: of the target 1 or 0.
PARTS: dict[str, Loss] = {
    "sigmoid: weights": lambda z: -(
        (1 + ROWS) * BITS * np.log(s(z[:, 0]))
        + (1 + ROWS) * (1 - BITS) * np.log(1 - s(z[:, 0]))).mean(),
    "sigmoid: two slopes": lambda z: -(
        BITS * np.log(s(z[:, 0])) + (1 - BITS) * np.log(1 - s(2 * z[:, 0]))).mean(),
    "sigmoid: targets beyond 1": lambda z: -(
        2 * BITS * np.log(s(z[:, 0])) + (1 - 2 * BITS) * np.log(1 - s(z[:, 0]))).mean(),
    "sigmoid: slopes beyond 1": lambda z: (
        np.log(1 + np.exp(z[:, 0] * [1.0, -1.0, 2.0, 1.0, 1.0])) - BITS * z[:, 0]).mean(),
    "sigmoid: half of it": lambda z: binary(s(z[:, 0]), 1 - 0.5 / (1 + np.exp(-z[:, 0]))),
    "sigmoid: its square": lambda z: binary(s(z[:, 0]), 1 - (1 + np.exp(-z[:, 0])) ** -2),
    "sigmoid: one over softplus": lambda z: binary(
        1 - 1 / np.log1p(np.exp(z[:, 0] + 9)), 1 - s(z[:, 0] + 9)),
    "sigmoid: ones over more": lambda z: binary(
        s(z[:, 0]), 1 - np.ones((N, 1)) / (1 + np.exp(-z[:, 0]))),
    "softplus": lambda z: np.log(1 + np.exp(z)).sum(),
}  # fmt: skip
