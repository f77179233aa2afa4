"""Variants of chapter 13: boxes, points and maps in other forms, the grid counted from another place."""

from __future__ import annotations

from segcore.checks.variants.conventions import boxes, channels_last, points_yx, width_first
from segcore.checks.variants.making import Twist, Varied

__all__ = ["VARIED"]

QUANTIZATION = Varied(
    "13.1",
    "RoIPool brings each box to a map of which one cell is {stride}: it **rounds** the four numbers of its "
    "two "
    "corners to whole cells. Halves go **away from zero**: 2.5 becomes 3, −0.5 becomes −1. The cell of the "
    "far "
    "corner **belongs to the region**, so the region ends where the next cell begins. If the far corner was "
    "rounded to before the near one, along one axis, it takes the near one's cell there. Return how far each "
    "edge has moved, {error}: where the region ends up, minus where the box was.",
    {
        "boxes": "`(K, 4)`: x1, y1, x2, y2 in pixels of the image",
        "spatial_scale": "number: cells for each pixel",
    },
    "`(K, 4)`: the error of x1, y1, x2, y2, in this order; positive means moved to the right or down",
    (
        boxes("yxyx", "boxes", "(K, 4)"),
        boxes("xywh", "boxes", "(K, 4)"),
        Twist(
            "by-stride",
            "the stride in place of its reciprocal",
            "How many pixels is one cell here? The number that you are given is no longer a fraction.",
            take="spatial_scale = 1 / spatial_scale",
            hand="spatial_scale = 1 / spatial_scale",
            given={"spatial_scale": "number: pixels for each cell, the stride"},
        ),
        Twist(
            "in-cells",
            "the error in cells",
            "In which unit is the error asked? One cell is many pixels wide.",
            give="result = result * spatial_scale",
            back="result = result / spatial_scale",
            says={"error": "**in cells of the map**"},
        ),
    ),
    says={"stride": "many pixels wide", "error": "**in pixels of the image**"},
    keeps=(
        "floor",
        "ceil",
        "inclusive cell forgotten",
        "absolute value",
        "half up",
        "cut off at the map's edge",
    ),
    example=1,
)

SAMPLE = Varied(
    "13.2",
    "Read the map between its cells. The value of a cell belongs to its centre; {centre}. A point between "
    "four "
    "centres mixes the four values: along each axis the nearer a centre, the more it counts, 1 − the "
    "distance "
    "in cells, and the weight of a cell is the product of its two. A point up to **one cell** outside of the "
    "outermost centres (just one cell included) is read as if it were moved to the nearest outermost centre, "
    "along each axis by itself. A point farther out along either axis is **zero**.",
    {"feature": "`(C, H, W)`: the map", "points": "`(P, 2)`: x, y, in cells"},
    "`(C, P)`: the map read at each point",
    (
        points_yx("points", "(P, 2)"),
        channels_last({"feature": "`(H, W, C)`: the map, channels last"}),
        Twist(
            "centre-at-0",
            "the centre of the first cell at (0, 0)",
            "Where does the centre of the first cell lie here? Then how much must a coordinate lose to "
            "become an "
            "index?",
            take="points = points + 0.5",
            hand="points = points - 0.5",
            says={"centre": "the centre of the first cell is the point (0, 0)"},
        ),
        Twist(
            "points-first",
            "the result with a row for each point",
            "The numbers are right. What is a row of the result here: a channel, or a point?",
            give="result = result.T",
            back="result = result.T",
            returns="`(P, C)`: a row for each point",
        ),
    ),
    says={"centre": "the centre of the first cell is the point (0.5, 0.5)"},
    keeps=(
        "nearest neighbour",
        "weights exchanged",
        "fades at the border",
        "zero just outside",
        "weights added",
    ),
    example=2,
)

PASTE = Varied(
    "13.5",
    "Put a soft mask back into the image. The cells of the mask fill the box. For every pixel **centre** of "
    "the image "
    "find where it lies in the box, from 0 to 1 along each axis; times the number of the mask's cells that "
    "is a place "
    "in the mask, whose first cell has its centre at 0.5; read the mask there, bilinearly. Nearer to the "
    "box's edge "
    "than the outermost centres, the outermost cell's value goes on. Pixels whose centre lies outside of "
    "the box are "
    "zero. The centre of the first pixel lies at (0.5, 0.5).",
    {
        "soft": "`(h, w)`: the soft mask",
        "box": "`(4,)`: x1, y1, x2, y2 in pixels of the image",
        "size": "two whole numbers: height and width of the image",
    },
    "`(H, W)`: soft, not thresholded",
    (
        boxes("yxyx", "box", "(4,)"),
        boxes("xywh", "box", "(4,)"),
        boxes("centre-size", "box", "(4,)"),
        width_first("the image"),
        Twist(
            "of-255",
            "the mask counted to 255, the result to 1",
            "In which range does the mask come, and in which one is the result asked?",
            take="soft = soft / 255",
            hand="soft = soft * 255",
            given={"soft": "`(h, w)`: the soft mask, where 255 stands for 1; the result counts to 1"},
        ),
    ),
    keeps=("nearest neighbour", "nothing is outside", "corners aligned", "box rounded"),
    example=1,
)

VARIED = (QUANTIZATION, SAMPLE, PASTE)
