"""Pickled and copied graphs: a result with all that it was computed from."""

from __future__ import annotations

import copyreg
import sys
from importlib import import_module
from pickle import PicklingError
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from .backward import topological
from .data import NONE, VARIABLE, snapshot
from .operation import TABLE, Primitive
from .text import _
from .value import Value, detach, make_node, record_of


class _Row:
    """What stands for a result: one in a pickle, so that the result is one where it is loaded."""

    __slots__ = ("__weakref__", "node")

    def __init__(self, node: Value) -> None:
        self.node = node

    def __reduce__(self) -> tuple[Any, ...]:
        n = self.node
        state = {"name": n.name, "grad": n.grad, "_passes": n.passes}
        options = NONE if n.call is None else n.call[2]
        return _node, (n._array, n.op, [*map(_row, n.parents)], options, state)


_rows = WeakValueDictionary[int, _Row]()  # by id: a row holds its node


def _row(x: Any) -> Any:
    """An argument as it is pickled."""
    if x.__class__ is not Value or x.op is None:
        return x
    return _rows.setdefault(id(x), _Row(x))


def _reduce_value(v: Value) -> Any:
    """A leaf by itself; a result with its graph in a list, as a deep one is deeper than a stack.

    Nodes get new numbers where they are loaded, and stay the same objects as elsewhere in what is
    pickled. A variable of a transform that is under way is copied as itself: its copy would be a
    constant.
    """
    if v.call is VARIABLE:
        return _("the variable of a transform that is under way")
    if v.op is None:
        return Value, (v._array, v.name), (None, {"grad": v.grad, "_passes": v.passes})
    return _last, ([*map(_row, topological(v))],)


def _last(nodes: list[Any]) -> Any:
    """The result itself; of a shallow copy, where its row is no node yet, another one."""
    if nodes[-1].__class__ is Value:
        return nodes[-1]
    make, args = nodes[-1].__reduce__()
    return make(*args)


def _node(data: Any, op: Primitive, args: list[Any], options: Any, state: Any) -> Value:
    """The node of a row."""
    args = [x.node if x.__class__ is _Row else x for x in args]
    arrays = [*map(detach, args)]
    held = [(x, a) for x, a in zip(args, arrays) if getattr(x, "op", None) is None]
    watched = tuple((x, snapshot(a)) for x, a in held if isinstance(a, np.ndarray))
    node = make_node(data, op, (args, arrays, options, watched))
    for name, value in state.items():
        setattr(node, name, value)
    return node


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
    return record_of(name) if module is None else getattr(import_module(module), name)


copyreg.pickle(Value, _reduce_value)
copyreg.pickle(Primitive, _reduce_primitive)
