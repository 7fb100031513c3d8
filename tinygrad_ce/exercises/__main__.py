"""``tinygrad-ce exercise``: the same exercises for who works in files and a terminal."""

from __future__ import annotations

import json
import re
import sys
from argparse import ArgumentParser
from pathlib import Path
from runpy import run_path
from typing import Any

from ..engine.text import _
from ..programs.files import replace_file
from . import load, names
from .framework import Exercise
from .framework.calling import Trouble, explained
from .framework.check import untried
from .framework.feedback import Feedback

NO_PLATFORMDIRS = '--keep-progress needs platformdirs: pip install "tinygrad_ce[exercises]"'


def exercise(argv: list[str], parser: ArgumentParser) -> int:
    """List the exercises, show one, or check a file; return the exit status."""
    options = _parse(argv, parser)
    if not options.exercise:
        return _list()
    ex = load(options.exercise)
    try:
        if options.file:
            return _check(ex, options)
        if options.hint is not None:
            print(ex.hint(options.hint))
            last = options.hint == len(ex.hints)
            go_on = _("--solution") if last else _("--hint {n}", n=options.hint + 1)
            print(_("\nTo go on: {option}", option=go_on))
        elif options.solution:
            print(ex.solution())
        else:
            how = "Save it in a file, with its imports. Then go on with\n"
            how += "  --file answer.py  to check it\n  --hint            to be helped"
            print(ex.note(_(how)))
    except ValueError as error:  # there is no such hint, or no such seed
        parser.error(str(error))
    return 0


def _parse(argv: list[str], parser: ArgumentParser) -> Any:
    description = "Derive a gradient by hand, write it as a function, and have it checked."
    parser.description = _(description)
    add, one = parser.add_argument, parser.add_mutually_exclusive_group().add_argument
    about = _("its name; without one, they are listed")
    add("exercise", nargs="?", choices=names(), metavar="NAME", help=about)
    one("--file", type=Path, metavar="ANSWER.PY", help=_("check the function in it"))
    add("--seed", type=int, metavar="N", help=_("check it on other draws of the inputs"))
    about = _("show a hint, the first or Nth")
    one("--hint", nargs="?", type=int, const=1, metavar="N", help=about)
    one("--solution", action="store_true", help=_("show the solution"))
    add("--keep-progress", action="store_true", help=_("note in your data folder what is solved"))
    options = parser.parse_args(argv)
    if not options.exercise and (options.file or options.hint is not None or options.solution):
        parser.error(_("which exercise? tinygrad-ce exercise lists their names"))
    if not options.file and (options.seed is not None or options.keep_progress):
        parser.error(_("--seed and --keep-progress go with --file"))
    if options.file and not options.file.is_file():
        parser.error(_("--file: there is no file {path}", path=options.file))
    if options.keep_progress and not _progress_file():
        parser.error(_(NO_PLATFORMDIRS))
    return options


def _list() -> int:
    done, width = _solved(), max(map(len, names()))
    for name in names():
        print(f"{'done' if name in done else '':4}  {name:{width}}  {load(name).title}")
    first = next((name for name in names() if name not in done), names()[0])
    print(_("\nShow one: tinygrad-ce exercise {name}", name=first))
    return 0


def _check(ex: Exercise, options: Any) -> int:
    try:
        feedback = ex.check(_function(ex, options.file), options.seed)
    except Trouble as trouble:
        feedback = untried(ex, str(trouble))
    print(feedback.note(redraw=False))
    if options.keep_progress:
        _keep(feedback)
    return 0 if feedback else 1


def _function(ex: Exercise, path: Path) -> Any:
    """The learner's function in a file: of the exercise's name, else ``gradient`` and the like."""
    sys.path.insert(0, str(path.parent.resolve()))  # the file may import what lies beside it
    try:
        with explained(_("your file")):
            defined = run_path(str(path))
    finally:
        del sys.path[0]
    for name in (ex.name, ex.function):
        if callable(defined.get(name)):
            return defined[name]
    text = "there is no function {call} in {file}, and none named {name}"
    raise Trouble(_(text, call=ex.call, file=path.name, name=ex.name))


# ------------------------------------------------------------------ progress
def _progress_file() -> Path | None:
    try:
        from platformdirs import user_data_path
    except ImportError:
        return None
    return user_data_path("tinygrad_ce", appauthor=False) / "progress.json"


def _solved() -> set[str]:
    """The exercises that were solved here; none, if there is no list of them that can be read."""
    try:
        path = _progress_file()
        kept = path.read_text(encoding="utf-8", errors="replace") if path else ""
    except OSError:
        return set()
    return {*re.findall(r"\w+", kept)} & {*names()}


def _keep(feedback: Feedback) -> None:
    path = _progress_file()
    assert path
    solved = _solved() | ({feedback.exercise} if feedback else set())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, json.dumps(sorted(solved), indent=1).encode())
        print(_("progress kept in {path}", path=path), file=sys.stderr)
    except OSError as error:
        text = "no progress kept: {path}: {why}"
        print(_(text, path=error.filename, why=error.strerror), file=sys.stderr)
