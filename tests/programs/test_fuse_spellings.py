"""fuse: every spelling of the loss is found and right, and what only looks like it stays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from spellings import (
    BINARY,
    FAR,
    NEAR_MISSES,
    PARTS,
    SPELLINGS,
    N,
    Z,
    built,
    exact,
    ops,
    run,
    s,
    same,
)

from tinygrad_ce import Value, fuse


@pytest.mark.parametrize("name", SPELLINGS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_spelling_becomes_one_node_of_the_same_value_and_gradient(name: str, dtype: Any) -> None:
    f, _ = SPELLINGS[name]
    z, loss = built(f, Z.astype(dtype))
    before = ops(loss)
    new = fuse(loss)
    found = ops(new)
    assert found.count("LogSoftmaxNLL") == 1
    assert not {"log", "exp", "sum", "max", "getitem"} & set(found), found
    assert ops(loss) == before  # the old graph is as it was
    assert new.shape == loss.shape
    assert new.dtype == dtype  # that of the logits, as in cross_entropy
    eps = float(np.finfo(dtype).eps)
    for ours, theirs in zip(run(new, z), run(loss, z)):
        same(ours, theirs, eps)
    assert z.grad.dtype == dtype


@pytest.mark.parametrize("name", SPELLINGS)
def test_at_logits_of_a_thousand_it_is_finite_and_right(name: str) -> None:
    f, table = SPELLINGS[name]
    z, loss = built(f, FAR)
    value, slope = run(fuse(loss), z)
    losses, slopes = exact(FAR, table)
    same(np.ravel(value), losses if np.size(value) > 1 else np.sum(losses))
    same(slope, slopes)


def test_the_textbook_is_not_finite_there() -> None:
    for name in ("sum over everything, over n", "the maximum subtracted", "fancy indexing of p"):
        _, loss = built(SPELLINGS[name][0], FAR)
        assert not np.isfinite(loss.data)


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_spelling_with_a_sigmoid_becomes_the_stable_form(name: str, dtype: Any) -> None:
    f, _ = BINARY[name]
    z, loss = built(f, Z[:, 0].astype(dtype))
    new = fuse(loss)
    assert "logaddexp" in ops(new)
    assert not {"log", "exp", "log1p", "divide"} & set(ops(new))
    eps = float(np.finfo(dtype).eps)
    for ours, theirs in zip(run(new, z), run(loss, z)):
        same(ours, theirs, 4 * eps)
    assert z.grad.dtype == dtype


@pytest.mark.parametrize("name", BINARY)
def test_with_a_sigmoid_at_a_thousand_it_is_finite_and_right(name: str) -> None:
    f, y = BINARY[name]
    z, loss = built(f, FAR[:, 0])
    value, slope = run(fuse(loss), z)
    both = np.stack([FAR[:, 0], np.zeros(N)], axis=1)
    losses, slopes = exact(both, np.stack([y, 1.0 - y], axis=1) / N)
    same(value, np.sum(losses))
    same(slope, slopes[:, 0])


@pytest.mark.parametrize("name", NEAR_MISSES)
def test_a_near_miss_stays_and_says_why(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, loss = built(NEAR_MISSES[name], Z)
    assert fuse(loss, explain=True) is loss
    told = capsys.readouterr().out
    assert told.startswith("fuse: nothing: ")
    assert told.count("\n") == 1


@pytest.mark.parametrize("name", NEAR_MISSES)
def test_what_fuses_of_a_near_miss_where_sums_are_free_is_the_same(name: str) -> None:
    z, loss = built(NEAR_MISSES[name], Z)
    for ours, theirs in zip(run(fuse(loss, allow_unnormalized=True), z), run(loss, z)):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", PARTS)
def test_the_log_of_a_sigmoid_is_a_loss_of_its_own(name: str) -> None:
    z, loss = built(PARTS[name], Z)
    new = fuse(loss)
    assert "logaddexp" in ops(new)
    for ours, theirs in zip(run(new, z), run(loss, z)):  # 1 - σ(z) is the less exact
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-14)


# ------------------------------------------------------------------------------- drawn graphs
UNARY = [
    np.exp,
    np.tanh,
    np.square,
    np.negative,
    lambda x: x * 0.5,
    lambda x: np.log(1.0 + np.square(x)),
]
TURNS = [lambda x: x, lambda x: x.T.T, lambda x: x - x.max(1, keepdims=True), lambda x: x - 1.0]
ENDS = [np.sum, np.mean, lambda r: (r * np.arange(1.0, 4.0)).sum(), lambda r: r[1:].mean()]


@pytest.mark.slow
@given(
    body=st.lists(st.sampled_from(UNARY), max_size=3),
    shift=st.sampled_from(TURNS),
    end=st.sampled_from(ENDS),
    after=st.lists(st.sampled_from(UNARY), max_size=3),
    form=st.integers(0, 4),
    axis=st.integers(0, 1),
    reuse=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_drawn_graphs_keep_their_value_and_gradient(
    body: Any, shift: Any, end: Any, after: Any, form: int, axis: int, reuse: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x, t = Value(rng.normal(size=(3, 3))), rng.dirichlet(np.ones(3), 3)
    weights = rng.uniform(0, 2, (3, 3))
    z: Any = x
    for f in body:
        z = np.tanh(f(z))
    e = np.exp(shift(z))
    q = e / e.sum(axis=axis, keepdims=True)
    rows = [
        lambda: -(t * np.log(q)).sum(axis=1),
        lambda: -np.log(q)[[0, 1, 2], [2, 0, 0]],
        lambda: np.log(e.sum(axis=axis)) - (t * z).sum(axis=1),
        lambda: -(weights * np.log(q)).sum(axis=1),
        lambda: -(t * np.log(1 / (1 + np.exp(-z))) + (1 - t) * np.log(1 - s(z))).sum(axis=1),
    ][form]()
    loss = end(rows)
    for f in after:
        loss = np.tanh(f(loss * 0.1))
    if reuse:
        loss = loss + np.square(q).sum() + rows.max()
    new = fuse(loss)
    if form < 2 and axis == 1:
        assert "LogSoftmaxNLL" in ops(new)
    loss.backward()
    slope, x.grad = x.grad, None
    new.backward()
    np.testing.assert_allclose(new.data, loss.data, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(x.grad, slope, rtol=1e-9, atol=1e-11)
