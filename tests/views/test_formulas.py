"""How rules read: the table's LaTeX, filled with names or numbers, and as plain text."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from conftest import need
from helpers.graphs import texts
from helpers.operations import OPS
from hypothesis import assume, given
from hypothesis import strategies as st

from tinygrad_ce import primitive
from tinygrad_ce.engine.operation import TABLE, Primitive
from tinygrad_ce.engine.ops import DIVIDE, EXP, MATMUL, POWER, WHERE
from tinygrad_ce.views.formulas import (
    Formula,
    equation,
    fill,
    inline,
    name,
    number,
    plain,
    rule,
    slope,
    summarise,
    symbol,
)

NAMED = {k: name(x) for k, x in {"x": "a", "y": "b", "z": "c", "out": "o", "g": "G"}.items()}


# ------------------------------------------------------------------ the table as text
@pytest.mark.parametrize("op", OPS.values(), ids=OPS)
def test_every_text_of_the_table_loses_its_latex_and_keeps_its_placeholders(op: Primitive) -> None:
    for latex in op.latex:
        text = plain(latex)
        assert not re.search(r"[\\{}]", text), text
        assert re.findall(r"<\w+>", text) == re.findall(r"<\w+>", latex)
        assert "<" not in re.sub(r" < ", "", fill(latex, **NAMED).text)


@pytest.mark.parametrize(
    ("latex", "text"),
    [
        (rule(DIVIDE), "a / b"),
        (rule(DIVIDE, 1), "−G · a / b²"),
        (rule(POWER, 0), "G · b · a^(b − 1)"),
        (rule(EXP, 0), "G · e^a"),
        (rule(MATMUL, 1), "aᵀ G"),
        (rule(TABLE[np.mean]), "1/n Σ a"),
        (rule(WHERE), "b if a else c"),
        (rule(WHERE, 2), "G · [not a]"),
        (rule(TABLE[np.clip]), "clip(a, b, c)"),
        (rule(TABLE[np.clip], 0), "G [b ≤ a ≤ c]"),
        (r"G / (2 \sqrt{<x>})", "G / (2 √a)"),
        (r"\log(e^{<x>} + e^{<y>})", "log(e^a + e^b)"),
        (r"\sigma(<x>) + \lambda \Phi(<y>)", "σ(a) + λ Φ(b)"),
        (r"<g> \cdot (1 - \tanh^2 <x>)", "G · (1 − tanh² a)"),
        (r"<x> \to [\dots]", "a → […]"),
        (r"\operatorname{leaky\_relu}(<x>)", "leaky_relu(a)"),
        (r"\mathrm{softmax} <x>", "softmax a"),
    ],
)
def test_as_a_reader_would_write_it(latex: str, text: str) -> None:
    assert fill(latex, **NAMED).text == text


def test_one_rule_serves_any_number_of_arguments() -> None:
    assert rule(TABLE[np.concatenate], 0) == rule(TABLE[np.concatenate], 5) == r"<g>[\dots]"
    assert fill(rule(TABLE[np.concatenate]), x=name("a")).text == "[a, …]"
    assert fill(rule(TABLE[np.einsum]), x=name("a")).text.strip() == "Σ a"


def test_an_operation_with_an_odd_name_is_still_latex() -> None:
    op = primitive(lambda g, out, x: g)(lambda x: x)
    assert op.name == "<lambda>"
    assert rule(op) == "<op>(<args>)"
    text, latex, _ = fill(rule(op), op=name(op.name), args=Formula("a, b", "a, b"))
    assert latex == r"{\lt \text{lambda}\gt }(a, b)"
    assert text == "<lambda>(a, b)"
    assert rule(TABLE[np.clip]).startswith(r"\operatorname{clip}(")


# ------------------------------------------------------------------ numbers
@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("<x> + <y>", "-2 + (-3)"),
        ("e^{<x>}", "e^{-2}"),
        (r"\max(<x>, <y>)", r"\max(-2, -3)"),
        ("|<x>|", "|-2|"),
        ("<x>^2", "(-2)^2"),
        ("<x>^{<y>}", "(-2)^{-3}"),
        (r"\frac{<x>}{<y>}", r"\frac{-2}{-3}"),
        (r"[<x> > <y>]", "[-2 > (-3)]"),
    ],
)
def test_a_negative_number_gets_the_brackets_it_needs(text: str, filled: str) -> None:
    assert fill(text, x=number(-2.0), y=number(-3.0)).latex == filled


@pytest.mark.parametrize(
    ("x", "text", "latex"),
    [
        (0.14641, "0.1464", "0.1464"),
        (-1.21682, "−1.217", "-1.217"),
        (-0.0, "0", "0"),
        (1e-5, "1e−05", r"1 \times 10^{-5}"),
        (6.02214e23, "6.022e+23", r"6.022 \times 10^{23}"),
        (np.inf, "inf", r"\infty"),
        (-np.inf, "−inf", r"-\infty"),
        (np.nan, "nan", r"\text{nan}"),
        (True, "1", "1"),
        (np.float32(0.1), "0.1", "0.1"),
        (np.array([1.0, -0.5]), "[1, −0.5]", r"[1,\, -0.5]"),
        (np.array([[7.0]]), "[7]", "[7]"),
        (np.zeros(5), "(5)", "(5)"),
        (np.zeros((5, 4)), "(5×4)", r"(5 \times 4)"),
        (np.zeros(0), "[]", "[]"),
    ],
)
def test_data_in_a_line(x: object, text: str, latex: str) -> None:
    assert number(x)[:2] == (text, latex)


def test_a_slope_is_transposed_as_a_whole_and_a_vector_needs_no_brackets() -> None:
    turned = fill(r"<g>^\top", g=slope("L", "z"))
    assert turned[:2] == ("(∂L/∂z)ᵀ", r"\left(\frac{\partial L}{\partial z}\right)^\top")
    vector = fill(r"\odot <x>", x=number(np.array([1e-7, -2.0])))
    assert vector[:2] == ("⊙ [1e−07, −2]", r"\odot [1 \times 10^{-7},\, -2]")
    assert fill("<x> / <y>", x=number(1.0), y=number(-np.inf)).latex == r"1 / (-\infty)"


def test_how_a_formula_ends() -> None:
    a, rule, large = name("a"), Formula("b · c", "b c"), np.zeros((5, 4))
    numbers = [number(5.0), fill(r"\times <x>", x=number(-2.5))]
    pieces = equation(a, 2.5, rule, numbers)
    assert [x.text for x in pieces] == ["a", "= b · c", "= 5", "× (−2.5)", "= 2.5"]
    pieces = equation(a, large, rule, [number(large)], r"\mathrel{+}=")
    assert [x.text for x in pieces] == ["a", "+= b · c:", "(5×4)", "→ (5×4)"]
    assert [x.latex for x in equation(a, large)] == ["a:", r"(5 \times 4)"]
    assert equation(a, large, rule, [number(2.0)])[-1].latex == r"\to (5 \times 4)"
    assert fill(r"<x> \cdot <y>", x=a, y=number(1e9)).latex == r"a \cdot (1 \times 10^{9})"


@given(st.floats(-1e300, 1e300))
def test_four_significant_digits_are_right(x: float) -> None:
    text, latex, _ = number(x)
    shown = float(text.replace("−", "-"))
    assert shown == 0.0 == x or abs(shown - x) <= 0.5001e-3 * abs(x)
    mantissa, _, power = latex.partition(r" \times 10^{")
    assert float(mantissa) * 10.0 ** float(power.strip("}") or 0) == pytest.approx(shown)


# ------------------------------------------------------------------ names are data
@pytest.mark.parametrize(
    ("name", "latex"),
    [
        ("z", "z"),
        ("z1", "z_{1}"),
        ("z_12", "z_{12}"),
        ("loss", r"\text{loss}"),
        ("exp_2", r"\text{exp}_{2}"),
        ("a_b", r"{\text{a}\_\text{b}}"),
        ("50%", r"{\text{50}\%}"),
        ("로짓", r"\text{로짓}"),
        ("로짓1", r"\text{로짓}_{1}"),
        ("🎲", r"\text{🎲}"),
        ("", r""),
        ("<script>", r"{\lt \text{script}\gt }"),
        ("a\nb", r"{\text{a}\backslash \text{nb}}"),
    ],
)
def test_names_in_latex(name: str, latex: str) -> None:
    assert symbol(name or " ") == (latex or r"\text{ }")


@given(texts(min_size=1))
def test_no_name_breaks_latex(name: str) -> None:
    """Braces balance, no command but ours appears, and \\text holds nothing that is special."""
    latex = symbol(name)
    depth = 0
    for token in re.findall(r"\\[a-z]+|\\.|[{}]", latex):
        depth += {"{": 1, "}": -1}.get(token, 0)
        assert depth >= 0
    assert depth == 0
    commands = set(re.findall(r"\\([a-z]+)", latex))
    assert commands <= {"text", "backslash", "hat", "sim", "lt", "gt"}
    for text in re.findall(r"\\text\{(.*?)\}", latex):
        assert not set(text) & set("#$%&_\\^~<>{")
    assert "\n" not in latex


@given(texts(min_size=1))
def test_a_name_stays_on_its_line(name: str) -> None:
    assert inline(name).isprintable()
    assert inline("abc 로짓 🎲") == "abc 로짓 🎲"


# ------------------------------------------------------------------ through the converter
def mathml(latex: str) -> ElementTree.Element:
    return ElementTree.fromstring(need("latex2mathml.converter").convert(latex))


@given(texts(min_size=1))
def test_mathml_shows_every_name_as_it_is(name: str) -> None:
    assume(not re.fullmatch(r"[^\W\d_]+_?[0-9]+", name))  # z_1: the index stands lower
    shown = "".join(mathml(symbol(name)).itertext()).replace("\xa0", " ")
    assert shown == inline(name)


@pytest.mark.parametrize("op", OPS.values(), ids=OPS)
def test_every_text_of_the_table_becomes_mathml(op: Primitive) -> None:
    for latex in (rule(op), *op.latex[1:]):
        formula = fill(latex, **NAMED | {"x": name("z_1")})
        shown = "".join(mathml(formula.latex).itertext())
        assert "\\" not in shown
        assert not re.search("<[a-z]+>", shown)


def test_a_mean_that_is_dust_of_rounding_is_0() -> None:
    x = np.array([0.1, 0.2, -0.3, 0.7, 0.1, -0.8, 0.0])
    assert 0.0 < abs(x.mean()) < 1e-16
    assert summarise(x) == "−0.8 … 0.7, mean 0"
    assert summarise(x + 1e-12) == "−0.8 … 0.7, mean 1e−12"
