"""The built pages as one document for paper: what is left out, what stands elsewhere, where links lead.

A page of the book is read as HTML and becomes a section of one long page, which `pdf.py` prints. Its ids get
the page's name before them, so that no two are alike; links between pages become links inside the document.
Paper has no controls: widgets are their still pictures with the address of the live ones, what was folded
stands open or is left out, answers to the questions stand in an appendix. A lab is its tasks, with the
functions to complete and room for words; the cells that set up, check and draw are left to the notebook.
"""

from __future__ import annotations

import base64
import functools
import html
import io
import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from bs4 import BeautifulSoup, Tag
from PIL import Image

LEFT_OUT = (
    "script, style, .headerlink, .copybtn, .lab-links, .lab-bar, .chapter-map, .course-map, .quiz-score,"
    " noscript, .prompt-form, .prompt-verdict, .course-mark, .read-mark,"
    " details.hide, .course-figure > svg ~ svg, .segcore-widget > :not(.segcore-still),"
    " .segcore-still source, .segcore-fallback, .segcore-printed, button"
)
LINES = 4  # that a reader gets to write an answer on
_SHOWN = re.compile(r"YOUR CODE HERE")
_ANSWER = re.compile(r"YOUR ANSWER HERE")
_SLUG = re.compile(r"(?:book|labs)/(?P<number>\d\d)_\w+")


@dataclass
class Question:
    """One question of a page, as the appendix answers it."""

    chapter: str
    anchor: str
    title: str
    right: str
    answers: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Page:
    """One page of the book on its way into the document."""

    name: str
    title: str
    number: str
    body: Tag
    questions: list[Question]

    @property
    def key(self) -> str:
        """What stands before its ids, and names its sheets: letters, digits and lines alone."""
        return self.name.replace("/", "-").replace("_", "-")

    @property
    def heading(self) -> str:
        """Number and title."""
        return f"{self.number} {self.title}".strip()


def anchor(page: str, fragment: str = "") -> str:
    """The id in the document of a page, or of an id of it.

    Example:
        >>> anchor("book/13_roi_align", "fig-idea")
        'book-13-roi-align--fig-idea'
    """
    key = page.replace("/", "-").replace("_", "-")
    return f"{key}--{fragment}" if fragment else key


def read_page(html_folder: Path, name: str, included: Iterable[str], base: str = "") -> Page:
    """One built page, ready to stand among the others.

    Args:
        html_folder: the built book.
        name: the page, such as `book/13_roi_align`.
        included: the names of all pages of the document; links to others lead to `base`, or nowhere.
        base: the address where the book is published, with a slash at its end, or nothing.

    Raises:
        FileNotFoundError: the page is not built.
    """
    path = html_folder / f"{name}.html"
    soup = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
    article = soup.select_one("article.bd-article")
    if article is None:
        raise ValueError(f"{path} is no page of the book: it has no article. Build the book anew.")
    numbered = article.select_one("h1 > .section-number")
    number = numbered.extract().get_text(strip=True) if numbered else ""
    for node in article.select(LEFT_OUT):
        node.decompose()
    heading = article.select_one("h1")
    page = Page(name, heading.get_text(" ", strip=True) if heading else name, number, article, [])
    if heading and number:
        heading.insert(0, BeautifulSoup(f'<span class="section-number">{number} </span>', "html.parser"))
    if name.startswith("labs/"):
        _as_tasks(article, name)
    for box in article.select("details"):
        box["open"] = ""
    _widgets(article, page, base)
    _ids(article, page, frozenset(included), base)  # before the answers go: they hold links, too
    _questions(article, page)
    _prompts(article, page)
    _pictures(article, name, html_folder)
    return page


def _as_tasks(article: Tag, name: str) -> None:
    """Of a lab's cells the functions to complete; in the place of answers, lines to write on."""
    for cell in article.select("div.cell"):
        if not _SHOWN.search(cell.get_text()):
            cell.decompose()
    for paragraph in article.find_all("p"):
        if _ANSWER.search(paragraph.get_text()):
            paragraph.replace_with(_made(f'<div class="print-lines">{"<i></i>" * LINES}</div>'))
    words = (
        f"On paper stand the tasks. The notebook <code>{name}.ipynb</code> also has the cells that set up, "
        "check your functions and draw what they do: <code>make lab</code> opens it."
    )
    if heading := article.select_one("h1"):
        heading.insert_after(_made(f'<p class="print-note">{words}</p>'))


def _made(text: str) -> Tag:
    made = BeautifulSoup(text, "html.parser").find()
    assert isinstance(made, Tag)
    return made


def live_address(name: str, slug: str, base: str) -> str:
    """Where a widget is alive: a whole address where the book is published, else the page's name.

    Example:
        >>> live_address("book/13_roi_align", "roi_align", "")
        'book/13_roi_align.html#roi_align'
    """
    return f"{base}{name}.html#{slug}"


def _widgets(article: Tag, page: Page, base: str) -> None:
    """Widgets as figures: the still picture, its title, and where it is alive."""
    for widget in article.select(".segcore-widget"):
        picture = widget.select_one(".segcore-still img")
        if picture is None:
            widget.decompose()
            continue
        title = html.escape(str(widget.get("aria-label", "Interactive figure")))
        place = live_address(page.name, str(widget.get("data-widget", "")), base)
        shown = f'<a href="{place}">{place}</a>' if base else f"<code>{place}</code>"
        words = f'<span class="caption-number">{title}.</span> Take it in your hands: {shown}'
        caption = f"<figcaption>{words}</figcaption>"
        figure = _made(f'<figure class="print-widget">{caption}</figure>')
        figure.insert(0, picture.extract())
        widget.replace_with(figure)


def _questions(article: Tag, page: Page) -> None:
    """Take the answers out of the questions, which keep their choices, lettered."""
    for group in article.select(".quiz-question"):
        title, rights = group.select_one(".quiz-title"), []
        number = title.get_text(strip=True) if title else "Question"
        place = anchor(page.name, f"print-question-{len(page.questions) + 1}")
        found = Question(page.heading, place, number, "")
        for letter, choice in zip("abcdefgh", group.select(".quiz-choice"), strict=False):
            answer, words = choice.select_one(".quiz-answer"), choice.select_one(".quiz-text")
            if "quiz-right" in (choice.get("class") or []):
                rights.append(letter)
            if answer is not None:
                for verdict in answer.select(".quiz-verdict"):
                    verdict.decompose()
                found.answers.append((letter, answer.extract().decode_contents().strip()))
            if words is not None:
                words.insert(0, _made(f'<b class="print-letter">{letter}</b>'))
        for box in group.select("input"):
            box.decompose()
        found.right = ", ".join(rights)
        group["id"] = place
        page.questions.append(found)


def _prompts(article: Tag, page: Page) -> None:
    """Take the answers out of the prompts, whose numbers are those first drawn."""
    for at, prompt in enumerate(article.select(".prompt"), 1):
        title, solution = prompt.select_one(".prompt-title"), prompt.select_one(".prompt-solution")
        if title is None or solution is None:
            continue
        if summary := solution.select_one("summary"):
            summary.decompose()
        place = anchor(page.name, f"print-prompt-{at}")
        prompt["id"] = place
        text = solution.extract().decode_contents().strip()
        words = title.get_text(strip=True)
        page.questions.append(Question(page.heading, place, words, "", [("", text)]))


def _ids(article: Tag, page: Page, included: frozenset[str], base: str) -> None:
    """Ids of the page's own, and links that lead to them, inside the document, outside, or nowhere."""
    known = set()
    for node in article.find_all(id=True):
        if node.find_parent("svg") is None and node.name != "svg":
            known.add(node["id"])
            node["id"] = anchor(page.name, str(node["id"]))
    for node in article.find_all(True):
        for name in ("aria-labelledby", "aria-describedby", "for", "tabindex"):
            if node.has_attr(name) and node.find_parent("svg") is None:
                del node[name]
    for link in article.select("a[href]"):
        target = _target(str(link["href"]), page.name, known, included, base)
        if target is None:
            link.unwrap()
        else:
            link["href"] = target


def _target(href: str, here: str, known: set[str], included: frozenset[str], base: str) -> str | None:
    parts = urlsplit(href)
    if parts.scheme or parts.netloc:
        return href
    if not parts.path:
        if parts.fragment in known:
            return f"#{anchor(here, parts.fragment)}"
        return f"{base}{here}.html#{parts.fragment}" if base and parts.fragment else None
    path = posixpath.normpath(posixpath.join(posixpath.dirname(here), parts.path))
    name = path.removesuffix(".html")
    if name in included:
        return f"#{anchor(name, parts.fragment)}"
    return f"{base}{path}" + (f"#{parts.fragment}" if parts.fragment else "") if base else None


def _pictures(article: Tag, name: str, html_folder: Path) -> None:
    """Pictures by their places as seen from the built book's own folder, or as JPEG where that is lighter."""
    for node in article.select("img[src], image[href]"):
        key = "src" if node.name == "img" else "href"
        address = str(node[key])
        if address.startswith("data:image/"):
            node[key] = lighter(address, base64.b64decode(address.partition(",")[2]))
        elif not urlsplit(address).scheme:
            place = posixpath.normpath(posixpath.join(posixpath.dirname(name), address))
            file = html_folder / place
            raster = file.suffix in {".png", ".webp", ".avif"} and file.is_file()
            node[key] = lighter(place, file.read_bytes()) if raster else place
        if node.name == "img":
            node["loading"] = "eager"


@functools.lru_cache(maxsize=4096)
def lighter(address: str, data: bytes) -> str:
    """The picture's address, or the picture itself as a JPEG where it is a photograph.

    That is: where it has many colours, and nothing to see through.

    A PDF holds a JPEG as it is and all else without loss, which makes a photograph ten times as heavy.
    """
    picture: Image.Image = Image.open(io.BytesIO(data))
    picture.load()
    if "A" in picture.mode:
        if picture.getchannel("A").getextrema() != (255, 255):
            return address
        picture = picture.convert("RGB")
    if picture.mode != "RGB" or min(picture.size) < 48 or picture.getcolors(2048) is not None:
        return address
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=88, subsampling=0)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def lower_headings(body: Tag, by: int) -> None:
    """Headings `by` ranks further down, for a page that stands in a part; they keep their look by class."""
    for rank in range(6, 0, -1):
        for heading in body.find_all(f"h{rank}"):
            heading.name = f"h{min(6, rank + by)}"
            heading["class"] = [*(heading.get("class") or []), f"print-h{rank}"]
