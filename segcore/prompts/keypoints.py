"""Prompts of chapter 16: from a point to a cell and back, and how far off counts."""

from __future__ import annotations

import random

import torch

from segcore.keypoints import decode_keypoints, keypoint_loss, keypoint_targets, oks
from segcore.prompts import Prompt

__all__ = ["PROMPTS"]


def _box(x1: float, y1: float, width: float) -> torch.Tensor:
    return torch.tensor([[x1, y1, x1 + width, y1 + width]], dtype=torch.float64)


def _draw_cell(rng: random.Random) -> dict[str, object]:
    """A point inside a cell, in another row than column."""
    while True:
        m, size = rng.choice([4, 7, 8, 14]), rng.choice([2, 4, 5])
        x1, y1 = rng.randint(3, 20), rng.randint(3, 20)
        x, y = x1 + rng.randint(1, m * size - 1), y1 + rng.randint(1, m * size - 1)
        u, v = (x - x1) / size, (y - y1) / size
        if u % 1 and v % 1 and int(u) != int(v):
            box = {"x1": x1, "y1": y1, "width": m * size, "m": m, "_x2": x1 + m * size, "_y2": y1 + m * size}
            return {**box, "x": x, "y": y, "_u": u, "_v": v, "_size": size}


def _cell(x1: int, y1: int, width: int, m: int, x: float, y: float) -> tuple[int, int]:
    point = torch.tensor([[[x, y, 2.0]]], dtype=torch.float64)
    row, column = divmod(int(keypoint_targets(point, _box(x1, y1, width), m)), m)
    return row, column


def _draw_decoded(rng: random.Random) -> dict[str, object]:
    m, size = rng.choice([7, 8, 14]), rng.choice([2, 3, 4, 8])
    column = rng.randint(1, m - 1)
    return {"x1": rng.randint(2, 30), "size": size, "m": m, "column": column, "_width": m * size}


def _decoded(x1: int, size: int, m: int, column: int) -> float:
    maps = torch.zeros(1, 1, m, m, dtype=torch.float64)
    maps[0, 0, 1, column] = 5.0
    return round(decode_keypoints(maps, _box(x1, 0, m * size), "cell")[0, 0, 0].item(), 4)


def _draw_parabola(rng: random.Random) -> dict[str, object]:
    """Three logits whose parabola has a kind top, beside the middle one."""
    while True:
        a, b, c = rng.randint(0, 6), rng.randint(4, 10), rng.randint(0, 6)
        bend = 2 * b - a - c
        if a < b > c and a != c and bend in (4, 5, 8, 10) and 2 * abs(c - a) != bend:
            return {"a": a, "b": b, "c": c, "_up": c - a, "_bend": bend}


def _top(a: float, b: float, c: float) -> float:
    """Cells from the middle of three to the top, told by a row of a map that is three cells wide."""
    maps = torch.full((1, 1, 3, 3), -20.0, dtype=torch.float64)
    maps[0, 0, 1] = torch.tensor([a, b, c])
    return round(decode_keypoints(maps, _box(0, 0, 3))[0, 0, 0].item() - 1.5, 6)


def _draw_oks(rng: random.Random) -> dict[str, object]:
    """A distance, an area and a σ, whose exponent is kind."""
    while True:
        sigma, side = rng.choice([0.025, 0.05, 0.1]), rng.choice([10, 20, 40, 80, 100])
        d = rng.randint(2, 12)
        exponent = (d / (2 * sigma * side)) ** 2 / 2
        if 0.04 <= exponent <= 10 and round(100 * exponent, 6) % 1 == 0:
            return {"d": d, "A": side**2, "sigma": sigma, "_double": 2 * sigma}


def _exponent(d: float, A: float, sigma: float) -> float:
    here, there = torch.zeros(1, 1, 2).double(), torch.tensor([[[d, 0.0, 2.0]]]).double()
    found = oks(here, there, torch.tensor([A]).double(), [sigma])[0, 0]
    return round(-found.log().item(), 6)


def _draw_farthest(rng: random.Random) -> dict[str, object]:
    m, size = rng.choice([7, 8, 10, 14, 28]), rng.choice([2, 3, 4, 5, 6])
    return {"width": m * size, "m": m, "_size": size}


def _farthest(width: int, m: int) -> float:
    """How far a point on the left edge of a cell is from where its cell is decoded."""
    x = width / m * 2
    point = torch.tensor([[[x, x, 2.0]]], dtype=torch.float64)
    maps = torch.zeros(1, 1, m, m, dtype=torch.float64)
    maps.view(-1)[int(keypoint_targets(point, _box(0, 0, width), m))] = 5.0
    return abs(decode_keypoints(maps, _box(0, 0, width), "cell")[0, 0, 0].item() - x)


def _draw_loss(rng: random.Random) -> dict[str, object]:
    return {"K": rng.choice([5, 8, 17]), "m": rng.choice([4, 5, 6, 7, 8, 9, 10, 12, 14, 20])}


def _loss(K: int, m: int) -> int:
    logits = torch.zeros(1, K, m, m, dtype=torch.float64)
    return round(keypoint_loss(logits, torch.zeros(1, K, dtype=torch.long)).exp().item())


PROMPTS = (
    Prompt(
        name="16.cell",
        ask="A box runs from ({x1}, {y1}) to ({_x2}, {_y2}), its map has {m} × {m} cells. In which cell "
        "lies a keypoint at x = {x}, y = {y}? Row and column, counted from 0.",
        draw=_draw_cell,
        answer=_cell,
        why="A cell is {_size} pixels wide: down ({y} − {y1})/{_size} = {_v}, across ({x} − {x1})/{_size} "
        "= {_u}. Whole cells count: {answer}.",
        wrong={
            "Rows go with y and columns with x.": (
                lambda x1, y1, width, m, x, y: _cell(x1, y1, width, m, x, y)[::-1]
            ),
            "You forgot where the box begins.": (
                lambda x1, y1, width, m, x, y: (y * m // width, x * m // width)
            ),
            "You rounded to the nearest number. A point lies in the cell that holds it.": (
                lambda x1, y1, width, m, x, y: (
                    int((y - y1) * m / width + 0.5),
                    int((x - x1) * m / width + 0.5),
                )
            ),
        },
    ),
    Prompt(
        name="16.decoded",
        ask="A box is {_width} pixels wide, begins at x = {x1}, and its map has {m} columns. Column "
        "{column}, counted from 0, holds the largest cell. Which x does decoding by the cell say?",
        draw=_draw_decoded,
        answer=_decoded,
        why="The cell's centre: {x1} + ({column} + 0.5) · {size} = {answer}.",
        wrong={
            "That is the cell's left edge. Its centre is half a cell further.": (
                lambda x1, size, m, column: x1 + column * size
            ),
            "You added half a pixel. The half belongs to the cell.": (
                lambda x1, size, m, column: x1 + column * size + 0.5
            ),
            "You forgot where the box begins.": lambda x1, size, m, column: (column + 0.5) * size,
        },
        unit="px",
        digits=1,
    ),
    Prompt(
        name="16.parabola",
        ask="The largest logit of a row is {b}; its left neighbour has {a}, its right one {c}. How many "
        "cells to the right of the middle of its cell lies the top of the parabola?",
        draw=_draw_parabola,
        answer=_top,
        why="(a − c)/(2 (a − 2b + c)) = ({c} − {a})/(2 · (2 · {b} − {a} − {c})) = {_up}/(2 · {_bend}) = "
        "{answer}.",
        wrong={
            "It leans to the larger neighbour, so the sign is the other one.": lambda a, b, c: -_top(a, b, c),
            "You forgot the 2 below the line.": lambda a, b, c: 2 * _top(a, b, c),
            "That is the older rule: a quarter of a cell to the larger neighbour.": (
                lambda a, b, c: 0.25 if c > a else -0.25
            ),
        },
        digits=2,
    ),
    Prompt(
        name="16.oks",
        ask="A keypoint is {d} pixels off; the object's area is {A} pixels and σ = {sigma}. Its part in "
        "OKS is $e^{-x}$; what is $x$?",
        draw=_draw_oks,
        answer=_exponent,
        why="Both σ and the exponent have a 2: {d}²/(2 · {A} · {_double}²) = {answer}.",
        wrong={
            "You took σ for 2σ.": lambda d, A, sigma: 4 * _exponent(d, A, sigma),
            "You forgot the 2 before the area.": lambda d, A, sigma: 2 * _exponent(d, A, sigma),
            "You forgot to square the distance.": lambda d, A, sigma: d / (2 * A * (2 * sigma) ** 2),
        },
        digits=2,
    ),
    Prompt(
        name="16.farthest",
        ask="A box is {width} pixels wide, its map has {m} columns, and the network makes no mistake. How "
        "far off can decoding by the cell be along x, at most?",
        draw=_draw_farthest,
        answer=_farthest,
        why="A cell is {width}/{m} = {_size} pixels wide, and its centre is said for all of it: {_size}/2 "
        "= {answer}.",
        wrong={
            "That is a whole cell. The centre is never farther than half of it.": lambda width, m: width / m,
            "Half a pixel holds for a map as fine as the image.": (lambda width, m: 0.5),
        },
        unit="px",
        digits=1,
    ),
    Prompt(
        name="16.loss",
        ask="A network that knows nothing gives all cells of its {K} maps of {m} × {m} the same logit. Its "
        "keypoint loss is the natural logarithm of which number?",
        draw=_draw_loss,
        answer=_loss,
        why="In each map every cell has the share 1/{m}², so the loss is ln {m}²: {answer}.",
        wrong={
            "Maps do not compete: each has a softmax of its own.": lambda K, m: K * m * m,
            "You counted along one axis.": lambda K, m: m,
            "That would be two outcomes for each cell, as with sigmoids. Here the cells compete.": (
                lambda K, m: 2
            ),
        },
    ),
)
