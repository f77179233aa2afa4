"""Build the book, serve what was built, or try its links: ``python tools/book.py build|serve|links``.

A build is a no-op to the reader when nothing changed. Jupyter Book's cache does not see the library: when
`segcore` or the lock file changes, the stored outputs of the chapters are stale, so the cache is dropped.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import http.server
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "_build"
STAMP = BUILD / ".library-hash"


def library_hash() -> str:
    """A hash over what the chapters' outputs depend on beside their own text."""
    files = [p for p in (ROOT / "segcore").rglob("*") if p.suffix in {".py", ".js", ".css", ".json"}]
    return _hash([*files, *(ROOT / "book" / "results").glob("*.json"), ROOT / "requirements.lock"])


def look_hash() -> str:
    """A hash over what all pages are made with. Sphinx copies nothing where no page has changed."""
    folders = (ROOT / "book" / "_static", ROOT / "tools" / "ext")
    files = [p for folder in folders for p in folder.rglob("*") if p.suffix in {".py", ".css", ".svg"}]
    return _hash([*files, *(ROOT / "book").glob("*.svg")])


def _hash(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def build(*, clean: bool = False, links: bool = False) -> int:
    """Build with warnings as errors, stale outputs dropped first; with ``links``, try the outside links."""
    if clean:
        shutil.rmtree(BUILD, ignore_errors=True)
    now = f"{library_hash()}\n{look_hash()}\n"
    before = STAMP.read_text() if STAMP.exists() else ""
    if before != now:
        shutil.rmtree(BUILD / ".doctrees", ignore_errors=True)
    if before.split("\n")[0] != now.split("\n")[0]:
        shutil.rmtree(BUILD / ".jupyter_cache", ignore_errors=True)
    environment = {
        **os.environ,
        "SEGCORE_STATIC": "1",
        "TQDM_DISABLE": "1",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),  # two kernels' threads would only wait
        "SOURCE_DATE_EPOCH": os.environ.get("SOURCE_DATE_EPOCH", "1767225600"),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
    program = "from jupyter_book.cli.main import main; main()"
    command = [sys.executable, "-c", program, "build", str(ROOT), "-W", "-n", "--keep-going", "-q"]
    if links:
        command += ["--builder", "linkcheck"]
    code = subprocess.run(command, env=environment, cwd=ROOT, check=False).returncode
    if links:
        return code
    if code == 0:
        BUILD.mkdir(exist_ok=True)
        STAMP.write_text(now)
        print(f"The book is built: {(BUILD / 'html' / 'index.html').relative_to(ROOT)}")
    return code


def serve(port: int) -> int:
    """Serve the built book on this machine alone."""
    html = BUILD / "html"
    if not html.exists():
        print("There is no built book yet: run `make book` first.", file=sys.stderr)
        return 1
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(html))
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        print(f"The book is at http://127.0.0.1:{server.server_port}/ (Ctrl-C stops it)")
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
    commands.add_parser("links", help="try every link that leaves the book")
    arguments = parser.parse_args()
    if arguments.command == "serve":
        return serve(arguments.port)
    return build(links=True) if arguments.command == "links" else build(clean=arguments.clean)


if __name__ == "__main__":
    sys.exit(main())
