"""The two kernels of the fused loss, NumPy's and Numba's: the same meaning, and which one is used.

A batch of 2^13 entries in 32 classes or more is the compiled kernel's, where Numba is installed;
its rows taken a few at a time are NumPy's.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import need

from tinygrad_ce import Value, config, cross_entropy, linear_cross_entropy

ROWS, CLASSES = 512, 40


def loss_and_gradient(z: Any, target: Any, **options: Any) -> tuple[Any, Any]:
    """The loss of each row, and its gradient."""
    v = Value(z)
    loss = cross_entropy(v, target, reduction="none", **options)
    loss.backward(np.ones(len(z)))
    return loss.data, v.grad


def row_by_row(z: Any, target: Any, **options: Any) -> tuple[Any, Any]:
    pairs = [loss_and_gradient(z[i : i + 1], target[i : i + 1], **options) for i in range(len(z))]
    losses, gradients = zip(*pairs)
    return np.concatenate(losses), np.concatenate(gradients)


def logits(dtype: Any, rng: Any) -> Any:
    """Rows of all scales, some far out, some with ties, and with classes that are masked."""
    z = rng.normal(size=(ROWS, CLASSES)) * 10.0 ** rng.uniform(-3, 2, (ROWS, 1))
    z[::7] += rng.choice([-900.0, 900.0], (len(z[::7]), 1))
    z[::5] = np.round(z[::5])
    z[3::11, 1:5] = -np.inf
    return z.astype(dtype)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["index", "table", "smoothed"])
def test_a_large_batch_is_its_rows(kind: str, dtype: Any, rng: Any) -> None:
    z = logits(dtype, rng)
    options: dict[str, Any] = {"weight": rng.random(CLASSES)} if kind != "table" else {}
    target = rng.integers(5, CLASSES, ROWS)
    if kind == "smoothed":
        z[z == -np.inf] = 0.0
        options["label_smoothing"] = 0.1
    if kind == "table":
        target = rng.random((ROWS, CLASSES)) * (z > -np.inf)
        target /= target.sum(axis=1, keepdims=True)
    got, want = loss_and_gradient(z, target, **options), row_by_row(z, target, **options)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(got[0], want[0], rtol=40 * eps)
    np.testing.assert_allclose(got[1], want[1], rtol=400 * eps, atol=4 * eps)


R_NA = np.uint64(0x7FF00000000007A2).view(float)  # a nan with 1954 in its last bits
SMALL_NA = np.uint32(0x7FC007A2).view(np.float32)


@pytest.mark.parametrize("bad", [np.nan, np.inf, R_NA, SMALL_NA])
@pytest.mark.parametrize("kind", ["index", "table"])
def test_nan_and_inf_make_their_row_nan_and_no_other(bad: Any, kind: str, rng: Any) -> None:
    for where in (0, 1, CLASSES - 1):  # at the target, beside it, at the end
        z = rng.normal(size=(ROWS, CLASSES)).astype(np.asarray(bad).dtype)
        z[::9, where] = bad
        z[1] = -np.inf
        t = np.zeros(ROWS, int) if kind == "index" else np.full((ROWS, CLASSES), 1.0 / CLASSES)
        lost = np.zeros(ROWS, bool)
        lost[::9] = lost[1] = True
        loss, gradient = loss_and_gradient(z, t)
        np.testing.assert_array_equal(np.isnan(loss), lost)
        np.testing.assert_array_equal(np.isnan(gradient).all(axis=1), lost)
        np.testing.assert_array_equal(np.isnan(gradient).any(axis=1), lost)


def test_a_target_of_probability_zero_costs_infinitely_much(rng: Any) -> None:
    z = rng.normal(size=(ROWS, CLASSES))
    z[:, 3] = -np.inf
    loss, gradient = loss_and_gradient(z, np.full(ROWS, 3))
    assert (loss == np.inf).all()
    np.testing.assert_allclose(gradient[:, 3], -1.0, rtol=1e-15)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_what_is_ignored_costs_nothing_whatever_its_logits_are(smoothing: float, rng: Any) -> None:
    """Not even 0 times inf, or nan, though its class or the whole row be masked."""
    z, t = rng.normal(size=(ROWS, CLASSES)), rng.integers(1, CLASSES, ROWS)
    t[::4], z[::4, 0], z[4] = 0, -np.inf, np.nan
    loss = cross_entropy(z, t, ignore_index=0, label_smoothing=smoothing, reduction="none")
    assert not loss[::4].any()
    assert loss[1::4].all()


def test_a_small_probability_has_all_its_digits() -> None:
    z = np.tile(-np.arange(0.0, 708.0, 708.0 / 512), (64, 1))
    gradient = loss_and_gradient(z, np.zeros(64, int))[1]
    e = np.array([math.exp(x) for x in z[0]])
    np.testing.assert_allclose(gradient[:, 1:], np.tile(e / math.fsum(e), (64, 1))[:, 1:], 1e-15)


def test_many_small_terms_beside_a_large_one_are_all_added_up() -> None:
    """Each 256 of them are lost beside 1."""
    z = np.full((1, 2**20), math.log(1e-19))
    z[0, 0] = 0.0
    gradient = loss_and_gradient(z, np.array([1]))[1]
    assert gradient[0, 0] == pytest.approx(1.0 / (1.0 + (2**20 - 1) * 1e-19), rel=1e-15, abs=0)


def test_rows_of_weight_0_cost_nothing(rng: Any) -> None:
    z, t = rng.normal(size=(ROWS, CLASSES)), rng.integers(1, CLASSES, ROWS)
    t[::4] = 0
    loss, gradient = loss_and_gradient(z, t, weight=np.arange(CLASSES) != 0)
    assert not loss[::4].any()
    assert not gradient[::4].any()
    assert loss[1::4].all()


def test_arrays_may_lie_in_any_order(rng: Any) -> None:
    z, t = rng.normal(size=(ROWS, 2 * CLASSES)), rng.integers(0, CLASSES, 2 * ROWS)
    want = loss_and_gradient(z[:, ::2].copy(), t[::2].copy())
    fortran, fixed = np.asfortranarray(z[:, ::2]), z[:, ::2].copy()
    fixed.setflags(write=False)
    for some in (z[:, ::2], fortran, fixed):
        got = loss_and_gradient(some, t[::2])
        np.testing.assert_array_equal(got[0], want[0])
        np.testing.assert_array_equal(got[1], want[1])


def test_a_linear_loss_is_that_of_its_logits(rng: Any) -> None:
    x, W, t = rng.normal(size=(300, 8)), rng.normal(size=(8, 200)), rng.integers(0, 200, 300)
    inputs = [Value(x), Value(W)]
    loss = linear_cross_entropy(*inputs, None, t)
    loss.backward()
    want, slope = loss_and_gradient(x @ W, t)
    np.testing.assert_allclose(loss.data, want.mean(), rtol=1e-14)
    np.testing.assert_allclose(inputs[0].grad, slope @ W.T / 300, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(inputs[1].grad, x.T @ slope / 300, rtol=1e-12, atol=1e-15)


def test_a_hundred_calls_are_equal_to_the_last_bit(rng: Any) -> None:
    z, t = rng.normal(size=(4096, 100)).astype(np.float32), rng.integers(0, 100, 4096)
    first = loss_and_gradient(z, t)
    for _ in range(100):
        for got, want in zip(loss_and_gradient(z, t), first):
            np.testing.assert_array_equal(got, want)


# ------------------------------------------------------------------ which kernel it is
BATCH = """
import numpy as np, tinygrad_ce as tg
z = tg.Value(np.linspace(-3.0, 3.0, 2**15).reshape(512, 64))
tg.cross_entropy(z, np.arange(512) % 64).backward()
print(tg.config()["kernel"], tg.config()["why"], abs(z.grad.sum(axis=1)).max() < 1e-15)
"""


def printed(code: str, **environment: str) -> str:
    run = [sys.executable, "-W", "error", "-c", code]
    env = {**os.environ, **environment}
    return subprocess.run(run, capture_output=True, text=True, check=True, env=env).stdout


def test_config_tells_the_kernel_and_why() -> None:
    need("numba")
    assert config()["kernel"] == "Numba"
    assert "compiled it" in config()["why"]


def test_without_numba_the_kernel_is_numpys_and_config_says_what_mends_it() -> None:
    got = printed('import sys; sys.modules["numba"] = None\n' + BATCH)
    assert got == 'NumPy Numba is not here: pip install "tinygrad_ce[fast]" True\n'


@pytest.mark.parametrize("kind", ["OSError", "ImportError"])  # as of a newer NumPy
def test_a_numba_that_fails_is_done_without(kind: str, tmp_path: Path) -> None:
    (tmp_path / "numba.py").write_text(f"raise {kind}('no LLVM here')")
    got = printed(f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n" + BATCH)
    assert got == "NumPy Numba failed: no LLVM here True\n"


def test_small_batches_do_not_import_numba() -> None:
    code = 'import sys\nassert "numba" not in sys.modules'
    small = BATCH.partition("print")[0].replace("512", "8").replace("2**15", "2**9")
    printed(f"{small}{code}")
