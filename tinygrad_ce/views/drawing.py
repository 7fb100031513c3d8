"""The picture of a graph: nodes with value and gradient, edges with what flows, scopes as boxes."""

import math
from bisect import bisect
from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..engine.backward import topological
from ..engine.language import speaking, spoken
from ..engine.names import names, operands
from ..engine.text import _, require
from ..engine.value import Value, numbers
from .formulas import ENTRIES, fill, flow, inline, joined, numeral, product, small, summarise
from .picture import FORMS, Drawing, Edge, Item, fitting

SHOW = ("op", "shape", "value", "gradient", "roles")
LEFT_OUT = "left-out"


# For each time that a scope was entered, its name, and the numbers of nodes between which it was
# open: the last ones, for a training loop may enter scopes for days.
_boxes: deque[SimpleNamespace] = deque(maxlen=10_000)


@contextmanager
def scope(name: str) -> Iterator[None]:
    """Group the nodes made in a ``with`` block, for pictures: a labelled box, or one node.

    Scopes nest. Only the last 10,000 are remembered; nodes know nothing of them.

    Parameters
    ----------
    name : what the box is called

    Raises
    ------
    TypeError
        If the name is no text.

    Examples
    --------
    >>> z = Value([1.0, 2.0])
    >>> with scope("softmax"):
    ...     p = z.exp() / z.exp().sum()
    >>> print(draw(p.max(), show=["op"], collapse=["softmax"]))
    max
      softmax  (4 nodes)
        z  (leaf)
    """
    text = 'scope: got {got!r}, wanted a name, as in scope("softmax")'
    require(isinstance(name, str), text, TypeError, got=name)
    box = SimpleNamespace(name=name, start=next(numbers), stop=math.inf)
    _boxes.append(box)
    try:
        yield
    finally:
        box.stop = next(numbers)


def boxes(nodes: Iterable[Value]) -> tuple[list[str], dict[Value, tuple[int, ...]]]:
    """Name the scopes that nodes were made in; and give each node the places of its own there.

    Outermost first.
    """
    nodes, called = sorted(nodes, key=lambda node: node.number), list[str]()
    around: dict[Value, tuple[int, ...]] = dict.fromkeys(nodes, ())
    made = [node.number for node in nodes]
    for box in _boxes:
        inside = nodes[bisect(made, box.start) : bisect(made, box.stop)]
        for node in inside:
            around[node] += (len(called),)
        called += [box.name] if inside else []
    return called, around


def _brief(x: Any) -> str:
    """Return data as text for an edge: of a large array, the range."""
    return summarise(x) if small(x) else f"[{summarise(x).split(',')[0]}]"


def _kind(x: Any) -> str:
    dtype, shape = getattr(x, "dtype", np.dtype(type(x))), np.shape(x)
    return f"{dtype} {shape}" if shape else f"{dtype}"


def _operation(node: Value) -> str:
    """Return an operation with its options; of a large array among them, the first and the last."""
    if node.op is None:
        return _("leaf")
    with np.printoptions(threshold=ENTRIES, edgeitems=1):
        shown = {k: repr(x) for k, x in node.options.items() if x is not None and x is not False}
    options = ", ".join(f"{name}={' '.join(x.split())}" for name, x in shown.items())
    return inline(f"{node.op.name}({options})" if options else node.op.name)


def not_finite(node: Value) -> str:
    """Say with a sign whether a node holds nan or inf, or else its gradient; "" if neither does."""
    gradient = node.grad if node.passes else 0.0
    for x, what in ((node.data, ""), (gradient, _("gradient "))):
        bad = ~np.isfinite(x)
        if np.any(bad):
            kind = "nan" if np.any(np.isnan(x)) else "inf"
            text = "⚠ {what}{kind} in {n} of {size} entries" if bad.size > 1 else "⚠ {what}{kind}"
            return _(text, what=what, kind=kind, n=int(np.sum(bad)), size=bad.size)
    return ""


class Sketch:
    """A graph on its way to a `Drawing`: what is drawn of it, and as what."""

    def __init__(self, outputs: Sequence[Value], show: Collection[str], is_compared: bool) -> None:
        self.outputs, self.show = dict.fromkeys(outputs), show
        graphs = [set(topological(out)) for out in outputs]
        self.nodes = sorted(set[Value]().union(*graphs), key=lambda node: node.number)
        self.called = {node: inline(name) for node, name in names(self.nodes).items()}
        self.ran = any(n.passes for n in self.nodes if n.op or n in self.outputs)
        self.scopes, self.rings = boxes(self.nodes)
        if is_compared:  # a box has what is in the graph of the one output alone, or of the other
            self.scopes, alone = list(FORMS), graphs[0] ^ graphs[1]
            self.rings = {n: (int(n in graphs[1]),) if n in alone else () for n in self.nodes}
        self.members: dict[str, list[Value]] = defaultdict(list)  # an item's id -> its nodes
        self.results: dict[str, set[Value]] = defaultdict(set)  # of an item: what is used outside
        self.shares: dict[Value, list[Any]] = defaultdict(list)

    def choose(self, collapse: Collection[str], limit: int) -> None:
        """Give each node the id of what stands for it: itself, its scope, or what is left out."""
        for name in collapse:
            known = ", ".join(dict.fromkeys(self.scopes)) or "none"
            text = "draw: collapse: got {name!r}, wanted scopes of the graph: {known}"
            require(name in self.scopes, text, name=name, known=known)
        for i, node in enumerate(self.nodes):
            scope = next((j for j in self.rings[node] if self.scopes[j] in collapse), None)
            self.members[f"node-{i}" if scope is None else f"scope-{scope}"].append(node)
        if len(self.members) > limit:
            first = limit // 2
            middle = list(self.members)[first : first - limit]
            self.members[LEFT_OUT] = [n for name in middle for n in self.members.pop(name)]
        self.place = {node: name for name, inside in self.members.items() for node in inside}

    def edges(self, follow: bool) -> tuple[list[Edge], list[Item]]:
        """Make an edge for every argument of what is drawn; and the constants among them."""
        edges: dict[tuple[Any, Any], Edge] = {}
        constants = []
        for i, node in enumerate(self.nodes):
            head = self.place[node]
            drawn = head.startswith("node-")
            for k, parent in enumerate(node.parents):
                constant, role, sent = not isinstance(parent, Value), "", ""
                tail = f"const-{i}-{k}" if constant else self.place[parent]
                if tail == head or (constant and not drawn):
                    continue
                if constant:
                    kind = "" if small(parent) else f"{_kind(parent)}: "
                    fact = _("constant {x}", x=f"{kind}{summarise(parent)}")
                    name = next((text for x, text in operands(node) if x is parent), "")
                    constants.append(Item(tail, "constant", name, (fact,), self.rings[node]))
                else:
                    self.results[tail].add(parent)
                    sent = self.flow(node, k, parent) if drawn and follow and node.passes else ""
                if drawn and node.op and "roles" in self.show:  # of any number, its own
                    roles = node.op.roles or ("",) * len(node.parents)
                    role = str(k + 1) if node.op.arity is None else spoken(roles[k])
                ends = (i, k) if drawn and tail != LEFT_OUT else (tail, head)  # groups have one
                edges.setdefault(ends, Edge(f"edge-{i}-{k}", tail, head, inline(role), sent))
        return list(edges.values()), constants

    def flow(self, node: Value, k: int, parent: Value) -> str:
        """Say what the last backward pass sent along an edge, and keep it for where paths meet."""
        with np.errstate(all="ignore"):  # inf and nan are what there is to see
            sent = flow(node, k, node.grad)
        self.shares[parent].insert(0, sent.contribution)
        formula = joined(*product(node, k, sent, lambda x: numeral(_brief(x))))
        return f"{formula.text.replace('⊙', '×')} = {_brief(sent.contribution)}"

    def item(self, name: str) -> Item:
        """Make what is drawn for a node, a collapsed scope, or all that is left out."""
        inside = self.members[name]
        node, ends = inside[0], self.outputs.keys() & inside
        count = _("{n:,} nodes", n=len(inside)) if len(inside) > 1 else _("1 node")
        if name == LEFT_OUT:
            return Item(name, "left out", "", (_("… {nodes} left out …", nodes=count),))
        kind, _dash, j = name.partition("-")
        rings, results = self.rings[node], {node}
        if kind == "scope":
            look, title, what = "scope", inline(self.scopes[int(j)]), count
            rings, results = rings[: rings.index(int(j))], self.results[name] | ends
        else:
            look, title = "interior" if node.op else "leaf", self.called[node]
            parts = {"op": _operation(node), "shape": _kind(node.data)}
            said = title.rstrip("0123456789").removesuffix("_")  # once: sum_1 is a sum
            shown = [x for part, x in parts.items() if part in self.show and x != said]
            what = " · ".join(shown)
        state = self.state(*results) if len(results) == 1 else ()
        lost = [text for text in map(not_finite, inside) if text]
        facts = (*([what] if what else []), *lost[:1], *state)
        look = "not finite" if lost else "output" if ends else look
        return Item(name, look, title, facts, rings)

    def state(self, node: Value) -> Iterator[str]:
        """Say the value; the gradient with the paths that meet, or why there is none."""
        if "value" in self.show:
            yield _("value {x}", x=summarise(node.data))
        if "gradient" not in self.show:
            return
        if not node.passes:
            yield _("gradient: not reached") if self.ran else _("gradient: no backward yet")
            return
        gradient, shares = summarise(node.grad), self.shares[node]
        if 1 < len(shares) <= ENTRIES:  # paths meet here
            terms = [fill("+ <x>", x=numeral(_brief(share))).text for share in shares]
            paths = f"{' '.join(terms)[2:]} = {summarise(sum(shares))}"
            if paths.endswith(f"= {gradient}"):
                gradient = paths
            else:
                yield _("paths {x}", x=paths)
        note = "" if np.any(node.grad) else _(" (a true zero)")
        if node.passes > 1:
            note += _(", accumulated over {n} backward passes", n=node.passes)
        yield _("gradient {x}", x=gradient) + note


def draw(
    value: Value | Sequence[Value],
    *,
    show: Collection[str] = SHOW,
    direction: str | None = None,
    max_nodes: int = 200,
    gradients: str = "nodes",
    collapse: Collection[str] = (),
    fused: Value | None = None,
    lang: str = "",
) -> Drawing:
    """Draw the graph of a `Value`, or of several.

    Parameters
    ----------
    value : the output, or outputs
    show : of "op", "shape", "value", "gradient" (of each node) and "roles" (of arguments, such as
        numerator and denominator)
    direction : "LR" for left to right, "TB" for top to bottom; by default what fits a page
    max_nodes : above it, the nodes in the middle are left out
    gradients : "nodes"; or "edges", where each edge reads upstream × local = contribution
    collapse : names of scopes (see `scope`) to draw as one node each
    fused : the same loss after `fuse`; then the picture has both, on the nodes that they share, in
        boxes "as written" and "fused" in place of the scopes'
    lang : the language of its words, "en" or "ko"; the reader's, where none is named

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
    >>> draw(Value(3.0, name="a") / 4.0)
    divide  (float64; value 0.75; gradient: no backward yet)
      numerator: a  (leaf · float64; value 3; gradient: no backward yet)
      denominator: constant 4
    """
    outputs = _outputs(value, fused)
    show, collapse = ([x] if isinstance(x, str) else x for x in (show, collapse))
    options = {"direction": ([direction or "LR"], ("LR", "TB")), "show": (show, SHOW)}
    options["gradients"] = [gradients], ("nodes", "edges")
    for option, (taken, known) in options.items():
        for got in taken:
            text = "draw: {option}: got {got!r}, wanted one of {known}"
            require(got in known, text, option=option, got=got, known=", ".join(known))
    text = "draw: max_nodes: got {got}, wanted 2 or more"
    require(isinstance(max_nodes, int) and max_nodes > 1, text, got=max_nodes)
    with speaking(lang):
        sketch = Sketch(outputs, show, is_compared=outputs[-1] is fused is not value)
        sketch.choose(collapse, max_nodes)
        edges, constants = sketch.edges(follow=gradients == "edges")
        items = (*map(sketch.item, sketch.members), *constants)
        scopes = tuple(map(inline, sketch.scopes))
        ends = tuple(dict.fromkeys(sketch.place[out] for out in outputs))
        return Drawing(items, tuple(edges), scopes, direction or fitting(items, edges), ends)


def _outputs(value: Any, fused: Any) -> list[Value]:
    """Return the outputs to draw, the fused form of one behind it."""
    outputs = [value] if isinstance(value, Value) or not isinstance(value, Iterable) else [*value]
    got = type(value).__name__ if outputs else "no Value"
    text = "draw: got {got}, wanted a Value, or several in a list"
    require(outputs and all(isinstance(out, Value) for out in outputs), text, TypeError, got=got)
    if fused is None or fused is value:
        return outputs
    text = "draw: fused: got {n} Values and {kind}, wanted a Value beside one, as fuse makes"
    is_beside = isinstance(fused, Value) and len(outputs) == 1
    require(is_beside, text, TypeError, n=len(outputs), kind=type(fused).__name__)
    return [*outputs, fused]
