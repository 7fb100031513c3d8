r"""From the textbook loss to the stable one: `fuse`.

People write softmax and cross-entropy in dozens of ways. With logarithms taken apart (`log_sums`),
all are Σ B·logsumexp(z) − Σ T·z, and that is the loss of the target T exactly if B = ΣT over the
classes and nothing else is left over. The same of log(1 + exp ±z) is binary cross-entropy.

A graph is for its own data, and gets the package's loss of the targets found. A program is for all
data: it gets the same sum of stable logarithms, if that computes what the line does for other
arguments too, which are drawn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace as changed
from functools import partial, wraps
from typing import Any

import numpy as np

from ..engine import ops
from ..engine.data import example
from ..engine.names import names
from ..engine.text import _
from ..engine.transforms import flatten, unflatten
from ..engine.value import Value
from ..losses.losses import binary_cross_entropy, cross_entropy
from .lines import Line, evaluate, live, lower, reads, replace
from .log_sums import Forms, NoLoss, Term, between, soft_target
from .recorder import RecordedArray, Tape
from .simplifier import key_of

PATIENCE = 20  # searches over the whole graph that may come to nothing, before the rest stays
EPS = float(np.finfo(np.float64).eps)
TIGHT = 64  # eps: how far coefficients that are equal in exact arithmetic may differ
Nodes = dict[Line, Value]


# ------------------------------------------------------------------ is it the loss?
class Candidate:
    """A line that rests on one softmax or sigmoid, as ± (Σ B·logsumexp(z) − Σ T·z).

    Of a sigmoid, logsumexp(z) is log(1 + exp z).
    """

    def __init__(self, forms: Forms, line: Line, free: bool) -> None:
        self.forms, self.line, self.free = forms, line, free
        self.form, (self.z, self.axis) = forms.forms[False, line], forms.group(line)
        self.samples = math.prod(n for a, n in enumerate(self.z.shape) if a != self.axis)
        if not self.z.size or line.size not in (1, self.samples):
            why = "{line} of shape {shape} has neither one entry nor one a sample"
            raise NoLoss(why, 3, line=line, shape=line.shape)
        weights = forms.coefficients(self.form)
        target, mass, losses = self.table(weights)
        self.tiny = TIGHT * float(np.finfo(self.z.dtype).eps)
        bound = TIGHT * EPS * np.sum(np.abs(mass))
        losses = np.sum(losses) if line.size == 1 else np.reshape(losses, line.shape)
        self.added = {}  # the constants in it
        plain = not (line.function.terms or line.function.powers)  # a sum; else the loss is in it
        if line.size == 1 and self.axis is not None and plain:
            left = [t for t, (d, _x) in weights.items() if np.any(np.abs(d) > bound)]
            self.added = {t: weights.pop(t) for t in left if t[0] == "const"}
            losses = losses + sum(np.sum(d * x) for d, x in self.added.values())
        if not np.all(np.abs(example(self.form.data) - losses) <= bound):
            left = [term for term, (d, _x) in weights.items() if np.any(np.abs(d) > bound)]
            kind, x, *_axes = left[0] if left else ("", line)
            words = {"max": _("max of {x}", x=x), "const": _("a constant")}
            why = "{what} is left over: what is subtracted does not cancel"
            why = why if left else "{what} mixes samples, or is of another row"
            raise NoLoss(why, what=words.get(kind, x))
        sums = mass if self.axis is None else np.sum(target, axis=self.axis, keepdims=True)
        most = self.tiny * np.max(np.abs(mass))
        if not np.allclose(sums, mass, 0.0, most):
            why = "logsumexp and the logits have other weights: another axis, another row, or "
            raise NoLoss(why + "targets that do not sum to 1")
        self.sign = -1.0 if np.all(mass <= 0.0) else 1.0
        self.mass, target = self.sign * mass, self.sign * target
        if np.any(target < -most) or np.any(target > self.mass + most):
            raise NoLoss("{line}: its targets have both signs", line=line)
        self.target = np.where(target <= bound / mass.size, 0.0, target)
        self.how, self.unit = self.reduction()
        self.soft = self.of_value()
        self.rest = self.constants()

    def of_value(self) -> Line | None:
        """The target that is a `Value`, if there is one; there is nothing else then."""
        soft = {x: self.forms.soft[x] for x in between(self.line, self.z) if x in self.forms.soft}
        if not soft:
            return None
        t = next(iter(soft.values()))
        scaled = self.unit * soft_target(self.forms, self.forms.data, t)
        if len(soft) > 1 or self.added or not np.allclose(self.target, scaled, self.tiny, 0.0):
            raise NoLoss("{line} is of two Values, and more than a target", 2, line=self.line)
        return t

    def constants(self) -> float:
        """The sum of the constants: that of a divergence, Σ t log t."""
        rest = float(sum(np.sum(d * np.frombuffer(t[1])) for t, (d, _x) in self.added.items()))
        share = self.target / np.where(self.mass == 0.0, 1.0, self.mass)
        wanted = np.sum(self.target * np.log(np.where(share == 0.0, 1.0, share)))
        if self.added and not abs(self.sign * rest - wanted) <= 1e-6 * abs(wanted):
            why = "{what} is left over: what is subtracted does not cancel"
            raise NoLoss(why, what=_("a constant"))
        return rest

    def table(self, weights: dict[Term, Any]) -> tuple[Any, Any, Any]:
        """T and B, and the losses by what the leaves of the form hold: any numbers."""
        z, axis, absent = self.z, self.axis, (0.0, 0.0)
        terms = ("lin", z), ("log", z, axis, 1), ("log", z, axis, -1)
        (linear, logits), (up, above), (down, under) = (weights.pop(x, absent) for x in terms)
        losses = np.broadcast_to(linear * logits, z.shape)
        if axis is not None:
            losses = np.sum(losses, axis=axis, keepdims=True)
        target = np.broadcast_to(down - linear, z.shape)  # log(1 + exp −z) = log(1 + exp z) − z
        return target, np.asarray(up + down), losses + up * above + down * under

    def reduction(self) -> tuple[str, float]:
        """How samples are reduced, and the mass of one; a loss times a number is one too."""
        near = 1e-6 if self.z.dtype.itemsize >= 8 else 1e-3  # what cross_entropy takes as 1
        kind, units = ("none", [1.0]) if self.line.size > 1 else ("sum", [1.0 / self.samples, 1.0])
        for unit in (*units, float(np.mean(self.mass))):
            if unit and np.allclose(self.mass, unit, near, 0.0):
                return "mean" if self.line.size == 1 and unit == units[0] else kind, unit
        if self.free:
            return kind, 1.0
        low, high = np.min(self.mass), np.max(self.mass)
        why = "{line}: its targets sum to {low} in one sample, to {high} in another "
        why += "(allow_unnormalized=True takes them)"
        raise NoLoss(why, line=self.line, low=f"{low:.4g}", high=f"{high:.4g}")

    # ------------------------------------------------------------------ what takes its place
    def node(self, nodes: Nodes) -> Any:
        """In a graph, the package's own loss of the targets found."""
        z, how = nodes[self.z], self.how
        if self.axis is None:
            target = np.minimum(self.target / np.where(self.mass == 0.0, 1.0, self.mass), 1.0)
            weight = None if np.allclose(self.mass, self.unit, 1e-3, 0.0) else self.mass
            loss = binary_cross_entropy(z, target, weight=weight, reduction=how)
        else:
            target = (self.target / self.unit).astype(self.z.dtype)
            top = np.max(target, axis=self.axis)
            if np.count_nonzero(target) == top.size and np.allclose(top, 1.0, self.tiny):
                target = np.argmax(target, axis=self.axis)  # class indices are faster
            if self.soft:
                target = soft_target(self.forms, nodes, self.soft)
            options: Any = {"axis": self.axis, "allow_unnormalized": self.free}
            loss = cross_entropy(z, target, reduction=how, **options)
        times = self.sign * (1.0 if how == "mean" else self.unit)
        loss = loss if times == 1.0 else -loss if times == -1.0 else loss * times
        loss = loss + self.rest if self.added else loss
        return loss if loss.shape == self.line.shape else np.reshape(loss, self.line.shape)

    def logarithms(self, shifted: bool, nodes: Nodes) -> Any:
        """In a program, the sum itself of stable logarithms; of ``shifted`` logits or not."""
        z, linear, log_sum = nodes[self.z], ("lin", self.z), ("log", self.z, self.axis, 1)
        known = {term: Value(self.forms.constants[term]) for term in self.added}
        if self.axis is None:
            terms = {linear: z, log_sum: np.logaddexp(0.0, z)}
            terms["log", self.z, None, -1] = np.logaddexp(0.0, -z)
            return self.forms.substitute(self.form, terms | known)
        how = {"axis": self.axis, "keepdims": True} if z.ndim > 1 else {}
        top = np.max(z.data, **how)
        less = z - top
        log = np.log(np.sum(np.exp(less), **how))
        less.name, log.name = "shifted", "log_sum_exp"
        terms = {linear: less, log_sum: log} if shifted else {linear: z, log_sum: log + top}
        return self.forms.substitute(self.form, terms | known)


# ------------------------------------------------------------------ other data
def draw_others(tape: Tape, nodes: Nodes) -> list[dict[Line, Any]]:
    """What a program's lines give for three sets of other arguments; none if none can be drawn."""
    arrays = [v.data for v in nodes.values() if v.data.__class__ is RecordedArray]
    lines, arguments = live(tape.lines, [x.line for x in arrays]), tape.arguments.items()
    rng = np.random.default_rng(0)
    with suppress(IndexError):  # there may be no index into all that it picks from
        draws = [{line: other_data(x, rng) for line, x in arguments} for _i in range(3)]
        return [evaluate(lines, draw) for draw in draws]
    return []


def other_data(example: Any, rng: Any) -> Any:
    """Other data for an argument: targets stay from 0 to 1, class indices stay in their range."""
    x = np.asarray(example)
    low, high = min(0, x.min(initial=0)), max(1, x.max(initial=0))
    if x.dtype.kind != "f":
        return rng.integers(low, min(int(high), 2**62) + 1, x.shape).astype(x.dtype)
    signs = low < 0 or not x.any()  # parameters, which may start at 0
    data = 0.5 * rng.normal(size=x.shape) if signs else rng.uniform(0.1, 0.9 * high, x.shape)
    return float(data) if example.__class__ is float else data.astype(x.dtype)


# ------------------------------------------------------------------ the search
class Search:
    """The losses in a graph, outermost first, and below them those in their logits."""

    def __init__(self, roots: list[Value], free: bool) -> None:
        lines, of = lower(roots)
        tapes = [v.data.tape for v in of if v.data.__class__ is RecordedArray]
        self.tape: Any = tapes[0] if tapes else None
        self.free = free
        self.nodes: Nodes = {line: node for node, line in of.items()}
        same = distinct([*(self.tape.lines if self.tape else ()), *lines], self.nodes)
        self.lines = list(dict.fromkeys(same[line] for line in lines))
        self.outputs = [same[of[root]] for root in roots]
        self.draws = draw_others(self.tape, self.nodes) if self.tape else []
        data = {line: node.data for line, node in self.nodes.items()}
        self.forms = Forms(self.lines, self.tape, data)
        self.fused: dict[Line, tuple[str, Callable[[Nodes], Any]]] = {}
        self.needed = set[Line]()
        todo, limit = [*self.outputs], PATIENCE * len(self.lines) + 10_000
        while todo:
            if (line := todo.pop()) in self.needed:
                continue
            self.needed.add(line)
            below = reads(line)
            if self.forms.group(line) and self.forms.work <= limit:
                try:
                    below = self.fuse(line)
                except NoLoss as no:
                    self.forms.reasons.append(no)
            todo += below

    def fuse(self, line: Line) -> Any:
        """Note what takes the place of a line, a function of its logits, and return these."""
        candidate = Candidate(self.forms, line, self.free)
        scaled = candidate.how != "mean" and candidate.unit != 1.0
        if scaled and line.function in (ops.MULTIPLY, ops.DIVIDE):
            raise NoLoss("{line}: the loss is what it scales", 3, line=line)
        forms = [candidate.node]
        if self.tape:
            both = [partial(candidate.logarithms, shifted) for shifted in (True, False)]
            forms = [form for form in both if self.agree(line, form)]
        if not forms:
            raise NoLoss("{line} is a loss for the data of the example alone", line=line)
        kind = "LogSoftmaxNLL" if candidate.axis is not None else "binary_cross_entropy"
        self.fused[line] = kind, forms[0]
        return [candidate.z] if candidate.soft is None else [candidate.z, candidate.soft]

    def agree(self, line: Line, form: Callable[[Nodes], Any]) -> bool:
        """Whether a line and its stable form are the same for all draws, and something."""
        new = form(self.nodes)
        if new.data.__class__ is not RecordedArray:
            return True  # it rests on no argument
        old, new = self.nodes[line].data.line, new.data.line
        lines, near = live(self.tape.lines, new), 1e-3 if line.dtype == np.float32 else 1e-7
        pairs = [(known[old], evaluate(lines, known)[new]) for known in self.draws]
        some = any(np.isfinite(x).any() for x, _y in pairs)
        return some and all(np.allclose(x, y, near, near, equal_nan=True) for x, y in pairs)

    def rebuild(self) -> list[Value]:
        """The roots of the graph with the stable forms in it."""
        new: Nodes = {}
        for line in [line for line in self.lines if line in self.needed]:
            if line in self.fused:
                new[line] = self.fused[line][1](new)
            elif any(new[x] is not self.nodes[x] for x in reads(line)):
                new[line] = line.function(*replace(line.args, new.__getitem__), **line.options)
            else:
                new[line] = self.nodes[line]
            new[line].name = line.name
        return [new[line] for line in self.outputs]


def distinct(lines: Sequence[Line], nodes: Nodes) -> dict[Line, Line]:
    """For each line the first that computes the same, its arguments replaced likewise.

    A user's operation may draw anew each time, so the data decide too. ``nodes`` gets the new ones.
    """
    same: dict[Line, Line] = {}
    first: dict[Any, Line] = {}
    for line in lines:
        new = changed(line, args=replace(line.args, same.__getitem__))
        key = replace((new.function, new.args, new.options), lambda x: same[x.line], RecordedArray)
        key = replace(key, lambda x: x if x.nbytes < 2**16 else id(x), np.ndarray)
        twin = first.setdefault(key_of(key) if line.function else line, new)
        if line in nodes:
            x, y = (example(v.data) for v in (nodes.setdefault(twin, nodes[line]), nodes[line]))
            twin = twin if x is y or np.array_equal(x, y, equal_nan=True) else new
            nodes.setdefault(twin, nodes[line])
        same[line] = twin
    return same


# ------------------------------------------------------------------ graphs and functions
def fused(tree: Any, unnormalized: bool = False, explain: bool = False) -> Any:
    """A structure of `Value`s with the stable loss in place of each textbook one."""
    leaves = [leaf for _path, leaf in flatten(tree)]
    roots = [leaf for leaf in leaves if leaf.__class__ is Value]
    with np.errstate(all="ignore"):  # constants may be anything
        search = Search(roots, unnormalized)
        if explain and roots:
            called = names([*dict.fromkeys(search.nodes.values())])
            messages = [
                _("{line} is now {loss}", line=called[search.nodes[line]], loss=kind)
                for line, (kind, _form) in search.fused.items()
            ]
            why = min(search.forms.reasons, key=lambda no: no.rank)
            print("fuse:", "; ".join(messages) or _("nothing: {reason}", reason=why))
        if not search.fused:
            return tree
        new = iter(search.rebuild())
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
    allow_unnormalized : take targets whose sum differs by sample too

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
    fuse: loss is now LogSoftmaxNLL
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
