"""What makes a loss finite, tried before it is told: the graph is computed again with a change.

A change of form keeps every number that is finite without it; that is tried too, with smaller
leaves. Only where none helps are there changes that move numbers a little, and say so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial, reduce
from typing import Any, NamedTuple

import numpy as np

from ..engine import ops
from ..engine.backward import gradients, share
from ..engine.operation import REAL
from ..engine.text import _
from ..engine.value import Value, apply, detach
from ..losses.losses import LogSoftmaxNLL
from ..programs.fusion import fuse
from ..programs.lines import elementwise
from .births import Birth, is_finite, ones_like, ordered, values
from .forms import FORMS, found, spelled, written
from .habits import moved, sigmoid_of
from .wording import Names, filled

New = dict[Value, Any]  # the nodes that are computed again
Change = dict[Value, Callable[[New], Any]]  # what computes some of them, from those before
Try = tuple[str, Change]  # what to write, and the change
Argument = tuple[Value, int]  # of a node, one of its arguments
Leaf = Callable[[Any], Any]
SMALLER: Sequence[Leaf] = (  # leaves where exponentials are finite, and products
    lambda x: x,
    lambda x: 0.1 * x,
    lambda x: 1e-3 * x,
    lambda x: -1e-3 * x,
    lambda x: np.sign(x) * abs(x) ** 1e-4,
)
HUGE = 1e20  # of a loss that a mask's -1e30 is no part of
NEAR = 3_000  # nodes before the first birth that are computed again; older ones keep their data
WORK = 100_000  # nodes that are computed again in all trials of one graph


class Cure(NamedTuple):
    """A change that helps: what to write, and the loss with it."""

    text: str
    loss: float


class Changes:
    """One graph computed again with changes of it: each with what to write."""

    def __init__(self, names: Names, birth: Birth, unknown: Collection[Value]) -> None:
        self.names, self.birth, self.root = names, birth, names.nodes[-1]
        self.births = [birth]
        for b in self.births:
            self.births += b.before
        start = max(0, min(b.step for b in self.births) - NEAR)
        far, near = names.nodes[:start], names.nodes[start:]
        used = {x for n in near for x in values(n)}
        self.nodes = [*filter(used.__contains__, far), *near]
        above = {n for n in self.nodes if unknown and any(x in unknown for x in values(n))}
        self.inputs = above.union(far, names.by_op.get(None, ()))  # with their data
        self.live = {n: None for n in self.nodes if n not in self.inputs}
        self.copied = dict[Value, Value]()  # of a leaf that was made, the node
        self.work = WORK

    def spend(self, nodes: int) -> None:
        """Stop the trials when they have computed as many nodes as they may."""
        self.work -= nodes
        if self.work < 0:
            raise TimeoutError

    def recompute(self, change: Change, leaf: Leaf = SMALLER[0]) -> New:
        """The nodes computed anew with a change, from leaves of their own."""
        self.spend(len(self.nodes))
        new: New = {}
        for node in self.nodes:
            if node in change:
                new[node] = change[node](new)
            elif node in self.inputs:
                new[node] = Value(leaf(detach(node)))
                self.copied[new[node]] = node
            else:
                new[node] = _computed(node, new)
        return new

    def works(self, loss: Any) -> bool:
        """Whether a loss and all its gradients are finite, those of older nodes too."""
        if not isinstance(loss, Value) or not is_finite(loss.data):
            return False
        leaves = [n for n in ordered(loss) if n.op is None]
        slopes = [*map(detach, gradients(loss, ones_like(loss), leaves))]
        if not all(map(is_finite, slopes)):
            return False
        pairs = [(self.copied[x], g) for x, g in zip(leaves, slopes) if x in self.copied]
        older = [np.sum(node * g) for node, g in pairs if node.op]
        return not older or self.works(sum(older[1:], older[0]))

    def keeps(self, change: Change, nodes: Iterable[Value], near: float) -> bool:
        """Whether a change keeps what is finite without it, as far as smaller leaves tell."""
        close = []
        for leaf in SMALLER:
            old, new = self.recompute({}, leaf), self.recompute(change, leaf)
            for x, y in ((np.asarray(detach(old[n])), np.asarray(detach(new[n]))) for n in nodes):
                known = np.isfinite(x) & (np.isfinite(y) if leaf is not SMALLER[0] else True)
                if np.any(known):  # with leaves below 0 the change may have no value
                    close.append(np.allclose(y[known], x[known], near, 1e-9))
        return bool(close) and all(close)

    def replaced(self, text: str, at: Sequence[Argument], how: str, mask: Any = None) -> Try:
        """Code of x in place of arguments x; c in it is a mask."""
        texts, change = [], Change()
        for node, k in at:
            parts = self.names.parts(node)
            code = self.names(node.parents[k]).join(re.split(r"\bx\b", how)), how
            new, old = (filled(node.op, p)[0] for p in ([*parts[:k], code, *parts[k + 1 :]], parts))
            is_numpys = not node.op.symbol and getattr(np, node.op.name, 0) is node.op.function
            texts.append((f"np.{new}", f"np.{old}") if is_numpys else (new, old))
            change[node] = partial(_computed, node, k=k, how=how, mask=mask)
        new, old_text = (_(" and ").join(dict.fromkeys(several)) for several in zip(*texts))
        return _(text, new=new, old=old_text, how=how), change

    def singular(self, nodes: Iterable[Value]) -> Iterator[tuple[Value, int, Any]]:
        """Finite arguments at which a node, or its slope, is not finite; and where both are."""
        for node in (n for n in nodes if n in self.live and _is_of_finite(n)):
            self.spend(2)
            for k in [k for k, x in enumerate(node.parents) if isinstance(x, Value)][::-1]:
                slope: Any = np.False_
                with suppress(np.linalg.LinAlgError):  # which a rule cannot invert
                    slope = np.isfinite(share(node, k, ones_like(node)))
                slope = slope if slope.shape == node.shape else np.all(slope)
                if not np.all(finite := slope & np.isfinite(node.data)):
                    yield node, k, finite

    def nudged(self, at: Sequence[Argument], how: str, by: float) -> Try:
        """Arguments moved by little; where the loss rests on how little, that is said."""
        text = "{new} for {old}, which moves numbers by little"
        rests = "{new} for {old}, though the loss rests on that number"
        return self.replaced(rests if self.rests(at, how, by) else text, at, how.format(by=by))

    def rests(self, at: Sequence[Argument], how: str, by: float) -> bool:
        """Whether the loss rests on how little its arguments are moved."""
        changes = [self.replaced("", at, how.format(by=size))[1] for size in (by, 10 * by)]
        loss, other = (np.sum(self.recompute(change)[self.root].data) for change in changes)
        return not abs(loss - other) <= 0.01 * max(1.0, abs(loss))


class Trials(Changes):
    """Changes that may make a graph's loss finite, tried one by one."""

    def cure(self) -> Cure | None:
        """The first change after which the loss and all its gradients are finite."""
        tries = [self.fused, self.forms, self.shifted, self.guarded, self.wider, self.constants]
        tries += [] if self.too_small() else [self.edges]
        for make in tries:
            with suppress(Exception):  # what cannot be computed is no cure
                for text, change in make():
                    loss = self.recompute(change)[self.root]
                    if self.works(loss) and is_finite(total := float(np.sum(loss.data))):
                        return Cure(text, total)
        return None

    def too_small(self) -> bool:
        """Whether a 0 is one by underflow alone: the loss would rest on what is added to it."""
        return any(b.cause == "underflow" or (b.cause == "pole" and b.before) for b in self.births)

    def below(self, nodes: Iterable[Value]) -> set[Value]:
        """The nodes, and all that they are computed of."""
        found = {*nodes}
        for node in reversed(self.nodes):
            if node in found:
                found.update(values(node))
        return found

    def fused(self) -> Iterator[Try]:
        """The package's own loss in place of the textbook's; targets may have to be constants."""
        whole = [n for n in self.live if n.op in (ops.EXP, ops.SIGMOID)]
        below = self.below(whole)
        targets: Change = {n: _instead(detach(n)) for n in self.inputs if n not in below}
        blamed = not self.below([self.birth.node]).isdisjoint(whole)  # it rests on an exponential
        for fixed in ({}, targets) if blamed else ():
            stable = fuse(self.recompute(fixed)[self.root], allow_unnormalized=True)
            softmax = any(n.op is LogSoftmaxNLL for n in ordered(stable))
            if softmax or any(sigmoid_of(n) is not None for n in self.live):
                z = moved(self.birth.node if self.birth.node.op is ops.EXP else whole[0].parents[0])
                z = self.names.learners(z) or "z" if isinstance(z, Value) else "z"
                name = "cross_entropy" if softmax else "binary_cross_entropy"
                text = "fuse(loss), or {name}({z}, ...) of the logits, in place of the exponentials"
                yield _(text, name=name, z=z), {self.root: _instead(stable)}

    def forms(self) -> Iterator[Try]:
        """What is known by a form of its own in that."""
        for old, new in FORMS:
            bound = {node: x for node, x in found(old, self.names.by_op) if node in self.live}
            if bound:
                better, worse, where = spelled((new, old), next(iter(bound.values())), self.names)
                text = _("{new} for {old}{where}", new=better, old=worse, where=where)
                change: Change = {n: partial(_rewritten, new, known) for n, known in bound.items()}
                if self.keeps(change, bound, 1e-2):  # where digits cancel, few are kept
                    yield text, change

    def shifted(self) -> Iterator[Try]:
        """A maximum subtracted before exponentials."""
        exponentials = [(n, 0) for n in self.live if n.op is ops.EXP and n.shape]
        for axis in (-1, 0, None) if exponentials else ():
            how = f"x - np.max(x, axis={axis}, keepdims=True)"
            text = "a maximum subtracted first, np.exp({how})"
            text, change = self.replaced(text, exponentials, how)
            if self.keeps(change, [self.root], 1e-6 if self.root.dtype == np.float64 else 1e-3):
                yield text, change
        numbers = [n for n in self.live if n.op is ops.EXP and not n.shape]
        text = _("the largest of the exponents subtracted first, np.exp(x - max(xs))")
        change = {n: partial(_below_largest, n, numbers) for n in numbers}
        if numbers and self.keeps(change, [self.root], 1e-6):
            yield text, change

    def guarded(self) -> Iterator[Try]:
        """Other numbers where np.where, or a factor 0, drops the result: any give the same loss."""
        text = "{new} for {old}, where c says which entries count: np.where picks values, not "
        text += "gradients"
        pole = any(b.cause == "pole" for b in self.birth.before)
        if self.birth.upstream == 0.0 or (pole and self.birth.node.op is ops.MULTIPLY):
            for node, k, finite in self.singular(ordered(self.birth.node)[::-1]):
                hows = [f"np.where(c, x, {number})" for number in (1.0, 2.0)]
                tries = [self.replaced(text, [(node, k)], how, finite) for how in hows]
                losses = [detach(self.recompute(change)[self.root]) for _text, change in tries]
                losses += [detach(self.root)] if is_finite(detach(self.root)) else []
                same = all(np.array_equal(loss, losses[0]) for loss in losses)
                if np.shape(node.parents[k]) == node.shape and same:
                    yield tries[0]

    def wider(self) -> Iterator[Try]:
        """The same in float64."""
        kind = self.birth.node.dtype
        if kind != np.float64:
            text = _("float64: {kind} ends at {end:.2g}", kind=kind, end=float(np.finfo(kind).max))
            leaves = {n: Value(np.asarray(detach(n), float)) for n in self.inputs}
            yield text, {n: _instead(x) for n, x in leaves.items()}

    def constants(self) -> Iterator[Try]:
        """Something for counts of nothing; and for -inf, of which nothing is left in the loss."""
        counts = (ops.DIVIDE,) if self.birth.cause == "indeterminate" else ()
        mask = "-1e30 for -inf in the mask: of a row that is masked whole nothing is left"
        for number, used, how, text in (
            (0.0, counts, "np.maximum(x, 1)", "{new} for {old}: nothing is counted there"),
            (-np.inf, (ops.WHERE, ops.ADD, ops.SUBTRACT), "np.maximum(x, -1e30)", mask),
        ):
            every = ((n, k, x) for n in self.live if n.op in used for k, x in enumerate(n.parents))
            if at := [(n, k) for n, k, x in every if _is_fixed(x) and np.any(x == number)]:
                text, change = self.replaced(text, at, how)
                if np.all(np.abs(self.recompute(change)[self.root].data) < HUGE):
                    yield text, change

    def edges(self) -> Iterator[Try]:
        """What stands on an edge of a domain, a little away from it."""
        on, added = list[Argument](), "x + {by}"
        nodes = dict.fromkeys([*ordered(self.birth.node)[::-1], *reversed(self.live)])
        for node, k, _finite in self.singular(nodes):
            low, high = node.op.domain[k] if node.op.domain else REAL
            shape, at = np.shape(node.parents[k]), [(node, k)]
            if low > -np.inf and high == np.inf:
                on += at
                yield self.nudged(at, added, 1e-12)
            elif low > -np.inf:
                yield self.nudged(at, f"np.clip(x, {low:g} + {{by}}, {high:g} - {{by}})", 1e-7)
            elif len({*shape[-2:]}) < len(shape[-2:]) and not elementwise(node.op.function):
                yield self.nudged(at, "x + {by} * np.eye(len(x))", 1e-12)
        logs = (n for n in self.live if n.op in (ops.LOG, ops.DIVIDE))
        after = [(n, len(n.parents) - 1) for n in logs if not is_finite(detach(n.parents[-1]))]
        several = [on[:2], on[:1] + after[:1]]  # of 0 / 0 a small number makes 0, whose log is -inf
        several += [] if self.rests(on, added, 1e-12) else [on]
        yield from (self.nudged(at, added, 1e-12) for at in several)


def _is_fixed(x: Any) -> bool:
    """Whether an argument is numbers that are no `Value`."""
    return not isinstance(x, Value) and np.asarray(x).dtype.kind in "iuf"


def _is_of_finite(node: Value) -> bool:
    """Whether a node that is not finite, or its slope, is so of arguments that are."""
    result, data = detach(node), [*map(detach, node.parents)]
    if not elementwise(node.op.function):
        return all(map(is_finite, data))
    known = reduce(np.logical_and, map(np.isfinite, data))
    return is_finite(result) or bool(np.any(known & ~np.isfinite(result)))


# ------------------------------------------------------------------ what computes a node anew
def _computed(node: Value, new: New, k: int = 0, how: str = "", mask: Any = None) -> Any:
    """A node of the new arguments, with code in place of one."""
    args = [new[x] if isinstance(x, Value) else x for x in node.parents]
    if how:
        args[k] = written(how, args[k], c=mask)
    if not any(isinstance(x, Value) for x in args):  # of targets that are constants now
        return node.op.fn(*args, **node.options)
    return apply(node.op, args, node.options)


def _below_largest(node: Value, exponentials: Sequence[Value], new: New) -> Any:
    """An exponential of a number, less the largest that there is an exponential of."""
    largest = max(detach(new[n.parents[0]]) for n in exponentials)
    return np.exp(new[node.parents[0]] - largest)


def _rewritten(text: str, known: dict[str, Any], new: New) -> Any:
    """A form of the new nodes."""
    anew = {name: new[x] if isinstance(x, Value) else x for name, x in known.items()}
    return written(text, **anew)


def _instead(x: Any) -> Callable[[New], Any]:
    """What is there whatever else is new."""
    return lambda _new: x
