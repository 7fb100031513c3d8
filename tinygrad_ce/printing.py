"""A recorded graph as source: a line a node, names from the user where there are any."""

from __future__ import annotations

import operator
import re
from typing import Any

import numpy as np

from .cleaning import key_of, number_of, uniform
from .literals import (
    WIDTH,
    array_text,
    broken,
    buffer_text,
    check_fixed,
    check_range,
    check_shape,
    dtype_text,
    fresh,
    function_text,
    indented,
    path_text,
    quoted,
    wrapped,
)
from .memory import METHODS, buffered, distinct, is_view, reused
from .recording import TAKEN, Recorded
from .rules import scatter
from .tracing import CONSTANT, SCALAR, WITHIN, Traced, astype, leaves, order, parents
from .transforms import flatten
from .writing import is_put, suits_blas

OPERATORS = {
    np.add: "+",
    np.subtract: "-",
    np.multiply: "*",
    np.divide: "/",
    np.floor_divide: "//",
    np.remainder: "%",
    np.power: "**",
    np.matmul: "@",
    np.less: "<",
    np.less_equal: "<=",
    np.greater: ">",
    np.greater_equal: ">=",
    np.equal: "==",
    np.not_equal: "!=",
    np.bitwise_and: "&",
    np.bitwise_or: "|",
    np.bitwise_xor: "^",
}
MIRRORED = {
    np.less: np.greater,
    np.less_equal: np.greater_equal,
    np.greater: np.less,
    np.greater_equal: np.less_equal,
    np.equal: np.equal,
    np.not_equal: np.not_equal,
}
PREFIX = {np.negative: "-", np.invert: "~"}
# How tightly an operation binds, as Python's grammar has it; 0 is x if c else y.
COMPARE, UNARY, POWER, ATOM = 4, 11, 12, 13
LEVEL = {
    np.where: 0,
    np.maximum: 0,
    np.minimum: 0,
    np.sign: 0,
    np.bitwise_or: 5,
    np.bitwise_xor: 6,
    np.bitwise_and: 7,
    np.add: 8,
    np.subtract: 8,
    np.logaddexp: 8,
    np.multiply: 9,
    np.divide: 9,
    np.floor_divide: 9,
    np.remainder: 9,
    np.matmul: 9,
    np.square: 9,
    np.negative: UNARY,
} | dict.fromkeys(
    (np.less, np.less_equal, np.greater, np.greater_equal, np.equal, np.not_equal, np.isnan),
    COMPARE,
)
TWICE = {f for f, text in SCALAR.items() if text.count("{0}") > 1}
INLINE = 36  # letters of an expression that may stand inside another
LONGEST = 300  # the same where nobody reads it
WORD = re.compile(r"[^\W\d]\w*")
DIRECT = {np.sum: "_sum", np.max: "_max", np.min: "_min"}
DEFAULTS = {"axis": None, "keepdims": False}


class Printer:
    """Names, lines and constants of one program."""

    def __init__(
        self, recorded: Recorded, outputs: Any, clean: bool, memory: bool, direct: bool = False
    ) -> None:
        self.recorded, self.outputs = recorded, outputs
        found = order(outputs)
        self.needed = set(found)
        self.nodes = [node for node in found if node.call is not None]
        inputs = [x for row in recorded.inputs for x in row if x.__class__ is Traced]
        self.scalar = all(x.sample.__class__ in (float, bool) for x in (*self.nodes, *inputs))
        self.scalar = self.scalar and all(
            number_of(x) is not None for x in constants_among(outputs)
        )
        self.constants: dict[Any, tuple[str, str]] = {}
        self.taken = {*TAKEN, *recorded.parameters}
        self.names: dict[Traced, str] = {}
        for row, arg, name in zip(recorded.inputs, recorded.args, recorded.parameters):
            for x, (path, _) in zip(row, flatten(arg)):
                if x.__class__ is Traced:
                    self.names[x] = self.unique(x.name or "x") if path else name
        self.ones: dict[str, Any] = {}
        self.direct = direct  # call what NumPy's own wrappers would call
        self.inline: dict[Traced, tuple[str, int]] = {}
        self.results = set(leaves(outputs))
        self.straight = direct and self.scalar  # one expression is faster than two
        self.uses = self.count()
        self.numbers: dict[str, int] = {}
        self.found: list[str] = []
        self.clean, self.memory = clean, memory
        self.slots: dict[Traced, int] = {}
        if (memory or direct) and not self.scalar:
            self.slots = (buffered if memory else reused)(self.nodes, outputs)
        self.arrays: dict[int, str] = {}  # their names
        if memory:
            kinds = {k: node for node, k in self.slots.items()}
            self.arrays = {k: self.unique(f"buffer_{k + 1}") for k in sorted(kinds)}
            self.kinds = [(kinds[k].shape, kinds[k].dtype) for k in sorted(kinds)]

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

    def unique(self, name: str) -> str:
        """A name that no other has."""
        found, n = name, 1
        while found in self.taken:
            n += 1
            found = f"{name}_{n}"
        self.taken.add(found)
        return found

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
        assert isinstance(x, np.ndarray), x
        key = key_of(x)
        if key not in self.constants:
            name = self.unique(f"C_{len(self.constants) + 1}")
            self.constants[key] = (name, array_text(x, self.literal))
        return self.constants[key][0]

    def text(self, x: Any, level: int = 0, weak: bool = True) -> str:
        """An argument, as source; in brackets where it binds less than ``level``."""
        if x.__class__ is Traced:
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
            return ", ".join(map(self.index, x)) + ("," if len(x) == 1 else "")
        if x.__class__ is slice:
            parts = ["" if p is None else self.text(p) for p in (x.start, x.stop, x.step)]
            return ":".join(parts[:2] if not parts[2] else parts)
        return self.text(x)

    def expression(self, node: Traced) -> tuple[str, int]:
        """The right-hand side, and how tightly it binds."""
        f, args = node.call, node.args
        if f is CONSTANT:
            return self.text(args[0]), ATOM
        if node.sample.__class__ in (float, bool) and f in SCALAR:
            return self.on_numbers(f, args)
        if f is operator.getitem:
            return f"{self.text(args[0], ATOM)}[{self.index(args[1])}]", ATOM
        if f is astype:
            return f"{self.text(args[0], ATOM)}.astype({self.text(args[1])})", ATOM
        if _is_turned(node):
            return f"{self.text(args[0], ATOM)}.T", ATOM
        wide = any(a.__class__ is Traced and a.dtype == np.float64 for a in args)
        strict = f.__class__ is np.ufunc and not wide  # a number's dtype counts
        weak = [not strict or a.__class__ is float for a in args]
        out = self.arrays.get(self.slots.get(node, -1))
        if f in OPERATORS and len(args) == 2 and not node.options and not out:
            return self.infix(node, weak)
        if f in PREFIX and len(args) == 1 and not out:
            return f"{PREFIX[f]}{self.text(args[0], ATOM)}", UNARY  # formatters have -(x**2)
        return self.called(node, weak, out), ATOM

    def infix(self, node: Traced, weak: list[bool]) -> tuple[str, int]:
        """``x + y``."""
        f, (x, y) = node.call, node.args
        if f is np.power:
            whole = x.__class__ is Traced and x.dtype.kind == "f"
            return self.power(node.args, _exponent(y) if whole else "", weak)
        if self.direct and f is np.matmul and _are_matrices(x, y):
            return f"{self.text(x, ATOM)}.dot({self.text(y)})", ATOM
        level = LEVEL[f]
        left = self.text(x, level + (level == COMPARE), weak[0])
        right = self.text(y, level + 1, weak[1])
        if f in MIRRORED:
            f, left, right = _turned(f, left, right)
        return f"{left} {OPERATORS[f]} {right}", level

    def called(self, node: Traced, weak: list[bool], out: str | None) -> str:
        """``np.f(x, y)``; ``x.sum()`` takes a quarter of the time of ``np.sum(x)`` of a small x."""
        f, args, options = node.call, node.args, node.options
        if self.direct and f in DIRECT and len(args) == 1 and options.keys() <= DEFAULTS.keys():
            return self.reduced(node, out, **DEFAULTS | options)
        if self.direct and f is np.matmul and _are_matrices(*args):
            return f"{self.text(args[0], ATOM)}.dot({self.text(args[1])}, {out})"
        method = f in METHODS and args[0].__class__ is Traced and args[0].shape
        parts = [self.text(a, 0, w) for a, w in zip(args, weak)][bool(method) :]
        shown = {k: v for k, v in options.items() if k not in DEFAULTS or v is not DEFAULTS[k]}
        parts += [f"{k}={self.text(v)}" for k, v in shown.items()]
        if out:
            short = self.direct and f.__class__ is np.ufunc and f not in (np.maximum, np.minimum)
            parts.append(out if short else f"out={out}")
        name = f"{self.text(args[0], ATOM)}.{f.__name__}" if method else function_text(f)
        return f"{name}({', '.join(parts)})"

    def reduced(self, node: Traced, out: str | None, axis: Any, keepdims: bool) -> str:
        """A sum or maximum; of short rows as a product with ones, in a third of the time."""
        x = node.args[0]
        short = x.ndim == 2 and x.dtype.char in "fd" and x.shape[1] < 2**7 and suits_blas(x)
        if node.call is not np.sum or not short or not isinstance(axis, int):
            found = self.text(x)
            return f"{DIRECT[node.call]}({found}, {axis}, None, {out}, {keepdims})"
        axis %= 2
        n = x.shape[axis]
        shape = ((1, n) if axis == 0 else (n, 1)) if keepdims else (n,)
        ones = f"_ones_{'_'.join(map(str, shape))}_{x.dtype.name}"
        self.ones[ones] = np.ones(shape, x.dtype)
        found = self.text(x, ATOM)
        into = f", {out}" if out else ""
        return f"{ones}.dot({found}{into})" if axis == 0 else f"{found}.dot({ones}{into})"

    def power(self, args: Any, whole: str, weak: Any) -> tuple[str, int]:
        """``x**2``, and ``(x + 1) ** 2`` with blanks, as formatters have it."""
        x, y = self.text(args[0], ATOM, weak[0]), whole or self.text(args[1], UNARY, weak[1])
        simple = re.fullmatch(r"[\w.]+", x) and re.fullmatch(r"-?[\w.]+", y)
        return f"{x}**{y}" if simple else f"{x} ** {y}", POWER

    def on_numbers(self, f: Any, args: Any) -> tuple[str, int]:
        """The same on Python floats."""
        if f is np.power and self.scalar and (whole := _exponent(args[1])):
            if (
                whole == "2" and args[0].__class__ is Traced and args[0] in self.names
            ):  # the same number in a third of the time
                return f"{self.names[args[0]]} * {self.names[args[0]]}", LEVEL[np.multiply]
            return self.power(args, whole, (True, True))
        if not self.scalar and f in (np.divide, np.power) and not number_of(args[1]):
            return f"float({function_text(f)}({', '.join(map(self.text, args))}))", ATOM
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
        found = template.format(*parts)
        if "math." in found and not self.scalar:
            found = f"float({found.replace('math.pow', 'np.power').replace('math.', 'np.')})"
        return found, level

    def lines(self) -> None:
        """The body: forward, then backward."""
        recorded = self.recorded
        for row, arg, name in zip(recorded.inputs, recorded.args, recorded.parameters):
            for x, (path, _) in zip(row, flatten(arg)):
                if x.__class__ is not Traced:
                    self.found += check_fixed(name + path_text(path), x)
                elif x in self.needed:
                    if self.names[x] != name + path:
                        self.found.append(f"{self.names[x]} = {name}{path_text(path)}")
                    if self.memory and self.slots and not self.direct:
                        self.found += check_shape(self.names[x], x.shape)
        self.checks, backward = len(self.found), False
        for node in self.nodes:
            if not backward and recorded.has_gradient and node.number >= recorded.start:
                backward = True
                self.found.append("# backward, newest first")
            self.node(node)

    def node(self, node: Traced) -> None:
        """A line for a node; or none, where its one user can have it in its own line."""
        if node.call == WITHIN:
            return self.line(node)
        of = node.of is not None and (node.of.name or node.of.call is None)
        kept = node.name or of or node.call is scatter or isinstance(node.sample, tuple | list)
        kept = kept and not self.straight
        once = self.uses[node] == 1 or self.repeats(node)
        turned = _is_turned(node) and node not in self.results
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
        return self.clean and (is_view(node) or not arrays) and node.call != WITHIN

    def line(self, node: Traced) -> None:
        """Write one line; what is too long has its longest part in a line before."""
        out = self.arrays.get(self.slots.get(node, -1))
        if node.call == WITHIN:
            if node.args[0] not in self.names:
                self.line(node.args[0])
            self.names[node] = index = self.names[node.args[0]]
            self.found += check_range(index, *node.args[1:]) if node.size else []
            return
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

    def result(self) -> str:
        """What is returned; nothing that the caller holds already."""
        seen: set[Any] = set()
        buffers = self.slots if self.memory else {}

        def leaf(x: Any) -> str:
            if x.__class__ is not Traced:
                return fresh(x, self.literal)
            base, copied = x, False
            while base.__class__ is Traced and is_view(base):
                copied = copied or base.call is np.broadcast_to
                base = base.args[0]
            again = base.__class__ is not Traced or base.call in (None, CONSTANT) or base in seen
            if base.__class__ is Traced:
                seen.add(base)
            copied = (copied or again or base in buffers) and isinstance(x.sample, np.ndarray)
            if copied and base in buffers:  # before another call takes the buffer
                name = self.unique(f"{self.names[x]}_copy")
                self.found.append(f"{name} = {self.names[x]}.copy()")
                return name
            return self.text(x) + (".copy()" if copied else "")

        def tree(x: Any, like: Any) -> Any:
            if isinstance(x, dict):
                return "{", [(f"{quoted(k)}: ", tree(v, like[k])) for k, v in x.items()], "}"
            if x.__class__ not in (list, tuple):
                return leaf(x)
            items = [("", tree(v, part)) for v, part in zip(x, like)]
            if x.__class__ is list:
                return "[", items, "]"
            if self.direct and hasattr(like, "_make"):  # a named tuple, which source does not know
                self.ones[name := f"_kind_{len(self.ones)}"] = type(like)
                return f"{name}(", items, ")"
            return "(", items, ")" if len(x) != 1 else ",)"

        (value, gradient), like = self.outputs, self.recorded.results
        if not self.recorded.has_gradient:
            return wrapped("return ", tree(value, like[0]), "")
        first = leaf(value)
        return wrapped(f"return {first}, ", tree(gradient, like[1]), "")

    def source(self) -> tuple[str, str, str]:
        """The head (imports, constants), the body, and the whole."""
        name = "loss_and_grad" if self.recorded.has_gradient else "value"
        self.lines()
        end = self.result()
        if self.straight:
            self.found[self.checks :] = _recycled(self.found[self.checks :], end)
        head_of_buffers = ""
        if self.arrays and self.memory:
            head_of_buffers, taken = buffer_text(self.arrays.values(), self.kinds)
            self.found[self.checks : self.checks] = taken
            self.found.append("FREE.append(buffers)")
        text = "\n".join([*self.found, end])
        consts = [f"{n} = {t}" for n, t in self.constants.values()]
        consts += [head_of_buffers] if head_of_buffers else []
        uses = re.sub(r"#.*", "", "\n".join([text, *consts]))
        head = ["import math"] if re.search(r"\bmath\.", uses) else []
        head += ["import numpy as np"] if re.search(r"\bnp\.", uses) else []
        title, what = "A value", "Return the value."
        if self.recorded.has_gradient:
            title, of = "Loss and gradient", self.recorded.differentiated
            what = f"Return the value and its gradient with respect to {of}."
        if len(what) > WIDTH - 10:
            what = "Return the value and its gradient."
        define = f"def {name}({', '.join(self.recorded.parameters)}):"
        if len(define) > WIDTH:
            inner = "".join(f"    {p},\n" for p in self.recorded.parameters)
            define = f"def {name}(\n{inner}):"
        blocks = [f'"""{title}, printed by tinygrad_ce.program."""', "\n".join(head)]
        start = "\n\n".join(b for b in (*blocks, "\n".join(consts)) if b)
        whole = f'{start}\n\n\n{define}\n    """{what}"""\n{indented(text)}\n'
        return "\n".join([*head, *consts]), text, whole


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


def _are_matrices(*args: Any) -> bool:
    return all(getattr(a, "ndim", 0) == 2 for a in args)


def _is_turned(node: Traced) -> bool:
    """Whether it reads ``x.T``, which needs no line of its own."""
    plain = node.call is np.transpose and node.args[1:] in ((), (None,)) and not node.options
    return plain and node.args[0].__class__ is Traced


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


def constants_among(tree: Any) -> list[Any]:
    """The constants among outputs."""
    if tree is None or tree.__class__ is Traced:
        return []
    if isinstance(tree, dict):
        return [c for v in tree.values() for c in constants_among(v)]
    if isinstance(tree, list | tuple):
        return [c for v in tree for c in constants_among(v)]
    return [tree]
