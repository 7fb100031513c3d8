"""SGD and Adam: PyTorch's trajectories, and what they refuse."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import need
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_ce import MLP, SGD, Adam, StaleGraphError, Value

# What is descended on: a matrix, a vector, a scalar, coupled. Its minimum is too far for Adam: it
# would divide nearly 0 by nearly 0 there, and make a last place of the loss's g a large one.
START = {"W": (4, 3), "b": (3,), "s": ()}


def start(rng: np.random.Generator, dtype: Any = float) -> list[np.ndarray]:
    return [np.asarray(rng.normal(size=shape), dtype) for shape in START.values()]


def loss(params: Any, x: Any, tanh: Callable[[Any], Any]) -> Any:
    w, b, s = params
    return (
        (tanh(x @ w + b) ** 2).sum() + ((w - 5.0 + 0.1 * s) ** 2).sum() + ((b - s - 9.0) ** 2).sum()
    )


def ours(make: Any, data: list[Any], x: Any, lrs: list[float], skip: int = -1) -> list[Any]:
    """The parameters after every step; from step ``skip`` on, the second gets no gradient."""
    params = [Value(d.copy()) for d in data]
    optimizer = make(params)
    path = []
    for i, lr in enumerate(lrs):
        optimizer.zero_grad()
        loss(params, x, np.tanh).backward()
        if 0 <= skip <= i:
            params[1].grad = None
        optimizer.lr = lr
        optimizer.step()
        path.append([np.copy(p.data) for p in params])
    return path


def theirs(make: Any, data: list[Any], x: Any, lrs: list[float], skip: int = -1) -> list[Any]:
    torch = need("torch")
    params = [torch.tensor(d, requires_grad=True) for d in data]
    x = torch.tensor(x)
    optimizer = make(params)
    path = []
    for i, lr in enumerate(lrs):
        optimizer.zero_grad()
        loss(params, x, torch.tanh).backward()
        if 0 <= skip <= i:
            params[1].grad = None
        optimizer.param_groups[0]["lr"] = lr
        optimizer.step()
        path.append([p.detach().numpy().copy() for p in params])
    return path


def close(a: list[Any], b: list[Any], rtol: float) -> None:
    for one, other in zip(a, b, strict=True):
        for p, q in zip(one, other, strict=True):
            assert np.abs(p - q).max() <= rtol * np.abs(q).max()


SGDS = [
    {},
    {"momentum": 0.9},
    {"momentum": 0.9, "dampening": 0.3},
    {"momentum": 0.8, "nesterov": True},
    {"weight_decay": 0.1},
    {"momentum": 0.9, "dampening": 0.5, "weight_decay": 0.01},
    {"momentum": 0.7, "nesterov": True, "weight_decay": 0.2},
]
ADAMS = [
    {},
    {"betas": (0.5, 0.9)},
    {"betas": (0.0, 0.9)},
    {"eps": 0.1},
    {"weight_decay": 0.1},
    {"betas": (0.8, 0.99), "eps": 1e-4, "weight_decay": 0.5},
]
CASES = [("SGD", SGD, options) for options in SGDS] + [("Adam", Adam, o) for o in ADAMS]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "cls", "options"), CASES)
def test_follows_pytorch_over_300_steps(name: str, cls: Any, options: Any, rng: Any) -> None:
    torch = need("torch")
    data, x = start(rng), rng.normal(size=(5, 4))
    lrs = [0.01 / (1.0 + 0.01 * i) for i in range(300)]
    got = ours(lambda p: cls(p, lr=0.01, **options), data, x, lrs)
    wanted = theirs(lambda p: getattr(torch.optim, name)(p, lr=0.01, **options), data, x, lrs)
    assert np.abs(wanted[-1][0] - wanted[0][0]).max() > 0.1  # it went somewhere
    close(got, wanted, 1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "cls", "options"), CASES)
def test_the_same_gradients_move_as_in_pytorch(name: str, cls: Any, options: Any, rng: Any) -> None:
    torch = need("torch")
    data = start(rng)
    params = [Value(d.copy()) for d in data]
    tensors = [torch.tensor(d, requires_grad=True) for d in data]
    one = cls(params, lr=0.01, **options)
    other = getattr(torch.optim, name)(tensors, lr=0.01, **options)
    for _ in range(300):
        for p, q in zip(params, tensors):
            p.grad = 1.0 + rng.normal(size=p.shape)
            q.grad = torch.tensor(p.grad)
        one.step()
        other.step()
        close([[p.data for p in params]], [[q.detach().numpy() for q in tensors]], 1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "cls"), [("SGD", SGD), ("Adam", Adam)])
def test_defaults_are_pytorchs(name: str, cls: Any, rng: Any) -> None:
    torch = need("torch")
    data, x = start(rng), rng.normal(size=(5, 4))
    got = ours(cls, data, x, [1e-3] * 5)
    close(got, theirs(getattr(torch.optim, name), data, x, [1e-3] * 5), 1e-12)
    theirs_lr = getattr(torch.optim, name)([torch.zeros(1)]).defaults["lr"]
    assert cls([Value(1.0)]).lr == theirs_lr == 1e-3


@pytest.mark.slow
@pytest.mark.parametrize(("name", "cls", "options"), CASES)
def test_skips_what_has_no_gradient_as_pytorch_does(
    name: str, cls: Any, options: Any, rng: Any
) -> None:
    torch = need("torch")
    data, x, lrs = start(rng), rng.normal(size=(5, 4)), [0.01] * 12
    got = ours(lambda p: cls(p, **options), data, x, lrs, skip=4)
    wanted = theirs(lambda p: getattr(torch.optim, name)(p, **options), data, x, lrs, skip=4)
    close(got, wanted, 1e-12)
    assert (got[3][1] == got[-1][1]).all()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "cls", "options"), CASES)
def test_float32_stays_float32(name: str, cls: Any, options: Any, rng: Any) -> None:
    torch = need("torch")
    data, x = start(rng, np.float32), rng.normal(size=(5, 4)).astype(np.float32)
    got = ours(lambda p: cls(p, **options), data, x, [0.01] * 50)
    assert {p.dtype for step in got for p in step} == {np.dtype(np.float32)}
    wanted = theirs(lambda p: getattr(torch.optim, name)(p, **options), data, x, [0.01] * 50)
    close(got, wanted, 2e-5)


@given(
    st.floats(0.0, 0.2),
    st.floats(0.0, 0.99),
    st.floats(0.0, 0.9),
    st.floats(0.0, 1.0),
    st.floats(-5, 5),
)
def test_scalars_and_arrays_of_one_entry_move_alike(
    lr: float, keep: float, keep2: float, decay: float, x0: float
) -> None:
    makes: list[Any] = [
        lambda p: SGD(p, lr, momentum=keep, dampening=keep2, weight_decay=decay),
        lambda p: Adam(p, lr, betas=(keep, keep2), weight_decay=decay),
    ]
    for make in makes:
        ends = []
        for data in (x0, np.array(x0), np.array([x0])):
            p = Value(data)
            optimizer = make([p])
            for _ in range(6):
                optimizer.zero_grad()
                ((p - 1.0) ** 2).sum().backward()
                optimizer.step()
            assert p.data.__class__ is data.__class__
            assert np.shape(p.data) == np.shape(data)
            ends.append(np.ravel(p.data))
        np.testing.assert_allclose(ends[1:], ends[:-1], rtol=1e-13, atol=1e-15)


def test_a_scalar_that_adam_cannot_divide_for_is_nan_as_in_an_array() -> None:
    p = Value(1.0)
    (p * 0.0).backward()
    with pytest.warns(RuntimeWarning, match="invalid value"):
        Adam([p], eps=0.0).step()
    assert np.isnan(p.data)


@pytest.mark.parametrize("make", [SGD, Adam, lambda p: SGD(p, momentum=0.9, nesterov=True)])
def test_an_array_moves_in_place_and_its_gradient_stays(make: Any) -> None:
    data = np.array([1.0, 2.0])
    p = Value(data)
    p.grad = g = np.array([3.0, -4.0])
    optimizer = make([p])
    for _ in range(3):
        optimizer.step()
    assert p.data is data
    assert data[0] < 1.0
    assert data[1] > 2.0
    assert p.grad is g
    assert g.tolist() == [3.0, -4.0]


@pytest.mark.parametrize("data", [2.0, [1.0, 2.0]])
@pytest.mark.parametrize("make", [SGD, Adam])
def test_a_graph_from_before_the_step_is_stale(make: Any, data: Any) -> None:
    p = Value(data, name="p")
    loss = (p * p).sum()
    loss.backward()
    optimizer = make([p])
    optimizer.step()
    with pytest.raises(StaleGraphError, match="p of shape"):
        loss.backward()
    optimizer.zero_grad()
    assert p.grad is None
    (p * p).sum().backward()  # a graph from after it is not


def unreached(case: str, make: Any) -> Any:
    """An optimizer whose parameters no pass has reached since their gradients were dropped."""
    p, q = Value(2.0), Value([1.0, 2.0])
    optimizer = make([p] if case == "a number" else [q] if case == "an array" else [p, q])
    if case == "dropped":
        (p * q).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    if case == "of others":
        (Value(3.0) * 2.0).backward()
    return optimizer


@pytest.mark.parametrize("make", [SGD, Adam, lambda p: SGD(p, weight_decay=0.1)])
@pytest.mark.parametrize("case", ["a number", "an array", "both", "dropped", "of others"])
def test_a_step_before_any_backward_says_so(case: str, make: Any) -> None:
    optimizer = unreached(case, make)
    before = [np.copy(p.data) for p in optimizer.params]
    with pytest.raises(
        RuntimeError, match=r"^step: no parameter has a gradient: call backward\(\)"
    ):
        optimizer.step()
    assert all(np.array_equal(p.data, old) for p, old in zip(optimizer.params, before))


def test_a_gradient_of_0_from_a_pass_or_by_hand_is_one() -> None:
    p, q, r = Value(2.0), Value([1.0]), Value(3.0)
    (p * q * 0.0).sum().backward()
    SGD([p], weight_decay=0.5, lr=1.0).step()
    assert p.data == 1.0
    q.grad = np.zeros(1)
    SGD([q, r], weight_decay=0.5, lr=1.0).step()
    assert (q.data.tolist(), r.data) == ([0.5], 3.0)


def test_no_parameter_moves_where_the_gradient_of_another_is_wrong() -> None:
    p, q = Value(1.0), Value([1.0, 2.0])
    p.grad, q.grad = 1.0, np.ones(3)
    with pytest.raises(ValueError, match=r"params\[1\].grad: got shape \(3,\), wanted \(2,\)"):
        SGD([p, q]).step()
    assert p.data == 1.0


def test_micrograds_loop_needs_no_optimizer() -> None:
    """Numbers start at a gradient of 0.0, which a loop may set, or move by before any pass."""
    w, b = Value(1.0), Value(0.0)
    for _ in range(1000):
        for p in (w, b):
            p.data -= 0.1 * p.grad
            p.grad = 0
        ((w * 2.0 + b - 7.0) ** 2 + (w - 2.0) ** 2).backward()
    assert (w.data, b.data) == (pytest.approx(2.0), pytest.approx(3.0))


ELSEWHERE = """
import pickle, sys
import numpy as np
from tinygrad_ce import Value
more = [Value(i) for i in range({many})]  # their numbers are those of other nodes elsewhere
thing = pickle.load(sys.stdin.buffer)
{train}
sys.stdout.buffer.write(pickle.dumps(result))
"""


def elsewhere(train: str, thing: Any, many: int) -> Any:
    """What ``train`` makes of a thing that another process, with ``many`` Values, loads."""
    code = ELSEWHERE.format(train=train, many=many)
    run = [sys.executable, "-c", code]
    return pickle.loads(
        subprocess.run(run, input=pickle.dumps(thing), stdout=-1, check=True).stdout
    )


TRAIN = """
model, optimizer = thing
for _ in range(3):
    optimizer.zero_grad()
    (model(np.arange(6.0).reshape(3, 2)) ** 2).sum().backward()
    optimizer.step()
result = thing
"""


@pytest.mark.parametrize(("make", "many"), [(Adam, 0), (lambda p: SGD(p, momentum=0.9), 1000)])
def test_a_model_and_its_optimizer_are_trained_on_in_another_process(make: Any, many: int) -> None:
    model = MLP(2, [4, 1], rng=0)
    here = model, make(model.parameters())
    names: dict[str, Any] = {"thing": here, "np": np}
    exec(TRAIN, names)
    model, optimizer = elsewhere(TRAIN, here, many)
    assert [*map(id, model.parameters())] == [*map(id, optimizer.params)]
    names["thing"] = model, optimizer
    exec(TRAIN, names)  # here after there
    names["thing"] = here
    exec(TRAIN, names)
    exec(TRAIN, names)
    for p, q in zip(model.parameters(), here[0].parameters(), strict=True):
        np.testing.assert_array_equal(p.data, q.data)


@pytest.mark.parametrize(("data", "many"), [(2.0, 1000), (np.float32([1.0, 2.0]), 0)])
def test_a_loss_and_its_leaf_are_one_graph_in_another_process(data: Any, many: int) -> None:
    w = Value(data, name="w")
    loss = (w * w).sum() if w.shape else w * w
    for _ in range(5000):  # deeper than the stack
        loss = loss * 1.0
    train = (
        "loss, w = thing; loss.backward(); w.data = w.data - 0.1 * w.grad; (w * w).sum().backward()"
    )
    got = elsewhere(train + "; result = w", (loss, w), many)
    np.testing.assert_allclose(got.grad, 2.0 * data + 1.6 * data, rtol=1e-6)
    assert got.data.__class__ is w.data.__class__
    assert (got.dtype, got.name, got.passes) == (w.dtype, "w", 2)


def test_what_had_no_gradient_is_not_stale() -> None:
    p, q = Value(1.0), Value(2.0)
    loss = q * q
    p.grad = 1.0
    SGD([p, q]).step()
    loss.backward()
    assert q.grad == 4.0


def test_gradients_assigned_by_hand_take_the_datas_type() -> None:
    p, q, r = Value(np.ones(2, np.float32)), Value(1.0), Value(np.ones(2))
    p.grad, q.grad, r.grad = np.array([1, 2]), np.array(1), Value([1.0, 2.0])
    optimizer = SGD([p, q, r], lr=np.float64(0.5), momentum=0.5)
    optimizer.lr = np.float64(0.5)  # NumPy's own numbers do not turn float32 into float64
    optimizer.step()
    optimizer.step()
    assert p.data.dtype == np.float32
    assert p.data.tolist() == r.data.tolist() == [1 - 0.5 * 2.5, 1 - 1 * 2.5]
    assert q.data.__class__ is float
    assert q.data == 1 - 0.5 * 2.5


LEAF = Value(1.0)
WRONG: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: SGD([]), TypeError, "params: got a list, wanted a list of one Value or more"),
    (lambda: SGD(LEAF), TypeError, "params: got a Value, wanted a list of one"),
    (lambda: SGD(3), TypeError, "params: got a int, wanted a list of one"),  # type: ignore
    (lambda: Adam([LEAF, 2.0]), TypeError, "params[1]: got a float, wanted a leaf, Value(x)"),  # type: ignore
    (
        lambda: Adam([LEAF * 2.0]),
        TypeError,
        "params[0]: got a multiply, wanted a leaf, Value(x)",
    ),
    (
        lambda: SGD([LEAF, LEAF]),
        ValueError,
        "params: a Value is there twice, and would be moved twice a step",
    ),
    (lambda: SGD([LEAF], lr=-1.0), ValueError, "lr: got -1.0, wanted a number from 0 up"),
    (lambda: SGD([LEAF], lr=np.nan), ValueError, "lr: got nan, wanted a number from 0 up"),
    (lambda: SGD([LEAF], lr="fast"), ValueError, "lr: got 'fast', wanted a number from 0 up"),  # type: ignore
    (lambda: SGD([LEAF], momentum=-0.1), ValueError, "momentum: got -0.1, wanted a number from 0"),
    (lambda: Adam([LEAF], weight_decay=-1), ValueError, "weight_decay: got -1, wanted a number"),
    (lambda: Adam([LEAF], eps=-1), ValueError, "eps: got -1, wanted a number from 0 up"),
    (
        lambda: Adam([LEAF], betas=(0.9, 1.0)),
        ValueError,
        "betas[1]: got 1.0, wanted a number from 0 up, below 1",
    ),
    (
        lambda: SGD([LEAF], nesterov=True),
        ValueError,
        "nesterov=True wants momentum above 0 and dampening=0, got 0.0, 0.0",
    ),
    (
        lambda: SGD([LEAF], momentum=0.9, dampening=0.1, nesterov=True),
        ValueError,
        "nesterov=True wants momentum above 0 and dampening=0, got 0.9, 0.1",
    ),
]


@pytest.mark.parametrize(("make", "kind", "message"), WRONG)
def test_errors_say_what_was_got_and_wanted(make: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind) as caught:
        make()
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_step_refuses_a_rate_below_0_and_a_gradient_of_another_shape() -> None:
    p = Value([1.0, 2.0])
    p.grad = np.ones(3)
    optimizer = SGD([p])
    with pytest.raises(ValueError, match=r"params\[0\].grad: got shape \(3,\), wanted \(2,\)"):
        optimizer.step()
    optimizer.lr = -1.0
    with pytest.raises(ValueError, match=r"lr: got -1.0"):
        optimizer.step()
    assert p.data.tolist() == [1.0, 2.0]
