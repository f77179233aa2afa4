"""Exercises of chapter 15: the table of IoUs, matching, quality, the rules of void, merging two outputs.

The references are written apart from `segcore.panoptic`. Every mistake is one of them with one fault.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from segcore.checks.exercise import Case, Exercise, Mistake

__all__ = ["EXERCISES"]

VOID = 255


def _numbered(generator: torch.Generator, count: int, height: int, width: int) -> Tensor:
    """A map in blocks in which each of some numbers occurs."""
    labels = torch.randint(count, (-(-height // 3), -(-width // 3)), generator=generator)
    labels = labels.repeat_interleave(3, 0).repeat_interleave(3, 1)[:height, :width].flatten().clone()
    labels[torch.randperm(len(labels), generator=generator)[:count]] = torch.arange(count)
    return labels.reshape(height, width)


def _like(labels: Tensor, generator: torch.Generator, share: float = 0.3) -> Tensor:
    """Another map of the same numbers, most of whose pixels agree, under other names."""
    count = int(labels.max()) + 1
    names = torch.randperm(count, generator=generator)
    changed = torch.rand(labels.shape, generator=generator) < share
    result = torch.where(changed, labels.roll(1, 1), labels).flatten()
    result[torch.randperm(len(result), generator=generator)[:count]] = torch.arange(count)
    return names[result].reshape(labels.shape)


# 15.1 ----------------------------------------------------------------------------------------------


def segment_iou(prediction: Tensor, target: Tensor) -> Tensor:
    """``(P, T)``: IoU of each predicted segment with each true one."""
    shared, areas, true_areas = _shared(prediction, target)
    return (shared / (areas[:, None] + true_areas - shared)).float()


def _shared(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels that each pair shares ``(P, T)``, and the areas of both sides."""
    inside, true = (F.one_hot(each.flatten()).double() for each in (prediction, target))
    return inside.T @ true, inside.sum(0), true.sum(0)


def _ratio(measure: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """Another ratio of the pixels shared and the two areas."""

    def wrong(prediction: Tensor, target: Tensor) -> Tensor:
        shared, areas, true_areas = _shared(prediction, target)
        return measure(shared, areas[:, None], true_areas).float()

    return wrong


def _pairs_collide(prediction: Tensor, target: Tensor) -> Tensor:
    """The pair (p, t) as the number p · P + t, where p · T + t is meant."""
    count, width = int(prediction.max()) + 1, int(target.max()) + 1
    pairs = (prediction * count + target).flatten().clamp(max=count * width - 1)
    shared = torch.bincount(pairs, minlength=count * width).reshape(count, width)
    return shared / (shared.sum(1, keepdim=True) + shared.sum(0) - shared)


def _pairs_cut_off(prediction: Tensor, target: Tensor) -> Tensor:
    """The same, and the counts beyond the table are cut off."""
    count, width = int(prediction.max()) + 1, int(target.max()) + 1
    pairs = torch.bincount((prediction * count + target).flatten(), minlength=count * width)
    shared = pairs[: count * width].reshape(count, width)
    return shared / (shared.sum(1, keepdim=True) + shared.sum(0) - shared)


def _of_size(measure: Callable[[int, int], tuple[int, int]]) -> Callable[[Tensor, Tensor], Tensor]:
    """A table of another size: what is too much is 0, what does not fit is cut off."""

    def wrong(prediction: Tensor, target: Tensor) -> Tensor:
        table = segment_iou(prediction, target)
        height, width = measure(*table.shape)
        return F.pad(table, (0, max(width - table.shape[1], 0), 0, max(height - table.shape[0], 0)))[
            :height, :width
        ]

    return wrong


def _areas_across(prediction: Tensor, target: Tensor) -> Tensor:
    shared, areas, true_areas = _shared(prediction, target)
    return (shared / (areas + true_areas[:, None] - shared)).float()


def _without_background(prediction: Tensor, target: Tensor) -> Tensor:
    table = segment_iou(prediction, target)
    table[0], table[:, 0] = 0, 0
    return table


def _iou_cases(generator: torch.Generator) -> list[Case]:
    def row(*labels: int) -> Tensor:
        return torch.tensor([labels])

    cases = [
        Case((row(0, 0, 0, 1), row(0, 0, 1, 1)), "a row of four pixels, two segments in each map"),
        Case((row(0, 0, 1, 1), row(0, 1, 1, 1)), "the two maps exchanged, and turned round"),
        Case((row(0, 1, 2, 3), row(0, 0, 1, 1)), "four segments of one pixel, two of two"),
        Case((row(0, 0, 0, 0), row(2, 1, 0, 0)), "one segment, three true ones"),
        Case((row(1, 1, 0, 0), row(0, 0, 1, 1)), "the same segments under other numbers"),
    ]
    for count, other, height, width in ((3, 5, 7, 6), (8, 2, 5, 9), (4, 4, 6, 7), (12, 7, 14, 11)):
        maps = _numbered(generator, count, height, width), _numbered(generator, other, height, width)
        cases.append(Case(maps))
    return cases


SEGMENT_IOU = Exercise(
    "15.1",
    "The table of IoUs",
    segment_iou,
    _iou_cases,
    any_float=True,
    axes=("predicted segment", "true segment"),
    plan=(
        "How many segments has each map? Their numbers begin with 0, so it is one more than the largest.",
        "For each pair count the pixels that lie in both. A table of zeros, one row for each predicted "
        "segment.",
        "Count the pixels of each segment alone as well: the two areas of a pair.",
        "IoU = shared / (area + true area - …). What did the sum of the areas count twice?",
    ),
    mistakes=(
        Mistake(
            "shared pixels counted twice",
            _ratio(lambda shared, area, true: shared / (area + true)),
            "You divide by the sum of the two areas. Pixels that lie in both segments are in that sum twice; "
            "in the union they are once.",
        ),
        Mistake(
            "Dice",
            _ratio(lambda shared, area, true: 2 * shared / (area + true)),
            "That is the Dice coefficient: twice the shared pixels over the sum of the areas. IoU divides "
            "the shared pixels by those in either.",
        ),
        Mistake(
            "of the predicted area",
            _ratio(lambda shared, area, true: shared / area),
            "You ask what share of the predicted segment lies in the true one. The union also holds the rest "
            "of the true one.",
        ),
        Mistake(
            "of the true area",
            _ratio(lambda shared, area, true: shared / true),
            "You ask what share of the true segment was found. The union also holds what the prediction has "
            "beyond it.",
        ),
        Mistake(
            "of the smaller area",
            _ratio(lambda shared, area, true: shared / torch.minimum(area, true)),
            "You divide by the smaller of the two areas. How many pixels lie in at least one of the "
            "segments?",
        ),
        Mistake(
            "of the larger area",
            _ratio(lambda shared, area, true: shared / torch.maximum(area, true)),
            "You divide by the larger of the two areas. The union may be larger still: neither segment need "
            "lie inside the other.",
        ),
        Mistake(
            "of the whole image",
            _ratio(lambda shared, area, true: shared / shared.sum()),
            "You divide by all pixels of the image. Only those in one of the two segments make the union.",
        ),
        Mistake(
            "pixels, no ratio",
            _ratio(lambda shared, area, true: shared),
            "Those are the numbers of shared pixels. What are they to be divided by?",
        ),
        Mistake(
            "union in place of IoU",
            _ratio(lambda shared, area, true: area + true - shared),
            "Those are the unions. IoU is the intersection divided by the union.",
        ),
        Mistake(
            "transposed",
            lambda prediction, target: segment_iou(target, prediction),
            "The numbers are right, rows and columns are exchanged. A row is a predicted segment, a column "
            "a true one.",
        ),
        Mistake(
            "the last segment left out",
            lambda prediction, target: segment_iou(prediction, target)[:-1, :-1],
            "A row and a column are missing. If the largest number is 3, there are segments 0, 1, 2 and 3.",
        ),
        Mistake(
            "the first segment left out",
            lambda prediction, target: segment_iou(prediction, target)[1:, 1:],
            "A row and a column are missing at the beginning. Number 0 is a segment like any other here, not "
            "background.",
        ),
        Mistake(
            "pairs that share a number",
            _pairs_collide,
            "Two pairs get the same number, or a pair lands in another cell. With p rows and t columns, by "
            "what must the row be multiplied so that the column has room?",
        ),
        Mistake(
            "pairs that share a number, or have no cell",
            _pairs_cut_off,
            "Pairs land in another cell, or in none. With p rows and t columns, by what must the row be "
            "multiplied so that the column has room?",
        ),
        Mistake(
            "the shared pixels taken off twice",
            _ratio(lambda shared, area, true: shared / (area + true - 2 * shared).clamp(min=1)),
            "You divide by the pixels that lie in exactly one of the segments. Those in both belong to the "
            "union as well, once.",
        ),
        Mistake(
            "the predicted area twice",
            _ratio(lambda shared, area, true: shared / (2 * area - shared)),
            "Your union knows the area of the predicted segment alone. That of the true one belongs in it "
            "too.",
        ),
        Mistake(
            "the true area twice",
            _ratio(lambda shared, area, true: shared / (2 * true - shared)),
            "Your union knows the area of the true segment alone. That of the predicted one belongs in it "
            "too.",
        ),
        Mistake(
            "one pixel more in the union",
            _ratio(lambda shared, area, true: shared / (area + true - shared + 1)),
            "All your unions are one too large. No union of two segments that occur is 0: nothing need be "
            "added.",
        ),
        Mistake(
            "yes or no",
            _ratio(lambda shared, area, true: shared / (area + true - shared) > 0.5),
            "You say which pairs overlap by more than half. The IoU itself is asked here; what makes a match "
            "comes in the next exercise.",
        ),
        Mistake(
            "the prediction with itself",
            lambda prediction, target: segment_iou(prediction, prediction),
            "Your table compares the prediction with itself. Where does the truth come in?",
        ),
        Mistake(
            "the truth with itself",
            lambda prediction, target: segment_iou(target, target),
            "Your table compares the truth with itself. Where does the prediction come in?",
        ),
        Mistake(
            "counted from 1",
            lambda prediction, target: F.pad(segment_iou(prediction, target)[1:, 1:], (0, 1, 0, 1)),
            "Everything lies one row too high and one column too far left, and number 0 is not there. The "
            "segments begin with 0.",
        ),
        Mistake(
            "pixels that agree",
            _ratio(lambda shared, area, true: 1 - (area + true - 2 * shared) / shared.sum()),
            "Your share also counts the pixels that lie in neither segment. They say nothing of this pair: "
            "divide the shared pixels by those of the union.",
        ),
        Mistake(
            "half of both areas",
            _ratio(lambda shared, area, true: shared / ((area + true) / 2 - shared).clamp(min=0.5)),
            "You halve the sum of the areas. What does the union hold of each segment, and what only once?",
        ),
        Mistake(
            "rows made to add up to 1",
            lambda prediction, target: F.normalize(segment_iou(prediction, target), p=1, dim=1),
            "Each of your rows adds up to 1. An IoU is a number of one pair alone: nothing is divided by the "
            "sum of a row.",
        ),
        Mistake(
            "cut to whole numbers",
            _ratio(lambda shared, area, true: (shared / (area + true - shared)).floor()),
            "The right numbers, cut to whole ones: // and .long() drop what stands behind the point.",
        ),
        Mistake(
            "number 0 left at 0",
            _without_background,
            "Row 0 and column 0 hold nothing. Number 0 is a segment like any other here, not background.",
        ),
        Mistake(
            "as many rows as columns",
            _of_size(lambda rows, columns: (max(rows, columns),) * 2),
            "Your table is square. The maps may have different numbers of segments: P rows, T columns.",
        ),
        Mistake(
            "as many columns as rows",
            _of_size(lambda rows, columns: (rows, rows)),
            "Your table has as many columns as rows. How many segments has the truth?",
        ),
        Mistake(
            "areas along the wrong axes",
            _areas_across,
            "The areas of the predicted segments must go down the rows, those of the true ones along the "
            "columns; in yours they lie the other way.",
        ),
        Mistake(
            "same numbers compared",
            lambda prediction, target: (
                segment_iou(prediction, target) * torch.eye(int(prediction.max()) + 1, int(target.max()) + 1)
            ),
            "You compare segment 0 with segment 0, and 1 with 1. The two maps number their segments in their "
            "own way: each must be compared with each.",
        ),
    ),
)


# 15.2 ----------------------------------------------------------------------------------------------


def match(iou: Tensor, classes: Tensor, true_classes: Tensor) -> Tensor:
    """``(P,)``: the true segment that each predicted one matches, or -1."""
    return _first(_may_match(iou, classes, true_classes))


def _may_match(iou: Tensor, classes: Tensor, true_classes: Tensor) -> Tensor:
    return (iou > 0.5) & (classes[:, None] == true_classes)


def _first(possible: Tensor) -> Tensor:
    """The first column that is true in each row, or -1."""
    return torch.where(possible.any(1), possible.long().argmax(1), -1)


def _best(iou: Tensor, classes: Tensor, true_classes: Tensor) -> Tensor:
    """The largest IoU within the class, however small."""
    inside = iou.masked_fill(classes[:, None] != true_classes, -1)
    return torch.where(inside.amax(1) > 0, inside.argmax(1), -1)


def _place_by_place(iou: Tensor, classes: Tensor, true_classes: Tensor) -> Tensor:
    """Classes compared as two lists of one length."""
    return torch.where((iou.amax(1) > 0.5) & (classes == true_classes), iou.argmax(1), -1)


def _first_of_class(iou: Tensor, classes: Tensor, true_classes: Tensor) -> Tensor:
    """Only the first true segment of the class is tried."""
    column = _first(classes[:, None] == true_classes)
    enough = iou.gather(1, column.clamp(min=0)[:, None])[:, 0] > 0.5
    return torch.where(enough & (column >= 0), column, -1)


def _match_cases(generator: torch.Generator) -> list[Case]:
    def case(note: str, table: Sequence[Sequence[float]], classes: list[int], true: list[int]) -> Case:
        return Case((torch.tensor(table), torch.tensor(classes), torch.tensor(true)), note)

    cases = [
        case("three predictions, two true segments", [[0.6, 0.3], [0.2, 0.5], [0.0, 0.1]], [1, 1, 2], [1, 1]),
        case("a good overlap with a segment of another class", [[0.1, 0.8], [0.7, 0.0]], [2, 1], [1, 1]),
        case("exactly one half, and a little more", [[0.5, 0.5], [0.0, 0.0]], [1, 1], [1, 1]),
        case("nothing matches", [[0.4, 0.3, 0.2]], [1], [1, 1, 1]),
        case("matches crosswise", [[0.0, 0.0, 0.9], [0.55, 0.0, 0.0], [0.0, 0.7, 0.1]], [3, 4, 3], [4, 3, 3]),
        case(
            "a better overlap outside the class, a match inside it is none",
            [[0.55, 0.45], [0.3, 0.5]],
            [1, 2],
            [2, 1],
        ),
        case("one beyond one half", [[0.51, 0.4]], [7], [7, 7]),
        case("three predictions, the last of which matches", [[0.1], [0.2], [0.6]], [5, 5, 5], [5]),
    ]
    for count, height, width in ((5, 6, 8), (9, 9, 12), (14, 12, 15)):
        truth = _numbered(generator, count, height, width)
        guess = _like(truth, generator)
        classes = torch.randint(1, 3, (count,), generator=generator)
        table = segment_iou(guess, truth)
        own = classes[table.argmax(1)]
        own[::4] = 3 - own[::4]
        cases.append(Case((table, own, classes)))
    return cases


MATCH = Exercise(
    "15.2",
    "Which segments match",
    match,
    _match_cases,
    axes=("predicted segment",),
    plan=(
        "Build a table of true and false with one row for each predicted segment: where is the IoU large "
        "enough?",
        "Where are the two classes equal? Compare each of P classes with each of T, and demand both.",
        "At most one entry of a row is true. Take its column.",
        "A row without a true entry gets -1; what does argmax say of such a row?",
    ),
    mistakes=(
        Mistake(
            "one half is enough",
            lambda iou, classes, true: _first((iou >= 0.5) & (classes[:, None] == true)),
            "Look at an IoU of exactly 0.5. The rule says above one half, and the proof that a match is the "
            "only one needs it.",
        ),
        Mistake(
            "class not looked at",
            lambda iou, classes, true: _first(iou > 0.5),
            "The overlap is right. A segment that is well cut and badly named is no match: what about the "
            "classes?",
        ),
        Mistake(
            "IoU not looked at",
            lambda iou, classes, true: _first((classes[:, None] == true) & (iou > -1)),
            "You take the first segment of the same class. How large must the overlap be?",
        ),
        Mistake(
            "any overlap",
            lambda iou, classes, true: _first((iou > 0) & (classes[:, None] == true)),
            "You match at any overlap. Which IoU does the rule ask for?",
        ),
        Mistake(
            "the best, however small",
            _best,
            "You always take the best segment of the class. A best overlap of 0.3 is no match.",
        ),
        Mistake(
            "the largest overlap, whatever it is",
            lambda iou, classes, true: iou.argmax(1),
            "You always name the true segment with the largest overlap. Which overlap makes it a match, and "
            "what of the class?",
        ),
        Mistake(
            "T for no match",
            lambda iou, classes, true: _first(_may_match(iou, classes, true)) % (len(true) + 1),
            "Look at a segment without a match: your number is one past the last true segment. The task says "
            "which number means none.",
        ),
        Mistake(
            "a list of pairs",
            lambda iou, classes, true: _may_match(iou, classes, true).nonzero(),
            "You list the pairs that match. One number for each predicted segment is asked, those without a "
            "match included.",
        ),
        Mistake(
            "as a detector would at 0.75",
            lambda iou, classes, true: _first((iou > 0.75) & (classes[:, None] == true)),
            "Your matches are right, but some are missing. What is the smallest IoU that makes a match?",
        ),
        Mistake(
            "0 for no match",
            lambda iou, classes, true: match(iou, classes, true).clamp(min=0),
            "Look at a segment without a match. 0 is the number of a true segment; which number says that "
            "there is none?",
        ),
        Mistake(
            "numbered from 1",
            lambda iou, classes, true: match(iou, classes, true) + (match(iou, classes, true) >= 0).long(),
            "Your numbers are one too high. The first true segment has the number 0.",
        ),
        Mistake(
            "numbered from 1, 0 for none",
            lambda iou, classes, true: match(iou, classes, true) + 1,
            "All your numbers are one too high: the first true segment has the number 0, and -1 says that "
            "there is none.",
        ),
        Mistake(
            "only the last column counts",
            lambda iou, classes, true: torch.where(_may_match(iou, classes, true)[:, -1], len(true) - 1, -1),
            "Only a match with the last true segment survives. Does a later one that does not fit set the "
            "answer back to -1?",
        ),
        Mistake(
            "below one half",
            lambda iou, classes, true: _first((iou < 0.5) & (classes[:, None] == true)),
            "You match segments whose IoU is below one half. Look at the direction of the comparison.",
        ),
        Mistake(
            "one condition is enough",
            lambda iou, classes, true: _first((iou > 0.5) | (classes[:, None] == true)),
            "You match where the class is the same or the overlap large. Both are demanded at once.",
        ),
        Mistake(
            "the best of the class, always",
            lambda iou, classes, true: iou.masked_fill(classes[:, None] != true, -1).argmax(1),
            "Each of your segments has a match: argmax always finds a column. Which overlap makes it one, "
            "and what is the answer where there is none?",
        ),
        Mistake(
            "the IoU of the match",
            lambda iou, classes, true: torch.where(
                _may_match(iou, classes, true).any(1), (iou * _may_match(iou, classes, true)).amax(1), -1.0
            ),
            "You return how large the overlap is. Which true segment it is with is asked: the number of the "
            "column.",
        ),
        Mistake(
            "its own number",
            lambda iou, classes, true: torch.where(
                _may_match(iou, classes, true).any(1), torch.arange(len(classes)), -1
            ),
            "You return the number of the predicted segment, the row. That of the true one is asked, the "
            "column.",
        ),
        Mistake(
            "classes compared place by place",
            _place_by_place,
            "You compare the first class of one list with the first of the other, and so on. The lists "
            "number different segments, and may differ in length: the class of each row meets that of each "
            "column.",
        ),
        Mistake(
            "the matches counted",
            lambda iou, classes, true: torch.where(
                _may_match(iou, classes, true).any(1), _may_match(iou, classes, true).any(1).cumsum(0) - 1, -1
            ),
            "You number the matches as they come: 0, 1, 2. The number of the true segment is asked, the "
            "column.",
        ),
        Mistake(
            "only the first of the class",
            _first_of_class,
            "You stop at the first true segment of the same class. A later one may be the match.",
        ),
        Mistake(
            "from the true side",
            lambda iou, classes, true: match(iou.T, true, classes),
            "You say which prediction each true segment matches. It is asked the other way: one number for "
            "each predicted segment.",
        ),
        Mistake(
            "yes or no",
            lambda iou, classes, true: _may_match(iou, classes, true).any(1),
            "You say whether a segment matches. The number of the true segment is asked, or -1.",
        ),
        Mistake(
            "the table of matches",
            _may_match,
            "That is the table of pairs that match. One number for each row is asked: the column of its "
            "match, or -1.",
        ),
        Mistake(
            "the class that matched",
            lambda iou, classes, true: torch.where(match(iou, classes, true) >= 0, classes, -1),
            "You return the class of the match. Which number does the true segment have in the table?",
        ),
        Mistake(
            "other classes only",
            lambda iou, classes, true: _first((iou > 0.5) & (classes[:, None] != true)),
            "You match segments of different classes. Which of the two comparisons, equal or not equal, do "
            "you want?",
        ),
    ),
)


# 15.3 ----------------------------------------------------------------------------------------------


def quality(overlap: Tensor, matched: Tensor, extra: Tensor, missed: Tensor) -> Tensor:
    """``(C + 1, 3)``: PQ, SQ and RQ of each class, and in the last row their means."""
    return _with_means(_rows(overlap, matched, extra, missed))


def _rows(overlap: Tensor, matched: Tensor, extra: Tensor, missed: Tensor) -> Tensor:
    size = matched + (extra + missed) / 2
    sq = torch.where(matched > 0, overlap / matched, 0.0)
    sq = torch.where(size > 0, sq, math.nan)
    return torch.stack([overlap / size, sq, matched / size], dim=1)


def _with_means(rows: Tensor) -> Tensor:
    return torch.cat([rows, rows.nanmean(0, keepdim=True)])


Counts = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def _with_size(measure: Counts) -> Counts:
    """Another denominator of PQ and RQ."""

    def wrong(overlap: Tensor, matched: Tensor, extra: Tensor, missed: Tensor) -> Tensor:
        rows = _rows(overlap, matched, extra, missed)
        size = measure(overlap, matched, extra, missed)
        counted = matched + extra + missed > 0
        rq = torch.where(counted, torch.where(size > 0, matched / size, 0.0), math.nan)
        return _with_means(torch.stack([rows[:, 1] * rq, rows[:, 1], rq], dim=1))

    return wrong


def _then(change: Callable[[Tensor], Tensor]) -> Counts:
    """Something done to the right rows, before the means."""
    return lambda *counts: _with_means(change(_rows(*counts)))


def _last(make: Callable[[Tensor], Tensor]) -> Counts:
    """Another last row, from the rows of the classes."""

    def wrong(overlap: Tensor, matched: Tensor, extra: Tensor, missed: Tensor) -> Tensor:
        rows = _rows(overlap, matched, extra, missed)
        return torch.cat([rows, make(rows)[None]])

    return wrong


def _all_in_one(overlap: Tensor, matched: Tensor, extra: Tensor, missed: Tensor) -> Tensor:
    counts = (overlap, matched, extra, missed)
    return torch.cat([_rows(*counts), _rows(*(each.sum(0, keepdim=True) for each in counts))])


def _mean_of_both(overlap: Tensor, matched: Tensor, extra: Tensor, missed: Tensor) -> Tensor:
    rows = _rows(overlap, matched, extra, missed)
    both = matched / (matched + extra).clamp(min=1) + matched / (matched + missed).clamp(min=1)
    rq = torch.where(rows[:, 2].isnan(), math.nan, both / 2)
    return _with_means(torch.stack([rows[:, 1] * rq, rows[:, 1], rq], dim=1))


def _columns(make: Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]) -> Counts:
    """Columns of another formula, in the rows of classes that have segments."""

    def wrong(overlap: Tensor, matched: Tensor, extra: Tensor, missed: Tensor) -> Tensor:
        rows = torch.stack(make(overlap, matched, extra, missed), dim=1).nan_to_num(0.0)
        return _with_means(torch.where((matched + extra + missed > 0)[:, None], rows, math.nan))

    return wrong


def _weighted(of: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Counts:
    """A mean in which classes weigh by their number of segments."""

    def wrong(overlap: Tensor, matched: Tensor, extra: Tensor, missed: Tensor) -> Tensor:
        rows, weight = _rows(overlap, matched, extra, missed), of(matched, extra, missed)[:, None]
        mean = (rows.nan_to_num(0.0) * weight).sum(0) / weight.sum()
        return torch.cat([rows, mean[None]])

    return wrong


def _matched_in_the_mean(overlap: Tensor, matched: Tensor, extra: Tensor, missed: Tensor) -> Tensor:
    rows = _rows(overlap, matched, extra, missed)
    return torch.cat([rows, torch.where(matched[:, None] > 0, rows, math.nan).nanmean(0, keepdim=True)])


def _quality_cases(generator: torch.Generator) -> list[Case]:
    def case(note: str, overlap: list[float], *counts: list[int]) -> Case:
        return Case((torch.tensor(overlap), *(torch.tensor(each) for each in counts)), note)

    cases = [
        case("one class: two matches, one extra, one missed", [1.5], [2], [1], [1]),
        case("two classes: the mean of PQ is not the product of means", [1.8, 0.6], [2, 1], [0, 1], [0, 3]),
        case("a class without any segment", [0.9, 0.0], [1, 0], [0, 0], [0, 0]),
        case("a class without a match", [0.9, 0.0], [1, 0], [0, 2], [0, 0]),
        case("a class that was only missed", [0.0, 0.7], [0, 1], [0, 0], [3, 0]),
        case("no segments at all", [0.0, 0.0], [0, 0], [0, 0], [0, 0]),
    ]
    for count in (4, 7, 12):
        matched = torch.randint(1, 9, (count,), generator=generator)
        extra, missed = (torch.randint(6, (count,), generator=generator) for _ in range(2))
        matched[1] = extra[1] = missed[1] = 0
        matched[2], extra[2] = 0, 2
        overlap = matched * (0.5 + torch.rand(count, generator=generator) / 2)
        cases.append(Case((overlap, matched, extra, missed)))
    return cases


QUALITY = Exercise(
    "15.3",
    "Panoptic quality, class by class",
    quality,
    _quality_cases,
    any_float=True,
    axes=("row", "score"),
    places=("PQ", "SQ", "RQ"),
    plan=(
        "Compute the size that both errors share: matches, and half of all segments that are left over.",
        "SQ = sum of IoU / number of matches, RQ = number of matches / … , and PQ is their product.",
        "Two special rows: a class with segments but no match is 0 three times, one without any segment is "
        "NaN.",
        "Put the three columns side by side, and below them the mean of each column over the rows that are "
        "not NaN.",
    ),
    mistakes=(
        Mistake(
            "errors not halved",
            _with_size(lambda overlap, matched, extra, missed: matched + extra + missed),
            "SQ is right, RQ too small. An extra and a missed segment count one half each: a bad match costs "
            "one of both, and should cost one.",
        ),
        Mistake(
            "only half of the extra ones",
            _with_size(lambda overlap, matched, extra, missed: matched + extra / 2 + missed),
            "Your extra segments are halved, your missed ones are not. Both count one half.",
        ),
        Mistake(
            "only half of the missed ones",
            _with_size(lambda overlap, matched, extra, missed: matched + extra + missed / 2),
            "Your missed segments are halved, your extra ones are not. Both count one half.",
        ),
        Mistake(
            "missed ones forgotten",
            _with_size(lambda overlap, matched, extra, missed: matched + extra),
            "That RQ is precision: it knows nothing of segments that were missed. Do all arguments take "
            "part?",
        ),
        Mistake(
            "extra ones forgotten",
            _with_size(lambda overlap, matched, extra, missed: matched + missed),
            "That RQ is recall: it knows nothing of segments that were too many. Do all arguments take part?",
        ),
        Mistake(
            "mean PQ as a product",
            _last(
                lambda rows: torch.stack([*rows.nanmean(0)[1:].prod(0, keepdim=True), *rows.nanmean(0)[1:]])
            ),
            "All rows but the last are right. PQ = SQ · RQ holds within a class. The mean PQ is the mean of "
            "the classes' PQ, not a product of means.",
        ),
        Mistake(
            "absent classes as zero",
            _then(lambda rows: rows.nan_to_num(0.0)),
            "A class without any segment in prediction and truth is not wrong, it is not there: NaN, and "
            "left out of the mean.",
        ),
        Mistake(
            "absent classes counted in the mean",
            _last(lambda rows: rows.nan_to_num(0.0).mean(0)),
            "The classes' rows are right. The mean is taken over the classes that have segments; yours "
            "counts the absent ones as zeros.",
        ),
        Mistake(
            "NaN in the mean",
            _last(lambda rows: rows.mean(0)),
            "The classes' rows are right. A single NaN makes a plain mean NaN: leave the absent classes out.",
        ),
        Mistake(
            "0 / 0 where nothing matched",
            lambda overlap, matched, extra, missed: _with_means(
                _rows(overlap, matched, extra, missed).index_put(
                    (matched == 0, torch.tensor(1)), torch.tensor(math.nan)
                )
            ),
            "Look at a class that has segments and no match. 0 / 0 makes its SQ NaN, and the mean leaves it "
            "out. The rule says 0.",
        ),
        Mistake(
            "a product with 0 / 0",
            lambda overlap, matched, extra, missed: _with_means(
                torch.where(
                    (matched == 0)[:, None] & torch.tensor([True, True, False]),
                    math.nan,
                    _rows(overlap, matched, extra, missed),
                )
            ),
            "Look at a class that has segments and no match: 0 / 0 makes its SQ NaN, and PQ with it. The "
            "rule says 0 for both.",
        ),
        Mistake(
            "sums in the last row",
            _last(lambda rows: rows.nansum(0)),
            "The classes' rows are right. Your last row adds them up; divide by the number of classes that "
            "have segments.",
        ),
        Mistake(
            "half, rounded down",
            _with_size(lambda overlap, matched, extra, missed: matched + (extra + missed) // 2),
            "Half of an odd number is no whole number: one extra segment alone counts one half, not 0. Which "
            "division do you use?",
        ),
        Mistake(
            "each half rounded down",
            _with_size(lambda overlap, matched, extra, missed: matched + extra // 2 + missed // 2),
            "Half of an odd number is no whole number: one extra and one missed segment count one half each, "
            "not 0. Which division do you use?",
        ),
        Mistake(
            "missed ones forgotten, extra ones halved",
            _with_size(lambda overlap, matched, extra, missed: matched + extra / 2),
            "Your RQ knows nothing of segments that were missed. Do all arguments take part?",
        ),
        Mistake(
            "extra ones forgotten, missed ones halved",
            _with_size(lambda overlap, matched, extra, missed: matched + missed / 2),
            "Your RQ knows nothing of segments that were too many. Do all arguments take part?",
        ),
        Mistake(
            "SQ over all predicted segments",
            _columns(
                lambda overlap, matched, extra, missed: (
                    overlap / (matched + extra) * matched / (matched + (extra + missed) / 2),
                    overlap / (matched + extra),
                    matched / (matched + (extra + missed) / 2),
                )
            ),
            "RQ is right. You spread the sum of the IoUs over all predicted segments; SQ is the mean over "
            "the matches alone.",
        ),
        Mistake(
            "SQ over all true segments",
            _columns(
                lambda overlap, matched, extra, missed: (
                    overlap / (matched + missed) * matched / (matched + (extra + missed) / 2),
                    overlap / (matched + missed),
                    matched / (matched + (extra + missed) / 2),
                )
            ),
            "RQ is right. You spread the sum of the IoUs over all true segments; SQ is the mean over the "
            "matches alone.",
        ),
        Mistake(
            "PQ from the sum of the IoUs",
            _columns(
                lambda overlap, matched, extra, missed: (
                    overlap * matched / (matched + (extra + missed) / 2),
                    overlap,
                    matched / (matched + (extra + missed) / 2),
                )
            ),
            "Your SQ is the sum of the IoUs, and PQ with it too large. SQ should be their mean over the "
            "matches, a number from one half to 1.",
        ),
        Mistake(
            "PQ as a mean",
            _columns(
                lambda overlap, matched, extra, missed: (
                    (overlap / matched.clamp(min=1) + matched / (matched + (extra + missed) / 2)) / 2,
                    overlap / matched,
                    matched / (matched + (extra + missed) / 2),
                )
            ),
            "SQ and RQ are right. PQ is their product, not their mean.",
        ),
        Mistake(
            "SQ of nothing is 1",
            lambda overlap, matched, extra, missed: _with_means(
                _rows(overlap, matched, extra, missed).index_put(
                    ((matched == 0) & (extra + missed > 0), torch.tensor(1)), torch.tensor(1.0)
                )
            ),
            "Look at a class that has segments and no match: the rule says 0 three times, for SQ too.",
        ),
        Mistake(
            "absent classes as zero, out of the mean",
            lambda *counts: torch.cat([_rows(*counts).nan_to_num(0.0), quality(*counts)[-1:]]),
            "Your means are right. But the row of a class without any segment holds zeros: it is not bad, it "
            "is not there, NaN.",
        ),
        Mistake(
            "no class, mean 0",
            _last(lambda rows: rows.nanmean(0).nan_to_num(0.0)),
            "Look at the case without any segment at all: there is nothing to take the mean of. The rule "
            "says NaN.",
        ),
        Mistake(
            "classes weigh by their true segments",
            _weighted(lambda matched, extra, missed: matched + missed),
            "The classes' rows are right. In your mean, classes weigh by their number of segments; each "
            "should weigh the same.",
        ),
        Mistake(
            "classes weigh by their predicted segments",
            _weighted(lambda matched, extra, missed: matched + extra),
            "The classes' rows are right. In your mean, classes weigh by how many segments were predicted; "
            "each should weigh the same.",
        ),
        Mistake(
            "mean SQ of all matches",
            lambda overlap, matched, extra, missed: torch.cat(
                [
                    quality(overlap, matched, extra, missed)[:-1],
                    quality(overlap, matched, extra, missed)[-1:].index_put(
                        (torch.tensor(0), torch.tensor(1)), overlap.sum() / matched.sum()
                    ),
                ]
            ),
            "Your last row takes SQ over all matches of all classes. It is a mean over classes, like the "
            "others.",
        ),
        Mistake(
            "extra and missed ones against each other",
            _with_size(lambda overlap, matched, extra, missed: matched + (extra - missed) / 2),
            "In your RQ extra and missed segments cancel. Both are errors: both are added below the line.",
        ),
        Mistake(
            "PQ over all segments",
            _columns(
                lambda overlap, matched, extra, missed: (
                    overlap / (matched + extra + missed),
                    overlap / matched,
                    matched / (matched + (extra + missed) / 2),
                )
            ),
            "SQ and RQ are right, PQ is not their product: extra and missed segments count one half each.",
        ),
        Mistake(
            "mean of the matched classes",
            _matched_in_the_mean,
            "The classes' rows are right. Your last row leaves out classes without a match; they have "
            "segments and a score of 0, and belong in the mean.",
        ),
        Mistake(
            "RQ before SQ",
            lambda *counts: quality(*counts)[:, [0, 2, 1]],
            "PQ is in its place, SQ and RQ are exchanged: SQ is the second column.",
        ),
        Mistake(
            "the means first",
            lambda *counts: quality(*counts).roll(1, 0),
            "All the numbers are there. The row of means comes last, after the classes.",
        ),
        Mistake(
            "a row for each score",
            lambda *counts: quality(*counts).T,
            "Rows and columns are exchanged: one row for each class, and PQ, SQ and RQ side by side.",
        ),
        Mistake(
            "mean of precision and recall",
            _mean_of_both,
            "Your RQ is the plain mean of precision and recall. RQ is their harmonic mean: half of all "
            "segments left over joins the matches below the line.",
        ),
        Mistake(
            "classes without a match left out",
            lambda overlap, matched, extra, missed: _with_means(
                torch.where(matched[:, None] > 0, _rows(overlap, matched, extra, missed), math.nan)
            ),
            "A class of which everything was missed gets NaN from you. It has segments, so it is 0 and pulls "
            "the mean down.",
        ),
        Mistake(
            "all classes in one",
            _all_in_one,
            "The classes' rows are right. Your last row adds up the counts of all classes first; asked is "
            "the mean over classes, in which a rare one weighs as much as a common one.",
        ),
        Mistake(
            "columns in another order",
            lambda *counts: quality(*counts)[:, [1, 2, 0]],
            "All the numbers are there. The columns are PQ, SQ, RQ, in this order.",
        ),
        Mistake(
            "no row of means",
            _rows,
            "The classes' rows are right. One row is missing at the end: the means over the classes.",
        ),
        Mistake(
            "SQ as a sum",
            lambda overlap, matched, extra, missed: _with_means(
                torch.stack(
                    [
                        _rows(overlap, matched, extra, missed)[:, 0],
                        _rows(overlap, matched, extra, missed)[:, 1] * matched,
                        _rows(overlap, matched, extra, missed)[:, 2],
                    ],
                    dim=1,
                )
            ),
            "Your SQ is the sum of the IoUs. It should be their mean over the matches, a number from one "
            "half to 1.",
        ),
    ),
)


# 15.4 ----------------------------------------------------------------------------------------------


def count(prediction: Tensor, target: Tensor) -> Tensor:
    """``(4,)``: the sum of the matches' IoU, TP, FP and FN, for maps in which -1 is void."""
    blank = target < 0
    truths = [target == n for n in target.unique().tolist() if n >= 0]
    total = 0.0
    matched = extra = 0
    for n in prediction.unique().tolist():
        guess = prediction == n
        for truth in truths:
            shared, union = (guess & truth).sum().item(), ((guess & ~blank) | truth).sum().item()
            if n >= 0 and shared > union / 2:
                total, matched = total + shared / union, matched + 1
                break
        else:
            extra += n >= 0 and (guess & blank).sum().item() <= guess.sum().item() / 2
    return torch.tensor([total, matched, extra, len(truths) - matched])


def _counted(
    prediction: Tensor,
    target: Tensor,
    *,
    union_with_void: bool = False,
    relief: bool = False,
    ignored: Callable[[float, bool], bool] = lambda share, hit: share > 0.5 and not hit,
    void_guessed: bool = False,
    void_missed: bool = False,
    missed_relief: bool = False,
    one_half: bool = False,
    own_number: bool = False,
    least: float = 0.5,
    measure: Callable[[float, float, float], float] = lambda iou, of_guess, of_truth: iou,
    listed: Callable[[list[int]], list[int]] = lambda numbers: numbers,
) -> Tensor:
    """The counts again; every option is a mistake when set."""
    blank, left_open = target < 0, prediction < 0
    guesses = listed([n for n in prediction.unique().tolist() if n >= 0 or void_guessed])
    truths = listed([n for n in target.unique().tolist() if n >= 0 or void_missed])
    total, extra, hits = 0.0, 0, set()
    for n in guesses:
        guess = prediction == n
        kept = guess if union_with_void else guess & ~blank
        hit = False
        share = (guess & blank).sum().item() / max(guess.sum().item(), 1)
        if ignored(share, False) and ignored(share, True):  # thrown away before anything is matched
            continue
        for t in [n] if own_number and n in truths else [] if own_number else truths:
            truth = target == t
            if relief:
                truth = truth & ~left_open
            shared = (guess & truth).sum().item()
            overlap = shared / max((kept | truth).sum().item(), 1)
            held = (shared / max(each.sum().item(), 1) for each in (kept, truth))
            if measure(overlap, *held) > least or (one_half and overlap == 0.5):
                hit = True
                total += overlap
                hits.add(t)
        extra += not hit and not ignored(share, hit)
    lost = [t for t in truths if t not in hits]
    if missed_relief:
        lost = [t for t in lost if (left_open & (target == t)).sum() <= 0.5 * (target == t).sum()]
    return torch.tensor([total, len(hits), extra, len(lost)])


def _count_with(**options: Any) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda prediction, target: _counted(prediction, target, **options)


def _mean_overlap(prediction: Tensor, target: Tensor) -> Tensor:
    total, hits, extra, lost = count(prediction, target).tolist()
    return torch.tensor([total / max(hits, 1), hits, extra, lost])


def _known_in_both(prediction: Tensor, target: Tensor) -> Tensor:
    known = (prediction >= 0) & (target >= 0)
    return count(prediction[known][None], target[known][None])


def _share_of_void(prediction: Tensor, target: Tensor) -> Tensor:
    """A segment is ignored if it holds more than half of the void."""
    result, blank = _counted(prediction, target, ignored=lambda share, hit: False), target < 0
    for n in prediction.unique().tolist():
        guess = prediction == n
        alone = torch.where(guess, prediction, -1)
        if n >= 0 and count(alone, target)[1] == 0 and (guess & blank).sum() > blank.sum() / 2:
            result[2] -= 1
    return result


def _void_agrees(prediction: Tensor, target: Tensor) -> Tensor:
    """Pixels on the truth's void count as shared, with every segment that is touched."""
    blank, total, hits, extra = target < 0, 0.0, set(), 0
    truths = [n for n in target.unique().tolist() if n >= 0]
    for guess in (prediction == n for n in prediction.unique().tolist() if n >= 0):
        fits = {}
        for t in truths:
            if shared := (guess & (target == t)).sum().item():
                shared += (guess & blank).sum().item()
                fits[t] = shared / (guess | (target == t)).sum().item()
        found = {t: value for t, value in fits.items() if value > 0.5}
        total += sum(found.values())
        hits |= set(found)
        extra += not found and (guess & blank).sum().item() <= guess.sum().item() / 2
    return torch.tensor([total, len(hits), extra, len(truths) - len(hits)])


def _excused_twice(prediction: Tensor, target: Tensor) -> Tensor:
    """Segments mostly on void are taken off the FP, those that matched too."""
    result = count(prediction, target)
    for n in prediction.unique().tolist():
        guess = prediction == n
        hit = n >= 0 and count(torch.where(guess, prediction, -1), target)[1] > 0
        result[2] -= int(hit and (guess & (target < 0)).sum() > guess.sum() / 2)
    return result


def _all_pairs(prediction: Tensor, target: Tensor) -> Tensor:
    result = count(prediction, target)
    result[0] = _counted(prediction, target, least=0.0)[0]
    return result


def _quality_first(prediction: Tensor, target: Tensor) -> Tensor:
    total, hits, extra, lost = count(prediction, target).tolist()
    return torch.tensor([total / max(hits + extra / 2 + lost / 2, 0.5), hits, extra, lost])


def _ignored_as(place: int) -> Callable[[Tensor, Tensor], Tensor]:
    """Segments that are ignored are counted in another place."""

    def wrong(prediction: Tensor, target: Tensor) -> Tensor:
        result = count(prediction, target)
        result[place] += _counted(prediction, target, ignored=lambda share, hit: False)[2] - result[2]
        return result

    return wrong


def _count_cases(generator: torch.Generator) -> list[Case]:
    def case(note: str, prediction: list[int], target: list[int]) -> Case:
        return Case((torch.tensor([prediction]), torch.tensor([target])), note)

    cases = [
        case(
            "one row with every rule",
            [0, 0, 0, -1, 2, 2, 2, 3, 3, 3],
            [0, 0, 0, 0, 1, 1, -1, -1, -1, -1],
        ),
        case("void in the truth leaves the union", [5, 5, 5, 5, 5, 5], [4, 4, -1, -1, -1, -1]),
        case("a segment that lies on void by one half exactly", [0, 0, 1, 1], [0, 0, 7, -1]),
        case("two thirds on void, and no match", [0, 0, 1, 1, 1], [0, 0, 7, -1, -1]),
        case("two fifths on void, and no match", [0, 0, 1, 1, 1, 1, 1], [0, 0, 7, 8, 9, -1, -1]),
        case("void in the prediction", [0, -1, -1, 1, 1], [3, 3, 3, 4, 4]),
        case("a segment of which two thirds were left open", [-1, -1, 0, 1], [0, 0, 0, 1]),
        case("an IoU of exactly one half", [0, 0, 1, 2], [8, 8, 8, 8]),
        case("the same segments under other numbers", [9, 9, 4, 4], [1, 1, 6, 6]),
        case("void everywhere in the truth", [0, 0, 1], [-1, -1, -1]),
        case("nothing predicted", [-1, -1, -1], [0, 1, -1]),
    ]
    for number, height, width in ((4, 6, 7), (7, 9, 10), (12, 12, 16)):
        truth = _numbered(generator, number, height, width)
        guess = _like(truth, generator, 0.25)
        blank = _numbered(generator, 5, height, width) == 0
        truth = truth.masked_fill(blank, -1)
        guess = guess.masked_fill(torch.rand(guess.shape, generator=generator) < 0.12, -1)
        cases.append(Case((guess, truth)))
    return cases


COUNT = Exercise(
    "15.4",
    "What void does",
    count,
    _count_cases,
    any_float=True,
    axes=("number",),
    places=("the sum of the IoUs", "TP", "FP", "FN"),
    plan=(
        "List the segments of both maps: all numbers but -1.",
        "For each pair count the shared pixels. Union: the true segment, and the predicted one without "
        "pixels on the truth's void.",
        "Above one half the pair is a TP, and its IoU joins the sum. True segments that no pair has are FN.",
        "For a predicted segment without a match: which share of all its pixels lies on void? Above one half "
        "it counts for nothing, else it is an FP.",
    ),
    mistakes=(
        Mistake(
            "void kept in the union",
            _count_with(union_with_void=True),
            "Your unions hold pixels that are void in the truth. Nobody knows what is there, so they can "
            "count neither for nor against: take them out.",
        ),
        Mistake(
            "void of the prediction taken out too",
            _count_with(relief=True),
            "Where the prediction is void you shrink the true segment. That void is an answer left open, not "
            "an unknown truth: the true segment keeps its pixels.",
        ),
        Mistake(
            "void of the prediction excused twice",
            _count_with(relief=True, missed_relief=True),
            "Void in the prediction makes your true segments smaller, and excuses those that it covers. It "
            "is an answer left open: a true segment keeps its pixels and may be missed.",
        ),
        Mistake(
            "no segment is ignored",
            _count_with(ignored=lambda share, hit: False),
            "Look at a predicted segment that lies on the truth's void. It may be right; the rule for more "
            "than one half says what it counts.",
        ),
        Mistake(
            "one half is ignored",
            _count_with(ignored=lambda share, hit: share >= 0.5 and not hit),
            "Look at a segment of which exactly one half lies on void. It is ignored only above one half.",
        ),
        Mistake(
            "more void than half of the known pixels",
            _count_with(ignored=lambda share, hit: share > 0.5 * (1 - share) and not hit),
            "You compare a segment's pixels on void with those whose truth is known. More than half of all "
            "its pixels must lie on void.",
        ),
        Mistake(
            "any touch of void is ignored",
            _count_with(ignored=lambda share, hit: share > 0 and not hit),
            "You ignore every segment that touches void. It must lie there by more than one half of its "
            "pixels.",
        ),
        Mistake(
            "ignored only where all is void",
            _count_with(ignored=lambda share, hit: share == 1 and not hit),
            "You ignore a segment only where all of it lies on void. More than one half of it is enough.",
        ),
        Mistake(
            "ignored before it could match",
            _count_with(ignored=lambda share, hit: share > 0.5),
            "You throw away segments that lie mostly on void before you match. What is left of one of them "
            "may fit a true segment: match first, and ask about void only where there is no match.",
        ),
        Mistake(
            "void of the truth not looked at",
            _count_with(union_with_void=True, ignored=lambda share, hit: False),
            "Your answer knows nothing of the truth's void. It does two things: its pixels leave the union, "
            "and it excuses a segment that lies there by more than half.",
        ),
        Mistake(
            "void as a segment in both",
            _count_with(void_guessed=True, void_missed=True),
            "You count -1 as a segment, in the prediction and in the truth. It is none: leave it out of both "
            "lists of segments.",
        ),
        Mistake(
            "void as a predicted segment",
            _count_with(void_guessed=True),
            "There is an FP too many. -1 in the prediction is no segment: it is a place without an answer.",
        ),
        Mistake(
            "void as a true segment",
            _count_with(void_missed=True),
            "Your counts treat -1 in the truth as a segment, to be found or missed. It is none.",
        ),
        Mistake(
            "missed segments excused",
            _count_with(missed_relief=True),
            "A true segment where the prediction is mostly void is missed all the same. Only the truth's "
            "void excuses anything.",
        ),
        Mistake(
            "one half is a match",
            _count_with(one_half=True),
            "Look at an IoU of exactly one half. A match needs more.",
        ),
        Mistake(
            "same numbers compared",
            _count_with(own_number=True),
            "You compare segments that have the same number. The two maps number them in their own way: each "
            "predicted one must be compared with each true one.",
        ),
        Mistake(
            "void as a segment like any other",
            _count_with(
                void_guessed=True, void_missed=True, union_with_void=True, ignored=lambda share, hit: False
            ),
            "You treat -1 as a segment like any other, in both maps. It is none: it is neither matched nor "
            "missed nor too many.",
        ),
        Mistake(
            "void as a true segment, and in the union",
            _count_with(void_missed=True, union_with_void=True),
            "Your counts treat -1 in the truth as a segment, to be found or missed. It is none, and its "
            "pixels leave the union.",
        ),
        Mistake(
            "pixels that are void in either map thrown away",
            _known_in_both,
            "You throw away the pixels that are void in either map before you count. Only the truth's void "
            "leaves the union, a true segment keeps the pixels that the prediction left open, and a "
            "segment's share on void is one of all its pixels.",
        ),
        Mistake(
            "half of the predicted segment",
            _count_with(measure=lambda iou, of_guess, of_truth: of_guess),
            "You match where more than half of the predicted segment lies in the true one. The IoU decides: "
            "shared pixels over the union.",
        ),
        Mistake(
            "half of the true segment",
            _count_with(measure=lambda iou, of_guess, of_truth: of_truth),
            "You match where more than half of the true segment is covered. The IoU decides: shared pixels "
            "over the union.",
        ),
        Mistake(
            "void taken for agreement",
            _void_agrees,
            "You count pixels on the truth's void as shared. They leave the union, but they do not join the "
            "intersection: nobody knows what is there.",
        ),
        Mistake(
            "excused and matched",
            _excused_twice,
            "You take a segment off the FP because it lies on void, though it has a match and was none. Only "
            "segments without a match can be ignored.",
        ),
        Mistake(
            "PQ in place of the sum",
            _quality_first,
            "Your first number is PQ already. The plain sum of the IoUs is asked: it can be added up over "
            "images.",
        ),
        Mistake(
            "the sum of all pairs",
            _all_pairs,
            "Your sum holds the IoUs of pairs that are no match. Only those above one half join it.",
        ),
        Mistake(
            "all true segments as FN",
            lambda prediction, target: (
                count(prediction, target) + count(prediction, target)[1] * torch.tensor([0.0, 0, 0, 1])
            ),
            "Your FN is the number of all true segments. Those with a match are not missed.",
        ),
        Mistake(
            "all predicted segments as FP",
            lambda prediction, target: (
                count(prediction, target) + count(prediction, target)[1] * torch.tensor([0.0, 0, 1, 0])
            ),
            "Your FP holds predicted segments that have a match. Those are TP alone.",
        ),
        Mistake(
            "any overlap is a match",
            _count_with(least=0.0),
            "You match at any overlap. Which IoU does the rule ask for?",
        ),
        Mistake(
            "0 as background",
            _count_with(listed=lambda numbers: [n for n in numbers if n > 0]),
            "You leave out number 0. It is a segment like any other; only -1 is none.",
        ),
        Mistake(
            "as if the numbers had no gaps",
            _count_with(listed=lambda numbers: list(range(len(numbers)))),
            "You go through 0, 1, 2, ... as if no number were left out. The numbers may be any: ask which "
            "ones occur.",
        ),
        Mistake(
            "numbers that do not occur",
            _count_with(listed=lambda numbers: list(range(max(numbers, default=-1) + 1))),
            "You count a segment for each number up to the largest. Those that do not occur are no segments: "
            "they can be neither missed nor too many.",
        ),
        Mistake(
            "more than half of the void",
            _share_of_void,
            "You ask whether a segment covers more than half of the void. It is the other way: more than "
            "half of the segment's own pixels must lie there.",
        ),
        Mistake(
            "ignored counted as missed",
            _ignored_as(3),
            "Your FN hold segments that are ignored. FN are true segments without a match, and void is none.",
        ),
        Mistake(
            "ignored counted as found",
            _ignored_as(1),
            "Your TP hold segments that are ignored. They count for nothing: neither for nor against.",
        ),
        Mistake(
            "the sum at the end",
            lambda prediction, target: count(prediction, target).roll(-1),
            "All the numbers are there. The sum of the IoUs comes first, then TP, FP, FN.",
        ),
        Mistake(
            "FP and FN exchanged",
            lambda prediction, target: count(prediction, target)[[0, 1, 3, 2]],
            "Two of your counts are exchanged. A predicted segment without a match is an FP, a true one an "
            "FN.",
        ),
        Mistake(
            "mean, not sum",
            _mean_overlap,
            "Your first number is the mean IoU of the matches. The sum is asked: it can be added up over "
            "images.",
        ),
    ),
)


# 15.5 ----------------------------------------------------------------------------------------------


def merge(semantic: Tensor, masks: Tensor, labels: Tensor, scores: Tensor, stuff: Sequence[int]) -> Tensor:
    """``(H, W, 2)``: class and instance of each pixel; instances first, the surest before the others."""
    classes, numbers = torch.full_like(semantic, VOID), torch.zeros_like(semantic)
    free, accepted = torch.ones_like(semantic).bool(), 0
    for n in sorted(range(len(scores)), key=lambda n: -scores[n].item()):
        mine = masks[n] & free
        if mine.any() and 2 * mine.sum() >= masks[n].sum():
            accepted += 1
            classes[mine], numbers[mine] = labels[n], accepted
            free = free & ~mine
    for each in stuff:
        classes[free & (semantic == each)] = each
    return torch.stack([classes, numbers], dim=-1)


def _merged(
    semantic: Tensor,
    masks: Tensor,
    labels: Tensor,
    scores: Tensor,
    stuff: Sequence[int],
    *,
    order: Callable[[Tensor], list[int]] = lambda scores: scores.argsort(
        descending=True, stable=True
    ).tolist(),
    fits: Callable[[int, int], bool] = lambda area, whole: area > 0 and 2 * area >= whole,
    blocks: bool = False,
    overwrite: bool = False,
    number: Callable[[int, int, int], int] = lambda accepted, rank, index: accepted,
    rest: Callable[[Tensor], Tensor] | None = None,
    stuff_first: bool = False,
    stuff_number: int = 0,
    by_class: bool = False,
) -> Tensor:
    """The merging again; every option is a mistake when set."""
    is_stuff = torch.isin(semantic, torch.tensor(list(stuff), dtype=torch.int64))
    classes, numbers = torch.full_like(semantic, VOID), torch.zeros_like(semantic)
    free = ~is_stuff if stuff_first else torch.ones_like(is_stuff)
    taken = torch.zeros_like(is_stuff)
    accepted, of_class = 0, dict.fromkeys(labels.tolist(), 0)
    for rank, n in enumerate(order(scores)):
        mine = masks[n] & free
        if fits(int(mine.sum()), int(masks[n].sum())):
            accepted += 1
            of_class[int(labels[n])] += 1
            place = masks[n] if overwrite else mine
            classes[place] = labels[n]
            numbers[place] = of_class[int(labels[n])] if by_class else number(accepted, rank, n)
            taken |= place
            free = free & ~mine
        elif blocks:
            free = free & ~masks[n]
            taken |= mine
    left = is_stuff & (~taken | stuff_first)
    classes[left], numbers[left] = semantic[left], stuff_number
    if rest is not None:
        other = ~taken & ~is_stuff
        classes[other] = rest(semantic)[other]
    return torch.stack([classes, numbers], dim=-1)


def _merge_with(**options: Any) -> Callable[..., Tensor]:
    return lambda *args: _merged(*args, **options)


def _painted(semantic: Tensor, masks: Tensor, labels: Tensor, scores: Tensor, stuff: Sequence[int]) -> Tensor:
    """From behind: the surest last, nothing dropped; the surest has number 1."""
    result = torch.stack([torch.full_like(semantic, VOID), torch.zeros_like(semantic)], -1)
    left = torch.isin(semantic, torch.tensor(list(stuff), dtype=torch.int64))
    result[..., 0][left] = semantic[left]
    order = sorted(range(len(scores)), key=lambda n: -scores[n].item())
    for rank in reversed(range(len(order))):
        result[masks[order[rank]]] = torch.stack([labels[order[rank]], torch.tensor(rank + 1)])
    return result


def _agreeing(keep: Callable[[Tensor, Tensor, Sequence[int]], Tensor]) -> Callable[..., Tensor]:
    """Masks that lose the pixels where the semantic map says something else."""

    def wrong(
        semantic: Tensor, masks: Tensor, labels: Tensor, scores: Tensor, stuff: Sequence[int]
    ) -> Tensor:
        return merge(semantic, masks & keep(semantic, labels, stuff), labels, scores, stuff)

    return wrong


def _no_stuff(semantic: Tensor, labels: Tensor, stuff: Sequence[int]) -> Tensor:
    return ~torch.isin(semantic, torch.tensor(list(stuff), dtype=torch.int64))


def _sorted_by(
    size: Callable[[Tensor], Tensor],
) -> Callable[[Tensor, Tensor, Tensor, Tensor, Sequence[int]], Tensor]:
    """In the order of the masks' sizes."""
    return lambda semantic, masks, labels, scores, stuff: merge(
        semantic, masks, labels, size(masks.flatten(1).sum(1).float()) if len(masks) else scores, stuff
    )


def _labels_left_behind(
    semantic: Tensor, masks: Tensor, labels: Tensor, scores: Tensor, stuff: Sequence[int]
) -> Tensor:
    order = scores.argsort(descending=True, stable=True)
    return merge(semantic, masks[order], labels, scores[order], stuff)


def _stuff_goes_on(
    semantic: Tensor, masks: Tensor, labels: Tensor, scores: Tensor, stuff: Sequence[int]
) -> Tensor:
    """Stuff takes the numbers after those of the instances."""
    result = merge(semantic, masks, labels, scores, stuff)
    for each in stuff:
        place = (result[..., 0] == each) & (result[..., 1] == 0)
        result[..., 1] += place * (result[..., 1].max() + 1)
    return result


def _dropped_by_iou(
    semantic: Tensor, masks: Tensor, labels: Tensor, scores: Tensor, stuff: Sequence[int]
) -> Tensor:
    """Dropped like a duplicate of a detector: IoU above one half with one that is kept."""
    kept: list[int] = []
    for n in sorted(range(len(scores)), key=lambda n: -scores[n].item()):
        overlaps = [((masks[n] & masks[m]).sum() / (masks[n] | masks[m]).sum()).item() for m in kept]
        if masks[n].any() and max(overlaps, default=0.0) <= 0.5:
            kept.append(n)
    few = (masks[kept], labels[kept], scores[kept])
    return _merged(semantic, *few, stuff, fits=lambda area, whole: True)


def _merge_case(
    note: str,
    semantic: list[int],
    masks: list[list[int]],
    labels: list[int],
    scores: list[float],
    stuff: Sequence[int] = (0,),
) -> Case:
    """A case of one row."""
    stack = torch.tensor(masks).reshape(len(masks), 1, len(semantic)) > 0
    whole = torch.tensor(labels, dtype=torch.int64)
    return Case((torch.tensor([semantic]), stack, whole, torch.tensor(scores), list(stuff)), note)


def _merge_cases(generator: torch.Generator) -> list[Case]:
    cases = [
        _merge_case(
            "two masks overlap by one pixel",
            [0, 0, 1, 1, 1, 2],
            [[0, 1, 1, 1, 0, 0], [0, 0, 0, 1, 1, 0]],
            [1, 1],
            [0.6, 0.9],
        ),
        _merge_case(
            "a copy of an object, less sure and a little larger, is dropped",
            [0, 1, 1, 1, 1, 0, 0, 2],
            [[0, 1, 1, 1, 1, 0, 0, 0], [0, 1, 1, 1, 1, 1, 0, 0], [0, 0, 0, 0, 0, 1, 1, 1]],
            [1, 2, 2],
            [0.9, 0.8, 0.7],
        ),
        _merge_case(
            "exactly one half of a mask is still free",
            [0, 0, 0, 0],
            [[1, 1, 0, 0], [0, 1, 1, 0]],
            [3, 3],
            [0.8, 0.7],
        ),
        _merge_case(
            "equal scores: the first in the list comes first",
            [0, 0, 0, 0, 0],
            [[0, 1, 1, 1, 0], [1, 1, 0, 0, 0], [0, 0, 0, 1, 1]],
            [1, 2, 2],
            [0.5, 0.5, 0.7],
        ),
        _merge_case("no instances at all", [0, 4, 1, 9], [], [], [], (0, 4)),
        _merge_case(
            "a thing that nobody found, and stuff of two kinds",
            [4, 1, 2, 0],
            [[0, 0, 1, 0]],
            [2],
            [0.9],
            (0, 4),
        ),
        _merge_case(
            "an empty mask between two",
            [0, 0, 0],
            [[1, 0, 0], [0, 0, 0], [0, 0, 1]],
            [1, 2, 1],
            [0.9, 0.8, 0.7],
        ),
        _merge_case(
            "a mask wholly under a surer one, and one beside them",
            [0, 1, 0, 0],
            [[1, 1, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]],
            [1, 1, 2],
            [0.9, 0.8, 0.7],
        ),
        _merge_case("class 0 is a thing here", [7, 0, 7, 0], [[0, 1, 0, 0]], [0], [0.9], (7,)),
    ]
    return cases + _random_outputs(generator)


def _random_outputs(generator: torch.Generator) -> list[Case]:
    """Rectangles that overlap over a map of stuff and things."""
    cases = []
    for instances, height, width in ((4, 6, 7), (7, 8, 9), (9, 12, 10), (12, 11, 14)):
        y, x = torch.arange(height)[:, None], torch.arange(width)
        places = (
            torch.rand(instances, 2, 1, 1, generator=generator) * torch.tensor([height, width])[:, None, None]
        )
        reach = 1 + torch.rand(instances, 2, 1, 1, generator=generator) * 3
        masks = ((y - places[:, 0]).abs() <= reach[:, 0]) & ((x - places[:, 1]).abs() <= reach[:, 1])
        labels = torch.randint(1, 4, (instances,), generator=generator)
        scores = torch.rand(instances, generator=generator)
        semantic = torch.tensor([0, 6, 1, 2, 3])[_numbered(generator, 5, height, width)]
        cases.append(Case((semantic, masks, labels, scores, [0, 6])))
    return cases


MERGE = Exercise(
    "15.5",
    "Two outputs, one map",
    merge,
    _merge_cases,
    axes=("row", "column", "answer"),
    places=("the class", "the instance"),
    plan=(
        "Begin with a map that is void everywhere, and a mask of the pixels that are still free: all.",
        "Take the instances from the surest down. Which pixels of its mask are free, and are they at least "
        "half of it?",
        "If so, write class and the next number there, and these pixels are no longer free. If not, nothing "
        "happens.",
        "At the end look at the free pixels: those that the semantic map calls stuff take its class, with "
        "instance 0.",
    ),
    mistakes=(
        Mistake(
            "in the order given",
            _merge_with(order=lambda scores: list(range(len(scores)))),
            "You take the instances as they come. Where two overlap, the surer one should have the pixels: "
            "in which order must they be taken?",
        ),
        Mistake(
            "the least sure first",
            _merge_with(order=lambda scores: scores.argsort(stable=True).tolist()),
            "You begin with the lowest score. Whoever comes first gets the pixels.",
        ),
        Mistake(
            "the last of equal scores first",
            _merge_with(
                order=lambda scores: (
                    len(scores) - 1 - scores.flip(0).argsort(descending=True, stable=True)
                ).tolist()
            ),
            "Look at instances with equal scores. The first in the list comes first; a sort must be stable "
            "for that, and reversing a rising one turns equals round.",
        ),
        Mistake(
            "later ones paint over",
            _merge_with(overwrite=True),
            "An instance takes pixels that a surer one already has. It may only take those of its mask that "
            "are still free.",
        ),
        Mistake(
            "nothing is dropped",
            _merge_with(fits=lambda area, whole: area > 0),
            "You keep whatever is left of a mask, if only a rim. An instance of which less than half is free "
            "is dropped.",
        ),
        Mistake(
            "more than half must be free",
            _merge_with(fits=lambda area, whole: 2 * area > whole),
            "Look at a mask of which exactly one half is free. At least half, says the task: it is kept.",
        ),
        Mistake(
            "all must be free",
            _merge_with(fits=lambda area, whole: area > 0 and area == whole),
            "You drop every instance that overlaps a surer one. It is kept if at least half of its mask is "
            "still free.",
        ),
        Mistake(
            "three quarters must be free",
            _merge_with(fits=lambda area, whole: area > 0 and 4 * area >= 3 * whole),
            "You drop some instances that should stay. Half of the mask is enough.",
        ),
        Mistake(
            "half of the image",
            lambda semantic, *others: _merged(
                semantic, *others, fits=lambda area, whole: area > 0 and 2 * area >= semantic.numel()
            ),
            "You drop whatever is smaller than half of the image. The free pixels are compared with those of "
            "the instance's own mask.",
        ),
        Mistake(
            "dropped by IoU",
            _dropped_by_iou,
            "You drop instances by their IoU with others, as a detector drops duplicates. Asked is the share "
            "of its own mask that is free, whoever has taken the rest.",
        ),
        Mistake(
            "an empty mask counted",
            _merge_with(fits=lambda area, whole: 2 * area >= whole),
            "Look at an empty mask: none of its pixels are free, and that is half of none. The task drops "
            "it, so it uses up no number.",
        ),
        Mistake(
            "the largest first",
            _sorted_by(lambda area: area),
            "You take the largest mask first. The score decides who comes first, not the area.",
        ),
        Mistake(
            "the smallest first",
            _sorted_by(lambda area: -area),
            "You take the smallest mask first. The score decides who comes first, not the area.",
        ),
        Mistake(
            "labels left in the old order",
            _labels_left_behind,
            "The shapes are right, the classes are not: you sort the masks and leave the labels as they "
            "were. What belongs to an instance must move together.",
        ),
        Mistake(
            "stuff numbered on",
            _stuff_goes_on,
            "The numbers go on with the stuff. Stuff has no instances: its number is 0.",
        ),
        Mistake(
            "kept with no pixel left",
            _merge_with(fits=lambda area, whole: whole > 0),
            "You never ask how much of a mask is free. With less than half an instance is dropped, and uses "
            "up no number.",
        ),
        Mistake(
            "a least score",
            lambda semantic, masks, labels, scores, stuff: merge(
                semantic, masks[scores >= 0.5], labels[scores >= 0.5], scores[scores >= 0.5], stuff
            ),
            "You leave out instances with a score below one half. The task names no least score: whoever "
            "calls the function has chosen.",
        ),
        Mistake(
            "where the two networks agree",
            _agreeing(lambda semantic, labels, stuff: semantic == labels[:, None, None]),
            "You give an instance only those pixels that the semantic map calls by the same class. It takes "
            "all pixels of its mask that are free.",
        ),
        Mistake(
            "masks without the stuff",
            _agreeing(_no_stuff),
            "You take from each mask what the semantic map calls stuff. Instances come first, with their "
            "whole masks, and stuff gets what is left.",
        ),
        Mistake(
            "stuff over the instances",
            lambda semantic, masks, labels, scores, stuff: torch.where(
                _no_stuff(semantic, labels, stuff)[..., None],
                merge(semantic, masks, labels, scores, stuff),
                torch.stack([semantic, torch.zeros_like(semantic)], -1),
            ),
            "You lay the stuff over the instances at the end. It takes only pixels that are still free.",
        ),
        Mistake(
            "things for stuff",
            lambda semantic, masks, labels, scores, stuff: merge(
                semantic, masks, labels, scores, sorted(set(range(int(semantic.max()) + 1)) - set(stuff))
            ),
            "Free pixels of stuff become void in your map, and those of things keep their class. It is the "
            "other way round.",
        ),
        Mistake(
            "a third must be free",
            _merge_with(fits=lambda area, whole: area > 0 and 3 * area >= whole),
            "You keep some instances that should be dropped. At least half of the mask must be free.",
        ),
        Mistake(
            "stuff is 0 alone",
            lambda semantic, masks, labels, scores, stuff: merge(semantic, masks, labels, scores, [0]),
            "You take class 0 for the stuff. Which classes are stuff, the argument says.",
        ),
        Mistake(
            "no instances, no stuff",
            lambda semantic, masks, labels, scores, stuff: merge(
                semantic, masks, labels, scores, stuff if len(masks) else []
            ),
            "Without any instance your map is void. The stuff is there all the same.",
        ),
        Mistake(
            "void as the instance",
            lambda *args: torch.stack(
                [
                    merge(*args)[..., 0],
                    torch.where(merge(*args)[..., 0] == VOID, VOID, merge(*args)[..., 1]),
                ],
                -1,
            ),
            "Void pixels have the instance 0, like stuff; yours have 255 twice.",
        ),
        Mistake(
            "dropped ones block pixels",
            _merge_with(blocks=True),
            "An instance that was dropped keeps others from its pixels. Nothing may be taken by it: they "
            "stay free.",
        ),
        Mistake(
            "gaps in the numbers",
            _merge_with(number=lambda accepted, rank, index: rank + 1),
            "Your numbers have gaps where an instance was dropped. Count only those that are kept.",
        ),
        Mistake(
            "numbered by their place in the list",
            _merge_with(number=lambda accepted, rank, index: index + 1),
            "Your instances have their place in the list as a number. Count 1, 2, 3 in the order in which "
            "they are kept, the surest first.",
        ),
        Mistake(
            "numbered from 0",
            _merge_with(number=lambda accepted, rank, index: accepted - 1),
            "Your first instance has the number 0, like stuff and void. Count from 1.",
        ),
        Mistake(
            "numbered anew in each class",
            _merge_with(by_class=True),
            "You begin with 1 again in each class. The task counts through all instances.",
        ),
        Mistake(
            "things without an instance kept",
            _merge_with(rest=lambda semantic: semantic),
            "A pixel that the semantic map calls a thing, and that no instance took, has no answer: which "
            "object would it be? It becomes void.",
        ),
        Mistake(
            "what is left is 0",
            _merge_with(rest=lambda semantic: torch.zeros_like(semantic)),
            "Pixels without an answer get class 0 from you. 0 is a class; 255 says that the pixel is open.",
        ),
        Mistake(
            "stuff before things",
            _merge_with(stuff_first=True),
            "Where the semantic map says stuff, you do not let instances in. They come first, and stuff gets "
            "what is left.",
        ),
        Mistake(
            "stuff is numbered",
            _merge_with(stuff_number=1),
            "Stuff has no instances: its number is 0.",
        ),
        Mistake(
            "painted from the least sure to the surest",
            _painted,
            "You paint the surest last, so that it lies on top. Where two overlap that is right; but then "
            "nobody asks whether half of a mask is still free.",
        ),
        Mistake(
            "class as the number",
            lambda *args: torch.stack(
                [merge(*args)[..., 0], merge(*args)[..., 0] * (merge(*args)[..., 1] > 0)], -1
            ),
            "The second number of each pixel is its class again. Two objects of one class need two numbers: "
            "count the instances that you keep.",
        ),
        Mistake(
            "void as -1",
            lambda *args: torch.where(merge(*args) == VOID, -1, merge(*args)),
            "Void pixels get the class -1 from you. Which class does the task give them?",
        ),
        Mistake(
            "classes alone",
            lambda *args: merge(*args)[..., 0],
            "Your result holds the classes. Each pixel needs its instance too: two numbers in the last axis.",
        ),
        Mistake(
            "the semantic map's class for instances",
            lambda *args: torch.stack(
                [torch.where(merge(*args)[..., 1] > 0, args[0], merge(*args)[..., 0]), merge(*args)[..., 1]],
                -1,
            ),
            "Inside an instance you keep the semantic map's classes. An instance brings a class of its own, "
            "its label, for all of its pixels.",
        ),
        Mistake(
            "class and instance exchanged",
            lambda *args: merge(*args).flip(-1),
            "The last axis holds the instance first in your result. Class comes first, then instance.",
        ),
        Mistake(
            "planes in front",
            lambda *args: merge(*args).movedim(-1, 0),
            "Your result is (2, H, W). The pair of numbers belongs to each pixel, in the last axis: (H, W, "
            "2).",
        ),
    ),
)


EXERCISES = (SEGMENT_IOU, MATCH, QUALITY, COUNT, MERGE)
