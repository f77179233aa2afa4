"""How a reader finds the way: numbers and order of the pages, the search index, what hover cards hold."""

from __future__ import annotations

import doctest
import json
import re
import sys
from pathlib import Path

import pytest

pytest.importorskip("sphinx")
pytest.importorskip("myst_parser")

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools" / "ext"))

import course_hover  # noqa: E402
import course_numbers  # noqa: E402
import course_search  # noqa: E402
from sphinx.application import Sphinx  # noqa: E402
from sphinx.util.docutils import docutils_namespace, patch_docutils  # noqa: E402


def figure(name, words):
    return f"```{{figure}} /dot.svg\n:name: {name}\n{words}\n```\n\n"


def equation(name, formula):
    return f"```{{math}}\n:label: {name}\n{formula}\n```\n\n"


PAGES = {
    "book/index.md": "# Start\n\n{numref}`fig-b` and {eq}`eq-b`, {doc}`/book/13_roi_align`.\n\n"
    "```{toctree}\n:includehidden:\n/book/notation\n/book/03_metrics\n/book/13_roi_align\n/book/glossary\n```\n",
    "book/notation.md": "# Notation\n\n" + equation("eq-n", "n"),
    "book/glossary.md": "# Glossary\n\n" + figure("fig-g", "Of the glossary."),
    "book/03_metrics.md": "# Metrics\n\n## The idea\n\n"
    + figure("fig-a", "First.")
    + equation("eq-a", "a")
    + "```{toctree}\n:hidden:\n/labs/03_metrics\n/solutions/03_metrics\n```\n",
    "labs/03_metrics.md": "# Lab 3: Metrics\n\n" + figure("fig-lab", "Of a lab."),
    "solutions/03_metrics.md": "# Lab 3: Metrics\n\n" + figure("fig-solved", "Of a solution."),
    "book/13_roi_align.md": "# RoIAlign\n\n"
    + figure("fig-b", "Second.")
    + figure("fig-c", "Third.")
    + equation("eq-b", "b")
    + "## On paper\n\nSee {numref}`fig-c` and {numref}`fig-lab`.\n\n"
    + "```{toctree}\n:hidden:\n/labs/13_roi_align\n/solutions/13_roi_align\n```\n",
    "labs/13_roi_align.md": "# Lab 13: RoIAlign\n\ntext\n",
    "solutions/13_roi_align.md": "# Lab 13: RoIAlign\n\ntext\n",
}
DOT = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><circle r="4" cx="4" cy="4"/></svg>'


def write(folder, pages):
    for name, text in {**pages, "dot.svg": DOT}.items():
        path = folder / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def build(folder, *, extensions=("course_numbers",), fresh=True, **settings):
    """Build the pages of a folder; return the output folder and the names of the pages that were written."""
    written = []
    settings = {
        "project": "Test",
        "extensions": ["myst_parser", *extensions],
        "myst_enable_extensions": ["dollarmath", "colon_fence"],
        "root_doc": "book/index",
        "html_theme": "basic",
        "html_secnumber_suffix": " ",
        "numfig": True,
        "nitpicky": True,
        **settings,
    }
    with patch_docutils(), docutils_namespace():
        app = Sphinx(
            folder / "source",
            None,
            folder / "html",
            folder / "doctrees",
            "html",
            settings,
            status=None,
            warningiserror=True,
            freshenv=fresh,
        )
        app.connect("html-page-context", lambda app, page, *rest: written.append(page))
        app.build()
    return folder / "html", [page for page in written if "/" in page]


def read(output, page):
    return (output / f"{page}.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def numbered(tmp_path_factory):
    folder = tmp_path_factory.mktemp("numbers")
    write(folder, PAGES)
    return build(folder)[0]


@pytest.mark.parametrize("module", [course_numbers, course_search, course_hover])
def test_examples_in_docstrings(module):
    result = doctest.testmod(module)
    assert result.attempted > 0 and result.failed == 0


def words(html):
    return " ".join(re.sub(r"<[^>]+>", "", html).split())


@pytest.mark.parametrize(
    ("page", "title"),
    [
        ("book/03_metrics", "3 Metrics"),
        ("book/13_roi_align", "13 RoIAlign"),
        ("labs/13_roi_align", "Lab 13: RoIAlign"),
        ("book/notation", "Notation"),
    ],
)
def test_a_title_has_the_number_of_its_address(numbered, page, title):
    html = read(numbered, page)
    assert words(re.search(r"<title>(.*?)</title>", html, re.DOTALL)[1]).startswith(f"{title} &#8212;")
    assert words(re.search(r"<h1>(.*?)<a", html, re.DOTALL)[1]) == title


def test_sections_have_no_numbers(numbered):
    headings = re.findall(r"<h2>(.*?)<a", read(numbered, "book/13_roi_align"), re.DOTALL)
    assert [words(h) for h in headings] == ["On paper"]


def test_the_contents_show_numbers_and_short_names_of_labs(numbered):
    html = read(numbered, "book/index")
    tree = html[html.index("toctree-wrapper") :]
    entries = [words(link) for link in re.findall(r"<a [^>]*>(.*?)</a>", tree[: tree.index("</div>")])]
    assert entries == [
        "Notation",
        "3 Metrics",
        "The idea",
        "Lab 3",
        "Lab 3, solved",
        "13 RoIAlign",
        "On paper",
        "Lab 13",
        "Lab 13, solved",
        "Glossary",
    ]


def test_figures_and_equations_count_within_their_chapter(numbered):
    def captions(page):
        return re.findall(r'caption-number">(.*?) </span>', read(numbered, page))

    def equations(page):
        return re.findall(r'eqno">\((.*?)\)', read(numbered, page))

    assert captions("book/03_metrics") == ["Fig. 3.1"]
    assert captions("book/13_roi_align") == ["Fig. 13.1", "Fig. 13.2"]
    assert captions("labs/03_metrics") == ["Fig. L3.1"]
    assert captions("solutions/03_metrics") == ["Fig. S3.1"]
    assert captions("book/glossary") == ["Fig. 1"]
    assert (equations("book/03_metrics"), equations("book/13_roi_align"), equations("book/notation")) == (
        ["3.1"],
        ["13.1"],
        ["1"],
    )


def test_references_say_what_the_captions_say(numbered):
    chapter, start = words(read(numbered, "book/13_roi_align")), words(read(numbered, "book/index"))
    assert "See Fig. 13.2 and Fig. L3.1." in chapter
    assert "Fig. 13.1 and (13.1), RoIAlign." in start


def around(html):
    """Where the page says that the reader came from and goes to."""
    found = dict(re.findall(r'<link rel="(prev|next)" title="[^"]*" href="([^"]*)"', html))
    return found.get("prev"), found.get("next")


@pytest.mark.parametrize(
    ("page", "before", "after"),
    [
        ("book/notation", "index.html", "03_metrics.html"),
        ("book/03_metrics", "notation.html", "../labs/03_metrics.html"),
        ("labs/03_metrics", "../book/03_metrics.html", "../book/13_roi_align.html"),
        ("solutions/03_metrics", "../labs/03_metrics.html", "../book/13_roi_align.html"),
        ("book/13_roi_align", "../labs/03_metrics.html", "../labs/13_roi_align.html"),
        ("labs/13_roi_align", "../book/13_roi_align.html", "../book/glossary.html"),
        ("book/glossary", "../labs/13_roi_align.html", None),
    ],
)
def test_next_goes_from_chapter_to_lab_to_chapter(numbered, page, before, after):
    assert around(read(numbered, page)) == (before, after)


def test_the_next_page_is_named_with_its_number(numbered):
    assert re.search(r'<link rel="next" title="13 RoIAlign"', read(numbered, "labs/03_metrics"))


def test_a_second_build_writes_only_what_changed(tmp_path):
    write(tmp_path, PAGES)
    _, written = build(tmp_path)
    assert len(written) == len(PAGES)
    assert build(tmp_path, fresh=False)[1] == []
    path = tmp_path / "source/book/03_metrics.md"
    path.write_text(path.read_text(encoding="utf-8") + "\nMore.\n", encoding="utf-8")
    assert "book/13_roi_align" not in build(tmp_path, fresh=False)[1]


BODY = """
<section id="roialign">
<h1><span class="section-number">13 </span>RoIAlign<a class="headerlink" href="#x">#</a></h1>
<p>A <a href="g.html"><span>feature
map</span></a> of <span class="math">\\(14 \\times 14\\)</span>.</p>
<div class="math" id="equation-e"><span class="eqno">(13.1)</span>\\[O = W\\]</div>
<div class="cell"><details><summary><p class="collapsed">Show code</p></summary>
<div class="cell_input"><pre>coin = <span>10</span>
x = roi_<wbr>align(coin)</pre></div></details>
<div class="cell_output"><pre>12345</pre>
<figure><img alt="no"><figcaption><p>A coin.</p></figcaption></figure></div></div>
<section id="paper"><h2>On paper</h2><p>Words.</p>
<div class="admonition exercise"><section id="exercise-content"><p>Move the box.</p></section></div>
<div class="admonition solution"><p>SECRET</p></div><p>After.</p>
<div class="quiz"><p>Asked?</p><div class="quiz-choice"><p>SECRET</p></div></div>
<div class="segcore-widget">SECRET<script>SECRET</script></div></section></section>
"""


def test_the_text_of_a_page_is_what_a_reader_sees_unasked():
    empty, title, paper = course_search.PageText(BODY).sections
    assert empty == ["", "", "", ""]
    assert title == [
        "roialign",
        "13 RoIAlign",
        "A feature map of 14 × 14.\nA coin.",
        "coin = 10\nx = roi_align(coin)",
    ]
    assert paper == ["paper", "On paper", "Words.\nMove the box.\nAfter.\nAsked?", ""]


def test_terms_and_references_are_sections_of_their_own():
    terms = """<section id="glossary"><h1>Glossary</h1><dl class="simple glossary">
    <dt id="term-AP">AP<a class="headerlink">#</a></dt><dt id="term-average-precision">average precision</dt>
    <dd><p>An area.</p></dd><dt id="term-bin">bin</dt><dd><p>A cell.</p></dd></dl>
    <div class="citation" id="id7"><span class="label"><span>[</span>1]</span><p>Achanta.</p></div>
    </section>"""
    assert course_search.PageText(terms).sections[1:] == [
        ["glossary", "Glossary", "", ""],
        ["term-AP", "AP, average precision", "An area.", ""],
        ["term-bin", "bin", "A cell.", ""],
        ["id7", "[1]", "Achanta.", ""],
    ]


SEARCHED = {
    **PAGES,
    "segcore/roi_align.py": '__all__ = ["roi_align"]\n\ndef roi_align():\n    """Read boxes."""\n',
    "segcore/viz.py": '__all__ = ["show", "hide"]\n\ndef show():\n    """Draw."""\n\n'
    'def hide():\n    """Wipe."""\n\ndef _private():\n    pass\n',
    "book/how_to.md": "---\norphan: true\n---\n# How to\n",
    "book/03_metrics.md": PAGES["book/03_metrics.md"] + "\n## Drawn\n\n```python\nshow(x)\n```\n",
}


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    folder = tmp_path_factory.mktemp("search")
    write(folder, SEARCHED)
    output, _ = build(folder, extensions=("course_numbers", "course_search"))
    return folder, output


def index(output):
    text = (output / "_static/search-index.js").read_text(encoding="utf-8")
    return json.loads(text.removeprefix("globalThis.courseSearch = ").removesuffix(";\n"))


def test_the_index_holds_chapters_first_and_no_solutions(searched):
    pages = [page["p"] for page in index(searched[1])]
    assert pages == [
        "book/03_metrics",
        "book/13_roi_align",
        "book/index",
        "book/notation",
        "book/glossary",
        "labs/03_metrics",
        "labs/13_roi_align",
    ]


def test_every_public_function_is_explained_somewhere(searched):
    named = {name: (page["t"], page["s"][at][1]) for page in index(searched[1]) for name, _, at in page["f"]}
    assert named == {"roi_align": ("13 RoIAlign", "13 RoIAlign"), "show": ("3 Metrics", "Drawn")}
    # what no page calls would be explained in how_to, which this book has only as an orphan


def test_only_the_search_page_loads_the_index(searched):
    _, output = searched
    loading = [
        path.name for path in output.rglob("*.html") if "search-index.js" in path.read_text(encoding="utf-8")
    ]
    assert loading == ["search.html"]
    assert not (output / "searchindex.js").exists()


def test_a_page_that_was_not_written_again_stays_in_the_index(tmp_path):
    write(tmp_path, SEARCHED)
    both = ("course_numbers", "course_search")
    build(tmp_path, extensions=both)
    path = tmp_path / "source/book/13_roi_align.md"
    path.write_text(path.read_text(encoding="utf-8") + "\nA new word: zebra.\n", encoding="utf-8")
    output, written = build(tmp_path, extensions=both, fresh=False)
    assert "book/03_metrics" not in written
    pages = {page["p"]: json.dumps(page) for page in index(output)}
    assert len(pages) == 7 and "zebra" in pages["book/13_roi_align"] and "First." in pages["book/03_metrics"]


HOVERED = {
    **{name: text for name, text in PAGES.items() if name != "book/glossary.md"},
    "book/glossary.md": "# Glossary\n\n```{glossary}\nstride\nstep\n"
    "  Pixels for one step, $s^2$ in all. See {term}`bin`.\n\nbin\n  A cell.\n```\n",
    "book/notation.md": PAGES["book/notation.md"]
    + "\n{term}`stride` twice, {term}`stride`; {eq}`eq-b`; {numref}`fig-b`; {ref}`words <here>`.\n",
    "book/03_metrics.md": "(here)=\n" + PAGES["book/03_metrics.md"],
    "labs/03_metrics.md": PAGES["labs/03_metrics.md"] + "\n{term}`stride`\n",
}
ALL = ("course_numbers", "course_search", "course_hover", "sphinx.ext.mathjax")


def cards(output, page):
    html = read(output, page)
    assert html.count("<template") == html.count('<template id="course-cards">') <= 1
    return dict(
        re.findall(r'<div data-card="([^"]*)">(.*?)</div>\n(?=<div data-card|</template>)', html, re.DOTALL)
    )


@pytest.fixture(scope="module")
def hovered(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hover")
    write(folder, HOVERED)
    return build(folder, extensions=ALL)[0]


def test_a_page_carries_each_card_once_that_its_links_need(hovered):
    found = cards(hovered, "book/notation")
    assert set(found) == {
        "glossary.html#term-stride",
        "13_roi_align.html#equation-eq-b",
        "13_roi_align.html#fig-b",
    }
    assert words(found["glossary.html#term-stride"]) == "stridePixels for one step, s2 in all. See bin."
    assert "<sup>2</sup>" in found["glossary.html#term-stride"]
    assert words(found["13_roi_align.html#equation-eq-b"]) == r"(13.1)\[b\]"
    assert words(found["13_roi_align.html#fig-b"]) == "Fig. 13.1 Second."


def test_addresses_in_a_card_lead_where_they_led(hovered):
    for page in ("book/notation", "labs/03_metrics"):
        for card in cards(hovered, page).values():
            for to in re.findall(r'(?:href|src)="([^"#]*)', card):
                assert (hovered / page).parent.joinpath(to).resolve().is_file(), (page, to)
    assert 'href="../book/glossary.html#term-bin"' in "".join(cards(hovered, "labs/03_metrics").values())


def test_a_page_without_such_links_carries_nothing(hovered):
    assert cards(hovered, "solutions/13_roi_align") == {}


def test_a_card_has_no_anchor_of_its_own(hovered):
    assert all(
        " id=" not in card and "headerlink" not in card for card in cards(hovered, "book/notation").values()
    )


def test_a_changed_definition_reaches_pages_that_were_not_written(tmp_path):
    write(tmp_path, HOVERED)
    build(tmp_path, extensions=ALL)
    path = tmp_path / "source/book/glossary.md"
    path.write_text(
        path.read_text(encoding="utf-8").replace("Pixels for one", "Zebras for one"), encoding="utf-8"
    )
    output, written = build(tmp_path, extensions=ALL, fresh=False)
    assert "book/notation" not in written
    assert "Zebras" in cards(output, "book/notation")["glossary.html#term-stride"]
