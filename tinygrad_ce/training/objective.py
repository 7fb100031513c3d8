"""Rows to fit, in memory or in Dask's chunks: a loss and its gradient, summed over all of them.

`objective` is the loss of some rows as plain NumPy; the engine differentiates it, and nothing here
is derived by hand. It is taken of a block of rows at a time, so that no array of a number for each
row and class is larger than a block; `Rows` and `ChunkedRows` give a solver the mean of the sums.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy, deepcopy
from typing import Any

import numpy as np

from ..engine.transforms import value_and_grad
from ..losses.activations import sigmoid, softmax
from ..losses.losses import cross_entropy
from ..losses.threads import CPUS, THREADED, in_threads, one_blas_thread
from .chunks import Block, Chunks
from .estimator import validate_data
from .monitor import Params, Unwatched

BLOCK = 2**18  # bytes of logits at a time: with 4 MiB, which leave the cache, half as long again;
COMPOSED = 2**16  # of losses without a fused node, which keep a dozen arrays of their size
LEAST = 256  # rows at a time, that a product of matrices pays


# ------------------------------------------------------------------ the objective
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
    """½ · l2 · ‖W‖²; the L1 part is not smooth, and `shrink` takes care of it."""
    return 0.5 * l2 * np.sum(np.square(params[0]))


_objective_and_grad = value_and_grad(objective)
penalty_and_grad = value_and_grad(penalty)


def _add_to(sums: Params, more: Params) -> None:
    """Add arrays to others, in place: with many classes and features each is large."""
    for total, x in zip(sums, more):
        total += x


def moments(X: Any, weight: Any) -> Any:
    """Σ weight · (x, 1)(x, 1)ᵀ over rows in memory: what `_conditioner` needs to know of them."""
    scaled = X if weight is None else X * weight[:, None]
    sums = scaled.sum(axis=0)[:, None]
    n = len(X) if weight is None else weight.sum()
    return np.block([[X.T @ scaled, sums], [sums.T, np.array([[n]])]]).astype(float)


# ------------------------------------------------------------------ where the rows are
class Rows:
    """Rows in memory, all or those of an index: the loss over all of them, or batch by batch.

    ``threads`` take the blocks by turns.
    """

    def __init__(
        self, X: Any, y: Any, weight: Any, loss: str, index: Any = None, threads: int = 1
    ) -> None:
        self.X, self.y, self.weight, self.loss = X, y, weight, loss
        self.index, self.threads = index, threads
        self.count = len(X) if index is None else len(index)
        self.total = float(self.count if weight is None else self.take(weight, slice(None)).sum())

    def some(self, index: Any) -> Rows:
        """Those of an index, which counts all rows in memory: nothing is copied."""
        return Rows(self.X, self.y, self.weight, self.loss, index, self.threads)

    def take(self, array: Any, rows: slice) -> Any:
        """Some of the rows, of an array of all."""
        return array[rows if self.index is None else self.index[rows]]

    def block(self, start: int, step: int) -> tuple[Any, Any, Any]:
        """``step`` rows: X, y and weight."""
        rows = slice(start, start + step)
        w = None if self.weight is None else self.take(self.weight, rows)
        return self.take(self.X, rows), self.take(self.y, rows), w

    def blocks(self, step: int) -> Iterator[tuple[Any, Any, Any]]:
        """All rows in order, ``step`` at a time."""
        return (self.block(start, step) for start in range(0, self.count, step))

    def step(self, columns: int) -> int:
        """How many rows make a block, where each has so many logits."""
        block = BLOCK if columns > 1 and self.loss != "mse" else COMPOSED
        step = block // (columns * int(self.X.itemsize))
        if self.count * self.X[:1].nbytes >= THREADED:  # then each thread gets one
            step = min(step, -(-self.count // self.threads))
        return max(LEAST, step)

    def summed(self, f: Callable[..., Params], columns: int, zero: Params) -> Params:
        """``zero``, a list of arrays, and f(X, y, weight) of every block of rows, added up.

        Which thread takes which block does not depend on their speed, so that nor do the sums.
        """
        step = self.step(columns)
        starts = range(0, self.count, step)
        threads = max(1, min(self.threads, round(self.count / step)))  # none for a small rest
        sums = [[z.copy() for z in zero] for _ in range(threads)]
        failed: list[int] = []

        def run(thread: int) -> None:
            try:
                for start in starts[thread::threads]:
                    if not failed:
                        _add_to(sums[thread], f(*self.block(start, step)))
            except BaseException:  # Ctrl-C, for one: the other threads need not go on
                failed.append(thread)
                raise

        in_threads(run, range(threads))
        for part in sums[1:]:
            _add_to(sums[0], part)
        return sums[0]

    def shuffled(self, rng: Any) -> Rows:
        """The same rows in another order."""
        order = np.arange(self.count) if self.index is None else +self.index
        rng.shuffle(order)
        return self.some(order)

    def batches(self, size: int) -> Iterator[Rows]:
        """``size`` rows at a time."""
        order = np.arange(self.count) if self.index is None else self.index
        return (self.some(order[i : i + size]) for i in range(0, self.count, size))

    def loss_and_grad(self, params: Params) -> tuple[float, Params]:
        """The weighted mean of the loss over all rows, and its gradients."""

        def sums(X: Any, y: Any, w: Any) -> Params:
            value, grads = _objective_and_grad(params, X, y, w, self.loss)
            return [value, *grads]

        zero = [np.zeros(()), *map(np.zeros_like, params)]
        value, *grads = self.summed(sums, params[0].shape[1], zero)
        return float(value) / self.total, [g / self.total for g in grads]

    def moments(self) -> Any:
        """The weighted mean of (x, 1)(x, 1)ᵀ."""
        D = self.X.shape[1]
        zero = [np.zeros((D + 1, D + 1))]
        return self.summed(lambda X, _, w: [moments(X, w)], D, zero)[0] / self.total

    def accuracy(self, params: Params) -> float:
        """The part of the rows whose class has the largest logit."""

        def hits(X: Any, y: Any, _: Any) -> Params:
            z = X @ params[0] + (params[1] if len(params) > 1 else 0.0)
            return [np.sum((z[:, 0] > 0) == (y > 0) if z.shape[1] == 1 else z.argmax(1) == y)]

        return float(self.summed(hits, params[0].shape[1], [np.zeros(())])[0] / self.count)


@contextmanager
def in_turns(size: int, *parts: Any) -> Iterator[None]:
    """Let threads take the blocks of rows in memory by turns, while BLAS has one.

    Each adds arrays of ``size`` bytes to sums of its own: where all would take more memory than the
    rows, the products of a block are large enough for BLAS's threads.
    """
    whole = [rows for rows in parts if isinstance(rows, Rows)]
    if any(CPUS * 2 * size > rows.X.nbytes for rows in whole):
        yield
        return
    with one_blas_thread() as threads:
        for rows in whole:
            rows.threads = threads
        yield
        for rows in whole:
            rows.threads = 1


class ChunkedRows:
    """Rows in Dask's chunks, as `Rows` are in memory: a mean over all is put together from theirs.

    ``aside`` is None, or (seed, fraction, part): of each chunk, the rows set aside or the others.
    """

    X = weight = None

    def __init__(self, chunks: Chunks, model: Any, aside: Any = None) -> None:
        self.chunks, self.model, self.aside = chunks, model, aside
        self.count, self.total = chunks.sum(_size_in, model, aside)
        if not self.total > 0:
            raise ValueError(f"got {self.count} rows to fit, whose weights sum to {self.total}")

    def _mean(self, what: str, *args: Any) -> Any:
        return self.chunks.sum(_share_in, self.model, self.aside, self.total, what, args)

    def loss_and_grad(self, params: Params) -> tuple[float, Params]:
        """As of `Rows`; only the parameters go to the chunks, only sums come back."""
        value, grads = self._mean("loss_and_grad", params)
        return float(value), grads

    def moments(self) -> Any:
        """As of `Rows`."""
        return self._mean("moments")

    def accuracy(self, params: Params) -> float:
        """As of `Rows`."""
        return float(self.chunks.sum(_hits_in, self.model, self.aside, params) / self.count)


def _rows_in(block: Block, model: Any, aside: Any) -> Rows:
    """A chunk as `Rows` in memory; on the machine where the chunk is."""
    X = np.asarray(block.X, model.coef_.dtype)
    y, weight = model._encoded(X, np.asarray(block.y), block.weight, part=True)
    index = None
    if aside is not None:
        seed, fraction, part = aside
        drawn = np.random.default_rng([seed, block.place]).random(len(X))
        index = np.flatnonzero((drawn < fraction) == part)
    return Rows(X, y, weight, model.loss, index)


def _size_in(block: Block, model: Any, aside: Any) -> tuple[int, float]:
    rows = _rows_in(block, model, aside)
    return rows.count, rows.total


def _share_in(block: Block, model: Any, aside: Any, total: float, what: str, args: Any) -> Any:
    """What a chunk adds to a weighted mean over all rows."""
    rows = _rows_in(block, model, aside)
    rows.total = total
    return getattr(rows, what)(*args)


def _hits_in(block: Block, model: Any, aside: Any, params: Params) -> float:
    rows = _rows_in(block, model, aside)
    return rows.accuracy(params) * rows.count if rows.count else 0.0


def labels_in(block: Block, model: Any) -> tuple[Any, Any]:
    """The labels of a chunk and the sum of each one's weights; what is no data is refused."""
    kept = validate_data(copy(model), block.X, block.y, reset=True, dtype=[np.float64, np.float32])
    labels, index = np.unique(kept[1], return_inverse=True)
    return labels, np.bincount(index, block.weight)


def part_fitted(block: Block, model: Any, classes: Any) -> dict[str, Any]:
    """The attributes of a copy of the model after a chunk more."""
    model = deepcopy(model)
    model.partial_fit(block.X, block.y, classes, block.weight)
    return dict(vars(model))


def epoch_in(block: Block, model: Any, aside: Any, optimizer: Any, mean: float, seed: int) -> Any:
    """An epoch over a chunk's rows: the optimizer after it, its number of steps, the loss."""
    model, optimizer = copy(model), deepcopy(optimizer)
    rows = _rows_in(block, model, aside)
    if not rows.count:
        return optimizer, model.t_, 0.0
    rows.total = mean * rows.count  # weights count as in the whole, not as in this chunk
    loss = model._epoch(optimizer, rows, Unwatched(), np.random.default_rng(seed))
    return optimizer, model.t_, loss * rows.count


def scored(block: Block, model: Any) -> tuple[Any, Any]:
    """The weights of the rows whose label `predict` finds, and all weights, summed."""
    hits = model.predict(block.X) == np.asarray(block.y)
    weight = np.ones(len(hits)) if block.weight is None else np.asarray(block.weight)
    return weight @ hits, weight.sum()


def told_of(X: Any, model: Any, method: str, like: Any) -> Any:
    """What a method of the model tells of a chunk's rows, or, of none, an array like that."""
    return getattr(model, method)(X) if len(X) else like[:0]
