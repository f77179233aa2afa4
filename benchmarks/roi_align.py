"""RoIAlign and RoIPool beside torchvision's compiled kernels.

The map has 256 channels of 200 × 304 cells, filled with normal random numbers: the finest level of a
feature pyramid (stride 4) for an image of 800 × 1216 pixels. The boxes resemble a detector's proposals
for that level: centres anywhere in the image, the square root of the area log-uniform from 16 to 112
pixels, the ratio of the sides log-uniform from 1:2 to 2:1, cut at the image's border, from a fixed seed.
*Large* boxes go from 112 to 800 pixels instead. Where a row does not say otherwise, it is RoIAlign,
forward only, with 2 × 2 samples a bin and `aligned` true, in float32.

*Contiguous* maps keep each channel together, *channels-last* maps each pixel. Ours works on channels-last
maps and copies contiguous ones first; torchvision's kernels work on contiguous maps and copy the others.
The copy is part of the time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torchvision import ops

from benchmarks import Case
from segcore.roi_align import roi_align, roi_pool

TITLE = "13 RoIAlign"
PACKAGES = ("torch", "torchvision")
HEIGHT, WIDTH, STRIDE = 200, 304, 4


def proposals(count: int, smallest: float, largest: float, generator: torch.Generator) -> Tensor:
    """Boxes (count, 4) in pixels of the image."""
    extent = torch.tensor([WIDTH, HEIGHT]) * STRIDE
    centre = torch.rand(count, 2, generator=generator) * extent
    size = smallest * (torch.rand(count, generator=generator) * math.log(largest / smallest)).exp()
    stretch = (torch.rand(count, generator=generator) - 0.5).exp2()  # √2:1 to 1:√2 on each side, 2:1 in all
    half = torch.stack([size * stretch, size / stretch], dim=1) / 2
    return torch.cat([centre - half, centre + half], dim=1).clamp(min=0).minimum(extent.repeat(2))


def forward(
    function: Callable[..., Tensor], features: Tensor, boxes: Tensor, *options: object
) -> Callable[[], Tensor]:
    return lambda: function(features, [boxes], *options)


def with_gradient(
    function: Callable[..., Tensor], features: Tensor, boxes: Tensor, *options: object
) -> Callable[[], Tensor]:
    leaf = features.detach().requires_grad_()

    def run() -> Tensor:
        pooled = function(leaf, [boxes], *options)
        return torch.autograd.grad(pooled, leaf, torch.ones_like(pooled))[0]

    return run


def cases() -> Iterator[Case]:
    generator = torch.Generator().manual_seed(0)
    contiguous = torch.randn(1, 256, HEIGHT, WIDTH, generator=generator)
    maps = {
        "contiguous": contiguous,
        "channels-last": contiguous.contiguous(memory_format=torch.channels_last),
    }
    usual, large = proposals(1000, 16, 112, generator), proposals(1000, 112, 800, generator)
    align, pool = (roi_align, ops.roi_align), (roi_pool, ops.roi_pool)
    two, adaptive, none = (1 / STRIDE, 2, True), (1 / STRIDE, -1, True), (1 / STRIDE,)
    table = [
        # what, ours and peer, run, boxes, output size, other options, goal
        ("1000 boxes to 7 × 7", align, forward, usual, 7, two, 2.0),
        ("1000 boxes to 7 × 7, forward and backward", align, with_gradient, usual, 7, two, None),
        ("1000 large boxes to 7 × 7", align, forward, large, 7, two, None),
        ("1000 boxes to 7 × 7, adaptive samples", align, forward, usual, 7, adaptive, None),
        ("100 boxes to 14 × 14", align, forward, usual[:100], 14, two, None),
        ("RoIPool, 1000 boxes to 7 × 7", pool, forward, usual, 7, none, None),
    ]
    for what, (ours, peer), run, boxes, output_size, options, goal in table:
        for layout, features in maps.items():
            yield Case(
                f"{what}, {layout}",
                run(ours, features, boxes, output_size, *options),
                run(peer, features, boxes, output_size, *options),
                "torchvision",
                goal,
            )
