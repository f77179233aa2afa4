"""GeometryNet on rendered scenes: depth, normals and labels with one trunk, and each alone.

*three at once* is trained to the end, 1,230 steps of 16 scenes; seed 0's weights are kept in half precision
in ``segcore/data/weights/geometry.pt``; `geometry_net_for_scenes` loads them. Then the question what sharing
costs: one network for each task alone, on the same batches and as long; and all four again, stopped after
200 steps.

All are measured on 200 scenes that none has seen, beside a baseline that looks at no image: for each pixel
the mean depth, the mean normal and the commonest label of the training scenes. The floor is nearly the same
everywhere and flatters it, so the pixels of objects are measured apart, too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from segcore.data.scenes import CLASSES, Scenes, make_scenes
from segcore.geometry import TASKS, GeometryNet, depth_metrics, geometry_loss, normal_metrics
from segcore.metrics import confusion_matrix, mean_iou
from segcore.train import batches, fit, predict

TITLE = "17 Geometry: three tasks with one trunk, and alone"

SIZE, TRAINING, HELD_OUT = 48, 1500, 200
STEPS, FEW, BATCH, RATE = 1230, 200, 16, 1e-2
WEIGHTS = Path(__file__).parents[2] / "segcore" / "data" / "weights" / "geometry.pt"


def measure(found: dict[str, Tensor], truth: Scenes) -> dict[str, float]:
    """The scores of the tasks that were predicted, over all pixels and over those of objects."""
    objects = truth.labels > 0
    scores: dict[str, float] = {}
    if "depth" in found:
        whole = depth_metrics(found["depth"], truth.depth)
        alone = depth_metrics(found["depth"][objects], truth.depth[objects])
        scores |= {"abs_rel": whole["AbsRel"], "silog": whole["SILog"], "delta1": whole["δ1"]}
        scores |= {"abs_rel_objects": alone["AbsRel"], "delta1_objects": alone["δ1"]}
    if "normals" in found:
        whole = normal_metrics(found["normals"], truth.normals)
        scores |= {"angle": whole["mean"], "angle_median": whole["median"]}
        scores["angle_objects"] = normal_metrics(found["normals"], truth.normals, objects)["mean"]
    if "labels" in found:
        labels = found["labels"].argmax(1)
        scores["miou"] = float(mean_iou(confusion_matrix(labels, truth.labels, len(CLASSES))))
    return {name: round(score, 4) for name, score in scores.items()}


def baseline(scenes: Scenes, count: int) -> dict[str, Tensor]:
    """What each pixel shows on average, for as many images as asked."""
    shares = F.one_hot(scenes.labels, len(CLASSES)).float().mean(0).movedim(-1, 0)
    each = {"depth": scenes.depth.mean(0), "normals": scenes.normals.mean(0), "labels": shares}
    return {task: value.expand(count, *value.shape) for task, value in each.items()}


def run(seed: int) -> dict[str, Any]:
    """Train and measure from one seed."""
    scenes, held_out = make_scenes(TRAINING, SIZE, seed=1), make_scenes(HELD_OUT, SIZE, seed=2)
    targets = {"depth": scenes.depth, "normals": scenes.normals, "labels": scenes.labels}

    def train(tasks: tuple[str, ...], steps: int) -> tuple[GeometryNet, dict[str, Any]]:
        torch.manual_seed(seed)
        network = GeometryNet(len(CLASSES), tasks=tasks)
        data = batches(scenes.image, targets, BATCH, seed)
        history = fit(network, data, geometry_loss, steps=steps, lr=RATE, progress=False)
        scores = measure(predict(network, held_out.image), held_out)
        parameters = sum(each.numel() for each in network.parameters())
        ms = round(1000 * history.seconds / history.steps, 1)
        return network, {"parameters": parameters, "steps": steps, "ms": ms, **scores}

    network, whole = train(TASKS, STEPS)
    if seed == 0:
        weights = network.state_dict().items()
        torch.save({name: w.half() if w.is_floating_point() else w for name, w in weights}, WEIGHTS)
    return {
        "mean of each pixel": measure(baseline(scenes, HELD_OUT), held_out),
        "three at once": whole,
        **{f"{task} alone": train((task,), STEPS)[1] for task in TASKS},
        "three at once, few steps": train(TASKS, FEW)[1],
        **{f"{task} alone, few steps": train((task,), FEW)[1] for task in TASKS},
    }
