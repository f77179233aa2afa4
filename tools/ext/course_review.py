"""Remembering: the page that asks questions again, and what the pages know of their reader.

``{review} questions``, ``chapters`` and ``keeping`` are the three parts of the page Review, frames that
``review_page.js`` fills. Each chapter ends with a box to tick: "I have read this chapter".

At the end of a build three files are written from the finished pages, so that nothing is said twice:
``review-data.js`` (all questions and prompts as HTML; the page Review loads it, for ``file://`` allows no
fetch), ``review-index.js`` (what each chapter has, for the marks in the menu) and ``progress.json`` (which
exercises of the labs are passed: none; ``tools/book.py serve`` answers with what it knows).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

from course_cards import CHAPTERS, read_lab
from course_prompts import slug_of
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

READ_BOX = (
    '\n<p class="read-mark pst-js-only"><label><input type="checkbox" autocomplete="off"> '
    "I have read this chapter</label></p>\n"
)

# A chapter's own title takes the place of its name in these brackets when the page is written.
ROW = """<tr data-chapter="{number}"><td><label><input type="checkbox" autocomplete="off"
 aria-label="Ask questions of chapter {number}, ⟦{page}⟧"></label></td>
<th scope="row"><a class="reference internal" href="{page}.html">{number} ⟦{page}⟧</a></th>
<td class="review-read"></td><td class="review-answered"></td><td class="review-due"></td>
<td class="review-lab"></td></tr>
"""

PARTS = {
    "questions": """<noscript><p>This page needs scripts: it keeps in your browser what you have answered. The
questions themselves stand near the end of each chapter and work without.</p></noscript>
<div class="review-notes pst-js-only" role="status"></div>
<div class="review-card pst-js-only"><p class="review-wait">The questions are being read …</p></div>
<p class="review-coming pst-js-only"></p>
<script src="{root}_static/review-data.js" defer></script>
""",
    "chapters": """<table class="review-chapters pst-js-only"><thead><tr><th scope="col">Ask</th>
<th scope="col">Chapter</th><th scope="col">Read</th><th scope="col">Answered</th><th scope="col">Due</th>
<th scope="col">Lab</th></tr></thead><tbody>
{rows}</tbody></table>
""",
    "keeping": """<p class="review-buttons pst-js-only"><button type="button" class="review-save">Save as a
file</button> <button type="button" class="review-load">Load a file</button>
<button type="button" class="review-forget">Forget everything</button>
<input type="file" class="review-file" accept=".json,application/json"
 aria-label="The file to load" hidden></p>
<div class="review-said pst-js-only" role="status"></div>
<dialog class="review-ask" aria-labelledby="review-ask-title"><p id="review-ask-title">Forget all that you
have read and answered, in this browser?</p>
<p class="review-buttons"><button type="button" class="review-no">Keep it</button>
<button type="button" class="review-yes">Forget everything</button></p></dialog>
""",
}


class Review(SphinxDirective):
    """A part of the page Review; its argument is the part's name."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Write the frame, with a row for each chapter that stands."""
        part = PARTS.get(self.arguments[0])
        if part is None:
            raise self.error(f"review has the parts {', '.join(PARTS)}; got {self.arguments[0]!r}")
        rows = "".join(
            ROW.format(number=int(name[:2]), page=name)
            for name in CHAPTERS
            if name in self.config.course_standing
        )
        root = "../" * self.env.docname.count("/")
        return [nodes.raw("", part.format(rows=rows, root=root), format="html")]


def _complete(app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Put the box to tick at the end of a chapter, and the chapters' titles into the page Review."""
    body = context.get("body") or ""
    if slug_of(pagename):
        context["body"] = body + READ_BOX
    elif "review-chapters" in body:
        app.env.get_domain("math").data["has_equations"][pagename] = True  # those of the questions
        context["body"] = _NAMED.sub(lambda name: escape(app.env.titles[f"book/{name[1]}"].astext()), body)


# ---- What is written from the finished pages -------------------------------------------------------------

_ITEM = re.compile(r'<div (?=[^>]*class="(?:quiz-question|prompt)")[^>]*data-name="(?P<name>[^"]+)"[^>]*>')
_DIV = re.compile(r"<(/?)div\b")
_NAMED = re.compile(r"⟦(\w+)⟧")


def items(html: str) -> Iterator[tuple[str, str]]:
    """Name and HTML of each question and prompt of a page.

    Example:
        >>> list(items('<p></p><div class="prompt" data-name="1.a">x<div>y</div></div> z'))
        [('1.a', '<div class="prompt" data-name="1.a">x<div>y</div></div>')]
    """
    for found in _ITEM.finditer(html):
        depth = 1
        for tag in _DIV.finditer(html, found.end()):
            depth += -1 if tag[1] else 1
            if depth == 0:
                yield found["name"], html[found.start() : html.index(">", tag.start()) + 1]
                break


def _exercises(source: Path, name: str) -> list[str]:
    """The numbers of a lab's exercises."""
    try:
        titles = read_lab(source / "solutions" / f"{name}.ipynb").exercises
    except ValueError:
        return []
    return [number[0] for title in titles if (number := re.match(r"\d+\.\d+", title))]


def _script(name: str, value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return f"window.{name} = {text};\n"


def _write(app: Sphinx, exception: Exception | None) -> None:
    """Gather the questions of all pages. A file whose text stays is not touched."""
    if exception is not None or app.builder.format != "html":
        return
    data, index, out = {}, {}, Path(app.outdir)
    for docname in sorted(app.env.found_docs):
        path = out / f"{docname}.html"
        if not slug_of(docname) or not path.is_file():
            continue
        asked = dict(items(path.read_text(encoding="utf-8")))
        data.update(asked)
        name = docname.removeprefix("book/")
        index[name] = {"items": list(asked), "exercises": _exercises(Path(app.srcdir), name)}
    for file, text in {
        out / "_static" / "review-data.js": _script("courseItems", data),
        out / "_static" / "review-index.js": _script("courseIndex", index),
        out / "progress.json": '{"exercises": {}}\n',
    }.items():
        if not file.is_file() or file.read_text(encoding="utf-8") != text:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives, the nodes and the hooks."""
    app.setup_extension("course_cards")  # it knows which chapters stand
    app.add_directive("review", Review)
    for number, name in enumerate(("review", "review_marks", "review_prompts", "review_page")):
        app.add_js_file(
            f"{name}.js", priority=110 + number
        )  # `course_pages` leaves out what a page does not need
    app.add_css_file("review.css", priority=600)
    app.connect("html-page-context", _complete, priority=400)
    app.connect("build-finished", _write)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
