"""Constants, checks and long statements as source text."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from ..engine.text import _
from .cleaning import uniform

LARGEST = 10_000  # entries of an array written out in the source
WIDTH = 88
STRING = re.compile(r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'""")


# ------------------------------------------------------------------ constants
def quoted(x: Any) -> str:
    """A string as formatters have it; anything else by its repr."""
    text = repr(x)
    return f'"{text[1:-1]}"' if isinstance(x, str) and '"' not in text else text


def path_text(path: str) -> str:
    """Where a leaf stands in an argument (``["W"][0]``), its strings as formatters have them."""
    return STRING.sub(lambda m: m[0] if '"' in m[0] else f'"{m[0][1:-1]}"', path)


def dtype_text(kind: Any) -> str:
    """A dtype's name."""
    return "bool" if kind == np.dtype(bool) else f"np.{kind.name}"


def number_text(x: Any, module: str, weak: bool) -> str:
    """A number; with its dtype, unless NumPy computes with it as ``weak`` Python numbers are."""
    kind = getattr(x, "dtype", np.dtype(float))
    text = re.sub(r"inf|nan", lambda m: f"{module}.{m[0]}", repr(getattr(x, "item", lambda: x)()))
    strong = kind != np.dtype(float) if kind.kind == "f" else kind.kind in "iu"
    plain = kind.kind == "b" or (weak and not strong)
    return text if plain else f"{dtype_text(kind)}({text})"


def array_text(x: Any) -> str:
    """An array's entries, written out."""
    if not x.size or uniform(x):
        return fresh_text(x)
    shape = "" if x.ndim == 1 else f".reshape({x.shape})"
    flat = x.reshape(-1)
    if flat.dtype == np.dtype(int) and (progression := _progression(flat)):
        return f"np.arange({progression}){shape}"
    if x.size > LARGEST:
        raise ValueError(
            _(
                "program: f uses an array of shape {shape} that is no argument, too large to be "
                "written out: make it an argument",
                shape=x.shape,
            )
        )
    default = flat.dtype in (np.dtype(float), np.dtype(int), np.dtype(bool))
    kind = "" if default else f", dtype={dtype_text(x.dtype)}"
    items = [number_text(v.item(), "np", weak=True) for v in flat]
    line = f"np.array([{', '.join(items)}]{kind}){shape}"
    if len(line) <= WIDTH - 8:
        return line
    words = any("n" in item for item in items)  # np.inf: formatters put each in its own line
    rows = [""]
    for item in items:
        if rows[-1] and (words or len(rows[-1]) + len(item) + 2 > WIDTH - 8):
            rows.append("")
        rows[-1] += f"{' ' if rows[-1] else ''}{item},"
    inner = "\n".join(f"        {row}" for row in rows)
    tail = f"    {kind[2:]},\n" if kind else ""
    packed = "" if words else "  # fmt: skip"  # formatters would give each entry a line
    return f"np.array(\n    [\n{inner}\n    ],\n{tail}){shape}{packed}"


def _progression(x: Any) -> str:
    """What np.arange makes such whole numbers of; "" if it makes none."""
    first, step = int(x[0]), int(x[1] - x[0]) if x.size > 1 else 1
    stop = first + step * x.size
    if not step or not np.array_equal(x, np.arange(first, stop, step)):
        return ""
    return f"{stop}" if (first, step) == (0, 1) else f"{first}, {stop}, {step}"


def fresh_text(x: Any) -> str:
    """An array of one number, made anew in each call."""
    kind = "" if x.dtype == np.float64 else f", {dtype_text(x.dtype)}"
    if not x.size or (x.flat[0] == 0 and not np.signbit(x.flat[0])):
        return f"np.zeros({x.shape}{kind})"
    if x.flat[0] == 1:
        return f"np.ones({x.shape}{kind})"
    return f"np.full({x.shape}, {number_text(x.flat[0].item(), 'np', weak=True)}{kind})"


# ------------------------------------------------------------------ checks
def check_fixed(name: str, x: Any) -> list[str]:
    """Lines that refuse another value of an argument that is fixed."""
    if callable(x):
        return []
    how = "is not" if x is None or isinstance(x, bool) else "!="
    message = quoted(f"this program is for {name} = {x}")
    return [f"if {name} {how} {quoted(x)}:", f"    raise ValueError({message})"]


def check_range(name: str, low: int, high: int, besides: int | None = None) -> list[str]:
    """Lines that refuse an index out of range."""
    wanted = f"{name}: wanted indices from {low} to {high - 1}"
    test = f"if {name}.min() < {low} or {name}.max() >= {high}:"
    if besides is not None:
        wanted += f", or {besides}"
        test = f"if ((({name} < {low}) | ({name} >= {high})) & ({name} != {besides})).any():"
    return [test, f"    raise IndexError({quoted(wanted)})"]


# ------------------------------------------------------------------ long statements
def indented(text: str) -> str:
    """The lines of a body."""
    return "    " + text.replace("\n", "\n    ")


def _bracketed(code: str) -> tuple[int, list[str]] | None:
    """Where the bracket opens that the code ends with, and what stands in it, item by item."""
    bare = STRING.sub(lambda m: "_" * len(m[0]), code)
    start = min((i for i in map(bare.find, "([{") if i >= 0), default=-1)
    items, depth, last = list[str](), 0, start + 1
    for i in range(max(start, 0), len(bare)):
        depth += (bare[i] in "([{") - (bare[i] in ")]}")
        if (bare[i] == "," and depth == 1) or not depth:
            items.append(code[last:i].strip())
            last = i + 1
        if not depth:
            break
    return (start, [item for item in items if item]) if start >= 0 and last == len(code) else None


def folded(code: str, indent: int = 4) -> str:
    """A statement in as many lines as it takes, as formatters have it."""
    if len(code) + indent <= WIDTH:
        return code
    if not (found := _bracketed(code)):
        return _in_brackets(code)
    start, items = found
    line, is_call = ", ".join(items), re.search(r"\w\($", code[: start + 1])
    if not is_call or len(line) + indent + 4 > WIDTH:
        line = "\n".join(f"{folded(item, indent + 4)}," for item in items)
    return f"{code[: start + 1]}\n{indented(line)}\n{code[-1]}"


def _in_brackets(code: str) -> str:
    """``name = (`` and the expression in lines of its own."""
    name, sign, text = code.partition(" = ")
    for split in (" (?=if |else )", " (?=or )"):
        if max(map(len, text.split("\n"))) + 8 > WIDTH and code.count(" if ") == 1:
            text = re.sub(split, "\n    ", text)
    fits = max(map(len, text.split("\n"))) + 8 <= WIDTH
    return f"{name} = (\n    {text}\n)" if sign and fits else code
