"""Formulas of a derivation, read and computed with no help of the package."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

FUNCTIONS: dict[str, Any] = {
    "exp": np.exp, "log": np.log, "tanh": np.tanh, "sign": np.sign, "clip": np.clip,
    "diag": np.diag, "concatenate": np.concatenate, "stack": np.stack, "einsum": np.einsum,
    "broadcast": lambda x: x, "full": lambda x: x,
}  # fmt: skip
COMPARISONS = {
    "=": np.equal, "≠": np.not_equal, "<": np.less, ">": np.greater, "≤": np.less_equal,
    "≥": np.greater_equal,
}  # fmt: skip
EINSUM = r"[a-z]+(?:,[a-z]+)*->[a-z]*"
NAME, NUMBER = r"[^\W\dᵢⱼₖᵀ²][^\Wᵀ²]*", r"\d[\d.]*(?:e[+−]?\d+)?"
TOKEN = rf"{EINSUM}|∂\w+/∂\w+|Σ[ᵢⱼₖ]*|(?:max|min)[ᵢⱼₖ]*(?=\()|{NUMBER}|{NAME}|, |\S| "


class Reader:
    """A formula as a number or array; sums over a part of the axes keep these."""

    def __init__(self, text: str, known: dict[str, Any]) -> None:
        self.tokens, self.known = re.findall(TOKEN, text), known

    def compute(self) -> Any:
        found = self.choice()
        assert not self.tokens, self.tokens
        return found

    def take(self, *wanted: str, spaced: bool = False) -> str:
        """Take the next token if it is one of these; ``spaced`` takes a blank on each side."""
        at = 1 if spaced else 0
        if spaced and self.tokens[:1] != [" "]:
            return ""
        if self.tokens[at : at + 1] and self.tokens[at] in wanted:
            found = self.tokens[at]
            assert not spaced or self.tokens[2] == " "
            del self.tokens[: 3 if spaced else 1]
            return found
        return ""

    def choice(self) -> Any:
        found = self.compared()
        if self.take("if", spaced=True):
            condition = self.compared()
            assert self.take("else", spaced=True)
            found = np.where(condition, found, self.compared())
        return found

    def compared(self) -> Any:
        found = self.terms()
        if sign := self.take(*COMPARISONS, spaced=True):
            found = COMPARISONS[sign](found, self.terms())
        return found

    def terms(self) -> Any:
        found = -self.factors() if self.take("−") else self.factors()
        while sign := self.take("+", "−", spaced=True):
            other = self.factors()
            found = found + other if sign == "+" else found - other
        return found

    def factors(self) -> Any:
        found = self.products()
        while sign := self.take("·", "/", spaced=True):
            other = self.products()
            found = found * other if sign == "·" else found / other
        return found

    def products(self) -> Any:
        found = self.tight()
        others = [*"−+·/=<>≤≥≠", "if", "else"]
        while self.tokens[:1] == [" "] and self.tokens[1] not in others:
            del self.tokens[0]
            found = found @ self.tight()
        return found

    def tight(self) -> Any:
        if self.tokens[0][0] == "Σ":
            axes = tuple("ᵢⱼₖ".index(a) for a in self.tokens.pop(0)[1:])
            self.take(" ")
            x = self.tight()
            return np.sum(x, axis=axes, keepdims=True) if axes else np.sum(x)
        if self.take("√"):
            return np.sqrt(self.tight())
        found = self.atom()
        while sign := self.take("²", "ᵀ", "^", "["):
            if sign == "[":
                found = found[self.index()]
            else:
                found = found.T if sign == "ᵀ" else found ** (2 if sign == "²" else self.power())
        return found

    def power(self) -> Any:
        return -self.atom() if self.take("−") else self.atom()

    def index(self) -> Any:
        """What stands before the ]."""
        end = self.tokens.index("]")
        text = "".join(self.tokens[:end]).replace("−", "-")
        del self.tokens[: end + 1]
        return eval(f"np.s_[{text}]", {"np": np, "rows": self.known.get("rows")}, self.known)

    def several(self, end: str) -> list[Any]:
        found = [self.choice()]
        while self.take(", "):
            found.append(self.choice())
        assert self.take(end)
        return found

    def atom(self) -> Any:
        if self.take("("):
            [found] = self.several(")")
            return found
        if self.take("|"):
            [found] = self.several("|")
            return np.abs(found)
        if self.take("["):
            return self.several("]")
        token = self.tokens.pop(0)
        if token[0].isdigit():
            return float(token.replace("−", "-"))
        if self.take("("):
            name, args = token.rstrip("ᵢⱼₖ"), self.several(")")
            if name in ("max", "min"):
                return self.extremum(name, token[3:], args)
            return (FUNCTIONS.get(name) or getattr(np, name))(*args)
        return token if "->" in token else self.known[token]

    def extremum(self, name: str, axes: str, args: list[Any]) -> Any:
        if len(args) == 2:
            return getattr(np, f"{name}imum")(*args)
        axis = tuple("ᵢⱼₖ".index(a) for a in axes)
        return getattr(np, name)(args[0], axis=axis or None, keepdims=bool(axis))
