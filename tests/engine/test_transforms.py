"""The transforms against PyTorch's and closed forms, nested, and over structures of arrays."""

from __future__ import annotations

import gc
import math
from collections import namedtuple
from typing import Any

import numpy as np
import pytest
from conftest import need

from tinygrad_ce import (
    StaleGraphError,
    Value,
    grad,
    grad_of,
    hessian,
    hvp,
    jacobian,
    primitive,
    softmax,
    topological,
    value_and_grad,
    vjp,
)
from tinygrad_ce.engine.transforms import flatten, unflatten

X = np.array([0.3, -1.2, 0.7])
W = np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -0.75]])


def network(m: Any, w: Any, x: Any) -> Any:
    """Two layers and a softmax, in the functions that NumPy and PyTorch share."""
    e = m.exp(m.tanh(w @ x))
    return e / e.sum()


def loss(m: Any, w: Any, x: Any) -> Any:
    p = network(m, w, x)
    return -m.log(p[0]) + 0.1 * (w * w).sum() * m.sqrt(p[1])


def close(got: Any, wanted: Any, rtol: float = 1e-11) -> None:
    assert type(got) in (float, np.ndarray)  # plain, as nothing else is a Value
    np.testing.assert_allclose(got, wanted, rtol=rtol, atol=1e-13)


# ------------------------------------------------------------------ against PyTorch
@pytest.mark.slow
@pytest.mark.parametrize("argnum", [0, 1, -1, -2])
def test_first_and_second_order_as_pytorch(argnum: int) -> None:
    torch = need("torch")
    w, x = torch.tensor(W), torch.tensor(X)

    def ours(w: Any, x: Any) -> Any:
        return loss(np, w, x)

    def theirs(w: Any, x: Any) -> Any:
        return loss(torch, w, x)

    n = argnum % 2
    value, slope = value_and_grad(ours, argnum)(W, X)
    close(value, theirs(w, x).item())
    close(slope, torch.func.grad(theirs, n)(w, x).numpy())
    close(grad(ours, argnum)(W, X), slope, 1e-15)

    def of_one(y: Any) -> Any:
        return theirs(y, x) if n == 0 else theirs(w, y)

    at, u = (w, x)[n], np.linspace(-1, 1, slope.size).reshape(slope.shape)
    functional = torch.autograd.functional
    close(hessian(ours, argnum)(W, X), functional.hessian(of_one, at).numpy())
    wanted = functional.hvp(of_one, at, torch.tensor(u))[1]
    close(hvp(ours, argnum)(W, X, u), wanted.numpy())


@pytest.mark.parametrize("argnum", [0, 1])
def test_jacobian_and_vjp_as_pytorch(argnum: int) -> None:
    torch = need("torch")

    def ours(w: Any, x: Any) -> Any:
        return network(np, w, x)

    def theirs(w: Any, x: Any) -> Any:
        return network(torch, w, x)

    w, x = torch.tensor(W), torch.tensor(X)
    close(jacobian(ours, argnum)(W, X), torch.func.jacrev(theirs, argnum)(w, x).numpy())
    value, pullback = vjp(ours, W, X)
    close(value, theirs(w, x).numpy())
    for g in (np.array([1.0, 0.0]), np.array([0.3, -2.0])):  # any number of times
        wanted = torch.func.vjp(theirs, w, x)[1](torch.tensor(g))
        for got, want in zip(pullback(g), wanted):
            close(got, want.numpy())


# ------------------------------------------------------------------ closed forms
def test_softmax_cross_entropy_gives_p_minus_t_and_diag_p_minus_ppt() -> None:
    z, t = np.array([3.2, 1.3, 0.5]), np.array([1.0, 0.0, 0.0])
    p = np.exp(z) / np.exp(z).sum()

    def cross_entropy(z: Any) -> Any:
        e = np.exp(z)
        return -(t * np.log(e / e.sum())).sum()

    close(grad(cross_entropy)(z), p - t)
    close(hessian(cross_entropy)(z), np.diag(p) - np.outer(p, p))
    close(jacobian(softmax)(z), np.diag(p) - np.outer(p, p))


def test_nesting_to_order_four() -> None:
    def f(x: Any) -> Any:
        return x**6 + np.exp(2.0 * x) + np.log(x) + np.tanh(x)

    t = math.tanh(0.8)
    s = 1 - t * t
    tanhs = [t, s, -2 * t * s, s * (6 * t * t - 2), s * t * (16 - 24 * t * t)]
    falling = [1, 6, 30, 120, 360]
    logs = [math.log(0.8), 1 / 0.8, -1 / 0.8**2, 2 / 0.8**3, -6 / 0.8**4]
    for order in range(5):
        wanted = (
            falling[order] * 0.8 ** (6 - order)
            + 2**order * math.exp(1.6)
            + logs[order]
            + tanhs[order]
        )
        assert f(0.8) == pytest.approx(wanted, rel=1e-13)
        f = grad(f)


def test_nesting_of_different_transforms() -> None:
    def f(x: Any) -> Any:
        return (x**3).sum() * x[0]

    close(jacobian(grad(f))(X), hessian(f)(X))
    close(hessian(f)(X) @ W[0], hvp(f)(X, W[0]))
    third = jacobian(hessian(f))(X)
    assert third.shape == (3, 3, 3)
    np.testing.assert_allclose(third, np.transpose(third, (1, 2, 0)), atol=1e-12)
    close(grad(lambda x: (grad(f)(x) * W[0]).sum())(X), hvp(f)(X, W[0]))
    close(jacobian(lambda x: hvp(f)(x, W[0]))(X), third @ W[0])
    close(grad(lambda v: (hvp(f)(X, v) ** 2).sum())(W[0]), 2 * hessian(f)(X) @ hvp(f)(X, W[0]))
    close(grad(lambda x: vjp(np.exp, x)[1](x)[0].sum())(X), np.exp(X) * (1 + X))
    close(grad(lambda x: value_and_grad(f)(x)[0])(X), grad(f)(X))


# ------------------------------------------------------------------ perturbation confusion
def test_perturbations_are_not_confused() -> None:
    # d/dx x · [d/dy (x + y)] at y = x: the inner derivative is 1, not 2
    assert grad(lambda x: x * grad(lambda y: x + y)(x))(2.0) == 1.0
    assert grad(lambda x: x * grad(lambda y: x * y)(1.0))(3.0) == 6.0
    assert grad(lambda x: x * grad(lambda y: x * y)(x))(3.0) == 6.0
    assert grad(lambda x: grad(lambda y: grad(lambda z: x * y * z)(y))(x))(2.0) == 1.0
    assert grad(lambda x: grad(lambda x: x * x)(x) * x)(3.0) == 12.0


def test_one_outer_value_as_two_arguments() -> None:
    def f(x: Any) -> Any:
        a, b = grad(lambda p, q: p * p * q, (0, 1))(x, x)
        return a + 10.0 * b  # 2x² + 10x², as p and q are variables of their own

    assert grad(f)(3.0) == 72.0


# ------------------------------------------------------------------ closures, outer Values
def test_a_closed_over_value_is_a_constant_and_its_grad_untouched() -> None:
    w = Value(W)
    w.grad = kept = np.ones((2, 3))
    slope = grad(lambda x: np.tanh(w @ x).sum())(X)
    assert isinstance(slope, Value)  # it rests on w, so it can be differentiated again
    wanted = W.T @ (1 - np.tanh(W @ X) ** 2)
    np.testing.assert_allclose(slope.data, wanted, rtol=1e-13)
    assert w.grad is kept
    np.testing.assert_array_equal(kept, np.ones((2, 3)))
    w.grad = None
    (slope**2).sum().backward()
    numeric = np.zeros(W.shape)
    for at in np.ndindex(W.shape):
        for sign in (1, -1):
            moved = W.copy()
            moved[at] += sign * 1e-6
            s = grad(lambda x, moved=moved: np.tanh(moved @ x).sum())(X)
            numeric[at] += sign * (s**2).sum() / 2e-6
    np.testing.assert_allclose(w.grad, numeric, rtol=1e-8)


def test_transforms_set_no_grad_at_all() -> None:
    outer = Value(2.0)
    inner = outer * outer
    seen = []

    def f(x: Any) -> Any:
        seen.append(x)
        return x * x * inner

    value, slope = value_and_grad(f)(3.0)
    assert (value.data, slope.data) == (36.0, 24.0)
    assert outer.passes == inner.passes == seen[0].passes == 0
    slope.backward()
    assert outer.grad == 6.0 * 2 * 2.0


def test_a_value_as_the_argument() -> None:
    x = Value(3.0)
    slope = grad(lambda y: y**3)(x)
    assert slope.data == 27.0
    assert x.passes == 0
    slope.backward()
    assert x.grad == 18.0


def test_a_stale_closure_is_caught() -> None:
    w = Value(2.0)
    square = w * w
    w.data = 3.0
    with pytest.raises(StaleGraphError):
        grad(lambda x: x * square)(1.0)


def test_the_argument_keeps_its_data() -> None:
    x = X.copy()
    x.flags.writeable = False
    close(grad(lambda x: (x * x).sum())(x), 2 * X)

    def update(x: Any) -> Any:
        x += 1.0
        return (x * x).sum()

    close(grad(update)(x), 2 * (X + 1))
    np.testing.assert_array_equal(x, X)


# ------------------------------------------------------------------ zeros where independent
def test_an_argument_that_does_not_matter_has_gradient_zero() -> None:
    close(grad(lambda x: 3.0)(X), np.zeros(3))
    close(grad(lambda x, y: (y * y).sum(), 0)(X, W), np.zeros(3))
    assert grad(lambda x: 2.0)(1.0) == 0.0
    close(grad(grad(lambda x: 3.0 * x))(1.0), 0.0)
    close(hessian(lambda x: x.sum())(X), np.zeros((3, 3)))
    close(hvp(lambda x: x.sum())(X, X), np.zeros(3))
    close(jacobian(lambda x: np.ones(2))(X), np.zeros((2, 3)))
    close(jacobian(lambda x: x[:0])(X), np.zeros((0, 3)))
    _, pullback = vjp(lambda x, y: x * 2.0, X, W)
    close(pullback(X)[1], np.zeros((2, 3)))
    w = Value(2.0)
    assert grad(lambda x: w * w)(1.0) == 0.0


def test_infinite_data_do_not_make_a_zero_gradient_nan() -> None:
    close(grad(lambda x, y: y.sum(), 0)(np.array([np.inf, np.nan]), X), np.zeros(2))


# ------------------------------------------------------------------ structures
Layer = namedtuple("Layer", ["weight", "bias"])


def test_dicts_lists_and_tuples_as_one_argument() -> None:
    def f(p: Any, x: Any) -> Any:
        h = np.tanh(p["layers"][0].weight @ x + p["layers"][0].bias)
        return (h * p["out"][0]).sum() * p["scale"] + p["out"][1]

    params = {
        "layers": [Layer(W, np.array([0.1, -0.2]))],
        "out": (np.array([1.0, -1.0]), 0.5),
        "scale": 2.0,
    }
    value, slopes = value_and_grad(f)(params, X)
    h = np.tanh(W @ X + [0.1, -0.2])
    assert value == pytest.approx(2 * (h[0] - h[1]) + 0.5, rel=1e-14)
    assert type(slopes) is dict
    assert list(slopes) == ["layers", "out", "scale"]
    assert type(slopes["layers"][0]) is Layer
    assert type(slopes["out"]) is tuple
    delta = 2 * (1 - h**2) * [1.0, -1.0]
    close(slopes["layers"][0].weight, np.outer(delta, X))
    close(slopes["layers"][0].bias, delta)
    close(slopes["out"][0], 2 * h)
    assert slopes["out"][1] == 1.0
    close(slopes["scale"], h[0] - h[1])


def test_a_list_of_numbers_is_an_array() -> None:
    close(grad(lambda x: (x * x).sum())([1.0, 2.0]), [2.0, 4.0])
    close(grad(lambda x: (x * x).sum())([[1.0, 2.0], [3.0, 4.0]]), [[2.0, 4.0], [6.0, 8.0]])
    lists = grad(lambda p: (p[0] * p[1]).sum())([X, X + 1])
    assert type(lists) is list
    close(lists[0], X + 1)


def test_several_arguments_at_once() -> None:
    def f(x: Any, y: Any, z: Any) -> Any:
        return (x * y * y).sum() * z["a"]

    slopes = grad(f, (0, 2))(X, X + 1, {"a": 3.0})
    assert type(slopes) is tuple
    close(slopes[0], 3 * (X + 1) ** 2)
    close(slopes[1]["a"], (X * (X + 1) ** 2).sum())
    (only,) = grad(f, [1])(X, X + 1, {"a": 3.0})
    close(only, 6 * X * (X + 1))
    first, last = grad(f, (-1, 0))(X, X + 1, {"a": 3.0})
    close(first["a"], slopes[1]["a"])
    close(last, slopes[0])
    jx, jy = jacobian(lambda x, y: x * y, (0, 1))(X, X + 1)
    close(jx, np.diag(X + 1))
    close(jy, np.diag(X))


def test_jacobian_of_structures_and_hvp_of_them() -> None:
    blocks = jacobian(lambda p: p["w"] @ p["x"])({"w": W, "x": X})
    close(blocks["x"], W)
    close(blocks["w"], np.einsum("ik,j->ikj", np.eye(2), X))

    def f(p: Any) -> Any:
        return (p["a"] ** 2).sum() * p["b"]

    product = hvp(f)({"a": X, "b": 2.0}, {"a": np.ones(3), "b": 1.0})
    close(product["a"], 2 * 2.0 * np.ones(3) + 2 * X)
    close(product["b"], 2 * X.sum())


def test_without_argnums_it_is_the_first_argument() -> None:
    def f(x: Any, y: Any) -> Any:
        return x**3 * y

    assert value_and_grad(f)(4.0, 2.0) == (128.0, 96.0)
    assert grad(f)(4.0, 2.0) == jacobian(f)(4.0, 2.0) == 96.0
    assert hessian(f)(4.0, 2.0) == hvp(f)(4.0, 2.0, 1.0) == 48.0


def test_other_arguments_pass_through() -> None:
    def f(x: Any, how: str, *, times: float) -> Any:
        assert how == "sum"
        return x.sum() * times

    close(grad(f)(X, "sum", times=3.0), np.full(3, 3.0))
    close(hvp(f)(X, "sum", X, times=3.0), np.zeros(3))
    close(vjp(lambda x, times: x * times, X, times=2.0)[1](X)[0], 2 * X)


# ------------------------------------------------------------------ dtypes
def test_float32_stays_to_second_order() -> None:
    x = X.astype(np.float32)

    def f(x: Any) -> Any:
        return (np.exp(x) * x * 2.0).sum()

    value, slope = value_and_grad(f)(x)
    assert np.result_type(value) == slope.dtype == np.float32
    assert hessian(f)(x).dtype == hvp(f)(x, x).dtype == np.float32
    assert jacobian(np.exp)(x).dtype == np.float32
    assert vjp(np.exp, x)[1](X)[0].dtype == np.float32
    assert grad(lambda x: 1.0)(x).dtype == np.float32
    np.testing.assert_allclose(slope, 2 * np.exp(X) * (1 + X), rtol=1e-5)


def test_the_jacobian_of_what_is_not_computed_has_its_dtype() -> None:
    x = np.ones(2, np.float32)
    for f in (lambda x: x, lambda x: {"a": x, "b": x * x}["a"]):
        assert jacobian(f)(x).dtype == np.float32
        np.testing.assert_array_equal(jacobian(f)(x), np.eye(2))


def test_an_array_of_no_dimensions_can_get_some() -> None:
    """Its gradient is an array too, which a rule may index."""
    for f in (lambda x: np.sum(x[None] ** 3), lambda x: x[..., None][0] ** 3):
        assert hessian(f)(np.array(2.0)) == 12.0
        assert jacobian(f)(np.array(2.0)) == 12.0


def test_numbers_stay_floats() -> None:
    for result in (
        grad(lambda x: x**3)(2),
        value_and_grad(np.exp)(2.0)[0],
        jacobian(np.exp)(2.0),
        hessian(np.exp)(2.0),
        hvp(np.exp)(2.0, 1.0),
        vjp(np.exp, 2.0)[1](1.0)[0],
    ):
        assert type(result) is float


# ------------------------------------------------------------------ blocks
def tree_loss(p: Any) -> Any:
    z = p["W"] @ p["b"]["inner"][0] + p["b"]["c"]
    return np.log(np.sum(np.exp(z))) * p["b"]["c"] ** 2


def tree() -> Any:
    rng = np.random.default_rng(0)
    return {"W": rng.standard_normal((2, 3)), "b": {"inner": [rng.standard_normal(3)], "c": 0.7}}


def test_the_hessian_of_a_structure_has_a_block_for_each_pair() -> None:
    p = tree()
    leaves = [leaf for _path, leaf in flatten(p)]
    ends = np.cumsum([np.size(leaf) for leaf in leaves])

    def of_one_array(flat: Any) -> Any:
        parts = [flat[e - np.size(x) : e] for e, x in zip(ends, leaves)]
        parts = [np.reshape(v, np.shape(x)) for v, x in zip(parts, leaves)]
        return tree_loss(unflatten(p, parts))

    whole = hessian(of_one_array)(np.concatenate([np.ravel(leaf) for leaf in leaves]))
    for found in (hessian(tree_loss)(p), jacobian(grad(tree_loss))(p)):
        rows = [row for _path, row in flatten(found)]
        for i, a in enumerate(leaves):
            for j, b in enumerate(leaves):
                block = rows[i * len(leaves) + j]
                wanted = whole[ends[i] - np.size(a) : ends[i], ends[j] - np.size(b) : ends[j]]
                assert np.shape(block) == np.shape(a) + np.shape(b)
                np.testing.assert_allclose(np.reshape(block, wanted.shape), wanted, atol=1e-12)
    assert found["W"]["b"]["c"].shape == (2, 3)
    assert type(found["b"]["c"]["b"]["c"]) is float


def test_the_hessian_of_several_arguments_has_a_block_for_each_pair() -> None:
    x, y = np.array([1.0, 2.0]), 3.0
    found = hessian(lambda x, y: np.sum(x**2) * y**2, (0, 1))(x, y)
    np.testing.assert_allclose(found[0][0], 2 * y**2 * np.eye(2))
    np.testing.assert_allclose(found[0][1], 4 * x * y)
    np.testing.assert_allclose(found[1][0], 4 * x * y)
    assert found[1][1] == pytest.approx(2 * np.sum(x**2))


def test_a_power_whose_exponent_is_zero() -> None:
    """∂²xʸ/∂x∂y = xʸ⁻¹(1 + y·log x), which is 1/x at y = 0; and x⁰ has slope 0 also at inf."""
    want = ((0.0, 0.5), (0.5, math.log(2.0) ** 2))
    for x, y in ((2.0, 0.0), (np.array(2.0), np.array(0.0))):
        np.testing.assert_allclose(hessian(lambda x, y: x**y, (0, 1))(x, y), want)
    for power in (0.0, np.zeros(3)):
        slope = grad(lambda x, power=power: np.sum(x**power))
        np.testing.assert_array_equal(slope(np.array([0.0, np.inf, -np.inf])), 0.0)


def test_the_jacobian_of_a_structure_has_that_structure() -> None:
    found = jacobian(lambda x: {"square": x**2, "list": [x.sum(), 1.0]})(np.array([1.0, 2.0]))
    np.testing.assert_array_equal(found["square"], [[2.0, 0.0], [0.0, 4.0]])
    np.testing.assert_array_equal(found["list"][0], [1.0, 1.0])
    np.testing.assert_array_equal(found["list"][1], [0.0, 0.0])


def test_the_jacobian_of_one_number_shares_no_memory() -> None:
    both = jacobian(lambda a, b: (a + b).sum(), (0, 1))(np.ones(2), np.ones(2))
    both[0][0] = 7.0
    np.testing.assert_array_equal(both[1], [1.0, 1.0])
    large = jacobian(lambda a: a.mean())(np.ones((70, 70)))
    large[0] = 1.0
    assert large[1, 0] == pytest.approx(1 / 4900)


def test_ragged_lists_of_numbers_are_structures() -> None:
    found = grad(lambda p: (p[0] * p[0]).sum() * p[1])([[1.0, 3.0], 2.0])
    np.testing.assert_array_equal(found[0], [4.0, 12.0])
    assert found[1] == 10.0
    regular = [[1.0, 3.0], [2.0, 0.0]]
    np.testing.assert_array_equal(grad(lambda p: (p * p).sum())(regular), 2 * np.array(regular))


# ------------------------------------------------------------------ errors
@pytest.mark.parametrize("transform", [grad, value_and_grad, jacobian, hessian, hvp])
def test_what_is_no_function_or_position_is_refused_before_a_call(transform: Any) -> None:
    with pytest.raises(TypeError, match="got float, wanted a function"):
        transform(3.0)
    with pytest.raises(TypeError, match="argnums: got 'x', wanted an int or several"):
        transform(np.exp, "x")


def test_what_a_transform_refuses() -> None:
    with pytest.raises(ValueError, match=r"f.s result of shape \(3,\)"):
        grad(lambda x: x * 2)(X)
    with pytest.raises(ValueError, match="argnums=2: got 2 positional"):
        grad(lambda x, y: x, 2)(1.0, 2.0)
    with pytest.raises(ValueError, match=r"argnums=\(0, -3\)"):
        grad(lambda x, y: x, (0, -3))(1.0, 2.0)
    with pytest.raises(ValueError, match=r"vjp: got g of shape \(2,\), wanted \(3,\)"):
        vjp(np.exp, X)[1](np.ones(2))
    for data in (1j, "text", None, np.array(["a"])):
        with pytest.raises(TypeError, match="argument 0: got"):
            grad(lambda x: x)(data)


def test_a_failing_rule_changes_no_grad() -> None:
    def raises(g: Any, out: Any, x: Any) -> Any:
        raise KeyError("in a rule")

    bad = primitive(raises, name="bad")(lambda x: 2.0 * x)
    w = Value(2.0)
    w.grad = 7.0
    with pytest.raises(KeyError):
        grad(lambda x: bad(x * w) * w)(1.0)
    assert w.grad == 7.0


@pytest.mark.slow
def test_graphs_of_transforms_are_freed_by_reference_counting() -> None:
    def f(p: Any) -> Any:
        return (np.tanh(p["w"] @ p["x"]) ** 2).sum()

    def run() -> None:
        params = {"w": W, "x": X}
        value_and_grad(f)(params)
        hvp(f)(params, params)
        hessian(lambda x: (x**3).sum())(X)
        jacobian(softmax)(X)
        vjp(np.exp, X)[1](X)

    gc.collect()
    gc.disable()
    try:
        before = sum(type(o) is Value for o in gc.get_objects())
        run()
        assert sum(type(o) is Value for o in gc.get_objects()) == before
    finally:
        gc.enable()


def test_grad_of_gives_the_gradient_as_a_graph_and_leaves_grad_alone() -> None:
    torch = need("torch")
    w, x = Value(W, name="w"), Value(X, name="x")
    value = loss(np, w, x)
    gw, gx = grad_of(value, [w, x])
    second = grad_of((gx * np.array([1.0, -2.0, 0.5])).sum(), w)
    assert w.grad is None is x.grad
    tw, tx = (torch.tensor(a, requires_grad=True) for a in (W, X))
    first = torch.autograd.grad(loss(torch, tw, tx), (tw, tx), create_graph=True)
    again = torch.autograd.grad((first[1] * torch.tensor([1.0, -2.0, 0.5])).sum(), tw)[0]
    np.testing.assert_allclose(gw.data, first[0].detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(gx.data, first[1].detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(second.data, again.numpy(), rtol=1e-11)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("f", [np.max, np.min, np.sinc, lambda x: x * np.float64([2.0, 1.0])])
def test_grad_of_has_the_dtype_of_what_it_is_by(f: Any, dtype: Any) -> None:
    """Though a rule computes with float64, as with numbers of entries."""
    x = Value(np.array([0.25, 0.5], dtype))
    slope = grad_of(np.sum(f(x)), x)
    assert slope.dtype == x.dtype
    assert grad_of(slope.sum(), x).dtype == x.dtype
    wide = Value(x.data.astype(float))
    np.testing.assert_allclose(slope.data, grad_of(np.sum(f(wide)), wide).data, rtol=2e-3)


@pytest.mark.parametrize(
    ("shape", "ops"),
    [
        ((2, 3), []),
        ((1, 3), ["sum"]),
        ((2, 1), ["sum"]),
        ((3,), ["sum"]),
        ((1,), ["sum", "reshape"]),
    ],
)
def test_a_graph_of_a_gradient_undoes_broadcasting_in_as_few_nodes_as_it_takes(
    shape: tuple[int, ...], ops: list[str]
) -> None:
    x, b = Value(np.ones((2, 3))), Value(np.ones(shape))
    db = grad_of((x * b).sum(), b)
    np.testing.assert_array_equal(db.data, np.full(shape, 6.0 / b.size))
    assert [node.op.name for node in topological(db) if node.op][2:] == ops


def test_grad_of_interior_nodes_unreached_ones_and_seeds() -> None:
    x, other = Value(2.0), Value([1.0, 2.0])
    square = x * x
    assert grad_of(square * 3.0, square).data == 3.0
    np.testing.assert_array_equal(grad_of(square, other).data, [0.0, 0.0])
    assert grad_of(square, x, gradient=10.0).data == 40.0
    with pytest.raises(TypeError, match="got float, wanted Values"):
        grad_of(1.0, x)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"starts from a scalar, this is a node of shape \(2,\)"):
        grad_of(other, x)


def test_gradients_of_several_arguments_can_be_written_into_one_by_one() -> None:
    x, y, big = np.ones(3), np.ones((3, 1)), np.ones((100, 100))
    f = lambda x, y, z: np.sum((x + y.reshape(3)) ** 2) + np.sum(x + z)
    for found in (grad(f, (0, 1, 2))(x, y, x), vjp(f, x, y, x)[1](1.0)):
        for i, g in enumerate(found):
            assert g.flags.writeable
            assert not any(np.shares_memory(g, other) for other in found[:i])
    assert grad(np.sum)(big).flags.writeable
    (pulled,) = vjp(lambda x: x, x)[1](seed := np.arange(3.0))
    pulled += 1.0
    assert seed.tolist() == [0.0, 1.0, 2.0]


def test_a_result_that_is_a_plain_number_or_truth_has_no_gradient() -> None:
    for f in (lambda x: 5, lambda x: np.allclose(x, x), lambda x: np.imag(x).sum()):
        np.testing.assert_array_equal(grad(f)(np.ones(2)), [0.0, 0.0])
