"""NumPy's functions that others spell: each as NumPy's own, drawn, differentiated, as a program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers.functions import agrees, numbers
from helpers.operations import FULL, ONE, Case, reduced
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_ce.engine import spelled
from tinygrad_ce.engine.operation import TABLE

# How to draw shapes and options for each function; arrays of these shapes are its arguments.
LINES: dict[str, Any] = {
    "fabs": ONE,
    "ptp": reduced(FULL),
    "vdot": st.integers(0, 4).map(lambda n: ([(n,), (n,)], {})),
}


def test_every_spelled_function_has_a_line() -> None:
    own = {
        op.name
        for op in TABLE.values()
        if op.spelling and op.spelling.__module__ == spelled.__name__
    }
    assert own == {*LINES}


def called(name: str, options: dict[str, Any]) -> Callable[..., Any]:
    return lambda *xs: getattr(np, name)(*xs, **options)


@pytest.mark.parametrize("name", LINES)
def test_it_is_numpys(name: str) -> None:
    @given(LINES[name], st.integers(0, 9))
    def run(case: Case, seed: int) -> None:
        shapes, options = case
        agrees(called(name, options), *numbers(*shapes, seed=seed))

    run()
