"""The copy for students: a table of contents without solutions and instructor's pages, and a search for both.

`leaks` reads the built copy and names each file that holds a line of a solved lab or of an instructor's page
that no public page has. A chapter may show the library's code, and a lab gives much of it: what stands in
`book/`, in `segcore/` or in a clean lab is no secret. Lines are compared by their letters and digits alone,
so that neither markup nor escapes nor line breaks hide one.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

LENGTH = 24  # letters and digits that make a line a secret; shorter ones are anybody's
ANSWER = re.compile(r"(?:###|<!--) BEGIN SOLUTION(.*?)(?:###|<!--) END SOLUTION", re.DOTALL)
TEXT = {".html", ".js", ".json", ".ipynb", ".md", ".txt", ".xml", ".svg"}


def contents(toc: str) -> str:
    r"""The table of contents without solved labs and without the part "Teaching".

    Example:
        >>> print(contents("  - file: book/a\n  - file: solutions/a\n  - caption: Teaching\n    more"))
          - file: book/a
    """
    parts = re.split(r"^(?=  - caption: )", toc, flags=re.MULTILINE)
    kept = "".join(part for part in parts if not part.startswith("  - caption: Teaching\n"))
    return re.sub(r"^ *- file: (?:solutions|book/teaching)/.*\n?", "", kept, flags=re.MULTILINE).rstrip("\n")


def bare(text: str) -> str:
    """Letters and digits alone, whatever markup or escapes stand between them."""
    return re.sub(r"\W+|_", "", text)


def _cells(path: Path) -> Iterator[tuple[str, list[str]]]:
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        yield "".join(cell["source"]), cell.get("metadata", {}).get("tags", [])


def _lines(text: str) -> Iterator[str]:
    """The lines of code and the sentences of prose that are long enough to be told from others."""
    for line in re.split(r"\n|(?<=[.?!:])\s", re.sub(r"\{[\w:-]+\}|\]\([^)]*\)|<[^<>\n]*>", "\n", text)):
        if len(word := bare(line)) >= LENGTH:
            yield word


def secrets(root: Path) -> dict[str, str]:
    """The beginnings of all lines that students must not find, with the file that each is from."""
    found: dict[str, str] = {}
    for path in sorted((root / "solutions").glob("*.ipynb")):
        for text, tags in _cells(path):
            parts = [text] if "solution-only" in tags else ANSWER.findall(text)
            for line in (line for part in parts for line in _lines(part)):
                found[line[:LENGTH]] = f"solutions/{path.name}"
    for path in sorted((root / "book" / "teaching").glob("*.md")):
        for line in _lines(path.read_text(encoding="utf-8")):
            found[line[:LENGTH]] = f"book/teaching/{path.name}"
    for text in _public(root):
        for window in _windows(bare(text)):
            found.pop(window, None)
    return found


def _public(root: Path) -> Iterator[str]:
    sources = (path for kind in ("py", "js") for path in (root / "segcore").rglob(f"*.{kind}"))
    for path in [*(root / "book").glob("*.md"), *sources]:
        yield path.read_text(encoding="utf-8")
    for path in (root / "_build" / "labs").glob("*.ipynb"):
        for text, _ in _cells(path):
            yield text


def _windows(text: str) -> Iterator[str]:
    return (text[at : at + LENGTH] for at in range(len(text) - LENGTH + 1))


def readable(path: Path) -> str:
    """The words of a built file: tags, pictures and escapes taken out."""
    text = path.read_text(encoding="utf-8", errors="replace")
    text = re.sub(r"data:[\w/+.-]+;base64,[\w+/=]+", "", text)
    if path.suffix in {".html", ".svg"}:
        text = html.unescape(re.sub(r"<[^<>]*>", "", text))
    return bare(re.sub(r"\\[nt\"\\]", " ", text))


def leaks(folder: Path, root: Path) -> list[str]:
    """What a copy for students holds of solutions and instructor's pages, a line of words for each.

    Args:
        folder: the built pages.
        root: the course that they were built from.

    Returns:
        One line for each page, link or file; none where the copy is clean.
    """
    hidden, found = secrets(root), []
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        name = path.relative_to(folder).as_posix()
        if re.match(r"(?:_sources/)?(?:solutions|book/teaching)/", name):
            found.append(f"{name} is a page of it")
        if path.suffix not in TEXT:
            continue
        if path.suffix == ".html":
            links = re.findall(r'href="([^"#]*(?:solutions|teaching)/[^"]*)"', path.read_text("utf-8"))
            found += [f"{name} leads to {link}" for link in sorted(set(links)) if "://" not in link]
        found += _held(name, readable(path), hidden)
    return found


def _held(name: str, text: str, hidden: dict[str, str]) -> Iterable[str]:
    held = sorted({window for window in _windows(text) if window in hidden})
    if held:
        yield f"{name} holds a line of {hidden[held[0]]} ({held[0]}...; {len(held)} in all)"
