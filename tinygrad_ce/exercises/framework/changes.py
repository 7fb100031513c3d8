"""A function's steps in a draw, and what it gives where one of them is another.

What the steps are called, and what is usually written in the place of each.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from ...checks.wording import template
from ...engine.backward import topological
from ...engine.language import Sentence, Words
from ...engine.names import names
from ...engine.value import Value
from ...losses.activations import COMPOSED, logsumexp, sigmoid, softmax
from ...programs.expressions import ATOM, is_bare
from ...programs.lines import replace, walk
from .problem import Trial, draw

SOME = 7, 10, 20  # draws of different sizes, which tell a size from a number
LONG = 28  # letters of a step that is called by its formula
UNKNOWN = "…"  # a constant, or a step whose name would tell the solution
SHORT = {"negative": "minus", "transpose": ".T", "reshape": "[:, None]", "expand_dims": "[:, None]"}

Steps = Mapping[Any, Callable[..., Any]]  # what some steps give instead, of their arguments
Change = tuple[Sentence, Steps]  # and what that is called
Written = tuple[str, Callable[..., Any]]  # what is written in the place of a step, as it reads
Way = tuple[Any, Sentence, Any, Callable[..., Any]]  # its kind, its name, the step, what it gives


class Graph:
    """The steps of a function in a draw, and what they are called."""

    def __init__(self, outputs: Sequence[Any], t: Trial) -> None:
        self.outputs, self.t, self.leaves = outputs, t, dict[str, Any]()
        nodes = {n for x in outputs if x.__class__ is Value for n in topological(x)}
        self.nodes = sorted(nodes, key=lambda node: node.number)
        self.numbers = dict[Any, list[str]]()  # the constants of each step, as they read
        self.called = dict[Any, str]()
        self.activations = list[tuple[Any, Any, str]]()  # scores, a step, and what it is of them
        self.known = dict[Any, str]()  # inputs, activations, and steps that a teacher named

    def rerun(self, changed: Steps, plain: bool = True) -> list[Any]:
        """What the function gives, had some steps given something else; `Value`s if not plain."""
        made = dict[Any, Any]()

        def of(x: Any) -> Any:
            return made.get(x, x.data if plain else x)

        for step in self.nodes:
            f, parts = changed.get(step), (step.parents, step.options)
            if f or any(p in made for p in walk(parts, Value)):
                args, options = replace(parts, of, Value)
                made[step] = f(*args) if f else step.op(*args, **options)
        return [of(x) if x.__class__ is Value else x for x in self.outputs]

    def ways(self, look: str) -> Iterator[Way]:
        """Each step with what is usually written in its place."""
        for node in self.nodes:
            for wrong, f in self._written(node):
                text = wrong if isinstance(wrong, Sentence) else self.instead(node, wrong)
                told = Sentence("{change}: {look}", change=text, look=Words(look))
                yield (node.op, wrong), told, node, f

    def reads(self, node: Any) -> list[str]:
        """The arguments of a step in a formula."""
        return [
            self.called.get(x, n) if x.__class__ is Value else n
            for x, n in zip(node.parents, self.numbers[node])
        ]

    def instead(self, node: Any, wrong: str) -> Sentence:
        """What it is called that a step is another, if that tells no more than is known."""
        parts, right = self.reads(node), self.called[node]
        if node.op and right == outline(node):
            parts = [x if UNKNOWN in x else UNKNOWN for x in parts]
            right = formula(node, parts)
        return Sentence("{wrong} in place of {right}", wrong=filled(wrong, parts), right=right)

    def _written(self, node: Any) -> Iterator[Written]:
        """What is written in the place of a step, as it reads."""
        if np.all((node.data >= 0.0) & (node.data <= 1.0)):
            yield f"1 - {self.called[node]}", lambda *args: 1.0 - again(node, *args)
        if node.op:
            yield from self._operands(node)
            yield from self._brackets(node)
            yield from self._reductions(node)
            yield from node.op.instead
            yield from self._outer(node)
            yield from self._mixed(node)
        elif node.name in self.t.inputs:
            for other, name in self.known.items():
                if other is not node and other.shape == node.shape and not other.op:
                    yield name, partial(np.positive, other)
            yield "1", partial(np.ones, node.shape)
            for f in (np.sum, np.mean) if node.ndim else ():
                yield f"{f.__name__}({node.name})", partial(_filled, f, node.shape, node)

    def _operands(self, node: Any) -> Iterator[Written]:
        """One argument alone in the place of a step: the operation, or the other, is left out."""
        f, args = node.op.function, node.parents
        for k, x in enumerate(args if len(args) < 3 else ()):
            lost = SHORT.get(node.op.name, node.op.name)
            lost = self.reads(node)[1 - k] if len(args) == 2 else lost
            lost = Sentence("{part} left out", part=f"** {lost}" if f is np.power else lost)
            if f is np.matmul:
                ones = [np.ones(np.shape(p)) if p is not x else p for p in args]
                yield lost, lambda *_args, ones=ones: node.op(*ones)
            elif x.__class__ is Value and not (f is np.power and k):
                ways = {np.subtract: np.negative, np.divide: np.reciprocal} if k else {}
                known = self.called[node] not in (outline(node), self.called[x]) and f not in ways
                told: str = ("{y}" if k else "{x}") if known else lost
                yield told, partial(_alone, ways.get(f, np.positive), k, node.shape)

    def _brackets(self, node: Any) -> Iterator[Written]:
        """A factor of one part only of a sum; or what is no factor, of each part alone."""
        for k, x in enumerate(node.parents):
            inner = x.op.function if x.__class__ is Value and x.op else None
            if inner not in (np.add, np.subtract):
                continue
            (a, b), f = x.parents, partial(with_argument, node, k)
            if node.op.powers and (k == 0 or node.op.function is np.multiply):
                by = self.reads(node)[1 - k]
                text = Sentence("{part} on one part only of a sum", part=by)
                yield text, lambda *_args, i=inner, a=a, b=b, f=f: i(f(a), b)
                yield text, lambda *_args, i=inner, a=a, b=b, f=f: i(a, f(b))
            elif k not in node.op.linear and not node.op.terms:
                text = Sentence("{node}, of each part of the sum alone", node=self.called[node])
                yield text, lambda *_args, i=inner, a=a, b=b, f=f: i(f(a), f(b))

    def _outer(self, node: Any) -> Iterator[Written]:
        """An outer product without its diagonal, or as a sum over the entries."""
        if node.op.function is np.multiply and node.shape not in map(np.shape, node.parents):
            yield "{x} @ {y}", lambda x, y: np.sum(np.ravel(x) * np.ravel(y))
            yield "{x} * {y} off the diagonal", lambda x, y: x * y * (1.0 - np.eye(*node.shape))

    def _mixed(self, node: Any) -> Iterator[Written]:
        """Another quantity of its shape in the place of an argument; a size less 1."""
        for k, (x, right) in enumerate(zip(node.parents, self.reads(node))):
            others: dict[Any, str] = {}
            if x.__class__ is Value:
                turned = x.op and x.op.function is np.transpose
                of = x.parents[0] if turned else x
                others = {y: self.called[y] for y in walk(of.parents, Value)} | self.known
                others = {y: name for y, name in others.items() if y.shape == of.shape}
                others = {y.T: f"{name}.T" for y, name in others.items()} if turned else others
            elif right.isupper():
                sizes = {**self.t.sizes, f"({right} - 1)": x - 1}
                others = {size: name for name, size in sizes.items()}
            for other, name in others.items():
                text = Sentence("{wrong} in place of {right}", wrong=name, right=right)
                yield text, lambda *args, k=k, other=other: with_argument(node, k, other, args)

    def _reductions(self, node: Any) -> Iterator[Written]:
        """A sum or a mean over another axis, over all, of a part, or in the place of the other."""
        f, (x, *_rest), options = node.op.function, node.parents, node.options
        axis = options.get("axis")
        if x.__class__ is not Value or not ("axis" in options or f in (np.sum, np.mean, np.max)):
            return
        other = np.mean if f is np.sum else np.sum
        yield f"{other.__name__}({{x}})", partial(other, **options)
        for part, name in zip(x.parents, self.reads(x)):
            if x.op.function is np.multiply and np.shape(part) == x.shape:
                yield f"mean({name})", lambda _x, part=part: np.mean(part, **options)
        for wrong in {*range(x.ndim)} - {axis % x.ndim if isinstance(axis, int) else None}:
            yield f"{f.__name__}({{x}}, axis={wrong})", partial(f, **{**options, "axis": wrong})
        if isinstance(axis, int) and x.ndim > 1:
            yield f"{f.__name__}({{x}}) of all", partial(_filled, f, node.shape)


def filled(form: str, parts: Sequence[str]) -> str:
    """A formula of x, y, z; beside an operator, what is no atom is in brackets."""
    if re.search(r"(^|- )\{.\} ", form):
        bare = [is_bare(ATOM, 0, x.replace(UNKNOWN, "_")) for x in parts]
        parts = [x if plain else f"({x})" for x, plain in zip(parts, bare)]
    return form.format(**dict(zip("xyz", parts)))


def each_time(ways: Iterable[Way]) -> Iterator[Change]:
    """Each step changed alone, and then all that are changed alike at once."""
    alike = dict[Any, tuple[Sentence, dict[Any, Any]]]()
    for kind, text, node, f in ways:
        yield text, {node: f}
        parts = (x for x in walk(node.parents, Value) if x.op)
        of = [(x.op, len({*map(id, x.parents)})) for x in parts]
        for some in (kind, (kind, *of)):  # of the same arguments, too
            alike.setdefault(some, (text, {}))[1][node] = f
    for text, steps in alike.values():
        if len(steps) > 1:
            yield Sentence("{change:name}, each time: {change:look}", change=text), steps


def again(node: Any, *args: Any) -> Any:
    """A step of the same arguments, or of others."""
    return node.op(*args, **node.options) if node.op else node


def with_argument(node: Any, k: int, x: Any, args: Sequence[Any] = ()) -> Any:
    """A step with another argument k."""
    args = args or node.parents
    return node.op(*args[:k], x, *args[k + 1 :], **node.options)


def _filled(f: Callable[[Any], Any], shape: tuple[int, ...], x: Any) -> Any:
    """One number in all places."""
    return f(x) * np.ones(shape)


def _alone(f: Callable[[Any], Any], k: int, shape: tuple[int, ...], *args: Any) -> Any:
    """An argument in the shape of the result, where that can be."""
    x = f(args[k]) - 1e-9  # where it is 0, a max would jump
    with suppress(ValueError):
        if np.broadcast_shapes(x.shape, shape) == shape != x.shape:
            return x * np.ones(shape)
    return x


def graph_of(of: Callable[[Trial], Any], t: Trial, like: Graph | None = None) -> Graph:
    """The steps of the function of a draw; those of a graph that is ``like`` it are called so."""
    graph, problem = _recorded(of(t), t), t.problem
    operations = tuple(n.op.name if n.op else n.name for n in graph.nodes)
    single = tuple(name for name, size in t.sizes.items() if size == 1)  # more steps look the same
    key = like is None, single, operations
    if key[::2] not in problem.numbers:
        others = (draw(problem, seed) for seed in SOME)
        graphs = [graph, *(_recorded(of(other), other) for other in others)]
        graphs = [g for g in graphs if [n.op for n in g.nodes] == [n.op for n in graph.nodes]]
        nodes, sizes = zip(*(g.nodes for g in graphs)), [g.t.sizes for g in graphs]
        every = ([*zip(*(node.parents for node in alike))] for alike in nodes)
        problem.numbers[key[::2]] = [[_number(x, sizes) for x in parts] for parts in every]
    graph.numbers = dict(zip(graph.nodes, problem.numbers[key[::2]]))
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
    special = {node for _z, node, _name in graph.activations}
    steps = {*graph.leaves.values(), *graph.nodes[:-1]}
    known = (x for x in graph.nodes if x in special or graph.called[x].isidentifier())
    graph.known = like.known if like else {x: graph.called[x] for x in known if x in steps}
    return graph


def _recorded(f: Callable[..., Any], t: Trial) -> Graph:
    """The textbook's steps of a function; all inputs are in it unless the function minds."""
    before, problem = COMPOSED.set(True), t.problem
    try:
        for some in ([*t.inputs], problem.wrt):
            leaves = {k: Value(x, name=k) if k in some else x for k, x in t.inputs.items()}
            with suppress(*[Exception] if some is not problem.wrt else []):
                found = f(*leaves.values())
                break
    finally:
        COMPOSED.reset(before)
    graph = Graph(_once([*found] if isinstance(found, tuple) else [found]), t)
    graph.leaves = {name: x for name, x in leaves.items() if x.__class__ is Value}
    return graph


def _number(values: Sequence[Any], sizes: Sequence[Mapping[str, int]]) -> str:
    """How a constant reads, of its values in draws of these sizes."""
    if not isinstance(values[0], int | float):  # a maximum is an array
        return UNKNOWN
    for name, text in product(sizes[0], ("{}", "sqrt({})")):
        power = 1.0 if text == "{}" else 0.5
        if all(abs(x - size[name] ** power) < 1e-9 for x, size in zip(values, sizes)):
            return text.format(name)
    return f"{float(values[0]):g}"


def _once(outputs: Sequence[Any]) -> list[Any]:
    """The same outputs, with what is computed twice computed once."""
    made, first = dict[Any, Any](), dict[Any, Any]()
    nodes = {n for x in outputs if x.__class__ is Value for n in topological(x)}
    for step in sorted(nodes, key=lambda node: node.number):
        args, options = replace((step.parents, step.options), lambda x: made[x], Value)
        parts = [id(x) if x.__class__ is Value else repr(x) for x in args]
        key = step.op or step, *parts, repr(options)
        if key not in first:
            first[key] = step.op(*args, **options) if step.op else step
            first[key].origin = step.origin
        made[step] = first[key]
    return [made.get(x, x) if x.__class__ is Value else x for x in outputs]


def _same(node: Any, data: Any) -> bool:
    return bool(node.shape == np.shape(data) and np.all(abs(node.data - data) < 1e-9))


def _same_in(like: Graph, x: Any) -> str:
    """What a step is called in another graph that has it, or has it turned round."""
    for n in like.nodes:
        if _same(n, x.data) or (x.ndim == 2 and _same(n, x.data.T)):
            return like.called[n] + ("" if _same(n, x.data) else ".T")
    return outline(x)


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
        parts = graph.reads(node)
        text = formula(node, parts)
        if node in special and node.op.symbol != "-":
            z, name = special[node]
            text = f"{name}({called[z]})"
        if len(text) > LONG:
            parts = [x if len(x) <= LONG // 2 else outline(p) for x, p in zip(parts, node.parents)]
            text = formula(node, parts)
        called[node] = text if node is not graph.nodes[-1] else "L"


def outline(x: Any) -> str:
    """A step without the names of what it is of."""
    text = formula(x, [UNKNOWN] * len(x.parents)) if getattr(x, "op", None) else UNKNOWN
    return text.removesuffix("[...]")


def formula(node: Any, parts: Sequence[str]) -> str:
    """What a step reads with names for its arguments."""
    form, symbol = template(node.op, len(parts)), node.op.symbol
    if symbol == "-" and parts[1:] == [UNKNOWN] != parts[:1]:
        return parts[0]  # a maximum is subtracted
    bare = [not symbol or is_bare(form, k, x.replace(UNKNOWN, "_")) for k, x in enumerate(parts)]
    return form.format(*(x if plain else f"({x})" for x, plain in zip(parts, bare)))
