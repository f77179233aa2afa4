"""Lay out an empty room: ``python tools/new_room.py 14`` (or ``mask_rcnn``, or ``14_mask_rcnn``).

It writes the chapter's page in its nine steps, the library's module, an exercise with its check, the solved
lab, the instructor's page, the tests, and the lines in the table of contents; then it runs the lab and
generates it. What it writes passes `make lint` and the tests of the house: what stands there as a placeholder
is yours to replace. Nothing that exists is overwritten.
"""

from __future__ import annotations

import argparse
import importlib
import re
import sys
from pathlib import Path
from string import Template

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent / "ext"))

from course_cards import PARTS
from lab_author import execute
from lab_generate import ROOT, LabError, generate, text_of, write
from lab_shown import generate_shown
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

TEMPLATES = Path(__file__).resolve().parent / "room"
SKELETON = '''\
def placeholder(values):
    """Halve values.

    Args:
        values: any shape.

    Returns:
        The same shape.
    """
    ### BEGIN SOLUTION
    # Halving is a division, which every number and every shape can take.
    return values / 2
    ### END SOLUTION'''

PLOT = """\
values = torch.linspace(-2, 2, 9)
figure, ax = plt.subplots(figsize=(4, 2.4), layout="constrained")
ax.plot(values, placeholder(values), "o-")
plt.show()"""

RUNNING_TIME = """\
import time

import psutil

seconds = time.time() - psutil.Process().create_time()
print(f"{seconds:.0f} s from the kernel's start, on the CPU with {torch.get_num_threads()} threads")"""


def _solution(number: int, title: str) -> NotebookNode:
    """The solved lab: each kind of cell that a lab has, once."""
    first = f"{number}.1"
    cells = [
        new_markdown_cell(
            f"# Lab {number}: {title}\n\nAbout 60 minutes. Say what the reader will have built.\n\n"
            f"| Exercise | You write | Minutes |\n| --- | --- | --- |\n| {first} | `placeholder` | 5 |"
        ),
        new_code_cell(
            "import matplotlib.pyplot as plt\nimport torch\n\nfrom segcore import viz\n"
            "from segcore.checks import check, progress\n\nviz.use_style()"
        ),
        new_markdown_cell(
            f"## {first} A placeholder\n\n**Your task.** Return half of each value.\n\n"
            "| | shape | meaning |\n| --- | --- | --- |\n| `values` | any | numbers |\n"
            "| returns | the same | halves |\n\n"
            "By hand: 4 becomes 2, −1 becomes −0.5."
        ),
        new_code_cell(SKELETON),
        new_code_cell(f'placeholder = check("{first}", placeholder)'),
        new_code_cell(
            PLOT,
            metadata={
                "tags": ["expected-picture"],
                "course": {"alt": "Nine points on a line through the origin that rises by one half."},
            },
        ),
        new_markdown_cell("**Question.** A question to think about."),
        new_markdown_cell(
            "<!-- BEGIN SOLUTION -->\nIts answer.\n<!-- END SOLUTION -->", metadata={"tags": ["answer"]}
        ),
        new_markdown_cell("## What you built\n\nIn one paragraph."),
        new_code_cell(f'progress("{number}")'),
        new_markdown_cell(
            "**Running time.** How long this notebook took on the machine that stored it.",
            metadata={"tags": ["solution-only"]},
        ),
        new_code_cell(RUNNING_TIME, metadata={"tags": ["solution-only", "nbval-ignore-output"]}),
    ]
    for at, cell in enumerate(cells):
        cell.id = f"cell-{at}"  # the same on every machine
    course = {
        "minutes": 60,
        "rest": 5,
        "exercises": [{"id": first, "title": "A placeholder", "minutes": 55, "level": 3}],
    }
    return new_notebook(cells=cells, metadata={"course": course})


def find(asked: str) -> tuple[str, str, str, str]:
    """Part, ``NN_slug``, title and question of the chapter that is asked for."""
    for part, chapters in PARTS:
        for page, title, question in chapters:
            if asked.zfill(2) == page[:2] or asked in {page, page[3:]}:
                return part, page, title, question
    names = ", ".join(page for _, chapters in PARTS for page, _, _ in chapters)
    raise LabError(f"there is no chapter {asked!r}; there are {names}")


def with_line(toc: str, part: str, page: str) -> str:
    """The table of contents with a chapter and its instructor's page, each between its neighbours."""
    line = f"          - file: book/teaching/{page}\n"
    if line not in toc:
        taught = re.finditer(r"^ +- file: book/teaching/(\d\d)_\w+\n", toc, re.MULTILINE)
        at = next((found.start() for found in taught if found[1] > page[:2]), None)
        if at is None and "book/teaching/" in toc:
            toc, at = toc.rstrip("\n") + "\n", len(toc.rstrip("\n")) + 1
        toc = toc if at is None else toc[:at] + line + toc[at:]
    entry = f"      - file: book/{page}\n        sections:\n"
    entry += f"          - file: labs/{page}\n          - file: solutions/{page}\n"
    heads = {match[1]: match for match in re.finditer(r"^  - caption: (.+)\n", toc, re.MULTILINE)}
    titles = [title for title, _ in PARTS]
    if part not in heads:
        later = [title for title in [*titles[titles.index(part) + 1 :], "Reference"] if title in heads]
        at = heads[later[0]].start() if later else len(toc)
        return f"{toc[:at]}  - caption: {part}\n    numbered: false\n    chapters:\n{entry}{toc[at:]}"
    begin = heads[part].end()
    end = min((each.start() for each in heads.values() if each.start() >= begin), default=len(toc))
    after = [
        m
        for m in re.finditer(r"^      - file: book/(\d\d)_", toc[begin:end], re.MULTILINE)
        if m[1] > page[:2]
    ]
    at = begin + after[0].start() if after else end
    return toc[:at] + entry + toc[at:]


def lay_out(asked: str, root: Path = ROOT) -> str:
    """Write the room's files, run its lab and generate it; return ``NN_slug``.

    Raises:
        LabError: There is no such chapter, or something of it stands already.
    """
    part, page, title, question = find(asked)
    number, slug = int(page[:2]), page[3:]
    words = {"number": number, "slug": slug, "page": page, "title": title, "question": question}
    words["dashed"] = slug.replace("_", "-")
    modules = {"engine": "judge", slug: "EXERCISES"}
    words["imports"] = "\n".join(
        f"from segcore.checks.{name} import {modules[name]}" for name in sorted(modules)
    )
    texts = {
        f"book/{page}.md": "page.md",
        f"book/teaching/{page}.md": "teaching.md",
        f"segcore/{slug}.py": "library.py",
        f"segcore/checks/{slug}.py": "checks.py",
        f"tests/test_{slug}.py": "tests.py",
        f"tests/test_{slug}_checks.py": "checks_tests.py",
    }
    files = {
        name: Template((TEMPLATES / f"{text}.txt").read_text(encoding="utf-8")).substitute(words)
        for name, text in texts.items()
    }
    files[f"solutions/{page}.ipynb"] = text_of(_solution(number, title))
    if standing := [name for name in files if (root / name).exists()]:
        raise LabError(f"chapter {number} has rooms already: {', '.join(standing)}")
    toc = root / "_toc.yml"
    for name, text in files.items():
        write(root / name, text)
        print(name)
    write(toc, with_line(toc.read_text(encoding="utf-8"), part, page))
    print("_toc.yml")
    importlib.invalidate_caches()  # the checks that the lab is annotated from were written just now
    execute(page, root)
    generate(page, root)
    generate_shown(page, root)
    print(f"labs/{page}.ipynb")
    return page


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("chapter", help="14, mask_rcnn or 14_mask_rcnn")
    try:
        lay_out(parser.parse_args(arguments).chapter)
    except LabError as error:
        print(f"new_room.py: {error}", file=sys.stderr)
        return 1
    print("Now fill it: CONTRIBUTING.md says what belongs where; `make notebooks` after a change in the lab.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
