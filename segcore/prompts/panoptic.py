"""Prompts of chapter 15: which segments match, the three qualities, and how maps are merged."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

import torch

from segcore.panoptic import match_segments, merge, panoptic_quality
from segcore.prompts import Prompt

__all__ = ["PROMPTS"]

VOID, FLOOR, COIN = 255, 0, 1


def _map(pixels: Sequence[tuple[int, int]]) -> torch.Tensor:
    """A panoptic map of one row, from (class, instance) of each pixel."""
    return torch.tensor([list(pixels)])


def _draw_quality(rng: random.Random) -> dict[str, object]:
    """One to three matches whose IoUs are tenths, and some segments without a match."""
    while True:
        tenths = tuple(sorted((rng.randint(6, 10) for _ in range(rng.randint(2, 3))), reverse=True))
        extra, missed = rng.randint(0, 3), rng.randint(0, 3)
        if extra + missed and sum(tenths) < 10 * len(tenths):
            words = {"_sum": " + ".join(f"{each / 10:g}" for each in tenths), "_count": len(tenths)}
            return {"iou": tuple(each / 10 for each in tenths), "extra": extra, "missed": missed, **words}


def _quality(iou: Sequence[float], extra: int, missed: int) -> dict[str, float]:
    """Scores of the coins: true coins of ten pixels that are found in part, extra ones, missed ones."""
    truth: list[tuple[int, int]] = []
    guess: list[tuple[int, int]] = []
    for number, each in enumerate(iou, start=1):
        truth += [(COIN, number)] * 10
        guess += [(COIN, number)] * round(10 * each) + [(FLOOR, 0)] * (10 - round(10 * each))
    for number in range(extra):
        truth += [(FLOOR, 0)] * 10
        guess += [(COIN, 100 + number)] * 10
    for number in range(missed):
        truth += [(COIN, 100 + number)] * 10
        guess += [(FLOOR, 0)] * 10
    result: dict[str, float] = panoptic_quality(_map(guess), _map(truth), [COIN], [FLOOR])["per_class"][COIN]
    return result


def _draw_recognition(rng: random.Random) -> dict[str, object]:
    while True:
        true, found = rng.sample(range(3, 13), 2)
        matched = rng.randint(2, min(true, found))
        if (true + found) % 2 == 0 and true + found in (8, 10, 12, 16, 20) and matched < max(true, found):
            parts = {"_extra": found - matched, "_missed": true - matched}
            return {"true": true, "found": found, "matched": matched, **parts}


def _recognition(true: int, found: int, matched: int) -> float:
    return _quality((0.8,) * matched, found - matched, true - matched)["RQ"]


def _draw_void(rng: random.Random) -> dict[str, object]:
    """A match whose IoU is kind, once the pixels on void have left the union."""
    while True:
        t, p = rng.randint(10, 40), rng.randint(10, 40)
        v = rng.randint(2, 10)
        s = rng.randint(6, min(t, p - v)) if min(t, p - v) >= 6 else 0
        union = t + p - v - s
        if s and s + 1 < p - v and 50 < 100 * s / union < 100 and 100 * s % union == 0:
            return {"t": t, "p": p, "s": s, "v": v, "_union": union}


def _void_iou(t: int, p: int, s: int, v: int) -> torch.Tensor:
    """IoU of the one coin, in a row of what both hold, and each alone, the prediction on floor and void."""
    floor = p - v - s
    truth = _map([(COIN, 1)] * t + [(FLOOR, 0)] * floor + [(VOID, 0)] * v)
    guess = _map([(COIN, 2)] * s + [(FLOOR, 0)] * (t - s) + [(COIN, 2)] * (floor + v))
    matching = match_segments(guess, truth, [COIN], [FLOOR])
    coins = (matching.true[matching.pairs[:, 1], 0] == COIN).nonzero()[0]
    return matching.iou[coins[0]]


def _draw_least(rng: random.Random) -> dict[str, object]:
    """A true segment, and how far a predicted one reaches beyond it; their sum is even."""
    n, e = rng.randint(10, 60), rng.randint(2, 9)
    return {"n": n + (n + e) % 2, "e": e, "_sum": n + (n + e) % 2 + e, "_half": (n + (n + e) % 2 + e) // 2}


def _least(n: int, e: int) -> int:
    """The first number of covered pixels with which the segments match."""
    for covered in range(max(1, (n + e) // 2 - 3), n + 1):
        truth = _map([(COIN, 1)] * n + [(FLOOR, 0)] * (e + 50))
        guess = _map([(FLOOR, 0)] * (n - covered) + [(COIN, 2)] * (covered + e) + [(FLOOR, 0)] * 50)
        matching = match_segments(guess, truth, [COIN], [FLOOR])
        if any(matching.true[pair, 0] == COIN for pair in matching.pairs[:, 1].tolist()):
            return covered
    raise ValueError(f"no part of {n} pixels matches with {e} beside it; draw fewer beside it")


def _draw_merged(rng: random.Random) -> dict[str, object]:
    """Three masks as ranges of pixels, surest first: one at least is dropped and one is cut."""
    while True:
        starts, lengths = [rng.randint(0, 14) for _ in range(3)], [rng.randint(3, 10) for _ in range(3)]
        ranges = tuple((start, start + length - 1) for start, length in zip(starts, lengths, strict=True))
        free, sizes, seen = set(range(30)), [], set()
        for first, last in ranges:
            mine = set(range(first, last + 1))
            left = len(mine & free)
            seen.add(left * 2 == len(mine) or left == 0)
            sizes.append(left if left * 2 > len(mine) else 0)
            free -= mine if sizes[-1] else set()
        if True not in seen and 0 in sizes and any(0 < a < b for a, b in zip(sizes, lengths, strict=True)):
            claims = ", ".join(f"{first} to {last}" for first, last in ranges)
            return {"claims": claims, "_lengths": tuple(lengths)}


def _ranges(claims: str) -> list[tuple[int, int]]:
    return [(int(first), int(last)) for first, last in re.findall(r"(\d+) to (\d+)", claims)]


def _merged(claims: str, overlap: float = 0.5) -> tuple[int, ...]:
    """Pixels that each mask has in the merged map."""
    masks = torch.zeros(3, 1, 30, dtype=torch.bool)
    for mask, (first, last) in zip(masks, _ranges(claims), strict=True):
        mask[0, first : last + 1] = True
    found = {"masks": masks, "labels": torch.tensor([1, 2, 3]), "scores": torch.tensor([0.9, 0.8, 0.7])}
    classes = merge(torch.zeros(1, 30).long(), found, overlap=overlap)[..., 0]
    return tuple(int((classes == label).sum()) for label in (1, 2, 3))


PROMPTS = (
    Prompt(
        name="15.quality",
        ask="In a class the matches have the IoUs {iou}. Of the segments without a match, the predicted "
        "ones make FP = {extra} and the true ones FN = {missed}. What is PQ?",
        draw=_draw_quality,
        answer=lambda iou, extra, missed: _quality(iou, extra, missed)["PQ"],
        why="({_sum})/({_count} + ½ · {extra} + ½ · {missed}) = {answer}.",
        wrong={
            "That is SQ, the mean IoU of the matches. What is missed or made up counts as well.": (
                lambda iou, extra, missed: _quality(iou, extra, missed)["SQ"]
            ),
            "You counted FP and FN whole. Each is half of a pair that failed.": (
                lambda iou, extra, missed: sum(iou) / (len(iou) + extra + missed)
            ),
            "That is RQ, which does not ask how well the matches fit.": (
                lambda iou, extra, missed: _quality(iou, extra, missed)["RQ"]
            ),
        },
        digits=2,
    ),
    Prompt(
        name="15.recognition",
        ask="A truth has {true} people. A network predicts {found}, and {matched} of them match. What is "
        "the recognition quality, RQ?",
        draw=_draw_recognition,
        answer=_recognition,
        why="FP = {found} − {matched} and FN = {true} − {matched}: {matched}/({matched} + ½ · {_extra} + ½ "
        "· {_missed}) = {answer}.",
        wrong={
            "That is precision. Those that were missed count as well.": (
                lambda true, found, matched: matched / found
            ),
            "That is recall. Those that were made up count as well.": (
                lambda true, found, matched: matched / true
            ),
            "You counted FP and FN whole.": (lambda true, found, matched: matched / (true + found - matched)),
        },
        digits=2,
    ),
    Prompt(
        name="15.void",
        ask="A true segment has {t} pixels. A predicted one has {p}: {s} lie on the true one, {v} on void. "
        "What is their IoU for panoptic quality?",
        draw=_draw_void,
        answer=_void_iou,
        why="Void in the truth leaves the union: {s}/({t} + {p} − {v} − {s}) = {s}/{_union} = {answer}.",
        wrong={
            "You left void in the union. Nobody knows what is there.": (lambda t, p, s, v: s / (t + p - s)),
            "You counted the void pixels as right. They count for nothing.": (
                lambda t, p, s, v: (s + v) / (t + p - s)
            ),
            "You forgot what the predicted segment holds beside the true one.": lambda t, p, s, v: s / t,
        },
        digits=2,
    ),
    Prompt(
        name="15.least",
        ask="A true segment has {n} pixels. A predicted one covers a part of it and {e} pixels of the "
        "ground. How many pixels of the true one must it cover at least for a match?",
        draw=_draw_least,
        answer=_least,
        why="The union has {n} + {e} = {_sum} pixels. More than half of that is shared from {_half} + 1 "
        "on: {answer}.",
        wrong={
            "Exactly one half is no match.": lambda n, e: (n + e) // 2,
            "You forgot the pixels on the ground. They are in the union, too.": lambda n, e: n // 2 + 1,
            "More than half of what it holds itself is not enough.": (
                lambda n, e: e + 1 if 2 * (e + 1) <= n + e else None
            ),
        },
        unit="px",
    ),
    Prompt(
        name="15.merged",
        ask="Three instances of a row of pixels, surest first, claim the pixels {claims}, both ends "
        "included. One is dropped if less than half of its mask is still free. How many pixels gets each?",
        draw=_draw_merged,
        answer=_merged,
        why="The masks have {_lengths} pixels. Each takes what nobody took before it, if that is half of "
        "it or more: {answer}.",
        wrong={
            "You kept what was to be dropped.": lambda claims: _merged(claims, overlap=0.0),
            "You let masks overlap. A pixel has one instance.": (
                lambda claims: tuple(last - first + 1 for first, last in _ranges(claims))
            ),
            "You dropped each mask of which anything is taken.": lambda claims: _merged(claims, overlap=1.0),
        },
    ),
)
