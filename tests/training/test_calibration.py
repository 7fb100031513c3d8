"""One temperature, against SciPy, scikit-learn and its own equation; bins, counted by hand."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
from conftest import need
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tinygrad_ce import Value, cross_entropy, reliability, softmax, temperature_scale


def drawn(seed: int, n: int = 200, k: int = 4, sure: float = 3.0) -> tuple[Any, Any]:
    """Logits that are more (or less) sure than they should be, and classes drawn from others."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, k)) * 2
    p = softmax(z)
    y = np.array([rng.choice(k, p=row) for row in p])
    return sure * z, y


def slope(z: Any, y: Any, b: float) -> float:
    """d/db of the mean of logsumexp(b z) − b z_y, by hand, summed exactly."""
    own = z[np.arange(len(y)), y]
    terms = []
    for row, right in zip(z, own):
        e = np.exp(b * (row - row.max()))
        terms += list(e / e.sum() * (row - right))
    return math.fsum(terms) / len(y)


@pytest.mark.parametrize(("n", "k", "sure"), [(200, 4, 3.0), (50, 2, 0.2), (1000, 10, 1.0)])
@pytest.mark.parametrize("seed", range(3))
def test_temperature_is_where_the_slope_is_0(seed: int, n: int, k: int, sure: float) -> None:
    optimize = need("scipy.optimize")
    z, y = drawn(seed, n, k, sure)
    root = optimize.brentq(lambda b: slope(z, y, b), 1e-3, 1e3, xtol=1e-15, rtol=1e-14)
    assert temperature_scale(z, y) == pytest.approx(1 / root, rel=1e-10)


@pytest.mark.slow
def test_temperature_undoes_what_made_the_logits_too_sure() -> None:
    z, y = drawn(0, 20_000, 5, sure=7.0)
    assert temperature_scale(z, y) == pytest.approx(7.0, rel=0.03)
    before, after = reliability(softmax(z), y), reliability(softmax(z, temperature=7.0), y)
    assert after.ece < 0.02 < 0.2 < before.ece


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_temperature_is_that_of_scikit_learn(seed: int) -> None:
    need("sklearn")
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.frozen import FrozenEstimator
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(seed)
    for classes in (2, 3):
        X = rng.normal(size=(400, 3))
        y = (X @ rng.normal(size=(3, classes)) + rng.gumbel(size=(400, classes))).argmax(axis=1)
        model = LogisticRegression(C=1e6).fit(X[:60], y[:60])
        try:
            theirs = CalibratedClassifierCV(FrozenEstimator(model), method="temperature")
            theirs.fit(X[60:], y[60:])
        except ValueError as error:  # before scikit-learn 1.8
            pytest.skip(str(error))
        scores = model.decision_function(X[60:])
        T = temperature_scale(scores, y[60:])
        z = scores if classes > 2 else np.stack([0 * scores, scores], axis=1)
        # It minimizes the loss by its values alone, so half the digits are right.
        np.testing.assert_allclose(
            softmax(z, temperature=T), theirs.predict_proba(X[60:]), rtol=0, atol=1e-6
        )


@pytest.mark.slow
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(2, 5), st.floats(1e-3, 1e3))
def test_no_other_temperature_has_a_smaller_loss(seed: int, n: int, k: int, size: float) -> None:
    rng = np.random.default_rng(seed)
    z, y = size * rng.standard_cauchy(size=(n, k)), rng.integers(0, k, n)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        T = temperature_scale(z, y)
    best = cross_entropy(z / T, y)
    for factor in (0.5, 0.9, 0.999, 1.001, 1.1, 2.0):
        assert best <= cross_entropy(z / (T * factor), y) * (1 + 1e-13) + 1e-300


FAR = np.full((4, 3), -7.6e-207)
FAR[0, :2], FAR[1, 1] = (0.0, -1.0), 0.0


@pytest.mark.slow
@example(FAR, 0)  # the best 1 / T is about 1e206
@example(np.where(np.eye(4, 3), -5e-324, 0.0), 1)
@given(arrays(float, (4, 3), elements=st.floats(-1e6, 1e6)), st.integers(0, 80))
def test_any_logits_have_a_temperature(z: Any, code: int) -> None:
    y = np.array([code // 3**i % 3 for i in range(4)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        T = temperature_scale(z, y)
    assert T > 0


@given(st.floats(1e-6, 1e6), st.floats(-1e3, 1e3))
def test_scaling_logits_scales_the_temperature_and_shifting_does_nothing(
    c: float, s: float
) -> None:
    z, y = drawn(1, 40, 3)
    assert temperature_scale(c * z + c * s, y) == pytest.approx(c * temperature_scale(z, y), 1e-9)


def test_logits_of_two_classes_may_be_one_column() -> None:
    z, y = drawn(2, 100, 2)
    T = temperature_scale(z, y)
    assert temperature_scale(z[:, 1] - z[:, 0], y) == pytest.approx(T, rel=1e-12)
    assert temperature_scale(z[:, 1] - z[:, 0], y == 1) == pytest.approx(T, rel=1e-12)
    assert temperature_scale(Value(z), y.astype(np.int8)) == T
    assert temperature_scale(z.tolist(), y.tolist()) == T
    assert temperature_scale(z.astype(np.float32), y) == pytest.approx(T, rel=1e-6)


def test_nearly_separable_logits_have_a_tiny_temperature_to_full_accuracy() -> None:
    z = np.array([[0.0, 5.0]] * 99 + [[0.01, 0.0]])
    y = np.array([1] * 100)
    # 99 · 5 · exp(−5 b) = 0.01 · σ(0.01 b), nearly: solved here by bisection.
    low, high = 0.0, 1e4
    for _ in range(200):
        b = (low + high) / 2
        down = (
            99 * 5 / (1 + math.exp(5 * b)) < 0.01 / (1 + math.exp(-0.01 * b)) if b < 100 else True
        )
        low, high = (low, b) if down else (b, high)
    assert temperature_scale(z, y) == pytest.approx(1 / b, rel=1e-12)


def test_separable_logits_get_the_temperature_at_which_nothing_is_left_to_gain() -> None:
    z, y = np.array([[3.0, 1.0, 0.0], [0.0, 0.1, -5.0]]), np.array([0, 1])
    with pytest.warns(RuntimeWarning, match="every sample is right, so the loss falls as T → 0"):
        T = temperature_scale(z, y)
    assert 0 < T < 1e-3
    assert cross_entropy(z / T, y) == 0.0
    assert softmax(z, temperature=T).tolist() == [[1, 0, 0], [0, 1, 0]]


def test_logits_that_are_wrong_get_an_infinite_temperature() -> None:
    z, y = np.array([[3.0, 1.0, 0.0], [0.0, 0.1, -5.0]]), np.array([2, 2])
    with pytest.warns(RuntimeWarning, match="not above the mean, so the loss falls as T → ∞"):
        T = temperature_scale(z, y)
    assert math.isinf(T)
    assert (softmax(z, temperature=T) == 1 / 3).all()


@pytest.mark.parametrize("d", [0.1, 1e-6])
def test_logits_that_are_nearly_wrong_get_a_large_temperature(d: float) -> None:
    T = temperature_scale(np.array([[1.0 + d, 0.0], [0.0, 1.0]]), [0, 0])
    b = 1 / T
    assert (1 + d) / (1 + math.exp((1 + d) * b)) == pytest.approx(1 / (1 + math.exp(-b)), rel=1e-12)
    assert T * d == pytest.approx(1, rel=2 * d)


def test_a_mean_that_rounds_to_0_is_no_endless_search() -> None:
    z = np.array([[0.1, 0.2, 0.3], [0.3, 0.1, 0.2]])
    with pytest.warns(RuntimeWarning, match="T → ∞"):
        assert temperature_scale(z, np.array([1, 2])) == math.inf


def test_logits_that_are_all_alike_leave_it_at_1() -> None:
    assert temperature_scale(np.full((5, 3), 2.0), np.arange(5) % 3) == 1.0


def test_one_class_in_y_is_a_set_like_any_other() -> None:
    z = np.array([[2.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
    b = 1 / temperature_scale(z, np.zeros(3, int))
    assert 2 * 2 / (1 + math.exp(2 * b)) == pytest.approx(1 / (1 + math.exp(-b)), rel=1e-12)


def by_hand(sure: Any, true: Any, bins: int) -> tuple[list[Any], float]:
    """Guo et al., section 2: bin m holds what is above (m − 1) / M and up to m / M."""
    rows, error = [], 0.0
    for m in range(1, bins + 1):
        low, high = (m - 1) / bins, m / bins
        member = [i for i, s in enumerate(sure) if (low < s or m == 1) and s <= high]
        if not member:
            rows.append((math.nan, math.nan, 0))
            continue
        conf = math.fsum(sure[i] for i in member) / len(member)
        acc = sum(bool(true[i]) for i in member) / len(member)
        rows.append((conf, acc, len(member)))
        error += len(member) / len(sure) * abs(acc - conf)
    return rows, error


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(2, 5), st.integers(1, 20))
def test_bins_are_those_counted_by_hand(seed: int, n: int, k: int, bins: int) -> None:
    rng = np.random.default_rng(seed)
    p = softmax(rng.normal(size=(n, k)) * 3)
    y = rng.integers(0, k, n)
    found = reliability(p, y, bins=bins)
    rows, error = by_hand(p.max(axis=1), p.argmax(axis=1) == y, bins)
    got = list(zip(found.confidence, found.accuracy, found.count))
    np.testing.assert_allclose(got, rows, rtol=1e-12)
    assert found.ece == pytest.approx(error, rel=1e-12, abs=1e-15)
    assert found.count.sum() == n


@pytest.mark.parametrize("bins", [1, 5, 10, 15])
def test_binary_bins_are_scikit_learns(bins: int, rng: Any) -> None:
    calibration_curve = need("sklearn.calibration").calibration_curve
    p = rng.beta(0.5, 0.5, 500)
    y = (rng.random(500) < p**2).astype(int)
    found = reliability(p, y, bins=bins)
    true, mean = calibration_curve(y, p, n_bins=bins)
    there = found.count > 0
    np.testing.assert_allclose(found.accuracy[there], true, rtol=1e-12)
    np.testing.assert_allclose(found.confidence[there], mean, rtol=1e-12)
    assert found.ece == pytest.approx(by_hand(p, y, bins)[1], rel=1e-12)


def test_a_probability_on_an_edge_is_in_the_lower_bin() -> None:
    p = np.array([0.0, 0.25, 0.5, 0.5000001, 0.75, 1.0])
    assert reliability(p, [0] * 6, bins=4).count.tolist() == [2, 1, 2, 1]
    assert reliability(p, [0] * 6, bins=1).count.tolist() == [6]


def test_perfect_and_worst_predictions() -> None:
    one_hot = np.eye(3)[[0, 1, 2, 1]]
    assert reliability(one_hot, [0, 1, 2, 1]).ece == 0.0
    assert reliability(one_hot, [1, 2, 0, 0]).ece == 1.0
    assert reliability(Value(one_hot), np.array([1, 2, 0, 0])).count.tolist() == [0] * 14 + [4]


GOOD, Y = np.array([[0.5, 0.5], [0.2, 0.8]]), np.array([0, 1])
WRONG: list[tuple[Any, Any, type[Exception], str]] = [
    (GOOD[0, 0], Y, ValueError, "got shape (), wanted (N, K), or (N,) of two classes"),
    (GOOD[:, :1], Y, ValueError, "got shape (2, 1), wanted (N, K), or (N,) of two classes"),
    (GOOD[:0], Y[:0], ValueError, "got shape (0, 2), wanted (N, K), or (N,) of two classes"),
    (GOOD * np.nan, Y, ValueError, "wanted finite numbers, got inf or nan"),
    (GOOD.astype(str), Y, TypeError, "got <U32 data, wanted real numbers (float, int or bool)"),
    (GOOD, Y[:1], ValueError, "y: got int64 of shape (1,), wanted 2 indices"),
    (GOOD, Y + 1, ValueError, "y: got 1 to 2, wanted 0 to 1"),
    (GOOD[:, 0], Y - 1, ValueError, "y: got -1 to 0, wanted 0 to 1"),
    (GOOD, ["a", "b"], ValueError, "y: got <U1 of shape (2,), wanted 2 indices: np.search"),
    (GOOD, Y * 1.0, ValueError, "y: got float64 of shape (2,), wanted 2 indices: np.search"),
]


@pytest.mark.parametrize(("x", "y", "kind", "message"), WRONG)
@pytest.mark.parametrize("function", [temperature_scale, reliability])
def test_errors_say_what_was_got_and_wanted(
    function: Any, x: Any, y: Any, kind: Any, message: str
) -> None:
    with pytest.raises(kind) as caught:
        function(x, y)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_reliability_refuses_what_is_no_probability() -> None:
    for p, message in [
        (GOOD * 2, "p: got 0.4 to 1.6, wanted probabilities, from 0 to 1"),
        (GOOD[:, 0] - 0.3, "p: got -0.1 to 0.2, wanted probabilities, from 0 to 1"),
        (GOOD * [[1.0], [0.5]], "p: row 1 sums to 0.5, wanted 1"),
    ]:
        with pytest.raises(ValueError, match=f"^{message}$"):
            reliability(p, Y)
    for bins in (0, -1, 2.5, "10"):
        with pytest.raises(ValueError, match=r"^bins: got .*, wanted an int from 1 up$"):
            reliability(GOOD, Y, bins=bins)  # type: ignore[arg-type]


def test_the_warning_points_at_the_callers_line() -> None:
    with pytest.warns(RuntimeWarning) as caught:
        temperature_scale(np.array([[1.0, 0.0]]), [0])
    assert caught[0].filename == __file__


def test_hypothesis_draws_more_than_the_easy_cases() -> None:
    """The draws of the tests above reach a minimum inside, not the two warnings alone."""
    rng, inside = np.random.default_rng(0), 0
    for _ in range(100):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            temperature_scale(rng.standard_cauchy(size=(10, 3)), rng.integers(0, 3, 10))
        inside += not caught
    assert inside > 30
