"""The walk as one HTML page that loads nothing: the template `page.html`, filled."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from dataclasses import replace
from functools import lru_cache
from hashlib import sha256
from html import escape, unescape
from importlib.resources import files
from importlib.util import find_spec
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree

import numpy as np

from ..engine.text import _
from .formulas import spell, summarise
from .picture import FONT, Drawing, text_lines
from .walk import Step, Walk

LARGEST = 8  # rows and columns of an array that is shown in full
NO_LATEX = 'page: the rules need latex2mathml: pip install "tinygrad_ce[render]"'


def page(walk: Walk) -> str:
    """Return a walk as one HTML page: what `Steps.save` writes; its rules need latex2mathml."""
    if find_spec("latex2mathml") is None:
        raise ImportError(_(NO_LATEX))
    walks: list[Walk] = [walk] if walk.fused is None else [walk, walk.fused]
    template = (files(__package__) / "page.html").read_text(encoding="utf-8")
    differ = "Composed and fused gradients differ by at most {difference}."
    text = escape(_(differ, difference=spell(walk.difference or 0.0)))
    payload = json.dumps([list(map(numbers, one)) for one in walks], separators=(",", ":"))
    filled = {
        "title": escape(_("Steps of {loss}", loss=walk.nodes[-1])),
        "walks": "\n".join(section(one, "fused-" * k) for k, one in enumerate(walks)),
        "difference": f'<p id="difference">{text}</p>' * (len(walks) - 1),
        "payload": payload.replace("<", "\\u003c"),
        **{f"{tag}_hash": digest(template, tag) for tag in ("style", "script")},
    }
    # In one sweep: what is filled in may itself hold {{...}}.
    return re.sub(r"\{\{(\w+)\}\}", lambda match: filled[match[1]], template)


def digest(template: str, tag: str) -> str:
    """Return the hash of the only style, or script, that the page's own policy lets run."""
    text = template.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def numbers(step: Step) -> list[Any]:
    """Return a step as the page's script reads it; the order is that of its FIELDS."""
    data = (step.upstream, step.local, step.contribution, step.before, step.after)
    return [step.number, step.index, step.target_index, step.argument, *map(shown, data)]


def shown(x: Any) -> str | dict[str, Any] | None:
    """Return a number; or an array's shape, itself in brief, and if it is small its rows."""
    if x is None or np.ndim(x) == 0:
        return None if x is None else spell(x)
    array: dict[str, Any] = {"shape": "×".join(map(str, x.shape)), "brief": summarise(x)}
    if x.ndim <= 2 and x.size > 0 and max(x.shape) <= LARGEST:
        array["rows"] = [list(map(spell, row)) for row in np.atleast_2d(x)]
    return array


def section(walk: Walk, prefix: str) -> str:
    """Return a walk's picture, its rules, and the table of its nodes."""
    rows = "\n".join(
        f'<tr><th scope="row">{escape(name)}</th><td></td><td></td></tr>' for name in walk.nodes
    )
    return f"""<section class="walk" aria-label="{"Fused" if prefix else "Steps"}">
<div class="graph" role="region" tabindex="0" aria-label="Graph">
{graph(walk, prefix)}
</div>
<div class="side" role="region" tabindex="0" aria-label="Rule and numbers">
<ol class="steps">
{"".join(map(item, walk))}</ol>
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


def item(step: Step) -> str:
    """Return one step: a sentence, and its rule typeset, and as text."""
    *head, result = map(mathml, step.latex_pieces)
    *words, last = map(escape, step.pieces)
    return (
        f'<li value="{step.number}"><p class="say">{sentence(step)}</p>'
        f'<p class="rule">{"".join(head)}<span class="answer">{result}</span></p>'
        f'<p class="words">{" ".join(words)}<span class="answer"> {last}</span></p></li>\n'
    )


def sentence(step: Step) -> str:
    """Say what happens."""
    names = {"node": step.node, "op": step.op, "target": step.target or ""}
    bold = {key: f"<b>{escape(name)}</b>" for key, name in names.items()}
    more = ""
    if step.phase == "forward":
        text = "{node} is computed with {op}." if step.op else "{node} is given."
    elif step.argument is None:
        text = "The backward pass starts at {node}: with the gradient that was given."
        if np.ndim(step.after) == 0 and step.after == 1:
            text = "The backward pass starts at {node}: it changes as fast as itself."
    else:
        text = "{node} hands {target} its share: upstream × local."
        if step.local is None:
            text = "{node} hands {target} its share: upstream gradient, through its rule."
        if re.sub(r"_\d+$", "", step.node) != step.op:
            bold["node"] += f" ({bold['op']})"
        if step.nth > 1:
            share = "Share {nth} to arrive there: where paths meet, shares add up."
            more = f" {_(share, nth=step.nth)}"
    return _(text, **bold) + more


@lru_cache(4096)
def mathml(latex: str) -> str:
    """Turn LaTeX into MathML."""
    from latex2mathml.converter import convert_to_element

    try:
        math = convert_to_element(latex)
    except Exception:  # its errors share no class; a user's operation may have any LaTeX
        math = ElementTree.Element("math")
        ElementTree.SubElement(math, "mtext").text = latex
    math.attrib.clear()  # where it stands in a page, both are known
    for part in math.iter():
        part.text = unescape(part.text or "")  # it writes &#x02202; and expects no more escaping
    for row in math.iter("mrow"):
        for before, sign in pairwise(row):
            if (
                sign.text == "−"
                and before.tag in ("mo", "mspace")
                and before.text not in (")", "]")
            ):
                sign.set("form", "prefix")  # a minus sign, not a difference
    text = ElementTree.tostring(math, encoding="unicode")
    return text.replace("<mo><mrow><mo>+</mo></mrow></mo><mo>=</mo>", "<mo>+=</mo>")


def graph(walk: Walk, prefix: str) -> str:
    """Return the picture with the graph as text beside it; without Graphviz the text alone."""
    try:
        svg = with_gradients(walk).svg
    except (ImportError, RuntimeError):
        lines = [
            f'<span id="{prefix}{name}">{escape(line)}</span>' if name else escape(line)
            for name, line in text_lines(walk.drawing)
        ]
        return f'<pre class="text">{chr(10).join(lines)}</pre>'
    label = escape(_("The graph of {loss}", loss=walk.nodes[-1]))
    box = re.search(r'viewBox="[^"]*"', svg)
    svg = f'<svg {box and box[0]} role="img" aria-label="{label}">{svg.partition(">")[2]}'
    svg = svg.replace('<g id="', f'<g id="{prefix}').replace(f' font-family="{FONT}"', "")
    text = escape(walk.drawing.text)
    return f"{svg}<details><summary>The graph as text</summary><pre>{text}</pre></details>"


def with_gradients(walk: Walk) -> Drawing:
    """Return the picture from top to bottom, with room for each gradient, which the page writes."""
    room: dict[str, str] = {}  # the last gradient, as wide as the widest; a blank would be dropped
    for step in walk:
        place = f"node-{step.target_index}"
        room[place] = summarise(step.after).center(len(room.get(place, "")), chr(160))
    items = [
        item._replace(facts=(*item.facts, f"gradient {room[item.id]}")) if item.id in room else item
        for item in walk.drawing.items
    ]
    return replace(walk.drawing, items=tuple(items), direction="TB")
