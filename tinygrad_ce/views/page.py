"""The walk as one HTML page that loads nothing: the template `page.html`, filled."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections import Counter
from dataclasses import replace
from functools import lru_cache
from hashlib import sha256
from html import escape, unescape
from importlib.resources import files
from importlib.util import find_spec
from typing import Any
from xml.etree import ElementTree

import numpy as np

from .drawing import FONT, Drawing, entries
from .formulas import told

LARGEST = 8  # rows and columns of an array that is shown in full
ADDS = r"\mathrel{+}="
BREAKS = r"\\.|[][(){}]|:(?= )| (?==|\\mathrel|\\to |\\odot |\\times (?!10\^))"


def page(steps: Any) -> str:
    """Return a walk as one HTML page: what `Steps.save` writes.

    Parameters
    ----------
    steps : what `step_through` returned

    Raises
    ------
    ImportError
        If latex2mathml, which typesets the rules, is not installed.

    Examples
    --------
    >>> from tinygrad_ce import Value, step_through
    >>> x = Value(3.0, name="x")
    >>> page(step_through(x * x)).count("</li>")
    5
    """
    if find_spec("latex2mathml") is None:
        raise ImportError('page: the rules need latex2mathml: pip install "tinygrad_ce[render]"')
    pool = _Pool()
    walks = [steps] if steps.fused is None else [steps, steps.fused]
    bodies = [_walk(walk, "fused-" * k) for k, walk in enumerate(walks)]
    payload = {
        "walks": [[pool.step(step) for step in walk] for walk in walks],
        "data": pool.data,
    }
    template = (files(__package__) / "page.html").read_text(encoding="utf-8")
    off = f"Composed and fused gradients differ by at most {told(steps.difference or 0.0)}."
    filled = {
        "title": f"Steps of {escape(steps.nodes[-1])}",
        "walks": "\n".join(bodies),
        "difference": f'<p id="difference">{off}</p>' * (steps.fused is not None),
        "payload": json.dumps(payload, separators=(",", ":")).replace("<", "\\u003c"),
        **{f"{tag}_hash": _hash(template, tag) for tag in ("style", "script")},
    }
    # In one sweep: what is filled in may itself hold {{...}}.
    return re.sub(r"\{\{(\w+)\}\}", lambda found: filled[found[1]], template)


def _hash(template: str, tag: str) -> str:
    """The only style and the only script that the page's own policy lets run."""
    text = template.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


class _Pool:
    """The data of all steps, each number and array once; a step refers to it by place."""

    def __init__(self) -> None:
        self.data: list[Any] = []
        self.places: dict[Any, int] = {}

    def step(self, s: Any) -> list[int | None]:
        """A step as the page's script reads it; the order is that of its FIELDS."""
        told_of = (s.upstream, s.local, s.contribution, s.before, s.after)
        return [s.number, s.index, s.target_index, s.argument, *map(self.place, told_of)]

    def place(self, x: Any) -> int | None:
        if x is None:
            return None
        shown = told(x) if np.ndim(x) == 0 else None
        key = id(x) if shown is None else shown  # the steps keep their arrays, so an id is no other
        if key not in self.places:
            self.places[key] = len(self.data)
            self.data.append(shown or _array(x))
        return self.places[key]


def _array(x: Any) -> dict[str, Any]:
    """An array: its shape, itself in brief, and if it is small its entries in rows."""
    kept: dict[str, Any] = {"shape": "×".join(map(str, x.shape)), "brief": entries(x)}
    if x.ndim <= 2 and x.size > 0 and max(x.shape) <= LARGEST:
        kept["rows"] = [[told(v) for v in row] for row in np.atleast_2d(x)]
    return kept


def _walk(steps: Any, prefix: str) -> str:
    """The parts of one walk that need no script: picture, rules, table of the nodes."""
    seen: Counter[int] = Counter()
    items = []
    for step in steps:
        if step.target_index is not None:
            seen[step.target_index] += 1
        items.append(_item(step, seen))
    rows = "\n".join(
        f'<tr><th scope="row">{escape(name)}</th><td></td><td></td></tr>' for name in steps.nodes
    )
    return f"""<section class="walk" aria-label="{"Fused" if prefix else "Steps"}">
<div class="graph" role="region" tabindex="0" aria-label="Graph">
{_graph(steps, prefix)}
</div>
<div class="side" role="region" tabindex="0" aria-label="Rule and numbers">
<ol class="steps">
{"".join(items)}</ol>
<div class="work"></div>
<div class="table" role="region" tabindex="0" aria-label="Values and gradients">
<table class="nodes"><caption></caption>
<thead><tr><th scope="col">Node</th><th scope="col">Value</th><th scope="col">Gradient</th></tr>
</thead><tbody>
{rows}
</tbody></table>
</div>
</div>
</section>"""


def _item(step: Any, seen: Counter[int]) -> str:
    """One step: a sentence, and its rule typeset, and as text."""
    *head, result = _pieces(step.latex)
    rule = "".join(map(_mathml, head)) + f'<span class="answer">{_mathml(result)}</span>'
    before, sign, after = _result(step.words)
    words = f'{escape(before)}<span class="answer">{escape(sign + after)}</span>'
    return (
        f'<li value="{step.number}"><p class="say">{_sentence(step, seen)}</p>'
        f'<p class="rule">{rule}</p><p class="words">{words}</p></li>\n'
    )


def _sentence(step: Any, seen: Counter[int]) -> str:
    """What happens, in words."""
    node, op = (f"<b>{escape(x)}</b>" for x in (step.node, step.op))
    through = "" if re.sub(r"_\d+$", "", step.node) == step.op else f" ({op})"
    if step.phase == "forward":
        return f"{node} is computed with {op}." if step.op else f"{node} is given."
    if step.argument is None or step.target_index is None:
        one = np.ndim(step.after) == 0 and step.after == 1
        why = "it changes as fast as itself" if one else "with the gradient that was given"
        return f"The backward pass starts at {node}: {why}."
    how = "upstream gradient, through its rule" if step.local is None else "upstream × local"
    share = f"{node}{through} hands <b>{escape(str(step.target))}</b> its share: {how}."
    n = seen[step.target_index]
    return f"{share} Share {n} to arrive there: where paths meet, shares add up." * (n > 1) or share


def _result(words: str) -> tuple[str, str, str]:
    """Split a rule's text before its result, which stands behind its last sign."""
    sign = max(" = ", " → ", ": ", key=words.rfind)
    return words.rpartition(sign)


def _pieces(latex: str) -> list[str]:
    r"""Split a rule before each =, × and the like, so that a narrow page can break it there.

    Examples
    --------
    >>> _pieces(r"L = [x = 1] \times 2 = 2 \times 10^{9}")
    ['L', '= [x = 1]', '\\times 2', '= 2 \\times 10^{9}']
    """
    parts, depth, start = [], Counter[str](), 0
    for found in re.finditer(BREAKS, latex):
        token = found[0]
        if token in "{}":
            depth["{"] += 1 if token == "{" else -1
        elif token in "[]()" and not depth["{"]:  # in braces they may be a name's
            depth["["] += 1 if token in "[(" else -1
        elif token[0] != "\\" and not depth["{"] and not depth["["]:
            parts.append(latex[start : found.start() + (token == ":")])
            start = found.start() + 1
    return [*parts, latex[start:]]


@lru_cache(4096)
def _mathml(latex: str) -> str:
    """LaTeX as MathML."""
    from latex2mathml.converter import convert_to_element

    adds, text = latex.startswith(ADDS), latex.removeprefix(ADDS)
    try:
        math = convert_to_element(text)
    except Exception:  # its errors share no class; a user's operation may have any LaTeX
        math = ElementTree.Element("math")
        ElementTree.SubElement(math, "mtext").text = text
    math.attrib.clear()  # where it stands in a page, both are known
    for part in math.iter():
        part.text = unescape(part.text or "")  # it writes &#x02202; and expects no more escaping
    for row in math.iter("mrow"):
        for before, sign in zip([None, *row], row):
            term = before is not None and before.tag not in ("mo", "mspace")
            if sign.text == "−" and not term and (before is None or before.text not in (")", "]")):
                sign.set("form", "prefix")  # a minus sign, not a difference
    if adds:
        plus = ElementTree.Element("mo")
        plus.text = "+="
        math[0].insert(0, plus)
    return ElementTree.tostring(math, encoding="unicode")


def _graph(steps: Any, prefix: str) -> str:
    """The picture, with the graph as text beside it; without Graphviz the text alone."""
    drawing = _with_gradients(steps)
    svg = drawing.svg_or_none
    if svg is None:
        return f'<pre class="text">{_text(steps.drawing, prefix)}</pre>'
    label = f'role="img" aria-label="The graph of {escape(steps.nodes[-1])}"'
    box = re.search(r'viewBox="[^"]*"', svg)
    svg = f"<svg {box and box[0]} {label}>{svg.partition('>')[2]}"
    svg = svg.replace('<g id="', f'<g id="{prefix}').replace(f' font-family="{FONT}"', "")
    text = escape(steps.drawing.text)
    return f"{svg}<details><summary>The graph as text</summary><pre>{text}</pre></details>"


def _with_gradients(steps: Any) -> Drawing:
    """The picture from top to bottom, with room for each gradient, which the page fills in."""
    arrived: dict[int | None, list[str]] = {}
    for step in steps:
        if step.phase == "backward":
            arrived.setdefault(step.target_index, []).append(entries(step.after))
    items = []
    for item in steps.drawing.items:
        place = re.fullmatch(r"node-(\d+)", item.id)
        if place and (told_of := arrived.get(int(place[1]))):
            width = max(map(len, told_of))
            fact = f"gradient {told_of[-1].center(width, chr(160))}"  # a blank would be dropped
            item = item._replace(facts=(*item.facts, fact))
        items.append(item)
    drawing: Drawing = steps.drawing
    return replace(drawing, items=tuple(items), direction="TB")


def _text(drawing: Drawing, prefix: str) -> str:
    """The text form, each node's line with its id."""
    marked = []
    for item in drawing.items:
        name, facts = (item.name, item.facts) if item.name else (item.facts[0], item.facts[1:])
        marked.append(item._replace(name=f"{item.id}\t{name}", facts=facts))
    lines = []
    for line in replace(drawing, items=tuple(marked)).text.splitlines():
        role, name, rest = re.fullmatch(r"(.*?)([a-z-]+[\d-]*)\t(.*)", line).groups()  # type: ignore[union-attr]
        again = rest.endswith(", see above")
        place = "" if again else f' id="{prefix}{name}"'
        lines.append(f"<span{place}>{escape(role + rest)}</span>")
    return "\n".join(lines)
