"""Exercises of chapter 2: Rand index, merging, GrabCut's data term, touching objects, GrabCut's loop.

The references are written apart from `segcore.grouping`. Every mistake is one of them with one fault.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from segcore.checks.exercise import Case, Exercise, Mistake, Property
from segcore.checks.show import summary

__all__ = ["EXERCISES"]


# 2.1 -----------------------------------------------------------------------------------------------


def rand_index(labels: Tensor, truth: Tensor) -> Tensor:
    """The share of the pairs of two different pixels on which both maps agree."""
    ours, theirs = _together(labels), _together(truth)
    return (ours == theirs).double().mean()


def _together(labels: Tensor) -> Tensor:
    """For each pair of different pixels, whether they are in one region, ``(P,)``."""
    one, other = torch.triu_indices(labels.numel(), labels.numel(), 1)
    return labels.flatten()[one] == labels.flatten()[other]


def _of_pairs(score: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """Another score, from which pairs are together in the one map and in the other."""
    return lambda labels, truth: score(_together(labels), _together(truth))


def _with_itself(labels: Tensor, truth: Tensor) -> Tensor:
    ours, theirs = (each.flatten()[:, None] == each.flatten() for each in (labels, truth))
    return (ours == theirs).double().mean()


def _only_neighbours(labels: Tensor, truth: Tensor) -> Tensor:
    agree = []
    for axis in (0, 1):
        ours, theirs = (each.diff(dim=axis) == 0 for each in (labels, truth))
        agree.append((ours == theirs).flatten())
    return torch.cat(agree).double().mean()


def _across(labels: Tensor, truth: Tensor) -> Tensor:
    """Pixels of one map beside those of the other."""
    same = labels.flatten()[:, None] == truth.flatten()
    agree, count = same == same.T, len(same)
    return (agree.sum() - count) / (count * (count - 1))


def _counted(labels: Tensor, truth: Tensor, step: int) -> Tensor:
    """From a table of names, the pair of names (a, b) standing at a · step + b."""
    ours, theirs = labels.flatten(), truth.flatten()
    pairs = [
        (torch.bincount(names).double() * (torch.bincount(names) - 1)).sum()
        for names in (ours * step + theirs, ours, theirs)
    ]
    total = len(ours) * (len(ours) - 1)
    return (total + 2 * pairs[0] - pairs[1] - pairs[2]) / total


def _by_chance(labels: Tensor, truth: Tensor) -> Tensor:
    """The adjusted index: 0 for maps that agree by chance."""
    ours, theirs = (_together(each).double() for each in (labels, truth))
    chance = ours.mean() * theirs.mean()
    return ((ours * theirs).mean() - chance) / ((ours.mean() + theirs.mean()) / 2 - chance)


def _without_ground(labels: Tensor, truth: Tensor) -> Tensor:
    return rand_index(labels[truth > 0], truth[truth > 0])


def _rand_cases(generator: torch.Generator) -> list[Case]:
    row = torch.tensor([[0, 0, 1]])
    cases = [
        Case((row, torch.tensor([[0, 1, 1]])), "three pairs: only pixels 0 and 2 are apart in both"),
        Case((row, torch.tensor([[1, 1, 0]])), "the same regions under other names"),
        Case((torch.tensor([[0], [1], [2]]), torch.tensor([[0], [0], [0]])), "all apart, all together"),
        Case((torch.tensor([[4, 4, 4, 9]]), torch.tensor([[0, 0, 1, 1]])), "the names have gaps"),
        Case((torch.tensor([[0, 1, 0]]), torch.tensor([[0, 1, 0]])), "a region in two parts"),
        Case((row, torch.tensor([[2, 0, 0]])), "the truth has a name that the labels lack"),
    ]
    for count, regions, height, width in ((3, 4, 4, 5), (6, 2, 7, 3), (12, 5, 8, 9), (2, 9, 6, 6)):
        maps = [torch.randint(k, (height, width), generator=generator) for k in (count, regions)]
        cases.append(Case((maps[0], maps[1])))
    return cases


RAND = Exercise(
    "2.1",
    "The Rand index",
    rand_index,
    _rand_cases,
    any_float=True,
    plan=(
        "Lay both maps in one row. Compare each pixel with each other pixel: are both in one region?",
        "Do this for either map. You get two tables of yes and no, one row and one column for each pixel.",
        "Where both tables say the same, be it yes or no, the maps agree on that pair.",
        "A pixel with itself is no pair: leave the diagonal out of the count and of the divisor.",
    ),
    mistakes=(
        Mistake(
            "pixels paired with themselves",
            _with_itself,
            "You count each pixel as a pair with itself, and there everybody agrees. What must not be in "
            "your sum, nor in the number that you divide by?",
        ),
        Mistake(
            "diagonal in the divisor",
            lambda labels, truth: rand_index(labels, truth) * (1 - 1 / labels.numel()),
            "Your count is right, but you divide by N² pairs. How many pairs of two different pixels are "
            "there?",
        ),
        Mistake(
            "diagonal counted, but not divided by",
            lambda labels, truth: _with_itself(labels, truth) / (1 - 1 / labels.numel()),
            "The pixels paired with themselves are in your count, but not among the pairs you divide by.",
        ),
        Mistake(
            "pairs counted half",
            lambda labels, truth: rand_index(labels, truth) / 2,
            "You count each pair once and divide by N (N − 1), in which each pair is twice.",
        ),
        Mistake(
            "diagonal in the upper half",
            lambda labels, truth: rand_index(labels, truth) + 2 / (labels.numel() - 1),
            "Your upper half of the table holds the diagonal as well: each pixel with itself. Which pairs "
            "of two different pixels are in it?",
        ),
        Mistake(
            "one map beside the other",
            _across,
            "You compare pixels of one map with pixels of the other. Names have no meaning across maps: "
            "look at two pixels in the one, then at the same two in the other.",
        ),
        Mistake(
            "pairs of names mixed up",
            lambda labels, truth: _counted(labels, truth, int(labels.max()) + 1),
            "Two different pairs of names come to the same number in your table. How far apart must the "
            "rows begin, so that all names of the truth have room in one?",
        ),
        Mistake(
            "chance taken off",
            _by_chance,
            "That is the adjusted index: you take off what chance would give. The plain share is asked.",
        ),
        Mistake(
            "region 0 left out",
            _without_ground,
            "You leave the pixels out that are 0 in the truth. Here 0 is a region like any other.",
        ),
        Mistake(
            "names compared",
            lambda labels, truth: (labels == truth).double().mean(),
            "You compare the names of labels, pixel by pixel. Names mean nothing here: 0 0 1 and 1 1 0 are "
            "one and the same partition.",
        ),
        Mistake(
            "only pairs together in both",
            _of_pairs(lambda ours, theirs: (ours & theirs).double().mean()),
            "You count the pairs that are together in both maps. They also agree on pairs both keep apart.",
        ),
        Mistake(
            "only pairs apart in both",
            _of_pairs(lambda ours, theirs: (~ours & ~theirs).double().mean()),
            "You count the pairs that both maps keep apart. They also agree where both put a pair together.",
        ),
        Mistake(
            "disagreement",
            _of_pairs(lambda ours, theirs: (ours != theirs).double().mean()),
            "You count where the maps disagree: 0 for equal maps. The index is 1 for equal maps.",
        ),
        Mistake(
            "Jaccard",
            _of_pairs(lambda ours, theirs: (ours & theirs).sum() / (ours | theirs).sum().clamp(min=1)),
            "You divide by the pairs that are together in one of the maps: that is the Jaccard index. Here "
            "all pairs are in the divisor.",
        ),
        Mistake(
            "only neighbours",
            _only_neighbours,
            "You compare neighbouring pixels only. Every pair of pixels of the image counts, however far "
            "apart.",
        ),
        Mistake(
            "not normalised",
            _of_pairs(lambda ours, theirs: (ours == theirs).sum().double()),
            "That is the number of pairs. Which share of all pairs is it?",
        ),
        Mistake(
            "recall of pairs",
            _of_pairs(lambda ours, theirs: (ours & theirs).sum() / theirs.sum().clamp(min=1)),
            "You ask which share of the truth's pairs is found again. Pairs that are apart count as well.",
        ),
    ),
)


# 2.2 -----------------------------------------------------------------------------------------------


def merge_weakest(pairs: Tensor, strengths: Tensor, lengths: Tensor, count: int, threshold: float) -> Tensor:
    """``(count,)``: for each region the lowest region of what it has become a part of."""
    lowest = list(range(count))
    while True:
        borders = _borders(pairs, strengths, lengths, lowest)
        weakest = min(borders, key=lambda pair: borders[pair], default=None)
        if weakest is None or borders[weakest] > threshold:
            return torch.tensor(lowest)
        keep, gone = weakest
        lowest = [keep if region == gone else region for region in lowest]


def _borders(
    pairs: Tensor, strengths: Tensor, lengths: Tensor, lowest: Sequence[int]
) -> dict[tuple[int, int], float]:
    """The mean strength by length of each boundary between what the regions have become."""
    sums: dict[tuple[int, int], float] = {}
    total: dict[tuple[int, int], float] = {}
    for (a, b), strength, length in zip(pairs.tolist(), strengths.tolist(), lengths.tolist(), strict=True):
        key = min(lowest[a], lowest[b]), max(lowest[a], lowest[b])
        if key[0] != key[1]:
            sums[key] = sums.get(key, 0.0) + strength * length
            total[key] = total.get(key, 0.0) + length
    return {key: sums[key] / total[key] for key in sums}


Pieces = list[tuple[float, float]]


def _by_length(pieces: Pieces) -> float:
    """The mean strength, weighed by length."""
    return sum(strength * length for strength, length in pieces) / sum(length for _, length in pieces)


def _merging(
    joined: Callable[[Pieces], float] = _by_length,
    strictly: bool = False,
    strongest: bool = False,
    rounds: int = 10**6,
    tell: Callable[[list[int]], list[int]] = lambda lowest: lowest,
) -> Callable[..., Tensor]:
    """Another way to merge: how the pieces of a boundary, (strength, length), become one; and more."""

    def wrong(pairs: Tensor, strengths: Tensor, lengths: Tensor, count: int, threshold: float) -> Tensor:
        lowest = list(range(count))
        for _ in range(rounds):
            borders: dict[tuple[int, int], Pieces] = {}
            for (a, b), s, n in zip(pairs.tolist(), strengths.tolist(), lengths.tolist(), strict=True):
                key = min(lowest[a], lowest[b]), max(lowest[a], lowest[b])
                if key[0] != key[1]:
                    borders.setdefault(key, []).append((s, n))
            value = {key: joined(pieces) for key, pieces in borders.items()}
            allowed = [k for k in value if value[k] < threshold or (value[k] == threshold and not strictly)]
            if not allowed:
                break
            keep, gone = (max if strongest else min)(allowed, key=lambda k: value[k])
            lowest = [keep if region == gone else region for region in lowest]
        return torch.tensor(tell(lowest))

    return wrong


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


Joining = Callable[[float, float, float, float], tuple[float, float]]


def _step_by_step(
    join: Joining, turned: bool = False, first: bool = False, lost: bool = False
) -> Callable[..., Tensor]:
    """Merging with a table that is kept up; `join` makes two boundaries (s, l, s, l) one.

    The boundary of the region that stays comes first, that of the one that goes second.
    """

    def wrong(pairs: Tensor, strengths: Tensor, lengths: Tensor, count: int, threshold: float) -> Tensor:
        lowest = list(range(count))
        table: dict[tuple[int, int], tuple[float, float]] = {}
        for (a, b), s, n in zip(pairs.tolist(), strengths.tolist(), lengths.tolist(), strict=True):
            table[(a, b) if turned or first else (min(a, b), max(a, b))] = (s, n)
        while table:
            pair = min(table, key=lambda pair: table[pair])
            if table[pair][0] > threshold:
                break
            keep, gone = pair if first else (min(pair), max(pair))
            lowest = [keep if region == gone else region for region in lowest]
            after: dict[tuple[int, int], tuple[float, float]] = {}
            for (a, b), (s, n) in sorted(table.items(), key=lambda row: gone in row[0]):
                if lost and gone in (a, b):
                    continue
                a, b = (keep if end == gone else end for end in (a, b))
                key = (a, b) if turned else (min(a, b), max(a, b))
                if a != b:
                    after[key] = join(*after[key], s, n) if key in after else (s, n)
            table = after
        return torch.tensor(lowest)

    return wrong


def _joined(s: float, length: float, t: float, more: float) -> tuple[float, float]:
    """Two boundaries as the task joins them."""
    return (s * length + t * more) / (length + more), length + more


def _no_chains(pairs: Tensor, strengths: Tensor, lengths: Tensor, count: int, threshold: float) -> Tensor:
    """Each pair for itself: the higher end gets the number of the lower."""
    lowest = torch.arange(count)
    for k in strengths.argsort().tolist():
        if strengths[k] <= threshold:
            lowest[pairs[k].max()] = pairs[k].min()
    return lowest


def _strongest_of_all(
    pairs: Tensor, strengths: Tensor, lengths: Tensor, count: int, threshold: float
) -> Tensor:
    lowest = list(range(count))
    while borders := _borders(pairs, strengths, lengths, lowest):
        keep, gone = max(borders, key=lambda pair: borders[pair])
        if borders[keep, gone] > threshold:
            break
        lowest = [keep if region == gone else region for region in lowest]
    return torch.tensor(lowest)


def _end_only(pairs: Tensor, strengths: Tensor, lengths: Tensor, count: int, threshold: float) -> Tensor:
    """Only the region that has just merged gets the new name, not what it had swallowed before."""
    lowest = list(range(count))
    names = list(range(count))
    while True:
        borders = _borders(pairs, strengths, lengths, lowest)
        weakest = min(borders, key=lambda pair: borders[pair], default=None)
        if weakest is None or borders[weakest] > threshold:
            return torch.tensor(names)
        keep, gone = weakest
        names[gone] = keep
        lowest = [keep if region == gone else region for region in lowest]


def _merge_cases(generator: torch.Generator) -> list[Case]:
    pairs = torch.tensor([[0, 1], [0, 2], [1, 2]])
    strengths, lengths = torch.tensor([1.0, 6.0, 3.0]), torch.tensor([2, 1, 3])
    chain = torch.tensor([[2, 3], [1, 2], [0, 1]])
    # regions 0, 1, 2 become one; each has a boundary with 3
    four = torch.tensor([[0, 1], [1, 2], [0, 3], [1, 3], [2, 3]])
    sides = torch.tensor([1, 1, 2, 2, 1])
    cases = [
        Case((pairs, strengths, lengths, 3, 3.0), "after the first merge the boundary weighs 15 / 4 = 3.75"),
        Case((pairs, strengths, lengths, 3, 3.75), "a boundary as strong as the threshold goes too"),
        Case((pairs, strengths, lengths, 3, 0.5), "no boundary is so weak"),
        Case((pairs, strengths, lengths, 3, 5.0), "all become one region"),
        Case((pairs, torch.tensor([0.125, 0.25, 0.375]), lengths, 3, 0.4), "weak boundaries: all become one"),
        Case((chain, torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1, 1, 1]), 4, 2.0), "a chain from its end"),
        Case((pairs.flip(1), strengths, lengths, 3, 3.0), "the same pairs, the higher region first"),
        Case(
            (torch.tensor([[0, 1], [2, 0], [1, 2]]), strengths, lengths, 3, 3.0),
            "0 and 1 meet region 2, one of them turned round",
        ),
        Case(
            (four, torch.tensor([1.0, 1.5, 5.5, 2.5, 9.0]), sides, 4, 5.0),
            "three boundaries become one: first 4 sides of 4, then 25 / 5 = 5",
        ),
        Case(
            (four, torch.tensor([1.0, 1.5, 5.5, 2.5, 9.0]), sides, 4, 6.0),
            "three boundaries become one, at a threshold above 5",
        ),
        Case(
            (four, torch.tensor([1.0, 1.5, 5.5, 2.5, 2.0]), sides, 4, 3.5),
            "three boundaries become one: first 4 sides of 4, then 18 / 5 = 3.6",
        ),
        Case(
            (chain, torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1, 1, 1]), 5, 9.0), "region 4 touches none"
        ),
    ]
    for count, links, threshold in ((5, 8, 0.4), (8, 16, 0.45), (12, 26, 0.5), (7, 12, 0.3), (14, 30, 0.42)):
        every = torch.combinations(torch.arange(count))
        chosen = every[torch.randperm(len(every), generator=generator)[:links]]
        turned = torch.rand(len(chosen), generator=generator) < 0.5
        chosen = torch.where(turned[:, None], chosen.flip(1), chosen)
        strengths = torch.rand(len(chosen), generator=generator)
        lengths = torch.randint(1, 20, (len(chosen),), generator=generator)
        cases.append(Case((chosen, strengths, lengths, count, threshold)))
    return cases


MERGE = Exercise(
    "2.2",
    "Merge the weakest boundary",
    merge_weakest,
    _merge_cases,
    axes=("region",),
    plan=(
        "Keep for each region the number of the lowest one that it has become a part of: at first its own.",
        "Rewrite both ends of all pairs in these numbers. Drop pairs whose ends are now the same.",
        "Pairs with the same two ends are one boundary now. Its strength is … divided by the sum of lengths.",
        "Take the weakest boundary. If it is above the threshold, you are done.",
        "Otherwise all members of the higher region get the lower one's number. Begin again.",
    ),
    mistakes=(
        Mistake(
            "boundaries never joined",
            _merging(lambda pieces: min(s for s, _ in pieces)),
            "You merge along the weakest single pair. After a merge, two pairs that lead to the same "
            "neighbour are one boundary, with one strength.",
        ),
        Mistake(
            "the stronger counts",
            _merging(lambda pieces: max(s for s, _ in pieces)),
            "Where two boundaries become one you keep the stronger. What is asked is their mean.",
        ),
        Mistake(
            "lengths ignored",
            _merging(lambda pieces: _mean([s for s, _ in pieces])),
            "You take the plain mean of the strengths. A boundary three times as long counts three times.",
        ),
        Mistake(
            "strengths added",
            _merging(lambda pieces: sum(s for s, _ in pieces)),
            "You add the strengths of the two boundaries. Their mean by length can't be above both of them.",
        ),
        Mistake(
            "sum of strength times length",
            _merging(lambda pieces: sum(s * n for s, n in pieces)),
            "You weigh the strengths with their lengths, but do not divide by the sum of lengths.",
        ),
        Mistake(
            "one of both lost",
            _merging(lambda pieces: pieces[-1][0]),
            "Where two boundaries lead to the same neighbour, the one that comes later wins, and the other "
            "is forgotten.",
        ),
        Mistake(
            "first of both kept",
            _merging(lambda pieces: pieces[0][0]),
            "Where two boundaries lead to the same neighbour, you keep the first and forget the other.",
        ),
        Mistake(
            "the own boundary stays",
            _step_by_step(lambda s, n, t, m: (s, n + m)),
            "Where both regions have a boundary with a third, that of the lower one stays as it was. The "
            "other one counts as well.",
        ),
        Mistake(
            "the other boundary wins",
            _step_by_step(lambda s, n, t, m: (t, n + m)),
            "Where both regions have a boundary with a third, that of the region that goes takes the place "
            "of the other. Both should count.",
        ),
        Mistake(
            "lengths exchanged",
            _step_by_step(lambda s, n, t, m: ((s * m + t * n) / (n + m), n + m)),
            "Each strength is weighed with the length of the other boundary. To which does each belong?",
        ),
        Mistake(
            "length not kept up",
            _step_by_step(lambda s, n, t, m: (_joined(s, n, t, m)[0], n)),
            "The strength of a joined boundary is right, but its length stays what it was. How long is it "
            "when the next one joins it?",
        ),
        Mistake(
            "each part counts alike",
            _step_by_step(lambda s, n, t, m: (_joined(s, n, t, m)[0], 1)),
            "Once joined, a boundary counts as if it were 1 long. Its length must grow with it.",
        ),
        Mistake(
            "turned pairs are two boundaries",
            _step_by_step(_joined, turned=True),
            "For you (2, 0) and (0, 2) are two boundaries. After a merge both may stand in your table: they "
            "are one.",
        ),
        Mistake(
            "first of the pair stays",
            _step_by_step(_joined, first=True),
            "You keep the number that stands first in the pair. It may be the higher one: pairs come in any "
            "order.",
        ),
        Mistake(
            "neighbours lost",
            _step_by_step(_joined, lost=True),
            "When a region goes, its boundaries with all others go with it. Who inherits them?",
        ),
        Mistake(
            "each pair for itself",
            _no_chains,
            "The number that a region gets may be old already: its new owner may be part of another one. "
            "And two boundaries with one neighbour become one.",
        ),
        Mistake(
            "strongest of all first",
            _strongest_of_all,
            "You look at the strongest boundary first, and stop if it is above the threshold. Which one "
            "should go first?",
        ),
        Mistake(
            "below the threshold only",
            _merging(strictly=True),
            "A boundary just as strong as the threshold goes, too: ≤.",
        ),
        Mistake(
            "strongest first",
            _merging(strongest=True),
            "You take the strongest boundary that the threshold allows. The weakest one goes first.",
        ),
        Mistake(
            "one merge only",
            _merging(rounds=1),
            "You merge once. Go on, until the weakest boundary is above the threshold.",
        ),
        Mistake(
            "highest number",
            _merging(
                tell=lambda lowest: [max(k for k, r in enumerate(lowest) if r == own) for own in lowest]
            ),
            "Your regions are right, but they carry the number of their highest member. The lowest is asked.",
        ),
        Mistake(
            "numbered anew",
            _merging(tell=lambda lowest: [sorted(set(lowest)).index(own) for own in lowest]),
            "Your regions are right, but you number them anew from 0. Each should carry the number of its "
            "lowest member.",
        ),
        Mistake(
            "members forgotten",
            _end_only,
            "Only the region at the end of the pair gets a new number. Those that it had swallowed before "
            "must come along.",
        ),
        Mistake(
            "threshold ignored",
            lambda pairs, strengths, lengths, count, threshold: merge_weakest(
                pairs, strengths, lengths, count, math.inf
            ),
            "You merge as long as regions touch. A boundary above the threshold stays.",
        ),
    ),
)


# 2.3 -----------------------------------------------------------------------------------------------


def data_term(colors: Tensor, weights: Tensor, means: Tensor, covariances: Tensor) -> Tensor:
    """``(N,)``: -log of the mixture's density at each colour, but for the constant."""
    return -_log_parts(colors, weights, means, covariances).logsumexp(0)


def _log_parts(colors: Tensor, weights: Tensor, means: Tensor, covariances: Tensor) -> Tensor:
    """The logarithm of each component's share, ``(K, N)``."""
    return (
        weights.log()[:, None]
        - 0.5 * covariances.logdet()[:, None]
        - 0.5 * _squared(colors, means, covariances)
    )


def _squared(colors: Tensor, means: Tensor, covariances: Tensor) -> Tensor:
    """The squared Mahalanobis distances, ``(K, N)``."""
    off = colors - means[:, None]  # (K, N, 3)
    return (off @ covariances.inverse() * off).sum(-1)


Parts = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def _mixed(parts: Parts) -> Parts:
    """The mixture of other logarithms."""
    return lambda colors, weights, means, covariances: (
        -parts(colors, weights, means, covariances).logsumexp(0)
    )


def _weighted(how: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Parts:
    """Other logarithms, from weights and half log-determinants ``(K, 1)`` and half squared distances."""
    return _mixed(
        lambda colors, weights, means, covariances: how(
            weights[:, None], 0.5 * covariances.logdet()[:, None], 0.5 * _squared(colors, means, covariances)
        )
    )


def _spd(generator: torch.Generator, count: int, size: float) -> Tensor:
    factor = torch.randn(count, 3, 3, generator=generator) * size
    return factor @ factor.mT + 0.3 * size**2 * torch.eye(3)


def _data_cases(generator: torch.Generator) -> list[Case]:
    one, zero, four = torch.ones(1), torch.zeros(1, 3), 4 * torch.eye(3)[None]
    two = torch.tensor([[0.0, 0, 0], [8.0, 0, 0]])
    eyes = torch.eye(3).expand(2, 3, 3)
    long = torch.tensor([[[9.0, 0, 0], [0, 1, 0], [0, 0, 1]]])
    tilted = torch.tensor([[[2.0, 1, 0], [1, 2, 0], [0, 0, 1]]])
    far = torch.tensor([[255.0, 255, 255], [0, 0, 0]])
    sizes = torch.stack([torch.eye(3), 4 * torch.eye(3)])
    cases = [
        Case((torch.tensor([[0.0, 0, 0], [2, 0, 0]]), one, zero, four), "log √64 = 2.08, and 2²/4/2 more"),
        Case((torch.tensor([[0.0, 0, 0], [4, 0, 0]]), torch.tensor([0.75, 0.25]), two, eyes),
             "a heavy and a light component, and half way between"),
        Case((torch.tensor([[3.0, 0, 0], [0, 3, 0]]), one, zero, long), "three times as wide along red"),
        Case((torch.tensor([[1.0, 1, 0], [1, -1, 0]]), one, zero, tilted), "red and green vary together"),
        Case((torch.tensor([[0.0, 0, 0], [6, 0, 0]]), torch.tensor([0.5, 0.5]), two, sizes),
             "a narrow and a wide component"),
        Case((far, one, zero, torch.eye(3)[None]), "so far that the density is 0 in float32"),
    ]  # fmt: skip
    for number, count, size in ((4, 2, 1.0), (7, 5, 10.0), (12, 3, 25.0), (6, 1, 4.0)):
        weights = torch.rand(count, generator=generator) + 0.1
        means = torch.randn(count, 3, generator=generator) * 2 * size
        colors = torch.randn(number, 3, generator=generator) * 2 * size
        cases.append(Case((colors, weights / weights.sum(), means, _spd(generator, count, size))))
    return cases


DATA = Exercise(
    "2.3",
    "GrabCut's data term",
    data_term,
    _data_cases,
    tolerance=1e-4,
    any_float=True,
    axes=("colour",),
    plan=(
        "Work out the squared distance of each colour to each mean by the inverse covariance: (K, N).",
        "Take the logarithm of each component's share: log of the weight, less half the log of the "
        "determinant, less half that distance.",
        "The mixture adds shares, not logarithms: log … exp. torch.logsumexp does it without falling to 0.",
        "A likely colour should cost little: change the sign.",
    ),
    mistakes=(
        Mistake(
            "density falls to 0",
            lambda *args: -_log_parts(*args).exp().sum(0).log(),
            "Far from all means the density is so small that it becomes 0, and its logarithm infinite. Stay "
            "with logarithms to the end.",
        ),
        Mistake(
            "tiny number added",
            lambda *args: -(_log_parts(*args).exp().sum(0) + 1e-12).log(),
            "With a tiny number added, all far colours cost the same. Stay with logarithms to the end.",
        ),
        Mistake(
            "density held up",
            lambda *args: -_log_parts(*args).exp().sum(0).clamp(min=1e-10).log(),
            "You hold the density above a tiny number, so all far colours cost the same. Stay with "
            "logarithms to the end.",
        ),
        Mistake(
            "best component only",
            lambda *args: -_log_parts(*args).amax(0),
            "You take the likeliest component alone. Here all components add to the density.",
        ),
        Mistake(
            "sign",
            lambda *args: _log_parts(*args).logsumexp(0),
            "The signs are turned: a colour that is likely should cost less than one that is not.",
        ),
        Mistake(
            "weights forgotten",
            _weighted(lambda w, d, m: -d - m),
            "A component that holds three quarters of the pixels counts like one that holds a quarter. Where "
            "do the weights come in?",
        ),
        Mistake(
            "half forgotten",
            _weighted(lambda w, d, m: w.log() - d - 2 * m),
            "The squared distance is twice as large as it should be: the exponent has a factor before it.",
        ),
        Mistake(
            "determinant forgotten",
            _weighted(lambda w, d, m: w.log() - m),
            "Wide components have no advantage far off and no handicap near by: the determinant is missing.",
        ),
        Mistake(
            "determinant without the root",
            _weighted(lambda w, d, m: w.log() - 2 * d - m),
            "The determinant enters in full. Where is the root, which is a half in the logarithm?",
        ),
        Mistake(
            "determinant upside down",
            _weighted(lambda w, d, m: w.log() + d - m),
            "The determinant has the wrong sign: a wide component must be *thinner* at its mean.",
        ),
        Mistake(
            "covariance not inverted",
            _mixed(
                lambda c, w, m, s: (
                    w.log()[:, None]
                    - 0.5 * s.logdet()[:, None]
                    - 0.5 * ((c - m[:, None]) @ s * (c - m[:, None])).sum(-1)
                )
            ),
            "You multiply with the covariance itself. Along a wide direction a colour should be *nearer*.",
        ),
        Mistake(
            "variances only",
            lambda c, w, m, s: data_term(c, w, m, torch.diag_embed(s.diagonal(dim1=1, dim2=2))),
            "You use the diagonal of the covariances alone. Red and green may vary together.",
        ),
        Mistake(
            "plain distance",
            _mixed(
                lambda c, w, m, s: (
                    w.log()[:, None] - 0.5 * s.logdet()[:, None] - 0.5 * (c - m[:, None]).square().sum(-1)
                )
            ),
            "Your distance is the plain one. It should be measured by the inverse covariance.",
        ),
        Mistake(
            "distance not squared",
            _mixed(
                lambda c, w, m, s: (
                    w.log()[:, None] - 0.5 * s.logdet()[:, None] - 0.5 * _squared(c, m, s).sqrt()
                )
            ),
            "You take the root of the distance. The exponent holds its square.",
        ),
        Mistake(
            "logarithms averaged",
            lambda c, w, m, s: -(w[:, None] * (_log_parts(c, torch.ones_like(w), m, s))).sum(0),
            "You average the components' logarithms. First add the densities, then take the logarithm.",
        ),
        Mistake(
            "logarithms added",
            lambda *args: -_log_parts(*args).sum(0),
            "You add the logarithms of the components: that multiplies their densities. What does a mixture "
            "do with them?",
        ),
        Mistake(
            "weights in the exponent",
            _weighted(lambda w, d, m: -d - w * m),
            "Your weights multiply the exponent. In the formula they stand before the exponential.",
        ),
        Mistake(
            "means forgotten",
            lambda c, w, m, s: data_term(c, w, torch.zeros_like(m), s),
            "Each component is measured from 0. Where is its mean?",
        ),
        Mistake(
            "density itself",
            lambda *args: _log_parts(*args).exp().sum(0),
            "You return the density. The cost is the negative logarithm of it: what is likely costs little.",
        ),
        Mistake(
            "density with its sign turned",
            lambda *args: -_log_parts(*args).exp().sum(0),
            "You turn the sign of the density itself. Which function stands between the minus and the sum?",
        ),
        Mistake(
            "first covariance for all",
            lambda c, w, m, s: data_term(c, w, m, s[:1].expand_as(s)),
            "Every component has the covariance of the first one. Each should have its own.",
        ),
        Mistake(
            "nearest mean only",
            lambda c, w, m, s: -_log_parts(c, w, m, s).gather(0, torch.cdist(m, c).argmin(0)[None])[0],
            "Each colour is measured by the component with the nearest mean alone. Here all components add "
            "to the density.",
        ),
        Mistake(
            "first component only",
            lambda *args: -_log_parts(*args)[0],
            "Each colour is measured by the first component alone. Here all components add to the density.",
        ),
        Mistake(
            "largest not added again",
            lambda *args: _log_parts(*args).amax(0) - _log_parts(*args).logsumexp(0),
            "You take the largest logarithm off before exp, so that none falls to 0. But at the end the cost "
            "lacks it: where does it come in again?",
        ),
        Mistake(
            "variances of the inverse only",
            _mixed(
                lambda c, w, m, s: (
                    w.log()[:, None]
                    - 0.5 * s.logdet()[:, None]
                    - 0.5 * ((c - m[:, None]) ** 2 @ s.inverse().diagonal(dim1=1, dim2=2)[..., None])[..., 0]
                )
            ),
            "Of the inverse covariance you use the diagonal alone. Red and green may vary together.",
        ),
        Mistake(
            "summed over the colours",
            lambda *args: -_log_parts(*args).logsumexp(1),
            "You sum over the colours and are left with a number for each component. A number for each "
            "colour is asked.",
        ),
        Mistake(
            "mean over components",
            lambda c, w, m, s: data_term(c, w / len(w), m, s),
            "You average over the components. Their weights have the sum 1 already: add them.",
        ),
        Mistake(
            "constant included",
            lambda *args: data_term(*args) + 1.5 * math.log(2 * math.pi),
            "Your density is complete, with its (2π)^−3/2. The task leaves that constant out.",
        ),
    ),
)


# 2.4 -----------------------------------------------------------------------------------------------


def split_touching(mask: Tensor, depth: float) -> Tensor:
    """``(H, W)``: 0, or the number of the object, grown from what is deeper than `depth`."""
    distance = ndimage.distance_transform_edt(mask.numpy())
    markers, _ = ndimage.label(distance > depth, structure=np.ones((3, 3)))
    return _flooded(-distance, markers, mask.numpy())


def _flooded(height: np.ndarray, markers: np.ndarray, mask: np.ndarray | None) -> Tensor:
    from skimage.segmentation import watershed

    return torch.from_numpy(watershed(height, markers, mask=mask)).long()


Measure = Callable[[np.ndarray], np.ndarray]


def _splitting(
    measure: Measure = ndimage.distance_transform_edt,
    marked: Callable[[np.ndarray, float], np.ndarray] = lambda distance, depth: distance > depth,
    corners: bool = True,
    height: Measure = lambda distance: -distance,
    masked: bool = True,
    grown: bool = True,
) -> Callable[[Tensor, float], Tensor]:
    """Another way to split."""

    def wrong(mask: Tensor, depth: float) -> Tensor:
        inside = mask.numpy()
        distance = measure(inside)
        structure = ndimage.generate_binary_structure(2, 2 if corners else 1)
        markers, _ = ndimage.label(marked(distance, depth), structure=structure)
        if not grown:
            return torch.from_numpy(markers).long()
        return _flooded(height(distance), markers, inside if masked else None)

    return wrong


def _in_the_ground(inside: np.ndarray) -> np.ndarray:
    """How far each pixel of the ground is from the mask."""
    return ndimage.distance_transform_edt(~inside)


def _one_marker(mask: Tensor, depth: float) -> Tensor:
    """Markers that are not numbered."""
    distance = ndimage.distance_transform_edt(mask.numpy())
    return _flooded(-distance, (distance > depth).astype(int), mask.numpy())


def _nearest_marker(mask: Tensor, depth: float) -> Tensor:
    distance = ndimage.distance_transform_edt(mask.numpy())
    markers, count = ndimage.label(distance > depth, structure=np.ones((3, 3)))
    if count == 0:
        return torch.zeros_like(mask, dtype=torch.int64)
    rows, columns = ndimage.distance_transform_edt(markers == 0, return_distances=False, return_indices=True)
    return torch.from_numpy(np.where(mask.numpy(), markers[rows, columns], 0)).long()


def _framed(inside: np.ndarray) -> np.ndarray:
    """Distances where what lies outside of the image counts as ground."""
    return ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]


def _peaks(distance: np.ndarray, depth: float) -> np.ndarray:
    return (distance == ndimage.maximum_filter(distance, 3)) & (distance > 0)


def _parts_of_mask(mask: Tensor, depth: float) -> Tensor:
    return torch.from_numpy(ndimage.label(mask.numpy(), structure=np.ones((3, 3)))[0]).long()


def _with_ground(mask: Tensor, depth: float) -> Tensor:
    return split_touching(mask, depth) + 1


def _nothing_lost(mask: Tensor, depth: float) -> Tensor:
    found, parts = split_touching(mask, depth), _parts_of_mask(mask, depth)
    left = mask & (found == 0)
    return torch.where(left, parts + int(found.max()), found)


def _same_parts(expected: Any, got: Any) -> str | None:
    """What is wrong, where only the names of the objects are free."""
    if not isinstance(got, Tensor):
        return f"Expected a tensor of labels; came: {summary(got)}."
    if got.shape != expected.shape:
        return f"Expected a map of shape {tuple(expected.shape)}; came: {tuple(got.shape)}."
    if got.is_floating_point() or got.dtype == torch.bool:
        return f"Expected labels in int64; came: {got.dtype}."
    if not torch.equal(got == 0, expected == 0):
        more = int(((got != 0) & (expected == 0)).sum())
        less = int(((got == 0) & (expected != 0)).sum())
        return f"{more} pixels belong to an object that should be 0, and {less} are 0 that belong to one."
    pairs = torch.stack([got.flatten(), expected.flatten()], 1).unique(dim=0)
    count, wanted = len(got.unique()) - int((got == 0).any()), len(expected.unique())
    wanted -= int((expected == 0).any())
    if count != wanted:
        return f"Expected {wanted} objects; {count} came."
    if len(pairs) != len(expected.unique()):
        return f"There are {count} objects, as expected, but some pixels belong to another one."
    return None


def _discs(height: int, width: int, discs: Sequence[tuple[float, float, float]]) -> Tensor:
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    inside = [(y - cy) ** 2 + (x - cx) ** 2 <= r**2 for cy, cx, r in discs]
    return torch.stack(inside).any(0)


def _touching_cases(generator: torch.Generator) -> list[Case]:
    bridge = torch.ones(3, 9, dtype=torch.bool)
    bridge[::2, 4] = False
    row = torch.tensor([[0, 1, 1, 1, 0, 1, 1, 1, 1, 1, 0]], dtype=torch.bool)
    corner = torch.zeros(6, 6, dtype=torch.bool)
    corner[:3, :3] = corner[2:5, 2:5] = True
    steps = torch.zeros(6, 6, dtype=torch.bool)
    steps[:3, :3] = steps[3:, 3:] = True
    cases = [
        Case((bridge, 1.0), "two squares and a bridge of one pixel, which is 1 deep and no marker"),
        Case((row, 1.0), "two parts in one row, both deeper than 1"),
        Case((row, 2.0), "the first part is just 2 deep: not more, so it has no marker and gets 0"),
        Case((bridge, 0.0), "everything is deeper than 0: one object"),
        Case((corner, 1.0), "cut by the image's frame: what lies outside does not count"),
        Case((steps, 0.5), "markers that touch by a corner are one"),
        Case((torch.zeros(4, 5, dtype=torch.bool), 1.0), "nothing there"),
    ]
    for height, width, count, depth in (
        (30, 40, 6, 3.0),
        (36, 30, 7, 2.5),
        (40, 40, 9, 4.0),
        (24, 50, 6, 2.0),
    ):
        place = torch.rand(count, 3, generator=generator) * torch.tensor([height, width, 4.0])
        place[:, 2] += 3.5
        cases.append(Case((_discs(height, width, [tuple(each) for each in place.tolist()]), depth)))
    return cases


TOUCHING = Exercise(
    "2.4",
    "Objects that touch",
    split_touching,
    _touching_cases,
    compare=_same_parts,
    axes=("row", "column"),
    plan=(
        "For each pixel of the mask, find how far the nearest pixel outside is: SciPy has that transform.",
        "Keep the pixels that are deeper than asked. Their parts, connected by corners too, are markers.",
        "Turn the distances into a landscape in which the middle of an object is lowest.",
        "Flood it from the markers, and only inside the mask. Hand the result back as a tensor.",
    ),
    mistakes=(
        Mistake(
            "parts of the mask",
            _parts_of_mask,
            "These are the connected parts of the mask: objects that touch are one of them.",
        ),
        Mistake(
            "markers only",
            _splitting(grown=False),
            "Your objects are the markers. They should grow back to the outline of the mask.",
        ),
        Mistake(
            "depth included",
            _splitting(marked=lambda distance, depth: (distance >= depth) & (distance > 0)),
            "A pixel that is just as deep as asked is in your markers. Only deeper ones are.",
        ),
        Mistake(
            "corners do not connect",
            _splitting(corners=False),
            "Your markers fall apart where they touch by a corner. ndimage.label needs to be told that "
            "corners connect.",
        ),
        Mistake(
            "landscape upside down",
            _splitting(height=lambda distance: distance),
            "You flood the distances as they are, so that water begins at the rims. The middle of an object "
            "must be the lowest place.",
        ),
        Mistake(
            "flat landscape",
            _splitting(height=lambda distance: np.zeros_like(distance)),
            "You flood a flat landscape, so that the larger object gets no more than the smaller one. What "
            "should its heights be?",
        ),
        Mistake(
            "ground flooded",
            _splitting(masked=False),
            "The water runs out of the mask, over the ground. Keep it inside.",
        ),
        Mistake(
            "depth ignored",
            _splitting(marked=lambda distance, depth: distance > 1),
            "Your markers are the same whatever `depth` says. How deep must a marker be?",
        ),
        Mistake(
            "shallow pixels marked",
            _splitting(marked=lambda distance, depth: distance < depth),
            "Your markers are the pixels near the rim. Those deeper than `depth` are sure of their object.",
        ),
        Mistake(
            "distances in the ground",
            _splitting(_in_the_ground),
            "You measure how far the ground's pixels are from the mask. How far are the mask's pixels from "
            "the ground?",
        ),
        Mistake(
            "distance squared",
            _splitting(marked=lambda distance, depth: distance**2 > depth),
            "You compare the squared distance with `depth`. SciPy's transform gives the distance itself.",
        ),
        Mistake(
            "depth as a share",
            _splitting(marked=lambda distance, depth: distance > depth * distance.max()),
            "You take `depth` for a share of the greatest distance. It is a number of pixels.",
        ),
        Mistake(
            "markers not numbered",
            _one_marker,
            "All your markers have the same number, so one object floods all. Which parts of them belong "
            "together?",
        ),
        Mistake(
            "nearest marker",
            _nearest_marker,
            "Each pixel gets the nearest marker, even across the ground. The water should rise from the "
            "markers through the mask.",
        ),
        Mistake(
            "share of the deepest",
            _splitting(marked=lambda distance, depth: distance > 0.5 * distance.max()),
            "Your markers lie above half of the greatest depth. The argument `depth` says how deep.",
        ),
        Mistake(
            "local maxima",
            _splitting(marked=_peaks),
            "Local maxima of the distance are your markers. The task asks for the connected parts of all "
            "pixels that are deeper than `depth`.",
        ),
        Mistake(
            "steps along the axes",
            _splitting(lambda inside: ndimage.distance_transform_cdt(inside, "taxicab").astype(float)),
            "You count steps along rows and columns. The straight distance is asked (Euclidean).",
        ),
        Mistake(
            "steps with diagonals",
            _splitting(lambda inside: ndimage.distance_transform_cdt(inside, "chessboard").astype(float)),
            "You count steps in which a diagonal one is as long as a straight one. The straight distance is "
            "asked (Euclidean).",
        ),
        Mistake(
            "frame counted as ground",
            _splitting(_framed),
            "For you the image ends in ground. What lies outside of the image does not count as outside of "
            "the mask.",
        ),
        Mistake(
            "ground is an object",
            _with_ground,
            "Every number is one too large: the ground is 0, and the first object 1.",
        ),
        Mistake(
            "shallow parts kept",
            _nothing_lost,
            "Parts of the mask without a marker have a number of their own. The task gives them 0.",
        ),
    ),
)


# 2.5 -----------------------------------------------------------------------------------------------

_NEVER = 1e6


def cut_out(
    image: Tensor,
    trimap: Tensor,
    fit: Callable[[Tensor], Any],
    cost: Callable[[Tensor, Any], Tensor],
    cut: Callable[[Tensor, Tensor], Tensor],
    iterations: int,
) -> Tensor:
    """``(H, W)``: GrabCut's loop, with what it learns, costs and cuts left open."""
    mask = trimap != 0
    for _ in range(iterations):
        background = cost(image, fit(image[:, ~mask].T))
        foreground = cost(image, fit(image[:, mask].T))
        background = background.masked_fill(trimap == 2, _NEVER)
        foreground = foreground.masked_fill(trimap == 0, _NEVER)
        mask = cut(background, foreground)
    return mask


def _looping(
    start: Callable[[Tensor], Tensor] = lambda trimap: trimap != 0,
    again: bool = True,
    learnt: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] = lambda mask, trimap: (~mask, mask),
    row: Callable[[Tensor], Tensor] = lambda image: image.flatten(1).T,
    swapped: bool = False,
    early: bool = False,
    held: tuple[bool, bool, bool] = (True, True, False),
    never: float = _NEVER,
    wrong_side: bool = False,
    alone: bool = False,
    more: Callable[[int], int] = lambda iterations: iterations,
    tell: Callable[[Tensor], Tensor] = lambda mask: mask,
) -> Callable[..., Tensor]:
    """Another loop; `held`: background and foreground by costs, or both after the cut.

    `learnt` tells the pixels of either side from mask and trimap, `row` makes (n, 3) of the image.
    """

    def wrong(image: Tensor, trimap: Tensor, fit: Any, cost: Any, cut: Any, iterations: int) -> Tensor:
        mask = start(trimap)
        models = None
        for _ in range(more(iterations)):
            if models is None or again:
                sides = learnt(mask, trimap)
                models = tuple(fit(row(image)[side.flatten()]) for side in sides)
            background, foreground = (cost(image, model) for model in models)
            if early:
                background, foreground = foreground, background
            at = (2, 0) if wrong_side else (0, 2)
            if held[0]:
                foreground = foreground.masked_fill(trimap == at[0], never)
            if held[1]:
                background = background.masked_fill(trimap == at[1], never)
            deciding = cut_plainly if alone else cut
            mask = deciding(foreground, background) if swapped else deciding(background, foreground)
            if held[2]:
                mask = (mask & (trimap != 0)) | (trimap == 2)
        return tell(mask)

    return wrong


def _own_side_free(image: Tensor, trimap: Tensor, fit: Any, cost: Any, cut: Any, iterations: int) -> Tensor:
    def lured(background: Tensor, foreground: Tensor) -> Tensor:
        return cut(background.masked_fill(trimap == 0, 0.0), foreground.masked_fill(trimap == 2, 0.0))

    return _looping(held=(False, False, False))(image, trimap, fit, cost, lured, iterations)


def mean_and_spread(colors: Tensor) -> tuple[Tensor, Tensor]:
    """A model of colours: one Gaussian with one variance."""
    return colors.mean(0), colors.var(0, unbiased=False).mean() + 0.01


def cost_of(image: Tensor, model: tuple[Tensor, Tensor]) -> Tensor:
    """The cost of each pixel under that model."""
    mean, variance = model
    return (image - mean[:, None, None]).square().sum(0) / variance + 3 * variance.log()


def middle_of(colors: Tensor) -> Tensor:
    """Another model: the mean colour."""
    return colors.mean(0)


def distance_to(image: Tensor, model: Tensor) -> Tensor:
    """The cost of each pixel under that model."""
    return (image - model[:, None, None]).abs().sum(0)


def cut_plainly(background: Tensor, foreground: Tensor) -> Tensor:
    """Foreground where it costs less."""
    return foreground < background


def cut_smoothly(background: Tensor, foreground: Tensor) -> Tensor:
    """Foreground where it costs less, on average over a cross of five pixels."""
    gain = F.pad((background - foreground)[None].clamp(-25, 25), (1, 1, 1, 1), mode="replicate")[0]
    inner = gain[1:-1, 1:-1]
    around = gain[:-2, 1:-1] + gain[2:, 1:-1] + gain[1:-1, :-2] + gain[1:-1, 2:]
    return inner + 0.25 * around > 0


def dearly(image: Tensor, model: Tensor) -> Tensor:
    """The cost of each pixel under that model, in thousands."""
    return 10_000 * distance_to(image, model)


def _finite(function: Callable[..., Any]) -> str | None:
    seen = []

    def cut(background: Tensor, foreground: Tensor) -> Tensor:
        seen.append(bool(background.isfinite().all() and foreground.isfinite().all()))
        return foreground < background

    image = torch.linspace(0, 1, 6).expand(3, 2, 6).clone()
    function(image, torch.tensor([0, 1, 1, 1, 1, 2]).expand(2, 6).clone(), middle_of, distance_to, cut, 2)
    return None if all(seen) else "The masks are right, but `cut` gets costs that are not finite."


def _loop_cases(generator: torch.Generator) -> list[Case]:
    tools = (mean_and_spread, cost_of, cut_smoothly)
    plain = (middle_of, distance_to, cut_plainly)
    row = torch.tensor([0.1, 0.3, 0.9, 0.8, 0.4, 0.1]).expand(3, 2, 6).clone()
    box = torch.tensor([0, 1, 1, 1, 1, 0]).expand(2, 6).clone()
    stroke = torch.tensor([0, 2, 1, 1, 1, 0]).expand(2, 6).clone()
    ramp = ((torch.arange(12) / 11) ** 1.5).expand(3, 1, 12).clone()
    speck = torch.tensor([0.0, 0.8, 0.8, 0.3, 0.8, 0.8]).expand(3, 2, 6).clone()
    cases = [
        Case((row, box, *plain, 1), "dark ends, a box around the rest: one round"),
        Case((row, box, *plain, 3), "three rounds"),
        Case((row, stroke, *plain, 2), "a stroke keeps a dark pixel in the foreground"),
        Case((row, 2 - stroke, *plain, 2), "and here one in the background: pixel 1"),
        Case((row, stroke, middle_of, dearly, cut_plainly, 2), "colours that cost thousands"),
        Case((row, stroke, *tools, 2), "a mark beside another"),
        Case(
            (speck, torch.ones_like(box) - (speck[0] == 0).long(), middle_of, distance_to, cut_smoothly, 1),
            "a cut that looks at neighbours: a dark speck among bright ones",
        ),
        Case(
            (ramp, (torch.arange(12) > 0).long()[None], *plain, 1), "from dark to bright: one round of many"
        ),
    ]
    for height, width, iterations, shift in (
        (9, 12, 1, 0.4),
        (12, 10, 2, 0.3),
        (14, 16, 4, 0.25),
        (11, 11, 3, 0.35),
    ):
        image = torch.rand(3, height, width, generator=generator) * 0.5
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        inside = (y - height / 2) ** 2 + (x - width / 2) ** 2 < (0.32 * min(height, width)) ** 2
        image = image + shift * inside
        trimap = torch.ones(height, width, dtype=torch.int64)
        trimap[0] = trimap[-1] = 0
        trimap[:, 0] = 0
        noise = torch.rand(height, width, generator=generator)
        trimap[noise > 0.95] = 2
        trimap[noise < 0.08] = 0
        trimap[height // 2, width // 2] = 2
        cases.append(Case((image, trimap, *tools, iterations)))
    cases.append(Case((image, trimap, middle_of, distance_to, cut_smoothly, 2)))
    return cases


LOOP = Exercise(
    "2.5",
    "Cut it out",
    cut_out,
    _loop_cases,
    properties=(
        Property(
            "finite costs",
            _finite,
            "A minimum cut adds and subtracts what it is given, and inf - inf is NaN. Which number does the "
            "task name for the side that a mark forbids?",
        ),
    ),
    axes=("row", "column"),
    plan=(
        "Begin with a mask that holds everything but what is marked as background.",
        "In each round, fit one model to the colours outside the mask and one to those inside: (n, 3) each.",
        "Ask `cost` what each pixel would pay on either side.",
        "Make the wrong side too dear where the trimap says what a pixel is. Which of the two maps for 0?",
        "Cut, and take what comes for the mask of the next round.",
    ),
    mistakes=(
        Mistake(
            "unknown begins as background",
            _looping(start=lambda trimap: trimap == 2),
            "You begin with the strokes alone as foreground. What is unknown counts as foreground at first.",
        ),
        Mistake(
            "first round only",
            _looping(again=False),
            "Your mask never changes after the first round. Do you go round `iterations` times, and fit the "
            "models anew in each round, to the newest mask?",
        ),
        Mistake(
            "a round too many",
            _looping(more=lambda iterations: iterations + 1),
            "You go round once too often. How often does `iterations` say?",
        ),
        Mistake(
            "a round too few",
            _looping(more=lambda iterations: max(iterations - 1, 0)),
            "You go round once less than `iterations` says.",
        ),
        Mistake(
            "background from everything",
            _looping(learnt=lambda mask, trimap: (torch.ones_like(mask), mask)),
            "Your background model learns from all pixels. It should see those outside the mask only.",
        ),
        Mistake(
            "costs exchanged",
            _looping(swapped=True),
            "The two maps of costs are exchanged in your call of `cut`: what it costs to be background "
            "comes first.",
        ),
        Mistake(
            "models exchanged",
            _looping(early=True),
            "What it costs to be background comes from the colours outside the mask. Yours comes from "
            "those inside.",
        ),
        Mistake(
            "wrong map raised",
            _looping(wrong_side=True),
            "You raise the cost of the side that the trimap names, so the marks drive their own pixels away. "
            "What should be dear where the trimap is 0?",
        ),
        Mistake(
            "own side for nothing",
            _own_side_free,
            "Where a pixel is marked you make its own side cost nothing. Its neighbours can still outvote "
            "that. Which side does the task change, and to what?",
        ),
        Mistake(
            "wrong side for nothing",
            _looping(never=0.0),
            "Where the trimap says 0, being foreground costs nothing for you, so it is welcome there.",
        ),
        Mistake(
            "held too cheaply",
            _looping(never=1000.0),
            "What you put in to keep a mark is less than some colours cost. Which number does the task name?",
        ),
        Mistake(
            "unknown alone begins",
            _looping(start=lambda trimap: trimap == 1),
            "Pixels marked as foreground (2) are not in your first mask. All but those with 0 belong in it.",
        ),
        Mistake(
            "learnt from the marks",
            _looping(learnt=lambda mask, trimap: (trimap == 0, trimap == 2)),
            "Your models learn from the marked pixels alone. They should learn from the present mask: what "
            "is outside of it, and what is inside.",
        ),
        Mistake(
            "background from its marks",
            _looping(learnt=lambda mask, trimap: (trimap == 0, mask)),
            "Your background model learns from the pixels that are marked with 0. It should learn from all "
            "that is outside the present mask.",
        ),
        Mistake(
            "both from everything",
            _looping(learnt=lambda mask, trimap: (torch.ones_like(mask),) * 2),
            "Both models learn from all pixels, so they are the same. What should either of them see?",
        ),
        Mistake(
            "colours mixed up",
            _looping(row=lambda image: image.reshape(-1, 3)),
            "The image is (3, H, W). reshape(-1, 3) takes three neighbouring numbers of one channel for a "
            "colour. Which axis must move?",
        ),
        Mistake(
            "cut not used",
            _looping(alone=True),
            "You compare the two costs yourself. The function `cut` decides: it may look at neighbours.",
        ),
        Mistake(
            "iterations ignored",
            _looping(more=lambda iterations: 20),
            "You go round as often as you please, until nothing changes. `iterations` says how often.",
        ),
        Mistake(
            "result turned round",
            _looping(tell=lambda mask: ~mask),
            "Your mask is the background. The foreground should be True.",
        ),
        Mistake(
            "background not held",
            _looping(held=(False, True, False)),
            "Pixels that the trimap calls background (0) may become foreground. Which map must be raised "
            "there?",
        ),
        Mistake(
            "foreground not held",
            _looping(held=(True, False, False)),
            "Pixels that the trimap calls foreground (2) may become background. Which map must be raised "
            "there?",
        ),
        Mistake(
            "nothing held",
            _looping(held=(False, False, False)),
            "What the trimap says is used once, for the start, and then forgotten: it must hold in each cut.",
        ),
        Mistake(
            "held after the cut only",
            _looping(held=(False, False, True)),
            "You put the trimap's pixels right after the cut. Their neighbours then never feel them: the "
            "costs should change *before* the cut.",
        ),
        Mistake(
            "strict sides exchanged",
            lambda image, trimap, *rest: cut_out(image, torch.where(trimap == 1, 1, 2 - trimap), *rest),
            "0 and 2 are exchanged: 0 is background and 2 is foreground.",
        ),
    ),
)


EXERCISES = (RAND, MERGE, DATA, TOUCHING, LOOP)
