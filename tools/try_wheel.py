"""Tries an installed wheel of the course, far from its copy: ``python tools/try_wheel.py WHEEL [--widgets]``.

Every file of the package that git knows must lie in the wheel. Then, in an empty folder and without looking
at this copy: every module must import (with the extra ``widgets`` all, without it those that need none), the
command line must answer, a check must pass and fail, a network must come with its weights. With ``--widgets``
a widget must write its page and the grader mark a notebook.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NEED_WIDGETS = ("segcore.viz", "segcore.figures", "segcore.widgets")  # what the extra is for

IMPORTS = """
import importlib, json, pkgutil, sys, segcore
wrong = {}
for each in pkgutil.walk_packages(segcore.__path__, "segcore."):
    if not each.name.endswith("__main__"):
        try:
            importlib.import_module(each.name)
        except Exception as error:
            wrong[each.name] = f"{type(error).__name__}: {error}"
print(json.dumps([segcore.__file__, wrong]))
"""
CHECK = """
from segcore.checks import check, exercise
right = exercise("13.2").reference
assert check("13.2", right) is right
assert check("13.2", lambda feature, points: feature) is right
"""
WEIGHTS = "from segcore.mask_rcnn import mask_rcnn_for_scenes; mask_rcnn_for_scenes()"
WIDGET = """
from segcore.widgets.roi_align import RoIAlignWidget
page = RoIAlignWidget().to_html()
assert "<script" in page and len(page) > 10_000, len(page)
"""


def missing_files(wheel: Path) -> list[str]:
    """The package's files that git knows and the wheel lacks."""
    done = subprocess.run(
        ["git", "ls-files", "segcore"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    with zipfile.ZipFile(wheel) as archive:
        return sorted(set(done.stdout.split()) - set(archive.namelist()))


def python(*words: str) -> str:
    """Run the environment's Python in an empty folder; what it printed."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"SEGCORE_PROGRESS": "off", "MPLBACKEND": "agg"}
    with tempfile.TemporaryDirectory() as empty:
        done = subprocess.run(
            [sys.executable, *words], cwd=empty, env=environment, capture_output=True, text=True
        )
    if done.returncode:
        raise SystemExit(f"{' '.join(words)[:80]} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout


def notebook() -> dict[str, object]:
    """A hand-in with one right answer."""
    code = (
        "import torch\nfrom segcore.checks import check\n\n"
        "def quantization_error(boxes, spatial_scale):\n"
        "    cells = boxes * spatial_scale\n"
        "    cells = cells.sign() * (cells.abs() + 0.5).floor()\n"
        "    far = torch.maximum(cells[:, 2:], cells[:, :2]) + 1\n"
        "    return torch.cat([cells[:, :2], far], dim=1) / spatial_scale - boxes",
        'quantization_error = check("13.1", quantization_error)',
    )
    cells = [
        {"cell_type": "code", "metadata": {}, "source": text, "outputs": [], "execution_count": None}
        for text in code
    ]
    return {"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": cells}


def main() -> int:
    """Try it, and say what was tried."""
    parser = argparse.ArgumentParser(prog="python tools/try_wheel.py", description=__doc__)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--widgets", action="store_true", help="with what the extra `widgets` brings")
    asked = parser.parse_args()
    if missing := missing_files(asked.wheel):
        raise SystemExit(f"{asked.wheel.name} lacks {', '.join(missing)}")
    place, wrong = json.loads(python("-c", IMPORTS).strip().split("\n")[-1])
    if Path(place).is_relative_to(ROOT) and "site-packages" not in place:
        raise SystemExit(f"segcore came from {place}, not from a wheel")
    left = {} if asked.widgets else {name for name in wrong if name.startswith(NEED_WIDGETS)}
    if bad := {name: said for name, said in wrong.items() if name not in left}:
        raise SystemExit("\n".join(f"{name} cannot be imported: {said}" for name, said in bad.items()))
    if unhelpful := [name for name in left if "pip install 'segcore[widgets]'" not in wrong[name]]:
        raise SystemExit(f"these do not say what to install: {', '.join(unhelpful)}")
    assert "grade" in python("-m", "segcore", "--help")
    for code in (CHECK, WEIGHTS, *([WIDGET] if asked.widgets else [])):
        python("-c", code)
    if asked.widgets:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "lab.ipynb"
            path.write_text(json.dumps(notebook()), encoding="utf-8")
            words = ("-m", "segcore", "grade", str(path), "--exercise", "13.1", "--csv", "-")
            said = python(*words)
            assert ",passed,1,1," in said, said
    print(f"{asked.wheel.name}: {len(left)} modules need the extra widgets, all else works")
    return 0


if __name__ == "__main__":
    sys.exit(main())
