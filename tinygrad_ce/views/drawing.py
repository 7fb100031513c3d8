"""The picture of a graph: each node with its value and gradient, each edge with what flows."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NoReturn

import numpy as np

from ..engine.backward import topological
from ..engine.names import names
from ..engine.text import _
from ..engine.value import Value
from .flow import Flow, flow
from .formulas import ENTRIES, Notation, bracketed, inline, plain, summarise
from .picture import FORMS, Drawing, Edge, Item
from .scopes import Box, boxes

SHOW = ("op", "shape", "value", "gradient", "roles")
LETTERS = 40  # of a name
LEFT_OUT = "left-out"


def _few(x: Any) -> bool:
    return bool(math.prod(np.shape(x)) <= ENTRIES)


def _brief(x: Any) -> str:
    """Return data as text for an edge: of a large array, the range."""
    return summarise(x) if _few(x) else f"[{summarise(x).split(',')[0]}]"


EDGE = Notation(_brief, str, lambda latex: plain(latex).replace("⊙", "×"))


def _kind(x: Any) -> str:
    dtype, shape = getattr(x, "dtype", np.dtype(type(x))), np.shape(x)
    return f"{dtype} {shape}" if shape else f"{dtype}"


def _option(x: Any) -> str:
    """Return an option as it reads; of a large array, the shape. An index may hold several."""
    if x.__class__ is tuple:
        return f"({', '.join(map(_option, x))}{',' * (len(x) == 1)})"
    return inline(repr(x)) if _few(x) else f"array {np.shape(x)}"


def _operation(node: Value) -> str:
    if node.op is None:
        return _("leaf")
    given = [(name, x) for name, x in node.options.items() if x is not None and x is not False]
    options = ", ".join(f"{name}={_option(x)}" for name, x in given)
    return f"{node.op.name}({options})" if options else node.op.name


def _roles(node: Value) -> Sequence[str]:
    """Return what each argument is to the operation; of any number of them, its number."""
    if node.op is None or node.op.arity is not None:
        return node.op.roles if node.op else ()
    return [str(k + 1) for k in range(len(node.parents))]


def _formula(sent: Flow) -> str:
    """Return upstream × local; by the rule, where that is no product, or broadcasting is undone."""
    if sent.local is None:
        return sent.filled(EDGE)
    if np.shape(sent.local) == np.shape(sent.share):
        return " ".join(sent.product(EDGE))
    return f"Σ {bracketed(sent.filled(EDGE))}"


def _sum(shares: Sequence[Any]) -> str:
    terms = [bracketed(_brief(x)) for x in shares[:ENTRIES]]
    if more := len(shares) - len(terms):
        terms.append(f"{more} more")
    return f"{' + '.join(terms)} = {summarise(sum(shares))}"


def _count(nodes: Sequence[Value]) -> str:
    return f"{len(nodes):,} node{'s' * (len(nodes) > 1)}"


def _short(name: str) -> str:
    return name if len(name) <= LETTERS else f"{name[: LETTERS - 1]}…"


class Sketch:
    """A graph on its way to a `Drawing`: what is drawn of it, and as what."""

    def __init__(self, outputs: Sequence[Value], show: Collection[str]) -> None:
        self.outputs, self.show = dict.fromkeys(outputs), show
        nodes = {node for out in outputs for node in topological(out)}
        self.nodes = sorted(nodes, key=lambda node: node.number)
        self.called = {node: inline(name) for node, name in names(self.nodes).items()}
        self.around = boxes(self.nodes)
        self.ran = any(n.passes for n in self.nodes if n.op or n in self.outputs)
        self.members: dict[str, list[Value]] = defaultdict(list)  # an item's id -> its nodes
        self.collapsed: dict[str, Box] = {}
        self.results: dict[str, set[Value]] = defaultdict(set)  # of an item: what is used outside
        self.flows: dict[tuple[Value, int], str] = defaultdict(str)
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
        self.number = {box: j for j, box in enumerate(every)}
        self.rings = {n: tuple(self.number[b] for b in around) for n, around in self.around.items()}
        known = dict.fromkeys(box.name for box in every)
        for name in collapse:
            if name not in known:
                problem = "collapse: got {got}, wanted scopes of the graph: {known}"
                raise ValueError(_(problem, got=repr(name), known=", ".join(known) or _("none")))
        for i, node in enumerate(self.nodes):
            box = next((box for box in self.around[node] if box.name in collapse), None)
            name = f"node-{i}" if box is None else f"scope-{self.number[box]}"
            self.members[name].append(node)
            if box is not None:
                self.collapsed[name] = box
        if len(self.members) > limit:
            first = limit // 2
            middle = list(self.members)[first : first - limit]
            self.members[LEFT_OUT] = [n for name in middle for n in self.members.pop(name)]
        self.place = {node: name for name, inside in self.members.items() for node in inside}
        self.single = [n for n in self.nodes if self.place[n].startswith("node-")]

    def follow(self) -> None:
        """Find what the last backward pass sent along the edges, and where paths meet."""
        for node in reversed(self.single):
            for k, parent in enumerate(node.parents):
                if isinstance(parent, Value) and node.passes:
                    sent = flow(node, k, node.grad)
                    self.shares[parent].append(sent.share)
                    self.flows[node, k] = f"{_formula(sent)} = {_brief(sent.share)}"

    def edges(self) -> tuple[list[Edge], list[Item]]:
        """Make an edge for every argument of what is drawn; and the constants among them."""
        edges: dict[tuple[Any, Any], Edge] = {}
        constants, single = [], set(self.single)
        for i, node in enumerate(self.nodes):
            head, drawn = self.place[node], node in single
            roles = dict(enumerate(_roles(node) if drawn and "roles" in self.show else ()))
            for k, parent in enumerate(node.parents):
                constant = not isinstance(parent, Value)
                tail = f"const-{i}-{k}" if constant else self.place[parent]
                if tail == head or (constant and not drawn):
                    continue
                if constant:
                    shape = "" if _few(parent) else f"{_kind(parent)}: "
                    fact = f"constant {shape}{summarise(parent)}"
                    constants.append(Item(tail, "constant", "", (fact,), self.rings[node]))
                else:
                    self.results[tail].add(parent)
                edge = Edge(f"edge-{i}-{k}", tail, head, roles.get(k, ""), self.flows[node, k])
                alone = drawn and tail != LEFT_OUT  # a group of nodes has one edge to another
                edges.setdefault((i, k) if alone else (tail, head), edge)
        return list(edges.values()), constants

    def item(self, name: str) -> Item:
        """Make what is drawn for a node, a collapsed scope, or all that is left out."""
        inside = self.members[name]
        if name == LEFT_OUT:
            return Item(name, "left out", "", (f"… {_count(inside)} left out …",))
        node, ends = inside[0], self.outputs.keys() & inside
        rings = self.rings[node]
        if box := self.collapsed.get(name):
            look, title, facts = "scope", inline(box.name), [_count(inside)]
            if len(results := self.results[name] | ends) == 1:
                facts += self.state(*results)
            rings = rings[: rings.index(self.number[box])]
        else:
            look, title = "interior" if node.op else "leaf", self.called[node]
            parts = {"op": _operation(node), "shape": _kind(node.data)}
            what = " · ".join(text for part, text in parts.items() if part in self.show)
            facts = [what, *self.state(node)]
        facts = [fact for fact in facts if fact]
        return Item(name, "output" if ends else look, _short(title), tuple(facts), rings)

    def state(self, node: Value) -> list[str]:
        """Say the value; the gradient with the paths that meet, or why there is none."""
        facts = [f"value {summarise(node.data)}"] if "value" in self.show else []
        if "gradient" not in self.show:
            return facts
        if not node.passes:
            return [
                *facts,
                _("gradient: not reached") if self.ran else _("gradient: no backward yet"),
            ]
        gradient, shares = summarise(node.grad), self.shares[node]
        if len(shares) > 1 and (paths := _sum(shares)).endswith(f"= {gradient}"):
            gradient = paths
        elif len(shares) > 1:
            facts.append(f"paths {paths}")
        note = "" if np.any(node.grad) else " (a true zero)"
        if node.passes > 1:
            note += f", accumulated over {node.passes} backward passes"
        return [*facts, f"gradient {gradient}{note}"]


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
    outputs = _outputs(value, fused)
    show, collapse = ([x] if isinstance(x, str) else x for x in (show, collapse))
    for part in show:
        if part not in SHOW:
            _refuse("show", part, f"some of {', '.join(SHOW)}")
    if direction not in ("LR", "TB"):
        _refuse("direction", direction, "'LR' or 'TB'")
    if gradients not in ("nodes", "edges"):
        _refuse("gradients", gradients, "'nodes' or 'edges'")
    if not isinstance(max_nodes, int) or max_nodes < 2:
        _refuse("max_nodes", max_nodes, "2 or more")
    sketch, compared = Sketch(outputs, show), fused is not None and len(outputs) == 2
    if compared:
        sketch.compare()
    sketch.choose(collapse, max_nodes)
    if gradients == "edges":
        with np.errstate(all="ignore"):  # inf and nan are what there is to see
            sketch.follow()
    edges, constants = sketch.edges()
    items = [*map(sketch.item, sketch.members), *constants]
    scopes = [inline(box.name) for box in sketch.number]
    ends = dict.fromkeys(sketch.place[out] for out in outputs)
    return Drawing(tuple(items), tuple(edges), tuple(scopes), direction, tuple(ends), compared)


def _outputs(value: Any, fused: Any) -> list[Value]:
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


def _refuse(option: str, got: object, wanted: str) -> NoReturn:
    problem = "draw: {option}: got {got}, wanted {wanted}"
    raise ValueError(_(problem, option=option, got=repr(got), wanted=wanted))
