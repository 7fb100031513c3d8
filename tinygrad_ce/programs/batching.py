"""The rows of a derivative as one block: a Jacobian pulls each unit vector back by itself.

What it records is the same expression again and again, of another row of ``np.eye`` each time. Here
that is recognised. Where the rows are a short sum of products, it is written as such; else the
first row's operations get a leading axis, which numbers the rows. Rows that are not alike, or hold
an operation that cannot have that axis, stay.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace as copy
from typing import Any

import numpy as np

from ..engine.operation import TABLE
from ..engine.rules import scatter
from .contractions import Writer, pairs_of
from .index_notation import Form, NotASumError, Reader, deltas, proper, reduced_axes
from .lines import Builder, Line, astype, elementwise, fact, live, option, replace, walk
from .simplifier import is_call, key_of, moves_first, simplify

MIXED = -1  # the row of a line that depends on several
FEW = 3  # terms of one pattern of δ, where only what was a sum before is written as one
# For every line the first that computes what it does in its row, and the row of ``eye`` it is in.
Alike = tuple[dict[Line, Line], dict[Line, int | None]]


def batch(lines: Sequence[Line], outputs: Any) -> tuple[list[Line], Any]:
    """The same outputs with one block in place of the rows of each derivative."""
    if not any(line.function is np.eye for line in lines):
        return [*lines], outputs
    batcher = _Batcher(lines)
    for line in lines:
        batcher.place(line)
    return batcher.lines, replace(outputs, batcher.now)


class _Batcher(Builder):
    """The lines in the making, and what stands for each old one that has changed."""

    def __init__(self, lines: Sequence[Line]) -> None:
        super().__init__()
        self.old, self.new = lines, dict[Line, Any]()

    def now(self, x: Any) -> Any:
        """What stands for an old line."""
        return self.new.get(x, x) if x.__class__ is Line else x

    def place(self, line: Line) -> None:
        """Place a line, or a block for a line that joins rows."""
        if (i := _unit_row(line)) is not None:  # of rows that stay as they are
            self.new[line] = np.eye(1, line.size, i, line.dtype).reshape(line.shape)
            return
        rows = _rows(line)
        found = self.block(line, rows) if rows else None
        if found is not None:
            self.new[line] = found
        elif any(x in self.new for x in walk((line.args, line.options))):
            args, options = (replace(x, self.now) for x in (line.args, line.options))
            self.new[line] = self.append(copy(line, args=args, options=options))
        else:
            self.append(line)

    def block(self, stack: Line, rows: list[Line]) -> Any:
        """Rows joined by operations on all of them at once; None if there are no such."""
        lines, first = live(self.old, rows), live(self.old, rows[0])
        for eye in dict.fromkeys(line.args[0] for line in first if _unit_row(line) == 0):
            alike = _compare(lines, rows, eye) if eye.shape[0] == len(rows) else None
            if alike and (found := self.shortest(stack, first, eye, alike)):
                for line in found[0]:
                    self.append(line)
                return found[1]
        return None

    def shortest(self, stack: Line, first: list[Line], eye: Line, alike: Alike) -> Any:
        """All rows, given the lines of the first: as sums of products if all can be multiplied out.

        Else as a sum of what were sums before, or by its own operations, whatever is shorter.
        """

        def attempt(kind: type[_AllRows], expand: bool) -> list[tuple[list[Line], Any]]:
            rows = kind(self, alike, eye, stack, expand)
            with suppress(NotASumError):
                return [(rows.builder.lines, rows.block(first))]  # in this order: block appends
            return []

        found = attempt(_AllRows, True) or attempt(_AllRows, False) + attempt(_LeadingAxis, False)
        return min(found, key=lambda lines: _cost(simplify(*lines)[0]), default=None)


def _cost(lines: Sequence[Line]) -> int:
    """How many of the lines compute something, where others place what is there."""
    return sum(line.function is not np.eye and not fact(line.function, "moves") for line in lines)


# ------------------------------------------------------------------ rows
def _rows(line: Line) -> list[Line]:
    """The rows that a line joins along a new first axis."""
    if line.function not in (np.stack, np.concatenate) or option(line, "axis", 1, 0) != 0:
        return []
    rows: Any = line.args[0] if line.args[0].__class__ in (tuple, list) else ()
    if line.function is np.concatenate:
        rows = [x.args[0] if _is_expanded(x) else None for x in rows]
    return [*rows] if all(x.__class__ is Line for x in rows) else []


def _is_expanded(x: Any) -> bool:
    """Whether it is a row with a new first axis."""
    return is_call(x, np.expand_dims) and option(x, "axis", 1) in (0, (0,))


def _unit_row(line: Line) -> int | None:
    """Which row of an ``np.eye`` a line is."""
    if line.function is not operator.getitem or line.args[1].__class__ is not int:
        return None
    x = line.args[0]
    x = x.args[0] if is_call(x, np.reshape) else x
    return line.args[1] if is_call(x, np.eye) else None


def _compare(lines: list[Line], rows: list[Line], eye: Line) -> Alike | None:
    """For every line the first that computes what it does in its row, and that row of ``eye``.

    None if the rows are not alike.
    """
    same: dict[Line, Line] = {}
    first: dict[Any, Line] = {}
    row_of: dict[Line, int | None] = {}
    for line in lines:
        args, options = (replace(x, same.__getitem__) for x in (line.args, line.options))
        key: Any = (line.function, args, options) if line.function else line
        rests_on = {row_of[x] for x in walk((line.args, line.options))} - {None}
        row_of[line] = MIXED if len(rests_on) > 1 else next(iter(rests_on), None)
        if line.function is operator.getitem and line.args[0] is eye:
            key, row_of[line] = "unit", line.args[1]
        same[line] = first.setdefault(key_of(key), line)
    alike = all(same[row] is same[rows[0]] and row_of[row] == i for i, row in enumerate(rows))
    return (same, row_of) if alike else None


# ------------------------------------------------------------------ all rows
class _AllRows(Reader):
    """The first row's lines, of all rows at once: a unit vector is a δ."""

    numbers_rows = slice(1, None)  # the axes of ``eye`` whose labels number the rows

    def __init__(
        self, batcher: _Batcher, alike: Alike, eye: Line, stack: Line, expand: bool = False
    ) -> None:
        same, row_of = alike
        seeded = {same[line] for line, row in row_of.items() if row is not None}
        super().__init__(same, seeded, expand)
        self.eye, self.now, self.stack = eye, batcher.now, stack
        self.builder = Builder(batcher.lines)
        self.writer = Writer(self, self.builder, batcher.now, stack.dtype)
        self.rows = self.labels(eye.shape[self.numbers_rows])

    def is_unit(self, line: Line) -> bool:
        """Whether a line is the unit vector."""
        return line.function is operator.getitem and line.args[0] is self.eye

    def block(self, lines: Sequence[Line]) -> Any:
        """All rows, written as a sum of products.

        Raises
        ------
        NotASumError
            If they are none, or one in which terms may cancel that did not before: entry by entry,
            every δ being 0 or 1, there is one product for each pattern of δ.
        """
        if not all(line.size for line in lines):
            raise NotASumError
        if len({line.dtype for line in lines if line.dtype.kind == "f"}) > 1:
            raise NotASumError  # in another order, the narrow one's rounding would spread
        axes, terms = self.last(lines)
        patterns = [tuple(pairs_of(f for f, _ in product)) for product in terms]
        if len({*patterns}) < len(patterns) and (self.expand or len(patterns) > FEW):
            raise NotASumError
        return self.writer.block(Form(self.rows + axes, terms), self.stack.shape)

    def last(self, lines: Sequence[Line]) -> Form:
        """The last of some lines, all being read."""
        for line in lines:
            if self.same[line] not in self.forms:
                self.forms[self.same[line]] = self.form(self.same[line])
        return self.forms[self.same[lines[-1]]]

    def read(self, line: Line) -> Form:
        """A line as its record says."""
        if not self.is_unit(line):
            return super().read(line)
        axes = self.labels(line.shape)
        return Form(axes, deltas(zip(proper(self.rows), proper(axes))))


class _LeadingAxis(_AllRows):
    """The first row's lines, each of them an array with an axis in front that numbers the rows."""

    numbers_rows = slice(0, 1)

    def block(self, lines: Sequence[Line]) -> Any:
        """All rows, written by the operations of the first."""
        self.last(lines)
        return self.all(lines[-1], lines[-1].ndim)

    def form(self, line: Line) -> Form:
        """A line as an array: a sum of products, or one operation, of those before."""
        if line not in self.seeded:
            return self.opaque(line)
        try:
            if line.function in (operator.getitem, scatter):
                raise NotASumError
            axes, terms = self.read(line)
            x = self.writer.block(Form(self.rows + axes, terms), None, line.dtype)
        except NotASumError:
            x = self.now(self.eye) if self.is_unit(line) else self.lifted(line)
        axes = self.labels(line.shape)
        return Form(axes, self.factor(line, x, self.rows + axes))

    def all(self, x: Any, ndim: int) -> Any:
        """An argument of all rows, each with so many axes; one that has no rows as it is."""
        if x.__class__ is not Line or self.same[x] not in self.seeded:
            return replace(x, self.now)
        found = self.arrays[self.known[self.same[x]]].source
        shape = (*self.eye.shape[:1], *[1] * (ndim - x.ndim), *x.shape)
        return self.writer.make(np.reshape, found, shape)

    def lifted(self, line: Line) -> Any:
        """One operation that is no sum of products, of all rows."""
        f, (x, *rest) = line.function, line.args
        shape, how = (*self.eye.shape[:1], *line.shape), dict[str, Any]()
        if (elementwise(f) and not line.options) or f is astype:
            args = [self.all(x, line.ndim) for x in line.args]
        elif f is operator.getitem or f is scatter:
            args = [self.all(x, np.ndim(x)), self.behind(rest[0]), *[shape for _ in rest[1:]]]
        elif f is np.concatenate:
            parts = [(self.all(part, np.ndim(part)), (*shape[:1], *np.shape(part))) for part in x]
            axis = option(line, "axis", 1, 0) % line.ndim + 1
            args = [tuple([self.writer.make(np.broadcast_to, *part) for part in parts]), axis]
        elif moves_first(f) and _keeps_order(line):
            f, args = np.reshape, [self.all(x, x.ndim), shape]
        elif f in TABLE and TABLE[f].vjps and "axis" in TABLE[f].options:
            axes = tuple([a + 1 for a in reduced_axes(line)[0]])
            args, how = [self.all(x, x.ndim)], line.options | {"axis": axes}
        else:
            raise NotASumError
        found = self.writer.make(f, *args, **how)
        if found.shape != shape:
            raise NotASumError
        return found

    def behind(self, index: Any) -> tuple[Any, ...]:
        """An index behind a leading axis.

        Arrays with anything but arrays between them would move their axes to the front.
        """
        steps = index if isinstance(index, tuple) else (index,)
        basic = [i is None or i is Ellipsis or i.__class__ is slice for i in steps]
        arrays = [at for at, plain in enumerate(basic) if not plain]
        numbers = [isinstance(steps[at], int | np.integer) for at in arrays]
        if not all(numbers) and arrays[-1] - arrays[0] >= len(arrays):
            raise NotASumError
        return (slice(None), *replace(steps, self.now))


def _keeps_order(line: Line) -> bool:
    """Whether entries stay in the order of their memory, as in a reshape."""
    x, *rest = line.args
    entries = np.arange(x.size).reshape(x.shape)
    return np.array_equal(np.ravel(line.function(entries, *rest, **line.options)), entries.flat)
