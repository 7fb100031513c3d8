"""The picture: what it shows, how it is built, and that labels are data."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch
from xml.etree import ElementTree

import numpy as np
import pytest
from conftest import need
from hypothesis import given, settings
from hypothesis import strategies as st

from tinygrad_ce import (
    Value,
    cross_entropy,
    draw,
    fuse,
    grad_of,
    scope,
    step_through,
    topological,
)
from tinygrad_ce.engine.operation import TABLE
from tinygrad_ce.views.drawing import ROLES
from tinygrad_ce.views.formulas import inline
from tinygrad_ce.views.formulas import summarise as entries
from tinygrad_ce.views.picture import FORMS, LOOKS, TEXT, Drawing

SVG = "{http://www.w3.org/2000/svg}"


def textbook() -> Value:
    """Softmax and cross-entropy of three logits, after a backward pass."""
    z, t = Value([3.2, 1.3, 0.5], name="z"), np.array([1.0, 0.0, 0.0])
    with scope("softmax"):
        e = np.exp(z)
        p = e / e.sum()
    loss = -(t * np.log(p)).sum()
    e.name, p.name, loss.name = "e", "p", "L"
    loss.backward()
    return loss


def item(drawing: Drawing, name: str) -> Any:
    (found,) = [item for item in drawing.items if item.name == name]
    return found


def facts(drawing: Drawing, name: str) -> str:
    return "; ".join(item(drawing, name).facts)


def groups(drawing: Drawing) -> dict[str, dict[str, ElementTree.Element]]:
    """The SVG's groups: class -> id -> element."""
    need("pygraphviz")
    found: dict[str, dict[str, ElementTree.Element]] = {"node": {}, "edge": {}, "cluster": {}}
    for g in ElementTree.fromstring(drawing.svg).iter(f"{SVG}g"):
        found.setdefault(g.get("class", ""), {})[g.get("id", "")] = g
    return found


def words(element: ElementTree.Element) -> list[str]:
    return ["".join(text.itertext()) for text in element.iter(f"{SVG}text")]


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
        (np.array([np.nan, *range(8)]), "nan … nan, mean nan"),
        (np.array([np.inf, -np.inf] * 5), "−inf … inf, mean nan"),
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
    text = facts(draw(loss), "LogSoftmaxNLL")
    assert "axis=-1" in text
    assert "saved" not in text
    assert "sum(axis=0)" in facts(draw(Value(np.eye(2)).sum(axis=0)), "sum")
    picked = Value(np.arange(9.0))[np.arange(8)]
    assert "getitem(index=array (8,))" in facts(draw(picked), "getitem")


@pytest.mark.parametrize(
    ("index", "shown"),
    [
        ((slice(None), np.array([1, 0])), "(slice(None, None, None), array([1, 0]))"),
        ((np.arange(8), -1), "(array (8,), -1)"),
        ((np.arange(8)[:, None], np.array([1, 0])), "(array (8, 1), array([1, 0]))"),
        ((np.arange(8) > 6,), "(array (8,),)"),
    ],
)
def test_an_index_whose_parts_differ_in_shape_is_shown(index: Any, shown: str) -> None:
    picked = Value(np.eye(8))[index]
    assert f"getitem(index={shown})" in facts(draw(picked), "getitem")
    assert "getitem" in str(step_through(picked.sum()))


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
    assert "accumulated" not in facts(drawing, "multiply")


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
    known = {op.name: op.arity for op in TABLE.values()}
    assert {name: len(names) for name, names in ROLES.items()} == {n: known[n] for n in ROLES}


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
    assert flows[f"edge-{product + 1}-1"] == "Σ [[1], [2], [3]] = 6"  # broadcasting is undone


def test_the_fused_node_sends_p_minus_t() -> None:
    z = Value([3.2, 1.3, 0.5], name="z")
    loss = cross_entropy(z, 0)
    loss.backward()
    before = z.grad.copy()
    (edge,) = [e for e in draw(loss, gradients="edges").edges if e.role == "logits"]
    assert edge.flow.endswith("= [−0.1782, 0.1229, 0.05523]")
    assert (z.grad == before).all()


# Looks


def test_leaves_constants_interior_nodes_and_the_output_look_different() -> None:
    looks = {item.look for item in draw(textbook()).items}
    assert looks == {"leaf", "constant", "interior", "output"}
    seen = [(LOOKS[n]["style"], LOOKS[n].get("peripheries")) for n in looks]
    assert len(set(seen)) == 4, "told apart without colour too"


def luminance(colour: str) -> float:
    """Of WCAG 2."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("look", [look for look in LOOKS if "fillcolor" in LOOKS[look]])
def test_text_and_borders_can_be_read_on_their_fill(look: str) -> None:
    fill = luminance(LOOKS[look]["fillcolor"]) + 0.05
    assert fill / (luminance(TEXT) + 0.05) >= 7.0
    assert fill / (luminance(LOOKS[look]["color"]) + 0.05) >= 3.0


def test_the_background_and_every_colour_are_explicit() -> None:
    need("pygraphviz")
    root = ElementTree.fromstring(draw(textbook(), gradients="edges").svg)
    assert next(root.iter(f"{SVG}polygon")).get("fill") in ("white", "#ffffff")
    assert {text.get("fill") for text in root.iter(f"{SVG}text")} == {TEXT}


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


def chain(n: int) -> Value:
    x = Value(1.0, name="first")
    for _ in range(n - 1):
        x = -x
    x.name = "last"
    return x


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


@pytest.mark.parametrize("gradients", ["nodes", "edges"])
def test_of_a_hundred_thousand_nodes_200_are_written(gradients: str) -> None:
    loss = chain(100_000)
    loss.backward()
    drawing = draw(loss, gradients=gradients)
    assert drawing.dot.count("<B>") == 200
    assert "99,800 nodes left out" in drawing.text


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


# Text


def test_the_text_has_each_node_once_and_goes_from_the_output_to_the_leaves() -> None:
    lines = draw(textbook(), show=["op", "roles"]).text.splitlines()
    assert lines == [
        "L  (negative)",
        "  sum_2  (sum)",
        "    multiply  (multiply)",
        "      constant [1, 0, 0]",
        "      log  (log)",
        "        p  (divide)",
        "          numerator: e  (exp)",
        "            z  (leaf)",
        "          denominator: sum_1  (sum)",
        "            e, see above",
    ]


def test_the_text_of_a_long_chain_is_as_long_as_the_chain() -> None:
    short, long = (len(draw(chain(n), max_nodes=10**6).text) for n in (500, 5000))
    assert long < 12 * short


# Where there is no Graphviz


@pytest.fixture
def no_graphviz(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "pygraphviz", None)


@pytest.mark.usefixtures("no_graphviz")
def test_without_graphviz_a_notebook_shows_text_and_both_ways_to_a_picture(
    capfd: Any, tmp_path: Path
) -> None:
    drawing = draw(textbook())
    (text,) = drawing._repr_mimebundle_()[0].values()
    assert text.startswith(f"{drawing.text}\n(")
    hint = text[len(drawing.text) + 1 :]
    assert "\n" not in hint
    assert 'pip install "tinygrad_ce[render]"' in hint
    assert "dot" in hint
    assert drawing.svg_or_none is None
    drawing.save(tmp_path / "graph.dot")
    assert (tmp_path / "graph.dot").read_text(encoding="utf-8") == drawing.dot
    with pytest.raises(ImportError, match="tinygrad_ce"):
        drawing.save(tmp_path / "graph.svg")
    assert not (tmp_path / "graph.svg").exists()
    assert capfd.readouterr() == ("", "")


def test_a_notebook_shows_svg_or_png(capfd: Any, tmp_path: Path) -> None:
    need("pygraphviz")
    drawing = draw(textbook())
    bundle, about = drawing._repr_mimebundle_(include=None, exclude=None)
    drawing.save(tmp_path / "graph.png")
    assert bundle == {
        "image/svg+xml": drawing.svg,
        "image/png": (tmp_path / "graph.png").read_bytes(),
        "text/plain": drawing.text,
    }
    width = float(re.search(r'width="([\d.]+)pt"', drawing.svg)[1])  # type: ignore[index]
    assert about["image/png"]["width"] == pytest.approx(width * 96 / 72, abs=2)
    assert drawing.svg == drawing.svg_or_none
    assert drawing.svg.startswith("<svg")
    assert repr(drawing) == str(drawing) == drawing.text
    assert capfd.readouterr() == ("", "")


def test_files_by_their_ending(tmp_path: Path) -> None:
    need("pygraphviz")
    drawing = draw(textbook())
    starts = {".svg": b"<svg", ".png": b"\x89PNG", ".pdf": b"%PDF", ".dot": b"digraph {"}
    for ending, start in starts.items():
        path = tmp_path / f"graph{ending}"
        path.write_bytes(b"old")
        drawing.save(path)
        assert path.read_bytes().startswith(start)
    with pytest.raises(ValueError, match=r"got '\.gif', wanted a name in \.svg, \.png"):
        drawing.save(str(tmp_path / "graph.gif"))
    assert len(list(tmp_path.iterdir())) == 4


def test_another_run_gives_the_same_picture() -> None:
    need("pygraphviz")
    code = (
        "from test_drawing import textbook, draw; d = draw(textbook(), gradients='edges');"
        "print(d.svg, d.dot, d.text, draw(textbook(), collapse=['softmax']).svg)"
    )

    def run(seed: str) -> bytes:
        path = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": path}
        return subprocess.run([sys.executable, "-c", code], env=environment, check=True,
                              capture_output=True).stdout  # fmt: skip

    assert run("1") == run("2") != b""


# Labels are data

NASTY = st.sampled_from(
    [
        *('"', "'", "\\", "\n", "\r\n", "\0", "<script>alert(1)</script>", "</svg>", "</title>"),
        *("]]>", "<!--", "-->", "--", "{a|b}", "a:b:n", "\\N", "\\G", "&amp;", "&#45;", "%3"),
        *("<B>", "한글", "数", "שלום", "🎉", "👩\u200d🔬", "\u202e", "\ud800", "\ufffe", " ", "\t"),
        *('"]; evil [label="x', "digraph", "node-0", "z_1", "<<x>>", "×", " = ", " + "),
    ]
)
NAMES = st.lists(NASTY | st.text(max_size=5), min_size=1, max_size=4).map("".join).filter(bool)


@cache
def plain_structure() -> tuple[int, int, int]:
    return structure(["a", "b", "c", "d"], "box")[1]


def structure(given_names: list[str], box: str) -> tuple[Drawing, tuple[int, int, int]]:
    a, b, c, d = (Value(1.0, name=name) for name in given_names)
    with scope(box):
        e = a / b
    loss = e * c + 2.0 * d
    loss.backward()
    drawing = draw(loss, gradients="edges")
    found = groups(drawing)
    return drawing, (len(found["node"]), len(found["edge"]), len(found["cluster"]))


def squeezed(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("hidden", [False, True])
@settings(max_examples=50)
@given(names=st.lists(NAMES, min_size=4, max_size=4, unique_by=inline), box=NAMES | st.just(""))
def test_no_name_changes_the_structure_of_dot_or_svg(
    hidden: bool, names: list[str], box: str
) -> None:
    """By the program dot, where there is one, and by the Graphviz of pygraphviz."""
    pygraphviz = need("pygraphviz")
    with patch.dict(os.environ, {"PATH": "nowhere"} if hidden else {}):
        drawing, counts = structure(names, box)
    assert counts == plain_structure() == (9, 8, 1)
    parsed = pygraphviz.AGraph(string=drawing.dot)
    assert (parsed.number_of_nodes(), parsed.number_of_edges()) == counts[:2]
    assert len(parsed.subgraphs()) == 1
    found = groups(drawing)
    for i, name in enumerate(names):
        node = found["node"][f"node-{i}"]
        shown = inline(name) if len(inline(name)) <= 40 else f"{inline(name)[:39]}…"
        assert squeezed(words(node)[0]) == squeezed(shown)
        assert node.findtext(f"{SVG}title") == shown
    label = "".join(words(found["cluster"]["scope-0"]))
    assert squeezed(label) == squeezed(inline(box))
    assert "script" not in {e.tag.split("}")[1] for e in ElementTree.fromstring(drawing.svg).iter()}


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
    for name, form in (("log", "as written"), ("LogSoftmaxNLL", "fused")):
        assert [drawing.scopes[j] for j in item(drawing, name).boxes] == [form]


# Errors


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: draw(1.0), TypeError, "got float, wanted a Value"),
        (lambda x: draw([x, 1.0]), TypeError, "got list, wanted a Value"),
        (lambda x: draw([]), TypeError, "got no Value"),
        (lambda x: draw(x, show=["values"]), ValueError, "show: got 'values', wanted some of op"),
        (lambda x: draw(x, direction="RL"), ValueError, "got 'RL', wanted 'LR' or 'TB'"),
        (lambda x: draw(x, gradients="all"), ValueError, "got 'all', wanted 'nodes'"),
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
