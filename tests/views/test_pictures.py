"""The pictures of the README are what the code draws."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import need

HERE = Path(__file__).parents[1] / "pictures"
REGIONS = HERE / "regions.png"
sys.path.append(str(HERE))
import make  # noqa: E402

AGAIN = "draw it anew: python tests/pictures/make.py"


def test_the_graph_is_as_it_is_drawn() -> None:
    need("pygraphviz")
    kept = (HERE / "graph.svg").read_text(encoding="utf-8")
    assert make.said(kept) == make.said(make.graph().svg), AGAIN
    assert any("1 + (−3) = −2" in line for line in make.said(kept)["node-0"])
    assert len(kept) < 20_000


@pytest.mark.slow
def test_the_screenshot_is_of_the_page_as_it_is(browser: Any) -> None:
    need("latex2mathml")
    kept = (HERE / "steps.png").read_bytes()
    png, text = make.screenshot(browser)
    assert make.text_of(kept) == text, AGAIN
    assert make.text_of(make.with_text(png, text)) == text
    assert kept[16:24] == png[16:24], AGAIN  # its width and height
    assert len(kept) < 150_000


@pytest.mark.slow
def test_the_regions_are_those_of_the_model() -> None:
    need("sklearn")
    image = need("matplotlib.image")
    kept, drawn = (image.imread(io.BytesIO(png)) for png in (REGIONS.read_bytes(), make.regions()))
    assert kept.shape == drawn.shape, AGAIN
    assert np.abs(kept - drawn).mean() < 0.01, AGAIN  # letters are few, regions are large
    assert len(REGIONS.read_bytes()) < 150_000


def test_the_readme_shows_them() -> None:
    root, picture = HERE.parents[1], r"!\[[^\]]+\]\([./]*tests/pictures/([^)]+)\)"
    shown = [
        re.findall(picture, (root / page).read_text(encoding="utf-8"))
        for page in ("README.md", "notebooks/guide.md")
    ]
    assert shown == [["live.gif", "card.png"], ["graph.svg", "steps.png", "regions.png"]]


@pytest.mark.slow
def test_the_moving_picture_and_the_card_are_those_of_the_pages_as_they_are(browser: Any) -> None:
    need("latex2mathml")
    frames = make.frames(browser)
    with need("PIL.Image").open(HERE / "live.gif") as kept:
        assert kept.n_frames == len(frames)
        assert kept.info["comment"].decode() == make.told(frames), AGAIN
    assert (HERE / "live.gif").stat().st_size < 500_000
    png, text = make.card(browser)
    assert make.text_of((HERE / "card.png").read_bytes()) == text, AGAIN
    assert len(png) < 150_000
