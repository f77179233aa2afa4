"""Variants of chapter 4: weights in the orders of other frameworks, windows as other boxes."""

from __future__ import annotations

from segcore.checks.variants.conventions import boxes
from segcore.checks.variants.making import Twist, Varied

__all__ = ["VARIED"]

KERNEL = Varied(
    "4.1",
    "A linear layer on a flattened map does what a convolution with a kernel as large as the map does. "
    "Return the "
    "weights of the linear layer in the shape of that kernel. The map was flattened {order}.",
    {
        "weight": "`(K, C·H·W)`: a row for each output",
        "shape": "three numbers `(C, H, W)`: the shape of the map",
    },
    "`(K, C, H, W)`: outputs, channels, rows, columns",
    (
        Twist(
            "shape-rows-first",
            "the shape as (H, W, C)",
            "Which of the three numbers of the shape is the number of channels here?",
            take="shape = (shape[2], shape[0], shape[1])",
            hand="shape = (shape[1], shape[2], shape[0])",
            given={"shape": "three numbers `(H, W, C)`: rows, columns and channels of the map"},
        ),
        Twist(
            "inputs-by-outputs",
            "the matrix with a column for each output",
            "Which axis of the matrix counts the outputs here?",
            take="weight = weight.T",
            hand="weight = weight.T",
            given={"weight": "`(C·H·W, K)`: a column for each output"},
        ),
        Twist(
            "channels-run-fastest",
            "a map flattened with the channel running fastest",
            "In which order was the map flattened here? Which of channel, row and column changes from one "
            "weight to "
            "the next?",
            take="weight = weight.reshape(len(weight), *shape[1:], shape[0]).movedim(-1, 1).flatten(1)",
            hand="weight = weight.reshape(len(weight), *shape).movedim(1, -1).flatten(1)",
            says={
                "order": "pixel by pixel, row by row and each row from left to right; the C channels of a "
                "pixel stand "
                "together"
            },
        ),
        Twist(
            "kernel-axes-last",
            "the kernel as (rows, columns, channels, outputs)",
            "The numbers are right. In which order do the four axes of the kernel stand here?",
            give="result = result.permute(2, 3, 1, 0)",
            back="result = result.permute(3, 2, 0, 1)",
            returns="`(H, W, C, K)`: rows, columns, channels, outputs",
        ),
    ),
    says={"order": "channel by channel, each channel row by row, each row from left to right"},
    keeps=("flipped",),
    example=1,
)

WINDOWS = Varied(
    "4.4",
    "A classifier was run on all windows of an image, and its map holds one unit for each window. The first "
    "window "
    "begins in the image's corner, at pixel 0; from one unit to the next the window moves by the stride. "
    "Return a "
    "box for each unit whose margin is **above** the threshold: the whole window that it looks at. {order}",
    {
        "margin": "`(h, w)`: score of each unit",
        "window": "whole number: side of a window, in pixels",
        "stride": "whole number, in pixels",
        "threshold": "number",
    },
    "`(M, 4)`, float32: x1, y1, x2, y2 in pixels; `(0, 4)` if no unit is above",
    (
        boxes("yxyx", result="`(M, 4)`, float32: {} in pixels; `(0, 4)` if no unit is above"),
        boxes("xywh", result="`(M, 4)`, float32: {} in pixels; `(0, 4)` if no unit is above"),
        boxes("centre-size", result="`(M, 4)`, float32: {} in pixels; `(0, 4)` if no unit is above"),
        Twist(
            "weakest-first",
            "the smallest margin first",
            "The boxes are right. Which of them comes first here?",
            give="result = result.flip(0)",
            back="result = result.flip(0)",
            says={"order": "The box with the **smallest** of these margins comes first."},
        ),
    ),
    says={"order": "The box with the largest margin comes first."},
    keeps=("stride forgotten", "steps of a window", "all windows", "zero written in"),
    notes={"higher than wide; windows side by side": "windows side by side"},
)

VARIED = (KERNEL, WINDOWS)
