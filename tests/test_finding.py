"""How a reader finds the way: numbers and order of the pages, the search index, what hover cards hold."""

from __future__ import annotations

import doctest
import re
import sys
from pathlib import Path

import pytest

pytest.importorskip("sphinx")
pytest.importorskip("myst_parser")

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools" / "ext"))

import course_numbers  # noqa: E402
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


@pytest.mark.parametrize("module", [course_numbers])
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
