"""What a `Value` shares with an ndarray, and what it refuses to do as one."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .data import lost
from .text import _


def _method(function: Any) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **options: Any) -> Any:
        return function(self, *args, **options)

    method.__name__, method.__doc__ = function.__name__, f"np.{function.__name__}(self, ...)"
    return method


def _refusal(function: Any, what: str, instead: str) -> Callable[..., Any]:
    """A method that refuses; in a `program` the data does, naming the line that calls it."""

    def method(self: Any, *_args: Any, **_options: Any) -> Any:
        if hasattr(self._array, "apply_primitive"):
            function(self._array)
        lost(what, instead)

    return method


class ArrayLike:
    """Attributes and methods of ndarray, each by the NumPy function of its name.

    They stand here one by one: with a ``__getattr__`` every attribute would take twice the time.
    """

    __slots__ = ()
    _array: Any

    # fmt: off
    @property
    def shape(self) -> tuple[int, ...]: return getattr(self._array, "shape", ())
    @property
    def ndim(self) -> int: return len(self.shape)
    @property
    def size(self) -> int: return math.prod(self.shape)
    @property
    def dtype(self) -> Any: return getattr(self._array, "dtype", np.dtype(float))
    @property
    def T(self) -> Any: return np.transpose(self)
    def reshape(self, *shape: Any) -> Any: return np.reshape(self, _unpack(shape))
    def transpose(self, *axes: Any) -> Any: return np.transpose(self, _unpack(axes) or None)
    def flatten(self) -> Any: return self.reshape(-1)
    ravel = flatten
    def clip(self, min: Any = None, max: Any = None) -> Any: return np.clip(self, min, max)
    # fmt: on
    sum, mean, max, min = map(_method, (np.sum, np.mean, np.max, np.min))
    squeeze, swapaxes, dot = map(_method, (np.squeeze, np.swapaxes, np.dot))
    exp, log, tanh, sqrt = map(_method, (np.exp, np.log, np.tanh, np.sqrt))

    # A gradient is never lost in silence: what would drop it says so, and what keeps it.
    __float__ = _refusal(float, "float(v), or math.exp(v),", "Use v.data, or np.exp(v).")
    __int__ = _refusal(int, "int(v)", "Use int(v.data).")
    __complex__ = _refusal(complex, "complex(v)", "Use v.data; Values are real.")
    __index__ = _refusal(operator.index, "v as an index", "Use int(v.data).")
    __array__ = _refusal(
        np.asarray,
        "An array made from a Value",
        "Use v.data for its data, np.stack([v, w]) to join Values.",
    )

    def __bool__(self) -> bool:
        if self.shape:
            what = f"The truth of a Value of shape {self.shape}"
            _refusal(bool, what, "Use v.data.any() or v.data.all().")(self)
        return bool(self._array)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))  # type: ignore[index]

    def __len__(self) -> int:
        if not self.shape:
            text = "{value} is a scalar: it has no length and no entries"
            raise TypeError(_(text, value=repr(self)))
        return int(self.shape[0])

    def __format__(self, spec: str) -> str:
        if not spec or not self.shape:
            return format(self._array if self.shape else float(self._array), spec)
        return np.array2string(self._array, formatter={"float_kind": lambda x: format(x, spec)})


def _unpack(args: tuple[Any, ...]) -> Any:
    """The shape of ``v.reshape(2, 3)`` and of ``v.reshape((2, 3))`` alike."""
    return args[0] if len(args) == 1 and not isinstance(args[0], int) else args
