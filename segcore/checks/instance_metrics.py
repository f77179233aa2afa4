"""Exercises of chapter 12: IoU of masks, greedy matching, interpolated precision, AP, and one pixel's worth.

The references are written apart from `segcore.instance_metrics`. Every mistake is one of them with one fault.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from segcore.checks.exercise import Case, Exercise, Mistake

__all__ = ["EXERCISES"]

Image = tuple[Tensor, Tensor]  # IoUs (D, G) and scores (D,)


# 12.1 ----------------------------------------------------------------------------------------------


def pairwise_iou(a: Tensor, b: Tensor) -> Tensor:
    """``(N, M)``: IoU of each mask of one stack with each of the other; 0 where both are empty."""
    rows, others = a.flatten(1).double(), b.flatten(1).double()
    shared = rows @ others.T
    return shared / (rows.sum(1)[:, None] + others.sum(1) - shared).clamp(min=1)


def _counts(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels in common ``(N, M)``, pixels of each mask ``(N, 1)`` and ``(1, M)``."""
    rows, others = a.flatten(1).double(), b.flatten(1).double()
    return rows @ others.T, rows.sum(1)[:, None], others.sum(1)[None]


def _counted(formula: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """Another formula, from what both share and the size of each."""
    return lambda a, b: formula(*_counts(a, b))


def _in_halves(a: Tensor, b: Tensor) -> Tensor:
    """Counted in half precision, as some networks compute."""
    rows, others = a.flatten(1).half(), b.flatten(1).half()
    shared = rows @ others.T
    return (shared / (rows.sum(1)[:, None] + others.sum(1) - shared)).float().nan_to_num(0.0)


def _any(masks: Tensor) -> Tensor:
    """Pixels that any mask of a stack has."""
    return masks.any(0)


def _filled(masks: Tensor) -> Tensor:
    """The box around each mask instead of the mask."""
    down, across = masks.any(2), masks.any(1)
    return (_span(down)[:, :, None]) & (_span(across)[:, None])


def _span(line: Tensor) -> Tensor:
    seen = line.cumsum(1) > 0
    return seen & (line.flip(1).cumsum(1) > 0).flip(1)


def _iou_cases(generator: torch.Generator) -> list[Case]:
    left = torch.tensor([[[1, 1, 0], [1, 1, 0]]]).bool()
    two = torch.tensor([[[0, 1, 1], [0, 1, 1]], [[1, 1, 1], [1, 1, 1]]]).bool()
    corner = torch.tensor([[[1, 0, 0, 1], [0, 0, 0, 0], [1, 0, 0, 1]]]).bool()
    inner = torch.tensor([[[0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]]]).bool()
    nothing = torch.zeros(1, 2, 3).bool()
    cases = [
        Case((left, two), "two columns of three beside the other two, and beside all of it"),
        Case((two, left), "the same, the other way round"),
        Case((corner, inner), "four corners and the middle: their boxes meet, they do not"),
        Case((torch.cat([left, nothing]), torch.cat([nothing, left])), "an empty mask beside an empty one"),
        Case((inner[:, :2, :2], inner[:, :2, :2]), "one pixel, and it is the same"),
        Case((two[:0], left), "no detections: no rows"),
    ]
    for many, others, height, width, share in (
        (3, 2, 5, 7, 0.4),
        (1, 6, 9, 4, 0.7),
        (4, 4, 24, 30, 0.9),
        (5, 2, 40, 16, 0.6),
    ):
        stacks = [torch.rand(n, height, width, generator=generator) < share for n in (many, others)]
        cases.append(Case(tuple(stacks)))
    large = torch.ones(1, 61, 71, dtype=torch.bool)
    cases.append(Case((large, large & (torch.arange(71) > 0))))  # 4270 in common: no such number in float16
    return cases


def _of_their_boxes(a: Tensor, b: Tensor) -> Tensor:
    """The IoU of the smallest boxes around the masks."""
    return pairwise_iou(*(each.any(2)[:, :, None] & each.any(1)[:, None] for each in (a, b)))


PAIRS = Exercise(
    "12.1",
    "The IoU of all pairs of masks",
    pairwise_iou,
    _iou_cases,
    any_float=True,
    axes=("row", "column"),
    plan=(
        "Lay each mask out as one row of zeros and ones, in numbers that a product can count with.",
        "The product of a row and another row adds a one for each pixel that both have. One product of two "
        "matrices does this for all pairs.",
        "Union = … + … − shared. Count each mask's pixels, and let one count run down, the other across.",
        "Where both masks are empty the union is 0. See to it that 0 comes out there.",
    ),
    mistakes=(
        Mistake(
            "boxes in place of masks",
            _of_their_boxes,
            "That is the IoU of the boxes around the masks. The pixels inside a box that the mask lacks must "
            "not count.",
        ),
        Mistake(
            "shared only",
            _counted(lambda shared, size, other: shared),
            "You stop at the number of pixels that both have. What is it to be divided by?",
        ),
        Mistake(
            "over the first",
            _counted(lambda shared, size, other: shared / size.clamp(min=1)),
            "You divide by the pixels of the first mask alone. The union holds what either of the two has.",
        ),
        Mistake(
            "over the second",
            _counted(lambda shared, size, other: shared / other.clamp(min=1)),
            "You divide by the pixels of the second mask alone. The union holds what either of the two has.",
        ),
        Mistake(
            "counted twice",
            _counted(lambda shared, size, other: shared / (size + other).clamp(min=1)),
            "Your union is the sum of both sizes. The pixels that both have are in there twice.",
        ),
        Mistake(
            "Dice",
            _counted(lambda shared, size, other: 2 * shared / (size + other).clamp(min=1)),
            "That is Dice: twice what both share over the sum of the sizes. IoU has the union below.",
        ),
        Mistake(
            "over the larger",
            _counted(lambda shared, size, other: shared / torch.maximum(size, other).clamp(min=1)),
            "You divide by the larger of the two masks. A pixel of the smaller one that lies outside of it "
            "is in the union too.",
        ),
        Mistake(
            "over the smaller",
            _counted(lambda shared, size, other: shared / torch.minimum(size, other).clamp(min=1)),
            "You divide by the smaller of the two masks, so that a dot inside of a disk gets 1.",
        ),
        Mistake(
            "over the image",
            lambda a, b: _counts(a, b)[0] / math.prod(a.shape[1:]),
            "You divide by all pixels of the image. Pixels that neither mask has do not count.",
        ),
        Mistake(
            "NaN for two empty masks",
            _counted(lambda shared, size, other: shared / (size + other - shared)),
            "Where both masks are empty, 0 / 0 gives NaN. The task asks for 0 there.",
        ),
        Mistake(
            "1 for two empty masks",
            _counted(
                lambda shared, size, other: torch.where(
                    size + other == 0, 1.0, shared / (size + other - shared).clamp(min=1)
                )
            ),
            "Two empty masks get 1 from you. They have no pixel in common: the task asks for 0.",
        ),
        Mistake(
            "boxes",
            lambda a, b: pairwise_iou(_filled(a), _filled(b)),
            "You compare the boxes around the masks. Two masks can share no pixel though their boxes do.",
        ),
        Mistake(
            "transposed",
            lambda a, b: pairwise_iou(b, a),
            "Rows and columns are exchanged: row i belongs to mask i of a, column j to mask j of b.",
        ),
        Mistake(
            "counted in bytes",
            _counted(lambda shared, size, other: shared % 256 / (size + other - shared % 256).clamp(min=1)),
            "Small masks are right, large ones are not: you count in bytes, which begin again after 255.",
        ),
        Mistake(
            "one plus",
            _counted(lambda shared, size, other: shared / (size + other - shared + 1)),
            "Your union has one pixel too many. It may be there against 0 / 0, but it changes all the rest.",
        ),
        Mistake(
            "one plus above and below",
            _counted(lambda shared, size, other: (shared + 1) / (size + other - shared + 1)),
            "You add one above and below the line. Masks that share nothing get more than 0 from you, and "
            "all the rest changes too.",
        ),
        Mistake(
            "counted in half precision",
            _in_halves,
            "Small masks are right, large ones are a little off: you count in half precision, which knows "
            "whole numbers up to 2048 only.",
        ),
        Mistake(
            "the first size twice",
            _counted(lambda shared, size, other: shared / (2 * size - shared + 0 * other).clamp(min=1)),
            "Your union takes the first mask's size for both. The second has a size of its own.",
        ),
        Mistake(
            "the second size twice",
            _counted(lambda shared, size, other: shared / (2 * other - shared + 0 * size).clamp(min=1)),
            "Your union takes the second mask's size for both. The first has a size of its own.",
        ),
        Mistake(
            "over the product",
            _counted(lambda shared, size, other: shared / (size * other).clamp(min=1)),
            "You divide by the product of both sizes. The union is a number of pixels: what is in it of each "
            "mask, and what only once?",
        ),
        Mistake(
            "over the root of the product",
            _counted(lambda shared, size, other: shared / (size * other).sqrt().clamp(min=1)),
            "You divide by the root of the product of both sizes: that is the cosine of two rows. Count the "
            "union.",
        ),
        Mistake(
            "mean of both shares",
            _counted(
                lambda shared, size, other: (shared / size.clamp(min=1) + shared / other.clamp(min=1)) / 2
            ),
            "You average two shares, one of each mask. IoU is one share: of the pixels that either has.",
        ),
        Mistake(
            "the background in the union",
            lambda a, b: (
                _counts(a, b)[0]
                / (math.prod(a.shape[1:]) - _counts(a, b)[1] - _counts(a, b)[2] + 2 * _counts(a, b)[0]).clamp(
                    min=1
                )
            ),
            "Your union leaves out what only one of the two has, and takes in what neither has. It should be "
            "the other way round.",
        ),
        Mistake(
            "pixels of several masks in one row",
            lambda a, b: (
                pairwise_iou(a.reshape(-1, len(a)).T, b.reshape(-1, len(b)).T) if len(a) else _counts(a, b)[0]
            ),
            "Your rows mix the pixels of several masks: reshape does not exchange axes. Lay out each mask by "
            "itself, all pixels after the first axis in one row.",
        ),
        Mistake(
            "any pixel in common",
            _counted(lambda shared, size, other: (shared > 0).double()),
            "You say whether two masks share a pixel. How many they share is asked, over those that either "
            "has. A product of bools only says yes or no.",
        ),
        Mistake(
            "pair by pair",
            lambda a, b: pairwise_iou(a, b).diagonal(),
            "You compare the first mask with the first, the second with the second. Each of a meets each of "
            "b: a table of N rows and M columns.",
        ),
        Mistake(
            "sizes along the wrong axes",
            _counted(lambda shared, size, other: shared / (size.T + other.T - shared).clamp(min=1)),
            "The sizes of a must go down the rows, those of b along the columns; in yours they lie the other "
            "way.",
        ),
        Mistake(
            "what they do not have",
            _counted(lambda shared, size, other: 1 - shared / (size + other - shared).clamp(min=1)),
            "That is one minus the IoU: 0 for masks that are alike. Turn it round.",
        ),
        Mistake(
            "without the shared",
            _counted(lambda shared, size, other: shared / (size + other - 2 * shared).clamp(min=1)),
            "You take the shared pixels off twice: what is left is what only one of the two has. They "
            "belong to the union once.",
        ),
        Mistake(
            "union of all masks",
            lambda a, b: _counts(a, b)[0] / (_any(a) | _any(b)).sum().clamp(min=1),
            "You divide by what any mask of the two stacks has. Each pair has a union of its own.",
        ),
        Mistake(
            "sizes of all masks",
            lambda a, b: _counts(a, b)[0] / (a.sum() + b.sum() - _counts(a, b)[0]).clamp(min=1),
            "You add up the pixels of all masks of a stack. Count each mask by itself: over which axes?",
        ),
        Mistake(
            "agreement of pixels",
            lambda a, b: (a[:, None] == b[None]).double().mean((-1, -2)),
            "You count pixels on which both agree, and there the background counts too. Only pixels that "
            "one of the two has belong to the union.",
        ),
        Mistake(
            "product of bools",
            lambda a, b: a.flatten(1) @ b.flatten(1).T,
            "Bools cannot be multiplied as matrices. Turn both into numbers that can count, and not into "
            "bytes.",
        ),
        Mistake(
            "cut to yes and no",
            lambda a, b: (pairwise_iou(a, b) >= 0.5).double(),
            "You decide already whether the two belong together. The IoU itself is asked.",
        ),
    ),
)


# 12.2 ----------------------------------------------------------------------------------------------


def greedy_match(ious: Tensor, scores: Tensor, threshold: float) -> Tensor:
    """``(D,)``: the truth that each detection takes, -1 for none."""
    taken = torch.zeros(len(scores), dtype=torch.int64)
    gone = set()
    for d in sorted(range(len(scores)), key=lambda d: -scores[d]):
        best, least = -1, threshold
        for g, iou in enumerate(ious[d].tolist()):
            if g not in gone and iou >= least:
                best, least = g, iou
        taken[d] = best
        gone.add(best)
    return taken


def _greedy(
    order: Callable[[Tensor], Tensor] = lambda scores: scores.argsort(descending=True, stable=True),
    enough: Callable[[float, float], bool] = lambda iou, threshold: iou >= threshold,
    better: Callable[[float, float], bool] = lambda iou, best: iou >= best,
    again: bool = False,
    only_best: bool = False,
    blocked_by_all: bool = False,
) -> Callable[[Tensor, Tensor, float], Tensor]:
    """Another order, another comparison, or another rule of who is still free."""

    def wrong(ious: Tensor, scores: Tensor, threshold: float) -> Tensor:
        taken, gone = torch.full((len(scores),), -1), set()
        for d in order(scores).tolist():
            best, best_iou = -1, -1.0
            for g, iou in enumerate(ious[d].tolist()):
                free = g not in gone or again or only_best
                if free and (best < 0 or better(iou, best_iou)):
                    best, best_iou = g, iou
            if best >= 0 and enough(best_iou, threshold) and not (only_best and best in gone):
                taken[d] = best
                gone.add(best)
            elif blocked_by_all:
                gone.add(best)
        return taken

    return wrong


def _in_order_of_score(ious: Tensor, scores: Tensor, threshold: float) -> Tensor:
    return greedy_match(ious, scores, threshold)[scores.argsort(descending=True, stable=True)]


def _truths_choose(ious: Tensor, scores: Tensor, threshold: float) -> Tensor:
    taken = torch.full((len(scores),), -1)
    for g in range(ious.shape[1] if len(ious) else 0):
        column = ious[:, g].where(taken < 0, -1.0)
        if column.max() >= threshold:
            taken[column.argmax()] = g
    return taken


def _truths_choose_freely(ious: Tensor, scores: Tensor, threshold: float) -> Tensor:
    """Each truth writes its number at its best detection, whoever stood there."""
    taken = torch.full((len(scores),), -1)
    for g in range(ious.shape[1] if len(ious) else 0):
        if ious[:, g].max() >= threshold:
            taken[ious[:, g].argmax()] = g
    return taken


def _ordered_by(key: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor, float], Tensor]:
    """Another order, from scores and the best IoU of each."""
    return lambda ious, scores, threshold: greedy_match(
        ious, key(scores, ious.amax(1)) if ious.numel() else scores, threshold
    )


def _order_not_undone(ious: Tensor, scores: Tensor, threshold: float) -> Tensor:
    order = scores.argsort(descending=True, stable=True)
    return greedy_match(ious, scores, threshold)[order][order]


def _all_that_fit_are_gone(ious: Tensor, scores: Tensor, threshold: float) -> Tensor:
    taken = torch.full((len(scores),), -1)
    gone: set[int] = set()
    for d in scores.argsort(descending=True, stable=True).tolist():
        fits = [(iou, g) for g, iou in enumerate(ious[d].tolist()) if iou >= threshold and g not in gone]
        if fits:
            taken[d] = max(fits)[1]
            gone.update(g for _, g in fits)
    return taken


def _favourite_fits(ious: Tensor, scores: Tensor, threshold: float) -> Tensor:
    """The threshold is asked of the best truth, free or not; the best free one is taken."""
    able = ious.where((ious.amax(1) >= threshold)[:, None], -1.0) if ious.numel() else ious
    return greedy_match(able, scores, 0.0)


def _one_match(ious: Tensor, scores: Tensor, threshold: float) -> Tensor:
    taken = greedy_match(ious, scores, threshold)
    order = scores.argsort(descending=True, stable=True)
    first = (taken[order] >= 0).cumsum(0) <= 1
    return torch.full_like(taken, -1).scatter(0, order, taken[order].where(first, -1))


def _largest_first(ious: Tensor, scores: Tensor, threshold: float) -> Tensor:
    taken, left = torch.full((len(scores),), -1), ious.clone()
    while left.numel() and left.max() >= max(threshold, 0):
        d, g = divmod(int(left.argmax()), left.shape[1])
        taken[d] = g
        left[d], left[:, g] = -1.0, -1.0
    return taken


def _largest_first_last_of_equals(ious: Tensor, scores: Tensor, threshold: float) -> Tensor:
    taken, gone = torch.full((len(scores),), -1), set()
    pairs = [(-iou, d, -g) for d, row in enumerate(ious.tolist()) for g, iou in enumerate(row)]
    for minus, d, minus_g in sorted(pairs):
        if -minus >= threshold and taken[d] < 0 and -minus_g not in gone:
            taken[d] = -minus_g
            gone.add(-minus_g)
    return taken


def _taken_are_zero(ious: Tensor, scores: Tensor, threshold: float) -> Tensor:
    """The column of a truth that was taken is set to 0, which may be enough again."""
    taken, left = torch.full((len(scores),), -1), ious.clone()
    for d in scores.argsort(descending=True, stable=True).tolist() if left.numel() else []:
        g = left.shape[1] - 1 - int(left[d].flip(0).argmax())
        if left[d, g] >= threshold:
            taken[d] = g
            left[:, g] = 0.0
    return taken


def _best_assignment(ious: Tensor, scores: Tensor, threshold: float) -> Tensor:
    taken = torch.full((len(scores),), -1)
    allowed = ious.where(ious >= threshold, 0.0)
    for d, g in zip(*linear_sum_assignment(-allowed.double().numpy()), strict=True):
        if ious[d, g] >= threshold:
            taken[d] = int(g)
    return taken


def _first_that_fits(ious: Tensor, scores: Tensor, threshold: float) -> Tensor:
    taken, gone = torch.full((len(scores),), -1), set()
    for d in scores.argsort(descending=True, stable=True).tolist():
        fits = [g for g, iou in enumerate(ious[d].tolist()) if iou >= threshold and g not in gone]
        if fits:
            taken[d] = fits[0]
            gone.add(fits[0])
    return taken


def _truths_side(ious: Tensor, scores: Tensor, threshold: float) -> Tensor:
    owners = torch.full((ious.shape[1],), -1)
    for d, g in enumerate(greedy_match(ious, scores, threshold).tolist()):
        if g >= 0:
            owners[g] = d
    return owners


def _iou_taken(ious: Tensor, scores: Tensor, threshold: float) -> Tensor:
    taken = greedy_match(ious, scores, threshold)
    return torch.tensor([float(ious[d, g]) if g >= 0 else -1.0 for d, g in enumerate(taken.tolist())])


def _stops(ious: Tensor, scores: Tensor, threshold: float) -> Tensor:
    taken = greedy_match(ious, scores, threshold)
    order = scores.argsort(descending=True, stable=True)
    missed = (taken[order] < 0).cumsum(0) > 0
    return torch.full_like(taken, -1).scatter(0, order, taken[order].where(~missed, -1))


def _match_cases(generator: torch.Generator) -> list[Case]:
    def case(rows: list[list[float]], scores: list[float], threshold: float, note: str) -> Case:
        return Case((torch.tensor(rows), torch.tensor(scores), threshold), note)

    cases = [
        case([[0.6, 0.7], [0.0, 0.8]], [0.8, 0.9], 0.5, "the second is surer and takes truth 1 first"),
        case([[0.75, 0.5], [0.25, 0.5]], [0.9, 0.8], 0.5, "an IoU of just the threshold is enough"),
        case([[0.75, 0.625], [0.875, 0.25]], [0.9, 0.8], 0.5, "the better fit comes too late"),
        case([[0.5, 0.75, 0.75], [0.0, 0.75, 0.75]], [0.4, 0.4], 0.5, "equal IoUs and equal scores"),
        case([[0.25, 0.375], [0.25, 0.625]], [0.9, 0.1], 0.5, "who took nothing leaves the truth free"),
        case([[0.25, 0.375], [0.25, 0.625]], [0.9, 0.1], 0.3, "the same at another threshold"),
        case([[0.25, 0.0], [0.0, 0.75]], [0.9, 0.5], 0.5, "the surest takes nothing, the next one does"),
        Case((torch.zeros(3, 0), torch.tensor([0.5, 0.2, 0.9]), 0.5), "no truths"),
        Case((torch.zeros(0, 2), torch.zeros(0), 0.5), "no detections"),
    ]
    # In the first there are more detections than truths, and an IoU of 0 is enough.
    for many, truths, threshold in ((6, 4, 0.0), (12, 7, 0.6), (9, 9, 0.3), (5, 12, 0.75), (20, 8, 0.45)):
        ious = (torch.rand(many, truths, generator=generator) * 8).round() / 8
        scores = (torch.rand(many, generator=generator) * 10).round() / 10
        cases.append(Case((ious, scores, threshold)))
    return cases


MATCH = Exercise(
    "12.2",
    "Each detection takes one truth",
    greedy_match,
    _match_cases,
    axes=("detection",),
    plan=(
        "Begin with an answer in which nobody has taken a truth, and with all truths free.",
        "Go through the detections from the surest down. A stable sort keeps equal scores in their order.",
        "Of the truths that are still free, find the one with the largest IoU; of equal ones, the last.",
        "If that IoU is at least the threshold, write the truth at this detection's own place, and the truth "
        "is free no more.",
    ),
    mistakes=(
        Mistake(
            "in the order given",
            _greedy(order=lambda scores: torch.arange(len(scores))),
            "You go through the detections as they come. Who may choose first?",
        ),
        Mistake(
            "least sure first",
            _greedy(order=lambda scores: scores.argsort(stable=True)),
            "You begin with the lowest score. The surest detection chooses first.",
        ),
        Mistake(
            "answers in order of score",
            _in_order_of_score,
            "The truths are right, but they stand in the order of the scores. Entry d belongs to detection "
            "d as it came.",
        ),
        Mistake(
            "above the threshold",
            _greedy(enough=lambda iou, threshold: iou > threshold),
            "You ask for more than the threshold. An IoU of just the threshold is enough.",
        ),
        Mistake(
            "threshold ignored",
            _greedy(enough=lambda iou, threshold: True),
            "Every detection takes a truth from you, however little they share. Where does the threshold "
            "come in?",
        ),
        Mistake(
            "one half written in",
            _greedy(enough=lambda iou, threshold: iou >= 0.5),
            "You always ask for one half. The threshold is an argument.",
        ),
        Mistake(
            "taken twice",
            _greedy(again=True),
            "Two detections take the same truth. Whoever comes second finds it gone.",
        ),
        Mistake(
            "only the favourite",
            _greedy(only_best=True),
            "If its favourite is gone, your detection gives up. It may take the best of those that are "
            "still free.",
        ),
        Mistake(
            "gone though not taken",
            _greedy(blocked_by_all=True),
            "A detection whose IoU is too small takes nothing, but in yours its truth is gone all the same.",
        ),
        Mistake(
            "first of equals",
            _greedy(better=lambda iou, best: iou > best),
            "Of two truths with the same IoU you take the first. The task asks for the last.",
        ),
        Mistake(
            "least of those that fit",
            _greedy(better=lambda iou, best: iou <= best),
            "You look for the smallest IoU of the free truths. Which fits best?",
        ),
        Mistake(
            "first that fits",
            _first_that_fits,
            "You take the first truth whose IoU is enough, or let each truth choose in its turn. Go through "
            "the detections: of all truths that are free, which IoU is largest?",
        ),
        Mistake(
            "last of equal scores",
            _greedy(
                order=lambda scores: len(scores) - 1 - scores.flip(0).argsort(descending=True, stable=True)
            ),
            "Of equal scores you let the later one choose first. Sort in a way that keeps their order.",
        ),
        Mistake(
            "truths choose",
            _truths_choose,
            "Your truths look for their best detection. Here the detections choose, the surest first.",
        ),
        Mistake(
            "truths choose, each by itself",
            _truths_choose_freely,
            "Each of your truths writes its number at its best detection, over what stood there. It is the "
            "detections that choose, the surest first.",
        ),
        Mistake(
            "largest IoU first",
            _largest_first,
            "You hand out the largest IoU of the whole table first. The order is that of the scores.",
        ),
        Mistake(
            "the best for all",
            _best_assignment,
            "You look for the pairs that are best for all. The rule here is greedy: the surest detection "
            "takes what is best for itself.",
        ),
        Mistake(
            "largest IoU first, the last of equals",
            _largest_first_last_of_equals,
            "You sort all pairs by their IoU, and the largest comes first. Detections choose in the order of "
            "the scores.",
        ),
        Mistake(
            "a taken truth has IoU 0",
            _taken_are_zero,
            "You set the IoUs of a taken truth to 0. With a threshold of 0 that is enough, and it is taken "
            "again. Which number can never be enough?",
        ),
        Mistake(
            "ranks for an order",
            _greedy(order=lambda scores: scores.argsort(descending=True, stable=True).argsort(stable=True)),
            "You go through the detections by their ranks. Rank tells which place a detection has; asked is "
            "which detection has the first place.",
        ),
        Mistake(
            "threshold on the score",
            lambda ious, scores, threshold: greedy_match(ious, scores, threshold).where(
                scores >= threshold, -1
            ),
            "You leave out detections whose score is below the threshold. The threshold asks for the IoU; "
            "scores only set the order.",
        ),
        Mistake(
            "the threshold of the IoU on the score alone",
            lambda ious, scores, threshold: greedy_match(ious, scores, 0.01).where(scores >= threshold, -1),
            "You compare scores with the threshold. It is the IoU that must be large enough.",
        ),
        Mistake(
            "the truths' side",
            _truths_side,
            "You say for each truth who took it. For each detection, say which truth it took.",
        ),
        Mistake(
            "IoU for the number",
            _iou_taken,
            "You return the IoU of the match. Which truth was taken is asked: its column.",
        ),
        Mistake(
            "ordered by the best IoU",
            _ordered_by(lambda scores, best: best),
            "Who fits best chooses first in yours. The order is that of the scores, whatever the IoU.",
        ),
        Mistake(
            "ordered by score times IoU",
            _ordered_by(lambda scores, best: scores * best),
            "You mix score and IoU for the order. The score alone says who chooses first.",
        ),
        Mistake(
            "put back in the wrong order",
            _order_not_undone,
            "You put the detections in the order of their scores, and the answers are not put back: with "
            "order as an index on the right you sort once more. Write answer k at the place order[k].",
        ),
        Mistake(
            "all that fit are gone",
            _all_that_fit_are_gone,
            "A detection takes one truth, but in yours all that fit it are gone. The others stay free.",
        ),
        Mistake(
            "threshold on the favourite",
            _favourite_fits,
            "You compare the threshold with the best IoU of all truths, then give a free one that may fit "
            "less. It is the IoU with the one that is taken that must be enough.",
        ),
        Mistake(
            "stops at the first match",
            _one_match,
            "After the first match you stop. All the others choose too, from what is left.",
        ),
        Mistake(
            "the favourite alone, and the first of equals",
            _greedy(only_best=True, better=lambda iou, best: iou > best),
            "You take argmax once, over all truths. If that one is gone, the best of those that are free is "
            "meant; of equal IoUs the last.",
        ),
        Mistake(
            "stops at the first miss",
            _stops,
            "After the first detection that takes nothing you stop. Those behind it may still find a truth.",
        ),
        Mistake(
            "yes and no",
            lambda ious, scores, threshold: (greedy_match(ious, scores, threshold) >= 0).long(),
            "You say who took a truth. Which one is asked: its number, or −1 for none.",
        ),
        Mistake(
            "0 for none",
            lambda ious, scores, threshold: greedy_match(ious, scores, threshold).clamp(min=0),
            "Who takes nothing gets 0 from you, but 0 is the number of the first truth.",
        ),
        Mistake(
            "counted from 1, 0 for none",
            lambda ious, scores, threshold: greedy_match(ious, scores, threshold) + 1,
            "All your numbers are one too high: column 0 of the table is truth 0, and −1 says none.",
        ),
        Mistake(
            "-2 for none",
            lambda ious, scores, threshold: torch.where(
                greedy_match(ious, scores, threshold) < 0, -2, greedy_match(ious, scores, threshold)
            ),
            "All matches are right. Who takes nothing gets −2 from you; the task says which number means "
            "none.",
        ),
        Mistake(
            "G for none",
            lambda ious, scores, threshold: torch.where(
                greedy_match(ious, scores, threshold) < 0,
                ious.shape[1],
                greedy_match(ious, scores, threshold),
            ),
            "All matches are right. Who takes nothing gets the number of truths from you; the task says "
            "which number means none.",
        ),
        Mistake(
            "counted from 1",
            lambda ious, scores, threshold: torch.where(
                greedy_match(ious, scores, threshold) < 0, -1, greedy_match(ious, scores, threshold) + 1
            ),
            "Your truths are counted from 1. Column 0 of the table is truth 0.",
        ),
    ),
)


# 12.3 ----------------------------------------------------------------------------------------------


def interpolated_precision(right: Tensor, truths: int, recalls: Tensor) -> Tensor:
    """``(R,)``: the highest precision at each recall or a higher one; 0 beyond the last."""
    precision, recall = _curve(right, truths)
    result = torch.zeros(len(recalls))
    for at, least in enumerate(recalls.tolist()):
        result[at] = max(precision[recall >= least].tolist(), default=0.0)
    return result


def _curve(right: Tensor, truths: int) -> tuple[Tensor, Tensor]:
    hits = right.double().cumsum(0)
    return hits / torch.arange(1, len(right) + 1), hits / truths


def _read_off(
    read: Callable[[Tensor, Tensor, float], float],
) -> Callable[[Tensor, int, Tensor], Tensor]:
    """Another number at each recall, from the curve of precision and recall."""

    def wrong(right: Tensor, truths: int, recalls: Tensor) -> Tensor:
        precision, recall = _curve(right, truths)
        values = [float(read(precision, recall, least)) for least in recalls.tolist()]
        return torch.tensor(values, dtype=torch.float64)

    return wrong


def _first(values: Tensor, empty: float = 0.0) -> float:
    return float(values[0]) if len(values) else empty


def _highest(values: Tensor, empty: float = 0.0) -> float:
    return max(values.tolist(), default=empty)


def _linear(precision: Tensor, recall: Tensor, least: float) -> float:
    after = int((recall < least).sum())
    if after == len(recall):
        return 0.0
    before = max(after - 1, 0)
    span = float(recall[after] - recall[before])
    share = (least - float(recall[before])) / span if span else 1.0
    return float(precision[before] + share * (precision[after] - precision[before]))


def _numpy_lines(right: Tensor, truths: int, recalls: Tensor) -> Tensor:
    precision, recall = _curve(right, truths)
    if not len(right):
        return torch.zeros(len(recalls))
    return torch.from_numpy(np.interp(recalls.numpy(), recall.numpy(), precision.numpy(), right=0.0))


def _with_curve(
    curve: Callable[[Tensor, int], tuple[Tensor, Tensor]],
) -> Callable[[Tensor, int, Tensor], Tensor]:
    """Another curve, read off as it should be."""

    def wrong(right: Tensor, truths: int, recalls: Tensor) -> Tensor:
        precision, recall = curve(right, truths)
        values = [_highest(precision[recall >= least]) for least in recalls.tolist()]
        return torch.tensor(values, dtype=torch.float64)

    return wrong


def _ranks(right: Tensor) -> Tensor:
    return torch.arange(1, len(right) + 1).double()


def _curve_cases(generator: torch.Generator) -> list[Case]:
    def case(right: list[int], truths: int, recalls: list[float], note: str) -> Case:
        values = torch.tensor(right, dtype=torch.bool)
        return Case((values, truths, torch.tensor(recalls, dtype=torch.float64)), note)

    some = [0.0, 0.25, 0.3, 0.5, 0.6]
    cases = [
        case([1, 0, 1], 4, some, "right, wrong, right; four truths"),
        case([0, 1, 1, 1], 4, [0.0, 0.25, 0.5, 0.75, 1.0], "precision that only rises"),
        case([1, 1], 2, [0.0, 0.5, 1.0], "all found and nothing wrong"),
        case([0, 0], 3, [0.0, 0.5], "nothing right"),
        case([], 3, [0.0, 0.5, 1.0], "no detections"),
        case([1, 0, 0, 1, 0], 8, [0.2, 0.125, 0.0, 0.25], "recalls in any order"),
    ]
    for many, truths, points in ((9, 7, 21), (30, 13, 101), (40, 60, 31), (60, 23, 101), (5, 11, 11)):
        right = torch.rand(many, generator=generator) < 0.55
        right &= right.cumsum(0) <= truths
        recalls = torch.arange(points, dtype=torch.float64) / (points - 1)
        cases.append(Case((right, truths, recalls)))
    return cases


CURVE = Exercise(
    "12.3",
    "The interpolated precision curve",
    interpolated_precision,
    _curve_cases,
    any_float=True,
    axes=("recall",),
    plan=(
        "Count the hits so far, from the surest detection down.",
        "Precision is the hits over the number of detections so far. Recall is the hits over … .",
        "For each recall that is asked, keep the points of the curve that lie there or farther right.",
        "Of these take the highest precision. If no point is left, it is 0.",
    ),
    mistakes=(
        Mistake(
            "not interpolated",
            _read_off(lambda p, r, least: _first(p[r >= least])),
            "You take the precision at the first point that reaches the recall. A point farther right may "
            "lie higher.",
        ),
        Mistake(
            "strictly more recall",
            _read_off(lambda p, r, least: _highest(p[r > least])),
            "A point whose recall is just the one that is asked belongs to those you may take.",
        ),
        Mistake(
            "from the left",
            _read_off(lambda p, r, least: _highest(p[r <= least]) if bool((r >= least).any()) else 0.0),
            "You take the highest precision at this recall or a lower one. Look to the other side.",
        ),
        Mistake(
            "on and on",
            _read_off(lambda p, r, least: _highest(p[r >= least], _first(p.flip(0)))),
            "Your curve goes on beyond the last recall that was reached. Nobody found those truths: 0.",
        ),
        Mistake(
            "straight lines",
            _read_off(_linear),
            "You join the points by straight lines. Here each recall gets the highest precision that can be "
            "had there or farther right.",
        ),
        Mistake(
            "lowest",
            _read_off(lambda p, r, least: min(p[r >= least].tolist(), default=0.0)),
            "You take the lowest of the precisions to the right. The highest is asked.",
        ),
        Mistake(
            "mean to the right",
            _read_off(lambda p, r, least: float(p[r >= least].mean()) if bool((r >= least).any()) else 0.0),
            "You average the precisions to the right. The highest of them is asked.",
        ),
        Mistake(
            "recall over detections",
            _with_curve(lambda right, truths: (_curve(right, truths)[0], _curve(right, len(right))[1])),
            "You divide by the number of detections for recall too. Recall asks how much of what there is "
            "was found.",
        ),
        Mistake(
            "recall over hits",
            _with_curve(
                lambda right, truths: (
                    _curve(right, truths)[0],
                    _curve(right, max(1, int(right.sum())))[1],
                )
            ),
            "Your recall ends at 1 though truths were missed. Divide by all truths, also those that nobody "
            "found.",
        ),
        Mistake(
            "precision over all",
            _with_curve(
                lambda right, truths: (
                    right.double().cumsum(0) / max(1, len(right)),
                    _curve(right, truths)[1],
                )
            ),
            "For precision you divide by all detections. At each point only those down to it count.",
        ),
        Mistake(
            "precision over the truths",
            _with_curve(lambda right, truths: (_curve(right, truths)[1], _curve(right, truths)[1])),
            "You divide by the truths for precision too: that is recall. Precision asks how many of the "
            "detections so far are right.",
        ),
        Mistake(
            "right or wrong, no share",
            _with_curve(lambda right, truths: (right.double(), _curve(right, truths)[1])),
            "You get 1 wherever the recall is reached. Precision is no yes or no of one detection, but a "
            "share of all so far: over what must the hits be divided?",
        ),
        Mistake(
            "0 / 0 at the first",
            _with_curve(
                lambda right, truths: (
                    right.double().cumsum(0) / (_ranks(right) - 1),
                    _curve(right, truths)[1],
                )
            ),
            "You number the detections from 0, so the first is divided by 0. After the first one, k is 1.",
        ),
        Mistake(
            "lines by NumPy",
            _numpy_lines,
            "np.interp joins the points by straight lines. Each recall gets the highest precision that can "
            "be had there or farther right, without anything between.",
        ),
        Mistake(
            "recall not added up",
            _with_curve(lambda right, truths: (_curve(right, truths)[0], right.double() / truths)),
            "Your recall is that of one detection alone. After k detections it counts all hits so far.",
        ),
        Mistake(
            "highest of the whole curve",
            _read_off(lambda p, r, least: _highest(p) if bool((r >= least).any()) else 0.0),
            "You take the highest precision of the whole curve. Only points that reach the recall may be "
            "taken.",
        ),
        Mistake(
            "recall taken for the place in the list",
            _read_off(lambda p, r, least: float(p[min(int(least * len(p)), len(p) - 1)]) if len(p) else 0.0),
            "You read the precision at that share of the list. A recall is a share of the truths: which "
            "points have reached it?",
        ),
        Mistake(
            "missed truths below the line",
            _with_curve(
                lambda right, truths: (
                    right.double().cumsum(0) / (_ranks(right) + truths - right.double().cumsum(0)),
                    _curve(right, truths)[1],
                )
            ),
            "You also divide by the truths that are not found yet. Precision knows only the detections so "
            "far; what is missed shows in recall.",
        ),
        Mistake(
            "one detection too few",
            _with_curve(
                lambda right, truths: (
                    right.double().cumsum(0) / (_ranks(right) - 1).clamp(min=1),
                    _curve(right, truths)[1],
                )
            ),
            "You divide by the number of detections before this one. It counts itself: the first is 1 of 1.",
        ),
        Mistake(
            "one detection too many",
            _with_curve(
                lambda right, truths: (
                    right.double().cumsum(0) / (_ranks(right) + 1),
                    _curve(right, truths)[1],
                )
            ),
            "You divide by one detection too many: if the first one is right, the precision there is 1.",
        ),
        Mistake(
            "from the least sure",
            lambda right, truths, recalls: interpolated_precision(right.flip(0), truths, recalls),
            "You begin with the least sure detection. They come sorted, the surest first.",
        ),
        Mistake(
            "recall instead",
            _read_off(lambda p, r, least: _highest(r[p >= least])),
            "You exchange the two: the highest recall at this precision. The highest precision at this "
            "recall is asked.",
        ),
        Mistake(
            "highest so far",
            _read_off(lambda p, r, least: _first(p.cummax(0).values[r >= least]) if len(p) else 0.0),
            "Your running maximum runs from the surest down. It must come from the other end: the best at "
            "this recall or farther right.",
        ),
        Mistake(
            "recalls of its own",
            lambda right, truths, recalls: interpolated_precision(
                right, truths, torch.arange(101, dtype=torch.float64) / 100
            ),
            "You read the curve at recalls of your own. Those that are asked for are an argument.",
        ),
        Mistake(
            "eleven recalls",
            lambda right, truths, recalls: interpolated_precision(
                right, truths, torch.arange(11, dtype=torch.float64) / 10
            ),
            "You read the curve at eleven recalls of your own. Those that are asked for are an argument.",
        ),
        Mistake(
            "1 at recall 0",
            lambda right, truths, recalls: interpolated_precision(right, truths, recalls).where(
                recalls > 0, 1.0
            ),
            "At recall 0 you write in a 1. There too it is the highest precision of the curve.",
        ),
        Mistake(
            "NaN beyond the end",
            _read_off(lambda p, r, least: _highest(p[r >= least], math.nan)),
            "Where no point reaches the recall you leave NaN. Nobody found so much: it is 0.",
        ),
        Mistake(
            "the curve itself",
            lambda right, truths, recalls: _curve(right, truths)[0],
            "You return the precision after each detection. One number for each recall that is asked is "
            "wanted.",
        ),
        Mistake(
            "over the misses",
            _with_curve(
                lambda right, truths: (
                    right.double().cumsum(0) / (~right).cumsum(0).clamp(min=1),
                    _curve(right, truths)[1],
                )
            ),
            "You divide the hits by the misses. Precision is the share of all so far, hits and misses.",
        ),
        Mistake(
            "no point left",
            lambda right, truths, recalls: torch.stack(
                [_curve(right, truths)[0][_curve(right, truths)[1] >= least].max() for least in recalls]
            ),
            "Beyond the last recall no point is left, and nothing has no maximum. What should come out?",
        ),
        Mistake(
            "averaged",
            lambda right, truths, recalls: interpolated_precision(right, truths, recalls).mean(),
            "You average already. One number for each recall is asked.",
        ),
        Mistake(
            "sorted recalls",
            lambda right, truths, recalls: interpolated_precision(right, truths, recalls.sort().values),
            "You put the recalls in order first. Entry i belongs to recall i as it came.",
        ),
    ),
)


# 12.4 ----------------------------------------------------------------------------------------------


def average_precisions(images: Sequence[Image], thresholds: Sequence[float], recalls: Tensor) -> Tensor:
    """``(T,)``: AP at each threshold over all images; NaN where there is no truth."""
    truths = sum(ious.shape[1] for ious, _ in images)
    if truths == 0:
        return torch.full((len(thresholds),), math.nan)
    order = torch.cat([scores for _, scores in images]).argsort(descending=True, stable=True)
    result = []
    for threshold in thresholds:
        right = torch.cat([greedy_match(*image, threshold) >= 0 for image in images])
        result.append(interpolated_precision(right[order], truths, recalls).mean())
    return torch.stack(result)


def _ranking(images: Sequence[Image]) -> Tensor:
    return torch.cat([scores for _, scores in images]).argsort(descending=True, stable=True)


def _truths(images: Sequence[Image]) -> int:
    return sum(ious.shape[1] for ious, _ in images)


def _averaged(
    rank: Callable[[Sequence[Image]], Tensor] = _ranking,
    count: Callable[[Sequence[Image]], int] = _truths,
    right: Callable[[Image, float], Tensor] = lambda image, threshold: greedy_match(*image, threshold) >= 0,
    total: Callable[[Tensor], Tensor] = lambda values: values.mean(),
    empty: float = math.nan,
) -> Callable[[Sequence[Image], Sequence[float], Tensor], Tensor]:
    """Another ranking, another count of truths, another rule of what is right, or another sum."""

    def wrong(images: Sequence[Image], thresholds: Sequence[float], recalls: Tensor) -> Tensor:
        truths = count(images)
        if truths == 0:
            return torch.full((len(thresholds),), empty, dtype=torch.float64)
        order, rows = rank(images), []
        for threshold in thresholds:
            hits = torch.cat([right(image, threshold) for image in images])
            rows.append(total(interpolated_precision(hits[order], truths, recalls)))
        return torch.stack(rows)

    return wrong


def _matched_once(image: Image, threshold: float) -> Tensor:
    """Matched at one half, then asked whether the IoU is enough."""
    taken = greedy_match(*image, 0.5)
    rows = torch.arange(len(taken))
    return (taken >= 0) & ((image[0][rows, taken.clamp(min=0)] if image[0].shape[1] else taken) >= threshold)


def _any_truth(image: Image, threshold: float) -> Tensor:
    ious, scores = image
    return (ious >= threshold).any(1) if ious.shape[1] else torch.zeros(len(scores), dtype=torch.bool)


def _image_by_image(images: Sequence[Image], thresholds: Sequence[float], recalls: Tensor) -> Tensor:
    rows = [average_precisions([image], thresholds, recalls) for image in images]
    return torch.stack(rows).nanmean(0)


def _one_number(images: Sequence[Image], thresholds: Sequence[float], recalls: Tensor) -> Tensor:
    return average_precisions(images, thresholds, recalls).mean()


def _mean_threshold(images: Sequence[Image], thresholds: Sequence[float], recalls: Tensor) -> Tensor:
    middle = [sum(thresholds) / len(thresholds)] * len(thresholds)
    return average_precisions(images, middle, recalls)


def _rights(images: Sequence[Image], threshold: float) -> Tensor:
    """Right or wrong, down the one ranking."""
    return torch.cat([greedy_match(*image, threshold) >= 0 for image in images])[_ranking(images)]


def _from_ranking(read: Callable[[Tensor, int, Tensor], Tensor | float]) -> Callable[..., Tensor]:
    """Another number from the marks down the ranking, the number of truths and the recalls."""

    def wrong(images: Sequence[Image], thresholds: Sequence[float], recalls: Tensor) -> Tensor:
        truths = _truths(images)
        if truths == 0:
            return torch.full((len(thresholds),), math.nan, dtype=torch.float64)
        found = [read(_rights(images, threshold), truths, recalls) for threshold in thresholds]
        return torch.stack([torch.as_tensor(each, dtype=torch.float64) for each in found])

    return wrong


def _exact_area(right: Tensor, truths: int, recalls: Tensor) -> float:
    """The area below the interpolated curve."""
    precision = _curve(right, truths)[0]
    return sum(_highest(precision[k:]) for k in right.nonzero()[:, 0].tolist()) / truths


def _at_hits(right: Tensor, truths: int, recalls: Tensor) -> float:
    return float(_curve(right, truths)[0][right].sum()) / truths


def _at_the_first(images: Sequence[Image], thresholds: Sequence[float], recalls: Tensor) -> Tensor:
    """Matched once, at the first threshold; then asked whether the IoU is enough."""

    def once(image: Image, threshold: float) -> Tensor:
        taken = greedy_match(*image, thresholds[0])
        held = [g >= 0 and float(image[0][d, g]) >= threshold for d, g in enumerate(taken.tolist())]
        return torch.tensor(held, dtype=torch.bool)

    return _averaged(right=once)(images, thresholds, recalls)


def _one_table(images: Sequence[Image], thresholds: Sequence[float], recalls: Tensor) -> Tensor:
    """All images in one table: truth 0 of each is the same truth."""
    width = max(ious.shape[1] for ious, _ in images)
    tables = [F.pad(ious, (0, width - ious.shape[1])) for ious, _ in images]
    return average_precisions([(torch.cat(tables), torch.cat([s for _, s in images]))], thresholds, recalls)


def _not_emptied(images: Sequence[Image], thresholds: Sequence[float], recalls: Tensor) -> Tensor:
    """The marks of one threshold stay in the list for the next."""
    truths, marks, scores, rows = _truths(images), [], [], []
    if truths == 0:
        return torch.full((len(thresholds),), math.nan)
    for threshold in thresholds:
        for image in images:
            marks.append(greedy_match(*image, threshold) >= 0)
            scores.append(image[1])
        order = torch.cat(scores).argsort(descending=True, stable=True)
        rows.append(interpolated_precision(torch.cat(marks)[order], truths, recalls).mean())
    return torch.stack(rows)


def _over_reached(right: Tensor, truths: int, recalls: Tensor) -> float:
    """The mean over those recalls alone that are reached."""
    reached = recalls <= int(right.sum()) / truths
    values = interpolated_precision(right, truths, recalls)[reached]
    return float(values.mean()) if len(values) else 0.0


def _counted_truths(count: Callable[[Sequence[Image]], int]) -> Callable[..., Tensor]:
    """Another number of truths, where there are any."""
    return lambda images, thresholds, recalls: (
        _averaged(count=lambda each: max(1, count(each)))(images, thresholds, recalls)
        if _truths(images)
        else average_precisions(images, thresholds, recalls)
    )


def _scaled_scores(images: Sequence[Image], thresholds: Sequence[float], recalls: Tensor) -> Tensor:
    scaled = [(ious, scores / scores.max() if len(scores) else scores) for ious, scores in images]
    return average_precisions(scaled, thresholds, recalls)


def _hits_alone(right: Tensor, truths: int, recalls: Tensor) -> Tensor:
    return interpolated_precision(right[right], truths, recalls).mean()


def _ranked_by_fit(images: Sequence[Image]) -> Tensor:
    best = [ious.amax(1) if ious.numel() else torch.zeros(len(scores)) for ious, scores in images]
    return torch.cat(best).argsort(descending=True, stable=True)


def _in_turns(images: Sequence[Image]) -> Tensor:
    """Of equal scores the first detection of each image, then the second of each."""
    keys = [(-s, d, k) for k, (_, scores) in enumerate(images) for d, s in enumerate(scores.tolist())]
    return torch.tensor(sorted(range(len(keys)), key=lambda n: keys[n]), dtype=torch.int64)


def _weighted(images: Sequence[Image], thresholds: Sequence[float], recalls: Tensor) -> Tensor:
    rows = [average_precisions([each], thresholds, recalls).nan_to_num(0.0) for each in images]
    sizes = [each[0].shape[1] for each in images]
    return torch.stack([row * size for row, size in zip(rows, sizes, strict=True)]).sum(0) / sum(sizes)


def _sorted_again(images: Sequence[Image], thresholds: Sequence[float], recalls: Tensor) -> Tensor:
    """Marks in the order of each image's scores, scores as they came; then both are put in one order."""
    return _averaged(
        right=lambda image, threshold: (greedy_match(*image, threshold) >= 0)[
            image[1].argsort(descending=True, stable=True)
        ]
    )(images, thresholds, recalls)


def _detections(images: Sequence[Image]) -> int:
    return sum(len(scores) for _, scores in images)


def _shares(
    images: Sequence[Image], thresholds: Sequence[float], count: Callable[[Sequence[Image]], int]
) -> Tensor:
    if _truths(images) == 0:
        return torch.full((len(thresholds),), math.nan, dtype=torch.float64)
    hits = [sum(int((greedy_match(*each, t) >= 0).sum()) for each in images) for t in thresholds]
    return torch.tensor(hits, dtype=torch.float64) / max(1, count(images))


def _ap_cases(generator: torch.Generator) -> list[Case]:
    quarters = torch.arange(5, dtype=torch.float64) / 4
    one: Image = (torch.tensor([[0.75, 0.0], [0.0, 0.625]]), torch.tensor([0.9, 0.6]))
    other: Image = (torch.tensor([[0.25], [0.875]]), torch.tensor([0.8, 0.7]))
    nobody: Image = (torch.zeros(2, 0), torch.tensor([0.95, 0.3]))
    blind: Image = (torch.zeros(0, 2), torch.zeros(0))
    unsorted: Image = (torch.tensor([[0.25, 0.0], [0.75, 0.0], [0.0, 0.625]]), torch.tensor([0.6, 0.9, 0.3]))
    late: Image = (torch.tensor([[0.625, 0.55], [0.8, 0.0]]), torch.tensor([0.9, 0.4]))
    cases = [
        Case(([one, other], [0.5], quarters), "two images in one ranking"),
        Case(([one], [0.5], quarters), "one image, one threshold: both are right"),
        Case(([one], [0.5, 0.7], quarters), "at 0.7 the second one is wrong"),
        Case(([other, one, nobody], [0.5, 0.8], quarters), "an image without truths: it can only be wrong"),
        Case(([blind, one], [0.5], quarters), "an image without detections: its truths are missed"),
        Case(([nobody], [0.5, 0.6], quarters), "no truths at all"),
        Case(([unsorted], [0.5], quarters), "detections that do not come in the order of their scores"),
        Case(([late], [0.5, 0.7], quarters), "at 0.7 the first one takes nothing, and the second can"),
    ]
    for sizes, thresholds in (
        (((4, 3), (5, 4), (3, 2)), [0.75, 0.5]),
        (((6, 2), (0, 2), (4, 3), (7, 4)), [0.5, 0.55, 0.6, 0.9]),
        (((8, 7), (3, 0), (9, 6)), [0.4, 0.65]),
        (((5, 3),) * 3, [0.5 + 0.05 * k for k in range(10)]),
    ):
        images: list[Image] = []
        for many, truths in sizes:
            ious = (torch.rand(many, truths, generator=generator) * 16).round() / 16
            scores = (torch.rand(many, generator=generator) * 12).round() / 12
            images.append((ious, scores))
        recalls = torch.arange(101, dtype=torch.float64) / 100
        cases.append(Case((images, thresholds, recalls)))
    return cases


AVERAGE = Exercise(
    "12.4",
    "From AP50 to AP",
    average_precisions,
    _ap_cases,
    any_float=True,
    axes=("threshold",),
    plan=(
        "Count the truths of all images. If there are none, each answer is NaN.",
        "For each threshold, match every image by itself, and note for each detection whether it took a "
        "truth.",
        "Join the notes of all images to one row, and the scores as well. Put the row in the order of the "
        "scores, the highest first.",
        "Read the precision at all recalls off this one curve. Its mean is the AP at this threshold.",
    ),
    mistakes=(
        Mistake(
            "image by image",
            _image_by_image,
            "You average the AP of single images. All detections stand in one ranking, and one curve is "
            "read off it.",
        ),
        Mistake(
            "not ranked together",
            _averaged(rank=lambda images: torch.arange(sum(len(scores) for _, scores in images))),
            "Your images stand one after the other in the curve. Sort the detections of all images by score.",
        ),
        Mistake(
            "ranked within images",
            _averaged(
                rank=lambda images: torch.cat(
                    [
                        s.argsort(descending=True, stable=True) + sum(len(other) for _, other in images[:at])
                        for at, (_, s) in enumerate(images)
                    ]
                )
            ),
            "You sort within each image. A sure detection of the last image comes before an unsure one of "
            "the first.",
        ),
        Mistake(
            "lowest score first",
            _averaged(rank=lambda images: torch.cat([s for _, s in images]).argsort(stable=True)),
            "Your ranking begins with the lowest score. The surest detection comes first.",
        ),
        Mistake(
            "truths of images with detections",
            _averaged(count=lambda images: sum(ious.shape[1] for ious, s in images if len(s))),
            "You leave out the truths of images in which nothing was detected. They are missed, and recall "
            "must know.",
        ),
        Mistake(
            "counts the detections",
            _averaged(count=lambda images: sum(len(s) for _, s in images)),
            "You divide by the number of detections. Recall needs the number of truths: columns, not rows.",
        ),
        Mistake(
            "matched once",
            _averaged(right=_matched_once),
            "You match at one half and then ask which IoUs are enough. At a higher threshold someone may "
            "take nothing, and leave the truth to the next: match anew.",
        ),
        Mistake(
            "matched at the first threshold",
            _at_the_first,
            "You match once, at the first threshold, and then ask which IoUs are enough. Who takes nothing "
            "at a higher threshold leaves the truth to the next: match anew.",
        ),
        Mistake(
            "not interpolated",
            _from_ranking(
                lambda right, truths, recalls: _read_off(lambda p, r, least: _first(p[r >= least]))(
                    right, truths, recalls
                ).mean()
            ),
            "You read the precision where the recall is first reached. The curve is the interpolated one of "
            "12.3: the highest at this recall or farther right.",
        ),
        Mistake(
            "the area below the curve",
            _from_ranking(_exact_area),
            "You compute the area below the curve exactly. The task takes the mean over the recalls that it "
            "gives.",
        ),
        Mistake(
            "mean precision at the hits",
            _from_ranking(_at_hits),
            "You average the precisions at the hits. AP here is the mean of the interpolated precision over "
            "the recalls.",
        ),
        Mistake(
            "the truths that were found",
            _from_ranking(
                lambda right, truths, recalls: interpolated_precision(
                    right, max(1, int(right.sum())), recalls
                ).mean()
            ),
            "Your recall ends at 1 though truths were missed. All truths of all images count, also those "
            "that nobody found.",
        ),
        Mistake(
            "recalls of its own",
            lambda images, thresholds, recalls: average_precisions(
                images, thresholds, torch.arange(101, dtype=torch.float64) / 100
            ),
            "You read the curve at 101 recalls of your own. Those to read at are an argument.",
        ),
        Mistake(
            "whole curves",
            lambda images, thresholds, recalls: (
                average_precisions(images, thresholds, recalls)
                if _truths(images) == 0
                else _from_ranking(lambda right, truths, at: interpolated_precision(right, truths, at))(
                    images, thresholds, recalls
                )
            ),
            "You return the precision at each recall. AP is the mean of these: one number for each "
            "threshold.",
        ),
        Mistake(
            "all images in one table",
            _one_table,
            "In yours the truths of different images are the same truth: column 0 of one is column 0 of "
            "another. Match each image by itself, and join what comes of it.",
        ),
        Mistake(
            "image by image, weighed by truths",
            _weighted,
            "You average the AP of single images by their numbers of truths. One curve of all detections "
            "is not the mean of their curves.",
        ),
        Mistake(
            "put in order twice",
            _sorted_again,
            "You put an image's marks in the order of its scores, and sort them once more with the scores as "
            "they came. Marks and scores must stand in one order when they meet.",
        ),
        Mistake(
            "wrong ones left out",
            _from_ranking(_hits_alone),
            "Detections that took nothing are not in your curve, so precision is 1 all along. They are "
            "wrong, and they count.",
        ),
        Mistake(
            "ranked by IoU",
            _averaged(rank=_ranked_by_fit),
            "Your ranking puts those first that fit best. The order is that of the scores; the IoU only says "
            "who is right.",
        ),
        Mistake(
            "equal scores in turns",
            _averaged(rank=_in_turns),
            "Of equal scores you take the first detection of each image, then the second of each. All of the "
            "earlier image come first.",
        ),
        Mistake(
            "truths of the last image",
            _counted_truths(lambda images: images[-1][0].shape[1]),
            "You divide by the truths of the last image alone. Recall asks for those of all images together.",
        ),
        Mistake(
            "truths of the first image",
            _counted_truths(lambda images: images[0][0].shape[1]),
            "You divide by the truths of the first image alone. Recall asks for those of all images "
            "together.",
        ),
        Mistake(
            "lists that are not emptied",
            _not_emptied,
            "The first threshold is right, the others are not: what you gathered for one threshold is still "
            "there at the next. Begin anew for each.",
        ),
        Mistake(
            "mean over the recalls that are reached",
            _from_ranking(_over_reached),
            "You average only over the recalls that are reached. Those beyond count as well, with a "
            "precision of 0.",
        ),
        Mistake(
            "scores scaled in each image",
            _scaled_scores,
            "You divide an image's scores by its highest. In the one ranking, scores of different images are "
            "compared as they are.",
        ),
        Mistake(
            "no matching",
            _averaged(right=_any_truth),
            "A detection is right in yours if any truth fits. Two of them may want the same one: use your "
            "matching.",
        ),
        Mistake(
            "one half for all",
            _averaged(right=lambda image, threshold: greedy_match(*image, 0.5) >= 0),
            "Each threshold gets the AP at one half from you. Where does the threshold come in?",
        ),
        Mistake(
            "0 for no truths",
            _averaged(empty=0.0),
            "Without truths there is nothing to find, and 0 would say that all was missed. It is NaN.",
        ),
        Mistake(
            "sum over recalls",
            _averaged(total=lambda values: values.sum()),
            "You add up the precisions at all recalls. AP is their mean.",
        ),
        Mistake(
            "highest precision",
            _averaged(total=lambda values: values.max()),
            "You keep the highest precision of the curve. AP is the mean over all recalls.",
        ),
        Mistake(
            "one number",
            _one_number,
            "You average over the thresholds already. One AP for each threshold is asked.",
        ),
        Mistake(
            "at the mean threshold",
            _mean_threshold,
            "You average the thresholds and match once. Each threshold has an AP of its own.",
        ),
        Mistake(
            "images without truths left out",
            lambda images, thresholds, recalls: average_precisions(
                [image for image in images if image[0].shape[1]], thresholds, recalls
            ),
            "You leave out images without truths. What is detected there is wrong, and it counts.",
        ),
        Mistake(
            "scores not looked at",
            lambda images, thresholds, recalls: average_precisions(
                [(ious, torch.ones_like(scores)) for ious, scores in images], thresholds, recalls
            ),
            "Your answer does not depend on the scores. They say who chooses first, and the order of the "
            "curve.",
        ),
        Mistake(
            "later image first",
            lambda images, thresholds, recalls: average_precisions(images[::-1], thresholds, recalls),
            "Of equal scores in two images you put the later image first. The earlier one comes first.",
        ),
        Mistake(
            "share of the detections",
            lambda images, thresholds, recalls: _shares(images, thresholds, _detections),
            "You return the share of detections that are right. That is one precision, not the mean over "
            "the curve.",
        ),
        Mistake(
            "share of the truths",
            lambda images, thresholds, recalls: _shares(images, thresholds, _truths),
            "You return the share of truths that were found. That is recall; AP is the mean of precision "
            "over the curve.",
        ),
        Mistake(
            "first image only",
            lambda images, thresholds, recalls: average_precisions(images[:1], thresholds, recalls),
            "You look at the first image alone. Go through all, and join them in one ranking.",
        ),
        Mistake(
            "last image only",
            lambda images, thresholds, recalls: average_precisions(images[-1:], thresholds, recalls),
            "You keep the last image alone: each one writes over the one before. Join them.",
        ),
        Mistake(
            "first threshold for all",
            lambda images, thresholds, recalls: average_precisions(
                images, [thresholds[0]] * len(thresholds), recalls
            ),
            "Each threshold gets the AP of the first one. Match anew for each.",
        ),
        Mistake(
            "thresholds turned round",
            lambda images, thresholds, recalls: average_precisions(images, thresholds, recalls).flip(0),
            "The numbers are right, but they stand in the opposite order of the thresholds.",
        ),
        Mistake(
            "truth 0 is nobody",
            _averaged(right=lambda image, threshold: greedy_match(*image, threshold) > 0),
            "Who took truth 0 is wrong in yours. Only −1 means that nothing was taken.",
        ),
    ),
)


# 12.5 ----------------------------------------------------------------------------------------------


def iou_after_shift(masks: Tensor, dy: int, dx: int) -> Tensor:
    """``(N,)``: IoU of each mask with itself, moved dy pixels down and dx right; NaN for an empty one."""
    both = torch.stack([masks, _moved(masks, dy, dx)]).flatten(2)
    return both.all(0).sum(1) / both.any(0).sum(1)


def _moved(masks: Tensor, dy: int, dx: int) -> Tensor:
    height, width = masks.shape[1:]
    rows, columns = torch.arange(height) - dy, torch.arange(width) - dx
    inside = ((rows >= 0) & (rows < height))[:, None] & (columns >= 0) & (columns < width)
    return masks[:, rows % height][:, :, columns % width] & inside


def _shifted(
    move: Callable[[Tensor, int, int], Tensor] = _moved,
    score: Callable[[Tensor, Tensor], Tensor] = lambda a, b: (
        (a & b).sum((1, 2)).double() / (a | b).sum((1, 2))
    ),
) -> Callable[[Tensor, int, int], Tensor]:
    """Another way to move, or another score."""
    return lambda masks, dy, dx: score(masks, move(masks, dy, dx))


def _areas(masks: Tensor) -> Tensor:
    return masks.sum((1, 2)).double()


def _smeared(masks: Tensor, dy: int, dx: int) -> Tensor:
    """Moved, with the border pixel repeated where nothing comes in."""
    height, width = masks.shape[1:]
    rows = (torch.arange(height) - dy).clamp(0, height - 1)
    return masks[:, rows][:, :, (torch.arange(width) - dx).clamp(0, width - 1)]


def _rolled(
    emptied: Callable[[Tensor, int, int], None],
) -> Callable[[Tensor, int, int], Tensor]:
    """Rolled, then some lines emptied."""

    def move(masks: Tensor, dy: int, dx: int) -> Tensor:
        moved = masks.roll((dy, dx), (1, 2))
        emptied(moved, dy, 1)
        emptied(moved, dx, 2)
        return moved

    return move


def _empty_if_positive(moved: Tensor, step: int, axis: int) -> None:
    if step > 0:
        moved.narrow(axis, 0, step).fill_(False)


def _empty_far_side(moved: Tensor, step: int, axis: int) -> None:
    start = moved.shape[axis] - step if step > 0 else 0
    moved.narrow(axis, start, abs(step)).fill_(False)


def _cut_by_minus(masks: Tensor, dy: int, dx: int) -> Tensor:
    moved = torch.zeros_like(masks)
    moved[:, dy:, dx:] = masks[:, :-dy, :-dx]
    return moved


def _cut_by_size(masks: Tensor, dy: int, dx: int) -> Tensor:
    moved = torch.zeros_like(masks)
    moved[:, dy:, dx:] = masks[:, : masks.shape[1] - dy, : masks.shape[2] - dx]
    return moved


def _shift_cases(generator: torch.Generator) -> list[Case]:
    square = torch.zeros(1, 6, 6, dtype=torch.bool)
    square[0, 1:4, 1:4] = True
    bar = torch.zeros(2, 3, 6, dtype=torch.bool)
    bar[0, :2, :4], bar[1, :, 5] = True, True
    cases = [
        Case((square, 0, 1), "a square of three by three, moved by one: 6 of 12"),
        Case((square, 1, 0), "down instead"),
        Case((square, 1, -1), "down and to the left"),
        Case((bar, 0, 2), "a bar, and a column that leaves at the right"),
        Case((bar, -1, 0), "up"),
        Case((bar, 1, 0), "down"),
        Case((bar, 0, -2), "to the left"),
        Case((square, 0, 0), "not moved"),
        Case((torch.cat([square, torch.zeros_like(square)])[:, :3, :6], 0, 1), "the second mask is empty"),
    ]
    for many, height, width, dy, dx in (
        (3, 8, 11, 2, -3),
        (5, 12, 9, -4, 1),
        (2, 15, 20, 5, 7),
        (4, 9, 9, 0, -1),
    ):
        soft = torch.rand(many, height // 3 + 1, width // 3 + 1, generator=generator)
        masks = soft.repeat_interleave(3, 1).repeat_interleave(3, 2)[:, :height, :width] < 0.45
        masks[:, height // 2, width // 2] = True
        cases.append(Case((masks, dy, dx)))
    return cases


SHIFT = Exercise(
    "12.5",
    "Why AP of small objects is low",
    iou_after_shift,
    _shift_cases,
    any_float=True,
    axes=("mask",),
    plan=(
        "Begin with empty masks of the same size, and copy the old ones in: rows from 0 on go to rows from "
        "dy on. What if dy is negative?",
        "The same for the columns and dx. What would lie outside is dropped.",
        "Count for each mask the pixels that old and new have in common, and those that either has.",
        "Divide. 0 / 0 of an empty mask is NaN by itself.",
    ),
    mistakes=(
        Mistake(
            "round the edge",
            _shifted(lambda masks, dy, dx: masks.roll((dy, dx), (1, 2))),
            "What leaves your image on one side comes back on the other. It should be lost.",
        ),
        Mistake(
            "down and right exchanged",
            _shifted(lambda masks, dy, dx: _moved(masks, dx, dy)),
            "You move by dy to the right and by dx down. Rows go with y.",
        ),
        Mistake(
            "the other way",
            _shifted(lambda masks, dy, dx: _moved(masks, -dy, -dx)),
            "You move up for a positive dy, or to the left for a positive dx. At the border that makes a "
            "difference.",
        ),
        Mistake(
            "the sign dropped",
            _shifted(lambda masks, dy, dx: _moved(masks, abs(dy), abs(dx))),
            "Negative shifts go the way of positive ones in yours. Minus means up, or to the left.",
        ),
        Mistake(
            "only down",
            _shifted(lambda masks, dy, dx: _moved(masks, dy, 0)),
            "You move rows only. What does dx do to the columns?",
        ),
        Mistake(
            "only to the right",
            _shifted(lambda masks, dy, dx: _moved(masks, 0, dx)),
            "You move columns only. What does dy do to the rows?",
        ),
        Mistake(
            "border repeated",
            _shifted(_smeared),
            "Where nothing comes in you repeat the border. There is no object beyond the image: False.",
        ),
        Mistake(
            "twice as far",
            _shifted(lambda masks, dy, dx: _moved(_moved(masks, dy, dx), dy, dx)),
            "Your masks move twice as far as they should: dy and dx are added once.",
        ),
        Mistake(
            "over the old mask",
            _shifted(score=lambda a, b: (a & b).sum((1, 2)) / _areas(a)),
            "You divide by the pixels of the old mask. The union holds those of the new one too.",
        ),
        Mistake(
            "over both areas",
            _shifted(score=lambda a, b: (a & b).sum((1, 2)) / (_areas(a) + _areas(b))),
            "You divide by both areas added. The pixels in common are in there twice.",
        ),
        Mistake(
            "Dice",
            _shifted(score=lambda a, b: 2 * (a & b).sum((1, 2)) / (_areas(a) + _areas(b))),
            "That is Dice. IoU divides what both have by what either has.",
        ),
        Mistake(
            "agreement of pixels",
            _shifted(score=lambda a, b: (a == b).double().mean((1, 2))),
            "You count the background too, where both say no. Of what either has, how much have both?",
        ),
        Mistake(
            "all masks together",
            _shifted(score=lambda a, b: ((a & b).sum() / (a | b).sum().double()).expand(len(a))),
            "You count over all masks at once. Each mask has its own IoU.",
        ),
        Mistake(
            "0 for an empty mask",
            _shifted(score=lambda a, b: (a & b).sum((1, 2)) / (a | b).sum((1, 2)).double().clamp(min=1)),
            "For an empty mask there is nothing to score. Leave 0 / 0 as it is: NaN.",
        ),
        Mistake(
            "averaged",
            _shifted(score=lambda a, b: ((a & b).sum((1, 2)).double() / (a | b).sum((1, 2))).nanmean()),
            "You average over the masks. One IoU for each is asked.",
        ),
        Mistake(
            "up for down",
            _shifted(lambda masks, dy, dx: _moved(masks, -dy, dx)),
            "You move up for a positive dy. Rows are counted downwards: at the border that makes a "
            "difference.",
        ),
        Mistake(
            "left for right",
            _shifted(lambda masks, dy, dx: _moved(masks, dy, -dx)),
            "You move left for a positive dx. At the border that makes a difference.",
        ),
        Mistake(
            "by one, whatever is asked",
            _shifted(lambda masks, dy, dx: _moved(masks, (dy > 0) - (dy < 0), (dx > 0) - (dx < 0))),
            "You move by one pixel, however far is asked. dy and dx say how many.",
        ),
        Mistake(
            "old pixels kept",
            _shifted(lambda masks, dy, dx: _moved(masks, dy, dx) | (masks & ~_seen(masks, dy, dx))),
            "Where nothing comes in, your moved mask still has the old pixels. Begin with an empty one, not "
            "with a copy.",
        ),
        Mistake(
            "filled from outside",
            _shifted(lambda masks, dy, dx: _moved(masks, dy, dx) | ~_seen(masks, dy, dx)),
            "What comes in from outside is True in yours. Beyond the image there is no object.",
        ),
        Mistake(
            "shared only",
            _shifted(score=lambda a, b: (a & b).sum((1, 2)).double()),
            "You return the number of pixels that old and new share. What is it to be divided by?",
        ),
        Mistake(
            "twice the area",
            _shifted(score=lambda a, b: (a & b).sum((1, 2)) / (2 * _areas(a) - (a & b).sum((1, 2)))),
            "For the union you take twice the old area. What left the image is lost, so the moved mask may "
            "be smaller: count it.",
        ),
        Mistake(
            "over the moved mask",
            _shifted(score=lambda a, b: (a & b).sum((1, 2)) / _areas(b)),
            "You divide by the pixels of the moved mask. The union holds those of the old one too.",
        ),
        Mistake(
            "over what differs",
            _shifted(score=lambda a, b: (a & b).sum((1, 2)).double() / (a ^ b).sum((1, 2))),
            "You divide by the pixels that only one of the two has. Those in common belong to the union as "
            "well.",
        ),
        Mistake(
            "NaN for what left the image",
            _shifted(
                score=lambda a, b: ((a & b).sum((1, 2)).double() / (a | b).sum((1, 2))).where(
                    _areas(b) > 0, math.nan
                )
            ),
            "A mask that left the image altogether was not empty: nothing is shared, so its IoU is 0. NaN is "
            "for a mask that was empty from the start.",
        ),
        Mistake(
            "emptied for positive shifts alone",
            _shifted(_rolled(_empty_if_positive)),
            "For positive shifts you empty what came round the edge, for negative ones not. There it comes "
            "in at the other end.",
        ),
        Mistake(
            "emptied on the wrong side",
            _shifted(_rolled(_empty_far_side)),
            "You empty the side to which the masks moved. What came round the edge lies on the other.",
        ),
        Mistake(
            "one too few for negative shifts",
            _shifted(lambda masks, dy, dx: _moved(masks, dy + (dy < 0), dx + (dx < 0))),
            "Positive shifts are right, negative ones go one pixel less than is asked.",
        ),
        Mistake(
            "down times right",
            lambda masks, dy, dx: iou_after_shift(masks, dy, 0) * iou_after_shift(masks, 0, dx),
            "You multiply the IoU of the move down with that of the move to the right. The mask moves once, "
            "both ways; count then.",
        ),
        Mistake(
            "padded by one",
            _shifted(lambda masks, dy, dx: F.pad(masks, (1, 1, 1, 1)).roll((dy, dx), (1, 2))[:, 1:-1, 1:-1]),
            "You pad by one pixel, and longer shifts come round the edge all the same. How much room must "
            "there be?",
        ),
        Mistake(
            "1 for an empty mask",
            _shifted(score=lambda a, b: ((a & b).sum((1, 2)).double() / (a | b).sum((1, 2))).nan_to_num(1.0)),
            "For an empty mask there is nothing to score, so it is not perfect either: NaN.",
        ),
        Mistake(
            "a table of pairs",
            lambda masks, dy, dx: pairwise_iou(masks, _moved(masks, dy, dx)),
            "You compare each mask with each moved one. A mask meets only itself: one number for each.",
        ),
        Mistake(
            "a table of pairs, NaN for the empty",
            lambda masks, dy, dx: _counted(lambda shared, size, other: shared / (size + other - shared))(
                masks, _moved(masks, dy, dx)
            ),
            "You compare each mask with each moved one. Each meets only itself, as it was: N numbers.",
        ),
        Mistake(
            "an axis too early",
            _shifted(lambda masks, dy, dx: masks.roll((dy, dx), (0, 1))),
            "You move along axes 0 and 1. Axis 0 counts the masks; rows and columns are the last two.",
        ),
        Mistake(
            "rows and columns of the first axes",
            _shifted(score=lambda a, b: (a & b).sum((0, 1)).double() / (a | b).sum((0, 1))),
            "You add up over axes 0 and 1, masks and rows. Over which axes does a mask have its pixels?",
        ),
        Mistake(
            "slices that 0 empties",
            _shifted(_cut_by_minus),
            "With a shift of 0, a slice like [:-0] is empty, and a negative one counts from the end. Which "
            "rows are read, and which are written, for each sign?",
        ),
        Mistake(
            "slices for positive shifts",
            _shifted(_cut_by_size),
            "A negative number in a slice counts from the end. Which rows are read, and which are written, "
            "if dy is below 0?",
        ),
        Mistake(
            "the formula of the text",
            lambda masks, dy, dx: (
                (_areas(masks).sqrt() - abs(dy) - abs(dx)) / (_areas(masks).sqrt() + abs(dy) + abs(dx))
            ),
            "You use the formula of a square, with the root of the area for its side. Masks have any shape: "
            "count their pixels.",
        ),
        Mistake(
            "the formula of a square",
            lambda masks, dy, dx: _square(masks, dy, dx),
            "You use the formula of a square. Masks have any shape: count their pixels.",
        ),
        Mistake(
            "lost pixels forgiven",
            lambda masks, dy, dx: _lost_forgiven(masks, dy, dx),
            "You compare only the part of the image that both cover. Pixels that left the image are lost, "
            "and the old mask still has those at the border.",
        ),
    ),
)


def _seen(masks: Tensor, dy: int, dx: int) -> Tensor:
    """Where the moved image lies."""
    return _moved(torch.ones_like(masks), dy, dx)


def _square(masks: Tensor, dy: int, dx: int) -> Tensor:
    side = _areas(masks).sqrt()
    shared = (side - abs(dy)).clamp(min=0) * (side - abs(dx)).clamp(min=0)
    return shared / (2 * side**2 - shared)


def _lost_forgiven(masks: Tensor, dy: int, dx: int) -> Tensor:
    """Scored only where the moved image lies."""
    seen = _seen(masks, dy, dx)
    moved = _moved(masks, dy, dx)
    shared: Any = (masks & moved & seen).sum((1, 2)).double()
    return shared / ((masks | moved) & seen).sum((1, 2))


EXERCISES = (PAIRS, MATCH, CURVE, AVERAGE, SHIFT)
