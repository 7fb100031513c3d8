"""Whether a program is as good as another where its arguments are large."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from warnings import catch_warnings

import numpy as np

from ..engine.transforms import flatten
from .lines import Line, distributions, evaluate, replace

DRAWS, DRAWN = 16, 2**16  # of large arguments, and different entries of each, at most
LINES, ENTRIES = 2**10, 2**9  # run in all draws, and of arguments: many entries need few draws


def is_stable(old: Any, new: Any) -> bool:
    """Whether what was no nan before is none, and what was finite is so, for large arguments.

    In another order products may overflow, and z + z² is no number where z·(1 + z) is inf. No rule
    can tell from the lines whether that happens, so it is tried, with data that are drawn.
    """
    inputs = [line for line in old[0] if line.function is None]
    tables = {x for line in old[0] if line.function is distributions for x in line.args}
    rng = np.random.default_rng(0)
    quiet = suppress(ArithmeticError, ValueError, IndexError, TypeError)
    with catch_warnings(action="ignore"), np.errstate(all="ignore"), quiet:
        most = min(DRAWS, LINES // len(old[0]), ENTRIES // max(1, sum(x.size for x in inputs)))
        for _draw in range(max(1, most)):
            data = {x: _large(x, rng, x in tables) for x in inputs}
            for x, y in zip(_results(old, data), _results(new, data)):
                lost = np.isfinite(x) & ~np.isfinite(y) | ~np.isnan(x) & np.isnan(y)
                if np.any(lost):
                    return False
    return True


def _large(x: Line, rng: Any, table: bool) -> Any:
    """Data for an argument, at both ends of what has an exponential."""
    if x.dtype.kind != "f":
        return x.kind(0) if x.is_number else np.zeros(x.shape, x.dtype)
    most = 700.0 if x.dtype.itemsize == 8 else 85.0
    drawn = np.resize(rng.choice([-most, -1.0, 0.5, most], min(x.size, DRAWN) or 1), x.shape)
    drawn = np.full(x.shape, 1.0 / x.shape[-1]) if table else drawn
    return float(drawn) if x.is_number else drawn.astype(x.dtype)


def _results(program: Any, data: dict[Line, Any]) -> list[Any]:
    """The outputs for these arguments."""
    lines, outputs = program
    results = replace(outputs, evaluate(lines, data).__getitem__)
    return [np.asarray(x, float) for _path, x in flatten(results)]
