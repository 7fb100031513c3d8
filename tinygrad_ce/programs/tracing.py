"""Arrays that record what NumPy does with them, whether a gradient flows there or not.

A `Traced` speaks NumPy's protocols, so it can sit inside a `Value` like any array: then every rule
of the chain rule, being plain NumPy, is recorded too. It carries a sample, the result for the
example arguments, for its shape and dtype alone; what would turn the sample into a plain number is
refused, because a program would be wrong for other data.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from threading import local
from typing import Any, NoReturn

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from ..engine.operation import Primitive
from ..engine.ops import SCATTER
from ..engine.rules import scatter
from ..engine.value import Value, record

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
PLAIN = (float, bool)
EYE = {"M": None, "k": 0, "dtype": float, "order": "C", "device": None}
CONSTANT = "constant"  # the call of a node that is no call
WITHIN = "within"  # of one that is its argument, an index, once its range is checked
_numbers = count()
_last = local()  # the refusal of each thread


def astype(x: Any, dtype: Any) -> Any:
    """``x.astype(dtype)``, as a function."""
    return np.asarray(x).astype(dtype)


def leaves(tree: Any) -> Iterator[Traced]:
    """Every `Traced` among arguments, however they are nested."""
    if tree.__class__ is Traced:
        yield tree
    elif tree.__class__ in (tuple, list):
        for part in tree:
            yield from leaves(part)
    elif tree.__class__ is slice:
        yield from leaves((tree.start, tree.stop, tree.step))
    elif tree.__class__ is dict:
        yield from leaves(tuple(tree.values()))


def replace(tree: Any, f: Any) -> Any:
    """The same arguments with ``f`` of each `Traced` in its place."""
    kind = tree.__class__
    if kind is Traced:
        return f(tree)
    if kind is tuple or kind is list:
        return kind([replace(part, f) for part in tree])
    if kind is slice:
        return slice(replace(tree.start, f), replace(tree.stop, f), replace(tree.step, f))
    if kind is dict:
        return {name: replace(part, f) for name, part in tree.items()}
    return tree


def _sample(x: Traced) -> Any:
    return x.sample


def call(function: Any, args: tuple[Any, ...], options: dict[str, Any] | None = None) -> Any:
    """Compute on the samples, and record."""
    options = options or {}
    if (function in COUNTS or function in BITWISE) and all(map(_is_truth, args)):
        if function in COUNTS:
            args = tuple([call(np.where, (a, 1.0, 0.0)) for a in args])
        function = BITWISE.get(function, function)
    if function is np.logaddexp and not options and all(map(_is_number, args)):
        return _logaddexp(*args)
    if function in SCALAR and not options:
        if all(_is_number(a) for a in args):
            if function is np.clip and next(leaves(args[1:]), None) is not None:
                return call(np.minimum, (call(np.maximum, args[:2]), args[2]))  # nan wins, again
            found = function(*[a.sample if a.__class__ is Traced else a for a in args])
            kind = bool if found.dtype.kind == "b" else float
            whole = function not in PICKS or kind is bool  # 3 of np.maximum(x, 3) would be an int
            args = tuple([a if a.__class__ is Traced else _number(a, whole) for a in args])
            return Traced(function, args, options, kind(found))
    elif function in SAME and args[0].__class__ is Traced and args[0].sample.__class__ is float:
        found = function(np.float64(args[0].sample), *args[1:], **options)
        if np.shape(found) == ():
            return args[0]
    sample = function(*replace(args, _sample), **replace(options, _sample))
    node = Traced(function, args, options, sample)
    if sample.__class__ in (tuple, list) or isinstance(sample, tuple):
        return [Traced(operator.getitem, (node, i), {}, s) for i, s in enumerate(sample)]
    if not isinstance(sample, np.ndarray | np.generic | float | bool | int):
        raise TypeError(f"{_text(function)} gives a {type(sample).__name__}: no program has that")
    return node


def _is_number(x: Any) -> bool:
    """A Python number, or a constant 0-d array of float64, which the engine makes of one."""
    if x.__class__ is Traced:
        return x.sample.__class__ in PLAIN
    if x.__class__ is float:
        return True
    kind = getattr(x, "dtype", None)
    return isinstance(x, int) or (kind == np.float64 and x.ndim == 0)


def _logaddexp(x: Any, y: Any) -> Any:
    """log(eˣ + eʸ), of numbers in lines that are not too long."""
    apart = abs(x - y)
    if not any(p.__class__ is not Traced and np.isfinite(p) for p in (x, y)):  # ∞ − ∞ is nan
        apart = call(np.where, (call(np.equal, (x, y)), 0.0, apart))
    return call(np.maximum, (x, y)) + np.log1p(np.exp(-apart))


def _is_truth(x: Any) -> bool:
    """Python's True or False, as comparing two floats gives; NumPy's are for arrays."""
    return getattr(x, "sample", x).__class__ is bool


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


def _refuse(what: str, instead: str) -> NoReturn:
    _last.refusal = TypeError(
        f"{where_in_users_code()}: {what} depends on the example's data, so the program would be "
        f"wrong for other data. {instead}"
    )
    raise _last.refusal


def _in_a_check() -> bool:
    """Whether the loss functions of this package ask: only to refuse what is out of range."""
    asks = sys._getframe(2).f_globals.get("__name__")
    return asks in [f"tinygrad_ce.losses.{room}" for room in ("losses", "targets", "activations")]


class Traced(NDArrayOperatorsMixin):
    """One result of a NumPy function, and how it came about."""

    __slots__ = ("args", "call", "name", "number", "of", "options", "sample")
    __hash__ = object.__hash__

    def __init__(self, call: Any, args: tuple[Any, ...], options: dict[str, Any], sample: Any):
        self.call, self.args, self.options, self.sample = call, args, options, sample
        self.name: str | None = None
        self.of: Any = None  # the node that this is the gradient of
        self.number: float = next(_numbers)

    # ------------------------------------------------------------------ NumPy's protocols
    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        if any(x.__class__ is Value for x in inputs):
            return NotImplemented
        if ufunc is np.positive:
            return self
        if "out" in options or method == "at":
            _refuse(f"np.{ufunc.__name__} into an array", "Use a = a + x, which makes a new one.")
        return call(ufunc if method == "__call__" else getattr(ufunc, method), inputs, options)

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        if Value in types:
            return NotImplemented
        if function in WRITES or options.get("out") is not None:
            _refuse(f"{_text(function)} into an array", "Compute a new array instead.")
        if function in STATIC:
            return function(*replace(args, _sample), **options)
        if function in SHAPED_BY_DATA or (function is np.where and len(args) == 1):
            _refuse(f"The shape of {_text(function)}'s result", "Use np.where(mask, x, 0.0).")
        if function is np.eye:  # with like=, NumPy spells every option out
            options = {name: x for name, x in options.items() if x != EYE[name]}
        if function is np.einsum and isinstance(args[0], str):
            args = (_with_result(args[0]), *args[1:])
        return call(function, args, options)

    def _record(self, op: Primitive, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Of an operation of the table: scatter writes into an array, so it is recorded whole."""
        if any(a.__class__ is Value for a in args):
            return record(op, args, options)
        if op is SCATTER:
            return self._scatter(options["index"], options["shape"], *args)
        return op.fn(*args, **options)

    def _scatter(self, index: Any, shape: tuple[int, ...], g: Any) -> Any:
        return call(scatter, (g, index, shape))

    def __getitem__(self, index: Any) -> Any:
        parts = index if index.__class__ is tuple else (index,)
        if any(_is_mask(part) for part in parts) and not _in_a_check():
            _refuse("The shape of x[mask] or x[:n]", "Use np.where(mask, x, 0.0).")
        return call(operator.getitem, (self, index))

    def __setitem__(self, index: Any, value: Any) -> NoReturn:
        _refuse("Writing into an array", "Use np.where, which makes a new one.")

    # ------------------------------------------------------------------ what would drop the record
    def __bool__(self) -> bool:
        if not _in_a_check():
            _refuse("A branch (if, while, and, or, assert)", "Use np.where(condition, x, y).")
        return bool(self.sample)

    def __invert__(self) -> Any:
        if _is_truth(self):
            raise TypeError(
                f"{where_in_users_code()}: ~ of Python's True is -2, which is true as well. "
                "Use np.logical_not(x > y)."
            )
        return np.invert(self)

    def __format__(self, spec: str) -> str:
        if spec:
            _refuse(f"A text with x, as '{{x:{spec}}}',", "Print what the program returns.")
        return repr(self)

    def equals(self) -> NoReturn:
        """Refuse ``==`` of the Value that holds it: False for any number, of a plain array not."""
        _refuse("x == y, which compares objects where x is a Value,", "Use np.equal(x, y).")

    def __float__(self) -> float:
        _refuse("float(x), or math.exp(x),", "Use x itself, or np.exp(x).")

    def __int__(self) -> int:
        if not _in_a_check():
            _refuse("int(x)", "Use x itself.")
        return int(self.sample)

    def item(self, *index: Any) -> Any:
        """One entry as a number: only for a check of this package."""
        if not _in_a_check():
            _refuse("x.item()", "Use x itself.")
        return self.sample.item(*replace(index, _sample))

    def __index__(self) -> int:
        _refuse("An index", "Use an array as index, or make it a whole number.")

    def __array__(self, *_: Any, **__: Any) -> NoReturn:
        _refuse(
            "An array made from x (as np.array(x) and table[x] do)",
            "Use x itself; for np.eye(k)[y], y[:, None] == np.arange(k).",
        )

    def tolist(self) -> NoReturn:
        """Refuse."""
        _refuse("x.tolist()", "Use x itself.")

    def within(self, low: int, high: int, besides: int | None = None) -> Any:
        """Itself, once a program has checked its entries: from low to high - 1, or ``besides``."""
        args = (self, low, high) if besides is None else (self, low, high, int(besides))
        return Traced(WITHIN, args, {}, self.sample) if self.size else self

    # ------------------------------------------------------------------ as an ndarray
    # fmt: off
    @property
    def shape(self) -> tuple[int, ...]: return getattr(self.sample, "shape", ())
    @property
    def ndim(self) -> int: return len(self.shape)
    @property
    def size(self) -> int: return int(np.size(self.sample))
    @property
    def dtype(self) -> Any: return np.dtype(getattr(self.sample, "dtype", type(self.sample)))
    @property
    def T(self) -> Any: return np.transpose(self)
    def __len__(self) -> int: return len(self.sample)
    def __iter__(self) -> Any: return (self[i] for i in range(len(self)))
    def __repr__(self) -> str: return f"Traced({self.name or ''}{self.shape}, {self.dtype})"
    def transpose(self, *axes: Any) -> Any: return np.transpose(self, _unpack(axes) or None)
    def reshape(self, *shape: Any) -> Any: return np.reshape(self, _unpack(shape))
    def flatten(self) -> Any: return np.reshape(self, -1)
    ravel = flatten
    def copy(self) -> Any: return self
    # fmt: on

    def astype(self, dtype: Any, copy: bool = True) -> Any:
        """As ndarray's; the same dtype is no new array."""
        return self if self.dtype == dtype else call(astype, (self, np.dtype(dtype)))

    def __getattr__(self, name: str) -> Any:
        """A method of ndarray, by the NumPy function of its name (``x.sum(axis=0)``)."""
        function = getattr(np, name, None)
        if name.startswith("_") or not callable(function) or not hasattr(np.ndarray, name):
            raise AttributeError(f"a traced array has no {name!r}")
        return lambda *args, **options: function(self, *args, **options)


def heeded(f: Any, args: list[Any]) -> Any:
    """What f returns; a refusal that it caught is raised: what it did instead is for no data."""
    try:
        _last.refusal = None
        out = f(*args)
        if _last.refusal:
            raise _last.refusal
        return out
    finally:
        _last.refusal = None


def _with_result(subscripts: str) -> str:
    """Those of an einsum with the result that NumPy takes where none is given."""
    text = subscripts.replace(" ", "")
    once = sorted(c for c in set(text) - {",", "."} if text.count(c) == 1)
    return text if "->" in text else f"{text}->{'...' * ('...' in text)}{''.join(once)}"


def _is_mask(part: Any) -> bool:
    """Whether how many entries it picks depends on data."""
    if part.__class__ is slice:
        return next(leaves(part), None) is not None
    return part.__class__ is Traced and part.dtype.kind == "b"


def _unpack(args: tuple[Any, ...]) -> Any:
    return args[0] if len(args) == 1 and not isinstance(args[0], int) else args


def parents(node: Traced) -> list[Traced]:
    """What a node is computed from: `leaves`, in a third of the time."""
    found = [x for x in node.args if x.__class__ is Traced]
    if len(found) < len(node.args):
        found = list(leaves(node.args))
    return found + list(leaves(node.options)) if node.options else found


def order(outputs: Any) -> list[Traced]:
    """What the outputs need, in order."""
    found = set(leaves(outputs))
    stack = list(found)
    while stack:
        node = stack.pop()
        for parent in parents(node):
            if parent not in found:
                found.add(parent)
                stack.append(parent)
    return sorted(found, key=lambda node: node.number)


def option(node: Traced, name: str, place: int, default: Any = None) -> Any:
    """What a call was given, by name or position."""
    return node.options.get(name, node.args[place] if len(node.args) > place else default)


def elementwise(f: Any) -> bool:
    """Whether a function works entry by entry, and broadcasts its arguments itself."""
    return (f.__class__ is np.ufunc and f.signature is None) or f is np.where or f is np.clip
