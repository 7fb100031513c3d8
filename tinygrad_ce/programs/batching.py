"""The rows of a derivative as one block: a Jacobian pulls each unit vector back by itself.

What it records is the same expression again and again, of another row of ``np.eye`` each time. Here
that is recognised, and the first row's lines are read as sums of products, in which a unit vector
is a δ. What is none gets axes in front, which number the rows. Rows that are not alike, or hold an
operation that cannot have those axes, stay.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np

from ..engine.rules import scatter
from .index_notation import MOST, Form, NotASumError, pairs_of, proper
from .lines import Line, elementwise, fact, live, option, reads, replace
from .products import Reader
from .simplifier import Simplifier, is_call, key_of

MIXED = -1  # the row of a line that depends on several
FEW = 3  # terms of a line, where only what was a sum before is written as one


def batch(lines: Sequence[Line], outputs: Any) -> tuple[list[Line], Any]:
    """The same outputs with one block in place of the rows of each derivative."""
    if not any(line.function is np.eye for line in lines):
        return [*lines], outputs
    return _Batcher(lines, outputs).run()


class _Batcher(Simplifier):
    """A pass that writes a block for a line that joins rows."""

    def rewrite(self, line: Line) -> Any:
        """A block for a line that joins rows; of other lines what is simpler."""
        if (i := _unit_row(line)) is not None:  # of rows that stay as they are
            return np.eye(1, line.size, i, line.dtype).reshape(line.shape)
        found = self.block(line)
        return super().rewrite(line) if found is None else found

    def block(self, stack: Line) -> Any:
        """Rows joined by operations on all of them at once; None if there are no such."""
        rows: Any = stack.args[0] if stack.function in (np.stack, np.concatenate) else ()
        joined = rows and len(rows) == stack.shape[0] and option(stack, "axis", 1, 0) == 0
        if not joined or not all(row.__class__ is Line for row in rows):
            return None
        lines, first = live(self.old, rows), live(self.old, rows[0])
        floats = {line.dtype for line in lines if line.dtype.kind == "f" and not line.is_number}
        if len(floats) > 1:
            return None  # in another order, the narrow one's rounding would spread
        for eye in dict.fromkeys(line.args[0] for line in first if _unit_row(line) == 0):
            seeded = _seeded(lines, rows, eye) if eye.shape[0] == len(rows) else set[Line]()
            read = partial(_AllRows, self, eye, stack, seeded)
            for ways in ([(True, MOST)], [(False, FEW), (False, 1)]) if seeded else ():
                blocks = [x for way in ways if (x := read(*way).block(first)) is not None]
                if blocks:
                    return min(blocks, key=lambda block: _cost(live(self.lines, block)))
        return None


def _cost(lines: Sequence[Line]) -> int:
    """How many of the lines compute something, where others place what is there."""
    return sum(line.function is not np.eye and not fact(line.function, "moves") for line in lines)


# ------------------------------------------------------------------ rows
def _unit_row(line: Line) -> int | None:
    """Which row of an ``np.eye`` a line is."""
    if line.function is not operator.getitem or line.args[1].__class__ is not int:
        return None
    x = line.args[0]
    x = x.args[0] if is_call(x, np.reshape) else x
    return line.args[1] if is_call(x, np.eye) else None


def _seeded(lines: list[Line], rows: Sequence[Line], eye: Line) -> set[Line]:
    """What depends on a row of ``eye``, each row on its own; nothing if the rows are not alike."""
    same: dict[Line, Line] = {}  # for every line the first that computes what it does in its row
    first: dict[Any, Line] = {}
    row_of: dict[Line, int | None] = {}
    for line in lines:
        args, options = (replace(x, same.__getitem__) for x in (line.args, line.options))
        key: Any = (line.function, args, options) if line.function else line
        rests_on = {row_of[x] for x in reads(line)} - {None}
        row_of[line] = MIXED if len(rests_on) > 1 else next(iter(rests_on), None)
        if line.function is operator.getitem and line.args[0] is eye:
            key, row_of[line] = "unit", line.args[1]
        same[line] = first.setdefault(key_of(key), line)
    alike = all(same[row] is same[rows[0]] and row_of[row] == i for i, row in enumerate(rows))
    return {line for line in lines if row_of[line] is not None} if alike else set()


# ------------------------------------------------------------------ all rows
class _AllRows(Reader):
    """The first row's lines, of all rows at once; none of more terms than ``most``."""

    def __init__(
        self, batcher: _Batcher, eye: Line, stack: Line, seeded: set[Line], expand: bool, most: int
    ) -> None:
        super().__init__(batcher, stack.dtype)
        self.seeded, self.expand, self.most, self.forms = seeded, expand, most, {}
        self.eye, self.stack = eye, stack
        self.rows = self.labels(eye.shape[1:])
        self.lead = tuple([self.size[x] for x in proper(self.rows)])

    def block(self, lines: Sequence[Line]) -> Any:
        """All rows of the last line.

        None if an operation cannot have axes in front, or terms may cancel that did not before:
        entry by entry, every δ being 0 or 1, there is one product for each pattern of δ.
        """
        try:
            for line in lines:
                self.forms[line] = self.form(line)
            axes, terms = self.forms[lines[-1]]
            patterns = [tuple(pairs_of(f for f, _ in product)) for product in terms]
            if self.expand and len({*patterns}) < len(patterns):
                return None
            return self.write(Form(self.rows + axes, terms), self.stack.shape)
        except NotASumError:
            return None

    def form(self, line: Line) -> Form:
        """A line in index notation, its arguments being so already; an array if it is no sum."""
        if line.function is operator.getitem and line.args[0] is self.eye:
            axes = self.labels(line.shape)
            return Form(axes, self.deltas(zip(proper(self.rows), proper(axes))))
        seeded = line in self.seeded
        x = None if seeded else self.simplifier.new[line]
        try:
            form = self.read(line) if seeded or x.__class__ is Line else self.of(x)
        except NotASumError:
            return self.lifted(line) if seeded else self.atom(x, line.shape)
        return form if not seeded or len(form.terms) <= self.most else self.whole(form, line)

    def whole(self, form: Form, line: Line) -> Form:
        """A line as one array of all rows."""
        x = self.write(Form(self.rows + form.axes, form.terms), (*self.lead, *line.shape))
        return self.atom(x, line.shape, self.rows)

    def all(self, x: Any, ndim: int = 0) -> Any:
        """An argument of all rows, each with so many axes; one that has no rows as it is."""
        if x.__class__ is not Line or x not in self.seeded:
            return replace(x, self.simplifier.new.__getitem__)
        axes, terms = self.forms[x]
        shape = (*self.lead, *[1] * (ndim - x.ndim), *x.shape)
        return self.write(Form(self.rows + axes, terms), shape)

    def lifted(self, line: Line) -> Form:
        """A line as a sum of products of arrays, or one operation on them, of all rows."""
        for x in reads(line):
            self.forms[x] = self.whole(self.forms[x], x) if x in self.seeded else self.forms[x]
        with suppress(NotASumError):
            return self.read(line)
        f, (x, *rest), shape = line.function, line.args, (*self.lead, *line.shape)
        if elementwise(f) and not line.options:
            args = [self.all(x, line.ndim) for x in line.args]
        elif f is operator.getitem or f is scatter:
            args = [self.all(x), self.behind(rest[0]), *[shape for _ in rest[1:]]]
        elif f is np.concatenate:
            parts = [(self.all(part), (*self.lead, *np.shape(part))) for part in x]
            axis = option(line, "axis", 1, 0) % line.ndim + len(self.lead)
            args = [tuple([self.emit(np.broadcast_to, *part) for part in parts]), axis]
        elif f is np.reshape and not line.options:
            args = [self.all(x), shape]
        else:
            raise NotASumError
        found = self.emit(f, *args)
        if found.shape != shape:
            raise NotASumError
        return self.atom(found, line.shape, self.rows)

    def behind(self, index: Any) -> tuple[Any, ...]:
        """An index behind the axes in front; arrays apart would move theirs to the front."""
        steps = index if isinstance(index, tuple) else (index,)
        arrays = [
            i for i, x in enumerate(steps) if not (x is None or x is ... or x.__class__ is slice)
        ]
        if arrays and arrays[-1] - arrays[0] >= len(arrays):
            raise NotASumError
        new = self.simplifier.new.__getitem__
        return (*[slice(None)] * len(self.lead), *replace(steps, new))
