"""Pickled graphs: a result with all that it was computed from."""

from __future__ import annotations

import copyreg
import sys
from importlib import import_module
from pickle import PicklingError
from typing import Any

import numpy as np

from .backward import topological
from .data import NONE, snapshot
from .operation import TABLE, Primitive
from .text import _
from .value import Value, detach, make_node

STATE = ("name", "grad")  # beside data, operation, arguments


def _reduce_value(v: Value) -> tuple[Any, ...]:
    """A leaf by itself; a result with its graph in a list, as a deep one is deeper than a stack.

    Nodes get new numbers where they are loaded. Leaves stay the same objects as elsewhere in what
    is pickled. An argument that is a node stands as its place, in a tuple of one.
    """
    if v.op is None:
        return Value, (v._array, v.name), (None, {"grad": v.grad, "_passes": v.passes})
    nodes = topological(v)
    place = {node: (i,) for i, node in enumerate(nodes)}
    rows: list[Any] = []
    for n in nodes:
        args = [place[p] if p.__class__ is Value else p for p in n.parents]
        state = {name: getattr(n, name) for name in STATE} | {"_passes": n.passes}
        options = NONE if n.call is None else n.call[2]
        rows.append(n if n.op is None else (n._array, n.op, args, options, state))
    return _rebuild, (rows,)


def _rebuild(rows: list[Any]) -> Value:
    """The graph of a pickled result."""
    nodes: list[Value] = []
    for row in rows:
        node = row
        if row.__class__ is tuple:
            data, op, args, options, state = row
            args = [nodes[a[0]] if a.__class__ is tuple else a for a in args]
            given = [*map(detach, args)]
            leaves = [(x, a) for x, a in zip(args, given) if x.__class__ is Value and x.op is None]
            shared = tuple((x, snapshot(a)) for x, a in leaves if a.__class__ is np.ndarray)
            node = make_node(data, op, (args, given, options, shared))
            for name, held in state.items():
                setattr(node, name, held)
        nodes.append(node)
    return nodes[-1]


def _reduce_primitive(op: Primitive) -> tuple[Any, ...]:
    """A decorated function by its name in its module, any other record by its function."""
    module, name = (getattr(op.function, f"__{which}__", "") for which in ("module", "name"))
    if name and getattr(sys.modules.get(module), name, None) is op:
        return _find, (module, name)
    if TABLE.get(op.function) is not op:
        text = "{op}: another record of its function was registered since, so it cannot be pickled"
        raise PicklingError(_(text, op=op.name))
    return _find, (None, op.function)


def _find(module: str | None, name: Any) -> Any:
    return TABLE[name] if module is None else getattr(import_module(module), name)


copyreg.pickle(Value, _reduce_value)
copyreg.pickle(Primitive, _reduce_primitive)
