"""Pasting 100 soft masks of 28 × 28 cells into an image of 800 × 1333 pixels, beside torchvision's.

The boxes resemble a detector's answers: centres anywhere in the image, the square root of the area
log-uniform from 16 to 400 pixels, the ratio of the sides log-uniform from 1:2 to 2:1, cut at the image's
border, from a fixed seed. Each gives 100 soft masks in float32, 427 MB. Most of that is zero: torchvision
writes every one of these zeros twice, ours leaves them as the system hands them out and touches only what a
mask covers. So one row also adds the masks up afterwards, which reads all of them.

The method "torchvision" gives torchvision's numbers. The method "exact" gives those of detectron2, whose way
is `grid_sample` over the whole image; it is written out here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import grid_sample
from torchvision.models.detection.roi_heads import paste_masks_in_image

from benchmarks import Case
from segcore.mask_rcnn import paste_masks

TITLE = "14 Mask R-CNN"
PACKAGES = ("torch", "torchvision")
SIZE, COUNT, CELLS = (800, 1333), 100, 28


def detections(count: int, smallest: float, largest: float, generator: torch.Generator) -> Tensor:
    """Boxes (count, 4) in pixels of the image, none without area."""
    extent = torch.tensor([SIZE[1], SIZE[0]], dtype=torch.float32)
    centre = torch.rand(count, 2, generator=generator) * extent
    side = smallest * (torch.rand(count, generator=generator) * math.log(largest / smallest)).exp()
    stretch = (torch.rand(count, generator=generator) - 0.5).exp2()
    half = torch.stack([side * stretch, side / stretch], dim=1) / 2
    return torch.cat([centre - half, centre + half], dim=1).clamp(min=0).minimum(extent.repeat(2))


def by_grid_sample(masks: Tensor, boxes: Tensor) -> Tensor:
    """Every pixel of the image asked for every mask, as detectron2 does."""
    places = []
    for axis in (0, 1):
        pixel = torch.arange(SIZE[1 - axis]) + 0.5
        low, high = boxes[:, axis, None], boxes[:, axis + 2, None]
        places.append((pixel - low) / (high - low) * 2 - 1)
    u = places[0][:, None, :].expand(-1, SIZE[0], -1)
    v = places[1][:, :, None].expand(-1, -1, SIZE[1])
    return grid_sample(masks[:, None], torch.stack([u, v], dim=-1), align_corners=False)[:, 0]


def cases() -> Iterator[Case]:
    generator = torch.Generator().manual_seed(0)
    boxes = detections(COUNT, 16, 400, generator)
    masks = torch.rand(COUNT, CELLS, CELLS, generator=generator)
    theirs = masks[:, None]
    peer = "torchvision"
    yield Case(
        "100 masks, method torchvision",
        lambda: paste_masks(masks, boxes, SIZE, "torchvision"),
        lambda: paste_masks_in_image(theirs, boxes, SIZE)[:, 0],
        peer,
        5.0,
    )
    yield Case(
        "100 masks, method torchvision, and their sum",
        lambda: paste_masks(masks, boxes, SIZE, "torchvision").sum(0),
        lambda: paste_masks_in_image(theirs, boxes, SIZE)[:, 0].sum(0),
        peer,
    )
    yield Case(
        "100 masks, method exact",
        lambda: paste_masks(masks, boxes, SIZE),
        lambda: by_grid_sample(masks, boxes),
        "grid_sample",
    )
