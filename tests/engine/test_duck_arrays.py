"""Arrays that speak NumPy's protocols sit inside a `Value` untouched: Dask's stay lazy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import need

import tinygrad_ce as tg
from tinygrad_ce import Value, grad

da = need("dask.array")
pytestmark = pytest.mark.filterwarnings("ignore:The `numpy.* is not implemented by Dask")

RNG = np.random.default_rng(0)
Z, W, T = RNG.normal(size=(6, 4)), RNG.normal(size=(4, 3)), np.eye(4)[RNG.integers(0, 4, 6)]


def textbook(z: Any) -> Any:
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    return -(T * np.log(p)).sum()


CASES: dict[str, tuple[Any, ...]] = {
    "matmul": (lambda x, w: x @ w, Z, W),
    "broadcast": (lambda x, w: x * w + w, Z, Z[0]),
    "sum": (lambda x: np.sum(x * x, axis=0), Z),
    "mean": (lambda x: np.mean(x * x, axis=1, keepdims=True), Z),
    "max": (lambda x: np.max(x, axis=1), Z),
    "exp": (np.exp, Z),
    "log": (lambda x: np.log(1 + x * x), Z),
    "where": (lambda x: np.where(x > 0, x, x * x), Z),
    "reshape": (lambda x: np.exp(x.reshape(-1)), Z),
    "transposes": (lambda x: np.swapaxes(np.transpose(x), 0, 1) * x.T.T, Z),
    "concatenate": (lambda x: np.concatenate([x, x * x]), Z),
    "einsum": (lambda x, w: np.einsum("ij,jk->ik", x, w), Z, W),
    "slices": (lambda x: x[1:3, ::2] ** 2, Z),
    "softmax": (tg.softmax, Z),
    "logsumexp": (lambda x: tg.logsumexp(x, axis=1), Z),
    "textbook cross-entropy": (textbook, Z),
    "stable cross-entropy": (lambda z: -(T * tg.log_softmax(z)).sum(axis=1).sum(), Z),
    "softmax regression": (lambda x, w: -(T[:, :3] * tg.log_softmax(x @ w)).sum(), Z, W),
}


@pytest.mark.parametrize("name", CASES)
def test_value_and_gradient_are_numpys_and_lazy(name: str) -> None:
    f, *data = CASES[name]
    plain, lazy = [Value(x) for x in data], [Value(da.from_array(x, chunks=2)) for x in data]
    out, later = f(*plain), f(*lazy)
    seed = RNG.normal(size=out.shape) if out.shape else 1.0
    out.backward(seed)
    later.backward(da.from_array(seed, chunks=2) if out.shape else 1.0)
    assert isinstance(later.data, da.Array)
    np.testing.assert_allclose(later.data.compute(), out.data)
    for x, y in zip(plain, lazy):
        assert isinstance(y.grad, da.Array)
        np.testing.assert_allclose(y.grad.compute(), x.grad, atol=1e-14)


def test_nothing_is_computed_before_it_is_asked_for() -> None:
    import dask

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("computed")

    with dask.config.set(scheduler=refuse):
        z = Value(da.from_array(Z, chunks=2))
        textbook(z).backward()
        with pytest.raises(AssertionError, match="computed"):
            z.grad.compute()


def test_transforms_differentiate_dask_arrays_twice() -> None:
    def f(x: Any) -> Any:
        return (np.tanh(x) * x).sum()

    def slope(x: Any) -> Any:
        return (grad(f)(x) ** 2).sum()

    found = grad(slope)(da.from_array(Z, chunks=2))
    assert isinstance(found, da.Array)
    np.testing.assert_allclose(found.compute(), grad(slope)(Z))
