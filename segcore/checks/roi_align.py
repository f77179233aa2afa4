"""Exercises of chapter 13: quantisation, bilinear sampling, RoIAlign, its gradient, pasting.

The references are written apart from `segcore.roi_align`, each in its own way. Every mistake is a reference
with one thing wrong: `_axis` and `_pull` have a switch for each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from segcore.checks.exercise import Case, Exercise, Mistake, reaches_gradient

__all__ = ["EXERCISES"]

HALF_PIXEL = (
    "Where does the centre of pixel 3 lie? At 3.5, not at 3. Which number must a coordinate lose to "
    "become an index?"
)


# 13.1 ----------------------------------------------------------------------------------------------


def _half_away(values: Tensor) -> Tensor:
    return values.sign() * (values.abs() + 0.5).floor()


def quantization_error(boxes: Tensor, spatial_scale: float) -> Tensor:
    """How far RoIPool moves each edge of a box, in pixels of the image: snapped minus true, ``(K, 4)``."""
    cells = _half_away(boxes * spatial_scale)
    near, far = cells[:, :2], torch.maximum(cells[:, 2:], cells[:, :2])
    return torch.cat([near, far + 1], dim=1) / spatial_scale - boxes


def _error(
    boxes: Tensor,
    spatial_scale: float,
    *,
    rounding: Callable[[Tensor], Tensor] = _half_away,
    first: float = 0.0,
    last: float = 1.0,
    pixels: float = 0.0,
    ordered: Callable[[Tensor, Tensor], Tensor] = torch.maximum,
) -> Tensor:
    """The reference, with a switch for each of the usual slips."""
    cells = rounding(boxes * spatial_scale)
    near, far = cells[:, :2], ordered(cells[:, 2:], cells[:, :2])
    far = (far + last) / spatial_scale + pixels
    return torch.cat([(near + first) / spatial_scale, far], dim=1) - boxes


def _outward(cells: Tensor) -> Tensor:
    return torch.cat([cells[:, :2].floor(), cells[:, 2:].ceil()], dim=1)


def _in_order(boxes: Tensor, spatial_scale: float) -> Tensor:
    """The corners exchanged where they come in the other order."""
    near, far = boxes.split(2, dim=1)
    ordered = torch.cat([torch.minimum(near, far), torch.maximum(near, far)], dim=1)
    return quantization_error(ordered, spatial_scale) + ordered - boxes


def _quantization_cases(generator: torch.Generator) -> list[Case]:
    def one(*box: float) -> Tensor:
        return torch.tensor([box])

    cases = [
        Case((one(0.0, 0.0, 32.0, 48.0), 1 / 16), "a box whose edges lie on the grid of cells already"),
        Case((one(20.0, 10.0, 70.0, 90.0), 1 / 16), "a box at stride 16"),
        Case((one(4.0, 12.0, 20.0, 28.0), 1 / 8), "every edge falls half way between two cells"),
        Case((one(-12.0, -4.0, 9.0, 6.0), 1 / 8), "a box that begins outside the image"),
        Case((one(33.0, 33.0, 34.0, 35.0), 1 / 16), "a box much smaller than a cell"),
        Case((one(30.0, 10.0, 2.0, 90.0), 1 / 16), "the far corner lies before the near one"),
    ]
    for stride, count in ((4, 3), (8, 1), (16, 6), (32, 2)):
        corner = torch.rand(count, 2, generator=generator) * 200 - 20
        size = torch.rand(count, 2, generator=generator) * 150 + 1
        cases.append(Case((torch.cat([corner, corner + size], dim=1), 1 / stride)))
    return cases


QUANTIZATION = Exercise(
    "13.1",
    "What RoIPool rounds away",
    quantization_error,
    _quantization_cases,
    tolerance=1e-4,
    any_float=True,
    axes=("box", "edge"),
    places=("x1", "y1", "x2", "y2"),
    plan=(
        "Bring the four numbers of a box to the map, and round. What does your way of rounding make of 2.5 "
        "and of -0.5? It must be 3 and -1.",
        "The near edges are then done. A far edge ends where its cell ends, and its cell is never before "
        "the near one's.",
        "Go back to pixels: how many of them is one cell?",
        "error = where the edge ends up - … . Check with 20 and 70 at stride 16: -4 and +10.",
    ),
    mistakes=(
        Mistake(
            "half to even",
            partial(_error, rounding=torch.round),
            "Look at edges half way between two cells. torch.round takes 0.5 to 0 and 2.5 to 2, the nearest "
            "even number; C's round, which RoIPool uses, goes away from zero: 1 and 3.",
        ),
        Mistake(
            "half up",
            partial(_error, rounding=lambda values: (values + 0.5).floor()),
            "Positive edges are right. C's round takes -0.5 to -1: half goes away from zero on both sides. "
            "What does yours make of -0.5?",
        ),
        Mistake(
            "floor",
            partial(_error, rounding=torch.floor),
            "RoIPool rounds to the nearest cell, up or down: 1.75 becomes 2. What does yours make of it?",
        ),
        Mistake(
            "inclusive cell forgotten",
            partial(_error, last=0.0),
            "The near edges are right. RoIPool's last cell belongs to the region: cells 1 to 4 are four "
            "cells and end where cell 5 begins.",
        ),
        Mistake(
            "one cell added to every edge",
            partial(_error, first=1.0),
            "The far edges are right. Only the last cell is inclusive; where does the first cell begin?",
        ),
        Mistake(
            "one pixel instead of one cell",
            partial(_error, last=0.0, pixels=1.0),
            "The last cell is inclusive, and a cell is 1 / spatial_scale pixels wide. Is what you add one "
            "cell or one pixel?",
        ),
        Mistake(
            "in cells",
            lambda boxes, spatial_scale: quantization_error(boxes, spatial_scale) * spatial_scale,
            "Your numbers are right as fractions of a cell. The error is asked in pixels of the image: how "
            "many pixels is one cell at stride 16?",
        ),
        Mistake(
            "scale forgotten",
            lambda boxes, spatial_scale: quantization_error(boxes, 1.0),
            "Which grid do you round to? The edges go to cells of the feature map, so spatial_scale comes "
            "first.",
        ),
        Mistake(
            "sign reversed",
            lambda boxes, spatial_scale: -quantization_error(boxes, spatial_scale),
            "The sizes are right, the signs are not. An edge that moves right or down has a positive error: "
            "snapped minus true.",
        ),
        Mistake(
            "absolute value",
            lambda boxes, spatial_scale: quantization_error(boxes, spatial_scale).abs(),
            "The sizes are right; keep the sign. It says which way the edge has moved.",
        ),
        Mistake(
            "y before x",
            lambda boxes, spatial_scale: quantization_error(boxes, spatial_scale)[:, [1, 0, 3, 2]],
            "All the numbers are there, in another order. A box is x1, y1, x2, y2, and so is its error.",
        ),
        Mistake(
            "far corner before the near one",
            partial(_error, ordered=lambda far, near: far),
            "Nearly all is right. Where the far corner comes to lie before the near one, your region has no "
            "cell, or less: which cell does the text give it?",
        ),
        Mistake(
            "cut off",
            partial(_error, rounding=torch.trunc),
            "You drop what stands behind the point, as int and .long() do. RoIPool rounds to the nearest "
            "cell: 1.75 becomes 2, -1.75 becomes -2.",
        ),
        Mistake(
            "a half added, then cut off",
            partial(_error, rounding=lambda values: (values + 0.5).trunc()),
            "Positive edges are right. You add a half and drop what stands behind the point: what becomes of "
            "-1.5? It must be -2.",
        ),
        Mistake(
            "the cell added before the corners are compared",
            partial(_error, last=0.0, ordered=lambda far, near: torch.maximum(far + 1, near)),
            "Nearly all is right. Where the far corner comes to lie before the near one, your region has no "
            "cell. Which comes first: to compare the corners, or to add the last cell?",
        ),
        Mistake(
            "ceil",
            partial(_error, rounding=torch.ceil),
            "You always round up. RoIPool rounds to the nearest cell, up or down: 1.25 becomes 1.",
        ),
        Mistake(
            "near edges down, far edges up",
            partial(_error, rounding=_outward, last=0.0),
            "You enlarge the box to whole cells. RoIPool does not look at which side an edge is on: each of "
            "the four is rounded to the nearest cell, and the last cell belongs to the region.",
        ),
        Mistake(
            "where the edges are now",
            lambda boxes, spatial_scale: quantization_error(boxes, spatial_scale) + boxes,
            "Those are the places where the edges end up. How far have they moved from where they were?",
        ),
        Mistake(
            "one cell taken from the near edges",
            partial(_error, first=-1.0, last=0.0),
            "The extra cell is on the wrong side. The cell of the far corner belongs to the region; the near "
            "edges stay where rounding has put them.",
        ),
        Mistake(
            "corners put in order",
            _in_order,
            "You exchange the corners where the far one lies before the near one. The text leaves the near "
            "corner where it is: which cell does the far one take then?",
        ),
        Mistake(
            "cut off at the map's edge",
            lambda boxes, scale: (quantization_error(boxes, scale) + boxes).clamp(min=0) - boxes,
            "You move edges that lie before the map to its first cell. Nothing is cut off here: cells may "
            "have negative numbers.",
        ),
    ),
)


# 13.2 ----------------------------------------------------------------------------------------------


def _pull(
    feature: Tensor,
    points: Tensor,
    *,
    shift: float = 0.5,
    border: str = "clamp",
    far: bool = True,
    swap: bool = False,
    nearest: bool = False,
    turned: bool = False,
) -> Tensor:
    """Bilinear samples from four gathered neighbours; every option but `shift` is a mistake when set."""
    _, height, width = feature.shape
    x, y = (points - shift).unbind(1)
    if swap:
        x, y = y, x
    inside = (x >= -1) & (x <= width) & (y >= -1) & (y <= height)
    if border == "none":
        inside = (x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)
    result = feature.new_zeros(feature.shape[0], len(points))
    if border not in {"fade", "extrapolate", "wrap"}:
        x, y = x.clamp(0, width - 1), y.clamp(0, height - 1)
    if nearest:
        x, y = _half_up(x), _half_up(y)
    left, top = x.floor(), y.floor()
    if border == "extrapolate":
        left, top = left.clamp(0, width - 1), top.clamp(0, height - 1)
    for dx in (0, 1):
        for dy in (0, 1):
            part_x, part_y = (x - left, y - top) if not turned else (left + 1 - x, top + 1 - y)
            weight = (part_x if dx else 1 - part_x) * (part_y if dy else 1 - part_y)
            column, row = (left + dx).long(), (top + dy).long()
            if border == "wrap":
                column, row = column % width, row % height
            if border == "fade":
                weight = weight * ((column >= 0) & (column < width) & (row >= 0) & (row < height))
            result = result + weight * feature[:, row.clamp(0, height - 1), column.clamp(0, width - 1)]
    return result * inside if far else result


def _half_up(values: Tensor) -> Tensor:
    return (values + 0.5).floor()


def bilinear_sample(feature: Tensor, points: Tensor) -> Tensor:
    """Samples ``(C, P)`` of a feature map ``(C, H, W)`` at points ``(P, 2)`` as x, y; centres lie at .5."""
    return _pull(feature, points)


def _sample_with(**options: Any) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda feature, points: _pull(feature, points, **options)


def _corners_aligned(zeros: bool) -> Callable[[Tensor, Tensor], Tensor]:
    """As `grid_sample` reads with its corners aligned: the map's edges lie on the outermost centres."""

    def wrong(feature: Tensor, points: Tensor) -> Tensor:
        size = torch.tensor(feature.shape[:0:-1])  # W, H
        found = _pull(feature, points / size * (size - 1) + 0.5, far=False)
        inside = (points >= -0.5) & (points <= size + 0.5)
        return found * inside.all(1) if zeros else found

    return wrong


def _one_axis(axis: int) -> Callable[[Tensor, Tensor], Tensor]:
    """Interpolated along one axis, the nearest cell along the other."""

    def wrong(feature: Tensor, points: Tensor) -> Tensor:
        near = points.clone()
        near[:, axis] = points[:, axis].clamp(0, feature.shape[2 - axis] - 1e-3).floor() + 0.5
        inside = (points >= -0.5) & (points <= torch.tensor(feature.shape[:0:-1]) + 0.5)
        return _pull(feature, near) * inside.all(1)

    return wrong


def _nearest_without_limits(shift: float) -> Callable[[Tensor, Tensor], Tensor]:
    """One cell for each point, however far outside it lies."""

    def wrong(feature: Tensor, points: Tensor) -> Tensor:
        place = (points - shift).round() if shift else points.floor()
        columns, rows = place.long().unbind(1)
        return feature[:, rows.clamp(0, feature.shape[1] - 1), columns.clamp(0, feature.shape[2] - 1)]

    return wrong


def _limits_left_out(feature: Tensor, points: Tensor) -> Tensor:
    """A point exactly one index outside counts as too far."""
    inside = (points > -0.5) & (points < torch.tensor(feature.shape[:0:-1]) + 0.5)
    return _pull(feature, points) * inside.all(1)


def _limits_of(low: float, beyond: float) -> Callable[[Tensor, Tensor], Tensor]:
    """Other limits for what is too far out, as coordinates from the map's two ends."""

    def wrong(feature: Tensor, points: Tensor) -> Tensor:
        inside = (points >= low) & (points <= torch.tensor(feature.shape[:0:-1]) + beyond)
        return _pull(feature, points, far=False) * inside.all(1)

    return wrong


def _added_up(feature: Tensor, points: Tensor) -> Tensor:
    """The weights of an axis added, not multiplied."""
    height, width = feature.shape[1:]
    x, y = (points - 0.5).unbind(1)
    inside = (x >= -1) & (x <= width) & (y >= -1) & (y <= height)
    x, y = x.clamp(0, width - 1), y.clamp(0, height - 1)
    left, top = x.floor(), y.floor()
    result = feature.new_zeros(feature.shape[0], len(points))
    for row in (top, top + 1):
        for column in (left, left + 1):
            weight = (2 - (x - column).abs() - (y - row).abs()) / 4
            columns, rows = (each.long() for each in (column.clamp(max=width - 1), row.clamp(max=height - 1)))
            result = result + weight * feature[:, rows, columns]
    return result * inside


def _sample_cases(generator: torch.Generator) -> list[Case]:
    ramp = torch.arange(12.0).reshape(1, 3, 4)
    squares = torch.tensor([[[0.0, 1.0, 4.0], [9.0, 16.0, 25.0]]])

    def case(feature: Tensor, note: str, *points: tuple[float, float]) -> Case:
        return Case((feature, torch.tensor(points)), note)

    cases = [
        case(ramp, "the centre of the pixel in column 2, row 1", (2.5, 1.5)),
        case(ramp, "a quarter of the way from one centre to the next, in x", (1.75, 0.5)),
        case(ramp, "three tenths across and four tenths down", (1.8, 1.9)),
        case(
            squares, "inside the outermost half pixel, where a neighbour is missing", (0.2, 0.3), (2.9, 1.8)
        ),
        case(
            squares,
            "less than a pixel outside: the border goes on",
            (-0.3, 1.0),
            (3.2, 0.5),
            (1.5, -0.2),
            (1.5, 2.3),
        ),
        case(
            squares + 1,
            "exactly one index outside: still the border's value",
            (-0.5, 1.0),
            (3.5, 0.5),
            (1.5, -0.5),
            (1.5, 2.5),
        ),
        case(squares + 1, "far outside: zero", (-2.0, 1.0), (1.5, 4.5), (7.0, 1.0), (1.0, -3.0)),
    ]
    for channels, height, width in ((1, 4, 4), (3, 5, 8), (2, 7, 3), (4, 6, 6)):
        feature = torch.rand(channels, height, width, generator=generator) * 4 - 1
        points = torch.rand(20, 2, generator=generator) * torch.tensor([width + 5.0, height + 5.0]) - 2.5
        cases.append(Case((feature, points)))
    return cases


SAMPLING = Exercise(
    "13.2",
    "Bilinear sampling",
    bilinear_sample,
    _sample_cases,
    tolerance=1e-4,
    axes=("channel", "point"),
    plan=(
        "Take one axis and the row 0 1 2 3. What index does x = 1.75 have, and between which two columns is "
        "it? Go on when your value is 1.25.",
        "Decide which points are too far out before you move any. Then move the others to the nearest "
        "outermost centre.",
        "The four cells have the rows ⌊v⌋ and ⌊v⌋ + 1, the columns ⌊u⌋ and ⌊u⌋ + 1. Their weights: (1 - "
        "distance across) · (1 - distance … ).",
        "At the far border one of the four lies outside. Its weight is 0, but its index must still be one "
        "that exists.",
        "Sum weight times value over the four, for all points and channels at once.",
    ),
    mistakes=(
        Mistake("half pixel forgotten", _sample_with(shift=0.0), HALF_PIXEL),
        Mistake(
            "half pixel added",
            _sample_with(shift=-0.5),
            "Half a pixel goes the other way. The centre of pixel 3 lies at 3.5: from 3.5, how do you get "
            "to 3?",
        ),
        Mistake(
            "x and y swapped",
            _sample_with(swap=True),
            "A point is (x, y), and a feature map is indexed [channel, row, column]. Which of the two "
            "numbers chooses the row?",
        ),
        Mistake(
            "nearest neighbour",
            _sample_with(nearest=True),
            "Each of your samples is the value of a single pixel. Half way between two centres, what should "
            "the sample be?",
        ),
        Mistake(
            "nearest without limits",
            _nearest_without_limits(0.0),
            "Each of your samples is the value of a single cell, also far outside the map. Mix four cells, "
            "and ask first which points are too far out.",
        ),
        Mistake(
            "nearest index without limits",
            _nearest_without_limits(0.5),
            "You round the index, so each sample is the value of one cell, also far outside the map. Mix "
            "four cells, and ask first which points are too far out.",
        ),
        Mistake(
            "weights exchanged",
            _sample_with(turned=True),
            "At a quarter of the way from pixel 1 to pixel 2, the nearer one, pixel 1, counts three "
            "quarters. Whose weight is the distance to pixel 1?",
        ),
        Mistake(
            "fades at the border",
            _sample_with(border="fade"),
            "In the outermost half pixel your values fade towards zero. Where the neighbour is missing, the "
            "border pixel stands in for it: clamp, do not pad.",
        ),
        Mistake(
            "zero just outside",
            _sample_with(border="none"),
            "Points a little outside the map are zero in yours. Up to one pixel beyond the outermost "
            "centres a sample takes the value of the border; only farther out is it zero.",
        ),
        Mistake(
            "weights extrapolate",
            _sample_with(border="extrapolate"),
            "Left of the first centre or above it your weights leave the range from 0 to 1 (one is "
            "negative). If the index is clamped or cut off towards zero, the position that the weight comes "
            "from must be clamped as well.",
        ),
        Mistake(
            "clamps however far",
            _sample_with(far=False),
            "Near the map all is right. A point more than a pixel beyond the outermost centres has nothing "
            "to do with the map: its sample is zero.",
        ),
        Mistake(
            "around the edge",
            _sample_with(border="wrap"),
            "Left of the first centre, yours mixes in the last column: index -1 counts from the end. At the "
            "border the outermost cell stands in for the one that is missing.",
        ),
        Mistake(
            "limits left out",
            _limits_left_out,
            "A point exactly one index outside is zero in yours. The text counts both limits in: look at its "
            "signs.",
        ),
        Mistake(
            "weights added",
            _added_up,
            "You add the weights of the two axes. A cell that is right along x and far along y should count "
            "little: its weight is a product.",
        ),
        Mistake(
            "interpolated across only",
            _one_axis(1),
            "Across you mix two columns, but down you take the row that holds the point. Both axes are "
            "treated alike: four cells, not two.",
        ),
        Mistake(
            "interpolated down only",
            _one_axis(0),
            "Down you mix two rows, but across you take the column that holds the point. Both axes are "
            "treated alike: four cells, not two.",
        ),
        Mistake(
            "points first",
            lambda feature, points: _pull(feature, points).T,
            "The numbers are right, the axes are exchanged: one row for each channel, one column for each "
            "point.",
        ),
        Mistake(
            "far limit an index short",
            _limits_of(-0.5, -0.5),
            "Beyond the last centre all is zero in yours. Up to one index farther the border goes on: the "
            "last index is W - 1, so where is the limit?",
        ),
        Mistake(
            "limits of the index, for a coordinate",
            _limits_of(-1.0, 0.0),
            "Your limits are moved by half a cell: they stand in the text for the index u, not for the "
            "coordinate x.",
        ),
        Mistake(
            "corners aligned",
            _corners_aligned(True),
            "You put the map's edges on the outermost centres, and all between is stretched. From edge to "
            "edge a row of W cells is W long: what does the option align_corners say?",
        ),
        Mistake(
            "corners aligned, and however far",
            _corners_aligned(False),
            "Two things: you put the map's edges on the outermost centres (what does align_corners say?), "
            "and points far outside are not zero.",
        ),
    ),
)


# 13.3 and 13.4 -------------------------------------------------------------------------------------


def _axis(
    low: Tensor,
    high: Tensor,
    bins: int,
    size: int,
    scale: float,
    samples: int,
    *,
    shift: float = 0.5,
    early: bool = False,
    snapped: bool = False,
    extent: bool = False,
    longer: float = 0.0,
    inside_bin: str = "middle",
    border: str = "clamp",
    far: bool = True,
    kind: str = "linear",
    total: bool = False,
) -> Tensor:
    """The weights ``(bins, size)`` of one axis: hats around the samples; every option set is a mistake."""
    low, high = (low - shift, high - shift) if early else (low, high)
    start, end = low * scale, (low + high if extent else high) * scale
    if snapped:
        start, end = start.round(), end.round()
    start, end = (start, end) if early else (start - shift, end - shift + longer)
    offset = (torch.arange(samples) + 0.5) / samples
    if inside_bin == "ends":
        offset = torch.linspace(0, 1, samples)
    elif inside_bin == "first":
        offset = torch.arange(samples) / samples
    elif inside_bin == "centre":
        offset = torch.full((samples,), 0.5)
    place = start + (torch.arange(bins)[:, None] + offset) * (end - start) / bins  # (bins, samples)
    if inside_bin == "spread":
        place = start + torch.linspace(0, 1, bins * samples).reshape(bins, samples) * (end - start)
    elif inside_bin == "in turn":
        place = place.flatten().reshape(samples, bins).T
    elif inside_bin == "cell wide":
        place = start + torch.arange(bins)[:, None] + offset
    inside = (place >= -1) & (place <= size) if far else torch.ones_like(place, dtype=torch.bool)
    if border == "clamp":
        place = place.clamp(0, size - 1)
    if kind == "nearest":
        place = _half_up(place)
    elif kind == "floor":
        place = place.floor()
    hats = (1 - (place[..., None] - torch.arange(size)).abs()).clamp(min=0)
    if kind == "even":
        hats = (hats > 0) / (hats > 0).sum(-1, keepdim=True).clamp(min=1)
    weights = hats * inside[..., None]
    if kind == "first":
        weights = weights[:, :1]
    return weights.sum(1) if total else weights.mean(1)


def _axes(
    box: Tensor,
    output_size: Sequence[int],
    size: Sequence[int],
    scale: float,
    samples: int,
    *,
    swap: bool = False,
    exchanged: bool = False,
    unscaled: bool = False,
    once: bool = False,
    **options: Any,
) -> tuple[Tensor, Tensor]:
    x1, y1, x2, y2 = box[[1, 0, 3, 2]] if swap else box
    height, width = (output_size[1], output_size[0]) if exchanged else output_size
    scale = 1.0 if unscaled else scale
    rows = _axis(y1, y2, height, size[0], scale, samples, **options)
    columns = _axis(
        x1, x2, width, size[1], scale, samples, **{**options, "total": once or options.get("total", False)}
    )
    return rows, columns


def roi_align_box(
    feature: Tensor,
    box: Tensor,
    output_size: Sequence[int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = 2,
) -> Tensor:
    """RoIAlign of one box as two matrix products: ``(C, h, w)`` from a feature map ``(C, H, W)``."""
    rows, columns = _axes(box, output_size, feature.shape[1:], spatial_scale, sampling_ratio)
    return rows @ feature @ columns.T


def _align_with(**options: Any) -> Callable[..., Tensor]:
    def wrong(
        feature: Tensor,
        box: Tensor,
        output_size: Sequence[int],
        spatial_scale: float = 1.0,
        sampling_ratio: int = 2,
    ) -> Tensor:
        rows, columns = _axes(box, output_size, feature.shape[1:], spatial_scale, sampling_ratio, **options)
        return rows @ feature @ columns.T

    return wrong


def _always_two(
    feature: Tensor,
    box: Tensor,
    output_size: Sequence[int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = 2,
) -> Tensor:
    return roi_align_box(feature, box, output_size, spatial_scale, 2)


def _at_least_a_cell(
    feature: Tensor,
    box: Tensor,
    output_size: Sequence[int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = 2,
) -> Tensor:
    near, far = (box * spatial_scale).split(2)
    return roi_align_box(
        feature, torch.cat([near, torch.maximum(far, near + 1)]), output_size, 1.0, sampling_ratio
    )


def _box_cut_off(
    feature: Tensor,
    box: Tensor,
    output_size: Sequence[int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = 2,
) -> Tensor:
    """The box cut off at the map's edges."""
    height, width = feature.shape[1:]
    most = torch.tensor([width, height, width, height])
    inside = torch.minimum((box * spatial_scale).clamp(min=0), most)
    return roi_align_box(feature, inside, output_size, 1.0, sampling_ratio)


def _one_matrix_for_both(
    feature: Tensor,
    box: Tensor,
    output_size: Sequence[int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = 2,
) -> Tensor:
    """The rows' start and length along both axes."""
    square = box[[1, 1, 3, 3]]
    return roi_align_box(feature, square, output_size, spatial_scale, sampling_ratio)


def _transposed(
    feature: Tensor,
    box: Tensor,
    output_size: Sequence[int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = 2,
) -> Tensor:
    return roi_align_box(feature, box, output_size, spatial_scale, sampling_ratio).mT


def _largest(
    feature: Tensor,
    box: Tensor,
    output_size: Sequence[int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = 2,
) -> Tensor:
    """Each sample by itself, the largest of a bin kept."""
    height, width = output_size
    fine = (height * sampling_ratio, width * sampling_ratio)
    samples = roi_align_box(feature, box, fine, spatial_scale, 1)
    return samples.reshape(-1, height, sampling_ratio, width, sampling_ratio).amax((2, 4))


def _align_cases(generator: torch.Generator) -> list[Case]:
    squares = (torch.arange(5.0)[:, None] ** 2 + 3 * torch.arange(6.0)).reshape(1, 5, 6)

    def case(note: str, *args: Any) -> Case:
        return Case((squares, *args), note)

    cases = [
        case(
            "one bin, one sample, in the centre of a pixel",
            torch.tensor([2.0, 1.0, 3.0, 2.0]),
            (1, 1),
            1.0,
            1,
        ),
        case("one bin over two by two pixels", torch.tensor([1.0, 1.0, 3.0, 3.0]), (1, 1)),
        case("edges between the cells", torch.tensor([1.3, 0.6, 4.5, 3.8]), (2, 2)),
        case("two rows of three bins", torch.tensor([0.9, 1.2, 4.8, 3.7]), (2, 3)),
        case(
            "a box in pixels of the image, at stride 8", torch.tensor([10.0, 4.0, 34.0, 30.0]), (2, 2), 1 / 8
        ),
        case("a box that reaches over the edges", torch.tensor([-0.9, -0.7, 2.4, 5.6]), (3, 2)),
        case("a box that lies half outside", torch.tensor([3.3, 2.2, 10.1, 9.3]), (2, 3), 1.0, 3),
        case("a box smaller than a cell", torch.tensor([1.2, 1.1, 1.5, 1.6]), (2, 2)),
        Case(
            (squares + 1, torch.tensor([-1.0, -1.0, 0.0, 0.0]), (1, 1), 1.0, 1),
            "a sample exactly one index before the map",
        ),
        Case(
            (squares + 1, torch.tensor([6.0, 5.0, 7.0, 6.0]), (1, 1), 1.0, 1),
            "a sample exactly one index behind the map",
        ),
    ]
    for stride, ratio, size in ((1, 2, (3, 3)), (4, 1, (2, 4)), (8, 3, (4, 2)), (16, 2, (5, 5))):
        feature, box = _random_map(generator, stride)
        cases.append(Case((feature, box, size, 1 / stride, ratio)))
    return cases


def _random_map(generator: torch.Generator, stride: int) -> tuple[Tensor, Tensor]:
    feature = torch.rand(2, 9, 11, generator=generator) * 4 - 1
    corner = torch.rand(2, generator=generator) * 6 - 1.7
    size = torch.rand(2, generator=generator) * 5 + 1.5
    return feature, torch.cat([corner, corner + size]) * stride


def _gradient_inputs() -> tuple[Any, ...]:
    return torch.arange(30.0).reshape(1, 5, 6), torch.tensor([0.7, 1.2, 4.1, 3.9]), (2, 2)


BOX_HINTS = {
    "half": HALF_PIXEL,
    "swap": "A box is x1, y1, x2, y2. Rows of the feature map go with y, columns with x: which numbers "
    "belong to W_y?",
    "longer": "Going over to indices moves both edges by half a cell, so the length stays what it was. "
    "Yours is half a cell too long: which edge stayed behind?",
    "shorter": "Going over to indices moves both edges by half a cell, so the length stays what it was. "
    "Yours is half a cell too short: which edge was moved twice?",
    "scale": "The box is given in pixels of the image. What takes 32 pixels to 4 cells at stride 8?",
    "early": "Half a pixel is half a cell of the feature map. Is it subtracted before or after the box is "
    "scaled?",
    "snap": "Your bins begin and end at whole cells, as RoIPool's do. RoIAlign keeps the fraction: 1.3 "
    "stays 1.3.",
    "ends": "With two samples in a bin of length 1, yours lie at 0 and 1, on the bin's edges. Each sample "
    "stands in the middle of its own share: at 0.25 and 0.75.",
    "first": "With two samples in a bin of length 1, yours lie at 0 and 0.5. Each sample stands in the "
    "middle of its own share: at 0.25 and 0.75.",
    "centre": "The result does not depend on sampling_ratio: you take the centre of each bin only. With two "
    "samples along an axis, a bin of length 1 is read at 0.25 and 0.75.",
    "far": "Inside the map all is right. A sample more than a pixel beyond the outermost centres has no "
    "weight at all.",
    "extent": "The third and fourth number of a box are its far corner, not its width and height.",
}

ALIGN = Exercise(
    "13.3",
    "RoIAlign as two matrix products",
    roi_align_box,
    _align_cases,
    tolerance=1e-4,
    properties=(reaches_gradient(0, _gradient_inputs, "feature"),),
    axes=("channel", "row", "column"),
    plan=(
        "Begin with axis_weights(0.7, 2.4, 2, 2, 5). Where do its four samples lie? A bin is 1.2 long, and "
        "each sample stands in the middle of its share.",
        "Make all positions at once, (bins, samples). Note which are too far out, then clamp the others to "
        "the outermost centres.",
        "Compare each position with each cell: weight = max(0, 1 - |u - j|). What axis is then left over, "
        "and sum or mean over it?",
        "For the box: scale first; then which number takes a coordinate to an index? The length is the "
        "difference of two edges, so it stays.",
        "One matrix for each axis: O = W_y F … .",
    ),
    mistakes=(
        Mistake("half pixel forgotten", _align_with(shift=0.0), BOX_HINTS["half"]),
        Mistake("half pixel before scaling", _align_with(early=True), BOX_HINTS["early"]),
        Mistake("only the near edge moved", _align_with(longer=0.5), BOX_HINTS["longer"]),
        Mistake("an edge moved twice", _align_with(longer=-0.5), BOX_HINTS["shorter"]),
        Mistake("scale forgotten", _align_with(unscaled=True), BOX_HINTS["scale"]),
        Mistake("x and y swapped", _align_with(swap=True), BOX_HINTS["swap"]),
        Mistake("box as x, y, width, height", _align_with(extent=True), BOX_HINTS["extent"]),
        Mistake("rounded like RoIPool", _align_with(snapped=True), BOX_HINTS["snap"]),
        Mistake("samples on the bins' edges", _align_with(inside_bin="ends"), BOX_HINTS["ends"]),
        Mistake("samples at the start of their share", _align_with(inside_bin="first"), BOX_HINTS["first"]),
        Mistake("centre only", _align_with(inside_bin="centre"), BOX_HINTS["centre"]),
        Mistake(
            "nearest neighbour",
            _align_with(kind="nearest"),
            "Each of your samples reads a single cell. RoIAlign mixes two neighbours along each axis; a "
            "sample at 1.25 takes three quarters of cell 1.",
        ),
        Mistake(
            "sum instead of mean",
            _align_with(total=True),
            "Your values are too large by the number of samples. A bin of a constant map must be that "
            "constant: what should a row of W_y sum to?",
        ),
        Mistake(
            "divided along one axis only",
            _align_with(once=True),
            "Your values are too large by sampling_ratio. A bin has sampling_ratio samples along x and "
            "along y: how many is that together?",
        ),
        Mistake(
            "largest instead of mean",
            _largest,
            "You keep the largest sample of a bin, as RoIPool does. RoIAlign averages them, and that is why "
            "it is a matrix product.",
        ),
        Mistake(
            "output transposed",
            _transposed,
            "Rows and columns of your result are exchanged. Which of the two matrices stands on the left, "
            "and which dimension of the map does it act on?",
        ),
        Mistake(
            "output size as width, height",
            _align_with(exchanged=True),
            "output_size is (height, width): with (2, 3) there are two rows of three bins.",
        ),
        Mistake(
            "fades at the border",
            _align_with(border="fade"),
            "In the outermost half cell your values fade towards zero. A sample beyond the last centre (up "
            "to a pixel) takes the border's value: its two weights still sum to 1.",
        ),
        Mistake("clamps however far", _align_with(far=False), BOX_HINTS["far"]),
        Mistake(
            "always two samples",
            _always_two,
            "With a sampling_ratio of 2 you are right. How many samples a bin has says the argument.",
        ),
        Mistake(
            "at least a cell wide",
            _at_least_a_cell,
            "Boxes smaller than a cell come out too large. RoIAlign needs no such rule: bins may be as "
            "small as they are.",
        ),
        Mistake(
            "samples from edge to edge of the box",
            _align_with(inside_bin="spread"),
            "Your first sample stands on the box's near edge, your last one on its far edge. Each stands in "
            "the middle of its own share: of a bin of length 1, two stand at 0.25 and 0.75.",
        ),
        Mistake(
            "samples dealt out in turn",
            _align_with(inside_bin="in turn"),
            "The places of your samples are right, but they go to the wrong bins: neighbours belong to one "
            "bin. Which axis comes first, bins or samples?",
        ),
        Mistake(
            "bins one cell wide",
            _align_with(inside_bin="cell wide"),
            "Each of your bins is one cell wide, whatever the box. All bins together are as long as the box.",
        ),
        Mistake(
            "the cell before the sample",
            _align_with(kind="floor"),
            "Each of your samples reads the one cell at or before it. RoIAlign mixes two neighbours along "
            "each axis.",
        ),
        Mistake(
            "first sample of each bin",
            _align_with(kind="first"),
            "Only the first sample of each bin counts in yours. The mean is over all of them.",
        ),
        Mistake(
            "one axis' box for both",
            _one_matrix_for_both,
            "Both of your matrices use y1 and y2. Rows go with y, columns with x: each axis has its own "
            "start and length.",
        ),
        Mistake(
            "box cut off at the map's edges",
            _box_cut_off,
            "You cut the box off at the map. Then its bins shrink and move. The box stays as it is; what "
            "lies outside is a matter of each sample.",
        ),
    ),
)


def roi_align_gradient(
    grad_output: Tensor,
    box: Tensor,
    feature_size: Sequence[int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = 2,
) -> Tensor:
    """The gradient ``(C, H, W)`` of the feature map from that of RoIAlign's output ``(C, h, w)``."""
    rows, columns = _axes(box, grad_output.shape[1:], feature_size, spatial_scale, sampling_ratio)
    return rows.T @ grad_output @ columns


def _gradient_with(normalise: bool = False, **options: Any) -> Callable[..., Tensor]:
    def wrong(
        grad_output: Tensor,
        box: Tensor,
        feature_size: Sequence[int],
        spatial_scale: float = 1.0,
        sampling_ratio: int = 2,
    ) -> Tensor:
        rows, columns = _axes(
            box, grad_output.shape[1:], feature_size, spatial_scale, sampling_ratio, **options
        )
        if normalise:
            rows, columns = (each / each.sum(0).clamp(min=1e-12) for each in (rows, columns))
        return rows.T @ grad_output @ columns

    return wrong


def _last_one_wins(
    grad_output: Tensor,
    box: Tensor,
    feature_size: Sequence[int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = 2,
) -> Tensor:
    """Where the bins of one cell overlap, only the last is kept."""
    rows, columns = _axes(box, grad_output.shape[1:], feature_size, spatial_scale, sampling_ratio)
    result = grad_output.new_zeros(grad_output.shape[0], *feature_size)
    for row, column in torch.cartesian_prod(torch.arange(len(rows)), torch.arange(len(columns))):
        weight = torch.outer(rows[row], columns[column])
        result = torch.where(weight > 0, weight * grad_output[:, row, column, None, None], result)
    return result


def _exchanged_matrices(
    grad_output: Tensor,
    box: Tensor,
    feature_size: Sequence[int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = 2,
) -> Tensor:
    """W_y G W_xᵀ: the way forward once more, whose shapes fit only by chance."""
    rows, columns = _axes(box, grad_output.shape[1:], feature_size, spatial_scale, sampling_ratio)
    return rows @ grad_output @ columns.T


def _two_each_way(
    grad_output: Tensor,
    box: Tensor,
    feature_size: Sequence[int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = 2,
) -> Tensor:
    return roi_align_gradient(grad_output, box, feature_size, spatial_scale, 2)


def _gradient_transposed(
    grad_output: Tensor,
    box: Tensor,
    feature_size: Sequence[int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = 2,
) -> Tensor:
    return roi_align_gradient(grad_output, box, feature_size, spatial_scale, sampling_ratio).mT


def _gradient_of_first_channel(
    grad_output: Tensor,
    box: Tensor,
    feature_size: Sequence[int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = 2,
) -> Tensor:
    return roi_align_gradient(
        grad_output.sum(0, keepdim=True), box, feature_size, spatial_scale, sampling_ratio
    )


def _gradient_cases(generator: torch.Generator) -> list[Case]:
    one, four = torch.ones(1, 1, 1), torch.tensor([[[1.0, 2.0], [4.0, 8.0]]])
    cases = [
        Case(
            (one, torch.tensor([2.0, 1.0, 3.0, 2.0]), (3, 4), 1.0, 1),
            "one bin, one sample, in the centre of a pixel",
        ),
        Case((one, torch.tensor([1.5, 1.25, 2.5, 2.25]), (4, 4), 1.0, 1), "one sample between four cells"),
        Case((one, torch.tensor([0.7, 0.6, 3.5, 2.8]), (3, 5)), "one bin, two samples along each axis"),
        Case((four, torch.tensor([0.9, 1.2, 4.1, 3.7]), (5, 6)), "four bins that share cells"),
        Case(
            (four, torch.tensor([10.0, 4.0, 34.0, 30.0]), (5, 6), 1 / 8),
            "a box in pixels of the image, at stride 8",
        ),
        Case(
            (four, torch.tensor([-0.9, 2.3, 3.4, 7.6]), (5, 6), 1.0, 3),
            "a box that reaches far over the edges",
        ),
        Case(
            (one, torch.tensor([-1.0, -1.0, 0.0, 0.0]), (3, 4), 1.0, 1), "a sample exactly one index outside"
        ),
        Case((one, torch.tensor([4.0, 3.0, 5.0, 4.0]), (3, 4), 1.0, 1), "the same at the far end"),
    ]
    for stride, ratio, (height, width) in ((1, 2, (3, 3)), (4, 1, (2, 4)), (8, 3, (4, 2)), (16, 2, (5, 5))):
        feature, box = _random_map(generator, stride)
        grad = torch.rand(2, height, width, generator=generator) * 2 - 1
        cases.append(Case((grad, box, tuple(feature.shape[1:]), 1 / stride, ratio)))
    return cases


GRADIENT = Exercise(
    "13.4",
    "The gradient of RoIAlign",
    roi_align_gradient,
    _gradient_cases,
    tolerance=1e-4,
    axes=("channel", "row", "column"),
    plan=(
        "Build W_y and W_x as in 13.3: scale the box, then go over to indices. The bins are as many as the "
        "gradient's rows and columns.",
        "Write the shapes beside the letters: W_y is (h, H), G is (h, w), W_x is (w, W). The result shall "
        "be (H, W).",
        "Which of the two must be transposed for the shapes to fit? There is only one way: … G … .",
        "Check: one bin and one sample between four cells, G = 1. Each of the four gets a quarter.",
    ),
    mistakes=(
        Mistake(
            "spread evenly",
            _gradient_with(kind="even"),
            "Your gradient reaches the right cells, each with the same share. A cell gets back what it "
            "gave: the weight it had on the way forward.",
        ),
        Mistake(
            "nearest cell only",
            _gradient_with(kind="nearest"),
            "Your gradient goes to one cell a sample. Which cells contributed on the way forward, and with "
            "which weights?",
        ),
        Mistake(
            "not divided by the samples",
            _gradient_with(total=True),
            "Your gradient is too large by the number of samples in a bin. Inside the map, the gradient "
            "that goes in must come out: both sum to the same.",
        ),
        Mistake(
            "divided along one axis only",
            _gradient_with(once=True),
            "Your gradient is too large by sampling_ratio. A bin's mean is over the samples along x and "
            "along y.",
        ),
        Mistake(
            "weights normalised per cell",
            _gradient_with(normalise=True),
            "Going back, you make the weights of each cell sum to 1. The transposed matrix needs no "
            "correction: a cell that no sample came near gets little.",
        ),
        Mistake(
            "overwritten instead of added",
            _last_one_wins,
            "Where two bins read the same cell, yours keeps the gradient of one of them. What does a cell "
            "that was used twice get back?",
        ),
        Mistake("half pixel forgotten", _gradient_with(shift=0.0), BOX_HINTS["half"]),
        Mistake("half pixel before scaling", _gradient_with(early=True), BOX_HINTS["early"]),
        Mistake("only the near edge moved", _gradient_with(longer=0.5), BOX_HINTS["longer"]),
        Mistake("an edge moved twice", _gradient_with(longer=-0.5), BOX_HINTS["shorter"]),
        Mistake("scale forgotten", _gradient_with(unscaled=True), BOX_HINTS["scale"]),
        Mistake("x and y swapped", _gradient_with(swap=True), BOX_HINTS["swap"]),
        Mistake("centre only", _gradient_with(inside_bin="centre"), BOX_HINTS["centre"]),
        Mistake("samples on the bins' edges", _gradient_with(inside_bin="ends"), BOX_HINTS["ends"]),
        Mistake("rounded like RoIPool", _gradient_with(snapped=True), BOX_HINTS["snap"]),
        Mistake("clamps however far", _gradient_with(far=False), BOX_HINTS["far"]),
        Mistake(
            "forward once more",
            _exchanged_matrices,
            "That is the way forward, from a map to bins; its shapes do not fit here. Which of the two "
            "matrices must be turned around, so that bins become cells?",
        ),
        Mistake(
            "always two samples",
            _two_each_way,
            "With a sampling_ratio of 2 you are right. The matrices of the way back are those of the way "
            "forward, with the same number of samples.",
        ),
        Mistake(
            "gradient transposed",
            _gradient_transposed,
            "Rows and columns of your gradient are exchanged. W_y belongs to the rows: on which side must it "
            "stand?",
        ),
        Mistake(
            "channels added up",
            _gradient_of_first_channel,
            "You add up over the channels. Each channel of the map gets its own gradient back.",
        ),
        Mistake("box as x, y, width, height", _gradient_with(extent=True), BOX_HINTS["extent"]),
    ),
)


# 13.5 ----------------------------------------------------------------------------------------------


def _place(
    soft: Tensor,
    box: Tensor,
    size: Sequence[int],
    *,
    centre: float = 0.5,
    own_half: float = 0.5,
    swap: bool = False,
    nearest: bool = False,
    corners: bool = False,
    rounded: bool = False,
    border: str = "clamp",
    outside: bool = True,
) -> Tensor:
    """Paste by two matrices of hat functions; every option set is a mistake."""
    x1, y1, x2, y2 = box[[1, 0, 3, 2]] if swap else box
    matrices, masks = [], []
    for low, high, cells, pixels in ((y1, y2, soft.shape[0], size[0]), (x1, x2, soft.shape[1], size[1])):
        if rounded:
            low, high = _half_up(low), torch.maximum(_half_up(high), _half_up(low) + 1)
        part = (torch.arange(pixels) + centre - low) / (high - low)  # 0 to 1 inside the box
        place = part * (cells - 1) if corners else part * cells - own_half
        if border == "clamp":
            place = place.clamp(0, cells - 1)
        if nearest:
            place = _half_up(place)
        matrices.append((1 - (place[:, None] - torch.arange(cells)).abs()).clamp(min=0))
        masks.append((part >= 0) & (part < 1))
    result = matrices[0] @ soft @ matrices[1].T
    return result * torch.outer(*masks) if outside else result


def paste(soft: Tensor, box: Tensor, size: Sequence[int]) -> Tensor:
    """A soft mask ``(h, w)`` in an image ``(H, W)``: bilinear at pixel centres, zero outside the box."""
    return _place(soft, box, size)


def _paste_with(**options: Any) -> Callable[..., Tensor]:
    return lambda soft, box, size: _place(soft, box, size, **options)


def _paste_cases(generator: torch.Generator) -> list[Case]:
    tiny, two = torch.tensor([[1.0]]), torch.tensor([[0.0, 0.2], [0.4, 1.0]])
    cases = [
        Case((tiny, torch.tensor([1.0, 1.0, 4.0, 3.0]), (4, 6)), "a mask of one cell: the box, filled"),
        Case((tiny, torch.tensor([1.4, 0.7, 3.8, 3.2]), (4, 5)), "a box between the pixels"),
        Case((two, torch.tensor([1.0, 1.0, 5.0, 5.0]), (6, 6)), "each cell becomes two by two pixels"),
        Case((two, torch.tensor([0.3, 1.2, 5.6, 3.9]), (5, 7)), "a box that is wider than high"),
        Case((two, torch.tensor([-1.8, 2.3, 3.1, 7.7]), (6, 5)), "a box that reaches over the edges"),
    ]
    for cells, size in (((4, 4), (12, 12)), ((3, 5), (9, 14)), ((7, 7), (16, 11)), ((14, 14), (8, 8))):
        soft = torch.rand(*cells, generator=generator)
        corner = torch.rand(2, generator=generator) * 4 - 1.3
        extent = torch.rand(2, generator=generator) * 5 + 2.2
        cases.append(Case((soft, torch.cat([corner, corner + extent]), size)))
    return cases


def _read(soft: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """A mask at places (cells, continuous), clamped at its border."""
    height, width = soft.shape
    weights = [
        (1 - ((place - 0.5).clamp(0, cells - 1)[:, None] - torch.arange(cells)).abs()).clamp(min=0)
        for place, cells in ((v, height), (u, width))
    ]
    return torch.einsum("pi,ij,pj->p", weights[0], soft, weights[1])


def _pasted(
    value: Callable[[Tensor, Tensor, Tensor], Tensor] = lambda u, v, soft: _read(soft, u, v),
    inside: Callable[[Tensor, Tensor, Tensor], Tensor] = lambda x, low, high: (x >= low) & (x < high),
) -> Callable[..., Tensor]:
    """Paste pixel by pixel; another value of the mask at a place, or another test of what lies in the box."""

    def wrong(soft: Tensor, box: Tensor, size: Sequence[int]) -> Tensor:
        y, x = (each.flatten() for each in torch.meshgrid(*map(torch.arange, size), indexing="ij"))
        x, y = x + 0.5, y + 0.5
        u = (x - box[0]) / (box[2] - box[0]) * soft.shape[1]
        v = (y - box[1]) / (box[3] - box[1]) * soft.shape[0]
        within = inside(x, box[0], box[2]) & inside(y, box[1], box[3])
        return (value(u, v, soft) * within).reshape(*size)

    return wrong


PASTE = Exercise(
    "13.5",
    "From a soft mask back to the image",
    paste,
    _paste_cases,
    tolerance=1e-4,
    any_float=True,
    axes=("row", "column"),
    plan=(
        "One axis first: the by-hand pixel in column 2. Its centre is 2.5; how far is that through the box "
        "from 1 to 5? It must be 0.375.",
        "That times the cells of the mask, 2, is 0.75: a coordinate in the mask. Its index lies half a cell "
        "before; who subtracts that, you or the function that reads?",
        "Do it for all columns and all rows, and make pairs of them in the order in which the reading "
        "function wants x and y.",
        "Read the mask at all points, and give the result the image's shape. Then set to zero what lies "
        "outside the box, by the place in the box, from 0 to 1.",
    ),
    mistakes=(
        Mistake(
            "pixel corners",
            _paste_with(centre=0.0),
            "You ask for the value at a pixel's corner. The pixel in column 3 is the place 3.5: its centre.",
        ),
        Mistake(
            "the mask's half cell forgotten",
            _paste_with(own_half=0.0),
            "The mask has cells with centres too. With two cells over the box, the first centre lies at a "
            "quarter of its width, not at 0.",
        ),
        Mistake(
            "corners aligned",
            _paste_with(corners=True),
            "Yours puts the centres of the outermost cells on the edges of the box (align_corners=True). "
            "The cells fill the box: with two of them, the centres lie at a quarter and at three quarters.",
        ),
        Mistake(
            "x and y swapped",
            _paste_with(swap=True),
            "A box is x1, y1, x2, y2. Rows of the image go with y, columns with x.",
        ),
        Mistake(
            "nearest neighbour",
            _paste_with(nearest=True),
            "Each pixel of yours copies one cell of the mask. Between two cell centres the value goes over "
            "from one to the other.",
        ),
        Mistake(
            "box rounded",
            _paste_with(rounded=True),
            "You round the box to whole pixels first; that is the error this chapter is about. Map each "
            "pixel centre into the box as it is.",
        ),
        Mistake(
            "nothing is outside",
            _paste_with(outside=False),
            "Inside the box all is right. A pixel whose centre lies outside the box does not belong to the "
            "object: zero.",
        ),
        Mistake(
            "fades at the box's edge",
            _paste_with(border="fade"),
            "Near the edges of the box your values fade towards zero. Beyond the outermost cell centre, but "
            "inside the box, the value of that cell goes on: clamp.",
        ),
        Mistake(
            "cut to 0 and 1",
            lambda *args: (paste(*args) > 0.5).float(),
            "You already decide for each pixel. The result stays soft; the threshold comes afterwards.",
        ),
        Mistake(
            "size as width, height",
            lambda soft, box, size: paste(soft, box, (size[1], size[0])),
            "size is (height, width): with (4, 6) there are four rows of six pixels.",
        ),
        Mistake(
            "half a cell twice",
            _paste_with(own_half=1.0),
            "Your values lie half a cell of the mask aside: the half has been taken off twice. The reader "
            "that takes places does it once for you.",
        ),
        Mistake(
            "points as y, x",
            _pasted(lambda u, v, soft: _read(soft, v, u)),
            "Where you read the mask, rows and columns are exchanged. A point is x, y.",
        ),
        Mistake(
            "rows and columns of the mask exchanged",
            _pasted(
                lambda u, v, soft: _read(
                    soft, u * soft.shape[0] / soft.shape[1], v * soft.shape[1] / soft.shape[0]
                )
            ),
            "Across the box lie as many cells as the mask has columns, and down as many as it has rows. "
            "Yours exchanges the two.",
        ),
        Mistake(
            "times one cell fewer",
            _pasted(lambda u, v, soft: _read(soft, u - u / soft.shape[1], v - v / soft.shape[0])),
            "You multiply by the number of cells less one. The cells fill the box, from its first edge to "
            "its last.",
        ),
        Mistake(
            "from 0 to 1, not in cells",
            _pasted(lambda u, v, soft: _read(soft, u / soft.shape[1], v / soft.shape[0])),
            "You read all pixels in the first cell. How far a pixel lies through the box, from 0 to 1, must"
            " become a number of cells.",
        ),
        Mistake(
            "corner, width and height",
            lambda soft, box, size: paste(soft, torch.cat([box[:2], box[:2] + box[2:]]), size),
            "You take the last two numbers of the box for its width and height. They are its far corner.",
        ),
        Mistake(
            "box cut to whole numbers",
            lambda soft, box, size: paste(soft, box.trunc(), size),
            "You drop what comes after the point in the box's numbers. Map each pixel centre into the box "
            "as it is.",
        ),
        Mistake(
            "whole pixels only",
            _pasted(inside=lambda x, low, high: (x - 0.5 >= low) & (x + 0.5 <= high)),
            "Pixels that the box's edge cuts are zero in yours. What counts is the centre: inside, it gets "
            "a value.",
        ),
        Mistake(
            "every pixel that is touched",
            _pasted(inside=lambda x, low, high: (x + 0.5 > low) & (x - 0.5 < high)),
            "Pixels that the box only touches get a value from you. What counts is the centre: outside, it "
            "is zero.",
        ),
        Mistake(
            "index for centre at the edge",
            _pasted(inside=lambda x, low, high: (x - 0.5 >= low) & (x - 0.5 <= high)),
            "Inside, your values are right. Whether a pixel lies in the box you ask of its index: ask its "
            "centre.",
        ),
        Mistake(
            "share of the image",
            lambda soft, box, size: _pasted(
                lambda u, v, soft: _read(
                    soft, u * (box[2] - box[0]) / size[1], v * (box[3] - box[1]) / size[0]
                )
            )(soft, box, size),
            "You divide by the size of the image. The mask fills the box: divide by the box's.",
        ),
        Mistake(
            "from the image's corner",
            lambda soft, box, size: _pasted(
                lambda u, v, soft: _read(
                    soft,
                    u + box[0] / (box[2] - box[0]) * soft.shape[1],
                    v + box[1] / (box[3] - box[1]) * soft.shape[0],
                )
            )(soft, box, size),
            "You count from the corner of the image. The mask begins where the box begins.",
        ),
        Mistake(
            "squashed once more",
            _pasted(lambda u, v, soft: _read(soft, u, v).sigmoid()),
            "Your values lie between one half and 0.73: they are squashed once more. The mask holds shares "
            "already.",
        ),
        Mistake(
            "outside across only",
            lambda soft, box, size: (
                _place(soft, box, size, outside=False)
                * ((torch.arange(size[1]) + 0.5 >= box[0]) & (torch.arange(size[1]) + 0.5 < box[2]))
            ),
            "To the left and right of the box all is zero, above and below it is not. Test both coordinates.",
        ),
    ),
)

EXERCISES = (QUANTIZATION, SAMPLING, ALIGN, GRADIENT, PASTE)
