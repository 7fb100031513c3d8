"""NumPy's functions that others spell: each as NumPy's own, drawn, differentiated, as a program."""

from __future__ import annotations

import ast
import math
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import hypothesis.extra.numpy as hnp
import mpmath
import numpy as np
import pytest
from conftest import need
from helpers.functions import agrees, numbers
from helpers.operations import FULL, ONE, Case, axis_of, broadcast, reduced
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

from tinygrad_ce import Value, grad, hessian, primitive, program
from tinygrad_ce.engine.operation import SPELLINGS, TABLE

SMALL = hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=3)
OPEN = hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=3)


@st.composite
def counted(draw: Any, **more: Any) -> Case:
    """A reduction of some of the entries; at least two count, of any."""
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=3))
    axis = draw(st.one_of(st.none(), axis_of(shape), hnp.valid_tuple_axes(len(shape))))
    options = {"axis": axis, "keepdims": draw(st.booleans())}
    if draw(st.booleans()):
        options["where"] = draw(hnp.arrays(bool, shape))
        assume(np.all(np.sum(options["where"], axis, keepdims=True) > 0))
    options |= {name: draw(x) for name, x in more.items()}
    most = np.size(np.empty(shape)) // max(1, np.size(np.sum(np.empty(shape), axis)))
    assume(options.get("ddof", 0) < most and ("ddof" not in options or "where" not in options))
    return [shape], options


@st.composite
def deviating(draw: Any) -> Case:
    """The same where entries differ, as a deviation of 0 is not smooth."""
    (shape,), options = draw(counted(ddof=st.integers(0, 1)))
    n = np.sum(np.broadcast_to(options.get("where", True), shape), options["axis"])
    assume(np.all(n > 1))
    return [shape], options


@st.composite
def weighted(draw: Any) -> Case:
    shape = draw(SMALL)
    axis = draw(axis_of(shape))
    weights = draw(st.sampled_from([None, shape, shape[axis : axis + 1 or None]]))
    assume(weights != (1,) or shape[axis] == 1)
    return [shape], {
        "axis": axis,
        "weights": weights and 1.0 + np.arange(np.prod(weights)).reshape(weights),
    }


@st.composite
def placed(draw: Any, name: str, shapes: Any = OPEN) -> Case:
    """Shapes with one axis, under a name."""
    shape = draw(shapes)
    return [shape], {name: draw(axis_of(shape))}


@st.composite
def moved(draw: Any) -> Case:
    shape = draw(OPEN)
    n = draw(st.integers(1, len(shape)))
    order = st.permutations(range(len(shape))).map(lambda x: x[:n])
    return [shape], {"source": draw(order), "destination": draw(order)}


@st.composite
def rolled(draw: Any) -> Case:
    shape = draw(OPEN)
    return [shape], {"axis": draw(axis_of(shape)), "start": draw(st.integers(0, len(shape)))}


@st.composite
def divided(draw: Any, equal: bool, axis: int | None = None, least: int = 1) -> Case:
    """Parts of equal lengths, or between places."""
    shape = draw(hnp.array_shapes(min_dims=least, max_dims=3, min_side=0, max_side=4))
    k = draw(axis_of(shape)) if axis is None else axis
    n = shape[k]
    parts = [[1, 3], [-1], [0, 2, 9]] + [i for i in (1, 2, 3) if not equal or n % i == 0]
    options: dict[str, Any] = {"indices_or_sections": draw(st.sampled_from(parts))}
    return [shape], options | ({"axis": k} if axis is None else {})


@st.composite
def contracted(draw: Any) -> Case:
    k = draw(st.integers(0, 2))
    shared = tuple(draw(st.integers(0, 3)) for _ in range(k))
    left, right = (
        draw(hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3)) for _ in "ab"
    )
    forms = [k, ([*range(-k, 0)], [*range(k)])]
    turned = [(shared + left, right + shared[::-1], ([*range(k)], [*range(-1, -k - 1, -1)]))]
    plain = [(left + shared, shared + right, form) for form in forms]
    x, y, axes = draw(st.sampled_from(plain + turned))
    return [x, y], {"axes": axes}


@st.composite
def crossed(draw: Any) -> Case:
    (x, y), _ = draw(broadcast(2))
    assume(len(x) < 3 > len(y))
    if draw(st.booleans()):
        return [(*x, 3), (*y, 3)], {}
    at = draw(st.integers(0, min(len(x), len(y))))
    same = x == y
    if same and draw(st.booleans()):
        return [(*x[:at], 3, *x[at:])] * 2, {"axis": at}
    return [(3, *x), (*y, 3)], {"axisa": 0, "axisc": 0}


@st.composite
def filled(draw: Any) -> Case:
    return [draw(OPEN), ()], {}


def pair(least: int = 0) -> Any:
    """Two shapes, unlike each other."""
    shapes = hnp.array_shapes(min_dims=least, max_dims=2, min_side=0, max_side=3)
    return st.tuples(shapes, shapes).map(lambda s: ([*s], {}))


def arrays(*choices: Any) -> Any:
    return st.sampled_from([([*shapes], {}) for shapes in choices])


def signed(signature: str) -> Any:
    return broadcast(2, signature)


# How to draw the shapes and options of each function.
LINES: dict[str, Any] = {
    **dict.fromkeys(
        ["fabs", "exp2", "reciprocal", "deg2rad", "radians", "rad2deg", "degrees"], ONE
    ),
    **dict.fromkeys(["conjugate", "real", "real_if_close", "nan_to_num", "ravel"], ONE),
    **dict.fromkeys(["atleast_1d", "atleast_2d", "atleast_3d"], ONE),
    **dict.fromkeys(["fmax", "fmin", "divmod"], broadcast(2)),
    "astype": OPEN.map(lambda shape: ([shape], {})),  # NumPy 2.0 wants arrays
    "full_like": filled(),
    "linspace": st.tuples(SMALL, st.integers(0, 4)).map(lambda s: ([s[0], s[0]], {"num": s[1]})),
    "var": counted(ddof=st.integers(0, 1)),
    "std": deviating(),
    **dict.fromkeys(["nansum", "nanprod", "nanmean"], counted()),
    "nanvar": counted(ddof=st.integers(0, 1)),
    "nanstd": deviating(),
    **dict.fromkeys(["nanmax", "nanmin", "ptp"], reduced(FULL)),
    "average": weighted(),
    "vdot": st.integers(0, 4).map(lambda n: ([(n,), (n,)], {})),
    "outer": pair(),
    "inner": arrays(
        [(), (2,)],
        [(2, 3), ()],
        [(), (3, 3)],
        [(), (2, 3, 2)],
        [(3,), (3,)],
        [(2, 3), (4, 3)],
        [(2, 2, 3), (3,)],
    ),
    "tensordot": contracted(),
    "kron": pair(),
    "cross": crossed(),
    "vecdot": signed("(n),(n)->()"),
    "matvec": signed("(m,n),(n)->(m)"),
    "vecmat": signed("(n),(n,m)->(m)"),
    "moveaxis": moved(),
    "rollaxis": rolled(),
    "matrix_transpose": hnp.array_shapes(min_dims=2, max_dims=3, min_side=0).map(
        lambda s: ([s], {})
    ),
    "broadcast_arrays": broadcast(3),
    "vstack": arrays([(3,), (2, 3)], [(), (1,)], [(0, 2), (3, 2)]),
    "hstack": arrays([(3,), (2,)], [(), (1,)], [(2, 1), (2, 3)]),
    "dstack": arrays([(3,), (1, 3)], [(2, 3, 1), (2, 3)]),
    "column_stack": arrays([(3,), (3, 2)], [(2, 0), (2,)]),
    "append": pair(1),
    "split": divided(True),
    "array_split": divided(False),
    "vsplit": divided(True, 0, 2),
    "hsplit": divided(True, 1, 2),
    "dsplit": divided(True, 2, 3),
    "unstack": placed("axis", SMALL),
    "trace": st.integers(-1, 2).map(lambda k: ([(2, 3, 2)], {"offset": k, "axis1": 2, "axis2": 1})),
}
LINES = {name: line for name, line in LINES.items() if hasattr(np, name)}
# test_order.py, test_numpy_functions.py
ELSEWHERE = {"sort", "partition", "median", "quantile", "percentile", "diff", "trapezoid"}
ELSEWHERE |= {"gradient", "correlate", "interp", "select", "choose", "piecewise", "take"}
ELSEWHERE |= {"extract", "compress", "dot", "stack", "copy"}
LISTS = {"vstack", "hstack", "dstack", "column_stack"}


def test_every_spelled_function_has_a_line() -> None:
    spelled = [f for f in SPELLINGS if f not in TABLE]
    assert {f.__name__ for f in spelled if getattr(np, f.__name__, None) is f} == {
        *LINES
    } | ELSEWHERE


def called(name: str, options: dict[str, Any]) -> Callable[..., Any]:
    """The function, of arrays one by one; it is found anew in each call."""

    def f(*xs: Any) -> Any:
        function = getattr(np, name)
        if name in LISTS:
            return function(xs, **options)
        if name == "astype":
            return function(xs[0], np.float64)
        if name == "divmod":
            return np.divmod(xs[0], 10.0 + xs[1])[1]
        if name == "broadcast_arrays":
            return np.concatenate(
                [np.reshape(x, -1) * (i + 1.0) for i, x in enumerate(function(*xs))]
            )
        return function(*xs, **options)

    return f


@pytest.mark.parametrize("name", LINES)
def test_it_is_numpys(name: str) -> None:
    @given(LINES[name], st.integers(0, 9))
    @settings(max_examples=settings.default.max_examples // 2)
    def run(case: Case, seed: int) -> None:
        shapes, options = case
        steep = name == "reciprocal"  # central differences are wrong near 0
        f, xs = called(name, options), numbers(*shapes, seed=seed)
        agrees(f, *xs, analytic=steep, programs=seed == 0)

    run()


def one(line: Any) -> Case:
    """The largest of a few cases."""
    cases: list[Case] = []

    @given(line)
    @settings(max_examples=9, phases=[Phase.generate])
    def run(case: Case) -> None:
        cases.append(case)

    run()
    return max(cases, key=lambda case: np.prod([np.prod(shape) for shape in case[0]]))


@pytest.mark.slow
def test_programs_run_in_a_fresh_interpreter() -> None:
    """Each is printed, and gives there what the graph gives here."""
    blocks, wanted = [], []
    for name, line in LINES.items():
        shapes, options = one(line)
        xs = numbers(*shapes, seed=3)
        f, every = called(name, options), tuple(range(len(xs)))

        def loss(*xs: Any, f: Any = f) -> Any:
            out = f(*xs)
            several = isinstance(out, list | tuple)
            return sum(np.sum(x * x) for x in out) if several else np.sum(out * out)

        inputs = ", ".join(f"np.array({x.tolist()!r})" for x in xs)
        blocks.append(
            f"{program(loss, *xs, wrt=every).source}\nrows.append(loss_and_grad({inputs}))"
        )
        wanted.append([loss(*xs), *grad(loss, every)(*xs)])
    show = "print([[np.asarray(x).tolist() for x in (v, *g)] for v, g in rows])"
    code = "\n".join(["import sys", "import numpy as np", "rows = []", *blocks, show])
    code += "\nassert 'tinygrad_ce' not in sys.modules"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert not ran.returncode, ran.stderr[-2000:]
    for name, row, right in zip(LINES, ast.literal_eval(ran.stdout), wanted):
        for got, x in zip(row, right):
            np.testing.assert_allclose(got, x, rtol=1e-9, atol=1e-9, err_msg=name)


# ------------------------------------------------------------------ options of reductions
EVERY: list[Any] = [None, 0, -1, (0, 1), (1, 2), (2, 0)]
MASK = np.array([[[True, False], [True, True]], [[False, True], [True, False]]])


@pytest.mark.parametrize("name", ["sum", "prod", "max", "min", "mean", "var", "std"])
@pytest.mark.parametrize("axis", EVERY)
def test_reductions_take_where_initial_and_dtype(name: str, axis: Any) -> None:
    (x,) = numbers((2, 2, 2), seed=1)
    where = MASK if name != "std" else np.ones((2, 2, 2), bool)  # one entry does not deviate
    for keepdims in (False, True):
        options: dict[str, Any] = {"axis": axis, "keepdims": keepdims, "where": where}
        if name in ("sum", "prod", "max", "min"):
            options["initial"] = 0.3
        agrees(called(name, options), x, programs=keepdims and axis == (0, 1))
        agrees(called(name, options | {"where": MASK[:1] | True}), x, programs=False)
    if name not in ("max", "min"):
        wide = getattr(np, name)(Value(x.astype(np.float32)), axis, np.float64)
        assert wide.dtype == np.float64
        v = Value(x)
        narrow = getattr(np, name)(v, axis=axis, dtype=np.float32)
        assert narrow.dtype == np.float32
        np.sum(narrow).backward()
        assert v.grad.dtype == np.float64


def test_an_initial_value_has_a_gradient() -> None:
    x = np.array([1.0, 2.0])
    for name, wanted in (("sum", 1.0), ("prod", 2.0), ("max", 1.0), ("min", 0.0)):
        v, w = Value(x), Value(3.0)
        getattr(np, name)(v, initial=w).backward()
        assert w.grad == wanted


def test_what_counts_not_has_no_gradient_whatever_it_is() -> None:
    x, where = (
        np.array([[1.0, np.nan, 2.0], [3.0, 5.0, np.inf]]),
        [[True, False, True], [True, True, False]],
    )
    for f in (np.sum, np.mean, np.prod, np.var, np.std):
        got = grad(lambda x, f=f: np.sum(f(x, axis=1, where=np.array(where))))(x)
        small = np.array([[1.0, 2.0], [3.0, 5.0]])
        wanted = grad(lambda x, f=f: np.sum(f(x, axis=1)))(small)
        np.testing.assert_allclose(got[where], wanted.reshape(-1), rtol=1e-15)
        assert (got[~np.array(where)] == 0.0).all()


def test_nan_is_left_out() -> None:
    x, y = np.array([[1.0, np.nan, 2.0], [np.nan, 3.0, 5.0]]), np.array([[1.0, 2.0], [3.0, 5.0]])
    for name in ("sum", "prod", "mean", "var", "std", "max", "min"):
        f, twin = getattr(np, f"nan{name}"), getattr(np, name)
        np.testing.assert_allclose(f(Value(x), axis=1).data, f(x, axis=1), rtol=1e-15)
        got = grad(lambda x, f=f: np.sum(np.square(f(x, axis=1))))(x)
        wanted = grad(lambda x, f=twin: np.sum(np.square(f(x, axis=1))))(y)
        np.testing.assert_allclose(got[~np.isnan(x)], wanted.reshape(-1), rtol=1e-14)
        assert (got[np.isnan(x)] == 0.0).all()
    assert np.isnan(np.nanmax(Value([np.nan, np.nan])).data)


# ------------------------------------------------------------------ where derivatives are delicate
@pytest.mark.parametrize("zeros", [0, 1, 2, 3])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7])
def test_product_with_zeros(n: int, zeros: int) -> None:
    x = np.arange(2.0, 2.0 + n)
    x[: min(n, zeros)] = 0.0
    every = range(n)
    slopes = [np.prod(np.delete(x, i)) for i in every]
    curves = [[0.0 if i == j else np.prod(np.delete(x, [i, j])) for j in every] for i in every]
    np.testing.assert_allclose(grad(np.prod)(x), slopes, rtol=1e-14)
    np.testing.assert_allclose(hessian(np.prod)(x), curves, rtol=1e-14)
    made = program(np.prod, np.ones(n))  # for any data
    np.testing.assert_allclose(made(x)[1], slopes, rtol=1e-14)


@pytest.mark.parametrize("x", [0.0, 1e-9, 1e-4, 0.1, 0.499999, 0.500001, 1.0, -2.5, 40.25])
def test_sinc_to_the_third_derivative(x: float) -> None:
    f = np.sinc
    exact = lambda t: mpmath.sincpi(t)
    with mpmath.workdps(40):
        for order, tol in ((1, 1e-14), (2, 1e-14), (3, 1e-13)):
            f = grad(f)
            wanted = float(mpmath.diff(exact, mpmath.mpf(x), order))
            assert f(x) == pytest.approx(wanted, rel=tol, abs=tol * 4.0**order)
            assert f(np.array(x)) == pytest.approx(wanted, rel=tol, abs=tol * 4.0**order)


def test_sinc_near_0_has_all_digits() -> None:
    for x in (1e-9, -1e-6, 1e-3, 0.01):
        assert grad(np.sinc)(x) == pytest.approx(float(mpmath.diff(mpmath.sincpi, x)), rel=1e-13)


def test_a_deviation_of_0_has_slope_0() -> None:
    """As PyTorch's: the deviation is smallest there."""
    torch = need("torch")
    for f in (np.std, np.nanstd):
        np.testing.assert_array_equal(grad(f)(np.ones(4)), np.zeros(4))
        np.testing.assert_array_equal(grad(grad(lambda x, f=f: f(x * np.ones(3))))(2.0), 0.0)
    t = torch.ones(4, requires_grad=True)
    torch.std(t).backward()
    np.testing.assert_array_equal(t.grad.numpy(), np.zeros(4))
    x = np.array([[1.0, 1.0], [1.0, 3.0]])
    np.testing.assert_array_equal(
        grad(lambda x: np.sum(np.std(x, axis=1)))(x), [[0, 0], [-0.5, 0.5]]
    )


@pytest.mark.parametrize("size", [1e-300, 1.0, 1e300])
def test_squares_do_not_overflow(size: float) -> None:
    x, y = Value(3.0 * size), Value(4.0 * size)
    np.hypot(x, y).backward()
    assert (x.grad, y.grad) == pytest.approx((0.6, 0.8), rel=1e-15)
    x, y = Value(3.0 * size), Value(4.0 * size)
    (np.arctan2(y, x) * size).backward()
    assert (y.grad, x.grad) == pytest.approx((0.12, -0.16), rel=1e-15)
    assert grad(np.arcsinh)(4.0 * size) * size == pytest.approx(size / math.hypot(1.0, 4.0 * size))


def test_hypot_of_nothing_has_slope_0() -> None:
    assert grad(np.hypot, (0, 1))(0.0, 0.0) == (0.0, 0.0)
    assert grad(np.hypot, (0, 1))(np.zeros(()), np.zeros(())) == (0.0, 0.0)


@pytest.mark.parametrize("apart", [0.0, 1.0, -60.0, 2000.0])
def test_logaddexp2_is_accurate_in_its_tails(apart: float) -> None:
    for big in (0.0, 1e10, -1e300):
        x, y = Value(big), Value(big + apart)
        np.logaddexp2(x, y).backward()
        far = mpmath.mpf(y.data) - mpmath.mpf(x.data)
        for v, sign in ((x, 1), (y, -1)):
            wanted = float(1 / (1 + mpmath.mpf(2) ** (sign * far)))
            assert v.grad == pytest.approx(wanted, rel=1e-12, abs=0.0)


def test_ties_and_nan_of_fmax_and_fmin() -> None:
    for f in (np.fmax, np.fmin):
        assert grad(f, (0, 1))(1.0, 1.0) == (0.5, 0.5)
        assert grad(f, (0, 1))(np.nan, 1.0) == (0.0, 1.0)
        assert grad(f, (0, 1))(1.0, np.nan) == (1.0, 0.0)
        np.testing.assert_array_equal(f(Value([np.nan, 1.0]), [2.0, np.nan]).data, [2.0, 1.0])


def test_what_replaces_nan_and_infinity() -> None:
    x = np.array([1.0, np.nan, np.inf, -np.inf])
    for options in ({}, {"nan": 5.0, "posinf": 6.0, "neginf": 7.0}, {"copy": False}):
        v = Value(x.copy())
        out = np.nan_to_num(v, **options)
        np.testing.assert_array_equal(out.data, np.nan_to_num(x, **{**options, "copy": True}))
        out.sum().backward()
        np.testing.assert_array_equal(v.grad, [1.0, 0.0, 0.0, 0.0])
        np.testing.assert_array_equal(v.data, x)


# ------------------------------------------------------------------ as strict as NumPy
X23, X32, X3 = np.ones((2, 3)), np.ones((3, 2)), np.array([0.5, -1.0, 2.0])
REFUSED: dict[str, Callable[[Any], Any]] = {
    "axis of diff": lambda w: np.diff(w(X23), axis=2),
    "axis of median": lambda w: np.median(w(X23), axis=-3),
    "axis of trapezoid": lambda w: np.trapezoid(w(X23), axis=2),
    "axis of a number": lambda w: np.take_along_axis(w(np.array(1.0)), np.array([0]), 0),
    "lengths of tensordot": lambda w: np.tensordot(w(X23), X32, ([0, 1], [0, 1])),
    "lengths of vecdot": lambda w: np.vecdot(w(X23), np.ones((2, 1))),
    "axis of vecdot": lambda w: np.vecdot(w(X3), X23, axis=1),
    "weights of average": lambda w: np.average(w(X23), 1, [2.0]),
    "mask of piecewise": lambda w: np.piecewise(w(X23), [X3 > 0], [2.0]),
    "functions of piecewise": lambda w: np.piecewise(w(X3), [X3 > 0], [1.0, 2.0, 3.0]),
    "what is no power": lambda w: np.linalg.matrix_power(w(X3), 2),
    "a letter's lengths": lambda w: np.einsum("ii", w(np.ones((3, 1)))),
    "order of norm": lambda w: np.linalg.norm(w(X3), "fro", axis=0),
}


@pytest.mark.parametrize("f", REFUSED.values(), ids=REFUSED)
def test_what_numpy_refuses_is_refused(f: Callable[[Any], Any]) -> None:
    for wrap in (np.asarray, Value):
        with pytest.raises((ValueError, TypeError, IndexError)):
            f(wrap)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.vecdot(x[:, 0], x * 2.0, axis=0),
        lambda x: np.piecewise(x, [True, False, True], [np.exp, 2.0]),
        lambda x: np.piecewise(x, [[False, True, False]], [np.exp]),
        lambda x: np.average(x, 1, [1.0, 2.0]),
    ],
)
def test_axes_and_masks_of_fewer_dimensions(f: Callable[..., Any]) -> None:
    (x,) = numbers((3, 2, 3), seed=2)
    agrees(f, x[:, 1, :2] if "average" in f.__code__.co_names else x, programs=False)


def test_a_users_record_counts_more_than_a_spelling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SPELLINGS, np.median, SPELLINGS[np.median])  # which it is again afterwards
    monkeypatch.setitem(TABLE, np.median, None)
    primitive(lambda g, out, x: np.full(3, 5.0 * g))(np.median)
    np.testing.assert_array_equal(grad(np.median)(np.arange(3.0)), 5.0)


@pytest.mark.parametrize("name", ["sum", "mean", "max", "min", "prod"])
@pytest.mark.parametrize("options", [{}, {"axis": 0, "keepdims": True}, {"where": True}], ids=str)
def test_a_usual_reduction_is_one_node(name: str, options: dict[str, Any]) -> None:
    v = Value(np.arange(1.0, 7.0).reshape(2, 3))
    out = getattr(np, name)(v, **options)
    assert (out.op.name, out.parents) == (name, (v,))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("ddof", [1, 2, 3])
@pytest.mark.parametrize("function", [np.var, np.std])
def test_a_variance_of_too_few(function: Any, ddof: int) -> None:
    x = np.array([1.0, 3.0])
    np.testing.assert_array_equal(function(Value(x), ddof=ddof).data, function(x, ddof=ddof))


def test_norms_of_infinity_and_of_nothing() -> None:
    for x in (np.array([np.inf, 1.0]), np.array([np.inf]), np.zeros(0), np.zeros(2)):
        for p in (-2, -1, 0.5, 1, 3):
            with np.errstate(divide="ignore"):
                wanted = np.linalg.norm(x, p)
                np.testing.assert_array_equal(np.linalg.norm(Value(x), p).data, wanted)


# ------------------------------------------------------------------ methods and operators
def test_methods_are_the_functions() -> None:
    (x,) = numbers((2, 3), seed=2)
    calls: list[Callable[..., Any]] = [
        lambda v: v.var(), lambda v: v.std(0), lambda v: v.prod(axis=1, keepdims=True),
        lambda v: v.var(axis=1, ddof=1), lambda v: v.trace(), lambda v: v.diagonal(1),
        lambda v: v.repeat(2, axis=0), lambda v: v.ravel("F"), lambda v: v.flatten("F"),
        lambda v: v.mT, lambda v: v.sum(0, np.float64), lambda v: v.reshape(3, 2, order="F"),
        lambda v: v.astype(np.float64), lambda v: v.real, lambda v: v.conj(),
        lambda v: v.mean(where=x > 0), lambda v: v.max(initial=0.1),
    ]  # fmt: skip
    for f in calls:
        agrees(f, x)
    np.testing.assert_array_equal(Value(x).nonzero(), x.nonzero())


def test_remainders_and_whole_quotients() -> None:
    (x, y) = numbers((2, 3), (3,), seed=2)
    agrees(lambda x, y: x % (y + 2.0), x, y)
    agrees(lambda x: 2.5 % (x + 3.0), x)
    agrees(lambda x: np.array([2.5, -2.5, 1.0]) % (x + 3.0), x)
    v = Value(x)
    assert isinstance(v // 2.0, np.ndarray)
    whole, rest = divmod(v, 2.0)
    np.testing.assert_array_equal(whole * 2.0 + rest.data, x)
    assert (Value(7.5) % 2.0).data == 1.5
    assert (-7.5 % Value(2.0)).data == 0.5


def test_a_narrow_copy_keeps_the_gradient() -> None:
    v = Value(np.array([1.0, 2.0]))
    out = v.astype(np.float32) * np.float32(2.0)
    assert out.dtype == np.float32
    out.sum().backward()
    assert v.grad.dtype == np.float64
    np.testing.assert_array_equal(v.grad, [2.0, 2.0])
    with pytest.raises(TypeError, match="dtype=int64, wanted a float type"):
        v.astype(int)


def test_a_value_that_fills_an_array_has_a_gradient() -> None:
    w = Value(3.0)
    np.sum(np.full_like(Value(np.ones((2, 2))), w)).backward()
    assert w.grad == 4.0
    plain = np.full_like(Value(np.ones(2, np.float32)), 5)
    assert plain.__class__ is np.ndarray
    assert plain.dtype == np.float32
    made = program(lambda a, b: np.sum(a * np.full_like(b, b[0])), np.ones(2), np.array([2.0, 3.0]))
    assert made(np.ones(2), np.array([5.0, 3.0]))[0] == 10.0


def test_outer_of_ufuncs() -> None:
    x, y = numbers((2,), (3, 2), seed=2)
    for f in (np.multiply, np.subtract, np.maximum, np.hypot):
        agrees(f.outer, x, y)
    agrees(lambda x: np.subtract.outer(x, x), x)


@pytest.mark.parametrize("ddof", [1, 2, 3, 0.5])
@pytest.mark.parametrize("name", ["var", "std", "nanvar", "nanstd"])
def test_too_few_numbers_for_a_variance(name: str, ddof: float) -> None:
    """Of no degree of freedom: nan of those that leave nan out, inf or nan of the others."""
    f, x = getattr(np, name), np.array([[1.0, 2.0, np.nan], [4.0, np.nan, np.nan], [3.0, 3.5, 7.0]])
    for axis in (None, 0, 1):
        for where in (True, np.arange(9).reshape(3, 3) % 2 == 0):
            how = {"axis": axis, "ddof": ddof, "where": where}
            with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
                wanted, found = f(x, **how), f(Value(x), **how).data
            np.testing.assert_allclose(found, wanted, 1e-12)
    with np.errstate(all="ignore"):
        slope = grad(lambda x: np.nanvar(x, axis=1, ddof=2.0).sum())(x)
    assert np.isnan(slope[0, :2]).all()
    assert np.isfinite(slope[2]).all()
