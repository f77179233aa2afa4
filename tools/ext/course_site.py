"""What others see of the book: descriptions, a card to share, a page for lost readers, a site map.

Cards and site maps want whole addresses, and the book does not know where it will stand. It is told so by
``html: {baseurl: ...}`` in ``_config.yml`` or by the environment variable ``BOOK_URL``; the workflow that
publishes the book sets it. Without it there are descriptions and titles, but no addresses, no picture and
no ``sitemap.xml``: none is better than one that leads nowhere. ``404.html`` needs no address. A host serves
it in the place of any page that is missing, at whatever depth, so it holds its own style and finds the
book's root.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from html import escape, unescape
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape as escape_xml

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config

CARD = ("_static/card.png", 1200, 630, "A rendered scene, half photograph, half label map, beside the title.")
LONGEST = 200  # characters of a description; search engines show some 160
_FIXED = {
    "search": "Search the course: chapters, labs and the glossary.",
    "genindex": "All terms of the course, in the order of the alphabet.",
    "book/glossary": "Every technical term of the course, in two or three plain sentences.",
}
_SYMBOLS = {r"\times": "×", r"\to": "→", r"\le": "≤", r"\ge": "≥", r"\cdot": "·", r"\sigma": "σ"}


def plain(paragraph: nodes.Element) -> str:
    """A paragraph's words. Formulas are read where they are plain; one that is not becomes an ellipsis."""
    words = []
    for part in paragraph.children:
        text = part.astext()
        if isinstance(part, nodes.math):
            for name, symbol in _SYMBOLS.items():
                text = text.replace(name, symbol)
            text = "…" if re.search(r"[\\^_{}]", text) else text
        words.append(text)
    return re.sub(r"\s+", " ", "".join(words)).strip()


def shortened(text: str, longest: int = LONGEST) -> str:
    """As many whole sentences as fit; where they say too little, as many words.

    Example:
        >>> shortened("One is long. Two is longer.", 15)
        'One is long.'
        >>> shortened("No. Sentence fits here", 15)
        'No. Sentence…'
    """
    if len(text) <= longest:
        return text
    ends = [found.end() for found in re.finditer(r"[.?!](?= )", text[: longest + 1])]
    if ends and ends[-1] >= 0.3 * longest:
        return text[: ends[-1]]
    return text[:longest].rsplit(" ", 1)[0].rstrip(",;:") + "…"


def description(doctree: nodes.document) -> str:
    """The first words of a page that stand for themselves: no note, no figure, no list."""
    for paragraph in doctree.findall(nodes.paragraph):
        if isinstance(paragraph.parent, (nodes.section, nodes.document)):
            text = plain(paragraph)
            if len(text) >= 40:
                return shortened(text)
    return ""


def tags(app: Sphinx, pagename: str, title: str, words: str) -> str:
    """The lines of the head that say what the page is."""
    site, base = app.config.html_title, app.config.html_baseurl
    named = [("description", words)] if words else []
    root = pagename == app.config.root_doc
    properties = [
        ("og:site_name", site),
        ("og:type", "website" if root else "article"),
        ("og:title", site if root else title or pagename.capitalize()),
        *([("og:description", words)] if words else []),
    ]
    if base:
        path, width, height, text = CARD
        properties += [
            ("og:url", base + app.builder.get_target_uri(pagename)),
            ("og:image", base + path),
            ("og:image:width", str(width)),
            ("og:image:height", str(height)),
            ("og:image:alt", text),
        ]
        named.append(("twitter:card", "summary_large_image"))
    lines = [f'<meta name="{name}" content="{escape(text)}" />' for name, text in named]
    lines += [f'<meta property="{name}" content="{escape(text)}" />' for name, text in properties]
    return "".join(f"\n    {line}" for line in lines)


def _describe(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    title = unescape(re.sub(r"<[^>]+>", "", context.get("title", "")))
    words = _FIXED.get(pagename) or (description(doctree) if doctree else "")
    context["course_meta"] = tags(app, pagename, title, words)


def _take_address(app: Sphinx, config: Config) -> None:
    base = os.environ.get("BOOK_URL") or config.html_baseurl
    config.html_baseurl = base.rstrip("/") + "/" if base else ""


def _pages(app: Sphinx) -> list[tuple[str, str]]:
    """Address and title of each page of the book proper, in its order; what hangs on another is left out."""
    order = [app.config.root_doc, *app.env.collect_relations()]
    names = [name for name in dict.fromkeys(order) if name.startswith("book/") and name.count("/") == 1]
    numbers = {name: app.env.toc_secnumbers.get(name, {}).get("") or () for name in names}
    titles = {name: " ".join([*map(str, numbers[name]), app.env.titles[name].astext()]) for name in names}
    return [(app.builder.get_target_uri(name), title) for name, title in titles.items()]


def _lost(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    yield "404", {"title": "No such page", "pages": _pages(app), "base": app.config.html_baseurl}, "404.html"


def sitemap(addresses: list[str]) -> str:
    """The text of ``sitemap.xml``."""
    lines = [f"  <url><loc>{escape_xml(address)}</loc></url>" for address in addresses]
    head = (
        '<?xml version="1.0" encoding="utf-8"?>\n<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">'
    )
    return "\n".join([head, *lines, "</urlset>", ""])


def _write_sitemap(app: Sphinx, error: Exception | None) -> None:
    if error is not None or app.builder.format != "html":
        return
    file = Path(app.outdir) / "sitemap.xml"
    base = app.config.html_baseurl
    if base:
        names = sorted(app.env.found_docs)
        file.write_text(
            sitemap([base + app.builder.get_target_uri(name) for name in names]), encoding="utf-8"
        )
    else:
        file.unlink(missing_ok=True)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register all of it."""
    app.connect("config-inited", _take_address)
    app.connect("html-page-context", _describe, priority=800)
    app.connect("html-collect-pages", _lost)
    app.connect("build-finished", _write_sitemap)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
