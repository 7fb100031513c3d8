"""The pictures of the README and the guide: ``python tests/pictures/make.py`` draws them anew.

A test tells when they are no longer what the code draws. Fonts and versions of Graphviz and
Chromium move pixels, so what is compared is the text: of the graph, what its SVG says; of the page,
what was to be read on it, which is kept inside the PNG file. Of the regions it is the colours.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib
from hashlib import sha256
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from tinygrad_ce import Drawing, Steps, Value, cross_entropy, draw, step_through

HERE = Path(__file__).parent
STEP = 16  # a second path arrives
READ = """() => [...document.querySelectorAll('header, .side, .bar')]
    .map(part => part.innerText.replace(/\\s+/g, ' ')).join(' | ')"""


def graph() -> Drawing:
    """Two paths into one leaf, and what flows along each."""
    x, y = Value(2.0), Value(-3.0)
    out = x * y + x
    out.backward()
    return draw(out, gradients="edges", show=["value", "gradient"])


def walk() -> Steps:
    """Softmax and cross-entropy, a letter for each step, and the fused node."""
    z, t = Value([3.2, 1.3, 0.5]), np.array([1.0, 0.0, 0.0])
    e = np.exp(z)
    s = np.sum(e)
    p = e / s
    L = -np.sum(t * np.log(p))
    return step_through(L, fused=cross_entropy(z, t))


def said(svg: str) -> dict[str, list[str]]:
    """What a picture says: the texts of each thing with an id."""
    found = {}
    for group in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}g"):
        found[group.get("id", "")] = [text.strip() for text in group.itertext() if text.strip()]
    found.pop("graph0")  # all of it, in an order of Graphviz's own
    return found


def screenshot(browser: Any) -> tuple[bytes, str]:
    """The page of the walk at a step, as PNG, and what is to be read on it."""
    size = {"width": 1280, "height": 720}
    with tempfile.TemporaryDirectory() as folder:
        walk().save(Path(folder, "steps.html"))
        tab = browser.new_page(viewport=size, offline=True, reduced_motion="reduce")
        tab.goto(f"{Path(folder, 'steps.html').as_uri()}#step={STEP}")
        png, text = tab.screenshot(), tab.evaluate(READ)
        tab.close()
    return png, text


def by_hand(z: Any, t: Any) -> Any:
    """The README's loss."""
    e = np.exp(z)
    s = e.sum()
    p = e / s
    return -(t * np.log(p)).sum()


def frames(browser: Any) -> list[tuple[bytes, str]]:
    """The page of that loss while a score is moved, and then takes steps downhill."""
    steps = step_through(by_hand, [3.2, 1.3, 0.5], np.array([1.0, 0.0, 0.0]))
    size, found = {"width": 1000, "height": 640}, []
    with tempfile.TemporaryDirectory() as folder:
        steps.save(Path(folder, "steps.html"))
        tab = browser.new_page(viewport=size, offline=True, reduced_motion="reduce")
        tab.goto(f"{Path(folder, 'steps.html').as_uri()}#step=17")
        move = "(x) => { const s = document.querySelector('input[aria-label=\"z[1], slider\"]');"
        move += " s.value = x; s.dispatchEvent(new Event('input')); }"
        for x in (1.3, 1.8, 2.3, 2.8, 3.3, 3.8):
            tab.evaluate(move, x)
            found.append((tab.screenshot(), tab.evaluate(READ)))
        for _ in range(6):
            tab.evaluate("for (let k = 0; k < 4; k++) document.querySelector('#down').click()")
            found.append((tab.screenshot(), tab.evaluate(READ)))
        tab.close()
    return found


def told(frames: list[tuple[bytes, str]]) -> str:
    """What is to be read on all of them, short."""
    return sha256("\n".join(text for _png, text in frames).encode()).hexdigest()


def moving(frames: list[tuple[bytes, str]]) -> bytes:
    """A GIF of them."""
    from PIL import Image

    first, *others = (
        Image.open(io.BytesIO(png)).convert("RGB").quantize(48) for png, _text in frames
    )
    out = io.BytesIO()
    first.save(
        out, "GIF", save_all=True, append_images=others, duration=700, loop=0, comment=told(frames)
    )
    return out.getvalue()


def card(browser: Any) -> tuple[bytes, str]:
    """The card of an answer whose sign is flipped, and what is to be read on it."""
    from tinygrad_ce import softmax
    from tinygrad_ce.exercises import softmax_cross_entropy as ex

    html = ex.check(lambda z, t: t - softmax(z))._repr_html_()
    tab = browser.new_page(viewport={"width": 880, "height": 460}, offline=True)
    tab.set_content(f"<body style='font: 16px sans-serif; background: white; padding: 4px'>{html}")
    png = tab.locator("body").screenshot()
    text = " ".join(tab.locator("body").inner_text().split())
    tab.close()
    return png, text


def with_text(png: bytes, text: str) -> bytes:
    """A PNG file with a comment, behind its first 33 bytes: signature and header."""
    chunk = b"iTXtComment\0\0\0\0\0" + text.encode()
    size, check = struct.pack(">I", len(chunk) - 4), struct.pack(">I", zlib.crc32(chunk))
    return png[:33] + size + chunk + check + png[33:]


def text_of(png: bytes) -> str:
    """The comment of such a file."""
    (size,) = struct.unpack(">I", png[33:37])
    return png[37 : 41 + size].removeprefix(b"iTXtComment\0\0\0\0\0").decode()


def regions() -> bytes:
    """What the README's example of training draws."""
    root = HERE.parents[1]
    blocks = re.findall(
        r"```python\n(.*?)```", (root / "notebooks" / "guide.md").read_text("utf-8"), re.DOTALL
    )
    (code,) = [block for block in blocks if "regions.png" in block]
    env = os.environ | {"MPLBACKEND": "agg", "PYTHONPATH": str(root)}
    with tempfile.TemporaryDirectory() as folder:
        run = [sys.executable, "-c", code]
        subprocess.run(run, check=True, cwd=folder, env=env, stdout=subprocess.DEVNULL)
        return Path(folder, "regions.png").read_bytes()


def main() -> None:
    from playwright.sync_api import sync_playwright

    graph().save(HERE / "graph.svg")
    (HERE / "regions.png").write_bytes(regions())
    with sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        (HERE / "steps.png").write_bytes(with_text(*screenshot(browser)))
        (HERE / "card.png").write_bytes(with_text(*card(browser)))
        (HERE / "live.gif").write_bytes(moving(frames(browser)))
        browser.close()


if __name__ == "__main__":
    main()
