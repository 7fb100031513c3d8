"""How many digits are right: held against mpmath at 50 digits, on drawn losses and gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import need

import tinygrad_ce as tg
from tinygrad_ce import Value, diagnose, primitive

HALF = {np.float64: 1.1e-16, np.float32: 6e-8}  # what rounding the result alone may cost


def judge(pairs: list[tuple[float, float]], kind: Any) -> None:
    """What was said and the true error: a bound on 95 of 100, within 10 on 75, 100 on 98."""
    said, true = np.array(pairs).T
    ratios = np.maximum(said, HALF[kind]) / np.maximum(true, HALF[kind] / 10)
    few = 1 / len(ratios)  # of a small sample one may be an exception
    assert np.mean(ratios < 1.0) <= max(0.05, few)
    assert np.mean(ratios > 10.0) <= max(0.25, few)
    assert np.mean(ratios > 100.0) <= max(0.02, few)
    assert not np.any((true > HALF[kind] ** 0.5) & (said < HALF[kind] ** 0.5))  # never silent


# ------------------------------------------------------------------ of numbers
Step = tuple[str, int, int]
STEPS: dict[str, Callable[..., Any]] = {
    "add": lambda m, x, y: x + y,
    "sub": lambda m, x, y: x - y,
    "mul": lambda m, x, y: x * y,
    "div": lambda m, x, y: x / (1.0 + y * y),
    "exp": lambda m, x, y: m.exp(m.tanh(x)),
    "log": lambda m, x, y: m.log(1.0 + x * x),
    "tanh": lambda m, x, y: m.tanh(x),
    "root": lambda m, x, y: m.sqrt(x * x + 0.5),
    "less": lambda m, x, y: 1.0 - m.exp(-(x * x)),
}


def drawn(rng: Any) -> tuple[list[Step], list[float]]:
    """A loss of scalars, as steps on what is there, and where it is taken."""
    steps, n = [], 4
    for _step in range(int(rng.integers(4, 40))):
        steps.append((str(rng.choice([*STEPS])), int(rng.integers(n)), int(rng.integers(n))))
        n += 1
    return steps, [float(x) for x in rng.normal(size=4) * 10.0 ** rng.uniform(-6, 1.5)]


def run(steps: list[Step], at: list[Any], m: Any) -> Any:
    """The loss, by the functions of NumPy or mpmath."""
    known = list(at)
    for kind, i, j in steps:
        known.append(STEPS[kind](m, known[i], known[j]))
    return known[-1] * known[-2] + known[-3]


def test_of_numbers() -> None:
    mp = need("mpmath")
    rng, pairs = np.random.default_rng(0), list[tuple[float, float]]()
    with mp.workdps(50):
        while len(pairs) < 100:
            steps, at = drawn(rng)
            with np.errstate(all="ignore"):
                loss = run(steps, [Value(x) for x in at], np)
            if not np.isfinite(loss.data) or (true := run(steps, [*map(mp.mpf, at)], mp)) == 0:
                continue
            error = float(abs(mp.mpf(float(loss.data)) - true) / abs(true))
            pairs.append((diagnose(loss).digits[0].error, error))
    judge(pairs, np.float64)


# ------------------------------------------------------------------ of arrays
def cross_entropy(m: Any, z: Any, t: Any) -> Any:
    e = m.exp(z)
    return -(t * m.log(e / e.sum(axis=1, keepdims=True))).sum()


def network(m: Any, X: Any, W: Any, v: Any) -> Any:
    r = m.tanh(X @ W) @ v - 0.5
    return (r * r).mean()


def binary(m: Any, z: Any, y: Any) -> Any:
    s = 1.0 / (1.0 + m.exp(-z))
    return -(y * m.log(s) + (1.0 - y) * m.log(1.0 - s)).mean()


def variance(m: Any, x: Any) -> Any:
    return (x * x).mean() - x.mean() ** 2


def normed(m: Any, x: Any, gain: Any) -> Any:
    c = x - x.mean(axis=1, keepdims=True)
    return (gain * c / m.sqrt((c * c).mean(axis=1, keepdims=True) + 1e-5)).sum()


def deep(m: Any, x: Any, A: Any) -> Any:
    for _layer in range(8):
        x = m.tanh(x @ A)
    return x.sum()


def array_loss(rng: Any) -> tuple[Callable[..., Any], list[Any], list[Any]]:
    """A loss, its variables and its constants."""
    (n, k), s = rng.integers(2, 8, 2), 10.0 ** rng.uniform(-4, 1.0)
    draw, one_hot = rng.normal, np.eye(k)[rng.integers(0, k, n)]
    kinds: list[tuple[Callable[..., Any], list[Any], list[Any]]] = [
        (cross_entropy, [s * draw(size=(n, k))], [one_hot]),
        (network, [draw(size=(n, 3)), s * draw(size=(3, 4)), draw(size=4)], []),
        (binary, [min(s, 6.0) * draw(size=n)], [one_hot[:, 0]]),
        (variance, [s * draw(size=n) + 1.0 / s], []),
        (normed, [s * draw(size=(n, k)), draw(size=k)], []),
        (deep, [s * draw(size=(n, 3)), 0.5 * draw(size=(3, 3))], []),
        (lambda m, x: (m.exp(x) - 1.0).sum(), [s * draw(size=1000)], []),
        (lambda m, x: m.log(m.exp(-x * x).sum()) ** 2, [draw(size=1000)], []),
    ]
    return kinds[int(rng.integers(len(kinds)))]


class Exact:
    """NumPy's functions on arrays of mpmath's numbers."""

    def __init__(self, mp: Any) -> None:
        for name in ("exp", "log", "sqrt", "tanh"):
            setattr(self, name, np.frompyfunc(getattr(mp, name), 1, 1))
        self.array = np.frompyfunc(lambda x: mp.mpf(float(x)), 1, 1)


def slopes(f: Callable[..., Any], m: Exact, at: list[Any], k: int, h: Any) -> Any:
    """The gradient of variable k, by central differences of 50 digits."""
    found = np.empty(at[k].shape, object)
    for entry in np.ndindex(found.shape):
        up, down = at[k].copy(), at[k].copy()
        up[entry], down[entry] = up[entry] + h, down[entry] - h
        sides = [f(m, *at[:k], x, *at[k + 1 :]) for x in (up, down)]
        found[entry] = (sides[0] - sides[1]) / (2 * h)
    return found


@pytest.mark.parametrize("count", [15, pytest.param(80, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", HALF)
def test_of_arrays_and_their_gradients(kind: Any, count: int) -> None:
    mp = need("mpmath")
    rng, m = np.random.default_rng(1), Exact(mp)
    losses, gradients = list[tuple[float, float]](), list[tuple[float, float]]()
    with mp.workdps(50):
        while len(losses) < count:
            f, variables, constants = array_loss(rng)
            at = [x.astype(kind) for x in variables + constants]
            leaves = [Value(x) for x in at[: len(variables)]]
            with np.errstate(all="ignore"):
                loss = f(np, *leaves, *at[len(leaves) :])
            found = diagnose(loss)
            exact = [m.array(x.astype(object)) for x in at]
            true = f(m, *exact)
            if found.births or true == 0:
                continue
            error = abs(mp.mpf(float(loss.data)) - true) / abs(true)
            losses.append((found.digits[0].error, float(error)))
            loss.backward()
            for k, leaf in enumerate(leaves):
                if leaf.size < 30 and len(found.digits) == 1 + len(leaves):
                    right = slopes(f, m, exact, k, mp.mpf(10) ** -18)
                    off = mp.norm(list((m.array(leaf.grad.astype(object)) - right).flat))
                    size = mp.norm(list(right.flat))
                    gradients.append((found.digits[1 + k].error, float(off / size)))
    judge(losses, kind)
    judge(gradients, kind)


@pytest.mark.slow
def test_of_linear_algebra() -> None:
    """LAPACK has no wider numbers, and what it gives may be far more off than its last digit."""
    mp = need("mpmath")
    rng, pairs = np.random.default_rng(2), list[tuple[float, float]]()
    with mp.workdps(50):
        for _draw in range(80):
            A = np.eye(3) + 10.0 ** rng.uniform(-3, 1) * rng.normal(size=(3, 3))
            M, ones = mp.matrix(A.tolist()), np.ones(3)
            for f, true in (
                (lambda A: np.linalg.slogdet(A)[1], mp.log(abs(mp.det(M)))),
                (lambda A: np.linalg.det(A), mp.det(M)),
                (lambda A: np.linalg.inv(A).sum(), sum(M**-1)),
                (lambda A, b=ones: np.linalg.solve(A, b) @ b, sum(mp.lu_solve(M, ones.tolist()))),
            ):
                found = diagnose(f, A).digits[0]
                error = abs(mp.mpf(float(f(A))) - true) / abs(true)
                pairs.append((found.error, float(error)))
    judge(pairs, np.float64)


def test_an_operation_that_takes_no_wider_numbers_is_not_taken_as_exact() -> None:
    @primitive(lambda g, out, x: g * out)
    def narrow(x: Any) -> Any:
        return np.exp(np.asarray(x, np.float64))

    (of_loss, _of_x) = diagnose(lambda x: narrow(x) - 1.0, np.array([1e-9])).digits
    assert 5 < of_loss.digits < 8


def test_an_operation_of_whole_numbers_too_is_computed_in_wider_ones() -> None:
    """Picking entries rounds nothing: 10 digits cancel, and all that is left is right."""
    picked = primitive(lambda g, out, x, i: g * np.eye(2)[1], None)(lambda x, i: x[i])
    of_loss = diagnose(lambda x: picked(x, np.array([1])) - (1.0 - 1e-10), np.ones(2)).digits[0]
    assert of_loss.digits > 15


def test_what_a_mask_hides_costs_nothing() -> None:
    scores = np.where(
        np.tril(np.ones((4, 4), bool)), np.outer(np.arange(4.0), [1, 2, 3, 4]), -np.inf
    )
    found = diagnose(lambda x: (tg.softmax(x + scores) ** 2).sum(), np.ones((4, 4)) / 3)
    assert all(d.digits > 14 for d in found.digits)


def test_a_loss_that_is_rounding_alone_has_no_digits() -> None:
    x = np.full(8, 1e4, np.float32) + np.arange(8, dtype=np.float32) / 1e3
    found = diagnose(lambda x: variance(np, x), x)
    assert found.digits[0].digits == 0.0


# ------------------------------------------------------------------ which steps
def test_what_cancels_is_named() -> None:
    p = Value(1e-9)
    q = np.exp(p)
    r = q - 1.0
    found = diagnose(r * 3.0)
    assert 6 < found.digits[0].digits < 8
    assert any("9 cancel in r = q - 1" in text for text in found.sentences)


@pytest.mark.parametrize("kind", HALF)
def test_of_the_fused_loss_whose_gradient_does_not_cancel(kind: Any) -> None:
    mp = need("mpmath")
    rng, losses, gradients = np.random.default_rng(4), [], []
    with mp.workdps(50):
        for _draw in range(40):
            z = (10.0 ** rng.uniform(-3, 1.4) * rng.normal(size=(3, 4))).astype(kind)
            leaf, t = Value(z), np.argmax(z, axis=1)
            found = diagnose(loss := tg.cross_entropy(leaf, t)).digits
            loss.backward()
            e = [[mp.exp(mp.mpf(float(x))) for x in row] for row in z]
            p = [[x / mp.fsum(row) for x in row] for row in e]
            true = -mp.fsum(mp.log(row[k]) for row, k in zip(p, t)) / 3
            right = [(p[i][k] - int(t[i] == k)) / 3 for i, k in np.ndindex(z.shape)]
            off = [mp.mpf(float(x)) - y for x, y in zip(leaf.grad.flat, right)]
            error = abs(mp.mpf(float(loss.data)) - true) / abs(true)
            losses.append((found[0].error, float(error)))
            gradients.append((found[1].error, float(mp.norm(off) / mp.norm(right))))
    judge(losses, kind)
    judge(gradients, kind)


def test_what_cancels_on_the_way_back_is_not_spelled() -> None:
    x = np.array([[1.0, 3.0], [4.0, 3.0], [2.0, 3.0]])
    found = diagnose(lambda x: (((x - x.mean(axis=0)) / (np.std(x, axis=0) + 1e-8)) ** 2).mean(), x)
    assert any("cancel in add on the way back" in text for text in found.sentences), found


@pytest.mark.parametrize("scale", [2.0**-20, 1.0, 2.0**20])
def test_how_many_digits_cancel_does_not_rest_on_the_size_of_the_terms(scale: float) -> None:
    found = diagnose(lambda x: (scale * np.exp(x) - scale) * 3.0, 1e-9)
    assert 6 < found.digits[0].digits < 8
    assert 8.9 < found.digits[0].cancelled < 9.1


def test_digits_of_gradients() -> None:
    """Of Σ(p − t), with every p near t, the gradient has lost what the difference lost."""
    found = diagnose(lambda z: tg.cross_entropy(z, 0), np.array([1.0, 2.0, 3.0]))
    assert [d.name for d in found.digits][1:] == ["z"]
    assert all(d.digits > 14 for d in found.digits)
    lost = diagnose(lambda x: (np.exp(x) - 1.0 - x) * 1.0, 1e-6)
    assert lost.digits[1].name == "x"
    assert 8 < lost.digits[1].digits < 11  # exp(1e-6) − 1: six are gone


@pytest.mark.parametrize("f", [np.cumsum, np.cumprod])
def test_of_whole_numbers_no_running_sum_is_off(f: Any) -> None:
    """Calls that are alike are no rows of one table, along which it would go."""
    found = diagnose(lambda x: (f(x) * f(2.0 * x)).sum(), np.arange(1.0, 5.0))
    assert all(d.digits > 15 for d in found.digits), found


def test_a_gradient_that_is_rounding_alone_is_told() -> None:
    """The sum of a softmax is 1; where its square is summed, there is a gradient."""
    told = "The gradient of x is 0 but for rounding."
    for power, said in ((1, True), (2, False)):
        found = diagnose(lambda x, n=power: np.sum(tg.softmax(x) ** n), np.array([1.0, 2.0, 3.0]))
        assert (told in found.sentences) == said


def test_a_step_of_the_gradient_is_told_without_the_packages_own_lines() -> None:
    def f(x: Any) -> Any:
        e = np.exp(x)
        return (e * e - 2 * e) * 3.0

    told = next(text for text in diagnose(f, 1e-9).sentences if text.startswith("Of x"))
    assert "9 cancel in" in told
    assert told.endswith("+ seed * 3 * exp(x).")
