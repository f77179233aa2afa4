"""Variants of chapter 7: maps with channels last, sizes as width and height, filters in other layouts."""

from __future__ import annotations

from segcore.checks.variants.conventions import width_first
from segcore.checks.variants.making import Twist, Varied

__all__ = ["VARIED"]

COLUMNS = Varied(
    "7.1",
    "Bring several maps to the size of the image, bilinearly, with **areas** aligned "
    "(`align_corners=False`), and "
    "stack them along the axis of channels. The values stay as they are otherwise. The gradient must reach "
    "the maps.",
    {
        "features": "list of maps `(N, C_k, h_k, w_k)`",
        "size": "two whole numbers: height and width of the image",
    },
    "`(N, sum of C_k, H, W)`: the first map's channels first",
    (
        width_first("the image"),
        Twist(
            "channels-last-stack",
            "the result with channels last",
            "The numbers are right. Which axis of the result holds the channels here?",
            give="result = result.movedim(1, -1)",
            back="result = result.movedim(-1, 1)",
            returns="`(N, H, W, sum of C_k)`: channels last; the first map's channels first",
        ),
        Twist(
            "last-map-first",
            "the last map's channels first",
            "Each map is right. Whose channels come first in the stack here?",
            take="features = list(features)[::-1]",
            hand="features = list(features)[::-1]",
            returns="`(N, sum of C_k, H, W)`: the **last** map's channels first, then those of the one "
            "before it",
        ),
        Twist(
            "channels-last-maps",
            "the maps with channels last",
            "Which axis of the maps that you are given holds their channels? F.interpolate wants them "
            "before rows "
            "and columns.",
            take="features = [each.movedim(-1, 1) for each in features]",
            hand="features = [each.movedim(1, -1) for each in features]",
            given={"features": "list of maps `(N, h_k, w_k, C_k)`: channels last"},
        ),
    ),
    keeps=("corners aligned", "nearest neighbour"),
)

FILTER = Varied(
    "7.3",
    "Return the weight of an up-convolution that begins as bilinear interpolation. At an even factor f a "
    "filter has "
    "2f cells along each axis. Along an axis the weight of a cell falls linearly with its distance d from "
    "the "
    "filter's centre, 1 − d / f, and the weight of a cell is that down times that across{scale}. Each class "
    "leads "
    "**to itself** alone.",
    {"classes": "whole number", "factor": "even whole number: f"},
    "`(classes, classes, 2f, 2f)`, float32: from class, to class, rows, columns",
    (
        Twist(
            "filter-axes-first",
            "the axes of the filter first",
            "The numbers are right. In which order do the four axes stand here?",
            give="result = result.permute(2, 3, 0, 1)",
            back="result = result.permute(2, 3, 0, 1)",
            returns="`(2f, 2f, classes, classes)`, float32: rows, columns, from class, to class",
        ),
        Twist(
            "by-cells",
            "the filter's cells in place of the factor",
            "What is the second number here: the factor, or the cells of the filter along an axis?",
            take="factor = factor // 2",
            hand="factor = 2 * factor",
            given={"factor": "whole number: the cells of the filter along each axis, which are 2f"},
        ),
        Twist(
            "one-filter-a-class",
            "one filter for each class, as for groups",
            "With one group for each class a filter has nothing to say to other classes. How long is the "
            "second axis "
            "then?",
            give="result = torch.stack([result[each, each] for each in range(classes)])[:, None]",
            back="result = torch.eye(classes)[:, :, None, None] * result",
            returns="`(classes, 1, 2f, 2f)`, float32: the weight for `groups=classes`, in which each class "
            "is a group "
            "of its own",
        ),
        Twist(
            "sum-of-one",
            "each class's filter with the sum 1",
            "The shape of your filter is right, its size is not. What is the sum of its cells, and what is "
            "asked?",
            give="result = result / factor**2",
            back="result = result * factor**2",
            says={"scale": ", divided by one number so that the cells of a class's filter add up to **1**"},
        ),
    ),
    says={"scale": ""},
    keeps=("centre on a cell", "a cone", "tents added", "a box"),
)

VARIED = (COLUMNS, FILTER)
