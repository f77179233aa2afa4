"""``python -m segcore variant``: a lab in which each student has exercises of their own."""

from __future__ import annotations

import argparse
from pathlib import Path

from segcore.checks.variants import handing
from segcore.checks.variants.choosing import varied
from segcore.checks.variants.roster import read_roster

__all__ = ["HELP", "options", "run"]

HELP = """\
Writes the lab of a chapter for one student: exercises that have variants ask for other conventions, chosen
by the student's name or number. The same name gives the same lab, on any machine; the answer to one variant
does not pass for another. The ids of its exercises, such as 13.2@k3f90d, are known to check and grade like
all others.

    python -m segcore variant 13 --student s1234567             writes 13_roi_align.s1234567.ipynb
    python -m segcore variant 13 --students class.txt -o labs13 one for each line of the file
    python -m segcore variant 13 --student s1234567 --answers   the solved one, for you

With --key WORD the ids follow from a word that only you know, so nobody can make another one's lab; give the
same word each time.

Exit code: 0 where all were written, 2 where one could not be.
"""


def options(parser: argparse.ArgumentParser) -> None:
    """What may stand behind ``variant``."""
    parser.add_argument("chapter", metavar="CHAPTER", help="its number")
    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument("--student", metavar="ID", help="a name or number")
    who.add_argument(
        "--students",
        metavar="FILE",
        help="a file with a name or number in each line, or a .csv with a column `student`",
    )
    parser.add_argument(
        "-o", "--out", metavar="PATH", help="the notebook to write, or a folder to write into"
    )
    parser.add_argument("--answers", action="store_true", help="with the solutions")
    parser.add_argument("--key", default="", metavar="WORD", help="a secret word of the lecturer's")


def run(asked: argparse.Namespace) -> list[str]:
    """Write the labs.

    Returns:
        The files that were written, or were there already with the same content.

    Raises:
        ValueError: There is no such chapter or student, or two students' labs would have one name.
        OSError: A file cannot be read or written.
    """
    students = [asked.student] if asked.student is not None else _class(asked.students)
    out = Path(asked.out) if asked.out else Path()
    varied(asked.chapter)  # says what is wrong with the number
    folder = out.is_dir() or asked.students is not None
    written: dict[Path, str] = {}
    for student in students:
        name = handing.file_name(asked.chapter, student, answers=asked.answers)
        target = out / name if folder else out
        if target in written:
            raise ValueError(
                f"{written[target]!r} and {student!r} would both have {target.name}: change one name"
            )
        written[target] = student
    for target, student in written.items():
        notebook = handing.lab_of(asked.chapter, student, asked.key, answers=asked.answers)
        _put(target, handing.text_of(notebook))
    return [str(target) for target in written]


def _class(file: str) -> list[str]:
    return [each.name for each in read_roster(Path(file))]


def _put(target: Path, text: str) -> None:
    """Write a notebook; one that is there already, with other content, is somebody's work and stays."""
    if target.exists() and target.read_text(encoding="utf-8", errors="replace") == text:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open(target, "x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError:
        raise ValueError(
            f"{target} is there already and differs: move it, or choose another name by -o"
        ) from None
