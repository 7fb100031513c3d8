"""``tinygrad-ce exercise``: the same exercises for who works in files and a terminal."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from argparse import ArgumentTypeError as Refused
from contextlib import redirect_stdout
from difflib import get_close_matches
from pathlib import Path
from shutil import which
from types import ModuleType
from typing import Any

from ..engine.text import _
from ..programs.files import replace_file
from . import load, names
from .framework import Exercise
from .framework.calling import Trouble, explain
from .framework.check import untried
from .framework.feedback import Feedback

NO_PLATFORMDIRS = '--keep-progress needs platformdirs: pip install "tinygrad_ce[exercises]"'


def exercise(argv: list[str], parser: ArgumentParser) -> int:
    """List the exercises, show one, or check a file; return the exit status."""
    options = _parse(argv, parser)
    if options.exercise is None:
        return _list(options.json)
    ex: Exercise = options.exercise
    command = f"{_program()} exercise {ex.name}"
    if options.file:
        return _check(ex, options, command)
    if options.solution:
        print(ex.solution())
    elif options.hint is not None:
        then = f"--hint {options.hint + 1}" if options.hint < len(ex.hints) else "--solution"
        print(ex.hint(options.hint, _("To go on:\n  {command} {then}", command=command, then=then)))
    else:
        how = "Save it in a file, with its imports, and check that:\n  {command} --file answer.py"
        print(ex.asked(_(how, command=command)))
        print(_("\nA hint: {command} --hint", command=command))
    return 0


# ------------------------------------------------------------------ what was typed
def _parse(argv: list[str], parser: ArgumentParser) -> Any:
    description = "Derive a gradient by hand, write it as a function, and have it checked."
    parser.description = _(description)
    add = parser.add_argument
    one = parser.add_mutually_exclusive_group().add_argument
    add("exercise", type=_exercise, nargs="?", help=_("its name; without one, they are listed"))
    one("--file", type=_file, metavar="ANSWER.PY", help=_("check the function in it"))
    add("--seed", type=_seed, metavar="N", help=_("begin with this draw of inputs"))
    one(
        "--hint", nargs="?", type=int, const=1, metavar="N", help=_("show a hint, the first or Nth")
    )
    one("--solution", action="store_true", help=_("show the solution"))
    add("--json", action="store_true", help=_("the result for a program"))
    add("--keep-progress", action="store_true", help=_("note in your data folder what is solved"))
    options = parser.parse_args(argv)
    ex, hint = options.exercise, options.hint
    if ex is None and (options.file or hint is not None or options.solution):
        parser.error(_("which exercise? tinygrad-ce exercise lists their names"))
    if hint is not None and not 1 <= hint <= len(ex.hints):
        text = "--hint: got {hint}, there are hints 1 to {last}"
        parser.error(_(text, hint=hint, last=len(ex.hints)))
    for option, used in (
        ("--seed", options.seed is not None),
        ("--keep-progress", options.keep_progress),
        ("--json", options.json and ex is not None),  # the list has it as well
    ):
        if used and not options.file:
            parser.error(_("{option} goes with --file", option=option))
    if options.keep_progress and not _progress_file():
        parser.error(_(NO_PLATFORMDIRS))
    return options


def _exercise(name: str) -> Exercise:
    if name in names():
        return load(name)
    near = get_close_matches(name, names(), 1)
    text = "there is no exercise {name!r}: did you mean {near[0]}?"
    text = text if near else "there is no exercise {name!r}; tinygrad-ce exercise lists them"
    raise Refused(_(text, name=name, near=near))


def _file(path: str) -> tuple[Path, bytes]:
    if not Path(path).is_file():
        raise Refused(_("there is no file {path}", path=path))
    try:
        return Path(path), Path(path).read_bytes()
    except OSError as error:
        text = "{path} cannot be read: {why}"
        raise Refused(_(text, path=path, why=error.strerror)) from None


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise Refused(_("got {text!r}, wanted a whole number from 0 up", text=text))
    return int(text)


def _program() -> str:
    """How this program is called here: in a venv that is not activated, by its path."""
    by_path = Path(sys.argv[0]).stem == "tinygrad-ce" and not which("tinygrad-ce")
    return sys.argv[0] if by_path else "tinygrad-ce"


# ------------------------------------------------------------------ what is done
def _list(as_json: bool) -> int:
    done = _solved()
    rows = [{"name": n, "title": load(n).title, "passed": n in done} for n in names()]
    if as_json:
        print(json.dumps(rows, ensure_ascii=False))
        return 0
    width = max(map(len, names()))
    for name, title, passed in (row.values() for row in rows):
        print(f"{'done' if passed else '':4}  {name:{width}}  {title}")
    first = next((name for name in names() if name not in done), names()[0])
    print(_("\nShow one: {program} exercise {name}", program=_program(), name=first))
    return 0


def _check(ex: Exercise, options: Any, command: str) -> int:
    path, source = options.file
    with redirect_stdout(sys.stderr if options.json else sys.stdout):
        try:
            feedback = ex.check(_function(ex, path, source), options.seed)
        except Trouble as trouble:
            feedback = untried(ex, str(trouble))
    print(feedback.to_json() if options.json else feedback.text())
    if feedback.example and feedback.example.seed != options.seed and not options.json:
        file = f'"{path}"' if " " in str(path) else path
        command = f"{command} --file {file} --seed {feedback.example.seed}"
        print(_("\nTo begin with this example:\n  {command}", command=command))
    if options.keep_progress:
        _keep(feedback)
    return 0 if feedback else 1


def _function(ex: Exercise, path: Path, source: bytes) -> Any:
    """The learner's function in a file: of the exercise's name, else ``gradient`` and the like."""
    module = ModuleType(f"{path.stem}.py")  # no module that can be imported has such a name
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # a dataclass looks there
    sys.path.insert(0, str(path.parent.resolve()))  # the file may import what lies beside it
    try:
        exec(compile(source, str(path), "exec", dont_inherit=True), vars(module))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise Trouble("{text}", text=explain(error)) from None
    finally:
        del sys.path[0]
    for name in (ex.name, ex.function):
        if callable(getattr(module, name, None)):
            return getattr(module, name)
        if hasattr(module, name):
            text = "what {file} calls {name} is no function: def {call} makes one"
            raise Trouble(text, file=path.name, name=name, call=ex.call)
    own = [n for n, x in vars(module).items() if getattr(x, "__module__", "") == module.__name__]
    text = "there is no function {call} in {file} (of that name, or named {name}); it defines {own}"
    own_names = ", ".join(own) or "no function"
    raise Trouble(text, call=ex.call, file=path.name, name=ex.name, own=own_names)


# ------------------------------------------------------------------ progress
def _progress_file() -> Path | None:
    try:
        from platformdirs import user_data_path
    except ImportError:
        return None
    return user_data_path("tinygrad_ce", appauthor=False) / "progress.json"


def _solved() -> set[str]:
    """The exercises that were solved here; none, if no list of them can be read."""
    try:
        path = _progress_file()
        kept = json.loads(path.read_text(encoding="utf-8")) if path else []
        return {*kept} & {*names()} if isinstance(kept, list) else set()
    except (OSError, ValueError, TypeError, RecursionError):
        return set()


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
