"""A line of a program as an expression, in as few brackets as Python's grammar asks for."""

from __future__ import annotations

import ast
import operator
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from ..engine.data import example
from .lines import Line, Size, astype, constant, entry, fact, name_of, option
from .literals import LONG, array_text, dtype_text, fresh_text, number_text, quoted, structure_text
from .simplifier import REDUCTIONS, is_call, is_plain_sum, key_of, number_of

OPERATIONS = ast.BinOp | ast.UnaryOp | ast.BoolOp | ast.Compare | ast.IfExp
ATOM = "{}.x"  # a place where every operation needs brackets


def _parsed(template: str, *parts: str) -> ast.expr:
    return ast.parse(template.format(*parts, *"_" * 9), mode="eval").body


@cache
def pattern(template: str) -> str:
    """An expression that binds as a template does."""
    return template.format(*"_" * 9) if isinstance(_parsed(template), OPERATIONS) else "_"


@cache
def is_bare(template: str, place: int, inner: str) -> bool:
    """Whether an expression in a place of a template is read the same without brackets."""
    before = ["_"] * place
    try:
        bare, inside = (_parsed(template, *before, x) for x in (inner, f"({inner})"))
    except SyntaxError:  # x == not y
        return False
    return ast.dump(bare) == ast.dump(inside)


def symbols(line: Line, symbol: str, inline: dict[Line, Any]) -> tuple[str, Sequence[Any]]:
    """``x + y``; also ``x / n`` for 1 / n * x, ``-x * y`` for -(x * y), and ``z * (x / y)``."""
    f, args, first = line.function, line.args, line.args[0]
    inner = is_call(first, np.multiply, np.divide) and first in inline
    share = first.text if first.__class__ is Size and f is np.multiply else ""
    if isinstance(first, float) and f is np.multiply and len(repr(first)) > LONG and first > 0:
        share = f"1 / {1 / first!r}" if (1 / first).is_integer() else ""
    if share.startswith("1 / "):
        return f"{{}}{share[1:]}", args[1:]
    if f is np.negative and inner:
        return f"-{inline[first][0]}", ()
    args = args[::-1] if f is np.multiply and inner and first.function is np.divide else args
    return f"{{}} {symbol} {{}}" if len(args) == 2 else symbol + "{}", args


class Expressions:
    """The text of lines, given the names of those that have a statement of their own."""

    def __init__(self, taken: set[str], called: dict[Any, str]) -> None:
        self.taken, self.called = taken, called  # names; the learner's, of arrays by their `key_of`
        self.names: dict[Line, str] = {}
        self.inline: dict[Line, tuple[str, str]] = {}  # of others the text, and its `pattern`
        self.constants: dict[Any, tuple[str, str]] = {}
        self.arrays: dict[str, str] = {}  # of constants that depend on sizes the names
        self.numbers, self.repeats = Counter[str](), Counter[str]()

    def unique(self, name: str) -> str:
        """A name that no other has."""
        free = name
        while free in self.taken:
            self.repeats[name] += 1
            free = f"{name}_{self.repeats[name] + 1}"
        self.taken.add(free)
        return free

    def numbered(self, name: str) -> str:
        """A name with the next number."""
        self.numbers[name] += 1
        return self.unique(f"{name}_{self.numbers[name]}")

    def literal(self, x: Any, weak: bool = True) -> str:
        """A constant, as source."""
        if x.__class__ is Size:
            if np.ndim(x.example):
                return self.sized(x)
            return x.text if isinstance(x.example, int) else number_text(x, weak)
        if x is None or x is Ellipsis or isinstance(x, bool | str | int):
            return "..." if x is Ellipsis else quoted(x)
        if isinstance(x, np.dtype | type):
            return dtype_text(np.dtype(x))
        return self.constant(np.asarray(x)) if np.ndim(x) else number_text(x, weak)  # range(n), too

    def constant(self, x: Any, name: str = "") -> str:
        """The name of an array that is made once; ``X.T``, ``-t``, ``1.0 - t`` if t has one."""
        key = key_of(x)
        name = name or self.called.get(key, "")
        if not name and x.ndim == 2 and key_of(x.T) in self.called:
            return f"{self.constant(x.T)}.T"
        if not name and x.dtype.kind == "f" and key_of(-x) in self.called:
            return f"-{self.constant(-x)}"
        if not name and x.dtype.kind == "f" and key_of(1.0 - x) in self.called:
            return f"1.0 - {self.constant(1.0 - x)}"
        if key not in self.constants:
            free = self.unique(name) if name else self.numbered("C")
            self.constants[key] = free, array_text(x)
        return self.constants[key][0]

    def sized(self, x: Size) -> str:
        """The name of an array that is made once in a call."""
        if x.text not in self.arrays:
            self.arrays[x.text] = self.numbered(x.text[3:].partition("(")[0])  # np.ones(...)
        return self.arrays[x.text]

    def text(self, x: Any, template: str = "{}", place: int = 0, weak: bool = True) -> str:
        """An argument, as source; in brackets where its place in a template asks for them."""
        if x.__class__ in (tuple, list):
            return structure_text(x, self.text)
        if x.__class__ is Line:
            source, inner = self.inline[x] if x not in self.names else (self.names[x], "_")
        else:
            source = self.literal(x, weak)
            inner = "-_" if source.startswith("-") else "_"
            inner = pattern(source) if x.__class__ is Size or " - " in source else inner
        return source if is_bare(template, place, inner) else f"({source})"

    def index(self, x: Any) -> str:
        """What stands between square brackets."""
        if x.__class__ is tuple and x:
            parts = [self.text(p) if p.__class__ is tuple else self.index(p) for p in x]
            return ", ".join(parts) + ("," if len(x) == 1 else "")
        if x.__class__ is slice:
            parts = ["" if p is None else self.text(p) for p in (x.start, x.stop, x.step)]
            return ":".join(parts[:2] if not parts[2] else parts)
        return self.text(int(x) if isinstance(x, np.integer) else x)

    def expression(self, line: Line) -> tuple[str, str]:
        """The right-hand side, and its `pattern`."""
        template, args = self.template(line)
        wide = any(a.__class__ is Line and a.dtype == np.float64 for a in args)
        weak = [wide or example(a).__class__ is float for a in args]  # of others the dtype counts
        parts = [self.text(a, template, i, w) for i, (a, w) in enumerate(zip(args, weak))]
        return template.format(*parts), pattern(template)

    def template(self, line: Line) -> tuple[str, Sequence[Any]]:
        """How a line reads, and what is filled in."""
        f, args = line.function, line.args
        symbol = fact(f, "symbol") if not line.options else ""
        if f is constant:
            return "{}", args
        if f is operator.getitem:
            return f"{{}}[{self.index(args[1])}]", args[:1]
        if f is astype:
            return "{}.astype({})", args
        if is_turned(line):
            return "{}.T", args[:1]
        n = number_of(args[1]) if symbol == "**" and args[0].__class__ is Line else None
        if n is not None and n.is_integer() and args[0].dtype == line.dtype:
            return f"{{}} ** {int(n)}", args[:1]
        if len(args) == 2 and f is np.matmul and np.ndim(args[0]) == 2 == np.ndim(args[1]):
            return "{}.dot({})", args  # of small matrices half the time of @
        if f in (np.maximum, np.minimum) and line.is_number and key_of(args[0]) == key_of(args[1]):
            return "{}", args[:1]  # linters ask what ``x if x >= x …`` is for
        if line.is_number and (template := entry(f)):
            return template, args
        if symbol:
            return symbols(line, symbol, self.inline)
        return self.call(line), [*args, *line.options.values()]

    def call(self, line: Line) -> str:
        """``np.f(x, y)``; ``x.sum()`` takes a quarter of the time of ``np.sum(x)`` of a small x."""
        f, args = line.function, line.args
        if f in REDUCTIONS and (short := self.short_rows(line)):
            return short
        parts = ["{}"] * len(args) + [f"{name}={{}}" for name in line.options]
        if f in REDUCTIONS and args[0].__class__ is Line and args[0].shape:
            return f"{{}}.{f.__name__}({', '.join(parts[1:])})"
        return f"{name_of(f)}({', '.join(parts)})"

    def short_rows(self, line: Line) -> str:
        """A sum in a matrix of short rows as a product with ones: a third of the time of its own.

        A maximum in many is taken in columns, in half the time. It is what makes softmax regression
        as fast as by hand: on 32×4×3 the one saves a sixth, on 150×4×3 the other.
        """
        (x, *rest), axis = line.args, option(line, "axis", 1)
        plain = isinstance(axis, int) and not rest and line.options.keys() <= {"axis", "keepdims"}
        if not plain or np.ndim(x) != 2 or not 1 < (k := operator.index(x.shape[1])) < 128:
            return ""
        n, keep, name = x.shape[axis], bool(line.options.get("keepdims")), line.function.__name__
        many = operator.index(x.shape[0]) >= 32 >= k
        if name in ("max", "min") and axis % 2 == 1 and many:
            return f"{{}}.T.copy().{name}(axis=0)" + "[:, None]" * keep
        if name != "sum" or not is_plain_sum(line.args, line.options):
            return ""
        shape = (n,) if not keep else (1, n) if axis % 2 == 0 else (n, 1)
        like = np.ones([*map(operator.index, shape)], x.dtype)
        if isinstance(n, Size):
            ones = self.sized(Size(fresh_text(like, shape), like))
        else:
            ones = self.constant(like, f"ONES_{n}")
        return f"{ones}.dot({{}})" if axis % 2 == 0 else f"{{}}.dot({ones})"


def is_turned(line: Line) -> bool:
    """Whether it reads ``x.T``, which needs no line of its own."""
    plain = line.function is np.transpose and line.args[1:] in ((), (None,)) and not line.options
    return plain and line.args[0].__class__ is Line
