"""MathJax is loaded when the widgets of the page are alive, and in any case."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from segcore.widgets.bridges import BridgesWidget

sys.path.insert(0, str(Path(__file__).parents[2] / "tools" / "ext"))

import course_pages

FRAME = Path(__file__).parents[2] / "book" / "_static" / "frame.js"

# In MathJax's place: says what it found, and that it is ready.
STAND_IN = """const all = document.querySelectorAll("[data-widget]");
window.found = [...all].map((each) => each.dataset.ready);
window.MathJax.startup = { promise: Promise.resolve() };"""
DRAWN = "async () => { await window.courseFormulas; return window.found; }"


def page(folder: Path, body: str) -> Path:
    """A page with the book's frame, and scripts as the book's pages have them."""
    (folder / "mathjax").mkdir()
    (folder / "mathjax" / "tex-chtml.js").write_text(STAND_IN)
    shutil.copy(FRAME, folder)
    tags = []
    for name in ("frame.js", "mathjax/tex-chtml.js"):
        script = course_pages._deferred(
            SimpleNamespace(filename=name, priority=1, attributes={"async": "async"})
        )
        tags.append(
            f'<script src="{name}" {" ".join(f"{k}={v}" for k, v in script.attributes.items())}></script>'
        )
    path = folder / "page.html"
    path.write_text(
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><link rel="icon" href="data:,">'
        f"<script>window.MathJax = {{}};</script>{''.join(tags)}</head><body>{body}</body></html>"
    )
    return path


@pytest.mark.parametrize("count", [0, 2])
def test_formulas_come_after_the_widgets(open_path, tmp_path, count):
    opened = open_path(page(tmp_path, BridgesWidget().to_html() * count))
    assert opened.page.evaluate(DRAWN) == ["true"] * count
    opened.assert_quiet()


def test_formulas_come_though_a_widget_does_not(open_path, tmp_path):
    opened = open_path(page(tmp_path, '<div class="segcore-widget" data-widget="none"></div>'))
    assert opened.page.evaluate(DRAWN) == [None]
    opened.assert_quiet()
