"""A whole class: hand-ins side by side, each marked by a process of its own, results kept as they come."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segcore.grading.journal import Journal
from segcore.grading.owners import Owners
from segcore.grading.results import FAULT, Sheet, sheet_from
from segcore.grading.submissions import Submission, key_of
from segcore.grading.wire import Channel, Closed

__all__ = ["Grader", "Options", "grade"]

START = 300.0  # seconds until the first process has imported what all need
LONGER = 15  # so many times a cell's limit may a hand-in take, its judging included


@dataclass(frozen=True)
class Options:
    """How to grade.

    Args:
        timeout: Seconds that a cell may take.
        jobs: Hand-ins that are marked side by side; as many as cores where 0.
        memory: Bytes that a hand-in's processes may take.
        only: Ids of the exercises to grade; all where empty.
        hidden: Files and folders that no hand-in may read.
    """

    timeout: float = 120.0
    jobs: int = 0
    memory: int = 4 << 30
    only: Sequence[str] = ()
    hidden: Sequence[str] = field(default_factory=tuple)


class Grader:
    """Starts the processes; a context manager, so that none outlives it.

    Args:
        options: How to grade.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self.holder = tempfile.TemporaryDirectory(prefix="segcore-grade-", ignore_cleanup_errors=True)
        self.temporary = Path(self.holder.name)
        self.control: socket.socket | None = None
        self.nursery: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Grader:
        return self

    def __exit__(self, *error: object) -> None:
        if self.control is not None:
            self.control.close()
        if self.nursery is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.nursery.wait(5)
            with contextlib.suppress(OSError):  # its other half, where that still waits
                os.killpg(self.nursery.pid, signal.SIGKILL)
            self.nursery.wait()
        self.holder.cleanup()

    def start(self) -> None:
        """Import what all need, once.

        Raises:
            RuntimeError: The process that does so ended.
        """
        if self.nursery is not None:
            return
        ours, theirs = socket.socketpair(
            socket.AF_UNIX, socket.SOCK_SEQPACKET if sys.platform == "linux" else socket.SOCK_DGRAM
        )
        words = [sys.executable, "-P", "-m", "segcore.grading.nursery", str(theirs.fileno())]
        self.nursery = subprocess.Popen(
            words,
            pass_fds=[theirs.fileno()],
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            cwd=self.temporary,
            start_new_session=True,
        )
        theirs.close()
        self.control = ours
        if not select.select([ours], [], [], START)[0] or not ours.recv(16):
            raise RuntimeError("the process that starts all others did not begin: does `import torch` work?")

    def grade(self, submissions: Sequence[Submission], seeds: Sequence[int]) -> Iterator[tuple[int, Sheet]]:
        """Mark hand-ins side by side; number and sheet of each, as they come.

        Args:
            submissions: The hand-ins.
            seeds: Two seeds of the cases that decide.
        """
        self.start()
        waiting = list(enumerate(submissions))[::-1]
        running: dict[int, _Running] = {}
        jobs = self.options.jobs or _cores()
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    number, each = waiting.pop()
                    running[number] = self._begin(each, seeds)
                ready = select.select([one.channel.link for one in running.values()], [], [], 0.5)[0]
                for number, one in list(running.items()):
                    if sheet := one.hear(one.channel.link in ready):
                        running.pop(number).end()
                        yield number, sheet
        finally:
            for one in running.values():
                one.end()

    def _begin(self, each: Submission, seeds: Sequence[int]) -> _Running:
        ours, theirs = socket.socketpair()
        hidden = [*self.options.hidden, str(self.temporary)]
        task = {
            "path": each.path,
            "student": each.student,
            "key": key_of(each.file),
            "file": os.fsencode(os.path.abspath(each.file)).hex(),
            "name": os.fsencode(each.file.name).decode("utf-8", "replace"),
            "only": list(self.options.only),
            "timeout": self.options.timeout,
            "memory": self.options.memory,
            "seeds": list(seeds),
            "hidden": [os.fsencode(os.path.realpath(path)).hex() for path in hidden],
            "temporary": str(self.temporary),
        }
        assert self.control is not None
        with contextlib.suppress(OSError):
            socket.send_fds(self.control, [json.dumps(task).encode()], [theirs.fileno()])
        theirs.close()
        return _Running(each, Channel(ours), LONGER * self.options.timeout + 60, str(task["key"]))


class _Running:
    """A hand-in that is being marked."""

    def __init__(self, submission: Submission, channel: Channel, seconds: float, key: str) -> None:
        self.submission, self.channel, self.key = submission, channel, key
        self.until, self.process = time.monotonic() + seconds, 0

    def hear(self, ready: bool) -> Sheet | None:
        """Its sheet, if it is there or if it will never be."""
        problem = ""
        if ready:
            try:
                message, _ = self.channel.receive(30)
                if message.get("op") == "sheet":
                    return sheet_from(message["sheet"])
                self.process = int(message.get("process", 0))
            except (Closed, TimeoutError, AttributeError):
                problem = f"{FAULT}: the process that marks it was killed, or memory ran out"
        if time.monotonic() > self.until:
            problem = "marking it took too long"
        if not problem:
            return None
        return Sheet(self.submission.path, problem=problem, student=self.submission.student, key=self.key)

    def end(self) -> None:
        """End its processes."""
        self.channel.close()
        if self.process:
            with contextlib.suppress(OSError):
                os.killpg(self.process, signal.SIGKILL)


def grade(
    submissions: Sequence[Submission],
    grader: Grader,
    journal: Journal,
    tell: Callable[[Sheet, bool], None] = lambda sheet, new: None,
    again: bool = False,
    owners: Owners | None = None,
) -> list[Sheet]:
    """Grade what the journal does not know yet.

    Args:
        submissions: The hand-ins.
        grader: Starts the processes.
        journal: Knows and keeps the sheets.
        tell: Called with each sheet as it is there, and whether it is new.
        again: Grade also what the journal knows.
        owners: Says whose variants hand-ins answer, where that is asked.

    Returns:
        The sheets, in the order of the hand-ins; those not reached are left out where Ctrl-C ends it.

    Raises:
        OSError: The journal cannot be written.
        KeyboardInterrupt: Ctrl-C; its ``sheets`` are those that are there.
    """
    sheets: dict[int, Sheet] = {}
    keys = [key_of(each.file) for each in submissions]
    new: dict[str, int] = {}
    for number, (each, key) in enumerate(zip(submissions, keys, strict=True)):
        if key in journal.known and not again:
            sheets[number] = _copied(journal.known[key], each, owners)
            tell(sheets[number], False)
        else:
            new.setdefault(key, number)
    todo = list(new.values())
    seeds = (journal.seed, journal.seed + 1)
    try:
        for place, sheet in grader.grade([submissions[number] for number in todo], seeds) if todo else ():
            if not sheet.problem.startswith(FAULT):  # else the next call tries again
                journal.add(sheet if owners is None else owners.compare(sheet))
            for number, key in enumerate(keys):
                if key == keys[todo[place]] and number not in sheets:
                    sheets[number] = _copied(sheet, submissions[number], owners)
                    tell(sheets[number], True)
    except (KeyboardInterrupt, OSError) as stop:
        stop.sheets = [sheets[number] for number in sorted(sheets)]  # type: ignore[union-attr]
        raise
    return [sheets[number] for number in sorted(sheets)]


def _copied(sheet: Sheet, submission: Submission, owners: Owners | None) -> Sheet:
    """The sheet of a hand-in with the same content, under this one's name."""
    made = copy.deepcopy(sheet)
    made.path, made.student = submission.path, submission.student
    return made if owners is None else owners.compare(made)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _environment() -> dict[str, str]:
    """The processes' environment; a course that is not installed is found all the same."""
    home = Path(__file__).resolve().parents[2]
    places = [] if home.name in {"site-packages", "dist-packages"} else [str(home)]
    known: Any = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    own = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS", "NUMEXPR")}
    own |= {"MPLBACKEND": "agg", "SEGCORE_PROGRESS": "off", "SEGCORE_STATIC": "1", "SEGCORE_STEPS": "0.02"}
    own |= {"PYTHONPATH": os.pathsep.join([*places, *known]), "TQDM_DISABLE": "1", "PYTHONWARNINGS": "ignore"}
    return {**os.environ, **own, "SEGCORE_CHECKS": ""}
