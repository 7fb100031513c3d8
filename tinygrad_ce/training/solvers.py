"""What iterates: L-BFGS by SciPy, in coordinates fit for it, and epochs of SGD or Adam.

A solver moves the parameters in place and calls a monitor with the loss after each epoch.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy, deepcopy
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.optimize import minimize

from ..engine.value import Value
from ..programs.compiled import program
from .chunks import Block
from .monitor import Monitor
from .objective import ChunkedRows, Encoder, Params, Rows, objective, penalty, penalty_and_grad
from .optimizers import SGD, Adam
from .validation import for_chunks, strengths, tolerance

SMALL = 2**16  # bytes of logits up to which a compiled step is faster than a graph


# ------------------------------------------------------------------ L-BFGS
def conditioner(second: Any, ridge: float, intercept: bool, eps: float) -> Any:
    """Return M for (W, b) = M φ, such that the loss curves much alike along all φ while W is small.

    There its curvature is that of Σ (x W + b)² and of the penalty, which is ``ridge`` beside it:
    the features are centred, scaled and, most of the way, decorrelated. All of the way takes more
    steps where it is the features of little variance that are noise: on the digits a third more.
    """
    D = len(second) - 1
    mean = second[:D, D] if intercept else np.zeros(D)
    curvature = second[:D, :D] - np.outer(mean, mean) + ridge * np.eye(D)
    rounded = 1e4 * eps * np.diag(second)[:D]  # below, a variance is what rounding left
    scale = np.sqrt(np.maximum(np.diag(curvature), rounded))
    scale[scale == 0] = 1.0
    correlation = curvature / scale / scale[:, None] + 0.1 * np.eye(D)
    M = np.eye(D + intercept)
    M[:D, :D] = np.linalg.inv(np.linalg.cholesky(correlation)).T / scale[:, None]
    if intercept:
        M[D, :D] = -mean @ M[:D, :D]
    return M


class ConditionedObjective:
    """J and its gradient as L-BFGS asks for them: of one vector, in coordinates fit for it."""

    def __init__(self, params: Params, train: Any, l2: float) -> None:
        self.train, self.l2 = train, l2
        self.dtype, (self.features, columns) = params[0].dtype, params[0].shape
        curvature = 0.25 if columns == 1 else 1.0 / columns  # of the loss along z, at z = 0
        eps = float(np.finfo(self.dtype).eps)
        self.M = conditioner(train.moments(), l2 / curvature, len(params) > 1, eps)
        self.start = np.zeros(len(self.M) * columns)
        self.here: Any = None  # a vector, J and its gradient: where the iteration stands,
        self.latest: Any = None  # and where it looked last

    def params(self, phi: Any) -> Params:
        """Return the parameters of a vector."""
        theta = (self.M @ phi.reshape(len(self.M), -1)).astype(self.dtype, copy=False)
        return [theta[: self.features], *theta[self.features :]]

    def __call__(self, phi: Any) -> tuple[float, Any]:
        """Return J and its gradient."""
        params = self.params(phi)
        value, grads = self.train.loss_and_grad(params)
        more, slopes = penalty_and_grad(params, self.l2)
        grad = np.vstack([g + s for g, s in zip(grads, slopes)]).astype(float)
        self.latest = phi.copy(), value + float(more), (self.M.T @ grad).ravel()
        if self.here is None:
            self.here = self.latest
        elif self.dtype == np.float64:  # float32's slopes are noise as well, and never end
            self.latest = _refined(self.here, self.latest)
        return self.latest[1], self.latest[2]


def _refined(here: Any, there: Any) -> Any:
    """Return a point with its J from a near one's by their slopes, where its last places are noise.

    Near the optimum a step's gain is less than a unit of them. A line search that compares such
    numbers goes one way or another by how the rows were summed; by this it does not, and finds that
    a step downhill gains at least that unit.
    """
    (x0, value0, slope0), (x, value, slope) = here, there
    change = 0.5 * float((slope + slope0) @ (x - x0))
    if abs(change) > 1e-9 * abs(value):
        return there
    near = value0 + change
    if near == value0:
        near = float(np.nextafter(value0, np.copysign(np.inf, change)))
    return x, near, slope


def lbfgs(model: Any, params: Params, train: Any, monitor: Monitor) -> None:
    """Minimize J by SciPy's L-BFGS, until no entry of its gradient is above the tolerance."""
    f = ConditionedObjective(params, train, strengths(model)[1])
    eps = float(np.finfo(params[0].dtype).eps)

    def after(intermediate_result: Any) -> None:
        f.here = f.latest
        for p, new in zip(params, f.params(intermediate_result.x)):
            p[...] = new
        if monitor(intermediate_result.fun):
            raise StopIteration

    options = {
        "maxiter": model.max_iter,
        "maxfun": 50 * model.max_iter,
        "maxls": 50,
        "gtol": max(tolerance(model), 10 * eps),  # float32 gets no further
        "ftol": 0.0,  # 64 eps, which is usual, leaves 1e-5 of a weight
    }
    result = minimize(f, f.start, jac=True, method="L-BFGS-B", callback=after, options=options)
    if not model.n_iter_:  # it began at the optimum
        monitor(result.fun)
    monitor.stopped |= result.status != 1


# ------------------------------------------------------------------ SGD and Adam
@lru_cache(32)
def _compiled(
    loss: str, shape: tuple[int, int], columns: int, dtype: Any, weighted: bool, intercept: bool
) -> Any:
    """Compile J of a batch and its gradient, as a program of (X, y, l2, [weight,] W[, b]).

    It takes arrays and numbers alone, of these shapes: then a call is the compiled code itself.
    """
    n, D = shape
    y = np.zeros(n, np.intp) if columns > 1 else np.ones(n, dtype)

    def batch_loss(X: Any, y: Any, l2: float, *rest: Any) -> Any:
        weight, *params = rest if weighted else (None, *rest)
        return objective(params, X, y, weight, loss) / float(n) + penalty(params, l2)

    rest = [np.ones(n, dtype)] * weighted + [np.zeros((D, columns), dtype)]
    rest += [np.zeros(columns, dtype)] * intercept
    wrt = range(3 + weighted, 3 + len(rest))
    return program(batch_loss, np.zeros(shape, dtype), y, 0.0, *rest, wrt=wrt)


def new_optimizer(model: Any, params: Params) -> SGD | Adam:
    """Return the optimizer that a model's parameters describe; it moves ``params`` in place."""
    values = [Value(p) for p in params]
    if model.solver_ == "sgd":
        return SGD(values, model.learning_rate, model.momentum, nesterov=model.nesterov)
    return Adam(values, model.learning_rate)


def descend(model: Any, optimizer: Any, rows: Any, rng: Any, monitor: Any, max_iter: int) -> None:
    """Take epochs of an optimizer's steps until the monitor says that it is enough."""
    by_chunks = isinstance(rows, ChunkedRows) and _batch_size(model, rows) < rows.count
    epoch = _epoch_by_chunks if by_chunks else _epoch
    for _ in range(max_iter):
        if monitor(epoch(model, optimizer, rows, rng)):
            break


def _batch_size(model: Any, rows: Any) -> int:
    return int(rows.count if model.batch_size == "full" else min(model.batch_size, rows.count))


def _epoch(model: Any, optimizer: Any, rows: Any, rng: Any) -> float:
    """Take one step for each batch; return the mean of J over them."""
    params, total, l1 = [p.data for p in optimizer.params], 0.0, strengths(model)[0]
    if model.shuffle and _batch_size(model, rows) < rows.count:
        rows = rows.shuffled(rng)
    with np.errstate(over="ignore", invalid="ignore"):  # the monitor tells what diverges
        for count, loss, grads in _gradients(model, rows, params):
            for p, g in zip(optimizer.params, grads):
                p.grad = g
            model.t_ += 1
            if model.schedule == "invscaling":
                optimizer.lr = model.learning_rate / model.t_**model.power_t
            total += count * (float(loss) + (l1 and l1 * float(np.abs(params[0]).sum())))
            optimizer.step()
            if l1:
                _shrink(params[0], l1, optimizer)
    return float(total / rows.count)


def _gradients(model: Any, rows: Any, params: Params) -> Iterator[tuple[int, float, Params]]:
    """Yield rows, J and its gradients for each batch, at what ``params`` hold by then."""
    W, l2, size = params[0], strengths(model)[1], _batch_size(model, rows)
    share = rows.count / rows.total  # makes the mean weight 1
    if size * W.shape[1] * W.itemsize <= SMALL and isinstance(rows, Rows):
        weighted, intercept = rows.weight is not None, len(params) > 1
        for start in range(0, rows.count, size):
            X, y, w = rows.block(start, size)
            run = _compiled(rows.loss, X.shape, W.shape[1], W.dtype, weighted, intercept)
            yield len(X), *run(X, y, l2, *([] if w is None else [w * share]), *params)
        return
    for batch in [rows] if size == rows.count else rows.batches(size):
        batch.total = batch.count / share  # weights count as in the whole, not as in this batch
        loss, grads = batch.loss_and_grad(params)
        more, slopes = penalty_and_grad(params, l2)
        yield batch.count, loss + float(more), [g + s for g, s in zip(grads, slopes)]


def _shrink(W: Any, l1: float, optimizer: Any) -> None:
    """Take the proximal step of the L1 penalty: every weight nearer to 0, at most to 0.

    It is what the optimizer moves a weight whose gradient stays ``l1``: only so is a point that
    both steps leave alone an optimum.
    """
    if isinstance(optimizer, SGD):
        step = optimizer.lr * l1 / (1.0 - optimizer.momentum)
    else:
        t, _, v = optimizer.state[0]
        step = optimizer.lr * l1 / (np.sqrt(v / (1.0 - optimizer.betas[1] ** t)) + optimizer.eps)
    np.copyto(W, np.sign(W) * np.maximum(np.abs(W) - step, 0.0))


def _epoch_by_chunks(model: Any, optimizer: Any, rows: ChunkedRows, rng: Any) -> float:
    """Take an epoch of batches within Dask's chunks: the optimizer goes from one to the next."""
    total, order = 0.0, list(range(len(rows.chunks.rows)))
    if model.shuffle:
        rng.shuffle(order)
    for i in order:
        mean, seed = rows.total / rows.count, int.from_bytes(rng.bytes(8))
        args = rows.encoder, for_chunks(model), optimizer, mean, seed
        there, model.t_, loss = rows.chunks.one(i, _epoch_in, *args)
        for p, q in zip(optimizer.params, there.params):
            p.data[...] = q.data
        optimizer.state, optimizer.lr = there.state, there.lr
        total += loss
    return float(total / rows.count)


def _epoch_in(
    block: Block, encoder: Encoder, model: Any, optimizer: Any, mean: float, seed: int
) -> tuple[Any, int, float]:
    """Take an epoch over a chunk's rows; return the optimizer then, all steps, the loss."""
    rows, model, optimizer = encoder.chunk(block), copy(model), deepcopy(optimizer)
    if not rows.count:
        return optimizer, model.t_, 0.0
    rows.total = mean * rows.count  # weights count as in the whole, not as in this chunk
    loss = _epoch(model, optimizer, rows, np.random.default_rng(seed))
    return optimizer, model.t_, loss * rows.count
