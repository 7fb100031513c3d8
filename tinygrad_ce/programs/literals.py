"""Constants, checks and long statements as source text."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import accumulate, pairwise
from textwrap import indent
from typing import Any

import numpy as np

from ..engine.data import example
from ..engine.text import require
from .simplifier import uniform

LARGEST = 10_000  # entries of an array written out in the source
WIDTH, TAB = 88, "    "
LONG = 9  # letters of a number that its inverse, a whole one, is shorter than
STRING = re.compile(r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'""")
PRINT: Any = {
    "threshold": LARGEST + 1, "floatmode": "unique", "linewidth": WIDTH - 8,
    "infstr": "np.inf", "nanstr": "np.nan",
}  # fmt: skip


# ------------------------------------------------------------------ constants
def quoted(x: Any) -> str:
    """A string in double quotes where it can be; anything else by its repr."""
    text = repr(x)
    return f'"{text[1:-1]}"' if isinstance(x, str) and '"' not in text else text


def path_text(path: str) -> str:
    """Where a leaf stands in an argument (``["W"][0]``), its strings in double quotes."""
    return STRING.sub(lambda m: m[0] if '"' in m[0] else f'"{m[0][1:-1]}"', path)


def dtype_text(kind: Any) -> str:
    """A dtype's name."""
    return "bool" if kind == np.dtype(bool) else f"np.{kind.name}"


def number_text(x: Any, weak: bool = True) -> str:
    """A number; with its dtype, unless NumPy computes with it as ``weak`` Python numbers are."""
    kind = getattr(example(x), "dtype", np.dtype(float))
    text = re.sub(r"inf|nan", r"math.\g<0>", repr(getattr(x, "item", lambda: x)()))
    strong = kind != np.dtype(float) if kind.kind == "f" else kind.kind in "iu"
    plain = kind.kind == "b" or (weak and not strong)
    return text if plain else f"{dtype_text(kind)}({text})"


def array_text(x: Any) -> str:
    """An array's entries, written out."""
    if not x.size or uniform(x):
        return fresh_text(x)
    if x.dtype == np.dtype(int) and np.array_equal(x, np.arange(x.size)):
        return f"np.arange({x.size})"
    text = "program: f uses an array of shape {shape} that is no argument, too large to be "
    require(x.size <= LARGEST, text + "written out: make it an argument", shape=x.shape)
    with np.printoptions(**PRINT):
        return "np." + re.sub(r"dtype=(?!bool)", "dtype=np.", np.array_repr(x))


def fresh_text(x: Any, shape: Any = None, first: Any = None) -> str:
    """An array of one number, made anew in each call; in its shape and number sizes may stand."""
    kind = "" if x.dtype == np.float64 else f", {dtype_text(x.dtype)}"
    shape = x.shape if shape is None else shape
    first = (x.flat[0].item() if x.size else 0.0) if first is None else first
    if first in (0, 1) and not np.signbit(first):
        return f"np.{'ones' if first else 'zeros'}({shape}{kind})"
    return f"np.full({shape}, {number_text(first)}{kind})"


def structure_text(x: Any, leaf: Callable[[Any], str]) -> str:
    """A dict, list or tuple with ``leaf`` of what is in it."""
    if x.__class__ is dict:
        return f"{{{', '.join(f'{quoted(k)}: {structure_text(v, leaf)}' for k, v in x.items())}}}"
    if x.__class__ is list:
        return f"[{', '.join(structure_text(v, leaf) for v in x)}]"
    if x.__class__ is tuple:
        return f"({', '.join(structure_text(v, leaf) for v in x)}{',' * (len(x) == 1)})"
    return leaf(x)


# ------------------------------------------------------------------ checks
def check_shapes(shapes: dict[str, Any], got: str, wanted: str) -> list[str]:
    """Lines that refuse arrays of other shapes, given a shape for each, which may hold sizes.

    Where it would fill more lines, ``got`` and ``wanted`` are names for both sides.
    """
    ours = ", ".join(f"{x}.shape" if shape else f"np.shape({x})" for x, shape in shapes.items())
    theirs, one = ", ".join(map(repr, shapes.values())), len(shapes) == 1
    test = f"{ours} != {theirs}" if one else f"({ours}) != ({theirs})"
    message = f'    raise ValueError(f"got shapes {{{ours}}}, wanted {{{theirs}}}")'
    if len(message) + 4 <= WIDTH and '"' not in ours:
        return [f"if {test}:", message]
    comma = "," * one
    return [
        *(folded(f"{x} = ({text}{comma})") for x, text in ((got, ours), (wanted, theirs))),
        f"if {got} != {wanted}:",
        f'    raise ValueError(f"got shapes {{{got}}}, wanted {{{wanted}}}")',
    ]


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


def tolerance(kind: Any) -> float:
    """How far from 1 a sum of shares may be, as cross_entropy has it."""
    return 1e-6 if kind.itemsize >= 8 else 1e-3


def check_sums(name: str, kind: Any) -> list[str]:
    """Lines that refuse a table whose entries along the last axis do not sum to 1."""
    message = quoted(f"{name}: wanted entries that sum to 1 along the last axis")
    test = f"if not (abs({name}.sum(axis=-1) - 1.0) < {tolerance(kind)}).all():"
    return [test, f"    raise ValueError({message})"]


# ------------------------------------------------------------------ long statements
def folded(code: str, margin: int = 4) -> str:
    """A statement in as many lines as it takes: an item of its last bracket a line, or a branch."""
    if len(code) + margin <= WIDTH:
        return code
    bare = STRING.sub(lambda m: "_" * len(m[0]), code)
    depths = [*accumulate((c in "([{") - (c in ")]}") for c in bare)]
    start = next((i for i, depth in enumerate(depths) if depth), len(code))
    if start < len(code) and all(depths[start:-1]):  # the first bracket is the last to close
        commas = [i for i, (c, depth) in enumerate(zip(bare, depths)) if (c, depth) == (",", 1)]
        items = [code[i + 1 : j].strip() for i, j in pairwise([start, *commas, len(code) - 1])]
        several = code[-2] == "," or bare[start] != "(" or code[start - 1].isidentifier()
        comma = "," if several or len(items) > 1 else ""  # (x + y) is no tuple
        inner = "\n".join(f"{folded(item, margin + 4)}{comma}" for item in items if item)
        return f"{code[: start + 1]}\n{indent(inner, TAB)}\n{code[-1]}"
    name, _sign, text = code.partition(" = ")
    lines = re.sub(" (?=if |else |or )", "\n", text) if " if " in text else ""
    return f"{name} = (\n{indent(lines, TAB)}\n)" if lines and bare.count(" = ") == 1 else code
