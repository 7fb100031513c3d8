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
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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

from ...engine.text import _, require
from .calling import Trouble, called, explained, parts_of
from .problem import Problem

SECONDS = 10.0  # for an answer
PRINTED = 2**16  # bytes
MEMORY = 2**32  # bytes, where the system can limit it
ENDS = {"os.kill", "os.killpg", "os.system", "os.exec", "os.fork", "os.posix_spawn"}
ENDS |= {"subprocess.Popen", "signal.pthread_kill"}


def told(x: Any) -> Any:
    """A number, or an array with its bytes as text; of what is neither, its type."""
    if x is None or type(x) in (float, int):
        return x
    try:
        array = np.array(x)
    except Exception:
        array = np.array(None)
    if array.dtype.kind not in "fiub":
        return {"type": f"{type(x).__name__} of {array.dtype}"}
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
            )
        self.listener = Thread(target=self._listen, daemon=True)
        self.listener.start()

    def begin(self) -> None:
        """Wait until the file has run, and its function is known."""
        takes = self._answer().get("takes")
        if takes is not None:
            kind = Parameter.POSITIONAL_OR_KEYWORD
            self.__signature__ = Signature([Parameter(name, kind) for name in takes])

    def stop(self) -> None:
        """End the process, and what it may have started."""
        if os.name == "posix":
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.listener.join()
        with suppress(OSError), self.process:  # which closes its pipes
            pass
        self.folder.cleanup()

    def __call__(self, *inputs: Any) -> Any:
        """What the function gives."""
        require(not self.ended, "{why}", Trouble, why=self.ended)
        with suppress(OSError):  # it has ended, as reading will tell
            assert self.process.stdin
            self.process.stdin.write(json.dumps([*map(told, inputs)]).encode() + b"\n")
            self.process.stdin.flush()
        reply = self._answer()
        self.derived = bool(reply.get("derived"))
        parts = [*map(heard, reply["parts"])]
        return parts[0] if len(parts) == 1 else parts

    def _listen(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(b"")  # the end

    def _answer(self) -> Any:
        """The next line of the process; what it prints meanwhile is printed."""
        late, line = monotonic() + SECONDS, None
        while line is None:
            with suppress(Empty):
                line = self.lines.get(timeout=0.02)
            self._print()
            if self.shown > PRINTED:
                self.ended = _("your file prints more than {n} letters", n=PRINTED)
            elif line is None and monotonic() > late:
                text = "there is no answer after {n:.0f} seconds: is there a loop without an end?"
                self.ended = _(text, n=SECONDS)
            elif line == b"":
                self.ended = _("the process of your file ended before there was an answer")
            require(not self.ended, "{why}", Trouble, why=self.ended)
        reply = json.loads(line or b"")
        require("trouble" not in reply, "{why}", Trouble, why=reply.get("trouble"))
        return reply

    def _print(self) -> None:
        with self.printed.open("rb") as said:
            said.seek(self.shown)
            new = said.read(PRINTED + 1)
        self.shown += len(new)
        print(new.decode("utf-8", "replace"), end="", flush=True)


@contextmanager
def apart(path: Path, problem: Problem) -> Iterator[Apart]:
    """An `Apart` that has begun, and ends."""
    function = Apart(path, problem)
    try:
        function.begin()
        yield function
    finally:
        function.stop()


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
