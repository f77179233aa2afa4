"""What a fully connected field makes of a coarse network.

FCN-32s is trained on scenes of 96 × 96 as in chapter 7, 500 steps of 16. Its predictions on 100 scenes that
it has not seen are scored before and after mean field: mean IoU, and the F-score of boundaries within 1 and
2 pixels. The field's widths and weights are the best of a few, by mean IoU on 30 scenes of the training
set.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor

from benchmarks.trainings.skips import BATCH, SIZE, STEPS, flipped, training_scenes
from segcore.crf import mean_field
from segcore.data.scenes import CLASSES, make_scenes
from segcore.metrics import boundary_f1, confusion_matrix, mean_iou
from segcore.skips import FCN32s
from segcore.train import batches, cross_entropy, fit, predict

TITLE = "A fully connected field after FCN-32s"

HELD_OUT, TUNED_ON = 100, 30
FIELDS = [
    {"bilateral_sigma": wide, "color_sigma": color, "bilateral_weight": weight}
    for wide, color, weight in itertools.product((15, 30), (13, 25), (4, 10))
]


def sharpened(logits: Tensor, images: Tensor, **field: float) -> Tensor:
    """Labels after mean field, image by image."""
    unary = -logits.log_softmax(1).clamp(min=-14)
    return torch.stack([mean_field(*each, **field).argmax(0) for each in zip(unary, images, strict=True)])


def scores(found: Tensor, labels: Tensor) -> dict[str, float]:
    """Mean IoU, and boundaries."""
    confusion = confusion_matrix(found, labels, len(CLASSES))
    return {
        "miou": round(float(mean_iou(confusion)), 4),
        "boundary_f1_1px": round(float(boundary_f1(found, labels, 1).nanmean()), 4),
        "boundary_f1_2px": round(float(boundary_f1(found, labels, 2).nanmean()), 4),
    }


def run(seed: int) -> dict[str, Any]:
    """Train, choose a field, and score."""
    images, labels = training_scenes()
    held_out = make_scenes(HELD_OUT, SIZE, seed=2)
    torch.manual_seed(seed)
    net = FCN32s(3, len(CLASSES))
    fit(
        net,
        batches(images, labels, BATCH, seed, flipped),
        cross_entropy,
        steps=STEPS,
        lr=3e-3,
        progress=False,
    )
    tune, truth = images[:TUNED_ON], labels[:TUNED_ON]
    logits = predict(net, tune)
    tried = [scores(sharpened(logits, tune, **field), truth)["miou"] for field in FIELDS]
    field = FIELDS[max(range(len(FIELDS)), key=tried.__getitem__)]
    logits = predict(net, held_out.image)
    return {
        "before": scores(logits.argmax(1), held_out.labels),
        "after": scores(sharpened(logits, held_out.image, **field), held_out.labels),
        "field": field,
    }
