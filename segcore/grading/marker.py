"""One hand-in from its first cell to its last: its kernel, its limits, and what became of each exercise."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from segcore.checks.chapters import exercise as find_exercise
from segcore.checks.exercise import Exercise
from segcore.checks.show import clean
from segcore.grading import cage, kernel
from segcore.grading.court import Ruling, rule
from segcore.grading.results import FAULT, Result, Sheet
from segcore.grading.submissions import CHECK, code_cells, read, wanted, workplace
from segcore.grading.wire import Channel, Closed

__all__ = ["main", "mark"]

START = 120.0  # seconds for a kernel to begin
PATIENCE = 10.0  # seconds for a kernel to answer after an interrupt
WATCH = 0.5  # seconds between two looks at what a hand-in uses
DISK = 2 << 30  # bytes that a hand-in may write
FILES = 20_000
CHECKS = 300  # that one notebook may run
CELLS = 10  # so many times a cell's limit may all cells take together


@dataclass
class _Run:
    """What was seen while a notebook ran; cells are counted as Jupyter does when it runs them all."""

    errors: dict[int, str] = field(default_factory=dict)  # cell: what it raised
    checks: dict[str, int] = field(default_factory=dict)  # exercise: the last cell that checks it
    rulings: dict[str, Ruling] = field(default_factory=dict)
    rungs: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    stopped: str = ""
    reached: int = 0


def main(task: dict[str, Any], link: Channel, judges: socket.socket) -> None:
    """Mark one hand-in and send its sheet.

    Args:
        task: What `segcore.grading.grader` asks: the notebook's bytes lie in a file of the task.
        link: To the grader.
        judges: The line by which judges are asked for.
    """
    os.setsid()
    cage.end_with_parent()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    link.send({"op": "began", "process": os.getpid()})
    sheet = mark(task, judges)
    link.send({"op": "sheet", "sheet": asdict(sheet)})


def mark(task: dict[str, Any], judges: socket.socket) -> Sheet:
    """The sheet of one hand-in; whatever the notebook does, nothing is raised for it."""
    sheet = Sheet(str(task["path"]), student=str(task["student"]), key=str(task["key"]))
    started = time.perf_counter()
    try:
        notebook = read(Path(os.fsdecode(bytes.fromhex(task["file"]))).read_bytes())
        exercises = wanted(notebook, task["only"])
        cells = code_cells(notebook)
    except Exception as error:
        words = clean(str(error).strip(), 120) or type(error).__name__
        sheet.problem = f"not a notebook that can be read ({words})"
        return sheet
    if not exercises:
        sheet.problem = "no exercises: no cell calls check(...) with an exercise of the course"
        return sheet
    try:
        run = _Marker(task, judges, cells, exercises).go()
    except Exception as error:  # never seen; the class goes on
        sheet.problem = f"{FAULT} ({type(error).__name__}: {clean(str(error), 120)})"
        run = _Run(stopped=sheet.problem)
    sheet.results = [_result(each, run) for each in exercises]
    sheet.problem, sheet.seconds = run.stopped, time.perf_counter() - started
    return sheet


class _Marker:
    def __init__(
        self, task: dict[str, Any], judges: socket.socket, cells: list[str], wanted: list[Exercise]
    ) -> None:
        self.task, self.judges, self.cells, self.wanted = task, judges, cells, wanted
        self.timeout = float(task["timeout"])
        self.run, self.asked = _Run(), 0
        self.channel: Channel
        self.warden, self.place = 0, ""

    def go(self) -> _Run:
        """Run the cells one by one, to the end or until the kernel is lost."""
        with workplace(self.task) as folder:
            ours, theirs = socket.socketpair()
            hidden = [os.fsdecode(bytes.fromhex(each)) for each in self.task["hidden"]]
            place = self.place = str(folder.parent)
            limits = cage.Limits(
                memory=int(self.task["memory"]),
                reads=cage.allowed(hidden),
                writes=(place, "/dev/null", "/dev/shm", "/dev/full", "/dev/zero"),
            )

            def work() -> None:
                self.judges.close()
                ours.close()
                kernel.main(theirs, str(folder))

            def ended(status: int) -> None:
                with contextlib.suppress(Closed):
                    Channel(theirs).send({"op": "ended", "why": cage.how_it_ended(status)})

            self.warden = cage.run(work, limits, ended, theirs)
            theirs.close()
            self.channel = Channel(ours)
            try:
                self._ready()
                self._cells()
            finally:
                self.channel.close()
                self._kill()
        return self.run

    def _ready(self) -> None:
        try:
            self.channel.receive(START)
        except (Closed, TimeoutError) as error:
            self.run.stopped = f"its kernel did not start ({error})"

    def _kill(self) -> None:
        """End the kernel and all it started, before its folder goes."""
        until = time.monotonic() + 5
        with contextlib.suppress(ChildProcessError):
            while not os.waitpid(self.warden, os.WNOHANG)[0]:
                if time.monotonic() > until:
                    os.kill(self.warden, signal.SIGKILL)
                    os.waitpid(self.warden, 0)
                    break
                time.sleep(0.005)

    def _cells(self) -> None:
        begun = time.monotonic()
        for number, source in enumerate(self.cells, 1):
            self.run.checks.update({found[3].lower(): number for found in CHECK.finditer(source)})
        for number, source in enumerate(self.cells, 1):
            if self.run.stopped or self._done(number):
                break
            self.run.reached = number
            if time.monotonic() - begun > CELLS * self.timeout:
                self.run.stopped = f"the notebook ran longer than {CELLS * self.timeout:g} s"
                break
            if not self._cell(number, source):
                break
            for found in CHECK.finditer(source):
                if found[1] and found[3].lower() not in self.run.rulings:
                    self._quietly({"op": "stand in", "name": found[1], "exercise": found[3]})

    def _done(self, number: int) -> bool:
        """Whether no cell from here on can change a result."""
        if any(re.search(r"\bcheck\b|segcore\.checks", source) for source in self.cells[number - 1 :]):
            return False
        return all(each.id in self.run.rulings for each in self.wanted)

    def _cell(self, number: int, source: str) -> bool:
        """Run one cell; False where the kernel does not live on."""
        source = re.sub(r"\A\s*%%(time|timeit|capture|prun)\b[^\n]*\n", "", source)
        try:
            self.channel.send({"op": "cell", "number": number, "source": source})
            error = self._listen(number, self.timeout)
            if error is None:
                error = f"cell [{number}] ran longer than {self.timeout:g} s"
                self.run.errors[number] = error
                os.kill(self.warden, signal.SIGINT)
                if self._listen(number, min(PATIENCE, self.timeout)) is None:
                    self.run.stopped = f"cell [{number}] could not be stopped after {self.timeout:g} s"
                    return False
            elif error:
                self.run.errors[number] = f"{clean(error, 160)} in cell [{number}]"
        except Closed:
            self.run.errors[number] = self.run.stopped = (
                self.run.stopped or f"the kernel died in cell [{number}]"
            )
        return not self.run.stopped

    def _quietly(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(Closed):
            self.channel.send(message)
            self._listen(None, PATIENCE)

    def _listen(self, number: int | None, seconds: float) -> str | None:
        """Answer the kernel's checks until the cell is done: what it raised; None where time is up."""
        left = seconds
        while left > 0:
            began = time.monotonic()
            try:
                message, data = self.channel.receive(min(left, WATCH))
            except TimeoutError:
                left -= time.monotonic() - began
                if why := self._too_much():
                    self.run.stopped = why
                    raise Closed(why) from None
                continue
            left -= time.monotonic() - began
            if not isinstance(message, dict):
                raise Closed("a frame is no message")
            if message.get("op") == "ended":
                where = f" in cell [{number}]" if number else ""
                self.run.stopped = f"the kernel died{where}: {str(message.get('why'))[:60]}"
                raise Closed(self.run.stopped)
            if message.get("op") == "check":
                self.channel.send({"op": "verdict", **self._check(message, data)})
            elif message.get("op") == "done" and message.get("number") == number:
                return str(message.get("error") or "")[:300]
        return None

    def _too_much(self) -> str:
        """What the hand-in's processes use beyond their limits, in words."""
        found = cage.descendants(self.warden)
        if len(found) > cage.PROCESSES:
            return f"it started more than {cage.PROCESSES} processes"
        held = 0
        for each in found:
            with contextlib.suppress(OSError, ValueError, IndexError):
                fields = Path(f"/proc/{each}/statm").read_text().split()
                held += (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE")
        if _size(self.place) > DISK:
            return f"it wrote more than {DISK >> 30} GB, or more than {FILES} files"
        if held > int(self.task["memory"]):
            return f"it took more than {int(self.task['memory']) / 2**30:.1f} GB of memory"
        return ""

    def _check(self, message: dict[str, Any], data: list[bytes]) -> dict[str, Any]:
        self.asked += 1
        began = time.perf_counter()
        name = str(message.get("exercise"))
        try:
            found = find_exercise(name)
            if self.asked > CHECKS:
                raise ValueError(f"it ran more than {CHECKS} checks")
            ruling = rule(message, data, self.cells, self.judges, list(self.task["seeds"]))
        except Exception as error:
            found = None
            ruling = Ruling("for a person", "person", f"it could not be judged ({clean(str(error), 120)})")
        name = found.id if found is not None else name
        rung = message.get("rung")
        self.run.rulings[name] = ruling
        self.run.rungs[name] = max(self.run.rungs.get(name, 0), rung if rung in (1, 2, 3, 4) else 0)
        self.run.seconds[name] = time.perf_counter() - began
        return {"state": ruling.state, "fitted": ruling.fitted}


def _size(place: str) -> int:
    """Bytes of a folder; more than all may be where it holds too many files."""
    total = count = 0
    for root, _, files in os.walk(place):
        for name in files:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(root, name)).st_blocks * 512
            count += 1
            if count > FILES:
                return DISK + 1
    return total


def _result(exercise: Exercise, run: _Run) -> Result:
    result = Result(exercise.id, exercise.title, possible=exercise.points)
    ruling = run.rulings.get(exercise.id)
    if ruling is not None:
        for name in ("state", "kind", "mistake", "passed", "tried", "code"):
            setattr(result, name, getattr(ruling, name))
        result.rung = run.rungs.get(exercise.id, 0)
        result.seconds = round(run.seconds.get(exercise.id, 0.0), 2)
        result.points = exercise.points if result.state == "passed" else 0
        unnamed = "" if result.state in ("passed", "not attempted") else ruling.text.split("\n")[0]
        result.reason = result.mistake or unnamed
        return result
    number = run.checks.get(exercise.id, 0)
    if not number:
        result.reason = run.stopped if run.stopped and not run.reached else "the notebook has no check for it"
    elif number > run.reached:
        result.reason = run.stopped
    elif reason := _blame(number, run):
        result.state, result.reason = "error", reason
    else:
        result.reason = "its check did not run"
    return result


def _blame(number: int, run: _Run) -> str:
    """What kept a cell's check from running: the cell's own error, or the first since the last check."""
    if number not in run.errors:
        return ""
    before = max([each for each in run.checks.values() if each < number], default=0)
    first = min(each for each in run.errors if before < each <= number)
    missing = re.match(r"NameError: name '(\w+)'", run.errors[number])
    if missing and missing[1] == "check":
        first = min(run.errors)
    return run.errors[first]
