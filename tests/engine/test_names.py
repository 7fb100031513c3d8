"""Names, and scopes: which nodes were made inside which ``with`` block."""

from __future__ import annotations

import random
from contextlib import suppress

import pytest

from tinygrad_ce import Value, scope, topological
from tinygrad_ce.engine.names import names
from tinygrad_ce.views.scopes import Box, _closed, _open, boxes, scopes


def test_names_are_the_users_or_the_operations_and_unique() -> None:
    x, y = Value(1.0, name="x"), Value(2.0)
    nodes = topological((x + y) * (x + y))
    assert list(names(nodes).values()) == ["x", "leaf", "add_1", "add_2", "multiply"]


def test_scopes_nest_and_end() -> None:
    with scope("model"):
        a = Value(1.0)
        with scope("layer"):
            b = a + 1.0
        c = b + 1.0
    d = c + 1.0
    assert [scopes(node) for node in (a, b, c, d)] == [
        ("model",),
        ("model", "layer"),
        ("model",),
        (),
    ]


def test_a_scope_is_seen_from_inside_and_ends_with_an_error() -> None:
    made = []
    with suppress(ZeroDivisionError), scope("broken"):
        made.append(Value(1.0))
        assert scopes(made[0]) == ("broken",)
        raise ZeroDivisionError
    assert scopes(made[0]) == ("broken",)
    assert scopes(Value(1.0)) == ()
    assert not _open


def test_a_function_can_be_a_scope_each_call_its_own() -> None:
    @scope("layer")
    def layer(x: Value) -> Value:
        return x * 2.0

    first = layer(Value(1.0))
    found = boxes([first, layer(first)])
    assert [[box.name for box in inside] for inside in found.values()] == [["layer"], ["layer"]]
    assert len({box for inside in found.values() for box in inside}) == 2


def test_the_sweep_finds_what_a_search_of_every_scope_finds() -> None:
    draws, nodes = random.Random(0), []

    def grow(depth: int) -> None:
        for _ in range(draws.randrange(4)):
            nodes.append(Value(1.0))
            if depth:
                with scope(f"level {depth}"):
                    grow(depth - 1)

    for _ in range(10):
        grow(4)
    draws.shuffle(nodes)

    def search(node: Value) -> list[Box]:
        inside = [box for box in _closed if box.start < node.number < box.stop]
        return sorted(inside, key=lambda box: box.start)

    assert len(nodes) > 50
    assert boxes(nodes) == {node: tuple(search(node)) for node in nodes}


def test_a_training_loop_does_not_fill_the_memory() -> None:
    for _ in range(12_000):
        with scope("step"):
            pass
    assert len(_closed) == 10_000
    with scope("last"):
        x = Value(1.0)
    assert scopes(x) == ("last",)


def test_a_scope_wants_a_name() -> None:
    with pytest.raises(TypeError, match="wanted a name"), scope(3):  # type: ignore[arg-type]
        pass
