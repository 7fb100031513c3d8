"""Steps as data, and what they become: a table, LaTeX, one HTML page (`page.html`)."""

import json
import linecache
import re
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from hashlib import sha256
from html import escape, unescape
from importlib.resources import files
from importlib.util import find_spec
from itertools import pairwise
from textwrap import dedent
from typing import Any, Self, overload
from xml.etree import ElementTree

import numpy as np

from ..checks.wording import table
from ..engine.language import language, speaking, spoken
from ..engine.text import _, require
from ..programs.files import AnyPath, replace_file
from .formulas import spell, summarise
from .live import Live, fields
from .picture import FONT, Drawing

Data = Any  # a float, or an array that cannot be written to
LONGEST = 40  # lines of code that are shown with those between them; nodes that are derived
LARGEST = 8  # rows and columns of an array that is shown in full
CELLS = 48  # rows and columns of the map of a larger one
# Of MathML's attributes; a user's LaTeX can have href, class and style as well.
KEPT = {"accent", "fence", "form", "linethickness", "mathcolor", "mathvariant", "stretchy", "width"}


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One step of the walk: what happened, by which rule, with which numbers.

    Attributes
    ----------
    number : from 1, in the order of the walk
    phase : "forward" or "backward"
    node, index : the node's name, and its place in `topological` order (its id in the picture)
    op : the operation's name; empty for a leaf
    target, target_index, argument : backward, the node that receives, and as which argument; of
        the first step back, the output itself, and None
    words, latex : the rule with its names and numbers
    pieces, latex_pieces : the same in pieces, between which a line may break; the result last
    upstream, local, contribution : the gradient of the node, the derivative of its operation,
        and their product; ``local`` is None where upstream × local is no product of entries
    written : the learner's line that made the node: file, number, text; None if it is not known
    before, after : what the step changes: forward the value, backward the target's gradient
    birth : whether the first nan or inf of the walk is made in it
    contributions, nth : all that the target has got so far, this one last; how many that is
    """

    number: int
    phase: str
    node: str
    index: int
    op: str
    target: str | None = None
    target_index: int | None = None
    argument: int | None = None
    pieces: tuple[str, ...] = ()
    latex_pieces: tuple[str, ...] = field(default=(), repr=False)
    upstream: Data = None
    local: Data = None
    contribution: Data = None
    before: Data = None
    after: Data = None
    written: tuple[str, int, str] | None = None
    birth: bool = False
    nth: int = 0
    arrived: Sequence[Data] = field(default=(), repr=False)  # all that the target gets, in the end

    @property
    def words(self) -> str:
        """The rule with its names and numbers, as text."""
        return " ".join(self.pieces)

    @property
    def latex(self) -> str:
        """The rule with its names and numbers, as LaTeX."""
        return " ".join(self.latex_pieces)

    @property
    def contributions(self) -> tuple[Data, ...]:
        """All that the target has got so far, this one last."""
        return tuple(self.arrived[: self.nth])


@dataclass(frozen=True, eq=False)
class Steps(Sequence[Step]):
    """The steps of a walk: print them as a table, save or show them as one page.

    Attributes
    ----------
    nodes : the name of every node, in `topological` order
    drawing : the picture of the graph, without the gradients, which the walk is to find
    fused, difference : the walk over the fused form of the same loss, if one was given, and the
        largest difference between the two gradients of the leaves they share
    live, still : what its page needs to follow when its reader changes a number; or why it cannot
    lang : the language that it was made in, and its page speaks
    title : what the learner calls the loss; empty if it has no name
    """

    records: tuple[Step, ...]
    nodes: tuple[str, ...]
    drawing: Drawing
    fused: Self | None = None
    difference: float | None = None
    live: Live | None = None
    still: str = ""
    lang: str = field(default_factory=language)
    title: str = ""

    @overload
    def __getitem__(self, k: int) -> Step: ...
    @overload
    def __getitem__(self, k: slice) -> Self: ...
    def __getitem__(self, k: int | slice) -> Step | Self:
        part = self.records[k]
        return part if isinstance(part, Step) else replace(self, records=part)

    def __len__(self) -> int:
        return len(self.records)

    def __repr__(self) -> str:
        with speaking(self.lang):
            return "\n".join(table([*self._rows()]))

    def _rows(self) -> Iterator[Sequence[str]]:
        yield _("step,phase,node,to,rule,before,after").split(",")
        for s in self:
            before = "" if s.before is None else spell(s.before)
            words = s.words + (_(" ⚠ here it begins") if s.birth else "")
            phase = _("forward") if s.phase == "forward" else _("backward")
            yield str(s.number), phase, s.node, s.target or "", words, before, spell(s.after)

    def latex(self) -> str:
        """Return the rules as LaTeX, one line a step."""
        lines = " \\\\\n".join(f"& {step.latex}" for step in self)
        return f"\\begin{{aligned}}\n{lines}\n\\end{{aligned}}"

    def save(self, path: AnyPath) -> None:
        """Write the page, one HTML file that loads nothing; an existing one is replaced at once."""
        replace_file(path, page(self).encode())

    def _repr_html_(self) -> str:
        # Jupyter takes the frame out of a notebook that it does not trust, and leaves the sentence.
        with speaking(self.lang):
            text = "The page of the steps shows here once you trust this notebook or run this cell."
            return (
                f'<iframe title="{_("Steps")}" style="width: 100%; height: 48rem; border: 0" '
                f'srcdoc="{escape(page(self))}">{_(text)}</iframe>'
                f"<details><summary>{_('The steps as text')}</summary>"
                f"<pre>{escape(str(self))}</pre></details>"
            )


def page(walk: Steps) -> str:
    """Return a walk as one HTML page: what `Steps.save` writes; its rules need latex2mathml."""
    text = 'page: its rules need latex2mathml: pip install "tinygrad_ce[render]"'
    require(find_spec("latex2mathml"), text, ImportError)
    with speaking(walk.lang):
        return _page(walk)


def _page(walk: Steps) -> str:
    walks: list[Steps] = [walk] if walk.fused is None else [walk, walk.fused]
    template = worded((files(__package__) / "page.html").read_text(encoding="utf-8"))
    differ = "Composed and fused gradients differ by at most {difference}."
    if not np.isfinite(walk.difference or 0.0):
        differ = "The composed or the fused gradient is not finite."
    text = escape(_(differ, difference=spell(walk.difference or 0.0)))
    live = walk.live and walk.live.payload
    tables = [[numbers(s, live and live["fields"][k]) for s in one] for k, one in enumerate(walks)]
    payload = json.dumps({"walks": tables, "live": live}, separators=(",", ":"))
    still = escape(_("Its numbers stay as they are: {why}", why=walk.still))
    filled = {
        "title": escape(_("Steps of {loss}", loss=walk.title) if walk.title else _("Step by step")),
        "walks": "\n".join(section(one, "fused-" * k, walk.live) for k, one in enumerate(walks)),
        "difference": f'<p id="difference">{text}</p>' * (len(walks) - 1),
        "payload": payload.replace("<", "\\u003c"),
        "live": walk.live.source if walk.live else "null",
        "birth": birth(),
        "still": f'<p id="still">{still}</p>' * bool(walk.still),
    }
    for tag in ("style", "script"):  # the page runs these alone, which it knows by their digests
        inside = template.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]
        digest = sha256(inside.replace("{{live}}", filled["live"]).encode()).digest()
        filled[tag] = b64encode(digest).decode()
    # In one sweep: what is filled in may itself hold {{...}}.
    return re.sub(r"\{\{(\w+)\}\}", lambda match: filled[match[1]], template)


def worded(template: str) -> str:
    """Return the page with the texts of its elements and its script in the reader's language."""
    call = r'\b_\(("(?:[^"\\]|\\.)*")'
    html = re.sub(rf"{{{{{call}\)}}}}", lambda text: escape(spoken(json.loads(text[1]))), template)
    words = {text: spoken(text) for text in map(json.loads, re.findall(call, html))}
    known = json.dumps({k: x for k, x in words.items() if x != k}, ensure_ascii=False)
    html = html.replace("{{words}}", known.replace("<", "\\u003c"))
    return html.replace("{{lang}}", language())


def numbers(step: Step, slots: Any) -> list[Any]:
    """Return a step as the page's script reads it, in the order of its FIELDS.

    What has a slot the script computes itself.
    """
    data: list[Any] = [*map(shown, fields(step))]
    for k, slot in enumerate(slots[step.number - 1] if slots else ()):
        data[k] = data[k] if slot is None else None
    return [step.number, step.index, step.target_index, step.argument, *data]


def shown(x: Any) -> str | dict[str, Any] | None:
    """Return a number; or an array's shape, itself in brief, and its rows, or if large its map."""
    if x is None or np.ndim(x) == 0:
        return None if x is None else spell(x)
    array: dict[str, Any] = {"shape": "×".join(map(str, x.shape)), "brief": summarise(x)}
    if x.ndim <= 2 and x.size > 0 and max(x.shape) <= LARGEST:
        array["rows"] = [list(map(spell, row)) for row in np.atleast_2d(x)]
    elif x.size > 0:
        array["map"] = heat(x.reshape(-1, x.shape[-1]))
    return array


def heat(x: Any) -> list[str]:
    """Return a table as letters: M is 0, A and Y the largest below and above; nan and inf are ?+-.

    Of many entries there is the one that is furthest from 0.
    """
    for axis in (0, 1):
        starts = np.unique(np.arange(CELLS) * x.shape[axis] // CELLS)
        high, low = (f.reduceat(x, starts, axis) for f in (np.maximum, np.minimum))
        x = np.where(high < -low, low, high)
    is_finite = np.isfinite(x)
    largest = np.max(np.abs(x), where=is_finite, initial=np.finfo(float).tiny)
    with np.errstate(all="ignore"):
        letters = np.rint(77 + 12 * (x / largest))
    signs = np.select([np.isnan(x), x > 0], [ord("?"), ord("+")], ord("-"))
    codes = np.where(is_finite, letters, signs).astype(np.uint8)
    return [row.tobytes().decode() for row in codes]


def section(walk: Steps, prefix: str, live: Live | None) -> str:
    """Return a walk's picture, its rules, and the table of its nodes."""
    items, derivation = [*map(item, walk)], ""
    if live:  # rules with places for numbers that follow
        marked = live.walks[bool(prefix)]
        items = [live.placed(item(step, marked[step.number - 1])) for step in walk]
    with suppress(TypeError, ValueError, NotImplementedError):  # not all is derived
        if live and not prefix and len(walk.nodes) <= LONGEST:  # more is not to be read
            title, text = escape(_("From the numbers to the formula")), live.derive()._repr_html_()
            derivation = (
                f"<details><summary>{title}</summary>{text.partition('</style>')[2]}</details>"
            )
    rows = "\n".join(
        f'<tr><th scope="row">{escape(name)}</th><td></td><td></td></tr>' for name in walk.nodes
    )
    heads = _("Node"), _("Value"), _("Gradient")
    return f"""<section class="walk" aria-label="{_("Fused") if prefix else _("Steps")}">
<div class="left">
<div class="graph" role="region" tabindex="0" aria-label="{_("Graph")}">
{graph(walk, prefix)}
</div>
{code(walk)}
</div>
<div class="side" role="region" tabindex="0" aria-label="{_("Rule and numbers")}">
<ol class="steps">
{"".join(items)}</ol>
<div class="work"></div>
<div class="table" role="region" tabindex="0" aria-label="{_("Values and gradients")}">
<table class="nodes"><caption></caption>
<thead><tr>{"".join(f'<th scope="col">{head}</th>' for head in heads)}</tr>
</thead><tbody>
{rows}
</tbody></table>
</div>
{derivation}
</div>
</section>"""


def code(walk: Steps) -> str:
    """Return the learner's lines from the first that made a node to the last."""
    where = [step.written[:2] for step in walk if step.written]
    if not where:
        return ""
    file = Counter(path for path, _number in where).most_common(1)[0][0]
    made = sorted({number for path, number in where if path == file})
    shown = made if made[-1] - made[0] > LONGEST else range(made[0], made[-1] + 1)
    text = dedent("".join(linecache.getline(file, n) or "\n" for n in shown)).splitlines()
    lines = "".join(f'<span data-line="{n}">{escape(x)}</span>' for n, x in zip(shown, text))
    label = escape(_("Your code"))
    return f'<pre class="code" role="region" tabindex="0" aria-label="{label}">{lines}</pre>'


def item(step: Step, rule: Step | None = None) -> str:
    """Return one step: a sentence, and its rule (or another's) typeset, and as text."""
    rule = rule or step
    *head, result = map(mathml, rule.latex_pieces)
    *words, last = map(escape, rule.pieces)
    made = f' data-line="{step.written[1]}"' if step.written else ""
    return (
        f'<li value="{step.number}"{made}><p class="say">{sentence(step)}</p>'
        f'<p class="rule">{"".join(head)}<span class="answer">{result}</span></p>'
        f'<p class="words">{" ".join(words)}<span class="answer"> {last}</span></p></li>\n'
    )


def sentence(step: Step) -> str:
    """Say what happens."""
    node, op, target = (f"<b>{escape(x or '')}</b>" for x in (step.node, step.op, step.target))
    if step.phase == "forward":
        text = "{node} is computed with {op}." if step.op else "{node} is given."
        if step.op and step.node.startswith(step.op):
            text = "{node} is computed."
    elif step.argument is None:
        text = "The backward pass starts at {node}: it changes as fast as itself."
        if np.any(step.after != 1):
            text = "The backward pass starts at {node}: with the gradient that was given."
    else:
        node = node if step.node.startswith(step.op) else f"{node} ({op})"
        text = "{node} hands {target} its share: upstream × local."
        if step.local is None:
            text = "{node} hands {target} its share: upstream gradient, through its rule."
        if step.nth > 1:
            text += " Share {nth} to arrive there: where paths meet, shares add up."
    said = _(text, node=node, op=op, target=target, nth=step.nth)
    return said + birth() if step.birth else said


def birth() -> str:
    """Say that a step is where the first nan or inf begins."""
    return f" <strong>{_('⚠ The first number that is not finite begins here.')}</strong>"


@lru_cache(4096)
def mathml(latex: str) -> str:
    """Turn LaTeX into MathML."""
    from latex2mathml.converter import convert_to_element

    try:
        math = convert_to_element(latex)
    except Exception:  # its errors share no class; a user's operation may have any LaTeX
        return f"<math><mtext>{escape(latex)}</mtext></math>"
    for part in reversed([*math.iter()]):  # from the inside out
        part.attrib = {k: v for k, v in part.items() if k in KEPT}
        part.text = unescape(part.text or "")  # it writes &#x02202; and expects no more escaping
        part.tag = "mi" if part.text == "∞" else part.tag  # a number, with no room around it
        for before, sign in pairwise(part):
            unary = before.tag in ("mo", "mspace") and before.text not in (")", "]")
            if sign.text == "−" and unary:  # a sign, not a difference
                sign.set("form", "prefix")
    text = ElementTree.tostring(math, encoding="unicode")
    return text.replace("<mo><mrow><mo>+</mo></mrow></mo><mo>=</mo>", "<mo>+=</mo>")


def graph(walk: Steps, prefix: str) -> str:
    """Return the picture with the graph as text beside it; without Graphviz the text alone."""
    text = escape(walk.drawing.text)
    try:
        svg = with_gradients(walk).svg
    except (ImportError, RuntimeError):
        return f"<pre>{text}</pre>"
    label = escape(_("The graph"))
    box = re.search(r'viewBox="[^"]*"', svg)
    svg = f'<svg {box and box[0]} role="img" aria-label="{label}">{svg.partition(">")[2]}'
    svg = svg.replace('<g id="', f'<g id="{prefix}').replace(f' font-family="{FONT}"', "")
    return f"{svg}<details><summary>{_('The graph as text')}</summary><pre>{text}</pre></details>"


def roomy(facts: Sequence[str]) -> tuple[str, ...]:
    """Return the lines of a node with room for a sign and four digits a number."""
    number = r"(?<=[ [])−?\d[\d.]*(e[+−]\d+)?"
    filled = _("value {x}", x=""), _("gradient {x}", x=""), _("constant {x}", x="")
    return tuple(
        re.sub(number, lambda m: m[0].center(9, chr(160)), fact)
        if fact.startswith(filled)
        else fact
        for fact in facts
    )


def with_gradients(walk: Steps) -> Drawing:
    """Return the picture from top to bottom, with room for each gradient, which the page writes."""
    room: dict[str, str] = {}  # the last gradient, as wide as the widest; a blank would be dropped
    for step in walk:
        place = f"node-{step.target_index}"
        room[place] = summarise(step.after).center(len(room.get(place, "")), chr(160))
    lines = {place: (_("gradient {x}", x=text),) for place, text in room.items()}
    looks = {f"node-{s.index}": "interior" if s.op else "leaf" for s in walk}
    looks[walk.drawing.outputs[0]] = "output"
    items = []
    for item in walk.drawing.items:  # what is no number the page says where the walk finds it
        facts = tuple(fact for fact in item.facts if item.id not in looks or fact[0] != "⚠")
        look = looks.get(item.id, item.look)
        items.append(item._replace(look=look, facts=facts + lines.get(item.id, ())))
    if walk.live:  # numbers will change
        fixed = {i.id for i in items if i.id.startswith("const")}
        fixed -= {*walk.live.payload["constants"][0]}
        items = [i if i.id in fixed else i._replace(facts=roomy(i.facts)) for i in items]
    return replace(walk.drawing, items=tuple(items), direction="TB")
