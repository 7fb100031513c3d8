"""Files that would rather end the check than answer: none passes, none hangs, none ends it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from tinygrad_ce import __main__ as tour
from tinygrad_ce.exercises.framework import apart

NAME = "softmax_cross_entropy"
RIGHT = """
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True) - t
"""
HEAD = "import os, sys\nimport numpy as np\n\n\n"


def forging(reply: str) -> str:
    """Write a reply wherever that may be read, before the function is asked for."""
    write = f"os.write(k, b'{reply}\\n')"
    return f"for k in range(3, 64):\n    try:\n        {write}\n    except OSError:\n        pass\n"


FORGED = "writes among the answers"
GOT_AWAY = (
    "import ctypes\nc = ctypes.CDLL(None)\nif c.fork() == 0:\n"
    "    c.setsid()\n    c.sleep(9)\n    c._exit(0)\n"
)
HOSTILE = {
    "forges a list": (forging("[1, 2]"), FORGED),
    "forges a name that is none": (forging('{"takes": ["1x"]}') + "os._exit(0)", FORGED),
    "forges a number of names": (forging('{"takes": 5}'), FORGED),
    "forges an object": (
        forging('{"takes": null}\\n{"parts": [{"type": 5}], "derived": 0}'),
        FORGED,
    ),
    "forges no JSON": (forging("passed"), FORGED),
    "forges a line without an end": (
        forging("x")
        .replace("        os.write", "        while True:\n            os.write")
        .replace("x\\n'", "x' * 65536"),
        FORGED,
    ),
    "forges a name and reads nothing": (
        forging('{"takes": ["z", "t"]}') + "import time\ntime.sleep(60)",
        "a loop without an end?",
    ),
    "a process gets away": (GOT_AWAY + "os._exit(0)", "a loop without an end?"),
    "more numbers than can be": (
        "def gradient(z, t):\n    return np.zeros(10**8)",
        "array of 100000000 numbers, wanted 1048576 at most",
    ),
    "complex numbers": (
        "def gradient(z, t):\n    return z + 0j",
        "is ndarray of complex128, wanted",
    ),
    "a generator": ("def gradient(z, t):\n    yield z", "your gradient is generator, wanted"),
    "exits as if all were well": ("os._exit(0)", "the process of your file ended"),
    "exits in the function": ("def gradient(z, t):\n    os._exit(0)", "process of your file ended"),
    "exits politely": ("def gradient(z, t):\n    sys.exit(0)", "stops with SystemExit: 0"),
    "loops without an end": ("while True:\n    pass", "is there a loop without an end?"),
    "loops in the function": ("def gradient(z, t):\n    while True:\n        pass", "a loop"),
    "sleeps": ("import time\ntime.sleep(1000)", "is there a loop without an end?"),
    "prints without an end": ("while True:\n    print('x' * 1000)", "prints more than"),
    "prints 10**7 lines": ("for i in range(10**7):\n    print(i)", "prints more than"),
    "writes without an end": ("while True:\n    os.write(2, b'x' * 10**6)", "prints more than"),
    "patches NumPy": (
        "np.allclose = np.array_equal = lambda *args, **options: True\n"
        "np.abs = np.max = lambda *args, **options: 0.0\n"
        "def gradient(z, t):\n    return z * 0.0",
        "not yet",
    ),
    "an array that exits": (
        "class A:\n    def __array__(self, *args, **options):\n        os._exit(0)\n"
        "def gradient(z, t):\n    return A()",
        "the process of your file ended",
    ),
    "equals everything": (
        "class A:\n    def __eq__(self, other):\n        return True\n"
        "def gradient(z, t):\n    return A()",
        "wanted real numbers",
    ),
    "writes into what it is given": (
        "def gradient(z, t):\n    z[:] = 0.0\n    t[:] = 1.0\n    return z",
        "it changes an input",
    ),
    "makes what it is given writable": (
        "def gradient(z, t):\n    z.flags.writeable = True\n    z[:] = 0\n    return z",
        "not yet",
    ),
    # Signal 0 ends nothing, should the check ever let it pass.
    "kills its parent": ("os.kill(os.getppid(), 0)", "starts and ends no processes"),
    "kills everybody": ("os.kill(-1, 0)", "starts and ends no processes"),
    "kills by a shell": ("os.system('kill -0 -1')", "starts and ends no processes"),
    "starts a process": (
        "import subprocess\nsubprocess.run(['sleep', '60'])",
        "starts and ends no",
    ),
    "looks for the truth in the package": (
        "import tinygrad_ce.exercises.framework.exercise as e\ne.Exercise.check = None\n"
        "e._judge = lambda trials: True\ndef gradient(z, t):\n    return z",
        "not yet",
    ),
    "answers in the check's place": (
        'print(\'{"takes": null}\\n{"parts": [0]}\', file=sys.__stdout__)\nos._exit(0)',
        "the process of your file ended",
    ),
    "recurses": ("def gradient(z, t):\n    return gradient(z, t)", "RecursionError"),
    "takes all memory": ("x = [bytearray(2**28) for _ in range(10**6)]", "not yet"),
    "crashes": ("import ctypes\nctypes.string_at(0)", "the process of your file ended"),
    "reads what it is asked": ("def gradient(z, t):\n    return input()", "EOFError"),
}


QUICK = ("exits as if all were well", "patches NumPy")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param(*case, id=name, marks=[pytest.mark.slow] * (name not in QUICK))
        for name, case in HOSTILE.items()
    ],
)
def test_hostile_files(capsys: Any, tmp_path: Path, monkeypatch: Any, text: str, said: str) -> None:
    if "memory" in said or "2**28" in text:
        pytest.importorskip("resource", reason="this system cannot limit memory")
    monkeypatch.setattr(apart, "SECONDS", 2.0)
    path = tmp_path / "answer.py"
    path.write_text(HEAD + text, encoding="utf-8")
    begun = time.monotonic()
    assert tour.main(["exercise", NAME, "--file", str(path)]) == 1
    assert time.monotonic() - begun < 20
    out = " ".join(capsys.readouterr().out[-4000:].split())
    assert f"{NAME}: not yet" in out
    assert said in out


@pytest.mark.slow
def test_answers_that_are_slow_end_together(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(apart, "IN_ALL", 3.0, raising=False)
    path = tmp_path / "answer.py"
    path.write_text(
        f"{HEAD}import time\ndef gradient(z, t):\n    time.sleep(0.4)\n    return z", "utf-8"
    )
    begun = time.monotonic()
    assert tour.main(["exercise", NAME, "--file", str(path)]) == 1
    assert time.monotonic() - begun < 6


@pytest.mark.slow
def test_what_a_file_has_started_ends_with_it(tmp_path: Path) -> None:
    path, note = tmp_path / "answer.py", tmp_path / "note"
    later = (
        f"import threading, time\ndef late():\n    time.sleep(1.5)\n    open({str(note)!r}, 'w')\n"
    )
    path.write_text(
        f"{HEAD}{later}threading.Thread(target=late).start()\ndef gradient(z, t):{RIGHT}"
    )
    assert tour.main(["exercise", NAME, "--file", str(path)]) == 0
    time.sleep(2)
    assert not note.exists()


def test_a_right_answer_may_print_and_is_heard_once(capsys: Any, tmp_path: Path) -> None:
    path = tmp_path / "answer.py"
    path.write_text(f"{HEAD}print('loaded')\ndef gradient(z, t):\n    print('called'){RIGHT}")
    assert tour.main(["exercise", NAME, "--file", str(path)]) == 0
    assert capsys.readouterr().out.startswith("loaded\ncalled\nsoftmax_cross_entropy: passed")


def test_an_answer_runs_with_no_variables_of_pythons(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("PYTHONSTARTUP", "nowhere")
    path = tmp_path / "answer.py"
    path.write_text(f"{HEAD}assert sys.flags.isolated\ndef gradient(z, t):{RIGHT}")
    assert tour.main(["exercise", NAME, "--file", str(path)]) == 0
    assert os.environ["PYTHONSTARTUP"] == "nowhere"
