"""Exercises of chapter 11: valid weights, ASPP, the price of an output stride, several scales, matched masks.

The references are written apart from `segcore.deeplab`. Every mistake is a reference with one thing wrong.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from segcore.checks.exercise import Case, Exercise, Mistake, Property, reaches_gradient

__all__ = ["EXERCISES"]


# 11.1 ----------------------------------------------------------------------------------------------


def _seen(side: int, rate: int) -> Tensor:
    """How many of three weights lie on a row of this length, at each place."""
    place = torch.arange(side)
    return 1 + (place >= rate).long() + (place + rate < side).long()


def valid_weights(size: tuple[int, int], rate: int) -> Tensor:
    """How many of a dilated 3×3 filter's weights lie on the map, at each place."""
    height, width = size
    return _seen(height, rate)[:, None] * _seen(width, rate)


def _with_sides(
    seen: Callable[[int, int], Tensor], both: Callable[[Tensor, Tensor], Tensor] = torch.mul
) -> Callable[[tuple[int, int], int], Tensor]:
    """Another count along each axis, or another way to join the two."""

    def wrong(size: tuple[int, int], rate: int) -> Tensor:
        rows, columns = torch.broadcast_tensors(seen(size[0], rate)[:, None], seen(size[1], rate))
        return both(rows, columns)

    return wrong


def _one_side(side: int, rate: int) -> Tensor:
    return 2 + (torch.arange(side) >= rate).long()


def _last_counts(side: int, rate: int) -> Tensor:
    place = torch.arange(side)
    return 1 + (place >= rate).long() + (place + rate <= side).long()


def _first_lost(side: int, rate: int) -> Tensor:
    place = torch.arange(side)
    return 1 + (place > rate).long() + (place + rate < side).long()


def _without_first(side: int, rate: int) -> Tensor:
    place = torch.arange(side)
    reached = torch.stack([place - rate, place, place + rate])
    return ((reached >= 1) & (reached < side)).sum(0)


def _wraps_round(side: int, rate: int) -> Tensor:
    return 2 + (torch.arange(side) + rate < side).long()


def _one_lost(side: int, rate: int) -> Tensor:
    place = torch.arange(side)
    return 3 - ((place < rate) | (place + rate >= side)).long()


def _all_between(side: int, rate: int) -> Tensor:
    place = torch.arange(side)
    return 1 + place.clamp(max=rate) + (side - 1 - place).clamp(max=rate)


def _diagonal(size: tuple[int, int], rate: int) -> Tensor:
    height, width = size
    y, x = torch.arange(height)[:, None], torch.arange(width)
    steps = [(y + step, x + step) for step in (-rate, 0, rate)]
    seen = [(row >= 0) & (row < height) & (column >= 0) & (column < width) for row, column in steps]
    return 3 * torch.stack(seen).sum(0)


def _convolved(size: tuple[int, int], rate: int, padding: int) -> Tensor:
    return F.conv2d(torch.ones(1, 1, *size), torch.ones(1, 1, 3, 3), padding=padding, dilation=rate)[
        0, 0
    ].long()


def _valid_cases(generator: torch.Generator) -> list[Case]:
    cases = [
        Case(((3, 4), 1), "3 × 4 cells at rate 1"),
        Case(((4, 4), 3), "4 × 4 cells at rate 3"),
        Case(((3, 5), 5), "a rate as large as the map"),
        Case(((7, 5), 2), "7 × 5 cells at rate 2"),
        Case(((1, 6), 1), "a single row"),
    ]
    for _ in range(3):
        height, width, rate = torch.randint(2, 14, (3,), generator=generator).tolist()
        cases.append(Case(((height, width), rate)))
    return cases


VALID = Exercise(
    "11.1",
    "What is left of a filter",
    valid_weights,
    _valid_cases,
    axes=("row", "column"),
    plan=(
        "Take one row of cells first. Of the three weights in a row, the middle one is always on the map.",
        "The one on the left stands rate cells before it. From which cell on is that still on the map?",
        "And up to which cell is the one on the right on it? Count all three for every cell.",
        "A weight counts if its row and its column are both on the map. How do the counts along the two "
        "axes make one number?",
    ),
    mistakes=(
        Mistake(
            "always nine",
            lambda size, rate: torch.full(size, 9),
            "All nine weights count in yours, everywhere. At the border some of them read cells that are "
            "not there.",
        ),
        Mistake(
            "rate ignored",
            lambda size, rate: valid_weights(size, 1),
            "You count as if the rate were 1. How far from the middle do the outer weights stand?",
        ),
        Mistake(
            "rows and columns added",
            _with_sides(_seen, torch.add),
            "You add the counts of rows and columns. Each row that is seen brings a weight for each column "
            "that is seen.",
        ),
        Mistake(
            "the smaller of the two",
            _with_sides(_seen, torch.minimum),
            "You take the smaller of both counts. Each row that is seen brings a weight for each column that "
            "is seen.",
        ),
        Mistake(
            "columns alone",
            lambda size, rate: (3 * _seen(size[1], rate)).expand(size),
            "Only columns run out in yours. Above and below the map there is nothing either.",
        ),
        Mistake(
            "rows alone",
            lambda size, rate: (3 * _seen(size[0], rate))[:, None].expand(size),
            "Only rows run out in yours. Left and right of the map there is nothing either.",
        ),
        Mistake(
            "height and width exchanged",
            lambda size, rate: valid_weights((size[1], size[0]), rate),
            "Your result has as many rows as the map has columns. The size is (height, width).",
        ),
        Mistake(
            "one side alone",
            _with_sides(_one_side),
            "Weights run out at the first rows and columns of yours, not at the last. The filter reaches out "
            "to both sides.",
        ),
        Mistake(
            "a cell too many",
            _with_sides(_last_counts),
            "In yours the cell after the last one still counts. With n cells, which number has the last?",
        ),
        Mistake(
            "a cell too few",
            _with_sides(_first_lost),
            "At cell number rate, the weight to the left reads cell 0. Is that on the map?",
        ),
        Mistake(
            "rate as the filter's side",
            lambda size, rate: valid_weights(size, max(1, rate // 2)),
            "Your outer weights stand half as far out. At rate r they are r cells from the middle, on "
            "either side.",
        ),
        Mistake(
            "gaps not counted in",
            lambda size, rate: valid_weights(size, rate + 1),
            "Your outer weights stand a cell too far out. Rate 1 is the usual filter, whose neighbours "
            "touch.",
        ),
        Mistake(
            "those that are lost",
            lambda size, rate: 9 - valid_weights(size, rate),
            "You count the weights that read nothing. The others are asked for.",
        ),
        Mistake(
            "only where all fit",
            lambda size, rate: torch.where(valid_weights(size, rate) == 9, 9, 1),
            "Where one weight falls off the map you count the middle one alone. Some of the others may still "
            "be on it.",
        ),
        Mistake(
            "a share",
            lambda size, rate: valid_weights(size, rate) / 9,
            "You give the share of the nine. The number itself is asked for, as a whole number.",
        ),
        Mistake(
            "middle left out",
            lambda size, rate: valid_weights(size, rate) - 1,
            "You count the outer weights alone. The one in the middle counts too, and is always on the map.",
        ),
        Mistake(
            "corners left out",
            _with_sides(_seen, lambda rows, columns: rows + columns - 1),
            "You count those in the middle row and the middle column. Four more weights stand off both.",
        ),
        Mistake(
            "gaps counted",
            _with_sides(_all_between),
            "You count every cell between the outer weights. A dilated filter has gaps: how many weights has "
            "it, and where?",
        ),
        Mistake(
            "twice as far",
            lambda size, rate: valid_weights(size, 2 * rate),
            "Your outer weights stand twice as far out. The rate is the way from the middle to a weight, not "
            "half of it.",
        ),
        Mistake(
            "a cell too near",
            lambda size, rate: valid_weights(size, max(1, rate - 1)),
            "Your outer weights stand a cell too near the middle. The rate counts steps, not the cells that "
            "are stepped over.",
        ),
        Mistake(
            "wraps round",
            _with_sides(_wraps_round),
            "Weights run out at the last rows and columns of yours, not at the first. An index below 0 is "
            "not on the map either.",
        ),
        Mistake(
            "one loss a side at most",
            _with_sides(_one_lost),
            "In yours each axis loses one of its three weights at most. At a large rate a place may lose "
            "those on both sides.",
        ),
        Mistake(
            "first cell left out",
            _with_sides(_without_first),
            "Row 0 and column 0 do not count as part of the map in yours. With n cells, the numbers run from "
            "0 to n − 1.",
        ),
        Mistake(
            "one diagonal alone",
            _diagonal,
            "You move rows and columns by the same step, along one diagonal. Each of three rows goes with "
            "each of three columns.",
        ),
        Mistake(
            "losses added",
            _with_sides(_seen, lambda rows, columns: 9 - 3 * (3 - rows) - 3 * (3 - columns)),
            "You take three weights away for each side that is lost. Where a row and a column are lost, they "
            "share a weight.",
        ),
        Mistake(
            "padding of 1",
            functools.partial(_convolved, padding=1),
            "With padding 1 a filter of rate r gives a smaller map, or none. How far out does it reach?",
        ),
        Mistake(
            "no padding",
            functools.partial(_convolved, padding=0),
            "Without padding the result is smaller than the map, or there is none. Each place of the map has "
            "a number.",
        ),
        Mistake(
            "a square map",
            lambda size, rate: valid_weights((size[0], size[0]), rate),
            "You take the height for both axes. The map may be wider than it is high.",
        ),
    ),
)


# 11.2 ----------------------------------------------------------------------------------------------


def aspp(x: Tensor, point: Tensor, around: Sequence[Tensor], rates: Sequence[int], whole: Tensor) -> Tensor:
    """A 1×1 filter, 3×3 filters of several rates and the map's mean side by side, each with ReLU."""
    branches = [F.conv2d(x, point)]
    for weight, rate in zip(around, rates, strict=True):
        branches.append(F.conv2d(x, weight, padding=rate, dilation=rate))
    pooled = F.conv2d(x.mean((2, 3), keepdim=True), whole)
    branches.append(pooled.expand(-1, -1, x.shape[2], x.shape[3]))
    return F.relu(torch.cat(branches, dim=1))


Branch = Callable[[Tensor, Tensor, int], Tensor]
Whole = Callable[[Tensor, Tensor], Tensor]


def _atrous(x: Tensor, weight: Tensor, rate: int) -> Tensor:
    return F.conv2d(x, weight, padding=rate, dilation=rate)


def _mean(x: Tensor, weight: Tensor) -> Tensor:
    return F.conv2d(x.mean((2, 3), keepdim=True), weight)


def _aspp(
    x: Tensor,
    point: Tensor,
    around: Sequence[Tensor],
    rates: Sequence[int],
    whole: Tensor,
    *,
    branch: Branch = _atrous,
    pooled: Whole = _mean,
    join: Callable[[list[Tensor]], Tensor] = lambda branches: torch.cat(branches, 1),
    last: Callable[[Tensor], Tensor] = F.relu,
    order: Callable[[list[Tensor]], list[Tensor]] = lambda branches: branches,
) -> Tensor:
    branches = [F.conv2d(x, point)]
    branches += [branch(x, weight, rate) for weight, rate in zip(around, rates, strict=True)]
    branches.append(pooled(x, whole).expand(len(x), -1, *x.shape[2:]))
    return last(join(order(branches)))


def _padded_by(mode: str) -> Branch:
    def branch(x: Tensor, weight: Tensor, rate: int) -> Tensor:
        index = [torch.arange(-rate, side + rate) for side in x.shape[2:]]
        if mode == "circular":
            index = [i % side for i, side in zip(index, x.shape[2:], strict=True)]
        index = [i.clamp(0, side - 1) for i, side in zip(index, x.shape[2:], strict=True)]
        return F.conv2d(x[:, :, index[0]][..., index[1]], weight, dilation=rate)

    return branch


def _in_cascade(
    x: Tensor, point: Tensor, around: Sequence[Tensor], rates: Sequence[int], whole: Tensor
) -> Tensor:
    """Each 3×3 filter on what the one before gave, as far as the channels fit."""
    branches, y = [F.conv2d(x, point)], x
    for weight, rate in zip(around, rates, strict=True):
        y = _atrous(y[:, : weight.shape[1]], weight[:, : y.shape[1]], rate)
        branches.append(y)
    branches.append(_mean(x, whole).expand(-1, -1, *x.shape[2:]))
    return F.relu(torch.cat(branches, 1))


def _activated_before(x: Tensor, whole: Tensor) -> Tensor:
    return F.relu(F.conv2d(x, whole)).mean((2, 3), keepdim=True)


def _pooled_uncut(
    x: Tensor, point: Tensor, around: Sequence[Tensor], rates: Sequence[int], whole: Tensor
) -> Tensor:
    cut = aspp(x, point, around, rates, whole)[:, : -len(whole)]
    return torch.cat([cut, _mean(x, whole).expand(-1, -1, *x.shape[2:])], 1)


def _interleaved(branches: list[Tensor]) -> Tensor:
    return torch.stack(branches, 2).flatten(1, 2)


def _one_cell(
    x: Tensor, point: Tensor, around: Sequence[Tensor], rates: Sequence[int], whole: Tensor
) -> Tensor:
    branches = [F.conv2d(x, point)]
    branches += [_atrous(x, weight, rate) for weight, rate in zip(around, rates, strict=True)]
    return F.relu(torch.cat([*branches, _mean(x, whole)], 1))


def _all_gradients(function: Callable[..., Tensor]) -> str | None:
    """Whether the gradient of x is the reference's: one that comes through every branch."""
    generator = torch.Generator().manual_seed(0)
    *_, case = _aspp_cases(generator)

    def gradient(of: Callable[..., Tensor]) -> Tensor:
        x = case.args[0].clone().requires_grad_()
        (found,) = torch.autograd.grad(of(x, *case.args[1:]).sum(), x)
        return found

    if torch.allclose(gradient(function), gradient(aspp), rtol=1e-3, atol=1e-3):
        return None
    return "The values are right, but the gradient of x is not: it does not come through all branches."


def _aspp_cases(generator: torch.Generator) -> list[Case]:
    def filters(count: int, channels: int, *rates: int) -> tuple[Any, ...]:
        def draw(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator).mul(2).round() / 2

        around = [draw(count, channels, 3, 3) for _ in rates]
        return draw(count, channels, 1, 1), around, list(rates), draw(count, channels, 1, 1)

    def one(value: float) -> Tensor:
        return torch.tensor([[[[float(value)]]]])

    ones, numbers = torch.ones(1, 1, 3, 3), torch.arange(1.0, 10).reshape(1, 1, 3, 3)
    corner = torch.zeros(1, 1, 5, 5)
    corner[0, 0, 0, 0] = 25.0
    cases = [
        Case((numbers, one(2), [ones], [2], one(1)), "the numbers 1 to 9, one rate"),
        Case((numbers, one(-1), [ones, -ones], [1, 3], one(2)), "two rates, and a sum below zero"),
        Case((corner, one(1), [ones, ones], [1, 4], one(1)), "a single cell that is not 0, in a corner"),
        Case((torch.stack([numbers[0], -numbers[0]]), one(1), [ones], [1], one(1)), "two images"),
        Case((numbers, one(1), [], [], one(1)), "no rate at all: the 1×1 filter and the mean"),
        Case((numbers - 5, one(1), [ones], [1], one(1)), "numbers on both sides of 0, whose mean is 0"),
    ]
    for n, channels, count, height, width, rates in (
        (2, 3, 2, 6, 5, (1, 2)),
        (1, 2, 3, 4, 8, (2, 3, 6)),
        (2, 2, 2, 7, 6, (1, 2, 3)),
        (1, 2, 2, 5, 6, (1, 2, 3, 4)),
    ):
        x = torch.randn(n, channels, height, width, generator=generator)
        cases.append(Case((x, *filters(count, channels, *rates))))
    return cases


ATROUS = Exercise(
    "11.2",
    "Atrous spatial pyramid pooling",
    aspp,
    _aspp_cases,
    tolerance=1e-4,
    properties=(
        reaches_gradient(
            0,
            lambda: (
                torch.ones(1, 1, 4, 4),
                torch.ones(1, 1, 1, 1),
                [torch.ones(1, 1, 3, 3)],
                [2],
                torch.ones(1, 1, 1, 1),
            ),
            "x",
        ),
        Property(
            "gradient through every branch",
            _all_gradients,
            "Somewhere a branch is cut off from x: look for .detach(), .data, torch.no_grad() or a new "
            "tensor made of numbers.",
        ),
    ),
    any_float=True,
    axes=("image", "channel", "row", "column"),
    plan=(
        "All branches read the same map x. Start with the 1×1 filter: F.conv2d needs nothing but the map "
        "and the weight.",
        "A 3×3 filter of rate r reaches r cells out on each side. How much padding keeps the map's size?",
        "Image pooling: the mean over rows and columns leaves one cell. Filter it, then give its value to "
        "every place.",
        "Lay all maps beside one another along the channels, in the order of the task, and put what is below "
        "0 to 0.",
    ),
    mistakes=(
        Mistake(
            "rate ignored",
            functools.partial(_aspp, branch=lambda x, w, rate: F.conv2d(x, w, padding=1)),
            "Your 3×3 filters read cells that touch, whatever their rate. Which option of F.conv2d moves "
            "the weights apart?",
        ),
        Mistake(
            "padding of 1",
            functools.partial(_aspp, branch=lambda x, w, rate: F.conv2d(x, w, padding=1, dilation=rate)),
            "A filter of rate r with padding 1 gives a smaller map, and maps of different sizes cannot "
            "stand side by side. How far out does it reach?",
        ),
        Mistake(
            "no padding",
            functools.partial(_aspp, branch=lambda x, w, rate: F.conv2d(x, w, dilation=rate)),
            "Without padding a filter of rate r gives a smaller map. All branches must keep the size of x.",
        ),
        Mistake(
            "edges repeated",
            functools.partial(_aspp, branch=_padded_by("replicate")),
            "Outside the map you repeat the cells of its edge. Here there are zeros outside.",
        ),
        Mistake(
            "the other side seen",
            functools.partial(_aspp, branch=_padded_by("circular")),
            "What leaves your map on the right comes back on the left. Outside the map there are zeros.",
        ),
        Mistake(
            "one after the other",
            _in_cascade,
            "Your filters read what the filter before them gave. In a pyramid all of them read x, side by "
            "side.",
        ),
        Mistake(
            "added",
            functools.partial(_aspp, join=lambda branches: torch.stack(branches).sum(0)),
            "You add the branches. They are laid beside one another, and what follows decides how to mix "
            "them.",
        ),
        Mistake(
            "below one another",
            functools.partial(_aspp, join=lambda branches: torch.cat(branches, 2)),
            "You lay the branches below one another: the map gets higher. They belong on top of one another, "
            "along the channels.",
        ),
        Mistake(
            "along the batch",
            functools.partial(_aspp, join=lambda branches: torch.cat(branches, 0)),
            "You join along the first axis, which counts images. Channels are the axis after it.",
        ),
        Mistake(
            "no ReLU",
            functools.partial(_aspp, last=lambda x: x),
            "There are numbers below 0 in your result. Each branch ends with a ReLU.",
        ),
        Mistake(
            "ReLU before the mean",
            functools.partial(_aspp, pooled=_activated_before),
            "You filter and cut off what is below 0 before you take the mean. Take the mean of the map as it "
            "is, first.",
        ),
        Mistake(
            "largest value",
            functools.partial(_aspp, pooled=lambda x, w: F.conv2d(x.amax((2, 3), keepdim=True), w)),
            "Your image pooling takes the largest value of the map. It is the mean here.",
        ),
        Mistake(
            "sum of the map",
            functools.partial(_aspp, pooled=lambda x, w: F.conv2d(x.sum((2, 3), keepdim=True), w)),
            "Your image pooling adds up the map. The mean does not grow with the size of the map.",
        ),
        Mistake(
            "mean over the batch too",
            functools.partial(_aspp, pooled=lambda x, w: F.conv2d(x.mean((0, 2, 3), keepdim=True), w)),
            "Your mean goes over all images of the batch. Each image has a mean of its own.",
        ),
        Mistake(
            "mean over a row",
            functools.partial(_aspp, pooled=lambda x, w: F.conv2d(x.mean(3, keepdim=True), w)),
            "Your mean is over each row. Image pooling takes rows and columns together.",
        ),
        Mistake(
            "mean not spread",
            functools.partial(_aspp, pooled=lambda x, w: F.conv2d(x, w)),
            "Your last branch filters the map cell by cell. It should see the mean of the whole map, the "
            "same at every place.",
        ),
        Mistake(
            "mean where it was, zeros elsewhere",
            functools.partial(
                _aspp, pooled=lambda x, w: F.pad(_mean(x, w), (0, x.shape[3] - 1, 0, x.shape[2] - 1))
            ),
            "Your pooled value stands in one corner and zeros elsewhere. Every place gets it.",
        ),
        Mistake(
            "mean first",
            functools.partial(_aspp, order=lambda branches: [branches[-1], *branches[:-1]]),
            "The numbers are right, in another order: the pooled branch comes last.",
        ),
        Mistake(
            "1×1 filter before the mean",
            functools.partial(_aspp, order=lambda branches: [*branches[1:-1], branches[0], branches[-1]]),
            "The numbers are right, in another order: the 1×1 filter comes first.",
        ),
        Mistake(
            "mean left out",
            functools.partial(_aspp, order=lambda branches: branches[:-1]),
            "A branch is missing: the one that sees the mean of the whole map.",
        ),
        Mistake(
            "1×1 filter left out",
            functools.partial(_aspp, order=lambda branches: branches[1:]),
            "A branch is missing: the 1×1 filter, which looks at each cell by itself.",
        ),
        Mistake(
            "filters turned over",
            functools.partial(_aspp, branch=lambda x, w, rate: _atrous(x, w.flip(2, 3), rate)),
            "Your 3×3 filters are turned by half a turn. F.conv2d does not flip a kernel, and neither should "
            "you.",
        ),
        Mistake(
            "rows and columns of the filters exchanged",
            functools.partial(_aspp, branch=lambda x, w, rate: _atrous(x, w.transpose(2, 3), rate)),
            "Your 3×3 filters have rows and columns exchanged. The last two axes of a weight are rows, then "
            "columns.",
        ),
        Mistake(
            "mean over the channels too",
            functools.partial(
                _aspp,
                pooled=lambda x, w: F.conv2d(x.mean((1, 2, 3), keepdim=True).expand(-1, x.shape[1], 1, 1), w),
            ),
            "Your mean goes over the channels too. Each channel has a mean of its own, and the 1×1 filters "
            "mix them.",
        ),
        Mistake(
            "ReLU on the map",
            lambda x, *filters: aspp(x.relu(), *filters),
            "You cut off what is below 0 in x. The branches read x as it is; what they give is cut off.",
        ),
        Mistake(
            "ReLU on the pooled map",
            functools.partial(_aspp, pooled=lambda x, w: _mean(x.relu(), w)),
            "You cut off what is below 0 before the mean. Image pooling takes the mean of x as it is.",
        ),
        Mistake(
            "pooled branch not cut",
            _pooled_uncut,
            "Your last branch holds numbers below 0, the others do not. What is below 0 becomes 0 in all.",
        ),
        Mistake(
            "same 1×1 filters twice",
            lambda x, point, around, rates, whole: aspp(x, point, around, rates, point),
            "You filter the mean with the first branch's filters. It has filters of its own.",
        ),
        Mistake(
            "rate as a stride",
            functools.partial(_aspp, branch=lambda x, w, rate: F.conv2d(x, w, padding=1, stride=rate)),
            "You let the filter jump by the rate, and the map gets smaller. The rate sets its weights apart: "
            "that is another option.",
        ),
        Mistake(
            "one rate for all",
            lambda x, point, around, rates, whole: aspp(x, point, around, rates[:1] * len(rates), whole),
            "All your 3×3 filters have the first one's rate. Each goes with a rate of its own.",
        ),
        Mistake(
            "three branches at most",
            lambda x, point, around, rates, whole: aspp(x, point, around[:3], rates[:3], whole),
            "You read three rates, and there may be more or fewer. Go through the lists.",
        ),
        Mistake(
            "mean before the rates",
            functools.partial(_aspp, order=lambda branches: [branches[0], branches[-1], *branches[1:-1]]),
            "The numbers are right, in another order: the pooled branch comes after those with rates.",
        ),
        Mistake(
            "rates from the last",
            functools.partial(_aspp, order=lambda branches: [branches[0], *branches[-2:0:-1], branches[-1]]),
            "The numbers are right, in another order: the rates are taken in the order in which they come.",
        ),
        Mistake(
            "channels shuffled together",
            functools.partial(_aspp, join=_interleaved),
            "The numbers are right, in another order: you give the first channel of every branch, then the "
            "second. A branch's channels stay together.",
        ),
        Mistake(
            "pooled map of one cell",
            _one_cell,
            "Your pooled branch is one cell large, and the others are as large as the map. Every place is to "
            "get its value.",
        ),
    ),
)


# 11.3 ----------------------------------------------------------------------------------------------

Spec = tuple[int, int, int, int]  # channels in and out, side of the kernel, stride


def multiply_adds(layers: Sequence[Spec], size: tuple[int, int], output_stride: int) -> int:
    """Multiply-adds of a row of convolutions that shall end at this output stride."""
    height, width = size
    total, reached = 0, 1
    for before, after, kernel, stride in layers:
        if reached * stride <= output_stride:
            reached = reached * stride
            height, width = math.ceil(height / stride), math.ceil(width / stride)
        total += height * width * before * after * kernel * kernel
    return total


def _price(
    layers: Sequence[Spec],
    size: tuple[int, int],
    output_stride: int,
    *,
    keeps: Callable[[int, int], bool] = lambda reached, wanted: reached <= wanted,
    halved: Callable[[int, int], int] = lambda side, stride: -(-side // stride),
    of: Callable[[int, int, int], int] = lambda before, after, kernel: before * after * kernel**2,
    map_before: bool = False,
    late: bool = False,
    stretched: bool = False,
    stops: bool = False,
    last: bool = False,
    axes: int = 2,
) -> int:
    total, reached, old, stopped = 0, 1, 1, False
    sides = list(size)
    for before, after, kernel, stride in layers:
        read = list(sides)
        kept = keeps(reached if late else reached * stride, output_stride) and not (stops and stopped)
        stopped = stopped or not kept
        wide = (kernel - 1) * (old // reached) + 1 if stretched else kernel
        if kept:
            reached *= stride
            sides = [halved(side, stride) if axis < axes else side for axis, side in enumerate(sides)]
        old *= stride
        cost = math.prod(read if map_before else sides) * of(before, after, wide)
        total = cost if last else total + cost
    return total


def _priced(step: Callable[[int, int, int, int], tuple[int, int]]) -> Callable[..., int]:
    """Another size of the map: from side, kernel, stride and the stride that is left to size and step."""

    def wrong(layers: Sequence[Spec], size: tuple[int, int], output_stride: int) -> int:
        total, reached, sides = 0, 1, list(size)
        for before, after, kernel, stride in layers:
            found = [step(side, kernel, stride, output_stride // reached) for side in sides]
            reached *= found[0][1]
            sides = [side for side, _ in found]
            total += math.prod(sides) * before * after * kernel**2
        return total

    return wrong


def _dividing(layers: Sequence[Spec], size: tuple[int, int], output_stride: int) -> int:
    kept, reached = [], 1
    for before, after, kernel, stride in layers:
        step = 1 if output_stride % (reached * stride) else stride
        reached *= step
        kept.append((before, after, kernel, step))
    return multiply_adds(kept, size, reached)


def _dearest_layer(layers: Sequence[Spec], size: tuple[int, int], output_stride: int) -> int:
    sums = [multiply_adds(layers[:count], size, output_stride) for count in range(len(layers) + 1)]
    return max((after - before for before, after in itertools.pairwise(sums)), default=0)


def _adding_up(layers: Sequence[Spec], size: tuple[int, int], output_stride: int) -> int:
    kept, reached = [], 0
    for before, after, kernel, stride in layers:
        step = stride if stride == 1 or reached + stride <= output_stride else 1
        reached += step if step > 1 else 0
        kept.append((before, after, kernel, step))
    return multiply_adds(kept, size, 10**9)


def _cut_down(side: int, kernel: int, stride: int, left: int) -> tuple[int, int]:
    step = min(stride, max(left, 1))
    return -(-side // step), step


def _unpadded(side: int, kernel: int, stride: int, left: int) -> tuple[int, int]:
    step = stride if stride <= left else 1
    return (side - kernel) // step + 1, step


def _layers_left_out(layers: Sequence[Spec], size: tuple[int, int], output_stride: int) -> int:
    reached, left = 1, []
    for layer in layers:
        if reached * layer[3] <= output_stride:
            reached *= layer[3]
            left.append(layer)
    return multiply_adds(left, size, output_stride)


def _price_cases(generator: torch.Generator) -> list[Case]:
    two = [(1, 2, 3, 2), (2, 3, 3, 2)]
    resnet = [(3, 8, 7, 2), (8, 8, 3, 2), (8, 16, 3, 2), (16, 32, 3, 2), (32, 64, 3, 2), (64, 64, 1, 1)]
    cases = [
        Case((two, (8, 8), 4), "two layers of stride 2, both kept"),
        Case((two, (8, 8), 2), "the same, and the second stride is taken away"),
        Case(([(1, 1, 1, 2)], (5, 3), 2), "5 × 3 pixels: a map of 3 × 2"),
        Case(([(2, 5, 3, 1), (5, 4, 3, 1)], (4, 6), 8), "no stride at all"),
        Case(([(1, 1, 3, 2), (1, 1, 3, 3), (1, 1, 3, 2)], (24, 24), 4), "strides 2, 3 and 2 for 4"),
        Case((resnet, (64, 96), 8), "a small ResNet at output stride 8"),
        Case((resnet, (64, 96), 32), "the same at 32"),
        Case(([], (4, 4), 8), "no layer"),
        Case(([(1, 1, 3, 3)], (9, 9), 4), "a stride of 3 where 4 is allowed"),
    ]
    for _ in range(3):
        channels = torch.randint(1, 9, (6,), generator=generator).tolist()
        kernels = (2 * torch.randint(0, 3, (5,), generator=generator) + 1).tolist()
        strides = torch.randint(1, 3, (5,), generator=generator).tolist()
        height, width = torch.randint(9, 40, (2,), generator=generator).tolist()
        layers = list(zip(channels, channels[1:], kernels, strides, strict=False))
        cases.append(
            Case((layers, (height, width), 2 ** int(torch.randint(1, 4, (1,), generator=generator))))
        )
    return cases


PRICE = Exercise(
    "11.3",
    "What an output stride costs",
    multiply_adds,
    _price_cases,
    plan=(
        "Follow the map through the layers: its height, its width, and the stride that is reached so far.",
        "Does a layer keep its stride? Yes if the stride that is reached with it is not above the wanted "
        "one. Then the map gets smaller, and what is left over rounds up.",
        "Each number that comes out of a layer is a sum of kernel × kernel × … products.",
        "A dilated filter has as many weights as before, so its cost for each cell does not change.",
    ),
    mistakes=(
        Mistake(
            "all strides kept",
            functools.partial(_price, keeps=lambda reached, wanted: True),
            "You let every layer keep its stride. Those that would make the map too coarse lose it.",
        ),
        Mistake(
            "no stride kept",
            functools.partial(_price, keeps=lambda reached, wanted: False),
            "Your maps are as large as the image. Strides stay as long as the map is no coarser than wanted.",
        ),
        Mistake(
            "below, not up to",
            functools.partial(_price, keeps=lambda reached, wanted: reached < wanted),
            "Yours stops a step too early: at output stride 4, a map of stride 4 is allowed.",
        ),
        Mistake(
            "one stride too many",
            functools.partial(_price, keeps=lambda reached, wanted: reached < 2 * wanted),
            "Your last map is coarser than it may be. Look at the stride with this layer, not before it.",
        ),
        Mistake(
            "size rounded down",
            functools.partial(_price, halved=lambda side, stride: max(side // stride, 1)),
            "5 pixels at stride 2 leave 3 cells, at pixels 0, 2 and 4. You round down.",
        ),
        Mistake(
            "kernel not squared",
            functools.partial(_price, of=lambda before, after, kernel: before * after * kernel),
            "A kernel of 3 has 9 weights for each pair of channels, not 3.",
        ),
        Mistake(
            "kernel left out",
            functools.partial(_price, of=lambda before, after, kernel: before * after),
            "You count as if all filters were 1×1. How many weights has one filter?",
        ),
        Mistake(
            "input channels left out",
            functools.partial(_price, of=lambda before, after, kernel: after * kernel**2),
            "Every output channel reads all channels of the input. They are missing from your product.",
        ),
        Mistake(
            "output channels left out",
            functools.partial(_price, of=lambda before, after, kernel: before * kernel**2),
            "Each output channel is computed by itself. They are missing from your product.",
        ),
        Mistake(
            "channels added",
            functools.partial(_price, of=lambda before, after, kernel: (before + after) * kernel**2),
            "You add the channels of input and output. Each of the one is paired with each of the other.",
        ),
        Mistake(
            "map before the layer",
            functools.partial(_price, map_before=True),
            "You multiply by the size of the map that comes in. The work is done once for each number that "
            "comes out.",
        ),
        Mistake(
            "dilated kernels counted full",
            functools.partial(_price, stretched=True),
            "You count the gaps of dilated filters as weights. Nothing is multiplied there.",
        ),
        Mistake(
            "no stride after a lost one",
            functools.partial(_price, stops=True),
            "After the first stride that is lost, you take all others away. A smaller one may still fit.",
        ),
        Mistake(
            "only the last layer",
            functools.partial(_price, last=True),
            "You give the cost of the last layer. Those before it have to be computed too.",
        ),
        Mistake(
            "height alone",
            functools.partial(_price, axes=1),
            "Only the height of your map shrinks. A stride acts along both axes.",
        ),
        Mistake(
            "width alone",
            lambda layers, size, output_stride: _price(layers, size[::-1], output_stride, axes=1),
            "Only the width of your map shrinks. A stride acts along both axes.",
        ),
        Mistake(
            "strides added",
            _adding_up,
            "You add the strides up. After a stride of 3 and one of 2, how far apart do cells stand?",
        ),
        Mistake(
            "the dearest layer",
            _dearest_layer,
            "You give the cost of the dearest layer. The layers run one after the other: their costs add up.",
        ),
        Mistake(
            "only the first layer",
            lambda layers, size, output_stride: multiply_adds(layers[:1], size, output_stride),
            "You give the cost of the first layer. Does a return stand inside the loop?",
        ),
        Mistake(
            "multiplications and additions",
            lambda layers, size, output_stride: 2 * multiply_adds(layers, size, output_stride),
            "You count a multiplication and an addition as two. One multiply-add is both.",
        ),
        Mistake(
            "weights, not work",
            lambda layers, size, output_stride: sum(a * b * k * k for a, b, k, _ in layers),
            "You count the weights. Each of them is used again at every place of the map.",
        ),
        Mistake(
            "this layer not counted in",
            functools.partial(_price, late=True),
            "You ask for the stride before this layer, and so the map ends up coarser than it may be. What "
            "would it be with this layer?",
        ),
        Mistake(
            "only strides that divide",
            _dividing,
            "You keep a stride only if what is reached divides the wanted one. It must not be above it; no "
            "more is asked.",
        ),
        Mistake(
            "a cell more than it divides",
            functools.partial(_price, halved=lambda side, stride: side // stride + 1 if stride > 1 else side),
            "Your maps have a cell too many where the stride divides the size. 8 pixels at stride 2 leave 4.",
        ),
        Mistake(
            "rounded to the nearest",
            functools.partial(_price, halved=lambda side, stride: round(side / stride)),
            "You round the size to the nearest number, and Python's round(2.5) is 2. Here it is always "
            "rounded up.",
        ),
        Mistake(
            "size not rounded",
            lambda *args: int(_price(*args, halved=lambda side, stride: side / stride)),  # type: ignore[arg-type,return-value]
            "Your maps have parts of cells. 5 pixels at stride 2 leave 3 cells, at pixels 0, 2 and 4.",
        ),
        Mistake(
            "biases counted",
            functools.partial(_price, of=lambda before, after, kernel: after * (before * kernel**2 + 1)),
            "You count one more for each output channel, as for a bias. Only the filters' weights count.",
        ),
        Mistake(
            "stride cut down",
            _priced(_cut_down),
            "Where a stride is too large you take a smaller one that still fits. Such a layer moves by 1.",
        ),
        Mistake(
            "no padding",
            _priced(_unpadded),
            "Your maps lose their rims, as without padding. These are padded: only the stride makes a map "
            "smaller.",
        ),
        Mistake(
            "layers left out",
            _layers_left_out,
            "A layer that loses its stride is missing from your sum. It still runs, on a larger map.",
        ),
        Mistake(
            "height for both",
            lambda layers, size, output_stride: multiply_adds(layers, (size[0], size[0]), output_stride),
            "You take the height of the image for its width too. Images need not be square.",
        ),
        Mistake(
            "width for both",
            lambda layers, size, output_stride: multiply_adds(layers, (size[1], size[1]), output_stride),
            "You take the width of the image for its height too. Images need not be square.",
        ),
    ),
)


# 11.4 ----------------------------------------------------------------------------------------------


def brightness(image: Tensor) -> Tensor:
    """Two classes: three times the first channel, and minus that."""
    return torch.cat([3 * image[:, :1], -3 * image[:, :1]], 1)


def leaning(image: Tensor) -> Tensor:
    """Two classes: the first channel, and what is left of each pixel; no mirror image of itself."""
    before = F.pad(image, (1, 0))[..., :-1]
    return torch.cat([2 * image[:, :1], 4 * before[:, :1]], 1)


def small_and_large(image: Tensor) -> Tensor:
    """Three classes, of a pixel, of what is above it, and of the size of the image."""
    above = F.pad(image, (0, 0, 1, 0))[:, :, :-1]
    size = torch.full_like(image[:, :1], image.shape[2] / (2 + image.shape[3]))
    return torch.cat([4 * image[:, :1], 3 * above[:, -1:], 2 * size], 1)


Network = Callable[[Tensor], Tensor]


def _resize(x: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(x, size, mode="bilinear", align_corners=False)


def multiscale(network: Network, image: Tensor, scales: Sequence[float]) -> Tensor:
    """Probabilities, averaged over sizes and over the image and its mirror image."""
    height, width = image.shape[2:]
    found = []
    for scale in scales:
        resized = _resize(image, (round(scale * height), round(scale * width)))
        straight = network(resized)
        mirrored = network(resized.flip(3)).flip(3)
        for logits in (straight, mirrored):
            found.append(_resize(logits, (height, width)).softmax(1))
    return torch.stack(found).mean(0)


def _scales(
    network: Network,
    image: Tensor,
    scales: Sequence[float],
    *,
    resize: Callable[[Tensor, Sequence[int]], Tensor] = _resize,
    resize_back: Callable[[Tensor, Sequence[int]], Tensor] | None = None,
    mirror: Callable[[Tensor], Tensor] = lambda x: x.flip(3),
    back: Callable[[Tensor], Tensor] | None = None,
    flips: Callable[[float], tuple[bool, ...]] = lambda scale: (False, True),
    each: Callable[[Tensor], Tensor] = lambda logits: logits.softmax(1),
    join: Callable[[Tensor], Tensor] = lambda found: found.mean(0),
    whole: Callable[[float], int] = round,
    resize_first: bool = True,
) -> Tensor:
    back, resize_back = back or mirror, resize_back or resize
    size, found = image.shape[2:], []
    for scale in scales:
        resized = resize(image, [max(1, whole(scale * side)) for side in size])
        for flip in flips(scale):
            logits = back(network(mirror(resized))) if flip else network(resized)
            found.append(each(resize_back(logits, size)) if resize_first else resize_back(each(logits), size))
    return join(torch.stack(found))


def _votes(logits: Tensor) -> Tensor:
    return F.one_hot(logits.argmax(1), logits.shape[1]).movedim(-1, 1).to(logits)


def _crop(x: Tensor, size: Sequence[int]) -> Tensor:
    """Cut or padded with zeros to this size, in place of a resize."""
    return F.pad(x, (0, size[1] - x.shape[3], 0, size[0] - x.shape[2]))


def _corners(x: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(x, tuple(size), mode="bilinear", align_corners=True)


def _nearest(x: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(x, tuple(size))


def _smoothed(x: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(x, tuple(size), mode="bilinear", align_corners=False, antialias=True)


def _bicubic(x: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(x, tuple(size), mode="bicubic", align_corners=False)


def _running(found: Tensor) -> Tensor:
    return functools.reduce(lambda mean, one: (mean + one) / 2, found)


def _around(resized: Callable[[Tensor, float], Tensor], back: bool = True) -> Callable[..., Tensor]:
    """Another way to get from the image and a scale to what the network reads."""

    def wrong(network: Network, image: Tensor, scales: Sequence[float]) -> Tensor:
        total: Any = 0
        for scale in scales:
            small = resized(image, scale)
            for logits in (network(small), network(small.flip(3)).flip(3)):
                total = total + (_resize(logits, image.shape[2:]) if back else logits).softmax(1)
        return total / (2 * len(scales))

    return wrong


def _to_scale(image: Tensor, scale: float) -> Tensor:
    return _resize(image, [round(scale * side) for side in image.shape[2:]])


def _by_factor(image: Tensor, scale: float) -> Tensor:
    return F.interpolate(image, scale_factor=scale, mode="bilinear", align_corners=False)


def _sides_exchanged(image: Tensor, scale: float) -> Tensor:
    return _resize(image, [round(scale * image.shape[3]), round(scale * image.shape[2])])


def _answer_mirrored(network: Network, image: Tensor, scales: Sequence[float]) -> Tensor:
    found = []
    for scale in scales:
        once = _resize(network(_to_scale(image, scale)), image.shape[2:]).softmax(1)
        found += [once, once.flip(3)]
    return torch.stack(found).mean(0)


def _one_from_the_other(network: Network, image: Tensor, scales: Sequence[float]) -> Tensor:
    small, found = image, []
    for scale in scales:
        small = _to_scale(small, scale)
        for logits in (network(small), network(small.flip(3)).flip(3)):
            found.append(_resize(logits, image.shape[2:]).softmax(1))
    return torch.stack(found).mean(0)


def _scale_cases(generator: torch.Generator) -> list[Case]:
    row = torch.tensor([[[[0.0, 1.0]]]])
    picture = torch.tensor([[[[0.0, 1.0, 0.0, 0.5], [1.0, 0.0, 0.2, 0.4]]]])
    cases = [
        Case((leaning, row, [1.0]), "two pixels, one size"),
        Case((brightness, picture, [1.0]), "a network that treats all pixels alike"),
        Case((leaning, picture, [1.0, 2.0]), "two sizes"),
        Case((small_and_large, picture, [0.5, 1.0]), "half the size as well; a network that looks up"),
        Case((leaning, picture.expand(2, 2, 2, 4), [1.5]), "two images, one size that is not theirs"),
    ]
    for n, channels, height, width, scales in (
        (1, 1, 5, 7, [0.75, 1.0, 1.25]),
        (2, 2, 7, 5, [0.75, 1.3]),
        (1, 3, 6, 6, [0.6, 1.0, 2.0]),
    ):
        image = torch.rand(n, channels, height, width, generator=generator)
        network = (leaning, small_and_large)[height % 2]
        cases.append(Case((network, image, scales)))
    return cases


SCALES = Exercise(
    "11.4",
    "Several sizes, and mirrored",
    multiscale,
    _scale_cases,
    tolerance=1e-4,
    any_float=True,
    axes=("image", "class", "row", "column"),
    plan=(
        "One size first: resize the image with F.interpolate, bilinear, align_corners=False, and give it to "
        "the network.",
        "Then the mirrored one: flip what goes in along the columns. Which place does the answer belong to? "
        "Flip it back.",
        "Each map of logits goes back to the image's own size, and only then through softmax over the "
        "classes.",
        "Collect all maps, two for each size, and take their mean.",
    ),
    mistakes=(
        Mistake(
            "not flipped back",
            functools.partial(_scales, back=lambda x: x),
            "The answer to the mirrored image is mirrored too. Bring it back before you add it to the other.",
        ),
        Mistake(
            "upside down",
            functools.partial(_scales, mirror=lambda x: x.flip(2)),
            "You turn the image upside down. Left and right are to be exchanged: which axis are the columns?",
        ),
        Mistake(
            "both axes mirrored",
            functools.partial(_scales, mirror=lambda x: x.flip(2, 3)),
            "You turn the image by half a turn. Only left and right are to be exchanged.",
        ),
        Mistake(
            "never mirrored",
            functools.partial(_scales, flips=lambda scale: (False,)),
            "Every size goes in once in yours. It also goes in mirrored.",
        ),
        Mistake(
            "only mirrored",
            functools.partial(_scales, flips=lambda scale: (True,)),
            "Only mirrored images go into your network. The image as it is counts too.",
        ),
        Mistake(
            "mirrored at size 1 alone",
            functools.partial(_scales, flips=lambda scale: (False, True) if scale == 1 else (False,)),
            "You mirror the image in its own size alone. Every size goes in twice.",
        ),
        Mistake(
            "logits averaged",
            functools.partial(_scales, each=lambda logits: logits, join=lambda f: f.mean(0).softmax(1)),
            "You average logits and take the softmax at the end. Make probabilities of each map first: "
            "their mean is asked for.",
        ),
        Mistake(
            "logits returned",
            functools.partial(_scales, each=lambda logits: logits),
            "Your result does not add up to 1 over the classes: it is a mean of logits. Probabilities are "
            "asked for.",
        ),
        Mistake(
            "votes",
            functools.partial(_scales, each=_votes),
            "You let every run vote for one class. Then a run that is hardly sure counts as much as one that "
            "is: use its probabilities.",
        ),
        Mistake(
            "probabilities multiplied",
            functools.partial(_scales, join=lambda found: found.prod(0)),
            "You multiply the probabilities. One run that says 0 then silences all others; the mean is "
            "asked for.",
        ),
        Mistake(
            "largest probability",
            functools.partial(_scales, join=lambda found: found.amax(0)),
            "You keep the largest of the probabilities. They no longer add up to 1; take the mean.",
        ),
        Mistake(
            "added, not averaged",
            functools.partial(_scales, join=lambda found: found.sum(0)),
            "You add the probabilities up. Divide by how many maps there are.",
        ),
        Mistake(
            "divided by the sizes",
            functools.partial(_scales, join=lambda found: found.sum(0) / (len(found) / 2)),
            "You divide by the number of sizes. Each size gives two maps.",
        ),
        Mistake(
            "softmax before resizing",
            functools.partial(_scales, resize_first=False),
            "You make probabilities of the small map and resize those. Here the logits are resized, and "
            "probabilities come after.",
        ),
        Mistake(
            "softmax over the image",
            functools.partial(_scales, each=lambda logits: logits.softmax(3)),
            "Your probabilities add up to 1 along each row of the image. Which axis holds the classes?",
        ),
        Mistake(
            "sigmoid",
            functools.partial(_scales, each=torch.sigmoid),
            "You squash each logit by itself. The classes exclude each other: their probabilities add up to "
            "1 at each pixel.",
        ),
        Mistake(
            "image not resized",
            functools.partial(_scales, whole=lambda side: 0, resize=lambda x, size: x),
            "Your network sees the image in its own size every time. Resize what goes in.",
        ),
        Mistake(
            "nearest pixels",
            functools.partial(_scales, resize=lambda x, size: F.interpolate(x, tuple(size))),
            "You resize by picking the nearest pixel, which is what F.interpolate does unless told. Bilinear "
            "is asked for.",
        ),
        Mistake(
            "corners aligned",
            functools.partial(_scales, resize=_corners),
            "You resize with align_corners=True: the corners' centres stay where they are and all else "
            "moves. Pixels are areas here.",
        ),
        Mistake(
            "size rounded down",
            functools.partial(_scales, whole=math.floor),
            "You cut off what is left of a pixel: 3.75 pixels become 3. Round to the nearest.",
        ),
        Mistake(
            "size rounded up",
            functools.partial(_scales, whole=math.ceil),
            "You round sizes up: 5.25 pixels become 6. Round to the nearest.",
        ),
        Mistake(
            "cropped, not resized",
            functools.partial(_scales, resize=_crop),
            "You cut the image, or add zeros, to get the new size. It is to be made smaller or larger as a "
            "whole.",
        ),
        Mistake(
            "nearest pixels on the way in",
            functools.partial(_scales, resize=_nearest, resize_back=_resize),
            "You make the image smaller or larger by picking the nearest pixels. Bilinear is asked for there "
            "too.",
        ),
        Mistake(
            "nearest pixels on the way back",
            functools.partial(_scales, resize_back=_nearest),
            "You bring the logits back by picking the nearest cells. They are resized in the same way as the "
            "image.",
        ),
        Mistake(
            "corners aligned on the way in",
            functools.partial(_scales, resize=_corners, resize_back=_resize),
            "You resize the image with align_corners=True and the logits without. It is False both times.",
        ),
        Mistake(
            "corners aligned on the way back",
            functools.partial(_scales, resize_back=_corners),
            "You bring the logits back with align_corners=True. They are resized as the image is.",
        ),
        Mistake(
            "smoothed",
            functools.partial(_scales, resize=_smoothed, resize_back=_resize),
            "You resize with antialias=True. It is a good idea, but the task's call has none.",
        ),
        Mistake(
            "scale given as a factor",
            _around(_by_factor),
            "With scale_factor PyTorch rounds the size down, and samples by the factor. Give it the rounded "
            "size.",
        ),
        Mistake(
            "height and width exchanged",
            _around(_sides_exchanged),
            "You resize to width by height. A size is (height, width), in the order of the axes.",
        ),
        Mistake(
            "each size from the one before",
            _one_from_the_other,
            "You resize what the scale before has made. Every scale begins with the image itself.",
        ),
        Mistake(
            "not resized back",
            _around(_to_scale, back=False),
            "Your maps keep the size that the network saw, and cannot be added. What size has the result?",
        ),
        Mistake(
            "answer mirrored, not the image",
            _answer_mirrored,
            "You mirror what the network says of the image as it is. It has to see the mirrored image.",
        ),
        Mistake(
            "logarithms",
            functools.partial(_scales, each=lambda logits: logits.log_softmax(1)),
            "You average logarithms of probabilities, and they are below 0. Probabilities are asked for.",
        ),
        Mistake(
            "geometric mean",
            functools.partial(
                _scales, each=lambda logits: logits.log_softmax(1), join=lambda found: found.mean(0).exp()
            ),
            "You average logarithms and undo them at the end: that is the geometric mean. The usual mean is "
            "asked for.",
        ),
        Mistake(
            "softmax again",
            functools.partial(_scales, join=lambda found: found.mean(0).softmax(1)),
            "You take a softmax of the mean as well. A mean of probabilities is made of probabilities.",
        ),
        Mistake(
            "halved at each step",
            functools.partial(_scales, join=_running),
            "You halve the mean so far with each new map, so the last ones count most. All count the same.",
        ),
        Mistake(
            "middle one",
            functools.partial(_scales, join=lambda found: found.median(0).values),
            "You take the median. The mean of all the probabilities is asked for.",
        ),
        Mistake(
            "height for both",
            _around(lambda image, scale: _resize(image, [round(scale * image.shape[2])] * 2)),
            "Your resized image is a square. Scale the height and the width, each by itself.",
        ),
        Mistake(
            "width for both",
            _around(lambda image, scale: _resize(image, [round(scale * image.shape[3])] * 2)),
            "Your resized image is as high as it is wide. Scale the height and the width, each by itself.",
        ),
        Mistake(
            "bicubic",
            functools.partial(_scales, resize=_bicubic),
            'You resize with another method than the task\'s: mode="bilinear" is asked for.',
        ),
        Mistake(
            "first size alone",
            lambda network, image, scales: multiscale(network, image, scales[:1]),
            "Only the first of the sizes counts in yours. Does a return stand inside the loop?",
        ),
        Mistake(
            "last size alone",
            lambda network, image, scales: multiscale(network, image, scales[-1:]),
            "Only the last of the sizes counts in yours. Is what came before it written over?",
        ),
        Mistake(
            "own size once more",
            lambda network, image, scales: multiscale(network, image, [1.0, *scales]),
            "You add the image in its own size to the list. Only the scales that are given count.",
        ),
        Mistake(
            "softmax over the rows",
            functools.partial(_scales, each=lambda logits: logits.softmax(2)),
            "Your probabilities add up to 1 along each column of the image. Which axis holds the classes?",
        ),
        Mistake(
            "softmax over the batch",
            functools.partial(_scales, each=lambda logits: logits.softmax(0)),
            "Your probabilities add up to 1 over the images of the batch. Which axis holds the classes?",
        ),
        Mistake(
            "classes turned round",
            functools.partial(_scales, back=lambda x: x.flip(1)),
            "You bring the mirrored answer back along the classes. Which axis of a map are the columns?",
        ),
        Mistake(
            "labels",
            lambda network, image, scales: multiscale(network, image, scales).argmax(1),
            "You give the class that wins at each pixel. The probabilities of all classes are asked for.",
        ),
    ),
)


# 11.5 ----------------------------------------------------------------------------------------------


def match_masks(classes: Tensor, masks: Tensor, true_classes: Tensor, true_masks: Tensor) -> Tensor:
    """For each true segment the number of the prediction that it is paired with, at the least cost in all."""
    truth = true_masks.to(masks)
    overlap = torch.einsum("qhw,ghw->qg", masks, truth)
    dice = 2 * overlap / (masks.sum((1, 2))[:, None] + truth.sum((1, 2)))
    cost = 1 - dice - classes[:, true_classes]
    _, queries = linear_sum_assignment(cost.T.detach().numpy())
    return torch.as_tensor(queries, dtype=torch.int64)


def _cost(
    classes: Tensor,
    masks: Tensor,
    true_classes: Tensor,
    true_masks: Tensor,
    *,
    class_weight: float = 1.0,
    mask_weight: float = 1.0,
    kind: str = "dice",
) -> Tensor:
    truth = true_masks.to(masks)
    overlap = torch.einsum("qhw,ghw->qg", masks, truth)
    area = masks.sum((1, 2))[:, None] + truth.sum((1, 2))
    score = {
        "dice": 2 * overlap / area,
        "iou": overlap / (area - overlap),
        "overlap": overlap,
        "half": overlap / area,
        "squares": 2 * overlap / (area - masks.sum((1, 2))[:, None] + masks.square().sum((1, 2))[:, None]),
        "truth": overlap / truth.sum((1, 2)),
        "mask": overlap / masks.sum((1, 2))[:, None],
        "smooth": (2 * overlap + 1) / (area + 1),
    }[kind]
    return -mask_weight * score - class_weight * classes[:, true_classes]


Pairing = Callable[[Tensor], Tensor]


def _least(cost: Tensor) -> Tensor:
    return torch.as_tensor(linear_sum_assignment(cost.T.numpy())[1], dtype=torch.int64)


def _by(pair: Pairing = _least, **options: Any) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    """A pairing of another kind, or of another cost."""

    def wrong(classes: Tensor, masks: Tensor, true_classes: Tensor, true_masks: Tensor) -> Tensor:
        return pair(_cost(classes, masks, true_classes, true_masks, **options))

    return wrong


def _in_turn(cost: Tensor) -> Tensor:
    """Each truth takes the best prediction that is left."""
    chosen: list[int] = []
    for column in cost.T:
        order = column.argsort().tolist()
        chosen.append(next(query for query in order if query not in chosen))
    return torch.tensor(chosen, dtype=torch.int64)


def _best_pair_first(cost: Tensor) -> Tensor:
    """The cheapest pair first, then the cheapest of those that are left."""
    left, chosen = cost.clone(), torch.zeros(cost.shape[1], dtype=torch.int64)
    for _ in range(cost.shape[1]):
        query, truth = divmod(int(left.argmin()), cost.shape[1])
        chosen[truth] = query
        left[query], left[:, truth] = math.inf, math.inf
    return chosen


def _sorted_queries(cost: Tensor) -> Tensor:
    return torch.as_tensor(linear_sum_assignment(cost.numpy())[0], dtype=torch.int64)


def _truths_of_queries(cost: Tensor) -> Tensor:
    return torch.as_tensor(linear_sum_assignment(cost.numpy())[1], dtype=torch.int64)


def _dearest(cost: Tensor) -> Tensor:
    return torch.as_tensor(linear_sum_assignment(cost.T.numpy(), maximize=True)[1], dtype=torch.int64)


def _as_they_stand(cost: Tensor) -> Tensor:
    return torch.arange(cost.shape[1])


def _decided(classes: Tensor, masks: Tensor, true_classes: Tensor, true_masks: Tensor) -> Tensor:
    winner = F.one_hot(classes.argmax(1), classes.shape[1]).to(classes)
    return _least(_cost(winner, masks, true_classes, true_masks))


def _shifted(classes: Tensor, masks: Tensor, true_classes: Tensor, true_masks: Tensor) -> Tensor:
    return _least(_cost(classes, masks, true_classes + 1, true_masks))


def _cut_masks(classes: Tensor, masks: Tensor, true_classes: Tensor, true_masks: Tensor) -> Tensor:
    return _least(_cost(classes, (masks > 0.5).to(masks) + 1e-6, true_classes, true_masks))


def _of(change: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    """Other class probabilities."""
    return lambda classes, *others: match_masks(change(classes), *others)


def _multiplied(classes: Tensor, masks: Tensor, true_classes: Tensor, true_masks: Tensor) -> Tensor:
    dice = _cost(classes, masks, true_classes, true_masks, class_weight=0.0)
    return _least(dice * classes[:, true_classes])


def _something(classes: Tensor, masks: Tensor, true_classes: Tensor, true_masks: Tensor) -> Tensor:
    return _least(_cost(1 - classes[:, -1:].expand_as(classes), masks, true_classes, true_masks))


def _by_cross_entropy(classes: Tensor, masks: Tensor, true_classes: Tensor, true_masks: Tensor) -> Tensor:
    mask, truth = masks.clamp(1e-6, 1 - 1e-6), true_masks.to(masks)
    each = torch.einsum("qhw,ghw->qg", mask.log(), truth) + torch.einsum(
        "qhw,ghw->qg", (1 - mask).log(), 1 - truth
    )
    return _least(-each / masks[0].numel() - classes[:, true_classes])


def _by_difference(classes: Tensor, masks: Tensor, true_classes: Tensor, true_masks: Tensor) -> Tensor:
    between = (masks[:, None] - true_masks.to(masks)).abs().mean((2, 3))
    return _least(between - classes[:, true_classes])


def _by_rows(classes: Tensor, masks: Tensor, true_classes: Tensor, true_masks: Tensor) -> Tensor:
    truth = true_masks.to(masks)
    overlap = torch.einsum("qhw,ghw->qgh", masks, truth)
    dice = 2 * overlap / (masks.sum(2)[:, None] + truth.sum(2)).clamp(min=1e-6)
    return _least(1 - dice.mean(2) - classes[:, true_classes])


def _for_each_prediction(classes: Tensor, *others: Tensor) -> Tensor:
    answer = torch.full((len(classes),), -1)
    chosen = match_masks(classes, *others)
    answer[chosen] = torch.arange(len(chosen))
    return answer


def _clear(cost: Tensor, by: float = 0.01) -> bool:
    """Whether every other pairing costs more than the best one by at least this much."""
    table = cost.double().numpy()
    rows, columns = linear_sum_assignment(table)
    for row, column in zip(rows, columns, strict=True):
        without = table.copy()
        without[row, column] = 1e3
        if without[linear_sum_assignment(without)].sum() < table[rows, columns].sum() + by:
            return False
    return True


def _scene(
    generator: torch.Generator, queries: int, truths: int, classes: int, height: int, width: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Random predictions and segments, one pairing of which is clearly the best: the one right answer."""
    while True:
        probabilities = (2 * torch.randn(queries, classes + 1, generator=generator)).softmax(1)
        masks = torch.rand(queries, height, width, generator=generator) ** 2
        masks = masks * torch.rand(queries, 1, 1, generator=generator)
        labels = torch.randint(0, classes, (truths,), generator=generator)
        shares = torch.rand(truths, 1, 1, generator=generator)
        true = torch.rand(truths, height, width, generator=generator) < shares
        true[:, 0, 0] = True
        if _clear(_cost(probabilities, masks, labels, true)):
            return probabilities, masks, labels, true


def _match_cases(generator: torch.Generator) -> list[Case]:
    strip = torch.tensor([[[1, 1, 0, 0]], [[0, 0, 1, 1]]]).bool()
    soft = torch.tensor([[[0.9, 0.9, 0.1, 0.1]], [[0.8, 0.8, 0.8, 0.8]], [[0.1, 0.1, 0.2, 0.2]]])
    sure = torch.tensor([[0.6, 0.3, 0.1], [0.7, 0.2, 0.1], [0.1, 0.1, 0.8]])
    same = torch.full((3, 1, 4), 0.5)
    torn = torch.tensor([[[0.6, 0.6, 0.4, 0.4]], [[0.4, 0.4, 0.6, 0.6]]])
    near, faint = torch.tensor([[[0.4, 0.5, 0.1], [0.3, 0.6, 0.1]], [[0.3, 0.5, 0.2], [0.6, 0.3, 0.1]]])
    halves = torch.tensor([[[1.0, 0.0, 0.0, 0.0]], [[0.5, 0.5, 0.0, 0.0]]])
    wide, pixel = torch.tensor([[[1.0] * 4], [[0.01] * 4]]), torch.tensor([[[True, False, False, False]]])
    other = torch.tensor([[0.35, 0.5, 0.15], [0.5, 0.35, 0.15]])
    cases = [
        Case(
            (sure, soft, torch.tensor([0, 0]), strip), "a strip of four pixels with two segments of class 0"
        ),
        Case((sure, same, torch.tensor([0, 1]), strip), "masks that are all alike: the classes decide"),
        Case(
            (torch.full((3, 3), 1 / 3), soft, torch.tensor([1, 0]), strip),
            "classes that are all alike: the masks decide",
        ),
        Case((other, torn, torch.tensor([0, 1]), strip), "classes say one thing, masks another, and louder"),
        Case((sure, soft, torch.tensor([1]), strip[1:]), "one segment"),
        Case(
            (near, halves, torch.tensor([0]), strip[:1]), "half of a segment for sure, or all of it by halves"
        ),
        Case(
            (faint, wide, torch.tensor([0]), pixel),
            "a mask that is far too wide, and one that is nearly empty",
        ),
        Case(
            (sure, soft, torch.zeros(0, dtype=torch.int64), strip[:0]),
            "no segment at all: an empty answer",
        ),
    ]
    for queries, truths, classes, height, width in (
        (5, 3, 4, 4, 5),
        (6, 4, 3, 5, 4),
        (4, 4, 2, 3, 6),
        (7, 5, 5, 6, 6),
        (6, 5, 3, 4, 4),
        (8, 6, 4, 5, 5),
        (7, 5, 2, 2, 9),
        (7, 7, 3, 4, 6),
        (9, 6, 3, 3, 3),
    ):
        cases.append(Case(_scene(generator, queries, truths, classes, height, width)))
    return cases


MATCH = Exercise(
    "11.5",
    "Which prediction for which segment",
    match_masks,
    _match_cases,
    axes=("true segment",),
    plan=(
        "Make a table with a row for each prediction and a column for each true segment, first of the "
        "overlaps: the sum of mask times truth over all pixels.",
        "Dice = 2 · overlap / (… + …), with the sums of the mask and of the truth. One number for each pair.",
        "From each row of class probabilities pick those of the true segments' classes, in their order.",
        "cost = 1 − dice − probability. Then linear_sum_assignment finds the pairs of least total cost; it "
        "answers for the rows of its table, in order: what should be its rows?",
    ),
    mistakes=(
        Mistake(
            "each its best",
            _by(lambda cost: cost.argmin(0)),
            "Each segment takes its best prediction, and two may take the same one. Every prediction goes to "
            "one segment at most.",
        ),
        Mistake(
            "in turn",
            _by(_in_turn),
            "The first segment takes its best, the next the best that is left. That is not the least in all: "
            "the first may leave a bad one for the second.",
        ),
        Mistake(
            "best pair first",
            _by(_best_pair_first),
            "You take the best pair first, then the best that is left. The best pair may leave costly ones "
            "behind; the sum of all costs counts.",
        ),
        Mistake(
            "in the order they come",
            _by(_as_they_stand),
            "You pair the first with the first, the second with the second. Predictions have no order: look "
            "which fits.",
        ),
        Mistake(
            "classes left out",
            _by(class_weight=0.0),
            "Your cost does not look at the classes. Two masks that fit alike may have different classes.",
        ),
        Mistake(
            "masks left out",
            _by(mask_weight=0.0),
            "Your cost does not look at the masks. Two segments of one class differ by where they are.",
        ),
        Mistake(
            "probability as a cost",
            _by(class_weight=-1.0),
            "A high probability of the right class makes your cost high. It should make it low.",
        ),
        Mistake(
            "overlap as a cost",
            _by(mask_weight=-1.0),
            "A mask that fits makes your cost high. Where the two agree, the cost should be low.",
        ),
        Mistake(
            "greatest cost",
            _by(_dearest),
            "You look for the pairs of the greatest cost. Least is what is asked for.",
        ),
        Mistake(
            "IoU",
            _by(kind="iou"),
            "You divide the overlap by the union: that is IoU. Dice is asked for, twice the overlap over the "
            "sum of both.",
        ),
        Mistake(
            "overlap not divided",
            _by(kind="overlap"),
            "You take the overlap as it is, so large segments count more than the classes do. Divide as Dice "
            "does.",
        ),
        Mistake(
            "factor 2 missing",
            _by(kind="half"),
            "Your masks count half as much beside the classes as they should. Is Dice 1 where all fits, and "
            "does the probability count once?",
        ),
        Mistake(
            "predictions sorted",
            _by(_sorted_queries),
            "These are the right predictions in rising order. The answer has the order of the true segments.",
        ),
        Mistake(
            "segments of the predictions",
            _by(_truths_of_queries),
            "You give for each paired prediction the number of its segment. It is asked the other way: for "
            "each segment its prediction.",
        ),
        Mistake(
            "winning class",
            _decided,
            "You give 1 to the class that wins and 0 to others. The probability itself says how sure the "
            "prediction is.",
        ),
        Mistake(
            "classes counted from one",
            _shifted,
            "You read the probability of the next class. Column 0 belongs to class 0; the last one means "
            "nothing at all.",
        ),
        Mistake(
            "masks cut at a half",
            _cut_masks,
            "You cut the masks to yes and no. Their probabilities go into the sums as they are.",
        ),
        Mistake(
            "logarithm of the probability",
            _of(lambda classes: classes.clamp(min=1e-9).log()),
            "You take the logarithm of the class probability, as a loss does. The cost has the probability "
            "itself.",
        ),
        Mistake(
            "squares below the line",
            _by(kind="squares"),
            "You add the mask's squares below the line of Dice. The sum of the mask itself stands there.",
        ),
        Mistake(
            "Dice smoothed",
            _by(kind="smooth"),
            "You add 1 above and below the line of Dice. No segment is empty, so nothing needs to be added.",
        ),
        Mistake(
            "divided by the segment",
            _by(kind="truth"),
            "You divide the overlap by the segment alone, so a mask that covers all fits everything. What "
            "stands below the line of Dice?",
        ),
        Mistake(
            "divided by the mask",
            _by(kind="mask"),
            "You divide the overlap by the mask alone, so a tiny mask inside a segment fits it fully. What "
            "stands below the line of Dice?",
        ),
        Mistake(
            "Dice row by row",
            _by_rows,
            "You take Dice of each row of pixels and then the mean. The sums go over all pixels at once.",
        ),
        Mistake(
            "cross-entropy of the masks",
            _by_cross_entropy,
            "You compare the masks by their cross-entropy. The task's cost has 1 − Dice there.",
        ),
        Mistake(
            "multiplied",
            _multiplied,
            "You multiply Dice by the probability. The cost takes both away from 1, one after the other.",
        ),
        Mistake(
            "nothing left out",
            _of(lambda classes: classes / (1e-9 + classes[:, :-1].sum(1, keepdim=True))),
            "You share out the probability of nothing among the classes. The columns are probabilities "
            "already: take them as they are.",
        ),
        Mistake(
            "softmax again",
            _of(lambda classes: classes.softmax(1)),
            "You take a softmax of the class probabilities. They are probabilities already.",
        ),
        Mistake(
            "nothing taken away",
            _of(lambda classes: classes - classes[:, -1:]),
            "You take the probability of nothing away from that of the class. The cost has the class alone.",
        ),
        Mistake(
            "sigmoid of the masks",
            lambda classes, masks, *others: match_masks(classes, masks.sigmoid(), *others),
            "You take a sigmoid of the masks. They are probabilities already.",
        ),
        Mistake(
            "predictions counted from one",
            lambda *args: match_masks(*args) + 1,
            "All your numbers are one too large. The first prediction has the number 0.",
        ),
        Mistake(
            "difference of the masks",
            _by_difference,
            "You compare the masks by the mean of their differences. The cost has Dice in it.",
        ),
        Mistake(
            "probability of any class",
            _something,
            "You take the probability that there is something at all. Which column belongs to the segment's "
            "class?",
        ),
        Mistake(
            "one for each prediction",
            _for_each_prediction,
            "You give a number for each prediction. "
            "One for each true segment is asked for, that of its prediction.",
        ),
    ),
)

EXERCISES = (VALID, ATROUS, PRICE, SCALES, MATCH)
