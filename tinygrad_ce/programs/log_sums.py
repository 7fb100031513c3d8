r"""Logarithms taken apart: the lines of a graph as sums of logits and of their logsumexps.

    log(x y) = log x + log y    log(exp v) = v    log Σ exp(z − m) = logsumexp(z) − m

so every spelling of softmax and cross-entropy is linear in z and logsumexp(z), and what was
subtracted cancels. Sigmoids read so are linear in z, log(1 + exp z) and log(1 + exp −z). The form
of a line is a graph of its own whose leaves stand for these; the chain rule finds coefficients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import reduce
from itertools import product
from operator import add
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from ..engine import ops
from ..engine.backward import gradients, topological
from ..engine.data import example
from ..engine.numpy_functions import LOG1P, MAX
from ..engine.text import _
from ..engine.value import Value
from ..losses.activations import softmax
from .lines import Line, evaluate, lower, reads, replace, walk
from .recorder import RecordedArray, Tape

# What a leaf of a form stands for: ("lin", z), a line itself; ("log", z, axis, 1), logsumexp(z);
# ("log", z, None, s), log(1 + exp(s z)); ("max", z, axes); ("const", its numbers).
Term = tuple[Any, ...]
Log = tuple[int, Term, list[tuple[int, Any]]]  # ± what a leaf stands for, and each ± m besides


class NoLoss(Exception):
    """Why a line stays as it is; of several reasons the one of the lowest rank is printed."""

    def __init__(self, template: str, rank: int = 0, **fields: object) -> None:
        super().__init__(_(template, **fields))
        self.rank = rank


# ------------------------------------------------------------------ softmaxes and sigmoids
def read_logs(lines: Iterable[Line]) -> dict[Line, Log]:
    """The logarithms of the softmaxes' sums and of the sigmoids; of log1p, the line itself.

    They are told by what they compute: numbers are drawn for what an exponential is of, and go
    through the lines that rest on it alone.
    """
    logs, drawn, rng = dict[Line, Log](), dict[Line, Any](), np.random.default_rng(0)
    known = dict[Line, tuple[Line, Any]]()  # the exponential, and the value
    for line in lines:
        op: Any = line.function
        rest_on: set[Any] = {known[x][0] if x in known else None for x in reads(line)}
        fixed = op is not ops.WHERE and [*walk((line.args, line.options), RecordedArray)]
        if op in (ops.EXP, ops.SIGMOID):
            u, sign = _signed(*line.args)
            x = drawn.setdefault(u, rng.uniform(1.0, 2.0, u.shape))
            known[line] = line, op(sign * x)
        elif None in rest_on or len(rest_on) != 1 or fixed:
            continue
        elif op.terms or op.powers or op.linear or op in (ops.POWER, LOG1P):
            [e] = rest_on
            args = replace(replace(line.args, lambda x: known[x][1]), example, RecordedArray)
            known[line] = e, op(*args, **line.options)
        if line in known and op is not ops.EXP:
            e, value = known[line]
            u, _sign = _signed(*e.args)
            if log := _of_sigmoid(line, u, drawn[u], value) or _of_sum(line, known):
                logs[line] = log
    return logs


def _signed(v: Line) -> tuple[Line, float]:
    """U and the sign of ±u."""
    sign = 1.0
    while v.function is ops.NEGATIVE:
        v, sign = v.args[0], -sign
    return v, sign


def _of_sigmoid(line: Line, u: Line, drawn: Any, value: Any) -> Log | None:
    """log(1 + exp ±u), and log σ(±u)."""
    value = np.exp(value) if line.function is LOG1P else value
    for s, n in product((1, -1), repeat=2) if line.shape == u.shape else ():
        if np.allclose(value, (1.0 + np.exp(s * drawn)) ** n, 1e-12, 0.0):
            return n, ("log", u, None, s), []
    return None


def _of_sum(line: Line, known: dict[Line, tuple[Line, Any]]) -> Log | None:
    """log Σ exp(z ± m) over one axis, along which m is constant."""
    e, value = known[line]
    axes = [a for a, n in enumerate(e.shape) if n != 1 or line.function is ops.SUM]
    for axis in axes if e.function is ops.EXP else ():
        total = np.sum(known[e][1], axis=axis)
        if total.size == line.size and np.allclose(np.ravel(value), np.ravel(total), 1e-12, 0.0):
            z, shifts = e.args[0], []
            while step := _shift(z, axis):
                z, sign, m = step
                shifts.append((sign, m))
            return 1, ("log", z, axis, 1), shifts
    return None


def _shift(v: Line, axis: int) -> tuple[Line, int, Any] | None:
    """Take z + m or z − m apart; m may rest on nothing but z, or other leaves lost their zeros."""
    pairs = {ops.ADD: (v.args, v.args[::-1]), ops.SUBTRACT: (v.args,)}.get(v.function, ())
    for z, m in pairs:
        shape = (1,) * (v.ndim - np.ndim(m)) + np.shape(m)
        fits = z.__class__ is Line and z.shape == v.shape and shape[axis] == 1
        if fits and (m.__class__ is not Line or all(line.function for line in between(m, z))):
            return z, v.function.terms[1], m
    return None


def between(line: Line, end: Line) -> list[Line]:
    """A line and those that it is computed from, down to another."""
    todo, seen = [line], {end: None}
    while todo:
        if (line := todo.pop()) not in seen:
            seen[line] = None
            todo += reads(line)
    return list(seen)[1:]


# ------------------------------------------------------------------ linear forms
class Forms:
    """Lines and their logarithms as linear forms, as far as they have one."""

    def __init__(self, lines: Sequence[Line], tape: Tape | None, data: dict[Line, Any]) -> None:
        self.logs, self.tape, self.data = read_logs(lines), tape, data
        self.rng = np.random.default_rng(0)
        self.soft: dict[Line, Line] = {}  # of a target that is a `Value` times a logarithm, it
        self.logits = {term[1] for _sign, term, _shifts in self.logs.values()}
        self.shifts = {id(m) for *_log, shifts in self.logs.values() for _sign, m in shifts}
        self.atoms: dict[Term, Value] = {}
        self.forms: dict[tuple[bool, Line], Any] = {}  # graphs of leaves, or constants
        self.constants: dict[Term, Any] = {}  # what they stand for
        self.groups: dict[Line, set[Any]] = {}  # logits and axis (None: sigmoid) of softmaxes in it
        self.reasons = [NoLoss("there is no log of a softmax or a sigmoid", 4)]
        self.work = 0  # nodes that searches for coefficients went over
        in_log = {line.args[0] for line in lines if line.function is ops.LOG}
        for line in reversed(lines):
            if line in in_log and line.function is not ops.EXP:
                in_log.update(reads(line))
        for line in lines:
            below = set[Any]().union(*[self.groups[x] for x in reads(line)])
            self.groups[line] = {self.logs[line][1][1:3]} if line in self.logs else below
            self._add(line, log=False)
            if line in self.soft and (pair := _factors(self, line)):
                self.groups[line] = self.groups[pair[1]]  # of the target's logits it is no loss
            if line in in_log:
                self._add(line, log=True)

    def _add(self, line: Line, log: bool) -> None:
        try:
            self.forms[log, line] = self._log(line) if log else self._linear(line)
        except NoLoss as no:
            if no.rank == 1 or any(map(self.group, reads(line))):
                self.reasons.append(no.with_traceback(None))
        whole = (False, line) in self.forms and not self.groups[line]
        if line in self.logits or (id(line) in self.shifts and not whole):
            self.forms[False, line] = self._atom(("lin", line), line.shape, line.kind)
            self.groups[line] = set()

    def group(self, line: Line) -> Any:
        """The logits and axis of the one softmax in a line that has a form."""
        one = (False, line) in self.forms and len(self.groups[line]) == 1
        return next(iter(self.groups[line])) if one else None

    def coefficients(self, form: Value) -> dict[Term, tuple[Any, Any]]:
        """The coefficient of each term in Σ form, and what the leaf holds."""
        self.work += len(topological(form))
        seed = 1.0 if form.data.__class__ is float else np.ones(form.shape)
        slopes = zip(self.atoms.items(), gradients(form, seed, [*self.atoms.values()]))
        return {
            term: (example(d), example(atom.data)) for (term, atom), d in slopes if d is not None
        }

    def substitute(self, form: Value, terms: dict[Term, Any]) -> Any:
        """A form with other `Value`s in the place of leaves, and 0 for the rest."""
        new = {self.atoms.get(term): x for term, x in terms.items()}
        (lines, of), kind = lower([form]), next(iter(terms.values())).dtype
        for node in [node for node in of if node.op is None and node not in new]:
            zero = 0.0 * example(node.data)
            new[node] = Value(
                self._recorded(zero if zero.__class__ is float else zero.astype(kind))
            )
        return evaluate(lines, {of[node]: x for node, x in new.items() if node in of})[of[form]]

    def _atom(self, term: Term, shape: tuple[int, ...], kind: Any) -> Value:
        """A leaf, of any numbers: what the form gives for them shows that it is what it seems."""
        if term not in self.atoms:
            x = self.rng.uniform(1.0, 2.0, shape)  # float64, whatever the graph is of
            self.atoms[term] = Value(self._recorded(x if kind is float else np.asarray(x)))
        return self.atoms[term]

    def _recorded(self, x: Any) -> Any:
        """An array that an index or a condition of a program can be applied to."""
        return self.tape.constant(x) if self.tape else x

    def _form(self, x: Any, log: bool = False) -> Any:
        """The form of an argument, or of its logarithm."""
        if x.__class__ is not Line:
            x = np.log(x) if log else x
            numbers = np.asarray(example(x), np.float64)
            if not numbers.any():
                return x
            term = "const", numbers.tobytes()
            self.constants[term] = np.reshape(x, -1) if np.ndim(x) else numbers.reshape(-1)
            atom = self._atom(term, (numbers.size,), numbers.dtype)
            return np.reshape(atom, numbers.shape)  # of shape (n, 1) or (n,), they cancel
        if (log, x) not in self.forms:
            raise NoLoss("{line} is not a part of such a loss", 2, line=x)
        return self.forms[log, x]

    # ------------------------------------------------------------------ of lines
    def _linear(self, line: Line) -> Any:
        op: Any = line.function
        if op is ops.LOG:
            return self._form(line.args[0], log=True)
        if op is LOG1P and line in self.logs:
            return self._known(line)
        if op is LOG1P:
            raise NoLoss("log(1 + {x}) is not that of a sigmoid", 1, x=line.args[0])
        if op is MAX:
            x, axis = line.args[0], line.options.get("axis")
            axes = normalize_axis_tuple(range(x.ndim) if axis is None else axis, x.ndim)
            term = "max", x, axes
            return np.reshape(self._atom(term, (line.size,), line.dtype), line.shape)
        if op is ops.MULTIPLY and not self.tape and (pair := _factors(self, line)):
            self.soft[line] = pair[0]
            return soft_target(self, self.data, pair[0]) * self._form(pair[1])
        f, xs = _linear_in(line)
        return f([self._form(x) for x in xs])

    def _log(self, line: Line) -> Any:
        op: Any = line.function
        if op is ops.EXP:
            return self._form(line.args[0])
        if line in self.logs:
            return self._known(line)
        known = op is ops.POWER and line.args[1].__class__ is not Line
        if powers := line.args[1:] if known else op.powers if op else ():
            logs = [self._form(x, log=True) for x in line.args[: len(powers)]]
            return _weighted_sum(powers, logs)
        with suppress(NoLoss):
            f, xs = _linear_in(line.args[0] if op is ops.SUM else line)
            pick = (lambda x: ops.SUM(f(x), **line.options)) if op is ops.SUM else f
            if self._picks(pick, xs):
                return pick([self._form(x, log=True) for x in xs])
        raise NoLoss("log of {line}: that is no softmax and no sigmoid", 1, line=line)

    def _picks(self, f: Callable[[Any], Any], xs: Iterable[Any]) -> bool:
        """Whether f is Σ c x where each sum has one term, and its c is 1: one-hot rows pick.

        Then the log of a sum is the sum of logs, whatever x is.
        """
        drawn = [self.rng.uniform(1.0, 2.0, np.shape(x)) for x in xs]
        logs = [self._recorded(np.log(x)) for x in drawn]
        return np.array_equal(np.log(example(f([*map(self._recorded, drawn)]))), example(f(logs)))

    def _known(self, line: Line) -> Any:
        """The form of the logarithm of a softmax's sum, or of a sigmoid."""
        sign, term, shifts = self.logs[line]
        _kind, z, axis, _s = term
        kept = tuple(1 if a == axis else n for a, n in enumerate(z.shape))
        weights, xs = [sign, *(n for n, _m in shifts)], [self._form(m) for _n, m in shifts]
        value = _weighted_sum(weights, [self._atom(term, kept, z.kind), *xs])
        return np.reshape(value, line.shape)


def soft_target(forms: Forms, data: dict[Line, Any], t: Line) -> Any:
    """A target that is a `Value`; where it is the textbook's softmax, the stable one."""
    group, log_t = [*forms.groups[t]], forms.forms.get((True, t))
    if log_t is not None and len(group) == 1 and group[0][1] is not None:
        z, axis = group[0]
        leaves = [forms.atoms.get(x) for x in (("lin", z), ("log", z, axis, 1))]
        known = [x.data for x in leaves if x is not None]
        if len(known) == 2 and np.allclose(log_t.data, known[0] - known[1], 1e-12, 1e-12):
            return softmax(data[z], axis)
    return data[t]


def _factors(forms: Forms, line: Line) -> tuple[Line, Line] | None:
    """A target and the logarithm of a softmax, where a product is one of two lines."""
    for t, log_p in (line.args, line.args[::-1]):
        both = t.__class__ is Line is log_p.__class__ and t.shape == log_p.shape
        if both and forms.group(log_p) and (False, t) not in forms.forms:
            return t, log_p
    return None


def _weighted_sum(weights: Sequence[Any], xs: Sequence[Any]) -> Any:
    return reduce(add, [x if n.__class__ is int and n == 1 else n * x for n, x in zip(weights, xs)])


def _linear_in(line: Line) -> tuple[Callable[[Sequence[Any]], Any], list[Any]]:
    """A line as a function of the arguments that it is linear in, all at once; and these."""
    op, at = line.function, [i for i, x in enumerate(line.args) if x.__class__ is Line]
    several = bool(at and (op.terms or op.moves))
    can = (op.linear or [i for i, n in enumerate(op.powers) if n == 1]) if at else ()
    can = can or (range(len(line.args)) if several else ())
    if not at or any(i not in can for i in at):
        raise NoLoss("{line} is not a part of such a loss", 2, line=line)
    if len(at) > 1 and not several:
        raise NoLoss("{line} is of two Values, and a target is plain data", 2, line=line)
    at = [*can] if several else at

    def call(values: Sequence[Any]) -> Any:
        new = dict(zip(at, values))
        return op(*[new.get(i, x) for i, x in enumerate(line.args)], **line.options)

    return call, [line.args[i] for i in at]
