"""Test the course: ``python tools/check.py [PART ...]``; all parts where none is named.

One run names all that failed: every step runs, whatever became of those before it. Parts that leave a core
idle run side by side with others (`BESIDE`), and what they say comes at their end, in one piece. At the end
stand a table of the parts, with wall and processor time, and below it what failed and what passed only at a
second try.

Limits of time are there against tests that hang, not against a machine that is busy: a test or a cell may
take twenty minutes. Where two processes work side by side, each computes with one thread.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

ROOT = Path(__file__).resolve().parent.parent
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
STATIC = {**ONE_THREAD, "SEGCORE_STATIC": "1", "TQDM_DISABLE": "1", "SEGCORE_PROGRESS": "off"}
# A notebook stays with one process, and so does a file of browser tests: JupyterLab and Firefox start once.
TWO = ("-n", "2", "--dist")
# A browser that has to share the machine loses a race now and then: one more try, alone, and it is said.
SECOND_TRY = ("--reruns", "1", "-rfER", "--rerun-show-tracebacks")


@dataclass(frozen=True)
class Step:
    """One run of Python: its arguments, and what it finds in its environment."""

    words: tuple[str, ...]
    variables: dict[str, str] = field(default_factory=dict)


def _python(words: str, *more: str, **variables: str) -> Step:
    return Step((*words.split(), *more), variables)


def _pytest(words: str, *more: str, **variables: str) -> Step:
    return _python(f"-m pytest {words}", *more, **variables)


PARTS: dict[str, list[Step]] = {
    "lint": [
        _python("-m ruff check ."),
        _python("-m ruff format --check ."),
        _python("-m mypy"),
        _python("tools/labs.py lint"),
        _python("tools/labs.py check"),
    ],
    "unit": [
        # The conftest says which files come first, here and of the browser tests.
        _pytest(
            "tests --ignore tests/widgets segcore --doctest-modules --no-loadscope-reorder",
            *TWO, "loadscope", **ONE_THREAD,
        )
    ],
    "nbval": [
        _pytest(
            "--nbval --nbval-sanitize-with tests/nbval.cfg solutions",
            *TWO, "loadfile", **STATIC,
        ),
        _python("tools/labs.py clean"),
        _pytest("--nbval-lax _build/labs", *TWO, "loadfile", **STATIC, SEGCORE_STEPS="0.02"),
    ],
    "book": [_python("tools/book.py build"), _python("tools/book.py build --students")],
    "browser": [_pytest("tests/widgets --no-loadscope-reorder", *TWO, "loadfile", *SECOND_TRY)],
}  # fmt: skip

# A part, and the one that runs beside it: of lint and of the book's build, most is one process's work. Nbval
# and the book both make the clean labs in `_build/labs`, and write each whole or leave it as it is.
BESIDE = {"unit": "lint", "nbval": "book"}

# A line of pytest's summary: FAILED tests/test_x.py::test_y - AssertionError: ...
_SUMMARY = re.compile(r"^(FAILED|ERROR|RERUN) (\S+?\.(?:py|ipynb)(?:::[^[]*?(?:\[.*?\])?)?)(?: - .*)?$")


@dataclass
class Result:
    """What became of a part."""

    part: str
    wall: float = 0.0
    processor: float = 0.0
    failed: list[str] = field(default_factory=list)
    again: list[str] = field(default_factory=list)


def _ended(process: subprocess.Popen[bytes]) -> float:
    """Wait for a process; the processor time of it and of all that ran below it and has ended."""
    if not hasattr(os, "wait4"):  # Windows does not say
        process.wait()
        return 0.0
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return used.ru_utime + used.ru_stime


def run_step(step: Step, result: Result, out: BinaryIO) -> None:
    """Run one step, its output passed on as it comes; note what it says of failures and second tries."""
    shown = " ".join(step.words)
    out.write(f"\n== {result.part}: {shown}\n".encode())
    out.flush()
    said = b""
    with subprocess.Popen(
        [sys.executable, *step.words],
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **step.variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        assert isinstance(process.stdout, io.BufferedReader)
        while some := process.stdout.read1():  # as it comes: a dot is a sign of life
            out.write(some)
            out.flush()
            said += some
        result.processor += _ended(process)
    named: dict[str, list[str]] = {"FAILED": [], "ERROR": [], "RERUN": []}
    for line in said.decode(errors="replace").splitlines():
        if found := _SUMMARY.match(line):
            named[found[1]].append(found[2])
    failed = list(dict.fromkeys(named["FAILED"] + named["ERROR"]))
    if code := process.returncode:
        result.failed += failed or [f"{shown} (exit code {code})"]
    result.again += [name for name in dict.fromkeys(named["RERUN"]) if name not in failed]


def run_part(part: str, steps: list[Step], stop: threading.Event, *, held: bool = False) -> Result:
    """Run every step of a part; where it is held, what they say is passed on at the end."""
    result, started = Result(part), time.perf_counter()
    out = io.BytesIO() if held else sys.stdout.buffer
    for step in steps:
        if not stop.is_set():
            run_step(step, result, out)
    if isinstance(out, io.BytesIO):
        sys.stdout.buffer.write(out.getvalue())
        sys.stdout.flush()
    result.wall = time.perf_counter() - started
    return result


def run_parts(names: list[str], results: list[Result]) -> None:
    """Run parts one after another, each with the one beside it where that is asked for, too."""
    beside = {second for first, second in BESIDE.items() if first in names}
    stop = threading.Event()
    for name in (name for name in names if name not in beside):
        row = [name, *(second for second in [BESIDE.get(name)] if second in names)]
        with ThreadPoolExecutor(len(row)) as pool:
            runs = [pool.submit(run_part, each, PARTS[each], stop, held=n > 0) for n, each in enumerate(row)]
            try:
                results += [run.result() for run in runs]
            except BaseException:  # Ctrl-C above all, which the steps' processes get, too
                stop.set()
                raise


def report(results: list[Result], wall: float) -> str:
    """The table, what failed, and what passed only at the second try."""
    lines = [f"{'part':9}{'result':9}{'wall':>8}{'processor':>12}"]
    for each in results:
        word = "FAILED" if each.failed else "passed"
        lines.append(f"{each.part:9}{word:9}{each.wall:6.0f} s{each.processor:10.0f} s")
    if len(results) > 1:
        processor = sum(each.processor for each in results)
        lines.append(f"{'all':18}{wall:6.0f} s{processor:10.0f} s")
    for title, kind in (("Failed:", "failed"), ("Passed only at the second try:", "again")):
        names = [f"  {each.part}: {name}" for each in results for name in getattr(each, kind)]
        lines += ["", title, *names] if names else []
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Run the parts that are asked for, say what became of them; 1 where any failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", nargs="*", help=f"of {', '.join(PARTS)}; all where none is named")
    asked = parser.parse_args(arguments).part
    if unknown := [name for name in asked if name not in PARTS]:
        parser.error(f"there is no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    results: list[Result] = []
    started = time.perf_counter()
    try:
        run_parts(asked or list(PARTS), results)
    except KeyboardInterrupt:
        print("\nStopped.")
        return 130
    finally:
        results.sort(key=lambda each: list(PARTS).index(each.part))
        print(f"\n{report(results, time.perf_counter() - started)}", flush=True)
    return 1 if any(each.failed for each in results) else 0


if __name__ == "__main__":
    sys.exit(main())
