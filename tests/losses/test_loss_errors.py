"""Bad logits, targets and options of losses get one clear line."""

# ruff: noqa: E501 - a case of the table is one line
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers.errors import LOST, NAN, REAL, Case, P, T, X, Z, a, check, s, table, v

from tinygrad_ce import (
    Value,
    binary_cross_entropy,
    cross_entropy,
    linear_cross_entropy,
    log_softmax,
    logistic_loss,
    logsumexp,
    mse,
    nll,
    relu,
    sigmoid,
    softmax,
)

# fmt: off
CASES: list[Case] = [
    # Other losses
    ("bce, shape", lambda: binary_cross_entropy(v(), [[0], [1], [1]]), ValueError, ["(3, 1)", "(3,)"]),
    ("bce, range", lambda: binary_cross_entropy(v(), [0, 2, 1]), ValueError, ["got 2 at (1,)", "0 to 1"]),
    ("bce, nan target", lambda: binary_cross_entropy(v(), [0, NAN, 1]), ValueError, ["got nan at (1,)", "0 to 1"]),
    ("bce, weight Value", lambda: binary_cross_entropy(v(), T[[0, 0, 0]], weight=v()), TypeError, ["weight", "data"]),
    ("bce, weight shape", lambda: binary_cross_entropy(v(), X, weight=np.ones((2, 3))), ValueError, ["weight", "(2, 3)", "(3,)"]),
    ("bce, weight rows", lambda: binary_cross_entropy(Z, np.ones((2, 3)), weight=np.ones((5, 3))), ValueError, ["weight", "(5, 3)", "(2, 3)"]),
    ("bce, weight sign", lambda: binary_cross_entropy(v(), X, weight=-1.0), ValueError, ["weight", "-1.0", "from 0"]),
    ("bce, pos_weight shape", lambda: binary_cross_entropy(v(), X, pos_weight=[1, 2]), ValueError, ["pos_weight", "(2,)", "(3,)"]),
    ("bce, pos_weight text", lambda: binary_cross_entropy(v(), X, pos_weight="a"), TypeError, ["pos_weight", "<U1"]),
    ("logistic, 0 and 1", lambda: logistic_loss(v(), [0, 1, 1]), ValueError, ["got 0 at (0,)", "-1 and +1"]),
    ("logistic, bool", lambda: logistic_loss(v(), [True, False, True]), ValueError, ["got False at (1,)", "-1 and +1"]),
    ("mse, shape", lambda: mse(v(), np.ones((3, 1))), ValueError, ["(3, 1)", "(3,)"]),
    *(
        (f"{f.__name__}, {what}", lambda f=f, args=args, kw=kw: f(*args, **kw), error, words)
        for f in (binary_cross_entropy, logistic_loss, mse)
        for what, args, kw, error, words in [
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
            ("axis", a(), 2, ValueError, ["axis 2", "dimension 2"]),
            ("axis, array", Z, -3, ValueError, ["axis -3", "dimension 2"]),
            ("axis, text", a(), "x", TypeError, ["'str'", "integer"]),
            ("axis, Value", a(), s(), TypeError, ["int(v.data)"]),
            ("no classes", Value(np.ones((2, 0))), -1, ValueError, ["zero-size array", "maximum"]),
        ]
    ),
    *(
        (f"{f.__name__} of {x!r}", lambda f=f, x=x: f(x), TypeError, [f.__name__, str(np.asarray(x).dtype), REAL])
        for f in (softmax, log_softmax, logsumexp, sigmoid, relu)
        for x in (1j, "1", ["1", "2"], None, [None], np.array(["2020"], "M8[D]"))
    ),
]
# cross_entropy: target, options, error, what the message holds
CROSS_ENTROPY: dict[str, tuple[Any, dict[str, Any], type[Exception], list[str]]] = {
    "class": ([0, 3], {}, ValueError, ["class 3 at (1,)", "0 to 2"]),
    "negative class": ([-1, 0], {}, ValueError, ["class -1 at (0,)", "0 to 2"]),
    "-100": ([0, -100], {}, ValueError, ["class -100 at (1,)", "0 to 2"]),
    "other than ignore_index": ([-100, -1], {"ignore_index": -100}, ValueError, ["class -1 at (1,)", "ignore_index=-100"]),
    "float classes": ([0.0, 1.0], {}, TypeError, ["integers", "float64", ".astype(int)"]),
    "bool classes": ([True, False], {}, TypeError, ["integers", "bool", ".astype(int)"]),
    "shape": ([0, 1, 2], {}, ValueError, ["(3,)", "(2,)", "(2, 3)"]),
    "column of classes": ([[0], [1]], {}, ValueError, ["(2, 1)", "(2,)", "(2, 3)"]),
    "four classes": (np.ones((2, 4)) / 4, {}, ValueError, ["(2, 4)", "(2, 3)", "probabilities"]),
    "one class for two rows": (0, {}, ValueError, ["()", "(2,)", "(2, 3)"]),
    "negative probability": ([[1.5, -0.5, 0], [1, 0, 0]], {}, ValueError, ["-0.5 at (0, 1)", "0 or more"]),
    "nan probability": ([[1, 0, 0], [NAN, 0, 1]], {"allow_unnormalized": True}, ValueError, ["nan at (1, 0)"]),
    "probabilities' sum": ([[1, 0, 0], [0.5, 0.2, 0.2]], {}, ValueError, ["(1,)", "0.9", "wanted 1", "allow_unnormalized=True"]),
    "two hot": ([[1, 1, 0], [1, 0, 0]], {}, ValueError, ["(0,)", "sum to 2"]),
    "Value of classes": (Value([0.0, 1.0]), {}, TypeError, ["class indices are integers", "float64"]),
    "list of Values": ([s(), s()], {}, TypeError, [LOST, "v.data"]),
    "text target": (["a", "b"], {}, TypeError, ["target", "<U1", "np.unique(labels, return_inverse=True)"]),
    "text and number": (np.array(["a", 1], object), {}, TypeError, ["target", "object", "np.unique("]),
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


@table(CASES)
def test_bad_input_gets_a_clear_error(
    mistake: Callable[[], Any], error: type[Exception], words: list[str]
) -> None:
    check(mistake, error, words)


ARRAYS: dict[Callable[..., Any], dict[str, Any]] = {
    cross_entropy: {"logits": Z, "target": P, "weight": X},
    nll: {"log_probs": Z, "target": T, "weight": X},
    binary_cross_entropy: {"logits": Z, "target": P, "weight": X, "pos_weight": X},
    logistic_loss: {"logits": Z, "target": np.sign(Z)},
    mse: {"prediction": Z, "target": Z},
    linear_cross_entropy: {"x": Z, "W": np.eye(3), "b": X, "target": T, "weight": X},
}


@pytest.mark.parametrize(
    ("odd", "word"),
    [
        (lambda x: np.ma.masked_greater(x, 0.5), "MaskedArray"),
        (lambda x: np.atleast_2d(x).view(np.matrix), "matrix"),
    ],
    ids=["masked", "matrix"],
)
@pytest.mark.parametrize("loss", ARRAYS, ids=lambda f: f.__name__)
def test_arrays_that_change_numpy_are_refused_in_every_argument(
    loss: Any, odd: Any, word: str
) -> None:
    given = ARRAYS[loss]
    first = next(iter(given))
    for what in given:
        for kind in (np.asarray, Value):
            mixed = given | {first: kind(given[first])} | {what: odd(given[what])}
            check(lambda mixed=mixed: loss(**mixed), TypeError, [what, word, "Use "])


def test_the_way_out_that_a_message_names_works() -> None:
    loose = [[0.5, 0.2, 0.2], [1, 0, 0]]
    composed = cross_entropy(Z, loose, allow_unnormalized=True, fused=False)
    assert cross_entropy(Z, loose, allow_unnormalized=True) == pytest.approx(composed)
    assert nll(log_softmax(Z), loose, allow_unnormalized=True) == pytest.approx(composed)


class Sparse:
    """SciPy's, as NumPy sees it: one object."""

    def toarray(self) -> Any:
        return np.eye(3)


@pytest.mark.parametrize(
    ("target", "says"),
    [
        (Sparse(), r"S\.toarray\(\)$"),
        (np.ma.masked_array([0, 1, 2]), r"m\.data\)$"),
        (None, r"bool\)$"),
        (np.array([1j, 0, 0]), r"bool\)$"),
        (np.array(["a", "b", None], object), "labels that are text"),
    ],
)
def test_a_target_that_is_no_text_is_not_taken_for_one(target: Any, says: str) -> None:
    with pytest.raises(TypeError, match=says):
        cross_entropy(Value(np.eye(3)), target)


def test_a_sparse_matrix_and_a_masked_array_beside_a_value_are_named() -> None:
    v = Value(np.eye(3))
    with pytest.raises(TypeError, match=r"S\.toarray\(\)"):
        v @ Sparse()
    with pytest.raises(TypeError, match=r"m\.filled"):
        np.ma.masked_array(np.eye(3)) + v
