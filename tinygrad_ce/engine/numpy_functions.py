"""NumPy functions that need no rule of their own: they are other spellings of the primitives.

Each receives what the NumPy function was called with, in its order and by its names.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

from .ops import CLIP, CONCATENATE, EINSUM, TAKE_ALONG_AXIS

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"  # importing string takes 1 ms


def concatenate(arrays: Sequence[Any], /, axis: int | None = 0) -> Any:
    """Join along an axis; ``axis=None`` flattens first, as in NumPy."""
    if axis is None:
        return CONCATENATE(*(np.reshape(a, -1) for a in arrays), axis=0)
    return CONCATENATE(*arrays, axis=axis)


def stack(arrays: Sequence[Any], axis: int = 0) -> Any:
    """Join along a new axis."""
    if len(shapes := {np.shape(a) for a in arrays}) > 1:
        raise ValueError(f"stack joins arrays of one shape, got {' and '.join(map(str, shapes))}")
    return CONCATENATE(*(np.expand_dims(a, axis) for a in arrays), axis=axis)


def dot(a: Any, b: Any) -> Any:
    """Multiply scalars, else sum over the last axis of ``a`` and the last but one of ``b``."""
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return a * b
    if np.ndim(b) <= 2:
        return np.matmul(a, b)
    left, right = LETTERS[: np.ndim(a) - 1], LETTERS[26 : 26 + np.ndim(b) - 2]
    return einsum(f"{left}y,{right}yz->{left}{right}z", a, b)


def clip(a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Any:
    """Limit to [min, max]; None is no limit."""
    low, high = (a_min if min is None else min), (a_max if max is None else max)
    return CLIP(a, -math.inf if low is None else low, math.inf if high is None else high)


def take_along_axis(arr: Any, indices: Any, axis: int | None = -1) -> Any:
    """Pick entries by integer arrays; ``axis=None`` flattens first, as in NumPy."""
    if axis is None:
        return TAKE_ALONG_AXIS(np.reshape(arr, -1), indices, axis=0)
    return TAKE_ALONG_AXIS(arr, indices, axis=axis)


def einsum(subscripts: str, *operands: Any) -> Any:
    """Spell out what einsum leaves implicit: the result, ``...``, and diagonals."""
    if not isinstance(subscripts, str):
        raise ValueError("einsum on Values takes the subscripts first, as text: 'ij,jk->ik'")
    if len(operands) not in (1, 2):
        raise ValueError(
            f"einsum on Values takes one or two operands, got {len(operands)}: "
            "contract more of them two at a time"
        )
    inputs, arrow, result = subscripts.replace(" ", "").partition("->")
    letters = inputs.split(",")
    if len(letters) != len(operands):
        raise ValueError(
            f"einsum: {subscripts!r} names {len(letters)} operands, got {len(operands)}"
        )
    ranks = [np.ndim(x) - len(s) + 3 if "..." in s else 0 for s, x in zip(letters, operands)]
    unused = [c for c in LETTERS if c not in subscripts]
    dots = "".join(unused[: max(ranks)])
    letters = [s.replace("...", dots[len(dots) - r :]) for s, r in zip(letters, ranks)]
    if not arrow:
        named = "".join(letters)
        result = "..." + "".join(sorted(c for c in set(named) - set(dots) if named.count(c) == 1))
    diagonals = [_diagonal(s, x) for s, x in zip(letters, operands)]
    spelled = ",".join(s for s, _ in diagonals) + "->" + result.replace("...", dots)
    return EINSUM(*(x for _, x in diagonals), subscripts=spelled)


def _diagonal(letters: str, x: Any) -> tuple[str, Any]:
    """Read ``ii`` as the diagonal, so that every letter left stands once."""
    once = "".join(dict.fromkeys(letters))
    if once == letters or len(letters) != np.ndim(x):
        return letters, x
    along = [np.arange(n) for n in np.shape(x)]
    return once, x[
        tuple(a.reshape([-1 if c == d else 1 for d in once]) for c, a in zip(letters, along))
    ]


COMPOSED: dict[Any, Callable[..., Any]] = {
    np.concatenate: concatenate,
    np.stack: stack,
    np.dot: dot,
    np.clip: clip,
    np.take_along_axis: take_along_axis,
    np.einsum: einsum,
}

# Functions whose result carries no gradient: truth values, positions, shapes, and the sign, which
# is constant wherever it is smooth. On `Value`s they read the data and return plain results.
PLAIN: set[Any] = {
    np.less, np.less_equal, np.greater, np.greater_equal, np.equal, np.not_equal,
    np.isnan, np.isinf, np.isfinite, np.sign, np.signbit, np.argmax, np.argmin, np.argsort,
    np.isclose, np.allclose, np.array_equal, np.count_nonzero,
    np.shape, np.ndim, np.size, np.zeros_like, np.ones_like,
}  # fmt: skip
REDUCTIONS = {np.add: np.sum, np.maximum: np.max, np.minimum: np.min}  # np.add.reduce is np.sum


def no_rule(function: Any, method: str = "") -> NoReturn:
    """Say how to give a NumPy function the rule it lacks."""
    module = getattr(function, "__module__", None) or "np"
    name = f"{module}.{function.__name__}{method}".replace("numpy", "np", 1)
    add = "write a function with a rule of its own: see @primitive"
    if not method:
        add = (
            f"add one: @primitive, as in primitive(lambda g, out, x: g * ...)({name}), for the "
            "dots the derivative"
        )
    raise NotImplementedError(
        f"{name} has no rule. Use its data (v.data) where no gradient is needed, or {add}"
    )
