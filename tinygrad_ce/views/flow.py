"""What flows along an edge in the backward pass: upstream, times local derivative, is the share."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..engine.data import fit
from ..engine.operation import TABLE, Primitive
from ..engine.value import Value, detach


def entrywise(op: Primitive) -> bool:
    """Return whether every entry of the result depends on one entry of each argument."""
    keys = [function for function, record in TABLE.items() if record is op]
    return any(
        f in (np.where, np.clip) or (isinstance(f, np.ufunc) and f.signature is None) for f in keys
    )


def pull(node: Value, k: int, g: Any) -> Any:
    """Return what the rule of argument k makes of an upstream gradient, broadcasting not undone."""
    assert node.op is not None
    vjp = [rule for rule, _ in zip(node.op.vjps, node.parents)][k]
    assert vjp is not None
    given = [g, node.data, *map(detach, node.parents)]
    options = {name: value for name, value in node.options.items() if name != "saved"}
    try:
        return vjp(*given, **options)
    except ArithmeticError:  # floats divided by 0: NumPy's have inf and nan
        return vjp(*(np.float64(a) if isinstance(a, float) else a for a in given), **options)


def share(node: Value, k: int, g: Any) -> Any:
    """Return what a node hands its argument k: of the argument's shape and dtype."""
    assert node.op is not None
    return fit(pull(node, k, g), node.parents[k].data, node.op)


def local_derivative(node: Value, k: int) -> Any:
    """Return what upstream is multiplied with, entry by entry; None where the rule is no product.

    It has the node's shape: an argument that broadcasting repeated gets the sum of the products.
    """
    assert node.op is not None
    one = 1.0 if isinstance(node.data, float) else np.ones_like(node.data)
    if node.size == 1:
        return share(node, k, one)
    return pull(node, k, one) if entrywise(node.op) else None
