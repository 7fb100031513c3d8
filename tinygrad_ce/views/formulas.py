r"""What flows along an edge, and how it, names, data and rules read: as text, and as LaTeX.

A rule's LaTeX in an operation's record has placeholders: ``<x> <y> <z>`` for the first three
arguments, ``<args>`` for all, ``<arg>`` for the one that the rule is for, ``<out>`` for the result,
``<g>`` for the upstream gradient, ``<op>`` for the operation's name. `fill` puts names or numbers
there, in both notations.
"""

import math
import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from ..engine.backward import share
from ..engine.data import example, unbroadcast
from ..engine.operation import Primitive
from ..engine.text import _
from ..engine.value import Value, detach
from ..programs.lines import elementwise

SUM = r"\sum"
FEW = 4  # entries of a vector that a line of text still holds
ENTRIES = 6  # of an array, that a node of a picture shows in full
# How tightly a formula binds, the loosest first; an atom never needs brackets.
CHOICE, COMPARED, TERMS, SIGNED, FACTORS, MATRICES, TIGHT, ATOM = range(8)
# A formula binds as the first of these signs does that stands outside all brackets: in this order.
# Then how tightly its first term has to bind, and the others.
SIGNS = {
    r" if ": (COMPARED, COMPARED),
    r" (=|\\lt|\\le|\\gt|\\ge|\\ne) ": (TERMS, TERMS),
    " [-+] ": (TERMS, SIGNED),
    "^-": (FACTORS, FACTORS),
    r"\\cdot|\\frac": (SIGNED, FACTORS),
    r"\\,": (MATRICES, MATRICES),
    r"\\sum|\^|\\sqrt": (ATOM, ATOM),
    "": (ATOM, ATOM),
}
WORDS = {
    "cdot": "·", "le": "≤", "neg": "not", "to": "→", "dots": "…", "sum": "Σ", "top": "ᵀ",
    "lt": "<", "gt": ">", "ge": "≥", "ne": "≠",
    "partial": "∂", "times": "×", "odot": "⊙", "mathrel": "", ",": "",
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "theta": "θ",
    "lambda": "λ", "mu": "μ", "pi": "π", "rho": "ρ", "sigma": "σ", "tau": "τ", "phi": "φ",
    "Phi": "Φ", "omega": "ω",
}  # fmt: skip
AXES = str.maketrans("ijklmn", "ᵢⱼₖₗₘₙ")
# What \text{} cannot hold: not even escaped, for a converter to MathML that takes it literally.
OUTSIDE = {c: "\\" + c for c in "#$%&_{}"} | {
    "\\": r"\backslash ", "^": r"\hat{}", "~": r"\sim ", "<": r"\lt ", ">": r"\gt "
}  # fmt: skip
# The place of a number that can change, between what no name has: `inline` escapes it.
OPEN, CLOSE = "\ue000", "\ue001"
MARK = re.compile(rf"(?:\\text\{{)?{OPEN}(±?)(\d+):([^{CLOSE}]*){CLOSE}\}}?")
TRIAL = np.array([0.7, 0.3, 0.9, 0.2, 0.5, 0.4]).reshape(2, 1, 3)  # in order of nothing


class Formula(NamedTuple):
    """A formula, or a piece of one, in both notations, and how tightly it binds."""

    text: str
    latex: str
    binds: int = ATOM


EMPTY = Formula("", "")


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
    if elementwise(op.function):
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


def small(x: Any) -> bool:
    """Return whether a picture shows data in full."""
    return bool(math.prod(np.shape(x)) <= ENTRIES)


def summarise(x: Any) -> str:
    """Return data as text: a few entries in full, more as range and mean, or what is no number."""
    x = np.asarray(detach(x))
    if x.ndim == 0:
        return spell(x)
    if small(x):
        return f"[{', '.join(map(summarise, x))}]"
    is_finite = np.isfinite(x)
    finite, (odd, counts) = x[is_finite], np.unique(x[~is_finite], return_counts=True)
    if x.size in counts or np.all(x == x.flat[0]):
        return _("all {x}", x=spell(x.flat[0]))
    others = ", ".join(f"{n} {spell(value)}" for value, n in zip(odd, counts))
    if not finite.size:
        return others
    low, high = spell(finite.min()), spell(finite.max())
    with np.errstate(all="ignore"):
        mean = finite.mean()
        is_dust = abs(mean) <= np.finfo(mean.dtype).eps * abs(finite).max()  # of rounding
    if others:
        return _("{low} … {high} and {others}", low=low, high=high, others=others)
    mean = spell(0.0 if is_dust else mean)
    return _("{low} … {high}, mean {mean}", low=low, high=high, mean=mean)


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
    """Return the LaTeX of an operation, or of the rule of one of its arguments, on one line."""
    k = 0 if argument is None else min(argument + 1, len(op.latex) - 1)  # one may serve them all
    return "".join(c if c.isprintable() else " " for c in op.latex[k])


@cache
def plain(latex: str) -> str:
    r"""Turn the LaTeX of a rule into text: ``\frac{<x>}{<y>}`` is ``<x> / <y>``."""
    latex = re.sub(r"_\{([i-n]+)\}", lambda m: m[1].translate(AXES), latex)
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


def number(x: Any) -> Formula:
    """Return data as a formula; of recorded data, if it is shown in full, a `MARK` of it."""
    x = detach(x)
    if hasattr(x, "tape") and (x.size == 1 or (x.ndim == 1 and x.size <= FEW)):
        mark = f"{OPEN}{x.tape.lines.index(x.line)}:{spell(x.example)}{CLOSE}"
        return Formula(mark, rf"\text{{{mark}}}", SIGNED)
    return numeral(spell(example(x)))


def numeral(text: str) -> Formula:
    """Return numbers that are written as text, or one by another, as a formula."""
    latex = re.sub("(−?)(.+) / (.+)", r"\1\\frac{\2}{\3}", text).replace("×", r" \times ")
    latex = latex.replace("−", "-").replace("·", r"\cdot").replace(", ", r",\, ")
    latex = re.sub(r"\binf\b", r"\\infty", re.sub(r"\bnan\b", r"\\text{nan}", latex))
    latex = re.sub(r"(?<=\d)e\+?(-?)0*(\d+)", r" \\times 10^{\1\2}", latex)
    is_product = re.search(r"^[^[(]*([/·]|\de)", text)
    return Formula(text, latex, SIGNED if text[:1] == "−" else FACTORS if is_product else ATOM)


def name(x: str) -> Formula:
    """Return a name as a formula."""
    return Formula(x, symbol(x))


def bracketed(shown: str) -> str:
    """Return a formula in brackets; of a number that can change, it depends on what it will be."""
    if MARK.fullmatch(shown):
        return shown.replace(OPEN, OPEN + "±")
    if re.fullmatch(r"[\d.]+e.\d+", shown):  # as text, 1e−05 is one word
        return shown
    return rf"\left({shown}\right)" if re.search(r"\\(frac|sum)", shown) else f"({shown})"


def fill(latex: str, level: int | None = None, /, **terms: Formula) -> Formula:
    """Put formulas where the LaTeX of an operation has its placeholders; what is not given goes.

    They get brackets by what a formula of the ``level`` needs; without one, negative numbers do,
    but for a first: ``<x> + <y>`` is -2 + (-3).
    """
    needs = (CHOICE, TIGHT) if level is None else [*SIGNS.values()][level]

    def put(template: str, notation: int, minus: str) -> str:
        def one(match: re.Match[str]) -> str:
            before, key, after = match.groups()
            if key not in terms:
                return before.replace(", ", "")
            shown, need = str(terms[key][notation]), needs[match.start() > 0]
            is_inside = before[:1] in tuple("([{|,")
            if is_inside and after in tuple(")]}|,"):
                need = CHOICE
            elif after in tuple("^ᵀ") or (level == FACTORS and shown.startswith(SUM)):
                need = ATOM
            elif before == "/ ":
                need = MATRICES
            elif is_inside and level is None:
                need = CHOICE
            return before + (shown if terms[key].binds >= need else bracketed(shown))

        place = r"([({\[|]|, ?|/ |)<(x|y|z|at|args?|out|g|op)>(?=(.?))"
        filled = re.sub(place, one, template).replace(f"+ {minus}", f"{minus} ")
        return filled.replace(f"{minus} {minus}", "+ ")

    binds = ATOM if level is None else level
    return Formula(put(plain(latex), 0, "−"), put(latex, 1, "-"), binds)


def joined(*parts: Formula, by: str = " ", binds: int = ATOM) -> Formula:
    """Return formulas one after the other."""
    return Formula(by.join(x.text for x in parts), by.join(x.latex for x in parts), binds)


def operation(
    node: Value, show: Callable[[Any], Formula], k: int | None = None, g: Formula = EMPTY
) -> Formula:
    """Write a node's operation, or the rule of its argument k, its terms as `show` has them."""
    assert node.op is not None
    args = [*map(show, node.parents)]
    shown = args if len(args) <= FEW else [*args[:FEW], fill(r"\dots")]
    terms = {"arg": args[k or 0], "args": joined(*shown, by=", "), "out": show(node), "g": g}
    op = name(inline(node.op.name))
    return fill(rule(node.op, k), op=op, **terms, **dict(zip("xyz", args)))


def product(
    node: Value, k: int | None, sent: Flow, show: Callable[[Any], Formula]
) -> list[Formula]:
    """Write upstream × local in two pieces; or, where it is no product, the rule in numbers."""
    upstream = show(sent.upstream)
    if sent.local is None:
        return [operation(node, show, k, upstream)]
    share, *factors = (np.shape(x) for x in (sent.contribution, sent.upstream, sent.local))
    if math.prod(share) < max(map(math.prod, factors)):  # broadcasting is undone
        upstream = joined(fill(SUM), upstream)
    times = r"\odot" if factors[0] == factors[1] != () else r"\times"
    return [upstream, fill(times + " <x>", x=show(sent.local))]


def slope(loss: str, variable: str) -> Formula:
    """Write ∂loss/∂variable."""
    formula = fill(r"\frac{\partial <x>}{\partial <y>}", x=name(loss), y=name(variable))
    return formula._replace(binds=TIGHT)


def equation(
    left: Formula,
    result: Any,
    rule: Formula = EMPTY,
    numbers: Sequence[Formula] = (),
    sign: str = "=",
) -> list[Formula]:
    """Write a formula in pieces, between which a line may break: the last is its result."""
    pieces = [left, joined(fill(sign), rule)] if numbers else [left]
    shown, equals = number(result), fill("=")
    if shown.text[0] == "(":  # a shape: no number that = could stand before
        pieces[-1] = joined(pieces[-1], fill(":"), by="")
        return [*pieces, *numbers, joined(fill(r"\to"), shown) if numbers else shown]
    return [*pieces, *(joined(equals, x) for x in numbers[:1]), *numbers[1:], joined(equals, shown)]
