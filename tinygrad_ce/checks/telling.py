"""What was found, in sentences: with the learner's names, lines and numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..engine.text import _
from ..engine.value import Value
from .births import Birth, entry_of, limit, number, place, sources, spelled
from .cures import Cure, masks
from .digits import Digits

SHOWN = 4  # nodes of a way that are named
WEAK = 0.5  # of the digits of a dtype: with fewer, the report says which step costs them


class Telling:
    """The sentences of a report about a graph."""

    def __init__(self, nodes: Sequence[Value], called: dict[Value, str]) -> None:
        self.nodes, self.called = nodes, called

    # ------------------------------------------------------------------ names
    def formula(self, node: Value) -> str:
        """A node as an equation: ``p = e / s``."""
        if node.op is None:
            return self.called[node]
        name, right = self.called[node], spelled(node.op, [self.name(x) for x in node.parents])
        return right if name.startswith(node.op.name) else f"{name} = {right}"

    def name(self, x: Any) -> str:
        """A node's name; of a constant its number, or its shape."""
        if isinstance(x, Value):
            return self.called[x]
        return number(float(x)) if np.ndim(x) == 0 else "×".join(map(str, np.shape(x)))

    def behind(self, x: Any, entry: Any) -> str:
        """The entry that an entry comes from, as far back as there is one: ``z[0, 0] = 1000``."""
        while isinstance(x, Value) and x.op is not None:
            found = [s for s in sources(x, entry) if isinstance(s[0], Value)]
            if len(found) != 1:
                break
            ((x, entry),) = found
        if not isinstance(x, Value):
            return ""
        return f"{self.called[x]}{at(entry)} = {number(entry_of(x, entry))}"

    # ------------------------------------------------------------------ sentences
    def births(self, births: Sequence[Birth], path: Sequence[Value]) -> Iterator[str]:
        """Where it began, from which numbers, and how it travelled."""
        for birth in births[:1]:
            yield from self.back(birth) if birth.target is not None else self.birth(birth)
        if len(path) > 2:
            names = [self.called[node] for node in path[1:-1]]
            names = names if len(names) <= SHOWN else [*names[: SHOWN - 1], "…", names[-1]]
            text = "It went on through {names} to {loss}."
            yield _(text, names=", ".join(names), loss=self.called[path[-1]])
        if len(births) > 1:
            others = [self.formula(b.node) for b in births[1 : SHOWN + 1]]
            text = "{n} more steps have such entries of their own: {names}."
            yield _(text, n=len(births) - 1, names=", ".join(others))

    def birth(self, birth: Birth) -> Iterator[str]:
        """A birth on the way forward, and those of the infinite numbers that met in it."""
        if birth.cause == "data":
            x, entry = birth.sources[0]
            text = "{name}{at} is {value} before anything is computed ({n} such entries): look "
            text += "where the data are from."
            fields = {"name": self.name(x), "at": at(entry), "value": birth.numbers}
            yield _(text, n=birth.entries, **fields)
            return
        text = "{value} was born in step {step}, {formula}{place}: {numbers}{at}{more}."
        more = _(", and in {n} more entries", n=birth.entries - 1) if birth.entries > 1 else ""
        where = _(" at {entry}", entry=at(birth.entry)) if birth.entry else ""
        fields = {"formula": self.formula(birth.node), "place": place(birth.node), "at": where}
        value, numbers = number(birth.value), birth.numbers
        yield _(text, value=value, step=birth.step, numbers=numbers, more=more, **fields)
        yield from self.why(birth)
        for earlier in birth.before[:2]:
            yield from self.earlier(earlier, birth.step - earlier.step)

    def earlier(self, birth: Birth, steps: int) -> Iterator[str]:
        """A birth of inf that a nan came from."""
        if birth.cause == "data":
            yield from self.birth(birth)
            return
        text = "{formula}{place} became {value} {n} steps before: {numbers}."
        text = text.replace("steps", "step") if steps == 1 else text
        fields = {"formula": self.formula(birth.node), "place": place(birth.node), "n": steps}
        yield _(text, value=number(birth.value), numbers=birth.numbers, **fields)
        yield from self.why(birth)

    def why(self, birth: Birth) -> Iterator[str]:
        """What the operation cannot do with these numbers, and which entry they come from."""
        op, kind = birth.node.op, birth.node.dtype
        given = [s for s in birth.sources if isinstance(s[0], Value)]
        behind = self.behind(*given[0]) if len(given) == 1 else ""
        text = ""
        if birth.cause == "overflow" and len(birth.sources) == 1:
            text = "{op} overflows above {limit:.5g} in {dtype}{behind}."
        elif birth.cause == "overflow":
            text = "The largest {dtype} is {largest:.2g}{behind}."
        elif birth.cause == "pole":
            text = "{op} has a pole there{behind}."
        elif birth.cause == "domain":
            text = "{op} has no real value there{behind}."
        if text:
            behind = _("; {entry}", entry=behind) if behind else ""
            most = limit(birth.node, entry_of(*birth.sources[0])) if "limit" in text else 0.0
            fields = {"limit": most, "largest": np.finfo(kind).max, "behind": behind}
            yield _(text, op=op.name, dtype=kind, **fields)

    def back(self, birth: Birth) -> Iterator[str]:
        """A birth on the way back."""
        met = _("of finite numbers its rule makes {value}", value=number(birth.value))
        if birth.upstream is not None and birth.local is not None:
            met = f"{number(birth.upstream)} × {number(birth.local)}"
        text = "The loss is finite, a gradient is not: {value} was born on the way back through "
        text += "{formula}{place}: upstream × slope is {met} for {entry}."
        fields = {"formula": self.formula(birth.node), "place": place(birth.node)}
        entry = self.behind(birth.target, birth.entry) or self.name(birth.target)
        yield _(text, value=number(birth.value), met=met, entry=entry, **fields)
        if birth.upstream == 0.0 and any(True for _mask in masks(self.nodes, birth.node)):
            yield _("np.where chooses a value, not a gradient: 0 times infinity is nan.")

    def cure(self, cure: Cure | None) -> Iterator[str]:
        """What helps, and the loss with it."""
        if cure:
            text = "Cure: {text}. The loss is then {loss:.6g}, and all gradients are finite."
            yield _(text, text=cure.text, loss=cure.loss)

    def digits(self, found: Sequence[Digits]) -> Iterator[str]:
        """Which steps cost digits, where many are gone."""
        for d in found:
            kind = self.nodes[-1].dtype
            all_of = -float(np.log10(np.finfo(kind).eps))
            if d.error > 1.0 and d is not found[0]:
                yield _("The gradient of {name} is 0 but for rounding.", name=d.name)
            elif d.digits < WEAK * all_of:
                text = "Of {name}, {digits:.0f} of {all:.0f} digits are right"
                where = [(node, 0.0) for node in d.costly if node in self.called][:1]
                lost = [(node, n) for node, n in d.cancelled if node in self.called][:1]
                if lost:
                    text += ": {n:.0f} cancel in {formula}{place}."
                    node, n = lost[0]
                elif where:
                    text += ": the rounding of {formula}{place} counts most."
                    node, n = where[0]
                else:
                    yield _(text + ".", name=d.name, digits=d.digits, all=all_of)
                    continue
                fields = {"formula": self.formula(node), "place": place(node), "n": n}
                yield _(text, name=d.name, digits=d.digits, all=all_of, **fields)


def at(entry: Any) -> str:
    """An entry, as one would write it: ``[0, 2]``."""
    return str([*map(int, entry)]) if entry else ""
