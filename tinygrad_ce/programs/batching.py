"""The rows of a derivative as one block: a Jacobian pulls each unit vector back by itself.

What it records is the same expression again and again, of another row of ``np.eye`` each time. Here
that is recognised. Where the rows are a short sum of products (`products`), it is written as such;
else the first row's operations get a leading axis, which numbers the rows. Rows that are not alike,
or hold an operation that cannot have that axis, stay.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ..engine.rules import scatter
from .blocks import LETTERS, Steps, Writer
from .cleaning import cleaned, key_of
from .lines import Line, astype, constant, elementwise, live, option, replace, walk
from .products import Products, reduced_axes
from .terms import NotABlockError

MIXED = -1  # the row of a node that depends on several


def lifted(lines: Sequence[Line], outputs: Any) -> tuple[list[Line], Any]:
    """The same with one block in place of the rows of each derivative."""
    lines = live(lines, outputs)
    if not any(line.function is np.eye for line in lines):
        return lines, outputs
    inserted: dict[Line, list[Line]] = {}
    blocks: dict[Line, Any] = {}
    for stack, rows in _stacks(lines):
        units = live(lines, rows[0])
        eyes = dict.fromkeys(n.args[0] for n in units if _unit_row(n) == 0)
        found = (
            _block(lines, inserted, stack, rows, eye) for eye in eyes if eye.shape[0] == len(rows)
        )
        blocks[stack] = next((block for block in found if block is not None), None)
    for stack, block in blocks.items():  # only now: blocks hold lines of other rows
        if block is not None:
            _become(stack, block)
    lines = [x for line in lines for x in (*inserted.get(line, ()), line)]
    for line in live(lines, outputs):
        if (i := _unit_row(line)) is not None:  # of rows that stay as they are
            _become(line, _unit(line, i))
    return live(lines, outputs), outputs


def _unit(line: Line, i: int) -> Any:
    """One row of an ``np.eye``, as a constant."""
    found = np.zeros(line.size, line.dtype)
    found[i] = 1
    return found.reshape(line.shape)


def _become(line: Line, x: Any) -> None:
    """Let a line stand for another, or for a constant."""
    line.function, line.args, line.options = constant, (x,), {}


def _stacks(nodes: Sequence[Line]) -> Iterator[tuple[Line, list[Line]]]:
    """Every node that joins rows along a new first axis, with its rows."""
    for node in nodes:
        if node.function not in (np.stack, np.concatenate) or option(node, "axis", 1, 0) != 0:
            continue
        rows = node.args[0] if node.args[0].__class__ in (tuple, list) else []
        if node.function is np.concatenate:
            rows = [x.args[0] if _is_expanded(x) else None for x in rows]
        if rows and all(x.__class__ is Line for x in rows):
            yield node, list(rows)


def _is_expanded(x: Any) -> bool:
    """Whether it is a row with a new first axis."""
    expanded = x.__class__ is Line and x.function is np.expand_dims
    return expanded and option(x, "axis", 1) in (0, (0,))


def _unit_row(node: Line) -> int | None:
    """Which row of an ``np.eye`` a node is."""
    if node.function is not operator.getitem or node.args[1].__class__ is not int:
        return None
    x = node.args[0]
    x = x.args[0] if x.__class__ is Line and x.function is np.reshape else x
    return node.args[1] if x.__class__ is Line and x.function is np.eye else None


def _block(
    lines: Sequence[Line],
    inserted: dict[Line, list[Line]],
    stack: Line,
    rows: list[Line],
    eye: Line,
) -> Any:
    """The stack by operations on all rows at once; None if there is no such."""
    same: dict[Line, Line] = {}
    first: dict[Any, Line] = {}
    of: dict[Line, int | None] = {}  # the row of ``eye`` that a node depends on
    for node in live(lines, rows):
        unit = node.function is operator.getitem and node.args[0] is eye
        args, options = (replace(x, same.__getitem__) for x in (node.args, node.options))
        key: Any = (node.function, args, options) if node.function is not None else node
        same[node] = first.setdefault(key_of("unit" if unit else key), node)
        of[node] = node.args[1] if unit else _one({of[x] for x in walk((node.args, node.options))})
    if any(same[row] is not same[rows[0]] or of[row] != i for i, row in enumerate(rows)):
        return None
    seeded = {same[node] for node, row in of.items() if row is not None}
    for expand in (True, False):
        products = Products(lines, same, seeded, eye, expand=expand)
        found = _product(stack, rows[0], products, inserted)
        if expand and found is not None:
            return found
    of_row = {line for line, row in of.items() if row == 0}
    other = _leading_axis(lines, rows[0], eye, of_row, inserted)
    every = [x for line in lines for x in (*inserted.get(line, ()), line)]
    options = [x for x in (found, other) if x is not None]
    return min(options, key=lambda block: _length(every, block), default=None)


def _one(rows: set[int | None]) -> int | None:
    """The row that nodes of these depend on."""
    rows = rows - {None}
    return MIXED if len(rows) > 1 else next(iter(rows), None)


def _product(stack: Line, row: Line, products: Products, inserted: dict[Line, list[Line]]) -> Any:
    """All rows, given the first, as a short sum of products; None if they are none."""
    try:
        form = products.block(row)
    except NotABlockError:
        return None
    return Writer(products, stack, inserted).block(form, stack.shape, stack.dtype)


def _leading_axis(
    lines: Sequence[Line], row: Line, eye: Line, seeded: set[Line], inserted: Any
) -> Any:
    """All rows, given the first, by its own operations; None if one cannot have the axis."""
    try:
        return _Lift(lines, row, eye, seeded, inserted).new[row]
    except NotABlockError:
        return None


def _length(lines: Sequence[Line], block: Any) -> int:
    """How many operations a program has for it."""
    return len(cleaned(lines, block)[0])


# ------------------------------------------------------------------ a leading axis
class _Lift(Steps):
    """The first row's operations, on all rows."""

    def __init__(
        self, lines: Sequence[Line], row: Line, eye: Line, seeded: set[Line], inserted: Any
    ) -> None:
        super().__init__(inserted)
        self.n, self.new = eye.shape[0], dict[Line, Line]()
        for node in live(lines, row):
            if node in seeded:
                self.before(node)
                unit = node.function is operator.getitem and node.args[0] is eye
                self.new[node] = eye if unit else self.lift(node)

    def lift(self, node: Line) -> Line:
        """One operation."""
        rule = (
            _entrywise
            if elementwise(node.function) or node.function is astype
            else LIFTS.get(node.function)
        )
        if rule is None:
            raise NotABlockError
        found: Line = rule(self, node)
        if found.shape != (self.n, *node.shape):
            raise NotABlockError
        return found

    def has(self, x: Any) -> bool:
        """Whether an argument is another in each row."""
        return x.__class__ is Line and x in self.new

    def rows(self, x: Any, ndim: int | None = None) -> Any:
        """An argument of all rows, each with so many axes; one that has no rows as it is."""
        if not self.has(x):
            return x
        missing = 0 if ndim is None else ndim - x.ndim
        index = (slice(None), *[None] * missing, *[slice(None)] * x.ndim)
        return self.make(operator.getitem, self.new[x], index) if missing else self.new[x]

    def shaped(self, x: Any, shape: tuple[int, ...]) -> Any:
        """Each row in another shape."""
        return x if x.shape[1:] == shape else self.make(np.reshape, x, (self.n, *shape))


def _entrywise(lift: _Lift, node: Line) -> Any:
    if node.options:
        raise NotABlockError
    return lift.make(node.function, *[lift.rows(x, node.ndim) for x in node.args])


def _reduced(lift: _Lift, node: Line) -> Any:
    over, keep = reduced_axes(node)
    x, axes = lift.rows(node.args[0]), tuple([a + 1 for a in over])
    how = {"axis": axes[0] if len(axes) == 1 else axes} | ({"keepdims": True} if keep else {})
    return lift.make(node.function, x, **how) if axes else x


def _stretched(lift: _Lift, node: Line) -> Any:
    return lift.make(np.broadcast_to, lift.rows(node.args[0], node.ndim), (lift.n, *node.shape))


def _reshaped(lift: _Lift, node: Line) -> Any:
    return lift.shaped(lift.rows(node.args[0]), node.shape)


def _transposed(lift: _Lift, node: Line) -> Any:
    axes = option(node, "axes", 1) or range(node.ndim)[::-1]
    turned = (0, *[a % node.ndim + 1 for a in axes])
    return lift.make(np.transpose, lift.rows(node.args[0]), turned)


def _swapped(lift: _Lift, node: Line) -> Any:
    a, b = (option(node, f"axis{i}", i) % node.ndim + 1 for i in (1, 2))
    return lift.make(np.swapaxes, lift.rows(node.args[0]), a, b)


def _index(index: Any) -> tuple[Any, ...]:
    """The same index behind a leading axis.

    Arrays with anything but arrays between them would move their axes to the front.
    """
    steps = index if isinstance(index, tuple) else (index,)
    basic = [i is None or i is Ellipsis or i.__class__ is slice for i in steps]
    arrays = [at for at, plain in enumerate(basic) if not plain]
    numbers = [isinstance(steps[at], int | np.integer) for at in arrays]
    if not all(numbers) and arrays[-1] - arrays[0] >= len(arrays):
        raise NotABlockError
    return (slice(None), *steps)


def _item(lift: _Lift, node: Line) -> Any:
    return lift.make(operator.getitem, lift.rows(node.args[0]), _index(node.args[1]))


def _scattered(lift: _Lift, node: Line) -> Any:
    g, index, shape = node.args
    return lift.make(scatter, lift.rows(g), _index(index), (lift.n, *shape))


def _multiplied(lift: _Lift, node: Line) -> Any:
    """Of matrices; a vector is one of a single row, or column."""
    x, y = node.args
    ndim = max(np.ndim(x), np.ndim(y), 2)
    matrices = []
    for z, shape in (
        (x, x.shape if np.ndim(x) > 1 else (1, *x.shape)),
        (y, y.shape if np.ndim(y) > 1 else (*y.shape, 1)),
    ):
        if lift.has(z):
            matrices.append(lift.shaped(lift.rows(z), (1,) * (ndim - len(shape)) + shape))
        else:
            matrices.append(z if z.shape == shape else lift.make(np.reshape, z, shape))
    return lift.shaped(lift.make(np.matmul, *matrices), node.shape)


def _contracted(lift: _Lift, node: Line) -> Any:
    subscripts, *operands = node.args
    inputs, _, result = subscripts.partition("->")
    new = next(c for c in LETTERS if c not in subscripts)
    letters = [new + own if lift.has(x) else own for own, x in zip(inputs.split(","), operands)]
    return lift.make(np.einsum, f"{','.join(letters)}->{new}{result}", *map(lift.rows, operands))


def _joined(lift: _Lift, node: Line) -> Any:
    axis = option(node, "axis", 1, 0) % node.ndim + 1
    parts = [
        lift.rows(x) if lift.has(x) else lift.make(np.broadcast_to, x, (lift.n, *np.shape(x)))
        for x in node.args[0]
    ]
    return lift.make(np.concatenate, tuple(parts), axis)


LIFTS: dict[Any, Callable[[_Lift, Line], Any]] = {
    np.sum: _reduced, np.mean: _reduced, np.max: _reduced, np.min: _reduced,
    np.broadcast_to: _stretched,
    np.reshape: _reshaped, np.expand_dims: _reshaped, np.squeeze: _reshaped,
    np.transpose: _transposed, np.swapaxes: _swapped,
    operator.getitem: _item, scatter: _scattered,
    np.matmul: _multiplied, np.einsum: _contracted, np.concatenate: _joined,
}  # fmt: skip
