"""`Value`: a number or an array that remembers how it was computed."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any, ClassVar, NoReturn, final

import numpy as np

from .arraylike import ArrayLike
from .data import DATA, SCALARS, StaleGraphError, as_data, bind, lost, real, told
from .numpy_functions import COMPOSED, PLAIN, REDUCTIONS, no_rule
from .operation import TABLE, Primitive
from .ops import ABS, ADD, DIVIDE, GETITEM, IDENTITY, MATMUL, MULTIPLY, NEGATIVE, POWER, SUBTRACT

numbers = count()  # one counter orders creation and assignment, in all threads
_new = object.__new__
_ABSENT: Any = object()


def detach(x: Any) -> Any:
    """Return the data of a `Value`, and anything else as it is: a constant, for the chain rule."""
    return x._data if x.__class__ is Value else x


def make_node(
    data: Any, op: Primitive, x: Any, y: Any = None, rest: Any = (), options: Any = None
) -> Value:
    """Record a result that is already computed and checked, with the arguments it is from."""
    node = _new(Value)
    node._data, node.grad, node.op, node.name = data, None, op, None
    node._x, node._y, node.number = x, y, next(numbers)
    node._more = (rest, options or {}) if rest or options else None
    return node


def _apply(op: Primitive, x: Any, y: Any = _ABSENT) -> Value:
    """Record an operation of one or two arguments and no options: `record`, in half its time."""
    a = x._data if x.__class__ is Value else x if type(x) is float else (x := real(x, op.name))
    try:
        if y is _ABSENT:
            out = op.scalar(a) if a.__class__ is float and op.scalar else op.fn(a)
            return make_node(out if out.__class__ in DATA else as_data(out), op, x)
        b = y._data if y.__class__ is Value else y if type(y) is float else (y := real(y, op.name))
        out = op.scalar(a, b) if a.__class__ is float is b.__class__ and op.scalar else op.fn(a, b)
        return make_node(out if out.__class__ in DATA else as_data(out), op, x, y)
    except (ArithmeticError, ValueError, TypeError):  # record() has inf, nan, or a better message
        return record(op, (x,) if y is _ABSENT else (x, y), {})


def record(op: Primitive, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Value:
    """Compute an operation and record it as a node; an error gets its name and the shapes."""
    if len(args) != op.arity or (kwargs and not kwargs.keys() <= op.options.keys()):
        args, kwargs = bind(op, args, kwargs)
    data = [a._data if a.__class__ is Value else a for a in args]
    if op.scalar is not None and SCALARS.issuperset(map(type, data)):
        try:
            y = args[1] if len(args) > 1 else None
            return make_node(op.scalar(*data), op, args[0], y, args[2:])
        except (ArithmeticError, ValueError, TypeError):  # NumPy has an inf, a nan, a reason
            data = [np.float64(d) if d.__class__ is float else d for d in data]
    elif len(args) > 1 or args[0].__class__ is not Value:
        args = tuple([a if a.__class__ is Value else real(a, op.name) for a in args])
        data = [a._data if a.__class__ is Value else a for a in args]
    for i in op.constants:
        if args[i].__class__ is Value:
            lost(f"{op.name}: argument {i} has no derivative; a Value there", "Use v.data there.")
    try:
        out = op.fn(*data, **kwargs)
    except (ValueError, IndexError, TypeError) as error:
        kind = next(k for k in (ValueError, IndexError, TypeError) if isinstance(error, k))
        raise kind(f"{op.name} of {', '.join(map(told, args))}: {error}") from error
    if out.__class__ is not np.ndarray or out.dtype.kind != "f":
        out = as_data(out, op.name)
    return make_node(out, op, args[0], args[1] if len(args) > 1 else None, args[2:], kwargs)


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
    grad : None until `backward` reaches the node, then of the data's shape and dtype.
    op, parents, options : the `Primitive`, its arguments (`Value`s and constants) and its keywords.

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

    __slots__ = ("_data", "_more", "_x", "_y", "grad", "name", "number", "op")
    backward: ClassVar[Callable[..., None]]  # defined in backward.py
    relu: ClassVar[Callable[..., Value]]  # defined in softmax.py, as is sigmoid
    sigmoid: ClassVar[Callable[..., Value]]

    def __init_subclass__(cls) -> NoReturn:
        raise TypeError(f"{cls.__name__}: Value has no subclasses; write a function of Values")

    def __init__(self, data: Any, name: str | None = None) -> None:
        if data.__class__ is Value:
            lost("Value(value)", "Use the value itself; for a new leaf, Value(value.data).")
        self._data = as_data(data)
        self.grad: Any = None
        self.op: Primitive | None = None
        self.name, self.number = name, next(numbers)
        self._x: Any = None
        self._y: Any = None
        self._more: Any = None

    @property
    def data(self) -> Any:
        """The number or array itself."""
        return self._data

    @data.setter
    def data(self, new: Any) -> None:
        if self.op is not None:
            raise StaleGraphError(
                f"{self.name or self.op.name}: it is the result of {self.op.name}, so its data "
                "cannot be assigned; assign to a leaf, or make a new one with Value(...)"
            )
        new = as_data(detach(new), "data")
        if np.shape(new) != self.shape:
            raise ValueError(
                f"data: got shape {np.shape(new)}, wanted {self.shape}, the Value's own"
            )
        fits = new.__class__ is float or new.dtype == self.dtype
        self._data, self.number = (new if fits else new.astype(self.dtype)), next(numbers)

    @property
    def parents(self) -> tuple[Any, ...]:
        """The arguments, in order: `Value`s and constants; empty for a leaf."""
        if self.op is None:
            return ()
        pair = (self._x,) if self._y is None else (self._x, self._y)
        return pair + self._more[0] if self._more else pair

    @property
    def options(self) -> dict[str, Any]:
        """The keyword options of the operation (``axis``)."""
        return dict(self._more[1]) if self.op and self._more else {}

    @property
    def passes(self) -> int:
        """How many backward passes ``.grad`` adds up: more than one only on a leaf."""
        return 0 if self.grad is None else 1 if self.op else self._more or 0

    # Python's operators. Addition and multiplication of two float Values are most of a scalar
    # graph, so they are written out: that makes the whole of it 1.2 × faster.
    def __add__(self, other: Any) -> Value:
        a, b = self._data, (other._data if other.__class__ is Value else other)
        if a.__class__ is float is b.__class__:
            node = _new(Value)
            node._data, node.number = a + b, next(numbers)
            node.op, node._x, node._y = ADD, self, other
            node.grad = node.name = node._more = None
            return node
        return _apply(ADD, self, other)

    def __mul__(self, other: Any) -> Value:
        a, b = self._data, (other._data if other.__class__ is Value else other)
        if a.__class__ is float is b.__class__:
            node = _new(Value)
            node._data, node.number = a * b, next(numbers)
            node.op, node._x, node._y = MULTIPLY, self, other
            node.grad = node.name = node._more = None
            return node
        return _apply(MULTIPLY, self, other)

    def __getitem__(self, index: Any) -> Value:
        parts = index if isinstance(index, tuple) else (index,)
        if any(part.__class__ is Value for part in parts):
            raise TypeError("a Value cannot be an index; use its data, as in v[i.data]")
        return record(GETITEM, (self,), {"index": index})

    # fmt: off
    def __radd__(self, other: Any) -> Value: return _apply(ADD, other, self)
    def __rmul__(self, other: Any) -> Value: return _apply(MULTIPLY, other, self)
    def __sub__(self, other: Any) -> Value: return _apply(SUBTRACT, self, other)
    def __rsub__(self, other: Any) -> Value: return _apply(SUBTRACT, other, self)
    def __truediv__(self, other: Any) -> Value: return _apply(DIVIDE, self, other)
    def __rtruediv__(self, other: Any) -> Value: return _apply(DIVIDE, other, self)
    def __pow__(self, other: Any) -> Value: return _apply(POWER, self, other)
    def __rpow__(self, other: Any) -> Value: return _apply(POWER, other, self)
    def __matmul__(self, other: Any) -> Value: return _apply(MATMUL, self, other)
    def __rmatmul__(self, other: Any) -> Value: return _apply(MATMUL, other, self)
    def __neg__(self) -> Value: return _apply(NEGATIVE, self)
    def __pos__(self) -> Value: return _apply(IDENTITY, self)
    def __abs__(self) -> Value: return _apply(ABS, self)
    def __lt__(self, other: Any) -> Any: return self._data < detach(other)
    def __le__(self, other: Any) -> Any: return self._data <= detach(other)
    def __gt__(self, other: Any) -> Any: return self._data > detach(other)
    def __ge__(self, other: Any) -> Any: return self._data >= detach(other)
    def __eq__(self, other: object) -> bool: return self is other or self._equal(other)
    __hash__ = object.__hash__

    # fmt: on

    # NumPy's protocols: https://numpy.org/neps/nep-0013-ufunc-overrides.html and nep-0018
    _record = staticmethod(record)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        op = TABLE.get(ufunc) if method == "__call__" else None
        if op and not kwargs and len(inputs) <= 2 and not op.constants:
            return _apply(op, *inputs)
        if kwargs.get("out") is not None:
            lost(f"out= (or in-place {ufunc.__name__})", "Use a = a + v, which makes a new Value.")
        if op:
            return record(op, inputs, kwargs)
        if method == "reduce" and ufunc in REDUCTIONS:
            return self.__array_function__(REDUCTIONS[ufunc], (), inputs, {"axis": 0} | kwargs)
        if method != "__call__":
            no_rule(ufunc, f".{method}")
        return self.__array_function__(ufunc, (), inputs, kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function in PLAIN:
            return function(*map(detach, args), **kwargs)
        if function in COMPOSED:
            return COMPOSED[function](*args, **kwargs)
        if function in TABLE:
            return record(TABLE[function], args, kwargs)
        no_rule(function)
