"""numpy.linalg: values as NumPy's, gradients as differences and PyTorch have them, and programs."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import need
from helpers.calls import agree_as_programs, agrees, agrees_twice
from hypothesis import given, settings
from hypothesis import strategies as st

from tinygrad_ce import Value, grad, grad_of, hessian, program, topological

Function = Callable[..., Any]
LA = np.linalg


# ------------------------------------------------------------------ matrices, drawn
def tall(rng: Any, batch: tuple[int, ...], m: int, n: int) -> Any:
    """Matrices whose singular values are well apart, from 1 to 2."""
    u, _, vt = LA.svd(rng.normal(size=(*batch, m, n)), full_matrices=False)
    return (u * np.linspace(2.0, 1.0, min(m, n))) @ vt


def square(rng: Any, batch: tuple[int, ...], m: int, n: int) -> list[Any]:
    return [tall(rng, batch, n, n)]


def symmetric(rng: Any, batch: tuple[int, ...], m: int, n: int) -> list[Any]:
    """Of eigenvalues from 1 to 2."""
    v, _ = LA.qr(rng.normal(size=(*batch, n, n)))
    return [(v * np.linspace(1.0, 2.0, n)) @ np.swapaxes(v, -1, -2)]


def any_shape(rng: Any, batch: tuple[int, ...], m: int, n: int) -> list[Any]:
    return [tall(rng, batch, m, n)]


def some(rng: Any, batch: tuple[int, ...], m: int, n: int) -> list[Any]:
    return [tall(rng, batch, max(m, 1), max(n, 1))]


def system(rng: Any, batch: tuple[int, ...], m: int, n: int) -> list[Any]:
    return [tall(rng, batch, n, n), rng.normal(size=(n, m))]


def stack_of_systems(rng: Any, batch: tuple[int, ...], m: int, n: int) -> list[Any]:
    return [tall(rng, (), n, n), rng.normal(size=(*batch, n, m))]


def with_vector(rng: Any, batch: tuple[int, ...], m: int, n: int) -> list[Any]:
    return [tall(rng, batch, n, n), rng.normal(size=n)]


def far(rng: Any, batch: tuple[int, ...], m: int, n: int) -> list[Any]:
    """Numbers away from 0, where such norms bend too much for central differences."""
    return [x + 0.3 * np.sign(x) for x in some(rng, batch, m, n)]


def observations(rng: Any, batch: tuple[int, ...], m: int, n: int) -> list[Any]:
    return [tall(rng, (), m + n + 1, n), rng.normal(size=(m + n + 1, *batch[:1]))]


def chain(rng: Any, batch: tuple[int, ...], m: int, n: int) -> list[Any]:
    return [rng.normal(size=s) for s in ((m, n), (n, 2), (2,))]


CASES: dict[str, tuple[Function, Function]] = {
    "inv": (LA.inv, square),
    "solve": (LA.solve, system),
    "solve, stack": (LA.solve, stack_of_systems),
    "solve, vector": (LA.solve, with_vector),
    "det": (LA.det, square),
    "slogdet": (lambda a: LA.slogdet(a).logabsdet * LA.slogdet(a)[0], square),
    "pinv": (LA.pinv, any_shape),
    "pinv, options": (lambda a: LA.pinv(a, rcond=1e-6) + LA.pinv(a, rtol=1e-6), any_shape),
    "cholesky": (LA.cholesky, symmetric),
    "cholesky, upper": (lambda a: LA.cholesky(a, upper=True), symmetric),
    "eigvalsh": (LA.eigvalsh, symmetric),
    "eigvalsh, upper": (lambda a: LA.eigvalsh(a, UPLO="U"), symmetric),
    "eigh, values": (lambda a: LA.eigh(a).eigenvalues, symmetric),
    "eigh, vectors": (lambda a: LA.eigh(a)[1], symmetric),
    "eigh, upper": (lambda a: LA.eigh(a, "u").eigenvectors, symmetric),
    "svd, U": (lambda a: LA.svd(a, full_matrices=False).U, any_shape),
    "svd, s": (lambda a: LA.svd(a, full_matrices=False)[1], any_shape),
    "svd, Vh": (lambda a: LA.svd(a, full_matrices=False)[2], any_shape),
    "svd, square": (lambda a: LA.svd(a)[0] @ LA.svd(a).Vh, square),
    "svd, values": (lambda a: LA.svd(a, compute_uv=False), any_shape),
    "svdvals": (LA.svdvals, any_shape),
    "qr, Q": (lambda a: LA.qr(a)[0], some),
    "qr, R": (lambda a: LA.qr(a).R, some),
    "qr, mode": (lambda a: LA.qr(a, mode="r"), some),
    "lstsq": (lambda a, b: LA.lstsq(a, b)[0], observations),
    "lstsq, rest": (lambda a, b: LA.lstsq(a, b)[1], observations),
    "lstsq, s": (lambda a, b: LA.lstsq(a, b, rcond=1e-6)[3], observations),
    "multi_dot": (lambda *xs: LA.multi_dot(xs), chain),
    "matrix_power, 0": (lambda a: a + LA.matrix_power(a, 0), square),
    **{f"matrix_power, {n}": (lambda a, n=n: LA.matrix_power(a, n), square) for n in (-2, 1, 2, 7)},
    **{
        f"norm of vectors, {p}": (
            lambda a, p=p: LA.norm(a, p, axis=-1),
            far if p in (-1, 0.5) else some,
        )
        for p in (None, 1, 2, 3, 1.5, -1, 0.5, np.inf, -np.inf)
    },
    **{
        f"norm of a matrix, {p}": (lambda a, p=p: LA.norm(a, p, (-1, -2), keepdims=True), some)
        for p in (None, "fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf)
    },
    **{
        f"matrix_norm, {p}": (lambda a, p=p: LA.matrix_norm(a, ord=p, keepdims=True), some)
        for p in ("fro", "nuc", 1, -2, np.inf)
    },
    "norm": (LA.norm, any_shape),
    "trace": (LA.trace, some),
    "diagonal": (lambda a: LA.diagonal(a, offset=1), some),
    "matrix_transpose": (LA.matrix_transpose, any_shape),
    "matmul": (LA.matmul, system),
    "outer": (lambda a, b: LA.outer(a.reshape(-1), b), with_vector),
    "vecdot": (LA.vecdot, with_vector),
    "tensordot": (lambda a, b: LA.tensordot(a, b, axes=1), with_vector),
    "norm, keepdims": (lambda a: LA.norm(a, keepdims=True), any_shape),
    "vector_norm": (LA.vector_norm, any_shape),
    "vector_norm, axes": (lambda a: LA.vector_norm(a, axis=(0, -1), ord=3), some),
}


@st.composite
def cases(draw: Any, make: Function) -> list[Any]:
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    batch = draw(st.sampled_from([(), (2,), (2, 1), (0,)]))
    return make(rng, batch, draw(st.integers(0, 4)), draw(st.integers(0, 4)))


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients(name: str) -> None:
    f, make = CASES[name]

    @given(cases(make), st.sampled_from([np.float64, np.float32]))
    def run(args: list[Any], dtype: Any) -> None:
        try:
            f(*args)
        except ValueError:  # of no entries NumPy itself has none
            return
        agrees(f, args, dtype)

    run()


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_second_derivatives(name: str) -> None:
    f, make = CASES[name]

    @given(cases(make))
    @settings(max_examples=max(3, settings.default.max_examples // 10))
    def run(args: list[Any]) -> None:
        try:
            f(*args)
        except ValueError:
            return
        agrees_twice(f, args)

    run()


@pytest.mark.slow
def test_programs(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    calls = [(f, make(rng, (2,) * (make is not observations), 4, 3)) for f, make in CASES.values()]
    assert "np.linalg.inv(xs_0)" in agree_as_programs(calls, tmp_path)[0]


def test_a_program_decomposes_once() -> None:
    def loss(a: Any) -> Any:
        w, v = LA.eigh(a)
        return (w * v).sum()

    (a,) = symmetric(np.random.default_rng(0), (), 0, 3)
    assert program(loss, a).source.count("np.linalg.eigh(") == 1
    assert program(lambda a: LA.svd(a)[0].sum(), a).source.count("np.linalg.svd(") == 1
    assert program(lambda a: (LA.qr(a)[0] * LA.qr(a)[1]).sum(), a).source.count("qr(a)") == 1


TORCH: dict[str, tuple[Function, Function, Function]] = {
    "inv": (LA.inv, lambda torch: torch.linalg.inv, square),
    "det": (LA.det, lambda torch: torch.linalg.det, square),
    "slogdet": (lambda a: LA.slogdet(a)[1], lambda t: lambda a: t.linalg.slogdet(a)[1], square),
    "pinv": (LA.pinv, lambda torch: torch.linalg.pinv, any_shape),
    "solve": (LA.solve, lambda torch: torch.linalg.solve, system),
    "svd": (
        lambda a: LA.svd(a, full_matrices=False).Vh ** 2,
        lambda t: lambda a: t.linalg.svd(a, full_matrices=False).Vh ** 2,
        any_shape,
    ),
    "qr": (lambda a: LA.qr(a)[1] ** 2, lambda t: lambda a: t.linalg.qr(a)[1] ** 2, some),
    "norm": (lambda a: LA.norm(a, 3, 0), lambda t: lambda a: t.linalg.norm(a, 3, 0), some),
    "nuclear": (
        lambda a: LA.matrix_norm(a, ord="nuc"),
        lambda t: lambda a: t.linalg.matrix_norm(a, ord="nuc"),
        some,
    ),
}


@pytest.mark.parametrize("name", TORCH)
def test_gradients_are_those_of_pytorch(name: str) -> None:
    torch = need("torch")
    f, twin, make = TORCH[name]
    for batch in ((), (2, 3)):
        args = make(np.random.default_rng(5), batch, 4, 3)
        given, theirs = [Value(a) for a in args], [torch.tensor(a) for a in args]
        for t in theirs:
            t.requires_grad_()
        f(*given).sum().backward()
        twin(torch)(*theirs).sum().backward()
        for v, t in zip(given, theirs):
            np.testing.assert_allclose(v.grad, t.grad.numpy(), 1e-10, 1e-11)


@pytest.mark.parametrize("name", ["eigvalsh", "cholesky"])
def test_symmetric_matrices_as_pytorch_has_them(name: str) -> None:
    """PyTorch's gradient is symmetric, ours is by the triangle that is read: the sums agree."""
    torch = need("torch")
    (a,) = symmetric(np.random.default_rng(5), (2,), 0, 3)
    v, t = Value(a), torch.tensor(a, requires_grad=True)
    (getattr(LA, name)(v) ** 3).sum().backward()
    (getattr(torch.linalg, name)(t) ** 3).sum().backward()
    assert not np.triu(v.grad, 1).any()
    both = (v.grad + np.swapaxes(v.grad, -1, -2)) / 2
    np.testing.assert_allclose(both, t.grad.numpy(), 1e-10, 1e-12)


# ------------------------------------------------------------------ where it is not smooth
def minors(a: Any) -> Any:
    """The cofactors of a matrix, each by its definition."""
    n = len(a)
    found = np.zeros((n, n))
    for i, j in np.ndindex(n, n):
        rest = np.delete(np.delete(a, i, 0), j, 1)
        found[i, j] = (-1.0) ** (i + j) * LA.det(rest)
    return found


@pytest.mark.parametrize("rank", [0, 1, 2, 3, 4])
def test_det_of_singular_matrices_has_the_cofactors_as_gradient(rank: int) -> None:
    rng = np.random.default_rng(rank)
    a = rng.normal(size=(4, rank)) @ rng.normal(size=(rank, 4))
    np.testing.assert_allclose(grad(LA.det)(a), minors(a), 1e-12, 1e-13)
    ones = np.ones((3, 3))
    np.testing.assert_allclose(grad(LA.det)(np.ones((2, 2))), [[1, -1], [-1, 1]], 1e-14)
    np.testing.assert_allclose(
        grad(lambda a: LA.det(a).sum())(np.stack([ones, ones])), 0.0, 0, 1e-15
    )


@pytest.mark.parametrize("n", [7, 8, 9, 12])
def test_a_program_of_a_large_determinant(n: int) -> None:
    """Which has the inverse in the place of the minors."""
    a = np.random.default_rng(n).normal(size=(n, n)) + 2.0 * np.eye(n)
    value, slope = program(lambda a: LA.det(a) ** 2, a)(a)
    np.testing.assert_allclose(value, LA.det(a) ** 2, 1e-12)
    np.testing.assert_allclose(slope, 2.0 * LA.det(a) ** 2 * LA.inv(a).T, 1e-9)


def exact_hessian(a: Any) -> Any:
    """Of det, each entry in fractions: a determinant of two rows and two columns less, by sign."""
    n, found = len(a), np.zeros(a.shape * 2)
    for i, j, k, m in np.ndindex(found.shape):
        if i != k and j != m:
            rest = np.delete(np.delete(a, [i, k], 0), [j, m], 1)
            sign = (-1) ** (i + j + k - (k > i) + m - (m > j))
            found[i, j, k, m] = sign * float(
                exact_det([[*map(Fraction, r)] for r in rest.tolist()])
            )
    return found if n > 1 else np.zeros((1,) * 4)


def exact_det(rows: list[list[Fraction]]) -> Fraction:
    parts = ((-1) ** j * x * exact_det([r[:j] + r[j + 1 :] for r in rows[1:]])
             for j, x in enumerate(rows[0] if rows else []))  # fmt: skip
    return sum(parts, Fraction(0)) if rows else Fraction(1)


@pytest.mark.parametrize("change", [0.0, 2.0**-45, 2.0**-30, 1.0])
@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_second_derivatives_of_det_near_a_singular_matrix(n: int, change: float) -> None:
    rng = np.random.default_rng(n)
    a = rng.integers(-4, 5, (n, n)).astype(float)
    a[-1] = 2.0 * a[0] if n > 1 else 0.0
    a[0, 0] += change
    wanted = exact_hessian(a)
    close = {"rtol": 1e-11, "atol": 1e-11 * np.max(np.abs(wanted))}
    np.testing.assert_allclose(hessian(LA.det)(a), wanted, **close)
    made = program(lambda a: np.sum(grad(LA.det)(a) * np.arange(n * n).reshape(n, n)), np.eye(n))
    turned = np.tensordot(np.arange(n * n).reshape(n, n), wanted, 2)
    np.testing.assert_allclose(made(a)[1], turned, 1e-11, 1e-10)
    np.testing.assert_allclose(program(LA.det, np.eye(n))(a)[1], grad(LA.det)(a), 1e-11, 1e-11)
    nothing = np.zeros((2, 0, 0))
    assert grad(lambda a: np.sum(LA.det(a)))(nothing).shape == nothing.shape


def exactly(mp: Any, a: Any) -> Any:
    """The pseudo-inverse of a matrix of full rank, in mpmath's numbers."""
    turned = a.T
    return (turned * a) ** -1 * turned if a.rows >= a.cols else turned * (a * turned) ** -1


PSEUDO: dict[str, tuple[Function, Function, tuple[int, int]]] = {
    "tall": (LA.pinv, exactly, (5, 3)),
    "wide": (LA.pinv, exactly, (3, 5)),
    "square": (LA.pinv, exactly, (4, 4)),
    "cutoff": (lambda a: LA.pinv(a, rtol=1e-12), exactly, (4, 2)),
    "of lower rank": (
        lambda a: LA.pinv(a @ ROWS, 1e-10),
        lambda mp, a: exactly(mp, mp.matrix(ROWS.tolist())) * exactly(mp, a),
        (5, 2),
    ),
    "lstsq": (
        lambda a: LA.lstsq(a, RIGHT[: a.shape[0]])[0],
        lambda mp, a: exactly(mp, a) * mp.matrix(RIGHT[: a.rows].tolist()),
        (6, 3),
    ),
}
ROWS, RIGHT = (
    np.array([[1.0, 2.0, -1.0], [0.5, 0.0, 3.0]]),
    np.array([[3.0], [1], [4], [1], [5], [9]]),
)


@pytest.mark.parametrize("condition", [1e2, 1e6, 1e8])
@pytest.mark.parametrize("name", PSEUDO)
def test_slopes_and_curvature_of_a_pseudo_inverse(name: str, condition: float) -> None:
    """Their relative error is the condition's: what the rounding of A alone makes."""
    mp = need("mpmath").mp
    f, exact, (m, n) = PSEUDO[name]
    rng = np.random.default_rng(5)
    u, _, vt = LA.svd(rng.normal(size=(m, n)), full_matrices=False)
    a, v = (u * np.geomspace(1.0, 1.0 / condition, min(m, n))) @ vt, rng.normal(size=(m, n))
    weight = rng.normal(size=np.shape(f(a)))

    def loss(x: Any) -> Any:
        return np.sum(f(x) * weight)

    def wanted(t: Any) -> Any:
        result = exact(mp, mp.matrix(a.tolist()) + t * mp.matrix(v.tolist()))
        return mp.fsum(p * w for p, w in zip(result, weight.ravel().tolist()))

    with mp.workdps(120):
        h = mp.mpf(10) ** -30
        low, middle, high = map(wanted, (-h, mp.mpf(0), h))
        slope, curvature = float((high - low) / (2 * h)), float((high - 2 * middle + low) / h**2)
    close = 1e-14 * condition
    assert np.sum(grad(loss)(a) * v) == pytest.approx(slope, close)
    along = grad(lambda x: np.sum(grad(loss)(x) * v))
    assert np.sum(along(a) * v) == pytest.approx(curvature, close)
    made = program(lambda x: np.sum(grad(loss)(x) * v), a)
    assert np.sum(made(a)[1] * v) == pytest.approx(curvature, close)


def test_without_an_inverse_there_is_an_error() -> None:
    ones = np.ones((2, 2))
    for f in (LA.inv, lambda a: LA.slogdet(a)[1], lambda a: LA.solve(a, ones)):
        with pytest.raises(LA.LinAlgError, match="Singular matrix"):
            hessian(lambda a, f=f: np.sum(f(a)))(ones)
    with pytest.raises(LA.LinAlgError, match="Singular matrix"):
        grad(lambda a: LA.qr(a)[0].sum())(np.zeros((2, 2)))
    with pytest.raises(LA.LinAlgError, match=r"cholesky of \(2, 2\): Matrix is not positive"):
        LA.cholesky(Value(-np.eye(2)))


@pytest.mark.parametrize("triangle", ["L", "U"])
def test_one_triangle_is_read_of_values_and_vectors(triangle: Any) -> None:
    a = np.array([[2.0, 0.5, -1.0], [3.0, 1.0, 0.25], [4.0, -2.0, 5.0]])
    out, wanted = LA.eigh(Value(a), triangle), LA.eigh(a, triangle)
    np.testing.assert_allclose(out.eigenvalues.data, wanted.eigenvalues)
    np.testing.assert_allclose(np.abs(out.eigenvectors.data), np.abs(wanted.eigenvectors))
    made = program(lambda a: np.sum(LA.eigh(a, triangle).eigenvalues ** 2), a)
    other = np.tril if triangle == "L" else np.triu
    np.testing.assert_allclose(made(a)[1], grad(lambda a: np.sum(LA.eigvalsh(a, triangle) ** 2))(a))
    assert not (made(a)[1] - other(made(a)[1])).any()


def test_equal_eigenvalues() -> None:
    eye = Value(np.eye(3))
    w, v = LA.eigh(eye)
    np.testing.assert_allclose(grad_of(w.sum(), eye).data, np.eye(3))
    with pytest.warns(RuntimeWarning):
        assert np.isnan(grad_of((v**3).sum(), eye).data).any()
    u, s, _ = LA.svd(eye)
    np.testing.assert_allclose(grad_of(s.sum(), eye).data, np.eye(3))
    with pytest.warns(RuntimeWarning):
        assert np.isnan(grad_of((u**3).sum(), eye).data).any()


@pytest.mark.parametrize("ord", [1, 1.5, 2, 3, np.inf])
def test_norm_at_0_has_slope_0_as_pytorch_has(ord: float) -> None:
    torch = need("torch")
    x, t = Value(np.zeros((2, 3))), torch.zeros((2, 3), dtype=torch.float64, requires_grad=True)
    LA.norm(x, ord, axis=1).sum().backward()
    torch.linalg.norm(t, ord, dim=1).sum().backward()
    np.testing.assert_array_equal(x.grad, t.grad.numpy())


@pytest.mark.parametrize("ord", [None, "fro", 2, 2.0, 4])
def test_the_curvature_of_a_norm_where_an_entry_is_0(ord: Any) -> None:
    """Of the usual one (I − n nᵀ) / |x|: though |x| has a kink there, x² has none."""
    x = np.array([[3.0], [0.0], [4.0]])
    found = hessian(lambda x: LA.norm(x, ord, None if ord in (None, "fro") else 0).sum())(x)
    wanted = (np.eye(3) - x @ x.T / 25.0) / 5.0
    if ord == 4:
        r = np.sum(x**4) ** 0.25
        wanted = 3.0 * (np.diagflat(x**2) / r**3 - x**3 @ x.T**3 / r**7)
    np.testing.assert_allclose(found.reshape(3, 3), wanted, atol=1e-15)


@pytest.mark.parametrize("ord", [-3, -2, -0.5, 0.5, 2.5])
def test_norms_of_any_power_and_their_slopes(ord: float) -> None:
    """(Σ |x|ᵖ)^(1/p), and sign x · (|x| / norm)^(p − 1)."""
    data = np.array([0.5, -2.0, 3.0])
    x, wanted = Value(data), LA.norm(data, ord)
    out = LA.norm(x, ord)
    out.backward()
    np.testing.assert_allclose(out.data, wanted, 1e-14)
    slopes = np.sign(data) * (abs(data) / wanted) ** (ord - 1)
    np.testing.assert_allclose(x.grad, slopes, 1e-14)


def test_norm_counts_what_is_not_0_without_a_gradient() -> None:
    x = Value([[3.0, 0.0], [1.0, 2.0]])
    out = LA.norm(x, 0, axis=1)
    np.testing.assert_array_equal(getattr(out, "data", out), [1.0, 2.0])
    np.testing.assert_array_equal(grad(lambda x: (x * LA.norm(x, 0)).sum())(np.ones(3)), 3.0)


# ------------------------------------------------------------------ results and refusals
def test_results_have_numpys_names_and_constants() -> None:
    a = Value(np.array([[0.0, 2.0], [1.0, 0.0]]))
    found = LA.slogdet(a)
    assert type(found) is type(LA.slogdet(np.eye(2)))
    assert (found.sign, float(found.logabsdet.data)) == (-1.0, np.log(2.0))
    x, rest, rank, s = LA.lstsq(np.array([[1.0], [2.0], [2.0]]), Value([3.0, 0.0, 0.0]))
    assert (rank, s.shape) == (1, (1,))
    np.testing.assert_allclose([x.data, rest.data, s], [[1 / 3], [8.0], [3.0]], 1e-14)
    _, rest, rank, _ = LA.lstsq(Value(np.ones((3, 2))), np.ones(3))
    assert (rest.shape, rank) == ((0,), 1)
    np.testing.assert_array_equal(LA.matrix_power(a, 0), np.eye(2))


@pytest.mark.parametrize(
    ("f", "error", "message"),
    [
        (lambda a: LA.svd(a), ValueError, r"Use full_matrices=False"),
        (lambda a: LA.svd(a, hermitian=True), TypeError, "hermitian"),
        (lambda a: LA.pinv(a, hermitian=True), TypeError, "hermitian"),
        (lambda a: LA.qr(a, mode="complete"), ValueError, "wanted 'reduced' or 'r'"),
        (lambda a: LA.norm(a, "max"), ValueError, "Invalid norm order"),
        (lambda a: LA.norm(a, 3), ValueError, "Invalid norm order"),
        (lambda a: LA.norm(a, 2, axis=2), ValueError, "axis 2"),
        (lambda a: LA.inv(a), LA.LinAlgError, r"inv of \(2, 3\): Last 2 dimensions"),
        (lambda a: LA.solve(np.eye(2), a[0]), ValueError, r"solve of \(2, 2\), \(3,\)"),
    ],
)
def test_what_is_refused(f: Function, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        f(Value(np.ones((2, 3))))


def test_a_pickled_decomposition_finds_its_rules() -> None:
    a = Value(np.array([[2.0, 0.5], [0.5, 1.0]]))
    u, s, vt = LA.svd(a)
    parts = [LA.eigh(a)[1], LA.eigh(a)[0], u, s, vt, *LA.qr(a), LA.slogdet(a)[1]]
    out = sum((part**3).sum() for part in parts)
    loaded = pickle.loads(pickle.dumps(out))
    (leaf,) = [node for node in topological(loaded) if node.op is None]
    out.backward()
    loaded.backward()
    np.testing.assert_array_equal(leaf.grad, a.grad)


@pytest.mark.parametrize("shape", [(3, 2), (3, 1), (4, 2), (2, 1), (5, 3), (2, 3, 2, 1)], ids=str)
def test_the_curvature_of_a_determinant_that_is_0(shape: tuple[int, ...]) -> None:
    """Of rank n - 1 and less: as differences of the gradient have it, which takes no inverse."""
    x = np.random.default_rng(3).normal(size=shape)
    a = x @ np.swapaxes(x, -1, -2)
    slope = grad(lambda a: np.sum(LA.det(a) ** 2 + LA.det(a)))
    v = np.random.default_rng(4).normal(size=a.shape)
    along = grad(lambda a: np.sum(slope(a) * v))(a)
    wanted = (slope(a + 1e-4 * v) - slope(a - 1e-4 * v)) / 2e-4
    np.testing.assert_allclose(along, wanted, 1e-4, 1e-4)
    flat = lambda x: np.sum(LA.det(x @ np.swapaxes(x, -1, -2)))  # 0 everywhere
    np.testing.assert_allclose(hessian(flat)(x), 0.0, atol=1e-11)
