"""Rows of derivatives as one block: against the graph's own, PyTorch's and mpmath's."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import need, some_quick
from helpers.programs import Case, cases, fresh, ruffed
from hypothesis import Phase, given, settings

import tinygrad_ce as tg
from tinygrad_ce import hessian, jacobian, program
from tinygrad_ce.engine.ops import SCATTER

pytestmark = pytest.mark.usefixtures("few_rows_tried")
RNG = np.random.default_rng(0)
X3, X1 = RNG.normal(size=3), RNG.normal(size=1)
A, X, Y = RNG.normal(size=(3, 3)), RNG.normal(size=(5, 3)), RNG.normal(size=5)
M, B = RNG.normal(size=(2, 3)), RNG.normal(size=(2, 2, 3))
H = np.array([[1.0], [0.0]])
Function = Callable[..., Any]


def near(got: Any, wanted: Any) -> None:
    """Equal but for rounding, relative to the largest entry: rows add in another order."""
    got, wanted = np.asarray(got), np.asarray(wanted)
    assert got.shape == wanted.shape
    assert got.dtype == wanted.dtype
    top = np.abs(wanted[np.isfinite(wanted)]).max(initial=0.0)
    np.testing.assert_allclose(got, wanted, 1e-9, (1.0 + top) * 100 * np.finfo(wanted.dtype).eps)


def lines(made: Any) -> list[str]:
    """What a program computes: its lines behind the check, without names of what they are."""
    body = re.split(r"raise ValueError.*\n", made.source, maxsplit=1)[1]
    return [re.sub(r"  # .*", "", line).strip() for line in body.splitlines()]


# ------------------------------------------------------------------ the softmax loss
def book(z: Any, t: Any) -> Any:
    p = np.exp(z) / np.exp(z).sum()
    return -(t * np.log(p)).sum()


FORMS: dict[str, tuple[Function, str]] = {  # of the loss, and what the Hessian reads
    "textbook": (book, "t.sum() * (np.diag(p) - np.outer(p, p))"),
    "stable": (
        lambda z, t: book(z - np.max(z.data if isinstance(z, tg.Value) else z), t),
        "t.sum() * (np.diag(p) - np.outer(p, p))",
    ),
    "cross_entropy": (
        lambda z, t: tg.cross_entropy(z, t),
        "t.sum() * (np.diag(p) - np.outer(p, p))",
    ),
    "log_softmax": (
        lambda z, t: -(t * tg.log_softmax(z)).sum(),
        "t.sum() * (np.diag(p) - np.outer(p, p))",
    ),
    "softmax": (
        lambda z, t: -np.sum(t * np.log(tg.softmax(z))),
        "t.sum() * (np.diag(p) - np.outer(p, p))",
    ),
    "dot": (lambda z, t: -(t @ tg.log_softmax(z)), "t.sum() * (np.diag(p) - np.outer(p, p))"),
    "logsumexp": (lambda z, t: tg.logsumexp(z) - t @ z, "np.diag(p) - np.outer(p, p)"),
    "mean": (
        lambda z, t: -np.mean(t * tg.log_softmax(z)),
        "t.sum() / n * (np.diag(p) - np.outer(p, p))",
    ),
    "index": (lambda z, t: tg.cross_entropy(z, 1), "np.diag(p) - np.outer(p, p)"),
    "index, picked": (lambda z, t: -tg.log_softmax(z)[1], "np.diag(p) - np.outer(p, p)"),
    "index, of the textbook's": (
        lambda z, t: -np.log(np.exp(z)[1] / np.exp(z).sum()),
        "np.diag(p) - np.outer(p, p)",
    ),
    "index, of softmax": (lambda z, t: -np.log(tg.softmax(z)[1]), "np.diag(p) - np.outer(p, p)"),
    "smooth": (
        lambda z, t: tg.cross_entropy(z, 1, label_smoothing=0.1),
        "np.diag(p) - np.outer(p, p)",
    ),
    "constant": (
        lambda z, t: book(z, np.array([0.1, 0.2, 0.3, 0.4])),
        "np.diag(p) - np.outer(p, p)",
    ),
    "temperature": (
        lambda z, t: -np.sum(t * np.log(tg.softmax(z, temperature=2.0))),
        "0.25 * t.sum() * (np.diag(p) - np.outer(p, p))",
    ),
}
ALIKE = {"softmax", "dot", "index, picked", "index, of the textbook's", "index, of softmax", "mean"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in ALIKE)) for name in FORMS]
)
def test_the_hessian_of_the_softmax_loss_reads_diag_p_minus_p_p(name: str) -> None:
    loss, wanted = FORMS[name]
    z, t = RNG.normal(size=4), np.eye(4)[1]
    made = program(hessian(loss), z, t)
    *start, last, end = lines(made)
    assert (last, end) == (f"hessian = {wanted}", "return hessian")
    assert start[-1].startswith("p = exp_1 / exp_1.sum(")
    assert start[-2].startswith("exp_1 = np.exp(")
    assert "def value(z, t):" in made.source
    for target in (t, RNG.dirichlet(np.ones(4))):
        for at in (z, RNG.normal(size=4)):
            near(made(at, target), hessian(loss)(at, target))


def test_it_is_right_for_targets_that_do_not_sum_to_one() -> None:
    z, t = RNG.normal(size=4), np.array([0.3, 2.0, 0.0, 1.5])
    p = np.exp(z) / np.exp(z).sum()
    composed = {"fused": False, "allow_unnormalized": True}
    for loss in (
        book,
        FORMS["log_softmax"][0],
        lambda z, t: tg.cross_entropy(z, t, **composed),
        lambda z, t: tg.cross_entropy(z, t, allow_unnormalized=True),
    ):
        made = program(hessian(loss), np.zeros(4), np.eye(4)[0])
        near(made(z, t), t.sum() * (np.diag(p) - np.outer(p, p)))


def test_against_mpmath() -> None:
    mp = need("mpmath")
    z, t = [0.3, -1.2, 2.0], np.array([0.2, 0.5, 0.3])
    got = program(hessian(book), np.zeros(3), t)(np.array(z), t)
    with mp.workdps(40):
        e = [mp.exp(x) for x in z]
        p = [x / mp.fsum(e) for x in e]
        for i in range(3):
            for j in range(3):
                wanted = float(p[i] * ((i == j) - p[j]))
                assert abs(got[i, j] - wanted) < 1e-16


@pytest.mark.slow  # for PyTorch's import
@pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")
def test_the_batch_and_the_weights() -> None:
    """(N, K) logits: blocks on the diagonal of (N, K, N, K); a softmax regression's weights."""
    torch = need("torch")
    z, t = RNG.normal(size=(5, 3)), RNG.dirichlet(np.ones(3), 5)

    def loss(z: Any, t: Any) -> Any:
        p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        return -(t * np.log(p)).sum(axis=1).mean()

    def of_torch(z: Any) -> Any:
        return torch.nn.functional.cross_entropy(z, torch.tensor(t))

    made = program(hessian(loss), z, t)
    near(made(z, t), torch.func.hessian(of_torch)(torch.tensor(z)).numpy())
    assert len(lines(made)) <= 9
    text = lines(made)
    assert "p = exp_1 / exp_1.dot(ONES_3)" in text
    assert "subtract_1 = np.eye(3)[:, None, :] - p[:, None, None, :]" in text
    W = RNG.normal(size=(3, 3))
    made = program(hessian(lambda W, X, t: loss(X @ W, t)), W, X, t)
    wanted = torch.func.hessian(lambda W: of_torch(torch.tensor(X) @ W))(torch.tensor(W)).numpy()
    near(made(W, X, t), wanted)
    assert len(lines(made)) <= 12


@pytest.mark.slow
def test_the_source_does_not_grow_with_the_rows() -> None:
    for f in (book, lambda z, t: -np.sum(np.tanh(z * t) ** 3) + np.sum(z[1:] * z[:-1])):
        short, long = (
            program(hessian(f), np.zeros(k), np.ones(k) / k).source.count(" = ") for k in (3, 6)
        )
        assert short == long


@pytest.mark.slow
def test_names_that_the_user_gave_stand_in_a_hessian() -> None:
    def loss(z: Any, t: Any) -> Any:
        q = np.exp(z) / np.exp(z).sum()
        if isinstance(q, tg.Value):
            q.name = "q"
        return -(t * np.log(q)).sum()

    made = program(hessian(loss), np.zeros(3), np.eye(3)[0])
    assert lines(made)[-2] == "hessian = t.sum() * (np.diag(q) - np.outer(q, q))"
    p = program(hessian(lambda p, t: book(p, t)), np.zeros(3), np.eye(3)[0])
    assert lines(p)[-2] == "hessian = t.sum() * (np.diag(p_2) - np.outer(p_2, p_2))"


# ------------------------------------------------------------------ other functions
SHORT: dict[str, tuple[Function, Any, str]] = {  # and what is written, line by line
    "squares": (lambda x: np.sum(x * x), X3, "hessian = 2.0 * np.eye(n)"),
    "cubes": (lambda x: np.sum(x**3), X3, "hessian = np.diag(6.0 * x)"),
    "exp": (lambda x: np.exp(x).sum(), X3, "hessian = np.diag(np.exp(x))"),
    "log": (lambda x: np.log(x).sum(), np.abs(X3), "hessian = np.diag(-(1.0 / x) ** 2)"),
    "a line": (lambda x: np.sum(x * X3[0]), X3, "return np.zeros((n, n))"),
    "its square": (lambda x: np.sum(x) ** 2, X3, "return np.full((n, n), 2.0)"),
}


@pytest.mark.parametrize("name", SHORT)
def test_what_short_functions_read(name: str) -> None:
    f, x, wanted = SHORT[name]
    made = program(hessian(f), x)
    assert wanted in lines(made)
    near(made(x), hessian(f)(x))


def test_jacobians() -> None:
    made = program(jacobian(tg.softmax), X3)
    assert lines(made)[-2] == "jacobian = np.diag(p) - np.outer(p, p)"
    near(made(X3), jacobian(tg.softmax)(X3))
    made = program(jacobian(lambda x, W: W @ x), X3, A)
    assert lines(made) == ["return W.copy()"]
    both = jacobian(lambda W, x: np.tanh(W @ x), (0, 1))
    for got, wanted in zip(program(both, A, X3)(A, X3), both(A, X3)):
        near(got, wanted)
    of_dict = jacobian(lambda p: np.exp(p["W"] @ p["x"]))
    tree = {"W": A, "x": X3}
    got, wanted = program(of_dict, tree)(tree), of_dict(tree)
    for key in tree:
        near(got[key], wanted[key])
    of_number = jacobian(lambda x, y: np.exp(y) * x)
    near(program(of_number, 1.5, X3)(1.5, X3), of_number(1.5, X3))


@pytest.mark.parametrize("subscripts", ["ii->i", "ii->", "ii", "ji", "ij,jk", " ij -> ji"])
def test_einsums_of_arguments(subscripts: str) -> None:
    """Also of a diagonal, and where the result is not written."""

    def f(x: Any, a: Any) -> Any:
        inner = np.einsum(subscripts, *[a] * (1 + subscripts.count(",")))
        return np.sum(inner * x**3) + np.sum(np.exp(x))

    made = program(hessian(f), X3, A)
    near(made(X3 + 1.0, A.T * 2.0), hessian(f)(X3 + 1.0, A.T * 2.0))


@pytest.mark.slow
def test_higher_orders() -> None:
    third = jacobian(hessian(lambda z: tg.cross_entropy(z, 1)))
    near(program(third, X3)(X3), third(X3))
    constant = jacobian(hessian(FORMS["constant"][0]))
    z = RNG.normal(size=4)
    near(program(constant, z, z)(z, z), constant(z, z))
    product = tg.hvp(book)
    t = np.eye(3)[0]
    near(program(product, X3, t, X3)(X3, t, X3), product(X3, t, X3))
    norm = tg.grad(lambda z: np.sum(hessian(lambda v: tg.logsumexp(v))(z) ** 2))
    _, got = program(lambda z: np.sum(hessian(lambda v: tg.logsumexp(v))(z) ** 2), X3)(X3)
    near(got, norm(X3))


# Functions whose second derivatives hold each operation that takes a leading axis, and near misses.
KINDS: dict[str, tuple[Function, Any]] = {
    "slices": (lambda x: np.sum((x[1:] - x[:-1] ** 2) ** 2 * x[::-1][1:]), X3),
    "entries": (lambda x: x[0] * x[1] * x[-1] ** 2, X3),
    "entries read twice": (lambda x: np.sum(x[[0, 0, 2]] ** 2 * x[[1, 2, 2]]), X3),
    "all entries, one twice": (lambda x: np.sum(x[[0, 1, 2, 0]] ** 3), X3),
    "all entries, turned": (lambda x: np.sum(x[[2, 0, 1]] * x[::-1] * x[[0, 1, 2]]), X3),
    "arrays apart": (lambda b: np.sum(b[[0, 1], :, [2, 0]] ** 3), B),
    "a mask": (lambda x: np.sum(x[np.array([True, False, True])] ** 3), X3),
    "concatenate": (lambda x: np.sum(np.concatenate([x, x**2, X3]) ** 3), X3),
    "einsum": (lambda m: np.sum(np.tanh(np.einsum("ij,jk->ik", m, A)) ** 2), M),
    "matrix vector": (lambda m: np.sum(np.tanh(m @ X3)), M),
    "vector matrix": (lambda m: np.sum(np.tanh(X3[:2] @ m)), M),
    "vector vector": (lambda x: np.tanh(x @ X3) * (x @ x), X3),
    "matrices": (lambda b: np.sum((b @ np.swapaxes(b, -1, -2)) ** 2), B),
    "a stack of matrices and a vector": (lambda x: np.sum(np.tanh(B @ x)), X3),
    "a vector and a stack": (lambda x: np.sum(np.tanh(x[:2] @ B) * x), X3),
    "transpose": (lambda b: np.sum(np.tanh(np.transpose(b, (2, 0, 1))[0] * b[..., 1])), B),
    "broadcast": (lambda x: np.sum(np.tanh(np.broadcast_to(x, (2, 3)) * M)), X3),
    "stretched": (lambda x: np.sum(np.broadcast_to(x, (4, 3)) ** 3), X3),
    "entries of matrices": (lambda b: np.sum(b[..., 0] ** 2 * b[0, None, :, -1] * b[1, 0, 1]), B),
    "outer": (lambda x: np.sum(np.tanh(x[:, None] * x)), X3),
    "axes of length 1": (lambda x: np.sum(H / (H + np.exp(x * x)) * x), X3[:2, None]),
    "a constant times a quotient": (lambda x: np.sum(X3[:2, None] / (H + np.exp(x)) * H), H),
    "maximum": (lambda z: np.sum(np.max(z, axis=1) ** 2 * np.min(z)), M),
    "mean": (lambda x: np.mean((x - x.mean()) ** 2) * np.mean(x, keepdims=True)[0], X3),
    "where": (lambda x: np.sum(np.where(x > 0, x**2, x**3) + np.maximum(x, 0.1) ** 2), X3),
    "clip": (lambda x: np.sum(np.clip(x, -0.5, 0.5) ** 2), X3),
    "squeeze": (lambda x: np.sum(np.tanh(np.squeeze(x[None] * x[:, None]))), X3),
    "sigmoid": (lambda x: np.sum(tg.sigmoid(x) ** 2), X3),
    "entropy": (lambda z: -(tg.softmax(z) * tg.log_softmax(z)).sum(), X3),
    "picked": (lambda z: -np.log(tg.softmax(z)[1]), X3),
    "focal": (lambda z: -((1 - tg.softmax(z)[1]) ** 2) * tg.log_softmax(z)[1], X3),
    "logistic": (lambda w: tg.logistic_loss(X @ w, np.sign(Y)), X3),
    "least squares": (lambda w: np.mean((X @ w - Y) ** 2), X3),
    "network": (lambda w: np.sum(np.tanh(np.tanh(X @ w.T) @ RNG_W) ** 2), RNG.normal(size=(4, 3))),
    "a quadratic form": (lambda x: x @ A @ x, X3),
    "an eye in f": (lambda x: np.sum((np.eye(3) * x) @ x * x), X3),
    "a unit vector in f": (lambda x: np.sum(x * np.eye(3)[1]) ** 3 * np.sum(x), X3),
    "trace": (lambda b: np.sum((b @ b) * np.eye(3)), A),
    "one entry": (lambda x: np.sum(x**4) + tg.logsumexp(x), X1),
    "none": (lambda x: np.sum(x**2), np.zeros(0)),
    "none within": (lambda x: np.sum(x**2) + np.sum(x[:0] ** 3), X3),
    "rows of none": (lambda x: np.sum((x @ np.swapaxes(x, -1, -2)) ** 2), np.zeros((2, 2, 0))),
    "products of none": (lambda x: np.sum(x @ A[:, :0] @ A[:0]) ** 2 + np.sum(x**3), X3),
    "none, turned": (lambda x: np.sum((x[:, :0] @ x[:, :0].T) * x @ x), A),
    "a number": (lambda x: x**3 * np.exp(x), 1.3),
    "float32": (lambda z: tg.logsumexp(z) * np.sum(z**2), X3.astype(np.float32)),
    "whole numbers": (lambda x: np.sum(np.arange(3) * x**3 * np.array([2, 3, 4], np.int8)), X3),
    "by another sum": (lambda z: np.sum(np.exp(z) / np.exp(z).sum(axis=1) * A), A),
    "x / x": (lambda x: np.sum(x * x * x / x), X3),
    "a difference cubed": (lambda x: np.sum((x - 1e8) * (x - 1e8) * (x - 1e8)), X3 + 1e8),
    "a difference squared": (lambda x: np.sum((x - 1e8) * (x - 1e8) * x), X3 + 1e8),
}
RNG_W = RNG.normal(size=(4, 3))


def value_of(found: Any) -> Any:
    """What f returns, where that is one number and has a gradient of its own."""
    return found[0] if isinstance(found, tuple) else found


@pytest.mark.parametrize("name", some_quick(KINDS, 2))
@pytest.mark.parametrize("how", [{}, pytest.param({"clean": False}, marks=pytest.mark.slow)])
def test_hessians_of_every_kind(name: str, how: dict[str, Any]) -> None:
    f, x = KINDS[name]
    made = program(hessian(f), x, **how)
    for at in (x, x + 0.01):
        at = at if isinstance(x, float) else at.astype(x.dtype)
        near(value_of(made(at)), hessian(f)(at))


def test_dtypes_mixed() -> None:
    """Products in another order would round what is float64 to float32."""
    wide = 1.0 + 1e-9 * np.arange(3)
    x = X3.astype(np.float32)
    f = hessian(lambda x: np.sum(np.exp(x * wide)) * 1e9 - 1e9 * np.sum(np.exp(x)))
    near(program(f, x)(x), program(f, x, clean=False)(x))


def test_a_derivative_has_the_dtype_of_its_argument_where_f_is_wider() -> None:
    x, wide = X3.astype(np.float32), np.array([2, -1, 3], np.int32)
    for f in (jacobian(lambda x: x * (x - wide)), hessian(lambda x: np.sum(x * (x - wide)))):
        for how in ({}, {"clean": False}):
            made = program(f, x, wrt=None, **how)
            near(made(x + x), f(x + x))
            assert made(x).dtype == np.float32


def test_small_whole_numbers_overflow_as_in_the_graph() -> None:
    f = hessian(lambda z, t: np.sum(z**2 * (t * t)))
    t = np.array([100, 3, -100], np.int8)
    near(program(f, X3, t)(X3, t), f(X3, t))


def test_what_cancels_and_what_does_not() -> None:
    """An exponential that underflows is still not 0; x / x at 0 stays nan, as in the graph."""
    z, t = np.array([0.0, -800.0, 1.0]), np.array([0.5, 0.25, 0.25])
    made = program(hessian(book), z, t)
    p = tg.softmax(z)
    near(made(z, t), np.diag(p) - np.outer(p, p))
    with np.errstate(all="ignore"):
        assert np.isnan(hessian(book)(z, t)).any()
        f = hessian(lambda x: np.sum(x * x * x / x))
        x = np.array([0.0, 1.0, 2.0])
        assert np.isnan(f(x)[0, 0])
        assert np.isnan(program(f, X3)(x)[0, 0])
        f = hessian(lambda z: np.sum(np.tanh(z) * x / x * z))
        assert np.isnan(f(X3)[0, 0])
        assert np.isnan(program(f, X3)(X3)[0, 0])


# ------------------------------------------------------------------ rows that stay
def rows_of(f: Function, n: int) -> Function:
    """A stack of rows, each from its own unit vector, recorded as a Jacobian's are."""

    def stacked(x: Any) -> Any:
        data = x.data if isinstance(x, tg.Value) else x
        eye = (
            np.eye(n, like=data).reshape((n, n)) if hasattr(data, "apply_primitive") else np.eye(n)
        )
        return np.stack([f(i, eye, x) for i in range(n)])

    return stacked


ROWS: dict[str, tuple[Function, bool]] = {  # and whether they are alike
    "alike": (lambda i, eye, x: eye[i] * np.exp(x), True),
    "another operation": (lambda i, eye, x: eye[i] * (np.exp(x) if i else np.tanh(x)), False),
    "another constant": (lambda i, eye, x: eye[i] * np.exp(x) * (1.0 + i), False),
    "the wrong row": (lambda i, eye, x: eye[2 - i] * np.exp(x), False),
    "two rows": (lambda i, eye, x: eye[i] * np.exp(x) + eye[0], False),
    "two rows, of which one the last": (lambda i, eye, x: eye[i] * np.exp(x) + eye[2], False),
    "no row": (lambda i, eye, x: np.exp(x), False),
    "joined": (lambda i, eye, x: np.concatenate([eye[i] * x, x * x]), False),
    "reduced": (
        lambda i, eye, x: np.max(eye[i] * x) + np.min(eye[i] * x) + np.mean(eye[i] * x, axis=0),
        False,
    ),
    "a vector and a matrix": (lambda i, eye, x: eye[i] @ (A * np.exp(x)), True),
    "a matrix and a vector": (lambda i, eye, x: (A * np.exp(x)) @ eye[i], True),
    "an entry that is 0": (
        lambda i, eye, x: eye[i] * x + SCATTER(eye[i][0] * x, index=(0,), shape=(2, 3))[1],
        True,
    ),
    "two vectors": (lambda i, eye, x: np.exp(x) @ eye[i], True),
    "a stack and a vector": (lambda i, eye, x: (B * np.exp(x)) @ eye[i], True),
    "squeezed": (lambda i, eye, x: np.squeeze((eye[i] * np.exp(x))[None, :, None]), True),
    "arrays apart": (
        lambda i, eye, x: (B * eye[i] * x)[np.array([0, 1, 0]), :, np.array([2, 0, 1])],
        False,
    ),
    "an operation that has no such axis": (
        lambda i, eye, x: np.exp(x) * np.cumsum(eye[i]),
        False,
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_rows_that_are_not_alike_stay(name: str) -> None:
    f, alike = ROWS[name]
    stacked = rows_of(f, 3)
    made = program(stacked, X3, wrt=None)
    near(made(X3 + 1.0), stacked(X3 + 1.0))
    assert ("stack" not in made.source) == alike
    assert alike or "np.eye" not in made.source


# ------------------------------------------------------------------ drawn
@pytest.mark.slow
def test_drawn_hessians_in_a_fresh_interpreter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A source is for any number of rows, and trying them takes twice as long as all of this.
    monkeypatch.setattr("tinygrad_ce.programs.compiled.write_sizes", lambda *args: None)
    drawn: list[tuple[str, list[Any], Any]] = []

    @given(cases())
    @settings(max_examples=12, phases=[Phase.generate], database=None)
    def draw(case: Case) -> None:
        f, args, _, _ = case
        with np.errstate(all="ignore"):
            wanted = hessian(f)(*args)
            made = program(hessian(f), *args)
            near(value_of(made(*args)), wanted)
        drawn.append((made.source, args, wanted))

    draw()
    for loss, _ in FORMS.values():
        args = [RNG.normal(size=4), np.eye(4)[2]]
        drawn.append((program(hessian(loss), *args).source, args, hessian(loss)(*args)))
    for f, x in [*KINDS.values()][::4]:
        drawn.append((program(hessian(f), x).source, [x], hessian(f)(x)))
    found = fresh(tmp_path, [source for source, _, _ in drawn], [args for _, args, _ in drawn])
    for result, (_, _, wanted) in zip(found, drawn):
        near(value_of(result), wanted)
    ruffed(tmp_path)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.sum(x[range(3), range(3)] ** 2),
        lambda x: np.sum(np.diagonal(x) ** 2),
        lambda x: np.trace(x) ** 2,
        lambda x: np.einsum("ii", x) ** 2,
        lambda x: np.sum(np.einsum("ii,ij->j", x, x) ** 2),
        np.median,
        lambda x: np.quantile(x, 0.3, axis=1).sum(),
    ],
)
def test_two_axes_read_in_step_are_a_diagonal(f: Function) -> None:
    np.testing.assert_allclose(program(f, A)(A.T)[1], tg.grad(f)(A.T), rtol=1e-12)
    near(program(hessian(f), A)(A.T), hessian(f)(A.T))
