"""The page in a real browser: at every step it shows what the records say."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest
from conftest import Visit, need
from helpers.graphs import of_matrices, of_scalars, of_tensors, of_what_is_no_number

from tinygrad_ce import Steps, Value, cross_entropy, draw, step_through

need("latex2mathml")
pytestmark = pytest.mark.slow


READ = """() => {
  const walk = [...document.querySelectorAll('.walk')].find(w => !w.hidden);
  const data = (box) => {
    const number = box.querySelector(':scope > .number'), array = box.querySelector('.array');
    if (array) return [...array.rows].map(row => [...row.cells].map(cell => cell.textContent));
    return number ? number.textContent : box.textContent;
  };
  return JSON.stringify({
    link: document.querySelector('#link').textContent,
    slider: Number(document.querySelector('#slider').value),
    words: walk.querySelector('li:not([hidden]) .words').innerText,
    rows: [...walk.querySelectorAll('.nodes > tbody > tr')].map(row =>
      [row.cells[0].textContent, data(row.cells[1]), data(row.cells[2])]),
    work: [...walk.querySelectorAll('.work > div')].map(box =>
      [box.querySelector('h2').textContent, data(box)]),
    now: [...walk.querySelectorAll('.graph .now')].map(e => e.id),
    to: [...walk.querySelectorAll('.graph .to')].map(e => e.id),
    picture: [...walk.querySelectorAll('svg .node')].map(node => [node.id,
      [...node.querySelectorAll('text:not(.ahead)')].map(text => text.textContent)]),
  });
}"""


def read(tab: Any) -> Any:
    """All that is on the page at a step; as one text, since Playwright takes long over lists."""
    return json.loads(tab.evaluate(READ))


def parsed(text: str) -> float:
    return float(text.replace("−", "-"))


def close(shown: Any, data: Any) -> bool:
    return np.allclose(shown, data, rtol=5.001e-4, atol=0, equal_nan=True)


def same(shown: Any, data: Any) -> None:
    """What is shown is a number, or an array, to 4 digits."""
    if data is None:
        assert shown == "–"
    elif np.ndim(data) == 0:
        assert close(parsed(shown), data), (shown, data)
    elif np.ndim(data) <= 2 and max(np.shape(data)) <= 8:
        numbers = [[parsed(text) for text in row] for row in shown]
        assert close(numbers, np.atleast_2d(data)), (shown, data)
    else:
        shape, brief = shown.split(": ")
        numbers = re.findall(r"[−\d.e]*\d", brief)
        low, high, mean = numbers * 3 if brief.startswith("all ") else numbers
        assert shape == "×".join(map(str, np.shape(data)))
        wanted = [np.min(data), np.max(data), np.mean(data)]
        assert close([parsed(x) for x in (low, high, mean)], wanted), (shown, wanted)


def matches(seen: Any, steps: Steps, k: int, prefix: str = "") -> None:
    """Everything on the page at the k-th step against the records."""
    step, values, gradients = steps[k], {}, {}
    for s in steps[: k + 1]:
        (values if s.phase == "forward" else gradients)[
            s.index if s.phase == "forward" else s.target_index
        ] = s.after
    assert seen["link"] == f"Step {step.number} of {steps[-1].number}"
    assert seen["slider"] == k
    assert seen["words"] == step.words
    assert [row[0] for row in seen["rows"]] == list(steps.nodes)
    for i, (_, value, gradient) in enumerate(seen["rows"]):
        same(value, values.get(i))
        same(gradient, gradients.get(i))
    assert f"{prefix}node-{step.index}" in seen["now"]
    if step.phase == "forward":
        same(seen["work"][0][1], step.after)
    elif step.argument is not None:
        assert f"{prefix}edge-{step.index}-{step.argument}" in seen["now"]
        assert seen["to"] == [f"{prefix}node-{step.target_index}"]
        arrived = (step.contribution, step.before) if step.before is not None else ()
        every = [step.upstream, step.local, *arrived, step.after]
        shown = [x for x in every if x is not None]
        assert len(shown) == len(seen["work"])
        for data, (_, text) in zip(shown, seen["work"]):
            same(text, data)
    for name, lines in seen["picture"]:
        if place := re.fullmatch(prefix + r"node-(\d+)", name):
            for what, data in (("value", values), ("gradient", gradients)):
                bare = [line.removeprefix("⚠ ") for line in lines[1:]]
                told = [line.split(" ", 1)[1] for line in bare if line.startswith(f"{what} ")]
                assert bool(told) == (data.get(int(place[1])) is not None)
                if told and np.ndim(data[int(place[1])]) == 0:
                    same(told[0], data[int(place[1])])


@pytest.mark.parametrize(
    "make",
    [
        lambda: step_through(of_scalars([3.2, 1.3, 0.5])),
        of_tensors,
        of_matrices,
        of_what_is_no_number,
        lambda: of_tensors()[4:12],
    ],
    ids=["scalars", "tensors", "matrices", "nan and inf", "a slice"],
)
def test_every_step_by_keys_and_by_slider_shows_the_records(visit: Visit, make: Any) -> None:
    need("pygraphviz")
    steps = make()
    tab = visit(steps)
    seen = []
    for k in range(len(steps)):
        seen.append(read(tab))
        matches(seen[k], steps, k)
        tab.keyboard.press("ArrowRight")
    assert read(tab) == seen[-1]  # there it ends
    for key, k in {"Home": 0, "End": -1, "ArrowLeft": -2}.items():
        tab.keyboard.press(key)
        assert read(tab) == seen[k]
    slider = tab.locator("#slider")
    for k in reversed(range(len(steps))):
        slider.fill(str(k))
        assert read(tab) == seen[k]


def test_buttons_and_the_sliders_own_keys(visit: Visit) -> None:
    steps = of_tensors()
    tab = visit(steps)
    for button, k in (
        ("Last step", -1),
        ("One step back", -2),
        ("First step", 0),
        ("Next step", 2),
    ):
        tab.get_by_role("button", name=button, exact=True).click()
        assert read(tab)["slider"] == k % len(steps)
        tab.keyboard.press("ArrowLeft")  # it works with the focus on any button
        assert read(tab)["slider"] == max(k % len(steps) - 1, 0)
        tab.keyboard.press("ArrowRight")
    tab.keyboard.press("Home")
    tab.keyboard.press("ArrowRight")
    tab.locator("#slider").focus()
    tab.keyboard.press("ArrowRight")
    assert read(tab)["slider"] == 2  # one step, not two


def test_play_goes_on_by_itself_and_pauses(visit: Visit) -> None:
    steps = of_tensors()
    tab = visit(steps)
    tab.clock.install(time=0)
    tab.clock.pause_at(1000)  # from here on, time goes by when the test says so
    for speed, wait in (("3×", 500), ("0.5×", 3000)):
        tab.keyboard.press("Home")
        tab.locator("#speed").select_option(speed)
        tab.get_by_role("button", name="Play").click()
        tab.clock.run_for(2 * wait + wait // 2)
        assert read(tab)["slider"] == 2
        tab.get_by_role("button", name="Pause").click()
        tab.clock.run_for(5 * wait)
        assert read(tab)["slider"] == 2
    tab.get_by_role("button", name="Play").click()
    tab.clock.run_for(3000 * len(steps))
    assert read(tab)["slider"] == len(steps) - 1
    assert tab.get_by_role("button", name="Play").is_visible()  # it stopped


def test_a_link_leads_to_its_step_and_follows(visit: Visit) -> None:
    steps = of_tensors()
    tab = visit(steps, "#step=12")
    matches(read(tab), steps, 11)
    tab.keyboard.press("ArrowRight")
    assert tab.url.endswith("#step=13")
    assert tab.locator("#link").get_attribute("href") == "#step=13"
    tab.evaluate("location.hash = '#step=5'")
    tab.wait_for_function("document.querySelector('#slider').value === '4'")
    matches(read(tab), steps, 4)
    tab.evaluate("location.hash = '#step=4&fused'")
    tab.wait_for_function("document.querySelector('#fused').checked")
    assert steps.fused is not None
    matches(read(tab), steps.fused, 3, "fused-")
    for link, k in (("#step=999", -1), ("#step=x", 0), ("#", 0)):
        assert read(visit(steps, link))["slider"] == k % len(steps)


def test_predict_hides_what_comes_and_says_right_or_wrong_and_by_how_much(visit: Visit) -> None:
    steps = step_through(of_scalars([3.2, 1.3, 0.5]))
    at = next(k for k, s in enumerate(steps) if s.before is not None)  # a second path
    step = steps[at]
    tab = visit(steps, f"#step={at}")
    tab.get_by_label("Predict first").check()
    tab.keyboard.press("End")  # not past the question
    seen = read(tab)
    assert seen["slider"] == at
    answers = {parsed(f"{x:.4g}") for x in (step.after, step.contribution)}
    shown = tab.evaluate("document.querySelector('.walk:not([hidden])').innerText")
    said = tab.locator("#said").text_content()
    for text in (shown, said):
        told_of = {parsed(x) for x in re.findall(r"[−-]?\d+\.\d+", text)}
        assert not (answers - {parsed(f"{step.upstream:.4g}"), 1.0}) & told_of
    same(next(row[2] for row in seen["rows"] if row[0] == step.target), step.before)
    tab.get_by_role("button", name="Next step").click()
    assert "First type what you expect" in tab.locator(".verdict").inner_text()
    guess = tab.locator("#guess")
    assert guess.evaluate("e => e === document.activeElement")
    guess.fill("a lot")
    guess.press("Enter")
    assert "Type a number" in tab.locator(".verdict").inner_text()
    assert read(tab)["slider"] == at
    guess.fill(f"{step.after + 0.25:.4f}")
    guess.press("Enter")
    verdict = tab.locator(".verdict").inner_text()
    assert verdict.startswith("Not ")
    assert float(re.search(r"off by ([\d.]+):", verdict)[1]) == pytest.approx(0.25, abs=1e-4)  # type: ignore[index]
    matches(read(tab), steps, at)
    for k in range(at + 1, len(steps)):
        tab.keyboard.press("ArrowRight")
        assert read(tab)["slider"] == k
        s = steps[k]
        rounded = [f"{s.after:.4f}", f"{s.after:.4g}", f"{s.after!r}".replace(".", ",")][k % 3]
        if parsed(rounded.replace(",", ".")) == 0 != s.after:
            rounded = f"{s.after:.4g}"
        guess.fill(rounded.replace("-", "−" if k % 2 else "-"))
        guess.press("Enter")
        assert tab.locator(".verdict").inner_text().startswith("Right")
        matches(read(tab), steps, k)
    tab.keyboard.press("Home")
    tab.keyboard.press("End")  # the gradients before the switch was set have not been asked for
    assert read(tab)["slider"] == len(steps.nodes)
    assert guess.is_visible()


def test_predict_asks_for_one_entry_of_an_array(visit: Visit) -> None:
    steps = of_matrices()
    at = next(s.number - 1 for s in steps if s.target and np.shape(s.after) == (4, 8))
    tab = visit(steps, f"#step={at}")
    tab.get_by_label("Predict first").check()
    tab.keyboard.press("ArrowRight")
    asked = tab.locator(".predict label").inner_text()
    i, j = map(int, re.search(r"row (\d+), column (\d+)", asked).groups())  # type: ignore[union-attr]
    assert set(tab.locator(".work .result td").all_inner_texts()) == {"?"}
    tab.locator("#guess").fill(f"{steps[at].after[i - 1, j - 1]:.4g}")
    tab.get_by_role("button", name="Check").click()
    assert tab.locator(".verdict").inner_text().startswith("Right")
    tab.keyboard.press("ArrowRight")
    tab.get_by_role("button", name="Show me").click()
    matches(read(tab), steps, at + 1)


def test_predict_what_is_no_number(visit: Visit) -> None:
    steps = of_what_is_no_number()
    tab = visit(steps)
    tab.get_by_label("Predict first").check()
    for target, guess, right in (("log", "2e-7", 0), ("y", "-inf", 0), ("exp_2", "nan", 1)):
        at = next(k for k, s in enumerate(steps) if s.target == target)
        while read(tab)["slider"] < at:
            tab.keyboard.press("End")
            if read(tab)["slider"] < at:
                tab.get_by_role("button", name="Show me").click()
        tab.locator("#guess").fill(guess)
        tab.keyboard.press("Enter")
        verdict = tab.locator(".verdict").inner_text()
        assert verdict.startswith("Right" if right else f"Not {guess}"), verdict
        assert ("off by" in verdict) == (target == "log")


def test_fused_folds_into_one_node_and_tells_the_difference(visit: Visit) -> None:
    steps = of_tensors()
    assert steps.fused is not None
    tab = visit(steps, f"#step={len(steps)}")
    told = tab.locator("#difference").inner_text().removesuffix(".").split()[-1]
    same(told, steps.difference)
    tab.get_by_role("checkbox", name="Fused").check()
    matches(read(tab), steps.fused, len(steps.fused) - 1, "fused-")  # ∂L/∂z in both
    assert tab.locator("svg .node:visible").count() == 3  # z, the target, the fused node
    tab.keyboard.press("ArrowLeft")
    matches(read(tab), steps.fused, len(steps.fused) - 2, "fused-")
    tab.get_by_role("checkbox", name="Fused").uncheck()
    assert read(tab)["link"].endswith(f"of {len(steps)}")
    assert visit(step_through(Value(1.0) * 2.0)).locator("#fold").is_hidden()


def test_the_same_page_in_a_notebook(visit: Visit) -> None:
    steps = of_tensors()
    tab = visit(f"<!DOCTYPE html><title>n</title>{steps._repr_html_()}")
    frame = tab.frame_locator("iframe")
    frame.locator("#next").click()
    frame.locator("#next").press("ArrowRight")
    inside = tab.frames[1]
    matches(read(inside), steps, 2)


@pytest.mark.usefixtures("no_graphviz")
def test_without_graphviz_the_page_walks_all_the_same(visit: Visit) -> None:
    steps = of_tensors()
    tab = visit(steps)
    for step in steps:
        seen = read(tab)
        assert seen["words"] == step.words
        assert seen["link"] == f"Step {step.number} of {len(steps)}"
        tab.keyboard.press("ArrowRight")


LOOK = """() => [...document.querySelectorAll('.walk:not([hidden]) .work canvas')].map((canvas) => {
  const {width, height} = canvas, pen = canvas.getContext('2d');
  return [height, width, [...pen.getImageData(0, 0, width, height).data]];
})"""


def test_a_large_array_is_a_map_in_the_colours_of_its_numbers(visit: Visit) -> None:
    """Blue above 0, orange below, by their share of the largest; black is inf, magenta is nan."""
    x = np.random.default_rng(3).normal(size=(9, 70))
    x[2, 3], x[4, 65], x[8, 0] = np.nan, np.inf, 0.0
    tab = visit(step_through((Value(x, name="x") * 1.0).sum()))
    ((height, width, pixels),) = tab.evaluate(LOOK)
    assert (height, width) == (9, 48)
    rgba = np.reshape(pixels, (height, width, 4))
    alone = rgba[:, [k * 70 // 48 + 1 == (k + 1) * 70 // 48 for k in range(48)]]  # not pooled
    data = x[:, [k * 70 // 48 for k in range(48) if k * 70 // 48 + 1 == (k + 1) * 70 // 48]]
    for number, (red, _, blue, alpha) in zip(data.ravel(), alone.reshape(-1, 4)):
        if np.isfinite(number):
            wanted = abs(number) / np.max(np.abs(x[np.isfinite(x)]))
            assert alpha / 255 == pytest.approx(wanted, abs=0.05)
            assert alpha == 0 or (blue > red) == (number > 0)
    assert [176, 0, 78, 255] in rgba[2].tolist()
    assert [26, 26, 26, 255] in rgba[4].tolist()
    assert tab.locator(".work").inner_text().count("and") == 1
    assert "9×70: " in tab.locator(".work").inner_text()
    assert tab.locator(".work .scale").count() == 3  # the range, nan, inf


def test_the_map_of_a_live_page_follows(visit: Visit) -> None:
    x = np.linspace(-1.0, 2.0, 12)
    tab = visit(step_through(lambda x: (x * 2.0).sum(), x))
    assert tab.locator("h1").inner_text() == "Step by step"
    before = tab.evaluate(LOOK)
    tab.evaluate(f"location.hash = '#step=1&x={','.join(map(str, -x))}'")
    tab.evaluate("new Promise((then) => setTimeout(then, 50))")
    ((height, width, pixels),) = tab.evaluate(LOOK)
    assert (height, width) == (1, 12)
    assert (before[0][2][-2] > before[0][2][-4]) != (pixels[-2] > pixels[-4])
    assert "12: −2 … 1, mean −0.5" in tab.locator(".work").text_content()


def test_what_is_no_number_is_marked_in_the_picture_only_while_it_is_none(visit: Visit) -> None:
    """A warning that a reader's change made untrue does not stay."""
    need("pygraphviz")
    t = np.array([1.0, 0.0])

    def loss(z: Any) -> Any:
        e = np.exp(z)
        p = e / e.sum()
        return -(t * np.log(p)).sum()

    tab = visit(step_through(loss, [1000.0, 1.0]), "#step=2")
    node = tab.locator("#node-1")
    assert "⚠ value [inf, 2.718]" in node.text_content()
    assert "odd" in node.get_attribute("class")
    assert tab.locator(".odd").count() == 1  # what comes later is not known yet
    tab.evaluate("location.hash = '#step=2&z=1,1'")
    tab.evaluate("new Promise((then) => setTimeout(then, 50))")
    assert "value [2.718, 2.718]" in node.text_content()
    assert "⚠" not in tab.locator(".graph svg").inner_html()
    assert tab.locator(".odd").count() == 0


INSIDE = """() => [...document.querySelectorAll('svg .node')].flatMap((node) => {
  const box = node.querySelector('polygon, path').getBBox();
  return [...node.querySelectorAll('text')].map((text) => text.getBBox())
    .filter((line) => line.x < box.x || line.x + line.width > box.x + box.width);
}).length"""


@pytest.mark.parametrize("font", ["Helvetica", "DejaVu Sans", "monospace", "Verdana"])
def test_text_stays_in_its_box_whatever_the_font(visit: Visit, font: str) -> None:
    need("pygraphviz")
    steps = step_through(lambda x, w: ((x @ w) ** 2).sum(), np.eye(3), np.eye(3), wrt=(0, 1))
    tab = visit(steps, "#step=99")
    css = f"document.querySelector('.graph svg').style.fontFamily = {json.dumps(font)}"
    tab.evaluate(css)
    for numbers in ("1,0,0", "-1.234e-200,1.111111,-2.2222", "123456.7,nan,1"):
        tab.evaluate(f"location.hash = '#step=99&w={','.join([numbers] * 3)}'")
        tab.evaluate("new Promise((then) => setTimeout(then, 50))")
        assert tab.evaluate(INSIDE) == 0
    svg = draw(steps_of_values(), gradients="edges").svg.replace("Helvetica,Arial,sans-serif", font)
    tab = visit(f"<!DOCTYPE html><title>n</title><body>{svg}", width=390)
    assert tab.evaluate(INSIDE) == 0
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390  # it shrinks


def steps_of_values() -> Any:
    x = Value(np.random.default_rng(0).normal(size=(5, 3)))
    loss = cross_entropy(x, np.array([1, 0, 2, 0, 2]), fused=False)
    loss.backward()
    return loss
