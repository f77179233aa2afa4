"""What a fully connected field makes of a coarse network, and how near the fast filter comes to all pairs.

FCN-32s is trained on scenes of 96 × 96 as in chapter 7, 500 steps of 16. Its predictions on 100 scenes that
it has not seen are scored before and after mean field: mean IoU, and the F-score of boundaries within 1 and
2 pixels. The field's widths and weights are the best of a few, by mean IoU on 30 scenes of the training
set.

Seed 0 also compares the filter with the kernel of all pairs on three photographs, 96 × 128 with a bilateral
width of 40 pixels: which share of labels agrees, and the mean difference of probabilities. The costs are
those of a coarse map of brightness with 4 and with 21 labels, and of random smooth logits with noise, which
leave many pixels undecided. `least` is the smallest share of twelve such cases for each of three sizes up
to 120 × 160 (for which the kernel takes some 4.5 GB), with the grid that images of this size get and with
the coarser one of larger images.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.trainings.skips import BATCH, SIZE, STEPS, flipped, training_scenes
from segcore.crf import mean_field
from segcore.data.images import photograph
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


def costs(image: Tensor, labels: int, kind: str) -> Tensor:
    """-log p of a made-up classifier on an image ``(3, H, W)``."""
    size = image.shape[1:]
    if kind == "undecided":
        g = torch.Generator().manual_seed(0)
        logits = F.interpolate(2 * torch.randn(1, labels, 6, 8, generator=g), size, mode="bilinear")[0]
        return -(logits + torch.randn(labels, *size, generator=g)).log_softmax(0)
    bright = F.avg_pool2d(image.mean(0)[None, None], 7, 1, 3)[0, 0]
    bands = torch.bucketize(bright, bright.flatten().quantile(torch.tensor([0.25, 0.5, 0.75])))
    cells = F.avg_pool2d(F.one_hot(bands, labels).movedim(-1, 0)[None].float(), 8)
    return -(0.9 * F.interpolate(cells, size, mode="bilinear")[0] + 0.1 / labels).log()


def agreement() -> dict[str, dict[str, float]]:
    """The filter beside all pairs, on photographs."""
    found = {}
    for name in ("astronaut", "chelsea", "coffee"):
        image = F.interpolate(photograph(name)[None], (96, 128), mode="bilinear", antialias=True)[0]
        image = image.clamp(0, 1)
        for labels, kind in ((4, "coarse"), (21, "coarse"), (5, "undecided")):
            unary = costs(image, labels, kind)
            exact, fast = (mean_field(unary, image, bilateral_sigma=40, exact=e) for e in (True, False))
            found[f"{name}, {labels} labels, {kind}"] = {
                "labels": round(float((exact.argmax(0) == fast.argmax(0)).double().mean()), 4),
                "probabilities": round(float((exact - fast).abs().mean()), 5),
                "changed": round(float((exact.argmax(0) != unary.argmin(0)).double().mean()), 4),
            }
    return found


def least() -> dict[str, dict[str, float]]:
    """The smallest share of labels that agree, for three sizes."""
    found = {}
    for height, width, wide in ((72, 96, 24), (96, 128, 40), (120, 160, 40)):
        shares: dict[str, list[float]] = {"fine": [], "coarse": []}
        for name in ("astronaut", "chelsea", "coffee"):
            image = F.interpolate(photograph(name)[None], (height, width), mode="bilinear", antialias=True)[0]
            image = image.clamp(0, 1)
            for labels, kind in ((4, "coarse"), (21, "coarse"), (5, "undecided"), (21, "undecided")):
                unary = costs(image, labels, kind)
                exact = mean_field(unary, image, bilateral_sigma=wide, exact=True).argmax(0)
                for grid, each in shares.items():
                    fast = mean_field(unary, image, bilateral_sigma=wide, exact=False, fine=grid == "fine")
                    each.append(float((exact == fast.argmax(0)).double().mean()))
        found[f"{height} × {width}"] = {grid: round(min(each), 4) for grid, each in shares.items()}
    return found


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
    result: dict[str, Any] = {
        "before": scores(logits.argmax(1), held_out.labels),
        "after": scores(sharpened(logits, held_out.image, **field), held_out.labels),
        "field": field,
    }
    if seed == 0:
        result["agreement"], result["least"] = agreement(), least()
    return result
