"""The learner's function called, and what goes wrong there told in a sentence, not a traceback."""

from __future__ import annotations

import inspect
import linecache
import os
import sysconfig
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, redirect_stdout
from io import StringIO
from pathlib import Path
from traceback import extract_tb
from typing import Any

import numpy as np

from ..engine.value import Value

# Where code lies that is not a learner's: this package, Python's own, what is installed.
FOREIGN = (
    str(Path(__file__).parents[1]) + os.sep,
    *(sysconfig.get_path(name) + os.sep for name in ("stdlib", "purelib", "platlib")),
    "<frozen",
)

KINDS = {  # of arrays that are no answer, by NumPy's letters
    "b": "of True and False",
    "c": "of complex numbers",
    "U": "of text",
    "S": "of text",
    "O": "of Python objects",
}


class Trouble(Exception):
    """There is nothing to compare: the function gave no numbers, for the reason in the text."""


def fits(function: Any, names: Sequence[str], name: str) -> Callable[..., Any]:
    """The learner's function, if it is one and takes these arguments."""
    call = f"{name}({', '.join(names)})"
    if not callable(function):
        given = isinstance(function, list | tuple) or np.ndim(function) or _number(function)
        what = "the number or array it returned" if given else ""
        raise Trouble(
            f"check wants your function itself, got {what or _a(function)}: define "
            f"{call} and pass its name, ex.check({name})"
        )
    if inspect.iscoroutinefunction(function):
        raise Trouble("your function is async, which returns no numbers: leave out the async")
    try:
        signature = inspect.signature(function)
    except (ValueError, TypeError):  # a function in C may tell none
        return function  # type: ignore[no-any-return]
    try:
        signature.bind(*names)
    except TypeError:
        asked = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        takes = [p.name for p in asked if p.kind is not p.KEYWORD_ONLY or p.default is p.empty]
        named = [p.name for p in asked if p.kind is p.KEYWORD_ONLY and p.name in takes]
        if named:
            raise Trouble(
                f"your function takes {', '.join(named)} by name only: leave out the * in front, "
                f"it will be called with {len(names)} arguments: {call}"
            ) from None
        raise Trouble(
            f"your function takes {len(takes)} argument{'s' * (len(takes) != 1)} "
            f"({', '.join(takes) or 'none'}), but it will be called with {len(names)}: {call}"
        ) from None
    takes = [*signature.parameters]
    if takes != [*names] and sorted(takes) == sorted(names):
        raise Trouble(
            f"your function takes ({', '.join(takes)}), but it will be called in another order: "
            f"{call}"
        )
    return function  # type: ignore[no-any-return]


def called(function: Callable[..., Any], given: Mapping[str, Any], aloud: bool = False) -> Any:
    """What the function returns for these inputs, which it may not change; what it prints goes."""
    copies = {name: np.copy(x) if isinstance(x, np.ndarray) else x for name, x in given.items()}
    try:
        quiet = nullcontext() if aloud else redirect_stdout(StringIO())
        # What overflows is seen in the result; a function may have asked NumPy for the warning.
        with np.errstate(all="ignore"), warnings.catch_warnings(), quiet:
            warnings.simplefilter("ignore", RuntimeWarning)
            result = function(*copies.values())
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise Trouble(explained(error)) from None
    for name, x in given.items():
        if not np.array_equal(copies[name], x):
            raise Trouble(
                f"your function changes its input {name}: work on a copy ({name}.copy()), "
                f"or write {name} = {name} - … in place of {name} -= …"
            )
    return result


def explained(error: BaseException) -> str:
    """An exception in a sentence, with the learner's own line that it comes from."""
    frames = [f for f in extract_tb(error.__traceback__) if not f.filename.startswith(FOREIGN)]
    text = _told(error)
    if isinstance(error, SyntaxError) and not frames:  # else it is in what a line of theirs reads
        at_line = f"your line {error.lineno}" if error.lineno else "your file"
        line = (error.text or "").strip()
        return f"{at_line}{line and f', `{line}`,'} is not Python: {error.msg}"
    if isinstance(error, SystemExit):
        text = "exit or quit, which would end Python"
    elif isinstance(error, RecursionError):
        text = "a RecursionError: does your function call itself without end?"
    if not frames:
        return f"your function stops with {text}"
    at = frames[-1]
    line = (at.line or linecache.getline(at.filename, at.lineno or 0)).strip()
    return f"your line {at.lineno}{line and f', `{line}`,'} stops with {text}"


def _told(error: BaseException) -> str:
    """An exception's name and text, in one line that can be printed."""
    try:
        said = "".join(c if c.isprintable() else "?" for c in " ".join(str(error).split()))
    except Exception:  # an error of the learner's own may have none
        said = ""
    return f"{type(error).__name__}: {said[:300]}" if said else type(error).__name__


def numbers(part: Any, what: str) -> Any:
    """One array of an answer; lists of numbers are good enough."""
    if part is None:
        raise Trouble(f"{what} is None: is there a return at the end of your function?")
    if isinstance(part, Value):
        raise Trouble(f"{what} is a Value, a node of a graph: return numbers (its .data)")
    if callable(part):
        raise Trouble(f"{what} is a function: call it, and return what it gives")
    if inspect.isgenerator(part):
        raise Trouble(f"{what} is a generator: write return in place of yield")
    try:
        array = np.array(np.asarray(part))  # a copy: a function may use one buffer again and again
    except Exception as error:
        why = "are its rows of one length?" if isinstance(part, list | tuple) else _told(error)
        raise Trouble(f"{what} is {_a(part)} that makes no array of numbers: {why}") from None
    if array.dtype == np.float16:
        raise Trouble(f"{what} is float16, which has three digits: too few for a check")
    if array.dtype.kind not in "fiu":
        kind = KINDS.get(array.dtype.kind, f"of {array.dtype}") if array.ndim else ""
        kind = f"{_a(part)} {kind}" if kind else _a(part)
        raise Trouble(f"{what} is {kind}, wanted an array of real numbers")
    return array if array.dtype == np.float32 else array.astype(float)


def told_parts(result: Any, wrt: Sequence[str]) -> tuple[Any, ...]:
    """The arrays of an answer: one, or one for each of several inputs."""
    if len(wrt) == 1:
        if isinstance(result, tuple) and any(isinstance(part, np.ndarray) for part in result):
            one = "is there a comma behind it?" if len(result) == 1 else "which one is it?"
            raise Trouble(f"your function returns a tuple of {len(result)}, wanted an array: {one}")
        return (numbers(result, "what your function returns"),)
    wanted = f"({', '.join(f'd{name}' for name in wrt)})"
    if result is None:
        numbers(result, "what your function returns")
    if not isinstance(result, tuple | list):
        raise Trouble(f"your function returns {_a(result)}, wanted a tuple of {len(wrt)}: {wanted}")
    if len(result) != len(wrt):
        raise Trouble(f"your function returns {len(result)} of the {len(wrt)} wanted: {wanted}")
    return tuple(numbers(part, f"your d{name}") for part, name in zip(result, wrt))


def _number(x: Any) -> bool:
    return isinstance(x, int | float | np.number)


def _a(x: Any) -> str:
    name = "array" if isinstance(x, np.ndarray) else type(x).__name__
    return "None" if x is None else f"{'an' if name[0] in 'aeiouAEIO' else 'a'} {name}"
