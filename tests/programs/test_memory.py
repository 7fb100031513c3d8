"""Programs that reuse their arrays: what they allocate, and that no result is ever written over."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from allocating import extra
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st
from test_program import LOSSES, ONE, SHAPED, TWO, by_backward, cases, close, graph, textbook

import tinygrad_ce as tg
from tinygrad_ce import program

RNG = np.random.default_rng(0)


def source_of(made: Any) -> Callable[..., Any]:
    names: dict[str, Any] = {}
    exec(made.source, names)
    found: Callable[..., Any] = names.get("loss_and_grad") or names["value"]
    return found


def test_what_is_made_and_gone_again_is_counted() -> None:
    x = np.ones(1000)
    assert extra(lambda: np.exp(x + 1.0), ()) == [8000]
    assert extra(lambda: x[np.arange(200)].sum(), ()) == [1600, 1600]
    out = np.empty(1000)
    assert extra(lambda: np.exp(np.add(x, 1.0, out=out), out=out).sum(), ()) == []


N, K = 300, 7
Z = RNG.normal(size=(N, K))
Y = RNG.integers(0, K, N)
SOFT = RNG.dirichlet(np.ones(K), N)
WEIGHT = np.linspace(1.0, 2.0, K)


def regression(w: Any, b: Any, x: Any, t: Any) -> Any:
    z = x @ w + b
    e = np.exp(z - tg.detach(np.max(tg.detach(z), axis=1, keepdims=True)))
    return -np.mean(np.sum(t * np.log(e / np.sum(e, axis=1, keepdims=True)), axis=1))


def larger(name: str) -> tuple[Any, Any]:
    """A loss of test_program at 300 rows."""
    f, target = LOSSES[name]
    if name == "picked":
        return lambda z, y: -np.mean(tg.log_softmax(z)[np.arange(N), y]), Y
    if "axis" in name:
        return f, RNG.integers(0, N, K)
    if "ght" in name or "all" in name or name == "binary":  # of class weights
        fused = "fused" in name
        if name.startswith("binary"):
            return lambda z, t: tg.binary_cross_entropy(z, t, weight=WEIGHT), SOFT
        how: dict[str, Any] = {"weight": WEIGHT, "fused": fused}
        how |= {"label_smoothing": 0.1} if "smooth" in name or "all" in name else {}
        how |= {"ignore_index": int(Y[0])} if "all" in name else {}
        target = SOFT if "soft" in name else Y
        return lambda z, t: tg.cross_entropy(z, t, **how), target
    if target.ndim == 1:
        return f, Y
    one_hot = (target.max(axis=1) == 1.0).all()
    if name == "logistic":
        return f, np.eye(K)[Y] * 2.0 - 1.0
    return f, np.eye(K)[Y] if one_hot else 3.0 * SOFT if "unnormalized" in name else SOFT


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_makes_no_array_but_its_gradient(name: str) -> None:
    f, target = larger(name)
    for dtype in (np.float64, np.float32):
        z = Z.astype(dtype)
        for clean in (True, False):
            made = program(f, z, target, clean=clean, optimize="memory")
            assert extra(made, (z, target)) == []
            assert extra(source_of(made), (z, target)) == []
    if target.dtype == int:
        short = target.astype(np.int32)
        assert extra(program(f, Z, short, optimize="memory"), (Z, short)) == []


@pytest.mark.parametrize(
    "size", [(1, 4, 3), (32, 4, 3), (150, 4, 3), (256, 64, 10), (512, 784, 10)]
)
def test_softmax_regression_makes_no_array_but_its_gradients(size: Any) -> None:
    n, d, k = size
    args = (
        RNG.normal(size=(d, k)),
        np.zeros(k),
        RNG.normal(size=(n, d)),
        RNG.dirichlet(np.ones(k), n),
    )
    for f in (regression, lambda w, b, x, t: tg.cross_entropy(x @ w + b, t)):
        for wrt in ((0, 1), (0, 1, 2)):
            made = program(f, *args, wrt=wrt, optimize="memory")
            assert extra(made, args) == extra(source_of(made), args) == []
            for got, want in zip(made(*args)[1], by_backward(f, list(args), wrt)[1]):
                close(got, want)


@pytest.mark.parametrize("act", [tg.relu, np.tanh, tg.sigmoid])
def test_two_layers_make_no_array_but_their_gradients(act: Any) -> None:
    params = [RNG.normal(size=s) * 0.1 for s in ((64, 128), (128,), (128, 10), (10,))]
    args = *params, RNG.normal(size=(32, 64)), np.eye(10)[RNG.integers(0, 10, 32)]

    def f(w1: Any, b1: Any, w2: Any, b2: Any, x: Any, t: Any) -> Any:
        return regression(w2, b2, act(x @ w1 + b1), t)

    made = program(f, *args, wrt=range(4), optimize="memory")
    assert extra(made, args) == extra(source_of(made), args) == []
    for got, want in zip(made(*args)[1], by_backward(f, list(args), (0, 1, 2, 3))[1]):
        close(got, want)


@st.composite
def large_cases(draw: Any) -> Any:
    seed = draw(st.integers(0, 99))
    rng = np.random.default_rng(seed)
    shapes = [[(200, 3), (200, 3)], [(300, 2), (2,)], [(300,), (1,)], [(40, 5)], [(3, 200)]]
    args = [rng.normal(size=s) for s in draw(st.sampled_from(shapes))]
    kinds = st.integers(0, len(ONE) + len(SHAPED) + len(TWO) - 1)
    steps = draw(st.lists(st.tuples(kinds, st.integers(0, 9), st.integers(0, 20)), max_size=8))
    return graph(steps, seed), args


@given(large_cases(), st.booleans())
@settings(max_examples=150, phases=[Phase.generate], database=None)
def test_drawn_graphs_make_no_array_but_their_gradients(case: Any, clean: bool) -> None:
    f, args = case
    with np.errstate(all="ignore"):
        try:
            f(*args)
        except IndexError:  # a row that is not there
            assume(False)
    made = program(f, *args, wrt=range(len(args)), clean=clean, optimize="memory")
    assert extra(made, args) == extra(source_of(made), args) == []


SINGLE = RNG.normal(size=(36, 36)).astype(np.float32)
FORMS: dict[str, Callable[[Any], Any]] = {
    "two dtypes": lambda x: np.sum(x * SINGLE),
    "two dtypes, multiplied": lambda x: np.sum(np.tanh(x @ tg.detach(x).astype(np.float32))),
    "their inner product": lambda x: np.sum(x * (SINGLE[::-1].T * SINGLE)),
    "truth values": lambda x: np.sum((x > 0.0) * x + (x < 1.0)),
    "a matrix backwards": lambda x: np.sum((x @ x[::-1, ::2])[:, :3]),
    "a stretched matrix": lambda x: np.sum(np.tanh(x @ np.broadcast_to(x[0], (36, 36)))),
    "rows backwards, summed": lambda x: np.sum(np.sum(x[::-1, ::-1], axis=1) ** 2),
    "turned, then flat": lambda x: np.sum(np.reshape(np.tanh(x).T, -1) * np.reshape(x, -1)),
    "with itself turned": lambda x: np.sum(np.tanh(x * 2.0 + (x * 2.0).T)),
    "where, itself backwards": lambda x: np.sum(np.where(x > 0.0, (x * 2.0)[::-1], x * 2.0)),
    "where, whole numbers": lambda x: np.sum(np.where((tg.detach(x) > 0.0) * 1, x, 0.0)),
    "where, by row": lambda x: np.sum(np.tanh(np.where(x[:, :1] > 0.0, x * 2.0, x))),
    "where, a row": lambda x: np.sum(np.tanh(np.where(x > 0.0, x[0], np.exp(x)))),
    "where, a turned mask": lambda x: np.sum(np.tanh(np.where((x > 0.0).T, x * 2.0, x))),
    "where, turned": lambda x: np.sum(np.tanh(np.where(x > 0.0, (x * 2.0).T, np.exp(x)))),
    "where, two dtypes": lambda x: np.sum(np.tanh(np.where(x > 0.0, SINGLE, x))),
    "where, two numbers": lambda x: np.sum(x * np.where(x > 0.0, 1.0, -2.0)),
    "picked from a turned one": lambda x: np.sum(
        np.exp(x).T[np.arange(36) ** 2 % 36, np.arange(36)]
    ),
    "a fixed mask": lambda x: np.sum(np.exp(x)[np.arange(1296).reshape(36, 36) % 3 == 0]),
    "joined": lambda x: np.sum(np.tanh(np.concatenate([x, x * 2.0], axis=1))),
    "stacked": lambda x: np.sum(np.tanh(np.stack([x, x.T], axis=1))),
    "einsum": lambda x: np.sum(np.tanh(np.einsum("ij,jk->ki", x, x * 3.0))),
    "running sums": lambda x: np.sum(x * np.cumsum(tg.detach(x) * 2.0, axis=0)),
    "running maxima": lambda x: np.sum(x * np.maximum.accumulate(tg.detach(x) * 2.0, axis=0)),
    "powers": lambda x: np.sum((x**2 + 1.0) ** 0.5 + (x**2 + 2.0) ** -1.0 + (x**2 + 2.0) ** 1.7),
    "largest": lambda x: np.sum(np.max(x * 2.0, axis=0) - np.min(x, axis=1)),
    "batches": lambda x: np.sum(
        np.tanh(np.reshape(x, (9, 12, 12)) @ np.reshape(x * 2.0, (9, 12, 12)))
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_each_form_makes_no_array_but_its_gradient(name: str) -> None:
    f, x = FORMS[name], RNG.normal(size=(36, 36))
    made = program(f, np.ones((36, 36)), optimize="memory")
    right, [back] = by_backward(f, [x], (0,))
    with np.errstate(all="ignore"):
        for run in (made, source_of(made)):
            assert extra(run, (x,)) == []
            value, slope = run(x)
            close(value, right)
            close(slope, back)


def test_what_is_printed_is_fast() -> None:
    source = program(FORMS["powers"], SINGLE * 1.0, optimize="memory").source
    assert source.count("np.square(") >= 1
    assert source.count("np.sqrt(") == source.count("np.reciprocal(") == 1
    assert program(FORMS["powers"], SINGLE, optimize="memory")(SINGLE)[1].dtype == np.float32
    relu = program(lambda x: np.sum(tg.relu(x * 2.0)), SINGLE, optimize="memory").source
    assert "np.maximum(multiply_1, 0.0, out=" in relu
    assert "less_equal_1, 0.0)" in relu.partition("backward")[2]
    masked = program(
        lambda x: np.sum(np.where(np.less(x, 1.0), 0.0, x * 2.0)), SINGLE, optimize="memory"
    ).source
    assert "np.putmask(" in masked
    assert "np.copyto" not in masked.partition("backward")[0]
    part = program(lambda x: np.sum(np.tanh(x[1:])), SINGLE, optimize="memory").source
    assert "[1:] = " in part


# ------------------------------------------------------------------ results
@given(cases(), st.booleans())
@settings(max_examples=150, phases=[Phase.generate], database=None)
def test_a_kept_result_stays_and_a_later_one_is_right(case: Any, clean: bool) -> None:
    f, args, wrt, _ = case
    other = [np.asarray(a + 1.0) if isinstance(a, np.ndarray) else a + 1.0 for a in args]
    with np.errstate(all="ignore"):
        wanted = by_backward(f, args, wrt)
        made = program(f, *other, wrt=wrt, clean=clean, optimize="memory")
        for run in (made, source_of(made)):
            value, slopes = run(*args)
            copies = [np.copy(g) for g in slopes]
            run(*other)
            close(value, wanted[0])
            for got, copy, want, again in zip(slopes, copies, wanted[1], run(*args)[1]):
                np.testing.assert_array_equal(got, copy)
                np.testing.assert_array_equal(again, copy)
                close(got, want)


def some_views(x: Any, y: Any) -> Any:
    """Results that are parts of others, of arguments, and of what is computed on the way."""
    a, b = np.exp(x), np.tanh(x) * 2.0
    return {
        "whole": a, "turned": a.T, "again": a, "part": b[:2, 1:], "of x": x[1:],
        "stretched": np.broadcast_to(b[0], (2, 4)), "flat": np.reshape(b.T + 1.0, -1),
        "picked": (b - 1.0)[y], "joined": np.concatenate([a, b]), "sorted": np.sort(a * b, axis=0),
        "moved": np.moveaxis(b * 3.0, 0, 1), "einsum": np.einsum("ij->ji", b * 5.0),
        "rows": np.where(b > 0.0, a, b), "whole numbers": (x > 0.0).astype(int),
        "early": (x * 7.0)[:, 1:], "late": np.sqrt((x * 9.0) ** 2 + 1.0) * 2.0 - 1.0,
        "column": np.sum(a, axis=1), "one": np.reshape(a[:1, :1] * 2.0, ()), "last": a[-1],
    }  # fmt: skip


@pytest.mark.parametrize("clean", [True, False])
def test_results_of_every_kind_belong_to_the_caller(clean: bool) -> None:
    x, y = RNG.normal(size=(3, 4)), np.array([0, -1, 2, 2])
    made = program(some_views, x, y, wrt=None, clean=clean, optimize="memory")
    copied, free = made.source.rfind("_copy = "), made.source.find("FREE.append")
    assert 0 < copied < free, "another call could write into it before"
    for run in (made, source_of(made)):
        kept, wanted = run(x, y), some_views(x, y)
        run(x + 1.0, y)
        for name, want in wanted.items():
            np.testing.assert_allclose(kept[name], want, rtol=1e-13, err_msg=name)
            kept[name][...] = 77  # the caller's own: neither x nor another result
            for other in set(wanted) - {name}:
                assert not np.shares_memory(kept[name], kept[other])
        again = run(x, y)
        for name, want in wanted.items():
            np.testing.assert_allclose(again[name], want, rtol=1e-13, err_msg=name)


def test_threads_share_no_buffers() -> None:
    made = program(textbook, Z, SOFT, optimize="memory")
    for run in (made, source_of(made)):
        data = [RNG.normal(size=Z.shape) for _ in range(8)]
        wanted = [by_backward(textbook, [z, SOFT], (0,))[1][0] for z in data]
        found: list[tuple[int, Any]] = []
        start = threading.Barrier(len(data))

        def work(
            i: int, run: Any = run, data: Any = data, start: Any = start, found: Any = found
        ) -> None:
            start.wait()
            found.extend((i, run(data[i], SOFT)[1]) for _ in range(40))

        threads = [threading.Thread(target=work, args=(i,)) for i in range(len(data))]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert len(found) == 320
        for i, got in found:
            close(got, wanted[i])


def test_a_program_can_be_called_while_it_runs() -> None:
    """NumPy calls back where a division is by zero, for example: in the middle of a line."""

    def f(x: Any) -> Any:
        e = np.exp(x * 1.5)
        return np.sum(e / (x - 1.0) * e)

    x, inner = RNG.normal(size=50), RNG.normal(size=50)
    x[3] = 1.0
    made = program(f, x, optimize="memory")
    for run in (made, source_of(made)):
        with np.errstate(all="ignore"):
            wanted = [program(f, x)(x)[1], program(f, x)(inner)[1]]
        found = []

        def back(kind: str, flag: int, run: Any = run, found: Any = found) -> None:
            with np.errstate(all="ignore"):
                found.append(run(inner)[1])

        with np.errstate(all="ignore", divide="call", call=back):
            outer = run(x)[1]
        assert found
        np.testing.assert_allclose(outer, wanted[0])
        for got in found:
            np.testing.assert_allclose(got, wanted[1])


def test_buffers_are_made_once_and_a_failed_call_leaves_none_behind() -> None:
    def f(z: Any, y: Any) -> Any:
        return -np.mean(tg.log_softmax(z)[np.arange(N), y])

    made = program(f, Z, Y, optimize="memory")
    names: dict[str, Any] = {}
    exec(made.source, names)
    for _ in range(3):
        names["loss_and_grad"](Z, Y)
    [only] = names["FREE"]
    wrong = Y.copy()
    wrong[5] = K
    for run in (made, names["loss_and_grad"]):
        with pytest.raises(IndexError, match="wanted indices from -7 to 6"):
            run(Z, wrong)
        wrong[5] = -K - 1
        with pytest.raises(IndexError, match="wanted indices from -7 to 6"):
            run(Z, wrong)
        wrong[5] = K
        value, slope = run(Z, Y - K)  # from the end
        right, [back] = by_backward(f, [Z, Y], (0,))
        close(value, right)
        close(slope, back)
    assert len(names["FREE"]) == 1
    assert names["FREE"][0] is not only


def test_two_programs_and_two_shapes_share_no_buffers() -> None:
    made = program(textbook, Z, SOFT, optimize="memory")
    other = program(textbook, Z, SOFT, optimize="memory")
    half = Z[:150], SOFT[:150]
    before = made(Z, SOFT)[1], other(2.0 * Z, SOFT)[1], made(*half)[1]
    copies = [b.copy() for b in before]
    made(*half), other(Z, SOFT), made(3.0 * Z, SOFT)
    for b, copy in zip(before, copies):
        np.testing.assert_array_equal(b, copy)
    close(copies[2], by_backward(textbook, list(half), (0,))[1][0])
    assert extra(made, half) == extra(made, (Z, SOFT)) == []
    strict = program(textbook, Z, SOFT, optimize="memory", retrace=False)
    with pytest.raises(ValueError, match="wanted z: float64"):
        strict(*half)


# ------------------------------------------------------------------ what is printed
def test_the_source_shows_buffers_made_once() -> None:
    made = program(textbook, Z[:6, :4], SOFT[:6, :4], optimize="memory")
    for line in (
        "def new_buffers():",
        "        np.empty((6, 4)),",
        "        buffers = FREE.pop()",
        "    e = np.exp(z, out=buffer_1)  # exp, (6, 4)",
        "    FREE.append(buffers)\n    return L, grad_z",
    ):
        assert line in made.source
    assert made.source.count("np.empty") < made.source.count("out=")
    with pytest.raises(ValueError, match=r"this program is for z of shape \(6, 4\)"):
        source_of(made)(Z[:1, :4], SOFT[:6, :4])
    assert "FREE" not in program(lambda a: a * a, 2.0, optimize="memory").source
    assert "FREE" not in program(textbook, Z, SOFT).source
    with pytest.raises(ValueError, match="got optimize='speed', wanted None or 'memory'"):
        program(textbook, Z, SOFT, optimize="speed")


def test_second_derivatives() -> None:
    made = program(tg.hessian(lambda z: tg.cross_entropy(z, 1)), Z[0], optimize="memory")
    p = tg.softmax(Z[1])
    np.testing.assert_allclose(made(Z[1]), np.diag(p) - np.outer(p, p), atol=1e-14)
    both = program(tg.hvp(textbook), Z, SOFT, Z, optimize="memory")
    np.testing.assert_allclose(both(Z, SOFT, Z), tg.hvp(textbook)(Z, SOFT, Z), atol=1e-12)


INDEXED: dict[str, Callable[..., Any]] = {
    "rows": lambda x, i: x[i] * 2.0,
    "cells": lambda x, i: x[i, i % 3] * 2.0,
    "cells of a grid": lambda x, i: x[i[:, None], np.arange(3)] * 2.0,
    "a fixed mask": lambda x, i: x[np.arange(24).reshape(8, 3) % 5 > 2] * 2.0,
    "along": lambda x, i: np.take_along_axis(x, i[:, None], 0) * 2.0,
    "along the last": lambda x, i: np.take_along_axis(x, i[:, None] % 3, axis=-1) * 2.0,
    "turned": lambda x, i: x.T[i % 3, i] * 2.0,
    "of a table": lambda x, i: np.sum(x) * np.take_along_axis(np.arange(8.0), i, 0),
    "rows and a slice": lambda x, i: x[i, 1:] * 2.0,
    "of few": lambda x, i: x[2, i % 3] * 2.0,
}


@pytest.mark.parametrize("name", INDEXED)
@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8])
def test_picking_by_index(name: str, kind: Any) -> None:
    x, i = RNG.normal(size=(8, 3)), np.array([0, 7, 3, 3, 5, 1, 2, 0])

    def f(x: Any, i: Any) -> Any:
        return np.sum(np.tanh(INDEXED[name](x, i)))

    made = program(f, np.ones((8, 3)), np.arange(8).astype(kind), optimize="memory")
    for shift in (
        (0, 8) if kind is not np.uint8 and name in ("rows", "along", "of a table") else (0,)
    ):
        value, slope = made(x, (i - shift).astype(kind))
        right, [back] = by_backward(f, [x, i.astype(kind)], (0,))
        close(value, right)
        close(slope, back)


# ------------------------------------------------------------------ the tests are tested
@pytest.mark.parametrize("name", ["_is_over", "_lifetimes", "_moves", "is_view"])
def test_a_wrong_plan_is_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    module = sys.modules[f"tinygrad_ce.programs.{'memory' if name != '_moves' else 'writing'}"]
    right = getattr(module, name)

    def short(nodes: Any, outputs: Any) -> Any:
        root, last = right(nodes, outputs)
        return root, {r: until if until < math.inf else len(nodes) for r, until in last.items()}

    wrong: dict[str, Any] = {
        "_is_over": lambda node, gone, root: node.shape == gone.shape,
        "_lifetimes": short,
        "_moves": lambda f, args, options: False,
        "is_view": lambda node: False,
    }
    monkeypatch.setattr(module, name, wrong[name])

    def check() -> None:
        f: Any = lambda x, w: np.sum((np.exp(x) @ w) * np.reshape(np.tanh(x @ w).T, (8, 8)))
        args = [RNG.normal(size=(8, 8)), RNG.normal(size=(8, 8))]
        made = program(f, *args, wrt=(0, 1), optimize="memory")
        assert (
            extra(program(f, *[np.ones((20, 20))] * 2, optimize="memory"), [np.ones((20, 20))] * 2)
            == []
        )
        slopes = made(*args)[1]
        made(*[a + 1.0 for a in args])
        for got, want in zip(slopes, by_backward(f, args, (0, 1))[1]):
            close(got, want)

    with pytest.raises((AssertionError, ValueError, TypeError)):
        check()
