"""The operations of the table, and how arguments and options of each are drawn.

A new operation has one line, in `LINES`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from tinygrad_ce.engine.operation import TABLE, Primitive

H = 1e-5  # step of central differences
# What the package registers; a user's operation, as in a doctest, declares no domain.
OPS = {op.name: op for op in TABLE.values() if op.domain is not None}


# ------------------------------------------------------------------ shapes and options, drawn
SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
FULL = hnp.array_shapes(min_dims=0, max_dims=3, min_side=1, max_side=3)  # an empty one has no max

Case = tuple[list[Any], dict[str, Any]]  # of each argument its shape, or itself; and the options


def broadcast(n: int, signature: str | None = None) -> Any:
    """Shapes that broadcast, in any direction."""
    how = {"signature": signature} if signature else {"num_shapes": n}
    drawn = hnp.mutually_broadcastable_shapes(**how, max_dims=3, min_side=0, max_side=3)
    return drawn.map(lambda s: ([*s.input_shapes], {}))


@st.composite
def conditional(draw: Any) -> Case:
    (c, x, y), _ = draw(broadcast(3))
    return [draw(hnp.arrays(bool, c)), x, y], {}


def axis_of(shape: tuple[int, ...]) -> Any:
    return st.integers(-len(shape), len(shape) - 1)


@st.composite
def reduced(draw: Any, shapes: Any = SHAPES) -> Case:
    shape = draw(shapes)
    axes = [st.none(), hnp.valid_tuple_axes(len(shape)), *[axis_of(shape)] * (shape != ())]
    return [shape], {"axis": draw(st.one_of(axes)), "keepdims": draw(st.booleans())}


@st.composite
def reshaped(draw: Any) -> Case:
    shape = draw(SHAPES)
    other = [shape[::-1], (*shape, 1), (1, *shape), -1, (-1, *shape[1:])]
    return [shape], {"shape": draw(st.sampled_from(other[: 4 if 0 in shape else 5]))}


@st.composite
def expanded(draw: Any) -> Case:
    shape = draw(SHAPES)
    n = len(shape) + 2
    axes = st.one_of(axis_of((*shape, 1)), st.sampled_from([(0, -1), (-1, n - 2), (1, 0)]))
    return [shape], {"axis": draw(axes)}


@st.composite
def squeezed(draw: Any) -> Case:
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=3))
    at = draw(axis_of(shape))
    shape = tuple(1 if d == at % len(shape) else n for d, n in enumerate(shape))
    return [shape], {"axis": draw(st.sampled_from([at, (at,), None]))}


@st.composite
def transposed(draw: Any) -> Case:
    shape = draw(SHAPES)
    order = draw(st.permutations(range(len(shape))))
    signed = [draw(st.sampled_from([a, a - len(shape)])) for a in order]
    return [shape], {"axes": draw(st.sampled_from([tuple(signed), None]))}


@st.composite
def swapped(draw: Any) -> Case:
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=3))
    return [shape], {"axis1": draw(axis_of(shape)), "axis2": draw(axis_of(shape))}


@st.composite
def stretched(draw: Any) -> Case:
    shape = draw(SHAPES)
    others = {"num_shapes": 1, "base_shape": shape, "max_dims": 4, "min_side": 0, "max_side": 3}
    return [shape], {"shape": draw(hnp.mutually_broadcastable_shapes(**others)).result_shape}


@st.composite
def joined(draw: Any) -> Case:
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=3))
    axis = draw(axis_of(shape))
    lengths = draw(st.lists(st.integers(0, 3), min_size=2, max_size=3))
    at = axis % len(shape)
    return [(*shape[:at], n, *shape[at + 1 :]) for n in lengths], {"axis": axis}


@st.composite
def contracted(draw: Any) -> Case:
    """Letters in both operands or one, kept or summed, some of size 1 against any other."""
    sizes = {letter: draw(st.integers(0, 3)) for letter in "abc"}
    words = st.lists(st.sampled_from("abc"), unique=True).map("".join)
    inputs = draw(st.lists(words, min_size=1, max_size=2))
    known = sorted(set("".join(inputs)))
    result = "".join(draw(st.permutations(known))[: draw(st.integers(0, len(known)))])
    shapes = [tuple(draw(st.sampled_from([sizes[c], 1])) for c in word) for word in inputs]
    return shapes, {"subscripts": ",".join(inputs) + "->" + result}


@st.composite
def along(draw: Any) -> Case:
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=3))
    axis = draw(axis_of(shape))
    picks = [draw(st.sampled_from([n, 1])) for n in shape]
    picks[axis] = draw(st.integers(0, 4))  # more than there are: some are read twice
    index = hnp.arrays(int, tuple(picks), elements=st.integers(-shape[axis], shape[axis] - 1))
    return [shape, draw(index)], {"axis": axis}


@st.composite
def indexed(draw: Any) -> Case:
    """Basic (slices, new axes, Ellipsis), boolean, integer arrays that repeat, and mixtures."""
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=3))
    rows = hnp.arrays(int, st.integers(0, 4), elements=st.integers(-shape[0], shape[0] - 1))
    last = hnp.arrays(int, st.integers(0, 4), elements=st.integers(-shape[-1], shape[-1] - 1))
    kinds = [
        hnp.basic_indices(shape, allow_newaxis=True),
        hnp.arrays(bool, shape),
        hnp.arrays(bool, shape[:1]),
        hnp.integer_array_indices(shape),
        rows.map(list),
        st.tuples(rows, st.just(...)),
        st.tuples(st.just(...), st.none(), last),
        st.tuples(st.just(...), st.none(), st.integers(-shape[-1], shape[-1] - 1)),
    ]
    return [shape], {"index": draw(st.one_of(kinds))}


def scattered(case: Case) -> Case:
    (shape,), options = case
    return [np.zeros(shape)[options["index"]].shape], {**options, "shape": shape}


@st.composite
def chosen(draw: Any, function: str) -> Case:
    """Options of functions that move entries of an array, leave some out, or put zeros."""
    most = {"diag": 2, "tril": 3, "triu": 3, "diagonal": 3, "rot90": 3}.get(function, 3)
    least = {"fliplr": 2, "rot90": 2, "diagonal": 2, "flip": 0, "tile": 0, "diagflat": 0}
    size = {"max_dims": most, "min_side": 0, "max_side": 3}
    shape = draw(hnp.array_shapes(min_dims=least.get(function, 1), **size))
    n, offsets = len(shape), st.integers(-2, 2)
    axis = axis_of(shape) if shape else st.none()
    pair = st.permutations(range(n)).map(lambda order: tuple(order[:2]))
    widths = st.tuples(st.integers(0, 2), st.integers(0, 2))
    options: dict[str, Any] = {
        "roll": {"shift": offsets, "axis": st.one_of(st.none(), axis)},
        "flip": {"axis": st.one_of(st.none(), axis, hnp.valid_tuple_axes(n))},
        "rot90": {"k": st.integers(-1, 4), "axes": pair},
        "repeat": {"repeats": st.integers(0, 3), "axis": st.one_of(st.none(), axis)},
        "tile": {"reps": st.one_of(st.integers(0, 2), widths, st.just((2, 1, 2, 1)))},
        "resize": {"new_shape": st.sampled_from([(2, 3), 5, (1, 2, 2)])},
        "delete": {"obj": st.just([0, -1]), "axis": st.none()},
        "diagonal": {"offset": offsets, "axis1": st.just(-1), "axis2": st.just(0)},
        "diag": {"k": offsets},
        "diagflat": {"k": offsets},
        "tril": {"k": offsets},
        "triu": {"k": offsets},
        "pad": {
            "pad_width": st.one_of(st.integers(0, 2), widths, st.just([(1, 0)] * n)),
            "mode": st.sampled_from(["constant", "edge", "reflect", "symmetric", "wrap"]),
        },
    }.get(function, {})
    found = {name: draw(x) for name, x in options.items()}
    assume(function not in ("delete", "pad") or 0 not in shape)
    if function == "pad" and found["mode"] == "constant":
        found["constant_values"] = draw(st.sampled_from([0.0, 2.5]))
    return [shape], found


CHOSEN = ["roll", "flip", "fliplr", "flipud", "rot90", "repeat", "tile", "resize", "delete"]
CHOSEN += ["diagonal", "diag", "diagflat", "tril", "triu", "pad"]
UFUNCS = ["sin", "cos", "tan", "sinh", "cosh", "arcsin", "arccos", "arctan", "arcsinh", "arccosh"]
UFUNCS += ["arctanh", "cbrt", "log2", "log10", "root", "sinc"]
ONE = SHAPES.map(lambda shape: ([shape], {}))
MATRICES = broadcast(2, np.matmul.signature)

# How to draw the shapes and options of each operation: the line that a new entry needs.
# fmt: off
LINES: dict[str, Any] = {
    "add": broadcast(2), "subtract": broadcast(2), "multiply": broadcast(2),
    "divide": broadcast(2), "power": broadcast(2), "maximum": broadcast(2),
    "minimum": broadcast(2), "logaddexp": broadcast(2), "matmul": MATRICES,
    "positive": ONE, "negative": ONE, "exp": ONE, "log": ONE, "log1p": ONE, "expm1": ONE,
    "sqrt": ONE, "square": ONE, "abs": ONE, "tanh": ONE, "relu": ONE, "sigmoid": ONE,
    **dict.fromkeys(UFUNCS, ONE),
    "arctan2": broadcast(2), "hypot": broadcast(2), "logaddexp2": broadcast(2),
    "remainder": broadcast(2),
    "prod": reduced(), **{name: chosen(name) for name in CHOSEN},
    "astype": SHAPES.map(lambda shape: ([shape], {"dtype": np.float64})),
    "where": conditional(),
    "clip": broadcast(3),
    "sum": reduced(),
    "mean": reduced(FULL),
    "max": reduced(FULL),
    "min": reduced(FULL),
    "reshape": reshaped(),
    "expand_dims": expanded(),
    "squeeze": squeezed(),
    "transpose": transposed(),
    "swapaxes": swapped(),
    "broadcast_to": stretched(),
    "concatenate": joined(),
    "einsum": contracted(),
    "take_along_axis": along(),
    "getitem": indexed(),
    "scatter": indexed().map(scattered),
}
# fmt: on
# SciPy's, where it is there: all of them are ufuncs.
SPECIAL = [op for op in OPS.values() if hasattr(op.function, "nin") or op.name == "zeta"]
SPECIAL = [op for op in SPECIAL if getattr(np, op.name, None) is not op.function]
LINES |= {op.name: ONE if op.arity == 1 else broadcast(op.arity or 2) for op in SPECIAL}
# Of matrices of full rank, or of one axis: test_linalg.py, test_order.py.
ELSEWHERE = {"inv", "solve", "det", "logabsdet", "pinv", "cholesky", "q", "r"}
ELSEWHERE |= {"eigenvalues", "eigenvectors", "singular_values", "left_vectors", "right_vectors"}
ELSEWHERE |= {"cumsum", "cumprod", "convolve", "rest"}


# ------------------------------------------------------------------ data, drawn
LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "contiguous": lambda a: a,
    "Fortran": lambda a: np.array(a, order="F"),
    "every second": lambda a: np.repeat(a, 2, axis=-1)[..., ::2] if a.ndim else a,
    "reversed": lambda a: a[::-1].copy()[::-1] if a.ndim else a,
    "read-only": lambda a: np.lib.stride_tricks.as_strided(a, writeable=False),
}


def inside(interval: tuple[float, float], t: Any) -> Any:
    """A point of the interval for each t in (0, 1), well away from its ends."""
    low, high = interval
    if low == -np.inf:
        return (high - 0.2 if high < np.inf else 2.0) - 4.0 * t
    return low + 0.2 + t * min(2.0, high - low - 0.4)


def domain_of(op: Primitive, n: int) -> list[tuple[float, float]]:
    assert op.domain is not None
    return [*op.domain, *[op.domain[-1]] * n][:n]


@st.composite
def cases(draw: Any, op: Primitive) -> Case:
    """Arguments inside the domain of ``op``, off the borders of its pieces, and options."""
    drawn, options = draw(LINES[op.name])
    rng = np.random.default_rng(draw(st.integers(0, 9)))
    # One shuffled grid for all entries: no two are nearly equal, where max and min are not smooth.
    total = sum(int(np.prod(s)) for s in drawn if isinstance(s, tuple))
    grid = iter((rng.permutation(total) + 0.4) / max(total, 1))
    args = []
    for shape, interval in zip(drawn, domain_of(op, len(drawn))):
        if isinstance(shape, tuple):
            dtype = draw(st.sampled_from([np.float64, np.float32]))
            t = np.array([next(grid) for _ in range(int(np.prod(shape)))]).reshape(shape)
            layout = LAYOUTS[draw(st.sampled_from(sorted(LAYOUTS)))]
            args.append(layout(np.asarray(inside(interval, t), dtype)))
        else:
            args.append(shape)
    assume(not op.piecewise or not all(map(np.size, args)) or in_pieces(op, args, options))
    return args, options


def in_pieces(op: Primitive, args: list[Any], options: dict[str, Any]) -> bool:
    """Whether a function of linear pieces has no border within a step of differences."""
    wide = [np.asarray(a, float) if a.dtype.kind == "f" else a for a in args]
    for i, x in enumerate(wide):
        if x.dtype.kind == "f":
            low, here, high = (
                op.fn(*wide[:i], x + h, *wide[i + 1 :], **options) for h in (-H, 0.0, H)
            )
            if np.any(abs(low + high - 2.0 * here) > 1e-3 * H):
                return False
    return True


# ------------------------------------------------------------------ slopes
def slope(f: Callable[[Any], Any], x: Any, analytic: bool) -> Any:
    """The derivative of f, a number, in every entry of x."""
    x = np.array(x, np.complex128 if analytic else np.float64)
    slopes = np.zeros(x.shape)
    for at in np.ndindex(x.shape):
        here = x[at]
        if analytic:  # Im f(x + ih) / h has no cancellation: exact to rounding
            x[at] = here + 1e-30j
            slopes[at] = f(x).imag / 1e-30
        else:
            x[at] = here + H
            ahead = f(x)
            x[at] = here - H
            slopes[at] = (ahead - f(x)) / (2 * H)
        x[at] = here
    return slopes
