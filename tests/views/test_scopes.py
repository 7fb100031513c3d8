"""Scopes: which nodes were made inside which ``with`` block."""

from __future__ import annotations

import random
from contextlib import suppress

import pytest

from tinygrad_ce import Value, scope
from tinygrad_ce.views.drawing import boxes


def scopes(node: Value) -> tuple[str, ...]:
    return tuple(boxes([node])[0])


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


def test_a_function_can_be_a_scope_each_call_its_own() -> None:
    @scope("layer")
    def layer(x: Value) -> Value:
        return x * 2.0

    first = layer(Value(1.0))
    names, inside = boxes([first, layer(first)])
    assert names == ["layer", "layer"]
    assert list(inside.values()) == [(0,), (1,)]


def test_each_node_has_the_scopes_that_were_open() -> None:
    draws = random.Random(0)
    wanted: dict[Value, tuple[str, ...]] = {}

    def grow(depth: int, names: tuple[str, ...] = ()) -> None:
        for i in range(draws.randrange(4)):
            wanted[Value(1.0)] = names
            if depth:
                name = f"{len(wanted)}-{i}"
                with scope(name):
                    grow(depth - 1, (*names, name))

    for _ in range(10):
        grow(4)
    nodes = list(wanted)
    draws.shuffle(nodes)
    assert len(nodes) > 50
    every, inside = boxes(nodes)
    assert {node: tuple(every[j] for j in inside[node]) for node in nodes} == wanted


def test_a_training_loop_does_not_fill_the_memory() -> None:
    with scope("first"):
        x = Value(1.0)
    for i in range(10_000):
        assert i or scopes(x) == ("first",)
        with scope("step"):
            pass
    assert scopes(x) == ()
    with scope("last"):
        x = Value(1.0)
    assert scopes(x) == ("last",)


def test_a_scope_wants_a_name() -> None:
    with pytest.raises(TypeError, match="wanted a name"), scope(3):  # type: ignore[arg-type]
        pass
