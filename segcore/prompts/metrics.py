"""Prompts of chapter 3: scores read off a confusion matrix, and average precision of a short ranking."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

import torch

from segcore.metrics import average_precision, confusion_matrix, dice, iou, mean_iou, pixel_accuracy
from segcore.prompts import Prompt

__all__ = ["PROMPTS"]

Matrix = Sequence[Sequence[int]]


def _draw_matrix(rng: random.Random) -> dict[str, object]:
    """Three classes of ten pixels each, mostly right, and a class with both kinds of error."""
    while True:
        matrix = []
        for row in range(3):
            first, second = rng.randint(0, 3), rng.randint(0, 3)
            errors = [first, second]
            errors.insert(row, 10 - first - second)
            matrix.append(tuple(errors))
        k = rng.randint(0, 2)
        column = sum(row[k] for row in matrix)
        both, union = matrix[k][k], 10 + column - matrix[k][k]
        if column not in (10, both) and both < 10 and union in (8, 10, 12, 15, 16, 20):
            words = {"_rows": _words(matrix), "_both": both, "_column": column, "_union": union}
            return {"matrix": tuple(matrix), "k": k, **words}


def _words(matrix: Matrix) -> str:
    return ", ".join(f"({' '.join(map(str, row))})" for row in matrix)


def _class_iou(matrix: Matrix, k: int) -> torch.Tensor:
    return iou(torch.tensor(matrix))[k]


def _draw_dice(rng: random.Random) -> dict[str, object]:
    while True:
        p, t = rng.sample(range(4, 21), 2)
        s = rng.randint(2, min(p, t) - 1)
        if (p + t) in (10, 20, 25, 30, 40, 12, 16, 24, 32) and abs(s / t - 2 * s / (p + t)) > 0.01:
            return {"p": p, "t": t, "s": s}


def _dice(p: int, t: int, s: int) -> torch.Tensor:
    return dice(torch.tensor([[0, p - s], [t - s, s]]))[1]


def _draw_missed(rng: random.Random) -> dict[str, object]:
    rare, ground = rng.choice([2, 4, 5, 8, 10, 12, 15, 20]), rng.choice([30, 36, 40, 45, 48, 60])
    return {"C": rng.choice([3, 4, 5]), "rare": rare, "ground": ground, "_sum": rare + ground}


def _missed_matrix(C: int, rare: int, ground: int) -> torch.Tensor:
    """Per cent of the pixels: class 1 is called 0, all else is right."""
    rest = 100 - rare - ground
    matrix = torch.diag(torch.tensor([ground, 0, *[rest // (C - 2)] * (C - 2)]))
    matrix[1, 0] = rare
    return matrix


def _draw_absent(rng: random.Random) -> dict[str, object]:
    """A matrix of four classes, one of which is in neither map; the IoUs of the others are kind."""
    while True:
        a, b = rng.randint(1, 4), rng.randint(1, 4)
        first, second, third = rng.choice([4, 6, 8]), rng.choice([2, 4, 6]), rng.choice([3, 5, 9])
        scores = first / (first + a + b), second / (second + a), third / (third + b)
        if sum(scores) < 2.6 and all(score in (0.2, 0.25, 0.4, 0.5, 0.6, 0.75, 0.8, 1) for score in scores):
            matrix = ((first, a, b, 0), (0, second, 0, 0), (0, 0, third, 0), (0, 0, 0, 0))
            parts = f"{first}/{first + a + b}, {second}/{second + a} and {third}/{third + b}"
            return {"rows": _words(matrix), "_parts": parts}


def _numbers(rows: str) -> list[list[int]]:
    return [[int(each) for each in row.split()] for row in re.findall(r"\(([^)]*)\)", rows)]


def _mean(rows: str) -> torch.Tensor:
    return mean_iou(torch.tensor(_numbers(rows)))


def _draw_ranking(rng: random.Random) -> dict[str, object]:
    while True:
        correct = tuple(rng.randint(0, 1) for _ in range(5))
        hits = sum(correct)
        if 2 <= hits <= 3 and correct[:hits] != (1,) * hits:
            marks = " ".join("✓" if right else "✗" for right in correct)
            at = [f"{sum(correct[: i + 1])}/{i + 1}" for i, right in enumerate(correct) if right]
            n = rng.choice([hits + 1, hits + 2])
            return {"correct": correct, "n": n, "_marks": marks, "_at": " + ".join(at)}


def _ranking_ap(correct: Sequence[int], n: int) -> torch.Tensor:
    scores = torch.arange(len(correct), 0, -1).float()
    return average_precision(scores, torch.tensor(correct).bool(), num_positives=n)


def _draw_ignored(rng: random.Random) -> dict[str, object]:
    """Eight pixels of two classes; the truth ignores two of them, one of which is called 1."""
    while True:
        truth = [rng.choice([0, 0, 1, 1]) for _ in range(6)] + [255, 255]
        guess = [label if rng.random() < 0.7 else 1 - label for label in truth[:6]] + [1, 0]
        order = rng.sample(range(8), 8)
        truth, guess = [truth[i] for i in order], [guess[i] for i in order]
        both = sum(t == g == 1 for t, g in zip(truth, guess, strict=True))
        union = sum(1 in pair and pair[0] != 255 for pair in zip(truth, guess, strict=True))
        right = sum(map(int.__eq__, truth, guess))
        if both and union > both and both * 6 != right * union:
            words = {"truth": _marks(truth), "guess": _marks(guess)}
            return {**words, "_both": both, "_union": union}


def _marks(labels: Sequence[int]) -> str:
    return " ".join("?" if label == 255 else str(label) for label in labels)


def _labels(marks: str) -> list[int]:
    return [255 if mark == "?" else int(mark) for mark in marks.split()]


def _ignored_iou(truth: str, guess: str) -> torch.Tensor:
    prediction, target = (torch.tensor([_labels(marks)]) for marks in (guess, truth))
    return iou(confusion_matrix(prediction, target, num_classes=2))[1]


PROMPTS = (
    Prompt(
        name="03.iou",
        ask="A confusion matrix has the rows {_rows}, one for each true class. What is the IoU of class {k}, "
        "counted from 0?",
        draw=_draw_matrix,
        answer=_class_iou,
        why="Row and column of the class have the sums 10 and {_column}, and {_both} lie in both: "
        "{_both}/(10 + {_column} − {_both}) = {_both}/{_union} = {answer}.",
        wrong={
            "You divided by the row alone. That is the class's accuracy, or recall.": (
                lambda matrix, k: matrix[k][k] / sum(matrix[k])
            ),
            "You divided by the column alone. That is the precision.": (
                lambda matrix, k: matrix[k][k] / sum(row[k] for row in matrix)
            ),
            "That is Dice, which counts what both maps share twice.": (
                lambda matrix, k: dice(torch.tensor(matrix))[k]
            ),
        },
        digits=2,
    ),
    Prompt(
        name="03.dice",
        ask="A predicted mask has {p} pixels, the true one {t}, and they share {s}. What is their Dice "
        "coefficient?",
        draw=_draw_dice,
        answer=_dice,
        why="2 · {s}/({p} + {t}) = {answer}.",
        wrong={
            "That is the IoU. Dice divides twice the shared pixels by the sum of both sizes.": (
                lambda p, t, s: s / (p + t - s)
            ),
            "You divided by the true mask alone: that is recall.": lambda p, t, s: s / t,
            "You forgot the 2: in the sum of both sizes the shared pixels stand twice.": (
                lambda p, t, s: s / (p + t)
            ),
        },
        digits=2,
    ),
    Prompt(
        name="03.missed",
        ask="A data set has {C} classes. Class 1 fills {rare} % of the pixels and class 0 {ground} %. A "
        "network calls all of class 1 class 0 and gets everything else right. What is its mean IoU?",
        draw=_draw_missed,
        answer=lambda C, rare, ground: mean_iou(_missed_matrix(C, rare, ground)),
        why="Class 1 has 0, class 0 has {ground}/({ground} + {rare}) = {ground}/{_sum}, the others have 1, "
        "and each of the {C} counts alike: {answer}.",
        wrong={
            "That is pixel accuracy, in which a class counts by its size.": (
                lambda C, rare, ground: pixel_accuracy(_missed_matrix(C, rare, ground))
            ),
            "Class 0 loses as well: it was given pixels that are not its own.": (
                lambda C, rare, ground: (C - 1) / C
            ),
            "You left class 1 out. It is in the truth, so it counts, with 0.": (
                lambda C, rare, ground: (ground / (ground + rare) + C - 2) / (C - 1)
            ),
        },
        digits=2,
    ),
    Prompt(
        name="03.absent",
        ask="A confusion matrix has the rows {rows}, one for each true class. What is the mean IoU?",
        draw=_draw_absent,
        answer=_mean,
        why="The first three classes have {_parts}. The last one is in neither map and is not counted: the "
        "mean of three is {answer}.",
        wrong={
            "You counted the absent class as 0. Its IoU is 0/0, so it is left out.": (
                lambda rows: _mean(rows) * 3 / 4
            ),
            "You counted the absent class as 1. That rewards a network for what the picture does not have.": (
                lambda rows: (_mean(rows) * 3 + 1) / 4
            ),
            "That is the mean of diagonal / row, the mean accuracy. Wrongly given pixels count, too.": (
                lambda rows: sum(row[k] / sum(row) for k, row in enumerate(_numbers(rows)[:3])) / 3
            ),
        },
        digits=2,
    ),
    Prompt(
        name="03.ap",
        ask="Five detections, surest first, are right or wrong: {_marks}. There are {n} objects to find. "
        "What is average precision by “step”, the sum of precision times the rise of recall?",
        draw=_draw_ranking,
        answer=_ranking_ap,
        why="Recall rises by 1/{n} at each right one, where precision is as follows: ({_at})/{n} = {answer}.",
        wrong={
            "You divided by the objects that were found. Those that never are count, too.": (
                lambda correct, n: _ranking_ap(correct, sum(correct))
            ),
            "That is the precision of the whole list.": lambda correct, n: sum(correct) / len(correct),
            "That is the recall at the end of the list.": lambda correct, n: sum(correct) / n,
        },
        digits=2,
    ),
    Prompt(
        name="03.ignored",
        ask="Eight pixels, where ? is not labelled. The truth is {truth}, the prediction {guess}. What "
        "is the IoU of class 1?",
        draw=_draw_ignored,
        answer=_ignored_iou,
        why="Both pixels with ? are left out. Of the others, {_both} are 1 in both rows and {_union} in at "
        "least one: {_both}/{_union} = {answer}.",
        wrong={
            "You counted the 1 that stands on a pixel without a label. The truth decides what is ignored.": (
                lambda truth, guess: _ignored_iou(truth.replace("?", "0"), guess)
            ),
            "You counted an unlabelled pixel as right.": lambda truth, guess: _ignored_iou(
                " ".join(g if t == "?" else t for t, g in zip(truth.split(), guess.split(), strict=True)),
                guess,
            ),
            "That is the share of the labelled pixels that are right.": (
                lambda truth, guess: sum(map(str.__eq__, truth.split(), guess.split())) / 6
            ),
        },
        digits=2,
    ),
)
