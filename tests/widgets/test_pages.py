"""Every page of the built book in a browser: alive, quiet, accessible, and whole at every width."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

HTML = Path(__file__).parents[2] / "_build" / "html"
PAGES = sorted(p.relative_to(HTML).as_posix() for p in HTML.rglob("*.html") if "_static" not in p.parts)

COLOURS = ("color-contrast", "link-in-text-block")  # axe's rules that another theme can break

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
        timeout=20_000,
    )
    opened.page.wait_for_function(
        "() => !window.MathJax?.startup?.promise || window.MathJax.startup.promise.then(() => true)",
        timeout=20_000,
    )


def faults(opened, rules=()):
    """What axe finds serious. Without its preloading, which itself asks for files again and fails from ``file://``."""
    from axe_playwright_python.sync_playwright import Axe

    options = {"preload": False} | ({"runOnly": {"type": "rule", "values": list(rules)}} if rules else {})
    found = Axe().run(opened.page, options=options).response["violations"]
    return [
        f"{v['id']}: {node['target']} {node['html'][:120]}"
        for v in found
        if v["impact"] in ("serious", "critical")
        for node in v["nodes"]
    ]


def dead_links(opened):
    ids: dict[Path, str] = {}
    dead = []
    for link in set(
        opened.page.eval_on_selector_all("a[href]:not(.figure-state)", "nodes => nodes.map(n => n.href)")
    ):
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


@pytest.mark.parametrize("name", PAGES)
def test_page(name, open_path):
    """One visit: quiet, no dead link or picture, accessible in light and dark, fit for a phone."""
    opened = open_path(HTML / name)
    if name == "index.html":  # only sends the reader on
        opened.page.wait_for_url("**/book/index.html")
    settle(opened)
    opened.assert_quiet()
    assert dead_links(opened) == []
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
    opened.page.set_viewport_size({"width": 390, "height": 844})
    opened.page.wait_for_timeout(150)
    widths = opened.page.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert widths[0] <= widths[1], "the page scrolls sideways"
    opened.assert_quiet()


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
        if 'http-equiv="Refresh"' not in text:
            counts = [
                len(re.findall(rf'<button[^>]*class="[^"]*\b{kind}-toggle\b', text))
                for kind in ("primary", "secondary")
            ]
            assert counts[0] == 1 and counts[1] <= 1, name


def test_the_search_finds_a_word(open_path):
    opened = open_path(HTML / "search.html")
    opened.page.goto((HTML / "search.html").as_uri() + "?q=RoIPool")
    opened.page.wait_for_selector("#search-results a[href*='13_roi_align']", timeout=20_000)
    opened.assert_quiet()


def test_no_page_names_an_address_it_would_load():
    """Links may lead outside; scripts, styles, images and fonts may not come from there."""
    loads = re.compile(
        r'<(?:script|img|iframe|source)[^>]+src="https?://|<link[^>]+rel="(?:stylesheet|preload|icon)"[^>]+href="https?://'
    )
    guilty = [name for name in PAGES if loads.search((HTML / name).read_text(encoding="utf-8"))]
    assert guilty == []
