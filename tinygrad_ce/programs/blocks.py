"""Sums of products, written in NumPy: ``np.diag(p) - np.outer(p, p)``."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from .lines import Line, astype, infer
from .products import Array, Form, Products
from .terms import FIXED, Factor, is_fixed, proper

LETTERS = "abcdefghijklmnopqrstuvwxyz"
Powers = dict[Factor, int]
Written = tuple[float, Powers, frozenset[tuple[int, int]]]  # a term


class Steps:
    """New lines, just before one of a program."""

    def __init__(self, inserted: dict[Line, list[Line]]) -> None:
        self.inserted = inserted  # before which lines which stand

    def before(self, line: Line) -> None:
        """Place the next ones there."""
        self.here = self.inserted.setdefault(line, [])

    def make(self, f: Any, *args: Any, **options: Any) -> Any:
        """A line after its arguments."""
        made = Line(f, args, options, *infer(f, args, options))
        self.here.append(made)
        return made


class Writer(Steps):
    """Lines that compute sums of products, just before one of a program."""

    def __init__(self, products: Products, before: Line, inserted: dict[Line, list[Line]]) -> None:
        super().__init__(inserted)
        self.before(before)
        self.p = products
        self.dtype = {} if before.dtype == np.float64 else {"dtype": before.dtype}

    def block(self, form: Form, shape: tuple[int, ...], dtype: Any) -> Any:
        """A node, or a constant, of that shape."""
        if not form.terms:
            return np.zeros(shape, dtype)
        labels = proper(form.axes)
        parts = [(c, self.p.shares(dict(f)), pairs) for (f, pairs), c in form.terms.items()]
        found = self.sum(parts, labels)
        sizes = tuple([self.p.size[x] for x in labels])
        if found.__class__ is not Line:
            return np.broadcast_to(found, sizes).reshape(shape).astype(dtype)
        if found.shape != sizes:
            found = self.make(np.broadcast_to, found, sizes)
        if found.shape != shape:
            found = self.make(np.reshape, found, shape)
        return found if found.dtype == dtype else self.make(astype, found, np.dtype(dtype))

    def make(self, f: Any, *args: Any, **options: Any) -> Any:
        """One operation; of a number and 1, none."""
        if f is np.multiply and args[0].__class__ is float and args[0] in (1.0, -1.0):
            return args[1] if args[0] == 1.0 else self.make(np.negative, args[1])
        return super().make(f, *args, **options)

    # ------------------------------------------------------------------ sums
    def sum(self, parts: Sequence[Written], out: Sequence[int]) -> Any:
        """Terms, with what they share in front; it broadcasts to the labels ``out``."""
        if len(parts) == 1:
            return self.term(*parts[0], out)
        pairs = frozenset.intersection(*[pairs for _, _, pairs in parts])
        firsts = {low for low, _ in pairs}
        shared = {
            f: n
            for f, n in parts[0][1].items()
            if firsts.issuperset(f.free()) and all(powers.get(f) == n for _, powers, _ in parts)
        }
        c = abs(parts[0][0]) if len({abs(c) for c, _, _ in parts}) == 1 else 1.0
        c = -c if all(c < 0 for c, _, _ in parts) else c
        inner = [x for x in out if x not in {x for _, x in pairs}]
        found: Any = None
        for d, powers, own in sorted(parts, key=lambda part: (part[0] / c < 0, -len(part[2]))):
            rest = {f: n for f, n in powers.items() if f not in shared}
            one = self.term(d / c if found is None else abs(d / c), rest, own - pairs, inner)
            f = np.add if d / c > 0 else np.subtract
            found = one if found is None else self.make(f, found, one)
        scale = self.product(c, shared, inner)
        found = self.make(np.multiply, scale, found)
        if pairs and np.ndim(found):
            last = inner[len(inner) - found.ndim :]
            axes = [None if n == 1 else x for n, x in zip(found.shape, last)]
            found = self.place(found, axes, out)
        return self.deltas(found, pairs, out)

    def term(
        self, c: float, powers: Powers, pairs: frozenset[tuple[int, int]], out: Sequence[int]
    ) -> Any:
        """One product."""
        inner = [x for x in out if x not in {x for _, x in pairs}]
        if pairs == {(*out,)} and any(inner[0] in f[1] for f in powers):
            return self.make(np.diag, self.product(c, powers, inner))
        if not pairs and len(out) == 2:
            left, right = ({f: n for f, n in powers.items() if x in f.labels} for x in out)
            alone = {f: n for f, n in powers.items() if not f.free()}
            if left and right and not left.keys() & right.keys():
                x = self.product(c, alone | left, out[:1])
                return self.make(np.outer, x, self.product(1.0, right, out[1:]))
        return self.deltas(self.product(c, powers, out), pairs, out)

    def deltas(self, found: Any, pairs: frozenset[tuple[int, int]], out: Sequence[int]) -> Any:
        """Multiply by each δ."""
        for low, x in sorted(pairs):
            eye = self.make(np.eye, self.p.size[x], **self.dtype)
            if is_fixed(low):
                unit = self.make(operator.getitem, eye, FIXED - low)
                found = self.make(np.multiply, found, self.place(unit, (x,), out))
            else:
                eye = self.place(eye, [y for y in out if y in (low, x)], out)
                found = self.make(np.multiply, found, eye)
        return found

    # ------------------------------------------------------------------ products
    def share(self, part: int, total: int) -> Any:
        """``e / Σ e``."""
        pattern = self.p.arrays[total].body[0][0].labels
        x, labels = self.p.nodes[part], iter(range(len(pattern)))
        axes = [None if n == 1 else next(labels) for n in x.shape]
        below = [i for i, _ in sorted(enumerate(pattern), key=lambda q: q[1]) if pattern[i] >= 0]
        return self.make(np.divide, x, self.place(*self.array(total, below), axes))

    def product(self, c: float, powers: Powers, out: Sequence[int]) -> Any:
        """A number times factors: what stands above the line, then what divides."""
        found: Any = c
        above, below = list[Any](), list[Any]()
        for f, n in sorted(powers.items(), key=lambda f: (len(f[0].labels), f[0])):
            x = self.place(*self.array(f.array, f.labels), out)
            (below if f.below == (n > 0) else above).append((x, abs(n)))
        for x, n in above:
            x = x if n == 1 else self.make(np.power, x, float(n))
            found = self.make(np.multiply, found, x)
        for x, n in below:
            for _ in range(n):  # one by one: their product could overflow
                found = self.make(np.divide, found, x)
        return found

    def array(self, number: int, labels: Sequence[int]) -> tuple[Any, Sequence[int | None]]:
        """A factor's node, and the label of each of its axes."""
        what: Array = self.p.arrays[number]
        x: Any = self.p.nodes.get(number)
        if what.share:
            x = x if x is not None else self.share(*what.share)
            if x.name is None and getattr(self.p.nodes[what.share[0]], "function", None) is np.exp:
                x.name = "p"
        elif what.body and (x is None or (x.ndim and not labels)):
            x = self.inner_sum(what)  # Σ over all, not of shape (1, 1)
        self.p.nodes[number], supply = x, iter(labels)
        axes = [None if n == 1 else next(supply) for n in x.shape]
        if any(map(is_fixed, labels)):
            at = [FIXED - a if a is not None and is_fixed(a) else slice(None) for a in axes]
            x = self.make(operator.getitem, x, at[0] if len(at) == 1 else tuple(at))
            axes = [a for a in axes if a is None or not is_fixed(a)]
        return x, axes

    def inner_sum(self, what: Array) -> Any:
        """Σ of products."""
        names = {q: proper(self.p.labels((n,)))[0] for q, n in sorted(what.sizes.items())}
        factors = [(f.relabelled(names), n) for f, n in what.body]
        powers = self.p.shares(dict(factors))
        own = [names[q] for q in sorted(what.sizes) if q >= 0]
        bound = [names[q] for q in sorted(what.sizes) if q < 0]
        holds = [{f: n for f, n in powers.items() if x in f.labels} for x in own]
        alone = {f: n for f, n in powers.items() if not {*own}.intersection(f.labels)}
        if not own:
            return self.make(np.sum, self.product(1.0, powers, bound))
        labels = [*dict.fromkeys(x for f in powers for x in f.free())]
        if len(powers) == 1 and [x for x in labels if x in own] == own:
            over = tuple([i for i, x in enumerate(labels) if x in bound])
            axis = over[0] if len(over) == 1 else over
            return self.make(np.sum, self.product(1.0, powers, labels), axis=axis)
        if len(bound) == 1 and len(own) <= 2:
            left, right = (holds[0] | alone, holds[1]) if len(own) == 2 else (holds[0], alone)
            if right and not left.keys() & right.keys():
                x = self.product(1.0, left, [own[0], *bound])
                return self.make(np.matmul, x, self.product(1.0, right, [*bound, *own[1:]]))
        groups: dict[tuple[int, ...], Powers] = {}
        for f, n in sorted(powers.items(), key=lambda f: (-len(f[0].free()), f[0])):
            held = (g for g in reversed(groups) if {*f.free()}.issubset(g))
            groups.setdefault(next(held, f.free()), {})[f] = n
        operands = [(self.product(1.0, group, labels), labels) for labels, group in groups.items()]
        return self.einsum(operands, own)

    # ------------------------------------------------------------------ axes
    def einsum(self, operands: Sequence[tuple[Any, Sequence[int]]], out: Sequence[int]) -> Any:
        """An einsum, given the label of each axis."""
        letters = dict(zip(dict.fromkeys(x for _, labels in operands for x in labels), LETTERS))
        texts = ["".join(letters[x] for x in labels) for _, labels in (*operands, ((), out))]
        fast = {"optimize": True} if len(operands) > 2 else {}
        subscripts = f"{','.join(texts[:-1])}->{texts[-1]}"
        return self.make(np.einsum, subscripts, *[x for x, _ in operands], **fast)

    @staticmethod
    def long(x: Any) -> tuple[int, ...]:
        """The lengths of the axes longer than 1."""
        return tuple([n for n in x.shape if n != 1])

    def place(self, x: Any, axes: Sequence[int | None], out: Sequence[int | None]) -> Any:
        """A node with its axes where ``out`` has them, by what broadcasting does not do itself."""
        pairs = [*zip(reversed(axes), reversed(out))]
        if len(axes) <= len(out) and all(a in (None, b) for a, b in pairs):
            return x
        have = proper(axes)
        wanted = [a for a in out if a in have]
        steps = [slice(None) if a in have else None for a in out]
        while steps and steps[0] is None:
            del steps[0]
        if None in axes:
            lengths = iter(self.long(x))
            if wanted == [*have]:
                return self.make(np.reshape, x, tuple([next(lengths) if s else 1 for s in steps]))
            x = self.make(np.reshape, x, self.long(x))
        if wanted != [*have] and getattr(x, "function", None) is np.einsum:
            inputs, _, letters = x.args[0].partition("->")
            result = "".join(letters[have.index(a)] for a in wanted)
            x = self.make(np.einsum, f"{inputs}->{result}", *x.args[1:], **x.options)
        elif wanted != [*have]:
            turn = tuple([have.index(a) for a in wanted])
            x = self.make(np.transpose, x) if turn == (1, 0) else self.make(np.transpose, x, turn)
        return x if None not in steps else self.make(operator.getitem, x, tuple(steps))
