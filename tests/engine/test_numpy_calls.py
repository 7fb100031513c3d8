"""Calls as NumPy documents them: options that say what holds anyway, and others, are taken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers.calls import agrees, agrees_twice

from tinygrad_ce import Value, grad, hessian, program

LA = np.linalg
M = np.array([[1.5, 0.25], [-0.5, 2.0]])

# fmt: off
AS_THEY_ARE: dict[str, Callable[[Any], Any]] = {  # out=None and its like
    "a ufunc's out": lambda x: np.exp(x, out=None),
    "a ufunc's where": lambda x: np.logaddexp(x, 1.0, where=True),
    "a reduction": lambda x: np.sum(x, axis=None, dtype=None, out=None),
    "by position": lambda x: np.mean(x, 0, None, None),
    "a method": lambda x: x.sum(0, None, None),
    "of a name": lambda x: np.max(a=x, axis=0, out=None),
    "std": lambda x: np.std(x, 0, None, None, 1),
    "nansum": lambda x: np.nansum(x, 0, None, None),
    "ptp": lambda x: np.ptp(x, 0, None),
    "median": lambda x: np.median(x, axis=0, out=None, overwrite_input=False),
    "quantile": lambda x: np.quantile(x, 0.3, 0, None, False),
    "average": lambda x: np.average(x, axis=0, weights=None, returned=False),
    "cumsum": lambda x: np.cumsum(x, 0, None, None),
    "trace": lambda x: np.trace(x, 0, 0, 1, None, None),
    "clip": lambda x: np.clip(x, 0.0, 1.75, out=None),
    "take": lambda x: np.take(x, [0], 0, None, "raise"),
    "compress": lambda x: np.compress([True, False], x, 0, None),
    "sort": lambda x: np.sort(x, -1, None, None),
    "concatenate": lambda x: np.concatenate([x, x], 0, None),
    "stack": lambda x: np.stack([x, x], axis=0, out=None, dtype=None, casting="same_kind"),
    "dot": lambda x: np.dot(x, x, None),
    "outer": lambda x: np.outer(x, x, out=None),
    "einsum": lambda x: np.einsum("ij->i", x, out=None),
    "gradient": lambda x: np.gradient(x, edge_order=1)[0],
    "linspace": lambda x: np.linspace(x, 1.0, 3, True, False, None, 0),
    "full_like": lambda x: x * np.full_like(x, 2.0, None, "K", True, None),
    "transpose": lambda x: np.transpose(a=x),
    "expand_dims": lambda x: np.expand_dims(a=x, axis=0),
    "swapaxes": lambda x: np.swapaxes(a=x, axis1=0, axis2=1),
    "pad": lambda x: np.pad(array=x, pad_width=1),
    "broadcast_to": lambda x: np.broadcast_to(array=x, shape=(2, 2, 2), subok=False),
    "svd": lambda x: LA.svd(x, True, True, False)[1],
    "pinv": lambda x: LA.pinv(x, hermitian=False),
}
OTHERS: dict[str, Callable[[Any], Any]] = {
    "several arrays": lambda x: np.atleast_2d(x[0], x)[0],
    "casting": lambda x: np.vstack([x, x], casting="same_kind"),
    "cumsum's dtype": lambda x: np.cumsum(x, 0, np.float64),
    "cumprod's dtype": lambda x: np.cumprod(x, 0, np.float64),
    "linspace's dtype": lambda x: np.linspace(x, 1.0, 3, dtype=np.float64),
    "a number in front": lambda x: np.diff(x, prepend=0.5),
    "arrays at both ends": lambda x: np.diff(x, axis=0, prepend=x[:1] ** 2, append=[[1.0, 2.0]]),
    "correction": lambda x: np.var(x, axis=0, correction=1),
    "the upper triangle": lambda x: LA.cholesky(x @ x.T + np.triu(x), upper=True),
    "lists of points": lambda x: np.interp(x, [-1, 0, 3], (2, 3.5, 3)),
    "add.reduce": lambda x: np.add.reduce(x),
    "multiply.reduce": lambda x: np.multiply.reduce(x, axis=-1, keepdims=True, initial=0.5),
    "maximum.reduce": lambda x: np.maximum.reduce(x, axis=1),
    "minimum.reduce": lambda x: np.minimum.reduce(x, axis=None, out=None),
    "add.accumulate": lambda x: np.add.accumulate(x),
    "multiply.accumulate": lambda x: np.multiply.accumulate(x, axis=1),
    "maximum.accumulate": lambda x: np.maximum.accumulate(x, axis=1),
    "add.reduce's dtype": lambda x: np.add.reduce(x, 0, np.float64),
    "maximum.reduce's dtype": lambda x: np.maximum.reduce(x, dtype=np.float64),
    "minimum.reduce, by position": lambda x: np.minimum.reduce(x, 1, None),
    "add.accumulate's dtype": lambda x: np.add.accumulate(x, dtype=np.float64),
    "maximum.accumulate's dtype": lambda x: np.maximum.accumulate(x, 1, np.float64),
    "logaddexp.accumulate's dtype": lambda x: np.logaddexp.accumulate(x, dtype=np.float64),
    "logaddexp.accumulate": lambda x: np.logaddexp.accumulate(x),
    "var about a mean": lambda x: np.var(x, axis=0, mean=np.mean(x, axis=0, keepdims=True)),
    "var about a number": lambda x: np.var(x, mean=0.75, ddof=1),
    "std about a row": lambda x: np.std(x, axis=0, mean=np.array([[0.5, 2.0]])),
    "nanvar about a mean of its own": lambda x: np.nanvar(x, axis=1, mean=x[:, :1] * 0.5),
    "of no difference": lambda x: np.diff(x, 0, prepend=1.0) * 2.0,
    "one choice": lambda x: np.choose([[[0, 0]]], [x * x]),
    "two, one of them a stack": lambda x: LA.multi_dot([x[:1], np.stack([x, x])]),
}
# fmt: on


@pytest.mark.parametrize("name", [*AS_THEY_ARE, *OTHERS])
def test_a_call_that_numpy_documents(name: str) -> None:
    f = (AS_THEY_ARE | OTHERS)[name]
    agrees(f, [M], np.float64)
    agrees_twice(f, [M])
    value, slope = program(lambda x: np.sum(f(x) ** 2), M)(M)
    np.testing.assert_allclose(value, np.sum(f(M) ** 2), 1e-14)
    np.testing.assert_allclose(slope, grad(lambda x: np.sum(f(x) ** 2))(M), 1e-12)


def test_what_a_call_does_not_take_is_refused_in_short() -> None:
    message = r"quantile: .*'weights'. On Values it takes \(a, q, axis=None, \*, method='linear'"
    with pytest.raises(TypeError, match=message):
        np.quantile(Value(M), 0.5, weights=np.ones(2), method="inverted_cdf")
    with pytest.raises(TypeError, match="according to the rule 'safe'"):
        np.concatenate([Value(M)], dtype=np.float32, casting="safe")
    with pytest.raises(TypeError, match=r"all arrays in one list: np.concatenate\(\[x, y\]\)"):
        np.concatenate(Value(M), Value(M))  # type: ignore[call-overload]
    with pytest.raises(TypeError, match=r"take: .*'mode'"):
        np.take(Value(M), [5], mode="wrap")


@pytest.mark.parametrize("where", [np.array([[1, 0], [1, 1]]), M, Value(M)])
@pytest.mark.parametrize("f", [np.sum, np.prod, np.mean, np.var, np.std, np.add.reduce])
def test_a_mask_of_numbers_is_refused_as_in_numpy(f: Any, where: Any) -> None:
    """A mean would divide by their sum."""
    with pytest.raises(TypeError, match="bool"):
        f(M, where=getattr(where, "data", where))
    message = r"where=: got an array of (int|float)64, wanted one of bool: .astype\(bool\)"
    with pytest.raises(TypeError, match=message):
        f(Value(M), where=where)
    with pytest.raises(TypeError, match=message):
        program(lambda x, mask: np.sum(f(x, where=mask)), M, M)
    agrees(lambda x: f(x, where=[[1, 0], [1, 1]]), [M], np.float64)  # a list is one of truths


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("f", [np.max, np.min], ids=["max", "min"])
def test_an_extremum_of_no_entries_is_the_initial_one(f: Any, keepdims: bool) -> None:
    for shape, axis in (((0, 2), 0), ((0,), None), ((2, 0, 3), (0, 1)), ((0, 3), 1)):
        for dtype in (np.float64, np.float32):
            x, top = np.zeros(shape, dtype), dtype(1.5)
            how = {"axis": axis, "keepdims": keepdims, "initial": top}
            out = f(Value(x), **how)
            wanted = f(x, **how)
            assert (out.shape, out.dtype) == (np.shape(wanted), wanted.dtype)
            np.testing.assert_array_equal(out.data, wanted)
            assert grad(lambda x, how=how: np.sum(f(x, **how)))(x).shape == shape
            made = program(lambda x, how=how: np.sum(f(x, **how)), x)
            assert made(x)[0] == np.sum(wanted)
    count = np.size(f(np.zeros((0, 3)), axis=0, initial=1.0))
    assert grad(lambda t: np.sum(f(np.zeros((0, 3)) * t, axis=0, initial=t)))(2.0) == count
    with pytest.raises(ValueError, match="no identity"):
        f(Value(np.zeros(0)))


def test_the_largest_of_no_entries_is_0_in_a_norm() -> None:
    """As NumPy has it from 2.3 on."""
    out = LA.norm(Value(np.zeros((2, 0))), np.inf, axis=-1)
    np.testing.assert_array_equal(out.data, [0.0, 0.0])


def test_the_exponent_of_a_base_of_less_precision() -> None:
    """The logarithm is as precise as the result."""
    x, y = np.array([2.0, 3.0], np.float32), np.array([0.3, 0.7])
    wide = x.astype(np.float64)
    for slope in (
        grad(lambda y: np.sum(np.power(x, y)))(y),
        grad(lambda x, y: np.sum(np.power(x, y)), 1)(x, y),
    ):
        np.testing.assert_allclose(slope, wide**y * np.log(wide), 1e-15)
    curve = hessian(lambda y: np.sum(np.power(x, y)))(y)
    np.testing.assert_allclose(np.diag(curve), wide**y * np.log(wide) ** 2, 1e-15)
    np.testing.assert_allclose(
        program(lambda y: np.sum(np.power(x, y)), y)(y)[1], wide**y * np.log(wide)
    )


@pytest.mark.parametrize(
    ("f", "shape"),
    [
        (lambda x: np.einsum(x, [..., 0], x * x, [..., 0]), (3, 2, 2)),
        (lambda x: np.einsum(x, [..., 1, 0], M, [0, 2]), (3, 2, 2)),
        (lambda x: np.einsum(x, [0, ...]), (2, 3)),
        (lambda x: np.einsum(x, [1, 0], M, [0, 1]), (2, 2)),
    ],
)
def test_einsum_of_lists_of_axes_keeps_what_dots_stand_for(f: Any, shape: Any) -> None:
    x = np.random.default_rng(0).normal(size=shape)
    agrees(f, [x], np.float64)
    made = program(lambda x: np.sum(f(x) ** 2), x)
    np.testing.assert_allclose(made(x)[1], grad(lambda x: np.sum(f(x) ** 2))(x), 1e-12)
