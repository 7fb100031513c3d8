"""The algebra of programs on numbers, where each operation left out is time saved.

    (−x)·y = −(x·y)    x + (−y) = x − y    x / 2ᵏ = x·2⁻ᵏ    x³ = x·x·x
    c·x + d·x = (c + d)·x    x·y + x·z = x·(y + z), if nothing else needs the two products

The first three are exact. The others round otherwise, by no more than the operations they replace;
x·(y + z) overflows where y + z does.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .cleaning import key_of
from .tracing import Traced, leaves, order, parents, replace

PASSES = 3  # what one pass takes out may let the next take more
COSTS = {np.power: 3, np.divide: 2}  # of the time of a product; Python has no fast path for them


def simplified(outputs: Any) -> Any:
    """The same outputs in fewer operations on Python floats; nothing is changed for arrays."""
    nodes = order(outputs)
    if not all(node.sample.__class__ in (float, bool) for node in nodes):
        return outputs
    cost = _cost(nodes)
    for _ in range(PASSES):
        new = _Pass(nodes).run(outputs)
        nodes, before = order(new), cost
        if (cost := _cost(nodes)) > before:
            break
        outputs = new
        if cost == before:
            break
    return outputs


def _cost(nodes: list[Traced]) -> int:
    return sum(COSTS.get(node.call, 1) for node in nodes)


def _is_number(x: Any) -> bool:
    return isinstance(x, float | int)


class _Pass:
    """One rewriting of a graph, from the arguments up; every rule sees rewritten arguments."""

    def __init__(self, nodes: list[Traced]) -> None:
        self.nodes = nodes
        self.new: dict[Any, Any] = {}
        self.seen: dict[Any, Traced] = {}
        self.once: set[Any] = set()  # what one other node uses, after rewriting
        self.node: Any = None
        self.number = -math.inf  # of the last node
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

    def run(self, outputs: Any) -> Any:
        """The outputs, rewritten."""
        uses = dict.fromkeys(leaves(outputs), 2)
        for node in self.nodes:
            for parent in parents(node):
                uses[parent] = uses.get(parent, 0) + 1
        for node in self.nodes:
            if node.call is None:
                self.new[node] = node
                continue
            self.node = node
            before = self.number = max(self.number, node.number - 0.125)
            args = replace(node.args, self.new.__getitem__)
            rule = self.rules.get(node.call)
            found = rule(*args) if rule and not node.options else self.made_of(node.call, *args)
            if found.__class__ is Traced and found.call:
                found.name = found.name or node.name
                if found.of is None and node.of is not None and found.number > before:
                    found.of = self.new.get(node.of)
            self.number = node.number
            if uses[node] == 1:
                self.once.add(found)
            self.new[node] = found
        return replace(outputs, self.new.__getitem__)

    def made_of(self, f: Any, *args: Any) -> Any:
        """A node, numbered after its arguments and before the next; the same one if there is."""
        node = self.node
        options = node.options if f is node.call else {}
        key: tuple[Any, ...] = (f, *map(key_of, args))
        if f is np.add or f is np.multiply:
            key = (f, frozenset(key[1:]))
        if key in self.seen:
            return self.seen[key]
        made = Traced(f, args, options, node.sample)
        made.number = self.number = self.number + (node.number - self.number) / 8
        self.seen[key] = made
        return made

    # ------------------------------------------------------------------ signs
    def negative(self, x: Any) -> Any:
        """−x, with no sign before a sign, a difference or a number."""
        if _is_number(x):
            return -x
        if x.call is np.negative:
            return x.args[0]
        if x.call is np.subtract and x in self.once:
            return self.made_of(np.subtract, *x.args[::-1])
        if x.call is np.multiply and x.args[0].__class__ is float:
            return self.made_of(np.multiply, -x.args[0], x.args[1])
        return self.made_of(np.negative, x)

    def unsigned(self, x: Any) -> tuple[Any, bool]:
        """X without its sign, and whether it had one."""
        signed = x.__class__ is Traced and x.call is np.negative
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
        if x.call is np.multiply and x.args[0].__class__ is float:
            c, x = c * x.args[0], x.args[1]
        if abs(c) == 1.0 and x.sample.__class__ is float:
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
        if x.__class__ is not Traced or not _is_number(n) or n not in (2, 3, 4):
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
        both = x in self.once and y in self.once if x.__class__ is y.__class__ is Traced else False
        if both and x.call is np.multiply is y.call:
            for common in x.args:
                if common.__class__ is Traced and any(common is p for p in y.args):
                    rest = self.without(x, common), self.without(y, common)
                    inner = self.add(*rest) if f is np.add else self.subtract(*rest)
                    return self.multiply(common, inner)
        return self.made_of(f, x, y)

    @staticmethod
    def coefficient(x: Any) -> tuple[float, Any]:
        """c and u of c·u."""
        if x.__class__ is not Traced:
            return 1.0, None
        if x.call is np.multiply and x.args[0].__class__ is float:
            return x.args
        return 1.0, x

    @staticmethod
    def without(product: Traced, factor: Any) -> Any:
        """The other factor."""
        x, y = product.args
        return y if x is factor else x


def _is_zero(x: Any) -> bool:
    return _is_number(x) and x == 0
