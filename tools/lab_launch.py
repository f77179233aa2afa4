"""Where the course is published, and the cell by which a lab opened elsewhere fetches it.

The address stands in one place: ``repository`` under ``[tool.course]`` in pyproject.toml. From it come the
buttons for Colab and Binder on the pages of the labs (``ext/course_cards.py``) and the first cell of each
lab, so set it and run ``make notebooks``. Without an address there is neither: no button leads nowhere, and
none opens a lab that cannot run.

Colab brings torch and most of what the course needs, in versions of its own that had better stay. So the cell
installs the course without its dependencies, and of these the ones that are missing. Where the course can be
imported, as in `make lab`, on Binder, or when a lab is graded, it does nothing.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROLE = "launch"  # of the cell, in its metadata
# What a lab imports, directly or by the course, and the package that brings it: the dependencies in
# pyproject.toml and those of the extra `widgets`.
NEEDS = {
    "IPython": "ipython",
    "PIL": "pillow",
    "anywidget": "anywidget",
    "filelock": "filelock",
    "ipywidgets": "ipywidgets",
    "matplotlib": "matplotlib",
    "maxflow": "PyMaxflow",
    "numpy": "numpy",
    "scipy": "scipy",
    "skimage": "scikit-image",
    "torch": "torch",
    "torchvision": "torchvision",
    "tqdm": "tqdm",
    "traitlets": "traitlets",
}
CELL = """\
# Where the course is not installed, as in Colab, this fetches it and what it lacks.
# Elsewhere it does nothing.
import subprocess
import sys
from importlib.util import find_spec

if find_spec("segcore") is None:
    install = [sys.executable, "-m", "pip", "install", "--quiet"]
    course = "segcore @ git+https://github.com/{repository}"
    needs = {needs}
    missing = [name for module, name in needs.items() if find_spec(module) is None]
    subprocess.run([*install, "--no-deps", course], check=True)
    if missing:
        subprocess.run([*install, *missing], check=True)"""
_REPOSITORY = re.compile(r"^(?:https://github\.com/)?(?P<name>[\w.-]+/[\w.-]+?)(?:\.git)?/?$")


def find_repository(pyproject: Path) -> str:
    """OWNER/NAME of the published course, or an empty string.

    Raises:
        ValueError: the address is not one of GitHub's, which Colab and Binder need here.
    """
    if not pyproject.exists():
        return ""
    settings = tomllib.loads(pyproject.read_text(encoding="utf-8"))
    stated = settings.get("tool", {}).get("course", {}).get("repository", "")
    matched = _REPOSITORY.match(stated)
    if stated and matched is None:
        raise ValueError(
            f"[tool.course] repository must be https://github.com/OWNER/NAME or empty, got {stated!r}"
        )
    return matched["name"] if matched else ""


def first_cell(repository: str) -> str:
    """The code of a lab's first cell.

    Args:
        repository: OWNER/NAME of the published course.
    """
    lines = "".join(f'        "{module}": "{name}",\n' for module, name in NEEDS.items())
    return CELL.format(repository=repository, needs="{\n" + lines + "    }")


def links(repository: str, path: str, branch: str = "main") -> list[tuple[str, str]]:
    """Names and addresses of the services that can open a notebook of the published course.

    Example:
        >>> links("", "labs/13_roi_align.ipynb")
        []
    """
    if not repository:
        return []
    return [
        ("Open in Colab", f"https://colab.research.google.com/github/{repository}/blob/{branch}/{path}"),
        ("Launch on Binder", f"https://mybinder.org/v2/gh/{repository}/{branch}?labpath={path}"),
    ]
