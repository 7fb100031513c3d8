"""The picture of a graph: each node with its value and gradient, each edge with what flows."""

from __future__ import annotations

import math
import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from ..engine.backward import contributions, topological
from ..engine.names import Box, boxes, names
from ..engine.operation import Primitive
from ..engine.value import Value, detach, make_node
from ..programs.files import replace_file
from .formulas import bracketed, entrywise, fill, inline, plain, rule, told
from .render import render

SHOW = ("op", "shape", "value", "gradient", "roles")
ENTRIES = 6  # of an array, that a node shows in full
LETTERS = 40  # of a name
LINE = 32  # letters of a formula
DEPTH = 40  # levels that the text form indents
TANGLE = 1500  # levels that all edges cross together, before Graphviz is told to hurry

# What an argument is to its operation, where exchanging two arguments changes the result.
ROLES = {
    "subtract": ("minuend", "subtrahend"),
    "divide": ("numerator", "denominator"),
    "power": ("base", "exponent"),
    "matmul": ("left", "right"),
    "where": ("condition", "if", "else"),
    "clip": ("clipped", "low", "high"),
    "take_along_axis": ("array", "indices"),
    "LogSoftmaxNLL": ("logits", "target"),
}

# Fills are light tints of the colours of Okabe and Ito, which colour-blind readers can tell apart;
# the borders differ as well. Text and background are explicit: a dark notebook changes neither.
TEXT, BACKGROUND, FONT = "#1a1a1a", "#ffffff", "Helvetica,Arial,sans-serif"
LOOKS = {
    "leaf": {"style": "filled,rounded", "fillcolor": "#d5ebf9", "color": "#0072b2"},
    "constant": {"style": "filled,dashed", "fillcolor": "#eeeeee", "color": "#666666"},
    "interior": {"style": "filled", "fillcolor": "#ffffff", "color": "#444444"},
    "output": {"style": "filled", "fillcolor": "#fde3cf", "color": "#d55e00", "peripheries": "2"},
    "scope": {"style": "filled,bold", "fillcolor": "#f6e3ee", "color": "#8f3f71"},
    "left out": {"style": "dotted", "color": "#444444"},
}
# The boxes of a scope, of what fusing takes out, and of what it puts there.
SCOPE = {"fillcolor": "#f4f4f4", "color": "#888888", "style": "filled,rounded"}
FORMS = {
    "as written": {"fillcolor": "#fdf3ec", "color": "#d55e00", "style": "filled,rounded,dashed"},
    "fused": {"fillcolor": "#e9f5f0", "color": "#007a5a", "style": "filled,rounded,bold"},
}


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
    svg_or_none : the same; None where there is no Graphviz
    text : the graph as indented text, from the output to the leaves
    """

    items: tuple[Item, ...]
    edges: tuple[Edge, ...]
    scopes: tuple[str, ...] = ()
    direction: str = "LR"
    outputs: tuple[str, ...] = field(default=(), repr=False)
    compared: bool = False  # the scopes are FORMS, around the two forms of a loss

    @cached_property
    def dot(self) -> str:
        """The source, in Graphviz's language."""
        import graphviz

        graph = graphviz.Digraph(
            graph_attr={
                "rankdir": self.direction,
                "bgcolor": BACKGROUND,
                "fontname": FONT,
                "fontsize": "10",
                "fontcolor": TEXT,
                "nodesep": "0.2",
                "ranksep": "0.35",
                **self._effort(),
            },
            node_attr={
                "shape": "box",
                "margin": "0.1,0.06",
                "height": "0",
                "width": "0",
                "fontname": FONT,
                "fontsize": "10",
                "fontcolor": TEXT,
            },
            edge_attr={
                "fontname": FONT,
                "fontsize": "9",
                "fontcolor": TEXT,
                "color": "#555555",
                "arrowsize": "0.6",
            },
        )
        self._nest(graph, self.items, 0)
        for edge in self.edges:
            label = _label([edge.role, edge.flow]) if edge.role or edge.flow else None
            graph.edge(edge.tail, edge.head, id=edge.id, label=label)
        return str(graph.source)

    def _effort(self) -> dict[str, str]:
        """How hard Graphviz may try: on a tangle, its best would take half a minute."""
        height: dict[str, int] = defaultdict(int)
        for edge in reversed(self.edges):
            height[edge.tail] = max(height[edge.tail], height[edge.head] + 1)
        crossed = sum(height[edge.tail] - height[edge.head] for edge in self.edges)
        if crossed <= TANGLE:
            return {}
        steps = f"{400 / crossed:.4f}"
        return {"nslimit": steps, "nslimit1": steps, "mclimit": "0.2", "splines": "line"}

    def _nest(self, graph: Any, items: Iterable[Item], depth: int) -> None:
        """Write items, those of a scope in its box."""
        inner = defaultdict(list)
        for item in items:
            if len(item.boxes) > depth:
                inner[item.boxes[depth]].append(item)
                continue
            graph.node(item.id, _label(item.facts, item.name), id=item.id, **LOOKS[item.look])
        for j, inside in inner.items():
            with graph.subgraph(name=f"cluster_{j}") as box:
                box.attr(id=f"scope-{j}", label=_label([self.scopes[j]]), labeljust="l")
                box.attr(**(FORMS[self.scopes[j]] if self.compared else SCOPE))
                self._nest(box, inside, depth + 1)

    @cached_property
    def svg(self) -> str:
        """The picture, as text."""
        text = render(self.dot, "svg").decode()
        text = re.sub(r"<!--.*?-->\n?", "", text[text.index("<svg") :], flags=re.DOTALL)
        titles = self._titles()
        from html import escape

        def title(found: re.Match[str]) -> str:
            name = found[2].replace("&#45;", "-")
            return f'<g id="{name}"{found[3]}<title>{escape(titles.get(name, ""))}</title>'

        return re.sub(r'(<g id="([^"]*)"([^>]*>\n))<title>.*?</title>', title, text)

    def _titles(self) -> dict[str, str]:
        """What the pointer shows and a screen reader says, of each id."""
        called = {item.id: item.name or item.facts[0] for item in self.items}
        found = {f"scope-{j}": name for j, name in enumerate(self.scopes)} | called
        for edge in self.edges:
            role = edge.role and f" ({edge.role})"
            found[edge.id] = f"{called[edge.tail]} → {called[edge.head]}{role}"
        return found

    @property
    def svg_or_none(self) -> str | None:
        """The picture, or None where there is no Graphviz."""
        try:
            return self.svg
        except (ImportError, RuntimeError):
            return None

    @cached_property
    def text(self) -> str:
        """The graph as indented text, each node once, from the output to the leaves."""
        items = {item.id: item for item in self.items}
        into = defaultdict(list)
        for edge in self.edges:
            into[edge.head].append(edge)
        lines, told_of = [], set()
        heads = [f"{name}: " for name in FORMS] if self.compared else [""] * len(self.outputs)
        stack = [(name, 0, head) for name, head in zip(self.outputs, heads)][::-1]
        while stack:
            name, depth, how = stack.pop()
            item = items[name]
            line = "  " * min(depth, DEPTH) + how + (item.name or item.facts[0])
            if name in told_of:
                lines.append(f"{line}, see above")
                continue
            told_of.add(name)
            facts = "; ".join(item.facts if item.name else item.facts[1:])
            lines.append(f"{line}  ({facts})" if facts else line)
            for edge in reversed(into[name]):
                about = ", ".join(part for part in (edge.role, edge.flow) if part)
                stack.append((edge.tail, depth + 1, f"{about}: " if about else ""))
        return "\n".join(lines)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the picture to a file, by its ending: .svg, .png, .pdf, or .dot for the source.

        Raises
        ------
        ValueError
            For another ending.
        ImportError
            For a picture, where there is no Graphviz.
        """
        form = os.path.splitext(path)[1].lower()
        if form not in (".svg", ".png", ".pdf", ".dot"):
            raise ValueError(f"save: got {form!r}, wanted a name in .svg, .png, .pdf or .dot")
        if form in (".svg", ".dot"):
            content = (self.svg if form == ".svg" else self.dot).encode()
        else:
            content = self._png() if form == ".png" else render(self.dot, form[1:])
        replace_file(path, content)

    def _png(self) -> bytes:
        return render(self.dot.replace("{", "{\n\tdpi=144", 1), "png")

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[Any, Any]:
        try:  # a notebook that is opened and not run is not trusted: Jupyter then shows no SVG
            png = self._png()
            pictures = {"image/svg+xml": self.svg, "image/png": png}
            width = int.from_bytes(png[16:20]) * 96 // 144  # as large as the SVG, but sharper
            return {**pictures, "text/plain": self.text}, {"image/png": {"width": width}}
        except (ImportError, RuntimeError) as error:
            return {"text/plain": f"{self.text}\n({error})"}, {}

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__


def _html(text: str) -> str:
    r"""Text as Graphviz's HTML-like labels have it: there, ``\N`` would be the node's id."""
    from html import escape

    return escape(text).replace("\\", "\\\\")


def _label(facts: Iterable[str], name: str = "") -> str:
    """A name in bold and lines of text; a long one is broken where its formula has a sign."""
    lines = [f"<B>{_html(name)}</B>"] if name else []
    for fact in filter(None, facts):
        first, *rest = re.split(r" (?=[+×=] )", fact)
        row = [first]
        for part in rest:
            if len(row[-1]) + len(part) < LINE:
                row[-1] += f" {part}"
            else:
                row.append(part)
        lines += map(_html, row)
    return f"<{'<BR/>'.join(lines)}>"


def entries(x: Any) -> str:
    """Return data as text: a few entries in full, more as range and mean; 4 significant digits.

    Examples
    --------
    >>> entries(np.eye(2)), entries(np.arange(10.0))
    ('[[1, 0], [0, 1]]', '0 … 9, mean 4.5')
    """
    x = np.asarray(x)  # Dask computes it
    if x.ndim == 0:
        return told(x)
    if x.size <= ENTRIES:
        return f"[{', '.join(map(entries, x))}]"
    with np.errstate(all="ignore"):
        low, high, mean = np.min(x), np.max(x), np.mean(x)
    return f"all {told(low)}" if low == high else f"{told(low)} … {told(high)}, mean {told(mean)}"


def _few(x: Any) -> bool:
    return bool(math.prod(np.shape(x)) <= ENTRIES)


def _brief(x: Any) -> str:
    """The same for an edge."""
    return entries(x) if _few(x) else f"[{entries(x).split(',')[0]}]"


def _kind(x: Any) -> str:
    """Its dtype, and the shape of an array."""
    dtype, shape = getattr(x, "dtype", np.dtype(type(x))), np.shape(x)
    return f"{dtype} {shape}" if shape else f"{dtype}"


def _option(x: Any) -> str:
    """An option as it reads; of a large array, the shape. Parts of an index differ in shape."""
    if x.__class__ is tuple:
        return f"({', '.join(map(_option, x))}{',' * (len(x) == 1)})"
    return inline(repr(x)) if _few(x) else f"array {np.shape(x)}"


def _operation(node: Value) -> str:
    """The operation with its options."""
    if node.op is None:
        return "leaf"
    options = [
        f"{name}={_option(x)}"
        for name, x in node.options.items()
        if name != "saved" and x is not None and x is not False
    ]
    return f"{node.op.name}({', '.join(options)})" if options else node.op.name


def _roles(op: Primitive, n: int) -> Sequence[str]:
    """What each of n arguments is to the operation."""
    if op.arity is None:
        return [str(k + 1) for k in range(n)]
    return ROLES.get(op.name, ()) or [""] * n


class _Flow:
    """What the last backward pass sent along each edge of some nodes, and where paths meet."""

    def __init__(self, nodes: Iterable[Value]) -> None:
        self.entrywise = entrywise()
        self.edges: dict[tuple[Value, int], str] = {}
        self.paths: dict[Value, list[Any]] = defaultdict(list)
        with np.errstate(all="ignore"):
            for node in nodes:
                if node.op is not None and node.grad is not None:
                    self.read(node)

    def read(self, node: Value) -> None:
        """Each argument's share: upstream × local, or the rule where that is no product."""
        assert node.op is not None
        found = [k for k, parent in enumerate(node.parents) if isinstance(parent, Value)]
        options = {name: x for name, x in node.options.items() if name != "saved"}
        x, y, *more = *node.parents, None, None
        local = make_node(node.data, node.op, x, y, tuple(more[:-2]), options)
        local.grad = np.ones_like(node.data) if node.shape else 1.0
        for k, (parent, share), (_, slope) in zip(found, contributions(node), contributions(local)):
            self.paths[parent].append(share)
            if node.size == 1 or (node.op in self.entrywise and parent.shape == node.shape):
                how = f"{_brief(node.grad)} × {bracketed(_brief(slope))}"
            else:
                numbers = dict(zip("xyz", (_brief(detach(x)) for x in node.parents)))
                text = plain(rule(node.op, k))
                how = fill(text, {**numbers, "out": _brief(node.data), "g": _brief(node.grad)})
                if node.op in self.entrywise:  # broadcasting is undone
                    how = f"Σ {bracketed(how)}"
            self.edges[node, k] = f"{how} = {_brief(share)}"

    def meeting(self, node: Value) -> str:
        """What has come to a node along its paths, added up."""
        shares = self.paths.get(node, [])
        terms = [bracketed(_brief(share)) for share in shares[:ENTRIES]]
        if more := len(shares) - len(terms):
            terms.append(f"{more} more")
        return f"{' + '.join(terms)} = {entries(sum(shares))}" if len(shares) > 1 else ""


class _Sketch:
    """A graph on its way to a `Drawing`: what is drawn of it, and as what."""

    def __init__(self, outputs: Sequence[Value], show: Collection[str], limit: int) -> None:
        self.outputs, self.show = outputs, show
        found = {node for out in outputs for node in topological(out)}
        self.nodes = sorted(found, key=lambda node: node.number)
        self.called = {node: inline(name) for node, name in names(self.nodes).items()}
        self.around = boxes(self.nodes)
        self.compared = False
        self.limit = limit
        self.results: dict[str, set[Value]] = defaultdict(set)  # of a scope: what is used outside

    def compare(self) -> None:
        """Box what is in the graph of the one output alone, and of the other: they are one loss."""
        old, new = (set(topological(out)) for out in self.outputs)
        both = [Box(name, 0) for name in FORMS]
        for node in self.nodes:
            self.around[node] = () if node in old & new else (both[node in new],)
        self.compared = True

    def choose(self, collapse: Collection[str]) -> None:
        """Give each node the id of what stands for it: itself, its scope, or what is left out."""
        every = dict.fromkeys(box for found in self.around.values() for box in found)
        if missing := [name for name in collapse if name not in {box.name for box in every}]:
            there = ", ".join(dict.fromkeys(box.name for box in every)) or "none"
            raise ValueError(f"collapse: got {missing[0]!r}, wanted scopes of the graph: {there}")
        self.number = {box: j for j, box in enumerate(every)}
        self.members: dict[str, list[Value]] = defaultdict(list)
        self.box: dict[str, Box] = {}
        for i, node in enumerate(self.nodes):
            box = next((box for box in self.around[node] if box.name in collapse), None)
            name = f"node-{i}" if box is None else f"scope-{self.number[box]}"
            self.members[name].append(node)
            if box is not None:
                self.box[name] = box
        if len(self.members) > self.limit:
            first = self.limit // 2
            middle = list(self.members)[first : first - self.limit]
            self.members["left-out"] = [n for name in middle for n in self.members.pop(name)]
        self.place = {node: name for name, inside in self.members.items() for node in inside}
        self.single = {
            name: inside[0]
            for name, inside in self.members.items()
            if name not in self.box and name != "left-out"
        }

    def drawing(self, direction: str, flows: bool) -> Drawing:
        """Draw what was chosen."""
        self.ran = any(n.grad is not None for n in self.nodes if n.op or n in self.outputs)
        self.flow = _Flow(reversed(self.single.values()) if flows else ())
        edges, constants = self.edges()
        items = [self.item(name) for name in self.members]
        return Drawing(
            tuple(items + constants),
            tuple(edges),
            tuple(inline(box.name) for box in self.number),
            direction,
            tuple(dict.fromkeys(self.place[out] for out in self.outputs)),
            self.compared,
        )

    def edges(self) -> tuple[list[Edge], list[Item]]:
        """An edge for every argument of what is drawn; the constants among them."""
        found: list[Edge] = []
        constants: list[Item] = []
        joined = set()
        for i, node in enumerate(self.nodes):
            head, drawn = self.place[node], self.place[node] in self.single
            roles = _roles(node.op, len(node.parents)) if drawn and node.op else ()
            for k, parent in enumerate(node.parents):
                tail = f"const-{i}-{k}"
                if isinstance(parent, Value):
                    tail = self.place[parent]
                    if tail != head:
                        self.results[tail].add(parent)
                    if not drawn or tail == "left-out":
                        if tail == head or (tail, head) in joined:
                            continue
                        joined.add((tail, head))
                elif drawn:
                    constants.append(self.constant(tail, parent, node))
                else:
                    continue
                role = roles[k] if drawn and "roles" in self.show else ""
                found.append(Edge(f"edge-{i}-{k}", tail, head, role, self.along(node, k)))
        return found, constants

    def along(self, node: Value, k: int) -> str:
        return self.flow.edges.get((node, k), "")

    def constant(self, name: str, data: Any, node: Value) -> Item:
        shape = "" if _few(data) else f"{_kind(data)}: "
        return Item(name, "constant", "", (f"constant {shape}{entries(data)}",), self.rings(node))

    def rings(self, node: Value) -> tuple[int, ...]:
        """The boxes to draw around a node."""
        return tuple(self.number[box] for box in self.around[node])

    def item(self, name: str) -> Item:
        """What is drawn for a node, a collapsed scope, or all that is left out."""
        inside = self.members[name]
        if name == "left-out":
            return Item(name, "left out", "", (f"… {_nodes(inside)} left out …",))
        ends = set(inside) & set(self.outputs)
        if name in self.single:
            (node,) = inside
            look = "output" if ends else "interior" if node.op else "leaf"
            facts = (*self.what(node), *self.state(node))
            return Item(name, look, _short(self.called[node]), facts, self.rings(node))
        box, results = self.box[name], self.results[name] | ends
        rings = [self.number[ring] for ring in self.around[inside[0]]]
        return Item(
            name,
            "output" if ends else "scope",
            _short(inline(box.name)),
            (_nodes(inside), *(self.state(*results) if len(results) == 1 else [])),
            tuple(rings[: rings.index(self.number[box])]),
        )

    def what(self, node: Value) -> list[str]:
        """The operation, dtype and shape."""
        parts = {"op": _operation(node), "shape": _kind(node.data)}
        line = " · ".join(text for part, text in parts.items() if part in self.show)
        return [line] if line else []

    def state(self, node: Value) -> list[str]:
        """The value; the gradient, or why there is none."""
        value = [f"value {entries(node.data)}"] if "value" in self.show else []
        if "gradient" not in self.show:
            return value
        if node.grad is None:
            return [*value, f"gradient: {'not reached' if self.ran else 'no backward yet'}"]
        told_of, paths = entries(node.grad), self.flow.meeting(node)
        zero = "" if np.any(node.grad) else " (a true zero)"
        if node.passes > 1:
            zero += f", accumulated over {node.passes} backward passes"
        if paths.endswith(f"= {told_of}"):
            return [*value, f"gradient {paths}{zero}"]
        return [*value, *filter(None, [paths and f"paths {paths}"]), f"gradient {told_of}{zero}"]


def _nodes(nodes: Sequence[Value]) -> str:
    return f"{len(nodes):,} node{'s' * (len(nodes) > 1)}"


def _short(name: str) -> str:
    return name if len(name) <= LETTERS else f"{name[: LETTERS - 1]}…"


def draw(
    value: Value | Sequence[Value],
    *,
    show: Collection[str] = SHOW,
    direction: str = "LR",
    max_nodes: int = 200,
    gradients: str = "nodes",
    collapse: Collection[str] = (),
    fused: Value | None = None,
) -> Drawing:
    """Draw the graph of a `Value`, or of several.

    Parameters
    ----------
    value : the output, or outputs
    show : of "op", "shape", "value", "gradient" (of each node) and "roles" (of arguments, such as
        numerator and denominator)
    direction : "LR" for left to right, "TB" for top to bottom
    max_nodes : above it, the nodes in the middle are left out
    gradients : "nodes"; or "edges", where each edge reads upstream × local = contribution
    collapse : names of scopes (see `scope`) to draw as one node each
    fused : the same loss after `fuse`; then the picture has both, on the nodes that they share, in
        boxes "as written" and "fused" in place of the scopes'

    Returns
    -------
    `Drawing`, which a notebook shows as a picture; ``save("graph.svg")`` it, or ``print`` it.

    Raises
    ------
    TypeError
        If there is no `Value` to draw.
    ValueError
        For an unknown option, or a scope that is not in the graph.
    StaleGraphError
        If the data of a leaf was assigned after it was used.

    Examples
    --------
    >>> a, b = Value(3.0, name="a"), Value(4.0, name="b")
    >>> c = a / b
    >>> c.backward()
    >>> draw(c)
    divide  (divide · float64; value 0.75; gradient 1)
      numerator: a  (leaf · float64; value 3; gradient 0.25)
      denominator: b  (leaf · float64; value 4; gradient −0.1875)
    """
    outputs = [value] if isinstance(value, Value) else value
    if not isinstance(outputs, Iterable) or not all(isinstance(out, Value) for out in outputs):
        raise TypeError(f"draw: got {type(value).__name__}, wanted a Value, or several in a list")
    if not (outputs := list(outputs)):
        raise TypeError("draw: got no Value, wanted one or several")
    show, collapse = ([x] if isinstance(x, str) else x for x in (show, collapse))
    wrong = [repr(part) for part in show if part not in SHOW]
    for what, bad, wanted in (
        ("show", ", ".join(wrong), f"some of {', '.join(SHOW)}"),
        ("direction", direction not in ("LR", "TB") and repr(direction), "'LR' or 'TB'"),
        ("gradients", gradients not in ("nodes", "edges") and repr(gradients), "'nodes', 'edges'"),
        ("max_nodes", (not isinstance(max_nodes, int) or max_nodes < 2) and repr(max_nodes), "≥ 2"),
    ):
        if bad:
            raise ValueError(f"draw: {what}: got {bad}, wanted {wanted}")
    if fused is not None:
        if not isinstance(fused, Value) or len(outputs) != 1:
            got = f"{len(outputs)} Values and {type(fused).__name__}"
            raise TypeError(
                f"draw: fused: got {got}, wanted a Value beside one, as fuse returns it"
            )
        outputs += [fused] if fused is not outputs[0] else []
    sketch = _Sketch(outputs, show, max_nodes)
    if len(outputs) == 2 and fused is not None:
        sketch.compare()
    sketch.choose(collapse)
    return sketch.drawing(direction, gradients == "edges")
