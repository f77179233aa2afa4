"""The still pictures show what the widgets show: made again, they are nearly the same."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))

import stills

WIDGETS = stills.widgets()


@pytest.fixture(scope="module")
def page(browser: Any) -> Iterator[Any]:
    page = stills.new_page(browser)
    yield page
    page.close()


@pytest.mark.parametrize("slug", WIDGETS)
def test_the_still_is_of_this_widget(page: Any, tmp_path: Path, slug: str):
    """Fonts differ between machines by some pixels; another layout or another figure differs by more."""
    stills.show(page, WIDGETS[slug](), tmp_path)
    stored = json.loads((stills.STILLS / f"{slug}.json").read_text())["sizes"]
    for name, width in (("wide", stills.WIDE), ("narrow", stills.NARROW)):
        path = stills.STILLS / f"{slug}-{name}.avif"
        assert path.stat().st_size < 60_000, "it travels in the page"
        now, then = stills.photograph(page, width), Image.open(path).convert("RGB")
        assert abs(now.height - then.height) <= 0.04 * then.height, "another layout: run tools/stills.py"
        small = (now.width // 8, min(now.height, then.height) // 8)
        a, b = (
            np.asarray(image.crop((0, 0, now.width, 8 * small[1])).resize(small, Image.BOX), float)
            for image in (now, then)
        )
        assert np.abs(a - b).mean() < 8, "another picture: run tools/stills.py"
        heights = dict(stored["heights"])
        assert abs(heights[width] - stills.height_at(page, width)) <= 0.04 * heights[width]
