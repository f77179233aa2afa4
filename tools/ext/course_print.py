"""A widget on paper: below its still picture stand its title and the address where it is alive.

The line is in the page and shown in print alone. Where the book knows its address (``BOOK_URL``, see
``course_site``), it is the whole one; else the page's own within the book, such as
``book/13_roi_align.html#roi_align``.
"""

from __future__ import annotations

import re
from html import escape
from typing import Any

from sphinx.application import Sphinx

_WIDGET = re.compile(
    r'data-widget="(?P<slug>\w+)"[^>]*aria-label="(?P<title>[^"]*)">'
    r"(?:(?!data-widget=).)*?</picture>.*?(?=</figure>)",
    re.DOTALL,
)


def captioned(body: str, page: str, base: str = "") -> str:
    """The page's text with a line below each still picture.

    Args:
        body: the page's HTML.
        page: its address within the book.
        base: the book's address, with a slash at its end, or nothing.
    """

    def add(found: re.Match[str]) -> str:
        address = escape(f"{base}{page}#{found['slug']}")
        shown = f'<a href="{address}">{address}</a>' if base else f"<code>{address}</code>"
        return f'{found[0]}<p class="segcore-printed">{found["title"]}. Take it in your hands: {shown}</p>'

    return _WIDGET.sub(add, body)


def _add(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    body = context.get("body", "")
    if 'class="segcore-widget"' in body:
        address = app.builder.get_target_uri(pagename)
        context["body"] = captioned(body, address, app.config.html_baseurl)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the page hook."""
    app.connect("html-page-context", _add, priority=700)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
