"""Last lines as the textbook has them, and what the caller says of a table."""

from __future__ import annotations

import ast
import re
from typing import Any

import numpy as np
import pytest
from conftest import some_quick
from helpers.programs import cases, close
from hypothesis import example, given, settings
from hypothesis import strategies as st

import tinygrad_ce as tg
from tinygrad_ce import program

pytestmark = pytest.mark.usefixtures("few_rows_tried")
N, K = 6, 3
RNG = np.random.default_rng(3)
Z, T = RNG.normal(size=(N, K)), RNG.dirichlet(np.ones(K), N)


def cross_entropy(z: Any, t: Any) -> Any:
    e = np.exp(z)
    p = e / e.sum(axis=-1, keepdims=True)
    return -(t * np.log(p)).sum()


# ------------------------------------------------------------------ sums_to_one
@pytest.mark.parametrize("rows", [(), (N,), (2, N)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_of_a_table_that_sums_to_one_the_sum_is_not_taken(rows: Any, dtype: Any) -> None:
    z = RNG.normal(size=(*rows, K)).astype(dtype)
    t = RNG.dirichlet(np.ones(K), rows).astype(dtype)
    made = program(cross_entropy, z, t, sums_to_one="t")
    assert "    grad_z = p - t  #" in made.source
    value, slope = made(2.0 * z, t[::-1] if rows else t)
    wanted, right = program(cross_entropy, z, t, clean=False)(2.0 * z, t[::-1] if rows else t)
    assert value.dtype == slope.dtype == dtype
    close(value, wanted)
    np.testing.assert_allclose(slope, right, atol=1e-6 if dtype == np.float32 else 1e-14)


def test_sums_over_rows_as_well_are_their_number() -> None:
    def f(z: Any, t: Any) -> Any:
        return z.sum() * t.sum() + (z * t.sum(0)).sum() + (z.T * t.sum(1)).sum()

    made = program(f, Z, T, sums_to_one=["t"])
    for n in (N, N + 1):  # for any number of rows
        args = RNG.normal(size=(n, K)), RNG.dirichlet(np.ones(K), n)
        close(made(*args)[0], f(*args))
        close(made(*args)[1], tg.grad(f)(*args))
    assert "t.sum()" not in made.source
    assert "ONES_6.dot(t)" in made.source  # down the columns nobody says what it is


def test_a_table_deep_in_an_argument_and_whole_numbers() -> None:
    f = lambda z, batch: cross_entropy(z, batch["t"])
    batch = {"t": np.eye(K, dtype=int)[[0, 2, 1, 1, 0, 2]]}
    made = program(f, Z, batch, sums_to_one="batch['t']")
    assert "grad_z = p - 1.0 * batch_t" in made.source
    close(made(Z, batch)[1], tg.softmax(Z) - batch["t"])


def test_a_gradient_of_the_table_itself() -> None:
    made = program(cross_entropy, Z, T, wrt=(0, 1), sums_to_one="t")
    assert "grad_z = p - t" in made.source
    close(made(Z, T)[1][1], -np.log(tg.softmax(Z)))


@pytest.mark.parametrize("how", [{}, {"clean": False}, {"fuse": True}])
def test_what_is_said_of_a_table_is_checked_in_every_call(how: Any) -> None:
    made = program(cross_entropy, Z, T, sums_to_one="t", **how)
    made(Z, T)
    names: dict[str, Any] = {}
    exec(made.source, names)
    assert "    if not (abs(t.sum(axis=-1) - 1.0) < 1e-06).all():\n" in made.source
    wrong = T.copy()
    wrong[3, 1] += 1e-3
    for run in (made, names["loss_and_grad"]):
        for t in (wrong, 2.0 * T, np.nan * T):
            with pytest.raises(ValueError, match="t: wanted entries that sum to 1 along the last"):
                run(Z, t)
    with pytest.raises(ValueError, match="t: wanted entries that sum to 1"):
        made(Z[:2], wrong[2:4])


@pytest.mark.parametrize(
    ("said", "t", "message"),
    [
        ("q", T, "got 'q', wanted the name of an argument: z, t"),
        (0, T, "got 0, wanted the name of an argument: z, t"),
        ((["t"],), T, r"got \['t'\], wanted the name of an argument: z, t"),
        ("t", 2.0 * T, r"along its last axis t sums to \[2. 2. 2. 2. 2. 2.\], wanted 1"),
        ("t", np.full(N, 0.25), "along its last axis t sums to 1.5, wanted 1"),
        ("t", 1.0, "t is float, wanted an array of shares"),
        ("t", np.array(1.0), "t is ndarray, wanted an array of shares"),
        ("t", 1, "t is int, wanted an array of shares"),
    ],
)
def test_what_cannot_be_said(said: Any, t: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"program: sums_to_one: .*{message}"):
        program(lambda z, t: np.sum(z * np.sum(t)), Z, t, sums_to_one=said)


# ------------------------------------------------------------------ the table
X, W, B = RNG.normal(size=(N, 4)), RNG.normal(size=(4, K)), RNG.normal(size=K)
Y, BITS, SIGNS = RNG.integers(0, K, N), RNG.uniform(size=N), np.sign(RNG.normal(size=N))
V, D, G = RNG.normal(size=4), RNG.normal(size=(N, K)), RNG.uniform(0.5, 1.5, K)
Z1, T1 = Z[0], T[0]


def softmax(z: Any) -> Any:
    e = np.exp(z)
    p = e / e.sum(axis=-1, keepdims=True)
    return p


def shifted(z: Any) -> Any:
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    p = e / e.sum(axis=-1, keepdims=True)
    return p


def logsumexp(z: Any) -> Any:
    m = z.max(axis=-1, keepdims=True)
    return m + np.log(np.exp(z - m).sum(axis=-1, keepdims=True))


def by_columns(z: Any) -> Any:
    e = np.exp(z)
    s = e.sum(axis=1)
    p = e / s[:, None]
    return p


def by_einsum(z: Any) -> Any:
    e = np.exp(z)
    p = e / np.einsum("ij->i", e)[:, None]
    return p


def by_matmul(z: Any) -> Any:
    e = np.exp(z)
    p = e / (e @ np.ones((K, 1)))
    return p


def sigma(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def picked(log_p: Any, y: Any) -> Any:
    return log_p[np.arange(len(y)), y]


def binary(q: Any, y: Any) -> Any:
    return -(y * np.log(q) + (1 - y) * np.log(1 - q)).sum()


def layer_norm(x: Any, g: Any, d: Any) -> Any:
    mu = x.mean(axis=1, keepdims=True)
    s = np.sqrt(((x - mu) ** 2).mean(axis=1, keepdims=True) + 1e-5)
    h = (x - mu) / s
    return (g * h * d).sum()


def rms_norm(x: Any, g: Any, d: Any) -> Any:
    r = np.sqrt((x**2).mean(axis=1, keepdims=True) + 1e-5)
    h = x / r
    return (g * h * d).sum()


def warm(z: Any, T: Any, t: Any) -> Any:
    e = np.exp(z / T)
    p = e / e.sum(axis=-1, keepdims=True)
    return -(t * np.log(p)).sum()


def tanh_layer(w: Any, x: Any, d: Any) -> Any:
    h = np.tanh(x @ w)
    return (d * h).sum()


def squares(w: Any, x: Any, y: Any) -> Any:
    r = x @ w - y
    return (r**2).mean()


class Model:
    """Scores to probabilities, and a loss of them."""

    def probabilities(self, z: Any) -> Any:
        e = np.exp(z)
        return e / e.sum(axis=1, keepdims=True)

    def loss(self, z: Any, t: Any) -> Any:
        p = self.probabilities(z)
        return -np.mean(np.sum(t * np.log(p), axis=1))


# A table t in n rows: with what is said of it `(p - t) / n`, else with its sum before p.
TABLES: dict[str, Any] = {
    "sum, over n": lambda z, t: -(t * np.log(softmax(z))).sum() / len(z),
    "mean of sums": lambda z, t: -np.mean(np.sum(t * np.log(softmax(z)), axis=1)),
    "a mean of each class": lambda z, t: -(t * np.log(softmax(z))).mean(axis=0).sum(),
    "np.average": lambda z, t: -np.average((t * np.log(softmax(z))).sum(axis=1)),
    "methods of a class": Model().loss,
    "minus inside": lambda z, t: (-t * np.log(softmax(z))).sum(axis=-1).mean(),
    "log p in front": lambda z, t: -(np.log(softmax(z)) * t).sum() / len(z),
    "the sum as a column": lambda z, t: -(t * np.log(by_columns(z))).sum() / len(z),
    "the sum by einsum": lambda z, t: -(t * np.log(by_einsum(z))).sum() / len(z),
    "the sum by a product with ones": lambda z, t: -(t * np.log(by_matmul(z))).sum() / len(z),
    "the maximum subtracted": lambda z, t: -(t * np.log(shifted(z))).sum() / len(z),
    "the maximum subtracted, every part anew": lambda z, t: -(t * np.log(
        np.exp(z - np.max(z, 1, keepdims=True))
        / np.sum(np.exp(z - z.max(axis=-1, keepdims=True)), -1, keepdims=True))).sum() / len(z),
    "einsum": lambda z, t: -np.einsum("ij,ij->", t, np.log(softmax(z))) / len(z),
    "einsum of rows": lambda z, t: -np.einsum("ij,ij->i", t, np.log(softmax(z))).mean(),
    "log-softmax by hand": lambda z, t: (
        t * (np.log(np.exp(z).sum(axis=1, keepdims=True)) - z)
    ).sum() / len(z),
    "stable log-softmax": lambda z, t: (t * (logsumexp(z) - z)).sum() / len(z),
    "logs apart": lambda z, t: (
        t * (np.log(np.exp(z).sum(axis=1, keepdims=True)) - np.log(np.exp(z)))
    ).sum() / len(z),
    "the package's softmax": lambda z, t: -(t * np.log(tg.softmax(z))).sum() / len(z),
    "the package's log_softmax": lambda z, t: -(t * tg.log_softmax(z)).sum(axis=1).mean(),
}  # fmt: skip
# The same where nobody needs to know the sum.
LOGSUMEXPS: dict[str, Any] = {
    "less a dot": lambda z, t: (np.log(np.exp(z).sum(axis=1)) - (t * z).sum(axis=1)).mean(),
    "stable": lambda z, t: (logsumexp(z)[:, 0] - (t * z).sum(axis=1)).mean(),
    "sums apart": lambda z, t: (np.log(np.exp(z).sum(axis=1)).sum() - (t * z).sum()) / len(z),
    "the package's": lambda z, t: (tg.logsumexp(z, axis=1) - (t * z).sum(axis=1)).mean(),
}
VECTORS: dict[str, Any] = {
    "README's": lambda z, t: -(t * np.log(softmax(z))).sum(),
    "@": lambda z, t: -(t @ np.log(softmax(z))),
    "@, log p in front": lambda z, t: -np.log(softmax(z)) @ t,
    "the maximum subtracted": lambda z, t: -(t * np.log(shifted(z))).sum(),
    "einsum": lambda z, t: -np.einsum("i,i->", t, np.log(softmax(z))),
    "log-softmax by hand": lambda z, t: t @ (np.log(np.exp(z).sum()) - z),
    "stable log-softmax": lambda z, t: (t * (logsumexp(z) - z)).sum(),
    "the package's softmax": lambda z, t: -(t * np.log(tg.softmax(z))).sum(),
}
INDICES: dict[str, Any] = {
    "log of p": lambda z, y: -np.log(picked(softmax(z), y)).mean(),
    "entries of log p": lambda z, y: -picked(np.log(softmax(z)), y).sum() / len(y),
    "take_along_axis": lambda z, y: -np.take_along_axis(np.log(softmax(z)), y[:, None], 1).mean(),
    "the maximum subtracted": lambda z, y: -np.log(picked(shifted(z), y)).mean(),
    "logsumexp less z": lambda z, y: (np.log(np.exp(z).sum(axis=1)) - picked(z, y)).mean(),
    "the package's log_softmax": lambda z, y: -picked(tg.log_softmax(z), y).mean(),
}
SIGMOIDS: dict[str, Any] = {
    "the textbook's": lambda z, y: binary(sigma(z), y),
    "σ twice": lambda z, y: -(y * np.log(sigma(z)) + (1 - y) * np.log(1 - sigma(z))).sum(),
    "exp over 1 + exp": lambda z, y: binary(np.exp(z) / (1 + np.exp(z)), y),
    "the package's sigmoid": lambda z, y: binary(tg.sigmoid(z), y),
    "softplus less y z": lambda z, y: (np.log(1 + np.exp(z)) - y * z).sum(),
    "logaddexp": lambda z, y: (np.logaddexp(0.0, z) - y * z).sum(),
}

AS_WRITTEN = {
    "the textbook's": "q",
    "σ twice": "divide_1",
    "exp over 1 + exp": "q",
    "the package's sigmoid": "q",
    "softplus less y z": "exp_1 / add_1",
    "logaddexp": "np.exp(-np.logaddexp(0.0, -z))",
}

NUMBERS = re.compile(r"([a-zS])_[\d_]+\b")  # of what has no name
SAID = {"sums_to_one": "t"}
Row = tuple[Any, list[Any], dict[str, Any], str]
TABLE: dict[str, Row] = {
    "temperature": (
        warm, [Z, 2.0, T], SAID, "grad_z = (p - t) / T"),
    "temperature, a number": (
        lambda z, t: warm(z, 3.0, t), [Z, T], SAID, "grad_z = (p - t) / 3.0"),
    "scores": (lambda W, b, X, t: cross_entropy(X @ W + b, t) / len(X), [W, B, X, T], SAID,
        "grad_W = X.T.dot(p - t) / n"),
    "scores by einsum": (
        lambda W, X, t: cross_entropy(np.einsum("nd,dk->nk", X, W), t) / len(X), [W, X, T], SAID,
        "grad_W = X.T.dot(p - t) / n"),
    "a mean of batches": (
        lambda z, t: -np.mean(np.sum(t * np.log(shifted(z)), axis=-1)),
        [np.stack([Z, 2.0 * Z]), np.stack([T, T])], SAID, "grad_z = (p - t) / (6 * n)"),
    "the package's loss of indices": (
        lambda z, y: tg.cross_entropy(z, y), [Z, Y], {}, "grad_z = p / n - where_1"),
    "float32": (
        lambda z, t: -np.mean(np.sum(t * np.log(shifted(z)), axis=1)),
        [Z.astype(np.float32), T.astype(np.float32)], SAID, "grad_z = (p - t) / n"),
    "scores, intercept": (
        lambda W, b, X, t: cross_entropy(X @ W + b, t) / len(X), [W, B, X, T], SAID | {"wrt": 1},
        "grad_b = ones_1.dot(p - t) / n"),
    "scores, both": (
        lambda W, b, X, t: cross_entropy(X @ W + b, t) / len(X), [W, B, X, T],
        SAID | {"wrt": (0, 1)},
        "grad_z = (p - t) / n\ngrad_b = ones_1.dot(grad_z)\ngrad_W = X.T.dot(grad_z)"),
    "scores, of any table": (
        lambda W, b, X, t: cross_entropy(X @ W + b, t) / len(X), [W, B, X, T], {},
        "grad_W = X.T.dot(t.dot(ONES_3) * p - t) / n"),
    "logsumexp": (lambda z: np.log(np.exp(z).sum()), [Z1], {}, "p = exp_1 / sum_1"),
    "σ, mean": (lambda z, y: binary(sigma(z), y) / len(z), [Z[:, 0], BITS], {},
        "grad_z = (q - y) / n"),
    "signs": (lambda z, y: np.log(1 + np.exp(-y * z)).sum(), [Z[:, 0], SIGNS], {},
        "grad_z = -y * (exp_1 / add_1)"),
    "squares": (squares, [V, X, BITS], {}, "grad_w = 2 / n * (x.T @ r)"),
    "squares, np.square": (
        lambda w, x, y: np.mean(np.square(np.dot(x, w) - y)), [V, X, BITS], {},
        "grad_w = 2 / n * (x.T @ subtract_1)"),
    "squares, r @ r": (
        lambda w, x, y: (lambda r: r @ r / len(r))(x.dot(w) - y), [V, X, BITS], {},
        "grad_w = 2 / n * (x.T @ r)"),
    "L2, w @ w": (lambda w, alpha: alpha * (w @ w) / 2, [V, 0.3], {}, "grad_w = alpha * w"),
    "L1, abs": (
        lambda W, alpha: alpha * np.sum(abs(W)), [W, 0.3], {}, "grad_W = alpha * np.sign(W)"),
    "L2": (lambda W, alpha: alpha / 2 * (W**2).sum(), [W, 0.3], {}, "grad_W = alpha * W"),
    "L1": (lambda W, alpha: alpha * np.abs(W).sum(), [W, 0.3], {}, "grad_W = alpha * np.sign(W)"),
    "tanh": (tanh_layer, [W, X, D], {}, "grad_w = x.T.dot(d * (1.0 - h**2))"),
    "layer norm": (layer_norm, [Z, G, D], {}, """grad_h = d * g
        add_1 = (grad_h * h).dot(ONES_3) * h + grad_h.dot(ONES_3)
        grad_x = (grad_h - add_1 / 3.0) / s"""),
    "RMS norm": (rms_norm, [Z, G, D], {}, """grad_h = d * g
        multiply_2 = (multiply_1 * d).dot(ONES_3) / 3.0 * h
        grad_x = (grad_h - multiply_2) / r"""),
}  # fmt: skip


def rows() -> dict[str, Row]:
    """The table, and each loss in every spelling, as it is and fused."""
    found = dict(TABLE)
    for fuse in (False, True):
        how = {"fuse": fuse}
        for name, f in TABLES.items():
            found[f"{name}, {fuse}"] = f, [Z, T], SAID | how, "grad_z = (p - t) / n"
            last = "grad_z = (t.dot(ONES_3) * p - t) / n"
            if "ones" not in name:  # the user's own
                found[f"{name}, any table, {fuse}"] = f, [Z, T], how, last
        for name, f in LOGSUMEXPS.items():
            found[f"logsumexp, {name}, {fuse}"] = f, [Z, T], how, "grad_z = (p - t) / n"
        for name, f in VECTORS.items():
            found[f"a vector, {name}, {fuse}"] = f, [Z1, T1], SAID | how, "grad_z = p - t"
            last = "grad_z = t.sum() * p - t"
            found[f"a vector, {name}, any, {fuse}"] = f, [Z1, T1], how, last
        last = "subtract_1 = p.copy()\nsubtract_1[arange_1, y] -= 1.0\ngrad_z = subtract_1 / n"
        for name, f in INDICES.items():
            found[f"indices, {name}, {fuse}"] = f, [Z, Y], how, last
    for name, f in SIGMOIDS.items():
        found[f"σ, {name}, as it stands"] = (
            f,
            [Z[:, 0], BITS],
            {},
            f"grad_z = {AS_WRITTEN[name]} - y",
        )
        whole = name in ("softplus less y z", "logaddexp")  # 1 / (1 + exp -z) nowhere else
        last = f"grad_z = np.exp(-{'np.logaddexp(0.0, -z)' if whole else 'logaddexp_1'}) - y"
        found[f"σ, {name}"] = f, [Z[:, 0], BITS], {"fuse": True}, last
    return found


ROWS = rows()


def statements(source: str) -> list[str]:
    """Statements of a source, however laid out; what has no name is without its number."""
    body = ast.parse("\n".join(line.strip() for line in source.splitlines())).body
    return [NUMBERS.sub(r"\1", ast.unparse(line)) for line in body]


@pytest.mark.parametrize("name", some_quick(ROWS, 12))
@pytest.mark.filterwarnings("ignore:.*encountered")
def test_the_last_lines_are_those_of_the_table(name: str) -> None:
    f, args, how, last = ROWS[name]
    source = program(f, *args, **how).source
    found = source.replace("item_1] -=", "y] -=")  # of take_along_axis: y[:, None]
    found = statements(found.partition("# backward, newest first\n")[2])[:-1]
    wanted = statements(last)
    if found[0] == "grad_log_sum_exp = t.sum()":  # `fuse` has a name for what that flows to
        found = [line.replace("grad_log_sum_exp * p", "t.sum() * p") for line in found[1:]]
    assert found[-len(wanted) :] == wanted
    assert [line[:10] for line in found[: -len(wanted)]] in ([], ["p = exp / "])
    names: dict[str, Any] = {}
    exec(source, names)
    raw = program(f, *args, clean=False, wrt=how.get("wrt", 0))
    for scale in (1.0, 3.0):
        at = [scale * args[0], *args[1:]]
        for one, other in zip(names["loss_and_grad"](*at), raw(*at)):
            for a, b in zip(*[x if isinstance(x, tuple) else (x,) for x in (one, other)]):
                close(a, b)


# ------------------------------------------------------------------ arrays from outside
SHARES = RNG.dirichlet(np.ones(K), N)
WEIGHTED = 2.0 * SHARES
OUTSIDE: dict[str, Row] = {
    "softmax": (lambda z: cross_entropy(z, SHARES) / N, [Z], {}, "grad_z = (p - t) / 6.0"),
    "one-hot": (lambda z: cross_entropy(z, T), [Z], {}, "grad_z = p - t"),
    "rows of any sum": (
        lambda z: cross_entropy(z, WEIGHTED), [Z], {}, "grad_z = 2.0 * p - t"),
    "scores": (
        lambda W: cross_entropy(X @ W, SHARES) / N, [W], {}, "grad_W = X.T.dot(p - t) / 6.0"),
    "sigmoid": (lambda z: binary(sigma(z), BITS), [Z[:, 0]], {}, "grad_z = q - y"),
    "the package's": (lambda z: binary(tg.sigmoid(z), BITS), [Z[:, 0]], {}, "grad_z = q - y"),
}  # fmt: skip


@pytest.mark.parametrize("name", OUTSIDE)
def test_arrays_from_outside_keep_their_names(name: str) -> None:
    f, args, how, last = OUTSIDE[name]
    made, raw = (program(f, *args, clean=clean, **how) for clean in (True, False))
    assert made.source.splitlines()[-2].partition("  #")[0].strip() == last
    close(made(3.0 * args[0])[1], raw(3.0 * args[0])[1])


@pytest.mark.parametrize("more", [1e-12, 1e-7, 1e-3])
def test_a_table_from_outside_sums_to_what_it_does(more: float) -> None:
    """To rounding that is 1, and then it is said to be; else each row has its own sum."""
    t = SHARES * np.linspace(1.0, 1.0 + more, N)[:, None]
    grad_z = program(lambda z: cross_entropy(z, t), Z)(Z)[1]
    sums = grad_z.sum(axis=-1)  # of Σt · p - t, 0
    assert np.all(np.abs(sums) < 1e-15)
    close(grad_z, t.sum(axis=-1, keepdims=True) * tg.softmax(Z) - t)


def sides(z: Any, c: float = 0.0, power: float = 1.0) -> Any:
    """The sigmoid of z and of -z where c is 0 and the power 1; else no two that sum to 1."""
    e = np.exp(-np.abs(power * z))
    return [np.where(where, 1.0, e) / (1.0 + e) for where in (z >= c, z <= c)]


@pytest.mark.parametrize("how", [{}, {"c": 1.0}, {"power": 2.0}])
def test_what_is_not_one_less_a_sigmoid_does_not_cancel(how: Any) -> None:
    def f(z: Any, y: Any) -> Any:
        p, q = sides(z, **how)
        return (y * q / (1.0 - p)).sum()

    z, y = np.array([-2.0, -0.5, 0.3, 0.8, 3.0]), np.arange(1.0, 6.0)
    made = program(f, z, y, wrt=None)
    close(made(z, y), f(z, y))
    assert ("/" in made.source.partition("return")[0]) == bool(how)


def test_what_may_be_0_does_not_cancel() -> None:
    """1 - 2 / (1 + e) is 0 at e = 1, where 1 - 1 / (1 + e) is not."""
    f = lambda z, x: (x * (1.0 - 2.0 / (1.0 + np.exp(z))) / (1.0 - 2.0 / (1.0 + np.exp(z)))).sum()
    with np.errstate(invalid="ignore"):
        assert np.isnan(program(f, np.ones(3), np.ones(3), wrt=None)(np.zeros(3), np.ones(3)))


def test_what_labels_from_outside_lack_to_1_is_no_table_of_its_own() -> None:
    labels, z = np.array([1.0, 0.0, 0.0, 1.0]), RNG.normal(size=4)
    made = program(lambda z: binary(sigma(z), labels), z)
    assert "y * np.log(q) + (1.0 - y) * np.log(1.0 - q)" in made.source
    close(made(z)[1], sigma(z) - labels)


def test_what_is_small_in_a_sigmoid_s_tail_stays_accurate() -> None:
    """-σ(-40) is -4e-18; as σ(40) - 1 it is 0."""
    signs = np.ones(3)
    made = program(lambda z, y: np.logaddexp(0.0, -y * z).sum(), signs, signs)
    np.testing.assert_allclose(made(40.0 * signs, signs)[1], -np.exp(-40.0), rtol=1e-13)


# ------------------------------------------------------------------ drawn functions
FREE = {"reshape", "transpose", "broadcast_to", "expand_dims", "copy", "zeros", "ones", "full"}


def operations(source: str) -> int:
    """What a source computes of arrays; what only places entries is free."""
    kinds = (ast.BinOp, ast.AugAssign, ast.UnaryOp, ast.Call, ast.Compare)
    found = [n for n in ast.walk(ast.parse(source)) if isinstance(n, kinds)]
    names = [{x.id for x in ast.walk(n) if isinstance(x, ast.Name)} - {"n", "np"} for n in found]
    calls = [getattr(getattr(n, "func", None), "attr", "") for n in found]
    return sum(bool(own) and name not in FREE for own, name in zip(names, calls))


def flat(results: Any) -> list[Any]:
    value, slopes = results
    return [np.asarray(x) for x in (value, *(slopes if isinstance(slopes, tuple) else (slopes,)))]


class Noisy(np.ndarray[Any, Any]):
    """An array that each operation which rounds moves by some units in the last place."""

    rng = np.random.default_rng(0)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        plain = [np.asarray(x) if isinstance(x, Noisy) else x for x in inputs]
        options.pop("out", None)  # which np.mean divides into
        result = np.asarray(getattr(ufunc, method)(*plain, **options))
        if result.dtype.kind == "f" and ufunc not in (np.maximum, np.minimum, np.negative):
            result = result * (1.0 + 2.0**-50 * self.rng.uniform(-1.0, 1.0, result.shape))
        return result.view(Noisy)


def near(got: Any, raw: Any, args: Any) -> None:
    """The same where that is a number, and no nan that was none.

    What cancels in the raw program may differ by as much as that moves if it rounds anew.
    """
    pairs = [*zip(flat(got), flat(raw(*args)))]
    assert not any(np.isnan(x[~np.isnan(y)]).any() for x, y in pairs)
    tops = [np.max(np.abs(y[np.isfinite(y)]), initial=0.0) for _x, y in pairs]
    bounds = [np.full(y.shape, 1e-9 * top + 1e-290) for (_x, y), top in zip(pairs, tops)]
    if not all(np.all(abs(x - y)[np.isfinite(y)] <= b.max()) for (x, y), b in zip(pairs, bounds)):
        names: dict[str, Any] = {}
        exec(raw.source, names)
        for _ in range(8):
            noisy = flat(names["loss_and_grad"](*[np.asarray(x).view(Noisy) for x in args]))
            moved = [abs(np.asarray(x) - y) for x, (_, y) in zip(noisy, pairs)]
            bounds = [np.fmax(a, 10.0 * b) for a, b in zip(bounds, moved)]
    for (x, y), bound in zip(pairs, bounds):
        assert np.all(abs(x - y)[np.isfinite(y)] <= bound[np.isfinite(y)]), (x, y)


def test_a_gradient_that_another_needs_anyway_is_not_written_a_second_time() -> None:
    def loss(a: Any, b: Any) -> Any:
        y = b + a
        x = np.tanh(a)
        curved, powers = np.log(1 + y * y), (1.5 + np.tanh(x)) ** np.tanh(y)
        return np.mean(x) + np.mean(curved) + np.mean(powers)

    a, b = RNG.normal(size=3), RNG.normal(size=1)
    raw, made = (program(loss, a, b, wrt=(0, 1), clean=clean) for clean in (False, True))
    near(made(a, b), raw, (a, b))
    assert operations(made.source) <= operations(raw.source), made.source


@pytest.mark.slow
@given(cases())
@settings(max_examples=300, database=None)
def test_drawn_functions_are_the_same_with_no_more_operations(case: Any) -> None:
    f, args, wrt, how = case
    with np.errstate(all="ignore"), pytest.MonkeyPatch.context() as patch:
        # A source is for any number of rows, and trying them takes twice as long as all of this.
        patch.setattr("tinygrad_ce.programs.compiled.write_sizes", lambda *args: None)
        raw, made = (program(f, *args, wrt=wrt, clean=clean, **how) for clean in (False, True))
        near(made(*args), raw, args)
        assert operations(made.source) <= operations(raw.source), made.source


def mean(x: Any) -> Any:
    return x.mean(axis=-1, keepdims=True) if np.ndim(x) else x


LARGE: list[Any] = [
    np.exp,
    softmax,
    shifted,
    logsumexp,
    sigma,
    tg.sigmoid,
    lambda x: np.log(1 + np.exp(x)),
    lambda x: np.log(softmax(x)),
    lambda x: x / (1 + np.exp(x)),
    lambda x: np.exp(x) * np.exp(-x),
    lambda x: x - mean(x),
    lambda x: x / np.sqrt((x * x).sum(axis=-1, keepdims=True)),
    lambda x: x.sum(axis=0),
    lambda x: np.tanh(x) * x,
    lambda x: np.log(np.exp(x).sum(axis=-1, keepdims=True)) - x,
    lambda x: np.maximum(x, 0.0) + np.log1p(np.exp(-abs(x))),
    lambda x: (np.exp(x) - np.exp(-x)) / (np.exp(x) + np.exp(-x)),
    lambda x: (x - mean(x)) / np.sqrt(mean((x - mean(x)) ** 2) + 1e-5),
    lambda x: 0.3 * np.log(sigma(x)) + 0.7 * np.log(1 - sigma(x)),
    lambda x: softmax(x) * (1 - softmax(x)),
    lambda x: np.exp(2 * x) / np.exp(x) ** 2,
    lambda x: x / (x + np.exp(x)),
]
STEP = st.tuples(st.integers(0, len(LARGE) - 1), st.integers(0, 9))


@pytest.mark.slow
@example(steps=[(12, 0), (12, 2), (1, 4)], seed=0)  # of a number the sum along axis 0
@example(steps=[(12, 0), (12, 2), (4, 4)], seed=0)
@example(steps=[(7, 0), (0, 2), (0, 2)], seed=1)  # z + z² is no number at -inf, z·(1 + z) is
@example(steps=[(10, 8), (7, 3), (7, 4)], seed=68)  # (a + b)·e / e overflows in a·e
@given(steps=st.lists(STEP, min_size=1, max_size=4), seed=st.integers(0, 99))
@settings(max_examples=50, database=None)
@pytest.mark.filterwarnings("ignore:.*encountered")
def test_at_700_nothing_is_nan_that_was_none(steps: Any, seed: int) -> None:
    x, y = np.random.default_rng(seed).choice([-700.0, -1.0, 0.5, 700.0], (2, 4, 3))

    def f(x: Any, y: Any) -> Any:
        pool = [x, y]
        for kind, i in steps:
            pool += [LARGE[kind](pool[i % len(pool)]), pool[-1] * pool[i % len(pool)]]
        return sum(np.mean(z) for z in pool[2:])

    with np.errstate(all="ignore"):
        raw, made = (program(f, x, y, wrt=(0, 1), clean=clean) for clean in (False, True))
        near(made(x, y), raw, (x, y))
