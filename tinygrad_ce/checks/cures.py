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
                    loss, leaves = again(nodes, change)
                    if _works(loss, leaves) and (not exact or _keeps(nodes, change)):
                        return Cure(text, float(np.sum(loss.data)), exact)
    return None


def again(nodes: Sequence[Value], change: Change, times: float = 1.0) -> tuple[Any, list[Value]]:
    """The last of the nodes computed anew with a change, and its leaves."""
    new: dict[Value, Any] = {}
    for node in nodes:
        if node in change:
            given = [new[x] if isinstance(x, Value) else x for x in node.parents]
            new[node] = change[node](*given)
        elif node.op is None:
            new[node] = Value(detach(node) * times)
        else:
            given = [new[x] if isinstance(x, Value) else x for x in node.parents]
            new[node] = apply(node.op, tuple(given), node.options)
    return new[nodes[-1]], [new[node] for node in nodes if node.op is None]


def _works(loss: Any, leaves: Sequence[Value]) -> bool:
    """Whether a loss and all its gradients are finite."""
    if not isinstance(loss, Value) or not np.all(np.isfinite(loss.data)):
        return False
    found = gradients(loss, np.ones_like(loss.data) if loss.shape else 1.0, leaves)
    return all(g is None or bool(np.all(np.isfinite(detach(g)))) for g in found)


def _keeps(nodes: Sequence[Value], change: Change) -> bool:
    """Whether a change keeps what is finite without it, as far as smaller leaves tell."""
    pairs = [(again(nodes, {}, k)[0].data, again(nodes, change, k)[0].data) for k in SMALLER]
    finite = [(old, new) for old, new in pairs if np.all(np.isfinite(old))]
    near = 1e-6 if nodes[-1].dtype == np.float64 else 1e-3
    return bool(finite) and all(np.allclose(new, old, near, 1e-9) for old, new in finite)


# ------------------------------------------------------------------ changes of form
def _fused(nodes: Sequence[Value], called: dict[Value, str], birth: Birth) -> Iterator[Try]:
    """The package's own loss in place of the textbook's."""
    stable = fuse(nodes[-1], allow_unnormalized=True)
    if stable is nodes[-1]:
        return
    new = [node for node in ordered(stable) if node not in called and node.op is not None]
    inner = next((called[x] for node in new for x in node.parents if x in called), "z")
    softmax = any(node.op.name == "LogSoftmaxNLL" for node in new)
    name = "cross_entropy" if softmax else "binary_cross_entropy"
    text = "fuse(loss), or {name}({z}, ...) of the logits, in place of the exponentials"
    change = {node: _leaf_of(node) for node in nodes if node.op is None}
    yield _(text, name=name, z=inner), {**change, nodes[-1]: lambda *_x: stable}, False


def _leaf_of(node: Value) -> Callable[..., Value]:
    return lambda: node


def _form(node: Value) -> tuple[str, Callable[..., Any]] | None:
    """How a node is written without the number that overflows, or that cancels."""
    x = node.parents[0] if node.parents else None
    inner = x.op if isinstance(x, Value) else None
    if node.op is ops.LOG and inner is ops.SUM and _is(x.x, ops.EXP):
        return _("logsumexp(x) for np.log(np.exp(x).sum())"), lambda s: logsumexp(
            s.x.x, **s.options
        )
    if node.op is ops.LOG and inner is ops.DIVIDE and _is(x.x, ops.EXP) and _is(x.y, ops.SUM):
        axis = x.y.options.get("axis")
        return _("log_softmax(z) for the log of a softmax"), lambda p: log_softmax(p.x.x, axis=axis)
    if node.op is ops.LOG and inner is ops.ADD and _one_and(x) is not None:
        if _is(_one_and(x), ops.EXP):
            return _("np.logaddexp(0.0, x) for np.log(1 + np.exp(x))"), lambda s: np.logaddexp(
                0.0, _one_and(s).x
            )
        return _("np.log1p(x) for np.log(1 + x)"), lambda s: np.log1p(_one_and(s))
    if node.op is LOG1P and inner is ops.EXP:
        return _("np.logaddexp(0.0, x) for np.log1p(np.exp(x))"), lambda e: np.logaddexp(0.0, e.x)
    if node.op is SQRT and isinstance(x, Value) and _is_square(x):
        return _("np.abs(x) for np.sqrt(x**2)"), lambda s: np.abs(s.x)
    return None


def _written_anew(nodes: Sequence[Value], called: dict[Value, str], birth: Birth) -> Iterator[Try]:
    """Logarithms of sums and quotients of exponentials in one step; a maximum subtracted."""
    forms = {node: found for node in nodes if node.op and (found := _form(node))}
    for text in dict.fromkeys(text for text, _how in forms.values()):
        yield text, {node: how for node, (say, how) in forms.items() if say == text}, True
    exponentials = [node for node in nodes if node.op is ops.EXP and node.shape]
    for axis in (-1, 0, None):
        say = (
            "np.exp(x - np.max(x, axis={axis}, keepdims=True)) for np.exp(x): subtract the maximum"
        )
        yield _(say, axis=axis), {node: _shifted(axis) for node in exponentials}, True
    if all(_is_quotient_with(node, ops.EXP) for node in nodes if node.op is ops.DIVIDE):
        logistic = [node for node in nodes if node.op is ops.DIVIDE]
        yield _("sigmoid(x) for 1 / (1 + np.exp(-x))"), {n: _sigmoid for n in logistic}, True


def _shifted(axis: Any) -> Callable[..., Any]:
    return lambda x: np.exp(x - np.max(detach(x), axis=axis, keepdims=True))


def _is_quotient_with(node: Value, op: Any) -> bool:
    """Whether a node is e / (1 + e) or 1 / (1 + e) of an exponential."""
    below = _one_and(node.y) if _is(node.y, ops.ADD) else None
    return _is(below, op)


def _sigmoid(above: Any, below: Any) -> Any:
    e = _one_and(below)
    return e.x.sigmoid() if isinstance(above, Value) else (-e.x).sigmoid()


def _one_and(node: Any) -> Any:
    """X of 1 + x."""
    for one, rest in ((node.x, node.y), (node.y, node.x)):
        if isinstance(rest, Value) and not isinstance(one, Value) and np.all(one == 1.0):
            return rest
    return None


def _is(x: Any, op: Any) -> bool:
    return isinstance(x, Value) and x.op is op


def _is_square(x: Value) -> bool:
    power = _is(x, ops.POWER) and not isinstance(x.y, Value) and bool(np.all(x.y == 2.0))
    return power or (_is(x, ops.MULTIPLY) and x.x is x.y)


# ------------------------------------------------------------------ what is kept from an edge
def _guarded(nodes: Sequence[Value], called: dict[Value, str], birth: Birth) -> Iterator[Try]:
    """Other numbers where np.where, or a factor 0, drops the result."""
    if birth.cause == "rule" and birth.target is not None:
        k = next(i for i, x in enumerate(birth.node.parents) if x is birth.target)
        for mask in masks(nodes, birth.node):
            yield _guard(called, birth.node, k, mask)
    for pole in birth.before:
        if birth.node.op is ops.MULTIPLY and pole.cause == "pole":
            x = pole.node.parents[-1]
            yield _guard(called, pole.node, len(pole.node.parents) - 1, detach(x) != 0.0)


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
    """The argument a little away from the edge."""
    for b in (birth, *birth.before):
        if b.cause in ("pole", "rule", "indeterminate") and b.node.parents:
            k = len(b.node.parents) - 1 if b.node.op is not ops.POWER else 0
            yield _away(called, b.node, k)


def _away(called: dict[Value, str], node: Value, k: int) -> Try:
    texts = [called.get(x, "...") if isinstance(x, Value) else "..." for x in node.parents]
    new = spelled(node.op, [*texts[:k], f"({texts[k]} + {LITTLE:g})", *texts[k + 1 :]])
    text = "{new} for {old}, which moves numbers by little"

    def away(*args: Any) -> Any:
        return apply(node.op, (*args[:k], args[k] + LITTLE, *args[k + 1 :]), node.options)

    return _(text, new=new, old=spelled(node.op, texts)), {node: away}, False
