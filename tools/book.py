"""Build the book, serve what was built, or try its links: ``python tools/book.py build|serve|links``.

A build is a no-op to the reader when nothing changed. Two things that it leaves are used by the next:

- the chapters' outputs. A chapter runs again only where something changed that it imports, and chapters run
  side by side (`chapters.py`). What ran well stays, also when the build ends with an error.
- the pages as they were read. They are used only after a build that went well (`.pages-hash`), since Sphinx
  repeats no warning for a page that it does not read again: a second try would pass what the first refused.

``--students`` builds a second copy, in ``_build/students``, from the same outputs: without solved labs and
instructor's pages. Where anything of them is found in it, it is no copy for students (`students.py`).
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import http.server
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from chapters import Chapters
from students import contents, leaks

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "_build"
STUDENTS = "students"  # a folder beside the whole book's
PAGES = ".pages-hash"
PROGRAM = "from jupyter_book.cli.main import main; main()"
# Jupyter Book's command would put a second copy into `students/_build/html`.
COPY = """
import sys
from jupyter_book.sphinx import build_sphinx
source, folder, cache = sys.argv[1:]
settings = {"external_toc_path": f"{folder}/_toc.yml", "nitpicky": True, "nb_execution_cache_path": cache}
settings |= {"latex_individualpages": False, "html_copy_source": False}
done = build_sphinx(source, f"{folder}/html", noconfig=True, path_config=f"{source}/_config.yml",
                    confoverrides=settings, warningiserror=True, keep_going=True, quiet=True)
sys.exit(done if isinstance(done, int) else str(done))
"""


def look_hash() -> str:
    """A hash over what all pages are made with. Sphinx copies nothing where no page has changed."""
    pictures = (ROOT / "book").glob("*.svg")
    folders = (ROOT / "book" / "_static", ROOT / "book" / "_templates", ROOT / "tools" / "ext")
    return _hash([*folders, *pictures])


def _hash(places: list[Path]) -> str:
    """Over every file below the places, but for what Python or an editor leaves beside them."""
    files = {file for place in places for file in ([place] if place.is_file() else place.rglob("*"))}
    digest = hashlib.sha256()
    for path in sorted(files):
        name = path.relative_to(ROOT)
        if path.is_file() and not any(part == "__pycache__" or part.startswith(".") for part in name.parts):
            digest.update(name.as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _drop(folder: Path) -> None:
    """Remove a folder, or fail: what is stale must not survive half removed."""
    if folder.exists():
        shutil.rmtree(folder)


def drop_what_is_stale(look: str, folder: Path) -> bool:
    """Drop pages of another look, or of a build that failed; return whether pages are left to use."""
    pages = folder / PAGES
    current = pages.is_file() and pages.read_text() == look
    pages.unlink(missing_ok=True)
    if not current:
        _drop(folder / ".doctrees")
    return current


def command_for(folder: Path, *, links: bool) -> list[str]:
    """What builds the pages; for students, from contents of their own that are written here."""
    if folder == BUILD:
        words = ["build", str(ROOT), "-W", "-n", "--keep-going", "-q", *(["--builder", "linkcheck"] * links)]
        return [sys.executable, "-c", PROGRAM, *words]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "_toc.yml").write_text(contents((ROOT / "_toc.yml").read_text(encoding="utf-8")), "utf-8")
    _drop(folder / "html")  # or a page that went with its solution would stay
    return [sys.executable, "-c", COPY, str(ROOT), str(folder), str(BUILD / ".jupyter_cache")]


def build(*, clean: bool = False, links: bool = False, students: bool = False) -> int:
    """Build with warnings as errors, stale outputs dropped first; with ``links``, try the outside links."""
    folder = BUILD / STUDENTS if students else BUILD
    if clean:
        _drop(folder)
    look = look_hash()
    current = drop_what_is_stale(look, folder)
    environment = {
        **os.environ,
        "SEGCORE_STATIC": "1",
        "SEGCORE_FIGURES": "svg",
        "TQDM_DISABLE": "1",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),  # two kernels' threads would only wait
        "SOURCE_DATE_EPOCH": os.environ.get("SOURCE_DATE_EPOCH", "1767225600"),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
    chapters = Chapters(ROOT, BUILD)
    ran, failures = chapters.run(environment)
    if failures:
        print(
            "\n\n".join([*failures, f"{len(failures)} pages failed; the book is not built."]), file=sys.stderr
        )
        return 1
    command = command_for(folder, links=links)
    # Sphinx does not see that a page's outputs are new: the extension `course_outputs` tells it.
    environment["COURSE_RAN"] = " ".join(ran)
    code = subprocess.run(command, env=environment, cwd=ROOT, check=False).returncode
    if changed := chapters.forget_what_changed_meanwhile():
        print(f"What they import changed while the book was built; these run again: {', '.join(changed)}")
    elif code == 0 and (not links or (current and not ran)):  # a try of the links alone writes no pages
        (folder / PAGES).write_text(look)
    if code == 0 and students and (found := leaks(folder / "html", ROOT)):
        print("\n".join(["The students' copy holds what it must not:", *found]), file=sys.stderr)
        return 1
    if code == 0 and not links:
        print(f"The book is built: {(folder / 'html' / 'index.html').relative_to(ROOT)}")
    return code


class Pages(http.server.SimpleHTTPRequestHandler):
    """Answers as a host of static pages does: what is missing, with the book's own page for lost readers.

    Beside the pages it knows what stands passed in the labs on this machine, and the pages show it.
    """

    def do_GET(self) -> None:
        """Send a file, or the labs' progress as it now is."""
        if self.path.partition("?")[0] != "/progress.json":
            return super().do_GET()
        from segcore.checks.progress import read  # takes a moment, and not every page asks for it

        body = json.dumps({"exercises": read()}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Send ``404.html`` where nothing is found."""
        lost = Path(self.directory) / "404.html"
        if code != 404 or not lost.is_file():
            return super().send_error(code, message, explain)
        body = lost.read_bytes()
        self.send_response(code)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def list_directory(self, path: Any) -> None:
        """A folder without a page is as good as missing."""
        self.send_error(404)


def serve(port: int, *, students: bool = False) -> int:
    """Serve the built book on this machine alone."""
    html = (BUILD / STUDENTS if students else BUILD) / "html"
    if not html.exists():
        print("There is no built book yet: run `make book` first.", file=sys.stderr)
        return 1
    handler = functools.partial(Pages, directory=str(html))
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        print(f"The book is at http://127.0.0.1:{server.server_port}/ (Ctrl-C stops it)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return 0
    return 0


def main() -> int:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    build_parser = commands.add_parser("build", help="build the book, warnings as errors")
    build_parser.add_argument("--clean", action="store_true", help="build from nothing")
    serve_parser = commands.add_parser("serve", help="serve the built book on localhost")
    serve_parser.add_argument("--port", type=int, default=8000)
    for each in (build_parser, serve_parser):
        each.add_argument("--students", action="store_true", help="the copy without solutions")
    commands.add_parser("links", help="try every link that leaves the book")
    arguments = parser.parse_args()
    if arguments.command == "serve":
        return serve(arguments.port, students=arguments.students)
    if arguments.command == "links":
        return build(links=True)
    return build(clean=arguments.clean, students=arguments.students)


if __name__ == "__main__":
    sys.exit(main())
