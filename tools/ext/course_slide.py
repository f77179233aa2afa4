"""``page.html?slide=NAME``: one figure or widget alone on the screen, for a projector.

Nothing is built for it: the script finds the page's figures by their labels and its widgets by their slugs,
and adds to each a button that leads there. It is loaded by those pages alone that hold one.
"""

from __future__ import annotations

from typing import Any

from course_numbers import add_static
from sphinx.application import Sphinx

FILES = ("slide.js", "slide.css")
HOLDS = ('class="course-figure', 'class="segcore-widget', "<img", "<figure")


def _load(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    body = context.get("body", "")
    if doctree is not None and any(piece in body for piece in HOLDS):
        app.add_js_file("slide.js", defer="defer", priority=810)
        app.add_css_file("slide.css", priority=610)


def setup(app: Sphinx) -> dict[str, Any]:
    """Copy the files; load them where they have work to do."""
    add_static(app, *FILES, everywhere=False)
    app.connect("html-page-context", _load)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
