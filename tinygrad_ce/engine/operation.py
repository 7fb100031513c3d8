"""What an operation is: `Primitive`, one record of all that is known of it."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from .text import _

Rule = Callable[..., Any]
Interval = tuple[float, float]
REAL: Interval = (-math.inf, math.inf)
POSITIVE: Interval = (0.0, math.inf)
_USUAL = {np.ndarray, float, int, bool, tuple, type(None)}  # these record nothing
TABLE: dict[Any, Primitive] = {}  # a NumPy function, or a user's -> its record


class Each:
    """One rule for any number of arguments; it receives the position of its own, first."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule

    def __getitem__(self, k: int) -> Rule:
        return partial(self.rule, k)


@dataclass(frozen=True, eq=False)
class Primitive:
    """One operation: its function, one VJP an argument, how they read, and where they hold."""

    function: Rule  # what is called: NumPy's function, or the user's
    name: str
    fn: Rule  # what computes it
    vjps: Any  # a tuple, with None where no gradient flows, or `Each`
    latex: tuple[str, ...]  # the operation, then its rules; <x> <y> <z> <out> <g> are filled in
    domain: tuple[Interval, ...] | None = None  # of each argument: where rules hold, and smooth ...
    piece: Rule | None = None  # ... but for the borders of these pieces (of abs: x < 0 and x > 0)
    scalar: Rule | None = None  # the same on Python floats, faster
    roles: tuple[str, ...] = ()  # what arguments are, where exchanging them changes the result
    plain: bool = False  # its result carries no gradient: on `Value`s it reads the data
    spelling: Rule | None = None  # how NumPy's way to call it is written in operations
    keeps: bool = False  # whether fn fills a dict, ``saved=``, that its VJPs receive
    # What programs need to rewrite it:
    terms: tuple[float, ...] = ()  # it is the sum of its arguments times these
    powers: tuple[float, ...] = ()  # it is the product of its arguments to these powers
    linear: Sequence[int] = ()  # the arguments in which it is linear, the others fixed
    moves: bool = False  # its entries are entries of linear arguments
    entrywise: bool = False  # each entry rests on one of each argument; a ufunc's do anyway
    even: bool = False  # f(-x) is f(x)
    positive: bool = False  # its entries are above 0
    # How programs print it:
    symbol: str = ""  # Python's operator for it; its precedence is Python's
    number: Any = ""  # on Python numbers, as a template, or what to call instead; "" for math's own
    follows: str = "data"  # its shape from "shapes" alone, as all of it, or from data ("count")

    @cached_property
    def arity(self) -> int | None:
        """The number of array arguments; None for any."""
        return None if isinstance(self.vjps, Each) else len(self.vjps)

    @cached_property
    def constants(self) -> tuple[int, ...]:
        """The positions where no gradient flows."""
        return tuple(i for i in range(self.arity or 0) if not self.vjps[i])

    @cached_property
    def options(self) -> dict[str, bool]:
        """Keyword options of the rules (``axis``), and whether they may come by position."""
        rule = next(vjp for vjp in self.vjps if vjp)
        taken = list(inspect.signature(rule).parameters.values())[2:]
        if any(p.kind is p.VAR_KEYWORD for p in taken):  # the function's own, then
            taken = list(inspect.signature(self.fn).parameters.values())
        return {
            p.name: p.kind is not p.KEYWORD_ONLY
            for p in taken
            if (p.default is not p.empty or p.kind is p.KEYWORD_ONLY) and p.name != "saved"
        }

    def bind(self, args: tuple[Any, ...], options: dict[str, Any]) -> tuple[Any, Any]:
        """Tell arrays from options given by position, and refuse options that no rule takes."""
        n = len(args) if self.arity is None else self.arity
        if len(args) > n:
            by_position = [option for option, positional in self.options.items() if positional]
            if len(args) - n > len(by_position):
                text = _("{op} takes {n} arrays; give its options by keyword", op=self.name, n=n)
                raise TypeError(text)
            options = {**dict(zip(by_position, args[n:])), **options}
        if unknown := [option for option in options if option not in self.options]:
            text = "{op}: {option}= does not work on Values; what does: {known}"
            known = [*self.options] or None
            raise TypeError(_(text, op=self.name, option=unknown[0], known=known))
        if not args or len(args) < n:
            text = "{op} takes {n} arrays by position, got {got}"
            raise TypeError(_(text, op=self.name, n=n or "some", got=len(args)))
        return args[:n], options

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Compute it; an argument that records operations (a `Value`) records this one."""
        for arg in (*args, *options.values()):
            if arg.__class__ not in _USUAL and hasattr(arg, "apply_primitive"):
                return arg.apply_primitive(self, args, options)
        return self.fn(*args, **options)

    def __deepcopy__(self, memo: Any) -> Primitive:
        return self


def define(function: Rule, latex: str, *rules: Any, name: str = "", **fields: Any) -> Primitive:
    """Put the record of a function into the table; a rule is a VJP and its LaTeX, or None."""
    vjps: Any = tuple(rule and rule[0] for rule in rules)
    vjps = vjps[0] if vjps and isinstance(vjps[0], Each) else vjps
    reads = (latex, *(rule[1] if rule else "0" for rule in rules))
    fn = fields.pop("fn", function)
    made = Primitive(function, name or function.__name__, fn, vjps, reads, **fields)
    TABLE[function] = made
    return made
