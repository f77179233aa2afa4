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

from .kit import centre, measure_frames, settle, tab_to, touch_drag

HEIGHT, WIDTH, CHANNELS = 9, 13, 2
BOX = [57.0, 5.0, 137.0, 70.0]


# ---- Python ----------------------------------------------------------------------------------------------


def test_state_is_small_and_plain():
    widget = RoIAlignWidget()
    assert len(widget.to_html()) < 200_000
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


def test_pooling_equals_torchvision_on_a_thousand_boxes(shared_widget: Any, feature: torch.Tensor):
    opened = shared_widget(RoIAlignWidget)
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


def test_sampling_and_weights_equal_the_library(shared_widget: Any, feature: torch.Tensor):
    opened = shared_widget(RoIAlignWidget)
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
def test_pasting_and_its_fit_equal_torch(shared_widget: Any, box: list[float]):
    opened = shared_widget(RoIAlignWidget)
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
    return float(text.replace("\u2212", "-").replace("+", ""))


def pixels_per_css(opened: Any, kind: str = "pool") -> float:
    """Pixels of the image per CSS pixel on screen: the map shows 12 cells and one of room at either side."""
    return 14 * 16 / opened.root.locator(f".column.{kind} .map-view").bounding_box()["width"]


def box_width(opened: Any) -> float:
    """Width of the box on screen, in pixels of the image."""
    return opened.root.locator(".column.align .box").bounding_box()["width"] * pixels_per_css(opened)


@pytest.mark.parametrize("kind", ["pool", "align"])
@pytest.mark.parametrize("width", [390, 1280])
def test_mouse_moves_and_resizes_the_box(open_widget: Any, kind: str, width: int):
    opened = open_widget(RoIAlignWidget(), width=width)
    mouse = opened.page.mouse
    factor = pixels_per_css(opened, kind)
    x, y = centre(opened.root.locator(f".column.{kind} .handle-move"))
    mouse.move(x, y)
    mouse.down()
    mouse.move(x + 10, y + 4)
    mouse.move(x + 21, y + 9, steps=4)
    mouse.up()
    box = opened.get("box")
    assert box == pytest.approx([b + d * factor for b, d in zip(BOX, [21, 9, 21, 9], strict=True)], abs=0.11)

    x, y = centre(opened.root.locator(f".column.{kind} .handle-se"))
    mouse.move(x, y)
    mouse.down()
    mouse.move(x - 15, y + 12, steps=3)
    mouse.up()
    after = opened.get("box")
    assert after[:2] == box[:2]
    assert after[2:] == pytest.approx([box[2] - 15 * factor, box[3] + 12 * factor], abs=0.11)

    x, y = centre(opened.root.locator(f".column.{kind} .edge-w"))
    mouse.move(x, y)
    mouse.down()
    mouse.move(x + 8, y + 30, steps=3)
    mouse.up()
    assert opened.get("box")[1:] == after[1:]
    assert opened.get("box")[0] == pytest.approx(after[0] + 8 * factor, abs=0.11)
    opened.assert_quiet()


def test_dragging_keeps_the_box_in_reach_and_upright(open_widget: Any):
    opened = open_widget(RoIAlignWidget())
    mouse = opened.page.mouse
    x, y = centre(opened.root.locator(".column.align .handle-move"))
    mouse.move(x, y)
    mouse.down()
    mouse.move(x - 900, y - 900, steps=3)
    mouse.up()
    assert opened.get("box") == [-16, -16, 64, 49]
    x, y = centre(opened.root.locator(".column.align .handle-se"))
    mouse.move(x, y)
    mouse.down()
    mouse.move(x - 900, y - 900, steps=3)
    mouse.up()
    assert opened.get("box") == [-16, -16, -15, -15]
    opened.assert_quiet()


def test_touch_drags_the_box_and_a_tap_picks_a_sample(open_widget: Any):
    opened = open_widget(RoIAlignWidget(), width=390, touch=True)
    factor = pixels_per_css(opened)
    x, y = centre(opened.root.locator(".column.pool .handle-move"))
    scroll = opened.page.evaluate("scrollY")
    touch_drag(opened, (x, y), *((x + 4 * step, y + 2 * step) for step in range(1, 6)))
    assert opened.get("box") == pytest.approx(
        [b + d * factor for b, d in zip(BOX, [20, 10, 20, 10], strict=True)], abs=0.11
    )
    assert opened.page.evaluate("scrollY") == scroll, "the page scrolled under the finger"

    before = opened.root.locator(".why.align .sample-head p").inner_text()
    x, y = centre(opened.root.locator(".column.align .handle-move"))
    opened.page.touchscreen.tap(x + 20, y + 20)
    settle(opened)
    assert opened.root.locator(".why.align .sample-head p").inner_text() != before
    opened.assert_quiet()


def test_keyboard_alone(open_widget: Any):
    """Tab to each part of the box, move and resize it, step through samples and outputs: no pointer."""
    opened = open_widget(RoIAlignWidget())
    keyboard = opened.page.keyboard

    tab_to(opened, ".handle-move")
    keyboard.press("ArrowRight")
    keyboard.press("ArrowDown")
    keyboard.press("Shift+ArrowRight")
    assert opened.get("box") == pytest.approx([58.1, 6, 138.1, 71])
    keyboard.press("End")
    keyboard.press("PageDown")
    assert opened.get("box") == pytest.approx([74.1, 22, 154.1, 87])
    tab_to(opened, ".handle-se")
    keyboard.press("ArrowLeft")
    keyboard.press("Shift+ArrowUp")
    assert opened.get("box") == pytest.approx([74.1, 22, 153.1, 86.9])
    settle(opened)
    assert opened.root.locator(".handle-se").first.get_attribute("aria-valuetext") == "153.1, 86.9 pixels"

    before = opened.root.locator(".why.align .sample-sum").inner_text()
    tab_to(opened, "[aria-label='Next sample']")
    keyboard.press("Enter")
    settle(opened)
    assert opened.root.locator(".why.align .sample-sum").inner_text() != before

    tab_to(opened, "[role=gridcell]")
    keyboard.press("ArrowRight")
    keyboard.press("ArrowDown")
    settle(opened)
    assert "row 1, column 1" in opened.root.locator(".why.align h4").inner_text()

    tab_to(opened, "input[type=range]")
    left = opened.get("box")[0]
    keyboard.press("ArrowRight")
    assert opened.get("box")[0] == pytest.approx(left + 0.1)
    opened.assert_quiet()


def test_coordinates_can_be_typed(open_widget: Any):
    opened = open_widget(RoIAlignWidget())
    field = opened.page.get_by_label("x1, left edge in pixels")
    field.fill("61.37")
    assert opened.get("box") == [61.37, *BOX[1:]]
    settle(opened)
    assert opened.root.locator(".edge-field .cells").first.inner_text() == "3.84 cells"
    field.fill("500")
    assert opened.get("box")[0] == 61.37
    assert field.get_attribute("aria-invalid") == "true"
    assert "x2 must not be left of x1" in opened.root.locator(".box-problem").inner_text()
    field.fill("")
    assert opened.get("box")[0] == 61.37
    field.blur()
    settle(opened)
    assert field.input_value() == "61.37"
    assert opened.root.locator(".box-problem").inner_text() == ""
    # Typed key by key, a number passes through other states; nothing is rewritten under the cursor.
    field.press("Control+a")
    field.press_sequentially("-3.25", delay=30)
    assert opened.get("box")[0] == -3.25
    field.press("ArrowUp")
    assert opened.get("box")[0] == -2.25, "a step keeps the fraction that was typed"
    field.press("Shift+ArrowDown")
    assert opened.get("box")[0] == -2.35
    opened.assert_quiet()


def test_grids_show_what_torch_computes(open_widget: Any):
    widget = RoIAlignWidget(
        box=[20.5, 30.25, 170.1, 101.0], output_size=[3, 4], sampling_ratio=0, channel="brightness"
    )
    opened = open_widget(widget)
    pooled, aligned = widget.pooled[1].flatten(), widget.aligned_output[1].flatten()
    assert [number(text) for text in texts(opened, "pool")] == pooled.tolist()
    shown = torch.tensor([number(text) for text in texts(opened, "align")])
    torch.testing.assert_close(shown, aligned, rtol=0, atol=0.051)
    shown = torch.tensor([number(text) for text in texts(opened, "difference")])
    torch.testing.assert_close(shown, pooled - aligned, rtol=0, atol=0.051)


def test_each_control_changes_what_it_should(open_widget: Any):
    opened = open_widget(RoIAlignWidget())
    page = opened.page

    def state() -> tuple[list[str], list[str], str]:
        settle(opened)
        moved = opened.root.locator(".column.align .shift").inner_text()
        return texts(opened, "pool"), texts(opened, "align"), moved

    start = state()
    page.get_by_role("radio", name="Brightness").check()
    assert opened.get("channel") == "brightness"
    brightness = state()
    assert brightness[0] != start[0] and brightness[1] != start[1]
    page.get_by_role("radio", name="Edges").check()
    assert state() == start

    page.get_by_label("Output rows").fill("3")
    assert opened.get("output_size") == [3, 5]
    assert len(state()[0]) == 15
    page.get_by_label("Output columns").fill("9")
    assert opened.get("output_size") == [3, 5], "nine columns are refused"
    assert page.get_by_label("Output columns").get_attribute("aria-invalid") == "true"
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

    page.get_by_role("button", name="Reset").click()
    assert state() == start
    assert opened.get("box") == BOX
    opened.assert_quiet()


def test_things_to_try_show_what_they_say(open_widget: Any):
    opened = open_widget(RoIAlignWidget())

    def press(name: str) -> list[str]:
        opened.page.get_by_role("button", name=name, exact=True).click()
        settle(opened)
        return texts(opened, "pool")

    moved = opened.root.locator(".column.pool .shift")
    scores = opened.root.locator(".mask strong")

    press("0.2 px aside")
    left = number(moved.inner_text().split("left ")[1].split(",")[0])
    align = [number(text) for text in texts(opened, "align")]
    press("0.2 px aside")
    jump = number(moved.inner_text().split("left ")[1].split(",")[0]) - left
    assert jump == pytest.approx(16 - 0.2, abs=0.11), "RoIPool's region jumps by a cell"
    drift = [abs(number(a) - b) for a, b in zip(texts(opened, "align"), align, strict=True)]
    assert max(drift) < 1, "RoIAlign's numbers hardly change"

    press("Half a cell")
    assert moved.inner_text() == "Moved: left +8.0, top +8.0, right +24.0, bottom +24.0 px"
    assert len(press("7 \u00d7 7 bins")) == 49
    assert len(set(press("A tiny box"))) == 1
    assert len(set(texts(opened, "align"))) > 1
    assert "0" in press("Over the border")
    press("Not aligned")
    assert opened.get("aligned") is False
    loss = number(scores.last.inner_text().split()[0])
    opened.page.get_by_role("button", name="Reset").click()
    settle(opened)
    assert number(scores.last.inner_text().split()[0]) > loss + 10
    opened.assert_quiet()


def test_hovering_a_sample_shows_four_weights_and_their_sum(open_widget: Any):
    widget = RoIAlignWidget()
    opened = open_widget(widget)
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
        assert f"row {row // 2}, column {column // 2}" in title
        weights = [float(w) for w in opened.root.locator(".quad .weight").all_inner_texts()]
        values = [float(v) for v in opened.root.locator(".quad .value").all_inner_texts()]
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
    assert f"is {total}" in opened.root.locator("[aria-live=polite]").inner_text()
    opened.assert_quiet()


def test_the_widget_follows_its_model(open_widget: Any):
    """What a kernel sets arrives in the figure: the same path as a change from Python."""
    opened = open_widget(RoIAlignWidget())
    opened.set("box", [16.0, 16.0, 48.0, 48.0])
    opened.set("output_size", [2, 2])
    settle(opened)
    assert opened.page.get_by_label("x2, right edge in pixels").input_value() == "48"
    assert len(texts(opened, "pool")) == 4
    assert box_width(opened) == pytest.approx(32, abs=0.5)


def test_mask_scores_equal_the_arithmetic(open_widget: Any):
    opened = open_widget(RoIAlignWidget(output_size=[7, 7]))
    pool, align = (number(text.split()[0]) for text in opened.root.locator(".mask strong").all_inner_texts())
    assert align > 90
    assert pool < 70


def test_rocking_moves_the_box_and_stops(open_widget: Any):
    opened = open_widget(RoIAlignWidget(), reduced_motion="no-preference")
    button = opened.page.get_by_role("button", name="Rock the box")
    button.click()
    opened.page.wait_for_timeout(300)
    moved = opened.get("box")
    assert moved[0] != BOX[0] and moved[1::2] == BOX[1::2]
    assert moved[2] - moved[0] == pytest.approx(BOX[2] - BOX[0])
    button.click()
    still = opened.get("box")
    opened.page.wait_for_timeout(100)
    assert opened.get("box") == still
    opened.assert_quiet()


def test_nothing_moves_for_readers_who_prefer_stillness(open_widget: Any):
    opened = open_widget(RoIAlignWidget(), reduced_motion="reduce")
    assert opened.page.get_by_role("button", name="Rock the box").count() == 0
    opened.page.wait_for_timeout(200)  # the curves are computed over some frames, then no frame is asked for
    opened.root.evaluate("(root) => { root.querySelector('.roi-align').frames.length = 0; }")
    opened.page.wait_for_timeout(200)
    assert opened.root.evaluate("(root) => root.querySelector('.roi-align').frames.length") == 0
    assert opened.root.evaluate("(root) => root.getAnimations({ subtree: true }).length") == 0


def test_a_box_outside_the_image_is_shown_and_can_be_brought_back(open_widget: Any):
    widget = RoIAlignWidget(box=[500.0, 400.0, 900.0, 640.0], sampling_ratio=0)
    opened = open_widget(widget)
    assert widget.pooled.abs().max() == widget.aligned_output.abs().max() == 0
    assert set(texts(opened, "pool")) == {"0"} and set(texts(opened, "align")) == {"0.0"}
    assert opened.root.locator(".mask strong").all_inner_texts() == ["undefined", "undefined"]
    opened.set("box", [-1000.0, -1000.0, 1000.0, 1000.0])
    settle(opened)
    box = [torch.tensor([[-1000.0, -1000.0, 1000.0, 1000.0]])]
    expected = peer_roi_align(widget.feature_map[None, :1], box, (5, 5), 1 / 16, -1, True).flatten()
    shown = torch.tensor([number(text) for text in texts(opened, "align")])
    torch.testing.assert_close(shown, expected, rtol=0, atol=0.051)
    opened.page.get_by_role("button", name="Reset").click()
    assert opened.get("box") == BOX
    opened.assert_quiet()


def test_a_hidden_widget_comes_alive_when_it_is_shown(open_path: Any, tmp_path: Any):
    path = tmp_path / "hidden.html"
    path.write_text(
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Hidden</title>'
        '<link rel="icon" href="data:,"></head><body><div id="tab" style="display: none">'
        f"{RoIAlignWidget().to_html()}</div></body></html>",
        encoding="utf-8",
    )
    opened = open_path(path)
    opened.page.wait_for_selector("[data-ready=true]", state="attached")
    opened.set("box", [16.0, 16.0, 48.0, 48.0])
    opened.page.evaluate("document.querySelector('#tab').style.display = 'block'")
    settle(opened)
    assert box_width(opened) == pytest.approx(32, abs=0.5)
    assert len(texts(opened, "align")) == 25
    opened.page.evaluate("document.querySelector('#tab').style.display = 'none'")
    opened.set("box", [16.0, 16.0, 80.0, 48.0])
    settle(opened)
    opened.page.evaluate("document.querySelector('#tab').style.display = 'block'")
    settle(opened)
    assert box_width(opened) == pytest.approx(64, abs=0.5)
    opened.assert_quiet()


def test_a_cancelled_drag_lets_go_and_a_second_finger_is_ignored(open_widget: Any):
    opened = open_widget(RoIAlignWidget())
    boxes = opened.root.evaluate(
        """(root) => {
          const handle = root.querySelector(".column.pool .handle-move");
          handle.parentNode.setPointerCapture = () => {};
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
    assert boxes[2] == boxes[1] == boxes[3]
    assert opened.root.locator(".roi-align").get_attribute("data-dragging") is None
    opened.assert_quiet()


# A drag that moves once in each frame, so that none is idle: the time of each drawing, in milliseconds.
DRAG = """async (root) => {
  const figure = root.querySelector(".roi-align");
  const handle = root.querySelector(".column.align .handle-move");
  handle.parentNode.setPointerCapture = () => {};
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
    opened.root.locator(".column.align .handle-move").scroll_into_view_if_needed()
    measure_frames(opened, DRAG).assert_smooth()
