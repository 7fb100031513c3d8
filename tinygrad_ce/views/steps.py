"""A graph as numbered steps, forward and then backward: as text, in a notebook, as one page."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, overload

import numpy as np

from ..engine.backward import topological
from ..engine.data import fit, upstream
from ..engine.names import names
from ..engine.ops import IDENTITY
from ..engine.value import Value, detach
from ..programs.files import replace_file
from .drawing import SHOW, Drawing, draw
from .formulas import bracketed, entrywise, fill, gives, inline, plain, rule, symbol, told, typeset

Data = Any  # a float, or an array that cannot be written to
BOTH = (False, True)  # as text, as LaTeX
UNTRUSTED = "The page of the steps shows here once you trust this notebook or run this cell."


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
    upstream, local, contribution : the gradient of the node, the derivative of its operation,
        and their product; ``local`` is None where upstream × local is no product of entries
    before, after : what the step changes: forward the value, backward the target's gradient
    contributions : all that the target has got so far, this one last
    """

    number: int
    phase: str
    node: str
    index: int
    op: str
    target: str | None = None
    target_index: int | None = None
    argument: int | None = None
    words: str = ""
    latex: str = ""
    upstream: Data = None
    local: Data = None
    contribution: Data = None
    before: Data = None
    after: Data = None
    earlier: Step | None = field(default=None, repr=False)  # the target's last one before this

    @property
    def contributions(self) -> tuple[Data, ...]:
        """All that the target has got so far, this one last."""
        found, step = [], self if self.phase == "backward" else None
        while step is not None:  # a chain: tuples would take quadratic space
            found.append(step.contribution)
            step = step.earlier
        return tuple(reversed(found))


def _kept(x: Any) -> Data:
    """A copy that later changes of the graph do not reach."""
    if isinstance(x, np.ndarray) or np.shape(x):
        x = np.array(x)
        x.flags.writeable = False
        return x
    return float(x)


def _vjp(node: Value, k: int, g: Any) -> Any:
    """What the rule of argument k returns for an upstream gradient."""
    assert node.op is not None
    vjp = [rule for rule, _ in zip(node.op.vjps, node.parents)][k]
    assert vjp is not None
    given = [g, node.data, *map(detach, node.parents)]
    options = {name: value for name, value in node.options.items() if name != "saved"}
    try:
        return vjp(*given, **options)
    except ArithmeticError:  # floats divided by 0: NumPy's have inf and nan
        return vjp(*(np.float64(a) if isinstance(a, float) else a for a in given), **options)


def _then(result: Data) -> str:
    """What stands between a formula with names and the same with numbers, or with shapes."""
    return " = " if gives(result)[0] == "=" else ": "


class _Walk:
    """The walk over one graph, and how its steps read."""

    def __init__(self, loss: Value, gradient: Any) -> None:
        self.order = topological(loss)
        self.place = {node: i for i, node in enumerate(self.order)}
        self.called = {node: inline(name) for node, name in names(self.order).items()}
        taken = loss.name or "L" in self.called.values()
        self.loss = self.called[loss] if taken else "L"
        self.entrywise = entrywise()
        self.gradients: dict[Value, Data] = {}
        self.last: dict[Value, Step] = {}
        self.steps: list[Step] = []
        seed = upstream(gradient, loss.data, self.called[loss])
        with np.errstate(all="ignore"):  # inf and nan are what there is to see
            for node in self.order:
                self.forward(node)
            self.seed(loss, _kept(fit(seed, loss.data, IDENTITY)))
            for node in reversed(self.order):
                for k, parent in enumerate(node.parents):
                    if isinstance(parent, Value):
                        self.backward(node, k, parent)

    def add(self, phase: str, node: Value, read: list[str], **what: Any) -> Step:
        """Record a step; ``read`` is its rule as text and as LaTeX."""
        step = Step(
            number=len(self.steps) + 1,
            phase=phase,
            node=self.called[node],
            index=self.place[node],
            op=node.op.name if node.op else "",
            words=read[0],
            latex=read[1],
            **what,
        )
        self.steps.append(step)
        return step

    def forward(self, node: Value) -> None:
        """A node's value, from its arguments."""
        after = _kept(node.data)
        self.add("forward", node, [self.formula(node, after, tex) for tex in BOTH], after=after)

    def formula(self, node: Value, after: Data, tex: bool) -> str:
        """The operation with names, then with numbers, then what it gives."""
        called = self.called[node]
        name = symbol(called) if tex else called
        if node.op is None:
            return f"{name}{_then(after)}{(told, typeset)[tex](after)}"
        text = rule(node.op) if tex else plain(rule(node.op))
        named, numbers = (fill(text, self.roles(node, tex, n)) for n in (False, True))
        return f"{name} = {named}{_then(after)}{numbers} {gives(after, tex)}"

    def roles(self, node: Value, tex: bool, numbers: bool) -> dict[str, str]:
        """What fills the placeholders of a node's rules: names, or numbers."""
        show, name = (typeset, symbol) if tex else (told, str)

        def one(x: Any) -> str:
            return name(self.called[x]) if isinstance(x, Value) and not numbers else show(detach(x))

        g = self.gradients.get(node)
        slope = self.slope(node, tex) if g is None or not numbers else show(g)
        return {**dict(zip("xyz", map(one, node.parents))), "out": one(node), "g": slope}

    def slope(self, node: Value, tex: bool) -> str:
        """∂L/∂node."""
        top, bottom = self.loss, self.called[node]
        if tex:
            return rf"\frac{{\partial {symbol(top)}}}{{\partial {symbol(bottom)}}}"
        return f"∂{top}/∂{bottom}"

    def seed(self, loss: Value, g: Data) -> None:
        """The first step back: the loss changes as fast as itself."""
        target = {"target": self.called[loss], "target_index": self.place[loss]}
        read = [f"{self.slope(loss, tex)}{_then(g)}{(told, typeset)[tex](g)}" for tex in BOTH]
        step = self.add("backward", loss, read, **target, upstream=g, contribution=g, after=g)
        self.gradients[loss], self.last[loss] = g, step

    def backward(self, node: Value, k: int, parent: Value) -> None:
        """What a node hands one of its arguments: upstream gradient times local derivative."""
        assert node.op is not None
        g = self.gradients[node]
        got = _kept(fit(_vjp(node, k, g), parent.data, node.op))
        entrywise, local = node.op in self.entrywise, None
        if entrywise or node.size == 1:  # a number's gradient is upstream × local, whatever it is
            one = 1.0 if isinstance(node.data, float) else np.ones_like(node.data)
            slope = _vjp(node, k, one)
            local = _kept(slope if entrywise else fit(slope, parent.data, node.op))
        before = self.gradients.get(parent)
        after = got if before is None else _kept(fit(before + got, parent.data, node.op))
        self.last[parent] = self.add(
            "backward",
            node,
            [self.chain(node, k, parent, local, got, tex) for tex in BOTH],
            target=self.called[parent],
            target_index=self.place[parent],
            argument=k,
            upstream=g,
            local=local,
            contribution=got,
            before=before,
            after=after,
            earlier=self.last.get(parent),
        )
        self.gradients[parent] = after

    def result(self, loss: Value) -> Steps:
        shapes = tuple(node.shape for node in self.order)
        drawing = draw(loss, show=[part for part in SHOW if part != "gradient"])
        return Steps(tuple(self.steps), tuple(self.called.values()), shapes, drawing)

    def chain(self, node: Value, k: int, parent: Value, local: Data, got: Data, tex: bool) -> str:
        """The rule with names, then upstream × local, then what they give."""
        assert node.op is not None
        g, text = self.gradients[node], rule(node.op, k)
        text = text if tex else plain(text)
        adds = "=" if parent not in self.gradients else r"\mathrel{+}=" if tex else "+="
        named = fill(text, self.roles(node, tex, numbers=False))
        if local is None:
            numbers = fill(text, self.roles(node, tex, numbers=True))
        else:
            show = typeset if tex else told
            full = np.shape(g) == np.shape(local) != ()
            times = (r"\odot" if tex else "⊙") if full else r"\times" if tex else "×"
            numbers = f"{show(g)} {times} {bracketed(show(local))}"
            if np.size(got) < max(np.size(g), np.size(local)):  # broadcasting is undone
                numbers = rf"\sum {numbers}" if tex else f"Σ {numbers}"
        head = f"{self.slope(parent, tex)} {adds} {named}"
        return f"{head}{_then(got)}{numbers} {gives(got, tex)}"


@dataclass(frozen=True, eq=False)
class Steps(Sequence[Step]):
    """The steps of a walk: print them as a table, save or show them as one page.

    Attributes
    ----------
    nodes, shapes : name and shape of every node, in `topological` order
    drawing : the picture of the graph, without the gradients, which the walk is to find
    fused, difference : the walk over the fused form of the same loss, if one was given, and the
        largest difference between the two gradients of the leaves they share
    """

    records: tuple[Step, ...]
    nodes: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    drawing: Drawing
    fused: Steps | None = None
    difference: float | None = None

    @overload
    def __getitem__(self, k: int) -> Step: ...
    @overload
    def __getitem__(self, k: slice) -> Steps: ...
    def __getitem__(self, k: int | slice) -> Step | Steps:
        found = self.records[k]
        return found if isinstance(found, Step) else replace(self, records=found)

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Step]:  # Sequence's own is slower
        return iter(self.records)

    def __str__(self) -> str:
        rows = [("step", "phase", "node", "to", "rule", "before", "after")]
        for s in self:
            before = "" if s.before is None else told(s.before)
            row = (str(s.number), s.phase, s.node, s.target or "", s.words, before, told(s.after))
            rows.append(row)
        widths = [max(map(_width, column)) for column in zip(*rows)]
        return "\n".join(
            "  ".join(cell + " " * (w - _width(cell)) for cell, w in zip(row, widths)).rstrip()
            for row in rows
        )

    __repr__ = __str__

    def latex(self) -> str:
        """Return the rules as LaTeX, one line a step."""
        lines = " \\\\\n".join(f"& {step.latex}" for step in self)
        return f"\\begin{{aligned}}\n{lines}\n\\end{{aligned}}"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the page, one HTML file that loads nothing; an existing one is replaced at once."""
        replace_file(path, self._page().encode())

    def _page(self) -> str:
        from .page import page  # only where a page is asked for

        return page(self)

    def _repr_html_(self) -> str:
        from html import escape

        style = "width: 100%; height: 48rem; border: 0"
        # Jupyter takes the frame out of a notebook that it does not trust, and leaves the sentence.
        return (
            f'<iframe title="Steps" style="{style}" srcdoc="{escape(self._page())}">{UNTRUSTED}'
            f"</iframe><details><summary>The steps as text</summary><pre>{escape(str(self))}</pre>"
            "</details>"
        )


def _width(text: str) -> int:
    """How many columns of a terminal a text takes: Korean letters two, accents none."""
    from unicodedata import combining, east_asian_width

    wide = sum(east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(map(bool, map(combining, text)))


def step_through(loss: Value, gradient: Any = None, *, fused: Value | None = None) -> Steps:
    """Walk through a graph: each node's value, then each gradient, edge by edge.

    The walk computes everything itself: no ``.grad`` is read or changed.

    Parameters
    ----------
    loss : the node to start from
    gradient : float or array of its shape; a node of more than one entry needs it
        The upstream gradient to start from; 1 by default.
    fused : the same loss as one `LogSoftmaxNLL` node or otherwise, of the same leaves
        Its walk is shown beside this one.

    Returns
    -------
    `Steps`, a sequence of `Step`: ``print`` it, index and slice it, ``save("steps.html")`` it. In
    a notebook it is that page.

    Raises
    ------
    TypeError
        If ``loss`` or ``fused`` is no `Value`.
    ValueError
        If a node with more than one entry gets no ``gradient``, or one of another shape; if
        ``fused`` has no leaf of ``loss``.
    StaleGraphError
        If the data of a leaf was assigned after it was used.

    Examples
    --------
    >>> x = Value(3.0, name="x")
    >>> print(step_through(x * x))
    step  phase     node      to        rule                                   before  after
    1     forward   x                   x = 3                                          3
    2     forward   multiply            multiply = x · x = 3 · 3 = 9                   9
    3     backward  multiply  multiply  ∂L/∂multiply = 1                               1
    4     backward  multiply  x         ∂L/∂x = ∂L/∂multiply · x = 1 × 3 = 3           3
    5     backward  multiply  x         ∂L/∂x += ∂L/∂multiply · x = 1 × 3 = 3  3       6
    """
    for what, value in (("loss", loss), ("fused", fused)):
        if not isinstance(value, Value) and (what == "loss" or value is not None):
            raise TypeError(
                f"step_through: got {type(value).__name__} for {what}, wanted a Value, the result "
                "of computing with Values"
            )
    walk = _Walk(loss, gradient)
    if fused is None:
        return walk.result(loss)
    other = _Walk(fused, gradient)
    shared = [v for v in walk.order if v.op is None and v in other.gradients]
    if not shared:
        raise ValueError(
            "step_through: fused shares no leaf with the loss, so there is no gradient to "
            "compare; compute both from the same Values"
        )
    with np.errstate(all="ignore"):
        off = [np.max(abs(walk.gradients[v] - other.gradients[v]), initial=0.0) for v in shared]
    return replace(walk.result(loss), fused=other.result(fused), difference=float(np.max(off)))
