"""Prompts of chapter 10: energies of tiny fields, steps of mean field, and pairs."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise, product

import torch

from segcore.crf import brute_force, energy, potts
from segcore.prompts import Prompt

__all__ = ["PROMPTS"]

Costs = Sequence[Sequence[int]]


def _energy(labels: Sequence[int], costs: Costs, w: float) -> float:
    """Of a row of pixels; every pair of neighbours has the weight w."""
    unary = torch.tensor([[list(costs[0])], [list(costs[1])]], dtype=torch.float64)
    weights = torch.full((2, 1, len(labels)), float(w), dtype=torch.float64)
    return energy(torch.tensor([list(labels)]), unary, weights).item()


def _words(costs: Costs) -> dict[str, object]:
    return {"_zero": " ".join(map(str, costs[0])), "_one": " ".join(map(str, costs[1]))}


def _draw_energy(rng: random.Random) -> dict[str, object]:
    """Four pixels and a labelling with at least one pair that differs."""
    while True:
        labels = tuple(rng.randint(0, 1) for _ in range(4))
        costs = tuple(tuple(rng.randint(0, 6) for _ in range(4)) for _ in range(2))
        pairs = sum(a != b for a, b in pairwise(labels))
        own = [costs[label][i] for i, label in enumerate(labels)]
        if pairs and pairs != 3 - pairs and sum(own):
            shown = {
                "_labels": " ".join(map(str, labels)),
                "_own": " + ".join(map(str, own)),
                "_pairs": pairs,
            }
            return {
                "labels": labels,
                "costs": costs,
                "w": rng.choice([1.5, 2, 2.5, 3, 4]),
                **shown,
                **_words(costs),
            }


def _draw_least(rng: random.Random) -> dict[str, object]:
    """Four pixels whose best labels are neither all alike nor each its own cheapest."""
    while True:
        costs = tuple(tuple(rng.randint(0, 6) for _ in range(4)) for _ in range(2))
        w = rng.choice([1, 2, 3])
        ranked = sorted((_by_hand(labels, costs, w), labels) for labels in product((0, 1), repeat=4))
        least, best = ranked[0]
        clear = least < ranked[1][0] and all(a != b for a, b in zip(*costs, strict=True))
        if clear and len(set(best)) > 1 and best != _own(costs):
            words = {"_best": " ".join(map(str, best)), "_least": least}
            return {"costs": costs, "w": w, **words, **_words(costs)}


def _by_hand(labels: Sequence[int], costs: Costs, w: int) -> int:
    own = sum(costs[label][i] for i, label in enumerate(labels))
    return own + w * len([pair for pair in pairwise(labels) if pair[0] != pair[1]])


def _least(costs: Costs, w: int) -> tuple[int, ...]:
    unary = torch.tensor([[list(costs[0])], [list(costs[1])]], dtype=torch.float64)
    return tuple(brute_force(unary, torch.full((2, 1, 4), float(w), dtype=torch.float64))[0].tolist())


def _own(costs: Costs) -> tuple[int, ...]:
    return tuple(int(b < a) for a, b in zip(*costs, strict=True))


def _draw_asked(rng: random.Random) -> dict[str, object]:
    """A pixel among its four neighbours, of which not two have each label."""
    labels = tuple(rng.sample(rng.choice([(1, 0, 0, 0), (1, 1, 1, 0)]), 4))
    cost, w = rng.randint(1, 9), rng.choice([0.5, 1.5, 2, 3, 4])
    return {"cost": cost, "labels": labels, "w": w, "_differ": labels.count(0)}


def _asked(cost: int, labels: Sequence[int], w: float) -> float:
    """What label 1 adds in the middle of a cross: the energy of the five, where only pairs with it weigh."""
    cross = torch.zeros(3, 3, dtype=torch.long)
    cross[1, 1] = 1
    for place, label in zip(((0, 1), (1, 0), (1, 2), (2, 1)), labels, strict=True):
        cross[place] = label
    unary, weights = torch.zeros(2, 3, 3), torch.zeros(2, 3, 3)
    unary[1, 1, 1] = cost
    weights[0, 1, :2] = weights[1, :2, 1] = w
    return energy(cross, unary, weights).item()


def _draw_message(rng: random.Random) -> dict[str, object]:
    """Three neighbours' probabilities of label 1, in tenths."""
    while True:
        tenths = [rng.randint(1, 9) for _ in range(3)]
        if sum(tenths) != 15:
            q = tuple(each / 10 for each in tenths)
            return {"q": q, "w": rng.choice([2, 3, 4, 5]), "_sum": " + ".join(map(str, q))}


def _message(q: Sequence[float], w: int, label: int = 0) -> float:
    share = torch.tensor([[1 - each for each in q], list(q)], dtype=torch.float64)
    return round((w * (potts(2).double() @ share)[label].sum()).item(), 6)


def _draw_kernel(rng: random.Random) -> dict[str, object]:
    near, alike = rng.choice([10, 20, 40]), rng.choice([5, 10, 20])
    a, b = rng.sample([1, 2, 3, 4], 2)
    return {"d": near * a, "c": alike * b, "near": near, "alike": alike, "_a": a, "_b": b}


def _exponent(d: int, c: int, near: int, alike: int) -> float:
    distances = torch.tensor([d / near, c / alike], dtype=torch.float64)
    return -torch.exp(-distances.square().sum() / 2).log().item()


def _draw_pairs(rng: random.Random) -> dict[str, object]:
    h, b = rng.randint(3, 8), rng.randint(9, 14)
    return {"h": h, "b": b, "_h": h - 1, "_b": b - 1}


def _pairs(h: int, b: int) -> int:
    """The energy of a chessboard, where all neighbours differ and each pair costs 1."""
    board = (torch.arange(h)[:, None] + torch.arange(b)) % 2
    return int(energy(board, torch.zeros(2, h, b), torch.ones(2, h, b)))


PROMPTS = (
    Prompt(
        name="10.energy",
        ask="Four pixels in a row: label 0 costs {_zero}, label 1 costs {_one}, and a pair of neighbours "
        "that differs costs {w}. What is the energy of the labels {_labels}?",
        draw=_draw_energy,
        answer=_energy,
        why="The labels cost {_own}, and pairs that differ {_pairs} · {w}: "
        "{_own} + {_pairs} · {w} = {answer}.",
        wrong={
            "You left out the pairs.": lambda labels, costs, w: _energy(labels, costs, 0),
            "You counted each pair from both sides.": lambda labels, costs, w: _energy(labels, costs, 2 * w),
            "You let the pair pay that agrees.": lambda labels, costs, w: (
                _energy(labels, costs, 0) + w if sum(a != b for a, b in pairwise(labels)) == 2 else None
            ),
        },
        digits=1,
    ),
    Prompt(
        name="10.least",
        ask="Four pixels in a row: label 0 costs {_zero}, label 1 costs {_one}, and a pair of neighbours "
        "that differs costs {w}. Which four labels have the least energy?",
        draw=_draw_least,
        answer=_least,
        why="{_best} costs {_least} with its pairs, and every other labelling costs more: {answer}.",
        wrong={
            "Each pixel took its own cheapest label. Count what their differences cost.": (
                lambda costs, w: _own(costs)
            ),
            "All alike saves all pairs, but here costs more.": (
                lambda costs, w: (int(sum(costs[1]) < sum(costs[0])),) * 4
            ),
        },
    ),
    Prompt(
        name="10.asked",
        ask="A pixel asks what label 1 would cost it: {cost} by itself, and {w} for each neighbour that "
        "differs. Its four neighbours have the labels {labels}. How much?",
        draw=_draw_asked,
        answer=_asked,
        why="Neighbours with label 0: {_differ}. So {cost} + {_differ} · {w} = {answer}.",
        wrong={
            "You let the neighbours count that agree.": lambda cost, labels, w: cost + labels.count(1) * w,
            "You left the neighbours out.": lambda cost, labels, w: cost,
            "You counted all four. Those that agree cost nothing.": lambda cost, labels, w: cost + 4 * w,
        },
        digits=1,
    ),
    Prompt(
        name="10.message",
        ask="Mean field with Potts' compatibility: a pixel's three neighbours have label 1 with the "
        "probabilities {q}, and each weight is {w}. What do they add to the cost of label 0?",
        draw=_draw_message,
        answer=_message,
        why="A neighbour makes label 0 dear as far as it has another label: {w} · ({_sum}) = {answer}.",
        wrong={
            "That is what they add to label 1. Labels pay for what differs from them.": (
                lambda q, w: _message(q, w, label=1)
            ),
            "You rounded each neighbour to its likelier label first.": (
                lambda q, w: w * sum(each > 0.5 for each in q)
            ),
            "You forgot the weight.": lambda q, w: sum(q),
        },
        digits=1,
    ),
    Prompt(
        name="10.kernel",
        ask="Two pixels are {d} pixels apart and their colours differ by {c}. The bilateral kernel has "
        "$σ_α = {near}$ for places and $σ_β = {alike}$ for colours. Its exponential is $e^{-x}$; what is "
        "$x$?",
        draw=_draw_kernel,
        answer=_exponent,
        why="{d}/{near} = {_a} and {c}/{alike} = {_b} widths: ({_a}² + {_b}²)/2 = {answer}.",
        wrong={
            "You forgot the 2 under each fraction.": (
                lambda d, c, near, alike: 2 * _exponent(d, c, near, alike)
            ),
            "Distances enter squared.": lambda d, c, near, alike: (d / near + c / alike) / 2,
            "You left the colours out: that is the exponent of a plain blur.": (
                lambda d, c, near, alike: _exponent(d, 0, near, alike)
            ),
        },
        digits=1,
    ),
    Prompt(
        name="10.pairs",
        ask="A picture of {h} × {b} pixels has four neighbours for each pixel inside. How many pairs of "
        "neighbours has it, each counted once?",
        draw=_draw_pairs,
        answer=_pairs,
        why="{h} rows of {_b} pairs across and {b} columns of {_h} pairs down: "
        "{h} · {_b} + {b} · {_h} = {answer}.",
        wrong={
            "You counted each pair from both sides.": lambda h, b: 2 * _pairs(h, b),
            "Pixels at the border have fewer neighbours.": lambda h, b: 2 * h * b,
            "You made pairs of any two pixels, as the fully connected field does.": (
                lambda h, b: h * b * (h * b - 1) // 2
            ),
        },
    ),
)
