"""The course on paper: two small pages go through every step, from the built HTML to the printed file."""

from __future__ import annotations

import base64
import io
import os
import re
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
pytest.importorskip("bs4")
sys.path.insert(0, str(ROOT / "tools"))

import pdf  # noqa: E402
import pdf_book  # noqa: E402
import pdf_pages  # noqa: E402
import stills  # noqa: E402
from bs4 import BeautifulSoup  # noqa: E402


def picture(kind="PNG", noise=True, size=(90, 60)):
    image = Image.effect_noise(size, 80).convert("RGB") if noise else Image.new("RGB", size, "red")
    if noise:  # one channel alone would be 256 colours at most
        image = Image.merge("RGB", [Image.effect_noise(size, 80) for _ in range(3)])
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def data(kind="PNG", **options):
    return f"data:image/{kind.lower()};base64,{base64.b64encode(picture(kind, **options)).decode()}"


LONG = "A heading of more words than one line of a sheet can hold, so that it goes on in a second"
CHAPTER = """
<section id="first"><span id="chapter-first"></span>
<h1><span class="section-number">1 </span>First things<a class="headerlink" href="#first">#</a></h1>
<p>See <a href="#fig-one">Fig. 1.1</a>, the <a href="../labs/01_first.html#task">lab</a>,
<a href="../solutions/01_first.html">the solution</a>, <a href="02_second.html">the next</a>,
<a href="#widget:a=1">a state</a> and <a href="https://example.org/paper">a paper</a>.</p>
<div class="cell docutils container"><div class="cell_output docutils container"><figure id="fig-one">
<div class="course-figure" id="figure-1"><style>.x{}</style>
<svg data-layout="wide" width="300" height="200" viewBox="0 0 300 200">
<path id="fw-a" d="M0 0L300 200"/></svg>
<svg data-layout="narrow" width="100" height="200" viewBox="0 0 1 2"></svg></div>
<figcaption><p><span class="caption-number">Fig. 1.1 </span>A line.</p></figcaption></figure></div>
<details class="admonition hide below-figure"><summary>Code of this figure</summary><pre>hidden</pre>
</details></div>
<div class="segcore-widget" data-widget="widget" role="group" aria-label="A thing to turn">
<script type="application/json">{}</script><figure class="segcore-still"><picture>
<source srcset="x"><img src="STILL" alt="still"></picture>
<figcaption class="segcore-fallback">interactive</figcaption></figure><button>go</button></div>
<details class="solution admonition" id="s1"><summary>Solution</summary><p>It is so.</p></details>
<h2>LONG</h2><pre>some code</pre>
<div class="quiz"><div class="quiz-question" role="radiogroup"><p class="quiz-title">Question 1</p>
<div class="quiz-stem"><p>Which?</p></div>
<div class="quiz-choice quiz-wrong"><label class="quiz-label" for="a"><input type="radio" id="a">
<span class="quiz-text">This.</span></label>
<div class="quiz-answer"><p><b class="quiz-verdict">Not quite.</b> WHYNOT,
see <a href="02_second.html#s">there</a> and <a href="../solutions/01_first.html">here</a></p></div></div>
<div class="quiz-choice quiz-right"><label class="quiz-label" for="b"><input type="radio" id="b">
<span class="quiz-text">That.</span></label>
<div class="quiz-answer"><p><b class="quiz-verdict">Right.</b> BECAUSE</p></div></div>
</div></div>
<div class="prompt"><p class="prompt-title" id="p1-title">Prompt 1</p>
<div class="prompt-ask"><p>2 + 2?</p></div>
<form class="prompt-form"><label for="f">x</label><input id="f"><button>Check</button></form>
<details class="prompt-solution"><summary>Answer</summary><p>FOUR</p></details></div></section>
""".replace("STILL", data("PNG")).replace("LONG", LONG)

LAB = """
<section id="lab"><h1>Lab 1: First things</h1><div class="lab-bar docutils container"><p>bar</p></div>
<div class="cell docutils container"><pre>import torch</pre></div>
<section id="task"><h2>1.1 A task</h2><p>Do it.</p>
<div class="cell docutils container"><pre>def f(x):
    # YOUR CODE HERE</pre></div>
<div class="cell docutils container"><pre>f = check("1.1", f)</pre></div>
<details><summary>Expected picture</summary><img alt="x" src="../_images/photo.png"></details>
<p>YOUR ANSWER HERE</p></section></section>
"""

NAMES = ("book/01_first", "labs/01_first", "book/02_second")
PART = "Part I. Of a name that is too long for a line of its sheet"
GROUPS = [(PART, NAMES[:2]), ("Part II", NAMES[2:])]


@pytest.fixture
def built(tmp_path):
    """A built book of three pages."""
    for folder in ("book", "labs", "_images", "_static"):
        (tmp_path / folder).mkdir()
    (tmp_path / "_images" / "photo.png").write_bytes(picture())
    (tmp_path / "_static" / "card.png").write_bytes(picture(noise=False))
    (tmp_path / "_static" / "own.css").write_text("p { margin: 0 }")
    second = "<section id='s'><h1>Second &amp; last</h1>" + "<p>Many words. </p>" * 90 + "</section>"
    head = '<link rel="stylesheet" href="../_static/own.css" /><script src="../_static/frame.js"></script>'
    for name, body in zip(NAMES, (CHAPTER, LAB, second), strict=True):
        article = f'<article class="bd-article">{body}</article>'
        page = f"<html><head>{head}</head><body><nav>menu</nav>{article}</body></html>"
        (tmp_path / f"{name}.html").write_text(page, encoding="utf-8")
    return tmp_path


def test_formulas_wait_for_no_widget(built):
    page = built / f"{NAMES[0]}.html"
    script = '<script type="formulas" src="../_static/mathjax/tex-chtml.js"></script>'
    page.write_text(page.read_text(encoding="utf-8").replace("</head>", f"{script}</head>"), encoding="utf-8")
    soup = BeautifulSoup(pdf_book.document(built, GROUPS), "html.parser")
    assert [each.attrs for each in soup.find_all("script")] == [{"src": "_static/mathjax/tex-chtml.js"}]


def test_what_paper_cannot_do_is_left_out_and_links_lead_inside(built):
    soup = BeautifulSoup(pdf_book.document(built, GROUPS), "html.parser")
    assert soup.select("button, input, nav, .headerlink, .segcore-fallback, .course-figure style") == []
    assert soup.find_all("script") == []
    assert len(soup.select(".course-figure svg")) == 1, "one layout"
    assert "hidden" not in soup.get_text() and "some code" in soup.get_text()
    assert soup.select_one("details.solution").has_attr("open")
    ids = [node["id"] for node in soup.find_all(id=True)]
    assert len(ids) == len(set(ids))
    inside = [link["href"][1:] for link in soup.select("a[href^='#']")]
    assert set(inside) <= set(ids) and {
        "book-01-first--fig-one",
        "labs-01-first--task",
        "book-02-second",
    } <= set(inside)
    outside = {link["href"] for link in soup.select("a[href]")} - {f"#{name}" for name in inside}
    assert outside == {"https://example.org/paper"}, "what is not printed and has no address is no link"
    assert "book/01_first.html#widget" in soup.select_one(".print-widget figcaption").get_text()
    assert {each["data-page"] for each in soup.select("[data-page]")} <= set(ids)
    assert [sheet["href"] for sheet in soup.select("link")] == ["_static/own.css"]


def test_where_the_book_is_published_all_links_are_alive(built):
    soup = BeautifulSoup(pdf_book.document(built, GROUPS, "https://example.org/course/"), "html.parser")
    links = {link["href"] for link in soup.select("a[href]")}
    assert "https://example.org/course/book/01_first.html#widget" in links
    assert "https://example.org/course/book/01_first.html#widget:a=1" in links, (
        "a sentence that sets a figure"
    )
    assert "https://example.org/course/solutions/01_first.html" in links


def test_answers_stand_at_the_end_and_nowhere_else(built):
    soup = BeautifulSoup(pdf_book.document(built, GROUPS), "html.parser")
    answers = soup.select_one("#print-answers").extract()
    assert "BECAUSE" not in soup.get_text() and "WHYNOT" not in soup.get_text()
    assert [letter.get_text() for letter in soup.select(".print-letter")] == ["a", "b"]
    assert answers.select_one(".print-answer p").get_text() == "Question 1: b"
    assert answers.select_one(".print-right").get_text().split() == ["b", "BECAUSE"]
    assert all(soup.find(id=link["href"][1:]) is not None for link in answers.select("a"))
    assert "2 + 2?" in soup.get_text() and "FOUR" not in soup.get_text() and soup.find("form") is None
    assert answers.select(".print-answer")[1].get_text(" ", strip=True) == "Prompt 1 FOUR"


def test_a_lab_is_its_tasks_with_room_to_write(built):
    page = pdf_pages.read_page(built, "labs/01_first", NAMES)
    text = page.body.get_text()
    assert "YOUR CODE HERE" in text and "Do it." in text and "labs/01_first.ipynb" in text
    assert not re.search("import torch|check\\(|YOUR ANSWER|bar", text)
    assert len(page.body.select(".print-lines i")) == pdf_pages.LINES


def test_photographs_are_jpeg_and_drawings_stay_exact():
    noisy, plain = picture(), picture(noise=False)
    assert pdf_pages.lighter("x.png", noisy).startswith("data:image/jpeg")
    assert pdf_pages.lighter("x.png", plain) == "x.png"
    buffer = io.BytesIO()
    clear = Image.open(io.BytesIO(noisy)).convert("RGBA")
    clear.putalpha(100)
    clear.save(buffer, "PNG")
    assert pdf_pages.lighter("x.png", buffer.getvalue()) == "x.png", "a JPEG has nothing to see through"


def test_headings_go_down_together():
    body = BeautifulSoup("<div><h1>a</h1><h2>b</h2><h6>c</h6></div>", "html.parser").div
    pdf_pages.lower_headings(body, 1)
    assert [(each.name, each["class"]) for each in body.find_all(True)] == [
        ("h2", ["print-h1"]),
        ("h3", ["print-h2"]),
        ("h6", ["print-h6"]),
    ]


@pytest.fixture
def has_chromium():
    try:
        stills.chromium()
    except SystemExit as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


def test_printed(built, has_chromium, monkeypatch):
    """Sheets, outline, links, places in their order; twice the same to the byte, and no date of today's."""
    monkeypatch.setattr(pdf, "parts", lambda: GROUPS)
    files = [built / f"{n}.pdf" for n in range(2)]
    for file in files:
        sheets, size = pdf.make(file, html_folder=built)
    made = files[0].read_bytes()
    assert made == files[1].read_bytes() and size == len(made) and sheets == pdf.count(made)
    assert not (built / ".course-on-paper.html").exists()
    places = pdf.pages_of(made)
    parts = [places[pdf_book.part_id(title)] for title, _ in GROUPS]
    chapters = [places[pdf_pages.anchor(name)] for name in NAMES]
    assert places["book-01-first--fig-one"] == chapters[0]
    assert parts[0] < chapters[0] < chapters[1] < parts[1] < chapters[2] < places["print-answers"] <= sheets
    assert places["print-answers"] - chapters[2] >= 2, "ninety paragraphs do not fit one sheet"
    titles = [text.decode("latin-1") for text in re.findall(rb"/Title \(((?:\\.|[^)\\])*)\)", made)]
    assert {PART, "1 First things", LONG, "Lab 1: First things", "1.1 A task"} <= set(titles), titles
    assert b"/URI (https://example.org/paper)" in made and b"HeadlessChrome" not in made
    assert b"file:" not in made and b"/GoToR" not in made and b"/Launch" not in made
    assert set(re.findall(rb"Date \(D:(\d{8})", made)) == {b"20260101"}


def test_the_contents_say_where_each_page_is(built, has_chromium, monkeypatch):
    """What the second print holds is read from the page that it was printed from."""
    seen = []
    original = pdf.pages_of
    monkeypatch.setattr(pdf, "pages_of", lambda made: seen.append(original(made)) or seen[-1])
    draft = built / "draft.html"
    draft.write_text(pdf_book.document(built, GROUPS), encoding="utf-8")
    made = pdf.print_document(draft, "Title")
    assert len(seen) == 2 and seen[0] == seen[1] == original(made), (
        "the numbers fit the sheets that they name"
    )


def test_a_missing_picture_is_said(built, has_chromium):
    draft = built / "draft.html"
    draft.write_text('<p id="a"><a href="#a">x</a><img src="gone.png">', encoding="utf-8")
    with pytest.raises(RuntimeError, match=r"missing: .*gone\.png.*make book"):
        pdf.print_document(draft, "Title")


def test_bad_input_is_named(built, monkeypatch, capsys, tmp_path):
    with pytest.raises(ValueError, match="printed by Chromium"):
        pdf.pages_of(b"%PDF-1.4\n1 0 obj\n<<>>\nendobj")
    monkeypatch.setattr(pdf, "parts", lambda: GROUPS)
    with pytest.raises(ValueError, match="no page of the PDF is called book/09_gone"):
        pdf.make(tmp_path / "x.pdf", ["book/09_gone"], built)
    (built / "book" / "02_second.html").write_text("<html></html>")
    with pytest.raises(ValueError, match="Build the book anew"):
        pdf_pages.read_page(built, "book/02_second", NAMES)
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setattr(stills.shutil, "which", lambda name: None)
    with pytest.raises(SystemExit, match="install one, or set CHROMIUM"):
        pdf.main([])


def test_a_book_that_is_not_built_is_built_first(monkeypatch, tmp_path):
    monkeypatch.setattr(pdf, "ROOT", tmp_path)
    monkeypatch.setattr(pdf, "chromium", lambda: "chromium")
    monkeypatch.setattr(pdf.book, "build", lambda: 7)
    assert pdf.main([]) == 7


def test_every_page_but_solutions_is_printed():
    names = [name for _, pages in pdf_book.parts() for name in pages]
    assert names[0] == pdf_book.FRONT and not any(name.startswith(pdf_book.LEFT_OUT) for name in names)
    assert (
        sum(name.startswith("labs/") for name in names)
        == sum(bool(re.match(r"book/\d", n)) for n in names)
        > 10
    )
