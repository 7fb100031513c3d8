"""The kernel of the fused cross-entropy compiled by Numba: a loop over rows that reads as it is.

It wants the extra ``fast``; `kernel` imports it when the first batch comes that repays this, and
does without where it fails. Serial, and without the interpreter's lock: rows are shared out by
`threads`, because Numba's own parallel loops end a forked child and abort under several callers.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import float32, njit
from numba.extending import overload

LOG2 = 0.6931471805599453, 2.3190468138462996e-17  # log 2, and what of it a float64 leaves out
SPARE = 64  # 2^k may be too small for a float: it is 2^(k + 64), then times 2^-64
BLOCK = 256  # numbers that are added up at once, in any order


def exponential(x: Any) -> Any:
    """exp(x) of an x up to 0, right to an ulp: 2^k · exp(r) with |r| at most log(2) / 2."""
    return np.exp(x)


@overload(exponential, jit_options={"fastmath": {"contract"}})
def _exponential(x: Any) -> Any:
    """The same in additions, products and shifts, of which a compiler makes vectors."""
    single = x == float32
    number: Any = np.float32 if single else np.float64
    bits: Any = np.uint32 if single else np.uint64
    # Of the least number, and of less, exp is 0.
    digits, short, degree, least = (23, 11, 7, -104.0) if single else (52, 31, 13, -746.0)
    # Added to x / log 2, this leaves no digits for a fraction: k + SPARE stands in the last bits.
    magic = number(1.5 * 2.0**digits + SPARE)
    high: Any = number(round(LOG2[0] * 2.0**short) / 2.0**short)  # k times this is exact
    low = number(LOG2[0] - float(high) + LOG2[1])
    least, per, shift, tiny = number(least), number(1 / LOG2[0]), bits(digits), number(2.0**-SPARE)
    coefficients = tuple([number(1 / math.factorial(n)) for n in range(degree, -1, -1)])

    def implementation(x: Any) -> Any:
        x = least if x < least else x
        turns = x * per + magic
        k = turns - magic
        r = (x - k * high) - k * low
        p = coefficients[0]
        for c in coefficients[1:]:
            p = p * r + c
        power = bits(number(turns).view(bits) << shift)
        power = bits(number(p).view(bits) + power).view(number)
        return power * tiny + (x - x)  # of a nan with bits at its end, power may be a number

    return implementation


def largest(row: Any) -> Any:
    """The maximum of a row; with nan in it any number, for a sum then tells."""
    return np.max(row)


@overload(largest)
def _largest(row: Any) -> Any:
    """The same by whole numbers: of their maximum a compiler makes vectors.

    The bits of floats are in order, but those of negative ones, which are in the opposite.
    """
    single = row.dtype == float32
    number: Any = np.float32 if single else np.float64
    whole: Any = np.int32 if single else np.int64
    sign = 31 if single else 63
    rest = whole(2**sign - 1)

    def implementation(row: Any) -> Any:
        top = whole(-rest)
        for j in range(len(row)):
            key = number(row[j]).view(whole)
            top = max(top, whole(key ^ ((key >> sign) & rest)))
        return whole(top ^ ((top >> sign) & rest)).view(number)

    return implementation


@njit(cache=True, fastmath={"reassoc"})
def _added(row: Any) -> float:
    """A sum of few numbers, in any order."""
    total = 0.0
    for j in range(len(row)):
        total += row[j]
    return total


@njit(cache=True)
def _total(row: Any) -> float:
    """The sum of a row in float64, and with what each addition of a block has lost (Kahan)."""
    total = lost = 0.0
    for start in range(0, len(row), BLOCK):
        part = _added(row[start : start + BLOCK]) - lost
        before, total = total, total + part
        lost = (total - before) - part
    return total


def by_index(z: Any, index: Any, peak: Any, loss: Any, e: Any) -> None:
    """Loss and gradient of rows, each with one target class; ``e`` is the gradient."""
    _by_index(z, index, np.full(loss.shape, peak, z.dtype), loss, e)


@njit(cache=True, nogil=True, error_model="numpy")
def _by_index(z: Any, index: Any, peak: Any, loss: Any, e: Any) -> None:
    for i in range(len(z)):
        row, t, m = e[i], index[i, 0], largest(z[i])
        for j in range(len(row)):
            row[j] = exponential(z[i, j] - m)
        chosen, row[t] = row[t], 0.0
        others, away = _total(row), m - z[i, t]
        total = chosen + others
        surprise = math.log1p(others) if away == 0.0 else away + math.log(total)
        loss[i, 0] = peak[i, 0] * surprise if peak[i, 0] else 0.0
        scale = row.dtype.type(peak[i, 0] / total)
        for j in range(len(row)):
            row[j] *= scale
        row[t] = -others * scale


@njit(cache=True, nogil=True, error_model="numpy")
def by_table(z: Any, table: Any, loss: Any, e: Any) -> None:
    """The same for targets on many classes."""
    for i in range(len(z)):
        row, t, m, top = e[i], table[i], largest(z[i]), 0
        for j in range(len(row)):  # a class of no weight counts 0, though its logit be -inf
            row[j] = t[j] * (m - z[i, j]) if t[j] else 0.0
        away, mass = _total(row), _total(t)
        while top < len(row) - 1 and z[i, top] != m:
            top += 1
        for j in range(len(row)):
            row[j] = exponential(z[i, j] - m)
        chosen, row[top] = row[top], 0.0
        others = _total(row)
        row[top] = chosen
        loss[i, 0] = away + mass * math.log1p(others) if mass else 0.0
        scale = row.dtype.type(mass / (chosen + others))
        for j in range(len(row)):
            row[j] = row[j] * scale - t[j]
