"""The list of public names: ``python tests/reference.py`` writes notebooks/reference.md anew."""

from __future__ import annotations

import inspect
from pathlib import Path

import tinygrad_ce

PAGE = Path(__file__).parents[1] / "notebooks" / "reference.md"


def text() -> str:
    """Every public name, with the first line of what its docstring says."""
    rows = []
    for name in tinygrad_ce.__all__:
        said = (inspect.getdoc(getattr(tinygrad_ce, name)) or "").partition("\n")[0]
        rows.append(f"| `{name}` | {said.replace('|', '&#124;')} |")
    return "\n".join(
        [
            "# Names",
            "",
            "All that `from tinygrad_ce import …` gives, with the first line of what `help` says.",
            "[The guide](guide.md) has examples.",
            "",
            "| name | what it is |",
            "|---|---|",
            *rows,
            "",
        ]
    )


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")
