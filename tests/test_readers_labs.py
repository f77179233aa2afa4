"""`labs/` is the reader's: whatever lies there, the book is the same, and nothing there is touched."""

from __future__ import annotations

import re
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from io import StringIO
from multiprocessing import get_context
from pathlib import Path

import pytest

pytest.importorskip("myst_nb")
pytest.importorskip("sphinx_external_toc")

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tools" / "ext"), str(Path(__file__).parent)]

import lab_author  # noqa: E402
import lab_generate  # noqa: E402
import lab_shown  # noqa: E402
import readers_work  # noqa: E402
import students  # noqa: E402
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook  # noqa: E402
from readers_work import snapshot  # noqa: E402
from sphinx.application import Sphinx  # noqa: E402
from sphinx.util.docutils import docutils_namespace, patch_docutils  # noqa: E402

import labs  # noqa: E402

SLUG = "13_roi_align"
TOC = f"""format: jb-book
root: book/index
chapters:
  - file: book/{SLUG}
    sections:
      - file: labs/{SLUG}
      - file: solutions/{SLUG}
"""


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A course of one chapter, its lab as it was handed out."""
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    root = tmp_path / "clone"
    skeleton = "def f(x):\n    ### BEGIN SOLUTION\n    return x + 1\n    ### END SOLUTION"
    marks = {"grade": False, "solution": True, "locked": False, "task": False, "schema_version": 3}
    cells = [
        new_markdown_cell("# Lab 13: RoIAlign\n\nSee [the chapter](../book/13_roi_align.md).", id="title"),
        *(new_markdown_cell(f"## Part {number}", id=f"part-{number}") for number in range(4)),
        new_code_cell(skeleton, id="skeleton", metadata={"nbgrader": {**marks, "grade_id": "13-1-solution"}}),
        new_code_cell("f(1)", id="use", execution_count=1),
    ]
    solution = new_notebook(cells=cells, metadata={"course": {"minutes": 60, "exercises": ["13.1"]}})
    lab_author.tidy(solution)
    lab_generate.write(root / "solutions" / f"{SLUG}.ipynb", lab_generate.text_of(solution))
    lab_generate.write(root / "book" / "index.md", "# Start\n")
    lab_generate.write(root / "book" / f"{SLUG}.md", f"# RoIAlign\n\n```{{lab-card}} {SLUG}\n```\n")
    lab_generate.write(root / "_toc.yml", TOC)
    lab_generate.generate(SLUG, root)
    lab_shown.generate_shown(SLUG, root)
    return root


@cache
def apart():
    """A process of its own: what Sphinx and its extensions keep in one, other tests' books would share."""
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"))


def build(root, *, clean_labs=True):
    """Build the book of one chapter; return its files, the documents that were read, the warnings."""
    return apart().submit(build_here, root, clean_labs=clean_labs).result()


def build_here(root, *, clean_labs):
    """The same in this process."""
    extensions = ["myst_nb", "sphinx_external_toc", "course_cards"] + (["course_labs"] if clean_labs else [])
    settings = {
        "project": "Test",
        "extensions": extensions,
        "external_toc_exclude_missing": True,
        "exclude_patterns": [".*", "**/.*", "_build/*"],
        "nb_execution_mode": "off",
        "html_theme": "basic",
        "html_last_updated_fmt": "",
    }
    said, read = StringIO(), []
    out = root / "_build"
    with patch_docutils(), docutils_namespace(), warnings.catch_warnings():
        # sphinx_external_toc looks at every object there is, at torch's deprecated ones too.
        warnings.simplefilter("ignore", FutureWarning)
        app = Sphinx(root, None, out / "html", out / ".doctrees", "html", settings, status=None, warning=said)
        app.connect("env-before-read-docs", lambda app, env, names: read.extend(names))
        app.build()
    files = {name: what for name, what in snapshot(out / "html").items() if not name.startswith("_static")}
    for name in (".buildinfo", "searchindex.js"):
        files.pop(name, None)
    return files, sorted(read), re.sub(r"\x1b\[[0-9;]*m", "", said.getvalue())


def test_pages_and_downloads_are_the_clean_lab(clone):
    files, read, said = build(clone)
    assert said == "" and read == ["book/13_roi_align", "book/index", f"labs/{SLUG}", f"solutions/{SLUG}"]
    page = files[f"labs/{SLUG}.html"].decode()
    assert "Lab 13: RoIAlign" in page and "NotImplementedError" in page and "x + 1" not in page
    # Relative to where the lab is known, not to where it lies.
    assert 'href="../book/13_roi_align.html"' in page
    lab = (clone / "labs" / f"{SLUG}.ipynb").read_bytes()
    assert [what for name, what in files.items() if name.startswith("_downloads/") and what] == [lab]
    assert files[f"_sources/labs/{SLUG}.ipynb.txt"] == lab


@pytest.mark.parametrize("work", readers_work.ALL, ids=lambda work: work.__name__)
def test_the_book_is_the_same_whatever_a_reader_did(clone, work):
    clean, _, _ = build(clone)
    work(clone / "labs" / f"{SLUG}.ipynb")
    mine = snapshot(clone / "labs")
    again, read, said = build(clone)
    assert (said, read) == ("", []), "a change in labs/ is nothing to the book"
    (clone / "_build").rename(clone.parent / "first")
    anew, _, said = build(clone)
    assert said == "" and anew.keys() == clean.keys()
    assert [name for name in clean if not clean[name] == again[name] == anew[name]] == []
    assert labs.main(["clean", "--root", str(clone)]) == labs.main(["check", "--root", str(clone)]) == 0
    assert labs.main(["generate", "--root", str(clone)]) == 0
    left = snapshot(clone / "labs")
    if work is readers_work.deletes_it:
        assert left.pop(f"{SLUG}.ipynb") == (clone / lab_generate.CLEAN / f"{SLUG}.ipynb").read_bytes()
    assert left == mine


@pytest.mark.parametrize("work", readers_work.BREAKS, ids=lambda work: work.__name__)
def test_each_of_these_would_break_a_book_made_from_the_readers_labs(clone, work):
    _, _, said = build(clone, clean_labs=False)
    assert said == ""
    work(clone / "labs" / f"{SLUG}.ipynb")
    try:
        _, _, said = build(clone, clean_labs=False)
    except Exception as error:
        said = str(error)
    assert said != ""


def test_a_changed_solution_reaches_the_page_though_the_lab_was_worked_in(clone):
    build(clone)
    readers_work.everything(clone / "labs" / f"{SLUG}.ipynb")
    path = clone / "solutions" / f"{SLUG}.ipynb"
    path.write_text(path.read_text().replace("## Part 2", "## A better part"), encoding="utf-8")
    files, read, said = build(clone)
    assert said == "" and f"labs/{SLUG}" in read and "book/index" not in read
    assert b"A better part" in files[f"labs/{SLUG}.html"]


def test_a_solution_that_makes_no_lab_is_named(clone):
    path = clone / "solutions" / f"{SLUG}.ipynb"
    path.write_text(path.read_text().replace("### END SOLUTION", ""), encoding="utf-8")
    _, _, said = build(clone)
    assert f"labs/{SLUG} cannot be made: END SOLUTION is missing" in said


@pytest.mark.parametrize("solutions", [True, False], ids=["whole", "students"])
@pytest.mark.parametrize("published", [True, False])
def test_labs_launch_where_the_course_is_published_and_only_there(clone, published, solutions):
    """From one line of pyproject.toml: buttons, and labs that begin with a cell that fetches the course."""
    address = "https://github.com/owner/name" if published else ""
    (clone / "pyproject.toml").write_text(f'[tool.course]\nrepository = "{address}"\n', encoding="utf-8")
    if not solutions:
        (clone / "_toc.yml").write_text(students.contents(TOC) + "\n", encoding="utf-8")
    files, read, said = build(clone)
    assert said == "" and (f"solutions/{SLUG}" in read) is solutions
    for name in (f"book/{SLUG}.html", f"labs/{SLUG}.html"):
        page = files[name].decode()
        assert ("colab.research.google.com/github/owner/name/blob/main/labs/13" in page) is published
        assert ("mybinder.org/v2/gh/owner/name/main?labpath=labs/13_roi_align.ipynb" in page) is published
        assert "x + 1" not in page
    download = next(what for name, what in files.items() if name.startswith("_downloads/") and what)
    assert (b"git+https://github.com/owner/name" in download) is published
    assert labs.main(["check", "--root", str(clone)]) == int(published), "labs on disk lack the cell so far"
    assert labs.main(["generate", "--root", str(clone)]) == 0
    assert (clone / "labs" / f"{SLUG}.ipynb").read_bytes() == download
    assert labs.main(["check", "--root", str(clone)]) == 0
