"""A line of a program as an expression, in as few brackets as Python's grammar asks for."""

from __future__ import annotations

import ast
import inspect
import operator
import re
from functools import cache
from typing import Any

import numpy as np

from .cleaning import key_of, number_of
from .lines import Line, astype, constant, entry, name_of, symbol_of
from .literals import array_text, dtype_text, number_text, quoted

MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
# How tightly Python's operators bind.
COMPARE, UNARY, POWER, ATOM = 4, 11, 12, 13
LEVELS: dict[Any, int] = {
    ast.IfExp: 0, ast.Or: 1, ast.And: 2, ast.Not: 3, ast.Compare: COMPARE,
    ast.BitOr: 5, ast.BitXor: 6, ast.BitAnd: 7, ast.Add: 8, ast.Sub: 8,
    ast.Mult: 9, ast.Div: 9, ast.FloorDiv: 9, ast.Mod: 9, ast.MatMult: 9,
    ast.USub: UNARY, ast.Invert: UNARY, ast.Pow: POWER,
}  # fmt: skip


def _level(node: ast.AST) -> int:
    return LEVELS.get(getattr(node, "op", node).__class__, ATOM)


@cache
def binding(template: str) -> tuple[int, tuple[int, ...]]:
    """How tightly a template binds, and each thing that is filled in has to."""
    tree = ast.parse(template.format(*[f"_{i}" for i in range(9)]), mode="eval").body
    needed = dict[int, int]()
    for node in ast.walk(tree):
        level, parts = _level(node), ast.iter_child_nodes(node)
        for i, part in enumerate(p for p in parts if isinstance(p, ast.expr)):
            if isinstance(part, ast.Name) and part.id[0] == "_":
                tight = ATOM if level >= UNARY else level + (i > 0 or level <= COMPARE)  # -(x**2)
                k, least = int(part.id[1:]), 0 if isinstance(node, ast.Call) else tight
                needed[k] = max(needed.get(k, 0), least)
    return _level(tree), tuple(needed[k] for k in sorted(needed))


class Expressions:
    """The text of lines, given the names of those that have a line of their own.

    Parameters
    ----------
    taken : names that nothing here may have
    scalar : whether the program is one of Python numbers, and so needs no NumPy
    """

    def __init__(self, taken: set[str], scalar: bool) -> None:
        self.taken, self.scalar = taken, scalar
        self.names: dict[Line, str] = {}
        self.inline: dict[Line, tuple[str, int]] = {}  # of others the text, and how it binds
        self.constants: dict[Any, tuple[str, str]] = {}
        self.modules: set[str] = set()  # besides NumPy and math

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
        if isinstance(x, range):  # z[range(n), y]
            x = np.arange(x.start, x.stop, x.step)
        if np.ndim(x) == 0:
            return number_text(x, "math" if self.scalar else "np", weak)
        key = key_of(x)
        if key not in self.constants:
            self.constants[key] = self.unique(f"C_{len(self.constants) + 1}"), array_text(x)
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

    def filled(self, template: str, args: Any, weak: Any = ()) -> tuple[str, int]:
        """A template with arguments in it, and how tightly it binds."""
        level, needed = binding(template)
        weak = weak or [True] * len(args)
        return template.format(*map(self.text, args, needed, weak)), level

    def expression(self, line: Line) -> tuple[str, int]:
        """The right-hand side, and how tightly it binds."""
        f, args = line.function, line.args
        if f is constant:
            return self.text(args[0]), ATOM
        if f is operator.getitem:
            return f"{self.text(args[0], ATOM)}[{self.index(args[1])}]", ATOM
        if line.is_number and (template := entry(f)):
            return self.on_numbers(f, template, args)
        if f is astype:
            return self.filled("{}.astype({})", args)
        if is_turned(line):
            return self.filled("{}.T", args[:1])
        wide = any(a.__class__ is Line and a.dtype == np.float64 for a in args)
        strict = f.__class__ is np.ufunc and not wide  # a number's dtype counts
        weak = [not strict or a.__class__ is float for a in args]
        if (symbol := symbol_of(f)) and not line.options:
            return self.by_symbol(symbol, args, weak)
        return self.called(line, weak), ATOM

    def by_symbol(self, symbol: str, args: Any, weak: Any = ()) -> tuple[str, int]:
        """``x + y``, ``-x``; the constant of a comparison on the right, as linters have it."""
        if len(args) == 1:
            return self.filled(symbol + "{}", args, weak)
        if symbol == "**":
            return self.power(args, weak)
        template = f"{{}} {symbol} {{}}"
        if symbol not in MIRRORED:
            return self.filled(template, args, weak)
        level, needed = binding(template)
        x, y = map(self.text, args, needed, weak or (True, True))
        x, y = ({"True": "1", "False": "0"}.get(t, t) for t in (x, y))
        if _constancy(x) > _constancy(y):
            x, y, symbol = y, x, MIRRORED[symbol]
        return f"{x} {symbol} {y}", level

    def power(self, args: Any, weak: Any = ()) -> tuple[str, int]:
        """``x**2``, and ``(x + 1) ** 2`` with blanks, as formatters have it."""
        whole = args[0].__class__ is Line and args[0].dtype.kind == "f" and _exponent(args[1])
        x, y = (self.text(a, n, w) for a, n, w in zip(args, (ATOM, UNARY), weak or (True, True)))
        y = whole or y
        simple = re.fullmatch(r"[\w.]+", x) and re.fullmatch(r"-?[\w.]+", y)
        return f"{x}**{y}" if simple else f"{x} ** {y}", POWER

    def called(self, line: Line, weak: list[bool]) -> str:
        """``np.f(x, y)``; ``x.sum()`` takes a quarter of the time of ``np.sum(x)`` of a small x."""
        f, args = line.function, line.args
        method = is_reduction(f) and args[0].__class__ is Line and args[0].shape
        parts = [self.text(a, 0, w) for a, w in zip(args, weak)][bool(method) :]
        parts += [f"{k}={self.text(v)}" for k, v in line.options.items()]
        name = f"{self.text(args[0], ATOM)}.{f.__name__}" if method else self.imported(name_of(f))
        return f"{name}({', '.join(parts)})"

    def imported(self, template: str) -> str:
        """A template, once the modules that it names are noted."""
        found = re.findall(r"([a-z_][\w.]*)\.\w+\(|([a-z_][\w.]*)\.\w+$", template)
        self.modules |= {m for pair in found for m in pair if m and m.split(".")[0] != "np"}
        return template

    def on_numbers(self, f: Any, template: str, args: Any) -> tuple[str, int]:
        """The same on Python numbers."""
        symbol = symbol_of(f)
        if symbol == "**" and (whole := _exponent(args[1])):
            if whole == "2" and args[0] in self.names:  # the same in a third of the time
                return self.filled("{0} * {0}", args[:1])
            return self.power(args)
        if symbol in MIRRORED:  # two floats, twice as soon as a float and an integer
            args = [float(a) if a.__class__ is int and abs(a) < 2**53 else a for a in args]
            return self.by_symbol(symbol, args)
        if f is np.where and (found := self.larger(args)):
            return found, ATOM
        if re.search(r"\{0\} [<>]= \{1\}", template):  # a constant stands on the right
            args = sorted(args, key=lambda x: _constancy(self.text(x)))
        return self.filled(self.imported(template), args)

    def larger(self, args: Any) -> str:
        """``max(y, x)`` for ``x if x > y else y``, as linters have it; "" for another condition."""
        c, *pair = args
        symbol = symbol_of(getattr(c, "function", None))
        if c not in self.inline or symbol not in MIRRORED or symbol in ("==", "!="):
            return ""
        given = [self.text(float(a) if a.__class__ is int else a) for a in c.args]
        x, y = map(self.text, pair)
        if sorted(given) != sorted((x, y)):
            return ""
        symbol = symbol if given[0] == x else MIRRORED[symbol]
        return f"{'min' if '<' in symbol else 'max'}({y}, {x})"


@cache
def is_reduction(f: Any) -> bool:
    """Whether it reduces its argument over axes, as the array's own method of that name does."""
    try:
        return "keepdims" in inspect.signature(f).parameters and hasattr(np.ndarray, f.__name__)
    except (TypeError, ValueError):  # no signature
        return False


def is_turned(line: Line) -> bool:
    """Whether it reads ``x.T``, which needs no line of its own."""
    plain = line.function is np.transpose and line.args[1:] in ((), (None,)) and not line.options
    return plain and line.args[0].__class__ is Line


def _constancy(text: str) -> int:
    """2 for a number, 1 for what is in capitals, which linters take for a constant."""
    if re.fullmatch(r"-?[\d.]+(e[+-]?\d+)?", text):
        return 2
    return int(bool(re.fullmatch(r"[\w.]+", text)) and text.rpartition(".")[2].isupper())


def _exponent(x: Any) -> str:
    """A whole exponent: 3 instead of 3.0."""
    n = number_of(x)
    return str(int(n)) if n is not None and abs(n) < 1000 and n == int(n) else ""
