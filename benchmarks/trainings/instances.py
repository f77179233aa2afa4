"""The Mask R-CNN that answers in the page: what its six-bit weights cost.

Nothing is trained here. The library's network, `mask_rcnn_for_scenes`, and the same as it travels to the page
of chapter 14 look at 200 scenes that neither has seen. Seed k takes other scenes.
"""

from __future__ import annotations

import base64
from typing import Any

from benchmarks.trainings.mask_rcnn import HELD_OUT, SIZE, detected
from segcore.data.scenes import make_scenes
from segcore.instance_metrics import evaluate_instances
from segcore.mask_rcnn import instance_targets, mask_rcnn_for_scenes
from segcore.widgets.detectors import export_detector, import_detector

TITLE = "14 Mask R-CNN in the page: weights of six bits"


def run(seed: int) -> dict[str, Any]:
    """Bytes of the weights, and COCO's numbers for masks before and after they were packed."""
    network = mask_rcnn_for_scenes()
    described = export_detector(network, (SIZE, SIZE))
    weights = [base64.b64decode(part["weights"]) for part in described["parts"].values()]
    scenes = make_scenes(HELD_OUT, SIZE, seed=1, start=HELD_OUT * seed)
    truths = instance_targets(scenes.instances, scenes.object_classes)
    result: dict[str, Any] = {"bytes": sum(map(len, weights)), "scenes": HELD_OUT}
    for name, each in (("float32", network), ("int6", import_detector(described))):
        table = evaluate_instances(detected(each, scenes.image)[0], truths)
        result[name] = {key: round(table[key], 4) for key in ("AP", "AP50", "AP75")}
    return result
