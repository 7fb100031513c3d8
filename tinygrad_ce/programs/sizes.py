"""A program for any number of rows.

``len(X)`` is a plain number, so one recording does not tell a size from other numbers. The function
is recorded again, with many times the rows: a constant that moves with their number is a size.
It is at least 100 rows, where log(n), x[:4] and min(n, 64) are told from sizes; but four times as
many where each row has calls of its own, as of a Jacobian, which take long. And with few rows: from
how many on it does the same, as ``max(n, 6)`` does from 6, the program checks. So it does up to how
many, where f compares: each number in its code, and in what that calls, may be one of rows.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from inspect import getattr_static
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

from ..engine.rules import scatter
from ..engine.transforms import flatten, unflatten
from .lines import Line, Size, live, within
from .literals import LONG, dtype_text, fresh_text
from .recording import Recording
from .simplifier import key_of, uniform

ENOUGH = 100  # rows
MOST = 2**22  # entries of the arguments, with as many rows as are tried


def write_sizes(
    recording: Any,
    record: Callable[[Any], Any],
    load: Callable[[Any], Any],
    args: Sequence[Any],
    wrt: Sequence[int],
    f: Any = None,
    by_f: Callable[..., Any] | None = None,
) -> None:
    """Put sizes in the place of the constants of a recording of f, or its like, that are some.

    ``record`` makes one for other arguments, ``load`` a function of one; ``by_f`` gives what such a
    function is to give. The size is a number of rows, of data rather than of variables.
    There is none if f fails with more, or does something else.
    """
    leaves = [x for arg in args for _, x in flatten(arg)]
    data = [i not in wrt for i, arg in enumerate(args) for _ in flatten(arg)]
    for group in _groups(leaves, data):
        n, times = len(leaves[min(group)]), 4  # halves and doubles are exact
        with suppress(Exception):  # what f raises of arrays that do not fit is no one class
            most, other = times * n, record(_with_rows(args, group, times * n))
            if other.calls == recording.calls:
                most = MOST // max(1, sum(map(np.size, leaves))) * n
                if times * n < ENOUGH:
                    times = 2 ** (ENOUGH // n).bit_length()
                    other = record(_with_rows(args, group, times * n))
            pair, place = _Pair(n, times, recording, other), [*recording.arguments][min(group)]
            pair.join()
            recording.rows = pair.name, place, 1, None
            run = load(recording)
            recording.rows = pair.name, place, n, n  # until more is known
            agree, some = partial(_agree, run, by_f or run), partial(_with_rows, args, group)
            recording.rows = pair.name, place, *_limits(n, most, _whole_numbers(f), agree, some)
            return


def _limits(
    n: int, most: int, numbers: set[int], agree: Callable[[Any], bool], some: Callable[[int], Any]
) -> tuple[int, int | None]:
    """From how many rows to how many the sizes found with n hold, None if there is no end.

    ``some(k)`` are arguments of k rows, up to ``most``, for which both are to ``agree``.
    """

    def holds(k: int) -> bool:
        return k <= most and agree(some(k))

    least = next(filter(holds, (1, 2, n // 2)), n)
    beside = {k + more for k in numbers for more in (-1, 0, 1)} | {n}
    tried = [k for k in sorted(beside) if k > least]
    wrong = [k for k in tried if k != n and not holds(k)]
    under = max((k for k in wrong if k < n), default=0)
    over = min((k for k in wrong if k > n), default=None)
    last = over and max(k for k in tried if k < over)
    return min(k for k in (least, *tried, n) if k > under), last


def _whole_numbers(f: Any) -> set[int]:
    """Those in the code of f and of what it calls: rows may be compared with them."""
    numbers, seen, todo = set[int](), dict[int, Any](), [f]
    while todo and len(seen) < 1_000:
        x = todo.pop()
        if isinstance(x, int | float):
            numbers |= {int(x)} if math.isfinite(x) else set()
        elif id(x) not in seen:
            seen[id(x)] = x
            todo += _beneath(x)
    return numbers


def _beneath(x: Any) -> list[Any]:
    """What a function, or what has one, rests on: its constants, and what its names stand for."""
    if isinstance(x, dict | tuple):  # a list holds data
        return [*(x.values() if isinstance(x, dict) else x)][:100]
    if isinstance(x, partial):
        return [x.func, x.args, x.keywords]
    if x.__class__ is not FunctionType:  # a method, or an object that can be called
        function = getattr(x, "__func__", getattr_static(type(x), "__call__", None))
        owner = getattr(x, "__self__", x)
        known = getattr(owner, "__dict__", None), *(dict(vars(c)) for c in type(owner).__mro__)
        return [function, *known] if function.__class__ is FunctionType else []
    cells = [cell.cell_contents for cell in x.__closure__ or ()]
    if str(x.__module__).startswith(__package__.partition(".")[0] + "."):
        return cells  # as of grad(f): f
    codes = [x.__code__]
    for code in codes:
        codes += [c for c in code.co_consts if c.__class__ is CodeType]
    names = {name for code in codes for name in code.co_names}
    found = [x.__globals__.get(name) for name in names]
    parts = [vars(m).get(name) for m in found if isinstance(m, ModuleType) for name in names]
    constants = [c for code in codes for c in code.co_consts]
    return [*constants, x.__defaults__, x.__kwdefaults__, *cells, *parts, *found]


def _with_rows(args: Sequence[Any], group: set[int], n: int) -> list[Any]:
    """The arguments, those in the group with n rows: the first, or all again and again."""
    leaves = enumerate(x for arg in args for _, x in flatten(arg))
    rows = (np.resize(x, (n, *x.shape[1:])) if k in group else x for k, x in leaves)
    return [unflatten(arg, rows) for arg in args]


def _agree(run: Any, by_f: Any, args: Sequence[Any]) -> bool:
    """Whether lines with sizes do with such arguments what f does, but for rounding."""
    quiet = warnings.catch_warnings(action="ignore"), np.errstate(all="ignore")
    with suppress(Exception), quiet[0], quiet[1]:  # f may need more rows
        pairs = zip(flatten(run(*args)), flatten(by_f(*args)))  # of one number, more
        return all(np.allclose(x, y, 1e-4, 1e-6, equal_nan=True) for (_, x), (_, y) in pairs)
    return False


def _groups(leaves: Sequence[Any], data: Sequence[bool]) -> Iterator[set[int]]:
    """Arrays that have a number of rows in common: all that have it, then the data among them."""
    rows = {k: len(x) for k, x in enumerate(leaves) if x.__class__ is np.ndarray and x.ndim}
    for n in dict.fromkeys(rows[k] for k in sorted(rows, key=data.__getitem__, reverse=True)):
        alike = {k for k in rows if rows[k] == n > 1}
        yield from filter(None, (alike, {k for k in alike if data[k]}))


class NotASizeError(Exception):
    """Two recordings differ in more than sizes."""


class _Pair:
    """A recording for n rows and one for several times as many, of which the first gets sizes."""

    def __init__(self, n: int, times: int, one: Recording, other: Recording) -> None:
        self.n, self.times, self.one, self.other, self.name = n, times, one, other, "n"
        while self.name in one.parameters:
            self.name += "_"
        self.same = dict[Line, Line]()  # of each line the other
        self.eps = np.finfo(np.float64).eps  # of the line at hand
        self.of_floats = False  # whether the line at hand has other arguments that are floats

    def join(self) -> None:
        """Write the sizes into the lines, or raise an error."""
        pairs = [*zip(_lines(self.one), _lines(self.other), strict=True)]
        sized = [self.line(x, y) for x, y in pairs]
        outputs = self.both(self.one.outputs, self.other.outputs)
        for (x, _), new in zip(pairs, sized):
            x.args, x.options, x.shape = new
        self.one.outputs = outputs

    def line(self, x: Line, y: Line) -> Any:
        """The arguments, options and shape of a line, with sizes."""
        if (x.function, x.kind) != (y.function, y.kind):
            raise NotASizeError
        if x.function is within and x.args[1:] != y.args[1:]:
            raise NotASizeError  # a check of indices holds the numbers
        self.eps = np.finfo(x.dtype if x.dtype.kind == "f" else np.float64).eps
        self.of_floats = any(a.__class__ is Line and a.dtype.kind == "f" for a in x.args)
        args, others = x.args, y.args
        if x.function is scatter and _are_uniform(args[0], others[0]):
            args, others = ((a[0].flat[0].item(), *a[1:]) for a in (args, others))  # it spreads
        sized = self.both((args, x.options, x.shape), (others, y.options, y.shape))
        self.same[x] = y
        return sized

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
        return Size(self.size(x, y), x)

    def array(self, x: Any, y: Any) -> Size:
        """An array of one number, or of whole numbers in order."""
        shape = self.both(x.shape, y.shape)
        if x.dtype != y.dtype:
            raise NotASizeError
        if x.size == y.size == 0:
            return Size(fresh_text(x, shape), x)
        if _are_uniform(x, y):
            value = self.both(x.flat[0].item(), y.flat[0].item())
            return Size(fresh_text(x, shape, value), x)
        if not all(np.array_equal(z.reshape(-1), np.arange(z.size)) for z in (x, y)):
            raise NotASizeError
        kind = "" if x.dtype == np.dtype(int) else f", dtype={dtype_text(x.dtype)}"
        text = f"np.arange({self.both(x.size, y.size)}{kind})"
        return Size(text if x.ndim == 1 else f"{text}.reshape({shape})", x)

    def size(self, x: Any, y: Any) -> str:
        """A multiple of the rows, a share of them, or some more or fewer."""
        n, name, whole = self.n, self.name, isinstance(x, int)
        if whole and y == x + (self.times - 1) * n != self.times * n:
            return f"{name} {'+' if x > n else '-'} {abs(x - n)}"
        near = 0.0 if whole else 4 * float(self.eps)
        symbol, c = "*", float(x) / n
        if not math.isclose(self.times * x, y, rel_tol=near):
            symbol, c = "/", float(x) * n
            if whole or not math.isclose(x, self.times * y, rel_tol=near):
                raise NotASizeError
        short = float(f"{c:.6g}")
        c = short if math.isclose(short, c, rel_tol=near) else c
        if whole and not c.is_integer():
            raise NotASizeError
        text = f"{c:.0f}" if c.is_integer() else repr(c)
        text = name if (c, symbol) == (1, "*") else f"{text} {symbol} {name}"
        if symbol == "/" and len(repr(c)) > LONG and (1 / abs(c)).is_integer() and c > 0:
            text = f"1 / ({1 / c:.0f} * {name})"
        is_int = symbol == "*" and c.is_integer() and not whole and not self.of_floats
        return f"float({text})" if is_int else text


def _are_uniform(*arrays: Any) -> bool:
    return all(isinstance(x, np.ndarray) and uniform(x) for x in arrays)


def _lines(recording: Recording) -> list[Line]:
    """The arguments, and the lines that the results need."""
    inputs = [x for x in recording.arguments.values() if x.__class__ is Line]
    return [*inputs, *[x for x in live(recording.lines, recording.outputs) if x.function]]
