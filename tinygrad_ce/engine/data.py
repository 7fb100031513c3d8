"""What a `Value` can hold, and what may flow back to it: each is brought to that, or refused."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NoReturn

import numpy as np

from .operation import Primitive
from .text import _

SCALARS = {float, bool}  # what an operation's scalar function takes


class StaleGraphError(RuntimeError):
    """The data of a `Value` was changed after the graph above it was computed from it."""


def lost(what: str, instead: str) -> NoReturn:
    """Refuse what would drop a gradient in silence, and say what keeps it."""
    raise TypeError(_("{what} would lose the gradient. {instead}", what=what, instead=instead))


def real(x: Any, where: Any) -> Any:
    """A constant as the graph holds it: a float, a bool, or an array of real numbers."""
    if x.__class__ in SCALARS or (x.__class__ is np.ndarray and x.dtype.kind in "fiub"):
        return x
    if isinstance(x, np.floating):
        return float(x) if isinstance(x, float) else np.asarray(x)
    if isinstance(x, bool | np.bool_):
        return bool(x)
    try:
        if isinstance(x, float | int | np.integer) and not isinstance(x, np.timedelta64):
            return float(x)
        kept = hasattr(x, "__array_function__") and not isinstance(x, np.matrix)  # its * is @
        data = x if kept else np.asarray(x)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{getattr(where, 'name', where)}: {error}") from error
    if data.dtype.kind not in "fiub":
        where = getattr(where, "name", where)  # an operation
        text = "{where}: got {got} data, wanted real numbers (float, int or bool)"
        raise TypeError(_(text, where=where, got=data.dtype))
    return data


def as_data(x: Any, where: str = "Value()") -> Any:
    """Data as a `Value` holds it: a float, or an array of floats."""
    if x.__class__ is float or (x.__class__ is np.ndarray and x.dtype.kind == "f"):
        return x
    data = real(x, where)
    if data.__class__ in SCALARS:
        return float(data)
    return data.astype(np.float64) if data.dtype.kind in "iub" else data


def example(x: Any) -> Any:
    """Data that a check may look at: of an array that records, those of the example; else ``x``."""
    return getattr(x, "example", x)


def as_upstream(gradient: Any, data: Any, name: str) -> Any:
    """The gradient that a backward pass starts from, of the data's shape: 1, or the one given."""
    shape = getattr(data, "shape", ())
    if gradient is None:
        if shape and math.prod(shape) != 1:
            text = (
                "backward() starts from a scalar, this is {name} of shape {shape}: reduce it "
                "(.sum(), .mean()), or pass gradient= of that shape"
            )
            raise ValueError(_(text, name=name, shape=shape))
        return 1.0 if data.__class__ is float else np.array(1.0, data.dtype).reshape(shape)
    if hasattr(gradient, "apply_primitive"):
        text = "backward(gradient=): got a Value, wanted its data; grad() has more orders"
        raise TypeError(_(text))
    seed = +as_data(gradient, "backward(gradient=)")  # + copies
    if np.shape(seed) != shape:
        text = "backward(): got gradient of shape {got}, wanted {wanted}"
        raise ValueError(_(text, got=np.shape(seed), wanted=shape))
    seed = np.asarray(seed) if isinstance(seed, np.generic) else seed  # + of a 0-d array
    if seed.__class__ is float:
        return seed if data.__class__ is float else np.asarray(seed, data.dtype)
    return float(seed) if data.__class__ is float else seed.astype(data.dtype, copy=False)


@lru_cache(maxsize=1024)
def _stretched(got: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """The axes of ``got`` that broadcasting ``shape`` added or stretched; none if others differ."""
    lead = len(got) - len(shape)
    if lead < 0 or any(n not in (1, m) for n, m in zip(shape, got[lead:])):
        return ()
    return (*range(lead), *(lead + i for i, n in enumerate(shape) if n != got[lead + i]))


@lru_cache(maxsize=64)
def _ones(n: int, dtype: Any) -> Any:
    return np.ones(n, dtype)


def _add_up(d: Any, axes: tuple[int, ...]) -> Any:
    """Σ over axes; in a small matrix as a product with ones, in a third of the time."""
    if d.ndim != 2 or len(axes) != 1 or d.size >= 2**12:
        return np.add.reduce(d, axes)
    ones = _ones(d.shape[axes[0]], d.dtype)
    return ones.dot(d) if axes == (0,) else d.dot(ones)


def unbroadcast(d: Any, data: Any, op: Primitive) -> Any:
    """Bring what a VJP returned to the shape and dtype of its argument: sum where it was spread."""
    if d.__class__ is float is data.__class__:
        return d
    if d.__class__ is np.ndarray is data.__class__ and d.dtype == data.dtype:
        if d.shape == data.shape:
            return d
        if axes := _stretched(d.shape, data.shape):
            return np.asarray(_add_up(d, axes)).reshape(data.shape)
    if d is None or isinstance(d, tuple):
        text = "a VJP of {op} returned {got}, wanted the gradient of one argument"
        raise TypeError(_(text, op=op.name, got=d))
    d = d if hasattr(d, "shape") else np.asarray(as_data(d, f"a VJP of {op.name}"))
    shape, got = getattr(data, "shape", ()), d.shape
    if got != shape:
        if (lead := len(got) - len(shape)) > 0:
            d = d.sum(axis=tuple(range(lead)))
        if 1 in shape and d.shape != shape and lead >= 0:
            axes = tuple([i for i, n in enumerate(shape) if n == 1])
            d = d.sum(axis=axes, keepdims=True)
        try:
            d = d if d.shape == shape else np.broadcast_to(d, shape)
        except ValueError:
            text = "a VJP of {op} returned shape {got}, wanted {wanted}"
            raise ValueError(_(text, op=op.name, got=got, wanted=shape)) from None
    if hasattr(d, "apply_primitive") or d.dtype.kind == "c":
        return d  # a graph of its own, an array that records, or the complex step's numbers
    if data.__class__ is float:
        return float(d)
    fits = d.dtype == data.dtype and not isinstance(d, np.generic)  # a 0-d array's scalar
    return d if fits else np.asarray(d).astype(data.dtype)
