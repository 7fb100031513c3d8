"""Check a gradient against numbers that owe nothing to the rule that produced it.

The tolerance is not a constant: it is the numeric estimate's own error. Where that is too large to
tell a right gradient from a wrong one, or the function has a kink there, the verdict says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from ..engine.backward import topological
from ..engine.data import as_data
from ..engine.names import names
from ..engine.text import _
from ..engine.transforms import flatten, grad, unflatten
from ..engine.value import Value, detach
from .numeric import ComplexArray, Estimate, central, complex_step

SAFETY = 10.0  # how many of its estimated errors a numeric derivative may be off
RESOLVE = 1e-3  # a check is worth something if it would see an error of this part of the gradient

VERDICTS = ("pass", "inconclusive", "fail")


class GradcheckError(AssertionError):
    """A gradient check did not pass; ``report`` has the whole of it."""

    def __init__(self, report: GradcheckReport) -> None:
        super().__init__(str(report))
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

    @property
    def verdict(self) -> str:
        """The worst of the inputs' verdicts: "fail", "inconclusive" or "pass"."""
        verdicts = [check.verdict for check in self.inputs] or ["inconclusive"]
        return max(verdicts, key=VERDICTS.index)

    @property
    def reason(self) -> str:
        """Why the verdict is not "pass"."""
        return next((c.reason for c in self.inputs if c.verdict == self.verdict), "")

    def __bool__(self) -> bool:
        return self.verdict == "pass"

    def __str__(self) -> str:
        title = _("input,shape,|error|,relative,at,analytic,numeric,± error,verdict")
        rows = [title.split(",")]
        for c in self.inputs:
            at = str(c.where) if c.where or not c.shape else "-"
            errors = [f"{c.max_abs_error:.1e}", f"{c.max_rel_error:.1e}"]
            numbers = [f"{c.analytic:.8g}", f"{c.numeric:.8g}", f"{c.numeric_error:.1e}"]
            rows.append([c.name, str(c.shape), *errors, at, *numbers, c.verdict])
        widths = [max(map(len, column)) for column in zip(*rows)]
        lines = [f"gradcheck: {self.verdict} (order {self.order}, {self.method})"]
        lines += ["  ".join(t.ljust(w) for t, w in zip(row, widths)).rstrip() for row in rows]
        lines += [f"{c.name}: {c.reason}" for c in self.inputs if c.reason]
        lines += [_("first wrong node: {node}", node=self.blame)] if self.blame else []
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)


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
        each) and ``blame``, the first node of the graph whose own rule is wrong.

    Raises
    ------
    GradcheckError
        If asked to, and the gradient fails or cannot be checked.
    ValueError
        For an unknown method or order, or a ``gradient`` whose shapes are not the inputs'.

    Examples
    --------
    >>> x = np.array([0.5, 2.0])
    >>> gradcheck(lambda x: np.log(x).sum(), x).verdict
    'pass'
    >>> print(gradcheck(lambda x: np.log(x).sum(), x, gradient=lambda x: 1 / x**2).verdict)
    fail
    """
    if not isinstance(order, int) or order < 1 or (gradient and order > 1):
        raise ValueError(_("order: got {got}, wanted 1, 2, ... (and 1 with gradient=)", got=order))
    if not inputs:
        raise ValueError(_("gradcheck needs inputs: gradcheck(f, x)"))
    contraction = _Contraction(f, inputs, method, seed)
    if gradient and math.prod(contraction.shape) != 1:
        got = contraction.shape
        raise ValueError(_("with gradient=, f returns one number; got shape {got}", got=got))
    report = _report(contraction, gradient, order, seed)
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
    contraction = _Contraction(f, (x,), method)
    if math.prod(contraction.shape) != 1:
        raise ValueError(_("f returns shape {got}, wanted one number", got=contraction.shape))
    leaf = contraction.leaves[0]
    slopes = [contraction.estimate(0, index).value for index in np.ndindex(np.shape(leaf))]
    return _like(leaf, np.reshape(slopes, np.shape(leaf)))


def _like(leaf: Any, x: Any) -> Any:
    """An array as what stands for the leaf: a float, or an array of its dtype."""
    return float(x) if isinstance(leaf, float) else np.asarray(x, leaf.dtype)


class _Contraction:
    """A function, its result contracted to one number and its inputs made a flat list."""

    def __init__(self, f: Any, inputs: Any, method: str, seed: int = 0) -> None:
        if method not in ("central", "complex"):
            got = repr(method)
            raise ValueError(_("method: got {got}, wanted 'central' or 'complex'", got=got))
        named = [flatten(tree, f"input {i}") for i, tree in enumerate(inputs)]
        self.f, self.method, self.trees = f, method, inputs
        self.names = [name for leaves in named for name, leaf in leaves]
        self.leaves = [as_data(detach(x), "input") for leaves in named for name, x in leaves]
        result = detach(f(*self.filled(self.leaves)))
        out = np.asarray(None if isinstance(result, dict | list | tuple) else result)
        if out.dtype.kind not in "fiub":
            got = f"{out.dtype} data" if result is None else f"a {type(result).__name__}"
            raise TypeError(_("f returned {got}, wanted one number or array", got=got))
        rng, self.shape = np.random.default_rng(seed), out.shape
        signs = rng.choice([-1.0, 1.0], out.shape) * rng.uniform(0.5, 1.5, out.shape)
        self.dtype = self._precision(out)
        self.cotangent = np.ones(out.shape) if out.size == 1 else signs.astype(self.dtype)
        self.size = float(np.sum(np.abs(self.cotangent * out)))

    def _precision(self, out: Any) -> Any:
        """float32 where f computes in it, whatever it returns: the ``.item()`` of a network."""
        if out.dtype.kind == "f" and out.dtype.itemsize < 8:
            return out.dtype
        rng, other = np.random.default_rng(0), out
        moved = [_like(x, x * (1 + 1e-3 * rng.random(np.shape(x)))) for x in self.leaves]
        with np.errstate(all="ignore"), suppress(ValueError, ArithmeticError):  # off the domain
            other = np.asarray(detach(self.f(*self.filled(moved))))
        with np.errstate(over="ignore"):
            fits = all(np.array_equal(x.astype(np.float32), x) for x in (out, other))
        return np.dtype(np.float32 if fits and not np.array_equal(out, other) else float)

    def filled(self, leaves: list[Any]) -> list[Any]:
        """The inputs with these leaves, as copies: f may write into what it is given."""
        supply = iter([np.copy(x) if isinstance(x, np.ndarray) else x for x in leaves])
        return [unflatten(tree, supply) for tree in self.trees]

    def __call__(self, *trees: Any) -> Any:
        out = self.f(*trees)
        return np.sum(self.cotangent * out) if np.shape(out) else out * 1.0

    def nodes(self, leaves: list[Any]) -> list[Value]:
        """The graph that f makes of these leaves; empty if it makes none."""
        try:
            with np.errstate(all="ignore"):
                out = self.f(*self.filled([Value(leaf) for leaf in leaves]))
        except (TypeError, ValueError, NotImplementedError):
            return []
        return topological(out) if isinstance(out, Value) else []

    def at(self, i: int, index: tuple[int, ...], x: float | complex) -> Any:
        """The result with one entry of leaf i replaced by x."""
        leaf = np.array(self.leaves[i], complex if isinstance(x, complex) else None)
        leaf[index] = x
        new = leaf.view(ComplexArray) if isinstance(x, complex) else _like(self.leaves[i], leaf)
        with np.errstate(all="ignore"):
            return detach(self(*self.filled([*self.leaves[:i], new, *self.leaves[i + 1 :]])))

    def estimate(self, i: int, index: tuple[int, ...]) -> Estimate:
        """The derivative by one entry of leaf i, from values of f alone."""

        def on_real(x: float) -> float:
            try:
                return float(self.at(i, index, x))
            except (ValueError, ArithmeticError):  # outside the domain
                return math.nan

        leaf = np.asarray(self.leaves[i])
        x, exact = float(leaf[index]), None
        if self.method == "complex":
            try:
                exact = complex_step(lambda x: complex(self.at(i, index, x)), x)
            except TypeError as error:
                wrong = "method='complex': f takes no complex numbers ({error}); use 'central'"
                raise TypeError(_(wrong, error=error)) from error
        if exact and exact.value:
            return exact
        guess = central(on_real, x, self.size, leaf.dtype, self.dtype)
        if exact and not guess.jump and abs(guess.value) > SAFETY * guess.error:
            wrong = (
                "method='complex': f drops the imaginary part of complex numbers, as np.real and "
                "np.linalg.norm do; use 'central'"
            )
            raise TypeError(_(wrong))
        return exact or guess


def _report(f: _Contraction, gradient: Any, order: int, seed: int) -> GradcheckReport:
    """Check the gradient; if it is right and the order higher, the gradient of its contraction."""
    report = GradcheckReport(f.method, 1, _checks(f, _analytic(f, gradient)))
    if report.verdict == "fail" and not gradient:
        return report._replace(blame=_blame(f))
    if order == 1 or not report:
        return report
    rng = np.random.default_rng([seed, order])
    signs = [rng.uniform(0.5, 1.5, np.shape(leaf)) for leaf in f.leaves]

    def slope(*trees: Any) -> Any:
        grads = grad(f, range(len(trees)))(*trees)
        flat = [leaf for tree in grads for _, leaf in flatten(tree)]
        return sum(np.sum(sign * leaf) for sign, leaf in zip(signs, flat))

    above = _report(_Contraction(slope, f.filled(f.leaves), f.method, seed), None, order - 1, seed)
    return above._replace(order=above.order + 1)


def _analytic(f: _Contraction, gradient: Any) -> list[Any]:
    """The gradient to be checked, one array a leaf."""
    inputs = f.filled(f.leaves)
    trees = gradient(*inputs) if gradient else grad(f, range(len(inputs)))(*inputs)
    trees = (trees,) if gradient and len(inputs) == 1 else trees
    if not isinstance(trees, tuple | list) or len(trees) != len(inputs):
        raise ValueError(_("gradient: wanted a tuple of {n}, one an input", n=len(inputs)))
    named = dict(leaf for i, tree in enumerate(trees) for leaf in flatten(tree, f"input {i}"))
    if missing := [name for name in f.names if name not in named]:
        wrong = "gradient for {name}: there is none, only for {there}"
        raise ValueError(_(wrong, name=missing[0], there=[*named]))
    grads = [as_data(detach(named[name]), f"gradient for {name}") for name in f.names]
    for name, got, wanted in zip(f.names, map(np.shape, grads), map(np.shape, f.leaves)):
        if got != wanted:
            wrong = "gradient for {name}: got shape {got}, wanted {wanted}"
            raise ValueError(_(wrong, name=name, got=got, wanted=wanted))
    return grads


def _checks(f: _Contraction, analytic: list[Any]) -> list[InputCheck]:
    """One verdict an input."""
    kinked = _kink(f) != ""
    return [_check(f, i, np.asarray(a), kinked) for i, a in enumerate(analytic)]


def _check(f: _Contraction, i: int, analytic: Any, kinked: bool) -> InputCheck:
    """The verdict on leaf i: that of its worst entry."""
    if not analytic.size:
        reason = _("the input has no entries")
        return InputCheck(f.names[i], analytic.shape, "inconclusive", reason)
    entries = list(np.ndindex(analytic.shape))
    guesses = [f.estimate(i, index) for index in entries]
    kinks = [_kink(f, i, index) if kinked else "" for index in entries]
    given, (values, errors, slopes, jumps) = analytic.reshape(-1), np.transpose(guesses)
    with np.errstate(invalid="ignore"):
        off = abs(given - values)
    largest = float(np.max(abs(values[np.isfinite(values)]), initial=0.0))
    allowed = SAFETY * errors + 64 * float(np.finfo(f.dtype).eps) * largest
    scale = np.maximum(np.maximum(abs(given), abs(values)), 1e-3 * np.maximum(largest, slopes))
    unclear = (jumps > 0) | (np.array(kinks) != "") | ~np.isfinite(values)
    blurred = (allowed > RESOLVE * scale) & (slopes > 0)
    ranks = np.select([unclear, ~(off <= allowed), blurred], [1, 2, 1], 0)
    k = max(range(len(off)), key=lambda k: (ranks[k], np.nan_to_num(off[k], nan=math.inf)))
    verdict, reason = VERDICTS[ranks[k]], ""
    if verdict == "inconclusive":
        reason = _doubt(kinks[k], guesses[k], entries[k], f.dtype, allowed[k], off[k])
    elif verdict == "pass" and not slopes.any():
        verdict = "inconclusive"
        reason = _("output is constant in this direction: a missing gradient would look the same")
    worst = float(np.max(off))
    numbers = (float(given[k]), *guesses[k][:2], worst, worst / (largest or 1.0))
    return InputCheck(f.names[i], analytic.shape, verdict, reason, entries[k], *numbers)


def _doubt(kink: str, guess: Estimate, index: Any, dtype: Any, allowed: float, off: float) -> str:
    """What keeps the verdict on an entry from being clear."""
    if kink:
        return _("kink at {kink}", kink=kink)
    if guess.jump:
        return _("kink: the slope jumps by {jump:.3g}", jump=guess.jump)
    if not math.isfinite(guess.value):
        return _("f is not finite around entry {index}", index=index)
    wrong = (
        "{dtype}: numeric error larger than the difference ({allowed:.1e} > {off:.1e}), and too "
        "large to see an error of {part:.1%}"
    )
    wrong += "" if dtype == np.float64 else "; check in float64"
    return _(wrong, dtype=dtype, allowed=allowed, off=off, part=RESOLVE)


def _kink(f: _Contraction, i: int | None = None, index: tuple[int, ...] = ()) -> str:
    """Where the graph changes piece between the two sides of one entry, or of all: "relu(0)"."""
    ways: list[Any] = [np.zeros(np.shape(leaf)) for leaf in f.leaves]
    if i is not None:
        ways[i][index] = 1.0
    else:  # each entry its own way, so that ties come apart
        ways = [np.random.default_rng(j).uniform(-1, 1, way.shape) for j, way in enumerate(ways)]
    step = 64 * float(np.finfo(f.dtype).eps) ** 0.75
    steps = [step * np.maximum(1.0, abs(leaf)) * way for leaf, way in zip(f.leaves, ways)]
    one = f.nodes([_like(leaf, leaf + step) for leaf, step in zip(f.leaves, steps)])
    two = f.nodes([_like(leaf, leaf - step) for leaf, step in zip(f.leaves, steps)])
    if [n.op and n.op.name for n in one] != [n.op and n.op.name for n in two]:
        return _("a branch of f's own")
    for a, b in zip(one, two):
        if a.op and a.op.piece:
            sides = [a.op.piece(*map(detach, n.parents), **n.options) for n in (a, b)]
            if (changed := np.asarray(sides[0] != sides[1])).any():
                every = not a.op.constants  # or those of which it chooses one: relu(0)
                pairs = [p for p in zip(a.parents, b.parents) if every or isinstance(p[0], Value)]
                return f"{names(one)[a]}({_between(pairs, changed, step)})"
    return ""


def _between(pairs: list[Any], changed: Any, step: float) -> str:
    """The arguments at a kink, half-way between its two sides."""
    halves = [(np.asarray(detach(x)) + detach(y)) / 2.0 for x, y in pairs]
    numbers = [np.broadcast_to(half, changed.shape)[changed][0] for half in halves]
    return ", ".join(f"{0.0 if abs(x) < step else x:g}" for x in numbers)


def _blame(f: _Contraction) -> str:
    """Check each node's rule on its own, parents first, and name the first that is wrong."""
    nodes = f.nodes(f.leaves)
    called = names(nodes)
    for node in nodes:
        for k, parent in enumerate(node.parents):
            check = _rule(node, k, f.method) if isinstance(parent, Value) else None
            if check and check.verdict == "fail":
                to = f" to {called[parent]}" if len(node.parents) > 1 else ""
                wrong = "{node}, entry {c.where}: {c.analytic:.6g}, numeric {c.numeric:.6g}"
                return _(wrong, node=called[node] + to, c=check)
    return _(
        "none: every node's own rule is right, so part of f does not go through the graph "
        "(v.data, or a Value made inside f)"
    )


def _rule(node: Value, k: int, method: str) -> InputCheck:
    """Check one VJP of one node, at the data it saw in the graph."""
    parents = [detach(parent) for parent in node.parents]

    def alone(x: Any) -> Any:
        return node.op(*parents[:k], x, *parents[k + 1 :], **node.options)

    f = _Contraction(alone, (parents[k],), method)
    return _checks(f, _analytic(f, None))[0]
