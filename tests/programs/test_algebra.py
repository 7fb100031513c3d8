"""The algebra of programs on numbers, where floats are exact: then every rewrite is an identity."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_ce as tg
from tinygrad_ce import Value, program
from tinygrad_ce.programs import algebra

AT = (3.0, -2.0, 5.0)
ONE: list[Callable[[Any], Any]] = [
    lambda x: -x,
    lambda x: x / 4.0,
    lambda x: 3.0 * x,
    lambda x: x * -1.0,
    lambda x: x**2,
    lambda x: x**3,
    np.square,
    tg.relu,
    lambda x: np.where(x > 1.0, x, -x),
    lambda x: 1.0 - x,
]
TWO: list[Callable[[Any, Any], Any]] = [
    lambda x, y: x + y,
    lambda x, y: x - y,
    lambda x, y: x * y,
    lambda x, y: x * y + x * (y - 1.0),
    lambda x, y: x * y - y * 3.0 * x,
    lambda x, y: 2.0 * x + x - y,
    lambda x, y: -x * y + -y,
]


def built(steps: list[tuple[int, int, int]]) -> Callable[..., Any]:
    """A function of three numbers; what grows beyond where floats are exact is left out."""

    def f(*args: Any) -> Any:
        pool = list(args)
        for kind, i, j in steps:
            x, y = pool[i % len(pool)], pool[j % len(pool)]
            pool.append(ONE[kind](x) if kind < len(ONE) else TWO[kind - len(ONE)](x, y))
        return pool[-1] * pool[-2] - pool[-1]

    return f


def by_backward(f: Callable[..., Any], at: tuple[float, ...]) -> tuple[Any, list[Any]]:
    leaves = [Value(x) for x in at]
    out = f(*leaves)
    out.backward()
    return out.data, [0.0 if v.grad is None else v.grad for v in leaves]


@given(
    st.lists(
        st.tuples(st.integers(0, len(ONE) + len(TWO) - 1), st.integers(0, 20), st.integers(0, 20)),
        min_size=1,
        max_size=6,
    ),
    st.tuples(*[st.integers(-3, 3).map(float)] * 3),
)
@settings(max_examples=300, database=None)
def test_nothing_changes_where_nothing_rounds(
    steps: list[tuple[int, int, int]], at: tuple[float, ...]
) -> None:
    f = built(steps)
    right, slopes = by_backward(f, at)
    if not all(abs(x) < 2.0**24 for x in (right, *slopes)):  # 53 bits hold it, quarters and all
        return
    made = program(f, *AT, wrt=(0, 1, 2))
    value, found = made(*at)
    assert (value, list(found)) == (right, slopes), made
    names: dict[str, Any] = {}
    exec(made.source, names)
    assert names["loss_and_grad"](*at) == (value, found)


def count(source: str) -> int:
    """Operations in a source, a power three."""
    cost = {ast.Pow: 3}
    nodes = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.BinOp | ast.UnaryOp)]
    signs = [n for n in nodes if isinstance(n, ast.UnaryOp) and isinstance(n.operand, ast.Constant)]
    return sum(cost.get(type(n.op), 1) for n in nodes) - len(signs)


@pytest.mark.parametrize(
    ("f", "most"),
    [
        (lambda a, b: a * b + a * 3.0 * b, 4),  # 4ab, and twice 4
        (lambda a, b: (a + b) - (b + a) * 3.0, 2),  # −2 (a + b)
        (lambda a, b: np.negative(-a) * -(b / 2.0), 3),
        (lambda a, b: (a * b + a * b * b) / 4.0, 12),
        (lambda a, b: a**2 * 0.5 + b**3, 6),
        (lambda a, b: -tg.relu(-(a * b)), 8),
    ],
)
def test_fewer_operations(f: Callable[..., Any], most: int) -> None:
    made = program(f, 3.0, -2.0, wrt=(0, 1))
    assert count(made.source) <= most, made
    value, slopes = made(3.0, -2.0)
    right, wanted = by_backward(f, (3.0, -2.0))
    np.testing.assert_allclose([value, *slopes], [right, *wanted], rtol=1e-15)


def test_a_graph_worked_out_on_paper() -> None:
    """BurTorch's tiny graph: what is printed is what one would write."""

    def tiny(a: Any, b: Any) -> Any:
        c = a + b
        d = a * b + b**3
        e = c - d
        f = e**2
        return f / 2

    made = program(tiny, -41.0, 2.0, wrt=(0, 1))
    assert made(-41.0, 2.0) == (612.5, (-35.0, 1050.0))
    assert count(made.source) <= 13
    assert "**" not in made.source


def test_a_comparison_stands_where_it_is_used() -> None:
    made = program(lambda a, b: tg.relu(a - b) * a, 3.0, 2.0, wrt=(0, 1))
    assert "<= 0.0 else" in made.source
    assert "less_equal" not in made.source


def test_numbers_of_no_use_to_the_algebra() -> None:
    """A power beyond a product, a divisor whose inverse is none, a number in a branch."""
    for f in (
        lambda a: a**5 + a**-2 + a**0.5,
        lambda a: a / 3.0 + a / 2.0**-1074 * 0.0,
        lambda a: np.where(a > 1.0, True, False) * a,
        lambda a: 0.0 * a + np.exp(-a),
    ):
        value, slope = program(f, 2.0)(1.5)
        right, [wanted] = by_backward(f, (1.5,))
        np.testing.assert_allclose([value, slope], [right, wanted], rtol=1e-14)
        assert type(value) is type(slope) is float


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("negative", lambda self, x: x),
        ("without", staticmethod(lambda product, factor: factor)),
        ("coefficient", staticmethod(lambda x: (1.0, x.args[-1] if x.call else x))),
    ],
)
def test_a_wrong_rule_is_seen(name: str, wrong: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(algebra._Pass, name, wrong)
    with pytest.raises((AssertionError, AttributeError)):
        test_nothing_changes_where_nothing_rounds()
