"""Arrays that others write to behind the graph's back: right, or refused by name."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_ce import (
    SGD,
    StaleGraphError,
    Value,
    cross_entropy,
    grad,
    hessian,
    jacobian,
    primitive,
    vjp,
)

SIZES = [(3,), (4, 5), (64, 64), (300, 200), (1000, 40)]  # the last two have more than 32 kB
LARGE = [size for size in SIZES if np.prod(size) > 4096]


def array(size: tuple[int, ...], seed: int = 0) -> Any:
    return np.random.default_rng(seed).uniform(0.5, 1.5, size)


def test_a_mask_that_is_reused() -> None:
    mask = np.zeros(3)

    def f(x: Any) -> Any:
        total = 0.0
        for i in range(3):
            mask[:] = 0
            mask[i] = 1
            total = total + (i + 1) * (x * mask).sum()
        return total

    np.testing.assert_array_equal(grad(f)(np.ones(3)), [1.0, 2.0, 3.0])


@pytest.mark.parametrize("twice", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
@pytest.mark.parametrize("size", [(3,), (300, 200)], ids=str)
def test_arrays_that_are_copied_together_with_a_loss(twice: Any, size: Any) -> None:
    """A small constant is the graph's own; of a large one, and of a leaf, a write is seen."""
    x, c = Value(array(size)), array(size, 1)
    loss, leaf, constant = twice(((x * x * c).sum(), x, c))
    constant[...] = 7.0
    if constant.nbytes > 2**15:
        with pytest.raises(StaleGraphError, match="a constant of shape"):
            loss.backward()
    else:
        loss.backward()
        np.testing.assert_allclose(leaf.grad, 2.0 * x.data * c, rtol=1e-14)
    loss, leaf = twice(((x * x).sum(), x))
    leaf.data[...] = 7.0
    with pytest.raises(StaleGraphError, match="a leaf of shape"):
        loss.backward()


@pytest.mark.parametrize("transform", [grad, jacobian, hessian])
def test_a_function_that_assigns_its_variable_after_using_it(transform: Any) -> None:
    def f(x: Any) -> Any:
        y = x**3.0
        x.data = 5.0
        return y

    with pytest.raises(StaleGraphError, match="assigned"):
        transform(f)(0.0)


USES: dict[str, Callable[[Any, Any], Any]] = {
    "multiply": lambda x, c: x * c,
    "from the left": lambda x, c: c / x,
    "where": lambda x, c: np.where(c > 1.0, x, 2.0 * x),
    "maximum": lambda x, c: np.maximum(x, c),
    "concatenate": lambda x, c: np.concatenate([x * x, c]),
    "power": lambda x, c: x**c,
    "of a result": lambda x, c: -x * c,
    "of a result, left": lambda x, c: c - np.exp(x),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
@pytest.mark.parametrize("size", SIZES[:3], ids=str)
def test_a_small_buffer_that_is_refilled_does_not_matter(use: Any, size: Any) -> None:
    x, c = Value(array(size)), array(size, 1)
    loss, other = use(x, c).sum(), Value(array(size))
    use(other, c.copy()).sum().backward()
    c[...] = 7.0
    loss.backward()
    np.testing.assert_array_equal(x.grad, other.grad)


def test_what_was_written_to_has_its_name_and_the_line_that_used_it() -> None:
    weights, params, X = Value(np.ones(3)), [Value(np.ones(3))], np.ones((2000, 3))
    used = {
        "weights": np.exp(weights), "params[0]": 1.0 / params[0], "X": X * weights,
    }  # fmt: skip
    weights.data[0] = params[0].data[0] = 5.0
    X[:] = 2.0
    for name, result in used.items():
        message = (
            rf"^test_stale.py, line \d+: {re.escape(name)} of shape .* was assigned or written"
        )
        with pytest.raises(StaleGraphError, match=message):
            result.backward(np.ones(result.shape))


@pytest.mark.parametrize("use", sorted({*USES} - {"where"}))  # of where it is c > 1.0, a new array
@pytest.mark.parametrize("size", LARGE, ids=str)
def test_a_large_buffer_that_is_refilled_is_refused(use: str, size: Any) -> None:
    x, c = Value(array(size)), array(size, 1)
    loss = USES[use](x, c).sum()
    c[...] = 7.0
    with pytest.raises(StaleGraphError, match=r"(c|a constant) of .* written to .* copy"):
        loss.backward()
    assert x.grad is None


def test_indices_that_change() -> None:
    for index in (np.array([0, 2]), [0, 2], (np.array([0, 2]),)):
        x = Value(array((4,)))
        loss = (x[index] * x[index]).sum()
        (index[0] if isinstance(index, tuple) else index)[0] = 3
        loss.backward()
        np.testing.assert_array_equal(x.grad, 2 * x.data * [1, 0, 1, 0])
    x, k = Value(array((2, 3))), np.array([[0], [2]])
    loss = np.take_along_axis(x, k, axis=1).sum()
    k[:] = 1
    loss.backward()
    np.testing.assert_array_equal(x.grad, [[1, 0, 0], [0, 0, 1]])


class Tagged(np.ndarray):
    """An array that does what NumPy's do."""


HALVES = np.arange(1.0, 5.0) / 2.0
HELD: dict[str, tuple[Callable[[Any, Any], Any], Any]] = {
    "index": (lambda x, k: (x[k] ** 2).sum() + (x[k, None] * 3.0).sum(), np.array([0, 2])),
    "multiply": (lambda x, c: (x * c).sum(), HALVES),
    "constant first": (lambda x, c: (c - x) @ x, HALVES),
    "where": (lambda x, c: np.where(c > 1.0, x, c * x).sum(), HALVES),
    "power": (lambda x, c: (x**c).sum(), HALVES),
    "solve": (lambda x, c: np.linalg.solve(c, x).sum(), np.eye(4) + 0.1),
    "take": (lambda x, k: np.take(x, k).sum(), np.array([0, 0, 1])),
    "take_along_axis": (lambda x, k: np.take_along_axis(x, k, 0).sum(), np.array([0, 0, 1])),
    "repeat": (lambda x, k: np.repeat(x, k).sum(), np.array([0, 3, 1, 1])),
    "roll": (lambda x, k: np.roll(x, k) @ HALVES, np.array([1])),
    "delete": (lambda x, k: np.delete(x, k).sum(), np.array([1])),
    "tile": (lambda x, k: (np.tile(x, k) ** 2).sum(), np.array([2])),
    "pad": (lambda x, k: np.pad(x, k)[1:].sum(), np.array([[1, 2]])),
    "transpose": (
        lambda x, k: (np.transpose(np.outer(x, HALVES), k) * HALVES).sum(),
        np.array([1, 0]),
    ),
    "labels": (lambda x, k: cross_entropy(x[None], k, fused=False), np.array([2])),
    "large": (lambda x, c: (np.resize(x, 9000) * c).sum(), np.ones(9000)),
}


def as_kind(kind: Any, array: Any, folder: Any) -> Any:
    if kind is list:
        return array.tolist()
    if kind is not np.memmap:
        return array.copy().view(kind)
    array.tofile(folder / "array")
    return np.memmap(folder / "array", array.dtype, "r+", shape=array.shape)


def write(held: Any) -> None:
    for i in range(len(held)):
        if isinstance(held[i], list):
            write(held[i])
        else:
            held[i] = (held[i] + 1) % 2


LISTS = ("index", "take", "repeat", "roll", "delete", "tile", "pad", "transpose", "labels")
KINDS = [(name, kind) for name in HELD for kind in (np.ndarray, np.memmap, Tagged)]


@pytest.mark.parametrize(("name", "kind"), [*KINDS, *((name, list) for name in LISTS)])
def test_what_is_held_may_be_of_any_class(name: str, kind: Any, tmp_path: Any) -> None:
    f, array = HELD[name]
    wanted = grad(lambda x: f(x, array))(x := np.array([1.0, 2.0, 0.5, 3.0]))
    held, leaf = as_kind(kind, array, tmp_path), Value(x)
    loss = f(leaf, held)
    write(held)
    try:
        loss.backward()
    except StaleGraphError:
        assert np.size(array) > 4096
    else:
        np.testing.assert_allclose(np.asarray(leaf.grad), wanted)


@pytest.mark.parametrize("kind", [np.memmap, Tagged])
def test_a_leaf_of_another_class_is_watched(kind: Any, tmp_path: Any) -> None:
    x = Value(as_kind(kind, HALVES, tmp_path))
    loss, pulled = (x * x).sum(), vjp(lambda x: x * x, x.data)[1]
    x.data[1] = 5.0
    for run in (loss.backward, lambda: pulled(np.ones(4)), lambda: copy.deepcopy(loss)):
        with pytest.raises(StaleGraphError):
            run()
    with pytest.raises(ValueError, match="read-only"):
        (x * 2.0).data[0] = 1.0


WRITES: dict[str, Callable[[Any], Any]] = {
    "one entry": lambda a: a.__setitem__(0, 3.0),
    "in place": lambda a: np.multiply(a, 2.0, out=a),
    "all": lambda a: a.fill(0.0),
    "turned": lambda a: a.__setitem__(..., a[::-1].copy()),
    "nan": lambda a: a.__setitem__(-1, np.nan),
    "through a view": lambda a: a.T.__setitem__(..., 9.0),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
@pytest.mark.parametrize("size", SIZES[:3], ids=str)
def test_a_leaf_written_to_after_its_use_is_refused(write: Any, size: Any) -> None:
    mine = array(size)
    w = Value(mine, name="w")
    loss = (w * w).sum()
    write(mine if size != (4, 5) else w.data)
    with pytest.raises(StaleGraphError, match="w of shape"):
        loss.backward()
    assert w.grad is None
    loss = (w * w).sum()  # computed again it is right
    loss.backward()
    np.testing.assert_array_equal(w.grad, 2 * w.data)


@given(st.sampled_from(SIZES[:3]), st.data())
def test_any_write_to_a_small_leaf_is_seen(size: tuple[int, ...], data: st.DataObject) -> None:
    w = Value(array(size))
    at = tuple(data.draw(st.integers(0, n - 1)) for n in size)
    loss = np.exp(w).sum()
    w.data[at] = np.nextafter(w.data[at], 9.0)
    with pytest.raises(StaleGraphError):
        loss.backward()


def part(kind: str, size: tuple[int, ...], rng: np.random.Generator) -> Any:
    """A hundredth of the entries of an array, or a few more."""
    n, (rows, columns) = int(np.prod(size)), size
    start, flat = int(rng.integers(0, n - n // 100)), np.zeros(n, bool)
    if kind == "scattered":
        flat[rng.choice(n, n // 100, replace=False)] = True
    elif kind == "block":
        flat[start : start + n // 100] = True
    found = flat.reshape(size)
    if kind == "rows":
        found[rng.choice(rows, -(-rows // 100), replace=False)] = True
    if kind == "columns":
        found[:, rng.choice(columns, -(-columns // 100), replace=False)] = True
    return found


@pytest.mark.parametrize("kind", ["scattered", "block", "rows", "columns"])
@pytest.mark.parametrize("size", LARGE, ids=str)
@pytest.mark.parametrize("order", ["C", "F", "strided"])
def test_a_write_to_a_hundredth_of_a_large_leaf_is_seen(kind: str, size: Any, order: str) -> None:
    rng = np.random.default_rng(0)
    for seed in range(5):
        a = array((2 * size[0], size[1]), seed)[::2] if order == "strided" else array(size, seed)
        w = Value(np.asfortranarray(a) if order == "F" else a, name="w")
        loss = (w * 2.0).sum()
        w.data[part(kind, size, rng)] += 1.0
        with pytest.raises(StaleGraphError, match="w of shape"):
            loss.backward()


def test_training_in_place_is_no_false_alarm() -> None:
    for size in SIZES:
        w, x = Value(array(size)), array(size, 1)
        optimizer = SGD([w], lr=0.01)
        wanted = w.data.copy()
        for _ in range(3):
            w.grad = None
            ((w - x) ** 2).sum().backward()
            optimizer.step()
            wanted = wanted - 0.01 * (2 * (wanted - x))
        np.testing.assert_allclose(w.data, wanted, rtol=1e-12)
        for _ in range(3):  # by hand, in place or not, through the property or the array
            loss = (w * w).sum()
            loss.backward()
            w.data -= 0.1 * w.data
            w.data[...] = w.data - 0.1
            w.data = w.data + 0.0


def test_an_old_graph_over_data_that_were_written_to_and_used_again_is_refused() -> None:
    w = Value(array((3,)), name="w")
    old = (w * w).sum()
    w.data[0] = 3.0
    new = (w * w).sum()
    new.backward()
    with pytest.raises(StaleGraphError, match="w of shape"):
        old.backward()


def test_a_pullback_knows_its_argument() -> None:
    x = array((3,))
    _value, pullback = vjp(lambda x: (x * x).sum(), x)
    pullback(1.0)
    x[0] = 9.0
    with pytest.raises(StaleGraphError):
        pullback(1.0)


@pytest.mark.parametrize(
    "write",
    [
        lambda w, x: w.data.__setitem__(0, 3.0),
        lambda w, x: setattr(w, "data", w.data + 1.0),
        lambda w, x: x.__setitem__(0, 3.0),
    ],
    ids=["in place", "assigned", "a plain argument"],
)
def test_a_gradient_that_rests_on_a_value_knows_its_arguments(write: Any) -> None:
    w, x = Value(array((3,))), array((3,), 1)
    slopes = grad(lambda w, x: (w * w * x**3.0).sum(), (0, 1))(w, x)
    loss = slopes[0].sum() + slopes[1].sum()
    loss.backward()
    np.testing.assert_allclose(w.grad, 2.0 * x**3 + 6.0 * w.data * x**2)
    write(w, x)
    with pytest.raises(StaleGraphError):
        loss.backward()


def test_targets_that_change() -> None:
    z, t = array((4, 3)), np.array([0, 1, 2, 0])
    soft = np.full((4, 3), 1 / 3)
    for target in (t, soft):
        for fused in (True, False):
            v, w = Value(z), Value(z)
            cross_entropy(w, target.copy(), fused=fused).backward()
            loss = cross_entropy(v, target, fused=fused)
            before = target.copy()
            target[:] = target[::-1].copy()
            target[0] = 0
            loss.backward()
            np.testing.assert_array_equal(v.grad, w.grad)
            target[:] = before


def test_options_that_change() -> None:
    x, axes = Value(array((2, 3))), [1, 0]
    loss = (np.transpose(x, axes) * np.arange(6.0).reshape(3, 2)).sum()
    axes.reverse()
    loss.backward()
    np.testing.assert_array_equal(x.grad, np.arange(6.0).reshape(3, 2).T)
    scaled = primitive(lambda g, out, x, *, by: g * by, name="scaled")(lambda x, *, by: x * by)
    y, by = Value(array((3,))), np.array([1.0, 2.0, 3.0])
    loss = scaled(y, by=by).sum()
    by[:] = 9.0
    loss.backward()
    np.testing.assert_array_equal(y.grad, [1.0, 2.0, 3.0])


@pytest.mark.parametrize(
    "write",
    [
        lambda h: h.data.__setitem__(0, 9.0),
        lambda h: np.multiply(h.data, 2.0, out=h.data),
        lambda h: h.data.sort(),
        lambda h: h.data.__isub__(1.0),
        lambda h: h.data.fill(0.0),
    ],
)
def test_the_data_of_a_result_cannot_be_written_to(write: Any) -> None:
    w = Value([1.0, 2.0])
    h = np.exp(w)
    loss = (h * h).sum()
    with pytest.raises(ValueError, match="read-only"):
        write(h)
    loss.backward()
    np.testing.assert_allclose(w.grad, 2 * np.exp([2.0, 4.0]), rtol=1e-15)
    w.data[0] = 3.0  # a leaf's can


@pytest.mark.parametrize("kind", [np.asarray, Value])
@pytest.mark.parametrize("f", [lambda x, w: (x * x * w).sum(), lambda x, w: (x**3.0 * w).sum()])
def test_a_gradient_whose_rule_read_an_argument_knows_that_it_was_written_to(
    f: Any, kind: Any
) -> None:
    w, array_of_x = Value(array((3,))), array((3,), 1)
    loss = grad(lambda x: f(x, w))(kind(array_of_x)).sum()
    array_of_x[0] = 3.0
    with pytest.raises(StaleGraphError):
        loss.backward()
