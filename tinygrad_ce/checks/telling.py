"""What was found, in sentences: with the learner's names, lines and numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..engine import ops
from ..engine.text import _
from ..engine.value import Value
from .births import Birth, Entry, Source, culprit, entry_of, is_finite, limit, sources
from .cures import Cure
from .digits import Digits
from .forms import EXACT, matched, spelled
from .wording import Names, at, number

SHOWN = 4  # nodes of a way that are named
WHY = {
    "overflow": "{op} overflows above {limit:.5g} in {dtype}",
    "underflow": "{op} underflows below {limit:.5g} in {dtype}",
    "products": "The largest {dtype} is {end.max:.2g}",
    "small products": "The smallest {dtype} is {end.smallest_subnormal:.2g}",
    "pole": "{op} is infinite there",
    "singular": "{op} is infinite of these {n} numbers",
    "domain": "{op} has no real value there",
    "indeterminate": "{numbers} has no value",
}
SEVERAL = {"overflow": "products", "underflow": "small products", "pole": "singular"}
ADVICE = {
    "overflow": "{x} is {value} there: a smaller step or start, np.clip, its logarithm, or a "
    "number subtracted that cancels",
    "pole": "{x} is {value} there: add a small number to it, or mask it before",
    "domain": "{x} is {value} there: keep it in the domain by np.maximum, np.abs or np.clip before",
    "underflow": "numbers so small underflow: compute with their logarithms, by sums of those of "
    "factors and logsumexp of those of terms",
}


def tell_births(names: Names, births: Sequence[Birth], path: Sequence[Value]) -> Iterator[str]:
    """Where it began, from which numbers, and how it travelled."""
    for birth in births[:1]:
        yield from _forward(names, birth) if birth.target is None else _backward(names, birth)
    if len(path) > 2:
        called = [names.called[node] for node in path[1:-1]]
        called = called if len(called) <= SHOWN else [*called[: SHOWN - 1], "…", called[-1]]
        text = "It went on through {names} to {loss}."
        yield _(text, names=", ".join(called), loss=names.called[path[-1]])
    others = {names.formula(b.node): None for b in births if b.node is not births[0].node}
    if others:
        yield _("Others begin in {names}.", names=", ".join([*others][:SHOWN]))


def _forward(names: Names, birth: Birth, last: Birth | None = None) -> Iterator[str]:
    """A birth on the way forward, or one before the last of them; then those before it."""
    if birth.cause == "data":
        yield _data(names, birth)
        return
    n = last.step - birth.step if last else 0
    if last is None:
        text = "{value} was born in step {step}, {formula}: {numbers}{at}{more}."
    elif n == 1:
        text = "{formula} became {value} 1 step before: {numbers}."
    else:
        text = "{formula} became {value} {n} steps before: {numbers}."
    more = _(", and in {n} more entries", n=birth.entries - 1) if birth.entries > 1 else ""
    where = _(" at {entry}", entry=at(birth.entry)) if birth.entry else ""
    fields = {"value": number(birth.value), "numbers": birth.numbers, "at": where, "more": more}
    yield _(text, step=birth.step, n=n, formula=names.equation(birth.node), **fields)
    if not birth.before:
        yield from _why(names, birth)
    before = {names.formula(b.node): b for b in sorted(birth.before, key=lambda b: -b.step)}
    for earlier in reversed(before.values()):
        yield from _forward(names, earlier, birth)


def _data(names: Names, birth: Birth) -> str:
    """What the loss was given."""
    x, entry = birth.sources[0]
    if not names.has(x):
        where = _(" at {at}", at=at(entry)) if entry else ""
        fields = {"formula": names.equation(birth.node), "value": birth.numbers, "at": where}
        return _("A constant in {formula} is {value}{at}.", **fields)
    more = _(", and {n} more entries,", n=birth.entries - 1) if birth.entries > 1 else ""
    text = "{where}{more} before anything is computed: look where the data are from."
    if isinstance(x, Value) and x.passes:  # a parameter
        text = "{where}{more} before anything is computed, and its last gradient is not finite "
        text += "either: look at the loss of the step before."
        better = "{where}{more} before anything is computed, though its last gradient is finite: "
        text = better + "look at the optimizer's step." if is_finite(x.grad) else text
    return _(text, where=names.at(x, entry, birth.value), more=more)


def _why(names: Names, birth: Birth) -> Iterator[str]:
    """What the operation cannot do with these numbers, and which entry they come from."""
    kind, op = birth.node.dtype, birth.node.op
    cause, n = birth.cause, len(birth.sources)
    cause = SEVERAL.get(cause, cause) if n > (2 if cause == "pole" else 1) else cause
    if cause in WHY and n:
        ends, source = cause in ("overflow", "underflow"), culprit(birth)
        most = limit(birth.node, entry_of(*birth.sources[0])) if ends else 0.0
        fields = {"dtype": kind, "limit": most, "end": np.finfo(kind), "n": n}
        text = _(WHY[cause], op=op and op.name, numbers=birth.numbers, **fields)
        exact = birth.cause == "underflow"
        entry = names.at(*source, entry_of(*source)) if exact else _behind(names, *source)
        said = cause == "singular" or isinstance(source[0], float)  # a number has no name
        yield _("{why}.", why=text) if said else _("{why}; {entry}.", why=text, entry=entry)


def _backward(names: Names, birth: Birth) -> Iterator[str]:
    """A birth on the way back."""
    met = _("of finite numbers its rule makes {value}", value=number(birth.value))
    if birth.upstream is not None and birth.local is not None:
        met = f"{number(birth.upstream)} × {number(birth.local)}"
    text = "The loss is finite, a gradient is not: {value} was born on the way back through "
    text += "{formula}: upstream × slope is {met} for {entry}."
    fields = {"value": number(birth.value), "formula": names.equation(birth.node)}
    yield _(text, met=met, entry=_behind(names, birth.target, birth.entry), **fields)
    if birth.upstream == 0.0 and any(node.op is ops.WHERE for node in names.nodes):
        yield _("np.where chooses a value, not a gradient: 0 times infinity is nan.")


def tell_cure(names: Names, cure: Cure | None, births: Sequence[Birth]) -> Iterator[str]:
    """What helps, and the loss with it; or what may."""
    if cure:
        text = "Cure: {text}. The loss is then {loss:.6g}, and all gradients are finite."
        yield _(text, text=cure.text, loss=cure.loss)
    elif births and births[0].sources:
        first = min((*births[0].before, births[0]), key=lambda b: b.step)
        x, entry = culprit(first)
        value = entry_of(x, entry)
        kind = "overflow" if abs(value) > 10.0 else "pole" if value == 0.0 else "of a rule"
        advice = ADVICE.get(kind if first.cause in ("rule", "indeterminate") else first.cause)
        if advice and (names.has(x) or np.ndim(x)):
            name = names(x) if names.has(x) else _("a constant")
            advice = _(advice, x=name, value=number(value))
            yield _("No change of form helps: {advice}.", advice=advice)


def tell_digits(names: Names, known: Sequence[Digits]) -> Iterator[str]:
    """Which steps cost digits, where many are gone."""
    for d in known:
        if d.error > 1.0 and d is not known[0]:
            yield _("The gradient of {name} is 0 but for rounding.", name=d.name)
        elif d.node is not None:
            text = "Of {name}, {digits:.0f} of {all:.0f} digits are right: "
            cancels = "{n:.0f} cancel in {formula}{instead}."
            text += cancels if d.cancelled else "the rounding of {formula} counts most{instead}."
            formula = names.equation(d.node)
            if d.node not in names.called and formula.count("…") > 1:
                formula = _("{op} on the way back", op=d.node.op and d.node.op.name)
            fields = {"digits": d.digits, "all": d.most, "n": d.cancelled, "formula": formula}
            yield _(text, name=d.name, instead=_instead(names, d.node), **fields)


def _instead(names: Names, node: Value) -> str:
    """NumPy's function that does not lose what cancels in a node, or in a node above it."""
    above = [n for n in names.nodes if any(x is node for x in n.parents)]
    for old, new in EXACT:
        for known in filter(None, (matched(old, n) for n in (node, *above))):
            better, where = spelled((new,), known, names)
            return _("; {function} keeps them{where}", function=better, where=where)
    return ""


# ------------------------------------------------------------------ the entry behind an entry
def _behind(names: Names, x: Any, entry: Entry) -> str:
    """The entry that an entry comes from, as far back as it has a name: ``z[0, 0] = 1000``."""
    best, steps = (x, entry), 0
    while (further := _weighty(names, x, entry)) is not None and (steps := steps + 1) < 1_000:
        x, entry = further
        best = further if not isinstance(x, Value) or names.learners(x) else best
    return names.at(*best, entry_of(*best))


def _weighty(names: Names, node: Any, entry: Entry) -> Source | None:
    """Which argument's entry makes an entry of a node what it is, if one does and has a name."""
    if not isinstance(node, Value) or node.op is None or (node.op.linear and not node.op.moves):
        return None
    named = [s for s in sources(node, entry) if names.has(s[0])]
    numbers, v = np.array([entry_of(*s) for s in named]), entry_of(node, entry)
    if len(named) != 2:
        return named[0] if len(named) == 1 else None
    if node.op.powers:  # what is 0, or the farthest from 1
        weights = numbers == 0.0 if v == 0.0 else abs(np.log(abs(numbers)))
        return named[int(np.argmax(weights))]
    if node.op.terms:
        inner = [s for s in named if isinstance(s[0], Value)]
        largest = int(np.argmax(abs(numbers)))
        cancel = abs(numbers[largest]) > 2.0 * abs(v)
        return named[largest] if not cancel else inner[0] if len(inner) == 1 else None
    same = [s for s, x in zip(named, numbers) if x == v and (node.op.piecewise or node.op.moves)]
    return same[0] if same else None
