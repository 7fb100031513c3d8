"""Where numbers that are not finite begin: forward, and on the way back.

An entry that is nan or inf is followed back through the entries that it was computed from, to the
first operation that made it of finite ones. Which entries those are the rules say: where the share
of an upstream gradient of one entry is not 0. Who calls this ignores NumPy's warnings.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from ..engine import ops
from ..engine.backward import gradients, share
from ..engine.data import LEAF, SMALL, snapshot, unbroadcast
from ..engine.operation import TABLE, Primitive
from ..engine.value import Value, apply, detach, make_node
from ..programs.lines import elementwise
from .wording import met, number

Entry = tuple[int, ...]
Source = tuple[Any, Entry]  # an argument, a `Value` or a constant, and one of its entries
FEW = 1_000  # entries of a node of which is remembered what they rest on
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
        for parent in values(stack.pop()):
            if parent not in reached:
                reached[parent] = None
                stack.append(parent)
    return sorted(reached, key=lambda node: (node.op is not None, node.number))


def values(node: Value) -> list[Value]:
    """The arguments that are in the graph."""
    args = node.call[0] if node.call else (node.x, node.y)
    return [x for x in args if x.__class__ is Value]


def as_it_was(nodes: Sequence[Value]) -> tuple[dict[Value, Value], set[Value]] | None:
    """Each node in a graph on the numbers that it was computed from; None where an array is lost.

    The graph holds an array that was assigned since, and the entries of one written in place. Of
    some that are numbers it holds none: which, is returned as well.
    """
    old, copies, written = dict[Any, Any](), dict[Any, Value](), set[Any]()
    for node in nodes:
        args, data, _options, watched = node.call or LEAF
        old.update((x, a) for x, a in zip(args, data) if x.__class__ is Value and x.op is None)
        for x, before in watched:
            now = old[x] if x.__class__ is Value else x
            if snapshot(now) != before:
                if now is x or now.nbytes > SMALL:
                    return None
                old[x] = np.frombuffer(before, now.dtype).reshape(now.shape)
                written.add(x)
    for node in nodes:
        args, data, options, _watched = node.call or LEAF
        made = tuple(copies[x] if x.__class__ is Value else x for x in args)
        data = [detach(x) if x.__class__ is Value else a for x, a in zip(made, data)]
        result = old.get(node, detach(node))
        if node.op and node.op.moves and not written.isdisjoint(values(node)):  # a view of it
            result = node.op.fn(*data, **options)
            written.add(node)
        x, y = (copies[x] if x.__class__ is Value else x for x in (node.x, node.y))
        copy = make_node(result, node.op, None, x, y, node.dx, node.dy)
        copy.call = (made, data, options, ()) if node.call else None
        copy.name, copy.origin, copy.grad = node.name, node.origin, node.grad
        copy._passes, copies[node] = node.passes, copy
    return copies, {copy for x, copy in copies.items() if x.op is None and x not in old}


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
    return x if x.__class__ is float else float(np.asarray(x)[entry])


def first(mask: Any) -> Entry:
    """Where a mask is true first."""
    return tuple(map(int, np.unravel_index(mask.argmax(), mask.shape)))


# ------------------------------------------------------------------ what an entry rests on
def sources(node: Value, entry: Entry) -> list[Source]:
    """The entries of its arguments that an entry of a node rests on."""
    pairs = ((x, np.argwhere(mask)) for x, mask in meeting(node, entry))
    return [(x, tuple(place)) for x, places in pairs for place in places.tolist()]


def meeting(node: Value, entry: Entry) -> list[tuple[Any, Any]]:
    """The arguments that an entry of a node rests on, and a mask of the entries of each."""
    op, parents = node.op, node.parents
    data = [detach(x) if x.__class__ is Value else x for x in parents]
    shapes = tuple([getattr(x, "shape", ()) for x in data])
    if op.moves:
        masks = _before_the_move(op, data, node.options, entry)
    elif elementwise(op.function):
        masks = [_stretched(shape, entry) for shape in shapes]
    else:
        masks = list[Any]()
        if not op.piecewise and node.size < FEW and all(map(is_real, data)):
            with suppress(TypeError):  # of options that are no keys
                masks = _known(op, shapes, tuple(node.options.items()), entry)
        masks = masks or _resting(op, data, node.options, entry)
    return [(x, mask) for x, mask in zip(parents, masks) if mask is not False]


@lru_cache(maxsize=256)
def _stretched(shape: Sequence[int], entry: Entry) -> Any:
    """Where an entry is of what broadcasting may have stretched."""
    mask = np.zeros(shape, bool)
    mask[tuple([i if n > 1 else 0 for n, i in zip(shape, entry[len(entry) - len(shape) :])])] = True
    return mask


def _before_the_move(op: Primitive, data: Sequence[Any], options: Any, entry: Entry) -> list[Any]:
    """Where an entry was before it was moved: the numbers of all places are moved to see it."""
    places, size, own = [*data], 1, op.linear or range(len(data))
    for k in own:
        places[k] = np.arange(size, size + np.size(data[k])).reshape(np.shape(data[k])) * 1.0
        size += np.size(data[k])
    here = np.asarray(op.fn(*places, **options))[entry]
    return [x == here if k in own and here else False for k, x in enumerate(places)]


def _resting(op: Primitive, data: Sequence[Any], options: Any, entry: Entry) -> list[Any]:
    """In each argument what an entry rests on.

    That is where its share of an upstream gradient of that entry is not 0, for drawn numbers.
    """
    rng, masks = np.random.default_rng(0), list[Any]([False] * len(data))
    with suppress(Exception):  # where it has no value there
        numbers = data if op.piecewise else [rng.uniform(0.5, 1.5, np.shape(x)) for x in data]
        drawn = [Value(new) if is_real(x) else x for x, new in zip(data, numbers)]
        alone = apply(op, drawn, options)
        seed = _stretched(alone.shape, entry) * 1.0
        for k, x in enumerate(drawn):
            if isinstance(x, Value):
                masks[k] = np.not_equal(unbroadcast(share(alone, k, seed), x.data, op), 0.0)
    return masks if any(map(np.any, masks)) else [np.ones(np.shape(x), bool) for x in data]


@lru_cache(maxsize=256)
def _known(op: Primitive, shapes: Any, options: Any, entry: Entry) -> list[Any]:
    """The same of what does not rest on the data, for the shapes of a long loop."""
    return _resting(op, [np.zeros(shape) for shape in shapes], dict(options), entry)


def _is_infinite(x: Any) -> Any:
    """Whether numbers are inf or nan."""
    return ~np.isfinite(x)


# ------------------------------------------------------------------ forward
class Forward:
    """Births on the way forward, in a graph whose nodes are ordered.

    What was ``assigned`` since was finite, as far as one knows.
    """

    def __init__(self, nodes: Sequence[Value], assigned: Collection[Value]) -> None:
        self.step = {node: i for i, node in enumerate(nodes, 1)}
        self.assigned = {*assigned}

    def first(self, node: Value, entry: Entry, test: Callable[[Any], Any]) -> list[Source]:
        """Of each argument the first entry that an entry of a node rests on, and that is so."""
        found = list[Source]()
        for x, mask in meeting(node, entry) if node.op else ():
            true = mask & test(detach(x))
            if true.any() and not (x.__class__ is Value and x in self.assigned):
                found.append((x, first(true)))
        return found

    def birth(self, x: Any, entry: Entry) -> tuple[Birth, list[Value]]:
        """Where an entry that is not finite began, and the nodes from there on."""
        path: list[Value] = []
        while True:
            path += [x] if isinstance(x, Value) else []
            value = entry_of(x, entry)
            worse = np.isnan if math.isnan(value) else _is_infinite
            found = self.first(x, entry, worse) if isinstance(x, Value) else []
            if not found:
                break
            x, entry = min(found, key=lambda s: isinstance(s[0], Value))  # a constant first
        node, count = path[-1], int(np.sum(~np.isfinite(detach(x))))
        where = (node, self.step[node], entry, value)
        if not (isinstance(x, Value) and x.op):
            return Birth(*where, "data", number(value), ((x, entry),), (), count), path[::-1]
        met_there = sources(x, entry)
        numbers, bad = [entry_of(*s) for s in met_there], self.first(x, entry, _is_infinite)
        births = (self.birth(*source)[0] for source in bad[::-1] if isinstance(source[0], Value))
        before = tuple({birth.node: birth for birth in islice(births, 2)}.values())
        why = _cause(node, entry, value, numbers), met(node.op, numbers)
        birth = Birth(*where, *why, tuple(met_there), before, count)
        if not bad and met_there and (vanished := self.vanished(*culprit(birth))):
            birth = birth._replace(before=(vanished,))
        return birth, path[::-1]

    def vanished(self, x: Any, entry: Entry) -> Birth | None:
        """Where an entry that is 0 was made of numbers that are not, and too small."""
        while isinstance(x, Value) and x.op and entry_of(x, entry) == 0.0:
            op, zeros = x.op, self.first(x, entry, lambda numbers: numbers == 0.0)
            if op.positive or (not zeros and (op.powers or op in PRODUCTS)):
                for source, at in self.first(x, entry, _is_infinite)[:1]:
                    return self.birth(source, at)[0] if isinstance(source, Value) else None
                met_there = tuple(sources(x, entry))
                why = "underflow", met(op, [entry_of(*s) for s in met_there]), met_there
                return Birth(x, self.step[x], entry, 0.0, *why, (), int(np.sum(detach(x) == 0)))
            numbers = [np.asarray(detach(y))[mask] == 0.0 for y, mask in meeting(x, entry)]
            if not zeros or (op.linear and np.mean(np.concatenate(numbers)) * len(op.linear) < 1.0):
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
    return "overflow" if _is_finite_of_less(node, entry) else "pole"


def _is_finite_of_less(node: Value, entry: Entry) -> bool:
    """Whether an entry of a node is finite where one of its arguments is far smaller."""
    args = [*map(detach, node.parents)]
    less = ([*args[:k], x * 2.0**-1000, *args[k + 1 :]] for k, x in enumerate(args) if is_real(x))
    with suppress(np.linalg.LinAlgError):  # of a matrix that is singular
        return any(np.isfinite(entry_of(node.op.fn(*x, **node.options), entry)) for x in less)
    return False


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
    for _halving in range(1_200):  # from 1e308 down to any number
        middle = 0.5 * (low + high)
        out = node.op.fn(node.dtype.type(middle))
        low, high = (middle, high) if np.isfinite(out) and out != 0.0 else (low, middle)
    return low


# ------------------------------------------------------------------ the way back
def _backward(nodes: Sequence[Value], slopes: dict[Value, Any]) -> Iterator[Birth]:
    """Where a share is not finite though what it is made of is, by the gradients of all nodes."""
    bad, totals = {node for node in nodes if not is_finite(slopes[node])}, dict[Value, Any]()
    for step, node in zip(range(len(nodes), 0, -1), reversed(nodes)):
        for k, parent in enumerate(node.parents):
            if isinstance(parent, Value) and parent in bad:
                raw = share(node, k, slopes[node])
                d = unbroadcast(raw, parent.data, node.op)
                total = totals[parent] = totals[parent] + d if parent in totals else d
                if not is_finite(total):
                    bad.remove(parent)  # the first share that is not finite counts
                    if is_finite(slopes[node]):
                        yield _share_born(node, step, k, slopes[node], raw, total)


def _share_born(node: Value, step: int, k: int, g: Any, raw: Any, total: Any) -> Birth:
    """A birth on the way back: the upstream gradient and the slope that met in an entry."""
    bad, target = ~np.isfinite(total), node.parents[k]
    entry, upstream, local = first(bad), None, None
    met_there = [(target, entry)]
    lost = ~np.isfinite(np.asarray(raw, target.dtype))  # which may be a narrow one
    if np.shape(raw) == node.shape and np.any(lost):
        at, slope = first(lost), share(node, k, ones_like(node))
        met_there, upstream = sources(node, at), entry_of(g, at)
        local = entry_of(slope, at) if np.shape(slope) == node.shape else None
    text = met(node.op, [entry_of(*s) for s in met_there])
    fields = (node, step, entry, entry_of(total, entry), "rule", text, ((target, entry),), ())
    return Birth(*fields, int(np.sum(bad)), target, upstream, local)


def find_births(
    nodes: Sequence[Value], seed: Any, assigned: Collection[Value] = ()
) -> tuple[list[Birth], list[Value], dict[Value, Any]]:
    """Births forward and the way of the first; else those on the way back, and all gradients.

    What is infinite on the way back and dropped before a leaf is none.

    Parameters
    ----------
    nodes : as of `ordered`
    seed : the gradient to start from; None for no way back
    assigned : the leaves whose data are not those that the graph was computed from
    """
    data = np.asarray(nodes[-1].data)
    if not is_finite(data):
        bad = np.isnan(data) if np.isnan(data).any() else np.isinf(data)
        birth, path = Forward(nodes, assigned).birth(nodes[-1], first(bad))
        return [birth], path, {}
    if seed is None:
        return [], [], {}
    slopes = dict(zip(nodes, gradients(nodes[-1], seed, nodes)))
    finite = all(is_finite(g) for node, g in slopes.items() if node.op is None)
    return [] if finite else [*_backward(nodes, slopes)], [], slopes
