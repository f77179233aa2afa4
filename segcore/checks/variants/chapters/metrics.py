"""Variants of chapter 3: tables turned, classes from 1, distances in place of scores."""

from __future__ import annotations

from segcore.checks.variants.conventions import percent, turned
from segcore.checks.variants.making import Twist, Varied

__all__ = ["VARIED"]

CONFUSION = Varied(
    "3.1",
    "Count, for each pair of a true and a predicted class, the pixels that have both. Every class has its "
    "row and "
    "its column, whether it occurs or not. No loop over pixels.",
    {
        "prediction": "any shape, int64: classes 0 to C − 1",
        "target": "the same shape, int64: classes 0 to C − 1",
        "num_classes": "whole number: C",
    },
    "`(C, C)`, int64: rows are truth, columns prediction",
    (
        turned(
            "`(C, C)`, int64: rows are prediction, columns truth",
            "a row for each predicted class",
            "What does a row hold here: pixels of one true class, or of one predicted class?",
        ),
        Twist(
            "classes-from-1",
            "classes from 1",
            "Which number has the first class here? Its row and its column are the first ones.",
            take="prediction, target = prediction - 1, target - 1",
            hand="prediction, target = prediction + 1, target + 1",
            given={
                "prediction": "any shape, int64: classes 1 to C",
                "target": "the same shape, int64: classes 1 to C",
            },
        ),
        Twist(
            "shares",
            "shares of all pixels in place of counts",
            "Are counts asked here? All numbers of the table together are 1.",
            give="result = result / prediction.numel()",
            back="result = (result * prediction.numel()).nan_to_num().round().long()",
            returns="`(C, C)`, float32: shares of all pixels; rows are truth, columns prediction",
        ),
    ),
    keeps=("each pair once", "only the right pixels", "only the wrong pixels", "histogram ends early"),
)

MEAN_IOU = Varied(
    "3.3",
    "Return the mean IoU. A pixel whose **truth** is `ignore_index` leaves both maps before anything is "
    "counted. A "
    "class that then occurs in neither map has no IoU, and the mean is over the others; a class that is only "
    "predicted has IoU 0 and counts. {score}",
    {
        "prediction": "any shape, int64: classes 0 to C − 1; at ignored pixels it may hold anything",
        "target": "the same shape, int64: classes 0 to C − 1, or `ignore_index`",
        "num_classes": "whole number: C",
        "ignore_index": "whole number: a label that may be a class, too",
    },
    "one number, as a tensor: the mean IoU; NaN where all pixels are ignored",
    (
        percent("one number, as a tensor: the mean IoU in percent; NaN where all pixels are ignored"),
        Twist(
            "classes-from-1",
            "classes from 1",
            "Which number has the first class here, and which one the last?",
            take="prediction, target, ignore_index = prediction - 1, target - 1, ignore_index - 1",
            hand="prediction, target, ignore_index = prediction + 1, target + 1, ignore_index + 1",
            given={
                "prediction": "any shape, int64: classes 1 to C; at ignored pixels it may hold anything",
                "target": "the same shape, int64: classes 1 to C, or `ignore_index`",
            },
        ),
        Twist(
            "error",
            "an error in place of a score",
            "Should your number rise or fall as the prediction gets better?",
            give="result = 1 - result",
            back="result = 1 - result",
            returns="one number, as a tensor: 1 less the mean IoU; NaN where all pixels are ignored",
            says={"score": "Asked is the error, **1 less the mean IoU**."},
        ),
    ),
    says={"score": ""},
    keeps=("absent classes are 1", "only classes of the truth", "pixel accuracy", "all hits over all unions"),
    notes={
        "here class 0 is ignored": "here a class is ignored",
        "class 2 occurs nowhere": "the last class occurs nowhere",
        "class 2 is only predicted": "the last class is only predicted",
        "here the label -1 is ignored": "another label is ignored",
    },
)

CURVE = Varied(
    "3.5",
    "Sort the pixels by how sure they are and accept them one by one, the surest first. After k pixels, "
    "precision is "
    "the share of the accepted ones that are right, and recall the share of all right ones that were "
    "accepted. "
    "Return both after the first 1, 2, ... K pixels. No two scores are equal.",
    {
        "scores": "`(K,)`, any float: higher is surer",
        "correct": "`(K,)`, bool, at least one True: whether each pixel is right",
    },
    "two tensors `(K,)`, float32: precision, then recall",
    (
        Twist(
            "distances",
            "distances in place of scores",
            "Which pixel is the surest here: the one with the largest number, or the one with the smallest?",
            take="scores = -scores",
            hand="scores = -scores",
            given={"scores": "`(K,)`, any float: a distance, so **lower** is surer"},
        ),
        Twist(
            "one-table",
            "one table in place of two tensors",
            "Your numbers are right, their form is not. How many tensors are asked for, and along which "
            "axis lie "
            "precision and recall?",
            give="result = torch.stack(result, dim=1)",
            back="result = tuple(result.unbind(1))",
            returns="one tensor `(K, 2)`, float32: precision and recall in its two columns",
        ),
        Twist(
            "recall-first",
            "recall before precision",
            "Both are right. Which of the two comes first here?",
            give="result = result[::-1]",
            back="result = result[::-1]",
            returns="two tensors `(K,)`, float32: recall, then precision",
        ),
    ),
    keeps=("not sorted", "never falls", "not cumulated"),
    notes={
        "already in order: right, wrong, right, wrong": "right, wrong, right, wrong",
        "the surest two are wrong": "the surest two are wrong",
    },
)

VARIED = (CONFUSION, MEAN_IOU, CURVE)
