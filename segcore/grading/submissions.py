"""Hand-ins: read whatever editor wrote them, given a place to run."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from segcore.checks.chapters import CHAPTERS, exercise, exercises
from segcore.checks.exercise import Exercise

__all__ = [
    "CHECK",
    "Notebook",
    "Submission",
    "code_cells",
    "key_of",
    "read",
    "wanted",
    "workplace",
]

CHECK = re.compile(
    r"""^[^#\n]*?(?:\b(\w+)\s*=\s*)?\bcheck\(\s*(["'])(\d+\.\d+(?:@[\w-]+)?)\2""", re.MULTILINE
)
NOTEBOOK = 64 << 20  # bytes of a notebook
BESIDE = 200 << 20  # bytes of all files that lie beside it and come along
FILES = 5000  # in a zip, or beside a notebook


@dataclass(frozen=True)
class Submission:
    """One hand-in: how it is called, who it is from, and the file."""

    path: str
    student: str
    file: Path


@dataclass
class Notebook:
    """What can be read of a notebook: its metadata and its cells as kind and text."""

    metadata: dict[str, Any] = field(default_factory=dict)
    cells: list[tuple[str, str]] = field(default_factory=list)


def read(raw: bytes) -> Notebook:
    """What a file holds of a notebook; faults of its form that change no code are passed over.

    Raises:
        ValueError: It is no notebook.
    """
    if len(raw) > NOTEBOOK:
        raise ValueError(f"more than {NOTEBOOK >> 20} MB")
    text = raw.decode("utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    try:
        whole = json.loads(text)
    except RecursionError:
        raise ValueError("containers in containers without end") from None
    if not isinstance(whole, dict):
        raise ValueError("its JSON is no object")
    cells = whole.get("cells")
    if cells is None and isinstance(whole.get("worksheets"), list):  # before nbformat 4
        cells = [cell for sheet in whole["worksheets"] for cell in sheet.get("cells", [])]
    if not isinstance(cells, list):
        raise ValueError("it has no cells")
    metadata = whole.get("metadata")
    made = Notebook(metadata if isinstance(metadata, dict) else {})
    for cell in cells:
        if isinstance(cell, dict):
            source = cell.get("source", cell.get("input", ""))
            lines = source if isinstance(source, list) else [source]
            made.cells.append((str(cell.get("cell_type", "")), "".join(str(line) for line in lines)))
    return made


def code_cells(notebook: Notebook) -> list[str]:
    """The code that is not empty, cell by cell."""
    return [text.replace("\r\n", "\n") for kind, text in notebook.cells if kind == "code" and text.strip()]


def wanted(notebook: Notebook, only: Sequence[str] = ()) -> list[Exercise]:
    """The exercises that a hand-in is about: all of the chapters that its metadata or its checks name.

    Args:
        notebook: The hand-in. A check of a variant, ``"13.2@k3f9"``, stands for the exercise it varies.
        only: Ids that alone are wanted; all where empty.
    """
    course = notebook.metadata.get("course")
    slug = str(course.get("slug", "")) if isinstance(course, dict) else ""
    checked = {found[3]: None for cell in code_cells(notebook) for found in CHECK.finditer(cell)}
    chapters = {int(name.partition(".")[0]) for name in checked}
    chapters |= {int(slug[:2])} if slug[:2].isdecimal() else set()
    made: list[Exercise] = []
    for chapter in sorted(chapters & {int(number) for number in CHAPTERS}):
        with contextlib.suppress(ValueError):
            for each in exercises(chapter):
                variants = [name for name in checked if name.partition("@")[0] == each.id and "@" in name]
                made.append(_variant(variants, each))
    plain = {each.partition("@")[0] for each in only}
    return [each for each in made if not plain or each.id.partition("@")[0] in plain]


def _variant(names: list[str], usual: Exercise) -> Exercise:
    for name in names:
        with contextlib.suppress(ValueError):
            return exercise(name)
    return usual


def key_of(file: Path) -> str:
    """What tells whether a hand-in is new: its content, with what lies beside it, and the course's checks."""
    digest = hashlib.sha256(_checks())
    try:
        digest.update(file.read_bytes())
        for each in _beside(file):
            digest.update(os.fsencode(each.name) + b"\0" + hashlib.sha256(each.read_bytes()).digest())
    except OSError as error:
        digest.update(str(error.strerror).encode())
    return digest.hexdigest()[:32]


@cache
def _checks() -> bytes:
    digest = hashlib.sha256()
    for each in sorted(Path(__file__).resolve().parents[1].glob("checks/**/*.py")):
        digest.update(each.read_bytes())
    return digest.digest()


def _beside(file: Path) -> list[Path]:
    """The files of its folder that are no notebooks and no links, while they are not too many or too large.

    Where several notebooks lie in a folder, it is nobody's: then none.
    """
    found: list[Path] = []
    room = BESIDE
    if sum(each.suffix.lower() == ".ipynb" for each in file.parent.iterdir()) != 1:
        return found
    for each in sorted(file.parent.rglob("*"), key=os.fsencode):
        inside = each.relative_to(file.parent)
        if (
            each.suffix.lower() in (".ipynb", ".zip")
            or any(part.startswith(".") or part == "__MACOSX" for part in inside.parts)
            or each.is_symlink()
            or not each.is_file()
        ):
            continue
        room -= each.stat().st_size
        if room < 0 or len(found) >= FILES:
            break
        found.append(each)
    return found


@contextlib.contextmanager
def workplace(task: dict[str, Any]) -> Iterator[Path]:
    """A folder of its own with a copy of the notebook and of what lies beside it; gone at the end."""
    file = Path(os.fsdecode(bytes.fromhex(task["file"])))
    place = Path(tempfile.mkdtemp(prefix="hand-in-", dir=task["temporary"]))
    folder = place / "work"
    folder.mkdir()
    try:
        shutil.copyfile(file, folder / (task.get("name") or "lab.ipynb"))
        for each in _beside(file):
            target = folder / each.relative_to(file.parent)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(each, target)
        yield folder
    finally:
        shutil.rmtree(place, ignore_errors=True)
