"""Lines of a program as sums of products in index notation, like δ_ij p_j - p_i p_j.

Each product is a number and factors: arrays with a label an axis, and δ of two labels, which must
be equal. A δ within a sum picks one entry of it, and like terms merge: two products are one where
their factors are. A factor cancels against itself below the line only where it is
positive (an exponential, or a sum of such): x / x stays what it was at 0.

What a line is there follows from its operation's record: a sum or a product of its arguments
(``terms``, ``powers``), or a move of their entries (``moves``).
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, NamedTuple

import numpy as np

from ..engine.rules import scatter
from .lines import Line, fact, option, walk
from .simplifier import is_plain_sum, key_of, moves_first, number_of

MOST = 24  # terms of one sum; more would be no clearer than the rows
FIXED = -(10**6)  # the label that stands for entry v is FIXED - v


class Factor(NamedTuple):
    """An array in a product, by its number, with a label an axis; or a δ of two labels."""

    array: int
    labels: tuple[int, ...]

    def relabelled(self, to: dict[int, int]) -> Factor:
        """The same with other labels."""
        return Factor(self.array, tuple([to.get(x, x) for x in self.labels]))

    def free(self) -> tuple[int, ...]:
        """The labels that are no whole numbers."""
        return tuple([x for x in self.labels if x > FIXED])


DELTA = -1  # the number of δ
Axes = tuple[int | None, ...]  # a label an axis; None for one of length 1
Term = frozenset[tuple[Factor, int]]  # factors, and how often each stands in a product
Powers = dict[Factor, int]
Terms = dict[Term, float]
ONE: Term = frozenset()


class NotASumError(Exception):
    """A line is no sum of products, or too long a one; or it cannot have a leading axis."""


def proper(axes: Sequence[int | None]) -> tuple[int, ...]:
    """The labels of the axes longer than 1."""
    return tuple([x for x in axes if x is not None])


def deltas(pairs: Iterable[tuple[int, int]]) -> Terms:
    """A product of δ."""
    return merged([(term([(Factor(DELTA, pair), 1) for pair in pairs]), 1.0)])


# ------------------------------------------------------------------ sums
def term(factors: Iterable[tuple[Factor, int]]) -> Term | None:
    """One product: of equal labels the first stands for all, powers of a factor add up.

    None where a label would have to be two numbers. A diagonal, a_ii, is none of these products.
    """
    factors, first = [*factors], dict[int, int]()
    for pair in [factor.labels for factor, _ in factors if factor.array == DELTA]:
        low, high = sorted(first.get(x, x) for x in pair)
        first = {x: low if r == high else r for x, r in first.items()} | {low: low, high: low}
    if any(x <= FIXED and x != low for x, low in first.items()):
        return None
    powers = {Factor(DELTA, (low, x)): 1 for x, low in first.items() if low != x}
    for factor, n in factors:
        if factor.array != DELTA:
            found = factor.relabelled(first)
            if len({*found.free()}) < len(found.free()):
                raise NotASumError
            powers[found] = powers.get(found, 0) + n
    return frozenset([(factor, n) for factor, n in powers.items() if n])


def merged(parts: Iterable[tuple[Term | None, float]]) -> Terms:
    """Like terms as one; what cancels is gone."""
    found: Terms = {}
    for product, c in parts:
        if product is not None:
            found[product] = found.get(product, 0.0) + c
    if len(found) > MOST:
        raise NotASumError
    return {product: c for product, c in found.items() if c}


def relabelled(product: Term, to: dict[int, int]) -> Term | None:
    """One product with other labels; equal ones become one."""
    return term([(factor.relabelled(to), n) for factor, n in product])


def times(left: Terms, right: Terms) -> Terms:
    """Two sums, multiplied out."""
    both = ((f, c, g, d) for f, c in left.items() for g, d in right.items())
    return merged((term([*f, *g]), c * d) for f, c, g, d in both)


def connected(
    factors: Iterable[tuple[Factor, int]], bound: set[int]
) -> list[tuple[set[int], list[tuple[Factor, int]]]]:
    """Factors in groups that no label of a sum joins, with those labels of each."""
    groups: list[tuple[set[int], list[tuple[Factor, int]]]] = []
    for factor, n in factors:
        labels, together = bound.intersection(factor.labels), [(factor, n)]
        for group in [g for g in groups if not labels.isdisjoint(g[0])]:
            groups.remove(group)
            labels, together = labels | group[0], group[1] + together
        groups.append((labels, together))
    return groups


# ------------------------------------------------------------------ what the factors are
@dataclass
class Array:
    """What a factor is: a line or constant (its ``source``), and how it is computed else.

    In a sum of products, ``body``, its own labels are 0, 1, … and those summed over -1, -2, ….
    """

    positive: bool = False
    source: Any = None
    body: tuple[tuple[Factor, int], ...] = ()
    sizes: dict[int, int] = field(default_factory=dict)
    order: Sequence[int] = ()  # of its labels, along the axes of the source
    share: tuple[int, ...] = ()  # the numbers of an array and of the sum over it that divides it
    inverse: int | None = None  # the number of what divides, and may be 0


class Arrays:
    """The arrays of some sums of products, numbered, and the sizes of their labels."""

    def __init__(self) -> None:
        self.numbers, self.size = count(), dict[int, int]()
        self.arrays: list[Array] = []
        self.known: dict[Any, int] = {}

    def labels(self, shape: Sequence[int]) -> Axes:
        """New labels for the axes of a shape."""
        found = tuple([None if n == 1 else next(self.numbers) for n in shape])
        self.size |= {x: n for x, n in zip(found, shape) if x is not None}
        return found

    def number(self, key: Any, **what: Any) -> int:
        """The number of an array, which a key finds again."""
        if key not in self.known:
            self.known[key] = len(self.arrays)
            self.arrays.append(Array(**what))
        return self.known[key]

    def inverse(self, factor: Factor) -> Factor:
        """What a factor is below the line where it may be 0, so that nothing cancels."""
        what = self.arrays[factor.array]
        number = self.number(("1 /", factor.array), inverse=factor.array)
        return Factor(number if what.inverse is None else what.inverse, factor.labels)

    def shares(self, powers: Powers) -> Powers:
        """The same with ``e / Σ e`` as one factor."""
        while found := self._share(powers):
            ratio, powers = found
            powers[ratio] = powers.get(ratio, 0) + 1
        return powers

    def _share(self, powers: Powers) -> tuple[Factor, Powers] | None:
        """An array and its sum below the line, as one factor; and what else there is."""
        for total, n in powers.items():
            body = self.arrays[total.array].body if n < 0 else ()
            if len(body) != 1 or body[0][1] != 1:
                continue
            whole = body[0][0].relabelled(dict(enumerate(total.labels)))
            for part, k in powers.items():
                labels = zip(whole.labels, part.labels)
                alike = all(FIXED < x < 0 or x == y for x, y in labels)
                if part.array == whole.array and k > 0 and alike:
                    left = powers | {part: k - 1, total: n + 1}
                    both = part.array, total.array
                    number = self.number(("share", *both), positive=True, share=both)
                    return Factor(number, part.labels), {f: n for f, n in left.items() if n}
        return None

    # ------------------------------------------------------------------ sums over labels
    def summed(self, terms: Terms, labels: Sequence[int]) -> Terms:
        """Σ over labels: a δ picks an entry, what does not depend on them stands before the sum."""
        parts: list[tuple[Term | None, float]] = []
        for product, c in terms.items():
            bound = set[int]()
            for k in labels:
                held = [f for f, _ in product if k in f.labels]
                if equal := [x for f in held if f.array == DELTA for x in f.labels if x != k]:
                    picked = relabelled(product, {k: equal[0]})
                    product, c = (picked, c) if picked is not None else (ONE, 0.0)
                elif held:
                    bound.add(k)
                else:
                    c *= self.size[k]
            outside: list[tuple[Factor, int]] = []
            for over, group in connected(product, bound):
                f, n = group[0]
                x = self.arrays[f.array].source if len(group) == 1 else None
                if x.__class__ is np.ndarray and over == {*f.labels}:
                    c *= math.fsum((x**n).flat)  # 1 for a target that sums to 1 but for rounding
                else:
                    outside += [(self._sum(group, over), 1)] if over else group
            parts.append((term(outside), c))
        return merged(parts)

    def _sum(self, factors: Sequence[tuple[Factor, int]], bound: set[int]) -> Factor:
        """A sum of products as an array of its own."""
        ordered = sorted(factors, key=lambda f: (f[0].array, f[1], f[0].labels))
        labels = [*dict.fromkeys(x for f, _ in ordered for x in f.free())]
        free, inner = ([x for x in labels if (x in bound) is b] for b in (False, True))
        names = {x: i for i, x in enumerate(free)} | {x: -1 - i for i, x in enumerate(inner)}
        body = tuple([(f.relabelled(names), n) for f, n in ordered])
        sizes = {names[x]: self.size[x] for x in labels}
        positive = all(self.arrays[f.array].positive for f, _ in body)
        key = (body, tuple(sorted(sizes.items())))
        number = self.number(key, positive=positive, body=body, sizes=sizes, order=range(len(free)))
        return Factor(number, tuple(free))


# ------------------------------------------------------------------ lines
class Form(NamedTuple):
    """A line in index notation: the label of each axis, and the terms."""

    axes: Axes
    terms: Terms


class Reader(Arrays):
    """Lines in index notation, read in order.

    Parameters
    ----------
    same : for every line the first that computes what it does
    seeded : of those, what is linear in a unit vector, so that it has to be a sum of products
    expand : whether a sum that is no such is multiplied out
    """

    def __init__(self, same: dict[Line, Line], seeded: set[Line], expand: bool) -> None:
        super().__init__()
        self.same, self.seeded, self.expand = same, seeded, expand
        self.forms: dict[Line, Form] = {}

    def form(self, line: Line) -> Form:
        """A line in index notation, its arguments being so already; an array if it is no sum."""
        try:
            form = self.read(line)
        except NotASumError:
            return self.opaque(line)
        for product, c in form.terms.items() if line not in self.seeded else ():
            powers = self.shares(dict(product))
            for factor in powers:  # a line that is one factor alone is what that is called by
                whole = powers == {factor: 1} and factor.labels == proper(form.axes)
                what = self.arrays[factor.array]
                if whole and c == len(form.terms) == 1 and what.source is None:
                    what.source = line
        return form

    def read(self, line: Line) -> Form:
        """A line as its record says."""
        f, several = line.function, len(line.args) > 1
        if f in READ:
            return READ[f](self, line)
        if f.__class__ is np.ufunc and line.options:
            raise NotASumError
        if (terms := fact(f, "terms")) and (self.expand or line in self.seeded or not several):
            return _sum(self, line, terms)
        if powers := fact(f, "powers"):
            return _product(self, line, line.args, powers)
        if moves_first(f):
            return _moved(self, line)
        raise NotASumError

    def opaque(self, line: Line) -> Form:
        """A line as an array that nothing more is known of."""
        if line in self.seeded:
            raise NotASumError
        return self.array(line, line, fact(line.function, "positive"))

    def array(self, key: Any, x: Any, positive: bool = False) -> Form:
        """An array as a factor."""
        axes = self.labels(x.shape)
        return Form(axes, self.factor(key, x, axes, positive))

    def factor(self, key: Any, x: Any, axes: Axes, positive: bool = False) -> Terms:
        """An array by itself, its axes being labelled."""
        factor = Factor(self.number(key, positive=positive, source=x), proper(axes))
        return {frozenset([(factor, 1)]): 1.0}

    def of(self, x: Any) -> Form:
        """An argument in index notation."""
        if x.__class__ is Line:
            if not _is_real(x.dtype):
                raise NotASumError
            return self.forms[self.same[x]]
        axes: Axes = ()
        if np.ndim(x) and x.size and _is_real(x.dtype) and np.isfinite(x).all():
            if not (x == x.flat[0]).all():
                return self.array(key_of(x), x, bool((x > 0).all()))
            axes, x = self.labels(x.shape), x.flat[0]
        c = number_of(x)
        if c is None or not np.isfinite(c):
            raise NotASumError
        return Form(axes, {ONE: c} if c else {})


def onto(form: Form, axes: Sequence[int | None]) -> Terms:
    """The terms with the labels of the axes that a form is broadcast to."""
    to = {x: y for x, y in zip(form.axes[::-1], axes[::-1]) if x is not None and y is not None}
    return merged((relabelled(product, to), c) for product, c in form.terms.items())


def _is_real(kind: np.dtype[Any]) -> bool:
    """Whether numbers of a dtype multiply and add as real ones do; small integers overflow."""
    return kind.kind == "f" or (kind.kind == "i" and kind.itemsize >= 4)


# ------------------------------------------------------------------ lines of each kind
def _sum(reader: Reader, line: Line, signs: Sequence[float]) -> Form:
    """±x ± y."""
    axes = reader.labels(line.shape)
    parts = [(sign, onto(reader.of(x), axes)) for sign, x in zip(signs, line.args)]
    return Form(axes, merged((t, sign * c) for sign, terms in parts for t, c in terms.items()))


def _product(reader: Reader, line: Line, args: Sequence[Any], powers: Sequence[Any]) -> Form:
    """The product of arguments to whole powers; of sums to the first alone."""
    axes = reader.labels(line.shape)
    found: Terms = {ONE: 1.0}
    for x, n in zip(args, powers):
        terms = _inverse(reader, x, axes) if n == -1 else onto(reader.of(x), axes)
        if n not in (-1, 0, 1, 2, 3, 4) or (n not in (0, 1) and len(terms) != 1):
            raise NotASumError
        for _ in range(abs(int(n))):
            found = times(found, terms)
    return Form(axes, found)


def _inverse(reader: Reader, x: Any, axes: Axes) -> Terms:
    """1 / x of a product, or of an array."""
    form = reader.of(x)
    if len(form.terms) != 1 or any(f.array == DELTA for f, _ in next(iter(form.terms))):
        if x.__class__ is not Line:
            raise NotASumError
        form = reader.opaque(reader.same[x])
    ((product, c),) = onto(form, axes).items()
    below = [
        (f, -n) if reader.arrays[f.array].positive else (reader.inverse(f), n) for f, n in product
    ]
    return merged([(term(below), 1.0 / c)])


def _power(reader: Reader, line: Line) -> Form:
    return _product(reader, line, line.args[:1], [number_of(line.args[1])])


def moved_axes(
    move: Callable[..., Any], shape: Sequence[int], rest: Any, options: dict[str, Any]
) -> tuple[dict[int, int], dict[int, int]]:
    """Where the axes of an array are once it is moved, and the entry read of those that are not.

    Indices are moved to see it; an axis of length 1 is nowhere.
    """
    if 0 in shape or any(walk((rest, options))):
        raise NotASumError
    places: dict[int, int] = {}
    entries: dict[int, int] = {}
    for a, n in enumerate(shape):
        index = np.arange(n).reshape(-1, *[1] * (len(shape) - a - 1))
        at = np.asarray(move(np.broadcast_to(index, shape), *rest, **options))
        along = [b for b in range(at.ndim) if (at != at.take([0], b)).any()]
        if len(along) == 1 and at.shape[along[0]] == n:
            places[a] = along[0]
            along = [] if (np.moveaxis(at, along[0], -1) == np.arange(n)).all() else along
        elif n > 1 and not along:
            entries[a] = int(at.flat[0])
        if along:
            raise NotASumError
    return places, entries


def _moved(reader: Reader, line: Line) -> Form:
    """Entries of the first argument, at other places."""
    x, *rest = line.args
    form, axes = reader.of(x), [*reader.labels(line.shape)]
    places, entries = moved_axes(line.function, x.shape, rest, line.options)
    for a, b in places.items():
        axes[b] = form.axes[a]
    to: dict[Any, int] = {form.axes[a]: FIXED - at for a, at in entries.items()}
    terms = merged((relabelled(product, to), c) for product, c in form.terms.items())
    return Form(tuple(axes), terms)


def _scattered(reader: Reader, line: Line) -> Form:
    """Zeros with g at an index: g times a δ for each entry that the index names."""
    g, index, shape = line.args
    places, entries = moved_axes(operator.getitem, shape, [index], {})
    whole, axes = reader.labels(shape), [*reader.labels(np.shape(g))]
    for a, b in places.items():
        axes[b] = whole[a]
    if any(x is not None and x not in whole for x in axes):
        raise NotASumError  # an entry is added to more than once
    picked: Any = [(whole[a], FIXED - at) for a, at in entries.items()]
    return Form(whole, times(onto(reader.of(g), axes), deltas(picked)))


def reduced_axes(line: Line) -> tuple[tuple[int, ...], bool]:
    """The axes that a sum is over, and whether they stay."""
    if len(line.args) > 2 or line.options.keys() - {"axis", "keepdims"}:
        raise NotASumError
    axis, n = option(line, "axis", 1), np.ndim(line.args[0])
    axes = range(n) if axis is None else np.atleast_1d(axis).tolist()
    return tuple([a % n for a in axes]), bool(line.options.get("keepdims"))


def _contracted(
    reader: Reader, operands: Sequence[Any], names: Sequence[Sequence[Any]], result: Sequence[Any]
) -> Form:
    """Σ of products over the axes that the result lacks; of those it keeps, None has length 1."""
    sizes: dict[Any, int] = {}
    for own, x in zip(names, operands):
        sizes |= {a: max(n, sizes.get(a, 1)) for a, n in zip(own, np.shape(x))}
    labels = dict(zip(sizes, reader.labels([*sizes.values()])))
    found: Terms = {ONE: 1.0}
    for own, x in zip(names, operands):
        found = times(found, onto(reader.of(x), [labels[a] for a in own]))
    over = proper([label for a, label in labels.items() if a not in result])
    return Form(tuple([labels.get(a) for a in result]), reader.summed(found, over))


def _summed(reader: Reader, line: Line) -> Form:
    if not is_plain_sum(line.args, line.options):
        raise NotASumError
    x, (over, keep) = line.args[0], reduced_axes(line)
    names = range(np.ndim(x))
    result = [None if a in over else a for a in names if keep or a not in over]
    axes, terms = _contracted(reader, [x], [names], result)
    weight = line.size / np.size(x) if line.function is np.mean else 1.0
    return Form(axes, {product: c * weight for product, c in terms.items()})


def _matmul(reader: Reader, line: Line) -> Form:
    x, y = line.args
    rows, columns = [["i"] * (np.ndim(x) > 1), ["j"] * (np.ndim(y) > 1)]
    lead = [*range(line.ndim - len(rows + columns))]
    outer = [lead[len(lead) - max(np.ndim(z) - 2, 0) :] for z in (x, y)]
    names = [[*outer[0], *rows, "k"], [*outer[1], "k", *columns]]
    return _contracted(reader, line.args, names, [*lead, *rows, *columns])


def _einsum(reader: Reader, line: Line) -> Form:
    subscripts, *operands = line.args
    inputs, _, result = subscripts.partition("->")
    if line.options or not inputs.replace(",", "").isalpha():
        raise NotASumError
    return _contracted(reader, operands, inputs.split(","), result)


READ: dict[Any, Callable[[Reader, Line], Form]] = {  # what no record says: contractions
    np.sum: _summed, np.mean: _summed, np.matmul: _matmul, np.einsum: _einsum,
    scatter: _scattered, np.power: _power,
}  # fmt: skip
