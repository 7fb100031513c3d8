"""The page: its numbers against the records, in a real browser; names that cannot break out."""

from __future__ import annotations

import json
import re
import sys
from base64 import b64encode
from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from html import unescape
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from conftest import need
from helpers.graphs import of_scalars, of_tensors, random_graph, texts
from hypothesis import given, settings
from hypothesis import strategies as st

from tinygrad_ce import Value, cross_entropy, draw, primitive, step_through
from tinygrad_ce.views.formulas import inline
from tinygrad_ce.views.picture import LOOKS
from tinygrad_ce.views.steps import page

need("latex2mathml")


# ------------------------------------------------------------------ as a file
class Tags(HTMLParser):
    """What a page is made of: its tags with their attributes, and the text of some."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inside: list[str] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self.inside and self.inside.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.texts.append((self.inside[-1], data))

    def of(self, tag: str) -> list[str]:
        return [text for where, text in self.texts if where == tag]


def test_one_page_that_loads_nothing_and_runs_no_other_script() -> None:
    text = page(of_tensors())
    tags = Tags(text).tags
    for tag, attrs in tags:
        assert not [name for name in attrs if name.startswith("on")], tag
        assert not {"src", "srcset", "data", "action", "style", "xlink:href"} & attrs.keys(), tag
        assert attrs.get("href", "#") in ("#", "data:,")
    assert "url(" not in text
    assert "@import" not in text
    assert Counter(tag for tag, _ in tags)["script"] == 2  # the program and the data
    policy = next(a["content"] for _, a in tags if a.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.strip().split(" ", 1) for rule in (policy or "").split(";"))
    assert rules["default-src"] == "'none'"
    for what in ("style", "script"):
        inside = text.partition(f"<{what}>")[2].partition(f"</{what}>")[0]
        digest = b64encode(sha256(inside.encode()).digest()).decode()
        # Where this fails, page.html was edited: it has to have the new hash.
        assert rules[f"{what}-src"] == f"'sha256-{digest}'"


def test_ids_are_those_of_the_drawing_and_no_two_are_the_same() -> None:
    steps = of_tensors()
    ids = [attrs["id"] for _, attrs in Tags(page(steps)).tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    need("pygraphviz")
    for walk, prefix in ((steps, ""), (steps.fused, "fused-")):
        for step in walk:  # type: ignore[union-attr]
            assert f"{prefix}node-{step.index}" in ids
            if step.argument is not None:
                assert f"{prefix}edge-{step.index}-{step.argument}" in ids


def test_dark_mode_knows_every_colour_of_the_drawing() -> None:
    need("pygraphviz")
    css = page(step_through(Value(1.0))).partition("dark) {")[2].partition("\n* {")[0]
    x = Value(2.0)
    svg = draw(x * 3.0).svg
    used = {(k, v) for look in LOOKS.values() for k, v in look.items() if v.startswith("#")}
    used = {("stroke" if k == "color" else "fill", v) for k, v in used}
    used |= set(re.findall(r'(fill|stroke)="(#\w+)"', svg))
    assert len(used) > 8
    for what, colour in used:
        assert f'[{what}="{colour}"]' in css, (what, colour)


@pytest.mark.slow
def test_sixty_nodes_make_less_than_500_kB() -> None:
    leaves = [Value(0.1 * i - 0.3) for i in range(5)]
    steps = step_through(random_graph(np, leaves, 3, 120, False))
    assert len(steps.nodes) >= 60
    assert len(page(steps).encode()) < 500_000 * len(steps.nodes) / 60


# Each has to come out as text. The graph is the same, so the page is, but for text and formulas.
NASTY = [
    "</script>", "</script><script>alert(1)</script>", "<!--", "-->", "<!-- <script>", "]]>",
    "</style>", "{{payload}}", "{{title}}", '"', "'", "\\", "&lt;", "&amp;", "&", "\n", "\0",
    "<b onclick=alert(1)>", "</math>", "</svg><svg onload=alert(1)>", "</th></tr>", "\\text{", "}",
    "{", "$", "%", "#", "^", "~", "_", " = ", ": ", " → ", "z_1", "\\def\\a{\\a}\\a", "한국어",
    "🙂", "\ud800", "\u202e", ", see above", "node-1\t", "\\1", "\\g<0>",
]  # fmt: skip
drawn_names = st.lists(
    st.lists(st.sampled_from(NASTY) | texts(max_size=4), min_size=1, max_size=3)
    .map("".join)
    .filter(str.strip),
    min_size=9,
    max_size=9,
    unique=True,
)


def named(called: Sequence[str]) -> str:
    """The page of one graph of nine nodes, with these names."""
    leaves = [Value(0.5 + i, name=name) for i, name in enumerate(called[:5])]
    out = leaves[0]
    for leaf, name in zip(leaves[1:], called[5:]):
        out = out * leaf
        out.name = name
    return page(step_through(out, fused=leaves[0] * leaves[1]))


def shape(text: str) -> tuple[Any, str]:
    """The structure outside of formulas, and the data for the script."""
    formulas = "".join(re.findall(r"<math>.*?</math>", text, flags=re.DOTALL))
    for tag, attrs in Tags(formulas).tags:
        assert re.fullmatch(r"math|mrow|mi|mn|mo|mtext|mspace|mfrac|m(sub|sup|over|under)+", tag)
        assert attrs.keys() <= {"form", "stretchy", "width", "accent"}
    pieces = re.split(r"<math>.*?</math>", text, flags=re.DOTALL)
    found = Tags("".join(pieces))
    tags = [(tag, sorted(attrs), attrs.get("class"), attrs.get("id")) for tag, attrs in found.tags]
    return tags, found.of("script")[0]


def check_names(called: list[str], plain: Any) -> None:
    text = named(called)
    found = shape(text)
    assert found == plain
    assert json.loads(found[1])
    shown = [inline(name) for name in called]
    rows = Tags(text).of("th")
    for name in shown:
        if shown.count(name) == 1:
            assert name in rows


@pytest.mark.usefixtures("no_graphviz")
def test_names_never_change_the_structure() -> None:
    plain = shape(named("abcdefghi"))

    @given(drawn_names)
    def run(called: list[str]) -> None:
        check_names(called, plain)

    run()


@pytest.mark.slow
def test_names_never_change_the_structure_of_a_page_with_a_picture() -> None:
    need("pygraphviz")
    plain = shape(named("abcdefghi"))

    @given(drawn_names)
    @settings(max_examples=8)
    def run(called: list[str]) -> None:
        check_names(called, plain)

    run()


@pytest.mark.usefixtures("no_graphviz")
def test_without_graphviz_the_graph_stands_there_as_text() -> None:
    steps = of_tensors()
    text = page(steps)
    assert '<svg viewBox="0 0 16 16"' in text
    for walk, inside in zip((steps, steps.fused), re.findall(r"<pre>(.*?)</pre>", text, re.DOTALL)):
        assert unescape(inside) == walk.drawing.text  # type: ignore[union-attr]


def test_without_the_converter_the_error_names_the_extra(monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "latex2mathml", None)
    with pytest.raises(ImportError, match=r'pip install "tinygrad_ce\[render\]"') as caught:
        page(of_tensors())
    assert "\n" not in str(caught.value)


def test_an_operation_whose_latex_is_broken_is_shown_as_it_is() -> None:
    odd = primitive((lambda g, out, x: g, r"\frac{<g>"), latex=r"\left( <x>}")(lambda x: x + 0.0)
    text = page(step_through(odd(Value(2.0, name="x"))))
    assert r"<mtext>" in text
    assert r"\left( x}" in text


LATEX = [
    r"\href{javascript:alert(1)}{<x>}", r"\href{https://example.org}{<x>} + <y>",
    r"\style{position: fixed}{<x>}", r"\class{graph}{<x>} \cdot <y>", r"\url{https://example.org}",
    "<x> \a\x1b[31m <y>", "<x>\0<y>\r\n", "\u202e<x>", "<script>alert(1)</script><x>",
    r"\text{<img src=x onerror=alert(1)>}", "&lt;b&gt;<x>",
]  # fmt: skip


@pytest.mark.parametrize("latex", LATEX)
def test_a_users_latex_puts_no_link_style_or_control_character_anywhere(latex: str) -> None:
    odd = primitive(*[(lambda g, out, x, y: g, latex)] * 2, latex=latex)(lambda x, y: x + y)
    out = odd(Value(2.0, name="x"), Value(3.0, name="y"))
    out.backward()
    steps, drawing = step_through(out), draw(out, gradients="edges")
    text = page(steps)
    for formula in re.findall(r"<math>.*?</math>", text, flags=re.DOTALL):
        for tag, attrs in Tags(formula).tags:
            assert tag.startswith("m")
            assert not {"href", "style", "class", "id"} & attrs.keys()
    for shown in (text, str(steps), steps.latex(), drawing.dot, drawing.text, drawing.svg):
        assert all(line.isprintable() for line in re.split("[\n\t\xa0]", shown))
    assert "href" not in drawing.svg.replace("hrefhttps", "").replace("hrefjavascript", "")


def test_a_users_names_and_roles_are_shown_on_one_line() -> None:
    names = ("a\x07b\x1b[31m", "c\nd", r"\N", "<b>e</b>", "f\u202e")
    for name in names:
        slopes = [lambda g, out, x, y: g] * 2
        odd = primitive(*slopes, name=name, roles=(name, "other"))(lambda x, y: x + y)
        out = odd(Value(2.0, name="x"), 3.0)
        steps, drawing = step_through(out), draw(out)
        for shown in (page(steps), str(steps), steps.latex(), drawing.text, drawing.svg):
            assert all(line.isprintable() for line in re.split("[\n\t\xa0]", shown))
        assert inline(name) in drawing.text
        assert f"{inline(name)}(x, 3)" in str(steps)


def test_each_step_is_said_in_a_sentence() -> None:
    said = [
        re.sub("<[^>]*>", "", text) for text in re.findall(r'"say">(.*?)</p>', page(of_tensors()))
    ]
    assert said[:2] == ["z is given.", "e is computed with exp."]
    assert "The backward pass starts at L: it changes as fast as itself." in said
    second = "Share 2 to arrive there: where paths meet, shares add up."
    assert f"sum_1 hands e its share: upstream × local. {second}" in said
    assert "p (divide) hands e its share: upstream × local." in said
    x = Value(np.eye(2), name="x")
    text = page(step_through(x @ x, np.full((2, 2), 3.0)))
    assert "starts at <b>matmul</b>: with the gradient that was given." in text
    assert "hands <b>x</b> its share: upstream gradient, through its rule." in text


def test_the_picture_has_room_for_every_gradient_on_the_way() -> None:
    need("pygraphviz")
    x = Value(1.0, name="x")
    text = page(step_through(x * 0.1234 - x * 0.1234))  # −0.1234 arrives first, and in the end 0
    assert re.search(r"gradient (?:\xa0|&#160;){3}0(?:\xa0|&#160;){3}<", text)


def test_typesetting() -> None:
    text = page(step_through(of_scalars([3.2, 1.3, 0.5])))
    assert "<mo>+=</mo>" in text
    assert '<mo form="prefix">−</mo>' in text
    z = Value([3.2, 1.3], name="z")
    assert ")</mo><mo>−</mo>" in page(step_through(cross_entropy(z, np.array([1.0, 0.0]))))
    assert len(re.findall(r"<math>", text)) > 23
    assert "&amp;#x" not in text


def test_what_is_not_finite_is_said_and_typeset_as_a_number() -> None:
    z = Value([1000.0, 1.0], name="z")
    with np.errstate(all="ignore"):
        loss = -np.log(np.exp(z) / np.exp(z).sum())[1]
    text = page(step_through(loss, fused=cross_entropy(z, 1)))
    assert "The composed or the fused gradient is not finite." in text
    assert "<mi>∞</mi>" in text
    assert "<mo>∞</mo>" not in text


def test_a_slice_is_a_page_too() -> None:
    text = page(of_tensors()[3:5])
    assert re.findall(r'<li value="(\d+)"', text)[:2] == ["4", "5"]
