"""Variants of chapter 12: masks last, distances, tables turned, numbers from 1."""

from __future__ import annotations

from segcore.checks.variants.conventions import turned
from segcore.checks.variants.making import Twist, Varied

__all__ = ["VARIED"]

PAIRS = Varied(
    "12.1",
    "Return {what} for each mask of `a` with each mask of `b`. The IoU is the number of pixels that both "
    "have over the "
    "number that either has; of two empty masks it is 0. Masks may be large: thousands of pixels in common "
    "must be "
    "counted right.",
    {
        "a": "`(N, H, W)`, bool: N masks; N may be 0",
        "b": "`(M, H, W)`, bool: M masks of the same size",
    },
    "`(N, M)`, float: row i, column j belongs to mask i of `a` and mask j of `b`",
    (
        Twist(
            "masks-last",
            "the masks of a as the last axis",
            "Which axis of `a` counts its masks here? Those of `b` lie as in the lab.",
            take="a = a.movedim(-1, 0)",
            hand="a = a.movedim(0, -1)",
            given={"a": "`(H, W, N)`, bool: N masks, which the **last** axis counts; N may be 0"},
        ),
        Twist(
            "distance",
            "a distance in place of the IoU",
            "Should two equal masks have 0 or 1 here?",
            give="result = 1 - result",
            back="result = 1 - result",
            says={"what": "the distance **1 − IoU**"},
        ),
        turned(
            "`(M, N)`, float: row j, column i belongs to mask j of `b` and mask i of `a`",
            "a row for each mask of b",
            "What is a row of the table here: a mask of a, or one of b?",
        ),
    ),
    says={"what": "the IoU"},
    keeps=("counted twice", "Dice", "over the smaller", "boxes"),
)

GREEDY = Varied(
    "12.2",
    "Match detections to truths. The **surest detection chooses first**. Of the truths that nobody has "
    "taken it takes "
    "the one with which its IoU is largest, if that is **at least** the threshold; else it takes none. Of "
    "**equal "
    "IoUs** the **last** truth is taken; of equally sure detections the **earlier** one chooses first.",
    {
        "ious": "`(D, G)`, float: IoU of each detection with each truth; D or G may be 0",
        "scores": "`(D,)`, float: how sure each detection is, in any order",
        "threshold": "number: the least IoU",
    },
    "`(D,)`, int64: for detection d, as it came, the number of its truth, or −1",
    (
        Twist(
            "truths-by-detections",
            "a row of IoUs for each truth",
            "What is a row of the IoUs here: a detection, or a truth?",
            take="ious = ious.T",
            hand="ious = ious.T",
            given={"ious": "`(G, D)`, float: IoU of each truth with each detection; D or G may be 0"},
        ),
        Twist(
            "doubt",
            "doubt in place of a score",
            "Which detection is the surest here: the one with the largest number, or the one with the "
            "smallest?",
            take="scores = -scores",
            hand="scores = -scores",
            given={
                "scores": "`(D,)`, float: how **doubtful** each detection is, so the surest has the "
                "smallest number"
            },
        ),
        Twist(
            "truths-from-1",
            "truths from 1, and 0 for none",
            "Which number has the first truth here, and which one says that there is none?",
            give="result = result + 1",
            back="result = result - 1",
            returns="`(D,)`, int64: for detection d, as it came, the number of its truth **from 1 on**, or "
            "**0** for none",
        ),
    ),
    keeps=("in the order given", "taken twice", "only the favourite", "threshold ignored"),
)

VARIED = (PAIRS, GREEDY)
