"""The picture of a graph: each node with its value and gradient, each edge with what flows."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np

from ..engine.backward import topological
from ..engine.names import Box, boxes, names
from ..engine.operation import Primitive
from ..engine.text import _
from ..engine.value import Value
from .flow import flow
from .formulas import ENTRIES, Notation, bracketed, inline, plain, summarise
from .picture import FORMS, Drawing, Edge, Item

SHOW = ("op", "shape", "value", "gradient", "roles")
LETTERS = 40  # of a name
LEFT_OUT = "left-out"

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


# ------------------------------------------------------------------ how parts of a node read
def few(x: Any) -> bool:
    """Return whether data are so few that they are shown in full."""
    return bool(math.prod(np.shape(x)) <= ENTRIES)


def brief(x: Any) -> str:
    """Return data as text for an edge: of a large array, the range."""
    return summarise(x) if few(x) else f"[{summarise(x).split(',')[0]}]"


EDGE = Notation(brief, str, lambda latex: plain(latex).replace("⊙", "×"))


def kind(x: Any) -> str:
    """Return its dtype, and the shape of an array."""
    dtype, shape = getattr(x, "dtype", np.dtype(type(x))), np.shape(x)
    return f"{dtype} {shape}" if shape else f"{dtype}"


def option(x: Any) -> str:
    """Return an option as it reads; of a large array, the shape. An index may hold several."""
    if x.__class__ is tuple:
        return f"({', '.join(map(option, x))}{',' * (len(x) == 1)})"
    return inline(repr(x)) if few(x) else f"array {np.shape(x)}"


def operation(node: Value) -> str:
    """Return the operation with its options."""
    if node.op is None:
        return _("leaf")
    given = [(name, x) for name, x in node.options.items() if x is not None and x is not False]
    options = ", ".join(f"{name}={option(x)}" for name, x in given if name != "saved")
    return f"{node.op.name}({options})" if options else node.op.name


def roles(op: Primitive | None, n: int) -> Sequence[str]:
    """Return what each of n arguments is to the operation."""
    if op is not None and op.arity is None:
        return [str(k + 1) for k in range(n)]
    return ROLES.get(op.name, ()) if op is not None else ()


def paths_text(shares: Sequence[Any]) -> str:
    """Return what has come to a node along its paths, added up."""
    if len(shares) < 2:
        return ""
    terms = [bracketed(brief(x)) for x in shares[:ENTRIES]]
    if more := len(shares) - len(terms):
        terms.append(f"{more} more")
    return f"{' + '.join(terms)} = {summarise(sum(shares))}"


def count(nodes: Sequence[Value]) -> str:
    """Return how many nodes there are, in words."""
    return f"{len(nodes):,} node{'s' * (len(nodes) > 1)}"


def short(name: str) -> str:
    """Return a name, cut where it is long."""
    return name if len(name) <= LETTERS else f"{name[: LETTERS - 1]}…"


# ------------------------------------------------------------------ from a graph to a picture
class Sketch:
    """A graph on its way to a `Drawing`: what is drawn of it, and as what."""

    def __init__(self, outputs: Sequence[Value], show: Collection[str]) -> None:
        self.outputs, self.show = dict.fromkeys(outputs), show
        nodes = {node for out in outputs for node in topological(out)}
        self.nodes = sorted(nodes, key=lambda node: node.number)
        self.called = {node: inline(name) for node, name in names(self.nodes).items()}
        self.around = boxes(self.nodes)
        self.ran = any(n.grad is not None for n in self.nodes if n.op or n in self.outputs)
        self.members: dict[str, list[Value]] = defaultdict(list)  # an item's id -> its nodes
        self.collapsed: dict[str, Box] = {}
        self.results: dict[str, set[Value]] = defaultdict(set)  # of an item: what is used outside
        self.flows: dict[tuple[Value, int], str] = {}
        self.shares: dict[Value, list[Any]] = defaultdict(list)

    def compare(self) -> None:
        """Box what is in the graph of the one output alone, and of the other: they are one loss."""
        old, new = (set(topological(out)) for out in self.outputs)
        forms = [Box(name, 0) for name in FORMS]
        for node in self.nodes:
            self.around[node] = () if node in old & new else (forms[node in new],)

    def choose(self, collapse: Collection[str], limit: int) -> None:
        """Give each node the id of what stands for it: itself, its scope, or what is left out."""
        every = dict.fromkeys(box for around in self.around.values() for box in around)
        known = {box.name: box for box in every}
        for name in collapse:
            if name not in known:
                problem = "collapse: got {got}, wanted scopes of the graph: {known}"
                raise ValueError(_(problem, got=repr(name), known=", ".join(known) or _("none")))
        self.number = {box: j for j, box in enumerate(every)}
        for i, node in enumerate(self.nodes):
            name = f"node-{i}"
            for box in self.around[node]:
                if box.name in collapse:
                    name = f"scope-{self.number[box]}"
                    self.collapsed[name] = box
                    break
            self.members[name].append(node)
        if len(self.members) > limit:
            first = limit // 2
            middle = list(self.members)[first : first - limit]
            self.members[LEFT_OUT] = [n for name in middle for n in self.members.pop(name)]
        self.place = {node: name for name, inside in self.members.items() for node in inside}
        self.single = {name for name in self.members if name.startswith("node-")}

    def follow(self) -> None:
        """Find what the last backward pass sent along the edges, and where paths meet."""
        with np.errstate(all="ignore"):
            for node in reversed(self.nodes):
                if self.place[node] not in self.single or node.op is None or node.grad is None:
                    continue
                for k, parent in enumerate(node.parents):
                    if isinstance(parent, Value):
                        sent = flow(node, k, node.grad)
                        self.shares[parent].append(sent.share)
                        formula = (*sent.numbers(EDGE), f"= {brief(sent.share)}")
                        self.flows[node, k] = " ".join(formula)

    def drawing(self, direction: str, compared: bool) -> Drawing:
        """Draw what was chosen."""
        edges, constants = self.edges()
        return Drawing(
            items=(*map(self.item, self.members), *constants),
            edges=edges,
            scopes=tuple(inline(box.name) for box in self.number),
            direction=direction,
            outputs=tuple(dict.fromkeys(self.place[out] for out in self.outputs)),
            compared=compared,
        )

    def edges(self) -> tuple[tuple[Edge, ...], list[Item]]:
        """Make an edge for every argument of what is drawn; and the constants among them."""
        edges: dict[tuple[Any, Any], Edge] = {}
        constants = []
        for i, node in enumerate(self.nodes):
            head, drawn = self.place[node], self.place[node] in self.single
            said = roles(node.op, len(node.parents)) if drawn and "roles" in self.show else ()
            for k, parent in enumerate(node.parents):
                tail = f"const-{i}-{k}"
                joins: tuple[Any, Any] = (i, k)
                if isinstance(parent, Value):
                    tail = self.place[parent]
                    if tail == head:
                        continue
                    self.results[tail].add(parent)
                    joins = (i, k) if drawn and tail != LEFT_OUT else (tail, head)  # once
                elif drawn:
                    shape = "" if few(parent) else f"{kind(parent)}: "
                    fact = f"constant {shape}{summarise(parent)}"
                    constants.append(Item(tail, "constant", "", (fact,), self.rings(node)))
                else:
                    continue
                role = said[k] if k < len(said) else ""
                edge = Edge(f"edge-{i}-{k}", tail, head, role, self.flows.get((node, k), ""))
                edges.setdefault(joins, edge)
        return tuple(edges.values()), constants

    def rings(self, node: Value) -> tuple[int, ...]:
        """Return the boxes to draw around a node."""
        return tuple(self.number[box] for box in self.around[node])

    def item(self, name: str) -> Item:
        """Make what is drawn for a node, a collapsed scope, or all that is left out."""
        inside = self.members[name]
        if name == LEFT_OUT:
            return Item(name, "left out", "", (f"… {count(inside)} left out …",))
        ends, rings = self.outputs.keys() & inside, self.rings(inside[0])
        if box := self.collapsed.get(name):
            results = self.results[name] | ends
            look, title = "scope", inline(box.name)
            facts = [count(inside), *(self.state(*results) if len(results) == 1 else ())]
            rings = rings[: rings.index(self.number[box])]
        else:
            (node,) = inside
            look, title = "interior" if node.op else "leaf", self.called[node]
            facts = [*self.what(node), *self.state(node)]
        return Item(name, "output" if ends else look, short(title), tuple(facts), rings)

    def what(self, node: Value) -> list[str]:
        """Say the operation, dtype and shape."""
        parts = {"op": operation(node), "shape": kind(node.data)}
        line = " · ".join(text for part, text in parts.items() if part in self.show)
        return [line] if line else []

    def state(self, node: Value) -> list[str]:
        """Say the value; the gradient with the paths that meet, or why there is none."""
        lines = [f"value {summarise(node.data)}"] if "value" in self.show else []
        if "gradient" not in self.show:
            return lines
        if node.grad is None:
            return [*lines, f"gradient: {'not reached' if self.ran else 'no backward yet'}"]
        gradient, paths = summarise(node.grad), paths_text(self.shares.get(node, ()))
        note = "" if np.any(node.grad) else " (a true zero)"
        if node.passes > 1:
            note += f", accumulated over {node.passes} backward passes"
        if paths.endswith(f"= {gradient}"):
            return [*lines, f"gradient {paths}{note}"]
        return [*lines, *([f"paths {paths}"] if paths else []), f"gradient {gradient}{note}"]


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
    outputs = to_draw(value, fused)
    show, collapse = ([x] if isinstance(x, str) else x for x in (show, collapse))
    for part in show:
        check_choice("show", part, SHOW)
    check_choice("direction", direction, ("LR", "TB"))
    check_choice("gradients", gradients, ("nodes", "edges"))
    if not isinstance(max_nodes, int) or max_nodes < 2:
        raise ValueError(_("draw: max_nodes: got {got}, wanted 2 or more", got=repr(max_nodes)))
    sketch, compared = Sketch(outputs, show), fused is not None and len(outputs) == 2
    if compared:
        sketch.compare()
    sketch.choose(collapse, max_nodes)
    if gradients == "edges":
        sketch.follow()
    return sketch.drawing(direction, compared)


def to_draw(value: Any, fused: Any) -> list[Value]:
    """Return the outputs to draw, the fused form of one behind it."""
    outputs = [value] if isinstance(value, Value) else value
    if not isinstance(outputs, Iterable) or not all(isinstance(out, Value) for out in outputs):
        problem = "draw: got {got}, wanted a Value, or several in a list"
        raise TypeError(_(problem, got=type(value).__name__))
    if not (outputs := list(outputs)):
        raise TypeError(_("draw: got no Value, wanted one or several"))
    if fused is None:
        return outputs
    if not isinstance(fused, Value) or len(outputs) != 1:
        problem = "draw: fused: got {n} Values and {got}, wanted a Value beside one, as fuse makes"
        raise TypeError(_(problem, n=len(outputs), got=type(fused).__name__))
    return outputs if fused is outputs[0] else [*outputs, fused]


def check_choice(option: str, got: Any, wanted: Collection[str]) -> None:
    """Refuse what is none of an option's values."""
    if got not in wanted:
        problem = "draw: {option}: got {got}, wanted {wanted}"
        names = ", ".join(map(repr, wanted))
        raise ValueError(_(problem, option=option, got=repr(got), wanted=names))
