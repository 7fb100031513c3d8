"""A walk as JavaScript: what the page computes anew when its reader changes a number.

The function is recorded, and walked through with the arrays that record: all numbers of the walk
are lines of a program. Run on arrays of symbols, one an entry, which write down what is done to
them, that program is its own JavaScript; an operation that moves entries moves symbols.
"""

import ast
import math
import re
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from ..engine.text import _
from ..engine.value import Value
from ..programs import lines
from ..programs.lines import Line, elementwise, live, name_of, replace
from ..programs.recorder import Tape
from .formulas import CLOSE, MARK, OPEN

MOST = 20_000  # statements
SAME = (lines.constant, lines.astype, *lines.CHECKED)
SIGNS = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.USub: "-", ast.Not: "!",
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
    ast.BitAnd: "&", ast.BitOr: "|", ast.BitXor: "^", ast.Invert: "!", ast.And: "&&", ast.Or: "||",
}  # fmt: skip
MATH = {
    "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh",
    "exp", "expm1", "log", "log1p", "log2", "log10", "sqrt", "cbrt", "hypot", "atan2", "abs",
    "floor", "ceil", "trunc", "sign",
}  # fmt: skip
# 1 to any power is 1, and so is -1 to that of inf: not so in JavaScript.
POWER = "(a,b)=>a==1||(a==-1&&Math.abs(b)==Infinity)?1:Math.pow(a,b)"
CALLS = {
    "isnan": "Number.isNaN",
    "isfinite": "Number.isFinite",
    "isinf": "(a=>Math.abs(a)==Infinity)",
    "fabs": "Math.abs",
    "pow": "pow",
    "power": "pow",
    "logical_not": "(a=>a==0)",
    "logical_and": "((a,b)=>a!=0&&b!=0)",
    "logical_or": "((a,b)=>a!=0||b!=0)",
}


class StillError(Exception):
    """Why a walk cannot be computed anew in a page."""


@cache
def _parsed(template: str, n: int) -> ast.expr:
    return ast.parse(template.format(*[f"x{k}" for k in range(n)]), mode="eval").body


def javascript(node: ast.expr, args: dict[str, str]) -> str:
    """An expression of Python's on numbers, as the records have it, in JavaScript."""
    inner = partial(javascript, args=args)
    match node:
        case ast.Name(name):
            return args[name]
        case ast.Constant(value):
            return literal(value)
        case ast.BinOp(x, ast.Pow(), y):
            return f"pow({inner(x)},{inner(y)})"
        case ast.BinOp(x, sign, y) | ast.Compare(x, [sign], [y]) if type(sign) in SIGNS:
            return f"({inner(x)}{SIGNS[type(sign)]}{inner(y)})"
        case ast.BoolOp(sign, parts):
            return f"({SIGNS[type(sign)].join(map(inner, parts))})"
        case ast.UnaryOp(sign, x) if type(sign) in SIGNS:
            return f"({SIGNS[type(sign)]}{inner(x)})"
        case ast.IfExp(test, x, y):
            return f"({inner(test)}!=0?{inner(x)}:{inner(y)})"  # nan is true in NumPy
        case ast.Call(ast.Name("float" | "bool"), [x]):
            return inner(x)
        case ast.Call(f, parts):
            node = f
            name = ast.unparse(f).rpartition(".")[2].replace("arc", "a")
            if called := f"Math.{name}" if name in MATH else CALLS.get(name):
                return f"{called}({','.join(map(inner, parts))})"
    raise StillError(_("JavaScript has no {name}", name=ast.unparse(node)))


def literal(x: Any) -> str:
    """A number, or a truth value, in JavaScript; a negative one is in brackets."""
    if isinstance(x, bool | np.bool_):
        return str(bool(x)).lower()
    text = "NaN" if math.isnan(x) else repr(float(x)).replace("inf", "Infinity").removesuffix(".0")
    return f"({text})" if text[0] == "-" else text


class Symbol(NDArrayOperatorsMixin):
    """One number of the script; what NumPy is asked to do with it becomes a statement."""

    def __init__(self, name: str, script: "Script") -> None:
        self.name, self.script = name, script

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        return self.script.elementwise(ufunc, inputs)

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        return self.script.elementwise(function, args)

    def __bool__(self) -> bool:
        raise TypeError(_("what it does depends on the numbers"))

    __float__ = __int__ = __index__ = __bool__


class Script:
    """Statements of JavaScript, each of one number, none of them twice."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}  # an expression -> the variable that holds it

    def symbol(self, text: str) -> Symbol:
        """The number that an expression gives."""
        if len(self.names) > MOST:
            raise StillError(_("it has too many numbers"))
        return Symbol(self.names.setdefault(text, f"v{len(self.names)}"), self)

    def call(self, function: Any, *args: Any) -> Any:
        """One entry of an elementwise function."""
        args = tuple(map(_bare, args))
        if not any(x.__class__ is Symbol for x in args):
            return function(*args)
        template = lines.entry(function)
        if callable(template):
            return template(*args)
        if not template:
            raise StillError(_("JavaScript has no {name}", name=name_of(function)))
        names = {f"x{k}": _written(x) for k, x in enumerate(args)}
        return self.symbol(javascript(_parsed(template, len(args)), names))

    def elementwise(self, function: Any, args: Sequence[Any]) -> Any:
        """An elementwise function of arrays of symbols."""
        arrays = [np.asarray(x, object) for x in args]  # a symbol has __array_ufunc__
        return np.frompyfunc(partial(self.call, function), len(args), 1)(*arrays)

    def run(self, line: Line, args: Any, options: Any) -> Any:
        """What a line gives, of symbols or of numbers, as its dtype has it."""
        f, dtype = line.function, line.dtype
        whole = f is lines.astype and dtype.kind in "iu" and line.args[0].dtype.kind == "f"
        if whole or (dtype.kind == "f" and dtype != np.float64):
            raise StillError(_("JavaScript has no {dtype}", dtype=dtype))
        out = self.called(line, args, options)
        truth = dtype.kind == "b" and f in (lines.astype, np.add, np.matmul)
        return self.elementwise(np.not_equal, (out, 0.0)) if truth else out

    def called(self, line: Line, args: Any, options: Any) -> Any:
        """What a line's function gives, of symbols or of numbers."""
        f = line.function
        if f in SAME:
            return args[0]
        if elementwise(f):
            return self.elementwise(f, args)
        if f in (np.max, np.min):  # two by two
            pair = partial(self.call, np.maximum if f is np.max else np.minimum)
            f, options = np.frompyfunc(pair, 2, 1, identity=None).reduce, {"axis": None} | options
            args = np.asarray(args[0], object), *args[1:]
        try:
            return f(*args, **options)
        except StillError:
            raise
        except Exception as error:
            raise StillError(_("JavaScript has no {name}", name=name_of(line.function))) from error

    def text(self, results: Sequence[Any]) -> str:
        """A function of the numbers of all arguments that gives the results', each in one list."""
        made = "".join(f"const {name}={text};\n" for text, name in self.names.items())
        rows = [f"[{','.join(map(_written, np.ravel(np.asarray(x, object))))}]" for x in results]
        return f"(x)=>{{\nconst pow={POWER};\n{made}return [{','.join(rows)}];}}"


def _bare(x: Any) -> Any:
    """An entry of an array of objects, which may be an array of one."""
    return x.item() if x.__class__ is np.ndarray else x


def _written(x: Any) -> str:
    x = _bare(x)
    return x.name if x.__class__ is Symbol else literal(x)


def expanded(tape: Tape, outputs: Sequence[Line]) -> tuple[str, list[float]]:
    """A recorded program as `Script.text`, and the numbers that it starts from."""
    script, values, start = Script(), dict[Line, Any](), list[float]()
    for line, data in tape.arguments.items():
        symbols = [script.symbol(f"x[{len(start) + k}]") for k in range(np.size(data))]
        values[line] = np.array([*symbols, None], object)[:-1].reshape(np.shape(data))
        start += np.ravel(data).tolist()
    for line in live(tape.lines, outputs):
        if line not in values:
            args, options = (replace(x, values.__getitem__) for x in (line.args, line.options))
            out = script.run(line, args, options)
            values[line] = np.asarray(out, object) if out.__class__ is Symbol else out
    return script.text([values[line] for line in outputs]), start


def fields(step: Any) -> tuple[Any, ...]:
    """A step's data, in the order of the page's table."""
    return step.upstream, step.local, step.contribution, step.before, step.after


class Live:
    """A walk's numbers as a function of its arguments, in JavaScript.

    Attributes
    ----------
    walks : the steps of each walk, of data that are recorded, with `MARK`s for numbers in rules
    derive : gives the derivation of the same function
    source : the function, of the numbers of all arguments, which gives those of all slots
    payload : what the page's script reads besides; slots of None are for data that never change
    """

    def __init__(
        self, tape: Tape, names: Sequence[str], walkers: Sequence[Any], derive: Callable[[], Any]
    ) -> None:
        self.walks = [walker.records for walker in walkers]
        self.lines, self.derive = tape.lines, derive
        steps = [step for walk in self.walks for step in walk]
        marks = [tape.lines[int(m[2])] for step in steps for m in MARK.finditer(step.words)]
        data = [x.line for step in steps for x in fields(step) if hasattr(x, "line")]
        shown = dict.fromkeys([*tape.arguments, *marks, *data])
        self.slots: dict[Any, int] = {line: k for k, line in enumerate(shown)}
        self.source, start = expanded(tape, [*self.slots])
        places = {node.name: k for k, node in enumerate(walkers[0].order) if node.op is None}
        last = {step.target_index: step.after for step in self.walks[0]}
        loss = next(step.after for step in reversed(self.walks[0]) if step.phase == "forward")
        self.payload: dict[str, Any] = {
            "arguments": [
                {
                    "name": name,
                    "shape": line.shape,
                    "slope": self.slope(last.get(places.get(name, -1))),
                }
                for name, line in zip(names, tape.arguments)
            ],
            "start": start,
            "loss": self.slot(loss) if np.size(loss) == 1 else None,
            "shapes": [line.shape for line in self.slots],
            "constants": [self.constants(walker.order) for walker in walkers],
            "fields": [[[*map(self.slot, fields(s))] for s in walk] for walk in self.walks],
        }

    def slot(self, x: Any) -> int | None:
        """Where the numbers of data are in what the function gives; None of what never changes."""
        return self.slots.get(getattr(x, "line", None))

    def slope(self, x: Any) -> int | list[float] | None:
        """The slot of a gradient, or its numbers where they never change."""
        return self.slot(x) if x is None or hasattr(x, "line") else np.ravel(x).tolist()

    def constants(self, order: Sequence[Value]) -> dict[str, int | None]:
        """The slots of constants, by the name that each has in the picture."""
        shown = {f"const-{i}-{k}": x for i, v in enumerate(order) for k, x in enumerate(v.parents)}
        return {name: self.slot(x) for name, x in shown.items() if self.slot(x) is not None}

    def placed(self, html: str) -> str:
        """HTML in which each `MARK` is the number, and can be found to be changed."""

        def put(match: re.Match[str]) -> str:
            line, tag = self.lines[int(match[2])], "mn" if match[0][0] == "<" else "span"
            text, factor = match[3].replace("\xa0", " "), ' data-b=""' * bool(match[1])
            text = f"({text})" if factor and text[0] == "−" else text
            return f'<{tag} data-n="{self.slots[line]}"{factor}>{text}</{tag}>'

        return re.sub(rf"(?:<mtext>)?{OPEN}(±?)(\d+):([^{CLOSE}]*){CLOSE}(?:</mtext>)?", put, html)
