"""``tinygrad-ce exercise``: the same exercises for who works in files and a terminal."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from difflib import get_close_matches
from pathlib import Path
from shutil import which
from types import ModuleType
from typing import Any

from ..programs.files import replace_file
from . import load, names
from ._calling import Trouble, explained
from ._check import untried
from ._exercise import Exercise
from ._feedback import Feedback

EXTRA = 'needs platformdirs: pip install "tinygrad_ce[exercises]"'


def exercise(argv: list[str], parser: argparse.ArgumentParser) -> int:
    """List the exercises, show one, or check a file; return the exit status."""
    given = _arguments(argv, parser)
    if given.keep_progress and _kept() is None:
        parser.error(f"--keep-progress {EXTRA}")
    if given.name is None:
        return _list(given.json)
    if given.name not in names():
        near = get_close_matches(given.name, names(), 1)
        hint = f": did you mean {near[0]}?" if near else "; tinygrad-ce exercise lists them"
        parser.error(f"there is no exercise {given.name!r}{hint}")
    ex: Exercise = load(given.name)
    if given.file is None:
        return _show(ex, given, parser)
    if given.file.is_dir() or not given.file.exists():
        parser.error(f"--file: there is no file {given.file}")
    try:
        text = given.file.read_bytes()
    except OSError as error:
        parser.error(f"--file: {given.file} cannot be read: {error.strerror}")
    with contextlib.redirect_stdout(sys.stderr if given.json else sys.stdout):
        feedback = _checked(ex, given.file, text, given.seed)
    if given.json:
        print(feedback.to_json())
    else:
        print(feedback.text())
        if feedback.example and feedback.example.seed != given.seed:
            file = f'"{given.file}"' if " " in str(given.file) else given.file
            command = f"{_typed()} exercise {ex.name} --file {file}"
            print(f"\nTo begin with this example:\n  {command} --seed {feedback.example.seed}")
    if given.keep_progress:
        try:
            _keep(feedback)
        except OSError as error:
            print(f"no progress kept: {error.filename}: {error.strerror}", file=sys.stderr)
    return 0 if feedback else 1


def _arguments(argv: list[str], parser: argparse.ArgumentParser) -> Any:
    parser.description = "Derive a gradient by hand, write it as a function, and have it checked."
    parser.add_argument("name", nargs="?", help="of the exercise; without one, they are listed")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--file", type=Path, metavar="ANSWER.PY", help="check the function in it")
    parser.add_argument("--seed", type=_seed, metavar="N", help="begin with this draw of inputs")
    which.add_argument(
        "--hint",
        nargs="?",
        type=int,
        const=1,
        metavar="N",
        help="show a hint, the first or the Nth",
    )
    which.add_argument("--solution", action="store_true", help="show the solution")
    parser.add_argument("--json", action="store_true", help="the result for a program")
    parser.add_argument(
        "--keep-progress", action="store_true", help="note in your data folder what is solved"
    )
    given = parser.parse_args(argv)
    if given.name is None and (given.file or given.hint is not None or given.solution):
        parser.error("which exercise? tinygrad-ce exercise lists their names")
    alone = {
        "--seed": given.seed is not None,
        "--keep-progress": given.keep_progress,
        "--json": given.json and given.name is not None,  # the list has it as well
    }
    if given.file is None and any(alone.values()):
        parser.error(f"{next(option for option, asked in alone.items() if asked)} goes with --file")
    return given


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"got {text!r}, wanted a whole number from 0 up")
    return int(text)


def _list(as_json: bool) -> int:
    path, all_of_them = _kept(), [load(name) for name in names()]
    done = {name for name, entry in _read(path).items() if entry["passed"]} if path else set()
    if as_json:
        rows = [{"name": e.name, "title": e.title, "passed": e.name in done} for e in all_of_them]
        print(json.dumps(rows, ensure_ascii=False))
        return 0
    width = max(len(e.name) for e in all_of_them)
    for e in all_of_them:
        print(f"{'done' if e.name in done else '':4}  {e.name:{width}}  {e.title}")
    first = next((e.name for e in all_of_them if e.name not in done), all_of_them[0].name)
    print(f"\nShow one: {_typed()} exercise {first}")
    return 0


def _typed() -> str:
    """How this program is called here: in a venv that is not activated, by its path."""
    called = sys.argv[0]
    by_path = Path(called).stem == "tinygrad-ce" and not which("tinygrad-ce")
    return called if by_path else "tinygrad-ce"


def _show(ex: Exercise, given: Any, parser: argparse.ArgumentParser) -> int:
    """The task, a hint or the solution."""
    command = f"{_typed()} exercise {ex.name}"
    if given.hint is not None:
        if not 1 <= given.hint <= len(ex.hints):
            parser.error(f"--hint: got {given.hint}, there are hints 1 to {len(ex.hints)}")
        then = f"The next: {command} --hint {given.hint + 1}"
        if given.hint == len(ex.hints):
            then = f"The solution: {command} --solution"
        print(f"{ex.hinted(given.hint)}\n\n{then}")
    elif given.solution:
        print(ex.solution())
    else:
        how = f"with its imports, and check that:\n  {command} --file answer.py"
        print(ex.asked(f"Save it in a file, {how}"))
        print(f"\nA hint: {command} --hint")
    return 0


def _checked(ex: Exercise, path: Path, text: bytes, seed: int | None) -> Feedback:
    try:
        return ex.check(_function(ex, path, text), seed)
    except Trouble as trouble:
        return untried(ex, str(trouble))


def _function(ex: Exercise, path: Path, text: bytes) -> Any:
    """The learner's function in a file: of the exercise's name, else ``gradient`` and the like."""
    module = ModuleType(f"{path.stem}.py")  # no module that can be imported has such a name
    found = module.__dict__
    found["__file__"] = str(path)
    sys.modules[module.__name__] = module  # a dataclass looks there
    sys.path.insert(0, str(path.parent.resolve()))  # the file may import what lies beside it
    try:
        exec(compile(text, str(path), "exec", dont_inherit=True), found)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise Trouble(explained(error)) from None
    finally:
        del sys.path[0]
    for name in (ex.name, ex.function):
        if callable(found.get(name)):
            return found[name]
        if name in found:
            raise Trouble(f"what {path.name} calls {name} is no function: def {ex.call} makes one")
    own = [name for name, x in found.items() if getattr(x, "__module__", "") == module.__name__]
    raise Trouble(
        f"there is no function {ex.call} in {path.name} (of that name, or named {ex.name}); "
        f"it defines {', '.join(own) or 'no function'}"
    )


# ------------------------------------------------------------------ progress
def _kept() -> Path | None:
    """Where progress is kept; None without platformdirs."""
    try:
        from platformdirs import user_data_path
    except ImportError:
        return None
    return user_data_path("tinygrad_ce", appauthor=False) / "progress.json"


def _read(path: Path) -> dict[str, Any]:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):  # none yet, or none that can be read
        return {}
    entries = kept.items() if isinstance(kept, dict) else []
    return {k: e for k, e in entries if isinstance(e, dict) and _entry(**e)}


def _entry(passed: Any = None, score: Any = None, **others: Any) -> bool:
    """Whether a note of progress is one of ours."""
    return isinstance(passed, bool) and isinstance(score, float) and 0 <= score <= 1 and not others


def _keep(feedback: Feedback) -> None:
    """Note the best result so far."""
    path = _kept()
    assert path
    kept = _read(path)
    before = kept.get(feedback.exercise, {"passed": False, "score": 0.0})
    kept[feedback.exercise] = {
        "passed": before["passed"] or feedback.passed,
        "score": max(before["score"], feedback.score),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, json.dumps(kept, indent=1).encode())
    print(f"progress kept in {path}", file=sys.stderr)
