"""The Mask R-CNN widget: its arithmetic against PyTorch, and the box under a reader's hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
import traitlets

from segcore.mask_rcnn import paste_masks
from segcore.widgets.mask_rcnn import MaskRCNNWidget

from .kit import settle


def test_state_is_small_and_plain():
    widget = MaskRCNNWidget()
    assert widget.to_html() == MaskRCNNWidget().to_html()
    assert len(str(widget.public_state())) < 20_000
    assert 0.9 < float((widget.final & widget.truth).sum() / (widget.final | widget.truth).sum()) <= 1


@pytest.mark.parametrize(
    ("trait", "value", "words"),
    [
        ("box", [1, 2, 3], "x1, y1, x2, y2"),
        ("box", [5, 0, 6, 40], "at least 4 wide"),
        ("box", [0, 0, 1e4, 40], "within 200 pixels"),
        ("cells", 10, "28"),
        ("method", "fast", "exact"),
        ("threshold", 1.0, "0.05 to 0.95"),
        ("at", [72, 0], "from 0 to 71"),
    ],
)
def test_bad_values_are_refused(trait: str, value: Any, words: str):
    widget = MaskRCNNWidget()
    before = widget.public_state()
    with pytest.raises(traitlets.TraitError, match=words):
        setattr(widget, trait, value)
    assert widget.public_state() == before


PASTE = """(root, cases) => cases.map(([mask, box, size, method]) =>
    Array.from(root.segcore.module.pasteMask(mask, box, size, method)))"""


@pytest.mark.parametrize("method", ["exact", "torchvision"])
def test_pasting_equals_the_librarys(open_widget: Any, method: str):
    opened = open_widget(MaskRCNNWidget())
    generator = torch.Generator().manual_seed(0)
    cases, expected = [], []
    for n in range(120):
        cells, (height, width) = (7, 14, 28)[n % 3], (11 + n % 7, 9 + n % 5)
        mask = torch.rand(cells, cells, generator=generator)
        corner = torch.rand(2, generator=generator) * 12 - 4
        box = torch.cat([corner, corner + 0.5 + torch.rand(2, generator=generator) * 9])
        if n % 2:
            box = (box * 10).round() / 10 + torch.tensor([0, 0, 1.0, 1.0])
        as_json = {"data": mask.flatten().tolist(), "height": cells, "width": cells}
        cases.append([as_json, box.tolist(), {"height": height, "width": width}, method])
        expected.append(paste_masks(mask[None], box[None], (height, width), method)[0].flatten())
    got = opened.root.evaluate(PASTE, cases)
    off = [float((torch.tensor(g) - e).abs().max()) for g, e in zip(got, expected, strict=True)]
    assert max(off) < 1e-5
    opened.assert_quiet()


def test_coarser_masks_and_iou_equal_torchs(open_widget: Any):
    opened = open_widget(MaskRCNNWidget())
    mask = torch.rand(28, 28, generator=torch.Generator().manual_seed(1))
    for cells in (28, 14, 7):
        got = opened.root.evaluate(
            """(root, [data, cells]) =>
                Array.from(root.segcore.module.coarser({ data, height: 28, width: 28 }, cells).data)""",
            [mask.flatten().tolist(), cells],
        )
        expected = F.avg_pool2d(mask[None], 28 // cells).flatten()
        torch.testing.assert_close(torch.tensor(got), expected, rtol=0, atol=1e-5)
    found, truth = mask[:5] > 0.5, mask[5:10] > 0.3
    got = opened.root.evaluate(
        "(root, [a, b]) => root.segcore.module.iouOf(a, b)",
        [found.flatten().tolist(), truth.flatten().tolist()],
    )
    assert got == pytest.approx(float((found & truth).sum() / (found | truth).sum()))


def test_the_words_are_the_librarys_numbers(open_widget: Any):
    widget = MaskRCNNWidget()
    opened = open_widget(widget)
    for state in ({"cells": 7}, {"method": "torchvision"}, {"threshold": 0.9}):
        for name, value in state.items():
            setattr(widget, name, value)
            opened.set(name, value)
    settle(opened)
    union = (widget.final | widget.truth).sum()
    iou = float((widget.final & widget.truth).sum() / union)
    text = opened.root.locator(".fits").inner_text()
    assert f"torchvision {iou:.3f} ({int(widget.final.sum()):,} pixels)" in text
    x, y = widget.at
    assert f"= {float(widget.pasted[y, x]):.2f}" in opened.root.locator(".sum").inner_text()


def test_the_box_follows_mouse_and_keys(open_widget: Any):
    opened = open_widget(MaskRCNNWidget())
    start = opened.get("box")
    frame = opened.root.locator(".frame")
    frame.focus()
    opened.page.keyboard.press("ArrowRight")
    opened.page.keyboard.press("Shift+ArrowDown")
    settle(opened)
    assert opened.get("box") == pytest.approx([start[0] + 0.1, start[1] + 1, start[2] + 0.1, start[3] + 1])
    opened.root.locator(".corner").focus()
    opened.page.keyboard.press("Shift+ArrowLeft")
    settle(opened)
    assert opened.get("box")[2] == pytest.approx(start[2] - 0.9)
    place = frame.bounding_box()
    x, y = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2
    opened.page.mouse.move(x, y)
    opened.page.mouse.down()
    opened.page.mouse.move(x + 30, y, steps=4)
    opened.page.mouse.up()
    settle(opened)
    assert opened.get("box")[0] > start[0] + 2
    opened.assert_quiet()


def test_the_key_shows_what_it_stands_for(open_widget: Any):
    """The box is dashed in both, the final mask has the same rim, and the scale says what its ends are."""
    opened = open_widget(MaskRCNNWidget())
    look = """(node) => { const { borderTopStyle, borderTopColor } = getComputedStyle(node);
      return [borderTopStyle, borderTopColor]; }"""
    box = opened.root.locator(".segcore-mark.edge").evaluate(look)
    assert box == opened.root.locator(".frame").evaluate(look) and box[0] == "dashed"
    assert opened.root.locator(".segcore-mark.final").evaluate(look) == ["solid", "rgb(241, 106, 1)"]
    assert "0 ground, 1 coin" in opened.root.locator(".segcore-key").inner_text()
