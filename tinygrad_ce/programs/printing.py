"""A recorded graph as source: a line a node, names from the user where there are any."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..engine.rules import scatter
from ..engine.transforms import flatten
from .cleaning import uniform
from .expressions import ATOM, COMPARE, LEVEL, Expressions, is_turned
from .lines import Line, constant, is_basic, is_view, live, reads, walk, within
from .literals import (
    WIDTH,
    broken,
    check_fixed,
    check_range,
    dtype_text,
    fresh,
    indented,
    path_text,
    quoted,
    wrapped,
)
from .recorder import SCALAR
from .recording import TAKEN, Recorded

TWICE = {f for f, text in SCALAR.items() if text.count("{0}") > 1}
INLINE = 36  # letters of an expression that may stand inside another


class Printer(Expressions):
    """Names, lines and constants of one program."""

    def __init__(
        self, recorded: Recorded, lines: Sequence[Line], outputs: Any, clean: bool
    ) -> None:
        self.recorded, self.outputs, self.clean = recorded, outputs, clean
        found = live(lines, outputs)
        self.needed, self.nodes = set(found), [line for line in found if line.function is not None]
        inputs = [x for x, _, _ in self.arguments() if x.__class__ is Line]
        numbers = all(x.is_number for x in (*self.nodes, *inputs))
        scalar = numbers and not any(getattr(x, "ndim", 0) for _, x in flatten(outputs))
        super().__init__({*TAKEN, *recorded.parameters}, scalar)
        for x, name, path in self.arguments():
            if x.__class__ is Line:
                self.names[x] = self.unique(x.name or "x") if path else name
        self.results = set(walk(outputs))
        self.uses = self.count()
        self.numbers: dict[str, int] = {}
        self.found: list[str] = []
        forward = set(live(found, outputs[0]))
        last = max([i for i, line in enumerate(self.nodes) if line in forward], default=-1)
        self.backward = self.nodes[last + 1 : last + 2] if recorded.has_gradient else []

    def arguments(self) -> Iterator[tuple[Any, str, str]]:
        """Every leaf of the arguments, the name of its argument, and where it stands there."""
        recorded = self.recorded
        for row, arg, name in zip(recorded.inputs, recorded.args, recorded.parameters):
            yield from ((x, name, path) for x, (path, _) in zip(row, flatten(arg)))

    def count(self) -> dict[Line, int]:
        """How often each node is read: one that is returned, or read twice in a line, often."""
        uses = dict.fromkeys(self.results, 2)
        for node in reversed(self.nodes):
            often = 2 if node.is_number and node.function in TWICE else 1
            often = max(often, uses[node]) if self.repeats(node) else often
            for parent in reads(node):
                uses[parent] = uses.get(parent, 0) + often
        return uses

    def repeats(self, node: Line) -> bool:
        """Whether it is as fast and as short as its name: ``x <= 0.0``."""
        return self.scalar and node.kind is bool and LEVEL.get(node.function) == COMPARE

    def name(self, node: Line) -> str:
        """The user's name; ``grad_`` of a node's name; else the operation's, numbered."""
        of = self.names.get(node.of) if node.of is not None else None
        if node.name or (of and not of.endswith(".T")):
            found = self.unique(node.name or f"grad_{of}")
        else:
            name = _operation(node)
            self.numbers[name] = self.numbers.get(name, 0) + 1
            found = self.unique(f"{name}_{self.numbers[name]}")
        self.names[node] = found
        return found

    # ------------------------------------------------------------------ lines
    def lines(self) -> None:
        """The body: forward, then backward."""
        for x, name, path in self.arguments():
            if x.__class__ is not Line:
                self.found += check_fixed(name + path_text(path), x)
            elif x in self.needed and self.names[x] != name + path:
                self.found.append(f"{self.names[x]} = {name}{path_text(path)}")
        for node in self.nodes:
            if node in self.backward:
                self.found.append("# backward, newest first")
            self.node(node)

    def node(self, node: Line) -> None:
        """A line for a node; or none, where its one user can have it in its own line."""
        if node.function is within:
            return self.checked(node)
        of = node.of is not None and (node.of.name or node.of.function is None)
        kept = node.name or of or node.function is scatter or node.kind in (tuple, list)
        once = self.uses[node] == 1 or self.repeats(node)
        turned = is_turned(node) and node not in self.results
        if turned or (self.clean and not kept and once):
            text, level = self.expression(node)
            if len(text) <= INLINE:
                self.inline[node] = text, level
                return
        self.line(node)

    def checked(self, node: Line) -> None:
        """Lines that refuse an index out of range; it goes by its own name."""
        if node.args[0] not in self.names:
            self.line(node.args[0])
        self.names[node] = index = self.names[node.args[0]]
        self.found += check_range(index, *node.args[1:])

    def line(self, node: Line) -> None:
        """Write one line; what is too long has its longest part in a line before."""
        if node.function is scatter:
            self.scattered(node)
            return
        while True:
            text = self.expression(node)[0]
            parts = [p for p in reads(node) if p not in self.names]
            if len(text) <= WIDTH - 30 or not parts:
                break
            self.line(max(parts, key=lambda p: len(self.inline[p][0])))
        self.found.append(_line(f"{self.name(node)} = {text}", _note(node, self)))

    def scattered(self, node: Line) -> None:
        """Zeros, and what is written or added there."""
        g, index, shape = node.args
        alike = g.__class__ is np.ndarray and uniform(g)
        what = self.literal(g.flat[0].item()) if alike else self.text(g)
        name = self.name(node)
        kind = "" if node.dtype == np.float64 else f", {dtype_text(node.dtype)}"
        self.found.append(_line(f"{name} = np.zeros({shape}{kind})", _note(node, self)))
        if distinct(index):
            self.found.append(broken(f"{name}[{self.index(index)}] = {what}"))
        else:
            self.found.append(broken(f"np.add.at({name}, {self.text(index)}, {what})"))

    # ------------------------------------------------------------------ results
    def leaf(self, x: Any, seen: set[Any]) -> str:
        """One result; a copy of what the caller holds already."""
        if x.__class__ is not Line:
            return fresh(x, self.literal)
        base, copied = x, False
        while base.__class__ is Line and is_view(base):
            copied = copied or base.function is np.broadcast_to
            base = base.args[0]
        made = base.__class__ is Line
        own = made and base.function not in (None, constant) and base not in seen
        seen |= {base} if made else set()
        if x.kind is float or (own and not copied):
            return self.text(x)
        return f"{self.text(x, ATOM)}.copy()"

    def tree(self, x: Any, like: Any, seen: set[Any]) -> Any:
        """A structure of results: a leaf's text, or brackets around labelled items."""
        if isinstance(x, dict):
            items = [(f"{quoted(k)}: ", self.tree(v, like[k], seen)) for k, v in x.items()]
            return "{", items, "}"
        if x.__class__ not in (list, tuple):
            return self.leaf(x, seen)
        items = [("", self.tree(v, part, seen)) for v, part in zip(x, like)]
        if x.__class__ is list:
            return "[", items, "]"
        return "(", items, ")" if len(x) != 1 else ",)"

    def result(self) -> str:
        """The last line."""
        (value, gradient), like, seen = self.outputs, self.recorded.results, set[Any]()
        if not self.recorded.has_gradient:
            return wrapped("return ", self.tree(value, like[0], seen), "")
        first = self.leaf(value, seen)
        return wrapped(f"return {first}, ", self.tree(gradient, like[1], seen), "")

    def source(self) -> str:
        """The whole."""
        self.lines()
        text = "\n".join([*self.found, self.result()])
        constants = [f"{name} = {text}" for name, text in self.constants.values()]
        used = re.sub(r"#.*", "", "\n".join([text, *constants]))
        head = ["import math"] if re.search(r"\bmath\.", used) else []
        head += ["import numpy as np"] if re.search(r"\bnp\.", used) else []
        return self.module(head, constants, text)

    def module(self, head: list[str], constants: list[str], body: str) -> str:
        """The whole, as a file."""
        parameters = self.recorded.parameters
        name, title, what = "value", "A value", "Return the value."
        if self.recorded.has_gradient:
            name, title, of = "loss_and_grad", "Loss and gradient", self.recorded.differentiated
            what = f"Return the value and its gradient with respect to {of}."
        if len(what) > WIDTH - 10:
            what = "Return the value and its gradient."
        define = f"def {name}({', '.join(parameters)}):"
        if len(define) > WIDTH:
            inner = "".join(f"    {p},\n" for p in parameters)
            define = f"def {name}(\n{inner}):"
        parts = [f'"""{title}, printed by tinygrad_ce.program."""', "\n".join(head)]
        start = "\n\n".join(part for part in (*parts, "\n".join(constants)) if part)
        return f'{start}\n\n\n{define}\n    """{what}"""\n{indented(body)}\n'


def _note(node: Line, printer: Printer) -> str:
    """What a line computes, and its shape."""
    of = printer.names.get(node.of) if node.of is not None else None
    name = printer.names[node]
    what = f"gradient of {of}" if of and name.startswith("grad_") else _operation(node)
    if node.function is constant:
        what = "the gradient of the result by itself"
    shape = node.shape
    return what if not shape else f"{what}, {shape}"


def _line(code: str, note: str) -> str:
    line = f"{code}  # {note}"
    return line if len(line) + 4 <= WIDTH else f"# {note}\n{broken(code)}"


def _operation(node: Line) -> str:
    f = node.function
    if f is operator.getitem:
        return "item"
    if f is constant:
        return "one"
    name = getattr(f, "__name__", "x")
    owner = getattr(f, "__self__", None)
    return f"{owner.__name__}_{name}" if owner.__class__ is np.ufunc else name


def distinct(index: Any) -> bool:
    """Whether an index reads no entry twice, whatever the arguments are: ``[np.arange(n), y]``."""
    if is_basic(index):
        return True
    parts = [p for p in (index if index.__class__ is tuple else (index,)) if hasattr(p, "shape")]
    known = [p for p in parts if p.__class__ is np.ndarray and p.dtype.kind in "iu" and p.size]
    shape = np.broadcast_shapes(*[p.shape for p in parts])
    if not known or any((p < 0).any() for p in known):
        return False
    places = np.stack([np.broadcast_to(p, shape).reshape(-1) for p in known])
    return bool(np.unique(places, axis=1).shape[1] == math.prod(shape))
