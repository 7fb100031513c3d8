"""The same program in fewer operations: nothing twice, no constant computed, nothing by one.

A pass walks the lines in order and writes each anew; the arguments that a rule sees are simple
already. What a rule has to know of an operation stands in its record: of what it is a sum or a
product (``terms``, ``powers``), whether it only ``moves`` entries, whether it is ``even``. So
-(-x), 1 * x, x + (-y), |-x| and reshapes that undo each other are found in whatever operations they
are written. Signs and numbers come to the front of a product, where they meet:

    (-x)·y = -(x·y)    x / 2ᵏ = x·2⁻ᵏ    c·(d·x) = (c·d)·x    c·x + d·x = (c + d)·x
    x·y + x·z = x·(y + z), if nothing else needs the two products    (t / s)·e = t·(e / s)
    c·x - c·y = c·(x - y) and Σ c·x = c·Σ x, likewise    x·(1 - y) - y·(1 - x) = x - y

The first two are exact. The others round otherwise, by no more than the operations they replace;
x·(y + z) overflows where y + z does. e / Σ e is called p, so a gradient reads t.sum() * p - t.
"""

from __future__ import annotations

import math
import operator
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np

from ..engine.operation import TABLE, Primitive
from .lines import (
    Line,
    constant,
    distributions,
    elementwise,
    fact,
    infer,
    live,
    reads,
    replace,
    walk,
    within,
)

Args = tuple[Any, ...]
FLOATS = float | np.floating
REDUCTIONS = (np.sum, np.mean, np.max, np.min)  # one axis after the other
PLAIN = (1, 1), (1, -1)  # the powers of a product, and of a quotient


def simplify(lines: Sequence[Line], outputs: Any) -> tuple[list[Line], Any]:
    """The same outputs in fewer lines; of numbers, one pass lets another take out more."""
    lines = live(lines, outputs)
    for _pass in range(2 if all(line.is_number for line in lines) else 1):
        lines, outputs = Simplifier(lines, outputs).run()
    return lines, outputs


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
    """Whether all entries of an array are one number, bit by bit: 0.0 and -0.0 are two."""
    return bool(x.size) and x.tobytes() == x.reshape(-1)[:1].tobytes() * x.size


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


def is_plain_sum(args: Args, options: dict[str, Any]) -> bool:
    """Whether a sum or mean is of float32 or float64, with no option but axis and keepdims.

    Others take a part of the entries, start elsewhere, or add in another dtype.
    """
    dtype = getattr(args[0], "dtype", None)
    wide = dtype is not None and dtype in (np.float32, np.float64)
    return wide and len(args) <= 2 and options.keys() <= {"axis", "keepdims"}


def unsigned(x: Any) -> tuple[float, Any]:
    """The sign of floats, and what it stands before; -x of whole numbers may overflow."""
    signed = is_call(x, np.negative) and x.dtype.kind in "fc"
    return (-1.0, x.args[0]) if signed else (1.0, x)


def coefficient(x: Any) -> tuple[float, Any]:
    """C and u of c · u; 1 and x of what is no such product."""
    for c, u in (x.args, x.args[::-1]) if is_call(x, np.multiply) else ():
        if isinstance(c, FLOATS):
            d, v = coefficient(u)
            return float(c) * d, v
    return unsigned(x)


def is_moderate(c: float) -> bool:
    """Whether a number that others make is neither 0 nor so far from 1 that it may overflow."""
    return 1e-30 < abs(c) < 1e30


def _complement(x: Any) -> Any:
    """Q of 1 - q."""
    return x.args[1] if is_call(x, np.subtract) and number_of(x.args[0]) == 1.0 else None


def is_positive(x: Any, depth: int = 4) -> bool:
    """Whether all entries are above 0: an exponential, or a sum, product or quotient of such."""
    if isinstance(x, FLOATS | np.ndarray):
        return bool(np.all(x > 0))
    if x.__class__ is not Line or x.function is None or not depth:
        return False
    q = _complement(x)
    if is_call(q, np.divide) and is_call(q.args[1], np.add):  # 1 - a / (a + b)
        a, total = map(key_of, q.args)
        return a in map(key_of, total.args) and is_positive(total, depth - 1)
    f, plain = x.function, x.function is np.sum and is_plain_sum(x.args, x.options)
    places = fact(f, "linear") if plain or f is np.matmul or fact(f, "moves") else ()
    places = range(2) if f in (np.add, np.multiply, np.divide) else places
    some = bool(fact(f, "positive") or places)
    return some and all(is_positive(x.args[i], depth - 1) for i in places)


def _is_softmax(line: Line) -> bool:
    """Whether a line is e / Σ e of an exponential."""
    e, total = line.args if line.function is np.divide else (None, None)
    while total.__class__ is Line and moves_first(total.function):
        total = total.args[0]
    return is_call(e, np.exp) and is_call(total, np.sum) and total.args[0] is e


# ------------------------------------------------------------------ a pass
class Simplifier:
    """One pass over a program."""

    def __init__(self, lines: Sequence[Line], outputs: Any, limit: float = math.inf) -> None:
        self.old, self.outputs, self.uses = lines, outputs, Counter(walk(outputs))
        self.limit, self.calls = limit, 0  # of calls: those after the limit stay as they are
        self.log: list[tuple[int, int, Line, Any]] = []  # a call, the last in it; what became what
        self.uses.update(x for line in lines for x in reads(line))
        self.lines: list[Line] = []
        self.before_gradients = set[Line]()  # lines that stand before the first gradient's
        self.new: dict[Line, Any] = {}
        self.seen: dict[Any, Line] = {}
        self.needs = defaultdict[Line, int](int)  # how often each new line is read, and returned

    def run(self) -> tuple[list[Line], Any]:
        """The lines and outputs, rewritten."""
        for line in self.old:
            if line.of is not None and not self.before_gradients:
                self.before_gradients = {*self.lines}
            self.new[line] = result = self.rewrite(line)
            if result.__class__ is Line:
                self.needs[result] += self.uses[line]
                for x in reads(line):
                    self.needs[result] -= self.new[x] is result
        for line in self.lines:
            line.name = line.name or ("p" if _is_softmax(line) else None)
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
        result = self.call(line.function, args, options, line)
        if result.__class__ is Line and result.function:
            result.name = result.name or line.name
            mark_gradient(self, line, result, result in self.lines[before:])
        return result

    def emit(self, f: Any, *args: Any, **options: Any) -> Any:
        """What f gives for simple arguments, of a shape and kind that a call on samples shows."""
        shape, kind = infer(f, args, options)
        return self.call(f, args, options, Line(None, (), {}, shape, kind))

    def call(self, f: Any, args: Args, options: dict[str, Any], like: Line) -> Any:
        """What f gives for simple arguments, of the shape and kind of a line."""
        some = Line in [x.__class__ for x in args] or any(walk((args, options)))
        if not some and f is not np.eye:  # that is shorter to read
            with np.errstate(all="ignore"):
                return like.kind(f(*args)) if like.is_number else f(*args, **options)
        if options:
            options = _normal_axis(args[0], options, like) if f in REDUCTIONS else options
        elif elementwise(f) and not like.is_number:
            args = _narrow(args, like.shape)
        place = self.calls = self.calls + 1
        result = _simpler(self, f, args, options, like) if place <= self.limit else None
        if result is None:
            return self.make(f, args, options, like)
        same = result.__class__ is Line and result.function is f
        if not same or not all(map(operator.is_, result.args, args)):
            before = Line(f, args, options, like.shape, like.kind)
            self.log.append((place, self.calls, before, result))
        return result

    def make(self, f: Any, args: Args, options: dict[str, Any], like: Line) -> Line:
        """The line that calls f so; the same one where there is one."""
        key: Any = (f, *map(key_of, args), key_of(options)) if options else (f, *map(key_of, args))
        parts = fact(f, "terms") or fact(f, "powers")
        if len(parts) == 2 and parts[0] == parts[1]:
            key = (f, frozenset(key[1:]))  # x + y is y + x
        line = self.seen.get(key)
        if line is None:
            line = self.seen[key] = Line(f, args, options, like.shape, like.kind)
            self.lines.append(line)
        return line

    # ------------------------------------------------------------------ sums
    def total(self, f: Any, signs: Sequence[float], args: Args, like: Line) -> Any:
        """±x ± y without zeros, signs in front; like terms, and products with a factor, are one."""
        if len(args) > 2 or {*map(abs, signs)} != {1}:
            return self.make(f, args, {}, like)
        if len(args) == 1:
            return self.scale(signs[0], args[0], like)
        for x, y, sign in zip(args, args[::-1], signs):
            zero = number_of(y.flat[0] if y.__class__ is np.ndarray and uniform(y) else y) == 0.0
            if zero and x.__class__ is Line and x.kind == like.kind:
                whole = x if alike(x, like) else self.emit(np.broadcast_to, x, like.shape)
                return self.scale(sign, whole, like)
        (a, x), (b, y) = [(s * sign, z) for s, (sign, z) in zip(signs, map(unsigned, args))]
        if a < 0 and b < 0:
            return self.scale(-1.0, self.total(np.add, (1, 1), (x, y), like), like)
        if a < 0:
            x, y, b = y, x, a
        f = np.add if b > 0 else np.subtract
        if x is not args[0] or y is not args[1]:
            return self.call(f, (x, y), {}, like)
        (c, u), (d, v) = coefficient(x), coefficient(y)
        c += b * d
        if u is v and alike(u, like) and like.dtype.kind == "f" and is_moderate(c):  # 0·u may be -0
            return self.scale(c, u, like)
        result = _factored(self, f, x, y, like)
        return self.make(f, (x, y), {}, like) if result is None else result

    # ------------------------------------------------------------------ products
    def product(self, f: Any, powers: tuple[float, ...], args: Args, like: Line) -> Any:
        """±x · y or ±x / y, the sign and a number in front."""
        if powers == (2,) and like.is_number:
            return self.call(np.multiply, 2 * args, {}, like)
        if powers not in PLAIN:
            return self.make(f, args, {}, like)
        (a, x), (b, y) = [unsigned(z) if alike(z, like) else (1.0, z) for z in args]
        (c, u), (d, v) = coefficient(x), coefficient(y)
        if powers == (1, 1) and (alike(u, like) or alike(v, like)) and is_moderate(c * d):
            one = c * d == 1.0 and (u is not x or v is not y)
            if one or (c != 1.0 != d and max(self.needs[x], self.needs[y]) <= 1):
                return self.scale(a * b * c * d, self.call(f, (u, v), {}, like), like)
        plain = powers == (1, -1) and y.__class__ in (int, float) and y
        if plain and abs(math.frexp(1 / y)[0]) == 0.5:
            f, powers, y = np.multiply, (1, 1), 1.0 / y
        for u, v in ((x, y), (y, x)) if powers == (1, 1) else ():
            if number_of(v) is not None and alike(u, like) and like.dtype.kind == "f":
                return self.scale(a * b * float(v), u, like)
            if (result := _quotient(self, u, v, like)) is not None:
                return self.scale(a * b, result, like)
        result = self.make(f, (x, y), {}, like)
        return result if a == b else self.scale(-1.0, result, like)

    def scale(self, c: float, x: Any, like: Line) -> Any:
        """C · x, for a number in front of x already; of a difference not needed -x is another."""
        if x.__class__ is not Line:
            return self.call(np.multiply, (c, x), {}, like)
        d, u = coefficient(x)
        if alike(u, like) and is_moderate(c * d):
            c, x = c * d, u
        if abs(c) != 1.0 or not alike(x, like):
            return self.make(np.multiply, (c, x), {}, like)
        if c > 0:
            return x
        if is_call(x, np.subtract) and self.needs[x] == 1:
            return self.make(np.subtract, x.args[::-1], {}, like)
        if is_call(x, np.divide) and isinstance(x.args[0], FLOATS) and x.args[0] < 0:
            return self.make(np.divide, (-x.args[0], x.args[1]), {}, like)
        return self.make(np.negative, (x,), {}, like)


def mark_gradient(made: Simplifier, line: Line, result: Line, is_new: bool) -> None:
    """The result is the gradient of what the line is the gradient of: it is called after that.

    A line that stood before is, too, if several read it, so that it has a statement anyway.
    """
    of = made.new.get(line.of) if line.of else None
    backward = made.uses[line] > 1 and result not in made.before_gradients
    if result.of is None and of.__class__ is Line and (is_new or backward):
        result.of = of


def _simpler(s: Simplifier, f: Any, args: Args, options: dict[str, Any], like: Line) -> Any:
    """The same in another form, by the rules; None where there is none."""
    record = TABLE.get(f, Primitive)
    if record.terms and not options:
        return s.total(f, record.terms, args, like)
    if record.powers and not options:
        plain = record.powers in PLAIN
        result = _cancelled(s, record.powers, args, like) if plain else None
        return s.product(f, record.powers, args, like) if result is None else result
    c, u = coefficient(args[0]) if args else (1.0, None)
    if c != 1.0 and alike(u, args[0]):
        if c == -1.0 and record.even:
            return s.call(f, (u, *args[1:]), options, like)
        out = f is np.sum or moves_first(f)
        out = out and is_moderate(c) and s.needs[args[0]] <= 1
        out = like.size <= args[0].size if c == -1.0 else out
        if out and 0 in record.linear and (f is not np.sum or is_plain_sum(args, options)):
            return s.scale(c, s.call(f, (u, *args[1:]), options, like), like)
    result = _unmoved(f, args, options, like) if moves_first(f) else None
    if result is None and f in RULES:
        result = RULES[f](s, args, options, like)
    return result


# ------------------------------------------------------------------ what cancels
def _factors(x: Any, n: int, depth: int = 5) -> list[tuple[Any, int]]:
    """The factors of a product or quotient, above (n = 1) or below the line."""
    if unsigned(x)[0] < 0:
        return [(-1.0, 1), *_factors(x.args[0], n, depth)]
    if not depth or not is_call(x, np.multiply, np.divide) or _sigmoid(x):
        return [(x, n)]
    m = n if x.function is np.multiply else -n
    return _factors(x.args[0], n, depth - 1) + _factors(x.args[1], m, depth - 1)


def _apart(s: Simplifier, x: Any, depth: int = 5) -> tuple[float, Any]:
    """The number above the line in a product that nothing else needs, and the rest."""
    if isinstance(x, FLOATS):
        return float(x), 1.0
    if not depth or not is_call(x, np.multiply, np.divide, np.negative) or s.needs[x] > 1:
        return 1.0, x
    c, u = _apart(s, x.args[0], depth - 1)
    if x.function is np.negative:
        return -c, u
    d, v = _apart(s, x.args[1], depth - 1) if x.function is np.multiply else (1.0, x.args[1])
    if c == d == 1.0 or not is_moderate(c * d):
        return 1.0, x
    rest = s.emit(x.function, u, v)
    return (c * d, rest) if getattr(rest, "dtype", None) == x.dtype else (1.0, x)


def _quotient(s: Simplifier, u: Any, v: Any, like: Line) -> Any:
    """(1 / s)·x is x / s; (t / s)·e is t·p where p = e / s is there.

    So it is where s = 1 + e; and t·(1 - q) where 1 - q is there, of q = 1 / s.
    """
    if not is_call(u, np.divide) or v.__class__ is not Line:
        return None
    t, total = u.args
    if number_of(t) == 1.0 and alike(v, like) and s.needs[u] <= 1:
        return s.call(np.divide, (v, total), {}, like)
    one = key_of(1.0)
    logistic = is_call(total, np.add) and {*map(key_of, total.args)} == {one, v}
    whole = logistic or (is_call(total, np.sum) and total.args[0] is v)
    share = s.seen.get((np.divide, v, total)) if whole and t is not v else None
    if logistic and share is None:
        share = s.seen.get((np.subtract, one, s.seen.get((np.divide, one, total))))
    return s.call(np.multiply, (t, share), {}, like) if share else None


def _sigmoid(x: Any) -> Args | None:
    """What stands above 1 + e in a sigmoid: 1 or e, or the arguments of where(z >= 0, 1, e)."""
    if not is_call(x, np.divide) or not is_call(x.args[1], np.add):
        return None
    top, total = x.args
    args: Args = top.args if is_call(top, np.where) else (top,)
    c, one, e = args if args[1:] else (None, 1.0, top)
    if not is_call(e, np.exp) or {*map(key_of, total.args)} != {key_of(1.0), e}:
        return None
    size = unsigned(e.args[0])[1]
    if is_call(c, np.greater_equal, np.less_equal) and is_call(size, np.absolute):
        same = size.args[0] is c.args[0] and number_of(c.args[1]) == 0.0 and number_of(one) == 1.0
        return args if same else None
    return args if c is None else None


def _other_side(s: Simplifier, q: Any) -> Any:
    """The line σ(z) of q = σ(-z), if it is there; the two are 1 in sum."""
    args = _sigmoid(q) or ()
    if args[1:] and args[0].function is np.less_equal:
        right = s.seen.get((np.greater_equal, *map(key_of, args[0].args)))
        top = s.seen.get((np.where, right, *map(key_of, args[1:])))
        return s.seen.get((np.divide, top, q.args[1]))
    if not is_call(q, np.exp) or not is_call(q.args[0], np.negative):
        return None
    total = q.args[0].args[0]  # log(1 + exp z)
    if not is_call(total, np.logaddexp) or number_of(total.args[0]) != 0.0:
        return None
    sign, z = unsigned(total.args[1])
    other = s.seen.get((np.logaddexp, key_of(0.0), z if sign < 0 else s.seen.get((np.negative, z))))
    return s.seen.get((np.exp, s.seen.get((np.negative, other))))


def _factored(s: Simplifier, f: Any, x: Any, y: Any, like: Line) -> Any:
    """A sum or difference with a number, or a factor, that both terms have in front."""
    (c, u), (d, v) = _apart(s, x), _apart(s, y)
    if abs(c) == abs(d) != 1.0 and all(getattr(z, "dtype", 0) == like.dtype for z in (u, v)):
        rest = [z if k > 0 else s.emit(np.negative, z) for k, z in ((c, u), (d, v))]
        return s.scale(abs(c), s.emit(f, *rest), like)
    both = is_call(x, np.multiply) and is_call(y, np.multiply)
    for a, b in product(x.args, y.args) if both and f is np.subtract else ():
        rest = [z.args[z.args[0] is p] for z, p in ((x, a), (y, b))]
        if all(p is (_other_side(s, z) or _complement(z)) for z, p in zip(rest, (b, a))):
            return s.emit(f, a, b)  # a·(1 - b) - b·(1 - a)
    if both and f is np.subtract and y.args[0] is x and y.args[1] is x.args[1]:
        g, q = x.args
        if rest_of_one := s.seen.get((np.subtract, key_of(1.0), q)):  # g·q - g·q·q
            return s.call(np.multiply, (g, s.emit(np.multiply, q, rest_of_one)), {}, like)
    for common in x.args if both and s.needs[x] == s.needs[y] == 1 else ():
        if common.__class__ is Line and any(common is p for p in y.args):
            rest = [z.args[z.args[0] is common] for z in (x, y)]
            if all(getattr(z, "dtype", like.dtype) == like.dtype for z in rest):
                return s.call(np.multiply, (common, s.emit(f, *rest)), {}, like)
    return None


def _cancelled(s: Simplifier, powers: Any, args: Args, like: Line) -> Any:
    """A product without what stands above and below the line in it; of a sum, term by term.

    Only what is positive cancels: x / x stays what it was at 0.
    """
    (c, x), y = coefficient(args[0]), args[1]
    if powers == (1, 1) and is_call(x, np.add, np.subtract):
        alone = max(s.needs[x], s.needs[args[0]]) <= 1
        gone = (_cancelled(s, powers, (part, y), like) is not None for part in x.args)
        if any(gone) if alone else is_call(y, np.multiply) and all(gone):
            parts = [s.emit(np.multiply, z, y) for z in x.args]
            return s.scale(c, s.call(x.function, tuple(parts), {}, like), like)
    if not any(is_call(unsigned(z)[1], np.multiply, np.divide) for z in args):
        return None
    factors = [f for z, n in zip(args, powers) for f in _factors(z, n)]
    if len({n for _z, n in factors}) < 2:
        return None
    numbers = [(float(z), n) for z, n in factors if isinstance(z, FLOATS)]
    rest = [(z, n) for z, n in factors if not isinstance(z, FLOATS)]
    above, below = ([z for z, m in rest if m == n] for n in (1, -1))
    ends = [(z, z) for z in above if any(z is q for q in below)]
    for z in above:  # σ(-x), and 1 - σ(x) below the line
        p = _other_side(s, z)
        ends += [(z, q) for q in below if p is not None and _complement(q) is p]
    end = next((pair for pair in ends if is_positive(pair[0])), None)
    if end is None or not above[1:] or not all(z for z, _ in numbers):
        return None
    for side, x in zip((above, below), end):
        del side[[z is x for z in side].index(True)]
    c = math.prod((z**n for z, n in numbers), start=1.0)
    if not is_moderate(c) or np.broadcast_shapes(*map(np.shape, (*above, *below))) != like.shape:
        return None
    result, one = above[0], key_of(1.0)
    for z in above[1:]:
        result = s.emit(np.multiply, result, z)
    for z in below:
        q = s.seen.get((np.divide, one, key_of(z)))  # 1 / z, where that is needed anyway
        kept = q is not None and s.needs[q] > 1
        result = s.emit(np.multiply, result, q) if kept else s.emit(np.divide, result, z)
    return s.call(np.multiply, (c, result), {}, like)


# ------------------------------------------------------------------ axes, and entries that move
def _normal_axis(x: Any, options: dict[str, Any], like: Line) -> dict[str, Any]:
    """Options with an axis from 0, or none; a kept axis of length 1 needs no sum."""
    axis, keep = options.get("axis"), options.get("keepdims")
    if axis is None or not np.ndim(x) or not (like.shape or keep):
        return {name: x for name, x in options.items() if name != "axis"}
    axes = [a % np.ndim(x) for a in np.atleast_1d(axis).tolist()]
    axes = ([a for a in axes if np.shape(x)[a] != 1] or axes[:1]) if keep else axes
    return options | {"axis": axes[0] if len(axes) == 1 else tuple(axes)}


def _narrow(args: Args, shape: tuple[int, ...]) -> Args:
    """Arguments of an operation that broadcasts them itself, as they were before."""
    result = list(args)
    for i, x in enumerate(args):
        small = x
        if is_call(x, np.broadcast_to):
            small = x.args[0]
        elif x.__class__ is np.ndarray and uniform(x):
            small = x.flat[0]
        others = map(np.shape, (*result[:i], small, *result[i + 1 :]))
        if small is not x and np.broadcast_shapes(*others) == shape:
            result[i] = small
    return tuple(result)


def _unmoved(f: Any, args: Args, options: Any, like: Line) -> Any:
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


# ------------------------------------------------------------------ single operations
def _power(s: Simplifier, args: Args, options: Any, like: Line) -> Any:
    """x¹ is x; of numbers x², x³ and x⁴ are products."""
    x, n = args[0], number_of(args[1])
    if n == 1 and alike(x, like):
        return x
    if not like.is_number or x.__class__ is not Line or n not in (2, 3, 4):
        return None
    square = s.call(np.multiply, (x, x), {}, like)
    return square if n == 2 else s.call(np.multiply, (square, x if n == 3 else square), {}, like)


def _transpose(s: Simplifier, args: Args, options: Any, like: Line) -> Any:
    """(Aᵀ B)ᵀ is Bᵀ A."""
    factors = args[0].args if is_call(args[0], np.matmul) and not args[1:] else ()
    turned = any(is_call(x, np.transpose) for x in factors)
    if not turned or any(np.ndim(x) != 2 for x in factors):
        return None
    return s.emit(np.matmul, *[s.emit(np.transpose, x) for x in factors[::-1]])


def _at_least(s: Simplifier, args: Args, options: Any, like: Line) -> Any:
    """-x >= 0 is x <= 0."""
    sign, x = unsigned(args[0])
    if sign > 0 or number_of(args[1]) != 0.0:
        return None
    return s.call(np.less_equal, (x, args[1]), {}, like)


def _where(s: Simplifier, args: Args, options: Any, like: Line) -> Any:
    """0 if x == 0 else x is x."""
    c, x, y = args
    zeros = is_call(c, np.equal) and number_of(c.args[1]) == 0.0 == number_of(x) and alike(y, like)
    return y if zeros and coefficient(y)[1] is coefficient(c.args[0])[1] else None


def _sum(s: Simplifier, args: Args, options: Any, like: Line) -> Any:
    """Σ a·b over all axes is one product, Σ of sums one sum, Σ (t / s) is (Σ t) / s."""
    x, keep = args[0], options.get("keepdims")
    every = {**options, "keepdims": not keep}.items()
    other = {name: n for name, n in every if n.__class__ is np.ndarray or n}
    twin = s.seen.get((np.sum, key_of(x), *([key_of(other)] if other else [])))
    if twin and len(args) == 1:
        return s.emit(np.reshape, twin, like.shape)
    c, t = coefficient(x)
    if is_call(t, distributions) and t.shape == x.shape:
        return _sum_of_shares(c, args, options, like)
    if is_call(t, np.where) and t.shape == x.shape and _is_one_hot(t.args[0]):
        one, rest = map(number_of, t.args[1:])
        if one is not None is not rest:
            return _sum_of_shares(c * (one + (x.shape[-1] - 1) * rest), args, options, like)
    if not is_plain_sum(args, options) or x.__class__ is not Line:
        return None
    if not like.shape and x.function is np.multiply:
        return _vdot(s, *x.args)
    if not like.shape and x.function is np.sum and is_plain_sum(x.args, x.options):
        return s.call(np.sum, x.args[:1], {}, like)
    if is_call(x, np.divide) and (keep or not like.shape) and is_positive(x.args[1]):
        t, total = x.args
        whole = np.shape(t) == x.shape and getattr(t, "dtype", None) == x.dtype
        if whole and np.broadcast_shapes(like.shape, np.shape(total)) == like.shape:
            return s.emit(np.divide, s.call(np.sum, (t,), options, like), total)
    one_row = like.shape == x.shape[-1:] and like.size == x.size and is_call(x, np.matmul)
    if one_row and np.ndim(x.args[1]) == 2:  # r X is Xᵀ r
        c, r = _apart(s, s.emit(np.reshape, x.args[0], (-1,)))
        return s.scale(c, s.emit(np.matmul, s.emit(np.transpose, x.args[1]), r), like)
    return None


def _vdot(s: Simplifier, a: Any, b: Any) -> Any:
    """Σ a·b over all axes of two arrays of one shape."""
    equal = a.__class__ is Line is b.__class__ and (a.shape, a.kind) == (b.shape, b.kind)
    return s.emit(np.vdot, a, b) if equal and a.ndim else None


def _matmul(s: Simplifier, args: Args, options: Any, like: Line) -> Any:
    """The product of two arrays that are laid out as vectors is Σ a·b."""
    flat = [x.args[0] if is_call(x, np.reshape) else x for x in args]
    result = _vdot(s, *flat) if like.size == 1 and flat != [*args] else None
    return None if result is None else s.emit(np.reshape, result, like.shape)


def _is_one_hot(x: Any) -> bool:
    """Whether one entry of each row is true, ``y[:, None] == np.arange(k)`` of class indices."""
    pair: Any = x.args if is_call(x, np.equal) else (None, None)
    y, classes = pair
    across = np.shape(y)[-1:] == (1,) and classes.__class__ is np.ndarray
    while y.__class__ is Line and moves_first(y.function) and y.size == y.args[0].size:
        y = y.args[0]
    every = range(x.shape[-1]) if across else ()
    checked = is_call(y, within) and [*y.args[1:]] == [0, len(every)]
    return checked and y.size == x.size // len(every) and np.array_equal(np.ravel(classes), every)


def _sum_of_shares(c: float, args: Args, options: Any, like: Line) -> Any:
    """Σ c·t along the last axis is c, as the caller says; over rows besides it is n·c."""
    shape, axis = np.shape(args[0]), args[1] if args[1:] else options.get("axis")
    axes = np.atleast_1d(range(len(shape)) if axis is None else axis) % len(shape)
    if len(shape) - 1 not in axes or args[2:] or not options.keys() <= {"axis", "keepdims"}:
        return None
    rows = math.prod(n for a, n in enumerate(shape[:-1]) if a in axes)
    return np.full(like.shape, c * rows, like.dtype)[()]


def _mean(s: Simplifier, args: Args, options: Any, like: Line) -> Any:
    """The mean is a sum, divided."""
    if not is_plain_sum(args, options) or not like.size * np.size(args[0]):
        return None
    n = float(np.size(args[0]) // like.size)
    return s.emit(np.divide, s.call(np.sum, args, options, like), n)


RULES: dict[Any, Callable[..., Any]] = {
    np.greater_equal: _at_least,
    np.matmul: _matmul,
    np.power: _power,
    np.transpose: _transpose,
    np.where: _where,
    np.sum: _sum,
    np.mean: _mean,
}
