"""`derive`: a gradient line by line, down to p − t, as text, LaTeX and MathML."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from html import escape
from importlib.util import find_spec
from typing import Any

import numpy as np

from ..checks.wording import columns, wrapped
from ..engine.language import language, speaking
from ..engine.text import _
from ..programs.derivation import Derived, called, derivation, length
from ..programs.lines import CHECKED, Line, distributions, live
from ..programs.simplifier import is_call
from .formulas import Formula, fill, joined, name, slope
from .line_formulas import Formulas
from .steps import mathml

WIDTH = 80
REASONS = 44  # the column of reasons
LONG = 12  # operations of a gradient that stands in others written out, not by its name
SHORT = 44  # letters of an equation that is told as a reason
STYLE = """<style>
.derivation { overflow-x: auto }
.derivation table { margin-left: 0 }
.derivation table :is(th, td) { text-align: left; padding: 0.2em 0.6em 0.2em 0; background: none }
.derivation th { padding-top: 0.8em }
.derivation td { vertical-align: baseline }
.derivation td:first-child { text-align: right }
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
    lang : the language of its words
    """

    steps: tuple[DerivationStep, ...]
    note: str
    lang: str = field(default_factory=language)

    def _titled(self) -> Iterator[tuple[str, bool, DerivationStep]]:
        """Each line, whether its left side is a new one, and a title where a part begins."""
        before = "", ""
        for step in self.steps:
            with speaking(self.lang):
                title = "" if step.part == before[0] else _(TITLES[step.part])
            yield title, (step.part, step.left) != before, step
            before = step.part, step.left

    def __repr__(self) -> str:
        lines = list[str]()
        for title, is_new, step in self._titled():
            lines += ["", title] if title else []
            head = f"  {step.left if is_new else ' ' * columns(step.left)} = "
            lines += _folded(head, step.right, step.reason)
        return "\n".join([*lines[1:], "", *wrapped(self.note, WIDTH)])

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
        table = ""
        for title, is_new, step in self._titled():
            table += f'<tr><th colspan="3">{escape(title)}</th></tr>' if title else ""
            left, right = step.latex.split(" &= ")
            cells = left if is_new else "", f"= {right}", step.reason_latex
            table += f"<tr>{''.join(f'<td>{x and mathml(x)}</td>' for x in cells)}</tr>"
        table = table.replace("<math", '<math displaystyle="true"')
        # Jupyter takes the formulas out of a notebook that it does not trust, and leaves the text.
        with speaking(self.lang):
            text = _("The derivation as text")
        more = f"<details><summary>{text}</summary><pre>{escape(str(self))}</pre></details>"
        return (
            f'{STYLE}<div class="derivation"><table>{table}</table>{escape(self.note)}{more}</div>'
        )


def derive(
    f: Any, *examples: Any, wrt: Any = 0, sums_to_one: Any = (), lang: str = ""
) -> Derivation:
    """Derive the gradient of a loss line by line: the chain rule, then what becomes of it.

    Parameters
    ----------
    f, examples, sums_to_one : as of `program`; f gives one number, or an array to simplify
    wrt : the positional argument to differentiate, or several
    lang : the language of its words, "en" or "ko"; the reader's, where none is named

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
    Each line is computed, as is the one before it, for the example and for drawn data like it: what
    is not negative stays so, whole numbers stay in their range, rows that sum to 1 do so again. A
    line that differs is not shown, and what follows it is not either; ``note`` says so. A line that
    holds only where a table sums to 1 says that. An example of up to four rows is repeated where
    that tells 1 / n from a number.

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
    with speaking(lang):
        made = derivation(f, examples, wrt, sums_to_one)
        writer = Writer(made)
        note = "Each line was computed for {n} inputs, the example or like it, and gave what the "
        note += (
            "one before it gives."
            if made.is_whole
            else "one before it gives. The next one did not."
        )
        note = note if made.checked else "No line was checked: the gradient is inf or nan."
        told = _(note, n=made.checked)
        if not writer.forms:
            told += " " + _("f gives no single number: there is no gradient to derive.")
        return Derivation(tuple(writer.steps()), told)


class Writer:
    """Writes the lines of a derivation.

    Attributes
    ----------
    chain : the chain rule, with the names of gradients
    forms : of each gradient what it is in each stage, with the last form of those before it
    """

    def __init__(self, made: Derived) -> None:
        self.made, (rules, self.stages) = made, made.outputs
        self.formulas = partial(Formulas, made.constants)
        self.value = rules[""]
        is_computed = self.value.__class__ is Line and self.value.function
        self.loss = self.value.name if is_computed else "L"
        self.last: dict[str, Formula] = {}  # each gradient, as it stands in others
        forms = [self.gradients(named) for named, *_step in self.stages[::-1]][::-1]
        self.forms = {x: [stage[x] for stage in forms] for x in self.last}
        names = [(x, x.args[1]) for x in live(made.lines, rules) if x.function is called]
        chain = self.formulas({x: slope(self.loss, of) for x, of in names})
        self.chain = {x: chain.of(rules[x]) for x in self.last}

    def gradients(self, named: dict[str, Any]) -> dict[str, Formula]:
        """Each gradient, with the last form of those before it, or their name if that is long."""
        gradients, formulas = dict[str, Formula](), self.formulas()
        for variable, x in named.items():
            if variable:
                gradients[variable] = form = formulas.of(x)
                short = form if length([x]) <= LONG else slope(self.loss, variable)
                self.last.setdefault(variable, short)
                if x.__class__ is Line and not x.name:
                    formulas.known[x] = self.last[variable]
        return gradients

    def definitions(self) -> dict[Formula, Formula]:
        """What each variable is, and what f returns."""
        definitions = dict[Formula, Formula]()
        for line in live(self.made.lines, (self.made.outputs[0], self.stages[-1][0])):
            if line.function in (None, *CHECKED) or not line.name:
                continue
            if line.name != getattr(self.value, "name", ""):
                definitions.setdefault(name(line.name), self.formulas().definition(line))
        return definitions | {name(self.loss): self.formulas().definition(self.value)}

    def claims(self, k: int) -> str:
        """What the caller says, if stage k rests on it."""
        return ", ".join(f"Σ{t} = 1" for t in self.made.tables if k in self.made.claimed)

    def equation(self, k: int) -> tuple[Formula, str]:
        """What the step to stage k rewrites, as an equation; and where alone that holds."""
        _gradients, before, after = self.stages[k]
        formulas, t = self.formulas(), _bare(before.args[0])
        left, right = formulas.definition(before), formulas.of(after)
        known = after.__class__ is Line and after.name and after.function not in (None, *CHECKED)
        equation = joined(left, _words(_(" is ")) if known else Formula(" = ", " = "), right, by="")
        if k not in self.made.claimed:
            return equation, ""
        if is_call(t, distributions):
            total = formulas.write(Line(np.sum, (t,), before.options))
            equation = joined(total, fill("= 1"))
        return joined(equation, _words(_(", as you said")), by=""), equation.text

    def reason(self, k: int) -> tuple[Formula, str]:
        """Why stage k equals the one before; and where alone it does."""
        _gradients, before, after = self.stages[k]
        if before.__class__ is not Line:
            words, claim = _("like terms collected") if k else "", self.claims(k)
            return _words(words + (claim and _("; {claim}, as you said", claim=claim))), claim
        equation, claim = self.equation(k)
        was, is_, *inside = (
            is_call(_bare(x), np.add, np.subtract) for x in (before, after, *before.args)
        )
        if is_ and any(inside) and not was:
            return _words(_("multiplied out")), ""
        if claim or columns(equation.text) <= SHORT:
            return equation, claim
        in_front = was and is_call(after, np.multiply)
        return _words(_("a common factor in front") if in_front else ""), ""

    def steps(self) -> Iterator[DerivationStep]:
        """All lines."""
        for variable, formula in self.definitions().items():
            claim = self.claims(-1) if variable == name(self.loss) else ""
            reason = _words(claim and claim + _(", as you said"))
            yield self.step("function", variable, formula, reason, claim)
        for x in self.forms:
            yield self.step("chain rule", slope(self.loss, x), self.chain[x], *self.reason(0))
        for x in self.forms:
            lines = self.lines(x)
            if len(lines) > 1 or lines[0][0] != self.chain[x]:
                for formula, k in lines:
                    yield self.step("simplified", slope(self.loss, x), formula, *self.reason(k))

    def lines(self, variable: str) -> list[tuple[Formula, int]]:
        """A gradient as it becomes simpler, and the stage in which it does."""
        forms = self.forms[variable]
        lines = [(forms[0], 0)]
        for k, form in enumerate(forms[1:], 1):
            last = lines[-1][0]
            is_collected = self.stages[k][1] is None and len(form.text) >= len(last.text)
            if is_collected or form == forms[k - 1]:
                continue
            if _letters(form) != _letters(last):
                lines.append((form, k))
            elif lines[1:]:
                lines[-1] = form, lines[-1][1]
        if not lines[1:] and len(forms[-1].text) < len(lines[0][0].text):
            return [(forms[-1], 0)]
        return lines

    def step(
        self, part: str, left: Formula, right: Formula, reason: Formula, claim: str
    ) -> DerivationStep:
        """A line."""
        latex, n = f"{left.latex} &= {right.latex}", self.made.checked
        return DerivationStep(part, left.text, right.text, latex, *reason[:2], claim, n)


def _words(text: str) -> Formula:
    """Words within a formula."""
    return Formula(text, text and rf"\text{{{text}}}")


def _bare(x: Any) -> Any:
    """What stands behind signs and numbers."""
    while is_call(x, np.negative) or (is_call(x, np.multiply) and x.args[0].__class__ is not Line):
        x = x.args[-1]
    return x


def _letters(formula: Formula) -> list[str]:
    """A formula but for order, numbers, signs, brackets: steps that change these are not told."""
    return sorted(re.findall(r"[^\W\d]\w*|[/√|\[=]", formula.text))


def _folded(head: str, text: str, reason: str) -> list[str]:
    """A formula in lines of a terminal, broken before its signs; the reason beside it or below."""
    glued = re.sub(r"[-+−·/=] |\([^()]*\)", lambda part: part[0].replace(" ", "\xa0"), text)
    whole, inner = head.replace(" ", "\xa0") + glued, " " * (columns(head) + 2)
    lines = wrapped(whole, WIDTH, subsequent_indent=inner, break_long_words=False)
    if reason and columns(lines[-1] + reason) + 3 > WIDTH:
        lines.append("")
    place = min(max(columns(lines[-1]) + 3, REASONS), WIDTH - columns(reason))
    lines[-1] += " " * (place - columns(lines[-1])) + reason
    return [line.rstrip().replace("\xa0", " ") for line in lines]
