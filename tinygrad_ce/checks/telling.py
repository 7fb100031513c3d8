"""What was found, in sentences: with the learner's names, lines and numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..engine import ops
from ..engine.text import _
from ..engine.value import Value
from .births import Birth, Source, entry_of, limit, sources
from .cures import Cure, masks
from .digits import Digits
from .wording import Names, at, number, place

SHOWN = 4  # nodes of a way that are named
WEAK = 0.5  # of the digits of a dtype: with fewer, the report says which step costs them
WHY = {
    "overflow": "{op} overflows above {limit:.5g} in {dtype}",
    "products": "the largest {dtype} is {largest:.2g}",
    "pole": "{op} is infinite there",
    "domain": "{op} has no real value there",
}
ADVICE = {
    "overflow": "{x} is {value} there: a smaller step or start, np.clip, or its logarithm",
    "pole": "{x} is {value} there: add a small number to it, or mask it before",
    "domain": "{x} is {value} there: np.maximum(x, 0.0), np.abs(x) or np.clip before",
}


class Telling:
    """The sentences of a report about a graph."""

    def __init__(self, nodes: Sequence[Value], names: Names) -> None:
        self.nodes, self.names = nodes, names

    def behind(self, x: Any, entry: Any) -> str:
        """The entry that an entry comes from, as far back as it has a name: ``z[0, 0] = 1000``."""
        best, further = (x, entry), weighty(self.names, x, entry)
        while further is not None:
            x, entry = further
            best = (x, entry) if not isinstance(x, Value) or self.names.own(x) else best
            further = weighty(self.names, x, entry)
        return self.names.at(*best, entry_of(*best))

    def births(self, births: Sequence[Birth], path: Sequence[Value]) -> Iterator[str]:
        """Where it began, from which numbers, and how it travelled."""
        for birth in births[:1]:
            yield from self.back(birth) if birth.target is not None else self.birth(birth)
        if len(path) > 2:
            names = [self.names.called[node] for node in path[1:-1]]
            names = names if len(names) <= SHOWN else [*names[: SHOWN - 1], "…", names[-1]]
            text = "It went on through {names} to {loss}."
            yield _(text, names=", ".join(names), loss=self.names.called[path[-1]])
        if len(births) > 1:
            others = {
                self.names.formula(b.node): None for b in births if b.node is not births[0].node
            }
            names = [*others][:SHOWN]
            yield from [_("Others begin in {names}.", names=", ".join(names))] if names else []

    def birth(self, birth: Birth) -> Iterator[str]:
        """A birth on the way forward, and those of the infinite numbers that met in it."""
        if birth.cause == "data":
            yield self.data(birth)
            return
        text = "{value} was born in step {step}, {formula}{place}: {numbers}{at}{more}."
        more = _(", and in {n} more entries", n=birth.entries - 1) if birth.entries > 1 else ""
        where = _(" at {entry}", entry=at(birth.entry)) if birth.entry else ""
        fields = {"formula": self.names.formula(birth.node), "place": place(birth.node)}
        fields |= {"value": number(birth.value), "numbers": birth.numbers, "at": where}
        yield _(text, step=birth.step, more=more, **fields)
        yield from self.why(birth)
        for earlier in sorted(birth.before, key=lambda b: b.step):
            if earlier.cause == "data":
                yield self.data(earlier)
                continue
            text = "{formula}{place} became {value} {n} steps before: {numbers}."
            n = birth.step - earlier.step
            text = text.replace("steps", "step") if n == 1 else text
            fields = {"formula": self.names.formula(earlier.node), "place": place(earlier.node)}
            yield _(text, value=number(earlier.value), numbers=earlier.numbers, n=n, **fields)
            yield from self.why(earlier)

    def data(self, birth: Birth) -> str:
        """What the loss was given."""
        (x, entry), formula = birth.sources[0], self.names.formula(birth.node)
        if not isinstance(x, Value) and not self.names.has(x):
            fields = {
                "value": birth.numbers,
                "at": (entry and _(" at {at}", at=at(entry))) or "",
                "place": place(birth.node),
            }
            return _("A constant in {formula}{place} is {value}{at}.", formula=formula, **fields)
        more = _(", and {n} more entries,", n=birth.entries - 1) if birth.entries > 1 else ""
        text = "{where}{more} before anything is computed: look where the data are from."
        return _(text, where=self.names.at(x, entry, birth.value), more=more)

    def why(self, birth: Birth) -> Iterator[str]:
        """What the operation cannot do with these numbers, and which entry they come from."""
        kind = birth.node.dtype
        cause = "products" if birth.cause == "overflow" and len(birth.sources) > 1 else birth.cause
        if cause in WHY:
            worst = culprit(birth)
            most = limit(birth.node, entry_of(*birth.sources[0])) if cause == "overflow" else 0.0
            fields = {"limit": most, "largest": float(np.finfo(kind).max)}
            text = _(WHY[cause], op=birth.node.op.name, dtype=kind, **fields)
            text = f"{text[:1].upper()}{text[1:]}" if cause == "products" else text
            behind = self.behind(*worst) if worst else ""
            yield f"{text}; {behind}." if behind else f"{text}."

    def back(self, birth: Birth) -> Iterator[str]:
        """A birth on the way back."""
        met = _("of finite numbers its rule makes {value}", value=number(birth.value))
        if birth.upstream is not None and birth.local is not None:
            met = f"{number(birth.upstream)} × {number(birth.local)}"
        text = "The loss is finite, a gradient is not: {value} was born on the way back through "
        text += "{formula}{place}: upstream × slope is {met} for {entry}."
        fields = {"formula": self.names.formula(birth.node), "place": place(birth.node)}
        entry = self.behind(birth.target, birth.entry)
        yield _(text, value=number(birth.value), met=met, entry=entry, **fields)
        if birth.upstream == 0.0 and any(True for _mask in masks(self.nodes, birth.node)):
            yield _("np.where chooses a value, not a gradient: 0 times infinity is nan.")

    def cure(self, cure: Cure | None, births: Sequence[Birth]) -> Iterator[str]:
        """What helps, and the loss with it; or what may."""
        if cure:
            text = "Cure: {text}. The loss is then {loss:.6g}, and all gradients are finite."
            yield _(text, text=cure.text, loss=cure.loss)
        for birth in births[:1] if not cure else ():
            first = min((*birth.before, birth), key=lambda b: b.step)
            at = (birth.target, birth.entry) if birth.target is not None else culprit(first)
            kind = "overflow" if abs(entry_of(*at)) > 10.0 else "pole"
            advice = ADVICE.get(kind if first.cause in ("rule", "indeterminate") else first.cause)
            if advice and self.names.has(at[0]):
                x, value = self.names(at[0]), number(entry_of(*at))
                yield _("No change of form helps: {advice}.", advice=_(advice, x=x, value=value))

    def digits(self, found: Sequence[Digits]) -> Iterator[str]:
        """Which steps cost digits, where many are gone."""
        for d in found:
            all_of = -float(np.log10(np.finfo(self.nodes[-1].dtype).eps))
            if d.error > 1.0 and d is not found[0]:
                yield _("The gradient of {name} is 0 but for rounding.", name=d.name)
            elif d.digits < WEAK * all_of:
                text, fields = "Of {name}, {digits:.0f} of {all:.0f} digits are right", {}
                for node, n in d.cancelled[:1]:
                    text += ": {n:.0f} cancel in {formula}{place}{instead}"
                    fields = {"n": n, "instead": self.instead(node)}
                for node in d.costly[: not d.cancelled]:
                    text += ": the rounding of {formula}{place} counts most{instead}"
                    fields = {"instead": self.instead(node)}
                if fields:
                    fields |= {"formula": self.names.formula(node), "place": place(node)}
                yield _(text + ".", name=d.name, digits=d.digits, all=all_of, **fields)

    def instead(self, node: Value) -> str:
        """NumPy's function that does not lose them."""
        args = [x for x in node.parents if isinstance(x, Value)]
        ones = [x for x in node.parents if not isinstance(x, Value) and np.all(x == 1.0)]
        if len(args) != 1 or not ones or node.op not in (ops.ADD, ops.SUBTRACT):
            return ""
        if args[0].op is ops.EXP:
            return _("; np.expm1({x}) keeps them", x=self.names(args[0].parents[0]))
        above = [n for n in self.nodes if n.op is ops.LOG and n.parents[0] is node]
        sign = "-" if node.op is ops.SUBTRACT and args[0] is node.parents[1] else ""
        text = _("; np.log1p({sign}{x}) keeps them", sign=sign, x=self.names(args[0]))
        return text if above else ""


def culprit(birth: Birth) -> Source:
    """Which of the numbers that met makes the result what it is."""
    domain = (birth.node.op and birth.node.op.domain) or ()
    pairs = [*zip(birth.sources, domain)] if len(domain) == len(birth.sources) else []
    out = [s for s, (low, high) in pairs if not low < entry_of(*s) < high]
    if birth.cause != "overflow" and out:
        return out[-1]
    return max(birth.sources, key=lambda s: abs(entry_of(*s)))


def weighty(names: Names, node: Any, entry: Any) -> Source | None:
    """Which argument's entry makes an entry of a node what it is, if one does and has a name."""
    if not isinstance(node, Value) or node.op is None or (node.op.linear and not node.op.moves):
        return None
    given = [s for s in sources(node, entry) if names.has(s[0])]
    numbers, v = np.array([entry_of(*s) for s in given]), entry_of(node, entry)
    if len(given) != 2:
        return given[0] if len(given) == 1 else None
    if node.op.powers:  # what is 0, or the farthest from 1
        weights = numbers == 0.0 if v == 0.0 else abs(np.log(abs(numbers)))
        return given[int(np.argmax(weights))]
    if node.op.terms:
        inner = [s for s in given if isinstance(s[0], Value)]
        largest = int(np.argmax(abs(numbers)))
        cancel = abs(numbers[largest]) > 2.0 * abs(v)
        return given[largest] if not cancel else inner[0] if len(inner) == 1 else None
    same = [s for s, x in zip(given, numbers) if x == v and (node.op.piece or node.op.moves)]
    return same[0] if same else None
