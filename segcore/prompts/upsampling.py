"""Prompts of chapter 8: what an up-convolution paints, where pixels lie, and how sizes grow."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
import torch.nn.functional as F

from segcore.prompts import Prompt
from segcore.upsampling import max_unpool2d, overlap_count, resize_bilinear, transposed_conv2d

__all__ = ["PROMPTS"]


def _draw_size(rng: random.Random) -> dict[str, object]:
    n, k, s = rng.randint(3, 12), rng.randint(3, 7), rng.randint(2, 4)
    p, o = rng.randint(1, (k - 1) // 2), rng.randint(0, s - 1)
    return {"n": n, "k": k, "s": s, "p": p, "o": o}


def _size(n: int, k: int, s: int, p: int, o: int) -> int:
    x, w = torch.empty(1, 1, 1, n), torch.empty(1, 1, 1, k)
    return int(transposed_conv2d(x, w, (1, s), (0, p), (0, o)).shape[-1])


def _draw_painted(rng: random.Random) -> dict[str, object]:
    """Two inputs, and a filter that is not its own mirror image."""
    a, b = rng.sample(range(1, 10), 2)
    w = rng.sample([1, 2, 3, 4, 5], 3)
    strokes = {"_first": ", ".join(str(a * v) for v in w), "_second": ", ".join(str(b * v) for v in w)}
    return {"a": a, "b": b, "w": tuple(w), **strokes}


def _painted(a: int, b: int, w: Sequence[int]) -> tuple[int, ...]:
    x = torch.tensor([[[[a, b]]]], dtype=torch.float32)
    out = transposed_conv2d(x, torch.tensor([[[list(w)]]], dtype=torch.float32), (1, 2))
    return tuple(round(value) for value in out.flatten().tolist())


def _overwritten(a: int, b: int, w: Sequence[int]) -> tuple[int, ...]:
    return (*(a * v for v in w[:2]), *(b * v for v in w))


def _draw_place(rng: random.Random) -> dict[str, object]:
    """A new pixel away from the border, by its factor."""
    f = rng.choice([2, 4, 5, 8, 10])
    i = rng.randint(f, 6 * f)
    while (2 * i + 1) % f == 0:
        i = rng.randint(f, 6 * f)
    return {"f": f, "i": i, "_half": i + 0.5}


def _place(f: int, i: int, align: bool = False) -> float:
    """The index between old cells that a new pixel reads, told by a ramp of indices."""
    ramp = torch.arange(8.0, dtype=torch.float64).reshape(1, 1, 1, 8)
    if align:
        return F.interpolate(ramp, size=(1, 8 * f), mode="bilinear", align_corners=True)[0, 0, 0, i].item()
    return round(resize_bilinear(ramp, (1, 8 * f))[0, 0, 0, i].item(), 6)


def _draw_aligned(rng: random.Random) -> dict[str, object]:
    old, new = rng.choice([(5, 9), (5, 11), (4, 13), (5, 21), (3, 11), (6, 11), (5, 17), (6, 21), (3, 9)])
    i = rng.randint(1, new - 2)
    while i * (old - 1) % (new - 1) == 0:
        i = rng.randint(1, new - 2)
    return {"old": old, "new": new, "i": i, "_old": old - 1, "_new": new - 1}


def _aligned(old: int, new: int, i: int, corners: bool = True) -> float:
    ramp = torch.arange(old, dtype=torch.float64).reshape(1, 1, 1, old)
    return F.interpolate(ramp, size=(1, new), mode="bilinear", align_corners=corners)[0, 0, 0, i].item()


def _draw_overlap(rng: random.Random) -> dict[str, object]:
    s = rng.randint(2, 4)
    k = rng.choice([size for size in range(s, 4 * s) if size % s])
    return {"k": k, "s": s, "_low": k // s, "_high": -(-k // s)}


def _overlap(k: int, s: int) -> tuple[int, int]:
    """Fewest and most strokes on a cell far from the border."""
    count = overlap_count(k, s, 9)[4 * s : 5 * s, 4 * s : 5 * s]
    return int(count.min()), int(count.max())


def _draw_index(rng: random.Random) -> dict[str, object]:
    """Where the maximum of one window of a map with an odd number of windows lies."""
    width = rng.choice([4, 6, 8, 10])
    row, column = rng.randint(0, 2), rng.randint(0, width // 2 - 1)
    down, across = rng.choice([(0, 1), (1, 0), (1, 1)])
    if row == column == 0:
        column = 1
    y, x = 2 * row + down, 2 * column + across
    where = {(0, 1): "upper right", (1, 0): "lower left", (1, 1): "lower right"}[down, across]
    window = {"row": row, "column": column, "down": down, "across": across}
    return {"width": width, **window, "_where": where, "_y": y, "_x": x}


def _index(width: int, row: int, column: int, down: int, across: int) -> int:
    x = torch.zeros(1, 1, 6, width)
    x[0, 0, 2 * row + down, 2 * column + across] = 1
    pooled, indices = F.max_pool2d(x, 2, return_indices=True)
    assert torch.equal(max_unpool2d(pooled, indices, 2), x)
    return int(indices[0, 0, row, column])


def _draw_shuffle(rng: random.Random) -> dict[str, object]:
    r, c = rng.choice([2, 3, 4]), rng.choice([1, 2, 3, 5, 8])
    return {"c": c * r * r, "h": rng.randint(4, 12), "w": rng.randint(13, 20), "r": r, "_left": c}


def _shuffled(c: int, h: int, w: int, r: int) -> tuple[int, ...]:
    return tuple(F.pixel_shuffle(torch.empty(1, c, h, w, device="meta"), r).shape[1:])


PROMPTS = (
    Prompt(
        name="08.size",
        ask="An up-convolution with kernel {k}, stride {s}, padding {p} and output padding {o} gets {n} "
        "cells in a row. How many come out?",
        draw=_draw_size,
        answer=_size,
        why="The strokes cover ({n} − 1) · {s} + {k} cells; padding cuts 2 · {p} off, output padding gives "
        "{o}: ({n} − 1) · {s} − 2 · {p} + {k} + {o} = {answer}.",
        wrong={
            "You forgot the padding, which cuts cells off at both ends.": (
                lambda n, k, s, p, o: (n - 1) * s + k + o
            ),
            "You took the padding off one end alone.": lambda n, k, s, p, o: (n - 1) * s - p + k + o,
            "That is the factor alone. Count the cells that the strokes cover.": lambda n, k, s, p, o: n * s,
            "That is the size of a convolution's output. This goes the other way.": (
                lambda n, k, s, p, o: (n + 2 * p - k) // s + 1 if n + 2 * p >= k else None
            ),
        },
        unit="cells",
    ),
    Prompt(
        name="08.painted",
        ask="An up-convolution of stride 2 with the filter {w} gets the two values {a} and {b}, without "
        "padding. Which five values come out?",
        draw=_draw_painted,
        answer=_painted,
        why="The stroke of {a} is {_first} and that of {b}, two cells further, is {_second}. Where they meet "
        "they add: {answer}.",
        wrong={
            "You turned the filter round. Painting uses it as it is; with zeros inserted it is flipped.": (
                lambda a, b, w: _painted(a, b, w[::-1])
            ),
            "Where strokes overlap, they add. The second does not cover the first.": _overwritten,
        },
    ),
    Prompt(
        name="08.place",
        ask="A map is enlarged by {f}, bilinearly and with `align_corners` off. At which index between the "
        "old cells does the new cell {i} read, counted from 0?",
        draw=_draw_place,
        answer=_place,
        why="Its centre lies at {i} + 0.5 new cells, that is at {_half}/{f} old ones, and index 0 is at 0.5: "
        "{_half}/{f} − 0.5 = {answer}.",
        wrong={
            "You left out both halves: cells have their values at their centres.": lambda f, i: i / f,
            "You forgot that the new value, too, belongs to the middle of its cell.": (
                lambda f, i: i / f - 0.5
            ),
            "That is the coordinate. The centre of the old cell 0 lies at 0.5 and has index 0.": (
                lambda f, i: (i + 0.5) / f
            ),
        },
        digits=3,
    ),
    Prompt(
        name="08.aligned",
        ask="A row of {old} cells is enlarged to {new}, bilinearly and with `align_corners` on. At which "
        "index between the old cells does the new cell {i} read, counted from 0?",
        draw=_draw_aligned,
        answer=_aligned,
        why="The outer centres are nailed to each other, so {_new} new steps are {_old} old ones: "
        "{i} · {_old}/{_new} = {answer}.",
        wrong={
            "That is the factor of the sizes. Here the steps between centres count.": (
                lambda old, new, i: i * old / new
            ),
            "That is what comes out with `align_corners` off.": lambda old, new, i: _aligned(
                old, new, i, False
            ),
        },
        digits=2,
    ),
    Prompt(
        name="08.overlap",
        ask="A flat map of ones is painted with a {k} × {k} filter of ones at stride {s}. Which are the "
        "smallest and the largest value far from the border?",
        draw=_draw_overlap,
        answer=_overlap,
        why="Along an axis a cell gets {_low} or {_high} strokes, since {k}/{s} is not whole. Both axes "
        "multiply: {_low}² and {_high}², {answer}.",
        wrong={
            "You counted along one axis. Strokes overlap along both.": lambda k, s: (k // s, -(-k // s)),
            "That is the mean. The strokes do not fall evenly, which makes the checkerboard.": (
                lambda k, s: (k * k / s**2, k * k / s**2)
            ),
            "You counted all weights of the filter. Strokes stand a stride apart.": lambda k, s: (0, k * k),
        },
    ),
    Prompt(
        name="08.index",
        ask="A map of 6 rows and {width} columns is max-pooled by 2 × 2 with stride 2. In the window of "
        "row {row} and column {column}, counted from 0, the maximum is at the {_where}. Which index does "
        "the pooling note down?",
        draw=_draw_index,
        answer=_index,
        why="It lies in row {_y} and column {_x} of the map, and cells are counted row by row: "
        "{_y} · {width} + {_x} = {answer}.",
        wrong={
            "You counted column by column.": (
                lambda width, row, column, down, across: (2 * column + across) * 6 + 2 * row + down
            ),
            "That is the place within the window. The index is that of the whole map.": (
                lambda width, row, column, down, across: 2 * down + across
            ),
            "You counted windows instead of cells.": (
                lambda width, row, column, down, across: row * width // 2 + column
            ),
        },
    ),
    Prompt(
        name="08.shuffle",
        ask="Pixel shuffle by {r} gets {c} channels of {h} × {w} cells. What comes out? Channels, rows, "
        "columns.",
        draw=_draw_shuffle,
        answer=_shuffled,
        why="{r} · {r} channels are laid out as a block of {r} × {r} cells: {c}/{r}² = {_left} channels are "
        "left, {answer}.",
        wrong={
            "A block takes its cells from as many channels as it has cells, not as it has rows.": (
                lambda c, h, w, r: (c // r, h * r, w * r)
            ),
            "Nothing is invented: what rows and columns gain, channels lose.": (
                lambda c, h, w, r: (c, h * r, w * r)
            ),
            "You went the other way: shuffling makes maps larger.": (
                lambda c, h, w, r: (c * r * r, h // r, w // r)
            ),
        },
    ),
)
