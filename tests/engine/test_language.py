"""Text in the reader's language: which language, from which file, with which particles."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tinygrad_ce.engine import language as module
from tinygrad_ce.engine.language import Sentence, filled, language, speaking, spoken
from tinygrad_ce.engine.particles import ending, particles

VARIABLES = ("TINYGRAD_CE_LANG", "LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("ko_KR.UTF-8", "ko"), ("ko", "ko"), ("ko-KR", "ko"), ("ko:en", "ko"), ("Korean", "ko"),
        ("Korean_Korea.949", "ko"), ("en_GB.UTF-8", "en"), ("English_United States.1252", "en"),
        ("kok_IN", "en"), ("C.UTF-8", "en"), ("C", "en"), ("../ko", "en"), ("fr_FR", "en"),
    ],
)  # fmt: skip
def test_a_name_of_a_language_is_read_as_any_system_writes_it(
    name: str, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANG", name)
    assert language() == code
    assert (filled("stopped", {}) == "stopped") is (code != "ko")


def test_the_nearest_wish_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, wish in [("LANG", "ko"), ("LC_ALL", "en"), ("TINYGRAD_CE_LANG", "ko")]:
        monkeypatch.setenv(name, wish)
        assert language() == wish
    with speaking("en"):
        assert language() == "en"
        with speaking("ko"), speaking():
            assert language() == "ko"
        assert language() == "en"
    assert language() == "ko"


def test_without_a_variable_it_is_the_system_that_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows there is none; C's library knows the user's language, and Python asks it."""
    monkeypatch.setattr(module, "setlocale", lambda category: "Korean_Korea.949")
    assert language() == "ko"


def test_a_language_that_there_is_not_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="lang: got 'fr', wanted one of en, ko"), speaking("fr"):
        pass


def test_english_reads_no_file_and_the_import_waits_for_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TINYGRAD_CE_LANG", "en")
    code = (
        "import sys, tinygrad_ce.engine\n"
        "assert 'tinygrad_ce.engine.language' not in sys.modules\n"
        "from tinygrad_ce.engine.text import _\n"
        "sys.addaudithook(lambda name, args: name == 'open' and print(args[0]))\n"
        "assert _('stopped') == 'stopped'\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ".po" not in run.stdout


def test_a_file_is_read_as_editors_of_translations_write_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = r"""# who
msgid ""
msgstr ""
"Language: xx\n"

#: a.py
#, python-brace-format
msgid "{x} is a \"name\"\n"
msgstr ""
"{x}: "
"\"Name\"\n"

msgid "not yet"
msgstr ""

#~ msgid "gone"
#~ msgstr "weg"
"""
    (tmp_path / "xx.po").write_text(text, encoding="utf-8")
    monkeypatch.setattr(module, "__file__", str(tmp_path / "language.py"))
    assert module.catalogue.__wrapped__("xx") == {'{x} is a "name"\n': '{x}: "Name"\n'}
    assert module.catalogue.__wrapped__("yy") == {}


def test_a_sentence_is_known_by_its_english_text_and_spoken_in_another() -> None:
    inner = Sentence("{n} more", n=3)
    sentence = Sentence("{text}, and so it is with {n} more", text=inner, n=2)
    assert sentence == "3 more, and so it is with 2 more"
    with speaking("ko"):
        assert spoken(sentence) != sentence
        assert "3" in spoken(sentence)
        assert "more" not in spoken(sentence)
        assert spoken("a text that nobody translated") == "a text that nobody translated"
    assert spoken(sentence) == sentence


@pytest.mark.parametrize(
    ("words", "form"),
    [
        # which of 을/를, 이/가, 은/는, 과/와, 으로/로, 이라/라: by how it is read
        ("기울기 노드 a b c e f g h i j k o p q s t u v w x y z W A", "를 가 는 와 로 라"),
        ("값 손실값 n m N M 0 3 6 10 100 1000 λε ε ² 4² nan", "을 이 은 과 으로 이라"),
        ("확률 걸음들 l r L R 1 7 8 x1 1e-17 0.8", "을 이 은 과 로 이라"),
        ("2 4 5 9 12 1e-12 0.5 float32 float64 ∞ σ π pᵢ zⱼ 50%", "를 가 는 와 로 라"),
        (
            "loss weights logits softmax exp np.log max bias grad log_softmax",
            "를 가 는 와 로 라",
        ),
        ("sum mean min step target logit input block line name x_train", "을 이 은 과 으로 이라"),
        ("total label scale NLL", "을 이 은 과 로 이라"),
        ("z[10] f(n) `name` “값” (n)", "을 이 은 과 으로 이라"),
        ("|z[2]| f(x) `softmax` “기울기” ∂L/∂z e.sum()[2]", "를 가 는 와 로 라"),
    ],
)
def test_a_particle_goes_with_the_last_sound(words: str, form: str) -> None:
    both = ["을(를)", "이(가)", "은(는)", "과(와)", "(으)로", "(이)라"]
    for word in words.split():
        for particle, right in zip(both, form.split()):
            assert particles(f"{word}{particle} 끝") == f"{word}{right} 끝", ending(word)


def test_a_known_mistake_keeps_its_name_and_its_look_apart_in_every_language() -> None:
    one = Sentence("{n} forgotten: where is {n}?", n="z")
    both = Sentence("{one:name}, and {other:name}: {one:look}; {other:look}", one=one, other=one)
    assert both == "z forgotten, and z forgotten: where is z?; where is z?"
    assert spoken(both) == both


def test_brackets_behind_a_word_and_signs_are_not_read() -> None:
    for text, said in {
        "e = exp(z) (a.py, 27번째 줄)이(가)": "e = exp(z) (a.py, 27번째 줄)가",
        "손실 (1번째 줄)은(는)": "손실 (1번째 줄)은",
        "sum(exp(z - …))은(는)": "sum(exp(z - …))는",
        "(1, 2)(이)어야 합니다": "(1, 2)여야 합니다",
        "10(이)어야 한다": "10이어야 한다",
        "n(이)라는": "n이라는",
        "z(이)라는": "z라는",
    }.items():
        assert particles(text) == said


def test_particles_are_left_as_they_are_where_nothing_tells() -> None:
    for text in ("→을(를)", "을(를) 앞", "", "이(는) 말", "함수 f(이) ", "(이)", "(…)은(는)"):
        assert particles(text) == text
