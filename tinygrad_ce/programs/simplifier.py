"""The same program in fewer operations: nothing twice, no constant computed, nothing by one.

A pass walks the lines in order and writes each anew; the arguments that a rule sees are simple
already. What a rule has to know of an operation stands in its record: of what it is a sum or a
product (``terms``, ``powers``), whether it only ``moves`` entries, whether it is ``even``. So
-(-x), 1 * x, x + (-y), |-x| and reshapes that undo each other are found in whatever operations they
are written; every rewrite gives the same result but for rounding.

In a program of numbers alone each operation left out is time saved; there, and only there:

    (-x)·y = -(x·y)    x / 2ᵏ = x·2⁻ᵏ    x³ = x·x·x    c·x + d·x = (c + d)·x
    x·y + x·z = x·(y + z), if nothing else needs the two products

The first two are exact. The others round otherwise, by no more than the operations they replace;
x·(y + z) overflows where y + z does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..engine.rules import scatter
from .lines import Line, constant, elementwise, fact, live, replace, uses, walk

Rule = Callable[..., Any]
FLOATS = (float, np.floating)
REDUCTIONS = (np.sum, np.mean, np.max, np.min)  # one axis after the other
PASSES = 3  # of numbers: what one pass takes out may let the next take more
COSTS = {np.power: 3, np.divide: 2}  # in products; Python has no fast path for these


def simplify(lines: Sequence[Line], outputs: Any) -> tuple[list[Line], Any]:
    """The same outputs in fewer lines."""
    found = Simplifier(live(lines, outputs), outputs).run()
    numbers = all(line.is_number for line in found[0])
    for _ in range(PASSES if numbers else 0):
        shorter = NumberSimplifier(*found).run()
        saved = _cost(found[0]) - _cost(shorter[0])
        found = shorter if saved >= 0 else found
        if saved <= 0:
            break
    return found


def _cost(lines: Sequence[Line]) -> int:
    return sum(COSTS.get(line.function, 1) for line in lines)


# ------------------------------------------------------------------ arguments
def key_of(x: Any) -> Any:
    """What is equal for equal arguments alone; 1 and 1.0, 0.0 and -0.0 are not."""
    kind = x.__class__
    if kind is Line or callable(x):
        return x
    if kind is tuple or kind is list:
        return (kind, *map(key_of, x))
    if kind is dict:
        return tuple((name, key_of(x[name])) for name in sorted(x))
    if kind is slice:
        return (kind, key_of(x.start), key_of(x.stop), key_of(x.step))
    if kind is np.ndarray:
        return (kind, x.dtype, x.shape, x.tobytes())
    return (kind, repr(x))


def uniform(x: Any) -> bool:
    """Whether all entries of an array are one number; 0.0 and -0.0 are two."""
    if not x.size or not (x == x.flat[0]).all():
        return False
    return x.flat[0] != 0 or bool((np.signbit(x) == np.signbit(x.flat[0])).all())


def number_of(x: Any) -> float | None:
    """The number that a constant is."""
    if x.__class__ is Line or not isinstance(x, float | int | np.number | np.ndarray):
        return None
    return None if np.ndim(x) else float(x)


def is_call(x: Any, *functions: Any) -> bool:
    """Whether an argument is a line that calls one of the functions."""
    return x.__class__ is Line and x.function in functions


def alike(x: Any, line: Line) -> bool:
    """Whether an argument is a line of the same shape and kind."""
    same = x.__class__ is Line and x.shape == line.shape and x.kind == line.kind
    return same and x.is_number == line.is_number


def moves_first(f: Any) -> bool:
    """Whether a function moves the entries of its first argument."""
    return fact(f, "moves") and 0 in fact(f, "linear")


def commutes(f: Any) -> bool:
    """Whether x and y may be swapped in f(x, y)."""
    return len(parts := fact(f, "terms") or fact(f, "powers")) == 2 and parts[0] == parts[1]


def is_plain_sum(args: tuple[Any, ...], options: dict[str, Any]) -> bool:
    """Whether a sum or mean is of float32 or float64, with no option but axis and keepdims.

    Others take a part of the entries, start elsewhere, or add in another dtype.
    """
    dtype = getattr(args[0], "dtype", None)
    wide = dtype is not None and dtype in (np.float32, np.float64)
    return wide and len(args) <= 2 and options.keys() <= {"axis", "keepdims"}


# ------------------------------------------------------------------ a pass
class Simplifier:
    """One pass over a program, for arrays and numbers alike."""

    rules: dict[Any, tuple[Rule, ...]]  # of what is no sum, product or move, at the end

    def __init__(self, lines: Sequence[Line], outputs: Any) -> None:
        self.old, self.outputs, self.uses = lines, outputs, uses(lines, outputs)
        self.lines: list[Line] = []
        self.new: dict[Line, Any] = {}
        self.seen: dict[Any, Line] = {}
        self.once: set[Any] = set()  # the new lines that one other needs

    def run(self) -> tuple[list[Line], Any]:
        """The lines and outputs, rewritten."""
        for line in self.old:
            self.new[line] = found = self.rewrite(line)
            if self.uses[line] == 1 and found.__class__ is Line:
                self.once.add(found)
        outputs = replace(self.outputs, self.new.__getitem__)
        return live(self.lines, outputs), outputs

    def rewrite(self, line: Line) -> Any:
        """A line, or a constant, that is the same; it keeps the names that the line has."""
        if line.function is None:
            self.lines.append(line)
            return line
        args = replace(line.args, self.new.__getitem__)
        if line.function is constant:
            return args[0]
        options = replace(line.options, self.new.__getitem__) if line.options else line.options
        before = len(self.lines)
        found = self.call(line.function, args, options, line)
        if found.__class__ is Line and found.function:
            found.name = found.name or line.name
            of = self.new.get(line.of) if line.of else None
            if found.of is None and of.__class__ is Line and found in self.lines[before:]:
                found.of = of
        return found

    def call(self, f: Any, args: tuple[Any, ...], options: dict[str, Any], like: Line) -> Any:
        """What f gives for simple arguments, of the shape and kind of a line."""
        some = any(x.__class__ is Line for x in args) or any(walk((args, options)))
        if not some and f is not np.eye:  # that is shorter to read
            with np.errstate(all="ignore"):
                return like.kind(f(*args)) if like.is_number else f(*args, **options)
        if options:
            options = _normal_axis(args, options) if f in REDUCTIONS else options
        elif elementwise(f) and not like.is_number:
            args = _narrow(args, like.shape)
        if (terms := fact(f, "terms")) and not options:
            return self.total(f, terms, args, like)
        if (powers := fact(f, "powers")) and not options:
            return self.product(f, powers, args, like)
        if fact(f, "even") and unsigned(args[0])[0] < 0:
            return self.call(f, args[0].args, options, like)
        found = _unmoved(f, args, options, like) if moves_first(f) else None
        for rule in self.rules.get(f, ()):
            found = rule(self, args, options, like) if found is None else found
        return self.make(f, args, options, like) if found is None else found

    def make(self, f: Any, args: tuple[Any, ...], options: Any, like: Line) -> Line:
        """The line that calls f so; the same one where there is one."""
        key: Any = (f, *map(key_of, args), key_of(options)) if options else (f, *map(key_of, args))
        if commutes(f):
            key = (f, frozenset(key[1:]))  # x + y is y + x
        if key not in self.seen:
            self.seen[key] = Line(f, args, options, like.shape, like.kind)
            self.lines.append(self.seen[key])
        return self.seen[key]

    # ------------------------------------------------------------------ sums
    def total(self, f: Any, signs: tuple[float, ...], args: tuple[Any, ...], like: Line) -> Any:
        """±x ± y, without zeros and signs inside."""
        if len(args) > 2 or {*map(abs, signs)} != {1}:
            return self.make(f, args, {}, like)
        if len(args) == 1:
            return self.scale(signs[0], args[0], like)
        for x, y, sign in zip(args, args[::-1], signs):
            if number_of(y) == 0.0 and alike(x, like):
                return self.scale(sign, x, like)
        (a, x), (b, y) = map(unsigned, args)
        return self.add(a * signs[0], x, b * signs[1], y, like)

    def add(self, a: float, x: Any, b: float, y: Any, like: Line) -> Any:
        """±x ± y of terms that have no sign themselves."""
        if a < 0 and b < 0:
            first = self.scale(-1.0, x, x if x.__class__ is Line else like)
            return self.make(np.subtract, (first, y), {}, like)
        if a < 0:
            a, x, b, y = b, y, a, x
        return self.make(np.add if b > 0 else np.subtract, (x, y), {}, like)

    # ------------------------------------------------------------------ products
    def product(self, f: Any, powers: tuple[float, ...], args: tuple[Any, ...], like: Line) -> Any:
        """x · y or x / y, without ones and with one number in front."""
        if len(args) != 2:
            return self.make(f, args, {}, like)
        if like.shape and (found := _cancelled(self, powers, args, like)) is not None:
            return found
        for x, y, n in zip(args, args[::-1], powers):
            if number_of(y) == 1.0 and n == 1 and alike(x, like):
                return x
            merges = alike(x, like) and isinstance(y, FLOATS) and powers == (1, 1)
            if merges and (abs(y) == 1.0 or coefficient(x)[1] is not x):
                return self.scale(float(y), x, like)
        return self.make(f, args, {}, like)

    def scale(self, c: float, x: Any, like: Line) -> Any:
        """C · x, for a number in front of x already."""
        d, u = coefficient(x)
        if alike(u, like):
            c, x = c * d, u
        if abs(c) == 1.0 and alike(x, like):
            return x if c > 0 else self.negative(x, like)
        return self.make(np.multiply, (c, x), {}, like)

    def negative(self, x: Any, like: Line) -> Any:
        """-x, of what has no sign."""
        return self.make(np.negative, (x,), {}, like)


# ------------------------------------------------------------------ what cancels
def _is_positive(x: Any, depth: int = 3) -> bool:
    """Whether all entries are above 0: an exponential, or a sum, product or quotient of such."""
    if not is_call(x, np.add, np.multiply, np.divide, np.sum) or not depth:
        return x.__class__ is Line and x.function is not None and fact(x.function, "positive")
    if x.function is np.sum:
        return is_plain_sum(x.args, x.options) and _is_positive(x.args[0], depth - 1)
    return all(_is_positive(part, depth - 1) for part in x.args)


def _take_apart(x: Any, n: int, sides: dict[int, list[Any]], depth: int = 4) -> float:
    """The number in front of a product; its factors are added above (n = 1) or below the line."""
    if isinstance(x, FLOATS) and x and math.isfinite(x):
        return float(x) ** n
    if unsigned(x)[0] < 0:
        return -_take_apart(x.args[0], n, sides, depth)
    if depth and is_call(x, np.multiply, np.divide):
        a, b = x.args
        m = n if x.function is np.multiply else -n
        return _take_apart(a, n, sides, depth - 1) * _take_apart(b, m, sides, depth - 1)
    sides[n].append(x)
    return 1.0


def _cancelled(s: Simplifier, powers: Any, args: tuple[Any, ...], like: Line) -> Any:
    """A product without what stands above and below the line in it; of a sum, term by term.

    Only what is positive cancels: x / x stays what it was at 0.
    """
    x, y = args
    if powers == (1, 1) and is_call(x, np.add, np.subtract) and x in s.once:
        parts = [_cancelled(s, powers, (part, y), like) for part in x.args]
        if all(part is None for part in parts):
            return None
        pairs = zip(parts, x.args)
        both = [s.call(np.multiply, (z, y), {}, like) if p is None else p for p, z in pairs]
        return s.call(x.function, tuple(both), {}, like)
    sides: dict[int, list[Any]] = {1: [], -1: []}
    c = _take_apart(x, 1, sides) * _take_apart(y, powers[1], sides)
    above, below = [], sides[-1]
    for z in sides[1]:
        at = next((i for i, q in enumerate(below) if q is z and _is_positive(z)), None)
        above += [z] if at is None else []
        below = below if at is None else below[:at] + below[at + 1 :]
    if len(above) == len(sides[1]) or powers[0] != 1:
        return None
    if not above or np.broadcast_shapes(*map(np.shape, (*above, *below))) != like.shape:
        return None
    found = above[0]
    for f, z in [*((np.multiply, z) for z in above[1:]), *((np.divide, z) for z in below)]:
        shape = np.broadcast_shapes(np.shape(found), np.shape(z))
        found = s.call(f, (found, z), {}, Line(None, (), {}, shape, like.kind))
    return s.scale(c, found, like)


def unsigned(x: Any) -> tuple[float, Any]:
    """The sign of floats, and what it stands before; -x of whole numbers may overflow."""
    signed = is_call(x, np.negative) and x.dtype.kind in "fc"
    return (-1.0, x.args[0]) if signed else (1.0, x)


def coefficient(x: Any) -> tuple[float, Any]:
    """C and u of c · u; 1 and x of what is no such product."""
    for c, u in (x.args, x.args[::-1]) if is_call(x, np.multiply) else ():
        if isinstance(c, FLOATS):
            return float(c), u
    return unsigned(x)


def _normal_axis(args: tuple[Any, ...], options: dict[str, Any]) -> dict[str, Any]:
    """Options with an axis of one number; an axis of length 1 that is kept needs no sum."""
    axes = options.get("axis")
    if axes.__class__ is not tuple:
        return options
    if options.get("keepdims"):
        axes = tuple([a for a in axes if args[0].shape[a] != 1]) or axes[:1]
    return options | {"axis": axes[0] if len(axes) == 1 else axes}


def _narrow(args: tuple[Any, ...], shape: tuple[int, ...]) -> tuple[Any, ...]:
    """Arguments of an operation that broadcasts them itself, as they were before."""
    found = list(args)
    for i, x in enumerate(args):
        if is_call(x, np.broadcast_to):
            small = x.args[0]
        elif x.__class__ is np.ndarray and uniform(x):
            small = x.flat[0]
        else:
            continue
        others = [np.shape(y) for y in (*found[:i], small, *found[i + 1 :])]
        if np.broadcast_shapes(*others) == shape:
            found[i] = small
    return tuple(found)


def _unmoved(f: Any, args: tuple[Any, ...], options: Any, like: Line) -> Any:
    """What entries come from that were moved away and back; indices are sent along to see it."""
    x, moves = args[0], [(f, args[1:], options)]
    while x.__class__ is Line and not any(walk(moves)):
        if alike(x, like):
            start = at = np.arange(1, x.size + 1).reshape(x.shape)
            for move, rest, how in reversed(moves):
                at = move(at, *rest, **how)
            if np.array_equal(at, start):
                return x
        if not moves_first(x.function):
            break
        x, moves = x.args[0], [*moves, (x.function, x.args[1:], x.options)]
    return None


# ------------------------------------------------------------------ identities of two operations
def _either(s: Simplifier, args: tuple[Any, ...], options: Any, like: Line) -> Any:
    """X if c else x is x."""
    _, x, y = args
    same = alike(x, like) or (x.__class__ is float and like.is_number)
    return x if same and key_of(x) == key_of(y) else None


def _first_power(s: Simplifier, args: tuple[Any, ...], options: Any, like: Line) -> Any:
    """x¹ is x."""
    return args[0] if number_of(args[1]) == 1.0 and alike(args[0], like) else None


def _relu(s: Simplifier, args: tuple[Any, ...], options: Any, like: Line) -> Any:
    """0 if x <= 0 else x is max(x, 0), of arrays; of numbers a branch is faster than a call."""
    below, zero, x = args
    if not like.shape or not is_call(below, np.less_equal) or below.args[0] is not x:
        return None
    zeros = number_of(below.args[1]) == 0 and str(number_of(zero)) == "0.0"  # -0.0 would be lost
    return s.call(np.maximum, (x, 0.0), {}, like) if zeros and alike(x, like) else None


def _sum_of_product(s: Simplifier, args: tuple[Any, ...], options: Any, like: Line) -> Any:
    """Σ a·b over all axes, in half the time of a product and its sum."""
    if like.shape or not is_call(args[0], np.multiply) or not is_plain_sum(args, options):
        return None
    a, b = args[0].args
    equal = a.__class__ is Line is b.__class__ and (a.shape, a.kind) == (b.shape, b.kind)
    return s.make(np.vdot, (a, b), {}, like) if equal and a.ndim else None


def _sum_of_sums(s: Simplifier, args: tuple[Any, ...], options: Any, like: Line) -> Any:
    """Σ over all axes, or the mean, of what is a sum over some: one sum."""
    if like.shape or not is_call(args[0], np.sum) or not is_plain_sum(args, options):
        return None
    if not is_plain_sum(args[0].args, args[0].options):
        return None
    return s.call(np.sum, args[0].args[:1], {}, like)


def _mean_of_sums(s: Simplifier, args: tuple[Any, ...], options: Any, like: Line) -> Any:
    """The mean of sums: one sum, divided by their number."""
    total = _sum_of_sums(s, args, options, like)
    return total and s.call(np.divide, (total, float(args[0].size)), {}, like)


def _sum_of_stretched(s: Simplifier, args: tuple[Any, ...], options: Any, like: Line) -> Any:
    """Σ over axes that broadcasting made: as many times the entry."""
    x, axis = args[0], options.get("axis")
    if axis is None or options.keys() != {"axis"} or not is_call(x, np.broadcast_to):
        return None
    if not is_plain_sum(args, options):
        return None
    small: Any = x.args[0]
    axes = {a % x.ndim for a in np.atleast_1d(axis).tolist()}
    shape = (1,) * (x.ndim - np.ndim(small)) + np.shape(small)
    kept = tuple(n for a, n in enumerate(shape) if a not in axes)
    if small.__class__ is not Line or any(shape[a] != 1 for a in axes) or kept != like.shape:
        return None
    entry = Line(np.reshape, (small, kept), {}, kept, small.kind)
    times = float(math.prod(x.shape[a] for a in axes))
    return s.call(np.multiply, (s.call(np.reshape, entry.args, {}, entry), times), {}, like)


def _sum_of_scattered(s: Simplifier, args: tuple[Any, ...], options: Any, like: Line) -> Any:
    """Σ over one axis of a matrix that has one entry in each row: that entry."""
    axis = options.get("axis")
    if not is_call(args[0], scatter) or axis.__class__ is not int or len(args[0].shape) != 2:
        return None
    if not is_plain_sum(args, options):
        return None
    g, index, shape = args[0].args
    rows = index[1 - axis % 2] if index.__class__ is tuple and len(index) == 2 else None
    if rows.__class__ is not np.ndarray or np.shape(g) != rows.shape:
        return None
    one_a_row = np.array_equal(rows.reshape(-1), np.arange(shape[1 - axis % 2]))
    return s.call(np.reshape, (g, like.shape), {}, like) if one_a_row else None


Simplifier.rules = {
    np.power: (_first_power,),
    np.where: (_either, _relu),
    np.sum: (_sum_of_product, _sum_of_sums, _sum_of_stretched, _sum_of_scattered),
    np.mean: (_mean_of_sums,),
}


# ------------------------------------------------------------------ numbers
class NumberSimplifier(Simplifier):
    """One pass over a program of Python floats."""

    def negative(self, x: Any, like: Line) -> Any:
        """-x; of a difference that nothing else needs, the other difference."""
        if is_call(x, np.subtract) and x in self.once:
            return self.make(np.subtract, x.args[::-1], {}, like)
        return super().negative(x, like)

    def product(self, f: Any, powers: tuple[float, ...], args: tuple[Any, ...], like: Line) -> Any:
        """±x · y or ±x / y, the sign outside."""
        if powers == (2,):
            return self.call(np.multiply, 2 * args, {}, like)
        if len(args) != 2:
            return super().product(f, powers, args, like)
        (a, x), (b, y) = map(unsigned, args)
        if powers == (1, -1) and y.__class__ is float and y and abs(math.frexp(1.0 / y)[0]) == 0.5:
            return self.scale(a / y, x, like)
        first = (y, x) if y.__class__ is float and powers == (1, 1) else (x, y)
        found = super().product(f, powers, first, like)
        return found if a == b else self.scale(-1.0, found, like)

    def add(self, a: float, x: Any, b: float, y: Any, like: Line) -> Any:
        """±x ± y; like terms are one, and so are products with a common factor."""
        if a < 0 and b < 0:
            return self.scale(-1.0, self.add(1.0, x, 1.0, y, like), like)
        if a < 0:
            return self.add(b, y, a, x, like)
        (c, u), (d, v) = coefficient(x), coefficient(y)
        if u is v and u.__class__ is Line and c + b * d:  # 0·u may be -0
            return self.scale(c + b * d, u, like)
        if {x, y} <= self.once and is_call(x, np.multiply) and is_call(y, np.multiply):
            for common in x.args:
                if common.__class__ is Line and any(common is p for p in y.args):
                    rest = tuple([z.args[z.args[0] is common] for z in (x, y)])
                    inner = self.call(np.add if b > 0 else np.subtract, rest, {}, like)
                    return self.call(np.multiply, (common, inner), {}, like)
        return super().add(a, x, b, y, like)


def _power(s: Simplifier, args: tuple[Any, ...], options: Any, like: Line) -> Any:
    """x², x³ and x⁴ in products."""
    x, n = args
    if x.__class__ is not Line or n.__class__ is Line or n not in (2, 3, 4):
        return None
    square = s.call(np.multiply, (x, x), {}, like)
    return square if n == 2 else s.call(np.multiply, (square, x if n == 3 else square), {}, like)


def _where(s: Simplifier, args: tuple[Any, ...], options: Any, like: Line) -> Any:
    """-x if c else 0 is -(x if c else 0)."""
    condition, *branches = args
    signs = {sign for sign, x in map(unsigned, branches) if number_of(x) != 0.0}
    if signs != {-1.0}:
        return None
    inner = s.call(np.where, (condition, *[x for _, x in map(unsigned, branches)]), {}, like)
    return s.scale(-1.0, inner, like)


NumberSimplifier.rules = Simplifier.rules | {
    np.power: (*Simplifier.rules[np.power], _power),
    np.where: (*Simplifier.rules[np.where], _where),
}
