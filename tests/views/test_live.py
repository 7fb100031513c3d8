"""The page of a function: its numbers follow when its reader changes one."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import Visit, need
from test_page_in_browser import matches, read

import tinygrad_ce as tg
from tinygrad_ce import step_through
from tinygrad_ce.views.steps import page

need("latex2mathml")
RNG = np.random.default_rng(0)
LABELS = np.array([0, 2, 1])


# ------------------------------------------------------------------ losses as people write them
def by_hand(z: Any, t: Any) -> Any:
    e = np.exp(z)
    s = e.sum()
    p = e / s
    return -(t * np.log(p)).sum()


def regression(w: Any, x: Any, b: Any) -> Any:
    z = x @ w + b
    e = np.exp(z - z.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    return -(np.eye(3)[LABELS] * np.log(p)).sum() / len(x)


def fused(z: Any) -> Any:
    return tg.cross_entropy(z, LABELS)


def composed(z: Any) -> Any:
    return tg.cross_entropy(z, LABELS, fused=False)


def logistic(z: Any, y: Any) -> Any:
    return np.mean(np.logaddexp(0.0, -y * z))


def pieces(z: Any) -> Any:
    chosen = np.where(z > 0, z**2, np.clip(z, -0.5, 0.3))
    return chosen.sum() + np.maximum(z, 0.1).sum() - np.abs(z).min() + z[:, 1].max()


def normalised(x: Any) -> Any:
    centred = x - x.mean(axis=-1, keepdims=True)
    return ((centred / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5)) ** 3).sum()


def layers(p: Any) -> Any:
    h = np.maximum(p["x"] @ p["w"] + p["b"], 0.0)
    return ((h @ p["v"]) ** 2).sum()


def of_numbers(a: Any, b: Any, c: Any) -> Any:
    return np.tanh(a * b + c) / (1.0 + np.exp(-a)) + a**3


def moved(x: Any, y: Any) -> Any:
    table = np.concatenate([x, y]).reshape(2, -1).T
    return table.sum(axis=0)[1] * np.stack([x, x]).mean() + np.cumsum(x).prod() + x[[0, 0, 1]].sum()


def curves(x: Any) -> Any:
    return (
        np.sin(x).sum()
        + np.arctan2(x, x + 2.0).sum()
        + np.log1p(x**2).sum()
        + np.hypot(x, 1.0).sum()
        + np.einsum("i,j->", x, x)
        + np.linalg.norm(x)
        + np.sqrt(np.square(x)).sum()
    )


def some(*shape: int) -> Any:
    return RNG.standard_normal(shape)


LOSSES: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [
    (by_hand, (np.array([3.2, 1.3, 0.5]), np.array([1.0, 0.0, 0.0]))),
    (regression, (some(2, 3), some(3, 2), some(3))),
    (fused, (some(3, 3),)),
    (composed, (some(3, 3),)),
    (logistic, (some(4), np.array([1.0, -1.0, 1.0, -1.0]))),
    (pieces, (some(2, 3),)),
    (normalised, (some(2, 4),)),
    (layers, ({"x": some(2, 3), "w": some(3, 4), "b": some(4), "v": some(4, 1)},)),
    (of_numbers, (1.5, -2.0, 0.3)),
    (moved, (some(3), some(3))),
    (curves, (some(3),)),
]
ids = [f.__name__ for f, _args in LOSSES]


def drawn(args: Any, rng: Any) -> Any:
    """Arguments of the same structure and shapes with other numbers."""
    if isinstance(args, dict):
        return {name: drawn(x, rng) for name, x in args.items()}
    if isinstance(args, tuple):
        return tuple(drawn(x, rng) for x in args)
    x = rng.normal(size=np.shape(args)).round(3)
    return x if np.ndim(args) else float(x)


def flat(args: Any) -> list[float]:
    parts = args.values() if isinstance(args, dict) else args if isinstance(args, tuple) else None
    return np.ravel(args).tolist() if parts is None else [x for part in parts for x in flat(part)]


def data_of(step: Any) -> list[Any]:
    return [step.upstream, step.local, step.contribution, step.before, step.after]


# ------------------------------------------------------------------ the walk
@pytest.mark.parametrize(("f", "args"), LOSSES, ids=ids)
def test_the_walk_of_a_function_is_that_of_its_graph(f: Any, args: Any) -> None:
    steps = step_through(f, *args)
    assert steps.live is not None, steps.still
    assert steps[-1].phase == "backward"
    first = next(iter(args[0].values())) if isinstance(args[0], dict) else args[0]
    wanted = tg.grad(
        lambda x: f({**args[0], "x": x} if isinstance(args[0], dict) else x, *args[1:])
    )
    name = steps.nodes[0]
    last = [s.after for s in steps if s.target == name][-1]
    np.testing.assert_allclose(last, wanted(first), rtol=1e-12, atol=1e-15)


def test_rules_have_the_same_words_as_those_of_a_graph_made_of_values() -> None:
    z, t = tg.Value([3.2, 1.3, 0.5], name="z"), np.array([1.0, 0.0, 0.0])
    ours = step_through(by_hand, [3.2, 1.3, 0.5], t)
    assert [s.words for s in ours] == [s.words for s in step_through(by_hand(z, t))]


def test_wrt_chooses_what_is_differentiated_and_a_fused_function_stands_beside() -> None:
    z, t = np.arange(9.0).reshape(3, 3), np.eye(3)[LABELS]
    steps = step_through(
        lambda z, t: tg.cross_entropy(z, t, fused=False), z, t, wrt=(0, 1), fused=tg.cross_entropy
    )
    assert steps.fused is not None
    assert steps.live is not None
    assert {s.target for s in steps} >= {"z", "t"}
    assert (steps.difference or 0.0) < 1e-15


def step_of(x: Any) -> Any:
    return x * x if x > 0 else -x


def step_of_either(x: Any) -> Any:
    """It catches what says that the branch depends on the number."""
    try:
        return x * x if x > 0 else -x
    except TypeError:
        return -x


@pytest.mark.parametrize(
    ("f", "args", "why"),
    [
        (np.linalg.det, (np.eye(2),), "np.linalg.det"),
        (lambda x: np.sort(x)[0], (np.ones(3),), "np.argsort"),
        (lambda x: np.sinc(x).sum(), (np.ones(3),), "np.sinc"),
        (step_of, (2.0,), "np.where"),
        (step_of_either, (2.0,), "A branch"),
        (lambda x: (x * x.data.astype(np.float32)).sum(), (np.ones(3),), "float32"),
        (lambda x: (x * x.data.astype(int)).sum(), (np.ones(3),), "int"),
    ],
)
def test_what_cannot_follow_stays_and_says_why(f: Any, args: Any, why: str) -> None:
    steps = step_through(f, *args)
    assert steps.live is None
    assert why in steps.still
    assert "Its numbers stay as they are" in page(steps)
    assert len(steps) > 1


def test_float32_stays_for_javascript_has_float64() -> None:
    steps = step_through(lambda x: (x * x).sum(), np.ones(3, np.float32))
    assert steps.live is None
    assert "float32" in steps.still


def test_a_mistake_in_the_function_is_the_learners_error() -> None:
    with pytest.raises(ZeroDivisionError):
        step_through(lambda x: x * (1 // 0), 2.0)
    with pytest.raises(TypeError, match="wanted a Value"):
        step_through(lambda x: 3.0, 2.0)


def test_why_a_page_stays_names_the_line_once() -> None:
    steps = step_through(lambda x: x[x > 0].sum(), np.ones(3))
    assert steps.still.count("test_live.py") == 1


def test_entries_picked_by_a_range_are_derived() -> None:
    steps = step_through(lambda z: -(z * z)[range(3), LABELS].sum(), np.ones((3, 3)))
    assert "rows, [0, 2, 1]" in page(steps)


def test_names_are_not_taken_for_places_of_numbers() -> None:
    params = {"⟦0⟧": [1.0, 2.0], "⟦999⟧": [3.0, 4.0]}
    text = page(step_through(lambda p: (p["⟦0⟧"] * p["⟦999⟧"]).sum(), params))
    assert "multiply = p[&#x27;⟦0⟧&#x27;] · p[&#x27;⟦999⟧&#x27;] = <span" in text


def test_the_page_holds_the_code_the_derivation_and_no_mark() -> None:
    text = page(step_through(by_hand, [3.2, 1.3, 0.5], np.array([1.0, 0.0, 0.0])))
    assert "s = e.sum()" in text
    assert "From the numbers to the formula" in text
    assert "\ue000" not in text
    assert len(text) < 400_000


def test_every_argument_that_gets_a_gradient_can_step_downhill() -> None:
    """Where that never changes, its numbers stand in the page."""
    steps = step_through(lambda x, w: (w * x).sum(), [1.0, 2.0], [3.0, 4.0], wrt=(0, 1))
    assert steps.live is not None
    assert all(x["slope"] is not None for x in steps.live.payload["arguments"])
    linear = step_through(lambda x: (np.array([3.0, 4.0]) * x).sum(), [1.0, 2.0])
    assert linear.live is not None
    assert linear.live.payload["arguments"][0]["slope"] == [3.0, 4.0]


def test_arguments_that_are_nearly_called_the_same_are_told_apart() -> None:
    steps = step_through(lambda p: (p["a b"] * p["a_b"]).sum(), {"a b": [1.0], "a_b": [2.0]})
    assert steps.live is not None
    names = [x["name"] for x in steps.live.payload["arguments"]]
    assert names == ["p['a b']", "p['a_b']"]
    assert len({x["slope"] for x in steps.live.payload["arguments"]}) == 2


@pytest.mark.parametrize("wrt", [2, (0, 0), (), -3])
def test_positions_that_are_none_are_refused(wrt: Any) -> None:
    with pytest.raises(ValueError, match="wanted the positions of some of them"):
        step_through(lambda x, y: (x * y).sum(), 1.0, 2.0, wrt=wrt)


def test_a_function_without_a_loss_is_refused() -> None:
    with pytest.raises(TypeError, match="got NoneType for loss, wanted a Value"):
        step_through(lambda x: None, 1.0)


# ------------------------------------------------------------------ in a browser
@pytest.mark.slow
@pytest.mark.parametrize(("f", "args"), LOSSES, ids=ids)
def test_javascript_has_pythons_numbers(visit: Visit, f: Any, args: Any) -> None:
    steps = step_through(f, *args)
    assert steps.live is not None
    tab, rng = visit(steps), np.random.default_rng(1)
    shapes, places = steps.live.payload["shapes"], steps.live.payload["fields"][0]
    for _ in range(2):
        new = drawn(args, rng)
        wanted = step_through(f, *new)
        call = f"JSON.stringify(({steps.live.source})({json.dumps(flat(new))}))"
        got = json.loads(tab.evaluate(call))
        for k, (mine, theirs) in enumerate(zip(wanted, steps)):
            for x, before, slot in zip(data_of(mine), data_of(theirs), places[k]):
                if slot is not None:
                    y = np.reshape(got[slot], shapes[slot])
                    assert np.all(abs(y - x) <= 1e-12 * np.maximum(1.0, abs(x))), mine.words
                else:  # it does not depend on them
                    assert np.array_equal(np.asarray(x), np.asarray(before)), mine.words


def truths(x: Any, y: Any) -> Any:
    either = np.where(np.logical_or(x > 1, np.logical_not(y)), x, 2 * x)
    both = np.where(np.logical_and(x.data, y), x, 3 * x)
    return (either + both + x * ((x > 0) + (x > -1)) + x * x.data.astype(bool)).sum()


def conditions(x: Any, y: Any) -> Any:
    finite = np.where(np.isinf(x.data), 1.0, x) + np.where(x.data, x * x, 1.0)
    return (finite + np.where((x.data > 0) == y, x, 2 * x)).sum()


def powers(x: Any, y: Any) -> Any:
    return (x**y).sum() + (1.0**x).sum() + (x**0.0).sum()


@pytest.mark.slow
@pytest.mark.parametrize("f", [truths, conditions, powers])
def test_truth_values_and_powers_are_numpys_at_every_number(visit: Visit, f: Any) -> None:
    numbers = np.array([0.0, 1.0, -1.0, 2.5, np.nan, np.inf, -np.inf])
    x, y = (side.ravel() for side in np.meshgrid(numbers, numbers))
    steps = step_through(f, np.ones_like(x), np.ones_like(y))
    assert steps.live is not None, steps.still
    there = ",".join(map(repr, [*x.tolist(), *y.tolist()])).replace("inf", "Infinity")
    call = f"({steps.live.source})([{there.replace('nan', 'NaN')}]).map((r) => r.map(String))"
    got = visit(steps).evaluate(call)
    for wanted, places in zip(step_through(f, x, y), steps.live.payload["fields"][0]):
        for number, slot in zip(data_of(wanted), places):
            if slot is not None:
                mine = [float({"true": 1, "false": 0}.get(text, text)) for text in got[slot]]
                np.testing.assert_allclose(mine, np.ravel(number), rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(("f", "args"), LOSSES[:9], ids=ids[:9])
def test_everything_shown_follows_the_numbers_in_the_address(
    visit: Visit, f: Any, args: Any
) -> None:
    need("pygraphviz")
    steps, rng = step_through(f, *args), np.random.default_rng(2)
    assert steps.live is not None
    names = [(x["name"], math.prod(x["shape"])) for x in steps.live.payload["arguments"]]
    tab = visit(steps)
    for _ in range(2):
        new = drawn(args, rng)
        numbers, wanted, k = iter(flat(new)), step_through(f, *new), int(rng.integers(len(steps)))
        given = "&".join(
            f"{name}={','.join(str(next(numbers)) for _ in range(n))}" for name, n in names
        )
        tab.evaluate(f"location.hash = {json.dumps(f'#step={k + 1}&{given}')}")
        tab.evaluate("new Promise((then) => setTimeout(then, 50))")  # the event of the address
        matches(read(tab), wanted, k)


@pytest.mark.slow
def test_a_number_is_typed_dragged_stepped_and_put_back(visit: Visit) -> None:
    z, t = [3.2, 1.3, 0.5], np.array([1.0, 0.0, 0.0])
    tab = visit(step_through(by_hand, z, t), "#step=17")
    box = tab.get_by_label("z[1]", exact=True)
    box.fill("-2,5")
    box.press("Enter")
    matches(read(tab), step_through(by_hand, [3.2, -2.5, 0.5], t), 16)
    box.press("ArrowUp")
    assert box.input_value() == "-2.45"
    place = box.bounding_box()
    tab.mouse.move(place["x"] + 20, place["y"] + 10)
    tab.mouse.down()
    tab.mouse.move(place["x"] + 50, place["y"] + 10)
    tab.mouse.up()
    assert float(box.input_value()) == pytest.approx(-2.45 + 30 * 5 / 150)
    for wrong in ("", "two"):
        box.fill(wrong)
        box.press("Enter")
        assert tab.evaluate("document.querySelector('.numbers .wrong') !== null")
    assert "z=" in tab.url
    tab.get_by_role("button", name="Reset").click()
    matches(read(tab), step_through(by_hand, z, t), 16)
    assert tab.url.endswith("#step=17")


@pytest.mark.slow
def test_arguments_may_be_called_as_parts_of_the_address_are(visit: Visit) -> None:
    def f(step: Any, fused: Any, timestep: Any) -> Any:
        return step * step * fused + timestep

    tab = visit(step_through(f, 2.0, 3.0, 1.0), "#timestep=5&step=3")
    assert tab.get_by_label("step", exact=True).input_value() == "2"
    assert tab.get_by_label("timestep", exact=True).input_value() == "5"
    assert tab.locator("#link").inner_text().startswith("Step 3 of")
    tab.get_by_label("step", exact=True).fill("7")
    tab.get_by_label("step", exact=True).press("Enter")
    tab.reload()
    assert tab.get_by_label("step", exact=True).input_value() == "7"
    assert tab.locator("#link").inner_text().startswith("Step 3 of")


def test_words_beside_numbers_in_a_picture_stand_together() -> None:
    need("pygraphviz")
    mask = np.triu(np.full((4, 4), -1e9), 1)
    text = page(step_through(lambda x: np.exp(x + mask).sum(), np.ones((4, 4)))).replace(
        "\xa0", " "
    )
    constant = re.search(r">constant ([^<]*)<", text)
    assert constant is not None
    assert " ".join(constant[1].split()).endswith("−1e+09 … 0, mean −3.75e+08")


@pytest.mark.slow
def test_one_step_downhill_is_a_step_of_gradient_descent(visit: Visit) -> None:
    z, t = np.array([0.2, 1.3, 0.5]), np.array([1.0, 0.0, 0.0])
    tab = visit(step_through(by_hand, z, t), "#step=17")
    for _ in range(3):
        tab.get_by_role("button", name="One step downhill").click()
        z = z - 0.1 * tg.grad(by_hand)(z, t)
    matches(read(tab), step_through(by_hand, z, t), 16)
    assert tab.evaluate("document.querySelector('.downhill polyline').points.length") == 4
    assert tab.get_by_text(f"loss {by_hand(z, t):.4g}").is_visible()


@pytest.mark.slow
def test_the_first_nan_is_found_when_the_numbers_overflow(visit: Visit) -> None:
    tab = visit(step_through(by_hand, [3.2, 1.3, 0.5], np.array([1.0, 0.0, 0.0])))
    button = tab.get_by_role("button", name="To the first nan or inf")
    assert button.is_hidden()
    box = tab.get_by_label("z[0]", exact=True)
    box.fill("1000")
    box.press("Enter")
    button.click()
    seen = read(tab)
    assert seen["words"] == "e = e^z = e^[1000, 1.3, 0.5] = [inf, 3.669, 1.649]"
    assert tab.locator("li:not([hidden]) strong").is_visible()
    assert tab.locator(".code .now").inner_text() == "e = np.exp(z)"


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_that_keeps_a_reader_out(visit: Visit, width: int, scheme: str) -> None:
    axe = need("axe_playwright_python.sync_playwright").Axe()
    steps = step_through(
        by_hand, [3.2, 1.3, 0.5], np.array([1.0, 0.0, 0.0]), fused=tg.cross_entropy
    )
    tab = visit(steps, "#step=17", width=width, scheme=scheme)
    tab.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    found = axe.run(tab).response["violations"]
    assert [rule["id"] for rule in found] == []


def predicting(visit: Visit, level: str) -> Any:
    """The page of the loss by hand, where the way back begins, at a level."""
    tab = visit(step_through(by_hand, [3.2, 1.3, 0.5], np.array([1.0, 0.0, 0.0])))
    tab.get_by_label("Predict first").check()
    tab.get_by_label("What to predict").select_option(level)
    tab.locator("#slider").fill("16")
    answer(tab, "1")  # of the loss by itself
    assert tab.locator(".verdict").inner_text() == "Right: 1."
    return tab


def answer(tab: Any, typed: str) -> str:
    tab.locator("#guess").fill(typed)
    tab.get_by_role("button", name="Check").click()
    return str(tab.locator(".verdict").inner_text())


@pytest.mark.slow
def test_the_derivative_is_asked_for_in_letters(visit: Visit) -> None:
    tab = predicting(visit, "derivative")
    right = {  # by the step of the walk
        10: "-1", 11: "1", 12: "t", 13: "1/p", 14: "1 / s", 15: "-e/s**2", 16: "1", 17: "exp(z)"
    }  # fmt: skip
    for step, formula in right.items():
        tab.keyboard.press("ArrowRight")
        assert f"Step {step} of" in tab.locator("#link").inner_text()
        assert tab.locator(".work div").count() == 0  # which would tell it
        assert "letters" in tab.locator(".predict label").inner_text()
        assert answer(tab, formula) == "Right.", step
    assert tab.locator("#score").inner_text() == "9 of 9 right at first"


@pytest.mark.slow
def test_letters_stand_for_arrays_that_broadcasting_repeats(visit: Visit) -> None:
    def loss(p: Any) -> Any:
        e = np.exp(p["a b"])
        s = e.sum(axis=1, keepdims=True)
        return (e / s * p["a b"]).sum()

    tab = visit(step_through(loss, {"a b": np.array([[3.0, 1.0, 0.5], [0.1, 0.2, 0.7]])}))
    tab.get_by_label("Predict first").check()
    tab.get_by_label("What to predict").select_option("derivative")
    tab.locator("#slider").fill("6")
    assert answer(tab, "1") == "Right: 1."
    formulas = ["1", "p['a b']", "divide", "1/s", "-e/s**2", "", "exp(p['a b'])"]
    for step, formula in enumerate(formulas, 8):
        tab.keyboard.press("ArrowRight")
        assert f"Step {step} of" in tab.locator("#link").inner_text()
        if formula:
            assert answer(tab, formula) == "Right.", step
        else:  # the rule is no product: a number is asked for
            tab.get_by_role("button", name="Show me").click()


@pytest.mark.slow
def test_wrong_derivatives_have_three_tries_names_and_a_hint(visit: Visit) -> None:
    tab = predicting(visit, "derivative")
    for _ in range(4):
        tab.keyboard.press("ArrowRight")
        if "Step 13" in tab.locator("#link").inner_text():
            break
        tab.get_by_role("button", name="Show me").click()
    assert answer(tab, "-1/p") == "Not so. But the sign is flipped."
    assert answer(tab, "p") == "Not so. But it is upside down. The rule is ∂L/∂log / p."
    assert answer(tab, "p**2") == "That was the third try: here it is."
    assert tab.locator("#score").inner_text() == "1 of 2 right at first"
    tab.keyboard.press("ArrowRight")
    assert answer(tab, "1/u").startswith("There is no u here: z, e, s")
    assert answer(tab, "1/(s") == "Type a formula, such as 1/s."
    assert answer(tab, "1//s") == "I cannot read / s."
    assert answer(tab, "(1/s^2)*s") == "Right."


@pytest.mark.slow
def test_the_next_edge_is_asked_for_and_not_lit(visit: Visit) -> None:
    tab = predicting(visit, "edge")
    tab.keyboard.press("ArrowRight")
    assert tab.locator(".graph .now").count() == 0
    assert tab.locator("li:not([hidden]) .say").is_hidden()
    check = tab.get_by_role("button", name="Check")
    tab.get_by_label("Edge", exact=True).select_option("e → z")
    check.click()
    assert tab.locator(".verdict").inner_text().startswith("Not so.")
    tab.get_by_label("Edge", exact=True).select_option("negative → sum")
    check.click()
    assert tab.locator(".verdict").inner_text() == "Right."
    assert tab.locator("#score").inner_text() == "1 of 2 right at first"


@pytest.mark.slow
def test_a_condition_is_shown_as_0_and_1_after_a_change_too(visit: Visit) -> None:
    def huber(r: Any) -> Any:
        a = np.abs(r)
        return np.where(a <= 1.0, 0.5 * r * r, a - 0.5).sum()

    start, new = np.array([0.5, -2.0, 1.5]), np.array([2.5, -0.5, 0.25])
    tab, wanted = visit(step_through(huber, start)), step_through(huber, new)
    k = next(k for k, s in enumerate(wanted) if s.op == "where")
    tab.evaluate(f"location.hash = '#step={k + 1}&r={','.join(map(str, new))}'")
    tab.evaluate("new Promise((then) => setTimeout(then, 50))")
    matches(read(tab), wanted, k)
    assert "if [0, 1, 1] else" in read(tab)["words"]


@pytest.mark.slow
@pytest.mark.parametrize("size", [(390, 844), (1400, 900)])
def test_who_drags_a_number_sees_the_gradient_move(visit: Visit, size: tuple[int, int]) -> None:
    z, t = [3.2, 1.3, 0.5], np.array([1.0, 0.0, 0.0])
    tab = visit(step_through(by_hand, z, t), width=size[0])
    tab.set_viewport_size({"width": size[0], "height": size[1]})
    tab.locator("#last").click()
    box = tab.get_by_label("z[0]", exact=True)
    box.scroll_into_view_if_needed()
    place, result = box.bounding_box(), tab.locator(".work .result")
    before = result.inner_text()
    tab.mouse.move(place["x"] + 40, place["y"] + 10)
    tab.mouse.down()
    tab.mouse.move(place["x"] + 10, place["y"] + 10)
    tab.mouse.up()
    assert result.inner_text() != before
    seen, bar = result.bounding_box(), tab.locator(".bar").bounding_box()
    assert seen["y"] >= 0
    assert seen["y"] + seen["height"] <= bar["y"]
