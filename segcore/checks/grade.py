"""Marks for whole notebooks: each runs cell by cell in a kernel of its own, and every exercise gets a state.

The states come from the engine alone, through the file that ``SEGCORE_REPORT`` names: `check` adds a line to
it and goes on as in a lab, so one wrong exercise does not spoil the next. What a notebook prints, or what it
makes of the name `check`, counts for nothing. Where a check never spoke, the cells' own errors say why.

A notebook runs with the rights of whoever grades it: grade strangers' work on a machine that can be lost.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import tempfile
import time
import warnings
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from subprocess import DEVNULL
from typing import Any

from segcore.checks.chapters import CHAPTERS, exercises
from segcore.checks.exercise import Exercise
from segcore.checks.show import clean

__all__ = ["Result", "Sheet", "grade", "notebooks", "table", "to_csv", "to_json", "total"]

ENVIRONMENT = {
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    "SEGCORE_CHECKS": "",
    "SEGCORE_PROGRESS": "off",
    "SEGCORE_STATIC": "1",
    "SEGCORE_STEPS": "0.02",  # no check waits for a training
    "TQDM_DISABLE": "1",
}
PATIENCE = 10  # seconds for a kernel to answer after an interrupt
STATES = ("passed", "failed", "error", "not attempted")
FIELDS = ("exercise", "title", "state", "points", "possible", "mistake", "reason", "rung")
_CHECK = re.compile(r"""^[^#\n]*?(?:\b(\w+)\s*=\s*)?\bcheck\(\s*(["'])(\d+\.\d+)\2""", re.MULTILINE)


@dataclass
class Result:
    """One exercise of one notebook.

    ``state`` is passed, failed, error, not attempted or not reached; ``rung`` the deepest hint, from 1 to 4,
    that the notebook's checks ask for, 0 where they ask for none.
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


@dataclass
class Sheet:
    """What came of one notebook; ``problem`` says why it could not be graded, or not to its end."""

    path: str
    results: list[Result] = field(default_factory=list)
    problem: str = ""
    seconds: float = 0.0

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


@dataclass
class _Run:
    """What was seen while a notebook ran; cells are counted as Jupyter does when it runs them all."""

    errors: dict[int, str] = field(default_factory=dict)  # cell: what it raised
    checks: dict[str, int] = field(default_factory=dict)  # exercise: the last cell that checks it
    stopped: str = ""
    reached: int = 0


def notebooks(paths: Iterable[str | Path]) -> tuple[list[Path], list[str]]:
    """The notebooks that paths name, folders searched to the bottom, and what is wrong with other paths."""
    found: dict[Path, Path] = {}
    problems = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = [each for each in sorted(path.rglob("*.ipynb")) if not _hidden(each.relative_to(path))]
            if not inside:
                problems.append(f"{path.as_posix()}: no notebook in this folder")
        elif path.exists():
            inside = [path]
        else:
            inside = []
            problems.append(f"{path.as_posix()}: no such file or folder")
        for each in inside:
            found.setdefault(each.resolve(), each)
    return list(found.values()), problems


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def grade(path: str | Path, timeout: float = 120.0) -> Sheet:
    """Run one notebook and say what became of each exercise. The file is left as it is.

    Args:
        path: The notebook.
        timeout: Seconds that a cell may take.

    Returns:
        Its sheet; whatever the notebook does, nothing is raised for it.
    """
    path = Path(path)
    sheet = Sheet(path.as_posix())
    started = time.perf_counter()
    try:
        notebook = _read(path)
        wanted = _wanted(notebook)
    except Exception as error:
        sheet.problem = (
            f"not a notebook that can be read ({clean(str(error).strip(), 120) or type(error).__name__})"
        )
        return sheet
    if not wanted:
        sheet.problem = "no exercises: no cell calls check(...) with an exercise of the course"
        return sheet
    with tempfile.TemporaryDirectory(prefix="segcore-grade-", ignore_cleanup_errors=True) as folder:
        report = Path(folder) / "report.jsonl"
        run = _run(notebook, path.parent, timeout, report)
        said = _said(report)
    sheet.results = [_result(each, said.get(each.id), run) for each in wanted]
    sheet.problem, sheet.seconds = run.stopped, time.perf_counter() - started
    return sheet


def _read(path: Path) -> Any:
    import nbformat

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # cells without ids and other signs of age
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    return notebook


def _wanted(notebook: Any) -> list[Exercise]:
    """The exercises that a lab's metadata name (all of its chapter, or a list), and those of its checks."""
    course = notebook.metadata.get("course", {})
    slug = str(course.get("slug", ""))
    ids = [str(each["id"]) for each in course.get("exercises", [])]
    ids += [found[3] for cell in _code(notebook) for found in _CHECK.finditer(cell.source)]
    named = [int(slug[:2])] if slug[:2].isdecimal() and int(slug[:2]) in CHAPTERS else []
    known: dict[str, Exercise] = {}
    for chapter in sorted({*named, *(int(each.partition(".")[0]) for each in ids)}):
        try:
            every = exercises(chapter)
        except ValueError:
            continue
        known.update({each.id: each for each in every if chapter in named or each.id in ids})
    return list(known.values())


def _code(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def _client(notebook: Any, folder: Path, timeout: float) -> Any:
    from nbclient import NotebookClient

    class Client(NotebookClient):
        """Keeps errors and nothing else that cells show: a loop that prints must not fill the memory."""

        def process_message(self, msg: Any, cell: Any, cell_index: int) -> Any:
            if msg["msg_type"] in {"stream", "display_data", "update_display_data", "execute_result"}:
                return None
            return super().process_message(msg, cell, cell_index)

    client = Client(
        notebook,
        timeout=timeout,
        kernel_name="python3",
        allow_errors=True,
        shutdown_kernel="immediate",
        resources={"metadata": {"path": str(folder.resolve())}},
    )
    client.reset_execution_trackers()
    return client


def _run(notebook: Any, folder: Path, timeout: float, report: Path) -> _Run:
    """Run the cells one by one, to the end or until the kernel is lost."""
    run = _Run()
    cells = _code(notebook)
    for number, cell in enumerate(cells, 1):
        cell.metadata, cell.outputs = {}, []
        run.checks.update({found[3]: number for found in _CHECK.finditer(cell.source)})
    client = _client(notebook, folder, timeout)
    try:
        with client.setup_kernel(env=_environment(report), stdout=DEVNULL, stderr=DEVNULL):
            for number, cell in enumerate(cells, 1):
                if not _cell(client, cell, number, run):
                    break
                _stand_in(client, cell, report)
    except Exception as error:  # no kernel, or one that died between two cells
        run.stopped = run.stopped or f"its kernel failed ({clean(str(error), 160) or type(error).__name__})"
    return run


def _environment(report: Path) -> dict[str, str]:
    """The kernel's environment; a course that is not installed is found all the same."""
    home = Path(__file__).resolve().parents[2]
    known = os.environ.get("PYTHONPATH", "")
    installed = home.name in {"site-packages", "dist-packages"}
    places = [known] if installed else [str(home), known]
    path = {"PYTHONPATH": os.pathsep.join(filter(None, places))} if any(places) else {}
    return {**os.environ, **ENVIRONMENT, **path, "SEGCORE_REPORT": str(report)}


def _cell(client: Any, cell: Any, number: int, run: _Run) -> bool:
    """Run one cell; False where the kernel does not live on."""
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

    run.reached = number
    try:
        client.execute_cell(cell, client.nb.cells.index(cell))
    except CellTimeoutError:
        run.errors[number] = f"cell [{number}] ran longer than {client.timeout:g} s"
        if not _interrupted(client):
            run.stopped = f"cell [{number}] could not be stopped after {client.timeout:g} s"
    except DeadKernelError:
        run.errors[number] = run.stopped = f"the kernel died in cell [{number}]"
    for output in cell.outputs:
        if output.output_type == "error":
            text = f"{output.ename}: {output.evalue}".strip().split("\n")[0]
            run.errors[number] = f"{clean(text, 160)} in cell [{number}]"
    return not run.stopped


def _interrupted(client: Any) -> bool:
    """Interrupt the kernel; whether it answers again."""
    from jupyter_core.utils import ensure_async, run_sync

    async def interrupt() -> None:
        await ensure_async(client.km.interrupt_kernel())

    run_sync(interrupt)()
    return _quietly(client, "None", PATIENCE)


def _quietly(client: Any, source: str, timeout: float) -> bool:
    """Run a line of our own, which is no part of the notebook; whether it ended in time."""
    import nbformat

    usual, client.timeout = client.timeout, timeout
    try:
        client.execute_cell(nbformat.v4.new_code_cell(source), 0, store_history=False)
    except Exception:
        return False
    finally:
        client.timeout = usual
    return True


def _stand_in(client: Any, cell: Any, report: Path) -> None:
    """Where a check never ran, its name still stands for the course's own function in the cells below."""
    said = _said(report)
    for found in _CHECK.finditer(cell.source):
        if found[1] and found[3] not in said:
            module = "__import__('segcore.checks', fromlist=['exercise'])"
            _quietly(client, f"{found[1]} = {module}.exercise({found[3]!r}).reference", PATIENCE)


def _said(report: Path) -> dict[str, dict[str, Any]]:
    """The last line for each exercise, with the deepest rung of all its lines."""
    said: dict[str, dict[str, Any]] = {}
    if report.exists():
        for line in report.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                entry = json.loads(line)
                known = entry["state"] in STATES
            except (ValueError, KeyError, TypeError):
                continue
            if known:
                name, rung = str(entry.get("exercise")), entry.get("rung")
                before = said.get(name, {}).get("rung", 0)
                said[name] = {**entry, "rung": max(before, rung if rung in (1, 2, 3, 4) else 0)}
    return said


def _result(exercise: Exercise, entry: dict[str, Any] | None, run: _Run) -> Result:
    result = Result(exercise.id, exercise.title, possible=exercise.points)
    if entry is not None:
        for name in ("state", "kind", "mistake", "passed", "tried", "rung"):
            setattr(result, name, entry.get(name, getattr(result, name)))
        result.points = exercise.points if result.state == "passed" else 0
        unnamed = (
            "" if result.state in ("passed", "not attempted") else str(entry.get("text", "")).split("\n")[0]
        )
        result.reason = result.mistake or unnamed
        return result
    number = run.checks.get(exercise.id, 0)
    if not number:
        result.reason = "the notebook has no check for it"
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


def table(sheet: Sheet) -> str:
    """A notebook's exercises, one a line."""
    lines = [f"{sheet.path}: {_sum([sheet])} ({sheet.seconds:.0f} s)" if sheet.results else sheet.path]
    width = max((len(result.title) for result in sheet.results), default=0)
    asked = any(result.rung for result in sheet.results)
    for each in sheet.results:
        marks = f"{each.points}/{each.possible}"
        cells = [each.exercise.ljust(5), each.title.ljust(width), each.state.ljust(13), marks]
        if asked:
            cells.append((f"hint {each.rung}" if each.rung else "").ljust(6))
        lines.append(f"  {'  '.join(cells)}  {clean(each.reason, 120)}".rstrip())
    if sheet.problem:
        lines.append(f"  {'stopped' if sheet.results else 'not graded'}: {sheet.problem}")
    return "\n".join(lines)


def _sum(sheets: list[Sheet]) -> str:
    counts = [
        sum(values)
        for values in zip(*((s.passed, len(s.results), s.points, s.possible) for s in sheets), strict=True)
    ]
    return "{} of {} exercises passed, {} of {} points".format(*counts)


def total(sheets: list[Sheet]) -> str:
    """One line over all notebooks."""
    lost = sum(not sheet.results for sheet in sheets)
    return f"{len(sheets)} notebooks: {_sum(sheets)}" + (f"; {lost} not graded" if lost else "")


def to_json(sheets: list[Sheet]) -> str:
    """The sheets as JSON."""
    made = [
        {
            "path": sheet.path,
            "passed": sheet.passed,
            "points": sheet.points,
            "possible": sheet.possible,
            "seconds": round(sheet.seconds, 1),
            "problem": sheet.problem,
            "exercises": [asdict(result) for result in sheet.results],
        }
        for sheet in sheets
    ]
    return json.dumps({"version": 1, "notebooks": made}, indent=1, ensure_ascii=False) + "\n"


def to_csv(sheets: list[Sheet]) -> str:
    """The sheets as CSV, one exercise a row; a notebook that could not be graded has one row that says so."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("path", *FIELDS))
    for sheet in sheets:
        for result in sheet.results:
            writer.writerow((sheet.path, *(getattr(result, name) for name in FIELDS)))
        if not sheet.results:
            writer.writerow((sheet.path, "", "", "not graded", 0, 0, "", sheet.problem, 0))
    return text.getvalue()
