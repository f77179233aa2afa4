"""Prompts of chapter 7: hypercolumns, sums of up-sampled scores, and the maps of an FCN."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
import torch.nn.functional as F

from segcore.prompts import Prompt
from segcore.skips import FCN8s, UpScore, hypercolumns

__all__ = ["PROMPTS"]


def _draw_between(rng: random.Random) -> dict[str, object]:
    a, b = (4 * value for value in rng.sample(range(0, 11), 2))
    pixel = rng.choice([1, 2])
    shares = ("¾", "¼") if pixel == 1 else ("¼", "¾")
    return {"a": a, "b": b, "pixel": pixel, "_a": shares[0], "_b": shares[1]}


def _doubled(a: int, b: int) -> torch.Tensor:
    return hypercolumns([torch.tensor([[[[a, b]]]], dtype=torch.float32)], (1, 4)).flatten()


def _draw_shape(rng: random.Random) -> dict[str, object]:
    channels = tuple(rng.sample([8, 16, 32, 64, 128, 256], 3))
    side = rng.choice([64, 96, 128, 192])
    sides = tuple(side // stride for stride in (2, 4, 8))
    return {"channels": channels, "n": side, "_sides": sides, "_sum": " + ".join(map(str, channels))}


def _hypercolumn_shape(channels: Sequence[int], n: int) -> tuple[int, ...]:
    maps = [
        torch.empty(1, c, n // s, n // s, device="meta") for c, s in zip(channels, (2, 4, 8), strict=True)
    ]
    return tuple(hypercolumns(maps, n).shape[1:])


def _draw_sides(rng: random.Random) -> dict[str, object]:
    cells = rng.randint(2, 14)
    return {"n": 32 * cells}


def _fcn_sides(n: int) -> tuple[int, ...]:
    """Sides of the maps that FCN-8s fuses, and of what it says."""
    with torch.device("meta"):
        net = FCN8s(3, 2, width=4)
        maps = net.backbone(torch.empty(1, 3, n, n))
        coarse = net.score_fr(maps["fc7"])
        middle = net.upscore2(coarse) + net.score_pool4(maps["pool4"])
        fine = net.upscore_pool4(middle) + net.score_pool3(maps["pool3"])
        return tuple(int(each.shape[-1]) for each in (coarse, middle, fine))


def _draw_cheaper(rng: random.Random) -> dict[str, object]:
    stride, cells = rng.choice([4, 8, 16, 32]), rng.randint(3, 12)
    n, channels = stride * cells, rng.choice([64, 128, 256, 512])
    return {"c": channels, "s": stride, "n": n, "k": rng.choice([2, 4, 21]), "_cells": cells}


def _cheaper(c: int, s: int, n: int, k: int) -> int:
    """Multiplications of a 1 × 1 convolution on the enlarged map, over those on the map as it is."""
    weight = torch.empty(k, c, 1, 1, device="meta")
    sides = [n, n // s]
    fine, coarse = (F.conv2d(torch.empty(1, c, side, side, device="meta"), weight).numel() for side in sides)
    return fine // coarse


def _draw_score(rng: random.Random) -> dict[str, object]:
    """Two cells of two channels whose scores differ, and the weight of each channel."""
    while True:
        u, v = rng.choice([(2, 3), (3, 2), (2, 5), (4, 3), (5, 3)])
        a, b = ([rng.randint(0, 8) for _ in range(2)] for _ in range(2))
        first, second = (u * x + v * y for x, y in zip(a, b, strict=True))
        if (first - second) % 4 == 0 and first != second and a[0] != a[1] and b[0] != b[1]:
            pixel = rng.choice([1, 2])
            if _score(a, b, u, v, pixel) == _score(a, b, v, u, pixel):
                continue
            shares = {"_a": "¾" if pixel == 1 else "¼", "_b": "¼" if pixel == 1 else "¾"}
            scores = {"_first": first, "_second": second}
            return {"a": tuple(a), "b": tuple(b), "u": u, "v": v, "pixel": pixel, **shares, **scores}


def _score(a: Sequence[int], b: Sequence[int], u: int, v: int, pixel: int) -> int:
    """The hypercolumn of the pixel, scored by a 1 × 1 convolution."""
    columns = hypercolumns([torch.tensor([[[list(a)], [list(b)]]], dtype=torch.float32)], (1, 4))
    weights = torch.tensor([u, v], dtype=torch.float32).reshape(1, 2, 1, 1)
    return round(F.conv2d(columns, weights).flatten()[pixel].item())


def _draw_kernel(rng: random.Random) -> dict[str, object]:
    f, c = rng.choice([2, 4, 8, 16, 32]), rng.choice([2, 4, 21])
    return {"f": f, "c": c}


PROMPTS = (
    Prompt(
        name="07.between",
        ask="A row of two cells holds {a} and {b}. Doubled by bilinear interpolation it has four pixels, "
        "counted from 0. What does pixel {pixel} hold?",
        draw=_draw_between,
        answer=lambda a, b, pixel: int(_doubled(a, b)[pixel]),
        why="Its centre lies a quarter of a cell beside the centre of the nearer cell: "
        "{_a} · {a} + {_b} · {b} = {answer}.",
        wrong={
            "You exchanged the weights. The nearer cell has ¾.": (
                lambda a, b, pixel: int(_doubled(a, b)[3 - pixel])
            ),
            "That is the mean. No pixel lies half-way between the two centres.": (
                lambda a, b, pixel: (a + b) / 2
            ),
            "You nailed the outer centres to each other, as `align_corners` does.": (
                lambda a, b, pixel: a + (b - a) * pixel / 3
            ),
        },
    ),
    Prompt(
        name="07.shape",
        ask="Maps with {channels} channels, of stride 2, 4 and 8, make the hypercolumns of an image of {n} "
        "× {n} pixels. What shape do they have? Channels, rows, columns.",
        draw=_draw_shape,
        answer=_hypercolumn_shape,
        why="Each map is brought from {_sides} cells a side to the size of the image, and they are stacked: "
        "{_sum} channels, {answer}.",
        wrong={
            "Maps are stacked, not added: channels add up.": lambda channels, n: (max(channels), n, n),
            "You stayed at the finest map. A hypercolumn belongs to a pixel.": (
                lambda channels, n: (sum(channels), n // 2, n // 2)
            ),
            "You shrank all maps to the coarsest one. They are made as large as the image.": (
                lambda channels, n: (sum(channels), n // 8, n // 8)
            ),
        },
    ),
    Prompt(
        name="07.sides",
        ask="FCN-8s of this course gets an image of {n} × {n} pixels. How many cells a side have the "
        "scores of the deepest layer, their sum with pool4's, and the sum with pool3's?",
        draw=_draw_sides,
        answer=_fcn_sides,
        why="The deepest layer has stride 32, pool4 16 and pool3 8: {n}/32, {n}/16 and {n}/8 are {answer}.",
        wrong={
            "You started one pooling too high: five poolings lie below the deepest layer.": (
                lambda n: (n // 16, n // 8, n // 4)
            ),
            "You went down. The scores come up from the deepest layer, by 2 each time.": (
                lambda n: (n // 8, n // 16, n // 32)
            ),
            "All three are not made as large as the image at once: FCN goes up step by step.": (
                lambda n: (n, n, n)
            ),
        },
    ),
    Prompt(
        name="07.cheaper",
        ask="A layer has {c} channels and stride {s}, the image {n} × {n} pixels, and there are {k} "
        "classes. How many times fewer multiplications does the 1 × 1 convolution take if one scores first "
        "and then up-samples?",
        draw=_draw_cheaper,
        answer=_cheaper,
        why="It is the same product at each place, at {_cells}² cells in place of {n}² pixels: {s}² = "
        "{answer}.",
        wrong={
            "You counted along one axis. Cells are fewer along both.": lambda c, s, n, k: s,
            "So many times fewer channels are interpolated. The question is about scoring.": (
                lambda c, s, n, k: c / k
            ),
        },
        unit="times",
        digits=1,
    ),
    Prompt(
        name="07.score",
        ask="Channel $a$ of a row of two cells holds {a}, channel $b$ holds {b}. Both are doubled "
        "bilinearly, and pixel {pixel} of four, counted from 0, is scored by ${u} a + {v} b$. What is its "
        "score?",
        draw=_draw_score,
        answer=_score,
        why="Scoring first gives the same: the cells score {_first} and {_second}, and {_a} · {_first} + "
        "{_b} · {_second} = {answer}.",
        wrong={
            "That is the score of the nearer cell alone. Its neighbour has a quarter of the say.": (
                lambda a, b, u, v, pixel: u * a[pixel - 1] + v * b[pixel - 1]
            ),
            "You exchanged the weights. The nearer cell has ¾.": (
                lambda a, b, u, v, pixel: _score(a, b, u, v, 3 - pixel)
            ),
            "You gave channel $a$ the weight of channel $b$.": (
                lambda a, b, u, v, pixel: _score(a, b, v, u, pixel)
            ),
        },
    ),
    Prompt(
        name="07.kernel",
        ask="The up-convolution that brings {c} class scores up by {f} starts bilinear, and each output "
        "cell mixes the two nearest cells along an axis. How wide is its kernel?",
        draw=_draw_kernel,
        answer=lambda f, c: UpScore(c, f).weight.shape[-1],
        why="Two strokes {f} cells apart reach each cell, so a stroke is twice as wide: 2 · {f} = {answer}.",
        wrong={
            "Then strokes would lie side by side and each cell would copy one value.": lambda f, c: f,
            "That tent keeps old values in their places and goes with an odd kernel. Here centres never "
            "coincide.": lambda f, c: 2 * f - 1,
        },
    ),
)
