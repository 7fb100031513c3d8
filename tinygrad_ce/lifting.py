"""The rows of a derivative as one block: a Jacobian pulls each unit vector back by itself.

What it records is the same expression again and again, of another row of ``np.eye`` each time. Here
that is recognised. Where the rows are a short sum of products (`products`), it is written as such;
else the first row's operations get a leading axis, which numbers the rows. Rows that are not alike,
or hold an operation that cannot have that axis, stay.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import numpy as np

from .blocks import LETTERS, Writer
from .cleaning import cleaned, key_of
from .products import NotProductsError, Products
from .rules import scatter
from .tracing import Traced, astype, call, elementwise, leaves, order, replace

MIXED = -1  # the row of a node that depends on several


class NotLiftedError(Exception):
    """An operation that cannot have a leading axis for the rows."""


def lifted(outputs: Any) -> Any:
    """The same outputs with one block in place of the rows of each derivative."""
    nodes = order(outputs)
    if not any(node.call is np.eye for node in nodes):
        return outputs
    new: dict[Traced, Any] = {}
    for stack, rows in _stacks(nodes):
        for eye in dict.fromkeys(n.args[0] for n in order(rows[0]) if _unit_row(n) == 0):
            if eye.shape[0] == len(rows) and (block := _block(stack, rows, eye)) is not None:
                new[stack] = block
                break
    for node in order((outputs, *new.values())):
        if _unit_row(node) is not None:
            new.setdefault(node, node.sample)  # of rows that stay as they are
    return _spaced(_replaced(outputs, new))


def _spaced(outputs: Any) -> Any:
    """The same outputs, their numbers 1 apart: other passes put nodes in between."""
    after = np.inf
    for node in reversed(order(outputs)):  # down, so that the forward pass stays one
        after = node.number = min(node.number, after - 1.0)
    return outputs


def _replaced(outputs: Any, new: dict[Traced, Any]) -> Any:
    """The same outputs with other nodes in place of some."""
    done: dict[Traced, Any] = {}
    for node in order((outputs, *new.values())):
        if node in new:
            done[node] = replace(new[node], done.__getitem__)
        else:
            args, options = (replace(x, done.__getitem__) for x in (node.args, node.options))
            done[node] = node
            if any(done[x] is not x for x in leaves((node.args, node.options))):
                made = done[node] = Traced(node.call, args, options, node.sample)
                made.number, made.name, made.of = node.number, node.name, node.of
    return replace(outputs, done.__getitem__)


def _stacks(nodes: list[Traced]) -> Iterator[tuple[Traced, list[Any]]]:
    """Every node that joins rows along a new first axis, with its rows."""
    for node in nodes:
        parts = node.args[0] if node.args and node.args[0].__class__ in (tuple, list) else []
        first = node.options.get("axis", node.args[1] if len(node.args) > 1 else 0) == 0
        if node.call is np.concatenate and first:
            expanded = [_is_expanded(x) for x in parts]
            parts = [x.args[0] for x in parts] if all(expanded) else []
        elif node.call is not np.stack or not first:
            continue
        if parts and all(x.__class__ is Traced for x in parts):
            yield node, list(parts)


def _is_expanded(x: Any) -> bool:
    return (
        x.__class__ is Traced
        and x.call is np.expand_dims
        and x.shape[:1] == (1,)
        and (x.options.get("axis", x.args[-1]) in (0, (0,)))
    )


def _unit_row(node: Traced) -> int | None:
    """Which row of an ``np.eye`` a node is."""
    if node.call is not operator.getitem or node.args[1].__class__ is not int:
        return None
    x = node.args[0]
    x = x.args[0] if x.__class__ is Traced and x.call is np.reshape else x
    return node.args[1] if x.__class__ is Traced and x.call is np.eye else None


def _block(stack: Traced, rows: list[Traced], eye: Traced) -> Any:
    """The stack by operations on all rows at once; None if there is no such."""
    same: dict[Traced, Traced] = {}
    first: dict[Any, Traced] = {}
    of: dict[Traced, int | None] = {}  # the row of ``eye`` that a node depends on
    for node in order(rows):
        unit = node.call is operator.getitem and node.args[0] is eye
        args, options = (replace(x, same.__getitem__) for x in (node.args, node.options))
        key: Any = (node.call, args, options) if node.call else node
        same[node] = first.setdefault(key_of("unit" if unit else key), node)
        of[node] = (
            node.args[1] if unit else _one({of[x] for x in leaves((node.args, node.options))})
        )
    if any(same[row] is not same[rows[0]] or of[row] != i for i, row in enumerate(rows)):
        return None
    seeded = {same[node] for node, row in of.items() if row is not None}
    if (found := _product(stack, rows[0], Products(same, seeded, eye, expand=True))) is not None:
        return found
    found = _product(stack, rows[0], Products(same, seeded, eye, expand=False))
    other = _leading_axis(rows[0], eye, {node for node, row in of.items() if row == 0})
    return min((x for x in (found, other) if x is not None), key=_length, default=None)


def _one(rows: set[int | None]) -> int | None:
    """The row that nodes of these depend on."""
    rows = rows - {None}
    return MIXED if len(rows) > 1 else next(iter(rows), None)


def _product(stack: Traced, row: Traced, products: Products) -> Any:
    """All rows, given the first, as a short sum of products; None if they are none."""
    try:
        form = products.block(row)
    except NotProductsError:
        return None
    return Writer(products, stack).block(form, stack.shape, stack.dtype)


def _leading_axis(row: Traced, eye: Traced, seeded: set[Traced]) -> Any:
    try:
        return _Lift(row, eye, seeded).row
    except NotLiftedError:
        return None


def _length(block: Any) -> int:
    """How many operations a program has for it."""
    return len(order(cleaned(block)))


class _Lift:
    """The first row's operations, on all rows."""

    def __init__(self, row: Traced, eye: Traced, seeded: set[Traced]) -> None:
        self.n, self.new = len(eye), dict[Traced, Traced]()
        for node in order(row):
            if node in seeded:
                unit = node.call is operator.getitem and node.args[0] is eye
                self.at, self.steps = node.number - 1.0, count(1)
                self.new[node] = eye if unit else self.lift(node)
        self.row = self.new[row]

    def lift(self, node: Traced) -> Traced:
        """One operation."""
        rule = _entrywise if elementwise(node.call) or node.call is astype else LIFTS.get(node.call)
        if rule is None or not isinstance(node.sample, np.ndarray | np.generic | float | bool):
            raise NotLiftedError
        found: Traced = rule(self, node)
        if found.shape != (self.n, *node.shape):
            raise NotLiftedError
        return found

    def make(self, f: Any, *args: Any, **options: Any) -> Any:
        """A node, after its arguments and before what reads it."""
        made = call(f, args, options)
        if any(made is x for x in args):  # a number, in its own shape
            return made
        made.number = self.at + next(self.steps) / 2.0**16
        return made

    def rows(self, x: Any, ndim: int | None = None) -> Any:
        """An argument of all rows, each with so many axes; one that has no rows as it is."""
        if x.__class__ is not Traced or x not in self.new:
            return x
        missing = 0 if ndim is None else ndim - x.ndim
        index = (slice(None), *[None] * missing, *[slice(None)] * x.ndim)
        return self.make(operator.getitem, self.new[x], index) if missing else self.new[x]

    def shaped(self, x: Any, shape: tuple[int, ...]) -> Any:
        """Each row in another shape."""
        return x if x.shape[1:] == shape else self.make(np.reshape, x, (self.n, *shape))


def _given(node: Traced, name: str, place: int, default: Any = None) -> Any:
    """An option, by name or position."""
    return node.options.get(name, node.args[place] if len(node.args) > place else default)


def _entrywise(lift: _Lift, node: Traced) -> Any:
    if node.options:
        raise NotLiftedError
    return lift.make(node.call, *[lift.rows(x, node.ndim) for x in node.args])


def _reduced(lift: _Lift, node: Traced) -> Any:
    if len(node.args) > 2 or node.options.keys() - {"axis", "keepdims"}:
        raise NotLiftedError
    axis, n = _given(node, "axis", 1), node.args[0].ndim
    axes = range(n) if axis is None else (axis,) if isinstance(axis, int) else axis
    over = tuple([a % n + 1 for a in axes])
    keep = {"keepdims": True} if node.options.get("keepdims") else {}
    x = lift.rows(node.args[0])
    return lift.make(node.call, x, axis=over[0] if len(over) == 1 else over, **keep) if over else x


def _stretched(lift: _Lift, node: Traced) -> Any:
    return lift.make(np.broadcast_to, lift.rows(node.args[0], node.ndim), (lift.n, *node.shape))


def _reshaped(lift: _Lift, node: Traced) -> Any:
    return lift.shaped(lift.rows(node.args[0]), node.shape)


def _transposed(lift: _Lift, node: Traced) -> Any:
    axes = _given(node, "axes", 1) or range(node.ndim)[::-1]
    turned = (0, *[a % node.ndim + 1 for a in axes])
    return lift.make(np.transpose, lift.rows(node.args[0]), turned)


def _swapped(lift: _Lift, node: Traced) -> Any:
    a, b = (_given(node, f"axis{i}", i) % node.ndim + 1 for i in (1, 2))
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
        raise NotLiftedError
    return (slice(None), *steps)


def _item(lift: _Lift, node: Traced) -> Any:
    return lift.make(operator.getitem, lift.rows(node.args[0]), _index(node.args[1]))


def _scattered(lift: _Lift, node: Traced) -> Any:
    g, index, shape = node.args
    return lift.make(scatter, lift.rows(g), _index(index), (lift.n, *shape))


def _multiplied(lift: _Lift, node: Traced) -> Any:
    x, y = node.args
    a, b = np.ndim(x), np.ndim(y)
    if a == 1 and b <= 2 and not _has_rows(lift, y):
        return lift.make(np.matmul, lift.rows(x), y)
    if b == 1 and a <= 2 and not _has_rows(lift, x):
        turned = x if a == 1 else lift.make(np.transpose, x)
        return lift.make(np.matmul, lift.rows(y), turned)
    if a == 1 == b:
        return lift.make(np.sum, lift.make(np.multiply, lift.rows(x), lift.rows(y)), axis=1)
    ndim = max(a, b, 2)
    shapes = (x.shape if a > 1 else (1, *x.shape), y.shape if b > 1 else (*y.shape, 1))
    matrices = []
    for z, shape in zip((x, y), shapes):
        if _has_rows(lift, z):
            matrices.append(lift.shaped(lift.rows(z), (1,) * (ndim - len(shape)) + shape))
        else:
            matrices.append(z if z.shape == shape else lift.make(np.reshape, z, shape))
    return lift.shaped(lift.make(np.matmul, *matrices), node.shape)


def _contracted(lift: _Lift, node: Traced) -> Any:
    subscripts, *operands = node.args
    inputs, _, result = subscripts.partition("->")
    new = next(c for c in LETTERS if c not in subscripts)
    letters = [
        new + own if _has_rows(lift, x) else own for own, x in zip(inputs.split(","), operands)
    ]
    return lift.make(np.einsum, f"{','.join(letters)}->{new}{result}", *map(lift.rows, operands))


def _joined(lift: _Lift, node: Traced) -> Any:
    axis = _given(node, "axis", 1, 0) % node.ndim + 1
    parts = [
        lift.rows(x)
        if _has_rows(lift, x)
        else lift.make(np.broadcast_to, x, (lift.n, *np.shape(x)))
        for x in node.args[0]
    ]
    return lift.make(np.concatenate, tuple(parts), axis)


def _has_rows(lift: _Lift, x: Any) -> bool:
    return x.__class__ is Traced and x in lift.new


LIFTS: dict[Any, Callable[[_Lift, Traced], Any]] = {
    np.sum: _reduced, np.mean: _reduced, np.max: _reduced, np.min: _reduced,
    np.broadcast_to: _stretched,
    np.reshape: _reshaped, np.expand_dims: _reshaped, np.squeeze: _reshaped,
    np.transpose: _transposed, np.swapaxes: _swapped,
    operator.getitem: _item, scatter: _scattered,
    np.matmul: _multiplied, np.einsum: _contracted, np.concatenate: _joined,
}  # fmt: skip
