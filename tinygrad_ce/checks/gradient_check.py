"""Check a gradient against numbers that owe nothing to the rule that produced it.

The tolerance is not a constant: it is the numeric estimate's own error. Where that is too large to
tell a right gradient from a wrong one, or the function has a kink there, the verdict says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..engine.backward import topological
from ..engine.data import as_data
from ..engine.names import names
from ..engine.transforms import flatten, grad, unflatten
from ..engine.value import Value, detach, record
from .numeric import ComplexArray, Estimate, central, complex_step

SAFETY = 10.0  # how many of its estimated errors a numeric derivative may be off
RESOLVE = 1e-3  # a check is worth something if it would see an error of this part of the gradient


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
        found = {check.verdict for check in self.inputs}
        return next((v for v in ("fail", "inconclusive", "pass") if v in found), "inconclusive")

    @property
    def reason(self) -> str:
        """Why the verdict is not "pass"."""
        return next((c.reason for c in self.inputs if c.verdict == self.verdict), "")

    def __bool__(self) -> bool:
        return self.verdict == "pass"

    def __str__(self) -> str:
        title = [
            "input",
            "shape",
            "|error|",
            "relative",
            "at",
            "analytic",
            "numeric",
            "± error",
        ]
        rows = [[*title, "verdict"]]
        for c in self.inputs:
            at = str(c.where) if c.where or not c.shape else "-"
            errors = [f"{c.max_abs_error:.1e}", f"{c.max_rel_error:.1e}"]
            numbers = [f"{c.analytic:.8g}", f"{c.numeric:.8g}", f"{c.numeric_error:.1e}"]
            rows.append([c.name, str(c.shape), *errors, at, *numbers, c.verdict])
        widths = [max(map(len, column)) for column in zip(*rows)]
        lines = [f"gradcheck: {self.verdict} (order {self.order}, {self.method})"]
        lines += ["  ".join(t.ljust(w) for t, w in zip(row, widths)).rstrip() for row in rows]
        lines += [f"{c.name}: {c.reason}" for c in self.inputs if c.reason]
        return "\n".join([*lines, f"first wrong node: {self.blame}"] if self.blame else lines)

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
    if method not in ("central", "complex"):
        raise ValueError(f"method: got {method!r}, wanted 'central' or 'complex'")
    if not isinstance(order, int) or order < 1 or (gradient and order > 1):
        raise ValueError(f"order: got {order}, wanted 1, 2, ... (and 1 with gradient=)")
    if not inputs:
        raise ValueError("gradcheck needs inputs: gradcheck(f, x)")
    report = _Check(f, inputs, method, gradient, np.random.default_rng(seed)).report(order)
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
    if method not in ("central", "complex"):
        raise ValueError(f"method: got {method!r}, wanted 'central' or 'complex'")
    check = _Check(f, (x,), method, None, np.random.default_rng(0))
    if check.cotangent.size != 1:
        raise ValueError(f"f returns shape {check.cotangent.shape}, wanted one number")
    leaf = np.asarray(check.leaves[0])
    found = [check.estimate(0, leaf, index).value for index in np.ndindex(leaf.shape)]
    return _same(check.leaves[0], np.reshape(found, leaf.shape).astype(leaf.dtype))


class _Check:
    """One function, contracted to a number, with its inputs as a flat list of leaves."""

    def __init__(self, f: Any, inputs: Any, method: str, gradient: Any, rng: Any) -> None:
        self.f, self.method, self.gradient, self.rng = f, method, gradient, rng
        self.trees = [_plain(tree) for tree in inputs]
        named = [flatten(tree, f"input {i}") for i, tree in enumerate(self.trees)]
        self.names = [name for leaves in named for name, _ in leaves]
        self.leaves = [leaf for leaves in named for _, leaf in leaves]
        result = detach(f(*self.filled(self.leaves)))
        if isinstance(result, dict | list | tuple):
            raise TypeError(f"f returned a {type(result).__name__}, wanted one number or array")
        out = np.asarray(result)
        if out.dtype.kind not in "fiub":
            raise TypeError(f"f returned {out.dtype} data, wanted one number or array")
        if gradient and out.size != 1:
            raise ValueError(f"with gradient=, f returns one number; got shape {out.shape}")
        narrow = out.dtype.kind == "f" and out.dtype.itemsize < 8  # estimates are in float64
        self.dtype: Any = out.dtype if narrow else self.precision(out)
        signs = rng.choice([-1.0, 1.0], out.shape) * rng.uniform(0.5, 1.5, out.shape)
        self.cotangent = np.ones(out.shape) if out.size == 1 else signs.astype(self.dtype)
        self.size = float(np.sum(np.abs(self.cotangent * out)))

    def precision(self, out: Any) -> Any:
        """float32 where f computes in it, whatever it returns: the ``.item()`` of a network."""
        rng, (double, single) = np.random.default_rng(0), map(np.dtype, "df")
        moved = [_same(x, x * (1 + 1e-3 * rng.random(np.shape(x)))) for x in self.leaves]
        with np.errstate(all="ignore"):
            try:
                other = np.asarray(detach(self.f(*self.filled(moved))))
            except (ValueError, ArithmeticError):  # outside the domain
                return double
            fits = (np.array_equal(x, x.astype(single).astype(double)) for x in (out, other))
            return single if not np.array_equal(out, other) and all(fits) else double

    def filled(self, leaves: list[Any]) -> list[Any]:
        """The inputs with these leaves, as copies: f may write into what it is given."""
        supply = iter([np.copy(x) if isinstance(x, np.ndarray) else x for x in leaves])
        return [unflatten(tree, [next(supply) for _ in flatten(tree)]) for tree in self.trees]

    def scalar(self, *trees: Any) -> Any:
        out = self.f(*trees)
        return np.sum(self.cotangent * out) if np.shape(out) else out * 1.0

    def report(self, order: int) -> GradcheckReport:
        checks = self.checks()
        report = GradcheckReport(self.method, 1, checks)
        if report.verdict == "fail" and not self.gradient:
            return GradcheckReport(self.method, 1, checks, self.blame())
        if order == 1 or not report:
            return report
        signs = [self.rng.uniform(0.5, 1.5, np.shape(leaf)) for leaf in self.leaves]

        def slope(*trees: Any) -> Any:
            found = grad(self.scalar, range(len(trees)))(*trees)
            flat = [leaf for tree in found for _, leaf in flatten(tree)]
            return sum(np.sum(sign * leaf) for sign, leaf in zip(signs, flat))

        above = _Check(slope, self.trees, self.method, None, self.rng).report(order - 1)
        return GradcheckReport(self.method, above.order + 1, above.inputs, above.blame)

    def checks(self) -> list[InputCheck]:
        """One verdict an input."""
        analytic = self.analytic()
        kinked = self.kinks(None, None) != ""
        return [
            self.check(i, np.asarray(leaf, dtype=np.result_type(leaf)), a, kinked)
            for i, (leaf, a) in enumerate(zip(self.leaves, analytic))
        ]

    def analytic(self) -> list[Any]:
        """The gradient to be checked, one array a leaf."""
        if self.gradient:
            found = self.gradient(*self.filled(self.leaves))
            trees = (found,) if len(self.trees) == 1 else found
            if not isinstance(trees, tuple | list) or len(trees) != len(self.trees):
                raise ValueError(f"gradient: wanted a tuple of {len(self.trees)}, one an input")
        else:
            trees = grad(self.scalar, range(len(self.trees)))(*self.trees)
        found = dict(leaf for i, tree in enumerate(trees) for leaf in flatten(tree, f"input {i}"))
        for name, leaf in zip(self.names, self.leaves):
            if name not in found:
                raise ValueError(f"gradient for {name}: there is none, only for {[*found]}")
            got = found[name] = as_data(detach(found[name]), f"gradient for {name}")
            if np.shape(got) != np.shape(leaf):
                raise ValueError(
                    f"gradient for {name}: got shape {np.shape(got)}, wanted {np.shape(leaf)}"
                )
        return [found[name] for name in self.names]

    def call(self, i: int, leaf: Any) -> Any:
        """The contracted result with leaf i replaced."""
        leaves = [*self.leaves[:i], leaf, *self.leaves[i + 1 :]]
        with np.errstate(all="ignore"):
            return detach(self.scalar(*self.filled(leaves)))

    def estimate(self, i: int, leaf: Any, index: tuple[int, ...]) -> Estimate:
        """The derivative by one entry of leaf i, from values of f alone."""

        def at(x: float) -> float:
            moved = leaf.copy()
            moved[index] = x
            try:
                return float(self.call(i, moved if leaf.shape else _same(self.leaves[i], moved)))
            except (ValueError, ArithmeticError):  # outside the domain
                return math.nan

        def on_complex(x: complex) -> complex:
            moved = leaf.astype(complex)
            moved[index] = x
            try:
                return complex(self.call(i, moved.view(ComplexArray)))
            except TypeError as error:
                raise TypeError(
                    f"method='complex': f does not take complex numbers ({error}); use 'central'"
                ) from error

        x = float(leaf[index])
        found = complex_step(on_complex, x) if self.method == "complex" else None
        if found and found.value:
            return found
        guess = central(at, x, self.size, leaf.dtype, self.dtype)
        if found and not guess.jump and abs(guess.value) > SAFETY * guess.error:
            raise TypeError(
                "method='complex': f drops the imaginary part of complex numbers, as np.real and "
                "np.linalg.norm do; use 'central'"
            )
        return found or guess

    def check(self, i: int, leaf: Any, analytic: Any, kinked: bool) -> InputCheck:
        """The verdict on leaf i: the worst of its entries'."""
        name, shape = self.names[i], leaf.shape
        if leaf.size == 0:
            return InputCheck(name, shape, "inconclusive", "the input has no entries")
        entries = list(np.ndindex(shape))
        guesses = [self.estimate(i, leaf, index) for index in entries]
        given = [float(np.asarray(analytic)[index]) for index in entries]
        largest = max((abs(g.value) for g in guesses if math.isfinite(g.value)), default=0.0)
        rounding = 64 * float(np.finfo(self.dtype).eps) * largest
        found: list[tuple[int, float, str, str]] = []
        for index, guess, a in zip(entries, guesses, given):
            off, allowed = abs(a - guess.value), SAFETY * guess.error + rounding
            scale = max(abs(a), abs(guess.value), 1e-3 * largest, 1e-3 * guess.slope)
            kink = self.kinks(i, index) if kinked else ""
            if kink or guess.jump:
                why = f"kink at {kink}" if kink else f"kink: the slope jumps by {guess.jump:.3g}"
                found.append((1, off, "inconclusive", why))
            elif not math.isfinite(guess.value):
                found.append((1, 0.0, "inconclusive", f"f is not finite around entry {index}"))
            elif not off <= allowed:
                found.append((2, off, "fail", ""))
            elif allowed > RESOLVE * scale and guess.slope:
                why = (
                    f"{self.dtype}: numeric error larger than the difference ({allowed:.1e} > "
                    f"{off:.1e}), and too large to see an error of {RESOLVE:.1%}"
                )
                why += "" if self.dtype == np.float64 else "; check in float64"
                found.append((1, off, "inconclusive", why))
            else:
                found.append((0, off, "pass", ""))
        level = max(rank for rank, *_ in found)
        worst = max(range(len(found)), key=lambda k: (found[k][0], _nan_last(found[k][1])))
        _, _, verdict, reason = found[worst]
        if level == 0 and not any(guess.slope for guess in guesses):
            verdict = "inconclusive"
            reason = "output is constant in this direction: a missing gradient would look the same"
        errors = [abs(a - g.value) for a, g in zip(given, guesses)]
        return InputCheck(
            name=name,
            shape=shape,
            verdict=verdict,
            reason=reason,
            where=entries[worst],
            analytic=given[worst],
            numeric=guesses[worst].value,
            numeric_error=guesses[worst].error,
            max_abs_error=float(np.max(errors)),
            max_rel_error=float(np.max(errors)) / largest if largest else float(np.max(errors)),
        )

    def trace(self, step: float, i: int | None, index: tuple[int, ...] | None) -> list[Value]:
        """The graph of f with one entry moved by ``step``, or all; empty if f leaves none."""
        leaves = []
        for j, leaf in enumerate(self.leaves):
            moved = np.array(leaf, dtype=np.result_type(leaf))
            near = step * np.maximum(1.0, abs(moved))
            if i is None:  # each its own way, so that ties come apart
                moved += near * np.random.default_rng(j).uniform(-1.0, 1.0, moved.shape)
            elif i == j:
                moved[index] += near[index]
            leaves.append(Value(_same(leaf, moved)))
        try:
            with np.errstate(all="ignore"):
                out = self.f(*self.filled(leaves))
        except (TypeError, ValueError, NotImplementedError):
            return []
        return topological(out) if isinstance(out, Value) else []

    def kinks(self, i: int | None, index: tuple[int, ...] | None) -> str:
        """Where the graph changes piece between the two sides of an entry: "relu(0)"."""
        step = 64 * float(np.finfo(self.dtype).eps) ** 0.75
        one, two = self.trace(step, i, index), self.trace(-step, i, index)
        if [n.op and n.op.name for n in one] != [n.op and n.op.name for n in two]:
            return "a branch of f's own"
        for a, b in zip(one, two):
            if a.op and a.op.piece:
                sides = [a.op.piece(*map(detach, n.parents), **n.options) for n in (a, b)]
                if (changed := np.asarray(sides[0] != sides[1])).any():
                    entry = tuple(np.argwhere(changed)[0])
                    return f"{names(one)[a]}({_between(a, b, changed.shape, entry, step)})"
        return ""

    def blame(self) -> str:
        """Check each node's rule on its own, parents first, and name the first that is wrong."""
        out = self.scalar(*(unflatten(t, [Value(x) for _, x in flatten(t)]) for t in self.trees))
        nodes = topological(out) if isinstance(out, Value) else []
        called = names(nodes)
        for node in nodes:
            parents = node.parents
            for k, parent in enumerate(parents):
                if isinstance(parent, Value):
                    check = _rule(node, k, self.method, self.rng)
                    if check.verdict == "fail":
                        to = f" to {called[parent]}" if len(parents) > 1 else ""
                        return (
                            f"{called[node]}{to}, entry {check.where}: "
                            f"{check.analytic:.6g}, numeric {check.numeric:.6g}"
                        )
        return (
            "none: every node's own rule is right, so part of f does not go through the graph "
            "(v.data, or a Value made inside f)"
        )


def _plain(tree: Any) -> Any:
    """Inputs as floats and floating-point arrays."""
    return unflatten(tree, [as_data(detach(leaf), "input") for _, leaf in flatten(tree)])


def _same(leaf: Any, moved: Any) -> Any:
    """An array as what it stands for: a float where the leaf is one."""
    return float(moved) if isinstance(leaf, float) else moved


def _nan_last(x: float) -> float:
    return math.inf if math.isnan(x) else x


def _between(a: Value, b: Value, shape: Any, entry: Any, step: float) -> str:
    """The arguments at a kink, half-way between its two sides."""
    shown = []
    for x, y in zip(a.parents, b.parents):
        if isinstance(x, Value) or (a.op and a.op.name != "where"):
            middle = (np.asarray(detach(x)) + np.asarray(detach(y))) / 2.0
            middle = float(np.broadcast_to(middle, shape)[entry])
            shown.append(f"{0.0 if abs(middle) < step else middle:g}")
    return ", ".join(shown)


def _rule(node: Value, k: int, method: str, rng: Any) -> InputCheck:
    """Check one VJP of one node, at the data it saw in the graph."""
    op, parents = node.op, [detach(parent) for parent in node.parents]
    options = {name: value for name, value in node.options.items() if name != "saved"}
    assert op is not None

    def alone(x: Any) -> Any:
        args = (*parents[:k], x, *parents[k + 1 :])
        return record(op, args, options) if isinstance(x, Value) else op.fn(*args, **options)

    return _Check(alone, (parents[k],), method, None, rng).checks()[0]
