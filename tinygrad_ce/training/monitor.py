"""What goes on beside a fit: its curve, progress bar and callback, when to stop, Ctrl-C."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from ..engine.text import _
from .objective import Params, accuracy, loss_and_grad
from .validation import tolerance


def progress_bar(shown: bool, epochs: int) -> AbstractContextManager[Any]:
    """Return a progress bar, if that is wanted: a context, as which it is None otherwise."""
    if not shown:
        return nullcontext()
    try:
        from tqdm.auto import tqdm
    except ImportError:
        text = 'verbose=True needs tqdm: pip install "tinygrad_ce[progress]"'
        raise ImportError(_(text)) from None
    bar: AbstractContextManager[Any] = tqdm(total=epochs, unit="epoch")
    return bar


class Monitor:
    """What happens after each epoch: the model takes the parameters, and it may be enough.

    ``params`` are the arrays that a solver moves in place; ``stopped`` tells whether the fit ended
    before its epochs ran out.
    """

    def __init__(self, model: Any, params: Params, train: Any, valid: Any, bar: Any) -> None:
        self.model, self.train, self.valid, self.bar = model, train, valid, bar
        self.params, self.best_params = params, params
        self.best_loss, self.waited, self.stopped = np.inf, 0, False

    def __call__(self, loss: float) -> bool:
        """Note the end of an epoch; return whether to stop."""
        model, tol = self.model, tolerance(self.model)
        if not np.isfinite(loss) and model.solver_ != "lbfgs":
            text = "loss {loss} in epoch {n}: scale the data, or take a learning_rate below {rate}"
            n, rate = model.n_iter_ + 1, model.learning_rate
            raise ValueError(_(text, loss=loss, n=n, rate=rate))
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
        self.waited = 0 if loss < self.best_loss - max(tol, 0.0) else self.waited + 1
        if loss < self.best_loss and self.valid is not None:
            self.best_params = [p.copy() for p in self.params]
        self.best_loss = min(loss, self.best_loss)
        self.stopped = tol >= 0 and self.waited >= model.n_iter_no_change
        return self.stopped


def store(model: Any, params: Params) -> None:
    """Let the model have the parameters as they are now."""
    model.coef_ = params[0].T.copy()
    if model.fit_intercept:
        model.intercept_ = params[1].copy()


@contextmanager
def monitored(model: Any, params: Params, train: Any, valid: Any) -> Iterator[Monitor]:
    """Monitor a fit; after Ctrl-C, and where the epochs ran out, warn and keep the model."""
    with progress_bar(model.verbose, model.max_iter) as bar:
        monitor, text = Monitor(model, params, train, valid, bar), ""
        try:
            yield monitor
        except KeyboardInterrupt:
            text = "interrupted after {n} of at most {most} epochs; the model is as fitted so far"
        store(model, monitor.best_params)
    if not text and not monitor.stopped and model.tol is not None:
        text = "max_iter={most} reached before tol={tol:g}: scale the data, or raise it"
    if text:
        text = _(text, n=model.n_iter_, most=model.max_iter, tol=tolerance(model))
        warnings.warn(text, ConvergenceWarning, stacklevel=4)
