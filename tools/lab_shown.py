"""The solution that a check's last rung shows, line by line: taken from the solved lab, never written twice.

Between ``### BEGIN SOLUTION`` and ``### END SOLUTION`` a chunk begins with one or two comment lines of their
own, which give the reason for it, and goes on to the next such lines. A comment behind code stays with it.
Where a solution has no reasons, its blank lines part it.
"""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

from lab_generate import ROOT, exercise_of, is_solution, read, write
from nbformat import NotebookNode

FOLDER = "segcore/checks/shown"
STEPS, LINES, REASON = 7, 8, 160  # the most chunks of a solution, lines of a chunk, characters of a reason
Chunk = tuple[str, list[str]]


def path_of(slug: str, root: Path = ROOT) -> Path:
    """The file of a lab's solutions."""
    return root / FOLDER / f"{slug}.json"


def made(slug: str, root: Path = ROOT) -> str:
    """The text of that file, as the solved lab makes it."""
    return (
        json.dumps(solutions(read(root / "solutions" / f"{slug}.ipynb")), indent=1, ensure_ascii=False) + "\n"
    )


def generate_shown(slug: str, root: Path = ROOT) -> bool:
    """Write the file where it changes; whether it did."""
    target, text = path_of(slug, root), made(slug, root)
    if target.is_file() and target.read_text(encoding="utf-8") == text:
        return False
    write(target, text)
    return True


def solutions(notebook: NotebookNode) -> dict[str, list[Chunk]]:
    """The chunks of each exercise, in the order of the ids."""
    found: dict[str, list[Chunk]] = {}
    for cell in notebook.cells:
        if cell.cell_type == "code" and is_solution(cell) and (exercise := exercise_of(cell)):
            found.setdefault(exercise, []).extend(chunks(cell.source))
    return dict(sorted(found.items(), key=lambda item: [int(part) for part in item[0].split(".")]))


def solution_lines(notebook: NotebookNode) -> dict[str, int]:
    """How many lines of code each exercise's solution has, comments and blank lines apart."""
    counts: dict[str, int] = {}
    for name, steps in solutions(notebook).items():
        code = [line.strip() for _, lines in steps for line in lines]
        counts[name] = sum(bool(line) and not line.startswith("#") for line in code)
    return counts


def chunks(source: str) -> list[Chunk]:
    """The chunks of a cell. Where it has several solutions, the first of each begins with its ``def``."""
    parts: list[tuple[str, list[str]]] = []  # a head, and the lines between the marks
    head, inside = "", False
    for line in source.split("\n"):
        if "BEGIN SOLUTION" in line:
            inside = True
            parts.append((head, []))
        elif "END SOLUTION" in line:
            inside = False
        elif inside:
            parts[-1][1].append(line)
        elif line.startswith(("def ", "class ")):
            head = line
    made = []
    for head, lines in parts:
        if len(parts) == 1:
            made += _split(textwrap.dedent("\n".join(lines)).split("\n"))
        else:
            (reason, first), *rest = _split(lines)
            made += [(reason, [head, *first]), *rest]
    return made


def _split(lines: list[str]) -> list[Chunk]:
    comments = any(line.lstrip().startswith("#") for line in lines)
    made: list[tuple[list[str], list[str]]] = [([], [])]
    for line in lines:
        begins = line.lstrip().startswith("#") if comments else not line.strip()
        if begins and made[-1][1]:
            made.append(([], []))
        if begins:
            made[-1][0].extend([line.strip().lstrip("#").strip()] if comments else [])
        elif line.strip():
            made[-1][1].append(line.rstrip())
    return [(" ".join(reason), code) for reason, code in made if code]


def stale(slug: str, root: Path = ROOT) -> list[str]:
    """A fault where the file is not what the solution makes."""
    target = path_of(slug, root)
    if target.is_file() and target.read_text(encoding="utf-8") == made(slug, root):
        return []
    return [f"{FOLDER}/{slug}.json is not what its solution makes: run `python tools/labs.py generate`"]


def faults(notebook: NotebookNode) -> list[str]:
    """What is wrong with the steps of the solutions."""
    found = []
    for exercise, steps in solutions(notebook).items():
        lines = sum(len(code) for _, code in steps)
        if not (1 if lines == 1 else 2) <= len(steps) <= STEPS:
            found.append(f"the solution of {exercise} has {len(steps)} steps; it may have 2 to {STEPS}")
        for reason, code in steps:
            if not reason:
                found.append(f"a step in the solution of {exercise} begins with no reason: {code[0]!r}")
            elif len(reason) > REASON:
                found.append(f"a reason of {len(reason)} characters (at most {REASON}): {reason!r}")
            if len(code) > LINES:
                found.append(f"a step of {len(code)} lines (at most {LINES}) in the solution of {exercise}")
    return found
