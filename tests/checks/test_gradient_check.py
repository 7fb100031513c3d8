"""The gradient check: right gradients pass, wrong ones fail and are blamed, and doubt is said."""

from __future__ import annotations

import math
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_ce as tg
from tinygrad_ce import GradcheckError, Value, gradcheck, primitive

METHODS = ["central", "complex"]
X = np.random.default_rng(1).normal(size=(2, 3))


def wrong_exp(factor: float) -> Any:
    return primitive(lambda g, out, x: factor * g * out, name="exp")(lambda x: np.exp(x))


RIGHT = {
    "softmax": tg.softmax,
    "log_softmax": tg.log_softmax,
    "logsumexp": lambda z: tg.logsumexp(z, axis=1),
    "sigmoid": tg.sigmoid,
    "quadratic": lambda x: np.einsum("ij,kj->ik", x, x),
    "cross entropy": lambda z: tg.cross_entropy(z, np.array([0, 2])),
    "composed cross entropy": lambda z: tg.cross_entropy(z, np.array([0, 2]), fused=False),
    "indexing": lambda x: x[:, [0, 0, 2]] ** 2,
    "division": lambda x: 1 / (2 + x * x),
    "stack": lambda x: np.stack([x, np.exp(x)]).mean(axis=0),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", RIGHT)
def test_right_gradients_pass(name: str, method: str) -> None:
    report = gradcheck(RIGHT[name], X, method=method)
    assert report, report
    assert report.inputs[0].max_rel_error < (1e-8 if method == "central" else 1e-12)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["softmax", "sigmoid", "cross entropy", "division"])
def test_second_order_passes(name: str, method: str) -> None:
    report = gradcheck(RIGHT[name], X, method=method, order=2)
    assert report, report
    assert report.order == 2


def test_a_rule_right_in_first_order_and_wrong_in_second_is_caught() -> None:
    # g·exp(x) with the exponential computed on plain data: its own derivative is lost.
    half = primitive(lambda g, out, x: g * np.exp(tg.detach(x)))(lambda x: np.exp(x))
    assert gradcheck(half, X)
    for order in (2, 3):
        report = gradcheck(half, X, order=order)
        assert (report.verdict, report.order) == ("fail", 2)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("factor", [0.0, -1.0, 1.01, 2.001 / 2, 0.99])
def test_wrong_gradients_fail_and_the_node_is_named(factor: float, method: str) -> None:
    exp = wrong_exp(factor)
    report = gradcheck(lambda x: exp(np.log(1 + x * x)) / (1 + exp(x)), X, method=method)
    assert report.verdict == "fail"
    assert report.blame.startswith("exp_1, entry (")
    check = report.inputs[0]
    assert f"{check.analytic:.8g}" in str(report)
    assert "exp_1" in str(report)


def test_the_blamed_entry_and_its_numbers_are_those_of_the_wrong_rule() -> None:
    def rule(g: Any, out: Any, x: Any) -> Any:
        weight = np.ones(np.shape(x))
        weight[1, 2] = 3.0
        return g * out * weight

    exp = primitive(rule, name="exp")(lambda x: np.exp(x))
    report = gradcheck(lambda x: 2 * exp(x), X)
    assert report.inputs[0].where == (1, 2)
    assert report.blame.startswith("exp, entry (1, 2): ")
    analytic, numeric = (float(t) for t in report.blame.split(": ")[1].split(", numeric "))
    assert analytic == pytest.approx(3 * numeric, rel=1e-5)


def test_of_two_arguments_the_wrong_one_is_named() -> None:
    times = primitive(lambda g, out, x, y: g * y, lambda g, out, x, y: g * y, name="times")(
        lambda x, y: x * y
    )
    report = gradcheck(times, X, X + 1)
    assert [c.verdict for c in report.inputs] == ["pass", "fail"]
    assert report.blame.startswith("times to leaf, entry")


@pytest.mark.slow
@given(st.integers(0, 10**6))
def test_random_cotangents_see_what_a_plain_sum_hides(seed: int) -> None:
    def softmax_without_sum_rule(z: Any) -> Any:  # its backward is 0, as that of a plain sum is
        dead = primitive(lambda g, out, z: 0 * g)(lambda z: tg.softmax(z))
        return dead(z)

    z = np.random.default_rng([seed, 1]).normal(size=4)
    assert gradcheck(softmax_without_sum_rule, z, seed=seed).verdict == "fail"


@pytest.mark.parametrize("method", METHODS)
def test_a_constant_output_is_inconclusive(method: str) -> None:
    report = gradcheck(lambda z: tg.softmax(z).sum(), X, method=method)
    assert report.verdict == "inconclusive"
    assert "output is constant in this direction" in report.reason


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("f", "x", "jump"),
    [
        (tg.relu, [1.0, 0.0, -2.0], 1.0),
        (np.abs, [1.0, 0.0], 2.0),
        (lambda x: np.maximum(x, 2.0), [1.0, 2.0], 1.0),
        (lambda x: x.max(), [1.0, 3.0, 3.0], 1.0),
        (lambda x: np.clip(x, 0.0, 1.0), [0.5, 1.0], 1.0),
    ],
)
def test_a_kink_is_inconclusive_and_its_jump_told(f: Any, x: Any, jump: Any, method: str) -> None:
    report = gradcheck(lambda x: np.sum(f(x)), np.array(x), method=method)
    assert report.verdict == "inconclusive"
    assert report.reason == f"kink: the slope jumps by {jump:g}"


def test_beside_a_kink_the_check_works() -> None:
    assert gradcheck(tg.relu, np.array([0.01, -0.01, 3.0]))


def test_a_kink_of_a_function_that_is_no_graph_is_seen_too() -> None:
    report = gradcheck(lambda x: abs(float(x)), 0.0, gradient=lambda x: 0.0)
    assert report.verdict == "inconclusive"
    assert report.reason.startswith("kink: the slope jumps by 2")


def test_float32_says_what_it_cannot_see() -> None:
    near = wrong_exp(1.0001)
    report = gradcheck(lambda x: near(x).sum(), X.astype(np.float32))
    assert report.verdict == "inconclusive"
    assert "float32: numeric error larger than the difference" in report.reason
    assert report.reason.endswith("; check in float64")
    assert gradcheck(lambda x: near(x).sum(), X).verdict == "fail"


def test_float16_does_not_make_a_right_gradient_wrong() -> None:
    report = gradcheck(RIGHT["cross entropy"], X.astype(np.float16))
    assert report.verdict == "inconclusive", report


def test_float32_still_sees_a_gross_mistake() -> None:
    assert gradcheck(wrong_exp(1.5), X.astype(np.float32)).verdict == "fail"


def test_a_gradient_function_beside_a_plain_function() -> None:
    t = np.array([1.0, 0.0, 0.0])

    def loss(z: Any) -> Any:
        return float(-np.log(np.exp(z) / np.exp(z).sum())[0])

    def p(z: Any) -> Any:
        return np.exp(z) / np.exp(z).sum()

    z = np.array([3.2, 1.3, 0.5])
    assert gradcheck(loss, z, gradient=lambda z: p(z) - t)
    wrong = gradcheck(loss, z, gradient=lambda z: t - p(z))
    assert wrong.verdict == "fail"
    assert wrong.blame == wrong.reason == ""
    assert gradcheck(loss, z, gradient=lambda z: p(z)).inputs[0].where == (0,)
    assert gradcheck(loss, z, gradient=lambda z: [-0.178, 0.123, 0.0552]).verdict == "fail"
    for array in (p(z) - t, [0.5, 0.25, 0.25], 0.0):
        with pytest.raises(TypeError, match=r"gradient: got (ndarray|list|float), .* lambda x"):
            gradcheck(loss, z, gradient=array)


def test_several_inputs_and_structures() -> None:
    def model(params: Any, x: Any) -> Any:
        return np.tanh(x @ params["W"] + params["b"])

    params = {"W": X.T, "b": np.zeros(2)}
    report = gradcheck(model, params, X)
    assert report, report
    assert [c.name for c in report.inputs] == ["input 0['W']", "input 0['b']", "input 1"]
    both = gradcheck(
        lambda a, b: float(a * b), 2.0, 3.0, gradient=lambda a, b: (b, a), method="central"
    )
    assert both


def test_a_gradient_lost_on_the_way_is_told_from_a_wrong_rule() -> None:
    report = gradcheck(lambda x: x * tg.detach(x), X)
    assert report.verdict == "fail"
    assert "does not go through the graph" in report.blame


def test_a_scalar_input_stays_a_python_float() -> None:
    seen: list[type] = []

    def f(x: Any) -> Any:
        seen.append(type(tg.detach(x)))
        return x * x

    assert gradcheck(f, 3.0)
    assert set(seen) == {float}


@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize("distance", [1e-9, 3e-9, 1e-8, 1e-6, 1e-3, 0.1])
def test_near_a_kink_half_the_slope_never_passes(distance: float, right: bool) -> None:
    # Steps across the kink agree on the mean of the two slopes; only shorter ones tell.
    for x in (1 - distance, 1 + distance):
        slope = float(x > 1) if right else 0.5
        report = gradcheck(lambda x: max(x - 1, 0.0), x, gradient=lambda x, slope=slope: slope)
        assert report.verdict in ("inconclusive", "pass" if right else "fail"), report
        assert distance < 1e-6 or report.verdict != "inconclusive", report


@pytest.mark.parametrize("factor", [1.0, 1.01])
@pytest.mark.parametrize(
    ("f", "slope", "x"),
    [
        (lambda x: math.sin(1e4 * x), lambda x: 1e4 * math.cos(1e4 * x), 3.3),
        (lambda x: math.sin(x), lambda x: math.cos(x), 1e6 + 0.3),
        (lambda x: math.exp(-((1e3 * x) ** 2)), lambda x: -2e6 * x * math.exp(-1e6 * x * x), 1e-3),
        (lambda x: 1 / x, lambda x: -1 / x**2, 1e-8),
        (lambda x: 1 / x, lambda x: -1 / x**2, 1e-30),
        (lambda x: math.tanh(1e30 * x), lambda x: 1e30 / math.cosh(1e30 * x) ** 2, 3e-31),
        (lambda x: math.sin(1e290 * x), lambda x: 1e290 * math.cos(1e290 * x), 3e-291),
        (lambda x: 1e6 + math.exp(x), math.exp, 0.7),
    ],
)
def test_every_scale_is_resolved(f: Any, slope: Any, x: float, factor: float) -> None:
    report = gradcheck(f, x, gradient=lambda x: factor * slope(x))
    assert report.verdict == ("pass" if factor == 1 else "fail"), report


@pytest.mark.parametrize("scale", [1e-100, 1e-30, 1e-8, 1e8, 1e100])
def test_the_complex_step_suits_the_scale_of_x(scale: float) -> None:
    assert gradcheck(lambda x: 1 / x + np.tanh(x / scale) / scale, scale * X**2, method="complex")


def test_float32_inside_a_function_that_returns_float64_is_noticed() -> None:
    def network(x: Any) -> float:
        return float(np.tanh(np.float32(x)))

    for x in (0.37, -1.21, 0.816):
        right = gradcheck(network, x, gradient=lambda x: 1 - np.tanh(x) ** 2)
        assert right.verdict != "fail", right
        assert gradcheck(network, x, gradient=lambda x: 0.5).verdict == "fail"


def test_longdouble_is_judged_in_the_float64_of_the_estimate() -> None:
    assert gradcheck(np.exp, X.astype(np.longdouble))


def test_a_dict_of_gradients_is_read_by_key() -> None:
    point = {"a": 2.0, "b": 3.0}
    right = gradcheck(
        lambda d: d["a"] * d["b"] ** 2,
        point,
        gradient=lambda d: {"b": 2 * d["a"] * d["b"], "a": d["b"] ** 2},
    )
    assert right, right
    with pytest.raises(ValueError, match=r"gradient for input 0\['b'\]: there is none"):
        gradcheck(lambda d: d["a"] * d["b"], point, gradient=lambda d: {"a": d["b"]})


@pytest.mark.parametrize("wrong", [None, "a", 1j * X])
def test_a_gradient_that_is_no_real_number_is_a_type_error(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"gradient for input 0: got .* data, wanted real numbers"):
        gradcheck(np.sum, X, gradient=lambda x: wrong)


def test_a_function_that_writes_into_its_input_is_given_copies() -> None:
    def loss(z: Any) -> Any:
        z -= z.max()
        return np.log(np.exp(z).sum()) - z[0]

    z = np.array([3.2, 1.3, 0.5])
    assert gradcheck(loss, z, gradient=lambda z: tg.softmax(z) - np.array([1.0, 0.0, 0.0]))
    assert z[0] == 3.2


def test_a_result_that_is_several_arrays_is_named() -> None:
    with pytest.raises(TypeError, match="f returned a tuple, wanted one number or array"):
        gradcheck(lambda x: (x, x), X)


@pytest.mark.parametrize(
    "f", [np.tanh, lambda x: np.exp(x[0, 1] * x[:, 1]), lambda x: np.exp(x[[0, 0]] * x)]
)
def test_the_complex_step_reaches_third_order(f: Any) -> None:
    report = gradcheck(f, X, method="complex", order=3)
    assert report, report
    assert report.order == 3


TINY = np.array([1.0, 1e-16])


@pytest.mark.parametrize("factor", [0.0, 1.0, 2.0, -1.0])
@pytest.mark.parametrize(
    ("f", "slope", "x", "seen"),
    [
        (lambda x: (TINY * x).sum(), lambda x: TINY, np.ones(2), False),
        (lambda x: (x * x).sum(), lambda x: 2 * x, np.array([1e8, 1e-8]), False),
        (lambda x: np.log(x).sum(), lambda x: 1 / x, np.array([1.0, 1e16]), True),
        (lambda x: x[0] * x[1], lambda x: x[::-1], np.array([1.0, 1e16]), True),
    ],
    ids=["factor", "squares", "logarithms", "product"],
)
def test_a_wrong_entry_beside_much_larger_ones_does_not_pass(
    f: Any, slope: Any, x: Any, seen: bool, factor: float
) -> None:
    """Where a right one is seen it passes; of 0 and what f cannot show, nothing can be said."""
    report = gradcheck(f, x, gradient=lambda x: slope(x) * np.array([1.0, factor]))
    if factor == 1.0:
        assert report.verdict == ("pass" if seen else "inconclusive"), report
    elif factor or seen:
        assert report.verdict == "inconclusive", report
    if report.verdict == "inconclusive":
        assert report.reason.startswith("entry (1,) is lost in rounding beside others of ")


def in_place(g: Any, out: Any, x: Any) -> Any:
    g *= 3.0
    return g


def clipped(g: Any, out: Any, x: Any) -> Any:
    g[x < 0.0] = 0.0
    return g


def spoilt(g: Any, out: Any, x: Any) -> Any:
    out += 1.0
    return 3.0 * g


@pytest.mark.parametrize(
    ("rule", "f", "what"),
    [
        (in_place, lambda x: 3.0 * x, "its upstream gradient"),
        (clipped, lambda x: np.maximum(x, 0.0), "its upstream gradient"),
        (spoilt, lambda x: 3.0 * x, "its data"),
    ],
)
@pytest.mark.parametrize("shared", [False, True])
def test_a_rule_that_writes_into_what_it_is_given_fails(
    rule: Any, f: Any, what: str, shared: bool
) -> None:
    """Also where nothing else holds it, and the gradient is right so far."""
    op = primitive(rule, name="op")(f)
    report = gradcheck(lambda x: op(x * 2.0) + (x if shared else 0.0), X)
    assert report.verdict == "fail"
    assert report.blame.startswith(f"op: a rule writes into {what}")
    assert report.reason


def test_a_random_function_is_called_that() -> None:
    rng, calls = np.random.default_rng(0), []

    def growing(x: Any) -> Any:
        calls.append(x)
        return x * 1e-9 * len(calls) + x

    for f in (lambda x: x * rng.normal(), lambda x: x * (rng.random(x.shape) < 0.5), growing):
        for order in (1, 2):
            report = gradcheck(f, X, order=order)
            assert report.verdict == "inconclusive"
            assert report.reason.startswith("f is random, or keeps something from call to call")
        one = gradcheck(lambda x, f=f: float(np.sum(f(x))), X, gradient=lambda x: x)
        assert one.reason.startswith("f is random")
        assert one.reason.count(" and ") == 1
        with pytest.raises(ValueError, match=r"f is random.* at one point it gave .* and "):
            tg.numeric_gradient(lambda x, f=f: np.sum(f(x)), X)


@pytest.mark.parametrize(
    ("f", "x", "node"),
    [
        (lambda x: np.where(x > 30, x, np.log1p(np.exp(x))), 1000.0, "exp(x)"),
        (lambda x: np.where(x > 0, np.log(0.0 * x), x), -1.0, "log(0 * x)"),
        (lambda x: np.where(x == 0, 1.0, np.sin(x) / x) + x, 0.0, "sin(x) / x"),
        (lambda x: np.where(x > 0, x**1.5, -x), np.array([2.0, -4.0]), "x ** 1.5"),
        (lambda x: np.where(x > 0, np.sqrt(x), x), np.array([2.0, -4.0]), "sqrt(x)"),
    ],
)
def test_nan_from_a_branch_not_picked_is_laid_at_the_node_that_made_it(
    f: Any, x: Any, node: str
) -> None:
    primitive(lambda g, out, x: g * np.cos(x), name="sin")(np.sin)
    with np.errstate(all="ignore"):
        report = gradcheck(f, x)
    assert report.verdict == "fail"
    assert f"nan was born on the way back through {node} (" in report.blame
    assert "np.where" in report.blame


def test_a_rule_that_is_not_linear_in_its_upstream_gradient_is_wrong() -> None:
    for rule in (
        lambda g, out, x: out,
        lambda g, out, x: abs(g) * out,
        lambda g, out, x: g * g * out,
    ):
        exp = primitive(rule, name="exp")(lambda x: np.exp(x))
        report = gradcheck(lambda x, exp=exp: -3.0 * exp(x), 0.5)
        assert report.verdict == "fail"
        assert report.blame.startswith("exp, entry (): "), report


def test_a_node_that_cannot_be_checked_is_not_called_right() -> None:
    """A rule wrong at a kink: that part of f is outside the graph would be a guess."""
    kinked = primitive(lambda g, out, x: 5.0 * g, name="kinked")(lambda x: np.abs(x))
    report = gradcheck(lambda x: kinked(x) - kinked(-x) + x, 0.0)
    assert report.verdict == "fail"
    assert report.blame.startswith(
        "none is wrong for sure, but kinked_1 could not be checked: kink"
    )


def test_an_input_without_entries_is_named_as_the_others_are() -> None:
    report = gradcheck(lambda x, p: x.sum() * 2.0 + p["b"].sum(), X, {"b": np.empty((0, 3))})
    assert [(c.name, c.shape, c.verdict) for c in report.inputs] == [
        ("input 0", X.shape, "pass"),
        ("input 1['b']", (0, 3), "inconclusive"),
    ]
    assert report.reason == "the input has no entries"


def test_an_error_in_another_process_has_its_report() -> None:
    with pytest.raises(GradcheckError) as caught:
        gradcheck(wrong_exp(2.0), X, raise_on_failure=True)
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value) == str(caught.value.report)
    assert again.report == caught.value.report


def test_raises_only_when_asked() -> None:
    bad = wrong_exp(2.0)
    assert not gradcheck(bad, X)
    with pytest.raises(GradcheckError, match="first wrong node: exp, entry") as caught:
        gradcheck(bad, X, raise_on_failure=True)
    assert caught.value.report.verdict == "fail"
    with pytest.raises(GradcheckError, match="kink"):
        gradcheck(tg.relu, np.zeros(1), raise_on_failure=True)


def test_the_report_is_an_aligned_table() -> None:
    lines = str(gradcheck(lambda a, b: a @ b, X, X.T)).splitlines()
    assert lines[0] == "gradcheck: pass (order 1, central)"
    assert [lines[1].index("verdict")] * 2 == [line.rindex("pass") for line in lines[2:]]


def test_nan_is_never_a_pass() -> None:
    with np.errstate(all="ignore"):
        assert not gradcheck(lambda x: np.log(x), np.array([-1.0, 1.0]))
    assert not gradcheck(lambda x: x * x, 2.0, gradient=lambda x: np.nan)
    for x in (np.nan, np.inf, -np.inf):
        report = gradcheck(np.tanh, x, gradient=lambda x: 0.0)
        assert report.reason == "f is not finite around entry ()"
    with np.errstate(all="ignore"):
        report = gradcheck(lambda x: np.log(x) * 2.0, 0.0)
    assert "log(x) (test_gradient_check.py, line" in report.diagnosis
    assert report.diagnosis in str(report)


def test_where_f_raises_it_is_not_finite() -> None:
    def f(x: Any) -> Any:
        if np.min(x) < 1.0:
            raise ValueError("wanted 1 or more")
        return x * x

    report = gradcheck(f, np.array([2.0, 1.0]))
    assert (report.verdict, report.reason) == ("inconclusive", "f is not finite around entry (1,)")
    assert gradcheck(f, np.array([2.0, 3.0]))


@pytest.mark.parametrize("f", [np.log, np.sqrt, np.arctanh, lambda x: x**0.5])
def test_outside_its_domain_no_rule_is_wrong_though_complex_numbers_go_on(f: Any) -> None:
    with np.errstate(all="ignore"):
        report = gradcheck(f, np.array([0.5, -2.0]), method="complex")
    assert report.verdict == "inconclusive"
    assert report.reason.startswith("f is not finite around entry ")
    assert "has no real value there" in report.diagnosis


def test_of_a_gradient_that_is_not_finite_at_a_kink_the_report_says_where_that_began() -> None:
    with np.errstate(all="ignore"):
        report = gradcheck(lambda x: np.where(x > 0.0, x**0.5, 0.0).sum(), np.array([0.0, 4.0]))
    assert report.verdict == "inconclusive"
    assert "np.where chooses a value, not a gradient" in report.diagnosis


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gradcheck(np.exp, 1.0, method="forward"), "method: got 'forward'"),
        (lambda: gradcheck(np.exp, 1.0, order=0), "order: got 0"),
        (lambda: gradcheck(np.exp), "gradcheck needs inputs"),
        (
            lambda: gradcheck(np.sum, X, gradient=lambda x: np.ones(3)),
            r"input 0: got shape \(3,\), wanted \(2, 3\)",
        ),
        (lambda: gradcheck(np.exp, X, gradient=np.exp), r"shape \(2, 3\); .*: one number"),
        (
            lambda: gradcheck(lambda a, b: a * b, 1.0, 2.0, gradient=lambda a, b: b),
            "wanted a tuple of 2",
        ),
        (lambda: tg.numeric_gradient(np.exp, X), r"shape \(2, 3\); .*: one number"),
        (lambda: tg.numeric_gradient(np.exp, 1.0, method="x"), "method: got 'x'"),
    ],
)
def test_misuse_is_a_value_error(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_complex_step_on_a_function_of_math_says_what_to_do() -> None:
    import math

    with pytest.raises(TypeError, match="use 'central'"):
        gradcheck(lambda x: math.exp(x), 1.0, gradient=lambda x: math.exp(x), method="complex")


@pytest.mark.parametrize(
    "f",
    [
        np.linalg.norm,
        lambda x: np.sum(np.real(x) ** 2),
        lambda x: np.sum(x + np.real(x) ** 2),  # which drops a part of it
    ],
)
def test_a_function_that_drops_the_imaginary_part_is_no_case_for_the_complex_step(f: Any) -> None:
    with pytest.raises(TypeError, match="drops the imaginary part"):
        gradcheck(f, X, gradient=lambda x: x / f(x), method="complex")


def test_values_as_inputs_are_read() -> None:
    assert gradcheck(lambda x: x * x, Value(3.0))


def test_an_input_without_entries_is_inconclusive() -> None:
    assert gradcheck(lambda x: np.sum(x) + 1.0, np.zeros((0, 3))).verdict == "inconclusive"


@pytest.mark.parametrize("method", METHODS)
def test_numeric_gradient_of_a_quadratic_form(method: str) -> None:
    a = np.arange(9.0).reshape(3, 3)
    x = np.array([1.0, -2.0, 0.5])
    found = tg.numeric_gradient(lambda x: x @ a @ x, x, method=method)
    np.testing.assert_allclose(found, (a + a.T) @ x, rtol=1e-10)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("loss", [tg.mse, tg.binary_cross_entropy, tg.logistic_loss])
def test_other_losses_to_second_order(loss: Any, method: str) -> None:
    target = np.array([-1.0, 1.0, 1.0]) if loss is tg.logistic_loss else np.array([0, 1, 0.5])
    assert gradcheck(lambda z: loss(z, target), np.array([0.3, -0.2, 1.0]), order=2, method=method)


@pytest.mark.parametrize("claimed", [0.5, -3.0])
def test_where_all_slopes_are_0_the_relative_error_is_the_error(claimed: float) -> None:
    flat = primitive(lambda g, out, x: g * claimed, name="flat")(lambda x: x * 0.0)
    (found,) = gradcheck(lambda x: np.sum(flat(x)) + 1.0, np.ones(2)).inputs
    assert found.max_abs_error == found.max_rel_error == abs(claimed)


@pytest.mark.parametrize("method", METHODS)
def test_the_relative_error_is_that_of_the_largest_slope(method: str) -> None:
    x, claimed = np.array([2.0, 4.0]), np.array([4.0, 9.0])  # the slopes are 4 and 8
    report = gradcheck(lambda x: (x * x).sum(), x, gradient=lambda x: claimed, method=method)
    errors = report.inputs[0].max_abs_error, report.inputs[0].max_rel_error
    assert errors == pytest.approx((1.0, 0.125), rel=1e-9)
