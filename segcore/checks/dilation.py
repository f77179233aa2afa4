"""Exercises of chapter 6: sparse kernels, shift and stitch, gridding, identity initialisation, dilation.

The references are written apart from `segcore.dilation`. Every mistake is a reference with one thing wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from segcore.checks.exercise import Case, Exercise, Mistake, reaches_gradient

__all__ = ["EXERCISES"]


# 6.1 -----------------------------------------------------------------------------------------------


def _spread(kernel: Tensor, y: int, x: int, *, tail: int = 0) -> Tensor:
    """Zeros between the weights by two matrices that hold a single one in each column."""
    rows, columns = (
        torch.zeros((size - 1) * step + 1 + (step - 1) * tail, size)
        for size, step in zip(kernel.shape, (y, x), strict=True)
    )
    for matrix, step in ((rows, y), (columns, x)):
        for index in range(matrix.shape[1]):
            matrix[index * step, index] = 1
    return rows @ kernel @ columns.T


def sparse_kernel(kernel: Tensor, dilation: int) -> Tensor:
    """The kernel ``(h, w)`` with zeros between its weights, which stand `dilation` apart."""
    return _spread(kernel, dilation, dilation)


def _spread_with(
    kernel: Tensor,
    dilation: int,
    *,
    steps: Callable[[int], tuple[int, int]] = lambda dilation: (dilation, dilation),
    tail: int = 0,
) -> Tensor:
    return _spread(kernel, *steps(dilation), tail=tail)


def _zeros_around(kernel: Tensor, dilation: int) -> Tensor:
    result = torch.zeros_like(sparse_kernel(kernel, dilation))
    top, left = ((have - size) // 2 for have, size in zip(result.shape, kernel.shape, strict=True))
    result[top : top + kernel.shape[0], left : left + kernel.shape[1]] = kernel
    return result


def _kernel_cases(generator: torch.Generator) -> list[Case]:
    small = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    nine = torch.arange(1.0, 10.0).reshape(3, 3)
    cases = [
        Case((small, 2), "one zero between two weights"),
        Case((nine, 2), "3×3 becomes 5×5"),
        Case((nine, 1), "dilation 1: nothing changes"),
        Case((nine[:1], 3), "a row"),
        Case((nine[:, :2], 4), "higher than wide"),
    ]
    for height, width, dilation in ((3, 3, 2), (2, 5, 3), (4, 3, 4), (5, 5, 2)):
        cases.append(Case((torch.rand(height, width, generator=generator) * 2 + 0.5, dilation)))
    return cases


def _height_for_width(kernel: Tensor, dilation: int) -> Tensor:
    width, height = kernel.shape
    result = kernel.new_zeros((height - 1) * dilation + 1, (width - 1) * dilation + 1)
    result[::dilation, ::dilation] = kernel
    return result


def _three_by_three(kernel: Tensor, dilation: int) -> Tensor:
    result = kernel.new_zeros(2 * dilation + 1, 2 * dilation + 1)
    result[::dilation, ::dilation] = kernel
    return result


def _one_index(kernel: Tensor, dilation: int) -> Tensor:
    return sparse_kernel(kernel * torch.eye(*kernel.shape), dilation)


KERNEL = Exercise(
    "6.1",
    "A large sparse kernel",
    sparse_kernel,
    _kernel_cases,
    properties=(reaches_gradient(0, lambda: (torch.ones(2, 2), 2), "kernel"),),
    axes=("row", "column"),
    plan=(
        "How large is the result? Three weights have two gaps: from the first to the last it is two "
        "steps of d, and the last one needs a place too.",
        "Make a map of zeros of that size, the height from the kernel's height and the width from its width.",
        "Put the weights at every d-th row and every d-th column.",
        "Try d = 1: nothing may change. The weights must arrive as tensors, not as plain numbers, or no "
        "gradient gets through.",
    ),
    mistakes=(
        Mistake(
            "one zero too many",
            lambda kernel, dilation: sparse_kernel(kernel, dilation + 1),
            "Dilation is the distance of two neighbouring weights. At distance 1 they touch: how many zeros "
            "lie between them then, and how many at distance 2?",
        ),
        Mistake(
            "zeros after the last weight",
            partial(_spread_with, tail=1),
            "The weights stand where they should, but zeros follow the last one. A 3×3 kernel at dilation 2 "
            "covers 5×5 pixels, not 6×6.",
        ),
        Mistake(
            "last weights missing",
            lambda kernel, dilation: sparse_kernel(kernel, dilation)[:-1, :-1],
            "Your kernel ends before the last weight. Three weights have two gaps, and the third one needs "
            "a place of its own.",
        ),
        Mistake(
            "weights repeated",
            lambda kernel, dilation: kernel.repeat_interleave(dilation, 0).repeat_interleave(dilation, 1),
            "You enlarge the kernel by repeating its weights. A dilated convolution still reads nine pixels: "
            "between the weights lie zeros.",
        ),
        Mistake(
            "rows only",
            partial(_spread_with, steps=lambda dilation: (dilation, 1)),
            "The rows have moved apart, the columns have not. The kernel grows along both axes.",
        ),
        Mistake(
            "columns only",
            partial(_spread_with, steps=lambda dilation: (1, dilation)),
            "The columns have moved apart, the rows have not. The kernel grows along both axes.",
        ),
        Mistake(
            "zeros around",
            _zeros_around,
            "The size is right, but the weights stand together in the middle. The zeros belong between them.",
        ),
        Mistake(
            "rows and columns exchanged",
            lambda kernel, dilation: sparse_kernel(kernel.T, dilation),
            "Your kernel lies on its side: its rows have become columns. Axes come as rows, columns, "
            "before as after.",
        ),
        Mistake(
            "height for width",
            _height_for_width,
            "The room that you make has the kernel's width for its height. With square kernels nobody can "
            "tell; here the weights do not fit in.",
        ),
        Mistake(
            "three by three written in",
            _three_by_three,
            "You make room for a 3×3 kernel. How many rows and columns there are, the kernel's shape says.",
        ),
        Mistake(
            "one index for both axes",
            _one_index,
            "Only the diagonal has weights. Rows and columns need an index each.",
        ),
        Mistake(
            "flipped",
            lambda kernel, dilation: sparse_kernel(kernel, dilation).flip(0, 1),
            "Your kernel is turned round. The weights keep their order; they only move apart.",
        ),
        Mistake(
            "weights shared out",
            lambda kernel, dilation: sparse_kernel(kernel, dilation) / dilation**2,
            "The weights stand where they should, but have become smaller. The zeros between them take "
            "nothing away.",
        ),
    ),
)


# 6.2 -----------------------------------------------------------------------------------------------


def half(image: Tensor) -> Tensor:
    """The maximum of 2×2 pixels, stride 2."""
    return F.max_pool2d(image, 2)


def lecture(image: Tensor) -> Tensor:
    """The lecture's A and B: 3×3 with stride 2, then 3×3 with stride 1."""
    kernel = torch.tensor([[[[1.0, 0.0, -2.0], [3.0, 1.0, 0.5], [-1.0, 2.0, 1.0]]]])
    return F.conv2d(F.conv2d(image, kernel, stride=2).relu(), kernel)


def third(image: Tensor) -> Tensor:
    """A 4×4 mean with stride 3."""
    return F.avg_pool2d(image, 4, 3)


def quarter(image: Tensor) -> Tensor:
    """A 2×2 convolution and a 3×3 maximum, each of stride 2."""
    kernel = torch.tensor([[[[1.0, -1.0], [2.0, 0.5]]]])
    return F.max_pool2d(F.conv2d(image, kernel, stride=2), 3, 2)


def two_scores(image: Tensor) -> Tensor:
    """Two classes of stride 2: the mean of 2×2 pixels, and the slope down."""
    kernel = torch.tensor([[[[0.25, 0.25], [0.25, 0.25]]], [[[-1.0, 0.0], [1.0, 0.0]]]])
    return F.conv2d(image, kernel, stride=2)


def _shifted(image: Tensor, y: int, x: int) -> Tensor:
    return image[..., y:, x:]


def _run_all(
    network: Callable[[Tensor], Tensor],
    image: Tensor,
    stride: int,
    shift: Callable[[Tensor, int, int], Tensor] = _shifted,
) -> list[list[Tensor]]:
    return [[network(shift(image, y, x)) for x in range(stride)] for y in range(stride)]


def _interleave(runs: list[list[Tensor]]) -> Tensor:
    """Output (y, x) comes from run (y mod stride, x mod stride)."""
    step = len(runs)
    height = sum(runs[y][0].shape[-2] for y in range(step))
    width = sum(runs[0][x].shape[-1] for x in range(step))
    rows = [
        torch.stack([runs[y % step][x % step][..., y // step, x // step] for x in range(width)], dim=-1)
        for y in range(height)
    ]
    return torch.stack(rows, dim=-2)


def shift_and_stitch(network: Callable[[Tensor], Tensor], image: Tensor, stride: int) -> Tensor:
    """Dense output ``(N, K, H', W')`` of an unpadded network, from stride² runs on shifted images."""
    return _interleave(_run_all(network, image, stride))


def _with_shift(shift: Callable[[Tensor, int, int], Tensor]) -> Callable[..., Tensor]:
    return lambda network, image, stride: _interleave(_run_all(network, image, stride, shift))


def _blocks(network: Callable[[Tensor], Tensor], image: Tensor, stride: int) -> Tensor:
    runs = _run_all(network, image, stride)
    return torch.cat([torch.cat(row, dim=-1) for row in runs], dim=-2)


def _enlarged(network: Callable[[Tensor], Tensor], image: Tensor, stride: int) -> Tensor:
    return network(image).repeat_interleave(stride, -1).repeat_interleave(stride, -2)


def _cut(network: Callable[[Tensor], Tensor], image: Tensor, stride: int) -> Tensor:
    runs = _run_all(network, image, stride)
    height, width = runs[-1][-1].shape[-2:]
    return _interleave([[run[..., :height, :width] for run in row] for row in runs])


def _filled(network: Callable[[Tensor], Tensor], image: Tensor, stride: int) -> Tensor:
    runs = _run_all(network, image, stride)
    height, width = runs[0][0].shape[-2:]
    return _interleave(
        [[F.pad(run, (0, width - run.shape[-1], 0, height - run.shape[-2])) for run in row] for row in runs]
    )


def _placed(reverse: bool = False, swap: bool = False, diagonal: bool = False) -> Callable[..., Tensor]:
    """Interleaving by assignment, with the outputs in the wrong places."""

    def wrong(network: Callable[[Tensor], Tensor], image: Tensor, stride: int) -> Tensor:
        runs = _run_all(network, image, stride)
        result = torch.zeros_like(_interleave(runs))
        for y in range(stride):
            for x in range(stride):
                if diagonal and x != y:
                    continue
                down, right = (x, y) if swap else (y, x)
                if reverse:
                    down, right = stride - 1 - down, stride - 1 - right
                result[..., down::stride, right::stride] = runs[y][x]
        return result

    return wrong


def _stitch_cases(generator: torch.Generator) -> list[Case]:
    def numbered(height: int, width: int) -> Tensor:
        return torch.arange(1.0, height * width + 1).reshape(1, 1, width, height).mT

    squares = numbered(5, 5) ** 2
    cases = [
        Case((half, numbered(5, 5), 2), "2×2 maximum of stride 2; the image is numbered down its columns"),
        Case((half, numbered(4, 6), 2), "the same network; the outputs of the shifts differ in size"),
        Case((third, numbered(6, 6) ** 2, 3), "4×4 mean of stride 3: each of nine shifts gives one output"),
        Case((half, squares, 2), "the squares of the numbers"),
        Case((two_scores, squares, 2), "a network with two classes"),
    ]
    for network, height, width, stride, images in (
        (lecture, 12, 12, 2, 1),
        (lecture, 11, 14, 2, 2),
        (two_scores, 9, 8, 2, 2),
        (third, 12, 9, 3, 1),
        (quarter, 17, 15, 4, 1),
    ):
        cases.append(
            Case((network, torch.rand(images, 1, height, width, generator=generator) * 4 - 1, stride))
        )
    return cases


def _assigned(
    network: Callable[[Tensor], Tensor],
    image: Tensor,
    stride: int,
    room: Callable[[list[list[Tensor]]], tuple[int, ...]],
    shift: Callable[[Tensor, int, int], Tensor] = _shifted,
) -> Tensor:
    """Room made beforehand, and every run written into its places, as most people do it."""
    runs = _run_all(network, image, stride, shift)
    result = image.new_zeros(room(runs))
    for y in range(stride):
        for x in range(stride):
            result[..., y::stride, x::stride] = runs[y][x]
    return result


def _sizes_of(runs: list[list[Tensor]]) -> tuple[int, int]:
    return sum(row[0].shape[-2] for row in runs), sum(run.shape[-1] for run in runs[0])


def _times_stride(network: Callable[[Tensor], Tensor], image: Tensor, stride: int) -> Tensor:
    def room(runs: list[list[Tensor]]) -> tuple[int, ...]:
        *front, height, width = runs[0][0].shape
        return *front, height * stride, width * stride

    return _assigned(network, image, stride, room)


def _as_large_as_the_image(network: Callable[[Tensor], Tensor], image: Tensor, stride: int) -> Tensor:
    return _assigned(network, image, stride, lambda runs: (*runs[0][0].shape[:2], *image.shape[2:]))


def _channels_of_the_image(network: Callable[[Tensor], Tensor], image: Tensor, stride: int) -> Tensor:
    return _assigned(network, image, stride, lambda runs: (*image.shape[:2], *_sizes_of(runs)))


def _two_written_in(network: Callable[[Tensor], Tensor], image: Tensor, stride: int) -> Tensor:
    return shift_and_stitch(network, image, 2)


def _first_axes(network: Callable[[Tensor], Tensor], image: Tensor, stride: int) -> Tensor:
    return network(image[:, 1:])


def _down_only(network: Callable[[Tensor], Tensor], image: Tensor, stride: int) -> Tensor:
    runs = [network(_shifted(image, y, 0)) for y in range(stride)]
    result = runs[0].new_zeros(*runs[0].shape[:2], sum(run.shape[-2] for run in runs), runs[0].shape[-1])
    for y, run in enumerate(runs):
        result[..., y::stride, :] = run
    return result


def _interpolated(network: Callable[[Tensor], Tensor], image: Tensor, stride: int) -> Tensor:
    return F.interpolate(network(image), scale_factor=stride, mode="bilinear", align_corners=False)


STITCH = Exercise(
    "6.2",
    "Shift and stitch",
    shift_and_stitch,
    _stitch_cases,
    tolerance=1e-4,
    axes=("image", "class", "row", "column"),
    plan=(
        "Run the network on every shifted image: s shifts down, combined with s shifts across. To shift "
        "by y, leave out the first y rows.",
        "Find the height of the dense map: add up the heights of the runs with different y, for they "
        "may differ by one. The width likewise.",
        "Make room for it, with as many images and channels as the runs have.",
        "Where does output n of the run shifted by y belong? Its field begins at pixel n · s + y, so to "
        "this row. The same holds for columns.",
    ),
    mistakes=(
        Mistake(
            "one run enlarged",
            _enlarged,
            "Every block of yours repeats one output. The values between come from other runs, on shifted "
            "images.",
        ),
        Mistake(
            "blocks instead of interleaved",
            _blocks,
            "All the values are there, run beside run. Neighbours in the dense output come from different "
            "runs: the outputs of one run stand stride apart.",
        ),
        Mistake(
            "y and x exchanged",
            _placed(swap=True),
            "The run that was shifted along y has been put where the one shifted along x belongs. Which of "
            "the two indices is the row's?",
        ),
        Mistake(
            "places in reverse",
            _placed(reverse=True),
            "The runs stand in reverse order. Without a shift, the first output sees the image's corner: "
            "where does it belong?",
        ),
        Mistake(
            "only the diagonal",
            _placed(diagonal=True),
            "You shift both axes by the same amount. With stride 2 there are four shifts: (0, 0), (0, 1), "
            "(1, 0) and (1, 1).",
        ),
        Mistake(
            "rolled round",
            _with_shift(lambda image, y, x: torch.roll(image, (-y, -x), (-2, -1))),
            "What leaves the image on one side comes in again on the other, so that there are outputs too "
            "many, and the last ones mix both ends. What is shifted out is gone.",
        ),
        Mistake(
            "shifted the other way",
            _with_shift(lambda image, y, x: F.pad(image, (x, 0, y, 0))),
            "You move the image down and to the right; zeros come in, and the fields begin before the image "
            "does. For output 1, pixel 1 must come to where pixel 0 was.",
        ),
        Mistake(
            "room from the first run",
            _times_stride,
            "You take all runs to be as large as the first one. A shifted image is smaller, and its run "
            "may lack a row or a column: add up the heights of the runs with different y, and the widths of "
            "those with different x.",
        ),
        Mistake(
            "as large as the image",
            _as_large_as_the_image,
            "You make room for as many outputs as the image has pixels. The network has no padding, so "
            "there are fewer: add up the heights of the runs with different y, and the widths of those "
            "with different x.",
        ),
        Mistake(
            "cut to the smallest run",
            _cut,
            "You cut all runs to the smallest one, and lose what the others have more. Runs may differ by a "
            "row or a column: the dense map is as high as the runs with different y together.",
        ),
        Mistake(
            "filled up with zeros",
            _filled,
            "You fill smaller runs up with zeros, and the zeros stand in the dense map. Where a run ends "
            "early, the map has a row or a column less.",
        ),
        Mistake(
            "channels of the image",
            _channels_of_the_image,
            "Your room has as many channels as the image. How many there are in the end, the network "
            "decides: look at the shape of a run.",
        ),
        Mistake(
            "two written in",
            _two_written_in,
            "You take the stride to be 2. It is an argument: with stride 3 there are nine shifts.",
        ),
        Mistake(
            "the first axes shifted",
            _first_axes,
            "You cut the first axes, which are images and channels. Rows and columns are the last two.",
        ),
        Mistake(
            "shifted down only",
            _down_only,
            "You shift the image down and never across. Every shift along one axis is combined with every "
            "shift along the other.",
        ),
        Mistake(
            "interpolated",
            _interpolated,
            "You interpolate between the outputs of one run. The network itself knows the values between: "
            "ask it, with shifted images.",
        ),
        Mistake(
            "one run only",
            lambda network, image, stride: network(image),
            "One run came, that of the image as it is. The others see shifted images, and belong in between.",
        ),
        Mistake(
            "cropped at the far end",
            _with_shift(lambda image, y, x: image[..., : image.shape[-2] - y, : image.shape[-1] - x]),
            "You leave out the last rows and columns, so every run begins in the same corner and sees the "
            "same. Which rows must go, for the first output to see pixel 1 first?",
        ),
        Mistake(
            "rolled the other way",
            _with_shift(lambda image, y, x: torch.roll(image, (y, x), (-2, -1))),
            "You roll the image down and to the right, and what leaves it comes in on the other side. "
            "Pixel 1 must come to where pixel 0 was, and what is shifted out is gone.",
        ),
        Mistake(
            "zeros at the far end",
            _with_shift(lambda image, y, x: F.pad(image[..., y:, x:], (0, x, 0, y))),
            "You fill the shifted images up with zeros, and so some outputs see what is no image. Let "
            "them be smaller.",
        ),
    ),
)


# 6.3 -----------------------------------------------------------------------------------------------


def _taps(dilation: int) -> Tensor:
    taps = torch.zeros(2 * dilation + 1)
    taps[[0, dilation, 2 * dilation]] = 1
    return taps


def _convolved(kernels: Sequence[Tensor]) -> Tensor:
    """All kernels after one another, by full convolution."""
    counts = torch.ones(1)
    for kernel in kernels:
        pad = len(kernel) - 1
        counts = F.conv1d(counts[None, None], kernel.flip(0)[None, None], padding=pad)[0, 0]
    return counts


def path_counts(dilations: Sequence[int]) -> Tensor:
    """Paths from each pixel to one output through layers of three taps, ``(1 + 2 Σ dilations,)``."""
    return _convolved([_taps(dilation) for dilation in dilations])


def _summed(dilations: Sequence[int]) -> Tensor:
    counts = torch.zeros(1 + 2 * sum(dilations))
    middle = len(counts) // 2
    for dilation in dilations:
        counts[middle - dilation : middle + dilation + 1] += _taps(dilation)
    return counts


def _multiplied_up(dilations: Sequence[int]) -> Tensor:
    products = torch.tensor([1, *dilations]).cumprod(0)[1:]
    return _convolved([_taps(int(product)) for product in products])


def _path_cases(generator: torch.Generator) -> list[Case]:
    cases = [
        Case(([1],), "one layer: three pixels, one path each"),
        Case(([1, 1],), "two layers: how many ways to the middle?"),
        Case(([2, 2],), "two layers of dilation 2"),
        Case(([1, 2],), "dilation 1, then 2"),
        Case(([3],), "one layer of dilation 3"),
    ]
    for length in (2, 3, 3, 4):
        cases.append(Case((torch.randint(1, 6, (length,), generator=generator).tolist(),)))
    cases.append(Case(([2, 2, 2],)))
    return cases


def _outer_taps(dilations: Sequence[int]) -> Tensor:
    kernels = [_taps(dilation) for dilation in dilations]
    for kernel in kernels:
        kernel[len(kernel) // 2] = 0
    return _convolved(kernels)


def _from_the_left(dilations: Sequence[int]) -> Tensor:
    counts = torch.zeros(1 + 2 * sum(dilations))
    counts[0] = 1
    for dilation in dilations:
        counts = counts + counts.roll(dilation) + counts.roll(-dilation)
    return counts


def _from_everywhere(dilations: Sequence[int]) -> Tensor:
    counts = torch.ones(1 + 2 * sum(dilations))
    for dilation in dilations:
        counts = counts + counts.roll(dilation) + counts.roll(-dilation)
    return counts


def _one_after_the_other(dilations: Sequence[int]) -> Tensor:
    counts = torch.zeros(1 + 2 * sum(dilations))
    counts[len(counts) // 2] = 1
    for dilation in dilations:
        counts = counts + counts.roll(dilation)
        counts = counts + counts.roll(-dilation)
    return counts


def _while_reading(dilations: Sequence[int]) -> Tensor:
    counts = torch.zeros(1 + 2 * sum(dilations))
    counts[len(counts) // 2] = 1
    for dilation in dilations:
        for place in range(len(counts)):
            if place >= dilation:
                counts[place - dilation] += counts[place]
            if place + dilation < len(counts):
                counts[place + dilation] += counts[place]
    return counts


def _kept_small(dilations: Sequence[int]) -> Tensor:
    counts = torch.ones(1, 1, 1)
    for dilation in dilations:
        counts = F.conv1d(counts, _taps(dilation)[None, None], padding=dilation)
    return counts[0, 0]


PATHS = Exercise(
    "6.3",
    "Gridding: which pixels count",
    path_counts,
    _path_cases,
    axes=("pixel",),
    plan=(
        "Start at the output: one path, in the middle of a row of zeros that is as long as the whole field.",
        "Go down one layer: each path goes on in three ways, straight on, d to the left and d to the "
        "right. So the new count at a place is a sum of three old ones.",
        "Use the old counts for all three; do not change them while you still read them.",
        "Repeat for each layer with its own dilation. As a check, all counts add up to three to the "
        "power of the number of layers.",
    ),
    mistakes=(
        Mistake(
            "added up",
            _summed,
            "You add the layers' kernels. A path goes through one tap of every layer, one after the other: "
            "through two layers of three taps there are nine paths.",
        ),
        Mistake(
            "seen or not",
            lambda dilations: (path_counts(dilations) > 0).float(),
            "You say which pixels are seen. How many paths lead from each of them? All counts together are "
            "three to the number of layers.",
        ),
        Mistake(
            "shares",
            lambda dilations: path_counts(dilations) / 3 ** len(dilations),
            "Your numbers sum to 1: they are shares. The counts themselves are asked.",
        ),
        Mistake(
            "one zero too many",
            lambda dilations: path_counts([dilation + 1 for dilation in dilations]),
            "Your taps stand too far apart. At dilation 1 three neighbouring pixels are read, with nothing "
            "between them.",
        ),
        Mistake(
            "dilations multiplied up",
            _multiplied_up,
            "You multiply each dilation by those before it. The dilation of a layer already counts in "
            "pixels, for nothing is down-sampled.",
        ),
        Mistake(
            "last layer only",
            lambda dilations: _taps(dilations[-1]),
            "Your counts are those of the last layer. What do the pixels that it reads see in turn?",
        ),
        Mistake(
            "dilation ignored",
            lambda dilations: path_counts([1 for _ in dilations]),
            "Your counts are those of layers without dilation. The taps of a layer stand its dilation apart.",
        ),
        Mistake(
            "no tap in the middle",
            _outer_taps,
            "You go to the left and to the right, and never straight on. The middle tap of a layer is a "
            "way too.",
        ),
        Mistake(
            "begun at the left end",
            _from_the_left,
            "You begin at the left end, and half of the paths run out of the field and in again on the "
            "other side. The output stands in the middle.",
        ),
        Mistake(
            "begun everywhere",
            _from_everywhere,
            "You begin with a path at every place. There is one output, in the middle: one path leads to "
            "it before the first layer.",
        ),
        Mistake(
            "one step after the other",
            _one_after_the_other,
            "You add the shift to the right first and shift the sum to the left: that makes four ways a "
            "layer, two of them straight on. All three ways start from the same counts.",
        ),
        Mistake(
            "changed while it is read",
            _while_reading,
            "You change the counts that you still read: what a path has just reached goes on once more in "
            "the same layer. Put the new counts into a row of their own.",
        ),
        Mistake(
            "as long as before",
            _kept_small,
            "Your row stays as long as it was, and cuts off the paths that lead outwards. Each layer "
            "makes the field longer by its dilation, on both sides.",
        ),
        Mistake(
            "largest is 1",
            lambda dilations: path_counts(dilations) / path_counts(dilations).max(),
            "You divide by the largest count. The counts themselves are asked: together they are three to "
            "the number of layers.",
        ),
        Mistake(
            "both axes",
            lambda dilations: torch.outer(path_counts(dilations), path_counts(dilations)),
            "You count along both axes at once. One axis is asked, a row of counts.",
        ),
    ),
)


# 6.4 -----------------------------------------------------------------------------------------------


def _identity(
    outputs: int,
    inputs: int,
    classes: int,
    *,
    group: Callable[[Tensor, int, int], Tensor] = lambda channel, count, classes: channel * classes // count,
    value: Callable[[int, int, int], float] = lambda outputs, inputs, classes: classes / outputs,
    place: Any = (1, 1),
) -> Tensor:
    same = (
        group(torch.arange(outputs), outputs, classes)[:, None]
        == group(torch.arange(inputs), inputs, classes)[None]
    )
    weight = torch.zeros(outputs, inputs, 3, 3)
    weight[(..., *place)] = (same * value(outputs, inputs, classes)).reshape(
        outputs, inputs, *[1] * (weight[(..., *place)].dim() - 2)
    )
    return weight


def identity_weight(outputs: int, inputs: int, classes: int) -> Tensor:
    """Weights ``(outputs, inputs, 3, 3)`` of a convolution that hands groups of channels on."""
    return _identity(outputs, inputs, classes)


def _identity_with(**options: Any) -> Callable[[int, int, int], Tensor]:
    return lambda outputs, inputs, classes: _identity(outputs, inputs, classes, **options)


def _diagonal(outputs: int, inputs: int, classes: int) -> Tensor:
    weight = torch.zeros(outputs, inputs, 3, 3)
    for channel in range(min(outputs, inputs)):
        weight[channel, channel, 1, 1] = classes / outputs
    return weight


def _identity_cases(generator: torch.Generator) -> list[Case]:
    cases = [
        Case((1, 1, 1), "one class, one channel"),
        Case((2, 2, 2), "two classes, a channel each"),
        Case((4, 2, 2), "two classes: two output channels for each"),
        Case((2, 4, 2), "two classes: two input channels for each"),
        Case((4, 4, 2), "two classes: two channels each, before and after"),
    ]
    for _ in range(4):
        classes, wide, wider = (int(torch.randint(2, 5, (), generator=generator)) for _ in range(3))
        cases.append(Case((classes * wide, classes * wider, classes)))
    cases.append(Case((12, 6, 3)))
    return cases


def _exchanged(outputs: int, inputs: int, classes: int) -> Tensor:
    of_output = torch.arange(outputs) * classes // inputs
    of_input = torch.arange(inputs) * classes // outputs
    weight = torch.zeros(outputs, inputs, 3, 3)
    weight[:, :, 1, 1] = (of_output[:, None] == of_input) * classes / outputs
    return weight


IDENTITY = Exercise(
    "6.4",
    "A network that begins as the identity",
    identity_weight,
    _identity_cases,
    axes=("output channel", "input channel", "kernel row", "kernel column"),
    plan=(
        "Write down the class of each output channel, and of each input channel, by the formula in the "
        "task. Rounding down matters.",
        "Make a table of outputs and inputs that says where the two classes are the same.",
        "Of the nine places of the kernel, which one reads the pixel itself? Only there do weights stand.",
        "The weight follows from the number of classes and of outputs; check on 4 outputs and 2 classes "
        "that it is a half.",
    ),
    mistakes=(
        Mistake(
            "in the corner",
            _identity_with(place=(0, 0)),
            "Your weights stand in the kernel's corner: the layer would move the map by a pixel. Which of "
            "the nine places reads the pixel itself?",
        ),
        Mistake(
            "all nine places",
            _identity_with(place=(slice(None), slice(None))),
            "Yours sums over nine pixels. To hand a map on, only the pixel itself may count.",
        ),
        Mistake(
            "every channel connected",
            _identity_with(group=lambda channel, count, classes: channel * 0),
            "All channels are mixed in yours. An output channel reads only the input channels of its own "
            "class.",
        ),
        Mistake(
            "weight one",
            _identity_with(value=lambda outputs, inputs, classes: 1.0),
            "The channels are the right ones. Where a class has several channels, all of them are added up, "
            "and with a weight of 1 the values grow from layer to layer. Which weight does the task give?",
        ),
        Mistake(
            "divided by the inputs",
            _identity_with(value=lambda outputs, inputs, classes: classes / inputs),
            "You take the mean over a class's input channels. Sensible, but the paper's weight is classes "
            "over outputs; only the product over all layers is the same.",
        ),
        Mistake(
            "every so many channels",
            _identity_with(group=lambda channel, count, classes: channel % classes),
            "You deal the channels out in turn, like cards. In the paper the first few belong to class 0, "
            "the next few to class 1.",
        ),
        Mistake(
            "diagonal only",
            _diagonal,
            "You join channel b to channel b. Where a class has several channels, each output reads all the "
            "inputs of its class.",
        ),
        Mistake(
            "inputs before outputs",
            lambda outputs, inputs, classes: identity_weight(outputs, inputs, classes).transpose(0, 1),
            "The weight of a torch convolution has the output channels first, then the input channels.",
        ),
        Mistake(
            "outputs over classes",
            _identity_with(value=lambda outputs, inputs, classes: outputs / classes),
            "Your weight is upside down: it grows with the number of output channels. By how many of them "
            "is a class spread?",
        ),
        Mistake(
            "one over classes",
            _identity_with(value=lambda outputs, inputs, classes: 1 / classes),
            "You divide by the number of classes. What counts is how many output channels a class has.",
        ),
        Mistake(
            "one over outputs",
            _identity_with(value=lambda outputs, inputs, classes: 1 / outputs),
            "You divide by all output channels. A class has only a part of them.",
        ),
        Mistake(
            "inputs over outputs",
            _identity_with(value=lambda outputs, inputs, classes: inputs / outputs),
            "You take inputs over outputs. The paper's weight does not depend on the inputs: it is classes "
            "over outputs.",
        ),
        Mistake(
            "one over the root",
            _identity_with(value=lambda outputs, inputs, classes: classes / (outputs * inputs) ** 0.5),
            "You spread the weight over outputs and inputs alike. In the paper only the outputs count: "
            "classes over outputs.",
        ),
        Mistake(
            "divided by the larger",
            _identity_with(value=lambda outputs, inputs, classes: classes / max(outputs, inputs)),
            "You divide by the larger of the two numbers of channels. In the paper it is always the number "
            "of outputs.",
        ),
        Mistake(
            "whole division",
            _identity_with(value=lambda outputs, inputs, classes: float(classes // outputs)),
            "A division of whole numbers drops what comes after the point, and the weights vanish. They are"
            " fractions here.",
        ),
        Mistake(
            "a ninth in each place",
            lambda *args: _identity_with(place=(slice(None), slice(None)))(*args) / 9,
            "Yours takes the mean of nine pixels, which blurs the map. To hand it on, only the pixel itself"
            " may count.",
        ),
        Mistake(
            "the middle row",
            _identity_with(place=(1, slice(None))),
            "A whole row of the kernel is filled: yours adds up three pixels side by side. Only the middle "
            "one may count.",
        ),
        Mistake(
            "first channel of a class only",
            lambda outputs, inputs, classes: (
                identity_weight(outputs, inputs, classes)
                * (torch.arange(inputs) % (inputs // classes) == 0)[:, None, None]
            ),
            "Each output reads only the first input channel of its class. All of a class's channels belong "
            "to it.",
        ),
        Mistake(
            "last channel of a class missing",
            lambda outputs, inputs, classes: (
                identity_weight(outputs, inputs, classes)
                * (
                    ((torch.arange(outputs) + 1) % (outputs // classes) != 0)
                    | torch.tensor(outputs == classes)
                )[:, None, None, None]
            ),
            "The last output channel of each class reads nothing. Where does the range of a class's "
            "channels end?",
        ),
        Mistake(
            "groups as large as there are classes",
            _identity_with(group=lambda channel, count, classes: channel // classes),
            "Your groups have as many channels as there are classes. There are as many groups as classes: "
            "how large is one?",
        ),
        Mistake(
            "class numbers with a fraction",
            _identity_with(group=lambda channel, count, classes: channel * classes / count),
            "You compare class numbers that are not whole, so channels of one class are told apart. Round "
            "them down.",
        ),
        Mistake(
            "outputs and inputs exchanged in the classes",
            _exchanged,
            "The class of an output channel is counted with the number of inputs, and the other way round. "
            "Each side has its own number of channels.",
        ),
    ),
)


# 6.5 -----------------------------------------------------------------------------------------------


def _plan(
    strides: Sequence[int],
    wanted: int,
    *,
    dilation_of: Callable[[int, int, int, list[int]], int] = lambda before, now, own, lost: before // now,
    keeps: Callable[[int, int, int], bool] = lambda reached, wanted, stride: reached <= wanted,
    show_stride: bool = False,
) -> list[tuple[int, int]]:
    """The plan. `before` and `now`: the stride of a layer's input; `lost`: the strides taken so far."""
    plan, before, now = [], 1, 1
    lost: list[int] = []
    for stride in strides:
        left = stride if keeps(now * stride, wanted, stride) else 1
        plan.append((stride if show_stride else left, dilation_of(before, now, stride // left, lost)))
        before, now = before * stride, now * left
        lost = [*lost, stride // left]
    return plan


def dilation_plan(strides: Sequence[int], wanted: int) -> list[tuple[int, int]]:
    """Stride and dilation of each layer of a network that is to have the output stride `wanted`."""
    return _plan(strides, wanted)


def _plan_with(**options: Any) -> Callable[[Sequence[int], int], list[tuple[int, int]]]:
    return lambda strides, wanted: _plan(strides, wanted, **options)


def _first_removed(strides: Sequence[int], wanted: int) -> list[tuple[int, int]]:
    """Keep the strides of the last layers."""
    left, reached = [], 1
    for stride in reversed(strides):
        left.append(stride if reached * stride <= wanted else 1)
        reached *= left[-1]
    plan, before, now = [], 1, 1
    for stride, kept in zip(strides, reversed(left), strict=True):
        plan.append((kept, before // now))
        before, now = before * stride, now * kept
    return plan


def _since_any(before: int, now: int, own: int, lost: list[int]) -> int:
    return before if before > now else 1


def _total(lost: Sequence[int]) -> int:
    return sum(each for each in lost if each > 1) or 1


def _plan_cases(generator: torch.Generator) -> list[Case]:
    cases = [
        Case(([2, 1], 1), "the lecture's network: A with stride 2, then B"),
        Case(([1, 2, 1, 2, 1], 1), "two poolings between three convolutions"),
        Case(([1, 2, 1, 2, 1], 2), "the same, but the first stride stays"),
        Case(([2, 1, 2, 1, 2, 1], 1), "three layers of stride 2"),
        Case(([3, 1, 2, 1], 1), "strides 3 and 2"),
        Case(([2, 2, 2, 2, 2, 1], 8), "an output stride of 8 in place of 32"),
        Case(([1, 2, 1], 2), "nothing to take away"),
    ]
    for _ in range(5):
        strides = [int(each) for each in torch.randint(1, 4, (6,), generator=generator)]
        prefix = int(torch.randint(0, 4, (), generator=generator))
        cases.append(Case((strides, int(torch.tensor([1, *strides[:prefix]]).prod()))))
    return cases


def _pairs_turned(strides: Sequence[int], wanted: int) -> list[tuple[int, ...]]:
    return [pair[::-1] for pair in dilation_plan(strides, wanted)]


def _stride_alone(strides: Sequence[int], wanted: int) -> list[tuple[int, int]]:
    return _plan(strides, wanted, keeps=lambda reached, wanted, stride: stride <= wanted)


def _two_lists(strides: Sequence[int], wanted: int) -> tuple[list[int], list[int]]:
    plan = dilation_plan(strides, wanted)
    return [stride for stride, _ in plan], [dilation for _, dilation in plan]


def _added_up(strides: Sequence[int], wanted: int) -> list[tuple[int, int]]:
    plan, now, dilation = [], 1, 1
    for stride in strides:
        kept = stride if now * stride <= wanted else 1
        plan.append((kept, dilation))
        now, dilation = now * kept, dilation + (stride if kept < stride else 0)
    return plan


PLAN = Exercise(
    "6.5",
    "Strides out, dilations in",
    dilation_plan,
    _plan_cases,
    axes=("layer",),
    places=("stride", "dilation"),
    plan=(
        "Keep two numbers for the input of the current layer: its stride in the old network, and its "
        "stride in the new one. Both begin at 1.",
        "May this layer keep its stride? Yes, if the new map is then still no coarser than wanted; else "
        "its stride becomes 1.",
        "Its dilation tells how far apart its old neighbours now stand: it depends on the two strides "
        "of its input, and not on its own stride.",
        "dilation = stride before / …, a whole number.",
        "Only then bring both strides up to date.",
    ),
    mistakes=(
        Mistake(
            "its own stride counted",
            _plan_with(dilation_of=lambda before, now, own, lost: before * own // now),
            "A layer that loses its stride reads the same pixels as before. Its own dilation stays; those "
            "after it change.",
        ),
        Mistake(
            "strides added",
            _plan_with(dilation_of=lambda before, now, own, lost: _total(lost)),
            "After strides of 2 and 2 you have 4, which is right by chance. What after three of them? One "
            "step becomes two, and each of these becomes two.",
        ),
        Mistake(
            "next layer only",
            _plan_with(dilation_of=lambda before, now, own, lost: lost[-1] if lost else 1),
            "You dilate the layer after a lost stride. The map stays dense: every later layer reads it with "
            "gaps as well.",
        ),
        Mistake(
            "two for ever",
            _plan_with(dilation_of=lambda before, now, own, lost: 2 if before > now else 1),
            "Yours is right after a single stride of 2. How far apart are the neighbours after a second one "
            "is gone?",
        ),
        Mistake(
            "kept strides counted",
            _plan_with(dilation_of=_since_any),
            "You take the stride that the input had. Where the network keeps a part of it, neighbours have "
            "moved apart by the lost part only.",
        ),
        Mistake(
            "first strides removed",
            _first_removed,
            "You keep the last strides and take the first. The output stride is right, but the early maps "
            "are the large ones: it costs most. Keep the first strides.",
        ),
        Mistake(
            "stride stays",
            _plan_with(show_stride=True),
            "The dilations are right, but no layer has lost its stride: the output is as coarse as before, "
            "and reads the wrong pixels.",
        ),
        Mistake(
            "one stride too many",
            _plan_with(keeps=lambda reached, wanted, stride: reached < wanted or stride == 1),
            "Your output is denser than wanted. A stride may stay as long as the map does not get coarser "
            "than wanted; just as coarse will do.",
        ),
        Mistake(
            "pairs turned round",
            _pairs_turned,
            "Each of your pairs comes with the dilation first. The stride stands first.",
        ),
        Mistake(
            "stride compared alone",
            _stride_alone,
            "You compare each layer's own stride with the one that is wanted. The output stride is that "
            "of all layers so far together.",
        ),
        Mistake(
            "only where a stride is lost",
            _plan_with(dilation_of=lambda before, now, own, lost: own),
            "You dilate the layer that loses its stride, and no other. It reads what it read before; the "
            "layers after it read a denser map.",
        ),
        Mistake(
            "stride of old",
            _plan_with(dilation_of=lambda before, now, own, lost: before),
            "Your dilation is the stride that the input had. Where the new network has kept a part of it, "
            "neighbours stand apart only by the rest.",
        ),
        Mistake(
            "no stride kept",
            _plan_with(keeps=lambda reached, wanted, stride: False),
            "You take away every stride, so the output is as dense as the image. Keep strides from the "
            "first layer on, as long as the map gets no coarser than wanted.",
        ),
        Mistake(
            "lost strides added",
            _added_up,
            "You add every lost stride to the dilation. One step becomes two, and after the next lost "
            "stride each of these becomes two again.",
        ),
        Mistake(
            "two lists",
            _two_lists,
            "Two lists came, of strides and of dilations. Asked is one list with a pair for each layer.",
        ),
    ),
)

EXERCISES = (KERNEL, STITCH, PATHS, IDENTITY, PLAN)
