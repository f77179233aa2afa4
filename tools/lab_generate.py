"""From a solution notebook to its lab: what is taken out and put in, and when a lab on disk may be replaced.

`labs.py` says how a solution is written; this module holds what it does with one. The folder `labs/` belongs
to the reader: whatever lies there and is not, to the last output and attachment, what was generated, is
somebody's work. So the book and the tests do not look there; they take the clean labs, made from the
solutions into `_build/labs/`.
"""

from __future__ import annotations

import copy
import hashlib
import html
import json
import os
import subprocess
import tempfile
from pathlib import Path

import nbformat
from lab_launch import ROLE, find_repository, first_cell
from lab_pace import paces, with_lines
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parent.parent
CLEAN = "_build/labs"  # where the book and the tests find the labs as their solutions make them
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


def content_hash(notebook: NotebookNode) -> str:
    """A hash over all that stands in a lab, outputs, attachments and metadata too; not over the record."""
    content = copy.deepcopy(notebook)
    content.metadata.get("course", {}).pop("generated", None)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def launch_cell(repository: str) -> NotebookNode:
    """The first cell of a lab of the course that is published there."""
    made = nbformat.v4.new_code_cell(first_cell(repository))
    made.id = ROLE
    made.metadata = NotebookNode({"course": {"role": ROLE}})
    return made


def published(root: Path = ROOT) -> str:
    """OWNER/NAME of the course, or nothing; a LabError where the address cannot be used."""
    try:
        return find_repository(root / "pyproject.toml")
    except ValueError as error:
        raise LabError(str(error)) from None


def lab_from(solution: NotebookNode, slug: str, repository: str = "") -> NotebookNode:
    """The lab of a solution notebook, which is left as it is.

    Args:
        solution: The solved lab.
        slug: The chapter's ``NN_slug``.
        repository: Where the course is published, OWNER/NAME; the lab then begins with a cell that fetches
            it.
    """
    lab = copy.deepcopy(solution)
    known = paces(solution.metadata.get("course", {}))
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
        if cell.cell_type == "markdown":
            cell.source = with_lines(cell.source, slug, known)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
            for field in ("collapsed", "scrolled", "execution"):
                cell.metadata.pop(field, None)
        cells.append(cell)
    if pictures:
        raise LabError(f"{slug}: an expected picture has no skeleton to stand before: {sorted(pictures)}")
    if repository:
        cells.insert(1, launch_cell(repository))
    lab.cells = cells
    for field in ("celltoolbar", "widgets"):
        lab.metadata.pop(field, None)
    lab.metadata["course"] = {**lab.metadata.get("course", {}), "slug": slug}
    lab.metadata["course"]["generated"] = content_hash(lab)
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


def made_here(content: bytes) -> bool:
    """Whether a lab's file is still, to the last output, what was once generated: its own record says so.

    How its JSON is laid out does not count. A lab without a record, or none at all, is somebody's work.
    """
    try:
        lab = nbformat.v4.reads(content.decode())  # as it stands: nothing is converted or mended
        return bool(lab.metadata["course"]["generated"] == content_hash(lab))
    except Exception:  # not UTF-8, not JSON, no cells, nested too deeply: whatever it is, it is not ours
        return False


def state(target: Path, text: str) -> str:
    """What lies in a lab's place: ``missing``, ``clean``, ``stale`` or ``worked in``.

    Stale is a lab that an older solution made and nobody touched. A folder, a link to another file, or a file
    that cannot be read is the reader's.
    """
    if not os.path.lexists(target):
        return "missing"
    try:
        content = target.read_bytes() if target.is_file() else b""
    except OSError:
        return "worked in"
    if content.replace(b"\r\n", b"\n") == text.encode():
        return "clean"
    return "stale" if not target.is_symlink() and made_here(content) else "worked in"


def made(slug: str, root: Path = ROOT) -> str:
    """The text of the lab that a solution makes."""
    return text_of(lab_from(read(root / "solutions" / f"{slug}.ipynb"), slug, published(root)))


def generate(slug: str, root: Path = ROOT, *, force: bool = False) -> str:
    """Make one lab; return what was done: ``new``, ``updated``, ``unchanged``, ``kept`` or ``replaced``."""
    target, text = root / "labs" / f"{slug}.ipynb", made(slug, root)
    found = state(target, text)
    if found == "clean":
        return "unchanged"
    if found == "worked in":
        if not force:
            return "kept"
        number = 1
        while os.path.lexists(aside := target.with_name(f"{slug}.edited-{number}.ipynb")):
            number += 1
        target.rename(aside)
    write(target, text)
    return {"missing": "new", "stale": "updated", "worked in": "replaced"}[found]


def write_clean(slug: str, root: Path = ROOT) -> Path:
    """The clean lab of a solution, whatever lies in `labs/`. Its file is touched only where it changes."""
    target, text = root / CLEAN / f"{slug}.ipynb", made(slug, root)
    if not target.is_file() or target.read_bytes() != text.encode():
        write(target, text)
    return target


def git(root: Path, *words: str) -> str | None:
    """What git says of a checkout; None where there is none, or no git."""
    if not (root / ".git").exists():
        return None
    command = ["git", "--no-optional-locks", "-C", str(root), *words]
    try:
        return (
            subprocess.run(command, capture_output=True, check=True).stdout.decode(errors="replace").strip()
        )
    except (OSError, subprocess.CalledProcessError):
        return None


def difference(slug: str, root: Path = ROOT, *, strict: bool = False) -> tuple[bool, str] | None:
    """How the lab on disk differs from what its solution makes, and whether that is a fault; None if alike.

    A lab that was worked in, or deleted, is the reader's affair. In CI, where nobody works, it is a fault if
    it was committed so; with ``strict`` always. A lab that nobody touched and that its solution would now
    make otherwise is a fault everywhere, and so is one that git never saw.
    """
    target = root / "labs" / f"{slug}.ipynb"
    found = state(target, made(slug, root))
    if found == "clean":
        return None
    if found == "stale":
        return True, f"labs/{slug}.ipynb is older than its solution: run `make notebooks`"
    strict = strict or bool(
        os.environ.get("CI") and not git(root, "status", "--porcelain", "--", str(target))
    )
    if found == "missing":
        words = f"labs/{slug}.ipynb is missing: `python tools/labs.py generate {slug[:2]}` makes it"
        return strict or git(root, "log", "-1", "--format=%h", "--", str(target)) == "", words
    if strict:
        return True, f"labs/{slug}.ipynb was edited; change its solution instead, then run `make notebooks`"
    return False, f"labs/{slug}.ipynb was worked in: book and tests take the clean lab"


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
