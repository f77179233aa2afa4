"""Panoptic quality on rendered scenes: a U-Net and Mask R-CNN, merged, and what each of them costs.

A U-Net learns five classes, floor and wall among them, from 2,000 scenes of 96 × 96: 1,200 steps of 8. Seed
0's weights are kept in half precision in ``segcore/data/weights/panoptic.pt``; `semantic_for_scenes` loads
them. The instances come from `mask_rcnn_for_scenes`, whose weights are the same for all seeds. Scored on 200
scenes that neither has seen, five ways:

- ``merged``: both outputs, merged;
- ``components``: no detector; the connected parts of each class of things are its instances;
- ``true_semantic``, ``true_instances``: merged, one of the two outputs replaced by the truth;
- ``all_kept``: merged, but whatever is left of an instance is kept, be it only a rim.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from scipy import ndimage
from torch import Tensor

from segcore.data.scenes import Scenes, make_scenes
from segcore.encoder_decoders import UNet
from segcore.mask_rcnn import mask_rcnn_for_scenes
from segcore.metrics import confusion_matrix, mean_iou
from segcore.panoptic import (
    SCENE_CLASSES,
    SCENE_DEPTH,
    SCENE_STUFF,
    SCENE_THINGS,
    SCENE_WIDTH,
    merge,
    panoptic_quality,
    scene_maps,
)
from segcore.train import batches, cross_entropy, fit, predict

TITLE = "15 Panoptic segmentation of scenes"

SIZE, BATCH, STEPS, HELD_OUT = 96, 8, 1200, 200
WEIGHTS = Path(__file__).parents[2] / "segcore" / "data" / "weights" / "panoptic.pt"

Instances = dict[str, Tensor]


def maps_of(scenes: Scenes) -> Tensor:
    """The true panoptic maps."""
    return scene_maps(scenes.labels, scenes.instances, scenes.normals)


def trained(seed: int) -> tuple[UNet, float]:
    """A U-Net after its steps, in evaluation mode, and the seconds that they took."""
    torch.manual_seed(seed)
    scenes = make_scenes(2000, SIZE, seed=0)
    network = UNet(3, len(SCENE_CLASSES), SCENE_WIDTH, SCENE_DEPTH)
    data = batches(scenes.image, maps_of(scenes)[..., 0], BATCH, seed=seed)
    history = fit(network, data, cross_entropy, STEPS, progress=False)
    return network, history.seconds


def components(semantic: Tensor) -> Instances:
    """Each connected part of a class of things as an instance, the largest the surest."""
    masks, labels = [semantic.new_zeros(0, *semantic.shape, dtype=torch.bool)], []
    for kind in SCENE_THINGS:
        parts, count = ndimage.label((semantic == kind).numpy())
        masks.append(torch.from_numpy(parts) == torch.arange(1, count + 1)[:, None, None])
        labels += [kind] * count
    stacked = torch.cat(masks)
    scores = stacked.flatten(1).sum(1) / semantic.numel()
    return {"masks": stacked, "labels": torch.tensor(labels, dtype=torch.int64), "scores": scores}


def score(predictions: list[Tensor], truths: list[Tensor]) -> dict[str, Any]:
    """PQ, SQ and RQ of the means, and all that is known of each class."""
    found = panoptic_quality(predictions, truths, SCENE_THINGS, SCENE_STUFF)
    rows = {name: found[name] for name in ("all", "things", "stuff")}
    rows |= {SCENE_CLASSES[kind]: row for kind, row in found["per_class"].items()}
    return {name: {key: round(value, 4) for key, value in row.items()} for name, row in rows.items()}


def run(seed: int) -> dict[str, Any]:
    """Train the U-Net from a seed, and score what it makes together with Mask R-CNN."""
    network, seconds = trained(seed)
    if seed == 0:
        state = {name: w.half() if w.is_floating_point() else w for name, w in network.state_dict().items()}
        WEIGHTS.parent.mkdir(exist_ok=True)
        torch.save(state, WEIGHTS)
    scenes = make_scenes(HELD_OUT, SIZE, seed=1)
    truths = list(maps_of(scenes))
    semantic = predict(network, scenes.image, batch_size=50).argmax(1)
    with torch.no_grad():
        detector = mask_rcnn_for_scenes()
        found = [each for part in scenes.image.split(BATCH) for each in detector(part)]
    exact = [
        {"masks": scene.masks, "labels": scene.classes, "scores": torch.ones(len(scene.classes))}
        for scene in scenes
    ]
    true_semantic = [truth[..., 0] for truth in truths]

    def merged(maps: Any, instances: list[Instances], **options: Any) -> dict[str, Any]:
        pairs = zip(maps, instances, strict=True)
        return score([merge(each, of, SCENE_THINGS, **options) for each, of in pairs], truths)

    confusion = confusion_matrix(semantic, torch.stack(true_semantic), len(SCENE_CLASSES))
    return {
        "parameters": sum(each.numel() for each in network.parameters()),
        "steps": STEPS,
        "ms": round(1000 * seconds / STEPS, 1),
        "miou": round(float(mean_iou(confusion)), 4),
        "merged": merged(semantic, found),
        "components": merged(semantic, [components(each) for each in semantic], score_threshold=0),
        "true_semantic": merged(true_semantic, found),
        "true_instances": merged(semantic, exact),
        "all_kept": merged(semantic, found, overlap=0),
    }
