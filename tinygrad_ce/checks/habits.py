"""Habits that give wrong numbers without a nan, as far as a graph shows them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..engine import ops
from ..engine.backward import gradients, share
from ..engine.text import _
from ..engine.value import Value, apply, detach
from .births import ordered
from .forms import matched
from .wording import Names, place

FUSED = "LogSoftmaxNLL"
SOFTMAX = "np.exp(x) / np.exp(x).sum()"
SIGMOIDS = ("1 / (1 + np.exp(x))", "np.exp(x) / (1 + np.exp(x))", "sigmoid(x)")
SAMPLES = 8  # from here on a unit that is 0 for all of them may be dead


def warnings_of(nodes: Sequence[Value], names: Names, stale: Sequence[Value]) -> list[str]:
    """A sentence for each habit that is most likely a mistake."""
    doubtful = [n for n in nodes if n.op and (n.op in (ops.DIVIDE, ops.LOG) or n.op.name == FUSED)]
    found = [text for node in doubtful for text in _twice(node, names)]
    tables = [node for node in nodes if node.op and node.data.__class__ is not float]
    looks = (_labels, _stretched, _over_all, _dead, _scaled)
    found += [text for node in tables for look in looks for text in look(node, names)]
    text = "{name} was assigned since, and no backward pass has reached it"
    found += [_(text, name=names(leaf)) for leaf in stale if not leaf.passes]
    return [*dict.fromkeys(found)]


def notes_of(nodes: Sequence[Value], names: Names) -> list[str]:
    """A sentence for each thing that is often meant."""
    found = []
    for node in nodes:
        if node.op is None and node.passes > 1:
            text = "the gradient of {name} is the sum of {n} backward passes"
            found.append(_(text, name=names(node), n=node.passes))
        if node.op is not None and node.op.name == FUSED:
            labels = np.asarray(detach(node.parents[1]))
            if labels.dtype.kind in "iu" and labels.size >= SAMPLES and labels.min() == 1:
                text = "no label is 0: classes are counted from 0, so {name} has one never used"
                found.append(_(text, name=names(node.parents[0])))
    return found


def _is(x: Any, op: Any) -> bool:
    return isinstance(x, Value) and x.op is op


def moved(x: Any) -> Any:
    """What stands below reshapes, copies, and np.where of a node and its negative."""
    while isinstance(x, Value) and x.op is not None:
        inner = [p for p in x.parents if isinstance(p, Value)]
        if x.op is ops.WHERE or (x.op.moves and x.op.linear) or len(x.op.terms) == 1:
            x = inner[-1] if inner else None
        elif x.op is ops.SUBTRACT and not isinstance(x.parents[1], Value):
            x = x.parents[0]  # a maximum, that softmax subtracts
        else:
            return x
    return x


def softmax_of(node: Value) -> Any:
    """The logits, if a node is e / Σ e of an exponential, else None."""
    return (matched(SOFTMAX, node) or {}).get("x")


def sigmoid_of(node: Value) -> Any:
    """What a node is the sigmoid of, or of its negative, else None."""
    known = next(filter(None, (matched(form, node) for form in SIGMOIDS)), {})
    return moved(known.get("x"))


def _twice(node: Value, names: Names) -> Iterator[str]:
    """A softmax, a sigmoid or a logarithm of what is one already; a loss of probabilities."""
    for what, function in (("softmax", softmax_of), ("sigmoid", sigmoid_of)):
        x = moved(function(node))
        if isinstance(x, Value) and x.op is not None and function(x) is not None:
            text = "{name}{place} is the {what} of {inner}, which is a {what} already"
            fields = {"name": names(node), "inner": names(x), "place": place(node)}
            yield _(text, what=what, **fields)
    x = node.parents[0]
    if node.op.name == FUSED and _is_probability(moved(x)):
        text = "the loss{place} wants logits, and {inner} are probabilities: rows from 0 to 1 that "
        text += "sum to 1"
        yield _(text, inner=names(moved(x)), place=place(node))
    if node.op is ops.LOG and _is(x, ops.LOG):
        text = "{name}{place} is the logarithm of {inner}, which is one already"
        yield _(text, name=names(node), inner=names(x), place=place(node))


def _labels(node: Value, names: Names) -> Iterator[str]:
    """Y log p + (1 - y) log(1 - p) with a y outside of 0 to 1."""
    terms = [moved(x) for x in node.parents] if node.op is ops.ADD else []
    weights = [w for x in terms if _is(x, ops.MULTIPLY) for w in x.parents if np.size(w)]
    weights = [np.asarray(w) for w in weights if not isinstance(w, Value)]
    logs = [x for term in terms if _is(term, ops.MULTIPLY) for x in term.parents if _is(x, ops.LOG)]
    if len(weights) == len(logs) == 2 and np.shape(weights[0]) == np.shape(weights[1]):
        y, other = weights
        if np.allclose(y + other, 1.0) and min(y.min(), other.min()) < 0.0:
            text = "the labels{place} go from {low:g} to {high:g}: the loss wants them from 0 to 1"
            yield _(text, place=place(node), low=y.min(), high=y.max())


def _is_probability(x: Any) -> bool:
    """Whether a result has rows from 0 to 1 that sum to 1."""
    if not isinstance(x, Value) or x.op is None or not x.shape or x.shape[-1] < 2 or not x.size:
        return False
    rows = np.asarray(x.data, float)
    near = 8 * x.shape[-1] * float(np.finfo(x.dtype).eps)
    return bool(np.all(rows >= 0) and np.all(np.abs(rows.sum(axis=-1) - 1.0) <= near))


def _stretched(node: Value, names: Names) -> Iterator[str]:
    """(N, 1) with (N,): N × N where N was meant."""
    if len(node.parents) != 2 or not isinstance(node.op.function, np.ufunc) or node.op.linear:
        return
    for column, row in (node.parents, node.parents[::-1]):
        n, shapes = np.size(row), (np.shape(column), np.shape(row))
        made = isinstance(column, Value) and column.op is not None and column.op.moves
        if n > 1 and shapes == ((n, 1), (n,)) and isinstance(column, Value) and not made:
            text = "{name}{place} has shape {shape}: {column} is {first}, and {row} {second}; "
            text += "{column}[:, 0] has the same shape"
            whole = {"column": names(column), "row": names(row)}
            shape = {"shape": node.shape, "first": shapes[0], "second": shapes[1]}
            yield _(text, name=names(node), place=place(node), **whole, **shape)


def _over_all(node: Value, names: Names) -> Iterator[str]:
    """Exponentials of a table divided by the sum of all of them."""
    table = len(node.shape) == 2 and min(node.shape) > 1
    if table and softmax_of(node) is not None and np.size(moved(node.parents[1])) == 1:
        text = "{name}{place} sums to 1 over all {shape} entries: are rows meant? "
        text += "sum(axis=1, keepdims=True)"
        yield _(text, name=names(node), place=place(node), shape=node.shape)


def _dead(node: Value, names: Names) -> Iterator[str]:
    """Units of a relu that are 0 for every sample."""
    floors = node.parents if node.op.function is np.maximum else ()
    rectified = node.op is ops.RELU or any(np.all(detach(x) == 0.0) for x in floors)
    if rectified and len(node.shape) == 2 and node.shape[0] >= SAMPLES:
        dead = int(np.sum(~np.any(node.data != 0.0, axis=0)))
        if 4 * dead >= node.shape[1]:
            text = "{n} of {all} units of {name}{place} are 0 for every sample: nothing flows back"
            fields = {"n": dead, "all": node.shape[1], "place": place(node)}
            yield _(text, name=names(node), **fields)


def _scaled(node: Value, names: Names) -> Iterator[str]:
    """Logits so large that their dtype does not tell neighbours apart."""
    z = softmax_of(node) if node.op is ops.DIVIDE else None
    z = node.parents[0] if node.op.name == FUSED else z
    if isinstance(z, Value) and z.size:
        largest = np.max(np.asarray(z.data), axis=-1)  # what is masked is far below
        top = float(np.max(np.abs(np.where(np.isfinite(largest), largest, 0.0))))
        step = top * float(np.finfo(z.dtype).eps)
        if step > 1e-2 and top < 0.5 * float(np.finfo(z.dtype).max):
            text = "logits {name}{place} go to {top:.3g}, where {dtype} has steps of {step:.2g}"
            fields = {"place": place(z), "top": top, "dtype": z.dtype, "step": step}
            yield _(text, name=names(z), **fields)


def vanished(nodes: Sequence[Value], names: Names, found: dict[Value, Any]) -> Iterator[str]:
    """Leaves whose whole gradient is 0 because a smooth operation is saturated."""
    lost = {n for n in found if n.op is None and n.size and not np.any(found[n])}
    for node in reversed(nodes) if lost else ():
        if node.op is None or len(node.parents) != 1:
            continue
        (x,), smooth = node.parents, not node.op.piece
        if not smooth or node.op.linear or node.op.terms or not np.any(found.get(node, 0.0)):
            continue
        below = lost & {*ordered(node)}
        if below and not np.any(share(node, 0, found[node])) and not np.any(_beside(node)):
            lost -= below
            text = "the gradient of {leaves} is exactly 0: {name}{place} is saturated, as its "
            text += "argument goes from {low:.3g} to {high:.3g}"
            which = ", ".join(sorted(names(leaf) for leaf in below))
            fields = {"place": place(node), "low": np.min(x.data), "high": np.max(x.data)}
            yield _(text, leaves=which, name=names(node), **fields)


def _beside(node: Value) -> Any:
    """The slope of an operation beside where it is: at a minimum it is not 0 there."""
    x = Value(np.asarray(detach(node.parents[0])) * 1.01 + 0.01)
    out = apply(node.op, (x,), node.options)
    return gradients(out, np.ones(out.shape), [x])[0]
