"""Confusion matrix and mean IoU beside torchmetrics and scikit-learn, boundary F-score beside scipy.

The maps are as large as ten images of Cityscapes, 10 × 1024 × 2048 pixels with 19 classes: regions of about
32 × 32 pixels, a twentieth of them ignored (255), in the prediction five pixels too far down and to the
right. "Checked" is torchmetrics as it comes, which looks for labels that are no class, as ours always does;
"unchecked" is with `validate_args=False`, which does not. The matrices are equal to the last pixel.

scikit-learn gets one image of 1024 × 2048, without its ignored pixels, which it cannot leave out itself.
The peer of the boundary F-score, on 256 × 512 pixels with a tolerance of 3, is the definition written
with scipy's exact Euclidean distance transform, twice for each class. In the noisy maps a tenth of all pixels
is of any class (salt and pepper, other pixels in the prediction than in the truth), so that nearly half of
them are boundary.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from scipy.ndimage import binary_erosion, distance_transform_edt
from sklearn import metrics as sklearn
from torch import Tensor
from torchmetrics.functional import classification as torchmetrics

from benchmarks import Case
from segcore.metrics import boundary_f1, confusion_matrix, mean_iou

TITLE = "03 Metrics"
PACKAGES = ("torch", "torchmetrics", "scikit-learn", "scipy")
CLASSES = 19


def maps() -> tuple[Tensor, Tensor]:
    """Prediction and truth, int64 (10, 1024, 2048)."""
    generator = torch.Generator().manual_seed(0)
    regions = torch.randint(CLASSES, (10, 32, 64), generator=generator)
    wide = regions.repeat_interleave(32, 1).repeat_interleave(32, 2)
    prediction = wide.roll((5, 5), (1, 2))
    ignored = torch.rand(regions.shape, generator=generator) < 0.05
    target = wide.masked_fill(ignored.repeat_interleave(32, 1).repeat_interleave(32, 2), 255)
    return prediction, target


def with_noise(labels: Tensor, seed: int) -> Tensor:
    """The map with a tenth of its pixels of any class."""
    generator = torch.Generator().manual_seed(seed)
    anything = torch.randint(CLASSES, labels.shape, generator=generator)
    return torch.where(torch.rand(labels.shape, generator=generator) < 0.1, anything, labels)


def boundary_by_distance(prediction: Tensor, target: Tensor, tolerance: float) -> Tensor:
    """The definition; inside its image every pixel of these maps counts."""
    scores = []
    for number in range(CLASSES):
        edges = []
        for labels in (prediction, target):
            mask = (labels == number).numpy()
            edges.append(mask & ~binary_erosion(mask, border_value=1))
        shares = [
            (distance_transform_edt(~other)[one] <= tolerance).mean() for one, other in (edges, edges[::-1])
        ]
        scores.append(2 / (1 / shares[0] + 1 / shares[1]) if all(shares) else math.nan)
    return torch.tensor(scores, dtype=torch.float64)


def of_one_image(prediction: Tensor, target: Tensor) -> Iterator[Case]:
    counted = target != 255
    pair = target[counted], prediction[counted]
    arrays = [labels.numpy() for labels in pair]
    yield Case(
        "Confusion matrix, one image",
        lambda: confusion_matrix(pair[1], pair[0], CLASSES),
        lambda: torch.from_numpy(sklearn.confusion_matrix(*arrays)),
        "scikit-learn",
    )
    part = prediction[:256, :512]
    moved = part.roll((2, 2), (0, 1))
    yield Case(
        "Boundary F-score, 256 × 512",
        lambda: boundary_f1(moved, part, 3, CLASSES),
        lambda: boundary_by_distance(moved, part, 3),
        "scipy",
    )
    noisy = with_noise(moved, 1), with_noise(part, 2)
    yield Case(
        "Boundary F-score, 256 × 512, noisy",
        lambda: boundary_f1(*noisy, 3, CLASSES),
        lambda: boundary_by_distance(*noisy, 3),
        "scipy",
        goal=5,
    )


def cases() -> Iterator[Case]:
    prediction, target = maps()
    small = prediction.byte(), target.byte()
    options = {"num_classes": CLASSES, "ignore_index": 255}

    def theirs(checked: bool, maps: tuple[Tensor, Tensor] = (prediction, target)) -> Tensor:
        return torchmetrics.multiclass_confusion_matrix(*maps, validate_args=checked, **options)

    def ours(maps: tuple[Tensor, Tensor] = (prediction, target)) -> Tensor:
        return confusion_matrix(*maps, CLASSES)

    yield Case("Confusion matrix, int64", ours, lambda: theirs(True), "torchmetrics, checked", goal=3)
    yield Case("Confusion matrix, int64", ours, lambda: theirs(False), "torchmetrics, unchecked", goal=3)
    yield Case(
        "Confusion matrix, uint8",
        lambda: ours(small),
        lambda: theirs(False, small),
        "torchmetrics, unchecked",
    )
    yield Case(
        "Mean IoU, int64",
        lambda: mean_iou(ours()),
        lambda: torchmetrics.multiclass_jaccard_index(prediction, target, validate_args=False, **options),
        "torchmetrics, unchecked",
        goal=3,
    )
    yield from of_one_image(prediction[0], target[0])
