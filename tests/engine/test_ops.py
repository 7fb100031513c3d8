"""Every primitive of the table, for every argument, against the complex step or differences."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import wraps
from typing import Any

import mpmath
import numpy as np
import pytest
from conftest import need, some_quick
from helpers.operations import (
    ELSEWHERE,
    LINES,
    OPS,
    SPECIAL,
    Case,
    H,
    cases,
    domain_of,
    inside,
    slope,
)
from hypothesis import Phase, given, settings

from tinygrad_ce import Value, detach, grad, primitive
from tinygrad_ce.engine.operation import POSITIVE, TABLE, Each, Primitive


def test_every_operation_has_a_line() -> None:
    assert set(OPS) - ELSEWHERE == set(LINES)


# ------------------------------------------------------------------ the check
def is_analytic(op: Primitive) -> bool:
    """Whether complex numbers may be put in: there are no pieces, and NumPy has it for them."""
    if isinstance(op.function, np.ufunc):  # of SciPy's not all are accurate
        known = hasattr(np, op.name) and "D->D" in "".join(op.function.types)
        return not op.piecewise and (known or "DD->D" in op.function.types)
    return not op.piecewise and op.name not in ("astype", "sigmoid", "zeta")


def check(op: Primitive, args: list[Any], options: dict[str, Any]) -> None:
    """The gradient of every argument that has a rule, entry by entry."""
    wide = [np.asarray(a, float) if a.dtype.kind == "f" else a for a in args]
    g = np.random.default_rng(1).normal(size=np.shape(op.fn(*args, **options)))
    rules = [rule for rule, _ in zip(op.vjps, args)]
    given = [Value(a) if rule else a for a, rule in zip(args, rules)]
    node = op(*given, **options)
    node.backward(g)
    for i, v in enumerate(given):
        if isinstance(v, Value):

            def f(x: Any, i: int = i) -> Any:
                return np.sum(g * op.fn(*wide[:i], x, *wide[i + 1 :], **options))

            wanted = slope(f, v.data, is_analytic(op))
            assert v.grad.shape == v.shape
            assert v.grad.dtype == v.dtype
            rough = any(a.dtype == np.float32 for a in args)
            tol = 1e-4 if rough else 1e-12 if is_analytic(op) else 1e-7
            np.testing.assert_array_less(abs(v.grad - wanted), tol * (1 + abs(wanted)))


@pytest.mark.parametrize("name", LINES)
def test_gradient_of_every_argument(name: str) -> None:
    op = OPS[name]

    @given(cases(op))
    def run(case: Case) -> None:
        check(op, *case)

    run()


def check_second(op: Primitive, args: list[Any], options: dict[str, Any]) -> None:
    """The gradient of the gradient, in a random direction, against differences of the gradient."""
    args = [np.asarray(a, float) if a.dtype.kind == "f" else a for a in args]
    rng = np.random.default_rng(2)
    c = rng.normal(size=np.shape(op.fn(*args, **options)))
    to = [i for i, (rule, _) in enumerate(zip(op.vjps, args)) if rule]
    w, u = ([rng.normal(size=args[i].shape) for i in to] for _ in range(2))

    def loss(*xs: Any) -> Any:  # squared, so that the upstream gradient depends on xs too
        return np.sum(c * np.square(op(*xs, **options)))

    def along_w(*xs: Any) -> Any:
        return sum(np.sum(wi * gi) for wi, gi in zip(w, grad(loss, to)(*xs)))

    def moved(h: float) -> list[Any]:
        xs = list(args)
        for i, ui in zip(to, u):
            xs[i] = args[i] + h * ui
        return xs

    h = H / 10
    got = sum(np.sum(ui * gi) for ui, gi in zip(u, grad(along_w, to)(*args)))
    wanted = (along_w(*moved(h)) - along_w(*moved(-h))) / (2 * h)
    scale = 1.0 + abs(wanted) + sum(np.sum(abs(gi)) for gi in grad(loss, to)(*args))
    assert abs(got - wanted) < 1e-5 * scale


@pytest.mark.parametrize("name", LINES)
def test_second_order(name: str) -> None:
    op = OPS[name]

    @given(cases(op))
    @settings(max_examples=settings.default.max_examples // 3)
    def run(case: Case) -> None:
        check_second(op, *case)

    run()


# ------------------------------------------------------------------ what records say besides
def is_linear(op: Primitive, args: list[Any], options: dict[str, Any], at: Sequence[int]) -> bool:
    """Whether f(x + y) = f(x) + f(y) in some of the arguments, the others fixed."""
    other, both = list(args), list(args)
    for i in at:
        other[i] = np.sin(args[i] + 0.1 * np.arange(args[i].size).reshape(args[i].shape))
        both[i] = args[i] + other[i]
    x, y, z = (op.fn(*each, **options) for each in (args, other, both))
    return np.allclose(x + y, z, rtol=1e-13, atol=1e-13)


def is_moving(op: Primitive, args: list[Any], options: dict[str, Any]) -> bool:
    """Whether the entries of the result are entries of the arguments."""
    entries = [np.ravel(a) for a in args if a.dtype.kind == "f"]
    return bool(np.isin(op.fn(*args, **options), np.concatenate(entries)).all())


@pytest.mark.parametrize("name", some_quick(LINES, 3))
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # f(x + y) may be outside of the domain
def test_what_a_record_says_of_its_function_holds_and_is_all(name: str) -> None:
    """In which arguments it is linear, whether it moves entries, and what a program needs."""
    op = OPS[name]
    seen, other = set[Any](), set[Any]()  # the arguments; those in which it is not linear

    @given(cases(op))
    @settings(max_examples=15)
    def run(case: Case) -> None:
        args, options = case
        args = [np.asarray(a, float) if a.dtype.kind == "f" else a for a in args]
        out = op.fn(*args, **options)
        floats = [i for i, a in enumerate(args) if a.dtype.kind == "f"]
        if not all(map(np.size, args)):
            return
        seen.update(floats)
        other.update([] if is_moving(op, args, options) else ["moves"])
        other.update(i for i in floats if not is_linear(op, args, options, [i]))
        if op.moves and len(floats) > 1:  # np.where, np.concatenate
            assert is_linear(op, args, options, floats)
        if op.terms:
            np.testing.assert_allclose(out, sum(n * x for n, x in zip(op.terms, args)), 1e-15)
        if op.powers:
            np.testing.assert_allclose(out, math.prod(map(np.power, args, op.powers)), 1e-15)
        if op.even:
            np.testing.assert_array_equal(out, op.fn(-args[0], **options))
        assert not op.positive or np.all(out > 0.0)

    run()
    if op.piecewise or op in SPECIAL or op.name in ("positive", "negative", "astype"):
        return  # with drawn numbers alone one cannot tell; and astype rounds
    if not op.powers:
        assert seen - other == {*op.linear}
    assert op.moves == ("moves" not in other)


@pytest.mark.parametrize("name", [name for name, op in OPS.items() if op.instead or op.slips])
def test_what_learners_write_in_the_place_of_an_operation_is_wrong(name: str) -> None:
    op = OPS[name]
    signs = [1, 1, 1] if op.domain and op.domain[0] == POSITIVE else [-1, 1, -1]
    x, y = np.array([0.3, 0.6, 0.8]) * signs, np.array([0.7, 3.0, 1.5])
    args = {1: [x], 2: [x, y], 3: [x < 0.5, x, y]}[op.arity or 0]
    right = op.fn(*args)
    for reads, f in op.instead:
        wrong = np.asarray(f(*args))
        assert wrong.shape == right.shape, reads
        assert not np.allclose(wrong, right), reads
    slope = op.vjps[0](np.ones(3), right, *args) if op.vjps[0] else None
    for reads, f in op.slips:
        assert not np.allclose(f(x), slope), reads


A, ROW = np.array([[2.0, 1.0], [0.5, 3.0]]), np.array([1.0, -2.0, 0.5])
SEVERAL: dict[Any, tuple[list[Any], dict[str, Any]]] = {
    np.cumsum: ([A], {"axis": 0}),
    np.cumprod: ([A], {"axis": 0}),
    np.convolve: ([ROW, ROW[:2]], {}),
    np.linalg.solve: ([A, A + 1.0], {}),
    np.linalg.inv: ([A], {}),
    np.linalg.det: ([A], {}),
}


@pytest.mark.parametrize("f", SEVERAL, ids=lambda f: f.__name__)
def test_in_which_arguments_other_functions_are_linear(f: Any) -> None:
    op, (args, options) = TABLE[f], SEVERAL[f]
    found = [i for i in range(len(args)) if is_linear(op, args, options, [i])]
    assert [*op.linear] == found


# ------------------------------------------------------------------ the check is checked
def mutant(op: Primitive, i: int, factor: float) -> Primitive:
    """A copy whose rule for argument i is wrong by a factor; the table keeps the right one."""

    def scaled(rule: Any) -> Any:
        return wraps(rule)(lambda *args, **options: factor * rule(*args, **options))

    if isinstance(op.vjps, Each):
        rule = op.vjps.rule
        each = wraps(rule)(lambda j, *a, **k: (factor if j == i else 1.0) * rule(j, *a, **k))
        return replace(op, vjps=Each(each))
    rules = [scaled(rule) if j == i else rule for j, rule in enumerate(op.vjps)]
    return replace(op, vjps=tuple(rules))


RULES = [
    (name, i)
    for name in LINES
    for i, rule in enumerate(r for r, _ in zip(OPS[name].vjps, OPS[name].domain or ()))
    if rule
]


@pytest.mark.parametrize(
    "factor", [1.01, *(pytest.param(x, marks=pytest.mark.slow) for x in (0.0, -1.0))]
)
@pytest.mark.parametrize(("name", "i"), RULES)
def test_check_kills_every_mutant(name: str, i: int, factor: float) -> None:
    wrong = mutant(OPS[name], i, factor)

    @given(cases(wrong))
    @settings(max_examples=60, phases=[Phase.generate])
    def run(case: Case) -> None:
        check(wrong, *case)

    before = dict(TABLE)
    with pytest.raises(AssertionError):
        run()
    assert before == TABLE


@pytest.mark.parametrize("name", ["multiply", "divide", "power", "exp", "log", "tanh", "matmul"])
def test_second_order_sees_a_rule_that_drops_the_graph(name: str) -> None:
    def dropped(rule: Any) -> Any:
        return wraps(rule)(lambda g, *args: rule(g, *map(detach, args)))

    wrong = replace(OPS[name], vjps=tuple(dropped(rule) for rule in OPS[name].vjps))

    @given(cases(wrong))
    @settings(max_examples=60, phases=[Phase.generate])
    def run(case: Case) -> None:
        check_second(wrong, *case)

    with pytest.raises(AssertionError):
        run()


# ------------------------------------------------------------------ floats, ties, LaTeX
FLOATS = [name for name in LINES if OPS[name].scalar]


@pytest.mark.parametrize("name", FLOATS)
def test_python_floats_stay_and_agree_with_arrays(name: str, rng: np.random.Generator) -> None:
    op = OPS[name]
    rules = tuple(op.vjps)
    for _ in range(20):
        floats = [float(inside(d, rng.uniform())) for d in domain_of(op, len(rules))]
        results = []
        for wrap in (lambda x: x, np.array, lambda x: np.array([x])):
            given = [Value(wrap(x)) if rule else x > 0 for x, rule in zip(floats, rules)]
            node = op(*given)
            node.backward(None if node.size == 1 else np.ones(node.shape))
            leaves = [v for v in given if isinstance(v, Value)]
            if wrap(1.0).__class__ is float:
                assert all(type(x) is float for x in (node.data, *[v.grad for v in leaves]))
            results.append([float(np.sum(x)) for x in (node.data, *[v.grad for v in leaves])])
        np.testing.assert_allclose(results[1], results[0], rtol=1e-14)
        np.testing.assert_allclose(results[2], results[0], rtol=1e-14)


TIED = [[2.0, 1.0, 2.0], [3.0, 3.0, 3.0], [0.0, -0.0, -1.0]]


@pytest.mark.parametrize(("function", "twin"), [(np.max, "amax"), (np.min, "amin")])
@pytest.mark.parametrize("axis", [0, 1, (0, 1)])
def test_ties_of_max_share_equally(function: Any, twin: str, axis: Any) -> None:
    torch = need("torch")
    v, t = Value(TIED), torch.tensor(TIED, dtype=torch.float64, requires_grad=True)
    function(v, axis=axis).sum().backward()
    getattr(torch, twin)(t, dim=axis).sum().backward()
    np.testing.assert_allclose(v.grad, t.grad.numpy(), rtol=1e-15)


@pytest.mark.parametrize("name", ["maximum", "minimum"])
def test_ties_of_maximum_share_equally(name: str) -> None:
    torch = need("torch")
    data = np.array([[1.0, 1.0, 2.0, 0.0], [1.0, 2.0, 1.0, -0.0]])
    v, w = Value(data[0]), Value(data[1])
    getattr(np, name)(v, w).sum().backward()
    s, t = (torch.tensor(row, requires_grad=True) for row in data)
    getattr(torch, name)(s, t).sum().backward()
    np.testing.assert_array_equal([v.grad, w.grad], [s.grad.numpy(), t.grad.numpy()])
    a, b = Value(1.0), Value(1.0)
    getattr(np, name)(a, b).backward()
    assert (a.grad, b.grad) == (0.5, 0.5)


def test_nan_wins_in_max_and_takes_the_gradient() -> None:
    v = Value([[1.0, np.nan, 2.0, np.nan], [1.0, 2.0, 0.0, 1.0]])
    for f in (np.max, np.min):
        v.grad = None
        f(v, axis=1).sum().backward()
        np.testing.assert_array_equal(v.grad[0], [0.0, 0.5, 0.0, 0.5])
        assert np.isnan(f(v).data)


@pytest.mark.parametrize("name", OPS)
def test_latex_has_only_known_places(name: str) -> None:
    operation, *rules = OPS[name].latex
    assert set(re.findall(r"<(\w+)>", operation)) <= {"x", "y", "z"}
    assert "<x>" in operation
    assert all(set(re.findall(r"<(\w+)>", r)) <= {"x", "y", "z", "out", "g"} for r in rules)
    flows = [rule for rule, vjp in zip(rules, OPS[name].vjps) if vjp]
    assert all("<g>" in rule for rule in flows)
    if isinstance(OPS[name].vjps, tuple):
        assert len(rules) == len(tuple(OPS[name].vjps))


# ------------------------------------------------------------------ a user's own operation
def test_primitive_of_a_user() -> None:
    cube = primitive(lambda g, out, x: g * 3.0 * x**2, name="cube")(lambda x: x**3)
    v = Value([1.0, -2.0])
    cube(v).sum().backward()
    np.testing.assert_array_equal(v.grad, [3.0, 12.0])
    assert cube(2.0) == 8.0  # on plain data it computes, and records nothing
    assert grad(grad(cube))(2.0) == 12.0


def test_primitive_gives_a_numpy_function_a_rule() -> None:
    with pytest.raises(NotImplementedError, match="i0"):
        np.i0(Value(1.0))
    primitive(lambda g, out, x: g * (x / 2.0 + x**3 / 16.0))(np.i0)  # of small x
    v = Value([0.0, 1e-3])
    np.i0(v).sum().backward()
    np.testing.assert_allclose(v.grad, [0.0, 5e-4], rtol=1e-6)


def test_primitive_passes_options_to_its_rules() -> None:
    scale = primitive(lambda g, out, x, *, by=2.0: g * by, name="scale")(lambda x, by=2.0: x * by)
    v = Value(3.0)
    scale(v, by=5.0).backward()
    assert v.grad == 5.0
    with pytest.raises(TypeError, match="scale: got an unexpected keyword argument 'to'"):
        scale(v, to=1.0)


def test_an_argument_by_name_is_recorded() -> None:
    divide = primitive(
        lambda g, out, x, y: g / y, lambda g, out, x, y: -g * x / y**2, name="divide"
    )(lambda x, y: x / y)
    x, y = Value(3.0), Value(2.0)
    divide(y=y, x=x).backward()
    assert (x.grad, y.grad) == (0.5, -0.75)


@pytest.mark.parametrize("rules", [(), (None,), ("g",)])
def test_primitive_wants_a_rule(rules: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError, match="one VJP"):
        primitive(*rules)


def test_a_value_where_a_ufunc_has_no_rule_is_refused() -> None:
    primitive(lambda g, out, x, y: g * np.sign(x) * np.sign(y), None)(np.copysign)
    x = Value([1.0, -2.0])
    np.copysign(x, 1.0).sum().backward()
    np.testing.assert_array_equal(x.grad, [1.0, -1.0])
    with pytest.raises(TypeError, match="copysign: argument 1 has no derivative"):
        np.copysign(x, Value(1.0))


def test_mean_of_nothing_has_a_gradient_of_nothing() -> None:
    x = Value(np.zeros((0, 3, 2)))
    with pytest.warns(RuntimeWarning):
        out = x.mean(axis=(0, 1))
    out.backward(np.ones(2))
    assert x.grad.shape == (0, 3, 2)


@pytest.mark.parametrize("big", [0.0, 1e10, -1e10, 1e20, 1e300])
def test_logaddexp_shares_out_its_gradient_at_any_size(big: float) -> None:
    for apart in (0.0, 1.0, -700.0):
        x, y = Value(big), Value(big + apart)
        np.logaddexp(x, y).backward()
        for v, other in ((x, y), (y, x)):
            wanted = 1 / (1 + mpmath.exp(mpmath.mpf(other.data) - mpmath.mpf(v.data)))
            assert v.grad == pytest.approx(float(wanted), rel=1e-13, abs=0.0)


def test_logaddexp_at_infinity_has_the_slopes_of_its_limit() -> None:
    for x, y in ((np.inf, 1.0), (1.0, -np.inf)):
        for a, b in ((x, y), (np.array([x]), np.array([y]))):
            v, w = Value(a), Value(b)
            np.logaddexp(v, w).sum().backward()
            assert (float(np.sum(v.grad)), float(np.sum(w.grad))) == (1.0, 0.0)


@pytest.mark.parametrize("x", [-2.0, 0.25, 3.0])
@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (1.0, 0.0), (1.0, -1.0)])
def test_clip_gives_its_gradient_to_what_it_returns(x: float, low: float, high: float) -> None:
    """Where low is above high the result is high, as in NumPy, so no other bound has a slope."""
    given = [Value(x), Value(low), Value(high)]
    out = np.clip(*given)
    out.backward()
    assert out.data == np.clip(x, low, high)
    bumped = [
        np.clip(*(d + 1e-6 * (k == i) for k, d in enumerate((x, low, high)))) for i in range(3)
    ]
    slopes = [(b - out.data) / 1e-6 for b in bumped]
    assert [v.grad for v in given] == pytest.approx(slopes, abs=1e-6)
