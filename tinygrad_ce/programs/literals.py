"""Constants, structures and checks as source text."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from .cleaning import uniform

LARGEST = 10_000  # entries of an array written out in the source
WIDTH = 88


def array_text(x: Any, literal: Any) -> str:
    """An array's entries, written out by ``literal``."""
    if not x.size or uniform(x):
        return fresh(x, literal)
    shape = "" if x.ndim == 1 else f".reshape({x.shape})"
    flat = x.reshape(-1)
    default = flat.dtype in (np.dtype(float), np.dtype(int), np.dtype(bool))
    kind = "" if default else f", dtype={dtype_text(x.dtype)}"
    if flat.dtype == np.dtype(int) and (progression := _progression(flat)):
        return f"np.arange({progression}){shape}"
    if x.size > LARGEST:
        raise ValueError(
            f"program: f uses an array of shape {x.shape} that is no argument, too large to be "
            "written out: make it an argument"
        )
    if flat.dtype == np.dtype(bool) and x.size > 4:  # as numbers they are many in a line
        flat, kind = flat.view(np.uint8), ", dtype=bool"
    items = [literal(v.item()) for v in flat]
    line = f"np.array([{', '.join(items)}]{kind}){shape}"
    if len(line) <= WIDTH - 8:
        return line
    rows, row = [], ""
    words = any("n" in item for item in items)  # np.inf: formatters put each in its own line
    for item in items:
        if row and (words or len(row) + len(item) + 2 > WIDTH - 8):
            rows.append(row)
            row = ""
        row += ("" if not row else " ") + item + ","
    inner = "\n".join(f"        {r}" for r in [*rows, row])
    tail = f"    dtype={dtype_text(x.dtype)},\n" if kind else ""
    packed = "" if words else "  # fmt: skip"  # formatters would give each entry a line
    return f"np.array(\n    [\n{inner}\n    ],\n{tail}){shape}{packed}"


def _progression(x: Any) -> str:
    """What np.arange makes such whole numbers of; "" if it makes none."""
    first, step = int(x[0]), int(x[1] - x[0]) if x.size > 1 else 1
    stop = first + step * x.size
    if not step or not np.array_equal(x, np.arange(first, stop, step)):
        return ""
    return f"{stop}" if (first, step) == (0, 1) else f"{first}, {stop}, {step}"


def fresh(x: Any, literal: Any) -> str:
    """A constant result, made anew in each call."""
    if x.__class__ is np.ndarray and x.size and not uniform(x):
        return f"{literal(x)}.copy()"
    if x.__class__ is np.ndarray:
        kind = "" if x.dtype == np.float64 else f", {dtype_text(x.dtype)}"
        if not x.size or (x.flat[0] == 0 and not np.signbit(x.flat[0])):
            return f"np.zeros({x.shape}{kind})"
        if x.flat[0] == 1:
            return f"np.ones({x.shape}{kind})"
        return f"np.full({x.shape}, {literal(x.flat[0].item())}{kind})"
    return str(literal(x))


def dtype_text(kind: Any) -> str:
    """A dtype's name."""
    return "bool" if kind == np.dtype(bool) else f"np.{kind.name}"


def function_text(f: Any) -> str:
    """A NumPy function's name."""
    owner = getattr(f, "__self__", None)
    if owner.__class__ is np.ufunc:
        return f"np.{owner.__name__}.{f.__name__}"
    module = (getattr(f, "__module__", None) or "numpy").replace("numpy", "np", 1)
    return f"{module}.{f.__name__}" if not module.startswith("np._") else f"np.{f.__name__}"


def quoted(x: Any) -> str:
    """A string as formatters have it; anything else by its repr."""
    text = repr(x)
    return f'"{text[1:-1]}"' if isinstance(x, str) and '"' not in text else text


def path_text(path: str) -> str:
    """Where a leaf stands in an argument (``["W"][0]``), its strings as formatters have them."""
    strings = r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'"""
    return re.sub(strings, lambda m: m[0] if '"' in m[0] else f'"{m[0][1:-1]}"', path)


def check_fixed(name: str, x: Any) -> list[str]:
    """Lines that refuse another value of an argument that is fixed."""
    if callable(x):
        return []
    shown = quoted(x) if isinstance(x, str) else repr(x)
    how = "is not" if x is None or isinstance(x, bool) else "!="
    message = quoted(f"this program is for {name} = {x}")
    return [f"if {name} {how} {shown}:", f"    raise ValueError({message})"]


def check_range(name: str, low: int, high: int, besides: int | None = None) -> list[str]:
    """Lines that refuse an index out of range."""
    wanted = f"{name}: wanted indices from {low} to {high - 1}"
    test = f"if {name}.min() < {low} or {name}.max() >= {high}:"
    if besides is not None:
        wanted += f", or {besides}"
        test = f"if ((({name} < {low}) | ({name} >= {high})) & ({name} != {besides})).any():"
    return [test, f"    raise IndexError({quoted(wanted)})"]


def wrapped(start: str, tree: Any, end: str, indent: int = 0) -> str:
    """One line if it fits, else a line an item."""
    flat: str = start + _flat_text(tree) + end
    if tree.__class__ is str or len(flat) + 4 + 4 * indent <= WIDTH:
        return flat
    left, items, right = tree
    inner = ["    " * (indent + 1) + wrapped(label, item, ",", indent + 1) for label, item in items]
    return "\n".join([start + left, *inner, "    " * indent + right.lstrip(",") + end])


def broken(code: str) -> str:
    """A call in one line if it fits, else its arguments in one, else each in its own."""
    start, bracket, rest = code.partition("(")
    if len(code) + 4 <= WIDTH:
        return code
    if not bracket or not rest.endswith(")"):
        return _in_brackets(code)
    parts, depth, text = [""], 0, False
    for letter in rest[:-1]:
        text ^= letter == '"'
        depth += 0 if text else (letter in "([{") - (letter in ")]}")
        if depth < 0:
            return _in_brackets(code)
        if letter == "," and not depth and not text:
            parts.append("")
        else:
            parts[-1] += letter
    parts = [part.strip() for part in parts]
    line = ", ".join(parts)
    if len(line) + 8 > WIDTH:
        line = "\n".join(f"{broken(part)}," for part in parts)
    return f"{start}(\n{indented(line)}\n)"


def _in_brackets(code: str) -> str:
    """``name = (`` and the expression in lines of its own, as formatters have it."""
    name, sign, text = code.partition(" = ")
    for split in (" (?=if |else )", " (?=or )"):
        if max(map(len, text.split("\n"))) + 8 > WIDTH and code.count(" if ") == 1:
            text = re.sub(split, "\n    ", text)
    fits = max(map(len, text.split("\n"))) + 8 <= WIDTH
    return f"{name} = (\n    {text}\n)" if sign and fits else code


def _flat_text(tree: Any) -> str:
    if tree.__class__ is str:
        return str(tree)
    left, items, right = tree
    return f"{left}{', '.join(label + _flat_text(item) for label, item in items)}{right}"


def indented(text: str) -> str:
    """The lines of a body."""
    return "    " + text.replace("\n", "\n    ")
