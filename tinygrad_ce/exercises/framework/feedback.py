"""What a check found: as text, as a card, as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any, NamedTuple

import numpy as np

from .cards import NOT_YET, PASSED, card, cell, ended, fold, hang, listing, sentence

MARK = {True: "✓ yes", False: "✗ no"}


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
    large: bool = False  # with scores near 1000
    smallest: bool = True  # of those that were drawn; else the one whose seed was asked for

    @property
    def call(self) -> str:
        """What draws it again, in Python."""
        return f"ex.try_it(seed={self.seed}{', large=True' * self.large})"

    @property
    def title(self) -> str:
        """Which example it is."""
        return f"{'Smallest' if self.smallest else 'The'} failing example, seed={self.seed}"

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
    table: str = ""  # of the gradient check, if it is not

    @property
    def score(self) -> float:
        """The part of the credits that was earned, from 0.0 to 1.0."""
        return sum(credit.earned for credit in self.credits) / len(self.credits)

    @property
    def verdict(self) -> str:
        """Either "passed" or "not yet", with the credits: "not yet, 4 of 6"."""
        earned = sum(credit.earned for credit in self.credits)
        return f"{'passed' if self.passed else 'not yet'}, {earned} of {len(self.credits)}"

    @property
    def judged(self) -> tuple[Credit, ...]:
        """The credits, if there were numbers to judge."""
        return self.credits if any(c.earned or c.note for c in self.credits) else ()

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        return self.text(f" ({self.example.call} draws it again)" if self.example else "")

    __repr__ = __str__

    def text(self, redraw: str = "") -> str:
        """The whole of it, with how to draw the example again where the reader is."""
        lines = [f"{self.exercise}: {self.verdict}", fold(sentence(self.message))]
        lines += [fold(f"Look: {ended(self.look)}")] * bool(self.look)
        for c in self.judged:
            note = f": {c.note}" if c.note else ""
            lines.append(hang(f"  {'yes' if c.earned else 'no ':3}  {c.name}{note}", 7))
        if self.example:
            lines.append(fold(f"{self.example.title}{redraw}:"))
            lines += [hang(f"  {line}", 4) for line in self.example.lines]
        return "\n".join([*lines, self.table] if self.table else lines)

    def _repr_html_(self) -> str:
        body = f"<p>{escape(sentence(self.message))}</p>"
        body += f"<p><strong>Look:</strong> {escape(ended(self.look))}</p>" * bool(self.look)
        if self.judged:
            head = "".join(cell(name, "col") for name in ("property", "earned", "what is off"))
            rows = "".join(
                f"<tr>{cell(c.name, 'row')}{cell(MARK[c.earned])}{cell(c.note)}</tr>"
                for c in self.judged
            )
            body += '<table style="border-collapse:collapse;margin:.5em 0">'
            body += f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        if self.example:
            body += (
                f"<p>{escape(f'{self.example.title} ({self.example.call} draws it again):')}</p>"
            )
            body += listing("\n".join(self.example.lines), "Example", "pre-wrap")
        body += listing(self.table, "Gradient check") * bool(self.table)
        mark, line = ("✓", PASSED) if self.passed else ("✗", NOT_YET)
        return card(f"{mark} {self.exercise}: {self.verdict}", body, line)

    def to_json(self) -> str:
        """The same for a program: an object of plain numbers, strings and lists."""
        report = {
            "exercise": self.exercise,
            "passed": self.passed,
            "score": self.score,
            "mistake": self.mistake,
            "message": self.message,
            "look": self.look,
            "credits": [credit._asdict() for credit in self.credits],
            "example": vars(self.example) if self.example else None,
            "gradcheck": self.table,
        }
        return json.dumps(_plain(report), ensure_ascii=False, allow_nan=False)


def _array(x: Any) -> str:
    text = np.array2string(np.asarray(x), separator=", ", precision=4, suppress_small=True)
    text = " ".join(text.split()).replace("-0. ", "0. ")  # aligned by NumPy for lines of its own
    return text.replace("[ ", "[").replace(" ]", "]").replace(" ,", ",")


def _plain(x: Any) -> Any:
    """Values as JSON has them; it has no nan and no inf."""
    if isinstance(x, dict):
        return {key: _plain(value) for key, value in x.items()}
    if isinstance(x, list):
        return [_plain(value) for value in x]
    if isinstance(x, np.ndarray | np.generic):
        return _plain(x.tolist())
    return str(x) if isinstance(x, float) and not math.isfinite(x) else x
