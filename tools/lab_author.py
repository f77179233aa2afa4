"""What authors need: metadata added to a solution notebook from what stands in it, and fresh outputs."""

from __future__ import annotations

import ast
import copy
import os
import re
import time
from pathlib import Path

from lab_generate import LabError, exercise_of, read, tags, text_of, write
from lab_pace import with_table
from nbformat import NotebookNode

# What every re-execution and every nbval run sets, so that outputs are the same on any machine.
ENVIRONMENT = {
    "SEGCORE_STATIC": "1",
    "SEGCORE_PROGRESS": "off",
    "SEGCORE_CHECKS": "",
    "TQDM_DISABLE": "1",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
}
ANSI = re.compile(r"\x1b\[[0-9;]*m")


def check_calls(source: str) -> list[tuple[str, str]]:
    """The ``(exercise, name)`` of each ``name = check("13.2", name)`` in a code cell."""
    try:
        tree = ast.parse(source)
    except SyntaxError:  # magics; such a cell is no check cell
        return []
    found = []
    for node in ast.walk(tree):
        match node:
            case ast.Assign(
                targets=[ast.Name(id=target)],
                value=ast.Call(
                    func=ast.Name(id="check"), args=[ast.Constant(value=str(exercise)), ast.Name(id=name)]
                ),
            ) if target == name:
                found.append((exercise, name))
    return found


def _grade(cell: NotebookNode, grade_id: str, **fields: object) -> None:
    base = {"grade": False, "solution": False, "locked": False, "task": False, "schema_version": 3}
    cell.metadata["nbgrader"] = NotebookNode({**base, "grade_id": grade_id, **fields})


def annotate(solution: NotebookNode, slug: str) -> NotebookNode:
    """A copy of the notebook with nbgrader's metadata and each cell's exercise, derived from the cells."""
    from segcore.checks import exercise

    made = copy.deepcopy(solution)
    made.metadata["course"] = {**made.metadata.get("course", {}), "slug": slug}
    if made.cells:
        made.cells[0].source = with_table(made.cells[0].source, made.metadata["course"])
    checked = [
        (index, *check_calls(cell.source)[0]) for index, cell in enumerate(made.cells) if _is_check(cell)
    ]
    counts: dict[str, int] = {}
    for index, cell in enumerate(made.cells):
        skeleton = cell.cell_type == "code" and "BEGIN SOLUTION" in cell.source
        before = [known for at, known, _ in checked if at <= index]
        after = [known for at, known, _ in checked if at >= index]
        belongs = exercise_of(cell)
        if belongs is None and skeleton:
            belongs = after[0] if after else None
        elif belongs is None and (_is_check(cell) or {"answer", "expected-picture"} & set(tags(cell))):
            belongs = before[-1] if before else None
        if belongs is None:
            if skeleton or {"answer", "expected-picture"} & set(tags(cell)):
                raise LabError(
                    f"{slug}: no check cell says which exercise this cell belongs to:\n{cell.source}"
                )
            continue
        cell.metadata["course"] = {**cell.metadata.get("course", {}), "exercise": belongs}
        dashed = belongs.replace(".", "-")
        if skeleton:
            counts[belongs] = counts.get(belongs, 0) + 1
            part = f"-part-{counts[belongs]}" if counts[belongs] > 1 else ""
            _grade(cell, f"{dashed}-solution{part}", solution=True)
        elif _is_check(cell):
            _grade(cell, f"{dashed}-check", grade=True, locked=True, points=exercise(belongs).points)
        elif "answer" in tags(cell):
            counts[dashed] = counts.get(dashed, 0) + 1
            part = f"-{counts[dashed]}" if counts[dashed] > 1 else ""
            _grade(cell, f"{dashed}-answer{part}", grade=True, solution=True, points=1)
    return made


def _is_check(cell: NotebookNode) -> bool:
    return bool(cell.cell_type == "code" and check_calls(cell.source))


def tidy(notebook: NotebookNode) -> None:
    """Drop what differs from run to run: widget state, execution times, the kernel's own version numbers."""
    notebook.metadata.pop("widgets", None)
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook.metadata["language_info"] = {
        "name": "python",
        "file_extension": ".py",
        "mimetype": "text/x-python",
    }
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        merged: list[NotebookNode] = []
        for output in cell.get("outputs", []):
            output.get("metadata", {}).pop("execution", None)
            last = merged[-1] if merged else None
            if (
                last is not None
                and output.output_type == "stream" == last.output_type
                and output.name == last.name
            ):
                last.text += output.text  # how a stream is cut into pieces is a matter of timing
            else:
                merged.append(output)
        if cell.cell_type == "code":
            cell.outputs = merged


def execute(slug: str, root: Path, *, timeout: float = 1200) -> float:
    """Annotate a solution, run it in a fresh kernel and store its outputs; return the seconds it took.

    Raises:
        LabError: A cell failed; the file is as it was.
    """
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    path = root / "solutions" / f"{slug}.ipynb"
    notebook = annotate(read(path), slug)
    client = NotebookClient(
        notebook, timeout=timeout, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}
    )
    started = time.perf_counter()
    try:
        client.execute(env={**os.environ, **ENVIRONMENT})
    except CellExecutionError as error:
        raise LabError(f"{slug}: a cell failed, nothing was written:\n{ANSI.sub('', str(error))}") from error
    except CellTimeoutError as error:
        raise LabError(
            f"{slug}: a cell took longer than {timeout:g} s, nothing was written:\n{error}"
        ) from error
    except DeadKernelError as error:
        raise LabError(f"{slug}: the kernel died, nothing was written") from error
    tidy(notebook)
    write(path, text_of(notebook))
    return time.perf_counter() - started
