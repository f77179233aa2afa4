"""Prompts of chapter 4: layers rewritten as convolutions, the windows of an image, and what they share."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
from torch import nn

from segcore.convolutionalization import linear_to_conv, windows
from segcore.prompts import Prompt
from segcore.upsampling import overlap_count

__all__ = ["PROMPTS"]


def _draw_kernel(rng: random.Random) -> dict[str, object]:
    channels, side = rng.choice([8, 10, 16, 20, 32, 64]), rng.choice([3, 4, 5, 6, 7])
    numbers = channels * side**2
    return {"c": channels, "n": numbers, "o": rng.choice([2, 3, 5, 21]), "_cells": side**2, "_side": side}


def _weight_shape(c: int, n: int, o: int) -> tuple[int, ...]:
    side = round((n / c) ** 0.5)
    return tuple(linear_to_conv(nn.Linear(n, o, device="meta"), (c, side, side)).weight.shape)


def _draw_answers(rng: random.Random) -> dict[str, object]:
    """Windows and strides that leave a rest along one axis, so that rounding matters."""
    while True:
        w, s = rng.choice([16, 20, 24, 32]), rng.choice([4, 8])
        h, b = w + s * rng.randint(2, 9), w + s * rng.randint(2, 9) + rng.randint(1, s - 1)
        if h != b:
            return {"h": h, "b": b, "w": w, "s": s, "_down": (h - w) / s, "_across": (b - w) / s}


def _answers(h: int, b: int, w: int, s: int) -> tuple[int, ...]:
    return tuple(windows(torch.empty(1, 1, h, b, device="meta"), w, s).shape[1:3])


def _draw_shared(rng: random.Random) -> dict[str, object]:
    step, times = rng.choice([(4, 1), (4, 2), (2, 1), (8, 1), (8, 2), (8, 4)]), rng.randint(2, 7)
    cells = step[0] // step[1] * times
    return {"n": cells, "own": step[1], "s": step[0], "_step": step[0] // step[1], "_times": times}


def _shared(n: int, own: int, s: int) -> int:
    """How many windows lie on the cell in the middle, if windows are as many cells apart as they are."""
    return int(overlap_count(n, s // own, 2 * n).max())


def _draw_reading(rng: random.Random) -> dict[str, object]:
    while True:
        a, b, c, d = (rng.randint(0, 5) for _ in range(4))
        weights = tuple(rng.choice([1, 2, 3, 4]) for _ in range(4))
        bias = rng.randint(1, 5)
        if weights[1] != weights[2] and b != c:
            terms = " + ".join(f"{u} · {v}" for u, v in zip(weights, (a, b, c, d), strict=True))
            return {
                "rows": (a, b, c, d),
                "weights": weights,
                "bias": bias,
                "_terms": terms,
                "_top": f"{a} {b}",
                "_bottom": f"{c} {d}",
            }


def _reading(rows: Sequence[int], weights: Sequence[int], bias: int) -> int:
    linear = nn.Linear(4, 1)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([list(weights)]))
        linear.bias.fill_(bias)
        conv = linear_to_conv(linear, (1, 2, 2))
        return round(conv(torch.tensor(rows).float().reshape(1, 1, 2, 2)).item())


def _draw_map(rng: random.Random) -> dict[str, object]:
    """Kernels, and a window from which each pooling by 2 takes an even map."""
    k1, k2, side = rng.choice([3, 5, 7]), rng.choice([3, 5]), rng.randint(2, 6)
    second = 2 * side + k2 - 1
    return {
        "k1": k1,
        "k2": k2,
        "w": 2 * second + k1 - 1,
        "_first": 2 * second,
        "_half": second,
        "_second": 2 * side,
    }


def _map_side(k1: int, k2: int, w: int, padded: bool = False) -> int:
    same = [k // 2 if padded else 0 for k in (k1, k2)]
    network = nn.Sequential(
        nn.Conv2d(1, 1, k1, padding=same[0]), nn.MaxPool2d(2), nn.Conv2d(1, 1, k2, padding=same[1])
    )
    with torch.device("meta"):
        return int(nn.MaxPool2d(2)(network.to("meta")(torch.empty(1, 1, w, w))).shape[-1])


PROMPTS = (
    Prompt(
        name="04.kernel",
        ask="A classifier's last map has {c} channels and is square. It is flattened, and `Linear({n}, {o})` "
        "reads it. What shape has the weight of this layer as a convolution? Outputs, inputs, rows, columns.",
        draw=_draw_kernel,
        answer=_weight_shape,
        why="{n} / {c} = {_cells} cells, so the map is {_side} × {_side}, and the kernel covers it: "
        "{answer}.",
        wrong={
            "Inputs and outputs are exchanged. The outputs of the linear layer come first.": (
                lambda c, n, o: (c, o, *_weight_shape(c, n, o)[2:])
            ),
            "A kernel of 1 × 1 would read all numbers at one place. They are channels at many places.": (
                lambda c, n, o: (o, n, 1, 1)
            ),
            "The layer sees the whole map, not each channel as one number.": lambda c, n, o: (o, c, 1, 1),
        },
    ),
    Prompt(
        name="04.answers",
        ask="A classifier without padding has windows of {w} × {w} pixels and stride {s}. How many rows and "
        "columns of answers does it give for an image of {h} × {b} pixels?",
        draw=_draw_answers,
        answer=_answers,
        why="The first window stands at the corner, and there is room to move on by ({h} − {w})/{s} = "
        "{_down} and ({b} − {w})/{s} = {_across} steps. Whole steps count, and the first place: {answer}.",
        wrong={
            "You counted the steps. The place where the window begins is one more.": (
                lambda h, b, w, s: ((h - w) // s, (b - w) // s)
            ),
            "You divided the image by the stride. Windows must not hang over the border.": (
                lambda h, b, w, s: (h // s, b // s)
            ),
            "You rounded up. The last window would hang over the border.": (
                lambda h, b, w, s: (-(-(h - w) // s) + 1, -(-(b - w) // s) + 1)
            ),
        },
    ),
    Prompt(
        name="04.shared",
        ask="An unpadded classifier has stride {s}. One of its layers has stride {own} at its output and "
        "gives {n} × {n} cells for a window. How many windows use a number in the middle of a large map?",
        draw=_draw_shared,
        answer=lambda n, own, s: _shared(n, own, s),
        why="Windows are {s}/{own} = {_step} cells apart here, so along an axis {n}/{_step} = {_times} of "
        "them hold a cell, and {_times}² = {answer}.",
        wrong={
            "That is along one axis. It counts along the other as well.": lambda n, own, s: n * own // s,
            "So many would share it if windows were one cell apart.": lambda n, own, s: n**2,
        },
    ),
    Prompt(
        name="04.reading",
        ask="A map has the rows ({_top}) and ({_bottom}). It is flattened, and a linear layer with the "
        "weights {weights} and the bias {bias} reads it. What comes out?",
        draw=_draw_reading,
        answer=_reading,
        why="Row by row: {_terms} + {bias} = {answer}.",
        wrong={
            "You read the map column by column. `Flatten` goes row by row.": (
                lambda rows, weights, bias: _reading([rows[i] for i in (0, 2, 1, 3)], weights, bias)
            ),
            "You forgot the bias.": lambda rows, weights, bias: _reading(rows, weights, 0),
            "You turned the kernel round. What networks call convolution does not flip it.": (
                lambda rows, weights, bias: _reading(rows[::-1], weights, bias)
            ),
        },
    ),
    Prompt(
        name="04.map",
        ask="A window of {w} × {w} pixels goes through a {k1} × {k1} convolution, a 2 × 2 pooling of "
        "stride 2, a {k2} × {k2} convolution and another such pooling; nothing is padded. How many cells a "
        "side has the map?",
        draw=_draw_map,
        answer=_map_side,
        why="{w} → {_first} → {_half} → {_second} → {answer}: a kernel takes its width less one, a pooling "
        "the half.",
        wrong={
            "You took padded convolutions, which leave the size as it is.": (
                lambda k1, k2, w: _map_side(k1, k2, w, padded=True)
            ),
            "A kernel takes one less than its width, since it begins at the corner.": (
                lambda k1, k2, w: ((w - k1) // 2 - k2) // 2
            ),
        },
    ),
)
