"""What a `Value` can hold, and what may flow back to it: each is brought to that, or refused."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NoReturn

import numpy as np
from numpy import ndarray

from .operation import Primitive
from .text import _, require

SCALARS = {float, bool}  # what an operation's scalar function takes
BOOLS, WHOLE = (bool, np.bool_), (int, np.integer)
_OTHER_MEANING = {  # NumPy's arrays that change what functions mean, and what to use
    "MaskedArray": "m.filled(0.0), or np.where(m.mask, ..., m.data)",
    "matrix": "np.asarray(m)",
}
SMALL = 2**15  # bytes: up to here a constant is copied, and every write to a leaf is seen


# How a result was computed: its arguments, `Value`s and constants, and their data then; what rules
# get by name, options and what the operation has saved; what others may write to, and snapshots.
Call = tuple[Sequence[Any], Sequence[Any], dict[str, Any], tuple[tuple[Any, bytes], ...]]
NONE: dict[str, Any] = {}  # options
LEAF: Call = ((), (), NONE, ())
VARIABLE: Call = ((), (), {}, ())  # of the variable of a transform that is calling f


class StaleGraphError(RuntimeError):
    """The data of a `Value` was changed after the graph above it was computed from it."""


def lost(what: str, instead: str) -> NoReturn:
    """Refuse what would drop a gradient in silence, and say what keeps it."""
    text = "{what} would lose the gradient. {instead}"
    raise TypeError(_(text, what=_(what), instead=_(instead)))


def real(x: Any, where: Any) -> Any:
    """A constant as the graph holds it: a float, a bool, or an array of real numbers."""
    if x.__class__ in SCALARS or (x.__class__ is ndarray and x.dtype.kind in "fiub"):
        return x
    if isinstance(x, float):  # np.float64 is one
        return float(x)
    where = getattr(where, "name", where)  # an operation
    if isinstance(x, BOOLS):
        return bool(x)
    try:
        if isinstance(x, WHOLE) and not isinstance(x, np.timedelta64):
            return float(x)
        data = array_of_a_kind(x, where) if hasattr(x, "__array_function__") else np.asarray(x)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{where}: {error}") from None
    if data.dtype.kind not in "fiub":
        text = "{where}: got {got} data, wanted real numbers (float, int or bool)"
        if hasattr(x, "to_numpy"):
            text += "; of a DataFrame's columns of numbers, df[[...]].to_numpy(float)"
        if hasattr(x, "toarray"):
            text += "; of a sparse matrix, S.toarray()"
        raise TypeError(_(text, where=where, got=data.dtype))
    return data


def array_of_a_kind(x: Any, where: Any) -> Any:
    """An array that is no plain one, as it is, a memmap as a plain one; not what changes NumPy."""
    for kind in type(x).__mro__:
        way = kind.__module__.startswith("numpy") and _OTHER_MEANING.get(kind.__name__)
        if way:
            text = "{where}: got a {kind}, to which NumPy's functions do other things. Use {way}"
            raise TypeError(_(text, where=where, kind=kind.__name__, way=way))
    return x.view(np.ndarray) if isinstance(x, np.memmap) else x


def constant(x: Any, where: Any, beside: Any) -> Any:
    """A constant that nobody else holds, where it is small; see `snapshot` of the others.

    It is copied at any size beside data that record: a program takes it as it is now.
    """
    x = real(x, where)
    if not isinstance(x, ndarray):
        return x
    return x.copy() if x.nbytes <= SMALL or any(map(_records, beside)) else x


def _records(x: Any) -> bool:
    return hasattr(getattr(x, "_array", None), "apply_primitive")


def snapshot(x: Any) -> bytes:
    """What tells later whether an array was written to: a small one whole, else 700 entries.

    They are spread evenly, at random within their part, so a write to a hundredth of the entries
    or more is seen (of writes at random places, all but one in 1,000), a smaller one maybe not.
    """
    if x.nbytes > SMALL:
        places = _places(x.size)
        x = x.take(places, mode="clip") if x.flags.c_contiguous else x.flat[places]
    return bytes(x.tobytes())  # bytes already, which NumPy does not say


@lru_cache(maxsize=1024)
def _places(size: int) -> Any:
    starts = np.linspace(0, size, 700, endpoint=False)
    return (starts + np.random.default_rng(size).random(700) * (size / 700)).astype(np.intp)


def as_data(x: Any, where: str = "Value()") -> Any:
    """Data as a `Value` holds it: a float, or an array of floats."""
    if x.__class__ is float or (x.__class__ is ndarray and x.dtype.kind == "f"):
        return x
    data = real(x, where)
    if data.__class__ in SCALARS:
        return float(data)
    return data if data.dtype.kind == "f" else data.astype(np.float64)


def example(x: Any) -> Any:
    """Data that a check may look at: of an array that records, those of the example; else ``x``."""
    return getattr(x, "example", x)


def as_upstream(gradient: Any, data: Any, name: str) -> Any:
    """The gradient that a backward pass starts from, of the data's shape: 1, or the one given."""
    shape = getattr(data, "shape", ())
    if gradient is None:
        if math.prod(shape) == 1:
            dtype = getattr(data, "dtype", float)  # np.ones takes three times as long
            return 1.0 if data.__class__ is float else np.array(1.0, dtype, ndmin=len(shape))
        text = (
            "a gradient starts from a scalar, this is {name} of shape {shape}: reduce it (.sum(), "
            ".mean()), or give an upstream gradient (gradient= of backward, vjp); see also jacobian"
        )
        raise ValueError(_(text, name=name, shape=shape))
    text = "backward(gradient=): got a Value, wanted its data; grad() has more orders"
    require(not hasattr(gradient, "apply_primitive"), text, TypeError)
    seed = as_data(gradient, "backward(gradient=)")
    text = "backward(): got gradient of shape {got}, wanted {wanted}"
    require(np.shape(seed) == shape, text, got=np.shape(seed), wanted=shape)
    if data.__class__ is float:
        return float(seed)
    return (np.asarray(seed) if seed.__class__ is float else seed).astype(data.dtype)  # a copy


@lru_cache(maxsize=1024)
def _stretched(got: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """The axes of ``got`` that broadcasting ``shape`` added or stretched; none if others differ."""
    lead = len(got) - len(shape)
    if lead < 0 or any(n not in (1, m) for n, m in zip(shape, got[lead:])):
        return ()
    return (*range(lead), *(lead + i for i, n in enumerate(shape) if n != got[lead + i]))


def unbroadcast(d: Any, data: Any, op: Primitive) -> Any:
    """Bring what a VJP returned to the shape and dtype of its argument: sum where it was spread."""
    if d.__class__ is ndarray is data.__class__:
        if d.shape == data.shape and d.dtype is data.dtype:  # as most are
            return d
    elif d.__class__ is float is data.__class__:
        return d
    if d is None or isinstance(d, tuple):
        text = "a VJP of {op} returned {got}, wanted the gradient of one argument"
        raise TypeError(_(text, op=op.name, got=d))
    d = as_data(d, f"a VJP of {op.name}")
    d = np.asarray(d) if d.__class__ is float else d
    shape, got = getattr(data, "shape", ()), d.shape
    if got != shape:
        try:
            if axes := _stretched(got, shape):
                total: Any = np.add.reduce if d.__class__ is ndarray else np.sum
                d = total(d, axis=axes, keepdims=len(got) == len(shape))
            if d.shape != shape:
                d = d.reshape(shape) if axes else np.broadcast_to(d, shape)
        except ValueError:
            text = "a VJP of {op} returned shape {got}, wanted {wanted}"
            raise ValueError(_(text, op=op.name, got=got, wanted=shape)) from None
    dtype = getattr(data, "dtype", None)  # None of a float
    if hasattr(d, "apply_primitive"):  # an array that records; or a graph of its own
        return d if d.dtype == (dtype or float) else d.astype(dtype or float)
    if dtype is None:
        return float(d)
    return d if d.dtype == dtype and not isinstance(d, np.generic) else np.asarray(d).astype(dtype)
