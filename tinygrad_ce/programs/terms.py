"""Sums of products in index notation, like δ_ij p_j − p_i p_j.

Each product is a number, factors (arrays, with a label an axis) and pairs of labels that must be
equal, its δ. Like terms merge: two products are one where factors and pairs are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

MOST = 24  # terms of one sum; more would be no clearer than the rows
FIXED = -(10**6)  # the label that stands for entry v is FIXED - v


class Factor(NamedTuple):
    """An array in a product: its number, a label an axis, and whether it divides."""

    array: int
    labels: tuple[int, ...]
    below: bool = False

    def relabelled(self, to: dict[int, int]) -> Factor:
        """The same with other labels."""
        return Factor(self.array, tuple([to.get(x, x) for x in self.labels]), self.below)

    def free(self) -> tuple[int, ...]:
        """The labels that are no whole numbers."""
        return tuple([x for x in self.labels if not is_fixed(x)])


Powers = Iterable[tuple[Factor, int]]  # and how often each stands in a product
Pairs = Iterable[tuple[int, int]]
Term = tuple[frozenset[tuple[Factor, int]], frozenset[tuple[int, int]]]  # factors, pairs of δ
Terms = dict[Term, float]
ONE: Term = (frozenset(), frozenset())


class NotABlockError(Exception):
    """The rows are no sum of products, or too long a one; or they cannot have a leading axis."""


def is_fixed(label: int) -> bool:
    """Whether a label is a whole number, as in x[2]."""
    return label <= FIXED


def term(factors: Powers, pairs: Pairs) -> Term | None:
    """One product: of equal labels the first stands for all, powers of a factor add up.

    None where a label would have to be two numbers. A diagonal, a_ii, is none of these products.
    """
    first: dict[int, int] = {}
    for pair in pairs:
        low, high = sorted(first.get(x, x) for x in pair)
        first = {x: low if r == high else r for x, r in first.items()} | {low: low, high: low}
    if any(is_fixed(x) and x != low for x, low in first.items()):
        return None
    powers: dict[Factor, int] = {}
    for factor, n in factors:
        found = factor.relabelled(first)
        if len({*found.free()}) < len(found.free()):
            raise NotABlockError
        powers[found] = powers.get(found, 0) + n
    return (
        frozenset([(factor, n) for factor, n in powers.items() if n]),
        frozenset([(low, x) for x, low in first.items() if low != x]),
    )


def merged(parts: Iterable[tuple[Term | None, float]]) -> Terms:
    """Like terms as one; what cancels is gone."""
    found: Terms = {}
    for product, c in parts:
        if product is not None:
            found[product] = found.get(product, 0.0) + c
    if len(found) > MOST:
        raise NotABlockError
    return {product: c for product, c in found.items() if c}


def single(factors: Powers, pairs: Pairs = (), c: float = 1.0) -> Terms:
    """One product as a sum."""
    return merged([(term(factors, pairs), c)])


def relabelled(product: Term, to: dict[int, int]) -> Term | None:
    """One product with other labels; equal ones become one."""
    factors, pairs = product
    return term(
        [(factor.relabelled(to), n) for factor, n in factors],
        [(to.get(x, x), to.get(y, y)) for x, y in pairs],
    )


def renamed(terms: Terms, to: dict[int, int]) -> Terms:
    """A sum with other labels."""
    return merged((relabelled(product, to), c) for product, c in terms.items())


def times(left: Terms, right: Terms) -> Terms:
    """Two sums, multiplied out."""
    return merged(
        (term([*f, *g], [*p, *q]), c * d)
        for (f, p), c in left.items()
        for (g, q), d in right.items()
    )


def connected(factors: Powers, bound: set[int]) -> list[tuple[set[int], list[tuple[Factor, int]]]]:
    """Factors in groups that no label of a sum joins, with those labels of each."""
    groups: list[tuple[set[int], list[tuple[Factor, int]]]] = []
    for factor, n in factors:
        labels, together = bound.intersection(factor.labels), [(factor, n)]
        for group in [g for g in groups if not labels.isdisjoint(g[0])]:
            groups.remove(group)
            labels, together = labels | group[0], group[1] + together
        groups.append((labels, together))
    return groups


def proper(axes: Sequence[int | None]) -> tuple[int, ...]:
    """The labels of the axes longer than 1."""
    return tuple([x for x in axes if x is not None])
