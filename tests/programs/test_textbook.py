"""Last lines as the textbook has them, and what the caller says of a table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers.programs import close

import tinygrad_ce as tg
from tinygrad_ce import program

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
    assert "sum_1 = t.sum(0)" in made.source  # down the columns nobody says what it is


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
