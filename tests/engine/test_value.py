"""Value: its operators, NumPy's functions on it, and that no gradient is lost in silence."""

from __future__ import annotations

import copy
import math
import operator
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import need

import tinygrad_ce as tg
from tinygrad_ce import (
    MLP,
    SGD,
    Adam,
    StaleGraphError,
    Value,
    cross_entropy,
    draw,
    fuse,
    grad,
    grad_of,
    gradcheck,
    hessian,
    program,
    step_through,
)  # fmt: skip
from tinygrad_ce.engine.ops import DIVIDE, MULTIPLY, SUBTRACT

A = np.array([[0.5, 1.5, 2.5], [3.5, 0.25, 1.25]])
B = np.array([2.0, 0.75, 1.75])


def plain(x: Any) -> Any:
    return x.data if isinstance(x, Value) else x


def same(got: Any, wanted: Any) -> None:
    """A Value holding what NumPy gives for the data: entries, shape and dtype."""
    assert isinstance(got, Value)
    np.testing.assert_array_equal(got.data, wanted)
    assert got.shape == np.shape(wanted)
    assert got.dtype == np.result_type(wanted)


# ------------------------------------------------------------------ operators
BINARY = [
    operator.add, operator.sub, operator.mul, operator.truediv, operator.pow,
    np.add, np.subtract, np.multiply, np.divide, np.power, np.maximum, np.minimum, np.logaddexp,
]  # fmt: skip
OTHERS = [2.0, 3, True, np.float64(2.0), np.float64(3.0), np.int64(3), B, A.astype(np.float32)]


@pytest.mark.parametrize("f", BINARY, ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    "other", [*OTHERS, np.array(2.0), np.float32(2.0), [1.0, 2.0, 3.0]], ids=repr
)
@pytest.mark.parametrize("data", [A, B[:1], 1.5], ids=["matrix", "one entry", "float"])
def test_binary_with_anything_on_either_side(f: Any, other: Any, data: Any) -> None:
    given = Value(data)
    if isinstance(other, np.float32) and not np.ndim(data):
        data = np.float64(data)  # as a number that is a sum
    same(f(given, other), f(data, np.asarray(other) if isinstance(other, list) else other))
    same(f(other, given), f(np.asarray(other) if isinstance(other, list) else other, data))
    if not isinstance(other, list | bool | int | np.int64):
        same(f(given, Value(other)), f(data, other))


@pytest.mark.parametrize("factor", [np.float32(0.1), np.array(0.1, np.float32), np.float16(0.1)])
def test_a_sum_of_float64_beside_a_number_of_less_precision(factor: Any) -> None:
    """As in NumPy; its gradient, too."""
    for f in (lambda x: (x * x).sum() * factor, lambda x: factor * (x * x).sum() - factor):
        x = Value(A)
        f(x).backward()
        assert f(x).dtype == np.float64
        assert f(x).data == pytest.approx(f(A), rel=1e-15)
        np.testing.assert_allclose(x.grad, 2 * A * float(factor), rtol=1e-15)
    small = Value(A.astype(np.float32))
    assert (small.sum() * 0.1).dtype == (small.sum() * factor).dtype == np.float32


@pytest.mark.parametrize("f", [operator.neg, operator.pos, operator.abs], ids=lambda f: f.__name__)
def test_unary(f: Any) -> None:
    same(f(Value(A - 1)), f(A - 1))
    assert f(Value(-1.5)).data == f(-1.5)


def test_matmul_with_arrays_on_either_side() -> None:
    for got in (Value(A) @ B, A @ Value(B), Value(A) @ Value(B), np.matmul(A, Value(B))):
        same(got, A @ B)
    with pytest.raises(ValueError, match=r"matmul of \(2, 3\), A \(2, 3\)"):
        Value(A) @ A


def test_reflected_operators_keep_their_order() -> None:
    v = Value(4.0)
    assert ((2.0 - v).data, (2.0 / v).data, (2.0**v).data) == (-2.0, 0.5, 16.0)
    assert (2.0 - v).parents == (2.0, v)
    assert (v - 2.0).parents == (v, 2.0)
    assert [n.op for n in (2.0 - v, 2.0 / v, 2.0 * v)] == [SUBTRACT, DIVIDE, MULTIPLY]


def test_power_of_a_negative_base_and_of_zero() -> None:
    v = Value(-2.0)
    (v**3).backward()
    assert v.grad == 12.0
    v = Value(np.array([-2.0, 0.0]))
    (v**2.0).sum().backward()
    np.testing.assert_array_equal(v.grad, [-4.0, 0.0])
    for zero in (0.0, np.array(0.0)):
        x, y = Value(zero), Value(zero)
        z = x**y
        z.backward()
        assert (z.data, x.grad, y.grad) == (1.0, 0.0, 0.0)
    x = Value(0.0)
    (x**1).backward()
    assert x.grad == 1.0
    with pytest.warns(RuntimeWarning):
        assert math.isnan((Value(-2.0) ** 0.5).data)  # real, not Python's complex number
    x, y = Value(-2.0), Value(2.0)
    with pytest.warns(RuntimeWarning):  # log of a negative number, as in PyTorch nan
        (x**y).backward()
    assert x.grad == -4.0
    assert math.isnan(y.grad)


@pytest.mark.parametrize("wrap", [float, np.array, lambda x: np.array([x])])
def test_division_by_zero_is_numpys(wrap: Any) -> None:
    one, zero = Value(wrap(1.0)), Value(wrap(0.0))
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        z = one / zero
    assert z.data == np.inf
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        z.backward()
    assert (one.grad, zero.grad) == (np.inf, -np.inf)
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        assert np.log(zero).data == -np.inf
    with pytest.warns(RuntimeWarning, match="overflow"):
        assert np.exp(Value(wrap(1000.0))).data == np.inf


def test_equality_compares_data() -> None:
    v, w = Value(1.0), Value(1.0)
    assert (v == w) is np.True_  # as NumPy's, whose ~ is not that of 1
    assert (v != w) is np.False_
    assert v == 1.0 == v
    assert v != 2
    assert [v, w] == [1.0, 1.0]
    assert w in [v]
    assert [Value(0.0), v].index(w) == 1
    for other in (None, "1.0"):
        assert (v == other, v != other, Value(A) == other) == (False, True, False)
    for equal in (Value(A) == A, Value(A) == A, Value(A) == Value(A), np.equal(Value(A), A)):
        np.testing.assert_array_equal(equal, np.ones((2, 3), bool))
    np.testing.assert_array_equal(Value(B) != 2.0, [False, True, True])
    with pytest.raises(ValueError, match="ambiguous"):
        Value(A) in [Value(A)]  # noqa: B015 - as in NumPy


def test_equality_has_no_gradient_and_takes_the_right_branch() -> None:
    def f(x: Any) -> Any:
        return np.sum(x * (x == 2.0))

    def branch(x: Any) -> Any:
        return x if x == 2.0 else 3.0 * x

    x = np.array([1.0, 2.0, 2.0])
    assert f(Value(x)).data == f(x) == 4.0
    np.testing.assert_array_equal(grad(f)(x), [0.0, 1.0, 1.0])
    assert (grad(branch)(2.0), grad(branch)(1.0)) == (1.0, 3.0)


def test_values_are_keys_by_identity() -> None:
    v, w = Value(1.0), Value(1.0)
    assert {v: "v", w: "w"}[w] == "w"
    assert len({v, w}) == 2


def test_the_package_asks_for_identity_not_for_equality(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """None of its parts compares Values: with arrays that would be many truths, not one."""
    monkeypatch.setattr(Value, "__eq__", None)
    monkeypatch.setattr(Value, "__ne__", None)
    z, t = Value(A.copy(), name="z"), np.eye(2, 3)
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    loss = -(t * np.log(p)).sum()
    loss.backward()
    draw(loss, fused=fuse(loss), gradients="edges").save(tmp_path / "graph.dot")
    assert len(step_through(loss)) > len(step_through(z.sum()))
    pickle.loads(pickle.dumps((loss, z)))
    copy.deepcopy(loss)
    assert gradcheck(lambda z: cross_entropy(z, t), A)
    hessian(lambda z: cross_entropy(z, t))(A)
    program(lambda z: cross_entropy(z, t), A, fuse=True)(A)
    assert grad_of(loss, z).shape == z.shape
    for optimizer in (SGD([z], lr=0.1), Adam([z])):
        optimizer.step()
    Adam(MLP(3, [2, 2], rng=0).parameters())


@pytest.mark.parametrize("f", [operator.lt, operator.le, operator.gt, operator.ge])
def test_comparisons_are_plain(f: Any) -> None:
    for other in (1.5, np.float64(1.5), A, B):
        for got, wanted in ((f(Value(A), other), f(A, other)), (f(other, Value(A)), f(other, A))):
            assert type(got) is np.ndarray
            np.testing.assert_array_equal(got, wanted)
    assert f(Value(1.0), Value(2.0)) is np.bool_(f(1.0, 2.0))
    assert f(2, Value(2.0)) is np.bool_(f(2, 2.0))


@pytest.mark.parametrize("f", [operator.iadd, operator.isub, operator.imul, operator.itruediv])
def test_in_place_operators_rebind(f: Any) -> None:
    data = A.copy()
    v = Value(data)
    w = f(v, 2.0)
    assert w is not v
    assert v.data is data
    np.testing.assert_array_equal(data, A)
    w.sum().backward()
    assert v.grad is not None


# ------------------------------------------------------------------ nothing lost in silence
def put(array: Any, v: Any) -> None:
    array[0] = v


def add_into(array: Any, v: Any) -> None:
    array += v


LOSSES: list[tuple[str, Callable[[Value], Any], str]] = [
    ("float", float, r"v\.data"),
    ("int", int, r"v\.data"),
    ("complex", complex, r"v\.data"),
    ("math.exp", math.exp, r"np\.exp"),
    ("math.log", math.log, r"np\.exp"),
    ("np.asarray", np.asarray, r"v\.data"),
    ("np.array of a list", lambda v: np.array([v, v]), r"np\.stack"),
    ("np.asarray of a list", lambda v: np.asarray([v]), r"np\.stack"),
    ("np.float64", np.float64, r"v\.data"),
    ("array += v", lambda v: add_into(np.zeros(2), v), r"a = a \+ v"),
    ("out=", lambda v: np.add(np.ones(2), v, out=np.zeros(2)), r"a = a \+ v"),
    ("out= a Value", lambda v: np.add(1.0, 2.0, out=v), r"a = a \+ v"),
    ("sum(out=)", lambda v: np.sum(v, out=np.zeros(())), "'out'"),
    ("list index", lambda v: [1, 2][v], r"int\(v\.data\)"),
    ("range", range, r"int\(v\.data\)"),
    ("Value index", lambda v: Value(A)[v], r"v\[i\.data\]"),
    ("Value index in a tuple", lambda v: Value(A)[0, v], r"v\[i\.data\]"),
    ("Value(v)", Value, r"Value\(value\.data\)"),
    ("where a rule is missing", lambda v: np.where(v, 1.0, 2.0), r"v\.data"),
    ("as indices", lambda v: np.take_along_axis(Value(B), v, 0), r"v\.data"),
]


@pytest.mark.parametrize(("do", "instead"), [row[1:] for row in LOSSES], ids=[r[0] for r in LOSSES])
def test_a_gradient_is_never_lost_in_silence(do: Callable[[Value], Any], instead: str) -> None:
    with pytest.raises(
        (TypeError, NotImplementedError) if not instead else TypeError, match=instead
    ):
        do(Value(1.0))


@pytest.mark.parametrize("data", [A, B, B[:1]])
def test_conversions_of_a_tensor_raise(data: Any) -> None:
    v = Value(data)
    for do in (float, int, bool, np.asarray, math.exp, lambda v: np.array([v, v])):
        with pytest.raises(TypeError, match=r"v\.data"):
            do(v)
    with pytest.raises(TypeError):
        add_into(data.copy(), v)


def test_truth_of_a_number() -> None:
    assert Value(2.0)
    assert not Value(0.0)
    assert not Value(np.array(0.0))
    with pytest.raises(TypeError, match=r"shape \(3,\).*v\.data\.any"):
        bool(Value(B))


def test_a_function_without_a_rule_says_how_to_add_one() -> None:
    for f in (np.i0, np.unwrap, np.fft.fft):
        with pytest.raises(NotImplementedError, match=f"{f.__name__}.*primitive"):
            f(Value(A))
    with pytest.raises(NotImplementedError, match=r"logaddexp\.reduce"):
        np.logaddexp.reduce(Value(B))
    for option in ({"where": B > 1}, {"dtype": np.float32}):
        with pytest.raises(TypeError, match=next(iter(option))):
            np.exp(Value(B), **option)


# ------------------------------------------------------------------ how it reads
def test_format_and_repr() -> None:
    assert f"{Value(math.pi):.4f}" == "3.1416"
    assert f"{Value(np.array(math.pi)):.4f}" == "3.1416"
    assert f"{Value(np.float32(2)):.1f}" == "2.0"
    assert f"{Value(B):.1f}" == "[2.0 0.8 1.8]"
    assert f"{Value(1.5)}" == "1.5"
    assert repr(Value(1.0)) == "Value(1.0)"
    assert repr(Value([1.0, 2.0], name="w")) == "Value(array([1., 2.]), name='w')"
    v = Value(2.0)
    (v * v).backward()
    assert repr(v) == "Value(2.0, grad=4.0)"
    assert str(v) == repr(v)


def test_length_and_iteration() -> None:
    v = Value(A)
    assert len(v) == 2
    first, second = v
    same(first, A[0])
    (first * 2.0 + second).sum().backward()
    np.testing.assert_array_equal(v.grad, [[2.0] * 3, [1.0] * 3])
    for do in (len, list, iter):
        with pytest.raises(TypeError, match="scalar"):
            do(Value(1.0))


# ------------------------------------------------------------------ data and dtypes
@pytest.mark.parametrize("x", [2, 2.0, True, np.float64(2), np.int32(2), np.bool_(True)])
def test_a_number_is_a_python_float(x: Any) -> None:
    v = Value(x)
    assert type(v.data) is float
    assert v.data == float(x)
    assert (v.shape, v.ndim, v.size, v.dtype) == ((), 0, 1, np.float64)
    assert type((v * v + 3).data) is float


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_floating_dtypes_stay(dtype: Any) -> None:
    data = A.astype(dtype)
    v = Value(data)
    assert v.data is data
    out = np.exp(2.0 * v / 3 + 1) * np.float64(2.0)
    assert out.dtype == dtype  # a constant number never widens
    out.sum().backward()
    assert v.grad.dtype == out.grad.dtype == dtype
    w = Value(data.astype(np.longdouble))
    (w * v).sum().backward(np.longdouble(1))
    assert v.grad.dtype == dtype
    scalar = Value(dtype(2))
    assert scalar.dtype == dtype
    (scalar * scalar).backward()
    assert np.result_type(scalar.grad) == dtype


@pytest.mark.parametrize("data", [[1, 2], np.array([1, 2], np.uint8), [True, False]])
def test_integers_and_booleans_become_float64(data: Any) -> None:
    v = Value(data)
    assert v.dtype == np.float64
    np.testing.assert_array_equal(v.data, np.asarray(data, float))


@pytest.mark.parametrize(
    "data", [1j, [1j], "a", None, [None], ["1"], {}, np.datetime64("2020-01-01")]
)
def test_other_data_are_refused_with_their_dtype(data: Any) -> None:
    with pytest.raises(TypeError, match=re.escape(f"got {np.asarray(data).dtype}")):
        Value(data)
    with pytest.raises(TypeError, match=re.escape(f"got {np.asarray(data).dtype}")):
        np.multiply(Value(1.0), data)


def test_ragged_data_are_refused() -> None:
    with pytest.raises(ValueError, match="inhomogeneous"):
        Value([[1.0], [1.0, 2.0]])


def test_setting_data() -> None:
    v = Value(A.astype(np.float32), name="w")
    number = v.number
    v.data = A
    assert v.dtype == np.float32
    assert v.number > number
    v.data -= 0.5
    np.testing.assert_array_equal(v.data, (A - 0.5).astype(np.float32))
    v.data = Value(A + 1)  # detached: the leaf stays a leaf
    assert v.op is None
    with pytest.raises(ValueError, match=r"got shape \(3,\), wanted \(2, 3\)"):
        v.data = B
    with pytest.raises(TypeError, match="complex128"):
        v.data = A * 1j
    with pytest.raises(StaleGraphError, match="result of exp"):
        np.exp(v).data = A
    scalar = Value(1.0)
    scalar.data = 2
    assert type(scalar.data) is float
    scalar.data = np.array(3.0)
    assert scalar.data == 3.0
    (scalar * scalar).backward()
    assert scalar.grad == 6.0


def test_no_other_attributes() -> None:
    with pytest.raises(AttributeError):
        Value(1.0).gradient = 1.0  # type: ignore[attr-defined]


def test_a_graph_survives_pickling_with_its_options_and_what_it_keeps() -> None:
    z = Value(A, name="z")
    loss = np.where(A > 1, z, z * z).sum(axis=1).mean() + cross_entropy(z, [0, 2])
    loss.backward()
    again, leaf = pickle.loads(pickle.dumps((loss, z)))
    assert [n.options for n in tg.topological(again)] == [n.options for n in tg.topological(loss)]
    assert (again.data, again.passes, leaf.passes, leaf.name) == (loss.data, 1, 1, "z")
    leaf.grad = None
    again.backward()
    np.testing.assert_array_equal(leaf.grad, z.grad)
    leaf.data[0] = 9.0
    with pytest.raises(StaleGraphError, match="z of shape"):
        again.backward()


TWICE = {"copied": copy.deepcopy, "pickled": lambda x: pickle.loads(pickle.dumps(x))}


@pytest.mark.parametrize("twice", TWICE.values(), ids=TWICE)
def test_results_that_are_pickled_together_stay_one_graph(twice: Any) -> None:
    x = Value(A)
    y = np.exp(x)
    z = (y * x).sum()
    for order in ((0, 1, 2), (2, 1, 0)):
        found = twice([(x, y, z)[i] for i in order])
        leaf, inner, loss = (found[order.index(i)] for i in range(3))
        loss.backward()
        np.testing.assert_allclose(inner.grad, A)
        np.testing.assert_allclose(leaf.grad, np.exp(A) * (1.0 + A))
        assert inner.parents[0] is leaf
    assert x.grad is y.grad is None
    chain = [x]
    for _ in range(200):
        chain.append(chain[-1] + 1.0)
    assert len(pickle.dumps(chain)) < 10 * len(pickle.dumps(chain[-1]))


def test_a_shallow_copy_of_a_result_rests_on_the_same_leaves() -> None:
    x = Value(A)
    y = np.exp(x)
    again = copy.copy(y)
    assert again is not y
    again.sum().backward()
    np.testing.assert_allclose(x.grad, np.exp(A))


@pytest.mark.parametrize("twice", [copy.copy, copy.deepcopy])
def test_a_copy_of_a_variable_keeps_its_gradient(twice: Any) -> None:
    """In a transform and in a program; of a leaf by itself it is another leaf, as in PyTorch."""

    def f(x: Any) -> Any:
        return np.sum(twice(x) ** 3 + twice(x * 2.0) ** 2)

    def of_parts(p: Any) -> Any:
        return np.sum(twice(p)["w"] ** 2)

    slope = 3 * A**2 + 8 * A
    np.testing.assert_allclose(tg.grad(f)(A), slope)
    np.testing.assert_allclose(tg.program(f, A)(A)[1], slope)
    np.testing.assert_allclose(tg.grad(of_parts)({"w": A})["w"], 2 * A)
    assert tg.grad(tg.grad(f))(2.0) == 6 * 2.0 + 8.0
    np.testing.assert_allclose(tg.jacobian(lambda x: twice(x) * x)(B), np.diag(2 * B))
    with pytest.raises(pickle.PicklingError, match="variable of a transform"):
        tg.grad(lambda x: pickle.loads(pickle.dumps(x)) * x)(1.0)
    w = Value(B)
    twice(w).data = A[0]
    np.testing.assert_array_equal(w.data, B)


def test_a_leaf_survives_pickling() -> None:
    v = pickle.loads(pickle.dumps(Value(B, name="b")))
    np.testing.assert_array_equal(v.data, B)
    assert v.name == "b"


@tg.primitive(lambda g, out, x: g * 3.0 * x**2)
def cubed(x: Any) -> Any:
    return x * x * x


def test_a_decorated_operation_is_pickled_by_its_name() -> None:
    x = Value(2.0)
    again, leaf = pickle.loads(pickle.dumps((cubed(x), x)))
    assert again.op is cubed
    again.backward()
    assert leaf.grad == 12.0


# ------------------------------------------------------------------ NumPy's functions
def test_a_call_with_too_many_or_too_few_arguments() -> None:
    with pytest.raises(TypeError, match="max: got an unexpected keyword argument 'out'"):
        Value(A).max(0, np.empty(3))
    with pytest.raises(TypeError, match="where: missing a required argument"):
        np.where(Value(A))


UNARY = [
    np.negative, np.positive, np.exp, np.log, np.log1p, np.expm1, np.sqrt, np.square, np.abs,
    np.absolute, np.tanh, np.transpose, np.squeeze,
]  # fmt: skip


@pytest.mark.parametrize("f", UNARY, ids=lambda f: f.__name__)
@pytest.mark.parametrize("data", [A, A[:, :1], A[:0], 1.5, np.array(1.5), A.T.astype(np.float32)])
def test_unary_functions(f: Any, data: Any) -> None:
    got = f(Value(data))
    np.testing.assert_allclose(got.data, f(data), rtol=1e-15)
    assert got.shape == np.shape(f(data))
    assert got.dtype == np.result_type(f(data))


@pytest.mark.parametrize("name", ["sum", "mean", "max", "min"])
@pytest.mark.parametrize("axis", [None, 0, -1, (0, 1), (-1, 0), ()])
@pytest.mark.parametrize("keepdims", [False, True])
def test_reductions_as_functions_and_methods(name: str, axis: Any, keepdims: bool) -> None:
    f = getattr(np, name)
    wanted = f(A, axis=axis, keepdims=keepdims)
    same(f(Value(A), axis=axis, keepdims=keepdims), wanted)
    same(f(Value(A), axis, keepdims=keepdims), wanted)
    same(getattr(Value(A), name)(axis=axis, keepdims=keepdims), wanted)
    same(getattr(Value(A), name)(axis, keepdims=keepdims), wanted)


def test_the_old_names_of_extrema() -> None:
    same(np.amax(Value(A), axis=0), A.max(axis=0))
    same(np.amin(Value(A), axis=0), A.min(axis=0))
    same(np.amax(Value(A), where=A < 0.0, initial=-9.0), A.max(where=A < 0.0, initial=-9.0))


METHODS: dict[str, Callable[[Any], Any]] = {
    "T": lambda x: x.T,
    "reshape(3, 2)": lambda x: x.reshape(3, 2),
    "reshape((3, 2))": lambda x: x.reshape((3, 2)),
    "reshape(-1)": lambda x: x.reshape(-1),
    "reshape([6])": lambda x: x.reshape([6]),
    "transpose()": lambda x: x.transpose(),
    "transpose(1, 0)": lambda x: x.transpose(1, 0),
    "transpose((-1, 0))": lambda x: x.transpose((-1, 0)),
    "swapaxes(0, -1)": lambda x: x.swapaxes(0, -1),
    "flatten()": lambda x: x.flatten(),
    "squeeze()": lambda x: x[:, :1].squeeze(),
    "squeeze(axis)": lambda x: x[:, :1].squeeze(axis=1),
    "clip": lambda x: x.clip(1.0, 2.0),
    "clip(min=)": lambda x: x.clip(min=1.0),
    "dot": lambda x: x.dot(B),
    "size": lambda x: x * x.size,
    "ndim": lambda x: x * x.ndim,
}


@pytest.mark.parametrize("name", METHODS)
def test_methods_of_ndarray(name: str) -> None:
    same(METHODS[name](Value(A)), METHODS[name](A))


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "where": lambda x: np.where(A > 1, x, 0.0),
    "where, both": lambda x: np.where(A > 1, x, x[0]),
    "where, other side": lambda x: np.where(A > 1, 0.0, x),
    "reshape": lambda x: np.reshape(x, (3, 2)),
    "reshape to -1": lambda x: np.reshape(x, (3, -1)),
    "transpose(axes)": lambda x: np.transpose(x, (1, 0)),
    "swapaxes": lambda x: np.swapaxes(x, 0, 1),
    "swapaxes by name": lambda x: np.swapaxes(x, axis1=0, axis2=1),
    "expand_dims": lambda x: np.expand_dims(x, (0, -1)),
    "squeeze": lambda x: np.squeeze(np.expand_dims(x, 1), axis=1),
    "broadcast_to": lambda x: np.broadcast_to(x, (4, 2, 3)),
    "broadcast_to(shape=)": lambda x: np.broadcast_to(x, shape=(4, 2, 3)),
    "maximum": lambda x: np.maximum(B, x),
    "minimum": lambda x: np.minimum(x, 1.0),
    "logaddexp": lambda x: np.logaddexp(0.0, x),
    "matmul": lambda x: np.matmul(x, B),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_numpy(name: str) -> None:
    same(FUNCTIONS[name](Value(A)), FUNCTIONS[name](A))


PLAIN = [
    np.isnan, np.isinf, np.isfinite, np.sign, np.signbit, np.argmax, np.argmin, np.argsort,
    np.shape, np.ndim, np.size, np.zeros_like, np.ones_like, np.count_nonzero,
]  # fmt: skip


@pytest.mark.parametrize("f", PLAIN, ids=lambda f: f.__name__)
def test_functions_without_a_gradient_are_plain(f: Any) -> None:
    got = f(Value(A))
    assert not isinstance(got, Value)
    np.testing.assert_array_equal(got, f(A))


def test_scalar_functions_are_methods() -> None:
    x = Value(0.5)
    for f in (math.exp, math.log, math.tanh, math.sqrt):
        assert getattr(x, f.__name__)().data == f(0.5)
    assert x.sigmoid().data == pytest.approx(1 / (1 + math.exp(-0.5)), rel=1e-15)
    assert (x.relu().data, Value(-0.5).relu().data) == (0.5, 0.0)
    assert all(type(y.data) is float for y in (x.exp(), x.relu(), x.sigmoid(), x.tanh()))


@pytest.mark.parametrize("data", [-0.0, np.array(-0.0)])
def test_relu_of_minus_zero_is_zero_without_the_sign(data: Any) -> None:
    assert np.copysign(1.0, Value(data).relu().data) == 1.0


# ------------------------------------------------------------------ indexing
BIG = np.arange(24.0).reshape(2, 3, 4)
MASK = BIG % 5 < 2
INDICES: dict[str, Any] = {
    "integer": 1,
    "negative": -1,
    "NumPy integer": np.int64(1),
    "slice": slice(None, None, 2),
    "tuple": (0, slice(1, None), -1),
    "Ellipsis": (..., 1),
    "new axis": (None, 0, ..., None),
    "all": ...,
    "empty tuple": (),
    "list, repeated": [0, 1, 1, 0],
    "array, repeated": (slice(None), np.array([2, 0, 2])),
    "arrays, repeated": (np.array([0, 0, 1]), np.array([2, 2, 0]), np.array([1, 1, 1])),
    "arrays, broadcast": (np.array([[0], [1]]), np.array([0, 2, 2])),
    "mixed": (0, [1, 1, -1], slice(None, 2)),
    "apart": ([0, 1, 1], slice(None), [3, 3, 0]),
    "mask": MASK,
    "mask of rows": np.array([True, False]),
    "mask of a column": (slice(None), np.array([True, False, True])),
    "mask and array": (np.array([True, True]), [1, 1]),
    "new axis and array": (None, [1, 1]),
    "nothing": slice(0, 0),
    "True": True,
}


@pytest.mark.parametrize("name", INDICES)
def test_indexing_as_pytorch(name: str, rng: np.random.Generator) -> None:
    torch = need("torch")
    index = INDICES[name]
    v = Value(BIG)
    picked = v[index]
    same(picked, BIG[index])
    g = rng.normal(size=picked.shape)
    picked.backward(g)
    t = torch.tensor(BIG, requires_grad=True)
    torch_index = tuple(
        torch.from_numpy(i)
        if isinstance(i, np.ndarray)
        else int(i)
        if isinstance(i, np.integer)
        else i
        for i in (index if isinstance(index, tuple) else (index,))
    )
    if name == "slice":
        t[::2].backward(torch.from_numpy(g))
    else:
        t[torch_index].backward(torch.from_numpy(np.asarray(g)))
    np.testing.assert_allclose(v.grad, t.grad.numpy(), rtol=1e-14)


def test_indexing_a_scalar_and_out_of_range() -> None:
    same(Value(2.0)[None], np.array([2.0]))
    with pytest.raises(IndexError, match=r"getitem of w \(3,\)"):
        Value(B, name="w")[3]
    with pytest.raises(IndexError, match="getitem"):
        Value(2.0)[0]


# ------------------------------------------------------------------ gradients belong to one node
def test_gradients_do_not_share_memory() -> None:
    x, y = Value(A), Value(A + 1)
    z = x + y
    seed = np.ones((2, 3))
    z.backward(seed)
    x.grad *= 2
    z.grad *= 5
    np.testing.assert_array_equal(y.grad, np.ones((2, 3)))
    np.testing.assert_array_equal(x.grad, 2 * np.ones((2, 3)))
    np.testing.assert_array_equal(seed, np.ones((2, 3)))


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x,
        lambda x: +x,
        lambda x: x.reshape(3, 2),
        lambda x: x.T,
        lambda x: x + x.sum(axis=0),
        lambda x: np.broadcast_to(x, (2, 3)),
        lambda x: x[:],
        lambda x: np.where(A > 1, x, x),
        lambda x: np.concatenate([x, x]),
    ],
)
def test_gradient_is_no_view_of_the_seed(f: Any) -> None:
    x = Value(A)
    out = f(x)
    seed = np.ones(out.shape)
    out.backward(seed)
    assert x.grad.flags.writeable
    assert not np.shares_memory(x.grad, seed)
    assert out is x or not np.shares_memory(x.grad, out.grad)
    assert not np.shares_memory(x.grad, x.data)


def test_gradient_of_a_sum_is_writeable() -> None:
    x = Value(A)
    x.sum().backward()
    x.grad *= 0.5
    np.testing.assert_array_equal(x.grad, np.full((2, 3), 0.5))


def test_detach() -> None:
    v = Value(A)
    assert tg.detach(v) is v.data
    assert tg.detach(2.0) == 2.0


def test_a_memmap_is_an_array_like_any_other(tmp_path: Path) -> None:
    X = np.memmap(tmp_path / "X", float, "w+", shape=(3, 4))
    X[:] = np.random.default_rng(0).standard_normal(X.shape)
    x, y = np.array(X), np.array([0, 3, 1])
    got, wanted = Value(X), Value(x)
    assert type(got.data) is np.ndarray
    cross_entropy(got, y).backward()
    cross_entropy(wanted, y).backward()
    np.testing.assert_array_equal(got.grad, wanted.grad)
    np.testing.assert_array_equal((Value(x) * X).data, x * x)
    run = program(lambda z: cross_entropy(z, y), X)
    np.testing.assert_array_equal(run(X)[1], run(x)[1])
    got.data -= 1.0  # written where it came from
    np.testing.assert_array_equal(X, x - 1.0)


WITHOUT_DERIVATIVE: dict[str, Callable[[Any], Any]] = {
    "any": np.any,
    "all": lambda x: np.all(x > 0, axis=0),
    "round": np.round,
    "round to digits": lambda x: np.round(x, decimals=1),
    "rint": np.rint,
    "floor": np.floor,
    "ceil": np.ceil,
    "trunc": np.trunc,
    "isin": lambda x: np.isin(x, [1.5]),
    "isin, second": lambda x: np.isin([1.5, 2.0], x),
    "searchsorted": lambda x: np.searchsorted([0.0, 1.0, 2.0], x),
    "digitize": lambda x: np.digitize(x, [0.0, 1.0]),
    "lexsort": lambda x: np.lexsort((x[0], x[1])),
    "argpartition": lambda x: np.argpartition(x, 1),
    "//": lambda x: x // 2.0,
    "// by it": lambda x: 2.0 // x,
    "floor_divide": lambda x: np.floor_divide(x, 2.0),
    "nanargmax": np.nanargmax,
    "array2string": np.array2string,
    "isposinf": np.isposinf,
    "iscomplexobj": np.iscomplexobj,
    "isrealobj": np.isrealobj,
    "shares_memory": lambda x: np.shares_memory(x, A),
    "diag_indices_from": lambda x: np.diag_indices_from(x[:, :2]),
    "tril_indices_from": np.tril_indices_from,
    "matrix_rank": np.linalg.matrix_rank,
    "x.any()": lambda x: x.any(),
    "x.all()": lambda x: x.all(axis=0),
    "x.argmax()": lambda x: x.argmax(axis=1),
    "x.argmin()": lambda x: x.argmin(),
    "x.round()": lambda x: x.round(1),
    "round(x.sum())": lambda x: round(x.sum(), 1),
}


@pytest.mark.parametrize("f", WITHOUT_DERIVATIVE.values(), ids=WITHOUT_DERIVATIVE)
def test_functions_that_have_no_derivative_work_on_data(f: Any) -> None:
    got, wanted = f(Value(A)), f(A)
    assert type(got) is type(wanted)
    np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.where(~(x.sum() > 1.0), x, 2.0 * x).sum(),
        lambda x: x[1] * ~(x[0] > 0.3),
        lambda x: x[1] * ((x[0] > 0) + (x[1] > 0)),
        lambda x: (x * ~(x.sum() == 1.0)).sum(),
        lambda x: x[1] * (x[0] == 1.5).all(),
        lambda x: x[1] * (x[0] // 2).sum(),
        lambda x: x[1] * (x[0] // 0.5),
    ],
)
def test_a_comparison_of_numbers_is_numpys(f: Any) -> None:
    x = np.array([1.5, 2.0, 3.0])
    assert f(Value(x)).data == f(x)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.bincount([0, 1, 1], weights=x),
        np.unique,
        np.trim_zeros,
        lambda x: np.union1d(x, [1.0]),
        lambda x: np.setdiff1d(x, [1.0]),
        lambda x: np.intersect1d(x, [1.5]),
    ],
)
def test_functions_whose_entries_are_those_of_a_value_do_not_drop_its_gradient(f: Any) -> None:
    with pytest.raises(NotImplementedError, match="has no rule"):
        f(Value([1.5, 2.0, 0.0]))
