"""Small hand-ins for the tests of grading: chapter 13's solution as cells, and wrong ones."""

from __future__ import annotations

import json
from pathlib import Path

from segcore.checks import exercises
from segcore.checks.variants import handing

ROOT = Path(__file__).parents[1]
IDS = [each.id for each in exercises(13)]
NAMES = {each.id: each.name for each in exercises(13)}
IMPORTS = "import torch\nfrom segcore.checks import check, exercise, progress"


def solutions() -> dict[str, str]:
    """The solved lab's exercise cells."""
    whole = json.loads((ROOT / "solutions" / "13_roi_align.ipynb").read_text(encoding="utf-8"))
    found: dict[str, str] = {}
    for cell in whole["cells"]:
        name = cell["metadata"].get("course", {}).get("exercise", "")
        if cell["cell_type"] == "code" and name and name not in found:
            found[name] = "".join(cell["source"])
    return found


RIGHT = solutions()
HALF = """def bilinear_sample(feature, points):
    _, height, width = feature.shape
    x, y = points.floor().long().unbind(1)
    near = (points >= -0.5).all(1) & (points[:, 0] <= width + 0.5) & (points[:, 1] <= height + 0.5)
    return feature[:, y.clamp(0, height - 1), x.clamp(0, width - 1)] * near"""
ZERO = "def bilinear_sample(feature, points):\n    return torch.zeros(feature.shape[0], len(points))"
ASK = 'bilinear_sample = check("13.2", bilinear_sample)'


def stub(each):
    """The skeleton of an exercise."""
    name = NAMES[each]
    return f'def {name}(*args):\n    """Do it."""\n    # YOUR CODE HERE\n    raise NotImplementedError()'


def document(*sources, slug=""):
    """A notebook of these code cells."""
    cells = [
        {
            "cell_type": "code",
            "id": str(n),
            "metadata": {},
            "source": text,
            "outputs": [],
            "execution_count": None,
        }
        for n, text in enumerate(sources)
    ]
    metadata = {"course": {"slug": slug}} if slug else {}
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": cells}


def save(path, *sources, slug=""):
    """Write a notebook of these code cells."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document(*sources, slug=slug)), encoding="utf-8")
    return path


def lab(path, cells, slug="13_roi_align", checks=True):
    """A lab with these solutions (id: cell); the other exercises are stubs."""
    sources = [IMPORTS]
    for each in IDS:
        sources.append(cells.get(each, stub(each)))
        if checks:
            sources.append(f'{NAMES[each]} = check("{each}", {NAMES[each]})')
    return save(path, *sources, *cells.get("end", []), slug=slug)


def own_lab(path, student, *more, key="", only=("13.1", "13.2")):
    """The solved lab that `variant` makes for a student, cut down to these exercises and their checks."""
    notebook = handing.lab_of(13, student, key, answers=True)
    ids = handing.own_ids(13, student, key)
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    kept = [IMPORTS]
    for each in only:
        kept.append(next(text for text in cells if f"def {NAMES[each]}(" in text))
        kept.append(f'{NAMES[each]} = check("{ids[each]}", {NAMES[each]})')
    return save(path, *kept, *more, slug="13_roi_align")
