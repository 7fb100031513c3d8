"""Bad input to the transforms and the checks gets one clear line."""

# ruff: noqa: E501 - a case of the table is one line
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from helpers.errors import LOST, REAL, Case, X, check, s, square, table

from tinygrad_ce import (
    grad,
    grad_of,
    gradcheck,
    hessian,
    hvp,
    jacobian,
    numeric_gradient,
    value_and_grad,
    vjp,
)


def pull(g: Any) -> Any:
    return vjp(lambda x: x * 2, X)[1](g)


# fmt: off
CASES: list[Case] = [
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
    ("gradcheck of a result", lambda: gradcheck(s(), X), TypeError, ["Value", "wanted a function"]),
    ("numeric_gradient of a result", lambda: numeric_gradient(s(), X), TypeError, ["Value", "wanted a function"]),
    ("grad_of by a number", lambda: grad_of(s() * s(), 3), TypeError, ["int", "wanted Values"]),
    ("vjp, text", lambda: vjp(square, "a"), TypeError, ["argument 0", "<U1"]),
    *(
        (f"{f.__name__} of a tuple", lambda f=f: f(lambda x: (x, x))(X), TypeError, ["tuple", "wanted one number or array"])
        for f in (grad, value_and_grad, hessian)
    ),
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
    ("gradcheck of None", lambda: gradcheck(lambda x: None, X), TypeError, ["f returned", "NoneType"]),
    ("numeric_gradient", lambda: numeric_gradient(lambda x: x, X), ValueError, ["(3,)", "one number"]),
]
# fmt: on


@table(CASES)
def test_bad_input_gets_a_clear_error(
    mistake: Callable[[], Any], error: type[Exception], words: list[str]
) -> None:
    check(mistake, error, words)


def test_the_way_out_that_a_message_names_works() -> None:
    assert hvp(square)(X, [1, 2, 3]).tolist() == [2, 4, 6]
