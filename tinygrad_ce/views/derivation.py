"""`derive`: a gradient line by line, down to p − t, as text, LaTeX and MathML."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from importlib.util import find_spec
from typing import Any

import numpy as np

from ..engine.text import _
from ..programs.derivation import Derived, called, derivation, length
from ..programs.lines import CHECKED, Line, distributions, live
from ..programs.simplifier import is_call
from .formulas import LATEX, SLOPE, TEXT, Notation, fill
from .line_formulas import TIGHT, Formula, Formulas
from .steps import columns, mathml

WIDTH = 80
REASONS = 44  # the column of reasons
LONG = 12  # operations of a gradient that stands in others written out, not by its name
SHORT = 44  # letters of an equation that is told as a reason
STYLE = """<style>
.derivation { overflow-x: auto }
.derivation table :is(th, td) { text-align: left; padding: 0.2em 0.6em 0.2em 0; background: none }
.derivation th { padding-top: 0.8em }
.derivation td:first-child { width: 1%; text-align: right }
.derivation td:last-child { padding-left: 2em; opacity: 0.75 }
</style>"""
TITLES = {
    "function": "The function",
    "chain rule": "The chain rule, newest first",
    "simplified": "Simplified",
}


@dataclass(frozen=True, slots=True)
class DerivationStep:
    """One line of a derivation.

    Attributes
    ----------
    part : "function", "chain rule" or "simplified"
    left, right, latex : the line's two sides as text, and the line as LaTeX
    reason, reason_latex : why it equals the line before it; empty where nothing is to say
    condition : where alone it does, as in "Σt = 1"; else empty
    checked : for how many inputs both were computed, and gave the same
    """

    part: str
    left: str
    right: str
    latex: str
    reason: str = ""
    reason_latex: str = ""
    condition: str = ""
    checked: int = 0

    @property
    def formula(self) -> str:
        """The line as text."""
        return f"{self.left} = {self.right}"


@dataclass(frozen=True, repr=False)
class Derivation:
    """A derivation: print it, or let a notebook show it.

    Attributes
    ----------
    steps : its lines, as `DerivationStep`
    note : how it was checked
    """

    steps: tuple[DerivationStep, ...]
    note: str

    def __repr__(self) -> str:
        found, before = list[str](), ("", "")
        for step in self.steps:
            if step.part != before[0]:
                found += ["", _(TITLES[step.part])]
            new = (step.part, step.left) != before
            head = f"  {step.left if new else ' ' * columns(step.left)} = "
            found += _folded(head, step.right, step.reason)
            before = step.part, step.left
        return "\n".join([*found[1:], "", *textwrap.wrap(self.note, WIDTH)])

    @property
    def latex(self) -> str:
        """All lines as LaTeX, aligned at their signs."""
        rows = [f"{step.latex} && {step.reason_latex}".rstrip("& ") for step in self.steps]
        return "\\begin{aligned}\n" + " \\\\\n".join(rows) + "\n\\end{aligned}"

    def _repr_latex_(self) -> str:
        return f"$${self.latex}$$"

    def _repr_html_(self) -> str | None:
        if find_spec("latex2mathml") is None:
            return None
        rows, before = list[str](), ("", "")
        for step in self.steps:
            if step.part != before[0]:
                rows.append(f'<tr><th colspan="3">{escape(_(TITLES[step.part]))}</th></tr>')
            left, right = step.latex.split(" &= ")
            left = left if (step.part, step.left) != before else ""
            cells = [mathml(x) if x else "" for x in (left, f"= {right}", step.reason_latex)]
            rows.append(f"<tr>{''.join(f'<td>{x}</td>' for x in cells)}</tr>")
            before = step.part, step.left
        table = "".join(rows).replace("<math", '<math displaystyle="true"')
        # Jupyter takes the formulas out of a notebook that it does not trust, and leaves the text.
        text = _("The derivation as text")
        more = f"<details><summary>{text}</summary><pre>{escape(str(self))}</pre></details>"
        return (
            f'{STYLE}<div class="derivation"><table>{table}</table>{escape(self.note)}{more}</div>'
        )


def derive(f: Any, *examples: Any, wrt: Any = 0, sums_to_one: Any = ()) -> Derivation:
    """Derive the gradient of a loss line by line: the chain rule, then what becomes of it.

    Parameters
    ----------
    f, examples, sums_to_one : as of `program`; f gives one number, or an array to simplify
    wrt : the positional argument to differentiate, or several

    Returns
    -------
    A `Derivation`: what f computes, in f's own variables; the gradient of each variable by those
    before it; then each of these with the others written out, simplified, a line a step.

    Raises
    ------
    TypeError, ValueError
        As `program` does; and if f gives anything but one number or one array.

    Notes
    -----
    Each line is computed, as is the one before it, for the example and for drawn data like it:
    tables of 0 and 1 and signs are shuffled, what is not negative stays so, rows that sum to 1 do
    so again, whole numbers stay. A line that differs is not shown, and what follows it is not
    either; ``note`` says so. A line that holds only where a table sums to 1 says that.

    Text writes ``·`` for an entry times an entry, and matrix products side by side, as in Xᵀ r. A
    sum is over all axes or over those that its index names: Σⱼ is over the second, Σᵢ over the
    first.

    Examples
    --------
    >>> import numpy as np
    >>> from tinygrad_ce import derive
    >>> def loss(z):
    ...     s = np.exp(z).sum()
    ...     return np.log(s)
    >>> derive(loss, np.array([1.0, 2.0])).steps[-1].formula
    '∂L/∂z = p'
    """
    made = derivation(f, examples, wrt, sums_to_one)
    text, latex = _Writer(made, TEXT), _Writer(made, LATEX)
    note = "Each line was computed for {n} inputs, the example or like it, and gave what the one "
    note += "before it gives." if made.is_whole else "before it gives. The next one did not."
    note = note if made.checked else "No line was checked: the gradient is inf or nan."
    note += "" if text.forms else " f gives no single number: there is no gradient to derive."
    return Derivation(tuple(_steps(text, latex)), _(note, n=made.checked))


class _Writer:
    """A derivation in one notation.

    Attributes
    ----------
    chain, put_in : the chain rule with the names of gradients; and with their last form instead
    forms : of each gradient what it is in each stage, with the last form of those before it
    """

    def __init__(self, made: Derived, notation: Notation) -> None:
        self.made, self.notation, (rules, stages) = made, notation, made.outputs
        value = rules[""]
        named = value.__class__ is Line and value.function and value.name not in (None, "loss")
        self.loss = notation.name(str(value.name) if named else "L")
        self.last: dict[str, Formula] = {}  # each gradient, as it stands in others
        forms = [self.gradients(named) for named, *_step in stages[::-1]][::-1]
        self.forms = {name: [stage.get(name, "") for stage in forms] for name in self.last}
        names = [(x, x.args[1]) for x in live(made.lines, rules) if x.function is called]
        chain = self.formulas({x: (self.slope(name), TIGHT) for x, name in names})
        put_in = self.formulas({x: self.last[name] for x, name in names})
        self.chain = {name: chain.of(rules[name])[0] for name in self.last}
        self.put_in = {name: put_in.of(rules[name])[0] for name in self.last}

    def formulas(self, names: dict[Line, Formula] | None = None) -> Formulas:
        """Formulas of lines, those of ``names`` by name."""
        return Formulas(self.notation, names or {}, self.made.constants)

    def slope(self, name: str) -> str:
        """∂L/∂name."""
        slope = {"x": self.loss, "y": self.notation.name(name)}
        return fill(self.notation.write(SLOPE), slope)

    def words(self, text: str) -> str:
        """Words within a formula."""
        return text if self.notation is TEXT or not text else rf"\text{{{text}}}"

    def gradients(self, named: dict[str, Any]) -> dict[str, str]:
        """Each gradient, with the last form of those before it, or their name if that is long."""
        found, formulas = dict[str, str](), self.formulas()
        for name, x in named.items():
            if name:
                own = formulas.of(x)
                found[name] = own[0]
                if name not in self.last:
                    short = length([x]) <= LONG
                    self.last[name] = own if short else (self.slope(name), TIGHT)
                if x.__class__ is Line and not x.name:
                    formulas.found[x] = self.last[name]
        return found

    def definitions(self) -> dict[str, str]:
        """What each variable is, and what f returns."""
        rules, stages = self.made.outputs
        value, found = rules[""], dict[str, str]()
        for line in live(self.made.lines, (rules, stages[-1][0])):
            if line.function in (None, *CHECKED) or line.name in ("", getattr(value, "name", "")):
                continue
            if line.name:
                name = self.notation.name(line.name)
                found[name] = found.get(name) or self.formulas().definition(line)
        return found | {self.loss: self.formulas().definition(value)}

    def claims(self, k: int) -> str:
        """What the caller says, if stage k rests on it."""
        return ", ".join(f"Σ{t} = 1" for t in self.made.tables if k in self.made.claimed)

    def equation(self, k: int) -> tuple[str, str]:
        """What the step to stage k rewrites, as an equation; and where alone that holds."""
        _gradients, before, after = self.made.outputs[1][k]
        formulas, t = self.formulas(), _bare(before.args[0])
        left, right = formulas.definition(before), formulas.of(after)[0]
        known = after.__class__ is Line and after.name and after.function not in (None, *CHECKED)
        equation = left + (self.words(_(" is ")) if known else " = ") + right
        if k not in self.made.claimed:
            return equation, ""
        if is_call(t, distributions):
            equation = f"{formulas.write(Line(np.sum, (t,), before.options))[0]} = 1"
        return equation + self.words(_(", as you said")), equation


def _bare(x: Any) -> Any:
    """What stands behind signs and numbers."""
    while is_call(x, np.negative) or (is_call(x, np.multiply) and x.args[0].__class__ is not Line):
        x = x.args[-1]
    return x


def _reason(k: int, text: _Writer, latex: _Writer) -> tuple[str, str, str]:
    """Why stage k equals the one before, in both notations; and where alone it does."""
    _gradients, before, after = text.made.outputs[1][k]
    if before.__class__ is not Line:
        words, claim = _("like terms collected") if k else "", text.claims(k)
        words += claim and _("; {claim}, as you said", claim=claim)
        return words, latex.words(words), claim
    reason, claim = text.equation(k)
    one, *others = [is_call(_bare(x), np.add, np.subtract) for x in (before, after, *before.args)]
    words = _("multiplied out") if others[0] and any(others[1:]) and not one else ""
    if not words and not claim and columns(reason) > SHORT:
        words = _("a common factor in front") if one and is_call(after, np.multiply) else " "
    if words:
        return words.strip(), latex.words(words.strip()), ""
    return reason, latex.equation(k)[0], claim


def _steps(text: _Writer, latex: _Writer) -> Iterator[DerivationStep]:
    """All lines."""
    both = zip(text.definitions().items(), latex.definitions().items())
    for (name, formula), (letter, typeset) in both:
        claim = text.claims(-1) if letter == latex.loss else ""
        why = claim and claim + _(", as you said")
        line, n = f"{letter} &= {typeset}", text.made.checked
        yield DerivationStep("function", name, formula, line, why, latex.words(why), claim, n)
    for name in text.forms:
        yield _gradient("chain rule", name, text, latex, text.chain[name], latex.chain[name], 0)
    for name in text.forms:
        lines = [*_lines(name, text, latex)]
        if len(lines) > 1 or lines[0][0] != text.chain[name]:
            for form in lines:
                yield _gradient("simplified", name, text, latex, *form)


def _lines(name: str, text: _Writer, latex: _Writer) -> list[tuple[str, str, int]]:
    """A gradient as it becomes simpler, in both notations, and the stage in which it does."""
    forms, typeset = text.forms[name], latex.forms[name]
    found = [(text.put_in[name], latex.put_in[name], 0)]
    for k in range(1, len(forms)):
        collected = text.made.outputs[1][k][1] is None and len(forms[k]) >= len(found[-1][0])
        if collected or forms[k] in ("", forms[k - 1]):
            continue
        if _letters(forms[k]) != _letters(found[-1][0]):
            found.append((forms[k], typeset[k], k))
        elif found[1:]:
            found[-1] = forms[k], typeset[k], found[-1][2]
    if not found[1:] and len(forms[-1]) < len(found[0][0]):
        return [(forms[-1], typeset[-1], 0)]
    return found


def _letters(text: str) -> list[str]:
    """A formula but for order, numbers, signs, brackets: steps that change these are not told."""
    return sorted(re.findall(r"[^\W\d]\w*|[/√|\[=]", text))


def _gradient(
    part: str, name: str, text: _Writer, latex: _Writer, right: str, typeset: str, k: int
) -> DerivationStep:
    """A line about a gradient, and the reason of stage k."""
    line = f"{latex.slope(name)} &= {typeset}"
    why, checked = _reason(k, text, latex), text.made.checked
    return DerivationStep(part, text.slope(name), right, line, *why, checked=checked)


# ------------------------------------------------------------------ in a terminal
def _folded(head: str, text: str, reason: str) -> list[str]:
    """A formula in lines of a terminal, the reason beside it or below."""
    lines, inner = [head], " " * (columns(head) + 2)
    for part in _parts(text):
        if columns(lines[-1] + part) > WIDTH and lines[-1] != head:
            lines.append(inner)
        first, *rest = textwrap.wrap(part, WIDTH - len(inner), break_long_words=False) or [""]
        lines[-1] += first + " "
        lines += [f"{inner}  {more} " for more in rest]
    if reason and columns(lines[-1] + reason) + 2 > WIDTH:
        lines.append("")
    place = min(max(columns(lines[-1]) + 2, REASONS), WIDTH - columns(reason))
    lines[-1] += " " * (place - columns(lines[-1])) + reason
    return [line.rstrip() for line in lines]


def _parts(text: str) -> list[str]:
    """A long formula in pieces, each from a sign outside of brackets to the next."""
    depth, parts = 0, [""]
    for word in text.split(" "):
        if depth == 0 and word in ("+", "−"):
            parts.append("")
        parts[-1] += f" {word}" if parts[-1] else word
        depth += sum(map(word.count, "([")) - sum(map(word.count, ")]"))
    return parts
