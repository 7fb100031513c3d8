"""The walk: every number against NumPy and backward(), every record complete and unchanging."""

from __future__ import annotations

import json
import math
from dataclasses import FrozenInstanceError, fields
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import need, some_quick
from helpers import (
    operations,
)  # a module: walks name nodes by what the globals hold, with all in it
from helpers.graphs import of_scalars, random_graph
from hypothesis import given, settings

from tinygrad_ce import (
    StaleGraphError,
    Step,
    Steps,
    Value,
    cross_entropy,
    draw,
    primitive,
    softmax,
    step_through,
    topological,
)
from tinygrad_ce.engine.operation import TABLE, Primitive
from tinygrad_ce.programs.files import replace_file
from tinygrad_ce.views.formulas import entrywise
from tinygrad_ce.views.steps import sentence

CASES = json.loads((Path(__file__).parents[1] / "seed_cases.json").read_text(encoding="utf-8"))


def last(steps: Steps, node: str, phase: str) -> Step:
    """The step that left a node's value or gradient as it is in the end."""
    who = [s.target if phase == "backward" else s.node for s in steps]
    return [s for s, w in zip(steps, who) if w == node and s.phase == phase][-1]


# ------------------------------------------------------------------ the seed's figures
@pytest.mark.parametrize("case", CASES["softmax"])
def test_softmax_as_it_is_printed_elsewhere(case: dict[str, Any]) -> None:
    for i, (p, z) in enumerate(zip(case["p"], case["logits"]), 1):
        steps = step_through(of_scalars(case["logits"], target=i - 1))
        digits = case["digits"]
        assert last(steps, f"p{i}", "forward").after == pytest.approx(p, abs=10 ** -digits["p"])
        if "exp" in case:
            e = case["exp"][i - 1]
            found = last(steps, f"e{i}", "forward").after
            assert found == pytest.approx(e, abs=10 ** -digits["exp"])
            assert found == math.exp(z)
        for j, q in enumerate(case["p"], 1):
            if j == i or f"p{j}" in steps.nodes:
                slope = last(steps, f"z{j}", "backward").after
                assert slope == pytest.approx(q - (i == j), abs=2 * 10 ** -digits["p"])


@pytest.mark.parametrize("target", CASES["targets"])
def test_p_minus_t_comes_out(target: list[float]) -> None:
    z = Value([3.2, 1.3, 0.5], name="z")
    p = np.exp(z) / np.exp(z).sum()
    steps = step_through(-(np.array(target) * np.log(p)).sum())
    wanted = np.exp(z.data) / np.exp(z.data).sum() - target
    np.testing.assert_allclose(last(steps, "z", "backward").after, wanted, atol=1e-15)


def test_the_rule_reads_as_on_paper_with_its_numbers() -> None:
    steps = step_through(of_scalars([3.2, 1.3, 0.5]))
    step = last(steps, "z1", "backward")
    assert step.words == "∂L/∂z1 = ∂L/∂e1 · e^z1 = −0.007262 × 24.53 = −0.1782"
    assert step.latex == (
        r"\frac{\partial L}{\partial z_{1}} = "
        r"\frac{\partial L}{\partial e_{1}} \cdot e^{z_{1}} = -0.007262 \times 24.53 = -0.1782"
    )
    again = last(steps, "e1", "backward")  # the second path into e1
    assert again.latex.startswith(r"\frac{\partial L}{\partial e_{1}} \mathrel{+}= ")
    assert again.words.startswith("∂L/∂e1 += ")
    forward = last(steps, "p1", "forward")
    assert forward.words == "p1 = e1 / s = 24.53 / 29.85 = 0.8218"
    assert forward.latex == r"p_{1} = \frac{e_{1}}{s} = \frac{24.53}{29.85} = 0.8218"


def test_tensors_read_by_shape_and_short_vectors_in_full() -> None:
    x, w, b = (
        Value(np.ones(shape), name=n) for n, shape in (("x", (5, 4)), ("W", (4, 3)), ("b", 3))
    )
    steps = step_through((x @ w + b).sum())
    assert last(steps, "W", "backward").words == ("∂L/∂W = xᵀ ∂L/∂matmul: (5×4)ᵀ (5×3) → (4×3)")
    assert last(steps, "W", "backward").local is None
    assert last(steps, "b", "backward").words == ("∂L/∂b = ∂L/∂add = Σ (5×3) ⊙ (5×3) = [5, 5, 5]")
    assert last(steps, "x", "forward").latex == r"x: (5 \times 4)"
    np.testing.assert_array_equal(last(steps, "W", "backward").after, np.full((4, 3), 5.0))


def test_an_output_without_a_name_is_called_L_unless_another_node_is() -> None:
    x = Value(2.0, name="x")
    assert "∂L/∂x = " in step_through(x * 3.0)[-1].words
    loss = Value(2.0, name="L")
    assert "∂multiply/∂L = " in step_through(loss * 3.0)[-1].words


# ------------------------------------------------------------------ order and records
def test_forward_then_the_seed_then_every_edge_newest_first() -> None:
    loss = of_scalars([3.2, 1.3, 0.5])
    nodes = topological(loss)
    steps = step_through(loss)
    assert [s.number for s in steps] == list(range(1, len(steps) + 1))
    forward, seed, *backward = steps[: len(nodes)], steps[len(nodes)], *steps[len(nodes) + 1 :]
    assert [s.index for s in forward] == list(range(len(nodes)))
    assert all(s.phase == "forward" and s.before is None and s.target is None for s in forward)
    assert [s.op for s in forward] == [n.op.name if n.op else "" for n in nodes]
    assert (seed.node, seed.target, seed.argument) == ("L", "L", None)
    assert (seed.upstream, seed.before, seed.after) == (1.0, None, 1.0)
    edges = [(s.index, s.argument, s.target_index) for s in backward]
    assert edges == [
        (i, k, nodes.index(parent))
        for i, node in reversed(list(enumerate(nodes)))
        for k, parent in enumerate(node.parents)
        if isinstance(parent, Value)
    ]
    assert steps.nodes == tuple(s.node for s in forward)
    assert all(s.target == steps.nodes[s.target_index] for s in backward)  # type: ignore[index]


def test_a_leaf_alone_and_a_number_used_twice() -> None:
    steps = step_through(Value(2.0, name="x"))
    assert [s.words for s in steps] == ["x = 2", "∂x/∂x = 1"]
    x = Value(3.0, name="x")
    *_, one, two = step_through(x + x)
    assert (one.before, one.after, two.before, two.after) == (None, 1.0, 1.0, 2.0)
    assert (one.argument, two.argument) == (0, 1)
    assert two.contributions == (1.0, 1.0)


def test_records_do_not_change_with_the_graph() -> None:
    x = Value(np.array([1.0, 2.0]), name="x")
    steps = step_through((x * x).sum())
    kept = [(s.after, np.array(s.after)) for s in steps]
    x.data[:] = 7.0
    for after, copy in kept:
        np.testing.assert_array_equal(after, copy)
    for step in steps:
        for field in fields(Step):
            with pytest.raises(FrozenInstanceError):
                setattr(step, field.name, None)
        for data in (step.upstream, step.local, step.contribution, step.before, step.after):
            if isinstance(data, np.ndarray):
                with pytest.raises(ValueError, match="read-only"):
                    data[...] = 0.0
    with pytest.raises(FrozenInstanceError):
        steps.records = ()  # type: ignore[misc]


def test_the_picture_is_of_the_graph_as_it_was_and_gives_no_gradient_away() -> None:
    x = Value(3.0, name="x")
    loss = x * x
    loss.backward()
    steps = step_through(loss)
    x.data = 7.0
    assert "value 9" in steps.drawing.dot
    assert "gradient" not in steps.drawing.dot
    assert 'id="node-0"' in steps.drawing.dot or "id=node-0" in steps.drawing.dot


def test_it_is_a_sequence() -> None:
    steps = step_through(of_scalars([3.2, 1.3, 0.5]))
    assert steps[0].number == 1
    assert steps[-1] is list(steps)[-1]
    part = steps[2:9:2]
    assert isinstance(part, Steps)
    assert [s.number for s in part] == [3, 5, 7, 9]
    assert part.nodes == steps.nodes
    assert steps.index(part[1]) == 4
    with pytest.raises(IndexError):
        steps[len(steps)]


# ------------------------------------------------------------------ against backward()
def check(loss: Value, gradient: Any = None) -> Steps:
    """Every number of a walk against backward(), which is checked elsewhere, and NumPy."""
    nodes = topological(loss)
    before = [node.grad for node in nodes]
    steps = step_through(loss, gradient)
    assert all(node.grad is grad for node, grad in zip(nodes, before))
    for node in nodes:
        node.grad = None
    loss.backward(gradient)
    arrived: dict[int | None, list[Any]] = {}
    for step in steps:
        if step.phase == "forward":
            np.testing.assert_array_equal(step.after, nodes[step.index].data)
            assert step.contributions == ()
            continue
        so_far = arrived.setdefault(step.target_index, [])
        assert (step.before is None) == (not so_far)
        so_far.append(step.contribution)
        assert len(step.contributions) == len(so_far)
        assert all(a is b for a, b in zip(step.contributions, so_far))
        np.testing.assert_allclose(step.after, sum(so_far[1:], so_far[0]), rtol=1e-5, atol=1e-7)
        if step.argument is not None:
            node = nodes[step.index]
            np.testing.assert_allclose(step.upstream, node.grad, rtol=1e-5, atol=1e-7)
            if step.local is not None:
                undone(step)
    for i, node in enumerate(nodes):
        total = [s.after for s in steps if s.target_index == i][-1]
        assert type(total) is type(node.data)
        assert np.shape(total) == node.shape
        assert getattr(total, "dtype", float) == getattr(node.grad, "dtype", float)
        np.testing.assert_allclose(total, node.grad, rtol=1e-5, atol=1e-7)
    return steps


def undone(step: Step) -> None:
    """Upstream × local is the contribution, when what broadcasting repeated is summed up again."""
    product = np.asarray(step.upstream * step.local)
    shape = np.shape(step.contribution)
    if product.size == np.size(step.contribution):
        product = product.reshape(shape)
    while product.ndim > len(shape):
        product = product.sum(axis=0)
    for axis, n in enumerate(shape):
        if n == 1 != product.shape[axis]:
            product = product.sum(axis=axis, keepdims=True)
    np.testing.assert_allclose(product, step.contribution, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("tensors", [False, True], ids=["scalars", "tensors"])
@pytest.mark.parametrize(
    "seed", [0, 1, 2, *(pytest.param(n, marks=pytest.mark.slow) for n in range(3, 12))]
)
def test_random_graphs_add_up_to_what_backward_finds(seed: int, tensors: bool) -> None:
    rng = np.random.default_rng(seed)
    shapes = [(2, 3), (2, 1), (3,), (1, 3)] if tensors else [()] * 4
    leaves = [Value(x if tensors else float(x)) for x in [rng.uniform(-1, 1, s) for s in shapes]]
    steps = check(random_graph(np, leaves, seed, 30, tensors))
    elementwise = [s for s in steps if s.argument is not None and s.op not in ("matmul", "sum")]
    assert tensors or all(s.local is not None for s in elementwise)


def test_which_operations_of_the_table_work_entry_by_entry() -> None:
    ufuncs = {f.__name__ for f in TABLE if isinstance(f, np.ufunc)} - {"matmul", "absolute"}
    assert {name for name in operations.LINES if entrywise(operations.OPS[name])} == {
        *(ufuncs & {*operations.LINES}),
        *("abs", "where", "clip", "relu", "root", "sigmoid", "sinc"),
        *({"zeta"} & {*operations.LINES}),  # with SciPy
    }


@pytest.mark.parametrize("name", some_quick(operations.LINES, 3))
def test_every_primitive_of_the_table(name: str) -> None:
    op: Primitive = operations.OPS[name]

    @given(operations.cases(op))
    @settings(max_examples=settings.default.max_examples // 3)
    def run(case: Any) -> None:
        args, options = case
        given_ = [Value(a) if rule else a for a, rule in zip(args, op.vjps)]
        out = op(*given_, **options)
        steps = check(out, np.random.default_rng(1).normal(size=out.shape))
        assert all(s.words and s.latex and "<" not in s.words.replace(" < ", "") for s in steps)
        local = [s.local is not None for s in steps if s.argument is not None]
        assert set(local) <= {entrywise(op) or out.size == 1}

    run()


def test_the_fused_node_too_and_it_still_runs_backward() -> None:
    z = Value(np.array([[3.2, 1.3, 0.5], [0.1, 0.2, 0.3]]), name="z")
    loss = cross_entropy(z, np.array([0, 2]))
    p = np.exp(z.data) / np.exp(z.data).sum(axis=1, keepdims=True)
    wanted = (p - np.eye(3)[[0, 2]]) / 2
    np.testing.assert_allclose(step_through(loss)[-1].after, wanted, atol=1e-15)
    np.testing.assert_allclose(check(loss)[-1].local, wanted, atol=1e-15)
    np.testing.assert_allclose(z.grad, wanted, atol=1e-15)


def test_a_users_operation_and_one_whose_division_by_zero_needs_numpy() -> None:
    cube = primitive(lambda g, out, x: g * 3 * x**2, name="cube")(lambda x: x**3)
    assert step_through(cube(Value(2.0)))[-1].after == 12.0
    zero = Value(0.0)
    assert step_through(np.sqrt(zero))[-1].after == np.inf
    assert "= inf" in step_through(np.sqrt(zero))[-1].words


def softsign() -> Any:
    """An operation as a user adds it."""
    slope = (lambda g, out, x: g / (1.0 + abs(x)) ** 2, r"<g> / (1 + |<x>|)^2")
    return primitive(slope, latex=r"\frac{<x>}{1 + |<x>|}", name="softsign")(
        lambda x: x / (1 + abs(x))
    )


def test_a_users_operation_steps_and_draws_as_ours_do() -> None:
    x = Value([1.0, -3.0], name="x")
    ours, theirs = (step_through(f(x), np.array([2.0, 4.0])) for f in (np.tanh, softsign()))
    assert [s.local is None for s in theirs] == [s.local is None for s in ours]
    assert theirs[1].words == "softsign = x / (1 + |x|) = [1, −3] / (1 + |[1, −3]|) = [0.5, −0.75]"
    assert theirs[-1].words == (
        "∂L/∂x = ∂L/∂softsign / (1 + |x|)² = [2, 4] ⊙ [0.25, 0.0625] = [0.5, 0.25]"
    )
    assert (
        theirs[-1].latex.split(" = ")[1]
        == r"\frac{\partial L}{\partial \text{softsign}} / (1 + |x|)^2"
    )
    y = softsign()(x)
    y.backward(np.array([2.0, 4.0]))
    (edge,) = draw(y, gradients="edges").edges
    assert edge.flow == "[2, 4] × [0.25, 0.0625] = [0.5, 0.25]"


def test_a_users_operation_without_latex_reads_as_the_chain_rule() -> None:
    rules = [lambda g, out, x, y: g * y, lambda g, out, x, y: g * x]
    product = primitive(*rules, name="product")(lambda x, y: x * y)
    steps = step_through(product(Value(2.0, name="a"), Value(5.0, name="b")))
    assert steps[2].words == "product = product(a, b) = product(2, 5) = 10"
    assert steps[-1].words == "∂L/∂b = ∂L/∂product · ∂product/∂b = 1 × 2 = 2"


@pytest.mark.parametrize("name", ["leaky_relu", "madd4", "50%", "<x>", "f", r"\N"])
@pytest.mark.parametrize(
    ("n", "args"), [(1, "a"), (2, "a, b"), (4, "a, b, c, d"), (6, "a, b, c, d, …")]
)
def test_a_users_operation_is_called_by_its_name_with_its_arguments(
    name: str, n: int, args: str
) -> None:
    op = primitive(*[lambda g, out, *xs: g] * n, name=name)(lambda *xs: sum(xs))
    out = op(*[Value(1.0, name=letter) for letter in "abcdef"[:n]])
    out.name = "y"
    steps = step_through(out)
    assert steps[n].words.startswith(f"y = {name}({args}) = {name}(1")
    assert steps[-1].words == f"∂y/∂{'abcdef'[n - 1]} = ∂y/∂y · ∂y/∂{'abcdef'[n - 1]} = 1 × 1 = 1"
    numbers = op(*[Value(1.0, name="a"), *[2.0] * (n - 1)])
    assert step_through(numbers)[1].words.count("2") >= min(n - 1, 3)


@pytest.mark.parametrize(
    ("function", "works"),
    [
        (lambda x, y: x * y + x, True),
        (lambda x: x if x > 0 else 0.0, False),  # of numbers alone
        (lambda x: x - np.mean(x), False),
        (lambda x: np.cumsum(x, axis=-1), False),
        (lambda x: x[::-1], False),
        (lambda x: np.squeeze(x), False),
        (lambda x: 1 / 0, False),
    ],
)
def test_whether_a_users_operation_works_entry_by_entry_is_seen(function: Any, works: bool) -> None:
    n = function.__code__.co_argcount
    op = primitive(*[lambda g, out, *args: g] * n)(function)
    assert entrywise(op) is works


def test_overflow_is_shown_without_a_warning() -> None:
    with np.errstate(all="ignore"):
        z = Value([1000.0, 0.0])
        loss = (np.exp(z) / np.exp(z).sum()).sum()
    steps = step_through(loss)
    assert np.isnan(steps[-1].after).any()


def test_an_array_of_no_dimensions_stays_one() -> None:
    x = Value(np.array(2.0), name="x")
    check(x * x)


def test_a_gradient_to_start_from() -> None:
    x = Value([1.0, 2.0], name="x")
    steps = step_through(x * x, np.array([1.0, 10.0]))
    np.testing.assert_array_equal(steps[-1].after, [2.0, 40.0])


# ------------------------------------------------------------------ beside the fused node
def test_composed_and_fused_side_by_side() -> None:
    z, t = Value([3.2, 1.3, 0.5], name="z"), np.array([1.0, 0.0, 0.0])
    composed = -(t * np.log(softmax(z))).sum()
    steps = step_through(composed, fused=cross_entropy(z, t))
    assert steps.fused is not None
    assert [s.op for s in steps.fused if s.phase == "forward"] == ["", "LogSoftmaxNLL"]
    one, two = last(steps, "z", "backward").after, last(steps.fused, "z", "backward").after
    assert steps.difference == np.max(abs(one - two)) < 1e-15
    assert steps[3:5].fused is steps.fused
    assert step_through(composed).fused is step_through(composed).difference is None


def test_a_difference_is_seen() -> None:
    z, w = Value([3.2, 1.3, 0.5]), Value(2.0)
    loss = cross_entropy(z, 0)
    steps = step_through(loss * w, fused=loss * 3.0)
    p = np.exp(z.data) / np.exp(z.data).sum()
    assert steps.difference == pytest.approx(1 - p[0])


# ------------------------------------------------------------------ errors
def test_bad_input_gets_one_clear_line() -> None:
    x, y = Value([1.0, 2.0], name="x"), Value(1.0)
    bad: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
        (3.0, {}, TypeError, "got float for loss, wanted a Value"),
        (None, {}, TypeError, "got NoneType for loss, wanted a Value"),
        (y, {"fused": 2.0}, TypeError, "got float for fused, wanted a Value"),
        (x * x, {}, ValueError, r"loss of shape \(2,\).*gradient="),
        (x * x, {"gradient": 1.0}, ValueError, r"shape \(\), wanted \(2,\)"),
        (x.sum(), {"fused": Value(1.0) * 2.0}, ValueError, "fused shares no leaf with the loss"),
    ]
    for loss, options, error, message in bad:
        with pytest.raises(error, match=message) as caught:
            step_through(loss, **options)
        assert "\n" not in str(caught.value)
    loss = x.sum()
    x.data = np.array([5.0, 6.0])
    with pytest.raises(StaleGraphError):
        step_through(loss)


# ------------------------------------------------------------------ as text
def test_the_table_is_aligned_whatever_the_names() -> None:
    x, y = Value(2.0, name="로짓\n\x1b[31m"), Value(-3.0, name="e\u0301")
    steps = step_through(x * y)
    lines = str(steps).splitlines()
    assert lines[0].split() == ["step", "phase", "node", "to", "rule", "before", "after"]
    assert all(line.isprintable() for line in lines)
    assert r"로짓\n\x1b[31m" in lines[1]
    for line, step in zip(lines[1:], steps, strict=True):
        left = line[: line.index(f"  {step.words}") + 2]
        columns = len(left) + left.count("로") + left.count("짓") - left.count("\u0301")
        assert columns == lines[0].index("rule")


def test_latex_is_one_display() -> None:
    steps = step_through(of_scalars([3.2, 1.3, 0.5]))
    lines = steps.latex().splitlines()
    assert lines[0] == r"\begin{aligned}"
    assert lines[-1] == r"\end{aligned}"
    assert [line.removesuffix(r" \\") for line in lines[1:-1]] == [f"& {s.latex}" for s in steps]


# ------------------------------------------------------------------ files, size
def test_a_file_is_replaced_at_once_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "steps.html"
    replace_file(path, b"old")
    with path.open("rb") as reader:
        replace_file(str(path), b"new")
        assert reader.read() == b"old"
    assert path.read_bytes() == b"new"
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError):
        replace_file(tmp_path / "folder", b"new")
    with pytest.raises(OSError):
        replace_file(tmp_path / "absent" / "file", b"new")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "steps.html"]


@pytest.mark.slow
def test_a_leaf_used_thousands_of_times_takes_linear_space() -> None:
    x = Value(1.0, name="x")
    out = x
    for _ in range(3000):
        out = out + x
    steps = step_through(out)
    assert steps[-1].after == 3001.0
    assert len(steps[-1].contributions) == 3001
    del steps  # a chain of records is no deep recursion


def test_a_notebook_and_a_file_get_the_same_page(tmp_path: Path) -> None:
    need("latex2mathml")
    steps = step_through(of_scalars([3.2, 1.3, 0.5]))
    steps.save(tmp_path / "steps.html")
    tags: list[tuple[str, dict[str, str | None]]] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: tags.append((tag, dict(attrs)))  # type: ignore
    parser.feed(steps._repr_html_())
    (tag, attrs), *rest = tags
    assert tag == "iframe"
    assert [tag for tag, _ in rest] == ["details", "summary", "pre"]
    assert attrs["title"]
    assert attrs["srcdoc"] == (tmp_path / "steps.html").read_text(encoding="utf-8")


def test_steps_carry_the_line_that_made_the_node() -> None:
    z = Value([1.0, 2.0])
    e = np.exp(z)
    loss = e.sum()
    by_node = {step.node: step.written for step in step_through(loss)}
    assert by_node["z"] is None  # a leaf
    for name, text in (("e", "e = np.exp(z)"), ("loss", "loss = e.sum()")):
        assert by_node[name] is not None
        file, number, code = by_node[name]
        assert (file, code) == (__file__, text)
        assert Path(__file__).read_text().splitlines()[number - 1].strip() == text


def test_the_first_number_that_is_not_finite_is_marked() -> None:
    z = Value([1000.0, 1.0])
    with np.errstate(all="ignore"):
        e = np.exp(z)
        loss = np.log(e / e.sum()).sum()
        root = np.sqrt(Value([0.0, 4.0])).sum()
    steps = step_through(loss)
    (birth,) = [s for s in steps if s.birth]
    assert (birth.phase, birth.node, birth.number) == ("forward", "e", 2)
    rows = str(steps).splitlines()
    assert [row.split()[0] for row in rows if "⚠ here it begins" in row] == ["2"]
    assert "begins here" in sentence(birth)
    (back,) = [s for s in step_through(root) if s.birth]  # the loss is finite, its gradient is not
    assert (back.phase, back.node, back.after[0]) == ("backward", "sqrt", np.inf)
    assert not any(s.birth for s in step_through((z / 1000.0).sum()))
    rate = np.exp(Value(-800.0))  # 0, and finite
    with np.errstate(all="ignore"):
        (birth,) = [s for s in step_through(np.log(rate)) if s.birth]
    assert birth.number == 3


def test_a_page_is_called_as_the_learner_calls_the_loss() -> None:
    def price(x: Any) -> Any:
        return -(x * x).sum()

    z = Value([1.0, 2.0])
    assert step_through(price, [1.0, 2.0]).title == "price"
    assert step_through(price(z)).title == ""  # negative is no name of the learner's
    cost = price(z)
    assert step_through(cost).title == "cost"
    assert step_through(lambda x: x * x, 2.0).title == ""


def test_a_shape_is_no_power_of_ten_and_has_no_brackets_of_one() -> None:
    last = step_through(np.exp(Value(np.ones((12, 10)))).sum())[-1]
    assert "((" not in last.latex.replace(r"\left", "")
