"""The two passes over a graph, step by step: the numbers, and how rules read."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from ..checks.births import find_births
from ..engine.backward import topological
from ..engine.data import as_data, as_upstream, example, unbroadcast
from ..engine.language import speaking
from ..engine.names import names, operands
from ..engine.origin import line
from ..engine.text import _, require
from ..engine.transforms import flatten, unflatten
from ..engine.value import Value, apply, detach
from ..programs import lines
from ..programs.recorder import RecordedArray, Tape, identifier
from ..programs.recording import parameters
from .derivation import derive
from .drawing import SHOW, draw
from .formulas import Flow, Formula, equation, flow, inline, name, number, operation, product, slope
from .live import Live, StillError
from .steps import Data, Step, Steps


def step_through(
    loss: Any,
    *args: Any,
    gradient: Any = None,
    wrt: int | Sequence[int] = 0,
    fused: Any = None,
    lang: str = "",
) -> Steps:
    """Walk through a graph: each node's value, then each gradient, edge by edge.

    The walk computes everything itself: no ``.grad`` is read or changed. That of a function has a
    page in which all numbers follow when its reader changes one.

    Parameters
    ----------
    loss : the node to start from; or a function that computes it, written in NumPy
    *args : the function's arguments, arrays and numbers
    gradient : float or array of the loss's shape; a node of more than one entry needs it
        The upstream gradient to start from; 1 by default. After a node it may stand alone.
    wrt : which of the arguments are differentiated, by position
    fused : the same loss as one `LogSoftmaxNLL` node or otherwise, of the same leaves; or as a
        function of the same arguments
        Its walk is shown beside this one.
    lang : the language that its page speaks, "en" or "ko"; the reader's, where none is named

    Returns
    -------
    `Steps`, a sequence of `Step`: ``print`` it, index and slice it, ``save("steps.html")`` it. In
    a notebook it is that page.

    Raises
    ------
    TypeError
        If ``loss`` or ``fused`` is no `Value`, nor a function that gives one.
    ValueError
        If a node with more than one entry gets no ``gradient``, or one of another shape; if
        ``wrt`` names no argument; if ``fused`` has no leaf of ``loss``.
    StaleGraphError
        If the data of a leaf was assigned after it was used.

    Examples
    --------
    >>> x = Value(3.0)
    >>> print(step_through(x * x)[-1].words)
    ∂L/∂x += ∂L/∂multiply · x = 1 × 3 = 3
    >>> print(step_through(lambda x: x * x, 3.0)[-1].words)
    ∂L/∂x += ∂L/∂multiply · x = 1 × 3 = 3
    """
    with speaking(lang):
        if not callable(loss):
            return _of_graph(loss, fused, args[0] if args else gradient)
        try:
            (live, plain, other), why = _recorded(loss, fused, args, wrt, gradient), ""
        except (StillError, TypeError, ValueError, NotImplementedError) as error:
            plain, other = _losses(loss, fused, args, wrt, lambda x, at: x)
            live, why = None, str(error)
        steps = replace(_of_graph(plain, other, gradient), live=live, still=why)
        called = getattr(loss, "__name__", "").lstrip("_")
        return replace(steps, title=called) if called.isidentifier() else steps


def _of_graph(loss: Any, fused: Any, gradient: Any) -> Steps:
    """The walk through a graph, and through the fused one."""
    walk = Walker("loss", loss, gradient)
    if fused is None:
        return walk.steps()
    other = Walker("fused", fused, gradient)
    shared = [node for node in walk.order if node.op is None and node in other.last]
    text = "step_through: fused shares no leaf with the loss, wanted both of the same Values"
    require(shared, text)
    with np.errstate(all="ignore"):
        off = [np.max(abs(walk.last[v].after - other.last[v].after), initial=0.0) for v in shared]
    return replace(walk.steps(), fused=other.steps(), difference=float(np.max(off)))


def _losses(
    f: Any, fused: Any, args: Sequence[Any], wrt: Any, of: Callable[[Any, str], Any]
) -> tuple[Any, Any]:
    """What the functions give, called with what is made ``of`` each array: a `Value`, or that."""
    n, given = len(args), []
    numbers = {k % n for k in np.atleast_1d(wrt).tolist() if -n <= k < n}
    text = "step_through: got wrt={wrt} and {n} arguments, wanted the positions of some of them"
    require(len(numbers) == np.size(wrt) > 0, text, wrt=wrt, n=n)
    for k, (called, arg) in enumerate(zip(parameters(f, len(args))[0], args)):
        leaves = []
        for at, x in flatten(arg, called):
            x = as_data(detach(x), at) if k in numbers else np.asarray(x) if np.ndim(x) else x
            leaves.append(Value(of(x, at), name=at) if k in numbers else of(x, at))
        given.append(unflatten(arg, leaves))
    return f(*given), fused(*given) if callable(fused) else fused


def _recorded(f: Any, fused: Any, args: Sequence[Any], wrt: Any, gradient: Any) -> Any:
    """The walks as programs, through graphs of arrays that record; and the graphs, of plain data.

    The second is None without ``fused``.
    """
    tape, called = Tape(), list[str]()

    def recorded(x: Any, at: str) -> Any:
        dtype = getattr(x, "dtype", np.dtype(type(x)))
        if dtype.kind == "f" and dtype != np.float64:
            raise StillError(_("JavaScript has no {dtype}", dtype=dtype))
        if dtype.kind != "f":
            return x
        called.append(inline(at))
        return tape.argument(x, identifier(at))

    try:
        with np.errstate(all="ignore"):
            losses = _losses(f, fused, args, wrt, recorded)
    finally:
        if tape.refusal:  # also one that f caught: what it did instead is for no data
            raise tape.refusal
    walkers = [Walker("loss", x, gradient) for x in losses[: 2 if fused is not None else 1]]
    plain: dict[Any, Any] = {None: None}
    for node in sorted({node for one in walkers for node in one.order}, key=lambda x: x.number):
        call = lines.replace((node.parents, node.options), plain.get, Value)
        inner, options = lines.replace(call, example, RecordedArray)
        with np.errstate(all="ignore"):
            made = apply(node.op, inner, options) if node.op else Value(example(node.data))
        plain[node] = made
        made.name, made.origin, made.number = node.name, node.origin, node.number  # its scope's
    live = Live(tape, called, walkers, partial(derive, f, *args, wrt=wrt))
    return live, *map(plain.get, losses)


class Walker:
    """Goes forward and back through one graph, and writes down every step."""

    def __init__(self, what: str, loss: Any, gradient: Any) -> None:
        text = "step_through: got {got} for {what}, wanted a Value, computed with Values"
        require(isinstance(loss, Value), text, TypeError, got=type(loss).__name__, what=what)
        self.order = topological(loss)
        self.place: dict[Value | None, int] = {node: i for i, node in enumerate(self.order)}
        called = names(self.order).items()
        self.called: dict[Value | None, str] = {node: inline(name) for node, name in called}
        unnamed = not loss.name and "L" not in self.called.values()
        self.loss = "L" if unnamed else self.called[loss]
        self.last: dict[Value | None, Step] = {}  # the newest step back to each node
        self.arrived: dict[Value | None, list[Data]] = defaultdict(list)
        self.records: list[Step] = []
        self.seed = seed = frozen(as_upstream(gradient, loss.data, self.called[loss]))
        with np.errstate(all="ignore"):  # inf and nan are what there is to see
            for node in self.order:
                self.write(node)
            self.write(loss, loss, None, Flow(seed, None, seed))
            for node in reversed(self.order):
                for k, parent in enumerate(node.parents):
                    if isinstance(parent, Value):
                        self.write(node, parent, k, flow(node, k, self.last[node].after))

    def steps(self) -> Steps:
        """Return the steps, with a picture of the graph."""
        drawing = draw(self.order[-1], show=[part for part in SHOW if part != "gradient"])
        with np.errstate(all="ignore"):
            births = find_births(self.order, self.seed)[0][:1]
        firsts = [min((b, *b.before), key=lambda b: (b.value == 0.0, b.step)) for b in births]
        ends = [(self.place[b.node], self.place.get(b.target)) for b in firsts]
        steps = (replace(s, birth=(s.index, s.target_index) in ends) for s in self.records)
        loss = self.order[-1]
        title = self.called[loss]
        named = not loss.op or title.rstrip("0123456789").removesuffix("_") != loss.op.name
        return Steps(tuple(steps), tuple(self.called.values()), drawing, title=title * named)

    def write(
        self, node: Value, target: Any = None, k: int | None = None, sent: Flow | None = None
    ) -> None:
        """Write down a step: to a node's value; or back to a target, whose shares add up."""
        earlier, arrived, after = self.last.get(target), self.arrived[target], frozen(node.data)
        if sent is not None:
            sent = sent._replace(local=frozen(sent.local), contribution=frozen(sent.contribution))
            arrived.append(after := sent.contribution)
        if earlier is not None:
            after = frozen(unbroadcast(earlier.after + after, target.data, node.op))
        formula = self.formula(node, after, target, k, sent)
        step = Step(
            number=len(self.records) + 1,
            phase="forward" if sent is None else "backward",
            node=self.called[node],
            index=self.place[node],
            op=inline(node.op.name) if node.op else "",
            written=line(node.origin) if node.origin else None,
            target=self.called.get(target),
            target_index=self.place.get(target),
            argument=k,
            pieces=tuple(piece.text for piece in formula),
            latex_pieces=tuple(piece.latex for piece in formula),
            **(sent or Flow())._asdict(),
            before=earlier and earlier.after,
            after=after,
            nth=len(arrived),
            arrived=arrived,
        )
        self.records.append(step)
        if sent is not None:
            self.last[target] = step

    def formula(
        self, node: Value, after: Data, target: Any, k: int | None, sent: Flow | None
    ) -> list[Formula]:
        """Write a step: the rule with names, then with numbers, then what they give."""
        left, result = name(self.called[node]), after
        if sent is not None:
            left, result = self.slope(target), sent.contribution
        if node.op is None or target is node:  # a leaf; the first step back
            return equation(left, result)

        constants = {id(x): text for x, text in operands(node) if not isinstance(x, Value)}

        def show(x: Any) -> Formula:
            text = self.called[x] if isinstance(x, Value) else constants.get(id(x))
            return name(text) if text else number(x)

        rule = operation(node, show, k, self.slope(node))
        numbers = product(node, k, sent, number) if sent else [operation(node, number)]
        sign = r"\mathrel{+}=" if target in self.last else "="
        return equation(left, result, rule, numbers, sign)

    def slope(self, node: Value) -> Formula:
        """Write ∂L/∂node."""
        return slope(self.loss, self.called[node])


def frozen(x: Any) -> Data:
    """Return a copy that later changes of the graph do not reach."""
    if x is None or x.__class__ is float or hasattr(x, "tape"):
        return x
    x = np.array(x)
    x.flags.writeable = False
    return x
