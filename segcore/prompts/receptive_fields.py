"""Prompts of chapter 5: size, stride and padding of what a unit sees, and how much of it is used."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
import torch.nn.functional as F

from segcore.prompts import Prompt
from segcore.receptive_fields import Layer, ReceptiveField, input_region, receptive_field

__all__ = ["PROMPTS"]


def _field(kernels: Sequence[int], strides: Sequence[int], paddings: Sequence[int]) -> ReceptiveField:
    layers = [Layer(*each) for each in zip(kernels, strides, paddings, strict=True)]
    return receptive_field(layers)[-1]


def _draw_size(rng: random.Random) -> dict[str, object]:
    """Three layers, the first two with strides above 1."""
    k1, k2, k3 = rng.choice([3, 5, 7]), rng.choice([2, 3]), rng.choice([3, 5])
    s1, s2 = rng.choice([(2, 2), (2, 3), (3, 2), (4, 2)])
    steps = {"_a": k2 - 1, "_b": k3 - 1, "_s": s1, "_t": s1 * s2}
    return {"k1": k1, "s1": s1, "k2": k2, "s2": s2, "k3": k3, **steps}


def _size(k1: int, s1: int, k2: int, s2: int, k3: int) -> object:
    return _field((k1, k2, k3), (s1, s2, 1), (0, 0, 0)).size


def _draw_padding(rng: random.Random) -> dict[str, object]:
    p1, p2, p3 = rng.choice([1, 2, 3]), rng.choice([1, 2]), rng.choice([1, 2])
    s1, s2 = rng.choice([2, 3, 4]), rng.choice([2, 3])
    return {"p1": p1, "s1": s1, "p2": p2, "s2": s2, "p3": p3, "_t": s1 * s2}


def _padding(p1: int, s1: int, p2: int, s2: int, p3: int) -> object:
    return _field([2 * p + 1 for p in (p1, p2, p3)], (s1, s2, 1), (p1, p2, p3)).padding


def _draw_pixels(rng: random.Random) -> dict[str, object]:
    size, stride = rng.choice([11, 18, 22, 40]), rng.choice([2, 4, 8])
    padding, u = rng.randint(1, 9), rng.randint(6, 12)
    return {"R": size, "S": stride, "P": padding, "u": u, "_first": u * stride - padding}


def _pixels(R: int, S: int, P: int, u: int) -> tuple[int, int]:
    x1, _, x2, _ = input_region(ReceptiveField(R, S, P), (u, u, u + 1, u + 1))
    return int(x1), int(x2) - 1


def _draw_dilated(rng: random.Random) -> dict[str, object]:
    k, d, S = rng.choice([3, 5, 7]), rng.choice([2, 3, 4, 6]), rng.choice([2, 4, 8, 16])
    return {"k": k, "d": d, "S": S, "_gaps": k - 1}


def _dilated(k: int, d: int, S: int) -> int:
    """What a layer adds behind one that has this stride."""
    fields = receptive_field([Layer(1, S), Layer(k, 1, 0, d)])
    return int(fields[-1].size) - int(fields[0].size)


def _draw_variance(rng: random.Random) -> dict[str, object]:
    """Kernels whose variance, (k² − 1)/12, is whole."""
    k1, k2 = rng.choice([5, 7]), rng.choice([5, 7])
    d1, d2 = rng.choice([(1, 2), (2, 1), (1, 3), (2, 3), (3, 1), (2, 2), (3, 2)])
    squares = {"_q1": d1**2, "_q2": d2**2, "_v1": (k1**2 - 1) // 12, "_v2": (k2**2 - 1) // 12}
    return {"k1": k1, "d1": d1, "k2": k2, "d2": d2, **squares}


def _variance(k1: int, d1: int, k2: int, d2: int) -> float:
    """Of the weights with which a unit of two averaging layers reads its pixels."""
    taps = torch.ones(1, 1, 1, dtype=torch.float64)
    for k, d in ((k1, d1), (k2, d2)):
        line = torch.zeros(1, 1, d * (k - 1) + 1, dtype=torch.float64)
        line[..., ::d] = 1 / k
        taps = F.conv1d(F.pad(taps, [line.shape[-1] - 1] * 2), line)
    weights = taps.flatten()
    places = torch.arange(len(weights)) - (len(weights) - 1) / 2
    return round((weights * places**2).sum().item(), 6)


PROMPTS = (
    Prompt(
        name="05.size",
        ask="Kernels and strides of three layers are, from the image up: {k1} with stride {s1}, {k2} with "
        "stride {s2}, {k3} with stride 1. How many pixels wide is the receptive field?",
        draw=_draw_size,
        answer=_size,
        why="Each layer adds its kernel less one, times the stride below it: "
        "{k1} + {_a} · {_s} + {_b} · {_t} = {answer}.",
        wrong={
            "You left the strides out.": lambda k1, s1, k2, s2, k3: k1 + k2 + k3 - 2,
            "A layer's own stride lengthens the steps of the layers above it, not its own.": (
                lambda k1, s1, k2, s2, k3: 1 + (k1 - 1) * s1 + (k2 - 1) * s1 * s2 + (k3 - 1) * s1 * s2
            ),
            "You counted all taps. One tap of each layer lies on what is counted already.": (
                lambda k1, s1, k2, s2, k3: k1 + k2 * s1 + k3 * s1 * s2
            ),
            "You counted the stride of one layer alone. Strides multiply.": (
                lambda k1, s1, k2, s2, k3: k1 + (k2 - 1) * s1 + (k3 - 1) * s2
            ),
        },
        unit="px",
    ),
    Prompt(
        name="05.padding",
        ask="Three layers, from the image up: padding {p1} and stride {s1}, padding {p2} and stride {s2}, "
        "padding {p3} and stride 1. How many pixels before the image does the field of unit 0 begin?",
        draw=_draw_padding,
        answer=_padding,
        why="A padded cell is as many pixels wide as the stride below it: "
        "{p1} + {p2} · {s1} + {p3} · {_t} = {answer}.",
        wrong={
            "You added the paddings as if all of them were pixels. Further up they are cells.": (
                lambda p1, s1, p2, s2, p3: p1 + p2 + p3
            ),
            "You counted a layer's own stride. Its padding stands before it moves.": (
                lambda p1, s1, p2, s2, p3: p1 * s1 + p2 * s1 * s2 + p3 * s1 * s2
            ),
            "The strides below the last layer multiply.": lambda p1, s1, p2, s2, p3: p1 + p2 * s1 + p3 * s2,
        },
        unit="px",
    ),
    Prompt(
        name="05.pixels",
        ask="A layer's units have the size {R}, the stride {S} and the padding {P}. Which pixels does unit "
        "{u} see along one axis? The first and the last, both counted from 0.",
        draw=_draw_pixels,
        answer=_pixels,
        why="It begins at −{P} + {u} · {S} = {_first} and holds {R} pixels, the last of which is "
        "{_first} + {R} − 1: {answer}.",
        wrong={
            "You forgot the padding, which shifts all fields to the left.": (
                lambda R, S, P, u: (u * S, u * S + R - 1)
            ),
            "The last pixel is the first one plus the size less one.": (
                lambda R, S, P, u: (u * S - P, u * S - P + R)
            ),
            "Padding makes fields begin before the image: it goes off, not on.": (
                lambda R, S, P, u: (u * S + P, u * S + P + R - 1)
            ),
        },
    ),
    Prompt(
        name="05.dilated",
        ask="A {k} × {k} convolution with dilation {d} stands on a map of stride {S}. By how many pixels "
        "does it widen the receptive field?",
        draw=_draw_dilated,
        answer=_dilated,
        why="Its {k} taps have {_gaps} gaps of {d} cells, and a cell is {S} pixels: "
        "{_gaps} · {d} · {S} = {answer}.",
        wrong={
            "Those are cells of the map below. A cell is as many pixels as the stride.": (
                lambda k, d, S: d * (k - 1)
            ),
            "You counted a gap for each tap. Between taps there is one gap less.": lambda k, d, S: d * k * S,
            "You forgot the dilation.": lambda k, d, S: (k - 1) * S,
        },
        unit="px",
    ),
    Prompt(
        name="05.variance",
        ask="Two layers average {k1} inputs with dilation {d1} and {k2} inputs with dilation {d2}, both with "
        "stride 1. What is the variance $σ^2$ of the weights with which a unit reads its pixels, along one "
        "axis?",
        draw=_draw_variance,
        answer=_variance,
        why="A layer has d² · (k² − 1)/12, and variances add: {_q1} · {_v1} + {_q2} · {_v2} = {answer}.",
        wrong={
            "The dilation enters squared: all distances grow by it.": (
                lambda k1, d1, k2, d2: d1 * (k1**2 - 1) // 12 + d2 * (k2**2 - 1) // 12
            ),
            "You left the dilations out.": lambda k1, d1, k2, d2: (k1**2 - 1) // 12 + (k2**2 - 1) // 12,
            "Widths do not add, variances do: add first, and take a root only if σ is asked for.": (
                lambda k1, d1, k2, d2: (d1 * ((k1**2 - 1) / 12) ** 0.5 + d2 * ((k2**2 - 1) / 12) ** 0.5) ** 2
            ),
        },
    ),
)
