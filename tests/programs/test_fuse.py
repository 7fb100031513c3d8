"""fuse: what else the graph holds, names and scales, functions, explanations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import need
from spellings import (
    B2,
    BINARY,
    BITS,
    FAR,
    NEAR_MISSES,
    PARTS,
    RNG,
    ROWS,
    SOFT,
    SPELLINGS,
    C,
    N,
    T,
    W,
    Y,
    Z,
    built,
    exact,
    ops,
    p,
    run,
    s,
    same,
)

from tinygrad_ce import (
    Value,
    binary_cross_entropy,
    cross_entropy,
    draw,
    fuse,
    grad,
    grad_of,
    gradcheck,
    hessian,
    log_softmax,
    primitive,
    program,
    softmax,
    value_and_grad,
)


# ------------------------------------------------------------------ what else the graph holds
def test_a_shift_that_is_none_stays_below() -> None:
    z, row = Value(Z), Value(B2)
    assert ops(fuse(-(T * np.log(p(z - B2))).sum())) == ["subtract", "LogSoftmaxNLL"]
    assert ops(fuse(-(T * np.log(p(row - W[:, :1]))).sum())) == ["subtract", "LogSoftmaxNLL"]


def test_names_scales_and_the_old_graph_stay() -> None:
    z = Value(Z)
    loss = -(T * np.log(p(z))).sum()
    tripled = 3.0 * loss
    loss.name, tripled.name = "loss", "tripled"
    new = fuse(tripled)
    assert (new.name, new.parents[1].name) == ("tripled", "loss")
    assert new.parents[1].options["reduction"] == "sum"
    over = cross_entropy(-np.log(p(z))[ROWS, Y], 0)
    fuse(over * 1.0)
    wanted = run(cross_entropy(-np.log(p(z))[ROWS, Y], 0), z)[1]
    same(run(over, z)[1], wanted)
    other = Value(Z + 1.0)
    one, two = (cross_entropy(-np.log(p(v) + 0.0)[ROWS, Y], 0) for v in (z, other))
    assert fuse(one) is one
    assert fuse(two) is two


@pytest.mark.parametrize("weight", [True, np.True_, np.array(True), np.array([True])])
def test_a_truth_as_factor(weight: object) -> None:
    """As ``(y > 0) * loss`` has it: it counts as 1."""
    z = Value(800.0)
    loss = np.log(1.0 + np.exp(-z)) * weight
    np.testing.assert_allclose(fuse(loss).data, np.logaddexp(0.0, -800.0))


def test_no_samples() -> None:
    loss = -(np.zeros((0, C)) * np.log(p(Value(np.zeros((0, C)))))).sum()
    assert fuse(loss) is loss


def test_what_is_used_elsewhere_stays() -> None:
    z = Value(Z, name="z")
    q = p(z)
    loss = -(T * np.log(q)).sum() / N
    fused, kept = fuse((loss, q))
    assert kept is q
    assert ops(fused) == ["LogSoftmaxNLL"]
    both = loss + np.square(q).sum()
    new = fuse(both)
    assert sorted(ops(new)) == sorted(
        ["exp", "sum", "divide", "square", "sum", "LogSoftmaxNLL", "add"]
    )
    for ours, theirs in zip(run(new, z), run(both, z)):
        same(ours, theirs)


@pytest.mark.parametrize(
    "around",
    [
        lambda z, rows: (rows * ROWS).sum(),
        lambda z, rows: (rows * p(z)[:, 0]).mean(),
        lambda z, rows: np.square(rows.mean()) + 0.1 * np.square(z).sum(),
        lambda z, rows: np.exp(-rows).sum(),
        lambda z, rows: np.abs(rows - 1.0).max(),
    ],
)
def test_the_loss_in_the_midst_of_others(around: Callable[..., Any]) -> None:
    z = Value(Z)
    whole = around(z, -np.log(p(z))[ROWS, Y])
    new = fuse(whole)
    assert ops(new).count("LogSoftmaxNLL") == 1
    assert "log" not in ops(new)
    for ours, theirs in zip(run(new, z), run(whole, z)):
        same(ours, theirs)


def test_two_losses_and_a_loss_of_a_loss() -> None:
    z, w = Value(Z), Value(W)
    first, second = -(T * np.log(p(z))).sum() / N, -np.log(p(w)[ROWS, Y]).sum()
    new = fuse(first * 2.0 + second)
    assert sorted(ops(new)) == ["LogSoftmaxNLL", "LogSoftmaxNLL", "add", "multiply"]
    same(new.data, 2 * first.data + second.data)
    deep = -np.log(p(-np.log(p(z))[ROWS, Y], 0))[0]  # the losses of the samples as logits
    new = fuse(deep)
    assert ops(new).count("LogSoftmaxNLL") == 2
    for ours, theirs in zip(run(new, z), run(deep, z)):
        same(ours, theirs)


def test_distillation_has_two_temperatures() -> None:
    z = Value(Z)
    loss = -(T * np.log(p(z))).sum() / N - 4.0 * (SOFT * np.log(softmax(z, temperature=2.0))).sum()
    new = fuse(loss)
    assert ops(new).count("LogSoftmaxNLL") == 2
    for ours, theirs in zip(run(new, z), run(loss, z)):
        same(ours, theirs)


DIVERGENCES: list[Any] = [
    lambda z, t: (t * (np.log(t) - np.log(p(z)))).sum(),
    lambda z, t: np.mean(np.sum(t * np.log(t / p(z)), axis=1)),
    lambda z, t: (t * (np.log(t) - log_softmax(z))).sum() / N,
]


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_a_divergence_from_plain_targets(divergence: Any) -> None:
    z = Value(Z)
    loss = divergence(z, SOFT)
    new = fuse(loss)
    assert ops(new).count("LogSoftmaxNLL") == 1
    for ours, theirs in zip(run(new, z), run(loss, z)):
        same(ours, theirs)
    far, made = 1000.0 * Z, program(divergence, Z, SOFT, fuse=True)
    with np.errstate(all="ignore"):
        new = fuse(divergence(Value(far), SOFT))
    stable = DIVERGENCES[2](far, SOFT) * (N if divergence is DIVERGENCES[0] else 1.0)
    others = RNG.dirichlet(np.ones(C), N)
    for got in (new.data, made(far, SOFT)[0]):
        np.testing.assert_allclose(got, stable, 1e-13)
    np.testing.assert_allclose(made(Z, others)[0], divergence(Z, others), 1e-12)


SOFT_TARGETS: list[Any] = [
    lambda z, y: -(p(z) * np.log(p(z))).sum(),
    lambda z, y: np.mean(-np.sum(softmax(z) * np.log(softmax(z)), axis=1)),
    lambda z, y: -(p(y) * np.log(p(z))).sum() / N,
    lambda z, y: -np.mean((np.log(p(z)) * y).sum(1)),
]


@pytest.mark.parametrize("loss", SOFT_TARGETS)
def test_targets_that_are_values_keep_their_gradient(loss: Any) -> None:
    z, y = Value(Z), Value(SOFT)
    old = loss(z, y)
    new = fuse(old)
    assert ops(new).count("LogSoftmaxNLL") == 1
    found = [(v.data, *grad_of(v, [z, y])) for v in (old, new)]
    for theirs, ours in zip(*found):
        np.testing.assert_allclose(
            getattr(ours, "data", ours), getattr(theirs, "data", theirs), 1e-11, 1e-13
        )


def test_a_program_keeps_the_gradient_of_such_targets_too() -> None:
    loss = SOFT_TARGETS[0]
    value, slope = program(lambda z: loss(z, None), Z, fuse=True)(Z)
    z = Value(Z)
    loss(z, None).backward()
    np.testing.assert_allclose(value, loss(Z, None), 1e-13)
    np.testing.assert_allclose(slope, z.grad, 1e-11, 1e-13)


def test_the_entropy_is_right_where_the_exponential_overflows() -> None:
    z = Value(FAR + Z)
    with np.errstate(all="ignore"):
        old = SOFT_TARGETS[0](z, None)
    assert np.isnan(old.data)
    new, q = fuse(old), log_softmax(FAR + Z)
    np.testing.assert_allclose(new.data, -np.sum(np.exp(q) * q), 1e-12)
    new.backward()
    assert np.isfinite(z.grad).all()


def test_a_product_of_more_than_a_target_stays() -> None:
    z = Value(Z)
    for wrong in (
        (p(z) * (np.log(p(z)) - np.log(SOFT))).sum(),
        -(p(z) ** 2 * np.log(p(z))).sum(),
        -(z * np.log(p(z))).sum(),
    ):
        new = fuse(wrong)
        assert ops(new).count("LogSoftmaxNLL") == 0


def test_other_constants_are_no_part_of_a_loss() -> None:
    z = Value(Z)
    for wrong in (
        (SOFT * (np.log(SOFT) + 0.1 - np.log(p(z)))).sum(),
        (SOFT * (np.log(SOFT[::-1]) - np.log(p(z)))).sum(),
    ):
        assert fuse(wrong) is wrong


def test_the_logits_may_be_a_network() -> None:
    x, weights, bias = RNG.normal(size=(N, 3)), Value(RNG.normal(size=(3, C))), Value(B2)

    def logits() -> Any:
        return np.tanh(x @ weights) * 3.0 + bias

    e = np.exp(logits() - logits().max(axis=1, keepdims=True))
    loss = -(
        T * np.log(e / np.exp(logits() - np.max(logits(), 1, keepdims=True)).sum(1)[:, None])
    ).mean()
    new = fuse(loss)
    assert ops(new) == ["matmul", "tanh", "multiply", "add", "LogSoftmaxNLL", "multiply"]
    loss.backward()
    wanted, weights.grad, bias.grad = (weights.grad, bias.grad), None, None
    new.backward()
    same(new.data, loss.data)
    same(weights.grad, wanted[0])
    same(bias.grad, wanted[1])


def test_a_leaf_in_the_shift_alone_keeps_its_zeros() -> None:
    z, m = Value(Z), Value(RNG.normal(size=(N, 1)))
    new = fuse(-(T * np.log(p(z - m))).sum())
    assert ops(new) == ["subtract", "LogSoftmaxNLL"]
    new.backward()
    same(m.grad, np.zeros((N, 1)))


def test_a_users_operation_is_fused_around_and_read_through_where_it_is_linear() -> None:
    softsign = primitive(lambda g, out, x: g / (1.0 + abs(x)) ** 2)(lambda x: x / (1.0 + abs(x)))
    halved = primitive(lambda g, out, x: g * 0.5, linear=(0,), name="halved")(lambda x: x * 0.5)
    z = Value(Z)
    rows = -np.log(p(softsign(z)))[ROWS, Y]
    for loss in (
        rows.mean() + softsign(z).sum(),
        softsign(rows.sum()),
        halved(-np.log(p(halved(z)))[ROWS, Y]),
    ):
        new = fuse(loss, allow_unnormalized=True)
        assert ops(new).count("LogSoftmaxNLL") == 1
        assert "log" not in ops(new)
        for ours, theirs in zip(run(new, z), run(loss, z)):
            same(ours, theirs)


def test_an_operation_that_draws_anew_is_not_taken_for_one_of_its_kind() -> None:
    noise = np.random.default_rng(0)
    noisy = primitive(lambda g, out, x: g)(lambda x: x + noise.normal(size=x.shape))
    z = Value(Z)
    loss = -(T * np.log(np.exp(noisy(z)) / np.exp(noisy(z)).sum(1, keepdims=True))).sum()
    assert fuse(loss) is loss


def test_a_sigmoid_that_chooses_otherwise_than_its_exp_is_another() -> None:
    z = Value(Z[:, 0])
    right = z.data >= 0
    for up in (right, ~right):  # of z, of -z
        e = np.exp(np.where(right, -z, z))
        q = np.where(up, 1.0, e) / (1.0 + e)
        loss = -(BITS * np.log(q) + (1 - BITS) * np.log(1 - q)).mean()
        same(fuse(loss).data, loss.data)


def test_the_targets_are_found_in_the_node() -> None:
    z = Value(Z)
    same(fuse(-(SOFT * np.log(p(z))).mean()).parents[0].parents[1], SOFT)
    for index in (Y, Y - C):
        assert fuse(-np.log(p(z))[ROWS, index].mean()).parents[1].tolist() == Y.tolist()


def test_fusing_twice_is_fusing_once() -> None:
    new = fuse(SPELLINGS["scaled outside"][0](Value(Z)))
    assert fuse(new) is new
    z = Value(Z[:, 0])
    stable = binary_cross_entropy(z, BITS)
    assert fuse(stable) is stable


def test_a_fused_node_above_a_rewritten_one_is_computed_anew() -> None:
    z = Value(np.array([[1000.0, -1000.0, 0.0], [0.0, 1.0, 2.0]]))
    with np.errstate(all="ignore"):
        rows = -np.log(p(z))[[0, 1], [0, 1]]
        loss = cross_entropy(rows, 0)
    assert np.isnan(loss.data)
    new = fuse(loss)
    value, slope = run(new, z)
    same(
        value,
        np.logaddexp(0.0, np.logaddexp(0.0, [-1.0, 1.0])[0] * 0 + np.log1p(np.exp(-1) + np.exp(1))),
    )
    assert np.isfinite(slope).all()
    same(run(fuse(loss), z)[1], slope)


def test_unnormalised_targets_when_allowed() -> None:
    for name in ("class weights", "rows that sum to this and that"):
        z, loss = built(NEAR_MISSES[name], Z)
        new = fuse(loss, allow_unnormalized=True)
        assert ops(new)[0] == "LogSoftmaxNLL"
        for ours, theirs in zip(run(new, z), run(loss, z)):
            same(ours, theirs)
    z, loss = built(PARTS["sigmoid: weights"], Z)
    new = fuse(loss, allow_unnormalized=True)
    assert ops(new).count("logaddexp") < ops(fuse(loss)).count("logaddexp")
    for ours, theirs in zip(run(new, z), run(loss, z)):
        same(ours, theirs)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_any_axis(axis: int) -> None:
    data = RNG.normal(size=(3, 4, 2))
    table = np.moveaxis(
        RNG.dirichlet(np.ones(data.shape[axis]), np.delete(data.shape, axis)), -1, axis
    )
    z = Value(data)
    rows = -(table * np.log(p(z, axis))).sum(axis=axis)
    for loss in (rows, rows.mean(), rows.sum(axis=0)):
        new = fuse(loss)
        assert "LogSoftmaxNLL" in ops(new)
        assert "log" not in ops(new)
        for ours, theirs in zip(run(new, z), run(loss, z)):
            same(ours, theirs)
        for other in {0, 1, 2} - {axis}:
            wrong = -(table * np.log(p(z, other))).sum()
            assert fuse(wrong) is wrong


def test_one_sample_and_scalars() -> None:
    z = Value([1000.0, 0.0, -1000.0])
    with np.errstate(all="ignore"):
        loss = -(np.array([0.0, 1.0, 0.0]) * np.log(np.exp(z) / np.exp(z).sum())).sum()
    value, slope = run(fuse(loss), z)
    assert value == 1000.0
    assert slope.tolist() == [1.0, -1.0, 0.0]
    x = Value(0.3)
    loss = -(0.25 * np.log(s(x)) + 0.75 * np.log(1 - s(x)))
    value, slope = run(fuse(loss), x)
    assert (value.__class__, slope.__class__) == (float, float)
    same([value, slope], run(loss, x))


# ------------------------------------------------------------------------- functions, explain
def test_a_function_fuses_what_it_builds_without_a_warning() -> None:
    f = fuse(SPELLINGS["sum over everything, over n"][0])
    value, slope = value_and_grad(f)(FAR)
    losses, slopes = exact(FAR, T / N)
    same(value, np.sum(losses))
    same(slope, slopes)
    same(hessian(f)(Z), hessian(lambda z: cross_entropy(z, Y))(Z))
    same(grad(f)(Z), grad(SPELLINGS["sum over everything, over n"][0])(Z))


def test_a_function_may_return_a_structure_or_plain_data() -> None:
    def f(z: Any) -> Any:
        """Doc."""
        q = p(z)
        return {"loss": -np.log(q)[ROWS, Y].mean(), "p": q, "n": N}

    out = fuse(f)(Value(Z))
    assert ops(out["loss"]) == ["LogSoftmaxNLL"]
    assert ops(out["p"]) == ["exp", "exp", "sum", "divide"] or ops(out["p"]) == [
        "exp",
        "sum",
        "divide",
    ]
    assert out["n"] == N
    assert fuse(f).__doc__ == "Doc."
    same(fuse(f)(Z)["loss"], out["loss"].data)


def test_explain_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    z = Value(Z)
    loss = -(T * np.log(p(z))).sum() / N
    fuse(loss, explain=True)
    assert capsys.readouterr().out == "fuse: loss is now LogSoftmaxNLL\n"
    fuse(z, explain=True)
    assert capsys.readouterr().out == ("fuse: nothing: there is no log of a softmax or a sigmoid\n")
    reasons = {
        "p + eps": "log of add",
        "class weights": "sum to 0.05 in one sample, to 0.4 in another",
        "a shift in one place only": "max of z is left over",
        "two logits off one logsumexp": "logsumexp and the logits",
        "another row's logit": "another row",
        "softmax over the samples": "sum to 0.2 in one sample, to 0.4 in another",
        "softmax over everything": "log of sum",
        "the square of p - t": "no log of a softmax",
        "log1p of p": "log(1 + divide) is not that of a sigmoid",
    }
    for name, reason in reasons.items():
        fuse(NEAR_MISSES[name](Value(Z, name="z")), explain=True)
        assert reason in capsys.readouterr().out, name


@pytest.mark.parametrize("classes", [3, 1000])
def test_targets_of_float32_sum_to_one_as_float32_does(classes: int) -> None:
    table = RNG.uniform(size=(N, classes)).astype(np.float32)
    table /= table.cumsum(axis=1)[:, -1:]
    data = RNG.normal(size=(N, classes)).astype(np.float32)
    exactly = -(table * np.log(p(data.astype(np.float64)))).sum(axis=1)
    log_p = np.log(p(Value(data)))
    for loss, wanted in (
        (-(table * log_p).sum() / N, exactly.mean()),
        (-(table * log_p).sum(axis=1), exactly),
    ):
        new = fuse(loss)
        assert ops(new)[0] == "LogSoftmaxNLL"
        same(new.data, wanted, 2.0**-23)


@pytest.mark.slow
def test_one_row_of_many_counts_in_float32() -> None:
    """What it adds is less than eps times the weights of all rows."""
    n = 2**18
    data = np.zeros((n, 2), np.float32)
    data[0] = 50.0, 0.0
    z = Value(data)
    e = np.exp(z - z.max(axis=1, keepdims=True))
    log_p = np.log(e / e.sum(axis=1, keepdims=True))
    loss = -log_p[np.arange(n), np.zeros(n, int)].mean() + z[0].max() / n
    same(fuse(loss).data, loss.data, 2.0**-23)


def test_what_is_no_graph_is_refused() -> None:
    with pytest.raises(TypeError, match="got ndarray, wanted a Value or a function"):
        fuse(Z)


def test_it_draws_and_checks() -> None:
    f = SPELLINGS["the maximum subtracted"][0]
    z = Value(Z, name="z")
    assert "LogSoftmaxNLL" in draw(fuse(f(z))).dot
    assert "LogSoftmaxNLL" not in draw(f(z)).dot
    assert gradcheck(fuse(f), Z).verdict == "pass"
    assert gradcheck(fuse(BINARY["the textbook's"][0]), Z[:, 0]).verdict == "pass"


@pytest.mark.slow
def test_dask_arrays() -> None:
    dask = need("dask.array")
    z = Value(dask.from_array(Z, chunks=(2, C)))
    loss = -(T * np.log(p(z))).sum() / N
    new = fuse(loss)
    assert ops(new) == ["LogSoftmaxNLL"]
    same(np.asarray(new.data), np.asarray(loss.data))


@pytest.mark.slow
def test_a_long_chain_of_losses_is_read_in_one_sweep() -> None:
    z = Value(np.zeros(3))
    total: Any = 0.0
    for i in range(500):
        total = total + -np.log(p(z * (1.0 + i), 0))[i % 3] + np.square(z).sum()
    new = fuse(total)
    assert ops(new).count("LogSoftmaxNLL") == 500
    same(new.data, 500 * np.log(3))


def test_long_chains_that_are_no_loss_are_not_read_at_every_link(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A rule of a user's, which is read through, counts how often the chain is swept."""
    sweeps: list[int] = []
    passed = primitive(lambda g, out, x: (sweeps.append(1), g)[1], linear=(0,))(lambda x: x + 0.0)
    q = softmax(Value(np.zeros((300, 3))))
    uneven: Any = 0.0
    for i in range(300):
        uneven = passed(uneven - (i % 7 + 0.5) * np.log(q[i, i % 3]))
    assert fuse(uneven, explain=True) is uneven
    assert "sum to 0.5 in one sample, to 6.5 in another" in capsys.readouterr().out
    assert len(sweeps) < 300 * 300 / 4
