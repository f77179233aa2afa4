"""The frame of the book's pages: what the extensions do to a page's text, without building the book."""

from __future__ import annotations

import ast
import functools
import http.client
import http.server
import json
import re
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from docutils import nodes

EXTENSIONS = Path(__file__).parents[1] / "tools" / "ext"
pytest.importorskip("sphinx")
sys.path.insert(0, str(EXTENSIONS))

sys.path.insert(0, str(EXTENSIONS.parent))

import course_pages  # noqa: E402
import course_site  # noqa: E402
import course_units  # noqa: E402
from course_source import function_source, narrowed  # noqa: E402

import book as book_tool  # noqa: E402


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("segcore.roi_align", "segcore.<wbr>roi_<wbr>align"),
        ("book/13_roi_align", "book/<wbr>13_<wbr>roi_<wbr>align"),
        ("f(x)[1]", "f(x)[1]"),  # short
        ("spatial_scale=0.0625", "spatial_<wbr>scale=<wbr>0.<wbr>0625"),
        ("a &lt; b &amp;&amp; c.d", "a &lt; b &amp;&amp; c.<wbr>d"),
        ("__init_subclass__", "__init_<wbr>subclass__"),
    ],
)
def test_code_breaks_at_joints_only(name, broken):
    code = '<code class="docutils literal"><span class="pre">{}</span></code>'
    assert course_pages.breakable(code.format(name)) == code.format(broken)


def test_listings_and_text_are_left_alone():
    text = '<pre>segcore.roi_align</pre><p>segcore.roi_align</p><span class="n">segcore.roi_align</span>'
    assert course_pages.breakable(text) == text


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("<p>42 % of 96 px in 5 ms</p>", "<p>42~% of 96~px in 5~ms</p>"),
        ("some 42\n% (7 MB), 3 s.", "some 42~% (7~MB), 3~s."),  # a line's end in the source
        ('<span class="pasted-text">0.7</span> % of', '<span class="pasted-text">0.7</span>~% of'),
        ("<strong><em>7</em></strong> px", "<strong><em>7</em></strong>~px"),
        (r'<span class="math">\(2 s + 1\)</span> px', r'<span class="math">\(2 s + 1\)</span>~px'),
        ('<code><span class="pre">5</span></code> px', '<code><span class="pre">5</span></code>~px'),
        ("24 × 32 pixels, H × W, 3 ×\n4", "24~×~32 pixels, H × W, 3~×~4"),
        ("<p>a ⟦gap.1⟧ px wide</p>", "<p>a ⟦gap.1⟧~px wide</p>"),
        # These stay: no unit, another word, code, formulas, attributes, what scripts hold.
        ("5 scenes, 3 maps, 2 minutes, 7 mm2", "5 scenes, 3 maps, 2 minutes, 7 mm2"),
        ("a px, the % sign", "a px, the % sign"),
        ("<pre>5 % 3</pre><code>5 % 3</code>", "<pre>5 % 3</pre><code>5 % 3</code>"),
        (r"\(5 s\) and \[ 3 m \]", r"\(5 s\) and \[ 3 m \]"),
        ('<img alt="5 px" />', '<img alt="5 px" />'),
        ('<script>"5 px"</script>', '<script>"5 px"</script>'),
        ("<svg><text>5 px</text></svg>", "<svg><text>5 px</text></svg>"),
    ],
)
def test_a_number_and_its_unit_stay_on_one_line(text, kept):
    made = course_units.unbroken(text)
    assert made.replace(course_units.NO_BREAK, "~") == kept
    assert course_units.unbroken(made) == made


BOOK = EXTENSIONS.parents[1] / "book"
PAGES = sorted(BOOK.glob("*.md")) + sorted(BOOK.glob("teaching/[0-9]*.md")) + [BOOK / "teaching/index.md"]
# Code, and what leads somewhere by itself.
_LINKED = re.compile(
    r"^(`{3,}).*?^\1`*$|\{\w+(?::\w+)?\}`[^`]*`|\[[^\]\n]*\]\([^)\n]*\)|`[^`\n]*`", re.S | re.M
)
_NAMED = re.compile(r"\b(?:chapter|lab)s?\s+(?:1[0-8]|[1-9])(?!\d)(?:\.\d)?", re.I)


def bare_chapters(text):
    """Chapters and labs that a page's text, below its title, names without a link."""
    return _NAMED.findall(_LINKED.sub("", re.sub(r"^# .*", "", text)))


def test_what_names_a_chapter_without_a_link_is_found():
    linked = "{ref}`chapter 3 <c>`, {doc}`lab 4 <d>`, [chapter 5](x.md), `chapter 6`, a lab 60 minutes\n\n"
    linked += "```{code}\n# chapter 7\n```\n"
    assert bare_chapters(linked) == []
    assert bare_chapters(f"{linked}as in chapter\n14, Chapter 7's table; lab 13.2") == [
        "chapter\n14", "Chapter 7", "lab 13.2",
    ]  # fmt: skip


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_a_chapter_that_is_named_is_linked(page):
    assert bare_chapters(page.read_text(encoding="utf-8")) == []


def test_a_folded_box_is_details():
    box = (
        '<div class="solution dropdown admonition" id="s1">\n'
        '<p class="admonition-title">Solution to<a href="#e1"> Exercise 1</a></p>\n'
        '<div class="section"><div>deep</div></div>after</div><p>outside</p>'
    )
    assert course_pages.fold(f"<div>{box}</div>") == (
        '<div><details class="solution admonition" id="s1">'
        '<summary class="admonition-title">Solution to Exercise 1</summary>\n'
        '<div class="section"><div>deep</div></div>after</details><p>outside</p></div>'
    )
    assert course_pages.fold(box + box).count("<details") == 2
    plain = '<div class="note admonition"><p class="admonition-title">Note</p></div>'
    assert course_pages.fold(plain) == plain


def test_pictures_say_their_size(tmp_path):
    from PIL import Image

    Image.new("L", (30, 20)).save(tmp_path / "a.png")
    (tmp_path / "b.svg").write_text(
        '<?xml?>\n<svg height="72pt" version="1.1" width="144pt" viewBox="0 0 1 1">'
    )
    (tmp_path / "c.svg").write_text('<svg viewBox="0 0 1 1">')
    sources = {f"{path.stem} 1{path.suffix}": path for path in tmp_path.iterdir()}
    image = '<img alt="x" src="../_images/{}%201.{}"{} />'
    for name, kind, before, after in (
        ("a", "png", "", ' width="30" height="20"'),
        ("b", "svg", "", ' width="192" height="96"'),
        ("c", "svg", "", ""),
        ("gone", "png", "", ""),
    ):
        assert course_pages.sized(image.format(name, kind, before), sources) == image.format(
            name, kind, after
        )
    given = '<img width="5" src="_images/a%201.png" />'
    assert course_pages.sized(given, sources) == given


def scripts(body):
    files = [
        SimpleNamespace(filename=name, attributes={})
        for name in ("doctools.js", "copybutton.js", "mathjax/tex-chtml.js", "scripts/sphinx-book-theme.js")
    ]
    files += [
        SimpleNamespace(filename=None, attributes={"body": text})
        for text in ("window.MathJax = {}", "DOCUMENTATION_OPTIONS.pagename = 1", "let toggleHintShow = 1")
    ]
    files.append(SimpleNamespace(filename=None, attributes={"body": "{}", "type": course_pages._STATE}))
    kept = course_pages._wanted(files, course_pages._needs(body))
    return [file.filename or file.attributes["body"].split(" ")[0] for file in kept]


def test_a_page_loads_what_it_needs():
    assert scripts("<p>text</p>") == ["doctools.js"]
    assert scripts('<div class="highlight"><pre></pre></div>') == ["doctools.js", "copybutton.js"]
    formula = scripts('<span class="math notranslate">x</span>')
    assert formula == ["doctools.js", "mathjax/tex-chtml.js", "window.MathJax"]


def document(*paragraphs):
    section = nodes.section("", nodes.title("", "A title"), *paragraphs)
    made = nodes.document(None, None)
    made += section
    return made


def test_the_description_is_the_first_text_that_stands_for_itself():
    note = nodes.note("", nodes.paragraph("", "A note, long enough to be taken for a description."))
    formula = nodes.paragraph(
        "", "", nodes.Text("A box of "), nodes.math("", r"14 \times 14"), nodes.Text(" cells,\nwhere "),
        nodes.math("", r"\frac{a}{b}"), nodes.Text(" is not read out loud."),
    )  # fmt: skip
    made = document(note, nodes.paragraph("", "Too short."), formula)
    assert course_site.description(made) == "A box of 14 × 14 cells, where … is not read out loud."
    assert course_site.description(document()) == ""
    long = document(nodes.paragraph("", "About an hour. " + "word " * 80))
    assert 150 < len(course_site.description(long)) <= course_site.LONGEST + 1


def book(base):
    return SimpleNamespace(
        config=SimpleNamespace(html_title="The course", html_baseurl=base, root_doc="book/index"),
        builder=SimpleNamespace(get_target_uri=lambda name: f"{name}.html"),
    )


def test_addresses_only_where_one_was_given():
    without = course_site.tags(book(""), "book/13", "13 RoIAlign", 'What "it" is')
    assert "og:url" not in without and "og:image" not in without and "http" not in without
    assert 'name="description" content="What &quot;it&quot; is"' in without
    given = course_site.tags(book("https://x.org/c/"), "book/13", "13 RoIAlign", "What it is")
    assert 'property="og:url" content="https://x.org/c/book/13.html"' in given
    assert 'property="og:image" content="https://x.org/c/_static/card.png"' in given


@pytest.mark.parametrize(
    ("variable", "configured", "base"),
    [
        ("", "", ""),
        ("https://x.org/c", "", "https://x.org/c/"),
        ("", "https://y.org/", "https://y.org/"),
        ("https://x.org", "https://y.org", "https://x.org/"),
    ],
)
def test_the_address_comes_from_the_environment_or_the_configuration(variable, configured, base, monkeypatch):
    monkeypatch.setenv("BOOK_URL", variable)
    config = SimpleNamespace(html_baseurl=configured)
    course_site._take_address(None, config)
    assert config.html_baseurl == base


def test_the_site_map_is_xml():
    from xml.etree import ElementTree

    text = course_site.sitemap(["https://x.org/a.html", "https://x.org/b.html?c=1&d=2"])
    found = [node.text for node in ElementTree.fromstring(text).iter() if node.tag.endswith("loc")]
    assert found == ["https://x.org/a.html", "https://x.org/b.html?c=1&d=2"]


def test_the_card_is_what_its_tags_say():
    from PIL import Image

    path, width, height, _ = course_site.CARD
    card = Path(__file__).parents[1] / "book" / path
    with Image.open(card) as image:
        assert image.size == (width, height)
    assert card.stat().st_size < 100_000


@pytest.mark.parametrize("lost", ["<h1>Lost</h1> é", None])
def test_unknown_addresses_get_the_page_for_lost_readers(lost, tmp_path):
    """As on a host: the status is 404, the page is the book's; folders are not listed; the rest is served."""
    (tmp_path / "labs").mkdir()
    (tmp_path / "index.html").write_text("the book")
    if lost:
        (tmp_path / "404.html").write_text(lost, encoding="utf-8")
    handler = functools.partial(book_tool.Pages, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()

        def ask(method, path):
            connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
            connection.request(method, path)
            answer = connection.getresponse()
            found = answer.status, answer.read().decode(), answer.headers
            connection.close()
            return found

        assert ask("GET", "/")[:2] == (200, "the book")
        for path in ("/no.html", "/labs/no/deeper.png", "/labs/", "/../../etc/passwd"):
            status, body, headers = ask("GET", path)
            assert status == 404
            assert body == lost if lost else "Error code: 404" in body
            assert headers["Content-Type"].startswith("text/html")
            assert ask("HEAD", path)[:2] == (404, "")
        assert ask("POST", "/")[0] == 501
        server.shutdown()


BOOK = EXTENSIONS.parents[1] / "book"
LISTINGS = [
    (page.stem, found[1], found[2], int((re.search(r":max-lines: (\d+)", found[3]) or [0, 24])[1]))
    for page in sorted(BOOK.glob("*.md"))
    for found in re.finditer(
        r"\{segcore-source\} (\w+)\.(\w+)((?:\n:[\w-]+:.*)*)", page.read_text(encoding="utf-8")
    )
]


@pytest.mark.parametrize(("page", "module", "name", "limit"), LISTINGS)
def test_what_a_page_lists_stands_and_is_short(page, module, name, limit):
    """Else the book's build is the first to say so, minutes later."""
    source = function_source(BOOK.parent / "segcore" / f"{module}.py", name)
    assert len(source.splitlines()) <= limit, "divide it"
    shown = narrowed(source)
    assert ast.dump(ast.parse(shown)) == ast.dump(ast.parse(source))
    wide = [line for line in shown.splitlines() if len(line) > 88 and "raise" not in line]
    assert wide == [], "cut in a window of 1280 pixels: break what the formatter does not"


# What stands between two fences: the first one's length, its kind and title, and the lines.
_FENCED = re.compile(r"^(`{3,})\{([\w-]+)\}([^\n]*)\n(.*?)^\1\n", re.M | re.S)
CHAPTERS = sorted(page.stem for page in BOOK.glob("[0-9]*.md"))


def given_away(text, names):
    """Those of the functions that a page lists or writes where a reader need open nothing to see them."""
    seen = []
    for _, kind, title, lines in _FENCED.findall(text):
        if kind == "segcore-source":
            seen.append(title.split(".")[-1])
        elif kind == "code-cell":
            hidden = re.search(r"^:?tags: \[.*\b(?:hide-input|remove-input|remove-cell)\b", lines, re.M)
            seen += [] if hidden else re.findall(r"^def (\w+)", lines, re.M)
        elif ":class: dropdown\n" not in lines:
            seen += given_away(lines, names)
    return sorted(names & set(seen))


def test_what_is_given_away_is_found():
    listing = "```{segcore-source} skips.decode\n```\n"
    cell = "```{code-cell} ipython3\n%s\ndef unet(image):\n    return image\n```\n"
    page = f"# A\n\n{listing}\n{cell % ''}\n````{{admonition}} Code\n{listing}````\n"
    assert given_away(page, {"decode", "unet", "poster"}) == ["decode", "unet"]
    folded = f"````{{admonition}} Code\n:class: dropdown\n\n{listing}````\n{cell % ':tags: [hide-input]'}"
    assert given_away(folded, {"decode", "unet"}) == []


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_no_chapter_shows_unasked_what_its_lab_asks_for(chapter):
    cells = json.loads((BOOK.parent / f"solutions/{chapter}.ipynb").read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    asked = {
        name for text in code if "BEGIN SOLUTION" in text for name in re.findall(r"^def (\w+)", text, re.M)
    }
    assert len(asked) >= 3
    assert given_away((BOOK / f"{chapter}.md").read_text(encoding="utf-8"), asked) == []


SMALL = {
    "book/index": "# Start\n\nA first paragraph that is long enough to stand for the whole of the page.\n\n"
    "```{toctree}\n/book/notation\n/labs/13_roi_align\n```\n",
    "book/notation": "# Notation & more\n\nWhat each letter means, and in what order the axes come.\n",
    "labs/13_roi_align": "# Lab 13\n\nAbout an hour, in which you write RoIAlign as two matrix products.\n",
}


def test_a_book_with_an_address(tmp_path, monkeypatch):
    """Built by Sphinx: each page says where it stands, the site map names the same; else none does."""
    from sphinx.application import Sphinx
    from sphinx.util.docutils import docutils_namespace, patch_docutils

    for name, text in SMALL.items():
        path = tmp_path / "source" / f"{name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    settings = {
        "project": "Small",
        "extensions": ["myst_parser", "course_site"],
        "root_doc": "book/index",
        "html_theme": "sphinx_book_theme",
        "templates_path": [str(BOOK / "_templates")],
        "html_static_path": [str(BOOK / "_static")],
    }

    def built(address):
        monkeypatch.setenv("BOOK_URL", address)
        with patch_docutils(), docutils_namespace():
            out = tmp_path / "html"
            Sphinx(tmp_path / "source", None, out, tmp_path / "trees", "html", settings, status=None).build()
        return out

    out = built("https://example.org/course")
    texts = {name: (out / f"{name}.html").read_text(encoding="utf-8") for name in (*SMALL, "search", "404")}
    for name in (*SMALL, "search"):
        address = f"https://example.org/course/{name}.html"
        assert f'<meta property="og:url" content="{address}" />' in texts[name]
        assert f'<link rel="canonical" href="{address}"' in texts[name]
        card = re.search(r'property="og:image" content="https://example.org/course/([^"]+)"', texts[name])
        assert (out / card[1]).is_file()
    assert 'og:title" content="Notation &amp; more"' in texts["book/notation"]
    assert '<base href="https://example.org/course/" />' in texts["404"]
    places = re.findall(r"<loc>https://example.org/course/(.*?)</loc>", (out / "sitemap.xml").read_text())
    assert places == [f"{name}.html" for name in sorted(SMALL)]
    assert all((out / place).is_file() for place in places)
    out = built("")
    assert not (out / "sitemap.xml").exists()
    for name in (*SMALL, "search", "404"):
        assert "example.org" not in (out / f"{name}.html").read_text(encoding="utf-8")
