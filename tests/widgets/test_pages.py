"""Every page of the built book in a browser: alive, quiet, accessible, and whole at every width."""

from __future__ import annotations

import os
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


def test_the_search_finds_a_word(open_path):
    opened = open_path(HTML / "search.html")
    opened.page.goto((HTML / "search.html").as_uri() + "?q=RoIPool")
    opened.page.wait_for_selector("#search-results a[href*='13_roi_align']", timeout=20_000)
    opened.assert_quiet()


def test_no_page_names_an_address_it_would_load():
    """Links may lead outside; scripts, styles, images and fonts may not come from there."""
    import re

    loads = re.compile(
        r'<(?:script|img|iframe|source)[^>]+src="https?://|<link[^>]+rel="(?:stylesheet|preload|icon)"[^>]+href="https?://'
    )
    guilty = [name for name in PAGES if loads.search((HTML / name).read_text(encoding="utf-8"))]
    assert guilty == []
