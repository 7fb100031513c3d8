"""The learner's function called, and what goes wrong there told in a sentence, not a traceback."""

import inspect
import os
import re
import sysconfig
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from traceback import extract_tb, format_exception_only
from typing import Any

import numpy as np

from ...engine.backward import watcher
from ...engine.language import spoken
from ...engine.text import _, require
from .problem import Arrays, Trial

# Where code lies that is not a learner's: this package, Python's own, what is installed.
FOREIGN = (
    str(Path(__file__).parents[2]) + os.sep,
    *(sysconfig.get_path(name) + os.sep for name in ("stdlib", "purelib", "platlib")),
    "<frozen",
)


class Trouble(Exception):
    """There is nothing to compare: the function gave no numbers, for the reason in the text."""


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn what a learner's code raises into trouble: a sentence, with the line it comes from."""
    try:
        yield
    except Trouble:
        raise
    except (Exception, SystemExit) as error:
        frames = [f for f in extract_tb(error.__traceback__) if not f.filename.startswith(FOREIGN)]
        at: Any = frames[-1] if frames else error  # a SyntaxError has a line as well
        number, line = getattr(at, "lineno", None), getattr(at, "line", getattr(at, "text", None))
        where = _("your line {number}", number=number) if number else what
        where += f", `{line.strip()}`," if line and line.strip() else ""
        said = " ".join(format_exception_only(error)[-1].split())[:300]
        said = "".join(c if c.isprintable() else "?" for c in said)
        told = _("{where} stops with {error}", where=where, error=said)
        why = _probably(said)
        raise Trouble(f"{told}: {why}" if why else told) from None


def _probably(said: str) -> str:
    """What an error of NumPy's comes of, most of the time."""
    if "read-only" in said:
        return _("it changes an input, work on a copy (.copy())")
    if "core dimension" in said or "not aligned" in said:
        return _("which of the two is to be transposed (.T)?")
    shapes = [re.findall(r"\d+", shape) for shape in re.findall(r"\(([\d, ]*)\)", said)]
    if "broadcast" not in said or len(shapes) != 2:
        return ""
    long, short = sorted(shapes, key=len, reverse=True)
    if short in [long[:k] + long[k + 1 :] for k in range(len(long))]:
        return _("is a keepdims=True missing, where an axis was summed?")
    return _("is a transpose (.T) missing?") if long == short[::-1] else ""


def called(function: Any, inputs: Iterable[Any], call: str) -> tuple[Any, bool]:
    """What a learner's function gives, and whether the engine computed a gradient in it."""
    passes = list[Any]()
    token = watcher.set(lambda *nodes: passes.append(None))
    try:
        # What overflows is seen in the result; a function may have asked NumPy for the warning.
        with explained(call), np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            return function(*inputs), bool(passes)
    finally:
        watcher.reset(token)


def attempt(function: Any, t: Trial) -> Trial:
    """Call a function with the inputs of a draw, which it may not change."""
    t, call = t._replace(function=function), t.problem.call
    try:
        text = "check wants your function, got {got}: define {call} and pass its name"
        require(callable(function), text, Trouble, got=type(function).__name__, call=call)
        with suppress(ValueError, TypeError):  # a function in C may tell no signature
            taken = [*inspect.signature(function).parameters]
            text = "your function takes ({taken}), but it will be called as {call}"
            fits = taken == [*t.inputs] or {*taken} != {*t.inputs}
            require(fits, text, Trouble, taken=", ".join(taken), call=call)
        result, derived = called(function, t.inputs.values(), call)
        derived = derived or getattr(function, "derived", False)
        return t._replace(yours=_arrays(result, t), derived=derived)
    except Trouble as trouble:
        return t._replace(trouble=str(trouble))


def parts_of(result: Any, names: Sequence[str]) -> Sequence[Any]:
    """The results in an answer: of several a tuple, a list, or a dict by their names."""
    if len(names) > 1 and isinstance(result, dict) and {*names} <= {*result}:
        return [result[name] for name in names]
    return result if len(names) > 1 and isinstance(result, tuple | list) else [result]


def described(x: Any, array: Any) -> str:
    """What was got, and of which dtype an array of it is."""
    name = type(x).__name__
    plain = array.dtype == object and not isinstance(x, np.ndarray)
    return name if plain else f"{name} of {array.dtype}"


def _arrays(result: Any, t: Trial) -> Arrays:
    """The arrays of an answer, by their names; lists of numbers are good enough."""
    text = "your function returns None: is there a return at its end?"
    require(result is not None, text, Trouble)
    names = t.problem.parts
    count, wanted, parts = len(names), ", ".join(map(spoken, names)), parts_of(result, names)
    text = "your function returns {n} of the {count} wanted: ({wanted})"
    is_one = len(parts) < count and isinstance(result, float)
    if is_one and np.isclose(result, t.problem.loss(*t.inputs.values())):
        text = "your function returns the loss itself, wanted ({wanted}): how fast does it change?"
    require(len(parts) == count, text, Trouble, n=len(parts), count=count, wanted=wanted)
    arrays = {}
    for name, part in zip(names, parts):
        try:
            array = np.array(part)  # a copy: a function may use one buffer again and again
        except Exception:
            array = np.array(None)
        text = "{name} is {got}, wanted real numbers, float32 or finer, in rows of one length"
        fits = array.dtype.kind in "fiu" and array.dtype != np.float16
        require(fits, text, Trouble, name=spoken(name), got=described(part, array))
        arrays[name] = array if array.dtype == np.float32 else array.astype(float)
    return arrays
