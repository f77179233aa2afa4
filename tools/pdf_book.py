"""The whole book as one HTML page for paper: title, contents, parts with their pages, answers.

`pdf_pages.py` makes each built page fit to stand in it, `pdf.css` says how it looks, `pdf.py` prints it.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from pathlib import Path

import yaml
from pdf_pages import Page, lower_headings, read_page

ROOT = Path(__file__).resolve().parent.parent
STYLE = Path(__file__).with_name("pdf.css")
FRONT = "book/index"
LEFT_OUT = ("solutions/", "book/teaching/", "book/review")
ASSETS = re.compile(
    r'<link rel="stylesheet"[^>]*>|<script>window\.MathJax.*?</script>|<script[^>]*mathjax[^>]*></script>'
)


def parts() -> list[tuple[str, list[str]]]:
    """The book's parts with the pages of each, labs after their chapters, without those of `LEFT_OUT`.

    A solution is left out because it is the notebook's, with its outputs, at hand where one works; on paper
    the eighteen would be as long as the book. Pages for teachers are for teachers, and Review is a program.
    """
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    found: list[tuple[str, list[str]]] = []
    for part in contents["parts"]:
        pages: list[str] = []
        for chapter in part["chapters"]:
            names = [chapter["file"], *(section["file"] for section in chapter.get("sections", []))]
            pages += [name for name in names if not name.startswith(LEFT_OUT)]
        if pages:
            found.append((part["caption"], pages))
    found[0][1].insert(0, FRONT)
    return found


def contents_html(groups: Sequence[tuple[str, Sequence[Page]]], answers: bool) -> str:
    """The contents, with a place for each number; a lab's stands in its chapter's row."""

    def place(target: str) -> str:
        return f'<b data-page="{target}">000</b>'

    def row(target: str, words: str, lab: Page | None = None) -> str:
        inner = f'<a class="print-lab" href="#{lab.key}">lab {place(lab.key)}</a>' if lab else ""
        name, number = html.escape(words), place(target)
        link = f'<a href="#{target}">{name}</a><i></i>{inner}<a href="#{target}">{number}</a>'
        return f'<div class="print-row">{link}</div>'

    lines = ['<section class="print-page print-contents"><h1 class="print-h1">Contents</h1><ol>']
    for title, pages in groups:
        labs = {page.name.removeprefix("labs/"): page for page in pages if page.name.startswith("labs/")}
        alone = [
            page
            for page in pages
            if page not in labs.values() or f"book/{page.name[5:]}" not in {p.name for p in pages}
        ]
        inner = "".join(
            f"<li>{row(page.key, page.heading, labs.get(page.name.removeprefix('book/')))}</li>"
            for page in alone
        )
        lines.append(f"<li>{row(part_id(title), title)}<ol>{inner}</ol></li>")
    if answers:
        lines.append(f"<li>{row('print-answers', 'Answers to the questions')}</li>")
    return "".join([*lines, "</ol></section>"])


def part_id(title: str) -> str:
    """The id of a part's sheet."""
    return "part-" + re.sub(r"\W+", "-", title.lower()).strip("-")


def answers_html(pages: Sequence[Page]) -> str:
    """The appendix: each question's right choice, and what the book says to every one."""
    blocks = []
    for page in (each for each in pages if each.questions):
        blocks.append(f'<h2 class="print-h3">{html.escape(page.heading)}</h2>')
        for question in page.questions:
            items = "".join(
                f'<li class="{"print-right" if letter in question.right else "print-wrong"}">'
                f"<b>{letter}</b><div>{text}</div></li>"
                for letter, text in question.answers
            )
            right = f": <b>{question.right}</b>" if question.right else ""
            title = f'<p><a href="#{question.anchor}">{question.title}</a>{right}</p>'
            blocks.append(f'<div class="print-answer">{title}<ol>{items}</ol></div>')
    head = (
        '<section class="print-page print-answers" id="print-answers">'
        '<h1 class="print-h1">Answers to the questions</h1>'
    )
    return "".join([head, *blocks, "</section>"]) if blocks else ""


def heads(pages: Sequence[Page]) -> str:
    """Rules that put the page's title above each of its sheets but the first."""
    rules = []
    for page in pages:
        words = page.heading.replace("\\", "").replace('"', "")
        look = 'font: 9pt "Liberation Sans", Arial, sans-serif; color: #545d68'
        rules.append(f'@page {page.key} {{ @top-right {{ content: "{words}"; {look} }} }}')
        rules.append(f"#{page.key} {{ page: {page.key} }}")
    return "\n".join(rules)


def title_html(base: str) -> str:
    """The first sheet."""
    settings = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    where = f'<br>Alive at <a href="{base}">{base}</a>' if base else ""
    words = "A rendered scene, half photograph, half label map."
    cover = f'<img class="print-cover" src="_static/card.png" alt="{words}">'
    return (
        f'<section class="print-page print-title"><h1>{html.escape(settings["title"])}</h1>'
        "<p>An interactive course, on paper: eighteen chapters with their labs, from superpixels to panoptic "
        f"segmentation, keypoints, depth and colour.</p>{cover}"
        f'<p class="print-imprint">{html.escape(settings["author"])}, {settings["copyright"]}. '
        f"Text CC BY 4.0, code MIT.{where}</p></section>"
    )


def document(html_folder: Path, groups: Sequence[tuple[str, Sequence[str]]], base: str = "") -> str:
    """The whole book as one HTML page, to stand in the folder of the built one."""
    included = [name for _, names in groups for name in names]
    read = [
        (title, [read_page(html_folder, name, included, base) for name in names]) for title, names in groups
    ]
    pages = [page for _, some in read for page in some]
    answers = answers_html(pages)
    body = [title_html(base), contents_html(read, bool(answers))]
    for title, some in read:
        rows = "".join(
            f"<li>{html.escape(page.heading)}</li>" for page in some if not page.name.startswith("labs/")
        )
        body.append(
            f'<section class="print-page print-part" id="{part_id(title)}">'
            f"<h1>{html.escape(title)}</h1><ol>{rows}</ol></section>"
        )
        for page in some:
            lower_headings(page.body, 1)
            body.append(
                f'<section class="print-page" id="{page.key}">{page.body.decode_contents()}</section>'
            )
    style = STYLE.read_text(encoding="utf-8") + heads(pages)
    return (
        '<!doctype html><html lang="en" data-theme="light" data-mode="light"><head><meta charset="utf-8">'
        f"<title>{html.escape(book_title())}</title>{_links(html_folder, included)}"
        f"<style>{style}</style></head>"
        '<body><div class="bd-article-container"><article class="bd-article">'
        f"{''.join([*body, answers])}</article></div></body></html>"
    )


def book_title() -> str:
    """The title of the book."""
    return str(yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["title"])


def _links(html_folder: Path, names: Sequence[str]) -> str:
    """The style sheets and the mathematics that the pages load, once each."""
    found: dict[str, None] = {}
    for name in names:
        head = (html_folder / f"{name}.html").read_text(encoding="utf-8").split("</head>")[0]
        # A page waits for its widgets before it loads MathJax; on paper there are none.
        lines = [line.replace("../", "").replace(' type="formulas"', "") for line in ASSETS.findall(head)]
        found |= dict.fromkeys(lines)
    return "".join(found)
