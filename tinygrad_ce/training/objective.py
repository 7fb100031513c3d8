"""The linear softmax loss, summed over rows in memory or in Dask's chunks, and its gradient.

`objective` is the loss of some rows as plain NumPy; the engine differentiates it, and nothing here
is derived by hand. It is taken of a block of rows at a time, so that no array of a number for each
row and class is larger than a block; `Rows` and `ChunkedRows` give a solver the mean of the sums.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..engine.text import _
from ..engine.transforms import value_and_grad
from ..losses.activations import sigmoid, softmax
from ..losses.losses import cross_entropy
from ..losses.threads import CPUS, THREADED, in_threads, one_blas_thread
from .chunks import Block, Chunks

Params = list[Any]  # [W] or [W, b]: (features, columns) and (columns,); two classes have one column

BLOCK = 2**18  # bytes of logits at a time: with 4 MiB, which leave the cache, half as long again;
COMPOSED = 2**16  # of losses without a fused node, which keep a dozen arrays of their size
LEAST = 256  # rows at a time, that a product of matrices pays


def objective(params: Params, X: Any, y: Any, weight: Any = None, loss: str = "") -> Any:
    """Σ weight · loss over the rows of X.

    y holds class indices; with two classes, which share one column of logits, −1.0 and +1.0.
    """
    z = X @ params[0] if len(params) == 1 else X @ params[0] + params[1]
    classes = z.shape[1]
    if loss == "mse" and classes > 1:
        t = (y[:, None] == np.arange(classes)).astype(z.dtype)
        each = np.sum(np.square(softmax(z) - t), axis=1)
    elif loss == "mse":  # both columns of p − t are ±σ(−y z)
        each = 2.0 * np.square(sigmoid(-y * z[:, 0]))
    elif classes == 1:
        each = np.logaddexp(0.0, -y * z[:, 0])
    elif weight is None:
        return cross_entropy(z, y, reduction="sum")
    else:
        each = cross_entropy(z, y, reduction="none")
    return np.sum(each if weight is None else each * weight)


def penalty(params: Params, l2: float) -> Any:
    """½ · l2 · ‖W‖²; the L1 part is not smooth, and a proximal step takes care of it."""
    return 0.5 * l2 * np.sum(np.square(params[0]))


objective_and_grad = value_and_grad(objective)
penalty_and_grad = value_and_grad(penalty)


class Rows:
    """Rows in memory, all or those of an index: the loss over all of them, or batch by batch.

    ``threads`` share the blocks of rows.
    """

    def __init__(
        self, X: Any, y: Any, weight: Any, loss: str, index: Any = None, threads: int = 1
    ) -> None:
        self.X, self.y, self.weight, self.loss = X, y, weight, loss
        self.index, self.threads = index, threads
        self.count = len(X) if index is None else len(index)
        used = weight if weight is None or index is None else weight[index]
        self.total = float(self.count if used is None else used.sum())

    def some(self, index: Any) -> Rows:
        """Return those of an index, which counts all rows in memory: nothing is copied."""
        return Rows(self.X, self.y, self.weight, self.loss, index, self.threads)

    def shuffled(self, rng: Any) -> Rows:
        """Return the same rows in another order."""
        order = np.arange(self.count) if self.index is None else self.index.copy()
        rng.shuffle(order)
        return self.some(order)

    def batches(self, size: int) -> Iterator[Rows]:
        """Yield ``size`` rows at a time, in order."""
        order = np.arange(self.count) if self.index is None else self.index
        return (self.some(order[i : i + size]) for i in range(0, self.count, size))

    def block(self, start: int, size: int) -> tuple[Any, Any, Any]:
        """Return ``size`` rows: X, y and weight."""
        rows: Any = slice(start, start + size)
        rows = rows if self.index is None else self.index[rows]
        return self.X[rows], self.y[rows], None if self.weight is None else self.weight[rows]

    def block_size(self, columns: int) -> int:
        """Return how many rows make a block, where each has so many logits."""
        block = BLOCK if columns > 1 and self.loss != "mse" else COMPOSED
        size = block // (columns * int(self.X.itemsize))
        if self.count * self.X[:1].nbytes >= THREADED:  # then each thread gets one
            size = min(size, -(-self.count // self.threads))
        return max(LEAST, size)

    def sum(self, f: Callable[..., Params], columns: int, zero: Params) -> Params:
        """Return ``zero``, a list of arrays, plus f(X, y, weight) of every block of rows.

        Which thread takes which block does not depend on their speed, so that nor do the sums.
        """
        size = self.block_size(columns)
        starts = range(0, self.count, size)
        threads = max(1, min(self.threads, round(self.count / size)))  # none for a small rest
        sums = [[z.copy() for z in zero] for _ in range(threads)]
        failed: list[int] = []

        def run(thread: int) -> None:
            try:
                for start in starts[thread::threads]:
                    if not failed:
                        _add_to(sums[thread], f(*self.block(start, size)))
            except BaseException:  # Ctrl-C, for one: the other threads need not go on
                failed.append(thread)
                raise

        in_threads(run, range(threads))
        for part in sums[1:]:
            _add_to(sums[0], part)
        return sums[0]

    def loss_and_grad(self, params: Params) -> tuple[float, Params]:
        """Return the weighted mean of the loss over all rows, and its gradients."""

        def f(X: Any, y: Any, weight: Any) -> Params:
            value, grads = objective_and_grad(params, X, y, weight, self.loss)
            return [value, *grads]

        zero = [np.zeros(()), *map(np.zeros_like, params)]
        value, *grads = self.sum(f, params[0].shape[1], zero)
        return float(value) / self.total, [g / self.total for g in grads]

    def moments(self) -> Any:
        """Return the weighted mean of (x, 1)(x, 1)ᵀ."""

        def f(X: Any, y: Any, weight: Any) -> Params:
            scaled = X if weight is None else X * weight[:, None]
            sums = scaled.sum(axis=0)[:, None]
            n = len(X) if weight is None else weight.sum()
            return [np.block([[X.T @ scaled, sums], [sums.T, np.array([[n]])]])]

        D = self.X.shape[1]
        return self.sum(f, D, [np.zeros((D + 1, D + 1))])[0] / self.total

    def hits(self, params: Params) -> int:
        """Return how many rows have the largest logit at their class."""

        def f(X: Any, y: Any, weight: Any) -> Params:
            z = X @ params[0] + (params[1] if len(params) > 1 else 0.0)
            return [np.sum((z[:, 0] > 0) == (y > 0) if z.shape[1] == 1 else z.argmax(1) == y)]

        return int(self.sum(f, params[0].shape[1], [np.zeros(())])[0])


def _add_to(sums: Params, more: Params) -> None:
    """Add arrays to others, in place: with many classes and features each is large."""
    for total, x in zip(sums, more):
        total += x


@contextmanager
def threads_for(size: int, *parts: Any) -> Iterator[None]:
    """Let threads share the blocks of rows in memory, while BLAS has one thread.

    Each adds arrays of ``size`` bytes to sums of its own: where all would take more memory than the
    rows, the products of a block are large enough for BLAS's threads.
    """
    parts = tuple(rows for rows in parts if isinstance(rows, Rows))
    if any(CPUS * 2 * size > rows.X.nbytes for rows in parts):
        yield
        return
    with one_blas_thread() as threads:
        for rows in parts:
            rows.threads = threads
        yield
        for rows in parts:
            rows.threads = 1


@dataclass
class Encoder:
    """How labels and weights become those of `Rows`.

    ``class_weight`` is an array with a weight for each of ``classes``, or None; ``aside`` is (seed,
    fraction, part): of a chunk, the rows set aside (True) or the others; or None.
    """

    loss: str
    classes: Any
    dtype: Any
    class_weight: Any = None
    aside: Any = None

    def rows(self, X: Any, y: Any, weight: Any = None) -> Rows:
        """Return rows whose labels are class indices; or −1.0 and 1.0, where there are two."""
        index = np.searchsorted(self.classes, y)
        if index.max() == len(self.classes) or (self.classes[index] != y).any():
            text = "y: got labels that are not among the classes {classes}"
            raise ValueError(_(text, classes=self.classes.tolist()))
        if self.class_weight is not None:
            each = self.class_weight.astype(self.dtype)[index]
            weight = each if weight is None else weight * each
        if len(self.classes) == 2:
            index = index.astype(self.dtype)
            index *= 2
            index -= 1
        return Rows(X.astype(self.dtype, copy=False), index, weight, self.loss)

    def chunk(self, block: Block) -> Rows:
        """Return a chunk's rows, on the machine where the chunk is."""
        weight = None if block.weight is None else np.asarray(block.weight, self.dtype)
        rows = self.rows(np.asarray(block.X), np.asarray(block.y), weight)
        if self.aside is None:
            return rows
        seed, fraction, part = self.aside
        drawn = np.random.default_rng([seed, block.place]).random(rows.count)
        return rows.some(np.flatnonzero((drawn < fraction) == part))


class ChunkedRows:
    """Rows in Dask's chunks, as `Rows` are in memory: a mean over all is put together from theirs.

    Only the parameters go to the chunks, only sums come back.
    """

    def __init__(self, chunks: Chunks, encoder: Encoder) -> None:
        self.chunks, self.encoder = chunks, encoder
        self.count, self.total = chunks.sum(_size_in, encoder)

    def loss_and_grad(self, params: Params) -> tuple[float, Params]:
        """As of `Rows`."""
        value, grads = self._sum("loss_and_grad", params)
        return float(value), grads

    def moments(self) -> Any:
        """As of `Rows`."""
        return self._sum("moments")

    def hits(self, params: Params) -> int:
        """As of `Rows`."""
        return int(self._sum("hits", params))

    def _sum(self, method: str, *args: Any) -> Any:
        return self.chunks.sum(_share_in, self.encoder, self.total, method, args)


def _size_in(block: Block, encoder: Encoder) -> tuple[int, float]:
    rows = encoder.chunk(block)
    return rows.count, rows.total


def _share_in(block: Block, encoder: Encoder, total: float, method: str, args: Any) -> Any:
    """Return what a chunk adds to a sum, or to a mean over rows of this total weight."""
    rows = encoder.chunk(block)
    rows.total = total
    return getattr(rows, method)(*args)
