r"""Linear algebra: the rules of ``numpy.linalg``, each for stacks of matrices, and what is spelled.

Rules are those of Giles, "Collected matrix derivative results" (2008), where no other source is
given. A decomposition is an operation a factor, which a program computes once. Of a symmetric
matrix NumPy reads one triangle: slopes by entries of the other are 0. Vectors to equal eigenvalues,
or equal singular values, have no derivative: it is nan, with NumPy's warning; that of the values is
a subgradient. Where a rule needs an inverse that is not there, NumPy's error says so.
"""

from __future__ import annotations

import math
from functools import partial, reduce
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from .data import example
from .numpy_functions import root
from .operation import TABLE, Primitive, define, spell
from .text import _
from .value import detach

thin_svd = partial(np.linalg.svd, full_matrices=False)
FEW = 8  # rows of a matrix whose minors take no longer than others' SVD
CHAIN = r"<g> \cdot \frac{\partial <out>}{\partial <x>}"  # how a rule of many products reads


def turn(x: Any) -> Any:
    """Xᵀ, of each in a stack."""
    return np.transpose(x) if x.ndim == 2 else np.swapaxes(x, -1, -2)


def cofactors(g: Any, out: Any, a: Any) -> Any:
    """∂det A/∂A = det A · A⁻ᵀ; of an array that is singular, too, by its SVD (Stewart 1998)."""
    g, data = np.expand_dims(g, (-2, -1)), detach(a)
    recorded = data.__class__ is not np.ndarray  # whose numbers are not known
    if a.shape[-1] <= FEW or (a is not data and (recorded or np.any(np.linalg.cond(data) > 1e4))):
        return g * minors(a)  # two inverses of what is nearly singular are all rounding
    if hasattr(a, "apply_primitive"):
        return g * np.expand_dims(out, (-2, -1)) * turn(np.linalg.inv(a))
    u, s, vt = np.linalg.svd(a)
    others = np.where(np.eye(s.shape[-1]), 1.0, s[..., None, :])
    sign = np.expand_dims(np.linalg.det(u) * np.linalg.det(vt), (-2, -1))
    return g * sign * ((u * np.prod(others, axis=-1)[..., None, :]) @ vt)


def minors(a: Any) -> Any:
    """Each cofactor, ± the determinant of all other rows and columns."""
    n = a.shape[-1]
    others = np.nonzero(1.0 - np.eye(n))[1].reshape(n, max(0, n - 1))
    signs = np.where(np.indices((n, n)).sum(0) % 2, -1.0, 1.0).astype(a.dtype)
    return signs * np.linalg.det(a[..., others[:, None, :, None], others[:, None]])


def rest(x: Any, a: Any, p: Any) -> Any:
    """(I − A A⁺) X: of X what A does not reach, for P = A⁺."""
    return x - a @ (p @ x)


def pinv_back(g: Any, out: Any, a: Any, rcond: Any = None, *, rtol: Any = None) -> Any:
    """∂L/∂A for P = A⁺, of matrices of one rank (Golub and Pereyra 1973, equation 4.12)."""
    p = turn(out)
    left, right = turn(g) @ (out @ p), g @ (p @ out)
    return REST(left, a, out) + turn(REST(right, turn(a), p)) - p @ g @ p


def half(x: Any, upper: Any = False) -> Any:
    """One triangle of X, with half the diagonal."""
    lower = np.tri(x.shape[-1], dtype=x.dtype) - np.eye(x.shape[-1], dtype=x.dtype) / 2
    return x * (lower.T if upper else lower)


def gaps(x: Any) -> Any:
    """1 / (x_j − x_i), and 0 for i = j."""
    eye = np.eye(x.shape[-1], dtype=x.dtype)
    return (1.0 - eye) / (x[..., None, :] - x[..., None] + eye)


def eigenvalues_back(g: Any, out: Any, a: Any, *, UPLO: str = "L") -> Any:
    """∂λ_i/∂A = v_i v_iᵀ; the triangle that is read stands for both."""
    v = EIGENVECTORS(a, UPLO=UPLO)
    return half(2.0 * (v * g[..., None, :]) @ turn(v), UPLO in "uU")


def eigenvectors_back(g: Any, out: Any, a: Any, *, UPLO: str = "L") -> Any:
    """∂L/∂A = V (F ∘ VᵀG) Vᵀ, F_ij = 1 / (λ_j − λ_i)."""
    d = out @ (gaps(EIGENVALUES(a, UPLO=UPLO)) * (turn(out) @ g)) @ turn(out)
    return half(d + turn(d), UPLO in "uU")


def cholesky_back(g: Any, out: Any, a: Any) -> Any:
    """∂L/∂A = L⁻ᵀ Φ(LᵀG) L⁻¹, where Φ takes the lower triangle and halves the diagonal."""
    up = turn(out)
    d = np.linalg.solve(up, turn(np.linalg.solve(up, half(up @ g))))
    return half(d + turn(d))


def qr_back(rest: Any, m: Any, q: Any, r: Any) -> Any:
    """∂L/∂A = (rest + Q S) R⁻ᵀ, S symmetric with the lower triangle of M (Liao et al. 2019)."""
    return turn(np.linalg.solve(r, turn(rest + q @ (half(m) + turn(half(m))))))


def vectors_back(g: Any, u: Any, s: Any, v: Any) -> Any:
    """∂L/∂A = (U (F ∘ (UᵀG − GᵀU)) S + (I − UUᵀ) G S⁻¹) Vᵀ, F_ij = 1 / (s_j² − s_i²).

    See Townsend, "Differentiating the singular value decomposition" (2016).
    """
    inner, s_row = turn(u) @ g, s[..., None, :]
    d = u @ (gaps(s * s) * (inner - turn(inner)) * s_row)
    return (d + (g - u @ inner) / s_row if u.shape[-2] > u.shape[-1] else d) @ turn(v)


def factor(name: str, function: Any, k: int, latex: str, rule: Any) -> Primitive:
    """The operation that gives one result of a decomposition."""

    def part(a: Any, **how: Any) -> Any:
        return function(a, **how)[k]

    part.__name__ = name  # by which a pickled graph finds it
    return define(part, latex, rule, name=name.lower())


# fmt: off
define(np.linalg.inv, "<x>^{-1}",
    (lambda g, out, a: -turn(out) @ g @ turn(out), r"-<out>^\top <g> \, <out>^\top"))
SOLVE = define(np.linalg.solve, r"<x>^{-1} <y>",
    (lambda g, out, a, b: -np.outer(np.linalg.solve(turn(a), g), out) if b.ndim == 1 else
        -np.linalg.solve(turn(a), g) @ turn(out), r"-<x>^{-\top} <g> \, <out>^\top"),
    (lambda g, out, a, b: np.linalg.solve(turn(a), g), r"<x>^{-\top} <g>"),
    linear=(1,), roles=("matrix", "right side"))
define(np.linalg.det, r"\det <x>", (cofactors, r"<g> \cdot \det <x> \cdot <x>^{-\top}"))
define(np.linalg.pinv, "<x>^+", (pinv_back, CHAIN))
REST: Primitive = define(rest, r"(I - <y> \, <y>^+) \, <x>",  # its products' own rules cancel
    (lambda g, out, x, a, p: REST(g, a, p), r"(I - <y> \, <y>^+) \, <g>"),
    (lambda g, out, x, a, p: -REST(g, a, p) @ turn(p @ x) - out @ turn(p @ g), CHAIN),
    (lambda g, out, x, a, p: 0.0, r"0 \cdot <g>"), linear=(0,))
CHOLESKY = define(np.linalg.cholesky, r"\operatorname{cholesky} <x>", (cholesky_back, CHAIN))
LOGABSDET = factor("LOGABSDET", np.linalg.slogdet, 1, r"\log |\det <x>|",
    (lambda g, out, a: np.expand_dims(g, (-2, -1)) * turn(np.linalg.inv(a)),
     r"<g> \cdot <x>^{-\top}"))
EIGENVALUES = factor("EIGENVALUES", np.linalg.eigh, 0, r"\lambda(<x>)",
    (eigenvalues_back, r"V \operatorname{diag}(<g>) V^\top"))
EIGENVECTORS = factor("EIGENVECTORS", np.linalg.eigh, 1, "V(<x>)",
    (eigenvectors_back, r"V (F \odot V^\top <g>) V^\top"))
SINGULAR_VALUES = factor("SINGULAR_VALUES", thin_svd, 1, r"\sigma(<x>)",
    (lambda g, out, a: (LEFT_VECTORS(a) * g[..., None, :]) @ RIGHT_VECTORS(a),
     r"U \operatorname{diag}(<g>) V^\top"))
LEFT_VECTORS: Primitive = factor("LEFT_VECTORS", thin_svd, 0, "U(<x>)",
    (lambda g, out, a: vectors_back(g, out, SINGULAR_VALUES(a), turn(RIGHT_VECTORS(a))), CHAIN))
RIGHT_VECTORS: Primitive = factor("RIGHT_VECTORS", thin_svd, 2, r"V(<x>)^\top",
    (lambda g, out, a: turn(
        vectors_back(turn(g), turn(out), SINGULAR_VALUES(a), LEFT_VECTORS(a))), CHAIN))
Q = factor("Q", np.linalg.qr, 0, "Q(<x>)",
    (lambda g, out, a: qr_back(g, -turn(g) @ out, out, R(a)), CHAIN))
R: Primitive = factor("R", np.linalg.qr, 1, "R(<x>)",
    (lambda g, out, a: qr_back(0.0, out @ turn(g), Q(a), out), CHAIN))
# fmt: on


# ------------------------------------------------------------------ what is spelled
def like(function: Any, *results: Any) -> Any:
    """Results in the named tuple that a function of NumPy gives."""
    return function(np.eye(1)).__class__(*results)


def vector_norm(x: Any, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    """Σ |x|ᵖ to the power 1/p; of p = ±∞ an extremum, of 0 the number of what is not 0."""
    if ord in (math.inf, -math.inf):
        extremum: Any = np.max if ord > 0 else np.min
        nothing = {"initial": 0.0} if ord > 0 and not np.size(x) else {}
        return extremum(np.abs(x), axis=axis, keepdims=keepdims, **nothing)
    if ord == 0:
        return np.linalg.vector_norm(detach(x), axis=axis, keepdims=keepdims, ord=0)
    if ord == 2:
        return TABLE[root](np.sum(np.square(x), axis, keepdims=keepdims))
    total = np.sum(np.abs(x) ** ord, axis, keepdims=keepdims)
    if ord < 0:
        return total ** (1.0 / ord)
    nothing = np.equal(total, 0.0)  # whose slope is 0
    return np.where(nothing, 0.0, np.where(nothing, 1.0, total) ** (1.0 / ord))


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """Of one axis, or of all where no ``ord`` is given, that of vectors; of two, of matrices."""
    if ord is None:
        return vector_norm(x, axis=axis, keepdims=keepdims)
    axes = normalize_axis_tuple(range(np.ndim(x)) if axis is None else axis, np.ndim(x))
    np.linalg.norm(np.ones((1,) * len(axes)), ord)  # NumPy's error for other orders
    if len(axes) == 1 or ord == "fro":
        return vector_norm(x, axis=axis, keepdims=keepdims, ord=2 if ord == "fro" else ord)
    extremum = np.min if str(ord).startswith("-") else np.max
    if ord in ("nuc", 2, -2):
        values = SINGULAR_VALUES(np.moveaxis(x, axes, (-2, -1)))
        out = (np.sum if ord == "nuc" else extremum)(values, axis=-1)
        return np.expand_dims(out, axes) if keepdims else out
    inner, outer = axes if abs(ord) == 1 else axes[::-1]
    out = extremum(np.sum(np.abs(x), inner, keepdims=True), axis=outer, keepdims=True)
    return out if keepdims else np.squeeze(out, axes)


def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    """U, s and Vᵀ, as far as they have a derivative."""
    if not compute_uv:
        return SINGULAR_VALUES(a)
    if full_matrices and a.shape[-2] != a.shape[-1]:
        text = "svd of shape {shape}: its other vectors have no derivative. Use full_matrices=False"
        raise ValueError(_(text, shape=a.shape))
    return like(np.linalg.svd, LEFT_VECTORS(a), SINGULAR_VALUES(a), RIGHT_VECTORS(a))


def qr(a: Any, mode: str = "reduced") -> Any:
    """Q and R; of a wide matrix, of its first columns."""
    if mode not in ("reduced", "r"):
        raise ValueError(_("qr: got mode={mode!r}, wanted 'reduced' or 'r'", mode=mode))
    m, n = a.shape[-2:]
    first = a if n <= m else a[..., :m]
    q, r = Q(first), R(first)
    r = r if n <= m else np.concatenate([r, turn(q) @ a[..., m:]], axis=-1)
    return r if mode == "r" else like(np.linalg.qr, q, r)


def lstsq(a: Any, b: Any, rcond: Any = None) -> Any:
    """A⁺B, the sums of squares of what is left, the rank, and the singular values."""
    (m, n), s = a.shape, SINGULAR_VALUES(a)
    rcond = float(np.finfo(a.dtype).eps) * max(m, n) if rcond is None else rcond
    p, rank = np.linalg.pinv(a, rcond), np.sum(detach(s) > rcond * detach(s)[:1])
    columns = b if np.ndim(b) > 1 else np.expand_dims(b, 1)
    left = np.sum(np.square(REST(columns, a, p)), axis=0)
    return p @ b, left if m > n == example(rank) else np.empty(0), rank, s


def matrix_power(a: Any, n: int) -> Any:
    """A·A⋯A, in few products; of n < 0 by the inverse."""
    eye = np.linalg.matrix_power(np.zeros(np.shape(a), a.dtype), 0)  # or NumPy's error
    if n < 0:
        return matrix_power(np.linalg.inv(a), -n)
    if n < 2:
        return np.positive(a) if n else eye
    even = matrix_power(a @ a, n // 2)
    return even @ a if n % 2 else even


ALSO = "matmul outer cross tensordot vecdot matrix_transpose"  # which NumPy has elsewhere, too
spell(
    np.linalg,
    solve=lambda a, b: (
        SOLVE(a, b)
        if np.ndim(a) == 2 or np.ndim(b) > 1
        else SOLVE(a, np.expand_dims(b, -1))[..., 0]
    ),
    norm=norm,
    vector_norm=vector_norm,
    matrix_norm=lambda x, /, *, keepdims=False, ord="fro": norm(x, ord, (-2, -1), keepdims),
    svd=svd,
    svdvals=SINGULAR_VALUES,
    qr=qr,
    lstsq=lstsq,
    matrix_power=matrix_power,
    multi_dot=lambda arrays: reduce(np.dot, arrays),
    cholesky=lambda a, /, *, upper=False: turn(CHOLESKY(turn(a))) if upper else CHOLESKY(a),
    slogdet=lambda a: like(np.linalg.slogdet, np.linalg.slogdet(detach(a))[0], LOGABSDET(a)),
    trace=lambda x, *, offset=0, dtype=None: np.trace(x, offset, -2, -1, dtype=dtype),
    diagonal=lambda x, *, offset=0: np.diagonal(x, offset, -2, -1),
    **{name: getattr(np, name) for name in ALSO.split()},
    eigvalsh=lambda a, UPLO="L": EIGENVALUES(a, UPLO=UPLO),
    eigh=lambda a, UPLO="L": like(
        np.linalg.eigh, EIGENVALUES(a, UPLO=UPLO), EIGENVECTORS(a, UPLO=UPLO)
    ),
)
