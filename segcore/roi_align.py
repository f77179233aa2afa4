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
weighted sum.

RoIPool is from Girshick 2015 (Fast R-CNN), RoIAlign from He et al. 2017 (Mask R-CNN); the numbers are those
of ``torchvision.ops``. Left out: gradients with respect to the boxes, gradients of gradients, and quantized
tensors.

Coordinates are continuous: pixel (0, 0) covers [0, 1)², its centre is (0.5, 0.5). *Index coordinates* are
smaller by half a pixel, so that pixel centres lie at whole numbers.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Sequence
from typing import NoReturn

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

__all__ = ["axis_weights", "bilinear_sample", "roi_align", "roi_pool"]

# Boxes are handled in parts that list about so many pixels at a time (some 100 MB): enough to be fast, and
# whole-image boxes by the thousand still fit in memory.
PIXELS_AT_ONCE = 1 << 23
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
    _check_map(feature, "feature", "(C, H, W)")
    _check_points(points, feature)
    x, y = (points.to(feature.dtype) - 0.5).unbind(dim=1)  # index coordinates, (P,)
    height, width = feature.shape[1:]
    inside = (x >= -1) & (x <= width) & (y >= -1) & (y <= height)
    x, y = x.clamp(0, width - 1), y.clamp(0, height - 1)
    left, top = x.detach().floor(), y.detach().floor()
    value = feature.new_zeros(feature.shape[0], len(points))
    for row in (top, top + 1):
        for column in (left, left + 1):
            pixel = feature[:, row.long().clamp(max=height - 1), column.long().clamp(max=width - 1)]  # (C, P)
            value = value + pixel * (_nearness(x - column) * _nearness(y - row))
    return torch.where(inside, value, 0)


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
        Weights ``(bins, size)``, float32 (torch's default) for numbers, else of the tensors' dtype. A row
        sums to 1 where all of its samples are inside.

    Raises:
        ValueError: ``start`` or ``length`` is not finite or ``length`` is negative; ``bins``, ``samples`` or
            ``size`` is below 1.

    Example:
        Two bins of two samples each over the interval [-0.5, 3.5], that is a map of four pixels. The first
        bin samples at 0 and 1, the second at 2 and 3:

        >>> axis_weights(-0.5, 4.0, bins=2, samples=2, size=4)
        tensor([[0.5000, 0.5000, 0.0000, 0.0000],
                [0.0000, 0.0000, 0.5000, 0.5000]])
    """
    bins, samples, size = _at_least_one(bins=bins, samples=samples, size=size)
    start, length = _interval(start, length)
    position, inside = _sample_positions(start, length, bins, samples, size)
    pixel = torch.arange(size, dtype=position.dtype, device=position.device)
    weights = _nearness(position[..., None] - pixel) * inside[..., None]
    return weights[0].mean(dim=1)  # from (bins, samples, size)


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
    wants the same; wrong boxes raise; an empty list is no boxes; channels-last features give a channels-last
    result and are fastest. Other features are first copied to channels-last as a whole, so a few boxes on a
    large map are better served by channels-last features.

    Args:
        features: Maps ``(N, C, H, W)``, floating point.
        boxes: ``(K, 5)`` as batch index, x1, y1, x2, y2, or a list of N tensors ``(K_i, 4)`` as x1, y1, x2,
            y2; continuous coordinates of the image. No gradient flows into them.
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
    bins = _pair(output_size)
    ratio = _integer("sampling_ratio", sampling_ratio)
    image, corners = _checked_boxes(features, boxes, spatial_scale)  # in cells
    if aligned:
        corners = corners - 0.5  # index coordinates
    start = corners[:, [1, 0]]  # (K, 2) as y, x
    length = (corners[:, [3, 2]] - start).clamp(min=0 if aligned else 1)
    samples = _samples_per_bin(length, bins, ratio)  # (K, 2)
    table, size = _pixel_table(features), features.shape[2:]
    parts = [
        _align_part(table, size, image[k], start[k], length[k], bins, samples[k])
        for k in _parts(4 * math.prod(bins) * samples.prod(dim=1))
    ]
    return _as_maps(parts, features, bins)


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
            y2; continuous coordinates of the image. No gradient flows into them.
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
    bins = _pair(output_size)
    image, corners = _checked_boxes(features, boxes, spatial_scale)  # (K,) and (K, 4), in cells
    left, top, right, bottom = _round_half_away(corners).unbind(dim=1)
    height, width = features.shape[2:]
    top, rows = _bin_cells(top, bottom, bins[0], height)  # (K, h) each
    left, columns = _bin_cells(left, right, bins[1], width)  # (K, w) each
    first = ((image * height)[:, None, None] + top[:, :, None]) * width + left[:, None, :]  # (K, h, w)
    table = _pixel_table(features)
    parts = []
    for part in _parts(rows.sum(dim=1) * columns.sum(dim=1)):
        pixels, offsets = _rectangles(first[part], rows[part], columns[part], width)
        parts.append(embedding_bag(pixels, table, offsets, mode="max"))
    return _as_maps(parts, features, bins)


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
    middle = torch.arange(samples, device=start.device) + 0.5  # of each sample's share of the bin
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


# --- All boxes at once ---


def _pixel_table(features: Tensor) -> Tensor:
    """The maps (N, C, H, W) as a table with a row for each pixel, (N H W, C)."""
    return features.permute(0, 2, 3, 1).contiguous().flatten(0, 2)


def _parts(cost: Tensor) -> list[slice]:
    """Cut (K,) boxes, one after the other, into parts that list about PIXELS_AT_ONCE pixels each."""
    counts = (cost.cumsum(0) // PIXELS_AT_ONCE).unique_consecutive(return_counts=True)[1].tolist()
    ends = list(itertools.accumulate(counts))
    return [slice(end - count, end) for count, end in zip(counts, ends, strict=True)]


def _samples_per_bin(length: Tensor, bins: tuple[int, int], ratio: int) -> Tensor:
    """Samples of a bin along y and x, (K, 2): the ratio, or the bin's length in cells rounded up."""
    samples = (length / length.new_tensor(bins)).ceil() if ratio <= 0 else torch.full_like(length, ratio)
    most = samples.max().item() if len(samples) else 0
    if most > MOST_SAMPLES:
        raise ValueError(
            f"expected at most {MOST_SAMPLES} samples of a bin along an axis, got {most:.0f}; clip the boxes "
            "to the image, check the unit of boxes and spatial_scale, or set sampling_ratio=2"
        )
    return samples.long()


def _align_part(
    table: Tensor,
    size: Sequence[int],
    image: Tensor,
    start: Tensor,
    length: Tensor,
    bins: tuple[int, int],
    samples: Tensor,
) -> Tensor:
    """RoIAlign of some boxes, (K h w, C). Boxes that take equally many samples list their bags together."""
    kinds, kind, members = samples.unique(dim=0, return_inverse=True, return_counts=True)
    order = kind.argsort(stable=True)
    bags = [
        _bags(image[same], start[same], length[same], bins, count, size)
        for count, same in zip(kinds.tolist(), order.split(members.tolist()), strict=True)
    ]
    pixels = torch.cat([pixel.flatten() for pixel, _ in bags])
    weights = torch.cat([weight.flatten() for _, weight in bags]).to(table.dtype)
    in_bag = torch.cat([image.new_full((len(pixel),), pixel.shape[1]) for pixel, _ in bags])
    sums = embedding_bag(pixels, table, in_bag.cumsum(0) - in_bag, mode="sum", per_sample_weights=weights)
    if len(bags) > 1:  # back in the order of the boxes
        sums = sums.unflatten(0, (len(order), -1))[order.argsort()].flatten(0, 1)
    return sums


def _bags(
    image: Tensor,
    start: Tensor,
    length: Tensor,
    bins: tuple[int, int],
    samples: Sequence[int],
    size: Sequence[int],
) -> tuple[Tensor, Tensor]:
    """Pixels (rows of the table) and weights of every bin of K boxes, (K h w, pixels in a bag)."""
    rows, row_weights = _taps(start[:, 0], length[:, 0], bins[0], samples[0], size[0])  # (K, h, m)
    columns, column_weights = _taps(start[:, 1], length[:, 1], bins[1], samples[1], size[1])  # (K, w, n)
    rows = (image[:, None, None] * size[0] + rows) * size[1]
    pixels = rows[:, :, None, :, None] + columns[:, None, :, None, :]  # (K, h, w, m, n)
    weights = row_weights[:, :, None, :, None] * column_weights[:, None, :, None, :]
    return pixels.flatten(3).flatten(0, 2), weights.flatten(3).flatten(0, 2)


def _rectangles(first: Tensor, rows: Tensor, columns: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """List the pixels of every bin's rectangle, row by row.

    Args:
        first: Table row of each bin's first pixel, (K, h, w).
        rows: Rows of each bin, (K, h).
        columns: Columns of each bin, (K, w).
        width: Pixels in a row of the map.

    Returns:
        All pixels, bin after bin, (P,), and where each bin begins among them, (K h w,).
    """
    count = (rows[:, :, None] * columns[:, None, :]).flatten()
    offset = count.cumsum(0) - count
    which = torch.repeat_interleave(count)  # the bin of each listed pixel, (P,)
    number = torch.arange(len(which), device=first.device) - offset[which]  # 0, 1, 2, ... within the bin
    across = columns[:, None, :].expand_as(first).flatten()[which]
    row = number // across
    return first.flatten()[which] + row * width + (number - row * across), offset


def _as_maps(parts: list[Tensor], features: Tensor, bins: tuple[int, int]) -> Tensor:
    """Bins as rows, (K h w, C) in parts, to maps (K, C, h, w) in the features' memory format."""
    channels = features.shape[1]
    if not parts:
        return features.flatten()[:0].reshape(0, channels, *bins)
    rows = parts[0] if len(parts) == 1 else torch.cat(parts)
    maps = rows.view(-1, *bins, channels).permute(0, 3, 1, 2)
    keep = features.is_contiguous(memory_format=torch.channels_last) and not features.is_contiguous()
    return maps if keep else maps.contiguous()


# --- What comes in ---


def _check_tensor(value: object, name: str, shape: str) -> None:
    """Refuse arrays, lists and numbers."""
    if not isinstance(value, Tensor):
        got = type(value).__name__
        raise TypeError(f"expected {name} as a tensor {shape}, got {got}; use torch.as_tensor({name})")


def _check_map(value: Tensor, name: str, shape: str) -> None:
    """Refuse what is not a floating-point tensor of the rank that ``shape`` spells out, with pixels in it."""
    _check_tensor(value, name, shape)
    rank, got = shape.count(",") + 1, tuple(value.shape)
    if len(got) != rank:
        cure = f"add the missing axis with {name}[None]" if len(got) == rank - 1 else "reshape it"
        raise ValueError(f"expected {name} of shape {shape}, got {got}; {cure}")
    if not value.is_floating_point():
        raise ValueError(f"expected {name} in floating point, got {value.dtype}; convert with {name}.float()")
    if 0 in got[-3:]:
        raise ValueError(f"expected {name} {shape} with C, H, W of 1 or more, got {got}; check the slicing")


def _check_points(points: Tensor, feature: Tensor) -> None:
    """Refuse points that are not (P, 2), real, finite and beside the feature map."""
    _check_tensor(points, "points", "(P, 2)")
    if points.dim() != 2 or points.shape[1] != 2:
        raise ValueError(
            f"expected points of shape (P, 2) as x, y, got {tuple(points.shape)}; one point is points[None], "
            "and points of shape (2, P) are points.T"
        )
    _check_beside(points, "points", feature, "feature")
    if not points.isfinite().all():
        raise ValueError("expected finite points, got NaN or infinity; drop those points first")


def _interval(start: float | Tensor, length: float | Tensor) -> tuple[Tensor, Tensor]:
    """One interval's start and length as tensors (1,)."""
    start, length = torch.as_tensor(start), torch.as_tensor(length)
    if start.dim() or length.dim() or not math.isfinite(start) or not 0 <= length < math.inf:
        raise ValueError(
            f"expected one finite start and one finite length of 0 or more, got start={start} and "
            f"length={length}; call axis_weights once for each box and axis"
        )
    return start[None], length[None]


def _check_beside(value: Tensor, name: str, other: Tensor, other_name: str) -> None:
    """Refuse coordinates that are not real numbers or lie on another device."""
    if value.is_complex() or value.dtype == torch.bool:
        raise ValueError(f"expected {name} as real numbers, got {value.dtype}; convert with {name}.float()")
    if value.device != other.device:
        raise ValueError(
            f"expected {name} on the device of {other_name}, {other.device}, got {value.device}; "
            f"move them with {name}.to({other_name}.device)"
        )


def _checked_boxes(
    features: Tensor, boxes: Tensor | Sequence[Tensor], spatial_scale: float
) -> tuple[Tensor, Tensor]:
    """Batch index (K,) and scaled corners (K, 4) of the boxes, once they are found fit to be pooled.

    Corners are float64 for float64 features, else float32: half precision would move them by whole cells.
    """
    _check_map(features, "features", "(N, C, H, W)")
    scale = _positive(spatial_scale)
    rois = _as_rois(boxes, features).detach()
    dtype = torch.float64 if features.dtype == torch.float64 else torch.float32
    image, scaled = rois[:, 0], rois[:, 1:].to(dtype) * scale
    length = scaled[:, 2:] - scaled[:, :2]
    faults = torch.stack(
        [
            ~(rois.isfinite().all(dim=1) & length.isfinite().all(dim=1)),
            (rois[:, 1:3] > rois[:, 3:]).any(dim=1),
            (image < 0) | (image >= len(features)) | (image != image.trunc()),
        ]
    )  # (3, K)
    if faults.any():
        _refuse(faults, rois, boxes, len(features))
    return image.long(), scaled


def _as_rois(boxes: Tensor | Sequence[Tensor], features: Tensor) -> Tensor:
    """Boxes in either form as one tensor (K, 5) with the batch index first."""
    if isinstance(boxes, Tensor):
        if boxes.dim() != 2 or boxes.shape[1] != 5:
            cure = "put boxes of one image into a list, [boxes]" if boxes.shape[-1:] == (4,) else "reshape it"
            raise ValueError(
                "expected boxes of shape (K, 5) as batch index, x1, y1, x2, y2, or a list of (K_i, 4), one "
                f"for each image; got one tensor of shape {tuple(boxes.shape)}; {cure}"
            )
        _check_beside(boxes, "boxes", features, "features")
        return boxes
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
    return torch.cat([_one_image(b, i, features) for i, b in enumerate(boxes)] or [features.new_zeros(0, 5)])


def _one_image(boxes: Tensor, index: int, features: Tensor) -> Tensor:
    """The boxes (K_i, 4) of one image with its batch index put first, (K_i, 5)."""
    name = f"boxes[{index}]"
    _check_tensor(boxes, name, "(K, 4)")
    if boxes.shape == (0,):  # torch.tensor([])
        boxes = boxes.reshape(0, 4)
    if boxes.dim() != 2 or boxes.shape[1] != 4:
        cure = f"one box is {name}[None]" if boxes.dim() == 1 else "the place in the list is the batch index"
        got = tuple(boxes.shape)
        raise ValueError(f"expected {name} of shape (K, 4) as x1, y1, x2, y2, got {got}; {cure}")
    _check_beside(boxes, name, features, "features")
    return torch.cat([boxes.new_full((len(boxes), 1), index), boxes], dim=1)


def _refuse(faults: Tensor, rois: Tensor, boxes: Tensor | Sequence[Tensor], images: int) -> NoReturn:
    """Raise for the first box at fault: not finite, corners swapped, or an image that is not there."""
    row = int(faults.any(dim=0).nonzero()[0])
    fault = int(faults[:, row].nonzero()[0])
    name, numbers, names = f"boxes[{row}]", rois[row].tolist(), "batch index, x1, y1, x2, y2"
    if not isinstance(boxes, Tensor):
        image = int(numbers[0])
        name = f"boxes[{image}][{row - sum(len(b) for b in boxes[:image])}]"
        numbers, names = numbers[1:], "x1, y1, x2, y2"
    got = f"got {name} = ({', '.join(f'{number:g}' for number in numbers)}) as {names}"
    raise ValueError(
        (
            f"expected finite boxes, also when multiplied by spatial_scale, {got}; drop such boxes first",
            f"expected x1 <= x2 and y1 <= y2, {got}; order the corners (or convert from x, y, width, height)",
            f"expected a whole batch index from 0 to {images - 1}, {got}; it names the image of the batch",
        )[fault]
    )


def _pair(output_size: int | tuple[int, int]) -> tuple[int, int]:
    """The output size as (h, w)."""
    pair = output_size if isinstance(output_size, (tuple, list)) else (output_size, output_size)
    if len(pair) != 2:
        raise ValueError(
            f"expected output_size as one number or (h, w), got {output_size!r}; name height, then width"
        )
    height, width = _at_least_one(output_height=pair[0], output_width=pair[1])
    return height, width


def _at_least_one(**numbers: int) -> list[int]:
    """The values as integers of 1 or more."""
    whole = {name: _integer(name, value) for name, value in numbers.items()}
    for name, value in whole.items():
        if value < 1:
            raise ValueError(f"expected {name} of at least 1, got {value}; raise it")
    return list(whole.values())


def _integer(name: str, value: int) -> int:
    """The value as an int; floats and booleans are refused."""
    try:
        if not isinstance(value, bool):
            return operator.index(value)
    except TypeError:
        pass
    raise TypeError(f"expected {name} as an integer, got {value!r}; round it first if that is what you mean")


def _positive(spatial_scale: float) -> float:
    """The scale as a positive, finite number."""
    try:
        scale = float(spatial_scale)
    except (TypeError, ValueError):
        raise TypeError(
            f"expected spatial_scale as a number, got {spatial_scale!r}; at stride 16 it is 1 / 16"
        ) from None
    if not 0 < scale < math.inf:
        raise ValueError(f"expected a positive, finite spatial_scale, got {scale}; at stride 16 it is 1 / 16")
    return scale
