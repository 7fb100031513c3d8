"""Bad input gets one clear line: the right exception, what was got, what was wanted, what to do."""

# ruff: noqa: E501 - a case of the table is one line
from __future__ import annotations

import datetime
import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinygrad_ce import (
    StaleGraphError,
    Value,
    binary_cross_entropy,
    cross_entropy,
    grad,
    gradcheck,
    hessian,
    hvp,
    jacobian,
    log_softmax,
    logistic_loss,
    logsumexp,
    mse,
    nll,
    numeric_gradient,
    primitive,
    relu,
    sigmoid,
    softmax,
    value_and_grad,
    vjp,
)

Z = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])
X = np.ones(3)
T = np.array([0, 2])
NAN = math.nan
HAVE_GRAD = 7.0


def v() -> Value:
    return Value([1.0, 2.0, 3.0], name="w")


def a() -> Value:
    return Value(Z.copy(), name="A")


def s() -> Value:
    return Value(2.0, name="s")


def square(x: Any) -> Any:
    return (x * x).sum()


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


def pull(g: Any) -> Any:
    return vjp(lambda x: x * 2, X)[1](g)


Case = tuple[str, Callable[[], Any], Any, list[str]]
REAL = "wanted real numbers"
LOST = "would lose the gradient"
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
    ("reshape, order=", lambda: np.reshape(v(), 3, order="F"), TypeError, ["reshape", "order=", "shape"]),
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
    ("add.reduce, axis", lambda: np.add.reduce(a(), axis=5), ValueError, ["sum", "A (2, 3)", "axis 5"]),
    ("max of nothing", lambda: Value(np.ones((0, 3))).max(axis=0), ValueError, ["max", "(0, 3)"]),
    ("concatenate", lambda: np.concatenate([v(), a()]), ValueError, ["concatenate", "w (3,)", "A (2, 3)"]),
    ("concatenate, axis", lambda: np.concatenate([v(), v()], axis=1), ValueError, ["concatenate", "w (3,)", "axis 1"]),
    ("concatenate, scalars", lambda: np.concatenate([s(), s()]), ValueError, ["concatenate", "s ()", "zero-dimensional"]),
    ("concatenate, text", lambda: np.concatenate([v(), ["a"]]), TypeError, ["concatenate", "<U1", REAL]),
    ("stack", lambda: np.stack([v(), a()]), ValueError, ["stack", "(2, 3)", "(3,)"]),
    ("stack, axis", lambda: np.stack([v(), v()], axis=3), ValueError, ["w (3,)", "axis 3"]),
    ("einsum, sizes", lambda: np.einsum("ij,jk->ik", a(), a()), ValueError, ["einsum", "A (2, 3), A (2, 3)"]),
    ("einsum, rank", lambda: np.einsum("ijk->i", a()), ValueError, ["einsum", "A (2, 3)", "too many subscripts"]),
    ("einsum, count", lambda: np.einsum("i,i", v()), ValueError, ["einsum", "'i,i'", "2 operands, got 1"]),
    ("einsum, three", lambda: np.einsum("i,i,i->", v(), v(), v()), ValueError, ["einsum", "got 3", "two at a time"]),
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
    ("item assignment", lambda: operator.setitem(v(), 0, 1.0), TypeError, ["Value", "item assignment"]),
    # What would lose a gradient
    ("float", lambda: float(s()), TypeError, ["float(v)", LOST, "v.data", "np.exp"]),
    ("int", lambda: int(s()), TypeError, [LOST, "int(v.data)"]),
    ("complex", lambda: complex(s()), TypeError, [LOST, "v.data"]),
    ("math.exp", lambda: math.exp(s()), TypeError, [LOST, "np.exp"]),
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
    ("where=", lambda: np.add(v(), v(), where=np.ones(3, bool)), TypeError, ["add", "where="]),
    ("dtype=", lambda: np.exp(v(), dtype=np.float32), TypeError, ["exp", "dtype="]),
    ("casting=", lambda: np.add(v(), 1.0, casting="unsafe"), TypeError, ["add", "casting="]),
    ("sum, where=", lambda: np.sum(v(), where=np.ones(3, bool)), TypeError, ["sum", "where=", "axis"]),
    ("sum, dtype=", lambda: v().sum(dtype=np.float32), TypeError, ["sum", "dtype=", "keepdims"]),
    ("sum, initial=", lambda: np.sum(v(), initial=0.0), TypeError, ["sum", "initial="]),
    ("sum, out=", lambda: np.sum(v(), out=np.empty(())), TypeError, ["sum", "out="]),
    ("sum, by position", lambda: v().sum(0, float), TypeError, ["sum", "by keyword"]),
    ("concatenate, out=", lambda: np.concatenate([v(), v()], out=np.empty(6)), TypeError, ["concatenate", "out"]),
    ("clip, out=", lambda: np.clip(v(), 0, 1, out=np.empty(3)), TypeError, ["clip", "out"]),
    ("einsum, out=", lambda: np.einsum("i->i", v(), out=np.empty(3)), TypeError, ["einsum", "out"]),
    ("where of two", lambda: np.where(v() > 1, v()), TypeError, ["where", "3 arrays", "got 2"]),
    ("where on a Value", lambda: np.where(v(), 1.0, 2.0), TypeError, ["where", LOST, "v.data"]),
    *(
        (f"np.{name}", lambda f=f, args=args: f(*args), NotImplementedError,
         [f"np.{name} has no rule", "v.data", "@primitive"])
        for name, f, args in [
            ("sin", np.sin, (v(),)), ("cumsum", np.cumsum, (v(),)), ("prod", np.prod, (v(),)),
            ("sort", np.sort, (v(),)), ("std", np.std, (v(),)), ("round", np.round, (v(),)),
            ("linalg.norm", np.linalg.norm, (v(),)), ("linalg.inv", np.linalg.inv, (a(),)),
            ("fft.fft", np.fft.fft, (v(),)), ("hypot", np.hypot, (v(), 1.0)),
            ("add.accumulate", np.add.accumulate, (v(),)), ("add.at", np.add.at, (X, [0], s())),
            ("multiply.outer", np.multiply.outer, (v(), v())),
            ("multiply.reduce", np.multiply.reduce, (v(),)),
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
    ("too many arguments", lambda: user(lambda g, out, x: g)(v(), v()), TypeError, ["mine", "1 arrays"]),
    ("unknown option", lambda: user(lambda g, out, x: g)(v(), k=1), TypeError, ["mine", "k="]),
    ("Value by keyword", lambda: user(lambda g, out, x: g)(x=v()), TypeError, ["mine", "x="]),
    ("complex result", lambda: user(lambda g, out, x: g, lambda x: x * 1j)(v()), TypeError, ["mine", "complex128"]),
    ("no result", lambda: user(lambda g, out, x: g, lambda x: None)(v()), TypeError, ["mine", "object"]),
    # Other losses
    ("bce, shape", lambda: binary_cross_entropy(v(), [[0], [1], [1]]), ValueError, ["(3, 1)", "(3,)"]),
    ("bce, range", lambda: binary_cross_entropy(v(), [0, 2, 1]), ValueError, ["0 to 1", "0 to 2"]),
    ("bce, nan target", lambda: binary_cross_entropy(v(), [0, NAN, 1]), ValueError, ["0 to 1", "nan"]),
    ("bce, weight Value", lambda: binary_cross_entropy(v(), T[[0, 0, 0]], weight=v()), TypeError, ["weight", "data"]),
    ("bce, weight shape", lambda: binary_cross_entropy(v(), X, weight=np.ones((2, 3))), ValueError, ["weight", "(2, 3)", "(3,)"]),
    ("bce, weight sign", lambda: binary_cross_entropy(v(), X, weight=-1.0), ValueError, ["weight", "-1.0", "from 0"]),
    ("bce, pos_weight shape", lambda: binary_cross_entropy(v(), X, pos_weight=[1, 2]), ValueError, ["pos_weight", "(2,)", "(3,)"]),
    ("bce, pos_weight text", lambda: binary_cross_entropy(v(), X, pos_weight="a"), TypeError, ["pos_weight", "<U1"]),
    ("logistic, 0 and 1", lambda: logistic_loss(v(), [0, 1, 1]), ValueError, ["-1 and +1", "0 to 1"]),
    ("logistic, bool", lambda: logistic_loss(v(), [True, False, True]), ValueError, ["-1 and +1", "False"]),
    ("mse, shape", lambda: mse(v(), np.ones((3, 1))), ValueError, ["(3, 1)", "(3,)"]),
    *(
        (f"{f.__name__}, {what}", lambda f=f, args=args, kw=kw: f(*args, **kw), error, words)
        for f in (binary_cross_entropy, logistic_loss, mse)
        for what, args, kw, error, words in [
            ("Value target", (v(), v()), {}, TypeError, ["target is a Value", "data"]),
            ("text target", (v(), ["1"] * 3), {}, TypeError, ["target", "<U1"]),
            ("complex target", (v(), X * 1j), {}, TypeError, ["target", "complex128"]),
            ("no target", (v(), None), {}, TypeError, ["target", "object"]),
            ("complex logits", (X * 1j, X), {}, TypeError, ["complex128"]),
            ("object logits", ([None] * 3, X), {}, TypeError, ["object"]),
            ("empty batch", (Value([]), []), {}, ValueError, ["(0,)", "no samples"]),
            ("reduction", (v(), X), {"reduction": "avg"}, ValueError, ["'avg'", "'mean', 'sum' or 'none'"]),
        ]
    ),
    ("nll, class", lambda: nll(a(), [0, 3]), ValueError, ["target", "class 3 at (1,)", "0 to 2"]),
    ("nll, complex", lambda: nll(Z * 1j, T), TypeError, ["log_probs", "complex128"]),
    ("nll, empty", lambda: nll(np.ones((0, 3)), T[:0]), ValueError, ["(0, 3)", "no samples"]),
    ("nll, sums", lambda: nll(a(), Z), ValueError, ["(0,)", "sum to 6", "allow_unnormalized=True"]),
    # softmax
    *(
        (f"temperature {t}", lambda t=t: softmax(a(), temperature=t), ValueError, [f"temperature={t}", "above 0"])
        for t in (0, 0.0, -1.0, NAN)
    ),
    ("temperature, array", lambda: softmax(a(), temperature=X), ValueError, ["temperature=array([1.", "a number"]),
    ("temperature, text", lambda: softmax(a(), temperature="a"), TypeError, ["temperature", "<U1"]),
    ("temperature, None", lambda: softmax(a(), temperature=None), TypeError, ["temperature", "object"]),
    ("temperature, Value", lambda: softmax(a(), temperature=Value(0.0)), ValueError, ["temperature=Value(0.0)", "above 0"]),
    *(
        (f"{f.__name__}, {what}", lambda f=f, x=x, axis=axis: f(x, axis=axis), error, words)
        for f in (softmax, log_softmax, logsumexp)
        for what, x, axis, error, words in [
            ("axis", a(), 2, ValueError, ["axis=2", "(2, 3)"]),
            ("axis, array", Z, -3, ValueError, ["axis=-3", "(2, 3)"]),
            ("axis, text", a(), "x", TypeError, ["axis='x'", "(2, 3)"]),
            ("axis, Value", a(), s(), TypeError, ["axis=Value(2.0", "int(v.data)"]),
            ("no classes", Value(np.ones((2, 0))), -1, ValueError, ["axis=-1", "(2, 0)", "zero-size"]),
        ]
    ),
    *(
        (f"{f.__name__} of {x!r}", lambda f=f, x=x: f(x), TypeError, [f.__name__, str(np.asarray(x).dtype), REAL])
        for f in (softmax, log_softmax, logsumexp, sigmoid, relu)
        for x in (1j, "1", ["1", "2"], None, [None], np.array(["2020"], "M8[D]"))
    ),
    # Transforms
    *(
        (f"{f.__name__}, {what}", lambda f=f, inner=inner, args=args: f(inner)(*args, *((X,) if f is hvp else ())), error, words)
        for f in (grad, value_and_grad, jacobian, hessian, hvp)
        for what, inner, args, error, words in [
            ("no function", 3, (X,), TypeError, ["int", "wanted a function"]),
            ("a Value", s(), (X,), TypeError, ["Value", "wanted a function"]),
            ("text", square, ("abc",), TypeError, ["argument 0", "<U3", REAL]),
            ("None", square, (None,), TypeError, ["argument 0", "object", REAL]),
            ("complex in a dict", lambda p: square(p["b"]), ({"b": X * 1j},), TypeError, ["argument 0['b']", "complex128"]),
            ("returns None", lambda x: None, (X,), TypeError, ["NoneType", "wanted one number or array"]),
            ("returns a tuple", lambda x: (x, x), (X,), TypeError, ["tuple", "wanted one number or array"]),
            ("returns text", lambda x: "a", (X,), TypeError, ["result", "<U1", REAL]),
            ("loses the gradient", lambda x: float(x.sum()), (X,), TypeError, [LOST, "v.data"]),
        ]
    ),
    *(
        (f"{f.__name__}, argnums={n!r}", lambda f=f, n=n: f(square, n)(X, *((X,) if f is hvp else ())), error, ["argnums", repr(n), *words])
        for f in (grad, value_and_grad, jacobian, hessian, hvp)
        for n, error, words in [
            (1, ValueError, ["1 positional"]), (-2, ValueError, ["1 positional"]),
            (1.5, TypeError, ["wanted an int"]), ("x", TypeError, ["wanted an int"]),
            (None, TypeError, ["wanted an int"]), ((0, "a"), TypeError, ["wanted an int"]),
            ((0, 0), ValueError, ["twice"]),
        ]
    ),
    ("grad of an array", lambda: grad(lambda x: x * 2)(X), ValueError, ["(3,)", ".sum()", "jacobian"]),
    ("hessian of an array", lambda: hessian(lambda x: x * 2)(X), ValueError, ["(3,)", ".sum()", "jacobian"]),
    ("vjp of no function", lambda: vjp(3, X), TypeError, ["int", "wanted a function"]),
    ("vjp, text", lambda: vjp(square, "a"), TypeError, ["argument 0", "<U1"]),
    ("vjp of a tuple", lambda: vjp(lambda x: (x, x), X), TypeError, ["tuple", "wanted one number or array"]),
    ("vjp, g shape", lambda: pull(np.ones(2)), ValueError, ["vjp", "(2,)", "(3,)"]),
    ("vjp, g number", lambda: pull(1.0), ValueError, ["vjp", "()", "(3,)"]),
    ("vjp, g complex", lambda: pull(X * 1j), TypeError, ["vjp", "complex128"]),
    ("vjp, g None", lambda: pull(None), TypeError, ["vjp", "object"]),
    ("hvp without vector", lambda: hvp(square)(X), TypeError, ["hvp", "vector", "got 1"]),
    ("hvp, shape", lambda: hvp(square)(X, np.ones(2)), ValueError, ["hvp", "(2,)", "(3,)"]),
    ("hvp, number", lambda: hvp(square)(X, 1.0), ValueError, ["hvp", "()", "(3,)"]),
    ("hvp, structure", lambda: hvp(lambda p: square(p["b"]))({"b": X}, X), ValueError, ["hvp", "(3,)", "['b']"]),
    ("hvp, other key", lambda: hvp(lambda p: square(p["b"]))({"b": X}, {"c": X}), ValueError, ["hvp", "['b']", "['c']"]),
    ("hvp, complex", lambda: hvp(square)(X, X * 1j), TypeError, ["vector", "complex128"]),
    # The gradient check
    ("gradcheck without inputs", lambda: gradcheck(square), ValueError, ["gradcheck(f, x)"]),
    ("gradcheck, text", lambda: gradcheck(square, "a"), TypeError, ["input", "<U1"]),
    ("gradcheck, method", lambda: gradcheck(square, X, method="exact"), ValueError, ["'exact'", "'central' or 'complex'"]),
    ("gradcheck, order", lambda: gradcheck(square, X, order=0), ValueError, ["order", "0"]),
    ("gradcheck, shape", lambda: gradcheck(square, X, gradient=lambda x: np.ones(2)), ValueError, ["(2,)", "(3,)"]),
    ("gradcheck of None", lambda: gradcheck(lambda x: None, X), TypeError, ["f returned", "object"]),
    ("numeric_gradient", lambda: numeric_gradient(lambda x: x, X), ValueError, ["(3,)", "one number"]),
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
P = [[0.2, 0.3, 0.5], [1, 0, 0]]
# cross_entropy: target, options, error, what the message holds
CROSS_ENTROPY: dict[str, tuple[Any, dict[str, Any], type[Exception], list[str]]] = {
    "class": ([0, 3], {}, ValueError, ["class 3 at (1,)", "0 to 2"]),
    "negative class": ([-1, 0], {}, ValueError, ["class -1 at (0,)", "0 to 2"]),
    "-100": ([0, -100], {}, ValueError, ["class -100 at (1,)", "0 to 2"]),
    "other than ignore_index": ([-100, -1], {"ignore_index": -100}, ValueError, ["class -1 at (1,)", "ignore_index=-100"]),
    "float classes": ([0.0, 1.0], {}, TypeError, ["integers", "float64"]),
    "bool classes": ([True, False], {}, TypeError, ["integers", "bool"]),
    "shape": ([0, 1, 2], {}, ValueError, ["(3,)", "(2,)", "(2, 3)"]),
    "column of classes": ([[0], [1]], {}, ValueError, ["(2, 1)", "(2,)", "(2, 3)"]),
    "four classes": (np.ones((2, 4)) / 4, {}, ValueError, ["(2, 4)", "(2, 3)", "probabilities"]),
    "one class for two rows": (0, {}, ValueError, ["()", "(2,)", "(2, 3)"]),
    "negative probability": ([[1.5, -0.5, 0], [1, 0, 0]], {}, ValueError, ["-0.5 at (0, 1)", "0 or more"]),
    "nan probability": ([[1, 0, 0], [NAN, 0, 1]], {"allow_unnormalized": True}, ValueError, ["nan at (1, 0)"]),
    "probabilities' sum": ([[1, 0, 0], [0.5, 0.2, 0.2]], {}, ValueError, ["(1,)", "0.9", "wanted 1", "allow_unnormalized=True"]),
    "two hot": ([[1, 1, 0], [1, 0, 0]], {}, ValueError, ["(0,)", "sum to 2"]),
    "Value target": (Value([0.0, 1.0]), {}, TypeError, ["target is a Value", "data"]),
    "list of Values": ([s(), s()], {}, TypeError, [LOST, "v.data"]),
    "text target": (["a", "b"], {}, TypeError, ["target", "<U1"]),
    "no target": (None, {}, TypeError, ["target", "object"]),
    "complex target": (np.array(P) * 1j, {}, TypeError, ["target", "complex128"]),
    "object target": (np.array([0, None]), {}, TypeError, ["target", "object"]),
    "ragged target": ([[0], [1, 2]], {}, ValueError, ["target", "inhomogeneous"]),
    "weight shape": (T, {"weight": np.ones(2)}, ValueError, ["weight", "(2,)", "(3,)"]),
    "one weight": (T, {"weight": 2.0}, ValueError, ["weight", "()", "(3,)"]),
    "negative weight": (T, {"weight": [1, -1, 1]}, ValueError, ["weight", "-1", "from 0 up"]),
    "nan weight": (T, {"weight": [1, NAN, 1]}, ValueError, ["weight", "nan", "from 0 up"]),
    "text weight": (T, {"weight": ["a"] * 3}, TypeError, ["weight", "<U1"]),
    "Value weight": (T, {"weight": v()}, TypeError, ["weight is a Value", "data"]),
    "weight of Values": (T, {"weight": [s()] * 3}, TypeError, [LOST, "v.data"]),
    "ignore_index with probabilities": (P, {"ignore_index": 0}, ValueError, ["ignore_index", "class indices"]),
    "float ignore_index": (T, {"ignore_index": 0.5}, TypeError, ["ignore_index", "0.5", "integer"]),
    "Value ignore_index": (T, {"ignore_index": s()}, TypeError, ["ignore_index", "Value(2.0", "integer"]),
    "label_smoothing 1.5": (T, {"label_smoothing": 1.5}, ValueError, ["label_smoothing", "1.5", "0 to 1"]),
    "label_smoothing -0.1": (T, {"label_smoothing": -0.1}, ValueError, ["label_smoothing", "-0.1", "0 to 1"]),
    "label_smoothing nan": (T, {"label_smoothing": NAN}, ValueError, ["label_smoothing", "nan", "0 to 1"]),
    "text label_smoothing": (T, {"label_smoothing": "a"}, TypeError, ["label_smoothing", "'a'", "number"]),
    "Value label_smoothing": (T, {"label_smoothing": Value(0.1)}, TypeError, ["label_smoothing", "Value(0.1)"]),
    "reduction": (T, {"reduction": "avg"}, ValueError, ["reduction", "'avg'", "'mean', 'sum' or 'none'"]),
    "no reduction": (T, {"reduction": None}, ValueError, ["reduction", "None", "'none'"]),
    "axis": (T, {"axis": 2}, ValueError, ["axis=2", "(2, 3)"]),
    "negative axis": (T, {"axis": -3}, ValueError, ["axis=-3", "(2, 3)"]),
    "float axis": (T, {"axis": 1.0}, TypeError, ["axis", "1.0", "integer"]),
    "Value axis": (T, {"axis": s()}, TypeError, ["axis", "Value(2.0", "integer"]),
    "unknown option": (T, {"wieght": X}, TypeError, ["cross_entropy", "wieght"]),
}
LOGITS: dict[str, tuple[Any, Any, type[Exception], list[str]]] = {
    "0-d": (1.0, 0, ValueError, ["logits", "()"]),
    "0-d Value": (Value(1.0), 0, ValueError, ["logits", "()"]),
    "no samples": (np.ones((0, 3)), T[:0], ValueError, ["(0, 3)", "no samples"]),
    "no samples, probabilities": (Value(np.ones((0, 3))), np.ones((0, 3)), ValueError, ["(0, 3)", "no samples"]),
    "no classes": (Value(np.ones((2, 0))), T, ValueError, ["(2, 0)", "no classes"]),
    "complex": (Z * 1j, T, TypeError, ["logits", "complex128"]),
    "text": (Z.astype(str), T, TypeError, ["logits", "<U"]),
    "object": ([[None] * 3] * 2, T, TypeError, ["logits", "object"]),
    "ragged": ([[1.0], [1.0, 2.0]], T, ValueError, ["logits", "inhomogeneous"]),
    "Values": ([v(), v()], T, TypeError, [LOST, "np.stack"]),
}
CASES += [
    (f"cross_entropy, {what}, fused={fused}, {kind.__name__}",
     lambda target=target, options=options, fused=fused, kind=kind: cross_entropy(kind(Z), target, fused=fused, **options),
     error, words)
    for what, (target, options, error, words) in CROSS_ENTROPY.items()
    for fused in (True, False)
    for kind in (Value, np.asarray)
]
CASES += [
    (f"cross_entropy, logits {what}, fused={fused}",
     lambda z=z, target=target, fused=fused: cross_entropy(z, target, fused=fused), error, words)
    for what, (z, target, error, words) in LOGITS.items()
    for fused in (True, False)
]
# fmt: on


@pytest.mark.parametrize(
    ("do", "error", "fragments"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_bad_input_gets_a_clear_error(
    do: Callable[[], Any], error: type[Exception], fragments: list[str]
) -> None:
    with pytest.raises(error) as caught:
        do()
    message = str(caught.value)
    assert [part for part in fragments if part not in message] == [], message
    assert "\n" not in message


def test_the_table_has_no_case_twice_and_covers_what_it_should() -> None:
    names = [case[0] for case in CASES]
    assert len(names) == len(set(names)) >= 80


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
    assert u.grad is None is loss.grad


def test_the_way_out_that_a_message_names_works() -> None:
    np.stack([s(), s()]).sum().backward()
    assert math.exp(s().data) == np.exp(s()).data
    assert v()[int(s().data)].data == 3.0
    (v() * 1).backward(gradient=X)
    loose = [[0.5, 0.2, 0.2], [1, 0, 0]]
    composed = cross_entropy(Z, loose, allow_unnormalized=True, fused=False)
    assert cross_entropy(Z, loose, allow_unnormalized=True) == pytest.approx(composed)
    assert nll(log_softmax(Z), loose, allow_unnormalized=True) == pytest.approx(composed)
    assert hvp(square)(X, [1, 2, 3]).tolist() == [2, 4, 6]


# ------------------------------------------------------------------ NaN in, NaN out
ONE_NAN = np.array([[1.0, NAN, 0.5], [1.0, 2.0, 3.0]])
ROWWISE: dict[str, Callable[[Any], Any]] = {
    "softmax": softmax,
    "softmax, temperature": lambda z: softmax(z, temperature=2.0),
    "log_softmax": log_softmax,
    "logsumexp": lambda z: logsumexp(z, axis=-1),
    **{
        f"cross_entropy, {what}, fused={fused}": (
            lambda z, t=t, kw=kw, fused=fused: cross_entropy(
                z, t, reduction="none", fused=fused, **kw
            )
        )
        for fused in (True, False)
        for what, t, kw in [
            ("class at nan", [1, 1], {}),
            ("class elsewhere", [0, 1], {}),
            ("one-hot", [[0, 0, 1], [1, 0, 0]], {}),
            ("soft", P, {}),
            ("smoothed", [0, 1], {"label_smoothing": 0.1}),
            ("weighted", [0, 1], {"weight": [1.0, 2.0, 3.0]}),
        ]
    },
}
ENTRYWISE: dict[str, Callable[[Any], Any]] = {
    "sigmoid": sigmoid,
    "relu": relu,
    "binary_cross_entropy": lambda z: binary_cross_entropy(z, np.ones((2, 3)), reduction="none"),
    "binary_cross_entropy 0": lambda z: binary_cross_entropy(z, 0 * Z, reduction="none"),
    "logistic_loss": lambda z: logistic_loss(z, np.ones((2, 3)), reduction="none"),
    "mse": lambda z: mse(z, Z, reduction="none"),
}


@pytest.mark.parametrize("f", ROWWISE.values(), ids=ROWWISE)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_nan_logits_make_their_row_nan_and_no_other(f: Callable[[Any], Any], dtype: Any) -> None:
    z = Value(ONE_NAN.astype(dtype))
    out = f(z)
    out.backward(np.ones(out.shape))
    for result in (f(z.data), out.data, z.grad):
        assert np.isnan(result[0]).all()
        assert np.isfinite(result[1]).all()


@pytest.mark.parametrize("f", ENTRYWISE.values(), ids=ENTRYWISE)
def test_nan_makes_its_entry_nan_and_no_other(f: Callable[[Any], Any]) -> None:
    z = Value(ONE_NAN)
    out = f(z)
    out.backward(np.ones(out.shape))
    for result in (f(ONE_NAN), out.data):
        np.testing.assert_array_equal(np.isnan(result), np.isnan(ONE_NAN))
    assert np.isfinite(z.grad[~np.isnan(ONE_NAN)]).all()


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_one_nan_makes_a_reduced_loss_nan(fused: bool, reduction: str) -> None:
    assert np.isnan(cross_entropy(ONE_NAN, T, fused=fused, reduction=reduction))
    assert np.isnan(cross_entropy(np.full(3, NAN), 0, fused=fused, reduction=reduction))
    assert np.isnan(nll(ONE_NAN, [1, 1], reduction=reduction))
    for f in (binary_cross_entropy, logistic_loss, mse):
        assert np.isnan(f(NAN, 1.0, reduction=reduction))
        assert np.isnan(f(Value(NAN), 1.0, reduction=reduction).data)


@pytest.mark.parametrize("f", [softmax, log_softmax, logsumexp, sigmoid, relu])
def test_nan_as_a_number(f: Callable[[Any], Any]) -> None:
    assert np.isnan(f(NAN))
    assert np.isnan(f(Value(NAN)).data)


# ------------------------------------------------------------------ valid extremes, no warning
EXTREMES = [
    [1000.0, 0.0, -1000.0],
    [1e308, 1e308, 1e308],
    [-1e308, -1e308, -1e308],
    [1e-308, 0.0, -1e-308],
    [700.0, 709.0, 710.0],
    [-745.0, -750.0, -1e4],
    [0.0, -math.inf, 1.0],
]


@pytest.mark.parametrize("row", EXTREMES, ids=str)
@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("target", [0, 2, [0.5, 0.0, 0.5]], ids=str)
def test_extreme_logits_give_finite_results_without_a_warning(
    row: list[float], fused: bool, target: Any
) -> None:
    z = Value(row)
    loss = cross_entropy(z, target, fused=fused)
    loss.backward()
    assert math.isfinite(loss.data)
    assert loss.data >= 0
    assert np.isfinite(z.grad).all()
    np.testing.assert_allclose(z.grad.sum(), 0.0, atol=1e-15)


@pytest.mark.parametrize("row", EXTREMES, ids=str)
def test_extreme_logits_through_the_softmax_family_without_a_warning(row: list[float]) -> None:
    for f in (softmax, logsumexp, sigmoid):
        z = Value(row)
        out = f(z)
        out.backward(np.ones(out.shape))
        assert np.isfinite(out.data).all()
        assert np.isfinite(z.grad).all()
    np.testing.assert_allclose(softmax(row).sum(), 1.0)


@pytest.mark.parametrize("x", [-1e308, -1000.0, -1e-308, 0.0, 1e-308, 1000.0, 1e308])
def test_extreme_numbers_through_the_binary_losses_without_a_warning(x: float) -> None:
    for f, targets in ((binary_cross_entropy, (0, 1)), (logistic_loss, (-1, 1))):
        for y in targets:
            z = Value(x)
            loss = f(z, y)
            loss.backward()
            assert math.isfinite(loss.data)
            assert abs(z.grad) <= 1
