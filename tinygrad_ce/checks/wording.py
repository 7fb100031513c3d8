"""Nodes, numbers, entries and places, as one would write them in a sentence."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from textwrap import wrap
from typing import Any
from unicodedata import combining, east_asian_width

import numpy as np

from ..engine.names import names, operands
from ..engine.origin import line
from ..engine.text import _
from ..engine.value import Value
from ..programs.expressions import is_bare, pattern

PACKAGE = os.path.dirname(os.path.dirname(__file__))  # of whose lines a learner knows nothing
Part = tuple[str, str]  # an expression, and its `pattern`
LONG = 48  # characters of an expression; of a longer one less is shown


def by_op(nodes: Iterable[Value]) -> dict[Any, list[Value]]:
    """The nodes of each operation; leaves have None."""
    found: dict[Any, list[Value]] = {}
    for node in nodes:
        found.setdefault(node.op, []).append(node)
    return found


class Names:
    """What the nodes of a graph are called: by the learner's variables, else as expressions."""

    def __init__(self, nodes: Sequence[Value], called: dict[Value, str] | None = None) -> None:
        self.nodes, self.by_op = nodes, by_op(nodes)
        self.called = names(nodes) if called is None else called

    @cached_property
    def constants(self) -> dict[int, str]:
        """What constants are called where they are used."""
        some = (n for n in self.nodes if any(not isinstance(x, Value) for x in n.parents))
        used = [operands(node) for node in some]
        return {id(x): text for pairs in used for x, text in pairs if not isinstance(x, Value)}

    def learners(self, node: Value) -> str:
        """The name that a learner gave a node; "" where it has only its operation's."""
        name = self.called.get(node) or node.name or ""
        if node.op is None:
            return name or _("a leaf")
        made = re.fullmatch(re.escape(node.op.name) + r"(_\d+)?", name)
        return "" if made else name

    def has(self, x: Any) -> bool:
        """Whether something has a name; a constant need not."""
        return isinstance(x, Value) or id(x) in self.constants

    def __call__(self, x: Any) -> str:
        """A node or a constant in a sentence."""
        if not isinstance(x, Value):
            return self.constants.get(id(x), number(float(x)) if np.ndim(x) == 0 else "…")
        return self.learners(x) or self.expression(x)

    def placed(self, node: Value, text: str = "") -> str:
        """A node, or a text of it, and where it was written: ``p (train.py, line 12)``."""
        return (text or self(node)) + place(node)

    def formula(self, node: Value) -> str:
        """A node as an equation: ``p = e / s``."""
        name = self.learners(node)
        return f"{name} = {self.expression(node)}" if name and node.op else self(node)

    def equation(self, node: Value) -> str:
        """A node as an equation, and where it was written."""
        return self.placed(node, self.formula(node))

    def expression(self, node: Value) -> str:
        """What a node was written as, so deep as there is room for."""
        deep = (filled(node.op, self.parts(node, depth))[0] for depth in (4, 3, 2))
        flat, _inner = filled(node.op, self.parts(node, 1))
        return next((text for text in deep if len(text) <= LONG), flat)

    def parts(self, node: Value, depth: int = 4) -> list[Part]:
        """The arguments of an operation as one writes them."""

        def part(x: Any) -> Part:
            if not isinstance(x, Value) or self.learners(x):
                return self(x), "_"
            return filled(x.op, self.parts(x, depth - 1)) if depth > 1 else ("…", "_")

        return [*map(part, node.parents)]

    def at(self, x: Any, entry: Any, value: float) -> str:
        """An entry with its number: ``z[0, 0] = 1000``."""
        name, where = self(x), at(entry)
        name = _("a constant") if name == "…" else name
        if " " in name or "(" in name:
            return f"{name} = {number(value)}" + (_(" at {entry}", entry=where) if where else "")
        return f"{name}{where} = {number(value)}"


def filled(op: Any, parts: Sequence[Part]) -> Part:
    """An operation of arguments, in brackets where it needs them."""
    form = template(op, len(parts))
    bare = [not op.symbol or is_bare(form, k, inner) for k, (_text, inner) in enumerate(parts)]
    texts = [text if plain else f"({text})" for (text, _inner), plain in zip(parts, bare)]
    return form.format(*texts), pattern(form)


def template(op: Any, n: int) -> str:
    """How one writes an operation of n arguments."""
    if op.symbol and n <= 2:
        return f"{{}} {op.symbol} {{}}" if n == 2 else op.symbol + "{}"
    return "{}[...]" if op.name == "getitem" else f"{op.name}({', '.join(['{}'] * n)})"


def met(op: Any, numbers: Sequence[float]) -> str:
    """The numbers that met in an operation: ``inf / inf``."""
    if not numbers:
        return _("{op} of no numbers", op=op.name)
    if len(numbers) <= 3:
        return filled(op, [(number(x), number(x)) for x in numbers])[0]
    fields = {"n": len(numbers), "low": number(min(numbers)), "high": number(max(numbers))}
    return _("{op} of {n} numbers from {low} to {high}", op=op.name, **fields)


def number(x: Any) -> str:
    """A number in a sentence; what is near 1, where many domains end, with all its digits."""
    text = f"{x:.6g}"
    return text if text not in ("1", "-1") or float(x) == float(text) else repr(float(x))


def at(entry: Any) -> str:
    """An entry: ``[0, 2]``; nothing of a scalar."""
    return str([*map(int, entry)]) if entry else ""


def place(node: Value) -> str:
    """Where the learner wrote it: `` (train.py, line 12)``, or nothing."""
    file, row, _text = line(node.origin) if node.origin else (PACKAGE, 0, "")
    return "" if file.startswith(PACKAGE) else where(file, row)


def where(file: str, row: int) -> str:
    """A line of a file; of a notebook's cell, whose file is called by a number, the line alone."""
    name = os.path.basename(file)
    text = " (line {row})" if name.removesuffix(".py").isdigit() else " ({file}, line {row})"
    return _(text, file=name, row=row)


def columns(text: str) -> int:
    """How many columns of a terminal a text takes: Korean letters two, accents none."""
    return sum(2 if east_asian_width(c) in "WF" else not combining(c) for c in text)


def wrapped(text: str, width: int, **options: Any) -> list[str]:
    """A text in lines of so many columns of a terminal; options are those of `textwrap.wrap`."""
    wide = "".join(c.ljust(columns(c), chr(0)) for c in text)  # two characters for two columns
    return [line.replace(chr(0), "") for line in wrap(wide, width, **options)]


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of text as lines, their columns aligned."""
    widths = [max(map(columns, column)) for column in zip(*rows)]
    padded = ([text + " " * (w - columns(text)) for text, w in zip(row, widths)] for row in rows)
    return ["  ".join(row).rstrip() for row in padded]
