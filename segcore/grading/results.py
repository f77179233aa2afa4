"""What came of each hand-in, and its forms: a table, JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

__all__ = [
    "FAULT",
    "STATES",
    "Result",
    "Sheet",
    "from_json",
    "plain",
    "table",
    "to_csv",
    "to_json",
    "total",
    "write",
]

VERSION = 2  # of the JSON; version 1 knew no students, rungs and seconds of an exercise
STATES = ("passed", "failed", "error", "not attempted", "not reached", "for a person")
FAULT = "the grader could not finish it"  # begins a problem that is no fault of the hand-in
FIELDS = (
    "exercise",
    "title",
    "state",
    "points",
    "possible",
    "mistake",
    "reason",
    "rung",
    "seconds",
    "variant",
)


@dataclass
class Result:
    """One exercise of one notebook.

    ``state`` is passed, failed, error, not attempted, not reached, or "for a person": it could not be
    decided fairly by the grader. ``rung`` is the deepest hint, from 1 to 4, that the notebook's checks ask
    for, 0 where they ask for none; ``code`` is the reader's function where it was seen.
    ``variant`` says whose variant it is, where the grader compares: `segcore.grading.owners`.
    """

    exercise: str
    title: str
    state: str = "not reached"
    points: int = 0
    possible: int = 1
    kind: str = ""
    mistake: str = ""
    reason: str = ""
    passed: int = 0
    tried: int = 0
    rung: int = 0
    seconds: float = 0.0
    code: str = ""
    variant: str = ""


@dataclass
class Sheet:
    """What came of one notebook; ``problem`` says why it could not be graded, or not to its end."""

    path: str
    results: list[Result] = field(default_factory=list)
    problem: str = ""
    seconds: float = 0.0
    student: str = ""
    key: str = ""

    @property
    def passed(self) -> int:
        """How many exercises are passed."""
        return sum(result.state == "passed" for result in self.results)

    @property
    def points(self) -> int:
        """Points reached."""
        return sum(result.points for result in self.results)

    @property
    def possible(self) -> int:
        """Points that could be reached."""
        return sum(result.possible for result in self.results)


def plain(text: str, width: int = 0) -> str:
    """A text of one line, without control characters, no wider than `width` where one is given."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if not width or len(line) <= width else line[: width - 1] + "…"


def table(sheet: Sheet) -> str:
    """A notebook's exercises, one a line."""
    lines = [f"{sheet.path}: {_sum([sheet])} ({sheet.seconds:.0f} s)" if sheet.results else sheet.path]
    width = max((len(result.title) for result in sheet.results), default=0)
    first = max((len(result.exercise) for result in sheet.results), default=0)
    asked = any(result.rung for result in sheet.results)
    for each in sheet.results:
        marks = f"{each.points}/{each.possible}"
        cells = [each.exercise.ljust(max(5, first)), each.title.ljust(width), each.state.ljust(13), marks]
        if asked:
            cells.append((f"hint {each.rung}" if each.rung else "").ljust(6))
        strange = each.variant not in ("", "own") and each.kind != "variant"
        reason = plain(each.reason, 120) + f" [id: {each.variant}]" * strange
        lines.append(f"  {'  '.join(cells)}  {reason}".rstrip())
    if sheet.problem:
        lines.append(f"  {'stopped' if sheet.results else 'not graded'}: {sheet.problem}")
    return "\n".join(lines)


def _sum(sheets: Sequence[Sheet]) -> str:
    counts = [
        sum(values)
        for values in zip(*((s.passed, len(s.results), s.points, s.possible) for s in sheets), strict=True)
    ] or [0] * 4
    return "{} of {} exercises passed, {} of {} points".format(*counts)


def total(sheets: Sequence[Sheet]) -> str:
    """One line over all notebooks."""
    lost = sum(not sheet.results for sheet in sheets)
    person = sum(result.state == "for a person" for sheet in sheets for result in sheet.results)
    words = f"{len(sheets)} notebooks: {_sum(sheets)}"
    words += f"; {person} for a person to look at" if person else ""
    return words + (f"; {lost} not graded" if lost else "")


def to_json(sheets: Sequence[Sheet], similar: Sequence[dict[str, Any]] | None = None) -> str:
    """The sheets as JSON.

    Args:
        sheets: Of all hand-ins.
        similar: Pairs of hand-ins that are alike, where they were looked for.
    """
    made = [
        {
            "path": sheet.path,
            "student": sheet.student,
            "passed": sheet.passed,
            "points": sheet.points,
            "possible": sheet.possible,
            "seconds": round(sheet.seconds, 1),
            "problem": sheet.problem,
            "key": sheet.key,
            "exercises": [asdict(result) for result in sheet.results],
        }
        for sheet in sheets
    ]
    whole: dict[str, Any] = {"version": VERSION, "notebooks": made}
    if similar is not None:
        whole["similar"] = list(similar)
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def from_json(text: str) -> list[Sheet]:
    """The sheets of a JSON file of this version or the one before.

    Raises:
        ValueError: It is none.
    """
    try:
        whole = json.loads(text)
        version, notebooks = whole["version"], whole["notebooks"]
        if version not in (1, VERSION):
            raise ValueError(f"expected results of version 1 or {VERSION}; came: version {version!r}")
        return [sheet_from(each) for each in notebooks]
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"expected results that `grade --json` wrote; came: something else ({error})"
        ) from None


def sheet_from(each: dict[str, Any]) -> Sheet:
    """A sheet from its dict, whatever an older version lacks left at its default."""
    names = {part.name for part in fields(Result)}
    rows = each.get("exercises", each.get("results", []))
    made = Sheet(
        str(each["path"]),
        [Result(**{key: value for key, value in row.items() if key in names}) for row in rows],
        str(each.get("problem", "")),
        float(each.get("seconds", 0.0)),
        str(each.get("student", "")) or Path(str(each["path"])).parent.name,
        str(each.get("key", "")),
    )
    return made


def to_csv(sheets: Sequence[Sheet]) -> str:
    """The sheets as CSV, one exercise a row; a notebook that could not be graded has one row that says so."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("path", "student", *FIELDS, "problem"))
    for sheet in sheets:
        head = _safe(sheet.path), _safe(sheet.student)
        for result in sheet.results:
            cells = (_safe(getattr(result, name)) for name in FIELDS)
            writer.writerow((*head, *cells, _safe(sheet.problem)))
        if not sheet.results:
            writer.writerow((*head, "", "", "not graded", 0, 0, "", "", 0, 0.0, "", _safe(sheet.problem)))
    return text.getvalue()


def _safe(value: Any) -> Any:
    """A text of one line that no spreadsheet takes for a formula."""
    if not isinstance(value, str):
        return value
    line = plain(value)
    return f"'{line}" if line[:1] in {"=", "+", "-", "@"} and not line.startswith("--") else line


def write(target: Path, text: str) -> None:
    """Write a file whole or not at all.

    Raises:
        OSError: It cannot be written; what stood there before stands there still.
    """
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:40]}-", suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)
    finally:
        Path(temporary).unlink(missing_ok=True)
