"""What makes a loss finite, tried before it is told: the graph is computed again with a change.

A change of form keeps every number that is finite without it; that is tried too, with smaller
leaves. Only where none helps are there changes that move numbers a little, and say so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from ..engine import ops
from ..engine.backward import gradients
from ..engine.operation import TABLE
from ..engine.text import _
from ..engine.value import Value, apply, detach
from ..losses.activations import log_softmax, logsumexp
from ..programs.fusion import fuse
from .births import Birth, ordered, spelled
from .habits import FUSED, moved, sigmoid_of, softmax_of

Change = dict[Value, Callable[..., Any]]  # of nodes, what computes them of their new arguments
Try = tuple[str, Change, bool]  # what to write; the change; whether it is one of form
SMALLER = (1.0, 0.1, 1e-3)  # times the leaves: where an exponential is finite
LITTLE = 1e-12
MANY = 20_000  # nodes of a graph that is not computed again
SQRT, LOG1P = TABLE[np.sqrt], TABLE[np.log1p]


class Cure(NamedTuple):
    """A change that helps: what to write, the loss with it, and whether it is one of form."""

    text: str
    loss: float
    exact: bool = True


def cure(nodes: Sequence[Value], called: dict[Value, str], birth: Birth) -> Cure | None:
    """The first change after which the loss and all its gradients are finite."""
    if len(nodes) > MANY:
        return None
    with np.errstate(all="ignore"):
        for make in (_fused, _written_anew, _guarded, _wider, _moved):
            with suppress(Exception):  # what cannot be computed is no cure
                for text, change, exact in make(nodes, called, birth):
                    loss = again(nodes, change)
                    if _works(loss) and (not exact or _keeps(nodes, change)):
                        return Cure(text, float(np.sum(loss.data)), exact)
    return None


def again(nodes: Sequence[Value], change: Change, times: float = 1.0) -> Any:
    """The last of the nodes computed anew with a change, from leaves of its own."""
    new: dict[Value, Any] = {}
    for node in nodes:
        given = [new[x] if isinstance(x, Value) else x for x in node.parents]
        if node in change:
            new[node] = change[node](*given)
        elif node.op is None:
            new[node] = Value(detach(node) * times)
        else:
            new[node] = apply(node.op, tuple(given), node.options)
    return new[nodes[-1]]


def _works(loss: Any) -> bool:
    """Whether a loss and all its gradients are finite."""
    if not isinstance(loss, Value) or not np.all(np.isfinite(loss.data)):
        return False
    leaves = [node for node in ordered(loss) if node.op is None]
    found = gradients(loss, np.ones_like(loss.data) if loss.shape else 1.0, leaves)
    return all(bool(np.all(np.isfinite(detach(g)))) for g in found)


def _keeps(nodes: Sequence[Value], change: Change) -> bool:
    """Whether a change keeps what is finite without it, as far as smaller leaves tell."""
    pairs = [(again(nodes, {}, k).data, again(nodes, change, k).data) for k in SMALLER]
    finite = [(old, new) for old, new in pairs if np.all(np.isfinite(old))]
    near = 1e-6 if nodes[-1].dtype == np.float64 else 1e-3
    return bool(finite) and all(np.allclose(new, old, near, 1e-9) for old, new in finite)


# ------------------------------------------------------------------ changes of form
def _fused(nodes: Sequence[Value], called: dict[Value, str], birth: Birth) -> Iterator[Try]:
    """The package's own loss in place of the textbook's; targets may have to be constants."""
    root, whole = nodes[-1], [n for n in nodes if n.op is ops.EXP]
    below = {x for node in whole for x in ordered(node)}
    targets: Change = {n: _data(n) for n in nodes if n.op is None and n not in below}
    for fixed in ({}, targets):
        stable = fuse(again(nodes, fixed), allow_unnormalized=True)
        softmax = any(n.op is not None and n.op.name == FUSED for n in ordered(stable))
        if softmax or any(n.op is not None and sigmoid_of(n) is not None for n in nodes):
            name = "cross_entropy" if softmax else "binary_cross_entropy"
            z = moved(birth.node if birth.node.op is ops.EXP else whole[0].x)
            text = "fuse(loss), or {name}({z}, ...) of the logits, in place of the exponentials"
            yield _(text, name=name, z=called.get(z, "z")), {**fixed, root: _fuse(root)}, False


def _data(node: Value) -> Callable[..., Any]:
    return lambda: detach(node)


def _fuse(root: Value) -> Callable[..., Any]:
    return lambda *args: fuse(apply(root.op, args, root.options), allow_unnormalized=True)


def _plus_one(node: Value) -> Any:
    """X of 1 + x."""
    for one, rest in ((node.x, node.y), (node.y, node.x)) if node.op is ops.ADD else ():
        if isinstance(rest, Value) and not isinstance(one, Value) and np.all(one == 1.0):
            return rest
    return None


def _chain(x: Any, *operations: Any) -> bool:
    """Whether a node is the first operation of the second, and so on."""
    for op in operations:
        if not isinstance(x, Value):
            return False
        inner = _plus_one(x) if op is _plus_one else x.x if x.op is op else None
        if inner is None:
            return False
        x = inner
    return True


def _is_square(x: Any) -> bool:
    power = _chain(x, ops.POWER) and not isinstance(x.y, Value) and bool(np.all(x.y == 2.0))
    return power or (_chain(x, ops.MULTIPLY) and x.x is x.y)


def _log_softmax(p: Any) -> Any:
    total = moved(p.y)
    return log_softmax(p.x.x, axis=total.options.get("axis"))


FORMS: tuple[tuple[str, Callable[[Value], bool], Callable[..., Any]], ...] = (
    (
        _("logsumexp(x) for np.log(np.exp(x).sum())"),
        lambda node: _chain(node, ops.LOG, ops.SUM, ops.EXP),
        lambda total: logsumexp(total.x.x, **total.options),
    ),
    (
        _("log_softmax(z) for the log of a softmax"),
        lambda node: _chain(node, ops.LOG, ops.DIVIDE) and softmax_of(node.x) is not None,
        _log_softmax,
    ),
    (
        _("np.logaddexp(0.0, x) for np.log(1 + np.exp(x))"),
        lambda node: _chain(node, ops.LOG, _plus_one, ops.EXP),
        lambda total: np.logaddexp(0.0, _plus_one(total).x),
    ),
    (
        _("np.logaddexp(0.0, x) for np.log1p(np.exp(x))"),
        lambda node: _chain(node, LOG1P, ops.EXP),
        lambda e: np.logaddexp(0.0, e.x),
    ),
    (
        _("sigmoid(x) for 1 / (1 + np.exp(-x))"),
        lambda node: node.op is ops.DIVIDE and _chain(node.y, _plus_one, ops.EXP),
        lambda above, total: (
            _plus_one(total).x if isinstance(above, Value) else -_plus_one(total).x
        ).sigmoid(),
    ),
    (
        _("np.abs(x) for np.sqrt(x**2)"),
        lambda node: node.op is SQRT and _is_square(node.x),
        lambda square: np.abs(square.x),
    ),
)


def _written_anew(nodes: Sequence[Value], called: dict[Value, str], birth: Birth) -> Iterator[Try]:
    """What is known by a form of its own in that; a maximum subtracted."""
    for text, matches, how in FORMS:
        change = {node: how for node in nodes if node.op is not None and matches(node)}
        if change:
            yield text, change, True
    exponentials = [node for node in nodes if node.op is ops.EXP and node.shape]
    for axis in (-1, 0, None) if exponentials else ():
        text = "a maximum subtracted first, np.exp(x - np.max(x, axis={axis}, keepdims=True))"
        yield _(text, axis=axis), dict.fromkeys(exponentials, _shifted(axis)), True


def _shifted(axis: Any) -> Callable[..., Any]:
    return lambda x: np.exp(x - np.max(detach(x), axis=axis, keepdims=True))


# ------------------------------------------------------------------ what is kept from an edge
def _guarded(nodes: Sequence[Value], called: dict[Value, str], birth: Birth) -> Iterator[Try]:
    """Other numbers where np.where, or a factor 0, drops the result."""
    if birth.target is not None:
        near = [n for n in ordered(birth.node)[::-1] if n.op and not np.all(np.isfinite(n.data))]
        for node in dict.fromkeys((birth.node, *near)):
            for mask in masks(nodes, node):
                yield from (_guard(called, node, k, mask) for k in _variables(node))
    for pole in birth.before:
        if birth.node.op is ops.MULTIPLY and pole.cause == "pole":
            for k in _variables(pole.node):
                yield _guard(called, pole.node, k, detach(pole.node.parents[k]) != 0.0)


def _variables(node: Value) -> list[int]:
    return [k for k, x in enumerate(node.parents) if isinstance(x, Value)][::-1]


def _guard(called: dict[Value, str], node: Value, k: int, mask: Any) -> Try:
    name = called.get(node.parents[k], "x")
    texts = [called.get(x, "...") if isinstance(x, Value) else "..." for x in node.parents]
    new = spelled(node.op, [*texts[:k], f"np.where(c, {name}, 1.0)", *texts[k + 1 :]])
    text = "{new} for {old}, where c says which entries count: np.where picks values, not gradients"

    def guarded(*args: Any) -> Any:
        safe = np.where(mask, args[k], 1.0)
        return apply(node.op, (*args[:k], safe, *args[k + 1 :]), node.options)

    return _(text, new=new, old=spelled(node.op, texts)), {node: guarded}, False


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


def _wider(nodes: Sequence[Value], called: dict[Value, str], birth: Birth) -> Iterator[Try]:
    """The same in float64."""
    if birth.node.dtype == np.float32:
        wide: Change = {n: _wide(n) for n in nodes if n.op is None}
        yield _("float64: float32 ends at 3.4e38, and its exp at 88.7"), wide, False


def _wide(node: Value) -> Callable[..., Value]:
    return lambda: Value(np.asarray(detach(node), float))


def _moved(nodes: Sequence[Value], called: dict[Value, str], birth: Birth) -> Iterator[Try]:
    """The argument of what has an edge in its domain a little away from it."""
    for node in ordered(birth.node)[::-1]:
        domain = (node.op.domain or ()) if node.op is not None else ()
        for k, (low, _high) in enumerate(domain):
            if np.isfinite(low) and len(domain) == len(node.parents):
                yield _away(called, node, k)


def _away(called: dict[Value, str], node: Value, k: int) -> Try:
    texts = [called.get(x, "...") if isinstance(x, Value) else "..." for x in node.parents]
    new = spelled(node.op, [*texts[:k], f"({texts[k]} + {LITTLE:g})", *texts[k + 1 :]])
    text = "{new} for {old}, which moves numbers by little"

    def away(*args: Any) -> Any:
        return apply(node.op, (*args[:k], args[k] + LITTLE, *args[k + 1 :]), node.options)

    return _(text, new=new, old=spelled(node.op, texts)), {node: away}, False
