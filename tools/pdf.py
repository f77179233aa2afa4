"""The course as one PDF: ``python tools/pdf.py [PAGE ...]`` or ``make pdf``.

The built pages become one long page (`pdf_book.py`, `pdf_pages.py`), which Chromium prints: it makes the
outline, the links and the marks for screen readers. What it cannot say is on which sheet a chapter begins. So
it prints twice: from the first print the contents get their numbers. No network is asked. Dates and the
browser's name are taken out of the file, so that the same book printed by the same Chromium is the same PDF.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from pdf_book import FRONT, book_title, document, parts
from stills import FLAGS, chromium

import book

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "_build" / "course.pdf"
WIDTH = 658  # pixels of a sheet between its margins
PATIENCE = 600_000  # milliseconds, for a busy machine

# Equations that would be wider than the sheet are drawn smaller. Returns when all is drawn.
READY = """async () => {
  await window.MathJax?.startup?.promise;
  await document.fonts.ready;
  await Promise.all([...document.images].map((image) => image.decode().catch(() => {})));
  for (const block of document.querySelectorAll("div.math")) {
    const formula = block.querySelector("mjx-container > mjx-math");
    if (!formula) continue;
    const room = block.clientWidth - (block.querySelector(".eqno")?.offsetWidth ?? 0);
    const share = room / formula.getBoundingClientRect().width;
    if (share < 1) formula.parentElement.style.fontSize = `${Math.floor(98 * share)}%`;
  }
  return [...document.images].filter((image) => !image.naturalWidth).map((image) => image.src.slice(0, 120));
}"""


def pages_of(pdf: bytes) -> dict[str, int]:
    """The sheet, counted from 1, on which each named place of a PDF of Chromium's lies.

    Raises:
        ValueError: the file is not laid out as Chromium's are.
    """
    text = re.sub(rb"\bstream\r?\n.*?endstream", b"", pdf, flags=re.S).decode("latin-1")
    objects = dict(re.findall(r"(?:^|\n)(\d+) 0 obj\s*(.*?)\s*endobj", text, re.S))
    root = next((body for body in objects.values() if "/Type /Catalog" in body), "")
    tree, names = (re.search(rf"/{key} (\d+) 0 R", root) for key in ("Pages", "Dests"))
    if not tree or not names:
        raise ValueError("this PDF has no tree of pages or no named places: was it printed by Chromium?")
    order: list[str] = []
    queue = [tree[1]]
    while queue:
        node = queue.pop()
        if kids := re.search(r"/Kids \[(.*?)\]", objects[node], re.S):
            queue += reversed(re.findall(r"(\d+) 0 R", kids[1]))
        else:
            order.append(node)
    sheet = {node: place for place, node in enumerate(order, 1)}
    found = re.findall(r"/(\S+) \[(\d+) 0 R /XYZ", objects[names[1]])
    return {re.sub("#(..)", lambda code: chr(int(code[1], 16)), name): sheet[node] for name, node in found}


def count(pdf: bytes) -> int:
    """The number of sheets of a PDF."""
    return len(re.findall(rb"/Type /Page\b(?!s)", pdf))


def settled(pdf: bytes, title: str) -> bytes:
    """The PDF without what differs from day to day and from machine to machine, every byte in its place."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "1767225600")
    date = datetime.fromtimestamp(int(epoch), UTC).strftime("%Y%m%d%H%M%S").encode()
    pdf = re.sub(rb"(?<=Date \(D:)\d{14}", date, pdf)

    def named(match: re.Match[bytes]) -> bytes:
        own = f"/Creator ({title})".encode("ascii", "replace")
        return own.ljust(len(match[0])) if len(own) <= len(match[0]) else match[0]

    return re.sub(rb"/Creator \((?:\\.|[^)\\])*\)", named, pdf, count=1)


def print_document(path: Path, title: str) -> bytes:
    """Print an HTML file of ours: once to learn where its places lie, once with their numbers.

    Raises:
        RuntimeError: a picture is missing, or the contents name a place that the print does not have.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        page: Any = browser.new_page(viewport={"width": WIDTH, "height": 900}, color_scheme="light")
        page.set_default_timeout(PATIENCE)
        page.emulate_media(media="print")
        page.goto(path.as_uri(), wait_until="load")
        if missing := page.evaluate(READY):
            raise RuntimeError(
                f"pictures of the book are missing: {', '.join(missing)}. Build it anew: make book."
            )
        options = {"prefer_css_page_size": True, "print_background": True, "outline": True, "tagged": True}
        numbers: dict[str, int] = {}
        for _ in range(3):
            pdf = page.pdf(**options)
            found = pages_of(pdf)
            if found == numbers:
                break
            numbers = found
            lost = page.evaluate(
                "(pages) => [...document.querySelectorAll('[data-page]')].filter((each) => {"
                " each.textContent = pages[each.dataset.page]; return !pages[each.dataset.page]; })"
                ".map((each) => each.dataset.page)",
                numbers,
            )
            if lost:
                raise RuntimeError(f"the contents name what is not printed: {', '.join(lost)}")
        browser.close()
    return settled(pdf, title)


def make(
    output: Path, names: Sequence[str] = (), html_folder: Path = ROOT / "_build" / "html"
) -> tuple[int, int]:
    """Print the named pages, or all; return sheets and bytes."""
    groups = [
        (title, kept) for title, pages in parts() if (kept := [n for n in pages if not names or n in names])
    ]
    if unknown := sorted(set(names) - {name for _, kept in groups for name in kept}):
        raise ValueError(
            f"no page of the PDF is called {', '.join(unknown)}; write it as in _toc.yml, book/06_dilation"
        )
    base = os.environ.get("BOOK_URL", "")
    base = base.rstrip("/") + "/" if base else ""
    draft = html_folder / ".course-on-paper.html"
    try:
        draft.write_text(document(html_folder, groups, base), encoding="utf-8")
        pdf = print_document(draft, book_title())
    finally:
        draft.unlink(missing_ok=True)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_bytes(pdf)
    return count(pdf), len(pdf)


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, build the book where it is not built, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "page", nargs="*", help="pages to print, such as book/06_dilation; all where none is named"
    )
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args(arguments)
    chromium()  # says what to install, before anything is built
    if not (ROOT / "_build" / "html" / f"{FRONT}.html").exists() and (code := book.build()):
        return code
    try:
        sheets, size = make(options.output, options.page)
    except (ValueError, RuntimeError, OSError) as error:
        print(f"pdf.py: {error}", file=sys.stderr)
        return 1
    print(f"{options.output}: {sheets} pages, {size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
