r"""RoIAlign: bilinear sampling on a regular grid, averaged, is linear and separable.

So RoIAlign of one box is two small matrix products,

.. math:: Y = W_y F W_x^T,

where row *i* of ``W_y`` averages the bilinear weights of the samples of bin *i* along y, and ``W_x`` does the
same along x (:func:`axis_weights`). The gradient is the transpose, ``W_y^T G W_x``.

Most entries of the two matrices are zero: two samples a bin touch at most four rows and four columns. Output
(i, j) of a box is therefore the sum of a *bag* of at most 16 pixels, each weighted by an entry of row i of
``W_y`` times an entry of row j of ``W_x``. :func:`roi_align` lists the bags of all boxes and lets
``torch.nn.functional.embedding_bag`` add them up, all channels of a pixel at once. :func:`roi_pool` is the
older operation: its edges are rounded to whole pixels, and its bag keeps the largest value in place of the
weighted sum. To ``torch.compile`` and ``torch.export`` each is one operator, into which they do not look.

RoIPool is from Girshick 2015 (Fast R-CNN), RoIAlign from He et al. 2017 (Mask R-CNN); the numbers are those
of ``torchvision.ops``. Left out: gradients with respect to the boxes, gradients of gradients, and quantized
tensors.

Coordinates are continuous: pixel (0, 0) covers [0, 1)², its centre is (0.5, 0.5). *Index coordinates* are
smaller by half a pixel, so that pixel centres lie at whole numbers.
"""

from __future__ import annotations

import itertools
import math
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from numbers import Real
from typing import Any

import torch
from torch import Tensor
from torch.library import custom_op
from torch.nn.functional import embedding_bag

from segcore import inputs

__all__ = ["axis_weights", "bilinear_sample", "roi_align", "roi_pool"]

# Boxes are handled in parts that list about so many pixels at a time (some 100 MB): enough to be fast, and
# whole-image boxes by the thousand still fit in memory.
PIXELS_AT_ONCE = 1 << 23
# RoIPool gathers so many pixels before it takes their maxima, and maps that are not channels-last are turned
# over so many channels at a time: what is in hand stays in the processor's cache, and memory is little more
# than the result.
PIXELS_IN_CACHE = 1 << 12
CHANNELS_AT_ONCE = 64
# An adaptive bin of more samples a side than this belongs to a box that was never clipped, or is in the wrong
# unit.
MOST_SAMPLES = 1 << 14


def bilinear_sample(feature: Tensor, points: Tensor) -> Tensor:
    """Read a feature map between its pixels.

    The value at a point is the mean of the four nearest pixels, weighted by how near they are along x and
    along y. Within a pixel of the border the nearest border value is repeated; farther out (index coordinates
    below -1 or above the size) the map is zero, as in RoIAlign.

    Args:
        feature: Map ``(C, H, W)``, floating point.
        points: Points ``(P, 2)`` as x, y in continuous coordinates of the map, pixel centres at .5.

    Returns:
        Values ``(C, P)``, dtype and device of ``feature``. Differentiable in ``feature`` and in ``points``.

    Raises:
        TypeError: An argument is not a tensor.
        ValueError: Wrong rank, a feature map that is empty or not floating point, or points that are not
            finite or lie on another device.

    Example:
        >>> feature = torch.arange(4.0).reshape(1, 2, 2)  # 0 1 over 2 3
        >>> bilinear_sample(feature, torch.tensor([[0.5, 0.5], [1.0, 0.5], [1.0, 1.0], [9.0, 0.5]]))
        tensor([[0.0000, 0.5000, 1.5000, 0.0000]])
    """
    inputs.floating(feature, "feature", "C H W")
    inputs.same_place(inputs.points(points), "points", feature, "feature")
    dtype = torch.promote_types(feature.dtype, torch.float32)  # half precision cannot tell 2500.5 from 2500
    x, y = (points.to(dtype) - 0.5).unbind(dim=1)  # index coordinates, (P,)
    height, width = feature.shape[1:]
    inside = (x >= -1) & (x <= width) & (y >= -1) & (y <= height)
    x, y = x.clamp(0, width - 1), y.clamp(0, height - 1)
    left, top = x.detach().floor(), y.detach().floor()
    value = feature.new_zeros(feature.shape[0], len(points), dtype=dtype)
    for row, near_row in ((top, top + 1 - y), (top + 1, y - top)):
        for column, near_column in ((left, left + 1 - x), (left + 1, x - left)):
            pixel = feature[:, row.long().clamp(max=height - 1), column.long().clamp(max=width - 1)]  # (C, P)
            weight = near_row * near_column
            pixel = pixel.masked_fill((weight == 0) & ~pixel.isfinite(), 0)  # for 0 times infinity is NaN
            value = value + pixel * weight
    return torch.where(inside, value, 0).to(feature.dtype)


def axis_weights(
    start: float | Tensor,
    length: float | Tensor,
    bins: int,
    samples: int,
    size: int,
) -> Tensor:
    """Average the bilinear weights of the samples of each bin along one axis.

    The interval is cut into ``bins`` equal bins with ``samples`` evenly spaced samples each. A sample at
    position c gives pixel p the weight max(0, 1 - abs(c - p)). Samples outside [-1, size] count as zero;
    others are clamped to the map.

    With ``W_y`` and ``W_x`` from this function, RoIAlign of a box on a feature map ``F`` of one channel is
    ``W_y @ F @ W_x.T``.

    Args:
        start: Where the interval starts, in index coordinates (pixel centres at whole numbers). A number or a
            tensor of no dimensions.
        length: Its length in pixels, 0 or more. A number or a tensor of no dimensions.
        bins: Number of bins, the rows of the result.
        samples: Samples in each bin.
        size: Number of pixels along the axis, the columns of the result.

    Returns:
        Weights ``(bins, size)``, float32 for numbers, else of the tensors' dtype and device. A row
        sums to 1 where all of its samples are inside.

    Raises:
        TypeError: A number is of another type.
        ValueError: ``start`` or ``length`` is not finite or ``length`` is negative; ``bins``, ``samples`` or
            ``size`` is below 1.

    Example:
        Two bins of two samples each over the interval [-0.5, 3.5], that is a map of four pixels. The first
        bin samples at 0 and 1, the second at 2 and 3:

        >>> axis_weights(-0.5, 4.0, bins=2, samples=2, size=4)
        tensor([[0.5000, 0.5000, 0.0000, 0.0000],
                [0.0000, 0.0000, 0.5000, 0.5000]])
    """
    bins, samples, size = (
        inputs.whole(value, name) for name, value in (("bins", bins), ("samples", samples), ("size", size))
    )
    start, length, dtype = _interval(start, length)
    position, inside = _sample_positions(start, length, bins, samples, size)
    pixel = torch.arange(size, device=position.device)
    weights = _nearness(position[..., None] - pixel) * inside[..., None]
    return weights[0].mean(dim=1).to(dtype)  # from (bins, samples, size)


def roi_align(
    features: Tensor,
    boxes: Tensor | Sequence[Tensor],
    output_size: int | tuple[int, int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = 2,
    aligned: bool = True,
) -> Tensor:
    """Pool each box to a grid of fixed size by averaging bilinear samples, nothing rounded.

    The box is scaled to the feature map and cut into ``h × w`` equal bins; each bin is the mean of a regular
    grid of bilinear samples. Boxes may lie partly or wholly outside: samples more than a pixel outside are
    zero.

    The values and gradients are ``torchvision.ops.roi_align``'s. What differs: the defaults (there
    ``sampling_ratio=-1`` and ``aligned=False``); boxes are converted to the features' dtype where torchvision
    wants the same; wrong boxes raise, and a warning is given if all lie outside the map; an empty list is no
    boxes; what has no weight is not read, so a NaN or an infinity beside a box stays there; channels-last
    features give a channels-last result and are fastest. Other features are copied to channels-last, some
    channels at a time, so a few boxes on a large map are better served by channels-last features. A compiled
    or exported graph does not look at the values of boxes.

    Args:
        features: Maps ``(N, C, H, W)``, floating point.
        boxes: ``(K, 5)`` as batch index, x1, y1, x2, y2, or a list of N tensors ``(K_i, 4)`` as x1, y1, x2,
            y2; continuous coordinates of the image. No gradient flows into them, and a warning says so where
            they ask for one: ``boxes.detach()`` says that this is meant.
        output_size: Bins as (h, w), or one number for both.
        spatial_scale: Cells of the feature map for each pixel of the image: 1/16 at stride 16.
        sampling_ratio: Samples of a bin along each axis. 0 or less adapts it to each box and axis: the bin's
            length in cells, rounded up.
        aligned: Whether pixel centres lie at .5, as they do in this course. False is the form before 2019: no
            shift by half a cell, and boxes at least one cell wide and high.

    Returns:
        ``(K, C, h, w)``, dtype and device of ``features``. Differentiable in ``features``.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: Wrong rank, dtype or device, an empty map, boxes that are not finite or whose corners are
            swapped, a batch index that is no image, a list of another length than N, or a size or scale that
            is not positive.

    Example:
        >>> features = torch.arange(16.0).reshape(1, 1, 4, 4)  # 0 1 2 3 over 4 5 6 7 ...
        >>> box = torch.tensor([[1.0, 0.0, 3.0, 4.0]])  # the two columns in the middle
        >>> roi_align(features, [box], output_size=2)[0, 0]
        tensor([[ 3.,  4.],
                [11., 12.]])

        The same as two matrix products:

        >>> w_y, w_x = axis_weights(-0.5, 4.0, 2, 2, 4), axis_weights(0.5, 2.0, 2, 2, 4)
        >>> w_y @ features[0, 0] @ w_x.T
        tensor([[ 3.,  4.],
                [11., 12.]])
    """
    bins = inputs.pair(output_size, "output_size", axes="h, w")
    ratio = inputs.whole(sampling_ratio, "sampling_ratio", least=-sys.maxsize)
    image, corners = _in_cells(features, boxes, spatial_scale)  # (K,) and (K, 4)
    if aligned:
        corners = corners - 0.5  # index coordinates
    start = corners[:, :2].flip(1)  # (K, 2) as y, x
    length = (corners[:, 2:].flip(1) - start).clamp(min=0 if aligned else 1)
    return _RoIAlign.apply(features, image, start, length, bins, ratio)


def roi_pool(
    features: Tensor,
    boxes: Tensor | Sequence[Tensor],
    output_size: int | tuple[int, int],
    spatial_scale: float = 1.0,
) -> Tensor:
    """Pool each box to a grid of fixed size by the maximum, edges rounded to whole cells.

    Both corners of the scaled box are rounded (halves away from zero), and the cell of the second corner is
    included: the box covers the cells round(x1 s) ... round(x2 s), at least one. A bin covers every cell that
    it touches, so neighbouring bins may share cells. A bin without a cell, outside the map, is 0.

    The values and gradients are ``torchvision.ops.roi_pool``'s: where several cells of a bin are equal, the
    first in reading order receives the gradient. What differs is what :func:`roi_align` says of boxes and of
    channels-last features.

    Args:
        features: Maps ``(N, C, H, W)``, floating point.
        boxes: ``(K, 5)`` as batch index, x1, y1, x2, y2, or a list of N tensors ``(K_i, 4)`` as x1, y1, x2,
            y2; continuous coordinates of the image. No gradient flows into them, and a warning says so where
            they ask for one: ``boxes.detach()`` says that this is meant.
        output_size: Bins as (h, w), or one number for both.
        spatial_scale: Cells of the feature map for each pixel of the image: 1/16 at stride 16.

    Returns:
        ``(K, C, h, w)``, dtype and device of ``features``. Differentiable in ``features``.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: As in :func:`roi_align`.

    Example:
        The box covers columns 0 to 2, for x2 = 2 includes column 2; both bins touch the middle column:

        >>> features = torch.arange(16.0).reshape(1, 1, 4, 4)  # 0 1 2 3 over 4 5 6 7 ...
        >>> roi_pool(features, [torch.tensor([[0.0, 0.0, 2.0, 3.0]])], output_size=2)[0, 0]
        tensor([[ 5.,  6.],
                [13., 14.]])
    """
    bins = inputs.pair(output_size, "output_size", axes="h, w")
    image, corners = _in_cells(features, boxes, spatial_scale)  # (K,) and (K, 4)
    asked = torch.is_grad_enabled() and features.requires_grad
    return _RoIPool.apply(features, image, corners, bins, asked)[0]


# --- Along one axis ---


def _nearness(distance: Tensor) -> Tensor:
    """Bilinear weight of a pixel at this distance along one axis: 1 at its centre, 0 from one pixel on."""
    return (1 - distance.abs()).clamp(min=0)


def _sample_positions(
    start: Tensor, length: Tensor, bins: int, samples: int, size: int
) -> tuple[Tensor, Tensor]:
    """Clamped positions of the samples of (K,) intervals, and whether each counts, (K, bins, samples)."""
    step = (length / bins)[:, None, None]
    bin_start = start[:, None, None] + torch.arange(bins, device=start.device)[:, None] * step
    middle = (
        torch.arange(samples, device=start.device).to(start.dtype) + 0.5
    )  # of a sample's share of the bin
    position = bin_start + middle * step / max(samples, 1)
    inside = (position >= -1) & (position <= size)
    return position.clamp(0, size - 1), inside


def _taps(start: Tensor, length: Tensor, bins: int, samples: int, size: int) -> tuple[Tensor, Tensor]:
    """`axis_weights` of (K,) intervals without the zeros: pixels and their weights, (K, bins, taps)."""
    position, inside = _sample_positions(start, length, bins, samples, size)
    nearest = position.floor()
    reach = int((nearest[..., -1] - nearest[..., 0]).max()) + 2 if samples else 0
    if reach < 2 * samples:  # the samples are dense: name each pixel that they touch once
        pixel = nearest[..., :1] + torch.arange(reach, device=start.device)  # (K, bins, reach)
        near = _nearness(position[..., None] - pixel[..., None, :]) * inside[..., None]
        weight = near.sum(dim=-2) / samples
    else:  # the samples are far apart: name the two neighbours of each
        neighbours = nearest[..., None] + torch.arange(2, device=start.device)  # (K, bins, samples, 2)
        near = _nearness(position[..., None] - neighbours) * inside[..., None]
        pixel, weight = neighbours.flatten(2), near.flatten(2) / max(samples, 1)
    return pixel.long().clamp(max=size - 1), weight  # what lies past the last pixel weighs nothing


def _bin_cells(first: Tensor, last: Tensor, bins: int, size: int) -> tuple[Tensor, Tensor]:
    """RoIPool's bins of boxes of the cells first ... last: first cell and number of cells, (K, bins)."""
    step = ((last - first + 1) / bins)[:, None]
    number = torch.arange(bins, device=first.device)
    begin = ((number * step).floor() + first[:, None]).clamp(0, size).long()
    end = (((number + 1) * step).ceil() + first[:, None]).clamp(0, size).long()
    return begin, end - begin


def _round_half_away(value: Tensor) -> Tensor:
    """C's round: halves go away from zero (torch.round sends them to the even number)."""
    whole = value.trunc()
    return whole + value.sign() * ((value - whole).abs() >= 0.5)


# --- RoIAlign: sums of weighted pixels, a sparse matrix times a table ---

Bags = tuple[Tensor, Tensor, Tensor]  # pixels (rows of a table) and weights, bag after bag; where each begins


class _RoIAlign(torch.autograd.Function):
    """RoIAlign of boxes of an image (K,) that start at y, x (K, 2) and are so long (K, 2), in cells."""

    @staticmethod
    def forward(features: Tensor, *boxes_and_options: Any) -> Tensor:
        align = _align_as_one if _only_sizes(features) else _align
        return align(features, *boxes_and_options)

    @staticmethod
    def setup_context(ctx: Any, arguments: tuple[Any, ...], output: Tensor) -> None:
        features, image, start, length, _, ctx.ratio = arguments
        ctx.save_for_backward(image, start, length)
        ctx.size, ctx.channels_last = features.shape, _is_channels_last(features)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        back = _align_back_as_one if _only_sizes(gradient) else _align_back
        image, start, length = ctx.saved_tensors
        sent_back = back(gradient, image, start, length, ctx.ratio, ctx.size, ctx.channels_last)
        return sent_back, None, None, None, None, None


def _align(
    features: Tensor, image: Tensor, start: Tensor, length: Tensor, bins: Sequence[int], ratio: int
) -> Tensor:
    pooled = _new_maps(features, (len(image), features.shape[1], *bins), _is_channels_last(features))
    for zeros in (True, False):
        for where, bags in _list_bags(image, start, length, bins, ratio, features.shape[2:], zeros):
            pooled = _sum_bags(bags, features, pooled, where)
        if pooled.sum(dtype=start.dtype).isfinite():
            break  # else an infinity may have met a weight of zero, which makes NaN: list those no more
    return pooled


def _align_back(
    gradient: Tensor,
    image: Tensor,
    start: Tensor,
    length: Tensor,
    ratio: int,
    size: Sequence[int],
    channels_last: bool,
) -> Tensor:
    """The transpose: what each pixel gave to the bags comes back to it, with the same weights."""
    sent_back = None
    pixels = size[0] * size[2] * size[3]
    for where, bags in _list_bags(image, start, length, gradient.shape[2:], ratio, size[2:]):
        part = _new_maps(gradient, size, channels_last)
        part = _sum_bags(_transposed(bags, pixels), gradient[where], part, slice(None))
        sent_back = part if sent_back is None else sent_back.add_(part)
    return _new_maps(gradient, size, channels_last).zero_() if sent_back is None else sent_back


_align_as_one = custom_op("segcore::roi_align", _align, mutates_args=())
_align_back_as_one = custom_op("segcore::roi_align_back", _align_back, mutates_args=())


@_align_as_one.register_fake
def _align_size(
    features: Tensor, image: Tensor, start: Tensor, length: Tensor, bins: Sequence[int], ratio: int
) -> Tensor:
    return _new_maps(features, (image.shape[0], features.shape[1], *bins), _is_channels_last(features))


@_align_back_as_one.register_fake
def _align_back_size(
    gradient: Tensor,
    image: Tensor,
    start: Tensor,
    length: Tensor,
    ratio: int,
    size: Sequence[int],
    channels_last: bool,
) -> Tensor:
    return _new_maps(gradient, size, channels_last)


def _list_bags(
    image: Tensor,
    start: Tensor,
    length: Tensor,
    bins: Sequence[int],
    ratio: int,
    size: Sequence[int],
    zeros: bool = True,
) -> Iterator[tuple[Tensor | slice, Bags]]:
    """The bags of all boxes, in parts: which boxes, and their bags; pixels of weight zero in them or not."""
    samples = _samples_per_bin(length, bins, ratio)
    for part in _parts(4 * math.prod(bins) * samples.prod(dim=1)):
        kinds = [(down, across, same + part.start) for down, across, same in _alike(*samples[part].unbind(1))]
        listed = [
            _bags(image[same], start[same], length[same], bins, (down, across), size, zeros)
            for down, across, same in kinds
        ]
        pixels, weights, counts = (
            torch.cat(each) if each[1:] else each[0] for each in zip(*listed, strict=True)
        )
        where = torch.cat([same for _, _, same in kinds]) if kinds[1:] else part
        yield where, (pixels, weights, counts.cumsum(0) - counts)


def _samples_per_bin(length: Tensor, bins: Sequence[int], ratio: int) -> Tensor:
    """Samples of a bin along y and x, (K, 2): the ratio, or the bin's length in cells rounded up."""
    samples = (length / length.new_tensor(bins)).ceil() if ratio <= 0 else torch.full_like(length, ratio)
    most = samples.max().item() if len(samples) else 0
    if most > MOST_SAMPLES:
        raise ValueError(
            f"expected at most {MOST_SAMPLES} samples of a bin along an axis, got {most:.0f}; clip the boxes "
            "to the image, check the unit of boxes and spatial_scale, or set sampling_ratio=2"
        )
    return samples.long()


def _parts(cost: Tensor) -> list[slice]:
    """Cut (K,) boxes, one after the other, into parts that list about PIXELS_AT_ONCE pixels each."""
    counts = (cost.cumsum(0) // PIXELS_AT_ONCE).unique_consecutive(return_counts=True)[1].tolist()
    ends = list(itertools.accumulate(counts))
    return [slice(end - count, end) for count, end in zip(counts, ends, strict=True)]


def _bags(
    image: Tensor,
    start: Tensor,
    length: Tensor,
    bins: Sequence[int],
    samples: Sequence[int],
    size: Sequence[int],
    zeros: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels and weights of every bin of K boxes, (P,) each, and how many each bin has, (K h w,)."""
    rows, row_weights = _taps(start[:, 0], length[:, 0], bins[0], samples[0], size[0])  # (K, h, m)
    columns, column_weights = _taps(start[:, 1], length[:, 1], bins[1], samples[1], size[1])  # (K, w, n)
    rows = (image.long()[:, None, None] * size[0] + rows) * size[1]
    pixels = rows[:, :, None, :, None] + columns[:, None, :, None, :]  # (K, h, w, m, n)
    weights = row_weights[:, :, None, :, None] * column_weights[:, None, :, None, :]
    if zeros:
        each = math.prod(pixels.shape[3:])
        return pixels.flatten(), weights.flatten(), pixels.new_full((math.prod(pixels.shape[:3]),), each)
    counted = weights != 0
    return pixels.masked_select(counted), weights.masked_select(counted), counted.flatten(3).sum(3).flatten()


def _transposed(bags: Bags, pixels: int) -> Bags:
    """For each of so many pixels the bags that list it, with their weights."""
    pixel, weight, begins = bags
    bag = torch.arange(len(begins), device=pixel.device).repeat_interleave(
        begins.diff(append=begins.new_tensor([len(pixel)]))
    )
    order, count = pixel.argsort(stable=True), pixel.bincount(minlength=pixels)
    return bag[order], weight[order], count.cumsum(0) - count


def _sum_bags(bags: Bags, maps: Tensor, result: Tensor, where: Tensor | slice) -> Tensor:
    """The result with weighted sums of the maps' pixels at these places."""
    pixels, weights, begins = bags
    for channels, table in _tables(maps):
        sums = embedding_bag(
            pixels, table, begins, mode="sum", per_sample_weights=weights.to(table.dtype)
        )  # (bags, c)
        sums = sums.unflatten(0, (-1, *result.shape[2:])).movedim(-1, 1)
        if isinstance(where, slice) and (sums.shape, sums.stride()) == (result.shape, result.stride()):
            return sums  # all there is, in its order and layout: no need to copy it
        result[where, channels] = sums
    return result


# --- RoIPool: the largest pixel of each rectangle ---


class _RoIPool(torch.autograd.Function):
    """RoIPool of boxes of an image (K,) with corners (K, 4) in cells; and the pixels found, if asked for."""

    @staticmethod
    def forward(*arguments: Any) -> tuple[Tensor, Tensor]:
        return (_pool_as_one if _only_sizes(arguments[0]) else _pool)(*arguments)

    @staticmethod
    def setup_context(ctx: Any, arguments: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        features = arguments[0]
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(output[1])
        ctx.size, ctx.channels_last = features.shape, _is_channels_last(features)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        back = _pool_back_as_one if _only_sizes(gradient) else _pool_back
        (found,) = ctx.saved_tensors
        sent_back = back(gradient, found, ctx.size, ctx.channels_last)
        return sent_back, None, None, None, None


def _pool(
    features: Tensor, image: Tensor, corners: Tensor, bins: Sequence[int], asked: bool
) -> tuple[Tensor, Tensor]:
    largest, found = _new_pools(features, image, corners, bins, asked)
    height, width = features.shape[2:]
    left, top, right, bottom = _round_half_away(corners).unbind(dim=1)
    top, rows = _bin_cells(top, bottom, bins[0], height)  # (K, h) each
    left, columns = _bin_cells(left, right, bins[1], width)  # (K, w) each
    first = (image.long()[:, None, None] * height + top[:, :, None]) * width + left[:, None, :]  # (K, h, w)
    alike = _alike(*(n.expand_as(first).flatten() for n in (rows[:, :, None], columns[:, None, :])))
    maps, first = first.shape, first.flatten()
    for channels, table in _tables(features):
        best = table.new_zeros(len(first), table.shape[1])
        place = found.new_full(best.shape if asked else (0,), len(table))  # past the end: no pixel
        for down, across, same in alike:
            step = torch.arange(down, device=first.device)[:, None] * width
            steps = (
                (step + torch.arange(across, device=first.device)).flatten().to(found.dtype)
            )  # as one reads
            for some in same.split(max(1, PIXELS_IN_CACHE // len(steps))) if len(steps) else ():
                pixels = first[some, None] + steps
                values = table.index_select(0, pixels.flatten()).unflatten(
                    0, pixels.shape
                )  # (bins, pixels, c)
                best[some] = values.amax(dim=1)
                if asked:  # of equal ones the first
                    which = torch.where(values == best[some, None], steps[:, None], len(table)).amin(dim=1)
                    place[some] = (first[some, None] + which).clamp(max=len(table)).to(place.dtype)
        largest[:, channels] = best.unflatten(0, maps).movedim(-1, 1)
        if asked:
            found[:, channels] = place.unflatten(0, maps).movedim(-1, 1)
    return largest, found


def _pool_back(gradient: Tensor, found: Tensor, size: Sequence[int], channels_last: bool) -> Tensor:
    """Each bin's gradient goes to the pixel that was found in it."""
    sent_back = _new_maps(gradient, size, channels_last)
    images, count, height, width = size
    for begin in range(0, count, CHANNELS_AT_ONCE):
        channels = slice(begin, begin + CHANNELS_AT_ONCE)
        given, place = (
            each[:, channels].movedim(1, 0).flatten(1) for each in (gradient, found)
        )  # (c, K h w)
        sums = given.new_zeros(len(given), images * height * width + 1)
        sums.scatter_add_(1, place.long(), given)
        sent_back[:, channels] = sums[:, :-1].unflatten(1, (images, height, width)).movedim(1, 0)
    return sent_back


_pool_as_one = custom_op("segcore::roi_pool", _pool, mutates_args=())
_pool_back_as_one = custom_op("segcore::roi_pool_back", _pool_back, mutates_args=())


@_pool_as_one.register_fake
def _new_pools(
    features: Tensor, image: Tensor, corners: Tensor, bins: Sequence[int], asked: bool
) -> tuple[Tensor, Tensor]:
    """Room for the largest values, and for their pixels if they are asked for."""
    largest = _new_maps(features, (image.shape[0], features.shape[1], *bins), _is_channels_last(features))
    dtype = torch.int32 if features.numel() < 2**31 else torch.int64
    return largest, torch.empty_like(largest if asked else largest[:0], dtype=dtype)


@_pool_back_as_one.register_fake
def _pool_back_size(gradient: Tensor, found: Tensor, size: Sequence[int], channels_last: bool) -> Tensor:
    return _new_maps(gradient, size, channels_last)


# --- What both need ---


def _only_sizes(maps: Tensor) -> bool:
    """Whether there are sizes alone, as in a graph: then the whole operation is one operator."""
    return torch.compiler.is_compiling() or maps.is_meta


def _tables(maps: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """The maps (N, C, H, W) as tables with a row for each pixel, (N H W, c): some channels at a time."""
    rows = maps.permute(0, 2, 3, 1)
    step = rows.shape[3] if rows.is_contiguous() else CHANNELS_AT_ONCE
    for begin in range(0, rows.shape[3], step):
        channels = slice(begin, begin + step)
        yield channels, rows[..., channels].flatten(0, 2).contiguous()


def _alike(first: Tensor, second: Tensor) -> list[tuple[int, int, Tensor]]:
    """The pairs that two lists of whole numbers (K,) make, and where each pair stands."""
    base = int(second.max()) + 1 if len(second) else 1
    pairs, pair, count = (first * base + second).unique(return_inverse=True, return_counts=True)
    places = pair.argsort(stable=True).split(count.tolist())
    return [(*divmod(each, base), where) for each, where in zip(pairs.tolist(), places, strict=True)]


def _is_channels_last(maps: Tensor) -> bool:
    """Whether the maps keep the channels of a pixel together, and nothing else would do."""
    return maps.is_contiguous(memory_format=torch.channels_last) and not maps.is_contiguous()


def _new_maps(like: Tensor, size: Sequence[int], channels_last: bool) -> Tensor:
    """Room for maps of this size and layout."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return torch.empty(size, dtype=like.dtype, device=like.device, memory_format=layout)


# --- What comes in ---


def _interval(start: float | Tensor, length: float | Tensor) -> tuple[Tensor, Tensor, torch.dtype]:
    """One interval's start and length, (1,) in float32 or finer, and the dtype of what they give."""
    given = [each for each in (start, length) if isinstance(each, Tensor)]
    for each, name in ((start, "start"), (length, "length")):
        if isinstance(each, Tensor):
            inputs.filled(each, name)
        elif isinstance(each, bool) or not isinstance(each, Real):
            raise TypeError(f"expected {name} as a number, got {each!r}; convert it with float(...)")
        elif abs(each) > sys.float_info.max:
            start = math.nan  # what does not fit a float is not finite
    if any(each.dim() for each in given) or not math.isfinite(start) or not 0 <= length < math.inf:
        raise ValueError(
            f"expected one finite start and one finite length of 0 or more, got start={start} and "
            f"length={length}; call axis_weights once for each box and axis"
        )
    device = given[0].device if given else torch.device("cpu")
    dtype = torch.float32
    if given and all(each.is_floating_point() for each in given):
        dtype = torch.promote_types(given[0].dtype, given[-1].dtype)
    fine = torch.promote_types(dtype, torch.float32)
    begin, extent = (torch.as_tensor(each, dtype=fine, device=device)[None] for each in (start, length))
    return begin, extent, dtype


def _in_cells(
    features: Tensor, boxes: Tensor | Sequence[Tensor], spatial_scale: float
) -> tuple[Tensor, Tensor]:
    """Batch index (K,) and scaled corners (K, 4) of the boxes, once they are found fit to be pooled.

    Corners are float64 for float64 features, else float32: half precision would move them by whole cells.
    """
    inputs.floating(features, "features", "N C H W")
    scale = inputs.number(spatial_scale, "spatial_scale", above=0)
    seen = not _only_sizes(features)
    image, corners = _as_rois(boxes, features, inputs.boxes if seen else inputs.tensor)
    corners = corners * scale
    if seen:
        _look(image, corners, features.shape)
    return image, corners.detach()


def _as_rois(
    boxes: Tensor | Sequence[Tensor], features: Tensor, check: Callable[..., Tensor]
) -> tuple[Tensor, Tensor]:
    """Batch index (K,) and corners (K, 4) of boxes in either form. The index is not put into their dtype."""
    fine = torch.promote_types(features.dtype, torch.float32)
    if isinstance(boxes, Tensor):
        if boxes.shape[-1:] == (4,):
            raise ValueError(
                "expected boxes of shape (K, 5) as batch index, x1, y1, x2, y2, or a list of (K_i, 4), got "
                f"a tensor of shape {tuple(boxes.shape)}; put boxes of one image into a list, [boxes]"
            )
        inputs.same_place(check(boxes, "boxes", "K 5"), "boxes", features, "features")
        return boxes[:, 0].detach(), boxes[:, 1:].to(fine)
    if not isinstance(boxes, (list, tuple)):
        raise TypeError(
            f"expected boxes as a tensor (K, 5) or a list of tensors (K_i, 4), got {type(boxes).__name__}; "
            "use torch.as_tensor(boxes)"
        )
    if len(boxes) not in (0, len(features)):
        raise ValueError(
            f"expected a tensor of boxes for each of the {len(features)} images, got a list of {len(boxes)}; "
            "an image without boxes has torch.zeros(0, 4)"
        )
    index, corners = [features.new_zeros(0, dtype=torch.int64)], [features.new_zeros(0, 4, dtype=fine)]
    for i, own in enumerate(boxes):
        name = f"boxes[{i}]"
        if isinstance(own, Tensor) and own.dim() == 2 and own.shape[1] == 5:
            got = tuple(own.shape)
            raise ValueError(
                f"expected {name} of shape (K, 4), got {got}; the place in the list is the batch index"
            )
        if isinstance(own, Tensor) and own.shape == (0,):  # torch.tensor([])
            own = own.reshape(0, 4)
        inputs.same_place(check(own, name, "K 4"), name, features, "features")
        index.append(index[0].new_full((len(own),), i))
        corners.append(own.to(fine))
    return torch.cat(index), torch.cat(corners)


def _look(image: Tensor, corners: Tensor, size: Sequence[int]) -> None:
    """Refuse a batch index that is no image and boxes without end; warn of what may be a mistake."""
    inputs.finite(corners[:, 2:] - corners[:, :2], "boxes in cells", "clip them to the image")
    wrong = (image < 0) | (image >= size[0]) | (image != image.trunc())
    if wrong.any():
        row = int(wrong.nonzero()[0])
        raise ValueError(
            f"expected a whole batch index from 0 to {size[0] - 1}, got boxes[{row}, 0] = "
            f"{image[row].item():g}; it names the image of the batch"
        )
    x1, y1, x2, y2 = corners.unbind(dim=1)
    height, width = size[2:]
    if len(corners) and ((x1 > width) | (y1 > height) | (x2 < 0) | (y2 < 0)).all():
        _warn(
            f"all {len(corners)} boxes lie outside the map of {inputs.size_of((height, width))} cells, where "
            "all is zero; check spatial_scale (1 / 16 at stride 16) and the unit of boxes"
        )

    if torch.is_grad_enabled() and corners.requires_grad:
        _warn("no gradient reaches boxes, only features; boxes.detach() says that this is meant")


def _warn(words: str) -> None:
    """Warn the caller of the caller of `_in_cells`."""
    warnings.warn(words, UserWarning, stacklevel=5)
