"""Named groups of nodes, for pictures: the nodes made in a ``with scope(...)`` block."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ..engine.text import _
from ..engine.value import Value, numbers


@dataclass(eq=False, slots=True)
class Box:
    """One time that a scope was entered: the nodes numbered between ``start`` and ``stop``."""

    name: str
    start: int
    stop: float = math.inf


_boxes: deque[Box] = deque(maxlen=10_000)  # a training loop may enter scopes for days


@contextmanager
def scope(name: str) -> Iterator[None]:
    """Group the nodes made in a ``with`` block, for pictures: a labelled box, or one node.

    Scopes nest. Only the last 10,000 are remembered; nodes know nothing of them.

    Parameters
    ----------
    name : what the box is called

    Raises
    ------
    TypeError
        If the name is no text.

    Examples
    --------
    >>> from tinygrad_ce import draw
    >>> z = Value([1.0, 2.0], name="z")
    >>> with scope("softmax"):
    ...     p = z.exp() / z.exp().sum()
    >>> print(draw(p.max(), show=["op"], collapse=["softmax"]))
    max  (max)
      softmax  (4 nodes)
        z  (leaf)
    """
    if not isinstance(name, str):
        raise TypeError(_('scope: got {got!r}, wanted a name, as in scope("softmax")', got=name))
    box = Box(name, next(numbers))
    _boxes.append(box)
    try:
        yield
    finally:
        box.stop = next(numbers)


def boxes(nodes: Iterable[Value]) -> tuple[list[str], dict[Value, tuple[int, ...]]]:
    """Name the scopes that nodes were made in; and give each node the places of its own there.

    Outermost first; in one sweep over nodes and scopes.
    """
    waiting = sorted(_boxes, key=lambda box: box.start, reverse=True)
    inside: list[Box] = []
    place: dict[Box, int] = {}
    found = {}
    for node in sorted(nodes, key=lambda node: node.number):
        while waiting and waiting[-1].start < node.number:
            inside.append(waiting.pop())
        inside = [box for box in inside if box.stop > node.number]
        found[node] = tuple(place.setdefault(box, len(place)) for box in inside)
    return [box.name for box in place], found
