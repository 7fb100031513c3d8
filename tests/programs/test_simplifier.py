"""Programs in fewer operations: of numbers whose floats are exact, and of arrays."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers.programs import RNG, SOFT, Z, close
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_ce as tg
from tinygrad_ce import Value, program
from tinygrad_ce.engine.operation import TABLE

pytestmark = pytest.mark.usefixtures("few_rows_tried")
AT = (3.0, -2.0, 5.0)
ONE: list[Callable[[Any], Any]] = [
    lambda x: -x,
    lambda x: x / 4.0,
    lambda x: 3.0 * x,
    lambda x: x * -1.0,
    lambda x: x**2,
    lambda x: x**3,
    np.square,
    tg.relu,
    lambda x: np.where(x > 1.0, x, -x),
    lambda x: 1.0 - x,
]
TWO: list[Callable[[Any, Any], Any]] = [
    lambda x, y: x + y,
    lambda x, y: x - y,
    lambda x, y: x * y,
    lambda x, y: x * y + x * (y - 1.0),
    lambda x, y: x * y - y * 3.0 * x,
    lambda x, y: 2.0 * x + x - y,
    lambda x, y: -x * y + -y,
]


def built(steps: list[tuple[int, int, int]]) -> Callable[..., Any]:
    """A function of three numbers; what grows beyond where floats are exact is left out."""

    def f(*args: Any) -> Any:
        pool = list(args)
        for kind, i, j in steps:
            x, y = pool[i % len(pool)], pool[j % len(pool)]
            pool.append(ONE[kind](x) if kind < len(ONE) else TWO[kind - len(ONE)](x, y))
        return pool[-1] * pool[-2] - pool[-1]

    return f


def by_backward(f: Callable[..., Any], at: tuple[float, ...]) -> tuple[Any, list[Any]]:
    leaves = [Value(x) for x in at]
    out = f(*leaves)
    out.backward()
    return out.data, [0.0 if v.grad is None else v.grad for v in leaves]


@pytest.mark.slow
@given(
    st.lists(
        st.tuples(st.integers(0, len(ONE) + len(TWO) - 1), st.integers(0, 20), st.integers(0, 20)),
        min_size=1,
        max_size=6,
    ),
    st.tuples(*[st.integers(-3, 3).map(float)] * 3),
)
@settings(max_examples=150, database=None)
def test_nothing_changes_where_nothing_rounds(
    steps: list[tuple[int, int, int]], at: tuple[float, ...]
) -> None:
    f = built(steps)
    right, slopes = by_backward(f, at)
    if not all(abs(x) < 2.0**24 for x in (right, *slopes)):  # 53 bits hold it, quarters and all
        return
    made = program(f, *AT, wrt=(0, 1, 2))
    value, found = made(*at)
    assert (value, list(found)) == (right, slopes), made
    names: dict[str, Any] = {}
    exec(made.source, names)
    assert names["loss_and_grad"](*at) == (value, found)


def count(source: str) -> int:
    """Operations in a source, a power three."""
    cost = {ast.Pow: 3}
    nodes = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.BinOp | ast.UnaryOp)]
    signs = [n for n in nodes if isinstance(n, ast.UnaryOp) and isinstance(n.operand, ast.Constant)]
    return sum(cost.get(type(n.op), 1) for n in nodes) - len(signs)


@pytest.mark.parametrize(
    ("f", "most"),
    [
        (lambda a, b: a * b + a * 3.0 * b, 4),  # 4ab, and twice 4
        (lambda a, b: (a + b) - (b + a) * 3.0, 2),  # −2 (a + b)
        (lambda a, b: np.negative(-a) * -(b / 2.0), 3),
        (lambda a, b: (a * b + a * b * b) / 4.0, 12),
        (lambda a, b: a**2 * 0.5 + b**3, 6),
        (lambda a, b: -tg.relu(-(a * b)), 8),
    ],
)
def test_fewer_operations(f: Callable[..., Any], most: int) -> None:
    made = program(f, 3.0, -2.0, wrt=(0, 1))
    assert count(made.source) <= most, made
    value, slopes = made(3.0, -2.0)
    right, wanted = by_backward(f, (3.0, -2.0))
    np.testing.assert_allclose([value, *slopes], [right, *wanted], rtol=1e-15)


def test_a_graph_worked_out_on_paper() -> None:
    """BurTorch's tiny graph: what is printed is what one would write."""

    def tiny(a: Any, b: Any) -> Any:
        c = a + b
        d = a * b + b**3
        e = c - d
        f = e**2
        return f / 2

    made = program(tiny, -41.0, 2.0, wrt=(0, 1))
    assert made(-41.0, 2.0) == (612.5, (-35.0, 1050.0))
    assert count(made.source) <= 13
    assert "**" not in made.source


def test_numbers_of_no_use_to_the_algebra() -> None:
    """A power beyond a product, a divisor whose inverse is none, a number in a branch."""
    for f in (
        lambda a: a**5 + a**-2 + a**0.5,
        lambda a: a / 3.0 + a / 2.0**-1074 * 0.0,
        lambda a: np.where(a > 1.0, True, False) * a,
        lambda a: 0.0 * a + np.exp(-a),
    ):
        value, slope = program(f, 2.0)(1.5)
        right, [wanted] = by_backward(f, (1.5,))
        np.testing.assert_allclose([value, slope], [right, wanted], rtol=1e-14)
        assert type(value) is type(slope) is float


@pytest.mark.parametrize("x", [1e-300, np.full(3, 1e-300)])
def test_numbers_in_front_are_one_where_that_is_no_infinity(x: Any) -> None:
    for f in (
        lambda a: 1e200 * (1e200 * a),
        lambda a: (a * 1e200) * 1e200 + a,
        lambda a: np.sum(1e200 * (-(1e200 * a))),
        lambda a: 1e308 * a + 1e308 * a,
    ):
        np.testing.assert_allclose(program(f, x, wrt=None)(x), f(x), rtol=1e-15)


# ------------------------------------------------------------------ arrays
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


def test_no_sum_over_an_axis_of_length_one() -> None:
    one = np.ones((1, 3))
    made = program(lambda x: np.sum(np.sum(x, axis=(0, 1), keepdims=True) ** 2), one)
    assert "x.dot(ONES_3)" in made.source
    close(made(2.0 * one)[1], 12.0 * one)


X3 = RNG.normal(size=(3, 3))


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x.T.T,
        lambda x: np.swapaxes(np.transpose(x), 0, 1),
        lambda x: np.squeeze(np.expand_dims(x, 0), 0),
        lambda x: np.reshape(np.reshape(x, -1), (3, 3)),
        lambda x: np.transpose(np.reshape(np.transpose(x), (1, 3, 3))[0]),
        lambda x: np.broadcast_to(x, (2, 3, 3))[1],
        lambda x: x[::-1][::-1],
        lambda x: -(-(x * 1.0) + 0.0) / 1.0,
        lambda x: 0.25 * (x * 4.0),
    ],
)
def test_what_does_nothing_is_gone(f: Callable[[Any], Any]) -> None:
    made = program(lambda x: np.tanh(f(x)), X3, wrt=None)
    assert "np.tanh(x)" in made.source, made
    np.testing.assert_array_equal(made(X3), np.tanh(X3))


def test_near_what_does_nothing() -> None:
    for f in (lambda x: x.T, lambda x: x[::-1], lambda x: np.reshape(x.T, (3, 3)), np.negative):
        made = program(lambda x, f=f: np.tanh(f(x)), X3, wrt=None)
        assert "np.tanh(x)" not in made.source
        np.testing.assert_array_equal(made(X3), np.tanh(f(X3)))


# ------------------------------------------------------------------ operations of the user
@pytest.fixture
def turned() -> Any:
    """``np.flip`` and ``np.cos`` as a user may register them."""
    tg.primitive(lambda g, out, x: np.flip(g), linear=(0,), moves=True)(np.flip)
    tg.primitive(lambda g, out, x: -g * np.sin(x), even=True)(np.cos)
    tg.primitive(lambda g, out, x: g * np.cos(x))(np.sin)
    yield
    for f in (np.flip, np.cos, np.sin):
        del TABLE[f]


@pytest.mark.usefixtures("turned")
def test_what_a_record_says_is_used_whoever_wrote_it() -> None:
    made = program(lambda x: np.sum(np.flip(np.flip(x)) ** 2), X3)
    assert "flip" not in made.source
    np.testing.assert_array_equal(made(X3)[1], 2.0 * X3)
    made = program(lambda x: np.cos(-x), X3, wrt=None)
    assert "np.cos(x)" in made.source
    np.testing.assert_array_equal(made(X3), np.cos(X3))
    hessian = program(tg.hessian(lambda x: np.sum(np.sin(x))), X3[0])
    assert "np.diag(-np.sin(x))" in hessian.source, hessian
    np.testing.assert_allclose(hessian(X3[0]), np.diag(-np.sin(X3[0])))


def test_a_mean_of_sums_is_one_sum() -> None:
    x, t = np.random.default_rng(0).normal(size=(2, 6, 3))
    for f, gone in (
        (lambda x, t: -np.mean(np.sum(t * np.exp(x), axis=1)), "mean"),
        (lambda x, t: np.sum(np.sum(x * x * t, axis=0)), "ONES_6.dot"),
    ):
        made = program(f, x, t)
        forward = made.source.partition("# backward")[0]
        assert gone not in forward.replace("# mean", "")
        np.testing.assert_allclose(made(x, t)[0], f(x, t), rtol=1e-13)
        np.testing.assert_allclose(made(x, t)[1], tg.grad(f)(x, t), rtol=1e-13)


def test_what_is_positive_cancels() -> None:
    """The textbook's gradient is p · Σt − t, also where a share underflows; x / x at 0 is nan."""

    def textbook(z: Any, t: Any) -> Any:
        e = np.exp(z)
        return -np.sum(t * np.log(e / np.sum(e, axis=1, keepdims=True)))

    made = program(textbook, Z, SOFT)
    assert made.source.partition("# backward")[2].count(" = ") == 1
    np.testing.assert_allclose(made(Z, SOFT)[1], tg.softmax(Z) - SOFT, rtol=1e-13, atol=1e-15)
    far = np.array([[0.0, -800.0]])
    with np.errstate(all="ignore"):
        slope = program(textbook, far, np.array([[0.5, 0.5]]))(far, np.array([[0.5, 0.5]]))[1]
        assert np.allclose(slope, [[0.5, -0.5]])
        for f in (lambda x: x * x / x, lambda x: (x / x) * x):
            assert np.isnan(program(f, np.ones(2), wrt=None)(np.zeros(2))).all()
    for f in (
        lambda x: np.sum(np.exp(x) / (2.0 * np.exp(x)) * x),
        lambda x: np.sum((x / np.exp(x) + 3.0 * x) * np.exp(x)),
        lambda x: np.sum((x - np.tanh(x) / np.exp(x)) * (-np.exp(x) * 0.5)),
        lambda x: np.sum(np.exp(x) * np.exp(x) / np.exp(x) * x / 0.0),
    ):
        with np.errstate(all="ignore"):
            value, slope = program(f, Z)(Z)
            np.testing.assert_allclose(value, f(Z), rtol=1e-12)
            right = tg.grad(f)(Z)
            known = np.isfinite(right)
            np.testing.assert_allclose(slope[known], right[known], rtol=1e-11, atol=1e-13)


# ------------------------------------------------------------------ as on paper
X, R, V = RNG.normal(size=(6, 4)), RNG.normal(size=6), RNG.normal(size=4)
W, B, T = RNG.normal(size=(4, 3)), RNG.normal(size=3), RNG.uniform(0.1, 0.9, size=(6, 3))


def of_scores(z: Any, t: Any) -> Any:
    e = np.exp(z)
    p = e / e.sum(axis=1, keepdims=True)
    return -(t * np.log(p)).sum() / len(z)


def of_squares(w: Any, X: Any, y: Any) -> Any:
    r = X @ w - y
    return np.mean(r**2)


def of_tanh(W: Any, X: Any, d: Any) -> Any:
    h = np.tanh(X @ W)
    return (d * h).sum()


def of_sigmoid(z: Any, y: Any) -> Any:
    s = 1 / (1 + np.exp(-z))
    return -(y * np.log(s) + (1 - y) * np.log(1 - s)).sum()


PAPER: list[tuple[Any, list[Any], Any, str]] = [
    (of_scores, [X[:, :3], T], 0, "grad_z = (t.dot(ONES_3) * p - t) / n"),
    (lambda W, b, X, t: of_scores(X @ W + b, t), [W, B, X, T], (0, 1),
        """grad_z = (t.dot(ONES_3) * p - t) / n
        grad_b = ones_1.dot(grad_z)
        grad_W = X.T.dot(grad_z)"""),
    (lambda z: np.log(np.exp(z).sum()), [R], 0, "p = exp_1 / sum_1"),
    (of_sigmoid, [R, T.ravel()[:6]], 0, "grad_z = s - y"),
    (lambda z, y: of_sigmoid(z, y) / len(z), [R, T.ravel()[:6]], 0, "grad_z = (s - y) / n"),
    (of_squares, [V, X, R], 0, "grad_w = 2 / n * (X.T @ r)"),
    (of_tanh, [W, X, T], 0, "grad_W = X.T.dot(d * (1.0 - h ** 2))"),
    (lambda W, alpha: alpha / 2 * (W**2).sum(), [W, 0.3], 0, "grad_W = alpha * W"),
    (lambda W, alpha: alpha * np.abs(W).sum(), [W, 0.3], 0, "grad_W = alpha * np.sign(W)"),
    (lambda z, y: np.log(1 + np.exp(-y * z)).sum(), [R, np.sign(R[::-1])], 0,
        "grad_z = -y * (exp_1 / add_1)"),
]  # fmt: skip


@pytest.mark.parametrize(("f", "args", "wrt", "last"), PAPER)
def test_the_last_lines_are_those_of_the_textbook(f: Any, args: Any, wrt: Any, last: str) -> None:
    made, raw = (program(f, *args, wrt=wrt, clean=clean) for clean in (True, False))
    found = made.source.partition("# backward, newest first\n")[2].splitlines()[:-1]
    assert [x.partition("  #")[0].strip() for x in found] == [x.strip() for x in last.split("\n")]
    for at in (args, [700.0 * np.sign(args[0]), *args[1:]]):
        with np.errstate(all="ignore"):
            pair = [p(*at)[1] for p in (made, raw)]
        for a, b in zip(*[x if isinstance(x, tuple) else (x,) for x in pair]):
            known = np.isfinite(b)
            close(a[known], b[known])


@pytest.mark.parametrize("f", [np.vdot, np.inner, np.tensordot])
def test_products_of_tables_are_one_product(f: Any) -> None:
    z, t = (R, T[:, 0]) if f is np.inner else (X[:, :3], T)

    def loss(z: Any, t: Any) -> Any:
        e = np.exp(z)
        p = e / e.sum(axis=-1, keepdims=True)
        return -f(t, np.log(p))

    made = program(loss, z, t)
    product = "t @ np.log(p)" if f is np.inner else "np.vdot(t, np.log(p))"
    assert product in made.source
    assert "moveaxis" not in made.source
    close(made(z, t)[0], loss(z, t))
    close(made(z, t)[1], tg.softmax(z) * t.sum(axis=-1, keepdims=True) - t)


def test_binary_cross_entropy_of_numbers() -> None:
    made = program(of_sigmoid_of_numbers, 0.3, 1.0)
    assert "grad_z = s - y" in made.source
    close(made(-2.0, 0.25)[1], tg.grad(of_sigmoid_of_numbers)(-2.0, 0.25))


def of_sigmoid_of_numbers(z: Any, y: Any) -> Any:
    s = 1 / (1 + np.exp(-z))
    return -(y * np.log(s) + (1 - y) * np.log(1 - s))


def test_numbers_come_out_where_no_dtype_changes() -> None:
    """Labels of 0 and 255 in eight bits: their difference, before it is halved, would wrap."""
    a, b = np.array([0, 255, 3], np.uint8), np.array([255, 0, 4], np.uint8)
    x = np.array([1.0, 2.0, 3.0])
    for f in (
        lambda x, a, b: np.sum((0.3 * a - 0.3 * b) * x),
        lambda x, a, b: np.sum(0.3 * a * (b * x) - 0.3 * b * (a * x)),
        lambda x, a, b: np.sum(0.3 * a * b - 0.3 * x),
        lambda x, a, b: np.sum((0.3 * a) * (0.5 * b) * x),
    ):
        made = program(f, x, a, b)
        np.testing.assert_allclose(made(x, a, b)[0], f(x, a, b), rtol=1e-14, atol=1e-13)
        np.testing.assert_allclose(made(x, a, b)[1], tg.grad(f)(x, a, b), rtol=1e-14)


def test_zeros_that_spread_a_number_add_nothing() -> None:
    made = program(lambda x: np.sum(x) + np.full((1,), -0.0), Z, wrt=None)
    assert "np.full" not in made.source
    np.testing.assert_array_equal(made(Z), np.sum(Z)[None])


def test_numpy_s_whole_numbers_are_plain_ones_in_an_index() -> None:
    made = program(lambda x: np.sum(x[0, np.int64(1)] * x), Z, wrt=None)
    assert "x[0, 1]" in made.source
