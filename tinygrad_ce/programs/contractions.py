"""Sums of products, written in NumPy: ``np.diag(p) - np.outer(p, p)``."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from string import ascii_lowercase
from typing import Any

import numpy as np

from .index_notation import DELTA, FIXED, Array, Arrays, Form, Powers, proper
from .lines import Builder, Line, astype
from .simplifier import is_call


def pairs_of(powers: Iterable[Any]) -> list[tuple[int, int]]:
    """The labels of each δ."""
    return sorted(f.labels for f in powers if f.array == DELTA)


class Layout:
    """Lines of a builder that place axes by their labels."""

    def __init__(self, arrays: Arrays, builder: Builder, now: Any, dtype: Any) -> None:
        self.table, self.builder, self.now, self.dtype = arrays, builder, now, dtype

    def make(self, f: Any, *args: Any, **options: Any) -> Any:
        """One operation; of a number and 1, none."""
        if f is np.multiply and args[0].__class__ is float and abs(args[0]) == 1.0:
            return args[1] if args[0] == 1.0 else self.make(np.negative, args[1])
        return self.builder.emit(f, args, options)

    def place(self, x: Any, axes: Sequence[int | None], out: Sequence[int | None]) -> Any:
        """Put the axes where ``out`` has them, by what broadcasting does not do itself."""
        pairs = [*zip(reversed(axes), reversed(out))]
        if len(axes) <= len(out) and all(a in (None, b) for a, b in pairs):
            return x
        have = [*proper(axes)]
        wanted = [a for a in out if a in have]
        steps = [slice(None) if a in have else None for a in out]
        while steps and steps[0] is None:
            del steps[0]
        if None in axes:
            lengths = [n for n, a in zip(x.shape, axes) if a is not None]
            if wanted == have:
                supply = iter(lengths)
                return self.make(np.reshape, x, tuple([next(supply) if s else 1 for s in steps]))
            x = self.make(np.reshape, x, tuple(lengths))
        if wanted != have:
            turn = tuple([have.index(a) for a in wanted])
            x = self.make(np.transpose, x) if turn == (1, 0) else self.make(np.transpose, x, turn)
        return x if None not in steps else self.make(operator.getitem, x, tuple(steps))

    def deltas(self, found: Any, pairs: Sequence[tuple[int, int]], out: Sequence[int]) -> Any:
        """Multiply by each δ."""
        for low, x in pairs:
            delta: Any = np.eye(self.table.size[x], dtype=self.dtype)
            if low > FIXED:
                how = {} if self.dtype == np.float64 else {"dtype": self.dtype}
                delta = self.make(np.eye, self.table.size[x], **how)
            axes = [y for y in out if y in (low, x)]
            delta = delta if low > FIXED else delta[FIXED - low]
            found = self.make(np.multiply, found, self.place(delta, axes, out))
        return found


class Writer(Layout):
    """Lines that compute sums of products."""

    def block(self, form: Form, shape: tuple[int, ...] | None = None, dtype: Any = None) -> Any:
        """A line, or a constant, of that shape, or with the axes that have a label alone."""
        labels = proper(form.axes)
        sizes = tuple([self.table.size[x] for x in labels])
        shape, dtype = sizes if shape is None else shape, dtype or self.dtype
        terms = [(c, self.table.shares(dict(product))) for product, c in form.terms.items()]
        found = self.sum(terms, labels) if terms else 0.0
        if found.__class__ is not Line:
            return np.broadcast_to(found, sizes).reshape(shape).astype(dtype)
        found = self.make(np.reshape, self.make(np.broadcast_to, found, sizes), shape)
        return found if found.dtype == dtype else self.make(astype, found, dtype)

    # ------------------------------------------------------------------ sums
    def sum(self, terms: Sequence[tuple[float, Powers]], out: Sequence[int]) -> Any:
        """Terms, with what they share in front; it broadcasts to the labels ``out``."""
        if len(terms) == 1:
            return self.term(*terms[0], out)
        c = abs(terms[0][0]) if len({abs(c) for c, _ in terms}) == 1 else 1.0
        c = -c if all(c < 0 for c, _ in terms) else c
        common = {f: n for f, n in terms[0][1].items() if all(p.get(f) == n for _, p in terms)}
        pairs = pairs_of(common)
        inner = [x for x in out if x not in {x for _, x in pairs}]
        firsts = {low for low, _ in pairs}
        shared = {
            f: n for f, n in common.items() if f.array == DELTA or firsts.issuperset(f.free())
        }
        found: Any = None
        for d, powers in sorted(terms, key=lambda term: (term[0] / c < 0, -len(pairs_of(term[1])))):
            rest = {f: n for f, n in powers.items() if f not in shared}
            one = self.term(d / c if found is None else abs(d / c), rest, inner)
            f = np.add if d / c > 0 else np.subtract
            found = one if found is None else self.make(f, found, one)
        found = self.make(np.multiply, self.product(c, shared, inner), found)
        if pairs and np.ndim(found):
            last = inner[len(inner) - found.ndim :]
            axes = [None if n == 1 else x for n, x in zip(found.shape, last)]
            found = self.place(found, axes, out)
        return self.deltas(found, pairs, out)

    def term(self, c: float, powers: Powers, out: Sequence[int]) -> Any:
        """One product."""
        pairs = pairs_of(powers)
        if pairs == [(*out,)] and any(out[0] in f.labels for f in powers if f.array != DELTA):
            return self.make(np.diag, self.product(c, powers, out[:1]))
        if not pairs and len(out) == 2:
            left, right = ({f: n for f, n in powers.items() if x in f.labels} for x in out)
            alone = {f: n for f, n in powers.items() if not f.free()}
            if left and right and not left.keys() & right.keys():
                x = self.product(c, alone | left, out[:1])
                return self.make(np.outer, x, self.product(1.0, right, out[1:]))
        return self.deltas(self.product(c, powers, out), pairs, out)

    # ------------------------------------------------------------------ products
    def product(self, c: float, powers: Powers, out: Sequence[int]) -> Any:
        """A number times arrays: what stands above the line, then what divides."""
        found: Any = c
        below: list[Any] = []
        for f, n in sorted(powers.items(), key=lambda f: (len(f[0].labels), f[0])):
            if f.array != DELTA:
                inverse = self.table.arrays[f.array].inverse
                x = self.array(f.array if inverse is None else inverse, f.labels)
                x = self.place(*x, out)
                if n < 0 or inverse is not None:
                    below += [x] * abs(n)  # one by one: their product could overflow
                else:
                    x = x if n == 1 else self.make(np.power, x, float(n))
                    found = self.make(np.multiply, found, x)
        for x in below:
            found = self.make(np.divide, found, x)
        return found

    def array(self, number: int, labels: Sequence[int]) -> tuple[Any, Sequence[int | None]]:
        """A factor's line, and the label of each of its axes."""
        what = self.table.arrays[number]
        x = self.now(what.source)
        if what.share:
            x = self.share(*what.share) if x is None else x
            if x.name is None and is_call(
                self.now(self.table.arrays[what.share[0]].source), np.exp
            ):
                x.name = "p"
        elif what.body and (x is None or (x.ndim and not labels)):
            x, what.order = self.inner_sum(what, labels)  # Σ over all, not of shape (1, 1)
        what.source, supply = x, iter([labels[q] for q in what.order] if what.body else labels)
        axes = [None if n == 1 else next(supply) for n in x.shape]
        if any(label <= FIXED for label in labels):
            at = [slice(None) if a is None or a > FIXED else FIXED - a for a in axes]
            x = self.make(operator.getitem, x, at[0] if len(at) == 1 else tuple(at))
            axes = [a for a in axes if a is None or a > FIXED]
        return x, axes

    def share(self, part: int, total: int) -> Any:
        """``e / Σ e``."""
        pattern = self.table.arrays[total].body[0][0].labels
        x, axes = self.array(part, range(len(pattern)))
        below = [i for i, _ in sorted(enumerate(pattern), key=lambda q: q[1]) if pattern[i] >= 0]
        return self.make(np.divide, x, self.place(*self.array(total, below), axes))

    def inner_sum(self, what: Array, out: Sequence[int]) -> tuple[Any, Sequence[int]]:
        """Σ of products, and the order of its axes, which may be that of the labels ``out``."""
        names = {q: proper(self.table.labels((n,)))[0] for q, n in sorted(what.sizes.items())}
        powers = self.table.shares({f.relabelled(names): n for f, n in what.body})
        own = [names[q] for q in sorted(what.sizes) if q >= 0]
        bound = [names[q] for q in sorted(what.sizes) if q < 0]
        labels = [*dict.fromkeys(x for f in powers for x in f.free())]
        if not own:
            return self.make(np.sum, self.product(1.0, powers, bound)), []
        if len(powers) == 1 and [x for x in labels if x in own] == own:
            over = tuple([i for i, x in enumerate(labels) if x in bound])
            axis = over[0] if len(over) == 1 else over
            return self.make(np.sum, self.product(1.0, powers, labels), axis=axis), range(len(own))
        order = sorted(range(len(own)), key=[*out, *own].__getitem__)
        to = [own[q] for q in order]
        if len(bound) == 1 and (found := self.matmul(powers, to, bound[0])) is not None:
            return found, order
        ordered = sorted(powers.items(), key=lambda f: (-len(f[0].free()), f[0]))
        operands = [self.product(1.0, {f: n}, f.free()) for f, n in ordered]
        letters = dict(zip(labels, ascii_lowercase))
        texts = [
            "".join(letters[x] for x in axes) for axes in [*(f.free() for f, _ in ordered), to]
        ]
        fast = {"optimize": True} if len(operands) > 2 else {}
        subscripts = f"{','.join(texts[:-1])}->{texts[-1]}"
        return self.make(np.einsum, subscripts, *operands, **fast), order

    def matmul(self, powers: Powers, own: Sequence[int], k: int) -> Any:
        """Σ over one label of matrices, or a matrix and a vector; None if it is neither."""
        right = {f: n for f, n in powers.items() if own[-1] in f.labels}
        row, column = [*own[:-1], k], [*own[:-2], k, own[-1]]
        if len(own) == 1 or any(own[-2] in f.labels for f in right):
            right = {f: n for f, n in powers.items() if f.free() == (k,)}
            row, column = [*own, k], [k]
        left = {f: n for f, n in powers.items() if f not in right}
        if not (left and right):
            return None
        return self.make(np.matmul, self.product(1.0, left, row), self.product(1.0, right, column))
