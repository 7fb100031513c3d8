"""How to add an operation: `primitive`."""

from __future__ import annotations

from collections.abc import Callable
from itertools import zip_longest
from typing import Any

from .operation import Each, Primitive, Rule, define
from .text import _


def primitive(
    *rules: Any,
    latex: str | None = None,
    name: str | None = None,
    **fields: Any,
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
    reads = [rf"<g> \cdot \frac{{\partial <out>}}{{\partial <{x}>}}" for x in "xyz"]
    pairs = [
        rule if rule is None or (rule.__class__ is tuple and len(rule) == 2) else (rule, text)
        for rule, text in zip_longest(rules, reads[: len(rules)], fillvalue=r"<g> \cdot \partial")
    ]
    vjps = [pair[0] for pair in pairs if pair]
    if not vjps or not all(callable(vjp) or isinstance(vjp, Each) for vjp in vjps):
        text = "primitive() takes one VJP (g, out, x, ...) an argument; got {rules}"
        raise TypeError(_(text, rules=rules))

    def register(function: Rule) -> Primitive:
        if not callable(function):
            text = "primitive(vjp, ...) registers a function; got {got}"
            raise TypeError(_(text, got=repr(function)))
        title = name or function.__name__
        default = rf"\operatorname{{{title}}}({', '.join(['<x>', '<y>', '<z>'][: len(rules)])})"
        return define(function, latex or default, *pairs, name=title, **fields)

    return register
