"""The tour: from three logits to p − t by the chain rule, checked, and put to work on Iris."""

from __future__ import annotations

import argparse
import codecs
import math
import os
import re
import sys
from collections.abc import Iterable
from importlib.resources import files
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from .checks.gradient_check import gradcheck, numeric_gradient
from .engine.transforms import grad, value_and_grad
from .engine.value import Value
from .losses.activations import softmax
from .losses.losses import cross_entropy
from .programs.files import replace_file
from .views.drawing import draw
from .views.steps import Steps, step_through
from .views.walk import Step

ASCII = {
    "−": "-",
    "·": "*",
    "∂": "d",
    "±": "~",
    "×": "x",
    "⊙": "*",
    "→": "->",
    "Σ": "sum",
    "ᵀ": "^T",
    "²": "^2",
    "√": "sqrt ",
    "…": "...",
    "≤": "<=",
    "≠": "!=",
    "′": "'",
    "₁": "_1",
    "ᵢ": "_i",
    "ⱼ": "_j",
    "ₖ": "_k",
    "δ": "delta",
    "ℓ": "l",
    "σ": "sigma",
}  # where no more can be printed
EXTRA = 'pip install "tinygrad_ce[render]"'
QUIT = ("q", "Q", "\x04", "\x1b")  # and Ctrl-D, Escape


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    text = error.object[error.start : error.end]
    return "".join(ASCII.get(letter, "?") for letter in text), error.end


def _minus(arg: str) -> str:
    """A number with a blank before it, so that argparse takes no -1e3 for an option."""
    try:
        float(arg)
    except ValueError:
        return arg
    return f" {arg}" if arg.startswith("-") else arg


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}\n")


def _arguments(argv: list[str]) -> tuple[Any, Any, argparse.Namespace]:
    also = "tinygrad-ce exercise: gradients to derive by hand, checked (--help tells more)"
    parser = _Parser(prog="tinygrad-ce", description=__doc__, epilog=also)
    parser.add_argument(
        "--logits", nargs="+", type=float, default=[3.2, 1.3, 0.5], metavar="Z", help="two or more"
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--target", type=int, metavar="K", help="the right class, from 0 (the default)"
    )
    which.add_argument(
        "--soft-target", nargs="+", type=float, metavar="T", help="its probabilities"
    )
    parser.add_argument("--quiet", action="store_true", help="results only, no walk and no bar")
    parser.add_argument("--step", action="store_true", help="only the walk, one key a step")
    parser.add_argument(
        "--source", action="store_true", help="only the loss and gradient as a NumPy program"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("tinygrad_ce_out"),
        metavar="DIR",
        help="where graph.svg and steps.html go (default: %(default)s)",
    )
    given = parser.parse_args([_minus(arg) for arg in argv])
    z, classes = np.array(given.logits), len(given.logits)
    if classes < 2 or not np.isfinite(z).all():
        parser.error(f"--logits: got {given.logits}, wanted two or more finite numbers")
    if given.soft_target is None:
        target = given.target or 0
        if not 0 <= target < classes:
            parser.error(f"--target: got {target}, wanted 0 to {classes - 1} for {classes} logits")
        return z, np.eye(classes)[target], given
    t = np.array(given.soft_target)
    if len(t) != classes or not (t >= 0).all() or not math.isclose(t.sum(), 1.0, abs_tol=1e-6):
        parser.error(
            f"--soft-target: got {given.soft_target}, wanted {classes} probabilities that sum to 1"
        )
    return z, t, given


def _show(x: Any) -> str:
    """Numbers to four decimals, aligned; a zero has no sign, from a million on it is 1.0e+06."""

    def number(v: float) -> str:
        return f"{v:8.1e}" if 1e6 <= abs(v) < math.inf else f"{0.0 if abs(v) < 5e-5 else v:8.4f}"

    form: Any = {"float_kind": number}
    return np.array2string(np.asarray(x), formatter=form, max_line_width=10**6, threshold=10**6)


def _title(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}")


def _textbook(z: Any, t: Any) -> Any:
    """Cross-entropy as it is first written down, its steps named as on paper."""
    e = np.exp(z)
    s = np.sum(e)
    p = e / s
    q = np.log(p)
    r = t * q
    u = np.sum(r)
    loss = -u
    if isinstance(loss, Value):
        for value, name in zip((e, s, p, q, r, u, loss), ("e", "s", "p", "q", "r", "u", "L")):
            value.name = name
    return loss


def _lines(step: Step) -> str:
    """A step's rule; one too long for a line of a terminal breaks before each =, :, → of it."""
    text = f"{step.number:>3}  {step.words}"
    if len(text) > 80:
        head, *rest = re.split(r"(?:(?<=:) | (?== | →))", step.words)
        text = "\n       ".join([f"{step.number:>3}  {head}", *rest])
    return text


def walk(steps: Steps, by_key: bool = False) -> None:
    """Print the forward and the backward pass, step by step; at a key each, until a q."""
    titles = {
        "forward": "Forward: each node from the ones before it",
        "backward": "Backward: newest node first, its gradient times each local derivative",
    }
    if by_key:
        print("Any key for the next step (Enter, where keys cannot be read); q to stop.")
    for step in steps:
        if title := titles.pop(step.phase, ""):
            _title(title)
        print(_lines(step), flush=True)
        if by_key and step is not steps[-1] and _key().strip(" \r\n") in QUIT:
            break


def _key() -> str:
    """Wait for a key, or for Enter where keys cannot be read one by one; q at the end of input."""
    try:
        import termios
        import tty
    except ImportError:  # not POSIX
        return sys.stdin.readline() or "q"
    if not sys.stdin.isatty():
        return sys.stdin.readline() or "q"
    at = sys.stdin.fileno()
    before = termios.tcgetattr(at)
    try:
        tty.setcbreak(at, termios.TCSADRAIN)  # keeps what is typed ahead
        return os.read(at, 16).decode(errors="replace")  # an arrow key is several bytes, one key
    except KeyboardInterrupt:
        return "q"
    finally:
        termios.tcsetattr(at, termios.TCSADRAIN, before)


def write(loss: Value, steps: Steps, folder: Path) -> Iterable[str]:
    """Write the picture and the page into a folder; yield their paths, and what is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    drawing = draw(loss)
    try:
        pictures = {"graph.svg": drawing.svg}
    except (ImportError, RuntimeError) as error:
        pictures = {"graph.txt": drawing.text, "graph.dot": drawing.dot}
        yield f"({error}; the graph is in these)"
    for name, text in pictures.items():
        replace_file(folder / name, text.encode())
        yield str(folder / name)
    try:
        steps.save(folder / "steps.html")
        yield str(folder / "steps.html")
    except ImportError:
        yield f"(no page: {EXTRA})"


def show_source(z: Any, t: Any) -> None:
    """Print loss and gradient as NumPy source: the chain rule as it is applied, and cleaned."""
    from .programs.compiled import program

    _title("The chain rule, line by line")
    print(program(_textbook, z, t, clean=False))
    _title("The same, cleaned")
    print(program(_textbook, z, t))


def compare(z: Any, t: Any) -> None:
    """Print one gradient, found in four ways that share nothing but the loss."""
    _title("One gradient, four ways")

    def loss(v: Any) -> Any:
        return cross_entropy(v, t, fused=False)

    rows = {
        "p − t": softmax(z) - t,
        "composed, by the chain rule": grad(loss)(z),
        "fused node LogSoftmaxNLL": grad(lambda v: cross_entropy(v, t))(z),
        "finite differences": numeric_gradient(loss, z),
        "complex step": numeric_gradient(loss, z, method="complex"),
    }
    right = rows["p − t"]
    print(f"{'':<28} {'∂L/∂z':<{len(_show(z))}} off by at most")
    for name, g in rows.items():
        print(f"{name:<28} {_show(g)} {np.max(abs(g - right)):.0e}")


def overflow(z: Any, t: Any) -> None:
    """Print what the same logits do when they are all moved up to 1000."""
    high = z - z.max() + 1000.0
    _title("The same logits, moved up to 1000: p is the same, exp(1000) is not a number we have")
    with np.errstate(all="ignore"):
        for name, loss in {
            "textbook exp / sum": _textbook,
            "maximum subtracted": lambda v, t: cross_entropy(v, t, fused=False),
            "fused node LogSoftmaxNLL": cross_entropy,
        }.items():
            value, g = value_and_grad(lambda v, loss=loss: loss(v, t))(high)
            print(f"{name:<28} loss {value:8.4f}   ∂L/∂z {_show(g)}")


def iris() -> tuple[Any, Any]:
    """Fisher's 150 flowers: four standardised measurements, and the species 0, 1 or 2."""
    with (files(__package__) / "iris.csv").open() as file:
        table = np.loadtxt(file, delimiter=",", skiprows=3)
    x = table[:, :4]
    return (x - x.mean(axis=0)) / x.std(axis=0), table[:, 4].astype(int)


def train(steps: int = 500, rate: float = 1.0, quiet: bool = False) -> None:
    """Fit softmax regression to Iris by gradient descent, and check the gradient at the end."""
    x, y = iris()
    weights, bias = Value(np.zeros((4, 3)), name="W"), Value(np.zeros(3), name="b")
    for _ in _progress(range(steps), quiet):
        loss = cross_entropy(x @ weights + bias, y)
        weights.grad = bias.grad = None
        loss.backward()
        weights.data -= rate * weights.grad
        bias.data -= rate * bias.grad
    logits = x @ weights.data + bias.data
    accuracy = np.mean(np.argmax(logits, axis=1) == y)
    report = gradcheck(
        lambda w, b: cross_entropy(x @ w + b, y, fused=False), weights.data, bias.data
    )
    print(f"150 flowers, {steps} steps: loss {cross_entropy(logits, y):.4f}, ", end="")
    print(f"accuracy {accuracy:.1%}")
    print(f"gradient at the trained point: {report.verdict}" if quiet else report)


def _progress(steps: range, quiet: bool) -> Iterable[int]:
    if quiet:
        return steps
    try:
        from tqdm import tqdm
    except ImportError:
        print('(for a progress bar: pip install "tinygrad_ce[progress]")', file=sys.stderr)
        return steps
    bar: Iterable[int] = tqdm(steps, desc="softmax regression on Iris", unit="step", disable=None)
    return bar


def main(argv: list[str] | None = None) -> int:
    """Run the tour, or the exercises; return the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["exercise"]:
        from .exercises.__main__ import exercise

        return exercise(argv[1:], _Parser(prog="tinygrad-ce exercise"))
    z, t, given = _arguments(argv)
    if given.source:
        show_source(z, t)
        return 0
    logits = Value(z, name="z")
    with np.errstate(all="ignore"):  # large logits overflow here; the fused node has the answer
        loss = _textbook(logits, t)
        loss.backward()
        fused = cross_entropy(logits, t)
        fused.name = "L"
        steps = step_through(loss, fused=fused)
        try:
            written = list(write(loss, steps, given.out))
        except OSError as error:
            why = f"--out: cannot write to {given.out}: {error.strerror or error}"
            print(f"tinygrad-ce: error: {why}", file=sys.stderr)
            return 2
    if given.step:
        walk(steps, by_key=True)
    else:
        tour(logits, t, steps, given.quiet)
    print("\nwritten:", *written, sep="\n  ")
    return 0


def tour(logits: Value, t: Any, steps: Steps, quiet: bool) -> None:
    """Print the walk, the gradient found in other ways, and the work on Iris."""
    z = logits.data
    if not quiet:
        print(f"logits z = {_show(z)}, target t = {_show(t)}")
        walk(steps)
    by_chain_rule = logits.grad if np.isfinite(logits.grad).all() else None
    print(f"\nloss  L     = {cross_entropy(z, t):.4f}")
    print(f"      p     = {_show(softmax(z))}")
    print(f"      p − t = {_show(softmax(z) - t)}")
    if by_chain_rule is None:
        print("      ∂L/∂z   overflowed on the way: see the fused node below")
    else:
        print(f"      ∂L/∂z = {_show(by_chain_rule)}, by the chain rule")
    if not quiet:
        compare(z, t)
        overflow(z, t)
        _title("At work: softmax regression on all of Iris, the gradient by the engine")
    train(quiet=quiet)


def run() -> None:
    """The console script: a closed pipe (``| head``) ends it quietly, ASCII is enough for it."""
    codecs.register_error("in_ascii", _in_ascii)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="in_ascii")
    try:
        code = main()
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        code = 130  # as a shell has it: 128 and the signal's number
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code)


if __name__ == "__main__":
    run()
