"""Search that works from a folder: an index of our own, read by a script tag, and a page for it.

Sphinx's search fetches each page that it has found to show an excerpt, which browsers refuse from ``file://``,
and ranks a solution like a chapter. Here the text of all pages stands in one file, ``search-index.js``, that
the search page alone loads. ``search.js`` looks the words up in it and shows each page with the sections and
the sentences where they stand: chapters first, then the reference, then the labs. Solutions and
instructor's pages are not in it, for whoever looks for a word should not be handed the answer. Every public
function and class of the library is, with the chapter that explains it.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections.abc import Iterator
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from course_numbers import add_static, place
from sphinx.application import Sphinx

CHAPTER, REFERENCE, LAB = range(3)
_VOID = {"area", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
_INLINE = {
    "a",
    "abbr",
    "b",
    "code",
    "em",
    "i",
    "kbd",
    "mark",
    "s",
    "span",
    "strong",
    "sub",
    "sup",
    "u",
    "wbr",
}
# Not for reading: what a script draws, answers that wait for the reader, marks beside the text.
_SKIP_TAGS = {"button", "mjx-container", "noscript", "script", "style", "svg", "template"}
_SKIP = {
    *(
        "segcore-widget",
        "quiz-choice",
        "quiz-title",
        "quiz-score",
        "prompt-title",
        "prompt-form",
        "prompt-solution",
        "review-chapters",
        "review-ask",
        "read-mark",
        "solution",
        "headerlink",
        "eqno",
        "lab-bar",
        "lab-card",
        "pace",
    ),
    *("collapsed", "expanded"),  # "Show code cell source"
}
_PARTS = {"exercise-content", "solution-content"}  # sections to Sphinx, parts of one to the reader
_SIGNS = {
    **dict(zip(("times", "cdot", "le", "ge", "ne", "approx", "to", "infty"), "×·≤≥≠≈→∞", strict=True)),
    **dict(zip(("sum", "in", "top", "odot", "sqrt", "ldots", "quad"), "∑∈ᵀ⊙√… ", strict=True)),
}


def plain_formula(tex: str) -> str:
    r"""A short formula as one line of plain text, for an excerpt.

    Example:
        >>> plain_formula(r"\(W_y F W_x^\top\)"), plain_formula(r"\(28 \times 28\)")
        ('W_y F W_xᵀ', '28 × 28')
    """
    text = re.sub(r"^\\\(|\\\)$|\\[,;:! ]", "", tex)
    text = re.sub(r"\\t?frac\s*(\d)(\d)|\\t?frac\{([^{}]*)\}\{([^{}]*)\}", r"\1\3/\2\4", text)
    text = re.sub(
        r"\\([A-Za-z]+) ?", lambda m: _SIGNS.get(m[1], "" if m[1] in {"left", "right"} else m[1]), text
    )
    return re.sub(r"(?<=[∑√·×≤≥≠≈→∈])(?=\w)", " ", re.sub(r"[{}\\]|\^(?=ᵀ)", "", text)).strip()


class PageText(HTMLParser):
    """The readable text of a page, by sections: each ``[anchor, heading, text, code]``."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.sections: list[list[str]] = [["", "", "", ""]]
        self._stack: list[tuple[str, str]] = []  # tag, and what it means for the text inside
        self._line: list[str] = []
        self.feed(html)
        self._flush()

    def _inside(self, meaning: str) -> bool:
        return any(kind == meaning for _, kind in self._stack)

    def _flush(self) -> None:
        line = re.sub(r"\s+", " ", "".join(self._line)).strip()
        self._line.clear()
        if not line:
            return
        column = 1 if self._inside("heading") or self._inside("term") else 3 if self._inside("code") else 2
        section = self.sections[-1]
        joint = ", " if column == 1 else "\n"
        section[column] += joint + line if section[column] else line

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open a section, or note what the text that follows is."""
        given = {name: value or "" for name, value in attrs}
        classes = set(given.get("class", "").split())
        meaning = self._meaning(tag, classes)
        if tag not in _INLINE or meaning == "heading":
            self._flush()
        if tag in _VOID:
            self._line.append("" if tag == "wbr" else " ")
            return
        anchor = given.get("id", "")
        opens = meaning == "entry" or (meaning == "term" and not self._continues())
        if opens or (tag == "section" and anchor not in _PARTS):
            self.sections.append([anchor, "", "", ""])
        self._stack.append((tag, meaning))

    def _continues(self) -> bool:
        """Whether the last section is a term without its definition yet: AP before average precision."""
        return self.sections[-1][0].startswith("term-") and not self.sections[-1][2]

    def _meaning(self, tag: str, classes: set[str]) -> str:
        if classes & _SKIP or tag in _SKIP_TAGS or (tag == "div" and "math" in classes):
            return "skip"
        if tag == "figcaption" or (tag == "dl" and "glossary" in classes):
            return "caption" if tag == "figcaption" else "glossary"
        if "cell_output" in classes:
            return "output"
        if tag == "dt" and self._inside("glossary"):
            return "term"
        if tag in {"h1", "h2", "h3", "h4", "h5", "h6"} or (self._inside("entry") and "label" in classes):
            return "heading"
        if "citation" in classes:
            return "entry"
        if tag == "pre" or "code-block-caption" in classes:
            return "code"
        return "formula" if "math" in classes else ""

    def handle_endtag(self, tag: str) -> None:
        """Close the element, and those inside it that were left open."""
        if tag not in _INLINE or (self._stack and self._stack[-1] == (tag, "heading")):
            self._flush()
        if tag not in _VOID and any(name == tag for name, _ in self._stack):
            while self._stack.pop()[0] != tag:
                pass

    def handle_data(self, data: str) -> None:
        """Keep what a reader would read."""
        if self._inside("skip") or (self._inside("output") and not self._inside("caption")):
            return
        if self._inside("code"):
            for line in data.split("\n")[:-1]:
                self._line.append(line)
                self._flush()
            data = data.split("\n")[-1]
        self._line.append(plain_formula(data) if self._inside("formula") else data)


def library_names(package: Path) -> Iterator[tuple[str, str, str]]:
    """Module, name and first line of the docstring of each public function and class of the library."""
    for path in sorted(package.rglob("*.py")):
        module = path.relative_to(package).with_suffix("").as_posix()
        if path.name.startswith("_"):
            continue
        body = ast.parse(path.read_text(encoding="utf-8")).body
        public = next((ast.literal_eval(n.value) for n in body if _is_all(n)), ())  # type: ignore[attr-defined]
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name in public:
                yield module, node.name, (ast.get_docstring(node) or "").split("\n")[0].replace("``", "")


def _is_all(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__"


def explain(names: list[tuple[str, str, str]], pages: list[dict[str, Any]], fallback: str) -> None:
    """Give each name to the page that explains it: ``[name, words, number of the section]``.

    A chapter explains the module of its name; what serves all chapters is explained where it is first called.
    """
    by_slug = {re.sub(r".*\d\d_", "", page["p"]): page for page in pages if page["k"] == CHAPTER}
    by_name = {page["p"]: page for page in pages}
    for module, name, words in names:
        room = module.rpartition("/")[2]
        call = re.compile(rf"(?<![\w.])(?:{room}\.)?{name}\(")
        callers = (p for p in pages if any(call.search(section[3]) for section in p["s"]))
        page = by_slug.get(room) or next(callers, None) or by_name.get(fallback)
        if page:
            page["f"].append([name, words, _section(page["s"], module, name)])


def _section(sections: list[list[str]], module: str, name: str) -> int:
    """Where a page shows the source of a name; else where its prose, else where its code has it first."""
    listed = re.compile(rf"{module}\.py: {name}(?!\w)")
    word = re.compile(rf"(?<!\w){name}(?!\w)")
    for pattern, columns in ((listed, (3,)), (word, (1, 2)), (word, (3,))):
        for index, section in enumerate(sections):
            if any(pattern.search(section[column]) for column in columns):
                return index
    return 0


def kind(docname: str) -> int | None:
    """A page's rank in the results; None where it stays out of them.

    Example:
        >>> kind("book/13_roi_align"), kind("book/glossary"), kind("labs/13_roi_align")
        (0, 1, 2)
        >>> kind("solutions/13_roi_align") is kind("book/teaching/13_roi_align") is None
        True
    """
    if docname.startswith("book/teaching/"):
        return None
    found = place(docname)
    return {"book": CHAPTER, "labs": LAB, "solutions": None}[found[0]] if found else REFERENCE


def _stored(app: Sphinx, docname: str) -> Path:
    return Path(app.doctreedir) / "search" / f"{docname}.json"


def _read_page(app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Keep the text of a page that is being written; pages that have not changed keep what they had."""
    if doctree is None or kind(pagename) is None:
        return
    title = " ".join(re.sub(r"<[^>]+>", "", context.get("title", "")).split())
    sections = [s for s in PageText(context.get("body", "")).sections if any(s[1:])]
    page = {"p": pagename, "t": title, "k": kind(pagename), "s": sections, "f": []}
    path = _stored(app, pagename)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(page, ensure_ascii=False), encoding="utf-8")


PAGE = """<section id="search">
<link rel="stylesheet" href="_static/search.css">
<h1>Search</h1>
<form class="course-search bd-search" role="search" action="search.html" method="get">
<input type="search" name="q" id="course-query" aria-label="Words to find in the course" autocomplete="off"
 autocapitalize="off" spellcheck="false" placeholder="A word, a function, a name">
<button type="submit">Search</button>
</form>
<p id="search-status" role="status"></p>
<div id="search-results"></div>
<noscript><p>The search needs scripts. The menu names every page, and the glossary every term.</p></noscript>
<script src="_static/search-index.js?v={version}" defer></script>
<script src="_static/search.js?v={version}" defer></script>
</section>
"""


def _make_page(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Write the index of all pages, then the page that searches it."""
    order = [page for page in app.env.collect_relations() if kind(page) is not None]
    pages = [
        json.loads(path.read_text(encoding="utf-8"))
        for page in order
        if (path := _stored(app, page)).exists()
    ]
    pages.sort(key=lambda page: page["k"])
    package = Path(app.srcdir) / "segcore"
    explain(list(library_names(package)), pages, "book/how_to")
    text = f"globalThis.courseSearch = {json.dumps(pages, ensure_ascii=False, separators=(',', ':'))};\n"
    (Path(app.outdir) / "_static" / "search-index.js").write_text(text, encoding="utf-8")
    script = (Path(__file__).parent / "static" / "search.js").read_text(encoding="utf-8")
    version = hashlib.sha256((text + script).encode()).hexdigest()[:8]
    yield "search", {"title": "Search", "body": PAGE.format(version=escape(version))}, "page.html"


def _replace_search(app: Sphinx) -> None:
    if app.builder.format == "html":
        app.builder.search = False  # type: ignore[attr-defined]  # its index would be made and never read


def setup(app: Sphinx) -> dict[str, Any]:
    """Take the place of Sphinx's search."""
    app.connect("builder-inited", _replace_search)
    app.connect("html-page-context", _read_page, priority=400)
    app.connect("html-collect-pages", _make_page)
    add_static(app, "search.js", "search.css", everywhere=False)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
