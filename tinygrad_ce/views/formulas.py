r"""What flows along an edge, and how it, names, data and rules read: as text, and as LaTeX.

A rule's LaTeX in an operation's record has placeholders: ``<x> <y> <z>`` for the first three
arguments, ``<args>`` for all, ``<arg>`` for the one that the rule is for, ``<out>`` for the result
and ``<g>`` for the upstream gradient. They are filled with names or with numbers, in one of two
notations.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from ..engine.backward import share
from ..engine.data import unbroadcast
from ..engine.operation import Primitive
from ..engine.value import Value, detach

SUM = r"\sum"
SLOPE = r"\frac{\partial <x>}{\partial <y>}"
FEW = 4  # entries of a vector that a line of text still holds
ENTRIES = 6  # of an array, that a node of a picture shows in full
WORDS = {
    "cdot": "·", "le": "≤", "neg": "not", "to": "→", "dots": "…", "sum": "Σ", "top": "ᵀ",
    "lt": "<", "gt": ">", "ge": "≥", "ne": "≠",
    "partial": "∂", "times": "×", "odot": "⊙", "mathrel": "", ",": "",
}  # fmt: skip
# What \text{} cannot hold: not even escaped, for a converter to MathML that takes it literally.
OUTSIDE = {c: "\\" + c for c in "#$%&_{}"} | {
    "\\": r"\backslash ", "^": r"\hat{}", "~": r"\sim ", "<": r"\lt ", ">": r"\gt "
}  # fmt: skip
TRIAL = np.array([0.7, 0.3, 0.9, 0.2, 0.5, 0.4]).reshape(2, 1, 3)  # in order of nothing


class Flow(NamedTuple):
    """What a node hands an argument, of the argument's shape, and what it is made of.

    ``local`` has the node's shape: an argument that broadcasting repeated gets the sum of the
    products. It is None where the rule is no product of entries.
    """

    upstream: Any = None
    local: Any = None
    contribution: Any = None


def flow(node: Value, k: int, g: Any) -> Flow:
    """Return what flows from a node to its argument k, given the node's gradient."""
    assert node.op is not None
    parent, local = node.parents[k], None
    one = 1.0 if isinstance(node.data, float) else np.ones_like(node.data)
    if node.size == 1:
        local = unbroadcast(share(node, k, one), parent.data, node.op)
    elif entrywise(node.op):
        local = share(node, k, one)
    return Flow(g, local, unbroadcast(share(node, k, g), parent.data, node.op))


@cache
def entrywise(op: Primitive) -> bool:
    """Return whether each entry of the result depends on one entry of each argument, and no other.

    Where the record does not say so, it is tried: does each number get what it gets alone?
    """
    if op.entrywise or getattr(op.function, "signature", "") is None:  # of a ufunc
        return True
    args = [TRIAL / (k + 1) for k in range(op.arity or 0)]
    try:
        whole, each = op.fn(*args), np.vectorize(op.fn)(*args)
        return np.shape(whole) == TRIAL.shape and np.allclose(whole, each, rtol=1e-9, atol=0)
    except Exception:  # whatever a user's function raises, where it is no such function
        return False


def spell(x: Any) -> str:
    """Return data as text: a number or a short vector to 4 digits, anything larger by its shape."""
    x = np.asarray(detach(x))  # Dask computes it
    if x.ndim == 0:
        return f"{float(x) or 0.0:.4g}".replace("-", "−")  # a zero has no sign
    if x.size == 1 or (x.ndim == 1 and x.size <= FEW):
        return f"[{', '.join(map(spell, x.ravel()))}]"
    return f"({'×'.join(map(str, x.shape))})"


def typeset(x: Any) -> str:
    """Return the same as LaTeX."""
    text = spell(x).replace("−", "-").replace("×", r" \times ").replace(", ", r",\, ")
    text = re.sub(r"e\+?(-?)0*(\d+)", r" \\times 10^{\1\2}", text)
    return text.replace("inf", r"\infty").replace("nan", r"\text{nan}")


def small(x: Any) -> bool:
    """Return whether a picture shows data in full."""
    return bool(math.prod(np.shape(x)) <= ENTRIES)


def summarise(x: Any) -> str:
    """Return data as text: a few entries in full, more as range and mean."""
    x = np.asarray(detach(x))
    if x.ndim == 0:
        return spell(x)
    if small(x):
        return f"[{', '.join(map(summarise, x))}]"
    with np.errstate(all="ignore"):
        low, high, mean = x.min(), x.max(), x.mean()
    return (
        f"all {spell(low)}" if low == high else f"{spell(low)} … {spell(high)}, mean {spell(mean)}"
    )


def bracketed(text: str) -> str:
    """Return a number as it can be a factor: one that begins with a sign gets brackets."""
    return f"({text})" if text[:1] in ("-", "−") or r"\times 10" in text else text


def inline(name: str) -> str:
    r"""Return a name on one line, what cannot be printed as its escape: a newline is ``\n``."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def symbol(name: str) -> str:
    """Return a name as LaTeX: ``z_1`` and ``z1`` are z with an index, other words are text."""
    if part := re.fullmatch(r"([^\W\d_]+)_?([0-9]+)", name):
        return f"{symbol(part[1])}_{{{part[2]}}}"
    if re.fullmatch(r"[A-Za-z]", name):
        return name
    parts = re.split(r"([#$%&_{}\\^~<>])", inline(name))
    text = [OUTSIDE.get(part) or rf"\text{{{part}}}" for part in parts if part]
    return text[0] if len(text) == 1 else f"{{{''.join(text)}}}"


def rule(op: Primitive, argument: int | None = None) -> str:
    """Return the LaTeX of an operation, or of the rule of one of its arguments, on one line.

    A name that is no word, as ``leaky_relu``, becomes the placeholder ``<op>``.
    """
    k = 0 if argument is None else min(argument + 1, len(op.latex) - 1)  # one may serve them all
    latex = op.latex[k]
    if not op.name.isalpha():
        latex = latex.replace(rf"\operatorname{{{op.name}}}", r"\operatorname{<op>}")
    return "".join(c if c.isprintable() else " " for c in latex)


@cache
def plain(latex: str) -> str:
    r"""Turn the LaTeX of a rule into text: ``\frac{<x>}{<y>}`` is ``<x> / <y>``."""
    for pattern, text in {
        r"\\frac\{\\partial (.*?)\}\{\\partial (.*?)\}": r"∂\1/∂\2",
        r"(?<=[}c])\{([^{}]* [-+] [^{}]*)\}": r"{(\1)}",  # a sum in a fraction
        r"\\frac\{(.*?)\}\{(.*?)\}": r"\1 / \2",
        r"\\frac1n": "1/n",
        r"\\sqrt\{(.*?)\}": r"√\1",
        r"\\(?:operatorname|text|math[a-z]+)\{([^{}]*)\}": r"\1",
        r"\^\\top": "ᵀ",
        r"\^2": "²",
        r"\^\{(<\w+>)\}": r"^\1",
        r"\^\{([^{}]*)\}": r"^(\1)",
        "-": "−",
        r"[{}]": "",
    }.items():
        latex = re.sub(pattern, text, latex)
    latex = re.sub(r"\\([A-Za-z]+|.)", lambda m: WORDS.get(m[1], m[1]), latex)
    return " ".join(latex.split())


def fill(text: str, given: Mapping[str, str]) -> str:
    """Put names or numbers where a rule has its placeholders; what is not given goes.

    A negative number gets brackets unless it comes first or after one: ``<x> + <y>`` is -2 + (-3).
    """

    def put(match: re.Match[str]) -> str:
        before, value = match[1], given.get(match[2])
        if value is None:
            return before.replace(", ", "")
        bare = (before or not match.start()) and match[3] != "^"
        return before + (value if bare else bracketed(value))

    return re.sub(r"([{(|[]|, |)<(x|y|z|args?|out|g|op)>(?=(.?))", put, text)


@dataclass(frozen=True)
class Notation:
    """How formulas are written: what becomes of numbers, of names, and of LaTeX."""

    number: Callable[[Any], str]
    name: Callable[[str], str]
    write: Callable[[str], str]

    def rule(
        self, node: Value, show: Callable[[Any], str], k: int | None = None, g: str = ""
    ) -> str:
        """Write a node's operation, or the rule of its argument k, its terms as `show` has them."""
        assert node.op is not None
        args = [*map(show, node.parents)]
        more = [self.write(r"\dots")] if len(args) > FEW else []
        terms = {"args": ", ".join(args[:FEW] + more), "arg": args[k or 0], "out": show(node)}
        terms |= {"g": g, "op": self.name(inline(node.op.name)), **dict(zip("xyz", args))}
        return fill(self.write(rule(node.op, k)), terms)

    def flow(self, node: Value, k: int, sent: Flow) -> list[str]:
        """Write upstream × local in two pieces; or, where it is no product, the rule in numbers."""
        upstream = self.number(sent.upstream)
        if sent.local is None:
            return [self.rule(node, self.number, k, upstream)]
        share, *factors = (np.shape(x) for x in (sent.contribution, sent.upstream, sent.local))
        times = self.write(r"\odot" if factors[0] == factors[1] != () else r"\times")
        if math.prod(share) < max(map(math.prod, factors)):  # broadcasting is undone
            upstream = f"{self.write(SUM)} {upstream}"
        return [upstream, f"{times} {bracketed(self.number(sent.local))}"]

    def equation(self, head: list[str], numbers: list[str], result: Any) -> tuple[str, ...]:
        """Write a formula in pieces, between which a line may break: the last is its result."""
        shown = self.number(result)
        if shown[0] == "(":  # a shape: no number that = could stand before
            arrow = [self.write(r"\to")] if numbers else []
            return (*head[:-1], f"{head[-1]}:", *numbers, " ".join([*arrow, shown]))
        numbers = [f"= {numbers[0]}", *numbers[1:]] if numbers else []
        return (*head, *numbers, f"= {shown}")


TEXT = Notation(spell, str, plain)
LATEX = Notation(typeset, symbol, str)
