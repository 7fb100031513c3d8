"""What a picture becomes: SVG, PNG, text, files; and that labels are data."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch
from xml.etree import ElementTree

import numpy as np
import pytest
from conftest import need
from helpers.graphs import SVG, chain, groups, textbook, words
from hypothesis import given, settings
from hypothesis import strategies as st

from tinygrad_ce import (
    Value,
    cross_entropy,
    draw,
    scope,
)
from tinygrad_ce.views.formulas import inline
from tinygrad_ce.views.picture import LOOKS, TEXT, Drawing

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


def test_a_long_formula_breaks_where_it_has_a_sign() -> None:
    dot = draw(textbook(), gradients="edges").dot
    assert "[0.0335, 0.0335, 0.0335]<BR/>= [−0.04076, 0, 0]>" in dot
    assert "<−1 × [1, 1, 1] = [−1, −1, −1]>" in dot  # short enough


# Text


def test_the_text_has_each_node_once_and_goes_from_the_output_to_the_leaves() -> None:
    lines = draw(textbook(), show=["op", "roles"]).text.splitlines()
    assert lines == [
        "L  (negative)",
        "  sum_2",
        "    multiply",
        "      t  (constant [1, 0, 0])",
        "      log",
        "        p  (divide)",
        "          numerator: e  (exp)",
        "            z  (leaf)",
        "          denominator: sum_1",
        "            e, see above",
    ]


@pytest.mark.slow
def test_the_text_of_a_long_chain_is_as_long_as_the_chain() -> None:
    short, long = (len(draw(chain(n), max_nodes=10**6).text) for n in (500, 5000))
    assert long < 12 * short


# Where there is no Graphviz


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
    with pytest.raises(ImportError, match="tinygrad_ce"):
        drawing.svg  # noqa: B018
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
    with pytest.raises(ValueError, match=r"graph\.gif', wanted a name in \.svg, \.png"):
        drawing.save(str(tmp_path / "graph.gif"))
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.slow
def test_another_run_gives_the_same_picture() -> None:
    need("pygraphviz")
    code = (
        "from helpers.graphs import textbook; from tinygrad_ce import draw;"
        "d = draw(textbook(), gradients='edges');"
        "print(d.svg, d.dot, d.text, draw(textbook(), collapse=['softmax']).svg)"
    )

    def run(seed: str) -> bytes:
        path = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, sys.path)])
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


@pytest.mark.slow
@pytest.mark.parametrize("hidden", [False, True])
@settings(max_examples=settings.default.max_examples // 2)
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
        shown = inline(name)
        assert squeezed(words(node)[0]) == squeezed(shown)
        assert node.findtext(f"{SVG}title") == shown
    label = "".join(words(found["cluster"]["scope-0"]))
    assert squeezed(label) == squeezed(inline(box))
    assert "script" not in {e.tag.split("}")[1] for e in ElementTree.fromstring(drawing.svg).iter()}


@pytest.mark.parametrize("rows", [1, 5])
def test_a_picture_is_as_wide_as_a_page(rows: int) -> None:
    """A loss of five rows, drawn from left to right, would be 2,500 points wide."""
    need("pygraphviz")
    z = Value(np.random.default_rng(0).normal(size=(rows, 3)))
    graphs = [
        cross_entropy(z, np.arange(rows) % 3, fused=False),
        cross_entropy(z, np.arange(rows) % 3),
    ]
    graphs += [np.exp(z) / np.exp(z).sum(), sum((Value(float(k)) ** 2 for k in range(4)), 0.0)]
    for graph in graphs:
        width = re.search(r'width="(\d+)pt"', draw(graph).svg)
        assert width is not None
        assert int(width[1]) < 950
    assert draw(Value(1.0) * 2.0).direction == "LR"
    assert draw(graphs[0]).direction == "TB"
    assert draw(graphs[0], direction="LR").direction == "LR"
