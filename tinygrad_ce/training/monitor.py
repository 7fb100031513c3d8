"""What goes on beside a fit: its curve, progress bar and callback, when to stop, Ctrl-C."""

from __future__ import annotations

import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from .estimator import ConvergenceWarning

Params = list[Any]  # [W] or [W, b]: (features, columns) and (columns,); two classes have one column


class Interrupt:
    """Whether Ctrl-C was pressed; `check` raises where it does no harm, between two steps."""

    def __init__(self) -> None:
        self.pressed = False

    def check(self) -> None:
        """Raise KeyboardInterrupt if it was pressed."""
        if self.pressed:
            raise KeyboardInterrupt


@contextmanager
def held() -> Iterator[Interrupt]:
    """Hold a first Ctrl-C back until `check`; a second one is Python's own."""
    interrupt = Interrupt()
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield interrupt
        return

    def press(number: int, frame: Any) -> None:
        interrupt.pressed = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, press)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def progress_bar(shown: bool, epochs: int) -> Iterator[Any]:
    """A progress bar, or None."""
    if not shown:
        yield None
        return
    try:
        from tqdm.auto import tqdm
    except ImportError:
        raise ImportError('verbose=True needs tqdm: pip install "tinygrad_ce[progress]"') from None
    with tqdm(total=epochs, unit="epoch") as bar:
        yield bar


class Watch:
    """What happens after each epoch: curve, bar, callback, and whether to stop."""

    def __init__(self, model: Any, train: Any, valid: Any, interrupt: Interrupt, bar: Any) -> None:
        self.model, self.train, self.valid = model, train, valid
        self.interrupt, self.bar = interrupt, bar
        self.best, self.waited, self.ended = np.inf, 0, False
        self.best_params: Params | None = None

    def __call__(self, params: Params, loss: float) -> bool:
        """Tell of an epoch's end; whether to stop."""
        model, loss = self.model, float(loss)
        model._keep(params)
        model.n_iter_ += 1
        model.loss_curve_.append(loss)
        if self.bar is not None:
            self.bar.set_postfix(loss=f"{loss:.4g}", accuracy=f"{self.train.accuracy(params):.3f}")
            self.bar.update()
        if model.callback is not None:
            model.callback(model, model.n_iter_, loss)
        self.interrupt.check()
        self.ended = self._enough(params, loss)
        return self.ended

    def _enough(self, params: Params, loss: float) -> bool:
        model, tol = self.model, self.model._tol()
        if self.valid is None and model.solver_ == "lbfgs":
            return False  # SciPy looks at the gradient
        if self.valid is not None:
            loss = self.valid.loss_and_grad(params)[0]
        self.waited = 0 if loss < self.best - max(tol, 0.0) else self.waited + 1
        if loss < self.best:
            self.best = loss
            if self.valid is not None:
                self.best_params = [p.copy() for p in params]
        return bool(self.waited >= model.n_iter_no_change and tol >= 0)

    def finish(self) -> None:
        """Take the parameters that were best on the rows set aside; warn if epochs ran out."""
        if self.best_params is not None:
            self.model._keep(self.best_params)
        if not self.ended and self.model.tol is not None:
            warnings.warn(
                f"max_iter={self.model.max_iter} reached before tol={self.model._tol():g}: scale "
                "the data, or raise it",
                ConvergenceWarning,
                stacklevel=3,
            )


class Unwatched:
    """A `Watch` of nothing, on another machine."""

    interrupt = Interrupt()

    def __call__(self, params: Params, loss: float) -> float:
        """Give the loss to where the epochs are counted."""
        return loss
