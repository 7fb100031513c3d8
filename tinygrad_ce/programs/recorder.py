"""Arrays that write down what NumPy is asked to do, whether a gradient flows there or not.

A `RecordedArray` speaks NumPy's protocols, so it can sit inside a `Value` like any array: then
every rule of the chain rule, being plain NumPy, is recorded too. It carries an example, the result
for the example arguments, for its shape and dtype alone; what would turn the example into a plain
number is refused, because a program would be wrong for other data.
"""

from __future__ import annotations

import inspect
import keyword
import operator
import re
import sys
from collections import Counter
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any, NoReturn
from unicodedata import normalize

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from ..engine.arraylike import as_called
from ..engine.data import array_of_a_kind, as_data
from ..engine.names import Call, words
from ..engine.operation import TABLE, Primitive
from ..engine.ops import GETITEM, RELU, SCATTER, SIGMOID
from ..engine.origin import Origin, here, is_learners, learners_frame
from ..engine.rules import scatter
from ..engine.text import _
from ..engine.value import Value, apply, record_of
from .lines import Line, astype, constant, entry, fact, replace, result, walk, within

line_of, _example = operator.attrgetter("line"), operator.attrgetter("example")

RESERVED = {*keyword.kwlist, "np", "math", "loss_and_grad", "value"} | {
    "abs", "bool", "float", "len", "max", "min", "slice", "IndexError", "ValueError",
    "I", "O", "l",  # letters that linters take for numbers
}  # fmt: skip
CALLED = (FunctionType, BuiltinFunctionType, type(np.sum), np.ufunc)
HOMES = {"builtins", "math", "numpy", "tinygrad_ce"}  # of functions that are known
# What tells how many entries there are.
ASK = {"shape", "size", "__len__", "__iter__", "__array_function__", "__repr__"}
SHAPE = "The shape of np.{name}'s result"
FIXED_SHAPE = "Use np.where(mask, x, 0.0), or counts that are whole numbers."


def identifier(text: str) -> str:
    """A name that source can have, for what is called so."""
    letters = [c if f"x{c}".isidentifier() else " " for c in normalize("NFKC", text)]
    name = "_".join("".join(letters).split()).strip("_") or "x"
    name = f"x_{name}" if name[0].isdigit() else name
    return f"{name}_" if name in RESERVED else name


def _read_only(x: Any) -> Any:
    """A view that nothing writes into."""
    view = x.view()
    view.flags.writeable = False
    return view


def _fixed(tree: Any, where: str) -> Any:
    """Arguments with arrays as they are now, of whatever class; what masks entries is refused."""
    if isinstance(tree, np.ndarray):
        return _read_only(np.array(array_of_a_kind(tree, where)))
    if tree.__class__ is dict:
        return {name: _fixed(part, where) for name, part in tree.items()}
    if tree.__class__ in (list, tuple):
        return tree.__class__([_fixed(part, where) for part in tree])
    return tree


class Tape:
    """What the arrays of one recording share: the lines so far, and what was refused."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.refusal: TypeError | None = None
        self.arguments: dict[Line, Any] = {}  # and their examples
        self.origins: dict[Line, Origin | None] = {}
        self.constants: list[tuple[Any, str]] = []  # arrays that f did not compute here, and names
        self.caller: CodeType | None = None  # what calls f
        # Code that asks for sizes: at which instructions, and names of what may do anything.
        self.asking: dict[CodeType, tuple[set[int], set[str]]] = {}

    def write(self, function: Any, args: Any, options: Any, example: Any) -> RecordedArray:
        """Write one line down."""
        example = _read_only(example) if example.__class__ is np.ndarray else example
        args, options = (replace(x, line_of, RecordedArray) for x in (args, options))
        made = Line(function, args, options, *result(example))
        self.lines.append(made)
        self.origins[made] = here(3)
        return RecordedArray(made, example, self)

    def name_lines(self) -> None:
        """Call lines and constants after the variables that f has them in."""
        calls = [
            Call(line, origin, (getattr(line.function, "__name__", ""),), line.args)
            for line, origin in self.origins.items()
            if origin
        ]
        assigned, used = words(calls)
        at = {call.result: call.at for call in calls}
        often = Counter(at.values())
        self.constants += [(x, identifier(t)) for x, t in used if x.__class__ is np.ndarray]
        called = {x: text for x, text in used if x.__class__ is Line} | assigned
        for line, name in called.items():
            if line in at and (line.shape or often[at[line]] == 1):  # loops over numbers are long
                line.name = line.name or identifier(name)

    def argument(self, example: Any, name: str) -> RecordedArray:
        """An argument of the program."""
        made = self.write(None, (), {}, example)
        made.name, self.arguments[made.line] = name, example
        return made

    def constant(self, x: Any) -> RecordedArray:
        """A constant that records what is done with it."""
        return self.write(constant, (x,), {}, x)

    def call(self, function: Any, args: Any, options: Any) -> Any:
        """Compute on the examples, and write it down."""
        op, template = TABLE.get(function), None if options else entry(function)
        numbers = template and all(map(_is_number, args))
        if numbers:
            function, args = _on_numbers(function, args)
            if callable(template):
                return template(*args)
        elif options or not PLAIN.issuperset(map(type, args)):
            # A constant is what it is now, and nothing that depends on x is written into it.
            args, options = _fixed((args, options), function.__name__)
            if any([*walk((args, options), kind)] for kind in CALLED):  # by NumPy, on the example
                called = "A function that np.{name} calls"
                self.refuse(called, "Call it on the array.", name=function.__name__)
        examples, how = (replace(x, _example, RecordedArray) for x in (args, options))
        try:
            example = function(*examples, **how)
        except Exception as error:
            if not re.search("read-only|output array|ArrayType", str(error)):
                self.note(sys._getframe())  # f may go on, and do something else
                raise
            example = args[0]
        moved = op and (op.moves or op.takes(args, options)) and not np.ndim(example)
        if moved and args[0].__class__ is RecordedArray and args[0].line.kind is float:
            return args[0]  # what np.sum gives of a number
        if any(example is x for x in (*args, *options.values())):  # NumPy 2.0 writes all the same
            what = _("np.{name} into an array", name=getattr(function, "__name__", "f"))
            self.refuse(*as_called(what, "Use a = a + x or its like.", direct=False))
        if not numbers and _shape_varies(function, args, options, example):
            self.refuse(SHAPE, FIXED_SHAPE, name=function.__name__)
        made = self.write(function, args, options, example.item() if numbers else example)
        if isinstance(example, tuple | list):
            self.note(sys._getframe())  # of unstack, one of each row
            several = enumerate(example)
            parts = [self.write(operator.getitem, (made, i), {}, part) for i, part in several]
            named = getattr(example, "_make", tuple)
            return parts if isinstance(example, list) else named(parts)
        if not isinstance(example, np.ndarray | np.generic | float | int):
            self.refuse("What np.{name} does", "Compute a new array.", name=function.__name__)
        return made

    def asked(self, size: Any) -> Any:
        """A size, or what has one; the learner's code under way is noted if it is what asks."""
        frame: Any = sys._getframe(2)
        apart = False  # whether there is one of each entry
        while frame.f_code.co_name in ASK and not is_learners(frame.f_code.co_filename):
            apart = apart or frame.f_code.co_name == "__iter__"
            frame = frame.f_back
        if apart or is_learners(frame.f_code.co_filename):
            self.note(frame)
        return size

    def note(self, frame: Any) -> None:
        """Note the learner's code under way."""
        while frame and frame.f_code is not self.caller:
            code = frame.f_code
            if is_learners(code.co_filename):
                offsets, others = self.asking.setdefault(code, (set(), set()))
                offsets.add(frame.f_lasti)
                names = {name: frame.f_globals.get(name) for name in code.co_names}
                others |= {n for n, x in (names | frame.f_locals).items() if not _is_known(x)}
            frame = frame.f_back

    def refuse(self, what: str, instead: str, **fields: Any) -> NoReturn:
        """Say which line would make a program that is wrong for other data."""
        text = (
            "{where}: {what} depends on the example's data, so the program would be wrong for "
            "other data. {instead}"
        )
        frame: Any = learners_frame()
        where = f"{Path(frame.f_code.co_filename).name}, line {frame.f_lineno}"
        what = _(what, **fields)
        self.refusal = TypeError(_(text, where=where, what=what, instead=_(instead)))
        raise self.refusal


def _is_known(x: Any) -> bool:
    """Whether something is one of Python's, NumPy's or this package's functions, or a module."""
    home = x.__name__ if isinstance(x, ModuleType) else getattr(x, "__module__", "")
    return x is None or str(home).partition(".")[0] in HOMES or x.__class__ is np.ufunc


def _is_number(x: Any) -> bool:
    return x.line.is_number if x.__class__ is RecordedArray else isinstance(x, float | int)


def _is_truth(x: Any) -> bool:
    """Python's True or False, as comparing two floats gives; NumPy's are for arrays."""
    return getattr(x, "example", x).__class__ is bool


def _on_numbers(function: Any, args: Any) -> tuple[Any, Any]:
    """A call as Python's numbers have it, where truths can be counted."""
    if all(map(_is_truth, args)):
        if fact(function, "symbol") in ("+", "-"):
            args = [np.where(a, 1.0, 0.0) if a.__class__ is RecordedArray else a for a in args]
        if function.__name__.startswith("logical_"):
            function = getattr(np, function.__name__.replace("logical", "bitwise"))
    return function, tuple([_number(a) for a in args])


def _number(x: Any) -> Any:
    """A constant among numbers: a float, which 3 of np.maximum(x, 3) would not be."""
    kept = x.__class__ is RecordedArray or x.__class__ is bool
    return x if kept or (isinstance(x, int) and float(x) != x) else float(x)


def _shape_varies(function: Any, args: Any, options: Any, example: Any) -> bool:
    """Whether data have a say in a result's shape, as in np.repeat's: then 0 or 1 give another.

    A function whose record has a rule tells that they have none, but for those beside the first.
    """
    op, others = TABLE.get(function), [*walk((args[1:], options), RecordedArray)]
    ruled = op is not None and (op.arity != 1 or not others)

    def shape(x: Any) -> Any:
        return [*map(np.shape, x)] if isinstance(x, tuple | list) else np.shape(x)

    def varies(fill: Any) -> bool:
        drawn, how = replace((args, options), lambda x: fill(x.example), RecordedArray)
        with suppress(Exception):  # no inverse, no such entry: that tells nothing
            return bool(shape(function(*drawn, **how)) != shape(example))
        return False

    known = ruled or function.__class__ is np.ufunc
    return not known and (varies(np.zeros_like) or varies(np.ones_like))


@cache
def _parameters(function: Any) -> dict[str, Any]:
    """What a function takes, with its defaults."""
    try:
        taken = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return {}
    defaults = {name: p.default for name, p in taken.items()} | {"keepdims": False}
    return {name: np.dtype(x) if x is float else x for name, x in defaults.items()}


def _normal(function: Any, args: Any, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """A call with all that has to be given in front, and no option that says what holds anyway."""
    defaults = _parameters(function)
    needed = [name for name, x in defaults.items() if x is inspect.Parameter.empty]
    args = (*args, *[options[name] for name in needed[len(args) :] if name in options])
    plain = {name for name, x in options.items() if name in defaults and x is defaults[name]}
    return args, {name: x for name, x in options.items() if name not in {*needed, *plain}}


def _refusal(what: str, instead: str) -> Any:
    """A method of an ndarray that would write into the example."""
    return lambda self, *args, **options: self.tape.refuse(what, instead)


def _conversion(what: str, instead: str, direct: bool = True) -> Any:
    """A method of an ndarray that would turn the example into plain numbers."""
    return lambda self, *args, **options: self.tape.refuse(*as_called(what, instead, direct))


class RecordedArray(NDArrayOperatorsMixin):
    """One result of a NumPy function: the line that computes it, and what it is for the example."""

    __slots__ = ("example", "line", "tape")

    def __init__(self, line: Line, example: Any, tape: Tape) -> None:
        self.line, self.example, self.tape = line, example, tape

    name = property(
        operator.attrgetter("line.name"), lambda self, name: setattr(self.line, "name", name)
    )
    ndim, dtype = (property(operator.attrgetter(f"line.{x}")) for x in ("ndim", "dtype"))
    shape = property(lambda self: self.tape.asked(self.line.shape))
    size = property(lambda self: self.tape.asked(self.line.size))
    T, mT, real = property(np.transpose), property(np.matrix_transpose), property(np.real)

    # ------------------------------------------------------------------ NumPy's protocols
    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        if any(x.__class__ is Value for x in inputs):
            return NotImplemented
        if ufunc is np.positive:
            return self
        if method == "at":  # which writes into a read-only array too
            self.tape.refuse(f"np.{ufunc.__name__}.at", "Use a = a + x or its like.")
        called = getattr(record_of(ufunc), "function", ufunc)  # zeta, which calls a ufunc _zeta
        function = called if method == "__call__" else getattr(ufunc, method)
        args = tuple([np.asarray(x) if isinstance(x, list | tuple) else x for x in inputs])
        return self.tape.call(function, args, options)

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        if Value in types:
            return NotImplemented
        follows = fact(function, "follows")
        if follows == "shapes":
            args, options = replace((args, options), _example, RecordedArray)
            return self.tape.asked(function(*args, **options))
        if follows == "count" or (function is np.where and len(args) == 1):
            self.tape.refuse(SHAPE, FIXED_SHAPE, name=function.__name__)
        return self.tape.call(function, *_normal(function, args, options))

    def apply_primitive(self, op: Primitive, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Of an operation of the table: scatter writes into an array, so it is recorded whole."""
        if any(a.__class__ is Value for a in args):
            return apply(op, args, options)
        if op is SCATTER:
            return self.tape.call(scatter, (*args, options["index"], options["shape"]), {})
        if op is GETITEM:  # perhaps of a constant, which cannot be indexed by what records
            return self.entries(args[0], options["index"])
        return op.fn(*args, **options)

    def __getitem__(self, index: Any) -> Any:
        for part in index if index.__class__ is tuple else (index,):
            mask = part.__class__ is RecordedArray and part.dtype.kind == "b"
            if mask or (part.__class__ is slice and [*walk(part, RecordedArray)]):
                self.tape.refuse("The shape of x[mask] or x[:n]", FIXED_SHAPE)
        return self.entries(self, index)

    def entries(self, x: Any, index: Any) -> Any:
        """The entries at ``index``: what is one alone is reshaped, since Python's has no index."""
        if not getattr(x, "shape", ()):
            return self.tape.call(np.reshape, (x, np.empty(())[index].shape), {})
        return self.tape.call(operator.getitem, (x, index), {})

    def within(self, low: int, high: int, besides: int | None = None) -> Any:
        """Itself, once a program has checked its entries: from low to high - 1, or ``besides``."""
        args = (self, low, high) if besides is None else (self, low, high, int(besides))
        return self.tape.write(within, args, {}, self.example) if self.size else self

    # ------------------------------------------------------------------ what would drop the record
    __setitem__ = _refusal("Writing into an array", "Use np.where, which makes a new one.")
    __bool__ = _conversion(
        "A branch (if, while, and, or, assert, max, min)",
        "Use np.where(condition, x, y). For max(x, y): np.maximum(x, y). For max(xs): "
        "np.max(np.stack(xs)).",
        direct=False,
    )
    __float__ = _conversion(
        "float(x), which r[i] = x and math.log(x) call,",
        "For r[i] = x: collect in a list, then np.stack. For math.log(x): np.log(x).",
    )
    __int__ = _conversion("int(x)", "Use x itself.")
    __array__ = _conversion(
        "An array made from x (as np.array(x), r[i] = x and table[x] do)",
        "Use x itself; np.stack([x, y]) of a list; for np.eye(k)[y], y[:, None] == np.arange(k).",
    )
    item = tolist = _refusal("x.item() or x.tolist()", "Use x itself.")
    __format__ = _refusal("A text with x", "Print what the program returns.")
    __hash__ = _refusal("x as a key, or in a set,", "Use x == 1.0 with np.where.")
    sort = partition = resize = put = fill = setfield = setflags = byteswap = _refusal(
        "A method that writes into an array", "Use np.sort(x) or another that makes a new one."
    )

    def __invert__(self) -> Any:
        if _is_truth(self):
            self.tape.refuse("~ of Python's True, which is -2,", "Use np.logical_not(x > y).")
        return np.invert(self)

    # ------------------------------------------------------------------ as a Value, or an ndarray
    __round__ = Value.round

    def __deepcopy__(self, memo: Any = None) -> Any:
        return self

    __copy__ = __deepcopy__

    def __index__(self) -> int:
        before = self.tape.refusal
        try:
            instead = "Use an array as index, or make it a whole number."
            self.tape.refuse(*as_called("An index", instead))
        finally:
            if self.ndim or self.dtype.kind not in "iu":  # NumPy 2.0 asks it of each exponent ...
                self.tape.refusal = before  # ... and does without

    def __len__(self) -> int:
        return int(self.tape.asked(len(self.example)))

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"RecordedArray({self.name or ''}{self.shape}, {self.dtype})"

    def astype(self, dtype: Any, copy: bool = True) -> Any:
        """As ndarray's; the same dtype is no new array."""
        return self if self.dtype == dtype else self.tape.call(astype, (self, np.dtype(dtype)), {})

    def __getattr__(self, name: str) -> Any:
        """A method of ndarray or Value, by the NumPy function of its name (``x.sum()``)."""
        if name in ("flatten", "ravel"):
            return lambda: np.reshape(self, -1)
        function = OWN.get(name) or getattr(np, name, None)
        of_arrays = callable(getattr(np.ndarray, name, None))
        known = of_arrays or callable(getattr(Value, name, None))
        if name.startswith("_") or not callable(function) or not known:
            raise AttributeError(_("a recorded array has no {name!r}", name=name))

        def method(*args: Any, **options: Any) -> Any:
            several = name in ("reshape", "transpose") and len(args) > 1
            x = self if of_arrays else as_data(self, name)  # as a Value, in float64
            return function(x, *((args,) if several else args), **options)

        return method


OWN = {"relu": RELU.fn, "sigmoid": SIGMOID.fn}  # methods of Values that NumPy has no function for
PLAIN = {RecordedArray, float, int, bool}  # most arguments
