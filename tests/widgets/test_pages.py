"""Every page of the built book in a browser: alive, quiet, accessible, and whole at every width."""

from __future__ import annotations

import functools
import http.server
import os
import re
import sys
import threading
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup

from .kit import COLOURS, PHONE, faults, layout_shift

sys.path.insert(0, str(Path(__file__).parents[2] / "tools" / "ext"))
sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))

import course_pages

import book

HTML = Path(__file__).parents[2] / "_build" / "html"
PAGES = sorted(p.relative_to(HTML).as_posix() for p in HTML.rglob("*.html") if "_static" not in p.parts)

# Instructor's pages are text of one form: some are opened, and the links of all are read in the files.
TAUGHT = [name for name in PAGES if name.startswith("book/teaching/")]
SHORT = ("index", "exam", "07_skips")
OPENED = [name for name in PAGES if name not in TAUGHT or Path(name).stem in SHORT]

if not PAGES:
    message = "the book is not built: run `make book` first"
    if os.environ.get("CI"):
        raise RuntimeError(message)
    pytest.skip(message, allow_module_level=True)


def settle(opened):
    opened.page.wait_for_load_state("load")
    opened.page.wait_for_function(
        "() => [...document.querySelectorAll('.segcore-widget[data-widget]')]"
        ".every(w => w.dataset.ready === 'true')",
    )
    opened.page.wait_for_function(
        "() => !window.courseFormulas || window.courseFormulas.then(() => true)",
    )


LIGHT_ENOUGH = 1_500_000  # bytes that a page loads, MathJax apart
STEADY_ENOUGH = 0.05  # layout shift from opening to rest


def loaded(opened):
    """Bytes of all that the browser loaded for the page, by the name of the file; MathJax left out."""
    paths = {Path(unquote(urlsplit(url).path)) for url in opened.loaded if url.startswith("file:")}
    return {path.name: path.stat().st_size for path in paths if "mathjax" not in path.parts}


# What is cut: wider than the box that clips it, where neither a hint nor a key leads to the rest.
CUT = """() => [...document.querySelectorAll(
  ".bd-article :is(pre, div.math, .pst-scrollable-table-container, div.cell_output)")]
  .filter((e) => !e.closest(".segcore-widget, details:not([open])"))
  .filter((e) => e.clientWidth && e.scrollWidth > e.clientWidth + 1)
  .filter((e) => !(e.dataset.scrolls && e.tabIndex === 0 && getComputedStyle(e).maskImage !== "none"))
  .map((e) => `${e.tagName} ${e.className}: ${e.scrollWidth} in ${e.clientWidth}`)"""

CUT_NEXT = """() => [...document.querySelectorAll(".prev-next-area a")]
  .filter((e) => e.scrollWidth > e.clientWidth + 1)
  .map((e) => `${e.innerText}: ${e.scrollWidth} in ${e.clientWidth}`)"""

CUT_IN_PRINT = """() => [...document.querySelectorAll(".bd-article :is(pre, div.math, table, h1, p, img)")]
  .filter((e) => !e.closest(".segcore-widget, details:not([open])") && e.clientWidth)
  .filter((e) => e.scrollWidth > e.clientWidth + 1
    || e.getBoundingClientRect().right > innerWidth + 1)
  .map((e) => `${e.tagName} ${e.className}: ${e.scrollWidth} in ${e.clientWidth}`)"""

# Displayed formulas are drawn smaller where they would not fit, to three quarters of the text at the least.
TINY = """() => [...document.querySelectorAll(".bd-article div.math mjx-container")]
  .filter((e) => e.clientWidth && !e.closest("details:not([open])"))
  .map((e) => [parseFloat(getComputedStyle(e).fontSize)
    / parseFloat(getComputedStyle(document.querySelector(".bd-article")).fontSize), e.closest("div").id])
  .filter(([share]) => share < 0.74)"""

FRAMES = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done())))"

HEADING = """() => {
  const h1 = document.querySelector("h1");
  if (!h1) return 0;
  h1.style.overflowWrap = "normal";
  const over = h1.scrollWidth - h1.clientWidth;
  h1.style.overflowWrap = "";
  return over;
}"""


def dead_links(opened):
    ids: dict[Path, str] = {}
    dead = []
    hrefs = "nodes => nodes.map(n => new URL(n.getAttribute('href'), n.baseURI).href)"  # SVG's, too
    for link in set(opened.page.eval_on_selector_all("a[href]:not(.figure-state)", hrefs)):
        parts = urlsplit(link)
        if parts.scheme != "file":
            continue
        target = Path(unquote(parts.path))
        if not target.is_file():
            dead.append(link)
        elif parts.fragment and target.suffix == ".html":
            text = ids.setdefault(target, target.read_text(encoding="utf-8"))
            if f'id="{unquote(parts.fragment)}"' not in text:
                dead.append(link)
    return dead


@pytest.mark.parametrize("name", OPENED)
def test_page(name, open_path):
    """One visit: quiet, light, steady, no dead link or picture, accessible in light and dark, whole in print.

    And on the narrowest phone: nothing wider than the page, nothing cut without a hint, no word of the title
    broken.
    """
    opened = open_path(HTML / name)
    if name == "index.html":  # only sends the reader on
        opened.page.wait_for_url("**/book/index.html")
    settle(opened)
    opened.assert_quiet()
    assert (HTML / name).read_text(encoding="utf-8").count("const kit_figure =") <= 1, "the kit stands twice"
    weights = loaded(opened)
    assert len(weights) > 3 or name == "404.html", "the weighing sees nothing"
    assert sum(weights.values()) <= LIGHT_ENOUGH, sorted(weights.items(), key=lambda item: -item[1])[:6]
    assert layout_shift(opened) <= STEADY_ENOUGH
    assert opened.page.evaluate(CUT) == [], "cut at 1280 without a hint"
    assert opened.page.evaluate(TINY) == [], "too small at 1280"
    assert dead_links(opened) == []
    formulas = opened.page.locator("mjx-container")
    assert opened.page.locator("mjx-container[tabindex='0']").count() == 0, "a formula is a Tab stop"
    assert formulas.locator("mjx-assistive-mml").count() == formulas.count(), "a formula has no words"
    images = opened.page.eval_on_selector_all(
        "main img", "nodes => nodes.map(n => [n.src.slice(0, 80), n.naturalWidth, n.hasAttribute('alt')])"
    )
    assert [image for image in images if image[1] == 0 or not image[2]] == [], (
        "broken, or without alternative text"
    )
    assert faults(opened) == [], "in light"
    opened.page.add_style_tag(content="* { transition: none !important }")  # or axe sees colours half-way
    opened.page.emulate_media(color_scheme="dark")
    opened.page.evaluate("Object.assign(document.documentElement.dataset, {mode: 'dark', theme: 'dark'})")
    assert faults(opened, COLOURS) == [], "in dark"
    opened.page.set_viewport_size({"width": 680, "height": 900})  # a sheet of A4 between its margins
    opened.page.emulate_media(media="print")
    opened.page.wait_for_function("getComputedStyle(document.body).backgroundColor === 'rgb(255, 255, 255)'")
    assert opened.page.evaluate(CUT_IN_PRINT) == [], "cut in print"
    opened.page.emulate_media(media="screen")
    opened.page.set_viewport_size({"width": 320, "height": 700})
    opened.page.evaluate(FRAMES)
    widths = opened.page.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert widths[0] <= widths[1], "the page scrolls sideways"
    assert opened.page.evaluate(HEADING) <= 1, "a word of the title breaks"
    assert opened.page.evaluate(CUT) == [], "cut on a phone without a hint"
    assert opened.page.evaluate(CUT_NEXT) == [], "titles of the pages before and after are cut"
    assert opened.page.evaluate(TINY) == [], "too small on a phone"
    opened.assert_quiet()


@pytest.mark.parametrize("name", [page for page in PAGES if re.match(r"book/(\d|index)", page)])
def test_steady_on_a_phone(name, open_path):
    """From opening to rest, and while a thumb goes through the page: what waits below keeps its place."""
    opened = open_path(HTML / name, **PHONE, reduced_motion="no-preference")
    settle(opened)
    opened.page.evaluate(THROUGH)
    assert layout_shift(opened) <= STEADY_ENOUGH
    assert opened.page.evaluate("document.documentElement.scrollWidth") == PHONE["width"], "scrolls sideways"
    opened.page.evaluate("scrollTo(0, 0)")
    opened.page.evaluate(FRAMES)
    opened.page.evaluate("document.querySelector('.bd-article').style.paddingTop = '300px'")
    opened.page.wait_for_function("window.kitShift > 0.05")  # or the measure sees nothing


def test_no_link_of_an_instructors_page_is_dead():
    assert len(TAUGHT) == 20
    ids: dict[Path, str] = {}
    for name in TAUGHT:
        page = BeautifulSoup((HTML / name).read_text(encoding="utf-8"), "html.parser")
        assert page.find("h1") and not page.select("main img:not([alt])")
        links = page.select("article a[href]")
        assert len(links) >= 3, name
        for link in links:
            to = urlsplit(link["href"])
            if to.scheme:
                continue
            target = (HTML / name).parent.joinpath(unquote(to.path)).resolve() if to.path else HTML / name
            assert target.is_file(), f"{name} leads to {link['href']}"
            if "figure-state" in link.get("class", []):
                slug = to.fragment.partition(":")[0]
                wanted = f'data-widget="{slug}"'
            else:
                wanted = f'id="{unquote(to.fragment)}"' if to.fragment else ""
            text = ids.setdefault(target, target.read_text(encoding="utf-8"))
            assert wanted in text, f"{name} leads to {link['href']}"


THROUGH = """async () => {
  for (let y = 0; y < document.documentElement.scrollHeight; y += innerHeight) {
    scrollTo(0, y);
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  }
}"""


CHAPTER, NEXT = "book/04_convolutionalization.html", "05_receptive_fields.html"


@pytest.mark.parametrize(("width", "touch"), [(390, True), (768, True), (1280, False)])
def test_menu_and_contents(width, touch, open_path):
    """By finger on a phone and a tablet, by mouse on a wide page: to the next chapter, to a section of it."""
    page = (opened := open_path(HTML / CHAPTER, width=width, touch=touch)).page
    press = page.tap if touch else page.click
    menu, contents = page.locator(".primary-toggle"), page.locator(".secondary-toggle")
    narrow = width < 960
    assert menu.get_attribute("aria-expanded") == ("false" if narrow else "true")
    press(".primary-toggle")  # opens a drawer, or puts the sidebar away
    assert menu.get_attribute("aria-expanded") == ("true" if narrow else "false")
    link = page.locator(f"nav.bd-links a[href$='{NEXT}']").first
    assert link.is_visible() == narrow
    if not narrow:
        press(".primary-toggle")
    press(f"nav.bd-links a[href$='{NEXT}']")
    page.wait_for_url(f"**/{NEXT}")
    settle(opened)
    if narrow:
        assert contents.get_attribute("aria-expanded") == "false"
        press(".secondary-toggle")
        assert contents.get_attribute("aria-expanded") == "true"
    section = page.locator("#pst-page-toc-nav a").nth(2)
    name = section.get_attribute("href").removeprefix("#")
    (section.tap if touch else section.click)()
    page.wait_for_function("name => location.hash === '#' + name", arg=name)
    assert page.locator("dialog[open]").count() == 0, "the drawer lies over the section"
    heading = page.locator(f"[id='{name}'] > :is(h2, h3)")
    page.wait_for_function(
        "h => h.getBoundingClientRect().top < innerHeight / 3", arg=heading.element_handle()
    )
    header = page.locator(".bd-header-article").bounding_box()
    assert heading.bounding_box()["y"] >= header["y"] + header["height"] - 1, (
        "the header lies over the heading"
    )
    opened.assert_quiet()


def test_menu_and_contents_by_key(open_path):
    """Enter and Space open, the focus goes in and stays in, Escape closes, the focus comes back."""
    page = (opened := open_path(HTML / CHAPTER, width=390)).page
    for toggle, key in ((".primary-toggle", "Enter"), (".secondary-toggle", "Space")):
        button = page.locator(toggle)
        button.focus()
        page.keyboard.press(key)
        inside = "() => document.querySelector('dialog[open]')?.contains(document.activeElement)"
        assert page.evaluate(inside), "the focus is left behind"
        page.keyboard.press("Tab")
        assert page.evaluate("() => document.activeElement.tagName") == "A"
        assert page.evaluate(inside)
        page.keyboard.press("Escape")
        assert page.locator("dialog[open]").count() == 0
        assert page.evaluate("toggle => document.activeElement.matches(toggle)", toggle)
        assert button.get_attribute("aria-expanded") == "false"
    opened.assert_quiet()


def test_each_page_has_one_menu_button():
    """Two of them, one hidden, was how both were dead: what looks for "the" button found the hidden one."""
    for name in PAGES:
        text = (HTML / name).read_text(encoding="utf-8")
        if 'http-equiv="Refresh"' not in text and name != "404.html":
            counts = [
                len(re.findall(rf'<button[^>]*class="[^"]*\b{kind}-toggle\b', text))
                for kind in ("primary", "secondary")
            ]
            assert counts[0] == 1 and counts[1] <= 1, name


# The colours' contrast as WCAG reckons it, from what the browser computed.
CONTRAST = """([of, on]) => {
  const light = (colour) => {
    const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map((c) => {
      const v = c / 255;
      return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const style = (selector) => getComputedStyle(document.querySelector(selector));
  const [a, b] = [light(style(of).color), light(style(on).backgroundColor)].sort((x, y) => y - x);
  return (a + 0.05) / (b + 0.05);
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_first_key_leads_past_the_menu(theme, open_path):
    page = (opened := open_path(HTML / "book/glossary.html", theme=theme)).page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('#pst-skip-link') !== null")
    assert page.evaluate(CONTRAST, ["#pst-skip-link a", "#pst-skip-link"]) >= 4.5
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.querySelector('main').contains(document.activeElement)")
    opened.assert_quiet()


def test_a_dark_page_prints_light_and_is_dark_again(open_path):
    """And its solutions stand open, its widgets are still pictures, and no line asks paper to run scripts."""
    page = (opened := open_path(HTML / CHAPTER, theme="dark")).page
    settle(opened)
    theme = "document.documentElement.dataset.theme"
    folded = page.locator("details.admonition:not(.hide, [open])")
    count = folded.count()
    assert page.evaluate(theme) == "dark" and count > 0
    for _ in range(2):  # some browsers say it twice, by the event and by the medium
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate(theme) == "light" and folded.count() == 0
    page.emulate_media(media="print")
    assert not any(code.is_visible() for code in page.locator("details.hide").all()), "folded code is printed"
    still = page.locator(".segcore-still img").first
    still.wait_for(state="visible")
    assert still.bounding_box()["width"] > 400
    assert not page.locator(".segcore-stage").first.is_visible()
    assert not any(line.is_visible() for line in page.locator(".segcore-fallback").all())
    page.emulate_media(media="screen")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    page.wait_for_function(f"{theme} === 'dark'")
    assert folded.count() == count


def test_a_lab_prints_its_expected_pictures(open_path):
    page = (opened := open_path(HTML / CHAPTER.replace("book", "labs"))).page
    settle(opened)
    pictures = page.locator("details > :is(img, .figure-frame)")
    count = pictures.count()
    assert count > 0 and not any(picture.is_visible() for picture in pictures.all())
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert all(picture.is_visible() for picture in pictures.all())
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert not any(picture.is_visible() for picture in pictures.all())


def test_where_storage_is_forbidden(open_path):
    """Menu and colours work, no script complains, and the choice lasts as long as the page."""
    page = (opened := open_path(HTML / CHAPTER, storage=False)).page
    settle(opened)
    page.click(".theme-switch-button")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.click(".primary-toggle")
    assert not page.locator("#pst-primary-sidebar").is_visible()
    opened.assert_quiet()


def test_without_scripts(open_path):
    """On a phone: light, the menu below the text where its link leads, no button that does nothing."""
    page = open_path(HTML / CHAPTER, width=390, height=844, scripts=False).page
    assert page.locator("html").get_attribute("data-theme") == "light"
    for dead in (".primary-toggle", ".secondary-toggle", ".theme-switch-button", ".search-button__button"):
        assert not any(button.is_visible() for button in page.locator(dead).all()), dead
    link = page.locator(f"nav.bd-links a[href$='{NEXT}']").first
    article, menu = page.locator(".bd-article").bounding_box(), link.bounding_box()
    assert menu["y"] > article["y"] + article["height"] and menu["x"] >= 0
    page.click("a[href='#pst-primary-sidebar']")
    link.click()
    page.wait_for_url(f"**/{NEXT}*")


def test_a_lost_reader_finds_back(browser):
    """A plain host serves 404.html in the place of what is missing, at any depth: its links still lead on."""

    class Host(book.Pages):
        def translate_path(self, path):
            return super().translate_path(path.removeprefix("/a/course"))

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Host, directory=str(HTML))
    ) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        context = browser.new_context()
        page = context.new_page()
        root = f"http://127.0.0.1:{server.server_port}/a/course"
        page.goto(f"{root}/labs/deep/er/missing.html")
        page.wait_for_function("document.baseURI.endsWith('/a/course/')")
        page.click("a[href$='13_roi_align.html']")
        page.wait_for_url(f"{root}/book/13_roi_align.html")
        context.close()
        server.shutdown()


def test_each_page_says_what_it_is():
    """A title of its own, a description where there is text, the licence; no address that was not given."""
    titles: dict[str, str] = {}
    for name in PAGES:
        text = (HTML / name).read_text(encoding="utf-8")
        if 'http-equiv="Refresh"' in text:
            continue
        title = re.search(r"<title>(.*?)</title>", text)[1]
        assert title not in titles, f"{name} and {titles[title]} have one title: {title}"
        titles[title] = name
        if name == "404.html":
            continue
        assert re.search(r'<meta name="description" content="[^"]{40,}"', text), name
        assert 'property="og:title" content="' in text, name
        assert ("og:image" in text) == ((HTML / "sitemap.xml").exists()), name
        assert re.search(r'class="bd-footer-content".*CC BY 4\.0', text, re.S), name
        assert "not set" not in title


def test_the_search_finds_a_word(open_path):
    opened = open_path(HTML / "search.html")
    opened.page.goto((HTML / "search.html").as_uri() + "?q=RoIPool")
    opened.page.wait_for_selector("#search-results a[href*='13_roi_align']")
    opened.assert_quiet()


def test_no_page_has_what_the_style_left_out():
    """Rules for parts of Bootstrap are dropped (`course_pages.UNUSED`); a page or script that used one would
    be without its style.
    """
    dropped = re.compile(rf"(?:{'|'.join(course_pages.UNUSED)})(?![a-z])")
    for name in PAGES:
        classes = re.findall(r'class="([^"]*)"', (HTML / name).read_text(encoding="utf-8"))
        used = {each for text in classes for each in text.split() if dropped.match(each)}
        assert not used, f"{name}: keep the rules for {used}"
    style = (HTML / "_static" / "styles" / "pydata-sphinx-theme.css").read_text(encoding="utf-8")
    assert ".carousel" not in style and ".bd-article" in style
    assert style.count("{") == style.count("}")


def test_no_page_names_an_address_it_would_load():
    """Links may lead outside; scripts, styles, images and fonts may not come from there."""
    loads = re.compile(
        r'<(?:script|img|iframe|source)[^>]+src="https?://|<link[^>]+rel="(?:stylesheet|preload|icon)"[^>]+href="https?://'
    )
    guilty = [name for name in PAGES if loads.search((HTML / name).read_text(encoding="utf-8"))]
    assert guilty == []
