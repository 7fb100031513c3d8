"""Derivatives as sums of products, simplified.

A row of a Jacobian is linear in its unit vector, so the block of all rows is a sum of products like
δ_ij p_j − p_i p_j (`terms`). A δ within a sum picks one entry of it, like terms merge, and little
is left.

A factor cancels against itself below the line only where it is positive (an exponential, or a sum
of such): x / x stays what it was at 0.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, NamedTuple

import numpy as np

from ..engine.rules import scatter
from .cleaning import key_of, number_of
from .lines import Line, live, option
from .terms import (
    FIXED,
    ONE,
    Factor,
    NotABlockError,
    Powers,
    Term,
    Terms,
    connected,
    merged,
    proper,
    relabelled,
    renamed,
    single,
    term,
    times,
)

FEW = 3  # terms of one pattern of δ, where only what was a sum before is written as one


class Form(NamedTuple):
    """A node in index notation: a label an axis (None for one of length 1), and the terms."""

    axes: tuple[int | None, ...]
    terms: Terms


class Array(NamedTuple):
    """What a factor is: a node or constant, a sum of products, or an array over such a sum of it.

    In such a ``body`` the array's own labels are 0, 1, … and those summed over −1, −2, ….
    """

    positive: bool
    body: tuple[tuple[Factor, int], ...] = ()
    sizes: dict[int, int] = {}
    share: tuple[int, ...] = ()  # the numbers of the array and of the sum


def _is_real(kind: np.dtype[Any]) -> bool:
    """Whether numbers of a dtype multiply and add as real ones do; small integers overflow."""
    return kind.kind == "f" or (kind.kind == "i" and kind.itemsize >= 4)


# ------------------------------------------------------------------ reading
class Products:
    """What the rows of one derivative are made of.

    Parameters
    ----------
    lines : the whole program
    same : for every node the first that computes what it does, the unit vectors being one
    seeded : of those, what depends on the unit vectors
    eye : the array whose rows are the unit vectors
    expand : whether a sum that does not depend on them is multiplied out
    """

    def __init__(
        self,
        lines: Sequence[Line],
        same: dict[Line, Line],
        seeded: set[Line],
        eye: Line,
        expand: bool,
    ) -> None:
        self.lines = lines
        self.same, self.seeded, self.eye, self.expand = same, seeded, eye, expand
        self.numbers, self.size = count(), dict[int, int]()
        self.arrays: list[Array] = []
        self.nodes: dict[int, Any] = {}  # of each array that is one its node, or constant
        self.known: dict[Any, int] = {}
        self.forms: dict[Line, Form] = {}
        self.rows = self.labels(eye.shape[1:])

    def block(self, row: Line) -> Form:
        """All rows, given the first one: labels of the row, then its own.

        Raises
        ------
        NotABlockError
            If they are no sum of products, or one in which terms may cancel that did not before:
            entry by entry, every δ being 0 or 1, there is one product for each pattern of δ.
        """
        nodes = live(self.lines, row)
        if not all(node.size for node in nodes):
            raise NotABlockError
        if len({node.dtype for node in nodes if node.dtype.kind == "f"}) > 1:
            raise NotABlockError  # in another order, the narrow one's rounding would spread
        for node in nodes:
            if self.same[node] not in self.forms:
                self.forms[self.same[node]] = self.form(self.same[node])
        axes, terms = self.forms[self.same[row]]
        patterns = [pairs for _, pairs in terms]
        if len({*patterns}) < len(patterns) and (self.expand or len(patterns) > FEW):
            raise NotABlockError
        return Form(self.rows + axes, terms)

    def form(self, node: Line) -> Form:
        """A node in index notation, its arguments being so already."""
        seeded = node in self.seeded
        whole = node.function in (np.add, np.subtract) and not (seeded or self.expand)
        plain = not (node.function.__class__ is np.ufunc and node.options)
        rule = RULES.get(node.function) if plain and not whole else None
        try:
            if rule is None:
                raise NotABlockError
            found = rule(self, node)
        except NotABlockError:
            if seeded:
                raise
            return self.array(node, node, node.function is np.exp)
        if not seeded:
            self.note(node, found)
        return found

    def note(self, node: Line, form: Form) -> None:
        """Remember a node that is one factor alone: a sum of products, or a share of one."""
        if len(form.terms) == 1:
            (((factors, pairs), c),) = form.terms.items()
            powers = self.shares(dict(factors))
            if len(powers) == 1 and not pairs and c == 1.0:
                ((factor, n),) = powers.items()
                if n == 1 and not factor.below and factor.labels == proper(form.axes):
                    self.nodes.setdefault(factor.array, node)

    def shares(self, powers: dict[Factor, int]) -> dict[Factor, int]:
        """The same with ``e / Σ e`` as one factor."""
        while found := self.share(powers):
            ratio, powers = found
            powers[ratio] = powers.get(ratio, 0) + 1
        return powers

    def share(self, powers: dict[Factor, int]) -> tuple[Factor, dict[Factor, int]] | None:
        """An array and its sum below the line, as one factor; and what else there is."""
        for total, n in powers.items():
            body = self.arrays[total.array].body
            if len(body) != 1 or body[0][1] != 1 or (n > 0) != total.below:
                continue
            whole = body[0][0].relabelled(dict(enumerate(total.labels)))
            for part, k in powers.items():
                alike = part.array == whole.array and not part.below | whole.below
                labels = zip(whole.labels, part.labels)
                if alike and k > 0 and all(FIXED < x < 0 or x == y for x, y in labels):
                    left = powers | {part: k - 1, total: n - 1 if total.below else n + 1}
                    key = ("share", part.array, total.array)
                    what = Array(self.arrays[part.array].positive, share=key[1:])
                    ratio = Factor(self.number(key, what), part.labels)
                    return ratio, {f: n for f, n in left.items() if n}
        return None

    def labels(self, shape: Sequence[int]) -> tuple[int | None, ...]:
        """New labels for the axes of a shape."""
        found = tuple([None if n == 1 else next(self.numbers) for n in shape])
        self.size |= {x: n for x, n in zip(found, shape) if x is not None}
        return found

    def number(self, key: Any, what: Array) -> int:
        """The number of an array, which a key finds again."""
        if key not in self.known:
            self.known[key] = len(self.arrays)
            self.arrays.append(what)
        return self.known[key]

    def array(self, key: Any, node: Any, positive: bool) -> Form:
        """An array as a factor."""
        axes, found = self.labels(node.shape), self.number(key, Array(positive))
        self.nodes.setdefault(found, node)
        return Form(axes, single([(Factor(found, proper(axes)), 1)]))

    def of(self, x: Any) -> Form:
        """An argument in index notation."""
        if x.__class__ is Line:
            if not _is_real(x.dtype):
                raise NotABlockError
            return self.forms[self.same[x]]
        if x.__class__ is np.ndarray and x.ndim and _is_real(x.dtype) and np.isfinite(x).all():
            if (x == x.flat[0]).all():
                return Form(self.labels(x.shape), {ONE: float(x.flat[0])} if x.flat[0] else {})
            return self.array(key_of(x), x, bool((x > 0).all()))
        c = number_of(x)
        if c is None or not np.isfinite(c):
            raise NotABlockError
        return Form((), {ONE: c} if c else {})

    def onto(self, form: Form, axes: Sequence[int | None]) -> Terms:
        """The terms with the labels of the axes that it is broadcast to."""
        pairs = zip(reversed(form.axes), reversed(axes))
        to: dict[int, Any] = {x: y for x, y in pairs if x is not None}
        return renamed(form.terms, to)

    def spread(self, node: Line, *args: Any) -> tuple[tuple[int | None, ...], list[Terms]]:
        """New labels for a node's axes, and the terms of each argument with those."""
        axes = self.labels(node.shape)
        return axes, [self.onto(self.of(x), axes) for x in args]

    def summed(self, terms: Terms, labels: Sequence[int]) -> Terms:
        """Σ over labels: a δ picks an entry, what does not depend on them stands before the sum."""
        parts: list[tuple[Term | None, float]] = []
        for product, c in terms.items():
            bound: set[int] = set()
            for k in labels:
                factors, pairs = product
                if equal := [x if y == k else y for x, y in pairs if k in (x, y)]:
                    product = relabelled(product, {k: equal[0]}) or product
                elif any(k in f.labels for f, _ in factors):
                    bound.add(k)
                else:
                    c *= self.size[k]
            factors, pairs = product
            outside: list[tuple[Factor, int]] = []
            for over, group in connected(factors, bound):
                known = all(self.nodes.get(f.array).__class__ is np.ndarray for f, _ in group)
                if not over:
                    outside += group
                elif known and all(over.issuperset(f.labels) for f, _ in group):
                    c *= self.sum_of_constants(group)
                else:
                    outside.append((self.sum_of(group, over), 1))
            parts.append((term(outside, pairs), c))
        return merged(parts)

    def sum_of_constants(self, factors: Powers) -> float:
        """Σ of known numbers; that of a target that sums to 1 but for rounding is 1."""
        operands: list[Any] = []
        small: dict[int, int] = {}  # np.einsum takes labels up to 51
        for (array, labels, below), n in factors:
            own = [small.setdefault(x, len(small)) for x in labels]
            operands += [self.nodes[array] ** (-n if below else n), own]
        found = float(np.einsum(*operands, []))
        return float(round(found)) if abs(found - round(found)) < 1e-15 * abs(found) else found

    def sum_of(self, factors: Powers, bound: set[int]) -> Factor:
        """A sum of products as an array of its own."""
        ordered = sorted(factors, key=lambda f: (f[0].array, f[0].below, f[1], f[0].labels))
        labels = [*dict.fromkeys(x for f, _ in ordered for x in f.free())]
        free, inner = ([x for x in labels if (x in bound) is b] for b in (False, True))
        names = {x: i for i, x in enumerate(free)} | {x: -1 - i for i, x in enumerate(inner)}
        body = tuple([(f.relabelled(names), n) for f, n in ordered])
        sizes = {names[x]: self.size[x] for x in labels}
        positive = all(self.arrays[f.array].positive for f, _ in body)
        key = (body, tuple(sorted(sizes.items())))
        return Factor(self.number(key, Array(positive, body, sizes)), tuple(free))


# ------------------------------------------------------------------ rules
def reduced_axes(node: Line) -> tuple[tuple[int, ...], bool]:
    """The axes that a sum or maximum is over, and whether they stay."""
    if len(node.args) > 2 or node.options.keys() - {"axis", "keepdims"}:
        raise NotABlockError
    axis, n = option(node, "axis", 1), np.ndim(node.args[0])
    axes = range(n) if axis is None else np.atleast_1d(axis).tolist()
    return tuple([a % n for a in axes]), bool(node.options.get("keepdims"))


def _sum(p: Products, node: Line) -> Form:
    form, (over, keep) = p.of(node.args[0]), reduced_axes(node)
    terms = p.summed(form.terms, proper([form.axes[a] for a in over]))
    stay = [None if a in over else x for a, x in enumerate(form.axes) if keep or a not in over]
    return Form(tuple(stay), terms)


def _mean(p: Products, node: Line) -> Form:
    axes, terms = _sum(p, node)
    n = np.size(node.args[0]) // node.size
    return Form(axes, {product: c / n for product, c in terms.items()})


def _sum_of_two(p: Products, node: Line) -> Form:
    axes, (x, y) = p.spread(node, *node.args)
    sign = -1.0 if node.function is np.subtract else 1.0
    return Form(axes, merged([*x.items(), *((t, sign * c) for t, c in y.items())]))


def _negative(p: Products, node: Line) -> Form:
    axes, terms = p.of(node.args[0])
    return Form(axes, {product: -c for product, c in terms.items()})


def _product(p: Products, node: Line) -> Form:
    axes, (x, y) = p.spread(node, *node.args)
    return Form(axes, times(x, y))


def _quotient(p: Products, node: Line) -> Form:
    (axes, (above,)), y = p.spread(node, node.args[0]), node.args[1]
    divisor = p.of(y)
    if len(divisor.terms) != 1 or any(pairs for _, pairs in divisor.terms):
        if y.__class__ is not Line or p.same[y] in p.seeded:
            raise NotABlockError
        divisor = p.array(p.same[y], p.same[y], False)
    (((factors, _), c),) = p.onto(divisor, axes).items()
    below = [
        (f, -n) if p.arrays[f.array].positive else (Factor(f.array, f.labels, not f.below), n)
        for f, n in factors
    ]
    return Form(axes, times(above, single(below, (), 1.0 / c)))


def _power(p: Products, node: Line) -> Form:
    n = 2.0 if node.function is np.square else number_of(node.args[1])
    axes, (x,) = p.spread(node, node.args[0])
    if n not in (0.0, 1.0, 2.0, 3.0, 4.0) or (n and len(x) != 1):
        raise NotABlockError
    found: Terms = {ONE: 1.0}
    for _ in range(int(n)):
        found = times(found, x)
    return Form(axes, found)


def _broadcast(p: Products, node: Line) -> Form:
    axes, (terms,) = p.spread(node, node.args[0])
    return Form(axes, terms)


def _shaped(p: Products, node: Line) -> Form:
    """An operation that adds or drops axes of length 1 alone."""
    axes, terms = p.of(node.args[0])
    stay = proper(axes)
    if [p.size[x] for x in stay] != [n for n in node.shape if n != 1]:
        raise NotABlockError
    supply = iter(stay)
    return Form(tuple([None if n == 1 else next(supply) for n in node.shape]), terms)


def _turned(p: Products, node: Line) -> Form:
    axes, terms = p.of(node.args[0])
    # where each axis comes from, by what NumPy does with an array of that many axes
    probe = np.broadcast_to(0.0, range(2, 2 + len(axes)))
    found = node.function(probe, *node.args[1:], **node.options).shape
    return Form(tuple([axes[n - 2] for n in found]), terms)


def _matmul(p: Products, node: Line) -> Form:
    x, y = p.of(node.args[0]), p.of(node.args[1])
    over, axes = p.labels(node.args[0].shape[-1:]), p.labels(node.shape)
    rows, columns = len(x.axes) > 1, len(y.axes) > 1
    lead = axes[: len(axes) - rows - columns]
    left = axes[: len(axes) - columns] + over
    right = lead + over + axes[len(axes) - columns :]
    return Form(axes, p.summed(times(p.onto(x, left), p.onto(y, right)), proper(over)))


def _item(p: Products, node: Line) -> Form:
    x, index = node.args
    if node in p.seeded and p.same[x] is p.same[p.eye]:
        axes = p.labels(node.shape)
        return Form(axes, single((), zip(proper(p.rows), proper(axes))))
    form = p.of(x)
    axes, to = _indexed(form.axes, x.shape, index)
    return Form(axes, renamed(form.terms, to))


def _indexed(
    axes: Sequence[int | None], shape: tuple[int, ...], index: Any
) -> tuple[tuple[int | None, ...], dict[int, int]]:
    """What is left of the axes, and the whole numbers that labels become."""
    steps = [*index] if isinstance(index, tuple) else [index]
    if not all(i is None or i is Ellipsis or _is_plain(i) for i in steps):
        raise NotABlockError
    at = steps.index(Ellipsis) if Ellipsis in steps else len(steps)
    used = [i for i in steps if i is not None and i is not Ellipsis]
    steps[at : at + 1] = [slice(None)] * (len(axes) - len(used))
    left: list[int | None] = []
    to: dict[int, int] = {}
    supply = iter(zip(axes, shape))
    for i in steps:
        label, n = (None, 1) if i is None else next(supply)
        if i is None or i.__class__ is slice:
            left.append(label)
        elif label is not None:
            to[label] = FIXED - int(i) % n
    return tuple(left), to


def _is_plain(i: Any) -> bool:
    """Whether a step of an index is a whole axis, or one entry."""
    if i.__class__ is slice:
        return bool(i == slice(None))
    return isinstance(i, int | np.integer) and i.__class__ is not bool


def _scatter(p: Products, node: Line) -> Form:
    g, index, shape = node.args
    whole = p.labels(shape)
    axes, to = _indexed(whole, shape, index)
    return Form(whole, times(p.onto(p.of(g), axes), single((), to.items())))


def _einsum(p: Products, node: Line) -> Form:
    subscripts, *operands = node.args
    inputs, _, result = subscripts.partition("->")
    if node.options or not inputs.replace(",", "").isalpha():
        raise NotABlockError
    labels: dict[str, int | None] = {}
    found: Terms = {ONE: 1.0}
    for letters, x in zip(inputs.split(","), operands):
        new = [c for c in letters if c not in labels]
        labels |= zip(new, p.labels([np.shape(x)[letters.index(c)] for c in new]))
        found = times(found, p.onto(p.of(x), [labels[c] for c in letters]))
    over = [x for c, x in labels.items() if c not in result]
    return Form(tuple([labels[c] for c in result]), p.summed(found, proper(over)))


RULES: dict[Any, Callable[[Products, Line], Form]] = {
    np.add: _sum_of_two, np.subtract: _sum_of_two, np.negative: _negative,
    np.multiply: _product, np.divide: _quotient, np.power: _power, np.square: _power,
    np.sum: _sum, np.mean: _mean, np.matmul: _matmul, np.einsum: _einsum,
    np.broadcast_to: _broadcast,
    np.reshape: _shaped, np.expand_dims: _shaped, np.squeeze: _shaped,
    np.transpose: _turned, np.swapaxes: _turned,
    operator.getitem: _item, scatter: _scatter,
}  # fmt: skip
