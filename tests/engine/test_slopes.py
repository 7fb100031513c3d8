"""Slopes of floats, stored in nodes: they are the rules', also where floats and rules are odd."""

from __future__ import annotations

import copy
import pickle
import warnings
from typing import Any

import numpy as np
import pytest
from conftest import need

from tinygrad_ce import Value, grad, grad_of, primitive
from tinygrad_ce.engine.operation import TABLE


def test_gradients_of_floats_are_floats() -> None:
    x = Value(-2.0)
    for wanted in (-1.0, -2.0):
        abs(x).backward()
        assert (type(x.grad), x.grad) == (float, wanted)
    assert type(grad(abs)(-2.0)) is float


def test_a_0d_seed_gives_a_0d_gradient() -> None:
    x = Value(np.array(2.0, np.float32))
    x.backward(np.array(3.0, np.float32))
    assert type(x.grad) is np.ndarray
    assert x.grad.dtype == np.float32


def test_a_ufunc_of_three_arguments() -> None:
    ufunc = np.frompyfunc(lambda a, b, c: a, 3, 1)
    rules = [lambda g, out, a, b, c: g * b, lambda g, out, a, b, c: g * a]
    primitive(*rules, lambda g, out, a, b, c: g, name="fma", fn=lambda a, b, c: a * b + c)(ufunc)
    x = Value(2.0)
    out = ufunc(x, 3.0, 4.0)
    out.backward()
    assert (out.data, x.grad) == (10.0, 3.0)


def test_a_ufunc_that_keeps_something() -> None:
    def square(x: Any, saved: Any = None) -> Any:
        if saved is not None:
            saved["slope"] = 2 * x
        return x * x

    rule = lambda g, out, x, saved: g * saved["slope"]
    primitive(rule, name="kept", fn=square, keeps=True)(np.cbrt)
    x = Value(3.0)
    np.cbrt(x).backward()
    assert x.grad == 6.0


def test_too_few_rules_for_a_ufunc_are_told() -> None:
    primitive(lambda g, out, x, y: g * x / out)(np.hypot)
    with pytest.raises(TypeError, match="hypot: too many positional arguments"):
        np.hypot(Value(3.0), Value(4.0))


def test_a_sum_that_fails_writes_no_gradient() -> None:
    a, b = Value(np.ones(2)), Value(np.ones(2))
    a.grad = np.ones(7)
    with pytest.raises(ValueError, match="broadcast"):
        (a * b).sum().backward()
    assert b.grad is None
    assert a.grad.shape == (7,)


def test_slopes_that_nobody_asked_for_do_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (Value(0.0) ** 0.5).data == 0.0
        assert (Value(-2.0) ** Value(3.0)).data == -8.0


@pytest.mark.parametrize(("x", "n"), [(-2.0, 3.0), (2.0, -1.5), (0.0, 2.0), (-2.0, -1.0)])
def test_the_slope_of_a_power(x: float, n: float) -> None:
    v = Value(x)
    (v**n).backward()
    assert v.grad == pytest.approx(n * x ** (n - 1.0), rel=1e-15)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("kind", [float, np.array])
@pytest.mark.parametrize("x", [-np.inf, -2.0, -1.0, -0.0, 0.0, 1.0, 2.0, np.inf])
def test_slopes_of_powers_at_every_edge_are_pytorchs(x: float, kind: Any) -> None:
    torch = need("torch")
    for y in [-np.inf, -1.5, -1.0, -0.0, 0.5, 1.0, 2.0, 2.5, 3.0, np.inf, np.nan]:
        t = [torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in (x, y)]
        (t[0] ** t[1]).backward()
        by_base, by_exponent = (a.grad.item() for a in t)
        base, exponent = Value(kind(x)), Value(kind(y))
        (base**exponent).backward()
        alone = Value(kind(x))
        (alone ** kind(y)).backward()
        np.testing.assert_allclose([base.grad, alone.grad], [by_base] * 2, rtol=1e-14)
        if x != 0.0 or not y < 0.0:  # there it is infinite for every exponent
            np.testing.assert_allclose(exponent.grad, by_exponent, rtol=1e-14)


def test_a_function_of_numbers_may_give_a_whole_one() -> None:
    three = primitive(lambda g, out, x: 0.0 * g, scalar=lambda x: 3)(lambda x: x * 0.0 + 3.0)
    assert type(three(Value(1.0)).data) is float


def test_a_slope_too_small_for_all_digits_is_left_to_the_rule() -> None:
    x, y = Value(1e-40), Value(1e140)
    (x / y * 1e200).backward()
    assert y.grad == pytest.approx(-1e-120, rel=1e-14, abs=0.0)


def test_a_gradient_that_is_a_number_is_a_value() -> None:
    x = Value(-1.0)
    assert grad_of(x.relu(), x).data == 0.0


def test_a_copy_keeps_its_own_rule() -> None:
    def f(x: Any) -> Any:
        return 2 * x

    right = primitive(lambda g, out, x: g * 2, name="right")(f)
    x = Value(1.0)
    y = right(x)
    primitive(lambda g, out, x: -g, name="reversed")(f)
    y2, x2 = copy.deepcopy((y, x))
    y2.backward()
    assert x2.grad == 2.0
    with pytest.raises(pickle.PicklingError, match="right: another record"):
        pickle.dumps(y)


def test_a_slope_of_0_stays_0_for_an_infinite_upstream_gradient() -> None:
    x = Value(-1.0)
    x.relu().backward(np.inf)
    assert x.grad == 0.0


def test_a_slope_below_the_normal_numbers_keeps_its_digits() -> None:
    """Of x / y by y it is -x / y², which is subnormal; times 1e20 it is not."""
    x, y = Value(1.0), Value(3e160)
    (x / y).backward(1e20)
    assert y.grad == pytest.approx(-1e20 / 3e160 / 3e160, rel=1e-14)


def test_whole_numbers_beside_floats_are_floats_and_too_large_ones_an_error() -> None:
    x = Value(3.0)
    loss = sum([x, 2 * x]) * x**2 - x / 2
    loss.backward()
    assert (loss.data, x.grad) == (79.5, 80.5)
    for f in (lambda: 10**400 + x, lambda: x * 10**400):
        with pytest.raises(ValueError, match=r"^(test_slopes.py, line \d+: )?\w+.*: int too large"):
            f()


ENTRYWISE = [f for f, op in TABLE.items() if isinstance(f, np.ufunc) and f.nin == 1 and op.vjps]


@pytest.mark.parametrize("f", ENTRYWISE, ids=lambda f: f.__name__)
@pytest.mark.filterwarnings("ignore:.*encountered")
def test_a_number_has_the_slope_of_an_array_outside_the_domain_as_well(f: Any) -> None:
    for x in (-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, np.inf, np.nan):
        number, array = Value(x), Value([x])
        f(number).backward()
        f(array).backward(np.ones(1))
        np.testing.assert_allclose(number.grad, array.grad[0], rtol=1e-14)


@pytest.mark.parametrize("x", [-700.0, -100.0, -36.7, -20.0, -1e-3, 0.0, 30.0])
def test_the_slope_of_expm1_has_all_its_digits(x: float) -> None:
    """Where e^x is small beside 1, out + 1 has none of them."""
    for slopes in (grad(np.expm1), grad(grad(np.expm1))):
        assert slopes(x) == np.exp(x)
    row = grad(lambda x: np.sum(np.expm1(x)))(np.array([x, 0.0]))
    np.testing.assert_array_equal(row, np.exp([x, 0.0]))
