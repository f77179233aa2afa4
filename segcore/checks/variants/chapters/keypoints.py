"""Variants of chapter 16: keypoints and boxes in other forms, areas as lengths, scatters doubled."""

from __future__ import annotations

from segcore.checks.variants.conventions import boxes, turned
from segcore.checks.variants.making import Twist, Varied

__all__ = ["VARIED"]

MAPS = Varied(
    "16.1",
    "Draw the target map of each keypoint of a box, m × m cells that fill the box. If `sigma` is 0, the map "
    "is 1 in the "
    "cell that holds the keypoint and 0 elsewhere. Else it is a hill: proportional to exp(−d² / "
    "(2·sigma²)), where d is "
    "the distance, in cells, from the keypoint to the centre of each cell. Either way a map has the sum 1. "
    "It is all "
    "zero where the keypoint is not labelled or lies outside of the box; on the box's edge it lies inside, "
    "and on the "
    "far edges it belongs to the last cell.",
    {
        "keypoints": "`(K, 3)`: x, y in pixels of the image, and visibility: 0 is not labelled, 1 and 2 are",
        "box": "`(4,)`: x1, y1, x2, y2 in pixels of the image, with an area",
        "size": "whole number: m",
        "sigma": "number: 0, or the width of the hill in cells",
    },
    "`(K, m, m)`, floating point: a map for each keypoint",
    (
        Twist(
            "yx-keypoints",
            "keypoints as y, x, visibility",
            "Which number of a keypoint is which? Here the row, y, comes first; x says how far to the right.",
            take="keypoints = keypoints[:, [1, 0, 2]]",
            hand="keypoints = keypoints[:, [1, 0, 2]]",
            given={
                "keypoints": "`(K, 3)`: y, x in pixels of the image, and visibility: 0 is not labelled, 1 "
                "and 2 are"
            },
        ),
        boxes("xywh", "box", "(4,)"),
        boxes("yxyx", "box", "(4,)"),
        Twist(
            "maps-last",
            "the maps as the last axis",
            "The maps are right. Which axis of the result counts the keypoints here?",
            give="result = result.movedim(0, -1)",
            back="result = result.movedim(-1, 0)",
            returns="`(m, m, K)`, floating point: the last axis counts the keypoints",
        ),
    ),
    keeps=("occluded left out", "hill at the cell's corner", "largest is one", "one scale for both axes"),
    notes={"the by-hand example": "a keypoint in a cell", "by hand: a hill": "a hill"},
)

SIMILARITY = Varied(
    "16.3",
    "Return the object keypoint similarity of each detection with each truth: the mean, over the keypoints "
    "that are "
    "labelled in the truth, of exp(−d² / (2·A·(2·s)²)), where d is the distance of the keypoint in pixels, "
    "A the area "
    "of the true object in square pixels, and s the scatter of this kind of keypoint. A truth of which "
    "nothing is "
    "labelled gives NaN.",
    {
        "found": "`(N, K, 2)`: x, y of the detections' keypoints",
        "truths": "`(M, K, 3)`: x, y, and visibility: 0 is not labelled, 1 and 2 are",
        "area": "`(M,)`: A of each truth",
        "sigmas": "`(K,)`: s of each kind of keypoint",
    },
    "`(N, M)`: 0 to 1, or NaN; a row for each detection",
    (
        Twist(
            "doubled-scatter",
            "twice the scatter in place of the scatter",
            "What are you given of each kind of keypoint here: its scatter, or twice that?",
            take="sigmas = sigmas / 2",
            hand="sigmas = sigmas * 2",
            given={"sigmas": "`(K,)`: **2·s** of each kind of keypoint"},
        ),
        Twist(
            "side",
            "the root of the area in place of the area",
            "What are you given of each truth here: an area, or a length? It is squared nowhere yet.",
            take="area = area**2",
            hand="area = area.sqrt()",
            given={"area": "`(M,)`: the **root** of A of each truth, in pixels"},
        ),
        Twist(
            "visibility-first",
            "the visibility before x and y",
            "Which of the three numbers of a true keypoint is its visibility here?",
            take="truths = truths[..., [1, 2, 0]]",
            hand="truths = truths[..., [2, 0, 1]]",
            given={"truths": "`(M, K, 3)`: visibility (0 is not labelled, 1 and 2 are), x, y"},
        ),
        turned(
            "`(M, N)`: 0 to 1, or NaN; a row for each truth",
            "a row for each truth",
            "What is a row of the table here: a detection, or a truth?",
        ),
    ),
    keeps=("mean over all", "sum", "exp of the mean", "zero for nothing"),
    notes={"the by-hand example": "one detection, one truth"},
)

VARIED = (MAPS, SIMILARITY)
