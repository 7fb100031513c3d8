"""Rows that lie in Dask's chunks, and sums over them that are computed where the chunks are.

Dask does the work, on whatever scheduler is active: threads, processes or the machines of a
cluster. What goes to a chunk is a function and the parameters; what comes back is the sum over the
chunks (a loss and its gradient). Dask is imported only where a collection of its own was passed.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from ..engine.text import require
from .objective import Params, Rows, add

TREE = 8  # how many chunks' results are added in one task


def is_dask(x: Any) -> bool:
    """Return whether ``x`` is a Dask collection: an array, a DataFrame, a column of one."""
    return hasattr(x, "__dask_graph__")


def _as_array(x: Any) -> Any:
    """Return a Dask array, or the values of a DataFrame or column: sizes may be unknown."""
    if not hasattr(x, "to_dask_array"):
        return x
    dtypes = [x.dtype] if hasattr(x, "dtype") else x.dtypes
    plain = all(isinstance(dtype, np.dtype) for dtype in dtypes)
    return (x if plain else x.astype(object)).to_dask_array()  # it warns of pandas' own dtypes


def as_rows(X: Any) -> Any:
    """Return a Dask array or DataFrame as a Dask array of two axes, all columns in each chunk."""
    X = _as_array(X)
    require(X.ndim == 2, "X: got a Dask array of shape {shape}, wanted two axes", shape=X.shape)
    return X.rechunk({1: -1})


def aligned(X: Any, y: Any, weight: Any) -> tuple[Any, Any, Any]:
    """Return rows, labels and weights (1 for None) as Dask arrays with the same chunks of rows.

    Chunks without rows are left out. If the sizes of chunks are unknown, that takes a pass.
    """
    da = import_module("dask.array")
    X = _sized(as_rows(X))
    rows, columns = tuple(n for n in X.chunks[0] if n), []
    for name, column in ("y", y), ("sample_weight", weight):
        if column is None:  # a 1 that is broadcast makes Dask warn
            column = da.ones(len(X), chunks=(rows,))
        column = _sized(da.asarray(_as_array(column)))
        column = column if column.ndim else da.broadcast_to(column, (len(X),))
        text, shape = "{name}: got shape {shape} for the {n} rows of X", column.shape
        require(shape == (len(X),), text, name=name, shape=shape, n=len(X))
        columns.append(column.rechunk((rows,)))
    return X.rechunk({0: rows}), columns[0], columns[1]


def _sized(x: Any) -> Any:
    return x.copy().compute_chunk_sizes() if x.ndim and np.isnan(x.shape[0]) else x


class ChunkedRows:
    """Rows in Dask's chunks, as `Rows` are in memory: Dask arrays with the same chunks of rows."""

    def __init__(self, X: Any, y: Any, weight: Any, loss: str) -> None:
        # What the arrays share is computed once, for their chunks' keys stay.
        chunks = (x.to_delayed(optimize_graph=False).flat for x in (X, y, weight))
        self.parts, self.count, self.loss = list(zip(*chunks)), len(y), loss

    def each(self, f: Callable[..., Any], *args: Any, only: slice = slice(None)) -> list[Any]:
        """Return ``f(rows, *args)`` of the `Rows` of each chunk, or only some, to be computed."""
        call, shared = _delayed(_call), _delayed((f, args, self.loss))  # which travels once
        return [call(shared, *part) for part in self.parts[only]]

    def sum(self, f: Callable[[Rows], Params], width: int) -> Params:
        """As of `Rows`; added in the order of the chunks, whichever of them is ready first."""
        sums, add_up = self.each(Rows.sum, f, width), _delayed(add)
        while len(sums) > 1:
            sums = [add_up(sums[i : i + TREE]) for i in range(0, len(sums), TREE)]
        return list(sums[0].compute())


def _delayed(x: Any) -> Any:
    return import_module("dask").delayed(x, pure=False, traverse=False)


def _call(shared: Any, X: Any, y: Any, weight: Any) -> Any:
    f, args, loss = shared
    return f(Rows(np.asarray(X, weight.dtype), y, weight, loss), *args)
