"""The widget of chapter 11: its windows and counts against torch, its claims, the figure in use."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
import traitlets
from playwright.sync_api import expect

from segcore.deeplab import valid_weights
from segcore.metrics import boundary_f1, confusion_matrix, mean_iou
from segcore.widgets.deeplab import NETWORKS, SCENES, DeepLabWidget
from segcore.widgets.packing import unpack_webp

from .kit import PHONE, settle

# ---- Python ----------------------------------------------------------------------------------------------


def test_state_is_small_and_the_same_each_time():
    widget = DeepLabWidget()
    assert widget.to_html() == DeepLabWidget().to_html()
    assert len(str(widget.public_state())) < 20_000


@pytest.mark.parametrize(
    ("trait", "value", "words"),
    [
        ("scene", "fourth", "first"),
        ("network", "unet", "deeplabv3_32"),
        ("rate", 0, "from 1 to 24"),
        ("rate", 25, "from 1 to 24"),
        ("size", 64, "96"),
        ("show", "all", "labels"),
        ("at", [96, 0], "to 95, 95"),
        ("at", [1], "x, y"),
    ],
)
def test_bad_values_are_refused_and_leave_the_widget_as_it_was(trait: str, value: Any, words: str):
    widget = DeepLabWidget()
    before = widget.public_state()
    with pytest.raises(traitlets.TraitError, match=words):
        setattr(widget, trait, value)
    assert widget.public_state() == before


def score(widget: DeepLabWidget, network: str) -> tuple[float, float]:
    """Mean IoU and mean boundary F at one pixel."""
    found, truth = widget.labels(network), widget.labels("truth")
    confusion = confusion_matrix(found, truth, 4)
    return float(mean_iou(confusion)), float(boundary_f1(found, truth, 1, 4).nanmean())


def test_what_the_things_to_try_claim():
    """Finer maps are better, the decoder's outlines too, and the third scene is too hard for all."""
    widget = DeepLabWidget()
    by_stride = [score(widget, f"deeplabv3_{stride}")[0] for stride in (32, 16, 8)]
    assert by_stride == sorted(by_stride) and by_stride[2] > by_stride[0] + 0.2
    for scene in SCENES[:2]:
        widget.scene = scene
        assert score(widget, "deeplabv3plus_16")[1] > score(widget, "deeplabv3_16")[1] + 0.1
    widget.scene = "third"
    assert all(score(widget, network)[0] < 0.5 for network in NETWORKS)
    assert (valid_weights(65, 36) < 9).all()
    assert (valid_weights(12, 36) == 1).all() and (valid_weights(12, 12) == 1).all()


def test_the_map_and_its_rates():
    widget = DeepLabWidget(network="deeplabv3_8", size=513, rate=12)
    assert (widget.cells, widget.output_stride, widget.rates) == (65, 8, (12, 24, 36))
    assert DeepLabWidget(network="deeplabv3plus_16", size=513).cells == 33
    assert DeepLabWidget(network="deeplabv3_32").cells == 3


# ---- Arithmetic in the browser ---------------------------------------------------------------------------


def in_page(opened: Any, code: str, argument: Any = None) -> Any:
    return opened.root.evaluate(f"(root, argument) => {{ const m = root.segcore.module; {code} }}", argument)


@pytest.mark.parametrize("source", ["truth", *NETWORKS])
def test_the_page_unpacks_what_python_does(shared_widget: Any, source: str):
    opened, widget = shared_widget(DeepLabWidget), DeepLabWidget()
    text = widget.data["scenes"]["first"][source]
    found = in_page(opened, "return Array.from(m.unpackRuns(argument, 96 * 96));", text)
    assert found == widget.labels(source).flatten().tolist()


def test_weights_on_the_map_are_torchs(shared_widget: Any):
    opened = shared_widget(DeepLabWidget)
    for side, rate in ((12, 1), (12, 6), (13, 4), (6, 9), (3, 3), (65, 36), (33, 18)):
        ones = torch.ones(1, 1, side, side)
        wanted = F.conv2d(ones, torch.ones(1, 1, 3, 3), padding=rate, dilation=rate)[0, 0]
        found = in_page(opened, "return Array.from(m.validWeights(...argument));", [side, rate])
        assert found == wanted.flatten().tolist()
        shares = in_page(opened, "return m.shares(...argument);", [side, rate])
        assert shares["nine"] == pytest.approx(float((wanted == 9).float().mean()), abs=1e-6)
        assert shares["one"] == pytest.approx(float((wanted == 1).float().mean()), abs=1e-6)


def test_taps_are_what_a_dilated_filter_reads(shared_widget: Any):
    opened = shared_widget(DeepLabWidget)
    for side, x, y, rate in ((12, 5, 7, 2), (12, 0, 11, 4), (7, 3, 3, 3), (7, 6, 1, 5)):
        places = torch.zeros(1, 1, side, side, requires_grad=True)
        F.conv2d(places, torch.ones(1, 1, 3, 3), padding=rate, dilation=rate)[0, 0, y, x].backward()
        wanted = {(column, row) for row, column in places.grad[0, 0].nonzero().tolist()}
        found = in_page(opened, "return m.taps(...argument);", [side, [x, y], rate])
        assert {tuple(each) for each in found} == wanted and len(found) == len(wanted)


def test_parts_are_those_of_adaptive_pooling(shared_widget: Any):
    opened = shared_widget(DeepLabWidget)
    generator = torch.Generator().manual_seed(1)
    for side, parts in ((12, 6), (33, 6), (65, 3), (7, 2), (3, 6), (96, 6)):
        picture = torch.randint(0, 256, (side, side, 4), generator=generator)
        wanted = F.adaptive_avg_pool2d(picture[..., :3].permute(2, 0, 1)[None].double(), parts)[0]
        found = in_page(
            opened, "return m.pooledColours(...argument);", [picture.flatten().tolist(), side, parts]
        )
        torch.testing.assert_close(torch.tensor(found).double(), wanted.permute(1, 2, 0).reshape(-1, 3))
        for cell in range(side):
            first, end = in_page(opened, "return m.binOf(...argument);", [side, parts, cell])
            assert first <= cell < end


def test_scores_are_the_librarys(shared_widget: Any):
    opened = shared_widget(DeepLabWidget)
    for scene in SCENES:
        widget = DeepLabWidget(scene=scene)
        truth = widget.labels("truth")
        for network in NETWORKS:
            maps = [widget.labels(network).flatten().tolist(), truth.flatten().tolist()]
            found = in_page(opened, "return m.meanIou(...argument);", maps)
            assert found == pytest.approx(score(widget, network)[0], abs=1e-6)


# ---- The figure in use -----------------------------------------------------------------------------------


def words(opened: Any) -> Any:
    return opened.root.locator(".words")


def test_pointing_says_what_is_left(open_widget: Any):
    opened = open_widget(DeepLabWidget())
    settle(opened)
    expect(words(opened)).to_contain_text("Row 7, column 6 of 12 × 12 cells: of nine weights, 9, 9 and 4")
    opened.root.locator(".seen canvas").focus()
    for _ in range(12):
        opened.page.keyboard.press("ArrowUp")
    counts = [int(valid_weights(12, rate)[0, 5]) for rate in (2, 4, 6)]
    expect(words(opened)).to_contain_text(f"Row 1, column 6 of 12 × 12 cells: of nine weights, {counts[0]}, ")
    expect(words(opened)).to_contain_text(f"{counts[1]} and {counts[2]} lie on the map")
    opened.assert_quiet()


def test_a_finer_map_changes_both_pictures(open_widget: Any):
    opened = open_widget(DeepLabWidget())
    settle(opened)
    draw = (
        "(root) => [...root.querySelectorAll('.seen canvas, .other canvas')].map((each) => each.toDataURL())"
    )
    before = opened.root.evaluate(draw)
    opened.root.get_by_role("radio", name="v3: 32").check()
    expect(opened.root.locator(".seen .segcore-label")).to_have_text("What one of 3 × 3 cells sees")
    settle(opened)
    after = opened.root.evaluate(draw)
    assert before[0] != after[0] and before[1] != after[1]
    shown = f"{score(DeepLabWidget(), 'deeplabv3_32')[0]:.2f}"
    expect(opened.root.locator(".segcore-marks")).to_contain_text(shown)
    opened.assert_quiet()


def test_a_rate_that_outgrows_the_map(open_widget: Any):
    opened = open_widget(DeepLabWidget(show="left"))
    settle(opened)
    for rate in (4, 8, 12):
        opened.page.get_by_role("slider").fill(str(rate))
        one = float((valid_weights(12, 3 * rate) == 1).double().mean())
        expect(opened.root.locator(".segcore-marks div").last).to_contain_text(f"{100 * one:.0f} %")
    opened.assert_quiet()


def test_means_have_no_rates(open_widget: Any):
    widget = DeepLabWidget(network="pspnet_8", show="left")
    opened = open_widget(widget)
    settle(opened)
    expect(words(opened)).to_contain_text("means over 144, 36, 16 and 4 cells")
    assert not opened.page.get_by_role("slider").is_visible()
    image = unpack_webp(widget.data["scenes"]["first"]["image"])
    wanted = F.adaptive_avg_pool2d(image[None], 6)[0, :, 3, 2] * 255
    opened.page.wait_for_function(
        """() => {
          const canvas = document.querySelector('.other canvas');
          const at = (k) => Math.round((canvas.width * (k + 0.5)) / 6);
          window.middle = canvas.getContext('2d').getImageData(at(2), at(3), 1, 1).data;
          return window.middle[0] !== 128;
        }"""
    )
    found = opened.page.evaluate("() => Array.from(window.middle).slice(0, 3)")
    torch.testing.assert_close(torch.tensor(found).float(), wanted, atol=3, rtol=0)
    opened.assert_quiet()


def test_on_a_phone_both_pictures_stand_side_by_side(open_widget: Any):
    opened = open_widget(DeepLabWidget(), **PHONE)
    settle(opened)
    one, other = (opened.root.locator("canvas").nth(k).bounding_box() for k in range(2))
    assert one["y"] == other["y"] and one["x"] + one["width"] <= other["x"]
    assert one["width"] > 140


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ["sphere", "box", "cylinder", "true edges"]),
        ({"show": "truth"}, ["sphere", "box", "cylinder"]),
        ({"show": "left"}, ["1 to 9 weights"]),
        ({"show": "left", "network": "pspnet_8"}, []),
    ],
)
def test_the_key_says_what_the_right_picture_shows(
    open_widget: Any, changes: dict[str, str], words: list[str]
):
    key = open_widget(DeepLabWidget(**changes)).root.locator(".segcore-key").last
    assert key.inner_text().split("\n") == (words or [""])
