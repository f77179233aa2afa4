"""Figures in the page: inlined, so that they follow its theme and its width, and larger at a tap.

`segcore.figures` draws each figure of a chapter in two layouts. Here they are put into the page itself,
where a rule of each figure shows the one that fits; their photographs become files of their own, which all
pages share. The script (figures.js) opens any figure over the whole window. It is in those pages
only that hold one. A figure comes before the code that draws it, which stands folded below its caption.
"""

from __future__ import annotations

import base64
import hashlib
import re
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.osutil import relative_uri

HERE = Path(__file__).resolve().parent
SMALLEST_SCALE = 0.92  # of the wide layout: its text of 12 pixels stays above 11

RULE = (
    "<style>@media screen{{@container (max-width:{0}px){{"
    "#{1}>svg{{display:none}}#{1}>svg~svg{{display:block}}}}}}</style>"
)

_LAYOUTS = re.compile(r'<svg data-layout="(?:wide|narrow)".*?</svg>', re.DOTALL)
_PIXELS = re.compile(r'href="data:image/webp;base64,([^"]+)"')


def layouts(svg: str) -> list[str]:
    """The layouts in a figure's SVG, the wide one first; none if `segcore.figures` did not draw it."""
    return _LAYOUTS.findall(svg)


def figure_html(svg: str, alt: str, folder: Path, address: str) -> str:
    """The HTML of a figure, its photographs written to `folder`, which the page reaches at `address`."""

    def stored(match: re.Match[str]) -> str:
        data = base64.b64decode(match[1])
        name = f"{hashlib.sha256(data).hexdigest()[:20]}.webp"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
        return f'href="{address}{name}"'

    pictures = layouts(svg)
    width = int(re.search(r' width="(\d+)"', pictures[0])[1])  # type: ignore[index]
    own = f"figure-{hashlib.sha256(svg.encode()).hexdigest()[:8]}"
    rule = RULE.format(int(SMALLEST_SCALE * width), own) if len(pictures) > 1 else ""
    named = f'<svg role="img" aria-label="{escape(alt, quote=True)}"'
    inner = "".join(_PIXELS.sub(stored, picture).replace("<svg", named, 1) for picture in pictures)
    inner = inner.replace(' display="none"', "")
    return f'<div class="course-figure" id="{own}">{rule}{inner}</div>'


def _describe(app: Sphinx, doctree: nodes.document) -> None:
    """Give a solution's pictures their alternative text, from `course.alt` of the cell that draws them.

    Of the size that an output of double density names, the width is kept: where a page is narrower, a height
    of its own would stretch the picture.
    """
    for cell in doctree.findall(nodes.container):
        alt = (cell.get("cell_metadata") or {}).get("course", {}).get("alt")
        if cell.get("nb_element") == "cell_code":
            for image in cell.findall(nodes.image):
                image.attributes.pop("height", None)
                if alt:
                    image["alt"] = image.get("alt") or alt


def _inline(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    if app.builder.format != "html":
        return
    code_below(doctree)
    folder = Path(app.outdir) / app.builder.imagedir
    address = relative_uri(app.builder.get_target_uri(docname), app.builder.imagedir) + "/"
    for image in list(doctree.findall(nodes.image)):
        path = Path(app.srcdir) / image["uri"]
        if path.suffix == ".svg" and path.is_file() and layouts(svg := path.read_text(encoding="utf-8")):
            html = figure_html(svg, image.get("alt", ""), folder, address)
            image.replace_self(nodes.raw("", html, format="html"))


def code_below(doctree: nodes.document) -> None:
    """Move the folded code of each figure below it."""
    for cell in doctree.findall(nodes.container):
        if cell.get("nb_element") != "cell_code" or not any(cell.findall(nodes.figure)):
            continue
        for folded in [node for node in cell.children if "above-input" in node.get("classes", [])]:
            folded["classes"] = ["below-figure"]
            cell.remove(folded)
            cell.append(folded)


_SUMMARY = re.compile(
    r'(?P<open><details class="admonition hide below-figure">\s*)<summary.*?</summary>', re.DOTALL
)


def named_code(body: str) -> str:
    """The line that unfolds a figure's code says whose code it is.

    Example:
        >>> named_code('<details class="admonition hide below-figure"><summary>Show</summary>')
        '<details class="admonition hide below-figure"><summary>Code of this figure</summary>'
    """
    return _SUMMARY.sub(r"\g<open><summary>Code of this figure</summary>", body)


def _script(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    body = named_code(context.get("body", ""))
    if body:
        context["body"] = body
    if 'class="course-figure' in body or "<img" in body:
        app.add_js_file(None, body=(HERE / "figures.js").read_text(encoding="utf-8"), priority=800)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the steps: describe pictures, inline what was drawn, add the script where it is needed."""
    app.add_css_file("figures.css")
    app.connect("doctree-read", _describe)
    app.connect("doctree-resolved", _inline)
    app.connect("html-page-context", _script)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
