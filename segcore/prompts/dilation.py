"""Prompts of chapter 6: shifts and runs, dilations in place of strides, and what a stack reads."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from segcore.dilation import dilate, sparse_kernel
from segcore.prompts import Prompt
from segcore.receptive_fields import Layer, receptive_field

__all__ = ["PROMPTS"]


def _draw_runs(rng: random.Random) -> dict[str, object]:
    while True:
        strides = tuple(rng.choice([1, 2, 2, 3, 4]) for _ in range(3))
        product = strides[0] * strides[1] * strides[2]
        if sum(stride > 1 for stride in strides) > 1 and product != sum(strides):
            return {"strides": strides, "_product": " · ".join(map(str, strides)), "_stride": product}


def _runs(strides: Sequence[int]) -> int:
    fields = receptive_field([Layer(3, stride) for stride in strides])
    return int(fields[-1].stride) ** 2


def _draw_span(rng: random.Random) -> dict[str, object]:
    k, d = rng.choice([3, 5, 7]), rng.randint(2, 9)
    return {"k": k, "d": d, "_gaps": k - 1}


def _draw_dilations(rng: random.Random) -> dict[str, object]:
    a, b, c = (rng.choice([2, 3, 4]) for _ in range(3))
    return {"a": a, "b": b, "c": c, "_ab": a * b}


def _dilations(a: int, b: int, c: int) -> tuple[int, ...]:
    """Dilations that the library gives the convolutions behind poolings of these strides."""
    layers: list[nn.Module] = []
    for stride in (a, b, c):
        layers += [nn.MaxPool2d(stride), nn.Conv2d(1, 1, 3)]
    dense = dilate(nn.Sequential(*layers), 1)
    return tuple(int(m.dilation[0]) for m in dense.modules() if isinstance(m, nn.Conv2d))


def _draw_field(rng: random.Random) -> dict[str, object]:
    d = tuple(sorted(rng.sample([1, 2, 3, 4, 5, 6, 8, 9, 16], 3)))
    return {"d": d, "_sum": " + ".join(map(str, d))}


def _field(d: Sequence[int], dilated: bool = True) -> int:
    fields = receptive_field([Layer(3, dilation=each if dilated else 1) for each in d])
    return int(fields[-1].size)


def _draw_read(rng: random.Random) -> dict[str, object]:
    """Three dilations that leave holes, two of them alike or all of them even."""
    while True:
        d = tuple(sorted(rng.choice([1, 2, 3, 4, 5, 6, 7, 8]) for _ in range(3)))
        reads = sorted(
            {a + b + c for a in (-d[0], 0, d[0]) for b in (-d[1], 0, d[1]) for c in (-d[2], 0, d[2])}
        )
        kind = len(set(d)) < 3 or all(each % 2 == 0 for each in d)
        if kind and len(reads) not in (9, 1 + 2 * sum(d)):
            return {"d": d, "_places": ", ".join(str(place) for place in reads if place >= 0)}


def _read(d: Sequence[int]) -> int:
    """Places in a row that reach a unit through all layers, counted by a row of ones."""
    line = torch.ones(1, 1, 1)
    for each in d:
        taps = sparse_kernel(torch.ones(1, 3), (1, each))[None]
        line = F.conv1d(F.pad(line, [2 * each, 2 * each]), taps)
    return int((line > 0).sum())


def _draw_answers(rng: random.Random) -> dict[str, object]:
    """A row of pixels that the stride does not divide, and a shift."""
    s = rng.choice([3, 4, 5])
    n = s * rng.randint(2, 5) + rng.randint(1, s - 1)
    r = rng.choice([shift for shift in range(1, s) if shift != n % s])
    return {"n": n, "s": s, "r": r, "_places": ", ".join(map(str, range(r, n, s)))}


PROMPTS = (
    Prompt(
        name="06.runs",
        ask="Three layers have the strides {strides}. How many runs does shift and stitch need for an "
        "answer at every pixel?",
        draw=_draw_runs,
        answer=_runs,
        why="The network's stride is {_product} = {_stride}. Every shift down goes with every shift across: "
        "{_stride}² = {answer}.",
        wrong={
            "That is the stride, the number of shifts along one axis.": (
                lambda strides: strides[0] * strides[1] * strides[2]
            ),
            "Strides multiply, they do not add.": lambda strides: sum(strides) ** 2,
            "You counted each layer's shifts by themselves. Each goes with each.": (
                lambda strides: sum(stride**2 for stride in strides)
            ),
        },
        unit="runs",
    ),
    Prompt(
        name="06.span",
        ask="A {k} × {k} kernel gets dilation {d}. How wide is the sparse filter that it becomes?",
        draw=_draw_span,
        answer=lambda k, d: sparse_kernel(torch.ones(k, k), d).shape[-1],
        why="Between {k} weights lie {_gaps} steps of {d} places, and the first place counts: "
        "{_gaps} · {d} + 1 = {answer}.",
        wrong={
            "You multiplied. Behind the last weight there are no zeros.": lambda k, d: k * d,
            "You forgot the place of the first weight.": lambda k, d: (k - 1) * d,
            "Dilation 1 is the filter as it is: between two weights come d − 1 zeros.": (
                lambda k, d: k + (k - 1) * d
            ),
        },
        unit="places",
    ),
    Prompt(
        name="06.dilations",
        ask="Three poolings of stride {a}, {b} and {c} stand in a network, each followed by a 3 × 3 "
        "convolution. All strides are taken away. Which dilations do the three convolutions get?",
        draw=_draw_dilations,
        answer=_dilations,
        why="Stride before / stride now. The strides before are {a}, {a} · {b} = {_ab} and {_ab} · {c}, "
        "now all are 1: {answer}.",
        wrong={
            "Each of them lost all strides before it, not the last one alone.": lambda a, b, c: (a, b, c),
            "Strides multiply, they do not add.": lambda a, b, c: (a, a + b, a + b + c),
            "The first convolution stands behind a stride already.": lambda a, b, c: (1, a, a * b),
        },
    ),
    Prompt(
        name="06.field",
        ask="Three 3 × 3 layers of stride 1 have the dilations {d}. How wide is the receptive field?",
        draw=_draw_field,
        answer=_field,
        why="A layer with dilation d adds 2d: 1 + 2 · ({_sum}) = {answer}.",
        wrong={
            "You forgot the pixel from which all widths grow.": lambda d: 2 * sum(d),
            "You counted one side of the kernel.": lambda d: 1 + sum(d),
            "Those are three layers without dilation.": lambda d: _field(d, dilated=False),
        },
        unit="px",
    ),
    Prompt(
        name="06.read",
        ask="Three 3 × 3 layers have the dilations {d}. How many of the pixels in its field does a unit "
        "read along one axis?",
        draw=_draw_read,
        answer=_read,
        why="Each layer goes one dilation to the left, to the right, or straight down. That leads to "
        "{_places} and to their mirror images: {answer}.",
        wrong={
            "That is the width of the field, with its holes.": lambda d: 1 + 2 * sum(d),
            "You counted the weights along the axis. They meet in combinations.": lambda d: 9,
            "That is one side. The same places lie on the other.": lambda d: (_read(d) + 1) // 2,
        },
        unit="px",
    ),
    Prompt(
        name="06.answers",
        ask="Along one axis an image has {n} pixels, each with an answer, and the network has stride {s}. "
        "The run in which the image is moved by {r} answers at pixel {r} first. How many answers does it "
        "give?",
        draw=_draw_answers,
        answer=lambda n, s, r: torch.arange(n)[r::s].numel(),
        why="At the pixels {_places}: {answer}.",
        wrong={
            "You divided and rounded down. Where a rest is left, one more answer fits.": (
                lambda n, s, r: (n - r) // s
            ),
            "All runs together give so many.": lambda n, s, r: n,
        },
    ),
)
