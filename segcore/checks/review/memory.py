"""What is kept of reviews: ``review.json``, beside the progress file, never written by two at once.

A file that cannot be understood, or that another version of the course wrote, is set aside under another name
and said so; entries that make no sense are left out, with a word. Where no progress is kept
(``SEGCORE_PROGRESS=off``), nothing is kept here.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import IO, Any

from segcore.checks.progress import location
from segcore.checks.review.schedule import DAYS, Item

__all__ = ["Memory", "opened", "path"]

VERSION = 1


@dataclasses.dataclass
class Memory:
    """What is known of each exercise, and what there is to say of the file."""

    items: dict[str, Item] = dataclasses.field(default_factory=dict)
    notes: list[str] = dataclasses.field(default_factory=list)


def path() -> Path | None:
    """The file, or None where nothing is kept."""
    progress = location()
    return None if progress is None else progress.with_name("review.json")


@contextlib.contextmanager
def opened() -> Iterator[Memory]:
    """What is kept, to be read and changed; it is written at the end, and nobody else writes meanwhile.

    Raises:
        OSError: The folder cannot be written.
    """
    file = path()
    if file is None:
        yield Memory()
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    with open(file.with_suffix(".lock"), "a+", encoding="utf-8") as lock:
        _lock(lock)
        try:
            memory = _load(file)
            before = dict(memory.items)
            yield memory
            if memory.items != before:
                _write(file, memory.items)
        finally:
            _unlock(lock)


if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[str]) -> None:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)

    def _unlock(file: IO[str]) -> None:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(file: IO[str]) -> None:
        with contextlib.suppress(OSError):  # some network folders know no locks
            fcntl.flock(file, fcntl.LOCK_EX)

    def _unlock(file: IO[str]) -> None:
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_UN)


def _load(file: Path) -> Memory:
    memory = Memory()
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        version, entries = kept["version"], dict(kept["exercises"])
    except FileNotFoundError:
        return memory
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        _set_aside(file, "unreadable", "could not be understood", memory)
        return memory
    if version != VERSION:
        _set_aside(file, f"version-{version}", "was written by another version of the course", memory)
        return memory
    for name, entry in entries.items():
        item = _item(entry)
        if item is not None:
            memory.items[name] = item
    if lost := len(entries) - len(memory.items):
        memory.notes.append(
            f"{lost} of {len(entries)} entries in {file.name} make no sense and were left out."
        )
    return memory


def _item(entry: Any) -> Item | None:
    """An entry of the file, or None where it makes no sense."""
    try:
        item = Item(
            box=entry["box"],
            due=date.fromisoformat(entry["due"]),
            first=date.fromisoformat(entry["first"]),
            last=date.fromisoformat(entry["last"]) if entry.get("last") else None,
            seen=tuple(str(label) for label in entry.get("seen", [])),
            open=str(entry.get("open", "")),
            tries=int(entry.get("tries", 0)),
            rung=int(entry.get("rung", 0)),
            file=str(entry.get("file", "")),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return item if item.box in range(len(DAYS)) else None


def _set_aside(file: Path, mark: str, why: str, memory: Memory) -> None:
    number = 1
    mark = "".join(sign if sign.isalnum() or sign in "-." else "_" for sign in mark)[:40]
    while (aside := file.with_name(f"{file.stem}.{mark}-{number}{file.suffix}")).exists():
        number += 1
    file.rename(aside)
    memory.notes.append(f"{file.name} {why}; it was set aside as {aside.name}, and the reviews begin anew.")


def _write(file: Path, items: dict[str, Item]) -> None:
    def plain(item: Item) -> dict[str, Any]:
        entry = dataclasses.asdict(item)
        return {key: value.isoformat() if isinstance(value, date) else value for key, value in entry.items()}

    kept = {"version": VERSION, "exercises": {name: plain(item) for name, item in sorted(items.items())}}
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=".review-", suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            json.dump(kept, out, indent=1)
        os.replace(temporary, file)
    finally:
        Path(temporary).unlink(missing_ok=True)
