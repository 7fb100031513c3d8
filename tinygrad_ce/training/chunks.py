"""Rows that lie in Dask's chunks, and sums over them that are computed where the chunks are.

Dask does the work, on whatever scheduler is active: threads, processes or the machines of a
cluster. What goes to a chunk is a function and its small arguments (the weights); what comes back
is the function's sum over the chunks (a loss and its gradient), added up as a tree on the way. A
worker that dies is Dask's concern as well: it computes anew what was lost.

Chunks are not kept from one sum to the next: Dask reads or computes them again each time, unless
the caller has said ``X.persist()``, which keeps them in the workers' memory. Dask is imported only
where a collection of its own was passed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

TREE = 8  # how many chunks' results are added in one task


def is_dask(x: Any) -> bool:
    """Whether ``x`` is a Dask collection: an array, a DataFrame, a column of one."""
    return hasattr(x, "__dask_graph__")


def rows_of(X: Any) -> Any:
    """A Dask array or DataFrame as a Dask array of two axes with all columns in each chunk."""
    X = as_array(X)
    if X.ndim != 2:
        raise ValueError(f"X: got a Dask array of shape {X.shape}, wanted two axes")
    return X.rechunk({1: -1}) if X.numblocks[1] > 1 else X


def as_array(x: Any) -> Any:
    """A Dask DataFrame's, or a column's, values; the sizes of their chunks are unknown."""
    if not hasattr(x, "to_dask_array"):
        return x
    dtypes = [x.dtype] if hasattr(x, "dtype") else x.dtypes
    plain = all(isinstance(dtype, np.dtype) for dtype in dtypes)
    return (x if plain else x.astype(object)).to_dask_array()  # of pandas' own, it would warn


def map_rows(f: Callable[[Any], Any], X: Any, like: Any, name: str | None = None) -> Any:
    """Return ``f`` of every chunk of rows as a Dask array, computed when it is asked for.

    Parameters
    ----------
    f : function of an array of shape (N, D), with N rows in its result
    X : Dask array or DataFrame of D columns
    like : an array of the result's dtype and of its shape beyond the rows
    name : what the array is called where Dask shows it
    """
    X = rows_of(X)
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

    Parameters
    ----------
    X : Dask array of shape (N, D), or DataFrame
    y, weight : Dask arrays of shape (N,) or columns of a DataFrame; NumPy arrays, which are sent to
        where the chunks are once; or None

    Attributes
    ----------
    rows : list of int, how many rows each chunk has; those without any are left out

    Raises
    ------
    ValueError
        If y or weight have not one entry a row.
    """

    def __init__(self, X: Any, y: Any = None, weight: Any = None) -> None:
        X = _sized(rows_of(X))
        rows, columns = X.chunks[0], {"y": y, "sample_weight": weight}
        lazy = {n: _column(n, c, rows) for n, c in columns.items() if is_dask(c)}
        first, *others = _together([X, *lazy.values()])
        parts = dict(zip(lazy, others))
        parts |= {n: _sent(n, c, rows) for n, c in columns.items() if n not in lazy}
        blocks = enumerate(zip(first, *(parts[n] for n in columns)))
        self.blocks = [(*block, i) for i, block in blocks if rows[i]]
        self.rows = [n for n in rows if n]

    def each(self, f: Callable[..., Any], *args: Any) -> list[Any]:
        """Return ``f(block, *args)`` of every chunk's `Block`."""
        from dask.delayed import delayed

        return list(delayed(self._calls(f, args, self.blocks)).compute())

    def sum(self, f: Callable[..., Any], *args: Any) -> Any:
        """Return the sum of ``f(block, *args)``: a number, an array, or a list or tuple of such.

        The order of additions is that of the chunks, whichever is ready first: the same sum to the
        last bit each time.
        """
        from dask.delayed import delayed

        parts, add = self._calls(f, args, self.blocks), delayed(_add, pure=False)
        while len(parts) > 1:
            parts = [add(parts[i : i + TREE]) for i in range(0, len(parts), TREE)]
        return parts[0].compute()

    def one(self, i: int, f: Callable[..., Any], *args: Any) -> Any:
        """Return ``f(block, *args)`` of the i-th chunk alone."""
        return self._calls(f, args, self.blocks[i : i + 1])[0].compute()

    def _calls(self, f: Callable[..., Any], args: Any, blocks: list[Any]) -> list[Any]:
        from dask.delayed import delayed

        shared = delayed(args, traverse=False, pure=False)  # travels once, not once a chunk
        call = delayed(_call, pure=False)
        return [call(f, block, shared) for block in blocks]


def _sized(x: Any) -> Any:
    """A Dask array with the sizes of its chunks; where they are unknown, that takes a pass."""
    return x.copy().compute_chunk_sizes() if np.isnan(x.shape[0]) else x


def _together(arrays: list[Any]) -> list[list[Any]]:
    """The chunks of several Dask arrays; what the arrays share is computed once, not for each.

    Their graphs are optimized as one: `dask.optimize` would do it one by one, and repeat in y the
    steps that led to X.
    """
    from dask.highlevelgraph import HighLevelGraph

    keys = [(a.name, *block) for a in arrays for block in np.ndindex(a.numblocks)]
    graph = HighLevelGraph.merge(*(a.__dask_graph__() for a in arrays))
    graph = arrays[0].__dask_optimize__(graph, keys)
    arrays = [type(a)(graph, a.name, a.chunks, meta=a) for a in arrays]
    return [list(a.to_delayed(optimize_graph=False).flat) for a in arrays]


def _column(name: str, column: Any, rows: tuple[int, ...]) -> Any:
    """A Dask array of labels or weights in the same chunks as X."""
    column = as_array(column)
    if column.ndim != 1:
        raise ValueError(f"{name}: got a Dask array of shape {column.shape}, wanted one axis")
    column = _sized(column)
    _check_length(name, len(column), rows)
    return column if column.chunks == (rows,) else column.rechunk((rows,))


def _check_length(name: str, length: int, rows: Sequence[int]) -> None:
    if length != sum(rows):
        raise ValueError(f"{name}: got {length} entries for the {sum(rows)} rows of X")


def _sent(name: str, column: Any, rows: Sequence[int]) -> list[Any]:
    """An array in pieces, each sent to where the chunks are, and kept there."""
    from dask.delayed import delayed

    if column is None:
        return [None] * len(rows)
    column = np.asarray(column)
    if column.ndim == 0:
        column = np.full(sum(rows), column)
    _check_length(name, len(column), rows)
    pieces = np.split(column, np.cumsum(rows)[:-1])
    return [delayed(piece, pure=False).persist() for piece in pieces]


def _call(f: Callable[..., Any], block: Any, args: Any) -> Any:
    return f(Block(*block), *args)


def _add(parts: list[Any]) -> Any:
    if isinstance(parts[0], tuple | list):
        return type(parts[0])(_add(list(same)) for same in zip(*parts))
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total
