"""Pickled graphs: a result with all that it was computed from."""

from __future__ import annotations

import copyreg
import sys
from importlib import import_module
from pickle import PicklingError
from typing import Any

from .backward import topological
from .operation import TABLE, Primitive, Rule
from .text import _
from .value import Value, make_node


def _reduce_value(v: Value) -> tuple[Any, ...]:
    """A leaf by itself; a result with its graph in a list, as a deep one is deeper than a stack.

    Nodes get new numbers where they are loaded. Leaves stay the same objects as elsewhere in what
    is pickled.
    """
    if v.op is None:
        return Value, (v._data, v.name), (None, {"grad": v.grad, "_passes": v._passes})
    nodes = topological(v)
    places = {node: i for i, node in enumerate(nodes)}
    return _rebuild, ([n if n.op is None else _record(n, places) for n in nodes],)


def _record(v: Value, places: dict[Value, int]) -> tuple[Any, ...]:
    """What a node is made of; a `Value` among its arguments is given by its place."""
    args = [(places[a], None) if a.__class__ is Value else (None, a) for a in v.parents]
    kept: dict[str, Any] = {name: getattr(v, name) for name in ("more", "name", "grad", "_passes")}
    kept["more"] = v.more and v.more._replace(rest=())
    return v._data, v.op, args, kept


def _rebuild(records: list[Any]) -> Value:
    """The graph of a pickled result."""
    nodes: list[Value] = []
    for node in records:
        if node.__class__ is not Value:
            data, op, args, kept = node
            x, y, *rest = [*(a if place is None else nodes[place] for place, a in args), None]
            node = make_node(data, op, x, y)
            for name, held in kept.items():
                setattr(node, name, held)
            node.more = kept["more"] and kept["more"]._replace(rest=tuple(rest[:-1]))
        nodes.append(node)
    return nodes[-1]


def _reduce_primitive(op: Primitive) -> tuple[Any, ...]:
    """A decorated function by its name in its module, any other record by its function."""
    module, name = (getattr(op.function, f"__{which}__", "") for which in ("module", "name"))
    if name and getattr(sys.modules.get(module), name, None) is op:
        return _decorated, (module, name)
    if TABLE.get(op.function) is not op:
        text = "{op}: another record of its function was registered since, so it cannot be pickled"
        raise PicklingError(_(text, op=op.name))
    return _record_of, (op.function,)


def _record_of(function: Rule) -> Primitive:
    return TABLE[function]


def _decorated(module: str, name: str) -> Any:
    return getattr(import_module(module), name)


copyreg.pickle(Value, _reduce_value)
copyreg.pickle(Primitive, _reduce_primitive)
