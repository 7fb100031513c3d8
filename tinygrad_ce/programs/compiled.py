"""A function and its gradient as straight-line NumPy source, to read, to save, and to run fast.

The function is called once, on arrays that record what NumPy does with them (`recorder`), and the
backward pass once on top (`recording`); what both did, `cleaning` simplifies and `printing` writes
down in order. Here that source is compiled, and one compiled for each signature is kept.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from threading import Lock
from typing import Any

import numpy as np

from ..engine.data import as_data
from ..engine.text import _
from ..engine.transforms import flatten, unflatten
from ..engine.value import Value
from .algebra import simplified
from .batching import lifted
from .cleaning import cleaned
from .files import replace_file
from .lines import Line, evaluate, live, replace
from .printing import Printer
from .recording import Recorded, parameters

KEPT = 16  # programs of one function, for as many shapes


def program(
    f: Callable[..., Any],
    *examples: Any,
    wrt: int | Sequence[int] | None = 0,
    clean: bool = True,
    retrace: bool = True,
    fuse: bool = False,
    **removed: Any,
) -> Program:
    """Print ``f`` and its gradient as one NumPy function, and compile it.

    Parameters
    ----------
    f : function of arrays, written in NumPy; it is called once, to record what it does
    *examples : its arguments: numbers, arrays, or dicts, lists, tuples of such. Their shapes and
        dtypes count, their data do not; whole numbers, text and None are fixed.
    wrt : the positional argument to differentiate, or several; None for no gradient
    clean : False prints the chain rule as it is applied; True computes what is common once, folds
        constants, and drops what multiplies by one, adds zero or is not used.
    retrace : whether a call with other shapes, dtypes or fixed arguments makes another program (the
        last 16 are kept) or raises a `ValueError`
    fuse : True puts the stable form in place of each loss of an argument in ``wrt`` that `fuse`
        finds (the maximum subtracted, the log of the sum; np.logaddexp for a sigmoid), for any
        targets; where it finds none, or what is a loss for the example's data alone (a table that
        picks because it is one-hot), nothing changes

    Returns
    -------
    A function of the same arguments that returns ``(value, gradient)``, the gradient shaped like
    the argument; for several, a tuple of gradients. Where f returns anything but one number there
    is no gradient, and it returns what f does. Results are new arrays. Its ``source`` is a module
    that needs NumPy alone (of numbers alone, not even that), and ``save(path)`` writes it.

    Raises
    ------
    IndexError
        In a call, for a class index out of range.
    TypeError
        If ``f`` branches on data, or turns data into plain numbers, with the line that does.
    ValueError
        If ``wrt`` is not an argument, or f rests on an array too
        large to be written out.

    Notes
    -----
    The value and gradient are those of ``backward()`` but for rounding: operations are the same,
    some in another order, and on numbers a few fewer (``algebra.py``). A loss of softmax and
    cross-entropy is log Σ exp(z − max z) − (z − max z): right to a few eps of 1 for each sample,
    where the node `LogSoftmaxNLL` is to a few eps of the loss, be it as small as 1e-300. Class
    indices are checked in every call; what else a loss of this package checks (that targets sum to
    1, or are from 0 to 1) is checked for the example alone. The rows of a Jacobian or Hessian that
    f computes are one block, and where that is a short sum of products, like terms in it are one:
    it can be finite where an exponential underflows and the graph has nan. Arrays and `Value`s that
    f takes from outside are constants. What runs is the source, behind a
    check of the arguments' shapes and dtypes.

    Examples
    --------
    >>> square = program(lambda x: np.sum(x * x), np.array([1.0, 2.0]))
    >>> value, slope = square(np.array([3.0, 4.0]))
    >>> float(value), slope
    (25.0, array([6., 8.]))
    >>> print(program(lambda a, b: a * b, 2.0, 3.0, wrt=(0, 1)))
    \"\"\"Loss and gradient, printed by tinygrad_ce.program.\"\"\"
    <BLANKLINE>
    <BLANKLINE>
    def loss_and_grad(a, b):
        \"\"\"Return the value and its gradient with respect to a, b.\"\"\"
        loss = a * b  # multiply
        return loss, (b, a)
    """
    for name in removed:
        hint = " is gone: leave it out; results are the same" if name == "optimize" else "?"
        raise TypeError(_("program: {name}={hint}", name=name, hint=hint))
    return Program(f, examples, wrt, clean, retrace, fuse)


# ------------------------------------------------------------------ arguments
def _plain(x: Any) -> Any:
    """An argument's leaf as a program takes it: float, array, or fixed (whole number, text)."""
    if x.__class__ in (float, np.ndarray) or x is None or isinstance(x, int | str) or callable(x):
        return x
    return as_data(x.data) if x.__class__ is Value else _array(x)


def _array(x: Any) -> Any:
    data = float(x) if isinstance(x, float) else np.asarray(x)
    if data.__class__ is np.ndarray and data.dtype.kind not in "fiub":
        as_data(data, "program: argument")  # says what is wrong with it
    return data


def _variable(x: Any) -> Any:
    """The same for an argument to differentiate."""
    return x if x.__class__ is float else as_data(x, "program: argument")


def _native(x: Any) -> Any:
    """The same array with NumPy's own dtype, which guards look for; an unpickled one is not."""
    if x.__class__ is not np.ndarray or x.dtype is (own := np.dtype(x.dtype.str)):
        return x
    return x.view(own)


def _kind(x: Any) -> Any:
    if x.__class__ is np.ndarray:
        return x.shape, x.dtype
    return float if x.__class__ is float else (x.__class__, x)


def _guard(name: str, x: Any) -> str:
    """What holds for the arguments that a program is for; "" where it takes more than a line."""
    if x.__class__ is float:
        return f"{name}.__class__ is float"
    if x.__class__ is np.ndarray and x.dtype.isnative:
        kind = f"{name}.dtype is _dtype_{x.dtype.name}"
        return f"{name}.__class__ is _ndarray and {name}.shape == {x.shape} and {kind}"
    return ""


# ------------------------------------------------------------------ running
class _Compiled:
    """One program, for arguments of one signature."""

    def __init__(self, f: Any, args: Any, wrt: Any, clean: bool, fuse: bool, other: Any) -> None:
        self.recorded = recorded = Recorded(f, args, wrt, fuse)
        lines: Sequence[Line] = recorded.lines
        outputs = recorded.outputs
        if clean:
            lines, outputs = simplified(*cleaned(*lifted(lines, outputs)))
        self.lines, self.outputs = live(lines, outputs), outputs
        printer = Printer(recorded, lines, outputs, clean)
        self.source = printer.source()
        self.results = recorded.results if recorded.has_gradient else recorded.results[0]
        names: dict[str, Any] = {}
        exec(compile(self.source, "<program>", "exec"), names)
        self.run = names["loss_and_grad" if recorded.has_gradient else "value"]
        if printer.scalar:
            self.run = self.careful(self.run)
        if any(hasattr(x, "_make") for x in _structures(self.results)):
            self.run = self.rebuilt(self.run)
        guards = [_guard(n, x) for n, x in zip(recorded.parameters, args)]
        self.guarded = all(guards)
        if self.guarded and guards:
            self.run = self.checked(self.run, guards, args, other)

    def checked(self, run: Any, guards: list[str], args: Any, other: Any) -> Any:
        """The function behind a check of its arguments' shapes and dtypes."""
        given = ", ".join(self.recorded.parameters)
        names: dict[str, Any] = {"_run": run, "_other": other, "_ndarray": np.ndarray}
        names |= {f"_dtype_{x.dtype.name}": x.dtype for x in args if hasattr(x, "dtype")}
        call = f"_run({given}) if {' and '.join(guards)} else _other({given})"
        return eval(f"lambda {given}: {call}", names)

    def careful(self, run: Any) -> Any:
        """The same on NumPy's floats, which have inf and nan where Python's raise."""

        def numbers(*args: Any) -> Any:
            try:
                return run(*args)
            except (ArithmeticError, ValueError):
                return self.evaluate(args)

        return numbers

    def evaluate(self, args: tuple[Any, ...]) -> Any:
        """What the lines give, one by one, by NumPy."""
        given = {
            line: x
            for row, arg in zip(self.recorded.inputs, args)
            for line, (_, x) in zip(row, flatten(arg))
            if line.__class__ is Line
        }
        found = evaluate(self.lines, given)
        value, gradient = replace(self.outputs, found.__getitem__)
        return (value, gradient) if self.recorded.has_gradient else value

    def rebuilt(self, run: Any) -> Any:
        """The same with results in the caller's own tuples."""
        return lambda *args: _rebuilt(run(*args), self.results)


def _structures(tree: Any) -> Iterator[Any]:
    """Every dict, list and tuple within another."""
    if isinstance(tree, dict | list | tuple):
        yield tree
        for part in tree.values() if isinstance(tree, dict) else tree:
            yield from _structures(part)


def _rebuilt(tree: Any, like: Any) -> Any:
    if isinstance(tree, dict):
        return {k: _rebuilt(v, like[k]) for k, v in tree.items()}
    if isinstance(tree, list | tuple):
        items = [_rebuilt(v, part) for v, part in zip(tree, like)]
        return like._make(items) if hasattr(like, "_make") else type(tree)(items)
    return tree


class Program:
    """A function and its gradient, compiled from ``source``: what `program` returns."""

    source: str

    def __init__(
        self, f: Any, examples: Any, wrt: Any, clean: bool, retrace: bool, fuse: bool
    ) -> None:
        if not callable(f):
            raise TypeError(f"program: got {type(f).__name__}, wanted a function")
        numbers = () if wrt is None else (wrt,) if isinstance(wrt, int) else tuple(wrt)
        n = len(examples)
        if wrong := [i for i in numbers if not (isinstance(i, int) and 0 <= i < n)]:
            raise ValueError(f"program: wrt={wrong[0]!r}: got {n} example arguments, from 0")
        if len(set(numbers)) < len(numbers):
            raise ValueError(f"program: wrt={wrt}: an argument stands there twice")
        self._f, self._wrt, self._clean, self._retrace, self._fuse = f, wrt, clean, retrace, fuse
        self._numbers, self._lock = numbers, Lock()
        self._kept: OrderedDict[Any, _Compiled] = OrderedDict()
        self._parameters = parameters(f, n)
        args = self._arguments(examples)
        self._key = self._signature(args)
        first = self._find(args)
        self.source = first.source
        self._run = first.run if first.guarded else self._other

    def _arguments(self, args: Sequence[Any]) -> list[Any]:
        found = []
        for i, arg in enumerate(args):
            make = _variable if i in self._numbers else _plain
            found.append(unflatten(arg, [_native(make(x)) for _, x in flatten(arg)]))
        return found

    def _signature(self, args: Sequence[Any]) -> Any:
        return tuple(
            [
                (f"{n}{path}", _kind(x))
                for n, a in zip(self._parameters, args)
                for path, x in flatten(a)
            ]
        )

    def _find(self, args: Sequence[Any]) -> _Compiled:
        """The program for such arguments, made now if it is not kept."""
        key = self._signature(args)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        if self._kept and not self._retrace:
            raise ValueError(
                f"program: got {_shapes(key)}, wanted {_shapes(self._key)}: call program() for "
                "these, or with retrace=True"
            )
        made = _Compiled(self._f, args, self._wrt, self._clean, self._fuse, self._other)
        with self._lock:
            self._kept[key] = made
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return made

    def _other(self, *args: Any) -> Any:
        """A call whose arguments are not plainly those of the example."""
        given = self._arguments(args)
        if len(given) != len(self._parameters):
            raise TypeError(f"program: got {len(given)} arguments, wanted {len(self._parameters)}")
        return self._find(given).run(*given)

    def __call__(self, *args: Any) -> Any:
        """Run the program."""
        return self._run(*args)

    def __str__(self) -> str:
        return self.source.rstrip("\n")

    def __repr__(self) -> str:
        return f"<program of {getattr(self._f, '__name__', 'f')}: {_shapes(self._key)}>"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the source into a file; an existing one is replaced at once."""
        replace_file(path, self.source.encode())


def _shapes(key: Any) -> str:
    told = []
    for name, kind in key:
        if kind is float:
            told.append(f"{name}: float")
        elif isinstance(kind[0], tuple):
            told.append(f"{name}: {kind[1]}{list(kind[0])}")
        else:
            told.append(f"{name}={kind[1]!r}")
    return ", ".join(told)
