"""Sums of products in index notation, like δ_ij p_j - p_i p_j.

Each product is a number and factors: arrays with a label an axis, and δ of two labels, which must
be equal. Like terms merge: two products are one where their factors are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from .simplifier import is_moderate

MOST = 24  # terms of one sum; more would be no clearer than the rows
DELTA = -1  # the number of δ


class NotASumError(Exception):
    """A line is no sum of products, or too long a one; or it cannot have axes in front."""


class Factor(NamedTuple):
    """An array in a product, by its number, with a label an axis; or a δ of two labels.

    Labels count from 0; where entry v of an axis is read, ~v stands for the label.
    """

    array: int
    labels: tuple[int, ...]

    def relabelled(self, to: dict[int, int]) -> Factor:
        """The same with other labels."""
        return Factor(self.array, tuple([to.get(x, x) for x in self.labels]))

    def free(self) -> tuple[int, ...]:
        """The labels that are no entries."""
        return tuple([x for x in self.labels if x >= 0])


Axes = tuple[int | None, ...]  # a label an axis; None for one of length 1
Powers = dict[Factor, int]  # how often each factor stands in a product
Term = frozenset[tuple[Factor, int]]  # the same, as a key
ONE: Term = frozenset()


def proper(axes: Sequence[int | None]) -> tuple[int, ...]:
    """The labels of the axes longer than 1."""
    return tuple([x for x in axes if x is not None])


def term(factors: Iterable[tuple[Factor, int]]) -> Term | None:
    """One product: of equal labels the first stands for all, powers of a factor add up.

    None where a label would have to be two entries. A diagonal, a_ii, is none of these products.
    """
    factors, first = [*factors], dict[int, int]()
    for pair in [factor.labels for factor, _ in factors if factor.array == DELTA]:
        low, high = sorted(first.get(x, x) for x in pair)
        first = {x: low if r == high else r for x, r in first.items()} | {low: low, high: low}
    if any(x < 0 and x != low for x, low in first.items()):
        return None
    powers = {Factor(DELTA, (low, x)): 1 for x, low in first.items() if low != x}
    for factor, n in factors:
        if factor.array != DELTA:
            found = factor.relabelled(first)
            if len({*found.free()}) < len(found.free()):
                raise NotASumError
            powers[found] = powers.get(found, 0) + n
    return frozenset([(factor, n) for factor, n in powers.items() if n])


class Sum(dict[Term, float]):
    """Products, and the number in front of each."""

    @staticmethod
    def of(parts: Iterable[tuple[Term | None, float]]) -> Sum:
        """Like terms as one; what cancels is gone."""
        found = Sum()
        for product, c in parts:
            if product is not None:
                found[product] = found.get(product, 0.0) + c
        if len(found) > MOST:
            raise NotASumError
        return Sum({product: c for product, c in found.items() if c})

    def __mul__(self, other: Sum) -> Sum:
        """Multiply out."""
        both = [(f, c, g, d) for f, c in self.items() for g, d in other.items()]
        if not all(is_moderate(c * d) for _, c, _, d in both):
            raise NotASumError
        return Sum.of((term([*f, *g]), c * d) for f, c, g, d in both)

    def relabelled(self, to: dict[int, int]) -> Sum:
        """The same with other labels; equal ones become one."""
        return Sum.of((term([(f.relabelled(to), n) for f, n in x]), c) for x, c in self.items())


class Form(NamedTuple):
    """An array in index notation: the label of each axis, and the sum."""

    axes: Axes
    terms: Sum

    def onto(self, axes: Sequence[int | None]) -> Sum:
        """The sum with the labels of the axes that the array is broadcast to."""
        pairs: Any = zip(self.axes[::-1], axes[::-1])
        return self.terms.relabelled({x: y for x, y in pairs if None not in (x, y)})


def deltas(pairs: Iterable[tuple[int, int]]) -> Sum:
    """A product of δ."""
    return Sum.of([(term([(Factor(DELTA, pair), 1) for pair in pairs]), 1.0)])


def connected(product: Term, bound: set[int]) -> list[tuple[set[int], Powers]]:
    """The factors in groups that no label of a sum joins, with those labels of each."""
    groups: list[tuple[set[int], Powers]] = []
    for factor, n in product:
        labels, powers = bound.intersection(factor.labels), {factor: n}
        for group in [g for g in groups if not labels.isdisjoint(g[0])]:
            groups.remove(group)
            labels, powers = labels | group[0], powers | group[1]
        groups.append((labels, powers))
    return groups
