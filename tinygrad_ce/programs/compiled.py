"""A function and its gradient as straight-line NumPy source, to read, to save, and to run fast.

The function is called once, on arrays that write down what NumPy does with them (`recorder`), and
the backward pass once on top (`recording`). Passes make a better list of those lines, and
`printing` writes it as source. That source is compiled here, and one program is kept for each
signature.
"""

from __future__ import annotations

import ast
import inspect
import math
import pickle
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from itertools import product, repeat
from operator import attrgetter
from typing import Any

import numpy as np

from ..engine.data import as_data, lost, real
from ..engine.text import _, require
from ..engine.transforms import flatten, is_array_like, unflatten
from ..engine.value import detach
from .batching import batch
from .captured import lift, put_back
from .collecting import collect
from .files import AnyPath, replace_file
from .lines import Line, live
from .literals import tolerance
from .printing import emit
from .recorder import RecordedArray
from .recording import Recording, in_containers, parameters, places
from .simplifier import Simplifier, simplify
from .sizes import write_sizes
from .stability import is_stable

WAYS = [*product((True, False), repeat=2)]  # whether lists are taken apart, and indices arguments
KEPT = 16  # programs of one function, for as many shapes


def program(
    f: Callable[..., Any],
    *examples: Any,
    wrt: int | Sequence[int] | None = 0,
    clean: bool = True,
    retrace: bool = True,
    fuse: bool = False,
    sums_to_one: str | Sequence[str] = (),
    optimize: None = None,
) -> Program:
    """Print ``f`` and its gradient as one NumPy function, and compile it.

    Parameters
    ----------
    f : function of arrays, written in NumPy; it is called twice, to record what it does and
        whether it does so each time, and again with other numbers of rows when its source is first
        asked for
    *examples : its arguments: numbers, arrays, or dicts, lists, tuples of such. Their shapes and
        dtypes count, their data do not. Text, None and whole numbers are fixed, but a whole number
        that f reads as an index of arrays alone. A list of floats is a list of numbers where f
        takes it so, else an array.
    wrt : the positional argument to differentiate, or several; None for no gradient
    clean : False prints the chain rule as it is applied, True the same in fewer operations
    retrace : whether a call with other shapes, dtypes or fixed arguments makes another program (the
        last 16 are kept) or raises a `ValueError`
    fuse : True puts the stable form in place of each loss of an argument in ``wrt`` that `fuse`
        finds, for any targets
    sums_to_one : the names of arguments, tables whose entries sum to 1 along the last axis; then a
        gradient reads ``p - t`` for ``t.sum() * p - t``. Example and calls are checked for it

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
        If ``f`` branches on data, turns data into plain numbers, writes into an array, or does
        something else when it is called again, as what draws random numbers; with the line.
    ValueError
        If ``wrt`` is not an argument, ``sums_to_one`` no table or false of one (in a call as well),
        or f rests on an array too large to be written out.

    Notes
    -----
    What runs is the source, behind a check of shapes and dtypes; until somebody asks for it, with
    its sizes as numbers. Its value and gradient are those of ``backward()`` but for rounding; with
    ``clean`` it can be finite where an exponential underflows and the graph has nan. Class indices
    are checked in every call; what else a loss of this package checks (that targets sum to 1) is
    checked for the example alone. Arrays and `Value`s that f takes from outside are constants,
    called as f calls them. Random numbers that f draws are refused where it draws others in a
    second call; those by chance the same (a rare branch) are constants, too: give them as an
    argument.

    The source is for any number of rows: a constant that moves with it is printed as a size. Where
    f may decide by it (f asks for it and compares, takes a part, or calls what the learner wrote),
    each number around the example's is tried, up to 500, and the source refuses all others. Where f
    does something else with 100 rows or more, or fails, it refuses arrays of other shapes.
    Branches on types are taken as for the example: what is not in
    ``wrt`` is no ndarray and no float to ``isinstance``, ``type`` and ``np.isscalar``. As of
    `Value`s, ``y += 1`` makes a new array of what depends on ``wrt``, whatever else is called y; of
    other arrays it is refused.

    Examples
    --------
    >>> square = program(lambda x: np.sum(x * x), np.array([1.0, 2.0]))
    >>> value, slope = square(np.array([3.0, 4.0]))
    >>> float(value), slope
    (25.0, array([6., 8.]))
    """
    text = "program: optimize= is gone: leave it out, the results are the same"
    require(optimize is None, text, TypeError)
    return Program(f, examples, wrt, clean, retrace, fuse, sums_to_one)


def cleaned(lines: Sequence[Line], outputs: Any) -> tuple[list[Line], Any]:
    """The same outputs in fewer operations: the first form that large arguments do not break."""
    lines, outputs = batch(lines, outputs)
    for shorter in (collect, simplify):
        simple = shorter(lines, outputs)
        if is_stable((lines, outputs), simple):
            return simple
    return Simplifier(live(lines, outputs), outputs, limit=0).run()


# ------------------------------------------------------------------ arguments
def _positions(wrt: Any, n: int) -> tuple[int, ...]:
    """The arguments to differentiate, of n."""
    numbers = () if wrt is None else tuple(wrt) if np.iterable(wrt) else (wrt,)
    some = [i for i in numbers if i.__class__ is int and 0 <= i < n]
    text = "program: wrt={wrt}: got {n} example arguments, wanted the place of one, from 0, or "
    require(len({*some}) == len(numbers), text + "of several, each once", wrt=repr(wrt), n=n)
    return numbers


def _tables(names: Any, leaves: dict[str, Any]) -> tuple[str, ...]:
    """The arguments that sum to 1, once their examples do."""
    several = np.iterable(names) and not isinstance(names, str)
    tables: tuple[str, ...] = tuple(names) if several else (names,)
    for name in tables:
        t: Any = leaves.get(name) if isinstance(name, str) else None
        text = "program: sums_to_one: got {name}, wanted the name of an argument: {wanted}"
        require(name in [*leaves], text, name=repr(name), wanted=", ".join(leaves))
        text = "program: sums_to_one: {name} is {got}, wanted an array of shares"
        require(np.ndim(t), text, name=name, got=type(t).__name__)
        sums = np.sum(t, axis=-1)
        text = "program: sums_to_one: along its last axis {name} sums to {got}, wanted 1"
        require(np.all(np.abs(sums - 1.0) < tolerance(t.dtype)), text, name=name, got=sums)
    return tables


class Numbers(list[Any]):
    """A list of arguments, each by itself: no array to `flatten`."""

    _make = classmethod(lambda cls, parts: cls(parts))


@dataclass(frozen=True)
class Arguments:
    """How a program takes its arguments."""

    parameters: Sequence[str]
    variables: Sequence[int]  # the places of those to differentiate
    lists: bool  # whether a list of numbers is taken apart
    indices: bool  # whether a whole number may be an index, and so is an array

    def take(self, args: Sequence[Any]) -> list[Any]:
        """The arguments with leaves as a program takes them."""
        n, wanted = len(args), len(self.parameters)
        text = "program: got {n} arguments, wanted {wanted}"
        require(n == wanted, text, TypeError, n=n, wanted=wanted)
        return [self._tree(x, i in self.variables) for i, x in enumerate(args)]

    def _tree(self, x: Any, is_variable: bool) -> Any:
        if isinstance(x, dict):
            return {name: self._tree(part, is_variable) for name, part in x.items()}
        if not isinstance(x, list | tuple):
            return self._leaf(x, is_variable)
        kind = np.asarray(x).dtype.kind if is_array_like(x) else ""
        apart = x.__class__ is list and (kind == "f" or is_variable or not self.indices)
        if kind and not (apart and self.lists):
            return self._leaf(x, is_variable)
        parts = [self._tree(part, is_variable or kind == "f") for part in x]
        make = Numbers if kind else getattr(x, "_make", x.__class__)
        return make(parts)

    def _leaf(self, x: Any, is_variable: bool) -> Any:
        """A float, an array, or what is fixed: a whole number, text, a function."""
        if x.__class__ is int and (is_variable or self.indices):
            return float(x) if is_variable else np.asarray(x)
        if not is_variable and (x is None or isinstance(x, int | str) or callable(x)):
            return x
        data = detach(x)
        if data.__class__ is RecordedArray:
            instead = "Call the function that it is a program of."
            data.tape.refuse("What a program returns", instead)
        if data is not x:
            lost("A program called on a Value", "Use v.data, or call the function itself.")
        data = data if isinstance(data, float | np.ndarray) else np.asarray(data)
        where = "program: argument"
        return as_data(data, where) if is_variable else real(data, where)

    def signature(self, args: Sequence[Any]) -> str:
        """What a program is for: ``x: float64[3, 4], n=2``."""
        named = places(self.parameters, args)
        return ", ".join(_described(at, x) for at, x in named.items())

    def key(self, args: Sequence[Any]) -> Any:
        """What is equal for arguments of one program alone."""
        structure = repr([unflatten(arg, repeat(None)) for arg in args])
        functions = [x for arg in args for _, x in flatten(arg) if callable(x)]
        known = [x if isinstance(x, Hashable) else x.__call__ for x in functions]  # of this object
        return structure, self.signature(args), *known


def _described(name: str, x: Any) -> str:
    if x.__class__ is np.ndarray:
        return f"{name}: {x.dtype}{list(x.shape)}"
    return f"{name}: float" if x.__class__ is float else f"{name}={x!r}"


# ------------------------------------------------------------------ running
def _load(module: Any, **names: Any) -> Callable[..., Any]:
    """The function that a module ends with."""
    exec(compile(module, "<program>", "exec"), names)
    function: Callable[..., Any] = [*names.values()][-1]
    return function


class _Careful(ast.NodeTransformer):
    """Source in which what can raise is done by functions of math."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        """``math.divide(x, y)`` for ``x / y``."""
        self.generic_visit(node)
        name = {ast.Div: "math.divide", ast.Pow: "math.power"}.get(node.op.__class__)
        function = ast.parse(name or "0", mode="eval").body
        return ast.Call(function, [node.left, node.right], []) if name else node


class _NumPyMath:
    """NumPy's functions in the place of math's, which raise where those have inf or nan."""

    def __getattr__(self, name: str) -> Any:
        function = getattr(np, name, None) or getattr(math, name)

        def call(*args: Any) -> Any:
            result = function(*args)
            return result.item() if all(x.__class__ in (float, int, bool) for x in args) else result

        return call if callable(function) else function


def _load_careful(source: str) -> Callable[..., Any]:
    """The function that a module defines, with NumPy's inf and nan where Python's numbers raise."""
    run = _load(ast.fix_missing_locations(_Careful().visit(ast.parse(source))))
    run.__globals__["math"] = _NumPyMath()
    return run


def _runs(source: str, like: Any) -> tuple[Any, Any]:
    """The function of a source, and one that has NumPy's inf and nan where Python raises.

    ``like`` is the structure of its results, where named tuples are in it.
    """

    def restored(run: Any) -> Any:
        return (lambda *args: in_containers(run(*args), like)) if like is not None else run

    run, careful = restored(_load(source)), cache(lambda: restored(_load_careful(source)))

    def either(*args: Any) -> Any:
        try:
            return run(*args)
        except (ArithmeticError, ValueError):
            return careful()(*args)

    return run, either


def _test(name: str, x: Any) -> str:
    """What holds for an argument, as source; of what takes more than a line, nothing."""
    if x.__class__ is np.ndarray:
        kind = f"{name}.dtype == __dtype_{name}"
        return f"{name}.__class__ is __array and {name}.shape == {x.shape} and {kind}"
    return f"{name}.__class__ is __float" if x.__class__ is float else "False"


def _checked(example: dict[str, Any], run: Any, other: Any) -> Any:
    """A function that runs a program for arguments like these, and calls ``other`` for others."""
    args = ", ".join(example)
    text = f"""def program({args}):
  if {" and ".join(map(_test, example, example.values())) or "True"}:
    try:
      return __run({args})
    except (__ArithmeticError, __ValueError):
      pass
  return __other({args})"""
    names = {f"__dtype_{name}": getattr(x, "dtype", None) for name, x in example.items()}
    names |= {"__other": other, "__run": run, "__array": np.ndarray, "__float": float}
    return _load(text, __ArithmeticError=ArithmeticError, __ValueError=ValueError, **names)


class Program:
    """A function and its gradient, compiled from ``source``: what `program` returns.

    It is copied as a function is: to itself. It is pickled with the function where that can be
    pickled, else with its source alone, for arguments of one signature.
    """

    _compiled: tuple[str, Any] | None = None  # the source, and the structure of its results
    _example: Any = None  # with its recording, until somebody asks for the source

    def __init__(
        self, f: Any, examples: Any, wrt: Any, clean: bool, retrace: bool, fuse: bool, tables: Any
    ) -> None:
        text = "program: got {got}, wanted a function"
        require(callable(f), text, TypeError, got=type(f).__name__)
        self._f, self._wrt, self._clean, self._retrace, self._fuse = f, wrt, clean, retrace, fuse
        names, self._defaults = parameters(f, len(examples))
        ways = dict[Any, Any]()  # what differs, and the last way that gives it
        for way in WAYS:
            arguments = Arguments(names, _positions(wrt, len(examples)), *way)
            given = arguments.take(examples)
            ways[arguments.key(given)] = arguments, given
        self._tables = _tables(tables, places(names, given))
        for self._key, (self._arguments, given) in ways.items():
            self._signature = self._arguments.signature(given)
            self._kept = dict[Any, Any]()
            with suppress(*[] if self._arguments is arguments else [Exception]):  # of f, any
                self._make(given, self._key)
                break

    # ------------------------------------------------------------------ one for each signature
    def _record(
        self, args: Any, clean: Any = None, backward: bool = True, again: bool = False
    ) -> Recording:
        record = partial(Recording, self._f, args, self._wrt, self._fuse, self._tables)
        recording = record(backward)
        if again:
            recording.check_again(lambda: record(backward=False))
        plain = not self._arguments.indices or recording.indices_are_no_more()
        require(plain, "program: a whole number is more than an index", TypeError)  # so it is fixed
        if self._clean if clean is None else clean:
            lines, captured = lift(recording.lines, recording.constants)
            lines, outputs = cleaned(lines, recording.outputs)
            if captured:
                lines, outputs = put_back(lines, outputs, captured)
            recording.lines, recording.outputs = lines, outputs
            for x, (_at, g) in zip(recording.variables, flatten(recording.outputs[1])):
                if getattr(g, "of", None) and g.of not in recording.variables:
                    g.of = x  # a gradient that is also one of another line is called so
        return recording

    def _make(self, args: Sequence[Any], key: Any) -> Any:
        """The program for such arguments."""
        if key != self._key and not (self._retrace and self._f):
            got, wanted = self._arguments.signature(args), self._signature
            wanted = wanted if got != wanted else "these in other lists, tuples or dicts"
            text = "program: got {got}, wanted {wanted}: call program() for these"
            text += ", or with retrace=True" if self._f else "; it was pickled without its function"
            raise ValueError(_(text, got=got, wanted=wanted))
        compiled = self._compiled if key == self._key else None
        if compiled is None:
            recording = self._record(args, again=True)
            compiled = emit(recording, self._clean), recording.like
            self._example = self._example if self._compiled else (recording, args)
        run, either = _runs(*compiled)
        if key == self._key:
            self._compiled = compiled
            self._check(args, run)
        self._kept = dict([*self._kept.items(), (key, either)][-KEPT:])  # anew: threads may read it
        return either

    def _check(self, args: Sequence[Any], run: Any = None) -> None:
        """Run the program itself where arguments are plainly those of the example."""
        self._run = _checked(dict(zip(self._arguments.parameters, args)), run, self._other)
        self._run.__defaults__ = self._defaults

    def _other(self, *args: Any) -> Any:
        taken = self._arguments.take(args)
        run = self._kept.get(key := self._arguments.key(taken)) or self._make(taken, key)
        return run(*taken)

    # ------------------------------------------------------------------ what it is to a user
    @property
    def source(self) -> str:
        """The program as a module, for any number of rows, where f has one; f is called again.

        It is what runs from then on.
        """
        assert self._compiled is not None
        if self._example:
            (recording, args), self._example = self._example, ()

            def load(recording: Recording) -> Any:
                return _load(emit(recording, self._clean))

            write_sizes(recording, self._record, args, self._arguments.variables, load)
            self._compiled = emit(recording, self._clean), self._compiled[1]
            self._make(args, self._key)
        return self._compiled[0]

    # Called as its function is, by position or by name; a method would take as long as 20 products.
    __call__ = property(attrgetter("_run"))

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self._run)

    def __str__(self) -> str:
        return self.source.rstrip("\n")

    def __repr__(self) -> str:
        return f"<program of {getattr(self._f, '__name__', 'f')}: {self._signature}>"

    def save(self, path: AnyPath) -> None:
        """Write the source into a file; an existing one is replaced at once."""
        replace_file(path, self.source.encode())

    def __deepcopy__(self, memo: Any = None) -> Program:
        return self

    __copy__ = __deepcopy__

    def __getstate__(self) -> dict[str, Any]:
        str(self)  # makes the source
        state = {k: x for k, x in vars(self).items() if k not in ("_kept", "_run")}
        for name in ("_f", "_key", "_defaults"):
            try:
                pickle.dumps(state[name])
            except Exception:  # what pickle raises of a lambda is no one class
                state[name] = None
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._kept = {}
        self._check([None] * len(self._arguments.parameters))
