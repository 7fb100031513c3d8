"""Functions of functions: from ``f`` to its gradient, Jacobian, Hessian, to any order.

Each calls ``f`` with `Value`s in place of the arguments it differentiates and sweeps the graph that
``f`` leaves behind. What comes back is plain (floats, arrays) unless something else in that graph
is a `Value`, an outer variable or a parameter: then it depends on that, and is a `Value` itself.
That is how transforms nest, and why ``grad(grad(f))`` needs no option.

An argument may be a number, an array, or a dict, list or tuple of such; its gradient has the same
structure. A list of plain numbers is an array.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import update_wrapper
from typing import Any

import numpy as np

from .backward import gradients, topological
from .data import as_data, as_upstream
from .ops import IDENTITY
from .text import _
from .value import Value, detach

Function = Callable[..., Any]
Argnums = int | Sequence[int]


def flatten(tree: Any, path: str = "") -> list[tuple[str, Any]]:
    """The leaves of a dict, list or tuple, each with where it stands: ``[('["W"]', W), ...]``."""
    if isinstance(tree, dict):
        items = [(f"[{key!r}]", value) for key, value in tree.items()]
    elif isinstance(tree, list | tuple) and not _is_array_like(tree):
        items = [(f"[{i}]", value) for i, value in enumerate(tree)]
    else:
        return [(path, tree)]
    return [leaf for step, value in items for leaf in flatten(value, path + step)]


def _is_array_like(tree: Any) -> bool:
    """Whether a list is numbers all the way down: one array, not a structure of several."""
    if isinstance(tree, list | tuple) and not hasattr(tree, "_make"):
        return bool(tree) and all(_is_array_like(value) for value in tree)
    return isinstance(tree, int | float | np.number)


def unflatten(tree: Any, leaves: Iterable[Any]) -> Any:
    """Put leaves, in the order of `flatten`, into the structure of ``tree``."""
    return _fill(tree, iter(leaves))


def _fill(tree: Any, supply: Iterator[Any]) -> Any:
    if isinstance(tree, dict):
        return {key: _fill(value, supply) for key, value in tree.items()}
    if isinstance(tree, list | tuple) and not _is_array_like(tree):
        filled = [_fill(value, supply) for value in tree]
        return tree._make(filled) if hasattr(tree, "_make") else type(tree)(filled)
    return next(supply)


def variable(x: Any, what: str = "argument") -> Value:
    """A node of our own for an argument: a leaf, or an identity on top of an outer `Value`.

    The identity keeps an inner derivative from seeing what else depends on the outer variable.
    """
    return +x if isinstance(x, Value) else Value(as_data(x, what))


def _zeros(data: Any) -> Any:
    return 0.0 if data.__class__ is float else np.zeros_like(data)


def _checked(f: Any, argnums: Any) -> Sequence[int]:
    """The positions to differentiate; a `TypeError` now, not when the function is called."""
    if not callable(f):
        raise TypeError(_("got {got}, wanted a function to differentiate", got=type(f).__name__))
    numbers = [argnums] if isinstance(argnums, int) else argnums
    if not isinstance(numbers, Sequence) or not all(isinstance(n, int) for n in numbers):
        raise TypeError(_("argnums: got {got!r}, wanted an int or several", got=argnums))
    return numbers


class _Trace:
    """One call of ``f`` with variables in place of the arguments to differentiate."""

    def __init__(self, f: Function, argnums: Argnums, args: tuple[Any, ...], kwargs: Any) -> None:
        self.single = isinstance(argnums, int)
        numbers = _checked(f, argnums)
        if wrong := [n for n in numbers if not -len(args) <= n < len(args)]:
            text = "argnums={argnum}: got {n} positional arguments"
            raise ValueError(_(text, argnum=wrong[0], n=len(args)))
        if len({n % len(args) for n in numbers}) < len(numbers):
            raise ValueError(_("argnums={got}: an argument stands there twice", got=argnums))
        self.trees = [args[n] for n in numbers]
        self.variables: list[Value] = []
        filled = list(args)
        for n, tree in zip(numbers, self.trees):
            own = [variable(leaf, path) for path, leaf in flatten(tree, f"argument {n}")]
            filled[n] = unflatten(tree, own)
            self.variables += own
        self.out = f(*filled, **kwargs)
        if self.out is None or isinstance(self.out, dict | list | tuple):
            text = "f returned a {got}, wanted one number or array"
            raise TypeError(_(text, got=type(self.out).__name__))
        if not isinstance(self.out, Value):
            as_data(self.out, "f's result")

    def restore(self, leaves: Sequence[Any]) -> Any:
        """Leaves, one a variable, in the structure of the arguments."""
        supply, filled = iter(leaves), []
        for tree in self.trees:
            filled.append(unflatten(tree, [next(supply) for _ in flatten(tree)]))
        return filled[0] if self.single else tuple(filled)

    def pull(self, seed: Any) -> list[Any]:
        """The gradient of each variable; zeros where the result does not depend on one."""
        out, found = self.out, [None] * len(self.variables)
        if isinstance(out, Value):
            found = gradients(out, seed, self.variables)
        return [_zeros(v.data) if g is None else g for v, g in zip(self.variables, found)]

    def close(self) -> None:
        """Make our leaves constants: in a gradient that depends on outer variables, they are."""
        for v in self.variables:
            if v.op is None:
                v.op, v.x = IDENTITY, v.data

    def value(self) -> Any:
        """The result: plain, unless it rests on a leaf that is none of the variables."""
        if not isinstance(self.out, Value):
            return self.out
        own = set(self.variables)
        others = any(node.op is None and node not in own for node in topological(self.out))
        return self.out if others else self.out.data

    def scalar(self, name: str) -> None:
        """Refuse a result that has no single gradient."""
        if math.prod(np.shape(self.out)) != 1:
            text = (
                "{name} wants a function with one number as its result, got shape {shape}: "
                "reduce it (.sum(), .mean()), or use jacobian or vjp"
            )
            raise ValueError(_(text, name=name, shape=np.shape(self.out)))


def _with_arguments_of(f: Function, derivative: Function) -> Function:
    """For help() and for a printed program: the signature of ``derivative`` is that of ``f``."""
    return update_wrapper(derivative, f, assigned=(), updated=())


def value_and_grad(f: Function, argnums: Argnums = 0) -> Function:
    """Return a function that computes ``f`` and its gradient in one pass.

    Parameters
    ----------
    f : function of arrays, written in NumPy, with one number as its result
    argnums : the positional argument to differentiate, or several

    Returns
    -------
    A function of the same arguments that returns ``(value, gradient)``, the gradient shaped like
    the argument; with several ``argnums``, a tuple of gradients.

    Raises
    ------
    ValueError
        If the result is not one number, or an argument is not there.

    Examples
    --------
    >>> value_and_grad(lambda x: (x**2).sum())(np.array([1.0, 2.0]))
    (5.0, array([2., 4.]))
    """
    _checked(f, argnums)

    def both(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        trace = _Trace(f, argnums, args, kwargs)
        trace.scalar("grad")
        one = as_upstream(None, detach(trace.out), "f's result")
        value, slopes = trace.value(), trace.pull(one)
        trace.close()
        return value, trace.restore(slopes)

    return _with_arguments_of(f, both)


def grad_of(output: Value, wrt: Value | Sequence[Value], gradient: Any = None) -> Any:
    """Return the gradient of a node as a graph of its own: to draw it, or to differentiate it.

    Parameters
    ----------
    output : the node to differentiate, a scalar unless there is a ``gradient``
    wrt : the node or nodes, leaves or not, to differentiate it with respect to
    gradient : float or array of the output's shape, optional
        The upstream gradient to start from; 1 by default.

    Returns
    -------
    A `Value` of the shape of ``wrt``, or a list of them; zeros where nothing flows. No ``.grad``
    changes.

    Raises
    ------
    TypeError
        If ``output`` or ``wrt`` is not a `Value`.
    ValueError
        If a node with more than one entry gets no ``gradient``, or one of another shape.

    Examples
    --------
    >>> z = Value(3.0)
    >>> dz = grad_of(z * z * z, z)
    >>> dz.data, grad_of(dz, z).data
    (27.0, 18.0)
    """
    nodes = [wrt] if isinstance(wrt, Value) else list(wrt)
    for node in (output, *nodes):
        if not isinstance(node, Value):
            raise TypeError(_("grad_of: got {got}, wanted Values", got=type(node).__name__))
    seed = Value(as_upstream(gradient, output.data, output.name or "a node"), name="seed")
    found = gradients(output, seed, nodes, graph=True)
    found = [_zeros(n.data) if g is None else g for n, g in zip(nodes, found)]
    found = [g if isinstance(g, Value) else Value(g) for g in found]
    return found[0] if isinstance(wrt, Value) else found


def grad(f: Function, argnums: Argnums = 0) -> Function:
    """Return the gradient of ``f``, a function of the same arguments: see `value_and_grad`.

    Examples
    --------
    >>> cube = lambda x: x**3
    >>> grad(cube)(2.0), grad(grad(cube))(2.0)
    (12.0, 12.0)
    """
    both = value_and_grad(f, argnums)
    return _with_arguments_of(f, lambda *args, **kwargs: both(*args, **kwargs)[1])


def vjp(f: Function, *args: Any, **kwargs: Any) -> tuple[Any, Function]:
    """Compute ``f(*args)`` and the function that pulls an upstream gradient back to each argument.

    Returns
    -------
    ``(value, pullback)``; ``pullback(g)``, with ``g`` of the value's shape, returns the tuple of
    g·∂f/∂arg, one an argument, and can be called any number of times.

    Raises
    ------
    ValueError
        If ``g`` does not have the value's shape.

    Examples
    --------
    >>> value, pullback = vjp(lambda x: np.exp(x), np.zeros(2))
    >>> pullback(np.array([1.0, 3.0]))
    (array([1., 3.]),)
    """
    trace = _Trace(f, range(len(args)), args, kwargs)

    def pullback(g: Any) -> Any:
        g = g if isinstance(g, Value) else as_data(g, "vjp: g")
        if np.shape(g) != np.shape(trace.out):
            text = "vjp: got g of shape {got}, wanted {wanted}"
            raise ValueError(_(text, got=np.shape(g), wanted=np.shape(trace.out)))
        return trace.restore(trace.pull(g))

    value = trace.value()
    trace.close()
    return value, pullback


def jacobian(f: Function, argnums: Argnums = 0) -> Function:
    """Return the Jacobian of ``f``: one sweep an entry of the result.

    Returns
    -------
    A function of the same arguments. For a result of shape R and an argument of shape A it returns
    an array of shape R + A, ∂f_r/∂x_a; for a dict, list or tuple of arrays, one of those each.

    Raises
    ------
    TypeError
        If ``f`` returns anything but one number or array.

    Examples
    --------
    >>> jacobian(lambda x: x**2)(np.array([1.0, 2.0]))
    array([[2., 0.],
           [0., 4.]])
    """
    return _derivative(f, argnums, "jacobian")


def _derivative(f: Function, argnums: Argnums, name: str) -> Function:
    """The Jacobian of ``f``, under a name."""
    _checked(f, argnums)

    def of(*args: Any, **kwargs: Any) -> Any:
        trace = _Trace(f, argnums, args, kwargs)
        out = trace.out
        size = math.prod(np.shape(out))
        seeds = _eye(size, detach(out)).reshape((size, *np.shape(out)))
        rows = [trace.pull(seed if seed.shape else float(seed)) for seed in seeds]
        trace.close()
        columns = zip(*rows) if rows else [()] * len(trace.variables)
        found = [_rows(c, np.shape(out), v) for c, v in zip(columns, trace.variables)]
        for block in found:
            if hasattr(block, "apply_primitive"):  # a node, here or of a printed program
                block.name = block.name or name
        return trace.restore(found)

    return _with_arguments_of(f, of)


def _eye(n: int, like: Any) -> Any:
    """The unit vectors; recorded, where ``like`` is an array that records what NumPy does."""
    if np.shape(like) and hasattr(like, "apply_primitive"):
        return np.eye(n, dtype=like.dtype, like=like)
    return np.eye(n)


def _rows(rows: Sequence[Any], shape: tuple[int, ...], v: Value) -> Any:
    if not rows:
        return np.zeros(shape + v.shape, v.dtype)
    return np.reshape(np.stack(rows), shape + v.shape) if shape else rows[0]


def hessian(f: Function, argnums: int = 0) -> Function:
    """Return the matrix of second derivatives of ``f``, of shape A + A for an argument of shape A.

    Examples
    --------
    >>> hessian(lambda x: x[0] ** 2 * x[1])(np.array([2.0, 3.0]))
    array([[6., 4.],
           [4., 0.]])
    """
    return _derivative(grad(f, argnums), argnums, "hessian")


def hvp(f: Function, argnums: int = 0) -> Function:
    """Return the Hessian-vector product of ``f``, without the Hessian.

    Returns
    -------
    A function of f's arguments and then the vector, which is shaped like the argument:
    ``hvp(f)(x, v)`` is ∂²f/∂x² · v.

    Examples
    --------
    >>> hvp(lambda x: (x**3).sum())(np.array([1.0, 2.0]), np.array([1.0, 1.0]))
    array([ 6., 12.])
    """
    gradient = grad(f, argnums)

    def product(*args: Any, **kwargs: Any) -> Any:
        if len(args) < 2:
            text = "hvp wants f's arguments and then the vector, got {n} in all"
            raise TypeError(_(text, n=len(args)))
        *given, vector = args
        along = {path: as_data(v, f"vector{path}") for path, v in flatten(vector)}

        def slope(*inner: Any) -> Any:
            slopes = dict(flatten(gradient(*inner, **kwargs)))
            wanted = {path: np.shape(g) for path, g in slopes.items()}
            if (got := {path: np.shape(v) for path, v in along.items()}) != wanted:
                text = "hvp: got a vector of {got}, wanted {wanted}"
                raise ValueError(_(text, got=_told(got), wanted=_told(wanted)))
            return sum(np.sum(g * along[path]) for path, g in slopes.items())

        return grad(slope, argnums)(*given)

    return product


def _told(shapes: dict[str, Any]) -> str:
    """The shapes of a structure, as an error message names them."""
    return ", ".join(f"shape {shape}{path and f' at {path}'}" for path, shape in shapes.items())
