"""A program for any number of rows.

``len(X)`` is a plain number, so one recording does not tell a size from other numbers. The function
is recorded again, with many times the rows: a constant that moves with their number is a size.
It is at least 100 rows, where log(n), x[:4] and min(n, 64) are told from sizes; but four times as
many where each row has calls of its own, as of a Jacobian, which take long. Where f may decide by
how many rows there are, as ``max(n, 6)`` does, each number of rows around the example's is tried,
and the program refuses others.
"""

from __future__ import annotations

import ast
import math
import operator
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from types import CodeType, EllipsisType
from typing import Any

import numpy as np

from ..engine.origin import Place, function_of, place
from ..engine.rules import scatter
from ..engine.transforms import flatten, unflatten
from .lines import CHECKED, Line, Size, constant, elementwise, live, replace, within
from .literals import LONG, dtype_text, fresh_text
from .printing import NEW
from .recording import Recording
from .simplifier import key_of, uniform

ENOUGH = 100  # rows
# How many numbers of rows are tried, of how many lines and entries in all.
MOST, TRIED, ENTRIES = 500, 4_000, 2**24
HUGE = 2**30  # rows
# What does the same with any number of rows; what gives more of more rows.
ALIKE = {np.matmul, np.reshape, np.transpose, np.expand_dims, np.squeeze, np.broadcast_to}
ALIKE |= {np.take_along_axis, np.argsort, np.argmax, np.cumsum, constant, *CHECKED, *NEW}
SMOOTH = {"len", "float", "arange", "ones", "zeros", "sum", "mean"}
ARITHMETIC = ast.Add | ast.Sub | ast.Mult | ast.Div | ast.Pow
# Others may use what these name; what fails with few rows decides there.
CLOSED = ast.FunctionDef | ast.Lambda | ast.Global | ast.Nonlocal | ast.Try | ast.TryStar | ast.With


def write_sizes(
    recording: Any, record: Callable[..., Any], args: Any, wrt: Sequence[int], load: Any = None
) -> None:
    """Put sizes in the place of the constants of a recording of f, or its like, that are some.

    ``record`` makes one for other arguments; where ``load`` makes a function of one, it has limits,
    and ``record`` makes one as f does it, too, and without a backward pass. The size is a number of
    rows, of data rather than of variables. There is none if f fails with more, or does something
    else.
    """
    leaves = [x for arg in args for _, x in flatten(arg)]
    data = [i not in wrt for i, arg in enumerate(args) for _ in flatten(arg)]
    for group in _groups(leaves, data):
        n, times = len(leaves[min(group)]), 4  # halves and doubles are exact
        some, source = partial(_with_rows, args, group), [*recording.arguments][min(group)]
        with suppress(Exception):  # what f raises of arrays that do not fit is no one class
            other = record(some(times * n))
            by_row = other.calls != recording.calls  # a Jacobian has blocks once it is clean
            if not by_row and times * n < ENOUGH:
                times = 2 ** (ENOUGH // n).bit_length()
                other = record(some(times * n))
            least, most = 1, None
            if load:
                forward = partial(record, clean=by_row, backward=False)
                alone = _Pair(n, times, forward(args), forward(some(times * n)))
                alone.join()
                least, most = _limits(alone, forward, some)
            pair = _Pair(n, times, recording, other)
            pair.join()
            recording.rows = pair.name, source, 1, None
            if load:
                holds = partial(_agrees, recording, record, load)
                least = max(least, next((k for k in (1, 2, n // 2) if holds(some(k))), n))
                recording.rows = pair.name, source, least, most
            return


class _Flow:
    """Where the sizes go that code asks for: whether they decide something."""

    def __init__(self, code: CodeType, offsets: set[int], others: set[str], made: set[int]) -> None:
        self.function, places = function_of(code)
        self.asked, self.made = ({places[k // 2] for k in ks} for ks in (offsets, made))
        self.names, self.found = set[str](), set[Place]()
        nodes = [*ast.walk(self.function)] if self.function else []
        stored = [x.id for x in nodes if isinstance(x, ast.Name) and isinstance(x.ctx, ast.Store)]
        self.others = others.union(stored)

    def decides(self) -> bool:
        """Whether a branch, a loop, a table or an unknown function may rest on a size."""
        known = -1
        with suppress(NotASizeError):
            while self.function and known < len(self.names):  # in a loop a name may come later
                known = len(self.names)
                for node in ast.iter_child_nodes(self.function):
                    self.holds(node)
            return self.found != self.asked
        return True

    def holds(self, node: Any) -> bool:
        """Whether an expression holds a size, and no array yet; an error where that decides."""
        parts = [self.holds(x) for x in ast.iter_child_nodes(node)]
        if isinstance(node, ast.expr):
            if (at := place(node)) in self.asked:
                self.found.add(at)
                return True
            if at in self.made:
                return False
        if isinstance(node, CLOSED):
            raise NotASizeError
        if isinstance(node, ast.Name):
            return node.id in self.names
        return any(parts) and self.goes_on(node, parts)

    def goes_on(self, node: Any, parts: list[bool]) -> bool:
        """Whether what is made of a size holds one, too; an error where the size decides."""
        match node:
            case ast.BinOp(op=op) | ast.AugAssign(op=op) if not isinstance(op, ARITHMETIC):
                raise NotASizeError
            case ast.BinOp(op=ast.Pow()) if parts[2]:
                raise NotASizeError  # (-1) ** n
            case ast.BinOp() | ast.UnaryOp(op=ast.USub()) | ast.Tuple() | ast.keyword():
                return True
            case ast.Call(func=ast.Attribute(ast.Name(owner), f) | ast.Name(f as owner)):
                if not parts[0] and f in SMOOTH and owner not in self.others:
                    return True
            case ast.Subscript(value=shape):
                if place(shape) in self.asked and not parts[1]:
                    return True
            case ast.Assign() | ast.AugAssign():
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                names = [x for target in targets for x in getattr(target, "elts", [target])]
                if all(isinstance(x, ast.Name) for x in names):
                    self.names |= {x.id for x in names}
                    return False
            case ast.Return() | ast.Expr():
                return False
        raise NotASizeError


def _with_rows(args: Sequence[Any], group: set[int], n: int) -> list[Any]:
    """The arguments, those in the group with n rows: the first, or all again and again."""
    leaves = enumerate(x for arg in args for _, x in flatten(arg))
    rows = (np.resize(x, (n, *x.shape[1:])) if k in group else x for k, x in leaves)
    return [unflatten(arg, rows) for arg in args]


def _agrees(recording: Any, record: Any, load: Any, args: Sequence[Any]) -> bool:
    """Whether lines with sizes do with such arguments what f does, but for rounding."""
    quiet = warnings.catch_warnings(action="ignore"), np.errstate(all="ignore")
    with suppress(Exception), quiet[0], quiet[1]:  # f may need more rows
        found, wanted = (load(x)(*args) for x in (recording, record(args, clean=False)))
        pairs = zip(flatten(found), flatten(wanted))  # of one number, more
        return all(np.allclose(x, y, 1e-4, 1e-6, equal_nan=True) for (_, x), (_, y) in pairs)
    return False


def _groups(leaves: Sequence[Any], data: Sequence[bool]) -> Iterator[set[int]]:
    """Arrays that have a number of rows in common: all that have it, then the data among them."""
    rows = {k: len(x) for k, x in enumerate(leaves) if x.__class__ is np.ndarray and x.ndim}
    for n in dict.fromkeys(rows[k] for k in sorted(rows, key=data.__getitem__, reverse=True)):
        alike = {k for k in rows if rows[k] == n > 1}
        yield from filter(None, (alike, {k for k in alike if data[k]}))


def _limits(
    pair: _Pair, record: Callable[[Any], Recording], some: Callable[[int], Any]
) -> tuple[int, int | None]:
    """From how many rows to how many f does the same as with n, None for any more.

    Where nothing tells one number of rows from another that is any; else each one around n is
    tried. ``some(k)`` are arguments of k rows.
    """
    n = pair.n
    asking = [(x, *each) for x in (pair.one, pair.other) for each in x.asking.items()]
    free = not any(_Flow(code, *asked, x.made_at(code)).decides() for x, code, asked in asking)
    if free and all(map(pair.is_alike, _lines(pair.one))):
        return 1, None
    entries = sum(x.size for x in _lines(pair.other))
    several = min(MOST, TRIED // pair.other.calls, ENTRIES // entries)

    def end(ks: range) -> int:
        last = n
        with suppress(Exception):  # f may need more rows
            for k in ks:
                if not pair.holds_for(record(some(k)), k):
                    break
                last = k
        return last

    return end(range(n - 1, max(0, n - several // 2), -1)), end(range(n + 1, n + several))


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
        self.rows = n * times  # of the recording at hand

    def join(self) -> None:
        """Write the sizes into the lines, or raise an error."""
        pairs = [*zip(_lines(self.one), _lines(self.other), strict=True)]
        sized = [self.line(x, y) for x, y in pairs]
        outputs = self.both(self.one.outputs, self.other.outputs)
        for (x, _), new in zip(pairs, sized):
            x.args, x.options, x.shape = new
        self.one.outputs = outputs

    def at(self, x: Any, k: int) -> Any:
        """What sizes are for k rows, in arguments or a shape."""
        return replace(x, lambda size: eval(size.text, {"np": np, self.name: k}), Size)

    def is_alike(self, line: Line) -> bool:
        """Whether a line does the same with any number of rows, as a part of them does not."""
        f = line.function
        if f is not operator.getitem:
            return f is None or elementwise(f) or f in ALIKE or (f is np.diag and line.ndim == 2)
        index = line.args[1] if line.args[1].__class__ is tuple else line.args[1:]
        if not {*map(type, index)} <= {slice, int, type(None), EllipsisType}:
            return all(x.start is x.stop is None for x in index if x.__class__ is slice)
        whole = np.broadcast_to(False, self.at(line.args[0].shape, HUGE))  # takes no memory
        return bool(whole[self.at(index, HUGE)].shape == self.at(line.shape, HUGE))

    def holds_for(self, other: Recording, k: int) -> bool:
        """Whether a recording for k rows is as the sizes say."""
        self.rows, self.same = k, {}
        try:
            for x, y in zip(_lines(self.one), _lines(other), strict=True):
                self.line(x, y)
            self.both(self.one.outputs, other.outputs)
        except (NotASizeError, ValueError):
            return False
        return True

    def line(self, x: Line, y: Line) -> Any:
        """The arguments, options and shape of a line, with sizes."""
        if (x.function, x.kind) != (y.function, y.kind):
            raise NotASizeError
        if x.function is within and x.args[1:] != y.args[1:]:
            raise NotASizeError  # a check of indices holds the numbers
        self.eps = np.finfo(x.dtype if x.dtype.kind == "f" else np.float64).eps
        self.of_floats = any(a.__class__ is Line and a.dtype.kind == "f" for a in x.args)
        args, others = map(_spread, (x, y))
        sized = self.both((args, x.options, x.shape), (others, y.options, y.shape))
        self.same[x] = y
        return sized

    def both(self, x: Any, y: Any) -> Any:
        """What two arguments are: the same, or one that depends on the number of rows."""
        if x is y and x.__class__ is not Line:
            return x
        if x.__class__ is Size and self.is_like(self.at(x, self.rows), y):
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

    def is_like(self, x: Any, y: Any) -> bool:
        """Whether both are one constant, but for rounding."""
        if isinstance(x, int | float) and isinstance(y, float):
            return math.isclose(x, y, rel_tol=8 * float(self.eps))
        return bool(key_of(x) == key_of(np.asarray(y) if isinstance(y, range) else y))

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


def _spread(line: Line) -> Any:
    """The arguments of a line; of what spreads one number, the number."""
    spreads = line.function is scatter and _are_uniform(line.args[0])
    return (line.args[0].flat[0].item(), *line.args[1:]) if spreads else line.args


def _are_uniform(*arrays: Any) -> bool:
    return all(isinstance(x, np.ndarray) and uniform(x) for x in arrays)


def _lines(recording: Recording) -> list[Line]:
    """The arguments, and the lines that the results need."""
    inputs = [x for x in recording.arguments.values() if x.__class__ is Line]
    return [*inputs, *[x for x in live(recording.lines, recording.outputs) if x.function]]
