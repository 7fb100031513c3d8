"""The pictures of the README: ``python tests/pictures/make.py`` draws them anew.

A test tells when they are no longer what the code draws. Fonts and versions of Graphviz and
Chromium move pixels, so what is compared is the text: of the graph, what its SVG says; of the page,
what was to be read on it, which is kept inside the PNG file. Of the regions it is the colours.
"""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib
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
    blocks = re.findall(r"```python\n(.*?)```", (root / "README.md").read_text("utf-8"), re.DOTALL)
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
        browser.close()


if __name__ == "__main__":
    main()
