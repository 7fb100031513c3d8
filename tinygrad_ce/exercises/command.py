"""``tinygrad-ce exercise``: the same exercises for who works in files and a terminal."""

import json
import sys
from argparse import ArgumentParser
from collections import Counter
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from runpy import run_path
from typing import Any

from ..checks.wording import columns, table
from ..engine.language import speaking, spoken
from ..engine.text import _, require
from ..programs.files import replace_file
from . import load, names
from .framework import Exercise
from .framework.apart import Apart
from .framework.calling import Trouble
from .framework.feedback import Feedback


def exercise(argv: list[str], parser: ArgumentParser) -> int:
    """List the exercises, show one, or check a file or a class's; return the exit status."""
    try:
        options, known = _parse(argv, parser)
        if not options.exercise:
            return _list(known)
        ex = known[options.exercise]
        if options.submissions or options.file:
            with speaking("en" if options.json else ""):  # what programs read is of one language
                return _check_all(ex, options) if options.submissions else _check_one(ex, options)
        if options.hint is not None:
            print(ex.hint(options.hint))
        elif options.solution:
            print(ex.solution())
        else:
            print(ex.note(_("Save it in a file, with its imports.")))
            print(_("\n--file answer.py checks it; --hint 1, 2, 3 help, --solution tells all."))
    except (ValueError, OSError) as error:  # such as progress that cannot be kept
        parser.error(str(error))
    return 0


def _parse(argv: list[str], parser: ArgumentParser) -> tuple[Any, dict[str, Exercise]]:
    description = "Derive a gradient by hand, write it as a function, and have it checked."
    parser.description, add = _(description), parser.add_argument
    add("--folder", type=Path, metavar="COURSE", help=_("take the exercises in its Python files"))
    folder = parser.parse_known_args([x for x in argv if x not in ("-h", "--help")])[0].folder
    known = _of_course(folder) if folder else {name: load(name) for name in names()}
    one = parser.add_mutually_exclusive_group().add_argument
    name, hint = _("its name; without one, they are listed"), _("show a hint, the first or Nth")
    add("exercise", nargs="?", choices=known, metavar="NAME", help=name)
    one("--file", type=Path, metavar="ANSWER.PY", help=_("check the function in it"))
    one("--submissions", type=Path, metavar="FOLDER", help=_("check all files in it: a table"))
    one("--hint", nargs="?", type=int, const=1, metavar="N", help=hint)
    one("--solution", action="store_true", help=_("show the solution"))
    add("--json", action="store_true", help=_("print a line of JSON for each file"))
    add("--gradescope", type=Path, metavar="RESULTS.JSON", help=_("write what Gradescope reads"))
    add("--keep-progress", action="store_true", help=_("note in your data folder what is solved"))
    options = parser.parse_args(argv)
    checks = options.file or options.submissions
    asked = checks or options.hint is not None or options.solution
    require(options.exercise or not asked, "which exercise? tinygrad-ce exercise lists their names")
    require(options.file or not options.keep_progress, "--keep-progress goes with --file")
    require(options.file or not options.gradescope, "--gradescope goes with --file")
    require(checks or not options.json, "--json goes with --file or --submissions")
    file, folder = options.file, options.submissions
    require(not file or file.is_file(), "--file: there is no file {path}", path=file)
    text = "--submissions: there is no folder {path}"
    require(not folder or folder.is_dir(), text, path=folder)
    text = '--keep-progress needs platformdirs: pip install "tinygrad_ce[exercises]"'
    require(not options.keep_progress or _solved(), text)
    return options, known


def _of_course(folder: Path) -> dict[str, Exercise]:
    """The exercises in a teacher's files, by the files' names."""
    files = sorted(folder.glob("*.py"))
    found = {path.stem: run_path(str(path), run_name=path.stem).get("exercise") for path in files}
    known = {name: x for name, x in found.items() if isinstance(x, Exercise)}
    text = "--folder: no file in {folder} has a line exercise = Exercise(...)"
    require(known, text, folder=folder)
    return known


def _list(known: dict[str, Exercise]) -> int:
    solved, width = _solved(), max(map(len, known))
    done = [name for name in known if solved and (solved / name).exists()]
    for name, ex in known.items():
        mark = _("done") if name in done else ""
        print(f"{mark + ' ' * (4 - columns(mark))}  {name:{width}}  {spoken(ex.title)}")
    first = next((name for name in known if name not in done), next(iter(known)))
    print(_("\nShow one: tinygrad-ce exercise {name}", name=first))
    return 0


def _checked(ex: Exercise, path: Path) -> Feedback:
    try:
        with Apart(path, ex) as function:
            return ex.check(function.begin())
    except Trouble as trouble:
        return ex.untried(str(trouble))


def _check_one(ex: Exercise, options: Any) -> int:
    with redirect_stdout(sys.stderr if options.json else sys.stdout):  # what it prints
        feedback = _checked(ex, options.file)
    print(feedback.to_json() if options.json else feedback.note(redraw=False))
    if options.gradescope:
        replace_file(options.gradescope, feedback.to_gradescope().encode())
    if options.keep_progress and feedback and (solved := _solved()):
        solved.mkdir(parents=True, exist_ok=True)
        (solved / options.exercise).touch()
        print(_("progress kept in {path}", path=solved), file=sys.stderr)
    return 0 if feedback else 1


def _check_all(ex: Exercise, options: Any) -> int:
    """A table of a class's files and the mistakes in them; or a line of JSON for each."""
    rows, mistakes = [tuple(_("file,score,finding").split(","))], Counter[str]()
    for path in sorted(options.submissions.rglob("*.py")):
        with redirect_stdout(StringIO()):  # what they print
            feedback, name = _checked(ex, path), str(path.relative_to(options.submissions))
        if options.json:
            print(json.dumps({"file": name} | json.loads(feedback.to_json()), ensure_ascii=False))
            continue
        finding = _("passed") if feedback else feedback.mistake or feedback.message
        rows.append((name, f"{feedback.score:.0%}", finding))
        mistakes[finding] += 1
    if not options.json:
        counts = [(str(n), finding) for finding, n in mistakes.most_common()]
        heads = _("files,finding").split(",")
        print(*table(rows), "", *table([heads, *counts]), sep="\n")
    return 0


def _solved() -> Path | None:
    """The folder with an empty file for each exercise that was solved here."""
    try:
        from platformdirs import user_data_path
    except ImportError:
        return None
    return user_data_path("tinygrad_ce", appauthor=False) / "solved"
