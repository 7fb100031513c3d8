"""A recorded graph as source: a line a node, names from the user where there are any."""

from __future__ import annotations

import operator
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..engine.rules import scatter
from ..engine.transforms import flatten
from .cleaning import uniform
from .expressions import COMPARE, LEVEL, Expressions, is_turned
from .literals import (
    WIDTH,
    broken,
    buffer_text,
    check_fixed,
    check_range,
    check_shape,
    dtype_text,
    fresh,
    indented,
    path_text,
    quoted,
    wrapped,
)
from .memory import buffered, distinct, is_view, reused
from .recording import TAKEN, Recorded
from .tracing import CONSTANT, SCALAR, WITHIN, Traced, astype, leaves, order, parents
from .writing import is_put

TWICE = {f for f, text in SCALAR.items() if text.count("{0}") > 1}
INLINE = 36  # letters of an expression that may stand inside another
LONGEST = 800  # the same where nobody reads it; Python takes 200 brackets
WORD = re.compile(r"[^\W\d]\w*")


class Printer(Expressions):
    """Names, lines and constants of one program."""

    def __init__(
        self, recorded: Recorded, outputs: Any, clean: bool, memory: bool, direct: bool = False
    ) -> None:
        self.recorded, self.outputs, self.clean = recorded, outputs, clean
        found = order(outputs)
        self.needed, self.nodes = set(found), [node for node in found if node.call is not None]
        inputs = [x for x, _, _ in self.arguments() if x.__class__ is Traced]
        numbers = all(x.sample.__class__ in (float, bool) for x in (*self.nodes, *inputs))
        scalar = numbers and not any(getattr(x, "ndim", 0) for _, x in flatten(outputs))
        super().__init__({*TAKEN, *recorded.parameters}, scalar, memory, direct)
        for x, name, path in self.arguments():
            if x.__class__ is Traced:
                self.names[x] = self.unique(x.name or "x") if path else name
        self.results = set(leaves(outputs))
        self.uses = self.count()
        self.numbers: dict[str, int] = {}
        self.found: list[str] = []
        if (memory or direct) and not scalar:
            self.slots = (buffered if memory else reused)(self.nodes, outputs)
        if memory:
            kinds = {k: node for node, k in self.slots.items()}
            self.arrays = {k: self.unique(f"buffer_{k + 1}") for k in sorted(kinds)}
            self.kinds = [(kinds[k].shape, kinds[k].dtype) for k in sorted(kinds)]

    def arguments(self) -> Iterator[tuple[Any, str, str]]:
        """Every leaf of the arguments, the name of its argument, and where it stands there."""
        recorded = self.recorded
        for row, arg, name in zip(recorded.inputs, recorded.args, recorded.parameters):
            yield from ((x, name, path) for x, (path, _) in zip(row, flatten(arg)))

    def count(self) -> dict[Traced, int]:
        """How often each node is read: one that is returned, or read twice in a line, often."""
        uses = dict.fromkeys(self.results, 1 if self.straight else 2)
        for node in reversed(self.nodes):
            often = 2 if node.sample.__class__ in (float, bool) and node.call in TWICE else 1
            often = max(often, uses[node]) if self.repeats(node) else often
            for parent in parents(node):
                uses[parent] = uses.get(parent, 0) + often
        return uses

    def repeats(self, node: Traced) -> bool:
        """Whether it is as fast and as short as its name: ``x <= 0.0``."""
        return self.scalar and node.sample.__class__ is bool and LEVEL.get(node.call) == COMPARE

    def name(self, node: Traced) -> str:
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
            if x.__class__ is not Traced:
                self.found += check_fixed(name + path_text(path), x)
            elif x in self.needed:
                if self.names[x] != name + path:
                    self.found.append(f"{self.names[x]} = {name}{path_text(path)}")
                if self.memory and self.slots and not self.direct:
                    self.found += check_shape(self.names[x], x.shape)
        self.checks, backward = len(self.found), False
        for node in self.nodes:
            if not backward and self.recorded.has_gradient and node.number >= self.recorded.start:
                backward = True
                self.found.append("# backward, newest first")
            self.node(node)

    def node(self, node: Traced) -> None:
        """A line for a node; or none, where its one user can have it in its own line."""
        if node.call == WITHIN:
            return self.checked(node)
        of = node.of is not None and (node.of.name or node.of.call is None)
        kept = node.name or of or node.call is scatter or isinstance(node.sample, tuple | list)
        kept = kept and not self.straight
        once = self.uses[node] == 1 or self.repeats(node)
        turned = is_turned(node) and node not in self.results
        if turned or (self.inlines(node) and not kept and once):
            text, level = self.expression(node)
            if len(text) <= (LONGEST if self.straight else INLINE):
                self.inline[node] = text, level
                return
        self.line(node)

    def inlines(self, node: Traced) -> bool:
        """Whether it may run in a later line: not where that would read an array reused by then."""
        if not self.memory:
            return self.clean and not self.slots
        arrays = any(np.shape(p.sample) or is_view(p) for p in parents(node))
        return self.clean and (is_view(node) or not arrays)

    def checked(self, node: Traced) -> None:
        """Lines that refuse an index out of range; it goes by its own name."""
        if node.args[0] not in self.names:
            self.line(node.args[0])
        self.names[node] = index = self.names[node.args[0]]
        self.found += check_range(index, *node.args[1:])

    def line(self, node: Traced) -> None:
        """Write one line; what is too long has its longest part in a line before."""
        out = self.arrays.get(self.slots.get(node, -1))
        if node.call is scatter or (out and node.call in (np.where, astype)):
            self.filled(node, out)
            return
        while True:
            text = self.expression(node)[0]
            parts = [p for p in parents(node) if p not in self.names]
            if self.straight or len(text) <= WIDTH - 30 or not parts:
                break
            self.line(max(parts, key=lambda p: len(self.inline[p][0])))
        name = self.name(node)
        code = f"{name} = {text}"
        self.found.append(code if self.straight else _line(code, _note(node, self)))
        if node in self.slots:
            self.arrays.setdefault(self.slots[node], name)

    def filled(self, node: Traced, out: str | None) -> None:
        """Lines for what is made in several steps."""
        if node.call is scatter:
            g, index, shape = node.args
            alike = g.__class__ is np.ndarray and uniform(g)
            what = self.literal(g.flat[0].item()) if alike else self.text(g)
            name = self.name(node)
            kind = "" if node.dtype == np.float64 else f", {dtype_text(node.dtype)}"
            made = f"{name} = {out or f'np.zeros({shape}{kind})'}"
            then = [f"{name}.fill(0.0)"] if out else []
            if distinct(index):
                then.append(f"{name}[{self.index(index)}] = {what}")
            else:
                then.append(f"np.add.at({name}, {self.text(index)}, {what})")
        elif node.call is astype:
            x, name = self.text(node.args[0]), self.name(node)
            made = f"{name} = {out}"
            then = [f'np.copyto({name}, {x}, casting="unsafe")']
        else:
            (c, x, y), name = map(self.text, node.args), self.name(node)
            last = node.args[2]
            over = last.__class__ is Traced and self.slots.get(last) == self.slots[node]
            made = f"{name} = {y if over else out}"
            then = [] if over else [f"np.copyto({name}, {y})"]
            put, copy = f"np.putmask({name}, {c}, {x})", f"np.copyto({name}, {x}, where={c})"
            then.append(put if is_put(node) else copy)
        self.found += [_line(made, _note(node, self)), *map(broken, then)]

    # ------------------------------------------------------------------ results
    def leaf(self, x: Any, seen: set[Any]) -> str:
        """One result; a copy of what the caller holds already, or another call will write over."""
        if x.__class__ is not Traced:
            return fresh(x, self.literal)
        base, copied = x, False
        while base.__class__ is Traced and is_view(base):
            copied = copied or base.call is np.broadcast_to
            base = base.args[0]
        made = base.__class__ is Traced
        own = made and base.call not in (None, CONSTANT) and base not in seen
        lent = made and self.memory and base in self.slots
        seen |= {base} if made else set()
        if not isinstance(x.sample, np.ndarray) or (own and not copied and not lent):
            return self.text(x)
        if not lent:
            return f"{self.text(x)}.copy()"
        name = self.unique(f"{self.names[x]}_copy")  # before another call takes the buffer
        self.found.append(f"{name} = {self.names[x]}.copy()")
        return name

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
        if self.direct and hasattr(like, "_make"):  # a named tuple, which source does not know
            self.ones[name := f"_kind_{len(self.ones)}"] = type(like)
            return f"{name}(", items, ")"
        return "(", items, ")" if len(x) != 1 else ",)"

    def result(self) -> str:
        """The last line."""
        (value, gradient), like, seen = self.outputs, self.recorded.results, set[Any]()
        if not self.recorded.has_gradient:
            return wrapped("return ", self.tree(value, like[0], seen), "")
        first = self.leaf(value, seen)
        return wrapped(f"return {first}, ", self.tree(gradient, like[1], seen), "")

    def source(self) -> tuple[str, str, str]:
        """The head (imports, constants), the body, and the whole."""
        self.lines()
        end = self.result()
        if self.straight:
            self.found[self.checks :] = _recycled(self.found[self.checks :], end)
        constants = [f"{name} = {text}" for name, text in self.constants.values()]
        if self.arrays and self.memory:
            made, taken = buffer_text(self.arrays.values(), self.kinds)
            constants.append(made)
            self.found[self.checks : self.checks] = taken
            self.found.append("FREE.append(buffers)")
        text = "\n".join([*self.found, end])
        uses = re.sub(r"#.*", "", "\n".join([text, *constants]))
        head = ["import math"] if re.search(r"\bmath\.", uses) else []
        head += ["import numpy as np"] if re.search(r"\bnp\.", uses) else []
        return "\n".join([*head, *constants]), text, self.module(head, constants, text)

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


def _note(node: Traced, printer: Printer) -> str:
    """What a line computes, and its shape."""
    of = printer.names.get(node.of) if node.of is not None else None
    name = printer.names[node]
    what = f"gradient of {of}" if of and name.startswith("grad_") else _operation(node)
    if node.call is CONSTANT:
        what = "the gradient of the result by itself"
    shape = getattr(node.sample, "shape", None)
    return what if not shape else f"{what}, {shape}"


def _line(code: str, note: str) -> str:
    line = f"{code}  # {note}"
    return line if len(line) + 4 <= WIDTH else f"# {note}\n{broken(code)}"


def _recycled(lines: list[str], result: str) -> list[str]:
    """The lines with each name used again once nobody reads its value: ten thousand are slow.

    Python has an instruction more for every name after 256, and new memory for every float kept.
    """
    kept = set(WORD.findall(result))
    last = {word: i for i, line in enumerate(lines) for word in WORD.findall(line)}
    found, free, now = [], list[str](), dict[str, str]()
    for i, line in enumerate(lines):
        name, sign, text = line.partition(" = ")
        read = dict.fromkeys(WORD.findall(text))  # in their order, each once
        text = WORD.sub(lambda word: now.get(word[0], word[0]), text)
        free += [now[word] for word in read if word in now and last[word] == i]
        if sign and name not in kept:
            now[name] = free.pop() if free else name
        found.append(f"{now.get(name, name)}{sign}{text}")
    return found


def _operation(node: Traced) -> str:
    f = node.call
    if f is operator.getitem:
        return "item"
    if f.__class__ is str:
        return "one"
    name = getattr(f, "__name__", "x")
    owner = getattr(f, "__self__", None)
    return f"{owner.__name__}_{name}" if owner.__class__ is np.ufunc else name
