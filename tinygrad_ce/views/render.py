"""From DOT to a picture: by the ``dot`` program, else by the Graphviz inside pygraphviz's wheel."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

from ..engine.text import _

NO_GRAPHVIZ = (
    'no Graphviz for a picture: pip install "tinygrad_ce[render]", '
    "or install the program dot (https://graphviz.org/download)"
)
# In a process of its own: Graphviz is not thread-safe, and its libraries write to stderr as they
# like (of fonts, mostly), past Python's.
BUNDLED = """
import sys, pygraphviz
graph = pygraphviz.AGraph(string=sys.stdin.buffer.read().decode())
sys.stdout.buffer.write(graph.draw(format=sys.argv[1], prog="dot"))
"""


def render(dot: str, form: str) -> bytes:
    """Lay out a graph as an SVG, PNG or PDF file's bytes; nothing goes to stderr.

    ImportError where no Graphviz is installed; RuntimeError with its last words where it fails.
    """
    import graphviz

    failures = []
    try:
        return bytes(graphviz.Source(dot).pipe(form, quiet=True))
    except graphviz.ExecutableNotFound:
        pass
    except graphviz.CalledProcessError as error:
        failures.append(f"dot: {error.stderr.decode(errors='replace').strip()}")
    if find_spec("pygraphviz"):
        child = [sys.executable, "-P", "-c", BUNDLED, form]
        done = subprocess.run(child, input=dot.encode(), capture_output=True, check=False)
        if done.returncode == 0:
            return done.stdout
        failures.append(f"pygraphviz: {done.stderr.decode(errors='replace').strip()[-200:]}")
    if not failures:
        raise ImportError(_(NO_GRAPHVIZ))
    problem = "Graphviz could not draw the graph: {failures}"
    raise RuntimeError(_(problem, failures="; ".join(failures)))
