"""What a learner sees: a check's result, a task, a hint, as text and as a card; JSON for teachers.

A card has no colours of its own but a line at its side, so that it reads in light and dark; its
style stands in its elements, because a notebook that is not trusted drops style sheets.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from textwrap import indent
from typing import Any, NamedTuple

import numpy as np

from ...checks.wording import table, wrapped
from ...engine.language import language, speaking, spoken
from ...engine.text import _
from .problem import Trial, array_text

BREAKS = "overflow-wrap:break-word;word-break:keep-all"  # Korean lines break between words
CARD = f'style="border-left:5px solid {{}};margin:.5em 0;padding:0 1em;{BREAKS}"'


@dataclass(frozen=True, repr=False)
class Note:
    """A title and paragraphs, as text and as a card; indented ones are formulas, numbers, code."""

    title: str
    paragraphs: Sequence[str]
    line: str = "#3d86c6"  # its colour; this and others have 3:1 on white and on black
    gap: str = "\n\n"  # between paragraphs in a terminal

    def __repr__(self) -> str:
        return self.gap.join([self.title, *map(_fold, self.paragraphs)])

    def _repr_html_(self) -> str:
        name = escape(self.title)
        body = f"<strong>{name}</strong>"
        for text in self.paragraphs:
            tag = "pre" if "\n" in text or text.startswith(" ") else "p"
            body += f'<{tag} style="white-space:pre-wrap;margin:.5em 0">{escape(text)}</{tag}>'
        return f'<div role="group" aria-label="{name}" {CARD.format(self.line)}>{body}</div>'


def _fold(paragraph: str) -> str:
    """A paragraph in lines of a terminal's width; what is indented stays so."""
    lines = [(line, " " * 7 if line.startswith(" ") else "") for line in paragraph.split("\n")]
    folded = (wrapped(x, 80, subsequent_indent=by, break_on_hyphens=False) for x, by in lines)
    return "\n".join("\n".join(several) for several in folded)


class Credit(NamedTuple):
    """One property that an answer has or has not; ``note`` says what is off."""

    name: str
    earned: bool = False
    note: str = ""


@dataclass(frozen=True, repr=False)
class Feedback:
    """What `Exercise.check` found: ``passed``, ``score``, ``mistake``, ``credits``, ``example``."""

    exercise: str
    passed: bool
    credits: Sequence[Credit]
    message: str
    mistake: str | None = None
    look: str = ""  # at what, if the fault is known
    example: Trial | None = None  # the smallest draw that shows the fault
    lang: str = field(default_factory=language)  # of its sentences

    @property
    def score(self) -> float:
        """The part of the credits that was earned, from 0.0 to 1.0."""
        return sum(credit.earned for credit in self.credits) / len(self.credits)

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        return str(self.note())

    def _repr_html_(self) -> str:
        picture = self.example.problem.picture(self.example.inputs) if self.example else ""
        return self.note()._repr_html_() + picture

    def note(self, redraw: bool = True) -> Note:
        """All that there is to say, with how to draw the example again unless told not to."""
        with speaking(self.lang):
            text = (
                "{name}: passed, {n} of {all}" if self.passed else "{name}: not yet, {n} of {all}"
            )
            n = sum(credit.earned for credit in self.credits)
            title = _(text, name=self.exercise, n=n, all=len(self.credits))
            texts = [self.message, _("Look: {look}", look=self.look) * bool(self.look)]
            texts = [x if x[-1] in ".?!:" else f"{x}." for x in texts if x]
            if any(c.earned or c.note for c in self.credits):  # else there were no numbers to judge
                signs = _("yes"), _("no")
                rows = [
                    (signs[not earned], f"{spoken(name)}: {note}".removesuffix(": "))
                    for name, earned, note in self.credits
                ]
                texts.append(indent("\n".join(table(rows)), "  "))
            if t := self.example:
                text = "Smallest failing example, seed={seed}"
                text += " (ex.try_it(seed={seed}{large}) draws it again):" if redraw else ":"
                texts.append(_(text, seed=t.seed, large=", large=True" * t.large))
                lines = t.problem.told(t.inputs)
                yours = ((spoken(name), array_text(x)) for name, x in t.yours.items())
                lines += [_("yours: {name} = {x}", name=name, x=x) for name, x in yours]
                texts.append("\n".join(f"  {line}" for line in [*lines, t.where] if line))
            return Note(title, texts, line="#0a8f6c" if self.passed else "#d55e00", gap="\n")

    def to_gradescope(self) -> str:
        """The same as Gradescope's ``results.json``, a point for each credit.

        Its format: https://gradescope-autograders.readthedocs.io/en/latest/specs/
        """
        tests = [
            {"name": c.name, "score": float(c.earned), "max_score": 1.0, "output": c.note}
            for c in self.credits
        ]
        report = {"output": str(self.note(redraw=False)), "tests": tests, "visibility": "visible"}
        return json.dumps(report, ensure_ascii=False)

    def to_json(self) -> str:
        """The same for a program: an object of plain numbers, strings and lists.

        Its keys and the names of mistakes and credits are English in every language.
        """
        report = vars(self) | {"score": self.score, "credits": [c._asdict() for c in self.credits]}
        del report["lang"]
        if t := self.example:
            keep = ("seed", "large", "inputs", "yours", "where")
            report["example"] = {name: getattr(t, name) for name in keep}
        return json.dumps(report, ensure_ascii=False, allow_nan=False, default=_plain)


def _plain(x: Any) -> Any:
    """An array as JSON has it: there is no nan and no inf."""
    return np.where(np.isfinite(x), x.astype(object), x.astype(str)).tolist()
