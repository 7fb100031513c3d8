r"""Logarithms taken apart: the lines of a graph as sums of logits and of their logsumexps.

    log(x y) = log x + log y    log(exp v) = v    log Σ exp(z − m) = logsumexp(z) − m

so every spelling of softmax and cross-entropy is linear in z and logsumexp(z), and what was
subtracted cancels. Sigmoids read so are linear in z, log(1 + exp z) and log(1 + exp −z). The form
of a line is a graph of its own whose leaves stand for these; the chain rule finds coefficients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from operator import add
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from ..engine import ops
from ..engine.backward import gradients, topological
from ..engine.data import example
from ..engine.numpy_functions import LOG1P, MAX, MEAN
from ..engine.text import _
from ..engine.value import Value
from .lines import Line, reads
from .recorder import RecordedArray, Tape

# What a leaf of a form stands for: ("lin", z), a line itself; ("lse", z, axis), logsumexp(z);
# ("soft", z, s), log(1 + exp(s z)); ("max", z, axis); ("const", its numbers).
Term = tuple[Any, ...]
Form = tuple[Any, Any]  # a factor, None of the constant 0; and a `Value`, or that constant


class NoLoss(Exception):
    """Why a line stays as it is; of several reasons the one of the lowest rank is printed."""

    def __init__(self, template: str, rank: int = 0, **fields: object) -> None:
        super().__init__(_(template, **fields))
        self.rank = rank


# ------------------------------------------------------------------ softmaxes and sigmoids
class Patterns:
    """The softmaxes and sigmoids among lines."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self.lines = lines
        self.softmaxes: dict[Line, tuple[Line, int, list[Any]]] = {}  # of Σ exp(z ± m)
        self.softpluses: dict[Line, tuple[Any, ...]] = {}  # their log is ± log(1 + exp s z)
        self.signed: dict[Line, tuple[Line, Any]] = {}  # z and s of s z
        self.shifts: set[Line] = set()  # what is subtracted from logits
        self.labelled: set[Line] = set()  # logits times labels: a batch may be of one class
        for line in lines:
            self.signed[line] = self._read_sign(line)
            if line.function is ops.SUM:
                self._read_sum(line)
            elif e := _exponential(line):
                self.softpluses[line] = 1.0, *self.signed[e.args[0]]
            elif line.function is ops.DIVIDE or line.function is ops.POWER:
                self._read_sigmoid(line)
            elif (v := _subtracted_from_one(line)) and self.softpluses.get(v, (1.0,))[0] < 0.0:
                _factor, z, sign = self.softpluses[v]
                self.softpluses[line] = -1.0, z, -sign  # 1 − σ(x) = σ(−x)
        self.logits = {z for z, *_axis in self.softmaxes.values()}
        self.logits |= {z for _factor, z, _sign in self.softpluses.values()}

    def _read_sum(self, line: Line) -> None:
        """Σ exp(z − m) over one axis, along which m is constant."""
        e, reduced = line.args[0], _axes(line)
        axes = [a for a in reduced if e.shape[a] != 1] or reduced[-1:]
        if e.function is ops.EXP and len(axes) == 1:
            z, shifts = e.args[0], []
            while step := _shift(z, axes[0]):
                z, *shift = step
                shifts.append(shift)
            self.softmaxes[line] = z, axes[0], shifts
            self.shifts.update(m for _sign, m in shifts if m.__class__ is Line)

    def _read_sign(self, u: Line) -> tuple[Line, Any]:
        """Take s z apart: a negative, a product with labels, a choice of z and −z."""
        if u.function not in (ops.NEGATIVE, ops.MULTIPLY, ops.WHERE):
            return u, 1.0
        parts = [self.signed[x] for x in reads(u)]
        (z, sign), other = parts[0], parts[-1]
        s: Any = -1.0 if u.function is ops.NEGATIVE else 0.0
        if len(parts) == 2 and u.function is ops.WHERE:
            s, sign = _choose(u.args[0], sign, other[1]), 1.0
        elif u.function is ops.MULTIPLY and len(parts) == 1:
            s = next(x for x in u.args if x.__class__ is not Line)
        if z.shape != u.shape or z is not other[0] or not np.all(np.abs(example(s)) == 1):
            return u, 1.0
        recorded = s.__class__ is RecordedArray  # the next call has other labels
        if u.function is ops.MULTIPLY and np.ndim(s) > 0:
            self.labelled.add(u if recorded else z)
        return (u, 1.0) if recorded else (z, s * sign)

    def _read_sigmoid(self, line: Line) -> None:
        """σ(s z): 1, exp or either over 1 + exp."""
        top, below = line.args if line.function is ops.DIVIDE else (1.0, line.args[0])
        e = _exponential(below) if below.__class__ is Line and below.function is ops.ADD else None
        power = line.function is ops.POWER and not _equals(line.args[1], -1.0)
        if e is None or power or below.shape != line.shape:
            return
        u, condition, tops = e.args[0], True, (top, top)
        parts = self.signed[u], self.signed[u]
        if top.__class__ is Line and top.function is ops.WHERE:
            condition, tops = top.args[0], top.args[1:]
            if u.function is ops.WHERE and u.args[0] is condition and len(reads(u)) == 2:
                parts = self.signed[u.args[1]], self.signed[u.args[2]]
        (z, s), (other, r) = parts
        if all(x is e or _equals(x, 1.0) for x in tops) and z is other:
            s, r = (sign if x is e else -sign for x, sign in zip(tops, (s, r)))
            self.softpluses[line] = -1.0, z, _choose(condition, s, r)


def _axes(line: Line) -> tuple[int, ...]:
    """The axes that a reduction is over, from 0."""
    axis, rank = line.options.get("axis"), line.args[0].ndim
    axes: tuple[int, ...] = normalize_axis_tuple(range(rank) if axis is None else axis, rank)
    return axes


def _equals(x: Any, number: float) -> bool:
    """Whether a constant is one number; of an argument of a program nobody knows."""
    return x.__class__ not in (Line, RecordedArray) and bool(np.all(np.equal(x, number)))


def _exponential(line: Line) -> Line | None:
    """The exp of 1 + exp, and of log1p(exp)."""
    one = line.function is ops.ADD and any(_equals(x, 1.0) for x in line.args)
    e = next((x for x in reads(line) if x.function is ops.EXP and x.shape == line.shape), None)
    return e if one or line.function is LOG1P else None


def _subtracted_from_one(line: Line) -> Line | None:
    """The x of 1 − x, and of log1p(−x)."""
    if line.function is ops.SUBTRACT and _equals(line.args[0], 1.0):
        return reads(line)[0]
    negative = line.function is LOG1P and line.args[0].function is ops.NEGATIVE
    return reads(line.args[0])[0] if negative else None


def _choose(condition: Any, sign: Any, other: Any) -> Any:
    """The sign that a `where` picks; nan where that depends on an argument of a program."""
    if np.array_equal(sign, other):
        return sign
    return np.nan if condition.__class__ is RecordedArray else np.where(condition, sign, other)


def _shift(v: Line, axis: int) -> tuple[Line, float, Any] | None:
    """Take z + m or z − m apart; m may rest on nothing but z, or other leaves lost their zeros."""
    x, y = v.args if v.function in (ops.ADD, ops.SUBTRACT) else (None, None)
    for z, m in ((x, y), (y, x)) if v.function is ops.ADD else ((x, y),):
        shape = (1,) * (v.ndim - np.ndim(m)) + np.shape(m)
        fits = z.__class__ is Line and z.shape == v.shape and shape[axis] == 1
        if fits and (m.__class__ is not Line or _rests_on(m, z)):
            return z, v.function.terms[1], m
    return None


def _rests_on(m: Line, z: Line) -> bool:
    """Whether a line is computed from another and no other leaf."""
    todo, seen = [m], {z}
    while todo:
        if (line := todo.pop()) not in seen:
            seen.add(line)
            todo += reads(line)
    return all(line.function or line is z for line in seen)


# ------------------------------------------------------------------ linear forms
class Forms:
    """Lines and their logarithms as linear forms, each a number times a `Value`."""

    def __init__(self, patterns: Patterns, tape: Tape | None) -> None:
        self.patterns, self.tape = patterns, tape
        self.atoms: dict[Term, Value] = {}
        self.terms: dict[Value, Term] = {}
        self.work = 0  # nodes that searches for coefficients went over
        self.forms: dict[tuple[bool, Line], Form | NoLoss] = {}
        self.groups: dict[tuple[bool, Line], set[Term]] = {}  # the softmaxes in it, at most two
        in_log = {line.args[0] for line in patterns.lines if line.function is ops.LOG}
        for line in reversed(patterns.lines):
            if line in in_log and line.function is not ops.EXP:
                in_log.update(reads(line))
        for line in patterns.lines:
            self._add(line, log=False)
            if line in in_log:
                self._add(line, log=True)

    def _add(self, line: Line, log: bool) -> None:
        self.met: set[Term] = set()  # the softmaxes that this form rests on
        form: Form | NoLoss
        try:
            form = self._log(line) if log else self._linear(line)
        except NoLoss as no:
            form = no.with_traceback(None)
            self.met |= {g for x in reads(line) if not log for g in self.groups[False, x]}
        if not log and line in self.patterns.shifts and (self.met or form.__class__ is NoLoss):
            form, self.met = (1.0, self._atom(("lin", line), line.shape, line.kind)), set()
        self.forms[log, line], self.groups[log, line] = form, set(list(self.met)[:2])

    def of(self, xs: Iterable[Any], log: bool = False) -> list[Form]:
        """The forms of lines and constants, or of their logarithms.

        Raises
        ------
        NoLoss
            If one has none.
        """
        found: list[Any] = []
        for x in xs:
            if x.__class__ is Line:
                self.met |= self.groups[log, x]
                found.append(self.forms[log, x])
            else:
                found.append(self._constant(np.log(x) if log else x))
        if missing := [x for x in found if x.__class__ is NoLoss]:
            raise min(missing, key=lambda no: no.rank)
        return found

    def coefficients(self, form: Value, g: Any) -> dict[Term, Any]:
        """The coefficient of each term in Σ g·form."""
        nodes = topological(form)
        self.work += len(nodes)
        atoms = [node for node in nodes if node.op is None]
        seed = g if form.data.__class__ is float else np.broadcast_to(g, form.shape)
        return {self.terms[v]: d for v, d in zip(atoms, gradients(form, seed, atoms))}

    # ------------------------------------------------------------------ leaves of forms
    def _atom(self, term: Term, shape: tuple[int, ...], kind: Any) -> Value:
        if term[0] in ("lse", "soft"):
            self.met.add(term if term[0] == "lse" else term[:2])
        if term not in self.atoms:
            atom = Value(self._recorded(0.0 if kind is float else np.zeros(shape, kind)))
            self.atoms[term], self.terms[atom] = atom, term
        return self.atoms[term]

    def _constant(self, x: Any) -> Form:
        """A constant is known by its numbers: of shape (n, 1) or (n,), they cancel."""
        numbers = np.asarray(example(x), np.float64)
        if not numbers.any():
            return None, x
        atom = self._atom(("const", numbers.tobytes()), (numbers.size,), numbers.dtype)
        return 1.0, np.reshape(atom, numbers.shape)

    def _recorded(self, x: Any) -> Any:
        """An array that an index or a condition of a program can be applied to."""
        return self.tape.constant(x) if self.tape else x

    def _softplus(self, line: Line) -> Form:
        """± log(1 + exp(s z)), entry by entry that of z or of −z."""
        factor, z, sign = self.patterns.softpluses[line]
        if np.any(np.isnan(sign)):
            raise NoLoss("the sign of the logits depends on an argument", 1)
        up, down = (self._atom(("soft", z, way), z.shape, z.kind) for way in (factor, -factor))
        form = up if np.min(sign) > 0 else down
        if z in self.patterns.labelled or np.min(sign) < np.max(sign):
            form = ops.WHERE(np.broadcast_to(sign > 0, z.shape), up, down)
        return factor, form

    def _log_sum_exp(self, line: Line) -> Any:
        """log Σ exp(z − m) = logsumexp(z) − m."""
        z, axis, shifts = self.patterns.softmaxes[line]
        kept = tuple(1 if a == axis else n for a, n in enumerate(z.shape))
        forms = self.of(m for _sign, m in shifts)
        terms = (m * (sign * (k or 1.0)) for (sign, _m), (k, m) in zip(shifts, forms))
        form = reduce(add, terms, self._atom(("lse", z, axis), kept, z.kind))
        return np.reshape(form, line.shape)

    # ------------------------------------------------------------------ forms of lines
    def _linear(self, line: Line) -> Any:
        op: Any = line.function
        if line in self.patterns.logits:
            return 1.0, self._atom(("lin", line), line.shape, line.kind)
        if op is ops.LOG:
            return self.of(line.args, log=True)[0]
        if op is LOG1P and line in self.patterns.softpluses:
            return self._softplus(line)
        if op is LOG1P:
            raise NoLoss("log(1 + {x}) is not that of a sigmoid", 1, x=line.args[0])
        if op is MAX:
            term = "max", line.args[0], _axes(line)
            return 1.0, np.reshape(self._atom(term, (line.size,), line.dtype), line.shape)
        at = _linear_in(line)
        factor, forms = _common_factor(self.of(line.args[i] for i in at))
        form = forms[0]
        if op is ops.NEGATIVE:
            return -factor, form
        if op is MEAN:
            return factor * (line.size / form.size), ops.SUM(form, **line.options)
        if op in (ops.MULTIPLY, ops.DIVIDE) and form.shape == line.shape:
            c = line.args[1 - at[0]]
            if np.size(c) == 1 and np.any(example(c)):
                c = np.reshape(c, ()) if c.__class__ is RecordedArray else float(np.ravel(c)[0])
                return (factor / c if op is ops.DIVIDE else factor * c), form
        return factor, _call(line, at, forms)

    def _log(self, line: Line) -> Any:
        op: Any = line.function
        if op is ops.EXP:
            return self.of(line.args)[0]
        if line in self.patterns.softpluses:
            return self._softplus(line)
        if line in self.patterns.softmaxes:
            return 1.0, self._log_sum_exp(line)
        if op is not None and op.powers:
            factor, forms = _common_factor(self.of(line.args, log=True))
            logs = zip(forms, op.powers)
            return factor, reduce(add, (x if power == 1 else x * power for x, power in logs))
        if op is ops.POWER and line.args[1].__class__ is not Line:
            [(factor, form)] = self.of(line.args[:1], log=True)
            return factor, form * line.args[1]
        if picks := _picks(line, self._recorded):
            parts, pick = picks
            factor, forms = _common_factor(self.of(parts, log=True))
            return factor, pick(forms)
        raise NoLoss("log of {line}: that is no softmax and no sigmoid", 1, line=line)


def _picks(line: Line, recorded: Callable[[Any], Any]) -> tuple[list[Any], Any] | None:
    """Σ c x as a function of x, if each sum has one term, and its c is 1: one-hot rows pick.

    Then the square of a sum is the sum of squares, whatever x is.
    """
    product: Line = line.args[0] if line.function is ops.SUM else line
    try:
        at = _linear_in(product)
    except NoLoss:
        return None

    def pick(parts: list[Any]) -> Any:
        found = _call(product, at, parts)
        return found if product is line else ops.SUM(found, **line.options)

    parts, rng = [product.args[i] for i in at], np.random.default_rng(0)
    drawn = [rng.uniform(1.0, 2.0, np.shape(x)) for x in parts]
    one, x, square = (example(pick([recorded(x**n) for x in drawn])) for n in (0, 1, 2))
    return (parts, pick) if np.all(one == 1) and np.all(x * x == square) else None


def _common_factor(forms: Sequence[Form]) -> tuple[Any, list[Any]]:
    """The factor that forms have in common, but for its sign, and what it multiplies."""
    factors = [factor for factor, _value in forms if factor is not None]
    sizes = {abs(float(example(factor))) for factor in factors}
    first, values = factors[0] if len(sizes) == 1 else 1.0, []
    for factor, value in forms:
        floats = factor.__class__ is float is first.__class__
        same = factor is None or factor is first or (floats and factor == first)
        values.append(value if same else value * (factor / first))
    return first, values


def _linear_in(line: Line) -> Sequence[int]:
    """Where a line has arguments that it is linear in, all at once."""
    op: Any = line.function
    at = [i for i, x in enumerate(line.args) if x.__class__ is Line]
    if op and (op.terms or op.moves or len(op.linear) == 1):
        together = range(len(line.args)) if op.terms or op.arity is None else op.linear
        if all(i in together for i in at):
            return [i for i in range(len(line.args)) if i in together]
    elif op and all(i in op.linear or (i, 1) in enumerate(op.powers) for i in at):
        if len(at) == 1:
            return at
        raise NoLoss("{line} is of two Values, and a target is plain data", 2, line=line)
    raise NoLoss("{line} is not a part of such a loss", 2, line=line)


def _call(line: Line, at: Sequence[int], values: Sequence[Any]) -> Any:
    """What a line computes of other arguments."""
    new = dict(zip(at, values))
    args = [new.get(i, x) for i, x in enumerate(line.args)]
    return line.function(*args, **line.options)
