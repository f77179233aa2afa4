"""Prompts of chapter 18: means, modes and temperatures of a colour, bins, and weights of rare ones."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch

from segcore.colorization import ab_bins, class_rebalancing, decode_ab, encode_ab
from segcore.prompts import Prompt

__all__ = ["PROMPTS"]


def _colour(chances: Sequence[float], colours: Sequence[Sequence[int]], temperature: float) -> list[float]:
    bins = torch.tensor(colours, dtype=torch.float64)
    shares = torch.tensor(chances, dtype=torch.float64).reshape(1, -1, 1, 1)
    found: list[float] = decode_ab(shares, temperature, bins).flatten().tolist()
    return [round(value, 6) for value in found]


def _draw_mean(rng: random.Random) -> dict[str, object]:
    """Two colours whose mean is whole along both axes, and not half-way."""
    while True:
        p = rng.choice([0.2, 0.4, 0.6, 0.7, 0.8, 0.9])
        one, other = ((10 * rng.randint(-5, 6), 10 * rng.randint(-6, 7)) for _ in range(2))
        if one[0] != other[0] and one[1] != other[1]:
            words = {f"_{name}": _signed(*colour) for name, colour in (("first", one), ("second", other))}
            return {"one": one, "other": other, "p": p, "_q": round(1 - p, 1), **words}


def _signed(a: float, b: float) -> str:
    return f"({a}, {b})".replace("-", "−")


def _mean(one: Sequence[int], other: Sequence[int], p: float) -> tuple[int, ...]:
    return tuple(round(value) for value in _colour((p, 1 - p), (one, other), 1.0))


def _draw_chroma(rng: random.Random) -> dict[str, object]:
    a, b = rng.choice([(30, 40), (40, 30), (6, 8), (20, 15), (12, 16), (24, 10), (15, 36)])
    p = rng.choice([0.6, 0.7, 0.75, 0.8, 0.9])
    return {"a": a, "b": b, "p": p, "_q": round(1 - p, 2), "_full": round((a * a + b * b) ** 0.5)}


def _chroma(a: int, b: int, p: float) -> float:
    mean = _colour((p, 1 - p), ((a, b), (-a, -b)), 1.0)
    return round(torch.tensor(mean).norm().item(), 4)


def _draw_share(rng: random.Random) -> dict[str, object]:
    """Odds that a power makes kind."""
    odds, temperature = (
        rng.choice([(3, 2), (2, 1), (4, 1), (3, 1), (7, 3), (9, 1), (5, 3), (5, 1), (4, 3)]),
        rng.choice(["½", "⅓"]),
    )
    power = {"½": 2, "⅓": 3}[temperature]
    a, b = odds
    powers = {"_power": power, "_up": a**power, "_down": b**power}
    return {"a": a, "b": b, "T": temperature, "_sum": a + b, **powers}


def _share(a: int, b: int, T: str) -> float:
    """Where between 0 and 1 the colour comes to lie, of 1 with odds a and 0 with odds b."""
    return _colour((a / (a + b), b / (a + b)), ((1, 0), (0, 0)), {"½": 1 / 2, "⅓": 1 / 3}[T])[0]


def _draw_bin(rng: random.Random) -> dict[str, object]:
    """A colour near a bin that sRGB has, in the middle between none."""
    bins = ab_bins().tolist()
    while True:
        a, b = rng.randint(-45, 60), rng.randint(-60, 60)
        centre = [10 * round(each / 10) for each in (a, b)]
        others = [[10 * (each // 10) for each in (a, b)], [10 * int(each / 10) for each in (a, b)]]
        if a % 10 not in (0, 5) and b % 10 not in (0, 5) and centre in bins and centre not in others:
            return {"a": a, "b": b}


def _bin(a: int, b: int) -> tuple[int, ...]:
    target = encode_ab(torch.tensor([a, b]).double().reshape(1, 2, 1, 1), neighbors=1)
    return tuple(round(each) for each in ab_bins()[int(target.argmax())].tolist())


def _draw_weight(rng: random.Random) -> dict[str, object]:
    """Two bins, the second one rare; how often they occur in twentieths."""
    p = rng.choice([0.6, 0.7, 0.75, 0.8, 0.9, 0.95])
    k = rng.choice([0, 1])
    mixed = [round(each / 2 + 0.25, 4) for each in (p, 1 - p)]
    words = {
        "_q": round(1 - p, 2),
        "_first": mixed[0],
        "_second": mixed[1],
        "_mine": mixed[k],
        "_which": ("grey", "red")[k],
    }
    mean = p / mixed[0] + (1 - p) / mixed[1]
    return {"p": p, "k": k, **words, "_mean": f"{mean:.3f}", "_one": f"{1 / mixed[k]:.3f}"}


def _weight(p: float, k: int) -> torch.Tensor:
    return class_rebalancing(torch.tensor([p, 1 - p], dtype=torch.float64))[k]


def _draw_least_error(rng: random.Random) -> dict[str, object]:
    p, a = rng.choice([0.6, 0.7, 0.8, 0.9]), rng.choice([5, 10, 20, 30, 40])
    return {"p": p, "a": a, "_q": round(1 - p, 1), "_mean": round((2 * p - 1) * a, 1)}


def _expected(p: float, a: int, answer: float) -> float:
    return p * (a - answer) ** 2 + (1 - p) * (-a - answer) ** 2


def _least_error(p: float, a: int) -> float:
    """The expected squared error of the mean that the library decodes."""
    return round(_expected(p, a, _colour((p, 1 - p), ((a, 0), (-a, 0)), 1.0)[0]), 4)


PROMPTS = (
    Prompt(
        name="18.mean",
        ask="A car is {_first} in (a\\*, b\\*) with probability {p}, else {_second}. Which answer has the "
        "least expected squared error? a\\* and b\\*.",
        draw=_draw_mean,
        answer=_mean,
        why="The mean: {p} · {_first} + {_q} · {_second} = ({answer}).",
        wrong={
            "You mixed the two half and half. The likelier one weighs more.": (
                lambda one, other, p: _mean(one, other, 0.5)
            ),
            "That is the likelier colour, the mode. The squared error asks for the mean.": (
                lambda one, other, p: tuple(one if p > 0.5 else other)
            ),
            "You exchanged the probabilities.": lambda one, other, p: _mean(one, other, 1 - p),
        },
    ),
    Prompt(
        name="18.chroma",
        ask="A ball is (a\\*, b\\*) = ({a}, {b}) with probability {p}, else the opposite colour. How far "
        "from grey is the mean, that is, what is its chroma?",
        draw=_draw_chroma,
        answer=_chroma,
        why="Each ball has √({a}² + {b}²) = {_full}, and the two pull against each other: "
        "({p} − {_q}) · {_full} = {answer}.",
        wrong={
            "That is the chroma of either ball. Opposite colours cancel in the mean.": (
                lambda a, b, p: (a * a + b * b) ** 0.5
            ),
            "You left out the pull of the opposite colour.": lambda a, b, p: p * (a * a + b * b) ** 0.5,
            "You added a\\* and b\\*. Chroma is the distance from (0, 0).": (
                lambda a, b, p: (2 * p - 1) * (a + b)
            ),
        },
        digits=1,
    ),
    Prompt(
        name="18.share",
        ask="Two bins have the probabilities {a}/{_sum} and {b}/{_sum}. Which share has the first one at "
        "the temperature T = {T}?",
        draw=_draw_share,
        answer=_share,
        why="Both are raised to the power {_power} and divided by their sum: {_up}/({_up} + {_down}) = "
        "{answer}.",
        wrong={
            "You did not divide by the sum. Shares add up to 1.": lambda a, b, T: (
                (a / (a + b)) ** {"½": 2, "⅓": 3}[T]
            ),
            "A temperature below 1 sharpens: the power is 1 / T, not T.": lambda a, b, T: (
                a ** (1 / {"½": 2, "⅓": 3}[T])
                / (a ** (1 / {"½": 2, "⅓": 3}[T]) + b ** (1 / {"½": 2, "⅓": 3}[T]))
            ),
            "That is the share without sharpening, at T = 1.": lambda a, b, T: a / (a + b),
        },
        digits=2,
    ),
    Prompt(
        name="18.bin",
        ask="In which of the bins, 10 apart and with centres at tens, lies the colour a\\* = {a}, b\\* = "
        "{b}? Say a\\* and b\\* of its centre.",
        draw=_draw_bin,
        answer=_bin,
        why="The nearest ten along each axis: ({answer}).",
        wrong={
            "You rounded down. A bin reaches 5 to each side of its centre.": (
                lambda a, b: (10 * (a // 10), 10 * (b // 10))
            ),
            "You rounded towards grey. A bin reaches 5 to each side of its centre.": (
                lambda a, b: (10 * int(a / 10), 10 * int(b / 10))
            ),
        },
    ),
    Prompt(
        name="18.weight",
        ask="Of all pixels the share {p} is grey and {_q} is red; there are no other bins. Which weight "
        "does class rebalancing with λ = ½ give {_which}?",
        draw=_draw_weight,
        answer=_weight,
        why="Mixed with ½ each: {_first} and {_second}. One over {_mine} is {_one}, and the mean pixel "
        "gets {_mean}: {_one}/{_mean} = {answer}.",
        wrong={
            "You forgot to divide by what the mean pixel gets, so that the expectation is 1.": (
                lambda p, k: 1 / ((p, 1 - p)[k] / 2 + 0.25)
            ),
            "You forgot the uniform half: a colour that never occurs would weigh infinitely much.": (
                lambda p, k: 1 / (2 * (p, 1 - p)[k])
            ),
            "The weight goes with one over the mixed share: what is rare weighs more.": (
                lambda p, k: 2 * ((p, 1 - p)[k] / 2 + 0.25)
            ),
        },
        digits=2,
    ),
    Prompt(
        name="18.error",
        ask="A ball has a\\* = {a} with probability {p}, else −{a}, and b\\* = 0. How large is the "
        "expected squared error of the best answer?",
        draw=_draw_least_error,
        answer=_least_error,
        why="The best answer is the mean, {_mean}: {p} · ({a} − {_mean})² + {_q} · ({a} + {_mean})² = "
        "{answer}.",
        wrong={
            "The mean is the best answer, but it is never right.": lambda p, a: 0,
            "That is the error of the likelier colour. The mean is better.": (
                lambda p, a: _expected(p, a, a)
            ),
            "That is the error of grey. The mean leans to the likelier side.": (
                lambda p, a: _expected(p, a, 0.0)
            ),
        },
        digits=1,
    ),
)
