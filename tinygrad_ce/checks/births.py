"""Where numbers that are not finite begin: forward, and on the way back.

An entry that is nan or inf is followed back through the entries that it was computed from, to the
first operation that made it of finite ones. Which entries those are the rules say: where the share
of an upstream gradient of one entry is not 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import compress
from typing import Any, NamedTuple

import numpy as np

from ..engine import ops
from ..engine.backward import gradients, share
from ..engine.data import unbroadcast
from ..engine.operation import TABLE
from ..engine.value import Value, apply, detach
from ..programs.lines import elementwise
from .wording import met, number

Entry = tuple[int, ...]
Source = tuple[Any, Entry]  # an argument, a `Value` or a constant, and one of its entries
PRODUCTS = (ops.POWER, TABLE[np.prod])  # and what has powers


class Birth(NamedTuple):
    """Where a number that is not finite began.

    Attributes
    ----------
    node, step : the node, and its number in `topological` order, from 1
    entry, value : where in it, and what is there: nan, inf or -inf
    cause : "overflow", "pole" (log 0, 1 / 0), "domain" (log −1), "indeterminate" (0 · ∞), "data" (a
        leaf or constant that holds it), "rule" (of the way back), or "underflow" of one before
    numbers : the operation with the numbers that met there
    sources : the entries that these stood in
    before : births of the infinite ones among them, or of a 0 that is none but for underflow
    entries : how many of the node are not finite, or 0
    target : on the way back, the argument whose gradient it is
    upstream, local : on the way back, the two that met, if the share is their product
    """

    node: Value
    step: int
    entry: Entry
    value: float
    cause: str
    numbers: str
    sources: tuple[Source, ...] = ()
    before: tuple[Birth, ...] = ()
    entries: int = 1
    target: Any = None
    upstream: float | None = None
    local: float | None = None


def ordered(root: Value) -> list[Value]:
    """Every node below ``root``, parents first; unlike `topological`, of a stale graph as well."""
    reached, stack = {root: None}, [root]
    while stack:
        for parent in stack.pop().parents:
            if isinstance(parent, Value) and parent not in reached:
                reached[parent] = None
                stack.append(parent)
    return sorted(reached, key=lambda node: (node.op is not None, node.number))


def changed_since(node: Value) -> list[Value]:
    """The arguments that were assigned since a node used them."""
    return [x for x in node.parents if isinstance(x, Value) and x.number > node.number]


def is_real(x: Any) -> bool:
    """Whether data are real numbers; whole ones are labels, sizes or indices."""
    return x.__class__ is float or getattr(x, "dtype", np.dtype(int)).kind == "f"


def is_finite(x: Any) -> bool:
    """Whether all entries are finite."""
    return math.isfinite(x) if x.__class__ is float else bool(np.isfinite(x).all())


def ones_like(node: Value) -> Any:
    """The upstream gradient 1 of every entry."""
    return np.ones(node.shape, node.dtype) if node.shape else 1.0


def entry_of(x: Any, entry: Entry) -> float:
    """One entry of a node, a constant, an array."""
    x = detach(x)
    return float(x[entry] if np.ndim(x) else x)


def first(mask: Any) -> Entry:
    """Where a mask is true first."""
    return tuple(int(i) for i in np.unravel_index(np.argmax(mask), np.shape(mask)))


def sources(node: Value, entry: Entry) -> list[Source]:
    """The entries of its arguments that an entry of a node rests on."""
    op, parents = node.op, node.parents
    if elementwise(op.function) and not op.moves:
        pairs = [(x, zip(np.shape(x)[::-1], entry[::-1])) for x in parents]  # axes from the last
        return [(x, tuple(i if n > 1 else 0 for n, i in axes)[::-1]) for x, axes in pairs]
    rng, slopes = np.random.default_rng(0), []
    with suppress(Exception), np.errstate(all="ignore"):  # where it has no value there, any entry
        drawn = [
            Value(x if op.piecewise else rng.uniform(0.5, 1.5, np.shape(x))) if is_real(x) else x
            for x in map(detach, parents)
        ]
        alone, leaves = apply(op, drawn, node.options), [isinstance(x, Value) for x in drawn]
        seed = np.zeros(alone.shape)
        seed[entry] = 1.0
        shares = gradients(alone, seed if alone.shape else 1.0, [*compress(drawn, leaves)])
        slopes = [*zip(compress(parents, leaves), shares)]
    places = [(x, tuple(map(int, at))) for x, g in slopes for at in np.argwhere(g)]
    return places or [(x, at) for x in parents for at in np.ndindex(np.shape(x))]


# ------------------------------------------------------------------ forward
class Forward:
    """Births on the way forward, in a graph whose nodes are ordered."""

    def __init__(self, nodes: Sequence[Value]) -> None:
        self.step = {node: i for i, node in enumerate(nodes, 1)}
        self.changed = {x for node in nodes for x in changed_since(node)}

    def finite(self, x: Any, entry: Entry) -> bool:
        """Whether an entry is finite; what was assigned since then was, as far as one knows."""
        return (isinstance(x, Value) and x in self.changed) or bool(np.isfinite(entry_of(x, entry)))

    def birth(self, x: Any, entry: Entry) -> tuple[Birth, list[Value]]:
        """Where an entry that is not finite began, and the nodes from there on."""
        path: list[Value] = []
        while True:
            path += [x] if isinstance(x, Value) else []
            value = entry_of(x, entry)
            meeting = sources(x, entry) if isinstance(x, Value) and x.op else []
            bad = [s for s in meeting if not self.finite(*s)]
            worse = [s for s in bad if np.isnan(entry_of(*s))] if np.isnan(value) else bad
            if not worse:
                break
            x, entry = min(worse, key=lambda s: isinstance(s[0], Value))  # a constant first
        node, numbers = path[-1], [entry_of(*s) for s in meeting]
        where = (node, self.step[node], entry, value)
        count = int(np.sum(~np.isfinite(detach(x))))
        if not (isinstance(x, Value) and x.op):
            return Birth(*where, "data", number(value), ((x, entry),), (), count), path[::-1]
        earlier = {x: at for x, at in bad[::-1] if isinstance(x, Value)}  # one entry of each
        births = (self.birth(*source)[0] for source in [*earlier.items()][:2])
        before = tuple({birth.node: birth for birth in births}.values())
        why = _cause(node, entry, value, numbers), met(node.op, numbers)
        birth = Birth(*where, *why, tuple(meeting), before, count)
        if not bad and meeting and (vanished := self.vanished(*culprit(birth))):
            birth = birth._replace(before=(vanished,))
        return birth, path[::-1]

    def vanished(self, x: Any, entry: Entry) -> Birth | None:
        """Where an entry that is 0 was made of numbers that are not, and too small."""
        while isinstance(x, Value) and x.op and entry_of(x, entry) == 0.0:
            meeting, op = sources(x, entry), x.op
            zeros = [s for s in meeting if entry_of(*s) == 0.0]
            if op.positive or (not zeros and (op.powers or op in PRODUCTS)):
                infinite = [s for s in meeting if not self.finite(*s)]
                if infinite:
                    x, entry = infinite[0]
                    return self.birth(x, entry)[0] if isinstance(x, Value) else None
                fields = "underflow", met(op, [entry_of(*s) for s in meeting]), tuple(meeting)
                return Birth(x, self.step[x], entry, 0.0, *fields, (), int(np.sum(detach(x) == 0)))
            if not zeros or (op.linear and len(zeros) * len(op.linear) < len(meeting)):
                return None  # numbers that cancel, or a 0 that is one
            x, entry = min(zeros, key=lambda s: not isinstance(s[0], Value))
        return None


def _cause(node: Value, entry: Entry, value: float, numbers: Sequence[float]) -> str:
    """Why an operation makes nan or inf of these numbers."""
    if np.isnan(value) and not (numbers and all(map(np.isfinite, numbers))):
        return "indeterminate"  # of no numbers, too
    if node.op.linear or node.op.terms:
        return "overflow"  # of terms or products: inf - inf
    domain = node.op.domain or ()
    edges = [x == end for x, pair in zip(numbers, domain) for end in pair]
    if len(numbers) == len(domain) and any(edges):
        return "indeterminate" if np.isnan(value) else "pole"
    if np.isnan(value):
        return "domain"
    return "overflow" if any(map(np.isfinite, _smaller(node, entry))) else "pole"


def _smaller(node: Value, entry: Entry) -> Iterator[float]:
    """An entry of a node, of arguments that are smaller, and not rounded anew."""
    for by in (2.0**-3, 2.0**-10, 2.0**-30, 2.0**-100, 2.0**-1000):
        args = [Value(x * by) if is_real(x) else x for x in map(detach, node.parents)]
        with suppress(np.linalg.LinAlgError):  # of a matrix that is singular now
            yield entry_of(apply(node.op, args, node.options), entry)


def culprit(birth: Birth) -> Source:
    """Which of the numbers that met makes the result what it is."""
    domain = (birth.node.op and birth.node.op.domain) or ()
    pairs = [*zip(birth.sources, domain)] if len(domain) == len(birth.sources) else []
    out = [s for s, (low, high) in pairs if not low < entry_of(*s) < high]
    if birth.cause not in ("overflow", "underflow") and out:
        return out[-1]
    which = min if birth.cause == "underflow" and len(birth.sources) > 1 else max
    return which(birth.sources, key=lambda s: abs(entry_of(*s)))


def limit(node: Value, x: float) -> float:
    """How far the operation takes numbers before its result is infinite, or 0, as it is of x."""
    low, high = 0.0, x
    with np.errstate(all="ignore"):
        for _halving in range(1_200):  # from 1e308 down to any number
            middle = 0.5 * (low + high)
            out = node.op.fn(node.dtype.type(middle))
            fits = np.isfinite(out) and out != 0.0
            low, high = (middle, high) if fits else (low, middle)
    return low


# ------------------------------------------------------------------ the way back
def backward_births(nodes: Sequence[Value], seed: Any) -> tuple[list[Birth], dict[Value, Any]]:
    """Where a share is not finite though what it is made of is; and the gradients of all nodes."""
    slopes, births = {nodes[-1]: seed}, list[Birth]()
    with np.errstate(all="ignore"):
        for step, node in zip(range(len(nodes), 0, -1), reversed(nodes)):
            g = slopes[node]
            for k, parent in enumerate(node.parents):
                if isinstance(parent, Value):
                    raw = share(node, k, g)
                    d = unbroadcast(raw, parent.data, node.op)
                    before = slopes.get(parent, 0.0)
                    total = slopes[parent] = before + d if parent in slopes else d
                    if not is_finite(total) and is_finite(g) and is_finite(before):
                        births.append(_share_born(node, step, k, g, raw, total))
    return births, slopes


def _share_born(node: Value, step: int, k: int, g: Any, raw: Any, total: Any) -> Birth:
    """A birth on the way back: the upstream gradient and the slope that met in an entry."""
    bad, target = ~np.isfinite(total), node.parents[k]
    entry, upstream, local = first(bad), None, None
    meeting = [(target, entry)]
    lost = ~np.isfinite(np.asarray(raw, target.dtype))  # which may be a narrow one
    if np.shape(raw) == node.shape and np.any(lost):
        at, slope = first(lost), share(node, k, ones_like(node))
        meeting, upstream = sources(node, at), entry_of(g, at)
        local = entry_of(slope, at) if np.shape(slope) == node.shape else None
    text = met(node.op, [entry_of(*s) for s in meeting])
    fields = (node, step, entry, entry_of(total, entry), "rule", text, ((target, entry),), ())
    return Birth(*fields, int(np.sum(bad)), target, upstream, local)


def find_births(
    nodes: Sequence[Value], seed: Any
) -> tuple[list[Birth], list[Value], dict[Value, Any]]:
    """Births forward and the way of the first; else those on the way back, and all gradients.

    Parameters
    ----------
    nodes : as of `ordered`
    seed : the gradient to start from; None for no way back
    """
    data = np.asarray(nodes[-1].data)
    if is_finite(data):
        births, slopes = ([], {}) if seed is None else backward_births(nodes, seed)
        return births, [], slopes
    bad = np.isnan(data) if np.any(np.isnan(data)) else ~np.isfinite(data)
    birth, path = Forward(nodes).birth(nodes[-1], first(bad))
    return [birth], path, {}
