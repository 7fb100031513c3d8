"""What an operation is: `Primitive`, a record of its function and rules, and how to add one."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import count
from typing import Any

Rule = Callable[..., Any]
Interval = tuple[float, float]
REAL: Interval = (-math.inf, math.inf)
POSITIVE: Interval = (0.0, math.inf)


@dataclass(frozen=True, eq=False)
class Primitive:
    """One operation: its function, one VJP an argument, how they read, and where they hold."""

    name: str
    fn: Rule
    vjps: Iterable[Rule | None]
    latex: tuple[str, ...]  # the operation, then its rules; <x> <y> <z> <out> <g> are filled in
    domain: tuple[Interval, ...] | None  # of each argument: where the rule holds, and is smooth ...
    piece: Rule | None  # ... but for the borders of these pieces (of abs: x < 0 and x > 0)
    scalar: Rule | None  # the same on Python floats, faster

    @cached_property
    def options(self) -> dict[str, bool]:
        """Keyword options of the rules (``axis``), and whether they may come by position."""
        rule = next(vjp for vjp in self.vjps if vjp)
        taken = list(inspect.signature(rule).parameters.values())[2:]
        return {
            p.name: p.kind is not p.KEYWORD_ONLY
            for p in taken
            if p.default is not p.empty or p.kind is p.KEYWORD_ONLY
        }

    @cached_property
    def arity(self) -> int | None:
        """The number of array arguments; None for any."""
        return len(self.vjps) if isinstance(self.vjps, tuple) else None

    @cached_property
    def constants(self) -> tuple[int, ...]:
        """The positions where no gradient flows."""
        return tuple(i for i in range(self.arity or 0) if tuple(self.vjps)[i] is None)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Record the operation if an argument is a `Value`; on plain data, just compute it."""
        for arg in (*args, *kwargs.values()):
            if record := getattr(arg, "_record", None):
                return record(self, args, kwargs)
        return self.fn(*args, **kwargs)


TABLE: dict[Any, Primitive] = {}  # NumPy function, or user's function -> its record


class Each:
    """One rule for any number of arguments; it receives the position of its own, first."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule

    def __iter__(self) -> Iterator[Rule]:
        return (partial(self.rule, i) for i in count())


def primitive(
    *rules: Any,
    latex: str | None = None,
    domain: tuple[Interval, ...] | None = None,
    piece: Rule | None = None,
    scalar: Rule | None = None,
    fn: Rule | None = None,
    name: str | None = None,
) -> Callable[[Rule], Primitive]:
    r"""Register a function as an operation of the graph, with one VJP an argument.

    Parameters
    ----------
    *rules : a VJP ``(g, out, *args)``, or a pair of it and its LaTeX, or None where no gradient
        flows. An option of the function (``axis=None``) reaches each VJP by keyword.
    latex, domain, piece, scalar, name : see `Primitive`.
    fn : what to compute, where that is not the function registered.

    Returns
    -------
    A decorator, for a new function or for one of NumPy's that has no rule yet:
    ``primitive(lambda g, out, x: g * np.cos(x))(np.sin)`` lets ``np.sin`` work on `Value`s.

    Raises
    ------
    TypeError
        If there is no VJP, or one is not callable.

    Examples
    --------
    >>> import tinygrad_ce as tg
    >>> cube = tg.primitive(lambda g, out, x: g * 3 * x**2, name="cube")(lambda x: x**3)
    >>> x = tg.Value(2.0); cube(x).backward(); x.grad
    12.0
    """
    reads = r"<g> \cdot \partial"
    pairs = [r if isinstance(r, tuple) and len(r) == 2 else (r, reads) for r in rules]
    each = bool(pairs) and isinstance(pairs[0][0], Each)
    vjps = pairs[0][0] if each else tuple(vjp for vjp, _ in pairs)
    if not each and (not any(vjps) or not all(vjp is None or callable(vjp) for vjp in vjps)):
        raise TypeError(f"primitive() takes one VJP (g, out, x, ...) an argument; got {rules!r}")

    def register(function: Rule) -> Primitive:
        if not callable(function):
            raise TypeError(f"primitive(vjp, ...) registers a function; got {function!r}")
        title = name or function.__name__
        reads = (latex or rf"\operatorname{{{title}}}(<x>)", *(text for _, text in pairs))
        TABLE[function] = Primitive(title, fn or function, vjps, reads, domain, piece, scalar)
        return TABLE[function]

    return register
