"""The lines of a program as formulas: text or LaTeX, in no more brackets than they need."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from ..engine.operation import TABLE
from ..engine.rules import scatter
from ..programs.lines import CHECKED, Line, Size, astype, constant, elementwise, fact, option, reads
from ..programs.simplifier import REDUCTIONS, is_call, key_of, uniform
from .formulas import TEXT, Notation

# How tightly a formula binds, the loosest first; what it asks of its first argument, and of others.
CHOICE, COMPARED, TERMS, SIGNED, FACTORS, MATRICES, TIGHT, ATOM = range(8)
NEEDS = [
    *[(COMPARED,) * 2, (TERMS,) * 2, (TERMS, SIGNED), (FACTORS,) * 2, (SIGNED, FACTORS)],
    *[(MATRICES,) * 2, (ATOM,) * 2, (ATOM,) * 2],
]
MARKS = [r" if ", r" (=|\\lt|\\le|\\gt|\\ge|\\ne) ", " [-+] ", "^-", r"\\cdot|\\frac", r"\\,"]
MARKS += [r"\\sum|\^|\\sqrt"]
GROUPS = r"\([^()]*\)|\[[^\[\]]*\]|\|[^|]*\||\{[^{}]*\}"
SAME = {constant, astype, np.positive, np.squeeze, np.broadcast_to, *CHECKED}
OTHERS = {np.outer: r"<x> \, <y>^\top", np.mean: r"\operatorname{mean} <x>"}
SIGNS = {"<": r"\lt", "<=": r"\le", ">": r"\gt", ">=": r"\ge", "==": "=", "!=": r"\ne"}
AXES = str.maketrans("ijklmn", "ᵢⱼₖₗₘₙ")
Formula = tuple[str, int]  # and how tightly it binds


class Formulas:
    """Lines as formulas in one notation: what has a name, and those of ``names``, by name."""

    def __init__(
        self, notation: Notation, names: dict[Line, Formula], constants: dict[Any, str]
    ) -> None:
        self.notation, self.found = notation, dict(names)
        self.constants = constants  # their names, by `key_of` an array

    def of(self, x: Any) -> Formula:
        """What a line or a constant is in other formulas."""
        todo = [x] if x.__class__ is Line else []
        while todo:
            line = todo[-1]
            later = [] if line.name else [y for y in reads(line) if y not in self.found]
            if line in self.found or not later:
                todo.pop()
                named = (self.notation.name(line.name), ATOM) if line.name else None
                self.found[line] = self.found.get(line) or named or self.write(line)
            else:
                todo += later
        return self.part(x)

    def definition(self, line: Any) -> str:
        """What a line that has a name is."""
        if line.__class__ is not Line or line.function is None:
            return self.of(line)[0]
        for x in reads(line):
            self.of(x)
        self.found[line] = self.write(line)
        return self.whole(line)[0]

    def write(self, line: Line) -> Formula:
        """A line by its operation."""
        f, args = line.function, line.args
        if f is np.vdot:
            product = Line(np.multiply, args, {}, np.shape(args[0]), line.kind)
            self.found[product] = self.write(product)
            return self.write(Line(np.sum, (product,)))
        latex = _template(line, self.index)
        if latex == "<x>":
            return self.part(args[0])
        if not latex:
            parts = [self.item(x) for x in (*args, *line.options.values())]
            name = self.notation.write(rf"\operatorname{{{f.__name__}}}")
            return f"{name}({', '.join(parts)})", ATOM
        level = _level(latex)
        given = {k: x for k, x in zip("xyz", args) if f"<{k}>" in latex}
        formulas = {k: (self.part if elementwise(f) else self.whole)(x) for k, x in given.items()}
        if level not in (SIGNED, FACTORS):
            return self.filled(latex, level, formulas), level
        first, minus = latex[latex.index("<") + 1], latex[0] == "-"
        if formulas[first][1] == SIGNED:  # its sign comes to the front
            formulas[first], minus = (formulas[first][0][1:], FACTORS), not minus
        text = self.filled(latex.lstrip("-"), level, formulas)
        return (self.notation.write("-") + text, SIGNED) if minus else (text, FACTORS)

    def filled(self, latex: str, level: int, formulas: dict[str, Formula]) -> str:
        """The LaTeX of an operation, in this notation, with its arguments, in brackets or not."""
        text, brackets = latex, (r"\left(", r"\right)")
        if self.notation is TEXT:
            text = re.sub(r"_\{([i-n]+)\}", lambda m: m[1].translate(AXES), latex)
            text = re.sub(r"(Σ[ᵢⱼₖₗₘₙ]*) ", r"\1", self.notation.write(text))
            brackets = "(", ")"

        def put(match: re.Match[str]) -> str:
            inner, binds = formulas[match[2]]
            closed = match[1] and match[1][0] in "({[|," and match[3] in tuple(")}]|,")
            need = MATRICES if match[1] == "/ " else NEEDS[level][match.start() > 0]
            need = ATOM if level == FACTORS and inner.startswith(r"\sum") else need
            return match[1] + (inner if closed or binds >= need else inner.join(brackets))

        text = re.sub(r"([({\[|]|, ?|/ |)<([xyz])>(?=(.?))", put, text)
        minus = self.notation.write("-")
        return text.replace(f"+ {minus}", f"{minus} ").replace(f"{minus} {minus}", "+ ")

    def part(self, x: Any) -> Formula:
        """An argument."""
        if x.__class__ is Line:
            return self.found[x]
        if x.__class__ is Size:
            return self.size(x)
        if x.__class__ is np.ndarray and x.ndim and uniform(x):
            x = x.flat[0]
        if np.ndim(x) == 2 and key_of(x.T) in self.constants and key_of(x) not in self.constants:
            return self.write(Line(np.transpose, (x.T,)))
        if np.ndim(x):
            name = self.constants.get(key_of(x))
            return self.notation.name(name) if name else self.notation.number(x), ATOM
        if isinstance(x, bool | np.bool_) or not isinstance(x, float | int | np.number):
            return self.notation.name(str(x)), ATOM
        text, level = _decimal(float(x))
        return self.number(text), level

    def whole(self, x: Any) -> Formula:
        """An argument of what does not broadcast it: that it is one number, repeated, is said."""
        found, name = self.part(x), ""
        if is_call(x, np.broadcast_to) and found == self.of(x.args[0]):
            name = r"\operatorname{broadcast}"
        elif x.__class__ is not Line and np.ndim(getattr(x, "example", x)) and found[1] < TIGHT:
            name = r"\operatorname{full}"
        return (f"{self.notation.write(name)}({found[0]})", ATOM) if name else found

    def size(self, x: Size) -> Formula:
        """A number, or an array of one, that depends on the number of rows."""
        full = re.fullmatch(r"np\.full\(.*\), (.*?)(?:, np\.\w+)?\)|float\((.*)\)", x.text)
        if np.ndim(x.example) and not full:
            return self.part(x.example)
        text = (full[1] or full[2]) if full else x.text
        text = re.sub(r"\d+\.\d{6,}", lambda m: f"{float(m[0]):.6g}", text)
        level = ATOM if text.isidentifier() else FACTORS if np.all(x.example > 0) else SIGNED
        return self.number(text), level

    def number(self, text: str) -> str:
        """A number, or one by a size, in the notation."""
        latex = re.sub(r"(-?)(.+) / (.+)", r"\1\\frac{\2}{\3}", text).replace("*", r"\cdot")
        return self.notation.write(latex)

    def item(self, x: Any) -> str:
        """An argument of a call, or what stands in a list."""
        if x.__class__ in (tuple, list):
            return f"[{', '.join(map(self.item, x))}]"
        return self.part(x)[0]

    def index(self, x: Any) -> str:
        """What stands between square brackets; nothing where it but adds axes in front."""
        x = getattr(x, "example", x)
        if x.__class__ is tuple:
            front = next((i for i, p in enumerate(x) if p is not None and p is not ...), len(x))
            plain = all(p.__class__ is slice and p == slice(None) for p in x[front:])
            return "" if plain else ", ".join(map(self.index, x[front:]))
        if x.__class__ is slice:
            parts = (x.start, x.stop) if x.step is None else (x.start, x.stop, x.step)
            return ":".join("" if p is None else str(p) for p in parts)
        if x.__class__ is np.ndarray and np.array_equal(x.ravel(), np.arange(x.size)):
            return r"\text{rows}"
        return "\\dots" if x is ... else str(x) if isinstance(x, int | np.integer) else self.item(x)


def _template(line: Line, text_of: Callable[[Any], str]) -> str:
    """The LaTeX of its operation, with <x>, <y> and <z> for the arguments; "" for a call."""
    f, args = line.function, line.args
    if f in SAME or (f is np.reshape and _sizes(line) == _sizes(args[0])):
        return "<x>"
    if f is np.multiply and (share := _share(args[0])):
        return rf"{share[0]}\frac{{<y>}}{{{share[1]}}}"
    if f in (operator.getitem, scatter):
        at = text_of(args[1])
        return rf"(<x> \text{{ at }} [{at}])" if f is scatter else f"<x>[{at}]" if at else "<x>"
    if f is np.expand_dims:
        added = np.atleast_1d(option(line, "axis", 1)) % line.ndim
        at = text_of(tuple([None if a in added else slice(None) for a in range(line.ndim)]))
        return f"<x>[{at}]" if at else "<x>"
    if f is np.power and isinstance(args[1], float) and args[1].is_integer():
        return f"<x>^{args[1]:.0f}" if 0 <= args[1] < 10 else f"<x>^{{{args[1]:.0f}}}"
    if sign := SIGNS.get(fact(f, "symbol")):
        return f"<x> {sign} <y>"
    latex = OTHERS.get(f) or getattr(TABLE.get(f), "latex", ("",))[0]
    if f in REDUCTIONS:
        latex = latex.replace(" <x>", f"{_axes(line)} <x>")
    elif line.options or not re.search("<[xyz]>", latex) or {*map(type, args)} & {list, tuple, str}:
        return ""
    latex = re.sub(r"e\^\{(<\w>)\}", r"\\exp(\1)", latex)
    return re.sub(r"^(\\(?!sum|sqrt)\w+(?:\{\w+\}|_\{\w+\})*) <x>$", r"\1(<x>)", latex)


def _level(latex: str) -> int:
    """How tightly the formula of an operation binds: by what stands outside all brackets."""
    latex = re.sub(r"\\text\{( \w+ )\}", r"\1", latex)
    while (outside := re.sub(GROUPS, "", latex)) != latex:
        latex = outside
    return next((level for level, mark in enumerate(MARKS) if re.search(mark, latex)), ATOM)


def _decimal(x: float) -> Formula:
    """A number to six digits, or as a fraction."""
    share = Fraction(x).limit_denominator(99) if np.isfinite(x) else Fraction(0)
    exact = f"{x:.6g}" != f"{x:.15g}" and float(share) == x
    text = f"{share.numerator} / {share.denominator}" if exact else f"{x:.6g}"
    return text, SIGNED if x < 0 else FACTORS if exact else ATOM


def _axes(line: Line) -> str:
    """The axes that a sum is over, as letters, but for all of them."""
    axis, n = option(line, "axis", 1), np.ndim(line.args[0])
    axes = {a % n for a in np.atleast_1d(axis).tolist()} if n and axis is not None else {*range(n)}
    return "" if len(axes) == n else f"_{{{''.join('ijklmn'[a] for a in sorted(axes))}}}"


def _sizes(x: Any) -> list[int]:
    """The axes longer than 1."""
    return [n for n in np.shape(x) if n != 1]


def _share(c: Any) -> Sequence[str]:
    """The sign and n of the number 1 / n or -1 / n."""
    share = re.fullmatch(r"(-?)1 / (\w+)", c.text) if c.__class__ is Size else None
    return share.groups() if share else ()
