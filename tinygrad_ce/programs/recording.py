"""A function called once on arrays that record, and its backward pass on top: two graphs.

What the caller passes is named after the function's own parameters, and the outcome keeps the
caller's structure of dicts, lists and tuples.
"""

from __future__ import annotations

import inspect
import keyword
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..engine.backward import gradients, topological
from ..engine.data import as_data, example
from ..engine.transforms import flatten, unflatten
from ..engine.value import Value
from .fusion import fused
from .lines import Line, replace
from .recorder import RecordedArray, Tape, line_of

RESERVED = {*keyword.kwlist, "np", "math", "loss_and_grad", "value"} | {
    "abs", "bool", "float", "max", "min", "slice", "IndexError", "ValueError",
    "I", "O", "l",  # letters that linters take for numbers
}  # fmt: skip


@dataclass
class Recording:
    """One call of a function, and the backward pass on top, as lines."""

    parameters: list[str]
    arguments: list[tuple[Any, str, str]]  # each leaf, its parameter, and where it stands there
    lines: list[Line]
    outputs: tuple[Any, Any]  # value and gradient
    results: tuple[Any, Any]  # the same in the caller's own tuples
    differentiated: str  # the parameters that the gradient is of; "" for no gradient


def record(f: Any, args: Sequence[Any], wrt: Any, fuse: bool = False) -> Recording:
    """Call ``f`` once on arrays that record, and go backward."""
    tape, names = Tape(), parameters(f, len(args))
    numbers = () if wrt is None else (wrt,) if isinstance(wrt, int) else tuple(wrt)
    variables, arguments, filled = dict[int, list[Value]](), list[Any](), []
    for i, (arg, name) in enumerate(zip(args, names)):
        row: list[Any] = []
        for path, x in flatten(arg):
            row.append(x if _is_fixed(x) else tape.argument(x, _identifier(name + path)))
            arguments.append((row[-1], name, path))
        if i in numbers:
            row = variables[i] = [Value(x, name=x.name) for x in row]
        filled.append(unflatten(arg, row))
    with np.errstate(all="ignore"):
        out = f(*filled)
        if tape.refusal:  # that f caught: what it did instead is for no data
            raise tape.refusal
        out = fused(out) if fuse else out
        value, gradient = _data(out), None
        _name(out)
        if variables and not isinstance(out, dict | list | tuple) and np.size(value) == 1:
            slopes = _pull(out, value, variables, tape)
            found = [unflatten(args[i], slopes[i]) for i in numbers]
            gradient = found[0] if isinstance(wrt, int) else tuple(found)
    return Recording(
        parameters=names,
        arguments=replace(arguments, line_of, RecordedArray),
        lines=tape.lines,
        outputs=replace((built_in(value), built_in(gradient)), line_of, RecordedArray),
        results=(value, gradient),
        differentiated="" if gradient is None else ", ".join(names[i] for i in numbers),
    )


def _pull(
    out: Any, value: Any, variables: dict[int, list[Value]], tape: Tape
) -> dict[int, list[Any]]:
    """The gradient of each variable."""
    wanted = [v for row in variables.values() for v in row]
    found: dict[Value, Any] = dict.fromkeys(wanted)
    if out.__class__ is Value:
        if value.__class__ is RecordedArray and not value.name:
            value.name = "loss"
        number = example(out.data).__class__ is float
        seed = tape.constant(1.0 if number else np.ones(out.shape, out.dtype)[()])
        start, nodes = len(tape.lines) - 1, [*dict.fromkeys([*topological(out), *wanted])]
        found = dict(zip(nodes, gradients(out, seed, nodes)))
        new = set(tape.lines[start:])
        for v, g in found.items():
            if g.__class__ is RecordedArray is v.data.__class__ and g.line in new:
                g.line.of = g.line.of or v.data.line
    return {i: [_like(found[v], v.data) for v in row] for i, row in variables.items()}


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
        while name in RESERVED or name in names[:i]:
            name += "_"
        names[i] = name
    return names


def _identifier(text: str) -> str:
    name = re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_") or "x"
    name = f"x_{name}" if name[0].isdigit() else name
    return f"{name}_" if name in RESERVED else name


def _is_fixed(x: Any) -> bool:
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


def built_in(tree: Any) -> Any:
    """A structure of dicts, lists and tuples, which source can make."""
    if isinstance(tree, dict):
        return {k: built_in(v) for k, v in tree.items()}
    if isinstance(tree, list | tuple):
        return (list if isinstance(tree, list) else tuple)([built_in(v) for v in tree])
    return tree
