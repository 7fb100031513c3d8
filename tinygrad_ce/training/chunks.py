"""Rows that lie in Dask's chunks, and sums over them that are computed where the chunks are.

Dask does the work, on whatever scheduler is active: threads, processes or the machines of a
cluster. What goes to a chunk is a function and its small arguments (the weights); what comes back
is the function's sum over the chunks (a loss and its gradient), added up as a tree on the way.
Chunks are not kept from one sum to the next, unless the caller has said ``X.persist()``. Dask is
imported only where a collection of its own was passed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..engine.text import _

TREE = 8  # how many chunks' results are added in one task


def is_dask(x: Any) -> bool:
    """Return whether ``x`` is a Dask collection: an array, a DataFrame, a column of one."""
    return hasattr(x, "__dask_graph__")


def as_rows(X: Any) -> Any:
    """Return a Dask array or DataFrame as a Dask array of two axes, all columns in each chunk."""
    X = _as_array(X)
    if X.ndim != 2:
        text = "X: got a Dask array of shape {shape}, wanted two axes"
        raise ValueError(_(text, shape=X.shape))
    return X.rechunk({1: -1}) if X.numblocks[1] > 1 else X


def _as_array(x: Any) -> Any:
    """Return the values of a Dask DataFrame or column; the sizes of their chunks are unknown."""
    if not hasattr(x, "to_dask_array"):
        return x
    dtypes = [x.dtype] if hasattr(x, "dtype") else x.dtypes
    plain = all(isinstance(dtype, np.dtype) for dtype in dtypes)
    return (x if plain else x.astype(object)).to_dask_array()  # of pandas' own, it would warn


def map_rows(f: Callable[[Any], Any], X: Any, like: Any, name: str | None = None) -> Any:
    """Return ``f`` of every chunk of rows as a Dask array, computed when it is asked for.

    ``like`` is an array of the result's dtype and of its shape beyond the rows, ``name`` what the
    array is called where Dask shows it.
    """
    X = as_rows(X)
    if like.ndim == 1:
        return X.map_blocks(f, drop_axis=1, meta=like[:0], token=name)
    return X.map_blocks(f, chunks=(X.chunks[0], like.shape[1:]), meta=like[:0], token=name)


class Block(NamedTuple):
    """A chunk's rows, labels and weights (or None), and which chunk it is."""

    X: Any
    y: Any
    weight: Any
    place: int


class Chunks:
    """Rows of X, each with its label and weight, in Dask's chunks.

    y and weight are Dask's too, or NumPy arrays, which are sent to where the chunks are; or None.
    ``rows`` lists how many rows each chunk has; those without any are left out.
    """

    def __init__(self, X: Any, y: Any = None, weight: Any = None) -> None:
        X = _sized(as_rows(X))
        rows = X.chunks[0]
        columns = _column("y", y, rows), _column("sample_weight", weight, rows)
        blocks = enumerate(zip(_parts(X), *columns))
        self.blocks = [(*block, i) for i, block in blocks if rows[i]]
        self.rows = [n for n in rows if n]

    def each(self, f: Callable[..., Any], *args: Any) -> list[Any]:
        """Return ``f(block, *args)`` of every chunk's `Block`."""
        return list(_delayed(self._calls(f, args), traverse=True).compute())

    def sum(self, f: Callable[..., Any], *args: Any) -> Any:
        """Return the sum of ``f(block, *args)``: a number, an array, or a list or tuple of such.

        The order of additions is that of the chunks, whichever is ready first: the same sum to the
        last bit each time.
        """
        parts, add = self._calls(f, args), _delayed(_add)
        while len(parts) > 1:
            parts = [add(parts[i : i + TREE]) for i in range(0, len(parts), TREE)]
        return parts[0].compute()

    def one(self, i: int, f: Callable[..., Any], *args: Any) -> Any:
        """Return ``f(block, *args)`` of the i-th chunk alone."""
        return self._calls(f, args)[i].compute()

    def _calls(self, f: Callable[..., Any], args: Any) -> list[Any]:
        call, shared = _delayed(_call), _delayed(args)  # which travels once, not once a chunk
        return [call(f, block, shared) for block in self.blocks]


def _delayed(x: Any, traverse: bool = False) -> Any:
    from dask.delayed import delayed

    return delayed(x, pure=False, traverse=traverse)


def _sized(x: Any) -> Any:
    """Return a Dask array with the sizes of its chunks; if they are unknown, that takes a pass."""
    return x.copy().compute_chunk_sizes() if np.isnan(x.shape[0]) else x


def _parts(x: Any) -> list[Any]:
    """Return the chunks of a Dask array; what arrays share is computed once, for its keys stay."""
    return list(x.to_delayed(optimize_graph=False).flat)


def _column(name: str, column: Any, rows: tuple[int, ...]) -> list[Any]:
    """Return labels or weights chunk by chunk; an array's are sent to where the chunks are."""
    if column is None:
        return [None] * len(rows)
    lazy = is_dask(column)
    column = _sized(_as_array(column)) if lazy else np.asarray(column)
    column = np.full(sum(rows), column) if column.ndim == 0 else column
    if column.ndim != 1 or len(column) != sum(rows):
        text = "{name}: got shape {shape} for the {n} rows of X"
        raise ValueError(_(text, name=name, shape=column.shape, n=sum(rows)))
    if lazy:
        return _parts(column if column.chunks == (rows,) else column.rechunk((rows,)))
    return [_delayed(x).persist() for x in np.split(column, np.cumsum(rows)[:-1])]


def _call(f: Callable[..., Any], block: Any, args: Any) -> Any:
    return f(Block(*block), *args)


def _add(parts: list[Any]) -> Any:
    if isinstance(parts[0], tuple | list):
        return type(parts[0])(_add(list(same)) for same in zip(*parts))
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total
