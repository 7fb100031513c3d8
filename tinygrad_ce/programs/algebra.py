"""The algebra of programs on numbers, where each operation left out is time saved.

    (−x)·y = −(x·y)    x + (−y) = x − y    x / 2ᵏ = x·2⁻ᵏ    x³ = x·x·x
    c·x + d·x = (c + d)·x    x·y + x·z = x·(y + z), if nothing else needs the two products

The first three are exact. The others round otherwise, by no more than the operations they replace;
x·(y + z) overflows where y + z does.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from .cleaning import key_of
from .lines import Builder, Line, live, replace, uses, walk

PASSES = 3  # what one pass takes out may let the next take more
COSTS = {np.power: 3, np.divide: 2}  # of the time of a product; Python has no fast path for them


def simplified(lines: Sequence[Line], outputs: Any) -> tuple[Sequence[Line], Any]:
    """The same in fewer operations on Python floats; nothing is changed for arrays."""
    if not all(line.is_number for line in lines):
        return lines, outputs
    cost = _cost(lines)
    for _ in range(PASSES):
        found, new = _Pass(lines).run(outputs)
        before = cost
        if (cost := _cost(found)) > before:
            break
        lines, outputs = found, new
        if cost == before:
            break
    return lines, outputs


def _cost(lines: Sequence[Line]) -> int:
    return sum(COSTS.get(line.function, 1) for line in lines)


def _is_number(x: Any) -> bool:
    return isinstance(x, float | int)


class _Pass:
    """One rewriting of a graph, from the arguments up; every rule sees rewritten arguments."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self.lines, self.made = lines, Builder()
        self.new: dict[Any, Any] = {}
        self.seen: dict[Any, Line] = {}
        self.once: set[Any] = set()  # what one other line uses, after rewriting
        self.node: Any = None
        self.rules: dict[Any, Any] = {
            np.add: self.add,
            np.subtract: self.subtract,
            np.multiply: self.multiply,
            np.divide: self.divide,
            np.negative: self.negative,
            np.power: self.power,
            np.square: lambda x: self.multiply(x, x),
            np.where: self.where,
        }

    def run(self, outputs: Any) -> tuple[list[Line], Any]:
        """The lines and outputs, rewritten."""
        often = uses(self.lines, outputs) + Counter(walk(outputs))  # what is returned, twice
        for line in self.lines:
            if line.function is None:
                self.new[line] = self.made.append(line)
                continue
            self.node, start = line, len(self.made.lines)
            args = replace(line.args, self.new.__getitem__)
            rule: Any = self.rules.get(line.function)
            ruled = rule is not None and not line.options
            found = rule(*args) if ruled else self.made_of(line.function, *args)
            if found.__class__ is Line and found.function is not None:
                found.name = found.name or line.name
                if found.of is None and line.of is not None and found in self.made.lines[start:]:
                    found.of = self.new.get(line.of)
            if often[line] == 1:
                self.once.add(found)
            self.new[line] = found
        outputs = replace(outputs, self.new.__getitem__)
        return live(self.made.lines, outputs), outputs

    def made_of(self, f: Any, *args: Any) -> Any:
        """A new line at the end; or the same one if there is."""
        options = self.node.options if f is self.node.function else {}
        key: tuple[Any, ...] = (f, *map(key_of, args))
        if f is np.add or f is np.multiply:
            key = (f, frozenset(key[1:]))
        if key not in self.seen:
            self.seen[key] = self.made.emit(f, args, options, like=self.node)
        return self.seen[key]

    # ------------------------------------------------------------------ signs
    def negative(self, x: Any) -> Any:
        """−x, with no sign before a sign, a difference or a number."""
        if _is_number(x):
            return -x
        if x.function is np.negative:
            return x.args[0]
        if x.function is np.subtract and x in self.once:
            return self.made_of(np.subtract, *x.args[::-1])
        if x.function is np.multiply and x.args[0].__class__ is float:
            return self.made_of(np.multiply, -x.args[0], x.args[1])
        return self.made_of(np.negative, x)

    def unsigned(self, x: Any) -> tuple[Any, bool]:
        """X without its sign, and whether it had one."""
        signed = x.__class__ is Line and x.function is np.negative
        return (x.args[0], True) if signed else (x, False)

    def where(self, c: Any, x: Any, y: Any) -> Any:
        """−x or 0 is −(x or 0)."""
        (x, a), (y, b) = self.unsigned(x), self.unsigned(y)
        if (a and b) or (a and _is_zero(y)) or (b and _is_zero(x)):
            return self.negative(self.made_of(np.where, c, x, y))
        x, y = (self.negative(p) if s else p for p, s in ((x, a), (y, b)))
        return self.made_of(np.where, c, x, y)

    # ------------------------------------------------------------------ products
    def multiply(self, x: Any, y: Any) -> Any:
        """x·y, the number first and the sign outside."""
        if _is_number(x) and _is_number(y):
            return float(x * y)
        if _is_number(y):
            x, y = y, x
        if _is_number(x):
            return self.scaled(float(x), y)
        (x, a), (y, b) = self.unsigned(x), self.unsigned(y)
        found = self.made_of(np.multiply, x, y)
        return self.negative(found) if a != b else found

    def scaled(self, c: float, x: Any) -> Any:
        """c·x."""
        x, signed = self.unsigned(x)
        c = -c if signed else c
        if x.function is np.multiply and x.args[0].__class__ is float:
            c, x = c * x.args[0], x.args[1]
        if abs(c) == 1.0 and x.kind is float:
            return x if c > 0 else self.negative(x)
        return self.made_of(np.multiply, c, x)

    def divide(self, x: Any, y: Any) -> Any:
        """x / y; by a power of two it is a product, exactly."""
        if _is_number(y) and y and not _is_number(x) and abs(math.frexp(1.0 / y)[0]) == 0.5:
            return self.scaled(1.0 / y, x)
        (x, a), (y, b) = self.unsigned(x), self.unsigned(y)
        found = self.made_of(np.divide, x, y)
        return self.negative(found) if a != b else found

    def power(self, x: Any, n: Any) -> Any:
        """x², x³ and x⁴ in products."""
        if x.__class__ is not Line or not _is_number(n) or n not in (2, 3, 4):
            return self.made_of(np.power, x, n)
        square = self.multiply(x, x)
        return square if n == 2 else self.multiply(square, x if n == 3 else square)

    # ------------------------------------------------------------------ sums
    def add(self, x: Any, y: Any) -> Any:
        """X + y; with a sign inside, the difference."""
        (u, a), (v, b) = self.unsigned(x), self.unsigned(y)
        if a and b:
            return self.negative(self.total(np.add, u, v))
        if a or b:
            return self.total(np.subtract, *((x, v) if b else (y, u)))
        return self.total(np.add, x, y)

    def subtract(self, x: Any, y: Any) -> Any:
        """X − y; with a sign inside, the sum."""
        (u, a), (v, b) = self.unsigned(x), self.unsigned(y)
        if a:
            return self.total(np.subtract, v, u) if b else self.negative(self.total(np.add, u, y))
        return self.total(np.add, x, v) if b else self.total(np.subtract, x, y)

    def total(self, f: Any, x: Any, y: Any) -> Any:
        """f(x, y) of two terms without signs, for a sum or a difference f."""
        (c, u), (d, v) = self.coefficient(x), self.coefficient(y)
        c = c + d if f is np.add else c - d
        if u is v and u is not None and c:  # 0·u may be -0
            return self.scaled(c, u)
        both = x in self.once and y in self.once if x.__class__ is y.__class__ is Line else False
        if both and x.function is np.multiply is y.function:
            for common in x.args:
                if common.__class__ is Line and any(common is p for p in y.args):
                    rest = self.without(x, common), self.without(y, common)
                    inner = self.add(*rest) if f is np.add else self.subtract(*rest)
                    return self.multiply(common, inner)
        return self.made_of(f, x, y)

    @staticmethod
    def coefficient(x: Any) -> tuple[float, Any]:
        """c and u of c·u."""
        if x.__class__ is not Line:
            return 1.0, None
        if x.function is np.multiply and x.args[0].__class__ is float:
            return x.args
        return 1.0, x

    @staticmethod
    def without(product: Line, factor: Any) -> Any:
        """The other factor."""
        x, y = product.args
        return y if x is factor else x


def _is_zero(x: Any) -> bool:
    return _is_number(x) and x == 0
