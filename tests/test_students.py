"""The copy for students: what its table of contents leaves out, and what the search for leaks finds."""

from __future__ import annotations

import json
import re
import sys
from io import StringIO
from pathlib import Path

import pytest
import yaml

pytest.importorskip("sphinx")
pytest.importorskip("myst_parser")

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tools" / "ext")]

import course_widgets  # noqa: E402
from course_search import kind  # noqa: E402
from sphinx.application import Sphinx  # noqa: E402
from sphinx.util.docutils import docutils_namespace, patch_docutils  # noqa: E402
from students import contents, leaks, secrets  # noqa: E402

CODE = "rotated = image.flip(1).transpose(1, 2).contiguous()"
ANSWER = "Because a quarter turn exchanges the two axes and reverses one of them."
TAUGHT = "They believe that a turn is a mirror, which it is not."


def files(toc):
    return re.findall(r"(?:file|root): (\S+)", toc)


def test_contents_leave_out_solutions_and_teaching_and_nothing_else():
    whole = (ROOT / "_toc.yml").read_text(encoding="utf-8")
    kept = contents(whole)
    hidden = ("solutions/", "book/teaching/")
    assert files(kept) == [name for name in files(whole) if not name.startswith(hidden)]
    captions = [part["caption"] for part in yaml.safe_load(kept)["parts"]]
    assert captions == [
        part["caption"] for part in yaml.safe_load(whole)["parts"] if part["caption"] != "Teaching"
    ]
    assert sum(name.startswith("labs/") for name in files(kept)) == 18


@pytest.fixture
def house(tmp_path):
    """A course with one solved lab, one instructor's page and a clean built copy."""
    code = f"def f(image):\n    ### BEGIN SOLUTION\n    # why\n    {CODE}\n    ### END SOLUTION"
    shown = "figure, axes = plt.subplots(1, 2, figsize=(8, 3))"
    cells = [
        {"cell_type": "code", "source": f"{shown}\n{code}", "metadata": {}},
        {
            "cell_type": "markdown",
            "source": f"<!-- BEGIN SOLUTION -->\n{ANSWER}\n<!-- END SOLUTION -->",
            "metadata": {},
        },
        {
            "cell_type": "markdown",
            "source": "It is right since a turn is linear in its input.",
            "metadata": {"tags": ["solution-only"]},
        },
    ]
    texts = {
        "solutions/01_a.ipynb": json.dumps({"cells": cells}),
        "book/01_a.md": "# A chapter\n\nIts text and its code are no secret to anybody.\n",
        "book/teaching/01_a.md": f"# Teaching\n\n{TAUGHT}\n",
        "segcore/a.py": "",
        "html/book/01_a.html": "<p>Its text and its code are no secret to anybody.</p>",
        "html/labs/01_a.html": f"<pre>{shown}</pre>",
    }
    for name, text in texts.items():
        write(tmp_path / name, text)
    return tmp_path


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_a_clean_copy_has_no_leaks(house):
    assert leaks(house / "html", house) == []
    assert set(secrets(house).values()) == {"solutions/01_a.ipynb", "book/teaching/01_a.md"}


SPANS = "".join(f'<span class="n">{word}</span> ' for word in CODE.split(" "))


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("labs/01_a.html", f"<pre>{SPANS}</pre>", "holds a line of solutions/01_a.ipynb"),
        ("labs/01_a.html", f"<p>{ANSWER.replace('axes', '<em>axes</em>')}</p>", "holds a line of solutions/"),
        ("_static/search-index.js", json.dumps(f"x\n{ANSWER}"), "holds a line of solutions/01_a.ipynb"),
        ("_downloads/f00/01_a.ipynb", json.dumps({"source": [CODE + "\n"]}), "holds a line of solutions/"),
        ("book/01_a.html", f"<p>{TAUGHT}</p>", "holds a line of book/teaching/01_a.md"),
        ("labs/01_a.html", "<p>It is right since a turn is linear in its input.</p>", "holds a line of sol"),
        (
            "labs/01_a.html",
            '<a href="../solutions/01_a.html#x">solved</a>',
            "leads to ../solutions/01_a.html",
        ),
        ("book/01_a.html", '<a href="teaching/index.html">x</a>', "leads to teaching/index.html"),
        ("solutions/01_a.html", "", "is a page of it"),
        ("_sources/book/teaching/01_a.md", "", "is a page of it"),
    ],
)
def test_every_leak_is_found_and_named(house, name, text, said):
    write(house / "html" / name, text)
    found = leaks(house / "html", house)
    assert len(found) == 1 and found[0].startswith(f"{name} {said}"), found


def test_what_a_chapter_or_a_clean_lab_shows_is_no_secret(house):
    write(house / "html" / "labs" / "01_a.html", CODE)
    write(house / "book" / "02_b.md", f"```python\n{CODE}\n```\n")
    assert leaks(house / "html", house) == []
    write(house / "html" / "labs" / "01_a.html", ANSWER)
    cells = [{"cell_type": "markdown", "source": ANSWER, "metadata": {}}]
    write(house / "_build" / "labs" / "01_a.ipynb", json.dumps({"cells": cells}))
    assert leaks(house / "html", house) == []


def test_links_that_leave_the_book_may_be_named_so(house):
    write(house / "html" / "book" / "01_a.html", '<a href="https://x.org/solutions/b.html">x</a>')
    assert leaks(house / "html", house) == []


# ---- What the extensions do in either copy

PAGE = """# A page

```{lab-card} 01_superpixels
```

:::{copy-for} instructors
Only the whole book leads to {doc}`teaching`.
:::

:::{copy-for} students
Only here.
:::

{figure-state}`on this page <roi_align:aligned=false>`
"""


@pytest.mark.parametrize("whole", [True, False])
def test_one_page_in_two_copies(tmp_path, whole):
    """Sphinx warns of a dead link in neither, though one page links to what the other copy lacks."""
    pages = {
        "index.md": "# Start\n\n```{toctree}\n:glob:\n*/*\n```\n",
        "book/01_superpixels.md": PAGE,
        "labs/01_superpixels.md": "# Lab\n\nA lab.\n",
    }
    if whole:
        pages |= {
            "solutions/01_superpixels.md": "# Lab\n\nSolved.\n",
            "book/teaching.md": "# Teaching\n",
            "book/teaching/13.md": "# Board\n\n{figure-state}`there <roi_align:aligned=false>`\n",
        }
        pages["index.md"] = pages["index.md"].replace("*/*\n", "*/*\n*/*/*\n")
    for name, text in pages.items():
        write(tmp_path / name, text)
    solved = {
        "cells": [{"cell_type": "markdown", "source": "# Lab 1: X", "metadata": {}}],
        "metadata": {"course": {"minutes": 60}},
    }
    for folder in ("solutions", "labs"):
        write(tmp_path / folder / "01_superpixels.ipynb", json.dumps(solved))
    settings = {
        "extensions": ["myst_parser", "course_cards", "course_copies", "course_widgets"],
        "myst_enable_extensions": ["colon_fence"],
        "html_theme": "basic",
        "nitpicky": True,
        "exclude_patterns": ["**.ipynb", "out"],
        "course_solutions": whole,
    }
    warnings = StringIO()
    with patch_docutils(), docutils_namespace():
        Sphinx(
            tmp_path, None, tmp_path / "out", tmp_path / "out" / "trees", "html", settings,
            status=None, warning=warnings,
        ).build()  # fmt: skip
    assert warnings.getvalue() == ""
    html = (tmp_path / "out" / "book" / "01_superpixels.html").read_text(encoding="utf-8")
    assert ("See it solved" in html, "Only the whole book" in html, "Only here" in html) == (
        whole,
        whole,
        not whole,
    )
    assert 'href="#roi_align:aligned=false"' in html
    if whole:
        board = (tmp_path / "out" / "book" / "teaching" / "13.html").read_text(encoding="utf-8")
        assert 'href="../13_roi_align.html#roi_align:aligned=false"' in board


@pytest.mark.parametrize("page", ["book/teaching/index", "book/teaching/exam", "book/teaching/13_roi_align"])
def test_instructors_pages_stay_out_of_the_search(page):
    assert kind(page) is None
    assert kind("book/lecture") is not None


def test_a_widgets_state_is_linked_from_pages_without_widgets():
    assert course_widgets.home("book/13_roi_align", "roi_align") == ""
    assert course_widgets.home("book/index", "networks") == ""
    assert course_widgets.home("book/lecture", "roi_align") == "13_roi_align.html"
    assert course_widgets.home("book/lecture", "scribbles") == "02_grouping.html"
    assert course_widgets.home("book/teaching/14_mask_rcnn", "networks") == "../index.html"


def test_a_widget_that_no_page_has_is_named():
    with pytest.raises(ValueError, match="no page has a widget 'roi_aling'; those with a page are bridges"):
        course_widgets.home("book/lecture", "roi_aling")


def test_every_widget_has_a_page_that_holds_it():
    from stills import widgets

    for slug, widget in widgets().items():
        page = ROOT / "book" / f"{course_widgets._HOMES[slug]}.md"
        assert f"{widget.__name__}(" in page.read_text(encoding="utf-8"), slug
