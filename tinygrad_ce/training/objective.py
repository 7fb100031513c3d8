"""The linear softmax loss and its gradient, summed over blocks of rows.

`objective` is the loss of some rows as plain NumPy; the engine differentiates it and compiles the
result, and nothing here is derived by hand. It is taken of a block of rows at a time, so that no
array of a number for each row and class is larger than a block.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from threading import Lock
from typing import Any, Self

import numpy as np

from ..losses.activations import log_softmax, sigmoid, softmax
from ..losses.threads import in_threads
from ..programs.compiled import program

Params = list[Any]  # [W] or [W, b]: (features, columns) and (columns,); two classes have one column

BLOCK = 2**20  # bytes of rows, logits and what is made of these at a time: they stay in cache
LEAST = 256  # rows at a time, that a product of matrices pays
TREE = 8  # how many chunks' results are added in one task
_limiting = Lock()


def objective(params: Params, X: Any, y: Any, weight: Any, loss: str) -> Any:
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
    else:
        each = -log_softmax(z)[np.arange(len(y)), y]
    return np.sum(each * weight)


@lru_cache(1000)  # it takes 3 ms; Dask's chunks may be of many sizes
def _compiled(loss: str, shape: tuple[int, int], columns: int, dtype: Any, intercept: bool) -> Any:
    """Return `objective` and its gradient as a compiled function of (X, y, weight, W[, b])."""
    X, weight = np.broadcast_to(dtype.type(0), shape), np.broadcast_to(dtype.type(1), shape[:1])
    y = weight if columns == 1 else np.broadcast_to(np.intp(0), shape[:1])
    params = [np.zeros((shape[1], columns), dtype), np.zeros(columns, dtype)][: 1 + intercept]

    def f(X: Any, y: Any, weight: Any, *params: Any) -> Any:
        return objective([*params], X, y, weight, loss)

    return program(f, X, y, weight, *params, wrt=range(3, 3 + len(params)))


@dataclass
class Rows:
    """Rows in memory with labels, as `objective` takes them, and weights.

    ``threads`` share the blocks of rows.
    """

    X: Any
    y: Any
    weight: Any
    loss: str
    threads: int = 1

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.y)

    def __getitem__(self, index: Any) -> Self:
        return type(self)(self.X[index], self.y[index], self.weight[index], self.loss, self.threads)

    def batches(self, size: int, rng: Any = None) -> Iterator[Self]:
        """Yield copies of ``size`` rows at a time, in random order if there is an ``rng``."""
        order = np.arange(self.count) if rng is None else rng.permutation(self.count)
        return (self[order[i : i + size]] for i in range(0, self.count, size))

    def sum(self, f: Callable[[Self], Params], width: int) -> Params:
        """Return the sum of ``f(rows)``, a list of arrays, over blocks of the rows.

        ``width`` tells how many numbers f makes of a row. Which thread takes which block does not
        depend on their speed, so that nor do the sums.
        """
        size = max(LEAST, BLOCK // (self.X.itemsize * (self.X.shape[1] + 16 * width)))
        if self.count <= size:
            return f(self)
        size = -(-self.count // -(-self.count // size))  # blocks of one size, nearly
        blocks = range(0, self.count, size)
        # At most so many that their sums take less memory than the rows.
        threads = max(1, min(self.threads, len(blocks), self.count // (4 * width)))
        sums: list[Params] = [[] for _ in range(threads)]

        def run(thread: int) -> None:
            for start in blocks[thread::threads]:
                part = f(self[start : start + size])
                sums[thread] = add([sums[thread], part]) if sums[thread] else part

        in_threads(run, range(threads))
        return add(sums)


class ChunkedRows:
    """Rows in Dask's chunks, as `Rows` are in memory: Dask arrays with the same chunks of rows.

    What goes to a chunk is a function and the parameters, on whatever scheduler is active; what
    comes back is the sum over the chunks. Dask is imported only where its collections are passed.
    """

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


@contextmanager
def one_blas_thread() -> Iterator[int]:
    """Let BLAS use one thread, so that ours do not wait for its; yield how many ours may be.

    As many as BLAS had: whoever limits those, as joblib does in its processes, means ours too. The
    limit is the process's, so it is for one caller at a time.
    """
    from threadpoolctl import ThreadpoolController  # scikit-learn brings it along

    if not _limiting.acquire(blocking=False):
        yield 1
        return
    try:
        blas = ThreadpoolController().select(user_api="blas")
        threads = max((library["num_threads"] for library in blas.info()), default=1)
        with blas.limit(limits=1):
            yield threads
    finally:
        _limiting.release()


def add(parts: list[Params]) -> Params:
    """Return the sums of what stands in the same place of several lists."""
    return [sum(same[1:], start=same[0]) for same in zip(*parts)]


def loss_and_grad(rows: Any, params: Params, l2: float) -> tuple[float, Params]:
    """Return the mean loss of rows plus ½ · l2 · ‖W‖², and the gradients."""
    W = params[0]

    def f(rows: Rows) -> Params:
        run = _compiled(rows.loss, rows.X.shape, W.shape[1], W.dtype, len(params) > 1)
        value, grads = run(rows.X, rows.y, rows.weight, *params)
        return [float(value), *grads]  # of float32 as well, losses add up in float64

    value, *grads = (x / rows.count for x in rows.sum(f, W.shape[1]))
    if l2:
        value, grads[0] = value + 0.5 * l2 * np.vdot(W, W), grads[0] + l2 * W
    return float(value), grads


def moments(rows: Any, intercept: bool) -> tuple[Any, Any]:
    """Return the weighted mean of x, and of (x − mean)(x − mean)ᵀ; with no intercept the mean is 0.

    In float64: of features far from 0, such as times, float32 has no digits left beside the mean.
    """

    def total(rows: Rows) -> Params:
        weight = rows.weight.astype(float)
        return [weight @ rows.X, weight.sum()]

    def products(rows: Rows) -> Params:
        x = rows.X - mean
        return [x.T @ (x * rows.weight[:, None])]

    sums, weight = rows.sum(total, 1)
    mean = sums / weight * intercept
    return mean, rows.sum(products, len(mean))[0] / rows.count


def accuracy(rows: Any, params: Params) -> float:
    """Return the part of the rows, by weight, that have the largest logit at their class."""

    def f(rows: Rows) -> Params:
        z = rows.X @ params[0] + (params[1] if len(params) > 1 else 0.0)
        hits = (z[:, 0] > 0) == (rows.y > 0) if z.shape[1] == 1 else z.argmax(axis=1) == rows.y
        return [rows.weight @ hits]

    return float(rows.sum(f, params[0].shape[1])[0] / rows.count)
