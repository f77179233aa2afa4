"""Dilation beside shift and stitch, and beside large sparse kernels.

There is no outside peer: both sides are ours, and both give the same numbers. In the first rows *ours* is
`dilate(network, 1)`, the peer is `shift_and_stitch`, which runs the network stride² times. The networks have
random weights and run in float32 without gradients: the lecture's two layers (3 × 3 with stride 2, then
3 × 3; 16 channels) on 256 × 256 pixels, and the first two blocks of VGG-16, poolings included (stride 4), on
64 × 64 pixels.

In the last rows *ours* is a 3 × 3 convolution with dilation, 64 channels in and out on 64 × 64 pixels; the
peer is the same convolution with the sparse kernel filled with zeros, 5 × 5 at dilation 2 and 9 × 9 at
dilation 4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torchvision
from torch import Tensor, nn
from torch.nn.functional import conv2d

from benchmarks import Case
from segcore.dilation import dilate, shift_and_stitch, sparse_kernel

TITLE = "06 Dilation"
PACKAGES = ("torch", "torchvision")


def without_gradient(call: Callable[[], Tensor]) -> Callable[[], Tensor]:
    def run() -> Tensor:
        with torch.no_grad():
            return call()

    return run


def against_shifts(name: str, network: nn.Module, image: Tensor, stride: int) -> Case:
    # Padding makes the borders differ: only what lies inside is compared. The cut costs nothing.
    dilated, inside = dilate(network, 1), (..., slice(24, -1), slice(24, -1))
    return Case(
        f"{name}: {stride * stride} shifts",
        without_gradient(lambda: dilated(image)[inside]),
        without_gradient(lambda: shift_and_stitch(network, image, stride)[inside]),
        "shift and stitch",
    )


def cases() -> Iterator[Case]:
    torch.manual_seed(0)
    lecture = nn.Sequential(nn.Conv2d(3, 16, 3, stride=2), nn.Conv2d(16, 16, 3))
    vgg = torchvision.models.vgg16(weights=None).features
    yield against_shifts("The lecture's two layers", lecture, torch.rand(1, 3, 256, 256), 2)
    yield against_shifts("VGG-16 to pool2", vgg[:10], torch.rand(1, 3, 64, 64), 4)
    image, kernel = torch.rand(1, 64, 64, 64), torch.randn(64, 64, 3, 3)
    for dilation in (2, 4):
        sparse = sparse_kernel(kernel, dilation)
        yield Case(
            f"3 × 3 convolution, dilation {dilation}",
            lambda dilation=dilation: conv2d(image, kernel, dilation=dilation),
            lambda sparse=sparse: conv2d(image, sparse),
            "sparse kernel",
        )
