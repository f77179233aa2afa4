"""Cards and maps: how a reader gets from the book into a lab, and sees which chapters stand.

- ``{lab-card} 13_roi_align`` in a chapter: the lab's title, length and exercises, each with its difficulty
  and minutes, with links to read it, download it, launch it and see it solved. All of it is read from the
  solved lab (its first heading, and ``course: {minutes: 60, exercises: [...]}`` in its metadata), so the card
  cannot disagree with the lab.
- Lab and solution pages get the same links in a bar under their title, without being asked.
- ``{chapter-map}`` on the first page: a picture of how the chapters build on each other (``course_map``), and
  below it all of them in the lecture's four parts. A chapter whose page exists is a link, the others are said
  to be in preparation.

Launch links to Colab and Binder are made only where the course is published: at ``repository`` under
``[tool.course]`` in pyproject.toml, from which the labs' first cell is made, too (``lab_launch``). Without an
address the card names ``make lab``: no button leads nowhere.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ConfigError
from sphinx.transforms import SphinxTransform
from sphinx.util.docutils import SphinxDirective
from sphinx.util.logging import getLogger

sys.path.append(str(Path(__file__).resolve().parents[1]))

import lab_launch
from lab_pace import FAST, LEVELS, Pace, paces

logger = getLogger(__name__)

# The lecture's four parts, and the question that each chapter answers.
PARTS: list[tuple[str, list[tuple[str, str, str]]]] = [
    (
        "I. Bottom-up segmentation",
        [
            ("01_superpixels", "Superpixels", "Which pixels look alike and lie together?"),
            ("02_grouping", "Grouping and interactive segmentation", "Which regions make one object?"),
        ],
    ),
    (
        "II. Semantic segmentation",
        [
            ("03_metrics", "Metrics", "How good is a label map, in one number?"),
            (
                "04_convolutionalization",
                "Convolutionalization",
                "How does a classifier label every pixel at once?",
            ),
            ("05_receptive_fields", "Receptive fields", "Which pixels does a unit see?"),
            ("06_dilation", "Shift-and-stitch and dilation", "How does a network keep its resolution?"),
            (
                "07_skips",
                "Hypercolumns and skip connections",
                "How does fine detail get past the bottleneck?",
            ),
            ("08_upsampling", "Learned up-sampling", "How does a network paint a larger map?"),
            ("09_encoder_decoders", "Encoders and decoders", "What do U-Net, DeconvNet and SegNet share?"),
            ("10_crf", "Conditional random fields", "How do edges in the image sharpen a prediction?"),
            ("11_deeplab", "DeepLab and its rivals", "What won the benchmarks, and why?"),
        ],
    ),
    (
        "III. Instance segmentation",
        [
            ("12_instance_metrics", "Instance metrics", "When is an object found?"),
            ("13_roi_align", "RoIAlign", "What does rounding a box cost?"),
            ("14_mask_rcnn", "Mask R-CNN", "How does each object get its own mask?"),
            ("15_panoptic", "Panoptic segmentation", "How do things and stuff share one map?"),
        ],
    ),
    (
        "IV. Other dense prediction problems",
        [
            ("16_keypoints", "Keypoints", "Where are the joints?"),
            ("17_geometry", "Depth and surface normals", "What shape is the scene?"),
            ("18_colorization", "Colorization", "Which colour could this grey have been?"),
        ],
    ),
]
CHAPTERS = {name: title for _, chapters in PARTS for name, title, _ in chapters}


@dataclass(frozen=True)
class Lab:
    """What a solved lab says of itself."""

    title: str
    minutes: int
    exercises: tuple[str, ...]
    paces: dict[str, Pace] = field(default_factory=dict)


def read_lab(path: Path) -> Lab:
    """Read title, minutes and exercises from a solved lab.

    Raises:
        ValueError: the notebook lacks one of them, or cannot be read.
    """
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise ValueError(f"the lab card needs {path.name}, which cannot be read: {error}") from error
    course = notebook.get("metadata", {}).get("course", {})
    minutes = course.get("minutes")
    if not isinstance(minutes, int) or isinstance(minutes, bool) or minutes <= 0:
        raise ValueError(
            f"{path.name} needs `course: {{minutes: N}}` in its metadata, got minutes = {minutes!r}"
        )
    markdown = (
        "".join(cell["source"]) for cell in notebook.get("cells", []) if cell["cell_type"] == "markdown"
    )
    heading = next((m[1] for text in markdown if (m := re.search(r"^# (.+)$", text, re.MULTILINE))), None)
    if heading is None:
        raise ValueError(f"{path.name} has no heading `# ...` for the lab card to show")
    exercises = tuple(_exercise(item) for item in course.get("exercises", []))
    return Lab(heading.strip(), minutes, exercises, paces(course))


def _exercise(item: Any) -> str:
    """The words for an exercise: given as text, or as a table with ``id`` and ``title``."""
    if isinstance(item, dict):
        return " ".join(str(item[key]) for key in ("id", "title") if item.get(key))
    return str(item)


def find_repository(pyproject: Path) -> str:
    """OWNER/NAME of the published course, or an empty string.

    Raises:
        ConfigError: the address is not one of GitHub's, which Colab and Binder need here.
    """
    try:
        return lab_launch.find_repository(pyproject)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _page(target: str, text: str, css: str = "lab-link") -> nodes.Node:
    """A link to another page of the book, checked by Sphinx; without a text it shows the page's title."""
    words = nodes.inline("", text, classes=[css])
    return addnodes.pending_xref(
        "",
        words,
        refdomain="std",
        reftype="doc",
        reftarget=f"/{target}",
        refexplicit=bool(text),
        refwarn=True,
    )


def _download(target: str, text: str) -> nodes.Node:
    words = nodes.inline("", text, classes=["lab-link"])
    return addnodes.download_reference(
        "", "", words, reftarget=f"/{target}", refdoc="", classes=["lab-download"]
    )


def _outside(address: str, text: str) -> nodes.Node:
    return nodes.reference(
        "", "", nodes.inline("", text, classes=["lab-link"]), refuri=address, internal=False
    )


def _links(name: str, config: Config, *, here: str) -> nodes.paragraph:
    """The row of links of a lab, without the page that it stands on."""
    lab, solved, repository = f"labs/{name}", f"solutions/{name}", config.course_repository
    row = [
        _page(lab, "Read the lab") if here != lab else None,
        _download(f"{config.course_lab_folder}/{name}.ipynb", "Download the lab (.ipynb)"),
        *(_outside(address, text) for text, address in lab_launch.links(repository, f"{lab}.ipynb")),
        _page(solved, "See it solved") if here != solved and config.course_solutions else None,
        _page(f"book/{name}", "Read the chapter") if here != f"book/{name}" else None,
    ]
    paragraph = nodes.paragraph(classes=["lab-links"])
    for node in row:
        if node is not None:
            paragraph += [node, nodes.Text(" ")]
    return paragraph


def _how_to_run(repository: str) -> list[nodes.Node]:
    """One sentence on where the lab runs."""
    command = nodes.literal("", "make lab")
    if repository:
        return [
            nodes.Text("It runs in the browser from the links below, or on your own machine with "),
            command,
            nodes.Text("."),
        ]
    return [nodes.Text("In your copy of the course, "), command, nodes.Text(" opens it in JupyterLab.")]


def pace_nodes(pace: Pace) -> list[nodes.Node]:
    """Difficulty as dots, which screen readers hear as a number, and minutes."""
    words = f"difficulty {pace.level} of {LEVELS}"
    dots = f'<span class="lab-level" role="img" aria-label="{words}" title="{words}">{pace.marks}</span>'
    return [
        nodes.raw("", dots, format="html"),
        nodes.Text(" "),
        nodes.inline("", f"{pace.minutes} minutes", classes=["lab-minutes"]),
    ]


class LabCard(SphinxDirective):
    """The card of a lab; its argument is the chapter's ``NN_slug``."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Read the solved lab and draw its card."""
        name = self.arguments[0]
        path = Path(self.env.srcdir) / "solutions" / f"{name}.ipynb"
        self.env.note_dependency(str(path))
        try:
            lab = read_lab(path)
        except ValueError as error:
            logger.warning(str(error), location=self.get_location(), type="course", subtype="lab")
            return []
        repository = self.config.course_repository
        card = nodes.container(classes=["lab-card"])
        self.set_source_info(card)
        title = nodes.paragraph("", lab.title, classes=["lab-title"])
        count = len(lab.exercises)
        facts = f"About {lab.minutes} minutes" + (f", {count} exercises. " if count else ". ")
        card += [
            title,
            nodes.paragraph("", "", nodes.Text(facts), *_how_to_run(repository), classes=["lab-facts"]),
        ]
        if lab.exercises:
            items = [nodes.list_item("", self._row(lab, name, text)) for text in lab.exercises]
            card += nodes.bullet_list("", *items, bullet="-", classes=["lab-exercises"])
        card += _links(name, self.config, here=self.env.docname)
        return [card]

    @staticmethod
    def _row(lab: Lab, name: str, words: str) -> nodes.paragraph:
        """An exercise with its difficulty and minutes; the one to do in a hurry says so."""
        exercise = words.partition(" ")[0]
        row = nodes.paragraph("", "", nodes.inline("", words, classes=["lab-exercise"]))
        if pace := lab.paces.get(exercise):
            row += [nodes.Text(" "), *pace_nodes(pace)]
        if FAST.get(name, ("",))[0] == exercise:
            row += [nodes.Text(" "), nodes.inline("", "fast track", classes=["lab-fast"])]
        return row


class ChapterMap(SphinxDirective):
    """All chapters in four parts; what stands is a link."""

    def run(self) -> list[nodes.Node]:
        """Draw the map from the table and from the pages that exist."""
        from course_map import map_html  # it reads this module's table

        standing = set(self.config.course_standing)
        builder: Any = self.env.app.builder
        addresses = {
            int(name[:2]): builder.get_relative_uri(self.env.docname, f"book/{name}")
            for name in (standing if builder.format == "html" else ())
        }
        picture = nodes.raw("", map_html(addresses), format="html")
        block = nodes.container(classes=["chapter-map"])
        self.set_source_info(block)
        for title, chapters in PARTS:
            part = nodes.container(
                "", nodes.paragraph("", title, classes=["map-part"]), classes=["map-group"]
            )
            rows = nodes.bullet_list(bullet="-", classes=["map-chapters"])
            for name, words, question in chapters:
                number = nodes.inline("", name[:2].lstrip("0"), classes=["map-number"])
                stands = name in standing
                heading = (
                    _page(f"book/{name}", "", "map-name")  # by the title that the page has itself
                    if stands
                    else nodes.inline("", words, classes=["map-name"])
                )
                line = nodes.paragraph("", "", number, nodes.Text(" "), heading, nodes.Text(" "))
                line += nodes.inline("", question, classes=["map-question"])
                if not stands:
                    line += [nodes.Text(" "), nodes.inline("", "in preparation", classes=["map-state"])]
                rows += nodes.list_item("", line, classes=["map-stands" if stands else "map-later"])
            part += rows
            block += part
        return [picture, block]


class LabBar(SphinxTransform):
    """The links of a lab under the title of its page and of its solution."""

    default_priority = 400

    def apply(self, **kwargs: Any) -> None:
        """Insert the bar after the first title, and tell a solved lab from its lab."""
        folder, _, name = self.env.docname.partition("/")
        if folder not in {"labs", "solutions"} or name not in CHAPTERS:
            return
        title = next(iter(self.document.findall(nodes.title)), None)
        if title is None:
            return
        repository = self.config.course_repository
        if folder == "labs":
            words = [
                nodes.Text("This page is the lab to read. To solve it, open the notebook. "),
                *_how_to_run(repository),
            ]
        else:
            words = [nodes.Text("This is the solved lab, with its outputs. Try the lab yourself first.")]
            title += nodes.Text(", solved")  # the notebook's own title is the lab's
        bar = nodes.container(
            "", nodes.paragraph("", "", *words), _links(name, self.config, here=self.env.docname)
        )
        bar["classes"].append("lab-bar")
        title.parent.insert(title.parent.index(title) + 1, bar)


def _configure(app: Sphinx, config: Config) -> None:
    source = Path(app.srcdir)
    if not config.course_repository:
        config.course_repository = find_repository(source / "pyproject.toml")
    listed = getattr(config, "external_site_map", None)
    if listed is not None:  # that of the copy for students names no solutions
        config.course_solutions = any(str(name).startswith("solutions/") for name in listed)
    config.course_standing = [name for name in CHAPTERS if (source / "book" / f"{name}.md").exists()]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives, the bar, and the two facts that every page depends on."""
    app.add_config_value("course_repository", "", "env", types=[str])
    app.add_config_value("course_lab_folder", "labs", "env", types=[str])
    app.add_config_value("course_standing", [], "env", types=[list])
    app.add_config_value("course_solutions", True, "env", types=[bool])
    app.connect("config-inited", _configure, priority=950)  # when the table of contents has been read
    app.add_directive("lab-card", LabCard)
    app.add_directive("chapter-map", ChapterMap)
    app.add_transform(LabBar)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
