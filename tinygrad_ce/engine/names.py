"""A readable name for every node of a graph, the same in every run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from .value import Value


def names(nodes: Sequence[Value]) -> dict[Value, str]:
    """Name nodes: the user's name where there is one, else the operation or "leaf".

    What would stand twice is numbered, in the order of ``nodes``: exp_1, exp_2.

    Examples
    --------
    >>> from tinygrad_ce import Value, topological
    >>> x = Value(1.0, name="x")
    >>> list(names(topological(x.exp() + x.exp())).values())
    ['x', 'exp_1', 'exp_2', 'add']
    """
    plain = [node.name or (node.op.name if node.op else "leaf") for node in nodes]
    often, seen = Counter(plain), Counter[str]()
    found = {}
    for node, name in zip(nodes, plain):
        seen[name] += 1
        found[node] = f"{name}_{seen[name]}" if often[name] > 1 else name
    return found
