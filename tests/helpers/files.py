"""Whether what was saved comes back, and what else a file may turn into."""

from __future__ import annotations

from typing import Any

import numpy as np


def same(a: Any, b: Any) -> bool:
    """Equal to the bit, types and dtypes included."""
    if isinstance(a, np.ndarray):
        if a.dtype == object:
            return isinstance(b, np.ndarray) and b.dtype == object and same(list(a), list(b))
        return (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and (a == b or (a != a and b != b))


def mutated(rng: np.random.Generator, data: bytes, other: bytes) -> bytes:
    """One of: bits flipped, cut, a piece of another file put in, bytes taken out or doubled."""
    changed, i, j = bytearray(data), *sorted(rng.integers(0, len(data), 2))
    match rng.integers(5):
        case 0:
            for at in rng.integers(0, len(data), rng.integers(1, 4)):
                changed[at] ^= 1 << int(rng.integers(8))
        case 1:
            del changed[j:]
        case 2:
            changed[i:j] = other[i:j]
        case 3:
            del changed[i : i + int(rng.integers(1, 64))]
        case 4:
            changed[i:i] = data[j : j + int(rng.integers(1, 64))]
    return bytes(changed)
