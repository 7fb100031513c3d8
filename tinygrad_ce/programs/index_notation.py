"""Sums of products in index notation, like δ_ij p_j - p_i p_j, and how they are written in NumPy.

Each product is a number and factors: arrays with a label an axis, and δ of two labels, which must
be equal. Like terms merge: two products are one where their factors are. Written, that sum is
``np.diag(p) - np.outer(p, p)``.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import count
from typing import Any, NamedTuple

import numpy as np

from .lines import Line, astype
from .simplifier import Simplifier, is_call, is_moderate, key_of, uniform

MOST = 24  # terms of one sum; more would be no clearer than the rows


class NotASumError(Exception):
    """A line is no sum of products, or too long a one; or it cannot have axes in front."""


class Factor(NamedTuple):
    """An array in a product, by its number, with a label an axis; δ of n by n has the number -n.

    Labels count from 0; where entry v of an axis is read, ~v stands for the label.
    """

    array: int
    labels: tuple[int, ...]

    def relabelled(self, to: dict[int, int]) -> Factor:
        """The same with other labels; a diagonal, a_ii, is no such factor."""
        result = Factor(self.array, tuple([to.get(x, x) for x in self.labels]))
        if self.array >= 0 and len({*(free := result.free())}) < len(free):
            raise NotASumError
        return result

    def free(self) -> tuple[int, ...]:
        """The labels that are no entries."""
        return tuple([x for x in self.labels if x >= 0])


Axes = tuple[int | None, ...]  # a label an axis; None for one of length 1
Powers = dict[Factor, int]  # how often each factor stands in a product
Term = frozenset[tuple[Factor, int]]  # the same, as a key
Product = Iterable[tuple[Factor, int]]
ONE: Term = frozenset()


def proper(axes: Sequence[int | None]) -> tuple[int, ...]:
    """The labels of the axes longer than 1."""
    return tuple([x for x in axes if x is not None])


def term(factors: Iterable[tuple[Factor, int]]) -> Term | None:
    """One product: of equal labels the first stands for all, powers of a factor add up.

    None where a label would have to be two entries.
    """
    factors, first, sizes = [*factors], dict[int, int](), dict[int, int]()
    for n, pair in [factor for factor, _ in factors if factor.array < 0]:
        low, high = sorted(first.get(x, x) for x in pair)
        first = {x: low if r == high else r for x, r in first.items()} | {low: low, high: low}
        sizes |= dict.fromkeys(pair, n)
    if any(x < 0 and x != low for x, low in first.items()):
        return None
    powers = {Factor(sizes[x], (low, x)): 1 for x, low in first.items() if low != x}
    for factor, n in factors:
        if factor.array >= 0:
            renamed = factor.relabelled(first) if first else factor
            powers[renamed] = powers.get(renamed, 0) + n
    return frozenset([(factor, n) for factor, n in powers.items() if n])


class Sum(dict[Term, float]):
    """Products, and the number in front of each."""

    @staticmethod
    def of(parts: Iterable[tuple[Term | None, float]]) -> Sum:
        """Like terms as one; what cancels is gone."""
        total, parts = Sum(), [*parts]
        for product, c in parts:
            if product is not None:
                total[product] = total.get(product, 0.0) + c
        if len(total) > MOST:
            raise NotASumError
        least = 1e-14 * max(map(abs, [c for _, c in parts]), default=0.0)
        return Sum({product: c for product, c in total.items() if abs(c) > least})

    def __mul__(self, other: Sum) -> Sum:
        """Multiply out."""
        both = [(f, c, g, d) for f, c in self.items() for g, d in other.items()]
        if not all(is_moderate(c * d) for _, c, _, d in both):
            raise NotASumError
        return Sum.of((term([*f, *g]), c * d) for f, c, g, d in both)

    def scaled(self, c: float) -> Sum:
        """A number times it."""
        return Sum({product: c * d for product, d in self.items() if c})

    def relabelled(self, to: dict[int, int]) -> Sum:
        """The same with other labels; equal ones become one."""
        return Sum.of((term([(f.relabelled(to), n) for f, n in x]), c) for x, c in self.items())


class Form(NamedTuple):
    """An array in index notation: the label of each axis, and the sum."""

    axes: Axes
    terms: Sum

    def onto(self, axes: Sequence[int | None]) -> Sum:
        """The sum with the labels of the axes that the array is broadcast to."""
        if self.axes == axes:
            return self.terms
        pairs: Any = zip(self.axes[::-1], axes[::-1])
        return self.terms.relabelled({x: y for x, y in pairs if None not in (x, y)})


def connected(product: Product, bound: set[int]) -> list[tuple[set[int], Powers]]:
    """The factors in groups that no label of a sum joins, with those labels of each."""
    groups: list[tuple[set[int], Powers]] = []
    for factor, n in product:
        labels, powers = bound.intersection(factor.labels), {factor: n}
        for group in [g for g in groups if not labels.isdisjoint(g[0])]:
            groups.remove(group)
            labels, powers = labels | group[0], powers | group[1]
        groups.append((labels, powers))
    return groups


# ------------------------------------------------------------------ in NumPy
def pairs_of(factors: Iterable[Factor]) -> list[tuple[int, ...]]:
    """The labels of each δ."""
    return sorted(f.labels for f in factors if f.array < 0)


class Products:
    """Products as lines of a simplifier: their arrays, numbered, and the sizes of labels."""

    def __init__(self, simplifier: Simplifier, dtype: np.dtype[Any]) -> None:
        self.simplifier, self.emit, self.dtype = simplifier, simplifier.emit, dtype
        self.count, self.size = count(), dict[int, int]()
        self.arrays: list[Any] = []  # lines and constants
        self.numbers: dict[Any, int] = {}
        self.totals: dict[int, tuple[int, tuple[int, ...]]] = {}  # of Σ x: x, and the axes it keeps

    def labels(self, shape: Sequence[int]) -> Axes:
        """New labels for the axes of a shape."""
        result = tuple([None if n == 1 else next(self.count) for n in shape])
        self.size |= {x: n for x, n in zip(result, shape) if x is not None}
        return result

    def common(self, shape: Sequence[int], forms: Iterable[Form]) -> Axes:
        """The labels of a form that has the shape, so that it keeps them; new ones if none has."""
        for axes, _terms in forms:
            if [1 if x is None else self.size[x] for x in axes] == [*shape]:
                return axes
        return self.labels(shape)

    def factor(self, x: Any, axes: Sequence[int | None]) -> Factor:
        """An array as a factor, without axes of length 1."""
        sizes = [n for n, label in zip(np.shape(x), axes) if label is not None]
        x = x if len(sizes) == np.ndim(x) else self.emit(np.reshape, x, tuple(sizes))
        number = self.numbers.setdefault(key_of(x), len(self.arrays))
        if number == len(self.arrays):
            self.arrays.append(x)
        return Factor(number, proper(axes))

    def deltas(self, pairs: Iterable[tuple[int, int]] = ()) -> Sum:
        """A product of δ; of none, 1."""
        factors = [(Factor(-self.size[max(pair)], pair), 1) for pair in pairs]
        return Sum.of([(term(factors), 1.0)])

    # ------------------------------------------------------------------ products
    def product(self, c: float, powers: Powers, out: Sequence[int], *others: Any) -> Any:
        """A number times arrays: what stands above the line, then what divides, then each δ.

        An exponential may be large, so it is divided first.
        """
        above, below, deltas = list[Any](), list[Any](), list[Any]()
        for f, n in sorted(powers.items(), key=lambda f: (len(f[0].labels), f[0])):
            x = self.array(f, out)
            if n < 0:
                below += [x] * -n  # one by one: their product could overflow
            else:
                x = x if n == 1 else self.emit(np.power, x, float(n))
                (above if f.array >= 0 else deltas).append(x)
        large = [x for x in above if is_call(x, np.exp)][: len(below)]
        above = [x for x in above if not any(x is e for e in large)]
        above += [*others, *map(partial(self.emit, np.divide), large, below)]
        rest = below[len(large) :]
        whole = c == 1.0 and above and above[0].dtype == self.dtype
        result: Any = above.pop(0) if whole else c
        for op, xs in ((np.multiply, above), (np.divide, rest), (np.multiply, deltas)):
            for x in xs:
                result = self.emit(op, result, x)
        return result

    def array(self, factor: Factor, out: Sequence[int]) -> Any:
        """A factor's array, its axes where ``out`` has them."""
        n, how = factor.array, {} if self.dtype == np.float64 else {"dtype": self.dtype}
        x = self.arrays[n] if n >= 0 else self.emit(np.eye, -n, **how)
        if factor.labels != factor.free():
            at: Any = tuple([slice(None) if label >= 0 else ~label for label in factor.labels])
            at = at if len(at) > 1 else at[0]
            x = self.emit(operator.getitem, x, at) if n >= 0 else np.eye(-n, dtype=self.dtype)[at]
        return self.place(x, factor.free(), out)

    def place(self, x: Any, axes: Sequence[int], out: Sequence[int]) -> Any:
        """Put the axes where ``out`` has them, but for those in front, which broadcasting adds."""
        if not axes:
            return x
        turn = tuple([axes.index(a) for a in out if a in axes])
        steps = [slice(None) if a in axes else None for a in out]
        steps = steps[steps.index(slice(None)) :]
        if turn != tuple(range(len(turn))):
            x = self.emit(np.transpose, x, *([] if turn == (1, 0) else [turn]))
        return self.emit(operator.getitem, x, tuple(steps)) if None in steps else x

    def shares(self, powers: Powers) -> Powers:
        """The same with ``e / Σ e`` as one factor."""
        pairs = [(f, g) for f, n in powers.items() for g, k in powers.items() if n < 0 < k]
        for total, part in pairs:
            whole, kept = self.totals.get(total.array, (None, ()))
            if part.array == whole and total.labels == tuple([part.labels[i] for i in kept]):
                e = self.arrays[whole]
                p = self.emit(np.divide, e, self.array(Factor(total.array, kept), range(e.ndim)))
                ratio = [(part, -1), (total, 1), (self.factor(p, part.labels), 1)]
                changed = term([*powers.items(), *ratio])
                return self.shares(dict(changed or ()))
        return powers


class Writer(Products):
    """Sums of products as lines of a simplifier."""

    # ------------------------------------------------------------------ sums over labels
    def summed(self, terms: Sum, labels: Sequence[int]) -> Sum:
        """Σ over labels: a δ picks an entry, what does not depend on them stands before the sum."""
        parts = []
        for product, c in terms.items():
            bound = set[int]()
            for k in labels:
                holders = [f for f, _ in product if k in f.labels]
                if equal := [x for f in holders if f.array < 0 for x in f.labels if x != k]:
                    picked = term([(f.relabelled({k: equal[0]}), n) for f, n in product])
                    product, c = (ONE, 0.0) if picked is None else (picked, c)
                elif holders:
                    bound.add(k)
                else:
                    c *= self.size[k]
            outside: list[tuple[Factor, int]] = []
            for over, group in connected(product, bound):
                number = self.known(group, over) if over else None
                if over and number is None:
                    group = {(whole := self.total(group, over)): 1}
                    x = self.arrays[whole.array]  # a constant where the caller says what it is
                    number = float(x.flat[0]) if x.__class__ is np.ndarray and uniform(x) else None
                c *= 1.0 if number is None else number
                outside += group.items() if number is None else ()
            parts.append((term(outside), c))
        return Sum.of(parts)

    def known(self, group: Powers, bound: set[int]) -> float | None:
        """Σ of a product, where that is a number; nobody knows it here."""
        return None

    def total(self, group: Powers, bound: set[int]) -> Factor:
        """Σ of a product, as an array of its own."""
        ordered = dict(sorted(group.items(), key=lambda f: (f[0].array, f[1], f[0].labels)))
        powers = self.shares(ordered)
        widest = sorted(powers, key=lambda f: -len(f.labels))
        labels = [*dict.fromkeys(x for f in widest for x in f.free())]
        kept = [x for x in labels if x not in bound]
        one = len(powers) > 1 and len(bound) == 1
        if one and kept and (result := self.matmul(powers, sorted(kept), *bound)):
            return result
        axis = tuple([i for i, x in enumerate(labels) if x in bound])
        keep = {"keepdims": True} if kept and labels[-1] in bound else {}  # it broadcasts so
        x = self.emit(np.sum, self.product(1.0, powers, labels), axis=axis, **keep)
        result = self.factor(self.emit(np.reshape, x, tuple([self.size[x] for x in kept])), kept)
        [part, *others] = powers
        if powers[part] == 1 and part.labels == part.free() and not others:
            self.totals[result.array] = part.array, tuple([part.labels.index(q) for q in kept])
        return result

    def matmul(self, powers: Powers, kept: list[int], k: int) -> Factor | None:
        """Σ over one label of matrices, or a matrix and a vector; None if it is neither."""
        vectors = {f: n for f, n in powers.items() if f.free() == (k,)}
        for column in [None, *reversed(kept)]:
            right = {f: n for f, n in powers.items() if column in f.labels} or vectors
            left = {f: n for f, n in powers.items() if f not in right}
            rows = [x for x in kept if not any(x in f.labels for f in right)]
            one = column is not None or (len(left) == 1 and not self.has(left | right))
            if left and right and rows and one:
                ends = [rows[-1], column] if column is not None else []
                outer = [x for x in kept if x not in ends]
                x = self.product(1.0, left, [*outer, *ends[:1], k])
                y = self.product(1.0, right, [*outer, k, *ends[1:]])
                return self.factor(self.emit(np.matmul, x, y), [*outer, *ends])
        return None

    def has(self, powers: Powers) -> bool:
        """Whether the product of two arrays is there."""
        pair = frozenset(key_of(self.arrays[f.array]) for f in powers if f.array >= 0)  # no δ
        return len(powers) == 2 and (np.multiply, pair) in self.simplifier.seen

    # ------------------------------------------------------------------ sums
    def write(self, form: Form, shape: Sequence[int]) -> Any:
        """A line, or a constant, of that shape."""
        labels = proper(form.axes)
        sizes = tuple([self.size[x] for x in labels])
        terms = [(c, self.shares(dict(product))) for product, c in form.terms.items()]
        result = self.sum(terms, labels) if terms else 0.0
        if result.__class__ is not Line:
            return np.broadcast_to(result, sizes).reshape(shape).astype(self.dtype)
        result = self.emit(np.reshape, self.emit(np.broadcast_to, result, sizes), shape)
        return result if result.dtype == self.dtype else self.emit(astype, result, self.dtype)

    def sum(self, terms: Sequence[tuple[float, Powers]], out: Sequence[int]) -> Any:
        """Terms, with numbers and δ that they share in front; it broadcasts to ``out``."""
        if len(terms) == 1:
            return self.term(*terms[0], out)
        groups: dict[float, list[tuple[float, Powers]]] = {}  # by the number in front
        for d, powers in sorted(terms, key=lambda term: (term[0] < 0, -len(pairs_of(term[1])))):
            c = next((c for c in groups if math.isclose(c, abs(d), rel_tol=1e-14)), abs(d))
            groups.setdefault(c, []).append((math.copysign(c, d), powers))
        shared, [c, *others] = self.shared([powers for _, powers in terms]), groups
        if shared or (c != 1.0 and not others):
            c = 1.0 if others else c
            rest = [(d / c, {f: n for f, n in p.items() if f not in shared}) for d, p in terms]
            return self.product(c, shared, out, self.sum(rest, out))
        result: Any = 0.0
        for parts in groups.values() if others else [[term] for term in groups[c]]:
            f, sign = (np.subtract, -1) if parts[0][0] < 0 else (np.add, 1)
            parts = [(sign * d, powers) for d, powers in parts]
            result = self.emit(f, result, self.sum(parts, out))
        return result

    def shared(self, terms: Sequence[Powers]) -> Powers:
        """The factors of all products; beside δ, numbers alone."""
        first, *others = terms
        result = {f: n for f, n in first.items() if all(p.get(f) == n for p in others)}
        plain = all(f.array >= 0 for powers in terms for f in powers)
        return {f: n for f, n in result.items() if plain or f.array < 0 or not f.free()}

    def term(self, c: float, powers: Powers, out: Sequence[int]) -> Any:
        """One product."""
        arrays = {f: n for f, n in powers.items() if f.array >= 0}
        if pairs_of(powers) == [(*out,)] and any(out[0] in f.labels for f in arrays):
            return self.emit(np.diag, self.product(c, arrays, out[:1]))
        if len(out) == 2 and arrays == powers:
            right = {f: n for f, n in powers.items() if out[1] in f.labels}
            left = {f: n for f, n in powers.items() if f not in right}
            row, column = (any(out[0] in f.labels for f in side) for side in (left, right))
            if right and row and not column:
                x, y = self.product(c, left, out[:1]), self.product(1.0, right, out[1:])
                return self.emit(np.outer, x, y)
        return self.product(c, powers, out)
