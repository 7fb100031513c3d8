"""The losses: PyTorch's meaning of every option, mpmath's digits, one result however computed."""

# ruff: noqa: B023 - the functions made in loops are called at once
from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from conftest import need
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_ce import (
    LogSoftmaxNLL,
    Value,
    binary_cross_entropy,
    cross_entropy,
    grad,
    hessian,
    hvp,
    linear_cross_entropy,
    log_softmax,
    logistic_loss,
    mse,
    nll,
    program,
    softmax,
    value_and_grad,
)

DTYPES = (np.float32, np.float64)
REDUCTIONS = ("mean", "sum", "none")
SHAPES = {  # logits and their class axis; the last is PyTorch's only for the first two
    "C": ((5,), 0),
    "N,C": ((6, 5), -1),
    "C,N": ((5, 6), 0),
    "N,C,d": ((4, 5, 3), 1),
    "N,d,C": ((4, 3, 5), -1),
    "C,N,d": ((5, 4, 3), 0),
}


def close(ours: Any, theirs: Any, dtype: Any, message: str = "") -> None:
    eps = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(ours, theirs, rtol=40 * eps, atol=20 * eps, err_msg=message)


def ours(f: Callable[[Any], Any], z: np.ndarray, g: Any = None) -> tuple[Any, Any]:
    """A loss and the gradient of its sum, or of its product with g."""
    v = Value(z)
    loss = f(v)
    loss.backward(g if loss.shape else None)
    return loss.data, v.grad


def torchs(f: Callable[[Any], Any], z: np.ndarray, g: Any = None) -> tuple[Any, Any]:
    torch = need("torch")
    v = torch.tensor(z, requires_grad=True)
    loss = f(v)
    loss.backward(torch.tensor(g) if loss.shape else None)
    return loss.detach().numpy(), v.grad.numpy()


def make_target(kind: str, shape: tuple[int, ...], axis: int, dtype: Any, rng: Any) -> Any:
    rows = np.delete(shape, axis)
    index = rng.integers(0, shape[axis], tuple(rows))
    if kind == "index":
        return index
    if kind == "one-hot":
        table = np.eye(shape[axis])[index]
    else:
        table = rng.dirichlet(np.ones(shape[axis]), tuple(rows))
    return np.moveaxis(table, -1, axis).astype(dtype)


# ------------------------------------------------------------------ PyTorch's meaning of options
@pytest.mark.parametrize("kind", ["index", "one-hot", "soft"])
@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("N,C", np.float64),
        *(
            pytest.param(name, dtype, marks=pytest.mark.slow)
            for name in SHAPES
            for dtype in DTYPES
            if (name, dtype) != ("N,C", np.float64)
        ),
    ],
)
def test_cross_entropy_is_pytorchs(name: str, kind: str, dtype: Any, rng: Any) -> None:
    """Every combination of options, fused and composed: the loss and its gradient."""
    torch = need("torch")
    (shape, axis), smoothings = SHAPES[name], (0.0, 0.25, 1.0)
    z = (3.0 * rng.standard_normal(shape)).astype(dtype)
    target = make_target(kind, shape, axis, dtype, rng)
    g_none = rng.standard_normal(np.delete(shape, axis)).astype(dtype)
    weights = (None, rng.random(5).astype(dtype), np.array([0, 1, 2, 0, 1], dtype))
    with_gaps = target.copy()
    with_gaps.flat[1:2] = -100
    to = 0 if len(shape) == 1 else 1
    for reduction, weight, ignore, smoothing in itertools.product(
        REDUCTIONS, weights, (None, -100) if kind == "index" else (None,), smoothings
    ):
        t = target if ignore is None else with_gaps
        told = f"{reduction=} {weight=} {ignore=} {smoothing=}"

        def theirs(v: Any) -> Any:
            return torch.nn.functional.cross_entropy(
                torch.movedim(v, axis, to),
                torch.tensor(t if kind == "index" else np.moveaxis(t, axis, to)),
                weight=None if weight is None else torch.tensor(weight),
                label_smoothing=smoothing,
                reduction=reduction,
                **({} if ignore is None else {"ignore_index": ignore}),
            )

        loss, slope = torchs(theirs, z, g_none)
        for fused in (True, False):
            got, gradient = ours(
                lambda v: cross_entropy(
                    v, t, axis=axis, weight=weight, ignore_index=ignore,
                    label_smoothing=smoothing, reduction=reduction, fused=fused,
                ), z, g_none,
            )  # fmt: skip
            close(got, loss, dtype, told)
            close(gradient, slope, dtype, told)
            assert np.shape(got) == loss.shape
            assert (gradient.dtype, gradient.shape) == (z.dtype, z.shape)


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_ignored_class_may_be_a_valid_one(dtype: Any, rng: Any) -> None:
    torch = need("torch")
    z, t = rng.standard_normal((8, 3)).astype(dtype), rng.integers(0, 3, 8)
    for reduction in REDUCTIONS:
        options = {"ignore_index": 1, "reduction": reduction, "label_smoothing": 0.1}
        g = np.ones(8, dtype)
        loss, slope = torchs(
            lambda v: torch.nn.functional.cross_entropy(v, torch.tensor(t), **options), z, g
        )
        got, gradient = ours(lambda v: cross_entropy(v, t, **options), z, g)
        close(got, loss, dtype)
        close(gradient, slope, dtype)
        assert not gradient[t == 1].any()


@pytest.mark.parametrize("shape", [(4,), (2, 4), (3, 2, 4)], ids=str)
def test_the_classes_are_on_the_last_axis_where_none_is_named(shape: Any, rng: Any) -> None:
    z, t = rng.standard_normal(shape), rng.integers(0, 4, shape[:-1])
    log_p = z - np.log(np.sum(np.exp(z), axis=-1, keepdims=True))
    wanted = -np.mean(np.take_along_axis(log_p, t[..., None], -1))
    for found in (cross_entropy(z, t), cross_entropy(z, t, fused=False), nll(log_p, t)):
        np.testing.assert_allclose(found, wanted, rtol=1e-14)
    np.testing.assert_allclose(softmax(z), np.exp(log_p), rtol=1e-14)
    np.testing.assert_allclose(log_softmax(z), log_p, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SHAPES)
def test_nll_is_pytorchs(name: str, dtype: Any, rng: Any) -> None:
    torch = need("torch")
    shape, axis = SHAPES[name]
    log_p = log_softmax(rng.standard_normal(shape).astype(dtype), axis)
    t = make_target("index", shape, axis, dtype, rng)
    g = rng.standard_normal(np.delete(shape, axis)).astype(dtype)
    to = 0 if len(shape) == 1 else 1
    ignored = int(t.flat[0]) if len(shape) > 1 else -100
    for reduction, w, i in itertools.product(
        REDUCTIONS, (None, rng.random(5).astype(dtype)), (-100, ignored)
    ):
        options: Any = {"reduction": reduction, "ignore_index": i}
        loss, slope = torchs(
            lambda v: torch.nn.functional.nll_loss(
                torch.movedim(v, axis, to), torch.tensor(t),
                weight=None if w is None else torch.tensor(w), **options,
            ), log_p, g,
        )  # fmt: skip
        got, gradient = ours(lambda v: nll(v, t, axis=axis, weight=w, **options), log_p, g)
        close(got, loss, dtype)
        close(gradient, slope, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (7,), (4, 3)])
def test_binary_cross_entropy_is_pytorchs(shape: tuple[int, ...], dtype: Any, rng: Any) -> None:
    torch = need("torch")
    z = np.asarray(5.0 * rng.standard_normal(shape), dtype)
    g = np.asarray(rng.standard_normal(shape), dtype)
    factors = (None, rng.random(shape[-1:]).astype(dtype))
    hard = np.asarray(rng.integers(0, 2, shape))
    for y in (hard, np.asarray(rng.random(shape), dtype)):
        for reduction, weight, positive in itertools.product(REDUCTIONS, factors, factors):
            loss, slope = torchs(
                lambda v: torch.nn.functional.binary_cross_entropy_with_logits(
                    v, torch.tensor(y.astype(dtype)), reduction=reduction,
                    weight=None if weight is None else torch.tensor(weight),
                    pos_weight=None if positive is None else torch.tensor(positive),
                ), z, g,
            )  # fmt: skip
            got, gradient = ours(
                lambda v: binary_cross_entropy(
                    v, y, reduction=reduction, weight=weight, pos_weight=positive
                ), z, g,
            )  # fmt: skip
            close(got, loss, dtype)
            close(gradient, slope, dtype)


def test_logistic_loss_is_binary_cross_entropy(rng: Any) -> None:
    z, y = 10.0 * rng.standard_normal(20), rng.integers(0, 2, 20)
    for reduction in REDUCTIONS:
        g = rng.standard_normal(20)
        want = ours(lambda v: binary_cross_entropy(v, y, reduction=reduction), z, g)
        got = ours(lambda v: logistic_loss(v, 2 * y - 1, reduction=reduction), z, g)
        for a, b in zip(got, want):
            np.testing.assert_allclose(a, b, rtol=1e-14)
    assert logistic_loss(np.array([-1e4, 1e4]), [1, 1], reduction="none").tolist() == [1e4, 0.0]


@pytest.mark.parametrize("dtype", DTYPES)
def test_mse_is_pytorchs(dtype: Any, rng: Any) -> None:
    torch = need("torch")
    x, y, g = (rng.standard_normal((4, 3)).astype(dtype) for _ in range(3))
    for reduction in REDUCTIONS:
        loss, slope = torchs(
            lambda v: torch.nn.functional.mse_loss(v, torch.tensor(y), reduction=reduction), x, g
        )
        got, gradient = ours(lambda v: mse(v, y, reduction=reduction), x, g)
        close(got, loss, dtype)
        close(gradient, slope, dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, bool, np.float16, np.float64])
def test_targets_of_any_dtype_are_the_logits_numbers(dtype: Any) -> None:
    """The negative of an unsigned 1 would be 255; and a float64 would make the loss one."""
    z, ones = np.array([0.5, -2.0], np.float32), np.ones(2, dtype)
    odds = np.log1p(np.exp(-z)).mean()
    for f, want in ((binary_cross_entropy, odds), (logistic_loss, odds), (mse, 4.625)):
        loss, gradient = ours(lambda v: f(v, ones), z)
        assert np.asarray(loss).dtype == gradient.dtype == np.float32
        close(loss, want, np.float32, f.__name__)


@given(st.data())
def test_two_classes_are_the_binary_loss(data: Any) -> None:
    z = np.array([data.draw(st.floats(-50, 50)), data.draw(st.floats(-50, 50))])
    t = data.draw(st.integers(0, 1))
    binary = binary_cross_entropy(np.array(z[1] - z[0]), t)
    np.testing.assert_allclose(cross_entropy(z, t), binary, rtol=1e-12, atol=1e-300)


# ------------------------------------------------------------------ accuracy


def hard_logits() -> Iterator[tuple[np.ndarray, int]]:
    """Rows of logits and a target: drawn at all scales, then the ones that break formulas."""
    rng = np.random.default_rng(2021)
    for scale, classes in itertools.product(10.0 ** np.arange(-3, 4), (1, 2, 3, 10, 100)):
        z = scale * rng.standard_normal(classes)
        for t in {int(z.argmax()), int(z.argmin()), int(rng.integers(classes))}:
            yield z, t
        masked = np.where(rng.random(classes) < 0.4, -np.inf, z)
        masked[t] = z[t]
        yield masked, t
        tied = np.round(z / scale) * scale
        yield tied, int(tied.argmax())
        yield z + 50.0 * scale, t
        yield -abs(z), t
    for scale in (1e-3, 1.0, 30.0, 1e3):
        z = scale * rng.standard_normal(1000)
        yield z, int(z.argmax())
        yield z, int(z.argmin())
    for gap in (1e-15, 1e-8, 0.5, 20.0, 36.0, 37.0, 40.0, 100.0, 700.0, 708.5, 744.0, 1500.0):
        for m in (0.0, 1.0, -3.0, 353.0, 355.0, -400.0, 1000.0):  # exp is safe below about 354
            for t in (0, 1):
                yield np.array([m, m - gap, m - gap - 1.0]), t
    for m in (0.0, 1.0, 700.0, -700.0):
        near = np.array([np.nextafter(m, -np.inf), m, np.nextafter(m, np.inf)])
        yield from ((near, t) for t in range(3))
        yield np.full(7, m), 3
        yield np.array([m, -np.inf, -np.inf]), 0


def exact(z: np.ndarray, t: int) -> tuple[Any, list[Any]]:
    """Loss and gradient in 450 digits; p_t − 1 as −Σ_{j≠t} p_j: nothing cancels here either."""
    mp = need("mpmath").mp
    m = float(z.max())
    e = [mp.exp(mp.mpf(float(x)) - m) if np.isfinite(x) else mp.mpf(0) for x in z]
    others = mp.fsum(x for j, x in enumerate(e) if j != t)
    total = others + e[t]
    loss = (mp.mpf(m) - mp.mpf(float(z[t]))) + mp.log1p(
        mp.fsum(x for j, x in enumerate(e) if j != int(z.argmax()))
    )
    return loss, [-others / total if j == t else x / total for j, x in enumerate(e)]


def error(got: float, want: Any, dtype: Any = np.float64, spacings: int = 2) -> float:
    """Relative error in eps of the dtype.

    Below the smallest normal number floats are spaced evenly, so that no relative error can be
    promised: there, a few spacings are forgiven. Each is an eps of that smallest number.
    """
    kind = np.finfo(dtype)
    gap = abs(need("mpmath").mp.mpf(float(got)) - want) - spacings * float(kind.smallest_subnormal)
    return float(max(gap, 0) / abs(want) / float(kind.eps)) if want else float(gap > 0 and np.inf)


def in_one_batch(rows: list[tuple[np.ndarray, int]], dtype: Any) -> tuple[Any, Any]:
    """The loss of each row and its gradient; classes that a row lacks have a logit of -inf."""
    z = np.full((len(rows), max(row.size for row, _ in rows)), -np.inf, dtype)
    for i, (row, _) in enumerate(rows):
        z[i, : row.size] = row
    t = [t for _, t in rows]
    return ours(lambda v: cross_entropy(v, t, reduction="none"), z, np.ones(len(rows)))


@pytest.mark.slow
def test_accuracy_against_450_digits() -> None:
    """Relative error of loss and every gradient entry ≤ (4 + max|z − m|/2)·eps.

    So it is of a row alone, and of all of them in one batch, which is large enough for the compiled
    kernel.
    """
    mpmath, torch = need("mpmath"), need("torch")
    worst = {"loss": [0.0, 0.0, 0.0], "gradient": [0.0, 0.0, 0.0]}
    with mpmath.mp.workdps(450):
        rows = list(hard_logits())
        losses, slopes = in_one_batch(rows, np.float64)
        for i, (z, t) in enumerate(rows):
            bound = 4.0 + np.ptp(z[np.isfinite(z)]) / 2.0
            loss, slope = exact(z, t)
            mine = ours(lambda v: cross_entropy(v, t, reduction="sum"), z)
            theirs = torchs(
                lambda v: torch.nn.functional.cross_entropy(v, torch.tensor(t)),
                z,
            )
            assert not mine[1][z == -np.inf].any()
            batch = losses[i], slopes[i, : z.size]
            for column, (value, gradient) in enumerate((mine, batch, theirs)):
                errors = {
                    "loss": error(value, loss),
                    "gradient": max(map(error, gradient, slope)),
                }
                for what, eps in errors.items():
                    worst[what][column] = max(worst[what][column], eps / bound)
                    assert column == 2 or eps <= bound, f"{what} of {z}, target {t}: {eps} eps"
    print(f"\n{len(rows)} rows against mpmath, 450 digits; worst error, in units of the bound:")
    for what, (alone, together, there) in worst.items():
        print(f"  {what:8}  ours {alone:.3f}, in a batch {together:.3f}   PyTorch {there:.3g}")


def test_accuracy_of_batches_against_450_digits(rng: Any) -> None:
    """The same for many rows in one call, of which some need their maximum subtracted."""
    mpmath = need("mpmath")
    for reduction, classes in itertools.product(("sum", "mean"), (2, 60)):
        scale = 10.0 ** rng.uniform(-3, 3, (12, 1))
        z = scale * rng.standard_normal((12, classes))
        z[0] = 0.01 * z[0] - 900.0
        t = np.where(rng.random(12) < 0.5, z.argmax(1), rng.integers(0, classes, 12))
        n = len(z) if reduction == "mean" else 1
        value, gradient = ours(lambda v: cross_entropy(v, t, reduction=reduction), z)
        bounds = 4.0 + np.ptp(z, axis=1) / 2.0
        with mpmath.mp.workdps(450):
            rows = [exact(row, int(c)) for row, c in zip(z, t)]
            assert error(value, mpmath.mp.fsum(loss for loss, _ in rows) / n) <= bounds.max()
            for got, (_, want), bound in zip(gradient, rows, bounds):
                assert max(error(a, b / n) for a, b in zip(got, want)) <= bound


@pytest.mark.slow
def test_accuracy_of_float32() -> None:
    mpmath = need("mpmath")
    with mpmath.mp.workdps(450):
        rows = list(hard_logits())
        losses, slopes = in_one_batch(rows, np.float32)
        for i, (wide, t) in enumerate(rows):
            z = wide.astype(np.float32)
            finite = z[np.isfinite(z)]
            bound = 4.0 + np.ptp(finite) / 2.0
            loss, slope = exact(z, t)
            alone = ours(lambda v: cross_entropy(v, t, reduction="sum"), z)
            for got in (alone, (losses[i], slopes[i, : z.size])):
                pairs = [(got[0], loss), *zip(got[1], slope)]
                worst = max(error(*pair, np.float32, spacings=2 + len(z)) for pair in pairs)
                assert worst <= bound, f"{z}, target {t}"


# ------------------------------------------------------------------ inf, nan, nothing left
@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("kind", ["index", "soft"])
@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_inf_and_nan_logits_give_nan(bad: float, kind: str, fused: bool) -> None:
    """... in their row, loss and gradient, wherever the target; the other rows stay as they are."""
    z = np.array([[1.0, bad, 0.0], [1.0, 2.0, 3.0]])
    for c in range(3):
        t = np.array([c, 0]) if kind == "index" else np.array([[0.5, 0.25, 0.25]] * 2)
        with np.errstate(invalid="ignore"):
            loss, gradient = ours(
                lambda v: cross_entropy(v, t, reduction="none", fused=fused), z, np.ones(2)
            )
            loss_1, _ = ours(lambda v: cross_entropy(v, t, fused=fused), z)
        assert np.isnan(loss[0])
        assert np.isnan(gradient[0]).all()
        assert np.isnan(loss_1)
        assert np.isfinite(loss[1])
        assert np.isfinite(gradient[1]).all()


def test_masked_classes_count_for_nothing() -> None:
    z = np.array([[0.5, -np.inf, 1.5], [1.0, 2.0, -np.inf]])
    for target in (np.array([0, 1]), np.array([[0.25, 0.0, 0.75], [0.5, 0.5, 0.0]])):
        loss, gradient = ours(lambda v: cross_entropy(v, target, reduction="none"), z, np.ones(2))
        short = [z[0, [0, 2]], z[1, [0, 1]]]
        t = [0, 1] if target.ndim == 1 else [target[0, [0, 2]], target[1, [0, 1]]]
        want = [cross_entropy(row, c) for row, c in zip(short, t)]
        np.testing.assert_allclose(loss, want, rtol=1e-15)
        assert gradient[z == -np.inf].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_an_ignored_sample_counts_for_nothing_though_classes_are_masked(
    smoothing: float, fused: bool
) -> None:
    z = np.array([[-np.inf, 0.5, 1.5], [1.0, 2.0, 3.0]])
    options: Any = {"ignore_index": -1, "label_smoothing": smoothing, "reduction": "none"}
    options["fused"] = fused
    loss, gradient = ours(lambda v: cross_entropy(v, [-1, 0], **options), z, np.ones(2))
    assert loss[0] == 0.0
    assert not gradient[0].any()
    assert loss[1] > 0.0
    if not smoothing:  # nor does a target whose class has weight 0
        loss, gradient = ours(
            lambda v: cross_entropy(v, [0, 0], weight=[0, 1, 1], reduction="sum", fused=fused), z
        )
        assert loss == 0.0
        assert not gradient.any()


def test_a_masked_target_costs_inf_as_in_pytorch() -> None:
    torch = need("torch")
    z, t = np.array([[0.5, -np.inf, 1.5]]), np.array([1])
    want = torchs(lambda v: torch.nn.functional.cross_entropy(v, torch.tensor(t)), z)
    got = ours(lambda v: cross_entropy(v, t), z)
    assert got[0] == want[0] == np.inf
    np.testing.assert_allclose(got[1], want[1], rtol=1e-15)


def test_a_row_masked_altogether_is_nan_as_in_pytorch() -> None:
    torch = need("torch")
    z, t = np.array([[-np.inf] * 3, [1.0, 2.0, 3.0]]), np.array([0, 1])
    want = torchs(
        lambda v: torch.nn.functional.cross_entropy(v, torch.tensor(t), reduction="none"),
        z,
        z[1, :2],
    )
    got = ours(lambda v: cross_entropy(v, t, reduction="none"), z, z[1, :2])
    for a, b in zip(got, want):
        np.testing.assert_allclose(a, b, rtol=1e-14)
    assert np.isnan(got[0][0])


@pytest.mark.parametrize("fused", [True, False])
def test_the_mean_of_no_samples_is_nan_as_in_pytorch(fused: bool, rng: Any) -> None:
    torch = need("torch")
    z, t = rng.standard_normal((3, 4)), np.full(3, -100)
    options = {"ignore_index": -100}
    want, _ = torchs(lambda v: torch.nn.functional.cross_entropy(v, torch.tensor(t), **options), z)
    got, _ = ours(lambda v: cross_entropy(v, t, fused=fused, **options), z)
    assert np.isnan(got)
    assert np.isnan(want)
    loss, gradient = ours(lambda v: cross_entropy(v, t, fused=fused, reduction="sum", **options), z)
    assert loss == 0.0
    assert not gradient.any()


# ------------------------------------------------------------------ the node
def test_help_of_the_node_says_what_it_computes() -> None:
    assert "log softmax(z) as one node" in str(LogSoftmaxNLL.__doc__)


def test_hessian_is_diag_p_minus_p_p(rng: Any) -> None:
    z = rng.standard_normal(5)
    p = softmax(z)
    for fused in (True, False):
        second = hessian(lambda v: cross_entropy(v, 2, fused=fused))(z)
        np.testing.assert_allclose(second, np.diag(p) - np.outer(p, p), atol=1e-15)


def test_second_derivatives_are_pytorchs_with_every_option(rng: Any) -> None:
    torch = need("torch")
    z, u, t = rng.standard_normal((4, 3)), rng.standard_normal((4, 3)), np.array([0, 2, 1, -1])
    w = np.array([0.5, 1.0, 2.0])
    options: Any = {"ignore_index": -1, "label_smoothing": 0.2, "reduction": "mean"}
    want = torch.autograd.functional.hvp(
        lambda v: torch.nn.functional.cross_entropy(
            v, torch.tensor(t), weight=torch.tensor(w), **options
        ), torch.tensor(z), torch.tensor(u),
    )[1]  # fmt: skip
    for fused in (True, False):
        got = hvp(lambda v: cross_entropy(v, t, weight=w, fused=fused, **options))(z, u)
        np.testing.assert_allclose(got, want.numpy(), rtol=1e-13, atol=1e-16)


def test_third_order_through_the_fused_node() -> None:
    z = np.array([0.3, -0.2, 0.9])
    third = [
        hessian(lambda v: grad(lambda w: cross_entropy(w, 1, fused=f))(v)[0])(z)
        for f in (True, False)
    ]
    np.testing.assert_allclose(third[0], third[1], atol=1e-15)


def test_backward_twice_and_editing_the_gradient(rng: Any) -> None:
    z, t = rng.standard_normal((6, 4)), rng.integers(0, 4, 6)
    v = Value(z)
    loss = cross_entropy(v, t)
    loss.backward()
    once = v.grad.copy()
    v.grad *= 0.5  # the node must not hold this array
    loss.backward()
    np.testing.assert_allclose(v.grad, 1.5 * once, rtol=1e-15)
    v.grad = None
    (2.0 * loss).backward()
    np.testing.assert_allclose(v.grad, 2.0 * once, rtol=1e-15)


def test_a_loss_used_twice_and_logits_used_twice(rng: Any) -> None:
    z, t = rng.standard_normal((6, 4)), rng.integers(0, 4, 6)
    once = grad(lambda v: cross_entropy(v, t))(z)
    np.testing.assert_allclose(
        grad(lambda v: cross_entropy(v, t) + cross_entropy(v, t))(z), 2 * once, rtol=1e-14
    )

    def squared(v: Any) -> Any:
        loss = cross_entropy(v, t)
        return loss * loss

    np.testing.assert_allclose(
        grad(squared)(z), 2 * cross_entropy(z, t) * once, rtol=1e-14, atol=1e-17
    )


@pytest.mark.slow
def test_peak_memory_is_the_gradient_and_little_more(rng: Any) -> None:
    v = Value(rng.standard_normal((1500, 10_000), dtype=np.float32))
    t = rng.integers(0, 10_000, 1500)
    cross_entropy(v.data[:2], t[:2])  # which compiles the kernel, where Numba is there
    for shift in (0.0, -500.0):  # the second: every row needs its maximum subtracted
        v.data += np.float32(shift)
        v.grad = None
        tracemalloc.start()
        try:
            cross_entropy(v, t).backward()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak - v.data.nbytes <= 16 * 2**20


def test_any_layout_of_the_logits(rng: Any) -> None:
    """Transposed, strided, reversed and read-only logits give what a contiguous copy gives."""
    base, t = rng.standard_normal((8, 6)), rng.integers(0, 3, 4)
    views = [base[::2, ::2], base[::-2, :3], base.T[:4, 1:4], np.broadcast_to(base[0, :3], (4, 3))]
    locked = base[:4, :3].copy()
    locked.flags.writeable = False
    for z in (*views, locked, np.asfortranarray(locked)):
        before = z.copy()
        loss, gradient = ours(lambda v: cross_entropy(v, t), z)
        want = ours(lambda v: cross_entropy(v, t), np.ascontiguousarray(z))
        np.testing.assert_allclose(loss, want[0], rtol=1e-15)
        np.testing.assert_allclose(gradient, want[1], rtol=1e-15)
        np.testing.assert_array_equal(z, before)
        gradient += 1.0  # writable, and its own


@pytest.mark.parametrize("integer", [np.int8, np.uint8, np.int32, np.uint64, np.int64])
def test_any_integer_type_is_a_class_index(integer: Any, rng: Any) -> None:
    z, t = rng.standard_normal((5, 3)), np.array([0, 1, 2, 1, 0], integer)
    want = ours(lambda v: cross_entropy(v, t.astype(int)), z)
    for ignore in (None, 9):
        got = ours(lambda v: cross_entropy(v, t, ignore_index=ignore), z)
        assert got[0] == want[0]
        np.testing.assert_array_equal(got[1], want[1])


def test_float16_stays_float16(rng: Any) -> None:
    z, t = (8.0 * rng.standard_normal((20, 5))).astype(np.float16), rng.integers(0, 5, 20)
    loss, gradient = ours(lambda v: cross_entropy(v, t), z)
    want = ours(lambda v: cross_entropy(v, t), z.astype(float))
    assert gradient.dtype == np.float16
    np.testing.assert_allclose(loss, want[0], rtol=5e-3)
    np.testing.assert_allclose(gradient, want[1], atol=2e-3)


def test_arrays_give_plain_numbers(rng: Any) -> None:
    z, t = rng.standard_normal((4, 3)), [0, 1, 2, 0]
    for fused in (True, False):
        assert isinstance(cross_entropy(z, t, fused=fused), float)
        assert cross_entropy(z, t, reduction="none", fused=fused).shape == (4,)
    assert cross_entropy([1.0, 2.0], 1) == pytest.approx(np.log1p(np.exp(-1.0)), rel=1e-15)


def test_unnormalized_targets_when_asked(rng: Any) -> None:
    """p·ΣT − T: the rule holds for any T, and the composed loss has the same."""
    z, target = rng.standard_normal((4, 3)), 3.0 * rng.random((4, 3))
    with pytest.raises(ValueError, match="allow_unnormalized"):
        cross_entropy(z, target)
    results = [
        ours(
            lambda v: cross_entropy(
                v, target, allow_unnormalized=True, fused=fused, reduction="sum"
            ),
            z,
        )
        for fused in (True, False)
    ]
    want = softmax(z) * target.sum(1, keepdims=True) - target
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-14)
    for _, gradient in results:
        np.testing.assert_allclose(gradient, want, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_upstream_gradient_of_one_costs_no_copy(dtype: Any) -> None:
    """The forward pass made the gradient, and the backward pass gives it away."""
    z = Value(np.zeros((300, 400), dtype))
    loss = cross_entropy(z, np.arange(300))
    tracemalloc.start()
    loss.backward()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert z.grad.any()
    assert peak < z.data.nbytes / 2


ALL_IGNORED: dict[str, Callable[..., Any]] = {
    "fused": lambda z, y, **more: cross_entropy(z, y, ignore_index=9, **more),
    "composed": lambda z, y, **more: cross_entropy(z, y, ignore_index=9, **more, fused=False),
    "nll": lambda z, y, **more: nll(log_softmax(z), y, ignore_index=9, **more),
    "smoothed": lambda z, y, **more: cross_entropy(
        z, y, ignore_index=9, **more, label_smoothing=0.1
    ),
    "linear": lambda z, y, **more: linear_cross_entropy(
        z, np.eye(4), None, y, ignore_index=9, **more
    ),
}


@pytest.mark.parametrize("loss", ALL_IGNORED.values(), ids=ALL_IGNORED)
@pytest.mark.parametrize("printed", [False, True])
def test_a_batch_that_is_ignored_altogether_has_gradient_0(loss: Any, printed: bool) -> None:
    """Its mean is nan, as in PyTorch; a parameter that got nan would never come back."""
    z, some = np.random.default_rng(0).standard_normal((3, 4)), np.array([1, 9, 2])
    printed = printed and loss is not ALL_IGNORED["linear"]  # whose blocks no program has
    run = program(loss, z, some) if printed else value_and_grad(loss)
    value, gradient = run(z, np.full(3, 9))
    assert np.isnan(value)
    np.testing.assert_array_equal(gradient, np.zeros((3, 4)))
    value, gradient = run(z, some)
    wanted, slopes = value_and_grad(loss)(z[[0, 2]], some[[0, 2]])
    assert value == pytest.approx(wanted, rel=1e-14)
    np.testing.assert_allclose(gradient[[0, 2]], slopes, rtol=1e-13)
    np.testing.assert_array_equal(gradient[1], 0.0)


@pytest.mark.parametrize("loss", ALL_IGNORED.values(), ids=ALL_IGNORED)
@pytest.mark.parametrize("printed", [False, True])
def test_what_is_ignored_has_gradient_0_beside_samples_of_no_weight(
    loss: Any, printed: bool
) -> None:
    """Their mean is nan, and their gradient, as in PyTorch; not that of others."""
    z, weight = np.random.default_rng(0).standard_normal((3, 4)), np.array([1.0, 0.0, 2.0, 1.0])
    weighted = lambda z, y: loss(z, y, weight=weight)
    y = np.array([9, 1, 1])
    printed = printed and loss is not ALL_IGNORED["linear"]
    run = program(weighted, z, np.array([1, 9, 2])) if printed else value_and_grad(weighted)
    with np.errstate(divide="ignore", invalid="ignore"):  # a program divides by what they weigh
        value, gradient = run(z, y)
    assert np.isnan(value)
    np.testing.assert_array_equal(gradient, np.array([[0.0], [np.nan], [np.nan]]) + 0 * z)
    y = np.array([0, 9, 2])
    wanted = (nll(log_softmax(z), y, ignore_index=9, weight=weight, reduction="sum")) / 3.0
    if loss is not ALL_IGNORED["smoothed"]:
        assert run(z, y)[0] == pytest.approx(wanted, rel=1e-14)


@pytest.mark.parametrize(
    ("target", "fits"),
    [
        ([0.333] * 3, True),
        ([0.33] * 3, False),
        ([0.333, 0.333, 0.331], False),
        ([0.998, 0.0], False),
        ([0.9985, 0.0], True),
        ([0.125] * 8, True),
        ([0.1244] * 8, False),
        ([0.125] * 8 + [0.006] + [0.0] * 41, False),
        ([0.125] * 8 + [0.004] + [0.0] * 41, True),
    ],
)
def test_probabilities_may_be_rounded_to_three_digits(target: list[float], fits: bool) -> None:
    z, t = np.zeros(len(target)), np.array(target)
    if fits:
        assert cross_entropy(z, t) == pytest.approx(np.log(len(t)) * t.sum(), rel=1e-12)
        for kind in (np.float32, np.float16):
            cross_entropy(z, t.astype(kind))
    else:
        with pytest.raises(ValueError, match=rf"sum to {t.sum():.4g}.*wanted 1 within 0\.00"):
            cross_entropy(z, t)


def test_float32_probabilities_of_many_classes_fit(rng: Any) -> None:
    t = softmax(rng.standard_normal((3, 50_257)).astype(np.float32) * 4)
    assert np.isfinite(cross_entropy(rng.standard_normal(t.shape), t))


@pytest.mark.skipif(np.finfo(np.longdouble).nmant <= 52, reason="long double is double here")
def test_longdouble_logits_keep_their_digits() -> None:
    z = np.array([[1.0, 2.0, 3.0], [11000.0, 0.0, -11000.0]], np.longdouble)
    y = np.array([0, 1])
    m = z.max(axis=1)
    wanted = (np.log(np.exp(z - m[:, None]).sum(axis=1)) + m - z[[0, 1], y]).mean()
    loss, gradient = value_and_grad(cross_entropy)(z, y)
    assert gradient.dtype == np.longdouble
    assert abs(loss - wanted) <= 4 * np.finfo(np.longdouble).eps * wanted


LONG: dict[str, Callable[[Any], Any]] = {
    "soft": lambda z: cross_entropy(z, [[0.25, 0.75, 0.0], [0.0, 0.5, 0.5]]),
    "smoothed": lambda z: cross_entropy(z, [0, 1], label_smoothing=0.1, reduction="sum"),
    "composed": lambda z: cross_entropy(z, [0, 1], fused=False),
    "linear": lambda z: linear_cross_entropy(z, np.eye(3, dtype=z.dtype), None, [0, 1]),
    "binary": lambda z: binary_cross_entropy(z, np.ones((2, 3))),
    "logistic": lambda z: logistic_loss(z, np.ones((2, 3))),
}


@pytest.mark.skipif(np.finfo(np.longdouble).nmant <= 52, reason="long double is double here")
@pytest.mark.parametrize("loss", LONG.values(), ids=LONG)
def test_longdouble_in_every_loss(loss: Any) -> None:
    z = np.array([[1.0, 2.0, 3.0], [700.0, 0.0, -700.0]])
    value, gradient = value_and_grad(loss)(z.astype(np.longdouble))
    wanted, slopes = value_and_grad(loss)(z)
    assert gradient.dtype == np.longdouble
    np.testing.assert_allclose(float(value), wanted, rtol=1e-14)
    np.testing.assert_allclose(gradient.astype(float), slopes, rtol=1e-13, atol=1e-300)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(
    "options",
    [{"ignore_index": 9}, {"weight": [1.0, 2.0, 3.0, 4.0]}, {"label_smoothing": np.float64(0.1)}],
    ids=str,
)
def test_float32_stays_float32_whatever_computes_it(options: Any, reduction: str) -> None:
    z, y = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4), np.array([0, 1, 3])
    for fused in (True, False):

        def loss(z: Any, y: Any) -> Any:
            return np.sum(cross_entropy(z, y, fused=fused, reduction=reduction, **options))

        for run in (value_and_grad(loss), program(value_and_grad(loss), z, y)):
            value, gradient = run(z, y)
            assert np.asarray(value).dtype == np.float32
            assert gradient.dtype == np.float32


def test_a_memmap_takes_the_same_path_as_an_array(tmp_path: Any, rng: Any) -> None:
    def on_disk(x: Any) -> Any:
        mapped = np.memmap(tmp_path / f"{on_disk.__name__}{id(x)}", x.dtype, "w+", shape=x.shape)
        mapped[...] = x
        return mapped

    z, y = np.array([[37.43, 0.0], [0.0, 37.43]]), np.array([0, 1])
    p, W, b = np.array([[0.25, 0.75], [1.0, 0.0]]), np.eye(2), np.zeros(2)
    for args, loss in (
        ((z, y), cross_entropy),
        ((z, p), cross_entropy),
        ((z, p), binary_cross_entropy),
        ((z, W, b, y), linear_cross_entropy),
    ):
        floats = args[:-1]
        every = range(len(floats))
        want = value_and_grad(lambda *x: loss(*x, args[-1]), every)(*floats)
        got = value_and_grad(lambda *x: loss(*x, on_disk(args[-1])), every)(*map(on_disk, floats))
        assert got[0] == want[0] == loss(*map(on_disk, args))
        for a, b_ in zip(got[1], want[1]):
            assert type(a) is np.ndarray
            np.testing.assert_array_equal(a, b_)
