"""The second widget of chapter 14: a Mask R-CNN that finds the objects of a scene as the reader moves them.

The scene is rendered in the page, so its truth is known, and the whole detector runs there, from anchors to
pasted masks: ``static/kit/detector.js``. Its weights are those of `segcore.mask_rcnn.mask_rcnn_for_scenes`,
in six bits; ``python -m benchmarks.trainings instances --write`` measures what that costs.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import traitlets

from segcore.widgets.base import CourseWidget
from segcore.widgets.scene import SIZE, MovedScene, stored_worlds

__all__ = ["InstancesWidget"]

STAGES = ("proposals", "boxes", "soft", "masks")
LEAST, MOST = 0.05, 0.95


@lru_cache(maxsize=1)
def _detector() -> dict[str, Any]:
    """The library's network as the page has it."""
    from segcore.mask_rcnn import mask_rcnn_for_scenes
    from segcore.widgets.detectors import export_detector

    return export_detector(mask_rcnn_for_scenes(), (SIZE, SIZE))


class InstancesWidget(MovedScene, CourseWidget):
    """A scene to rearrange by hand, and the instances that a Mask R-CNN finds in it.

    Attributes:
        scene, objects, lamp, chosen, data: see `MovedScene`.
        stage: what is shown of the answer: "proposals", "boxes", "soft" or "masks".
        threshold: the score from which on a detection is shown and counted, 0.05 to 0.95.
        picked: which of these detections is chosen, the surest first, from 0.

    Example:
        >>> widget = InstancesWidget(stage="boxes", threshold=0.3)
        >>> sorted(widget.data), sorted(widget.data["detector"]["parts"])
        (['detector', 'size', 'worlds'], ['backbone', 'box_head', 'mask_head', 'proposal_head'])
    """

    _slug = "instances"
    _title = "A scene to move, and the instances that a Mask R-CNN finds in it"

    stage = traitlets.Enum(STAGES, default_value=STAGES[-1]).tag(sync=True)
    threshold = traitlets.Float(0.5).tag(sync=True)
    picked = traitlets.Int(0, min=0, max=31).tag(sync=True)

    @traitlets.default("data")
    def _default_data(self) -> dict[str, Any]:
        return {"size": SIZE, "worlds": stored_worlds(), "detector": _detector()}

    @traitlets.validate("threshold")
    def _check_threshold(self, proposal: Any) -> float:
        if not LEAST <= proposal["value"] <= MOST:
            raise traitlets.TraitError(f"threshold must be from {LEAST} to {MOST}; got {proposal['value']}")
        return proposal["value"]
