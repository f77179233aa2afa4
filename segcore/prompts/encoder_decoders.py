"""Prompts of chapter 9: sizes without padding, weights of a join, and what each loss counts."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache

import torch
import torch.nn.functional as F
from torch import nn

from segcore.encoder_decoders import UNet, class_weights, focal_loss, lovasz_gradient
from segcore.metrics import dice
from segcore.prompts import Prompt

__all__ = ["PROMPTS"]


def _draw_valid(rng: random.Random) -> dict[str, object]:
    """A size that an unpadded U-Net of this depth takes: on the way down all maps are even."""
    while True:
        depth, n = rng.choice([1, 2, 3]), rng.randint(6, 16)
        for _ in range(depth):
            n = 2 * n + 4
        lost = 6 * 2**depth - 4
        if n >= 2 * lost + 4:
            return {"d": depth, "n": n, "_power": 2**depth, "_lost": lost}


@cache
def _unpadded(depth: int) -> UNet:
    with torch.device("meta"):
        return UNet(1, 2, width=1, depth=depth, padding="valid", batch_norm=False).eval()


def _valid(d: int, n: int) -> int:
    return int(_unpadded(d)(torch.empty(1, 1, n, n, device="meta")).shape[-1])


def _draw_join(rng: random.Random) -> dict[str, object]:
    c, k, o = rng.choice([2, 4, 8, 10, 16]), rng.choice([1, 3]), rng.choice([2, 5, 8, 10])
    return {"c": c, "k": k, "o": o, "_twice": 2 * c, "_taps": k * k}


def _join(c: int, k: int, o: int) -> int:
    return sum(weight.numel() for weight in nn.Conv2d(2 * c, o, k, device="meta").parameters())


def _draw_dice(rng: random.Random) -> dict[str, object]:
    """Four pixels whose probabilities add up to a whole number of halves, two or three of them true."""
    while True:
        g = tuple(rng.randint(0, 1) for _ in range(4))
        tenths = [rng.randint(5, 9) if each else rng.randint(0, 4) for each in g]
        total, shared = sum(tenths), sum(p * t for p, t in zip(tenths, g, strict=True))
        if sum(g) in (2, 3) and (total + 10 * sum(g)) in (40, 50) and shared < total:
            p = tuple(each / 10 for each in tenths)
            words = {"_shared": shared / 10, "_p": total / 10, "_g": sum(g)}
            return {"p": p, "g": g, **words}


def _dice_loss(p: Sequence[float], g: Sequence[int]) -> torch.Tensor:
    """Dice of soft counts: pixels of both, of the prediction alone, of the truth alone."""
    found, true = torch.tensor(p, dtype=torch.float64), torch.tensor(g)
    both = (found * true).sum()
    return 1 - dice(torch.stack([both * 0, found.sum() - both, true.sum() - both, both]).reshape(2, 2))[1]


def _draw_lovasz(rng: random.Random) -> dict[str, object]:
    """Three or four pixels sorted by their error, of which some belong to the class."""
    while True:
        count = rng.choice([3, 4])
        errors = sorted(rng.sample(range(1, 10), count), reverse=True)
        belongs = tuple(rng.randint(0, 1) for _ in range(count))
        right = _lovasz([e / 10 for e in errors], belongs)
        ideas = (sum(errors) / count, sum(map(int.__mul__, errors, belongs)) / max(sum(belongs), 1))
        if 1 < sum(belongs) < count and all(abs(idea / 10 - right) > 0.015 for idea in ideas):
            gains = lovasz_gradient(torch.tensor(belongs).float()).tolist()
            marks = ", ".join("yes" if each else "no" for each in belongs)
            terms = " + ".join(f"{e / 10} · {w:.3f}" for e, w in zip(errors, gains, strict=True))
            return {
                "errors": tuple(e / 10 for e in errors),
                "belongs": belongs,
                "_marks": marks,
                "_terms": terms,
            }


def _lovasz(errors: Sequence[float], belongs: Sequence[int]) -> float:
    gains = lovasz_gradient(torch.tensor(belongs, dtype=torch.float32))
    return float((torch.tensor(errors) * gains).sum())


def _draw_focal(rng: random.Random) -> dict[str, object]:
    p, gamma = rng.choice([0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9]), rng.choice([2, 3])
    return {"p": p, "gamma": gamma, "_powers": " · ".join([str(round(1 - p, 1))] * gamma)}


def _focal(p: float, gamma: int) -> float:
    """Focal loss of a pixel over its cross-entropy."""
    logits = torch.tensor([[p, 1 - p]], dtype=torch.float64).log()[..., None, None]
    target = torch.zeros(1, 1, 1, dtype=torch.long)
    return round((focal_loss(logits, target, gamma) / F.cross_entropy(logits, target)).item(), 6)


def _draw_weight(rng: random.Random) -> dict[str, object]:
    """Three classes of kind shares; the one that is asked for is not the median."""
    shares = [50, *rng.choice([(40, 10), (45, 5), (30, 20), (48, 2), (46, 4), (42, 8)])]
    if rng.random() < 0.5:
        shares = [
            *rng.choice([(60, 30, 10), (72, 24, 4), (70, 20, 10), (60, 36, 4), (75, 20, 5), (80, 16, 4)])
        ]
    middle = sorted(shares)[1]
    rng.shuffle(shares)
    k = rng.choice([i for i in range(3) if shares[i] != middle])
    return {"shares": tuple(shares), "k": k, "_middle": middle, "_own": shares[k]}


def _weight(shares: Sequence[int], k: int) -> torch.Tensor:
    labels = torch.arange(3).repeat_interleave(torch.tensor(shares))
    return class_weights(labels[None], 3)[k]


PROMPTS = (
    Prompt(
        name="09.valid",
        ask="An unpadded U-Net of depth {d}, with two 3 × 3 convolutions at each level, gets an image of "
        "{n} × {n} pixels. How many pixels a side has its answer?",
        draw=_draw_valid,
        answer=_valid,
        why="Each side loses $6 · 2^d − 4$, here 6 · {_power} − 4 = {_lost} pixels: {n} − 2 · {_lost} = "
        "{answer}.",
        wrong={
            "You took the margin off one side alone.": lambda d, n: n - (6 * 2**d - 4),
            "You took off 4 pixels at each level, down and up. A pixel lost below is several of the image.": (
                lambda d, n: n - 4 * (2 * d + 1)
            ),
            "That is what padding is for. Here nothing is padded.": lambda d, n: n,
        },
        unit="px",
    ),
    Prompt(
        name="09.join",
        ask="A skip and an up-sampled map of {c} channels each are concatenated, and a {k} × {k} "
        "convolution with biases makes {o} channels of them. How many parameters has it?",
        draw=_draw_join,
        answer=_join,
        why="{_twice} channels come in: {_twice} · {o} · {_taps} + {o} = {answer}.",
        wrong={
            "So many it has after a sum. Concatenation doubles what comes in.": (
                lambda c, k, o: c * o * k * k + o
            ),
            "You forgot the biases, one for each output.": lambda c, k, o: 2 * c * o * k * k,
            "You doubled the biases as well. They belong to the outputs.": (
                lambda c, k, o: 2 * (c * o * k * k + o)
            ),
        },
    ),
    Prompt(
        name="09.dice",
        ask="Four pixels have the probabilities {p} for a class; the truth is {g}. How large is the Dice "
        "loss of this class?",
        draw=_draw_dice,
        answer=_dice_loss,
        why="1 − 2 Σpg/(Σp + Σg) = 1 − 2 · {_shared}/({_p} + {_g}) = {answer}.",
        wrong={
            "That is the coefficient. The loss is one minus it.": lambda p, g: 1 - _dice_loss(p, g),
            "You forgot the 2 above the line.": (
                lambda p, g: 1 - sum(map(float.__mul__, p, map(float, g))) / (sum(p) + sum(g))
            ),
            "You divided by the union, as for the IoU.": (
                lambda p, g: _dice_loss(p, g) * 2 / (1 + _dice_loss(p, g))
            ),
        },
        digits=2,
    ),
    Prompt(
        name="09.lovasz",
        ask="Pixels are wrong by {errors}, largest first. Do they belong to the class? {_marks}. How large "
        "is the Lovász loss of this class?",
        draw=_draw_lovasz,
        answer=_lovasz,
        why="Each error times what one minus the IoU gains as its pixel joins the wrong ones: "
        "{_terms} = {answer}.",
        wrong={
            "That is the mean of the errors. Their weights depend on what the IoU loses.": (
                lambda errors, belongs: sum(errors) / len(errors)
            ),
            "You left out the pixels that do not belong to the class. Called by its name, they enter the "
            "union.": (
                lambda errors, belongs: sum(map(float.__mul__, errors, map(float, belongs))) / sum(belongs)
            ),
            "You added the smallest error first.": (
                lambda errors, belongs: _lovasz(errors[::-1], belongs[::-1])
            ),
        },
        digits=2,
    ),
    Prompt(
        name="09.focal",
        ask="A network gives the right class of a pixel the probability {p}. By what does focal loss with "
        "γ = {gamma} multiply its cross-entropy?",
        draw=_draw_focal,
        answer=_focal,
        why="By $(1 − p)^γ$ = {_powers} = {answer}.",
        wrong={
            "You took the power of p. What is right already shall count less, not more.": (
                lambda p, gamma: p**gamma
            ),
            "γ is an exponent, not a factor.": lambda p, gamma: gamma * (1 - p),
            "That is one minus the power. The power is of 1 − p.": lambda p, gamma: 1 - p**gamma,
        },
        digits=3,
    ),
    Prompt(
        name="09.weight",
        ask="Three classes fill {shares} per cent of the pixels of every image. Which weight does median "
        "frequency balancing give class {k}, counted from 0?",
        draw=_draw_weight,
        answer=_weight,
        why="The median of the shares over its own: {_middle}/{_own} = {answer}.",
        wrong={
            "You turned the fraction over. The rarer, the heavier.": lambda shares, k: (
                shares[k] / sorted(shares)[1]
            ),
            "You took the mean of the shares for their median.": lambda shares, k: (
                sum(shares) / 3 / shares[k]
            ),
            "That is one over the share. The median stands above the line.": (
                lambda shares, k: 100 / shares[k]
            ),
        },
        digits=2,
    ),
)
