r"""SciPy's special functions, where SciPy is there: those that are ufuncs, with their slopes.

The engine imports this when `scipy.special` first meets a `Value`. SciPy's ``softmax``,
``log_softmax`` and ``logsumexp`` are no ufuncs: there are our own, in ``activations.py``.
"""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
from scipy import special

from ..engine.operation import POSITIVE, REAL, TABLE, Primitive, define, spell
from ..engine.rules import astype, pick

# Where SCIPY_ARRAY_API is set SciPy wraps them.
sp: Any = SimpleNamespace(
    **{name: getattr(f, "__wrapped__", f) for name, f in vars(special).items()}
)
ROOT_PI, UNIT = math.sqrt(math.pi), (0.0, 1.0)
BOTH = (POSITIVE, POSITIVE)  # the domain of two arguments


def share(x: Any, y: Any) -> Any:
    """X / y, and 0 where x is 0 also for y = 0."""
    return x / pick(np.equal(x, 0.0), 1.0, y)


def define_slopes(function: Any, *slopes: Any, **fields: Any) -> Primitive:
    """Put a function into the table whose derivatives are these, of its result and arguments."""
    letters = ", ".join(["<x>", "<y>", "<z>"][: len(slopes)])
    reads = rf"\operatorname{{{function.__name__}}}({letters})"

    def rule(k: int, slope: Any) -> Any:
        part = rf"<g> \cdot \partial_{k + 1} {reads}"
        return slope and (lambda g, out, *args: g * slope(out, *wide(out, args)), part)

    return define(function, reads, *map(rule, range(3), slopes), **fields)


def wide(out: Any, args: Any) -> Any:
    """Arguments as precise as the result, which one of them alone may not be."""
    dtype = getattr(out, "dtype", None)
    same = all(getattr(x, "dtype", dtype) == dtype for x in args)
    return args if same or dtype is None else [astype(x, dtype) for x in args]


# Of each the slope by every argument; None where there is none, or no formula.
define_slopes(sp.expit, lambda out, x: out * sp.expit(-x))
define_slopes(sp.logit, lambda out, x: 1.0 / (x * (1.0 - x)), domain=(UNIT,))
define_slopes(sp.log_expit, lambda out, x: sp.expit(-x))
define_slopes(sp.erf, lambda out, x: 2.0 / ROOT_PI * np.exp(-x * x))
define_slopes(sp.erfc, lambda out, x: -2.0 / ROOT_PI * np.exp(-x * x))
define_slopes(sp.erfinv, lambda out, x: 0.5 * ROOT_PI * np.exp(out * out), domain=((-1.0, 1.0),))
define_slopes(sp.erfcinv, lambda out, x: -0.5 * ROOT_PI * np.exp(out * out), domain=((0.0, 2.0),))
define_slopes(sp.ndtr, lambda out, x: np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi))
define_slopes(sp.log_ndtr, lambda out, x: np.exp(-0.5 * x * x - out) / math.sqrt(2.0 * math.pi))
define_slopes(sp.entr, lambda out, x: -1.0 - np.log(x), domain=(POSITIVE,))
define_slopes(
    sp.xlogy, lambda out, x, y: np.log(y), lambda out, x, y: share(x, y), domain=(REAL, POSITIVE)
)
define_slopes(
    sp.rel_entr, lambda out, x, y: np.log(x / y) + 1.0, lambda out, x, y: -share(x, y), domain=BOTH
)
define_slopes(
    sp.kl_div, lambda out, x, y: np.log(x / y), lambda out, x, y: 1.0 - share(x, y), domain=BOTH
)
define_slopes(sp.gammaln, lambda out, x: sp.psi(x), domain=(POSITIVE,))
define_slopes(sp.gamma, lambda out, x: out * sp.psi(x), domain=(POSITIVE,))
define_slopes(sp.rgamma, lambda out, x: -out * sp.psi(x), domain=(POSITIVE,))
define_slopes(sp.psi, lambda out, x: ZETA(2.0, x), domain=(POSITIVE,))
ZETA: Primitive = define_slopes(
    sp.zeta,
    None,
    lambda out, s, x: -s * ZETA(s + 1.0, x),
    domain=((1.0, 4.0), POSITIVE),
    entrywise=True,
    number="float(scipy.special.zeta({}, {}))",
)
TABLE[special._ufuncs._zeta] = ZETA  # which it calls
define_slopes(
    sp.beta,
    lambda out, x, y: out * (sp.psi(x) - sp.psi(x + y)),
    lambda out, x, y: out * (sp.psi(y) - sp.psi(x + y)),
    domain=BOTH,
)
define_slopes(
    sp.betaln,
    lambda out, x, y: sp.psi(x) - sp.psi(x + y),
    lambda out, x, y: sp.psi(y) - sp.psi(x + y),
    domain=BOTH,
)
define_slopes(sp.i0, lambda out, x: sp.i1(x))
define_slopes(sp.i1, lambda out, x: 0.5 * (sp.i0(x) + sp.iv(2, x)))
define_slopes(sp.iv, None, lambda out, n, x: 0.5 * (sp.iv(n - 1, x) + sp.iv(n + 1, x)), domain=BOTH)
define_slopes(sp.j0, lambda out, x: -sp.j1(x))
define_slopes(sp.j1, lambda out, x: 0.5 * (sp.j0(x) - sp.jv(2, x)))
define_slopes(sp.jv, None, lambda out, n, x: 0.5 * (sp.jv(n - 1, x) - sp.jv(n + 1, x)), domain=BOTH)
define_slopes(sp.y0, lambda out, x: -sp.y1(x), domain=(POSITIVE,))
define_slopes(sp.y1, lambda out, x: sp.y0(x) - out / x, domain=(POSITIVE,))
define_slopes(
    sp.ive,
    None,
    lambda out, n, x: 0.5 * (sp.ive(n - 1, x) + sp.ive(n + 1, x)) - out * np.sign(x),
    domain=BOTH,
)
define_slopes(
    sp.betainc,
    None,
    None,
    lambda out, a, b, x: np.exp((a - 1.0) * np.log(x) + (b - 1.0) * np.log1p(-x) - sp.betaln(a, b)),
    domain=(POSITIVE, POSITIVE, UNIT),
)
define(sp.gammasgn, "", plain=True)
spell(sp, exp2=lambda x: 2.0**x, exp10=lambda x: 10.0**x)
for _name, _function in vars(sp).items():  # log1p, cbrt, …: as NumPy's of that name
    if isinstance(_function, np.ufunc) and getattr(np, _name, None) in TABLE:
        TABLE[_function] = TABLE[getattr(np, _name)]
for _function, _sign in ((sp.gammainc, 1.0), (sp.gammaincc, -1.0)):
    define_slopes(
        _function,
        None,
        lambda out, a, x, s=_sign: s * np.exp((a - 1.0) * np.log(x) - x - sp.gammaln(a)),
        domain=BOTH,
    )
