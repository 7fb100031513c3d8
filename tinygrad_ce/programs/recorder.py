"""Arrays that write down what NumPy is asked to do, whether a gradient flows there or not.

A `RecordedArray` speaks NumPy's protocols, so it can sit inside a `Value` like any array: then
every rule of the chain rule, being plain NumPy, is recorded too. It carries an example, the result
for the example arguments, for its shape and dtype alone; what would turn the example into a plain
number is refused, because a program would be wrong for other data.
"""

from __future__ import annotations

import operator
import sys
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from ..engine.operation import Primitive
from ..engine.ops import SCATTER
from ..engine.rules import scatter
from ..engine.value import Value, record
from .lines import Line, astype, constant, evaluate, kind_of, live, replace, walk, within

# On Python floats: how each operation reads without NumPy. What is not here makes an array.
SCALAR: dict[Any, str] = {
    np.add: "{} + {}",
    np.subtract: "{} - {}",
    np.multiply: "{} * {}",
    np.divide: "{} / {}",
    np.negative: "-{}",
    np.absolute: "abs({})",
    np.power: "math.pow({}, {})",
    np.square: "{0} * {0}",
    np.exp: "math.exp({})",
    np.log: "math.log({})",
    np.log1p: "math.log1p({})",
    np.expm1: "math.expm1({})",
    np.sqrt: "math.sqrt({})",
    np.tanh: "math.tanh({})",
    np.less: "{} < {}",
    np.less_equal: "{} <= {}",
    np.greater: "{} > {}",
    np.greater_equal: "{} >= {}",
    np.equal: "{} == {}",
    np.not_equal: "{} != {}",
    np.isnan: "{0} != {0}",
    np.isinf: "math.isinf({})",
    np.isfinite: "math.isfinite({})",
    np.bitwise_and: "{} & {}",
    np.bitwise_or: "{} | {}",
    np.bitwise_xor: "{} ^ {}",
    np.invert: "not {}",
    np.where: "{1} if {0} else {2}",
    np.maximum: "{0} if {0} >= {1} or {0} != {0} else {1}",  # nan wins, as in NumPy
    np.minimum: "{0} if {0} <= {1} or {0} != {0} else {1}",
    np.clip: "min(max({0}, {1}), {2})",
    np.sign: "1.0 if {0} > 0.0 else -1.0 if {0} < 0.0 else {0}",
}
BITWISE = {
    np.logical_and: np.bitwise_and, np.logical_or: np.bitwise_or,
    np.logical_xor: np.bitwise_xor, np.logical_not: np.invert,
}  # fmt: skip
COUNTS = {np.add, np.subtract, np.negative}  # of truths: numbers in Python, in NumPy not
SAME = {np.sum, np.mean, np.max, np.min, np.reshape, np.squeeze, np.transpose, np.broadcast_to}
STATIC = {np.shape, np.ndim, np.size, np.result_type, np.zeros_like, np.ones_like, np.empty_like}
WRITES = {np.copyto, np.put, np.put_along_axis, np.place, np.putmask, np.fill_diagonal}
PICKS = {np.where, np.maximum, np.minimum, np.clip}  # these give an argument back
SHAPED_BY_DATA = {
    np.nonzero, np.flatnonzero, np.argwhere, np.compress, np.extract, np.unique, np.bincount,
    np.trim_zeros, np.setdiff1d, np.union1d, np.intersect1d,
}  # fmt: skip
EYE = {"M": None, "k": 0, "dtype": float, "order": "C", "device": None}


def _example(x: RecordedArray) -> Any:
    return x.example


def _line(x: RecordedArray) -> Line:
    return x.line


class Tape:
    """What the arrays of one recording share: the lines so far, and what was refused."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.refusal: TypeError | None = None
        self.arguments: dict[Line, Any] = {}  # and their examples

    def write(self, function: Any, args: Any, options: Any, example: Any) -> RecordedArray:
        """Write one line down."""
        args, options = (replace(x, _line, RecordedArray) for x in (args, options))
        shape = getattr(example, "shape", ())
        line = Line(function, args, options, shape, kind_of(example))
        self.lines.append(line)
        return RecordedArray(line, example, self)

    def argument(self, example: Any, name: str) -> RecordedArray:
        """An argument of the program."""
        found = self.write(None, (), {}, example)
        found.name, self.arguments[found.line] = name, example
        return found

    def constant(self, x: Any) -> RecordedArray:
        """A constant that records what is done with it."""
        return self.write(constant, (x,), {}, x)

    def array(self, line: Line) -> RecordedArray:
        """What records further operations on a line of this tape."""
        found = evaluate(live(self.lines, line), self.arguments)
        return RecordedArray(line, found[line], self)

    def call(self, function: Any, args: Any, options: Any) -> Any:
        """Compute on the examples, and record."""
        if (function in COUNTS or function in BITWISE) and all(map(_is_truth, args)):
            if function in COUNTS:
                args = tuple([self.call(np.where, (a, 1.0, 0.0), {}) for a in args])
            function = BITWISE.get(function, function)
        if function is np.logaddexp and not options and all(map(_is_number, args)):
            return self.logaddexp(*args)
        if function in SCALAR and not options:
            if all(map(_is_number, args)):
                return self.on_numbers(function, args)
        elif function in SAME and getattr(args[0], "example", None).__class__ is float:
            found = function(np.float64(args[0].example), *args[1:], **options)
            if np.shape(found) == ():
                return args[0]
        given, how = (replace(x, _example, RecordedArray) for x in (args, options))
        example = function(*given, **how)
        made = self.write(function, args, options, example)
        if isinstance(example, tuple | list):
            parts = enumerate(example)
            return [self.write(operator.getitem, (made, i), {}, part) for i, part in parts]
        if not isinstance(example, np.ndarray | np.generic | float | bool | int):
            kind = type(example).__name__
            raise TypeError(f"{_text(function)} gives a {kind}: no program has that")
        return made

    def on_numbers(self, function: Any, args: Any) -> Any:
        """A call on Python numbers, which gives a Python number."""
        if function is np.clip and next(walk(args[1:], RecordedArray), None) is not None:
            low = self.call(np.maximum, args[:2], {})
            return self.call(np.minimum, (low, args[2]), {})  # nan wins
        found = function(*replace(args, _example, RecordedArray))
        kind = bool if found.dtype.kind == "b" else float
        whole = function not in PICKS or kind is bool  # 3 of np.maximum(x, 3) would be an int
        args = tuple([a if a.__class__ is RecordedArray else _number(a, whole) for a in args])
        return self.write(function, args, {}, kind(found))

    def logaddexp(self, x: Any, y: Any) -> Any:
        """log(eˣ + eʸ), of numbers in lines that are not too long."""
        apart = abs(x - y)
        if not any(p.__class__ is not RecordedArray and np.isfinite(p) for p in (x, y)):  # ∞ − ∞
            apart = self.call(np.where, (self.call(np.equal, (x, y), {}), 0.0, apart), {})
        return self.call(np.maximum, (x, y), {}) + np.log1p(np.exp(-apart))


def _is_number(x: Any) -> bool:
    """A Python number, or a constant 0-d array of float64, which the engine makes of one."""
    if x.__class__ is RecordedArray:
        return x.line.is_number
    if x.__class__ is float:
        return True
    kind = getattr(x, "dtype", None)
    return isinstance(x, int) or (kind == np.float64 and x.ndim == 0)


def _is_truth(x: Any) -> bool:
    """Python's True or False, as comparing two floats gives; NumPy's are for arrays."""
    return getattr(x, "example", x).__class__ is bool


def _number(x: Any, whole: bool) -> Any:
    return x if whole and isinstance(x, int) else float(x)


def _text(function: Any) -> str:
    return f"np.{getattr(function, '__name__', function)}"


def where_in_users_code() -> str:
    """``file.py, line 12``: the innermost line that is neither ours nor NumPy's."""
    ours = (str(Path(__file__).parents[1]), str(Path(np.__file__).parent))
    frame: Any = sys._getframe(1)
    while frame and frame.f_code.co_filename.startswith(ours):
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename).name}, line {frame.f_lineno}" if frame else "?"


class RecordedArray(NDArrayOperatorsMixin):
    """One result of a NumPy function, and how it came about."""

    __slots__ = ("example", "line", "tape")
    __hash__ = object.__hash__

    def __init__(self, line: Line, example: Any, tape: Tape) -> None:
        self.line, self.example, self.tape = line, example, tape

    @property
    def name(self) -> str | None:
        """What its line is called."""
        return self.line.name

    @name.setter
    def name(self, name: str | None) -> None:
        self.line.name = name

    def refuse(self, what: str, instead: str) -> NoReturn:
        """Say which line would make a program that is wrong for other data."""
        self.tape.refusal = TypeError(
            f"{where_in_users_code()}: {what} depends on the example's data, so the program would "
            f"be wrong for other data. {instead}"
        )
        raise self.tape.refusal

    # ------------------------------------------------------------------ NumPy's protocols
    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        if any(x.__class__ is Value for x in inputs):
            return NotImplemented
        if ufunc is np.positive:
            return self
        if "out" in options or method == "at":
            self.refuse(
                f"np.{ufunc.__name__} into an array", "Use a = a + x, which makes a new one."
            )
        function = ufunc if method == "__call__" else getattr(ufunc, method)
        return self.tape.call(function, inputs, options)

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        if Value in types:
            return NotImplemented
        if function in WRITES or options.get("out") is not None:
            self.refuse(f"{_text(function)} into an array", "Compute a new array instead.")
        if function in STATIC:
            return function(*replace(args, _example, RecordedArray), **options)
        if function in SHAPED_BY_DATA or (function is np.where and len(args) == 1):
            self.refuse(f"The shape of {_text(function)}'s result", "Use np.where(mask, x, 0.0).")
        if function is np.eye:  # with like=, NumPy spells every option out
            options = {name: x for name, x in options.items() if x != EYE[name]}
        if function is np.einsum and isinstance(args[0], str):
            args = (_with_result(args[0]), *args[1:])
        return self.tape.call(function, args, options)

    def _record(self, op: Primitive, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Of an operation of the table: scatter writes into an array, so it is recorded whole."""
        if any(a.__class__ is Value for a in args):
            return record(op, args, options)
        if op is SCATTER:
            return self._scatter(options["index"], options["shape"], *args)
        return op.fn(*args, **options)

    def _scatter(self, index: Any, shape: tuple[int, ...], g: Any) -> Any:
        return self.tape.call(scatter, (g, index, shape), {})

    def __getitem__(self, index: Any) -> Any:
        parts = index if index.__class__ is tuple else (index,)
        if any(map(_is_mask, parts)):
            self.refuse("The shape of x[mask] or x[:n]", "Use np.where(mask, x, 0.0).")
        return self.tape.call(operator.getitem, (self, index), {})

    def __setitem__(self, index: Any, value: Any) -> NoReturn:
        self.refuse("Writing into an array", "Use np.where, which makes a new one.")

    # ------------------------------------------------------------------ what would drop the record
    def __bool__(self) -> bool:
        self.refuse("A branch (if, while, and, or, assert)", "Use np.where(condition, x, y).")

    def __invert__(self) -> Any:
        if _is_truth(self):
            raise TypeError(
                f"{where_in_users_code()}: ~ of Python's True is -2, which is true as well. "
                "Use np.logical_not(x > y)."
            )
        return np.invert(self)

    def __format__(self, spec: str) -> str:
        if spec:
            self.refuse(f"A text with x, as '{{x:{spec}}}',", "Print what the program returns.")
        return repr(self)

    def equals(self) -> NoReturn:
        """Refuse ``==`` of the Value that holds it: False for any number, of a plain array not."""
        self.refuse("x == y, which compares objects where x is a Value,", "Use np.equal(x, y).")

    def __float__(self) -> float:
        self.refuse("float(x), or math.exp(x),", "Use x itself, or np.exp(x).")

    def __int__(self) -> int:
        self.refuse("int(x)", "Use x itself.")

    def item(self, *_: Any) -> NoReturn:
        """Refuse."""
        self.refuse("x.item()", "Use x itself.")

    def __index__(self) -> int:
        self.refuse("An index", "Use an array as index, or make it a whole number.")

    def __array__(self, *_: Any, **__: Any) -> NoReturn:
        self.refuse(
            "An array made from x (as np.array(x) and table[x] do)",
            "Use x itself; for np.eye(k)[y], y[:, None] == np.arange(k).",
        )

    def tolist(self) -> NoReturn:
        """Refuse."""
        self.refuse("x.tolist()", "Use x itself.")

    def within(self, low: int, high: int, besides: int | None = None) -> Any:
        """Itself, once a program has checked its entries: from low to high - 1, or ``besides``."""
        args = (self, low, high) if besides is None else (self, low, high, int(besides))
        return self.tape.write(within, args, {}, self.example) if self.size else self

    # ------------------------------------------------------------------ as an ndarray
    # fmt: off
    @property
    def shape(self) -> tuple[int, ...]: return self.line.shape
    @property
    def ndim(self) -> int: return len(self.shape)
    @property
    def size(self) -> int: return int(np.size(self.example))
    @property
    def dtype(self) -> Any: return self.line.dtype
    @property
    def T(self) -> Any: return np.transpose(self)
    def __len__(self) -> int: return len(self.example)
    def __iter__(self) -> Any: return (self[i] for i in range(len(self)))
    def __repr__(self) -> str: return f"RecordedArray({self.name or ''}{self.shape}, {self.dtype})"
    def transpose(self, *axes: Any) -> Any: return np.transpose(self, _unpack(axes) or None)
    def reshape(self, *shape: Any) -> Any: return np.reshape(self, _unpack(shape))
    def flatten(self) -> Any: return np.reshape(self, -1)
    ravel = flatten
    def copy(self) -> Any: return self
    # fmt: on

    def astype(self, dtype: Any, copy: bool = True) -> Any:
        """As ndarray's; the same dtype is no new array."""
        return self if self.dtype == dtype else self.tape.call(astype, (self, np.dtype(dtype)), {})

    def __getattr__(self, name: str) -> Any:
        """A method of ndarray, by the NumPy function of its name (``x.sum(axis=0)``)."""
        function = getattr(np, name, None)
        if name.startswith("_") or not callable(function) or not hasattr(np.ndarray, name):
            raise AttributeError(f"a traced array has no {name!r}")
        return lambda *args, **options: function(self, *args, **options)


def _with_result(subscripts: str) -> str:
    """Those of an einsum with the result that NumPy takes where none is given."""
    text = subscripts.replace(" ", "")
    once = sorted(c for c in set(text) - {",", "."} if text.count(c) == 1)
    return text if "->" in text else f"{text}->{'...' * ('...' in text)}{''.join(once)}"


def _is_mask(part: Any) -> bool:
    """Whether how many entries it picks depends on data."""
    if part.__class__ is slice:
        return next(walk(part, RecordedArray), None) is not None
    return part.__class__ is RecordedArray and part.dtype.kind == "b"


def _unpack(args: tuple[Any, ...]) -> Any:
    return args[0] if len(args) == 1 and not isinstance(args[0], int) else args
