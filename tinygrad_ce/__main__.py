"""The tour: from three logits to p − t by the chain rule, checked, and put to work on Iris."""

import argparse
import math
import os
import re
import sys
from collections.abc import Iterable
from functools import partial
from importlib.resources import files
from importlib.util import find_spec
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from .checks.diagnosis import diagnose
from .checks.gradient_check import gradcheck, numeric_gradient
from .checks.wording import columns, table
from .engine.text import _
from .engine.transforms import grad, value_and_grad
from .engine.value import Value
from .losses.activations import softmax
from .losses.losses import cross_entropy
from .programs.compiled import program
from .views.derivation import derive
from .views.drawing import draw
from .views.steps import Steps
from .views.walk import step_through

QUIT = ("q", "Q", "\x04", "\x1b")  # and Ctrl-D, Escape


class _Parser(argparse.ArgumentParser):
    def format_help(self) -> str:
        text = super().format_help()
        words = "usage:", "positional arguments:", "options:", "show this help message and exit"
        for word in words:
            text = text.replace(word, _(word))
        return text

    def error(self, message: str) -> NoReturn:
        self.exit(2, _("{program}: error: {message}", program=self.prog, message=message) + "\n")


def _arguments(argv: list[str]) -> tuple[Any, Any, argparse.Namespace]:
    """Return the logits, their target, and the options."""
    what = _("From three logits to p − t by the chain rule, checked, and put to work on Iris.")
    also = _("tinygrad-ce exercise: gradients to derive by hand, checked (--help tells more)")
    parser = _Parser(prog="tinygrad-ce", description=what, epilog=also)
    add, one = parser.add_argument, parser.add_mutually_exclusive_group().add_argument
    logits, several = [3.2, 1.3, 0.5], _("two or more")
    add("--logits", nargs="+", type=float, default=logits, metavar="Z", help=several)
    one("--target", type=int, metavar="K", help=_("the right class, from 0 (the default)"))
    one("--soft-target", nargs="+", type=float, metavar="T", help=_("its probabilities"))
    add("--quiet", action="store_true", help=_("results only, no walk"))
    add("--step", action="store_true", help=_("only the walk, one key a step"))
    add("--source", action="store_true", help=_("only the loss and gradient as a NumPy program"))
    where = _("where graph.svg and steps.html go (default: %(default)s)")
    add("--out", type=Path, default="tinygrad_ce_out", metavar="DIR", help=where)
    # Behind a blank, argparse does not take -1e3 for an option.
    given = parser.parse_args([f" {a}" if re.match(r"-(\.?\d|inf|nan)", a) else a for a in argv])
    z, t, target = np.array(given.logits), given.soft_target, given.target or 0
    if len(z) < 2 or not np.isfinite(z).all():
        problem = "--logits: got {logits}, wanted two or more finite numbers"
    elif not 0 <= target < len(z):
        problem = "--target: got {target}, wanted 0 to {last} for {classes} logits"
    elif t and (len(t) != len(z) or min(t) < 0 or not math.isclose(sum(t), 1.0, abs_tol=1e-6)):
        problem = "--soft-target: got {soft_target}, wanted {classes} probabilities that sum to 1"
    else:
        return z, np.array(t or np.eye(len(z))[target]), given
    parser.error(_(problem, **vars(given), last=len(z) - 1, classes=len(z)))


def _show(x: Any) -> str:
    """Numbers to four decimals, aligned; a zero has no sign, from a million on it is 1.0e+06."""
    numbers = np.round(x, 4) + 0.0
    shown = (f"{v:8.1e}" if 1e6 <= abs(v) < math.inf else f"{v:8.4f}" for v in numbers)
    return f"[{' '.join(shown)}]"


def _title(text: str) -> None:
    print(f"\n{text}\n{'-' * columns(text)}")


def _textbook(z: Any, t: Any) -> Any:
    """Cross-entropy as it is first written down, a letter for each step."""
    e = np.exp(z)
    s = np.sum(e)
    p = e / s
    q = np.log(p)
    r = t * q
    u = np.sum(r)
    L = -u
    return L


def compare(z: Any, t: Any) -> None:
    """Print the loss, and its gradient, found in four ways that share nothing but the loss."""
    right, loss = softmax(z) - t, partial(cross_entropy, target=t, fused=False)
    print(_("\nloss L = {loss:.4f}\n     p = {p}", loss=loss(z), p=_show(softmax(z))))
    _title(_("One gradient, four ways"))
    ways = {
        "p − t": right,
        _("composed, by the chain rule"): grad(loss)(z),
        _("fused node LogSoftmaxNLL"): grad(cross_entropy)(z, t),
        _("finite differences"): numeric_gradient(loss, z),
        _("complex step"): numeric_gradient(loss, z, method="complex"),
    }
    rows = [(way, _show(g), f"{np.max(abs(g - right)):.0e}") for way, g in ways.items()]
    print(*table([("", "∂L/∂z", _("off by at most")), *rows]), sep="\n")
    _title(_("The same logits, moved up to 1000: p is the same, exp(1000) is not a number we have"))
    losses = {
        _("textbook exp / sum"): partial(_textbook, t=t),
        _("maximum subtracted"): loss,
        _("fused node LogSoftmaxNLL"): partial(cross_entropy, target=t),
    }
    with np.errstate(all="ignore"):
        found = [value_and_grad(loss)(z - z.max() + 1000.0) for loss in losses.values()]
    told = [_("loss {value:8.4f}   ∂L/∂z {gradient}", value=x, gradient=_show(g)) for x, g in found]
    print(*table([*zip(losses, told)]), sep="\n")
    print(f"\n{diagnose(partial(_textbook, t=t), z - z.max() + 1000.0)}")


def walk(steps: Steps, by_key: bool = False) -> None:
    """Print the forward and the backward pass, step by step; at a key each, until a q."""
    titles = {
        "forward": "Forward: each node from the ones before it",
        "backward": "Backward: newest node first, its gradient times each local derivative",
    }
    if by_key:
        print(_("Any key for the next step (Enter, where keys cannot be read); q to stop."))
    for step in steps:
        if title := titles.pop(step.phase, ""):
            _title(_(title))
        text = f"{step.number:>3}  {step.words}"
        if columns(text) > 80:  # too long for a line of a terminal: it breaks before each =, :, →
            text = re.sub(r"(?<=:) | (?== | →)", "\n       ", text)
        print(text, flush=True)
        if by_key and step is not steps[-1] and _key().strip(" \r\n") in QUIT:
            break


def _key() -> str:
    """Wait for a key, or for Enter where keys cannot be read one by one; q at the end of input."""
    if not sys.stdin.isatty() or not find_spec("termios"):  # POSIX has it
        return sys.stdin.readline() or "q"
    import termios
    import tty

    at = sys.stdin.fileno()
    before = termios.tcgetattr(at)
    try:
        tty.setcbreak(at, termios.TCSADRAIN)  # keeps what is typed ahead
        return os.read(at, 16).decode(errors="replace")  # an arrow key is several bytes, one key
    finally:
        termios.tcsetattr(at, termios.TCSADRAIN, before)


def write(loss: Value, steps: Steps, folder: Path) -> Iterable[str]:
    """Write the picture and the page into a folder; yield their paths, or what is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, save in {"graph.svg": draw(loss).save, "steps.html": steps.save}.items():
        try:
            save(folder / name)
            yield str(folder / name)
        except (ImportError, RuntimeError) as error:
            yield f"({error})"


def iris() -> tuple[Any, Any]:
    """Fisher's 150 flowers: four standardised measurements, and the species 0, 1 or 2."""
    with (files(__package__) / "iris.csv").open() as file:
        flowers = np.loadtxt(file, delimiter=",", skiprows=3)
    x = flowers[:, :4]
    return (x - x.mean(axis=0)) / x.std(axis=0), flowers[:, 4].astype(int)


def train(steps: int = 500, rate: float = 1.0) -> None:
    """Fit softmax regression to Iris by gradient descent, and check the gradient at the end."""
    _title(_("At work: softmax regression on all of Iris, the gradient by the engine"))
    x, y = iris()

    def loss(w: Any, b: Any, fused: bool = True) -> Any:
        return cross_entropy(x @ w + b, y, fused=fused)

    w, b = np.zeros((4, 3)), np.zeros(3)
    for _step in range(steps):
        dw, db = grad(loss, (0, 1))(w, b)
        w, b = w - rate * dw, b - rate * db
    found = "150 flowers, {steps} steps: loss {loss:.4f}, accuracy {accuracy:.1%}"
    right = np.argmax(x @ w + b, axis=1) == y
    print(_(found, steps=steps, loss=loss(w, b), accuracy=right.mean()))
    print(gradcheck(partial(loss, fused=False), w, b))


def main(argv: list[str] | None = None) -> int:
    """Run the tour, or the exercises; return the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["exercise"]:
        from .exercises.command import exercise

        return exercise(argv[1:], _Parser(prog="tinygrad-ce exercise"))
    z, t, given = _arguments(argv)
    if given.source:
        for title, clean in ("The chain rule, line by line", False), ("The same, cleaned", True):
            _title(_(title))
            print(program(_textbook, z, t, clean=clean))
        return 0
    logits = Value(z, name="z")
    with np.errstate(all="ignore"):  # large logits overflow here; the fused node has the answer
        loss = _textbook(logits, t)
        loss.backward()
        steps = step_through(_textbook, z, t, fused=cross_entropy)
        try:
            written = list(write(loss, steps, given.out))
        except OSError as error:
            why = "tinygrad-ce: error: --out: cannot write to {folder}: {error}"
            print(_(why, folder=given.out, error=error.strerror or error), file=sys.stderr)
            return 2
    if not given.quiet:
        print(_("logits z = {z}, target t = {t}", z=_show(z), t=_show(t)))
        walk(steps, by_key=given.step)
    if not given.quiet and not given.step:
        _title(_("The same in letters: the chain rule, then what it simplifies to"))
        print(derive(_textbook, z, t, sums_to_one="t"))
    if not given.step:
        compare(z, t)
        train()
    print(_("\nwritten:"), *written, sep="\n  ")
    return 0


def run() -> None:
    """The console script: it writes UTF-8, and a closed pipe (``| head``) ends it quietly."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    try:
        code = main()
        sys.stdout.flush()
    except KeyboardInterrupt:
        print(_("stopped"), file=sys.stderr)
        code = 130  # as a shell has it: 128 and the signal's number
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code)


if __name__ == "__main__":
    run()
