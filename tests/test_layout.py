"""The house: every chapter that stands has all its rooms, and nothing stands outside them."""

from __future__ import annotations

import ast
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from segcore.checks import CHAPTERS

ROOT = Path(__file__).parents[1]
SLUGS = {slug: f"{number:02d}_{slug}" for number, slug in ((int(n), s) for n, s in CHAPTERS.items())}
STANDING = sorted(slug for slug, page in SLUGS.items() if (ROOT / f"book/{page}.md").exists())
SUPPORT = {
    "__init__.py",
    "__main__.py",
    "train.py",
    "recipes.py",
    "report.py",
    "checkpoints.py",
    "viz.py",
    "figures.py",
    "inputs.py",
    "color.py",
    "tracing.py",
    "windows.py",
    "detection.py",
    "dilated_layers.py",
    "contours.py",
    "gaussian_filters.py",
    "graph_cuts.py",
    "pixel_graph.py",
    "region_scores.py",
    "watersheds.py",
    "data",
    "checks",
    "grading",
    "prompts",
    "widgets",
    "py.typed",
}
FRONT = {"index", "how_to", "notation", "lecture", "review", "glossary", "benchmarks", "bibliography"}
# Who may import whom: nothing imports upward.
LOWER = {*sys.stdlib_module_names, "maxflow", "numpy", "scipy", "segcore", "torch", "torchvision"}


def names(folder: str, pattern: str) -> set[str]:
    return {path.stem for path in (ROOT / folder).glob(pattern)}


def listed(*options: str) -> list[str] | None:
    """What git knows of; None outside a git checkout."""
    done = subprocess.run(["git", "ls-files", *options], cwd=ROOT, capture_output=True, text=True)
    return None if done.returncode else done.stdout.splitlines()


def test_there_are_eighteen_chapters():
    assert len(SLUGS) == 18
    assert SLUGS["roi_align"] == "13_roi_align"


@pytest.mark.parametrize("slug", STANDING)
def test_a_chapter_has_all_its_rooms(slug):
    page = SLUGS[slug]
    rooms = [
        f"book/{page}.md",
        f"book/teaching/{page}.md",
        f"solutions/{page}.ipynb",
        f"segcore/{slug}.py",
        f"segcore/checks/{slug}.py",
        f"tests/test_{slug}.py",
    ]
    if (ROOT / f"segcore/widgets/{slug}.py").exists():
        rooms += [
            f"segcore/widgets/static/{slug}.js",
            f"segcore/widgets/static/{slug}.css",
            f"tests/widgets/test_{slug}.py",
        ]
    assert [room for room in rooms if not (ROOT / room).is_file()] == []


def test_nothing_stands_without_a_slug():
    known = {SLUGS[slug] for slug in STANDING}
    assert names("book", "*.md") - FRONT == known
    assert names("solutions", "*.ipynb") == known
    modules = {p.name for p in (ROOT / "segcore").iterdir() if p.name != "__pycache__"}
    assert modules - SUPPORT == {f"{slug}.py" for slug in STANDING}


@pytest.mark.skipif(not os.environ.get("CI"), reason="whoever works in labs/ may put there what they like")
def test_a_clean_clone_holds_all_labs_and_nothing_else_beside_them():
    files = listed("labs")
    found = (
        {path.relative_to(ROOT).as_posix() for path in (ROOT / "labs").iterdir()} if files is None else files
    )
    assert sorted(found) == sorted(f"labs/{SLUGS[slug]}.ipynb" for slug in STANDING)


def test_the_table_of_contents_names_every_page():
    def files(node):
        if isinstance(node, dict):
            for key, value in node.items():
                if key in ("file", "root"):
                    yield value
                else:
                    yield from files(value)
        elif isinstance(node, list):
            for item in node:
                yield from files(item)

    pages_listed = set(files(yaml.safe_load((ROOT / "_toc.yml").read_text())))
    folders = ("book", "labs", "solutions", "book/teaching")
    pages = {f"{folder}/{SLUGS[slug]}" for slug in STANDING for folder in folders}
    front = {*FRONT, "teaching/index", "teaching/exam"}
    assert pages_listed == pages | {f"book/{page}" for page in front}


def test_importing_segcore_is_light():
    heavy = ("matplotlib", "ipywidgets", "torchvision")
    code = f"import sys, segcore, segcore.__main__; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("slug", STANDING)
def test_operations_import_nothing_from_above(slug):
    tree = ast.parse((ROOT / f"segcore/{slug}.py").read_text())
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module or "")
    upward = {
        name
        for name in imported
        if name.split(".")[:2]
        in (["segcore", u] for u in ("checks", "widgets", "viz", "figures", "data", "train"))
    }
    assert upward == set()
    assert {name.split(".")[0] for name in imported} <= LOWER


# Under which extra whoever runs these files has what they import: "" is what comes with the library itself.
NEEDS = {
    "segcore": ("", "widgets", "lab", "coco"),
    "solutions": ("", "widgets", "lab"),
    "book": ("", "widgets", "lab", "book"),
    "tools": ("", "widgets", "lab", "book", "coco", "test"),
    "tests": ("", "widgets", "lab", "book", "coco", "test"),
    "benchmarks": ("", "widgets", "lab", "book", "coco", "test"),
}
OPTIONAL = {"nbgrader"}  # the tests that need it are skipped without


def sources(path: Path) -> str:
    """The Python of a module, of a notebook's cells or of a page's code cells, magics left out."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    elif path.suffix == ".md":
        text = "\n".join(re.findall(r"^```\{code-cell\}[^\n]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
        text = re.sub(r"\A---\n.*?^---\n|^:.*$", "", text, flags=re.MULTILINE | re.DOTALL)
    return "\n".join(line for line in text.split("\n") if not line.lstrip().startswith(("%", "!")))


@pytest.mark.parametrize("folder", NEEDS)
def test_what_is_imported_is_declared(folder):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {"": project["dependencies"], **project["optional-dependencies"]}
    declared = {
        re.match(r"[\w.-]+", each)[0].lower().replace("_", "-")
        for name in NEEDS[folder]
        for each in extras[name]
    }
    files = [path for kind in ("py", "ipynb", "md") for path in (ROOT / folder).rglob(f"*.{kind}")]
    here = {path.stem for each in ("tools", "tests") for path in (ROOT / each).rglob("*.py")}
    here |= set(NEEDS) | set(sys.stdlib_module_names) | OPTIONAL
    owners = importlib.metadata.packages_distributions()
    missing = {}
    for path in files:
        for node in ast.walk(ast.parse(sources(path))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            for top in {name.split(".")[0] for name in names} - here:
                if not {owner.lower().replace("_", "-") for owner in owners.get(top, [])} & declared:
                    missing.setdefault(top, path.relative_to(ROOT).as_posix())
    assert files
    assert missing == {}


def test_labs_are_what_their_solutions_generate():
    done = subprocess.run(
        [sys.executable, "tools/labs.py", "check"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_machine_path_is_committed():
    files = listed("-co", "--exclude-standard")
    if files is None:
        pytest.skip("not a git checkout")
    bad = []
    for name in files:
        path = ROOT / name
        if name.startswith("labs/"):
            continue  # the reader's own; a lab that nobody touched holds nothing that its solution lacks
        if path.is_file() and path.suffix not in {".png", ".ico"} and path != Path(__file__):
            text = path.read_text(encoding="utf-8", errors="replace")
            bad += [name for needle in ("/work/", "/root/", "/home/", "/tmp/") if needle in text]
    assert bad == []


# ---- A reader goes through it in an afternoon


def code_lines(source: str) -> list[tuple[int, str]]:
    """The lines that compute, with their numbers: no docstrings, no comments, nothing empty."""
    said = set()
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and ast.get_docstring(node) is not None
        ):
            said |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    lines = enumerate(source.splitlines(), 1)
    return [
        (number, line.strip())
        for number, line in lines
        if number not in said and line.strip() and not line.strip().startswith("#")
    ]


MODULES = sorted((ROOT / "segcore").rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_function_is_longer_than_sixty_lines(path):
    source = path.read_text(encoding="utf-8")
    numbers = [number for number, _ in code_lines(source)]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            length = sum(node.lineno <= number <= node.end_lineno for number in numbers)
            assert length <= 60, f"{node.name} has {length} lines"
