"""NumPy's functions that others spell: each as NumPy's own, drawn, differentiated, as a program."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from helpers.functions import agrees, numbers
from helpers.operations import FULL, ONE, Case, axis_of, broadcast, reduced
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tinygrad_ce import Value, grad, hessian, program
from tinygrad_ce.engine import reductions, spelled
from tinygrad_ce.engine.operation import TABLE

SMALL = hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=3)
OPEN = hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=3)


@st.composite
def counted(draw: Any, **more: Any) -> Case:
    """A reduction of some of the entries; at least two count, of any."""
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=3))
    axis = draw(st.one_of(st.none(), axis_of(shape), hnp.valid_tuple_axes(len(shape))))
    options = {"axis": axis, "keepdims": draw(st.booleans())}
    if draw(st.booleans()):
        options["where"] = draw(hnp.arrays(bool, shape))
        assume(np.all(np.sum(options["where"], axis, keepdims=True) > 0))
    options |= {name: draw(x) for name, x in more.items()}
    most = np.size(np.empty(shape)) // max(1, np.size(np.sum(np.empty(shape), axis)))
    assume(options.get("ddof", 0) < most and ("ddof" not in options or "where" not in options))
    return [shape], options


@st.composite
def deviating(draw: Any) -> Case:
    """The same where entries differ, as a deviation of 0 is not smooth."""
    (shape,), options = draw(counted(ddof=st.integers(0, 1)))
    n = np.sum(np.broadcast_to(options.get("where", True), shape), options["axis"])
    assume(np.all(n > 1))
    return [shape], options


@st.composite
def weighted(draw: Any) -> Case:
    shape = draw(SMALL)
    axis = draw(axis_of(shape))
    weights = draw(st.sampled_from([None, shape, shape[axis : axis + 1 or None]]))
    assume(weights != (1,) or shape[axis] == 1)
    return [shape], {
        "axis": axis,
        "weights": weights and 1.0 + np.arange(np.prod(weights)).reshape(weights),
    }


@st.composite
def placed(draw: Any, name: str, shapes: Any = OPEN) -> Case:
    """Shapes with one axis, under a name."""
    shape = draw(shapes)
    return [shape], {name: draw(axis_of(shape))}


@st.composite
def moved(draw: Any) -> Case:
    shape = draw(OPEN)
    n = draw(st.integers(1, len(shape)))
    order = st.permutations(range(len(shape))).map(lambda x: x[:n])
    return [shape], {"source": draw(order), "destination": draw(order)}


@st.composite
def rolled(draw: Any) -> Case:
    shape = draw(OPEN)
    return [shape], {"axis": draw(axis_of(shape)), "start": draw(st.integers(0, len(shape)))}


@st.composite
def divided(draw: Any, equal: bool, axis: int | None = None, least: int = 1) -> Case:
    """Parts of equal lengths, or between places."""
    shape = draw(hnp.array_shapes(min_dims=least, max_dims=3, min_side=0, max_side=4))
    k = draw(axis_of(shape)) if axis is None else axis
    n = shape[k]
    parts = [[1, 3], [-1], [0, 2, 9]] + [i for i in (1, 2, 3) if not equal or n % i == 0]
    options: dict[str, Any] = {"indices_or_sections": draw(st.sampled_from(parts))}
    return [shape], options | ({"axis": k} if axis is None else {})


@st.composite
def contracted(draw: Any) -> Case:
    k = draw(st.integers(0, 2))
    shared = tuple(draw(st.integers(0, 3)) for _ in range(k))
    left, right = (
        draw(hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3)) for _ in "ab"
    )
    forms = [k, ([*range(-k, 0)], [*range(k)])]
    turned = [(shared + left, right + shared[::-1], ([*range(k)], [*range(-1, -k - 1, -1)]))]
    plain = [(left + shared, shared + right, form) for form in forms]
    x, y, axes = draw(st.sampled_from(plain + turned))
    return [x, y], {"axes": axes}


@st.composite
def crossed(draw: Any) -> Case:
    (x, y), _ = draw(broadcast(2))
    assume(len(x) < 3 > len(y))
    if draw(st.booleans()):
        return [(*x, 3), (*y, 3)], {}
    at = draw(st.integers(0, min(len(x), len(y))))
    same = x == y
    if same and draw(st.booleans()):
        return [(*x[:at], 3, *x[at:])] * 2, {"axis": at}
    return [(3, *x), (*y, 3)], {"axisa": 0, "axisc": 0}


@st.composite
def filled(draw: Any) -> Case:
    return [draw(OPEN), ()], {}


def pair(least: int = 0) -> Any:
    """Two shapes, unlike each other."""
    shapes = hnp.array_shapes(min_dims=least, max_dims=2, min_side=0, max_side=3)
    return st.tuples(shapes, shapes).map(lambda s: ([*s], {}))


def arrays(*choices: Any) -> Any:
    return st.sampled_from([([*shapes], {}) for shapes in choices])


def signed(signature: str) -> Any:
    return broadcast(2, signature)


# How to draw the shapes and options of each function.
LINES: dict[str, Any] = {
    **dict.fromkeys(["fabs", "deg2rad", "radians", "rad2deg", "degrees", "modf"], ONE),
    **dict.fromkeys(["conjugate", "real", "real_if_close", "nan_to_num", "ravel"], ONE),
    **dict.fromkeys(["atleast_1d", "atleast_2d", "atleast_3d"], ONE),
    **dict.fromkeys(["fmax", "fmin", "divmod"], broadcast(2)),
    "float_power": broadcast(2),
    "astype": ONE,
    "full_like": filled(),
    "linspace": st.tuples(SMALL, st.integers(0, 4)).map(lambda s: ([s[0], s[0]], {"num": s[1]})),
    "var": counted(ddof=st.integers(0, 1)),
    "std": deviating(),
    **dict.fromkeys(["nansum", "nanprod", "nanmean"], counted()),
    "nanvar": counted(ddof=st.integers(0, 1)),
    "nanstd": deviating(),
    **dict.fromkeys(["nanmax", "nanmin", "ptp"], reduced(FULL)),
    "average": weighted(),
    "vdot": st.integers(0, 4).map(lambda n: ([(n,), (n,)], {})),
    "outer": pair(),
    "inner": arrays([(), (2,)], [(2, 3), ()], [(3,), (3,)], [(2, 3), (4, 3)], [(2, 2, 3), (3,)]),
    "tensordot": contracted(),
    "kron": pair(),
    "cross": crossed(),
    "vecdot": signed("(n),(n)->()"),
    "matvec": signed("(m,n),(n)->(m)"),
    "vecmat": signed("(n),(n,m)->(m)"),
    "moveaxis": moved(),
    "rollaxis": rolled(),
    "matrix_transpose": hnp.array_shapes(min_dims=2, max_dims=3, min_side=0).map(
        lambda s: ([s], {})
    ),
    "broadcast_arrays": broadcast(3),
    "vstack": arrays([(3,), (2, 3)], [(), (1,)], [(0, 2), (3, 2)]),
    "hstack": arrays([(3,), (2,)], [(), (1,)], [(2, 1), (2, 3)]),
    "dstack": arrays([(3,), (1, 3)], [(2, 3, 1), (2, 3)]),
    "column_stack": arrays([(3,), (3, 2)], [(2, 0), (2,)]),
    "block": arrays([(2, 2), (2, 1), (3,)]),
    "append": pair(1),
    "split": divided(True),
    "array_split": divided(False),
    "vsplit": divided(True, 0, 2),
    "hsplit": divided(True, 1, 2),
    "dsplit": divided(True, 2, 3),
    "unstack": placed("axis", SMALL),
    "trace": st.integers(-1, 2).map(lambda k: ([(2, 3, 2)], {"offset": k, "axis1": 2, "axis2": 1})),
}
LINES = {name: line for name, line in LINES.items() if hasattr(np, name)}
LISTS = {"vstack", "hstack", "dstack", "column_stack"}


def test_every_spelled_function_has_a_line() -> None:
    files = {spelled.__name__, reductions.__name__}
    made = [op for op in TABLE.values() if getattr(op.spelling, "__module__", "") in files]
    assert {op.name for op in made if not op.domain} == {*LINES}


def called(name: str, options: dict[str, Any]) -> Callable[..., Any]:
    """The function, of arrays one by one; it is found anew in each call."""

    def f(*xs: Any) -> Any:
        function = getattr(np, name)
        if name == "block":
            x, y, z = xs
            return np.block([[x, y], [z]])
        if name in LISTS:
            return function(xs, **options)
        if name == "astype":
            return function(xs[0], np.float64)
        if name == "divmod":
            return np.divmod(xs[0], 10.0 + xs[1])[1]
        if name == "float_power":
            return function(abs(xs[0]) + 0.1, xs[1])
        if name == "broadcast_arrays":
            return np.concatenate(
                [np.reshape(x, -1) * (i + 1.0) for i, x in enumerate(function(*xs))]
            )
        out = function(*xs, **options)
        return out[0] if name == "modf" else out

    return f


@pytest.mark.parametrize("name", LINES)
def test_it_is_numpys(name: str) -> None:
    @given(LINES[name], st.integers(0, 9))
    def run(case: Case, seed: int) -> None:
        shapes, options = case
        agrees(called(name, options), *numbers(*shapes, seed=seed), programs=seed == 0)

    run()
