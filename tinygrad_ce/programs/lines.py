"""A program: an ordered list of lines, each a function of lines before it.

Every pass takes a list and what the program returns, and gives the same of a better program. Order
is the order of the list.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..engine.backward import topological
from ..engine.value import Value


@dataclass(eq=False, slots=True)
class Line:
    """One call of a function, and what is known of its result for all data.

    An argument of the program has no function. A Python number is told from a 0-d array by its
    ``kind``, which is ``float`` or ``bool`` then, and a dtype else.
    """

    function: Any
    args: tuple[Any, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    shape: tuple[int, ...] = ()
    kind: Any = float
    name: str | None = None
    of: Line | None = None  # the line that this is the gradient of
    where: str | None = None  # the user's file and line that asked for it

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype; of a Python number the one that NumPy gives it."""
        found: np.dtype[Any] = np.dtype(self.kind)
        return found

    @property
    def ndim(self) -> int:
        """How many axes it has."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """How many entries it has."""
        return int(np.prod(self.shape))

    @property
    def is_number(self) -> bool:
        """Whether it is a Python number."""
        return self.kind is float or self.kind is bool

    def __repr__(self) -> str:
        f = self.function
        name = "argument" if f is None else getattr(f, "name", None) or f.__name__
        return f"Line({name}, {self.shape}, {self.name})"


# ------------------------------------------------------------------ functions that NumPy lacks
def constant(x: Any) -> Any:
    """X itself."""
    return x


def astype(x: Any, dtype: Any) -> Any:
    """``x.astype(dtype)``, as a function."""
    return np.asarray(x).astype(dtype)


def within(index: Any, low: int, high: int, besides: int | None = None) -> Any:
    """Indices as they are, if all are from ``low`` to ``high`` - 1, or ``besides``."""
    outside = ((index < low) | (index >= high)) & (besides is None or index != besides)
    if np.any(outside):
        raise IndexError(f"wanted indices from {low} to {high - 1}")
    return index


# ------------------------------------------------------------------ arguments, however nested
def walk(tree: Any, kind: type = Line) -> Iterator[Any]:
    """Every line among arguments (or whatever is of ``kind``)."""
    if tree.__class__ is kind:
        yield tree
    elif tree.__class__ in (tuple, list):
        for part in tree:
            yield from walk(part, kind)
    elif tree.__class__ is slice:
        yield from walk((tree.start, tree.stop, tree.step), kind)
    elif tree.__class__ is dict:
        yield from walk(tuple(tree.values()), kind)


def replace(tree: Any, f: Callable[[Any], Any], kind: type = Line) -> Any:
    """The same arguments with ``f`` of each line in its place."""
    own = tree.__class__
    if own is kind:
        return f(tree)
    if own is tuple or own is list:
        return own([replace(part, f, kind) for part in tree])
    if own is slice:
        return slice(*[replace(part, f, kind) for part in (tree.start, tree.stop, tree.step)])
    if own is dict:
        return {name: replace(part, f, kind) for name, part in tree.items()}
    return tree


def reads(line: Line) -> list[Line]:
    """The lines that a line is computed from."""
    found = [x for x in line.args if x.__class__ is Line]
    if len(found) < len(line.args):
        found = list(walk(line.args))
    return found + list(walk(line.options)) if line.options else found


def option(line: Line, name: str, place: int, default: Any = None) -> Any:
    """An argument of a call, given by name or position."""
    return line.options.get(name, line.args[place] if len(line.args) > place else default)


# ------------------------------------------------------------------ lists of lines
def live(lines: Sequence[Line], outputs: Any) -> list[Line]:
    """The lines that the outputs need."""
    needed, found = set(walk(outputs)), []
    for line in reversed(lines):
        if line in needed:
            needed.update(reads(line))
            found.append(line)
    return found[::-1]


def uses(lines: Iterable[Line], outputs: Any) -> Counter[Line]:
    """How often each line is read, and returned."""
    found = Counter(walk(outputs))
    for line in lines:
        found.update(reads(line))
    return found


def elementwise(f: Any) -> bool:
    """Whether a function works entry by entry, and broadcasts its arguments itself."""
    return (f.__class__ is np.ufunc and f.signature is None) or f is np.where or f is np.clip


def compute(line: Line, args: Any, options: Any) -> Any:
    """What a line gives for such arguments; a Python number where it is one."""
    found = line.function(*args, **options)
    return line.kind(found) if line.is_number else found


def evaluate(lines: Iterable[Line], data: dict[Line, Any]) -> dict[Line, Any]:
    """What each line gives, for these arguments."""
    found = dict(data)
    for line in lines:
        if line not in found:
            args, options = (replace(x, found.__getitem__) for x in (line.args, line.options))
            found[line] = compute(line, args, options)
    return found


def kind_of(x: Any) -> Any:
    """The ``kind`` of a line that gives such data."""
    return getattr(x, "dtype", x.__class__)


def _sample(line: Line) -> Any:
    """Data as a line may give: whole numbers are 0, which is an index into anything."""
    if line.is_number:
        return line.kind(1)
    return np.full(line.shape, 0 if line.dtype.kind in "iu" else 1, line.dtype)


def infer(function: Any, args: Any, options: Any) -> tuple[tuple[int, ...], Any]:
    """The shape and kind of a call's result."""
    with np.errstate(all="ignore"):
        found = function(*replace(args, _sample), **replace(options, _sample))
    read = list(walk(args))
    if elementwise(function) and not np.ndim(found) and read and all(x.is_number for x in read):
        return (), bool if found.dtype.kind == "b" else float
    return np.shape(found), kind_of(found)


class Builder:
    """A list of lines in the making: each stands after those that it reads."""

    def __init__(self, lines: Iterable[Line] = ()) -> None:
        self.lines = list(lines)
        self.placed = set(self.lines)

    def append(self, line: Line) -> Line:
        """Place a line after what it reads; nothing is placed twice."""
        if line not in self.placed:
            for x in reads(line):
                self.append(x)
            self.placed.add(line)
            self.lines.append(line)
        return line

    def emit(self, function: Any, args: Any, options: Any = None, like: Line | None = None) -> Line:
        """Place a call, of the shape and kind of ``like`` or as its arguments have it."""
        options = options or {}
        shape, kind = (like.shape, like.kind) if like else infer(function, args, options)
        return self.append(Line(function, tuple(args), options, shape, kind))


def lower(values: Iterable[Value]) -> tuple[list[Line], dict[Value, Line]]:
    """A graph as lines, each a call of an operation's record, and the line of each node.

    Leaves are arguments. Such a line can be called on `Value`s, which builds the graph again.

    Examples
    --------
    >>> x = Value(2.0, name="x")
    >>> lower([np.exp(x) * x])[0]
    [Line(argument, (), x), Line(exp, (), None), Line(multiply, (), None)]
    """
    nodes = {node for value in values for node in topological(value)}
    of: dict[Value, Line] = {}
    for node in sorted(nodes, key=lambda node: node.number):
        args, options = (replace(x, of.__getitem__, Value) for x in (node.parents, node.options))
        of[node] = Line(node.op, args, options, node.shape, kind_of(node.data), node.name)
    return list(of.values()), of


# ------------------------------------------------------------------ indices and views
def is_basic(index: Any) -> bool:
    """Whether an index is of whole numbers and slices: NumPy gives a view there."""
    parts = index if index.__class__ is tuple else (index,)
    return all(
        p is None or p is ... or isinstance(p, int | slice | np.integer) or _is_whole(p)
        for p in parts
    )


def _is_whole(x: Any) -> bool:
    """Whether it is one whole number, computed in the program: ``x[:, np.argmax(y)]`` is a view."""
    return x.__class__ is Line and not x.shape and x.dtype.kind in "iu"


VIEWS = {
    np.reshape, np.transpose, np.swapaxes, np.expand_dims, np.squeeze, np.broadcast_to, np.ravel,
    within,
}  # fmt: skip


def is_view(line: Line) -> bool:
    """Whether its array is a part of its first argument's."""
    if line.function is operator.getitem:
        return is_basic(line.args[1])
    if line.function is np.einsum and len(line.args) == 2:  # a view where nothing is summed
        inputs, result = line.args[0].split("->")
        return set(inputs) == set(result)
    return line.function in VIEWS
