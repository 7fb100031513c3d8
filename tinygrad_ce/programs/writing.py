"""A recorded graph of operations that can all write into an array that is there.

NumPy's functions take ``out=``, but some make arrays inside: of another dtype, of what BLAS or a
reshape cannot take as it lies, of what an index picks. Here each such array is a step of its own.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from ..engine.rules import along
from .literals import LARGEST
from .memory import is_basic, is_view
from .tracing import CONSTANT, WITHIN, Traced, astype, leaves, order, replace

POWERS = {2.0: np.square, 0.5: np.sqrt, -1.0: np.reciprocal}  # as NumPy's own ** has it


def writable(outputs: Any) -> Any:
    """The same outputs, of operations that take ``out=`` and then make no array inside."""
    new: dict[Traced, Any] = {}
    for node in order(outputs):
        new[node] = node
        if node.call is None or node.call is CONSTANT:
            continue
        args, options = replace(node.args, new.__getitem__), replace(node.options, new.__getitem__)
        found = _Steps(node).of(args, options)
        found.number, found.name = node.number, node.name
        found.of = new.get(node.of)
        new[node] = found
    return replace(outputs, new.__getitem__)


class _Steps:
    """What one node becomes: some steps before it, and itself."""

    def __init__(self, node: Traced) -> None:
        self.node, self.number = node, node.number - 0.4  # after all that it reads

    def before(self, call: Any, args: tuple[Any, ...], sample: Any) -> Traced:
        """A step before the node."""
        made = Traced(call, args, {}, sample)
        self.number += 1e-3
        made.number = self.number
        return made

    def copy(self, x: Any, kind: Any = None) -> Any:
        """Its entries, one row after another, in another dtype."""
        kind = kind or x.dtype
        return self.before(astype, (x, kind), np.empty(x.shape, kind))

    def cast(self, x: Any, kind: Any) -> Any:
        """An array in the dtype that it is computed in: NumPy would make a new one for that."""
        if x.__class__ is np.ndarray and x.shape:
            return x.astype(kind)
        plain = x.__class__ is not Traced or not x.shape or x.dtype == kind
        return x if plain else self.copy(x, kind)

    def of(self, args: tuple[Any, ...], options: dict[str, Any]) -> Traced:
        """The node itself, for these arguments."""
        node, f = self.node, self.node.call
        if f in (np.vdot, np.matmul, np.dot):
            args = self.multiplied(f, args)
        elif node.sample.__class__ is not np.ndarray or not node.shape:
            pass
        elif f in (np.reshape, np.ravel) and _moves(f, args, options):
            args = (self.copy(args[0]), *args[1:])
        elif f is np.where and len(args) == 3:
            args = self.where(*args)
        elif f is np.power and args[1].__class__ is float and args[0].dtype.kind == "f":
            f = POWERS.get(args[1], f)
            args = args if f is np.power else args[:1]
        elif f.__class__ is np.ufunc and not options:
            args = tuple(map(self.cast, args, _computed_in(f, args)))
        elif f in (operator.getitem, np.take_along_axis):
            found = self.picked(f, args, options)
            if found is not None:
                return found
        return Traced(f, args, options, node.sample)

    def multiplied(self, f: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Arguments as BLAS takes them: of one dtype, and lying so that it needs no copy."""
        suits = is_flat if f is np.vdot else suits_blas
        same = [self.cast(x, self.node.dtype) for x in args]
        return tuple([self.copy(x) if x.__class__ is Traced and not suits(x) else x for x in same])

    def where(self, c: Any, x: Any, y: Any) -> tuple[Any, Any, Any]:
        """The number comes second: written last, it takes half the time of writing it first."""
        if c.__class__ is Traced and c.dtype != bool and c.shape:
            c = self.before(np.not_equal, (c, 0), np.empty(c.shape, bool))
        if c.__class__ is Traced and c.shape and not np.ndim(y) and np.shape(x) == self.node.shape:
            return self.before(np.invert, (c,), c.sample), y, x
        return c, x, y

    def picked(self, f: Any, args: Any, options: dict[str, Any]) -> Traced | None:
        """``x[index]`` by np.take, which writes into an array if it need not check the range."""
        x, index, *_ = args
        if f is np.take_along_axis:
            axis = options.get("axis", args[2] if len(args) > 2 else -1)
            index = along(x.shape, index, axis % x.ndim) if axis is not None else None
        if index is None or is_basic(index) or x.__class__ not in (Traced, np.ndarray):
            return None
        parts = index if index.__class__ is tuple else (index,)
        how: dict[str, Any] = {"mode": "wrap"}
        if next(leaves(parts), None) is None:
            at: Any = np.arange(x.size).reshape(x.shape)[index]
            if at.size > LARGEST:
                return None
        elif any(not _is_integers(p) for p in parts) or len(parts) not in (1, x.ndim):
            return None
        elif len(parts) == 1:
            at, how = self.checked(parts[0], x.shape[0]), {"axis": 0, "mode": "wrap"}
        else:
            at = self.flat(parts, x.shape)
        x = x if is_flat(x) or "axis" in how else self.copy(x)
        return Traced(np.take, (x, at), how, self.node.sample)

    def flat(self, parts: Any, shape: tuple[int, ...]) -> Any:
        """Where the entries stand in ``x.reshape(-1)``."""
        fixed: Any = 0
        moving: list[Traced] = []
        for k, (part, n) in enumerate(zip(parts, shape)):
            stride = math.prod(shape[k + 1 :])
            if part.__class__ is not Traced:
                fixed = fixed + np.asarray(part) % n * stride
                continue
            at = self.checked(part, n)
            if stride > 1:
                at = self.before(np.multiply, (at, stride), at.sample)
            moving.append(at)
        if np.any(fixed):
            moving.append(fixed)
        found = moving[0]
        for more in moving[1:]:
            sample = np.empty(np.broadcast_shapes(found.shape, np.shape(more)), np.intp)
            found = self.before(np.add, (found, more), sample)
        return found

    def checked(self, index: Traced, n: int) -> Traced:
        """An index from 0 to n - 1; from -n on it counts from the end."""
        if index.size:
            index = self.before(WITHIN, (index, -n, n), index.sample)
        return self.before(np.remainder, (index, n), np.empty(index.shape, np.intp))


def _is_integers(x: Any) -> bool:
    return isinstance(x, int) or getattr(x, "dtype", np.dtype(float)).kind in "iu"


def _layout(x: Any) -> Any:
    """An empty array that lies in memory as the node's will: rows one after another, and views."""
    if x.__class__ is Traced and is_view(x) and x.call is not WITHIN:
        args = replace(x.args, lambda a: _layout(a) if a.shape else a.sample)
        return x.call(*args, **x.options)
    return np.empty(np.shape(x), x.dtype)


def is_flat(x: Any) -> bool:
    """Whether it lies in memory row after row."""
    return x.__class__ is not Traced or bool(_layout(x).flags.c_contiguous)


def suits_blas(x: Any) -> bool:
    """Whether BLAS takes a matrix as it lies; else NumPy copies it."""
    lies = _layout(x)
    strides = lies.strides
    return not lies.ndim or (min(strides) > 0 and lies.itemsize in strides[-2:])


def is_put(node: Traced) -> bool:
    """Whether np.putmask can write the second argument of np.where: in half the time of copyto."""
    mask, x, _ = node.args
    whole = np.shape(x) == node.shape and x.dtype == node.dtype and is_flat(x)
    return np.shape(mask) == node.shape and is_flat(mask) and (whole or not np.ndim(x))


def _computed_in(f: Any, args: Any) -> Any:
    """The dtypes that a ufunc converts its arguments to."""
    samples = [x.sample if x.__class__ is Traced else x for x in args]
    kinds = [
        getattr(x, "dtype", np.dtype(bool) if x is True or x is False else x.__class__)
        for x in samples
    ]
    return f.resolve_dtypes((*kinds, *[None] * f.nout))


def _moves(f: Any, args: Any, options: dict[str, Any]) -> bool:
    """Whether a reshape is none of a view, but makes a new array."""
    if args[0].__class__ is not Traced or not args[0].shape:
        return False
    whole = _layout(args[0])
    return not np.may_share_memory(whole, f(whole, *args[1:], **options))
