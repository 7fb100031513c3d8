"""program(fuse=True): every spelling of the loss, in plain NumPy, for data the example is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import some_quick
from spellings import BINARY, FAR, NEAR_MISSES, PARTS, SPELLINGS, N, Z, exact

import tinygrad_ce as tg
from tinygrad_ce import Value, program

pytestmark = pytest.mark.usefixtures("few_rows_tried")
RNG = np.random.default_rng(5)
X, W, B = RNG.normal(size=(6, 4)), np.zeros((4, 3)), np.zeros(3)
LABELS = np.array([0, 2, 1, 1, 0, 2])
ROWS = np.arange(6)
TABLE = np.eye(3)[LABELS]
BITS = (LABELS > 0).astype(float)


def p(z: Any) -> Any:
    e = np.exp(z)
    return e / e.sum(axis=1, keepdims=True)


def total(f: Callable[..., Any]) -> Callable[..., Any]:
    """The sum over samples, of a loss that is none yet."""
    return lambda *args: np.sum(f(*args))


def by_backward(f: Callable[..., Any], args: list[Any], n: int = 1) -> tuple[Any, list[Any]]:
    leaves = [Value(a) for a in args[:n]]
    out = f(*leaves, *args[n:])
    out.backward()
    return out.data, [v.grad for v in leaves]


@pytest.mark.parametrize(
    ("binary", "name"),
    some_quick([*((False, name) for name in SPELLINGS), *((True, name) for name in BINARY)], 3),
)
@pytest.mark.filterwarnings("ignore:.*encountered")
def test_a_spelling_is_finite_and_right_at_a_thousand(binary: bool, name: str) -> None:
    f, table = (BINARY if binary else SPELLINGS)[name]
    near, far = (Z[:, 0], FAR[:, 0]) if binary else (Z, FAR)
    made = program(total(f), near, fuse=True)
    value, slope = made(near)
    right, [back] = by_backward(total(f), [near])
    np.testing.assert_allclose(value, right, rtol=1e-13)
    np.testing.assert_allclose(slope, back, rtol=1e-12, atol=1e-15)
    value, slope = made(far)
    if binary:
        far, table = np.stack([far, np.zeros(N)], 1), np.stack([table, 1.0 - table], 1) / N
    losses, slopes = exact(far, table)
    np.testing.assert_allclose(value, np.sum(losses), rtol=1e-13)
    np.testing.assert_allclose(slope, slopes[:, 0] if binary else slopes, atol=1e-13)


with np.errstate(all="ignore"):  # one loss a sample is none to program, its sum over them is one
    ONE_NUMBER = [name for name, f in NEAR_MISSES.items() if f(Value(Z)).size == 1]


@pytest.mark.parametrize("name", some_quick(ONE_NUMBER, 3))
@pytest.mark.filterwarnings("ignore:.*encountered")
def test_a_near_miss_is_left_as_it_is(name: str) -> None:
    f = NEAR_MISSES[name]
    assert program(f, Z, fuse=True).source == program(f, Z).source


@pytest.mark.parametrize("name", PARTS)
def test_the_log_of_a_sigmoid_is_stable_alone(name: str) -> None:
    made = program(PARTS[name], Z, fuse=True)
    assert "np.logaddexp" in made.source
    value, slope = made(Z)
    right, [back] = by_backward(PARTS[name], [Z])
    np.testing.assert_allclose(value, right, rtol=1e-12)
    np.testing.assert_allclose(slope, back, rtol=1e-11, atol=1e-14)


# Of linear layers: the target is an argument too, and then the program is for other targets.
OF_ARGUMENTS: dict[str, tuple[Callable[..., Any], Any]] = {
    "a table": (lambda w, b, x, t: -(t * np.log(p(x @ w + b))).sum() / len(x), TABLE),
    "soft": (lambda w, b, x, t: -(t * np.log(p(x @ w + b))).sum(axis=1).mean(), p(X @ W)),
    "indices": (lambda w, b, x, y: -np.log(p(x @ w + b)[ROWS, y]).mean(), LABELS),
    "log p at indices": (lambda w, b, x, y: -np.log(p(x @ w + b))[ROWS, y].sum(), LABELS),
    "take_along_axis": (
        lambda w, b, x, y: -np.take_along_axis(np.log(p(x @ w + b)), y[:, None], 1).mean(), LABELS),
    "logsumexp": (
        lambda w, b, x, y: np.mean(np.log(np.exp(x @ w + b).sum(1)) - (x @ w + b)[ROWS, y]),
        LABELS),
    "weights": (
        lambda w, b, x, t: -(t * np.log(p(x @ w + b))).sum() * 0.3 + (w * w).sum(), TABLE),
    "the maximum of the data": (
        lambda w, b, x, t: -(t * np.log(
            p(x @ w + b - np.max(getattr(x @ w + b, "data", 0.0), axis=1, keepdims=True)))).sum(),
        TABLE),
    "binary": (
        lambda w, b, x, y: -np.mean(
            y * np.log(1 / (1 + np.exp(-(x @ w + b)[:, 0])))
            + (1 - y) * np.log(1 - 1 / (1 + np.exp(-(x @ w + b)[:, 0])))),
        BITS),
    "the package's sigmoid": (
        lambda w, b, x, y: -np.mean(
            y * np.log(tg.sigmoid((x @ w + b)[:, 0]))
            + (1 - y) * np.log(1 - tg.sigmoid((x @ w + b)[:, 0]))),
        BITS),
}  # fmt: skip


@pytest.mark.parametrize("name", some_quick(OF_ARGUMENTS, 2))
@pytest.mark.filterwarnings("ignore:.*encountered")
def test_targets_as_arguments_are_for_other_data_too(name: str) -> None:
    rng = np.random.default_rng(5)  # its own: tests run in any order
    f, target = OF_ARGUMENTS[name]
    made = program(f, W, B, X, target, wrt=(0, 1), fuse=True)
    assert made.source != program(f, W, B, X, target, wrt=(0, 1)).source
    for other in (target, rng.permutation(target)):
        args = [rng.normal(size=W.shape), rng.normal(size=3), X, other]
        value, slopes = made(*args)
        right, wanted = by_backward(f, args, 2)
        np.testing.assert_allclose(value, right, rtol=1e-12)
        for got, want in zip(slopes, wanted):
            np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-13)
    args = [1000.0 * rng.normal(size=W.shape), B, X, target]
    value, slopes = made(*args)
    assert np.isfinite(value)
    assert all(np.isfinite(g).all() for g in slopes)
    assert not np.isfinite(by_backward(f, args, 2)[0])


# These are the loss for the example's table alone, and have a stable form for any.
FOR_ANY_TABLE: dict[str, tuple[Callable[..., Any], Any]] = {
    "logsumexp less the logit": (
        lambda z, t: (np.log(np.exp(z).sum(1)) - (t * z).sum(1)).mean(), TABLE),
    "the same of soft targets": (
        lambda z, t: (np.log(np.exp(z).sum(1)) - (t * z).sum(1)).sum(), p(X[:, :3])),
    "a sample each": (
        lambda z, t: np.square(np.log(np.exp(z).sum(1)) - (t * z).sum(1)).sum(), TABLE),
    "differences": (lambda z, t: np.log(
        np.exp(z - (t * z).sum(1, keepdims=True)).sum(1)).mean(), TABLE),
    "signs": (lambda z, y: np.log(1 + np.exp(-y * z[:, 0])).mean(), 2.0 * BITS - 1.0),
    "whole signs": (lambda z, y: np.log(1 + np.exp(-y * z[:, 0])).mean(), 2 * (LABELS > 0) - 1),
    "signs of one class": (lambda z, y: -np.log(tg.sigmoid(y * z[:, 0])).mean(), np.ones(6)),
    "one whole exponent": (lambda z, c: -(0.3 * np.log((1 + np.exp(-z)) ** c) + 0.7 * np.log(
        1 - 1 / (1 + np.exp(-z)))).mean(), np.array([-1])),
    "whole exponents": (lambda z, c: -(0.3 * np.log((1 + np.exp(-z)) ** c) + 0.7 * np.log(
        1 - 1 / (1 + np.exp(-z)))).mean(), -np.ones((6, 3), int)),
    "powers": (lambda z, y: -np.log(
        tg.sigmoid(z[:, 0]) ** y * (1 - tg.sigmoid(z[:, 0])) ** (1 - y)).sum(), BITS),
    "signs of bits": (
        lambda z, y: -np.log(1 / (1 + np.exp(-np.where(y == 1, z[:, 0], -z[:, 0])))).mean(), BITS),
    "signs of bits, the package's sigmoid": (
        lambda z, y: -np.log(tg.sigmoid(np.where(y == 1, z[:, 0], -z[:, 0]))).mean(), BITS),
    "zeros in a sigmoid": (
        lambda z, c: (np.log(1 + np.exp(c - z)) + 0.3 * z).mean(), np.zeros((6, 3), int)),
    "a sigmoid or what it lacks to 1": (lambda z, y: -np.log(
        np.where(y == 1, np.exp(z[:, 0]), 1.0) / (1 + np.exp(z[:, 0]))).mean(), BITS),
}  # fmt: skip


@pytest.mark.parametrize("name", some_quick(FOR_ANY_TABLE, 3))
@pytest.mark.filterwarnings("ignore:.*encountered")
def test_what_has_a_stable_form_for_any_table_gets_it(name: str) -> None:
    rng = np.random.default_rng(5)  # its own: tests run in any order
    f, table = FOR_ANY_TABLE[name]
    z = rng.normal(size=(6, 3))
    made = program(f, z, table, fuse=True)
    assert made.source != program(f, z, table).source
    for other in (table, table + 2, 0 * table):
        value, slope = made(z, other)
        right, [back] = by_backward(f, [z, other])
        np.testing.assert_allclose(value, right, rtol=1e-12)
        np.testing.assert_allclose(slope, back, rtol=1e-11, atol=1e-14)
    far = rng.choice([-1000.0, 999.0, 1000.0], z.shape)
    far[0, 0] = -1000.0 * np.ravel(table)[0] or 1000.0  # the textbook's exp overflows
    assert not np.isfinite(by_backward(f, [far, table])[0])
    value, slope = made(far, table)
    fused = tg.fuse(f)(leaf := Value(far), table)
    fused.backward()
    np.testing.assert_allclose(value, fused.data, rtol=1e-12)
    np.testing.assert_allclose(slope, leaf.grad, rtol=1e-12, atol=1e-14)


def test_the_packages_sigmoid_of_a_choice_is_taken_whole() -> None:
    f, table = FOR_ANY_TABLE["signs of bits, the package's sigmoid"]
    assert ">= 0" not in program(f, Z[:5], table[:5], fuse=True).source


def test_a_sign_is_not_taken_from_the_data_drawn() -> None:
    """Of one whole number, all that is drawn beside the example's -1 may be 1."""
    rng = np.random.default_rng(5)  # its own: tests run in any order
    f = lambda z, y: np.log(1 + np.exp(-y * z)).mean()
    for n in range(1, 20):
        z = rng.normal(size=n)
        made = program(f, z, np.array([-1]), fuse=True)
        for y in (-1, 1, 3):
            np.testing.assert_allclose(made(z, np.array([y]))[0], f(z, y), rtol=1e-12)


def test_a_constant_table_made_of_indices_picks() -> None:
    rng = np.random.default_rng(5)  # its own: tests run in any order

    def f(z: Any, y: Any) -> Any:
        return -np.log((p(z) * (y[:, None] == np.arange(3))).sum(axis=1)).mean()

    z = rng.normal(size=(6, 3))
    made = program(f, z, LABELS, fuse=True)
    value, slope = made(1000.0 * z, LABELS[::-1])
    right = tg.cross_entropy(leaf := Value(1000.0 * z), LABELS[::-1])
    right.backward()
    np.testing.assert_allclose(value, right.data, rtol=1e-13)
    np.testing.assert_allclose(slope, leaf.grad, atol=1e-14)


# What is the loss for the example alone stays as it is: it is another for other data.
FOR_THE_EXAMPLE: dict[str, tuple[Callable[..., Any], Any]] = {
    "a one-hot table picks": (lambda z, t: -np.log((p(z) * t).sum(1)).mean(), TABLE),
    "whole ones in a sigmoid": (
        lambda z, c: (np.log(c + np.exp(z)) - 0.3 * z).mean(), np.ones((6, 3), int)),
    "classes up to the label": (lambda z, y: -np.log(
        (p(z) * (y[:, None] >= np.arange(3))).sum(1)).mean(), np.zeros(6, int)),
    "a 1 in a sigmoid": (lambda z, c: -np.log(1 / (c + np.exp(-z))).mean(), np.ones((6, 3))),
}  # fmt: skip


@pytest.mark.parametrize("name", FOR_THE_EXAMPLE)
def test_what_is_a_loss_for_the_example_alone_is_left(name: str) -> None:
    rng = np.random.default_rng(5)  # its own: tests run in any order
    f, target = FOR_THE_EXAMPLE[name]
    z = rng.normal(size=(6, 3))
    made = program(f, z, target, fuse=True)
    assert made.source == program(f, z, target).source
    other = target + (1 if target.dtype.kind == "i" else 0.25)
    value, slope = made(z, other)
    right, [back] = by_backward(f, [z, other])
    np.testing.assert_allclose(value, right, rtol=1e-12)
    np.testing.assert_allclose(slope, back, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize(
    ("index", "fuses"),
    [(np.array([2**64 - 1], np.uint64), True), (np.array([[5] * 4, [2] * 4]), False)],
)
def test_an_argument_for_which_other_data_are_hard_to_draw(index: Any, fuses: bool) -> None:
    """More than a drawn integer can be; columns that are rows if shuffled, or not there at all."""
    rng = np.random.default_rng(5)  # its own: tests run in any order

    def f(z: Any, y: Any) -> Any:
        q = -np.log(p(z))
        return q[y[0], y[1]].sum() if y.ndim == 2 else q[ROWS, LABELS].sum() + 0.0 * y.sum()

    z = rng.normal(size=(6, 3))
    made = program(f, z, index, fuse=True)
    assert ("shifted" in made.source) == fuses
    value, slope = made(z, index)
    right, [back] = by_backward(f, [z, index])
    np.testing.assert_allclose(value, right, rtol=1e-13)
    np.testing.assert_allclose(slope, back, rtol=1e-12, atol=1e-14)


def test_what_is_printed_can_be_read() -> None:
    """The maximum subtracted, the log of the sum, and p − t."""
    f, y = OF_ARGUMENTS["indices"]
    source = program(f, W, B, X, y, wrt=(0, 1), fuse=True).source
    for line in (
        "shifted = z - z.max(axis=1, keepdims=True)",
        "log_sum_exp = np.log(sum_1)",
        "(shifted - log_sum_exp)[C_1, y].sum()",
        "p = exp_1 / sum_1",
        "subtract_1[C_1, y] -= 1.0",
        "= subtract_1 / 6.0",
    ):
        assert line in source
    assert "add.at" not in source
    assert "C_2" not in source


def test_what_is_used_elsewhere_stays() -> None:
    rng = np.random.default_rng(5)  # its own: tests run in any order

    def f(z: Any) -> Any:
        q = p(z)
        return -np.log(q)[ROWS, LABELS].sum() + (q * q).sum()

    z = rng.normal(size=(6, 3))
    made = program(f, z, fuse=True)
    assert "shifted" in made.source
    value, slope = made(z)
    right, [back] = by_backward(f, [z])
    np.testing.assert_allclose(value, right, rtol=1e-13)
    np.testing.assert_allclose(slope, back, rtol=1e-12, atol=1e-14)


def test_float32_stays_float32() -> None:
    f, t = OF_ARGUMENTS["a table"]
    args = [a.astype(np.float32) for a in (W, B, X, t)]
    value, (dw, db) = program(f, *args, wrt=(0, 1), fuse=True)(*args)
    assert value.dtype == dw.dtype == db.dtype == np.float32


def test_a_program_of_a_fused_function_is_a_fused_program() -> None:
    f, y = OF_ARGUMENTS["indices"]
    made = program(tg.fuse(f), W, B, X, y, wrt=(0, 1))
    assert made.source == program(f, W, B, X, y, wrt=(0, 1), fuse=True).source


def test_a_loss_of_what_is_no_argument_is_a_constant() -> None:
    """Its stable form is computed once: exp overflows in the textbook's."""
    far = np.array([[1000.0, 0.0, -1000.0]])
    made = program(lambda x: x.sum() - np.log(p(Value(far)))[0, 1], np.ones(3), fuse=True)
    value, slope = made(np.array([1.0, 2.0, 3.0]))
    assert value == 1006.0
    assert slope.tolist() == [1.0, 1.0, 1.0]


def test_what_cancels_leaves_nothing_in_the_program() -> None:
    """A maximum that is subtracted, by the user or by the package, and a number."""
    plain = program(lambda z: -(TABLE * np.log(p(z))).sum(), X[:, :3], fuse=True).source
    for f in (
        tg.softmax,
        lambda z: p(z - z.max(axis=1, keepdims=True)),
        lambda z: p(z - 3.0),
    ):
        made = program(lambda z, f=f: -(TABLE * np.log(f(z))).sum(), X[:, :3], fuse=True)
        assert made.source == plain


def test_the_stable_form_of_one_sample_has_no_axes_to_keep() -> None:
    def loss(z: Any, t: Any) -> Any:
        p = np.exp(z) / np.exp(z).sum()
        return -(t * np.log(p)).sum()

    source = program(loss, np.array([3.2, 1.3, 0.5]), np.array([1.0, 0.0, 0.0]), fuse=True).source
    assert "shifted = z - z.max()" in source
    assert "reshape" not in source
    assert "keepdims" not in source
