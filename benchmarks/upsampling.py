"""Up-convolution, bilinear resizing and max unpooling beside torch's compiled kernels.

*Up-convolution* is convolutions of the small map, one for each kind of output cell, interleaved. The filters
are those of published networks: 4 × 4 at stride 2 (DCGAN's, FCN's), 2 × 2 at stride 2 (U-Net's), 3 × 3 at
stride 2 (output padding 1), and FCN-32s's 64 × 64 at stride 32.

*Resizing* is two products with sparse matrices of two numbers in a row, with torch's compiled loop over four
neighbours beside it.

Maps are filled with normal random numbers, float32, contiguous. Where a row does not say otherwise, forward
only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks import Case
from segcore.upsampling import max_unpool2d, resize_bilinear, transposed_conv2d

TITLE = "08 Up-sampling"
PACKAGES = ("torch",)


def with_gradient(function: Callable[..., Tensor], *leaves: Tensor) -> Callable[[], Tensor]:
    """Forward and backward; the gradients of all leaves as one tensor."""
    leaves = tuple(leaf.detach().requires_grad_() for leaf in leaves)

    def run() -> Tensor:
        value = function(*leaves)
        gradients = torch.autograd.grad(value, leaves, torch.ones_like(value))
        return torch.cat([gradient.flatten() for gradient in gradients])

    return run


def up_convolutions(generator: torch.Generator) -> Iterator[Case]:
    table = [
        # what, input, output channels, kernel, stride, padding, output padding
        ("4 × 4, stride 2, 256 channels of 32 × 32 to 128", (1, 256, 32, 32), 128, 4, 2, 1, 0),
        ("2 × 2, stride 2, 128 channels of 64 × 64 to 64", (1, 128, 64, 64), 64, 2, 2, 0, 0),
        ("3 × 3, stride 2, 8 × 64 channels of 32 × 32 to 32", (8, 64, 32, 32), 32, 3, 2, 1, 1),
        ("64 × 64, stride 32, 21 channels of 16 × 16 to 21", (1, 21, 16, 16), 21, 64, 32, 16, 0),
    ]
    for what, shape, outputs, kernel, stride, padding, extra in table:
        x = torch.randn(*shape, generator=generator)
        weight = torch.randn(shape[1], outputs, kernel, kernel, generator=generator)
        options = (stride, padding, extra)

        def ours(x: Tensor, weight: Tensor, options: tuple[int, ...] = options) -> Tensor:
            return transposed_conv2d(x, weight, *options)

        def peer(x: Tensor, weight: Tensor, options: tuple[int, ...] = options) -> Tensor:
            return F.conv_transpose2d(x, weight, None, *options)

        for name, run in [("", forward), (", forward and backward", with_gradient)]:
            yield Case(
                f"up-convolution {what}{name}", run(ours, x, weight), run(peer, x, weight), "conv_transpose2d"
            )


def forward(function: Callable[..., Tensor], *args: Tensor) -> Callable[[], Tensor]:
    """Forward only."""
    return lambda: function(*args)


def resizings(generator: torch.Generator) -> Iterator[Case]:
    table = [
        ("21 channels of 16 × 16 to 512 × 512", (1, 21, 16, 16), 512),
        ("21 channels of 64 × 64 to 512 × 512", (1, 21, 64, 64), 512),
        ("256 channels of 14 × 14 to 28 × 28", (1, 256, 14, 14), 28),
        ("8 × 64 channels of 32 × 32 to 64 × 64", (8, 64, 32, 32), 64),
        ("3 channels of 512 × 512 to 768 × 768", (1, 3, 512, 512), 768),
    ]
    for what, shape, size in table:
        x = torch.randn(*shape, generator=generator)

        def ours(x: Tensor, size: int = size) -> Tensor:
            return resize_bilinear(x, size)

        def peer(x: Tensor, size: int = size) -> Tensor:
            return F.interpolate(x, (size, size), mode="bilinear", align_corners=False)

        for name, run in [("", forward), (", forward and backward", with_gradient)]:
            yield Case(f"resize {what}{name}", run(ours, x), run(peer, x), "interpolate")


def cases() -> Iterator[Case]:
    generator = torch.Generator().manual_seed(0)
    yield from up_convolutions(generator)
    yield from resizings(generator)
    before = torch.randn(8, 64, 112, 112, generator=generator)
    pooled, indices = F.max_pool2d(before, 2, return_indices=True)

    def ours(x: Tensor) -> Tensor:
        return max_unpool2d(x, indices, 2)

    def peer(x: Tensor) -> Tensor:
        return F.max_unpool2d(x, indices, 2)

    for name, run in [("", forward), (", forward and backward", with_gradient)]:
        yield Case(
            f"unpool 2 × 2, 8 × 64 channels to 112 × 112{name}",
            run(ours, pooled),
            run(peer, pooled),
            "max_unpool2d",
        )
