"""Modules hold parameters and are called: enough for a small network, trained by `SGD` or `Adam`.

As in micrograd's ``nn.py``, but a layer is one matrix, not a list of neurons.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ..engine.text import require
from ..engine.value import Value
from ..losses.activations import relu

Rng = np.random.Generator | int | None
Activation = Callable[[Any], Any]


class Module:
    """What has parameters. A subclass keeps them as attributes and defines ``__call__``.

    Examples
    --------
    >>> class Line(Module):
    ...     def __init__(self):
    ...         self.slope, self.offset = Value(2.0), Value(1.0)
    ...
    ...     def __call__(self, x):
    ...         return self.slope * x + self.offset
    >>> line = Line()
    >>> line(3.0).data, len(line.parameters())
    (7.0, 2)
    """

    def parameters(self) -> list[Value]:
        """Each leaf in the attributes, in order, and in modules, lists, tuples and dicts there."""
        seen: dict[int, Any] = {}
        stack: list[Any] = [self]
        while stack:
            x = stack.pop()
            if id(x) in seen:
                continue
            seen[id(x)] = x
            inside = vars(x) if isinstance(x, Module) else x
            if isinstance(inside, dict):
                inside = list(inside.values())
            if isinstance(inside, list | tuple):
                stack += reversed(inside)
        return [x for x in seen.values() if isinstance(x, Value) and x.op is None]

    def zero_grad(self) -> None:
        """Set every parameter's ``.grad`` to None: the next backward pass starts anew."""
        for p in self.parameters():
            p.grad = None


class Linear(Module):
    """x ↦ x @ W + b, for rows x; the parameters are W of shape (inputs, outputs), b of (outputs,).

    W is drawn from a normal distribution of variance 2 / inputs, and b is 0: numbers that go
    through such layers, with a relu between, neither grow nor shrink (K. He et al., "Delving deep
    into rectifiers", ICCV 2015). ``rng`` is a ``numpy.random.Generator``, or a seed for one.

    Examples
    --------
    >>> Linear(2, 3, rng=0)(np.ones((5, 2))).shape
    (5, 3)
    """

    def __init__(self, inputs: int, outputs: int, rng: Rng = None) -> None:
        for size in (inputs, outputs):
            text = "Linear: got size {size!r}, wanted an int from 1 up"
            require(isinstance(size, int | np.integer) and size > 0, text, size=size)
        W = np.random.default_rng(rng).normal(0.0, (2.0 / inputs) ** 0.5, (inputs, outputs))
        self.W, self.b = Value(W, name="W"), Value(np.zeros(outputs), name="b")

    def __call__(self, x: Any) -> Any:
        """The rows of x, an array or a `Value`, through the layer."""
        return x @ self.W + self.b

    def __repr__(self) -> str:
        return "Linear({}, {})".format(*self.W.shape)


class MLP(Module):
    """A multi-layer perceptron: `Linear` layers with an activation after each but the last.

    ``outputs`` lists the entries after each layer: ``MLP(2, [16, 16, 1])`` has two hidden layers.

    Examples
    --------
    >>> model = MLP(2, [16, 16, 1], rng=0)
    >>> model
    MLP(2, [16, 16, 1])
    >>> sum(p.size for p in model.parameters())
    337
    """

    def __init__(
        self, inputs: int, outputs: Sequence[int], rng: Rng = None, activation: Activation = relu
    ) -> None:
        require(outputs, "MLP: got no layers, wanted one size at least, as in MLP(2, [1])")
        rng, sizes = np.random.default_rng(rng), [inputs, *outputs]
        self.layers = [Linear(n, m, rng) for n, m in pairwise(sizes)]
        self.activation = activation

    def __call__(self, x: Any) -> Any:
        """The rows of x, an array or a `Value`, through all layers."""
        for layer in self.layers[:-1]:
            x = self.activation(layer(x))
        return self.layers[-1](x)

    def __repr__(self) -> str:
        return f"MLP({self.layers[0].W.shape[0]}, {[layer.W.shape[1] for layer in self.layers]})"
