"""Still figures in the browser: the layout that fits, text that can be read, and the enlarged view."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image

from segcore import viz
from segcore.figures import figure_svg

from .kit import settle

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools" / "ext"))
HTML = ROOT / "_build" / "html"
CHAPTERS = sorted(
    path.relative_to(HTML).as_posix()
    for path in (HTML / "book").glob("*.html")
    if 'class="course-figure"' in path.read_text(encoding="utf-8")
)
SOLUTIONS = sorted(path.relative_to(HTML).as_posix() for path in (HTML / "solutions").glob("*.html"))
STATIC = ROOT / "book" / "_static"
if os.environ.get("CI") and not (CHAPTERS and SOLUTIONS):
    raise RuntimeError("no built page has a figure: run `make book` first")

# Of each figure: the layout that is seen, its size, its text's smallest size and where it sticks out.
SEEN = """() => [...document.querySelectorAll('.course-figure')].map((frame) => {
  const layouts = [...frame.querySelectorAll(':scope > svg')];
  const shown = layouts.filter((each) => each.getBoundingClientRect().width > 0);
  const box = shown[0].getBoundingClientRect(), scale = box.width / shown[0].viewBox.baseVal.width;
  const texts = [...shown[0].querySelectorAll('text')].filter((each) => each.textContent.trim());
  const size = (text) => Math.max(...[text, ...text.querySelectorAll('tspan')]
    .map((part) => parseFloat(getComputedStyle(part).fontSize))) * scale;
  return {
    count: shown.length, layout: shown[0].dataset.layout, width: box.width, room: frame.clientWidth,
    smallest: Math.min(99, ...texts.map(size)),
    out: Math.max(0, ...texts.map((each) => each.getBoundingClientRect().right - box.right)),
  };
})"""

# The colours of all text but black and white, which stand on pictures, with the page's.
COLOURS = """() => {
  const rgb = (text) => text.match(/[\\d.]+/g).slice(0, 3).map(Number);
  const parts = [...document.querySelectorAll('.course-figure :is(text, tspan)')];
  const words = parts.filter((each) => each.textContent.trim());
  const fills = new Set(words.map((each) => getComputedStyle(each).fill));
  const page = getComputedStyle(document.documentElement).getPropertyValue('--course-page').trim();
  return { page, fills: [...fills].map(rgb) };
}"""


def luminance(rgb):
    c = np.array(rgb) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ (0.2126, 0.7152, 0.0722)


def contrast(a, b):
    dark, light = sorted(0.05 + luminance(c) for c in (a, b))
    return light / dark


@pytest.fixture(scope="module")
def page_of_figures(tmp_path_factory):
    """A page with a figure in two layouts, one that is the same everywhere, and a picture in a file."""
    course_figures = pytest.importorskip("course_figures")
    folder = tmp_path_factory.mktemp("figures")
    with plt.rc_context():
        viz.use_style()
        figure, axes = plt.subplots(1, 3, figsize=(9, 3))
        for k, ax in enumerate(axes):
            viz.show_image(torch.rand(3, 40, 60, generator=torch.manual_seed(k)), ax=ax, title=f"panel {k}")
        small, ax = plt.subplots(figsize=(3, 2))
        ax.plot([1, 3, 2])
        drawn = [
            course_figures.figure_html(figure_svg(each), alt, folder / "img", "img/")
            for each, alt in [(figure, "three panels"), (small, "a line")]
        ]
    plt.close("all")
    Image.fromarray(np.zeros((150, 200, 3), np.uint8)).save(folder / "file.png")
    drawn.append('<img src="file.png" alt="a black picture">')
    caption = '<figcaption><span class="caption-number">Fig. 6.{} </span>Words.</figcaption>'
    body = "".join(
        f'<figure><div class="cell_output">{each}</div>{caption.format(k)}</figure>'
        for k, each in enumerate(drawn, 1)
    )
    css = "".join((STATIC / name).read_text(encoding="utf-8") for name in ("course.css", "figures.css"))
    script = (ROOT / "tools" / "ext" / "figures.js").read_text(encoding="utf-8")
    path = folder / "page.html"
    path.write_text(
        '<!doctype html><html lang="en" data-theme="light"><head><meta charset="utf-8"><title>Figures</title>'
        '<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">'
        f"<style>{css} body {{ margin: 16px }}</style></head><body><main class='bd-article'><h1>Figures</h1>"
        f"{body}</main><script>{script}</script></body></html>",
        encoding="utf-8",
    )
    return path


def enlarged(page, is_open=True):
    """Wait until the window is open, or closed: on a busy machine the effect comes after the key."""
    state = "document.querySelector('dialog.figure-large')?.open ?? false"
    page.wait_for_function(f"({state}) === {str(is_open).lower()}")


def test_a_figure_opened_before_the_last_one_has_gone_back_is_there(page_of_figures, open_path):
    """The event that puts a picture back comes after the window has closed: the next may be open by then."""
    opened = open_path(page_of_figures)
    page = opened.page
    pictures = "all => all.map(each => each.querySelectorAll('svg, img').length)"
    before = page.eval_on_selector_all("figure", pictures)
    page.evaluate("""() => {
        const [first, second] = document.querySelectorAll(".figure-open");
        first.click();
        document.querySelector("dialog.figure-large").close();
        second.click();
    }""")
    settle(opened)
    assert page.locator(".figure-stage > :is(svg, img)").count() == 1
    assert page.locator("dialog.figure-large").get_attribute("aria-label") == "Enlarged: figure 6.2"
    page.keyboard.press("Escape")
    enlarged(page, False)
    page.wait_for_function("!document.querySelector('.figure-stage').hasChildNodes()")
    assert page.eval_on_selector_all("figure", pictures) == before


def test_a_figure_opens_by_click_and_by_key_and_goes_back_to_its_place(page_of_figures, open_path):
    opened = open_path(page_of_figures)
    page = opened.page
    before = page.eval_on_selector_all("figure", "all => all.map(each => each.outerHTML)")
    for open_it in (
        lambda n: page.locator(".course-figure > svg[data-layout=wide], .figure-frame > img").nth(n).click(),
        lambda n: (page.locator(".figure-open").nth(n).focus(), page.keyboard.press("Enter")),
    ):
        for n in range(3):
            open_it(n)
            enlarged(page)
            assert page.locator(".figure-stage > :is(svg, img)").count() == 1
            assert (
                page.locator("dialog.figure-large").get_attribute("aria-label")
                == f"Enlarged: figure 6.{n + 1}"
            )
            page.keyboard.press("Escape")
            enlarged(page, False)
            page.wait_for_function("document.activeElement.className === 'figure-open'")
            focused = page.evaluate("document.activeElement.getAttribute('aria-label')")
            assert focused == f"Enlarge figure 6.{n + 1}"
    # The event that puts the picture back comes after the dialog has closed and the focus has moved.
    page.wait_for_function(
        """before => [...document.querySelectorAll('figure')]
            .every((each, n) => each.outerHTML.replaceAll(' style=""', '') === before[n])""",
        arg=before,
    )
    opened.assert_quiet()


def test_the_enlarged_figure_fills_the_window_and_zooms(page_of_figures, open_path):
    opened = open_path(page_of_figures)
    page = opened.page
    page.locator(".figure-open").first.click()
    first = page.locator(".figure-stage > svg").evaluate("each => each.getBoundingClientRect().width")
    assert first > 1200

    def wait_for(width):
        now = "document.querySelector('.figure-stage > svg').getBoundingClientRect().width"
        page.wait_for_function(f"Math.abs({now} / {width} - 1) < 0.01")

    page.keyboard.press("+")
    wait_for(1.4 * first)
    for _ in range(2):
        page.get_by_role("button", name="Smaller").click()
    wait_for(first / 1.4)
    page.get_by_role("button", name="Close").click()
    enlarged(page, False)


def test_on_a_phone_a_tap_shows_the_wide_layout_to_be_moved_about(page_of_figures, open_path):
    opened = open_path(page_of_figures, width=390, height=844, touch=True)
    page = opened.page
    assert [each["layout"] for each in page.evaluate(SEEN)] == ["narrow", "wide"]
    page.locator(".course-figure > svg[data-layout=narrow]").tap()
    enlarged(page)
    stage = page.locator(".figure-stage")
    assert stage.locator("svg").get_attribute("data-layout") == "wide"
    assert stage.evaluate("each => each.scrollWidth > each.clientWidth")
    assert min(page.locator(".figure-bar button").evaluate_all("all => all.map(b => b.offsetHeight)")) >= 24
    page.keyboard.press("Escape")
    page.wait_for_function("document.activeElement.className === 'figure-open'")
    assert [each["count"] for each in page.evaluate(SEEN)] == [1, 1]


@pytest.mark.parametrize("width, layout", [(320, "narrow"), (390, "narrow"), (768, "wide"), (1280, "wide")])
def test_the_layout_is_that_of_the_column(page_of_figures, open_path, width, layout):
    opened = open_path(page_of_figures, width=width)
    seen = opened.page.evaluate(SEEN)
    assert [each["layout"] for each in seen] == [layout, "wide"] and {each["count"] for each in seen} == {1}
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width


def test_print_has_the_wide_layout_in_the_light_page_s_colours(page_of_figures, open_path):
    opened = open_path(page_of_figures, width=390)
    opened.page.evaluate("document.documentElement.dataset.theme = 'dark'")
    opened.page.emulate_media(media="print")
    assert [each["layout"] for each in opened.page.evaluate(SEEN)] == ["wide", "wide"]
    assert opened.page.locator(".figure-open").first.is_hidden()
    assert (
        opened.page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--figure-0')")
        == "#0073d6"
    )


# ---- Every figure of the built book -----------------------------------------------------------------------


@pytest.fixture(scope="module", params=CHAPTERS)
def chapter(request, tabs):
    """A chapter's page, light: opened once for the tests of its figures."""
    tab = tabs.open(HTML / request.param, width=390, height=844)
    yield tab.opened
    tabs.close(tab, keep=True)


def test_figures_of_a_chapter_can_be_read(chapter):
    page = chapter.page
    for width in (390, 1280):
        page.set_viewport_size({"width": width, "height": 844})
        for number, figure in enumerate(page.evaluate(SEEN)):
            assert figure["count"] == 1 and figure["smallest"] >= 11, (width, number, figure)
            assert figure["width"] <= figure["room"] + 0.5 and figure["out"] < 12, (width, number, figure)
    page.add_style_tag(content="* { transition: none !important }")  # or colours are seen half-way
    for theme in ("dark", "light"):
        page.evaluate("theme => Object.assign(document.documentElement.dataset, {mode: theme, theme})", theme)
        found = page.evaluate(COLOURS)
        ground = [int(found["page"][k : k + 2], 16) for k in (1, 3, 5)]
        pale = [
            c for c in found["fills"] if c not in ([0, 0, 0], [255, 255, 255]) and contrast(c, ground) < 4.5
        ]
        assert pale == [], theme
    chapter.assert_quiet()


def test_a_chapter_s_figures_have_words_captions_and_a_button(chapter):
    page = chapter.page
    page.set_viewport_size({"width": 1280, "height": 844})
    figures = page.evaluate(
        """() => [...document.querySelectorAll('.course-figure')].map((frame) => [
          frame.querySelector('svg').getAttribute('aria-label').split(' ').length,
          frame.closest('figure')?.querySelector('figcaption')?.textContent.length ?? 0,
          frame.querySelector('.figure-open').getAttribute('aria-label'),
        ])"""
    )
    assert figures and all(words > 5 and caption > 20 for words, caption, _ in figures), figures
    page.locator(".figure-open").first.focus()
    page.keyboard.press("Enter")
    enlarged(page)
    page.keyboard.press("Escape")
    enlarged(page, False)  # among the scripts of a page as well
    labels = [label for _, _, label in figures]
    assert len(set(labels)) == len(labels) and all(label.startswith("Enlarge figure ") for label in labels)


@pytest.mark.parametrize("name", SOLUTIONS)
def test_a_solution_s_pictures_are_described(name, open_path):
    opened = open_path(HTML / name)
    alts = opened.page.eval_on_selector_all(".cell_output img", "all => all.map(each => each.alt)")
    assert alts and all(len(alt.split()) >= 6 for alt in alts), alts
    opened.page.locator(".cell_output .figure-frame > img").first.click()
    enlarged(opened.page)


def test_a_lab_s_expected_picture_is_enlarged_by_a_tap_and_shown_alone(open_path):
    lab = HTML / "labs" / "06_dilation.html"
    opened = open_path(lab, width=390, height=844, touch=True)
    box = opened.page.locator("details:has(.figure-frame)").first
    box.locator("summary").tap()
    box.locator(".figure-frame > img").tap()
    enlarged(opened.page)
    opened.page.keyboard.press("Escape")
    enlarged(opened.page, False)
    box.evaluate("(details) => { details.open = false; }")
    opened.page.goto(f"{lab.as_uri()}?slide=picture-1")
    opened.page.wait_for_function("document.querySelector('.slide-shown img')?.offsetWidth > 300")
