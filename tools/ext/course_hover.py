"""Cards that show what a link leads to: a definition, a reference, an equation, a figure with its caption.

A page can show what stands on the page itself. What stands elsewhere (definitions in the glossary, references
in the bibliography, an equation of another chapter) is put into the page when the book is built, each once,
in a ``<template>`` that is neither drawn nor read out, and shown by ``hover.js``. Nothing is fetched, so the
cards work from ``file://``. Without scripts the links lead where they always did.
"""

from __future__ import annotations

import posixpath
import re
from html import escape
from pathlib import Path
from typing import Any

from bs4 import BeautifulSoup
from course_numbers import add_static
from course_search import plain_formula
from sphinx.application import Sphinx

_LINK = re.compile(r'<a class="reference internal" href="(?P<page>[^"#:]+\.html)#(?P<anchor>[^"]+)"')
_ADDRESS = re.compile(r'(?P<name>href|src)="(?P<to>[^"]+)"')
_FORMULA = re.compile(r'<span class="math[^"]*">(?P<tex>.*?)</span>', re.DOTALL)
_TEMPLATE = re.compile(r'<template id="course-cards">.*?</template>\n', re.DOTALL)


def formula_html(tex: str) -> str:
    r"""A short formula with its raised and lowered letters, for a card on a page that may have no MathJax.

    Example:
        >>> formula_html(r"\(s^2\)")
        '<i>s<sup>2</sup></i>'
    """
    raised = re.sub(r"\^(\w)", r"<sup>\1</sup>", plain_formula(tex))
    lowered = re.sub(r"_(\w)", r"<sub>\1</sub>", raised)
    return f"<i>{lowered}</i>"


class Targets:
    """What the book's links can lead to, read from its finished pages."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pages: dict[str, dict[str, str]] = {}

    def card(self, page: str, anchor: str) -> str | None:
        """The card for a place of a page; None where it is no term, reference, equation or figure."""
        if page not in self._pages:
            path = self._folder / page
            self._pages[page] = _targets(path.read_text(encoding="utf-8")) if path.is_file() else {}
        return self._pages[page].get(anchor)


def _targets(html: str) -> dict[str, str]:
    """All cards of a page by their anchors."""
    found = {}
    for part in re.findall(
        r'<dl class="[^"]*glossary.*?</dl>|<div class="citation".*?</div>', html, re.DOTALL
    ):
        soup = BeautifulSoup(part, "html.parser")
        for mark in soup.select(".headerlink"):
            mark.decompose()
        for term in soup.select("dt"):
            meaning = term.find_next_sibling("dd")
            if meaning is not None:
                name = escape(term.get_text().strip())
                found[str(term["id"])] = (
                    f'<p class="card-title">{name}</p>{meaning.decode_contents().strip()}'
                )
        for reference in soup.select("div.citation"):
            found[str(reference["id"])] = "".join(str(p) for p in reference.select("p"))
    equations = re.findall(r'<div class="math[^"]*" id="(equation-[^"]+)">(.*?)</div>', html, re.DOTALL)
    for anchor, inside in equations:
        number = re.search(r'eqno">(\(.*?\))', inside)
        tex = re.sub(r"<span.*?</span>", "", inside, flags=re.DOTALL).strip()
        title = f'<p class="card-title">{number[1]}</p>' if number else ""
        found[anchor] = f'{title}<div class="math card-formula">{tex}</div>'
    for anchor, inside in re.findall(r'<figure[^>]* id="([^"]+)">(.*?)</figure>', html, re.DOTALL):
        pictures = "".join(re.findall(r"<img[^>]*>", inside))
        caption = re.search(r"<figcaption>(.*?)</figcaption>", inside, re.DOTALL)
        found[anchor] = pictures + (caption[1].strip() if caption else "")
    return found


def _moved(card: str, home: str, page: str) -> str:
    """A card for another page: addresses that lead to the same places, no anchors, formulas as plain HTML."""
    card = re.sub(r'<a class="headerlink".*?</a>| (?:id|title|role)="[^"]*"', "", card, flags=re.DOTALL)
    card = _FORMULA.sub(lambda found: formula_html(found["tex"]), card)

    def lead(found: re.Match[str]) -> str:
        to = found["to"]
        if not re.match(r"[a-z]+:", to):
            place, sign, anchor = to.partition("#")
            place = posixpath.normpath(posixpath.join(posixpath.dirname(home), place)) if place else home
            to = posixpath.relpath(place, posixpath.dirname(page) or ".") + sign + anchor
        return f'{found["name"]}="{to}"'

    return _ADDRESS.sub(lead, card)


def with_cards(html: str, page: str, targets: Targets) -> str:
    """A page with the cards that its links to other pages need, in place of those that it had."""
    cards = {}
    start, end = html.find("<article"), html.rfind("</article>")
    for link in _LINK.finditer(html, max(0, start), end if end > 0 else len(html)):
        home = posixpath.normpath(posixpath.join(posixpath.dirname(page), link["page"]))
        card = targets.card(home, link["anchor"])
        if card is not None:
            cards[f"{link['page']}#{link['anchor']}"] = _moved(card, home, page)
    html = _TEMPLATE.sub("", html)
    if not cards:
        return html
    inside = "".join(f'<div data-card="{key}">{card}</div>\n' for key, card in sorted(cards.items()))
    head, close, tail = html.rpartition("</body>")
    return f'{head}<template id="course-cards">\n{inside}</template>\n{close}{tail}'


def _finish(app: Sphinx, exception: Exception | None) -> None:
    """Bring every page up to date, also those that were not written: a definition may have changed."""
    if exception or app.builder.format != "html":
        return
    targets = Targets(Path(app.outdir))
    for docname in sorted(app.env.found_docs):
        path = Path(app.outdir) / f"{docname}.html"
        if path.is_file():
            before = path.read_text(encoding="utf-8")
            after = with_cards(before, f"{docname}.html", targets)
            if after != before:
                path.write_text(after, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the last step of a build, the script and the style."""
    app.connect("build-finished", _finish)
    add_static(app, "hover.js", "hover.css")
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
