"""The templates of all text for users, found in the code: ``python tests/messages.py`` updates PO.

What reaches ``_``, ``require`` or ``Sentence`` is followed back through the assignments, conditions
and tables of a function and its module; what an exercise says is read from the exercise, and what
the page says from its file. New templates are written into each language's file with an empty
translation, those that are gone are taken out, and the order is that of the code.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import tinygrad_ce
from tinygrad_ce import exercises
from tinygrad_ce.engine import language
from tinygrad_ce.engine.language import Sentence
from tinygrad_ce.engine.operation import TABLE
from tinygrad_ce.exercises.framework import mistakes, properties
from tinygrad_ce.losses import activations, losses  # noqa: F401
from tinygrad_ce.views.picture import FORMS

PACKAGE = Path(tinygrad_ce.__file__).parent
TAKES = {
    "_": 0,
    "Sentence": 0,
    "_way": 0,
    "ways": 0,
    "require": 1,
    "refuse": 2,
    "NoLoss": 0,
    "replaced": 0,
}  # where a template stands among the arguments
# What is refused, and what to do: parts that `lost` and a tape's `refuse` make a sentence of.
SAYS = {"lost", "as_called", "refuse", "_refusal", "_conversion", "_absent"}
GIVEN = "given"  # an argument of a function in TAKES: its callers' templates
PAGE = PACKAGE / "views/page.html"

Env = dict[str, Any]  # what a name may be: a set of strings, or (keys, values) of a table


class Scan:
    """Templates of a module, each with its line; and what could not be followed."""

    def __init__(self, path: Path) -> None:
        self.name = path.relative_to(PACKAGE).as_posix()
        self.found: dict[str, int] = {}
        self.unknown: list[str] = []
        self.run(ast.parse(path.read_text(encoding="utf-8")).body, {})

    def run(self, body: Iterable[ast.stmt], env: Env) -> Env:
        """Follow statements; what a name may be after them."""
        for statement in body:
            env = self.step(statement, env)
        return env

    def step(self, s: ast.stmt, env: Env) -> Env:
        if isinstance(s, ast.ClassDef):
            self.run(s.body, {**env, "class": s.name})
            return env
        if isinstance(s, ast.FunctionDef):
            known = {s.name, env.get("class")} & {*TAKES, *SAYS}
            arguments = {a.arg: GIVEN for a in (*s.args.posonlyargs, *s.args.args) if known}
            self.run(s.body, {**env, **arguments, "class": None})
            return env
        for part in ast.iter_child_nodes(s):
            if isinstance(part, ast.expr):
                env = self.look(part, env)
        if isinstance(s, ast.With):
            for item in s.items:
                env = self.look(item.context_expr, env)
        match s:
            case ast.Assign(targets=[target], value=value):
                env = bind(target, evaluate(value, env), env)
            case ast.AnnAssign(target=ast.Name(name), value=value) if value is not None:
                env = {**env, name: evaluate(value, env)}
            case ast.AugAssign(target=ast.Name(name), op=ast.Add(), value=value):
                whole = ast.BinOp(ast.Name(name), ast.Add(), value)
                env = {**env, name: evaluate(whole, env)}
            case ast.AugAssign(target=ast.Name(name), op=ast.BitOr(), value=value):
                env = join(env, {name: evaluate(value, env)})
            case ast.For(target=target, iter=values):
                env = bind(target, each(values, env), env)
        bodies = [getattr(s, name, []) for name in ("body", "orelse", "finalbody")]
        bodies += [handler.body for handler in getattr(s, "handlers", [])]
        if isinstance(s, ast.If):
            return join(*(self.run(body, env) for body in bodies[:2]))
        for inner in filter(None, bodies):
            env = (
                join(self.run(inner, env), env)
                if not isinstance(s, ast.With)
                else self.run(inner, env)
            )
        return env

    def look(self, node: ast.expr, env: Env) -> Env:
        """Find the calls within an expression."""
        generators = getattr(node, "generators", [])
        for one in generators:
            env = bind(one.target, each(one.iter, env), env)
        if isinstance(node, ast.NamedExpr):
            env = bind(node.target, evaluate(node.value, env), env)
        for part in ast.walk(node):
            if part is not node and getattr(part, "generators", None):
                self.look(part, env)  # type: ignore[arg-type]
            elif isinstance(part, ast.Call):
                self.call(part, env)
        return env

    def note_words(self, node: ast.Call, env: Env) -> None:
        """Take the arguments that are words, not names: what sentences are made of."""
        for texts in (evaluate(arg, env) for arg in node.args):
            for text in sorted(texts) if isinstance(texts, frozenset) else ():
                if " " in text and ("{" not in text or node.keywords):
                    self.found.setdefault(text, node.lineno)

    def call(self, node: ast.Call, env: Env) -> None:
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        if name in SAYS:
            self.note_words(node, env)
        place = TAKES.get(name)
        if place is None or len(node.args) <= place:
            return
        given = node.args[place]
        texts = evaluate(given, env)
        if texts == GIVEN or (texts is None and self.name == "engine/language.py"):
            return
        if not isinstance(texts, set | frozenset) or not texts:
            self.unknown.append(f"{self.name}:{node.lineno}: {ast.unparse(node)[:80]}")
            return
        for text in sorted(texts):
            self.found.setdefault(text, node.lineno)


def join(*envs: Env) -> Env:
    """What names may be after one of several ways."""
    joined: Env = {}
    for env in envs:
        for name, value in env.items():
            old = joined.get(name, value)
            joined[name] = value
            if isinstance(old, frozenset) and isinstance(value, frozenset):
                joined[name] = old | value
            elif isinstance(old, dict) and isinstance(value, dict):
                joined[name] = {part: [*old[part], *value[part]] for part in old}
    return joined


def bind(target: ast.expr, value: Any, env: Env) -> Env:
    if isinstance(target, ast.Name):
        return {**env, target.id: value}
    if isinstance(target, ast.Tuple | ast.List):
        for k, part in enumerate(target.elts):
            inner = value[k] if isinstance(value, list) and k < len(value) else None
            env = bind(part, inner, env)
    return env


def evaluate(node: ast.expr, env: Env) -> Any:
    """The strings that an expression may be; of a tuple a list of such, of a table a dict."""
    match node:
        case ast.Constant(str(text)):
            return frozenset({text})
        case ast.Name(name):
            return env.get(name)
        case ast.IfExp(body=a, orelse=b):
            return union([evaluate(a, env), evaluate(b, env)])
        case ast.BinOp(a, ast.Add(), b):
            texts = evaluate(a, env), evaluate(b, env)
            if all(isinstance(x, frozenset) for x in texts):
                return frozenset(x + y for x, y in product(*texts))
        case ast.Tuple(parts) | ast.List(parts):
            return [evaluate(part, env) for part in parts]
        case ast.Dict(keys, values):
            return {
                "keys": [evaluate(key, env) for key in keys if key],
                "values": [evaluate(value, env) for value in values],
            }
        case ast.Subscript(ast.Name(name)) if isinstance(env.get(name), dict):
            return union(env[name]["values"])
        case ast.Call(ast.Attribute(ast.Name(name), "get" | "pop")) if isinstance(
            env.get(name), dict
        ):
            return union(env[name]["values"])
        case ast.BoolOp(values=values):
            return union([evaluate(value, env) for value in values])
        case ast.NamedExpr(value=value):
            return evaluate(value, env)
    return None


def each(node: ast.expr, env: Env) -> Any:
    """What an entry of something may be: what a loop over it binds."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        table = evaluate(node.func.value, env)
        if isinstance(table, dict):
            keys, values = union(table["keys"]), union(table["values"])
            return {"items": [keys, values], "keys": keys, "values": values}.get(node.func.attr)
    if isinstance(node, ast.IfExp):
        both = each(node.body, env), each(node.orelse, env)
        return union(x for x in both if x is not None)
    several = evaluate(node, env)
    if isinstance(several, dict):
        return union(several["keys"])
    if isinstance(several, list):
        if several and all(isinstance(x, list) for x in several):
            return [union(column) for column in zip(*several)]
        return union(several)
    return None


def union(values: Iterable[Any]) -> Any:
    values = [*values]
    if values and all(isinstance(x, list) for x in values):
        return [union(column) for column in zip(*values)]
    texts = [x for x in values if isinstance(x, frozenset)]
    return frozenset().union(*texts) if texts else None


@cache
def scans() -> list[Scan]:
    return [Scan(path) for path in sorted(PACKAGE.rglob("*.py"))]


def of_exercises() -> Iterator[tuple[str, str]]:
    """What the exercises say, and where; formulas that hold no words are no text."""
    for name in exercises.names():
        ex, place = exercises.load(name), f"exercises/tasks/{name}.py"
        own = [ex.title, ex.task, *ex.hints, *ex.mistakes, *properties.properties(ex)]
        for text in (*own, *(part for part in ex.parts if " " in part)):
            yield (text.template if isinstance(text, Sentence) else text), place
        for text in (ex.formula, ex.result):
            if re.search("[a-z]+ [a-z]+ [a-z]+", text):
                yield text, place
    for table in (
        mistakes.FACTORS,
        mistakes.SHAPES,
        mistakes.MATRICES,
        *activations.MISTAKEN.values(),
    ):
        yield from ((text, "exercises/framework/mistakes.py") for text in table)
    yield from ((text, "exercises/framework/properties.py") for text in properties.COMMON)
    yield properties.STABLE, "exercises/framework/properties.py"


def of_others() -> Iterator[tuple[str, str]]:
    """What pictures call arguments and the two forms of a loss, and NumPy what goes wrong."""
    roles = {role: None for op in TABLE.values() for role in op.roles if len(role) > 1}
    yield from ((text, "engine/ops.py") for text in roles)
    yield from ((text, "views/picture.py") for text in FORMS)
    for text in ("overflow", "divide by zero", "invalid value"):  # NumPy's, to `watching`
        yield text, "checks/diagnosis.py"


def of_the_page() -> Iterator[tuple[str, str]]:
    """What the page says: in its elements, and in its script."""
    texts = re.findall(r'\b_\(("(?:[^"\\]|\\.)*")', PAGE.read_text(encoding="utf-8"))
    yield from ((json.loads(text), "views/page.html") for text in texts)


@cache
def templates() -> dict[str, str]:
    """Every template, and the file that it stands in first."""
    found = {text: scan.name for scan in scans() for text in scan.found if text}
    for text, place in (*of_the_page(), *of_exercises(), *of_others()):
        found.setdefault(text, place)
    return found


def quoted(text: str) -> str:
    """A string of a PO file, a line of it for each line of the text."""
    lines = text.splitlines(keepends=True) or [""]
    lines = lines if len(lines) == 1 else ["", *lines]
    return "\n".join(json.dumps(line, ensure_ascii=False) for line in lines)


def file_of(code: str) -> Path:
    return Path(language.__file__).with_name(f"{code}.po")


def rendered(code: str) -> str:
    """A language's file as it should be: the templates of the code, with the translations known."""
    head = file_of(code).read_text(encoding="utf-8").partition("\n\n")[0]
    known = language.catalogue(code)
    entries = [
        f"#: {place}\nmsgid {quoted(text)}\nmsgstr {quoted(known.get(text, ''))}\n"
        for text, place in templates().items()
    ]
    return "\n".join([head + "\n", *entries])


def write(code: str) -> None:
    """Bring a language's file up to date."""
    texts, known = templates(), language.catalogue(code)
    file_of(code).write_text(rendered(code), encoding="utf-8")
    print(f"{code}: {len(texts)} templates, {sum(text in known for text in texts)} translated")


CODES = sorted(path.stem for path in Path(language.__file__).parent.glob("*.po"))

if __name__ == "__main__":
    for code in CODES:
        write(code)
