"""Each gradient as a sum of products over indices: what cancels is gone, like terms are one.

The backward pass is multiplied out down to what the forward pass computed, and written anew, if
that takes no more operations. A quotient q = a / b of the forward pass is a name: a is read q·b, so
p stands where e was, and Σ e cancels. Sums over an index are known where the lines that they are of
say so: Σ p = 1, Σ (x - mean x) = 0. What a table of class indices picks is a product with one:
p[i, y_i] is Σ_j δ(y_i, j) p_ij.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Sequence
from itertools import permutations
from typing import Any

import numpy as np

from ..engine.rules import scatter
from .batching import Reader, cost, dtype_of
from .index_notation import (
    ONE,
    Factor,
    Form,
    NotASumError,
    Powers,
    Sum,
    Term,
    proper,
    term,
)
from .lines import Line, elementwise, fact, live, reads, walk
from .simplifier import Simplifier, alike, is_plain_sum, mark_gradient, simplify

LONG = 1000  # lines from which nobody reads a gradient
EFFORT = 60  # calls of a simplifier, and terms beside the first: the textbook's take up to 40


def collect(lines: Sequence[Line], outputs: Any) -> tuple[list[Line], Any]:
    """The same outputs in fewer lines, gradients as sums of products where somebody reads them."""
    lines = live(lines, outputs)
    dtype = dtype_of(lines)
    if dtype is None or len(lines) >= LONG or not any(walk(outputs[1])):
        return simplify(lines, outputs)
    return Collector(lines, outputs, dtype).run()


class Collector(Simplifier):
    """A pass that writes gradients anew, and what of them no sum of products goes through."""

    def __init__(self, lines: Sequence[Line], outputs: Any, dtype: Any) -> None:
        super().__init__(lines, outputs)
        self.dtype = dtype
        self.results = {*walk(outputs[1])}
        self.forward = {*live(lines, outputs[0])}
        self.moving = {line.of for line in self.results}  # what depends on variables
        self.ends = {*self.results}
        for line in lines:
            if line not in self.forward and not _is_open(line):
                self.ends.update(x for x in reads(line) if x.dtype == dtype)
            if line in self.forward and not self.moving.isdisjoint(reads(line)):
                self.moving.add(line)
        self.ends -= {*self.forward, *(line for line in lines if line.function is None)}
        self.left_to_read, self.pending = Counter(self.uses), dict[Line, Any]()
        self.reader: Any = None
        self.left, self.until = EFFORT, 0  # what is left, and up to which call that is

    def rewrite(self, line: Line) -> Any:
        """What is simpler, or a sum of products; what several lines read is counted once."""
        result = self.new[line] = super().rewrite(line)
        for x in reads(line):
            self.left_to_read[x] -= 1
            if not self.left_to_read[x]:
                del self.pending[x]
        plain = result.__class__ is not Line or not line.shape or line not in self.ends
        if not plain and self.left > 0:  # newest first: what is next to the loss
            self.until = self.calls + self.left
            self.reader = self.reader or _Gradients(self)
            other = self.reader.written(line)
            self.left = self.until - self.calls
            if other is not result:
                needed = [*self.pending.values()]  # anyway
                both = [cost(live(self.lines, [*needed, x])) for x in (other, result)]
                result = other if both[0] <= both[1] else result
            if result.__class__ is Line:
                result.name = result.name or line.name
                mark_gradient(self, line, result, result not in self.before_gradients)
        self.pending[line] = result
        return result


def _is_open(line: Line) -> bool:
    """Whether a line is a sum of products whatever its arguments are."""
    f = line.function
    moved = fact(f, "moves") and f is not np.where
    plain = f is np.sum and is_plain_sum(line.args, line.options)
    return bool(fact(f, "terms") or fact(f, "powers") or moved or plain)


def _picks_one(index: Any, shape: Sequence[int]) -> bool:
    """Whether an index reads an entry of each row of a matrix, ``[np.arange(n), y]``."""
    pair: Any = index if index.__class__ is tuple and len(index) == 2 else (None, None)
    rows, y = pair
    fits = len(shape) == 2 and shape[1] > 1 and y.__class__ is Line is not rows.__class__
    fits = fits and np.shape(rows) == y.shape and y.size == shape[0]
    return fits and np.array_equal(np.reshape(rows, -1), range(y.size))


def _with_picks(picks: dict[tuple[int, int], int], product: Term) -> Term | None:
    """What a table of picks multiplies, as the entries picked alone."""
    to = dict[Factor, Factor]()
    for (f, _), (g, _) in permutations(product, 2):
        entry = picks.get((g.array, f.array))
        if entry is not None and f.labels == g.labels:
            to[f] = Factor(entry, f.labels[:-1])
    return term([(to.get(f, f), n) for f, n in product])


class _Gradients(Reader):
    """Lines in index notation: of the backward pass down to arrays of the forward pass.

    Those that are ``deep`` are multiplied out down to the arguments.
    """

    def __init__(self, collector: Collector, deep: bool = False) -> None:
        super().__init__(collector, None, collector.dtype, set(), True)
        self.collector, self.deep = collector, deep
        self.quotients: dict[Any, Line] = {}  # by what is divided
        self.lines: dict[int, Line] = {}  # of arrays
        self.picks: dict[tuple[int, int], int] = {}  # x[rows, y] by a table of ones and x
        self.tables = set[int]()  # of ones, one in each row
        self.sums: Any = None  # the deep ones
        last = [x.args[-1] for x in collector.forward if x.function in (np.divide, np.log)]
        self.divisors = {x for x in last if x.__class__ is Line}
        for line in () if deep else collector.forward:
            a, b = line.args if line.function is np.divide and line.shape else (None, None)
            if alike(a, line) and b.__class__ is Line:
                self.quotients.setdefault(collector.new[a], line)

    def read(self, line: Line) -> Form:
        """A line in index notation, once those that it is made of are."""
        needed, todo = set[Line](), [line, *self.divisors]
        while todo:
            if (x := todo.pop()) not in needed and x not in self.forms:
                needed.add(x)
                todo += reads(x) if self.takes_apart(x) else ()
        for x in self.collector.old if needed else ():
            if x in needed:
                self.forms[x] = self.form(x)
                below = self.forms[x].terms if x in self.divisors else ()  # else there is no loss
                self.nonzero |= {factor.array for product in below for factor, _ in product}
        return self.forms[line]

    def takes_apart(self, line: Line) -> bool:
        """Whether a line may be a sum of products; a function of each entry by itself is none."""
        f = line.function
        if len(fact(f, "terms")) > 1:
            return self.opens(line)
        return f is not None and (f is np.power or _is_open(line) or not elementwise(f))

    def written(self, line: Line) -> Any:
        """A line as a sum of products, or as it is."""
        try:
            return self.write(self.read(line), line.shape)
        except NotASumError:
            return self.collector.new[line]

    def opens(self, line: Line) -> bool:
        """Whether a sum is multiplied out: one that variables move has a name."""
        return self.deep or line not in self.collector.moving

    def form(self, line: Line) -> Form:
        """A line in index notation, its arguments being so already."""
        if self.collector.calls > self.collector.until:
            raise NotASumError
        x, forward = self.collector.new[line], line in self.collector.forward
        if q := self.quotients.get(x) if x.__class__ is Line else None:
            return self.times_divisor(q, line.shape)
        result = self.picked(line) or super().form(line)
        self.collector.until -= max(len(result.terms) - 1, 0)
        for factor in [f for product in result.terms for f, _ in product if f.array >= 0]:
            if forward and self.arrays[factor.array] is x:
                self.lines[factor.array] = line
        if not self.picks:
            return result
        terms = [(_with_picks(self.picks, product), c) for product, c in result.terms.items()]
        return Form(result.axes, Sum.of(terms))

    def times_divisor(self, q: Line, shape: Sequence[int]) -> Form:
        """Of q = a / b the numerator."""
        x, b = map(self.collector.new.__getitem__, (q, q.args[1]))
        axes, terms = self.atom(x, shape)
        self.lines |= {factor.array: q for product in terms for factor, _ in product}
        return Form(axes, terms * self.atom(b, b.shape).onto(axes))

    # ------------------------------------------------------------------ one entry of each row
    def picked(self, line: Line) -> Form | None:
        """X[rows, y], or zeros with x there: with δ(y_i, j) as a table."""
        if line.function not in (operator.getitem, scatter):
            return None
        x, index, *rest = line.args
        shape = rest[0] if rest else x.shape
        if not _picks_one(index, shape):
            return None
        rows, y = index
        index = rows, self.collector.new[y]
        ones = self.emit(scatter, np.ones(y.shape, self.dtype), index, shape)
        axes, one = self.atom(ones, shape)
        [[(table, _)]] = one
        self.tables.add(table.array)
        if rest:
            return Form(axes, self.of(x).onto((axes[0], None)[: y.ndim]) * one)
        result = self.atom(self.collector.new[line], line.shape)
        [[(entry, _)]] = result.terms
        for product in self.of(x).terms:
            if [n for _, n in product] == [1]:
                self.picks |= {(table.array, factor.array): entry.array for factor, _ in product}
        return result

    # ------------------------------------------------------------------ sums over indices
    def operand(self, x: Any) -> Form:
        """A factor of a product of matrices: one array, its number in front."""
        axes, terms = self.of(x)
        if len(terms) < 2:
            return Form(axes, terms)
        c = min(map(abs, terms.values()))
        axes, one = self.atom(self.write(Form(axes, terms.scaled(1.0 / c)), x.shape), x.shape)
        return Form(axes, one.scaled(c))

    def known(self, powers: Powers, bound: set[int]) -> float | None:
        """Σ of an array of the forward pass, where that is a number for all data."""
        [(factor, n), *others] = powers.items()
        if factor.array in self.tables and not others and bound == {factor.labels[-1]}:
            return 1.0
        line = self.lines.get(factor.array)
        if self.deep or others or n != 1 or line is None:
            return None
        self.sums = self.sums or _Gradients(self.collector, deep=True)
        if not self.sums.takes_apart(line):
            return None
        axes, terms = self.sums.read(line)
        over = [x for x, label in zip(proper(axes), factor.labels) if label in bound]
        result = self.sums.summed(terms, over)
        return result.get(ONE, 0.0) if {*result} <= {ONE} else None
