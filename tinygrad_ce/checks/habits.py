"""Habits that give wrong numbers without a nan, as far as a graph shows them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np

from ..engine import ops
from ..engine.backward import gradients, share
from ..engine.operation import TABLE
from ..engine.text import _
from ..engine.value import Value, apply, detach
from ..losses.losses import LogSoftmaxNLL as FUSED
from .births import is_finite, ones_like, ordered, values
from .forms import matched
from .wording import Names

PICKS = (ops.GETITEM, ops.MULTIPLY, TABLE[np.take_along_axis])
SOFTMAX = "np.exp(x) / np.exp(x).sum()"
SIGMOIDS = ("1 / (1 + np.exp(x))", "np.exp(x) / (1 + np.exp(x))", "sigmoid(x)")
SOFTPLUS = "np.log(1 + x)"
LABELS = "a * np.log(x) + b * np.log(y)"
MANY = 3  # sentences of one kind, of which no more are told
SAMPLES = 8  # from here on a unit that is 0 for all of them may be dead


def warnings_of(names: Names, slopes: dict[Value, Any], assigned: Sequence[Value]) -> Iterator[str]:
    """A sentence for each habit that is most likely a mistake."""
    of = names.by_op
    two = [op for op in of if op and isinstance(op.function, np.ufunc) and op.arity == 2]
    for look, which in (
        (_twice, (ops.DIVIDE, ops.SIGMOID, ops.LOG)),
        (_of_probabilities, (FUSED, TABLE[np.logaddexp])),
        (_masked, (FUSED,)),
        (_labels, (ops.ADD,) if ops.LOG in of else ()),
        (_stretched, two),
        (_over_all, (ops.DIVIDE,) if ops.EXP in of else ()),
        (_over_columns, PICKS if ops.EXP in of else ()),
        (_dead, (ops.RELU, TABLE[np.maximum])),
        (_scaled, (FUSED, ops.DIVIDE)),
    ):
        nodes = (node for op in which for node in of.get(op, ()))
        found = [*dict.fromkeys(text for node in nodes for text in look(node, names))]
        if len(found) > MANY:
            text = "{text}, and so it is with {n} more"
            found = [_(text, text=found[0], n=len(found) - 1)]
        yield from found
    yield from _without_logarithm(names, slopes)
    for leaf in assigned:
        if not leaf.passes:
            text = "{name} was assigned since, and no backward pass has reached it"
            yield _(text, name=names(leaf))
        elif not slopes and not is_finite(leaf.grad):
            text = "{name} was assigned since, and the gradient it had got is not finite"
            yield _(text, name=names(leaf))
    yield from _vanished(names, slopes)


def notes_of(names: Names) -> list[str]:
    """A sentence for each thing that is often meant."""
    notes = []
    for node in names.by_op.get(None, ()):
        if node.passes > 1:
            text = "the gradient of {name} is the sum of {n} backward passes"
            notes.append(_(text, name=names(node), n=node.passes))
    for node in names.by_op.get(FUSED, ()):
        labels = np.asarray(detach(node.parents[1]))
        if labels.dtype.kind in "iu" and labels.size >= SAMPLES and labels.min() == 1:
            text = "no label is 0: classes are counted from 0, so {name} has one never used"
            notes.append(_(text, name=names(node.parents[0])))
    return notes


# ------------------------------------------------------------------ what nodes are
def moved(x: Any) -> Any:
    """What stands below reshapes, copies, and np.where of a node and its negative."""
    while isinstance(x, Value) and x.op is not None:
        inner = [p for p in x.parents if isinstance(p, Value)]
        if (x.op.moves and x.op.linear) or len(x.op.terms) == 1:
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


def log_of(node: Value) -> Any:
    """What a node is the logarithm of, but for a softplus, else None."""
    return node.parents[0] if node.op is ops.LOG and not matched(SOFTPLUS, node) else None


def _is_probability(x: Any) -> bool:
    """Whether a node has rows from 0 to 1 that sum to 1."""
    if not isinstance(x, Value) or not x.shape or x.shape[-1] < 2 or not x.size:
        return False
    rows, near = np.asarray(detach(x)), 8 * x.shape[-1] * float(np.finfo(x.dtype).eps)
    return bool((rows >= 0.0).all() and (abs(rows.sum(axis=-1) - 1.0) <= near).all())


# ------------------------------------------------------------------ one habit each
def _twice(node: Value, names: Names) -> Iterator[str]:
    """A softmax, a sigmoid or a logarithm of what is one already."""
    for what, inner in (("softmax", softmax_of), ("sigmoid", sigmoid_of), ("logarithm", log_of)):
        x = moved(inner(node))
        if isinstance(x, Value) and x.op and inner(x) is not None:
            text = "{name} is the {what} of {inner}, which is a {what} already"
            yield _(text, name=names.placed(node), what=_(what), inner=names(x))


def _of_probabilities(node: Value, names: Names) -> Iterator[str]:
    """A loss of probabilities that wants logits."""
    x = moved(node.parents[0 if node.op is FUSED else -1])
    is_one = isinstance(x, Value) and x.op is not None
    if is_one and (_is_probability(x) if node.op is FUSED else sigmoid_of(x) is not None):
        text = "{loss} wants logits, and {inner} are probabilities already"
        yield _(text, loss=names.placed(node, _("the loss")), inner=names(x))


def _masked(node: Value, names: Names) -> Iterator[str]:
    """A label of a class that a mask forbids."""
    z, t = (np.asarray(detach(x)) for x in node.parents[:2])
    if np.any(np.isposinf(node.data)) and t.dtype.kind in "iu":
        pairs = [*zip(t.ravel(), z.reshape(-1, z.shape[-1]))]  # a label below 0 is none
        hidden = [i for i, (label, row) in enumerate(pairs) if np.any(np.isneginf(row[label:][:1]))]
        for i in [i for i in hidden if pairs[i][0] >= 0][:1]:
            text = "the label of sample {i} is {label}, and its logit in {logits} is -inf: a mask "
            text += "hides the right class"
            yield _(text, i=i, label=pairs[i][0], logits=names.placed(node.parents[0]))


def _labels(node: Value, names: Names) -> Iterator[str]:
    """Y log p + (1 - y) log(1 - p) with a y outside of 0 to 1."""
    known = matched(LABELS, node) or {"a": node, "b": node}
    y, other = known["a"], known["b"]
    if isinstance(y, Value) or isinstance(other, Value):
        return
    if np.allclose(y + other, 1.0) and min(np.min(y), np.min(other)) < 0.0:
        text = "{labels} go from {low:g} to {high:g}: the loss wants them from 0 to 1"
        labels = names.placed(node, _("the labels"))
        yield _(text, labels=labels, low=np.min(y), high=np.max(y))


def _stretched(node: Value, names: Names) -> Iterator[str]:
    """(N, 1) with (N,): N × N where N was meant."""
    if node.op.linear or len(node.shape) != 2 or len({*node.shape}) != 1:
        return
    for column, row in (node.parents, node.parents[::-1]):
        n, shapes = np.size(row), (np.shape(column), np.shape(row))
        made = isinstance(column, Value) and column.op is not None and column.op.moves
        if n > 1 and shapes == ((n, 1), (n,)) and isinstance(column, Value) and not made:
            text = "{name} has shape {shape}: {column} is {first}, and {row} {second}; "
            text += "{column}[:, 0] has the same shape"
            whole = {"column": names(column), "row": names(row)}
            shape = {"shape": node.shape, "first": shapes[0], "second": shapes[1]}
            yield _(text, name=names.placed(node), **whole, **shape)


def _over_all(node: Value, names: Names) -> Iterator[str]:
    """Exponentials of a table divided by the sum of all of them."""
    is_table = len(node.shape) == 2 and min(node.shape) > 1
    if is_table and softmax_of(node) is not None and np.size(moved(node.parents[1])) == 1:
        text = "{name} sums to 1 over all {shape} entries: are rows meant? "
        text += "sum(axis=1, keepdims=True)"
        yield _(text, name=names.placed(node), shape=node.shape)


def _over_columns(node: Value, names: Names) -> Iterator[str]:
    """A softmax over the samples, of which each row's label is looked up."""
    for x in node.parents if _by_row(node) else ():
        x = moved(x)
        p = moved(x.parents[0]) if isinstance(x, Value) and x.op is ops.LOG else x
        known = matched(SOFTMAX, p) if isinstance(p, Value) and p.op and len(p.shape) == 2 else None
        if known and known["options"].get("axis") in (0, -2):
            text = "{name} sums to 1 over each column, and labels are looked up by row: are rows "
            text += "meant? sum(axis=1, keepdims=True)"
            yield _(text, name=names.placed(p))


def _by_row(node: Value) -> bool:
    """Whether one entry of each row is looked up, by an index or labels that are one-hot."""
    if node.op is ops.MULTIPLY and len(node.shape) != 2:
        return False
    x, *rest = node.parents
    if node.op is ops.GETITEM:
        index = node.options["index"]
        rows: Any = index[0] if isinstance(index, tuple) and len(index) == 2 else None
        return np.array_equal(rows, np.arange((*x.shape, 0)[0]))
    if node.op is not ops.MULTIPLY:
        return np.shape(rest[0]) == (*x.shape[:-1], 1) and node.options.get("axis") == -1
    for t in node.parents:
        if not isinstance(t, Value) and np.shape(t) == node.shape:
            hot = np.asarray(t) != 0.0
            return bool(np.all(hot.sum(axis=1) == 1) and np.any(hot.sum(axis=0) != 1))
    return False


def _without_logarithm(names: Names, slopes: dict[Value, Any]) -> Iterator[str]:
    """The probabilities of the labels themselves as the loss, which wants their logarithms."""
    nodes = (node for op in PICKS for node in names.by_op.get(op, ()) if slopes and node.shape)
    inner = {n: values(n)[0] for n in nodes if _by_row(n)}
    picked = {n for n, x in inner.items() if _is_probability(moved(x)) and np.all(slopes[x] <= 0.0)}
    below, seen = [*names.nodes[-1:]] if picked else [], set[Value]()
    while below:
        node = below.pop()
        if node in picked:
            text = "{name} are probabilities, and the loss adds up those of the labels as they "
            text += "are: is log p meant? nll wants log_softmax(z)"
            yield _(text, name=names.placed(moved(inner[node])))
        elif node.op and node not in seen:
            seen.add(node)
            below += values(node) if _adds_up(node, values(node)) else []


def _adds_up(node: Value, inner: Sequence[Value]) -> bool:
    """Whether a node is a sum of `Value`s, or of entries of one, times constants."""
    op = node.op
    powers = [power for power, x in zip(op.powers, node.parents) if x is inner[0]]
    plain = op.terms and len(inner) == len(node.parents)
    return bool(plain or op.moves or (len(inner) == 1 and (op.linear or powers == [1])))


def _dead(node: Value, names: Names) -> Iterator[str]:
    """Units of a relu that are 0 for every sample."""
    floors = node.parents if node.op.function is np.maximum else ()
    rectified = node.op is ops.RELU or any(np.all(detach(x) == 0.0) for x in floors)
    if rectified and len(node.shape) == 2 and node.shape[0] >= SAMPLES:
        dead = int(np.sum(~np.any(node.data != 0.0, axis=0)))
        if 4 * dead >= node.shape[1]:
            text = "{n} of {all} units of {name} are 0 for every sample: nothing flows back"
            yield _(text, n=dead, all=node.shape[1], name=names.placed(node))


def _scaled(node: Value, names: Names) -> Iterator[str]:
    """Logits so large that their dtype does not tell neighbours apart."""
    z = node.parents[0] if node.op is FUSED else softmax_of(node)
    if isinstance(z, Value) and z.size:
        largest = np.max(np.asarray(z.data), axis=-1)  # what is masked is far below
        top = float(np.max(np.abs(np.where(np.isfinite(largest), largest, 0.0))))
        step = top * float(np.finfo(z.dtype).eps)
        if step > 1e-2 and top < 0.5 * float(np.finfo(z.dtype).max):
            text = "logits {name} go to {top:.3g}, where {dtype} has steps of {step:.2g}"
            yield _(text, name=names.placed(z), top=top, dtype=z.dtype, step=step)


def _vanished(names: Names, slopes: dict[Value, Any]) -> Iterator[str]:
    """Leaves whose whole gradient is 0 because a smooth operation is saturated."""
    lost = {n for n in slopes if n.op is None and n.size and not np.any(slopes[n])}
    saturated = (n for n in reversed(names.nodes) if lost and n.op and _is_saturated(n, slopes[n]))
    for node in islice(saturated, MANY):
        below = lost.intersection(ordered(node))
        lost -= below
        if leaves := ", ".join(sorted(map(names, below))):
            x = detach(node.parents[0])
            text = "the gradient of {leaves} is exactly 0: {name} is saturated, as its "
            text += "argument goes from {low:.3g} to {high:.3g}"
            ends = {"low": np.min(x), "high": np.max(x)}
            yield _(text, leaves=leaves, name=names.placed(node), **ends)


def _is_saturated(node: Value, g: Any) -> bool:
    """Whether a smooth operation lets nothing through, here and beside: not a minimum."""
    op = node.op
    if len(node.parents) != 1 or op.piecewise or op.linear or op.terms or not np.any(g):
        return False
    x = Value(np.asarray(detach(node.parents[0])) * 1.01 + 0.01)
    out = apply(op, (x,), node.options)
    return not np.any(share(node, 0, g)) and not np.any(gradients(out, ones_like(out), [x])[0])
