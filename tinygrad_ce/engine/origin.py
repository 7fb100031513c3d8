"""Where a node was written: the learner's line, and the names that stand in it.

A node keeps the code object and the instruction of the learner's that made it, and no frame. What
stands there is read from the source when a view asks.
"""

from __future__ import annotations

import os
import sys
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
    import linecache

    code, _at = origin
    number = _place(origin)[0] or code.co_firstlineno
    return code.co_filename, number, linecache.getline(code.co_filename, number).strip()


@lru_cache(maxsize=4096)
def written(origin: Origin) -> Written:
    """What stands at an instruction; nothing of it where there is no source."""
    import linecache

    filename = origin[0].co_filename
    source = "" if filename.startswith(_CALLING) else "".join(linecache.getlines(filename))
    return _expressions(source).get(_place(origin), Written())


def _place(origin: Origin) -> Place:
    code, at = origin
    return next(islice(code.co_positions(), at // 2, None))


@lru_cache(maxsize=64)
def _expressions(source: str) -> dict[Place, Written]:
    """Every expression of a source, by its place."""
    import ast

    def place(node: Any) -> Place:
        return node.lineno, node.end_lineno, node.col_offset, node.end_col_offset

    def text(node: ast.AST) -> str:
        """The node as a name: ``x``, ``layer.W``, ``params[0]``; else ""."""
        inner = node
        while isinstance(inner, ast.Attribute) or (
            isinstance(inner, ast.Subscript) and isinstance(inner.slice, ast.Constant)
        ):
            inner = inner.value
        return ast.unparse(node) if isinstance(inner, ast.Name) else ""

    targets: dict[Place, str] = {}

    def assign(target: ast.AST, value: ast.AST) -> None:
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            for pair in zip(target.elts, value.elts):
                assign(*pair)
        elif isinstance(target, ast.Name | ast.Attribute):
            targets[place(value)] = text(target).removeprefix("self.")

    found: dict[Place, Written] = {}
    try:
        nodes = [*ast.walk(ast.parse(source))]
    except (SyntaxError, ValueError):
        return found
    for node in nodes:
        match node:
            case ast.Assign():
                for target in node.targets:
                    assign(target, node.value)
            case (
                ast.AnnAssign(target=target, value=ast.expr() as value)
                | ast.NamedExpr(target=target, value=value)
            ):
                assign(target, value)
            case ast.AugAssign():
                assign(node.target, node)
    for node in nodes:
        function, operands = "", list[ast.AST]()
        match node:
            case ast.BinOp() | ast.AugAssign():
                operands = list(ast.iter_child_nodes(node))[::2]
            case ast.UnaryOp() | ast.Subscript():
                operands = [node.operand if isinstance(node, ast.UnaryOp) else node.value]
            case ast.Call(func=ast.Attribute(value=owner, attr=function)):
                method = not (isinstance(owner, ast.Name) and owner.id in ("np", "numpy"))
                operands = [*([owner] if method else []), *node.args]
            case ast.Call(func=ast.Name(id=function)):
                operands = [*node.args]
            case ast.Attribute(value=owner, attr=function):
                operands = [owner]
            case ast.expr():
                pass
            case _:
                continue
        found[place(node)] = Written(
            targets.get(place(node), ""), function, tuple(map(text, operands))
        )
    return found
