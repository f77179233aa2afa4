"""How long an exercise takes, how hard it is, and which one to do first in a hurry.

The numbers stand in one place, the metadata of the solved lab:
``course: {minutes: 90, rest: 7, exercises: [{id: 13.1, title: ..., minutes: 10, level: 1}, ...]}``. From
there come the table in the lab's first cell, the line under each exercise's heading in the lab, the card in
the chapter, and the line below the chapter's title. ``rest`` is what goes by around the exercises: reading
the first cells, a network that trains, a look at the end. The lab's minutes are its exercises' and the rest.

Levels are one to three. A rule proposes one, from the minutes and the lines of the solution (`proposed`); an
author may go one up or down, where lines say little: a single line can hold a gradient.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from nbformat import NotebookNode

LEVELS = 3
EASY, HARD = (
    18,
    29,
)  # of minutes and lines together: below or at the first it is level 1, from the second on 3

# Of each chapter the one exercise that holds its ideas, and why this one.
FAST: dict[str, tuple[str, str]] = {
    "01_superpixels": (
        "1.2",
        "one step of SLIC: colour and place in one distance, and only the near centres asked",
    ),
    "02_grouping": ("2.2", "the loop that makes a hierarchy, of which every threshold is a segmentation"),
    "03_metrics": ("3.3", "the table of counts, IoU from it, and what must be left out of both"),
    "04_convolutionalization": (
        "4.3",
        "a classifier made into a network for every pixel, and equal to the window",
    ),
    "05_receptive_fields": ("5.1", "the recurrence from which every other number of the chapter follows"),
    "06_dilation": ("6.5", "a trained network gets its resolution back: strides out, dilations in"),
    "07_skips": ("7.4", "FCN-8s as a whole: score each layer, enlarge, add"),
    "08_upsampling": ("8.2", "why painting with a filter and sliding over zeros are one operation"),
    "09_encoder_decoders": ("9.2", "U-Net's forward pass, with every bridge in its place"),
    "10_crf": ("10.4", "mean field with a kernel over all pairs: the dense CRF itself"),
    "11_deeplab": ("11.2", "the pyramid that DeepLab is known for"),
    "12_instance_metrics": ("12.2", "who matches whom, on which all of COCO's numbers rest"),
    "13_roi_align": ("13.3", "half pixels, bilinear weights and bins in two matrix products"),
    "14_mask_rcnn": ("14.2", "a mask for each class and a loss for one of them: what Mask R-CNN changed"),
    "15_panoptic": ("15.3", "quality of recognition and of segmentation, in one number for each class"),
    "16_keypoints": ("16.1", "a point as a map that a network can learn"),
    "17_geometry": ("17.2", "what one picture cannot tell, taken out of the loss"),
    "18_colorization": ("18.5", "why a mean is grey, a mode is patchy, and what lies between"),
}


@dataclass(frozen=True)
class Pace:
    """What an exercise asks of its reader."""

    minutes: int
    level: int

    @property
    def marks(self) -> str:
        """Filled and empty dots.

        Example:
            >>> Pace(20, 2).marks
            '●●○'
        """
        return "●" * self.level + "○" * (LEVELS - self.level)


def paces(course: dict[str, Any]) -> dict[str, Pace]:
    """The pace of each exercise that has one, by its id, from a notebook's `course` metadata."""
    found = {}
    for item in course.get("exercises", []):
        if (
            isinstance(item, dict)
            and isinstance(item.get("minutes"), int)
            and isinstance(item.get("level"), int)
        ):
            found[str(item["id"])] = Pace(item["minutes"], item["level"])
    return found


def proposed(minutes: int, lines: int) -> int:
    """The level that the rule gives an exercise of so many minutes and lines of solution.

    Example:
        >>> proposed(10, 5), proposed(20, 7), proposed(23, 12)
        (1, 2, 3)
    """
    score = minutes + lines
    return 1 if score <= EASY else 2 if score < HARD else 3


def line(slug: str, exercise: str, pace: Pace) -> str:
    """What stands under an exercise's heading in the lab.

    Example:
        >>> line("13_roi_align", "13.3", Pace(23, 3))
        '*●●● Difficulty 3 of 3, about 23 minutes. In a hurry, do this one.*'
    """
    first = " In a hurry, do this one." if FAST.get(slug, ("", ""))[0] == exercise else ""
    return f"*{pace.marks} Difficulty {pace.level} of {LEVELS}, about {pace.minutes} minutes.{first}*"


_HEADING = re.compile(r"^(## (\d+\.\d+) .*)$", re.MULTILINE)
_ROW = re.compile(r"^\| *(\d+\.\d+) *\|(.*?)\|[^|\n]*(?:\|[^|\n]*)?\|$")
_TOTAL = re.compile(r"About \d+ minutes")


def with_lines(source: str, slug: str, known: dict[str, Pace]) -> str:
    """A Markdown cell with a line under the heading of each exercise."""

    def add(found: re.Match[str]) -> str:
        pace = known.get(found[2])
        return f"{found[1]}\n\n{line(slug, found[2], pace)}" if pace else found[1]

    return _HEADING.sub(add, source)


def with_table(source: str, course: dict[str, Any]) -> str:
    r"""A lab's first cell with its sum of minutes, and each exercise's minutes and level in its table.

    Example:
        >>> course = {"minutes": 30, "rest": 5, "exercises": [{"id": "1.1", "minutes": 25, "level": 2}]}
        >>> head = "About 9 minutes.\n\n| Exercise | You write | Minutes |\n| --- | --- | --- |"
        >>> print(with_table(head + "\n| 1.1 | f | 9 |", course))
        About 30 minutes.
        <BLANKLINE>
        | Exercise | You write | Difficulty | Minutes |
        | --- | --- | --- | ---: |
        | 1.1 | f | ●●○ | 25 |
        | | beginning, waiting, end | | 5 |
    """
    known, rest = paces(course), course.get("rest", 0)
    made: list[str] = []
    last = -1
    for text in source.split("\n"):
        row = _ROW.match(text)
        if row and row[1] in known:
            pace = known[row[1]]
            text = f"| {row[1]} | {row[2].split(' | ')[0].strip()} | {pace.marks} | {pace.minutes} |"
            if last < 0:
                made[-2:] = ["| Exercise | You write | Difficulty | Minutes |", "| --- | --- | --- | ---: |"]
            last = len(made)
        elif text.startswith("| | beginning"):
            continue
        made.append(text)
    if last < 0:
        return source
    if rest:
        made.insert(last + 1, f"| | beginning, waiting, end | | {rest} |")
    return _TOTAL.sub(f"About {course['minutes']} minutes", "\n".join(made), count=1)


def faults(slug: str, notebook: NotebookNode, lines: dict[str, int]) -> list[str]:
    """What is amiss with a lab's minutes and levels; `lines` are those of each exercise's solution."""
    course = notebook.metadata.get("course", {})
    known, rest = paces(course), course.get("rest", 0)
    named = [str(item["id"]) for item in course.get("exercises", []) if isinstance(item, dict)]
    found = [f"course.exercises gives {name} no minutes or no level" for name in named if name not in known]
    total = sum(pace.minutes for pace in known.values()) + rest
    if not found and total != course.get("minutes"):
        stated = course.get("minutes")
        found.append(f"its exercises and the rest take {total} minutes, but course.minutes says {stated}")
    for name, pace in known.items():
        rule = proposed(pace.minutes, lines.get(name, 0))
        if not 1 <= pace.level <= LEVELS or abs(pace.level - rule) > 1:
            words = f"{pace.minutes} minutes and {lines.get(name, 0)} lines say {rule}"
            found.append(f"exercise {name} is of level {pace.level}; {words}, give or take one")
    if len(named) > 1 and FAST.get(slug, ("none",))[0] not in named:  # a new room has one, a placeholder
        found.append(f"lab_pace.FAST names {FAST.get(slug, ('none',))[0]}, which is no exercise of this lab")
    if notebook.cells and with_table(notebook.cells[0].source, course) != notebook.cells[0].source:
        found.append(
            "the table of its first cell is not what its metadata say: run `python tools/labs.py annotate`"
        )
    return found
