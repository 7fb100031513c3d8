"""NumPy functions that are other spellings of the primitives: results as NumPy's, and gradients."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
from helpers.operations import slope

from tinygrad_ce import Value, derive, grad, hessian, program
from tinygrad_ce.engine.operation import SPELLINGS, TABLE

Function = Callable[..., Any]


def drawn(*shapes: tuple[int, ...]) -> list[Any]:
    rng = np.random.default_rng(3)
    return [rng.normal(size=shape) for shape in shapes]


def agrees(f: Function, *arrays: Any) -> None:
    """On Values f gives what NumPy gives for the data, and the gradient that NumPy's own f has."""
    given = [Value(a) for a in arrays]
    out, wanted = f(*given), f(*arrays)
    assert isinstance(out, Value)
    np.testing.assert_allclose(out.data, wanted, rtol=1e-14, atol=1e-14)
    assert out.shape == np.shape(wanted)
    g = np.random.default_rng(4).normal(size=out.shape)
    out.backward(g)
    for i, v in enumerate(given):
        numeric = slope(
            lambda x, i=i: np.sum(g * f(*arrays[:i], x, *arrays[i + 1 :])), v.data, analytic=True
        )
        found = np.zeros(v.shape) if v.grad is None else v.grad
        np.testing.assert_allclose(found, numeric, rtol=1e-12, atol=1e-12)


def test_all_of_them_are_tested_here() -> None:
    here = {np.concatenate, np.clip, np.take_along_axis, np.einsum}
    here |= {np.sum, np.prod, np.max, np.min, np.amax, np.amin, np.mean}  # test_spelled.py
    here |= {
        np.cumsum,
        np.cumprod,
        np.convolve,
        np.linalg.solve,
        np.linalg.cholesky,
    }  # test_order.py, test_linalg.py
    assert {f for f in SPELLINGS if f in TABLE} == here


# ------------------------------------------------------------------ joining
@pytest.mark.parametrize("axis", [0, 1, -1, -2, None])
def test_concatenate(axis: int | None) -> None:
    x, y = drawn((2, 3), (2, 3))
    agrees(lambda x, y: np.concatenate([x, y, x], axis=axis), x, y)
    agrees(lambda x: np.concatenate((x, np.ones((2, 3)), [[1, 2, 3], [4, 5, 6]]), axis), x)
    agrees(lambda x: np.concatenate([x], axis=axis), x)


def test_concatenate_of_unlike_lengths_and_its_errors() -> None:
    x, y, z = drawn((2, 1), (2, 0), (2, 3))
    agrees(lambda x, y, z: np.concatenate([x, y, z], axis=1), x, y, z)
    agrees(lambda x, y, z: np.concatenate([x, y, z], axis=None), x, y, z)
    with pytest.raises(ValueError, match=r"concatenate of \(2, 1\), \(2, 3\)"):
        np.concatenate([Value(x), Value(z)])
    with pytest.raises(ValueError, match="zero-dimensional"):
        np.concatenate([Value(1.0), Value(2.0)])


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
def test_stack(axis: int) -> None:
    agrees(lambda x, y: np.stack([x, y, x], axis=axis), *drawn((2, 3), (2, 3)))
    agrees(lambda x: np.stack((x, np.zeros((2, 3))), axis), *drawn((2, 3)))


def test_stack_of_numbers_keeps_their_gradients() -> None:
    agrees(lambda x, y: np.stack([x, 1.0, y * x]), np.array(2.0), np.array(3.0))
    a, b = Value(2.0), Value(3.0)
    (np.stack([a, b, 1.0]) * np.array([1.0, 5.0, 7.0])).sum().backward()
    assert (a.grad, b.grad) == (1.0, 5.0)
    with pytest.raises(ValueError, match=r"concatenate of \(1,\), \(1, 2\)"):
        np.stack([a, Value([1.0, 2.0])])


# ------------------------------------------------------------------ dot
LEFT: list[tuple[int, ...]] = [(), (3,), (2, 3), (2, 2, 3)]
RIGHT: list[tuple[int, ...]] = [(), (3,), (3, 4), (2, 3, 4), (2, 2, 3, 4)]


@pytest.mark.parametrize(("left", "right"), [*product(LEFT, RIGHT)])
def test_dot_of_every_pair_of_dimensions(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    x, y = drawn(left, right)
    agrees(np.dot, np.asarray(x), np.asarray(y))
    np.testing.assert_allclose(Value(x).dot(y).data, np.dot(x, y), rtol=1e-14)
    np.testing.assert_allclose(np.dot(x, Value(y)).data, np.dot(x, y), rtol=1e-14)


def test_dot_of_unlike_lengths() -> None:
    with pytest.raises(ValueError, match=r"\(2, 3\), \(2, 3\)"):
        np.dot(Value(np.ones((2, 3))), np.ones((2, 3)))


# ------------------------------------------------------------------ clip
BOUNDS: list[dict[str, Any]] = [
    {"a_min": -0.5, "a_max": 0.5},
    {"a_min": None, "a_max": 0.5},
    {"a_min": -0.5, "a_max": None},
]
if np.lib.NumpyVersion(np.__version__) >= "2.1.0":  # which gave them these names
    BOUNDS += [
        {"min": -0.5, "max": 0.5},
        {"min": -0.5},
        {"max": 0.5},
        {"min": [-0.5, -1.0, 0.0], "max": [[0.5], [1.0]]},
    ]


@pytest.mark.parametrize("bounds", BOUNDS, ids=str)
def test_clip(bounds: dict[str, Any]) -> None:
    (x,) = drawn((2, 3))
    v = Value(x)
    out, wanted = np.clip(v, **bounds), np.clip(x, **bounds)
    np.testing.assert_array_equal(out.data, wanted)
    out.sum().backward()
    np.testing.assert_array_equal(v.grad, (x == wanted).astype(float))


def test_clip_by_position_and_gradient_of_the_limits() -> None:
    x, low, high = Value([-2.0, 0.0, 3.0, 4.0]), Value(-1.0), Value(1.0)
    np.clip(x, low, high).sum().backward()
    np.testing.assert_array_equal(x.grad, [0.0, 1.0, 0.0, 0.0])
    assert (low.grad, high.grad) == (1.0, 2.0)
    assert np.clip(Value(3.0), 0.0, 1.0).data == 1.0
    v = Value([1.0, 2.0, 3.0])
    np.clip(v, 1.0, 3.0).sum().backward()  # at a limit: 1, as in PyTorch
    np.testing.assert_array_equal(v.grad, [1.0, 1.0, 1.0])


# ------------------------------------------------------------------ take_along_axis
@pytest.mark.parametrize("axis", [0, 1, -1, None])
def test_take_along_axis(axis: int | None) -> None:
    (x,) = drawn((3, 3))
    index = np.array([[0, 2, 2], [-1, 0, 0], [1, 1, 1]])
    index = index.reshape(-1) if axis is None else index
    agrees(lambda x: np.take_along_axis(x, index, axis), x)
    agrees(lambda x: np.take_along_axis(x, index, axis=axis), x)


def test_take_along_axis_picks_the_true_class() -> None:
    agrees(lambda z: np.take_along_axis(z, np.array([[1], [0]]), -1), *drawn((2, 3)))
    agrees(lambda z: np.take_along_axis(z, np.array([[1]]), 1), *drawn((2, 3)))
    with pytest.raises(IndexError, match="take_along_axis"):
        np.take_along_axis(Value(np.ones((2, 3))), np.array([[3], [0]]), 1)


# ------------------------------------------------------------------ einsum
EINSUMS: list[tuple[str, tuple[tuple[int, ...], ...]]] = [
    ("ij,jk->ik", ((2, 3), (3, 4))),
    ("ij,jk", ((2, 3), (3, 4))),  # implicit output
    ("ba", ((2, 3),)),  # implicit: in alphabetical order, so a transpose
    ("ij->", ((2, 3),)),
    ("ij->j", ((2, 3),)),
    ("ij->ji", ((2, 3),)),
    ("i,i", ((3,), (3,))),
    ("i,j->ij", ((2,), (3,))),
    ("ij,ij->i", ((2, 3), (2, 3))),
    ("bij,bjk->bik", ((2, 2, 3), (2, 3, 4))),
    ("ij,k->i", ((2, 3), (4,))),  # j and k stand in one operand only
    ("ij,k->", ((2, 3), (4,))),
    ("ij,->ij", ((2, 3), ())),
    (",", ((), ())),
    ("->", ((),)),
    ("ii", ((3, 3),)),  # a letter twice: the diagonal
    ("ii->i", ((3, 3),)),
    ("iij->ij", ((3, 3, 2),)),
    ("iii->i", ((2, 2, 2),)),
    ("ii,ij->j", ((3, 3), (3, 2))),
    ("ij,jj->i", ((2, 3), (3, 3))),
    ("...ij,...jk->...ik", ((2, 2, 3), (2, 3, 4))),
    ("...ij,...jk->...ik", ((2, 2, 3), (3, 4))),
    ("...ij,...jk", ((5, 2, 2, 3), (2, 3, 4))),
    ("...ij,...jk->...ik", ((2, 1, 2, 3), (3, 3, 4))),  # size 1 against 2, and against 3
    ("i...,i...->...", ((2, 3), (2, 3))),
    ("...", ((2, 3),)),
    ("...i->...", ((2, 3),)),
    ("i...->...", ((2, 3),)),
    ("...ii->...i", ((2, 3, 3),)),
    ("ij,jk->ik", ((2, 1), (3, 4))),  # size 1 is broadcast
    ("ij,ij->ij", ((1, 3), (2, 1))),
    ("ij,i->", ((1, 2), (3,))),  # and beside it stands a letter of no other operand
    ("ij,i->i", ((1, 2), (3,))),
    ("ijk,j->ik", ((2, 1, 0), (3,))),
    ("ijk,j->", ((0, 1, 2), (0,))),
    ("ij,jk->ik", ((0, 3), (3, 4))),
    ("ij,jk->ik", ((2, 0), (0, 4))),
    (" i j , j k -> i k ", ((2, 3), (3, 4))),
    ("Ab,bC->AC", ((2, 3), (3, 4))),
    ("Ab,bC", ((2, 3), (3, 4))),  # capitals come first
]


@pytest.mark.parametrize(("subscripts", "shapes"), EINSUMS)
def test_einsum(subscripts: str, shapes: tuple[tuple[int, ...], ...]) -> None:
    agrees(lambda *xs: np.einsum(subscripts, *xs), *map(np.asarray, drawn(*shapes)))


def test_einsum_with_an_array_on_either_side() -> None:
    x, y = drawn((2, 3), (3, 4))
    agrees(lambda x: np.einsum("ij,jk", x, y), x)
    agrees(lambda y: np.einsum("ij,jk", x, y), y)


@pytest.mark.parametrize(
    ("subscripts", "shapes", "message"),
    [
        ("ij,jk->ik", ((2, 3),), "operands provided"),
        ("ij,jk->ik", ((2, 3), (2, 3)), r"\(2, 3\), \(2, 3\)"),
        ("ij,jk->iz", ((2, 3), (3, 4)), "z"),
        ("ijk->i", ((2, 3),), "einsum"),
        ("i->i", ((2, 3),), "einsum"),
    ],
)
def test_einsum_says_what_is_wrong(subscripts: str, shapes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        np.einsum(subscripts, *map(Value, drawn(*shapes)))


LISTS: list[tuple[Any, ...]] = [  # of each operand its shape and its axes; the result's axes
    ((2, 3), [0, 1], (3, 4), [1, 2], [0, 2]),
    ((2, 3), [0, 1], (3, 4), [1, 2]),  # implicit output
    ((2, 3), [1, 0]),  # in the order of numbers, so a transpose
    ((2, 3), [30, 2]),
    ((3, 3), [0, 0]),
    ((2, 2, 3), [..., 0, 1], (3, 4), [..., 1, 2], [..., 0, 2]),
]


@pytest.mark.parametrize("given", LISTS)
def test_einsum_of_lists(given: tuple[Any, ...]) -> None:
    axes, rest = given[1::2], given[len(given) // 2 * 2 :]

    def f(*xs: Any) -> Any:
        return np.einsum(*[part for pair in zip(xs, axes) for part in pair], *rest)

    agrees(f, *drawn(*given[: len(given) // 2 * 2 : 2]))


@pytest.mark.parametrize(
    ("subscripts", "shapes"),
    [
        ("ij,jk,kl,l->i", ((2, 3), (3, 4), (4, 2), (2,))),
        ("ab,bc,ca->", ((2, 3), (3, 4), (4, 2))),
        ("i,i,i->i", ((3,), (1,), (3,))),
        ("...i,ij,...j", ((2, 3), (3, 3), (2, 3))),
        ("ii,ij,j", ((3, 3), (3, 2), (2,))),
        ("ij->ji", ((2, 3),)),
        ("i,j,k->kji", ((2,), (3,), (1,))),
    ],
)
@pytest.mark.parametrize("optimize", [True, False, "greedy", "optimal"])
def test_einsum_optimized(subscripts: str, shapes: Any, optimize: Any) -> None:
    agrees(lambda *xs: np.einsum(subscripts, *xs, optimize=optimize), *drawn(*shapes))


def test_einsum_optimized_takes_the_path_that_is_given() -> None:
    args = drawn((2, 3), (3, 4), (4, 2), (2,))
    path = ["einsum_path", (2, 3), (1, 2), (0, 1)]
    agrees(lambda *xs: np.einsum("ij,jk,kl,l->", *xs, optimize=path), *args)
    f = program(lambda *xs: np.einsum("ij,jk,kl,l->", *xs, optimize=True), *args, wrt=(0, 1, 2, 3))
    assert f.source.count("optimize=True") == 5


def test_einsum_says_which_forms_there_are() -> None:
    x = Value(np.ones((2, 3)))
    for wrong in ("ij", [0, "j"]):
        with pytest.raises(TypeError, match="lists must contain either int or Ellipsis"):
            np.einsum(x, wrong)
    for word in ("ii", "ii->i"):
        with pytest.raises(ValueError, match=r"index|label"):
            np.einsum(word, x)
    with pytest.raises(TypeError, match="dtype"):
        np.einsum("ij->ji", x, dtype=np.float32)


def test_einsum_takes_any_number_of_operands() -> None:
    rng = np.random.default_rng(0)
    sizes = [(2, 3), (3, 4), (4, 2), (2,)]
    args = [rng.standard_normal(size) for size in sizes]

    def f(a: Any, b: Any, c: Any, d: Any) -> Any:
        return np.sum(np.einsum("ij,jk,kl,l->i", a, b, c, d) ** 2)

    def g(a: Any, b: Any, c: Any, d: Any) -> Any:
        return np.sum((a @ b @ c @ d) ** 2)

    every = range(4)
    for got, wanted in zip(grad(f, every)(*args), grad(g, every)(*args)):
        np.testing.assert_allclose(got, wanted, rtol=1e-12)
    for got, wanted in zip(hessian(f, every)(*args)[1], hessian(g, every)(*args)[1]):
        np.testing.assert_allclose(got, wanted, rtol=1e-11)
    x = np.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(grad(lambda x: np.einsum("i,i,i->", x, x, x))(x), 3 * x**2)


def test_a_copy_is_a_node_of_its_own() -> None:
    x = Value([1.0, 2.0])
    for copy in (np.copy, lambda v: v.copy(), lambda v: np.copy(v, order="C")):
        assert copy(x) is not x

        def square(v: Any, copy: Any = copy) -> Any:
            return (copy(v) * v).sum()

        np.testing.assert_array_equal(grad(square)(x.data), [2.0, 4.0])
        run = program(lambda v, square=square: square(v), x.data)
        np.testing.assert_array_equal(run(x.data)[1], [2.0, 4.0])


@pytest.mark.parametrize("axis", [0, -1])
@pytest.mark.parametrize("x", [3.0, np.array(3.0)])
def test_a_number_is_reduced_along_axis_0_as_in_numpy(x: Any, axis: int) -> None:
    plain = (np.sum, np.max, np.min, np.prod)
    for f in (*plain, lambda v, axis: v.sum(axis) * v):
        assert f(Value(x), axis=axis).data == f(x if np.ndim(x) else np.asarray(x), axis=axis)
        slope = 1.0 if f in plain else 6.0
        assert grad(lambda v, f=f: f(v, axis=axis))(x) == slope


@pytest.mark.parametrize("f", [np.sum, np.max, np.prod, np.cumsum, np.cumprod])
@pytest.mark.parametrize("axis", [0, -1])
def test_a_number_within_a_program_is_reduced_along_axis_0(f: Any, axis: int) -> None:
    def loss(x: Any) -> Any:
        return (f(x.sum(), axis=axis) * x.sum()).sum()

    x = np.array([1.0, 2.0])
    for clean in (False, True):
        run = program(loss, x, clean=clean)
        assert run(x)[0] == 9.0
        np.testing.assert_array_equal(run(x)[1], [6.0, 6.0])
    assert "∂L/∂x" in str(derive(loss, x))
