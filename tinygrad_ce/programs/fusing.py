"""The stable loss in a program: what `fuse` finds, as lines of NumPy instead of one node.

`fuse` may look at the data; a program is for all data. So the graph is computed anew for arguments
that are drawn: what is the loss there is no accident of the example. The target then comes from
the same sweep over the graph that is recorded, as a formula of the arguments. What was fused has to
agree with what it replaces for two more draws, or it stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from ..engine.backward import topological
from ..engine.rules import scatter
from ..engine.transforms import flatten, unflatten
from ..engine.value import Value, make_node
from .lines import Line, compute, live, replace, walk, within
from .recorder import RecordedArray, Tape
from .rewrite import NoLoss, Reader, again, find, in_place, read_loss

DRAWS = 3  # the first is read, the others must agree


def fused(out: Any, tape: Tape) -> Any:
    """What a function returned, with the stable form in place of each loss that `fuse` finds.

    Parameters
    ----------
    out : `Value` (or a dict, list or tuple of them), computed from recorded data
    tape : what was recorded

    Returns
    -------
    The same results on a graph of exp, log, sum and subtraction of the maximum; where nothing
    matches, ``out`` itself.
    """
    found = [leaf for _, leaf in flatten(out)]
    roots = [leaf for leaf in found if isinstance(leaf, Value)]
    nodes = sorted({n for root in roots for n in topological(root)}, key=lambda n: n.number)
    variables = {v.data.line for v in nodes if v.op is None and v.data.__class__ is RecordedArray}
    rng = np.random.default_rng(0)
    inputs = tape.arguments
    example = _Copy(nodes, tape, inputs)
    for shuffled in (False, True):
        with suppress(IndexError, ValueError):  # no index into all that it picks from
            draws = [
                {x: _drawn(s, x in variables, rng, shuffled) for x, s in inputs.items()}
                for _ in range(DRAWS)
            ]
            drawn, *_ = [_Copy(nodes, tape, draw) for draw in draws]
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
            made[node] = _stable(read, tape, drawn.of[node], made[node_of[z]], node, balanced)
        else:
            parents = [made[p] if isinstance(p, Value) else p for p in node.parents]
            made[node] = again(node, parents)
    new = iter([made[root] for root in roots])
    result = unflatten(out, [next(new) if isinstance(x, Value) else x for x in found])
    new_roots = [made[root] for root in roots]
    same = all(_agree(roots, new_roots, tape, draw) for draw in draws[1:])
    return result if same else out


def _read(read: Reader, copy: Value) -> tuple[Value, bool] | None:
    """The logits of a loss, if it is one for the drawn data too, whatever its targets sum to.

    With them whether logsumexp and the logits have the same weight then.
    """
    for unbalanced in (False, True):
        with suppress(NoLoss):
            return read_loss(read, read.same[copy], True, unbalanced).z, not unbalanced
    return None


def _drawn(example: Any, variable: bool, rng: Any, shuffled: bool) -> Any:
    """Other data for an argument: targets stay from 0 to 1, class indices stay in their range.

    Whole numbers are drawn up to the largest, as ones are not to be taken for the 1 of a sigmoid;
    where that makes no index (-100 does not), they are only ``shuffled``.
    """
    sample = np.asarray(example)
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
    return float(data) if example.__class__ is float else np.asarray(data, sample.dtype)


def evaluated(tape: Tape, inputs: dict[Line, Any]) -> Callable[[Any], Any]:
    """What replaces recorded arrays by what they are for these inputs."""
    found = dict(inputs)
    with np.errstate(all="ignore"):
        for line in tape.lines:
            if line.function is within:
                found[line] = found[line.args[0]]
            elif line.function is not None:
                args, how = (replace(x, found.__getitem__) for x in (line.args, line.options))
                found[line] = compute(line, args, how)
    return lambda tree: replace(tree, lambda x: found[x.line], RecordedArray)


class _Copy:
    """A graph of `Value`s on other data."""

    def __init__(self, nodes: Sequence[Value], tape: Tape, inputs: dict[Line, Any]) -> None:
        filled = evaluated(tape, inputs)
        self.of: dict[Value, Value] = {}
        for node in nodes:
            own = filled(node.data)
            given = [self.of[p] if isinstance(p, Value) else filled(p) for p in node.parents]
            if node.op is None:
                copy = Value(own)
            else:
                options = filled(node.options)
                x, y = [*given, None][:2]
                copy = make_node(own, node.op, x, y, rest=tuple(given[2:]), options=options)
            copy.name = node.name
            self.of[node] = copy


def _agree(old: list[Value], new: list[Value], tape: Tape, draw: dict[Line, Any]) -> bool:
    """Whether two graphs compute the same, and something."""
    filled = evaluated(tape, draw)
    pairs = [[filled(v.data) for v in pair] for pair in zip(old, new)]
    near = 1e-3 if any(np.asarray(a).dtype == np.float32 for a, _ in pairs) else 1e-7
    some = any(np.isfinite(a).any() for a, _ in pairs)
    return some and all(np.allclose(a, b, near, near, equal_nan=True) for a, b in pairs)


# ------------------------------------------------------------------ the stable form
def _stable(read: Reader, tape: Tape, copy: Value, z: Value, node: Value, balanced: bool) -> Value:
    """Σ T (log Σ exp a − a) for a = z − max z, or the same of a sigmoid; ``copy`` was read.

    Where log Σ exp z has a weight B of its own, (B − Σ T) log Σ exp z is added: 0 for targets that
    sum to B.
    """
    _, own, *axis = next(iter(read.seen[False, copy][0]))
    one = np.ones(node.shape, node.dtype)
    swept = read.coefficients(copy, tape.constant(one))
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
        if weight.__class__ is RecordedArray or np.any(weight)
    ]
    loss: Any = sum(terms[1:], terms[0])
    return in_place(node, np.sum(loss) if node.size == 1 else loss, 1.0)


def _folded(x: Any) -> Any:
    """A constant where no argument counts."""
    if x.__class__ is not RecordedArray:
        return x
    alone = all(line.function for line in live(x.tape.lines, x.line))
    return x.example if alone else x


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
    if target.__class__ is not RecordedArray:
        return 1.0, None
    factor, line, tape = 1.0, target.line, target.tape
    while line.function in (np.negative, np.multiply, np.divide):
        numbers = [x for x in line.args if x.__class__ is not Line and not np.ndim(x)]
        if line.function is np.negative:
            factor = -factor
        elif len(numbers) != 1 or (line.function is np.divide and line.args[1] is not numbers[0]):
            break
        else:
            n = float(numbers[0])
            factor = factor * n if line.function is np.multiply else factor / n
        line = next(walk(line.args))
    if line.function is not scatter:
        return 1.0, None
    g, index, _ = replace(line.args, tape.array)
    return factor, (_folded(g), index)
