"""Gradient descent: `SGD` and `Adam`, with PyTorch's names, defaults and update rules.

An optimizer holds a list of leaves. Its ``step`` moves the data of each against ``.grad``: an array
in place, as ``p.data -= lr * p.grad`` does, and, as after that, a graph computed from the data
before refuses to run backward. The step is plain arithmetic, no graph.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..engine.data import as_data
from ..engine.text import _
from ..engine.value import Value, detach


def _check_leaves(params: Iterable[Value]) -> list[Value]:
    """Return what an optimizer may move: leaves, each once, with data that can be written."""
    if isinstance(params, Value) or not isinstance(params, Iterable):
        kind = type(params).__name__
        raise TypeError(_("params: got a {kind}, wanted a list of Values", kind=kind))
    leaves = list(params)
    if not leaves:
        raise ValueError(_("params: got an empty list, wanted the Values to optimize"))
    for i, p in enumerate(leaves):
        if not isinstance(p, Value):
            text = "params[{i}]: got a {kind}, wanted a Value"
            raise TypeError(_(text, i=i, kind=type(p).__name__))
        if p.op is not None:
            text = "params[{i}]: got the result of {op}, wanted a leaf, Value(x)"
            raise ValueError(_(text, i=i, op=p.op.name))
        if isinstance(p.data, np.ndarray) and not p.data.flags.writeable:
            text = "params[{i}]: its data is read-only; take Value(v.data.copy())"
            raise ValueError(_(text, i=i))
    if len({id(p) for p in leaves}) < len(leaves):
        raise ValueError(_("params: a Value is there twice, and would be moved twice a step"))
    return leaves


def _check_number(x: Any, name: str, below: float = np.inf) -> float:
    """Return an option of an optimizer as a float: 0 <= x < below."""
    if isinstance(x, float | int | np.number) and 0 <= x < below:
        return float(x)
    text = "{name}: got {got}, wanted a number from 0 up"
    if below < np.inf:
        text = "{name}: got {got}, wanted a number from 0 up, below {below:g}"
    raise ValueError(_(text, name=name, got=repr(x), below=below))


def _gradient(p: Value, i: int) -> Any:
    """Return ``p.grad``, of the data's shape; None where none was assigned and no pass came by."""
    g, data = detach(p.grad), p.data
    if g.__class__ is float is data.__class__:
        return g if g or p.passes else None  # a number's grad starts at 0.0
    if g is None:
        return None
    if g.__class__ is data.__class__ and g.shape == data.shape and g.dtype == data.dtype:
        return g
    g = as_data(g, f"params[{i}].grad")  # floats, so that momentum can scale it
    if np.shape(g) != p.shape:
        text = "params[{i}].grad: got shape {got}, wanted {wanted}, the data's"
        raise ValueError(_(text, i=i, got=np.shape(g), wanted=p.shape))
    return float(g) if data.__class__ is float else g


class Optimizer:
    """What `SGD` and `Adam` share: the leaves, the learning rate, ``step`` and ``zero_grad``.

    Attributes
    ----------
    params : list of `Value`, the leaves that a step moves
    lr : float, the learning rate; may be assigned between steps
    state : list, for each leaf what its last step left for the next one, or None
    """

    def __init__(self, params: Iterable[Value], lr: float) -> None:
        self.params = _check_leaves(params)
        self.lr = _check_number(lr, "lr")
        self.state: list[Any] = [None] * len(self.params)

    def zero_grad(self) -> None:
        """Set every ``.grad`` to None: the next backward pass starts anew."""
        for p in self.params:
            p.grad = None

    def step(self) -> None:
        """Move every leaf that has a gradient, one step against it."""
        lr = _check_number(self.lr, "lr")
        for i, p in enumerate(self.params):
            if (g := _gradient(p, i)) is not None:
                p.data = self._move(p.data, g, lr, i)

    def _move(self, data: Any, g: Any, lr: float, i: int) -> Any:
        """Return the data of leaf ``i`` after a step; written in place where it is an array."""
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
    >>> from tinygrad_ce import SGD, Value
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
        super().__init__(params, lr)
        self.momentum = _check_number(momentum, "momentum")
        self.dampening = float(dampening)
        self.weight_decay = _check_number(weight_decay, "weight_decay")
        self.nesterov = nesterov
        if nesterov and not (momentum and not dampening):
            text = "nesterov=True wants momentum above 0 and dampening=0, got {m}, {d}"
            raise ValueError(_(text, m=momentum, d=dampening))

    def _move(self, data: Any, g: Any, lr: float, i: int) -> Any:
        if self.weight_decay:
            g = g + self.weight_decay * data
        if self.momentum:
            b = self.state[i]
            if b is None:
                b = +g  # a copy: p.grad stays the caller's
            else:
                b *= self.momentum
                b += (1.0 - self.dampening) * g if self.dampening else g
            self.state[i] = b
            g = g + self.momentum * b if self.nesterov else b
        data -= lr * g
        return data


class Adam(Optimizer):
    """Adam: w ← w − lr · m̂ / (√v̂ + eps), m and v running means of g and g², m̂ and v̂ unbiased.

    D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization", ICLR 2015.

    Parameters
    ----------
    params : `Value`s that are leaves, scalars or arrays; an array's dtype is kept
    lr : float, the learning rate
    betas : (float, float), how much of m and of v each step keeps
    eps : float, added to the root, for where v is 0
    weight_decay : float, g takes weight_decay · w: the gradient of ½ · weight_decay · ‖w‖²

    Examples
    --------
    >>> from tinygrad_ce import Adam, Value
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
        super().__init__(params, lr)
        if not isinstance(betas, tuple | list) or len(betas) != 2:
            raise ValueError(_("betas: got {got}, wanted two numbers", got=repr(betas)))
        first, second = (_check_number(beta, f"betas[{k}]", 1.0) for k, beta in enumerate(betas))
        self.betas = (first, second)
        self.eps = _check_number(eps, "eps")
        self.weight_decay = _check_number(weight_decay, "weight_decay")

    def _move(self, data: Any, g: Any, lr: float, i: int) -> Any:
        beta, beta2 = self.betas
        if self.weight_decay:
            g = g + self.weight_decay * data
        t, m, v = self.state[i] or (0, 0.0 * g, 0.0 * g)
        t += 1
        m *= beta
        m += (1.0 - beta) * g
        v *= beta2
        v += (1.0 - beta2) * g * g
        self.state[i] = t, m, v
        root = np.sqrt(v)  # of a float, NumPy's: divided by 0 it is inf or nan, as in an array
        root /= (1.0 - beta2**t) ** 0.5
        root += self.eps
        step = (lr / (1.0 - beta**t)) * m
        step /= root
        data -= step
        return data if data.__class__ is np.ndarray else float(data)
