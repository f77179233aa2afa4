"""Prompts of chapter 1: whom the graph joins, what SLIC compares, and what an over-segmentation loses."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch

from segcore.prompts import Prompt
from segcore.superpixels import achievable_segmentation_accuracy, undersegmentation_error

__all__ = ["PROMPTS"]


def _draw_join(rng: random.Random) -> dict[str, object]:
    """Two pieces whose bounds differ, so that the smaller one decides."""
    while True:
        k = rng.choice([60, 120, 240])
        a, b = rng.sample([4, 5, 10, 12, 20, 30], 2)
        i, j = rng.sample(range(2, 12), 2)
        if i + k / a != j + k / b:
            return {"a": a, "b": b, "i": i, "j": j, "k": k, "_first": k // a, "_second": k // b}


def _bounds(a: int, b: int, i: int, j: int, k: int) -> torch.Tensor:
    return torch.tensor([i, j]) + k // torch.tensor([a, b])


def _draw_side(rng: random.Random) -> dict[str, object]:
    side, rows, columns = rng.choice([4, 5, 8, 10, 12, 20]), rng.choice([10, 20, 30]), rng.choice([10, 20])
    return {"h": side * rows, "w": side * columns, "K": rows * columns, "_area": side * side}


def _draw_distance(rng: random.Random) -> dict[str, object]:
    side = rng.choice([3, 4, 5])
    dx, dy = rng.sample([1, 2, 3, 4], 2)
    weight = rng.choice([2, 3])
    return {"c": rng.randint(4, 9), "dx": dx, "dy": dy, "S": side, "m": weight * side, "_weight": weight}


def _distance(c: int, dx: int, dy: int, S: int, m: int) -> float:
    return (c**2 + torch.tensor([dx, dy]).square().sum() * m**2 / S**2).item()


def _draw_pieces(rng: random.Random) -> dict[str, object]:
    """Three pieces of twenty pixels together, in two regions, with no piece that lies half in each."""
    while True:
        sizes = rng.sample(rng.choice([(3, 6, 11), (4, 7, 9), (2, 8, 10), (5, 6, 9)]), 3)
        parts = tuple((first, size - first) for size in sizes for first in [rng.randint(0, size)])
        kept = [max(part) for part in parts]
        of_pieces = sum(most / size for most, size in zip(kept, sizes, strict=True)) / 3
        if all(a != b for a, b in parts) and sum(kept) <= 17 and abs(of_pieces - sum(kept) / 20) > 0.02:
            cup, beside = zip(*parts, strict=True)
            leaks = " + ".join(f"2 · {min(part)}" for part in parts if min(part))
            return {"cup": cup, "beside": beside, "_best": " + ".join(map(str, kept)), "_leaks": leaks}


def _parts(cup: Sequence[int], beside: Sequence[int]) -> list[tuple[int, int]]:
    return list(zip(cup, beside, strict=True))


def _maps(cup: Sequence[int], beside: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """The pieces and the truth as maps of one row."""
    parts = _parts(cup, beside)
    labels = [number for number, part in enumerate(parts) for _ in range(sum(part))]
    truth = [region for part in parts for region, count in enumerate(part) for _ in range(count)]
    return torch.tensor([labels]), torch.tensor([truth])


PROMPTS = (
    Prompt(
        name="01.join",
        ask="Two pieces of {a} and {b} pixels hold edges of up to {i} and up to {j}, and $k = {k}$. How "
        "heavy may the lightest edge between them be, so that the graph joins them?",
        draw=_draw_join,
        answer=lambda a, b, i, j, k: _bounds(a, b, i, j, k).min(),
        why="The bounds are {i} + {k}/{a} = {i} + {_first} and {j} + {k}/{b} = {j} + {_second}. The edge "
        "must keep to both, so the smaller one counts: {answer}.",
        wrong={
            "You took the larger bound. The edge must not be heavier than either.": (
                lambda a, b, i, j, k: _bounds(a, b, i, j, k).max()
            ),
            "You left out the allowance, $k$ divided by a piece's size.": lambda a, b, i, j, k: min(i, j),
            "You divided $k$ by both sizes together. Each piece has an allowance of its own.": (
                lambda a, b, i, j, k: min(i, j) + k / (a + b)
            ),
        },
    ),
    Prompt(
        name="01.side",
        ask="SLIC starts with {K} centres on an image of {h} × {w} pixels. How long is the side $S$ of the "
        "square that one centre would have to itself?",
        draw=_draw_side,
        answer=lambda h, w, K: int(torch.tensor(h * w / K).sqrt()),
        why="{h} · {w} / {K} = {_area} pixels for each centre, and √{_area} = {answer}.",
        wrong={
            "That is the square's area. Its side is the root of it.": lambda h, w, K: h * w // K,
            "That is the window of the paper, which is two sides wide.": (
                lambda h, w, K: 2 * int((h * w / K) ** 0.5)
            ),
        },
        unit="px",
    ),
    Prompt(
        name="01.distance",
        ask="A pixel differs from a centre by {c} in L\\* and not at all in a\\* and b\\*. It lies {dx} "
        "pixels to the right and {dy} below. What is SLIC's $D^2$ for $S = {S}$ and $m = {m}$?",
        draw=_draw_distance,
        answer=_distance,
        why="The place is weighed by (m/S)² = {_weight}²: {c}² + {_weight}² · ({dx}² + {dy}²) = {answer}.",
        wrong={
            "You weighed the place by $m / S$. The squared distance has the squared weight.": (
                lambda c, dx, dy, S, m: c**2 + m // S * (dx**2 + dy**2)
            ),
            "You added colour and place without a weight.": lambda c, dx, dy, S, m: c**2 + dx**2 + dy**2,
            "You added the steps across and down before you squared them.": (
                lambda c, dx, dy, S, m: c**2 + (m // S) ** 2 * (dx + dy) ** 2
            ),
        },
    ),
    Prompt(
        name="01.accuracy",
        ask="Three pieces have {cup} pixels in the cup and {beside} beside it, 20 in all. Which achievable "
        "segmentation accuracy do the pieces leave?",
        draw=_draw_pieces,
        answer=lambda cup, beside: achievable_segmentation_accuracy(*_maps(cup, beside)),
        why="Each piece takes the region in which more of it lies: ({_best})/20 = {answer}.",
        wrong={
            "That is the share of the pixels that get a wrong label. Ask for the right ones.": (
                lambda cup, beside: sum(min(part) for part in _parts(cup, beside)) / 20
            ),
            "That is the mean over the three pieces. Pixels count alike, so large pieces count more.": (
                lambda cup, beside: sum(max(part) / sum(part) for part in _parts(cup, beside)) / 3
            ),
        },
        digits=2,
    ),
    Prompt(
        name="01.leak",
        ask="Three pieces have {cup} pixels in the cup and {beside} beside it, 20 in all. How large is the "
        "undersegmentation error, which for each piece and each region that it meets counts the smaller of "
        "two parts, inside and outside?",
        draw=_draw_pieces,
        answer=lambda cup, beside: undersegmentation_error(*_maps(cup, beside)),
        why="A piece in two regions leaks with its smaller part, once for each of the two: "
        "({_leaks})/20 = {answer}.",
        wrong={
            "Count the smaller part twice: it is what leaks into the one region, and what misses in the "
            "other.": (lambda cup, beside: sum(min(part) for part in _parts(cup, beside)) / 20),
            "That is the first formula of this name: all that a piece has outside of a region counts. Here "
            "the smaller part does.": (
                lambda cup, beside: sum(sum(part) for part in _parts(cup, beside) if min(part)) / 20
            ),
        },
        digits=2,
    ),
)
