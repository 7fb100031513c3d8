"""What iterates: L-BFGS by SciPy, in coordinates fit for it, and epochs of SGD or Adam.

A solver moves the parameters in place and calls a `Monitor` with the loss after each epoch: that
has the curve, the progress bar and the callback, and knows when to stop.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from typing import Any

import numpy as np
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning

from ..engine.text import _
from ..engine.value import Value
from .objective import ChunkedRows, Params, Rows, accuracy, loss_and_grad, moments
from .optimizers import SGD, Adam
from .validation import for_chunks, strengths, tolerance

QUIET = np.errstate(over="ignore", invalid="ignore")  # the monitor tells what is not finite


# ------------------------------------------------------------------ beside a fit
def progress_bar(shown: bool, epochs: int) -> Any:
    """Return a progress bar, if that is wanted: a context, as which it is None otherwise."""
    if not shown:
        return nullcontext()
    try:
        from tqdm.auto import tqdm
    except ImportError:
        text = 'verbose=True needs tqdm: pip install "tinygrad_ce[progress]"'
        raise ImportError(_(text)) from None
    return tqdm(total=epochs, unit="epoch")


class Monitor:
    """What happens after each epoch: the model takes the parameters, and it may be enough.

    ``params`` are the arrays that a solver moves in place; ``trouble`` is what the fit has to warn
    of when it ends.
    """

    def __init__(self, model: Any, params: Params, train: Any, valid: Any, bar: Any) -> None:
        self.model, self.train, self.valid, self.bar = model, train, valid, bar
        self.params, self.best_params = params, params
        self.best_loss, self.waited, self.trouble = np.inf, 0, ""
        if model.tol is not None:
            text = "max_iter={most} reached before tol={tol:g}: scale the data, or raise it"
            self.trouble = _(text, most=model.max_iter, tol=tolerance(model))

    def __call__(self, loss: float) -> bool:
        """Note the end of an epoch; return whether to stop."""
        model, tol = self.model, tolerance(self.model)
        if not np.isfinite(loss):
            text = "loss {loss} in epoch {n}: scale the data, or take a smaller {what} than {value}"
            what = "alpha" if model.solver_ == "lbfgs" else "learning_rate"
            fields = {"n": model.n_iter_ + 1, "what": what, "value": getattr(model, what)}
            del model.coef_  # there is no model
            raise ValueError(_(text, loss=loss, **fields))
        store(model, self.params)
        model.n_iter_ += 1
        model.loss_curve_.append(float(loss))
        if self.bar is not None:
            right = accuracy(self.train, self.params)
            self.bar.set_postfix(loss=f"{loss:.4g}", accuracy=f"{right:.3f}")
            self.bar.update()
        if model.callback is not None:
            model.callback(model, model.n_iter_, loss)
        if self.valid is not None:
            loss = loss_and_grad(self.valid, self.params, 0.0)[0]
        elif model.solver_ == "lbfgs":
            return False  # SciPy looks at the gradient
        self.waited = 0 if loss < self.best_loss - tol else self.waited + 1
        if loss < self.best_loss and self.valid is not None:
            self.best_params = [p.copy() for p in self.params]
        self.best_loss = min(loss, self.best_loss)
        enough = model.tol is not None and self.waited >= model.n_iter_no_change
        self.trouble = "" if enough else self.trouble
        return enough

    def check_loss(self) -> None:
        """Have trouble where the loss is well above that of weights of 0."""
        classes, loss = len(self.model.classes_), self.model.loss_curve_[-1]
        start = 1.0 - 1.0 / classes if self.model.loss == "mse" else np.log(classes)
        if loss > 1.1 * start:
            text = "the loss is {loss:.3g}, and {start:.3g} where all weights are 0: scale the data"
            self.trouble = _(text, loss=loss, start=start)


def store(model: Any, params: Params) -> None:
    """Let the model have the parameters as they are now."""
    model.coef_ = params[0].T.copy()
    if model.fit_intercept:
        model.intercept_ = params[1].copy()


@contextmanager
def monitored(model: Any, params: Params, train: Any, valid: Any) -> Iterator[Monitor]:
    """Monitor a fit; warn of its trouble, Ctrl-C among it, and keep the model."""
    with progress_bar(model.verbose, model.max_iter) as bar:
        monitor = Monitor(model, params, train, valid, bar)
        try:
            yield monitor
            monitor.check_loss()
        except KeyboardInterrupt:
            text = "interrupted after {n} of at most {most} epochs; the model is as fitted so far"
            monitor.trouble = _(text, n=model.n_iter_, most=model.max_iter)
        store(model, monitor.best_params)
    if monitor.trouble:
        warnings.warn(monitor.trouble, ConvergenceWarning, stacklevel=4)


# ------------------------------------------------------------------ L-BFGS
def conditioner(train: Any, params: Params, l2: float) -> Any:
    """Return M for (W, b) = M φ, such that the loss curves much alike along all φ while W is small.

    There its curvature is that of a multiple of Σ (x W + b)²: the features are centred, scaled and,
    most of the way, decorrelated. All of the way takes more steps where it is the features of
    little variance that are noise: on the digits a third more.
    """
    (D, columns), intercept = params[0].shape, len(params) > 1
    mean, covariance = moments(train, intercept)
    multiple = 0.25 if columns == 1 else 1.0 / columns  # of the loss along z, at z = 0
    curvature = covariance + l2 / multiple * np.eye(D)
    variance = np.diag(curvature).copy()
    variance[variance <= (1e3 * np.finfo(float).eps * mean) ** 2] = 1.0  # it is what rounding left
    M = np.eye(D + intercept)
    M[:D, :D] = np.linalg.inv(np.linalg.cholesky(curvature + 0.1 * np.diag(variance))).T
    M[D:, :D] = -mean @ M[:D, :D]
    return M


def lbfgs(model: Any, params: Params, train: Any, monitor: Monitor) -> None:
    """Minimize J by SciPy's L-BFGS, until no entry of its gradient is above the tolerance.

    Near the optimum a step gains less than the last place of J, and a line search that compares
    such numbers goes one way or another by how the rows were summed. There the slopes tell J from
    its last value; but those of float32 are noise as well.
    """
    (features, columns), dtype, l2 = params[0].shape, params[0].dtype, strengths(model)[1]
    M, last = conditioner(train, params, l2), None

    def params_at(phi: Any) -> Params:
        theta = (M @ phi.reshape(len(M), columns)).astype(dtype)
        return [theta[:features], *theta[features:]]

    @QUIET
    def J(phi: Any) -> tuple[float, Any]:
        nonlocal last
        value, grads = loss_and_grad(train, params_at(phi), l2)
        slope = (M.T @ np.vstack(grads).astype(float)).ravel()
        if last is not None and dtype == np.float64:
            change = 0.5 * float((slope + last[2]) @ (phi - last[0]))
            value = last[1] + change if abs(change) < 1e-9 * abs(value) else value
        last = phi.copy(), value, slope
        return value, slope

    def after(intermediate_result: Any) -> None:
        for p, new in zip(params, params_at(intermediate_result.x)):
            p[...] = new
        if monitor(intermediate_result.fun):
            raise StopIteration

    gtol = max(tolerance(model), 10 * float(np.finfo(dtype).eps))  # float32 gets no further
    # An ftol of 64 eps, which is usual, leaves 1e-5 of a weight.
    options = {"maxiter": model.max_iter, "maxfun": 50 * model.max_iter, "gtol": gtol, "ftol": 0.0}
    start = np.zeros(len(M) * columns)
    result = minimize(J, start, jac=True, method="L-BFGS-B", callback=after, options=options)
    if not model.n_iter_:  # it began at the optimum
        monitor(result.fun)
    slope = float(np.abs(result.jac).max())
    if result.status in (0, 2):  # SciPy says that this is it, or that it gets no further
        text = "L-BFGS got no further than a slope of {slope:.2g}: scale the data, or take float64"
        enough = slope <= max(gtol, 30 * np.finfo(dtype).eps ** 0.5)
        monitor.trouble = "" if enough else _(text, slope=slope)


# ------------------------------------------------------------------ SGD and Adam
def new_optimizer(model: Any, params: Params) -> SGD | Adam:
    """Return the optimizer that a model's parameters describe; it moves ``params`` in place."""
    values = [Value(p) for p in params]
    if model.solver_ == "sgd":
        return SGD(values, model.learning_rate, model.momentum, nesterov=model.nesterov)
    return Adam(values, model.learning_rate)


def descend(model: Any, optimizer: Any, rows: Any, rng: Any, monitor: Any, max_iter: int) -> None:
    """Take epochs of an optimizer's steps until the monitor says that it is enough."""
    size = rows.count if model.batch_size == "full" else min(model.batch_size, rows.count)
    by_chunks = isinstance(rows, ChunkedRows) and size < rows.count
    epoch = _epoch_by_chunks if by_chunks else _epoch
    for _number in range(max_iter):
        if monitor(epoch(model, optimizer, rows, rng, int(size))):
            break


@QUIET
def _epoch(model: Any, optimizer: Any, rows: Any, rng: Any, size: int) -> float:
    """Take one step for each batch; return the mean of J over them."""
    params, (l1, l2), total = [p.data for p in optimizer.params], strengths(model), 0.0
    order = rng if model.shuffle else None
    for batch in rows.batches(size, order) if size < rows.count else [rows]:
        loss, grads = loss_and_grad(batch, params, l2)
        for p, g in zip(optimizer.params, grads):
            p.grad = g
        model.t_ += 1
        if model.schedule == "invscaling":
            optimizer.lr = model.learning_rate / model.t_**model.power_t
        total += batch.count * (loss + (l1 and l1 * float(np.abs(params[0]).sum())))
        optimizer.step()
        if l1:
            _shrink(params[0], l1, optimizer)
    return total / int(rows.count)


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


def _epoch_by_chunks(model: Any, optimizer: Any, rows: ChunkedRows, rng: Any, size: int) -> float:
    """Take an epoch of batches within Dask's chunks: the optimizer goes from one to the next."""
    total, chunks = 0.0, len(rows.parts)
    for i in rng.permutation(chunks) if model.shuffle else range(chunks):
        args = for_chunks(model), optimizer, int.from_bytes(rng.bytes(4)), size
        there, model.t_, loss = rows.each(_epoch_in, *args, only=slice(i, i + 1))[0].compute()
        for p, q in zip(optimizer.params, there.params):
            p.data[...] = q.data
        optimizer.state, optimizer.lr = there.state, there.lr
        total += loss
    return total / rows.count


def _epoch_in(
    rows: Rows, model: Any, optimizer: Any, seed: int, size: int
) -> tuple[Any, int, float]:
    """Take an epoch over a chunk's rows; return the optimizer then, all steps, the loss."""
    model, optimizer = deepcopy((model, optimizer))
    mean = _epoch(model, optimizer, rows, np.random.default_rng(seed), size)
    return optimizer, model.t_, mean * rows.count
