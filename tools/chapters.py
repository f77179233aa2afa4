"""Which chapters must run again, and their runs, side by side.

Jupyter Book's cache knows a chapter by its own code; it sees nothing of what that code imports, and it runs
one chapter after the other. Here a chapter's outputs depend on its code, on every module of `segcore` that it
imports, directly or not, on the files that stand beside these modules, on `book/results` where it reads them,
and on the lock. `_build/.chapters.json` says from which state of all that each chapter's outputs come. Where
that state has gone, the outputs leave the cache, and the chapter is run here; Jupyter Book then finds all of
them.
"""

from __future__ import annotations

import ast
import fnmatch
import hashlib
import json
import os
import re
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import yaml

ANSI = re.compile(r"\x1b\[[0-9;]*m")


class Library:
    """The modules of a package and what each depends on, read from their source."""

    def __init__(self, root: Path, package: str = "segcore") -> None:
        self.modules: dict[str, Path] = {}
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            self.modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
        self.package = package
        self._direct: dict[str, set[str]] = {}

    def reached(self, names: Iterable[str]) -> set[str]:
        """All modules that importing these names imports, the packages above each of them too."""
        found: set[str] = set()
        queue = list(names)
        while queue:
            name = queue.pop()
            above = [name.rsplit(".", n)[0] for n in range(name.count(".") + 1)]
            hits = {each for each in above if each in self.modules}
            if name.endswith(".*"):
                hits |= {each for each in self.modules if each.startswith(name[:-1])}
            for module in hits - found:
                found.add(module)
                queue += self._imports(module)
        return found

    def _imports(self, module: str) -> set[str]:
        if module not in self._direct:
            path = self.modules[module]
            here = module if path.stem == "__init__" else module.rpartition(".")[0]
            self._direct[module] = imported(path.read_text(encoding="utf-8"), here)
        return self._direct[module]

    def files(self, modules: set[str]) -> set[Path]:
        """The modules' files, and those beside them that are no modules.

        What bears another module's name (``static/skips.js``, ``stills/skips-wide.webp``) is that one's
        alone; the widgets' kit is everybody's.
        """
        found = set()
        for module in modules:
            path = self.modules[module]
            found.add(path)
            others = {each.stem for each in path.parent.glob("*.py")} - {path.stem}
            inner = {each.parent for each in path.parent.glob("*/**/__init__.py")}
            for file in path.parent.rglob("*"):
                shared = file.parent.name == "kit" or file.stem.split("-")[0] not in others
                if (
                    shared
                    and not inner & set(file.parents)
                    and file.is_file()
                    and file.suffix not in {".py", ".pyc"}
                    and file.name[0] != "."
                ):
                    found.add(file)
        return found


def imported(code: str, package: str = "") -> set[str]:
    r"""The names that code imports; ``package.*`` where it decides that only when it runs.

    Example:
        >>> sorted(imported("from segcore import viz\nimport torch.nn"))
        ['segcore', 'segcore.viz', 'torch.nn']
    """
    found: set[str] = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Name | ast.Attribute):
            name = node.id if isinstance(node, ast.Name) else node.attr
            if name in {"import_module", "__import__", "walk_packages"}:
                found.add(f"{package or 'segcore'}.*")
    return found


def code_of(cells: list[str]) -> str:
    """The cells as one text of Python, magics left out."""
    plain = [cell for cell in cells if not cell.lstrip().startswith("%%")]
    lines = "\n".join(plain).split("\n")
    return "\n".join(
        line[: len(line) - len(line.lstrip())] + "pass" if line.lstrip()[:1] in {"%", "!"} else line
        for line in lines
    )


def depends_on(root: Path, library: Library, cells: list[str]) -> set[Path]:
    """The files that a page's outputs depend on beside its own code."""
    try:
        code = code_of(cells)
        names = imported(code)
        reads = any(
            isinstance(node, ast.Constant) and isinstance(node.value, str) and "results" in node.value
            for node in ast.walk(ast.parse(code))
        )
    except SyntaxError:  # not to be understood: on everything
        names, reads = {f"{library.package}.*"}, True
    found = library.files(library.reached(names)) | {root / "requirements.lock"}
    if reads:
        found |= {path for path in (root / "book" / "results").rglob("*") if path.is_file()}
    return found


def state_of(root: Path, files: Iterable[Path], cells: list[str]) -> str:
    """A hash over files and cells."""
    digest = hashlib.sha256(json.dumps(cells).encode())
    for path in sorted(files):
        if path.is_file():
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def pages(root: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """The pages of the table of contents that are run at a build, as notebooks, by their names."""
    from myst_nb.core.read import is_myst_markdown_notebook, myst_nb_reader_plugin

    if settings.get("execute_notebooks") != "cache":
        return {}
    listed = re.findall(r"^[\s-]*(?:file|root): (\S+)", (root / "_toc.yml").read_text(encoding="utf-8"), re.M)
    found = {}
    for name in listed:
        path = root / f"{name}.md"
        if any(fnmatch.fnmatch(name, pattern) for pattern in settings.get("exclude_patterns", [])):
            continue
        if path.is_file() and is_myst_markdown_notebook(path.read_text(encoding="utf-8")):
            found[name] = myst_nb_reader_plugin(str(path))
    return found


class Chapters:
    """The pages that are run at a build, and what is known of their outputs."""

    def __init__(self, root: Path, build: Path) -> None:
        self.root, self.record = root, build / ".chapters.json"
        self.cache_path = build / ".jupyter_cache"
        self.known: dict[str, str] = {}
        if self.record.is_file():
            self.known = json.loads(self.record.read_text(encoding="utf-8"))
        settings = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8")).get("execute", {})
        self.timeout = settings.get("timeout", 30)  # Jupyter Book's own
        self.pages = pages(root, settings)
        self.states = self.now()

    def now(self) -> dict[str, str]:
        """The state that each page's outputs should come from."""
        library, states = Library(self.root), {}
        for name, notebook in self.pages.items():
            cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
            states[name] = state_of(self.root, depends_on(self.root, library, cells), cells)
        return states

    def keep(self) -> None:
        """Write what is known, all or nothing."""
        self.record.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.record.with_suffix(".tmp")
        temporary.write_text(json.dumps(self.known, indent=1, sort_keys=True), encoding="utf-8")
        temporary.replace(self.record)

    def run(self, environment: dict[str, str]) -> tuple[list[str], list[str]]:
        """Run what must run; return the pages that ran, and of those that failed the last words."""
        from jupyter_cache import get_cache

        self.known = {name: state for name, state in self.known.items() if self.states.get(name) == state}
        cache = get_cache(str(self.cache_path))
        records = cache.list_cache_records()
        for record in records:
            if self._page_of(record.uri) not in self.known:  # outputs of another state, or of no page
                cache.remove_cache(record.pk)
        self.keep()
        kept = {self._page_of(record.uri) for record in cache.list_cache_records()}
        due = [name for name in self.pages if name not in kept]
        if not due:
            return [], []
        print(f"{len(due)} of {len(self.pages)} pages run: {', '.join(due)}", flush=True)
        failures = []
        with ThreadPoolExecutor(min(len(due), os.cpu_count() or 1)) as pool:
            runs = {pool.submit(self._run, name, environment): name for name in due}
            try:
                for run in as_completed(runs):
                    name, (seconds, failure) = runs[run], run.result()
                    if failure:
                        failures.append(f"{name}.md: {failure}")
                    else:
                        self._store(cache, name, seconds)
                        print(f"{name}: {seconds:.0f} s", flush=True)
            except BaseException:  # Ctrl-C above all
                pool.shutdown(cancel_futures=True)
                raise
        return due, failures

    def _page_of(self, uri: str) -> str:
        """The name of the page that a record of the cache is of; the folder may have moved since."""
        path = Path(uri).with_suffix("")
        return next(
            (name for name in self.pages if path.parts[-name.count("/") - 1 :] == tuple(name.split("/"))), ""
        )

    def _run(self, name: str, environment: dict[str, str]) -> tuple[float, str]:
        from nbclient import NotebookClient
        from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

        place = {"metadata": {"path": str((self.root / name).parent)}}
        client = NotebookClient(
            self.pages[name],
            timeout=self.timeout,
            resources=place,
            record_timing=False,
            extra_arguments=["--log-level=ERROR"],  # each kernel would warn that it speaks over TCP
        )
        started = time.perf_counter()
        try:
            client.execute(env=environment)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            return 0.0, ANSI.sub("", str(error)).strip()
        return time.perf_counter() - started, ""

    def _store(self, cache: Any, name: str, seconds: float) -> None:
        from jupyter_cache.base import CacheBundleIn

        uri, data = str(self.root / f"{name}.md"), {"execution_seconds": seconds}
        cache.cache_notebook_bundle(
            CacheBundleIn(self.pages[name], uri, data=data), check_validity=False, overwrite=True
        )
        self.known[name] = self.states[name]
        self.keep()

    def forget_what_changed_meanwhile(self) -> list[str]:
        """The pages whose state is another than when the build began: they ran with the one or the other."""
        now = self.now()
        changed = [name for name in self.pages if now[name] != self.states[name]]
        for name in changed:
            self.known.pop(name, None)
        self.keep()
        return changed
