"""A name for every node."""

from __future__ import annotations

from tinygrad_ce import Value, topological
from tinygrad_ce.engine.names import names


def test_names_are_the_users_or_the_operations_and_unique() -> None:
    x, y = Value(1.0, name="x"), Value(2.0)
    nodes = topological((x + y) * (x + y))
    assert list(names(nodes).values()) == ["x", "leaf", "add_1", "add_2", "multiply"]
