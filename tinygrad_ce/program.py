"""A function and its gradient as straight-line NumPy source, to read, to save, and to run fast.

The function is called once, on arrays that record what NumPy does with them (`tracing`), and the
backward pass once on top; what both did, cleaned and printed in order, is the program.
"""

from __future__ import annotations

import inspect
import keyword
import math
import operator
import os
import re
import sys
from collections import OrderedDict
from collections.abc import Callable, Sequence
from threading import Lock
from types import ModuleType
from typing import Any

import numpy as np

from .arguments import as_data
from .backward import gradients, topological
from .render import replace_file
from .rules import scatter
from .tracing import SCALAR, Traced, astype, leaves, replace
from .transforms import flatten, unflatten
from .value import Value

KEPT = 16  # programs of one function, for as many shapes
LARGEST = 10_000  # entries of an array written out in the source
WIDTH = 88
OPERATORS = {
    np.add: "+",
    np.subtract: "-",
    np.multiply: "*",
    np.divide: "/",
    np.floor_divide: "//",
    np.remainder: "%",
    np.power: "**",
    np.matmul: "@",
    np.less: "<",
    np.less_equal: "<=",
    np.greater: ">",
    np.greater_equal: ">=",
    np.equal: "==",
    np.not_equal: "!=",
    np.bitwise_and: "&",
    np.bitwise_or: "|",
    np.bitwise_xor: "^",
}
PREFIX = {np.negative: "-", np.invert: "~"}
# How tightly an operation binds, as Python's grammar has it; 0 is x if c else y.
COMPARE, UNARY, POWER, ATOM = 4, 11, 12, 13
LEVEL = {
    np.where: 0,
    np.maximum: 0,
    np.minimum: 0,
    np.sign: 0,
    np.bitwise_or: 5,
    np.bitwise_xor: 6,
    np.bitwise_and: 7,
    np.add: 8,
    np.subtract: 8,
    np.logaddexp: 8,
    np.multiply: 9,
    np.divide: 9,
    np.floor_divide: 9,
    np.remainder: 9,
    np.matmul: 9,
    np.square: 9,
    np.negative: UNARY,
} | dict.fromkeys(
    (np.less, np.less_equal, np.greater, np.greater_equal, np.equal, np.not_equal, np.isnan),
    COMPARE,
)
TWICE = {f for f, text in SCALAR.items() if text.count("{0}") > 1}
LARGE = 2**14  # bytes from which an array is written into one that is done with
INLINE = 36  # letters of an expression that may stand inside another
VIEWS = {
    np.reshape, np.transpose, np.swapaxes, np.expand_dims, np.squeeze, np.broadcast_to, np.ravel,
    operator.getitem,
}  # fmt: skip
METHODS = {np.sum, np.mean, np.max, np.min, np.argmax, np.argmin, np.any, np.all}
DIRECT = {np.sum: "_sum", np.max: "_max", np.min: "_min"}
SHAPING = {np.reshape, np.expand_dims, np.squeeze}
DEFAULTS = {"axis": None, "keepdims": False}


def program(
    f: Callable[..., Any],
    *examples: Any,
    wrt: int | Sequence[int] | None = 0,
    clean: bool = True,
    retrace: bool = True,
) -> Program:
    """Print ``f`` and its gradient as one NumPy function, and compile it.

    Parameters
    ----------
    f : function of arrays, written in NumPy; it is called once, to record what it does
    *examples : its arguments: numbers, arrays, or dicts, lists, tuples of such. Their shapes and
        dtypes count, their data do not; whole numbers, text and None are fixed.
    wrt : the positional argument to differentiate, or several; None for no gradient
    clean : False prints the chain rule as it is applied; True computes what is common once, folds
        constants, and drops what multiplies by one, adds zero or is not used.
    retrace : whether a call with other shapes, dtypes or fixed arguments makes another program (the
        last 16 are kept) or raises a `ValueError`

    Returns
    -------
    A function of the same arguments that returns ``(value, gradient)``, the gradient shaped like
    the argument; for several, a tuple of gradients. Where f returns anything but one number there
    is no gradient, and it returns what f does. Results are new arrays. Its ``source`` is a module
    that needs NumPy alone (of numbers alone, not even that), and ``save(path)`` writes it.

    Raises
    ------
    TypeError
        If ``f`` branches on data, or turns data into plain numbers, with the line that does.
    ValueError
        If ``wrt`` is not an argument, or f rests on an array too large to be written out.

    Notes
    -----
    The value and gradient are those of ``backward()`` but for rounding: operations are the same,
    some in another order. Arrays and `Value`s that f takes from outside are constants. What runs is
    the source past NumPy's wrappers in Python: short rows are summed as products with ones, and
    large results are written into arrays that are done with; no array outlives a call.

    Examples
    --------
    >>> square = program(lambda x: np.sum(x * x), np.array([1.0, 2.0]))
    >>> value, slope = square(np.array([3.0, 4.0]))
    >>> float(value), slope
    (25.0, array([6., 8.]))
    >>> print(program(lambda a, b: a * b, 2.0, 3.0, wrt=(0, 1)))
    \"\"\"Loss and gradient, printed by tinygrad_ce.program.\"\"\"
    <BLANKLINE>
    <BLANKLINE>
    def loss_and_grad(a, b):
        \"\"\"Return the value and its gradient with respect to a, b.\"\"\"
        loss = a * b  # multiply
        return loss, (b, a)
    """
    return Program(f, examples, wrt, clean, retrace)


# ------------------------------------------------------------------ arguments
def _plain(x: Any) -> Any:
    """An argument's leaf as a program takes it: float, array, or fixed (whole number, text)."""
    if x.__class__ in (float, np.ndarray) or x is None or isinstance(x, int | str) or callable(x):
        return x
    return as_data(x.data) if x.__class__ is Value else _array(x)


def _array(x: Any) -> Any:
    data = float(x) if isinstance(x, float) else np.asarray(x)
    if data.__class__ is np.ndarray and data.dtype.kind not in "fiub":
        as_data(data, "program: argument")  # says what is wrong with it
    return data


def _variable(x: Any) -> Any:
    """The same for an argument to differentiate."""
    return x if x.__class__ is float else as_data(x, "program: argument")


def _fixed(x: Any) -> bool:
    return x.__class__ is not float and x.__class__ is not np.ndarray


def _kind(x: Any) -> Any:
    if x.__class__ is np.ndarray:
        return x.shape, x.dtype
    return float if x.__class__ is float else (x.__class__, x)


def _parameters(f: Any, n: int) -> list[str]:
    """A name for each of n arguments: the function's own."""
    try:
        found = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        found = []
    names: list[str] = []
    for p in found:
        if p.kind is p.VAR_POSITIONAL:
            rest, base = n - len(names), "x" if p.name == "args" else p.name
            names += [base] if rest == 1 else [f"{base}_{i}" for i in range(rest)]
        elif p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD):
            names.append(p.name)
    names = names[:n] + [f"x_{i}" for i in range(len(names), n)]
    return [f"{name}_" if name in TAKEN else name for name in names]


# ------------------------------------------------------------------ tracing
class _Recorded:
    """One call of ``f``, and the backward pass on top, as graphs of `Traced`."""

    def __init__(self, f: Any, args: Sequence[Any], wrt: Any) -> None:
        self.args, self.parameters = args, _parameters(f, len(args))
        self.inputs: list[list[Any]] = []  # of each argument its leaves
        filled, variables = [], []
        numbers = () if wrt is None else (wrt,) if isinstance(wrt, int) else wrt
        for i, (arg, name) in enumerate(zip(args, self.parameters)):
            row = []
            for path, x in flatten(arg):
                if not _fixed(x):
                    x = Traced(None, (), {}, x)
                    x.name = _identifier(name + path)
                row.append(x)
            self.inputs.append(row)
            if i in numbers:
                own = [Value(x, name=x.name) for x in row]
                variables.append(own)
                filled.append(unflatten(arg, own))
            else:
                filled.append(unflatten(arg, row))
        with np.errstate(all="ignore"):
            out = f(*filled)
            self.value = _data(out)
            self.start = 0.0
            self.gradient: Any = None
            if variables and not isinstance(out, dict | list | tuple) and np.size(self.value) == 1:
                found = [unflatten(args[i], g) for i, g in zip(numbers, self._pull(out, variables))]
                self.gradient = found[0] if isinstance(wrt, int) else tuple(found)
                self.differentiated = ", ".join(self.parameters[i] for i in numbers)
        self.value, self.gradient = _builtin(self.value), _builtin(self.gradient)
        self.has_gradient = self.gradient is not None

    def _pull(self, out: Any, variables: list[list[Value]]) -> list[list[Any]]:
        wanted = [v for row in variables for v in row]
        if out.__class__ is not Value:
            found = dict.fromkeys(wanted)
        else:
            nodes = topological(out)
            for v in nodes:
                if v.name and v.data.__class__ is Traced and not v.data.name:
                    v.data.name = _identifier(v.name)
            if self.value.__class__ is Traced and not self.value.name:
                self.value.name = "loss"
            one: Any = 1.0 if not self._is_array(out.data) else np.ones(out.shape, out.dtype)[()]
            seed = Traced(CONSTANT, (one,), {}, one)
            self.start = seed.number
            nodes += [v for v in wanted if v not in set(nodes)]
            found = dict(zip(nodes, gradients(out, seed, nodes)))
            for v, g in found.items():
                if g.__class__ is Traced and g.number >= self.start and g.of is None:
                    g.of = v.data
        return [[self._like(found[v], v.data) for v in row] for row in variables]

    @staticmethod
    def _is_array(x: Any) -> bool:
        return (x.sample if x.__class__ is Traced else x).__class__ is not float

    @staticmethod
    def _like(g: Any, x: Any) -> Any:
        """A gradient in the shape and dtype of its argument."""
        if g is None:
            return 0.0 if x.sample.__class__ is float else np.zeros(x.shape, x.dtype)
        if x.sample.__class__ is float:
            return g if g.__class__ is Traced else float(g)
        if g.__class__ is not Traced:
            return np.broadcast_to(np.asarray(g, x.dtype), x.shape)
        return g.astype(x.dtype)


def _data(out: Any) -> Any:
    """What f returned, its Values replaced by what they hold."""
    found = [x.data if x.__class__ is Value else x for _, x in flatten(out)]
    return unflatten(out, [x if x.__class__ is Traced else as_data(x, "f's result") for x in found])


def _builtin(tree: Any) -> Any:
    """A structure of dicts, lists and tuples, which source can make."""
    if isinstance(tree, dict):
        return {k: _builtin(v) for k, v in tree.items()}
    if isinstance(tree, list | tuple):
        return (list if isinstance(tree, list) else tuple)([_builtin(v) for v in tree])
    return tree


def _identifier(text: str) -> str:
    name = re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_") or "x"
    name = f"x_{name}" if name[0].isdigit() else name
    return f"{name}_" if name in TAKEN else name


CONSTANT = "constant"
TAKEN = {*keyword.kwlist, "np", "math", "loss_and_grad", "value"} | {
    "abs", "float", "max", "min", "slice"
}  # fmt: skip


def _order(outputs: Any) -> list[Traced]:
    """What the outputs need, in order."""
    found = set(leaves(outputs))
    stack = list(found)
    while stack:
        node = stack.pop()
        for parent in leaves((node.args, node.options)):
            if parent not in found:
                found.add(parent)
                stack.append(parent)
    return sorted(found, key=lambda node: node.number)


# ------------------------------------------------------------------ cleaning
def _cleaned(outputs: Any) -> Any:
    """The same outputs with less work: nothing twice, no constant computed, nothing by one."""
    new: dict[Traced, Any] = {}
    seen: dict[Any, Traced] = {}
    for node in _order(outputs):
        if node.call is None:
            new[node] = node
            continue
        args, options = replace(node.args, new.__getitem__), replace(node.options, new.__getitem__)
        found = args[0] if node.call is CONSTANT else _simpler(node, args, options)
        if found is None:
            found = Traced(node.call, args, options, node.sample)
            found.number = node.number
        if found.__class__ is Traced and found.call:
            found = seen.setdefault(_key((found.call, found.args, found.options)), found)
            found.name = found.name or node.name
            if found.of is None and node.of is not None:
                found.of = new.get(node.of)
        new[node] = found
    return replace(outputs, new.__getitem__)


def _key(x: Any) -> Any:
    """What is equal for equal arguments alone; 1 and 1.0, 0.0 and -0.0 are not."""
    kind = x.__class__
    if kind is Traced or callable(x):
        return x
    if kind is tuple or kind is list:
        return (kind, *map(_key, x))
    if kind is dict:
        return tuple((name, _key(x[name])) for name in sorted(x))
    if kind is slice:
        return (kind, _key(x.start), _key(x.stop), _key(x.step))
    if kind is np.ndarray:
        return (kind, x.dtype, x.shape, x.tobytes())
    return (kind, repr(x))


def _number(x: Any) -> float | None:
    """The number a constant is."""
    if x.__class__ is Traced or not isinstance(x, float | int | np.number | np.ndarray):
        return None
    return None if np.ndim(x) else float(x)


def _like(x: Any, node: Traced) -> bool:
    same = x.__class__ is Traced and (x.sample.__class__ is float) == (
        node.sample.__class__ is float
    )
    return same and x.shape == node.shape and x.dtype == node.dtype


def _elementwise(f: Any) -> bool:
    return (f.__class__ is np.ufunc and f.signature is None) or f is np.where or f is np.clip


def _narrow(node: Traced, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Arguments of an entrywise operation that it broadcasts itself, as they were before."""
    found = list(args)
    for i, x in enumerate(args):
        if x.__class__ is Traced and x.call is np.broadcast_to:
            small = x.args[0]
        elif x.__class__ is np.ndarray and x.size and (x == x.flat[0]).all():
            small = x.flat[0]
        else:
            continue
        others = [np.shape(y) for y in (*found[:i], small, *found[i + 1 :])]
        if np.broadcast_shapes(*others) == node.shape:
            found[i] = small
    return tuple(found)


def _simpler(node: Traced, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """A node, or a constant, that is the same; None if there is none."""
    f = node.call
    if next(leaves((args, options)), None) is None:
        return node.sample
    if _elementwise(f) and not options and node.sample.__class__ not in (float, bool):
        args = _narrow(node, args)
    if options.get("axis").__class__ is tuple and len(options["axis"]) == 1:
        options = options | {"axis": options["axis"][0]}
    made = Traced(f, args, options, node.sample)
    made.number = node.number
    if len(args) == 2 and f in (np.add, np.subtract, np.multiply, np.divide, np.power):
        found = _arithmetic(node, *args)
        return made if found is None else found
    x = args[0]
    if f is np.negative and x.__class__ is Traced and x.call is np.negative:
        return x.args[0]
    if f is np.negative and x.__class__ is Traced and x.call is np.multiply:
        a, b = x.args
        if a.__class__ is float:
            return _make(np.multiply, (-a, b), node)
        if b.__class__ is float:
            return _make(np.multiply, (a, -b), node)
    if f in SHAPING or f is np.broadcast_to:
        shaped = x.__class__ is Traced and x.call in SHAPING
        if shaped and _like(x.args[0], node):
            return x.args[0]
        if _like(x, node):
            return x
    if f is np.sum and x.__class__ is Traced and x.call is np.multiply and not node.shape:
        a, b = x.args
        alike = np.shape(a) == np.shape(b) and x.dtype.kind == "f"
        if alike and a.__class__ is Traced is b.__class__ and a.dtype == b.dtype and a.ndim:
            return _make(np.vdot, (a, b), node)  # half the time of a product and its sum
    if f is np.sum and x.__class__ is Traced and x.call is np.broadcast_to:
        found = _sum_of_stretched(node, x, options)
        return made if found is None else found
    return made


def _make(f: Any, args: tuple[Any, ...], node: Traced, options: Any = None) -> Traced:
    made = Traced(f, args, options or {}, node.sample)
    made.number = node.number
    return made


def _arithmetic(node: Traced, x: Any, y: Any) -> Any:
    f, a, b = node.call, _number(x), _number(y)
    if b == 1.0 and f in (np.multiply, np.divide, np.power) and _like(x, node):
        return x
    if a == 1.0 and f is np.multiply and _like(y, node):
        return y
    if b == 0.0 and f in (np.add, np.subtract) and _like(x, node):
        return x
    if a == 0.0 and f is np.add and _like(y, node):
        return y
    if a == 0.0 and f is np.subtract and _like(y, node):
        return _make(np.negative, (y,), node)
    for c, other in ((x, y), (y, x)):
        if f is np.multiply and c.__class__ is float and other.call is np.multiply:
            for c2, rest in (other.args, other.args[::-1]):
                if c2.__class__ is float and _like(rest, node):
                    found = _arithmetic(node, c * c2, rest)
                    return _make(f, (c * c2, rest), node) if found is None else found
    for number, other in ((b, x), (a, y)):
        if number == -1.0 and f is np.multiply and _like(other, node):
            if other.call is np.negative:
                return other.args[0]
            return _make(np.negative, (other,), node)
    for p, q in ((x, y), (y, x)):
        if f is np.add and q.__class__ is Traced and q.call is np.negative:
            return _make(np.subtract, (p, q.args[0]), node)
    if f is np.subtract and y.__class__ is Traced and y.call is np.negative:
        return _make(np.add, (x, y.args[0]), node)
    return None


def _sum_of_stretched(node: Traced, x: Traced, options: dict[str, Any]) -> Any:
    """Σ over axes that broadcasting made: as many times the entry."""
    small, axis = x.args[0], options.get("axis")
    if axis is None or options.get("keepdims") or small.__class__ is not Traced:
        return None
    axes = {a % x.ndim for a in ((axis,) if isinstance(axis, int) else axis)}
    shape = (1,) * (x.ndim - small.ndim) + small.shape
    if any(shape[a] != 1 for a in axes) or {*options} - {"axis", "keepdims"}:
        return None
    kept = tuple(n for a, n in enumerate(shape) if a not in axes)
    if kept != node.shape:
        return None
    times = float(math.prod(x.shape[a] for a in axes))
    if small.shape != kept:
        shaped = Traced(np.reshape, (small, kept), {}, np.reshape(small.sample, kept))
        shaped.number = small.number + 0.5  # after it, before all else
        small = _simpler(shaped, shaped.args, {})
    return _make(np.multiply, (small, times), node)


# ------------------------------------------------------------------ printing
class _Printer:
    """Names, lines and constants of one program."""

    def __init__(
        self, recorded: _Recorded, outputs: Any, clean: bool, direct: bool = False
    ) -> None:
        self.recorded, self.outputs = recorded, outputs
        self.nodes = [node for node in _order(outputs) if node.call is not None]
        inputs = [x for row in recorded.inputs for x in row if x.__class__ is Traced]
        self.scalar = all(x.sample.__class__ in (float, bool) for x in (*self.nodes, *inputs))
        self.scalar = self.scalar and all(_number(x) is not None for x in _constants(outputs))
        self.constants: dict[Any, tuple[str, str]] = {}
        self.taken = {*TAKEN, *recorded.parameters}
        self.names: dict[Traced, str] = {}
        for x in inputs:
            name = x.name or "x"
            self.names[x] = name if name in recorded.parameters else self.unique(name)
        self.ones: dict[str, Any] = {}
        self.direct = direct  # call what NumPy's own wrappers would call
        self.clean, self.inline = clean, dict[Traced, tuple[str, int]]()
        self.uses = self.count()
        self.numbers: dict[str, int] = {}
        self.found: list[str] = []
        self.into = _reused(self.nodes, outputs) if direct else {}
        self.inlines = clean and not self.into  # a line that runs later would read a reused array

    def count(self) -> dict[Traced, int]:
        """How often each node is used: one that is returned, or read twice in a line, often."""
        uses = dict.fromkeys(leaves(self.outputs), 2)
        for node in self.nodes:
            often = 2 if node.sample.__class__ in (float, bool) and node.call in TWICE else 1
            for parent in leaves((node.args, node.options)):
                uses[parent] = uses.get(parent, 0) + often
        return uses

    def unique(self, name: str) -> str:
        """A name that no other has."""
        found, n = name, 1
        while found in self.taken:
            n += 1
            found = f"{name}_{n}"
        self.taken.add(found)
        return found

    def name(self, node: Traced) -> str:
        """The user's name; ``grad_`` of a node's name; else the operation's, numbered."""
        of = self.names.get(node.of) if node.of is not None else None
        if node.name or (of and not of.endswith(".T")):
            found = self.unique(node.name or f"grad_{of}")
        else:
            name = _operation(node)
            self.numbers[name] = self.numbers.get(name, 0) + 1
            found = self.unique(f"{name}_{self.numbers[name]}")
        self.names[node] = found
        return found

    def literal(self, x: Any, weak: bool = True) -> str:
        """A constant, as source."""
        if x is None or x is Ellipsis or isinstance(x, bool | str | int):
            return "..." if x is Ellipsis else repr(x)
        if isinstance(x, np.dtype | type):
            return _dtype(np.dtype(x))
        if isinstance(x, float | np.generic) or (isinstance(x, np.ndarray) and x.ndim == 0):
            kind = getattr(x, "dtype", np.dtype(float))
            text = repr(x.item() if hasattr(x, "item") else x)
            prefix = "math." if self.scalar else "np."
            text = re.sub(r"inf|nan", lambda m: prefix + m[0], text)
            strong = kind != np.dtype(float) if kind.kind == "f" else kind.kind in "iu"
            return f"{_dtype(kind)}({text})" if strong or not weak else text
        assert isinstance(x, np.ndarray), x
        key = _key(x)
        if key not in self.constants:
            name = self.unique(f"C_{len(self.constants) + 1}")
            self.constants[key] = (name, _array_text(x, self.literal))
        return self.constants[key][0]

    def text(self, x: Any, level: int = 0, weak: bool = True) -> str:
        """An argument, as source; in brackets where it binds less than ``level``."""
        if x.__class__ is Traced:
            if x in self.names:
                return self.names[x]
            found, own = self.inline[x]
            return f"({found})" if own < level else found
        if x.__class__ is slice:
            parts = ["None" if p is None else self.text(p) for p in (x.start, x.stop, x.step)]
            return f"slice({', '.join(parts)})"
        if x.__class__ is tuple:
            return f"({', '.join(map(self.text, x))}{',' if len(x) == 1 else ''})"
        if x.__class__ is list:
            return f"[{', '.join(map(self.text, x))}]"
        found = self.literal(x, weak)
        return f"({found})" if found.startswith("-") and level > UNARY else found

    def index(self, x: Any) -> str:
        """What stands between brackets."""
        if x.__class__ is tuple and x:
            return ", ".join(map(self.index, x)) + ("," if len(x) == 1 else "")
        if x.__class__ is slice:
            parts = ["" if p is None else self.text(p) for p in (x.start, x.stop, x.step)]
            return ":".join(parts[:2] if not parts[2] else parts)
        return self.text(x)

    def expression(self, node: Traced) -> tuple[str, int]:
        """The right-hand side, and how tightly it binds."""
        f, args = node.call, node.args
        if f is CONSTANT:
            return self.text(args[0]), ATOM
        if node.sample.__class__ in (float, bool) and f in SCALAR:
            return self.on_numbers(f, args)
        if f is operator.getitem:
            return f"{self.text(args[0], ATOM)}[{self.index(args[1])}]", ATOM
        if f is astype:
            return f"{self.text(args[0], ATOM)}.astype({self.text(args[1])})", ATOM
        if _is_turned(node):
            return f"{self.text(args[0], ATOM)}.T", ATOM
        wide = any(a.__class__ is Traced and a.dtype == np.float64 for a in args)
        strict = f.__class__ is np.ufunc and not wide  # a number's dtype counts
        weak = [not strict or a.__class__ is float for a in args]
        if node in self.into:
            parts = [self.text(a, 0, w) for a, w in zip(args, weak)]
            return f"{_function(f)}({', '.join(parts)}, out={self.names[self.into[node]]})", ATOM
        if f in OPERATORS and len(args) == 2 and not node.options:
            if f is np.power:
                whole = args[0].__class__ is Traced and args[0].dtype.kind == "f"
                return self.power(args, _exponent(args[1]) if whole else "", weak)
            level = LEVEL[f]
            matrices = all(getattr(a, "ndim", 0) == 2 for a in args)
            if self.direct and f is np.matmul and matrices:
                return f"{self.text(args[0], ATOM)}.dot({self.text(args[1])})", ATOM
            x = self.text(args[0], level + (level == COMPARE), weak[0])
            return f"{x} {OPERATORS[f]} {self.text(args[1], level + 1, weak[1])}", level
        if f in PREFIX and len(args) == 1:
            return f"{PREFIX[f]}{self.text(args[0], UNARY + 1)}", UNARY
        method = f in METHODS and args[0].__class__ is Traced and args[0].shape
        if (
            self.direct
            and f in DIRECT
            and len(args) == 1
            and node.options.keys() <= DEFAULTS.keys()
        ):
            return self.reduced(node, **DEFAULTS | node.options), ATOM
        if method:  # in a quarter of the time of np.sum(x), where x is small
            weak = weak[1:]
        parts = [self.text(a, 0, w) for a, w in zip(args[1:] if method else args, weak)]
        shown = {k: v for k, v in node.options.items() if k not in DEFAULTS or v is not DEFAULTS[k]}
        parts += [f"{k}={self.text(v)}" for k, v in shown.items()]
        name = f"{self.text(args[0], ATOM)}.{f.__name__}" if method else _function(f)
        return f"{name}({', '.join(parts)})", ATOM

    def reduced(self, node: Traced, axis: Any, keepdims: bool) -> str:
        """A sum or maximum; of short rows as a product with ones, in a third of the time."""
        x = node.args[0]
        short = x.ndim == 2 and x.dtype.char in "fd" and x.shape[1] < 2**7
        if node.call is not np.sum or not short or not isinstance(axis, int):
            found = self.text(x)
            return f"{DIRECT[node.call]}({found}, {axis}, None, None, {keepdims})"
        axis %= 2
        n = x.shape[axis]
        shape = ((1, n) if axis == 0 else (n, 1)) if keepdims else (n,)
        ones = f"_ones_{'_'.join(map(str, shape))}_{x.dtype.name}"
        self.ones[ones] = np.ones(shape, x.dtype)
        found = self.text(x, ATOM)
        return f"{ones}.dot({found})" if axis == 0 else f"{found}.dot({ones})"

    def power(self, args: Any, whole: str, weak: Any) -> tuple[str, int]:
        """``x**2``, and ``(x + 1) ** 2`` with blanks, as formatters have it."""
        x, y = self.text(args[0], ATOM, weak[0]), whole or self.text(args[1], UNARY, weak[1])
        simple = re.fullmatch(r"[\w.]+", x) and re.fullmatch(r"-?[\w.]+", y)
        return f"{x}**{y}" if simple else f"{x} ** {y}", POWER

    def on_numbers(self, f: Any, args: Any) -> tuple[str, int]:
        """The same on Python floats."""
        if f is np.power and (whole := _exponent(args[1])):
            if (
                whole == "2" and args[0].__class__ is Traced and args[0] in self.names
            ):  # the same number in a third of the time
                return f"{self.names[args[0]]} * {self.names[args[0]]}", LEVEL[np.multiply]
            return self.power(args, whole, (True, True))
        template, level = SCALAR[f], LEVEL.get(f, ATOM)
        call = level == ATOM
        parts = [
            self.text(a, 0 if call else level + (level == COMPARE or i > 0 or level in (0, UNARY)))
            for i, a in enumerate(args)
        ]
        found = template.format(*parts)
        if "math." in found and not self.scalar:
            found = f"float({found.replace('math.pow', 'np.power').replace('math.', 'np.')})"
        return found, level

    def lines(self) -> list[str]:
        """The body: forward, then backward."""
        recorded, needed = self.recorded, self.needed()
        for row, arg, name in zip(recorded.inputs, recorded.args, recorded.parameters):
            for x, (path, _) in zip(row, flatten(arg)):
                if x.__class__ is not Traced:
                    self.found += _check_fixed(name + path, x)
                elif self.names[x] != name + path and x in needed:
                    self.found.append(f"{self.names[x]} = {name}{path}")
        backward = False
        for node in self.nodes:
            if not backward and recorded.has_gradient and node.number >= recorded.start:
                backward = True
                self.found.append("# backward, newest first")
            self.node(node)
        return self.found

    def node(self, node: Traced) -> None:
        """A line for a node; or none, where its one user can have it in its own line."""
        of = node.of is not None and (node.of.name or node.of.call is None)
        kept = node.name or of or node.call is scatter or isinstance(node.sample, tuple | list)
        if _is_turned(node) or (self.inlines and not kept and self.uses[node] == 1):
            text, level = self.expression(node)
            if len(text) <= INLINE:
                self.inline[node] = text, level
                return
        self.line(node)

    def line(self, node: Traced) -> None:
        """Write one line; what is too long has its longest part in a line before."""
        if node.call is scatter:
            g, index, shape = (self.text(x) for x in node.args)
            name = self.name(node)
            made = f"{name} = np.zeros_like({g}, shape={shape})"
            self.found += [_line(made, _note(node, self)), f"np.add.at({name}, {index}, {g})"]
            return
        while True:
            text = self.expression(node)[0]
            parts = [p for p in leaves((node.args, node.options)) if p not in self.names]
            if len(text) <= WIDTH - 30 or not parts:
                break
            self.line(max(parts, key=lambda p: len(self.inline[p][0])))
        name = self.name(node)
        self.found.append(_line(f"{name} = {text}", _note(node, self)))

    def needed(self) -> set[Traced]:
        """Inputs that are used."""
        return set(_order(self.outputs))

    def result(self) -> str:
        """What is returned; nothing that the caller holds already."""
        seen: set[Any] = set()

        def leaf(x: Any) -> str:
            if x.__class__ is not Traced:
                return _fresh(x, self.literal)
            base, copied = x, False
            while base.__class__ is Traced and base.call in VIEWS:
                copied = copied or base.call is np.broadcast_to
                base = base.args[0]
            again = base.__class__ is not Traced or base.call is None or base in seen
            if base.__class__ is Traced:
                seen.add(base)
            copied = (copied or again) and isinstance(x.sample, np.ndarray)
            return self.names[x] + (".copy()" if copied else "")

        def tree(x: Any) -> Any:
            if isinstance(x, dict):
                return "{", [(f"{_quoted(k)}: ", tree(v)) for k, v in x.items()], "}"
            if x.__class__ is list:
                return "[", [("", tree(v)) for v in x], "]"
            if isinstance(x, tuple):
                return "(", [("", tree(v)) for v in x], ")" if len(x) != 1 else ",)"
            return leaf(x)

        value, gradient = self.outputs
        if not self.recorded.has_gradient:
            return _wrapped("return ", tree(value), "")
        first = leaf(value)
        return _wrapped(f"return {first}, ", tree(gradient), "")

    def source(self) -> tuple[str, str, str]:
        """The head (imports, constants), the body, and the whole."""
        body = "\n".join([*self.lines(), self.result()]).split("\n")
        name = "loss_and_grad" if self.recorded.has_gradient else "value"
        text = "\n".join(body)
        uses = re.sub(r"#.*", "", text + "".join(t for _, t in self.constants.values()))
        head = ["import math"] if re.search(r"\bmath\.", uses) else []
        head += ["import numpy as np"] if re.search(r"\bnp\.", uses) else []
        consts = [f"{n} = {t}" for n, t in self.constants.values()]
        what = "Return the value."
        if self.recorded.has_gradient:
            what = (
                f"Return the value and its gradient with respect to {self.recorded.differentiated}."
            )
        if len(what) > WIDTH - 10:
            what = "Return the value and its gradient."
        define = f"def {name}({', '.join(self.recorded.parameters)}):"
        if len(define) > WIDTH:
            inner = "".join(f"    {p},\n" for p in self.recorded.parameters)
            define = f"def {name}(\n{inner}):"
        blocks = ['"""Loss and gradient, printed by tinygrad_ce.program."""', "\n".join(head)]
        start = "\n\n".join(b for b in (*blocks, "\n".join(consts)) if b)
        indented = "\n".join(f"    {line}" if line else "" for line in body)
        whole = f'{start}\n\n\n{define}\n    """{what}"""\n{indented}\n'
        return "\n".join([*head, *consts]), text, whole


def _reused(nodes: list[Traced], outputs: Any) -> dict[Traced, Traced]:
    """For entrywise operations on large arrays: an array of that shape that nobody reads any more.

    New memory costs more than the arithmetic: softmax regression on 1024×784×10 takes 1.3 times as
    long without.
    """
    never, last, root = float(len(nodes)), dict[Traced, float](), dict[Traced, Traced]()
    for i, node in enumerate(nodes):
        read = [root[p] for p in leaves((node.args, node.options)) if p in root]
        fresh = _elementwise(node.call) or node.call is np.matmul
        known = fresh or node.call in METHODS or node.call in (np.vdot, scatter)
        until: float = (
            i if known or node.call in VIEWS else never
        )  # others may give it out as a view
        last |= {r: max(last[r], until) for r in read}
        if fresh and node.sample.__class__ is np.ndarray and node.sample.nbytes >= LARGE:
            root[node] = node
            last[node] = i
        elif node.call in VIEWS and read:
            root[node] = read[0]
    last |= dict.fromkeys([root[p] for p in leaves(outputs) if p in root], never)
    into: dict[Traced, Traced] = {}
    free: dict[Any, list[Traced]] = {}
    dying: dict[float, list[Traced]] = {}
    for node, until in last.items():
        dying.setdefault(until, []).append(node)
    for i, node in enumerate(nodes):
        for gone in dying.get(i, []):
            if gone is not node:
                free.setdefault((gone.shape, gone.dtype), []).append(gone)
        plain = node.call.__class__ is np.ufunc and node.call.nout == 1 and not node.options
        there = free.get((node.shape, node.dtype))
        if plain and there and root.get(node) is node and _elementwise(node.call):
            into[node] = there.pop()
        if any(gone is node for gone in dying.get(i, [])):
            free.setdefault((node.shape, node.dtype), []).append(node)
    return into


def _constants(tree: Any) -> list[Any]:
    """The constants among outputs."""
    if tree is None or tree.__class__ is Traced:
        return []
    if isinstance(tree, dict):
        return [c for v in tree.values() for c in _constants(v)]
    if isinstance(tree, list | tuple):
        return [c for v in tree for c in _constants(v)]
    return [tree]


def _quoted(x: Any) -> str:
    return '"' + x.replace('"', '\\"') + '"' if isinstance(x, str) and "\\" not in x else repr(x)


def _wrapped(start: str, tree: Any, end: str, indent: int = 0) -> str:
    """One line if it fits, else a line an item."""
    flat: str = start + _flat_text(tree) + end
    if tree.__class__ is str or len(flat) + 4 + 4 * indent <= WIDTH:
        return flat
    left, items, right = tree
    inner = [
        "    " * (indent + 1) + _wrapped(label, item, ",", indent + 1) for label, item in items
    ]
    return "\n".join([start + left, *inner, "    " * indent + right.lstrip(",") + end])


def _flat_text(tree: Any) -> str:
    if tree.__class__ is str:
        return str(tree)
    left, items, right = tree
    return f"{left}{', '.join(label + _flat_text(item) for label, item in items)}{right}"


def _fresh(x: Any, literal: Any) -> str:
    """A constant result, made anew in each call."""
    if x.__class__ is np.ndarray and x.size and not (x == x.flat[0]).all():
        return f"{literal(x)}.copy()"
    if x.__class__ is np.ndarray:
        kind = "" if x.dtype == np.float64 else f", {_dtype(x.dtype)}"
        if not x.size or x.flat[0] == 0:
            return f"np.zeros({x.shape}{kind})"
        if x.flat[0] == 1:
            return f"np.ones({x.shape}{kind})"
        return f"np.full({x.shape}, {literal(x.flat[0].item())}{kind})"
    return str(literal(x))


def _array_text(x: Any, literal: Any) -> str:
    if x.size > LARGEST:
        raise ValueError(
            f"program: f uses an array of shape {x.shape} that is no argument, too large to be "
            "written out: make it an argument"
        )
    if x.size and (x == x.flat[0]).all():
        return _fresh(x, literal)
    shape = "" if x.ndim == 1 else f".reshape({x.shape})"
    flat = x.reshape(-1)
    default = flat.dtype in (np.dtype(float), np.dtype(int), np.dtype(bool))
    kind = "" if default else f", dtype={_dtype(x.dtype)}"
    if flat.dtype == np.dtype(int) and np.array_equal(flat, np.arange(flat.size)):
        return f"np.arange({flat.size}){shape}"
    items = [literal(v.item()) for v in flat]
    line = f"np.array([{', '.join(items)}]{kind}){shape}"
    if len(line) <= WIDTH - 8:
        return line
    rows, row = [], ""
    for item in items:
        if row and len(row) + len(item) + 2 > WIDTH - 8:
            rows.append(row)
            row = ""
        row += ("" if not row else " ") + item + ","
    inner = "\n".join(f"        {r}" for r in [*rows, row])
    tail = f"    dtype={_dtype(x.dtype)},\n" if kind else ""
    return f"np.array(\n    [\n{inner}\n    ],\n{tail}){shape}"


def _dtype(kind: Any) -> str:
    return "bool" if kind == np.dtype(bool) else f"np.{kind.name}"


def _operation(node: Traced) -> str:
    f = node.call
    if f is operator.getitem:
        return "item"
    if f.__class__ is str:
        return "one"
    name = getattr(f, "__name__", "x")
    owner = getattr(f, "__self__", None)
    return f"{owner.__name__}_{name}" if owner.__class__ is np.ufunc else name


def _is_turned(node: Traced) -> bool:
    """Whether it reads ``x.T``, which needs no line of its own."""
    plain = node.call is np.transpose and node.args[1:] in ((), (None,)) and not node.options
    return plain and node.args[0].__class__ is Traced


def _function(f: Any) -> str:
    owner = getattr(f, "__self__", None)
    if owner.__class__ is np.ufunc:
        return f"np.{owner.__name__}.{f.__name__}"
    module = (getattr(f, "__module__", None) or "numpy").replace("numpy", "np", 1)
    return f"{module}.{f.__name__}" if not module.startswith("np._") else f"np.{f.__name__}"


def _exponent(x: Any) -> str:
    """A whole exponent: 3 instead of 3.0."""
    n = _number(x)
    return str(int(n)) if n is not None and n == int(n) and abs(n) < 1000 else ""


def _bracket(text: str) -> str:
    return f"({text})" if text.startswith("-") else text


def _check_fixed(name: str, x: Any) -> list[str]:
    if callable(x):
        return []
    shown = _quoted(x) if isinstance(x, str) else repr(x)
    how = "is not" if x is None or isinstance(x, bool) else "!="
    message = _quoted(f"this program is for {name} = {x}")
    return [f"if {name} {how} {shown}:", f"    raise ValueError({message})"]


def _note(node: Traced, printer: _Printer) -> str:
    """What a line computes, and its shape."""
    of = printer.names.get(node.of) if node.of is not None else None
    name = printer.names[node]
    what = f"gradient of {of}" if of and name.startswith("grad_") else _operation(node)
    if node.call is CONSTANT:
        what = "the gradient of the result by itself"
    shape = getattr(node.sample, "shape", None)
    return what if not shape else f"{what}, {shape}"


def _line(code: str, note: str) -> str:
    line = f"{code}  # {note}"
    return line if len(line) + 4 <= WIDTH else f"# {note}\n{code}"


# ------------------------------------------------------------------ running
class _Compiled:
    """One program, for arguments of one signature."""

    def __init__(self, f: Any, args: Sequence[Any], wrt: Any, clean: bool, other: Any) -> None:
        recorded = _Recorded(f, args, wrt)
        outputs = (recorded.value, recorded.gradient)
        outputs = _cleaned(outputs) if clean else outputs
        printer = _Printer(recorded, outputs, clean)
        head, body, self.source = printer.source()
        if not printer.scalar:  # the same, past NumPy's wrappers in Python: small arrays need it
            printer = _Printer(recorded, outputs, clean, direct=True)
            head, body, _ = printer.source()
        guards = [_guard(n, x) for n, x in zip(recorded.parameters, args)]
        self.guarded = all(guards)
        parameters = ", ".join(recorded.parameters)
        given = f"({parameters}{',' if len(recorded.parameters) == 1 else ''})"
        lines = [f"def run({parameters}):"]
        if self.guarded and guards:
            lines += [f"    if not ({' and '.join(guards)}):", f"        return _other{given}"]
        if printer.scalar:
            body = f"try:\n{_indented(body)}\nexcept (ArithmeticError, ValueError):\n"
            body += f"    return _careful({given})"
        self.names: dict[str, Any] = {"_other": other, "_careful": self.careful}
        self.names |= {"_ndarray": np.ndarray, "_sum": np.add.reduce}
        self.names |= printer.ones
        self.names |= {"_max": np.maximum.reduce, "_min": np.minimum.reduce, "np": np}
        self.names |= {f"_dtype_{x.dtype.name}": x.dtype for x in args if hasattr(x, "dtype")}
        exec(head, self.names)
        exec(compile("\n".join([*lines, _indented(body)]), "<program>", "exec"), self.names)
        self.run = self.names["run"]

    def careful(self, args: tuple[Any, ...]) -> Any:
        """The same on NumPy's floats, which have inf and nan where Python's raise."""
        names: dict[str, Any] = {}
        exec(self.source, names)
        names["math"] = _NumPyMath
        run = names.get("loss_and_grad") or names["value"]
        found = run(*(unflatten(a, [_wide(x) for _, x in flatten(a)]) for a in args))
        return _narrowed(found)


class _NumPyMath:
    """What a scalar program takes from ``math``, by NumPy."""

    inf, nan, pow = math.inf, math.nan, np.power
    exp, log, log1p, expm1, sqrt, tanh = np.exp, np.log, np.log1p, np.expm1, np.sqrt, np.tanh


def _wide(x: Any) -> Any:
    return np.float64(x) if x.__class__ is float else x


def _narrowed(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {k: _narrowed(v) for k, v in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)([_narrowed(v) for v in tree])
    return float(tree) if isinstance(tree, float) else tree


def _indented(text: str) -> str:
    return "    " + text.replace("\n", "\n    ")


def _guard(name: str, x: Any) -> str:
    """What holds for the arguments that a program is for; "" where it takes more than a line."""
    if x.__class__ is float:
        return f"{name}.__class__ is float"
    if x.__class__ is np.ndarray and x.dtype.isnative:
        kind = f"{name}.dtype is _dtype_{x.dtype.name}"
        return f"{name}.__class__ is _ndarray and {name}.shape == {x.shape} and {kind}"
    return ""


class Program:
    """A function and its gradient, compiled from ``source``: what `program` returns."""

    source: str

    def __new__(cls, *args: Any) -> Program:
        """Make a class of its own, whose call is the compiled function itself.

        That saves a small scalar program a third of its time.
        """
        own = type("Program", (cls,), {}) if cls is Program else cls
        made: Program = object.__new__(own)
        return made

    def __init__(self, f: Any, examples: Any, wrt: Any, clean: bool, retrace: bool) -> None:
        if not callable(f):
            raise TypeError(f"program: got {type(f).__name__}, wanted a function")
        numbers = () if wrt is None else (wrt,) if isinstance(wrt, int) else tuple(wrt)
        n = len(examples)
        if wrong := [i for i in numbers if not (isinstance(i, int) and 0 <= i < n)]:
            raise ValueError(f"program: wrt={wrong[0]!r}: got {n} example arguments, from 0")
        if len(set(numbers)) < len(numbers):
            raise ValueError(f"program: wrt={wrt}: an argument stands there twice")
        self._f, self._wrt, self._clean, self._retrace = f, wrt, clean, retrace
        self._numbers, self._lock = numbers, Lock()
        self._kept: OrderedDict[Any, _Compiled] = OrderedDict()
        self._parameters = _parameters(f, n)
        args = self._arguments(examples)
        self._key = self._signature(args)
        first = self._find(args)
        self.source = first.source
        if first.guarded:
            type(self).__call__ = staticmethod(first.run)  # type: ignore[method-assign]

    def _arguments(self, args: Sequence[Any]) -> list[Any]:
        found = []
        for i, arg in enumerate(args):
            make = _variable if i in self._numbers else _plain
            found.append(unflatten(arg, [make(x) for _, x in flatten(arg)]))
        return found

    def _signature(self, args: Sequence[Any]) -> Any:
        return tuple(
            [
                (f"{n}{path}", _kind(x))
                for n, a in zip(self._parameters, args)
                for path, x in flatten(a)
            ]
        )

    def _find(self, args: Sequence[Any]) -> _Compiled:
        """The program for such arguments, made now if it is not kept."""
        key = self._signature(args)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        if self._kept and not self._retrace:
            raise ValueError(
                f"program: got {_shapes(key)}, wanted {_shapes(self._key)}: call program() for "
                "these, or with retrace=True"
            )
        made = _Compiled(self._f, args, self._wrt, self._clean, self._other)
        with self._lock:
            self._kept[key] = made
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return made

    def _other(self, *args: Any) -> Any:
        """A call whose arguments are not plainly those of the example."""
        given = self._arguments(args)
        if len(given) != len(self._parameters):
            raise TypeError(f"program: got {len(given)} arguments, wanted {len(self._parameters)}")
        return self._find(given).run(*given)

    def __call__(self, *args: Any) -> Any:
        """Run the program."""
        return self._other(*args)

    def __str__(self) -> str:
        return self.source.rstrip("\n")

    def __repr__(self) -> str:
        return f"<program of {getattr(self._f, '__name__', 'f')}: {_shapes(self._key)}>"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the source into a file; an existing one is replaced at once."""
        replace_file(path, self.source.encode())


def _shapes(key: Any) -> str:
    told = []
    for name, kind in key:
        if kind is float:
            told.append(f"{name}: float")
        elif isinstance(kind[0], tuple):
            told.append(f"{name}: {kind[1]}{list(kind[0])}")
        else:
            told.append(f"{name}={kind[1]!r}")
    return ", ".join(told)


class _Module(ModuleType):
    """So that ``tinygrad_ce.program`` is the function also where the module was imported first."""

    __call__ = staticmethod(program)


sys.modules[__name__].__class__ = _Module
