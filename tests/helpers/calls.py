"""What any NumPy function must do on Values: NumPy's values, slopes to second order, programs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_ce import Value, grad, program

from .operations import slope
from .programs import fresh

Function = Callable[..., Any]
Call = tuple[Function, list[Any]]  # and arguments to differentiate by, in float64


def loss_of(f: Function, args: list[Any]) -> Function:
    """A number in which every entry of f's result counts, with another weight."""
    g = np.random.default_rng(1).normal(size=np.shape(f(*args)))
    return lambda *xs: np.sum(g * f(*xs))


def scale(x: Any) -> float:
    return 1.0 + float(np.max(np.abs(x), initial=0.0))


def agrees(f: Function, wide: list[Any], dtype: Any) -> None:
    """Results are NumPy's, and gradients those of central differences; all keep their dtype."""
    wanted, args = f(*wide), [a.astype(dtype) for a in wide]
    given = [Value(a) for a in args]
    out = f(*given)
    assert isinstance(out, Value)
    assert out.shape == np.shape(wanted)
    assert out.dtype in (dtype, np.asarray(f(*args)).dtype)
    near = 1e-13 if dtype == np.float64 else 1e-5
    np.testing.assert_allclose(out.data, f(*args), near, 30 * near)
    loss = loss_of(f, wide)
    loss(*given).backward()
    for i, v in enumerate(given):
        slopes = slope(lambda x, i=i: loss(*wide[:i], x, *wide[i + 1 :]), wide[i], False)
        if v.grad is None:
            assert not slopes.any()
            continue
        assert (v.grad.shape, v.grad.dtype) == (v.shape, dtype)
        tol = (1e-7 if dtype == np.float64 else 1e-3) * scale(slopes)
        np.testing.assert_allclose(v.grad, slopes, tol, tol)


def agrees_twice(f: Function, args: list[Any]) -> None:
    """The gradient of the gradient along a direction is that of differences of the gradient."""
    rng, every = np.random.default_rng(2), range(len(args))
    loss = loss_of(f, args)
    u, w = ([rng.normal(size=x.shape) for x in args] for _ in range(2))

    def along(*xs: Any) -> Any:
        return sum(np.sum(p * q) for p, q in zip(w, grad(lambda *y: loss(*y) ** 2, every)(*xs)))

    got = sum(np.sum(p * q) for p, q in zip(u, grad(along, every)(*args)))
    ahead, behind = ([x + h * d for x, d in zip(args, u)] for h in (1e-6, -1e-6))
    wanted = (along(*ahead) - along(*behind)) / 2e-6
    assert abs(got - wanted) < 1e-5 * scale([wanted, along(*args)])


def agree_as_programs(calls: list[Call], folder: Path) -> list[str]:
    """Programs give the same, here and where there is nothing but NumPy; their sources."""
    sources, given, wanted = [], [], []
    for f, args in calls:
        every = tuple(range(len(args)))
        loss = loss_of(f, args)
        made = program(lambda *xs, loss=loss: loss(*xs), *args, wrt=every)
        sources.append(made.source)
        given.append(args)
        wanted.append((loss(*args), grad(loss, every)(*args)))
    for found, (value, slopes) in zip(fresh(folder, sources, given), wanted):
        np.testing.assert_allclose(found[0], value, 1e-11, 1e-11)
        for g, slope_ in zip(found[1], slopes):
            np.testing.assert_allclose(g, slope_, 1e-10, 1e-11)
    return sources
