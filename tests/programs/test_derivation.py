"""`derive`: every line of it holds, and the last one is the textbook's."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import some_quick
from helpers.formulas import Reader
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_ce as tg
from tinygrad_ce import Derivation, Value, derive, primitive
from tinygrad_ce.programs import simplifier
from tinygrad_ce.programs.lines import Line
from tinygrad_ce.views.formulas import Formula
from tinygrad_ce.views.line_formulas import Formulas

RNG = np.random.default_rng(5)
N, K = 4, 3
X, W, B = RNG.normal(size=(N, 2)), RNG.normal(size=(2, K)), RNG.normal(size=K)
Z, T, Y = RNG.normal(size=(N, K)), np.eye(K)[[0, 2, 1, 2]], np.array([0, 2, 1, 2])
SOFT = RNG.dirichlet(np.ones(K), N)
SHARES, BITS = SOFT[::-1].copy(), SOFT[1].copy()


def cross_entropy(z: Any, t: Any) -> Any:
    e = np.exp(z)
    s = e.sum(axis=-1, keepdims=True)
    p = e / s
    return -(t * np.log(p)).sum()


def textbook(z: Any, t: Any) -> Any:
    e = np.exp(z)
    s = e.sum()
    p = e / s
    return -(t * np.log(p)).sum()


def linear(W: Any, b: Any, X: Any, t: Any) -> Any:
    z = X @ W + b
    return cross_entropy(z, t) / len(X)


def tempered(z: Any, t: Any, T: Any) -> Any:
    u = z / T
    return cross_entropy(u, t)


def binary(z: Any, y: Any) -> Any:
    s = 1 / (1 + np.exp(-z))
    return -(y * np.log(s) + (1 - y) * np.log(1 - s)).sum()


def binary_of_numbers(z: Any, y: Any) -> Any:
    s = 1 / (1 + np.exp(-z))
    return -(y * np.log(s) + (1 - y) * np.log(1 - s))


def squared(w: Any, X: Any, y: Any) -> Any:
    r = X @ w - y
    return (r**2).mean()


def layer(W: Any, X: Any, y: Any) -> Any:
    h = np.tanh(X @ W)
    d = h - y
    return 0.5 * (d**2).sum()


def scalars(a: Any, b: Any, c: Any) -> Any:
    d = a * b
    e = d + c
    f = np.tanh(e)
    return f * f + a


def normed(x: Any, t: Any) -> Any:
    m = x.mean()
    v = ((x - m) ** 2).mean()
    y = (x - m) / np.sqrt(v + 1e-5)
    return (t * y).sum()


ROWS: dict[str, tuple[Any, ...]] = {  # f, its arguments, how, and the last lines
    "softmax": (textbook, (Z[0], T[0]), {}, ["∂L/∂z = Σt · p − t"]),
    "softmax, sums to one": (textbook, (Z[0], SOFT[0]), {"sums_to_one": "t"}, ["∂L/∂z = p − t"]),
    "rows": (cross_entropy, (Z, T), {}, ["∂L/∂z = Σⱼt · p − t"]),
    "rows, sum to one": (cross_entropy, (Z, SOFT), {"sums_to_one": "t"}, ["∂L/∂z = p − t"]),
    "mean": (
        lambda z, t: cross_entropy(z, t) / len(z),
        (Z, T),
        {"sums_to_one": "t"},
        ["∂L/∂z = (p − t) / n"],
    ),
    "logsumexp": (lambda z: np.log(np.exp(z).sum()), (Z[0],), {}, ["∂L/∂z = p"]),
    "temperature": (tempered, (Z[0], T[0], 2.0), {"sums_to_one": "t"}, ["∂L/∂z = (p − t) / T"]),
    "linear": (
        linear,
        (W, B, X, T),
        {"wrt": (0, 1), "sums_to_one": "t"},
        ["∂L/∂W = Xᵀ ((p − t) / n)", "∂L/∂b = Σᵢ((p − t) / n)"],
    ),
    "sigmoid": (binary, (Z[0], T[0]), {}, ["∂L/∂z = s − y"]),
    "squared": (squared, (W[:, 0], X, B[[0, 1, 2, 0]]), {}, ["∂L/∂w = Xᵀ (2 / n · r)"]),
    "L2": (lambda W: 0.05 * (W**2).sum(), (W,), {}, ["∂L/∂W = 0.1 · W"]),
    "L1": (lambda W: 0.1 * np.abs(W).sum(), (W,), {}, ["∂L/∂W = 0.1 · sign(W)"]),
    "tanh layer": (layer, (W, X, T), {}, ["∂L/∂W = Xᵀ (d · (1 − h · h))"]),
    "logistic": (lambda z, y: np.log(1 + np.exp(-y * z)).sum(), (Z[0], 2 * T[0] - 1), {}, []),
    "scalars": (scalars, (1.0, 2.0, 3.0), {"wrt": (0, 1, 2)}, []),
    "norm": (normed, (Z[0], T[0]), {}, []),
    "log of a sum, of numbers": (
        np.logaddexp,
        (0.5, 2.0),
        {"wrt": (0, 1)},
        ["∂L/∂x1 = 1 / (1 + exp(x2 − x1))", "∂L/∂x2 = 1 / (1 + exp(x1 − x2))"],
    ),
    "softplus": (
        lambda z: np.logaddexp(0, z).sum(),
        (Z[0],),
        {},
        ["L = Σlog(1 + exp(z))", "∂L/∂z = 1 / (1 + exp(−z))"],
    ),
    "two rows": (
        squared,
        (W[:, 0], X[:2], B[:2]),
        {},
        ["∂L/∂r = 2 / n · r", "∂L/∂w = Xᵀ ∂L/∂r", "∂L/∂w = Xᵀ (2 / n · r)"],
    ),
    "a sigmoid of numbers": (binary_of_numbers, (0.3, 1.0), {}, ["∂L/∂z = s − y"]),
    "the package's sigmoid": (
        lambda z, y: -(y * np.log(s := tg.sigmoid(z)) + (1 - y) * np.log(1 - s)).sum(),
        (Z[0], T[0]),
        {},
        ["∂L/∂z = s − y"],
    ),
    "a table from outside": (
        lambda z: cross_entropy(z, SHARES) / 4,
        (Z,),
        {},
        ["∂L/∂z = 0.25 · (p − t)"],
    ),
    "labels from outside": (
        lambda z: binary(z, BITS),
        (Z[0],),
        {},
        ["∂L/∂z = s − y"],
    ),
    "a gradient in which the loss is": (
        lambda z: np.tanh(2 * z),
        (0.3,),
        {},
        ["L = tanh(2 · z)", "∂L/∂z = 2 · (1 − L · L)"],
    ),
    "package": (
        lambda z, t: tg.cross_entropy(z, t),
        (Z[0], SOFT[0]),
        {"sums_to_one": "t"},
        ["∂L/∂z = p − t"],
    ),
}


def known(f: Any, args: Any, made: Derivation) -> dict[str, Any]:
    """The arguments, sizes and variables of f, computed as the derivation says."""
    found = {"t": SHARES, "y": BITS} | dict(zip(inspect.signature(f).parameters, args))
    rows = [len(a) for a in args if np.ndim(a)]
    found |= {"n": rows[-1], "rows": np.arange(rows[-1])} if rows else {}
    for step in made.steps:
        if step.part == "function":
            found[step.left] = Reader(step.right, found).compute()
    return found


def holds(f: Any, args: Any, made: Derivation, wrt: Any = 0, **how: Any) -> None:
    """Each line, read and computed without the package, is the gradient of its variable."""
    found = known(f, args, made)
    out = f(Value(args[0]), *args[1:])
    loss = [step.left for step in made.steps if step.part == "function"][-1]
    np.testing.assert_allclose(found[loss], out.data, rtol=1e-5)
    for step in made.steps:
        if step.part == "chain rule":
            found[step.left] = Reader(step.right, found).compute()
    for step in made.steps:
        if step.part != "function":
            got = np.broadcast_to(Reader(step.right, found).compute(), np.shape(found[step.left]))
            np.testing.assert_allclose(got, found[step.left], 1e-4, 1e-7, err_msg=step.formula)
    names, numbers = [*inspect.signature(f).parameters], (wrt,) if isinstance(wrt, int) else wrt
    for i, right in zip(numbers, tg.grad(f, numbers)(*args)):
        got = np.broadcast_to(np.squeeze(found[f"∂{loss}/∂{names[i]}"]), np.squeeze(right).shape)
        np.testing.assert_allclose(got, np.squeeze(right), 1e-4, 1e-7)


@pytest.mark.parametrize("row", some_quick(ROWS, 3))
def test_every_line_of_the_textbooks_losses_holds_and_the_last_is_the_textbooks(row: str) -> None:
    f, args, how, last = ROWS[row]
    made = derive(f, *args, **how)
    holds(f, args, made, **how)
    formulas = [step.formula for step in made.steps]
    assert formulas[len(formulas) - len(last) :] == last
    assert all(step.checked == 4 for step in made.steps)
    assert max(map(len, str(made).splitlines())) <= 100


def test_smoothed_labels_sum_to_one() -> None:
    made = derive(lambda z, y: tg.cross_entropy(z, y, label_smoothing=0.1), Z, Y)
    assert made.steps[-1].formula.startswith("∂L/∂z = p / n − (0.933333 / n if y = ")


def test_slopes_that_are_constants_stay_with_their_variables() -> None:
    f = lambda a, b: 2.0 * a + 3.0 * b
    for wrt, slopes in (((0, 1), ["∂L/∂a = 2", "∂L/∂b = 3"]), ((1,), ["∂L/∂b = 3"])):
        steps = derive(f, 1.0, 1.0, wrt=wrt).steps
        assert [step.formula for step in steps if step.part == "chain rule"] == slopes


def test_every_gradient_of_numbers_has_its_last_line() -> None:
    def tiny(a: Any, b: Any) -> Any:
        c = a + b
        d = a * b + b**3
        e = c - d
        return e**2 / 2

    lines = [step.formula for step in derive(tiny, -4.0, 2.0, wrt=(0, 1)).steps[-3:]]
    assert lines == ["∂L/∂d = −e", "∂L/∂a = e − e · b", "∂L/∂b = e − e · (3 · b² + a)"]


def test_the_chain_rule_has_the_learners_names_and_each_step_its_reason() -> None:
    made = derive(textbook, Z[0], T[0])
    lines = [(step.part, step.formula, step.reason) for step in made.steps]
    assert lines == [
        ("function", "e = exp(z)", ""),
        ("function", "s = Σe", ""),
        ("function", "p = e / s", ""),
        ("function", "L = −Σ(t · log(p))", ""),
        ("chain rule", "∂L/∂p = −t / p", ""),
        ("chain rule", "∂L/∂s = −Σ(∂L/∂p · p) / s", ""),
        ("chain rule", "∂L/∂e = ∂L/∂p / s + ∂L/∂s", ""),
        ("chain rule", "∂L/∂z = ∂L/∂e · e", ""),
        ("simplified", "∂L/∂s = −Σ(−t / p · p) / s", ""),
        ("simplified", "∂L/∂s = −Σ(−t) / s", "−t / p · p = −t"),
        ("simplified", "∂L/∂s = Σt / s", "Σ(−t) = −Σt"),
        ("simplified", "∂L/∂e = −t / p / s + Σt / s", ""),
        ("simplified", "∂L/∂e = Σt / s − t / e", "−t / p / s = −t / e"),
        ("simplified", "∂L/∂z = (Σt / s − t / e) · e", ""),
        ("simplified", "∂L/∂z = Σt / s · e − t / e · e", "multiplied out"),
        ("simplified", "∂L/∂z = Σt · p − t / e · e", "Σt / s · e = Σt · p"),
        ("simplified", "∂L/∂z = Σt · p − t", "t / e · e = t"),
    ]


def test_an_array_as_a_hessian_is_simplified() -> None:
    made = derive(tg.hessian(textbook), Z[0], SOFT[0], sums_to_one="t")
    last = made.steps[-1]
    assert (last.formula, last.condition) == ("hessian = diag(p) − p pᵀ", "Σt = 1")
    made = derive(tg.hessian(textbook), Z[0], T[0])
    assert made.steps[-1].formula == "hessian = Σt · (diag(p) − p pᵀ)"
    assert made.note.endswith("there is no gradient to derive.")


# ------------------------------------------------------------------ drawn functions
EACH: list[Callable[[Any], Any]] = [
    np.exp,
    np.tanh,
    lambda x: x**2,
    lambda x: -x,
    lambda x: 0.5 * x,
    lambda x: 1.0 / (1.0 + np.exp(-x)),
    lambda x: x / (1.0 + np.exp(x)),
    lambda x: np.exp(x) / np.exp(x).sum(),
    lambda x: np.log(1.0 + x * x),
    lambda x: x - x.mean(),
    np.abs,
    lambda x: np.where(x > 0.2, x, 0.1 * x),
    lambda x: np.sqrt(1.0 + x * x),
]
PAIRS: list[Callable[[Any, Any], Any]] = [np.add, np.subtract, np.multiply, lambda x, y: x * y * x]


@given(
    st.lists(st.tuples(st.integers(0, 16), st.integers(0, 5), st.integers(0, 5)), max_size=5),
    st.integers(0, 99),
)
@pytest.mark.slow
def test_every_line_of_a_drawn_function_holds(steps: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)

    def f(x: Any, y: Any) -> Any:
        pool = [x, y]
        for kind, i, j in steps:
            a, b = pool[i % len(pool)], pool[j % len(pool)]
            pool.append(EACH[kind](a) if kind < len(EACH) else PAIRS[kind - len(EACH)](a, b))
        return (pool[-1] * x).sum() + 0.5 * (pool[-1] * y).sum()

    args = rng.normal(size=3), rng.normal(size=3)
    holds(f, args, derive(f, *args, wrt=(0, 1)), wrt=(0, 1))


# ------------------------------------------------------------------ what is claimed, and checked
def test_a_line_that_holds_under_a_condition_says_so() -> None:
    made = derive(cross_entropy, Z, SOFT, sums_to_one="t")
    [step] = [step for step in made.steps if step.condition]
    assert (step.condition, step.reason) == ("Σⱼt = 1", "Σⱼt = 1, as you said")
    assert not any(step.condition for step in derive(cross_entropy, Z, SOFT).steps)


def test_a_false_claim_is_refused() -> None:
    with pytest.raises(ValueError, match="along its last axis t sums to"):
        derive(cross_entropy, Z, 2.0 * SOFT, sums_to_one="t")
    with pytest.raises(ValueError, match="wanted one number, or one array"):
        derive(lambda z: (z, z), Z)


def test_where_the_example_overflows_other_data_are_drawn() -> None:
    made = derive(textbook, np.array([1000.0, 0.0, -1000.0]), T[0])
    assert made.steps[-1].formula == "∂L/∂z = Σt · p − t"
    assert {step.checked for step in made.steps} == {3}
    assert made.note.startswith("Each line was computed for 3 inputs")
    made = derive(lambda z: np.log(z - z).sum(), Z[0])
    assert made.note == "No line was checked: the gradient is inf or nan."


def test_names_of_parts_of_arguments_and_of_what_is_called_like_others() -> None:
    def f(p: Any, X: Any) -> Any:
        n = X @ p["W"]
        for _ in range(2):
            n = np.tanh(n)
        return (n**2).mean()

    made = derive(f, {"W": W}, X)
    assert [step.formula for step in made.steps if step.part == "function"] == [
        "n_2 = X p_W",
        "n_3 = tanh(n_2)",
        "n_4 = tanh(n_3)",
        "L = Σ(n_4²) / (3 · n)",
    ]
    assert made.steps[-1].left == "∂L/∂p_W"


def test_arrays_from_outside_are_called_as_the_learner_does() -> None:
    X, y, w = RNG.normal(size=(5, 3)), RNG.normal(size=5), RNG.normal(size=3)
    made = derive(lambda w: np.mean((X @ w - y) ** 2), w)
    assert made.steps[0].formula == "L = Σ((X w − y)²) / 5"
    assert made.steps[-1].formula == "∂L/∂w = 0.4 · Xᵀ (X w − y)"
    made = derive(lambda y: np.sum((y - X[0]) ** 2 * other(y)), w)
    assert "y_2" in made.steps[0].formula


def other(z: Any) -> Any:
    y = np.arange(3.0)
    return z * y


def test_a_step_that_is_wrong_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    right = simplifier._cancelled

    def wrong(s: Any, powers: Any, args: Any, like: Any) -> Any:
        found = right(s, powers, args, like)
        return found if found is None else s.emit(np.multiply, 2.0, found)

    whole = derive(textbook, Z[0], T[0])
    monkeypatch.setattr(simplifier, "_cancelled", wrong)
    made = derive(textbook, Z[0], T[0])
    assert made.note.endswith("The next one did not.")
    assert not whole.note.endswith("The next one did not.")
    holds(textbook, (Z[0], T[0]), made)
    assert len(made.steps) < len(whole.steps)


def test_brackets_stand_where_a_formula_would_be_read_otherwise() -> None:
    x, w = Line(None, shape=(3, 3), name="x"), Line(None, shape=(3,), name="w")
    odds = primitive(lambda g, out, x: g / (1 + x) ** 2, latex=r"\frac{<x>}{1 + <x>}")(
        lambda x: x / (1 + x)
    )
    negative, turned = Line(np.negative, (x,), {}, (3, 3)), Line(np.matmul, (x, w), {}, (3,))
    for line, text in (
        (Line(odds.function, (negative,)), "−x / (1 + (−x))"),  # its sign belongs to both
        (Line(np.outer, (w, turned)), "w (x w)ᵀ"),
    ):
        assert Formulas({}).of(line).text == text


def test_a_line_that_is_told_by_name_is_not_written_out() -> None:
    inner = Line(np.log, (Line(None, name="x"),))
    line = Line(np.exp, (inner,))
    assert Formulas({}, {line: Formula("∂L/∂s", "s'")}).of(line).text == "∂L/∂s"
    assert Formulas({}).of(line).text == "exp(log(x))"


def test_latex_and_html() -> None:
    made = derive(textbook, Z[0], T[0])
    assert r"\frac{\partial L}{\partial z} &= \left(\sum t\right) \cdot p - t" in made.latex
    assert made._repr_latex_() == f"$${made.latex}$$"
    assert r"2 \times 10^{-5} \cdot" in derive(lambda z: (2e-5 * z).sum(), Z[0]).latex
    assert r"\operatorname{bitwise\_or}(z" in derive(lambda z: np.clip(z, 0, 1).sum(), Z[0]).latex
    page = made._repr_html_()
    assert page is not None
    assert page.count("<tr>") == len(made.steps) + 3
    assert "<math" in page
