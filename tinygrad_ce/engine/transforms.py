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
from collections.abc import Callable, Iterable, Sequence
from functools import partial, wraps
from typing import Any

import numpy as np

from .backward import apart, gradients, topological
from .data import NONE, VARIABLE, as_data, as_upstream, snapshot
from .ops import IDENTITY
from .text import _, require
from .value import Value, detach

Function = Callable[..., Any]
Argnums = int | Sequence[int]
with_signature_of = partial(wraps, assigned=(), updated=())  # for help() and a printed program


def flatten(tree: Any, path: str = "") -> list[tuple[str, Any]]:
    """The leaves of a dict, list or tuple, each with where it stands: ``[('["W"]', W), ...]``."""
    if isinstance(tree, dict):
        items = list(tree.items())
    elif isinstance(tree, list | tuple) and not is_array_like(tree):
        items = list(enumerate(tree))
    else:
        return [(path, tree)]
    return [leaf for key, value in items for leaf in flatten(value, f"{path}[{key!r}]")]


def is_array_like(tree: Any) -> bool:
    """Whether a list is one array: numbers, or lists of them that have one shape."""
    if isinstance(tree, list | tuple) and not hasattr(tree, "_make"):
        return all(map(is_array_like, tree)) and len({np.shape(value) for value in tree}) == 1
    return isinstance(tree, int | float | np.number)


def unflatten(tree: Any, leaves: Iterable[Any]) -> Any:
    """Put leaves, in the order of `flatten`, into the structure of ``tree``."""
    supply = iter(leaves)
    if isinstance(tree, dict):
        return {key: unflatten(value, supply) for key, value in tree.items()}
    if isinstance(tree, list | tuple) and not is_array_like(tree):
        filled = [unflatten(value, supply) for value in tree]
        return tree._make(filled) if hasattr(tree, "_make") else type(tree)(filled)
    return next(supply)


def variable(x: Any, what: str = "argument", name: str | None = None) -> Value:
    """A leaf of our own for an argument, while ``f`` runs: of a `Value` it is on top afterwards.

    So an inner derivative does not see what else depends on the outer variable.
    """
    leaf = Value(x.data if isinstance(x, Value) else as_data(x, what), name)
    leaf.call = VARIABLE
    return leaf


def _filled(gradients: Sequence[Any], nodes: Sequence[Value]) -> list[Any]:
    """The gradients of nodes, with zeros for None: where nothing flows."""
    zeros = (0.0 if v.data.__class__ is float else np.zeros_like(v.data) for v in nodes)
    return [zero if g is None else g for g, zero in zip(gradients, zeros)]


def _positions(f: Any, argnums: Any) -> Sequence[int]:
    """The positions to differentiate; a `TypeError` now, not when the function is called."""
    text = "got {got}, wanted a function to differentiate"
    require(callable(f), text, TypeError, got=type(f).__name__)
    positions = [argnums] if isinstance(argnums, int) else argnums
    if not isinstance(positions, Sequence) or not all(isinstance(n, int) for n in positions):
        raise TypeError(_("argnums: got {got!r}, wanted an int or several", got=argnums))
    return positions


class _Call:
    """One call of ``f`` with variables in place of the arguments to differentiate."""

    def __init__(
        self, f: Function, argnums: Argnums, args: Any, kwargs: Any, one: bool = True
    ) -> None:
        self.single, positions, n = isinstance(argnums, int), _positions(f, argnums), len(args)
        self.trees = {k % n: args[k] for k in positions if -n <= k < n}
        text = "argnums={got}: got {n} positional arguments, wanted one at each, none twice"
        require(len(self.trees) == len(positions), text, got=argnums, n=n)
        leaves = [
            (leaf, variable(leaf, f"argument {k}{path}"))
            for k, tree in self.trees.items()
            for path, leaf in flatten(tree)
        ]
        self.variables = [v for _x, v in leaves]
        inner = unflatten(self.trees, self.variables)
        self.out = f(*[inner.get(k, x) for k, x in enumerate(args)], **kwargs)
        if self.out is None or (one and isinstance(self.out, dict | list | tuple)):
            text = "f returned a {got}, wanted one number or array"
            raise TypeError(_(text, got=type(self.out).__name__))
        nodes = set[Value]()
        for path, out in flatten(self.out):
            as_data(detach(out), f"f's result{path}")
            nodes.update(topological(out) if isinstance(out, Value) else ())
        for x, v in leaves:  # from now on they are no leaves: those are variables further out
            data, of = v.data, x if isinstance(x, Value) else v.data
            watched = ((of, snapshot(data)),) if isinstance(data, np.ndarray) else ()
            v.op, v.call = IDENTITY, ([x if isinstance(x, Value) else data], [data], NONE, watched)
        outer = {v for x, v in leaves if isinstance(x, Value)}
        self.rests_on_others = any(node.op is None or node in outer for node in nodes)

    def restore(self, leaves: Iterable[Any]) -> Any:
        """Leaves, one a variable, in the structure of the arguments."""
        filled = tuple(unflatten(self.trees, leaves).values())
        return filled[0] if self.single else filled

    def pull(self, out: Any, seed: Any) -> list[Any]:
        """The gradient of each variable; zeros where a result does not depend on one."""
        constant = not isinstance(out, Value)
        slopes = [None] * len(self.variables) if constant else gradients(out, seed, self.variables)
        return _filled(slopes, self.variables)

    def value(self) -> Any:
        """The result: plain, unless it rests on a leaf that is none of the variables."""
        return self.out if self.rests_on_others else detach(self.out)


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
    _positions(f, argnums)

    @with_signature_of(f)
    def both(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        call = _Call(f, argnums, args, kwargs)
        seed = as_upstream(None, detach(call.out), "f's result")
        return call.value(), call.restore(apart(call.pull(call.out, seed)))

    return both


def grad_of(output: Value, wrt: Value | Sequence[Value], gradient: Any = None) -> Any:
    """Return the gradient of a node as a graph of its own: to draw it, or to differentiate it.

    Parameters
    ----------
    output, gradient : the node to differentiate, and the upstream gradient: see `Value.backward`
    wrt : the node or nodes, leaves or not, to differentiate it with respect to

    Returns
    -------
    A `Value` of the shape of ``wrt``, or a list of them; zeros where nothing flows. No ``.grad``
    changes.

    Raises
    ------
    TypeError
        If ``output`` or ``wrt`` is not a `Value`.

    Examples
    --------
    >>> z = Value(3.0)
    >>> dz = grad_of(z * z * z, z)
    >>> dz.data, grad_of(dz, z).data
    (27.0, 18.0)
    """
    nodes = [wrt] if isinstance(wrt, Value) or not np.iterable(wrt) else list(wrt)
    for node in (output, *nodes):
        text = "grad_of: got {got}, wanted Values"
        require(isinstance(node, Value), text, TypeError, got=type(node).__name__)
    seed = Value(as_upstream(gradient, output.data, output.name or "a node"), name="seed")
    slopes = _filled(gradients(output, seed, nodes, graph=True), nodes)
    slopes = [g if isinstance(g, Value) else Value(g) for g in slopes]
    return slopes[0] if isinstance(wrt, Value) else slopes


def grad(f: Function, argnums: Argnums = 0) -> Function:
    """Return the gradient of ``f``, a function of the same arguments: see `value_and_grad`.

    Examples
    --------
    >>> cube = lambda x: x**3
    >>> grad(cube)(2.0), grad(grad(cube))(2.0)
    (12.0, 12.0)
    """
    both = value_and_grad(f, argnums)
    return with_signature_of(f)(lambda *args, **kwargs: both(*args, **kwargs)[1])


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
    call = _Call(f, range(len(args)), args, kwargs)
    shape = np.shape(call.out)

    def pullback(g: Any) -> Any:
        g = g if isinstance(g, Value) else as_data(g, "vjp: g")
        text = "vjp: got g of shape {got}, wanted {wanted}"
        require(np.shape(g) == shape, text, got=np.shape(g), wanted=shape)
        return call.restore(apart(call.pull(call.out, g)))

    return call.value(), pullback


def jacobian(f: Function, argnums: Argnums = 0) -> Function:
    """Return the Jacobian of ``f``: one sweep an entry of the result.

    Of a result of shape R and an argument of shape A it is an array of shape R + A, ∂f_r/∂x_a. Of
    structures it has a block for each array: first that of the result, in it that of the arguments.

    Examples
    --------
    >>> jacobian(lambda x: x**2)(np.array([1.0, 2.0]))
    array([[2., 0.],
           [0., 4.]])
    """
    return _derivative(f, argnums, "jacobian")


def _derivative(f: Function, argnums: Argnums, name: str) -> Function:
    """The Jacobian of ``f``, under a name."""
    _positions(f, argnums)

    @with_signature_of(f)
    def blocks_of(*args: Any, **kwargs: Any) -> Any:
        call = _Call(f, argnums, args, kwargs, one=False)
        results = [out for _path, out in flatten(call.out)]
        return unflatten(call.out, [call.restore(_blocks(call, out, name)) for out in results])

    return blocks_of


def _blocks(call: _Call, out: Any, name: str) -> list[Any]:
    """The derivative of one result by each variable, a row for each entry of the result."""
    shape, like = np.shape(out), detach(out)
    size, variables = math.prod(shape), call.variables
    blocks: list[Any]
    if not shape:
        blocks = apart(call.pull(out, as_upstream(None, like, "f's result")))
    elif not size:
        blocks = [np.zeros(shape + v.shape) for v in variables]
    else:
        records = like if hasattr(like, "apply_primitive") else None  # of a program
        seeds = np.eye(size, dtype=like.dtype, like=records)
        columns = zip(*[call.pull(out, seed) for seed in seeds.reshape((size, *shape))])
        blocks = [np.reshape(np.stack(c), shape + v.shape) for c, v in zip(columns, variables)]
    for block in blocks:
        if hasattr(block, "apply_primitive"):  # a node, here or of a printed program
            block.name = block.name or name
    return blocks


def hessian(f: Function, argnums: Argnums = 0) -> Function:
    """Return the matrix of second derivatives of ``f``, of shape A + A for an argument of shape A.

    Of structures, and for several ``argnums``, it has a block for each pair of arrays.

    Examples
    --------
    >>> hessian(lambda x: x[0] ** 2 * x[1])(np.array([2.0, 3.0]))
    array([[6., 4.],
           [4., 0.]])
    """
    return _derivative(grad(f, argnums), argnums, "hessian")


def hvp(f: Function, argnums: int = 0) -> Function:
    """Return the Hessian-vector product of ``f``, without the Hessian.

    It is a function of f's arguments and then the vector, which is shaped like the argument:
    ``hvp(f)(x, v)`` is ∂²f/∂x² · v.

    Examples
    --------
    >>> hvp(lambda x: (x**3).sum())(np.array([1.0, 2.0]), np.array([1.0, 1.0]))
    array([ 6., 12.])
    """
    gradient = grad(f, argnums)

    def product(*args: Any, **kwargs: Any) -> Any:
        text = "hvp wants f's arguments and then the vector, got {n} in all"
        require(len(args) > 1, text, TypeError, n=len(args))
        *point, vector = args
        along = {path: as_data(v, f"vector{path}") for path, v in flatten(vector)}

        def slope(*inner: Any) -> Any:
            slopes = dict(flatten(gradient(*inner, **kwargs)))
            got, wanted = ({k: np.shape(x) for k, x in t.items()} for t in (along, slopes))
            text = "hvp: got a vector of shapes {got}, wanted {wanted}"
            require(got == wanted, text, got=got, wanted=wanted)
            return sum(np.sum(g * along[path]) for path, g in slopes.items())

        return grad(slope, argnums)(*point)

    return product
