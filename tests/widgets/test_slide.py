"""One figure alone on the screen; the map of chapters; code below its figure; what print shows of a page."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .kit import faults, settle

HTML = Path(__file__).parents[2] / "_build" / "html"
CHAPTER = HTML / "book" / "13_roi_align.html"
if not CHAPTER.exists():
    message = "the book is not built: run `make book` first"
    if os.environ.get("CI"):
        raise RuntimeError(message)
    pytest.skip(message, allow_module_level=True)

WAIT = 20_000

# What of the page can be seen: the shown thing's box, how large its letters are, and what else has a size.
SEEN = """() => {
  const shown = document.querySelector(".slide-shown");
  const picture = shown.querySelector("svg[data-layout=wide], img");
  const view = picture.viewBox?.baseVal;
  const box = picture.getBoundingClientRect();
  const scale = view ? Math.min(box.width / view.width, box.height / view.height) : 1;
  const texts = [...picture.querySelectorAll("text")].filter((each) => each.textContent.trim());
  const caption = shown.querySelector("figcaption")?.getBoundingClientRect();
  const others = [...document.querySelectorAll("h1, nav, .bd-header-article, .bd-article p")];
  return {
    drawn: view ? [view.width * scale, view.height * scale] : [box.width, box.height],
    letters: Math.min(99, ...texts.map((each) => parseFloat(getComputedStyle(each).fontSize) * scale)),
    caption: caption && [caption.top, caption.bottom],
    others: others.filter((each) => !shown.contains(each) && each.getBoundingClientRect().height > 0).length,
    sideways: document.documentElement.scrollWidth - innerWidth,
  };
}"""


def slide(opened, kind):
    opened.page.wait_for_function(
        "(kind) => (document.documentElement.dataset.slide ?? '') === kind", arg=kind, timeout=WAIT
    )


@pytest.mark.parametrize(("width", "height", "theme"), [(1920, 1080, "light"), (1280, 720, "dark")])
def test_a_figure_fills_the_screen(width, height, theme, open_path):
    opened = open_path(CHAPTER, fragment="?slide=fig-question", width=width, height=height, theme=theme)
    slide(opened, "figure")
    seen = opened.page.evaluate(SEEN)
    assert seen["others"] == 0, "something else of the page is seen"
    assert seen["drawn"][1] > 0.6 * height or seen["drawn"][0] > 0.85 * width
    assert seen["letters"] >= 18, "too small to be read from a seat"
    assert 0 < seen["caption"][0] < seen["caption"][1] <= height, "the caption is cut"
    assert seen["sideways"] <= 0
    assert faults(opened) == []
    opened.assert_quiet()


def test_arrows_go_on_and_escape_goes_back(open_path):
    """Through all figures of the page and no farther; then the reader is where the last one stands."""
    page = (opened := open_path(CHAPTER, fragment="?slide=fig-question")).page
    slide(opened, "figure")
    count = page.locator("figure[id]:not(.segcore-widget *), .segcore-widget[data-widget]").count()
    names = []
    for _ in range(count + 1):
        names.append(page.evaluate("new URLSearchParams(location.search).get('slide')"))
        page.keyboard.press("PageDown")
    assert len(set(names)) == count and names[-1] == names[-2], "it stops at the last"
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("new URLSearchParams(location.search).get('slide')") == names[-3]
    page.keyboard.press("Escape")
    slide(opened, "")
    assert page.evaluate("location.search") == ""
    assert page.locator(".slide-away, .slide-path, .slide-shown, .slide-bar").count() == 0
    assert page.locator(".bd-article h1").is_visible()
    assert page.evaluate("document.activeElement.className") == "slide-open"
    opened.assert_quiet()


def test_the_button_is_reached_by_key_and_says_what_it_does(open_path):
    page = (opened := open_path(CHAPTER)).page
    page.wait_for_function("document.querySelectorAll('.slide-open').length > 2", timeout=WAIT)
    button = page.locator("#fig-question .slide-open")
    assert button.get_attribute("aria-label") == "Show figure 13.1 alone, for a projector"
    assert button.evaluate("b => getComputedStyle(b).opacity") == "0", "it is in nobody's way"
    button.focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Shift+Tab")
    page.wait_for_function("getComputedStyle(document.activeElement).opacity === '1'", timeout=WAIT)
    page.keyboard.press("Enter")
    slide(opened, "figure")
    assert page.evaluate("location.search") == "?slide=fig-question"
    page.locator("#fig-question svg").first.click()
    assert page.locator("dialog[open]").count() == 0, "what is large is not enlarged"
    page.click(".slide-bar button[aria-label^=Back]")
    slide(opened, "")


def test_a_widget_is_large_keeps_its_state_and_follows_the_hand(open_path):
    """Drawn larger than it is laid out, it must still be dragged by as much as the pointer moves."""
    state = "#roi_align:box=57,5,137,70"
    page = (opened := open_path(CHAPTER, fragment=f"?slide=roi_align{state}", width=1920, height=1080)).page
    slide(opened, "widget")
    widget = page.locator(".segcore-widget[data-widget=roi_align]")
    page.wait_for_function(
        "() => document.querySelector('.slide-shown')?.dataset.ready === 'true'"
        " && Number(document.querySelector('.slide-shown').style.zoom) > 1.2",
        timeout=WAIT,
    )
    box = page.locator(".slide-shown .segcore-first").bounding_box()
    assert box["height"] <= 1080 and max(box["height"] / 1080, box["width"] / 1920) > 0.75
    read = "w => w.segcore.model.get('box')"
    assert widget.evaluate(read) == [57, 5, 137, 70]
    assert page.evaluate("location.hash") == state
    # Where a corner of the box is drawn: its handle's middle. Moved there and back, the box is the same.
    handle = widget.locator("[role=slider]").first
    at = handle.bounding_box()
    x, y = at["x"] + at["width"] / 2, at["y"] + at["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 40, y + 30, steps=4)
    page.mouse.up()
    page.wait_for_function(
        "w => w.segcore.model.get('box')[0] !== 57", arg=widget.element_handle(), timeout=WAIT
    )
    settle(opened)
    now = handle.bounding_box()
    moved = now["x"] + now["width"] / 2 - x, now["y"] + now["height"] / 2 - y
    assert abs(moved[0] - 40) < 8 and abs(moved[1] - 30) < 8, moved
    page.keyboard.press("Escape")
    slide(opened, "")
    assert widget.evaluate("w => [w.style.zoom, w.style.width]") == ["", ""]
    opened.assert_quiet()


def test_an_arrow_moves_the_control_that_has_the_focus(open_path):
    page = (opened := open_path(CHAPTER, fragment="?slide=roi_align")).page
    slide(opened, "widget")
    page.wait_for_function("document.querySelector('.slide-shown')?.dataset.ready === 'true'", timeout=WAIT)
    page.locator(".slide-shown [role=slider]").first.focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("new URLSearchParams(location.search).get('slide')") == "roi_align"
    opened.assert_quiet()


def test_a_name_that_is_not_there_is_answered_by_those_that_are(open_path):
    page = open_path(CHAPTER, fragment="?slide=fig-nothing").page
    notice = page.locator(".slide-unknown")
    notice.wait_for(timeout=WAIT)
    assert "“fig-nothing”" in notice.inner_text() and "fig-question" in notice.inner_text()
    assert page.locator(".bd-article h1").is_visible()
    page.keyboard.press("Escape")
    notice.wait_for(state="detached", timeout=WAIT)
    assert page.evaluate("location.search") == ""


def test_code_of_a_figure_is_below_it_and_opens(open_path):
    page = open_path(CHAPTER).page
    cell = page.locator(".cell:has(#fig-question)")
    code = cell.locator("details.below-figure")
    caption, line = cell.locator("figcaption").bounding_box(), code.locator("summary").bounding_box()
    assert line["y"] >= caption["y"] + caption["height"] and line["height"] < 32
    assert code.locator("summary").inner_text() == "Code of this figure"
    code.locator("summary").click()
    assert code.locator("pre").is_visible()
    assert page.locator("details.above-input:has(~ .cell_output figure)").count() == 0, "none is a bar above"


@pytest.mark.parametrize("width", [1280, 390])
def test_the_map_leads_to_the_chapters(width, open_path):
    page = (opened := open_path(HTML / "book" / "index.html", width=width)).page
    shown = page.locator(".course-map svg:visible")
    assert shown.count() == 1
    assert shown.locator("a[data-chapter]").count() == 18
    assert page.locator(".chapter-map a[data-chapter]").count() == 18
    smallest = shown.evaluate(
        "svg => parseFloat(getComputedStyle(svg).fontSize) * svg.clientWidth / svg.viewBox.baseVal.width"
    )
    assert smallest >= 11
    out = shown.evaluate(
        """svg => [...svg.querySelectorAll(".map-box")].filter((box) => {
          const [edge, text] = [box.querySelector("rect"), box.querySelector("text:last-child")];
          return text.getBoundingClientRect().right > edge.getBoundingClientRect().right;
        }).map((box) => box.textContent)"""
    )
    assert out == [], "words stick out of their boxes"
    link = shown.locator("a[data-chapter='13_roi_align']")
    link.focus()
    line = shown.locator(".from-8.to-13")
    page.wait_for_function(
        "line => parseFloat(getComputedStyle(line).strokeWidth) > 2", arg=line.element_handle(), timeout=WAIT
    )
    page.keyboard.press("Enter")
    page.wait_for_url("**/13_roi_align.html")
    opened.assert_quiet()


def test_a_chapter_says_how_long_it_takes(open_path):
    page = open_path(CHAPTER).page
    line = page.locator(".pace")
    assert "minutes to read, 90 for the lab" in line.inner_text()
    rows = page.locator(".lab-exercises li").all_inner_texts()
    assert len(rows) == 5 and all("minutes" in row for row in rows)
    assert [row[:4] for row in rows if "fast track" in row] == ["13.3"]
    assert page.locator(".lab-level").first.get_attribute("aria-label") == "difficulty 1 of 3"
    line.locator("a").click()
    page.wait_for_url("**/labs/13_roi_align.html#roialign-as-two-matrix-products")
    assert page.locator("section#roialign-as-two-matrix-products").count() == 1
    assert (
        "Difficulty 3 of 3, about 23 minutes" in page.locator("#roialign-as-two-matrix-products").inner_text()
    )


def test_a_page_prints_its_widgets_with_their_address_and_no_buttons(open_path):
    page = open_path(CHAPTER).page
    page.wait_for_function("document.querySelectorAll('.slide-open').length > 2", timeout=WAIT)
    page.wait_for_function("document.querySelector('.segcore-widget').dataset.ready === 'true'", timeout=WAIT)
    line = page.locator(".segcore-printed").first
    assert not line.is_visible()
    page.emulate_media(media="print")
    line.wait_for(state="visible", timeout=WAIT)
    assert "book/13_roi_align.html#roi_align" in line.inner_text()
    assert not any(button.is_visible() for button in page.locator(".slide-open, .figure-open").all())
    assert not page.locator("details.below-figure").first.is_visible()
