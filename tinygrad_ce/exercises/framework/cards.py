"""How it looks: text of a terminal's width, and cards for a notebook.

A card has no colours of its own but a line at its side, so that it reads in light and dark; its
style stands in its elements, because a notebook that is not trusted drops style sheets.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape
from textwrap import fill

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
        text = "\n\n".join(map(fold, self.text.split("\n\n")))
        blocks = [self.title, formula and f"  {formula}", text, self.code]
        return "\n\n".join(block for block in blocks if block)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        body = formula(self.latex) * bool(self.latex)
        body += "".join(f"<p>{escape(part)}</p>" for part in self.text.split("\n\n"))
        return card(self.title, body + listing(self.code, "Code") * bool(self.code), NEUTRAL)

    def _repr_latex_(self) -> str | None:
        return f"$${self.latex}$$" if self.latex else None


def card(title: str, body: str, line: str) -> str:
    """One box in a notebook, with a name for who does not see it."""
    return (
        f'<div role="group" aria-label="{escape(title)}" style="{CARD.format(line)}">'
        f"<p><strong>{escape(title)}</strong></p>{body}</div>"
    )


def cell(text: str, scope: str = "") -> str:
    """One cell of a table; with a scope, a header."""
    tag = f'th scope="{scope}"' if scope else "td"
    return f'<{tag} style="{CELL}">{escape(text)}</{tag[:2]}>'


def formula(latex: str) -> str:
    """A formula that a notebook typesets; on a narrow screen it scrolls."""
    attributes = 'tabindex="0" role="group" aria-label="Formula" style="overflow:auto hidden"'
    return f"<div {attributes}>$${escape(latex)}$$</div>"


def listing(text: str, label: str, wrap: str = "pre") -> str:
    """Lines as they are."""
    style = f"overflow-x:auto;margin:.3em 0;white-space:{wrap}"
    attributes = f'tabindex="0" role="group" aria-label="{label}" style="{style}"'
    return f"<pre {attributes}>{escape(text)}</pre>"


def sentence(text: str) -> str:
    """A capital letter first, but dW and db stay; at the end a full stop."""
    first = text[:1] if re.match(r"d\w\b", text) else text[:1].upper()
    return first + ended(text[1:])


def ended(text: str) -> str:
    """A full stop at the end; what follows a colon may begin with a variable: G_i is not g_i."""
    return text + "." * (text[-1:] not in ".?!:")


def fold(text: str) -> str:
    """Lines of a terminal's width; a command stays on its own line."""
    return "\n".join(hang(line, 0) if line[:1] != " " else line for line in text.split("\n"))


def hang(line: str, indent: int) -> str:
    """A line folded to a terminal's width, what follows the first part indented."""
    return fill(line, 80, subsequent_indent=" " * indent, break_on_hyphens=False)
