"""Prompts of chapter 13: where a box lies on a feature map, and what is read there."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import torch

from segcore.prompts import Prompt
from segcore.roi_align import bilinear_sample, roi_align, roi_pool

__all__ = ["PROMPTS"]

CELLS = 32  # width of the maps that are read; every number drawn below stays inside


def _read(row: Sequence[float], x: float) -> float:
    """What bilinear interpolation reads of a map of one row."""
    feature = torch.tensor([[list(row)]], dtype=torch.float32)
    return bilinear_sample(feature, torch.tensor([[x, 0.5]]))[0, 0].item()


def _draw_index(rng: random.Random) -> dict[str, object]:
    stride = rng.choice([4, 8, 16])
    cell, quarter = rng.randint(2, 9), rng.choice([0, 1, 3])
    return {"x": stride * cell + stride * quarter // 4, "stride": stride, "_cells": cell + quarter / 4}


def _index(x: int, stride: int) -> float:
    return _read([float(index) for index in range(CELLS)], x / stride)


def _draw_pooled(rng: random.Random) -> dict[str, object]:
    """A box whose edges both have to be rounded, neither half-way between two cells."""
    stride = rng.choice([8, 16])
    offsets = [stride * eighths // 8 for eighths in (1, 2, 3, 5, 6, 7)]
    first, last = rng.randint(1, 5), rng.randint(7, 12)
    x1, x2 = stride * first + rng.choice(offsets), stride * last + rng.choice(offsets)
    return {"x1": x1, "x2": x2, "stride": stride, "_left": x1 / stride, "_right": x2 / stride}


def _pooled_cells(x1: int, x2: int, stride: int) -> tuple[int, int]:
    """First and last cell: RoIPool's largest index over the whole box, and its largest negative index."""
    ramp = torch.arange(float(CELLS)).expand(1, 1, CELLS, CELLS)
    box = torch.tensor([[x1, x1, x2, x2]], dtype=torch.float32)
    first, last = (roi_pool(sign * ramp, [box], 1, 1 / stride).abs().item() for sign in (-1, 1))
    return int(first), int(last)


def _draw_between(rng: random.Random) -> dict[str, object]:
    row = [4 * rng.randint(0, 9) for _ in range(4)]
    while len(set(row)) < 4:
        row = [4 * rng.randint(0, 9) for _ in range(4)]
    column, part = rng.randint(0, 2), rng.choice([0.25, 0.75])
    share = f"{1 - part} · {row[column]} + {part} · {row[column + 1]}"
    return {"row": tuple(row), "x": column + 0.5 + part, "_index": column + part, "_share": share}


def _draw_ramp(rng: random.Random) -> dict[str, object]:
    x1, bins = rng.choice([1.0, 1.5, 2.0, 2.5]), rng.choice([2, 3])
    width = rng.choice([2.0, 4.0])
    centres = tuple(x1 + width * (i + 0.5) for i in range(bins))
    return {"x1": x1, "x2": x1 + width * bins, "bins": bins, "step": rng.choice([2, 10]), "_centres": centres}


def _pooled_ramp(x1: float, x2: float, bins: int, step: int, aligned: bool = True) -> tuple[float, ...]:
    ramp = step * torch.arange(float(CELLS)).expand(1, 1, 4, CELLS)
    pooled = roi_align(ramp, [torch.tensor([[x1, 0.0, x2, 4.0]])], (1, bins), aligned=aligned)
    return tuple(round(value, 4) for value in pooled.flatten().tolist())


PROMPTS = (
    Prompt(
        name="13.index",
        ask="A point lies at $x = {x}$ in the image, the stride is {stride}. At which index position of the "
        "feature map does bilinear interpolation read, where whole numbers are the centres of cells?",
        draw=_draw_index,
        answer=_index,
        why="In cells the point is at ${x} / {stride} = {_cells}$. The centre of column 0 is at ½ and has "
        "index 0, so half a cell goes off: {answer}.",
        wrong={
            "You left out the half: that is the coordinate in cells, and the centre of column 0 lies at "
            "½.": lambda x, stride: x / stride,
            "Half a cell goes off, not on: column 0 begins at 0 and its centre comes after that.": (
                lambda x, stride: x / stride + 0.5
            ),
            "You took half a pixel of the image off. The half belongs to the map: half a cell.": (
                lambda x, stride: (x - 0.5) / stride
            ),
        },
        digits=2,
    ),
    Prompt(
        name="13.roipool-cells",
        ask="A box runs from $x_1 = {x1}$ to $x_2 = {x2}$ in the image, the stride is {stride}. Which cells "
        "along x does RoIPool take? The first and the last, both included.",
        draw=_draw_pooled,
        answer=_pooled_cells,
        why="The edges lie at {_left} and {_right} in cells. RoIPool rounds each to the nearest whole "
        "number, and the cell of the right edge still belongs to the region: {answer}.",
        wrong={
            "You rounded down. RoIPool rounds each edge to the nearest whole number.": (
                lambda x1, x2, stride: (x1 // stride, x2 // stride)
            ),
            "Both edges are rounded to the nearest: the left one is not pushed down and the right one is not "
            "pushed up.": lambda x1, x2, stride: (x1 // stride, math.ceil(x2 / stride)),
            "The cell of the right edge belongs to the region too.": (
                lambda x1, x2, stride: (round(x1 / stride), round(x2 / stride) - 1)
            ),
        },
    ),
    Prompt(
        name="13.between",
        ask="A row of a feature map holds {row}. What does bilinear interpolation read at "
        "$x = {x}$ in cells?",
        draw=_draw_between,
        answer=lambda row, x: _read(row, x),
        why="The index position is ${x} - 0.5 = {_index}$, so two columns share: {_share} = {answer}.",
        wrong={
            "You took the coordinate for an index. Half a cell goes off first.": (
                lambda row, x: _read(row, x + 0.5)
            ),
            "The right columns with their weights swapped: the nearer centre gets the larger share.": (
                lambda row, x: _read(row, 2 * math.floor(x - 0.5) + 2 - x)
            ),
            "That is the cell in which the point lies. Bilinear interpolation mixes it with its neighbour.": (
                lambda row, x: row[int(x)]
            ),
        },
    ),
    Prompt(
        name="13.bins",
        ask="In every row of a feature map, column $i$ holds ${step} i$. A box runs from $x_1 = {x1}$ to "
        "$x_2 = {x2}$ in cells and RoIAlign cuts it into {bins} bins along x. What comes out, bin by bin?",
        draw=_draw_ramp,
        answer=_pooled_ramp,
        why="On a ramp the mean of a bin is the value at its centre. The centres lie at {_centres} in cells; "
        "half a cell off, times {step}: {answer}.",
        wrong={
            "You read the ramp at the coordinate. Column $i$ has its value at $i + 0.5$, so half a cell goes "
            "off: this is what `aligned=False` gives.": (
                lambda x1, x2, bins, step: _pooled_ramp(x1, x2, bins, step, aligned=False)
            ),
            "Those are the left edges of the bins. A bin is read around its centre.": (
                lambda x1, x2, bins, step: tuple(
                    step * (x1 + (x2 - x1) / bins * i - 0.5) for i in range(bins)
                )
            ),
        },
        digits=1,
    ),
)
