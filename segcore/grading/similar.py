"""Pairs of hand-ins that share more than two fresh solutions would: a hint to look, not a verdict.

The code of a hand-in becomes a stream of tokens in which all names of the student's are alike, so renaming
hides nothing; of every run of tokens a hash is taken and the smallest of each window kept (winnowing;
Schleimer, Wilkerson and Aiken, 2003). What the lab gives, what the course's own solution says and what many
of the class wrote is taken off. What two hand-ins still share is counted.
"""

from __future__ import annotations

import hashlib
import io
import json
import keyword
import tokenize
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from segcore.grading.submissions import Notebook, Submission, code_cells, read

__all__ = ["fingerprints", "pairs", "sentence", "tokens"]

RUN = 16  # tokens in a run: some two lines
WINDOW = 8  # runs of which one is kept
ENOUGH = 8  # fingerprints that two must share
PART = 0.4  # of the smaller one's fingerprints
COMMON = 0.2  # of the class: what so many have is nobody's own
CODE = ("torch", "range", "len", "zip", "sum", "min", "max", "int", "float", "enumerate", "F", "self")


def tokens(code: str) -> list[str]:
    """The code as tokens, all names alike but keywords, attributes and well-known functions.

    Example:
        >>> tokens("total = x.sum() + 1  # all")
        ['_', '=', '_', '.', 'sum', '(', ')', '+', '1']
    """
    found: list[str] = []
    try:
        for each in tokenize.generate_tokens(io.StringIO(code).readline):
            if each.type == tokenize.NAME:
                known = keyword.iskeyword(each.string) or each.string in CODE or found[-1:] == ["."]
                found.append(each.string if known else "_")
            elif each.type == tokenize.STRING:
                found.append("''")
            elif each.type in (tokenize.NUMBER, tokenize.OP):
                found.append(each.string)
    except (tokenize.TokenError, SyntaxError, IndentationError):
        pass  # what came before the fault counts
    return found


def fingerprints(code: Iterable[str]) -> set[int]:
    """The winnowed hashes of some cells."""
    found = set()
    for cell in code:
        stream = tokens(cell)
        runs = [" ".join(stream[start : start + RUN]) for start in range(len(stream) - RUN + 1)]
        hashes = [
            int.from_bytes(hashlib.blake2b(run.encode(), digest_size=8).digest(), "big") for run in runs
        ]
        for start in range(max(1, len(hashes) - WINDOW + 1) if hashes else 0):
            found.add(min(hashes[start : start + WINDOW]))
    return found


def pairs(submissions: Sequence[Submission]) -> list[dict[str, Any]]:
    """Pairs that share much, most alike first.

    Args:
        submissions: The hand-ins; one that cannot be read is left out.

    Returns:
        For each pair its two paths and students, how many fingerprints they share, and which part that is of
        the smaller one's own.
    """
    own: list[tuple[Submission, set[int]]] = []
    given: set[int] = set()
    known: set[str] = set()
    for each in submissions:
        try:
            notebook = read(each.file.read_bytes())
        except (OSError, ValueError):
            continue
        slug = _slug(notebook)
        if slug and slug not in known:
            known.add(slug)
            given |= fingerprints(_course(slug))
        own.append((each, fingerprints(code_cells(notebook))))
    counts = Counter(mark for _, marks in own for mark in marks)
    limit = max(3, COMMON * len(own))
    given |= {mark for mark, count in counts.items() if count > limit}
    left = [(each, marks - given) for each, marks in own]
    found = []
    for (one, first), (two, second) in combinations(left, 2):
        shared, size = len(first & second), min(len(first), len(second))
        if shared >= ENOUGH and shared >= PART * size:
            paths, students = [one.path, two.path], [one.student, two.student]
            found.append(
                {"paths": paths, "students": students, "shared": shared, "part": round(shared / size, 2)}
            )
    return sorted(found, key=lambda pair: (-pair["part"], -pair["shared"], pair["paths"]))


def sentence(pair: dict[str, Any]) -> str:
    """A pair in words.

    Example:
        >>> sentence({"paths": ["a.ipynb", "b.ipynb"], "students": ["a", "b"], "shared": 12, "part": 0.8})
        'worth a look: a.ipynb and b.ipynb share 12 pieces of code that the lab does not give (80 %)'
    """
    one, two = pair["paths"]
    words = f"share {pair['shared']} pieces of code that the lab does not give ({100 * pair['part']:.0f} %)"
    return f"worth a look: {one} and {two} {words}"


def _slug(notebook: Notebook) -> str:
    course = notebook.metadata.get("course")
    return str(course.get("slug", "")) if isinstance(course, dict) else ""


def _course(slug: str) -> list[str]:
    """The code of a lab and of its solution, as far as they are at hand."""
    package = Path(__file__).resolve().parents[1]
    cells = []
    for folder in ("labs", "solutions"):
        path = package.parent / folder / f"{slug}.ipynb"
        if "/" not in slug and path.is_file():
            cells += code_cells(read(path.read_bytes()))
    shown = package / "checks" / "shown" / f"{slug}.json"
    if "/" not in slug and shown.is_file():
        for steps in json.loads(shown.read_text(encoding="utf-8")).values():
            cells.append("\n".join(line for _, lines in steps for line in lines))
    return cells
