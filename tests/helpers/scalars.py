"""An engine of scalars as people write one in an afternoon: local slopes, a recursive order."""

from __future__ import annotations

import math
from typing import Any


class Scalar:
    """A number with its arguments and its slopes by them."""

    __slots__ = ("args", "data", "grad", "slopes")

    def __init__(self, data: Any, args: tuple[Any, ...] = (), slopes: tuple[Any, ...] = ()) -> None:
        self.data, self.grad, self.args, self.slopes = data, 0.0, args, slopes

    def __add__(self, other: Any) -> Scalar:
        other = other if isinstance(other, Scalar) else Scalar(other)
        return Scalar(self.data + other.data, (self, other), (1.0, 1.0))

    def __mul__(self, other: Any) -> Scalar:
        other = other if isinstance(other, Scalar) else Scalar(other)
        return Scalar(self.data * other.data, (self, other), (other.data, self.data))

    def __pow__(self, n: float) -> Scalar:
        return Scalar(self.data**n, (self,), (n * self.data ** (n - 1.0),))

    def exp(self) -> Scalar:
        e = math.exp(self.data)
        return Scalar(e, (self,), (e,))

    def log(self) -> Scalar:
        return Scalar(math.log(self.data), (self,), (1.0 / self.data,))

    def relu(self) -> Scalar:
        return Scalar(max(0.0, self.data), (self,), (float(self.data > 0.0),))

    def __neg__(self) -> Scalar:
        return self * -1.0

    def __sub__(self, other: Any) -> Scalar:
        return self + (-other)

    def __rsub__(self, other: Any) -> Scalar:
        return -self + other

    def __truediv__(self, other: Any) -> Scalar:
        return self * other**-1.0

    __radd__, __rmul__ = __add__, __mul__

    def backward(self) -> None:
        order: list[Scalar] = []
        seen: set[Scalar] = set()

        def visit(node: Scalar) -> None:
            if node not in seen:
                seen.add(node)
                for arg in node.args:
                    visit(arg)
                order.append(node)

        visit(self)
        self.grad = 1.0
        for node in reversed(order):
            for arg, slope in zip(node.args, node.slopes):
                arg.grad += slope * node.grad
