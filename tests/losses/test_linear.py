"""linear_cross_entropy: cross_entropy(x @ W + b), whatever the block, without all the logits."""

# ruff: noqa: B023, E501 - the functions made in loops are called at once; a case is one line
from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import need
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_ce import (
    Value,
    cross_entropy,
    draw,
    grad,
    grad_of,
    gradcheck,
    hessian,
    linear_cross_entropy,
    primitive,
    step_through,
    topological,
)
from tinygrad_ce.engine.backward import share
from tinygrad_ce.losses import linear

DTYPES = (np.float32, np.float64)
REDUCTIONS = ("mean", "sum", "none")
X, W, B = np.ones((2, 3)), np.arange(12.0).reshape(3, 4), np.zeros(4)
T = np.array([0, 3])


def layer(rows: Any, d: int, c: int, dtype: Any, seed: int = 0) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    shapes = ((*rows, d), (d, c), (c,))
    x, W, b = (rng.standard_normal(shape).astype(dtype) for shape in shapes)
    return x, W, b


def results(f: Callable[..., Any], args: Any, g: Any = None) -> list[Any]:
    """A loss, and its gradient (of its product with g) with respect to each argument."""
    values = [Value(a) for a in args]
    loss = f(*values)
    loss.backward(g if loss.shape else None)
    return [loss.data, *(v.grad for v in values)]


def same(got: list[Any], want: list[Any], dtype: Any, told: str = "") -> None:
    for a, b in zip(got, want, strict=True):
        assert np.shape(a) == np.shape(b), told
        assert np.asarray(a).dtype == np.asarray(b).dtype, told
        scale = np.max(abs(np.asarray(b)), initial=0.0)
        atol = 30 * np.finfo(dtype).eps * max(scale, 1e-3)
        np.testing.assert_allclose(a, b, rtol=0, atol=atol, err_msg=told)


def targets(rows: Any, c: int, dtype: Any) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    index = rng.integers(0, c, rows)
    with_gaps = np.where(rng.random(rows) < 0.3, -1, index)
    return {
        "index": index,
        "with gaps": with_gaps,
        "one-hot": np.eye(c, dtype=dtype)[index],
        "soft": rng.dirichlet(np.ones(c), rows).astype(dtype),
    }


# ------------------------------------------------------------------ the loss it stands for
@pytest.mark.parametrize(
    ("rows", "dtype"),
    [
        *[((), np.float64), ((7,), np.float32), ((2, 3), np.float64)],
        *(
            pytest.param(rows, dtype, marks=pytest.mark.slow)
            for rows, dtype in [((), np.float32), ((7,), np.float64), ((2, 3), np.float32)]
        ),
    ],
)
@pytest.mark.parametrize("kind", ["index", "with gaps", "one-hot", "soft"])
def test_it_is_cross_entropy_of_the_product(kind: str, rows: Any, dtype: Any) -> None:
    """Every combination of options, in blocks of 1 row, of 3, and of more than there are."""
    args, target = layer(rows, 3, 5, dtype), targets(rows, 5, dtype)[kind]
    g = np.random.default_rng(2).standard_normal(rows).astype(dtype)
    weights = (None, np.array([0.5, 0, 1, 2, 0.25], dtype))
    ignored = (-1,) if kind == "with gaps" else (None, 2) if kind == "index" else (None,)
    for reduction, weight, ignore, smoothing in itertools.product(
        REDUCTIONS, weights, ignored, (0.0, 0.25)
    ):
        options: Any = {"reduction": reduction, "weight": weight, "label_smoothing": smoothing}
        options["ignore_index"] = ignore
        if kind in ("index", "with gaps") and reduction == "mean":
            kept = target != ignore if ignore is not None else np.ones(rows, bool)
            if not np.sum((1.0 if weight is None else weight[target]) * kept):
                continue  # the mean of nothing: further down
        want = results(lambda x, W, b: cross_entropy(x @ W + b, target, **options), args, g)
        for block in (None, 1, 3, 100):
            got = results(
                lambda x, W, b: linear_cross_entropy(x, W, b, target, block=block, **options),
                args, g,
            )  # fmt: skip
            same(got, want, dtype, f"{reduction=} {weight=} {ignore=} {smoothing=} {block=}")
        plain = linear_cross_entropy(*args, target, block=3, **options)
        assert isinstance(plain, np.ndarray) == (reduction == "none")
        same([np.asarray(plain, dtype)], [np.asarray(want[0], dtype)], dtype)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
def test_it_is_pytorchs(dtype: Any) -> None:
    torch = need("torch")
    args = layer((9,), 4, 6, dtype)
    for kind, target in targets((9,), 6, dtype).items():
        for reduction, weight, smoothing in itertools.product(
            ("mean", "sum"), (None, np.linspace(0.1, 1, 6).astype(dtype)), (0.0, 0.25)
        ):
            x, w, b = (torch.tensor(a, requires_grad=True) for a in args)
            options: Any = {"reduction": reduction, "label_smoothing": smoothing}
            if kind == "with gaps":
                options["ignore_index"] = -1
            loss = torch.nn.functional.cross_entropy(
                x @ w + b, torch.tensor(target),
                weight=None if weight is None else torch.tensor(weight), **options,
            )  # fmt: skip
            loss.backward()
            got = results(
                lambda x, W, b: linear_cross_entropy(
                    x, W, b, target, weight=weight, block=4, **options
                ),
                args,
            )
            want = [loss.detach().numpy(), *(v.grad.numpy() for v in (x, w, b))]
            same([np.asarray(got[0], dtype), *got[1:]], want, dtype, f"{kind} {options}")


@given(st.data())
def test_any_shape_and_block(data: Any) -> None:
    n, d, c, block = (data.draw(st.integers(1, 8)) for _ in range(4))
    scale = 10.0 ** data.draw(st.integers(-2, 3))
    x, W, b = layer((n,), d, c, float, data.draw(st.integers(0, 99)))
    args, t = (scale * x, W, b), np.arange(n) % c
    got = results(lambda *a: linear_cross_entropy(*a, t, block=block), args)
    same(got, results(lambda x, W, b: cross_entropy(x @ W + b, t), args), float)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_blocks_threads_and_far_rows_change_nothing_but_rounding(
    smoothing: float, reduction: str
) -> None:
    """A batch large enough for threads, of more classes than one product of the gradient takes."""
    x, W, b = layer((70,), 8, 5000, float)
    args = (np.where(np.arange(70)[:, None] % 5 == 0, 300.0 * x, x), W, b)  # maxima to subtract
    t, g = np.arange(70) * 7 % 400, np.linspace(-1.0, 1.0, 70)
    options: Any = {"label_smoothing": smoothing, "reduction": reduction}
    want = results(lambda x, W, b: cross_entropy(x @ W + b, t, **options), args, g)
    for block in (1, 60, None):
        got = results(lambda *a: linear_cross_entropy(*a, t, block=block, **options), args, g)
        same(got, want, float, f"{block=}")


def test_without_a_bias() -> None:
    x, W, _ = layer((6,), 3, 4, float)
    t = np.arange(6) % 4
    want = results(lambda x, W: cross_entropy(x @ W, t), (x, W))
    same(results(lambda x, W: linear_cross_entropy(x, W, None, t, block=4), (x, W)), want, float)
    assert grad(lambda W: linear_cross_entropy(x, W, None, t))(W).shape == W.shape


@pytest.mark.parametrize("variable", [(0,), (1,), (2,), (0, 2), (1, 2)], ids=str)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_constants_get_no_gradient(variable: Any, reduction: str) -> None:
    args, t, g = layer((5,), 3, 4, float), np.arange(5) % 4, np.linspace(1, 2, 5)
    values = [Value(a) if i in variable else a for i, a in enumerate(args)]
    loss = linear_cross_entropy(*values, t, reduction=reduction, block=2)
    loss.backward(g if reduction == "none" else None)
    want = results(lambda x, W, b: cross_entropy(x @ W + b, t, reduction=reduction), args, g)
    for i in variable:
        np.testing.assert_allclose(values[i].grad, want[1 + i], rtol=1e-13, atol=1e-15)


def test_the_gradient_of_a_constant_is_not_computed() -> None:
    x, W, b = layer((40,), 500, 400, float)
    bias = Value(b)
    tracemalloc.start()
    linear_cross_entropy(x, W, bias, np.arange(40)).backward()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert bias.grad.any()
    assert peak < W.nbytes / 2


def test_mixed_precision_goes_to_the_wider_and_each_gradient_back() -> None:
    x, W, b = layer((5,), 3, 4, np.float32)
    args, t = (x, W.astype(float), b), np.arange(5) % 4
    got = results(lambda *a: linear_cross_entropy(*a, t), args)
    assert [g.dtype for g in got[1:]] == [np.float32, np.float64, np.float32]
    same(got, results(lambda x, W, b: cross_entropy(x @ W + b, t), args), np.float32)


def test_any_layout(rng: Any) -> None:
    base, t = rng.standard_normal((8, 6)), rng.integers(0, 3, 4)
    for x in (base[::2, ::2], base.T[:4, 1:4], np.broadcast_to(base[0, :3], (4, 3))):
        for W in (base[:3, :3], base[:6:2, ::2].T, np.asfortranarray(base[:3, :3])):
            args = (x, W, base[0, ::2])
            want = results(lambda x, W, b: cross_entropy(x @ W + b, t), args)
            got = results(lambda *a: linear_cross_entropy(*a, t, block=3), args)
            same(got, want, float)
            for gradient in got[1:]:
                gradient += 1.0  # writable, and its own


def test_integers_and_lists_are_data() -> None:
    loss = linear_cross_entropy([[1, 2]], [[1, 0, 0], [0, 1, 0]], [0, 0, 0], [1])
    assert loss == pytest.approx(cross_entropy([[1.0, 2.0, 0.0]], [1]))


def test_inf_nan_and_a_masked_class_are_as_in_cross_entropy() -> None:
    args = layer((6,), 3, 4, float)
    x, W, b = (a.copy() for a in args)
    x[1, 0], b[2] = np.nan, -np.inf
    t = np.array([0, 1, 3, 2, 0, 1])
    for options in ({}, {"label_smoothing": 0.0, "reduction": "none"}):
        g = np.ones(6)
        got = results(lambda *a: linear_cross_entropy(*a, t, block=4, **options), (x, W, b), g)
        with np.errstate(invalid="ignore"):
            want = results(lambda x, W, b: cross_entropy(x @ W + b, t, **options), (x, W, b), g)
        for ours, theirs in zip(got, want):
            np.testing.assert_allclose(ours, theirs, rtol=1e-13, atol=1e-15)


def test_the_mean_of_no_samples_is_nan() -> None:
    assert np.isnan(linear_cross_entropy(X, W, B, [-1, -1], ignore_index=-1))
    assert linear_cross_entropy(X, W, B, [-1, -1], ignore_index=-1, reduction="sum") == 0.0


# ------------------------------------------------------------------ a node like any other
def test_one_node_of_three_arguments_and_a_target() -> None:
    values = [Value(a, name) for a, name in zip((X, W, B), "xWb")]
    loss = linear_cross_entropy(*values, T)
    assert topological(loss) == [*values, loss]
    assert loss.op is linear.LinearCrossEntropy
    assert loss.parents[:3] == tuple(values)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("method", [pytest.param("central", marks=pytest.mark.slow), "complex"])
@pytest.mark.parametrize("kind", [pytest.param("index", marks=pytest.mark.slow), "soft"])
def test_gradcheck(reduction: str, method: str, kind: str) -> None:
    args, t = layer((3,), 2, 4, float), targets((3,), 4, float)[kind]
    report = gradcheck(
        lambda x, W, b: linear_cross_entropy(
            x, W, b, t, reduction=reduction, block=2, weight=[1, 2, 3, 4], label_smoothing=0.1
        ),
        *args, method=method, order=2 if method == "central" else 1,
    )  # fmt: skip
    assert report, str(report)


@pytest.mark.parametrize("i", [0, 1, 2])
@pytest.mark.parametrize(
    "factor", [1.01, *(pytest.param(x, marks=pytest.mark.slow) for x in (0.0, -1.0))]
)
def test_gradcheck_blames_a_wrong_rule(i: int, factor: float) -> None:
    op = linear.LinearCrossEntropy
    rules = list(op.vjps)
    right = rules[i]

    def wrong(*args: Any, **options: Any) -> Any:
        return factor * right(*args, **options)  # type: ignore[misc]

    rules[i] = wrong
    mutant = primitive(*rules, name="mutant", keeps=True)(op.fn)
    report = gradcheck(lambda x, W, b: mutant(x, W, b, T), *layer((2,), 3, 4, float))
    assert report.verdict == "fail"
    assert report.blame.startswith(f"mutant to {'xWb'[i]}, entry")


def test_second_derivatives_are_those_of_the_composed_loss() -> None:
    x, W, b = layer((4,), 3, 5, float)
    t = np.array([0, 1, -1, 4])
    options: Any = {"ignore_index": -1, "label_smoothing": 0.2, "weight": [1, 2, 3, 4, 5]}
    for i in range(3):
        second = [
            hessian(f, i)(x, W, b)
            for f in (
                lambda x, W, b: linear_cross_entropy(x, W, b, t, block=3, **options),
                lambda x, W, b: cross_entropy(x @ W + b, t, **options),
            )
        ]
        np.testing.assert_allclose(*second, rtol=1e-12, atol=1e-15)


def test_the_gradient_of_a_gradient_of_another_argument() -> None:
    """Also where the node's own arguments are constants and only what comes from above varies."""
    x, W, b = layer((4,), 3, 5, float)
    t = np.arange(4)

    def mixed(loss: Callable[..., Any]) -> Any:
        scale = Value(2.0)
        inner = grad(lambda b: scale * loss(x, W, b))(b)
        return grad_of((inner * inner).sum(), scale).data

    composed = mixed(lambda x, W, b: cross_entropy(x @ W + b, t))
    assert mixed(lambda x, W, b: linear_cross_entropy(x, W, b, t)) == pytest.approx(composed)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_backward_twice_and_editing_the_gradient(reduction: str) -> None:
    args, t = layer((6,), 3, 4, float), np.arange(6) % 4
    g = None if reduction != "none" else np.linspace(1, 2, 6)
    values = [Value(a) for a in args]
    loss = linear_cross_entropy(*values, t, reduction=reduction, block=4)
    loss.backward(g)
    once = [v.grad.copy() for v in values]
    for v in values:
        v.grad *= 0.5  # the node must not hold this array
    loss.backward(g)
    for v, first in zip(values, once):
        np.testing.assert_allclose(v.grad, 1.5 * first, rtol=1e-13, atol=1e-16)
        v.grad = None
    (2.0 * loss).backward(g)
    for v, first in zip(values, once):
        np.testing.assert_allclose(v.grad, 2.0 * first, rtol=1e-13, atol=1e-16)


def test_a_gradient_kept_for_one_upstream_gradient_is_not_given_for_another() -> None:
    """... when a backward pass breaks off between the arguments and the next one starts."""
    args = layer((5,), 3, 4, float)
    x, W, b = values = [Value(a) for a in args]
    loss = linear_cross_entropy(*values, np.arange(5) % 4, reduction="none")
    g = np.linspace(1.0, 2.0, 5)
    want = grad(
        lambda W: (
            g * linear_cross_entropy(x.data, W, b.data, np.arange(5) % 4, reduction="none")
        ).sum()
    )(W.data)
    assert grad_of((2.0 * g * loss).sum(), x) is not None
    np.testing.assert_allclose(grad_of((g * loss).sum(), W).data, want, rtol=1e-14)
    share(loss, 0, 3.0 * g)
    np.testing.assert_allclose(share(loss, 1, g), want, rtol=1e-14)


def test_the_forward_pass_made_the_gradients_and_they_are_not_copied() -> None:
    args = layer((300,), 200, 100, float)
    values = [Value(a) for a in args]
    loss = linear_cross_entropy(*values, np.arange(300) % 100)
    tracemalloc.start()
    loss.backward()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert all(v.grad.any() for v in values)
    assert peak < min(a.nbytes for a in args[:2]) / 2


@pytest.mark.parametrize("d", [0, 1])
def test_few_features(d: int) -> None:
    args, t = layer((4,), d, 3, float), np.arange(4) % 3
    want = results(lambda x, W, b: cross_entropy(x @ W + b, t), args)
    same(results(lambda *a: linear_cross_entropy(*a, t, block=3), args), want, float)


def test_float16_stays_float16() -> None:
    args, t = layer((20,), 4, 5, np.float16), np.arange(20) % 5
    got = results(lambda *a: linear_cross_entropy(*a, t, block=7), args)
    want = results(lambda *a: linear_cross_entropy(*a, t), [a.astype(float) for a in args])
    for ours, theirs in zip(got[1:], want[1:]):
        assert ours.dtype == np.float16
        np.testing.assert_allclose(ours, theirs, atol=2e-3)


def test_it_draws_and_steps() -> None:
    values = [Value(a, name) for a, name in zip((X, W, B), "xWb")]
    loss = linear_cross_entropy(*values, T)
    loss.backward()
    assert "LinearCrossEntropy" in draw(loss).dot
    assert "saved" not in draw(loss, gradients="edges").dot
    steps = step_through(loss)
    got = {s.target: s.after for s in steps if s.phase == "backward"}
    for v in values:
        np.testing.assert_allclose(got[v.name], v.grad, rtol=1e-14, atol=1e-16)
    words = {s.target: s.words for s in steps if s.phase == "backward"}
    assert "xᵀ (softmax(x W + b) − t)" in words["W"]
    assert "− Σ t log softmax(x W + b)" in next(s.words for s in steps if s.op).replace("−Σ", "− Σ")


def test_arrays_of_other_kinds() -> None:
    need("dask.array")
    import dask.array as da

    args, t = layer((4,), 3, 5, float), np.arange(4)
    got = results(lambda *a: linear_cross_entropy(*a, t), [da.from_array(a) for a in args])
    want = results(lambda *a: linear_cross_entropy(*a, t), args)
    for ours, theirs in zip(got, want):
        np.testing.assert_allclose(np.asarray(ours), theirs, rtol=1e-13, atol=1e-15)


# ------------------------------------------------------------------ memory
@pytest.mark.slow
@pytest.mark.parametrize("shift", [0.0, -500.0])
def test_a_block_of_logits_is_all_it_needs(shift: float) -> None:
    """... and cross_entropy of the product needs them all: 64 MB."""
    x, W, b = layer((2000,), 4, 8000, np.float32)
    values = [Value(a) for a in (x, W, b + np.float32(shift))]
    t = np.arange(2000)
    linear_cross_entropy(*values, t)  # what is imported at first use does not count
    for block, most in ((16, 12), (None, 24)):
        for target, weight in ((t, None), (np.where(t % 7, t, -1), np.ones(8000, np.float32))):
            tracemalloc.start()
            linear_cross_entropy(
                *values, target, block=block, weight=weight, ignore_index=-1, label_smoothing=0.1
            ).backward()
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak <= most * 2**20


@pytest.mark.parametrize("bias", [True, False])
def test_of_many_rows_a_block_is_held_with_a_bias_or_without(bias: bool) -> None:
    x, W, b = layer((400,), 2, 2000, float)  # 6.4 MB of logits
    linear_cross_entropy(Value(x), W, b, np.arange(400))  # imports what it uses
    tracemalloc.start()
    linear_cross_entropy(Value(x), W, b if bias else None, np.arange(400), block=20).backward()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


# ------------------------------------------------------------------ bad input
def call(**given: Any) -> Callable[[Any], Any]:
    args: dict[str, Any] = {"x": X, "W": W, "b": B, "target": T} | given
    return lambda kind: linear_cross_entropy(**args | {"W": kind(args["W"])})


PROBABLY = np.array([[0.5, 0.5, 0.0, 0.0], [0.5, 0.6, 0.0, 0.0]])
NEGATIVE = np.array([[0.5, 0.5, 0.0, 0.0], [1.5, -0.5, 0.0, 0.0]])
# fmt: off
CASES = [
    ("inner sizes", call(x=np.ones((2, 5))), ValueError, ["x (2, 5)", "W (3, 4)", "(..., D)", "(D, C)"]),
    ("PyTorch's W", call(W=W.T, b=np.zeros(3)), ValueError, ["x (2, 3)", "W (4, 3)", "pass W.T"]),
    ("W a vector", call(W=np.ones(3)), ValueError, ["W (3,)", "(D, C)"]),
    ("x a number", call(x=1.0), ValueError, ["x ()", "(..., D)"]),
    ("b's size", call(b=np.zeros(5)), ValueError, ["b: got shape (5,)", "(4,)", "None"]),
    ("b a column", call(b=np.zeros((4, 1))), ValueError, ["b: got shape (4, 1)", "(4,)"]),
    ("b a number", call(b=1.0), ValueError, ["b: got shape ()", "(4,)"]),
    ("text", call(x="a"), TypeError, ["x: got <U1", "wanted real numbers"]),
    ("block 0", call(block=0), ValueError, ["block: got 0", "number of rows, 1 or more"]),
    ("block a float", call(block=2.0), ValueError, ["block: got 2.0", "number of rows"]),
    ("block True", call(block=True), ValueError, ["block: got True", "number of rows"]),
    ("target's shape", call(target=[0]), ValueError, ["target", "(1,)", "(2, 4)", "(2,)"]),
    ("class", call(target=[0, 4], block=1), ValueError, ["class 4 at (1,)", "0 to 3"]),
    ("ignored class", call(target=[0, -2], ignore_index=-1, block=1), ValueError, ["class -2 at (1,)"]),
    ("float class", call(target=[0.0, 1.0]), TypeError, ["class indices are integers"]),
    ("sum of probabilities", call(target=PROBABLY, block=1), ValueError, ["at (1,) sum to 1.1", "wanted 1"]),
    ("negative probability", call(target=NEGATIVE, block=1), ValueError, ["-0.5 at (1, 1)"]),
    ("target a Value", call(target=Value([0.0, 1.0])), TypeError, ["target is a Value", "data"]),
    ("empty", call(x=np.ones((0, 3)), target=np.ones(0, int)), ValueError, ["(0, 4)", "no samples"]),
    ("empty, soft", call(x=np.ones((0, 3)), target=np.ones((0, 4))), ValueError, ["(0, 4)", "no samples"]),
    ("no classes", call(W=np.ones((3, 0)), b=np.ones(0)), ValueError, ["(2, 0)", "no classes"]),
    ("reduction", call(reduction="max"), ValueError, ["'max'", "'mean', 'sum' or 'none'"]),
    ("smoothing", call(label_smoothing=1.5), ValueError, ["label_smoothing", "1.5", "0 to 1"]),
    ("smoothing, text", call(label_smoothing="a"), TypeError, ["label_smoothing", "'a'"]),
    ("weight's shape", call(weight=np.ones(3)), ValueError, ["weight", "(3,)", "(4,)"]),
    ("ignored probabilities", call(target=PROBABLY, ignore_index=0), ValueError, ["ignore_index", "class indices"]),
    ("unknown option", call(axis=1), TypeError, ["axis"]),
]
# fmt: on


@pytest.mark.parametrize(
    ("make", "error", "words"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
@pytest.mark.parametrize("kind", [np.asarray, Value])
def test_bad_input(make: Any, error: Any, words: list[str], kind: Any) -> None:
    with pytest.raises(error) as caught:
        make(kind)
    text = str(caught.value)
    assert type(caught.value) is error
    assert "\n" not in text
    assert all(word in text for word in words), text


def test_an_error_names_the_argument() -> None:
    with pytest.raises(ValueError, match=r"got x h \(2, 3\) and W out \(4, 3\)"):
        linear_cross_entropy(Value(X, "h"), Value(W.T, "out"), None, T)


@pytest.mark.parametrize("given", [{"x": np.ones((2, 5))}, {"W": np.ones(3)}, {"x": 1.0}])
def test_the_transpose_is_named_only_where_it_would_help(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="linear_cross_entropy: got x") as caught:
        call(**given)(np.asarray)
    assert "W.T" not in str(caught.value)
