"""Where a node was written: the learner's line, and the names that stand in it.

A node keeps the code object and the instruction of the learner's that made it, and no frame. What
stands there is read from the source when a view asks.
"""

from __future__ import annotations

import ast
import linecache
import os
import re
import sys
import warnings
from collections.abc import Collection, Iterator
from functools import cache, lru_cache
from itertools import takewhile
from types import CodeType, FrameType
from typing import Any, NamedTuple

import numpy as np

from .operation import SPELLINGS, Primitive

Origin = tuple[CodeType, int]  # and the offset of an instruction in it
Place = tuple[int | None, int | None, int | None, int | None]  # lines from, to; columns from, to

_PACKAGE = os.path.dirname(os.path.dirname(__file__))
_SITE = os.path.dirname(os.path.dirname(np.__file__))
_LIBRARIES = ("numpy", "scipy", "pandas", "sklearn", "matplotlib")
_OTHERS = tuple(os.path.join(_SITE, name, "") for name in _LIBRARIES)
_PYTHONS = os.path.join(os.path.dirname(os.__file__), "")
# A learner's line calls these; what else there is calls learners' functions.
_CALLED = tuple(
    os.path.join(_PACKAGE, *part)
    for part in (("engine", ""), ("losses", ""), ("training", ""), ("programs", "recorder.py"))
)
_CALLING = (
    "<program>",  # what `program` has compiled
    *(os.path.join(_PACKAGE, part, "") for part in ("programs", "checks", "views")),
    os.path.join(_PACKAGE, "exercises", "framework", ""),
)

# What is assigned is not what these ask for, as list(map(np.exp, zs)), or not each of it.
GROUPS = ("list", "tuple", "set", "dict", "sorted", "max", "min")


class Written(NamedTuple):
    """An expression of the learner's: what it is assigned to, what is called, and on what."""

    target: str = ""  # "" where it is no assignment's value
    function: str = ""  # "" of an operator
    operands: tuple[str, ...] = ()  # in order; "" where one is no name
    callee: str = ""  # the function as it stands there: ``np.exp``
    owned: bool = False  # the first of them owns the function: an array, or a module

    def is_call(self, names: Collection[str]) -> bool:
        """Whether it is a call of what is called so, or an operator; else that is a part of it."""
        return self.function in ("", *names)

    def names(self, called: Collection[str], n: int) -> tuple[str, ...]:
        """What stands for each of n arguments of that call; of a module's there is one more."""
        one_more = self.owned and len(self.operands) != n
        return self.operands[:n] if self.is_call(called) and not one_more else ()


@cache
def called(op: Primitive) -> tuple[str, ...]:
    """What an operation is called in a line; nothing where its arguments are one list there."""
    several = op.function in SPELLINGS and op.arity is None  # np.stack(xs)
    return () if several else (op.name, getattr(op.function, "__name__", ""))


def learners_frame() -> FrameType | None:
    """The innermost frame that is of a learner."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and not is_learners(frame.f_code.co_filename):
        frame = frame.f_back
    return frame


@cache
def is_learners(filename: str) -> bool:
    """Whether a file is neither of this package nor of a library."""
    return not filename.startswith(_CALLING) and not _is_called(filename)


@cache
def _is_called(filename: str) -> bool:
    """Whether a file's code is called on learners' lines; what calls learners' code is not."""
    return filename.startswith(_CALLED) or _is_library(filename)


@cache
def _is_library(filename: str) -> bool:
    """Whether a file is of Python itself, of NumPy or of what rests on it."""
    pythons = filename.startswith(_PYTHONS) and "-packages" not in filename
    return pythons or filename.startswith(_OTHERS)


def here(depth: int) -> Origin | None:
    """The learner's instruction that is under way, so many calls up or more."""
    try:
        frame: Any = sys._getframe(depth)
        code = frame.f_code
        while _is_called(code.co_filename):
            frame = frame.f_back
            code = frame.f_code
        return code, frame.f_lasti
    except (ValueError, AttributeError):  # a thread that began with a function of NumPy's
        return None


def library_call() -> str:
    """The function of another library that the learner's line calls: ``np.full``; else "".

    One that is not written in Python is not seen.
    """
    frame, called = sys._getframe(1), ""
    while frame.f_back and not is_learners(frame.f_code.co_filename):
        if _is_library(frame.f_code.co_filename):
            home = re.sub(r"\.lib\b|\._.*", "", frame.f_globals.get("__name__", ""))
            name = frame.f_code.co_qualname
            known = hasattr(sys.modules.get(home), name)  # a method is not
            called = re.sub("^numpy", "np", f"{home}.{name}") if known else _callee()
        frame = frame.f_back
    return called


def callee() -> str:
    """What the learner's line calls, by its public name or as it stands there; "" if nothing."""
    return library_call() or _callee()


def _callee() -> str:
    origin = here(2)
    return written(origin).callee if origin else ""


def line(origin: Origin) -> tuple[str, int, str]:
    """The file, the number and the text of the line; the text is "" where there is no source."""
    code, at = origin
    lines, places, _written = _look(code, id(code))
    number = places[at // 2][0] or code.co_firstlineno
    return code.co_filename, number, "".join(lines[number - 1 : number]).strip()


def written(origin: Origin) -> Written:
    """What stands at an instruction; nothing of it where there is no source."""
    code, at = origin
    return _look(code, id(code))[2][at // 2]


def function_of(code: CodeType) -> tuple[Any, list[Place]]:
    """The syntax of the function that code is of, None without a source; its instructions' places.

    Code of a comprehension is of the function in which that stands.
    """
    lines, places, _written = _look(code, id(code))
    wide: list[Any] = [at for at in places if None not in at and at[2] != at[3]]
    around: Any = None
    for node in _read("".join(lines))[2]:
        if isinstance(node, ast.FunctionDef | ast.Lambda):
            first, end = (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)
            if all(first <= (at[0], at[2]) and (at[1], at[3]) <= end for at in wide):
                around = node  # the innermost comes last
    return around, places


@lru_cache(maxsize=1024)
def _look(code: CodeType, _identity: int) -> tuple[list[str], list[Place], list[Written]]:
    """The lines of a code object's file; the place of each instruction, and what is written there.

    Equal code may be from another file, or from before an edit: its ``id`` tells them apart.
    """
    lines, places = _source(code), [*code.co_positions()]
    expressions, nothing = _read("".join(lines))[0], Written()
    return lines, places, [expressions.get(place, nothing) for place in places]


def _source(code: CodeType) -> list[str]:
    """The lines of the file that a code object is from; none if they have been edited since."""
    filename = code.co_filename
    if filename.startswith(_CALLING):
        return []
    linecache.checkcache(filename)
    lines = linecache.getlines(filename)
    rewritten = any(name.startswith("@py") for name in code.co_names)  # asserts, by pytest
    edited = os.path.isfile(filename) and code not in _read("".join(lines))[1]
    return [] if edited and not rewritten else lines


@lru_cache(maxsize=64)
def _read(text: str) -> tuple[dict[Place, Written], set[CodeType], list[Any]]:
    """Every operation and call in a source, by its place; its code objects, and its syntax."""
    try:
        with warnings.catch_warnings(action="ignore"):  # which its own import gave
            codes = [compile(text, "", "exec", dont_inherit=True)]
            nodes: list[Any] = [*ast.walk(ast.parse(text))]
    except (SyntaxError, ValueError, RecursionError):
        return {}, set(), []
    for code in codes:
        codes += [x for x in code.co_consts if isinstance(x, CodeType)]
    targets = {place(value): name for node in nodes for value, name in _assignments(node)}
    written = dict[Place, Written]()
    for node in nodes:
        if call := _call(node):
            at, callee = place(node), _name(getattr(node, "func", None))
            function, operands, *owned = call
            names = tuple(map(_name, operands))
            written[at] = Written(targets.get(at, ""), function, names, callee, *owned)
    return written, {*codes}, nodes


def place(node: Any) -> Place:
    """Where the instruction of an expression says that it stands."""
    first, column = node.lineno, node.col_offset
    attribute = node.func if isinstance(node, ast.Call) else node
    if isinstance(attribute, ast.Attribute) and attribute.end_lineno != first:  # .sum() below
        first, end = attribute.end_lineno, attribute.end_col_offset
        column = (end or 0) - len(attribute.attr)
    return first, node.end_lineno, column, node.end_col_offset


def _assignments(node: Any) -> Iterator[tuple[Any, str]]:
    """What a statement assigns, and the names it assigns it to."""
    if isinstance(node, ast.AugAssign):
        yield node, _name(node.target)
    elif isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr) and node.value:
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            pairs = [(target, node.value)]
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs = [*zip(*map(_before_star, (target.elts, node.value.elts)))]
            for to, value in pairs:
                if not isinstance(value, ast.Call) or _name(value.func) not in GROUPS:
                    yield value, _name(to).removeprefix("self.")


def _call(node: Any) -> tuple[Any, ...] | None:
    """What is called, as `Written` has it; operands as expressions."""
    match node:
        case ast.BinOp():
            return "", [node.left, node.right]
        case ast.AugAssign():
            return "", [node.target, node.value]
        case ast.UnaryOp():
            return "", [node.operand]
        case ast.Subscript():
            return "", [node.value]
        case ast.Attribute():
            return "transpose" if node.attr == "T" else node.attr, [node.value]
        case ast.Call(func=ast.Attribute(value=owner, attr=name)):
            if _name(owner).partition(".")[0] in ("np", "numpy"):
                return name, _before_star(node.args)
            if not any(isinstance(x, ast.Name) for arg in node.args for x in ast.walk(arg)):
                return name, [owner]  # x.sum(0)
            return name, [owner, *node.args], True
        case ast.Call():
            return _name(node.func) or "()", _before_star(node.args)  # "()" of what has no name
    return None


def _before_star(nodes: list[Any]) -> list[Any]:
    """Expressions whose place is known, as behind ``*several`` it is not."""
    return [*takewhile(lambda node: not isinstance(node, ast.Starred), nodes)]


def _name(node: Any) -> str:
    """An expression as a name: ``x``, ``layer.W``, ``params[0]``; else ""."""
    inner = node
    while isinstance(inner, ast.Attribute | ast.Subscript):
        if isinstance(inner, ast.Subscript) and not isinstance(inner.slice, ast.Constant):
            return ""
        inner = inner.value
    return ast.unparse(node) if isinstance(inner, ast.Name) else ""
