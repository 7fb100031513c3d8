"""Why is it nan, how many digits are right, and what looks wrong: `diagnose`, `watching`."""

from __future__ import annotations

import gc
import inspect
import json
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from html import escape
from types import FrameType
from typing import Any

import numpy as np

from ..engine.backward import topological, watcher
from ..engine.data import StaleGraphError
from ..engine.language import language, speaking, spoken
from ..engine.origin import learners_frame
from ..engine.text import _
from ..engine.transforms import flatten, unflatten
from ..engine.value import Value, detach
from .births import Birth, as_it_was, find_births, is_finite, is_real, ones_like, ordered, values
from .cures import Cure, Trials
from .digits import Digits, all_digits
from .habits import notes_of, warnings_of
from .telling import tell_births, tell_cure, tell_digits
from .wording import PACKAGE, Names, number, place, table, where, wrapped

WIDTH = 96  # columns of a printed report


@dataclass(frozen=True, eq=False, slots=True)
class Diagnosis:
    """What `diagnose` found; printed as a few sentences, then a table of digits.

    Attributes
    ----------
    births : where nan and inf began: tuple of `Birth`, that of the loss first
    cure : `Cure` or None: a change that was tried, after which loss and gradients are finite
    digits : tuple of `Digits`: of the loss, then of each leaf's gradient
    warnings, notes : tuples of sentences: what is most likely a mistake; what is often meant
    sentences : the report, a sentence each
    lang : the language of it
    """

    births: tuple[Birth, ...]
    cure: Cure | None
    digits: tuple[Digits, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    sentences: tuple[str, ...]
    lang: str = field(default_factory=language)

    @property
    def healthy(self) -> bool:
        """Whether all is finite and nothing looks wrong."""
        return not self.births and not self.warnings

    def __str__(self) -> str:
        lines = table(self._rows()) if self.digits else []
        told = ("\n".join(wrapped(text, WIDTH)) for text in self.sentences)
        return "\n".join([*told, *lines])

    __repr__ = __str__

    def _rows(self) -> list[list[str]]:
        """The table of digits: its head, then a row each."""
        rows = [[d.name, f"{d.digits:.1f}", f"{d.error:.1e}"] for d in self.digits]
        with speaking(self.lang):
            return [[_("number"), _("digits"), _("relative error")], *rows]

    def _repr_html_(self) -> str:
        """The report, for a notebook."""
        said = "".join(f"<p>{escape(text)}</p>" for text in self.sentences)
        tags = ["th", *["td"] * len(self.digits)]
        cells = ([f"<{tag}>{escape(x)}</{tag}>" for x in r] for tag, r in zip(tags, self._rows()))
        rows = "".join(f"<tr>{''.join(row)}</tr>" for row in cells)
        return said + (f"<table>{rows}</table>" if self.digits else "")

    def to_json(self) -> str:
        """The report as JSON: births with step, entry, cause and numbers, digits, sentences."""
        births = [
            {"step": b.step, "op": b.node.op.name if b.node.op else "", "entry": b.entry}
            | {"value": str(b.value), "cause": b.cause, "numbers": b.numbers, "entries": b.entries}
            | {"phase": "backward" if b.target is not None else "forward"}
            for b in self.births
        ]
        digits = [{"name": d.name, "digits": d.digits, "error": d.error} for d in self.digits]
        texts = {name: getattr(self, name) for name in ("warnings", "notes", "sentences")}
        cure = self.cure and self.cure.text
        report = {"births": births, "cure": cure, "digits": digits, **texts}
        return json.dumps(report, ensure_ascii=False)


def diagnose(loss: Value | Callable[..., Any], *args: Any, lang: str = "") -> Diagnosis:
    """Say why a loss or its gradient is not finite, how many digits are right, what looks wrong.

    Parameters
    ----------
    loss : the `Value` to look at, of any shape; or a function of arrays, written in NumPy
    *args : the function's arguments: numbers, arrays, or dicts, lists and tuples of them
    lang : the language of the report, "en" or "ko"; the reader's, where none is named

    Returns
    -------
    `Diagnosis`: print it. It works after an optimizer's step too: the nodes hold the forward pass.

    Raises
    ------
    TypeError
        If ``loss`` is no `Value`, and no function that returns one.

    Examples
    --------
    >>> z = Value([1000.0, 0.0])
    >>> with np.errstate(all="ignore"):
    ...     p = np.exp(z) / np.exp(z).sum()
    >>> diagnose(p).births[0].numbers
    'inf / inf'
    """
    was_on = gc.isenabled()
    gc.disable()  # Python's collector of cycles would go through a large graph again and again
    try:
        with speaking(lang), np.errstate(all="ignore"):
            return _diagnosed(loss, args)
    finally:
        if was_on:
            gc.enable()


def _diagnosed(loss: Any, args: Any) -> Diagnosis:
    root, unused = _called(loss, args) if callable(loss) else (loss, [])
    if not isinstance(root, Value):
        text = "diagnose: got {got}, wanted a Value, or a function of Values and its arguments"
        raise TypeError(_(text, got=type(root).__name__))
    names = Names(ordered(root))
    if root.op and not names.learners(root):
        names.called[root] = _("the loss")
    names, assigned, unknown, seed, changes = _restored(names)
    births, path, slopes = find_births(names.nodes, seed, unknown)
    digits = all_digits(names, slopes) if slopes and not births else []
    cure = Trials(names, births[0], unknown).cure() if births else None
    warnings, notes = [*unused, *warnings_of(names, slopes, assigned)], notes_of(names)
    sentences = [*tell_births(names, births, path), *tell_cure(names, cure, births)]
    sentences += tell_digits(names, digits)
    sentences += [_("{text}.", text=text) for text in warnings]
    sentences += [_("Note: {note}.", note=note) for note in notes]
    if not births:
        text = "{name} and all its gradients are finite." if slopes else "{name} is finite."
        value = _(" = {value}", value=number(float(np.sum(root.data)))) if root.size == 1 else ""
        sentences.insert(0, _(text, name=names.called[names.nodes[-1]] + value))
    sentences += changes
    sentences = [re.sub("^the ", "The ", text) for text in sentences]
    texts = tuple(warnings), tuple(notes), tuple(sentences)
    return Diagnosis(tuple(births), cure, tuple(digits), *texts)


def _restored(names: Names) -> tuple[Names, list[Value], set[Value], Any, list[str]]:
    """A graph as it was when it was computed.

    With it come the leaves that were assigned since, those whose numbers are not known, what the
    way back starts from (None where there is none), and sentences of all that.
    """
    root = names.nodes[-1]
    try:
        topological(root)
    except StaleGraphError as error:
        text = str(error) + "."
    else:
        return names, [], set(), ones_like(root), []
    assigned = [*dict.fromkeys(x for n in names.nodes for x in values(n) if x.number > n.number)]
    if assigned:
        called = ", ".join(map(names, assigned))
        text = _("Assigned since the loss was computed: {names}.", names=called)
    if (before := as_it_was(names.nodes)) is None:
        again = _("For the way back compute it again.")
        return names, assigned, {*assigned}, None, [f"{text} {again}"]
    then, lost = before
    assigned = [then[x] for x in assigned]
    names = Names([*then.values()], {then[x]: name for x, name in names.called.items()})
    numbers = _("This is of the numbers before.")
    return names, assigned, lost.intersection(assigned), ones_like(root), [f"{text} {numbers}"]


def _called(f: Callable[..., Any], args: Any) -> tuple[Any, list[str]]:
    """What a function makes of `Value`s, and a sentence for each that does not reach its result."""
    parameters: list[str] = []
    with suppress(ValueError):  # of what is no Python function
        parameters = [*inspect.signature(f).parameters]
    parameters += [f"argument_{i}" for i in range(len(parameters), len(args))]
    named = [(name + path, x) for name, tree in zip(parameters, args) for path, x in flatten(tree)]
    data = [np.asarray(x) if isinstance(x, list | tuple) else detach(x) for _path, x in named]
    whole = "" if any(map(is_real, data)) else "iu"  # beside others they are labels, or sizes
    kinds = [np.asarray(x).dtype.kind in "f" + whole for x in data]
    values = [Value(x, path) if k else x for x, k, (path, _x) in zip(data, kinds, named)]
    leaves, supply = [x for x in values if isinstance(x, Value)], iter(values)
    result = f(*[unflatten(tree, supply) for tree in args])
    reached = {*ordered(result)} if isinstance(result, Value) else {*leaves}
    text = "{name} does not reach the loss: its gradient is 0"
    return result, [_(text, name=x.name) for x in leaves if x not in reached]


@contextmanager
def watching(*, stop: bool = True) -> Iterator[None]:
    """Raise at the operation that makes the first inf or nan, forward or on the way back.

    NumPy calls only where its floating-point flags are set. What sets none (the + and * of Python's
    numbers, ``einsum``, data that are nan) is seen at the end of the next backward pass, in the
    loss and the leaves' gradients, and told with the line where it began. A thread needs a ``with``
    of its own. Steps of 90 µs took 1.1 times as long with it, those of 1,400 µs 1.03 times.

    Parameters
    ----------
    stop : False gives a `RuntimeWarning` with the learner's line instead

    Raises
    ------
    FloatingPointError
        With the operation, the file and the line, at an overflow, a division by 0 or a nan.

    Examples
    --------
    >>> try:
    ...     with watching():
    ...         np.log(Value(0.0))
    ... except FloatingPointError as error:
    ...     print(str(error)[:21])
    divide by zero in log
    """
    told = list[str]()  # since the last pass

    def say(text: str) -> None:
        if stop:  # what is tried with Python's numbers first catches it
            raise FloatingPointError(text)
        told.append(text)
        if (frame := learners_frame()) is not None:
            registry = frame.f_globals.setdefault("__warningregistry__", {})
            at = frame.f_code.co_filename, frame.f_lineno
            warnings.warn_explicit(text, RuntimeWarning, *at, registry=registry)

    def look(nodes: list[Value], gradients: dict[Value, Any]) -> None:
        finite = is_finite(nodes[0].data) and all(
            is_finite(detach(gradients[n])) for n in nodes if n.op is None
        )
        asked = not finite and np.geterrcall() is met and np.geterr()["invalid"] == "call"
        if asked and not told and (text := _silent(nodes[0])):
            say(text)
        told.clear()

    def met(kind: str, flag: int) -> None:
        say(_said(kind))

    token = watcher.set(look)
    try:
        with np.errstate(over="call", divide="call", invalid="call", call=met):
            yield
    finally:
        watcher.reset(token)


def _said(kind: str) -> str:
    """What happened, in which operation, and on which line of the learner's."""
    frame: FrameType | None = sys._getframe(2)
    op, node, kind = None, None, spoken(kind)
    while frame is not None and node is None:
        known = frame.f_locals if frame.f_code.co_filename.startswith(PACKAGE) else {}
        op = known.get("op") if op is None else op
        node = known.get("node") if "gradients" in known else None
        frame = frame.f_back
    if node is not None:
        text = "{kind} on the way back through {what}{where}: look at it with diagnose(f, ...)"
        return _(text, kind=kind, what=node.op.name, where=place(node))
    learners = learners_frame()
    at = where(learners.f_code.co_filename, learners.f_lineno) if learners else ""
    text = "{kind} in {what}{where}: look at it with diagnose(f, ...)"
    return _(text, kind=kind, what=getattr(op, "name", _("NumPy")), where=at)


def _silent(root: Value) -> str:
    """Where began what a pass ended with that is not finite; "" where a mask is not meant to be."""
    report = diagnose(root)
    masked = root.size > 1 and [birth.cause for birth in report.births] == ["data"]
    return "" if masked and not np.any(np.isnan(root.data)) else report.sentences[0]
