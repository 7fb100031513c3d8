"""A graph as numbered steps, forward and then backward: as text, in a notebook, as one page."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from .arguments import fit, upstream
from .backward import topological
from .names import names
from .ops import IDENTITY
from .primitive import TABLE
from .reading import fill, plain, rule, symbol, told, typeset
from .value import Value, detach

if TYPE_CHECKING:
    from tinygrad_ce.draw import Drawing

Data = Any  # a float, or an array that cannot be written to
ENTRYWISE = (np.where, np.clip)  # no ufuncs, but as elementwise


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


def _entrywise(node: Value) -> bool:
    """Whether upstream × local is the contribution, entry by entry."""
    ufuncs = (op for f, op in TABLE.items() if isinstance(f, np.ufunc) and f.signature is None)
    return node.size == 1 or node.op in ufuncs or node.op in [TABLE.get(f) for f in ENTRYWISE]


class _Walk:
    """The walk over one graph, and how its steps read."""

    def __init__(self, loss: Value, gradient: Any) -> None:
        self.order = topological(loss)
        self.place = {node: i for i, node in enumerate(self.order)}
        self.called = names(self.order)
        plain_l = loss.name or "L" not in self.called.values()
        self.loss = loss.name or ("L" if plain_l else self.called[loss])
        self.gradients: dict[Value, Data] = {}
        self.last: dict[Value, Step] = {}
        self.steps: list[Step] = []
        with np.errstate(all="ignore"):  # inf and nan are what there is to see
            for node in self.order:
                self.forward(node)
            seed = upstream(gradient, loss.data, loss.name or self.called[loss])
            self.seed(loss, _kept(fit(seed, loss.data, IDENTITY)))
            for node in reversed(self.order):
                for k, parent in enumerate(node.parents):
                    if isinstance(parent, Value):
                        self.backward(node, k, parent)

    def add(self, phase: str, node: Value, words: str, latex: str, **what: Any) -> Step:
        """Record a step."""
        op = node.op.name if node.op else ""
        number, called = len(self.steps) + 1, self.called[node]
        step = Step(number, phase, called, self.place[node], op, words=words, latex=latex, **what)
        self.steps.append(step)
        return step

    def roles(self, node: Value, tex: bool, numbers: bool = False) -> dict[str, str]:
        """What fills the placeholders of a node's rules."""
        show, name = (typeset, symbol) if tex else (told, str)

        def one(x: Any) -> str:
            named = isinstance(x, Value) and not numbers
            return name(self.called[x]) if named else show(detach(x))

        return dict(zip("xyz", map(one, node.parents)), out=one(node), g=self.slope(node, tex))

    def slope(self, node: Value, tex: bool) -> str:
        """∂L/∂node."""
        if tex:
            top = rf"\partial {symbol(self.loss)}"
            return rf"\frac{{{top}}}{{\partial {symbol(self.called[node])}}}"
        return f"∂{self.loss}/∂{self.called[node]}"

    def forward(self, node: Value) -> None:
        """A node's value, from its arguments."""
        after = _kept(node.data)
        read = []
        for tex in (False, True):
            show = typeset if tex else told
            name = symbol(self.called[node]) if tex else self.called[node]
            parts = [name]
            if node.op:
                text = rule(node.op) if tex else plain(rule(node.op))
                parts.append(fill(text, self.roles(node, tex)))
                if all(not np.shape(detach(p)) for p in (node, *node.parents)):
                    parts.append(fill(text, self.roles(node, tex, numbers=True)))
            read.append(" = ".join([*parts, show(after)]))
        self.add("forward", node, *read, after=after)

    def seed(self, loss: Value, g: Data) -> None:
        """The first step back: the loss changes as fast as itself."""
        words, latex = (f"{self.slope(loss, tex)} = {(told, typeset)[tex](g)}" for tex in (0, 1))
        target = {"target": self.called[loss], "target_index": self.place[loss]}
        step = self.add(
            "backward", loss, words, latex, **target, upstream=g, contribution=g, after=g
        )
        self.gradients[loss], self.last[loss] = g, step

    def backward(self, node: Value, k: int, parent: Value) -> None:
        """What a node hands one of its arguments: upstream gradient times local derivative."""
        assert node.op is not None
        g = self.gradients[node]
        got = _kept(fit(_vjp(node, k, g), parent.data, node.op))
        one = 1.0 if isinstance(node.data, float) else np.ones_like(node.data)
        local = _kept(_vjp(node, k, one)) if _entrywise(node) else None
        before = self.gradients.get(parent)
        after = got if before is None else _kept(before + got)
        words, latex = (self.reads(node, k, parent, local, got, tex) for tex in (False, True))
        self.last[parent] = self.add(
            "backward",
            node,
            words,
            latex,
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

    def reads(self, node: Value, k: int, parent: Value, local: Data, got: Data, tex: bool) -> str:
        """The rule with names, then upstream × local, then what they give."""
        assert node.op is not None
        show, text = (typeset if tex else told), rule(node.op, k)
        more = parent in self.gradients
        adds = (r" \mathrel{+}= " if tex else " += ") if more else " = "
        head = self.slope(parent, tex) + adds
        head += fill(text if tex else plain(text), self.roles(node, tex))
        if local is None:
            return f"{head} = {show(got)}"
        cross = r" \times " if tex else " × "
        pair = fill(f"<x>{cross}<y>", {"x": show(self.gradients[node]), "y": show(local)})
        return f"{head} = {pair} = {show(got)}"


@dataclass(frozen=True, eq=False)
class Steps(Sequence[Step]):
    """The steps of a walk: printed, a table; saved or shown in a notebook, one page.

    Attributes
    ----------
    nodes, shapes : name and shape of every node, in `topological` order
    drawing : the picture of the graph
    fused, difference : the walk over the fused form of the same loss, if it was given, and the
        largest difference between the two gradients of a leaf
    """

    records: tuple[Step, ...]
    nodes: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    loss: Value = field(repr=False)
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

    def __iter__(self) -> Iterator[Step]:
        return iter(self.records)

    def __str__(self) -> str:
        rows = [("", "", "node", "rule", "gives")]
        rows += [
            (str(s.number), s.phase, s.node, s.words, told(s.after) if s.phase else "")
            for s in self
        ]
        widths = [max(map(len, column)) for column in zip(*rows)]
        return "\n".join(
            "  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths)).rstrip() for row in rows
        )

    def latex(self) -> str:
        """Return every step's rule, as lines of one ``aligned`` display."""
        lines = [step.latex.replace("=", "&=", 1) for step in self]
        return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"

    @cached_property
    def drawing(self) -> Drawing:
        """The picture of the graph."""
        from tinygrad_ce.draw import draw

        return draw(self.loss)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the page, one self-contained HTML file; an existing file is replaced at once."""
        from tinygrad_ce.page import page

        replace_file(Path(path), page(self).encode())

    def _repr_html_(self) -> str:
        from tinygrad_ce.page import page

        style = "width: 100%; height: 48rem; border: 0"
        return f'<iframe title="Steps" style="{style}" srcdoc="{escape(page(self))}"></iframe>'


def replace_file(path: Path, content: bytes) -> None:
    """Write a file beside the old one and put it in its place: a reader sees one or the other."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(content)
    try:
        os.chmod(file.name, 0o644)
        os.replace(file.name, path)
    except BaseException:
        os.unlink(file.name)
        raise


def step_through(loss: Value, gradient: Any = None, *, fused: Value | None = None) -> Steps:
    """Walk through a graph: each node's value, then each gradient, edge by edge.

    Examples
    --------
    >>> x = Value(3.0, name="x")
    >>> steps = step_through(x * x)
    >>> print(steps[-1].words)
    ∂L/∂x += ∂L/∂multiply · x = 1 × 3 = 3
    """
    if not isinstance(loss, Value):
        raise TypeError(f"step_through wants the Value to start from, got {type(loss).__name__}")
    walk = _Walk(loss, gradient)
    shapes = tuple(node.shape for node in walk.order)
    return Steps(tuple(walk.steps), tuple(walk.called.values()), shapes, loss)
