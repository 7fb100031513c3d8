r"""How an operation and its rules read: the LaTeX of the table in ``ops.py``, filled in.

A text of the table has placeholders: ``<x> <y> <z>`` for the first three arguments, ``<out>`` for
the result and ``<g>`` for the upstream gradient. They are filled with names or with numbers, as
LaTeX or, made `plain`, as text for a terminal.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from ..engine.operation import TABLE, Primitive

FEW = 4  # entries of a vector that a line of text still holds
WORDS = {
    "cdot": "·", "le": "≤", "neg": "not", "to": "→", "dots": "…", "sum": "Σ", "top": "ᵀ",
    "partial": "∂", ",": "",
}  # fmt: skip
# What \text{} cannot hold: not even escaped, for a converter to MathML that takes it literally.
OUTSIDE = {c: "\\" + c for c in "#$%&_{}"} | {
    "\\": r"\backslash ", "^": r"\hat{}", "~": r"\sim ", "<": r"\lt ", ">": r"\gt "
}  # fmt: skip


def entrywise() -> set[Primitive]:
    """Return the operations whose every entry depends on one entry of each argument."""
    return {
        op
        for function, op in TABLE.items()
        if function in (np.where, np.clip)
        or (isinstance(function, np.ufunc) and function.signature is None)
    }


def rule(op: Primitive, argument: int | None = None) -> str:
    """Return the table's LaTeX of an operation, or of the rule of one of its arguments."""
    if argument is not None:
        return op.latex[min(argument + 1, len(op.latex) - 1)]  # one rule may serve them all
    title = op.name if op.name.isalpha() else symbol(op.name)
    return op.latex[0].replace(rf"\operatorname{{{op.name}}}", rf"\operatorname{{{title}}}")


@cache
def plain(latex: str) -> str:
    r"""Turn LaTeX of the table into text.

    Examples
    --------
    >>> plain(r"-<g> \cdot e^{<x>}"), plain(r"\frac{<x>}{<y>}")
    ('−<g> · e^<x>', '<x> / <y>')
    """
    for pattern, text in {
        r"\\frac\{(.*?)\}\{(.*?)\}": r"\1 / \2",
        r"\\frac1n": "1/n",
        r"\\sqrt\{(.*?)\}": r"√\1",
        r"\\(?:operatorname|text)\{([^{}]*)\}": r"\1",
        r"\^\\top": "ᵀ",
        r"\^2": "²",
        r"\^\{(<\w+>)\}": r"^\1",
        r"\^\{([^{}]*)\}": r"^(\1)",
        "-": "−",
        r"[{}]": "",
    }.items():
        latex = re.sub(pattern, text, latex)
    latex = re.sub(r"\\([A-Za-z]+|\W)", lambda m: WORDS.get(m[1], m[1]), latex)
    return " ".join(latex.split())


def fill(text: str, given: Mapping[str, str]) -> str:
    r"""Put names or numbers where a text of the table has its placeholders.

    A negative number gets brackets unless it has some or comes first; what is not given goes.

    Examples
    --------
    >>> print(fill(r"<x> \cdot <y>", {"x": "2", "y": "-3"}))
    2 \cdot (-3)
    """

    def put(found: re.Match[str]) -> str:
        before, value = found[1], given.get(found[2])
        if value is None:
            return before.replace(", ", "")
        after = text[found.end() : found.end() + 1]
        enclosed = (
            after in ("}", ")", "|", "]", ",") if before else not found.start() and after != "^"
        )
        return before + (value if enclosed else bracketed(value))

    return re.sub(r"([{(|[]|, |)<(x|y|z|out|g)>", put, text)


def bracketed(text: str) -> str:
    """Return a number as it can be a factor: one that begins with a sign gets brackets."""
    return f"({text})" if text[:1] in ("-", "−") or r"\times 10" in text else text


def inline(name: str) -> str:
    r"""Return a name on one line, what cannot be printed as its escape: a newline is ``\n``."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def symbol(name: str) -> str:
    r"""Return a name as LaTeX: ``z_1`` and ``z1`` are z with an index, other words are text.

    Examples
    --------
    >>> print(symbol("z1"), symbol("exp_12"), symbol("L"), symbol("a_b"))
    z_{1} \text{exp}_{12} L {\text{a}\_\text{b}}
    """
    if part := re.fullmatch(r"([^\W\d_]+)_?([0-9]+)", name):
        return f"{symbol(part[1])}_{{{part[2]}}}"
    if re.fullmatch(r"[A-Za-z]", name):
        return name
    parts = re.split(r"([#$%&_{}\\^~<>])", inline(name))
    text = [OUTSIDE.get(part) or rf"\text{{{part}}}" for part in parts if part]
    return text[0] if len(text) == 1 else f"{{{''.join(text)}}}"


def told(x: Any) -> str:
    """Return data as text: a number or a short vector to 4 digits, anything larger by its shape."""
    x = np.asarray(x)  # Dask computes it
    if np.ndim(x) == 0:
        return f"{float(x) or 0.0:.4g}".replace("-", "−")  # a zero has no sign
    if np.size(x) == 1 or (np.ndim(x) == 1 and np.size(x) <= FEW):
        return f"[{', '.join(told(v) for v in np.ravel(x))}]"
    return f"({'×'.join(map(str, np.shape(x)))})"


def typeset(x: Any) -> str:
    """Return the same as LaTeX."""
    text = told(x).replace("−", "-").replace("×", r" \times ").replace(", ", r",\, ")
    text = re.sub(r"e\+?(-?)0*(\d+)", r" \\times 10^{\1\2}", text)
    return text.replace("inf", r"\infty").replace("nan", r"\text{nan}")


def gives(x: Any, tex: bool = False) -> str:
    """Return how a formula ends: = and a number, or → and the shape of an array."""
    text = typeset(x) if tex else told(x)
    return f"= {text}" if text[0] != "(" else f"{chr(92) + 'to' if tex else '→'} {text}"
