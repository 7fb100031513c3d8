"""The cards in a notebook: to axe-core, on narrow and wide screens, in light and dark."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from conftest import TAGS, some_quick
from helpers.answers import answer_of, sm

from tinygrad_ce.exercises import load, names
from tinygrad_ce.exercises import softmax_cross_entropy as ex


def cards() -> list[str]:
    """Every kind of card."""
    regression = load("softmax_regression")
    shown: list[Any] = [
        ex,
        ex.hint(1),
        ex.solution(),
        ex.check(lambda z, t: sm(z) - t),
        ex.check(lambda z, t: np.exp(z) / np.exp(z).sum(axis=1, keepdims=True) - t),
        ex.check(lambda z, t: t - sm(z)),
        ex.check(lambda z, t: sm(z) - t / 2),
        ex.check(lambda z: z),
        ex.check(lambda z, t: z / 0),
        regression.check(lambda x, W, b, t: (W * 2, b)),
        regression.check(lambda x, W, b, t: "<b>&amp;</b>"[5]),
    ]
    return [one._repr_html_() for one in shown]


@pytest.fixture
def tab(browser: Any) -> Any:
    def opened(width: int, scheme: str) -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": 800}, color_scheme=scheme, offline=True
        )
        made.append(context)
        page = context.new_page()
        page.set_content(
            '<!DOCTYPE html><html lang="en"><meta name="color-scheme" content="light dark">'
            f"<title>Cards</title><main><h1>Cards</h1>{''.join(cards())}</main></html>"
        )
        return page

    made: list[Any] = []
    yield opened
    for context in made:
        context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1200])
def test_axe_finds_nothing_and_nothing_sticks_out(
    tab: Any, axe: str, width: int, scheme: str
) -> None:
    page = tab(width, scheme)
    page.evaluate(axe)
    found = page.evaluate(
        f"axe.run({{runOnly: {[*TAGS, 'best-practice']}}}).then(r => r.violations)"
    )
    assert [(v["id"], n["html"]) for v in found for n in v["nodes"]] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.slow
def test_the_verdict_does_not_stand_in_a_colour_alone(tab: Any) -> None:
    page = tab(1200, "light")
    passed = page.get_by_role("group", name="softmax_cross_entropy: passed, 7 of 7", exact=True)
    assert passed.inner_text().count("  yes  ") == 7
    flipped = page.get_by_role("group", name="softmax_cross_entropy: not yet, 5 of 7")
    assert "Known mistake: sign flipped." in flipped.inner_text()
    assert "\n  no   sign: " in flipped.inner_text()
    assert flipped.inner_text().count("  no   ") == 2


class Balance(HTMLParser):
    """Every tag that is opened is closed, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        assert tag not in ("script", "style", "link", "img")
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("name", some_quick(names(), 4))
def test_html_is_well_formed_and_loads_nothing(name: str) -> None:
    one = load(name)
    bent = one.check(lambda *a: tuple(np.zeros(2) for _ in one.wrt) if len(one.wrt) > 1 else a[0])
    for card in (one, one.hint(1), one.solution(), one.check(answer_of(name)), bent):
        html = card._repr_html_()
        parser = Balance()
        parser.feed(html)
        assert not parser.open
        assert "http" not in html


def test_what_a_learner_writes_is_escaped() -> None:
    def evil(z: Any, t: Any) -> Any:
        raise ValueError("<script>alert(1)</script>")

    html = ex.check(evil)._repr_html_()
    assert "<script" not in html
    assert "&lt;script&gt;" in html
