"""Faults in a solution notebook and in its lab that no other check would find."""

from __future__ import annotations

import ast
import base64
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent / "ext"))

from lab_author import annotate, check_calls
from lab_generate import LabError, exercise_of, is_solution, lab_from, read, tags
from lab_pace import faults as faults_of_pace
from lab_shown import faults as faults_of_steps
from lab_shown import solution_lines
from nbformat import NotebookNode

LARGEST_PNG = 200_000  # bytes


def lint(slug: str, root: Path) -> list[str]:
    """Every fault of one solution and of the lab that it makes, one line each."""
    from segcore.checks import exercises

    path = root / "solutions" / f"{slug}.ipynb"
    solution = read(path)
    chapter = str(int(slug[:2]))
    try:
        known = {each.id: each for each in exercises(chapter)}
        lab = lab_from(solution, slug)
        fresh = annotate(solution, slug)
    except (LabError, ValueError) as error:
        return [f"{slug}: {error}"]
    faults = _card(path, known)
    if [cell.metadata for cell in fresh.cells] != [cell.metadata for cell in solution.cells]:
        faults.append("its metadata does not follow from its cells: run `python tools/labs.py annotate`")
    faults += faults_of_pace(slug, solution, solution_lines(solution))
    faults += faults_of_steps(solution) + _exercises(lab, known) + _order_of_use(lab) + _outputs(solution)
    ids = [cell.metadata["nbgrader"]["grade_id"] for cell in solution.cells if "nbgrader" in cell.metadata]
    faults += [f"the grade_id {name!r} stands twice" for name in sorted({i for i in ids if ids.count(i) > 1})]
    return [f"solutions/{slug}.ipynb: {fault}" for fault in faults]


def _card(path: Path, known: dict) -> list[str]:
    """What the book's lab card reads from the notebook, and would only miss when the book is built."""
    from course_cards import read_lab

    try:
        lab = read_lab(path)
    except ValueError as error:
        return [str(error)]
    named = [words.partition(" ")[0] for words in lab.exercises]
    if named != list(known):
        return [f"course.exercises names {', '.join(named) or 'none'}; the exercises are {', '.join(known)}"]
    return [f"course.exercises gives {name} no title" for name in named if name in lab.exercises]


def _exercises(lab: NotebookNode, known: dict) -> list[str]:
    """Each exercise has its skeleton with a docstring, then its check, in the order of the ids."""
    faults = []
    calls = [call for cell in lab.cells if cell.cell_type == "code" for call in check_calls(cell.source)]
    order = [exercise for exercise, _ in calls]
    if order != list(known):
        faults.append(f"it checks {', '.join(order) or 'nothing'}; the exercises are {', '.join(known)}")
    for exercise, name in calls:
        if exercise in known and known[exercise].name != name:
            faults.append(f"exercise {exercise} is called {known[exercise].name}, not {name}")
        skeletons = [cell.source for cell in lab.cells if is_solution(cell) and exercise_of(cell) == exercise]
        functions = [node for source in skeletons for node in _functions(source) if node.name == name]
        if not functions:
            faults.append(f"exercise {exercise} has no skeleton that defines {name}")
        elif ast.get_docstring(functions[0]) is None:
            faults.append(f"the skeleton of {name} has no docstring")
        elif "NotImplementedError" not in "\n".join(skeletons):
            faults.append(f"the skeleton of {name} leaves nothing to do")
    return faults


def _functions(source: str) -> list[ast.FunctionDef]:
    try:
        return [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    except SyntaxError:
        return []


def _tree(source: str) -> ast.Module | None:
    """A cell's syntax tree, lines of magic left out; None where it has none."""
    if source.lstrip().startswith("%%"):
        return ast.parse("")  # another language, or a line of options: nothing to look into
    lines = source.split("\n")
    plain = [
        line[: len(line) - len(line.lstrip())] + "pass" if line.lstrip()[:1] in {"%", "!"} else line
        for line in lines
    ]
    for text in (source, "\n".join(plain)):
        try:
            return ast.parse(text)
        except SyntaxError:
            continue
    return None


def _order_of_use(lab: NotebookNode) -> list[str]:
    """In an unsolved lab a reader's function raises until its check has put the reference in its place."""
    pending = {
        name: exercise
        for cell in lab.cells
        if cell.cell_type == "code"
        for exercise, name in check_calls(cell.source)
    }
    faults = []
    for cell in lab.cells:
        if cell.cell_type != "code":
            continue
        calls = dict(check_calls(cell.source))
        if (tree := _tree(cell.source)) is None:
            faults.append(f"this cell is not Python:\n    {cell.source[:200]}")
            continue
        own = exercise_of(cell) if is_solution(cell) else None
        used = {
            node.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
        }
        for name in sorted(used & set(pending)):
            if pending[name] != own and pending[name] not in calls:
                faults.append(
                    f"{name} is used before its check ({pending[name]}) in the cell\n    {cell.source[:200]}"
                )
        pending = {name: exercise for name, exercise in pending.items() if exercise not in calls}
    return faults


def _outputs(solution: NotebookNode) -> list[str]:
    """Stored errors, pictures that are too heavy, pictures without words, cells that were not run."""
    faults = []
    for cell in solution.cells:
        first = cell.source.split("\n", 1)[0][:70]
        if cell.cell_type == "code" and cell.source.strip() and cell.execution_count is None:
            faults.append(f"a cell was never run: {first!r}; run `python tools/labs.py execute`")
        if "expected-picture" in tags(cell) and not cell.metadata.get("course", {}).get("alt"):
            faults.append(f"an expected picture has no course.alt: {first!r}")
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                faults.append(f"a cell stores the error {output.ename}: {first!r}")
            png = output.get("data", {}).get("image/png")
            if png and (size := len(base64.b64decode("".join(png)))) > LARGEST_PNG:
                faults.append(f"a picture of {size // 1000} kB (at most {LARGEST_PNG // 1000}): {first!r}")
    return faults
