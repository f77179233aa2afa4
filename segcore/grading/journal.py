"""Results that survive anything: one line for each hand-in, on the disk as it is marked."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict
from pathlib import Path
from typing import Any

from segcore.grading.results import Sheet, from_json, sheet_from

__all__ = ["Journal", "sheets_in"]

NAME = "journal.jsonl"
HEAD = {"segcore": "grading", "version": 2}


class Journal:
    """The journal of a results folder.

    Args:
        folder: It is made where it is missing. Where None is given, nothing is kept.

    Raises:
        OSError: The folder cannot be made or written.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder, self.known = folder, {}  # type: Path | None, dict[str, Sheet]
        self.notes: list[str] = []
        self.seed = secrets.randbelow(2**31) + 1
        self._file: int | None = None
        if folder is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / NAME
        head, sheets, torn = _read(path)
        if head is not None and not _ours(head):
            number = 1
            while (aside := path.with_name(f"journal.old-{number}.jsonl")).exists():
                number += 1
            path.rename(aside)
            self.notes.append(
                f"{NAME} was written by another version and is kept as {aside.name}; all is graded anew"
            )
            head, sheets, torn = None, [], False
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        if head is None:
            self._line({**HEAD, "seed": self.seed})
        else:
            self.seed = int(head.get("seed", self.seed))
            if torn:  # killed while writing: that hand-in is graded again
                os.write(self._file, b"\n")
                self.notes.append(
                    f"{NAME}: a line that was cut off is left out; that hand-in is graded again"
                )
        self.known = {sheet.key: sheet for sheet in sheets if sheet.key}

    def add(self, sheet: Sheet) -> None:
        """Keep a sheet.

        Raises:
            OSError: The disk is full, say; the lines before stand.
        """
        if self._file is not None:
            self._line({"sheet": asdict(sheet)})
        self.known[sheet.key] = sheet

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _line(self, line: dict[str, Any]) -> None:
        assert self._file is not None
        start = os.fstat(self._file).st_size
        raw = json.dumps(line, ensure_ascii=True).encode() + b"\n"
        try:
            done = 0
            while done < len(raw):
                done += os.write(self._file, raw[done:])
            os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, start)  # no half line stays
            raise


def _ours(head: Any) -> bool:
    return isinstance(head, dict) and {name: head.get(name) for name in HEAD} == HEAD


def _read(path: Path) -> tuple[Any, list[Sheet], bool]:
    """First line (None for an empty file), the sheets, and whether the last line was cut off."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return None, [], False
    lines = raw.split(b"\n")
    torn = bool(lines.pop())
    if not raw:
        return None, [], False
    head: Any = {}
    sheets = []
    for number, line in enumerate(lines or [b""]):
        try:
            entry = json.loads(line)
            if number == 0:
                head = entry
            else:
                sheets.append(sheet_from(entry["sheet"]))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue
    return head, sheets, torn


def sheets_in(path: Path) -> list[Sheet]:
    """The sheets of a results folder, of its journal, or of a file that ``grade --json`` wrote.

    Raises:
        ValueError: It is none of these.
        OSError: It cannot be read.
    """
    if path.is_dir():
        whole, path = path / "results.json", path / NAME
        # Killed in a later call, the journal alone knows what came last.
        if whole.exists() and not (path.exists() and path.stat().st_mtime_ns > whole.stat().st_mtime_ns):
            path = whole
        if not path.exists():
            raise ValueError(f"{path.parent}: no results in this folder (expected results.json or {NAME})")
    if path.suffix == ".jsonl":
        head, sheets, _ = _read(path)
        if not _ours(head):
            raise ValueError(f"{path}: expected a journal of version {HEAD['version']}; came: another file")
        return list({sheet.key: sheet for sheet in sheets}.values())
    return from_json(path.read_text(encoding="utf-8-sig"))
