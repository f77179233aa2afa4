"""The students of a class, from a file: their names or numbers, and what their hand-ins are called.

A text file has one student in each line. A table (``.csv``, ``.tsv``) has a first line with the names of its
columns: ``student``, and where hand-ins are called otherwise ``file``, the name of the folder or the notebook
that the student hands in. Other columns are passed over, and a student may stand in several lines.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Student", "in_files", "read_roster", "same"]


@dataclass(frozen=True)
class Student:
    """A student and what the hand-ins are called: the name or number itself where ``files`` is empty."""

    name: str
    files: tuple[str, ...] = ()


def in_files(student: str) -> str:
    """A student's name or number as it can stand in the name of a file.

    Example:
        >>> in_files("Zoë Müller")
        'Zoë_Müller'
    """
    return re.sub(r"[^\w.-]+", "_", student.strip()).strip("._") or "student"


def same(name: str) -> str:
    """The form in which two spellings of one name are the same.

    Example:
        >>> same(" Zoë_MÜLLER") == same("Zoë Müller")
        True
    """
    return in_files(unicodedata.normalize("NFKC", name).strip().casefold())


def read_roster(file: Path) -> list[Student]:
    """The students that a file names, in order.

    Args:
        file: Text with one student in each line, or a table whose name ends in ``.csv`` or ``.tsv``.

    Raises:
        ValueError: It is no text in UTF-8, names nobody, lacks the column ``student``, or gives a hand-in's
            name to two students.
        OSError: It cannot be read.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(
            f"{file} is no text in UTF-8: save it so, with one name or number in each line"
        ) from None
    if file.suffix.lower() in (".csv", ".tsv"):
        rows = _table(file, text)
    else:
        rows = [(line.strip(), "") for line in text.splitlines()]
    files: dict[str, list[str]] = {}
    for name, called in rows:
        if name:
            files.setdefault(name, []).extend([called] if called else [])
    if not files:
        raise ValueError(f"{file} names no student: one name or number in each line is expected")
    owners: dict[str, str] = {}
    for name, all_called in files.items():
        for called in all_called:
            if (owner := owners.setdefault(same(called), name)) != name:
                raise ValueError(f"{file}: the hand-in {called!r} is that of {owner!r} and of {name!r}")
    return [Student(name, tuple(dict.fromkeys(called))) for name, called in files.items()]


def _table(file: Path, text: str) -> list[tuple[str, str]]:
    """Student and hand-in of each line."""
    lines = text.splitlines()
    head = lines[0] if lines else ""
    reader = csv.DictReader(lines, delimiter=max(",;\t", key=head.count))
    columns = {str(name).strip().casefold(): name for name in reader.fieldnames or ()}
    if "student" not in columns:
        raise ValueError(
            f"{file}: expected a first line that names the columns, student and file; came: {head[:60]!r}"
        )
    own, called = columns["student"], columns.get("file")
    return [
        ((row[own] or "").strip(), (row.get(called) or "").strip() if called is not None else "")
        for row in reader
    ]
