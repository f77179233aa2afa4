"""Variants of chapter 15: tables turned, numbers from 1, columns in another order."""

from __future__ import annotations

from segcore.checks.variants.conventions import percent, turned
from segcore.checks.variants.making import Twist, Varied

__all__ = ["VARIED"]

TABLE = Varied(
    "15.1",
    "Return the IoU of each predicted segment with each true one: the pixels that lie in both, over the "
    "pixels that "
    "lie in at least one. Segment 0 is a segment like any other. The two maps number their segments in "
    "their own way.",
    {
        "prediction": "`(H, W)`, int64: number of the predicted segment, 0 to P − 1; each occurs",
        "target": "`(H, W)`, int64: number of the true segment, 0 to T − 1; each occurs",
    },
    "`(P, T)`, float: a row for each predicted segment, a column for each true one",
    (
        turned(
            "`(T, P)`, float: a row for each true segment, a column for each predicted one",
            "a row for each true segment",
            "What is a row of the table here: a predicted segment, or a true one?",
        ),
        percent("`(P, T)`, float, in percent: a row for each predicted segment, a column for each true one"),
        Twist(
            "segments-as-masks",
            "the true segments as masks",
            "How is a true segment given here? One mask each: which axis counts them?",
            take="target = target.long().argmax(0)",
            hand="target = F.one_hot(target).movedim(-1, 0).bool()",
            given={"target": "`(T, H, W)`, bool: a mask for each true segment; each pixel lies in just one"},
        ),
    ),
    keeps=("Dice", "of the predicted area", "of the true area", "of the smaller area"),
)

MATCH = Varied(
    "15.2",
    "A predicted and a true segment **match** if they have the same class and their IoU is **above** one "
    "half. Return "
    "for each predicted segment which true one it matches; there is at most one.",
    {
        "iou": "`(P, T)`, float: a row for each predicted segment; P and T are at least 1",
        "classes": "`(P,)`, int64: class of each predicted segment",
        "true_classes": "`(T,)`, int64: class of each true segment",
    },
    "`(P,)`, int64: the number of the true segment, or −1",
    (
        Twist(
            "truths-by-predictions",
            "a row of IoUs for each true segment",
            "What is a row of the IoUs here: a predicted segment, or a true one?",
            take="iou = iou.T",
            hand="iou = iou.T",
            given={"iou": "`(T, P)`, float: a row for each **true** segment; P and T are at least 1"},
        ),
        Twist(
            "truths-from-1",
            "true segments from 1, and 0 for none",
            "Which number has the first true segment here, and which one says that there is none?",
            give="result = result + 1",
            back="result = result - 1",
            returns="`(P,)`, int64: the number of the true segment **from 1 on**, or **0** for none",
        ),
        Twist(
            "percent-of-iou",
            "IoUs in percent",
            "In which unit do the IoUs come here? One half is another number in it.",
            take="iou = iou / 100",
            hand="iou = iou * 100",
            given={
                "iou": "`(P, T)`, float, **in percent**: a row for each predicted segment; P and T are at "
                "least 1"
            },
        ),
    ),
    keeps=(
        "class not looked at",
        "the best of the class, always",
        "below one half",
        "one condition is enough",
    ),
    notes={
        "exactly one half, and a little more": "exactly one half, and a little more than it",
        "one beyond one half": "one above one half",
    },
)

QUALITY = Varied(
    "15.3",
    "Score each class and take the means. With TP matched, FP extra and FN missed segments of a class, "
    "**SQ** is the mean "
    "IoU of its matches, **RQ** is TP / (TP + FP/2 + FN/2), and **PQ** is SQ · RQ. A class with segments "
    "but without a "
    "match has 0 three times; one without any segment has NaN three times. {where} holds the mean of each "
    "column over "
    "the classes that are not NaN, or NaN if there is none.",
    {
        "overlap": "`(C,)`, float32: sum of the IoUs of the matches of each class",
        "matched": "`(C,)`, int64: TP of each class",
        "extra": "`(C,)`, int64: FP of each class",
        "missed": "`(C,)`, int64: FN of each class",
    },
    "`(C + 1, 3)`, float: columns PQ, SQ, RQ",
    (
        Twist(
            "quality-last",
            "the columns as SQ, RQ, PQ",
            "All numbers are there. In which order do the three columns stand here?",
            give="result = result[:, [1, 2, 0]]",
            back="result = result[:, [2, 0, 1]]",
            returns="`(C + 1, 3)`, float: columns **SQ, RQ, PQ**",
        ),
        Twist(
            "means-first",
            "the row of means first",
            "All numbers are there. Where does the row of means stand here?",
            give="result = result.roll(1, 0)",
            back="result = result.roll(-1, 0)",
            says={"where": "The **first** row, before the classes,"},
        ),
        Twist(
            "mean-overlaps",
            "the mean IoU of the matches in place of their sum",
            "What are you given of the matches here: the sum of their IoUs, or their mean already?",
            take="overlap = overlap * matched",
            hand="overlap = (overlap / matched).nan_to_num(0)",
            given={
                "overlap": "`(C,)`, float32: **mean** IoU of the matches of each class; 0 where there is none"
            },
        ),
        percent("`(C + 1, 3)`, float, all in percent: columns PQ, SQ, RQ"),
    ),
    says={"where": "The last row, after the classes,"},
    keeps=("errors not halved", "mean PQ as a product", "absent classes as zero", "PQ as a mean"),
)

VARIED = (TABLE, MATCH, QUALITY)
