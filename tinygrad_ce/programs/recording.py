"""A function called once on arrays that record, and its backward pass on top: two graphs.

What the caller passes is named after the function's own parameters, and the outcome keeps the
caller's structure of dicts, lists and tuples.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Iterator, Sequence
from itertools import repeat, zip_longest
from pathlib import Path
from types import CodeType
from typing import Any

import numpy as np

from ..engine.backward import gradients, topological
from ..engine.data import as_data, as_upstream, example
from ..engine.origin import line
from ..engine.rules import scatter
from ..engine.text import _
from ..engine.transforms import flatten, unflatten, variable
from ..engine.value import Value, detach
from .fusion import fused
from .lines import Line, distributions, live, reads, replace, walk
from .literals import path_text
from .recorder import RESERVED, RecordedArray, Tape, identifier, line_of
from .simplifier import key_of


class Recording:
    """One call of a function on arrays that record, and the backward pass on top, as lines."""

    def __init__(
        self, f: Any, args: Sequence[Any], wrt: Any, fuse: bool, tables: Any, backward: Any = True
    ) -> None:
        self.parameters = names = parameters(f, len(args))[0]
        numbers = () if wrt is None else (wrt,) if isinstance(wrt, int) else tuple(wrt)
        tape, trees, gradient = Tape(), dict[int, Any](), None
        leaves = {  # of another class than these they are fixed
            at: tape.argument(x, identifier(at)) if x.__class__ in (float, np.ndarray) else x
            for at, x in places(names, args).items()
        }
        summed = {at: tape.write(distributions, (x := leaves[at],), {}, x.example) for at in tables}
        supply = iter((leaves | summed).values())
        given = [unflatten(arg, supply) for arg in args]
        for i in numbers:
            variables = [variable(x, name=x.name) for _path, x in flatten(given[i])]
            given[i] = trees[i] = unflatten(given[i], variables)
        variables = [v for _path, v in flatten(trees)]
        with np.errstate(all="ignore"):
            out, value = _call(f, given, tape, fuse, bool(backward))
            one = not isinstance(out, dict | list | tuple) and np.size(value) == 1
            if numbers and one and backward:
                slopes = unflatten(trees, _pull(out, value, variables, tape))
                gradient = slopes[wrt] if isinstance(wrt, int) else tuple(slopes.values())
        self.lines, self.calls, self.asking = [*tape.lines], len(tape.lines), tape.asking
        self.origins = tape.origins
        self.arguments: dict[str, Any] = {  # each by its place in the source, ``p["w"]``
            path_text(at): x.line if x.__class__ is RecordedArray else x for at, x in leaves.items()
        }
        self.variables = [v.data.line for v in variables]
        self.outputs = replace(in_containers((value, gradient)), line_of, RecordedArray)
        self.constants = {key_of(x): name for x, name in tape.constants}
        by = numbers if gradient is not None else ()
        self.differentiated = ", ".join(names[i] for i in by)  # "" for no gradient
        like = unflatten((value, gradient) if by else value, repeat(None))
        # The structure of the results, where that has named tuples.
        self.like = like if repr(like) != repr(in_containers(like)) else None
        # A name for the number of rows, what has so many, and how many it has at least and at most.
        self.rows: tuple[str, str, int, int | None] | None = None

    def check_again(self, record: Callable[[], Recording]) -> None:
        """Refuse a function that does something else when it is called again."""
        text = (
            "{where}f does something else when it is called again with the same arguments, as what "
            "draws random numbers, reads a clock or counts its calls does; a program would keep "
            "what the first call had. Give it as an argument, or begin it anew in each call, as "
            "rng = np.random.default_rng(0) in f does."
        )
        try:
            again = record()
        except Exception as error:
            raise TypeError(_(text, where="")) from error
        nothing: Any = None, None
        both = zip_longest(self.contents(), again.contents(), fillvalue=nothing)
        for (x, one), (y, other) in both:
            if one != other:
                where = _where(self.origins.get(x) or again.origins.get(y))
                raise TypeError(_(text, where=where))

    def contents(self) -> Iterator[tuple[Any, Any]]:
        """Each line, and at last none for the result, with what is equal where it does the same."""
        lines = live(self.lines, self.outputs[0])
        order = {line: f"line {i}" for i, line in enumerate(lines)}
        for x in lines:
            f, inputs = x.function, replace((x.args, x.options), order.__getitem__)
            called = getattr(f, "__name__", x.name), getattr(f, "__self__", None)
            yield x, (called, x.shape, x.kind, key_of(inputs))
        yield None, key_of(replace(self.outputs[0], order.__getitem__))

    def made_at(self, code: CodeType) -> set[int]:
        """The instructions of code that made an array that records."""
        return {origin[1] for origin in self.origins.values() if origin and origin[0] is code}

    def indices_are_no_more(self) -> bool:
        """Whether whole numbers among the arguments are read as indices alone."""
        inputs = [x for x in self.arguments.values() if x.__class__ is Line and not x.shape]
        whole = {x for x in inputs if x.dtype.kind in "iu"}
        indexed = (operator.getitem, scatter)
        used = [walk(x.args[:1]) if x.function in indexed else reads(x) for x in self.lines]
        return whole.isdisjoint(y for several in used for y in several)


def _call(f: Any, args: Sequence[Any], tape: Tape, fuse: bool, named: bool) -> tuple[Any, Any]:
    """What f returns, and its data."""
    tape.caller = _call.__code__
    out = f(*args)
    if named:
        tape.name_lines()
    if tape.refusal:  # that f caught: what it did instead is for no data
        raise tape.refusal
    out = fused(out) if fuse else out
    value = _data(out, tape)
    results, own = replace(value, line_of, RecordedArray), {*tape.lines}
    for x in (Line(None, (results,)), *live(tape.lines, results)):
        if not own.issuperset(reads(x)):
            text = (
                "{where}f uses what it has kept since it was recorded before, which holds no data: "
                "make that anew, or return it and give it as an argument"
            )
            raise TypeError(_(text, where=_where(tape.origins.get(x))))
    return out, value


def _where(origin: Any) -> str:
    """The learner's line, as messages begin; "" if it is not known."""
    file, number, _text = line(origin) if origin else ("", 0, "")
    return f"{Path(file).name}, line {number}: " if file else ""


def _pull(out: Any, value: Any, wanted: list[Value], tape: Tape) -> list[Any]:
    """The gradient of each variable."""
    slopes: dict[Value, Any] = {}
    if out.__class__ is Value:
        if value.__class__ is RecordedArray and not value.name:
            value.name = "loss"
        start, nodes = len(tape.lines), [*dict.fromkeys([*topological(out), *wanted])]
        seed = tape.constant(as_upstream(None, example(value), "f's result"))
        slopes = dict(zip(nodes, gradients(out, seed, nodes)))
        new = set(tape.lines[start:])
        last = [*reversed(slopes.items())]  # of several with one gradient the last that has a name
        for v, g in sorted(last, key=lambda pair: not getattr(pair[0].data, "name", None)):
            if g.__class__ is RecordedArray is v.data.__class__ and g.line in new:
                g.line.of = g.line.of or v.data.line
    lines = {v: v.data.line for v in wanted}
    zeros = {v: 0.0 if x.is_number else np.zeros(x.shape, x.dtype) for v, x in lines.items()}
    return [zeros[v] if slopes.get(v) is None else slopes[v] for v in wanted]


def places(names: Sequence[str], args: Sequence[Any]) -> dict[str, Any]:
    """Each leaf of arguments by its place, ``p['w']``."""
    return {at: x for name, arg in zip(names, args) for at, x in flatten(arg, name)}


def parameters(f: Any, n: int) -> tuple[list[str], tuple[Any, ...]]:
    """A name for each of n arguments, the function's own, and the defaults of the last of them."""
    try:
        taken = [*inspect.signature(f).parameters.values()]
    except (TypeError, ValueError):
        taken = []
    positional = [p for p in taken if p.kind < p.VAR_POSITIONAL][:n]
    rest = next((p.name for p in taken if p.kind is p.VAR_POSITIONAL), "x")
    names = [p.name for p in positional] + [f"{rest}_{i}" for i in range(n - len(positional))]
    for i, name in enumerate(names):
        while name in RESERVED or name in names[:i]:
            name += "_"
        names[i] = name
    optional = [p.default for p in positional if p.default is not p.empty]
    return names, tuple(optional if len(positional) == n else [])


def _data(out: Any, tape: Tape) -> Any:
    """What f returned, with their data in the place of `Value`s; these get the user's names."""
    results = []
    for _path, x in flatten(out):
        for v in topological(x) if x.__class__ is Value else ():
            if v.name and v.data.__class__ is RecordedArray:
                v.data.name = identifier(v.name)
            elif v.name:
                tape.constants.append((v.data, identifier(v.name)))
        data = detach(x)
        results.append(data if data.__class__ is RecordedArray else as_data(data, "f's result"))
    return unflatten(out, results)


def in_containers(tree: Any, like: Any = None) -> Any:
    """A structure in the tuples of ``like``, or in plain dicts, lists and tuples for source."""
    if isinstance(tree, dict):
        return {k: in_containers(x, like and like[k]) for k, x in tree.items()}
    if not isinstance(tree, list | tuple):
        return tree
    parts = [in_containers(x, like and like[i]) for i, x in enumerate(tree)]
    named = like._make if hasattr(like, "_make") else tuple
    return parts if isinstance(tree, list) else named(parts)
