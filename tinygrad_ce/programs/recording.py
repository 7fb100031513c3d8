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
from .tracing import CONSTANT, Traced, heeded

TAKEN = {*keyword.kwlist, "np", "math", "loss_and_grad", "value"} | {
    "abs", "bool", "float", "max", "min", "slice", "IndexError", "ValueError", "FREE", "buffers",
    "new_buffers", "I", "O", "l",  # letters that linters take for numbers
    "_careful", "_max", "_min", "_ndarray", "_other", "_sum",
}  # fmt: skip
INTERNAL = ("_dtype_", "_ones_")  # how other names of a compiled program begin


class Recorded:
    """One call of ``f``, and the backward pass on top, as graphs of `Traced`."""

    def __init__(self, f: Any, args: Sequence[Any], wrt: Any, fuse: bool = False) -> None:
        self.args, self.parameters = args, parameters(f, len(args))
        self.inputs: list[list[Any]] = []  # of each argument its leaves
        filled, variables = [], []
        numbers = () if wrt is None else (wrt,) if isinstance(wrt, int) else wrt
        for i, (arg, name) in enumerate(zip(args, self.parameters)):
            row = []
            for path, x in flatten(arg):
                if not _fixed(x):
                    x = Traced(None, (), {}, x)
                    x.name = _identifier(name + path)
                row.append(x)
            self.inputs.append(row)
            if i in numbers:
                own = [Value(x, name=x.name) for x in row]
                variables.append(own)
                filled.append(unflatten(arg, own))
            else:
                filled.append(unflatten(arg, row))
        with np.errstate(all="ignore"):
            out = heeded(f, filled)
            if fuse:
                out = fused(out, [x for row in self.inputs for x in row if x.__class__ is Traced])
            self.value = _data(out)
            _name(out)
            self.start = 0.0
            self.gradient: Any = None
            if variables and not isinstance(out, dict | list | tuple) and np.size(self.value) == 1:
                found = [unflatten(args[i], g) for i, g in zip(numbers, self._pull(out, variables))]
                self.gradient = found[0] if isinstance(wrt, int) else tuple(found)
                self.differentiated = ", ".join(self.parameters[i] for i in numbers)
        self.has_gradient = self.gradient is not None
        self.results = self.value, self.gradient  # with the caller's own tuples
        self.value, self.gradient = _builtin(self.value), _builtin(self.gradient)

    def _pull(self, out: Any, variables: list[list[Value]]) -> list[list[Any]]:
        wanted = [v for row in variables for v in row]
        if out.__class__ is not Value:
            found = dict.fromkeys(wanted)
        else:
            nodes = topological(out)
            if self.value.__class__ is Traced and not self.value.name:
                self.value.name = "loss"
            one: Any = 1.0 if not self._is_array(out.data) else np.ones(out.shape, out.dtype)[()]
            seed = Traced(CONSTANT, (one,), {}, one)
            self.start = seed.number
            nodes += [v for v in wanted if v not in set(nodes)]
            found = dict(zip(nodes, gradients(out, seed, nodes)))
            for v, g in found.items():
                if g.__class__ is Traced and g.number >= self.start and g.of is None:
                    g.of = v.data
        return [[self._like(found[v], v.data) for v in row] for row in variables]

    @staticmethod
    def _is_array(x: Any) -> bool:
        return (x.sample if x.__class__ is Traced else x).__class__ is not float

    @staticmethod
    def _like(g: Any, x: Any) -> Any:
        """A gradient in the shape and dtype of its argument."""
        if g is None:
            return 0.0 if x.sample.__class__ is float else np.zeros(x.shape, x.dtype)
        if x.sample.__class__ is float:
            if g.__class__ is not Traced:
                return float(g)
            return g if g.dtype == np.float64 else g.astype(np.float64)
        if g.__class__ is not Traced:
            return np.broadcast_to(np.asarray(g, x.dtype), x.shape)
        return g.astype(x.dtype)


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
    return unflatten(out, [x if x.__class__ is Traced else as_data(x, "f's result") for x in found])


def _name(out: Any) -> None:
    """Give what f's `Value`s hold the names that the user gave them."""
    for _, result in flatten(out):
        for v in topological(result) if result.__class__ is Value else ():
            if v.name and v.data.__class__ is Traced and not v.data.name:
                v.data.name = _identifier(v.name)


def _builtin(tree: Any) -> Any:
    """A structure of dicts, lists and tuples, which source can make."""
    if isinstance(tree, dict):
        return {k: _builtin(v) for k, v in tree.items()}
    if isinstance(tree, list | tuple):
        return (list if isinstance(tree, list) else tuple)([_builtin(v) for v in tree])
    return tree
