"""SciPy's ufuncs on Values: their slopes in the tails, in programs, where SciPy comes late."""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from conftest import need, some_quick

from tinygrad_ce import Value, diagnose, grad, hessian, program
from tinygrad_ce.engine.operation import TABLE

special = need("scipy.special")
mpmath = need("mpmath")

UFUNC = {name: getattr(f, "__wrapped__", f) for name, f in vars(special).items() if callable(f)}
EXACT = {
    "expit": lambda x: 1 / (1 + mpmath.exp(-x)),
    "log_expit": lambda x: -mpmath.log1p(mpmath.exp(-x)),
    "erf": mpmath.erf,
    "erfc": mpmath.erfc,
    "ndtr": mpmath.ncdf,
    "log_ndtr": lambda x: mpmath.log(mpmath.ncdf(x)),
    "i0": lambda x: mpmath.besseli(0, x),
    "j1": lambda x: mpmath.besselj(1, x),
}


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("x", some_quick([-30.0, 0.0, 0.5, 30.0, -3.0, 8.0], 3))
def test_slopes_in_the_tails(name: str, x: float) -> None:
    tol = {"log_ndtr": 1e-9}.get(name, 2e-12)  # r·(−x − r), r = pdf / cdf, is small beside x
    with mpmath.workdps(300):  # 1 - 1e-198 is not 1
        for order, f in ((1, grad(UFUNC[name])), (2, grad(grad(UFUNC[name])))):
            wanted = float(mpmath.diff(EXACT[name], mpmath.mpf(x), order))
            assert f(x) == pytest.approx(wanted, rel=tol, abs=1e-310 if x else 1e-17)


NUMPYS = {
    "log1p": mpmath.log1p,
    "expm1": mpmath.expm1,
    "cbrt": mpmath.cbrt,
    "exp2": lambda x: mpmath.mpf(2) ** x,
    "exp10": lambda x: mpmath.mpf(10) ** x,
}


@pytest.mark.parametrize("name", NUMPYS)
def test_what_numpy_has_too_is_as_numpys(name: str) -> None:
    f, x, by = UFUNC[name], np.array([0.3, 1.7]), np.array([2.0, -1.0])
    slopes = grad(lambda x: np.sum(f(x) * by))
    for order, got in ((1, slopes(x)), (2, grad(lambda x: np.sum(slopes(x)))(x))):
        wanted = [float(mpmath.diff(NUMPYS[name], mpmath.mpf(a), order)) for a in x]
        np.testing.assert_allclose(got, by * wanted, rtol=1e-13)
    if name.startswith("exp") and name != "expm1":
        return  # a wrapped ufunc has no name that source could call it by
    made = program(lambda x, y: np.sum(f(x) * f(y) * by), x, x)
    np.testing.assert_allclose(made(x, x)[1], slopes(x) * f(x), rtol=1e-13)


SLOPES = """beta betaln digamma entr erf erfc erfcinv erfinv expit gamma gammainc gammaincc gammaln
    i0 i1 iv j0 j1 jn jv kl_div log_expit log_ndtr logit ndtr psi rel_entr rgamma
    sinc xlogy y0 y1 zeta"""


def test_which_functions_have_slopes() -> None:
    """Each of them is checked in test_ops.py, which takes what is in the table."""
    assert not [name for name in SLOPES.split() if UFUNC[name] not in TABLE]


POLES = [(name, 0.0) for name in ("gammaln", "gamma", "psi", "y0", "y1", "logit", "erfcinv")]
POLES += [("logit", 1.0), ("erfcinv", 2.0), ("erfinv", -1.0), ("erfinv", 1.0)]


@pytest.mark.parametrize(("name", "x"), POLES)
def test_where_a_function_is_infinite_it_is_at_an_edge_of_its_domain(name: str, x: float) -> None:
    with np.errstate(all="ignore"):
        (birth,) = diagnose(UFUNC[name](Value(x)) * 2.0).births
    assert birth.cause == "pole"


def test_what_is_nothing_times_a_logarithm() -> None:
    x, y = np.array([0.0, 0.0, 2.0]), np.array([0.0, 3.0, 3.0])
    for name, wanted in (("xlogy", [0.0, 0.0, 2 / 3]), ("rel_entr", [0.0, 0.0, -2 / 3])):
        np.testing.assert_allclose(grad(lambda y, n=name: np.sum(UFUNC[n](x, y)))(y), wanted)


def test_a_kl_divergence_and_its_curvature() -> None:
    p, q = np.array([0.2, 0.5, 0.3]), np.array([0.1, 0.4, 0.5])
    loss = lambda q: np.sum(UFUNC["kl_div"](p, q))
    np.testing.assert_allclose(grad(loss)(q), 1.0 - p / q, rtol=1e-14)
    np.testing.assert_allclose(hessian(loss)(q), np.diag(p / q**2), rtol=1e-14)


def test_log_gamma_to_the_third_derivative() -> None:
    f = UFUNC["gammaln"]
    for order in (1, 2, 3):
        f = grad(f)
        assert f(2.5) == pytest.approx(float(mpmath.diff(mpmath.loggamma, 2.5, order)), rel=1e-12)


OF_SEVERAL = {
    "ive": ((1.5,), lambda n, x: mpmath.besseli(n, x) * mpmath.exp(-x), 0.8),
    "betainc": ((1.5, 2.5), lambda a, b, x: mpmath.betainc(a, b, 0, x, regularized=True), 0.3),
}


@pytest.mark.parametrize("name", OF_SEVERAL)
def test_slopes_by_the_last_of_several(name: str) -> None:
    first, exact, x = OF_SEVERAL[name]
    f = lambda x: UFUNC[name](*first, x)
    for order, slope in ((1, grad(f)), (2, grad(grad(f)))):
        wanted = float(mpmath.diff(lambda x: exact(*first, x), x, order))
        assert slope(x) == pytest.approx(wanted, rel=1e-9)
    assert UFUNC["gammasgn"](Value(-0.5)) == -1.0


def test_slopes_are_as_precise_as_the_result() -> None:
    """Also by the argument of more precision, of one that has less."""
    less = np.array([0.3, 0.7], np.float32)
    for name in ("xlogy", "rel_entr", "beta", "betaln"):
        f = lambda x, y, name=name: np.sum(UFUNC[name](x, y))
        x = np.array([1.5, 2.5])
        for args, by in (((x, less), 0), ((less, x), 1)):
            wide = [a.astype(np.float64) for a in args]
            np.testing.assert_allclose(grad(f, by)(*args), grad(f, by)(*wide), 1e-14)


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
def test_what_is_no_ufunc_names_ours(name: str) -> None:
    code = f"""
import numpy as np, scipy.special, tinygrad_ce as tg
try:
    scipy.special.{name}(tg.Value(np.ones(3)))
except TypeError as error:
    assert "{name}" in str(error) and "tinygrad_ce" in str(error), error
else:
    raise AssertionError
"""
    run(code)


def run(code: str) -> None:
    """In an interpreter of its own, as SciPy is by default."""
    keep = {name: x for name, x in __import__("os").environ.items() if name != "SCIPY_ARRAY_API"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=keep, capture_output=True, text=True, check=False
    )
    assert not done.returncode, done.stderr[-2000:]


def test_the_first_use_of_scipy_finds_its_slopes() -> None:
    code = """
import scipy.special, tinygrad_ce as tg
x = tg.Value(0.0)
scipy.special.expit(x).backward()
assert x.grad == 0.25, x.grad
"""
    run(code)


def test_scipy_may_come_late_and_a_program_calls_it(tmp_path: Any) -> None:
    kept = tmp_path / "graph.pickle"
    out = np.sum(UFUNC["expit"](Value(np.array([0.5, -1.0]))))
    kept.write_bytes(pickle.dumps(out))
    code = f"""
import pickle, sys
import numpy as np
import tinygrad_ce as tg
x = tg.Value(np.array([0.5, -1.0]))
np.sin(x)
assert "scipy" not in sys.modules
old = pickle.load(open({str(kept)!r}, "rb"))
old.backward()
from scipy.special import expit, erf, xlogy
wanted = expit(x.data) * expit(-x.data)
np.sum(expit(x)).backward()
np.testing.assert_allclose(x.grad, wanted)
made = tg.program(lambda x, y: np.sum(xlogy(x, y) * erf(y)), x.data, np.array([2.0, 3.0]), wrt=1)
assert "scipy.special.xlogy(x, y)" in made.source, made.source
right = tg.grad(lambda x, y: np.sum(xlogy(x, y) * erf(y)), 1)(x.data, np.array([1.5, 3.0]))
np.testing.assert_allclose(made(x.data, np.array([1.5, 3.0]))[1], right, rtol=1e-12)
one = tg.program(lambda x: erf(x) * expit(x), 0.5)
np.testing.assert_allclose(one(0.7)[1], tg.grad(lambda x: erf(x) * expit(x))(0.7), rtol=1e-12)
"""
    run(code)


def test_zeta_that_calls_a_ufunc_of_another_name() -> None:
    """Hurwitz's ζ(2, x), the slope of digamma: its slope is −2 ζ(3, x)."""
    code = """
import mpmath, numpy as np
from scipy import special
from tinygrad_ce import Value, grad, program

def source(made):
    names = {}
    exec(made.source, names)
    return names.get("loss_and_grad") or names["value"]

x = np.array([1.5, 2.5])
wanted = [float(mpmath.diff(lambda q: mpmath.zeta(2, q), a)) for a in x]
f = lambda v: np.sum(special.zeta(2, v))
made = program(f, x)
assert "scipy.special.zeta(2" in made.source
for slope in (grad(f)(x), made(x)[1], source(made)(x)[1]):
    np.testing.assert_allclose(slope, wanted, 1e-13)
one = program(lambda v: special.zeta(2, v), 1.5)
np.testing.assert_allclose([one(1.5)[1], source(one)(1.5)[1]], wanted[0], 1e-13)
twice = program(grad(lambda v: np.sum(special.psi(v))), x)
np.testing.assert_allclose(source(twice)(x), [float(mpmath.zeta(2, a)) for a in x], 1e-13)
"""
    run(code)


def test_a_function_without_a_rule_is_called_as_the_user_calls_it() -> None:
    code = """
from scipy import special
from tinygrad_ce import Value
v = Value(0.5)
calls = {
    "scipy.special.zeta has no rule": lambda: special.zeta(v),
    "scipy.special.lambertw has no rule": lambda: special.lambertw(v),
    "scipy.special.hyp2f1 has no rule": lambda: special.hyp2f1(1.0, 2.0, 3.0, v),
    "scipy.special.kv has no rule": lambda: special.kv(2.0, v),
    "zeta: argument 0 has no derivative": lambda: special.zeta(v, 2.0),
}
for begins, call in calls.items():
    try:
        call()
    except (NotImplementedError, TypeError) as error:
        assert str(error).startswith(begins), error
        assert "(_" not in str(error), error
    else:
        raise AssertionError(begins)
"""
    run(code)
