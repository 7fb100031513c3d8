"""A readable name for every node of a graph: the learner's own, where there is one."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Collection, Sequence
from contextlib import suppress
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

import numpy as np

from .origin import Origin, called, learners_frame, written
from .value import Value

MANY = 1_000  # entries of a list, and 10 times as many things in all, that are looked through
DEEP = 3  # ``model.layers[0].W``
PLAIN = {int, float, bool, str, type(None), np.ndarray}  # which hold nothing
NOTEBOOKS = ("In", "Out", "exit", "quit")  # and what begins with _ or @


def names(nodes: Sequence[Value]) -> dict[Value, str]:
    """Name nodes, the same in every run: by the first of these that there is.

    The name that the user gave; of a result, the variable it was assigned to where it was made;
    the caller's variable that holds it, also in an object or a list; of a leaf, what it is called
    where it is used, or the variable that its array is from; else the operation or "leaf". What
    would stand twice is told apart by its function or numbered, in the order of ``nodes``.

    Examples
    --------
    >>> from tinygrad_ce import Value, topological
    >>> x = Value(1.0)
    >>> y = x.exp() + x.exp()
    >>> list(names(topological(y)).values())
    ['x', 'exp_1', 'exp_2', 'y']
    """
    arrays = (node.data for node in nodes if node.op is None)
    known = (x for x in (*nodes, *arrays) if x.__class__ is not float)  # Python shares equal ones
    holding = _variables({id(x): x for x in known})
    assigned, operands = words([_call(node) for node in nodes if node.origin])
    used = {x: text for x, text in operands if x.__class__ is Value}
    where = defaultdict[str, set[Any]](set)
    for node, name in assigned.items():
        where[name].add(id(node.origin[0]))
    plain = []
    for node in nodes:
        name = assigned.get(node, "")
        if len(where[name]) > 1 and node.origin and node.origin[0].co_name != "<module>":
            name = f"{node.origin[0].co_name}.{name}"
        array = holding.get(id(node.data)) if node.op is None else None
        learners = node.name or name or holding.get(id(node)) or used.get(node) or array
        plain.append(learners or (node.op.name if node.op else "leaf"))
    often, numbers = Counter(plain), Counter[str]()
    different = []
    for name in plain:
        new = name
        while often[name] > 1 and new in often:  # the learner may have an e_1 beside two e
            numbers[name] += 1
            new = f"{name}_{numbers[name]}"
        different.append(new)
    return dict(zip(nodes, different))


class Call(NamedTuple):
    """A result, where it was written, what the function that made it is called, and on what."""

    result: Any
    origin: Origin
    called: Collection[str]
    args: Sequence[Any]

    @property
    def at(self) -> tuple[int, int]:
        """Where, for a dict: the hash of a long function's code takes long."""
        return id(self.origin[0]), self.origin[1]


def words(calls: Sequence[Call]) -> tuple[dict[Any, str], list[tuple[Any, str]]]:
    """The variables that results are assigned to, and what arguments are called where used.

    The calls are in their order: of the parts of one expression, the last is its result.
    """
    places = [call.at for call in calls]
    last = dict(zip(places, (call.result for call in calls)))
    assigned, used, read = dict[Any, str](), list[tuple[Any, str]](), dict[Any, Any]()
    for at, (result, origin, function, args) in zip(places, calls):
        if (key := (at, function, len(args))) not in read:  # once for what a loop calls often
            line = written(origin)
            read[key] = line.target, line.is_call(function), line.names(function, len(args))
        target, is_call, texts = read[key]
        if is_call or last[at] is result:
            if target:
                assigned[result] = target
            for x, text in zip(args, texts):
                if text and getattr(x, "origin", None) != origin:  # no part of the call itself
                    used.append((x, text))
    return assigned, used


def operands(node: Value) -> list[tuple[Any, str]]:
    """The arguments of a node that have a name where it was written."""
    return words([_call(node)])[1] if node.origin else []


def _call(node: Value) -> Call:
    assert node.op is not None is not node.origin
    return Call(node, node.origin, called(node.op), node.parents)


def _variables(wanted: dict[int, Any]) -> dict[int, str]:
    """What the learner's variables hold of that: its id, and the variable's name.

    Of a list's entries all are called after the list where one is: a loop leaves its variable.
    """
    names_of, lists = dict[int, str](), list[dict[int, str]]()
    frame = learners_frame()
    for variables in (frame.f_locals, frame.f_globals) if frame else ():
        space = {k: x for k, x in [*variables.items()] if _is_own(k)}
        queue, seen, many = deque([("", space, 0)]), {id(space)}, 0
        while queue and many < 10 * MANY:
            name, holder, depth = queue.popleft()
            form, parts = ("{}", [*space.items()]) if holder is space else _parts(holder)
            many, entries = many + len(parts), dict[int, str]()
            for key, x in parts:
                if wanted.get(id(x)) is x:
                    entries[id(x)] = name + form.format(key)
                elif depth < DEEP and type(x) not in PLAIN and id(x) not in seen:
                    seen.add(id(x))
                    queue.append((name + form.format(key), x, depth + 1))
            names_of = entries | names_of
            lists += [entries] if depth else []
    for entries in lists:
        if any(names_of.get(at) == name for at, name in entries.items()):
            names_of |= entries
    return names_of


def _is_own(key: Any) -> bool:
    """Whether a variable is the learner's."""
    return isinstance(key, str) and key.isidentifier() and key[0] != "_" and key not in NOTEBOOKS


def _parts(x: Any) -> tuple[str, list[tuple[Any, Any]]]:
    """What a list, a dict or an object holds by which key, and how a key is written behind it."""
    with suppress(Exception):  # an object may do as it likes
        several = isinstance(x, list | tuple | dict)
        inner, form = (x, "[{!r}]") if several else (getattr(x, "__dict__", {}), ".{}")
        if not isinstance(x, type | ModuleType | FunctionType) and len(inner) <= MANY:
            items = inner.items() if isinstance(inner, dict) else enumerate(inner)
            return form, [(key, part) for key, part in items if type(key) in (int, str)]
    return "", []
