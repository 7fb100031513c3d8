"""What holds of every function of NumPy on Values: its value, two derivatives, and as a program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_ce import Value, grad, program

from .operations import slope

H = 1e-6  # of differences of the gradient


def numbers(*shapes: tuple[int, ...], seed: int = 0) -> list[Any]:
    """Arrays whose entries are apart from each other and from 0: no maximum of them has ties."""
    rng = np.random.default_rng(seed)
    total = sum(int(np.prod(shape)) for shape in shapes)
    grid = iter(((rng.permutation(total) + 0.4) / max(total, 1)) * 3.0 - 1.5)
    return [np.reshape([next(grid) for _ in range(int(np.prod(s)))], s) for s in shapes]


def agrees(
    f: Callable[..., Any],
    *arrays: Any,
    analytic: bool = False,
    tol: float = 1e-7,
    programs: bool = True,
) -> None:
    """On Values f gives what NumPy does, and the right first and second derivatives.

    With ``analytic`` f takes complex numbers, and slopes are exact to rounding. A list of results
    is joined.
    """

    def joined(*xs: Any) -> Any:
        out = f(*xs)
        several = isinstance(out, list | tuple)
        return np.concatenate([np.reshape(x, -1) for x in out]) if several else out

    wanted = joined(*arrays)
    given = [Value(a) for a in arrays]
    out = joined(*given)
    assert isinstance(out, Value)
    assert out.shape == np.shape(wanted)
    assert out.dtype == np.asarray(wanted).dtype
    np.testing.assert_allclose(out.data, wanted, rtol=1e-13, atol=1e-13)
    g = np.random.default_rng(4).normal(size=out.shape)
    out.backward(g)
    tol = 1e-12 if analytic else tol
    for i, v in enumerate(given):
        numeric = slope(
            lambda x, i=i: np.sum(g * joined(*arrays[:i], x, *arrays[i + 1 :])), v.data, analytic
        )
        found = np.zeros(v.shape) if v.grad is None else v.grad
        np.testing.assert_allclose(found, numeric, rtol=tol, atol=tol)
    second_order_agrees(joined, arrays, g)
    narrow_agrees(joined, arrays)
    if programs:
        program_agrees(joined, arrays, g)


def second_order_agrees(f: Callable[..., Any], arrays: Any, g: Any) -> None:
    """The gradient of the gradient, in a random direction, against differences of the gradient."""
    every, rng = range(len(arrays)), np.random.default_rng(2)
    w, u = ([rng.normal(size=np.shape(a)) for a in arrays] for _ in range(2))

    def loss(*xs: Any) -> Any:
        return np.sum(g * np.square(f(*xs)))

    def along_w(*xs: Any) -> Any:
        return sum(np.sum(wi * gi) for wi, gi in zip(w, grad(loss, every)(*xs)))

    ahead, back = ([a + h * ui for a, ui in zip(arrays, u)] for h in (H, -H))
    got = sum(np.sum(ui * gi) for ui, gi in zip(u, grad(along_w, every)(*arrays)))
    wanted = (along_w(*ahead) - along_w(*back)) / (2 * H)
    scale = 1.0 + abs(wanted) + sum(np.sum(abs(gi)) for gi in grad(loss, every)(*arrays))
    assert abs(got - wanted) < 1e-5 * scale


def narrow_agrees(f: Callable[..., Any], arrays: Any) -> None:
    """float32 stays float32 where NumPy has it so, and the gradient is that of float64, rounded."""
    every = range(len(arrays))
    given = [Value(np.asarray(a, np.float32)) for a in arrays]
    out, wanted = f(*given), f(*[v.data for v in given])
    assert out.dtype == wanted.dtype
    np.sum(out).backward()
    wide = grad(lambda *xs: np.sum(f(*xs)), every)(*[np.asarray(v.data, float) for v in given])
    for v, found in zip(given, wide):
        got = np.zeros(v.shape) if v.grad is None else v.grad
        assert v.grad is None or got.dtype == np.float32
        np.testing.assert_allclose(
            got, found, rtol=1e-4, atol=1e-4 * (1 + abs(found).max(initial=0))
        )


def program_agrees(f: Callable[..., Any], arrays: Any, g: Any) -> None:
    """The printed program, for other data, gives the gradient that the graph has."""
    every = tuple(range(len(arrays)))

    def loss(*xs: Any) -> Any:
        return np.sum(g * f(*xs))

    run = program(loss, *arrays, wrt=every)
    others = [a * 1.01 for a in arrays]
    value, found = run(*others)
    np.testing.assert_allclose(value, loss(*others), rtol=1e-10, atol=1e-10)
    for got, wanted in zip(found, grad(loss, every)(*others)):
        assert np.shape(got) == np.shape(wanted)
        np.testing.assert_allclose(got, wanted, rtol=1e-10, atol=1e-10)
