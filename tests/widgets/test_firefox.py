"""Every widget and two pages in Firefox as well: alive, quiet, a control works, a phone's width holds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import wait_until_alive, write_page
from .firefox import FIREFOX, Firefox
from .kit import move_a_control, settle, unfold, widget_classes

HTML = Path(__file__).parents[2] / "_build" / "html"
CLASSES = {each._slug: each for each in widget_classes()}
CONTROL: dict[str, str] = {}  # a control's selector, for a widget whose first ones change nothing it keeps


@pytest.fixture(scope="module")
def firefox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    if FIREFOX is None:
        if os.environ.get("CI"):
            pytest.fail("CI needs Firefox: install Debian's firefox-esr, or set FIREFOX to the path of one.")
        pytest.skip("no Firefox on this machine: install one, or set FIREFOX to its path, to run these tests")
    browser = Firefox(tmp_path_factory.mktemp("firefox"))
    yield browser
    browser.close()


@pytest.mark.parametrize("slug", CLASSES)
def test_widget(firefox: Firefox, tmp_path: Path, slug: str) -> None:
    widget = CLASSES[slug]()
    opened = firefox.open(write_page(tmp_path / "widget.html", widget))
    wait_until_alive(opened, 1)
    settle(opened)
    opened.assert_quiet()
    assert move_a_control(opened, widget.public_state(), CONTROL.get(slug, ""))
    opened.assert_no_sideways_scroll(390)
    unfold(opened)
    opened.assert_no_sideways_scroll(390)
    opened.assert_quiet()


def test_a_pointer_drags(firefox: Firefox, tmp_path: Path) -> None:
    """One drag by hand, as in Chromium: the box of chapter 13 goes where the pointer goes."""
    widget = CLASSES["roi_align"]()
    opened = firefox.open(write_page(tmp_path / "widget.html", widget), theme="dark")
    wait_until_alive(opened, 1)
    settle(opened)
    script = """(root) => { const handle = root.querySelector(".handle-move");
      handle.scrollIntoView({ block: "center" });
      const box = handle.getBoundingClientRect();
      return [box.x + box.width / 2, box.y + box.height / 2]; }"""
    x, y = opened.root.evaluate(script)
    opened.page.drag((x, y), (x + 10, y + 4), (x + 30, y + 10))
    settle(opened)
    before, after = widget.box, opened.get("box")
    assert after[0] > before[0] and after[1] > before[1]
    assert after[2] - after[0] == pytest.approx(before[2] - before[0], abs=1e-6)
    opened.assert_quiet()


@pytest.mark.parametrize("name", ["book/index.html", "book/13_roi_align.html"])
def test_page(firefox: Firefox, name: str) -> None:
    """Alive and quiet in a window and on a phone; there the menu opens by key."""
    if not (HTML / name).exists():
        if os.environ.get("CI"):
            pytest.fail("the book is not built")
        pytest.skip("the book is not built: run `make book` first")
    opened = firefox.open(HTML / name)
    count = opened.page.evaluate("document.querySelectorAll('.segcore-widget[data-widget]').length")
    assert count >= 1
    wait_until_alive(opened, count)
    opened.assert_quiet()
    opened.assert_no_sideways_scroll(390)
    opened.page.evaluate("document.querySelector('.primary-toggle').focus()")
    opened.page.press("Enter")
    inside = "document.querySelector('dialog[open]')?.contains(document.activeElement)"
    opened.page.wait_for_function(inside)
    opened.page.press("Escape")
    opened.page.wait_for_function("!document.querySelector('dialog[open]')")
    opened.assert_quiet()


def test_it_notes_errors_and_outside_requests(firefox: Firefox, tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text(
        "<!doctype html><title>Bad</title><link rel=icon href='data:,'>"
        "<script>fetch('https://example.org/x').catch(() => {}); console.warn('mind'); nothing()</script>"
    )
    opened = firefox.open(page)
    opened.page.evaluate("new Promise((done) => setTimeout(done, 200))")
    assert any("nothing" in error for error in opened.errors)
    assert any("mind" in error for error in opened.errors)
    assert opened.requests == ["https://example.org/x"]
