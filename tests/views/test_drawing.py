"""What a picture shows of a graph."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import need
from helpers.graphs import chain, groups, textbook, words

from tinygrad_ce import (
    Value,
    cross_entropy,
    draw,
    fuse,
    grad_of,
    primitive,
    scope,
    step_through,
    topological,
)
from tinygrad_ce.engine.operation import TABLE
from tinygrad_ce.views.formulas import summarise as entries
from tinygrad_ce.views.picture import FORMS, Drawing


def item(drawing: Drawing, name: str) -> Any:
    (found,) = [item for item in drawing.items if item.name == name]
    return found


def facts(drawing: Drawing, name: str) -> str:
    return "; ".join(item(drawing, name).facts)


# What a node shows


def test_a_node_shows_name_operation_dtype_shape_value_and_gradient() -> None:
    p = groups(draw(textbook()))["node"]["node-3"]
    assert words(p) == [
        "p",
        "divide · float64 (3,)",
        "value [0.8218, 0.1229, 0.05523]",  # softmax of 3.2, 1.3, 0.5
        "gradient [−1.217, 0, 0]",  # −1 / 0.8218
    ]


def test_show_chooses() -> None:
    drawing = draw(textbook(), show=["value"])
    assert facts(drawing, "p") == "value [0.8218, 0.1229, 0.05523]"
    assert not any(edge.role for edge in drawing.edges)
    assert [i.facts for i in draw(Value(2.0, name="x"), show="gradient").items] == [
        ("gradient: no backward yet",)
    ]


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (2.0 / 3.0, "0.6667"),
        (123456.0, "1.235e+05"),
        (-0.0, "0"),
        (np.array([1.0, -2.0]), "[1, −2]"),
        (np.array([[1.0, 2.0], [3.0, 4.0]]), "[[1, 2], [3, 4]]"),
        (np.arange(12.0).reshape(3, 4), "0 … 11, mean 5.5"),
        (np.full((3, 4), 0.25), "all 0.25"),
        (np.array([np.nan, *range(8)]), "0 … 7 and 1 nan"),
        (np.array([np.inf, *range(8), np.nan, np.inf]), "0 … 7 and 2 inf, 1 nan"),
        (np.array([np.inf, -np.inf] * 5), "5 −inf, 5 inf"),
        (np.full(8, np.nan), "all nan"),
        (np.full(8, -np.inf), "all −inf"),
        (np.zeros((0, 3)), "[]"),
        (True, "1"),
    ],
)
def test_numbers_have_four_digits_and_large_arrays_range_and_mean(x: Any, text: str) -> None:
    assert entries(x) == text


def test_a_constant_has_its_own_node_with_shape_if_it_is_large() -> None:
    big = np.arange(12.0).reshape(3, 4)
    drawing = draw(Value(1.0) * 2.5 + big)
    constants = {i.id: i.facts for i in drawing.items if i.look == "constant"}
    assert constants == {
        "const-1-1": ("constant 2.5",),
        "const-2-1": ("constant float64 (3, 4): 0 … 11, mean 5.5",),
    }


def test_options_are_shown_but_not_the_fused_nodes_store() -> None:
    loss = cross_entropy(Value([[1.0, 2.0]]), np.array([0]))
    text = facts(draw(loss), "loss")
    assert "label_smoothing=0.0" in text
    assert "saved" not in text
    assert "sum(axis=0)" in facts(draw(Value(np.eye(2)).sum(axis=0)), "sum")
    picked = Value(np.arange(9.0))[np.arange(8)]
    assert "getitem(index=array([0, ..., 7]" in facts(draw(picked), "picked")  # in brief


@pytest.mark.parametrize(
    ("index", "shown"),
    [
        ((slice(None), np.array([1, 0])), r"\(slice\(.*\), array\(\[1, 0\]\)\)"),
        ((np.arange(8), -1), r"\(array\(\[0, \.\.\., 7\].*\), -1\)"),
        (
            (np.arange(8)[:, None], np.array([1, 0])),
            r"\(array\(\[\[0\], \.\.\., \[7\]\].*\), array\(\[1, 0\]\)\)",
        ),
        ((np.arange(8) > 6,), r"\(array\(\[False, \.\.\., True\].*\),\)"),
    ],
)
def test_an_index_whose_parts_differ_in_shape_is_shown(index: Any, shown: str) -> None:
    picked = Value(np.eye(8))[index]
    assert re.search(rf"getitem\(index={shown}\) · ", facts(draw(picked), "picked"))
    assert "picked" in str(step_through(picked.sum()))


# Gradient states, in words


def test_no_backward_yet() -> None:
    x = Value(2.0, name="x")
    assert "gradient: no backward yet" in facts(draw(x * x), "x")


def test_a_true_zero_and_not_reached() -> None:
    x, y = Value(0.0, name="x"), Value(3.0, name="y")
    square = x * x
    square.backward()
    drawing = draw(square + y)
    assert "gradient 0 (a true zero)" in facts(drawing, "x")
    assert "gradient: not reached" in facts(drawing, "y")
    assert "gradient: not reached" in facts(drawing, "add")


def test_passes_are_counted_where_gradients_accumulate() -> None:
    x = Value(3.0, name="x")
    y = x * x
    y.backward()
    assert "accumulated" not in facts(draw(y), "x")
    y.backward()
    drawing = draw(y, gradients="edges")
    assert "paths 3 + 3 = 6; gradient 12, accumulated over 2 backward passes" in facts(drawing, "x")
    assert "accumulated" not in facts(drawing, "y")


# Edges


def test_x_plus_x_has_two_edges() -> None:
    x = Value(1.0)
    assert set(groups(draw(x + x))["edge"]) == {"edge-1-0", "edge-1-1"}


def test_ids_are_places_in_the_order_and_places_of_arguments() -> None:
    loss = textbook()
    found = groups(draw(loss))
    nodes = topological(loss)
    places = {node: i for i, node in enumerate(nodes)}
    edges, constants = {}, set()
    for i, node in enumerate(nodes):
        for k, parent in enumerate(node.parents):
            tail = f"node-{places[parent]}" if isinstance(parent, Value) else f"const-{i}-{k}"
            edges[f"edge-{i}-{k}"] = tail
            constants |= {tail} - {f"node-{i}" for i in places.values()}
    assert set(found["node"]) == {f"node-{i}" for i in places.values()} | constants
    assert {edge.id: edge.tail for edge in draw(loss).edges} == edges
    assert set(found["edge"]) == set(edges)


def test_roles_where_exchanging_the_arguments_would_change_the_result() -> None:
    a, b = Value(3.0), Value(2.0)

    def roles(x: Value) -> list[str]:
        return [edge.role for edge in draw(x).edges if edge.head == draw(x).items[-1].id] or [
            edge.role for edge in draw(x).edges
        ]

    assert roles(a / b) == ["numerator", "denominator"]
    assert roles(a**b) == ["base", "exponent"]
    assert [e.role for e in draw(np.where(True, a, b)).edges] == ["condition", "if", "else"]
    assert roles(a + b) == roles(a * b) == ["", ""]
    assert [e.role for e in draw(np.concatenate([Value([1.0]), Value([2.0])])).edges] == ["1", "2"]
    assert all(len(op.roles) in (0, op.arity) for op in TABLE.values())


def test_a_users_operation_has_the_roles_that_it_declares() -> None:
    rules = [lambda g, out, x, y: g / y, lambda g, out, x, y: -g * out / y]
    ratio = primitive(*rules, roles=("part", "whole"))(lambda x, y: x / y)
    assert [edge.role for edge in draw(ratio(Value(1.0), 2.0)).edges] == ["part", "whole"]
    plain = primitive(*rules)(lambda x, y: x / y)
    assert [edge.role for edge in draw(plain(Value(1.0), 2.0)).edges] == ["", ""]


def number(text: str) -> float:
    return float(text.strip(" ()").replace("−", "-"))


def test_every_edge_reads_upstream_times_local_is_contribution_and_paths_add_up() -> None:
    a, b = Value(1.5, name="a"), Value(-2.0, name="b")
    c = a * b + np.exp(a) / b
    loss = c * c - a
    loss.backward()
    drawing = draw(loss, gradients="edges")
    into: dict[str, list[float]] = {}
    for edge in drawing.edges:
        parts = re.fullmatch(r"(.+) × (.+) = (.+)", edge.flow)
        assert parts, edge
        upstream, local, share = map(number, parts.groups())
        assert upstream * local == pytest.approx(share, rel=2e-3)
        into.setdefault(edge.tail, []).append(share)
    for i, node in enumerate(topological(loss)[:-1]):
        assert sum(into[f"node-{i}"]) == pytest.approx(node.grad, rel=2e-3, abs=2e-3)
    shares = into["node-0"]
    assert len(shares) == 3
    *terms, total = re.findall(r"[−\d.]+", facts(drawing, "a").split("gradient")[1])
    assert sorted(map(number, terms)) == sorted(shares)
    assert number(total) == pytest.approx(a.grad, rel=1e-3)


def test_a_rule_that_is_no_product_of_entries_is_written_out() -> None:
    x, w, b = Value(np.eye(3), name="x"), Value(np.ones((3, 1)), name="w"), Value(1.0, name="b")
    y = x @ w + b
    y.backward(np.array([[1.0], [2.0], [3.0]]))
    flows = {edge.id: edge.flow for edge in draw(y, gradients="edges").edges}
    product = next(i for i, node in enumerate(topological(y)) if node.op and node.name is None)
    assert flows[f"edge-{product}-1"].endswith("= [[1], [2], [3]]")
    assert "ᵀ" in flows[f"edge-{product}-1"]
    assert flows[f"edge-{product + 1}-1"] == "Σ [[1], [2], [3]] × [[1], [1], [1]] = 6"
    # Σ: broadcasting is undone


def test_arrays_of_other_kinds_are_drawn_without_a_word() -> None:
    array = need("dask.array").from_array(np.arange(6.0).reshape(2, 3))
    w = Value(np.ones(3), name="w")
    loss = (Value(array, name="x") * w).sum()
    loss.backward()
    flows = {edge.id: edge.flow for edge in draw(loss, gradients="edges").edges}
    assert flows["edge-2-1"].endswith("= [3, 5, 7]")
    np.testing.assert_array_equal(step_through(loss)[-1].after, w.grad)


def test_the_fused_node_sends_p_minus_t() -> None:
    z = Value([3.2, 1.3, 0.5], name="z")
    loss = cross_entropy(z, 0)
    loss.backward()
    before = z.grad.copy()
    (edge,) = [e for e in draw(loss, gradients="edges").edges if e.role == "logits"]
    assert edge.flow.endswith("= [−0.1782, 0.1229, 0.05523]")
    assert (z.grad == before).all()


# Scopes


def test_scopes_are_boxes_and_nest() -> None:
    x = Value(1.0)
    with scope("model"):
        y = x * 2.0
        with scope("layer"):
            y = np.exp(y)
    found = groups(draw(y + 1.0))["cluster"]
    assert {name: words(box) for name, box in found.items()} == {
        "scope-0": ["model"],
        "scope-1": ["layer"],
    }


def test_a_collapsed_scope_is_one_node_with_what_comes_out_of_it() -> None:
    loss = textbook()
    drawing = draw(loss, collapse=["softmax"])
    assert facts(drawing, "softmax") == (
        "3 nodes; value [0.8218, 0.1229, 0.05523]; gradient [−1.217, 0, 0]"
    )
    assert set(groups(drawing)["node"]) == {
        *("node-0", "scope-0", "node-4", "node-5", "node-6", "node-7", "const-5-0")
    }
    assert [e.id for e in drawing.edges if "scope-0" in (e.tail, e.head)] == [
        "edge-1-0",
        "edge-4-0",
    ]
    inside = draw(topological(loss)[3], collapse="softmax")
    assert item(inside, "softmax").look == "output"


def test_into_a_collapsed_scope_there_is_one_edge_from_each_node() -> None:
    x = Value(2.0, name="x")
    with scope("polynomial"):
        y = x * x + x
    assert [(e.tail, e.head) for e in draw(y, collapse=["polynomial"]).edges] == [
        ("node-0", "scope-0")
    ]
    assert len(draw(y).edges) == 4


def test_a_collapsed_scope_keeps_its_constants_to_itself() -> None:
    with scope("affine"):
        y = Value(1.0) * 2.0 + 1.0
    assert [i.id for i in draw(y + 1.0, collapse=["affine"]).items] == [
        *("scope-0", "node-3", "const-3-1")
    ]


def test_an_unknown_scope_is_named_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"got 'softmx', wanted scopes of the graph: softmax"):
        draw(textbook(), collapse=["softmx"])


# Large graphs


def test_above_max_nodes_the_ends_stay_and_the_rest_is_counted() -> None:
    drawing = draw(chain(50), max_nodes=11)
    assert [i.id for i in drawing.items] == [
        *(f"node-{i}" for i in range(5)),
        *(f"node-{i}" for i in range(44, 50)),
        "left-out",
    ]
    assert drawing.items[-1].facts == ("… 39 nodes left out …",)
    assert len(drawing.edges) == 11
    assert "left-out" not in {i.id for i in draw(chain(200)).items}
    assert "left-out" in {i.id for i in draw(chain(201)).items}


@pytest.mark.slow
@pytest.mark.parametrize("gradients", ["nodes", "edges"])
def test_of_a_hundred_thousand_nodes_200_are_written(gradients: str) -> None:
    loss = chain(100_000)
    loss.backward()
    drawing = draw(loss, gradients=gradients)
    assert drawing.dot.count("<B>") == 200
    assert "99,800 nodes left out" in drawing.text


@pytest.mark.slow
def test_graphviz_is_told_to_hurry_on_a_tangle_and_lays_it_out() -> None:
    """Graphviz, left alone with it, took half a minute."""
    need("pygraphviz")
    xs = [Value(float(i)) for i in range(14)]
    tangle = sum((x * y for x in xs for y in xs), Value(0.0))
    tangle.backward()
    drawing = draw(tangle, gradients="edges")
    assert "splines=line" in drawing.dot
    assert "splines=line" not in draw(chain(50)).dot
    assert drawing.svg.count('class="node"') == len(drawing.items)


# Several outputs, gradient graphs


def test_several_outputs_share_one_picture() -> None:
    x = Value(1.0, name="x")
    y, z = x * 2.0, x + 3.0
    drawing = draw([y, z])
    assert [i.look for i in drawing.items[:3]] == ["leaf", "output", "output"]
    assert drawing.text.count("(leaf") == 1


def test_a_gradient_is_a_graph_to_draw() -> None:
    x = Value(3.0, name="x")
    slope = grad_of(x * x * x, x)
    drawing = draw(slope)
    assert "value 27" in "; ".join(i.facts[1] for i in drawing.items if i.look == "output")
    values = [i for i in drawing.items if i.look != "constant"]
    assert len(values) == len(topological(slope))


# Before and after fusing


def test_both_forms_of_a_loss_stand_in_boxes_on_what_they_share() -> None:
    loss = textbook()
    drawing = draw(loss, fused=fuse(loss), show=["op"])
    assert drawing.scopes == tuple(FORMS) == ("as written", "fused")
    inside = {
        name: [i.id for i in drawing.items if i.boxes == (j,)] for j, name in enumerate(FORMS)
    }
    new = len(topological(loss))
    assert inside["fused"] == [f"node-{new}", f"const-{new}-1"]
    assert len(inside["as written"]) == new  # all but z, and the constant
    assert item(drawing, "z").boxes == ()
    assert sorted(drawing.outputs) == sorted([f"node-{new - 1}", f"node-{new}"])
    assert set(drawing.dot.split()) > {'color="#d55e00"', 'color="#007a5a"'}
    heads = [line for line in str(drawing).splitlines() if not line.startswith(" ")]
    assert [h.partition("  ")[0] for h in heads] == ["as written: L_1", "fused: L_2"]
    boxes = groups(drawing)["cluster"]
    assert {name: words(box) for name, box in boxes.items()} == {
        "scope-0": ["as written"],
        "scope-1": ["fused"],
    }


def test_what_the_result_needs_besides_is_in_no_box() -> None:
    z = Value([1.0, 2.0], name="z")
    p = np.exp(z) / np.exp(z).sum()
    p.name = "p"
    loss = -np.log(p)[0] + p[1]
    drawing = draw(loss, fused=fuse(loss))
    assert item(drawing, "p").boxes == ()
    assert item(drawing, "LogSoftmaxNLL").boxes == (1,)
    assert item(drawing, "log").boxes == (0,)


def test_where_nothing_was_fused_the_picture_is_as_ever() -> None:
    x = Value(1.0) * 2.0
    assert draw(x, fused=fuse(x)).dot == draw(x).dot


def test_the_old_form_may_be_one_node() -> None:
    loss = textbook()
    drawing = draw(loss, fused=fuse(loss), collapse=["as written"])
    assert facts(drawing, "as written").startswith("7 nodes; value 0.1962")


def test_a_form_made_before_the_other() -> None:
    z, t = Value([1.0, 2.0], name="z"), np.array([0.0, 1.0])
    stable = cross_entropy(z, t)
    drawing = draw(-np.log(np.exp(z) / np.exp(z).sum())[1], fused=stable)
    for name, form in (("log", "as written"), ("stable", "fused")):
        assert [drawing.scopes[j] for j in item(drawing, name).boxes] == [form]


# Errors


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: draw(1.0), TypeError, "got float, wanted a Value"),
        (lambda x: draw([x, 1.0]), TypeError, "got list, wanted a Value"),
        (lambda x: draw([]), TypeError, "got no Value"),
        (lambda x: draw(x, show=["values"]), ValueError, "show: got 'values', wanted one of op"),
        (lambda x: draw(x, direction="RL"), ValueError, "got 'RL', wanted one of LR, TB"),
        (lambda x: draw(x, gradients="all"), ValueError, "got 'all', wanted one of nodes, edges"),
        (lambda x: draw(x, max_nodes=1), ValueError, "max_nodes: got 1, wanted"),
        (lambda x: draw(x, max_nodes=2.5), ValueError, "max_nodes: got 2.5"),
        (lambda x: draw(x, fused=1.0), TypeError, "got 1 Values and float, wanted a Value beside"),
        (lambda x: draw([x, x], fused=x), TypeError, "got 2 Values and Value"),
        (lambda x: draw(x, collapse=["a"]), ValueError, "wanted scopes of the graph: none"),
    ],
)
def test_errors_say_what_was_wanted(call: Callable[..., Any], error: Any, message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        call(Value(1.0))


def test_nan_and_inf_have_a_look_and_a_sign_of_their_own() -> None:
    z = Value([1000.0, 1.0])
    with np.errstate(all="ignore"):
        e = np.exp(z)
        p = e / e.sum()
        drawn = draw(p)
        root = np.sqrt(z * 0.0).sum()
        root.backward()
        back = draw(root)
    looks = {item.name: (item.look, [x for x in item.facts if "⚠" in x]) for item in drawn.items}
    assert looks["z"] == ("leaf", [])
    assert looks["e"] == ("not finite", ["⚠ inf in 1 of 2 entries"])
    assert looks["p"] == ("not finite", ["⚠ nan in 1 of 2 entries"])
    assert "#ffd9e8" in drawn.dot
    assert "⚠ inf in 1 of 2 entries" in drawn.text
    (z_item,) = [item for item in back.items if item.name == "z"]  # 0 times the root's inf
    assert "⚠ gradient nan in 2 of 2 entries" in z_item.facts
