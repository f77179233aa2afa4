"""The RoIAlign widget: its arithmetic against PyTorch, and the figure under a reader's hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import traitlets
from torch.nn.functional import grid_sample
from torchvision.ops import roi_align as peer_roi_align
from torchvision.ops import roi_pool as peer_roi_pool

from segcore.roi_align import axis_weights, bilinear_sample
from segcore.widgets.roi_align import RoIAlignWidget

from .kit import COLUMN, centre, first_form_height, measure_frames, settle, tab_to, thumb, touch_drag, unfold

HEIGHT, WIDTH, CHANNELS = 9, 13, 2
BOX = [56.1, 5.0, 136.1, 70.0]  # as the figure opens


# ---- Python ----------------------------------------------------------------------------------------------


def test_state_is_small_and_plain():
    widget = RoIAlignWidget()
    assert widget.feature["shape"] == [3, 8, 12]
    values = torch.tensor(widget.feature["values"])
    assert values.min() >= 0 and values.max() <= 100
    assert widget.to_html() == RoIAlignWidget().to_html()
    assert len(str(widget.public_state())) < 60_000


@pytest.mark.parametrize(
    ("trait", "value", "words"),
    [
        ("box", [1, 2, 3], "four numbers"),
        ("box", [5, 0, 1, 4], "corners swapped"),
        ("box", [0, 5, 4, 1], "corners swapped"),
        ("box", [0, 0, math.nan, 4], "finite"),
        ("box", [0, 0, 1e9, 4], "within 1000 pixels"),
        ("output_size", [0, 3], "from 1 to 7"),
        ("output_size", [8, 3], "from 1 to 7"),
        ("output_size", [3], "from 1 to 7"),
        ("sampling_ratio", 5, "0 .adaptive. to 4"),
        ("channel", "depth", "edges"),
    ],
)
def test_bad_values_are_refused_and_leave_the_widget_as_it_was(trait: str, value: Any, words: str):
    widget = RoIAlignWidget()
    before = widget.public_state()
    with pytest.raises(traitlets.TraitError, match=words):
        setattr(widget, trait, value)
    assert widget.public_state() == before


def test_outputs_from_python_follow_the_traits():
    widget = RoIAlignWidget(box=[30.3, 11.2, 99.9, 88.0], output_size=[3, 2], sampling_ratio=0, aligned=False)
    boxes = [torch.tensor([widget.box])]
    features = widget.feature_map[None]
    torch.testing.assert_close(widget.pooled, peer_roi_pool(features, boxes, (3, 2), 1 / 16)[0])
    expected = peer_roi_align(features, boxes, (3, 2), 1 / 16, -1, False)[0]
    torch.testing.assert_close(widget.aligned_output, expected, rtol=1e-5, atol=1e-4)


# ---- Arithmetic in the browser ---------------------------------------------------------------------------


def random_boxes(count: int, stride: float) -> torch.Tensor:
    """Boxes of all kinds: inside, across the border, outside, tiny, of no size, and on exact half cells."""
    generator = torch.Generator().manual_seed(13)

    def uniform(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(count, 2, generator=generator)

    size = torch.tensor([WIDTH, HEIGHT]) * stride
    start = uniform(-0.6, 1.4) * size
    extent = uniform(0, 1) ** 3 * size
    kind = torch.arange(count) % 10
    extent[kind == 0] = 0
    extent[kind == 1] *= 0.02
    halves = kind == 2
    start[halves] = (start[halves] / stride).floor() * stride + stride / 2
    extent[halves] = (extent[halves] / stride).floor() * stride
    return torch.cat([start, start + extent], dim=1)


@pytest.fixture(scope="module")
def feature() -> torch.Tensor:
    return torch.randn(CHANNELS, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1))


def as_json(feature: torch.Tensor) -> dict[str, Any]:
    channels, height, width = feature.shape
    return {"data": feature.flatten().tolist(), "channels": channels, "height": height, "width": width}


BATCH = """(root, [name, feature, cases]) =>
    cases.map(([box, options]) => Array.from(root.segcore.module[name](feature, box, options).data))"""


def test_pooling_equals_torchvision_on_a_thousand_boxes(open_widget: Any, feature: torch.Tensor):
    opened = open_widget(RoIAlignWidget())
    ratios = [0, 1, 2, 3, 4]
    worst = {"roiAlign": 0.0, "roiPool": 0.0}
    for stride in (16.0, 7.0):
        boxes = random_boxes(500, stride)
        cases, expected = [], {"roiAlign": [], "roiPool": []}
        for n, box in enumerate(boxes):
            size = [1 + n % 7, 1 + (n // 7) % 7]
            ratio, aligned = ratios[n % 5], bool((n // 5) % 2)
            options = {"outputSize": size, "scale": 1 / stride, "samplingRatio": ratio, "aligned": aligned}
            cases.append([box.tolist(), options])
            roi = [box[None]]
            align = peer_roi_align(feature[None], roi, size, 1 / stride, ratio or -1, aligned)
            expected["roiAlign"].append(align.flatten())
            expected["roiPool"].append(peer_roi_pool(feature[None], roi, size, 1 / stride).flatten())
        for name in worst:
            got = opened.root.evaluate(BATCH, [name, as_json(feature), cases])
            for output, wanted in zip(got, expected[name], strict=True):
                error = (torch.tensor(output) - wanted).abs().max().item()
                worst[name] = max(worst[name], error)
    assert worst["roiAlign"] < 1e-5
    assert worst["roiPool"] == 0
    opened.assert_quiet()


def test_sampling_and_weights_equal_the_library(open_widget: Any, feature: torch.Tensor):
    opened = open_widget(RoIAlignWidget())
    generator = torch.Generator().manual_seed(3)
    points = torch.rand(200, 2, generator=generator) * torch.tensor([WIDTH + 4.0, HEIGHT + 4.0]) - 2
    expected = bilinear_sample(feature, points)
    got = opened.root.evaluate(
        """(root, [feature, points]) => [0, 1].map((channel) =>
            points.map(([x, y]) => root.segcore.module.bilinear(feature, x, y, channel)))""",
        [as_json(feature), points.tolist()],
    )
    torch.testing.assert_close(torch.tensor(got), expected, rtol=0, atol=1e-5)
    for start, length, bins, samples in [
        (-1.3, 6.2, 4, 2),
        (2.5, 0.0, 1, 3),
        (8.0, 9.0, 7, 1),
        (-9.0, 3.0, 2, 2),
    ]:
        rows = opened.root.evaluate(
            """(root, args) => root.segcore.module.axisWeights(...args).map((row) => Array.from(row))""",
            [start, length, bins, samples, WIDTH],
        )
        wanted = axis_weights(start, length, bins, samples, WIDTH)
        torch.testing.assert_close(torch.tensor(rows, dtype=torch.float32), wanted.float(), rtol=0, atol=1e-5)


def pasted(soft: torch.Tensor, box: list[float], size: tuple[int, int]) -> torch.Tensor:
    """What `paste` must give, by grid_sample: bilinear at pixel centres, zero where one lies outside."""
    y, x = torch.meshgrid(*(torch.arange(n) + 0.5 for n in size), indexing="ij")
    u, v = (x - box[0]) / (box[2] - box[0]), (y - box[1]) / (box[3] - box[1])
    grid = torch.stack([2 * u - 1, 2 * v - 1], dim=-1)[None]
    sampled = grid_sample(soft[None, None], grid, padding_mode="border", align_corners=False)[0, 0]
    return sampled * ((u >= 0) & (u < 1) & (v >= 0) & (v < 1))


@pytest.mark.parametrize(
    "box", [[2.25, 3.5, 21.0, 17.75], [-5.5, -4.0, 12.0, 9.9], [11.2, 4.4, 12.1, 5.0], [40.0, 3.0, 50.0, 9.0]]
)
def test_pasting_and_its_fit_equal_torch(open_widget: Any, box: list[float]):
    opened = open_widget(RoIAlignWidget())
    generator = torch.Generator().manual_seed(4)
    soft = torch.rand(5, 4, generator=generator)
    truth = torch.rand(20, 30, generator=generator) < 0.5
    fit = opened.root.evaluate(
        """(root, [soft, box, mask]) => {
            const { part, iou } = root.segcore.module.maskFit(soft, box, mask);
            return { ...part, data: Array.from(part.data), iou: Number.isNaN(iou) ? null : iou };
        }""",
        [
            {"data": soft.flatten().tolist(), "height": 5, "width": 4},
            box,
            {"data": truth.flatten().int().tolist(), "height": 20, "width": 30},
        ],
    )
    expected = pasted(soft, box, (20, 30))
    window = (slice(fit["top"], fit["top"] + fit["height"]), slice(fit["left"], fit["left"] + fit["width"]))
    image = torch.zeros(20, 30)
    image[window] = torch.tensor(fit["data"], dtype=torch.float32).reshape(fit["height"], fit["width"])
    torch.testing.assert_close(image, expected, rtol=0, atol=1e-5)

    guess, seen = expected >= 0.5, torch.zeros(20, 30, dtype=torch.bool)
    seen[window] = True
    union = (guess | truth & seen).sum().item()
    assert fit["iou"] == (pytest.approx((guess & truth).sum().item() / union) if union else None)


# ---- The figure ------------------------------------------------------------------------------------------


def texts(opened: Any, kind: str) -> list[str]:
    return opened.root.locator(f".output.{kind} [role=gridcell]").all_inner_texts()


def number(text: str) -> float:
    return float(text.replace("\u2212", "-").replace("+", "").replace("\u00a0%", ""))


def scores(opened: Any) -> tuple[float, float]:
    pool, align = opened.root.locator(".score strong").all_inner_texts()
    return number(pool), number(align)


def drag(opened: Any, part: str, dx: float, dy: float) -> None:
    mouse = opened.page.mouse
    x, y = centre(opened.root.locator(part))
    mouse.move(x, y)
    mouse.down()
    mouse.move(x + dx / 2, y + dy / 2)
    mouse.move(x + dx, y + dy, steps=3)
    mouse.up()


def pixels_per_css(opened: Any) -> float:
    """Pixels of the image per CSS pixel on screen: the map shows 12 cells and one of room at either side."""
    return 14 * 16 / opened.root.locator(".map .map-view").bounding_box()["width"]


def box_width(opened: Any) -> float:
    """Width of the box on screen, in pixels of the image."""
    return opened.root.locator(".map .box").bounding_box()["width"] * pixels_per_css(opened)


@pytest.mark.parametrize(("width", "most"), [(COLUMN, 700), (390, 900)])
def test_cause_and_effect_stand_on_one_screen(open_widget: Any, width: int, most: int):
    opened = open_widget(RoIAlignWidget(), width=width)
    assert first_form_height(opened) <= most
    first = opened.root.locator(".segcore-first").bounding_box()["y"]
    for effect in opened.root.locator(".mask").all():
        box = effect.bounding_box()
        assert box["y"] + box["height"] - first < most - 100, "both masks above the things to try"
    unfold(opened)
    small = opened.root.evaluate(
        """(root) => [...root.querySelectorAll("*")].filter((node) => node.checkVisibility()
            && [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim())
            && parseFloat(getComputedStyle(node).fontSize) < 11).map((node) => node.outerHTML.slice(0, 80))"""
    )
    assert small == []


@pytest.mark.parametrize("width", [390, 1280])
def test_mouse_moves_and_resizes_the_box(open_widget: Any, width: int):
    opened = open_widget(RoIAlignWidget(), width=width)
    factor = pixels_per_css(opened)
    drag(opened, ".map .handle-move", 21, 9)
    box = opened.get("box")
    assert box == pytest.approx([b + d * factor for b, d in zip(BOX, [21, 9, 21, 9], strict=True)], abs=0.11)

    drag(opened, ".handle-se", -15, 12)
    after = opened.get("box")
    assert after[:2] == box[:2]
    assert after[2:] == pytest.approx([box[2] - 15 * factor, box[3] + 12 * factor], abs=0.11)

    drag(opened, ".edge-w", 8, 30)
    assert opened.get("box")[1:] == after[1:]
    assert opened.get("box")[0] == pytest.approx(after[0] + 8 * factor, abs=0.11)

    opened.set("box", BOX)
    settle(opened)
    drag(opened, ".map .handle-move", -900, -900)
    assert opened.get("box") == [-16, -16, 64, 49], "the box stays in reach"
    drag(opened, ".handle-se", -900, -900)
    assert opened.get("box") == [-16, -16, -15, -15], "and upright"
    opened.assert_quiet()


def test_touch_drags_the_box_and_scrolls_the_page(open_widget: Any):
    opened = open_widget(RoIAlignWidget(), width=390, touch=True)
    factor = pixels_per_css(opened)
    handle = opened.root.locator(".map .handle-move")
    scroll = opened.page.evaluate("scrollY")
    x, y = centre(handle)
    touch_drag(opened, (x, y), *((x + 4 * step, y + step) for step in range(1, 6)))
    moved = opened.get("box")
    assert moved == pytest.approx(
        [b + d * factor for b, d in zip(BOX, [20, 5, 20, 5], strict=True)], abs=0.11
    )
    x, y = centre(opened.root.locator(".handle-se"))
    touch_drag(opened, (x, y), *((x + step, y + 4 * step) for step in range(1, 6)))
    box = opened.get("box")
    assert box[:2] == moved[:2] and box[3] > moved[3] + 10, "corners go up and down"
    assert opened.page.evaluate("scrollY") == scroll, "the page scrolled under the finger"

    opened.page.evaluate("document.body.style.paddingBottom = '1600px'")
    for target in (handle, opened.root.locator(".mask-view").first):
        assert thumb(opened, *centre(target)) > 50
        assert opened.get("box") == box, "a thumb that scrolls past leaves the box where it was"

    unfold(opened)
    line = opened.root.locator(".why.align .sample-head p")
    before = line.inner_text()
    x, y = centre(opened.root.locator(".column.align .handle-move"))
    opened.page.touchscreen.tap(x + 20, y + 10)
    settle(opened)
    assert line.inner_text() != before, "a tap picks a sample"
    opened.assert_quiet()


def test_keyboard_alone(open_widget: Any):
    """Tab to each part of the box, move and resize it, step through samples and outputs: no pointer."""
    opened = open_widget(RoIAlignWidget())
    keyboard = opened.page.keyboard
    tab_to(opened, ".handle-move")
    keyboard.press("ArrowRight")
    keyboard.press("ArrowDown")
    keyboard.press("Shift+ArrowRight")
    assert opened.get("box") == pytest.approx([57.2, 6, 137.2, 71])
    keyboard.press("End")
    keyboard.press("PageDown")
    assert opened.get("box") == pytest.approx([73.2, 22, 153.2, 87])
    tab_to(opened, ".handle-se")
    keyboard.press("ArrowLeft")
    keyboard.press("Shift+ArrowUp")
    assert opened.get("box") == pytest.approx([73.2, 22, 152.2, 86.9])
    settle(opened)
    assert opened.root.locator(".handle-se").get_attribute("aria-valuetext") == "152.2, 86.9 pixels"
    tab_to(opened, ".segcore-trials .segcore-button")
    keyboard.press("Enter")
    assert opened.get("box") == [55.9, 5, 135.9, 70]

    for _ in range(3):
        tab_to(opened, "summary")
        keyboard.press("Enter")
    settle(opened)
    tab_to(opened, "input[type=range]")
    left = opened.get("box")[0]
    keyboard.press("ArrowRight")
    assert opened.get("box")[0] == pytest.approx(left + 0.1)
    opened.page.locator("summary").nth(1).focus()
    before = opened.root.locator(".sample-sum").inner_text()
    tab_to(opened, "[aria-label='Next sample']")
    keyboard.press("Enter")
    settle(opened)
    assert opened.root.locator(".sample-sum").inner_text() != before
    tab_to(opened, "[role=gridcell]")
    keyboard.press("ArrowRight")
    keyboard.press("ArrowDown")
    settle(opened)
    assert "row 2, column 2" in opened.root.locator(".why.align h4").inner_text(), "counted from 1"
    opened.assert_quiet()


def test_coordinates_can_be_typed(open_widget: Any):
    opened = open_widget(RoIAlignWidget())
    unfold(opened)
    field = opened.page.get_by_label("x1, left edge in pixels")
    problem = opened.root.locator(".segcore-problem")
    field.fill("61.37")
    assert opened.get("box") == [61.37, *BOX[1:]]
    settle(opened)
    assert opened.root.locator(".edge-field .cells").first.inner_text() == "3.84 cells"
    field.fill("500")
    assert opened.get("box")[0] == 61.37
    assert field.get_attribute("aria-invalid") == "true"
    assert "x2 must not be left of x1" in problem.inner_text()
    field.fill("")
    assert opened.get("box")[0] == 61.37
    field.blur()
    settle(opened)
    assert field.input_value() == "61.37"
    assert problem.inner_text() == ""
    # Typed key by key, a number passes through other states; nothing is rewritten under the cursor.
    field.press("Control+a")
    field.press_sequentially("-3.25", delay=30)
    assert opened.get("box")[0] == -3.25
    field.press("ArrowUp")
    assert opened.get("box")[0] == -2.25, "a step keeps the fraction that was typed"
    opened.assert_quiet()


def test_grids_show_what_torch_computes(open_widget: Any):
    widget = RoIAlignWidget(
        box=[20.5, 30.25, 170.1, 101.0], output_size=[3, 4], sampling_ratio=0, channel="brightness"
    )
    opened = open_widget(widget)
    unfold(opened)
    pooled, aligned = widget.pooled[1].flatten(), widget.aligned_output[1].flatten()
    assert [number(text) for text in texts(opened, "pool")] == pooled.tolist()
    shown = torch.tensor([number(text) for text in texts(opened, "align")])
    torch.testing.assert_close(shown, aligned, rtol=0, atol=0.051)
    shown = torch.tensor([number(text) for text in texts(opened, "difference")])
    torch.testing.assert_close(shown, pooled - aligned, rtol=0, atol=0.051)


def test_each_setting_changes_what_it_should(open_widget: Any):
    opened = open_widget(RoIAlignWidget())
    unfold(opened)
    page = opened.page

    def state() -> tuple[list[str], list[str], str]:
        settle(opened)
        moved = opened.root.locator(".column.align .shift").inner_text()
        return texts(opened, "pool"), texts(opened, "align"), moved

    start, fit = state(), scores(opened)
    assert page.get_by_role("button", name="Start again").is_disabled()
    page.get_by_role("radio", name="Brightness").check()
    assert opened.get("channel") == "brightness"
    brightness = state()
    assert brightness[0] != start[0] and brightness[1] != start[1]
    assert scores(opened) == fit
    assert "Masks: from the mouth" in opened.root.locator(".caption").inner_text()
    page.get_by_role("radio", name="Cup\u2019s mouth").check()
    assert state() == start

    page.get_by_label("Output rows").fill("3")
    assert opened.get("output_size") == [3, 5]
    assert len(state()[0]) == 15
    page.get_by_label("Output columns").fill("9")
    assert opened.get("output_size") == [3, 5], "nine columns are refused"
    assert page.get_by_label("Output columns").get_attribute("aria-invalid") == "true"
    assert "1 to 7" in opened.root.locator(".segcore-problem").inner_text()
    page.get_by_label("Output columns").fill("2")
    assert opened.get("output_size") == [3, 2]

    before = state()
    for value, label in [(4, "4"), (1, "1"), (0, "auto")]:
        page.get_by_role("group", name="Samples per axis").get_by_role("radio", name=label).check()
        assert opened.get("sampling_ratio") == value
        after = state()
        assert after[0] == before[0], "RoIPool takes no samples"
        assert after[1] != before[1]
        before = after

    assert before[2] == "Moved: no edge."
    page.get_by_label("aligned").click()
    assert opened.get("aligned") is False
    after = state()
    assert after[0] == before[0] and after[1] != before[1]
    assert after[2] == "Moved: left +8.0, top +8.0, right +8.0, bottom +8.0 px"

    page.get_by_role("button", name="Start again").click()
    assert state() == start
    assert opened.get("box") == BOX
    opened.assert_quiet()


def test_what_the_trials_say_is_so(open_widget: Any):
    opened = open_widget(RoIAlignWidget())
    unfold(opened)
    note, moved = opened.root.locator(".segcore-note"), opened.root.locator(".column.pool .shift")
    assert note.inner_text().startswith("Drag the box")

    def press(name: str) -> tuple[list[float], tuple[float, float]]:
        opened.page.get_by_role("button", name=name, exact=True).click()
        settle(opened)
        return [number(text) for text in texts(opened, "align")], scores(opened)

    def edges() -> list[float]:
        return [number(part.split()[-1]) for part in moved.inner_text().removesuffix(" px").split(",")]

    align, start = [number(text) for text in texts(opened, "align")], scores(opened)
    before = edges()
    left, aside = press("0.2 px to the left")
    assert opened.get("box") == [55.9, 5, 135.9, 70], "the first press already moves by a fifth"
    assert edges()[0] - before[0] == pytest.approx(-16 + 0.2, abs=0.11), "RoIPool's cells jump by 16 pixels"
    assert aside[0] > start[0] + 10 and abs(aside[1] - start[1]) <= 0.2
    assert max(abs(a - b) for a, b in zip(left, align, strict=True)) < 1, "RoIAlign's numbers hardly change"
    press("0.2 px to the left")
    assert opened.get("box") == BOX, "and back"
    assert scores(opened) == start

    press("Cells cut in half")
    assert edges() == [8, 8, 24, 24]
    tiny, fit = press("A tiny box")
    assert set(texts(opened, "pool")) == {"23"} and fit[0] == 0, "one cell, less than half of it mouth"
    assert len(set(tiny)) > 1 and fit[1] > 85
    box = RoIAlignWidget(box=opened.get("box"))
    cells = {(int(y // 16 - 0.5), int(x // 16 - 0.5)) for x in (72, 87) for y in (56, 71)}
    assert box.box[2] - box.box[0] == 15 and len(cells) == 4
    _, fine = press("7 \u00d7 7 numbers")
    assert len(texts(opened, "pool")) == 49
    assert fine[1] > start[1] + 2 and abs(fine[0] - start[0]) < 0.5
    _, off = press("Half a cell off")
    assert opened.get("aligned") is False
    assert off[1] < start[1] - 15 and off[0] == start[0]
    assert opened.root.locator(".column.align .shift").inner_text().count("+8.0") == 4
    assert "left and up" in note.inner_text()

    # Farther no edge can move: each of RoIPool's edges, over all places of an edge within a cell.
    shifts = opened.root.evaluate(
        """(root) => Array.from({ length: 321 }, (_, n) => n / 10).map((at) => {
            const { x, width } = root.segcore.module.poolRegion([at, 0, at + 64, 64], 1 / 16);
            return [16 * x - at, 16 * (x + width) - at - 64];
        })"""
    )
    assert max(abs(left) for left, _ in shifts) == 8
    assert max(abs(right) for _, right in shifts) == 24
    opened.assert_quiet()


def test_a_dragged_mask_rides_along_and_jumps(open_widget: Any):
    """The words at rest: between jumps RoIPool's numbers stand still, so its mask goes where the box goes."""
    outputs = [RoIAlignWidget(box=[x, 5.0, x + 80, 70.0]) for x in (57.0, 60.0, 71.0, 73.0)]
    pooled = [widget.pooled[2] for widget in outputs]
    assert torch.equal(pooled[0], pooled[1]) and torch.equal(pooled[0], pooled[2])
    assert not torch.equal(pooled[2], pooled[3])
    aligned = [widget.aligned_output[2] for widget in outputs]
    assert not torch.equal(aligned[0], aligned[1])
    opened = open_widget(RoIAlignWidget())
    seen = []
    for widget in outputs:
        opened.set("box", widget.box)
        settle(opened)
        seen.append(scores(opened))
    assert all(88 < align < 93 for _, align in seen), "RoIAlign's stays on the cup"
    assert seen[2][0] - seen[3][0] > 8


def test_the_address_sets_the_figure(open_widget: Any):
    opened = open_widget(RoIAlignWidget())

    def go_to(address: str) -> str:
        opened.page.evaluate("(hash) => { location.hash = hash }", address)
        opened.page.wait_for_timeout(60)
        return opened.root.locator(".segcore-notice").inner_text()

    assert (
        go_to("roi_align:box=16,16,48,48.5;output_size=2,3;sampling_ratio=0;aligned=false;channel=edges")
        == ""
    )
    names = ("box", "output_size", "sampling_ratio", "aligned", "channel")
    assert [opened.get(name) for name in names] == [[16, 16, 48, 48.5], [2, 3], 0, False, "edges"]
    assert box_width(opened) == pytest.approx(32, abs=0.5)
    for address, words in [
        ("box=5,0,1,4", "x1 at most x2"),
        ("box=1,2,3", "list of 4"),
        ("box=0,0,1,5000", "from -1000 to 1000"),
        ("output_size=8,1", "from 1 to 7"),
        ("sampling_ratio=5", "from 0 to 4"),
        ("channel=depth", "one of edges, brightness, mouth"),
        ("stride=8", "has no"),
    ]:
        assert words in go_to(f"roi_align:{address}")
        assert opened.get("box") == BOX
    opened.page.get_by_role("button", name="Half a cell off").click()
    opened.page.wait_for_function("location.hash === '#roi_align:aligned=false'")
    opened.assert_quiet()


def test_hovering_a_sample_shows_four_weights_and_their_sum(open_widget: Any):
    widget = RoIAlignWidget(channel="edges")
    opened = open_widget(widget)
    unfold(opened)
    feature = widget.feature_map[:1]
    view = opened.root.locator(".column.align .map-view")
    view.scroll_into_view_if_needed()
    frame = view.bounding_box()
    unit = frame["width"] / 14
    seen = set()
    # Two samples a bin and axis, five bins over the box: aim at three samples by their coordinates in cells.
    for column, row in [(1, 1), (6, 3), (9, 8)]:
        x = (BOX[0] + (column + 0.5) * (BOX[2] - BOX[0]) / 10) / 16
        y = (BOX[1] + (row + 0.5) * (BOX[3] - BOX[1]) / 10) / 16
        opened.page.mouse.move(frame["x"] + (x + 1) * unit, frame["y"] + (y + 1) * unit)
        settle(opened)
        title = opened.root.locator(".why.align h4").inner_text()
        assert f"row {row // 2 + 1}, column {column // 2 + 1}" in title
        weights = [float(w) for w in opened.root.locator(".quad .weight").all_inner_texts()]
        values = [float(v) for v in opened.root.locator(".quad .value").all_inner_texts()]
        places = opened.root.locator(".quad .where").all_inner_texts()
        assert places[0] == f"row {int(y - 0.5) + 1}, column {int(x - 0.5) + 1}"
        assert values[0] == feature[0, int(y - 0.5), int(x - 0.5)]
        assert len(weights) == 4 and sum(weights) == pytest.approx(1, abs=0.021)
        left, total = opened.root.locator(".sample-sum").inner_text().split(" = ")
        terms = [float(term) for term in left.split(" + ")]
        assert sum(terms) == pytest.approx(float(total), abs=0.021)
        assert terms == pytest.approx([w * v for w, v in zip(weights, values, strict=True)], abs=0.51)
        expected = bilinear_sample(feature, torch.tensor([[x, y]])).item()
        assert float(total) == pytest.approx(expected, abs=0.006)
        seen.add(total)
    assert len(seen) == 3
    opened.page.wait_for_timeout(700)
    assert f"= {total}" in opened.root.locator("[aria-live=polite]").inner_text()

    # RoIPool's bin: its cells are those of torch, the largest is marked, places are counted from 1.
    pool = opened.root.locator(".column.pool .map-view").bounding_box()
    opened.page.mouse.move(pool["x"] + 6.5 * unit, pool["y"] + 2.5 * unit)
    settle(opened)
    assert "From row 2, columns 6 to 7 of the map: 80 to 112 px across" in opened.root.locator(
        ".why.pool"
    ).inner_text().replace("\n", " ")
    cells = opened.root.locator(".bin-cells div").all_inner_texts()
    assert cells == [str(int(value)) for value in feature[0, 1, 5:7]]
    assert opened.root.locator(".bin-cells .winner").inner_text() == str(int(feature[0, 1, 5:7].max()))
    opened.assert_quiet()


def test_masks_and_curves_equal_the_arithmetic(open_widget: Any):
    opened = open_widget(RoIAlignWidget(output_size=[7, 7]))
    pool, align = scores(opened)
    assert align > 90
    assert pool < 70
    unfold(opened)
    opened.page.wait_for_function("document.querySelector('.curve.pool').getAttribute('d')")
    plot = opened.root.locator(".plot")
    words = plot.get_attribute("aria-label")
    low, high = (float(part) for part in words.split("RoIPool ")[1].split(" percent")[0].split(" to "))
    assert low <= pool <= high and high - low > 15
    low, high = (float(part) for part in words.split("RoIAlign ")[1].split(" percent")[0].split(" to "))
    assert low <= align <= high and high - low < 6
    assert plot.locator(".flip").count() == 4, "both edges pass the middle of a cell twice in 40 pixels"


def test_the_box_slides_by_itself_and_stops(open_widget: Any):
    opened = open_widget(RoIAlignWidget(), reduced_motion="no-preference")
    unfold(opened)
    opened.page.get_by_role("button", name="Play", exact=True).click()
    opened.page.wait_for_timeout(400)
    moved = opened.get("box")
    assert moved[0] > BOX[0] and moved[1::2] == BOX[1::2]
    assert moved[2] - moved[0] == pytest.approx(BOX[2] - BOX[0])
    opened.page.get_by_role("button", name="Pause").click()
    still = opened.get("box")
    opened.page.wait_for_timeout(100)
    assert opened.get("box") == still
    opened.page.get_by_role("button", name="To the end").click()
    settle(opened)
    assert opened.get("box")[0] == 84 and opened.page.get_by_role("button", name="To the end").is_disabled()
    opened.assert_quiet()


def test_a_map_means_the_same_by_day_and_by_night(open_widget: Any):
    opened = open_widget(RoIAlignWidget(), width=390)
    script = """(root) => {
        const canvas = root.querySelector(".map canvas");
        const unit = canvas.width / 14;
        const at = (column, row) => Array.from(
            canvas.getContext("2d").getImageData((column + 1.5) * unit, (row + 1.5) * unit, 1, 1).data);
        return [at(1, 6), at(5, 4)];
    }"""
    light = opened.root.evaluate(script)
    opened.page.evaluate("document.documentElement.dataset.theme = 'dark'")
    settle(opened)
    assert opened.root.evaluate(script) == light
    assert sum(light[0]) > sum(light[1]) + 30, "more of the mouth is darker"


def test_a_box_outside_the_image_is_shown_and_can_be_brought_back(open_widget: Any):
    widget = RoIAlignWidget(box=[500.0, 400.0, 900.0, 640.0], sampling_ratio=0)
    opened = open_widget(widget)
    unfold(opened)
    assert widget.pooled.abs().max() == widget.aligned_output.abs().max() == 0
    assert set(texts(opened, "pool")) == set(texts(opened, "align")) == {"0"}
    assert opened.root.locator(".score strong").all_inner_texts() == ["undefined", "undefined"]
    assert "outside the map: 0" in opened.root.locator(".sample-sum").inner_text()
    note = opened.root.locator(".segcore-note")
    assert note.inner_text().startswith("No part of the mouth lies in the box")
    # Nothing comes back, but the mouth's true edge is drawn: all along the ellipse's 222 pixels of the image.
    white = opened.root.evaluate(
        """(root) => [...root.querySelectorAll(".mask-view canvas:last-child")].map((canvas) => {
            const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            const unit = canvas.width / 144;
            let count = 0;
            for (let n = 0; n < data.length; n += 4) count += data[n] > 240 && data[n + 3] > 240;
            return count / unit;
        })"""
    )
    assert all(222 < pixels < 444 for pixels in white), "a line one to two pixels wide on screen"
    opened.set("box", [-1000.0, -1000.0, 1000.0, 1000.0])
    settle(opened)
    box = [torch.tensor([[-1000.0, -1000.0, 1000.0, 1000.0]])]
    expected = peer_roi_align(widget.feature_map[None, 2:], box, (5, 5), 1 / 16, -1, True).flatten()
    shown = torch.tensor([number(text) for text in texts(opened, "align")])
    torch.testing.assert_close(shown, expected, rtol=0, atol=0.051)
    opened.set("box", [60.0, 20.0, 60.0, 20.0])
    settle(opened)
    assert "no area" in opened.root.locator(".sample-head").inner_text()
    opened.set("box", [60.0, 20.0, 90.0, 60.0])
    opened.set("aligned", False)
    settle(opened)
    assert note.inner_text().startswith("\u201caligned\u201d is off")
    opened.page.get_by_role("button", name="Start again").click()
    assert opened.get("box") == BOX
    settle(opened)
    assert note.inner_text().startswith("Drag the box a little")
    opened.assert_quiet()


def test_a_cancelled_drag_lets_go_and_a_second_finger_is_ignored(open_widget: Any):
    opened = open_widget(RoIAlignWidget())
    boxes = opened.root.evaluate(
        """(root) => {
          const handle = root.querySelector(".map .handle-move");
          handle.closest(".map-view").setPointerCapture = () => {};
          const at = handle.getBoundingClientRect();
          const fire = (type, pointerId, dx) => handle.dispatchEvent(new PointerEvent(
            type, { bubbles: true, pointerId, clientX: at.x + 20 + dx, clientY: at.y + 20 }));
          const x1 = () => root.segcore.model.get("box")[0];
          const seen = [x1()];
          fire("pointerdown", 1, 0);
          fire("pointermove", 1, 30);
          seen.push(x1());
          fire("pointerdown", 2, 0);
          fire("pointermove", 2, 90);
          seen.push(x1());
          fire("pointercancel", 1, 30);
          fire("pointermove", 1, 60);
          seen.push(x1());
          return seen;
        }"""
    )
    assert boxes[1] > boxes[0]
    assert boxes[2] == boxes[1]
    assert boxes[3] == boxes[0], "the browser took the finger to scroll: the box is where it was"
    opened.assert_quiet()


# A drag that moves once in each frame, so that none is idle: the time of each drawing, in milliseconds.
DRAG = """async (root) => {
  const figure = root.querySelector(".roi_align");
  const handle = root.querySelector(".map .handle-move");
  handle.closest(".map-view").setPointerCapture = () => {};
  const at = handle.getBoundingClientRect();
  const fire = (type, dx, dy) => handle.dispatchEvent(new PointerEvent(
    type, { bubbles: true, pointerId: 1, clientX: at.x + 20 + dx, clientY: at.y + 20 + dy }));
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  fire("pointerdown", 0, 0);
  figure.frames.length = 0;
  for (let step = 1; step <= 120; step++) {
    fire("pointermove", 60 * Math.sin(step / 12), 30 * Math.sin(step / 17));
    await frame();
  }
  fire("pointerup", 0, 0);
  return figure.frames.slice();
}"""


def test_dragging_leaves_room_for_sixty_frames_a_second(open_widget: Any):
    """Every frame of a drag: the widget's own work fits twice, and the whole page keeps up."""
    opened = open_widget(RoIAlignWidget(output_size=[7, 7]))
    opened.root.locator(".map .handle-move").scroll_into_view_if_needed()
    measure_frames(opened, DRAG).assert_smooth(least=115)
