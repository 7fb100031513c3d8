"""A name for every node: the learner's own, where there is one."""

from __future__ import annotations

import linecache
import os
import pickle
import subprocess
import sys
import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np

from tinygrad_ce import Value, cross_entropy, grad, topological
from tinygrad_ce.engine.names import names, operands
from tinygrad_ce.engine.origin import line


def softmax(z: Any) -> Any:
    e = np.exp(z - np.max(z))
    return e / e.sum()


def nll(p: Any, t: Any) -> Any:
    e = np.log(p)
    return -(t * e).sum()


def test_results_are_called_after_the_variables_they_are_assigned_to() -> None:
    z, t = Value([2.0, 1.0, 0.1]), np.array([1.0, 0.0, 0.0])
    e = np.exp(z)
    s = e.sum()
    p = e / s
    loss = -(t * np.log(p)).sum()
    expected = ["z", "e", "s", "p", "log", "multiply", "sum", "loss"]
    assert [*names(topological(loss)).values()] == expected


def test_names_in_functions_that_clash_are_told_apart_by_the_function() -> None:
    z = Value([2.0, 1.0])
    loss = nll(softmax(z), np.array([0.0, 1.0]))
    found = [*names(topological(loss)).values()]
    assert found[:4] == ["z", "max", "subtract", "softmax.e"]
    assert found[5:] == ["p", "nll.e", "multiply", "sum_2", "loss"]


def test_a_line_that_runs_again_is_numbered() -> None:
    h, W = Value(np.ones(2)), Value(np.eye(2))
    first, total = h, 0.0
    for k in range(2):
        h = np.tanh(h @ W)
        total += np.sum(h) * k
    del h
    found = [*names(topological(total)).values()]
    assert [n for n in found if n[0] in "ht"] == ["h_1", "total_1", "h_2", "total_2"]
    assert found[0] == "first"
    assert first.grad is None


def test_leaves_and_constants_are_called_after_the_variable_that_holds_them() -> None:
    layer = SimpleNamespace(W=Value(np.eye(2)), inner={"b": Value(np.zeros(2))})
    params = [Value(np.ones(2)), Value(2.0)]
    X, a = np.ones((3, 2)), np.array([3.0, 4.0])
    n = len(X)
    out = (X @ layer.W + layer.inner["b"] + params[0] * params[1] + Value(a)).sum() / n
    found = names(topological(out))
    leaves = {name for node, name in found.items() if node.op is None}
    assert leaves == {"layer.W", "layer.inner['b']", "params[0]", "params[1]", "a"}
    constants = {text for node in found for x, text in operands(node) if not isinstance(x, Value)}
    assert constants == {"X", "n"}


def test_a_loop_leaves_its_variable_and_a_list_keeps_its_entries() -> None:
    params, b = [Value(1.0), Value(2.0)], Value(3.0)
    out = Value(0.0)
    for p in params:
        out = out + p * b
    found = names(topological(out))
    assert [found[x] for x in (*params, b)] == ["params[0]", "params[1]", "b"]
    W, b = Value(1.0), Value(2.0)
    params = [W, b]
    assert [*names(topological(W * b)).values()][:2] == ["W", "b"]


def test_what_a_call_makes_of_its_argument_is_not_called_like_it() -> None:
    """The reshape that np.cumsum begins with is a part of it."""
    p = Value(np.ones((2, 2)))
    q = np.cumsum(p)
    assert list(names(topological(q)).values()) == ["p", "reshape", "q"]


def test_a_transposed_leaf_has_the_name_that_its_transpose_is_made_of() -> None:
    def sums(A: Any) -> Any:
        return A.T @ np.ones(2)

    assert [*names(topological(sums(Value(np.eye(2))))).values()] == ["A", "A.T", "matmul"]


def test_a_leaf_that_nobody_holds_is_called_as_where_it_is_used() -> None:
    def loss(weights: Any) -> Any:
        return (weights * weights).sum()

    assert [*names(topological(loss(Value([1.0, 2.0])))).values()] == ["weights", "multiply", "sum"]


def test_a_function_called_by_its_bare_name_gives_the_names_too() -> None:
    def loss(weights: Any) -> Any:
        return tanh(weights).sum()

    tanh = np.tanh
    assert [*names(topological(loss(Value([1.0, 2.0])))).values()] == ["weights", "tanh", "sum"]


def test_a_given_name_wins_and_what_has_none_keeps_the_operations() -> None:
    x, y = Value(1.0, name="input"), Value(2.0)
    assert [*names(topological((x + y) * (x + y))).values()] == [
        "input",
        "y",
        "add_1",
        "add_2",
        "multiply",
    ]
    z = Value([1.0])
    z.name = "logits"
    e = z.exp()
    e.name = "odds"
    assert [*names(topological(e)).values()] == ["logits", "odds"]


def test_an_operation_of_several_nodes_gives_its_result_the_name() -> None:
    z = Value([0.5, -0.5])
    p = z.sigmoid()
    loss = cross_entropy(p, [0.0, 1.0])
    found = [*names(topological(loss)).values()]
    assert found.count("p") == 1
    assert found[-1] == "loss"
    assert names(topological(loss))[p] == "p"


def test_a_gradient_is_called_after_the_variable_that_holds_it_and_no_part_of_it_is() -> None:
    x = Value([1.0, 2.0])
    slope = grad(lambda a: (a * a * x).sum())(x)
    loss = (slope * slope).sum()
    found = names(topological(loss))
    assert found[slope] == "slope"
    assert list(found.values()).count("slope") == 1


def test_targets_of_every_kind_give_a_name() -> None:
    x = Value([1.0, 2.0])
    a, b = x * 2.0, x * 3.0
    c: Any = a + b
    if (d := c * c) is not None:
        this = SimpleNamespace()
        this.out = d.sum()
    assert [*names(topological(this.out)).values()] == ["x", "a", "b", "c", "d", "this.out"]


def test_each_of_several_targets_gives_its_name_where_a_function_is_done() -> None:
    def loss(x: Any) -> Any:
        a, layer.b = np.exp(x), np.sin(x)
        c, *rest = np.tanh(x), np.cosh(x), x * 3.0
        return np.stack([a, layer.__dict__.pop("b"), c, *rest]).sum()

    layer = SimpleNamespace()
    found = [*names(topological(loss(Value([1.0, 2.0])))).values()]
    assert [name for name in found if "expand" not in name][1:6] == [
        "a",
        "layer.b",
        "c",
        "cosh",
        "multiply",
    ]


def test_a_result_that_is_added_to_a_variable_has_its_name_where_a_function_is_done() -> None:
    def loss(x: Any) -> Any:
        total = np.exp(x)
        total += np.sin(x) * 2.0
        return np.stack([total]).sum()

    found = [*names(topological(loss(Value([1.0, 2.0])))).values()]
    assert [name for name in found if "total" in name] == ["total_1", "total_2"]


def test_scalars_are_called_after_the_variables_that_hold_them() -> None:
    a, b = Value(2.0), Value(3.0)
    c = a * b
    d = c + a
    assert [*names(topological(d)).values()] == ["a", "b", "c", "d"]


def test_the_machinery_of_notebooks_gives_no_names() -> None:
    code = "x = Value([1.0]); y = (x * 2.0) * 3.0\n_ = _1 = Out[1] = mid = y.parents[0]\ndel mid"
    space = {"Value": Value, "Out": {}, "In": ["", code]}
    linecache.cache["<cell>"] = (len(code), None, code.splitlines(True), "<cell>")
    exec(compile(code, "<cell>", "exec"), space)
    space["names"], space["topological"] = names, topological
    assert eval("list(names(topological(y)).values())", space) == ["x", "multiply", "y"]


def test_without_a_source_nodes_have_names_all_the_same() -> None:
    space: dict[str, Any] = {"Value": Value, "np": np}
    exec("def f(x):\n    e = np.exp(x)\n    return e", space)
    x = Value([1.0, 2.0])
    assert [*names(topological(space["f"](x).sum())).values()] == ["x", "exp", "sum"]


def test_a_node_knows_its_line_and_a_pickled_one_no_more() -> None:
    x = Value([1.0, 2.0])
    loss = (x * x).sum()  # here
    assert loss.origin is not None
    filename, number, text = line(loss.origin)
    assert filename == __file__
    assert number == loss.origin[0].co_firstlineno + 2
    assert text == "loss = (x * x).sum()  # here"
    again = pickle.loads(pickle.dumps(loss))
    assert {node.origin for node in topological(again) if node.op} == {None}
    again.backward()


def test_long_lists_and_what_lies_deep_are_not_looked_through() -> None:
    def made(size: int, depth: int) -> Any:
        kept: Any = [0.0] * size + [Value([1.0])]
        for _ in range(depth):
            kept = [kept]
        return [kept, kept]

    for size, depth, seen in ((10, 1, True), (10, 9, False), (10_000, 1, False)):
        holder = made(size, depth)
        holder.append(holder)
        x = holder[0]
        while isinstance(x, list):
            x = x[-1]
        leaf = [x]
        del x
        found = names(topological(leaf.pop() * 2.0))
        assert next(iter(found.values())).startswith("holder[0]" if seen else "leaf")


def found_in(_graph: Value) -> list[str]:
    """Names without the variables of a test."""
    return [*names(topological(_graph)).values()]


def test_a_module_or_a_list_is_no_operands_name() -> None:
    xp: Any = np

    def several(*, xs: Any, m: Any) -> Any:
        return (np.einsum("ij,jk", np.eye(2), m) @ np.concatenate(xs)).max(0)

    found = found_in(several(xs=[Value([[1.0]]), Value([[2.0]])], m=Value(np.eye(2))))
    assert not {"xs", "xp", "np"} & {*found}
    assert found_in((lambda: xp.exp(Value([1.0])))())[0] == "leaf"
    summed = found_in((lambda w: w.sum(-1))(Value([1.0])))  # outside an assert: pytest moves those
    assert summed[0] == "w"


def test_what_stands_behind_a_star_has_no_name_of_another() -> None:
    x = Value([1.0, 2.0])
    *_rest, last = x * 1.0, x * 2.0, x * 3.0
    named = names(topological(last))[last]
    assert named == "last"
    first, second = _rest
    assert names(topological(second))[second] == "second"
    assert names(topological(first))[first] == "first"
    assert found_in((lambda ab: np.where([True], *ab[:1], ab[1]))([x, x]))[-1] == "where"


def test_a_list_of_results_is_no_results_name() -> None:
    zs = [Value([1.0]), Value([2.0])]
    items = list(map(np.exp, zs))
    best = max(map(np.tanh, zs))
    out = items[0] * items[1] * best
    found = [*names(topological(out)).values()]
    assert {"items[0]", "items[1]", "best", "out"} <= {*found}
    assert "items" not in found


def test_equal_numbers_are_not_the_same_variable() -> None:
    lr = 0.1
    loss = Value(0.1) * Value(2.0)
    assert [*names(topological(loss)).values()] == ["leaf_1", "leaf_2", "loss"]
    assert lr == 0.1


def test_numbers_behind_names_leave_out_the_learners_own() -> None:
    x = Value([1.0])
    e_1 = x * 7.0
    y = e_1
    for _ in range(2):
        e = np.exp(x)
        y = y + e
    assert [n for n in found_in(y) if n[0] == "e"] == ["e_1", "e_2", "e_3"]


def test_a_chain_of_methods_on_lines_of_their_own_gives_its_result_the_name() -> None:
    def loss(z: Any) -> Any:
        result = (
            np.exp(z)
            .sum(axis=0)
            .max()
        )  # fmt: skip
        return result * 1.0

    assert found_in(loss(Value([1.0]))) == ["z", "exp", "sum", "result", "multiply"]


def test_objects_that_do_as_they_like_are_passed_by() -> None:
    def refuses(*_args: Any) -> Any:
        raise RuntimeError("outside of its context")

    proxy = type("Proxy", (), {"__getattribute__": refuses})()
    no_dict = type("NoDict", (), {"__dict__": 5})()
    no_length = type("NoLength", (list,), {"__len__": refuses})([1])
    no_class = type("NoClass", (), {"__class__": property(refuses)})()
    space = {"names": names, "topological": topological, "x": Value([1.0]), 1: 2}
    space |= {"a": proxy, "b": no_dict, "c": no_length, "d": no_class}
    assert eval("list(names(topological(x * 2.0)).values())", space) == ["x", "multiply"]  # type: ignore[arg-type]


def test_a_file_that_was_edited_since_gives_no_names(tmp_path: Any) -> None:
    file = tmp_path / "lesson.py"
    lines = [
        "def f(x):\n",
        "    aaa = np.exp(x)\n",
        "    bbb = np.log(x)\n",
        "    return aaa * bbb\n",
    ]
    edited = [lines[0], "    bbb = np.exp(x)\n", "    aaa = np.log(x)\n", lines[3]]

    def run(source: list[str]) -> Any:
        file.write_text("".join(source))
        space: dict[str, Any] = {"np": np}
        exec(compile("".join(source), str(file), "exec", dont_inherit=True), space)
        return space["f"](Value([1.0]))

    old = run(lines)
    new = run(edited)
    assert found_in(old) == ["leaf", "exp", "log", "multiply"]
    assert line(topological(old)[1].origin)[2] == ""
    assert found_in(new) == ["x", "bbb", "aaa", "multiply"]
    for _ in range(100):  # Python speeds up what it runs often, which changes no source
        fast = run(lines)
    assert found_in(fast) == ["x", "aaa", "bbb", "multiply"]


def test_reading_a_source_repeats_none_of_its_warnings(tmp_path: Any) -> None:
    file = tmp_path / "lesson.py"
    file.write_text('R = "\\d"\ndef f(x):\n    e = np.exp(x)\n    return e * 1.0\n')
    space: dict[str, Any] = {"np": np}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(file.read_text(), str(file), "exec", dont_inherit=True), space)
    assert found_in(space["f"](Value([1.0]))) == ["x", "e", "multiply"]


def test_a_package_beside_numpys_is_the_learners() -> None:
    beside = os.path.dirname(np.__file__) + "_like/lib.py"
    code = "def f(x):\n    e = np.exp(x)\n    return e * 1.0\n"
    linecache.cache[beside] = (len(code), None, code.splitlines(True), beside)
    space: dict[str, Any] = {"np": np}
    exec(compile(code, beside, "exec"), space)
    assert found_in(space["f"](Value([1.0]))) == ["x", "e", "multiply"]


def test_of_a_source_that_is_no_python_nothing_is_read() -> None:
    code, shown = "def f(x):\n    e = np.exp(x)\n    return e * 1.0\n", "%%time\n  def f(\n"
    linecache.cache["<shown>"] = (len(shown), None, shown.splitlines(True), "<shown>")
    space: dict[str, Any] = {"np": np}
    exec(compile(code, "<shown>", "exec"), space)
    assert found_in(space["f"](Value([1.0]))) == ["leaf", "exp", "multiply"]


def test_a_thread_may_begin_with_an_operation() -> None:
    code = """
import _thread, time
import numpy as np
from tinygrad_ce import Value
x = Value([1.0])
for f, args in ((np.exp, (x,)), (np.sum, (x,)), (x.__mul__, (2.0,))):
    _thread.start_new_thread(f, args)
time.sleep(0.5)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stderr == ""
