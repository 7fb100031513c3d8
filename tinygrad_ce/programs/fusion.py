r"""From the textbook loss to the stable one: `fuse`.

People write softmax and cross-entropy in dozens of ways. With logarithms taken apart (`log_sums`),
all are Σ B·logsumexp(z) − Σ T·z, and that is the loss of the target T exactly if B = ΣT over the
classes and nothing else is left over. The same of log(1 + exp ±z) is binary cross-entropy.

A graph is for its own data, so a decision may rest on them (the targets sum to 1). The graph of a
program is for all data: its coefficients are lines of the program, and what is a loss for the
example has to compute the same as its stable form for other arguments, which are drawn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace as changed
from functools import partial, reduce, wraps
from operator import add
from typing import Any

import numpy as np

from ..engine import ops
from ..engine.data import example
from ..engine.rules import scatter
from ..engine.text import _
from ..engine.transforms import flatten, unflatten
from ..engine.value import Value
from ..losses.losses import binary_cross_entropy, cross_entropy
from .lines import Line, evaluate, live, lower, reads, replace, walk
from .log_sums import Forms, NoLoss, Patterns, Term
from .recorder import RecordedArray, Tape
from .simplifier import key_of

PATIENCE = 20  # searches over the whole graph that may come to nothing, before the rest stays
TIGHT = 64  # eps: how far coefficients that are equal in exact arithmetic may differ
NODES = {"lse": "LogSoftmaxNLL", "soft": "binary_cross_entropy"}


# ------------------------------------------------------------------ other data
class Draws:
    """The lines of a program for other arguments, so that nothing rests on the example's data."""

    def __init__(self, tape: Tape, nodes: dict[Line, Value]) -> None:
        self.tape, self.nodes, rng = tape, nodes, np.random.default_rng(0)
        used = [(v.data, v.parents, v.options) for v in nodes.values()]
        lines = live(tape.lines, [x.line for x in walk(used, RecordedArray)])
        for shuffled in (False, True):
            with suppress(IndexError, ValueError):  # no index into all that it picks from
                draws = [
                    {line: _other_data(x, rng, shuffled) for line, x in tape.arguments.items()}
                    for _draw in range(3)
                ]
                self.known = [evaluate(lines, draw) for draw in draws]
                return
        raise NoLoss("no other arguments can be drawn")

    def agree(self, line: Line, form: Line) -> bool:
        """Whether a line and its stable form are the same for all of them, and something."""
        old, new = self.nodes[line].data.line, form.function(self.nodes[form.args[0]]).data.line
        lines, near = live(self.tape.lines, new), 1e-3 if line.dtype == np.float32 else 1e-7
        pairs = [(known[old], evaluate(lines, known)[new]) for known in self.known]
        some = any(np.isfinite(x).any() for x, _y in pairs)
        return some and all(np.allclose(x, y, near, near, equal_nan=True) for x, y in pairs)


def _other_data(example: Any, rng: Any, shuffled: bool) -> Any:
    """Other data for an argument: targets stay from 0 to 1, class indices stay in their range.

    Whole numbers are drawn up to the largest; where that makes no index (-100 does not), they are
    only ``shuffled``.
    """
    x = np.asarray(example)
    if not x.size or (shuffled and x.dtype.kind != "f"):
        return rng.permutation(x.reshape(-1)).reshape(x.shape)
    low, high = min(0, x.min()), max(1, x.max())
    if x.dtype.kind != "f":
        return rng.integers(low, int(high) + 1, x.shape).astype(x.dtype)
    signs = low < 0 or not x.any()  # parameters, which may start at 0
    data = 0.5 * rng.normal(size=x.shape) if signs else rng.uniform(0.1, 0.9 * high, x.shape)
    return float(data) if example.__class__ is float else data.astype(x.dtype)


# ------------------------------------------------------------------ is it the loss?
class Candidate:
    """A line that rests on one softmax or sigmoid: a factor times Σ B·logsumexp(z) − Σ T·z.

    Its weights are those of the terms in minus that, T of the logits, or of a sigmoid in that.
    """

    def __init__(self, forms: Forms, line: Line) -> None:
        [(factor, self.form)] = forms.of([line])
        groups = forms.groups[False, line]
        if len(groups) > 1:
            raise NoLoss("{line} is of two softmaxes or sigmoids", 2, line=line)
        self.forms, self.line, [self.group] = forms, line, groups
        self.z: Line = self.group[1]
        self.axis: int | None = self.group[2] if self.group[0] == "lse" else None
        self.samples = math.prod(n for a, n in enumerate(self.z.shape) if a != self.axis)
        self.is_one = line.size == 1
        if not self.z.size or (not self.is_one and line.size != self.samples):
            why = "{line} of shape {shape} has neither one entry nor one a sample"
            raise NoLoss(why, 3, line=line, shape=line.shape)
        self.tiny = TIGHT * float(np.finfo(self.z.dtype).eps)
        self.weights = forms.coefficients(self.form, 1.0)
        self.seed = -1.0 if np.all(self.table(self.weights)[1] <= 0.0) else 1.0
        if self.seed < 0.0:
            self.weights = forms.coefficients(self.form, -1.0)
        self.factor = factor * (self.seed if self.axis is None else -self.seed)

    def read(self) -> tuple[Any, Any]:
        """Targets and mass of each sample, if the line is a loss of such targets."""
        target, mass = self.table(self.weights)
        if not self.is_one:  # a coefficient of its own tells an entry from every other
            own = np.random.default_rng(0).uniform(1.0, 2.0, self.line.shape)
            moved = self.table(self.forms.coefficients(self.form, self.seed * own))[1]
            if not np.allclose(np.ravel(moved), np.ravel(own) * np.ravel(mass), self.tiny, 0.0):
                why = "{line} mixes samples, or has them in another order"
                raise NoLoss(why, line=self.line)
        least = self.tiny * np.max(np.abs(mass))
        target = np.where(np.abs(target) < least, 0.0, target)
        if np.any(target < 0.0) or (self.axis is None and np.any(target > mass + least)):
            raise NoLoss("{line}: its targets have both signs", line=self.line)
        return target, mass

    def table(self, weights: dict[Term, Any]) -> tuple[Any, Any]:
        """The targets and the mass of each sample, if that is all there is."""
        found = {term: example(weight) for term, weight in weights.items()}
        z, linear = self.z, found.pop(("lin", self.z), None)
        if self.axis is not None:
            target, mass = np.zeros(z.shape) if linear is None else linear, -found.pop(self.group)
            wanted = np.sum(target, axis=self.axis, keepdims=True)
            if not np.allclose(wanted, mass, 0.0, self.tiny * np.max(np.abs(mass))):
                why = "logsumexp and the logits have other weights: another axis, another row, or "
                raise NoLoss(why + "targets that do not sum to 1", 2)
        else:  # z = log(1 + exp z) − log(1 + exp −z)
            up, down = (found.pop(("soft", z, way), None) for way in (1.0, -1.0))
            if linear is None and (up is None or down is None):
                raise NoLoss("log(1 + exp) alone has no target", 2)
            linear, up, down = (0.0 if x is None else x for x in (linear, up, down))
            target, mass = (np.broadcast_to(x, z.shape) for x in (down - linear, up + down))
        for term, weight in found.items():
            if term[0] == "const":
                weight = np.where(np.frombuffer(term[1]) == 0.0, 0.0, weight)
            if not np.all(np.abs(weight) <= self.tiny * np.sum(np.abs(mass))):
                what = {"const": _("a constant"), "max": _("max of {x}", x=term[1])}
                why = "{what} is left over: what is subtracted does not cancel"
                raise NoLoss(why, what=what.get(term[0], term[1]))
        return target, mass

    def scale(self, mass: Any, unnormalized: bool) -> float | None:
        """The number that each sample's loss is multiplied by: 1/n, 1, or what the graph scales by.

        None where the targets themselves do not sum to one number for every sample.
        """
        near = 1e-6 if mass.dtype.itemsize >= 8 else 1e-3  # what cross_entropy takes as a sum of 1
        factor = abs(float(example(self.factor)))
        for nice in (1.0 / self.samples if self.is_one else 1.0, 1.0):
            if np.allclose(mass * factor, nice, near, 0.0):
                return nice
        if np.allclose(mass, 1.0, near, 0.0):
            return factor
        if unnormalized:
            return None
        low, high = (f"{end + 0.0:.4g}" for end in (np.min(mass), np.max(mass)))  # + 0: no -0
        raise NoLoss(
            "{line}: its targets sum to {sums}{axis}, not to 1 a sample "
            "(allow_unnormalized=True takes them)",
            line=self.line,
            sums=low if low == high else f"{low} to {high}",
            axis="" if self.axis is None else f" over axis {self.axis}",
        )


def stable_form(forms: Forms, line: Line, unnormalized: bool, draws: Draws | None) -> Line:
    """What can take the place of a line: a function of its logits.

    Raises
    ------
    NoLoss
        If nothing can, with the reason.
    """
    found = Candidate(forms, line)
    target, mass = found.read()
    scale = found.scale(mass, unnormalized)
    number = any(x.__class__ is not Line and np.size(x) == 1 for x in line.args)
    scaled = scale not in (None, 1.0, 1.0 / found.samples)
    if number and scaled and line.function in (ops.MULTIPLY, ops.DIVIDE):
        raise NoLoss("{line}: the loss is what it scales", 3, line=line)
    for loss in _as_lines(found) if draws else [_as_node(found, target, mass, scale)]:
        form = changed(line, function=loss, args=(found.z,), options={})
        if not draws or draws.agree(line, form):
            return form
    raise NoLoss("{line} is a loss for the data of the example alone", line=line)


def _times(loss: Callable[..., Any], factor: Any, shape: tuple[int, ...], z: Value) -> Any:
    """A factor times a function of logits, in a shape."""
    value = loss(z)
    plain = factor.__class__ is float and abs(factor) == 1.0
    value = value * factor if not plain else value if factor > 0.0 else -value
    return value if value.shape == shape else np.reshape(value, shape)


# ------------------------------------------------------------------ the stable form of a graph
def _as_node(found: Candidate, target: Any, mass: Any, scale: float | None) -> Any:
    """The package's own loss of the targets found."""
    factor = abs(found.factor)
    is_mean = found.is_one and scale not in (None, 1.0)
    how: dict[str, Any] = {"reduction": "mean" if is_mean else "sum" if found.is_one else "none"}
    loss: Callable[..., Any]
    if found.axis is None:
        share = target / (np.where(mass == 0.0, 1.0, mass) if scale is None else scale / factor)
        how |= {
            "target": np.minimum(share, 1.0),
            "weight": mass * factor if scale is None else None,
        }
        loss = partial(binary_cross_entropy, **how)
    else:
        how |= {"target": _target(found, target * (factor / (scale or 1.0))), "axis": found.axis}
        loss = partial(cross_entropy, allow_unnormalized=scale is None, **how)
    times = (scale or 1.0) * (found.samples if is_mean else 1.0)
    return partial(_times, loss, math.copysign(times, found.factor), found.line.shape)


def _target(found: Candidate, wanted: Any) -> Any:
    """A target: the user's own array, where one is that table, or those class indices."""
    todo, seen, arrays = [found.line], {found.z}, list[Any]()
    while todo:
        if (line := todo.pop()) not in seen:
            seen.add(line)
            todo += reads(line)
            arrays += walk((line.args, line.options), np.ndarray)
    for array in arrays:
        if array.shape == wanted.shape and np.allclose(array, wanted, found.tiny, 0.0):
            return array
    index, top = np.argmax(wanted, axis=found.axis), np.max(wanted, axis=found.axis)
    if np.count_nonzero(wanted) > index.size or not np.allclose(top, 1.0, found.tiny):
        return wanted
    return next((a for a in arrays if a.dtype.kind in "iu" and np.array_equal(a, index)), index)


# ------------------------------------------------------------------ the stable form of a program
def _as_lines(found: Candidate) -> Iterator[Callable[[Value], Any]]:
    """The loss of a target that is computed in the program."""
    weights, is_one = found.weights, found.is_one
    linear = weights.get(("lin", found.z), 0.0)
    losses = []
    if found.axis is None:
        up, down = (weights.get(("soft", found.z, way), 0.0) for way in (1.0, -1.0))
        losses = [partial(_softplus, up=up + linear, down=down - linear, is_one=is_one)]
    else:
        how = {"target": linear, "axis": found.axis, "is_one": is_one}
        losses = [partial(_log_softmax, mass=b, **how) for b in (None, -weights[found.group])]
    return (partial(_times, loss, found.factor, found.line.shape) for loss in losses)


def _softplus(z: Any, up: Any, down: Any, is_one: bool) -> Any:
    """Σ up·log(1 + exp z) + down·log(1 + exp −z)."""
    pairs = [(w, x) for w, x in ((up, z), (down, -z)) if w.__class__ is RecordedArray or np.any(w)]
    loss = reduce(add, (weight * np.logaddexp(0.0, x) for weight, x in pairs))
    return np.sum(loss) if is_one else loss


def _log_softmax(z: Any, target: Any, mass: Any, axis: int, is_one: bool) -> Any:
    """Σ T (log Σ exp a − a) for a = z − max z.

    Where log Σ exp z has a mass B of its own, (B − Σ T) log Σ exp z is added: 0 for targets that
    sum to B.
    """
    top = np.max(z.data, axis=axis, keepdims=True)
    shifted = z - top
    log_sum = np.log(np.sum(np.exp(shifted), axis=axis, keepdims=True))
    shifted.name, log_sum.name = "shifted", "log_sum_exp"
    losses = log_sum - shifted
    picks = target.__class__ is RecordedArray and target.line.function is scatter
    if is_one and picks and mass is None:
        g, index = replace(target.line.args[:2], target.tape.array)
        return np.sum(g * losses[index])
    axes = None if is_one else axis
    loss = np.sum(target * losses, axis=axes)
    if mass is not None:
        rest = mass - np.sum(np.broadcast_to(target, z.shape), axis=axis, keepdims=True)
        loss = loss + np.sum(rest * (log_sum + top), axis=axes)
    return loss


# ------------------------------------------------------------------ from lines to lines
def distinct(lines: Sequence[Line], nodes: dict[Line, Value]) -> dict[Line, Line]:
    """For each line the first that computes the same, its arguments replaced likewise.

    A user's operation may draw anew each time, so the data decide too. ``nodes`` gets the new ones.
    """
    same: dict[Line, Line] = {}
    first: dict[Any, Line] = {}
    for line in lines:
        args = replace(line.args, same.__getitem__)
        key = replace((line.function, args, line.options), lambda x: same[x.line], RecordedArray)
        key = replace(key, lambda x: x if x.nbytes < 2**16 else id(x), np.ndarray)
        new = _with_args(line, args)
        twin = first.setdefault(key_of(key) if line.function else line, new)
        if line in nodes:
            x, y = (example(v.data) for v in (nodes.setdefault(twin, nodes[line]), nodes[line]))
            twin = twin if x is y or np.array_equal(x, y, equal_nan=True) else new
            nodes.setdefault(twin, nodes[line])
        same[line] = twin
    return same


def _with_args(line: Line, args: tuple[Any, ...]) -> Line:
    moved = any(x is not y for x, y in zip(args, line.args))
    return changed(line, args=args) if moved else line


def find(
    forms: Forms, outputs: Sequence[Line], unnormalized: bool, draws: Draws | None
) -> tuple[dict[Line, Line], str]:
    """The stable form of the outermost losses, below them of those in their logits.

    With them why others stay.
    """
    found: dict[Line, Line] = {}
    reasons = [NoLoss("there is no log of a softmax or a sigmoid", 4)]
    todo, seen = [*outputs], {*outputs}
    limit = PATIENCE * len(forms.patterns.lines) + 10_000
    while todo:
        line = todo.pop()
        below, groups = reads(line), forms.groups[False, line]
        if groups or forms.forms[False, line].__class__ is NoLoss:
            try:
                if forms.work > limit:
                    raise NoLoss("too much that looks like a loss and is none")
                found[line] = stable_form(forms, line, unnormalized, draws)
                below = reads(found[line])
            except NoLoss as no:
                reasons += [no] if groups or no.rank == 1 else []
        todo += [x for x in below if x not in seen]
        seen.update(below)
    return found, str(min(reasons, key=lambda no: no.rank))


def fuse_lines(
    lines: Sequence[Line], outputs: Sequence[Line], found: dict[Line, Line]
) -> tuple[list[Line], list[Line]]:
    """The lines with one in place of each loss, and without those that nothing needs any more."""
    new: dict[Line, Line] = {}
    for line in lines:
        stays = found.get(line, line)
        new[line] = _with_args(stays, replace(stays.args, new.__getitem__))
    outputs = [new[line] for line in outputs]
    return live(list(new.values()), outputs), outputs


def replay(lines: Sequence[Line], nodes: dict[Line, Value]) -> None:
    """Compute lines on `Value`s; ``nodes`` has those that are there already."""
    for line in lines:
        if line not in nodes:
            nodes[line] = line.function(*replace(line.args, nodes.__getitem__), **line.options)
            nodes[line].name = line.name


# ------------------------------------------------------------------ graphs and functions
def fused(tree: Any, unnormalized: bool = False, explain: bool = False) -> Any:
    """A structure of `Value`s with the stable loss in place of each textbook one."""
    leaves = [leaf for _path, leaf in flatten(tree)]
    roots = [leaf for leaf in leaves if leaf.__class__ is Value]
    lines, of = lower(roots)
    nodes = {line: node for node, line in of.items()}
    tape = next((v.data.tape for v in of if v.data.__class__ is RecordedArray), None)
    same = distinct([*(tape.lines if tape else ()), *lines], nodes)
    lines = list(dict.fromkeys(same[line] for line in lines))
    outputs = [same[of[root]] for root in roots]
    found: dict[Line, Line] = {}
    with np.errstate(all="ignore"):  # constants may be anything
        forms = Forms(Patterns(lines), tape)
        try:
            found, why = find(forms, outputs, unnormalized, Draws(tape, nodes) if tape else None)
        except NoLoss as no:
            why = str(no)
    if explain and roots:
        kinds = {line: next(iter(forms.groups[False, line]))[0] for line in found}
        told = [_("{line} is now {loss}", line=x, loss=NODES[kind]) for x, kind in kinds.items()]
        print("fuse:", "; ".join(told) or _("nothing: {reason}", reason=why))
    if not found:
        return tree
    lines, outputs = fuse_lines(lines, outputs, found)
    replay(lines, nodes)
    new = (nodes[line] for line in outputs)
    return unflatten(tree, [next(new) if leaf.__class__ is Value else leaf for leaf in leaves])


def fuse(value_or_function: Any, explain: bool = False, *, allow_unnormalized: bool = False) -> Any:
    """Put the stable loss in place of the textbook one, however that is written.

    The log of a softmax, picked or weighted by targets and summed, becomes one `LogSoftmaxNLL`;
    the log of a sigmoid and of its complement becomes `binary_cross_entropy`. Both are finite and
    right where the textbook's exp overflows or its log meets a 0. What the result also needs of the
    old graph stays, as does all that is not exactly such a loss.

    Parameters
    ----------
    value_or_function : a `Value` (or a dict, list or tuple of them), or a function that returns one
    explain : print in one line what was fused, or why nothing was
    allow_unnormalized : take targets that do not sum to 1 too, as in `cross_entropy`

    Returns
    -------
    A new `Value`, on the same leaves, and the old graph as it was; for a function, one that fuses
    what the function builds. Where nothing is fused, the same `Value`.

    Raises
    ------
    TypeError
        For anything that is no `Value` and no function.

    Examples
    --------
    >>> z, t = Value([1000.0, 0.0, -1000.0]), np.array([0.0, 1.0, 0.0])
    >>> with np.errstate(all="ignore"):
    ...     loss = -(t * np.log(np.exp(z) / np.exp(z).sum())).sum()
    >>> loss.data, fuse(loss, explain=True).data
    fuse: negative is now LogSoftmaxNLL
    (nan, 1000.0)
    """
    if callable(value_or_function):

        @wraps(value_or_function)
        def fused_function(*args: Any, **kwargs: Any) -> Any:
            with np.errstate(all="ignore"):  # what overflows here is taken out
                out = value_or_function(*args, **kwargs)
            return fused(out, allow_unnormalized, explain)

        return fused_function
    if not any(leaf.__class__ is Value for _path, leaf in flatten(value_or_function)):
        got = type(value_or_function).__name__
        raise TypeError(_("fuse: got {got}, wanted a Value or a function of Values", got=got))
    return fused(value_or_function, allow_unnormalized, explain)
