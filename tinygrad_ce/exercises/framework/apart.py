"""A learner's file in a process of its own, which answers calls of the function in it.

Messages are lines of JSON, arrays in it as text; nothing is pickled. What the file prints goes to a
file that is read while it runs. It can hang, exit, patch NumPy or write into what it is given: its
process ends, and the numbers that answers are compared with are not there.
"""

import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from inspect import Parameter, Signature, signature
from pathlib import Path
from pkgutil import resolve_name
from queue import Empty, SimpleQueue
from runpy import run_path
from tempfile import TemporaryDirectory
from threading import Thread
from time import monotonic
from typing import Any

import numpy as np

from ...engine.language import VARIABLES, language
from ...engine.text import _, require
from .calling import Trouble, called, described, explained, parts_of
from .problem import Problem

SECONDS = 10.0  # for an answer
IN_ALL = 60.0  # seconds for all answers
MOST = 2**20  # numbers in an answer
PRINTED = 2**16  # bytes
MEMORY = 2**32  # bytes, where the system can limit it
ENDS = {"os.kill", "os.killpg", "os.system", "os.exec", "os.fork", "os.posix_spawn"}
ENDS |= {"subprocess.Popen", "signal.pthread_kill"}


def told(x: Any) -> Any:
    """A number, or an array with its bytes as text; of what is neither, its type."""
    if x is None or type(x) in (float, int):
        return x
    try:
        array = np.asarray(x)
    except Exception:
        array = np.array(None)
    text = "your function returns an array of {n} numbers, wanted {most} at most"
    require(array.size <= MOST, text, Trouble, n=array.size, most=MOST)
    if array.dtype.kind not in "fiub":
        return {"type": described(x, array)}
    data = base64.b64encode(array.tobytes()).decode()
    return {"dtype": array.dtype.str, "shape": array.shape, "data": data}


def heard(x: Any) -> Any:
    """What was told; for what it could not be, an object of a type of that name."""
    if not isinstance(x, dict):
        return x
    if "type" in x:
        return type(x["type"], (), {})()
    array = np.frombuffer(base64.b64decode(x["data"]), x["dtype"]).reshape(x["shape"])
    return array if array.ndim else array[()]


class Apart:
    """The function in a learner's file, called in a process of its own; or a `Trouble`."""

    def __init__(self, path: Path, problem: Problem) -> None:
        self.lines: SimpleQueue[bytes] = SimpleQueue()
        self.until = monotonic() + IN_ALL
        self.folder, self.ended, self.shown = TemporaryDirectory(), "", 0
        self.printed = Path(self.folder.name, "printed")
        start = f"import sys; sys.path[:0] = {sys.path!r}; from {__name__} import answer; answer()"
        through = f"{problem.through.__module__}:{problem.through.__name__}"
        asked = problem.function, problem.call, ",".join(problem.parts), through
        with self.printed.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-u", "-c", start, str(path), *asked],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                start_new_session=True,
                env={**os.environ, VARIABLES[0]: language()},
            )

    def __enter__(self) -> "Apart":
        return self

    def begin(self) -> "Apart":
        """Wait until the file has run, and its function is known."""

        def read(takes: Any) -> None:
            if takes is not None:
                kind = Parameter.POSITIONAL_OR_KEYWORD
                self.__signature__ = Signature([Parameter(name, kind) for name in takes])

        self._answer(b"", lambda reply: read(reply["takes"]))
        return self

    def __exit__(self, *error: object) -> None:
        """End the process, and what it may have started."""
        if os.name == "posix":
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()
        self.talk.join(1.0)  # it reads for longer if what got away from here holds the pipe
        if not self.talk.is_alive():
            self._close()
        self.folder.cleanup()

    def __call__(self, *inputs: Any) -> Any:
        """What the function gives."""
        require(not self.ended, "{why}", Trouble, why=self.ended)

        def read(reply: Any) -> list[Any]:
            self.derived = bool(reply["derived"])
            return [*map(heard, reply["parts"])]

        parts = self._answer(json.dumps([*map(told, inputs)]).encode() + b"\n", read)
        return parts[0] if len(parts) == 1 else parts

    def _exchange(self, message: bytes) -> None:
        """Write and read, which both may wait for ever, and read no more than an answer."""
        assert self.process.stdin
        assert self.process.stdout
        with suppress(OSError):  # it has ended, as reading will tell
            self.process.stdin.write(message)
            self.process.stdin.flush()
        self.lines.put(self.process.stdout.readline(16 * MOST))
        if self.process.returncode is not None:  # nobody waits any longer
            self._close()

    def _close(self) -> None:
        with suppress(OSError), self.process:  # which closes its pipes
            pass

    def _answer(self, message: bytes, read: Callable[[Any], Any]) -> Any:
        """What is read in the reply to a message, which may be anything."""
        line = self._line(message)
        try:
            reply = json.loads(line)
            trouble = reply.get("trouble")
            result = None if trouble else read(reply)
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
            trouble = _("your file writes among the answers of its process")
        require(not trouble, "{why}", Trouble, why=trouble)
        return result

    def _line(self, message: bytes) -> bytes:
        """The line that answers a message; what the process prints meanwhile is printed."""
        self.talk = Thread(target=self._exchange, args=(message,), daemon=True)
        self.talk.start()
        late, line = min(monotonic() + SECONDS, self.until), None
        while line is None:
            with suppress(Empty):
                line = self.lines.get(timeout=0.02)
            self._print()
            if self.shown > PRINTED:
                self.ended = _("your file prints more than {n} letters", n=PRINTED)
            elif line is None and monotonic() > late:
                text = "there is no answer after {n:.0f} seconds: is there a loop without an end?"
                if late == self.until:
                    text = "its answers take more than {all:.0f} seconds: is there a loop too many?"
                self.ended = _(text, n=SECONDS, all=IN_ALL)
            elif line == b"":
                self.ended = _("the process of your file ended before there was an answer")
            require(not self.ended, "{why}", Trouble, why=self.ended)
        return line

    def _print(self) -> None:
        with self.printed.open("rb") as said:
            said.seek(self.shown)
            new = said.read(PRINTED + 1)
        self.shown += len(new)
        print(new.decode("utf-8", "replace"), end="", flush=True)


def answer() -> None:
    """Run a file and answer calls of its function: the other side of `Apart`."""
    path, name, call, parts, through = sys.argv[1:]
    asked, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # what it prints is no answer
    with suppress(ImportError, ValueError, OSError):  # not every system can
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    sys.addaudithook(_starts_and_ends_nothing)
    reply = function = _loaded(path, name, call)
    if callable(function):
        function = resolve_name(through)(function)
        with suppress(TypeError, ValueError):  # a function in C may tell no signature
            reply = {"takes": [*signature(function).parameters]}
        reply = reply if isinstance(reply, dict) else {"takes": None}
    print(json.dumps(reply), file=answers, flush=True)
    for line in asked:
        reply = _called(function, [*map(heard, json.loads(line))], call, parts.split(","))
        print(json.dumps(reply), file=answers, flush=True)


def _starts_and_ends_nothing(event: str, args: object) -> None:
    if event in ENDS:
        raise PermissionError(_("an answer starts and ends no processes"))


def _loaded(path: str, name: str, call: str) -> Any:
    """The function in a file; or what is wrong with that."""
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))  # it may import what lies beside it
    try:
        with explained(_("your file")):
            function = run_path(path).get(name)
    except Trouble as trouble:
        return {"trouble": str(trouble)}
    text = _("there is no function {call} in {file}", call=call, file=os.path.basename(path))
    return function if callable(function) else {"trouble": text}


def _called(function: Any, inputs: list[Any], call: str, names: list[str]) -> dict[str, Any]:
    """What it gives, or what is wrong with that."""
    try:
        out, derived = called(function, inputs, call)
        with explained(call):  # an object may do anything where it is read
            return {"parts": [*map(told, parts_of(out, names))], "derived": derived}
    except Trouble as trouble:
        return {"trouble": str(trouble)}
