"""What an operation is: `Primitive`, one record of all that is known of it."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from .text import require

Rule = Callable[..., Any]
Interval = tuple[float, float]
REAL: Interval = (-math.inf, math.inf)
POSITIVE: Interval = (0.0, math.inf)
TABLE: dict[Any, Primitive] = {}  # a NumPy function, or a user's -> its record
SPELLINGS: dict[Any, Rule] = {}  # a NumPy function -> how a call of it is written in operations


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
    latex: tuple[str, ...]  # the operation, then its rules; <x> <y> <z> <args> <arg> <out> <g> <op>
    domain: tuple[Interval, ...] | None = None  # of each argument: where rules hold, and smooth ...
    piecewise: bool = False  # ... but for borders between pieces (of abs: x < 0 and x > 0)
    scalar: Rule | None = None  # the same on Python floats, faster
    roles: tuple[str, ...] = ()  # what arguments are, where exchanging them changes the result
    plain: bool = False  # its result carries no gradient: on `Value`s it reads the data
    direct: bool = False  # no spelling is needed where all that is given is what its rules take
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
    # What learners write, as it reads and as it is computed:
    instead: Sequence[tuple[str, Rule]] = ()  # in its place, of the same arguments
    slips: Sequence[tuple[str, Rule]] = ()  # for the slope by its first argument

    @cached_property
    def arity(self) -> int | None:
        """The number of array arguments; None for any."""
        return None if isinstance(self.vjps, Each) else len(self.vjps)

    @cached_property
    def constants(self) -> tuple[int, ...]:
        """The positions where no gradient flows."""
        return tuple(i for i in range(self.arity or 0) if not self.vjps[i])

    @cached_property
    def simple(self) -> int:
        """The number of arguments, if it is no more than so many, each with a rule; else -1."""
        return len(self.vjps) if self.arity and not self.constants and not self.keeps else -1

    @cached_property
    def signature(self) -> inspect.Signature:
        """How it is called: its arguments, then its options, as the rules take them."""
        rule = next(vjp for vjp in self.vjps if vjp)
        taken = list(inspect.signature(rule).parameters.values())[2:]
        if every := any(p.kind is p.VAR_KEYWORD for p in taken):  # the function's own, then
            taken = list(inspect.signature(self.fn).parameters.values())
        plain = [p.replace(annotation=p.empty) for p in taken if p.name != "saved"]
        n = len(plain) if self.arity is None else self.arity
        needed = (inspect.Parameter.empty, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        return inspect.Signature(
            plain[:n] + [p for p in plain[n:] if every or (p.default, p.kind) != needed]
        )

    @cached_property
    def options(self) -> dict[str, Any]:
        """Its keyword options (``axis``), in order, and their defaults."""
        named = [p for p in self.signature.parameters.values() if p.kind is not p.VAR_POSITIONAL]
        return {p.name: p.default for p in named[self.arity or 0 :]}

    def takes(self, args: tuple[Any, ...], options: dict[str, Any]) -> bool:
        """Whether a call needs no spelling, as all in it means the same to the record."""
        return self.direct and len(args) == self.arity and options.keys() <= self.options.keys()

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Compute it; an argument that records operations (a `Value`) records this one."""
        for arg in (*args, *options.values()):
            if hasattr(arg, "apply_primitive"):
                return arg.apply_primitive(self, args, options)
        return self.fn(*args, **options)

    def __deepcopy__(self, memo: Any) -> Primitive:
        return self


def define(function: Rule, latex: str, *rules: Any, name: str = "", **fields: Any) -> Primitive:
    """Put the record of a function into the table; a rule is a VJP, it and its LaTeX, or None."""
    name = name or function.__name__
    reads = [latex or "<op>(<args>)"]
    vjps: list[Any] = []
    for rule in rules:
        usual = "0" if rule is None else r"<g> \cdot \frac{\partial <out>}{\partial <arg>}"
        vjp, read = rule if rule.__class__ is tuple else (rule, usual)
        vjps.append(vjp)
        reads.append(read)
    table: Any = vjps[0] if vjps and isinstance(vjps[0], Each) else tuple(vjps)
    fields = {"fn": function, "domain": (REAL,) * len(rules) or None, **fields}
    SPELLINGS.pop(function, None)  # a user's record counts
    made = TABLE[function] = Primitive(function, name, vjps=table, latex=tuple(reads), **fields)
    return made


def spell(owner: Any, **spellings: Rule) -> None:
    """Say how calls of functions are written in operations, by the functions' names in a module.

    What the module of an older NumPy lacks is left out.
    """
    for name, spelling in spellings.items():
        if (function := getattr(owner, name, None)) is not None:
            SPELLINGS[function] = spelling


def primitive(
    *rules: Any, latex: str = "", name: str = "", **fields: Any
) -> Callable[[Rule], Primitive]:
    r"""Register a function as an operation of the graph, with one VJP an argument.

    Parameters
    ----------
    *rules : a VJP ``(g, out, *args)``, or a pair of it and its LaTeX, or None where no gradient
        flows. An option of the function (``axis=None``) reaches each VJP by keyword.
    latex, name, **fields : see `Primitive`; ``fn`` is what to compute, where that is not the
        function registered.

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
    vjps = [rule[0] if rule.__class__ is tuple and len(rule) == 2 else rule for rule in rules]
    fit = any(vjps) and all(v is None or callable(v) or isinstance(v, Each) for v in vjps)
    text = "primitive() takes one VJP (g, out, x, ...) an argument; got {rules}"
    require(fit, text, TypeError, rules=rules)

    def register(function: Rule) -> Primitive:
        text = "primitive(vjp, ...) registers a function; got {got}"
        require(callable(function), text, TypeError, got=repr(function))
        return define(function, latex, *rules, name=name, **{"domain": None, **fields})

    return register
