"""Execute the lessons: ``python tests/notebooks.py`` saves what comes out, ``--check`` compares.

Each edition is executed in its own language. Nothing that changes from run to run is saved (times,
execution counts of another order, ids of displays), so that executing again makes no difference in
the files; and no slider, which needs a kernel: in its place is the picture that it begins with.

``--check`` writes nothing. It fails if a cell raises or warns, if a lesson takes longer than 15 s,
or if what is printed differs from what is saved. Pictures must be there; their bytes depend on the
versions of Graphviz and Matplotlib. Cells tagged ``torch`` are compared where PyTorch is installed.

``--html FOLDER`` writes the lessons as they are saved as pages that open by a double click, without
Python and without a network: formulas are MathML, the pages of steps in them are alive.
"""

from __future__ import annotations

import difflib
import logging
import os
import re
import sys
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbformat import v4

LESSONS = Path(__file__).resolve().parents[1] / "notebooks"
LONGEST = 15  # seconds of a processor, which other work beside it does not change
TEXT = "text/plain"
NARROW = ".jp-RenderedSVG img { max-width: 100%; height: auto; }"
KERNEL = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def texts(cell: Any) -> list[str]:
    """What a code cell printed, showed as text, and which pictures and pages it showed.

    Numbers below 1e-8 are round-off, and another processor's is another.
    """
    found = []
    for output in cell.outputs:
        if output.output_type == "stream":
            found.append(output.text)
        elif output.output_type == "error":
            found.append(f"{output.ename}: {output.evalue}")
        else:
            kinds = sorted(kind for kind in output.data if kind != TEXT)
            found += [output.data.get(TEXT, ""), *(f"<{kind}>" for kind in kinds)]
    return [re.sub(r"-?\d(\.\d+)?e-(09|[1-9]\d)", "tiny", text) for text in found]


def problems(cell: Any) -> list[str]:
    """Errors and warnings: whatever went to stderr."""
    return [
        "\n".join(output.get("traceback", [output.get("text", "")]))
        for output in cell.outputs
        if output.output_type == "error" or output.get("name") == "stderr"
    ]


def merged(outputs: list[Any]) -> list[Any]:
    """Join what was printed in several pieces: where it is cut depends on the time."""
    kept: list[Any] = []
    for output in outputs:
        last = kept[-1] if kept else {}
        if output.get("name") == last.get("name", "") and output.output_type == "stream":
            last.text += output.text
        else:
            kept.append(output)
    return kept


def checks_of(cell: Any) -> Any:
    """A cell of a cell's checks, to come after it; None if it has none."""
    lines = cell.metadata.get("checks")
    return lines and v4.new_code_cell("\n".join(lines), metadata={"after": cell.id})


def executed(notebook: Any, where: Path, sliders: bool = False) -> Any:
    """A copy of a notebook, executed from top to bottom in a kernel of its own.

    After each cell come its checks, which stand in its metadata, out of a reader's sight; one that
    fails is an error of the cell's.
    """
    copy = nbformat.from_dict(notebook)
    lang = "ko" if where.name == "ko" else "en"
    lines = ["import os, sys", f"os.environ['TINYGRAD_CE_LANG'] = {lang!r}"]
    lines += ["sys.modules['ipywidgets'] = None"] * (not sliders)
    before = v4.new_code_cell("\n".join(lines), metadata={"after": ""})
    parts = (part for cell in copy.cells for part in (cell, checks_of(cell)) if part)
    copy.cells = [before, *parts]
    client = NotebookClient(
        copy, timeout=60, kernel_name="python3", allow_errors=True,
        extra_arguments=["--log-level=ERROR"],  # it warns of TCP without encryption, to itself
        resources={"metadata": {"path": str(where)}},
    )  # fmt: skip
    client.execute()
    for cell, check in pairwise(copy.cells):
        if "after" in check.metadata:
            cell.outputs += [
                v4.new_output("stream", name="stderr", text=x) for x in problems(check)
            ]
    copy.cells = [cell for cell in copy.cells if "after" not in cell.metadata]
    copy.metadata = nbformat.from_dict(KERNEL)
    count = 0
    for cell in copy.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.execution_count = count = count + 1
            cell.outputs = merged(cell.outputs)
            for output in cell.outputs:
                output.pop("transient", None)
                if "execution_count" in output:
                    output.execution_count = count
    return copy


def write(notebook: Any, path: Path) -> None:
    """Write a notebook, the same each time."""
    path.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")


def differences(saved: Any, new: Any) -> list[str]:
    """How two executions of one notebook differ, as a diff a cell."""
    found = []
    for before, after in zip(saved.cells, new.cells):
        tags = before.metadata.get("tags", [])
        if before.cell_type != "code" or ("torch" in tags and not find_spec("torch")):
            continue
        old, now = texts(before), texts(after)
        if old != now:
            lines = ("\n".join(part).splitlines() for part in (old, now))
            diff = difflib.unified_diff(*lines, "saved", "now", lineterm="")
            found.append(f"cell {before.id}:\n" + "\n".join(diff))
    return found


def typeset(markdown: str) -> str:
    """Markdown with its formulas as MathML."""
    from tinygrad_ce.views.steps import mathml

    def put(match: re.Match[str]) -> str:
        if match[1]:  # code
            return match[0]
        math = mathml((match[2] or match[3]).strip())
        block = math.replace("<math", '<math display="block"', 1)
        return f"\n\n{block}\n\n" if match[2] else math

    return re.sub(
        r"(```.*?```|`[^`\n]*`)|\$\$(.+?)\$\$|\$([^$\n]+)\$", put, markdown, flags=re.DOTALL
    )


def pages(folder: Path) -> None:
    """Write every lesson, in both editions, and their READMEs as the first pages."""
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(mathjax_url="", require_js_url="", jquery_url="")
    first = {
        path.relative_to(LESSONS).with_name("index.ipynb"): v4.new_notebook(
            cells=[v4.new_markdown_cell(path.read_text("utf-8"))]
        )
        for path in LESSONS.glob("**/README.md")
    }
    notebooks = {
        path.relative_to(LESSONS): nbformat.read(path, 4)
        for path in LESSONS.glob("**/[0-9]*.ipynb")
    }
    for name, notebook in {**first, **notebooks}.items():
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                links = re.sub(r"(\]\([^)]*)\.ipynb", r"\1.html", cell.source)
                cell.source = typeset(links.replace("README.md)", "index.html)"))
        notebook.metadata.title = name.stem.replace("_", " ")
        html, _resources = exporter.from_notebook_node(notebook)
        html = html.replace("</head>", f"<style>{NARROW}</style></head>", 1)
        path = folder / name.with_suffix(".html")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            re.sub(
                r"<script[^>]*(src=|mathjax)[^>]*>.*?</script>", "", html, flags=re.DOTALL | re.I
            ),
            encoding="utf-8",
        )


def main(argv: list[str]) -> int:
    """Execute the lessons whose file name starts with one of the arguments; all by default."""
    if argv[:1] == ["--html"]:
        pages(Path(argv[1]))
        return 0
    check, starts = "--check" in argv, tuple(a for a in argv if a != "--check")
    logging.getLogger("traitlets").setLevel(logging.ERROR)
    if find_spec("matplotlib"):
        import matplotlib.font_manager  # noqa: F401 - it may build its cache, and say so: not there
    failed = 0
    for path in sorted(LESSONS.glob("**/[0-9]*.ipynb")):
        if starts and not path.name.startswith(starts):
            continue
        saved, begun = nbformat.read(path, as_version=4), sum(os.times()[:4])
        new = executed(saved, path.parent)
        took = sum(os.times()[:4]) - begun
        wrong = [p for cell in new.cells if cell.cell_type == "code" for p in problems(cell)]
        if took > LONGEST:
            wrong.append(f"it took longer than {LONGEST} s")
        if check:
            wrong += differences(saved, new)
        elif not wrong:
            write(new, path)
        print(f"{path.relative_to(LESSONS)}: {took:.1f} s", *wrong, sep="\n", flush=True)
        failed += bool(wrong)
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
