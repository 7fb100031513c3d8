"""A picture as data, items and edges, and what it becomes: DOT, SVG, PNG, PDF, indented text."""

import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from importlib.util import find_spec
from shutil import which
from typing import Any, NamedTuple

from ..engine.language import language, speaking, spoken
from ..engine.text import _, require
from ..programs.files import AnyPath, replace_file

DEPTH = 40  # levels that the text form indents
TANGLE = 50  # edges more than items; from there on, Graphviz's best may take half a minute
HURRY = {"splines": "line", "nslimit": "0.1", "mclimit": "0.2"}
PAGE, GAP, LETTER = 720, 35, 4.5  # of a page, between nodes, of a letter, about: in points
DPI = 144  # of a PNG file; a browser shows 96

# Fills are light tints of the colours of Okabe and Ito, which colour-blind readers can tell apart;
# the borders differ as well. Text and background are explicit: a dark notebook changes neither.
TEXT, BACKGROUND, FONT = "#1a1a1a", "#ffffff", "Helvetica,Arial,sans-serif"
WRITING = {"fontname": FONT, "fontcolor": TEXT}
SMALL = {"height": "0", "width": "0"}  # as large as its text
GRAPH = {**WRITING, "fontsize": "10", "bgcolor": BACKGROUND, "nodesep": "0.2", "ranksep": "0.35"}
NODE = {**WRITING, "fontsize": "10", "shape": "box", "margin": "0.1,0.06", **SMALL}
EDGE = {**WRITING, "fontsize": "9", "color": "#555555", "arrowsize": "0.6"}
LOOKS = {
    "leaf": {"style": "filled,rounded", "fillcolor": "#d5ebf9", "color": "#0072b2"},
    "constant": {"style": "filled,dashed", "fillcolor": "#eeeeee", "color": "#666666"},
    "interior": {"style": "filled", "fillcolor": "#ffffff", "color": "#444444"},
    "output": {"style": "filled", "fillcolor": "#fde3cf", "color": "#d55e00", "peripheries": "2"},
    "scope": {"style": "filled,bold", "fillcolor": "#f6e3ee", "color": "#8f3f71"},
    "not finite": {"style": "filled,bold", "fillcolor": "#ffd9e8", "color": "#b0004e"},
    "left out": {"style": "dotted", "color": "#444444"},
}
# The boxes of a scope, of what fusing takes out, and of what it puts there.
SCOPE = {"fillcolor": "#f4f4f4", "color": "#888888", "style": "filled,rounded"}
FORMS = {
    "as written": {"fillcolor": "#fdf3ec", "color": "#d55e00", "style": "filled,rounded,dashed"},
    "fused": {"fillcolor": "#e9f5f0", "color": "#007a5a", "style": "filled,rounded,bold"},
}
# In a process of its own: Graphviz is not thread-safe, and its libraries write to stderr as they
# like (of fonts, mostly), past Python's.
BUNDLED = """
import sys, pygraphviz
graph = pygraphviz.AGraph(string=sys.stdin.buffer.read().decode())
sys.stdout.buffer.write(graph.draw(format=sys.argv[1], prog="dot"))
"""


class Item(NamedTuple):
    """One thing in the picture: its id, its look (see `LOOKS`), its name, and lines about it."""

    id: str
    look: str
    name: str
    facts: tuple[str, ...] = ()
    boxes: tuple[int, ...] = ()  # the scopes around it, outermost first


class Edge(NamedTuple):
    """From an argument to the operation: its id, the items it joins, its role, and what flows."""

    id: str
    tail: str
    head: str
    role: str = ""
    flow: str = ""


@dataclass(frozen=True, eq=False)
class Drawing:
    """A picture of a graph, as it was when drawn: what `draw` returns.

    Jupyter, VS Code and Colab show it as SVG, or PNG; where there is no Graphviz, as text.

    Attributes
    ----------
    dot : the source, in Graphviz's language
    svg : the picture; ImportError where there is no Graphviz
    text : the graph as indented text, from the output to the leaves
    """

    items: tuple[Item, ...]
    edges: tuple[Edge, ...]
    scopes: tuple[str, ...] = ()
    direction: str = "LR"
    outputs: tuple[str, ...] = field(default=(), repr=False)
    lang: str = field(default_factory=language)

    @cached_property
    def dot(self) -> str:
        """The source, in Graphviz's language."""
        import graphviz

        hurry = HURRY if len(self.edges) > len(self.items) + TANGLE else {}
        how = {**GRAPH, "rankdir": self.direction, **hurry}
        graph = graphviz.Digraph(graph_attr=how, node_attr=NODE, edge_attr=EDGE)
        self._nest(graph, self.items, 0)
        for edge in self.edges:
            text = label([edge.role, edge.flow]) if edge.role or edge.flow else None
            graph.edge(edge.tail, edge.head, id=edge.id, label=text)
        return str(graph.source)

    def _nest(self, graph: Any, items: Iterable[Item], depth: int) -> None:
        """Write items, those of a scope in its box."""
        inner = defaultdict(list)
        for item in items:
            if len(item.boxes) > depth:
                inner[item.boxes[depth]].append(item)
            else:
                graph.node(item.id, label(item.facts, item.name), id=item.id, **LOOKS[item.look])
        for j, inside in inner.items():
            name = self.scopes[j]
            with graph.subgraph(name=f"cluster_{j}") as box:
                box.attr(id=f"scope-{j}", label=label([self._title(name)]), labeljust="l")
                box.attr(**FORMS.get(name, SCOPE))
                self._nest(box, inside, depth + 1)

    def _title(self, scope: str) -> str:
        """What the box of a scope, or of a form of the loss, is called."""
        with speaking(self.lang):
            return spoken(scope) if scope in FORMS else scope

    @cached_property
    def svg(self) -> str:
        """The picture, as text; a title is what the pointer shows and a screen reader says."""
        text = render(self.dot, "svg").decode().replace("&#45;", "-")
        text = re.sub(r"<!--.*?-->\n?", "", text[text.index("<svg") :], flags=re.DOTALL)
        called = {item.id: item.name or item.facts[0] for item in self.items}
        titles = {f"scope-{j}": self._title(name) for j, name in enumerate(self.scopes)} | called
        for edge in self.edges:
            role = edge.role and f" ({edge.role})"
            titles[edge.id] = f"{called[edge.tail]} → {called[edge.head]}{role}"
        group = r'(<g id="([^"]*)"[^>]*>\n<title>).*?(?=</title>)'
        text = re.sub(group, lambda part: part[1] + escape(titles.get(part[2], "")), text)
        text = text.replace("<svg ", '<svg style="max-width: 100%; height: auto" ', 1)
        return re.sub(r'<g id="[^"]*" class="node">.*?</g>', fitted, text, flags=re.DOTALL)

    @cached_property
    def text(self) -> str:
        """The graph as indented text, each node once, from the output to the leaves."""
        items, into = {item.id: item for item in self.items}, defaultdict(list)
        for edge in reversed(self.edges):
            into[edge.head].append(edge)
        stack, lines, shown = list[tuple[str, int, str]](), list[str](), set[str]()
        for name in reversed(self.outputs):
            form = [x for x in (self.scopes[j] for j in items[name].boxes) if x in FORMS]
            stack.append((name, 0, "".join(map(self._title, form[:1]))))
        while stack:
            name, depth, about = stack.pop()
            title, *facts = filter(None, (items[name].name, *items[name].facts))
            line = "  " * min(depth, DEPTH) + (about and f"{about}: ") + title
            if name in shown:
                with speaking(self.lang):
                    lines.append(line + _(", see above"))
                continue
            shown.add(name)
            lines.append(f"{line}  ({'; '.join(facts)})" if facts else line)
            for edge in into[name]:
                stack.append((edge.tail, depth + 1, ", ".join(filter(None, edge[-2:]))))
        return "\n".join(lines)

    def _as(self, form: str) -> bytes:
        if form in ("svg", "dot"):
            return str(getattr(self, form)).encode()
        size = f"{{\n\tdpi={DPI}" if form == "png" else "{"
        return render(self.dot.replace("{", size, 1), form)

    def save(self, path: AnyPath) -> None:
        """Write the picture to a file, by its ending: .svg, .png, .pdf, or .dot for the source.

        Raises
        ------
        ValueError
            For another ending.
        ImportError
            For a picture, where there is no Graphviz.
        """
        form = os.path.splitext(os.fsdecode(path))[1].lower().removeprefix(".")
        text = "save: got {got!r}, wanted a name in .svg, .png, .pdf or .dot"
        require(form in ("svg", "png", "pdf", "dot"), text, got=os.fsdecode(path))
        replace_file(path, self._as(form))

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[Any, Any]:
        try:  # a notebook that is opened and not run is not trusted: Jupyter then shows no SVG
            png = self._as("png")
            pictures = {"image/svg+xml": self.svg, "image/png": png}
        except (ImportError, RuntimeError) as error:
            return {"text/plain": f"{self.text}\n({error})"}, {}
        width = int.from_bytes(png[16:20]) * 96 // DPI  # as large as the SVG, but sharper
        return {**pictures, "text/plain": self.text}, {"image/png": {"width": width}}

    def __repr__(self) -> str:
        return self.text


def label(facts: Iterable[str], name: str = "") -> str:
    r"""Return a name in bold and lines of text, in Graphviz's HTML, where ``\N`` would be an id."""
    lines = [f"<B>{escape(name)}</B>"] * bool(name) + [escape(line) for line in broken(facts)]
    return f"<{'<BR/>'.join(lines)}>".replace("\\", "\\\\")


def broken(facts: Iterable[str]) -> list[str]:
    """Return lines of text, a long one broken where its formula has a sign."""
    breaks = r"(.{1,32}|.+?)(?: (?=[+×=] )|$)"
    return [line for fact in facts for line in re.findall(breaks, fact)]


def fitting(items: Sequence[Item], edges: Sequence[Edge]) -> str:
    """Return the direction in which a page is wide enough: from left to right, where it is."""
    depth, ranks = defaultdict[str, float](int), defaultdict[float, list[float]](list)
    for edge in reversed(edges):  # those of a node come after those of its arguments
        depth[edge.tail] = max(depth[edge.tail], depth[edge.head] + 1)
    for item in items:
        ranks[depth[item.id]].append(width(item.name, *item.facts) + GAP)
    for edge in edges:
        ranks[depth[edge.head] + 0.5].append(width(edge.role, edge.flow))
    across, down = sum(map(max, ranks.values())), max(map(sum, ranks.values()))
    return "LR" if across <= max(PAGE, down) else "TB"


def width(*facts: str) -> float:
    """Return about how many points wide lines of text are."""
    return LETTER * max(map(len, broken(facts)), default=0)


def fitted(node: re.Match[str]) -> str:
    """Give each line of a node in SVG the width that it was laid out with, in whatever font."""
    outline = re.search(r' (?:points|d)="([^"]*)"', node[0])
    across = [float(x) for x in re.findall(r"(-?[\d.]+),", outline[1])] if outline else []

    def fit(text: re.Match[str]) -> str:
        width = min(across) + max(across) - 2 * float(text[1])  # lines are centred
        return f'{text[0]} textLength="{width:g}" lengthAdjust="spacingAndGlyphs"'

    return re.sub(r'<text text-anchor="start" x="([^"]*)"', fit, node[0])


def render(dot: str, form: str) -> bytes:
    """Lay out a graph as an SVG, PNG or PDF file's bytes; nothing goes to stderr.

    By the program dot, else by the Graphviz inside pygraphviz's wheel.
    """
    ways = {
        "dot": which("dot") and ["dot", f"-T{form}"],
        "pygraphviz": find_spec("pygraphviz") and [sys.executable, "-P", "-c", BUNDLED, form],
    }
    failures = []
    for name, command in ways.items():
        if command:
            done = subprocess.run(command, input=dot.encode(), capture_output=True, check=False)
            if done.returncode == 0:
                return done.stdout
            failures.append(f"{name}: {done.stderr.decode(errors='replace').strip()[-200:]}")
    text = "Graphviz could not draw the graph: {failures}"
    require(not failures, text, RuntimeError, failures="; ".join(failures))
    text = 'no Graphviz for a picture: pip install "tinygrad_ce[render]", '
    raise ImportError(_(text + "or install the program dot (https://graphviz.org/download)"))
