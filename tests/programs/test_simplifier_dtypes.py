"""Identities hold for floats alone, and for sums without options: whatever else stays as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinygrad_ce import program

X = np.arange(6.0).reshape(2, 3) + 0.5
X4 = X.astype(np.float32)
K = np.array([1, 2, 3])
U = np.array([1, 2, 3], np.uint8)
LARGE = np.full((40,), 60000, np.float16)
Case = tuple[Callable[..., Any], tuple[Any, ...], Any]


def check(f: Callable[..., Any], args: tuple[Any, ...], wanted: Any) -> None:
    """A program gives this value, of this shape and dtype."""
    found, wanted = program(f, *args, wrt=None)(*args), np.asarray(wanted)
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    assert (np.shape(found), np.asarray(found).dtype) == (wanted.shape, wanted.dtype)


POWERS: list[Case] = [
    (lambda k: k**2.0, (K,), [1.0, 4.0, 9.0]),
    (lambda a, k: np.sum(a * k**-1.0), (X, K), 29.0 / 3.0),
    (lambda a: a ** np.float64(2.0), (X4,), X4 ** np.float64(2.0)),  # NumPy 2.0 squares it
]
SUMS: list[Case] = [
    (lambda a: np.sum(a * (a + 1), initial=5.0), (X,), 94.5),
    (lambda a: np.sum(a * (a + 1), where=a > 2), (X,), 85.0),
    (lambda a: np.sum(-a, initial=5.0), (X,), -13.0),
    (lambda a: np.sum(-a, 0, None, None, False, 5.0), (X,), [1.0, -1.0, -3.0]),
    (lambda a: np.sum(np.sum(a, axis=0, where=a > 2)), (X,), 16.0),
    (lambda a: np.sum(np.sum(a, axis=0), initial=2.0), (X,), 20.0),
    (lambda a: np.mean(np.sum(a, axis=0, initial=2.0)), (X,), 8.0),
    (lambda k: np.mean(np.sum(k, axis=0)), (K,), 6.0),
    (lambda a: np.mean(a, where=a > 2), (X,), 4.0),
    (lambda a: np.sum(a, 1, None, None, True), (X,), [[4.5], [13.5]]),
    (lambda a: np.sum(a, 1, np.float64), (X4,), [4.5, 13.5]),
    (lambda a: np.sum(np.sum(a, 1, np.float64)), (X4,), 18.0),
    (lambda a: np.mean(a), (LARGE,), np.float16(6e4)),
    (lambda k: np.sum(np.broadcast_to(k, (2, 3)), axis=0), (K,), 2 * K),
]
SIGNS: list[Case] = [
    (lambda k, j: -k - j, (K, np.ones((2, 3), int)), [[-2, -3, -4]] * 2),
    (lambda u, a: -u + a, (U, X), np.add(X, [255.0, 254.0, 253.0])),
    (lambda u, a: a - (-u), (U, X), np.subtract(X, [255.0, 254.0, 253.0])),
    (lambda u: np.abs(-u), (U,), np.array([255, 254, 253], np.uint8)),
    (lambda u: np.negative(-u), (U,), U),
    (lambda k: k + k, (K,), 2 * K),
    (lambda u, a: a * u + a * (u + u), (np.full(3, 100, np.uint8), X), X * (100 + 200)),
    (lambda u, a: a * (u * 1) + a * (u + u), (np.full(3, 127, np.uint8), X), X * (127 + 254)),
]
AXES: list[Case] = [
    (
        lambda a: np.linalg.norm(a, ord=1, axis=(0, 1), keepdims=True),
        (np.array([[1.0, 2.0, 3.0]]),),
        [[3.0]],
    ),
]
TWO = np.float64(2.0)
NUMBERS: list[Case] = [
    (f, (X4,), f(X4))
    for f in (
        lambda a: np.where(a > 1, a, TWO),
        lambda a: np.where(a > 1, a, 2.0),
        lambda a: np.where(a > 1, np.sum(a), np.array(2.0)),
        lambda a: np.clip(a, TWO - 1, TWO),
        lambda a: np.clip(a, 1.0, TWO),
        lambda a: np.linspace(a[0], TWO, 3),
        lambda a: np.maximum(a, TWO),
        lambda a: np.maximum(a, 2.0),
    )
]


@pytest.mark.parametrize(("f", "args", "wanted"), [*POWERS, *SUMS, *SIGNS, *AXES, *NUMBERS])
def test_a_program_keeps_value_shape_and_dtype(
    f: Callable[..., Any], args: tuple[Any, ...], wanted: Any
) -> None:
    check(f, args, wanted)


def test_signs_of_floats_still_go() -> None:
    made = program(lambda a, b: -a - b, X4[0], X, wrt=None)
    assert "-(a + b)" in made.source
    np.testing.assert_array_equal(made(X4[0], X), -X4[0] - X)
