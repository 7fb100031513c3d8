"""Sums of products, written in NumPy: ``np.diag(p) - np.outer(p, p)``."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence
from itertools import count
from string import ascii_lowercase
from typing import Any

import numpy as np

from .index_notation import DELTA, ONE, Axes, Factor, Form, Powers, Sum, connected, proper, term
from .lines import Line, astype
from .simplifier import Simplifier, is_call, key_of, number_of

Labels = Sequence[int | None]


def pairs_of(factors: Iterable[Factor]) -> list[tuple[int, ...]]:
    """The labels of each δ."""
    return sorted(f.labels for f in factors if f.array == DELTA)


class Products:
    """Products as lines of a simplifier: their arrays, numbered, and the sizes of labels."""

    def __init__(self, simplifier: Simplifier, dtype: np.dtype[Any]) -> None:
        self.simplifier, self.emit, self.dtype = simplifier, simplifier.emit, dtype
        self.count, self.size = count(), dict[int, int]()
        self.arrays: list[Any] = []  # lines and constants
        self.numbers: dict[Any, int] = {}
        self.totals: dict[int, tuple[int, Axes]] = {}  # of Σ x: x, and which axis each of its is

    def labels(self, shape: Sequence[int]) -> Axes:
        """New labels for the axes of a shape."""
        found = tuple([None if n == 1 else next(self.count) for n in shape])
        self.size |= {x: n for x, n in zip(found, shape) if x is not None}
        return found

    def factor(self, x: Any, axes: Labels) -> Factor:
        """An array as a factor."""
        number = self.numbers.setdefault(key_of(x), len(self.arrays))
        if number == len(self.arrays):
            self.arrays.append(x)
        return Factor(number, proper(axes))

    # ------------------------------------------------------------------ products
    def product(self, c: float, powers: Powers, out: Labels) -> Any:
        """A number times arrays: what stands above the line, then what divides."""
        found: Any = c
        below: list[Any] = []
        for f, n in sorted(powers.items(), key=lambda f: (len(f[0].labels), f[0])):
            if f.array != DELTA:
                x = self.arrays[f.array]
                if is_call(x, np.divide) and number_of(x.args[0]) == 1.0:
                    f, n = Factor(self.factor(x.args[1], ()).array, f.labels), -n
                x = self.array(f, out)
                if n < 0:
                    below += [x] * -n  # one by one: their product could overflow
                else:
                    x = x if n == 1 else self.emit(np.power, x, float(n))
                    found = self.emit(np.multiply, found, x)
        for x in below:
            found = self.emit(np.divide, found, x)
        return found

    def array(self, factor: Factor, out: Labels) -> Any:
        """A factor's array, its axes where ``out`` has them."""
        x, supply = self.arrays[factor.array], iter(factor.labels)
        axes = [None if n == 1 else next(supply) for n in np.shape(x)]
        if factor.labels != factor.free():
            at = tuple([slice(None) if a is None or a >= 0 else ~a for a in axes])
            x = self.emit(operator.getitem, x, at if len(at) > 1 else at[0])
            axes = [a for a in axes if a is None or a >= 0]
        return self.place(x, axes, out)

    def place(self, x: Any, axes: Labels, out: Labels) -> Any:
        """Put the axes where ``out`` has them, by what broadcasting does not do itself."""
        pairs = zip(reversed(axes), reversed(out))
        if len(axes) <= len(out) and all(a in (None, b) for a, b in pairs):
            return x
        have = [*proper(axes)]
        turn = tuple([have.index(a) for a in out if a in have])
        steps = [slice(None) if a in have else None for a in out]
        steps = steps[steps.index(slice(None)) :] if have else []
        x = self.emit(np.reshape, x, tuple([n for n, a in zip(np.shape(x), axes) if a is not None]))
        x = self.emit(np.transpose, x, *([] if turn == (1, 0) else [turn]))
        return self.emit(operator.getitem, x, tuple(steps))

    # ------------------------------------------------------------------ e / Σ e
    def shares(self, powers: Powers) -> Powers:
        """The same with ``e / Σ e`` as one factor."""
        pairs = [(f, g) for f, n in powers.items() for g, k in powers.items() if n < 0 < k]
        for total, part in pairs:
            whole, pattern = self.totals.get(total.array, (DELTA, ()))
            labels = [None if q is None else total.labels[q] for q in pattern]
            if part.array == whole and all(x in (None, y) for x, y in zip(labels, part.labels)):
                ratio = Factor(self.share(whole, total.array, pattern), part.labels)
                changed = term([*powers.items(), (part, -1), (total, 1), (ratio, 1)])
                return self.shares(dict(changed or ()))
        return powers

    def share(self, part: int, total: int, pattern: Axes) -> int:
        """The number of ``e / Σ e``."""
        e, supply = self.arrays[part], iter(range(len(pattern)))
        axes = [None if n == 1 else next(supply) for n in e.shape]
        kept = [i for i, q in enumerate(pattern) if q is not None]
        below = Factor(total, tuple(sorted(kept, key=lambda i: pattern[i] or 0)))
        p = self.emit(np.divide, e, self.array(below, axes))
        if is_call(e, np.exp):
            p.name = p.name or "p"
        return self.factor(p, ()).array


class Writer(Products):
    """Sums of products as lines of a simplifier."""

    # ------------------------------------------------------------------ sums over labels
    def summed(self, terms: Sum, labels: Sequence[int]) -> Sum:
        """Σ over labels: a δ picks an entry, what does not depend on them stands before the sum."""
        parts = []
        for product, c in terms.items():
            bound = set[int]()
            for k in labels:
                held = [f for f, _ in product if k in f.labels]
                if equal := [x for f in held if f.array == DELTA for x in f.labels if x != k]:
                    picked = term([(f.relabelled({k: equal[0]}), n) for f, n in product])
                    product, c = (ONE, 0.0) if picked is None else (picked, c)
                elif held:
                    bound.add(k)
                else:
                    c *= self.size[k]
            outside: list[tuple[Factor, int]] = []
            for over, group in connected(product, bound):
                f, n = next(iter(group.items()))
                x = self.arrays[f.array] if len(group) == 1 and f.array != DELTA else None
                if x.__class__ is np.ndarray and over == {*f.labels}:
                    c *= math.fsum((x**n).flat)  # 1 for a target that sums to 1 but for rounding
                else:
                    outside += [(self.total(group, over), 1)] if over else group.items()
            parts.append((term(outside), c))
        return Sum.of(parts)

    def total(self, group: Powers, bound: set[int]) -> Factor:
        """Σ of a product, as an array of its own."""
        ordered = dict(sorted(group.items(), key=lambda f: (f[0].array, f[1], f[0].labels)))
        powers = self.shares(ordered)
        labels = [*dict.fromkeys(x for f in powers for x in f.free())]
        own = [x for x in labels if x not in bound]
        if len(powers) == 1 or not own:
            axis = tuple([i for i, x in enumerate(labels) if x in bound])
            x = self.emit(np.sum, self.product(1.0, powers, labels), axis=axis)
        else:
            x, own = self.matmul(powers, sorted(own), *bound) or self.einsum(powers, sorted(own))
        found = self.factor(x, own)
        [part, *others] = powers
        if powers[part] == 1 and part.labels == part.free() and not others:
            pattern = tuple([own.index(q) if q in own else None for q in part.labels])
            self.totals[found.array] = part.array, pattern
        return found

    def matmul(self, powers: Powers, own: list[int], *over: int) -> tuple[Any, list[int]] | None:
        """Σ over one label of matrices, or a matrix and a vector; None if it is neither."""
        vectors = {f: n for f, n in powers.items() if f.free() == over}
        for column in [None, *reversed(own)] if len(over) == 1 else ():
            right = {f: n for f, n in powers.items() if column in f.labels} or vectors
            left = {f: n for f, n in powers.items() if f not in right}
            rows = [x for x in own if not any(x in f.labels for f in right)]
            if left and right and rows:
                ends = [rows[-1], column] if column is not None else []
                outer = [x for x in own if x not in ends]
                x = self.product(1.0, left, [*outer, *ends[:1], *over])
                y = self.product(1.0, right, [*outer, *over, *ends[1:]])
                return self.emit(np.matmul, x, y), [*outer, *ends]
        return None

    def einsum(self, powers: Powers, own: list[int]) -> tuple[Any, list[int]]:
        """Σ of products of any kind, and its labels."""
        ordered = sorted(powers.items(), key=lambda f: (-len(f[0].free()), f[0]))
        operands = [self.product(1.0, {f: n}, f.free()) for f, n in ordered]
        names = [f.free() for f, _ in ordered]
        letters = dict(zip(dict.fromkeys(x for axes in names for x in axes), ascii_lowercase))
        *inputs, result = ["".join([letters[x] for x in axes]) for axes in (*names, own)]
        fast = {"optimize": True} if len(operands) > 2 else {}
        return self.emit(np.einsum, f"{','.join(inputs)}->{result}", *operands, **fast), own

    # ------------------------------------------------------------------ sums
    def write(self, form: Form, shape: Sequence[int], dtype: Any = None) -> Any:
        """A line, or a constant, of that shape."""
        labels, dtype = proper(form.axes), dtype or self.dtype
        sizes = tuple([self.size[x] for x in labels])
        terms = [(c, self.shares(dict(product))) for product, c in form.terms.items()]
        found = self.sum(terms, labels) if terms else 0.0
        if found.__class__ is not Line:
            return np.broadcast_to(found, sizes).reshape(shape).astype(dtype)
        found = self.emit(np.reshape, self.emit(np.broadcast_to, found, sizes), shape)
        return found if found.dtype == dtype else self.emit(astype, found, dtype)

    def sum(self, terms: Sequence[tuple[float, Powers]], out: Sequence[int]) -> Any:
        """Terms, with what they share in front; it broadcasts to the labels ``out``."""
        if len(terms) == 1:
            return self.term(*terms[0], out)
        c = abs(terms[0][0]) if len({abs(c) for c, _ in terms}) == 1 else 1.0
        c = -c if all(c < 0 for c, _ in terms) else c
        common = {f: n for f, n in terms[0][1].items() if all(p.get(f) == n for _, p in terms)}
        pairs = pairs_of(common)
        first, second = ({pair[i] for pair in pairs} for i in (0, 1))
        shared = {f: n for f, n in common.items() if f.array == DELTA or first.issuperset(f.free())}
        inner = [x for x in out if x not in second]
        found: Any = None
        for d, powers in sorted(terms, key=lambda term: (term[0] / c < 0, -len(pairs_of(term[1])))):
            rest = {f: n for f, n in powers.items() if f not in shared}
            one = self.term(d / c if found is None else abs(d / c), rest, inner)
            f = np.add if d / c > 0 else np.subtract
            found = one if found is None else self.emit(f, found, one)
        found = self.emit(np.multiply, self.product(c, shared, inner), found)
        last = inner[len(inner) - np.ndim(found) :]
        axes = [None if n == 1 else x for n, x in zip(np.shape(found), last)]
        return self.deltas(self.place(found, axes, out), pairs, out)

    def term(self, c: float, powers: Powers, out: Sequence[int]) -> Any:
        """One product."""
        pairs = pairs_of(powers)
        if pairs == [(*out,)] and any(out[0] in f.labels for f in powers if f.array != DELTA):
            return self.emit(np.diag, self.product(c, powers, out[:1]))
        if not pairs and len(out) == 2:
            left, right = ({f: n for f, n in powers.items() if x in f.labels} for x in out)
            alone = {f: n for f, n in powers.items() if not f.free()}
            if left and right and not left.keys() & right.keys():
                x = self.product(c, alone | left, out[:1])
                return self.emit(np.outer, x, self.product(1.0, right, out[1:]))
        return self.deltas(self.product(c, powers, out), pairs, out)

    def deltas(self, found: Any, pairs: Sequence[tuple[int, ...]], out: Sequence[int]) -> Any:
        """Multiply by each δ."""
        how: Any = {} if self.dtype == np.float64 else {"dtype": self.dtype}
        for low, x in pairs:
            n, axes = self.size[x], [y for y in out if y in (low, x)]
            delta = self.emit(np.eye, n, **how) if low >= 0 else np.eye(n, **how)[~low]
            found = self.emit(np.multiply, found, self.place(delta, axes, out))
        return found
