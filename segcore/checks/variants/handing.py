"""A lab of one's own: the lab of a chapter in which each student has other variants of the exercises.

It is made from the solved lab, by the generator that makes all labs, so it works in a copy of the course and
not from the installed package alone. Task, skeleton and check of an exercise that has variants are replaced;
all other cells stay. A variant's check hands its function on in the lab's form, so they work as they are.
"""

from __future__ import annotations

import ast
import importlib
import re
import sys
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any

import segcore
from segcore.checks.chapters import CHAPTERS, exercise, exercises
from segcore.checks.exercise import Exercise
from segcore.checks.variants.choosing import token, variants
from segcore.checks.variants.making import LAB, Variant, head_and_body, renamed
from segcore.checks.variants.roster import in_files
from segcore.checks.variants.wording import docstring, in_a_notebook

__all__ = ["file_name", "lab_of", "own_ids", "text_of"]

ROOT = Path(segcore.__file__).resolve().parents[1]
NOTE = (
    "**This copy of the lab is made for {student}.** {exercises} ask for other conventions than the course, "
    "and "
    "other copies for others again: read what each task says of its arguments and its result. After each "
    "check "
    "the lab goes on in the course's own conventions."
)


def own_ids(chapter: str | int, student: str, key: str = "") -> dict[str, str]:
    """The ids of a student's lab: for each exercise of the chapter that has variants, the one with a token.

    Args:
        chapter: Its number.
        student: The student's name or number.
        key: The lecturer's secret word, where there is one.

    Raises:
        ValueError: There is no such chapter, or the student has no name.

    Example:
        >>> list(own_ids(13, "s1234567"))[:2]
        ['13.1', '13.2']
    """
    return {
        each.id: f"{each.id}@{token(each.id, student, key)}"
        for each in exercises(chapter)
        if variants(each.id)
    }


def lab_of(chapter: str | int, student: str, key: str = "", *, answers: bool = False) -> Any:
    """The notebook of a student's lab.

    Args:
        chapter: Its number.
        student: The student's name or number.
        key: The lecturer's secret word, where there is one.
        answers: Whether the solutions stand in it, for the lecturer.

    Returns:
        The notebook, without outputs.

    Raises:
        ValueError: There is no such chapter, the student has no name, or the solved labs are not here.
    """
    ids = own_ids(chapter, student, key)
    slug = f"{int(chapter):02d}_{CHAPTERS[int(chapter)]}"
    labs = _generator()
    notebook = labs.read(ROOT / "solutions" / f"{slug}.ipynb")
    for cell in notebook.cells:
        _replace(cell, ids, labs)
    if answers:
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
    else:
        notebook = labs.lab_from(notebook, slug, labs.published(ROOT))
    notebook.cells.insert(1, _note(student, ids))
    course = notebook.metadata.setdefault("course", {})
    course["exercises"] = [{**each, "id": ids.get(each["id"], each["id"])} for each in course["exercises"]]
    course.update(slug=slug, student=student.strip())
    course["generated"] = labs.content_hash(notebook)
    return notebook


def text_of(notebook: Any) -> str:
    """The text of a notebook's file."""
    return str(_generator().text_of(notebook))


def file_name(chapter: str | int, student: str, *, answers: bool = False) -> str:
    """What a student's lab is called where no name is given.

    Example:
        >>> file_name(13, "Zoë Müller")
        '13_roi_align.Zoë_Müller.ipynb'
    """
    return f"{int(chapter):02d}_{CHAPTERS[int(chapter)]}.{in_files(student)}{'.answers' * answers}.ipynb"


def _generator() -> ModuleType:
    """The module that makes labs from solutions, of the copy of the course that this package lies in."""
    path = ROOT / "tools" / "lab_generate.py"
    if not path.is_file() or not (ROOT / "solutions").is_dir():
        raise ValueError(
            "the solved labs are not here: a lab of one's own is made in a copy of the course, with "
            "`.venv/bin/python -m segcore variant`, not with the installed package alone"
        )
    sys.path.insert(0, str(path.parent))  # it imports other modules of that folder
    try:
        return importlib.import_module("lab_generate")
    finally:
        sys.path.remove(str(path.parent))


def _note(student: str, ids: dict[str, str]) -> Any:
    import nbformat

    names = [f"Exercise {each}" if not number else each for number, each in enumerate(ids)]
    words = names[0] if len(names) == 1 else f"{', '.join(names)}".replace("Exercise", "Exercises")
    cell = nbformat.v4.new_markdown_cell(NOTE.format(student=student.strip(), exercises=words))
    if len(names) == 1:
        cell.source = cell.source.replace(" ask for", " asks for")
    cell.id = "own-note"
    return cell


def _replace(cell: Any, ids: dict[str, str], labs: ModuleType) -> None:
    """Put the variant in the place of the lab's exercise: in its task, its skeleton or its check."""
    for of, own in ids.items():
        if cell.cell_type == "markdown":
            if cell.source.startswith(f"## {of} "):
                before, found, _ = cell.source.partition("**Your task")
                assert found, f"the task of {of} has no 'Your task'"
                cell.source = before + in_a_notebook(_variant(own))
        elif labs.is_solution(cell) and labs.exercise_of(cell) == of:
            if re.search(rf"^def {exercise(of).name}\(", cell.source, re.MULTILINE):
                cell.source = solved(_variant(own), cell.source)
        else:
            cell.source = re.sub(
                rf"""\bcheck\((["']){re.escape(of)}\1""", rf"check(\g<1>{own}\g<1>", cell.source
            )


def _variant(name: str) -> Variant:
    found: Exercise = exercise(name)
    assert isinstance(found, Variant)
    return found


def solved(variant: Variant, source: str) -> str:
    """The lab's solved cell as one of a variant: the lab's function stands inside of the variant's.

    Args:
        variant: The variant.
        source: The cell, with the marks around its solution.

    Returns:
        The cell with the variant's docstring and solution; what else stands in it stays.
    """
    lines = source.split("\n")
    node = next(
        each
        for each in ast.parse(source).body
        if isinstance(each, ast.FunctionDef) and each.name == variant.base.name
    )
    said = node.body[0]
    inside = lines[said.end_lineno : node.end_lineno]
    end = next(at for at in range(node.end_lineno or 0, len(lines)) if "END SOLUTION" in lines[at])
    inner = [line for line in inside if "BEGIN SOLUTION" not in line]
    body = textwrap.dedent("\n".join(inner)).split("\n")
    parameters, around = head_and_body(variant)
    written = [
        "### BEGIN SOLUTION",
        "# The lab's own lines stand in a function inside.",
        f"def {LAB}({parameters}):",
        *(f"    {renamed(line, variant.base.name)}" for line in body),
        "",
        "# What is different here stands around a call of it.",
        *around,
        "### END SOLUTION",
    ]
    made = [
        *lines[: said.lineno - 1],
        docstring(variant),
        *(f"    {line}".rstrip() for line in written),
        *lines[end + 1 :],
    ]
    return "\n".join(made)
