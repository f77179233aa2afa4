"""Variants of chapter 8: filters turned, overlaps in place of strides."""

from __future__ import annotations

from segcore.checks.variants.making import Twist, Varied

__all__ = ["VARIED"]

PAINT = Varied(
    "8.1",
    "Paint a map: take each value of the input, multiply the filter{turned} by it, put the product down in "
    "the "
    "output, and add up what overlaps. The stroke of the value in row i, column j has its upper left corner "
    "at row "
    "s·i, column s·j, where s is the stride. At the end `padding` rows and columns are **cut off** at each "
    "of the four "
    "borders. Gradients must reach `x` and `weight`.",
    {
        "x": "`(H, W)`: the input",
        "weight": "`(h, w)`: the filter",
        "stride": "whole number, the same down and across",
        "padding": "whole number, 0 where left out; the same down and across",
    },
    "`(H', W')`, with H' = (H − 1)·s + h − 2·padding, and W' likewise",
    (
        Twist(
            "turned-filter",
            "the filter turned by 180 degrees",
            "Look at a single 1 in the input: should it paint the filter as it is given, or turned round?",
            take="weight = weight.flip(0, 1)",
            hand="weight = weight.flip(0, 1)",
            says={"turned": ", **turned by 180 degrees**,"},
        ),
        Twist(
            "columns-by-rows",
            "the filter as (columns, rows)",
            "What does the first axis of the filter count here: rows or columns?",
            take="weight = weight.T",
            hand="weight = weight.T",
            given={"weight": "`(w, h)`: the filter; its first axis counts **columns**, its second one rows"},
        ),
        Twist(
            "with-batch",
            "maps and result with axes for batch and channel",
            "How many axes has what you are given, and how many should the result have?",
            take="x = x[0, 0]",
            hand="x = x[None, None]",
            give="result = result[None, None]",
            back="result = result[0, 0]",
            given={"x": "`(1, 1, H, W)`: the input, one image of one channel"},
            returns="`(1, 1, H', W')`, with H' = (H − 1)·s + h − 2·padding, and W' likewise",
        ),
    ),
    says={"turned": ""},
    keeps=(
        "overwritten instead of added",
        "averaged where strokes overlap",
        "strokes one cell apart",
        "padding forgotten",
    ),
    example=2,
    notes={"a single 1: the filter itself": "a single 1"},
)

OVERLAPS = Varied(
    "8.3",
    "Along one axis lie strokes, each `kernel` cells long; the first one begins at the first cell{step}. "
    "The axis "
    "ends where the last stroke ends. Return for each cell how many strokes reach it{how}.",
    {
        "kernel": "whole number: cells of a stroke",
        "stride": "whole number: a stroke begins so many cells after the one before",
        "size": "whole number: of strokes",
    },
    "`(n,)`, int64, for the n cells of the axis",
    (
        Twist(
            "shared-cells",
            "the cells that two strokes share in place of the stride",
            "What is the second number here: how far apart two strokes begin, or how many cells they share?",
            take="stride = kernel - stride",
            hand="stride = kernel - stride",
            given={
                "stride": "whole number: cells that two neighbouring strokes share; below 0 for a gap "
                "between them (−2 is "
                "a gap of two cells)"
            },
        ),
        Twist(
            "length",
            "the length of the axis in place of the number of strokes",
            "What is the third number here: how many strokes there are, or how many cells the axis has?",
            take="size = (size - kernel) // stride + 1",
            hand="size = (size - 1) * stride + kernel",
            given={"size": "whole number: the cells of the whole axis, which the strokes just fill"},
        ),
        Twist(
            "shares",
            "a share of all strokes",
            "Is a number of strokes asked here? A cell that all strokes reach has 1.",
            give="result = result / size",
            back="result = (result * size).round().long()",
            returns="`(n,)`, float32, for the n cells of the axis: from 0 to 1",
            says={"how": ", as a share of all strokes"},
        ),
    ),
    says={"step": ", and the others follow at one and the same distance", "how": ""},
    keeps=("strokes from outside", "a stroke one cell too long", "a stroke missing"),
    example=1,
    notes={
        "three strokes of 3 cells, 2 apart": "three strokes of 3 cells",
        "four strokes of 4 cells, 2 apart": "four strokes",
    },
)

VARIED = (PAINT, OVERLAPS)
