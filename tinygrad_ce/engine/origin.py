"""Where a node was written: the learner's line, and the names that stand in it.

A node keeps the code object and the instruction of the learner's that made it, and no frame. What
stands there is read from the source when a view asks.
"""

from __future__ import annotations

import ast
import linecache
import os
import sys
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from types import CodeType, FrameType
from typing import Any, NamedTuple

import numpy as np

Origin = tuple[CodeType, int]  # and the offset of an instruction in it
Place = tuple[int | None, int | None, int | None, int | None]  # lines from, to; columns from, to

_PACKAGE = os.path.dirname(os.path.dirname(__file__))
_NUMPY = os.path.dirname(np.__file__)
# A learner's line calls these; what else there is calls learners' functions.
_CALLED = tuple(
    os.path.join(_PACKAGE, *part)
    for part in (("engine", ""), ("losses", ""), ("training", ""), ("programs", "recorder.py"))
)
_CALLING = tuple(
    os.path.join(_PACKAGE, *part, "")
    for part in (("programs",), ("checks",), ("views",), ("exercises", "framework"))
)


class Written(NamedTuple):
    """An expression of the learner's: what it is assigned to, what is called, and on what."""

    target: str = ""  # "" where it is no assignment's value
    function: str = ""  # "" of an operator
    operands: tuple[str, ...] = ()  # in order; "" where one is no name


def learners_frame() -> FrameType | None:
    """The innermost frame that is of a learner."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith((*_CALLED, *_CALLING, _NUMPY)):
        frame = frame.f_back
    return frame


class _Called(dict[str, bool]):
    """Whether a file's code is called on learners' lines; what calls learners' code is not."""

    def __missing__(self, filename: str) -> bool:
        self[filename] = filename.startswith((*_CALLED, _NUMPY))
        return self[filename]


_called = _Called()


def here() -> Origin | None:
    """The learner's instruction that is under way, three calls up or more."""
    frame: FrameType | None = sys._getframe(3)
    while frame is not None and _called[frame.f_code.co_filename]:
        frame = frame.f_back
    return frame and (frame.f_code, frame.f_lasti)


def line(origin: Origin) -> tuple[str, int, str]:
    """The file, the number and the text of the line; the text is "" where there is no source."""
    code = origin[0]
    number = _place(origin)[0] or code.co_firstlineno
    return code.co_filename, number, linecache.getline(code.co_filename, number).strip()


@lru_cache(maxsize=4096)
def written(origin: Origin) -> Written:
    """What stands at an instruction; nothing of it where there is no source."""
    filename = origin[0].co_filename
    source = "" if filename.startswith(_CALLING) else "".join(linecache.getlines(filename))
    return _expressions(source).get(_place(origin), Written())


def _place(origin: Origin) -> Place:
    code, at = origin
    return next(islice(code.co_positions(), at // 2, None))


@lru_cache(maxsize=64)
def _expressions(source: str) -> dict[Place, Written]:
    """Every operation and call in a source, by its place."""
    try:
        nodes: list[Any] = [*ast.walk(ast.parse(source))]
    except (SyntaxError, ValueError):
        return {}

    def place(node: Any) -> Place:
        return node.lineno, node.end_lineno, node.col_offset, node.end_col_offset

    targets = {place(value): name for node in nodes for value, name in _assignments(node)}
    calls = [(place(node), *call) for node in nodes if (call := _call(node))]
    return {at: Written(targets.get(at, ""), f, tuple(map(_name, xs))) for at, f, xs in calls}


def _assignments(node: Any) -> Iterator[tuple[Any, str]]:
    """What a statement assigns, and the names it assigns it to."""
    if isinstance(node, ast.AugAssign):
        yield node, _name(node.target)
    elif isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr) and node.value:
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            pairs = [(target, node.value)]
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs = [*zip(target.elts, node.value.elts)]
            for to, value in pairs:
                yield value, _name(to).removeprefix("self.")


def _call(node: Any) -> tuple[str, list[Any]] | None:
    """The function that an expression calls, "" if it is an operator, and its operands."""
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
            return name, [*([] if _name(owner) in ("np", "numpy") else [owner]), *node.args]
        case ast.Call():
            return _name(node.func) or "()", node.args  # of what has no name
    return None


def _name(node: Any) -> str:
    """An expression as a name: ``x``, ``layer.W``, ``params[0]``; else ""."""
    inner = node
    while isinstance(inner, ast.Attribute | ast.Subscript):
        if isinstance(inner, ast.Subscript) and not isinstance(inner.slice, ast.Constant):
            return ""
        inner = inner.value
    return ast.unparse(node) if isinstance(inner, ast.Name) else ""
