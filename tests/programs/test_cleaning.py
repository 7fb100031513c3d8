"""The same with less work."""

from __future__ import annotations

import itertools
import sys
from typing import Any

import numpy as np
import pytest
from helpers.programs import LOSSES, RNG, SOFT, Z, by_backward, close

import tinygrad_ce as tg
from tinygrad_ce import program


def test_cleaning_does_the_same_with_less() -> None:
    def f(x: Any, t: Any) -> Any:
        return np.sum((np.exp(x) * 1.0 + 0.0) / (np.exp(x) * (2.0 * 3.0))) + np.sum(x * x / 1.0)

    raw, clean = (program(f, Z, SOFT, clean=c) for c in (False, True))
    assert raw.source.count("np.exp") == 2
    assert clean.source.count("np.exp") == 1
    assert len(clean.source) < 0.6 * len(raw.source)
    assert "* 1.0" in raw.source
    for gone in ("* 1.0", "+ 0.0", "/ 1.0", "broadcast_to"):
        assert gone not in clean.source
    for a, b in zip(raw(Z, SOFT), clean(Z, SOFT)):
        close(a, b)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_relu_of_an_array_is_a_maximum(dtype: Any) -> None:
    x = np.array([-np.inf, -1.0, -0.0, 0.0, 5e-324, 2.0, np.inf, np.nan] * 5, dtype)
    raw, clean = (program(tg.relu, x, wrt=None, clean=c) for c in (False, True))
    assert "np.maximum(x, 0.0)" in clean.source
    assert clean(x).tobytes() == raw(x).tobytes()
    for near in (
        lambda x: np.where(x <= 0, 1.0, x),
        lambda x: np.where(x <= 0.5, 0.0, x),
        lambda x: np.where(x <= 0, 0.0, 2.0 * x),
        lambda x: np.where(x < 0, 0.0, x),
        lambda x: np.where(x <= 0, 0.0, x[0]),
        lambda x: np.where(x <= 0, -0.0, x),
    ):
        assert "np.where" in program(near, x, wrt=None).source
    assert "maximum" not in program(tg.relu, 0.5).source


@pytest.mark.parametrize("columns", [1, 3, 32, 33])
@pytest.mark.parametrize("f", [np.max, np.min])
def test_the_largest_of_short_rows(f: Any, columns: int) -> None:
    x = RNG.normal(size=(40, columns))
    x[3, 0], x[5], x[7, -1] = np.nan, -np.inf, np.inf
    for axis, keepdims in itertools.product((0, 1, -1, None), (False, True)):
        g = lambda x, a=axis, k=keepdims: f(x, axis=a, keepdims=k) * 1.0
        np.testing.assert_array_equal(program(g, x, wrt=None)(x), g(x))


def test_sum_of_what_was_broadcast_is_a_product() -> None:
    b = RNG.normal(size=3)
    made = program(lambda b: np.sum(np.sum(np.broadcast_to(b, (5, 3)), axis=0) ** 2), b)
    assert "broadcast_to" not in made.source
    close(made(b)[1], 50.0 * b)


def test_no_sum_over_an_axis_of_length_one() -> None:
    one = np.ones((1, 3))
    made = program(lambda x: np.sum(np.sum(x, axis=(0, 1), keepdims=True) ** 2), one)
    assert "x.dot(ONES_3)" in made.source
    close(made(2.0 * one)[1], 12.0 * one)


@pytest.mark.parametrize("name", ["_arithmetic", "_narrow", "key_of"])
def test_a_wrong_cleaning_is_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules["tinygrad_ce.programs.cleaning"]
    wrong: dict[str, Any] = {
        "_arithmetic": lambda node, x, y: x if x.__class__ is not float else None,
        "_narrow": lambda node, args: tuple(0.5 if isinstance(a, float) else a for a in args),
        "key_of": lambda x: x if callable(x) else str(x.__class__),
    }
    monkeypatch.setattr(module, name, wrong[name])

    def check() -> None:
        for f, target in LOSSES.values():
            value, slope = program(f, Z, target)(Z, target)
            right, [back] = by_backward(f, [Z, target], (0,))
            close(value, right)
            close(slope, back)

    with pytest.raises((AssertionError, ValueError, TypeError, KeyError)):
        check()
