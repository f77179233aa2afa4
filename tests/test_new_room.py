"""`tools/new_room.py`: an empty room passes lint and the tests of the house."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

pytest.importorskip("sphinx")

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import new_room  # noqa: E402
from lab_generate import LabError  # noqa: E402

STEPS = (
    "# Colorization", "## The idea", "## On paper", "## Why it is so", "## The code", "## Take hold of it",
    "## On a photograph, and where it fails", "## Check yourself", "## The lab", "## What to remember",
    "## Further reading",
)  # fmt: skip
TESTED = (
    "tests/test_layout.py", "tests/test_exercises.py", "tests/test_colorization.py",
    "tests/test_colorization_checks.py", "segcore/colorization.py", "--doctest-modules",
)  # fmt: skip
FILES = ("segcore/colorization.py", "segcore/checks/colorization.py")
LAYOUT = "rooms or slug or contents or imported or above"


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A copy of the course without its outputs, with room 18 laid out in it."""
    root = tmp_path_factory.mktemp("house") / "course"
    left = shutil.ignore_patterns("_build", ".*", "__pycache__", "stills", "*.edited-*")
    for name in ("book", "solutions", "labs", "segcore", "tests", "tools", "benchmarks"):
        shutil.copytree(ROOT / name, root / name, ignore=left)
    for name in ("_toc.yml", "_config.yml", "pyproject.toml"):
        shutil.copy(ROOT / name, root)
    for path in [*root.rglob("*colorization*"), root / "tests" / "test_new_room.py"]:
        path.unlink()  # the room that stands: it is laid out anew
    toc = (root / "_toc.yml").read_text()
    (root / "_toc.yml").write_text(
        re.sub(r" *- file: book/(18.*\n *sections:\n(.*18_colorization\n)*|teaching/18.*\n)", "", toc)
    )
    done = python(root, "tools/new_room.py", "18")
    assert done.returncode == 0, done.stderr
    return root


def python(root, *words):
    variables = {**os.environ, "PYTHONPATH": str(root), "CI": ""}
    return subprocess.run([sys.executable, *words], cwd=root, capture_output=True, text=True, env=variables)


@pytest.mark.parametrize(
    "words",
    [
        ("-m", "ruff", "check", "."),
        ("-m", "ruff", "format", "--check", "."),
        # With what lint's own run knows of torch and the rest.
        ("-m", "mypy", f"--cache-dir={ROOT / '.mypy_cache'}", *FILES),
        ("tools/labs.py", "lint", "18"),
        ("tools/labs.py", "check", "18"),
        ("-m", "pytest", *TESTED, "-k", f"(layout and ({LAYOUT})) or (exercises and 18.1) or colorization"),
    ],
    ids=lambda words: " ".join(words[:2]),
)  # fmt: skip
def test_it_passes(house, words):
    if words[1] in ("ruff", "mypy"):
        pytest.importorskip(words[1])
    done = python(house, *words)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_page_has_the_nine_steps_and_its_quiz_is_whole(house):
    text = (house / "book" / "18_colorization.md").read_text()
    assert tuple(line for line in text.split("\n") if line.startswith("#")) == STEPS
    assert "$" not in text and "```{lab-card} 18_colorization" in text and "Which colour could" in text
    ast.parse((house / "segcore" / "colorization.py").read_text())


def test_what_stands_is_not_overwritten(house):
    before = (house / "book" / "18_colorization.md").read_bytes()
    with pytest.raises(LabError, match="chapter 18 has rooms already: book/18_colorization"):
        new_room.lay_out("colorization", house)
    assert (house / "book" / "18_colorization.md").read_bytes() == before
    with pytest.raises(LabError, match="there is no chapter '19'"):
        new_room.lay_out("19", house)


def chapters(toc):
    return {
        part["caption"]: [each["file"] for each in part["chapters"]] for part in yaml.safe_load(toc)["parts"]
    }


def test_each_chapter_finds_its_place_in_the_table_of_contents():
    toc = (ROOT / "_toc.yml").read_text()
    for asked in range(1, 19):
        part, page, _, _ = new_room.find(str(asked))
        if f"book/{page}" not in toc:
            toc = new_room.with_line(toc, part, page)
    made = chapters(toc)
    parts = [title for title, _ in new_room.PARTS]
    assert list(made) == ["Start here", *parts, "Reference", "Teaching"]
    for title, rooms in new_room.PARTS:
        assert made[title] == [f"book/{page}" for page, _, _ in rooms]
    assert yaml.safe_load(toc)["parts"][1]["chapters"][0]["sections"] == [
        {"file": "labs/01_superpixels"},
        {"file": "solutions/01_superpixels"},
    ]


@pytest.mark.parametrize("left_out", ["01", "07", "18"])
def test_an_instructors_page_finds_its_place(left_out):
    toc = (ROOT / "_toc.yml").read_text()
    without = re.sub(
        rf" *- file: book/({left_out}.*\n *sections:\n(.*{left_out}.*\n)*|teaching/{left_out}.*\n)", "", toc
    )
    assert f"/{left_out}_" not in without
    part, page, _, _ = new_room.find(left_out)
    assert new_room.with_line(without, part, page) == toc
