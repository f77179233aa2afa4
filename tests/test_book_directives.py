"""The book's own directives: the quiz, the lab card, the bar on lab pages, the chapter map."""

from __future__ import annotations

import json
import re
import sys
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path

import pytest

pytest.importorskip("sphinx")
pytest.importorskip("myst_parser")

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools" / "ext"))

import course_cards  # noqa: E402
import course_quiz  # noqa: E402
from sphinx.application import Sphinx  # noqa: E402
from sphinx.errors import ConfigError  # noqa: E402
from sphinx.util.docutils import docutils_namespace, patch_docutils  # noqa: E402

QUIZ = """# Page

:::{quiz}
Where does $x = 37$ go? See {ref}`there <target>`.

- [ ] $2.3125$
  > No: *exact*.
- [x] To 2,
  rounded.
  > It rounds:
  >
  > ```python
  > round(37 / 16)
  > ```
- [ ] To **3** & up.
  > Too far.
---
Which of these lines are code?

```text
- [ ] this one
---
```

- [x] One.
  > Yes.
- [ ] None.
  > It is fenced.
:::

(target)=
## There

:::{quiz}
Third?

- [X] Yes.
  > Counted through the page.
- [ ] No.
  > No.
:::
"""


def build(folder, pages, *, builder="html", pyproject="", notebooks=None):
    """Build a book of the given pages in a folder of its own; return output folder and warnings."""
    source = folder / "source"
    for name, text in pages.items():
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for name, notebook in (notebooks or {}).items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(json.dumps(notebook), encoding="utf-8")
    if pyproject:
        (source / "pyproject.toml").write_text(pyproject, encoding="utf-8")
    settings = {
        "project": "Test",
        "extensions": ["myst_parser", "course_quiz", "course_cards"],
        "myst_enable_extensions": ["dollarmath", "colon_fence", "tasklist"],
        "root_doc": next(iter(pages)).removesuffix(".md"),
        "html_theme": "basic",
        "nitpicky": True,
        "exclude_patterns": ["**.ipynb"],
    }
    warnings = StringIO()
    with patch_docutils(), docutils_namespace():
        app = Sphinx(
            source,
            None,
            folder / builder,
            folder / "doctrees",
            builder,
            settings,
            status=None,
            warning=warnings,
            freshenv=True,
        )
        app.build()
    return folder / builder, re.sub(r"\x1b\[[0-9;]*m", "", warnings.getvalue())


class Tags(HTMLParser):
    """All start tags of a page, and whether every label holds only phrasing content."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.in_label, self.blocks_in_label = [], False, []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "label":
            self.in_label = True
        elif self.in_label and tag in {"p", "div", "ul", "pre", "table"}:
            self.blocks_in_label.append(tag)

    def handle_endtag(self, tag):
        if tag == "label":
            self.in_label = False

    def all(self, tag, css=""):
        return [
            attrs for name, attrs in self.tags if name == tag and css in [*attrs.get("class", "").split(), ""]
        ]


@pytest.fixture(scope="module")
def quiz_page(tmp_path_factory):
    output, warnings = build(tmp_path_factory.mktemp("quiz"), {"index.md": QUIZ})
    assert warnings == ""
    return (output / "index.html").read_text(encoding="utf-8")


def test_quiz_is_radio_buttons_in_named_groups(quiz_page):
    page = Tags(quiz_page)
    groups = [attrs for _, attrs in page.tags if attrs.get("role") == "radiogroup"]
    assert [group["aria-labelledby"] for group in groups] == [
        f"quiz-{n}-title quiz-{n}-stem" for n in (1, 2, 3)
    ]
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {part for group in groups for part in group["aria-labelledby"].split()} <= set(ids)
    buttons = [(b["name"], b["value"]) for b in page.all("input") if b.get("type") == "radio"]
    assert buttons == [("quiz-1", v) for v in "abc"] + [("quiz-2", v) for v in "ab"] + [
        ("quiz-3", v) for v in "ab"
    ]
    assert not any("checked" in b for b in page.all("input"))


def test_quiz_marks_right_and_wrong_in_words(quiz_page):
    page = Tags(quiz_page)
    marks = [
        "right" if "quiz-right" in attrs["class"] else "wrong" for attrs in page.all("div", "quiz-choice")
    ]
    assert sorted(marks[:3]) == ["right", "wrong", "wrong"]
    assert sorted(marks[3:5]) == sorted(marks[5:]) == ["right", "wrong"]
    assert marks[3:5] != marks[5:]  # two questions with two choices: each place once
    assert quiz_page.count(course_quiz.RIGHT) == 3
    assert quiz_page.count(course_quiz.WRONG) == 4
    assert sum(attrs.get("aria-live") == "polite" for _, attrs in page.tags) == 7
    assert [attrs["data-of"] for attrs in page.all("p", "quiz-score")] == ["2", "1"]


def test_quiz_parses_myst_everywhere(quiz_page):
    page = Tags(quiz_page)
    assert 'href="#target"' in quiz_page
    assert "<em>exact</em>" in quiz_page
    assert "<strong>3</strong> &amp; up." in quiz_page
    assert "To 2,\nrounded." in quiz_page
    assert len(page.all("div", "highlight-python")) == 1
    assert "- [ ] this one\n---" in quiz_page
    assert page.blocks_in_label == []


def test_a_choice_that_is_only_a_formula_has_a_name(quiz_page):
    labels = [b.get("aria-label") for b in Tags(quiz_page).all("input") if b.get("type") == "radio"]
    assert [label for label in labels if label] == ["2.3125"]


def test_an_answer_stays_with_its_choice(quiz_page):
    order = [
        quiz_page.index(words)
        for words in ("To 2,", "It rounds:", "2.3125", "No: <em>", "To <strong>", "Too")
    ]
    for choice, answer in zip(order[::2], order[1::2], strict=True):
        assert choice < answer
        assert not any(choice < other < answer for other in order)


def book_questions():
    for path in sorted((ROOT / "book").glob("*.md")):
        counts = {}
        blocks = re.findall(
            r"^:{3,}\{quiz\}\n(.*?)^:{3,}\s*$", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
        )
        for block in blocks:
            for question in course_quiz.read_questions(block.splitlines()):
                count = len(question.choices)
                serial = counts[count] = counts.get(count, -1) + 1
                yield question, course_quiz.arrange(question, f"book/{path.stem}", serial)


def test_right_answers_of_the_book_have_no_fixed_place():
    shown = {}
    for question, order in book_questions():
        assert {id(choice) for choice in order} == {id(choice) for choice in question.choices}
        places = shown.setdefault(len(order), [0] * len(order))
        places[[choice.correct for choice in order].index(True)] += 1
    assert max(shown[3]) <= 0.4 * sum(shown[3]), shown
    assert all(min(places) > 0 for places in shown.values()), shown


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_places_of_right_answers_balance_however_many_questions_a_page_has(count):
    for questions in range(1, 9):
        places = [
            course_quiz.right_place(f"book/{chapter:02d}_x", count, serial)
            for chapter in range(1, 19)
            for serial in range(questions)
        ]
        used = [places.count(place) for place in range(count)]
        assert max(used) - min(used) <= 6, (questions, used)  # of 18 to 144 questions


def test_an_author_can_keep_the_order(tmp_path):
    body = ":keep-order:\n\nQ?\n\n" + "\n".join(
        f"- [{'x' if n == 4 else ' '}] Number {n}.\n  > Answer {n}." for n in range(6)
    )
    for name, text in (("kept", body), ("dealt", body.replace(":keep-order:\n\n", ""))):
        output, warnings = build(tmp_path / name, {"index.md": f"# Page\n\n:::{{quiz}}\n{text}\n:::\n"})
        assert warnings == ""
        order = re.findall(r"Number (\d)", (output / "index.html").read_text(encoding="utf-8"))
        assert (order == sorted(order)) == (name == "kept")


def test_two_builds_are_equal(quiz_page, tmp_path):
    output, _ = build(tmp_path, {"index.md": QUIZ})
    assert (output / "index.html").read_text(encoding="utf-8") == quiz_page


@pytest.mark.parametrize("builder", ["text", "latex"])
def test_quiz_falls_back_to_a_list(tmp_path, builder):
    output, warnings = build(tmp_path, {"index.md": QUIZ}, builder=builder)
    assert warnings == ""
    text = next(p for p in output.iterdir() if p.suffix in {".txt", ".tex"}).read_text(encoding="utf-8")
    for words in (
        "Question 1",
        "Question 3",
        "Right.",
        "Not quite.",
        "Too far.",
        "round(37 / 16)",
        "Counted through the page.",
    ):
        assert words in text or words.replace("(37 / 16)", "") in text


@pytest.mark.parametrize(
    ("body", "line", "message"),
    [
        ("Q?\n\n- [ ] A\n  > a\n- [ ] B\n  > b", 4, "no choice of this quiz question is correct"),
        ("Q?\n\n- [x] A\n  > a\n- [x] B\n  > b", 8, "one correct choice"),
        ("Q?\n\n- [x] A\n  > a", 4, "at least two choices"),
        ("Q?", 4, "at least two choices"),
        ("Q?\n\n- [x] A\n  > a\n- [ ] B", 8, "has no answer"),
        ("Q?\n\n- [x] A\n  > a\n- [ ] \n  > b", 8, "says nothing"),
        ("- [x] A\n  > a\n- [ ] B\n  > b", 4, "asks nothing"),
        ("Q?\n\n- [x] A\n  > a\n- [ ] - B\n  > b", 8, "one paragraph"),
        ("Q?\n\n- [x] A\n  > a\n- [ ] B\n  > b\n---\nR?\n\n- [x] C\n- [ ] D\n  > d", 13, "has no answer"),
        ("Q?\n\n- [x] A\n  > {ref}`nowhere`\n- [ ] B\n  > b", 7, "nowhere"),
    ],
)
def test_wrong_use_is_a_warning_at_its_line(tmp_path, body, line, message):
    _, warnings = build(tmp_path, {"index.md": f"# Page\n\n:::{{quiz}}\n{body}\n:::\n"})
    where = re.findall(r"index\.md:(\d+): WARNING: (.*)", warnings)
    assert len(where) == 1, warnings
    assert message in where[0][1]
    assert int(where[0][0]) == line


def notebook(title="Lab 13: RoIAlign", course=None):
    cells = [{"cell_type": "markdown", "metadata": {}, "source": [f"# {title}\n", "\n", "text"]}]
    course = (
        {"minutes": 60, "exercises": ["13.1", {"id": "13.2", "title": "Bilinear"}]}
        if course is None
        else course
    )
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {"course": course}, "cells": cells}


def card_book(folder, *, pyproject="", solution=None):
    pages = {
        "book/index.md": "# Start\n\n```{chapter-map}\n```\n\n"
        "```{toctree}\n13_roi_align\n/labs/13_roi_align\n/solutions/13_roi_align\n```\n",
        "book/13_roi_align.md": "# RoIAlign\n\n```{lab-card} 13_roi_align\n```\n",
        "labs/13_roi_align.md": "# Lab\n\ntext\n",
        "solutions/13_roi_align.md": "# Solved lab\n\ntext\n",
    }
    notebooks = {
        "labs/13_roi_align.ipynb": notebook(),
        "solutions/13_roi_align.ipynb": solution or notebook(),
    }
    output, warnings = build(folder, pages, pyproject=pyproject, notebooks=notebooks)
    read = {name: (output / name.replace(".md", ".html")).read_text(encoding="utf-8") for name in pages}
    return read, warnings, output


def links(html):
    return re.findall(
        r'<a class="[^"]*" (?:download="" )?href="([^"]+)"', html[html.index("lab-links") :].split("</p>")[0]
    )


def test_card_says_what_the_solution_says(tmp_path, monkeypatch):
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    pages, warnings, output = card_book(tmp_path)
    assert warnings == ""
    card = pages["book/13_roi_align.md"]
    for words in (
        "Lab 13: RoIAlign",
        "About 60 minutes, 2 exercises.",
        "13.2 Bilinear",
        'make</span> <span class="pre">lab',
    ):
        assert words in card
    read, download, solved = links(card)
    assert read == "../labs/13_roi_align.html"
    assert solved == "../solutions/13_roi_align.html"
    assert json.loads((output / "book" / download).resolve().read_text(encoding="utf-8"))["nbformat"] == 4
    assert not re.search(r"colab|mybinder", "".join(pages.values()))


def test_launch_links_where_the_course_is_published(tmp_path):
    pages, warnings, _ = card_book(
        tmp_path, pyproject='[tool.course]\nrepository = "https://github.com/owner/name"\n'
    )
    assert warnings == ""
    for name in ("book/13_roi_align.md", "labs/13_roi_align.md"):
        assert (
            "https://colab.research.google.com/github/owner/name/blob/main/labs/13_roi_align.ipynb"
            in pages[name]
        )
        assert "https://mybinder.org/v2/gh/owner/name/main?labpath=labs/13_roi_align.ipynb" in pages[name]


def test_lab_pages_get_a_bar_under_their_title(tmp_path, monkeypatch):
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    pages, _, _ = card_book(tmp_path)
    for name, others in (
        ("labs", ["See it solved", "Read the chapter"]),
        ("solutions", ["Read the lab", "Read the chapter"]),
    ):
        html = pages[f"{name}/13_roi_align.md"]
        assert html.index("</h1>") < html.index("lab-bar") < html.index("<p>text</p>")
        assert all(words in html for words in [*others, "Download the lab"])
    assert "lab-bar" not in pages["book/13_roi_align.md"]


def test_map_links_what_stands_and_says_what_does_not(tmp_path):
    pages, _, _ = card_book(tmp_path)
    html = pages["book/index.md"]
    assert html.count("in preparation") == 17
    assert (
        len(re.findall(r'href="\d\d_', html[html.index("chapter-map") : html.index("toctree-wrapper")])) == 1
    )
    assert (
        html.index("I. Bottom-up")
        < html.index("II. Semantic")
        < html.index("III. Instance")
        < html.index("IV. Other")
    )


def test_map_calls_a_chapter_by_its_own_title(tmp_path):
    card_book(tmp_path)
    path = tmp_path / "source/book/13_roi_align.md"
    path.write_text("# Boxes, cut out\n", encoding="utf-8")
    output, warnings = build(tmp_path, {"book/index.md": (tmp_path / "source/book/index.md").read_text()})
    assert warnings == ""
    html = (output / "book/index.html").read_text(encoding="utf-8")
    assert "Boxes, cut out" in html[html.index("chapter-map") : html.index("toctree-wrapper")]


def test_map_follows_a_chapter_that_is_added(tmp_path):
    card_book(tmp_path)
    (tmp_path / "source/book/03_metrics.md").write_text(
        "---\norphan: true\n---\n# Metrics\n", encoding="utf-8"
    )
    pages, warnings, _ = card_book(tmp_path)
    assert warnings == ""
    assert pages["book/index.md"].count("in preparation") == 16


def test_map_and_check_engine_agree_on_the_chapters():
    checks = pytest.importorskip("segcore.checks")
    theirs = {f"{int(number):02d}_{slug}" for number, slug in checks.CHAPTERS.items()}
    assert set(course_cards.CHAPTERS) == theirs


@pytest.mark.parametrize(
    ("course", "message"),
    [
        ({}, "minutes = None"),
        ({"minutes": "60"}, "minutes = '60'"),
        ({"minutes": 0}, "minutes = 0"),
        ({"minutes": True}, "minutes = True"),
    ],
)
def test_lab_without_minutes_is_a_warning(tmp_path, course, message):
    _, warnings, _ = card_book(tmp_path, solution=notebook(course=course))
    assert message in warnings
    assert re.search(r"13_roi_align\.md:3: WARNING", warnings)


def test_missing_lab_is_a_warning(tmp_path):
    _, warnings = build(tmp_path, {"index.md": "# A\n\n```{lab-card} 13_roi_align\n```\n"})
    assert "13_roi_align.ipynb, which cannot be read" in warnings


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("", ""),
        ("https://github.com/owner/name", "owner/name"),
        ("https://github.com/owner/name.git", "owner/name"),
        ("owner/na.me/", "owner/na.me"),
    ],
)
def test_repository_is_found(tmp_path, monkeypatch, stated, expected):
    """In one place: where GitHub's workflows run is not where the labs' first cell fetches the course."""
    path = tmp_path / "pyproject.toml"
    path.write_text(f'[tool.course]\nrepository = "{stated}"\n', encoding="utf-8")
    monkeypatch.setenv("GITHUB_REPOSITORY", "other/fork")
    assert course_cards.find_repository(path) == expected
    assert course_cards.find_repository(tmp_path / "none.toml") == ""


def test_another_host_is_refused(tmp_path):
    path = tmp_path / "pyproject.toml"
    path.write_text('[tool.course]\nrepository = "https://example.org/owner/name"\n', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"OWNER/NAME or empty, got 'https://example\.org/owner/name'"):
        course_cards.find_repository(path)
