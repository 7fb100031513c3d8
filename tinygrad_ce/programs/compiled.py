"""A function and its gradient as straight-line NumPy source, to read, to save, and to run fast.

The function is called once, on arrays that write down what NumPy does with them (`recorder`), and
the backward pass once on top (`recording`). Passes make a better list of those lines, and
`printing` writes it as source. That source is compiled here, and one program is kept for each
signature.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Sequence
from types import BuiltinMethodType, MethodType
from typing import Any, NamedTuple

import numpy as np

from ..engine.data import as_data
from ..engine.text import _
from ..engine.transforms import flatten, unflatten
from ..engine.value import Value
from .batching import batch
from .files import replace_file
from .lines import Line, evaluate, live, replace
from .printing import emit
from .recording import Recording, parameters, record
from .simplifier import simplify

KEPT = 16  # programs of one function, for as many shapes


def program(
    f: Callable[..., Any],
    *examples: Any,
    wrt: int | Sequence[int] | None = 0,
    clean: bool = True,
    retrace: bool = True,
    fuse: bool = False,
    optimize: None = None,
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
        finds, for any targets: the maximum subtracted, the log of the sum, or np.logaddexp

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
        If ``wrt`` is not an argument, or f rests on an array too large to be written out.

    Notes
    -----
    What runs is the source, behind a check of the arguments' shapes and dtypes. Its value and
    gradient are those of ``backward()`` but for rounding; with ``clean`` it can be finite where an
    exponential underflows and the graph has nan. Class indices are checked in every call; what else
    a loss of this package checks (that targets sum to 1) is checked for the example alone. Arrays
    and `Value`s that f takes from outside are constants.

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
    if optimize is not None:
        raise TypeError(_("program: optimize= is gone: leave it out, the results are the same"))
    return Program(f, examples, wrt, clean, retrace, fuse)


# ------------------------------------------------------------------ arguments
def _leaf(x: Any, is_variable: bool) -> Any:
    """A leaf of an argument as a program takes it: float, array, or fixed (whole number, text)."""
    if not is_variable and (x is None or isinstance(x, int | str) or callable(x)):
        return x
    data = x.data if x.__class__ is Value else float(x) if isinstance(x, float) else np.asarray(x)
    if is_variable or (data.__class__ is np.ndarray and data.dtype.kind not in "fiub"):
        data = as_data(data, "program: argument")  # floats, or an error that says what is wrong
    if data.__class__ is np.ndarray and data.dtype is not np.dtype(data.dtype.str):
        return data.view(np.dtype(data.dtype.str))  # NumPy's own, which an unpickled one is not
    return data


def _described(name: str, x: Any) -> str:
    """What a program is for: ``x: float64[3, 4]``; of what is fixed, its value."""
    if x.__class__ is np.ndarray:
        return f"{name}: {x.dtype}{list(x.shape)}"
    return f"{name}: float" if x.__class__ is float else f"{name}={x!r}"


class _Same:
    """An object as part of a key: equal to itself alone, and kept alive."""

    def __init__(self, x: Any) -> None:
        self.x = x

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.x is other.x

    def __hash__(self) -> int:
        return id(self.x)


def _key(x: Any) -> Any:
    """What is equal for arguments of one program alone: the structure, and what is fixed."""
    kind = x.__class__
    if isinstance(x, dict):
        return (kind, *[(k.__class__, k, _key(part)) for k, part in x.items()])
    if isinstance(x, list | tuple):
        return (kind, *map(_key, x))
    if kind is np.ndarray:
        return kind, x.dtype, x.shape
    if kind is float:
        return kind
    compared = kind in (bool, int, str, MethodType, BuiltinMethodType)  # methods: of one object
    return (kind, x) if x is None or compared else _Same(x)


# ------------------------------------------------------------------ running
class _Compiled(NamedTuple):
    """One program: its source, and what else it takes to run that."""

    source: str
    tests: list[str]  # what holds for each argument, as source; "" where it takes more than a line
    like: Any  # the structure of its results, where named tuples are in it

    def function(self, other: Any, careful: Any = None) -> Callable[..., Any]:
        """The function that the source defines, behind a check of its arguments.

        ``other`` is called with arguments of another signature; ``careful`` where Python's numbers
        raise, for NumPy's have inf and nan.
        """
        names: dict[str, Any] = {}
        exec(compile(self.source, "<program>", "exec"), names)
        run = names.get("loss_and_grad") or names["value"]
        if self.like is not None:
            run, careful = (f and _with_names(f, self.like) for f in (run, careful))
        given = ", ".join(f"x{i}" for i in range(len(self.tests)))
        tests = " and ".join(filter(None, self.tests)) or "True"
        text = [f"def checked({given}):", f"  if not ({tests}):", f"    return other({given})"]
        if careful:
            text += ["  try:", f"    return run({given})"]
            text += ["  except (ArithmeticError, ValueError):", f"    return careful({given})"]
        names = {"run": run, "other": other, "careful": careful, "ndarray": np.ndarray}
        names |= {kind.__name__: np.dtype(kind) for kind in np.sctypeDict.values()}
        exec("\n".join([*text, f"  return run({given})"]), names)
        checked: Callable[..., Any] = names["checked"]
        return checked


def _test(x: Any, place: str) -> str:
    if x.__class__ is float:
        return f"{place}.__class__ is float"
    if x.__class__ is np.ndarray and x.dtype.isnative:
        shape, dtype = f"{place}.shape == {x.shape}", f"{place}.dtype is {x.dtype.type.__name__}"
        return f"{place}.__class__ is ndarray and {shape} and {dtype}"
    return ""


def _by_lines(recording: Recording, lines: Sequence[Line], outputs: Any) -> Callable[..., Any]:
    """What computes the lines one by one, by NumPy."""
    for line in lines:  # what f took from outside may change later
        line.args = replace(line.args, np.copy, np.ndarray)

    def careful(*args: Any) -> Any:
        leaves = [x for arg in args for _, x in flatten(arg)]
        pairs = zip(recording.arguments, leaves)
        known = {x: data for (x, *_), data in pairs if x.__class__ is Line}
        value, gradient = replace(outputs, evaluate(lines, known).__getitem__)
        return (value, gradient) if recording.differentiated else value

    return careful


def _has_names(tree: Any) -> bool:
    """Whether a named tuple is in a structure."""
    parts = tree.values() if isinstance(tree, dict) else tree
    inside = isinstance(tree, dict | list | tuple) and any(map(_has_names, parts))
    return inside or hasattr(tree, "_make")


def _with_names(run: Any, like: Any) -> Callable[..., Any]:
    return lambda *args: _rebuilt(run(*args), like)


def _rebuilt(tree: Any, like: Any) -> Any:
    """Results in the caller's own tuples."""
    if isinstance(tree, dict):
        return {k: _rebuilt(v, like[k]) for k, v in tree.items()}
    if isinstance(tree, list | tuple):
        items = [_rebuilt(v, part) for v, part in zip(tree, like)]
        return like._make(items) if hasattr(like, "_make") else type(tree)(items)
    return tree


class Program:
    """A function and its gradient, compiled from ``source``: what `program` returns.

    It is copied as a function is: to itself. It is pickled with the function where that can be
    pickled, else with its source alone, for arguments of one signature.
    """

    def __init__(
        self, f: Any, examples: Any, wrt: Any, clean: bool, retrace: bool, fuse: bool
    ) -> None:
        if not callable(f):
            raise TypeError(_("program: got {got}, wanted a function", got=type(f).__name__))
        numbers = () if wrt is None else (wrt,) if isinstance(wrt, int) else tuple(wrt)
        n = len(examples)
        if wrong := [i for i in numbers if not (isinstance(i, int) and 0 <= i < n)]:
            text = "program: wrt={got}: got {n} example arguments, from 0"
            raise ValueError(_(text, got=repr(wrong[0]), n=n))
        if len(set(numbers)) < len(numbers):
            raise ValueError(_("program: wrt={wrt}: an argument stands there twice", wrt=wrt))
        self._f, self._wrt, self._clean, self._retrace, self._fuse = f, wrt, clean, retrace, fuse
        self._numbers, self._parameters = numbers, parameters(f, n)
        args = self._arguments(examples)
        self._signature, self._key = self._signature_of(args), _key(args)
        self.__setstate__({})
        self._find(args)

    _compiled: _Compiled
    _kept: dict[Any, Callable[..., Any]]
    _run: Callable[..., Any]

    # ------------------------------------------------------------------ arguments
    def _arguments(self, args: Sequence[Any]) -> list[Any]:
        found = []
        for i, arg in enumerate(args):
            leaves = [_leaf(x, i in self._numbers) for _, x in flatten(arg)]
            found.append(unflatten(arg, leaves))
        return found

    def _signature_of(self, args: Sequence[Any]) -> str:
        named = zip(self._parameters, args)
        return ", ".join(_described(n + path, x) for n, arg in named for path, x in flatten(arg))

    # ------------------------------------------------------------------ one for each signature
    def _compile(self, args: Sequence[Any]) -> tuple[_Compiled, Any]:
        """Record, simplify and print."""
        recording = record(self._f, args, self._wrt, self._fuse)
        lines: Sequence[Line] = recording.lines
        outputs: Any = recording.outputs
        if self._clean:
            lines, outputs = simplify(*batch(lines, outputs))
        lines = live(lines, outputs)
        results = recording.results if recording.differentiated else recording.results[0]
        like = unflatten(results, [None] * len(flatten(results))) if _has_names(results) else None
        tests = [_test(x, f"x{i}") for i, x in enumerate(args)]
        compiled = _Compiled(emit(recording, lines, outputs, self._clean), tests, like)
        numbers = any(line.is_number for line in lines)
        return compiled, _by_lines(recording, lines, outputs) if numbers else None

    def _find(self, args: Sequence[Any]) -> Callable[..., Any]:
        """The program for such arguments, made now if it is not kept."""
        key = _key(args)
        if key in (kept := self._kept):
            return kept[key]
        if key != self._key and not (self._retrace and self._f):
            got = self._signature_of(args)
            text = "program: got {got}, wanted {wanted}"
            if got == self._signature:
                text = "program: got {got}, wanted these in other lists, tuples or dicts"
            text += ": call program() for these"
            text += ", or with retrace=True" if self._f else "; it was pickled without its function"
            raise ValueError(_(text, got=got, wanted=self._signature))
        compiled, careful = self._compile(args) if self._f else (self._compiled, None)
        run = compiled.function(self._other, careful)
        if key == self._key:
            self._compiled = compiled
            self._run = run if all(compiled.tests) else self._other
        self._kept = dict([*self._kept.items(), (key, run)][-KEPT:])  # anew: threads may read it
        return run

    def _other(self, *args: Any) -> Any:
        """A call whose arguments are not plainly those of the example."""
        given = self._arguments(args)
        if (n := len(given)) != (wanted := len(self._parameters)):
            text = "program: got {n} arguments, wanted {wanted}"
            raise TypeError(_(text, n=n, wanted=wanted))
        return self._find(given)(*given)

    # ------------------------------------------------------------------ what it is to a user
    @property
    def source(self) -> str:
        """The program as a module, for the arguments that it was made with."""
        return self._compiled.source

    def __call__(self, *args: Any) -> Any:
        """Run the program."""
        return self._run(*args)

    def __str__(self) -> str:
        return self.source.rstrip("\n")

    def __repr__(self) -> str:
        return f"<program of {getattr(self._f, '__name__', 'f')}: {self._signature}>"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the source into a file; an existing one is replaced at once."""
        replace_file(path, self.source.encode())

    def __copy__(self) -> Program:
        return self

    def __deepcopy__(self, memo: Any) -> Program:
        return self

    def __getstate__(self) -> dict[str, Any]:
        state = {k: x for k, x in vars(self).items() if k not in ("_kept", "_run")}
        for name in ("_f", "_key"):
            try:
                pickle.dumps(state[name])
            except Exception:  # what pickle raises of a lambda is no one class
                state[name] = None
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._kept = {}
        self._run = self._other
