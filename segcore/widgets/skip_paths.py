"""The second widget of chapter 7: a trained FCN-8s taken apart into what each of its layers adds.

Behind the scores everything is linear: FCN-8s is the sum of three paths, from fc7, pool4 and pool3. The page
computes each path to the end and beside them the network itself, in which a skip can be off.
"""

from __future__ import annotations

import base64
from typing import Any

import traitlets

from segcore.widgets.base import CourseWidget
from segcore.widgets.scene import SIZE, SceneTraits, networks, stored_worlds

__all__ = ["SkipPathsWidget", "paths"]

LAST = ("upscore8.pad", "upscore8.conv_transpose2d", "getitem_4")
MIDDLE = ("upscore_pool4.pad", "upscore_pool4.conv_transpose2d", "getitem_1")
PATHS = {
    "fc7": ("getitem", MIDDLE + LAST),
    "pool4": ("score_pool4", MIDDLE + LAST),
    "pool3": ("score_pool3", LAST),
}
SUM = "FCN-8s"
PARTS = ("weight", "scale", "bias")  # of a step, each at its own place


def paths(described: dict[str, Any]) -> dict[str, Any]:
    """An FCN-8s that gives beside its scores what each path adds to them, each computed to the end by itself.

    Args:
        described: The stored network *skips*; it stays as it is. What only its other outputs need stays out.

    Returns:
        A network with four outputs, which add up: *fc7*, *pool4*, *pool3*, and *FCN-8s*.
    """
    kept = _needed(described, described["outputs"][SUM])
    number = {0: 0} | {old: new for new, old in enumerate(kept, 1)}
    steps = [described["steps"][n - 1] for n in kept]
    steps = [{**step, "from": [number[each] for each in step["from"]]} for step in steps]
    weights = _packed_again(described, steps)
    by_name = {step["name"]: step for step in steps}
    outputs = {}
    for path, (start, names) in PATHS.items():
        last = next(n for n, step in enumerate(steps, 1) if step["name"] == start)
        for name in names:
            steps.append({**by_name[name], "name": f"{path} alone: {name}", "from": [last]})
            last = len(steps)
        outputs[path] = last
    outputs[SUM] = number[described["outputs"][SUM]]
    return {**described, "steps": steps, "outputs": outputs, "weights": weights}


def _needed(described: dict[str, Any], output: int) -> list[int]:
    """The numbers of the steps that an output needs, in order."""
    found, queue = set(), [output]
    while queue:
        if (n := queue.pop()) and n not in found:
            found.add(n)
            queue += described["steps"][n - 1]["from"]
    return sorted(found)


def _packed_again(described: dict[str, Any], steps: list[dict[str, Any]]) -> str:
    """The weights of these steps alone; in the steps, where they begin now."""
    numbers, packed = base64.b64decode(described["weights"]), bytearray()
    begins = sorted(step[key] for step in described["steps"] for key in PARTS if key in step)
    begins.append(len(numbers))
    for step in steps:
        for key in PARTS:
            if key in step:
                at = step[key]
                packed.extend(bytes(-len(packed) % 4))
                step[key] = len(packed)
                packed.extend(numbers[at : begins[begins.index(at) + 1]])
    return base64.b64encode(packed).decode("ascii")


class SkipPathsWidget(SceneTraits, CourseWidget):
    """What fc7, pool4 and pool3 add to the scores of an FCN-8s, on a scene to move.

    Attributes:
        scene, objects, lamp, chosen, pixel, data: see `SceneTraits`; here a pixel is always read.
        shown: the class whose scores are drawn, from 0 (background) to 3 (cylinder).
        pool4, pool3: whether that skip is on.

    Example:
        >>> list(SkipPathsWidget(pool3=False).data["networks"]["paths"]["outputs"])
        ['fc7', 'pool4', 'pool3', 'FCN-8s']
    """

    _slug = "skip_paths"
    _title = "What each layer of a trained FCN-8s adds to its scores"

    shown = traitlets.Int(2, min=0, max=3).tag(sync=True)
    pool4 = traitlets.Bool(True).tag(sync=True)
    pool3 = traitlets.Bool(True).tag(sync=True)

    @traitlets.default("data")
    def _default_data(self) -> dict[str, Any]:
        found = {"paths": paths(networks("skips")["skips"])}
        answers = [["paths", name] for name in found["paths"]["outputs"]]
        return {"size": SIZE, "worlds": stored_worlds(), "networks": found, "answers": answers}
