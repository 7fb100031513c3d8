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
from ..programs.fusion import fuse
from .births import Birth, ordered
from .forms import FORMS, matched, written
from .habits import FUSED, moved, sigmoid_of
from .wording import Names, spelled

New = dict[Value, Any]  # the nodes that are computed again
Change = dict[Value, Callable[[New], Any]]  # what computes some of them, from those before
Argument = tuple[Value, int]  # of a node, one of its arguments
SMALLER = (1.0, 0.1, 1e-3, -1e-3)  # times the leaves: where an exponential is finite
LITTLE, NEAR = 1e-12, 1e-7  # beside 0, and beside 1
LOW, HUGE = -1e30, 1e20  # in place of -inf; of a loss that it is no part of
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

    def __init__(self, nodes: Sequence[Value], names: Names, birth: Birth) -> None:
        self.nodes, self.names, self.birth, self.root = nodes, names, birth, nodes[-1]
        self.given = {n for n in nodes if n.op is None or _is_stale(n)}  # they hold their data
        self.live = {n: None for n in nodes if n not in self.given}  # they are computed

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
                held = node in self.given
                new[node] = Value(detach(node) * times) if held else _renewed(node, new)
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
        root, whole = self.root, [n for n in self.live if n.op is ops.EXP]
        below = {x for node in whole for x in ordered(node)}
        targets: Change = {n: partial(_data, n) for n in self.given if n not in below}
        for fixed in ({}, targets):
            loss = self.again(fixed)[root]
            if not isinstance(loss, Value):
                return
            stable = fuse(loss, allow_unnormalized=True)
            softmax = any(n.op is not None and n.op.name == FUSED for n in ordered(stable))
            if softmax or any(sigmoid_of(n) is not None for n in self.live):
                z = moved(self.birth.node if self.birth.node.op is ops.EXP else whole[0].parents[0])
                z = self.names.own(z) or "z" if isinstance(z, Value) else "z"
                name = "cross_entropy" if softmax else "binary_cross_entropy"
                text = "fuse(loss), or {name}({z}, ...) of the logits, in place of the exponentials"
                yield Try(_(text, name=name, z=z), {**fixed, root: partial(_fused, root)})

    def forms(self) -> Iterator[Try]:
        """What is known by a form of its own in that."""
        for old, new in FORMS:
            bound = {node: known for node in self.live if (known := matched(old, node))}
            if bound:
                name = self.names(next(iter(bound.values()))["x"])
                name = name if name.replace(".", "_").isidentifier() else "x"
                texts = [re.sub(r"\bx\b", name, text) for text in (new, old)]
                change: Change = {n: partial(_anew, new, known) for n, known in bound.items()}
                yield Try(_("{new} for {old}", new=texts[0], old=texts[1]), change, "nodes")

    def shifted(self) -> Iterator[Try]:
        """A maximum subtracted before exponentials."""
        exponentials = [(n, 0) for n in self.live if n.op is ops.EXP and n.shape]
        for axis in (-1, 0, None) if exponentials else ():
            text = "a maximum subtracted first, np.exp(x - np.max(x, axis={axis}, keepdims=True))"
            less = partial(_less_maximum, axis)
            yield self.replaced(_(text, axis=axis), exponentials, "", less)._replace(form="loss")

    # -------------------------------------------------------------- arguments kept from an edge
    def replaced(
        self, text: str, at: Sequence[Argument], how: str, by: Callable[[Any], Any]
    ) -> Try:
        """Something else in place of arguments."""
        texts, change = [], Change()
        for node, k in at:
            own, other = self.names.parts(node), how.format(x=self.names(node.parents[k]))
            other = f"({other})" if node.op.symbol and how.startswith("{x}") else other
            texts.append([_code(node.op, args) for args in ([*own[:k], other, *own[k + 1 :]], own)])
            change[node] = partial(_replaced, node, k, by)
        new, old = (_(" and ").join(dict.fromkeys(several)) for several in zip(*texts))
        return Try(_(text, new=new, old=old), change)

    def guarded(self) -> Iterator[Try]:
        """Other numbers where np.where, or a factor 0, drops the result."""
        text = "{new} for {old}, where c says which entries count: np.where picks values, not "
        text, how = text + "gradients", "np.where(c, {x}, 1.0)"
        if self.birth.target is not None:
            near = [n for n in ordered(self.birth.node)[::-1] if n in self.live]
            near = [n for n in near if not np.all(np.isfinite(n.data))]
            for node in dict.fromkeys((self.birth.node, *near)):
                for mask in masks(self.nodes, node):
                    for at in _variables(node):
                        yield self.replaced(text, [at], how, partial(_only, mask))
        for pole in self.birth.before if self.birth.node.op is ops.MULTIPLY else ():
            for node, k in _variables(pole.node) if pole.cause == "pole" else ():
                mask = detach(node.parents[k]) != 0.0
                yield self.replaced(text, [(node, k)], how, partial(_only, mask))

    def wider(self) -> Iterator[Try]:
        """The same in float64."""
        kind = self.birth.node.dtype
        if kind != np.float64:
            text = _("float64: {kind} ends at {end:.2g}", kind=kind, end=float(np.finfo(kind).max))
            yield Try(text, {n: partial(_wide, n) for n in self.given})

    def edges(self) -> Iterator[Try]:
        """Counts of nothing; masks of -inf; what stands on an edge a little away from it."""
        fixed = [(n, k) for n in self.live for k, x in enumerate(n.parents) if _is_real(x)]
        over = [(n, k) for n, k in fixed if (n.op, k) == (ops.DIVIDE, 1)]
        empty = [(n, k) for n, k in over if np.any(n.parents[k] == 0.0)]
        if empty:
            text = "{new} for {old}: nothing is counted there"
            yield self.replaced(text, empty, "max({x}, 1)", lambda x: np.where(x == 0.0, 1.0, x))
        masked = [(n, k) for n, k in fixed if n.op in MASKS and np.any(n.parents[k] == -np.inf)]
        if masked:
            text = "-1e30 for -inf in the mask: of a row that is masked whole nothing is left"
            by = partial(np.maximum, LOW)
            yield self.replaced(text, masked, "", by)._replace(form="mask")
        text, on = "{new} for {old}, which moves numbers by little", list[Argument]()
        for node in dict.fromkeys([*ordered(self.birth.node)[::-1], *reversed(self.live)]):
            for k, (low, high) in enumerate((node in self.live and node.op.domain) or ()):
                if (
                    np.isfinite(low)
                    and isinstance(node.parents[k], Value)
                    and _is_singular(node, k)
                ):
                    if np.isfinite(high):
                        low, high = low + NEAR, high - NEAR
                        how = f"np.clip({{x}}, {low}, {high})"
                        yield self.replaced(text, [(node, k)], how, partial(_clipped, low, high))
                    else:
                        on.append((node, k))
                        yield self.replaced(text, on[-1:], f"{{x}} + {LITTLE:g}", _more)
        yield self.replaced(text, on[:2], f"{{x}} + {LITTLE:g}", _more)


def _works(loss: Any) -> bool:
    """Whether a loss and all its gradients are finite."""
    if not isinstance(loss, Value) or not np.all(np.isfinite(loss.data)):
        return False
    leaves = [node for node in ordered(loss) if node.op is None]
    found = gradients(loss, np.ones_like(loss.data) if loss.shape else 1.0, leaves)
    return all(bool(np.all(np.isfinite(detach(g)))) for g in found)


# ------------------------------------------------------------------ what computes a node anew
def _renewed(node: Value, new: New) -> Any:
    given = [new[x] if isinstance(x, Value) else x for x in node.parents]
    if not any(isinstance(x, Value) for x in given):  # of targets that are constants now
        return node.op.fn(*given, **node.options)
    return apply(node.op, tuple(given), node.options)


def _replaced(node: Value, k: int, by: Callable[[Any], Any], new: New) -> Any:
    args = [new[x] if isinstance(x, Value) else x for x in node.parents]
    return apply(node.op, (*args[:k], by(args[k]), *args[k + 1 :]), node.options)


def _data(node: Value, new: New) -> Any:
    return detach(node)


def _wide(node: Value, new: New) -> Value:
    return Value(np.asarray(detach(node), float))


def _fused(root: Value, new: New) -> Any:
    return fuse(_renewed(root, new), allow_unnormalized=True)


def _anew(text: str, known: dict[str, Any], new: New) -> Any:
    return written(text, new[known["x"]], known["options"])


def _less_maximum(axis: Any, x: Any) -> Any:
    return x - np.max(detach(x), axis=axis, keepdims=True)


def _only(mask: Any, x: Any) -> Any:
    return np.where(mask, x, 1.0)


def _clipped(low: float, high: float, x: Any) -> Any:
    return np.clip(x, low, high)


def _more(x: Any) -> Any:
    return x + LITTLE


# ------------------------------------------------------------------ what nodes are
def _is_stale(node: Value) -> bool:
    """Whether it was computed from what has been assigned since."""
    return any(isinstance(x, Value) and x.number > node.number for x in node.parents)


def _is_singular(node: Value, k: int) -> bool:
    """Whether a node, or its slope, is not finite."""
    slope = share(node, k, np.ones(node.shape, node.dtype) if node.shape else 1.0)
    return not np.all(np.isfinite(node.data)) or not np.all(np.isfinite(slope))


def _is_real(x: Any) -> bool:
    """Whether an argument is a constant of real numbers."""
    return not isinstance(x, Value) and getattr(x, "dtype", np.dtype(type(x))).kind == "f"


def _variables(node: Value) -> list[Argument]:
    return [(node, k) for k, x in enumerate(node.parents) if isinstance(x, Value)][::-1]


def _code(op: Any, args: list[str]) -> str:
    """An operation as code: NumPy's function by its name there."""
    numpys = not op.symbol and getattr(np, op.name, None) is op.function
    return ("np." if numpys else "") + spelled(op, args)


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
