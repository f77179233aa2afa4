"""The keypoints widget: its arithmetic against the library's, and the point under a reader's hand."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
import traitlets

from segcore.widgets.keypoints import METHODS, SIDE, SIZES, TARGETS, KeypointsWidget

from .kit import settle


@pytest.mark.parametrize(
    ("trait", "value", "words"),
    [
        ("point", [1.0], "x, y in the box"),
        ("point", [1.0, 57.0], "from 0 to 56"),
        ("size", 8, "7"),
        ("target", "disc", "hill"),
        ("method", "best", "parabola"),
    ],
)
def test_bad_values_are_refused(trait: str, value: Any, words: str):
    widget = KeypointsWidget()
    before = widget.public_state()
    with pytest.raises(traitlets.TraitError, match=words):
        setattr(widget, trait, value)
    assert widget.public_state() == before


ASK = """(root, cases) => cases.map(([point, size, target, method]) => {
  const { targetMap, decodeMap } = root.segcore.module;
  const map = targetMap(point, size, 56, target);
  return [map, decodeMap(map, size, 56, method)];
})"""


def test_maps_and_points_equal_the_librarys(open_widget: Any):
    opened = open_widget(KeypointsWidget())
    generator = torch.Generator().manual_seed(0)
    cases = []
    for size, target, method in itertools.product(SIZES, TARGETS, METHODS):
        points = (torch.rand(6, 2, generator=generator, dtype=torch.float64) * SIDE).tolist()
        for point in [*points, [0.0, 0.0], [56.0, 56.0], [13.0, 41.0]]:
            cases.append([point, size, target, method])
    for (point, size, target, method), (shares, found) in zip(
        cases, opened.root.evaluate(ASK, cases), strict=True
    ):
        widget = KeypointsWidget(point=point, size=size, target=target, method=method)
        shares, found = (torch.tensor(each, dtype=torch.float64) for each in (shares, found))
        torch.testing.assert_close(shares, widget.map.flatten(), rtol=0, atol=1e-5)
        torch.testing.assert_close(found, widget.found, rtol=0, atol=1e-5)
    opened.assert_quiet()


def test_the_point_follows_mouse_and_keys(open_widget: Any):
    widget = KeypointsWidget(target="hill", method="parabola")
    opened = open_widget(widget)
    canvas = opened.root.locator("canvas")
    canvas.focus()
    opened.page.keyboard.press("ArrowRight")
    settle(opened)
    assert opened.get("point") == [30.5, 21.0]
    assert "Off by 0.00 pixels" in opened.root.locator(".error").inner_text()
    place = canvas.bounding_box()
    opened.page.mouse.move(place["x"] + place["width"] * 0.25, place["y"] + place["height"] * 0.75)
    opened.page.mouse.down()
    opened.page.mouse.up()
    settle(opened)
    assert opened.get("point") == pytest.approx([14, 42], abs=0.5)
    opened.assert_quiet()


# What of the map's middle column of cells is drawn along its border, and what in its middle.
LINES = """(root) => {
  const canvas = root.querySelector("canvas");
  const size = root.segcore.model.get("size");
  const cell = canvas.width / size;
  const { data, width } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const at = (x, y) => [0, 1, 2].map((c) => data[4 * (Math.floor(y) * width + Math.floor(x)) + c]);
  return Array.from({ length: size - 1 }, (_, n) => [n + 1, n + 0.5].map((x) => at(x * cell, cell / 2)));
}"""


@pytest.mark.parametrize("size", SIZES)
def test_cells_can_be_told_apart(open_widget: Any, size: int):
    """Where a point lies in its cell is the figure's point: a line stands between any two cells."""
    opened = open_widget(KeypointsWidget(size=size))
    for border, middle in opened.root.evaluate(LINES):
        assert max(abs(one - other) for one, other in zip(border, middle, strict=True)) > 25
    assert f"cells of {SIDE // size} pixels" in opened.root.locator(".map-view p").inner_text()
    opened.assert_quiet()
