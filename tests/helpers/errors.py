"""What the tables of bad input are made of: small Values, and the check of a message.

A message is one line: it says what was got, what was wanted and how to mend it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinygrad_ce import Value

Z = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])
X = np.ones(3)
T = np.array([0, 2])
P = [[0.2, 0.3, 0.5], [1, 0, 0]]
NAN = math.nan
REAL = "wanted real numbers"
LOST = "would lose the gradient"

Case = tuple[str, Callable[[], Any], Any, list[str]]  # name, mistake, error, what the message holds


def v() -> Value:
    return Value([1.0, 2.0, 3.0], name="w")


def a() -> Value:
    return Value(Z.copy(), name="A")


def s() -> Value:
    return Value(2.0, name="s")


def square(x: Any) -> Any:
    return (x * x).sum()


def table(cases: list[Case]) -> Any:
    """Give a test the cases of a table; no two of them have one name."""
    names = [case[0] for case in cases]
    assert len(names) == len(set(names)) >= 20
    arguments = ("mistake", "error", "words")
    return pytest.mark.parametrize(arguments, [case[1:] for case in cases], ids=names)


def check(mistake: Callable[[], Any], error: type[Exception], words: list[str]) -> None:
    """The mistake raises this error, whose message is one line and holds the words."""
    with pytest.raises(error) as caught:
        mistake()
    message = str(caught.value)
    assert [part for part in words if part not in message] == [], message
    assert "\n" not in message
