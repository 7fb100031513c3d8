"""What a Korean reader sees: no English sentence is left, and what programs read stays English."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from conftest import Visit, need, some_quick

import tinygrad_ce
from tinygrad_ce import (
    Value,
    cross_entropy,
    derive,
    diagnose,
    draw,
    exercises,
    fuse,
    gradcheck,
    scope,
    softmax,
    step_through,
    watching,
)
from tinygrad_ce.__main__ import main
from tinygrad_ce.exercises import sigmoid as ex

ENGLISH = r"(?<![.\w(])[a-z]{2,} [a-z]{2,}(?![\w(])"  # two words beside each other
CODE = re.compile(r"(?m)^(import |def |    |  ).*$|`[^`]*`|<[^>]*>|pip install.*$")


def left(text: str) -> list[str]:
    """English words that stand beside each other, but for code."""
    return re.findall(ENGLISH, CODE.sub("", text))


def loss(z: Any, t: Any) -> Any:
    e = np.exp(z)
    s = e.sum()
    p = e / s
    return -(t * np.log(p)).sum()


Z, T = np.array([3.2, 1.3, 0.5]), np.array([1.0, 0.0, 0.0])


@pytest.fixture
def korean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYGRAD_CE_LANG", "ko")


def test_the_check_can_fail() -> None:
    assert left("이 값은 too large 입니다") == ["too large"]
    assert left("exp(z)를 z로 나눈 np.log, float64 (3,)입니다") == []


def test_a_picture_says_all_in_korean() -> None:
    z = Value(np.arange(12.0).reshape(3, 4), "z")
    with scope("softmax"):
        p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    out = -np.log(p).sum()
    for backward in (False, True, True):
        if backward:
            out.backward()
        for drawing in (
            draw(out, lang="ko"),
            draw(out, lang="ko", collapse=["softmax"]),
            draw(out, lang="ko", max_nodes=3),
            draw(out, lang="ko", gradients="edges"),
        ):
            assert left(drawing.text) == [], drawing.text
            assert "값 " in drawing.text
    made = draw(loss(Value(Z), T), fused=fuse(loss(Value(Z), T)), lang="ko")
    assert left(made.text.replace("cross_entropy", "")) == []
    assert "값 " not in draw(out).text


@pytest.mark.slow
def test_a_thing_speaks_the_language_it_was_made_in(korean: None) -> None:
    steps, derivation = step_through(loss, Z, T), derive(loss, Z, T)
    report, feedback = diagnose(loss, Z, T), ex.check(lambda z: z)
    for thing in (steps, derivation, report, feedback):
        assert re.search("[가-힣]", str(thing))
        before = str(thing)
        with tinygrad_ce.engine.language.speaking("en"):
            assert str(thing) == before
    with pytest.raises(ValueError, match="lang: 받은 것은 'fr'"):
        draw(Value(1.0), lang="fr")


def test_lang_speaks_korean_to_who_reads_english() -> None:
    for said in (
        step_through(loss, Z, T, lang="ko"),
        derive(loss, Z, T, sums_to_one="t", lang="ko"),
        diagnose(loss, Z * 1000, T, lang="ko"),
        ex.check(lambda z: z, lang="ko"),
        ex.hint(1, lang="ko"),
        ex.solution(lang="ko"),
    ):
        assert re.search("[가-힣]", str(said))
        assert left(str(said)) == [], said
    assert not re.search("[가-힣]", str(step_through(loss, Z, T)))


def answers(ex: Any) -> Iterator[Any]:
    """Wrong answers of every kind to an exercise."""
    right = ex.derivative
    yield right
    yield lambda *args: None
    yield lambda *args: 3
    yield lambda *args: -np.asarray(right(*args)) if len(ex.wrt) == 1 else right(*args)[::-1]
    yield lambda *args: args[0][99]
    yield lambda *args: np.asarray(args[0]) / 0.0


@pytest.mark.parametrize("name", some_quick(exercises.names(), 6))
def test_an_exercise_says_all_in_korean(name: str, korean: None) -> None:
    ex = exercises.load(name)
    notes = [ex, ex.solution(), *(ex.hint(k + 1) for k in range(len(ex.hints)))]
    if not ex.asks:
        notes += [ex.check(f) for f in answers(ex)]
    for note in notes:
        text = re.sub(r"import numpy(.|\n)*|def (.|\n)*|[(:]\s?\w+Error: .*", "", str(note))
        assert left(text.replace("\n", " ")) == [], text
        assert re.search("[가-힣]", note._repr_html_())


def test_mistakes_credits_and_json_are_english_in_every_language() -> None:
    ex = exercises.load("softmax_cross_entropy")
    english, korean = (ex.check(lambda z, t: softmax(z), lang=lang) for lang in ("en", "ko"))
    assert english.mistake == korean.mistake == "t left out"
    mine, other = (json.loads(feedback.to_json()) for feedback in (english, korean))
    assert mine.keys() == other.keys()
    for key in ("exercise", "passed", "score", "mistake"):
        assert mine[key] == other[key]
    names = [[credit["name"] for credit in feedback["credits"]] for feedback in (mine, other)]
    assert names[0] == names[1]
    assert mine["example"]["yours"].keys() == other["example"]["yours"].keys()
    assert "t를 빠뜨림" in korean.message

    bad = np.array([1000.0, 1.0, 2.0])
    reports = [json.loads(diagnose(loss, bad, T, lang=lang).to_json()) for lang in ("en", "ko")]
    assert reports[0].keys() == reports[1].keys()
    assert [b["cause"] for b in reports[0]["births"]] == [b["cause"] for b in reports[1]["births"]]


@pytest.mark.slow
def test_json_of_the_command_is_english(
    korean: None, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "answer.py"
    path.write_text("def gradient(z):\n    return None\n")
    main(["exercise", "sigmoid", "--file", str(path), "--json"])
    said = capsys.readouterr().out
    assert "returns None" in said
    assert not re.search("[가-힣]", said)
    path.write_text("def gradient(z):\n    return unknown\n")  # which its own process tells
    main(["exercise", "sigmoid", "--file", str(path), "--json"])
    assert "your line 2" in capsys.readouterr().out
    path.write_text("def gradient(z):\n    return None\n")
    main(["exercise", "sigmoid", "--file", str(path)])
    assert "None을 돌려줍니다" in capsys.readouterr().out


@pytest.mark.slow
def test_the_terminal_says_all_in_korean(
    korean: None, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["--out", str(tmp_path)])
    said = capsys.readouterr().out
    assert re.findall(ENGLISH, said.partition("\n저장한 파일")[0]) == []
    assert "앞으로: 노드마다" in said
    for arguments in (["--help"], ["exercise", "--help"]):
        with pytest.raises(SystemExit):
            main(arguments)
        help_ = capsys.readouterr().out
        assert help_.startswith("사용법: tinygrad-ce")
        assert re.findall(r"(?m)^[a-z ]+:$|show this", help_) == []
    main(["exercise"])
    assert left(capsys.readouterr().out.replace("tinygrad-ce exercise", "")) == []


def test_reports_say_all_in_korean(korean: None) -> None:
    np_where = lambda x: np.where(x > 0, np.sqrt(x), 0.0).sum()
    with np.errstate(all="ignore"):
        for report in (
            diagnose(loss, np.array([1000.0, 1.0, 2.0]), T),
            diagnose(np_where, np.array([0.0, 4.0])),
            diagnose(lambda z: cross_entropy(softmax(z), np.arange(3)), np.eye(3)),
            diagnose(lambda x: (np.exp(x) - 1.0).sum(), np.array([1e-5], np.float32)),
            diagnose(lambda p: -(p * np.log(p)).sum(), np.array([0.0, 1.0])),
            gradcheck(loss, Z, T),
            gradcheck(lambda x: (x**2).sum(), Z, gradient=lambda x: x),
        ):
            assert left(re.sub("input \\d|pass|fail", "", str(report))) == [], report
            assert re.search("[가-힣]", str(report))


READ = """() => {
  const labels = [...document.querySelectorAll('[aria-label], [title]')]
    .flatMap(e => [e.getAttribute('aria-label'), e.getAttribute('title')]);
  const texts = [...document.querySelectorAll('body *:not(script):not(style):not(template)')]
    .filter(e => !e.closest('svg, pre, math, .words, template') && !e.children.length)
    .map(e => e.textContent);
  return [...labels, ...texts].filter(Boolean);
}"""
# What is not a word of the page: names of nodes and operations, which the learner's code has.
NAMES = {
    "exp",
    "sum",
    "log",
    "divide",
    "multiply",
    "negative",
    "loss",
    "upstream",
    "local",
    "nan",
    "inf",
}


@pytest.mark.slow
@pytest.mark.parametrize("alive", [True, False])
def test_the_page_says_all_in_korean(alive: bool, visit: Visit) -> None:
    need("latex2mathml")
    z = Value(Z, "z")
    steps = step_through(loss, Z, T, fused=cross_entropy, lang="ko") if alive else None
    tab = visit(steps or step_through(loss(z, T), fused=cross_entropy(z, T), lang="ko"))
    assert tab.evaluate("document.documentElement.lang") == "ko"
    tab.check("#predict")
    seen = set(tab.evaluate(READ))
    for level in ("number", "derivative", "edge") if alive else ("number",):
        tab.select_option("#level", level)
        for _step in range(20):
            for guess in ("", "7", "1/s", "q"):
                if tab.locator("#guess").is_visible():
                    tab.fill("#guess", guess)
                    tab.press("#guess", "Enter")
                elif tab.locator(".predict").is_visible():
                    tab.click(".predict button:not([type])")
                seen |= set(tab.evaluate(READ))
            tab.evaluate("document.querySelector('#next').click()")
            seen |= set(tab.evaluate(READ))
        tab.evaluate("document.querySelector('#first').click()")
    if alive:
        tab.click("#down")
        seen |= set(tab.evaluate(READ))
        assert any(text.startswith("손실 ") for text in seen)
    values = tab.locator("svg text:not(.ahead)").all_text_contents()
    assert any(text.startswith("값 ") for text in values)
    assert any(text.startswith("기울기 ") for text in values)
    for text in seen:
        words = {*re.findall("(?<![A-Za-z])[a-z]{3,}(?![A-Za-z])", text)} - NAMES
        assert not words, text


def test_watching_says_what_numpy_met_in_korean(korean: None) -> None:
    with pytest.raises(FloatingPointError, match=r"exp에서 오버플로.*diagnose"), watching():
        np.exp(Value(1000.0) * 2.0)
