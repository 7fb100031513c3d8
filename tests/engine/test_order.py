"""Sorting, picking, sums and differences along an axis: values, slopes, programs, refusals."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from conftest import need
from helpers.calls import Call, agree_as_programs, agrees, agrees_twice
from hypothesis import given, settings
from hypothesis import strategies as st

from tinygrad_ce import Value, grad, hessian, program

Draw = Callable[[Any], Call]


def array(draw: Any, low: int = 0, dims: int = 1, most: int = 3) -> Any:
    """Numbers no two of which are near each other."""
    sides = {"min_dims": dims, "max_dims": most, "min_side": low, "max_side": 4}
    shape = draw(hnp.array_shapes(**sides))
    size = int(np.prod(shape))
    order = np.random.default_rng(draw(st.integers(0, 99))).permutation(size)
    return ((order + 0.3) / (size + 1) * 4.0 - 2.0).reshape(shape)


def like(x: Any, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=np.shape(x))


def axis_of(draw: Any, x: Any, none: bool = True) -> Any:
    axes = st.integers(-x.ndim, x.ndim - 1)
    return draw(st.one_of(st.none(), axes) if none else axes)


def along(function: Any, low: int = 0, none: bool = True, **options: Any) -> Draw:
    """A function of an array and an axis."""

    def drawn(draw: Any) -> Call:
        x = array(draw, low)
        return partial(function, axis=axis_of(draw, x, none), **options), [x]

    return drawn


def partitioned(draw: Any) -> Call:
    x = array(draw, 1)
    axis = axis_of(draw, x)
    kth = draw(st.integers(0, (x.size if axis is None else x.shape[axis]) - 1))
    return (lambda x: np.partition(x, kth, axis)), [x]


METHODS = ["linear", "lower", "higher", "nearest", "midpoint", "hazen", "weibull", "inverted_cdf"]
METHODS += ["median_unbiased", "averaged_inverted_cdf", "closest_observation", "normal_unbiased"]
SHARES = [0.3, 0.5, [0.0, 0.25, 1.0], [[0.1], [0.9]], []]


def quantiles(function: Any, times: float = 1.0, **kinds: Any) -> Draw:
    def drawn(draw: Any) -> Call:
        x = array(draw, 1)
        q = np.multiply(draw(st.sampled_from(SHARES)), times)
        axis = draw(st.one_of(st.none(), hnp.valid_tuple_axes(x.ndim, min_size=1)))
        axis = axis[0] if axis and len(axis) == 1 else axis
        how = {name: draw(st.sampled_from(kind)) for name, kind in kinds.items()}
        return partial(function, q=q, axis=axis, keepdims=draw(st.booleans()), **how), [x]

    return drawn


def differences(draw: Any) -> Call:
    x = array(draw, 1)
    axis, n = axis_of(draw, x, none=False), draw(st.integers(0, 3))
    return (lambda x: np.diff(x, n, axis)), [x]


def areas(draw: Any) -> Call:
    y = array(draw)
    axis = axis_of(draw, y, none=False)
    x = np.cumsum(like(np.zeros(y.shape[axis])) ** 2 + 0.1)
    kind = draw(st.sampled_from(["dx", "x", "as many"]))
    if kind == "dx":
        return (lambda y: np.trapezoid(y, dx=0.3, axis=axis)), [y]
    x = x if kind == "x" else np.cumsum(like(y) ** 2, axis=axis)
    return (lambda y, x: np.trapezoid(y, x, axis=axis)), [y, x]


def slopes_of(draw: Any) -> Call:
    f = array(draw, 2)
    axis = axis_of(draw, f, none=False)
    if draw(st.booleans()):
        x = np.cumsum(like(np.zeros(f.shape[axis])) ** 2 + 0.2)
        return (lambda f, x: np.gradient(f, x, axis=axis)), [f, x]
    which = draw(st.integers(0, f.ndim - 1))
    steps = draw(st.sampled_from([(), (0.3,), tuple(0.5 + i for i in range(f.ndim))]))

    def function(f: Any) -> Any:
        found = np.gradient(f, *steps)
        return found[which] if f.ndim > 1 else found

    return function, [f]


def products(function: Any) -> Draw:
    def drawn(draw: Any) -> Call:
        x, y = array(draw, 1, most=1), array(draw, 1, most=1)
        mode = draw(st.sampled_from(["full", "same", "valid"]))
        return partial(function, mode=mode), [x, y]

    return drawn


def interpolated(draw: Any) -> Call:
    x, n = array(draw), draw(st.integers(2, 5))
    xp, fp = np.cumsum(like(np.zeros(n)) ** 2 + 0.1) - 1.0, like(np.zeros(n), 1)
    ends = draw(st.sampled_from([{}, {"left": -1.0}, {"left": 0.5, "right": 2.0}]))
    return (lambda x, xp, fp: np.interp(x, xp, fp, **ends)), [x, xp, fp]


def chosen_by_condition(draw: Any) -> Call:
    x = array(draw)
    where = [x > 0.5, x < 0.0]
    return (lambda x, y: np.select(where, [x * y, y], 3.0)), [x, like(x)]


def chosen_by_number(draw: Any) -> Call:
    x, mode = array(draw), draw(st.sampled_from(["raise", "wrap", "clip"]))
    which = np.random.default_rng(0).integers(*((0, 3) if mode == "raise" else (-5, 9)), x.shape)
    return (lambda x, y: np.choose(which, [x, y, 2.0], mode=mode)), [x, like(x)]


def in_pieces(draw: Any) -> Call:
    x = array(draw)
    x = x if x.size else np.ones(2)  # NumPy's own stops at no entries
    pieces: list[tuple[Any, list[Any]]] = [
        ([x < 0.0], [np.exp, 2.0]),
        ([x < 0.0, x > 0.5], [np.exp, lambda x: 2.0 * x, np.square]),
        ([x < 0.0, x > -0.5], [1.5, np.exp]),  # where both hold the last counts
        (x < 0.0, [np.exp]),
    ]
    conditions, functions = draw(st.sampled_from(pieces[: 3 + (x.ndim == 1)]))
    return (lambda x: np.piecewise(x, conditions, functions)), [x]


def taken(draw: Any) -> Call:
    x = array(draw, 1)
    axis = axis_of(draw, x)
    n = x.size if axis is None else x.shape[axis]
    index = draw(
        hnp.arrays(int, hnp.array_shapes(min_dims=0, max_dims=2), elements=st.integers(-n, n - 1))
    )
    given = draw(st.sampled_from([index, index.tolist(), tuple(index) if index.ndim else 0]))
    return (lambda x: np.take(x, given, axis)), [x]


def kept(draw: Any) -> Call:
    x = array(draw)
    axis = axis_of(draw, x)
    mask = draw(hnp.arrays(bool, st.integers(0, x.size if axis is None else x.shape[axis])))
    return (lambda x: np.compress(mask, x, axis)), [x]


def extracted(draw: Any) -> Call:
    x = array(draw)
    return (lambda x: np.extract(np.abs(like(x)) > 0.5, x)), [x]


CASES: dict[str, Draw] = {
    "sort": along(np.sort),
    "sort, stable": along(np.sort, kind="stable"),
    "partition": partitioned,
    "median": along(np.median, 1),
    "median, keepdims": along(np.median, 1, keepdims=True),
    "quantile": quantiles(np.quantile, method=METHODS),
    "percentile": quantiles(np.percentile, 100.0, method=METHODS[:2]),
    "cumsum": along(np.cumsum),
    "cumprod": along(np.cumprod),
    "diff": differences,
    "trapezoid": areas,
    "gradient": slopes_of,
    "convolve": products(np.convolve),
    "correlate": products(np.correlate),
    "interp": interpolated,
    "select": chosen_by_condition,
    "choose": chosen_by_number,
    "piecewise": in_pieces,
    "take": taken,
    "compress": kept,
    "extract": extracted,
}


@st.composite
def calls(draw: Any, name: str) -> Call:
    return CASES[name](draw)


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients(name: str) -> None:
    @given(calls(name), st.sampled_from([np.float64, np.float32]))
    def run(call: Call, dtype: Any) -> None:
        agrees(*call, dtype)

    run()


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_second_derivatives(name: str) -> None:
    @given(calls(name))
    @settings(max_examples=max(3, settings.default.max_examples // 10))
    def run(call: Call) -> None:
        agrees_twice(*call)

    run()


@pytest.mark.slow
def test_programs(tmp_path: Path) -> None:
    drawn: list[Call] = []
    for name in CASES:

        @given(calls(name))
        @settings(max_examples=3)
        def keep(call: Call) -> None:
            drawn.append(call)

        keep()
    agree_as_programs(drawn, tmp_path)


@pytest.mark.slow
def test_programs_print_what_they_are_spelled_by() -> None:
    x = np.array([3.0, 1.0, 2.0, 5.0])
    assert "np.argsort(x" in program(lambda x: np.sum(np.sort(x) * x), x).source
    assert "np.cumprod(x" in program(lambda x: np.sum(np.cumprod(x)), x).source
    median = program(np.median, x)
    several = program(lambda x: np.quantile(x, [0.2, 0.5]).sum(), x)
    assert not any("np.where(False" in made.source for made in (median, several))
    for y in (x, x[::-1] * 2.0):
        value, slopes = median(y)
        np.testing.assert_allclose(value, np.median(y))
        np.testing.assert_allclose(slopes, grad(np.median)(y))


# ------------------------------------------------------------------ where it is not smooth
ZEROS = [[1.0, 2.0, 0.0, 3.0], [0.0, 1.0, 2.0, 0.0], [0.0, 0.0, 0.0, 0.0]]


def test_cumprod_of_zeros_is_that_of_pytorch_twice() -> None:
    torch = need("torch")
    x, t = np.array(ZEROS), torch.tensor(ZEROS, dtype=torch.float64)
    w = np.arange(1.0, 13.0).reshape(3, 4)

    def ours(x: Any) -> Any:
        return np.sum(w * np.cumprod(x, axis=1))

    def theirs(t: Any) -> Any:
        return (torch.tensor(w) * torch.cumprod(t, 1)).sum()

    functional = torch.autograd.functional
    np.testing.assert_array_equal(grad(ours)(x), functional.jacobian(theirs, t).numpy())
    np.testing.assert_array_equal(hessian(ours)(x), functional.hessian(theirs, t).numpy())


def test_quantiles_are_those_of_pytorch() -> None:
    torch = need("torch")
    x = np.random.default_rng(0).normal(size=(5, 4))
    v, t = Value(x), torch.tensor(x, requires_grad=True)
    np.quantile(v, [0.1, 0.4], axis=0).sum().backward()
    torch.quantile(t, torch.tensor([0.1, 0.4], dtype=torch.float64), dim=0).sum().backward()
    np.testing.assert_allclose(v.grad, t.grad.numpy(), 1e-13, 1e-15)


def test_nan_is_the_result() -> None:
    x = np.array([[1.0, np.nan, 3.0, 2.0], [4.0, 6.0, 5.0, 9.0], [np.nan] * 4])
    for f in (np.median, partial(np.quantile, q=[0.25, 0.5]), np.sort):
        np.testing.assert_array_equal(f(Value(x), axis=1).data, f(x, axis=1))


def test_infinite_entries_are_themselves() -> None:
    x = np.array([-np.inf, 1.0, 2.0, np.inf])
    for q, wanted in ((0.0, -np.inf), (0.5, 1.5), ([0.0, 1.0], [-np.inf, np.inf])):
        np.testing.assert_array_equal(np.quantile(Value(x), q).data, wanted)
    np.testing.assert_array_equal(np.cumsum(Value(x[1:])).data, np.cumsum(x[1:]))


def test_equal_entries_are_sorted_as_numpy_sorts_them() -> None:
    x = Value([2.0, 1.0, 2.0, 1.0])
    (np.sort(x, kind="stable") * np.array([1.0, 2.0, 3.0, 4.0])).sum().backward()
    np.testing.assert_array_equal(x.grad, [3.0, 1.0, 4.0, 2.0])


# ------------------------------------------------------------------ refusals
V = Value(np.arange(6.0).reshape(2, 3))


@pytest.mark.parametrize(
    ("f", "error", "message"),
    [
        (lambda: np.quantile(V, Value(0.5)), TypeError, "would lose the gradient"),
        (lambda: np.quantile(V, 0.5, method="best"), ValueError, "best"),
        (lambda: np.quantile(V, 1.5), ValueError, "range"),
        (lambda: np.quantile(V, 0.5, weights=np.ones((2, 3))), TypeError, "weights"),
        (lambda: np.diff(V, -1), ValueError, "non-negative"),
        (lambda: np.gradient(V[:1]), ValueError, "too small"),
        (lambda: np.gradient(V, edge_order=2), TypeError, "edge_order"),
        (lambda: np.gradient(V, 1.0, 2.0, 3.0), TypeError, "number of arguments"),
        (lambda: np.gradient(V, [1.0, 2.0, 3.0], 1.0), ValueError, "match the length"),
        (lambda: np.convolve(V, [1.0]), ValueError, "object too deep"),
        (lambda: np.convolve(V[0], [1.0], mode="half"), ValueError, "half"),
        (lambda: np.interp(0.5, [0.0, 1.0], V[0]), ValueError, r"xp of shape \(2,\)"),
        (lambda: np.interp(V, [0.0, 1.0], [0.0, 1.0], period=2.0), TypeError, "period"),
        (lambda: np.select([True], [V, V]), ValueError, "longer"),
        (lambda: np.choose([0, 2, 1], [V, V]), ValueError, "invalid entry in choice"),
        (lambda: np.choose([0, -1, 1], [V, V]), ValueError, "invalid entry in choice"),
        (lambda: np.take(V, [5], axis=1), IndexError, "index 5 is out of bounds"),
        (lambda: np.take(V, V), TypeError, "cannot be an index"),
        (lambda: np.sort(V, axis=2), ValueError, "axis 2"),
        (lambda: np.cumsum(V, axis=2), ValueError, "axis 2"),
        (lambda: np.partition(V, 9), ValueError, "kth"),
        (lambda: np.take(V, [0], axis=2), ValueError, "axis 2"),
        (lambda: np.diff(V, axis=2), ValueError, "axis 2"),
        (lambda: np.diff(Value(1.0)), ValueError, "axis -1"),
        (lambda: np.median(V, axis=2), ValueError, "axis 2"),
        (lambda: np.trapezoid(V, axis=2), ValueError, "axis 2"),
        (lambda: np.piecewise(V, [V > 1.0, V > 2.0], [0.0]), ValueError, "functions are expected"),
    ],
)
def test_what_is_refused(f: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        f()


def test_a_program_refuses_shapes_that_depend_on_data() -> None:
    x = np.array([1.0, -1.0])
    with pytest.raises(TypeError, match="depends on the example's data"):
        program(lambda x: np.piecewise(x, [x > 0.0], [np.log, 0.0]).sum(), x)
    with pytest.raises(TypeError, match="depends on the example's data"):
        program(lambda x: np.compress(x > 0.0, x).sum(), x)
