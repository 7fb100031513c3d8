"""Programs in an interpreter that has NumPy alone, against ``backward()``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.programs import LOSSES, SOFT, Case, Z, by_backward, cases, close, fresh, ruffed
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tinygrad_ce import program

pytestmark = pytest.mark.usefixtures("few_rows_tried")


@pytest.mark.slow
def test_drawn_graphs_in_a_fresh_interpreter(tmp_path: Path) -> None:
    drawn: list[tuple[str, list[Any], Any]] = []

    @given(cases(), st.booleans())
    @settings(max_examples=60, phases=[Phase.generate], database=None)
    def draw(case: Case, clean: bool) -> None:
        f, args, wrt, _ = case
        with np.errstate(all="ignore"):
            wanted = by_backward(f, args, wrt)
            made = program(f, *args, wrt=wrt, clean=clean)
            value, slopes = made(*args)
        close(value, wanted[0])
        for got, want in zip(slopes, wanted[1]):
            close(got, want)
        drawn.append((made.source, args, wanted))

    draw()
    assert len({source for source, _, _ in drawn}) > 50
    results = fresh(tmp_path, [source for source, _, _ in drawn], [args for _, args, _ in drawn])
    for (value, slopes), (_, _, wanted) in zip(results, drawn):
        close(value, wanted[0])
        for got, want in zip(slopes, wanted[1]):
            close(got, want)
    ruffed(tmp_path)
    numbers = [source for source, args, _ in drawn if isinstance(args[0], float)]
    assert len(numbers) > 5
    assert not any("numpy" in source for source in numbers)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_every_loss_in_a_fresh_interpreter(dtype: Any, tmp_path: Path) -> None:
    """On other data than it was printed for: nothing of the example may be left in it."""
    other = np.random.default_rng(1)
    sources, given, wanted = [], [], []
    for name, (f, target) in LOSSES.items():
        for clean in (True, False):
            made = program(f, Z.astype(dtype), target, clean=clean)
            z = (3.0 * other.normal(size=Z.shape)).astype(dtype)
            t = other.permutation(target) if "axis" not in name else target
            if "one-hot" in name:
                t = other.permutation(SOFT)  # from one-hot to soft
            sources.append(made.source)
            given.append([z, t])
            wanted.append(by_backward(f, [z, t], (0,)))
    for (value, slope), (right, [back]), source in zip(
        fresh(tmp_path, sources, given), wanted, sources
    ):
        assert slope.dtype == back.dtype, source
        close(value, np.asarray(right, slope.dtype))
        close(slope, back)
    ruffed(tmp_path)
