"""Progress: what was passed, tried or is open, kept in a small local file and shown at the end of a lab.

The card shows the states of this session; what is not passed in it but was in an earlier one is "passed
before". So a notebook in which everything passes gives the same card on every machine. Beside the states the
file keeps the deepest rung of hints that each exercise is known to have asked for (version 2 of the file; one
of version 1 knows no rungs and gets them at its next change). With
``SEGCORE_PROGRESS=off``, and while the course itself is being built or tested (``SEGCORE_STATIC``), the file
is neither read nor written.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from segcore.checks.card import Card, display
from segcore.checks.chapters import exercises

__all__ = ["location", "progress", "read", "recall", "record", "rungs"]

_session: dict[str, str] = {}
_problem: list[str] = []
_WORDS = {"passed": "passed", "failed": "tried, not yet passed", "error": "tried, not yet passed"}


def location() -> Path | None:
    """The file that progress is kept in, or None where it is kept in none."""
    chosen = os.environ.get("SEGCORE_PROGRESS", "").strip()
    if chosen.lower() == "off" or (os.environ.get("SEGCORE_STATIC") and not chosen):
        return None
    try:
        return Path(chosen).expanduser() if chosen else Path.home() / ".segcore" / "progress.json"
    except RuntimeError:  # no home folder
        if chosen:
            _note(f"Progress is not kept: there is no home folder for {chosen}.")
        return None


def read() -> dict[str, str]:
    """The state of each exercise ever tried. A file that cannot be understood is set aside, never lost."""
    return _load()[0]


def rungs() -> dict[str, int]:
    """The deepest rung of hints that each exercise is known to have asked for, 1 to 4."""
    return _load()[1]


def _load() -> tuple[dict[str, str], dict[str, int]]:
    path = location()
    if path is None:
        return {}, {}
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        states, asked = kept["exercises"], kept.get("rungs", {})
        deepest = {str(key): asked[key] for key in asked if asked[key] in (1, 2, 3, 4)}
        return {str(key): str(states[key]) for key in states if states[key] in ("passed", "tried")}, deepest
    except FileNotFoundError:
        return {}, {}
    except OSError as error:
        _note(f"Progress cannot be read ({error.strerror}).")
        return {}, {}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        number = 1
        while (aside := path.with_name(f"{path.stem}.unreadable-{number}{path.suffix}")).exists():
            number += 1
        with contextlib.suppress(OSError):
            path.rename(aside)
            _note(f"The progress file could not be understood; it was set aside as {aside.name}.")
        return {}, {}


def _note(line: str) -> None:
    if line not in _problem:
        _problem.append(line)


def _write(path: Path, states: dict[str, str], deepest: dict[str, int]) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".progress-", suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            kept = {"version": 2, "exercises": states, "rungs": deepest}
            json.dump(kept, file, indent=1, sort_keys=True)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


if sys.platform == "win32":
    import msvcrt

    @contextlib.contextmanager
    def _alone(folder: Path) -> Iterator[None]:
        """Whoever else keeps progress in this folder waits until this one is done."""
        with open(folder / ".progress.lock", "a+", encoding="utf-8") as lock:
            lock.seek(0)
            msvcrt.locking(lock.fileno(), msvcrt.LK_LOCK, 1)
            try:
                yield
            finally:
                lock.seek(0)
                msvcrt.locking(lock.fileno(), msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    @contextlib.contextmanager
    def _alone(folder: Path) -> Iterator[None]:
        """Whoever else keeps progress in this folder waits until this one is done."""
        handle = os.open(folder, os.O_RDONLY)
        try:
            with contextlib.suppress(OSError):  # some network folders know no locks
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def record(exercise: str, state: str, rung: int = 0) -> None:
    """Remember an exercise's state and the rung asked for; a pass and the deepest rung stay. Never raises."""
    _session[exercise] = state
    path = location()
    if path is None or state == "not attempted":
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(path.parent):  # several notebooks may run at once
            _keep(path, exercise, state, rung)
    except OSError as error:
        _note(f"Progress cannot be saved ({error.strerror}); the lab works without.")


def _keep(path: Path, exercise: str, state: str, rung: int) -> None:
    states, deepest = _load()
    new = "passed" if "passed" in (state, states.get(exercise)) else "tried"
    rung = max(rung, deepest.get(exercise, 0))
    if states.get(exercise) == new and deepest.get(exercise, 0) == rung:
        return
    _write(path, {**states, exercise: new}, {**deepest, exercise: rung} if rung else deepest)


def recall() -> None:
    """Take what the file says for this session's states, as the command line does."""
    _session.update({name: "passed" if state == "passed" else "failed" for name, state in read().items()})


def progress(chapter: str | int) -> None:
    """Show what is passed, tried and open in a chapter's lab.

    Args:
        chapter: Its number, such as ``"13"``.
    """
    known = exercises(chapter)
    before = read()
    words = {}
    for each in known:
        word = _WORDS.get(_session.get(each.id, ""), "open")
        words[each.id] = "passed before" if word != "passed" and before.get(each.id) == "passed" else word
    done = sum(word.startswith("passed") for word in words.values())
    state = "passed" if done == len(known) else "not attempted" if done == 0 else "failed"
    card = Card(f"Lab {int(chapter)}", state, words=f"{done} of {len(known)} exercises passed")
    width = max(len(f"{each.id} {each.title}") for each in known)
    card.block([f"{f'{each.id} {each.title}'.ljust(width)}   {words[each.id]}" for each in known])
    for line in _problem:
        card.text(line)
    display(card)
