"""For those in a hurry: how long a chapter and its lab take, and the one exercise that holds its ideas.

Below the title of each chapter stands a line of it. The minutes of reading follow from what the page holds,
by the rule of `reading_minutes`; those of the lab and of its exercises from the solved lab's metadata, and
the choice of the exercise from the table in ``tools/lab_pace.py``. ``{fast-track}`` in a page is that table.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from course_cards import CHAPTERS, Lab, pace_nodes, read_lab
from course_numbers import place
from course_quiz import quiz
from docutils import nodes
from lab_pace import FAST
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.logging import getLogger

logger = getLogger(__name__)

# Seconds that a reader spends on one of each. A word: 220 in a minute, as people read what they must
# understand. A line of code is read, a figure looked at with its caption, a widget tried; a question is
# answered, an exercise done on paper.
SECONDS = {
    "word": 60 / 220,
    "code": 2,
    "formula": 12,
    "figure": 20,
    "widget": 90,
    "question": 30,
    "exercise": 90,
}


def contents(doctree: nodes.document) -> Counter[str]:
    """How many of each kind a page holds; of code the lines in sight, of pictures those with a caption."""
    found: Counter[str] = Counter()
    for paragraph in doctree.findall(
        lambda node: isinstance(node, nodes.paragraph | nodes.caption | nodes.title)
    ):
        found["word"] += len(paragraph.astext().split())
    for block in doctree.findall(nodes.literal_block):
        found["code"] += 0 if _folded(block) else len(block.astext().splitlines())
    for block in doctree.findall(nodes.raw):
        found["widget"] += 'class="segcore-widget"' in block.astext()
    found["formula"] = len(list(doctree.findall(nodes.math_block)))
    found["figure"] = len(list(doctree.findall(nodes.figure)))
    found["question"] = sum(len(block.children) for block in doctree.findall(quiz))
    found["exercise"] = sum(type(node).__name__ == "exercise_node" for node in doctree.findall(nodes.Element))
    return found


def _folded(block: nodes.Node) -> bool:
    """Whether a block is an output, or code that nobody sees unless they unfold it."""
    node: Any = block.parent
    while node is not None:
        if node.get("nb_element") == "cell_code_output" or node.get("hide_mode"):
            return True
        node = node.parent
    return False


def reading_minutes(found: Counter[str]) -> int:
    """Minutes to read what a page holds.

    Example:
        >>> reading_minutes(Counter(word=2200, figure=5, widget=1))
        13
    """
    return max(1, round(sum(SECONDS[kind] * count for kind, count in found.items()) / 60))


def fast_exercise(name: str, lab: Lab) -> tuple[str, str] | None:
    """Id and title of the exercise that a chapter names for a hurry; None where its lab has it not."""
    wanted = FAST.get(name, ("",))[0]
    words = next((each for each in lab.exercises if each.split(" ")[0] == wanted), None)
    return None if words is None else (wanted, words.partition(" ")[2])


def exercise_link(name: str, exercise: str, title: str) -> nodes.reference:
    """A link to an exercise's heading in the lab's page, for pages that stand beside the chapters."""
    address = f"../labs/{name}.html#{nodes.make_id(f'{exercise} {title}')}"
    return nodes.reference("", f"{exercise} {title}", refuri=address, internal=True)


def head(name: str, minutes: int, lab: Lab) -> nodes.container:
    """The line below a chapter's title."""
    line = nodes.paragraph("", f"About {minutes} minutes to read, {lab.minutes} for the lab. ")
    if fast := fast_exercise(name, lab):
        line += [
            nodes.strong("", "In a hurry"),
            nodes.Text(", read it and do exercise "),
            exercise_link(name, *fast),
        ]
        if pace := lab.paces.get(fast[0]):
            line += [nodes.Text(f" ({pace.minutes} minutes)")]
        line += nodes.Text(".")
    return nodes.container("", line, classes=["pace"])


def _say(app: Sphinx, doctree: nodes.document) -> None:
    docname = app.env.docname
    found = place(docname)
    name = docname.rpartition("/")[2]
    if not found or found[0] != "book" or name not in CHAPTERS:
        return
    path = Path(app.srcdir) / "solutions" / f"{name}.ipynb"
    title = next(iter(doctree.findall(nodes.title)), None)
    if title is None or not path.is_file():
        return
    app.env.note_dependency(str(path))
    try:
        lab = read_lab(path)
    except ValueError:
        return  # the card says so
    minutes = reading_minutes(contents(doctree))
    title.parent.insert(title.parent.index(title) + 1, head(name, minutes, lab))


class FastTrack(SphinxDirective):
    """The table of the exercises for a hurry."""

    def run(self) -> list[nodes.Node]:
        """Draw the rows of the chapters that stand."""
        rows = []
        for name, (_, why) in FAST.items():
            path = Path(self.env.srcdir) / "solutions" / f"{name}.ipynb"
            if not path.is_file():
                continue
            self.env.note_dependency(str(path))
            lab = read_lab(path)
            if fast := fast_exercise(name, lab):
                pace = lab.paces.get(fast[0])
                page = addnodes.pending_xref(
                    "", nodes.inline("", ""), refdomain="std", reftype="doc", reftarget=f"/book/{name}",
                    refexplicit=False, refwarn=True,
                )  # fmt: skip
                cells = [
                    [page],
                    [exercise_link(name, *fast)],
                    pace_nodes(pace) if pace else [],
                    [nodes.Text(why)],
                ]
                rows.append(
                    nodes.row("", *(nodes.entry("", nodes.paragraph("", "", *cell)) for cell in cells))
                )
        titles = ("Chapter", "Exercise", "", "What it holds")
        first = nodes.row("", *(nodes.entry("", nodes.paragraph("", words)) for words in titles))
        group = nodes.tgroup("", *(nodes.colspec(colwidth=1) for _ in titles), cols=len(titles))
        group += [nodes.thead("", first), nodes.tbody("", *rows)]
        return [nodes.table("", group, classes=["fast-track"])]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the line and the table."""
    app.setup_extension("course_cards")
    app.connect("doctree-read", _say)
    app.add_directive("fast-track", FastTrack)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
