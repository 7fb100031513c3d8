"""``tinygrad-ce exercise``: the same exercises for who works in files and a terminal."""

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from ..engine.text import _
from . import load, names
from .framework import Exercise
from .framework.apart import apart
from .framework.calling import Trouble


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
        elif options.solution:
            print(ex.solution())
        else:
            print(ex.note(_("Save it in a file, with its imports.")))
            print(_("\n--file answer.py checks it; --hint 1, 2, 3 help, --solution tells all."))
    except (ValueError, OSError) as error:  # no such hint; progress that cannot be kept
        parser.error(str(error))
    return 0


def _parse(argv: list[str], parser: ArgumentParser) -> Any:
    description = "Derive a gradient by hand, write it as a function, and have it checked."
    parser.description, add = _(description), parser.add_argument
    one = parser.add_mutually_exclusive_group().add_argument
    name, hint = _("its name; without one, they are listed"), _("show a hint, the first or Nth")
    add("exercise", nargs="?", choices=names(), metavar="NAME", help=name)
    one("--file", type=Path, metavar="ANSWER.PY", help=_("check the function in it"))
    one("--hint", nargs="?", type=int, const=1, metavar="N", help=hint)
    one("--solution", action="store_true", help=_("show the solution"))
    add("--keep-progress", action="store_true", help=_("note in your data folder what is solved"))
    options = parser.parse_args(argv)
    if not options.exercise and (options.file or options.hint is not None or options.solution):
        parser.error(_("which exercise? tinygrad-ce exercise lists their names"))
    if not options.file and options.keep_progress:
        parser.error(_("--keep-progress goes with --file"))
    if options.file and not options.file.is_file():
        parser.error(_("--file: there is no file {path}", path=options.file))
    if options.keep_progress and not _solved():
        needs = '--keep-progress needs platformdirs: pip install "tinygrad_ce[exercises]"'
        parser.error(_(needs))
    return options


def _list() -> int:
    solved, width = _solved(), max(map(len, names()))
    done = [name for name in names() if solved and (solved / name).exists()]
    for name in names():
        print(f"{'done' if name in done else '':4}  {name:{width}}  {load(name).title}")
    first = next((name for name in names() if name not in done), names()[0])
    print(_("\nShow one: tinygrad-ce exercise {name}", name=first))
    return 0


def _check(ex: Exercise, options: Any) -> int:
    try:
        with apart(options.file, ex.function, ex.call, len(ex.parts)) as function:
            feedback = ex.check(function)
    except Trouble as trouble:
        feedback = ex.untried(str(trouble))
    print(feedback.note(redraw=False))
    if options.keep_progress and feedback and (solved := _solved()):
        solved.mkdir(parents=True, exist_ok=True)
        (solved / ex.name).touch()
        print(_("progress kept in {path}", path=solved), file=sys.stderr)
    return 0 if feedback else 1


def _solved() -> Path | None:
    """The folder with an empty file for each exercise that was solved here."""
    try:
        from platformdirs import user_data_path
    except ImportError:
        return None
    return user_data_path("tinygrad_ce", appauthor=False) / "solved"
