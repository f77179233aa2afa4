"""Prompts of chapter 12: overlaps, who takes whom, and what average precision makes of it."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch

from segcore.instance_metrics import THRESHOLDS, box_iou, evaluate_instances, mask_iou, match
from segcore.metrics import precision_recall
from segcore.prompts import Prompt

__all__ = ["PROMPTS"]

TRUTHS = torch.tensor([[0.0, 0, 20, 10], [30, 0, 50, 10]])


def _draw_boxes(rng: random.Random) -> dict[str, object]:
    """Two boxes that overlap in a part of both, with an IoU that is kind."""
    while True:
        w, h, v, u = (rng.choice([4, 6, 8, 10]) for _ in range(4))
        dx, dy = rng.randint(1, w - 1), rng.randint(0, h - 1)
        a, b = (2, 1, 2 + w, 1 + h), (2 + dx, 1 + dy, 2 + dx + v, 1 + dy + u)
        across, down = min(a[2], b[2]) - b[0], min(a[3], b[3]) - b[1]
        shared, sizes = across * down, (w * h, v * u)
        union = sum(sizes) - shared
        right = shared / union
        ideas = (shared / sum(sizes), shared / min(sizes), _as_sizes(a, b))
        if shared * 100 % union == 0 and all(abs(idea - right) > 0.015 for idea in ideas):
            words = {"_across": across, "_down": down, "_a": sizes[0], "_b": sizes[1], "_union": union}
            return {"a": a, "b": b, **words, "_shared": shared}


def _boxes_iou(a: Sequence[int], b: Sequence[int]) -> torch.Tensor:
    return box_iou(torch.tensor([a]).double(), torch.tensor([b]).double())[0, 0]


def _as_sizes(a: Sequence[int], b: Sequence[int]) -> float:
    """The IoU of boxes whose numbers are taken for x, y, width and height."""
    return float(_boxes_iou((*a[:2], a[0] + a[2], a[1] + a[3]), (*b[:2], b[0] + b[2], b[1] + b[3])))


def _shared(a: Sequence[int], b: Sequence[int]) -> int:
    return (min(a[2], b[2]) - max(a[0], b[0])) * (min(a[3], b[3]) - max(a[1], b[1]))


def _area(box: Sequence[int]) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def _draw_moved(rng: random.Random) -> dict[str, object]:
    while True:
        s, d = rng.randint(4, 40), rng.randint(1, 8)
        if d < s and 100 * (s - d) % (s + d) == 0:
            return {"s": s, "d": d, "_kept": s - d, "_union": s + d}


def _moved(s: int, d: int) -> torch.Tensor:
    mask = torch.zeros(1, s, s + d, dtype=torch.bool)
    mask[..., :s] = True
    return mask_iou(mask, mask.roll(d, -1))[0, 0]


def _draw_taken(rng: random.Random) -> dict[str, object]:
    """Four detections of two truths, surest first; one comes too late, one fits too little."""
    while True:
        on = [rng.randint(0, 1) for _ in range(4)]
        widths = rng.sample(range(6, 20), 4)
        least = rng.choice([0.5, 0.6, 0.75])
        iou = tuple(width / 20 for width in widths)
        fits = [each >= least for each in iou]
        if (
            {0, 1} == set(on)
            and sum(fits) == 3
            and abs(min(iou, key=lambda x: abs(x - least)) - least) > 0.02
        ):
            best = _best_first(on, iou, least)
            right = _taken(on, iou, least)
            others = {best, tuple(map(int, fits)), _taken(on, iou, 0.0)}
            if right not in others and len(others) == 3:
                lines = "; ".join(
                    f"{value:g} with {'AB'[which]}" for which, value in zip(on, iou, strict=True)
                )
                return {"on": tuple(on), "iou": iou, "least": least, "_lines": lines}


def _taken(on: Sequence[int], iou: Sequence[float], least: float) -> tuple[int, ...]:
    """Bars that begin with their truth and are as long as their IoU says, in order of their scores."""
    boxes = TRUTHS[list(on)].clone()
    boxes[:, 2] = boxes[:, 0] + 20 * torch.tensor(iou)
    found = {"boxes": boxes, "labels": torch.ones(4).long(), "scores": torch.arange(4.0, 0, -1)}
    truth = {"boxes": TRUTHS, "labels": torch.ones(2).long()}
    return tuple((match(found, truth, least, "box").truth >= 0).long().tolist())


def _best_first(on: Sequence[int], iou: Sequence[float], least: float) -> tuple[int, ...]:
    best = [max((value for which, value in zip(on, iou, strict=True) if which == truth)) for truth in (0, 1)]
    return tuple(int(value >= least and value == best[which]) for which, value in zip(on, iou, strict=True))


def _draw_interpolated(rng: random.Random) -> dict[str, object]:
    """A ranking in which precision rises again behind the recall that is asked for."""
    while True:
        correct = tuple(rng.randint(0, 1) for _ in range(7))
        n = rng.choice([4, 5, 6])
        recalls = [sum(correct[: k + 1]) / n for k in range(7)]
        r = rng.choice([0.15, 0.3, 0.45, 0.55, 0.7])
        reach = [k for k in range(7) if recalls[k] >= r]
        if correct[0] and reach and sum(correct) <= n and r not in recalls:
            found = {k: sum(correct[: k + 1]) / (k + 1) for k in reach}
            best = max(found, key=found.__getitem__)
            apart = [abs(found[best] - other) > 0.02 for other in (found[reach[0]], sum(correct) / 7)]
            if sum(correct[: reach[0]]) and all(apart):
                marks = " ".join("✓" if right else "✗" for right in correct)
                shares = ", ".join(f"{sum(correct[: k + 1])}/{k + 1}" for k in reach)
                return {"correct": correct, "n": n, "r": r, "_marks": marks, "_shares": shares}


def _curve(correct: Sequence[int], n: int) -> tuple[torch.Tensor, torch.Tensor]:
    return precision_recall(torch.arange(7.0, 0, -1), torch.tensor(correct).bool(), num_positives=n)


def _interpolated(correct: Sequence[int], n: int, r: float) -> torch.Tensor:
    precision, recall = _curve(correct, n)
    return precision[recall >= r].max()


def _first_reach(correct: Sequence[int], n: int, r: float) -> torch.Tensor:
    precision, recall = _curve(correct, n)
    return precision[recall >= r][0]


def _draw_average(rng: random.Random) -> dict[str, object]:
    hundredths = rng.choice([each for each in range(51, 95) if each % 5])
    passed = [f"{t:.2f}" for t in THRESHOLDS if t * 100 < hundredths]
    return {"iou": hundredths / 100, "_last": passed[-1], "_count": len(passed)}


def _average(iou: float) -> float:
    """AP of one detection of one object, whose boxes have this IoU."""
    boxes = [torch.tensor([[0.0, 0, width, 10]]) for width in (100 * iou, 100)]
    found = {"boxes": boxes[0], "labels": torch.tensor([1]), "scores": torch.tensor([0.9])}
    numbers = evaluate_instances([found], [{"boxes": boxes[1], "labels": torch.tensor([1])}], kind="box")
    return round(numbers["AP"], 6)


def _draw_crowd(rng: random.Random) -> dict[str, object]:
    while True:
        d, crowd = rng.choice([10, 20, 25, 40, 50]), rng.choice([100, 150, 200])
        s = rng.randint(d // 4, d - 1)
        if s * 100 % d == 0:
            return {"d": d, "crowd": crowd, "s": s}


def _crowd(d: int, crowd: int, s: int) -> torch.Tensor:
    row = torch.arange(d + crowd)
    found, truth = row < d, (row >= d - s) & (row < d - s + crowd)
    return mask_iou(found[None, None], truth[None, None], crowd=torch.tensor([True]))[0, 0]


PROMPTS = (
    Prompt(
        name="12.boxes",
        ask="Two boxes, as x1, y1, x2, y2, are ({a}) and ({b}). What is their IoU?",
        draw=_draw_boxes,
        answer=_boxes_iou,
        why="They share {_across} · {_down} = {_shared}, and their areas are {_a} and {_b}: "
        "{_shared}/({_a} + {_b} − {_shared}) = {_shared}/{_union} = {answer}.",
        wrong={
            "You counted the shared part twice in the union.": (
                lambda a, b: _shared(a, b) / (_area(a) + _area(b))
            ),
            "You divided by the smaller box.": lambda a, b: _shared(a, b) / min(_area(a), _area(b)),
            "You took the numbers for x, y, width and height.": _as_sizes,
        },
        digits=2,
    ),
    Prompt(
        name="12.moved",
        ask="A square mask of {s} × {s} pixels is moved to the right by {d}. What is its IoU with what it "
        "was?",
        draw=_draw_moved,
        answer=_moved,
        why="In each row {_kept} pixels are shared and {s} + {d} covered: {_kept}/{_union} = {answer}.",
        wrong={
            "The moved mask sticks out on the other side, which makes the union larger.": (
                lambda s, d: (s - d) / s
            ),
            "It loses pixels on one side alone; the other side gains as many.": (
                lambda s, d: (s - 2 * d) / s if s > 2 * d else None
            ),
            "It is moved along one axis, not along both.": lambda s, d: (
                (s - d) ** 2 / (2 * s**2 - (s - d) ** 2)
            ),
        },
        digits=2,
    ),
    Prompt(
        name="12.taken",
        ask="Two truths, A and B. Four detections, surest first, have the IoUs {_lines}. At a threshold of "
        "{least}, which take a truth? Write 1 or 0 for each.",
        draw=_draw_taken,
        answer=_taken,
        why="The surest chooses first; a truth is taken once, and by nobody below {least}: {answer}.",
        wrong={
            "A truth is taken once. A second detection of it is wrong, however well it fits.": (
                lambda on, iou, least: tuple(int(each >= least) for each in iou)
            ),
            "You gave each truth its best fit. The surest detection comes first.": _best_first,
            "What is below the threshold takes nothing, and leaves its truth to others.": (
                lambda on, iou, least: _taken(on, iou, 0.0)
            ),
        },
    ),
    Prompt(
        name="12.interpolated",
        ask="Seven detections, surest first, are right or wrong: {_marks}. There are {n} objects. What is "
        "the interpolated precision at a recall of {r}?",
        draw=_draw_interpolated,
        answer=_interpolated,
        why="From where recall is at least {r}, precision is {_shares}. The best of these is {answer}.",
        wrong={
            "That is precision where this recall is reached first. One may walk on.": _first_reach,
            "That is the best of the whole curve. At that point recall is too low.": (
                lambda correct, n, r: _curve(correct, n)[0].max()
            ),
            "That is the precision of the whole list.": lambda correct, n, r: sum(correct) / 7,
        },
        digits=2,
    ),
    Prompt(
        name="12.average",
        ask="An image has one object, and one detection with an IoU of {iou}. What is COCO's AP, the mean "
        "over the thresholds 0.50, 0.55, …, 0.95?",
        draw=_draw_average,
        answer=_average,
        why="It is right at the thresholds from 0.50 to {_last}, with an AP of 1, and wrong above: "
        "{_count}/10 = {answer}.",
        wrong={
            "That is the IoU. Each threshold says yes or no.": lambda iou: iou,
            "You counted the steps. 0.50 is a threshold, too.": lambda iou: _average(iou) - 0.1,
            "That is AP50, the first of the ten.": lambda iou: 1.0,
        },
        digits=2,
    ),
    Prompt(
        name="12.crowd",
        ask="A detection has {d} pixels, {s} of which lie on a crowd of {crowd} pixels. Which IoU with the "
        "crowd does COCO count?",
        draw=_draw_crowd,
        answer=_crowd,
        why="The share of the detection that the crowd covers: {s}/{d} = {answer}.",
        wrong={
            "That is the plain IoU. Nobody must cover a whole crowd.": (
                lambda d, crowd, s: s / (d + crowd - s)
            ),
            "That is the share of the crowd that is covered.": lambda d, crowd, s: s / crowd,
        },
        digits=2,
    ),
)
