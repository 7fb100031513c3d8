"""A node of a recorded graph as an expression, in as few brackets as Python's grammar asks for."""

from __future__ import annotations

import operator
import re
from typing import Any

import numpy as np

from .cleaning import key_of, number_of
from .lines import Line, astype, constant
from .literals import array_text, dtype_text, function_text, quoted
from .recorder import SCALAR

OPERATORS = {
    np.add: "+", np.subtract: "-", np.multiply: "*", np.divide: "/", np.power: "**",
    np.floor_divide: "//", np.remainder: "%", np.matmul: "@",
    np.less: "<", np.less_equal: "<=", np.greater: ">", np.greater_equal: ">=",
    np.equal: "==", np.not_equal: "!=",
    np.bitwise_and: "&", np.bitwise_or: "|", np.bitwise_xor: "^",
}  # fmt: skip
MIRRORED = {
    np.less: np.greater, np.less_equal: np.greater_equal, np.equal: np.equal,
    np.greater: np.less, np.greater_equal: np.less_equal, np.not_equal: np.not_equal,
}  # fmt: skip
LARGER = {np.less: "min", np.less_equal: "min", np.greater: "max", np.greater_equal: "max"}
PREFIX = {np.negative: "-", np.invert: "~"}
# How tightly an operation binds, as Python's grammar has it; 0 is x if c else y.
COMPARE, UNARY, POWER, ATOM = 4, 11, 12, 13
LEVEL = {
    np.where: 0, np.maximum: 0, np.minimum: 0, np.sign: 0, np.isnan: COMPARE,
    np.invert: 3,  # not x, of numbers
    np.bitwise_or: 5, np.bitwise_xor: 6, np.bitwise_and: 7,
    np.add: 8, np.subtract: 8,
    np.multiply: 9, np.divide: 9, np.floor_divide: 9, np.remainder: 9, np.matmul: 9, np.square: 9,
    np.negative: UNARY,
} | dict.fromkeys(MIRRORED, COMPARE)  # fmt: skip
METHODS = {np.sum, np.mean, np.max, np.min, np.argmax, np.argmin, np.any, np.all}
DEFAULTS = {"axis": None, "keepdims": False}


class Expressions:
    """The text of nodes, given the names of those that have a line of their own.

    Parameters
    ----------
    taken : names that nothing here may have
    scalar : whether the program is one of Python floats
    """

    def __init__(self, taken: set[str], scalar: bool) -> None:
        self.taken, self.scalar = taken, scalar
        self.names: dict[Line, str] = {}
        self.inline: dict[Line, tuple[str, int]] = {}  # of others the text, and how it binds
        self.constants: dict[Any, tuple[str, str]] = {}

    def unique(self, name: str) -> str:
        """A name that no other has."""
        found, n = name, 1
        while found in self.taken:
            n += 1
            found = f"{name}_{n}"
        self.taken.add(found)
        return found

    def literal(self, x: Any, weak: bool = True) -> str:
        """A constant, as source."""
        if x is None or x is Ellipsis or isinstance(x, bool | str | int):
            return "..." if x is Ellipsis else quoted(x)
        if isinstance(x, np.dtype | type):
            return dtype_text(np.dtype(x))
        if isinstance(x, float | np.generic) or (isinstance(x, np.ndarray) and x.ndim == 0):
            kind = getattr(x, "dtype", np.dtype(float))
            text = repr(x.item() if hasattr(x, "item") else x)
            prefix = "math." if self.scalar else "np."
            text = re.sub(r"inf|nan", lambda m: prefix + m[0], text)
            strong = kind != np.dtype(float) if kind.kind == "f" else kind.kind in "iu"
            plain = kind.kind == "b" or (weak and not strong)
            return text if plain else f"{dtype_text(kind)}({text})"
        if isinstance(x, range):  # z[range(n), y]
            x = np.arange(x.start, x.stop, x.step)
        assert isinstance(x, np.ndarray), x
        key = key_of(x)
        if key not in self.constants:
            name = self.unique(f"C_{len(self.constants) + 1}")
            self.constants[key] = (name, array_text(x, self.literal))
        return self.constants[key][0]

    def text(self, x: Any, level: int = 0, weak: bool = True) -> str:
        """An argument, as source; in brackets where it binds less than ``level``."""
        if x.__class__ is Line:
            if x in self.names:
                return self.names[x]
            found, own = self.inline[x]
            return f"({found})" if own < level else found
        if x.__class__ is slice:
            parts = ["None" if p is None else self.text(p) for p in (x.start, x.stop, x.step)]
            return f"slice({', '.join(parts)})"
        if x.__class__ is tuple:
            return f"({', '.join(map(self.text, x))}{',' if len(x) == 1 else ''})"
        if x.__class__ is list:
            return f"[{', '.join(map(self.text, x))}]"
        found = self.literal(x, weak)
        return f"({found})" if found.startswith("-") and level > UNARY else found

    def index(self, x: Any) -> str:
        """What stands between brackets."""
        if x.__class__ is tuple and x:
            parts = [self.text(p) if p.__class__ is tuple else self.index(p) for p in x]
            return ", ".join(parts) + ("," if len(x) == 1 else "")
        if x.__class__ is slice:
            parts = ["" if p is None else self.text(p) for p in (x.start, x.stop, x.step)]
            return ":".join(parts[:2] if not parts[2] else parts)
        return self.text(x)

    def expression(self, node: Line) -> tuple[str, int]:
        """The right-hand side, and how tightly it binds."""
        f, args = node.function, node.args
        if f is constant:
            return self.text(args[0]), ATOM
        if node.is_number and f in SCALAR:
            return self.on_numbers(f, args)
        if f is operator.getitem:
            return f"{self.text(args[0], ATOM)}[{self.index(args[1])}]", ATOM
        if f is astype:
            return f"{self.text(args[0], ATOM)}.astype({self.text(args[1])})", ATOM
        if is_turned(node):
            return f"{self.text(args[0], ATOM)}.T", ATOM
        wide = any(a.__class__ is Line and a.dtype == np.float64 for a in args)
        strict = f.__class__ is np.ufunc and not wide  # a number's dtype counts
        weak = [not strict or a.__class__ is float for a in args]
        if f in OPERATORS and len(args) == 2 and not node.options:
            return self.infix(node, weak)
        if f in PREFIX and len(args) == 1:
            return f"{PREFIX[f]}{self.text(args[0], ATOM)}", UNARY  # formatters have -(x**2)
        return self.called(node, weak), ATOM

    def infix(self, node: Line, weak: list[bool]) -> tuple[str, int]:
        """``x + y``."""
        f, (x, y) = node.function, node.args
        if f is np.power:
            whole = x.__class__ is Line and x.dtype.kind == "f"
            return self.power(node.args, _exponent(y) if whole else "", weak)
        level = LEVEL[f]
        left = self.text(x, level + (level == COMPARE), weak[0])
        right = self.text(y, level + 1, weak[1])
        if f in MIRRORED:
            f, left, right = _turned(f, left, right)
        return f"{left} {OPERATORS[f]} {right}", level

    def called(self, node: Line, weak: list[bool]) -> str:
        """``np.f(x, y)``; ``x.sum()`` takes a quarter of the time of ``np.sum(x)`` of a small x."""
        f, args, options = node.function, node.args, node.options
        method = f in METHODS and args[0].__class__ is Line and args[0].shape
        parts = [self.text(a, 0, w) for a, w in zip(args, weak)][bool(method) :]
        shown = {k: v for k, v in options.items() if k not in DEFAULTS or v is not DEFAULTS[k]}
        parts += [f"{k}={self.text(v)}" for k, v in shown.items()]
        name = f"{self.text(args[0], ATOM)}.{f.__name__}" if method else function_text(f)
        return f"{name}({', '.join(parts)})"

    def power(self, args: Any, whole: str, weak: Any) -> tuple[str, int]:
        """``x**2``, and ``(x + 1) ** 2`` with blanks, as formatters have it."""
        x, y = self.text(args[0], ATOM, weak[0]), whole or self.text(args[1], UNARY, weak[1])
        simple = re.fullmatch(r"[\w.]+", x) and re.fullmatch(r"-?[\w.]+", y)
        return f"{x}**{y}" if simple else f"{x} ** {y}", POWER

    def on_numbers(self, f: Any, args: Any) -> tuple[str, int]:
        """The same on Python floats."""
        if f is np.power and self.scalar and (whole := _exponent(args[1])):
            named = args[0].__class__ is Line and args[0] in self.names
            if whole == "2" and named:  # the same number in a third of the time
                return f"{self.names[args[0]]} * {self.names[args[0]]}", LEVEL[np.multiply]
            return self.power(args, whole, (True, True))
        if not self.scalar and f in (np.divide, np.power) and not number_of(args[1]):
            return f"float({function_text(f)}({', '.join(map(self.text, args))}))", ATOM
        if f in MIRRORED:  # two floats, twice as soon as a float and an integer
            args = [float(a) if a.__class__ is int and abs(a) < 2**53 else a for a in args]
        if f is np.where and (found := self.larger(args)):
            return found, ATOM
        isnan = f"{'math' if self.scalar else 'np'}.isnan({{0}})"  # x != x is what linters refuse
        if f is np.isnan:
            return isnan.format(self.text(args[0])), ATOM
        template, level = SCALAR[f], LEVEL.get(f, ATOM)
        inner = {ATOM: 0, UNARY: ATOM, COMPARE: COMPARE + 1, 0: 1}
        parts = [self.text(a, inner.get(level, level + (i > 0))) for i, a in enumerate(args)]
        if f in MIRRORED:
            f, *parts = _turned(f, *parts)
            template = SCALAR[f]
        if f in (np.maximum, np.minimum):
            if parts[0] == parts[1]:
                return self.text(args[0]), ATOM
            parts.sort(key=_constancy)
            template = template.replace("{0} != {0}", isnan)
        found = template.format(*parts)
        if "math." in found and not self.scalar:
            kind = "bool" if f in (np.isinf, np.isfinite) else "float"
            found = f"{kind}({found.replace('math.pow', 'np.power').replace('math.', 'np.')})"
        return found, level

    def larger(self, args: Any) -> str:
        """``max(y, x)`` for ``x if x > y else y``, as linters have it; "" for another condition."""
        c, *pair = args
        if c not in self.inline or c.function not in LARGER:
            return ""
        given = [self.text(float(a) if a.__class__ is int else a) for a in c.args]
        x, y = map(self.text, pair)
        if sorted(given) != sorted((x, y)):
            return ""
        return f"{LARGER[c.function if given[0] == x else MIRRORED[c.function]]}({y}, {x})"


def is_turned(node: Line) -> bool:
    """Whether it reads ``x.T``, which needs no line of its own."""
    plain = node.function is np.transpose and node.args[1:] in ((), (None,)) and not node.options
    return plain and node.args[0].__class__ is Line


def _turned(f: Any, left: str, right: str) -> tuple[Any, str, str]:
    """A comparison as linters have it: the constant on the right, and True as the number it is."""
    left, right = ({"True": "1", "False": "0"}.get(x, x) for x in (left, right))
    if _constancy(left) > _constancy(right):
        return MIRRORED[f], right, left
    return f, left, right


def _constancy(text: str) -> int:
    """2 for a number, 1 for what is in capitals, which linters take for a constant."""
    if re.fullmatch(r"-?[\d.]+(e[+-]?\d+)?", text):
        return 2
    return int(bool(re.fullmatch(r"[\w.]+", text)) and text.rpartition(".")[2].isupper())


def _exponent(x: Any) -> str:
    """A whole exponent: 3 instead of 3.0."""
    n = number_of(x)
    return str(int(n)) if n is not None and abs(n) < 1000 and n == int(n) else ""
