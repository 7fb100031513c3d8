"""Lines of a program read as sums of products.

A δ within a sum picks one entry of it. A factor cancels against itself below the line only where it
is positive (an exponential, or a sum of such): x / x stays what it was at 0. What a line is follows
from its operation's record: a sum or a product of its arguments (``terms``, ``powers``), or a move
of their entries (``moves``).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..engine.rules import scatter
from .index_notation import Axes, Form, NotASumError, Sum, Writer, pairs_of, proper, term
from .lines import Line, fact, option, walk
from .simplifier import is_plain_sum, is_positive, moves_first, number_of


class Reader(Writer):
    """Lines in index notation, each read after its arguments."""

    forms: dict[Line, Form]
    seeded: set[Line]  # what is linear in a unit vector, so that it has to be a sum of products
    expand: bool  # whether a sum that is no such is multiplied out

    def of(self, x: Any) -> Form:
        """An argument in index notation; small whole numbers, which overflow, have none."""
        kind = x.dtype if x.__class__ is Line else np.asarray(x).dtype
        if kind.kind != "f" and (kind.kind != "i" or kind.itemsize < 4):
            raise NotASumError
        if x.__class__ is Line:
            return self.forms[x]
        if not np.size(x) or not np.isfinite(x).all():
            raise NotASumError
        first = np.ravel(x)[0]
        if np.any(x != first):
            return self.atom(x, x.shape)
        return Form(self.labels(np.shape(x)), self.deltas().scaled(float(first)))

    def atom(self, x: Any, shape: Sequence[int], rows: Axes = ()) -> Form:
        """An array, behind the axes that number the rows, as a factor."""
        axes = self.labels(shape)
        return Form(axes, Sum({frozenset([(self.factor(x, rows + axes), 1)]): 1.0}))

    def read(self, line: Line) -> Form:
        """A line as its record says.

        Raises
        ------
        NotASumError
            If it is no sum of products of what its arguments are.
        """
        f, args = line.function, line.args
        if f.__class__ is np.ufunc and line.options:
            raise NotASumError
        if contraction := _contraction(line):
            return self.contracted(line, *contraction)
        if f is scatter:
            return self.scattered(line)
        if f is np.power:
            return self.multiplied(line, args[:1], [number_of(args[1])])
        if powers := fact(f, "powers"):
            return self.multiplied(line, args, powers)
        if (signs := fact(f, "terms")) and (self.expand or line in self.seeded or len(signs) == 1):
            axes = self.labels(line.shape)
            parts = [self.of(x).onto(axes).scaled(sign) for x, sign in zip(args, signs)]
            return Form(axes, Sum.of(pair for part in parts for pair in part.items()))
        if moves_first(f):
            return self.moved(line)
        raise NotASumError

    # ------------------------------------------------------------------ lines of each kind
    def multiplied(self, line: Line, args: Sequence[Any], powers: Sequence[Any]) -> Form:
        """The product of arguments to whole powers; of sums to the first alone."""
        axes = self.labels(line.shape)
        found = self.deltas()
        for x, n in zip(args, powers):
            terms = self.inverse(x, axes) if n == -1 else self.of(x).onto(axes)
            if n not in (-1, 0, 1, 2, 3, 4) or (n not in (0, 1) and len(terms) != 1):
                raise NotASumError
            for _ in range(abs(int(n))):
                found = found * terms
        return Form(axes, found)

    def inverse(self, x: Any, axes: Axes) -> Sum:
        """1 / x of a product, or of an array; where it may be 0, that is an array of its own."""
        form = self.of(x)
        if len(form.terms) != 1 or any(pairs_of(f for f, _ in product) for product in form.terms):
            if x.__class__ is not Line or x in self.seeded:
                raise NotASumError
            form = self.atom(self.simplifier.new[x], x.shape)
        ((product, c),) = form.onto(axes).items()
        below = []
        for f, n in product:
            x = self.arrays[f.array]
            inverse = f if is_positive(x) else self.factor(self.emit(np.divide, 1.0, x), f.labels)
            below.append((inverse, -n if inverse is f else n))
        return Sum.of([(term(below), 1.0 / c)])

    def moved(self, line: Line) -> Form:
        """Entries of the first argument, at other places."""
        x, *rest = line.args
        form, axes = self.of(x), [*self.labels(line.shape)]
        places = moved_axes(line.function, x.shape, rest, line.options)
        for a, b in places.items():
            if b >= 0:
                axes[b] = form.axes[a]
        to: Any = {form.axes[a]: b for a, b in places.items() if b < 0}
        return Form(tuple(axes), form.terms.relabelled(to))

    def scattered(self, line: Line) -> Form:
        """Zeros with g at an index: g times a δ for each entry that the index names."""
        g, index, shape = line.args
        whole, axes = self.labels(shape), [*self.labels(np.shape(g))]
        places = moved_axes(operator.getitem, shape, [index], {})
        for a, b in places.items():
            if b >= 0:
                axes[b] = whole[a]
        if any(x is not None and x not in whole for x in axes):
            raise NotASumError  # an entry is added to more than once
        picked: Any = [(whole[a], b) for a, b in places.items() if b < 0]
        return Form(whole, self.of(g).onto(axes) * self.deltas(picked))

    def contracted(
        self, line: Line, operands: Sequence[Any], names: Sequence[Any], result: Sequence[Any]
    ) -> Form:
        """Σ of products over the axes that the result lacks; one of length 1 there is None."""
        sizes: dict[Any, int] = {}
        for own, x in zip(names, operands):
            sizes |= {a: max(n, sizes.get(a, 1)) for a, n in zip(own, np.shape(x))}
        labels = dict(zip(sizes, self.labels([*sizes.values()])))
        found = self.deltas()
        for own, x in zip(names, operands):
            found = found * self.of(x).onto([labels[a] for a in own])
        over = proper([label for a, label in labels.items() if a not in result])
        weight = line.size / np.size(operands[0]) if line.function is np.mean else 1.0
        axes = tuple([labels.get(a) for a in result])
        return Form(axes, self.summed(found, over).scaled(weight))


def _contraction(line: Line) -> tuple[Any, Any, Any] | None:
    """Operands, the names of their axes, and those of the result, where it is a Σ of products."""
    f, args = line.function, line.args
    if f is np.einsum:
        inputs, arrow, result = args[0].partition("->")
        plain = arrow and inputs.replace(",", "").isalpha() and not line.options
        return (args[1:], inputs.split(","), result) if plain else None
    if f is np.matmul:
        x, y = map(np.ndim, args)
        lead = range(line.ndim - (x > 1) - (y > 1))
        names = [*lead, "i", "k"][-x:], [*lead, "k", "j"][-y:] if y > 1 else ["k"]
        return args, names, [*lead, *"i" * (x > 1), *"j" * (y > 1)]
    if f not in (np.sum, np.mean) or not np.size(args[0]) or not is_plain_sum(args, line.options):
        return None
    axis, own = option(line, "axis", 1), range(np.ndim(args[0]))
    over = own if axis is None else [a % len(own) for a in np.atleast_1d(axis).tolist()]
    keep = line.options.get("keepdims")
    return args[:1], [own], [None if a in over else a for a in own if keep or a not in over]


def moved_axes(
    move: Callable[..., Any], shape: Sequence[int], rest: Any, options: dict[str, Any]
) -> dict[int, int]:
    """Where each axis of an array is once it is moved, or ~v where entry v of it is read.

    Indices are moved to see it; an axis of length 1 is nowhere.
    """
    if any(walk((rest, options))):
        raise NotASumError
    found: dict[int, int] = {}
    for a, index in enumerate(np.indices(shape)):
        at = np.asarray(move(index, *rest, **options))
        along = [b for b, own in enumerate(np.indices(at.shape)) if np.array_equal(at, own)]
        if shape[a] > 1 and along and at.shape[along[0]] == shape[a]:
            found[a] = along[0]
        elif shape[a] > 1 and at.size and (at == at.flat[0]).all():
            found[a] = ~int(at.flat[0])
        elif shape[a] != 1:
            raise NotASumError
    return found
