"""What goes into an operation and comes out of a rule: data, options, gradients.

Each function returns what the graph can hold, or raises an error that says what was got and what
was wanted.
"""

from __future__ import annotations

import math
from functools import lru_cache
from sys import getrefcount
from typing import Any, NoReturn

import numpy as np

from .operation import Primitive
from .rules import total

BOOLS, NUMBERS = (bool, np.bool_), (float, int, np.integer)
DATA = (float, np.ndarray)  # what most data are
SCALARS = {float, bool}  # what an operation's scalar function takes


class StaleGraphError(RuntimeError):
    """The data of a `Value` was changed after the graph above it was computed from it."""


def stale(leaf: Any, user: Any) -> NoReturn:
    """Refuse a backward pass through a leaf that was assigned new data since it was used."""
    raise StaleGraphError(
        f"{leaf.name or 'a leaf'} of shape {leaf.shape} was assigned new data after "
        f"{user.name or user.op.name} had used it: compute the loss again"
    )


def lost(what: str, instead: str) -> NoReturn:
    """Refuse what would drop a gradient in silence, and say what keeps it."""
    raise TypeError(f"{what} would lose the gradient. {instead}")


def real(x: Any, where: str) -> Any:
    """A constant as the graph holds it: a float, a bool, or an array of real numbers."""
    if x.__class__ in SCALARS or (x.__class__ is np.ndarray and x.dtype.kind in "fiub"):
        return x
    if isinstance(x, np.floating):
        return float(x) if isinstance(x, float) else np.asarray(x)
    if isinstance(x, BOOLS):
        return bool(x)
    try:
        if isinstance(x, NUMBERS) and not isinstance(x, np.timedelta64):
            return float(x)
        kept = hasattr(x, "__array_function__") and not isinstance(x, np.matrix)  # its * is @
        data = x if kept else np.asarray(x)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{where}: {error}") from error
    if data.dtype.kind not in "fiub" and not hasattr(data, "complex_step"):
        raise TypeError(f"{where}: got {data.dtype} data, wanted real numbers (float, int or bool)")
    return data


def as_data(x: Any, where: str = "Value()") -> Any:
    """Data as a `Value` holds it: a float or a floating-point array."""
    data = real(x, where)
    if data.__class__ in SCALARS:
        return float(data)
    return data.astype(np.float64) if data.dtype.kind in "iub" else data


def example(x: Any) -> Any:
    """Data that a check may look at: of an array that records, those of the example; else ``x``."""
    return getattr(x, "example", x)


def told(arg: Any) -> str:
    """An argument as an error message names it: its shape, and its name if it has one."""
    name = getattr(arg, "name", None) or ""
    return f"{name} {np.shape(arg)}".strip()


def bind(op: Primitive, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
    """Tell arrays from options given by position, and refuse options that no rule takes."""
    arity = len(args) if op.arity is None else op.arity
    if len(args) > arity:
        by_position = [option for option, positional in op.options.items() if positional]
        kwargs = {**dict(zip(by_position, args[arity:])), **kwargs}
        if len(args) - arity > len(by_position):
            raise TypeError(f"{op.name} takes {arity} arrays; give its options by keyword")
    for option in kwargs:
        if option not in op.options:
            raise TypeError(
                f"{op.name}: {option}= does not work on Values; what does: {[*op.options] or None}"
            )
    if not args or len(args) < arity:
        raise TypeError(f"{op.name} takes {arity or 'some'} arrays by position, got {len(args)}")
    return args[:arity], kwargs


def upstream(gradient: Any, data: Any, name: str) -> Any:
    """Return the gradient that a backward pass starts from, of the data's shape."""
    shape = getattr(data, "shape", ())
    if gradient is None:
        if shape and math.prod(shape) != 1:
            raise ValueError(
                f"backward() starts from a scalar, this is {name} of shape {shape}: reduce it "
                "(.sum(), .mean()), or pass gradient= of that shape"
            )
        return 1.0 if data.__class__ is float else np.array(1.0, data.dtype).reshape(shape)
    if hasattr(gradient, "_record"):
        raise TypeError("backward(gradient=): got a Value, wanted its data; grad() has more orders")
    seed = +as_data(gradient, "backward(gradient=)")  # + copies
    if np.shape(seed) != shape:
        raise ValueError(f"backward(): got gradient of shape {np.shape(seed)}, wanted {shape}")
    return seed


@lru_cache(maxsize=64)
def _few_ones(n: int, dtype: Any) -> Any:
    found = np.ones(n, dtype)
    found.flags.writeable = False  # all share it
    return found


def ones(n: int, dtype: Any) -> Any:
    """np.ones; made once where they are few, and then read-only."""
    return _few_ones(n, dtype) if n < 2**12 else np.ones(n, dtype)


def _add_up(d: Any, axes: tuple[int, ...], keepdims: bool = False) -> Any:
    """Σ over axes; in a matrix with short rows as a product with ones, in a third of the time."""
    matrix = d.__class__ is np.ndarray and d.ndim == 2 and len(axes) == 1 and d.dtype.char in "fd"
    if not matrix or d.shape[1] >= 2**7:
        return total(d, axis=axes, keepdims=keepdims)
    one = ones(d.shape[axes[0]], d.dtype)
    found = one.dot(d) if axes == (0,) else d.dot(one)
    return np.expand_dims(found, axes) if keepdims else found


@lru_cache(maxsize=1024)
def _stretched(got: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """The axes of ``got`` that broadcasting added to ``shape`` or stretched; None if others do."""
    lead = len(got) - len(shape)
    if lead < 0 or any(n not in (1, m) for n, m in zip(shape, got[lead:])):
        return None
    return (*range(lead), *(lead + i for i, n in enumerate(shape) if n != got[lead + i]))


def fit(d: Any, data: Any, op: Primitive) -> Any:
    """Undo broadcasting: bring what a VJP returned to the shape and dtype of its argument."""
    if d.__class__ is np.ndarray is data.__class__ and d.dtype == data.dtype:
        if d.shape == data.shape:
            return d
        if data.shape and (axes := _stretched(d.shape, data.shape)):
            d = _add_up(d, axes)
            return d if d.shape == data.shape else d.reshape(data.shape)
    if d.__class__ is float is data.__class__:
        return d
    if d is None or isinstance(d, tuple):
        raise TypeError(f"a VJP of {op.name} returned {d}, wanted the gradient of one argument")
    d = d if hasattr(d, "shape") else np.asarray(as_data(d, f"a VJP of {op.name}"))
    shape, got = getattr(data, "shape", ()), d.shape
    if got != shape:
        if (lead := len(got) - len(shape)) > 0:
            d = _add_up(d, tuple(range(lead)))
        if 1 in shape and lead >= 0 and got[lead:] != shape:
            d = _add_up(d, tuple([i for i, n in enumerate(shape) if n == 1]), keepdims=True)
        try:
            d = d if d.shape == shape else np.broadcast_to(d, shape)
        except ValueError:
            raise ValueError(f"a VJP of {op.name} returned shape {got}, wanted {shape}") from None
    if hasattr(d, "_record") or "c" in (d.dtype.kind, getattr(data, "dtype", d.dtype).kind):
        return d  # a graph of its own; or the complex step, whose numbers are a class of their own
    if data.__class__ is float:
        return float(d)
    fits = shape and d.dtype == data.dtype  # not where d is a 0-d array's scalar
    return d if fits else np.asarray(d).astype(data.dtype)


def empty(grad: Any) -> bool:
    """Whether a gradient holds nothing to add to: None, or set to zero by hand."""
    return grad is None or not (grad if grad.__class__ in NUMBERS else np.any(grad))


def own(leaf: Any, before: Any) -> Any:
    """A leaf's gradient, added to the one before; an array that no other node holds.

    ``p.grad *= 0.5`` must change p's gradient alone.
    """
    g = leaf.grad if before is None else before + leaf.grad
    if g.__class__ is np.ndarray:  # one reference is the leaf's, one g's, one the call's
        return g.copy() if g.base is not None or getrefcount(g) > 3 else g
    return np.asarray(g) if leaf.data.__class__ is np.ndarray else g  # 0-d add up to a scalar
