"""The lessons as they are saved: whole, executed, of two languages, and their numbers right.

They are executed by ``tests/notebooks.py``, which CI runs; here nothing is.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator
from decimal import Decimal
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from conftest import need

nbformat: Any = need("nbformat")
need("nbclient")
import notebooks  # noqa: E402

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
ENGLISH = sorted(FOLDER.glob("*.ipynb"))
KOREAN = sorted((FOLDER / "ko").glob("*.ipynb"))
BOTH = [*ENGLISH, *KOREAN]
LESSONS = [path.stem for path in ENGLISH]
CASES = json.loads(Path(__file__).with_name("seed_cases.json").read_text())
SYSTEMS = CASES["systems_named"]
README = (FOLDER / "README.md").read_text(encoding="utf-8")
OPENS = {"notebooks": "After this lesson you can", "ko": "이 단원을 마치면"}
EXTRA = {
    "ipywidgets",
    "matplotlib",
    "numpy",
    "sklearn",
    "tinygrad_ce",
}  # what the notebooks may import


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


def code(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def prose(notebook: Any) -> str:
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def printed(cell: Any) -> str:
    """What a cell shows as text, and what it says itself."""
    return "\n".join(notebooks.texts(cell))


def streams(cell: Any) -> list[str]:
    return [output.text for output in cell.outputs if output.output_type == "stream"]


def written_in(cell: Any) -> str:
    """Its code, and what checks it."""
    return "\n".join([cell.source, *cell.metadata.get("checks", [])])


def name(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


each = pytest.mark.parametrize("path", BOTH, ids=name)


def test_the_lessons_are_numbered_and_in_two_languages() -> None:
    assert [path.stem for path in KOREAN] == LESSONS
    assert [int(lesson[:2]) for lesson in LESSONS] == [*range(1, len(LESSONS) + 1)]


@pytest.mark.parametrize("path", KOREAN, ids=name)
def test_the_two_editions_have_the_same_code_which_prints_the_same(path: Path) -> None:
    english, korean = read(FOLDER / path.name), read(path)
    assert [cell.id for cell in korean.cells] == [cell.id for cell in english.cells]
    for mine, other in zip(code(korean), code(english)):
        assert (mine.source, mine.metadata) == (other.source, other.metadata)
        ours, theirs = ("\n".join(streams(cell)) for cell in (mine, other))
        assert ours == theirs or re.search("[가-힣]", ours)  # what the package says is Korean
    assert korean.metadata == english.metadata
    letters = re.findall(r"[가-힣]", prose(korean))
    assert len(letters) > len(prose(english)) / 5
    for ours, theirs in zip(korean.cells, english.cells):
        if ours.cell_type == "markdown":
            assert re.search("[가-힣]", ours.source), ours.id
            formulas = [re.sub(r"\\text\{.*?\}", "", f) for f in displayed(ours.source)]
            assert formulas == [re.sub(r"\\text\{.*?\}", "", f) for f in displayed(theirs.source)]


def displayed(text: str) -> list[str]:
    return re.findall(r"\$\$.*?\$\$", text, re.DOTALL)


@each
def test_every_cell_was_executed_in_order_and_complained_of_nothing(path: Path) -> None:
    cells = code(read(path))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        assert not notebooks.problems(cell), cell.id
    assert sum(bool(cell.outputs) for cell in cells) >= len(cells) - 1  # all but the imports


@each
def test_nothing_in_it_changes_from_run_to_run(path: Path) -> None:
    notebook = read(path)
    assert notebook.metadata == notebooks.KERNEL
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)
    for cell in notebook.cells:
        assert re.fullmatch(r"(code|text)-\d\d", cell.id)
        assert set(cell.metadata) <= {"tags", "checks"}
        assert "assert " not in cell.source or cell.cell_type != "code"  # see `checks_of`
    text = "\n".join(written_in(cell) + printed(cell) for cell in code(notebook))
    assert not re.search(r"0x[0-9a-f]{6}|/(tmp|home|root|work|usr|Users)/|[A-Z]:\\\\", text)
    assert path.read_text(encoding="utf-8") == nbformat.writes(notebook) + "\n"


@each
def test_pictures_and_pages_are_there_for_who_runs_nothing(path: Path) -> None:
    """An SVG shows in a trusted notebook only, so a PNG is beside it; a page, with its text."""
    pictures = pages = 0
    for cell in code(read(path)):
        for output in cell.outputs:
            data = output.get("data", {})
            pictures += "image/png" in data
            pages += "<iframe" in data.get("text/html", "")
            assert "image/svg+xml" not in data or {"image/png", "text/plain"} <= set(data)
            assert "<iframe" not in data.get("text/html", "") or "<details>" in data["text/html"]
            assert data == {} or "text/plain" in data
    assert pictures + pages > 1
    assert path.stat().st_size < 2e6


@each
def test_there_is_something_to_move_with_a_kernel_and_without(path: Path) -> None:
    """A live page needs none; with one there are sliders, where the numbers are a picture's."""
    outputs = [output.get("data", {}) for cell in code(read(path)) for output in cell.outputs]
    pages = [unescape(data.get("text/html", "")) for data in outputs]
    assert any('"live":{"arguments"' in page for page in pages)
    sliders = [cell for cell in code(read(path)) if re.search(r"^interact\(", cell.source, re.M)]
    assert len(sliders) == (path.stem[:2] in ("01", "03", "04", "05", "07"))
    for cell in sliders:
        assert "except ImportError" in code(read(path))[0].source
        assert printed(cell)  # what it begins with shows without a kernel
    assert not any("widget" in kind for data in outputs for kind in data)


@each
def test_it_opens_with_its_aims_and_ends_with_exercises(path: Path) -> None:
    notebook = read(path)
    opening = notebook.cells[0].source
    assert opening.startswith(f"# {LESSONS.index(path.stem) + 1} · ")
    assert OPENS[path.parent.name] in opening
    assert opening.count("\n- ") >= 4
    last = "\n".join(cell.source for cell in code(notebook)[-6:])
    exercises = re.findall(r"from tinygrad_ce\.exercises import (\w+)", last)
    assert 2 <= len(set(exercises)) <= 3
    assert len(re.findall(r"\.check\(", last)) == len(exercises)
    from tinygrad_ce.exercises import names

    assert set(exercises) <= set(names())


@pytest.mark.parametrize("path", ENGLISH, ids=name)
def test_it_is_read_in_less_than_twenty_minutes(path: Path) -> None:
    """... at 120 words a minute, code at half; the Korean edition has the same cells."""
    notebook = read(path)
    words = len(re.findall(r"\w+", prose(notebook)))
    words += sum(len(re.findall(r"\w+", cell.source)) for cell in code(notebook)) // 2
    assert words < 20 * 120
    promised = re.search(r"about (\d+) minutes", notebook.cells[0].source)
    assert promised
    assert int(promised[1]) == pytest.approx(words / 120, abs=3)


@each
def test_links_lead_somewhere(path: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", prose(read(path))):
        assert (path.parent / link).exists(), link


@each
def test_it_imports_what_the_extra_brings_and_torch_where_it_is_optional(path: Path) -> None:
    for cell in code(read(path)):
        found = set()
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add(str(node.module).partition(".")[0])
        allowed = EXTRA | ({"torch"} if "torch" in cell.metadata.get("tags", []) else set())
        assert found <= allowed | sys.stdlib_module_names, cell.id


# The numbers


def numbers(text: str) -> Iterator[Decimal]:
    """The numbers of a text; 150 000, 150,000 and 1.5·10⁵ are one."""
    text = text.replace("−", "-").replace("\\,", " ").replace("{,}", ",")
    text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text)
    text = re.sub(r" *(?:\\cdot|·|×) *10\^\{?(-?\d+)\}?", r"e\1", text)
    for found in re.findall(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?", text):
        yield Decimal(found)


def digits(x: Decimal) -> int:
    """Significant digits; of a whole number zeros at the end are none."""
    shown = x if x.as_tuple().exponent != 0 else x.normalize()
    return len(str(abs(shown)).replace(".", "").lstrip("0").partition("E")[0])


def occurs(x: Decimal, among: list[Decimal]) -> bool:
    """Whether a number stands there, perhaps with more digits; without sign, prose has words."""
    step = Decimal(1).scaleb(int(x.as_tuple().exponent))
    exact = abs(x)
    return any(
        abs(other) == exact or (digits(other) >= digits(x) and abs(abs(other) - exact) <= step / 2)
        for other in among
    )


@each
def test_every_number_in_the_prose_stands_in_the_cells_beside_it(path: Path) -> None:
    """Three digits or more: in what the code cell before or after shows. Fewer: or in its code."""
    cells = read(path).cells
    missing, checked = [], 0
    for k, cell in enumerate(cells):
        if cell.cell_type != "markdown" or k == 0:
            continue
        before = [c for c in cells[:k] if c.cell_type == "code"][-1:]
        after = [c for c in cells[k:] if c.cell_type == "code"][:1]
        shown = [x for c in before + after for x in numbers(printed(c))]
        written = shown + [x for c in before + after for x in numbers(written_in(c))]
        said = re.sub(r"\]\([^)]*\)|`[^`]*`|\*\*\d\.\d\*\*", "", cell.source)  # links, code, 1.2
        for x in numbers(said):
            if digits(x) >= 3 or "." in str(x):
                checked += 1
                if not occurs(x, shown if digits(x) >= 3 else written):
                    missing.append((cell.id, str(x)))
    assert not missing
    assert checked >= 2


def test_the_check_of_numbers_can_fail() -> None:
    seen = list(numbers("0.8218 and [-0.1782, 1.5e-07] and 24.5325"))
    assert [str(x) for x in seen] == ["0.8218", "-0.1782", "1.5E-7", "24.5325"]
    assert all(occurs(Decimal(x), seen) for x in ("0.8218", "0.178", "24.53", "-24.5325"))
    assert not any(occurs(Decimal(x), seen) for x in ("0.8219", "0.179", "24.54", "24.53251"))
    assert [digits(Decimal(x)) for x in ("150", "1000", "0.0552", "3.20", "12.0")] == [
        2,
        1,
        3,
        3,
        3,
    ]


# What the documents name and compute


def test_every_system_named_is_found_where_the_readme_says() -> None:
    table = dict(re.findall(r"^\| (.+?) \| ((?:\d, )*\d) \|$", README, re.MULTILINE))
    assert sorted(table) == sorted(SYSTEMS)
    for system, where in table.items():
        for number in where.split(", "):
            (path,) = FOLDER.glob(f"0{number}_*.ipynb")
            assert system in path.read_text(encoding="utf-8"), (system, number)


def leaves(tree: Any) -> Iterator[float]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            if key not in ("digits", "tolerance", "shapes", "systems_named"):
                yield from leaves(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from leaves(value)
    elif isinstance(tree, int | float):
        yield tree


@pytest.mark.slow
def test_checks_that_fail_are_told_as_their_cells_error() -> None:
    v4 = nbformat.v4
    right, wrong = (
        v4.new_code_cell("x = 1", metadata={"checks": ["print(x)", c]})
        for c in ("assert x", "assert not x")
    )
    done = notebooks.executed(v4.new_notebook(cells=[right, wrong]), FOLDER)
    assert [len(notebooks.problems(cell)) for cell in done.cells] == [0, 1]
    assert [len(cell.outputs) for cell in done.cells] == [0, 1]  # what a check prints is not shown


@pytest.mark.slow
@pytest.mark.parametrize("lesson", ["01", "03", "04", "05", "07"])
def test_with_ipywidgets_the_pictures_have_sliders(lesson: str) -> None:
    need("ipywidgets")
    (path,) = FOLDER.glob(f"{lesson}_*.ipynb")
    notebook = read(path)
    notebook.cells = [c for c in notebook.cells if "torch" not in c.metadata.get("tags", [])]
    last = max(k for k, c in enumerate(notebook.cells) if "\ninteract(" in c.source)
    notebook.cells = notebook.cells[: last + 1]
    done = notebooks.executed(notebook, FOLDER, sliders=True)
    assert not [text for cell in code(done) for text in notebooks.problems(cell)]
    kinds = [kind for output in done.cells[last].outputs for kind in output.get("data", {})]
    assert "application/vnd.jupyter.widget-view+json" in kinds


def test_every_figure_of_the_documents_is_in_the_lessons() -> None:
    text = "\n".join(written_in(c) + "\n" + printed(c) for p in ENGLISH for c in code(read(p)))
    there = {abs(float(x)) for x in numbers(text)}
    figures = {abs(float(x)) for x in leaves(CASES)}
    assert len(figures) > 100
    assert not [x for x in figures if not any(abs(x - y) < 1e-9 * (1 + x) for y in there)]


# The command that executes them


def test_executing_again_is_compared_by_what_shows() -> None:
    v4 = nbformat.v4

    def one(text: str, png: str = "a") -> Any:
        picture = v4.new_output("display_data", {"image/png": png, "text/plain": "<Figure>"})
        cell = v4.new_code_cell("", outputs=[v4.new_output("stream", text=text), picture])
        return v4.new_notebook(cells=[cell])

    assert not notebooks.differences(
        one("loss 0.1962, off by 2.2e-16"), one("loss 0.1962, off by 3.1e-15", "b")
    )
    assert notebooks.differences(one("loss 0.1962"), one("loss 0.1963"))
    assert notebooks.problems(v4.new_code_cell(outputs=[v4.new_output("stream", name="stderr")]))


@pytest.mark.slow
def test_the_lessons_as_pages_open_without_python_and_without_a_network(
    browser: Any, tmp_path: Path
) -> None:
    need("nbconvert")
    assert notebooks.main(["--html", str(tmp_path)]) == 0
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("**/*.html")}
    lessons = {path.with_suffix(".html").relative_to(FOLDER).as_posix() for path in BOTH}
    assert written == {"index.html", "ko/index.html", *lessons}
    problems: list[str] = []
    tab = browser.new_page(viewport={"width": 390, "height": 800}, offline=True)
    tab.on("console", lambda message: problems.append(message.text))
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.on("request", lambda request: problems.append(request.url))
    for name in sorted(written):
        tab.goto((tmp_path / name).as_uri())
        assert tab.evaluate("document.documentElement.scrollWidth") <= 390, name
        widths = tab.evaluate("[...document.images].map((picture) => picture.width)")
        assert max(widths, default=0) <= 390, name  # they shrink
        links = tab.evaluate("[...document.querySelectorAll('a')].map((a) => a.pathname)")
        there = [link for link in links if link.endswith(".html")]
        assert all(Path(link).exists() for link in there), name
        assert there
    assert {url for url in problems if not url.startswith(("file:", "data:", "about:"))} == set()
    tab.goto((tmp_path / "02_p_minus_t.html").as_uri())
    assert tab.locator("math").count() > 20
    live = tab.frame_locator("iframe").first
    before = live.locator("#loss").text_content()
    live.locator("#down").evaluate("(button) => button.click()")
    assert live.locator("#loss").text_content() != before
    tab.close()
