"""Modules: what they hold, how they start, and a network that trains as PyTorch's does."""

from __future__ import annotations

import contextlib
import io
import runpy
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import need

from tinygrad_ce import MLP, SGD, Linear, Module, Value, cross_entropy, relu

MOONS = Path(__file__).parents[1] / "two_moons.py"


def moons(source: str | None = None) -> tuple[dict[str, Any], str]:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        if source is None:
            return runpy.run_path(str(MOONS)), printed.getvalue()
        names: dict[str, Any] = {}
        exec(compile(source, "two_moons", "exec"), names)
        return names, printed.getvalue()


def test_parameters_are_found_in_attributes_and_containers_once_in_order() -> None:
    a, b, c, d, e = (Value(float(i)) for i in range(5))

    class Inner(Module):
        def __init__(self, outer: Any) -> None:
            self.outer, self.e, self.again = outer, e, a  # back to where it came from

    class Outer(Module):
        def __init__(self) -> None:
            self.size, self.name, self.none = 3, "outer", None
            self.a = a
            self.pair = (b, [c, a])
            self.table = {"d": d, "inner": Inner(self)}
            self.result = a * b  # computed, not a parameter
            self.constant = np.ones(3)

    found = Outer().parameters()
    assert [id(p) for p in found] == [id(p) for p in (a, b, c, d, e)]
    assert Module().parameters() == []


def test_equal_parameters_are_two_and_a_shared_layer_is_one() -> None:
    class Twice(Module):
        def __init__(self) -> None:
            self.layers = [Linear(2, 2, 0)] * 2
            self.twin = Linear(2, 2, 0)

    assert [p.shape for p in Twice().parameters()] == [(2, 2), (2,), (2, 2), (2,)]


def test_a_very_deep_module_is_no_recursion() -> None:
    nest: Any = Value(1.0)
    for _ in range(5000):
        nest = [nest]
    module = Module()
    module.nest = nest  # type: ignore[attr-defined]
    assert len(module.parameters()) == 1


def test_zero_grad_sets_none() -> None:
    model = MLP(2, [3, 1], 0)
    model(np.ones((4, 2))).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    model.zero_grad()
    assert all(p.grad is None for p in model.parameters())


def test_a_seed_or_a_generator_decides_what_is_drawn() -> None:
    def weights(rng: Any) -> list[Any]:
        return [p.data.tolist() for p in MLP(3, [4, 2], rng).parameters()]

    assert weights(5) == weights(5) == weights(np.random.default_rng(5))
    assert weights(5) != weights(6)
    assert weights(None) != weights(None)
    rng = np.random.default_rng(5)
    assert weights(rng) != weights(rng)  # it is drawn from, not copied
    model = MLP(3, [3, 3], 5)
    assert (model.layers[0].W.data != model.layers[1].W.data).all()


@pytest.mark.parametrize("inputs", [10, 400])
def test_weights_start_with_hes_variance_and_biases_at_0(inputs: int) -> None:
    layer = Linear(inputs, 40_000 // inputs, rng=0)
    w = layer.W.data
    # 40,000 draws: the mean within 4 of its standard errors, the variance too
    assert abs(w.mean()) < 4 * np.sqrt(2 / inputs / w.size)
    assert abs(w.var() * inputs / 2 - 1) < 4 * np.sqrt(2 / w.size)
    assert not layer.b.data.any()
    scipy = need("scipy.stats")
    assert scipy.kstest(w.ravel() / np.sqrt(2 / inputs), "norm").pvalue > 0.01


def test_numbers_neither_grow_nor_shrink_through_30_layers(rng: Any) -> None:
    model = MLP(300, [300] * 30, rng)
    out = model(rng.normal(size=(50, 300))).data
    assert 0.3 < np.mean(out**2) / 2 < 3  # relu halves the mean square, a layer doubles it


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_trains_as_the_same_network_in_pytorch(activation: str, rng: Any) -> None:
    torch = need("torch")
    model = MLP(4, [16, 8, 3], rng, activation={"relu": relu, "tanh": np.tanh}[activation])
    mine = {"relu": torch.nn.ReLU, "tanh": torch.nn.Tanh}[activation]
    sizes, parts = [4, 16, 8, 3], []
    for n, m in pairwise(sizes):
        parts += [torch.nn.Linear(n, m, dtype=torch.float64), mine()]
    theirs = torch.nn.Sequential(*parts[:-1])
    with torch.no_grad():
        for p, q in zip(model.parameters(), theirs.parameters(), strict=True):
            q.copy_(torch.tensor(p.data.T))  # PyTorch's weight is (outputs, inputs)
    X, y = rng.normal(size=(60, 4)), rng.integers(0, 3, 60)
    one = SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)
    other = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)
    losses = []
    for _ in range(100):
        loss = cross_entropy(model(X), y)
        model.zero_grad()
        loss.backward()
        loss_there = torch.nn.functional.cross_entropy(theirs(torch.tensor(X)), torch.tensor(y))
        other.zero_grad()
        loss_there.backward()
        for p, q in zip(model.parameters(), theirs.parameters()):
            np.testing.assert_allclose(p.grad.T, q.grad.numpy(), rtol=1e-7, atol=1e-9)
        one.step()
        other.step()
        losses.append(loss.data)
        assert abs(loss.data - loss_there.item()) < 1e-9
    assert losses[-1] < 0.3 * losses[0]


def test_two_moons_the_demo_of_micrograd() -> None:
    found, printed = moons()
    lines = printed.splitlines()
    assert lines[:2] == ["MLP(2, [16, 16, 1])", "number of parameters 337"]  # micrograd's count
    assert found["acc"] == 1.0
    assert found["total_loss"].data < 0.02
    score = lambda *points: found["model"](np.array(points)).data[:, 0]
    assert (score((0.0, 1.0), (-1.0, 0.0), (1.0, 0.0)) < 0).all()  # on the one moon
    assert (score((1.0, -0.5), (0.0, 0.5), (2.0, 0.5)) > 0).all()  # on the other
    part = found["loss"](batch_size=10)
    assert len(np.unique(found["Z"])) == 2
    assert part[0].data < 0.1


@pytest.mark.slow
def test_two_moons_does_not_hang_on_its_seed() -> None:
    source = MOONS.read_text(encoding="utf-8")
    for seed in range(2, 8):
        found, _ = moons(source.replace("default_rng(1)", f"default_rng({seed})"))
        assert found["acc"] >= 0.97


@pytest.mark.parametrize("size", [0, -1, 2.0, "2", None])
def test_sizes_are_integers_from_1_up(size: Any) -> None:
    for make in (lambda: Linear(size, 2), lambda: Linear(2, size), lambda: MLP(2, [size, 1])):
        with pytest.raises(ValueError, match=r"^Linear: got size .*, wanted an int from 1 up$"):
            make()


def test_an_mlp_without_layers_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^MLP: got no layers, wanted one size at least"):
        MLP(2, [])


def test_rows_of_another_length_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"matmul of \(5, 3\), W \(2, 4\)"):
        Linear(2, 4, 0)(np.ones((5, 3)))
