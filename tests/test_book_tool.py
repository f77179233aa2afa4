"""`tools/book.py`: what a build leaves for the next, and which chapters run again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("myst_nb")
pytest.importorskip("sphinx_external_toc")

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import chapters  # noqa: E402
import lab_generate  # noqa: E402

import book  # noqa: E402

TOP = "---\nfile_format: mystnb\nkernelspec: {name: python3, display_name: Python 3}\n---\n"
LIBRARY = {
    "segcore/__init__.py": "",
    "segcore/a.py": "from segcore import b",
    "segcore/b.py": "def f():\n    from .data.deep import g",  # imported only when it is needed
    "segcore/c.py": "import torch",
    "segcore/data/__init__.py": "",
    "segcore/data/deep.py": "",
    "segcore/data/other.py": "",
    "segcore/widgets/__init__.py": "",
    "segcore/widgets/base.py": "",
    "segcore/widgets/a.py": "from .base import X",
    "segcore/widgets/c.py": "from segcore.widgets.base import X",
    "segcore/widgets/static/a.js": "",
    "segcore/widgets/static/stills/a-wide.webp": "",
    "segcore/widgets/static/kit/a.js": "",
    "segcore/checks/__init__.py": "",
    "segcore/checks/engine.py": "import importlib\nimportlib.import_module(name)",
    "segcore/checks/a.py": "",
    "book/results/a.json": "1",
    "requirements.lock": "",
    "book/_static/course.css": "",
    "tools/ext/a.py": "",
    "book/logo.svg": "",
}
PAGES = {
    "a": ["%matplotlib inline\nfrom segcore import a", "from segcore.widgets.a import A"],
    "c": ["import segcore.c as c", "%%html\n<b>", "open('../book/results/a.json')"],
    "w": ["from segcore.widgets.c import C\n!ls"],
    "k": ["from segcore.checks.engine import check"],
    "plain": ["1 + 1"],
    "odd": ["print 'no Python'"],
}


def page(root, name, cells):
    text = "\n".join(f"```{{code-cell}}\n{cell}\n```\n" for cell in cells)
    lab_generate.write(root / "book" / f"{name}.md", f"{TOP}# {name}\n\n{text}")


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A library and a book, built by stand-ins for Jupyter Book and for the kernels."""
    for name, text in LIBRARY.items():
        lab_generate.write(tmp_path / name, text)
    for name, cells in PAGES.items():
        page(tmp_path, name, cells)
    lab_generate.write(tmp_path / "book" / "text.md", "# Text\n")
    page(tmp_path, "unlisted", ["1"])
    config = "execute: {execute_notebooks: cache, exclude_patterns: ['solutions/*', 'labs/*']}\n"
    lab_generate.write(tmp_path / "_config.yml", f"title: Test\nexclude_patterns: ['_build/*']\n{config}")
    listed = "".join(f"  - file: book/{name}\n" for name in (*PAGES, "labs/a"))
    lab_generate.write(tmp_path / "_toc.yml", f"format: jb-book\nroot: book/text\nchapters:\n{listed}")
    lab_generate.write(tmp_path / "labs" / "a.md", f"{TOP}# A reader's\n\n```{{code-cell}}\n1/0\n```\n")
    for name, value in (("ROOT", tmp_path), ("BUILD", tmp_path / "_build")):
        monkeypatch.setattr(book, name, value)
    return tmp_path


def builds(house, monkeypatch, code=0, meanwhile=lambda: None, fails=(), **options):
    """Run book.build with stand-ins; return the pages that ran, and whether read pages were found."""
    ran, found = [], []

    def run_page(self, name, environment):
        assert environment["SEGCORE_FIGURES"] == "svg"
        if name.removeprefix("book/") in fails:
            return 0.0, "ZeroDivisionError: on purpose"
        ran.append(name.removeprefix("book/"))
        return 1.0, ""

    def run(command, env, **_):
        told = {name.removeprefix("book/") for name in env["COURSE_RAN"].split()}
        assert told == set(ran), "Sphinx is told which pages ran"
        found.append((house / "_build" / ".doctrees" / "left").exists())
        lab_generate.write(house / "_build" / ".doctrees" / "left", "")
        meanwhile()
        return subprocess.CompletedProcess(command, code)

    monkeypatch.setattr(chapters.Chapters, "_run", run_page)
    monkeypatch.setattr(book.subprocess, "run", run)
    assert book.build(**options) == (1 if fails else code)
    return sorted(ran), *found


ALL = sorted(PAGES)


def change(house, name):
    lab_generate.write(house / name, f"# changed {os.urandom(4).hex()}")


def test_what_ran_well_is_not_run_again_after_a_build_that_failed(house, monkeypatch):
    assert builds(house, monkeypatch, 1) == (ALL, False)
    for _ in range(2):
        assert builds(house, monkeypatch, 1) == ([], False), "outputs are kept, pages with warnings are not"
    assert builds(house, monkeypatch) == ([], False)
    assert builds(house, monkeypatch) == ([], True), "nothing changed: nothing is done"
    assert builds(house, monkeypatch, 1) == ([], True)
    assert builds(house, monkeypatch) == ([], False)


@pytest.mark.parametrize(
    ("name", "again"),
    [
        ("segcore/a.py", "a k odd"),
        ("segcore/b.py", "a k odd"),
        ("segcore/data/deep.py", "a k odd"),
        ("segcore/data/other.py", "k odd"),
        ("segcore/c.py", "c k odd"),
        ("segcore/__init__.py", "a c k odd w"),
        ("segcore/new.wasm", "a c k odd w"),
        ("segcore/widgets/base.py", "a odd w"),
        ("segcore/widgets/static/a.js", "a odd"),
        ("segcore/widgets/static/stills/a-wide.webp", "a odd"),
        ("segcore/widgets/static/kit/a.js", "a odd w"),
        ("segcore/checks/a.py", "k odd"),
        ("book/results/a.json", "c odd"),
        ("requirements.lock", "a c k odd plain w"),
        ("book/plain.md", ""),
    ],
)
@pytest.mark.parametrize("code", [0, 1])
def test_a_chapter_runs_again_only_where_something_changed_that_it_imports(
    house, monkeypatch, capsys, name, again, code
):
    lab_generate.write(house / "segcore/a.py", "from segcore import b")
    lab_generate.write(house / "segcore/checks/engine.py", "import importlib\nimportlib.import_module(name)")
    # Through the checks everything is reached that some exercise may import.
    lab_generate.write(house / "segcore/checks/a.py", "import segcore.a, segcore.c, segcore.data.other")
    builds(house, monkeypatch, code)
    capsys.readouterr()
    if name == "book/plain.md":  # words alone
        path = house / name
        path.write_text(path.read_text().replace("# plain", "# Plainer"))
    else:
        change(house, name)
    assert builds(house, monkeypatch)[0] == again.split()
    said = capsys.readouterr().out
    if again:
        assert f"{len(again.split())} of {len(ALL)} pages run: " in said
    else:
        assert "pages run" not in said
    assert builds(house, monkeypatch)[0] == []


def test_code_that_was_changed_and_changed_back_runs_both_times(house, monkeypatch):
    builds(house, monkeypatch)
    page(house, "plain", ["1 + 2"])
    assert builds(house, monkeypatch)[0] == ["plain"]
    page(house, "plain", PAGES["plain"])
    assert builds(house, monkeypatch)[0] == ["plain"], "the library may have been another then"


def test_chapters_that_fail_are_all_named_and_the_others_are_kept(house, monkeypatch, capsys):
    assert builds(house, monkeypatch, fails=("a", "w"))[0] == sorted(set(ALL) - {"a", "w"})
    said = capsys.readouterr().err
    assert "book/a.md: ZeroDivisionError" in said and "book/w.md: ZeroDivisionError" in said
    assert builds(house, monkeypatch)[0] == ["a", "w"]


def test_a_library_that_changes_during_the_build_spoils_its_outputs(house, monkeypatch, capsys):
    builds(house, monkeypatch)
    change(house, "segcore/widgets/a.py")
    builds(house, monkeypatch, meanwhile=lambda: change(house, "segcore/widgets/a.py"))
    assert "these run again: book/a, book/odd" in capsys.readouterr().out
    assert builds(house, monkeypatch) == (["a", "odd"], False)


def test_outputs_are_found_where_the_folder_was_moved(house, monkeypatch):
    builds(house, monkeypatch)
    moved = house.rename(house.with_name("moved"))
    for name, value in (
        ("ROOT", moved),
        ("BUILD", moved / "_build"),
    ):
        monkeypatch.setattr(book, name, value)
    assert builds(moved, monkeypatch)[0] == []
    change(moved, "segcore/widgets/c.py")
    assert builds(moved, monkeypatch)[0] == ["odd", "w"]


@pytest.mark.parametrize("name", ["book/_static/course.css", "tools/ext/a.py", "book/logo.svg"])
def test_a_new_look_reads_the_pages_again_and_runs_nothing(house, monkeypatch, name):
    builds(house, monkeypatch)
    change(house, name)
    assert builds(house, monkeypatch) == ([], False)


@pytest.mark.parametrize(
    "name", ["segcore/__pycache__/a.pyc", "segcore/.a.py.swp", "labs/13_roi_align.ipynb", "labs/a.md"]
)
def test_what_python_an_editor_or_a_reader_leaves_changes_nothing(house, monkeypatch, name):
    builds(house, monkeypatch)
    change(house, name)
    assert builds(house, monkeypatch) == ([], True)


def test_trying_links_neither_makes_pages_current_nor_stale(house, monkeypatch):
    builds(house, monkeypatch)
    assert builds(house, monkeypatch, links=True) == ([], True)
    assert builds(house, monkeypatch) == ([], True)
    change(house, "tools/ext/a.py")
    builds(house, monkeypatch, links=True)
    assert builds(house, monkeypatch) == ([], False)
    change(house, "requirements.lock")
    builds(house, monkeypatch, links=True)
    assert builds(house, monkeypatch) == ([], False), "pages that ran for the links are not written yet"


# With Jupyter Book and kernels themselves ---------------------------------------------------


def small(root):
    """Two pages that note each run, and one of text; the second waits for the first, and the other way."""
    for name, text in {"segcore/__init__.py": "", "segcore/a.py": "x = 1", "requirements.lock": ""}.items():
        lab_generate.write(root / name, text)
    extension = (ROOT / "tools" / "ext" / "course_outputs.py").read_text()
    lab_generate.write(root / "ext" / "course_outputs.py", extension)
    config = "title: Test\nonly_build_toc_files: true\nexclude_patterns: ['_build/*']\n"
    config += "execute: {execute_notebooks: cache, timeout: 600}\n"
    config += "sphinx: {local_extensions: {course_outputs: ext}}\n"
    lab_generate.write(root / "_config.yml", config)
    toc = "format: jb-book\nroot: a\nchapters:\n  - file: b\n  - file: c\n"
    lab_generate.write(root / "_toc.yml", toc)
    note = f"import pathlib, sys\nsys.path.insert(0, {str(root)!r})\nHERE = pathlib.Path({str(root)!r})\n"
    note += "with open(HERE / 'runs', 'a') as file:\n    print('{0}', file=file)\n"
    meet = (
        "import time\n(HERE / 'met-{0}').touch()\nwhile not (HERE / 'met-{1}').exists():\n    time.sleep(.01)"
    )
    for name, other, uses in (("a", "b", "1"), ("b", "a", "from segcore.a import x\n40 + x")):
        cells = [note.format(name), meet.format(name, other), uses]
        text = "".join(f"```{{code-cell}}\n{cell}\n```\n\n" for cell in cells)
        lab_generate.write(root / f"{name}.md", f"{TOP}# {name}\n\n{text}")
    lab_generate.write(root / "c.md", "# C\n\n{ref}`nowhere`\n")


def really_built(root):
    """The exit code of a build in a process of its own, and what it said."""
    code = (
        "import pathlib, sys\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "import book\n"
        "book.ROOT = pathlib.Path(sys.argv[2])\n"
        "book.BUILD = book.ROOT / '_build'\n"
        "sys.exit(book.build())"
    )
    words = [sys.executable, "-c", code, str(ROOT / "tools"), str(root)]
    done = subprocess.run(words, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="nothing can run side by side on one core")
def test_chapters_run_once_side_by_side_and_their_new_outputs_reach_the_page(tmp_path):
    """A warning is repeated until it is mended, and nothing runs twice."""
    small(tmp_path)
    for _ in range(2):
        code, said = really_built(tmp_path)
        assert code == 1 and "undefined label: 'nowhere'" in said
    lab_generate.write(tmp_path / "c.md", "# C\n\nMended.\n")
    assert really_built(tmp_path)[0] == 0
    assert sorted((tmp_path / "runs").read_text().split()) == ["a", "b"]
    page_b = tmp_path / "_build" / "html" / "b.html"
    assert "41" in page_b.read_text()
    lab_generate.write(tmp_path / "segcore" / "a.py", "x = 937")
    assert really_built(tmp_path)[0] == 0
    assert sorted((tmp_path / "runs").read_text().split()) == ["a", "b", "b"]
    assert "977" in page_b.read_text()


def test_a_chapter_that_raises_says_where(tmp_path):
    small(tmp_path)
    lab_generate.write(tmp_path / "_toc.yml", "format: jb-book\nroot: c\nchapters:\n  - file: a\n")
    lab_generate.write(tmp_path / "a.md", f"{TOP}# a\n\n```{{code-cell}}\nx = 1 / 0\n```\n")
    code, said = really_built(tmp_path)
    assert (
        code == 1
        and "a.md: " in said
        and "x = 1 / 0" in said
        and "ZeroDivisionError: division by zero" in said
    )
