"""A function called once on arrays that record, and its backward pass on top: two graphs.

What the caller passes is named after the function's own parameters, and the outcome keeps the
caller's structure of dicts, lists and tuples.
"""

from __future__ import annotations

import inspect
import keyword
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..engine.backward import gradients, topological
from ..engine.data import as_data
from ..engine.transforms import flatten, unflatten
from ..engine.value import Value
from .fusing import fused
from .lines import Line, replace
from .recorder import RecordedArray, Tape

TAKEN = {*keyword.kwlist, "np", "math", "loss_and_grad", "value"} | {
    "abs", "bool", "float", "max", "min", "slice", "IndexError", "ValueError",
    "I", "O", "l",  # letters that linters take for numbers
    "_ndarray", "_other", "_run",
}  # fmt: skip
INTERNAL = ("_dtype_",)  # how other names of a compiled program begin


class Recorded:
    """One call of ``f``, and the backward pass on top, as lines."""

    def __init__(self, f: Any, args: Sequence[Any], wrt: Any, fuse: bool = False) -> None:
        self.args, self.parameters, tape = args, parameters(f, len(args)), Tape()
        rows: list[list[Any]] = []  # of each argument its leaves
        filled, variables = [], []
        numbers = () if wrt is None else (wrt,) if isinstance(wrt, int) else wrt
        for i, (arg, name) in enumerate(zip(args, self.parameters)):
            row = [
                x if _fixed(x) else tape.argument(x, _identifier(name + path))
                for path, x in flatten(arg)
            ]
            rows.append(row)
            if i in numbers:
                own = [Value(x, name=x.name) for x in row]
                variables.append(own)
                filled.append(unflatten(arg, own))
            else:
                filled.append(unflatten(arg, row))
        self.inputs = replace(rows, _line, RecordedArray)
        with np.errstate(all="ignore"):
            out = f(*filled)
            if tape.refusal:  # that f caught: what it did instead is for no data
                raise tape.refusal
            if fuse:
                out = fused(out, tape)
            value = _data(out)
            _name(out)
            gradient: Any = None
            if variables and not isinstance(out, dict | list | tuple) and np.size(value) == 1:
                slopes = _pull(out, value, variables, tape)
                found = [unflatten(args[i], g) for i, g in zip(numbers, slopes)]
                gradient = found[0] if isinstance(wrt, int) else tuple(found)
                self.differentiated = ", ".join(self.parameters[i] for i in numbers)
        self.has_gradient = gradient is not None
        self.results = value, gradient  # with the caller's own tuples
        self.outputs = replace((_builtin(value), _builtin(gradient)), _line, RecordedArray)
        self.lines = tape.lines


def _line(x: RecordedArray) -> Line:
    return x.line


def _pull(out: Any, value: Any, variables: list[list[Value]], tape: Tape) -> list[list[Any]]:
    """The gradient of each variable."""
    wanted = [v for row in variables for v in row]
    if out.__class__ is not Value:
        found: dict[Value, Any] = dict.fromkeys(wanted)
    else:
        nodes = topological(out)
        if value.__class__ is RecordedArray and not value.name:
            value.name = "loss"
        number = getattr(out.data, "example", out.data).__class__ is float
        seed = tape.constant(1.0 if number else np.ones(out.shape, out.dtype)[()])
        start = len(tape.lines) - 1
        nodes += [v for v in wanted if v not in set(nodes)]
        found = dict(zip(nodes, gradients(out, seed, nodes)))
        new = set(tape.lines[start:])
        for v, g in found.items():
            if g.__class__ is RecordedArray and g.line in new and g.line.of is None:
                g.line.of = v.data.line if v.data.__class__ is RecordedArray else None
    return [[_like(found[v], v.data) for v in row] for row in variables]


def _like(g: Any, x: RecordedArray) -> Any:
    """A gradient in the shape and dtype of its argument."""
    number = x.line.kind is float
    if g is None:
        return 0.0 if number else np.zeros(x.shape, x.dtype)
    if g.__class__ is RecordedArray:
        return g.astype(np.dtype(float) if number else x.dtype)
    return float(g) if number else np.broadcast_to(np.asarray(g, x.dtype), x.shape)


def parameters(f: Any, n: int) -> list[str]:
    """A name for each of n arguments: the function's own."""
    try:
        found = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        found = []
    names: list[str] = []
    for p in found:
        if p.kind is p.VAR_POSITIONAL:
            rest, base = n - len(names), "x" if p.name == "args" else p.name
            names += [base] if rest == 1 else [f"{base}_{i}" for i in range(rest)]
        elif p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD):
            names.append(p.name)
    names = names[:n] + [f"x_{i}" for i in range(len(names), n)]
    for i, name in enumerate(names):
        name = f"x{name}" if name.startswith(INTERNAL) else name
        while name in TAKEN or name in names[:i]:
            name += "_"
        names[i] = name
    return names


def _identifier(text: str) -> str:
    name = re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_") or "x"
    name = f"x_{name}" if name[0].isdigit() else name
    return f"{name}_" if name in TAKEN else name


def _fixed(x: Any) -> bool:
    return x.__class__ is not float and x.__class__ is not np.ndarray


def _data(out: Any) -> Any:
    """What f returned, its Values replaced by what they hold."""
    found = [x.data if x.__class__ is Value else x for _, x in flatten(out)]
    kept = [x if x.__class__ is RecordedArray else as_data(x, "f's result") for x in found]
    return unflatten(out, kept)


def _name(out: Any) -> None:
    """Give what f's `Value`s hold the names that the user gave them."""
    for _, result in flatten(out):
        for v in topological(result) if result.__class__ is Value else ():
            if v.name and v.data.__class__ is RecordedArray and not v.data.name:
                v.data.name = _identifier(v.name)


def _builtin(tree: Any) -> Any:
    """A structure of dicts, lists and tuples, which source can make."""
    if isinstance(tree, dict):
        return {k: _builtin(v) for k, v in tree.items()}
    if isinstance(tree, list | tuple):
        return (list if isinstance(tree, list) else tuple)([_builtin(v) for v in tree])
    return tree
