"""Bad input to the engine gets one clear line: what was got, what was wanted, what to do."""

# ruff: noqa: E501 - a case of the table is one line
from __future__ import annotations

import datetime
import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers.errors import LOST, REAL, Case, X, a, check, s, square, table, v

from tinygrad_ce import StaleGraphError, Value, cross_entropy, primitive

HAVE_GRAD = 7.0


def user(vjp: Any, fn: Any = np.exp) -> Any:
    """A user's primitive, not left in the table."""
    return primitive(vjp, name="mine")(lambda x: fn(x))


def stale(change: Callable[[Value], Any]) -> None:
    w = v()
    loss = (w * w).sum()
    change(w)
    loss.backward()


def set_data(x: Value, new: Any) -> None:
    x.data = new


def subclass() -> Any:
    return type("Mine", (Value,), {})


# fmt: off
CASES: list[Case] = [
    # Data of a Value
    ("complex number", lambda: Value(1j), TypeError, ["Value()", "complex128", REAL]),
    ("complex array", lambda: Value(X * 1j), TypeError, ["complex128", REAL]),
    ("text", lambda: Value("1.0"), TypeError, ["<U3", REAL]),
    ("texts", lambda: Value(["1", "2"]), TypeError, ["<U1", REAL]),
    ("bytes", lambda: Value(b"1"), TypeError, ["|S1", REAL]),
    ("None", lambda: Value(None), TypeError, ["object", REAL]),
    ("object", lambda: Value(object()), TypeError, ["object", REAL]),
    ("dict", lambda: Value({"a": 1.0}), TypeError, ["object", REAL]),
    ("generator", lambda: Value(x for x in X), TypeError, ["object", REAL]),
    ("ragged list", lambda: Value([[1.0], [1.0, 2.0]]), ValueError, ["Value()", "(2,)", "inhomogeneous"]),
    ("huge int", lambda: Value(10**400), ValueError, ["Value()", "too large"]),
    ("date", lambda: Value(datetime.date(2020, 1, 1)), TypeError, ["object", REAL]),
    ("datetime64", lambda: Value(np.datetime64("2020-01-01")), TypeError, ["datetime64", REAL]),
    ("timedelta64", lambda: Value(np.timedelta64(1, "D")), TypeError, ["timedelta64", REAL]),
    ("record array", lambda: Value(np.zeros(2, [("a", float)])), TypeError, ["('a', '<f8')", REAL]),
    ("list of Values", lambda: Value([s(), s()]), TypeError, [LOST, "np.stack([v, w])"]),
    ("Value of a Value", lambda: Value(s()), TypeError, ["Value(value)", LOST, "Value(value.data)"]),
    ("subclass", subclass, TypeError, ["Mine", "no subclasses"]),
    ("masked array", lambda: Value(np.ma.masked_array(X)), TypeError, ["Value()", "MaskedArray", "m.filled"]),
    ("masked constant", lambda: v() * np.ma.masked_array(X), TypeError, ["multiply", "MaskedArray", "m.filled"]),
    ("masked condition", lambda: np.where(np.ma.masked_array(X) > 0, v(), 0.0), TypeError, ["where", "MaskedArray"]),
    ("masked index", lambda: v()[np.ma.masked_array([0, 1])], TypeError, ["an index", "MaskedArray"]),
    ("masked mask", lambda: v()[np.ma.masked_array(X) > 0], TypeError, ["an index", "MaskedArray"]),
    ("masked index of two", lambda: a()[0, np.ma.masked_array([0])], TypeError, ["an index", "MaskedArray"]),
    ("masked where=", lambda: np.mean(v(), where=np.ma.masked_array(X) > 0), TypeError, ["where=", "MaskedArray"]),
    ("masked array first", lambda: np.ma.masked_array(X) * v(), TypeError, [LOST]),
    ("np.ma.log", lambda: np.ma.log(v()), TypeError, [LOST]),
    ("matrix", lambda: Value(X.view(np.matrix)), TypeError, ["Value()", "matrix", "np.asarray(m)"]),
    ("matrix first", lambda: X.view(np.matrix) * v(), TypeError, ["multiply", "matrix", "np.asarray(m)"]),
    ("masked labels", lambda: cross_entropy(X, np.ma.masked_array([1])), TypeError, ["MaskedArray"]),
    ("masked logits", lambda: cross_entropy(np.ma.masked_array(X), 1), TypeError, ["MaskedArray"]),
    # Shapes
    ("add", lambda: v() + Value([1.0, 2.0], name="b"), ValueError, ["add", "w (3,)", "b (2,)"]),
    ("add, array left", lambda: np.ones(2) + v(), ValueError, ["add", "(2,)", "w (3,)"]),
    ("maximum", lambda: np.maximum(a(), np.ones((4, 3))), ValueError, ["maximum", "A (2, 3)", "(4, 3)"]),
    ("where", lambda: np.where(np.ones(2, bool), v(), 0.0), ValueError, ["where", "(2,)", "w (3,)"]),
    ("matmul", lambda: a() @ a(), ValueError, ["matmul", "A (2, 3), A (2, 3)"]),
    ("matmul, vector", lambda: v() @ np.ones(2), ValueError, ["matmul", "w (3,)", "(2,)"]),
    ("matmul, 0-d left", lambda: s() @ v(), ValueError, ["matmul", "s ()", "w (3,)"]),
    ("matmul, 0-d right", lambda: v() @ 2.0, ValueError, ["matmul", "w (3,)", "()"]),
    ("dot", lambda: np.dot(a(), a()), ValueError, ["A (2, 3), A (2, 3)"]),
    ("reshape", lambda: v().reshape(2, 2), ValueError, ["reshape", "w (3,)", "(2,2)"]),
    ("reshape, two -1", lambda: v().reshape(-1, -1), ValueError, ["reshape", "w (3,)", "one unknown"]),
    ("reshape, float", lambda: v().reshape(1.5), TypeError, ["reshape", "w (3,)", "1.5", "integer"]),
    ("reshape, Value", lambda: v().reshape(s()), TypeError, ["reshape", "w (3,)", "Value(2.0", "integer"]),
    ("reshape, order=", lambda: np.reshape(v(), 3, order="A"), ValueError, ["reshape", "'A'", "'F'"]),
    ("transpose", lambda: a().transpose(0, 2), ValueError, ["transpose", "A (2, 3)", "axis 2"]),
    ("transpose, twice", lambda: a().transpose(0, 0), ValueError, ["transpose", "A (2, 3)", "repeated"]),
    ("transpose, one", lambda: a().transpose(0), ValueError, ["transpose", "A (2, 3)", "axes"]),
    ("transpose, Value", lambda: a().transpose(s()), TypeError, ["transpose", "A (2, 3)", "integer"]),
    ("swapaxes", lambda: a().swapaxes(0, 5), ValueError, ["swapaxes", "A (2, 3)", "axis 5"]),
    ("squeeze", lambda: a().squeeze(0), ValueError, ["squeeze", "A (2, 3)", "not equal to one"]),
    ("expand_dims", lambda: np.expand_dims(a(), 5), ValueError, ["expand_dims", "A (2, 3)", "axis 5"]),
    ("broadcast_to", lambda: np.broadcast_to(v(), (2, 2)), ValueError, ["broadcast_to", "w (3,)", "(2,2)"]),
    ("sum, axis", lambda: a().sum(axis=2), ValueError, ["sum", "A (2, 3)", "axis 2"]),
    ("sum, axis twice", lambda: a().sum(axis=(0, 0)), ValueError, ["sum", "A (2, 3)", "duplicate"]),
    ("sum, axis float", lambda: a().sum(axis=1.0), TypeError, ["sum", "A (2, 3)", "float", "integer"]),
    ("sum, axis text", lambda: a().sum(axis="x"), TypeError, ["sum", "A (2, 3)", "str", "integer"]),
    ("sum, axis Value", lambda: a().sum(axis=s()), TypeError, ["sum", "A (2, 3)", "int(v.data)"]),
    ("sum, keepdims Value", lambda: a().sum(keepdims=s()), TypeError, ["sum", "A (2, 3)", "int(v.data)"]),
    ("max of nothing", lambda: Value(np.ones((0, 3))).max(axis=0), ValueError, ["max", "(0, 3)"]),
    ("concatenate", lambda: np.concatenate([v(), a()]), ValueError, ["concatenate", "w (3,)", "A (2, 3)"]),
    ("concatenate, axis", lambda: np.concatenate([v(), v()], axis=1), ValueError, ["concatenate", "w (3,)", "axis 1"]),
    ("concatenate, scalars", lambda: np.concatenate([s(), s()]), ValueError, ["concatenate", "s ()", "zero-dimensional"]),
    ("concatenate, text", lambda: np.concatenate([v(), ["a"]]), TypeError, ["concatenate", "<U1", REAL]),
    ("stack", lambda: np.stack([v(), a()]), ValueError, ["concatenate", "(1, 2, 3)", "(1, 3)"]),
    ("stack, axis", lambda: np.stack([v(), v()], axis=3), ValueError, ["w (3,)", "axis 3"]),
    ("einsum, sizes", lambda: np.einsum("ij,jk->ik", a(), a()), ValueError, ["einsum", "A (2, 3), A (2, 3)"]),
    ("einsum, rank", lambda: np.einsum("ijk->i", a()), ValueError, ["einsum", "A (2, 3)", "too many subscripts"]),
    ("einsum, count", lambda: np.einsum("i,i", v()), ValueError, ["einsum", "number of operands"]),
    ("einsum, diagonal", lambda: np.einsum("ii", Value(np.ones((1, 3)))), ValueError, ["einsum", "(1, 3)", "'i'"]),
    ("einsum, letter", lambda: np.einsum("i->j", v()), ValueError, ["einsum", "w (3,)", "'j'"]),
    ("take_along_axis", lambda: np.take_along_axis(a(), np.array([[3]]), 1), IndexError, ["A (2, 3)", "index 3", "size 3"]),
    ("take_along_axis, rank", lambda: np.take_along_axis(a(), np.array([1]), 1), ValueError, ["A (2, 3), (1,)"]),
    ("take_along_axis, axis", lambda: np.take_along_axis(a(), np.array([[1]]), 4), ValueError, ["A (2, 3)", "axis 4"]),
    ("take_along_axis, float", lambda: np.take_along_axis(a(), np.array([[1.0]]), 1), IndexError, ["A (2, 3)", "integer array"]),
    ("take_along_axis, Value", lambda: np.take_along_axis(a(), a(), 1), TypeError, ["take_along_axis", "v.data"]),
    ("clip", lambda: np.clip(v(), np.ones(2), 1.0), ValueError, ["clip", "w (3,)", "(2,)"]),
    ("clip, text", lambda: v().clip("a", 2), TypeError, ["clip", "<U1", REAL]),
    # Indices
    ("index", lambda: v()[3], IndexError, ["getitem", "w (3,)", "[3]", "size 3"]),
    ("negative index", lambda: v()[-4], IndexError, ["w (3,)", "[-4]", "size 3"]),
    ("too many indices", lambda: v()[0, 0], IndexError, ["w (3,)", "[(0, 0)]", "too many"]),
    ("index of a scalar", lambda: s()[0], IndexError, ["s ()", "[0]", "too many"]),
    ("index list", lambda: v()[[0, 5]], IndexError, ["w (3,)", "[0, 5]", "index 5"]),
    ("float index", lambda: v()[1.0], IndexError, ["w (3,)", "[1.0]", "only integers"]),
    ("float array index", lambda: v()[np.array([1.0])], IndexError, ["w (3,)", "array([1.])", "integer"]),
    ("text index", lambda: v()["a"], IndexError, ["w (3,)", "['a']", "only integers"]),
    ("mask", lambda: v()[np.array([True, False])], IndexError, ["w (3,)", "size of axis is 3", "is 2"]),
    ("Value as index", lambda: v()[s()], TypeError, ["Value cannot be an index", "v[i.data]"]),
    ("Value in an index", lambda: a()[0, s()], TypeError, ["Value cannot be an index", "v[i.data]"]),
    ("Value in a slice", lambda: v()[s():], TypeError, ["w (3,)", "int(v.data)"]),
    ("Value indexing a list", lambda: [1, 2, 3][s()], TypeError, [LOST, "int(v.data)"]),
    ("Value in a range", lambda: range(s()), TypeError, [LOST, "int(v.data)"]),
    ("item assignment", lambda: operator.setitem(v(), 0, 5.0), TypeError, [LOST, "np.where", "np.stack", "v.data[0] = 5"]),
    ("item assignment of a Value", lambda: operator.setitem(a(), (0, 0), s()), TypeError, [LOST, "np.stack"]),
    ("item deletion", lambda: operator.delitem(v(), 0), TypeError, ["Value", LOST]),
    # What would lose a gradient
    ("float", lambda: float(s()), TypeError, ["float, which takes", LOST, "v.data", "np.exp"]),
    ("int", lambda: int(s()), TypeError, [LOST, "int(v.data)"]),
    ("complex", lambda: complex(s()), TypeError, [LOST, "v.data"]),
    ("math.exp", lambda: math.exp(s()), TypeError, [LOST, "np.exp"]),
    ("math.log", lambda: math.log(s()), TypeError, [LOST, "math.log", "np.log"]),
    ("math.sqrt of a vector", lambda: math.sqrt(v()), TypeError, ["math.sqrt, which", LOST, "Use np.sqrt."]),
    ("a vector into an array", lambda: operator.setitem(np.zeros((2, 3)), 0, v()), TypeError, [LOST, "r[i] = v", "collect in a list, then np.stack"]),
    ("a vector into a slice", lambda: operator.setitem(np.zeros(3), slice(None), v()), TypeError, [LOST, "collect in a list, then np.stack"]),
    ("np.full", lambda: np.full(3, s()), TypeError, ["np.full, which", LOST, "np.broadcast_to(v, shape)"]),
    *(
        (f"np.{name} of a Value", lambda f=f, args=args: f(*args), TypeError,
         [LOST, f"np.{name}", "np.where", "collect in a list, then np.stack"])
        for name, f, args in [
            ("copyto", np.copyto, (np.zeros(3), v())), ("put", np.put, (np.zeros(3), [0], s())),
            ("place", np.place, (np.zeros(3), X > 0, v())), ("putmask", np.putmask, (np.zeros(3), X > 0, v())),
            ("fill_diagonal", np.fill_diagonal, (a(), 1.0)), ("add.at", np.add.at, (np.zeros(3), [0], s())),
        ]
    ),
    # What other libraries' arrays have
    ("item()", lambda: s().item(), AttributeError, ["has no item(): float(v.data)"]),
    ("detach()", lambda: v().detach(), AttributeError, ["has no detach(): v.data"]),
    ("numpy()", lambda: v().numpy(), AttributeError, ["has no numpy() or cpu(): v.data"]),
    ("cpu()", lambda: v().cpu(), AttributeError, ["has no numpy() or cpu(): v.data"]),
    ("astype()", lambda: v().astype(int), TypeError, ["dtype=int64", "a float type"]),
    ("zero_grad()", lambda: v().zero_grad(), AttributeError, ["has no zero_grad(): v.grad = None"]),
    ("asarray", lambda: np.asarray(v()), TypeError, [LOST, "v.data", "np.stack"]),
    ("asarray, dtype", lambda: np.asarray(v(), np.float32), TypeError, [LOST, "v.data"]),
    ("array of Values", lambda: np.array([v(), v()]), TypeError, [LOST, "np.stack([v, w])"]),
    ("array of scalars", lambda: np.array([s(), s()]), TypeError, [LOST, "np.stack([v, w])"]),
    ("list into a function", lambda: np.exp([s(), s()]), TypeError, [LOST, "np.stack([v, w])"]),
    ("out=", lambda: np.exp(v(), out=np.empty(3)), TypeError, ["exp", LOST, "makes a new Value"]),
    ("out= a Value", lambda: np.add(X, 1.0, out=v()), TypeError, ["add", LOST]),
    ("in place", lambda: operator.iadd(np.ones(3), v()), TypeError, ["in-place add", LOST, "a = a + v"]),
    ("in place, @", lambda: operator.imatmul(np.eye(3), Value(np.eye(3))), TypeError, ["in-place matmul", LOST]),
    ("truth", lambda: bool(v()), TypeError, ["shape (3,)", "v.data.any()", "v.data.all()"]),
    ("truth of (1,)", lambda: bool(Value([1.0])), TypeError, ["shape (1,)", "v.data.any()"]),
    ("len of a scalar", lambda: len(s()), TypeError, ["Value(2.0, name='s')", "scalar"]),
    ("iter of a scalar", lambda: list(s()), TypeError, ["Value(2.0, name='s')", "scalar"]),
    # Options and functions that are not there
    ("where=", lambda: np.add(v(), v(), where=np.ones(3, bool)), TypeError, ["add", "'where'"]),
    ("dtype=", lambda: np.exp(v(), dtype=np.float32), TypeError, ["exp", "'dtype'"]),
    ("casting=", lambda: np.add(v(), 1.0, casting="unsafe"), TypeError, ["add", "'casting'"]),
    ("sum, where=", lambda: np.sum(v(), where=np.ones((2, 3), bool)), ValueError, ["dimensions"]),
    ("max, where=", lambda: np.max(v(), where=np.ones(3, bool)), ValueError, ["max", "initial"]),
    ("sum, dtype=", lambda: v().sum(dtype=int), TypeError, ["dtype=int64", "a float type"]),
    ("var, ddof", lambda: np.var(v(), bias=True), TypeError, ["bias"]),
    ("average", lambda: np.average(v(), out=1), TypeError, ["out"]),
    ("pad, mode", lambda: np.pad(v(), 1, "mean"), ValueError, ["pad", "'mean'", "reflect"]),
    ("cross", lambda: np.cross(v()[:2], v()[:2]), ValueError, ["cross", "3"]),
    ("split", lambda: np.split(v(), 2), ValueError, ["equal division"]),
    ("tile", lambda: np.tile(v(), v()), TypeError, ["lose the gradient"]),
    ("tile of an array", lambda: np.tile(X, s()), TypeError, ["tile: reps is a Value, which would lose"]),
    ("split, places", lambda: np.split(v(), v()), TypeError, ["lose the gradient", "v.data"]),
    ("full", lambda: np.full(3, v()[0]), TypeError, ["np.full", "np.broadcast_to"]),
    ("pad, value", lambda: np.pad(np.ones(2), 1, constant_values=v()[0]), TypeError, ["np.pad"]),
    ("a list", lambda: np.sum([v(), v()]), TypeError, ["np.stack"]),
    ("sum, out=", lambda: np.sum(v(), out=np.empty(())), TypeError, ["sum", "'out'"]),
    ("sum, by position", lambda: v().sum(0, float, 0), TypeError, ["sum", "'out'", "axis=None"]),
    ("concatenate, out=", lambda: np.concatenate([v(), v()], out=np.empty(6)), TypeError, ["concatenate", "out"]),
    ("clip, out=", lambda: np.clip(v(), 0, 1, out=np.empty(3)), TypeError, ["clip", "out"]),
    ("einsum, out=", lambda: np.einsum("i->i", v(), out=np.empty(3)), TypeError, ["einsum", "out"]),
    ("where of two", lambda: np.where(v() > 1, v()), TypeError, ["where", "missing", "'y'"]),
    ("where on a Value", lambda: np.where(v(), 1.0, 2.0), TypeError, ["where", LOST, "v.data"]),
    *(
        (f"np.{name}", lambda f=f, args=args: f(*args), NotImplementedError,
         [f"np.{name} has no rule", "v.data", "@primitive"])
        for name, f, args in [
            ("i0", np.i0, (v(),)), ("unwrap", np.unwrap, (v(),)),
            ("histogram", np.histogram, (v(),)), ("frexp", np.frexp, (v(),)),
            ("cov", np.cov, (v(),)), ("linalg.cond", np.linalg.cond, (a(),)),
            ("fft.fft", np.fft.fft, (v(),)), ("ldexp", np.ldexp, (v(), 1)),
            ("subtract.accumulate", np.subtract.accumulate, (v(),)),
            ("logaddexp.reduce", np.logaddexp.reduce, (v(),)),
            ("add.reduceat", np.add.reduceat, (v(), [0])),
        ]
    ),
    # backward, data
    ("backward of an array", lambda: (v() * 1).backward(), ValueError, ["multiply", "(3,)", ".sum()", "gradient="]),
    ("backward of a named leaf", lambda: v().backward(), ValueError, ["w of shape (3,)", ".mean()"]),
    ("backward of an empty leaf", lambda: Value([]).backward(), ValueError, ["a leaf of shape (0,)", ".sum()"]),
    ("gradient=, shape", lambda: v().backward(np.ones(2)), ValueError, ["(2,)", "(3,)"]),
    ("gradient=, number", lambda: v().backward(1.0), ValueError, ["()", "(3,)"]),
    ("gradient=, complex", lambda: v().backward(X * 1j), TypeError, ["gradient=", "complex128", REAL]),
    ("gradient=, text", lambda: v().backward("a"), TypeError, ["gradient=", "<U1", REAL]),
    ("gradient=, ragged", lambda: v().backward([1, [2], 3]), ValueError, ["gradient=", "inhomogeneous"]),
    ("gradient=, Value", lambda: v().backward(v()), TypeError, ["gradient=", "Value", "data"]),
    ("stale", lambda: stale(lambda w: set_data(w, X)), StaleGraphError, ["w of shape (3,)", "multiply", "again"]),
    ("stale, -=", lambda: stale(lambda w: set_data(w, w.data - 1)), StaleGraphError, ["w of shape (3,)", "again"]),
    ("data, shape", lambda: set_data(v(), np.ones(2)), ValueError, ["data", "(2,)", "(3,)"]),
    ("data, number", lambda: set_data(v(), 1.0), ValueError, ["data", "()", "(3,)"]),
    ("data, complex", lambda: set_data(v(), X * 1j), TypeError, ["data", "complex128", REAL]),
    ("data, text", lambda: set_data(s(), "a"), TypeError, ["data", "<U1", REAL]),
    ("data, ragged", lambda: set_data(v(), [1, [2], 3]), ValueError, ["data", "inhomogeneous"]),
    ("data of a result", lambda: set_data(v().exp(), X), StaleGraphError, ["result of exp", "Value(...)"]),
    # primitive
    ("no VJP", primitive, TypeError, ["primitive()", "VJP", "got ()"]),
    ("only None", lambda: primitive(None), TypeError, ["primitive()", "(None,)"]),
    ("VJP not callable", lambda: primitive(3), TypeError, ["primitive()", "VJP", "(3,)"]),
    ("VJP of three", lambda: primitive((len, "a", "b")), TypeError, ["primitive()", "'b'"]),
    ("no function", lambda: primitive(len)(3), TypeError, ["primitive(vjp, ...)", "function", "3"]),
    ("decorator without VJP", lambda: primitive(lambda x: x)(s()), TypeError, ["primitive(vjp, ...)", "Value(2.0"]),
    ("VJP gives None", lambda: user(lambda g, out, x: None)(v()).sum().backward(), TypeError, ["mine", "None"]),
    ("VJP gives text", lambda: user(lambda g, out, x: "a")(s()).backward(), TypeError, ["mine", "<U1"]),
    ("VJP gives a tuple", lambda: user(lambda g, out, x: (g,))(v()).sum().backward(), TypeError, ["mine", "one argument"]),
    ("VJP of wrong shape", lambda: user(lambda g, out, x: np.ones(5))(v()).sum().backward(), ValueError, ["mine", "(5,)", "(3,)"]),
    ("VJP of too few arguments", lambda: user(lambda g, out: g)(v()).sum().backward(), TypeError, ["mine", "argument"]),
    ("too many arguments", lambda: user(lambda g, out, x: g)(v(), v()), TypeError, ["mine", "too many positional", "(x)"]),
    ("unknown option", lambda: user(lambda g, out, x: g)(v(), k=1), TypeError, ["mine", "'k'"]),
    ("complex result", lambda: user(lambda g, out, x: g, lambda x: x * 1j)(v()), TypeError, ["mine", "complex128"]),
    ("no result", lambda: user(lambda g, out, x: g, lambda x: None)(v()), TypeError, ["mine", "object"]),
]
# A constant of every wrong kind, on either side of every operator
OPERATORS = {
    "add": operator.add, "subtract": operator.sub, "multiply": operator.mul,
    "divide": operator.truediv, "power": operator.pow, "matmul": operator.matmul,
}
CONSTANTS: list[tuple[Any, type[Exception], list[str]]] = [
    (1j, TypeError, ["complex128", REAL]), ("a", TypeError, ["<U1", REAL]),
    (None, TypeError, ["object", REAL]), ({}, TypeError, ["object", REAL]),
    (np.datetime64("2020"), TypeError, ["datetime64", REAL]),
    (np.array([1, None, 2]), TypeError, ["object", REAL]),
    ([[1.0], [1.0, 2.0]], ValueError, ["(2,)", "inhomogeneous"]),
]
CASES += [
    (f"{name}, {side} {c!r}", lambda f=f, args=args: f(*args), error, [name, *words])
    for name, f in OPERATORS.items()
    for c, error, words in CONSTANTS
    for side, args in [("left", (c, v())), ("right", (v(), c))]
]
CASES += [
    (f"{name}, list of Values", lambda f=f: f(v(), [s()] * 3), TypeError, [LOST, "np.stack"])
    for name, f in OPERATORS.items()
]
# fmt: on


@table(CASES)
def test_bad_input_gets_a_clear_error(
    mistake: Callable[[], Any], error: type[Exception], words: list[str]
) -> None:
    check(mistake, error, words)


# ------------------------------------------------------------------ a mistake changes nothing
MISTAKES: dict[str, Callable[[Value, Value], Any]] = {
    "non-scalar": lambda w, loss: (w * loss).backward(),
    "gradient= of wrong shape": lambda w, loss: loss.backward(np.ones(2)),
    "gradient= of wrong kind": lambda w, loss: loss.backward("a"),
    "VJP gives None": lambda w, loss: (user(lambda g, out, x: None)(w).sum() * loss).backward(),
    "VJP raises": lambda w, loss: (user(lambda g, out, x: 1 / 0)(w).sum() * loss).backward(),
    "VJP of wrong shape": lambda w, loss: (user(lambda *_: X[:2])(w).sum() * loss).backward(),
    "data of wrong shape": lambda w, loss: set_data(w, np.ones(2)),
    "data of wrong kind": lambda w, loss: set_data(w, 1j * X),
    "target": lambda w, loss: cross_entropy(w, 3),
    "shapes": lambda w, loss: w + np.ones(2),
    "in place": lambda w, loss: np.add(w, 1.0, out=w),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_changes_nothing(mistake: Callable[[Value, Value], Any]) -> None:
    w = v()
    loss = square(w)
    loss.backward()
    with pytest.raises((TypeError, ValueError, ZeroDivisionError)):
        mistake(w, loss)
    np.testing.assert_array_equal(w.data, [1, 2, 3])
    np.testing.assert_array_equal(w.grad, [2, 4, 6])
    assert loss.grad == 1.0
    loss.backward()  # and the graph works on, not stale
    np.testing.assert_array_equal(w.grad, [4, 8, 12])


def test_a_stale_graph_leaves_the_gradients_alone() -> None:
    w, u = v(), v()
    w.grad = HAVE_GRAD
    loss = (w * u).sum()
    u.data = X
    with pytest.raises(StaleGraphError):
        loss.backward()
    assert w.grad == HAVE_GRAD
    assert u.passes == loss.passes == 0


def test_the_way_out_that_a_message_names_works() -> None:
    np.stack([s(), s()]).sum().backward()
    assert math.exp(s().data) == np.exp(s()).data
    assert v()[int(s().data)].data == 3.0
    (v() * 1).backward(gradient=X)


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        (lambda X, W: X @ W, "matmul of X (4, 3), W (2, 2): "),
        (lambda X, W: W + np.ones(7), "add of W (2, 2), (7,): "),
        (lambda X, W: np.sum(W, axis=5), "sum of W (2, 2): "),
        (lambda X, W: np.sum(W, 5), "sum of W (2, 2): "),
        (lambda X, W: W[5], "getitem of W (2, 2): "),
        (lambda X, W: np.concatenate([W, Value(X)]), "concatenate of (2, 2), (4, 3): "),
    ],
)
def test_a_wrong_shape_points_to_the_users_line(mistake: Any, said: str) -> None:
    with pytest.raises((ValueError, IndexError)) as error:
        mistake(np.ones((4, 3)), Value(np.ones((2, 2))))
    here = mistake.__code__.co_firstlineno
    assert str(error.value).startswith(f"test_errors.py, line {here}: {said}")


@pytest.mark.parametrize("lang", ["en", "ko"])
def test_a_name_with_braces_is_no_template(lang: str, monkeypatch: Any) -> None:
    monkeypatch.setenv("TINYGRAD_CE_LANG", lang)
    f = primitive(lambda g, out, x, n: g, None, name="f{x}")(lambda x, n: x)
    with pytest.raises(TypeError, match=r"f\{x\}: "):
        f(Value(1.0), Value(2.0))
