"""How the page looks: to axe-core, on narrow and wide screens, by keyboard, in print, in colour."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import TAGS, Visit, need
from helpers.graphs import of_matrices, of_scalars, of_tensors

from tinygrad_ce import Value, step_through

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1600])
def test_axe_finds_nothing(visit: Visit, axe: str, scheme: str, width: int) -> None:
    tab = visit(of_tensors(), "#step=16", width=width, scheme=scheme)
    tab.evaluate(axe)

    def violations() -> Any:
        found = tab.evaluate(f"axe.run({{runOnly: {TAGS}}}).then(r => r.violations)")
        return [(v["id"], n["html"], n["failureSummary"]) for v in found for n in v["nodes"]]

    tab.get_by_label("Predict first").check()
    tab.keyboard.press("ArrowRight")
    assert tab.locator("#guess").is_visible()
    assert violations() == []
    tab.locator("#guess").fill("7")
    tab.keyboard.press("Enter")
    assert violations() == []


@pytest.mark.parametrize("width", [390, 1400])
def test_axe_finds_nothing_in_numbers_to_change_and_in_maps(
    visit: Visit, axe: str, width: int
) -> None:
    live = step_through(lambda x, w: np.exp(x @ w).sum(), np.eye(2, 8), np.ones((8, 2)))
    film = step_through((Value(np.eye(12) - 0.1) * np.where(np.eye(12), np.nan, -1.0)).sum())
    for steps in (live, film):
        for step in (1, 99):
            tab = visit(steps, f"#step={step}", width=width)
            tab.evaluate("document.querySelector('.numbers').open = true")
            tab.evaluate(axe)
            found = tab.evaluate(f"axe.run({{runOnly: {TAGS}}}).then(r => r.violations)")
            assert [(v["id"], v["nodes"][0]["html"]) for v in found] == []


@pytest.mark.parametrize("width", [400, 1600])
def test_nothing_sticks_out_and_what_is_lit_is_in_view(visit: Visit, width: int) -> None:
    need("pygraphviz")
    for steps in (of_matrices()[::5], of_tensors()):
        tab = visit(steps, width=width)
        for _ in steps:
            assert tab.evaluate("document.documentElement.scrollWidth") <= width
            inside = tab.evaluate(
                """() => {
                  const graph = document.querySelector('.graph');
                  const frame = graph.getBoundingClientRect();
                  const node = graph.querySelector('.node.now').getBoundingClientRect();
                  return node.top >= frame.top && node.bottom <= frame.bottom
                    && node.left < frame.right && node.right > frame.left;
                }"""
            )
            assert inside
            tab.keyboard.press("ArrowRight")
        bar = tab.locator(".bar").bounding_box()
        assert bar["y"] + bar["height"] <= 600 + 1


def test_every_control_is_reached_by_tab_and_seen_to_be(visit: Visit) -> None:
    tab = visit(of_tensors(), "#step=4")
    reached = []
    for _ in range(16):
        tab.keyboard.press("Tab")
        name, outline = tab.evaluate(
            "[document.activeElement.id || document.activeElement.className, "
            "getComputedStyle(document.activeElement).outlineStyle]"
        )
        assert name == "" or outline != "none", name
        reached.append(name)
    wanted = ["graph", "side", "table", "slider", "first", "back", "play", "next", "last", "link"]
    wanted += ["speed", "predict", "fused"]
    assert [name for name in reached if name in wanted][: len(wanted)] == wanted
    status = tab.locator("#said")
    assert status.get_attribute("role") == "status"  # which is aria-live="polite"
    tab.keyboard.press("Home")
    assert status.text_content() == "Step 1. z is given. z = [3.2, 1.3, 0.5]"


def test_motion_is_reduced_where_that_is_asked_for(visit: Visit) -> None:
    spy = "() => { window.how = []; Element.prototype.scrollBy = (o) => how.push(o.behavior); }"
    for motion, how in (("reduce", "instant"), ("no-preference", "smooth")):
        tab = visit(of_tensors(), motion=motion)
        tab.evaluate(spy)
        tab.keyboard.press("End")
        assert set(tab.evaluate("how")) == {how}
    css = tab.evaluate("document.querySelector('style').textContent")
    assert "transition" not in css
    assert "animation" not in css


def test_in_print_every_step_stands_there_and_no_control(visit: Visit) -> None:
    steps = step_through(of_scalars([3.2, 1.3, 0.5]))
    tab = visit(steps, scheme="dark")
    tab.emulate_media(media="print", color_scheme="dark")
    assert tab.locator(".steps > li:visible").count() == len(steps)
    assert tab.locator(".bar").is_hidden()
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert tab.pdf().startswith(b"%PDF")


def test_colours_tell_sign_and_size(visit: Visit) -> None:
    x = Value(np.array([[-4.0, 2.0, 0.0], [1.0, -1.0, np.inf]]), name="x")
    tab = visit(step_through(x, np.ones((2, 3))))
    colours = tab.evaluate(
        "[...document.querySelectorAll('.nodes .array td')].map("
        "cell => getComputedStyle(cell).backgroundColor.match(/[\\d.]+/g).map(Number))"
    )
    orange, blue, pink = [213, 94, 0], [0, 114, 178], [255, 217, 232]  # inf, as in the picture
    assert [c[:3] for c in colours] == [orange, blue, [0, 0, 0], blue, orange, pink]
    alphas = [c[3] for c in colours[:-1]]
    np.testing.assert_allclose(alphas, np.array([1, 0.5, 0, 0.25, 0.25]) / 2, atol=0.01)


def test_a_name_in_the_column_of_nodes_stands_on_one_line(visit: Visit) -> None:
    weights = {"the second layer's weights": np.ones((12, 9)), "b": np.ones(9)}
    steps = step_through(lambda p: (p["the second layer's weights"] * p["b"]).sum(), weights)
    tab = visit(steps, width=390)
    lines = tab.evaluate(
        """() => [...document.querySelectorAll('.nodes tbody th')].map((name) => {
          const range = document.createRange();
          range.selectNodeContents(name);
          return new Set([...range.getClientRects()].map((box) => box.top)).size;
        })"""
    )
    assert set(lines) == {1}
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
