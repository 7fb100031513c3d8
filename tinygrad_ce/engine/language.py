"""The reader's language: which one it is, and what a template is in it.

A language is a PO file beside this one, such as ``ko.po``, which every editor for translations
opens: a ``msgid`` is a template as the code has it, a ``msgstr`` the same in the language, with the
same fields. English has none. What is without a translation is said in English.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from locale import LC_CTYPE, normalize, setlocale
from pathlib import Path
from typing import Any, Self

from .particles import particles
from .text import _, require

VARIABLES = ("TINYGRAD_CE_LANG", "LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")

_chosen: ContextVar[str] = ContextVar("lang", default="")


def language() -> str:
    """The code of the language to speak: the one chosen, else of a variable, else of the system."""
    named = (os.environ.get(name) for name in VARIABLES)
    code = _code(_chosen.get() or next(filter(None, named), "") or setlocale(LC_CTYPE))
    return code if catalogue(code) else "en"


@cache
def _code(name: str) -> str:
    """``ko`` of "ko_KR.UTF-8", of the list "ko:en", and of Windows' "Korean_Korea.949"."""
    return normalize(re.split(r"\W|_", name)[0]).partition("_")[0]


@contextmanager
def speaking(lang: str = "") -> Iterator[None]:
    """Speak a language in a ``with`` block; the same as before where none is named."""
    text = "lang: got {lang!r}, wanted one of {known}"
    known = ["en", *sorted(path.stem for path in Path(__file__).parent.glob("*.po"))]
    require(not lang or lang in known, text, lang=lang, known=", ".join(known))
    token = _chosen.set(lang or _chosen.get())
    try:
        yield
    finally:
        _chosen.reset(token)


@cache
def catalogue(code: str) -> Mapping[str, str]:
    """The templates of a language, by the English ones."""
    path = Path(__file__).with_name(f"{code}.po")
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    pairs = re.findall(r'^msgid ((?:".*"\s+)+)msgstr ((?:".*"\s+)+)', text, re.M)
    known = (map(_unquoted, pair) for pair in pairs)
    return {template: said for template, said in known if template and said}


def _unquoted(lines: str) -> str:
    """A string of a PO file, in one line or several; its escapes are those of JSON."""
    inner = "".join(re.findall('"(.*)"', lines))
    return str(json.loads(f'"{inner}"'))


def filled(template: str, fields: Mapping[str, object]) -> str:
    """A template in the reader's language, its fields filled in."""
    code = language()
    text = catalogue(code).get(template, template)
    text = text.format(**fields) if fields else text  # which has what a learner calls things
    return particles(text) if code == "ko" else text


class Words(str):
    """A text that code knows in English, and that is `spoken` to a reader.

    ``{text:name}`` in a template is what stands before its colon, ``{text:look}`` what is behind.
    """

    def __format__(self, part: str) -> str:
        name, _colon, look = self.partition(": ")
        return {"name": name, "look": look}.get(part) or format(str(self), part)


class Sentence(Words):
    """A template that is filled with fields, which may be `Words` themselves."""

    template: str
    fields: dict[str, Any]

    def __new__(cls, template: str, **fields: Any) -> Self:
        """Fill the template in English."""
        self = super().__new__(cls, template.format(**fields))
        self.template, self.fields = template, fields
        return self


def spoken(text: str) -> str:
    """A `Sentence`, or a text without fields, in the reader's language."""
    if not isinstance(text, Sentence):
        return catalogue(language()).get(text, text)
    said = ((k, Words(spoken(x)) if isinstance(x, Words) else x) for k, x in text.fields.items())
    return _(text.template, **dict(said))
