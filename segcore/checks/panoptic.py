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
) -> Tensor:
    """The counts again; every option is a mistake when set."""
    blank, left_open = target < 0, prediction < 0
    guesses = [n for n in prediction.unique().tolist() if n >= 0 or void_guessed]
    truths = [n for n in target.unique().tolist() if n >= 0 or void_missed]
    total, extra, hits = 0.0, 0, set()
    for n in guesses:
        guess = prediction == n
        kept = guess if union_with_void else guess & ~blank
        hit = False
        share = (guess & blank).sum().item() / guess.sum().item()
        if ignored(share, False) and ignored(share, True):  # thrown away before anything is matched
            continue
        for t in [n] if own_number and n in truths else [] if own_number else truths:
            truth = target == t
            if relief:
                truth = truth & ~left_open
            overlap = (guess & truth).sum().item() / max((kept | truth).sum().item(), 1)
            if overlap > 0.5 or (one_half and overlap == 0.5):
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


def _merge_cases(generator: torch.Generator) -> list[Case]:
    def case(
        note: str,
        semantic: list[int],
        masks: list[list[int]],
        labels: list[int],
        scores: list[float],
        stuff: Sequence[int] = (0,),
    ) -> Case:
        stack = torch.tensor(masks).reshape(len(masks), 1, len(semantic)) > 0
        whole = torch.tensor(labels, dtype=torch.int64)
        return Case((torch.tensor([semantic]), stack, whole, torch.tensor(scores), list(stuff)), note)

    cases = [
        case(
            "two masks overlap by one pixel",
            [0, 0, 1, 1, 1, 2],
            [[0, 1, 1, 1, 0, 0], [0, 0, 0, 1, 1, 0]],
            [1, 1],
            [0.6, 0.9],
        ),
        case(
            "a copy of an object, less sure and a little larger, is dropped",
            [0, 1, 1, 1, 1, 0, 0, 2],
            [[0, 1, 1, 1, 1, 0, 0, 0], [0, 1, 1, 1, 1, 1, 0, 0], [0, 0, 0, 0, 0, 1, 1, 1]],
            [1, 2, 2],
            [0.9, 0.8, 0.7],
        ),
        case(
            "exactly one half of a mask is still free",
            [0, 0, 0, 0],
            [[1, 1, 0, 0], [0, 1, 1, 0]],
            [3, 3],
            [0.8, 0.7],
        ),
        case(
            "equal scores: the first in the list comes first",
            [0, 0, 0, 0, 0],
            [[0, 1, 1, 1, 0], [1, 1, 0, 0, 0], [0, 0, 0, 1, 1]],
            [1, 2, 2],
            [0.5, 0.5, 0.7],
        ),
        case("no instances at all", [0, 4, 1, 9], [], [], [], (0, 4)),
        case(
            "a thing that nobody found, and stuff of two kinds",
            [4, 1, 2, 0],
            [[0, 0, 1, 0]],
            [2],
            [0.9],
            (0, 4),
        ),
        case(
            "an empty mask between two",
            [0, 0, 0],
            [[1, 0, 0], [0, 0, 0], [0, 0, 1]],
            [1, 2, 1],
            [0.9, 0.8, 0.7],
        ),
        case("class 0 is a thing here", [7, 0, 7, 0], [[0, 1, 0, 0]], [0], [0.9], (7,)),
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
