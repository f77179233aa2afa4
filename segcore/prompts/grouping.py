"""Prompts of chapter 2: contours and their hierarchy, scores of regions, and the least cost of a cut."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import combinations

import torch

from segcore.crf import energy
from segcore.graph_cuts import grid_cut
from segcore.grouping import (
    probabilistic_rand_index,
    segmentation_covering,
    ultrametric_contour_map,
)
from segcore.prompts import Prompt

__all__ = ["PROMPTS"]


def _draw_merge(rng: random.Random) -> dict[str, object]:
    """Two strengths in tenths and lengths that add up to 10 or 20, neither of them half of it."""
    while True:
        whole = rng.choice([10, 20])
        length, strengths = rng.randint(1, whole - 1), rng.sample(range(1, 10), 2)
        if length != whole - length and abs(strengths[0] - strengths[1]) > 1:
            s1, s2 = (strength / 10 for strength in strengths)
            return {"s1": s1, "l1": length, "s2": s2, "l2": whole - length, "_whole": whole}


def _merged(s1: float, l1: int, s2: float, l2: int) -> torch.Tensor:
    """Each piece of the boundary, of length 1, counts once."""
    strengths = torch.tensor([s1] * l1 + [s2] * l2, dtype=torch.float64)
    return strengths.mean()


def _draw_cut(rng: random.Random) -> dict[str, object]:
    """Six contours, one of them exactly as strong as the cut."""
    strengths = tuple(tenth / 10 for tenth in rng.sample(range(1, 10), 6))
    t = rng.choice(sorted(strengths)[1:5])
    stronger = ", ".join(f"{s:.1f}" for s in strengths if s > t)
    return {"strengths": strengths, "t": t, "_stronger": stronger, "_left": sum(s > t for s in strengths)}


def _regions(strengths: Sequence[float], t: float) -> int:
    row = [value for strength in strengths for value in (0.0, strength)] + [0.0]
    contours = torch.tensor(row).expand(1, 1, -1).contiguous()
    return int(ultrametric_contour_map(contours).cut(t).max()) + 1


def _letters(labels: Sequence[int], names: str) -> str:
    return " ".join(names[label] for label in labels)


def _draw_rand(rng: random.Random) -> dict[str, object]:
    while True:
        a = sorted(rng.choices(range(3), k=5))
        b = sorted(rng.choices(range(3), k=5), reverse=rng.random() < 0.5)
        alike = [(a[i] == a[j]) == (b[i] == b[j]) for i, j in combinations(range(5), 2)]
        together = sum(a[i] == a[j] and b[i] == b[j] for i, j in combinations(range(5), 2))
        if len(set(a)) > 1 and len(set(b)) > 1 and sum(alike) in (3, 4, 6, 7, 8) and together:
            words = {"a": _letters(a, "ABC"), "b": _letters(b, "xyz")}
            parts = {"_together": together, "_apart": sum(alike) - together}
            return {**words, **parts}


def _row(labels: Sequence[int]) -> torch.Tensor:
    return torch.tensor([list(labels)])


def _rand_index(a: str, b: str) -> torch.Tensor:
    return probabilistic_rand_index(
        *(_row(["ABCxyz".index(name) for name in each.split()]) for each in (a, b))
    )


def _both_together(a: str, b: str) -> float:
    pairs = list(combinations(zip(a.split(), b.split(), strict=True), 2))
    return sum(one[0] == other[0] and one[1] == other[1] for one, other in pairs) / 10


def _draw_covering(rng: random.Random) -> dict[str, object]:
    """Twelve pixels: two true regions and two segments, each best with the one at its end."""
    while True:
        t, c = rng.sample(range(2, 11), 2)
        (first, second), right = _best_iou(t, c), float(_covering(t, c))
        by_hand = (t * first + (12 - t) * second) / 12
        ideas = ((first + second) / 2, (c * first + (12 - c) * second) / 12, 1 - abs(t - c) / 12)
        if abs(by_hand - right) < 1e-6 and all(abs(idea - right) > 0.015 for idea in ideas):
            words = {"_first": f"{first:.3f}", "_second": f"{second:.3f}"}
            return {"t": t, "c": c, "_t2": 12 - t, "_c2": 12 - c, **words}


def _covering(t: int, c: int) -> torch.Tensor:
    return segmentation_covering(_row([0] * c + [1] * (12 - c)), _row([0] * t + [1] * (12 - t)))


def _best_iou(t: int, c: int) -> tuple[float, float]:
    """IoU of both true regions with the segments at their ends of the row."""
    low, high = sorted((t, c))
    return low / high, (12 - high) / (12 - low)


def _draw_links(rng: random.Random) -> dict[str, object]:
    """Three pixels whose own wishes cost more than the least, which one labelling alone reaches."""
    while True:
        ground, thing = ([rng.randint(0, 9) for _ in range(3)] for _ in range(2))
        links = [rng.randint(1, 6) for _ in range(2)]
        costs = {bits: _cost(bits, ground, thing, links) for bits in range(8)}
        least = min(costs.values())
        own = sum(1 << i for i in range(3) if thing[i] < ground[i])
        clear = all(a != b for a, b in zip(ground, thing, strict=True))
        best = min(costs, key=costs.__getitem__)
        if clear and list(costs.values()).count(least) == 1 and costs[own] > least and best not in (0, 7):
            words = ", ".join("object" if best >> i & 1 else "ground" for i in range(3))
            costs_of = {"ground": tuple(ground), "thing": tuple(thing), "links": tuple(links)}
            return {**costs_of, "_first": links[0], "_second": links[1], "_words": words}


def _cost(bits: int, ground: Sequence[int], thing: Sequence[int], links: Sequence[int]) -> int:
    side = [bits >> i & 1 for i in range(3)]
    alone = sum(thing[i] if side[i] else ground[i] for i in range(3))
    return alone + sum(links[i] for i in range(2) if side[i] != side[i + 1])


def _least_cost(ground: Sequence[int], thing: Sequence[int], links: Sequence[int]) -> torch.Tensor:
    """The energy of the minimum cut."""
    costs = torch.tensor([[ground], [thing]], dtype=torch.float32)
    weights = torch.zeros(2, 1, 3)
    weights[0, 0, :2] = torch.tensor(links, dtype=torch.float32)
    mask = grid_cut(costs[0], costs[1], weights)
    return energy(mask.long(), costs, weights).round().long()


PROMPTS = (
    Prompt(
        name="02.merge",
        ask="A boundary of strength {s1} and length {l1} and one of strength {s2} and length {l2} become "
        "one. How strong is it?",
        draw=_draw_merge,
        answer=_merged,
        why="The mean along the whole boundary: ({s1} · {l1} + {s2} · {l2})/{_whole} = {answer}.",
        wrong={
            "That is the plain mean. The longer one has more to say.": lambda s1, l1, s2, l2: (s1 + s2) / 2,
            "You kept the weaker one. Then one gap would decide.": lambda s1, l1, s2, l2: min(s1, s2),
            "You exchanged the lengths.": lambda s1, l1, s2, l2: (s1 * l2 + s2 * l1) / (l1 + l2),
        },
        digits=3,
    ),
    Prompt(
        name="02.cut",
        ask="A row of pixels has seven regions. The contours between neighbours are {strengths} strong. How "
        "many regions are left by a cut at {t}, which removes what is at most as strong?",
        draw=_draw_cut,
        answer=_regions,
        why="Stronger than {t}: {_stronger}. In a row there is one region more than contours: {_left} + 1 "
        "= {answer}.",
        wrong={
            "You counted the contours that are left. In a row there is one region more.": (
                lambda strengths, t: sum(s > t for s in strengths)
            ),
            "The contour that is exactly as strong as the cut goes as well.": (
                lambda strengths, t: sum(s >= t for s in strengths) + 1
            ),
            "You counted the contours that go.": lambda strengths, t: sum(s <= t for s in strengths),
        },
    ),
    Prompt(
        name="02.rand",
        ask="Five pixels. One map calls them {a}, the other {b}. What is the Rand index?",
        draw=_draw_rand,
        answer=_rand_index,
        why="Of the 10 pairs, together in both maps: {_together}; apart in both: {_apart}. So ({_together} "
        "+ {_apart})/10 = {answer}.",
        wrong={
            "You counted pairs that are together in both. Pairs that are apart in both agree, too.": (
                _both_together
            ),
            "That is the share of the pairs on which the two disagree.": lambda a, b: 1 - _rand_index(a, b),
        },
        digits=1,
    ),
    Prompt(
        name="02.covering",
        ask="Twelve pixels in a row. The truth has regions of {t} and {_t2} pixels, a segmentation has "
        "segments of {c} and {_c2}, from the same end. What is the covering of the truth?",
        draw=_draw_covering,
        answer=_covering,
        why="The best IoU of the first region is {_first}, of the second {_second}. Weighed by their sizes: "
        "({t} · {_first} + {_t2} · {_second})/12 = {answer}.",
        wrong={
            "That is the plain mean of the two best IoUs. A region counts by its size.": (
                lambda t, c: sum(_best_iou(t, c)) / 2
            ),
            "You weighed by the sizes of the segments. It is the truth that is covered.": (
                lambda t, c: (c * _best_iou(t, c)[0] + (12 - c) * _best_iou(t, c)[1]) / 12
            ),
            "That is the share of the pixels in which both agree.": lambda t, c: 1 - abs(t - c) / 12,
        },
        digits=2,
    ),
    Prompt(
        name="02.links",
        ask="To call three pixels in a row ground costs {ground}, to call them object {thing}. To part the "
        "first from the second costs {_first}, the second from the third {_second}. What does the cheapest "
        "labelling cost?",
        draw=_draw_links,
        answer=_least_cost,
        why="The cheapest of the eight is {_words}, with the links between its sides: {answer}.",
        wrong={
            "Each pixel has what is cheapest for itself, and you left out the links that this cuts.": (
                lambda ground, thing, links: sum(map(min, ground, thing))
            ),
            "That is what it costs if each pixel takes its own cheapest side. Try giving way.": (
                lambda ground, thing, links: _cost(
                    sum(1 << i for i in range(3) if thing[i] < ground[i]), ground, thing, links
                )
            ),
            "One side for all cuts no link, but here another labelling is cheaper.": (
                lambda ground, thing, links: min(sum(ground), sum(thing))
            ),
        },
    ),
)
