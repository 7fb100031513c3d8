"""A function's steps in a draw, and what it gives where one of them is another.

A wrong derivation is the right one with one step changed: a step of the loss, of the chain rule
through it, or of the solution. Here are the steps of a function, what they are called, and what is
usually written in the place of each.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np

from ...checks.wording import template
from ...engine.backward import topological
from ...engine.language import Sentence
from ...engine.names import names
from ...engine.value import Value
from ...losses.activations import COMPOSED, log_softmax, logsumexp, sigmoid, softmax
from ...programs.expressions import ATOM, is_bare
from ...programs.lines import replace, walk
from .problem import Trial

LONG = 28  # letters of a step that is called by its formula
UNKNOWN = "…"  # a constant, or a step whose name would tell the solution
SHORT = {"negative": "minus", "transpose": ".T", "reshape": "[:, None]", "expand_dims": "[:, None]"}
# What is written in the place of an operation.
OTHERS: Mapping[Any, Mapping[str, Callable[..., Any]]] = {
    np.add: {"{x} - {y}": np.subtract},
    np.subtract: {
        "{x} + {y}": np.add, "{y} - {x}": lambda x, y: y - x, "{x} * {y}": np.multiply},
    np.multiply: {
        "{x} / {y}": np.divide, "{y} / {x}": lambda x, y: y / x, "{x} + {y}": np.add,
        "{x} * {y} ** 2": lambda x, y: x * y * y, "{x} ** 2 * {y}": lambda x, y: x * x * y},
    np.divide: {
        "{x} * {y}": np.multiply, "{y} / {x}": lambda x, y: y / x,
        "{x} / {y} ** 2": lambda x, y: x / y / y},
    np.power: {
        "{x} ** ({y} + 1)": lambda x, y: x ** (y + 1.0),
        "{x} ** ({y} - 1)": lambda x, y: x ** (y - 1.0), "2 * abs({x})": lambda x, y: 2.0 * abs(x)},
    np.absolute: {"{x} ** 2": lambda x: x * x, "{x} ** 2 / 2": lambda x: x * x / 2.0},
    np.exp: {"{x} * exp({x})": lambda x: x * np.exp(x)},
    np.log: {
        "log10({x})": np.log10, "log2({x})": np.log2, "log(1 - {x})": lambda x: np.log(1.0 - x)},
    np.maximum: {"minimum({x}, {y})": np.minimum},
    np.minimum: {"maximum({x}, {y})": np.maximum},
    np.diag: {"diag(1)": lambda x: np.diag(np.ones(x.shape))},
    np.where: {"{z} if {x} else {y}": lambda x, y, z: np.where(x, z, y)},
}  # fmt: skip
# What can stand where the softmax of scores z belongs, or the sigmoid.
ACTIVATIONS: Mapping[str, Mapping[str, Callable[[Any], Any]]] = {
    "softmax": {
        "softmax over the wrong axis: the classes of a sample stand in a row":
            partial(softmax, axis=0),
        "one softmax over all rows: each row has its own": lambda z: np.exp(z) / np.sum(np.exp(z)),
        "the sigmoid in place of the softmax: the classes of a row share one sum": sigmoid,
        "scores in place of probabilities: where is the softmax?": lambda z: z,
        "exp not divided by its sum: what makes probabilities of it?": np.exp,
        "not divided by the sum: by what?": lambda z: np.exp(z - np.max(z, -1, keepdims=True)),
        "still a logarithm: take exp of it": log_softmax},
    "sigmoid": {
        "scores in place of probabilities: where is the sigmoid?": lambda z: z,
        "exp in place of the sigmoid: what keeps it below 1?": np.exp,
        "tanh in place of the sigmoid: which of them is above 0?": np.tanh,
        "the softmax in place of the sigmoid: which numbers share a sum?": softmax},
}  # fmt: skip


Change = tuple[Sentence, Any, Callable[[], Any]]  # its name, the step, what is made


class Graph:
    """The steps of a function in a draw, and what they are called."""

    def __init__(self, outputs: Sequence[Any], t: Trial) -> None:
        self.outputs, self.inputs, self.leaves = outputs, t.inputs, dict[str, Any]()
        self.sizes = {size: name for name, size in t.sizes.items() if size > 2}
        nodes = {n for x in outputs if x.__class__ is Value for n in topological(x)}
        self.nodes = sorted(nodes, key=lambda node: node.number)
        self.called = dict[Any, str]()
        self.activations = list[tuple[Any, Any, str]]()  # scores, a step, and what it is of them

    def rerun(self, node: Any, wrong: Any, plain: bool = True) -> list[Any]:
        """What the function gives, had a step given something else: arrays, or `Value`s."""
        made = {node: getattr(wrong, "data", wrong) if plain else wrong}

        def of(x: Any) -> Any:
            return made.get(x, x.data if plain else x)

        for step in self.nodes:
            parts = step.parents, step.options
            if step.number > node.number and any(p in made for p in walk(parts, Value)):
                args, options = replace(parts, of, Value)
                made[step] = step.op(*args, **options)
        return [of(x) if x.__class__ is Value else x for x in self.outputs]

    def changes(self) -> Iterator[Change]:
        """Each step with what is usually written in its place."""
        for node in (node for node in self.nodes if node.op):
            yield from self._operands(node)
            yield from self._brackets(node)
            yield from self._reductions(node)
            for text, f in OTHERS.get(node.op.function, {}).items():
                yield self.instead(node, text), node, partial(f, *node.parents)
            if np.all((node.data > 0.0) & (node.data < 1.0)):
                text = f"1 - {self.called[node]}"
                yield self.instead(node, text), node, partial(np.subtract, 1.0, node)
        for node in (node for node in self.nodes if node.name in self.inputs):
            yield from self._inputs(node)

    def short(self, x: Any) -> str:
        """An argument in a formula."""
        if x.__class__ is not Value:
            number = float(np.ravel(x)[0])
            named = self.sizes.get(int(number)) if number.is_integer() else None
            return (named or f"{number:g}") if np.size(x) == 1 else UNKNOWN
        return self.called[x]

    def instead(self, node: Any, wrong: str) -> Sentence:
        """What it is called that a step is another, if that tells no more than is known."""
        parts, right = [*map(self.short, node.parents)], self.called[node]
        if right == UNKNOWN and node.op:
            if node.op.symbol in "+-" and wrong in ("{x} + {y}", "{x} - {y}", "{y} - {x}"):
                return Sentence("plus and minus exchanged")
            if node.op.symbol in "*/" and wrong in ("{x} * {y}", "{x} / {y}", "{y} / {x}"):
                return Sentence("a product and a fraction exchanged")
            parts = [UNKNOWN] * len(parts)
            right = formula(node, parts)
        if re.match(r"\{.\} ", wrong):  # an operator: what is no atom is in brackets
            atoms = [x == UNKNOWN or is_bare(ATOM, 0, x) for x in parts]
            parts = [x if atom else f"({x})" for x, atom in zip(parts, atoms)]
        wrong = wrong.format(**dict(zip("xyz", parts)))
        return Sentence("{wrong} in place of {right}", wrong=wrong, right=right)

    def _operands(self, node: Any) -> Iterator[Change]:
        """One argument alone in the place of a step: the operation, or the other, is left out."""
        f, args = node.op.function, node.parents
        for k, x in enumerate(args if len(args) < 3 else ()):
            lost = SHORT.get(node.op.name, node.op.name)
            lost = self.short(args[1 - k]) if len(args) == 2 else lost
            part = Sentence("a part (…)") if lost == UNKNOWN else lost
            lost = Sentence("{part} left out", part=part)
            if f is np.matmul:
                ones = [np.ones(np.shape(p)) if p is not x else p for p in args]
                yield lost, node, partial(node.op, *ones)
            elif x.__class__ is Value and not (f is np.power and k):
                ways = {np.subtract: lambda x: -x, np.divide: lambda x: 1.0 / x} if k else {}
                make = partial(_alone, ways.get(f, lambda x: x), x, node.shape)
                known = self.called[node] != UNKNOWN and f not in ways
                yield self.instead(node, "{y}" if k else "{x}") if known else lost, node, make

    def _brackets(self, node: Any) -> Iterator[Change]:
        """A factor of one part only, where it is one of a sum."""
        f = node.op.function
        for k, x in enumerate(node.parents if f in (np.multiply, np.divide) else ()):
            inner = x.op.function if x.__class__ is Value and x.op else None
            if inner in (np.add, np.subtract) and (f is np.multiply or k == 0):
                by, (a, b) = node.parents[1 - k], x.parents
                known = self.short(by) != UNKNOWN
                part = self.short(by) if known else Sentence("a factor (…)")
                text = Sentence("{part} on one part only of a sum", part=part)
                yield text, node, partial(lambda i, a, b, by: i(f(a, by), b), inner, a, b, by)
                yield text, node, partial(lambda i, a, b, by: i(a, f(b, by)), inner, a, b, by)

    def _reductions(self, node: Any) -> Iterator[Change]:
        """A sum or a mean over another axis, over all, of a part, or in the place of the other."""
        f, (x, *_rest), options = node.op.function, node.parents, node.options
        if f not in (np.sum, np.mean, np.max) or x.__class__ is not Value:
            return
        axis, other = options.get("axis"), np.mean if f is np.sum else np.sum
        text = self.instead(node, f"{other.__name__}({{x}})")
        yield text, node, partial(other, x, **options)
        for part in x.parents if x.op and x.op.function is np.multiply else ():
            if np.shape(part) == x.shape:
                text = self.instead(node, f"mean({self.short(part)})")
                yield text, node, partial(np.mean, part, **options)
        for wrong in {*range(x.ndim)} - {axis % x.ndim if isinstance(axis, int) else None}:
            text = self.instead(node, f"{f.__name__}({{x}}, axis={wrong})")
            yield text, node, partial(f, x, **{**options, "axis": wrong})
        if isinstance(axis, int) and x.ndim > 1:
            text = self.instead(node, f"{f.__name__}({{x}}) of all")
            yield text, node, partial(_filled, f, x, node.shape)

    def _inputs(self, x: Any) -> Iterator[Change]:
        """What stands in the place of an input: another one, a sum, another coding."""
        name = x.name
        for other in (node for node in self.nodes if node.name in self.inputs):
            if other is not x and other.shape == x.shape:
                yield self.instead(x, other.name), x, partial(np.positive, other)
        yield self.instead(x, "1"), x, partial(np.ones, x.shape)
        for f in (np.sum, np.mean) if x.ndim else ():
            text = self.instead(x, f"{f.__name__}({name})")
            yield text, x, partial(_filled, f, x, x.shape)
        if {*np.ravel(x.data)} <= {0.0, 1.0}:
            yield self.instead(x, f"1 - {name}"), x, lambda: 1.0 - x
        elif {*np.ravel(x.data)} <= {-1.0, 1.0}:
            yield self.instead(x, f"(1 + {name}) / 2"), x, lambda: (1.0 + x) / 2.0


def _filled(f: Callable[[Any], Any], x: Any, shape: tuple[int, ...]) -> Any:
    """One number in all places."""
    return f(x) * np.ones(shape)


def _alone(f: Callable[[Any], Any], x: Any, shape: tuple[int, ...]) -> Any:
    """An argument in the shape of the result, where that can be."""
    with suppress(ValueError):
        if np.broadcast_shapes(x.shape, shape) == shape != x.shape:
            return _filled(f, x, shape)
    return f(x)


def graph_of(f: Callable[..., Any], t: Trial, like: Graph | None = None) -> Graph:
    """The steps of a function, the textbook's; all inputs are in it unless the function minds.

    Those of a graph that is ``like`` it are called as there, others have no name.
    """
    before, problem = COMPOSED.set(True), t.problem
    try:
        for some in ([*t.inputs], problem.wrt):
            leaves = {k: Value(x, name=k) if k in some else x for k, x in t.inputs.items()}
            with suppress(*[Exception] if some is not problem.wrt else []):
                found = f(*leaves.values())
                break
    finally:
        COMPOSED.reset(before)
    graph = Graph([*found] if isinstance(found, tuple) else [found], t)
    graph.leaves = {name: x for name, x in leaves.items() if x.__class__ is Value}
    key = like is None, *(node.op.name if node.op else node.name for node in graph.nodes)
    if key not in problem.words:  # they take long, and are the same in every draw
        graph.activations = [*_activations(graph.nodes)]
        if like:
            graph.called = {x: _same_in(like, x) for x in graph.nodes}
        else:
            _call_by_formulas(graph)
        at = {node: k for k, node in enumerate(graph.nodes)}
        places = [(at[z], at[x], name) for z, x, name in graph.activations]
        problem.words[key] = [*graph.called.values()], places
    words, places = problem.words[key]
    graph.called = dict(zip(graph.nodes, words))
    graph.activations = [(graph.nodes[i], graph.nodes[k], x) for i, k, x in places]
    return graph


def _same(node: Any, data: Any) -> bool:
    return bool(node.shape == np.shape(data) and np.all(abs(node.data - data) < 1e-9))


def _same_in(like: Graph, x: Any) -> str:
    """What a step is called in another graph that has it, or has it turned round."""
    for n in like.nodes:
        if _same(n, x.data) or (x.ndim == 2 and _same(n, x.data.T)):
            return like.called[n] + ("" if _same(n, x.data) else ".T")
    return UNKNOWN


def _activations(nodes: Sequence[Any]) -> Iterator[tuple[Any, Any, str]]:
    """Scores, from which no maximum is subtracted yet, and what is made of them."""
    firsts = list[Any]()
    for z in (x for x in nodes if x.shape):
        p, s, total = softmax(z.data), sigmoid(z.data), logsumexp(z.data, axis=-1)
        rows = z.shape[-1] > 1 and not any(_same(x, p) for x in firsts)
        firsts += [Value(p)] if rows else []
        for node in (n for n in nodes if n.op and n.number > z.number):
            if rows and _same(node, p):
                yield z, node, "softmax"
            elif rows and node.size == total.size and _same(node, total.reshape(node.shape)):
                yield z, node, "logsumexp"
            elif _same(node, s) and node.op.symbol != "-":
                yield z, node, "sigmoid"


def _call_by_formulas(graph: Graph) -> None:
    """Name steps: the teacher's word, else the formula if it is short."""
    graph.called = called = names(graph.nodes)
    special = {node: (z, name) for z, node, name in graph.activations}
    for node in graph.nodes:
        if not node.op or not re.fullmatch(re.escape(node.op.name) + r"(_\d+)?", called[node]):
            continue
        text = formula(node, [*map(graph.short, node.parents)])
        if node in special and node.op.symbol != "-":
            z, name = special[node]
            text = f"{name}({called[z]})"
        text = text if len(text) <= LONG else f"{node.op.name}(…)"
        called[node] = text if node is not graph.nodes[-1] else "L"


def formula(node: Any, parts: Sequence[str]) -> str:
    """What a step reads with names for its arguments."""
    form, symbol = template(node.op, len(parts)), node.op.symbol
    if symbol == "-" and parts[1:] == [UNKNOWN] != parts[:1]:
        return parts[0]  # a maximum is subtracted
    bare = [not symbol or x == UNKNOWN or is_bare(form, k, x) for k, x in enumerate(parts)]
    return form.format(*(x if plain else f"({x})" for x, plain in zip(parts, bare)))
