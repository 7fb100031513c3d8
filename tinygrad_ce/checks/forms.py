"""What loses numbers as one writes it, and the form that keeps them; found in a graph."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from itertools import permutations
from typing import Any

import numpy as np

from ..engine import ops
from ..engine.backward import topological
from ..engine.data import NONE
from ..engine.operation import TABLE
from ..engine.text import _
from ..engine.value import Value, detach
from ..losses.activations import log_softmax, logsumexp, sigmoid

SUMS = (ops.SUM, TABLE[np.mean], TABLE[np.cumsum])
# As one writes them, and what is finite in their place; sums may have an axis.
FORMS = (
    ("np.log(np.exp(x))", "x"),
    ("np.log((a * np.exp(x)).sum())", "logsumexp(x + np.log(a))"),
    ("np.log((np.exp(x) / a).sum())", "logsumexp(x - np.log(a))"),
    ("np.log((np.exp(x) / a).mean())", "logsumexp(x - np.log(a)) - np.log(n)"),
    ("np.log((np.exp(x) / a * b).sum())", "logsumexp(x - np.log(a) + np.log(b))"),
    ("np.log((b * np.exp(x) / a).sum())", "logsumexp(x - np.log(a) + np.log(b))"),
    ("np.log(np.exp(x).sum())", "logsumexp(x)"),
    ("np.log(np.exp(x).mean())", "logsumexp(x) - np.log(n)"),
    ("np.log(np.exp(x) / np.exp(x).sum())", "log_softmax(x)"),
    ("np.log(1 + np.exp(x))", "np.logaddexp(0.0, x)"),
    ("np.log1p(np.exp(x))", "np.logaddexp(0.0, x)"),
    ("np.log(np.exp(x) - 1)", "x + np.log(-np.expm1(-x))"),
    ("np.log(1 / (1 + np.exp(-x)))", "-np.logaddexp(0.0, -x)"),
    ("np.log(1 - 1 / (1 + np.exp(-x)))", "-np.logaddexp(0.0, x)"),
    ("np.log(sigmoid(x))", "-np.logaddexp(0.0, -x)"),
    ("np.log(1 - sigmoid(x))", "-np.logaddexp(0.0, x)"),
    ("np.log(sigmoid(x) / (1 - sigmoid(x)))", "x"),
    ("np.arctanh(np.tanh(x))", "x"),
    ("np.log(np.cosh(x))", "np.logaddexp(x, -x) - np.log(2)"),
    ("np.log(np.prod(x))", "np.log(x).sum()"),
    ("np.log(np.cumsum(np.exp(x), axis=0))", "np.logaddexp.accumulate(x, axis)"),
    ("np.log(np.linalg.det(x))", "np.linalg.slogdet(x)[1]"),
    ("x / (1 + np.exp(-x))", "x * sigmoid(x)"),
    ("1 / (1 + np.exp(-x))", "sigmoid(x)"),
    ("np.exp(x) / (1 + np.exp(x))", "sigmoid(x)"),
    ("(np.exp(x) - 1) / (np.exp(x) + 1)", "np.tanh(x / 2)"),
    ("(1 - np.exp(-x)) / (1 + np.exp(-x))", "np.tanh(x / 2)"),
    ("(np.exp(x) - np.exp(-x)) / (np.exp(x) + np.exp(-x))", "np.tanh(x)"),
    ("np.sqrt(x**2)", "np.abs(x)"),
    ("np.sqrt(x * x)", "np.abs(x)"),
    ("x ** (1 / 3)", "np.cbrt(x)"),
)
# In which digits cancel, and what keeps them.
EXACT = (
    ("np.exp(x) - 1", "np.expm1(x)"),
    ("1 - np.exp(x)", "-np.expm1(x)"),
    ("np.log(1 + x)", "np.log1p(x)"),
    ("np.log(1 - x)", "np.log1p(-x)"),
)


def spelled(texts: Sequence[str], known: dict[str, Any], called: Callable[[Any], str]) -> list[str]:
    """Forms of the table, with what each letter is called; and what it is, where that is long."""
    names = {letter: called(x) for letter, x in known.items() if letter != "options"}
    free = [c for c in "xyzuvw" if not re.search(rf"\b{c}\b", "; ".join(names.values()))]
    short = {c: c if c in free else free[i] for i, c in enumerate(names)}
    short |= {c: name for c, name in names.items() if name.replace(".", "_").isidentifier()}
    texts = [re.sub(", axis(=0)?", "", text) for text in texts]
    texts = [re.sub(r"\b[abx]\b", lambda c: short.get(c[0], c[0]), text) for text in texts]
    long = [_("{x} is {text}", x=short[c], text=names[c]) for c in names if short[c] != names[c]]
    return [*texts, _(", where {what}", what=_(" and ").join(long)) if long else ""]


def written(text: str, x: Any, options: dict[str, Any] = NONE, **others: Any) -> Any:
    """Code of this x and others, its sums with these options."""
    n = np.size(x) / np.size(np.max(detach(x), **options))
    over = partial(log_softmax, axis=options.get("axis", -1))
    known = {"logsumexp": partial(logsumexp, **options), "log_softmax": over, "sigmoid": sigmoid}
    known["axis"] = options.get("axis", 0)
    return eval(text, {"np": np, "x": x, "n": n, **known, **others})


@cache
def _graph(text: str) -> tuple[Any, frozenset[Any]]:
    """The graph of a form, its leaves called by their letters; and its operations."""
    letters = {name: Value(np.eye(2), name) for name in re.findall(r"\b[a-z]\b", text)}
    form = eval(text, {"np": np, "sigmoid": sigmoid, **letters})
    return form, frozenset(node.op for node in topological(form) if node.op)


def matched(text: str, node: Value) -> dict[str, Any] | None:
    """What each letter stands for and the ``options`` of sums, if a node is of a form; or None."""
    form = _graph(text)[0]
    return _match(form, node, {"options": {}}) if node.op is form.op else None


def found(text: str, nodes: dict[Any, list[Value]]) -> Iterator[tuple[Value, dict[str, Any]]]:
    """The nodes of a form, of nodes by their operations, and what `matched` says of each."""
    form, needed = _graph(text)
    for node in nodes[form.op] if needed <= nodes.keys() else ():
        if known := matched(text, node):
            yield node, known


def _match(form: Any, node: Any, known: dict[str, Any]) -> dict[str, Any] | None:
    if not isinstance(form, Value):  # of a condition the data do not count
        same = np.asarray(form).dtype.kind != "f" or np.all(detach(node) == form)
        return known if same and not isinstance(node, Value) else None
    if form.op is None:
        letter = str(form.name)
        return {**known, letter: node} if known.get(letter, node) is node else None
    while isinstance(node, Value) and _is_reshaped(node) and node.op is not form.op:
        node = node.parents[0]
    if not isinstance(node, Value) or node.op is not form.op:
        return None
    orders = permutations(node.parents) if node.op in (ops.ADD, ops.MULTIPLY) else [node.parents]
    for parents in orders:
        more: Any = {**known, "options": node.options} if node.op in SUMS else known
        for part, x in zip(form.parents, parents):
            more = more and _match(part, x, more)
        if more:
            return dict(more)
    return None


def _is_reshaped(node: Value) -> bool:
    """Whether a node has all the entries of its only argument, in another shape."""
    return bool(node.op and node.op.moves and node.size == np.size(node.parents[0]))
