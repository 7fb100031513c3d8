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
from ..engine.value import Value, detach, numbers


def _leaves(params: Iterable[Value]) -> list[Value]:
    """What an optimizer may change: leaves, each once, with data that can be written."""
    if isinstance(params, Value) or not isinstance(params, Iterable):
        raise TypeError(f"params: got a {type(params).__name__}, wanted a list of Values")
    found = list(params)
    if not found:
        raise ValueError("params: got an empty list, wanted the Values to optimize")
    for i, p in enumerate(found):
        if not isinstance(p, Value):
            raise TypeError(f"params[{i}]: got a {type(p).__name__}, wanted a Value")
        if p.op is not None:
            raise ValueError(f"params[{i}]: got the result of {p.op.name}, wanted a leaf, Value(x)")
        if isinstance(p.data, np.ndarray) and not p.data.flags.writeable:
            raise ValueError(f"params[{i}]: its data is read-only; take Value(v.data.copy())")
    if len(set(found)) < len(found):
        raise ValueError("params: a Value is there twice, and would be moved twice a step")
    return found


def _number(x: Any, name: str, below: float = np.inf) -> float:
    """An option of an optimizer: 0 <= x < below."""
    if not isinstance(x, float | int | np.number) or not 0 <= x < below:
        wanted = "a number from 0 up" + (f", below {below:g}" if below < np.inf else "")
        raise ValueError(f"{name}: got {x!r}, wanted {wanted}")
    return float(x)


def _gradient(p: Value, i: int) -> Any:
    """``p.grad``, of the data's shape, also where it was assigned by hand."""
    g, data = detach(p.grad), p.data
    if g.__class__ is float is data.__class__:
        return g
    if g.__class__ is data.__class__ and g.shape == data.shape and g.dtype == data.dtype:
        return g
    g = as_data(g, f"params[{i}].grad")  # floats, so that momentum can scale it
    if np.shape(g) != p.shape:
        raise ValueError(f"params[{i}].grad: got shape {np.shape(g)}, wanted {p.shape}, the data's")
    return float(g) if data.__class__ is float else g


class Optimizer:
    """What `SGD` and `Adam` share: the leaves, the learning rate, ``step`` and ``zero_grad``.

    Attributes
    ----------
    params : list of `Value`, the leaves that a step moves
    lr : float, the learning rate; may be assigned between steps
    """

    def __init__(self, params: Iterable[Value], lr: float) -> None:
        self.params = _leaves(params)
        self.lr = _number(lr, "lr")

    def zero_grad(self) -> None:
        """Set every ``.grad`` to None: the next backward pass starts anew."""
        for p in self.params:
            p.grad = None

    def step(self) -> None:
        """Move every leaf that has a gradient, one step against it.

        Raises
        ------
        ValueError
            If ``lr`` was set below 0, or a ``.grad`` to another shape than the data's.
        """
        lr = _number(self.lr, "lr")
        for i, p in enumerate(self.params):
            if p.grad is not None:
                data = self._moved(p.data, _gradient(p, i), lr, i)
                # What assigning p.data does, without its checks: they cost what the step costs.
                p._data = data if data.__class__ is np.ndarray else as_data(data)
                p.number = next(numbers)

    def _moved(self, data: Any, g: Any, lr: float, i: int) -> Any:
        """The data of leaf ``i`` after a step; written in place where it is an array."""
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

    Raises
    ------
    TypeError
        If ``params`` holds anything but `Value`s.
    ValueError
        If it holds none, one twice, or one that is not a leaf; or an option is out of its range.

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
        self.momentum = _number(momentum, "momentum")
        self.dampening = float(dampening)
        self.weight_decay = _number(weight_decay, "weight_decay")
        self.nesterov = nesterov
        if nesterov and not (momentum and not dampening):
            raise ValueError(
                f"nesterov=True wants momentum above 0 and dampening=0, got {momentum}, {dampening}"
            )
        self._buffers: list[Any] = [None] * len(self.params)

    def _moved(self, data: Any, g: Any, lr: float, i: int) -> Any:
        if self.weight_decay:
            g = g + self.weight_decay * data
        if self.momentum:
            b = self._buffers[i]
            if b is None:
                b = +g  # a copy: p.grad stays the caller's
            else:
                b *= self.momentum
                b += (1.0 - self.dampening) * g if self.dampening else g
            self._buffers[i] = b
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

    Raises
    ------
    TypeError
        If ``params`` holds anything but `Value`s.
    ValueError
        If it holds none, one twice, or one that is not a leaf; or an option is out of its range.

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
            raise ValueError(f"betas: got {betas!r}, wanted two numbers")
        self.betas = (_number(betas[0], "betas[0]", 1.0), _number(betas[1], "betas[1]", 1.0))
        self.eps = _number(eps, "eps")
        self.weight_decay = _number(weight_decay, "weight_decay")
        self._moments: list[Any] = [None] * len(self.params)

    def _moved(self, data: Any, g: Any, lr: float, i: int) -> Any:
        keep, keep2 = self.betas
        if self.weight_decay:
            g = g + self.weight_decay * data
        if self._moments[i] is None:
            t, m, v = 1, (1.0 - keep) * g, (1.0 - keep2) * g * g
        else:
            t, m, v = self._moments[i]
            t += 1
            m *= keep
            m += (1.0 - keep) * g
            v *= keep2
            v += (1.0 - keep2) * g * g
        self._moments[i] = t, m, v
        root = np.sqrt(v)  # of a float, NumPy's: divided by 0 it is inf or nan, as in an array
        root /= (1.0 - keep2**t) ** 0.5
        root += self.eps
        step = (lr / (1.0 - keep**t)) * m
        step /= root
        data -= step
        return data
