r"""How an operation and its rules read: the LaTeX of the table in ``ops.py``, filled in.

A text of the table has placeholders: ``<x> <y> <z>`` for the first three arguments, ``<out>`` for
the result and ``<g>`` for the upstream gradient. They are filled with names or with numbers, as
LaTeX or, after `plain`, as text for a terminal.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from .primitive import Primitive

FEW = 4  # entries of a vector that are shown in a line of text
SIGNS = {
    "cdot": "·", "le": "≤", "ge": "≥", "neg": "not ", "to": "→", "dots": "…", "sum": "Σ",
    "top": "ᵀ", "partial": "∂", "times": "×", ",": " ",
}  # fmt: skip
ESCAPED = {c: "\\" + c for c in "#$%&_{}"} | {
    "\\": r"\backslash ", "^": r"\hat{}", "~": r"\sim ", "<": r"\lt ", ">": r"\gt "
}  # fmt: skip


def rule(op: Primitive, argument: int | None = None) -> str:
    """Return the table's LaTeX of an operation, or of the rule of one of its arguments."""
    return op.latex[0 if argument is None else min(argument + 1, len(op.latex) - 1)]


@cache
def plain(latex: str) -> str:
    r"""LaTeX of the table as text: ``\frac{<x>}{<y>}`` is ``<x> / <y>``.

    Examples
    --------
    >>> plain(r"<g> \cdot e^{<x>}")
    '<g> · e^<x>'
    """
    latex = re.sub(r"\\frac\{(.*?)\}\{(.*?)\}", r"\1 / \2", latex).replace(r"\frac1n", "1/n")
    latex = re.sub(r"\\(?:operatorname|text)\{([^{}]*)\}", r"\1", latex)
    latex = re.sub(r"\\sqrt\{(.*?)\}", r"√\1", latex)
    latex = re.sub(r"\^(?:\\top|\{\\top\})", "ᵀ", latex).replace("^2", "²")
    latex = re.sub(r"\^\{(<\w+>)\}", r"^\1", latex)
    latex = re.sub(r"\^\{([^{}]*)\}", r"^(\1)", latex)
    latex = re.sub(r"\\([a-z]+|,)", lambda m: SIGNS.get(m[1], m[1]), latex)
    return re.sub("  +", " ", latex.replace("-", "−").replace("{", "").replace("}", ""))


def fill(text: str, given: Mapping[str, str]) -> str:
    """Put names or numbers where a text of the table has its placeholders.

    A negative number gets brackets unless it has some; a second argument that is not there goes.

    Examples
    --------
    >>> fill(r"<x> \\cdot <y>", {"x": "2", "y": "-3"})
    '2 \\cdot (-3)'
    """

    def put(found: re.Match[str]) -> str:
        before, key = found[1], found[2]
        if key not in given:
            return ""
        value, after = given[key], text[found.end() : found.end() + 1]
        alone = before[:1] in "{(|[" and before and after in ("}", ")", "|", "]", ",")
        needs = value[:1] in "-−" or r"\times 10" in value or "e+" in value or "e-" in value
        return before + (f"({value})" if needs and not alone else value)

    return re.sub(r"([{(|\[]|, |)<(x|y|z|out|g)>", put, text)


def symbol(name: str) -> str:
    r"""Return a name as LaTeX: ``z_1`` and ``z1`` are z with an index, other words are text.

    Examples
    --------
    >>> print(symbol("z1"), symbol("p_12"), symbol("L"), symbol("a_b"))
    z_{1} p_{12} L \text{a\_b}
    """
    if part := re.fullmatch(r"([^\W\d_]+)_?(\d+)", name):
        return f"{symbol(part[1])}_{{{part[2]}}}"
    if re.fullmatch(r"[A-Za-zα-ωΑ-Ω]", name):
        return name
    text = "".join(ESCAPED.get(c, c) for c in " ".join(name.split()))
    return rf"\text{{{text}}}"


def number(x: float) -> str:
    """Return a number to four significant digits, as text."""
    return f"{x:.4g}".replace("-", "−")


def told(x: Any) -> str:
    """Return data as text: a number, a short vector in full, anything larger as its shape."""
    if not np.shape(x):
        return number(float(x))
    if np.ndim(x) == 1 and np.size(x) <= FEW:
        return f"[{', '.join(number(float(v)) for v in x)}]"
    return f"({'×'.join(map(str, np.shape(x)))})"


def typeset(x: Any) -> str:
    """Return data as LaTeX, as `told` does as text."""
    text = told(x).replace("−", "-").replace("×", r" \times ")
    text = re.sub(r"e([+-])0*(\d+)", lambda m: rf" \times 10^{{{m[1].strip('+')}{m[2]}}}", text)
    return text.replace("inf", r"\infty").replace("nan", r"\text{nan}").replace(", ", r",\, ")
