r"""From the textbook loss to the stable one: `fuse`.

People write softmax and cross-entropy in dozens of ways. Read as logarithms they are all one thing:

    log(x y) = log x + log y    log(exp v) = v    log Σ exp(z − m) = logsumexp(z) − m

so every spelling is linear in z and logsumexp(z), Σ B·logsumexp(z) − Σ T·z, and it is the loss of
the target T exactly if B = ΣT over the classes and nothing else is left over: what was subtracted
has cancelled. Coefficients are gradients, so the rules of the table find T and B, in one sweep down
from the candidate. With log(1 + exp(±z)) in place of logsumexp(z), the same sweep reads sigmoid and
binary cross-entropy. What the sweep cannot read stays as it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial, wraps
from heapq import heappop, heappush
from typing import Any
from zlib import crc32

import numpy as np

from ..engine.backward import topological
from ..engine.data import unbroadcast
from ..losses.losses import binary_cross_entropy, cross_entropy

# fmt: off
# isort: off
from ..engine.ops import (
    ADD, DIVIDE, EXP, GETITEM, IDENTITY, LOG, MATMUL, MULTIPLY, NEGATIVE, POWER, SUBTRACT, SUM,
    WHERE,
)
from ..engine.numpy_functions import (
    BROADCAST_TO, CONCATENATE, EINSUM, EXPAND_DIMS, LOG1P, MAX, MEAN, RESHAPE, SQUEEZE, SWAPAXES,
    TAKE_ALONG_AXIS, TRANSPOSE,
)
# isort: on
from ..engine.transforms import flatten, unflatten
from ..engine.value import Value, apply, detach

# What only moves entries: a logarithm moves with them. Then what is linear in all arguments at
# once, and what is linear in one of them.
MOVES = {
    IDENTITY, RESHAPE, EXPAND_DIMS, SQUEEZE, TRANSPOSE, SWAPAXES, BROADCAST_TO, CONCATENATE, WHERE,
    GETITEM, TAKE_ALONG_AXIS,
}
# fmt: on
SUMS = {ADD, SUBTRACT, NEGATIVE, SUM, MEAN} | MOVES
PRODUCTS = {MULTIPLY, DIVIDE, MATMUL, EINSUM}
PATIENCE = (
    20  # sweeps over the whole graph that may come to nothing, before the rest stays as it is
)
TIGHT = 64  # eps: how far coefficients that are equal in exact arithmetic may differ

# What a node can be the sum of: ("lin", v), a node; ("log", v), its logarithm; ("lse", z, axis),
# logsumexp(z); ("soft", z, s), log(1 + exp(s z)); ("max", v, axis); ("const", numbers, shape).
Term = tuple[Any, ...]
Pull = Callable[[Any], Any]  # from the coefficient of a node to that of one of its terms
Terms = Iterator[tuple[Term, Pull]]


class NoLoss(Exception):
    """Why a node stays as it is; of several reasons the one of the lowest rank is told."""

    def __init__(self, why: str, rank: int = 0) -> None:
        super().__init__(why)
        self.why, self.rank = why, rank


@dataclass
class _Match:
    """What takes a node's place, made of the logits once they are rewritten themselves."""

    z: Value
    make: Callable[[Value], Value]
    loss: str


def _named(node: Any) -> str:
    return node.name or (node.op.name if node.op else "a leaf")


def _is(x: Any, number: float) -> bool:
    return not isinstance(x, Value) and bool(np.all(np.equal(x, number)))


def _const(x: Any) -> Term:
    """A constant is known by its numbers: (n, 1) or (n,), they cancel."""
    x = np.asarray(x, np.float64)
    return "const", x.tobytes(), x.shape


def _fit(g: Any, shape: tuple[int, ...]) -> Any:
    """Undo broadcasting."""
    g = g if hasattr(g, "dtype") else np.asarray(g)
    return unbroadcast(g, np.broadcast_to(np.zeros((), g.dtype), shape), IDENTITY)


def _pass(g: Any) -> Any:
    return g


def _minus(g: Any) -> Any:
    return -g


def _leaves(v: Value) -> set[Value]:
    return {node for node in topological(v) if node.op is None}


class Reader:
    """The nodes of a graph, read as sums of logarithms."""

    def __init__(self, nodes: Sequence[Value], origin: dict[Value, Value] | None = None) -> None:
        self.origin = origin or {}  # a node -> one whose data a program has recorded
        self.recorded: dict[Value, Value] = {}  # the same, once coefficients are to be recorded
        self.same: dict[Value, Value] = {}  # a node -> the first that computes the same
        self.alive: list[Any] = []  # what is known by its id
        first: dict[Any, Value] = {}
        for node in nodes:
            twin = first.setdefault(self._known(node), node)
            # a user's operation may draw anew each time, so the data decide too
            equal = twin is node or np.array_equal(twin.data, node.data, equal_nan=True)
            self.same[node] = twin if equal else first.setdefault(node, node)
        self.softmaxes: dict[Value, tuple[Value, int, list[tuple[float, Any]]]] = {}
        self.softpluses: dict[Value, tuple[Value, Any]] = {}
        self.labelled: set[Value] = set()  # logits times labels: a batch may be of one class
        self.stops: set[Value] = set()  # the logits, and what is subtracted from them
        for node in first.values():
            if node.op is SUM:
                self._read_sum(node)
            elif node.op in (ADD, LOG1P):
                self._read_softplus(node)
        self.work = 0  # nodes swept over
        self.seen: dict[tuple[bool, Value], tuple[set[Term], NoLoss | None]] = {}
        for node in first.values():
            for log in (False, True):
                self.seen[log, node] = self._survey(node, log)

    # --- nodes that compute the same
    def _known(self, x: Any) -> Any:
        if isinstance(x, Value):
            if x in self.same:
                return self.same[x]
            return x if x.op is None else (x.op, self._known(x.parents), self._known(x.options))
        if isinstance(x, dict):
            x = tuple(x.items())
        if isinstance(x, list | tuple):
            return tuple(map(self._known, x))
        if x.__class__ is np.ndarray and x.nbytes < 2**12:
            return x.dtype.str, x.shape, x.tobytes()
        if x is None or x is ... or isinstance(x, slice | float | int | str):
            return repr(x)
        self.alive.append(x)
        return id(x)

    def parents(self, node: Value) -> list[Any]:
        """The arguments, each node the first of its kind."""
        return [self.same[p] if isinstance(p, Value) else p for p in node.parents]

    # --- softmaxes and sigmoids
    def _read_sum(self, node: Value) -> None:
        """Σ exp(z − m) over one axis, along which m is constant."""
        e = self.parents(node)[0]
        axes = node.options.get("axis")
        axes = range(e.ndim) if axes is None else axes if isinstance(axes, tuple) else (axes,)
        axes = [a % e.ndim for a in axes]
        axes = [a for a in axes if e.shape[a] != 1] or axes[-1:]
        if e.op is not EXP or len(axes) != 1:
            return
        v, shifts = self.parents(e)[0], []
        while step := self._shifted(v, axes[0]):
            v, sign, m = step
            shifts.append((sign, m))
            if isinstance(m, Value) and not self._picks(m, v):
                self.stops.add(m)
        self.stops.add(v)
        self.softmaxes[node] = v, axes[0], shifts

    def _picks(self, m: Value, z: Value) -> bool:
        """Whether m is entries of z, as in log Σ exp(z − z_t), by their index or one-hot rows."""
        while m is not z and m.op in MOVES | {SUM, MULTIPLY, MATMUL, EINSUM}:
            values = [p for p in self.parents(m) if isinstance(p, Value)]
            if len(values) > 1:
                return False
            m = values[0]
        return m is z

    def _shifted(self, v: Value, axis: int) -> tuple[Value, float, Any] | None:
        """Take z + m or z − m apart; m may rest on no leaf but z's, or that one lost its zeros."""
        if v.op not in (ADD, SUBTRACT):
            return None
        x, y = self.parents(v)
        for z, m in ((x, y), (y, x)) if v.op is ADD else ((x, y),):
            shape = (1,) * (v.ndim - np.ndim(m)) + np.shape(m)
            if not isinstance(z, Value) or z.shape != v.shape or shape[axis] != 1:
                continue
            if not isinstance(m, Value) or _leaves(m) <= _leaves(z):
                return z, (1.0 if v.op is ADD else -1.0), m
        return None

    def _read_softplus(self, node: Value) -> None:
        """1 + exp(s z), or log1p of that exp, for s = ±1."""
        given = self.parents(node)
        e = next((p for p in given if isinstance(p, Value) and p.op is EXP), None)
        one = node.op is LOG1P or any(_is(p, 1.0) for p in given)
        if one and e is not None and e.shape == node.shape:
            self.softpluses[node] = z, _ = self._signed(self.parents(e)[0])
            self.stops.add(z)

    def _signed(self, v: Value, nested: bool = False) -> tuple[Value, Any]:
        """Take s z apart, for signs s."""
        sign: Any = 1.0
        labelled = False
        while step := self._sign(v, nested):
            labelled |= v.op is MULTIPLY and np.ndim(step[1]) > 0
            v, s = step
            sign = sign * s
        if labelled:
            self.labelled.add(v)
        return v, sign

    def _sign(self, v: Value, nested: bool) -> tuple[Value, Any] | None:
        given = self.parents(v)
        if v.op is NEGATIVE or (v.op is SUBTRACT and _is(given[0], 0.0)):
            z, sign = given[-1], -1.0
        elif v.op is WHERE and not nested and all(isinstance(p, Value) for p in given[1:]):
            (z, s), (other, r) = (self._signed(p, nested=True) for p in given[1:])
            z, sign = (z if z is other else None), np.where(self._condition(v), s, r)
        elif v.op is MULTIPLY:
            z, sign = given if isinstance(given[0], Value) else given[::-1]
            if isinstance(sign, Value) or self._argument(v, 0 if sign is given[0] else 1):
                return None
            if not np.all(np.abs(sign) == 1):
                return None
        else:
            return None
        return (z, sign) if isinstance(z, Value) and z.shape == v.shape else None

    def _argument(self, node: Value, i: int) -> bool:
        """Whether a constant is an argument of a program: other data in the next call."""
        origin = self.origin.get(node)
        plain = np.ndarray | np.generic | float | bool
        return origin is not None and not isinstance(origin.parents[i], plain)

    def _condition(self, node: Value) -> Any:
        """The condition of a where; of an argument many draws, so that only what cancels is one."""
        c = node.parents[0]
        if not self._argument(node, 0):
            return c
        draws = np.random.default_rng(crc32(np.asarray(c).tobytes())).random(64) < 0.5
        return draws.reshape(-1, *[1] * node.ndim)

    def _sigmoid(self, v: Any) -> tuple[Value, Any] | None:
        """Take σ(s z) apart into z and s: 1, exp or either over 1 + exp."""
        if not isinstance(v, Value) or v.op not in (DIVIDE, POWER):
            return None
        top, below = self.parents(v)
        if v.op is POWER:
            if not _is(below, -1.0):
                return None
            top, below = 1.0, top
        if not isinstance(below, Value) or below not in self.softpluses:
            return None
        if below.op is LOG1P or below.shape != v.shape:
            return None
        z, sign = self.softpluses[below]
        e = next(p for p in self.parents(below) if isinstance(p, Value))
        where, a, b = (True, top, top)
        if isinstance(top, Value) and top.op is WHERE:
            where, a, b = self._condition(top), *self.parents(top)[1:]
        if not all(p is e or _is(p, 1.0) for p in (a, b)):
            return None
        return z, sign * np.where(where, 1.0 if a is e else -1.0, 1.0 if b is e else -1.0)

    # --- what a node is the sum of
    def terms(self, node: Value, log: bool, plain: bool = False) -> Terms:
        """What a node, or its logarithm, is the sum of; ``plain``: as if its scalar factors were 1.

        Raises
        ------
        NoLoss
            If it is more than a sum.
        """
        op: Any = node.op
        given = self.parents(node)
        if log or op in (LOG, LOG1P):
            yield from self._of_log(node, given) if log else self._of_lin_log(node, given)
        elif op in SUMS:
            for i, p in enumerate(given):
                if i not in op.constants:
                    rule = self.rule(node, i, SUM if plain and op is MEAN else op)
                    yield (("lin", p) if isinstance(p, Value) else _const(p)), rule
        elif op in PRODUCTS:
            values = [i for i, p in enumerate(given) if isinstance(p, Value)]
            if len(values) > 1 or (op is DIVIDE and values != [0]):
                raise NoLoss(f"{_named(node)} is of two Values, and a target is plain data", 2)
            i = values[0]
            factor = math.prod(map(_scalar_sign, given)) if op in (MULTIPLY, DIVIDE) else 0.0
            yield (
                ("lin", given[i]),
                (lambda g: g * factor) if plain and factor else self.rule(node, i),
            )
        else:
            raise NoLoss(f"{_named(node)} is not a part of such a loss", 2)

    def _of_lin_log(self, node: Value, given: list[Any]) -> Terms:
        if node.op is LOG:
            yield ("log", given[0]), _pass
        elif node in self.softpluses:
            yield from self._softplus(*self.softpluses[node])
        elif given[0].op is NEGATIVE and (found := self._sigmoid(self.parents(given[0])[0])):
            yield from self._softplus(*found, -1.0)  # log(1 − σ(x)) = −log(1 + exp x)
        else:
            raise NoLoss(f"log(1 + {_named(given[0])}) is not that of a sigmoid", 1)

    def _of_log(self, node: Value, given: list[Any]) -> Terms:
        op: Any = node.op
        if op is EXP:
            yield ("lin", given[0]), _pass
        elif found := self._sigmoid(node):  # log σ(x) = −log(1 + exp −x)
            yield from self._softplus(found[0], -found[1], -1.0)
        elif op in (MULTIPLY, DIVIDE):
            yield _log(given[0]), _pass
            yield _log(given[1]), _pass if op is MULTIPLY else _minus
        elif op is POWER and not isinstance(given[1], Value):
            exponent = self.recorded.get(node, node).parents[1]
            yield _log(given[0]), lambda g: g * exponent
        elif op in MOVES:
            for i, p in enumerate(given):
                if i not in op.constants:
                    yield _log(p), self.rule(node, i)
        elif node in self.softmaxes:
            z, axis, shifts = self.softmaxes[node]
            kept = tuple(1 if a == axis else n for a, n in enumerate(z.shape))
            yield ("lse", z, axis), lambda g: np.reshape(g, kept)
            for sign, m in shifts:
                term = ("lin", m) if isinstance(m, Value) else _const(m)
                yield term, lambda g, sign=sign: sign * np.reshape(g, kept)  # type: ignore[misc]
        elif op is ADD and node in self.softpluses:
            yield from self._softplus(*self.softpluses[node])
        elif op is SUBTRACT and _is(given[0], 1.0) and (found := self._sigmoid(given[1])):
            yield from self._softplus(*found, -1.0)
        elif picked := self._picked(node, given):
            yield picked
        else:
            raise NoLoss(f"log of {_named(node)}: that is no softmax and no sigmoid", 1)

    def _softplus(self, z: Value, sign: Any, factor: float = 1.0) -> Terms:
        """log(1 + exp(s z)), entry by entry that of z or of −z."""
        for way in (1.0, -1.0):
            hit = np.equal(sign, way)
            if np.all(hit) or not np.any(hit):
                hit = float(np.all(hit))
            elif np.ndim(hit) > z.ndim:
                raise NoLoss("the sign of the logits depends on an argument", 1)
            if np.any(hit) or z in self.labelled:
                yield ("soft", z, way), lambda g, hit=hit: factor * g * hit  # type: ignore[misc]

    def _picked(self, node: Value, given: list[Any]) -> tuple[Term, Pull] | None:
        """log Σ c x = log x_k, where c is 1 at k and 0 elsewhere: one-hot rows pick."""
        summed = node.op is SUM and given[0].op is MULTIPLY
        if not summed and node.op not in (MATMUL, EINSUM):
            return None
        pair = self.parents(given[0]) if summed else given
        if len(pair) != 2 or sum(isinstance(p, Value) for p in pair) != 1:
            return None
        i = 0 if isinstance(pair[0], Value) else 1
        x, c = pair[i], np.asarray(pair[1 - i])

        def combine(c: Any) -> Any:
            both = [np.ones(x.shape), c] if i == 0 else [c, np.ones(x.shape)]
            return node.op.fn(*([both[0] * both[1]] if summed else both), **node.options)

        # numbers from 0 up whose sum is 1, and the sum of whose squares is 1: one 1, the rest 0
        if not (np.all(c >= 0) and _is(combine(c), 1.0) and _is(combine(c * c), 1.0)):
            return None
        rule = self.rule(node, 0 if summed else i)
        if not summed:
            return ("log", x), rule
        factor = self.rule(given[0], i)
        return ("log", x), lambda g: factor(rule(g))

    def rule(self, node: Value, i: int, op: Any = None) -> Pull:
        """The derivative rule of one argument."""
        op = op or node.op
        rule = op.vjps[i]
        node = self.recorded.get(node, node)
        data = [detach(p) for p in node.parents]
        return lambda g: rule(g, node.data, *data, **node.options)

    # --- sweeping down
    def _survey(self, node: Value, log: bool) -> tuple[set[Term], NoLoss | None]:
        """Find the softmaxes and sigmoids a node is a sum over, and why it may not be just that."""
        groups: set[Term] = set()
        why: NoLoss | None = None
        if not log and (node in self.stops or node.op is MAX):
            return groups, why
        try:
            for term, _ in self.terms(node, log):
                if term[0] in ("lse", "soft"):
                    groups.add(term if term[0] == "lse" else term[:2])
                elif term[0] in ("lin", "log"):
                    below, reason = self.seen[term[0] == "log", term[1]]
                    groups |= set(list(below)[:2])  # two are too many already
                    if reason and (not why or reason.rank < why.rank):
                        why = reason
        except NoLoss as no:
            why = no
            for p in () if log else self.parents(node):
                if isinstance(p, Value):
                    groups |= set(list(self.seen[False, p][0])[:2])
        return groups, why

    def coefficients(self, node: Value, g: Any, plain: bool = False) -> dict[Term, Any]:
        """Sweep the coefficient ``g`` of a node down to all that it is a sum of."""
        held: dict[Term, Any] = {("lin", node): g}
        todo = [(-node.number, False, node)]
        found: dict[Term, Any] = {}
        while todo:
            self.work += 1
            _, log, node = heappop(todo)
            g = held.pop(("log" if log else "lin", node))
            for term, pull in self.terms(node, log, plain):
                d = pull(g)
                kind, v = term[:2]
                into = found
                if kind == "const":
                    d = np.ravel(_fit(d, term[2]))
                    term = term[:2]
                elif kind in ("lin", "log"):
                    d = _fit(d, v.shape)
                    if kind == "lin" and v.op is MAX:
                        term, d = ("max", self.parents(v)[0], _axes(v)), np.ravel(d)
                    elif kind == "log" or v not in self.stops:
                        into = held
                        if term not in held:
                            heappush(todo, (-v.number, kind == "log", v))
                into[term] = into[term] + d if term in into else d
        return found

    def arrays(self, node: Value) -> Iterator[Any]:
        """The user's own arrays under a node: targets and indices, down to the logits."""
        todo, seen = [node], {node}
        while todo:
            node = todo.pop()
            index = node.options.get("index", ())
            for p in (*self.parents(node), *(index if isinstance(index, tuple) else (index,))):
                if isinstance(p, np.ndarray):
                    yield p
                elif isinstance(p, Value) and p not in seen and p not in self.stops:
                    seen.add(p)
                    todo.append(p)


def _axes(v: Value) -> Any:
    axis, rank = v.options.get("axis"), v.parents[0].ndim
    return axis % rank if isinstance(axis, int) else axis


def _log(p: Any) -> Term:
    with np.errstate(all="ignore"):
        return ("log", p) if isinstance(p, Value) else _const(np.log(p))


def _scalar_sign(p: Any) -> float:
    return (
        1.0
        if isinstance(p, Value)
        else float(np.sign(p * 1.0).reshape(-1)[0])  # there is no sign of a bool
        if np.size(p) == 1
        else 0.0
    )


# ------------------------------------------------------------------------------- is it the loss?
def read_loss(read: Reader, node: Value, unnormalized: bool, unbalanced: bool = False) -> _Match:
    """What can take the place of a node; a `NoLoss` if nothing can.

    ``unbalanced``: logsumexp may have another weight than the logits, log(1 + exp) be alone.
    """
    groups, why = read.seen[False, node]
    if why:
        raise why
    if len(groups) > 1:
        raise NoLoss(f"{_named(node)} is of two softmaxes or sigmoids", 2)
    _, z, *axis = next(iter(groups))  # no axis: a sigmoid
    if not z.size:
        raise NoLoss(f"{_named(node)} is of no samples")
    samples = math.prod(n for a, n in enumerate(z.shape) if a not in axis)
    one = node.size == 1
    if not one and node.size != samples:
        raise NoLoss(
            f"{_named(node)} of shape {node.shape} has neither one entry nor one a sample", 3
        )
    tiny = TIGHT * _eps(z)
    ones = np.ones(node.shape, node.dtype)
    target, mass = _table(read.coefficients(node, ones), z, axis, tiny, unbalanced)
    if not one:  # a coefficient of its own tells an entry from every other
        own = np.random.default_rng(0).uniform(1.0, 2.0, node.shape)
        _, moved = _table(read.coefficients(node, own), z, axis, tiny, unbalanced)
        if not np.allclose(np.ravel(moved), np.ravel(own) * np.ravel(mass), tiny, 0.0):
            raise NoLoss(f"{_named(node)} mixes samples, or has them in another order")
    sign = -1.0 if np.all(mass <= 0.0) else 1.0
    target, mass, least = sign * target, sign * mass, tiny * np.max(np.abs(mass))
    target = np.where(np.abs(target) < least, 0.0, target)
    if np.any(target < 0.0) or (not axis and np.any(target > mass + least)):
        raise NoLoss(f"{_named(node)}: its targets have both signs")
    scale, sums = _scale(read, node, z, axis, mass, 1.0 / samples if one else 1.0)
    if scale is None and not unnormalized:
        along = f" over axis {axis[0]}" if axis else ""
        raise NoLoss(
            f"{_named(node)}: its targets sum to {_range(sums)}{along}, not to 1 a sample "
            "(allow_unnormalized=True takes them)"
        )
    numbers = [p for p in node.parents if not isinstance(p, Value) and np.size(p) == 1]
    scales = node.op in (MULTIPLY, DIVIDE) and numbers and scale not in (None, 1.0, 1.0 / samples)
    if scales:
        raise NoLoss(f"{_named(node)}: the loss is what it scales", 3)
    reduction = "none" if not one else "mean" if scale not in (None, 1.0) else "sum"
    factor = sign * (scale or 1.0) * (samples if reduction == "mean" else 1.0)
    make = _softmax_loss if axis else _sigmoid_loss
    loss = make(read, node, z, axis, target, mass, scale, reduction, tiny)
    return _Match(
        z,
        lambda new: in_place(node, loss(new), factor),
        "LogSoftmaxNLL" if axis else "binary_cross_entropy",
    )


def _softmax_loss(
    read: Reader, node: Value, z: Value, axis: Any, target: Any, mass: Any, scale: Any,
    reduction: str, tiny: float,
) -> Callable[[Value], Any]:  # fmt: skip
    """`cross_entropy` of the targets found, as the table that the user has or as class indices."""
    wanted = target / (scale or 1.0)
    table = _given(read, node, wanted, tiny)
    index = np.argmax(wanted, axis=axis[0])
    one_hot = np.count_nonzero(wanted) == index.size
    if table is wanted and one_hot and np.allclose(np.max(wanted, axis=axis[0]), 1.0, tiny):
        integers = (a for a in read.arrays(node) if a.dtype.kind in "iu")
        table = next((a for a in integers if np.array_equal(a, index)), index)
    return partial(
        cross_entropy, target=table, axis=axis[0], reduction=reduction,
        allow_unnormalized=scale is None,
    )  # fmt: skip


def _sigmoid_loss(
    read: Reader, node: Value, z: Value, axis: Any, target: Any, mass: Any, scale: Any,
    reduction: str, tiny: float,
) -> Callable[[Value], Any]:  # fmt: skip
    """`binary_cross_entropy` of the targets found."""
    share = target / (np.where(mass == 0.0, 1.0, mass) if scale is None else scale)
    table = _given(read, node, np.minimum(share, 1.0), tiny)
    table = table if np.all(table <= 1.0) else np.minimum(share, 1.0)
    weight = mass if scale is None else None
    return partial(binary_cross_entropy, target=table, weight=weight, reduction=reduction)


def in_place(node: Value, loss: Any, factor: float) -> Value:
    """The loss, scaled, with the shape and the name of the node whose place it takes."""
    loss = loss if factor == 1.0 else -loss if factor == -1.0 else loss * factor
    loss = loss if loss.shape == node.shape else np.reshape(loss, node.shape)
    loss.name = node.name
    found: Value = loss
    return found


def _eps(z: Value) -> float:
    return float(np.finfo(z.dtype).eps)


def _table(
    found: dict[Term, Any], z: Value, axis: Any, tiny: float, unbalanced: bool = False
) -> tuple[Any, Any]:
    """The targets and their sum for each sample, if all that was found is the loss of them."""
    linear = found.pop(("lin", z), None)
    if axis:
        target = np.zeros(z.shape, z.dtype) if linear is None else -linear
        mass = found.pop(("lse", z, *axis))
        wanted = np.sum(target, axis=axis[0], keepdims=True)
        if not (unbalanced or np.allclose(wanted, mass, 0.0, tiny * np.max(np.abs(mass)))):
            raise NoLoss(
                "logsumexp and the logits have other weights: another axis, another row, or "
                "targets that do not sum to 1",
                2,
            )
    else:  # z = log(1 + exp z) − log(1 + exp −z)
        up, down = found.pop(("soft", z, 1.0), None), found.pop(("soft", z, -1.0), None)
        if linear is None and (up is None or down is None) and not unbalanced:
            raise NoLoss("log(1 + exp) alone has no target", 2)
        shift, up, down = (0.0 if x is None else x for x in (linear, up, down))
        target, mass = np.broadcast_to(down - shift, z.shape), np.broadcast_to(up + down, z.shape)
    size = tiny * np.sum(np.abs(mass))
    for (kind, what, *_), coefficient in found.items():
        if kind == "const":
            coefficient = np.where(np.frombuffer(what) == 0.0, 0.0, coefficient)
        if not np.all(np.abs(coefficient) <= size):
            told = "a constant" if kind == "const" else "max of " * (kind == "max") + _named(what)
            raise NoLoss(f"{told} is left over: what is subtracted does not cancel")
    return target, mass


def _scale(
    read: Reader, node: Value, z: Value, axis: Any, mass: Any, mean: float
) -> tuple[float | None, Any]:
    """The number that each sample's loss is multiplied by: 1/n, 1, or what the graph scales with.

    None where the targets themselves do not sum to one number for every sample. With it, what
    they sum to before that.
    """
    near = 1e-6 if mass.dtype.itemsize >= 8 else 1e-3  # what cross_entropy accepts as a sum of 1
    for nice in (mean, 1.0):
        if np.allclose(mass, nice, near, 0.0):
            return nice, mass
    try:
        plain = read.coefficients(node, np.ones(node.shape, node.dtype), plain=True)
        _, own = _table(plain, z, axis, TIGHT * _eps(z))
    except NoLoss:
        return None, mass
    if not np.allclose(np.abs(own), 1.0, near, 0.0):
        return None, np.abs(own)
    ratio = np.ravel(mass / np.abs(own))
    same = np.allclose(ratio, ratio[0], TIGHT * _eps(z), 0.0)
    return float(ratio[0]) if same else None, mass


def _range(mass: Any) -> str:
    low, high = (f"{end + 0.0:.4g}" for end in (np.min(mass), np.max(mass)))  # + 0: no -0
    return low if low == high else f"{low} to {high}"


def _given(read: Reader, node: Value, wanted: Any, tiny: float) -> Any:
    """The user's own array where it is the one wanted: who follows arrays finds it."""
    for array in read.arrays(node):
        if array.shape == wanted.shape and np.allclose(array, wanted, tiny, 0.0):
            return array
    return wanted


# ----------------------------------------------------------------------------- the graph, anew
def _by_a_number(node: Value) -> bool:
    """Whether a node scales or shifts one other by a number: of such in a row the last is tried."""
    values = [p for p in node.parents if isinstance(p, Value)]
    numbers = [p for p in node.parents if p.__class__ is float]
    return node.op in (ADD, SUBTRACT, MULTIPLY, DIVIDE) and len(values) == 1 == len(numbers)


def find(roots: Sequence[Value], unnormalized: bool) -> tuple[Reader, dict[Value, _Match], str]:
    """The outermost losses in a graph, below them those in their logits; and what kept others."""
    nodes = {node for root in roots for node in topological(root)}
    read = Reader(sorted(nodes, key=lambda node: node.number))
    found: dict[Value, _Match] = {}
    reasons = [NoLoss("there is no log of a softmax or a sigmoid", 4)]
    todo = [read.same[root] for root in roots]
    seen = set(todo)
    limit = PATIENCE * len(nodes) + 10_000
    while todo:
        node = todo.pop()
        below = [p for p in read.parents(node) if isinstance(p, Value)]
        groups, why = read.seen[False, node]
        if not (_by_a_number(node) and _by_a_number(below[0])) and (groups or why):
            try:
                if read.work > limit:
                    raise NoLoss("too much that looks like a loss and is none")
                found[node] = read_loss(read, node, unnormalized)
                below = [found[node].z]
            except NoLoss as no:
                reasons += [no] if groups or no.rank == 1 else []
        todo += [p for p in below if p not in seen]
        seen.update(below)
    return read, found, min(reasons, key=lambda no: no.rank).why


def _rewritten(roots: Sequence[Value], unnormalized: bool, explain: bool) -> list[Value]:
    """The same results from a graph in which each loss found is one node."""
    with np.errstate(all="ignore"):  # constants may be anything
        read, found, why = find(roots, unnormalized)
    if explain:
        names = [f"{_named(node)} is now {match.loss}" for node, match in found.items()]
        print("fuse:", "; ".join(names) or f"nothing: {why}")
    made: dict[Value, Value] = {}
    todo, needed = list(roots), set(roots)
    while todo:
        node = todo.pop()
        match = found.get(read.same[node])
        below = [match.z] if match else [p for p in node.parents if isinstance(p, Value)]
        todo += [p for p in below if p not in needed]
        needed.update(below)
    for node in sorted(needed, key=lambda node: node.number):
        first = read.same[node]
        if first in found:
            if first not in made:
                made[first] = found[first].make(made[found[first].z])
            made[node] = made[first]
        else:
            made[node] = again(node, [made[p] if isinstance(p, Value) else p for p in node.parents])
    return [made[root] for root in roots]


def again(node: Value, parents: list[Any]) -> Value:
    """A node on new parents; itself if they are the old ones."""
    if all(new is old for new, old in zip(parents, node.parents)):
        return node
    assert node.op is not None
    new = apply(node.op, tuple(parents), node.options)
    new.name = node.name
    return new


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
        def fused(*args: Any, **kwargs: Any) -> Any:
            with np.errstate(all="ignore"):  # what overflows here is taken out
                out = value_or_function(*args, **kwargs)
            return _tree(out, allow_unnormalized, explain)

        return fused
    if not any(isinstance(leaf, Value) for _, leaf in flatten(value_or_function)):
        raise TypeError(
            f"fuse: got {type(value_or_function).__name__}, wanted a Value or a function of Values"
        )
    return _tree(value_or_function, allow_unnormalized, explain)


def _tree(tree: Any, unnormalized: bool, explain: bool) -> Any:
    leaves = [leaf for _, leaf in flatten(tree)]
    roots = [leaf for leaf in leaves if isinstance(leaf, Value)]
    made = iter(_rewritten(roots, unnormalized, explain) if roots else ())
    return unflatten(tree, [next(made) if isinstance(leaf, Value) else leaf for leaf in leaves])
