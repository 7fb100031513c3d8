"""A line of a program as an expression, in as few brackets as Python's grammar asks for."""

from __future__ import annotations

import ast
import inspect
import operator
import re
from collections import Counter
from functools import cache
from typing import Any

import numpy as np

from .lines import Line, astype, constant, entry, fact, name_of, option
from .literals import array_text, dtype_text, number_text, quoted, structure_text
from .simplifier import is_plain_sum, key_of, number_of

# How tightly Python's operators bind.
COMPARE, UNARY, ATOM = 4, 11, 13
LEVELS: dict[Any, int] = {
    ast.IfExp: 0, ast.Or: 1, ast.And: 2, ast.Not: 3, ast.Compare: COMPARE,
    ast.BitOr: 5, ast.BitXor: 6, ast.BitAnd: 7, ast.Add: 8, ast.Sub: 8,
    ast.Mult: 9, ast.Div: 9, ast.FloorDiv: 9, ast.Mod: 9, ast.MatMult: 9,
    ast.USub: UNARY, ast.Invert: UNARY, ast.Pow: 12,
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
                least = level + (i > 0 or level <= COMPARE)
                tight = (UNARY if i else ATOM) if level >= UNARY else least  # x**-y, -(x**y)
                k, inside = int(part.id[1:]), isinstance(node, ast.Call)
                needed[k] = max(needed.get(k, 0), 0 if inside else tight)
    return _level(tree), tuple(needed[k] for k in sorted(needed))


class Expressions:
    """The text of lines, given the names of those that have a statement of their own.

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
        self.numbers = Counter[str]()
        self.modules: set[str] = set()  # besides NumPy

    def unique(self, name: str) -> str:
        """A name that no other has."""
        found, n = name, 1
        while found in self.taken:
            n += 1
            found = f"{name}_{n}"
        self.taken.add(found)
        return found

    def numbered(self, name: str) -> str:
        """A name with the next number."""
        self.numbers[name] += 1
        return self.unique(f"{name}_{self.numbers[name]}")

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
        return self.constant(x)

    def constant(self, x: Any, name: str = "") -> str:
        """The name of an array that is made once."""
        key = key_of(x)
        if key not in self.constants:
            found = self.unique(name) if name else self.numbered("C")
            self.constants[key] = found, array_text(x)
        return self.constants[key][0]

    def text(self, x: Any, level: int = 0, weak: bool = True) -> str:
        """An argument, as source; in brackets where it binds less than ``level``."""
        if x.__class__ in (tuple, list):
            return structure_text(x, self.text)
        if x.__class__ is Line:
            found, own = self.inline[x] if x not in self.names else (self.names[x], ATOM)
        else:
            found = self.literal(x, weak)
            own = UNARY if found.startswith("-") else ATOM
        return f"({found})" if own < level else found

    def index(self, x: Any) -> str:
        """What stands between square brackets."""
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
        return template.format(*map(self.text, args, needed, weak or [True] * len(args))), level

    def expression(self, line: Line) -> tuple[str, int]:
        """The right-hand side, and how tightly it binds."""
        f, args = line.function, line.args
        if f is constant:
            return self.text(args[0]), ATOM
        if f is operator.getitem:
            return f"{self.text(args[0], ATOM)}[{self.index(args[1])}]", ATOM
        if f is astype:
            return self.filled("{}.astype({})", args)
        if is_turned(line):
            return self.filled("{}.T", args[:1])
        wide = any(a.__class__ is Line and a.dtype == np.float64 for a in args)
        strict = not wide  # a number's dtype counts
        weak = [not strict or a.__class__ is float for a in args]
        symbol = fact(f, "symbol") if not line.options else ""
        template = entry(f) if line.is_number else ""
        if symbol == "**" and (whole := _exponent(line)):
            if self.scalar and whole == 2 and args[0] in self.names:  # in a third of the time
                return self.filled("{0} * {0}", args[:1])
            return self.filled("{} ** {}", (args[0], whole), weak)
        if not template and symbol:
            template = f"{{}} {symbol} {{}}" if len(args) == 2 else symbol + "{}"
        if len(args) == 2 and f is np.matmul and _ndim(args[0]) == 2 == _ndim(args[1]):
            template = "{}.dot({})"  # of small matrices half the time of @
        if template:
            self.modules.update(re.findall(r"([a-z_][\w.]*)\.\w+\(", template))
            return self.filled(template, args, weak)
        if f is np.mean and line.size and _ndim(args[0]) and is_plain_sum(args, line.options):
            total = Line(np.sum, args, line.options, line.shape, line.kind)  # half the time
            return f"{self.called(total, weak)} / {args[0].size // line.size}", LEVELS[ast.Div]
        return self.called(line, weak), ATOM

    def called(self, line: Line, weak: list[bool]) -> str:
        """``np.f(x, y)``; ``x.sum()`` takes a quarter of the time of ``np.sum(x)`` of a small x."""
        f, args = line.function, line.args
        parts = [self.text(a, 0, w) for a, w in zip(args, weak)]
        parts += [f"{k}={self.text(v)}" for k, v in line.options.items()]
        if f is np.sum and (short := self.short_sum(line)):
            return short
        if is_reduction(f) and args[0].__class__ is Line and args[0].shape:
            return f"{self.text(args[0], ATOM)}.{f.__name__}({', '.join(parts[1:])})"
        name = name_of(f)
        self.modules.add(name.rpartition(".")[0])
        return f"{name}({', '.join(parts)})"

    def short_sum(self, line: Line) -> str:
        """A sum in a matrix of short rows as a product with ones: a third of the time of its own.

        It is what makes softmax regression on 32×4×3 as fast as by hand.
        """
        x, axis = line.args[0], option(line, "axis", 1)
        plain = is_plain_sum(line.args, line.options) and isinstance(axis, int)
        if not plain or x.ndim != 2 or not 1 < x.shape[1] < 128:
            return ""
        n, keep = x.shape[axis], bool(line.options.get("keepdims"))
        shape = (n,) if not keep else (1, n) if axis % 2 == 0 else (n, 1)
        ones = self.constant(np.ones(shape, x.dtype), f"ONES_{n}")
        return self.filled(f"{ones}.dot({{}})" if axis % 2 == 0 else f"{{}}.dot({ones})", [x])[0]


def _ndim(x: Any) -> int:
    return x.ndim if x.__class__ in (Line, np.ndarray) else 0


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


def _exponent(line: Line) -> int | None:
    """A whole exponent: 3 instead of 3.0."""
    x, n = line.args[0], number_of(line.args[1])
    real = x.__class__ is Line and x.dtype.kind == "f" and x.dtype == line.dtype
    return int(n) if real and n is not None and abs(n) < 1000 and n == int(n) else None
