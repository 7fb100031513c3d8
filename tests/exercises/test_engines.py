"""Exercises in which the learner writes a part of an engine: it is tried on drawn graphs."""

from __future__ import annotations

from copy import copy
from pathlib import Path
from typing import Any

import pytest
from conftest import need, some_quick
from helpers.answers import answer_of

from tinygrad_ce import __main__ as tour
from tinygrad_ce.exercises import engine_backward, engine_order


def sorted_nodes(loss: Any) -> list[Any]:
    return answer_of("engine_order")(loss)


def backward(
    loss: Any, order: Any = sorted_nodes, clear: Any = None, seed: float = 1.0, add: bool = True
) -> None:
    """As a learner writes it; each argument spoils something."""
    nodes = order(loss)
    for node in nodes:
        if clear(node) if clear else node.parents:
            node.grad = 0.0
    loss.grad += seed
    for node in reversed(nodes):
        for parent, slope in zip(node.parents, node.slopes):
            parent.grad = (parent.grad if add else 0.0) + slope * node.grad


def breadth_first(loss: Any) -> list[Any]:
    queue, seen = [loss], {loss}
    for node in queue:
        for parent in node.parents:
            if parent not in seen:
                seen.add(parent)
                queue.append(parent)
    return queue[::-1]


def on_the_way_down(loss: Any) -> list[Any]:
    stack, nodes = [loss], []
    while stack:
        node = stack.pop()
        if node not in nodes:
            nodes.append(node)
            stack += node.parents[::-1]
    return nodes[::-1]


def in_a_set(loss: Any) -> None:
    nodes = sorted_nodes(loss)
    for node in nodes:
        node.grad = 0.0 if node.parents else node.grad
    loss.grad += 1.0
    for node in reversed(nodes):
        slopes = dict(zip(node.parents, node.slopes))
        for parent in set(node.parents):
            parent.grad += slopes[parent] * node.grad


def at_once(loss: Any) -> None:
    loss.grad = 1.0
    stack = [loss]
    while stack:
        node = stack.pop()
        for parent, slope in zip(node.parents, node.slopes):
            parent.grad += slope * node.grad
            stack.append(parent)


WRONG = {
    "shares overwritten": lambda loss: backward(loss, add=False),
    "handed on too early": lambda loss: backward(loss, order=breadth_first),
    "handed on too early, depth first": lambda loss: backward(loss, order=on_the_way_down),
    "handed on again with every share": at_once,
    "gradients of a pass before": lambda loss: backward(loss, clear=lambda node: False),
    "leaves cleared": lambda loss: backward(loss, clear=lambda node: True),
    "a parent that stands twice counted once": in_a_set,
    "started from 0": lambda loss: backward(loss, seed=0.0),
    "from the leaves to the loss": lambda loss: backward(
        loss, order=lambda loss: sorted_nodes(loss)[::-1]
    ),
}
WRONG_ORDERS = {
    "a node before one of its parents": breadth_first,
    "a node noted on the way down": on_the_way_down,
    "the loss first": lambda loss: sorted_nodes(loss)[::-1],
    "the loss forgotten": lambda loss: sorted_nodes(loss)[:-1],
}


@pytest.mark.parametrize("mistake", some_quick(WRONG, 3))
def test_the_mistakes_of_a_first_engine_are_named(mistake: str) -> None:
    for seed in (0, 99):
        assert engine_backward.check(WRONG[mistake], seed=seed).mistake == mistake


@pytest.mark.parametrize("mistake", WRONG_ORDERS)
def test_wrong_orders_are_named(mistake: str) -> None:
    for seed in (0, 99):
        assert engine_order.check(WRONG_ORDERS[mistake], seed=seed).mistake == mistake


def test_an_engine_that_clears_nothing_but_the_loss_is_told_so() -> None:
    def fresh(loss: Any) -> None:
        loss.grad = 0.0
        backward(loss, clear=lambda node: False)

    for seed in (0, 99):
        assert engine_backward.check(fresh, seed=seed).mistake == "gradients of a pass before"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda nodes: [x for x in nodes if x.parents], "your list lacks 1 of the nodes"),
        (lambda nodes: nodes.reverse(), "returns NoneType, wanted a list of nodes"),
        (lambda nodes: [x.data for x in nodes], "a float in your list that is no node"),
        (lambda nodes: [copy(x) for x in nodes], "a Node in your list that is no node"),
    ],
)
def test_lists_that_are_not_of_all_nodes_are_told_so(change: Any, said: str) -> None:
    feedback = engine_order.check(lambda loss: change(sorted_nodes(loss)))
    assert not feedback.passed
    assert said in feedback.message


@pytest.mark.parametrize("grad", [None, "1.0"])
def test_gradients_that_are_no_numbers_are_told_so(grad: Any) -> None:
    def put(loss: Any) -> None:
        for node in sorted_nodes(loss):
            node.grad = grad

    said = f"the .grad of a leaf is {type(grad).__name__}, wanted a number"
    assert said in engine_backward.check(put).message


def test_other_right_orders_and_engines_pass() -> None:
    def by_counting(loss: Any) -> list[Any]:
        waiting = dict.fromkeys(sorted_nodes(loss), 0)
        for node in waiting:
            for parent in node.parents:
                waiting[parent] += 1
        ready, nodes = [loss], []
        for node in ready:
            nodes.append(node)
            for parent in node.parents:
                waiting[parent] -= 1
                ready += [parent] * (waiting[parent] == 0)
        return nodes[::-1]

    assert engine_order.check(by_counting).passed
    assert engine_backward.check(lambda loss: backward(loss, order=by_counting)).passed


def test_functions_that_call_themselves_are_told_of_deep_graphs() -> None:
    def order(node: Any) -> list[Any]:
        nodes: list[Any] = []
        for parent in node.parents:
            nodes += [x for x in order(parent) if x not in nodes]
        return [*nodes, node]

    feedback = engine_order.check(order)
    assert not feedback.passed
    assert "3000 nodes in a row are too many for a function that calls itself" in feedback.message


def test_the_smallest_graph_that_breaks_it_is_written_and_drawn() -> None:
    feedback = engine_backward.check(WRONG["shares overwritten"])
    text = str(feedback)
    assert "  a = " in text
    assert feedback.example is not None
    assert len(feedback.example.inputs["steps"]) <= 3
    loss = engine_backward.try_it(feedback.example.seed)
    assert loss.parents
    need("pygraphviz")
    card = feedback._repr_html_()
    assert "<svg" in card
    assert "gradient" in card


@pytest.mark.slow
def test_a_file_with_an_engine_is_checked(capsys: Any, tmp_path: Path) -> None:
    path = tmp_path / "answer.py"
    path.write_text(engine_backward.source, encoding="utf-8")
    assert tour.main(["exercise", "engine_backward", "--file", str(path)]) == 0
    path.write_text(engine_backward.source.replace("+= slope", "= slope"), encoding="utf-8")
    assert tour.main(["exercise", "engine_backward", "--file", str(path)]) == 1
    assert "Known mistake: shares overwritten" in capsys.readouterr().out
