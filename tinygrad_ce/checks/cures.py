"""What makes a loss finite, tried before it is told: the graph is computed again with a change.

A change of form keeps every number that is finite without it; that is tried too, with smaller
leaves. Only where none helps are there changes that move numbers a little, and say so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ..engine import ops
from ..engine.backward import gradients, share
from ..engine.text import _
from ..engine.value import Value, apply, detach
from ..programs.expressions import is_bare
from ..programs.fusion import fuse
from .births import Birth, changed_since, is_finite, is_real, ones_like, ordered
from .forms import FORMS, matched, spelled, written
from .habits import is_fused, moved, sigmoid_of
from .wording import Names, template

New = dict[Value, Any]  # the nodes that are computed again
Change = dict[Value, Callable[[New], Any]]  # what computes some of them, from those before
Argument = tuple[Value, int]  # of a node, one of its arguments
SMALLER = (1.0, 0.1, 1e-3, -1e-3)  # times the leaves: where an exponential is finite
NEAR, HUGE = 1e-7, 1e20  # beside the ends of a domain; of a loss that a mask's -1e30 is no part of
MASKS = (ops.WHERE, ops.ADD, ops.SUBTRACT)
MANY = 20_000  # nodes of a graph that is not computed again


class Cure(NamedTuple):
    """A change that helps: what to write, and the loss with it."""

    text: str
    loss: float


class Try(NamedTuple):
    """What to write, the change, and whether it keeps the loss, or each node, or is of a mask."""

    text: str
    change: Change
    form: str = ""


class Trials:
    """Changes of one graph, tried one by one."""

    def __init__(self, names: Names, birth: Birth) -> None:
        self.nodes, self.names, self.birth, self.root = names.nodes, names, birth, names.nodes[-1]
        self.given = {n for n in self.nodes if n.op is None or changed_since(n)}  # with their data
        self.live = {n: None for n in self.nodes if n not in self.given}

    def cure(self) -> Cure | None:
        """The first change after which the loss and all its gradients are finite."""
        tries = (self.fused, self.forms, self.shifted, self.guarded, self.wider, self.edges)
        with np.errstate(all="ignore"):
            for make in tries if len(self.nodes) <= MANY else ():
                with suppress(Exception):  # what cannot be computed is no cure
                    for one in make():
                        loss = self.again(one.change)[self.root]
                        if _works(loss) and (not one.form or self.keeps(one)):
                            return Cure(one.text, float(np.sum(loss.data)))
        return None

    def again(self, change: Change, times: float = 1.0) -> New:
        """The nodes computed anew with a change, from leaves of their own."""
        new: New = {}
        for node in self.nodes:
            if node in change:
                new[node] = change[node](new)
            else:
                given = node in self.given
                new[node] = Value(detach(node) * times) if given else _computed(node, (), new)
        return new

    def keeps(self, one: Try) -> bool:
        """Whether a change keeps what is finite without it, as far as smaller leaves tell."""
        if one.form == "mask":  # nothing of it is left
            return bool(np.all(np.abs(self.again(one.change)[self.root].data) < HUGE))
        near = 1e-6 if self.root.dtype == np.float64 else 1e-3
        pairs = [(self.again({}, k), self.again(one.change, k)) for k in SMALLER]
        both = [(np.asarray(x[self.root].data), y[self.root].data) for x, y in pairs]
        both = [(x, y) for x, y in both if np.all(np.isfinite(x))]
        if not both and one.form == "nodes":  # a maximum that was subtracted stays
            near, new = 1e-2, pairs[0][1]
            whole = [(np.asarray(n.data), np.asarray(new[n].data)) for n in one.change]
            both = [(x[np.isfinite(x)], y[np.isfinite(x)]) for x, y in whole]
        close = [np.allclose(y, x, near, 1e-9) for x, y in both if x.size]
        return bool(close) and all(close)

    # -------------------------------------------------------------- changes of form
    def fused(self) -> Iterator[Try]:
        """The package's own loss in place of the textbook's; targets may have to be constants."""
        whole = [n for n in self.live if n.op is ops.EXP]
        below = {x for node in whole for x in ordered(node)}
        targets: Change = {n: partial(_known, detach(n)) for n in self.given if n not in below}
        for fixed in ({}, targets):
            stable = fuse(self.again(fixed)[self.root], allow_unnormalized=True)
            softmax = any(map(is_fused, ordered(stable)))
            if softmax or any(sigmoid_of(n) is not None for n in self.live):
                z = moved(self.birth.node if self.birth.node.op is ops.EXP else whole[0].parents[0])
                z = self.names.own(z) or "z" if isinstance(z, Value) else "z"
                name = "cross_entropy" if softmax else "binary_cross_entropy"
                text = "fuse(loss), or {name}({z}, ...) of the logits, in place of the exponentials"
                yield Try(_(text, name=name, z=z), {self.root: partial(_known, stable)})

    def forms(self) -> Iterator[Try]:
        """What is known by a form of its own in that."""
        for old, new in FORMS:
            bound = {node: known for node in self.live if (known := matched(old, node))}
            if bound:
                name = self.names(next(iter(bound.values()))["x"])
                text = _("{new} for {old}", new=spelled(new, name), old=spelled(old, name))
                change: Change = {n: partial(_rewritten, new, known) for n, known in bound.items()}
                yield Try(text, change, "nodes")

    def shifted(self) -> Iterator[Try]:
        """A maximum subtracted before exponentials."""
        exponentials = [(n, 0) for n in self.live if n.op is ops.EXP and n.shape]
        for axis in (-1, 0, None) if exponentials else ():
            how = f"x - np.max(x, axis={axis}, keepdims=True)"
            text = _("a maximum subtracted first, np.exp({how})", how=how)
            yield self.replaced(text, exponentials, how)._replace(form="loss")

    # -------------------------------------------------------------- arguments kept from an edge
    def replaced(self, text: str, at: Sequence[Argument], how: str, mask: Any = None) -> Try:
        """Code of x in place of arguments x; c in it is a mask."""
        texts, change = [], Change()
        for node, k in at:
            old, form = self.names.parts(node), template(node.op, len(node.parents))
            code = self.names(node.parents[k]).join(re.split(r"\bx\b", how))
            code = code if not node.op.symbol or is_bare(form, k, how) else f"({code})"
            if not node.op.symbol and getattr(np, node.op.name, None) is node.op.function:
                form = f"np.{form}"
            texts.append((form.format(*old[:k], code, *old[k + 1 :]), form.format(*old)))
            change[node] = partial(_computed, node, ((k, how, mask),))
        new, old_text = (_(" and ").join(dict.fromkeys(several)) for several in zip(*texts))
        return Try(_(text, new=new, old=old_text), change)

    def guarded(self) -> Iterator[Try]:
        """Other numbers where np.where, or a factor 0, drops the result."""
        text = "{new} for {old}, where c says which entries count: np.where picks values, not "
        text, how = text + "gradients", "np.where(c, x, 1.0)"
        if self.birth.target is not None:
            near = [n for n in ordered(self.birth.node)[::-1] if n in self.live]
            near = [n for n in near if not is_finite(n.data)]
            for node in dict.fromkeys((self.birth.node, *near)):
                for mask in masks(self.nodes, node):
                    for at in _variables(node):
                        yield self.replaced(text, [at], how, mask)
        for pole in self.birth.before if self.birth.node.op is ops.MULTIPLY else ():
            for node, k in _variables(pole.node) if pole.cause == "pole" else ():
                yield self.replaced(text, [(node, k)], how, detach(node.parents[k]) != 0.0)

    def wider(self) -> Iterator[Try]:
        """The same in float64."""
        kind = self.birth.node.dtype
        if kind != np.float64:
            text = _("float64: {kind} ends at {end:.2g}", kind=kind, end=float(np.finfo(kind).max))
            leaves = {n: Value(np.asarray(detach(n), float)) for n in self.given}
            yield Try(text, {n: partial(_known, x) for n, x in leaves.items()})

    def edges(self) -> Iterator[Try]:
        """Counts of nothing; masks of -inf; what stands on an edge a little away from it."""
        fixed = [(n, k, x) for n in self.live for k, x in enumerate(n.parents)]
        fixed = [each for each in fixed if not isinstance(each[2], Value) and is_real(each[2])]
        counts = [(n, k) for n, k, x in fixed if n.op is ops.DIVIDE and k == 1 and np.any(x == 0.0)]
        if counts:
            text = "{new} for {old}: nothing is counted there"
            yield self.replaced(text, counts, "max(x, 1)")
        masked = [(n, k) for n, k, x in fixed if n.op in MASKS and np.any(x == -np.inf)]
        if masked:
            text = "-1e30 for -inf in the mask: of a row that is masked whole nothing is left"
            yield self.replaced(text, masked, "max(x, -1e30)")._replace(form="mask")
        text, on = "{new} for {old}, which moves numbers by little", list[Argument]()
        for node in dict.fromkeys([*ordered(self.birth.node)[::-1], *reversed(self.live)]):
            for k, (low, high) in enumerate((node in self.live and node.op.domain) or ()):
                if np.isfinite(low) and isinstance(node.parents[k], Value) and _is_on(node, k):
                    clip = f"np.clip(x, {low + NEAR}, {high - NEAR})"
                    on += [(node, k)] if high == np.inf else []
                    yield self.replaced(text, [(node, k)], "x + 1e-12" if high == np.inf else clip)
        yield self.replaced(text, on[:2], "x + 1e-12")


def _works(loss: Any) -> bool:
    """Whether a loss and all its gradients are finite."""
    if not isinstance(loss, Value) or not is_finite(loss.data):
        return False
    found = gradients(loss, ones_like(loss), [n for n in ordered(loss) if n.op is None])
    return all(is_finite(detach(g)) for g in found)


# ------------------------------------------------------------------ what computes a node anew
def _computed(node: Value, how: Sequence[tuple[int, str, Any]], new: New) -> Any:
    """A node of the new arguments, with code in place of some."""
    args = [new[x] if isinstance(x, Value) else x for x in node.parents]
    for k, code, mask in how:
        args[k] = written(code, args[k], c=mask)
    if not any(isinstance(x, Value) for x in args):  # of targets that are constants now
        return node.op.fn(*args, **node.options)
    return apply(node.op, args, node.options)


def _known(x: Any, new: New) -> Any:
    return x


def _rewritten(text: str, known: dict[str, Any], new: New) -> Any:
    return written(text, new[known["x"]], known["options"])


# ------------------------------------------------------------------ what nodes are
def _is_on(node: Value, k: int) -> bool:
    """Whether an argument is where the node, or its slope, is not finite."""
    slope = share(node, k, ones_like(node))
    return not is_finite(node.data) or not is_finite(slope)


def _variables(node: Value) -> list[Argument]:
    return [(node, k) for k, x in enumerate(node.parents) if isinstance(x, Value)][::-1]


def masks(nodes: Sequence[Value], node: Value) -> Iterator[Any]:
    """Where each np.where that rests on a node takes it."""
    above = {node}
    for user in nodes:
        for k, parent in enumerate(user.parents):
            if isinstance(parent, Value) and parent in above:
                above.add(user)
                if user.op is ops.WHERE:
                    c = np.asarray(detach(user.parents[0]), bool)
                    yield c if k == 1 else ~c
