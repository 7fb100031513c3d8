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
from functools import reduce
from typing import Any

import numpy as np

from ..engine.rules import scatter
from .index_notation import Axes, Form, NotASumError, Sum, Writer, pairs_of, proper, term
from .lines import Line, elementwise, fact, live, option, reads, replace, walk
from .simplifier import (
    Simplifier,
    is_call,
    is_plain_sum,
    is_positive,
    key_of,
    moves_first,
    number_of,
)

BASIC = (slice, type(None), type(...))  # steps of an index that pick no entries by number


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
        joined = self.block(line)
        return super().rewrite(line) if joined is None else joined

    def block(self, stack: Line) -> Any:
        """Rows joined by operations on all of them at once; None if there are no such."""
        rows: Any = stack.args[0] if stack.function in (np.stack, np.concatenate) else ()
        joined = rows and len(rows) == stack.shape[0] and option(stack, "axis", 1, 0) == 0
        if not joined or not all(row.__class__ is Line for row in rows):
            return None
        lines, first = live(self.old, rows), live(self.old, rows[0])
        if dtype_of(lines) is None:
            return None
        for eye in dict.fromkeys(line.args[0] for line in first if _unit_row(line) == 0):
            seeded = _seeded(lines, rows, eye) if eye.shape[0] == len(rows) else set[Line]()
            for expand in (True, False) if seeded else ():
                reader = Reader(self, eye, stack.dtype, seeded, expand)
                if (block := reader.block(first, stack.shape)) is not None:
                    return block
        return None


def dtype_of(lines: Sequence[Line]) -> Any:
    """The dtype of all floats; None where sums of products cannot be written otherwise.

    Of two dtypes, the narrow one's rounding would spread; where no entry is, all axes are alike.
    """
    floats = {x.dtype for x in lines if x.dtype.kind == "f" and not x.is_number}
    if len(floats) > 1:  # counts that are divided are float64, until they meet others
        counts = {x for x in lines if x.function and all(y.dtype.kind in "biu" for y in reads(x))}
        floats = {x.dtype for x in lines if x.dtype.kind == "f" and x not in counts}
    none = any(0 in line.shape for line in lines)
    return next(iter(floats)) if len(floats) == 1 and not none else None


def cost(lines: Sequence[Line]) -> int:
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
    rows_of: dict[Line, set[int]] = {}
    for line in lines:
        args, options = (replace(x, same.__getitem__) for x in (line.args, line.options))
        key: Any = (line.function, args, options) if line.function else line
        rows_of[line] = set().union(*[rows_of[x] for x in reads(line)])
        if line.function is operator.getitem and line.args[0] is eye:
            key, rows_of[line] = "unit", {line.args[1]}
        same[line] = first.setdefault(key_of(key), line)
    alike = all(same[row] is same[rows[0]] and rows_of[row] == {i} for i, row in enumerate(rows))
    return {line for line in lines if rows_of[line]} if alike else set()


# ------------------------------------------------------------------ all rows
class Reader(Writer):
    """The first row's lines in index notation, of all rows at once.

    Those that are ``seeded``, linear in a unit vector, have to be sums of products. All sums are
    multiplied out where ``expand`` says so.
    """

    def __init__(
        self, simplifier: Simplifier, eye: Any, dtype: Any, seeded: set[Line], expand: bool
    ) -> None:
        super().__init__(simplifier, dtype)
        self.seeded, self.expand = seeded, expand
        self.forms, self.eye = dict[Line, Form](), eye
        self.nonzero = set[int]()
        self.rows = self.labels(eye.shape[1:] if eye else ())
        self.lead = tuple([self.size[x] for x in proper(self.rows)])

    def block(self, lines: Sequence[Line], shape: Sequence[int]) -> Any:
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
            return self.write(Form(self.rows + axes, terms), shape)
        except NotASumError:
            return None

    def opens(self, line: Line) -> bool:
        """Whether a sum is multiplied out."""
        return self.expand or line in self.seeded

    def form(self, line: Line) -> Form:
        """A line in index notation, its arguments being so already; an array if it is no sum."""
        if line.function is operator.getitem and line.args[0] is self.eye:
            axes = self.labels(line.shape)
            return Form(axes, self.deltas(zip(proper(self.rows), proper(axes))))
        seeded = line in self.seeded
        x = None if seeded else self.simplifier.new[line]
        try:
            return _read(self, line) if seeded or x.__class__ is Line else self.of(x)
        except NotASumError:
            return self.lifted(line) if seeded else self.atom(x, line.shape)

    def of(self, x: Any) -> Form:
        """An argument in index notation; small whole numbers, which overflow, have none."""
        x = x if x.__class__ is Line else np.asarray(x)
        kind = x.dtype
        if kind.kind != "f" and (kind.kind != "i" or kind.itemsize < 4):
            raise NotASumError
        if x.__class__ is Line:
            return self.forms[x]
        if not np.size(x) or not np.isfinite(x).all():
            raise NotASumError
        first = np.ravel(x)[0]
        if np.any(x != first):
            return self.atom(x, x.shape)
        return Form(self.labels(np.shape(x)), self.deltas().scaled(float(first)))

    operand = of

    def atom(self, x: Any, shape: Sequence[int], rows: Axes = ()) -> Form:
        """An array, behind the axes that number the rows, as a factor."""
        axes = self.labels(shape)
        return Form(axes, Sum({frozenset([(self.factor(x, rows + axes), 1)]): 1.0}))

    def whole(self, line: Line) -> Form:
        """A line as one array of all rows."""
        return self.atom(self.all(line), line.shape, proper(self.rows))

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
            self.forms[x] = self.whole(x) if x in self.seeded else self.forms[x]
        with suppress(NotASumError):
            return _read(self, line)
        f, (x, *rest), shape = line.function, line.args, (*self.lead, *line.shape)
        if elementwise(f) and not line.options:
            args = [self.all(x, line.ndim) for x in line.args]
        elif f is operator.getitem or f is scatter:
            args = [self.all(x), self.behind(rest[0]), *[shape for _ in rest[1:]]]
        elif f is np.reshape and not line.options:
            args = [self.all(x), shape]
        else:
            raise NotASumError
        made = self.emit(f, *args)
        if made.shape != shape:
            raise NotASumError
        return self.atom(made, line.shape, proper(self.rows))

    def behind(self, index: Any) -> tuple[Any, ...]:
        """An index behind the axes in front; arrays apart would move theirs to the front."""
        steps = index if isinstance(index, tuple) else (index,)
        arrays = [i for i, x in enumerate(steps) if x.__class__ not in BASIC]
        if arrays and arrays[-1] - arrays[0] >= len(arrays):
            raise NotASumError
        new = self.simplifier.new.__getitem__
        return (*[slice(None)] * len(self.lead), *replace(steps, new))


# ------------------------------------------------------------------ lines as sums of products
def _read(rows: Reader, line: Line) -> Form:
    """A line as its record says: a sum or product of its arguments, or a move of their entries."""
    f, args = line.function, line.args
    if f.__class__ is np.ufunc and line.options:
        raise NotASumError
    if contraction := _contraction(line):
        axes, terms = _contracted(rows, *contraction)
        return Form(axes, terms.scaled(line.size / np.size(args[0])) if f is np.mean else terms)
    if f is scatter:
        return _scattered(rows, line)
    if f is np.power:
        return _multiplied(rows, line, args[:1], [number_of(args[1])])
    if powers := fact(f, "powers"):
        return _multiplied(rows, line, args, powers)
    if (signs := fact(f, "terms")) and (rows.opens(line) or len(signs) == 1):
        forms = [*map(rows.of, args)]
        axes = rows.common(line.shape, forms)
        parts = [form.onto(axes).scaled(sign) for form, sign in zip(forms, signs)]
        return Form(axes, Sum.of(pair for part in parts for pair in part.items()))
    if moves_first(f):  # entries of the first argument, at other places
        form, new = rows.of(args[0]), rows.labels(line.shape)
        moved = _moved_axes(form.axes, args[0].shape, new, f, args[1:], line.options)
        return Form(moved[0], form.terms.relabelled(dict(moved[1])))
    raise NotASumError


def _multiplied(rows: Reader, line: Line, args: Sequence[Any], powers: Sequence[Any]) -> Form:
    """The product of arguments to whole powers; of sums to the first alone."""
    forms = [_inverse(rows, x) if n == -1 else rows.of(x) for x, n in zip(args, powers)]
    axes, factors = rows.common(line.shape, forms), list[Sum]()
    for form, n in zip(forms, powers):
        if n not in (-1, 0, 1, 2, 3, 4) or (n not in (0, 1) and len(form.terms) != 1):
            raise NotASumError
        factors += [form.onto(axes)] * abs(int(n))
    return Form(axes, reduce(operator.mul, factors) if factors else rows.deltas())


def _inverse(rows: Reader, x: Any) -> Form:
    """1 / x of a product, or of an array; where it may be 0, that is an array of its own."""
    form = rows.of(x)
    if len(form.terms) != 1 or any(pairs_of(f for f, _ in product) for product in form.terms):
        if x.__class__ is not Line or x in rows.seeded:
            raise NotASumError
        form = rows.atom(rows.simplifier.new[x], x.shape)
    ((product, c),) = form.terms.items()
    below = []
    for f, n in product:
        x = rows.arrays[f.array]
        inverse = (
            f
            if f.array in rows.nonzero or is_positive(x)
            else rows.factor(rows.emit(np.divide, 1.0, x), f.labels)
        )
        below.append((inverse, -n if inverse is f else n))
    return Form(form.axes, Sum.of([(term(below), 1.0 / c)]))


def _scattered(rows: Reader, line: Line) -> Form:
    """Zeros with g at an index: g times a δ for each entry that the index names."""
    g, index, shape = line.args
    whole, picked = rows.labels(shape), rows.labels(np.shape(g))
    axes, entries = _moved_axes(whole, shape, picked, operator.getitem, [index], {})
    if not {*axes} <= {*whole, None}:
        raise NotASumError  # an entry is added to more than once
    return Form(whole, rows.of(g).onto(axes) * rows.deltas(entries))


def _moved_axes(
    axes: Axes, shape: Sequence[int], new: Axes, move: Any, rest: Any, options: dict[str, Any]
) -> tuple[Axes, list[tuple[int, int]]]:
    """The labels of an array that is moved, else new ones, and those of which entry v is read, ~v.

    Indices are moved to see it.
    """
    if any(walk((rest, options))):
        raise NotASumError
    moved, entries = [*new], []
    for label, index, n in zip(axes, np.indices(shape), shape):
        at = np.asarray(move(index, *rest, **options))
        along = [b for b, place in enumerate(np.indices(at.shape)) if np.array_equal(at, place)]
        if label is not None and along and at.shape[along[0]] == n:
            if moved[along[0]] != new[along[0]]:
                raise NotASumError  # two axes are read in step: a diagonal
            moved[along[0]] = label
        elif label is not None and at.size and (at == at.flat[0]).all():
            entries.append((label, ~int(at.flat[0])))
        elif label is not None:
            raise NotASumError
    return tuple(moved), entries


def _contracted(
    rows: Reader, operands: Sequence[Any], names: Sequence[Any], result: Sequence[Any]
) -> Form:
    """Σ of products over the axes that the result lacks; one of length 1 there is None."""
    sizes: dict[Any, int] = {}
    for axes, x in zip(names, operands):
        sizes |= {a: max(n, sizes.get(a, 1)) for a, n in zip(axes, np.shape(x))}
    labels = dict(zip(sizes, rows.labels([*sizes.values()])))
    product, read = rows.deltas(), rows.operand if len(operands) > 1 else rows.of
    for axes, x in zip(names, operands):
        product = product * read(x).onto([labels[a] for a in axes])
    over = proper([label for a, label in labels.items() if a not in result])
    return Form(tuple([labels.get(a) for a in result]), rows.summed(product, over))


def _contraction(line: Line) -> tuple[Any, Any, Any] | None:
    """Operands, the names of their axes, and those of the result, where it is a Σ of products."""
    f, args = line.function, line.args
    if f is np.einsum and args[0].__class__ is str:
        inputs, arrow, result = args[0].partition("->")
        plain = arrow and inputs.replace(",", "").isalpha() and not line.options
        return (args[1:], inputs.split(","), result) if plain else None
    if f is np.matmul:
        x, y = map(np.ndim, args)
        lead = range(line.ndim - (x > 1) - (y > 1))
        names = [*lead, "i", "k"][-x:], [*lead, "k", "j"][-y:] if y > 1 else ["k"]
        return args, names, [*lead, *"i" * (x > 1), *"j" * (y > 1)]
    if f not in (np.sum, np.mean) or not np.size(args[0]) or not is_plain_sum(args, line.options):
        return None
    axis, every = option(line, "axis", 1), range(np.ndim(args[0]))
    some = axis is not None and len(every) > 0
    over = [a % len(every) for a in np.atleast_1d(axis).tolist()] if some else every
    keep = line.options.get("keepdims")
    return args[:1], [every], [None if a in over else a for a in every if keep or a not in over]
