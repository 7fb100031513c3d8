"""`Value`: a number or an array that remembers how it was computed."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from copy import deepcopy
from importlib import import_module
from itertools import count, zip_longest
from math import inf, isfinite
from typing import Any, NoReturn, final

import numpy as np
from numpy import ndarray  # with np. in front it takes longer than what is asked of it

from . import backward as chain_rule
from . import ops
from .arraylike import ArrayLike, as_called, takes_values
from .calls import arrays_and_options, spelled
from .data import (
    LEAF,
    NONE,
    SCALARS,
    SMALL,
    Call,
    StaleGraphError,
    array_of_a_kind,
    as_data,
    constant,
    lost,
    snapshot,
)
from .operation import SPELLINGS, TABLE, Primitive
from .origin import Origin, called, here, library_call, line, written
from .text import _

ERRORS = (np.linalg.LinAlgError, ValueError, IndexError, TypeError)  # which get the learner's line
WRITABLE = (list, ndarray)  # others may write into it
TINY = sys.float_info.min  # below it floats have fewer digits
numbers = count()  # one counter orders creation and assignment, in all threads
_new = object.__new__


@final
class Value(ArrayLike):
    """A scalar or array, and the node of a graph: it knows the operation and arguments it is from.

    Parameters
    ----------
    data : float, array, or nested list of real numbers
        A Python number becomes a float and stays one. An array is used as it is, not copied
        (``v.data -= step`` writes into it); float32 stays float32, integers and booleans become
        float64. Any array that speaks NumPy's protocols (Dask, CuPy) is kept untouched.
    name : str, optional
        What error messages, reports and pictures call it.

    Attributes
    ----------
    data : float or array. On a leaf it can be assigned; a graph computed from the old data then
        refuses to run backward.
    grad : of the data's shape and dtype, once `backward` has reached the node; before that 0.0 of
        a number, None of an array (so ``grad + 1`` is Python's TypeError of NoneType).
    op, parents, options : the `Primitive`, its arguments (`Value`s and constants) and its keywords.
    passes : how many backward passes ``.grad`` adds up; more than one only on a leaf.

    Raises
    ------
    TypeError
        For complex, text or object data, with the dtype.

    Examples
    --------
    >>> x = Value([1.0, 2.0])
    >>> loss = (x * x).sum()
    >>> loss.backward()
    >>> x.grad
    array([2., 4.])
    """

    _array: Any
    grad: Any
    name: str | None
    number: int  # the order of creation
    op: Any
    call: Call | None  # None of a sum or product of floats: that has its ...
    x: Any  # ... arguments
    y: Any
    dx: float | None  # and the local derivatives by them
    dy: float | None
    origin: Origin | None  # the learner's instruction that made it; see `apply`
    _passes: int  # not there before the first
    __slots__ = (*__annotations__,)

    def __init_subclass__(cls) -> NoReturn:
        text = "{name}: Value has no subclasses; write a function of Values"
        raise TypeError(_(text, name=cls.__name__))

    def __new__(cls, data: Any, name: str | None = None) -> Value:
        """Make a leaf."""
        if data.__class__ is Value:
            lost("Value(value)", "Use the value itself; for a new leaf, Value(value.data).")
        leaf = make_node(as_data(data), None, LEAF)
        leaf.name = name
        return leaf

    @property
    def data(self) -> Any:
        """The number or array itself; of a result a view that cannot be written to."""
        if self.op is None or not isinstance(self._array, ndarray):
            return self._array
        view = self._array.view()  # its rule will read what is there now
        view.setflags(write=False)
        return view

    @data.setter
    def data(self, new: Any) -> None:
        old = self._array
        if self.op is not None:
            text = (
                "{name}: it is the result of {op}, so its data cannot be assigned; assign to a "
                "leaf, or make a new one with Value(...)"
            )
            raise StaleGraphError(_(text, name=self.name or self.op.name, op=self.op.name))
        if new is not old and not new.__class__ is float is old.__class__:
            new = as_data(detach(new), "data")
            if np.shape(new) != self.shape:
                text = "data: got shape {got}, wanted {wanted}, the Value's own"
                raise ValueError(_(text, got=np.shape(new), wanted=self.shape))
            new = new if new.__class__ is float else new.astype(self.dtype, copy=False)
        self._array, self.number = new, next(numbers)  # new is old: `p.data -= step` of an array

    @property
    def parents(self) -> tuple[Any, ...]:
        """The arguments, in order: `Value`s and constants; empty for a leaf."""
        if self.call is not None:
            return tuple(self.call[0])
        return (self.x,) if self.y is None else (self.x, self.y)

    @property
    def options(self) -> dict[str, Any]:
        """The keyword options of the operation (``axis``)."""
        options = {} if self.call is None else self.call[2]
        return {name: x for name, x in options.items() if name != "saved"}

    @property
    def passes(self) -> int:
        """How many backward passes ``.grad`` adds up: more than one only on a leaf."""
        return 0 if self.grad is None else getattr(self, "_passes", 0)

    def place(self) -> tuple[str, list[str]]:
        """The learner's file and line that made it, and what the arguments are called there."""
        return _place(self.op, self.parents, self.origin)

    backward = chain_rule.backward

    def relu(self) -> Value:
        """The positive part; its derivative at 0 is 0, as in PyTorch. NaN stays NaN."""
        return apply(ops.RELU, (self,))

    def sigmoid(self) -> Value:
        """1 / (1 + exp(-v)), without overflow and accurate in both tails."""
        return apply(ops.SIGMOID, (self,))

    # Python's operators. Addition and multiplication of floats are most of a scalar graph, so they
    # are written out.
    def __add__(self, other: Any) -> Value:
        a = self._array
        if other.__class__ is Value:
            if a.__class__ is float is (b := other._array).__class__:
                return make_node(a + b, ops.ADD, None, self, other, 1.0, 1.0)
        elif a.__class__ is float is other.__class__:
            return make_node(a + other, ops.ADD, None, self, other, 1.0)
        return apply(ops.ADD, (self, other))

    def __mul__(self, other: Any) -> Value:
        a = self._array
        if other.__class__ is Value:
            if a.__class__ is float is (b := other._array).__class__:
                return make_node(a * b, ops.MULTIPLY, None, self, other, b, a)
        elif a.__class__ is float is other.__class__:
            return make_node(a * other, ops.MULTIPLY, None, self, other, other)
        return apply(ops.MULTIPLY, (self, other))

    # fmt: off
    def __radd__(self, other: Any) -> Value: return apply(ops.ADD, (other, self))
    def __rmul__(self, other: Any) -> Value: return apply(ops.MULTIPLY, (other, self))
    def __sub__(self, other: Any) -> Value: return apply(ops.SUBTRACT, (self, other))
    def __rsub__(self, other: Any) -> Value: return apply(ops.SUBTRACT, (other, self))
    def __truediv__(self, other: Any) -> Value: return apply(ops.DIVIDE, (self, other))
    def __rtruediv__(self, other: Any) -> Value: return apply(ops.DIVIDE, (other, self))
    def __pow__(self, other: Any) -> Value: return apply(ops.POWER, (self, other))
    def __rpow__(self, other: Any) -> Value: return apply(ops.POWER, (other, self))
    def __matmul__(self, other: Any) -> Value: return apply(ops.MATMUL, (self, other))
    def __rmatmul__(self, other: Any) -> Value: return apply(ops.MATMUL, (other, self))
    def __neg__(self) -> Value: return apply(ops.NEGATIVE, (self,))
    def __pos__(self) -> Value: return apply(ops.IDENTITY, (self,))
    def __abs__(self) -> Value: return apply(ops.ABS, (self,))
    def __lt__(self, other: Any) -> Any: return _truth(self._array < detach(other))
    def __le__(self, other: Any) -> Any: return _truth(self._array <= detach(other))
    def __gt__(self, other: Any) -> Any: return _truth(self._array > detach(other))
    def __ge__(self, other: Any) -> Any: return _truth(self._array >= detach(other))
    def __mod__(self, other: Any) -> Any: return np.remainder(self, other)
    def __rmod__(self, other: Any) -> Any: return np.remainder(other, self)
    def __divmod__(self, other: Any) -> Any: return np.divmod(self, other)
    def __floordiv__(self, other: Any) -> Any: return np.floor_divide(self._array, detach(other))
    def __rfloordiv__(self, other: Any) -> Any: return np.floor_divide(other, self._array)
    # fmt: on

    # Data are compared, as in NumPy; a key of a dict it is by identity, which Python asks first.
    def __eq__(self, other: object) -> Any:
        missing = other is None or isinstance(other, str)
        return False if missing else _truth(self._array == detach(other))

    def __ne__(self, other: object) -> Any:
        missing = other is None or isinstance(other, str)
        return True if missing else _truth(self._array != detach(other))

    __hash__ = object.__hash__

    def __getitem__(self, index: Any) -> Value:
        parts = index if isinstance(index, tuple) else (index,)
        if any(part.__class__ is Value for part in parts):
            raise TypeError(_("a Value cannot be an index; use its data, as in v[i.data]"))
        copies = tuple(
            deepcopy(array_of_a_kind(p, "an index")) if isinstance(p, np.ndarray | list) else p
            for p in parts
        )
        return apply(ops.GETITEM, (self,), {"index": copies if parts is index else copies[0]})

    def __repr__(self) -> str:
        grad = f", grad={self.grad!r}" if self.passes else ""
        name = f", name={self.name!r}" if self.name else ""
        return f"Value({self._array!r}{grad}{name})"

    # NumPy's protocols: https://numpy.org/neps/nep-0013-ufunc-overrides.html and nep-0018
    @staticmethod
    def apply_primitive(op: Primitive, args: Sequence[Any], options: dict[str, Any]) -> Value:
        """Compute an operation that is called on a `Value`, and make its node."""
        return apply(op, args, options)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        op = TABLE.get(ufunc)
        if method == "__call__" and not options and op and op.simple == len(inputs):
            return apply(op, inputs)  # in nine tenths of the time
        if method == "__call__" and not options:
            return self.__array_function__(ufunc, (), inputs, options)
        if options.get("out") is not None:
            what = _("out= (or in-place {name})", name=ufunc.__name__)
            lost(what, "Leave out= away; for a += v, a = a + v makes a new Value.")
        if method == "outer" and not options:
            x, y = inputs
            return ufunc(np.reshape(x, np.shape(x) + (1,) * np.ndim(y)), y)
        function = ufunc if method == "__call__" else getattr(ufunc, method)
        return self.__array_function__(function, (), inputs, options)

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        op = TABLE.get(function)
        if function in SPELLINGS and not (op and op.takes(args, options)):
            return spelled(function, args, options)
        op = op or record_of(function)
        if op is None:
            _no_rule(function)
        if op.plain:
            return op.fn(*_plain(args), **_plain(options))
        return apply(op, args, options)


def detach(x: Any) -> Any:
    """Return the data of a `Value`, and anything else as it is: a constant, for the chain rule."""
    return x._array if x.__class__ is Value else x


def _truth(x: Any) -> Any:
    """NumPy's truth values: of Python's, ~ and + are those of whole numbers."""
    return np.bool_(x) if x.__class__ is bool else x


def _plain(x: Any) -> Any:
    """Arguments with the data of the `Value`s in them."""
    if isinstance(x, dict):
        return {name: _plain(part) for name, part in x.items()}
    return type(x)(map(_plain, x)) if type(x) in (list, tuple) else detach(x)


def make_node(
    data: Any, op: Any, call: Any, x: Any = None, y: Any = None, dx: Any = None, dy: Any = None
) -> Value:
    """Make a node of a result that is already computed and checked."""
    node = _new(Value)
    node._array, node.op, node.call = data, op, call
    node.x, node.y = x, y
    node.dx, node.dy = dx, dy
    node.number = next(numbers)
    node.grad = 0.0 if data.__class__ is float else None
    node.name = None
    node.origin = None
    return node


def apply(op: Primitive, args: Sequence[Any], options: dict[str, Any] = NONE) -> Value:
    """Compute an operation and make its node; an error gets its name and the shapes."""
    if options or op.simple != len(args):
        args, options = _settled(op, args, options)
    elif op.scalar is not None and (node := _of_floats(op, args)) is not None:
        return node
    parents: list[Any] = []
    data: list[Any] = []
    watched: tuple[tuple[Any, bytes], ...] = ()
    for x in args:
        if x.__class__ is Value:
            a = x._array
            held = x.op is None and isinstance(a, ndarray)
        else:
            x = a = constant(x, op, args)
            held = isinstance(a, ndarray) and a.nbytes > SMALL
        if held:  # by others, who may write into it
            watched += ((x, snapshot(a)),)
        parents.append(x)
        data.append(a)
    numbers = a.__class__ is not ndarray and op.scalar and SCALARS.issuperset(map(type, data))
    try:
        if numbers:
            out = _of_numbers(op, data)
        else:
            out = op.fn(*data, **options) if options else op.fn(*data)
    except ERRORS as error:
        _refuse(op, args, error)
    if out.__class__ is not ndarray or out.dtype.kind != "f":
        out = as_data(_wide(op, args, data, options, out), op.name)
    node = make_node(out, op, (parents, data, options, watched))
    if not numbers or not isfinite(out) or any(getattr(x, "origin", None) for x in args):
        node.origin = here(3)  # other numbers made of numbers alone have none
    return node


def _of_floats(op: Primitive, args: Sequence[Any]) -> Value | None:
    """The node of an operation on Python floats, with its slopes; None where Python has no float.

    A slope of 0, inf or nan is left to the rule, which knows what it makes of an upstream inf; one
    so small that it has lost digits, too.
    """
    x, y = args[0], args[-1]
    a = x._array if x.__class__ is Value else x
    b = y._array if y.__class__ is Value else y
    if a.__class__ is ndarray or b.__class__ is ndarray or len(args) > 2:
        return None
    dx = dy = None
    try:
        if a.__class__ is int:  # 2 * x; of sum(values), which starts at 0
            a = x = float(a)
        if b.__class__ is int:
            b = y = float(b)
        if not a.__class__ is float is b.__class__:
            return None
        if len(args) == 1:
            out = op.scalar(a)  # type: ignore[misc]
            dx, y = float(op.vjps[0](1.0, out, a)), None
        else:
            out = op.scalar(a, b)  # type: ignore[misc]
            dx = float(op.vjps[0](1.0, out, a, b)) if x.__class__ is Value else None
            dy = float(op.vjps[1](1.0, out, a, b)) if y.__class__ is Value else None
    except (ArithmeticError, ValueError, TypeError):
        return None  # inf, nan, or a better message
    if out.__class__ is not float:
        return None
    if (dx is None or TINY <= abs(dx) < inf) and (dy is None or TINY <= abs(dy) < inf):
        node = make_node(out, op, None, x, y, dx, dy)
    else:
        n = len(args)
        node = make_node(out, op, ((x, y)[:n], (a, b)[:n], NONE, ()))
    if getattr(x, "origin", None) or getattr(y, "origin", None):
        node.origin = here(4)  # numbers made of numbers alone have none
    return node


def _wide(op: Primitive, args: Any, data: Any, options: dict[str, Any], out: Any) -> Any:
    """The result in float64, of a number of float64 beside NumPy's numbers of less precision."""
    if out.__class__ not in (np.float16, np.float32):
        return out
    numbers = (x.__class__ is Value and x._array.__class__ is float for x in args)
    if any(numbers) and not any(map(np.ndim, data)):
        return op.fn(*map(np.float64, data), **options)
    return np.asarray(out)


def _settled(op: Primitive, args: Any, options: dict[str, Any]) -> Any:
    """Arguments and options as the operation's rules take them, those that they do not refused."""
    if len(args) != op.arity or not options.keys() <= op.options.keys():
        args, options = arrays_and_options(op, args, options)
    if not op.keeps and Value not in map(type, args):  # np.tile(x, v)
        which = next(
            (n for n, x in options.items() if x.__class__ is Value), _("one of its options")
        )
        lost(_("{op}: {which} is a Value, which", op=op.name, which=which), "Use its data, v.data.")
    for i in op.constants:
        if args[i].__class__ is Value:
            what = _("{op}: argument {i} has no derivative; a Value there", op=op.name, i=i)
            lost(what, "Use v.data there.")
    for name, x in options.items():
        if isinstance(x, WRITABLE):
            options = {**options, name: deepcopy(x)}
    if op.keeps:
        wanted = [k for k, a in enumerate(args) if a.__class__ is Value]
        options = {**options, "saved": {"wanted": wanted}}
    return args, options


def _of_numbers(op: Primitive, data: list[Any]) -> Any:
    """The result on Python numbers, as Python has it; else as NumPy does, with inf and nan."""
    try:
        return op.scalar(*data)  # type: ignore[misc]
    except (ArithmeticError, ValueError, TypeError):
        return op.fn(*[np.float64(d) if d.__class__ is float else d for d in data])


def _refuse(op: Primitive, args: Sequence[Any], error: Exception) -> NoReturn:
    """An error with the learner's line, the operation, and its arguments' names and shapes."""
    where, names = _place(op, args, here(3))
    given = ", ".join(f"{name} {np.shape(a)}".strip() for a, name in zip(args, names))
    text = "{where}{op} of {given}: {error}"
    kind = next(k for k in ERRORS if isinstance(error, k))
    better = kind(_(text, where=where, op=op.name, given=given, error=error))
    raise better.with_traceback(error.__traceback__) from error.__cause__  # one error, not two


def _place(op: Primitive, args: Any, origin: Origin | None) -> tuple[str, list[str]]:
    """The learner's file and line, and what the arguments are called there; "" if not known."""
    where, words = "", tuple[str, ...]()
    if origin:
        file, number, _text = line(origin)
        where = f"{os.path.basename(file)}, line {number}: "
        words = written(origin).names(called(op), len(args))
    return where, [getattr(a, "name", None) or word or "" for a, word in zip_longest(args, words)]


def record_of(function: Any) -> Primitive | None:
    """The record of a function; SciPy's ufuncs have theirs once one of them is asked for."""
    if function not in TABLE and "scipy.special" in sys.modules:
        import_module("..losses.special", __package__)
    return TABLE.get(function)


def _no_rule(function: Any) -> NoReturn:
    """Say how to give a NumPy function, or a ufunc of SciPy, the rule it lacks."""
    owner = getattr(function, "__self__", None)
    ufunc = owner if isinstance(owner, np.ufunc) else function  # of np.add.accumulate
    name, module = ufunc.__name__, getattr(ufunc, "__module__", None)
    if re.match("copyto|fill_diagonal|place$|put", name) or function.__name__ == "at":
        instead = "Use np.where(mask, new, old), or collect in a list, then np.stack."
        called = ".".join(dict.fromkeys((name, function.__name__)))
        lost(
            *as_called(
                _("np.{name}, which writes into an array,", name=called), instead, direct=False
            )
        )
    if takes_values(name) and getattr(np, name) is not ufunc:  # of an array's own A.clip(0, v)
        what = _("{called}, which takes plain numbers,", called=library_call() or name)
        lost(what, _("Use {way}. Its data is v.data.", way=f"np.{name}"))
    for home in () if module else ("numpy", "scipy.special"):  # none before NumPy 2.1
        module = home if getattr(sys.modules.get(home), name, None) is ufunc else module
    called = ".".join(filter(None, dict.fromkeys((module, name, function.__name__))))
    text = (
        "{name} has no rule. Use its data (v.data) where no gradient is needed, or give it one by "
        "@primitive, the derivative for the dots: primitive(lambda g, out, x: g * ...)({name})"
    )
    name = library_call() or called.replace("numpy.", "np.", 1)
    raise NotImplementedError(_(text, name=name))
