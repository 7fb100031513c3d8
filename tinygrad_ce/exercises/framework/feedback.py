"""What is shown, as text, as a card in a notebook and as JSON: what a check found, a task, a hint.

A card has no colours of its own but a line at its side, so that it reads in light and dark; its
style stands in its elements, because a notebook that is not trusted drops style sheets.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from html import escape
from textwrap import fill
from typing import Any

import numpy as np

from ...engine.text import _

CARD = (
    "border:1px solid gray;border-left:5px solid {};border-radius:6px;padding:.5em 1em;"
    "margin:.5em 0;max-width:56em;overflow-wrap:break-word"
)
CELL = "text-align:left;vertical-align:top;padding:.1em 1em .1em 0"
PASSED, NOT_YET, NEUTRAL = "#0a8f6c", "#d55e00", "#3d86c6"  # 3:1 on white and on black


@dataclass(frozen=True, repr=False)
class Note:
    """A task, a hint or a solution: a title, paragraphs, a formula, code."""

    title: str
    text: str
    formula: str = ""  # as text, for a terminal
    latex: str = ""
    code: str = ""

    def __str__(self) -> str:
        formula = self.formula or self.latex
        text = "\n\n".join(map(_fold, self.text.split("\n\n")))
        return "\n\n".join(filter(None, [self.title, formula and f"  {formula}", text, self.code]))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        scrolls = 'tabindex="0" role="group" aria-label="Formula" style="overflow:auto hidden"'
        body = f"<div {scrolls}>$${escape(self.latex)}$$</div>" * bool(self.latex)
        body += "".join(f"<p>{escape(part)}</p>" for part in self.text.split("\n\n"))
        return _card(self.title, body + _listing(self.code, "Code"), NEUTRAL)

    def _repr_latex_(self) -> str | None:
        return f"$${self.latex}$$" if self.latex else None


@dataclass(frozen=True)
class Credit:
    """One property that an answer has or has not; ``note`` says what is off."""

    name: str
    earned: bool
    note: str = ""


@dataclass(frozen=True)
class Example:
    """The smallest draw that shows the fault; ``yours`` is empty if there was no answer."""

    seed: int
    inputs: Mapping[str, Any]
    yours: Mapping[str, Any]
    where: str = ""  # the entry that is furthest off, and by how much
    large: bool = False  # with scores near 1000
    smallest: bool = True  # of those that were drawn; else the one whose seed was asked for

    @property
    def redraw(self) -> str:
        """What draws it again, in Python."""
        call = f"ex.try_it(seed={self.seed}{', large=True' * self.large})"
        return _(" ({call} draws it again)", call=call)

    @property
    def title(self) -> str:
        """Which example it is."""
        if self.smallest:
            return _("Smallest failing example, seed={seed}", seed=self.seed)
        return _("The failing example, seed={seed}", seed=self.seed)

    @property
    def lines(self) -> list[str]:
        """Its numbers, a line an array."""
        lines = [f"{name} = {_array(x)}" for name, x in self.inputs.items()]
        lines += [f"yours: {name} = {_array(x)}" for name, x in self.yours.items()]
        return [*lines, self.where] if self.where else lines


@dataclass(frozen=True, repr=False)
class Feedback:
    """What `Exercise.check` found: ``passed``, ``score``, ``mistake``, ``credits``, ``example``."""

    exercise: str
    passed: bool
    credits: tuple[Credit, ...]
    message: str
    mistake: str | None = None
    look: str = ""  # at what, if the fault is known
    example: Example | None = None
    gradcheck: str = ""  # its table, if the fault is not known

    @property
    def score(self) -> float:
        """The part of the credits that was earned, from 0.0 to 1.0."""
        return sum(credit.earned for credit in self.credits) / len(self.credits)

    @property
    def verdict(self) -> str:
        """Either "passed" or "not yet", with the credits: "not yet, 4 of 6"."""
        text = "passed, {n} of {all}" if self.passed else "not yet, {n} of {all}"
        return _(text, n=sum(c.earned for c in self.credits), all=len(self.credits))

    @property
    def judged(self) -> tuple[Credit, ...]:
        """The credits, if there were numbers to judge."""
        return self.credits if any(c.earned or c.note for c in self.credits) else ()

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        return self.text(self.example.redraw if self.example else "")

    __repr__ = __str__

    def text(self, redraw: str = "") -> str:
        """The whole of it, with how to draw the example again where the reader is."""
        lines = [f"{self.exercise}: {self.verdict}", _fold(_sentence(self.message))]
        lines += [_fold(_("Look: {look}", look=_ended(self.look)))] * bool(self.look)
        for c in self.judged:
            line = f"  {'yes' if c.earned else 'no ':3}  {c.name}"
            lines.append(_hang(f"{line}: {c.note}" if c.note else line, 7))
        if self.example:
            lines.append(_fold(f"{self.example.title}{redraw}:"))
            lines += [_hang(f"  {line}", 4) for line in self.example.lines]
        return "\n".join(filter(None, [*lines, self.gradcheck]))

    def _repr_html_(self) -> str:
        body = f"<p>{escape(_sentence(self.message))}</p>"
        body += f"<p><strong>Look:</strong> {escape(_ended(self.look))}</p>" * bool(self.look)
        if self.judged:
            rows = [(c.name, "✓ yes" if c.earned else "✗ no", c.note) for c in self.judged]
            body += _table(("property", "earned", "what is off"), rows)
        if self.example:
            body += f"<p>{escape(f'{self.example.title}{self.example.redraw}:')}</p>"
            body += _listing("\n".join(self.example.lines), "Example", "pre-wrap")
        mark, line = ("✓", PASSED) if self.passed else ("✗", NOT_YET)
        body += _listing(self.gradcheck, "Gradient check")
        return _card(f"{mark} {self.exercise}: {self.verdict}", body, line)

    def to_json(self) -> str:
        """The same for a program: an object of plain numbers, strings and lists."""
        report = _plain(asdict(self) | {"score": self.score})
        return json.dumps(report, ensure_ascii=False, allow_nan=False)


# ------------------------------------------------------------------ HTML
def _card(title: str, body: str, line: str) -> str:
    """One box in a notebook, with a name for who does not see it."""
    return (
        f'<div role="group" aria-label="{escape(title)}" style="{CARD.format(line)}">'
        f"<p><strong>{escape(title)}</strong></p>{body}</div>"
    )


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    def cells(texts: tuple[str, ...], scopes: tuple[str, ...]) -> str:
        tags = (f'th scope="{scope}"' if scope else "td" for scope in scopes)
        cells = zip(tags, texts)
        return "".join(f'<{t} style="{CELL}">{escape(x)}</{t[:2]}>' for t, x in cells)

    body = "".join(f"<tr>{cells(row, ('row', '', ''))}</tr>" for row in rows)
    return (
        '<table style="border-collapse:collapse;margin:.5em 0"><thead>'
        f"<tr>{cells(head, ('col',) * 3)}</tr></thead><tbody>{body}</tbody></table>"
    )


def _listing(text: str, label: str, wrap: str = "pre") -> str:
    """Lines as they are; nothing if there are none."""
    style = f"overflow-x:auto;margin:.3em 0;white-space:{wrap}"
    attributes = f'tabindex="0" role="group" aria-label="{label}" style="{style}"'
    return f"<pre {attributes}>{escape(text)}</pre>" if text else ""


# ------------------------------------------------------------------ text
def _sentence(text: str) -> str:
    first = text[:1] if re.match(r"d\w\b", text) else text[:1].upper()  # dW and db stay
    return first + _ended(text[1:])


def _ended(text: str) -> str:
    """After a colon: it may begin with a variable, and G_i is not g_i."""
    return text + "." * (text[-1:] not in ".?!:")


def _fold(text: str) -> str:
    """Lines of a terminal's width; a command stays on its own line."""
    return "\n".join(_hang(line, 0) if line[:1] != " " else line for line in text.split("\n"))


def _hang(line: str, indent: int) -> str:
    """A line folded to a terminal's width, what follows the first part indented."""
    return fill(line, 80, subsequent_indent=" " * indent, break_on_hyphens=False)


def _array(x: Any) -> str:
    text = np.array2string(np.asarray(x), separator=", ", precision=4, suppress_small=True)
    text = " ".join(text.split()).replace("-0. ", "0. ")  # aligned by NumPy for lines of its own
    return text.replace("[ ", "[").replace(" ]", "]").replace(" ,", ",")


def _plain(x: Any) -> Any:
    """Values as JSON has them; it has no nan and no inf."""
    if isinstance(x, dict):
        return {key: _plain(value) for key, value in x.items()}
    if isinstance(x, list | tuple):
        return [_plain(value) for value in x]
    if isinstance(x, np.ndarray | np.generic):
        return _plain(x.tolist())
    return str(x) if isinstance(x, float) and not math.isfinite(x) else x
