"""A program for any number of rows.

``len(X)`` is a plain number, so one recording does not tell a size from other numbers. The function
is recorded once more, with other rows: a constant that moves with their number is a size.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from ..engine.rules import scatter
from ..engine.transforms import flatten, unflatten
from .lines import Line, Size, live, within
from .literals import fresh_text
from .recording import Recording
from .simplifier import key_of, uniform

FEW = 16  # rows, of which twice as many are recorded; of more, half


def write_sizes(
    found: Recording, record: Callable[[Any], Recording], args: Sequence[Any], wrt: Sequence[int]
) -> None:
    """Put sizes in the place of the constants of a recording that are some.

    ``record`` makes one for other arguments. The size is a number of rows, of data rather than of
    what is differentiated. There is none if f fails with other rows, or does something else.
    """
    leaves = [x for arg in args for _, x in flatten(arg)]
    data = [i not in wrt for i, arg in enumerate(args) for _ in flatten(arg)]
    for n, group in _groups(leaves, data):
        m = _another(n)
        other = iter(
            [np.concatenate([x, x])[:m] if k in group else x for k, x in enumerate(leaves)]
        )
        with suppress(Exception):  # what f raises of arrays that do not fit is no one class
            _Pair(n, m, found, record([unflatten(arg, other) for arg in args])).join(min(group))
            return


def _groups(leaves: Sequence[Any], data: Sequence[bool]) -> Iterator[tuple[int, set[int]]]:
    """Numbers of rows, each with the arrays that have so many: all of them, then data alone."""
    rows = {k: len(x) for k, x in enumerate(leaves) if x.__class__ is np.ndarray and x.ndim}
    for n in dict.fromkeys(rows[k] for k in sorted(rows, key=data.__getitem__, reverse=True)):
        alike = {k for k in rows if rows[k] == n > 1}
        yield from ((n, group) for group in (alike, {k for k in alike if data[k]}) if group)


def _another(n: int) -> int:
    """Another number of rows; a power of two if n is one, for the simplifier tells these apart."""
    half = n // 2
    if n < FEW:
        return 2 * n
    return half - 1 if half & (half - 1) == 0 and n & (n - 1) else half


class NotASizeError(Exception):
    """Two recordings differ in more than sizes."""


class _Pair:
    """A recording for n rows and one for m, of which the first gets the sizes."""

    def __init__(self, n: int, m: int, one: Recording, other: Recording) -> None:
        self.n, self.m, self.one, self.other, self.name = n, m, one, other, "n"
        while self.name in one.parameters:
            self.name += "_"
        self.same = dict[Line, Line]()  # of each line the one for m rows
        self.of_floats = False  # whether the line at hand has other arguments that are floats

    def join(self, first: int) -> None:
        """Write the sizes into the lines, or raise an error and write nothing."""
        pairs = [*zip(_lines(self.one), _lines(self.other), strict=True)]
        found = [self.line(x, y) for x, y in pairs]
        outputs = self.both(self.one.outputs, self.other.outputs)
        for (x, _), new in zip(pairs, found):
            x.args, x.options, x.shape = new
        self.one.outputs = outputs
        self.one.rows = self.name, [*self.one.arguments][first]

    def line(self, x: Line, y: Line) -> Any:
        """The arguments, options and shape of a line, with sizes."""
        if (x.function, x.kind) != (y.function, y.kind):
            raise NotASizeError
        if x.function is within and x.args[1:] != y.args[1:]:
            raise NotASizeError  # a check of indices holds the numbers
        self.of_floats = any(a.__class__ is Line and a.dtype.kind == "f" for a in x.args)
        args, others = x.args, y.args
        if x.function is scatter and isinstance(args[0], np.ndarray) and uniform(args[0]):
            args, others = ((a[0].flat[0].item(), *a[1:]) for a in (args, others))  # it spreads
        found = self.both((args, x.options, x.shape), (others, y.options, y.shape))
        self.same[x] = y
        return found

    def both(self, x: Any, y: Any) -> Any:
        """What two arguments are: the same, or one that depends on the number of rows."""
        if x is y and x.__class__ is not Line:
            return x
        if x.__class__ is not y.__class__ or (x.__class__ is Line and self.same.get(x) is not y):
            raise NotASizeError
        if x.__class__ is Line:
            return x
        if isinstance(x, dict):
            return dict(self.both([*x.items()], [*y.items()]))
        if isinstance(x, slice):
            return slice(*self.both((x.start, x.stop, x.step), (y.start, y.stop, y.step)))
        if isinstance(x, tuple | list):
            return x.__class__([self.both(a, b) for a, b in zip(x, y, strict=True)])
        if key_of(x) == key_of(y):
            return x
        if isinstance(x, range | np.ndarray):
            return self.array(np.asarray(x), np.asarray(y))
        return Size(self.whole(x, y) if isinstance(x, int) else self.number(x, y), x)

    def array(self, x: Any, y: Any) -> Size:
        """An array of one number, or of whole numbers in order."""
        shape = self.both(x.shape, y.shape)
        if x.dtype != y.dtype:
            raise NotASizeError
        if uniform(x) and uniform(y):
            value = self.both(x.flat[0].item(), y.flat[0].item())
            return Size(fresh_text(x, shape, value), x)
        if not all(np.array_equal(z.reshape(-1), np.arange(z.size)) for z in (x, y)):
            raise NotASizeError
        text = f"np.arange({self.both(x.size, y.size)})"
        return Size(text if x.ndim == 1 else f"{text}.reshape({shape})", x)

    def whole(self, x: int, y: int) -> str:
        """A multiple of the rows, or some more or fewer."""
        if x * self.m == y * self.n and x % self.n == 0:
            return self.name if x == self.n else f"{x // self.n} * {self.name}"
        if x - y != self.n - self.m:
            raise NotASizeError
        return f"{self.name} {'+' if x > self.n else '-'} {abs(x - self.n)}"

    def number(self, x: Any, y: Any) -> str:
        """A multiple of the rows, or a share of them; if there is such a one, to the last bit."""
        near, n = 4 * float(np.finfo(np.asarray(x).dtype).eps), self.n
        forms = {"*": (float(x) / n, float(y) / self.m), "/": (float(x) * n, float(y) * self.m)}
        symbol = next((s for s, (c, d) in forms.items() if math.isclose(c, d, rel_tol=near)), None)
        if symbol is None:
            raise NotASizeError
        (c, _), f = forms[symbol], {"*": operator.mul, "/": operator.truediv}[symbol]
        others = (float(f"{c:.6g}"), c, *np.nextafter(c, [-np.inf, np.inf]).tolist())
        c = next((z for z in others if x == x.__class__(f(z, n))), c)
        text = f"{c:.0f}" if c.is_integer() else repr(c)
        text = self.name if (c, symbol) == (1, "*") else f"{text} {symbol} {self.name}"
        whole = symbol == "*" and c.is_integer() and not self.of_floats
        return f"float({text})" if whole else text


def _lines(recording: Recording) -> list[Line]:
    """The arguments, and the lines that the results need."""
    inputs = [x for x in recording.arguments.values() if x.__class__ is Line]
    return [*inputs, *[x for x in live(recording.lines, recording.outputs) if x.function]]
