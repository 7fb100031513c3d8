"""A program as source: a line a line, names from the user where there are any."""

from __future__ import annotations

import math
import re
import sys
from textwrap import indent
from typing import Any

import numpy as np

from ..engine.data import example
from ..engine.rules import scatter
from . import literals
from .expressions import ATOM, Expressions, is_turned
from .lines import CHECKED, Line, Size, astype, constant, entry, fact, live, reads, walk
from .recorder import RESERVED
from .recording import Recording
from .simplifier import alike, is_call, moves_first, uniform

INLINE = 36  # letters of an expression that may stand inside another
# Functions that give no part of what they got, as no ufunc does; a result of others is copied.
NEW = {np.sum, np.mean, np.max, np.min, np.dot, np.vdot, np.outer, np.concatenate, np.stack}
NEW |= {np.where, np.clip, np.eye, astype, scatter}
MANY = 1000  # lines from which nobody reads them all: longer expressions are a quarter faster


def emit(recording: Recording, clean: bool) -> str:
    """A program as a module: its imports, its constants and one function."""
    printer = _Printer(recording, clean)
    body = [*printer.body(), printer.result()]
    body = [*printer.head(), *body]  # which makes arrays that the body reads
    constants = [f"{name} = {text}" for name, text in printer.constants.values()]
    used = re.sub(r"#.*", "", "\n".join([*body, *constants]))
    theirs = ["import numpy as np"] if re.search(r"\bnp\.", used) else []
    if theirs:  # which has these, too
        body = [re.sub(r"\bmath\.(inf|nan)\b", r"np.\1", line) for line in body]
        used = re.sub(r"\bmath\.(inf|nan)\b", "", used)
    modules = {*re.findall(r"\b([^\W\d][\w.]*)\.\w+\(", used)} & sys.modules.keys() - printer.taken
    theirs += [f"import {module}" for module in sorted(modules)]
    name, title, what = "value", "A value", "Return the value."
    if by := recording.differentiated:
        name, title = "loss_and_grad", "Loss and gradient"
        what = f"Return the value and its gradient with respect to {by}."
        what = what if len(what) <= literals.WIDTH - 10 else "Return the value and its gradient."
    head = [f'"""{title}, printed by tinygrad_ce.program."""']
    head += ["import math"] if re.search(r"\bmath\.", used) else []
    head += filter(None, ["\n".join(theirs), "\n".join(constants)])
    define = literals.folded(f"def {name}({', '.join(recording.parameters)})", margin=1)
    inner = indent("\n".join([f'"""{what}"""', *body]), literals.TAB)
    return "\n\n".join(head) + f"\n\n\n{define}:\n{inner}\n"


class _Printer(Expressions):
    """Names and statements of one program."""

    def __init__(self, recording: Recording, clean: bool) -> None:
        self.recording, self.outputs, self.clean = recording, recording.outputs, clean
        self.needed = live(recording.lines, self.outputs)
        self.lines = [line for line in self.needed if line.function is not None]
        super().__init__({*RESERVED, *recording.parameters}, recording.constants)
        if recording.rows:
            self.taken.add(recording.rows[0])
        for place, x in recording.arguments.items():
            if x.__class__ is Line:
                whole = place in recording.parameters
                self.names[x] = place if whole else self.unique(x.name or "x")
        self.results = set(walk(self.outputs))
        self.longest = INLINE if len(self.lines) < MANY else 300  # letters of an inner expression
        self.statements: list[str] = []
        self.uses = dict.fromkeys(self.results, 2)  # how often each is read; a result, often
        for line in reversed(self.lines):
            template = entry(line.function) if line.is_number else None
            often = 2 if template and template.count("{0}") > 1 else 1
            for x in reads(line):
                self.uses[x] = self.uses.get(x, 0) + often
        self.into = {
            line: line.args[1] for line in self.lines if clean and _takes_entries(line, self.uses)
        }

    # ------------------------------------------------------------------ statements
    def head(self) -> list[str]:
        """A size, a check of shapes, and what is made once of sizes."""
        inputs = self.recording.arguments.items()
        shapes = {k: x.shape for k, x in inputs if x.__class__ is Line and not x.is_number}
        checks = []
        if self.recording.rows:
            name, place, least, most = self.recording.rows
            checks.append(f"{name} = len({place})")
            limits = [(f"{name} < {least}", f"{least} or more")] if least > 1 else []
            limits += [(f"{name} > {most}", f"{most} or fewer")] if most else []
            for wrong, wanted in limits:
                message = f"got {{{name}}} rows, wanted {wanted}: make a program of as many"
                checks += [f"if {wrong}:", f'    raise ValueError(f"{message}")']
        if shapes:
            checks += literals.check_shapes(shapes, self.unique("shapes"), self.unique("wanted"))
        arrays = [f"{name} = {text}  # constant" for text, name in self.arrays.items()]
        return [*checks, *arrays]

    def body(self) -> list[str]:
        """Checks and names of arguments, then each line."""
        needed = set(self.needed)
        for place, x in self.recording.arguments.items():
            if x.__class__ is not Line:
                self.statements += literals.check_fixed(place, x)
            elif x in needed and self.names[x] != place:
                self.statements.append(f"{self.names[x]} = {place}")
        forward, inside = set(live(self.needed, self.outputs[0])), {*self.into.values()}
        last = max([i for i, line in enumerate(self.lines) if line in forward], default=-1)
        for i, line in enumerate(self.lines):
            if i == last + 1 and self.recording.differentiated:
                self.statements.append("# backward, newest first")
            if line not in inside and not self.inlined(line):
                self.place(line)
        return self.statements

    def inlined(self, line: Line) -> bool:
        """Whether the one line that reads it can have it as an expression; then that is noted."""
        of = line.of is not None and (line.of.name or line.of.function is None)
        kept = line.name or of or line.function in (scatter, *CHECKED) or line in self.into
        several = isinstance(line.kind, type) and not line.is_number  # a tuple, as of np.split
        once = self.clean and not kept and not several and self.uses[line] == 1
        if not once and not (is_turned(line) and line not in self.results):
            return False
        text, level = self.expression(line)
        if len(text) <= self.longest:
            self.inline[line] = text, level
        return line in self.inline

    def place(self, line: Line) -> None:
        """The statements of one line."""
        if line.function in CHECKED:
            x, *bounds = line.args
            if x not in self.names:
                self.place(x)
            self.names[line] = self.names[x]
            name = self.names[x]
            check = literals.check_range if bounds else literals.check_sums
            self.statements += check(name, *(bounds or [x.dtype]))
        elif line.function is scatter or line in self.into:
            _scattered(self, line)
        else:
            self.assign(line, self.expression(line)[0])

    def assign(self, line: Line, text: str) -> str:
        """A statement that gives a line a name, and says its shape.

        The name is the user's; ``grad_`` of a line's name; else the operation's, numbered.
        """
        of = self.names.get(line.of) if line.of is not None else None
        own = line.name or (of and f"grad_{of}")
        name = self.names[line] = self.unique(own) if own else self.numbered(_operation(line))
        code, note = f"{name} = {text}", str(line.shape or "")
        if line.function is constant:
            note = "the gradient of the result by itself"
        whole = f"{code}  # {note}" if note else code
        if len(whole) + 4 > literals.WIDTH:
            whole = "\n".join([*([f"# {note}"] if note else []), literals.folded(code)])
        self.statements.append(whole)
        return name

    def result(self) -> str:
        """The last statement."""
        seen = set[Line]()

        def leaf(x: Any) -> str:
            """A new array, which neither the caller has already nor another result is."""
            if x.__class__ is np.ndarray:
                alike = not x.size or uniform(x)
                return literals.fresh_text(x) if alike else f"{self.text(x)}.copy()"
            if x.__class__ is Size:
                return x.text
            if x.__class__ is not Line or x.is_number:
                return self.text(x)
            base, shown = x, False
            while moves_first(base.function) and base.args[0].__class__ is Line:
                shown = shown or base.function in (np.broadcast_to, np.diagonal)
                base = base.args[0]
            new = base.function.__class__ is np.ufunc or base.function in NEW
            new = new or (base.function is np.diag and base.ndim == 2)  # of a vector
            kept = shown or not new or base in seen
            seen.add(base)
            return f"{self.text(x, ATOM)}.copy()" if kept else self.text(x)

        parts = self.outputs if self.recording.differentiated else self.outputs[:1]
        return literals.folded(
            f"return {', '.join(literals.structure_text(x, leaf) for x in parts)}"
        )


def _scattered(printer: _Printer, line: Line) -> None:
    """Zeros, or an array, and what is written or added there."""
    base, entries = (None, line) if line.function is scatter else line.args
    g, index, shape = entries.args
    alike = g.__class__ is np.ndarray and uniform(g)
    what = printer.literal(g.flat[0].item()) if alike else printer.text(g)
    kind = "" if line.dtype == np.float64 else f", {literals.dtype_text(line.dtype)}"
    start = f"{printer.text(base, ATOM)}.copy()" if base else f"np.zeros({shape}{kind})"
    name, symbol = printer.assign(line, start), fact(line.function, "symbol")
    written = f"{name}[{printer.index(index)}] {symbol}= {what}"
    at = f"np.s_[{printer.index(index)}]" if index.__class__ is tuple else printer.text(index)
    added = f"np.{'subtract' if symbol == '-' else 'add'}.at({name}, {at}, {what})"
    printer.statements.append(literals.folded(written if _reads_each_once(index) else added))


def _takes_entries(line: Line, uses: dict[Line, int]) -> bool:
    """Whether entries that nothing else reads can be written into a sum, ``p[rows, y] -= 1``."""
    both = line.args if line.function in (np.add, np.subtract) else ()
    return bool(both) and is_call(both[1], scatter) and uses[both[1]] == 1 and alike(both[0], line)


def _operation(line: Line) -> str:
    f, owner = line.function, getattr(line.function, "__self__", None)
    name = f"{owner.__name__}_{f.__name__}" if owner.__class__ is np.ufunc else f.__name__
    return {"getitem": "item", "constant": "one"}.get(name, name)


def _reads_each_once(index: Any) -> bool:
    """Whether an index reads no entry twice, whatever the arguments are: ``[np.arange(n), y]``."""
    parts: Any = [example(p) for p in (index if index.__class__ is tuple else (index,))]
    arrays = [p if p.__class__ is Line else np.asarray(p) for p in parts if np.ndim(p)]
    fixed = [p for p in arrays if p.__class__ is np.ndarray and p.dtype.kind in "iu" and p.size]
    fixed = [p for p in fixed if np.all(p >= 0)]
    if not fixed or any(p.dtype.kind == "b" for p in arrays):
        return not arrays
    shape = np.broadcast_shapes(*[p.shape for p in arrays])
    known = [np.broadcast_to(p, shape).reshape(-1) for p in fixed]
    return bool(np.unique(known, axis=1).shape[1] == math.prod(shape))
