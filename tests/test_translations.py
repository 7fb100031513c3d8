"""Every sentence for users has a translation, with the same fields and in the usual words."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from string import Formatter

import messages
import pytest
from conftest import found

from tinygrad_ce.engine import language
from tinygrad_ce.engine.language import speaking

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
KOREAN = language.catalogue("ko")
# A particle after a field is written in both forms, which `particles` chooses from.
ALONE = r"\}(을|를|은|는|과|와|으로|로|이|가)(?=[\s,.)]|$)"

in_each = pytest.mark.parametrize("code", messages.CODES)


def fields(template: str) -> set[str]:
    """The names of the fields, and which half of a mistake is meant."""
    parts = [part for part in Formatter().parse(template) if part[1] is not None]
    halves = {f"{name}:{spec}" for _text, name, spec, _conversion in parts if spec in HALVES}
    return {str(name) for _text, name, _spec, _conversion in parts} | halves


HALVES = ("name", "look")


@pytest.mark.slow
def test_every_template_is_found_in_the_code() -> None:
    """What reaches `_` through something that the scan cannot follow would be missing."""
    assert [place for scan in messages.scans() for place in scan.unknown] == []
    templates = messages.templates()
    for text in ("stopped", "Play", "The sigmoid", "numerator", "stable at large scores"):
        assert text in templates
    assert "{name}: passed, {n} of {all}" in templates  # by a condition
    assert "log of {line}: that is no softmax and no sigmoid" in templates  # through an exception
    assert not [text for text in templates if text.endswith((" and", " the", ", "))]  # no halves


@in_each
def test_every_template_has_a_translation(code: str) -> None:
    known = language.catalogue(code)
    missing = [
        f"{place}: {text}" for text, place in messages.templates().items() if text not in known
    ]
    assert not missing, f"{len(missing)}; python tests/messages.py brings them in: {missing[:5]}"


@in_each
def test_a_translation_has_the_fields_of_its_template(code: str) -> None:
    for text, said in language.catalogue(code).items():
        assert fields(said) == fields(text), said
        assert said.startswith("\n") == text.startswith("\n"), said
        assert re.search(r"\s$", text) is None or said.endswith(" "), said


@in_each
def test_a_file_is_in_step_with_the_code(code: str) -> None:
    text = messages.file_of(code).read_text(encoding="utf-8")
    assert text == messages.rendered(code), "python tests/messages.py brings it up to date"
    assert "fuzzy" not in text


@in_each
def test_a_file_is_a_po_file_to_others_too(code: str) -> None:
    command = [found(shutil.which("msgfmt"), "msgfmt"), "-c", "-o", "-", messages.file_of(code)]
    subprocess.run(command, capture_output=True, check=True)


def test_a_table_has_as_many_heads_in_every_language() -> None:
    for text, said in KOREAN.items():
        if re.fullmatch(r"\w+,\S.*", text):
            assert said.count(",") == text.count(","), said


def test_a_known_mistake_has_a_name_and_a_look_in_every_language() -> None:
    texts = [*messages.mistakes.FACTORS, *messages.mistakes.SHAPES, *messages.mistakes.MATRICES]
    for text in texts:
        assert KOREAN[text].count(": ") == 1, text


def test_a_particle_after_a_field_is_written_in_both_forms() -> None:
    for said in KOREAN.values():
        assert not re.search(ALONE, said), said
        for both in re.findall(r"\}([가-힣]?\([가-힣]\)[가-힣]?)", said):
            assert re.match(r"을\(를\)|이\(가\)|은\(는\)|과\(와\)|\(으\)로|\(이\)|에", both), said


def test_the_page_needs_no_particles_and_no_escapes() -> None:
    """Its script fills fields in, and knows nothing of Korean."""
    for text, _place in messages.of_the_page():
        assert not re.search(r"\}[가-힣]?\([가-힣]\)", KOREAN[text]), KOREAN[text]
        assert not re.search('[<>&"]', KOREAN[text]), KOREAN[text]


def test_the_usual_words_are_used() -> None:
    """As the lessons have them."""
    texts = {path.name: path.read_text(encoding="utf-8") for path in (NOTEBOOKS / "ko").iterdir()}
    texts |= {"ko.po": "\n".join(KOREAN.values())}
    for name, text in texts.items():
        for word in ("라벨", "그래디언트", "그라디언트", "소프트 맥스", "크로스 엔트로피"):
            assert word not in text, f"{name}: {word}"


def test_a_translation_is_korean_where_there_are_words() -> None:
    for text, said in KOREAN.items():
        if re.search(r"[a-z]{3,} [a-z]{2,} [a-z]{2,}", re.sub(r"\{[^}]*\}", "", text)):
            assert re.search("[가-힣]", said), text


def test_a_sentence_can_be_filled_in() -> None:
    with speaking("ko"):
        assert language.filled("{n} more", {"n": 3}) == "그 밖의 3개"
        said = language.filled("{line} is now {loss}", {"line": "L", "loss": "cross_entropy"})
        assert said == "L은 이제 cross_entropy입니다"


def test_the_lessons_readme_in_korean_has_the_same_lessons_and_commands() -> None:
    english, korean = (
        path.read_text(encoding="utf-8")
        for path in (NOTEBOOKS / "README.md", NOTEBOOKS / "ko/README.md")
    )
    for path in (NOTEBOOKS / "ko").glob("*.ipynb"):
        assert f"]({path.name})" in korean
        assert f"](../{path.name})" in korean
    for link in re.findall(r"\]\(([^)]+)\)", korean):
        assert (NOTEBOOKS / "ko" / link).exists(), link
    commands = [re.sub(" *#.*| notebooks$", "", line) for line in english.splitlines()]
    for line in commands:
        if line.startswith((".venv", "python3")):
            assert line in korean, line
    assert "한국어" in english
