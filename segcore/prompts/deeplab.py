"""Prompts of chapter 11: cells, rates and weights of DeepLab, and a label map read off masks."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from segcore.deeplab import ASPP, valid_weights
from segcore.prompts import Prompt
from segcore.receptive_fields import Layer, receptive_field

__all__ = ["PROMPTS"]


def _draw_cells(rng: random.Random) -> dict[str, object]:
    """An image whose maps have to round up on the way, so that dividing once and rounding down goes wrong."""
    while True:
        n, stride = rng.randint(97, 700), rng.choice([8, 16])
        path = [n]
        while 2 ** (len(path) - 1) < stride:
            path.append((path[-1] + 1) // 2)
        if n % stride and n % 2:
            return {"n": n, "o": stride, "_path": ", ".join(map(str, path[1:]))}


def _cells(n: int, o: int) -> int:
    """Padded 3 × 3 convolutions of stride 2, one after the other."""
    x = torch.empty(1, 1, n, 1, device="meta")
    while o > 1:
        x = F.conv2d(x, torch.empty(1, 1, 3, 3, device="meta"), stride=2, padding=1)
        o //= 2
    return int(x.shape[2])


def _draw_apart(rng: random.Random) -> dict[str, object]:
    rate, stride = rng.choice([2, 3, 4, 6, 9, 12, 18, 24]), rng.choice([4, 8, 16, 32])
    return {"r": rate, "o": stride}


def _apart(r: int, o: int) -> int:
    """Pixels from the field of the middle weight to that of the outer one."""
    fields = receptive_field([Layer(o, o), Layer(3, 1, 0, r)])
    return (int(fields[-1].size) - int(fields[0].size)) // 2


def _draw_left(rng: random.Random) -> dict[str, object]:
    """A place whose rows or columns of weights are not all on the map."""
    while True:
        n, rate = rng.randint(4, 12), rng.randint(2, 8)
        row, column = rng.randrange(n), rng.randrange(n)
        down, across = (sum(0 <= at + step < n for step in (-rate, 0, rate)) for at in (row, column))
        if (down, across) not in ((3, 3), (2, 2)) and _left(n, 1, row, column) != down * across:
            return {"n": n, "r": rate, "row": row, "column": column, "_down": down, "_across": across}


def _left(n: int, r: int, row: int, column: int) -> int:
    return int(valid_weights(n, r)[row, column])


def _draw_aspp(rng: random.Random) -> dict[str, object]:
    c, a = rng.choice([2, 4, 6, 8, 10]), rng.choice([2, 3, 4, 5])
    rates = rng.choice([(6, 12), (6, 12, 18), (12, 24, 36), (2, 4, 6)])
    count = len(rates)
    parts = {
        "_one": c * a,
        "_count": count,
        "_nine": 9 * c * a,
        "_branches": count + 2,
        "_last": (count + 2) * a * a,
    }
    return {"c": c, "a": a, "rates": rates, **parts}


def _aspp(c: int, a: int, rates: Sequence[int]) -> int:
    return sum(weight.numel() for weight in ASPP(c, rates, a).parameters() if weight.dim() == 4)


def _draw_work(rng: random.Random) -> dict[str, object]:
    before, after = rng.choice([(32, 16), (32, 8), (16, 8), (16, 4), (32, 4)])
    work = rng.choice([2, 3, 5, 6, 7, 10, 12, 15, 20])
    return {"work": work, "before": before, "after": after, "_ratio": before // after}


def _work(work: int, before: int, after: int) -> int:
    """The work of a layer on as many cells as an image of 256 pixels has at each stride."""
    layer = nn.Conv2d(1, 1, 3, padding=1, device="meta")
    cells = [layer(torch.empty(1, 1, 256 // o, 256 // o, device="meta")).numel() for o in (before, after)]
    return work * cells[1] // cells[0]


def _draw_masks(rng: random.Random) -> dict[str, object]:
    """Three masks at one pixel: how likely each is class 0, and how much of the pixel it claims."""
    while True:
        p = tuple(rng.choice([0.1, 0.2, 0.5, 0.6, 0.8, 0.9]) for _ in range(3))
        m = tuple(rng.choice([0.1, 0.2, 0.4, 0.5, 0.9, 1.0]) for _ in range(3))
        if len(set(p)) == len(set(m)) == 3 and p.index(max(p)) != m.index(max(m)):
            terms = " + ".join(f"{a} · {b:g}" for a, b in zip(p, m, strict=True))
            return {"p": p, "m": m, "_terms": terms}


def _score(p: Sequence[float], m: Sequence[float]) -> float:
    either = [torch.tensor(each, dtype=torch.float64) for each in (p, m)]
    return round(torch.einsum("q,q->", *either).item(), 6)


PROMPTS = (
    Prompt(
        name="11.cells",
        ask="A ResNet halves an image of {n} × {n} pixels, and odd sizes round up, until the output stride "
        "is {o}. How many cells a side has its map?",
        draw=_draw_cells,
        answer=_cells,
        why="Half of it, rounded up, again and again: {_path}. So {answer}.",
        wrong={
            "You rounded down. A padded layer of stride 2 keeps the last pixel of an odd row.": (
                lambda n, o: n // o
            ),
            "You halved once too often.": lambda n, o: _cells(n, 2 * o),
            "You stopped one halving too early.": lambda n, o: _cells(n, o // 2),
        },
        unit="cells",
    ),
    Prompt(
        name="11.apart",
        ask="A 3 × 3 filter of rate {r} stands on a map of output stride {o}. How many pixels of the image "
        "lie between its middle weight and an outer one?",
        draw=_draw_apart,
        answer=_apart,
        why="A rate counts cells, and a cell is as wide as the output stride: {r} · {o} = {answer}.",
        wrong={
            "Those are cells.": lambda r, o: r,
            "That is from one outer weight to the other.": lambda r, o: 2 * r * o,
        },
        unit="px",
    ),
    Prompt(
        name="11.left",
        ask="On a padded map of {n} × {n} cells, how many of the nine weights of a 3 × 3 filter of rate "
        "{r} lie on the map at row {row}, column {column}, counted from 0?",
        draw=_draw_left,
        answer=_left,
        why="Along the column {_down} of three weights lie on the map, along the row {_across}, and both "
        "multiply: {_down} · {_across} = {answer}.",
        wrong={
            "You forgot the rate. The outer weights are not the next cells.": (
                lambda n, r, row, column: _left(n, 1, row, column)
            ),
            "Padding keeps the size of the map. Weights that read zeros are lost.": (
                lambda n, r, row, column: 9
            ),
            "The two axes multiply, they do not add.": lambda n, r, row, column: sum(
                0 <= at + step < n for at in (row, column) for step in (-r, 0, r)
            ),
        },
    ),
    Prompt(
        name="11.weights",
        ask="ASPP reads {c} channels and has {a} in each branch: a 1 × 1 filter, 3 × 3 filters with rates "
        "{rates}, and the image's mean through a 1 × 1 filter. A 1 × 1 convolution makes {a} channels of "
        "all. How many weights have these convolutions, without biases?",
        draw=_draw_aspp,
        answer=_aspp,
        why="2 · {_one} for the 1 × 1 filters, {_count} · {_nine} for the others, and {_branches} · {a} · "
        "{a} = {_last} to join: 2 · {_one} + {_count} · {_nine} + {_last} = {answer}.",
        wrong={
            "You forgot the convolution that joins the branches.": (
                lambda c, a, rates: _aspp(c, a, rates) - (len(rates) + 2) * a * a
            ),
            "You forgot the branch with the image's mean.": (
                lambda c, a, rates: _aspp(c, a, rates) - c * a - a * a
            ),
            "You counted the zeros between the weights. A rate costs no weights.": lambda c, a, rates: (
                _aspp(c, a, rates) + c * a * sum((2 * rate + 1) ** 2 - 9 for rate in rates)
            ),
        },
    ),
    Prompt(
        name="11.work",
        ask="A layer behind the last stride takes {work} million multiply-adds at output stride {before}. "
        "How many at output stride {after}?",
        draw=_draw_work,
        answer=_work,
        why="Cells are {_ratio} times as dense along both axes: {work} · {_ratio}² = {answer}.",
        wrong={
            "You counted one axis.": lambda work, before, after: work * before // after,
            "Dilation costs no weights, but there are more places to use them.": (
                lambda work, before, after: work
            ),
        },
        unit="million",
    ),
    Prompt(
        name="11.masks",
        ask="Three masks claim a pixel with {m} and are of class 0 with the probabilities {p}. What is the "
        "score of class 0 at this pixel?",
        draw=_draw_masks,
        answer=_score,
        why="The sum over masks, $p_q m_q$: {_terms} = {answer}.",
        wrong={
            "That is the mask that claims the pixel most. All masks add up.": (
                lambda p, m: p[m.index(max(m))] * max(m)
            ),
            "That is the sum of the masks alone, whatever their class.": lambda p, m: sum(m),
            "A score is no mean: what the masks say is added.": lambda p, m: _score(p, m) / 3,
        },
        digits=2,
    ),
)
