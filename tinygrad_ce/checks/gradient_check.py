"""Check a gradient against numbers that owe nothing to the rule that produced it.

The tolerance is not a constant: it is the numeric estimate's own error. Where that is too large to
tell a right gradient from a wrong one, or the function has a kink there, the verdict says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from contextlib import suppress
from copy import copy
from functools import partial
from itertools import chain, starmap
from typing import Any, NamedTuple

import numpy as np

from ..engine.backward import share, topological
from ..engine.data import as_data
from ..engine.names import names
from ..engine.text import _
from ..engine.transforms import flatten, grad, unflatten
from ..engine.value import Value, detach
from .diagnosis import diagnose
from .numeric import ComplexArray, Estimate, central, complex_step
from .wording import table

SAFETY = 10.0  # how many of its estimated errors a numeric derivative may be off
RESOLVE = 1e-3  # a check is worth something if it would see an error of this part of the gradient

VERDICTS = ("pass", "inconclusive", "fail")


class GradcheckError(AssertionError):
    """A gradient check did not pass; ``report`` has the whole of it."""

    def __init__(self, report: GradcheckReport) -> None:
        self.report = report


class InputCheck(NamedTuple):
    """The verdict on one input, and its worst entry."""

    name: str
    shape: tuple[int, ...]
    verdict: str  # "pass", "fail" or "inconclusive"
    reason: str = ""
    where: tuple[int, ...] = ()
    analytic: float = math.nan
    numeric: float = math.nan
    numeric_error: float = math.nan
    max_abs_error: float = math.nan
    max_rel_error: float = math.nan


class GradcheckReport(NamedTuple):
    """What a gradient check found; true in a condition if it passed, printed as a table."""

    method: str
    order: int
    inputs: list[InputCheck]
    blame: str = ""  # on a failure: the first node whose own rule is wrong
    diagnosis: str = ""  # where f or its gradient is not finite: where that began

    @property
    def verdict(self) -> str:
        """The worst of the inputs' verdicts: "fail" (as with blame), "inconclusive" or "pass"."""
        verdicts = [check.verdict for check in self.inputs] or ["inconclusive"]
        return "fail" if self.blame else max(verdicts, key=VERDICTS.index)

    @property
    def reason(self) -> str:
        """Why the verdict is not "pass"."""
        reasons = [c.reason for c in self.inputs if c.verdict == self.verdict]
        return next(filter(None, reasons), self.blame)

    def __bool__(self) -> bool:
        return self.verdict == "pass"

    def __repr__(self) -> str:
        title = _("input,shape,|error|,relative,at,analytic,numeric,± error,verdict")
        rows = [title.split(",")]
        for c in self.inputs:
            at = str(c.where) if c.where or not c.shape else "-"
            errors = [f"{c.max_abs_error:.1e}", f"{c.max_rel_error:.1e}"]
            numbers = [f"{c.analytic:.8g}", f"{c.numeric:.8g}", f"{c.numeric_error:.1e}"]
            rows.append([c.name, str(c.shape), *errors, at, *numbers, c.verdict])
        head = "gradcheck: {verdict} (order {order}, {method})"
        lines = [_(head, verdict=self.verdict, order=self.order, method=self.method), *table(rows)]
        lines += [f"{c.name}: {c.reason}" for c in self.inputs if c.reason]
        lines += [_("first wrong node: {node}", node=self.blame)] if self.blame else []
        lines += [self.diagnosis] if self.diagnosis else []
        return "\n".join(lines)


def gradcheck(
    f: Callable[..., Any],
    *inputs: Any,
    order: int = 1,
    method: str = "central",
    gradient: Callable[..., Any] | None = None,
    raise_on_failure: bool = False,
    seed: int = 0,
) -> GradcheckReport:
    """Compare the gradient of ``f`` with a numeric one, entry by entry.

    A result that is not one number is contracted with random cotangents: a plain sum would hide a
    wrong softmax, whose rows sum to 1 whatever the logits.

    Parameters
    ----------
    f : function of the inputs, written in NumPy, returning a number or an array
    *inputs : numbers, arrays, or dicts, lists and tuples of them: where to check
    order : 1 checks the gradient; 2 also the gradient's gradient, and so on
    method : "central", extrapolated central differences, for any function; or "complex", the
        complex step, which has no truncation error, for functions that NumPy computes on complex
        numbers too
    gradient : optional
        Check this function instead of the engine's gradient: called with the inputs, it returns the
        gradient of ``f``, an array for one input, a tuple of them for several. ``f`` must then
        return one number, and need not be NumPy.
    raise_on_failure : raise `GradcheckError` unless the verdict is "pass"
    seed : of the random cotangents

    Returns
    -------
    GradcheckReport
        With ``verdict`` "pass", "fail" or "inconclusive", ``reason``, ``inputs`` (one `InputCheck`
        each), ``blame``, the first node of the graph whose own rule is wrong, and ``diagnosis``.

    Raises
    ------
    GradcheckError
        If asked to, and the gradient fails or cannot be checked.
    ValueError
        For an unknown method or order, or a ``gradient`` whose shapes are not the inputs'.
    TypeError
        For a ``gradient`` that is no function.

    Examples
    --------
    >>> x = np.array([0.5, 2.0])
    >>> gradcheck(lambda x: np.log(x).sum(), x).verdict
    'pass'
    >>> print(gradcheck(lambda x: np.log(x).sum(), x, gradient=lambda x: 1 / x**2).verdict)
    fail
    """
    if not (gradient is None or callable(gradient)):
        wrong = "gradient: got {got}, wanted a function of the inputs; of an array, lambda x: array"
        raise TypeError(_(wrong, got=type(gradient).__name__))
    if not isinstance(order, int) or order < 1 or (gradient and order > 1):
        raise ValueError(_("order: got {got}, wanted 1, 2, ... (and 1 with gradient=)", got=order))
    if not inputs:
        raise ValueError(_("gradcheck needs inputs: gradcheck(f, x)"))
    contraction = _Contraction(f, inputs, method, seed, number=gradient is not None)
    report = _report(contraction, gradient, order, seed)
    if gradient is None and not all(math.isfinite(c.numeric - c.analytic) for c in report.inputs):
        born = _born(contraction.graph())
        report = report._replace(diagnosis=born if born != report.blame else "")
    if raise_on_failure and not report:
        raise GradcheckError(report)
    return report


def numeric_gradient(f: Callable[..., Any], x: Any, *, method: str = "central") -> Any:
    """Estimate the gradient of ``f`` at ``x`` from its values alone.

    Parameters
    ----------
    f : function of one number or array, returning one number
    x : where
    method : "central" or "complex", as in `gradcheck`

    Returns
    -------
    A float or array, shaped like ``x``.

    Raises
    ------
    ValueError
        If ``f`` does not return one number, or ``method`` is unknown.

    Examples
    --------
    >>> numeric_gradient(lambda x: np.exp(x).sum(), np.array([0.0, 1.0])).round(6)
    array([1.      , 2.718282])
    """
    contraction = _Contraction(f, (x,), method, number=True)
    if wrong := contraction.random():
        raise ValueError(wrong)
    leaf = contraction.leaves[0]
    slopes = [contraction.estimate(0, index).value for index in np.ndindex(np.shape(leaf))]
    return _like(leaf, np.reshape(slopes, np.shape(leaf)))


def _like(leaf: Any, x: Any) -> Any:
    """An array as what stands for the leaf: a float, or an array of its dtype."""
    return float(x) if isinstance(leaf, float) else np.asarray(x, leaf.dtype)


class _Contraction:
    """A function, its result contracted to one number and its inputs made a flat list."""

    def __init__(
        self, f: Any, inputs: Any, method: str, seed: Any = 0, number: bool = False
    ) -> None:
        if method not in ("central", "complex"):
            wrong = "method: got {got!r}, wanted 'central' or 'complex'"
            raise ValueError(_(wrong, got=method))
        if not callable(f):
            wrong = "got {got}, wanted a function to differentiate"
            raise TypeError(_(wrong, got=type(f).__name__))
        self.f, self.method, self.trees = f, method, dict(enumerate(inputs))
        named = [leaf for i, tree in enumerate(inputs) for leaf in flatten(tree, f"input {i}")]
        self.names = [name for name, leaf in named]
        self.leaves = [as_data(detach(leaf), "input") for name, leaf in named]
        out = detach(f(*self.filled(self.leaves)))
        if isinstance(out, dict | list | tuple) or np.asarray(out).dtype.kind not in "fiub":
            wrong = "f returned a {got}, wanted one number or array"
            raise TypeError(_(wrong, got=type(out).__name__))
        out, rng = np.asarray(out), np.random.default_rng(seed)
        if number and out.size != 1:
            wrong = "f returned shape {got}; with gradient=, and for numeric_gradient: one number"
            raise ValueError(_(wrong, got=out.shape))
        signs = rng.choice([-1.0, 1.0], out.shape) * rng.uniform(0.5, 1.5, out.shape)
        signs = signs.astype(out.dtype) if out.dtype.kind == "f" else signs
        self.cotangent = np.ones(out.shape) if out.size == 1 else signs
        self.size = float(np.sum(np.abs(self.cotangent * out)))

    def graph(self) -> Any:
        """What f returns for `Value`s."""
        with np.errstate(all="ignore"):
            return self.f(*self.filled([*map(Value, self.leaves)]))

    def random(self) -> str:
        """Say so if f has two values at one point."""
        values = {repr(float(detach(self(*self.filled(self.leaves))))) for _call in range(8)}
        if len(values) == 1:
            return ""
        wrong = "f is random, or keeps something from call to call: at one point it gave {values}"
        return _(wrong, values=_(" and ").join(sorted(values)[:2]))

    def filled(self, leaves: list[Any]) -> list[Any]:
        """The inputs with these leaves, as copies: f may write into what it is given."""
        return list(unflatten(self.trees, map(copy, leaves)).values())

    def __call__(self, *trees: Any) -> Any:
        out = self.f(*trees)
        return np.sum(self.cotangent * out) if np.shape(out) else out * 1.0

    def at(self, i: int, index: tuple[int, ...], x: float | complex) -> Any:
        """The result with one entry of leaf i replaced by x; nan outside the domain."""
        leaf = np.array(self.leaves[i], complex if isinstance(x, complex) else None)
        leaf[index] = x
        new = leaf.view(ComplexArray) if isinstance(x, complex) else _like(self.leaves[i], leaf)
        with np.errstate(all="ignore"), suppress(ValueError, ArithmeticError):
            return detach(self(*self.filled([*self.leaves[:i], new, *self.leaves[i + 1 :]])))
        return math.nan

    def estimate(self, i: int, index: tuple[int, ...]) -> Estimate:
        """The derivative by one entry of leaf i, from values of f alone."""
        leaf = np.asarray(self.leaves[i])
        x = float(leaf[index])
        guess = central(lambda x: float(self.at(i, index, x)), x, self.size, leaf.dtype)
        if self.method == "central" or not math.isfinite(guess.value):
            return guess  # log(-1) is a complex number, and no real one
        wrong = "method='complex': f does not compute on complex numbers ({why}); use 'central'"
        try:
            exact = complex_step(lambda x: complex(self.at(i, index, x)), x)
        except TypeError as error:
            raise TypeError(_(wrong, why=error)) from error
        off = abs(exact.value - guess.value)
        if guess.slope and not guess.jump and off > SAFETY * (guess.error + exact.error):
            why = _("it drops the imaginary part, as np.real and np.linalg.norm do")
            raise TypeError(_(wrong, why=why))
        return exact._replace(jump=guess.jump)


def _report(f: _Contraction, gradient: Any, order: int, seed: int) -> GradcheckReport:
    """Check the gradient; if it is right and the order higher, the gradient of its contraction."""
    if reason := f.random():
        shapes = map(np.shape, f.leaves)
        doubt = [InputCheck(*each, "inconclusive", reason) for each in zip(f.names, shapes)]
        return GradcheckReport(f.method, 1, doubt)
    report = GradcheckReport(f.method, 1, _checks(f, gradient))
    if not gradient:
        report = report._replace(blame=_blame(f, report.verdict == "fail"))
    if order == 1 or not report:
        return report

    def slopes(*trees: Any) -> Any:
        grads = flatten(dict(enumerate(grad(f, range(len(trees)))(*trees))))
        return np.concatenate([np.reshape(slope, -1) for name, slope in grads])

    inner = _Contraction(slopes, f.filled(f.leaves), f.method, [seed, order])
    report = _report(inner, None, order - 1, seed)
    return report._replace(order=report.order + 1)


def _checks(f: _Contraction, gradient: Any) -> list[InputCheck]:
    """One verdict an input."""
    inputs = f.filled(f.leaves)
    trees = gradient(*inputs) if gradient else grad(f, range(len(inputs)))(*inputs)
    trees = (trees,) if gradient and len(inputs) == 1 else trees
    if not isinstance(trees, tuple | list) or len(trees) != len(inputs):
        raise ValueError(_("gradient: wanted a tuple of {n}, one an input", n=len(inputs)))
    there = dict(leaf for i, tree in enumerate(trees) for leaf in flatten(tree, f"input {i}"))
    grads = []
    for name, leaf in zip(f.names, f.leaves):
        if name not in there:
            wrong = "gradient for {name}: there is none, only for {there}"
            raise ValueError(_(wrong, name=name, there=[*there]))
        grads.append(np.asarray(as_data(detach(there[name]), f"gradient for {name}")))
        if grads[-1].shape != np.shape(leaf):
            wrong = "gradient for {name}: got shape {got}, wanted {wanted}"
            raise ValueError(_(wrong, name=name, got=grads[-1].shape, wanted=np.shape(leaf)))
    return [_check(f, i, analytic) for i, analytic in enumerate(grads)]


def _check(f: _Contraction, i: int, analytic: Any) -> InputCheck:
    """The verdict on leaf i: that of its worst entry."""
    if not analytic.size:
        reason = _("the input has no entries")
        return InputCheck(f.names[i], analytic.shape, "inconclusive", reason)
    entries = list(np.ndindex(analytic.shape))
    values, errors, slopes, jumps = np.transpose([f.estimate(i, index) for index in entries])
    slope = analytic.reshape(-1)
    with np.errstate(invalid="ignore"):
        off = abs(slope - values)
    largest = float(np.max(abs(values[np.isfinite(values)]), initial=0.0))
    seen, rounding = SAFETY * errors, 64 * float(np.finfo(analytic.dtype).eps)
    allowed = seen + rounding * largest
    alone = np.maximum(np.maximum(abs(slope), abs(values)), 1e-3 * slopes)
    unseen = (slope != 0) & (seen >= alone)
    lost = unseen | (abs(values) > seen) & (off > seen + rounding * alone)
    blurred = (allowed > RESOLVE * np.maximum(alone, 1e-3 * largest)) & (slopes > 0)
    doubtful = (jumps > 0) | ~np.isfinite(values)
    ranks = np.select([doubtful, ~(off <= allowed), lost | blurred], [1, 2, 1], 0)
    k = max(range(len(off)), key=lambda k: (ranks[k], np.nan_to_num(off[k], nan=math.inf)))
    verdict, reason = VERDICTS[ranks[k]], ""
    if verdict == "pass" and not slopes.any():
        verdict = "inconclusive"
        reason = _("output is constant in this direction: a missing gradient would look the same")
    elif jumps[k]:
        reason = _("kink: the slope jumps by {jump:.3g}", jump=jumps[k])
    elif doubtful[k]:
        reason = _("f is not finite around entry {index}", index=entries[k])
    elif verdict == "inconclusive" and lost[k]:
        wrong = "entry {index} is lost in rounding beside others of {largest:.1e}"
        reason = _(wrong, index=entries[k], largest=largest)
    elif verdict == "inconclusive":
        wrong = (
            "{dtype}: numeric error larger than the difference ({allowed:.1e} > {off:.1e}), and "
            "too large to see an error of {part:.1%}"
        )
        wrong += "" if analytic.dtype == np.float64 else "; check in float64"
        reason = _(wrong, dtype=analytic.dtype, allowed=allowed[k], off=off[k], part=RESOLVE)
    worst = np.max(off)
    numbers = map(float, (slope[k], values[k], errors[k], worst, worst / (largest or 1.0)))
    return InputCheck(f.names[i], analytic.shape, verdict, reason, entries[k], *numbers)


def _blame(f: _Contraction, failed: bool) -> str:
    """Name the first node, parents first, whose rule writes where it must not, or is to blame."""
    out = f.graph()
    nodes = topological(out) if isinstance(out, Value) else []
    called = names(nodes)
    shares = [
        (node, k, called[node] + (_(" to {x}", x=called[parent]) if len(node.parents) > 1 else ""))
        for node in nodes
        for k, parent in enumerate(node.parents)
        if isinstance(parent, Value)
    ]
    texts: list[Iterable[str]] = [starmap(_written, shares)]
    if failed and nodes:
        wrong = [starmap(partial(_alone, f.method, "fail", g), shares) for g in (1.0, -2.0)]
        doubts = starmap(partial(_alone, f.method, "inconclusive", 1.0), shares)
        texts += [*wrong, map(_born, [out]), doubts]  # rules are linear in g
    with np.errstate(all="ignore"):
        if text := next(filter(None, chain(*texts)), ""):
            return text
    text = "none: every node's own rule is right, so part of f does not go through the graph "
    return _(text + "(v.data, or a Value made inside f)") if failed else ""


def _born(out: Any) -> str:
    """Where nan or inf began, and what helps, if there are any."""
    report = diagnose(out) if isinstance(out, Value) else None
    return " ".join(report.sentences) if report and report.births else ""


def _written(node: Value, k: int, called: str) -> str:
    """Say so if a VJP writes into what it is data."""
    data = [np.full(node.shape, 0.5, node.dtype), *map(detach, (node, *node.parents))]
    before = [copy(x) for x in data]
    share(node, k, data[0] if node.shape else 0.5)
    same = [np.array_equal(x, old, equal_nan=True) for x, old in zip(data, before)]
    if all(same):
        return ""
    what = _("its data") if same[0] else _("its upstream gradient: use g = g * ..., not g *= ...")
    return _("{node}: a rule writes into {what}", node=called, what=what)


def _alone(method: str, verdict: str, g: float, node: Value, k: int, called: str) -> str:
    """Say so if a check of one VJP, at the data it saw in the graph, has this verdict."""
    parents = [detach(parent) for parent in node.parents]

    def alone(x: Any) -> Any:
        return g * node.op(*parents[:k], x, *parents[k + 1 :], **node.options)

    c = _checks(_Contraction(alone, (parents[k],), method), None)[0]
    if c.verdict != verdict or c.analytic == c.numeric:
        return ""
    wrong = "{node}, entry {c.where}: {c.analytic:.6g}, numeric {c.numeric:.6g}"
    doubt = "none is wrong for sure, but {node} could not be checked: {c.reason}"
    return _(wrong if verdict == "fail" else doubt, node=called, c=c)
