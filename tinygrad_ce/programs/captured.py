"""Arrays that a function takes from outside: symbols, as arguments are, while it is simplified.

Else a number in front would be multiplied into them, and (p - t) / n would be C_1 + 0.2 * p.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .lines import Line, distributions, reads, replace, walk
from .simplifier import key_of, simplify, uniform

Array = np.ndarray[Any, Any]


def lift(lines: Sequence[Line], names: dict[Any, str]) -> tuple[list[Line], dict[Line, Array]]:
    """The lines, which read a line for each array of floats that has a name; and these arrays.

    What is 1 - y, or a multiple of y, is computed from y; of tables it is said that their rows sum
    to 1, where they do to rounding.
    """
    if not names:
        return [*lines], {}
    arrays = {id(x): x for line in lines for x in walk((line.args, line.options), np.ndarray)}
    kept = {at: x for at, x in arrays.items() if x.dtype.kind == "f" and not uniform(x)}
    keys = {at: key_of(x) for at, x in kept.items() if x.size}
    captured, known = dict[Line, Array](), dict[Any, tuple[Line, Array]]()
    for at, key in keys.items():
        if key in names and key not in known:
            x = kept[at]
            symbol = made = Line(None, (), {}, x.shape, x.dtype, names[key])
            captured[symbol] = x
            if np.all(np.abs(x.sum(axis=-1) - 1.0) <= x.shape[-1] * np.finfo(x.dtype).eps):
                made = Line(distributions, (symbol,), {}, x.shape, x.dtype)
            known[key] = made, x
    for at, key in keys.items() if known else ():
        if key not in known and (line := _of_another(kept[at], [*known.values()])):
            known[key] = line, kept[at]
    read = {at: known[key][0] for at, key in keys.items() if key in known}
    result = dict.fromkeys(captured)
    for line in lines:
        line.args, line.options = (
            replace(part, lambda x: read.get(id(x), x), np.ndarray)
            for part in (line.args, line.options)
        )
        for made in reads(line):  # what is computed from symbols, where it is needed first
            result |= dict.fromkeys((*reads(made), made))
        result[line] = None
    return [*result], captured


def _of_another(x: Array, known: Sequence[tuple[Line, Array]]) -> Line | None:
    """How an array is computed from one of those, to the bit."""
    for symbol, y in known:
        if (x.shape, x.dtype) == (y.shape, y.dtype):
            top = np.argmax(np.abs(y))
            ratio = float(x.flat[top] / y.flat[top])
            if np.array_equal(1.0 - y, x):
                return Line(np.subtract, (1.0, symbol), {}, x.shape, x.dtype)
            if np.array_equal(ratio * y, x):
                return Line(np.multiply, (ratio, symbol), {}, x.shape, x.dtype)
    return None


def put_back(lines: Sequence[Line], outputs: Any, captured: dict[Line, Array]) -> tuple[Any, Any]:
    """The arrays in the place of their symbols."""
    known = dict[Line, Any](captured)
    for line in lines:
        line.args, line.options = (
            replace(part, lambda x: known.get(x, x)) for part in (line.args, line.options)
        )
        if line.function is distributions and line.args[0].__class__ is np.ndarray:
            known[line] = line.args[0]
    return simplify(lines, replace(outputs, lambda x: known.get(x, x)))
