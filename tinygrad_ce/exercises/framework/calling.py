"""The learner's function called, and what goes wrong there told in a sentence, not a traceback."""

import inspect
import linecache
import os
import sysconfig
import warnings
from collections.abc import Callable, Mapping
from contextlib import nullcontext, redirect_stdout
from io import StringIO
from pathlib import Path
from traceback import extract_tb
from typing import Any

import numpy as np

from ...engine.text import _
from ...engine.value import Value
from .problem import Arrays, Problem

# Where code lies that is not a learner's: this package, Python's own, what is installed.
FOREIGN = (
    str(Path(__file__).parents[2]) + os.sep,
    *(sysconfig.get_path(name) + os.sep for name in ("stdlib", "purelib", "platlib")),
    "<frozen",
)
KINDS = {"b": "True and False", "c": "complex numbers", "U": "text", "S": "text"}  # by NumPy's code
NO_FUNCTION = (
    "check wants your function itself, got {got}: define {call} and pass its name, ex.check({name})"
)
CHANGES_INPUT = (
    "your function changes its input {name}: work on a copy ({name}.copy()), "
    "or write {name} = {name} - … in place of {name} -= …"
)


class Trouble(Exception):
    """There is nothing to compare: the function gave no numbers, for the reason in the text."""

    def __init__(self, template: str, **fields: object) -> None:
        super().__init__(_(template, **fields))


def require_function(function: Any, problem: Problem) -> None:
    """Say what is wrong with a function that cannot be called with the problem's inputs."""
    if not callable(function):
        numbers = isinstance(function, list | tuple | int | float | np.number) or np.ndim(function)
        got = "the number or array it returned" if numbers else describe(function)
        raise Trouble(NO_FUNCTION, got=got, call=problem.call, name=problem.function)
    if inspect.iscoroutinefunction(function):
        raise Trouble("your function is async, which returns no numbers: leave out the async")
    try:
        signature = inspect.signature(function)
    except (ValueError, TypeError):  # a function in C may tell none
        return
    wanted, names = [*problem.inputs], [*signature.parameters]
    try:
        signature.bind(*wanted)
        fits = names == wanted or sorted(names) != sorted(wanted)
    except TypeError:
        fits = False
    if not fits:
        bare = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
        taken = signature.replace(parameters=bare, return_annotation=signature.empty)
        text = "your function takes {taken}, but it will be called as {call}"
        raise Trouble(text, taken=taken, call=problem.call)


def call(function: Callable[..., Any], inputs: Mapping[str, Any], aloud: bool = False) -> Any:
    """What the function returns for these inputs, which it may not change; what it prints goes."""
    copies = {name: np.copy(x) if isinstance(x, np.ndarray) else x for name, x in inputs.items()}
    try:
        quiet = nullcontext() if aloud else redirect_stdout(StringIO())
        # What overflows is seen in the result; a function may have asked NumPy for the warning.
        with np.errstate(all="ignore"), warnings.catch_warnings(), quiet:
            warnings.simplefilter("ignore", RuntimeWarning)
            result = function(*copies.values())
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise Trouble("{text}", text=explain(error)) from None
    for name, x in inputs.items():
        if not np.array_equal(copies[name], x):
            raise Trouble(CHANGES_INPUT, name=name)
    return result


def explain(error: BaseException) -> str:
    """An exception in a sentence, with the learner's own line that it comes from."""
    frames = [f for f in extract_tb(error.__traceback__) if not f.filename.startswith(FOREIGN)]
    if frames:
        number, line = frames[-1].lineno, frames[-1].line
        line = line or linecache.getline(frames[-1].filename, number or 0)
        text = "{where} stops with {error}"
    elif isinstance(error, SyntaxError):  # else it is in what a line of theirs reads
        number, line, text = error.lineno, error.text, "{where} is not Python: {error}"
    else:
        return _("your function stops with {error}", error=_summary(error))
    where = _("your line {number}", number=number) if number else _("your file")
    where += f", `{line.strip()}`," if line and line.strip() else ""
    return _(text, where=where, error=_summary(error) if frames else getattr(error, "msg", ""))


def _summary(error: BaseException) -> str:
    """An exception's name and text, in one line that can be printed."""
    if isinstance(error, SystemExit):
        return _("exit or quit, which would end Python")
    if isinstance(error, RecursionError):
        return _("a RecursionError: does your function call itself without end?")
    try:
        text = "".join(c if c.isprintable() else "?" for c in " ".join(str(error).split()))
    except Exception:  # an error of the learner's own may have none
        text = ""
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__


def as_answer(result: Any, problem: Problem) -> Arrays:
    """The arrays of an answer: one, or one for each of several inputs."""
    count, wanted = len(problem.wrt), ", ".join(problem.parts)
    if count == 1 and isinstance(result, tuple) and any(isinstance(x, np.ndarray) for x in result):
        ask = "is there a comma behind it?" if len(result) == 1 else "which one is it?"
        text = "your function returns a tuple of {n}, wanted an array: {ask}"
        raise Trouble(text, n=len(result), ask=ask)
    if count == 1 or result is None:
        return (as_array(result, "what your function returns"),)
    if not isinstance(result, tuple | list):
        text = "your function returns {got}, wanted a tuple of {count}: ({wanted})"
        raise Trouble(text, got=describe(result), count=count, wanted=wanted)
    if len(result) != count:
        text = "your function returns {n} of the {count} wanted: ({wanted})"
        raise Trouble(text, n=len(result), count=count, wanted=wanted)
    return tuple(as_array(part, f"your {name}") for part, name in zip(result, problem.parts))


def as_array(part: Any, what: str) -> Any:
    """One array of an answer; lists of numbers are good enough."""
    if part is None:
        raise Trouble("{what} is None: is there a return at the end of your function?", what=what)
    if isinstance(part, Value):
        raise Trouble("{what} is a Value, a node of a graph: return numbers (its .data)", what=what)
    if callable(part):
        raise Trouble("{what} is a function: call it, and return what it gives", what=what)
    if inspect.isgenerator(part):
        raise Trouble("{what} is a generator: write return in place of yield", what=what)
    try:
        array = np.array(np.asarray(part))  # a copy: a function may use one buffer again and again
    except Exception as error:
        why = "are its rows of one length?" if isinstance(part, list | tuple) else _summary(error)
        text = "{what} is {got} that makes no array of numbers: {why}"
        raise Trouble(text, what=what, got=describe(part), why=why) from None
    if array.dtype == np.float16:
        raise Trouble("{what} is float16, which has three digits: too few for a check", what=what)
    if array.dtype.kind not in "fiu":
        entries = KINDS.get(array.dtype.kind, "Python objects")
        got = f"{describe(part)} of {entries}" if array.ndim else describe(part)
        raise Trouble("{what} is {got}, wanted an array of real numbers", what=what, got=got)
    return array if array.dtype == np.float32 else array.astype(float)


def describe(x: Any) -> str:
    """What something is: "an array", "a str"."""
    name = "array" if isinstance(x, np.ndarray) else type(x).__name__
    return "None" if x is None else f"{'an' if name[0] in 'aeiouAEIO' else 'a'} {name}"
