"""Nodes, numbers, entries and places, as one would write them in a sentence."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ..engine.names import names, operands
from ..engine.origin import line
from ..engine.text import _
from ..engine.value import Value

LONG = 48  # characters of an expression; of a longer one less is shown
BINDS = {"+": 1, "-": 1, "*": 2, "/": 2, "@": 2, "**": 3}


class Names:
    """What nodes are called: by the learner's variables, else by the expression they are."""

    def __init__(self, nodes: Sequence[Value]) -> None:
        self.nodes, self.called = nodes, names(nodes)

    @cached_property
    def constants(self) -> dict[int, str]:
        """What constants are called where they are used."""
        used = [operands(node) for node in self.nodes if node.op is not None]
        return {id(x): text for pairs in used for x, text in pairs if not isinstance(x, Value)}

    def own(self, node: Value) -> str:
        """The name that a learner gave a node; "" where it has only its operation's."""
        if node.op is None:
            return self.called.get(node) or node.name or _("a leaf")
        name = self.called.get(node, "")
        made = re.fullmatch(re.escape(node.op.name) + r"(_\d+)?", name)
        return "" if made else name

    def has(self, x: Any) -> bool:
        """Whether something has a name; a constant need not."""
        return isinstance(x, Value) or id(x) in self.constants

    def __call__(self, x: Any) -> str:
        """A node or a constant in a sentence."""
        if not isinstance(x, Value):
            return self.constants.get(id(x), number(float(x)) if np.ndim(x) == 0 else "…")
        return self.own(x) or self.expression(x)

    def formula(self, node: Value) -> str:
        """A node as an equation: ``p = e / s``."""
        if node.op is None:
            return self(node)
        own = self.own(node)
        return f"{own} = {self.expression(node)}" if own else self.expression(node)

    def expression(self, node: Value) -> str:
        """What a node was written as, so deep as there is room for."""
        texts = (self._written(node, depth)[0] for depth in (4, 3, 2))
        return next((t for t in texts if len(t) <= LONG), self._written(node, 1)[0])

    def _written(self, node: Value, depth: int) -> tuple[str, int]:
        """An operation of its arguments' expressions, and how tightly it binds."""
        return spelled(node.op, self.parts(node, depth)), _binds(node) if node.op.symbol else 4

    def parts(self, node: Value, depth: int = 4) -> list[str]:
        """The arguments of an operation, in brackets where it needs them."""
        found = []
        for k, x in enumerate(node.parents):
            text, inner = "…" if self._is_made(x) else self(x), 4
            if self._is_made(x) and depth > 1:
                text, inner = self._written(x, depth - 1)
            loose = node.op.symbol and (inner, -k) < (_binds(node), 0)
            found.append(f"({text})" if loose else text)
        return found

    def _is_made(self, x: Any) -> bool:
        """Whether something has no name but its operation's."""
        return isinstance(x, Value) and not self.own(x)

    def at(self, x: Any, entry: Any, value: float) -> str:
        """An entry with its number: ``z[0, 0] = 1000``."""
        name, where = self(x), at(entry)
        if " " in name or "(" in name:
            return f"{name} = {number(value)}" + (_(" at {entry}", entry=where) if where else "")
        return f"{name}{where} = {number(value)}"


def _binds(node: Value) -> int:
    return BINDS.get(node.op.symbol, 4) if len(node.parents) == 2 else 2


def spelled(op: Any, args: Sequence[str]) -> str:
    """An operation of its arguments, as one would write it."""
    if op.symbol and len(args) <= 2:
        return f" {op.symbol} ".join(args) if len(args) == 2 else op.symbol + args[0]
    return f"{args[0]}[...]" if op.name == "getitem" else f"{op.name}({', '.join(args)})"


def met(op: Any, numbers: Sequence[float]) -> str:
    """The numbers that met in an operation: ``inf / inf``."""
    if len(numbers) <= 3:
        return spelled(op, [*map(number, numbers)])
    fields = {"n": len(numbers), "low": number(np.min(numbers)), "high": number(np.max(numbers))}
    return _("{op} of {n} numbers from {low} to {high}", op=op.name, **fields)


def number(x: Any) -> str:
    """A number in a sentence."""
    return f"{x:.6g}"


def at(entry: Any) -> str:
    """An entry: ``[0, 2]``; nothing of a scalar."""
    return str([*map(int, entry)]) if entry else ""


def place(node: Value) -> str:
    """Where the learner wrote it: `` (train.py, line 12)``, or nothing."""
    if not node.origin:
        return ""
    file, row, _text = line(node.origin)
    return where(file, row)


def where(file: str, row: int) -> str:
    """A line of a file; of a notebook's cell, whose file is called by a number, the line alone."""
    name = os.path.basename(file)
    text = " (line {row})" if name.removesuffix(".py").isdigit() else " ({file}, line {row})"
    return _(text, file=name, row=row)
