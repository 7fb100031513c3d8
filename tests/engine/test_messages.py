"""What a message says where another library writes the last line, or where an error has a cause."""

from __future__ import annotations

import math
import operator
import os
import random
import re
import statistics
import subprocess
import sys
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import need
from helpers.errors import LOST, a, s, v

import tinygrad_ce as tg
from tinygrad_ce import Value, cross_entropy, primitive, program, sigmoid, softmax


def raised(mistake: Callable[[], Any]) -> BaseException:
    with pytest.raises((ArithmeticError, LookupError, TypeError, ValueError)) as caught:
        mistake()
    return caught.value


WRITTEN: dict[str, Callable[[], Any]] = {
    "r[i] = v": lambda: operator.setitem(np.zeros(3), 0, s()),
    "r[i, j] = v": lambda: operator.setitem(np.zeros((2, 2)), (0, 1), s() * 2.0),
    "r[i] = v of float32": lambda: operator.setitem(np.zeros(3, np.float32), 0, s()),
    "r.fill(v)": lambda: np.zeros(3).fill(s()),
    "np.fromiter": lambda: np.fromiter([s()], float),
}


@pytest.mark.parametrize("mistake", WRITTEN.values(), ids=WRITTEN)
def test_just_above_numpys_line_stands_the_way(mistake: Callable[[], Any]) -> None:
    cause = str(raised(mistake).__cause__)
    for words in ("r[i] = v", LOST, "collect in a list, then np.stack"):
        assert words in cause
    assert "math.exp" not in cause


def summed(x: Any) -> Any:
    return x + np.ones(2)


def caused(x: Any) -> Any:
    raise ValueError("mine") from KeyError("why")


ONCE: dict[str, tuple[Callable[[], Any], str]] = {
    "add": (lambda: v() + np.ones(2), "add of w (3,), (2,)"),
    "array first": (lambda: np.ones(2) * v(), "multiply of (2,), w (3,)"),
    "matmul": (lambda: a() @ a(), "matmul of A (2, 3), A (2, 3)"),
    "maximum": (lambda: np.maximum(a(), np.ones(2)), "maximum of A (2, 3), (2,)"),
    "reshape": (lambda: a().reshape(4), "reshape of A (2, 3)"),
    "index": (lambda: v()[7], "getitem of w (3,)"),
    "ragged": (lambda: Value([[1.0], [1.0, 2.0]]), "Value()"),
    "axis": (lambda: softmax(v(), axis=3), "axis 3 is out of bounds"),
    "own": (lambda: primitive(lambda g, out, x: g)(summed)(v()), "summed of w (3,)"),
}


@pytest.mark.parametrize(("mistake", "words"), ONCE.values(), ids=ONCE)
def test_a_wrong_shape_is_said_once(mistake: Callable[[], Any], words: str) -> None:
    text = "".join(traceback.format_exception(raised(mistake)))
    assert text.count("Traceback") == 1
    assert words in text.splitlines()[-1]


def test_an_error_in_an_operation_of_ones_own_shows_its_line_and_its_cause() -> None:
    error = raised(lambda: primitive(lambda g, out, x: g)(summed)(v()))
    assert traceback.extract_tb(error.__traceback__)[-1].name == "summed"
    error = raised(lambda: primitive(lambda g, out, x: g)(caused)(v()))
    assert str(error).endswith(": caused of w (3,): mine")
    assert isinstance(error.__cause__, KeyError)


def grid(x: Any) -> Any:
    return np.piecewise(X, [X > 1.0], [x, 0.0])


X, PAIR = np.array([1.0, 2.0, 3.0]), np.eye(2)
CALLED: dict[str, tuple[Callable[[Any], Any], str]] = {  # what is called, and what to do instead
    "np.full": (lambda x: np.full(3, x), "np.broadcast_to(v, shape)"),
    "np.full_like": (lambda x: np.full_like(X, x), "np.broadcast_to(v, shape)"),
    "np.nan_to_num": (lambda x: np.nan_to_num(X, nan=x), "np.where(np.isnan(x), v, x)"),
    "np.pad": (lambda x: np.pad(X, 1, constant_values=x), "np.concatenate"),
    "np.fill_diagonal": (lambda x: np.fill_diagonal(PAIR.copy(), x), "np.stack"),
    "np.array": (lambda x: np.array([x, 1.0]), "np.stack"),
    "np.asarray": (lambda x: np.asarray(x), "np.stack"),
    "np.float64": (lambda x: np.float64(x), "np.stack"),
    "np.exp": (lambda x: np.exp([x, x]), "np.stack"),
    "np.arange": (lambda x: np.arange(x), "v * np.arange(n)"),
    "np.tri": (lambda x: np.tri(3, 3, x), ""),
    "np.histogram": (lambda x: np.histogram(X, [0.0, x, 9.0]), ""),
    "np.piecewise": (grid, ""),
    "np.polyval": (lambda x: np.polyval([x, 2.0], X), ""),
    "np.vander": (lambda x: np.vander([x, 2.0]), ""),
    "np.apply_along_axis": (lambda x: np.apply_along_axis(lambda row: row * x, 0, PAIR), ""),
    "np.linalg.matrix_power": (lambda x: np.linalg.matrix_power(PAIR, x), ""),
    "np.polynomial.polynomial.polyval": (
        lambda x: np.polynomial.polynomial.polyval(X, [x, 1.0]),
        "",
    ),
    "np.testing.assert_allclose": (lambda x: np.testing.assert_allclose(x * X, X), ""),
    "RANDOM.normal": (lambda x: RANDOM.normal(x), "v + scale * rng.normal(size=n)"),
    "RANDOM.choice": (lambda x: RANDOM.choice(x * X), ""),
    "math.log": (lambda x: math.log(x), "np.log"),
    "math.pow": (lambda x: math.pow(x, 2.0), "np.pow" if hasattr(np, "pow") else ""),
    "math.fsum": (lambda x: math.fsum([x, x]), ""),
    "PAIR.dot": (lambda x: PAIR.dot(x), "np.dot"),
    "PAIR.T.dot": (lambda x: PAIR.T.dot(x), "np.dot"),
    "X.sum": (lambda x: X.sum(initial=x), "np.sum"),
    "softmax": (lambda x: softmax([x, x]), "np.stack"),
    "sigmoid": (lambda x: sigmoid([x, x]), "np.stack"),
    "tg.logsumexp": (lambda x: tg.logsumexp([x, x]), "np.stack"),
    "statistics.fmean": (lambda x: statistics.fmean([x, x]), ""),
    "statistics.correlation": (lambda x: statistics.correlation([x, x], [1.0, 2.0]), ""),
    "math.comb": (lambda x: math.comb(x, 1), ""),
    "range": (lambda x: range(x), ""),
}
RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("name", CALLED)
def test_an_error_speaks_of_the_function_that_was_called(name: str) -> None:
    """Not of one further in, as np.copyto, which np.full_like calls."""
    f, way = CALLED[name]
    for mistake, drops in (
        (lambda: f(s()), f"{name}, which takes plain numbers, {LOST}"),
        (lambda: program(lambda x: f(x) * x, 2.0), name),
    ):
        error = raised(mistake)
        said = f"{error} {error.__cause__}"
        assert drops in said
        assert way in said
        assert "copyto" not in said


def test_an_arrays_own_method_that_calls_a_ufunc_of_its_own_names_numpys_function() -> None:
    for mistake in (
        lambda: X.clip(0.0, s()),
        lambda: X.clip(s(), 9.0),
        lambda: X.clip(0.0, v()),
        lambda: program(lambda x: X.clip(0.0, x).sum(), 2.0),
    ):
        message = str(raised(mistake))
        assert message == "X.clip, which takes plain numbers, would lose the gradient. " + CLIP
    w = v()
    np.clip(X, 0.0, w * 0.5).sum().backward()
    np.testing.assert_array_equal(w.grad, [0.5, 0.5, 0.5])


CLIP = "Use np.clip. Its data is v.data."


def test_the_line_is_the_learners_behind_pythons_own_and_matplotlibs_too() -> None:
    """Not one of random.py; and what is named is what the line calls."""
    for mistake in (
        lambda: random.gauss(v(), a()[0, :2]),
        lambda: random.uniform(v(), np.ones(2)),
        lambda: random.triangular(v(), np.ones(2), v()),
    ):
        message = str(raised(mistake))
        at = mistake.__code__.co_firstlineno
        assert message.startswith(f"test_messages.py, line {at}: ")
        assert "operands could not be broadcast" in message
    plt = need("matplotlib.pyplot")
    for mistake, name in ((lambda: plt.plot([s()]), "plot"), (lambda: plt.bar(v(), X), "bar")):
        message = str(raised(mistake))
        assert re.match(rf"(matplotlib\.py)?pl(o)?t\.{name}, which takes plain", message), message
        assert "v.data" in message
    plt.close()


def test_the_number_is_named_where_a_library_goes_through_the_entries() -> None:
    for mistake in (
        lambda: need("torch").tensor(v()),
        lambda: operator.mod("%.3f", s()),
        lambda: [*s()],
    ):
        assert "number" in str(raised(mistake))
        assert "is v.data" in str(raised(mistake))


def test_what_is_named_for_whole_numbers_and_for_out_works() -> None:
    y = Value([0.0, 2.0])
    assert "v.data.astype(" in str(raised(lambda: y.astype(int)))
    assert "y.data.astype(int)" in str(raised(lambda: cross_entropy(a(), y)))
    assert "Leave out= away" in str(raised(lambda: np.exp(v(), out=X.copy())))
    assert "Leave out= away" in str(raised(lambda: np.add(v(), 1.0, out=X.copy())))
    assert float(cross_entropy(a(), y.data.astype(int)).data) > 0.0


def test_a_program_names_the_learners_line_behind_scipys() -> None:
    special, linalg = need("scipy.special"), need("scipy.linalg")
    for f, name in (
        (lambda x: special.softmax(x * X), "special.softmax"),
        (lambda x: special.logsumexp(x * X), "special.logsumexp"),
        (lambda x: linalg.expm(x * PAIR), "linalg.expm"),
    ):
        error = raised(lambda f=f: program(f, 2.0))
        message = f"{error} {error.__cause__ or error.__context__}"
        at = f.__code__.co_firstlineno
        assert f"test_messages.py, line {at}: scipy.{name}, which takes plain" in message
        assert "special" not in name or f"Use tinygrad_ce.{name[8:]}." in message


def test_scipys_functions_are_called_by_their_module() -> None:
    need("scipy")
    code = """if True:
        from scipy import special
        from tinygrad_ce import Value
        for f in (special.ellipe, special.hankel1, special.struve):
            try:
                f(*[Value([1.0, 2.0])] * f.nin)
            except NotImplementedError as error:
                print(error)
        """
    usual = {name: x for name, x in os.environ.items() if name != "SCIPY_ARRAY_API"}
    printed = subprocess.run([sys.executable, "-c", code], env=usual, capture_output=True)
    wanted = [f"scipy.special.{name} has no rule." for name in ("ellipe", "hankel1", "struve")]
    assert [line.partition(" Use")[0] for line in printed.stdout.decode().splitlines()] == wanted


def test_a_function_that_no_module_has_is_called_by_its_name() -> None:
    with pytest.raises(NotImplementedError, match=r"^abs \(vectorized\) has no rule"):
        np.frompyfunc(abs, 1, 1)(v())


def test_whether_a_value_has_a_method_is_answered() -> None:
    assert not any(hasattr(v(), name) for name in ("item", "detach", "numpy"))
    assert hasattr(v(), "sum")


@pytest.mark.parametrize("f", [operator.add, operator.sub, operator.mul, operator.truediv])
def test_a_data_frame_beside_a_value(f: Callable[..., Any]) -> None:
    frame = need("pandas").DataFrame({"x": [1.0, 2.0], "y": [3.0, 4.0]})
    for other in (Value(2.0), Value([1.0, 2.0]), Value([[1.0, 2.0], [4.0, 8.0]])):
        for given in (frame, frame["x"]):
            wanted = f(given.to_numpy(), other.data)
            np.testing.assert_array_equal(f(given, other).data, wanted)
            np.testing.assert_array_equal(f(other, given).data, f(other.data, given.to_numpy()))


def test_a_data_frame_that_is_refused_names_the_way() -> None:
    frame = need("pandas").DataFrame({"x": [1.0, 2.0], "y": ["a", "b"]})
    weights = Value(np.ones((2, 2)))
    for mistake in (
        lambda: Value(frame),
        lambda: weights * frame,
        lambda: weights - frame["y"],
        lambda: frame[["x"]].T @ weights,
    ):
        assert ".to_numpy(" in str(raised(mistake))
    (frame[["x"]].to_numpy(float).T @ weights).sum().backward()
    np.testing.assert_array_equal(weights.grad, [[1, 1], [2, 2]])


def test_the_way_that_is_named_works() -> None:
    x = v()
    np.stack([np.log(entry) for entry in x]).sum().backward()
    np.testing.assert_array_equal(x.grad, 1 / x.data)
    x.grad = None
    assert x.passes == 0
    x.data[0] = 5.0
    np.where(x.data > 4, 0.0, x).sum().backward()
    np.testing.assert_array_equal(x.grad, [0, 1, 1])
    assert math.log(s().data) == np.log(s()).data
