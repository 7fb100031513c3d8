"""The stable loss in a program: what `fuse` finds, as lines of NumPy instead of one node.

`fuse` may look at the data; a program is for all data. So the graph is computed anew for arguments
that are drawn: what is the loss there is no accident of the example. The target then comes from
the same sweep over the graph that is recorded, as a formula of the arguments. What was fused has to
agree with what it replaces for two more draws, or it stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from ..engine.backward import topological
from ..engine.rules import scatter
from ..engine.transforms import flatten, unflatten
from ..engine.value import Value, make_node
from .rewrite import NoLoss, Reader, again, find, in_place, read_loss
from .tracing import CONSTANT, WITHIN, Traced, leaves, order, replace

DRAWS = 3  # the first is read, the others must agree


def fused(out: Any, inputs: Sequence[Traced]) -> Any:
    """What a function returned, with the stable form in place of each loss that `fuse` finds.

    Parameters
    ----------
    out : `Value` (or a dict, list or tuple of them), computed from recorded data
    inputs : the recorded arguments

    Returns
    -------
    The same results on a graph of exp, log, sum and subtraction of the maximum; where nothing
    matches, ``out`` itself.
    """
    found = [leaf for _, leaf in flatten(out)]
    roots = [leaf for leaf in found if isinstance(leaf, Value)]
    nodes = sorted({n for root in roots for n in topological(root)}, key=lambda n: n.number)
    variables = {v.data for v in nodes if v.op is None and v.data.__class__ is Traced}
    rng = np.random.default_rng(0)
    example = _Copy(nodes, {x: x.sample for x in inputs})
    for shuffled in (False, True):
        with suppress(IndexError, ValueError):  # no index into all that it picks from
            draws = [
                {x: _drawn(x, x in variables, rng, shuffled) for x in inputs} for _ in range(DRAWS)
            ]
            drawn, *_ = [_Copy(nodes, draw) for draw in draws]
            break
    else:
        return out
    node_of = {copy: node for node, copy in drawn.of.items()}
    with np.errstate(all="ignore"):
        there = find([example.of[root] for root in roots], False)[1]
        read = Reader(list(drawn.of.values()), node_of)
        logits = {node: _read(read, drawn.of[node]) for node in nodes if example.of[node] in there}
    matches = {node: found for node, found in logits.items() if found is not None}
    if not matches:
        return out
    read.recorded = node_of
    made: dict[Value, Value] = {}
    for node in nodes:
        first = node_of[read.same[drawn.of[node]]]
        if first is not node and first in matches:
            made[node] = made[first]
        elif node in matches:
            z, balanced = matches[node]
            made[node] = _stable(read, drawn.of[node], made[node_of[z]], node, balanced)
        else:
            parents = [made[p] if isinstance(p, Value) else p for p in node.parents]
            made[node] = again(node, parents)
    new = iter([made[root] for root in roots])
    result = unflatten(out, [next(new) if isinstance(x, Value) else x for x in found])
    same = all(_agree(roots, [made[root] for root in roots], draw) for draw in draws[1:])
    return result if same else out


def _read(read: Reader, copy: Value) -> tuple[Value, bool] | None:
    """The logits of a loss, if it is one for the drawn data too, whatever its targets sum to.

    With them whether logsumexp and the logits have the same weight then.
    """
    for unbalanced in (False, True):
        with suppress(NoLoss):
            return read_loss(read, read.same[copy], True, unbalanced).z, not unbalanced
    return None


def _drawn(x: Traced, variable: bool, rng: Any, shuffled: bool) -> Any:
    """Other data for an argument: targets stay from 0 to 1, class indices stay in their range.

    Whole numbers are drawn up to the largest, as ones are not to be taken for the 1 of a sigmoid;
    where that makes no index (-100 does not), they are only ``shuffled``.
    """
    sample = np.asarray(x.sample)
    if sample.dtype.kind != "f":
        if shuffled or not sample.size:
            return rng.permutation(sample.reshape(-1)).reshape(sample.shape)
        low, high = min(0, int(sample.min())), max(1, int(sample.max()))
        while np.array_equal(data := rng.integers(low, high + 1, sample.shape), sample):
            pass
        return data.astype(sample.dtype)
    low, high = np.min(sample, initial=np.inf), np.max(sample, initial=-np.inf)
    if low > 0 if variable else low >= 0:
        data = rng.uniform(0.1, 0.9 if high <= 1 else 2.0, sample.shape)
    else:
        data = 0.5 * rng.normal(size=sample.shape)
    return float(data) if x.sample.__class__ is float else np.asarray(data, sample.dtype)


def evaluated(trees: Any, inputs: dict[Traced, Any]) -> dict[Traced, Any]:
    """What a recorded graph computes for these inputs."""
    found = dict(inputs)
    with np.errstate(all="ignore"):
        for node in order(trees):
            if node.call in (CONSTANT, WITHIN):
                found[node] = replace(node.args[0], found.__getitem__)
            elif node.call is not None:
                args = replace(node.args, found.__getitem__)
                data = node.call(*args, **replace(node.options, found.__getitem__))
                kind = node.sample.__class__
                found[node] = kind(data) if kind in (float, bool) else data
    return found


class _Copy:
    """A graph of `Value`s on other data."""

    def __init__(self, nodes: Sequence[Value], inputs: dict[Traced, Any]) -> None:
        held = [(n.data, list(n.parents), dict(n.options)) for n in nodes]
        data = evaluated(held, inputs)
        self.of: dict[Value, Value] = {}
        for node, (own, parents, options) in zip(nodes, held):
            own = replace(own, data.__getitem__)
            given = [self.of[p] if isinstance(p, Value) else replace(p, data.__getitem__)
                     for p in parents]  # fmt: skip
            if node.op is None:
                copy = Value(own)
            else:
                options = replace(options, data.__getitem__) | (
                    {"saved": {}} if "saved" in options else {}
                )
                x, y = [*given, None][:2]
                copy = make_node(own, node.op, x, y, tuple(given[2:]), options)
            copy.name = node.name
            self.of[node] = copy


def _agree(old: list[Value], new: list[Value], draw: dict[Traced, Any]) -> bool:
    """Whether two graphs compute the same, and something."""
    data = evaluated([v.data for v in (*old, *new)], draw)
    pairs = [[replace(v.data, data.__getitem__) for v in pair] for pair in zip(old, new)]
    near = 1e-3 if any(np.asarray(a).dtype == np.float32 for a, _ in pairs) else 1e-7
    some = any(np.isfinite(a).any() for a, _ in pairs)
    return some and all(np.allclose(a, b, near, near, equal_nan=True) for a, b in pairs)


# ------------------------------------------------------------------ the stable form
def _stable(read: Reader, copy: Value, z: Value, node: Value, balanced: bool) -> Value:
    """Σ T (log Σ exp a − a) for a = z − max z, or the same of a sigmoid; ``copy`` was read.

    Where log Σ exp z has a weight B of its own, (B − Σ T) log Σ exp z is added: 0 for targets that
    sum to B.
    """
    _, own, *axis = next(iter(read.seen[False, copy][0]))
    one = np.ones(node.shape, node.dtype)
    swept = read.coefficients(copy, Traced(CONSTANT, (one,), {}, one))
    found = {term: _folded(x) for term, x in swept.items()}
    linear = found.pop(("lin", own), 0.0)
    if axis:
        mass = None if balanced else found[("lse", own, *axis)]
        return in_place(node, _softmax_loss(z, -linear, mass, axis[0], node.size == 1), 1.0)
    up, down = (found.pop(("soft", own, way), 0.0) for way in (1.0, -1.0))
    # z = log(1 + exp z) − log(1 + exp −z)
    terms = [
        weight * np.logaddexp(0.0, x)
        for weight, x in ((up + linear, z), (down - linear, -z))
        if weight.__class__ is Traced or np.any(weight)
    ]
    loss: Any = sum(terms[1:], terms[0])
    return in_place(node, np.sum(loss) if node.size == 1 else loss, 1.0)


def _folded(x: Any) -> Any:
    """A constant where no argument counts."""
    return x.sample if all(node.call for node in order(x)) else x


def _softmax_loss(z: Value, target: Any, mass: Any, axis: int, one: bool) -> Any:
    top = np.max(z.data, axis=axis, keepdims=True)
    shifted = z - top
    log_sum = np.log(np.sum(np.exp(shifted), axis=axis, keepdims=True))
    shifted.name, log_sum.name = "shifted", "log_sum_exp"
    losses = log_sum - shifted
    factor, picks = _picks(target)
    if one and picks is not None and mass is None:
        g, index = picks
        if g.__class__ is np.ndarray and g.size and (g == g.flat[0]).all():
            return np.sum(losses[index]) * (factor * float(g.flat[0]))
        return np.sum(factor * g * losses[index])
    axes = None if one else axis
    loss = np.sum(target * losses, axis=axes)
    if mass is None:
        return loss
    rest = mass - np.sum(np.broadcast_to(target, z.shape), axis=axis, keepdims=True)
    return loss + np.sum(rest * (log_sum + top), axis=axes)


def _picks(target: Any) -> tuple[float, Any]:
    """A factor, and what is scattered at which index, of a target made from class indices."""
    factor = 1.0
    while target.__class__ is Traced and target.call in (np.negative, np.multiply, np.divide):
        numbers = [x for x in target.args if x.__class__ is not Traced and not np.ndim(x)]
        if target.call is np.negative:
            factor = -factor
        elif len(numbers) != 1 or (target.call is np.divide and target.args[1] is not numbers[0]):
            break
        else:
            n = float(numbers[0])
            factor = factor * n if target.call is np.multiply else factor / n
        target = next(leaves(target.args))
    if target.__class__ is not Traced or target.call is not scatter:
        return 1.0, None
    g, index, _ = target.args
    return factor, (_folded(g), index)
