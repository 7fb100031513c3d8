"""A program: an ordered list of lines, each a function of lines before it.

Every pass takes a list and what the program returns, and gives the same of a better program. Order
is the order of the list.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any

import numpy as np

from ..engine.backward import topological
from ..engine.operation import TABLE, Primitive
from ..engine.rules import astype as astype
from ..engine.text import _
from ..engine.value import Value

NESTED = {tuple, list, dict, slice}  # what arguments may be in
# Functions of math that round to the nearest, or give an int, which has no -0.0.
UNLIKE_NUMPY = {"remainder", "floor", "ceil", "trunc"}


@dataclass(eq=False, slots=True, repr=False)
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

    @property
    def dtype(self) -> Any:
        """The dtype; of a Python number the one that NumPy gives it."""
        return np.dtype(self.kind)

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
        return self.name or str(getattr(f, "name", None) or getattr(f, "__name__", "a leaf"))


@dataclass(frozen=True, slots=True, repr=False)
class Size:
    """A constant that depends on the number of rows: how it reads, and what the example's is."""

    text: str
    example: Any

    def __repr__(self) -> str:
        return self.text

    def __index__(self) -> int:
        return int(self.example)  # in the shape of a line


# ------------------------------------------------------------------ functions that NumPy lacks
def constant(x: Any) -> Any:
    """X itself."""
    return x


def within(index: Any, low: int, high: int, besides: int | None = None) -> Any:
    """Indices as they are; source checks that they are from low to high - 1, or ``besides``."""
    return index


def distributions(t: Any) -> Any:
    """A table as it is; source checks that its entries along the last axis sum to 1."""
    return t


CHECKED = (within, distributions)  # the printed source has a check in the place of these


# ------------------------------------------------------------------ arguments, however nested
def walk(tree: Any, kind: type = Line) -> Iterator[Any]:
    """Every line among arguments (or whatever is of ``kind``)."""
    container = tree.__class__
    if container is kind:
        yield tree
    elif container in NESTED:
        parts = (tree.start, tree.stop, tree.step) if container is slice else tree
        for part in tree.values() if container is dict else parts:
            if part.__class__ is kind or part.__class__ in NESTED:
                yield from walk(part, kind)


def replace(tree: Any, f: Callable[[Any], Any], kind: type = Line) -> Any:
    """The same arguments with ``f`` of each line in its place."""
    container = tree.__class__
    if container is kind:
        return f(tree)
    if container not in NESTED:
        return tree
    if container is dict:
        return {name: replace(part, f, kind) for name, part in tree.items()}
    if container is slice:
        return slice(*replace((tree.start, tree.stop, tree.step), f, kind))
    return container(
        [
            f(x) if x.__class__ is kind else replace(x, f, kind) if x.__class__ in NESTED else x
            for x in tree
        ]
    )


def reads(line: Line) -> list[Line]:
    """The lines that a line is computed from."""
    lines: list[Line] = []
    for x in line.args:
        if x.__class__ is Line:
            lines.append(x)
        elif x.__class__ in NESTED:
            lines += walk(x)
    return [*lines, *walk(line.options)] if line.options else lines


def option(line: Line, name: str, place: int, default: Any = None) -> Any:
    """An argument of a call, given by name or position."""
    return line.options.get(name, line.args[place] if len(line.args) > place else default)


# ------------------------------------------------------------------ lists of lines
def live(lines: Sequence[Line], outputs: Any) -> list[Line]:
    """The lines that the outputs need."""
    needed, kept = set(walk(outputs)), []
    for line in reversed(lines):
        if line in needed:
            needed.update(reads(line))
            kept.append(line)
    return kept[::-1]


def fact(function: Any, field: str) -> Any:
    """A field of a function's record, if there is one; else its default."""
    return getattr(TABLE.get(function, Primitive), field)


def elementwise(f: Any) -> bool:
    """Whether a function works entry by entry, and broadcasts its arguments itself."""
    return (f.__class__ is np.ufunc and f.signature is None) or bool(fact(f, "entrywise"))


def evaluate(lines: Iterable[Line], data: dict[Line, Any]) -> dict[Line, Any]:
    """What each line gives, for these arguments."""
    values = dict(data)
    for line in lines:
        if line not in values:
            args = replace(line.args, values.__getitem__)
            options = replace(line.options, values.__getitem__) if line.options else {}
            result = line.function(*args, **options)
            number = line.is_number and result.__class__ is not Value
            values[line] = line.kind(result) if number else result
    return values


@cache
def entry(function: Any) -> Any:
    """How a function reads on Python numbers: a template, or what to call instead.

    None for a function that makes an array of them.
    """
    if not elementwise(function):
        return None
    if number := fact(function, "number"):
        return number
    places, symbol = ["{}"] * function.nin, fact(function, "symbol")
    if symbol:
        return f" {symbol} ".join(places) if function.nin == 2 else symbol + "{}"
    try:
        with np.errstate(all="ignore"):
            sample = function(*[0.7, 0.4, 0.5][: function.nin])
        kind = {"f": "float", "b": "bool"}[sample.dtype.kind]
    except (TypeError, AttributeError, KeyError):  # of whole numbers, or with two results
        return None
    name, args = function.__name__.replace("arc", "a"), ", ".join(places)
    known = getattr(np, function.__name__, None) is function and hasattr(math, name)
    plain = known and name not in UNLIKE_NUMPY
    return f"math.{name}({args})" if plain else f"{kind}({name_of(function)}({args}))"


def name_of(f: Any) -> str:
    """The name by which source calls a function: NumPy's own is ``np.exp``."""
    name, owner = f.__name__, getattr(f, "__self__", None)
    if owner.__class__ is np.ufunc:  # of np.add.reduce
        return f"{name_of(owner)}.{name}"
    home = re.sub(r"\._.*", "", getattr(f, "__module__", None) or "")  # ufuncs have none
    for module in ["numpy", *([home] if home else sorted(sys.modules, key=len))]:
        is_public = not re.search(r"(^|\.)_", module)
        if is_public and getattr(sys.modules.get(module), "__dict__", {}).get(name) is f:
            return f"{module}.{name}".replace("numpy.", "np.", 1)
    text = "program: {name} has no public name in a module, so source cannot call it"
    raise TypeError(_(text, name=f))


def result(x: Any) -> tuple[tuple[int, ...], Any]:
    """The shape and kind of a line that gives such data."""
    return getattr(x, "shape", ()), getattr(x, "dtype", x.__class__)


def _sample(line: Line) -> Any:
    """Data as a line may give: whole numbers are 0, which is an index into anything."""
    if line.is_number:
        return line.kind(1)
    one = np.full((), 0 if line.dtype.kind in "iu" else 1, line.dtype)[()]
    return np.broadcast_to(one, line.shape) if line.shape else one  # it takes no memory


@lru_cache(maxsize=1024, typed=True)  # 1 is not 1.0
def _infer_entrywise(function: Any, *args: Any) -> tuple[tuple[int, ...], Any]:
    """The shape and kind of f of arguments, of which arrays are given by theirs."""
    few = [Line(None, (), {}, (1,) * len(x[0]), x[1]) if x.__class__ is tuple else x for x in args]
    shapes = [x[0] for x in args if x.__class__ is tuple]
    return np.broadcast_shapes(*shapes), function(*replace(few, _sample)).dtype


def infer(function: Any, args: Any, options: Any) -> tuple[tuple[int, ...], Any]:
    """The shape and kind of a call's result."""
    with np.errstate(all="ignore"):
        if elementwise(function) and not options and any(map(np.ndim, args)):
            kinds = [(*result(x),) if x.__class__ is np.ndarray else x for x in args]
            kinds = [(x.shape, x.kind) if x.__class__ is Line else x for x in kinds]
            return _infer_entrywise(function, *kinds)
        data = function(*replace(args, _sample), **replace(options, _sample))
    numbers = elementwise(function) and [x.is_number for x in walk(args)]
    return result(data.item() if numbers and all(numbers) and not np.ndim(data) else data)


def lower(values: Iterable[Value]) -> tuple[list[Line], dict[Value, Line]]:
    """A graph as lines, each a call of an operation's record, and the line of each node.

    Leaves are arguments. Such a line can be called on `Value`s, which builds the graph again.
    """
    nodes = {node for value in values for node in topological(value)}
    of: dict[Value, Line] = {}
    for node in sorted(nodes, key=lambda node: node.number):
        args, options = replace((node.parents, node.options), of.__getitem__, Value)
        of[node] = Line(node.op, args, options, *result(node.data), node.name)
    return list(of.values()), of
