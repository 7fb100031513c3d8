"""Gradient descent: `SGD` and `Adam`, with PyTorch's names, defaults and update rules.

A step is plain arithmetic, no graph. It moves data as ``p.data -= lr * p.grad`` does: arrays in
place; and a graph that was computed from the data before refuses to run backward.
"""

from collections.abc import Iterable
from itertools import count
from typing import Any

import numpy as np

from ..engine.data import as_data
from ..engine.text import _, require
from ..engine.value import Value, detach


def _check_leaves(params: Iterable[Value]) -> list[Value]:
    """Return what an optimizer may move: leaves, each once, with data that can be written."""
    leaves = list(params) if isinstance(params, Iterable) and not isinstance(params, Value) else []
    text = "params: got a {kind}, wanted a list of one Value or more"
    require(leaves, text, TypeError, kind=type(params).__name__)
    for i, p in enumerate(leaves):
        text = "params[{i}]: got a {kind}, wanted a leaf, Value(x)"
        kind = p.op.name if isinstance(p, Value) and p.op else type(p).__name__
        require(isinstance(p, Value) and p.op is None, text, TypeError, i=i, kind=kind)
    text = "params: a Value is there twice, and would be moved twice a step"
    require(len({id(p) for p in leaves}) == len(leaves), text)
    return leaves


def _check_number(x: Any, name: str, below: float = np.inf) -> float:
    text = "{name}: got {got!r}, wanted a number from 0 up, below {below}"
    fits = isinstance(x, float | int | np.number) and 0 <= x < below
    require(fits, text, name=name, got=x, below=below)
    return float(x)


def _gradient(p: Value, i: int) -> Any:
    """Return ``p.grad``, of the data's shape; None where none was assigned and no pass came by."""
    g = detach(p.grad)
    if g.__class__ is float is p.data.__class__:
        return g if g or p.passes else None  # a number's grad starts at 0.0
    if g is None:
        return None
    if not g.__class__ is p.data.__class__ is np.ndarray or g.dtype != p.data.dtype:
        g = as_data(g, f"params[{i}].grad")  # floats, so that momentum can scale it
    if getattr(g, "shape", ()) != p.shape:
        text = "params[{i}].grad: got shape {got}, wanted {wanted}, the data's"
        raise ValueError(_(text, i=i, got=np.shape(g), wanted=p.shape))
    return float(g) if p.data.__class__ is float else g


class Optimizer:
    """What `SGD` and `Adam` share: leaves, learning rate, weight decay, ``step``, ``zero_grad``.

    Attributes
    ----------
    params : list of `Value`, the leaves that a step moves
    lr : float, the learning rate; may be assigned between steps
    state : list, for each leaf what its last step left for the next one, or None
    """

    def __init__(self, params: Iterable[Value], lr: float, weight_decay: float) -> None:
        self.params = _check_leaves(params)
        self.lr = _check_number(lr, "lr")
        self.weight_decay = _check_number(weight_decay, "weight_decay")
        self.state: list[Any] = [None] * len(self.params)

    def zero_grad(self) -> None:
        """Set every ``.grad`` to None: the next backward pass starts anew."""
        for p in self.params:
            p.grad = None

    def step(self) -> None:
        """Move every leaf that has a gradient, one step against it.

        Raises
        ------
        RuntimeError
            If none has: no backward pass has come by since ``zero_grad``.
        """
        lr, gradients = _check_number(self.lr, "lr"), [*map(_gradient, self.params, count())]
        text = "step: no parameter has a gradient: call backward() on a loss of theirs before"
        require(any(g is not None for g in gradients), text, RuntimeError)
        for i, (p, g) in enumerate(zip(self.params, gradients)):
            if g is not None:
                g = g + self.weight_decay * p.data if self.weight_decay else g
                p.data -= lr * self._direction(g, i)

    def _direction(self, g: Any, i: int) -> Any:
        """Return where leaf ``i`` moves from, by its gradient and what steps before left."""
        raise NotImplementedError


class SGD(Optimizer):
    """Gradient descent: w ← w − lr · g; with momentum, w ← w − lr · b for b ← momentum · b + g.

    Parameters
    ----------
    params : `Value`s that are leaves, scalars or arrays; an array's dtype is kept
    lr : float, the learning rate
    momentum : float, how much of the last direction b is kept; the first b is g
    dampening : float, b takes (1 − dampening) · g
    weight_decay : float, g takes weight_decay · w: the gradient of ½ · weight_decay · ‖w‖²
    nesterov : bool, w moves along g + momentum · b; wants momentum, and no dampening

    Examples
    --------
    >>> w = Value(5.0)
    >>> optimizer = SGD([w], lr=0.1, momentum=0.5)
    >>> for _ in range(40):
    ...     optimizer.zero_grad()
    ...     ((w - 3.0) ** 2).backward()
    ...     optimizer.step()
    >>> round(w.data, 4)
    3.0
    """

    def __init__(
        self,
        params: Iterable[Value],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(params, lr, weight_decay)
        self.momentum = _check_number(momentum, "momentum")
        self.dampening = float(dampening)
        self.nesterov = nesterov
        text = "nesterov=True wants momentum above 0 and dampening=0, got {m}, {d}"
        require(not nesterov or (momentum and not dampening), text, m=momentum, d=dampening)

    def _direction(self, g: Any, i: int) -> Any:
        if not self.momentum:
            return g
        b = self.state[i]
        b = +g if b is None else self.momentum * b + (1.0 - self.dampening) * g  # +g is a copy
        self.state[i] = b
        return g + self.momentum * b if self.nesterov else b


class Adam(Optimizer):
    """Adam: w ← w − lr · m̂ / (√v̂ + eps), m and v running means of g and g², m̂ and v̂ unbiased.

    D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization", ICLR 2015.

    Parameters
    ----------
    params, lr, weight_decay : as of `SGD`
    betas : (float, float), how much of m and of v each step keeps
    eps : float, added to the root, for where v is 0

    Examples
    --------
    >>> w = Value([5.0, -1.0])
    >>> optimizer = Adam([w], lr=0.1)
    >>> for _ in range(400):
    ...     optimizer.zero_grad()
    ...     ((w - [3.0, 4.0]) ** 2).sum().backward()
    ...     optimizer.step()
    >>> w.data.round(4)
    array([3., 4.])
    """

    def __init__(
        self,
        params: Iterable[Value],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr, weight_decay)
        beta, beta2 = betas
        self.betas = _check_number(beta, "betas[0]", 1.0), _check_number(beta2, "betas[1]", 1.0)
        self.eps = _check_number(eps, "eps")

    def _direction(self, g: Any, i: int) -> Any:
        beta, beta2 = self.betas
        t, m, v = self.state[i] or (0, 0.0, 0.0)
        t, m, v = t + 1, beta * m + (1.0 - beta) * g, beta2 * v + (1.0 - beta2) * g * g
        self.state[i] = t, m, v
        root = (v / (1.0 - beta2**t)) ** 0.5 + self.eps  # np.sqrt of a number is no float
        if root.__class__ is float and not root:
            root = np.float64(root)  # which can be divided by: nan
        return m / (1.0 - beta**t) / root
