"""What happens in the two passes over a graph, step by step: the numbers, and how rules read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self, overload

import numpy as np

from ..engine.backward import topological
from ..engine.data import as_upstream, unbroadcast
from ..engine.names import names
from ..engine.value import Value
from .flow import Flow, flow
from .formulas import LATEX, SLOPE, TEXT, Notation, fill, inline
from .picture import Drawing

Data = Any  # a float, or an array that cannot be written to


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
    before, after : what the step changes: forward the value, backward the target's gradient
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
class Walk(Sequence[Step]):
    """The steps over one graph, with its picture; and over the fused form of the same loss."""

    records: tuple[Step, ...]
    nodes: tuple[str, ...]
    drawing: Drawing
    fused: Self | None = None
    difference: float | None = None

    @overload
    def __getitem__(self, k: int) -> Step: ...
    @overload
    def __getitem__(self, k: slice) -> Self: ...
    def __getitem__(self, k: int | slice) -> Step | Self:
        part = self.records[k]
        return part if isinstance(part, Step) else replace(self, records=part)

    def __len__(self) -> int:
        return len(self.records)


def frozen(x: Any) -> Data:
    """Return a copy that later changes of the graph do not reach."""
    if x is None or x.__class__ is float:
        return x
    x = np.array(x)
    x.flags.writeable = False
    return x


class Walker:
    """Goes forward and back through one graph, and writes down every step."""

    def __init__(self, loss: Value, gradient: Any) -> None:
        self.order = topological(loss)
        self.place: dict[Value | None, int] = {node: i for i, node in enumerate(self.order)}
        called = names(self.order).items()
        self.called: dict[Value | None, str] = {node: inline(name) for node, name in called}
        unnamed = not loss.name and "L" not in self.called.values()
        self.loss = "L" if unnamed else self.called[loss]
        self.last: dict[Value | None, Step] = {}  # the newest step back to each node
        self.arrived: dict[Value | None, list[Data]] = defaultdict(list)
        self.steps: list[Step] = []
        seed = frozen(as_upstream(gradient, loss.data, self.called[loss]))
        with np.errstate(all="ignore"):  # inf and nan are what there is to see
            for node in self.order:
                self.step(node, frozen(node.data))
            self.step(loss, seed, loss, sent=Flow(seed, None, seed))
            for node in reversed(self.order):
                for k, parent in enumerate(node.parents):
                    if isinstance(parent, Value):
                        self.backward(node, k, parent)

    def backward(self, node: Value, k: int, parent: Value) -> None:
        """Take the step from a node to one of its arguments: upstream times local derivative."""
        earlier, sent = self.last.get(parent), flow(node, k, self.last[node].after)
        sent = sent._replace(local=frozen(sent.local), share=frozen(sent.share))
        total = sent.share
        if earlier is not None and node.op is not None:
            total = frozen(unbroadcast(earlier.after + total, parent.data, node.op))
        self.step(node, total, parent, k, sent)

    def step(
        self, node: Value, after: Data, target: Any = None, k: Any = None, sent: Flow | None = None
    ) -> None:
        """Write down a step: to a node's value; or back to a target, to which a share is sent."""
        earlier, arrived = self.last.get(target), self.arrived[target]
        if sent is not None:
            arrived.append(sent.share)
        step = Step(
            number=len(self.steps) + 1,
            phase="forward" if sent is None else "backward",
            node=self.called[node],
            index=self.place[node],
            op=node.op.name if node.op else "",
            target=self.called.get(target),
            target_index=self.place.get(target),
            argument=k,
            pieces=self.formula(TEXT, node, after, target, k, sent),
            latex_pieces=self.formula(LATEX, node, after, target, k, sent),
            upstream=sent and sent.upstream,
            local=sent and sent.local,
            contribution=sent and sent.share,
            before=earlier and earlier.after,
            after=after,
            nth=len(arrived),
            arrived=arrived,
        )
        self.steps.append(step)
        if sent is not None:
            self.last[target] = step

    def formula(
        self, notation: Notation, node: Value, after: Data, target: Any, k: Any, sent: Flow | None
    ) -> tuple[str, ...]:
        """Write a step: the rule with names, then with numbers, then what they give."""
        left, result = notation.name(self.called[node]), after
        if sent is not None:
            left, result = self.slope(target, notation), sent.share
        if node.op is None or target is node:  # a leaf; the first step back
            return notation.equation([left], [], result)

        def name(x: Any) -> str:  # a constant has none
            return notation.name(self.called[x]) if isinstance(x, Value) else notation.number(x)

        named = notation.rule(node, name, k, self.slope(node, notation))
        written = notation.flow(node, k, sent) if sent else [notation.rule(node, notation.number)]
        sign = notation.write(r"\mathrel{+}=" if target in self.last else "=")
        return notation.equation([left, f"{sign} {named}"], written, result)

    def slope(self, node: Value, notation: Notation) -> str:
        """Write ∂L/∂node."""
        top, bottom = map(notation.name, (self.loss, self.called[node]))
        return fill(notation.write(SLOPE), {"x": top, "y": bottom})
