"""Variants of chapter 14: boxes, sizes and masks in other forms."""

from __future__ import annotations

from segcore.checks.variants.conventions import boxes, width_first
from segcore.checks.variants.making import Twist, Varied

__all__ = ["VARIED"]

TARGET = Varied(
    "14.1",
    "Cut a true mask out along a box and bring it to M × M cells, as RoIAlign reads a map: two samples a "
    "side in each "
    "cell, pixel centres at .5, bilinear reading between them; each cell holds the mean of its four "
    "samples. The box "
    "lies inside of the image. `segcore.roi_align.roi_align` may be used.",
    {
        "mask": "`(H, W)`, bool: the object's pixels",
        "box": "`(4,)`, float32: x1, y1, x2, y2 in pixels of the image",
        "size": "whole number: M",
    },
    "`(M, M)`: from 0 to 1, not rounded",
    (
        boxes("yxyx", "box", "(4,)"),
        boxes("xywh", "box", "(4,)"),
        boxes("centre-size", "box", "(4,)"),
        Twist(
            "from-minus-1",
            "targets from −1 to 1",
            "In which range are the targets asked? Background and object are the two ends of it.",
            give="result = 2 * result - 1",
            back="result = (result + 1) / 2",
            returns="`(M, M)`: from −1, no object, to 1, all object, not rounded; a half becomes 0",
        ),
        Twist(
            "background",
            "the background marked in the mask",
            "What does True mean in the mask that you are given?",
            take="mask = ~mask",
            hand="mask = ~mask",
            given={"mask": "`(H, W)`, bool: True where the object is **not**; the result marks the object"},
        ),
    ),
    keeps=("already decided", "one sample", "the whole image", "box rounded"),
    notes={"the by-hand example": "a box over the outline"},
)

PASTE = Varied(
    "14.3",
    "Paste soft masks into images, each into its own box and onto an image of its own. A mask's cells fill "
    "its box, "
    "and outside of its cells the mask is **zero**: bilinear interpolation goes over to zero from the "
    "outermost cell's "
    "centre, half a cell inside of the box, to half a cell outside. So cell j has the weight max(0, 1 − |u "
    "− j|) "
    "along x for a pixel whose centre lies the share t through the box, with u = t · (columns of the mask) "
    "− 1/2, and "
    "likewise along y; the weight is the product of both. The centre of the first pixel lies at (0.5, 0.5).",
    {
        "masks": "`(N, h, w)`: soft masks",
        "boxes": "`(N, 4)`: x1, y1, x2, y2 in pixels, each with an area; they may reach over the image's "
        "edges",
        "size": "two whole numbers: height and width of the image",
    },
    "`(N, H, W)`: soft, not thresholded",
    (
        boxes("yxyx", "boxes", "(N, 4)"),
        boxes("xywh", "boxes", "(N, 4)"),
        boxes("xxyy", "boxes", "(N, 4)"),
        width_first("the image"),
        Twist(
            "masks-last",
            "the masks as the last axis",
            "Which axis of what you are given counts the masks here?",
            take="masks = masks.movedim(-1, 0)",
            hand="masks = masks.movedim(0, -1)",
            given={"masks": "`(h, w, N)`: soft masks, which the **last** axis counts"},
        ),
    ),
    keeps=("cut at the box", "nearest cell", "corners aligned", "boxes rounded"),
    notes={"the by-hand row": "a mask of one row"},
)

VARIED = (TARGET, PASTE)
