"""Arrays that a function takes from outside: symbols, as arguments are, while it is simplified.

Else a number in front would be multiplied into them, and (p - t) / n would be C_1 + 0.2 * p.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .lines import Line, distributions, replace, walk
from .simplifier import key_of, simplify, uniform

Array = np.ndarray[Any, Any]


def lift(lines: Sequence[Line], names: dict[Any, str]) -> tuple[list[Line], dict[Line, Array]]:
    """The lines, which read a line for each array of floats that has a name; and these arrays.

    What is 1 - y is computed from y; of tables it is said that their rows sum to 1, where they do
    to rounding.
    """
    if not names:
        return [*lines], {}
    constants = [x for line in lines for x in walk((line.args, line.options), np.ndarray)]
    floats = [x for x in constants if x.dtype.kind == "f" and x.size and not uniform(x)]
    arrays = {key_of(x): x for x in floats}
    captured, known = dict[Line, Array](), dict[Any, Line]()
    for key in [key for key in arrays if key in names]:
        x = arrays.pop(key)
        known[key] = symbol = Line(None, (), {}, x.shape, x.dtype, names[key])
        if np.all(np.abs(x.sum(axis=-1) - 1.0) <= x.shape[-1] * np.finfo(x.dtype).eps):
            known[key] = Line(distributions, (symbol,), {}, x.shape, x.dtype)
        captured |= {symbol: x, known[key]: x}
    known |= {key: line for key, x in arrays.items() if (line := _of_another(x, captured))}

    def symbol_of(x: Array) -> Any:
        return known.get(key_of(x), x)

    for line in lines:
        line.args, line.options = replace((line.args, line.options), symbol_of, np.ndarray)
    return [*dict.fromkeys([*captured, *known.values(), *lines])], captured


def _of_another(x: Array, captured: dict[Line, Array]) -> Line | None:
    """How an array is computed from one of those, to the bit."""
    for symbol, y in reversed(captured.items()):
        if (x.shape, x.dtype) == (y.shape, y.dtype) and np.array_equal(1.0 - y, x):
            return Line(np.subtract, (1.0, symbol), {}, x.shape, x.dtype)
    return None


def put_back(lines: Sequence[Line], outputs: Any, captured: dict[Line, Array]) -> tuple[Any, Any]:
    """The arrays in the place of their symbols."""

    def array_of(x: Line) -> Any:
        return captured.get(x, x)

    for line in lines:
        line.args, line.options = replace((line.args, line.options), array_of)
    return simplify(lines, replace(outputs, array_of))
