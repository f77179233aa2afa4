"""From a solution notebook to its lab: what is taken out and put in, and when a lab on disk may be replaced.

`labs.py` says how a solution is written; this module holds what it does with one.
"""

from __future__ import annotations

import copy
import hashlib
import html
import json
import os
import tempfile
from pathlib import Path

import nbformat
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parent.parent
CODE_STUB = ("# YOUR CODE HERE", "raise NotImplementedError()")
TEXT_STUB = ("YOUR ANSWER HERE",)


class LabError(RuntimeError):
    """A solution notebook that no lab can be made from; the message says which cell, and what to do."""


def tags(cell: NotebookNode) -> list[str]:
    """The tags of a cell."""
    return list(cell.metadata.get("tags", []))


def exercise_of(cell: NotebookNode) -> str | None:
    """The id of the exercise that a cell belongs to, where its metadata names one."""
    value = cell.metadata.get("course", {}).get("exercise")
    return None if value is None else str(value)


def is_solution(cell: NotebookNode) -> bool:
    """Whether nbgrader would take something out of the cell."""
    return bool(cell.metadata.get("nbgrader", {}).get("solution", False))


def stripped(cell: NotebookNode) -> str:
    """The cell's source without its solution, to the letter what nbgrader's ClearSolutions leaves."""
    stub = CODE_STUB if cell.cell_type == "code" else TEXT_STUB
    kept: list[str] = []
    inside = replaced = False
    for line in cell.source.split("\n"):
        if "BEGIN SOLUTION" in line:
            if inside:
                raise LabError(f"BEGIN SOLUTION stands twice before END SOLUTION in the cell\n{cell.source}")
            inside = replaced = True
            indent = line[: len(line) - len(line.lstrip())]
            kept.extend(indent + text for text in stub)
        elif "END SOLUTION" in line:
            inside = False
        elif not inside:
            kept.append(line)
    if inside:
        raise LabError(f"END SOLUTION is missing in the cell\n{cell.source}")
    if replaced and not is_solution(cell):
        raise LabError(
            "a solution stands in a cell without nbgrader's metadata: run annotate first. Cell:\n"
            + cell.source
        )
    return "\n".join(stub) if is_solution(cell) and not replaced else "\n".join(kept)


def picture(cell: NotebookNode, cell_id: str) -> NotebookNode:
    """The Markdown cell that shows, folded away, what the plotting cell draws when all is right."""
    alt = cell.metadata.get("course", {}).get("alt", "")
    images = [
        "".join(output["data"]["image/png"]).replace("\n", "")
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]
    if not images:
        raise LabError(
            f"a cell tagged expected-picture has no stored PNG: run execute first. Cell:\n{cell.source}"
        )
    label = html.escape(alt or "The expected picture")
    lines = [
        f'<img alt="{label}" style="max-width: 100%" src="data:image/png;base64,{image}">' for image in images
    ]
    source = "\n".join(["<details>", "<summary>Expected picture</summary>", *lines, "</details>"])
    made = nbformat.v4.new_markdown_cell(source)
    made.id = cell_id
    made.metadata = NotebookNode({"course": {"exercise": exercise_of(cell), "role": "picture"}})
    return made


def source_hash(notebook: NotebookNode) -> str:
    """A hash over what a reader writes: kinds and sources of the cells that are not empty."""
    sources = [[cell.cell_type, cell.source] for cell in notebook.cells if cell.source.strip()]
    return hashlib.sha256(json.dumps(sources).encode()).hexdigest()


def lab_from(solution: NotebookNode, slug: str) -> NotebookNode:
    """The lab of a solution notebook, which is left as it is."""
    lab = copy.deepcopy(solution)
    pictures: dict[str, list[NotebookNode]] = {}
    for cell in solution.cells:
        if "expected-picture" in tags(cell):
            pictures.setdefault(exercise_of(cell) or "", []).append(cell)
    cells: list[NotebookNode] = []
    for cell in lab.cells:
        if "solution-only" in tags(cell):
            continue
        exercise = exercise_of(cell)
        if cell.cell_type == "code" and is_solution(cell) and exercise in pictures:
            for number, plot in enumerate(pictures.pop(exercise)):
                cells.append(picture(plot, f"{cell.id[:48]}-expected" + (f"-{number + 1}" if number else "")))
        cell.source = stripped(cell)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
            for field in ("collapsed", "scrolled", "execution"):
                cell.metadata.pop(field, None)
        cells.append(cell)
    if pictures:
        raise LabError(f"{slug}: an expected picture has no skeleton to stand before: {sorted(pictures)}")
    lab.cells = cells
    for field in ("celltoolbar", "widgets"):
        lab.metadata.pop(field, None)
    lab.metadata["course"] = {**lab.metadata.get("course", {}), "slug": slug, "generated": source_hash(lab)}
    return lab


def text_of(notebook: NotebookNode) -> str:
    """The notebook as the text of its file, the same on every machine."""
    nbformat.validate(notebook)
    return json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def write(path: Path, text: str) -> None:
    """Write all or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def read(path: Path) -> NotebookNode:
    """A notebook from its file, or a LabError that names the file."""
    try:
        return nbformat.read(path, as_version=4)
    except OSError as error:
        raise LabError(f"{path.name}: {error.strerror}") from error
    except Exception as error:
        raise LabError(f"{path.name} is not a notebook that can be read: {error}") from error


def edited(lab: NotebookNode) -> bool:
    """Whether a reader has changed a lab since it was generated. A lab without a record counts as edited."""
    return bool(lab.metadata.get("course", {}).get("generated") != source_hash(lab))


def generate(slug: str, root: Path = ROOT, *, force: bool = False) -> str:
    """Make one lab; return what was done: ``new``, ``updated``, ``unchanged``, ``kept`` or ``replaced``."""
    target = root / "labs" / f"{slug}.ipynb"
    text = text_of(lab_from(read(root / "solutions" / f"{slug}.ipynb"), slug))
    if not target.exists():
        write(target, text)
        return "new"
    if target.read_text(encoding="utf-8") == text:
        return "unchanged"
    try:
        touched = edited(read(target))
    except LabError:
        touched = True  # what cannot be read may still be somebody's work
    if touched and not force:
        return "kept"
    if touched:
        number = 1
        while (aside := target.with_name(f"{slug}.edited-{number}.ipynb")).exists():
            number += 1
        target.rename(aside)
    write(target, text)
    return "replaced" if touched else "updated"


def difference(slug: str, root: Path = ROOT) -> str | None:
    """Why the lab on disk is not what its solution generates, or None where it is."""
    target = root / "labs" / f"{slug}.ipynb"
    if not target.exists():
        return f"labs/{slug}.ipynb is missing: run `make notebooks`"
    made = lab_from(read(root / "solutions" / f"{slug}.ipynb"), slug)
    if target.read_text(encoding="utf-8") == text_of(made):
        return None
    lab = read(target)
    if edited(lab):
        return f"labs/{slug}.ipynb was edited; change its solution instead, then run `make notebooks`"
    if source_hash(lab) != source_hash(made):
        return f"labs/{slug}.ipynb is older than its solution: run `make notebooks`"
    return f"labs/{slug}.ipynb holds outputs or metadata that a lab does not have: run `make notebooks`"


def slugs(root: Path, asked: list[str]) -> list[str]:
    """The slugs asked for (as ``13_roi_align``, ``roi_align`` or ``13``), or all that have a solution."""
    known = sorted(path.stem for path in (root / "solutions").glob("[0-9][0-9]_*.ipynb"))
    found = []
    for name in asked:
        stem = Path(name).stem
        hits = [
            slug
            for slug in known
            if stem == slug or slug.split("_", 1)[1] == stem or slug[:2] == stem.zfill(2)
        ]
        if not hits:
            raise LabError(f"no solution is called {name!r}; there are: {', '.join(known) or 'none'}")
        found.extend(hits)
    return found if asked else known
