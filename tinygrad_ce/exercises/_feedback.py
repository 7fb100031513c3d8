"""What a check found, and a task, a hint, a solution: as text, as an HTML card, as JSON.

A card has no colours of its own but a line at its side, so that it reads in light and dark; its
style stands in its elements, because a notebook that is not trusted drops style sheets.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from textwrap import fill
from typing import Any, NamedTuple

import numpy as np

NOT_NAMED = "no known pattern"
CARD = (
    "border:1px solid gray;border-left:5px solid {};border-radius:6px;padding:.5em 1em;"
    "margin:.5em 0;max-width:56em;overflow-wrap:break-word"
)
LINE = {"passed": "#0a8f6c", "not yet": "#d55e00", "": "#3d86c6"}  # 3:1 on white and on black


class Credit(NamedTuple):
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
    smallest: bool = True  # of those that were drawn; else the one whose seed was asked for
    large: bool = False  # with scores near 1000

    @property
    def call(self) -> str:
        """What draws it again, in Python."""
        return f"ex.try_it(seed={self.seed}{', large=True' * self.large})"


@dataclass(frozen=True, repr=False)
class Feedback:
    """What `Exercise.check` found: ``passed``, ``score``, ``mistake``, ``credits``, ``example``."""

    exercise: str
    passed: bool
    credits: tuple[Credit, ...]
    said: str
    mistake: str | None = None
    look: str = ""  # at what, if the fault is known
    example: Example | None = None
    table: str = ""  # of the gradient check, if it is not

    @property
    def score(self) -> float:
        """The part of the credits that was earned, from 0.0 to 1.0."""
        return sum(credit.earned for credit in self.credits) / len(self.credits)

    @property
    def verdict(self) -> str:
        """Either "passed" or "not yet", with the credits: "not yet, 4 of 6"."""
        earned = sum(credit.earned for credit in self.credits)
        word = "passed" if self.passed else "not yet"
        return f"{word}, {earned} of {len(self.credits)}"

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        return self.text(f" ({self.example.call} draws it again)" if self.example else "")

    __repr__ = __str__

    def text(self, again: str = "") -> str:
        """The whole of it, with how to draw the example again where the reader is."""
        lines = [f"{self.exercise}: {self.verdict}", _folded(_sentence(self.said))]
        lines += [_folded(f"Look: {_ended(self.look)}")] * bool(self.look)
        lines += [
            _hung(f"  {'yes' if c.earned else 'no ':3}  {c.name}{c.note and f': {c.note}'}", 7)
            for c in self.credits
            if self.tried
        ]
        if self.example:
            lines.append(_folded(f"{self.shown}{again}:"))
            lines += [_hung(f"  {line}", 4) for line in self.numbers]
        return "\n".join([*lines, self.table] if self.table else lines)

    @property
    def tried(self) -> bool:
        """Whether there were numbers to judge."""
        return any(credit.earned or credit.note for credit in self.credits)

    @property
    def shown(self) -> str:
        """Which example it is."""
        assert self.example
        which = "Smallest" if self.example.smallest else "The"
        return f"{which} failing example, seed={self.example.seed}"

    @property
    def numbers(self) -> list[str]:
        """The example, a line an array."""
        if self.example is None:
            return []
        shown = [f"{name} = {_array(x)}" for name, x in self.example.inputs.items()]
        shown += [f"yours: {name} = {_array(x)}" for name, x in self.example.yours.items()]
        return [*shown, self.example.where] if self.example.where else shown

    def _repr_html_(self) -> str:
        head = "".join(_cell(name, "col") for name in ("property", "earned", "what is off"))
        said = {True: _cell("✓ yes"), False: _cell("✗ no")}
        rows = "".join(
            f"<tr>{_cell(c.name, 'row')}{said[c.earned]}{_cell(c.note)}</tr>" for c in self.credits
        )
        table = f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody>"
        body = f"<p>{escape(_sentence(self.said))}</p>"
        body += f"<p><strong>Look:</strong> {escape(_ended(self.look))}</p>" * bool(self.look)
        if self.tried:
            body += f'<table style="border-collapse:collapse;margin:.5em 0">{table}</table>'
        if self.example:
            body += f"<p>{escape(f'{self.shown} ({self.example.call} draws it again):')}</p>"
            body += _listing(self.numbers, "Example", "pre-wrap")
        body += _listing([self.table], "Gradient check") * bool(self.table)
        word = "passed" if self.passed else "not yet"
        mark = "✓" if self.passed else "✗"
        return card(f"{mark} {self.exercise}: {self.verdict}", body, LINE[word])

    def to_json(self) -> str:
        """The same for a program: an object of plain numbers, strings and lists."""
        example = self.example and {
            "seed": self.example.seed,
            "inputs": {name: _plain(x) for name, x in self.example.inputs.items()},
            "yours": {name: _plain(x) for name, x in self.example.yours.items()},
            "where": self.example.where,
            "large": self.example.large,
        }
        report = {
            "exercise": self.exercise,
            "passed": self.passed,
            "score": self.score,
            "mistake": self.mistake,
            "message": self.said,
            "look": self.look,
            "credits": [credit._asdict() for credit in self.credits],
            "example": example,
            "gradcheck": self.table,
        }
        return json.dumps(report, ensure_ascii=False, allow_nan=False)


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
        text = "\n\n".join(map(_folded, self.text.split("\n\n")))
        blocks = [self.title, formula and f"  {formula}", text, self.code]
        return "\n\n".join(block for block in blocks if block)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        body = _formula(self.latex) * bool(self.latex)
        body += "".join(f"<p>{escape(part)}</p>" for part in self.text.split("\n\n"))
        return card(self.title, body + _listing([self.code], "Code") * bool(self.code), LINE[""])

    def _repr_latex_(self) -> str | None:
        return f"$${self.latex}$$" if self.latex else None


def card(title: str, body: str, line: str) -> str:
    """One box in a notebook, with a name for who does not see it."""
    return (
        f'<div role="group" aria-label="{escape(title)}" style="{CARD.format(line)}">'
        f"<p><strong>{escape(title)}</strong></p>{body}</div>"
    )


def _cell(text: str, scope: str = "") -> str:
    tag = "th" if scope else "td"
    named = f' scope="{scope}"' * bool(scope)
    style = "text-align:left;vertical-align:top;padding:.1em 1em .1em 0"
    return f'<{tag}{named} style="{style}">{escape(text)}</{tag}>'


def _formula(latex: str) -> str:
    """A formula that a notebook typesets; on a narrow screen it scrolls."""
    attributes = 'tabindex="0" role="group" aria-label="Formula" style="overflow:auto hidden"'
    return f"<div {attributes}>$${escape(latex)}$$</div>"


def _listing(lines: list[str], label: str, wrap: str = "pre") -> str:
    text, style = escape("\n".join(lines)), f"overflow-x:auto;margin:.3em 0;white-space:{wrap}"
    return f'<pre tabindex="0" role="group" aria-label="{label}" style="{style}">{text}</pre>'


def _sentence(text: str) -> str:
    first = text[:1] if re.match(r"d\w\b", text) else text[:1].upper()  # dW and db stay
    return first + _ended(text[1:])


def _ended(text: str) -> str:
    """After a colon: it may begin with a variable, and G_i is not g_i."""
    return text + "." * (text[-1:] not in ".?!:")


def _folded(text: str) -> str:
    """Lines of a terminal's width; a command stays on its own line."""
    return "\n".join(_hung(line, 0) if line[:1] != " " else line for line in text.split("\n"))


def _hung(line: str, indent: int) -> str:
    """A line folded to a terminal's width, what follows the first part indented."""
    return fill(line, 80, subsequent_indent=" " * indent, break_on_hyphens=False)


def _array(x: Any) -> str:
    text = np.array2string(np.asarray(x), separator=", ", precision=4, suppress_small=True)
    text = " ".join(text.split()).replace("-0. ", "0. ")  # aligned by NumPy for lines of its own
    return text.replace("[ ", "[").replace(" ]", "]").replace(" ,", ",")


def _plain(x: Any) -> Any:
    """Numbers as JSON has them; it has no nan and no inf."""
    if isinstance(x, list):
        return [_plain(v) for v in x]
    if isinstance(x, np.ndarray | np.generic):
        return _plain(x.tolist())
    return str(x) if isinstance(x, float) and not math.isfinite(x) else x
