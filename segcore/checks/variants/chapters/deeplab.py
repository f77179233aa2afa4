"""Variants of chapter 11: gaps in place of rates, shares in place of counts, layers in another order."""

from __future__ import annotations

from segcore.checks.variants.conventions import width_first
from segcore.checks.variants.making import Twist, Varied

__all__ = ["VARIED"]

WEIGHTS = Varied(
    "11.1",
    "A dilated 3×3 filter has one weight in the middle and eight that stand {far} away from it, along rows, "
    "columns or "
    "both. For each place of a map, count the weights that {which} when the filter's middle is there.",
    {"size": "two whole numbers: height and width of the map", "rate": "whole number, 1 or more: r"},
    "`(height, width)`, int64",
    (
        width_first("the map"),
        Twist(
            "gaps",
            "the zeros between weights in place of the rate",
            "What are you told here: how far the outer weights stand from the middle, or how many cells lie "
            "between?",
            take="rate = rate + 1",
            hand="rate = rate - 1",
            given={"rate": "whole number, 0 or more: cells between two neighbouring weights"},
            says={"far": "some cells"},
        ),
        Twist(
            "lost",
            "the weights that are lost",
            "Which weights are counted here: those that lie on the map, or the others?",
            give="result = 9 - result",
            back="result = 9 - result",
            says={"which": "lie **outside** of the map"},
        ),
        Twist(
            "share",
            "the share of the nine weights",
            "Is a number of weights asked here? A place that keeps them all has 1.",
            give="result = result / 9",
            back="result = (result * 9).round().long()",
            returns="`(height, width)`, float32: as a share of the nine",
        ),
    ),
    says={"far": "r cells", "which": "lie **on** the map"},
    keeps=("rate ignored", "the smaller of the two", "rows alone", "columns alone"),
    notes={
        "3 × 4 cells at rate 1": "3 × 4 cells, the weights side by side",
        "4 × 4 cells at rate 3": "4 × 4 cells, the weights far apart",
        "a rate as large as the map": "the weights farther apart than the map is wide",
        "7 × 5 cells at rate 2": "7 × 5 cells, one cell between the weights",
    },
)

COST = Varied(
    "11.3",
    "Count {what} of a network: {unit} for each weight of each filter at each place of the map that comes "
    "out. A layer "
    "keeps its stride if the stride reached so far, this layer's included, is not above the one that is "
    "wanted; else "
    "it moves by 1. A layer that moves by s turns n cells into n / s, **rounded up**.",
    {
        "layers": "list of (channels in, channels out, kernel, stride), in order; there may be none",
        "size": "two whole numbers: height and width of the image",
        "output_stride": "whole number: the stride that is wanted",
    },
    "whole number, for one image",
    (
        Twist(
            "kernel-first",
            "layers as (kernel, stride, channels in, channels out)",
            "In which order do the four numbers of a layer come here?",
            take="layers = [(inputs, outputs, kernel, stride) for kernel, stride, inputs, outputs in layers]",
            hand="layers = [(kernel, stride, inputs, outputs) for inputs, outputs, kernel, stride in layers]",
            given={
                "layers": "list of (kernel, stride, channels in, channels out), in order; there may be none"
            },
        ),
        Twist(
            "operations",
            "multiplications and additions, each as one",
            "How many operations is one multiply-add here?",
            give="result = 2 * result",
            back="result = result // 2",
            says={
                "what": "the operations",
                "unit": "one multiplication and one addition, which are **two** operations,",
            },
        ),
    ),
    says={"what": "the multiply-adds", "unit": "one"},
    keeps=("all strides kept", "kernel not squared", "map before the layer", "only the last layer"),
    notes={"5 × 3 pixels: a map of 3 × 2": "5 rows of 3 pixels: a map of 3 rows of 2"},
)

VARIED = (WEIGHTS, COST)
