"""The dilation widget: its arithmetic against PyTorch and the library, the figure under a reader's hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import traitlets
from torch import nn

from segcore.dilation import dilate, shift_and_stitch
from segcore.widgets.dilation import DilationWidget

from .kit import assert_accessible, first_form_height, measure_frames, settle, tab_to, unfold

LAST = 5.0


# ---- Python ----------------------------------------------------------------------------------------------


def test_state_is_small_and_plain():
    widget = DilationWidget()
    assert widget.to_html() == DilationWidget().to_html()
    assert len(str(widget.public_state())) < 2_000
    assert len(widget.to_html()) < 300_000, "two still pictures among them"


@pytest.mark.parametrize(
    ("trait", "value", "words"),
    [
        ("grid", [[1, 2], [3, 4]], "5 rows of 5"),
        ("grid", [[1.0] * 5] * 4 + [[1.0] * 4], "5 rows of 5"),
        ("grid", [[math.nan] * 5] * 5, "finite numbers from -99 to 99"),
        ("grid", [[100.0] * 5] * 5, "finite numbers from -99 to 99"),
        ("grid", [["a"] * 5] * 5, "must hold numbers"),
        ("grid", [1, 2, 3, 4, 5], "rows of numbers"),
        ("filter_a", [[1.0] * 3] * 2, "filter_a must have 3 rows of 3"),
        ("filter_b", [[10.0] * 3] * 3, "finite numbers from -9 to 9"),
        ("first", "mean", "filter"),
        ("step", -0.1, "from 0 .strided. to 5"),
        ("step", 5.1, "from 0 .strided. to 5"),
        ("step", math.nan, "from 0 .strided. to 5"),
        ("dilations", [[1, 2, 3]], "two stacks"),
        ("dilations", [1, 2], "two stacks"),
        ("dilations", [[0, 1], [1]], "whole numbers from 1 to 16"),
        ("dilations", [[1.5], [1]], "whole numbers from 1 to 16"),
        ("dilations", [[True], [1]], "whole numbers from 1 to 16"),
        ("dilations", [[], [1]], "1 to 7 dilations"),
        ("dilations", [[1] * 8, [1]], "1 to 7 dilations"),
        ("dilations", [[16] * 5, [1]], "sum of at most 64"),
    ],
)
def test_bad_values_are_refused_and_leave_the_widget_as_it_was(trait: str, value: Any, words: str):
    widget = DilationWidget()
    before = widget.public_state()
    with pytest.raises(traitlets.TraitError, match=words):
        setattr(widget, trait, value)
    assert widget.public_state() == before


def test_outputs_from_python_are_the_librarys():
    """The lecture's grid: strided, stitched and dilated."""
    widget = DilationWidget()
    network = nn.Sequential(nn.Conv2d(1, 1, 3, stride=2, bias=False), nn.Conv2d(1, 1, 3, bias=False))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor(widget.filter_a))
        network[1].weight.copy_(torch.tensor(widget.filter_b))
        stitched = shift_and_stitch(network, widget.image, 2)[0, 0]
        dilated = dilate(network, 1)(widget.image)[0, 0]
    assert widget.strided.tolist() == [[28, 72, 68], [48, 117, 108], [36, 84, 76]]
    assert torch.equal(widget.dilated[::2, ::2], widget.strided)
    assert torch.equal(widget.dilated, stitched) and torch.equal(widget.dilated, dilated)


# ---- Arithmetic in the browser ---------------------------------------------------------------------------


def as_map(values: torch.Tensor) -> dict[str, Any]:
    height, width = values.shape
    return {"data": values.flatten().tolist(), "height": height, "width": width}


def as_tensor(found: dict[str, Any]) -> torch.Tensor:
    return torch.tensor(found["data"], dtype=torch.float64).reshape(found["height"], found["width"])


def assert_same(found: dict[str, Any], wanted: torch.Tensor) -> None:
    torch.testing.assert_close(as_tensor(found), wanted.double(), rtol=1e-5, atol=1e-5)


def randoms(generator: torch.Generator, *size: int) -> torch.Tensor:
    return torch.randn(*size, generator=generator, dtype=torch.float64)


def test_convolution_and_pooling_equal_torch(shared_widget: Any):
    opened = shared_widget(DilationWidget)
    generator = torch.Generator().manual_seed(6)
    tried = 0
    for stride in (1, 2, 3):
        for dilation in (1, 2, 3):
            for height, width in ((1, 1), (2, 3), (3, 3), (4, 1)):
                image, kernel = randoms(generator, 11, 13), randoms(generator, height, width)
                wanted = F.conv2d(image[None, None], kernel[None, None], stride=stride, dilation=dilation)[
                    0, 0
                ]
                assert_same(opened.call("conv2d", as_map(image), as_map(kernel), stride, dilation), wanted)
                tried += 1
            for size in (1, 2, 3):
                image = randoms(generator, 9, 12)
                wanted = F.max_pool2d(image[None], size, stride, dilation=dilation)[0]
                assert_same(opened.call("maxPool", as_map(image), size, stride, dilation), wanted)
    assert tried == 36
    nothing = opened.call("conv2d", as_map(torch.ones(4, 2)), as_map(torch.ones(3, 3)))
    assert nothing["data"] == [] and nothing["width"] == 0
    opened.assert_quiet()


@pytest.mark.parametrize("first", ["filter", "max"])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_shifting_stitching_and_dilating_equal_the_library(shared_widget: Any, first: str, stride: int):
    opened = shared_widget(DilationWidget)
    generator = torch.Generator().manual_seed(stride)
    for height, width in ((11, 11), (14, 12), (13, 16)):
        image = randoms(generator, height, width)
        a, b = randoms(generator, 3, 3), randoms(generator, 3, 3)
        convolution = nn.Conv2d(1, 1, 3, stride=stride, bias=False, dtype=torch.float64)
        last = nn.Conv2d(1, 1, 3, bias=False, dtype=torch.float64)
        network = nn.Sequential(convolution if first == "filter" else nn.MaxPool2d(3, stride), last)
        with torch.no_grad():
            convolution.weight.copy_(a)
            last.weight.copy_(b)
            stitched = shift_and_stitch(network, image[None, None], stride)[0, 0]
            dilated = dilate(network, 1)(image[None, None])[0, 0]
        found = opened.call(
            "compare", as_map(image), {"first": first, "a": as_map(a), "b": as_map(b)}, stride
        )
        assert len(found["copies"]) == stride**2
        assert_same(found["stitched"], stitched)
        assert_same(found["dilated"]["output"], dilated)
        assert found["difference"] < 1e-12
    opened.assert_quiet()


def test_padding_shifting_and_stitching_by_slices(shared_widget: Any):
    opened = shared_widget(DilationWidget)
    image = torch.arange(35.0).reshape(7, 5)
    assert_same(opened.call("pad", as_map(image), 2), F.pad(image, [2] * 4))
    for dy, dx in ((0, 0), (0, 1), (2, 1)):
        assert_same(opened.call("shift", as_map(image), dy, dx), image[dy:, dx:])
    for stride in (1, 2, 3):
        copies = [as_map(image[y::stride, x::stride]) for y in range(stride) for x in range(stride)]
        assert_same(opened.call("stitch", copies, stride), image)


STACKS = [[1], [1, 2, 4], [2, 2, 2], [1, 2, 3], [1, 1, 2, 4, 8, 16], [3, 5], [16, 1]]


@pytest.mark.parametrize("dilations", STACKS)
def test_coverage_is_the_gradient_of_a_stack_of_ones(shared_widget: Any, dilations: list[int]):
    """Ones in all kernels: the gradient of one output counts the ways to each pixel."""
    opened = shared_widget(DilationWidget)
    field = 1 + 2 * sum(dilations)
    image = torch.zeros(1, 1, field, field, dtype=torch.float64, requires_grad=True)
    x = image
    for dilation in dilations:
        x = F.conv2d(x, torch.ones(1, 1, 3, 3, dtype=torch.float64), dilation=dilation)
    assert x.shape == (1, 1, 1, 1)
    x.sum().backward()
    assert_same(opened.call("coverage2d", dilations), image.grad[0, 0])
    assert opened.call("fields", dilations)[-1] == field


def test_fields_of_the_lecture(shared_widget: Any):
    opened = shared_widget(DilationWidget)
    assert opened.call("fields", [1, 2, 4]) == [3, 7, 15]
    assert opened.call("fields", [1, 1, 2, 4, 8, 16, 1]) == [3, 5, 9, 17, 33, 65, 67]


def test_the_scene_runs_through_its_steps(shared_widget: Any):
    opened = shared_widget(DilationWidget)
    for step, (copy, arrived, woven, dilated) in {
        0: (0, 1, 0, 0),
        1: (1, 2, 0, 0),
        2: (2, 3, 0, 0),
        3: (3, 4, 0, 0),
        4: (3, 4, 1, 0),
        5: (3, 4, 1, 1),
    }.items():
        now = opened.call("scene", step)
        assert (now["copy"], sum(now["arrived"]), now["woven"], now["dilated"]) == (
            copy,
            arrived,
            woven,
            dilated,
        )
        assert now["shift"] == [[0, 0], [0, 1], [1, 0], [1, 1]][copy]
    assert opened.call("scene", 0.3)["arrived"][1] == 0
    assert 0 < opened.call("scene", 3.4)["woven"] < 1
    assert opened.call("scene", 5, 1)["shift"] == [0, 1]
    blocks = {tuple(opened.call("tilePlace", r, c, 0, 0)) for r in range(5) for c in range(5)}
    pixels = {tuple(opened.call("tilePlace", r, c, 1, 0)) for r in range(5) for c in range(5)}
    assert blocks == pixels == {(x, y) for x in range(5) for y in range(5)}


# ---- The figure ------------------------------------------------------------------------------------------


def number(text: str) -> float:
    return float(text.replace("\u2212", "-")) if text else math.nan


def answers(opened: Any, lane: str) -> list[float]:
    """The numbers of the answers that are there."""
    found = opened.root.locator(f".lane.{lane} [data-out]").evaluate_all(
        "nodes => nodes.filter((n) => n.getAttribute('aria-disabled') !== 'true').map((n) => n.textContent)"
    )
    return [number(text) for text in found]


def to_step(opened: Any, step: float) -> None:
    opened.set("step", step)
    settle(opened)


def test_the_same_numbers_arrive(open_widget: Any):
    """9, 15, 21 and 25 answers; each that has come is the dilated network's."""
    widget = DilationWidget()
    opened = open_widget(widget)
    wanted = widget.dilated
    rows, columns = torch.arange(25) // 5 % 2, torch.arange(25) % 5 % 2
    copy = 2 * rows + columns
    for step, count in enumerate([9, 15, 21, 25, 25, 25]):
        to_step(opened, step)
        found = answers(opened, "strided")
        assert len(found) == count
        assert found == wanted.flatten()[copy <= step].tolist()
        assert len(answers(opened, "dilated")) == (25 if step == 5 else 0)
    assert answers(opened, "dilated") == wanted.flatten().tolist()
    assert opened.root.locator(".lane-box.dilated .lane-title").inner_text().endswith("stitched answers: 0.")
    opened.assert_quiet()


STEPS = ["Strided", "Shift \u2192", "Shift \u2193", "Shift \u2198", "Stitched", "Dilated"]


def test_step_buttons_slider_and_keys(open_widget: Any):
    opened = open_widget(DilationWidget())
    page = opened.page
    for n, name in enumerate(STEPS):
        page.get_by_role("button", name=f"{n + 1} {name}", exact=True).click()
        assert opened.get("step") == n
    settle(opened)
    assert page.get_by_role("button", name="One step on").is_disabled()
    page.get_by_role("button", name="One step back").click()
    assert opened.get("step") == 4
    slider = page.get_by_role("slider", name="Step")
    slider.focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert opened.get("step") == 2
    page.keyboard.press("ArrowRight")
    assert opened.get("step") == 3
    settle(opened)
    assert slider.get_attribute("aria-valuetext") == "4 of 6: Shift \u2198"
    assert "last four" in opened.root.locator(".segcore-note").inner_text()
    opened.assert_quiet()


def test_playing_forward_and_backward_moves_smoothly_and_pauses(open_widget: Any):
    opened = open_widget(DilationWidget(), reduced_motion="no-preference")
    page = opened.page
    page.get_by_role("button", name="Play", exact=True).click()
    page.wait_for_function("() => document.querySelector('[data-widget]').segcore.model.get('step') > 0.3")
    page.get_by_role("button", name="Pause").click()
    paused = opened.get("step")
    assert 0.3 < paused <= 5
    page.wait_for_timeout(150)
    assert opened.get("step") == paused
    opened.set("step", 0.6)
    page.get_by_role("button", name="Play backwards").click()
    page.wait_for_function("() => document.querySelector('[data-widget]').segcore.model.get('step') === 0")
    opened.set("step", 4.6)
    page.get_by_role("button", name="Play", exact=True).click()
    page.wait_for_function("() => document.querySelector('[data-widget]').segcore.model.get('step') === 5")
    page.wait_for_timeout(100)
    assert page.get_by_role("button", name="Pause").count() == 0, "it stops at the end"
    page.get_by_role("slider", name="Step").fill("2.5")
    settle(opened)
    x = opened.root.locator(".lane.strided .sheet").evaluate("n => n.getAttribute('transform')")
    assert x.startswith("translate(-")
    opened.assert_quiet()


def test_with_reduced_motion_playing_goes_by_whole_steps(open_widget: Any):
    opened = open_widget(DilationWidget(), reduced_motion="reduce")
    assert opened.page.get_by_role("slider", name="Step").get_attribute("step") == "1"
    seen = opened.root.evaluate(
        """async (root) => {
          const seen = new Set();
          root.segcore.model.on("change:step", () => seen.add(root.segcore.model.get("step")));
          root.querySelector("[aria-label='Play']").click();
          await new Promise((done) => setTimeout(done, 2700));
          root.querySelector("[aria-label='Pause']").click();
          return [...seen];
        }"""
    )
    assert seen == [1, 2]
    settle(opened)  # the frame that shows the pause
    opened.root.evaluate("(root) => { root.querySelector('.dilation').frames.length = 0; }")
    opened.page.wait_for_timeout(200)
    assert opened.root.evaluate("(root) => root.querySelector('.dilation').frames.length") == 0
    assert opened.root.evaluate("(root) => root.getAnimations({ subtree: true }).length") == 0


LIT = """(root, lane) => [...root.querySelectorAll(`.lane.${lane} .below .lit`)]
    .map((n) => n.dataset.a.split(",").map(Number))"""


def test_an_answer_lights_its_inputs_in_both_lanes(open_widget: Any):
    widget = DilationWidget(step=5.0)
    opened = open_widget(widget)
    for lane in ("strided", "dilated"):
        for row, column in ((0, 0), (2, 1), (3, 4), (1, 3)):
            opened.root.locator(f".lane.{lane} [data-out='{row},{column}']").hover()
            settle(opened)
            dy, dx = row % 2, column % 2
            shown = opened.root.locator(".lane.strided").get_attribute("data-copy")
            assert shown == str(2 * dy + dx)
            i, j = row // 2, column // 2
            assert opened.root.evaluate(LIT, "strided") == [
                [i + a, j + b] for a in range(3) for b in range(3)
            ]
            dense = [[row + 2 * a, column + 2 * b] for a in range(3) for b in range(3)]
            assert opened.root.evaluate(LIT, "dilated") == dense
            texts = {
                name: opened.root.locator(f".lane.{name} .below .lit").all_text_contents()
                for name in ("strided", "dilated")
            }
            assert texts["strided"] == texts["dilated"], "the same nine numbers"
            glow = opened.root.locator(".lane.dilated .glow")
            assert [float(glow.get_attribute(n)) / 10 for n in ("x", "y", "width")] == [column, row, 7]
            left, total = opened.root.locator(".why .sum").inner_text().split(" = ")
            terms = [
                math.prod(number(factor) for factor in term.split("\u00b7")) for term in left.split(" + ")
            ]
            assert sum(terms) == number(total) == widget.dilated[row, column]
    opened.page.wait_for_timeout(700)
    assert "row 2, column 4" in opened.root.locator("[aria-live=polite]").last.inner_text()
    opened.assert_quiet()


def test_a_cell_of_a_is_traced_to_its_pixels(open_widget: Any):
    opened = open_widget(DilationWidget(step=5.0))
    opened.root.locator(".lane.dilated [data-a='4,3']").hover()
    settle(opened)
    assert opened.root.locator(".lane.strided").get_attribute("data-copy") == "1"
    assert opened.root.evaluate(LIT, "strided") == [[2, 1]]
    assert opened.root.locator(".why .sum").inner_text() == "1\u00b78 = 8"
    opened.root.locator(".lane.strided [data-a='0,0']").hover()
    settle(opened)
    assert opened.root.evaluate(LIT, "dilated") == [[0, 1]]
    unfold(opened)
    opened.page.get_by_role("button", name="Max pooling").click()
    opened.root.locator(".lane.dilated [data-a='4,3']").hover()
    settle(opened)
    assert opened.root.locator(".why h4").inner_text() == "A\u2019s value 14"
    assert "largest" in opened.root.locator(".why .sum").inner_text()


def test_keyboard_alone(open_widget: Any):
    opened = open_widget(DilationWidget())
    keyboard = opened.page.keyboard

    tab_to(opened, ".segcore-trials button:nth-of-type(2)")
    keyboard.press("Enter")
    assert opened.get("step") == 1
    tab_to(opened, ".lane.strided [data-out]")
    keyboard.press("ArrowRight")
    keyboard.press("ArrowRight")
    settle(opened)
    assert "row 1, column 3" in opened.root.locator(".why h4").inner_text()
    keyboard.press("ArrowDown")  # row 2 has not come yet: on to row 3
    settle(opened)
    assert "row 3, column 3: 117" in opened.root.locator(".why h4").inner_text()
    keyboard.press("ArrowUp")
    keyboard.press("ArrowUp")
    settle(opened)
    assert "row 1, column 3" in opened.root.locator(".why h4").inner_text()
    tab_to(opened, "summary")
    keyboard.press("Enter")
    tab_to(opened, "[aria-label='First stack: one layer more']")
    keyboard.press("Enter")
    assert opened.get("dilations") == [[2, 2, 2, 1], [1, 2, 3]]
    opened.assert_quiet()


def test_image_and_filters_can_be_edited(open_widget: Any):
    opened = open_widget(DilationWidget(step=5.0))
    unfold(opened)
    page = opened.page
    page.get_by_label("Image, row 3, column 3").fill("-20.5")
    page.get_by_label("Filter A, row 1, column 2").fill("2")
    page.get_by_label("Filter B, row 2, column 2").fill("-3")
    settle(opened)
    expected = DilationWidget(
        grid=opened.get("grid"), filter_a=opened.get("filter_a"), filter_b=opened.get("filter_b")
    )
    assert opened.get("grid")[2][2] == -20.5 and opened.get("filter_b")[1][1] == -3
    for lane in ("strided", "dilated"):
        torch.testing.assert_close(
            torch.tensor(answers(opened, lane)), expected.dilated.flatten(), rtol=0, atol=0.051
        )
    before = opened.get("grid")
    field = page.get_by_label("Image, row 1, column 1")
    field.fill("500")
    assert opened.get("grid") == before
    assert field.get_attribute("aria-invalid") == "true"
    assert "from -99 to 99" in opened.root.locator(".segcore-editor .segcore-problem").first.inner_text()
    field.blur()
    assert field.input_value() == "1"
    page.get_by_role("radio", name="the maximum").check()
    settle(opened)
    expected.first = "max"
    torch.testing.assert_close(
        torch.tensor(answers(opened, "strided")), expected.dilated.flatten(), rtol=0, atol=0.051
    )
    assert page.get_by_label("Filter A, row 1, column 2").is_disabled()
    page.get_by_role("button", name="The lecture\u2019s grid").click()
    settle(opened)
    assert answers(opened, "dilated") == DilationWidget().dilated.flatten().tolist()
    opened.assert_quiet()


def test_two_stacks_are_compared(open_widget: Any):
    opened = open_widget(DilationWidget())
    unfold(opened)
    first, second = opened.root.locator(".stack .summary").all_inner_texts()
    assert "Field 13" in first and "Touches 49 of 169" in first and "29 %" in first
    assert "Touches 169 of 169 pixels." in second
    assert opened.root.locator(".stack .missed").count() == 6
    page = opened.page
    page.get_by_role("button", name="First stack: dilations 1, 2, 4", exact=True).click()
    settle(opened)
    assert opened.get("dilations")[0] == [1, 2, 4]
    labels = " ".join(opened.root.locator(".stack.strided .row-label").all_text_contents())
    for words in ("field 3, 9 weights", "field 7, 18 weights", "field 15, 27 weights"):
        assert words in labels
    page.get_by_label("Second stack, dilation of layer 1").fill("4")
    assert opened.get("dilations")[1] == [4, 2, 3]
    page.get_by_label("Second stack, dilation of layer 1").fill("17")
    assert opened.get("dilations")[1] == [4, 2, 3]
    assert "from 1 to 16" in opened.root.locator(".stack.dilated .segcore-problem").inner_text()
    page.get_by_role("button", name="Second stack: one layer less").click()
    assert opened.get("dilations")[1] == [4, 2]
    opened.root.locator(".stack.dilated canvas").hover(position={"x": 95, "y": 95})
    settle(opened)
    assert "0 right, 0 down: reached in 1 way." in opened.root.locator(".stack.dilated .prose").inner_text()
    opened.assert_quiet()


def test_the_widget_follows_its_model(open_widget: Any):
    opened = open_widget(DilationWidget())
    opened.set("grid", [[0.0] * 5] * 5)
    opened.set("step", 5)
    opened.set("dilations", [[1], [3, 3]])
    unfold(opened)
    assert set(answers(opened, "dilated")) == {0}
    assert "Field 3 " in opened.root.locator(".stack .summary").first.inner_text()
    assert opened.page.get_by_role("slider", name="Step").input_value() == "5"


def test_the_first_form_and_the_address(open_widget: Any):
    """All on one screen; on a phone one lane at a time; a link sets the step and the stacks."""
    opened = open_widget(DilationWidget(), width=840)
    assert first_form_height(opened) <= 700
    opened.page.set_viewport_size({"width": 390, "height": 844})
    settle(opened)
    for step, lane in ((0, "strided"), (5, "dilated")):
        to_step(opened, step)
        assert first_form_height(opened) <= 900
        shown = opened.root.locator(".lane-box:visible")
        assert shown.count() == 1 and lane in shown.get_attribute("class")
    sizes = opened.root.evaluate(
        """root => [...root.querySelectorAll(".lane-box.dilated text")].filter((t) => t.textContent)
          .map((t) => parseFloat(getComputedStyle(t).fontSize) * t.getCTM().a)"""
    )
    assert min(sizes) > 9, "numbers of the lecture's grid can be read"
    opened.page.evaluate("location.hash = 'dilation:step=4;first=max;dilations=[1,2,4],[2,4,8]'")
    opened.page.wait_for_function("document.querySelector('[data-widget]').segcore.model.get('step') === 4")
    assert [opened.get("first"), opened.get("dilations")] == ["max", [[1, 2, 4], [2, 4, 8]]]
    opened.page.evaluate("location.hash = 'dilation:step=9;dilations=[1],[99]'")
    opened.page.wait_for_function("document.querySelector('.segcore-notice').textContent !== ''")
    said = opened.root.locator(".segcore-notice").inner_text()
    assert "step must be a number from 0 to 5" in said and "whole numbers from 1 to 16" in said
    opened.assert_quiet()


def test_touch_picks_an_answer(open_widget: Any):
    opened = open_widget(DilationWidget(step=5.0), width=390, touch=True)
    opened.root.locator(".lane.dilated [data-out='2,2']").tap()
    settle(opened)
    assert "117" in opened.root.locator(".why h4").inner_text()
    opened.assert_quiet()


def test_accessible_at_the_end_of_the_story(open_widget: Any):
    opened = open_widget(DilationWidget(step=5.0))
    unfold(opened)
    assert_accessible(opened)


# Scrubbing back and forth, one move in each frame: the time of each drawing, in milliseconds.
SCRUB = """async (root) => {
  const figure = root.querySelector(".dilation");
  const slider = figure.querySelector("input[type=range]");
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  figure.frames.length = 0;
  for (let step = 1; step <= 120; step++) {
    slider.value = 2.5 + 2.5 * Math.sin(step / 15);
    slider.dispatchEvent(new Event("input"));
    await frame();
  }
  return figure.frames.slice();
}"""


def test_scrubbing_leaves_room_for_sixty_frames_a_second(open_widget: Any):
    opened = open_widget(DilationWidget(), reduced_motion="no-preference")
    measure_frames(opened, SCRUB).assert_smooth()
