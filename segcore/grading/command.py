"""``python -m segcore grade`` and ``report``: options, messages and exit codes."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

__all__ = ["add_grade", "add_report", "grade", "report"]

GRADE = """\
Runs each notebook in a process of its own and prints what became of each exercise: passed, failed, error, not
attempted, not reached, or for a person to look at; its points, and the mistake where it is a known one.
Folders are searched to the bottom, zips are unpacked, the notebooks are left as they are. An exercise's
function is judged in another process that knows no answer, on inputs that nobody knows; what cannot be
decided fairly is never passed.

With --variants or --students an answer to another student's variant, or to none, is for a person, too.

With --results FOLDER every result is kept as it comes, and the same command goes on where it stopped: after
Ctrl-C, after a crash, or when more has been handed in.

Exit code: 0 where the command ran, 2 where there was nothing to grade or a result could not be written, 130
after Ctrl-C; with --strict, 1 where not everything passed.
"""
REPORT = """\
Makes one HTML page for the lecturer of what `grade` wrote: for each exercise how many passed, the mistakes by
frequency with a sample of code, the exercises that were hardest, and what to say on Monday. No student is
named unless --names is given.
"""


def add_grade(commands: Any) -> None:
    """Add ``grade`` to the commands of a parser."""
    grade = commands.add_parser(
        "grade",
        help="run notebooks and mark their exercises",
        description=GRADE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = grade.add_argument
    add("paths", nargs="+", metavar="PATH", help="a notebook, a zip, or a folder of them")
    add("--results", metavar="FOLDER", help="keep results here, and go on with what is kept")
    add("--again", action="store_true", help="grade again what is kept, too")
    add("--json", metavar="FILE", help="write the results as JSON (- is stdout)")
    add("--csv", metavar="FILE", help="write the results as CSV, one exercise a row (- is stdout)")
    add("--variants", action="store_true", help="compare the ids of variants with the hand-ins' names")
    add("--students", metavar="FILE", help="the same by a roster: a .csv with columns student and file")
    add("--key", default="", metavar="WORD", help="the secret word that `variant` was given")
    add("--similar", action="store_true", help="name pairs of hand-ins that share more than they should")
    add(
        "--exercise",
        action="append",
        default=[],
        metavar="ID",
        help="grade this exercise alone, such as 13.2",
    )
    add("--jobs", type=_count, default=0, metavar="N", help="notebooks side by side (as many as cores)")
    add("--timeout", type=_seconds, default=120.0, metavar="S", help="seconds a cell may take (120)")
    add("--memory", type=_seconds, default=4.0, metavar="GB", help="memory a notebook may take (4)")
    add("--strict", action="store_true", help="exit with 1 where not everything passed")


def add_report(commands: Any) -> None:
    """Add ``report`` to the commands of a parser."""
    report = commands.add_parser(
        "report",
        help="make a page about a class from its results",
        description=REPORT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    report.add_argument("results", metavar="RESULTS", help="the folder of --results, or the file of --json")
    report.add_argument("-o", "--out", metavar="FILE", default="report.html", help="the page (report.html)")
    report.add_argument("--names", action="store_true", help="name students, too")


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a positive number, got {text}")
    return seconds


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"expected a number of 1 or more, got {text}")
    return count


def grade(options: argparse.Namespace) -> int:
    """Grade what the options name.

    Args:
        options: As `add_grade` parses them.

    Returns:
        The exit code.
    """
    if (missing := _missing()) is not None:
        return fail(missing)
    for target in (options.json, options.csv):  # said now, not after an hour of grading
        if target not in (None, "-") and not os.access(Path(target).absolute().parent, os.W_OK):
            return fail(f"{target} cannot be written: its folder is missing or closed")
    from segcore.grading import grader, results

    out = sys.stderr if "-" in (options.json, options.csv) else sys.stdout
    settings = grader.Options(
        options.timeout,
        options.jobs,
        int(options.memory * 2**30),
        options.exercise,
        [*options.paths, *([options.results] if options.results else [])],
    )
    with grader.Grader(settings) as staff:
        from segcore.grading import collecting

        try:
            _known(options.exercise)
            roster = _roster(options)
        except (ValueError, OSError) as error:
            return fail(str(error))
        found, lost = collecting.find(options.paths, staff.temporary / "unpacked")
        for each in lost:
            fail(str(each))
        if not found:
            return 2
        _note_twins(found)
        _note_holes()
        sheets, code = _graded(options, staff, found, roster, out)
    if sheets is None:
        return code
    sheets += [
        results.Sheet(each.path, problem=each.why, student=each.student) for each in lost if each.student
    ]
    similar = _similar(found, out) if options.similar else None
    if len(sheets) > 1:
        say(results.total(sheets), out)
    if not _write_all(options, sheets, similar):
        return 2
    clear = not lost and all(sheet.results and sheet.passed == len(sheet.results) for sheet in sheets)
    return code or (1 if options.strict and not clear else 0)


def _graded(
    options: argparse.Namespace, staff: Any, found: list[Any], roster: list[Any] | None, out: IO[str]
) -> tuple[Any, int]:
    """The sheets and the exit code so far."""
    from segcore.grading import grader, journal, owners, results

    try:
        kept = journal.Journal(Path(options.results) if options.results else None)
    except OSError as error:
        return None, fail(f"{options.results} cannot be written ({error.strerror})")
    for note in kept.notes:
        fail(note)
    old = 0
    whose = None
    if roster is not None:
        whose = owners.Owners(options.key, roster, [each.student for each in found])

    def tell(sheet: Any, new: bool) -> None:
        nonlocal old
        old += not new
        if new:
            say(results.table(sheet) + "\n", out)

    again = (
        "the same command goes on" if options.results else "with --results FOLDER the next call would go on"
    )
    try:
        sheets = grader.grade(found, staff, kept, tell, options.again, whose)
    except (KeyboardInterrupt, OSError) as stop:
        sheets = getattr(stop, "sheets", [])
        reason = "" if isinstance(stop, KeyboardInterrupt) else f" ({stop.strerror or stop})"
        fail(f"stopped after {len(sheets)} of {len(found)} notebooks{reason}; {again}")
        return sheets, 130 if isinstance(stop, KeyboardInterrupt) else 2
    except RuntimeError as error:
        return None, fail(str(error))
    finally:
        kept.close()
    if old:
        say(f"{old} notebooks were graded before and are kept in {options.results}", out)
    _note_owners(sheets, whose)
    return sheets, 0


def _roster(options: argparse.Namespace) -> list[Any] | None:
    """The class, empty where hand-ins go by their names; None where nobody asks whose variants they are."""
    from segcore.checks.variants.roster import read_roster

    if options.students is not None:
        return read_roster(Path(options.students))
    return [] if options.variants or options.key else None


def _note_owners(sheets: list[Any], whose: Any) -> None:
    """Say what became of variants that are not their student's."""
    from segcore.grading import owners

    for words in [*(whose.words(sheets) if whose is not None else ()), *owners.shared(sheets)]:
        fail(words)
    if whose is None and owners.uncompared(sheets):
        fail("these are variants; whose they are is compared with --variants, or --students FILE (and --key)")


def _note_twins(found: list[Any]) -> None:
    """Say where two hand-ins seem to be from the same student."""
    by_name: dict[tuple[str, str], list[str]] = {}
    for each in found:
        by_name.setdefault((each.student.casefold(), each.file.name.casefold()), []).append(each.path)
    for (student, _), paths in by_name.items():
        if len(paths) > 1:
            fail(f"{len(paths)} hand-ins named {student!r}: {', '.join(paths)}; each has its own rows")


def _note_holes() -> None:
    """Say what this system does not keep apart."""
    from segcore.grading.cage import what_holds

    missing = ", ".join(what for what, holds in what_holds().items() if not holds)
    if missing:
        fail(f"this system does not keep apart: {missing}; grade strangers' work where nothing can be lost")


def _known(names: list[str]) -> None:
    from segcore.checks.chapters import exercise

    for name in names:
        exercise(name)


def _similar(found: list[Any], out: IO[str]) -> list[dict[str, Any]]:
    from segcore.grading import similar

    pairs = similar.pairs(found)
    if not pairs:
        say("no two hand-ins share more than fresh solutions would", out)
    for pair in pairs:
        say(similar.sentence(pair), out)
    return pairs


def _write_all(options: argparse.Namespace, sheets: list[Any], similar: list[dict[str, Any]] | None) -> bool:
    from segcore.grading import results

    wanted = [(options.json, results.to_json(sheets, similar)), (options.csv, results.to_csv(sheets))]
    if options.results:
        folder = Path(options.results)
        wanted += [(str(folder / "results.json"), wanted[0][1]), (str(folder / "results.csv"), wanted[1][1])]
    return all([_write(target, text) for target, text in wanted if target is not None])


def report(options: argparse.Namespace) -> int:
    """Make the page about a class.

    Args:
        options: As `add_report` parses them.

    Returns:
        The exit code.
    """
    from segcore.grading import journal
    from segcore.grading.report import page

    path = Path(options.results)
    try:
        sheets = journal.sheets_in(path)
    except OSError as error:
        return fail(f"{path} cannot be read ({error.strerror})")
    except ValueError as error:
        return fail(str(error) if str(path) in str(error) else f"{path}: {error}")
    if not sheets:
        return fail(f"{path}: no hand-in was graded yet")
    if not _write(options.out, page(sheets, options.names)):
        return 2
    say(f"{options.out}: {len(sheets)} hand-ins", sys.stdout)
    return 0


def _missing() -> str | None:
    """What grading needs and lacks here."""
    if not hasattr(os, "fork"):
        return "grading needs Linux or macOS (on Windows, use it in WSL)"
    name = next((name for name in ("IPython", "matplotlib") if find_spec(name) is None), None)
    return None if name is None else f"grading needs {name}: pip install 'segcore[lab]'"


def _write(target: str, text: str) -> bool:
    from segcore.grading.results import write

    if target == "-":
        encoding = sys.stdout.encoding or "utf-8"
        sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
        return True
    try:
        write(Path(target), text)
    except OSError as error:
        fail(f"{target} cannot be written ({error.strerror})")
        return False
    return True


def say(text: str, out: IO[str]) -> None:
    """Print now, in whatever encoding the terminal has."""
    encoding = getattr(out, "encoding", None) or "utf-8"
    with contextlib.suppress(BrokenPipeError):
        print(text.encode(encoding, "replace").decode(encoding), file=out, flush=True)


def fail(text: str) -> int:
    """Print a message of this program; the exit code that goes with it."""
    say(f"segcore: {text}", sys.stderr)
    return 2
