"""backward(): the graph it walks, what it leaves in .grad, stale graphs, size, threads."""

from __future__ import annotations

import copy
import gc
import math
import os
import signal
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from conftest import need
from helpers.graphs import random_graph

from tinygrad_ce import StaleGraphError, Value, grad, primitive, topological

A = np.array([[0.5, -1.5, 2.5], [3.5, 0.25, -1.25]])
A.flags.writeable = False  # a Value does not copy: v.data -= step would write into it


# ------------------------------------------------------------------ the graph
@pytest.mark.parametrize("data", [3.0, A])
def test_a_node_used_twice_has_two_edges(data: Any) -> None:
    x = Value(data)
    for node, slope in ((x * x, 2 * data), (x + x, 2 * np.ones(np.shape(data))), (x - x, 0 * data)):
        assert node.parents == (x, x)
        x.grad = None
        node.backward(np.ones(node.shape))
        np.testing.assert_array_equal(x.grad, slope)


def test_the_order_of_parents_is_kept() -> None:
    x, y, z = (Value(A + i) for i in range(3))
    assert (x - y).parents == (x, y)
    assert (y / x).parents == (y, x)
    assert (2.0 / x).parents == (2.0, x)
    assert np.stack([z, x, y, x]).parents[0].parents == (z,)
    assert np.concatenate([z, x, y, x]).parents == (z, x, y, x)
    condition = A > 0
    node = np.where(condition, z, x)
    np.testing.assert_array_equal(node.parents[0], condition)
    assert node.parents[1:] == (z, x)
    assert x.parents == ()
    assert np.sum(x, axis=1, keepdims=True).options == {"axis": 1, "keepdims": True}


def test_topological_lists_each_node_once_parents_first() -> None:
    x, y = Value(2.0), Value(3.0)
    a = x * y
    b = a + x
    c = b * a * b
    nodes = topological(c)
    assert len(nodes) == len(set(nodes)) == 6
    assert nodes[-1] is c
    for i, node in enumerate(nodes):
        assert all(parent in nodes[:i] for parent in node.parents)
    assert x.passes == 0


# ------------------------------------------------------------------ what is in .grad
def test_a_second_backward_doubles_leaves_only() -> None:
    x = Value(2.0)
    square = x * x
    cube = square * x
    cube.backward()
    assert (x.grad, square.grad, cube.grad) == (12.0, 2.0, 1.0)
    cube.backward()
    assert (x.grad, square.grad, cube.grad) == (24.0, 2.0, 1.0)
    square.backward()  # a pass from elsewhere recomputes what it meets
    assert (x.grad, square.grad, cube.grad) == (28.0, 1.0, 1.0)


@pytest.mark.parametrize("data", [[3.0, 0.0], [0.0, 0.0, 1.0], [[0.0], [2.0]]], ids=str)
def test_passes_add_up_where_an_entry_of_the_gradient_is_0_too(data: Any) -> None:
    x = Value(np.array(data))
    for n in (1, 2, 3):
        (x * x).sum().backward()
        np.testing.assert_array_equal(x.grad, 2.0 * n * x.data)
        assert x.passes == n


def test_a_leaf_says_how_many_passes_its_gradient_adds_up() -> None:
    x, w = Value(3.0), Value([1.0, 2.0])
    assert x.passes == w.passes == 0
    for n in (1, 2, 3):
        loss = (w * x).sum()
        loss.backward()
        assert x.passes == w.passes == n
        assert loss.passes == 1
    x.grad = None
    assert x.passes == 0
    x.grad, w.grad[:] = 0.0, 0.0  # set to zero by hand: nothing is added up
    loss.backward()
    assert (x.passes, w.passes) == (1, 1)
    assert x.options == {}


def test_leaves_accumulate_over_graphs_in_tensors_too() -> None:
    x = Value(A)
    for times in (1, 2, 3):
        (x * x).sum().backward()
        np.testing.assert_array_equal(x.grad, 2 * A * times)
    x.grad = None
    x.sum().backward()
    np.testing.assert_array_equal(x.grad, np.ones((2, 3)))


def test_leaves_accumulate_among_many_arguments() -> None:
    xs = [Value([float(i)]) for i in range(4)]
    joined = np.concatenate(xs)
    loss = (joined * joined).sum()
    for times in (1, 2):
        loss.backward()
        assert [x.grad.item() for x in xs] == [2.0 * i * times for i in range(4)]
        np.testing.assert_array_equal(joined.grad, [0.0, 2.0, 4.0, 6.0])


def test_grad_is_none_or_0_until_reached_then_like_the_data() -> None:
    x, y, unused = Value(2.0), Value(A.astype(np.float32)), Value(1.0)
    aside = x * 3.0
    out = (x * y).sum()
    assert (x.grad, y.grad, out.grad) == (0.0, None, None)
    assert x.passes == y.passes == out.passes == 0
    out.backward()
    assert type(x.grad) is float
    assert x.grad == A.sum()
    assert (y.grad.shape, y.grad.dtype) == ((2, 3), np.float32)
    assert unused.grad == aside.grad == 0.0
    assert unused.passes == aside.passes == 0
    scalar = Value(np.array(2.0))
    (scalar * 3.0).backward()
    assert type(scalar.grad) is np.ndarray
    assert scalar.grad.shape == ()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gradients_of_0d_arrays_add_up_to_one(dtype: Any) -> None:
    x = Value(np.array(2.0, dtype))
    for total in (4.0, 8.0):
        (x * x).backward()
        assert x.grad.__class__ is np.ndarray
        assert (x.grad.dtype, x.grad) == (dtype, total)


def test_backward_of_a_leaf() -> None:
    for data, one in ((2.0, 1.0), (np.array([2.0]), np.ones(1))):
        x = Value(data)
        x.backward()
        x.backward()
        np.testing.assert_array_equal(x.grad, 2 * one)


def test_gradient_argument_is_where_the_pass_starts() -> None:
    x = Value(A)
    g = np.arange(6.0).reshape(2, 3)
    (x * x).backward(g)
    np.testing.assert_array_equal(x.grad, 2 * A * g)
    x = Value(3.0)
    (x * x).backward(2)
    assert x.grad == 12.0
    assert type(x.grad) is float
    x = Value([[3.0]])  # one entry: a gradient of 1 is understood
    (x * x).backward()
    np.testing.assert_array_equal(x.grad, [[6.0]])
    x = Value(np.ones(2, np.float32))
    (x * x).backward([1, 2])
    assert x.grad.dtype == np.float32


@pytest.mark.parametrize(
    ("gradient", "error", "message"),
    [
        (None, ValueError, r"this is multiply of shape \(2, 3\).*gradient="),
        (1.0, ValueError, r"got gradient of shape \(\), wanted \(2, 3\)"),
        (np.ones(3), ValueError, r"got gradient of shape \(3,\), wanted \(2, 3\)"),
        (1j * A, TypeError, "complex128"),
        (Value(A), TypeError, "got a Value"),
    ],
)
def test_a_wrong_gradient_argument(gradient: Any, error: type[Exception], message: str) -> None:
    x = Value(A)
    with pytest.raises(error, match=message):
        (x * x).backward(gradient)
    assert x.passes == 0


# ------------------------------------------------------------------ stale graphs
def assign(v: Value) -> None:
    v.data = v.data + 1.0


def step(v: Value) -> None:
    v.data -= 0.1


@pytest.mark.parametrize("change", [assign, step])
@pytest.mark.parametrize("data", [2.0, A])
def test_a_leaf_assigned_after_use_is_caught(change: Callable[[Value], None], data: Any) -> None:
    x, y = Value(data + 0.0, name="weights"), Value(1.0)
    loss = ((x * y) * x).sum()
    change(x)
    for _ in range(2):
        with pytest.raises(StaleGraphError, match=r"weights.*multiply"):
            loss.backward()
    assert x.passes == y.passes == 0
    ((x * y) * x).sum().backward()  # computed again, it works
    np.testing.assert_allclose(x.grad, 2 * x.data)


@pytest.mark.parametrize("change", [assign, step])
def test_a_leaf_assigned_between_two_uses_is_caught(change: Callable[[Value], None]) -> None:
    x = Value(2.0)
    first = x * 3.0
    change(x)
    second = x * 5.0
    with pytest.raises(StaleGraphError):
        (first + second).backward()
    second.backward()  # that part is up to date
    assert x.grad == 5.0


def test_a_leaf_assigned_before_the_graph_is_fine() -> None:
    x, y = Value(2.0), Value(3.0)
    old = y * y
    x.data = 5.0
    (x * y + old).backward()
    assert (x.grad, y.grad) == (3.0, 11.0)


def test_stale_leaves_are_caught_deep_and_among_many_arguments() -> None:
    xs = [Value(float(i)) for i in range(4)]
    out = np.stack(xs)
    for _ in range(100):
        out = out * 1.5
    loss = out.sum()
    xs[3].data = 1.0
    with pytest.raises(StaleGraphError):
        loss.backward()
    with pytest.raises(StaleGraphError):
        topological(loss)
    with pytest.raises(StaleGraphError):  # a transform that closes over such a graph
        grad(lambda y: loss * y)(2.0)


def test_sgd_needs_a_new_graph_each_step_and_gets_it() -> None:
    x = Value(A.copy())
    for _ in range(100):
        x.grad = None
        ((x - 1.0) ** 2).sum().backward()
        x.data -= 0.1 * x.grad
    np.testing.assert_allclose(x.data, 1.0, atol=1e-8)


# ------------------------------------------------------------------ a pass that fails
def failing(g: Any, out: Any, x: Any) -> Any:
    raise KeyError("in a rule")


@pytest.mark.parametrize(
    ("rule", "error", "message"),
    [
        (failing, KeyError, "in a rule"),
        (lambda g, out, x: np.ones(7), ValueError, r"twice returned shape \(7,\), wanted \(2, 3\)"),
        (lambda g, out, x: np.ones((3, 3)), ValueError, r"twice returned shape \(3, 3\)"),
        (lambda g, out, x: None, TypeError, "twice returned None"),
    ],
)
def test_a_failed_backward_leaves_every_grad_as_it_was(
    rule: Any, error: type[Exception], message: str
) -> None:
    twice = primitive(rule, name="twice")(lambda x: 2 * x)
    x, y, z = Value(A), Value(A), Value(2.0)
    (x * y).sum().backward()
    inner = x * z
    loss = (np.exp(twice(inner)) * y).sum() * z
    before = [x.grad, y.grad, z.grad, inner.grad, loss.grad]
    held = copy.deepcopy(before)
    with pytest.raises(error, match=message):
        loss.backward()
    after = [x.grad, y.grad, z.grad, inner.grad, loss.grad]
    assert all(a is b for a, b in zip(after, before))
    for a, b in zip(after, held):
        np.testing.assert_array_equal(a, b)
    (x * y).sum().backward()  # and the leaves still work
    np.testing.assert_array_equal(x.grad, 2 * A)


NO_GRADIENTS: dict[str, Callable[[Any], Any]] = {
    "complex128 data": lambda d: d * (1.0 + 2.0j),
    "a matrix": lambda d: np.asmatrix(np.atleast_2d(d)),
    "a MaskedArray": lambda d: np.ma.masked_array(d),
    "object data": lambda d: np.asarray(d, object),
    "<U3 data": lambda d: np.full(np.shape(d), "0.0"),
}


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
@pytest.mark.parametrize("kind", NO_GRADIENTS)
@pytest.mark.parametrize("shape", [(), (2,), (2, 3)], ids=str)
def test_a_rule_that_returns_what_is_no_array_of_numbers_is_refused(kind: str, shape: Any) -> None:
    odd = primitive(lambda g, out, x: NO_GRADIENTS[kind](g * 2.0), name="odd")(lambda x: x * 2.0)
    v = Value(np.ones(shape))
    with pytest.raises(TypeError, match=f"a VJP of odd: got {kind}"):
        odd(v).backward(np.ones(shape))
    assert v.grad is None


def test_a_rule_may_return_what_broadcasts_to_the_argument() -> None:
    half = primitive(lambda g, out, x: 0.5, name="half")(lambda x: np.sum(x) / 2)
    x = Value(A)
    half(x).backward()
    np.testing.assert_array_equal(x.grad, np.full((2, 3), 0.5))
    x.grad *= 2


# ------------------------------------------------------------------ against PyTorch
@pytest.mark.slow
def test_scalar_expressions_as_pytorch() -> None:
    """Micrograd's check, on expressions of its kind: every operator, and relu on both sides."""
    torch = need("torch")

    def first(x: Any) -> Any:
        z = 2 * x + 2 + x
        q = z.relu() + z * x
        return (z * z).relu() + q + q * x

    def second(a: Any, b: Any) -> Any:
        c = a + b
        d = a * b + b**3
        c = c + c + 1
        c = c + 1 + c - a
        d = d + d * 2 + (b + a).relu()
        d = d + 3 * d + (b - a).relu()
        e = c - d
        f = e**2
        g = f / 2.0
        return g + 10.0 / f - (-a) / 4 + (1 - b)

    for f, numbers in ((first, [-4.0]), (second, [-4.0, 2.0]), (second, [0.3, -1.7])):
        ours = [Value(x) for x in numbers]
        theirs = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in numbers]
        out, wanted = f(*ours), f(*theirs)
        out.backward()
        wanted.backward()
        assert out.data == pytest.approx(wanted.item(), rel=1e-14)
        for v, t in zip(ours, theirs):
            assert v.grad == pytest.approx(t.grad.item(), rel=1e-13)


@pytest.mark.parametrize("tensors", [False, True], ids=["scalars", "tensors"])
@pytest.mark.parametrize("steps", [1, 5, 20, 105])
def test_random_graphs_as_pytorch(steps: int, tensors: bool) -> None:
    torch = need("torch")
    largest = 0
    for seed in range(25):
        rng = np.random.default_rng(seed)
        shapes = [(2, 3), (2, 1), (3,), (1, 3)] if tensors else [()] * 4
        data = [rng.uniform(-1, 1, shape) for shape in shapes]
        ours = [Value(x if tensors else float(x)) for x in data]
        theirs = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in data]
        out = random_graph(np, ours, seed, steps, tensors)
        wanted = random_graph(torch, theirs, seed, steps, tensors)
        largest = max(largest, len(topological(out)))
        out.backward()
        wanted.backward()
        assert float(out.data) == pytest.approx(wanted.item(), rel=1e-12)
        for v, t in zip(ours, theirs):
            if t.grad is None:
                assert v.passes == 0
            else:
                np.testing.assert_allclose(v.grad, t.grad.numpy(), rtol=1e-9, atol=1e-11)
    print(f"{steps} steps: up to {largest} nodes")
    assert steps < 105 or largest >= 200


# ------------------------------------------------------------------ large graphs
@contextmanager
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def chain(x: Value, n: int) -> Value:
    out = x
    for _ in range(n):
        out = out + x
    return out


def seconds(n: int) -> float:
    x = Value(1.0)
    out = chain(x, n)
    start = time.process_time()
    out.backward()
    took = time.process_time() - start
    assert x.grad == n + 1.0
    return took


long = pytest.mark.parametrize(
    "n", [20_000, pytest.param(1_000_000, marks=pytest.mark.slow, id="million")]
)


@long
def test_a_chain_of_a_million_nodes(n: int) -> None:
    """No recursion, and linear time: a quadratic pass would take a day."""
    with no_collector():
        print(f"backward: {seconds(n) / n * 1e9:.0f} ns a node")


@pytest.mark.slow
def test_memory_per_node_is_small_and_freed_by_reference_counting() -> None:
    n = 10_000
    with no_collector():
        values = sum(type(o) is Value for o in gc.get_objects())
        tracemalloc.start()
        x = Value(1.0)
        out = chain(x, n)
        built = tracemalloc.get_traced_memory()[0] / n
        out.backward()
        swept = tracemalloc.get_traced_memory()[0] / n
        assert sum(type(o) is Value for o in gc.get_objects()) == values + n + 1
        del out
        left = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert sum(type(o) is Value for o in gc.get_objects()) == values + 1
    print(f"memory: {built:.0f} bytes a node built, {swept:.0f} after backward, {left} left")
    assert built < 250
    assert left < 10_000


@pytest.mark.slow
def test_graphs_of_tensors_are_freed_by_reference_counting() -> None:
    with no_collector():
        values = sum(type(o) is Value for o in gc.get_objects())
        x = Value(A)
        for _ in range(3):
            p = np.exp(x - x.max()) / np.exp(x - x.max()).sum(axis=-1, keepdims=True)
            loss = -np.log(np.concatenate([p, p])[[0, 1, 1]]).mean()
            loss.backward()
            grad(grad(lambda y, x=x: (y**3 * x).sum()))(2.0)
        del p, loss, x
        assert sum(type(o) is Value for o in gc.get_objects()) == values


# ------------------------------------------------------------------ threads
def in_threads(job: Callable[[int], Any], n: int = 4) -> list[Any]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # switch threads in the middle of everything
    try:
        with ThreadPoolExecutor(n) as pool:
            return list(pool.map(job, range(n)))
    finally:
        sys.setswitchinterval(interval)


def test_four_threads_with_leaves_of_their_own() -> None:
    def job(i: int) -> list[Any]:
        results = []
        for seed in range(15):
            rng = np.random.default_rng([i, seed])
            leaves = [Value(float(x)) for x in rng.uniform(-1, 1, 4)]
            random_graph(np, leaves, seed, 40, tensors=False).backward()
            w = Value(rng.normal(size=(4, 4)))
            for _ in range(2):
                np.tanh(w @ w).sum().backward()
            results.append([*[leaf.grad for leaf in leaves], w.grad.tolist()])
        return results

    assert in_threads(job) == [job(i) for i in range(4)]


def test_four_threads_that_share_leaves() -> None:
    x, w = Value(2.0), Value(A)  # whole numbers and eighths: sums are exact in any order

    def job(i: int) -> None:
        for k in range(100):
            (x * float(i + 1) + x * x).backward()
            (w * w * float(k % 2) + x).sum().backward()

    in_threads(job)
    assert x.grad == sum(100 * (i + 1 + 4.0) + 100 * 6 for i in range(4))
    np.testing.assert_array_equal(w.grad, 4 * 50 * 2 * A)


def test_four_threads_in_transforms_leave_shared_leaves_alone() -> None:
    w = Value(A)
    slope = grad(lambda x: (np.tanh(w * x)).sum())
    alone = slope(0.5)
    for result in in_threads(lambda _: [slope(0.5).data for _ in range(50)]):
        assert all(r == alone.data for r in result)
    assert w.grad is None


@long
def test_a_million_is_not_too_deep_to_delete(n: int) -> None:
    out = Value(1.0)
    for _ in range(n):
        out = -out
    assert math.isfinite(out.data)
    del out  # a recursive release would overflow the stack


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(3,), (1, 3), (2048, 1), (1, 1), ()])
def test_broadcasting_over_a_tall_matrix_is_undone(shape: Any, dtype: Any) -> None:
    rng = np.random.default_rng(0)
    x, weight = (rng.normal(size=(2048, 3)).astype(dtype) for _ in range(2))
    small = Value(rng.normal(size=shape).astype(dtype))
    (weight * (x + small)).sum().backward()
    axes = tuple(i for i, n in enumerate((1,) * (2 - len(shape)) + shape) if n == 1)
    exact = weight.astype(float).sum(axis=axes).reshape(shape)
    assert small.grad.shape == shape
    assert small.grad.dtype == dtype
    np.testing.assert_allclose(small.grad, exact, atol=2e3 * np.finfo(dtype).eps)


SHAPES: list[Any] = [
    *(((32, 3), small) for small in [(3,), (1, 3), (32, 1), (1, 1), ()]),
    ((2, 32, 3), (32, 1)),
    ((2, 3, 4), (1, 4)),
    ((5, 200), (200,)),
    ((0, 3), (3,)),
    ((3, 0), (3, 1)),
]


@pytest.mark.parametrize(("big", "small"), SHAPES)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_broadcasting_is_undone_as_a_sum(big: Any, small: Any, dtype: Any) -> None:
    rng = np.random.default_rng(0)
    weight, v = rng.normal(size=big).astype(dtype), Value(np.zeros(small, dtype))
    (weight + v).backward(weight)
    lead = len(big) - len(small)
    axes = tuple(i for i in range(len(big)) if i < lead or small[i - lead] != big[i])
    exact = weight.astype(float).sum(axis=axes).reshape(small)
    assert v.grad.__class__ is np.ndarray
    assert (v.grad.shape, v.grad.dtype) == (small, dtype)
    np.testing.assert_allclose(v.grad, exact, atol=64 * np.finfo(dtype).eps)


def test_no_leaf_shares_the_array_of_its_gradient() -> None:
    kept = np.array([1.0, 2.0])
    constant = primitive(lambda g, out, x: kept)(lambda x: x * kept)
    x, y, z = (Value([3.0, 4.0]) for _ in range(3))
    total = x + y
    (total + constant(z)).sum().backward()
    for leaf in (x, y, z):
        leaf.grad *= 0.5
    assert kept.tolist() == [1.0, 2.0]
    assert total.grad.tolist() == [1.0, 1.0]
    assert x.grad.tolist() == y.grad.tolist() == [0.5, 0.5]
    assert z.grad.tolist() == [0.5, 1.0]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_during_a_pass_does_not_hang_the_child() -> None:
    """Another thread is in the middle of adding to a leaf when the process forks."""
    adding, forked = threading.Event(), threading.Event()

    class Slow(float):
        def __add__(self, other: float) -> float:
            adding.set()
            assert forked.wait(20)
            return float(self) + other

    v = Value(2.0)
    v.grad = Slow(1.0)
    thread = threading.Thread(target=(v * 3.0).backward)
    thread.start()
    assert adding.wait(20)
    child = os.fork()
    if child == 0:
        signal.alarm(10)  # ends a child that hangs
        w = Value(2.0)
        (w * 5.0).backward()
        os._exit(0 if w.grad == 5.0 else 1)
    _pid, status = os.waitpid(child, 0)
    forked.set()
    thread.join(20)
    assert os.waitstatus_to_exitcode(status) == 0
    assert v.grad == 4.0
