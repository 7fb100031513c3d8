"""The lines of a program as formulas, in no more brackets than they need."""

import operator
import re
from fractions import Fraction
from typing import Any

import numpy as np

from ..engine.operation import TABLE
from ..engine.rules import scatter
from ..programs.lines import CHECKED, Line, Size, astype, constant, elementwise, fact, option, reads
from ..programs.simplifier import REDUCTIONS, is_call, key_of, uniform
from .formulas import (
    ATOM,
    FACTORS,
    SIGNED,
    SIGNS,
    TIGHT,
    Formula,
    fill,
    joined,
    name,
    number,
    numeral,
    rule,
)

GROUPS = r"\([^()]*\)|\[[^\[\]]*\]|\|[^|]*\||\{[^{}]*\}"
SAME = {constant, astype, np.positive, np.squeeze, np.broadcast_to, *CHECKED}
OTHERS = {np.outer: r"<x> \, <y>^\top", np.mean: r"\operatorname{mean} <x>"}
RELATIONS = {"<": r"\lt", "<=": r"\le", ">": r"\gt", ">=": r"\ge", "==": "=", "!=": r"\ne"}


class Formulas:
    """Lines as formulas: what has a name by its name, and those of ``known`` as told there."""

    def __init__(self, constants: dict[Any, str], known: dict[Line, Formula] | None = None) -> None:
        self.constants = constants  # their names, by `key_of` an array
        self.known = dict(known or {})

    def of(self, x: Any) -> Formula:
        """What a line or a constant is in other formulas."""
        todo = [x] if x.__class__ is Line else []
        while todo:
            line = todo[-1]
            later = [] if line.name else [y for y in reads(line) if y not in self.known]
            if later and line not in self.known:
                todo += later
                continue
            todo.pop()
            if line not in self.known:
                self.known[line] = name(line.name) if line.name else self.write(line)
        return self.part(x)

    def definition(self, line: Any) -> Formula:
        """What a line that has a name is."""
        if line.__class__ is not Line or line.function is None:
            return self.of(line)
        for x in reads(line):
            self.of(x)
        self.known[line] = self.write(line)
        return self.whole(line)

    def write(self, line: Line) -> Formula:
        """A line by its operation."""
        f, args = line.function, line.args
        if f is np.vdot:
            product = Line(np.multiply, args, {}, np.shape(args[0]), line.kind)
            self.known[product] = self.write(product)
            return self.write(Line(np.sum, (product,)))
        if f in (operator.getitem, scatter, np.expand_dims):
            return self.indexed(line)
        if f is np.exp and self.part(args[0]).text == "0":
            return fill("1")
        log = args[0].args[0] if f is np.exp and is_call(args[0], np.negative) else line
        if is_call(log, np.logaddexp) and (log is line or not log.name):  # as the textbook has it
            total = Line(np.add, tuple(Line(np.exp, (x,)) for x in log.args))
            whole = Line(np.log, (total,)) if log is line else Line(np.divide, (1.0, total))
            return self.definition(whole)
        latex = _template(line)
        if latex == "<x>":
            return self.part(args[0])
        if "<args>" in latex:
            parts = map(self.item, (*args, *line.options.values()))
            return fill(latex, args=joined(*parts, by=", "))
        show = self.part if elementwise(f) else self.whole
        terms = {k: show(x) for k, x in zip("xyz", args) if f"<{k}>" in latex}
        level = _level(latex)
        if f not in (np.multiply, np.divide, np.negative):
            return filled(latex, level, **terms)
        first, is_negative = latex[latex.index("<") + 1], latex[0] == "-"
        if terms[first].binds == SIGNED:  # its sign comes to the front
            text, typeset, _binds = terms[first]
            terms[first], is_negative = Formula(text[1:], typeset[1:], FACTORS), not is_negative
        factors = filled(latex.lstrip("-"), level, **terms)._replace(binds=FACTORS)
        return joined(fill("-"), factors, by="", binds=SIGNED) if is_negative else factors

    def indexed(self, line: Line) -> Formula:
        """Entries of an argument, or the same with more axes."""
        x = self.whole(line.args[0])
        if line.function is np.expand_dims:
            added = np.atleast_1d(option(line, "axis", 1)) % line.ndim
            at = self.index(tuple([None if a in added else slice(None) for a in range(line.ndim)]))
        else:
            at = self.index(line.args[1])
        latex = r"(<x> \text{ at } [<at>])" if line.function is scatter else "<x>[<at>]"
        return filled(latex, x=x, at=at)

    def part(self, x: Any) -> Formula:
        """An argument."""
        if x.__class__ is Line:
            return self.known[x]
        if x.__class__ is Size:
            return self.size(x)
        if x.__class__ is np.ndarray and x.ndim and uniform(x):
            x = x.flat[0]
        if np.ndim(x) and (called := self.constants.get(key_of(x))):
            return name(called)
        if np.ndim(x) == 2 and key_of(x.T) in self.constants:
            return self.write(Line(np.transpose, (x.T,)))
        if np.ndim(x):
            return number(x)
        if isinstance(x, bool | np.bool_) or not isinstance(x, float | int | np.number):
            return name(str(x))
        return _decimal(float(x))

    def whole(self, x: Any) -> Formula:
        """An argument of what does not broadcast it: that it is one number, repeated, is said."""
        shown = self.part(x)
        if is_call(x, np.broadcast_to) and shown == self.of(x.args[0]):
            return filled(r"\operatorname{broadcast}(<x>)", x=shown)
        if x.__class__ is not Line and np.ndim(getattr(x, "example", x)) and shown.binds < TIGHT:
            return filled(r"\operatorname{full}(<x>)", x=shown)
        return shown

    def size(self, x: Size) -> Formula:
        """A number, or an array of one, that depends on the number of rows."""
        full = re.fullmatch(r"np\.full\(.*\), (.*?)(?:, np\.\w+)?\)|float\((.*)\)", x.text)
        if np.ndim(x.example) and not full:
            return self.part(x.example)
        text = (full[1] or full[2]) if full else x.text
        text = re.sub(r"\d+\.\d{6,}", lambda m: f"{float(m[0]):.6g}", text)
        number = numeral(text.replace("-", "−").replace("*", "·"))
        return number if text.isidentifier() else number._replace(binds=min(number.binds, FACTORS))

    def item(self, x: Any) -> Formula:
        """An argument of a call, or what stands in a list."""
        if x.__class__ in (tuple, list):
            return fill("[<args>]", args=joined(*map(self.item, x), by=", "))
        return self.part(x)

    def index(self, x: Any) -> Formula:
        """What stands between square brackets."""
        x = np.asarray(x) if x.__class__ is range else getattr(x, "example", x)
        if x.__class__ is tuple:
            return joined(*map(self.index, x), by=", ")
        if x.__class__ is slice:
            parts = (x.start, x.stop) if x.step is None else (x.start, x.stop, x.step)
            return fill(":".join("" if p is None else str(p) for p in parts))
        if x.__class__ is np.ndarray and np.array_equal(x.ravel(), np.arange(x.size)):
            return fill(r"\text{rows}")
        if isinstance(x, int | np.integer):
            return fill(str(x))
        return fill(r"\dots") if x is ... else self.item(x)


def filled(latex: str, level: int = ATOM, **terms: Formula) -> Formula:
    """The LaTeX of an operation with its arguments; in text, a sum stands close to its terms."""
    formula = fill(latex, level, **terms)
    return formula._replace(text=re.sub(r"(Σ[ᵢⱼₖₗₘₙ]*) ", r"\1", formula.text))


def _template(line: Line) -> str:
    """The LaTeX of its operation, with <x>, <y> and <z> for the arguments; of a call, <args>."""
    f, args = line.function, line.args
    if f in SAME or (f is np.reshape and _sizes(line) == _sizes(args[0])):
        return "<x>"
    share = f is np.multiply and re.fullmatch(r"(-?)1 / (\w+)", getattr(args[0], "text", ""))
    if share:
        return rf"{share[1]}\frac{{<y>}}{{{share[2]}}}"
    if f is np.power and isinstance(args[1], float) and args[1].is_integer():
        return f"<x>^{args[1]:.0f}" if 0 <= args[1] < 10 else f"<x>^{{{args[1]:.0f}}}"
    if sign := RELATIONS.get(fact(f, "symbol")):
        return f"<x> {sign} <y>"
    latex = OTHERS.get(f) or (rule(TABLE[f]) if f in TABLE else "")
    if f in REDUCTIONS:
        latex = latex.replace(" <x>", f"{_axes(line)} <x>")
    elif line.options or not re.search("<[xyz]>", latex) or {*map(type, args)} & {list, tuple, str}:
        latex = r"\operatorname{<op>}(<args>)"
    latex = latex.replace("<op>", f.__name__.replace("_", r"\_"))
    latex = re.sub(r"e\^\{(<\w>)\}", r"\\exp(\1)", latex)
    return re.sub(r"^(\\(?!sum|sqrt)\w+(?:\{\w+\}|_\{\w+\})*) <x>$", r"\1(<x>)", latex)


def _level(latex: str) -> int:
    """How tightly the formula of an operation binds: by what stands outside all brackets."""
    latex = re.sub(r"\\text\{( \w+ )\}", r"\1", latex)
    while (outside := re.sub(GROUPS, "", latex)) != latex:
        latex = outside
    return next(level for level, sign in enumerate(SIGNS) if re.search(sign, latex))


def _decimal(x: float) -> Formula:
    """A number to six digits, or as a fraction."""
    share = Fraction(x).limit_denominator(99) if np.isfinite(x) else Fraction(0)
    is_exact = f"{x:.6g}" != f"{x:.15g}" and float(share) == x
    text = f"{share.numerator} / {share.denominator}" if is_exact else f"{x:.6g}"
    return numeral(text.replace("-", "−"))


def _axes(line: Line) -> str:
    """The axes that a sum is over, as letters, but for all of them."""
    axis, n = option(line, "axis", 1), np.ndim(line.args[0])
    axes = {a % n for a in np.atleast_1d(axis).tolist()} if n and axis is not None else {*range(n)}
    return "" if len(axes) == n else f"_{{{''.join('ijklmn'[a] for a in sorted(axes))}}}"


def _sizes(x: Any) -> list[int]:
    """The axes longer than 1."""
    return [n for n in np.shape(x) if n != 1]
