"""A walk as `step_through` returns it: as text, in a notebook, as one page."""

from __future__ import annotations

import os
from dataclasses import replace
from html import escape
from typing import Any
from unicodedata import combining, east_asian_width

import numpy as np

from ..engine.text import _
from ..engine.value import Value
from ..programs.files import replace_file
from .drawing import SHOW, draw
from .formulas import spell
from .page import page
from .walk import Walk, Walker

NO_VALUE = "step_through: got {got} for {what}, wanted a Value, the result of computing with Values"
NO_LEAF = (
    "step_through: fused shares no leaf with the loss, so there is no gradient to compare; "
    "compute both from the same Values"
)
UNTRUSTED = "The page of the steps shows here once you trust this notebook or run this cell."


class Steps(Walk):
    """The steps of a walk: print them as a table, save or show them as one page.

    Attributes
    ----------
    nodes : the name of every node, in `topological` order
    drawing : the picture of the graph, without the gradients, which the walk is to find
    fused, difference : the walk over the fused form of the same loss, if one was given, and the
        largest difference between the two gradients of the leaves they share
    """

    def __repr__(self) -> str:
        rows = [("step", "phase", "node", "to", "rule", "before", "after")]
        for s in self:
            before = "" if s.before is None else spell(s.before)
            row = (str(s.number), s.phase, s.node, s.target or "", s.words, before, spell(s.after))
            rows.append(row)
        widths = [max(map(_columns, column)) for column in zip(*rows)]
        return "\n".join(
            "  ".join(cell + " " * (w - _columns(cell)) for cell, w in zip(row, widths)).rstrip()
            for row in rows
        )

    def latex(self) -> str:
        """Return the rules as LaTeX, one line a step."""
        lines = " \\\\\n".join(f"& {step.latex}" for step in self)
        return f"\\begin{{aligned}}\n{lines}\n\\end{{aligned}}"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the page, one HTML file that loads nothing; an existing one is replaced at once."""
        replace_file(path, page(self).encode())

    def _repr_html_(self) -> str:
        style = "width: 100%; height: 48rem; border: 0"
        # Jupyter takes the frame out of a notebook that it does not trust, and leaves the sentence.
        return (
            f'<iframe title="Steps" style="{style}" srcdoc="{escape(page(self))}">{_(UNTRUSTED)}'
            f"</iframe><details><summary>The steps as text</summary><pre>{escape(str(self))}</pre>"
            "</details>"
        )


def _columns(text: str) -> int:
    """Return how many columns of a terminal a text takes: Korean letters two, accents none."""
    wide = sum(east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(map(bool, map(combining, text)))


def step_through(loss: Value, gradient: Any = None, *, fused: Value | None = None) -> Steps:
    """Walk through a graph: each node's value, then each gradient, edge by edge.

    The walk computes everything itself: no ``.grad`` is read or changed.

    Parameters
    ----------
    loss : the node to start from
    gradient : float or array of its shape; a node of more than one entry needs it
        The upstream gradient to start from; 1 by default.
    fused : the same loss as one `LogSoftmaxNLL` node or otherwise, of the same leaves
        Its walk is shown beside this one.

    Returns
    -------
    `Steps`, a sequence of `Step`: ``print`` it, index and slice it, ``save("steps.html")`` it. In
    a notebook it is that page.

    Raises
    ------
    TypeError
        If ``loss`` or ``fused`` is no `Value`.
    ValueError
        If a node with more than one entry gets no ``gradient``, or one of another shape; if
        ``fused`` has no leaf of ``loss``.
    StaleGraphError
        If the data of a leaf was assigned after it was used.

    Examples
    --------
    >>> x = Value(3.0, name="x")
    >>> print(step_through(x * x))
    step  phase     node      to        rule                                   before  after
    1     forward   x                   x = 3                                          3
    2     forward   multiply            multiply = x · x = 3 · 3 = 9                   9
    3     backward  multiply  multiply  ∂L/∂multiply = 1                               1
    4     backward  multiply  x         ∂L/∂x = ∂L/∂multiply · x = 1 × 3 = 3           3
    5     backward  multiply  x         ∂L/∂x += ∂L/∂multiply · x = 1 × 3 = 3  3       6
    """
    for what, value in (("loss", loss), ("fused", fused)):
        if not isinstance(value, Value) and (what == "loss" or value is not None):
            raise TypeError(_(NO_VALUE, got=type(value).__name__, what=what))
    walk = Walker(loss, gradient)
    if fused is None:
        return _steps(walk)
    other = Walker(fused, gradient)
    shared = [v for v in walk.order if v.op is None and v in other.last]
    if not shared:
        raise ValueError(_(NO_LEAF))
    with np.errstate(all="ignore"):
        off = [np.max(abs(walk.last[v].after - other.last[v].after), initial=0.0) for v in shared]
    return replace(_steps(walk), fused=_steps(other), difference=float(np.max(off)))


def _steps(walk: Walker) -> Steps:
    drawing = draw(walk.order[-1], show=[part for part in SHOW if part != "gradient"])
    return Steps(tuple(walk.steps), tuple(walk.called.values()), drawing)
